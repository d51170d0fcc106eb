-- SPDX-License-Identifier: MIT
-- The event log: crier.event in a script, and crier events.
local Bot = require "spec.support.bot"

local head = [[
local crier = require "crier"
crier.sink.jsonl { name = "log", path = "log.jsonl" }
crier.sink.console { name = "con", level = "debug" }
]]

local function on_start(body)
  return head .. 'crier.on("start", function()\n' .. body .. "\nend)\n"
end

local function events(r)
  local found = {}
  for _, record in ipairs(r.records) do
    if record.kind == "event" then found[#found + 1] = record end
  end
  return found
end

local function run(body)
  local bot = Bot.new(on_start(body))
  local r = bot:run { "--for", "300ms" }
  assert.equal(0, r.code, r.err)
  return events(r), bot, r
end

describe("crier.event", function()
  it("is one record before the work and one after it", function()
    local e, bot = run [[
      local ev <close> = crier.event { ev_where = "report.build", mod_type = "report",
        mod_index = 42, descr = "build the report", params = { days = { 1, 2 } }, code = "RB" }
      crier.sleep "10ms"
      ev:finish { descr_fin = "3 failed sends", notes = "slow" } ]]
    assert.equal(2, #e)
    assert.equal("start", e[1].phase)
    assert.equal("report.build", e[1].ev_where)
    assert.equal("42", e[1].mod_index)
    assert.same({ 1, 2 }, e[1].params.days)
    assert.equal("RB", e[1].code)
    assert.equal("build the report", e[1].text)
    assert.equal("bot.lua:5", e[1].where)
    assert.is_string(e[1].who_system)
    assert.is_string(e[1].who_network)
    assert.is_string(e[1].when_started)
    assert.is_nil(e[1].ok)
    assert.equal("finish", e[2].phase)
    assert.equal(e[1].event_id, e[2].event_id)
    assert.equal("3 failed sends", e[2].descr_fin)
    assert.is_true(e[2].ok)
    assert.is_true(e[2].when_finished > e[1].when_started)
    local list = bot:crier { "events", "bot.lua" }
    assert.equal(0, list.code, list.err)
    assert.match("ok +%d[%d.]*m?s  report%.build  build the report %-> 3 failed sends  # slow\n$",
      list.out)
    bot:close()
  end)

  it("is in the durable sinks and the state store before the work begins", function()
    local bot = Bot.new(on_start [[
      local ev <close> = crier.event { descr = "the work" }
      crier.log.info "works"
      crier.sleep "1h" ]])
    bot:write("bot.lua", (bot:read "bot.lua":gsub('path = "log.jsonl"', "%0, durable = true")))
    bot:start()
    bot:wait_record(function(r) return r.text == "works" end)
    bot.process:signal "KILL"
    bot.process:wait()
    local r = bot:run { "--for", "300ms" }
    local note
    for _, e in ipairs(events(r)) do if e.phase == "note" then note = e end end
    assert.is_truthy(note, r.out)
    assert.match("left unfinished", note.notes)
    assert.is_true(note.is_error)
    local told
    for _, record in ipairs(r.records) do
      if record.what == "event.unfinished" then told = record end
    end
    assert.match("the work %(bot.lua:5%)", told.text)
    -- told once only
    for _, e in ipairs(events(bot:run { "--for", "300ms" })) do
      assert.is_true(e.phase ~= "note" or e.event_id ~= note.event_id)
    end
    local open = bot:crier { "events", "bot.lua", "--open" }
    assert.match(note.event_id .. "  OPEN .*the work  # left unfinished", open.out)
    bot:close()
  end)

  it("ends as an error when its scope is left by one, and otherwise well", function()
    local e = run [[
      pcall(function()
        local ev <close> = crier.event { descr = "fails" }
        error "no disk"
      end)
      do local ev <close> = crier.event { descr = "says nothing" } end ]]
    assert.equal(4, #e)
    assert.is_true(e[2].is_error)
    assert.is_false(e[2].ok)
    assert.equal("error", e[2].level)
    assert.match("bot.lua:7: no disk", e[2].descr_fin)
    assert.is_true(e[4].ok)
    assert.is_nil(e[4].descr_fin)
  end)

  it("ends as an error when its callback is cut off", function()
    local bot = Bot.new(on_start [[
      local ev <close> = crier.event { descr = "endless" }
      while true do end ]])
    local r = bot:run { "--for", "1s" }
    local e = events(r)
    assert.equal("finish", e[2].phase)
    assert.match("more than 250ms of CPU time", e[2].descr_fin)
    bot:close()
  end)

  it("takes its level from its flags", function()
    local e = run [[
      crier.event { descr = "severe", is_severe = true }:finish {}
      crier.event { descr = "debug", is_debug = true }:finish { is_error = true }
      crier.event.note { descr = "nothing new", is_debug = true } ]]
    assert.equal("critical", e[1].level)
    assert.is_true(e[1].is_severe)
    assert.equal("debug", e[3].level)
    assert.equal("error", e[4].level)
    assert.is_true(e[4].is_debug)
    assert.equal("note", e[5].phase)
    assert.is_string(e[5].when_finished)
    assert.is_nil(e[5].when_started)
  end)

  it("waits in a coroutine, and does not where nothing can wait", function()
    local e = run [[
      table.sort({ 2, 1 }, function(a, b)
        crier.event { descr = "inside of a sort" }:finish()
        return a < b
      end) ]]
    assert.equal("inside of a sort", e[1].text)
  end)

  it("says what is wrong with a call", function()
    local _, bot, r = run [[
      local function try(f, ...) print((select(2, pcall(f, ...)))) end
      try(crier.event, { dscr = "x" })
      try(crier.event, { whom = "x" })
      try(crier.event, {})
      try(crier.event, "text")
      try(crier.event, { descr = "x", is_error = 1 })
      local ev = crier.event { descr = "x" }
      ev:finish()
      try(ev.finish, ev)
      try(ev.finish, {})
      try(function() return ev.descr end)
      print(ev) ]]
    for _, text in ipairs {
      "crier.event: unknown field 'dscr' (did you mean 'descr'?)",
      "crier.event: unknown field 'whom' (`params` takes a table of your own)",
      "crier.event: 'descr' is missing: local ev <close> = crier.event {",
      "crier.event expects a table, got string: local ev",
      "crier.event: 'is_error' must be a boolean, got number",
      "event:finish: this event has been finished already",
      "event:finish expects an event: write ev:finish { ... } with a colon",
      "an event has no 'descr' (it has id, finished and finish)",
      "event 01", "(finished)" } do
      assert.is_truthy(r.out:find(text, 1, true), text .. " in\n" .. r.out)
    end
    bot:close()
  end)

  it("holds the SQL that was run in it, without its values", function()
    local bot = Bot.new(head .. [[
      local db = crier.sink.sql { name = "db", dsn = "Driver=SQLite3;Database=crier.db" }
      crier.on("start", function()
        local ev <close> = crier.event { descr = "count" }
        db:exec("SELECT 'it''s', 42, t1.\"x 1\" FROM (SELECT 1 AS \"x 1\") t1 WHERE 2 = ?", { 2 })
        do
          local inner <close> = crier.event { descr = "inner" }
          db:exec "SELECT 1"
        end
        db:exec "SELECT 'b'"
      end)]])
    local e = events(bot:run { "--for", "1s" })
    assert.equal("SELECT ?", e[3].what_sql)
    assert.equal('SELECT ?, ?, t1."x 1" FROM (SELECT ? AS "x 1") t1 WHERE ? = ?;\nSELECT ?', e[4].what_sql)
    bot:close()
  end)

  it("is not available while a script loads", function()
    local bot = Bot.new(head .. 'crier.event { descr = "x" }')
    local r = bot:check()
    assert.equal(78, r.code)
    assert.match("crier.event is not available while loading", r.out .. r.err)
    bot:close()
  end)
end)

describe("crier events", function()
  local bot

  local function id_of(text)
    local r = bot:crier { "events", "--json", "--debug", "text=" .. text }
    return r.out:match '"event_id":"([^"]+)"'
  end

  setup(function()
    bot = Bot.new(on_start [[
      crier.event { descr = "open one" }
      crier.event { descr = "severe one", is_severe = true }:finish()
      crier.event.note { descr = "debug one", is_debug = true }
      crier.event { descr = "red \27[31m" }:finish()
      crier.log.info "not an event" ]])
    bot:start()
    bot:wait_record(function(r) return r.text == "not an event" end)
  end)
  teardown(function() bot:close() end)

  it("hides those for debugging unless asked", function()
    local r = bot:crier { "events" }
    assert.equal(0, r.code, r.err)
    assert.match("open one", r.out)
    assert.is_nil(r.out:find "debug one")
    assert.is_nil(r.out:find "not an event")
    assert.match("debug one", bot:crier({ "events", "--debug" }).out)
  end)

  it("shows open ones, severe ones and those that match", function()
    local open = bot:crier({ "events", "--open" }).out
    assert.match("OPEN +bot.lua:5  open one\n", open)
    assert.equal(1, select(2, open:gsub("\n", "")))
    local severe = bot:crier({ "events", "--severe" }).out
    assert.match("severe one  %[severe%]\n", severe)
    assert.equal(1, select(2, severe:gsub("\n", "")))
    assert.match("^[^\n]*open one\n$", bot:crier({ "events", "text~^open" }).out)
  end)

  it("lets no text move the cursor", function()
    local r = bot:crier { "events" }
    assert.is_nil(r.out:find "\27")
    assert.match("red \\x1b%[31m", r.out)
    r = bot:crier { "events", "note", id_of "~^red" or id_of "red \27[31m", "x" }
    assert.is_nil((r.out .. r.err):find "\27")
  end)

  it("adds notes and closes, by the beginning of an id", function()
    local id = id_of "open one"
    local r = bot:crier { "events", "note", id:lower(), "seen", "by me" }
    assert.equal("noted " .. id .. ": open one\n", r.out)
    assert.match("# seen by me\n", bot:crier({ "events", "--open" }).out)
    r = bot:crier { "events", "close", id, "no", "use" }
    assert.equal("closed " .. id .. ": open one\n", r.out)
    assert.equal("", bot:crier({ "events", "--open" }).out)
    assert.match("# seen by me\\nno use\n", bot:crier({ "events" }).out)
    r = bot:crier { "events", "close", id }
    assert.equal(1, r.code)
    assert.match("event " .. id .. " is finished already", r.err)
  end)

  it("refuses what it cannot do, and says why", function()
    local r = bot:crier { "events", "close", "0ZZZ" }
    assert.equal(1, r.code)
    assert.match("no event's id begins with '0ZZZ'", r.err)
    r = bot:crier { "events", "close", id_of "open one":sub(1, 4) }
    assert.equal(1, r.code)
    assert.match("more than one event's id begins with", r.err)
    r = bot:crier { "events", "close", "%%%%%" }
    assert.equal(64, r.code)
    r = bot:crier { "events", "note", "01AB" }
    assert.equal(64, r.code)
    assert.match("note takes an event's id and a text", r.err)
    r = bot:crier { "events", "--opne" }
    assert.match("did you mean '%-%-open'", r.err)
  end)
end)

describe("a severe event without any alert", function()
  local severe = [[
    local ev = crier.event { descr = "first", is_severe = false }
    ev:finish { descr_fin = "x", is_error = true,
      is_severe = true }
    crier.event.note { descr = "no\27ted", is_severe = true }
    crier.event.note { descr = "harmless" } ]]

  it("is warned of by check", function()
    local bot = Bot.new(on_start(severe))
    local r = bot:check()
    assert.equal(0, r.code)
    assert.match("bot%.lua:7:7: warning: an event can be severe, and there is no alert: nobody is told %(crier%.alert",
      r.out .. r.err)
    -- Neither a route's match nor a query is an event.
    bot:write("bot.lua", on_start 'crier.event { descr = "x", is_severe = false }' .. [[
      crier.route { match = { is_severe = true }, to = crier.sinks.con } ]])
    r = bot:check()
    assert.is_nil((r.out .. r.err):find("severe", 1, true))
    bot:close()
  end)

  it("is told on stderr when it comes, once", function()
    local _, bot, r = run(severe)
    local lines = {}
    for line in r.err:gmatch "crier: severe event[^\n]*" do lines[#lines + 1] = line end
    assert.equal(2, #lines, r.err)
    assert.equal("crier: severe event at bot.lua:6: first (no crier.alert is declared)", lines[1])
    assert.match("^crier: severe event at bot%.lua:8: no", lines[2])
    assert.is_nil(lines[2]:find("\27", 1, true))
    bot:close()
  end)
end)
