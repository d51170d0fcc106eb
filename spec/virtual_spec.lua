-- SPDX-License-Identifier: MIT
-- Virtual time: crier simulate, spec, init.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local script = [[
local crier = require "crier"
crier.config { timezone = "Europe/Ljubljana" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
local turn = crier.data_function(function(ctx, list)
  for k in pairs { b = 1, a = 2, [3] = 3, [print] = 4, [{}] = 5 } do crier.log.debug("key", { key = tostring(k) }) end
  if math.random() < 0.2 then return nil end
  return list[ctx.sent % #list + 1] .. " " .. os.date("!%H:%M") .. " " .. tostring({}) .. math.random(1000)
end)
crier.GUILD { snowflake = "863071397207212052", name = "Fans", logging = true, messages = {
  crier.TextMESSAGE { name = "gallery", channels = { "978332728615378984" }, mode = "edit", period = "30m",
                      start_in = "5s", data = turn { "one", "two" } },
  crier.TextMESSAGE { name = "digest", channels = { "978332728615378984" },
                      period = crier.weekly { "Mon", at = "09:00" }, data = "The week" },
  crier.TextMESSAGE { name = "reminder", channels = { "978332728615378985" }, period = { "45m", "75m" },
                      data = "Hello <@145196308985020416>", mentions = { users = true } },
} }
crier.task { name = "fetch", start = crier.every "2h", run = function()
  local res, err = crier.http.get "https://api.example/n"
  crier.log.info(res and "n " .. res:json().n or err)
end }
]]

-- The records of `--json`, and its summary.
local function parse(out)
  local records, summary = {}, nil
  for line in out:gmatch "[^\n]+" do
    local o = cjson.decode(line)
    if o.summary then summary = o.summary else records[#records + 1] = o end
  end
  return records, summary
end

local function select_(records, want)
  return Bot.select(records, function(r)
    for k, v in pairs(want) do if r[k] ~= v then return false end end
    return true
  end)
end

describe("crier simulate", function()
  local bot
  before_each(function() bot = Bot.new(script) end)
  after_each(function() bot:close() end)

  local function simulate(args)
    local r = bot:crier { "simulate", "bot.lua", "--from", "2026-11-21", table.unpack(args) }
    assert.equal(0, r.code, r.err)
    return r.out, r.err
  end

  it("tells a day, and what it adds up to", function()
    local out = simulate { "--for", "24h" }
    assert.truthy(out:find("Sat 21 Nov 00:00:05 message info     gallery #channel 978332728615378984 sent  one", 1, true), out)
    assert.truthy(out:find("skipped: the data function returned nil", 1, true), out)
    assert.truthy(out:find("\n1d: %d+ sends, 0 failed, %d+ skipped"), out)
    assert.truthy(out:find("never fired     message 'digest': first due Mon 23 Nov 09:00:00, after the end", 1, true), out)
    assert.truthy(out:find("busiest minute  Sat 21 Nov ", 1, true), out)
    local records, summary = parse(simulate { "--for", "24h", "--json" })
    assert.equal(#records, summary.records)
    local sends = #select_(records, { kind = "message" })
    assert.equal(sends, summary.sends + summary.skipped)
    assert.equal(summary.channels[2].sent, summary.channels[2].pings) -- the reminder pings one each time
    assert.equal(0, summary.channels[1].pings)
    assert.equal("digest", summary.never[1].name)
  end)

  it("lets a large guild hold up no small one", function()
    bot:write("bot.lua", [[
local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
local many = {}
for i = 1, 400 do many[i] = tostring(5000 + i) end
crier.GUILD { snowflake = "100", logging = true, messages = {
  crier.TextMESSAGE { name = "large", channels = many, period = "1h", data = "x" } } }
crier.GUILD { snowflake = "200", logging = true, messages = {
  crier.TextMESSAGE { name = "small", channels = { "9001", "9002", "9003" }, period = "1h", data = "y" } } }
]])
    local sends = select_(parse(simulate { "--for", "1m", "--json" }), { kind = "message" })
    assert.equal("small", sends[1].name)
    assert(sends[1].runtime < 2, sends[1].runtime)
    assert.equal("large", sends[2].name)
    assert(sends[2].runtime > 7, sends[2].runtime) -- fifty a second
    assert.equal(2, #sends)
  end)

  it("writes nothing anywhere", function()
    simulate { "--for", "24h" }
    assert.same({ "bot.lua" }, bot:files())
  end)

  it("gives the same bytes for the same seed, and others for another", function()
    local args = { "--for", "24h", "--json", "--faults", "all" }
    local one = simulate(args)
    assert.equal(one, (simulate(args)))
    args[#args + 1] = "--seed"
    args[#args + 1] = "2"
    assert.not_equal(one, (simulate(args)))
    assert.falsy(one:find("/tmp", 1, true))
  end)

  it("goes as slowly as it is told, with the same result", function()
    local socket = require "socket"
    local fast = simulate { "--for", "20m" }
    local from = socket.gettime()
    assert.equal(fast, (simulate { "--for", "20m", "--speed", "1000" }))
    local took = socket.gettime() - from
    assert(took >= 1.15, took) -- of 1.2 s
  end)

  it("runs the real sinks when asked to", function()
    bot:write("bot.lua", (script:gsub('local turn', 'crier.sink.jsonl { name = "lines", path = "log.jsonl" }\nlocal turn', 1)))
    local _, summary = parse(simulate { "--for", "6h", "--sinks", "--json" })
    local n = 0
    for _ in bot:read "log.jsonl":gmatch "\n" do n = n + 1 end
    assert.equal(summary.records, n - 1) -- and that it stops
  end)

  it("drives the modules of tasks and sinks in line, from its seed", function()
    bot:write("heavy.lua", [[
      local crier = require "crier"
      return function() crier.sleep(math.random(1, 9)) crier.log.info("heavy " .. math.random(1000000)) end ]])
    bot:write("box.lua", [[
      local crier = require "crier"
      return { write = function(_, records)
        crier.log.info(string.format("box %d %d", #records, math.random(1000000)))
        return true
      end } ]])
    bot:write("bot.lua", [[
      local crier = require "crier"
      crier.sink.memory { name = "memory" }
      crier.sink.custom { name = "box", module = "box", batch = 3, flush = "1s" }
      crier.task { name = "heavy", start = crier.every "1h", module = "heavy" } ]])
    local args = { "--for", "5h", "--json", "--sinks" }
    local one = simulate(args)
    assert.equal(one, (simulate(args)))
    local drawn, n = {}, 0
    for _, r in ipairs(parse(one)) do
      if r.kind == "log" then
        n = n + (drawn[r.text] and 0 or 1)
        drawn[r.text] = true
      end
    end
    assert.is_true(n >= 10, n) -- each run draws numbers of its own
    args[#args + 1] = "--seed"
    args[#args + 1] = "2"
    for _, r in ipairs(parse((simulate(args)))) do assert.falsy(r.kind == "log" and drawn[r.text], r.text) end
  end)

  it("answers crier.http from a file, and refuses what is not in it", function()
    bot:write("http.json", '[{"match":"GET https://api.example/*","json":{"n":7},"times":2}]')
    local records = parse(simulate { "--for", "7h", "--json", "--http", "http.json" })
    local logs = select_(records, { kind = "log", level = "info" })
    assert.equal("n 7", logs[1].text)
    assert.equal("n 7", logs[2].text)
    assert.truthy(logs[3].text:find("no network in virtual time, and no fixture fits", 1, true), logs[3].text)
  end)

  it("takes faults of Discord, the sinks and the clock", function()
    bot:write("f.json", [==[ [
      {"match":"POST /channels/978332728615378985/messages","do":"status","status":403,
       "body":{"code":50013,"message":"Missing Permissions"},"at":"6h","for":"3h"},
      {"sink":"memory","do":"down","at":"1h","for":"1h"},
      {"clock":"30m","at":"12h"} ] ]==])
    local records, summary = parse(simulate { "--for", "24h", "--json", "--faults", "f.json" })
    assert.is_true(summary.failed >= 2 and summary.failed <= 5, summary.failed)
    assert.truthy(summary.failures[1].text:find("50013", 1, true), summary.failures[1].text)
    local said = {}
    for _, r in ipairs(records) do if r.kind == "system" then said[#said + 1] = r.text end end
    local all = table.concat(said, "\n")
    assert.truthy(all:find("the clock was set forward by 30m", 1, true), all)
    assert.truthy(all:find("sink 'memory': down: a fault of the simulation", 1, true), all)
    assert.truthy(all:find("sink 'memory': ok", 1, true), all)
  end)

  it("draws a picture", function()
    simulate { "--for", "24h", "--summary", "--svg", "t.svg" }
    local svg = bot:read "t.svg"
    assert.truthy(svg:find("^<svg "))
    assert.truthy(svg:find(">gallery<title>%d+ sent, 0 failed, %d+ skipped</title>"), svg)
    assert.truthy(svg:find("font%-weight=\"bold\">Fans<"))
    assert.truthy(svg:find("</svg>\n$"))
  end)

  it("says of what was never sent how often that was tried", function()
    bot:write("mute.lua", [[
local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.GUILD { snowflake = "863071397207212052", messages = {
  crier.TextMESSAGE { name = "mute", channels = { "978332728615378984" }, period = "1h", data = crier.data_function(function() end) {} },
} }]])
    local function never(span)
      return bot:crier({ "simulate", "mute.lua", "--for", span }).out:match "never fired +([^\n]+)"
    end
    assert.equal("message 'mute': skipped once", never "30m")
    assert.equal("message 'mute': skipped 3 times", never "150m")
  end)

  it("says what is wrong with its arguments", function()
    for _, case in ipairs {
      { { "simulate", "bot.lua" }, 64, "how long? (--for 24h)" },
      { { "simulate", "bot.lua", "--for", "10" }, 64, "--for: expected a duration" },
      { { "simulate", "bot.lua", "--for", "1h", "--seed", "x" }, 64, "--seed takes a whole number, got 'x'" },
      { { "simulate", "bot.lua", "--for", "1h", "--speed", "0" }, 64, "--speed takes a number above 0" },
      { { "simulate", "no.lua", "--for", "1h" }, 66, "no.lua" },
      { { "simulate", "bot.lua", "--for", "1h", "--faults", "no.json" }, 66,
        "crier simulate: cannot read 'no.json': No such file or directory\n" ..
        "crier simulate: --faults takes a file, or one of the presets flaky limits " },
      { { "simulate", "bot.lua", "--for", "1h", "--faults", "bad.json" }, 78, "bad.json: fault 1: unknown key 'sinkk'" },
    } do
      bot:write("bad.json", '[{"sink":"x","do":"fail","sinkk":1}]')
      local r = bot:crier(case[1])
      assert.equal(case[2], r.code, r.err)
      assert.truthy(r.err:find(case[3], 1, true), r.err)
    end
    bot:write("bot.lua", "local crier = require 'crier'\ncrier.GUILD { snowflak = 1 }\n")
    local r = bot:crier { "simulate", "bot.lua", "--for", "1h" }
    assert.equal(78, r.code)
    assert.truthy(r.err:find("did you mean 'snowflake'?", 1, true), r.err)
  end)
end)

describe("crier diff", function()
  local text = [[
    local crier = require "crier"
    crier.bot { token = crier.secret.env "X" }
    crier.GUILD { snowflake = "863071397207212052", name = "Fans", messages = {
      crier.TextMESSAGE { name = "news", channels = { "978332728615378984" }, period = "6h", start_in = "1m", data = "x" },
      crier.TextMESSAGE { name = "same", channels = { "978332728615378985" }, period = "6h", data = "x" } } }
  ]]
  local changed = text:gsub('"6h", start_in', '"3m", start_in')
  changed = changed:gsub('data = "x" },', 'data = "@everyone", mentions = { everyone = true } },', 1)

  it("compares two files, and says by how much a channel grows", function()
    local bot = Bot.new(text, { ["new.lua"] = changed })
    local function diff(args) return bot:crier { "diff", "new.lua", "--against", "bot.lua", "--for", "24h", table.unpack(args or {}) } end
    local r = diff()
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find("8 -> 484 messages sent", 1, true), r.out)
    assert.truthy(r.out:find("~ #channel 978332728615378984 +4 %-> 480, pings 0 %-> 480  %(Fans%)"), r.out)
    assert.truthy(r.out:find("  1 channel as before", 1, true), r.out)
    r = diff { "--max-growth", "3x" }
    assert.equal(1, r.code)
    assert.truthy(r.err:find("#channel 978332728615378984 (Fans) would get 120x as many messages, more than 3x", 1, true), r.err)
    assert.equal(0, diff({ "--max-growth", "120x" }).code)
    local o = cjson.decode(diff({ "--json" }).out)
    assert.equal(120, o.growth)
    assert.same({ 4, 480 }, o.channels[1].sends)
    bot:close()
  end)

  it("tells of alerts, and of waits for rate limits, that the new one brings", function()
    local more = text:gsub('"6h", start_in', '"500ms", start_in') .. [[
      crier.alert { name = "oh", when = { match = { level = "error" } }, to = { { webhook = "https://ops.example/hook" } } }
      crier.task { name = "t", start = crier.every "1h", run = function() crier.log.error "oh" end } ]]
    local bot = Bot.new(text, { ["new.lua"] = more })
    local args = { "diff", "new.lua", "--against", "bot.lua", "--for", "3h" }
    local r = bot:crier(args)
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find "\n%+ alert: oh %(%d times%)\n", r.out)
    assert.truthy(r.out:find("\n~ waits for rate limits: 0s %-> %d"), r.out)
    args[#args + 1] = "--json"
    local o = cjson.decode(bot:crier(args).out)
    assert.same({ "oh" }, o.new_alerts)
    assert.is_true(o.waited[1] == 0 and o.waited[2] > 1, o.waited[2])
    bot:close()
  end)

  it("compares with what runs, from its state; reload refuses what grows too much", function()
    local bot = Bot.new(text)
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    bot:write("bot.lua", changed)
    local state = { "--state", ".crier/sim" }
    local r = bot:crier { "diff", "bot.lua", "--for", "24h", table.unpack(state) }
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find("~ #channel 978332728615378984 +4 %-> 480"), r.out)
    r = bot:crier { "reload", "--max-growth", "3x", table.unpack(state) }
    assert.equal(1, r.code, r.out .. r.err)
    assert.truthy(r.err:find("reload refused: #channel 978332728615378984", 1, true), r.err)
    r = bot:crier { "reload", "--max-growth", "200x", table.unpack(state) }
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find("every 6h -> every 3m", 1, true), r.out)
    bot:close()
  end)

  it("says that nothing runs", function()
    local bot = Bot.new(text)
    local r = bot:crier { "diff", "bot.lua", "--for", "1h" }
    assert.equal(69, r.code)
    assert.truthy(r.err:find("no bot runs here that bot.lua could be compared with; --against FILE", 1, true), r.err)
    bot:close()
  end)
end)

describe("crier spec", function()
  it("runs the specs of the example", function()
    local r = proc.run({ proc.crier, "spec", "-o", "TAP" }, { cwd = "examples" })
    assert.equal(0, r.code, r.out .. r.err)
    assert.truthy(r.out:find("1..4", 1, true), r.out)
  end)

  it("says readably what was expected and what happened, and ends with 1", function()
    local bot = Bot.new(script, { ["a_spec.lua"] = [[
      local testing = require "crier.testing"
      describe("a", function()
        after_each(testing.close_all)
        it("sent", function()
          local bot = testing.load("bot.lua", { at = "2026-01-01T00:00" })
          bot:advance "10s"
          bot:expect_sent({ name = "digest", text = "The week" }, 2)
        end)
        it("record", function()
          local bot = testing.load("bot.lua")
          bot:expect_record { kind = "task", action = "crash" }
        end)
        it("load", function() testing.load("no.lua") end)
        it("option", function() testing.load("bot.lua", { sed = 1 }) end)
      end) ]] })
    local r = bot:crier { "spec", "-o", "TAP", "a_spec.lua" }
    assert.equal(4, select(2, r.out:gsub("\nnot ok", "")) + (r.out:find "^not ok" and 1 or 0), r.out)
    assert.not_equal(0, r.code)
    for _, text in ipairs {
      'expected { name = "digest", text = "The week" } to be sent 2 times, was 0 times; sent:',
      "2026-01-01T00:00:05", 'expected a record { action = "crash", kind = "task" }, found 0',
      "no.lua does not start:", "testing.load: unknown option 'sed'",
    } do
      assert.truthy(r.out:find(text, 1, true), text .. "\n" .. r.out)
    end
    bot:close()
  end)

  it("keeps state over a restart, reloads, and shows files of real sinks", function()
    local bot = Bot.new([[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "X" }
      crier.sink.jsonl { name = "lines", path = "log.jsonl" }
      crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { "978332728615378984" }, mode = "edit", period = "1h", data = "a" } } }
    ]], { ["a_spec.lua"] = [[
      local testing = require "crier.testing"
      local function put(text) local f = assert(io.open("bot.lua", "w")); f:write(text); f:close() end
      it("all", function()
        local bot = testing.load("bot.lua", { state = "state", sinks = true })
        local text = bot:file_text "bot.lua"
        bot:advance "90m"
        bot:restart()
        bot:advance "1h"
        bot:restart(true)
        bot:advance "1h"
        assert.equal(1, #bot:channel "978332728615378984")
        bot:expect_sent({ name = "m" }, 4)
        put((text:gsub('"1h"', '"10m"')))
        assert.truthy(bot:reload():find("every 1h -> every 10m", 1, true))
        bot:advance "61m"
        bot:expect_sent({ name = "m" }, 10)
        put "error 'x'"
        local ok, why = bot:reload()
        assert.is_nil(ok)
        assert.truthy(why:find("x", 1, true))
        put(text)
        assert.truthy(bot:file_text "log.jsonl":find('"name":"m"', 1, true))
        local s = bot:stats()
        assert.equal(1, s.creates)
        local lines = s.sinks.lines
        assert.equal(lines.accepted, lines.written + lines.queued + lines.spilled + lines.rejected + lines.dropped)
        bot:close()
      end) ]] })
    local r = bot:crier { "spec", "-o", "TAP", "a_spec.lua" }
    assert.equal(0, r.code, r.out .. r.err)
    bot:close()
  end)
end)

describe("crier init", function()
  it("makes a bot whose check, spec and simulation are fine", function()
    local bot = Bot.new()
    assert.equal(0, bot:crier({ "init", "new" }).code)
    local cwd = bot:path "new"
    local function run(argv) return proc.run({ proc.crier, table.unpack(argv) }, { cwd = cwd, env = { DISCORD_TOKEN = "x" } }) end
    local r = run { "check", "--strict", "bot.lua" }
    assert.equal(0, r.code, r.out .. r.err)
    r = run { "spec", "-o", "TAP" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.truthy(r.out:find("1..3", 1, true), r.out)
    assert.equal(0, run({ "simulate", "bot.lua", "--for", "24h" }).code)
    assert.truthy(bot:read "new/crier-bot.service":find("ExecStart=", 1, true))
    assert.equal(proc.read "lua/meta/crier.lua", bot:read "new/.crier-types/crier.lua")
    bot:close()
  end)

  it("never overwrites", function()
    local bot = Bot.new()
    os.execute("mkdir " .. proc.quote(bot:path "new"))
    bot:write("new/bot.lua", "mine")
    local r = bot:crier { "init", "new" }
    assert.equal(73, r.code)
    assert.truthy(r.err:find("bot.lua' is there already", 1, true), r.err)
    assert.equal("mine", bot:read "new/bot.lua")
    assert.same({ "new/bot.lua" }, bot:files())
    bot:close()
  end)
end)
