-- SPDX-License-Identifier: MIT
-- crier message: list, send, preview, pause and resume of a running bot's messages.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local script = [[
local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.console { name = "con", level = "debug" }
local turn = crier.data_function(function(ctx, rolls)
  seen = ctx.preview
  local item = table.remove(rolls, 1)
  rolls[#rolls + 1] = item
  return item
end)
crier.GUILD { snowflake = "101", name = "Town", logging = true, messages = {
  crier.TextMESSAGE { name = "gallery", channels = { "201" }, mode = "edit", period = "1h", start_in = "1h",
    data = turn { "one", crier.EMBED { title = "two" }, "three" } },
  crier.TextMESSAGE { name = "same", channels = { "201" }, period = "1h", start_in = "1h", data = "town" },
  crier.TextMESSAGE { name = "once", channels = { "201" }, period = "1h", start_in = "1h", remove_after = 1, data = "once" },
  crier.TextMESSAGE { name = "often", channels = { "201" }, period = "200ms", start_in = "0s", data = "tick" },
  crier.TextMESSAGE { name = "broken", channels = { "201" }, period = "1h", start_in = "1h",
    data = function() error "no data" end },
  crier.TextMESSAGE { name = "nothing", channels = { "201" }, period = "1h", start_in = "1h",
    data = function() end },
} }
crier.GUILD { snowflake = "102", logging = true, messages = {
  crier.TextMESSAGE { name = "same", channels = { "202" }, period = "1h", start_in = "1h", data = "other" },
} }
crier.USER { snowflake = "301", logging = true, messages = {
  crier.DirectMESSAGE { name = "hello", period = "1d", start_in = "1d", mode = "clear-send", data = "hi" },
} }
]]

describe("crier message", function()
  local bot
  local function message(...) return bot:crier { "message", ... } end
  local function ticks()
    return #Bot.select(bot:records(), function(r) return r.name == "often" and not r.skipped end)
  end
  setup(function()
    bot = Bot.new(script)
    bot:start()
    bot:wait_record(function(r) return r.name == "often" end)
  end)
  teardown(function() bot:close() end)

  it("lists them", function()
    local r = message "list"
    assert.equal(0, r.code, r.err)
    assert.match("\nTown/gallery +edit +every 1h +0 +0 +0 %a+ ", r.out)
    local names = {}
    for line in message("list", "--json").out:gmatch "[^\n]+" do
      local o = cjson.decode(line)
      names[#names + 1] = o.name .. " " .. tostring(o.paused)
    end
    assert.same({ "gallery false", "same false", "once false", "often false", "broken false",
      "nothing false", "same false", "hello false" }, names)
  end)

  it("shows what a send would say, and then sends just that", function()
    local first = message("preview", "gallery")
    assert.equal(0, first.code, first.err)
    assert.match("^message gallery %(TextMESSAGE, mode edit%) in GUILD Town\n", first.out)
    assert.match("sends %(201%)\n  text     one\n  pings    nobody\n$", first.out)
    assert.equal(first.out, message("preview", "gallery").out)
    assert.equal("true\n", bot:crier({ "eval", "seen" }).out)
    local sent = cjson.decode(message("send", "gallery", "--json").out)
    assert.equal("one", sent.sent_data.text)
    assert.is_true(sent.ok)
    assert.equal("nil\n", bot:crier({ "eval", "seen" }).out)
    local second = cjson.decode(message("preview", "bot.lua", "gallery", "--json").out)
    assert.equal("edit", second.requests[1].does)
    assert.is_string(second.requests[1].message)
    assert.equal("two", second.requests[1].body.embeds[1].title)
    assert.is_nil(second.requests[1].body.nonce)
    assert.equal("two", cjson.decode(message("send", "gallery", "--json").out).sent_data.embed[1].title)
    local third = message("send", "gallery")
    assert.match("^gallery #.* edited\n$", third.out)
  end)

  it("sends no more often for it", function()
    local function due()
      for line in message("list", "--json").out:gmatch "[^\n]+" do
        local o = cjson.decode(line)
        if o.name == "hello" then return o.due, o.sent end
      end
    end
    local before = due()
    assert.equal(0, message("send", "hello").code)
    assert.match("sends, and deletes message %d+", message("preview", "hello").out)
    local after, sent = due()
    assert.equal(before, after)
    assert.equal(1, sent)
  end)

  it("finds a message by its name or GUILD/NAME", function()
    for _, name in ipairs { "Town/same", "101/same", "GUILD 101/same" } do
      local r = message("preview", name)
      assert.equal(0, r.code, r.err)
      assert.match("text     town", r.out)
    end
    assert.match("text     other", message("preview", "102/same").out)
    local r = message("send", "same")
    assert.equal(64, r.code)
    assert.match("^crier message: more than one message is called 'same': say Town/same or .*102/same\n$", r.err)
    r = message("send", "galery")
    assert.equal(64, r.code)
    assert.equal("crier message: no message 'galery' (did you mean 'gallery'?)\n", r.err)
    r = message("pause", "nothing such")
    assert.equal("crier message: no message 'nothing such' (crier message list shows them)\n", r.err)
  end)

  it("tells why nothing was sent", function()
    local r = message("send", "broken")
    assert.equal(1, r.code)
    assert.match("message 'broken' was not sent: bot%.lua:%d+: no data", r.err)
    r = message("preview", "broken")
    assert.equal(1, r.code)
    assert.match("^crier message: bot%.lua:%d+: no data\n", r.err)
    r = message("send", "nothing")
    assert.equal(1, r.code)
    assert.match("was not sent: the data function returned nil", r.err)
    r = message("preview", "nothing")
    assert.equal(1, r.code)
    assert.match("nothing is sent: the data function returned nil", r.out)
  end)

  it("revives what has ended", function()
    assert.equal(0, message("send", "once").code)
    local r = message("send", "once")
    assert.equal(1, r.code)
    assert.match("message 'once': it has ended", r.err)
    assert.match("nothing is sent: remove_after is reached", message("preview", "once").out)
    r = message("resume", "once")
    assert.match("^message once goes on; next: %a", r.out)
    assert.equal(0, message("send", "once").code)
    assert.equal(1, message("send", "once").code)
  end)

  it("holds one back, over a reload and a restart, and counts what it skipped", function()
    assert.equal("message often is paused\n", message("pause", "often").out)
    assert.equal("message often was paused already\n", message("pause", "often").out)
    assert.match("\nTown/often [^\n]* paused\n", message("list").out)
    assert.match("\noften [^\n]* paused\n", bot:crier({ "status" }).out)
    assert.is_nil(bot:crier({ "plan", "bot.lua", "--state", ".crier/sim" }).out:find "often")
    -- A send that is asked for goes out all the same.
    proc.wait_for(function() return message("send", "often").code == 0 end)
    local before = ticks()
    assert.equal(0, bot:crier({ "reload" }).code)
    bot.process:stop()
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    proc.wait_for(function() return message("list").code == 0 end)
    assert.match("\nTown/often [^\n]* paused\n", message("list").out)
    assert.is_true(before > 0)
    assert.equal(0, ticks())
    local r = message("resume", "often")
    assert.match("^message often goes on; next: ", r.out)
    local skip = bot:wait_record(function(x) return x.name == "often" and x.skipped end)
    assert.equal("it was paused", skip.skipped)
    bot:wait_record(function(x) return x.name == "often" and x.ok end)
    assert.match("was not paused", message("resume", "often").out)
  end)

  it("is used like this", function()
    local r = message()
    assert.equal(64, r.code)
    assert.match("^crier message: list, send, preview, pause or resume%?\nusage: ", r.err)
    assert.match("did you mean 'list'", message("lsit").err)
    assert.match("send which message%?", message("send").err)
    assert.equal(64, message("send", "a", "b", "c").code)
    local other = Bot.new()
    r = other:crier { "message", "list" }
    assert.equal(69, r.code)
    assert.match("no running host", r.err)
    other:close()
  end)
end)

describe("crier eval", function()
  local bot
  local function eval(...) return bot:crier { "eval", ... } end
  setup(function()
    bot = Bot.new([[
local crier = require "crier"
crier.config { limits = { callback = "100ms" } }
crier.sink.console { name = "con", level = "debug" }
count = 5
function add(n) count = count + n; return count end
]])
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    proc.wait_for(function() return eval("1").code == 0 end)
  end)
  teardown(function() bot:close() end)

  it("runs in the script's state", function()
    assert.equal("7\n", eval("add(2)").out)
    assert.equal("7\n", eval("bot.lua", "count").out)
    assert.equal("", eval("count = 1").out)
    assert.equal("1\n", eval("count").out)
    assert.equal("1\nx\n", eval("print(count, 'a'); return count, 'x'").out:gsub("^1\ta\n", ""))
    assert.equal("table\n", eval("type(crier)").out)
    bot:write("more.lua", "return count + 1")
    assert.equal("2\n", eval("dofile '" .. bot:path "more.lua" .. "'").out)
  end)

  it("shows values", function()
    assert.equal('{\n  1,\n  "a\\n",\n  b = {},\n  ["c d"] = 2.5\n}\n',
      (eval('{ 1, "a\\n", b = {}, ["c d"] = 2.5 }').out:gsub('(%["c d"%] = 2.5),\n  (b = {})', "%2,\n  %1")))
    assert.equal("{\n  a = <itself>\n}\n", eval("local t = {} t.a = t return t").out)
    assert.match("^function: 0x", eval("print").out)
    assert.same({ values = { { 1, 2 }, "x", cjson.null }, texts = { "{\n  1,\n  2\n}", "x", "nil" } },
      cjson.decode(eval("--json", "{1,2}, 'x', nil").out))
  end)

  it("may wait, and is cancelled when whoever asked has gone", function()
    assert.equal("slept\n", eval('crier.sleep "20ms" return "slept"').out)
    local p = proc.start({ proc.crier, "eval",
      'local x <close> = setmetatable({}, { __close = function() ended = true end }) waits = true crier.sleep "1h"' },
      { cwd = bot.dir })
    proc.wait_for(function() return eval("waits").out == "true\n" end)
    assert.equal("nil\n", eval("ended").out)
    p:signal "KILL"
    p:wait()
    proc.wait_for(function() return eval("ended").out == "true\n" end)
  end)

  it("tells errors with their traceback", function()
    local r = eval "local function f() error 'no' end f()"
    assert.equal(1, r.code)
    assert.equal("", r.out)
    assert.equal("crier eval: eval:1: no\n  eval:1: in local 'f'\n  eval:1: in the file itself\n", r.err)
    r = eval("--json", "error 'no'")
    assert.equal("eval:1: no", cjson.decode(r.out).error)
    assert.match("near <eof>", eval("1 +").err)
    assert.match("'end' expected near <eof>", eval("if x then").err)
    assert.match("eval:1: eval used more than 100ms of CPU time", eval("while true do end").err)
    assert.match("not enough memory", eval("('x'):rep(1 << 30)").err)
    assert.equal("2\n", eval("1 + 1").out)
  end)

  it("is answered over the control socket only, which is its owner's", function()
    local mode = io.popen("stat -c %a " .. proc.quote(bot:path ".crier/sim/control.sock"))
    assert.equal("600", mode:read "l")
    mode:close()
  end)

  it("is used like this", function()
    assert.match("^crier eval: which Lua%?\nusage: ", eval().err)
    assert.equal(64, eval("a", "b", "c").code)
    assert.equal(69, bot:crier({ "eval", "--state", "nowhere", "1" }).code)
  end)
end)
