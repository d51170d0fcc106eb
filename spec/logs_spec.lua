-- SPDX-License-Identifier: MIT
-- crier logs: which records it finds, in a running bot and in what a stopped one has stored; live
-- records; cursors; what it says when there is nothing to read.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

-- Records of two loggers and five levels, then lines whenever the file `more` tells how many.
local script = [[
local crier = require "crier"
crier.config { timezone = "Europe/Ljubljana", limits = { callback = "60s" } }
crier.sink.jsonl { name = "all", path = "all.jsonl" }
crier.sink.jsonl { name = "bad", path = "bad.jsonl", level = "warning" }
crier.sink.console { name = "out", level = "warning" }
crier.on("start", function()
  for i = 1, 20 do
    crier.log.log(({ "debug", "info", "warning", "error", "critical" })[i % 5 + 1], "line " .. i,
      { n = i, user = "u" .. i % 3, inner = { deep = i * 2 }, even = i % 2 == 0 })
  end
  crier.log.warning("all is there")
  local done = 0
  while true do
    local f = io.open "more"
    local want = f and f:read "n" or 0
    if f then f:close() end
    for i = done + 1, want do crier.log.info("more " .. i, { more = i }) end
    done = math.max(done, want)
    crier.sleep "20ms"
  end
end)
]]

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local function numbers(r)
  assert.equal(0, r.code, r.err)
  local list = {}
  for i, line in ipairs(lines(r.out)) do list[i] = ("%d"):format(cjson.decode(line).n) end
  return table.concat(list, " ")
end

describe("crier logs", function()
  local bot

  setup(function()
    bot = Bot.new(script)
    bot:start({}, { env = { TZ = "UTC" } })
    bot:wait_record(function(r) return r.text == "all is there" end)
  end)
  teardown(function() bot:close() end)

  local function logs(...) return bot:crier { "logs", ... } end

  -- What the words find, by `n`; the same from the host and without one (below).
  local cases = {
    { { "n<=3" }, "1 2 3" },
    { { "n<=3", "user=u1" }, "1" },
    { { "n<=6", "user=u1", "user=u2" }, "1 2 4 5" },
    { { "n<=6", "user=in(u1,u2)", "even=true" }, "2 4" },
    { { "n>18", "user!=u1" }, "20" },
    { { "inner.deep=14" }, "7" },
    { { "kind=log", "level>=critical" }, "4 9 14 19" },
    { { "--level", "critical", "n>0" }, "4 9 14 19" },
    { { "-p", "error", "n<10" }, "3 4 8 9" },
    { { "-g", "^line 1\\d$" }, "10 11 12 13 14 15 16 17 18 19" },
    { { "text~^line 1\\d$", "n<12" }, "10 11" },
    { { "text=like(line _)" }, "1 2 3 4 5 6 7 8 9" },
    { { "n>0", "-n", "3" }, "18 19 20" },
    { { "n>0", "-n", "0" }, "" },
    { { "n>0", "-n", "all", "--since", "1h" }, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20" },
    { { "n>17", "--since", "1h" }, "18 19 20" },
    { { "n>17", "--until", "1h" }, "" },
    { { "n>17", "--since", "2001-01-01", "--until", "2001-02-01" }, "" },
    { { "n>0", "time<-1h" }, "" },
    { { "n>17", "time>=-1h" }, "18 19 20" },
    { { "n<5", "--sink", "bad" }, "2 3 4" },
    { { "n<5", "logger=bot" }, "1 2 3 4" },
    { { "n<5", "task_name=null" }, "1 2 3 4" },
    { { "n=7" }, "7" },
    { { "bot.lua", "n=7" }, "7" },
  }

  for _, case in ipairs(cases) do
    it("finds, in a running bot: " .. table.concat(case[1], " "), function()
      assert.equal(case[2], numbers(logs("--json", table.unpack(case[1]))))
    end)
  end

  it("prints a line a record for people, newest last", function()
    local r = logs("n>18")
    assert.equal(0, r.code)
    local got = lines(r.out)
    assert.equal(2, #got)
    assert.is_truthy(got[1]:match "^%d%d:%d%d:%d%d critical bot  line 19  .*n=19", got[1])
    assert.is_truthy(got[2]:match "^%d%d:%d%d:%d%d debug    bot  line 20  ", got[2])
    assert.equal("", r.err)
  end)

  it("prints records as they are stored", function()
    local stored = {}
    for line in bot:read("all.jsonl"):gmatch "[^\n]+" do stored[line] = true end
    local got = lines(logs("--json", "n>0").out)
    assert.equal(20, #got)
    for _, line in ipairs(got) do assert.is_true(stored[line], line) end
  end)

  it("gives a hundred unless told otherwise", function()
    bot:write("more", "150")
    proc.wait_for(function() return #lines(logs("more=150").out) == 1 end)
    assert.equal(100, #lines(logs("more>0").out))
    assert.equal(150, #lines(logs("more>0", "-n", "all").out))
    assert.equal(150, #lines(logs("more>0", "--since", "today").out))
  end)

  it("goes on behind a record", function()
    local first = lines(logs("n>0", "-n", "all", "--show-cursor", "n<=5").out)
    local cursor = first[6]:match "^%-%- cursor: (%w+)$"
    assert.equal("6 7", numbers(logs("--json", "n<=7", "n>0", "--after", cursor)))
    assert.equal("6 7", numbers(logs("--json", "n<=7", "n>0", "--cursor", cursor)))
    local json = lines(logs("--json", "--show-cursor", "n<=5", "n>0").out)
    assert.equal(cursor, cjson.decode(json[6]).cursor)
    assert.equal(cursor, cjson.decode(json[5]).id)
    assert.equal("", logs("--after", cursor, "n<5", "--show-cursor").out)
    local r = logs("--after", "yesterday")
    assert.equal(64, r.code)
    assert.equal("crier logs: --after: 'yesterday' is no record's id (26 letters and digits)\n",
      r.err)
  end)

  local mistakes = {
    { { "kind=tsk" }, 64, "match 'kind=tsk' at 6: no such kind, did you mean 'task'?" },
    { { "text~(" }, 64, "match 'text~(' at 5: query: 'text': bad regex at byte 2: " },
    { { "-g", "(" }, 64, "--grep: query: 'text': bad regex at byte 2" },
    { { "--level", "loud" }, 64, "--level: no level is called 'loud'" },
    { { "--since", "soon" }, 64, "--since: expected a time such as" },
    { { "--until", "10" }, 64, "--until: expected a time such as" },
    { { "--sink", "al" }, 64, "no sink is called 'al' (did you mean 'all'?)" },
    { { "--sink", "out" }, 64, "sink 'out' (console) cannot be read" },
    { { "-n", "few" }, 64, "-n takes a number of lines, or all, got 'few'" },
    { { "-n", "-1" }, 64, "-n takes a number of lines, or all, got '-1'" },
    { { "n=1", "what" }, 64, "'what' is no file, and no match (FIELD=VALUE)" },
    { { "what.lua" }, 66, "'what.lua' is no file, and no match (FIELD=VALUE)" },
    { { "--folow" }, 64, "unknown option '--folow' (did you mean '--follow'?)" },
    { { "--state", "elsewhere" }, 69, "no running host in 'elsewhere'" },
  }
  for _, mistake in ipairs(mistakes) do
    it("tells a mistake: " .. table.concat(mistake[1], " "), function()
      local r = logs(table.unpack(mistake[1]))
      assert.equal(mistake[2], r.code)
      assert.is_truthy(r.err:find("crier logs: " .. mistake[3], 1, true), r.err)
      assert.equal("", r.out)
    end)
  end

  it("follows without a gap or a record twice", function()
    local followers, want = {}, 40000
    bot:write("more", "1000")
    for i = 1, 3 do
      bot:write("more", tostring(i * 10000))
      followers[i] = proc.start({ proc.crier, "logs", "-f", "-n", "all", "--json", "more>0" },
        { cwd = bot.dir })
    end
    bot:write("more", tostring(want))
    for _, p in ipairs(followers) do
      proc.wait_for(function() return p:out():find(('"more":%d'):format(want), 1, true) end)
      local at = 0
      for _, line in ipairs(lines(p:out())) do
        at = at + 1
        assert.equal(at, cjson.decode(line).more)
      end
      assert.equal(want, at)
      p:stop()
    end
  end)

  it("follows what matches, of a sink what that one gets", function()
    local p = proc.start({ proc.crier, "logs", "-f", "-n", "1", "more>=40000", "more<=40003" },
      { cwd = bot.dir })
    local bad = proc.start({ proc.crier, "logs", "-f", "--sink", "bad" }, { cwd = bot.dir })
    p:wait_line "more 40000  "
    bad:wait_line "line 19  "
    bot:write("more", "40010")
    p:wait_line "more 40003  "
    proc.wait_for(function() return #lines(logs("more>=40010").out) == 1 end)
    assert.equal(4, #lines(p:out()))
    assert.is_nil(bad:out():find("more", 1, true))
    p:stop()
    bad:stop()
  end)
end)

describe("crier logs without a running bot", function()
  local bot

  setup(function()
    bot = Bot.new(script)
    bot:start()
    bot:wait_record(function(r) return r.text == "all is there" end)
    local p = proc.start({ proc.crier, "logs", "-f" }, { cwd = bot.dir })
    p:wait_line "all is there"
    bot.process:signal "TERM"
    -- Who follows is told of the end, with all that came before it.
    assert.equal(0, p:wait())
    assert.equal("crier logs: the host has ended\n", p:err())
    assert.is_truthy(p:out():find("stopping", 1, true), p:out())
    p:stop()
    bot.process:wait()
  end)
  teardown(function() bot:close() end)

  local function logs(...) return bot:crier { "logs", ... } end

  it("reads what the sinks of the script that ran last have stored", function()
    assert.equal("2 3", numbers(logs("--json", "n<=3", "n>=2")))
    assert.equal("18 19 20", numbers(logs("--json", "bot.lua", "n>0", "-n", "3")))
    assert.equal("9 18", numbers(logs("--json", "-n", "2", "--sink", "bad", "level>=error", "n<19",
      "n!=in(13,14)")))
    assert.equal(20, #lines(logs("n>0", "-n", "all").out))
    assert.is_truthy(logs("n=5").out:match "^%d%d:%d%d:%d%d debug +bot  line 5  ")
  end)

  it("changes nothing on disk", function()
    local function state()
      local p = io.popen("cd " .. proc.quote(bot.dir) .. " && find . -type f -exec md5sum {} + | sort")
      local text = p:read "a"
      p:close()
      return text
    end
    local before = state()
    logs("n>0", "-n", "all")
    logs("--sink", "bad")
    bot:crier { "stats", "messages" }
    bot:crier { "sink", "list" }
    assert.equal(before, state())
  end)

  it("cannot follow, and says what is wrong", function()
    local r = logs("-f")
    assert.equal(69, r.code)
    assert.is_truthy(r.err:find("crier logs: no running host in '.crier/sim'", 1, true), r.err)
    r = logs("kind=tsk")
    assert.equal(64, r.code)
    assert.is_truthy(r.err:find("match 'kind=tsk' at 6", 1, true), r.err)
    r = logs("--sink", "out")
    assert.equal(64, r.code)
    assert.is_truthy(r.err:find("sink 'out' (console) cannot be read", 1, true), r.err)
  end)

  it("says so where nothing has run, or nothing is kept", function()
    local other = Bot.new [[
local crier = require "crier"
crier.sink.memory { name = "mem" }
]]
    local r = other:crier { "logs" }
    assert.equal(69, r.code)
    assert.is_truthy(r.err:find("no running host in '.crier', and none has run there: name the " ..
      "script, as in crier logs bot.lua", 1, true), r.err)
    r = other:crier { "logs", "bot.lua" }
    assert.equal(78, r.code)
    assert.equal("crier logs: the only sink to read is in memory, and the host is not running: " ..
      "declare a crier.sink.jsonl to keep records\n", r.err)
    r = other:crier { "logs", "bot.lua", "--sink", "mem" }
    assert.equal(64, r.code)
    assert.is_truthy(r.err:find("keeps its records in memory", 1, true), r.err)
    other:write("bot.lua", [[local crier = require "crier" crier.sink.console { nam = "x" }]])
    r = other:crier { "logs", "bot.lua" }
    assert.equal(78, r.code)
    assert.is_truthy(r.err:find("unknown option 'nam'", 1, true), r.err)
    other:write("bot.lua", [[local crier = require "crier" crier.sink.console { name = "x" }]])
    r = other:crier { "logs", "bot.lua" }
    assert.equal(78, r.code)
    assert.equal("crier logs: bot.lua declares no sink that can be read: crier.sink.jsonl is one\n",
      r.err)
    other:close()
  end)
end)

describe("a state folder that config.state names", function()
  it("is found by the script", function()
    local bot = Bot.new((script:gsub('timezone = ', 'state = "elsewhere/state", timezone = ')))
    bot:start()
    bot:wait_record(function(r) return r.text == "all is there" end)
    assert.equal("7", numbers(bot:crier { "logs", "bot.lua", "--json", "n=7" }))
    assert.equal(0, bot:crier({ "status", "bot.lua" }).code)
    assert.equal("7", numbers(bot:crier { "logs", "--state", "elsewhere/state", "--json", "n=7" }))
    bot.process:signal "TERM"
    bot.process:wait()
    assert.equal("7", numbers(bot:crier { "logs", "bot.lua", "--json", "n=7" }))
    assert.equal("7", numbers(bot:crier { "logs", "--state", "elsewhere/state", "--json", "n=7" }))
    bot:close()
  end)
end)

describe("every store", function()
  it("gives crier logs the same answers, and takes what is copied once", function()
    local bot = Bot.new(([[
local crier = require "crier"
crier.sink.console { name = "out", level = "warning" }
crier.sink.jsonl { name = "l", path = "all.jsonl" }
crier.sink.csv { name = "c", path = "all.csv" }
crier.sink.json { name = "j", kinds = { "log" }, level = "debug" }
crier.sink.memory { name = "m" }
crier.sink.sql { name = "q", dsn = "Driver=SQLite3;Database=all.db" }
crier.on("start", function()
  for i = 1, 300 do
    crier.log.log(i % 3 == 0 and "debug" or "info", "line " .. i,
      { n = i, user = "u" .. i % 7, half = i / 2 })
  end
  crier.log.warning "all is there"
end)
]]))
    bot:start()
    bot:wait_record(function(r) return r.text == "all is there" end)
    local asked = {
      { "-n", "all", "n>0" }, { "-n", "7", "kind=log" }, { "half>=100", "half<=120.5" },
      { "user=in(u1,u5)", "level=debug" }, { "text~^line \\d\\d$", "user!=u3" },
      { "text=like(%7%)" }, { "--since", "1h", "--level", "info", "n<=50" }, { "n=null", "kind=log" },
    }
    local function answers(sinks)
      for _, words in ipairs(asked) do
        local want
        for name in sinks:gmatch "." do
          local r = bot:crier { "logs", "--json", "--sink", name, table.unpack(words) }
          assert.equal(0, r.code, r.err)
          want = want or r.out
          assert.equal(want, r.out, "sink " .. name .. ": " .. table.concat(words, " "))
        end
        assert.is_truthy(want:find("\n", 1, true), table.concat(words, " "))
      end
    end
    answers "lcjmq"
    for from in ("lcjmq"):gmatch "." do
      for to in ("lcjmq"):gmatch "." do
        if from ~= to then
          assert.equal(("0 records moved into '%s', 300 were there already\n"):format(to),
            bot:crier({ "sink", "copy", from, to, "n>0" }).out)
        end
      end
    end
    bot.process:signal "TERM"
    bot.process:wait()
    answers "lcjq"
    bot:close()
  end)
end)

describe("the sink that crier logs reads", function()
  -- Declared sinks, and which one answers while the bot runs and after it.
  local cases = {
    { [[crier.sink.memory { name = "m" } crier.sink.json { name = "j" }]], "m", "j" },
    { [[crier.sink.memory { name = "m" } crier.sink.csv { name = "c", path = "c.csv" }]], "c", "c" },
    { [[crier.sink.csv { name = "c", path = "c.csv" } crier.sink.jsonl { name = "l", path = "l" }]],
      "l", "l" },
    { [[crier.sink.jsonl { name = "some", path = "s", kinds = { "log" } }
        crier.sink.csv { name = "c", path = "c.csv" }]], "c", "c" },
    { [[crier.sink.jsonl { name = "bad", path = "b", level = "error" }
        crier.sink.jsonl { name = "l", path = "l" }]], "l", "l" },
  }
  for _, case in ipairs(cases) do
    it("is the one that takes most: " .. case[1]:gsub("%s+", " "), function()
      local bot = Bot.new([[local crier = require "crier"
crier.on("start", function() crier.log.error("here") end)
crier.sink.console { name = "out" } ]] .. case[1])
      bot:start()
      bot:wait_record(function(r) return r.text == "here" end)
      -- A sink that is not the chosen one is told by what it lacks: its name is in the answer.
      local function from(word)
        return io.popen(([[python3 - %s %s <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"cmd":"logs","lines":1}\n')
print(json.loads(s.makefile().readline())["from"])
END]]):format(proc.quote(bot:path ".crier/sim/control.sock"), word)):read "l"
      end
      assert.equal(case[2], from "x")
      bot.process:signal "TERM"
      bot.process:wait()
      local r = bot:crier { "logs", "-n", "1", "--json" }
      assert.equal(0, r.code, r.err)
      local same = bot:crier { "logs", "-n", "1", "--json", "--sink", case[3] }
      assert.equal(same.out, r.out)
      bot:close()
    end)
  end
end)

describe("crier logs of a stopped bot whose sink has not written all", function()
  it("shows what is in its spool too, and no record twice", function()
    local bot = Bot.new [[
local crier = require "crier"
crier.config { limits = { stop = "1s" } }
crier.sink.console { name = "out", format = "json" }
crier.sink.jsonl { name = "all", path = "deep/all.jsonl", durable = true, retry = { times = 1 } }
crier.on("start", function()
  for i = 1, 3 do crier.log.info("line " .. i, { n = i }) end
  local ev <close> = crier.event { ev_where = "spec", mod_type = "x", descr = "work" }
  ev:finish { descr_fin = "done" }
end)
]]
    local function run()
      bot:start()
      bot:wait_record(function(r) return r.phase == "finish" end)
      bot.process:signal "TERM"
      bot.process:wait()
      bot.process:stop()
    end
    local function logs(...)
      local r = bot:crier { "logs", "--json", "-n", "all", ... }
      assert.equal(0, r.code, r.err)
      return lines(r.out), r.err
    end
    run()
    assert.same({ 3, "" }, { #logs "n>0", select(2, logs "n>0") })
    local stored = #logs()

    -- The second run cannot write: its folder is a file.
    os.rename(bot:path "deep", bot:path "away")
    bot:write("deep", "")
    run()
    local r = bot:crier { "logs", "n>0" }
    assert.equal(69, r.code)
    assert.is_truthy(r.err:match "\ncrier logs: %d+ records of sink 'all' are in its spool, to be written when the " ..
      "host runs %(crier sink list%)\n$", r.err)
    assert.equal(64, bot:crier({ "logs", "kind=tsk" }).code)
    os.remove(bot:path "deep")
    os.rename(bot:path "away", bot:path "deep")
    local all, err = logs()
    assert.is_truthy(err:match "^crier logs: %d+ records of sink 'all' are in its spool, [^\n]*shown, too\n$", err)
    assert.is_true(#all >= 2 * stored)
    local last = ""
    for _, line in ipairs(all) do
      local id = cjson.decode(line).id
      assert.is_true(id > last, line)
      last = id
    end
    assert.equal("1 2 3 1 2 3", numbers(bot:crier { "logs", "--json", "n>0", "-n", "all" }))
    assert.equal("2 3", numbers(bot:crier { "logs", "--json", "n>0", "-n", "2" }))
    local events = cjson.decode(logs "kind=event"[2])
    assert.same({ "work", "done" }, { events.descr, events.descr_fin })

    -- Records that were written and not struck off, as after a kill between the two.
    os.execute("cp -r " .. proc.quote(bot:path ".crier") .. " " .. proc.quote(bot:path "before"))
    run()
    os.execute(("rm -r %s && mv %s %s"):format(proc.quote(bot:path ".crier"), proc.quote(bot:path "before"),
      proc.quote(bot:path ".crier")))
    assert.equal("1 2 3 1 2 3 1 2 3", numbers(bot:crier { "logs", "--json", "n>0", "-n", "all" }))
    bot:close()
  end)
end)

describe("a client of crier logs that goes, or does not read", function()
  it("costs the bot nothing but what waits for it", function()
    local bot = Bot.new(script)
    bot:start()
    bot:wait_record(function(r) return r.text == "all is there" end)
    local python = ([[
import json, socket, sys, time
def ask(request):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(json.dumps(request).encode() + b"\n")
    return s
gone = [ask({"cmd": "logs", "follow": True}) for _ in range(20)] + [ask({"cmd": "logs"}) for _ in range(20)]
slow = ask({"cmd": "logs", "follow": True, "lines": 1, "match": ["more>0"]})
for s in gone:
    s.close()
slow.settimeout(150)
lines = slow.makefile()
assert "from" in json.loads(lines.readline())  # it follows from here on
open(sys.argv[2], "w").write("200000")
time.sleep(float(sys.argv[3]))
got, dropped, at = 0, 0, 0
try:
    for line in lines:
        line = json.loads(line)
        if "record" in line:
            got += 1
            assert line["record"]["more"] > at
            at = line["record"]["more"]
        dropped += line.get("dropped", 0)
        if got + dropped >= 200000:
            break
except socket.timeout:
    pass
print(got, dropped)
]])
    bot:write("slow.py", python)
    local p = proc.start({ "python3", bot:path "slow.py", bot:path ".crier/sim/control.sock",
      bot:path "more", "1" }, { cwd = bot.dir })
    assert.equal(0, p:wait(200), p:err())
    local got, dropped = p:out():match "(%d+) (%d+)"
    got, dropped = tonumber(got), tonumber(dropped)
    assert.equal(200000, got + dropped)
    assert.is_true(got > 1000 and dropped > 0)
    p:stop()
    assert.equal(0, bot:crier({ "status" }).code)
    assert.equal(0, bot:close())
  end)
end)
