-- SPDX-License-Identifier: MIT
-- crier stats: what records of sends and of task runs add up to, and what Redis has counted.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"

-- Stored records with known sums. Days are those of Ljubljana: 23:30 UTC is the next one there.
local function store(bot)
  local seq, list = 0, {}
  local function add(time, kind, fields)
    seq = seq + 1
    list[#list + 1] = ('{"id":"01KAJ9S3M00000000000000%03d","seq":%d,"time":"%s.000000Z",' ..
      '"node":"web-1","kind":"%s","level":"info","logger":"x","text":"x",%s}'):format(seq, seq, time,
      kind, fields)
  end
  local function send(time, name, guild, ok, failed, runtime, skipped)
    local function channels(n, from)
      local c = {}
      for i = 1, n do c[i] = ('{"name":"c%d","id":"10000000000000000%d"}'):format(from + i, from + i) end
      return table.concat(c, ",")
    end
    add(time, "message", (skipped and '"skipped":"late",' or '"ok":' .. tostring(failed == 0) .. ",") ..
      ('"name":"%s","type":"TextMESSAGE","guild":{"name":"%s","id":"%s","type":"GUILD"},'):format(name,
        guild, guild == "Red" and "863071397207212052" or "863071397207212053") ..
      ('"channels":{"successful":[%s],"failed":[%s]}'):format(channels(ok, 0), channels(failed, ok)) ..
      (runtime and (',"runtime":%g'):format(runtime) or ""))
  end
  send("2026-01-31T12:00:00", "gallery", "Red", 2, 0, 0.5)
  send("2026-01-31T22:30:00", "gallery", "Red", 2, 0, 1.5)
  send("2026-01-31T23:30:00", "gallery", "Red", 1, 1, 1)
  send("2026-02-01T10:00:00", "gallery", "Red", 0, 0, nil, true)
  send("2026-02-01T11:00:00", "digest", "Red", 1, 0, 0.25)
  send("2026-02-02T11:00:00", "gallery", "Blue", 0, 2, 3)
  for i, action in ipairs { "run", "success", "run", "fail", "run", "crash", "run", "terminate", "run",
    "inaction", "run", "success" } do
    add(("2026-03-01T10:%02d:00"):format(i), "task", ('"task_name":"fetch","action":"%s","run_id":"r%d"%s')
      :format(action, i, action == "run" and "" or ',"runtime":2.0'))
  end
  add("2026-03-02T10:00:00", "task", '"task_name":"report","action":"run","run_id":"r"')
  bot:write("all.jsonl", table.concat(list, "\n") .. "\n")
end

describe("crier stats", function()
  local bot
  setup(function()
    bot = Bot.new [[
local crier = require "crier"
crier.config { timezone = "Europe/Ljubljana" }
crier.sink.jsonl { name = "all", path = "all.jsonl" }
]]
    store(bot)
  end)
  teardown(function() bot:close() end)

  local function rows(...)
    local r = bot:crier { "stats", ... }
    assert.equal(0, r.code, r.err)
    local list = {}
    for line in r.out:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
    return list
  end

  local function brief(list)
    local out = {}
    for i, r in ipairs(list) do
      local where = r.guild or r.channel
      out[i] = ("%s%s %s %d/%d/%d/%d %s %s"):format(r.date and r.date .. " " or "", r.message or "-",
        where.name, r.sent, r.ok, r.failed, r.skipped or -1,
        r.success_rate == cjson.null and "-" or ("%.5f"):format(r.success_rate),
        r.runtime == cjson.null and "-" or ("%g"):format(r.runtime))
    end
    return out
  end

  it("adds up messages: a send is ok when every channel got it", function()
    local want = {
      "gallery Red 3/2/1/1 0.66667 1",
      "digest Red 1/1/0/0 1.00000 0.25",
      "gallery Blue 1/0/1/0 0.00000 3",
    }
    assert.same(want, brief(rows("messages", "bot.lua", "--json")))
    assert.equal("863071397207212052", rows("messages", "bot.lua", "--json")[1].guild.id)
  end)

  it("by day, month and year of the script's zone", function()
    assert.same({
      "2026-01-31 gallery Red 2/2/0/0 1.00000 1",
      "2026-02-01 digest Red 1/1/0/0 1.00000 0.25",
      "2026-02-01 gallery Red 1/0/1/1 0.00000 1",
      "2026-02-02 gallery Blue 1/0/1/0 0.00000 3",
    }, brief(rows("messages", "bot.lua", "--json", "--by", "day")))
    assert.same({
      "2026-01 - Red 2/2/0/0 1.00000 1",
      "2026-02 - Blue 1/0/1/0 0.00000 3",
      "2026-02 - Red 2/1/1/1 0.50000 0.625",
    }, brief(rows("messages", "bot.lua", "--json", "--by", "month", "--per", "guild")))
    assert.same({ "2026 - Blue 1/0/1/0 0.00000 3", "2026 - Red 4/3/1/1 0.75000 0.8125" },
      brief(rows("messages", "bot.lua", "--json", "--by", "year", "--per", "guild")))
  end)

  it("by channel, of a guild, sorted and cut", function()
    assert.same({ "- c1 4/4/0/-1 1.00000 0.8125", "- c2 3/2/1/-1 0.66667 1" },
      brief(rows("messages", "bot.lua", "--json", "--per", "channel", "--guild", "Red")))
    assert.same({ "gallery Blue 1/0/1/0 0.00000 3" },
      brief(rows("messages", "bot.lua", "--json", "--guild", "863071397207212053")))
    assert.same({}, rows("messages", "bot.lua", "--json", "--guild", "Green"))
    assert.same({ "gallery Blue 1/0/1/0 0.00000 3" },
      brief(rows("messages", "bot.lua", "--json", "--sort", "runtime", "--limit", "1")))
    assert.same({ "digest Red 1/1/0/0 1.00000 0.25" },
      brief(rows("messages", "bot.lua", "--json", "--sort", "success_rate", "--limit", "1")))
    assert.same({ "gallery Red 1/0/1/1 0.00000 1" }, brief(rows("messages", "bot.lua", "--json",
      "--since", "2026-02-01", "--until", "2026-02-02", "name=gallery")))
  end)

  it("adds up tasks", function()
    local list = rows("tasks", "bot.lua", "--json")
    assert.equal(2, #list)
    local f = list[1]
    assert.same({ "fetch", 6, 2, 1, 1, 1, 1, 0.4, 2 }, { f.task, f.runs, f.success, f.fail, f.crash,
      f.terminate, f.inaction, f.success_rate, f.runtime })
    assert.same({ "report", 1, cjson.null, cjson.null }, { list[2].task, list[2].runs,
      list[2].success_rate, list[2].runtime })
  end)

  it("prints tables for people", function()
    local r = bot:crier { "stats", "messages", "bot.lua", "--by", "day" }
    assert.equal([[
DATE        MESSAGE  GUILD         SENT        OK    FAILED   SKIPPED     RATE  RUNTIME
2026-01-31  gallery  Red              2         2         0         0  1.00000       1s
2026-02-01  digest   Red              1         1         0         0  1.00000    250ms
2026-02-01  gallery  Red              1         0         1         1  0.00000       1s
2026-02-02  gallery  Blue             1         0         1         0  0.00000       3s
]], r.out)
    r = bot:crier { "stats", "tasks", "bot.lua" }
    assert.equal([[
TASK          RUNS   SUCCESS      FAIL     CRASH TERMINATE  INACTION     RATE  RUNTIME
fetch            6         2         1         1         1         1  0.40000       2s
report           1         0         0         0         0         0        -        -
]], r.out)
  end)

  it("is the same of a running bot", function()
    local before = bot:crier { "stats", "messages", "bot.lua", "--by", "day" }.out
    bot:start()
    bot.process.name = "the bot"
    local proc = require "spec.support.proc"
    proc.wait_for(function() return bot:crier({ "status" }).code == 0 end)
    assert.equal(before, bot:crier { "stats", "messages", "--by", "day" }.out)
    assert.equal(before, bot:crier { "stats", "messages", "--by", "day", "--sink", "all" }.out)
  end)

  local mistakes = {
    { {}, 64, "of what? messages, tasks, common or recent" },
    { { "mesages" }, 64, "there are none of 'mesages' (did you mean 'messages'?)" },
    { { "messages", "--by", "week" }, 64, "--by takes all, year, month or day, got 'week'" },
    { { "messages", "--per", "user" }, 64, "--per takes message, guild or channel, got 'user'" },
    { { "tasks", "--per", "guild" }, 64, "--per goes with messages" },
    { { "messages", "--sort", "size" }, 64, "--sort takes sent, ok, failed, skipped, success_rate, " ..
      "runtime or name, got 'size'" },
    { { "messages", "--limit", "x" }, 64, "--limit takes a number of lines, got 'x'" },
    { { "messages", "--bye" }, 64, "unknown option '--bye' (did you mean '--by'?)" },
    { { "messages", "none.lua" }, 66, "'none.lua' is no file" },
    { { "messages", "bot.lua", "kind=x" }, 64, "match 'kind=x' at 6" },
    { { "common", "--hour", "next" }, 64, "--hour takes this or last, got 'next'" },
    { { "common", "--level", "x" }, 64, "--level takes debug, info, warning, error or critical" },
    { { "recent", "bot" }, 64, "recent takes a logger and a level, such as bot error" },
    { { "recent", "bot", "loud" }, 64, "no level is called 'loud'" },
    { { "recent", "--hour", "last", "bot", "info" }, 64, "go with common" },
    { { "common", "bot.lua" }, 78, "declares no sink that keeps common logs: crier.sink.redis" },
    { { "common", "bot.lua", "--sink", "all" }, 64, "sink 'all' (jsonl) has no common logs" },
  }
  for _, mistake in ipairs(mistakes) do
    it("tells a mistake: " .. table.concat(mistake[1], " "), function()
      local r = bot:crier { "stats", table.unpack(mistake[1]) }
      assert.equal(mistake[2], r.code, r.err)
      assert.is_truthy(r.err:find(mistake[3], 1, true), r.err)
      assert.equal("", r.out)
    end)
  end
end)

describe("crier stats common and recent", function()
  local redis, bot
  setup(function()
    redis = Redis.new()
    bot = Bot.new([[
local crier = require "crier"
crier.sink.redis { name = "cache", url = "]] .. redis.url .. [[" }
crier.sink.console { name = "out", level = "warning" }
crier.on("start", function()
  for i = 1, 30 do crier.log.info("user " .. i .. " came") end
  for i = 1, 5 do crier.log.error("disk is full\27[31m") end
  crier.log.warning "done"
end)
]])
    bot:start()
    bot:wait_record(function(r) return r.text == "done" end)
  end)
  teardown(function()
    bot:close()
    redis:close()
  end)

  local function check()
    local common = bot:crier { "stats", "common", "--logger", "bot" }
    assert.equal(0, common.code, common.err)
    assert.equal([[
   COUNT  LOGGER            LEVEL     TEXT
      30  bot               info      user <n> came
       5  bot               error     disk is full\x1b[<n>m
       1  bot               warning   done
]], common.out)
    local json = bot:crier { "stats", "common", "--json", "--level", "error", "--limit", "1" }
    assert.same({ "bot", 5 }, { cjson.decode(json.out).logger, cjson.decode(json.out).count })
    local recent = bot:crier { "stats", "recent", "bot", "info", "--limit", "2" }
    assert.equal(0, recent.code, recent.err)
    assert.is_truthy(recent.out:match("^%a%a%a %d+ %a%a%a %d%d:%d%d:%d%d  user 30 came\n[^\n]*" ..
      "  user 29 came\n$"), recent.out)
    assert.equal(30, select(2, bot:crier({ "stats", "recent", "bot", "info" }).out:gsub("\n", "")))
    assert.equal("", bot:crier({ "stats", "recent", "nobody", "info" }).out)
    assert.equal(1, select(2, bot:crier({ "stats", "common", "--hour", "last" }).out:gsub("\n", "")))
  end

  it("tell what a running bot's Redis holds", check)

  it("and that of a stopped one, until Redis is gone", function()
    bot.process:signal "TERM"
    bot.process:wait()
    check()
    redis:kill()
    local r = bot:crier { "stats", "common" }
    assert.equal(69, r.code)
    assert.is_truthy(r.err:find("crier stats: sink 'cache': ", 1, true), r.err)
    redis:start()
  end)
end)
