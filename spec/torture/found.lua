-- SPDX-License-Identifier: MIT
-- What spec/torture/torture.lua has found, each in short. crier spec spec/torture/found.lua
-- luacheck: std +busted
local testing = require "crier.testing"
local bots = require "spec.torture.bots"

describe("found by torture", function()
  local folder
  before_each(function()
    local pipe = io.popen "mktemp -d"
    folder = pipe:read "l"
    pipe:close()
  end)
  after_each(function()
    testing.close_all()
    os.execute("rm -rf " .. folder)
  end)

  local function load(message, options)
    options = options or {}
    options.state = folder .. "/state"
    local file = assert(io.open(folder .. "/bot.lua", "w"))
    file:write([[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
      crier.sink.memory { name = "memory" }
      local slow = crier.data_function(function(ctx) crier.sleep(15) return "slow" end) {}
      crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { "978332728615378001" }, ]] .. message .. "} } }")
    file:close()
    return testing.load(folder .. "/bot.lua", options)
  end

  it("a first time that was missed is not made up for by the next start", function()
    local bot = load 'period = "30s", start_in = "49s", data = slow'
    bot:advance(50)
    bots.kill(bot, folder) -- before anything of it is on disk
    assert.equal(79, bot:stats().messages.m.due - 1767225600)
    bot:advance(7)
    bots.kill(bot, folder)
    assert.equal(79, bot:stats().messages.m.due - 1767225600)
    bot:expect_not_sent()
    bot:advance(40)
    bot:expect_sent({ name = "m" }, 1)
  end)

  it("a send that a kill takes out of its data function is told of", function()
    local bot = load 'period = "10s", start_in = "8s", data = slow'
    bot:advance(18.0015) -- the first sleeps, the second has been skipped
    bots.kill(bot, folder)
    bot:advance(1)
    bot:expect_record({ kind = "message", skipped = "the send before is still under way" }, 1)
    bot:expect_record({ kind = "message", skipped = "the host was down" }, 1)
    assert.equal(2, bot:stats().messages.m.skipped)
  end)

  for _, mode in ipairs { "edit", "clear-send" } do
    it("a message whose answers were all lost is found by the next " .. mode, function()
      local bot = load('period = "1m", start_in = "5s", data = function(ctx) return "at " .. ctx.due end, mode = "' .. mode .. '"')
      bot:fault { ["do"] = "status", status = 504, execute = true, match = "POST /channels/*/messages", times = -1 }
      bot:fault { ["do"] = "refuse", match = "GET /channels/*/messages", times = -1 } -- nor can it be looked for
      bot:advance "96s"
      bot:expect_sent({ ok = false }, 1)
      assert.equal(1, #bot:channel "978332728615378001")
      bot:clear_faults()
      bots.kill(bot, folder)
      bot:advance "5m"
      local there = bot:channel "978332728615378001"
      assert.equal(1, #there)
      local sent = bot:sent { ok = true }
      assert.equal(sent[#sent].text, there[1].content)
    end)
  end
end)
