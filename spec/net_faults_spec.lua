-- SPDX-License-Identifier: MIT
-- What the network and those who stand in it can do to an answer: never a crash, never a message
-- that is said to be sent and is not.
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local function bot_script(api, channels)
  local messages = {}
  for i, id in ipairs(channels) do
    messages[i] = ([[crier.TextMESSAGE { name = "m%s", channels = { "%s" }, period = "1h", data = "x" }]])
      :format(id, id)
  end
  return ([[local crier = require "crier"
    crier.bot { token = crier.secret.env "SPEC_TOKEN", api = "%s" }
    crier.GUILD { snowflake = "100", logging = true, messages = { %s } }]]):format(api,
    table.concat(messages, ","))
end

describe("the network", function()
  local bot, server
  after_each(function()
    if bot then bot:close() end
    if server then server:stop() end
    bot, server = nil, nil
  end)

  local function start(api, channels)
    bot = Bot.new(bot_script(api, channels))
    bot.process = proc.start({ proc.crier, "run", "bot.lua" }, { cwd = bot.dir,
      env = { SPEC_TOKEN = "good.bot.token", NO_COLOR = "1", CRIER_STATE = false } })
    return bot
  end

  it("gives bad answers, and each send ends as it was", function()
    server = proc.start { "python3", "spec/support/bad_server.py" }
    local port = server:wait_line "port (%d+)\n"
    local channels = {}
    for i = 1, 9 do channels[i] = "30" .. i end
    start("http://127.0.0.1:" .. port .. "/api/v10", channels)
    local by = {}
    proc.wait_for(function()
      local n = 0
      for _, r in ipairs(bot:records()) do
        if r.kind == "message" then by[r.name], n = r, n + 1 end
      end
      return n == 9
    end, nil, function() return bot.process:out() .. bot.process:err() end)
    -- requests: 2 where the first answer was none of Discord's
    for id, requests in pairs { ["301"] = 2, ["302"] = 2, ["303"] = 1, ["304"] = 2, ["305"] = 2, ["306"] = 2,
      ["307"] = 2, ["308"] = 2, ["309"] = 1 } do
      local r = by["m" .. id]
      assert(r.ok, id .. ": " .. (r.text or ""))
      assert.equal(requests, r.requests, id)
    end
    assert.is_nil(bot.process:code())
  end)

  it("refuses, knows no such name, shows a certificate that nobody has signed", function()
    local socket = require "socket"
    local s = assert(socket.bind("127.0.0.1", 0))
    local _, closed = s:getsockname()
    s:close()
    local dir = proc.tmpdir()
    finally(function() proc.rmdir(dir) end)
    local made = proc.run { "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
      "/CN=discord.com", "-keyout", dir .. "/key.pem", "-out", dir .. "/cert.pem" }
    if made.code ~= 0 then return pending "openssl is not installed" end
    server = proc.start { "python3", "spec/support/bad_server.py", dir .. "/cert.pem", dir .. "/key.pem" }
    local tls = server:wait_line "port (%d+)\n"
    bot = Bot.new(([[local crier = require "crier"
      for name, api in pairs { a = "http://127.0.0.1:%s", b = "http://no-such-host.invalid", c = "https://127.0.0.1:%s" } do
        crier.bot { name = name, token = crier.secret.env "SPEC_TOKEN", api = api }
      end]]):format(closed, tls))
    bot.process = proc.start({ proc.crier, "run", "bot.lua" }, { cwd = bot.dir,
      env = { SPEC_TOKEN = "good.bot.token", NO_COLOR = "1", CRIER_STATE = false } })
    for name, why in pairs { a = "[Cc]onnect", b = "[Rr]esolve", c = "certificate" } do
      local r = bot:wait_record(function(r)
        return r.what == "bot.unreachable" and r.text:find("bot '" .. name .. "'", 1, true)
      end)
      assert.equal("warning", r.level)
      assert(r.text:find(why), r.text)
      assert.is_nil(r.text:find("good.bot.token", 1, true))
    end
    assert.is_nil(bot.process:code()) -- they are tried on
  end)

  it("accepts, and says nothing", function()
    local socket = require "socket"
    local s = assert(socket.bind("127.0.0.1", 0))
    finally(function() s:close() end)
    local _, port = s:getsockname()
    start("http://127.0.0.1:" .. port, { "301" })
    proc.wait_for(function() return #bot.process:out() > 0 end)
    assert.equal(0, bot.process:stop()) -- and ends at once when it is asked to
  end)
end)
