-- SPDX-License-Identifier: MIT
-- crier sink and the sinks in crier status: how they do, and records that are moved.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"
local proc = require "spec.support.proc"

-- COUNT records to a Redis that is not there, and to whatever else is declared.
local function script(count, sinks)
  return ([[
local crier = require "crier"
crier.config { limits = { stop = "1s", callback = "60s" } }
crier.sink.console { name = "out", level = "warning" }
%s
crier.on("start", function()
  for i = 1, %d do crier.log.info("line " .. i, { n = i }) end
  crier.log.warning "done"
end)
]]):format(sinks, count)
end

local down = [[crier.sink.redis { name = "cache", url = "redis://127.0.0.1:1", %s }]]

local function start(bot)
  bot:start()
  bot:wait_record(function(r) return r.text == "done" end)
end

local function stop(bot)
  bot.process:signal "TERM"
  assert.equal(0, bot.process:wait())
end

-- How often each n is in a file of lines.
local function counts(bot, name)
  local list = {}
  for line in (bot:read(name) or ""):gmatch "[^\n]+" do
    local n = cjson.decode(line).n
    if n then list[n] = (list[n] or 0) + 1 end
  end
  return list
end

local function assert_once(count, list)
  local n = 0
  for k, times in pairs(list) do
    if times ~= 1 then error(("record %d is there %d times"):format(k, times), 2) end
    n = n + 1
  end
  assert.equal(count, n)
end

-- The first few thousand of a bot's records are owed to a sink that the script has no more.
local function orphan(count, sinks)
  local bot = Bot.new(script(count, down:format "" .. (sinks or "")))
  start(bot)
  stop(bot)
  bot:write("bot.lua", script(0, [[
crier.sink.jsonl { name = "all", path = "all.jsonl" }
crier.sink.csv { name = "tab", path = "tab.csv" }
crier.sink.console { name = "two", stream = "stderr", level = "critical" }
]] .. (sinks or "")))
  return bot
end

describe("crier sink list, and the sinks of crier status", function()
  it("tell how sinks do", function()
    local bot = Bot.new(script(50, [[
local safe = crier.sink.jsonl { name = "safe", path = "safe.jsonl" }
]] .. down:format [[retry = { times = 1 }, fallback = safe]]))
    start(bot)
    local state
    proc.wait_for(function()
      local r = bot:crier { "sink", "list", "--json" }
      assert.equal(0, r.code, r.err)
      for line in r.out:gmatch "[^\n]+" do
        local o = cjson.decode(line)
        if o.name == "cache" then state = o end
      end
      return state.state == "down" and state.copied > 0 and state.spilled > 50
    end)
    assert.equal(state.accepted, state.queued + state.spilled + state.written)
    assert.equal("safe", state.fallback)
    assert.is_true(state.down_since > 1e9 and state.next_try > state.down_since)
    for _, command in ipairs { { "sink", "list" }, { "sink", "list", "bot.lua" }, { "status" } } do
      local out = bot:crier(command).out
      assert.is_truthy(out:match "\nsafe +jsonl +%d+ +%d+ +0 +0 +0 +0 +0  ok\n", out)
      assert.is_truthy(out:match("\ncache +redis +%d+ +0 +%d+ +%d+ +0 +0 +%d+  DOWN %d+m?%d*s " ..
        "%(redis 127.0.0.1:1: [^\n]*Connection refused%), next try in %d+s, fallback safe\n"), out)
    end
    stop(bot)
    -- What is owed lies in the state folder.
    local r = bot:crier { "sink", "list" }
    assert.equal(0, r.code)
    assert.is_truthy(r.out:match "\ncache: %d+ records to be written when the bot runs with a sink of that name\n", r.out)
    local left = cjson.decode(bot:crier({ "sink", "list", "--json" }).out)
    assert.same({ "cache", "left over" }, { left.name, left.state })
    assert.is_true(left.spilled > 50)
    bot:close()
  end)

  it("keep the letters of each replay, however soon after another", function()
    local bot = Bot.new [[
local crier = require "crier"
crier.sink.console { name = "out", level = "error", kinds = "system" }
crier.sink.custom { name = "k", kinds = "log", write = function() return false, "no" end }
crier.on("start", function() for i = 1, 10 do crier.log.info("line", { n = i }) end end)
]]
    bot:start()
    local function replay()
      proc.wait_for(function()
        return select(2, (bot:read ".crier/sim/sinks/k.dead.jsonl" or ""):gsub("\n", "")) == 10
      end, nil, "ten dead letters")
      assert.is_truthy(bot:crier({ "sink", "replay", "k", "--dead" }).out:match "the letters are kept")
    end
    for _ = 1, 4 do replay() end
    local kept = 0
    for _, name in ipairs(bot:files()) do
      if name:find("k.dead.done-", 1, true) then kept = kept + 1 end
    end
    assert.equal(4, kept)
    bot:close()
  end)

  it("show one that a reload has removed, until it has ended, and then what it has left", function()
    local head = [[
local crier = require "crier"
crier.config { limits = { stop = "2s" } }
crier.sink.console { name = "out", format = "json" }
]]
    -- It writes nothing until somebody answers the request that its first batch makes: nobody does.
    local server = require("socket").bind("127.0.0.1", 0)
    local _, port = server:getsockname()
    local bot = Bot.new(head .. ([[
crier.sink.custom { name = "slow", batch = 2, write = function()
  crier.http.get("http://127.0.0.1:%d/", { timeout = "1h" })
  return true
end }
crier.on("start", function()
  for i = 1, 5 do crier.log.info("line " .. i) end
  crier.log.info "done"
end)
]]):format(port))
    start(bot)
    bot:write("bot.lua", head)
    assert.equal(0, bot:crier({ "reload" }).code)
    local function slow()
      for line in bot:crier({ "sink", "list", "--json" }).out:gmatch "[^\n]+" do
        local o = cjson.decode(line)
        if o.name == "slow" then return o end
      end
    end
    -- Two seconds later it is given up; what is first seen may be either.
    local o = slow()
    assert(o.state == "removed" or o.state == "left over", o.state)
    if o.state == "removed" then
      assert.equal(o.accepted, o.queued + o.spilled)
      assert.is_true(o.gone)
    end
    server:close()
    proc.wait_for(function() return slow().state == "left over" end, 60)
    assert.is_true(slow().spilled >= 6)
    assert.is_truthy(bot:crier({ "sink", "list" }).out:match "\nleft over: slow: %d+ records %(crier sink replay")
    bot:close()
  end)

  it("say when there is nothing", function()
    local bot = Bot.new()
    local r = bot:crier { "sink", "list" }
    assert.equal(0, r.code)
    assert.equal("no host runs in '.crier'; what its sinks have left there:\nnothing\n", r.out)
    assert.equal("", bot:crier({ "sink", "list", "--json" }).out)
    bot:close()
  end)

  it("say so, too, when folders are there, but all in them is written", function()
    local bot = Bot.new [[
local crier = require "crier"
crier.sink.jsonl { name = "all", path = "all.jsonl", durable = true }
crier.on("start", function() crier.log.info "x" end)
]]
    assert.equal(0, bot:run({ "--for", "50ms" }).code)
    assert.is_truthy(table.concat(bot:files(), " "):find("sinks/all/", 1, true))
    local r = bot:crier { "sink", "list", "bot.lua" }
    assert.is_truthy(r.out:match "left there:\nnothing\n$", r.out)
    bot:close()
  end)
end)

describe("crier sink replay", function()
  it("moves what a sink that is gone has left, once", function()
    local bot = orphan(3000)
    start(bot)
    local list = bot:crier({ "sink", "list" }).out
    assert.is_truthy(list:match "\nleft over: cache: %d+ records %(crier sink replay cache %-%-to SINK%)\n",
      list)
    local r = bot:crier { "sink", "replay", "cache", "--to", "all" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:match "^300%d records moved into 'all'\n$", r.out)
    assert_once(3000, counts(bot, "all.jsonl"))
    assert.is_nil(bot:crier({ "sink", "list" }).out:find("left over", 1, true))
    r = bot:crier { "sink", "replay", "cache", "--to", "all" }
    assert.equal("0 records moved into 'all'\n", r.out)
    stop(bot)
    assert_once(3000, counts(bot, "all.jsonl"))
    bot:close()
  end)

  it("leaves out what the target has", function()
    local bot = orphan(2000, [[crier.sink.jsonl { name = "too", path = "too.jsonl" }]])
    start(bot)
    local r = bot:crier { "sink", "replay", "cache", "--to", "too", "--json" }
    assert.equal(0, r.code, r.err)
    local got = cjson.decode(r.out)
    assert.is_true(got.there > 2000)
    assert.is_true(got.moved < 10) -- what was said when the one had stopped and the other had not
    assert_once(2000, counts(bot, "too.jsonl"))
    bot:close()
  end)

  it("can be repeated when the bot was killed meanwhile", function()
    local bot = orphan(30000)
    for round = 1, 4 do
      start(bot)
      local p = proc.start({ proc.crier, "sink", "replay", "cache", "--to", "all" }, { cwd = bot.dir })
      local want = round * 4000
      proc.wait_for(function()
        return p:code() or select(2, (bot:read "all.jsonl" or ""):gsub("\n", "")) > want
      end)
      bot.process:signal "KILL"
      bot.process:wait()
      p:wait()
      p:stop()
    end
    start(bot)
    local r = bot:crier { "sink", "replay", "cache", "--to", "all" }
    assert.equal(0, r.code, r.err)
    assert_once(30000, counts(bot, "all.jsonl"))
    bot:close()
  end)

  it("goes on to its end of a page when the client has gone", function()
    local bot = orphan(3000)
    start(bot)
    local python = [[
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"sink","do":"replay","name":"cache","to":"all"}\n')
s.close()
]]
    bot:write("go.py", python)
    os.execute("python3 " .. bot:path "go.py" .. " " .. bot:path ".crier/sim/control.sock")
    assert.equal(0, bot:crier({ "status" }).code)
    proc.wait_for(function()
      return bot:crier({ "sink", "replay", "cache", "--to", "all" }).code == 0
    end)
    assert_once(3000, counts(bot, "all.jsonl"))
    assert.equal(0, bot:close())
  end)

  it("takes dead letters once more, and keeps them aside", function()
    local bot = orphan(0)
    start(bot)
    local letters = {}
    for i = 1, 5 do
      letters[i] = ('{"time":"2026-11-21T22:31:10.123456Z","sink":"all","code":"limit","reason":"x",' ..
        '"record":{"id":"01KAJ9S3M0000000000000000%d","seq":%d,"time":"2026-11-21T22:31:10.123456Z",' ..
        '"node":"web-1","kind":"log","level":"info","logger":"bot","text":"dead","n":%d,"f":0.1}}')
        :format(i, i, i)
    end
    letters[6] = "no letter"
    bot:write(".crier/sim/sinks/all.dead.jsonl", table.concat(letters, "\n") .. "\n")
    assert.is_truthy(bot:crier({ "sink", "list" }).out:find(
      "\ndead letters: all: 6 (crier sink replay all --dead)\n", 1, true))
    local r = bot:crier { "sink", "replay", "all", "--dead" }
    assert.equal(1, r.code, r.err) -- one of them is no letter
    assert.is_truthy(r.out:match("^5 records moved into .all., 1 could not be read\nthe letters are " ..
      "kept in [^\n]*all%.dead%.done%-[^\n]*%.jsonl\n$"),
      r.out)
    assert_once(5, counts(bot, "all.jsonl"))
    assert.is_truthy(bot:read("all.jsonl"):find('"n":1,"f":0.1}', 1, true))
    assert.is_nil(bot:crier({ "sink", "list" }).out:find("dead letters", 1, true))
    r = bot:crier { "sink", "replay", "all", "--dead" }
    assert.equal(64, r.code)
    assert.equal("crier sink: sink 'all' has no dead letters\n", r.err)
    bot:close()
  end)
end)

describe("crier sink copy", function()
  local bot
  setup(function()
    bot = Bot.new(script(500, [[
crier.sink.jsonl { name = "all", path = "all.jsonl" }
crier.sink.jsonl { name = "new", path = "new.jsonl" }
crier.sink.csv { name = "tab", path = "tab.csv" }
crier.sink.jsonl { name = "bad", path = "bad.jsonl", level = "error" }
crier.sink.custom { name = "picky", write = function(_, records)
  for i, r in ipairs(records) do
    if r.n % 2 == 0 then return false, "even", i - 1 end
  end
  return true
end }
crier.route { match = { kind = { "log", "system" } }, to = { crier.sinks.all, crier.sinks.out } }
]]))
    start(bot)
  end)
  teardown(function() bot:close() end)

  local function copy(...) return bot:crier { "sink", "copy", ... } end

  it("copies records that match, with their ids, once", function()
    local r = copy("all", "new", "n<=200")
    assert.equal(0, r.code, r.err)
    assert.equal("200 records moved into 'new'\n", r.out)
    assert_once(200, counts(bot, "new.jsonl"))
    local ids = {}
    for line in bot:read("all.jsonl"):gmatch "[^\n]+" do ids[line] = true end
    for line in bot:read("new.jsonl"):gmatch "[^\n]+" do assert.is_true(ids[line], line) end
    assert.equal("300 records moved into 'new', 200 were there already\n", copy("all", "new", "n>0").out)
    assert.equal("0 records moved into 'new', 500 were there already\n",
      copy("all", "new", "n>0", "--since", "1h").out)
    assert.equal("0 records moved into 'new'\n", copy("all", "new", "--until", "1h").out)
    assert_once(500, counts(bot, "new.jsonl"))
  end)

  it("copies into other kinds, and leaves out what the target does not take", function()
    assert.equal("500 records moved into 'tab'\n", copy("all", "tab", "n>0").out)
    assert.equal("0 records moved into 'tab', 500 were there already\n", copy("all", "tab", "n>0").out)
    assert.equal("0 records moved into 'bad', 500 left out: the sink's kinds or level\n",
      copy("all", "bad", "n>0").out)
  end)

  it("tells what the target rejects from what it has moved", function()
    local r = copy("all", "picky", "n<=11")
    assert.equal(1, r.code, r.err)
    assert.equal("6 records moved into 'picky', 5 were rejected (crier sink list)\n", r.out)
  end)

  local mistakes = {
    { { "sink" }, 64, "list, replay or copy?" },
    { { "sink", "cpoy" }, 64, "'cpoy' is none of list, replay and copy (did you mean 'copy'?)" },
    { { "sink", "copy", "all" }, 64, "copy from which sink into which?" },
    { { "sink", "copy", "all", "all" }, 64, "'all' cannot be copied into itself" },
    { { "sink", "copy", "all", "nwe" }, 64, "no sink is called 'nwe' (did you mean 'new'?)" },
    { { "sink", "copy", "out", "new" }, 64, "sink 'out' (console) cannot be read" },
    { { "sink", "copy", "all", "new", "kind=x" }, 64, "match 'kind=x' at 6: no such kind" },
    { { "sink", "copy", "all", "new", "--to", "x" }, 64, "'x' does not go with copy" },
    { { "sink", "list", "--dead" }, 64, "'--dead' does not go with list" },
    { { "sink", "replay" }, 64, "replay what? (crier sink list)" },
    { { "sink", "replay", "a", "b" }, 64, "one sink at a time" },
    { { "sink", "replay", "gone" }, 64, "replay gone into which sink? (--to SINK)" },
    { { "sink", "replay", "gone", "--to", "all" }, 64, "no sink 'gone' has left anything" },
    { { "sink", "replay", "new", "--to", "all" }, 75, "sink 'new' is in use" },
    { { "sink", "replay", "gone", "--dead" }, 64, "no sink is called 'gone'" },
    { { "sink", "list", "--state", "elsewhere", "--jsn" }, 64,
      "unknown option '--jsn' (did you mean '--json'?)" },
    { { "sink", "copy", "all", "new", "--state", "elsewhere" }, 69, "no running host in 'elsewhere'" },
  }
  for _, mistake in ipairs(mistakes) do
    it("tells a mistake: " .. table.concat(mistake[1], " "), function()
      local r = bot:crier(mistake[1])
      assert.equal(mistake[2], r.code, r.err)
      assert.is_truthy(r.err:find("crier sink: " .. mistake[3], 1, true), r.err)
      assert.equal("", r.out)
    end)
  end

  it("goes into no sink that keeps no history", function()
    local redis = Redis.new()
    local other = Bot.new(script(10, [[
crier.sink.jsonl { name = "all", path = "all.jsonl" }
crier.sink.redis { name = "cache", url = "]] .. redis.url .. [[" }
]]))
    start(other)
    local r = other:crier { "sink", "copy", "all", "cache" }
    assert.equal(64, r.code)
    assert.is_truthy(r.err:find("takes what is older than its last record for a repeat", 1, true), r.err)
    other:close()
    redis:close()
  end)

  it("waits for a target that stops to work, and is refused by one that does not", function()
    local other = Bot.new(script(50, [[
crier.sink.jsonl { name = "all", path = "all.jsonl" }
crier.sink.custom { name = "mine", retry = { times = 1000, delay = "50ms" },
  write = function(self, records)
    local ok = io.open "ok"
    if not ok then return nil, "not yet" end
    ok:close()
    local out <close> = io.open("mine.jsonl", "a")
    for _, r in ipairs(records) do out:write(('{"n":%d}\n'):format(r.n)) end
    return true
  end }
crier.route { match = { n = crier.ge(0) }, to = crier.sinks.all }
crier.route { match = { text = "done" }, to = crier.sinks.out }
]]))
    start(other)
    local p = proc.start({ proc.crier, "sink", "copy", "all", "mine" }, { cwd = other.dir })
    p:wait_line("crier sink: waiting until the sink works again %(.*not yet%)", nil, "err")
    local r = other:crier { "sink", "copy", "all", "mine" }
    assert.equal(69, r.code)
    assert.is_truthy(r.err:find("crier sink: sink 'mine' does not work now (", 1, true), r.err)
    other:write("ok", "")
    assert.equal(0, p:wait())
    assert.equal("50 records moved into 'mine'\n", p:out())
    p:stop()
    assert_once(50, counts(other, "mine.jsonl"))
    -- It cannot be asked what it has, so it gets them again.
    assert.equal("50 records moved into 'mine'\n", other:crier({ "sink", "copy", "all", "mine" }).out)
    other:close()
  end)
end)
