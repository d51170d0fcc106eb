-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- What a script may not do: run for ever, take all memory, end the host, stop the others; while it
-- loads, at a reload, and in the callbacks of a running bot.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local LIMITS = 'local crier = require "crier"\n' ..
  'crier.config { limits = { load = "150ms", memory = "16MiB", callback = "50ms" } }\n'

-- Ways to be a bad script; the first line is line 3. What check says of it, as a pattern; the lines
-- that are only a matter of memory have no place.
local BAD = {
  { "an endless loop", "while true do end",
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "an endless loop that catches errors", "while true do pcall(function() while true do end end) end",
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "an endless loop in a coroutine", "coroutine.wrap(function() while true do end end)()",
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "an endless loop in a comparison", "table.sort({ 1, 2, 3 }, function() while true do end end)",
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "an endless loop in a finalizer",
    "setmetatable({}, { __gc = function() while true do end end }) collectgarbage() while true do end",
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "a pattern without end", 'string.find(("a"):rep(40000), (".-"):rep(12) .. "b")',
    "^bot%.lua:3: loading bot%.lua used more than 150ms of CPU time %(limits%.load%)$" },
  { "a memory hog", 'local t = {} for i = 1, 1e5 do t[i] = ("x"):rep(20000) .. i end',
    "^bot%.lua:.* not enough memory: .*%(limits%.memory%)", load = "5s" },
  { "a string bomb", 'local s = ("x"):rep(1 << 30)',
    "^bot%.lua:.* not enough memory: .*%(limits%.memory%)" },
  { "deep recursion", "local function f() return 1 + f() end f()", "^bot%.lua:.*" },
  { "a syntax error", "local = 5", "^bot%.lua:3: <name> expected near '='$" },
  { "a runtime error", "local t; t.x = 1", "^bot%.lua:3: attempt to index a nil value %(local 't'%)$" },
}

local function errors(out)
  local lines = {}
  for line in out:gmatch "[^\n]+" do
    if line:match "^[%w_]+%.lua:" and not line:match "note: " and not line:match "warning: " and
      not line:match "^bot%.lua: %d+ bots?, " then
      lines[#lines + 1] = line
    end
  end
  return lines
end

describe("a script that loads", function()
  local bot
  setup(function() bot = Bot.new() end)
  teardown(function() bot:close() end)

  local function load(script, files, limit)
    for name, text in pairs(files or {}) do bot:write(name, text) end
    bot:write("bot.lua", LIMITS:gsub("150ms", limit or "%0") .. script .. "\n")
    local r = bot:check()
    return errors(r.out), r
  end

  for _, case in ipairs(BAD) do
    it("is stopped: " .. case[1], function()
      local lines, r = load(case[2], nil, case.load)
      assert.equal(1, #lines, r.out)
      assert.matches(case[3], lines[1])
      assert.equal(78, r.code)
      assert.equal("", r.err)
    end)
  end

  it("has room within its limits", function()
    local lines, r = load 'local t = {} for i = 1, 1e4 do t[i] = ("x"):rep(500) .. i end'
    assert.same({}, lines)
    assert.equal(0, r.code)
    lines = load 'local ok, err = pcall(string.rep, "x", 1 << 30) assert(not ok and err:find "memory", err)'
    assert.same({}, lines)
  end)

  it("may lift its limits", function()
    bot:write("bot.lua", 'local crier = require "crier"\n' ..
      'crier.config { limits = { load = false, memory = false } }\n' ..
      'local stop = os.clock() + 0.3\nwhile os.clock() < stop do end\n' ..
      'local s = ("x"):rep(300 << 20)\n')
    assert.equal(0, bot:check().code)
  end)

  it("cannot end the host or take its hooks away", function()
    local lines = load [[
for _, name in ipairs { "os.exit", "os.setlocale", "debug.sethook", "debug.setmetatable", "debug.getregistry",
                        "debug.setupvalue", "package.loadlib" } do
  local lib, f = name:match "(%w+)%.(%w+)"
  if _G[lib][f] ~= nil then error(name .. " is there") end
end]]
    assert.same({}, lines)
  end)

  it("is text, never bytecode", function()
    local code = string.dump(assert(_G.load "return 5"))
    assert.same({ "bot.lua: compiled.lua: bytecode is not loaded: give the Lua source text" },
      { (load('require "compiled"', { ["compiled.lua"] = code })[1]:gsub("^bot%.lua:%d+: .-(compiled%.lua: )", "bot.lua: %1")) })
    assert.matches("bytecode is not loaded", load('assert(loadfile "compiled.lua")')[1])
    assert.matches("bytecode is not loaded", load('assert(load(string.dump(function() end)))')[1])
    assert.matches("bytecode is not loaded", load('assert(load(string.dump(function() end), "x", "b"))')[1])
    os.remove(bot:path "compiled.lua")
  end)

  it("loads no C modules", function()
    local where = package.searchpath("cjson", package.cpath)
    local lines = load(('package.cpath = "%s"\nrequire "cjson"'):format(where or "/usr/lib/?.so"))
    assert.matches("C modules are off %(crier%.config { native_modules = true } turns them on%)$", lines[1])
  end)
end)

describe("a reload", function()
  local bot, good
  setup(function()
    good = LIMITS .. [[
crier.bot { token = crier.secret.env "TOKEN" }
crier.sink.console { kinds = { "system", "message" } }
crier.GUILD { snowflake = "1", logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = "2", period = "100ms", data = "x" } } }
]]
    bot = Bot.new(good)
    bot:start({ "--sim-no-limits" }, { env = { TOKEN = "x" } })
    bot:wait_record(function(r) return r.kind == "message" end)
  end)
  teardown(function() bot:close() end)

  local function sent()
    return #Bot.select(bot:records(), function(r) return r.kind == "message" and r.ok end)
  end

  for _, case in ipairs(BAD) do
    it("is refused for " .. case[1] .. ", and the bot goes on", function()
      bot:write("bot.lua", LIMITS:gsub("150ms", case.load or "%0") .. case[2] .. "\n")
      local before = sent()
      local r = bot:crier { "reload", "bot.lua" }
      assert.equal(78, r.code)
      local why = errors(r.err .. r.out)[1]
      assert.matches(case[3], (why:gsub("^.-(bot%.lua:)", "%1", 1)))
      local status = cjson.decode(bot:crier({ "status", "bot.lua", "--json" }).out)
      assert.matches(case[3], status.last_error)
      assert.equal(1, status.generation)
      local refused = bot:wait_record(function(x)
        return x.what == "reload.failed" and x.text:find(status.last_error, 1, true)
      end)
      assert.equal("error", refused.level)
      proc.wait_for(function() return sent() > before + 1 end, nil, "more sends")
      assert.is_nil(bot.process:code())
    end)
  end

  it("is taken once the script is good again", function()
    bot:write("bot.lua", good)
    assert.equal(0, bot:crier({ "reload", "bot.lua" }).code)
    local status = cjson.decode(bot:crier({ "status", "bot.lua", "--json" }).out)
    assert.is_nil(status.last_error)
    assert.equal(2, status.generation)
  end)
end)

describe("a callback", function()
  local by_name, records, result

  setup(function()
    local bot = Bot.new(LIMITS:gsub("16MiB", "64MiB") .. [[
crier.bot { token = crier.secret.env "TOKEN" }
local function m(name, data, period)
  return crier.TextMESSAGE { name = name, channels = "2", period = period or "1h", data = data }
end
crier.on("message.sent", function(r) if r.name == "well" then error "from the hook" end end)
crier.on("message.sent", function(r) if r.name == "well" then crier.log.info "the second hook" end end)
crier.GUILD { snowflake = "1", logging = true, messages = {
  m("well", "x", "100ms"),
  m("loop", function() while true do end end),
  m("pcalls", function() while true do pcall(function() while true do end end) end end),
  m("wrap", function() coroutine.wrap(function() while true do end end)() end),
  m("sort", function() table.sort({ 1, 2, 3 }, function() while true do end end) end),
  m("runtime", function()
    local function inner(t) return t.x end
    local x = inner(nil)
    return x
  end),
  m("table", function() error { code = 5 } end),
  m("nil", function() error() end),
  m("tostring", function() error(setmetatable({}, { __tostring = function() return "mine" end })) end),
  m("sleepsort", function() table.sort({ 1, 2, 3 }, function(a, b) crier.sleep "1ms" return a < b end) end),
} }
]])
    result = bot:run({ "--sim-no-limits", "--for", "3s" }, { env = { TOKEN = "x" } })
    bot:close()
    records, by_name = result.records, {}
    for _, r in ipairs(records) do
      local name = r.what == "callback.error" and r.text:match "message '(%w+)'"
      if name then by_name[name] = r end
    end
  end)

  local function skipped(name)
    return Bot.select(records, function(r) return r.name == name and r.skipped end)
  end

  local function sent(name)
    return Bot.select(records, function(r) return r.name == name and r.ok end)
  end

  it("that fails is recorded, and the bot goes on", function()
    assert.equal(0, result.code)
    local well, looped = sent "well", skipped "loop"
    assert.is_true(well[#well].seq > looped[1].seq)
  end)

  for name, line in pairs { loop = 11, pcalls = 12, wrap = 13, sort = 14 } do
    it("that runs for ever is stopped: " .. name, function()
      local r = by_name[name]
      assert.equal(("bot.lua:%d: data function of message '%s' used more than 50ms of CPU time (limits.callback)")
        :format(line, name), r.text)
      assert.equal("error", r.level)
      assert.matches("bot%.lua:" .. line, r.exc_text)
      local skips = skipped(name)
      assert.equal(1, #skips)
      assert.equal("the data function failed", skips[1].skipped)
      assert.equal(0, #sent(name))
    end)
  end

  it("that raises is told with its traceback", function()
    assert.equal("data function of message 'runtime' failed: bot.lua:16: attempt to index a nil value (local 't')",
      by_name.runtime.text)
    assert.matches("bot%.lua:16: in .*inner.*\nbot%.lua:17: in ", by_name.runtime.exc_text)
    assert.equal("the data function failed", skipped("runtime")[1].skipped)
  end)

  it("may raise anything", function()
    assert.equal("data function of message 'table': the error is a table value, not a text", by_name.table.text)
    assert.equal("data function of message 'nil': the error is a nil value, not a text", by_name["nil"].text)
    assert.equal("data function of message 'tostring' failed: mine", by_name.tostring.text)
  end)

  it("cannot wait where Lua cannot", function()
    assert.matches("failed: bot%.lua:23: crier%.sleep cannot wait inside table%.sort", by_name.sleepsort.text)
  end)

  it("that is a hook fails alone", function()
    local hook = Bot.select(records, function(r) return r.what == "callback.error" and r.text:find("from the hook", 1, true) end)
    assert.equal(#sent "well", #hook)
    assert.equal('crier.on("message.sent") at bot.lua:7 failed: bot.lua:7: from the hook', hook[1].text)
    assert.equal(#hook, #Bot.select(records, function(r) return r.text == "the second hook" end))
  end)

end)

describe("a data function", function()
  it("that takes all memory is stopped, and the memory is given back", function()
    local bot = Bot.new([[
local crier = require "crier"
crier.config { limits = { callback = "5s", memory = "16MiB" } }
crier.bot { token = crier.secret.env "TOKEN" }
local calls = 0
crier.GUILD { snowflake = "1", logging = true, messages = {
  crier.TextMESSAGE { name = "hog", channels = "2", period = "200ms", data = function()
    calls = calls + 1
    if calls % 2 == 0 then return "call " .. calls end
    local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end
  end } } }
]])
    bot:start({ "--sim-no-limits" }, { env = { TOKEN = "x" } })
    local hogs, sent
    proc.wait_for(function()
      hogs = Bot.select(bot:records(), function(x) return x.what == "callback.error" end)
      sent = Bot.select(bot:records(), function(x) return x.kind == "message" and x.ok end)
      return #hogs >= 2 and #sent >= 2
    end)
    assert.equal(0, bot:close())
    assert.matches("^data function of message 'hog': not enough memory: .*%(limits%.memory%)", hogs[1].text)
    assert.equal("call 2", sent[1].sent_data.text)
  end)

  it("may sleep for longer than its period: what it misses is counted, others are on time", function()
    local bot = Bot.new([[
local crier = require "crier"
crier.bot { token = crier.secret.env "TOKEN" }
crier.GUILD { snowflake = "1", logging = true, messages = {
  crier.TextMESSAGE { name = "well", channels = "2", period = "200ms", data = "x" },
  crier.TextMESSAGE { name = "sleeper", channels = "2", period = "200ms", data = function(ctx)
    crier.sleep "900ms"
    return "slept after " .. ctx.skipped
  end } } }
]])
    local r = bot:crier { "simulate", "bot.lua", "--no-limits", "--json", "--for", "2s" }
    bot:close()
    local n, missed = { sleeper = 0, well = 0 }, { sleeper = 0, well = 0 }
    for _, x in ipairs(Bot.select(Bot.parse(r.out), function(x) return x.kind == "message" end)) do
      if x.ok then
        n[x.name] = n[x.name] + 1
      else
        missed[x.name] = missed[x.name] + (x.occurrences or 1)
        assert.equal("the send before is still under way", x.skipped)
      end
    end
    -- Each due time is a send or a miss: 10 in two seconds, the first at once.
    assert.same({ sleeper = 2, well = 10 }, n)
    assert.same({ sleeper = 8, well = 0 }, missed)
  end)

  it("that recurses without end is stopped", function()
    local bot = Bot.new([[
local crier = require "crier"
crier.bot { token = crier.secret.env "TOKEN" }
crier.GUILD { snowflake = "1", logging = true, messages = {
  crier.TextMESSAGE { name = "deep", channels = "2", period = "1h", data = function()
    local function f() return 1 + f() end
    return f()
  end } } }
]])
    local r = bot:run({ "--for", "100ms" }, { env = { TOKEN = "x" } })
    bot:close()
    assert.equal(0, r.code)
    local failed = Bot.select(r.records, function(x) return x.what == "callback.error" end)
    assert.equal(1, #failed)
    assert.matches("deep", failed[1].text)
  end)
end)

-- Since the hour began.
local function seconds(record)
  local m, s = record.time:match ":(%d+):([%d.]+)Z$"
  return m * 60 + tonumber(s)
end

describe("the match function of a route", function()
  it("that fails loses nothing: default route, and one record a second tells it", function()
    local bot = Bot.new([[
local crier = require "crier"
local all = crier.sink.jsonl { name = "all", path = "all.jsonl" }
local none = crier.sink.memory { name = "none" }
crier.route { to = none, match = function(r)
  if r.text == "slow" then while true do end end
  return r.nope.x
end }
crier.route { match = { kind = "message" }, to = none }
crier.log.info "slow" -- in a callback it would cost the callback its own budget too
crier.on("start", function()
  for i = 1, 200 do crier.log.info("line " .. i) end
  crier.sleep "1300ms"
  crier.log.info "line 201"
end)
]])
    local r = bot:crier { "simulate", "bot.lua", "--sinks", "--summary", "--for", "1900ms" }
    local records = Bot.parse(bot:read "all.jsonl")
    bot:close()
    assert.equal(0, r.code, r.err)
    local lines = Bot.select(records, function(x) return x.text:match "^line %d+$" end)
    assert.equal(201, #lines)
    for i, line in ipairs(lines) do assert.equal("line " .. i, line.text) end
    assert.equal(1, #Bot.select(records, function(x) return x.text == "slow" end))
    local told = Bot.select(records, function(x) return x.what == "route.error" end)
    assert.equal(2, #told)
    assert.is_true(seconds(told[2]) - seconds(told[1]) >= 1, told[2].time)
    assert.matches("^the route at bot%.lua:4 failed, its records take the default route: " ..
      ".*used more than 250ms of CPU time %(limits%.callback%)", told[1].text)
    assert.matches("^the route at bot%.lua:4 failed, its records take the default route: " ..
      "bot%.lua:6: attempt to index a nil value %(field 'nope'%)", told[2].text)
    assert.equal("error", told[1].level)
  end)
end)
