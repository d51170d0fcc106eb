-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- crier.route and crier.transform from a script's side. The router's own cases, in virtual time, are
-- in unit/sink_router_test.c.
local cjson = require "cjson"
local Bot = require "spec.support.bot"

local HEAD = 'local crier = require "crier"\n'

-- One jsonl file a sink: out "a" makes a.jsonl.
local OUT = HEAD .. [[
local function out(name, more)
  local o = { name = name, path = name .. ".jsonl" }
  for k, v in pairs(more or {}) do o[k] = v end
  return crier.sink.jsonl(o)
end
]]

-- Runs the script in virtual time; what each of its files holds: { a = { record, ... } }, and how the
-- run went.
local function run(script, duration)
  local bot = Bot.new(OUT .. script)
  finally(function() bot:close() end)
  local r = bot:crier { "simulate", "bot.lua", "--sinks", "--summary", "--for", duration or "50ms" }
  assert.equal(0, r.code, r.err)
  local files = setmetatable({}, { __index = function() return {} end })
  for _, name in ipairs(bot:files()) do
    local sink = name:match "^%./(%w+)%.jsonl$" or name:match "^(%w+)%.jsonl$"
    if sink then files[sink] = Bot.parse(bot:read(name)) end
  end
  return files, r
end

local function texts(records)
  local list = {}
  for _, r in ipairs(records) do
    if r.kind == "log" then list[#list + 1] = r.text end
  end
  return table.concat(list, " ")
end

local function system(records, what)
  return Bot.select(records, function(r) return r.what == what end)
end

describe("crier.route", function()
  it("has unless, copy and otherwise", function()
    local files = run [[
      local a, b, c = out "a", out "b", out "c"
      crier.route { match = { level = crier.ge "warning" }, unless = { logger = "noise" }, to = a }
      crier.route { match = { kind = "log" }, unless = { level = "error" }, to = b, copy = true }
      crier.route { match = crier.otherwise, unless = crier.any { { text = "hidden" }, { kind = "system" } }, to = c }
      local noise = crier.log.child "noise"
      crier.log.info "one" crier.log.error "two" noise.error "three" noise.warning "four" crier.log.info "hidden"]]
    assert.equal("two", texts(files.a))
    assert.equal("one four hidden", texts(files.b))
    assert.equal("one three four", texts(files.c))
  end)

  it("sends records alike once, and tells how many there were", function()
    local files, r = run([[
      local a = out "a"
      crier.route { match = { kind = "log", level = "error" }, to = a, dedupe = "150ms" }
      crier.route { match = crier.otherwise, to = out "b" }
      crier.on("start", function()
        for i = 1, 5 do crier.log.error(("disk %d is full: \"%s\""):format(i, i)) end
        crier.log.error "another" crier.log.warning "disk 1 is full: \"x\""
        crier.sleep "200ms"
        crier.log.error "disk 6 is full: \"y\"" crier.log.error "disk 7 is full: \"y\""
      end)]], "400ms")
    local seen = {}
    for i, one in ipairs(files.a) do seen[i] = { one.text, one.repeated } end
    assert.same({ { 'disk 1 is full: "1"' }, { "another" }, { 'disk 6 is full: "y"', 4 } }, seen)
    -- What was left out has matched, and is not told as unrouted.
    assert.equal('disk 1 is full: "x"', texts(files.b))
    assert.equal("", r.err)
  end)

  it("sends a share of the records, the same one in each rule", function()
    local files = run([[
      crier.route { match = { kind = "log" }, to = out "a", sample = 0.1 }
      crier.route { match = { kind = "log" }, to = out "b", sample = 0.1 }
      crier.route { match = { kind = "log" }, to = out "c", sample = 0.5 }
      crier.on("start", function() for i = 1, 3000 do crier.log.info(tostring(i)) end end)]], "300ms")
    assert.is_true(#files.a > 200 and #files.a < 400, #files.a)
    assert.equal(texts(files.a), texts(files.b))
    local half = {}
    for _, one in ipairs(files.c) do half[one.id] = true end
    assert.is_true(#files.c > 1350 and #files.c < 1650, #files.c)
    for _, one in ipairs(files.a) do assert.is_true(half[one.id]) end
  end)

  it("holds to a rate, and tells what is above it", function()
    local files = run([[
      local a = out "a"
      crier.route { match = { kind = "log" }, to = a, rate = "10/200ms" }
      crier.route { match = { kind = "system" }, to = a, rate = "1/1h" }
      crier.on("start", function()
        for i = 1, 100 do crier.log.info(tostring(i)) end
        crier.sleep "400ms"
        crier.log.info "later"
      end)]], "600ms")
    assert.equal("1 2 3 4 5 6 7 8 9 10 later", texts(files.a))
    local told = system(files.a, "route.rate")
    assert.equal("the route at bot.lua:8 left out 90 records above 10 in 200ms", told[1].text)
    assert.equal("warning", told[1].level)
    -- The rule for system records has left out some itself; a note is not limited, and makes no note.
    assert.equal(2, #told)
    assert.matches("^the route at bot.lua:9 left out %d records? above 1 in 1h$", told[2].text)
  end)

  it("writes at once what is urgent", function()
    local bot = Bot.new(OUT .. [[
      local a = out("a", { flush = "1h", kinds = "log" })
      crier.route { match = { level = "critical" }, to = a, now = true }
      crier.route { match = { kind = "log" }, to = a }
      crier.sink.console { format = "json", name = "screen", kinds = "system" }
      crier.route { match = { kind = "system" }, to = crier.sinks.screen }
      crier.on("start", function()
        crier.log.info "waits"
        crier.sleep "100ms"
        local f = io.open("a.jsonl")
        local before = f and f:read "a" or ""
        crier.log.critical "urgent"
        local after
        repeat
          crier.sleep "20ms"
          after = io.open "a.jsonl"
          after = after and after:read "a" or ""
        until #after > 300
        crier.log.info("seen", { before = #before, after = #after })
      end)]])
    finally(function() bot:close() end)
    local r = bot:run { "--for", "600ms" }
    assert.equal(0, r.code, r.err)
    local seen = Bot.select(Bot.parse(bot:read "a.jsonl"), function(one) return one.text == "seen" end)[1]
    assert.equal(0, seen.before)
    assert.is_true(seen.after > 300)
  end)

  it("takes the default route where a function fails, and says so once a second", function()
    local files, r = run([[
      local a, b = out "a", out "b"
      crier.route { match = { text = "first" }, to = a }
      crier.route { match = function(one) return one.nothing.at_all end, to = b }
      crier.on("start", function()
        crier.log.info "first"
        for i = 1, 50 do crier.log.info "x" end
      end)]], "200ms")
    assert.equal("first" .. (" x"):rep(50), texts(files.a))
    assert.equal(texts(files.a), texts(files.b))
    local told = system(files.a, "route.error")
    assert.equal(1, #told)
    assert.matches("^the route at bot.lua:9 failed, its records take the default route: bot.lua:9: ", told[1].text)
    assert.equal("", r.err)
  end)

  for _, case in ipairs {
    { "unless = 1", "option 'unless' must be a table of conditions (unless = { logger = \"shop\" })" },
    { "unless = { kind = \"mesage\" }", "option 'unless': there is no kind \"mesage\" (did you mean \"message\"?)" },
    { "sample = 0", "option 'sample' must be above 0 and at most 1, got 0 (sample = 0.1 sends every tenth)" },
    { "sample = 1.5", "option 'sample' must be above 0 and at most 1, got 1.5 (sample = 0.1 sends every tenth)" },
    { 'rate = "fast"',
      "option 'rate' must be a number of records and a time, got \"fast\" (rate = \"100/1m\": at most 100 a minute)" },
    { 'rate = "10/0s"',
      "option 'rate' must be a number of records and a time, got \"10/0s\" (rate = \"100/1m\": at most 100 a minute)" },
    { 'rate = "0/1s"',
      "option 'rate' must be a number of records and a time, got \"0/1s\" (rate = \"100/1m\": at most 100 a minute)" },
    { 'dedupe = "10"',
      "option 'dedupe': expected a duration such as \"10s\" or \"1m30s\", got \"10\" (units are ms s m h d w)" },
    { 'noow = true', "unknown option 'noow' (did you mean 'now'?)" },
  } do
    it("is told what is wrong with " .. case[1], function()
      local bot = Bot.new(HEAD .. "local a = crier.sink.memory()\ncrier.route { to = a, " .. case[1] .. " }")
      finally(function() bot:close() end)
      local r = bot:check()
      assert.equal(78, r.code)
      assert.is_truthy(r.out:find("bot.lua:3:23: route: " .. case[2], 1, true), r.out)
    end)
  end
end)

describe("crier.transform", function()
  it("changes, drops and splits records, in the order of declaration", function()
    local files = run [[
      out "a"
      crier.transform(function(r) return r:with { region = "eu" } end)
      crier.transform(function(r)
        if r.text == "drop" then return false end
        if r.text == "keep" then return true end
        if r.text == "nothing" then return end
        if r.text == "table" then return { added = r.region, text = "changed", level = "error", ok = false } end
        if r.text == "split" then return { r:with { part = 1 }, r:with { part = 2 }, { part = 3 } } end
        if r.text == "secret" then return r:without("token", "nowhere") end
      end)
      crier.transform(function(r) return r:with { last = r.part or 0, n = { list = { 1, 2 } } } end)
      for _, text in ipairs { "drop", "keep", "nothing", "table", "split", "secret" } do
        crier.log.info(text, { token = "t", n = 1 })
      end]]
    local got = {}
    for _, r in ipairs(files.a) do
      if r.kind == "log" then
        got[#got + 1] = r
        assert.equal("eu", r.region)
        assert.same({ list = { 1, 2 } }, r.n)
      end
    end
    assert.equal("keep nothing changed split split split secret", texts(files.a))
    assert.same({ "eu", "error", false }, { got[3].added, got[3].level, got[3].ok })
    assert.same({ 1, 2, 3 }, { got[4].last, got[5].last, got[6].last })
    assert.same({ "t" }, { got[1].token, got[7].token })
    -- Each part is a record of its own.
    local ids, before = {}, 0
    for _, r in ipairs(got) do
      assert.is_nil(ids[r.id])
      ids[r.id] = true
      assert.is_true(r.seq > before)
      before = r.seq
      assert.equal(got[1].node, r.node)
      assert.matches("^bot.lua:%d+$", r.where)
    end
  end)

  it("keeps id, seq and time of a record that it changes", function()
    local files = run [[
      local a, b = out "a", out "b"
      crier.transform(function(r)
        if r.kind == "log" and not r.id_was then
          return r:with { id_was = r.id, seq_was = r.seq, time_was = r.time, where_was = r.where }
        end
      end)
      crier.log.info("x", { fields = { y = 1 }, id = 5 })]]
    local r = Bot.select(files.a, function(one) return one.kind == "log" end)[1]
    assert.same({ r.id, r.seq, r.where }, { r.id_was, r.seq_was, r.where_was })
    assert.same({ fields = { y = 1 }, id = 5 }, r.fields)
  end)

  local function fails(body, ...)
    local files, r = run(([[
      out "a"
      crier.config { limits = { callback = "50ms" } }
      crier.transform(function(r) if r.kind == "log" then %s end end)
      crier.log.info("one", { x = 1 }) crier.log.info("two", { x = 1 })]])
      :format(body), "400ms")
    assert.equal("", r.err)
    local log = Bot.select(files.a, function(one) return one.kind == "log" end)
    assert.equal("one two", texts(log))
    assert.equal(1, log[1].x)
    local told = system(files.a, "transform.error")
    assert.equal(1, #told, "told once a second")
    for _, words in ipairs { ... } do assert.is_truthy(told[1].text:find(words, 1, true), told[1].text) end
  end

  local SAYS = "the transform at bot.lua:9 failed, its records go on as they were: "
  local RETURNS = " must return the record, record:with { ... }, a list of these, or false to drop it, got "

  it("that raises leaves the record as it was", function()
    fails("error 'no way'", SAYS .. "bot.lua:9: no way")
  end)
  it("that never ends leaves the record as it was", function()
    fails("while true do end", SAYS, "50ms of CPU time")
  end)
  it("that returns rubbish leaves the record as it was", function()
    fails("return 'text'", RETURNS .. 'the string "text"')
    fails("return { r, 5 }", RETURNS .. "the number 5")
    fails("return crier.sinks.a", RETURNS .. "a crier.sink")
    fails("local t = {} for i = 1, 65 do t[i] = r end return t", "may split a record into 64, not 65")
  end)
  it("that asks for what cannot be changed leaves the record as it was", function()
    fails("return r:with { id = 'x' }", "record:with: 'id' of a record cannot be changed")
    fails("return { kind = 'task' }", "record:with: 'kind' of a record cannot be changed")
    fails("return r:with { level = 'loud' }", "'level' must be debug, info, warning, error or critical")
    fails("return r:with { text = 5 }", "'text' must be a string")
    fails("return r:with { [1] = 5 }", "record:with takes fields by name, got number")
    fails("return r:with 'x'", "record:with expects a table of fields, got string")
    fails("return r:without('id')", "record:without: 'id' of a record cannot be removed")
    fails("return r:without(1)", "record:without expects names of fields, got number")
  end)
  it("cannot wait", function()
    fails("crier.sleep '1ms'", "crier.sleep is not available here: this function must answer at once")
  end)
  it("may not keep its records", function()
    fails("if kept then return kept.text end kept = r:with { y = 1 }", -- luacheck: ignore
      "this record was there until its transform returned")
  end)

  it("may log: that meets no transform, and comes in its order", function()
    local files = run [[
      out "a"
      crier.transform(function(r)
        if r.kind == "log" then crier.log.info("about " .. r.text) return r:with { seen = true } end
      end)
      crier.on("start", function() crier.log.info "one" crier.log.info "two" end)]]
    assert.equal("one about one two about two", texts(files.a))
    local last = 0
    for _, r in ipairs(files.a) do
      assert.is_true(r.seq > last)
      last = r.seq
      if r.kind == "log" then assert.equal(not r.text:find "about" or nil, r.seen) end
    end
  end)

  it("sees every kind, and what it drops is not told as unrouted", function()
    local files, r = run [[
      crier.bot { token = crier.secret.env "X" }
      crier.GUILD { snowflake = 1, logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { 2 }, period = "1h", data = "x" } } }
      crier.route { match = { kind = { "message", "log" } }, to = out "a" }
      crier.transform(function(r)
        if r.kind == "system" then return false end
        if r.level == "error" then return false end
        return r:with { was = r.kind, guild = r.guild and r:with { guild = { name = "hidden" } }.guild }
      end)
      crier.log.error "gone"]]
    assert.equal(1, #Bot.select(files.a, function(one) return one.was == "message" and one.guild.name == "hidden" end))
    assert.equal("", texts(files.a))
    assert.equal("", r.err)
  end)

  it("tells what it expects", function()
    local bot = Bot.new(HEAD .. "crier.transform { }")
    finally(function() bot:close() end)
    local r = bot:check()
    assert.equal(78, r.code)
    assert.is_truthy(r.out:find("bot.lua:2: crier.transform expects a function, got a table: crier.transform("
      .. "function(r) return r:with { region = \"eu\" } end)", 1, true), r.out)
    bot:write("bot.lua", HEAD .. [[crier.sink.console { format = "json" }
      crier.on("start", function() crier.transform(print) end)]])
    assert.matches("crier.transform declares: it is only available while the script loads",
      cjson.encode(bot:run({ "--for", "20ms" }).records))
  end)
end)

describe("crier check", function()
  local function warnings(script)
    local bot = Bot.new(HEAD .. script)
    finally(function() bot:close() end)
    local list = {}
    for line in (bot:check({}, { env = { X = "x" } }).out):gmatch "[^\n]+" do
      if line:find " warning: " then list[#list + 1] = line end
    end
    return list
  end
  local GUILD = [[
crier.bot { token = crier.secret.env "X" }
crier.GUILD { snowflake = 1, logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = { 2 }, period = "1h", data = "x" } } }
]]
  local UNREAD = "bot.lua:3:30: warning: GUILD '1': its message records reach no sink that can be read "
    .. "(crier.sink.json, memory, jsonl, csv or sql)"

  it("warns of message records that cannot be read back", function()
    assert.same({ UNREAD }, warnings(GUILD .. "crier.sink.console()"))
    assert.same({ UNREAD }, warnings(GUILD .. 'crier.sink.memory { kinds = "log" }'))
    assert.same({ UNREAD }, warnings(GUILD .. "local m, c = crier.sink.memory(), crier.sink.console()\n"
      .. 'crier.route { match = { kind = "log" }, to = m }\ncrier.route { match = { kind = "message" }, to = c }'))
    assert.same({}, warnings(GUILD))
    assert.same({}, warnings(GUILD .. "crier.sink.memory() crier.sink.console()"))
    assert.same({}, warnings(GUILD .. "local m = crier.sink.memory()\n"
      .. 'crier.route { match = { kind = crier.ne "log" }, to = m }'))
    assert.same({}, warnings(GUILD:gsub("logging = true", "logging = false") .. "crier.sink.console()"))
  end)

  it("warns of a level that hides what the sink is meant to get", function()
    local says = "bot.lua:2:%d: warning: sink 'memory': its level 'warning' hides %s records of what went well: "
      .. "they are info (level = \"info\")"
    local m = 'local m = crier.sink.memory { level = "warning" }\n'
    assert.same({ says:format(31, "task") }, warnings(m .. 'crier.route { match = { kind = "task" }, to = m }'))
    assert.same({ says:format(31, "message"), says:format(31, "task") },
      warnings(m .. 'crier.route { match = { kind = { "task", "message" } }, to = m }'))
    assert.same({ says:format(21, "task") },
      warnings('crier.sink.memory { level = "warning", kinds = { "task", "log" } }'))
    assert.same({}, warnings(m .. 'crier.route { match = { kind = "log" }, to = m }'))
    assert.same({}, warnings(m .. "crier.route { to = m }"))
    assert.same({}, warnings('crier.sink.memory { level = "info", kinds = "task" }'))
  end)
end)
