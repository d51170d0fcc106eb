-- SPDX-License-Identifier: MIT
-- crier stats: what records of sends and of task runs add up to, and what Redis has counted.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

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
    local function channels(n, from, why)
      local c = {}
      for i = 1, n do
        c[i] = ('{"name":"c%d","id":"10000000000000000%d"%s}'):format(from + i, from + i, why or "")
      end
      return table.concat(c, ",")
    end
    add(time, "message", (skipped and '"skipped":"late","occurrences":2,' or '"ok":' .. tostring(failed == 0) .. ",") ..
      ('"name":"%s","type":"TextMESSAGE","guild":{"name":"%s","id":"%s","type":"GUILD"},'):format(name,
        guild, guild == "Red" and "863071397207212052" or "863071397207212053") ..
      ('"channels":{"successful":[%s],"failed":[%s]}'):format(channels(ok, 0), channels(failed, ok,
        ',"reason":"50013 Missing Permissions"')) ..
      (runtime and (',"runtime":%g'):format(runtime) or ""))
  end
  send("2026-01-31T12:00:00", "gallery", "Red", 2, 0, 0.5)
  send("2026-01-31T22:30:00", "gallery", "Red", 2, 0, 1.5)
  send("2026-01-31T23:30:00", "gallery", "Red", 1, 1, 1)
  send("2026-02-01T10:00:00", "gallery", "Red", 0, 0, nil, true)
  send("2026-02-01T11:00:00", "digest", "Red", 1, 0, 0.25)
  send("2026-02-02T11:00:00", "gallery", "Blue", 0, 2, 3)
  for i, why in ipairs { "", ',"reason":"50007 Cannot send"', ',"reason":"50007 Cannot send"', ',"reason":"timed\\u001bout"' } do
    add(("2026-02-0%dT12:00:00"):format(2 + i), "message", ('"ok":%s,"name":"hello","type":"DirectMESSAGE",' ..
      '"guild":{"name":"ann","id":"301","type":"USER"},"success_info":{"success":%s%s},"runtime":1.0')
      :format(why == "", why == "", why))
  end
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
      local why = r.reasons[1] and (" %dx %s"):format(r.reasons[1].count, r.reasons[1].reason) or ""
      out[i] = ("%s%s %s%s %d/%d/%d/%d %.5f %s %g%s"):format(r.date and r.date .. " " or "", r.message or "-",
        r.guild.name, r.channel and "/" .. r.channel.name or "", r.sent, r.ok, r.failed, r.skipped or -1,
        r.success_rate, r.channels and ("%d/%d"):format(r.channels.ok, r.channels.failed) or "-", r.runtime, why)
    end
    return out
  end

  local HELLO = "hello ann 4/1/3/0 0.25000 1/3 1 2x 50007 Cannot send"

  it("adds up messages: a send is ok when every channel got it", function()
    local list = rows("messages", "bot.lua", "--json")
    assert.same({
      HELLO,
      "gallery Red 3/2/1/2 0.66667 5/1 1 1x 50013 Missing Permissions",
      "digest Red 1/1/0/0 1.00000 1/0 0.25",
      "gallery Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions",
    }, brief(list))
    assert.equal("863071397207212052", list[2].guild.id)
    assert.equal(0.83333, list[2].channels.success_rate)
    assert.same({ { reason = "50007 Cannot send", count = 2 }, { reason = "timed\27out", count = 1 } }, list[1].reasons)
    assert.same(list, rows("messages", "bot.lua", "--json", "--by", "message"))
  end)

  it("by day, month and year of the script's zone", function()
    assert.same({
      "2026-01-31 gallery Red 2/2/0/0 1.00000 4/0 1",
      "2026-02-01 digest Red 1/1/0/0 1.00000 1/0 0.25",
      "2026-02-01 gallery Red 1/0/1/2 0.00000 1/1 1 1x 50013 Missing Permissions",
      "2026-02-02 gallery Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions",
    }, brief(rows("messages", "bot.lua", "--json", "--by", "day", "--until", "2026-02-03")))
    assert.same({
      "2026-01 - Red 2/2/0/0 1.00000 4/0 1",
      "2026-02 - Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions",
      "2026-02 - Red 2/1/1/2 0.50000 2/1 0.625 1x 50013 Missing Permissions",
      "2026-02 - ann 4/1/3/0 0.25000 1/3 1 2x 50007 Cannot send",
    }, brief(rows("messages", "bot.lua", "--json", "--by", "guild,month")))
    assert.same({ "2026 - Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions",
      "2026 - Red 4/3/1/2 0.75000 6/1 0.8125 1x 50013 Missing Permissions" },
      brief(rows("messages", "bot.lua", "--json", "--by", "year", "--by", "guild", "name!=hello")))
  end)

  it("by channel, of a guild, sorted and cut", function()
    assert.same({ "- Red/c1 4/4/0/-1 1.00000 - 0.8125", "- Red/c2 3/2/1/-1 0.66667 - 1 1x 50013 Missing Permissions" },
      brief(rows("messages", "bot.lua", "--json", "--by", "channel", "--guild", "Red")))
    assert.same({ "digest Red/c1 1/1/0/-1 1.00000 - 0.25", "gallery Red/c1 1/1/0/-1 1.00000 - 1",
      "gallery Red/c2 1/0/1/-1 0.00000 - 1 1x 50013 Missing Permissions" },
      brief(rows("messages", "bot.lua", "--json", "--by", "message, channel", "--guild", "Red", "--since", "2026-02-01")))
    assert.same({ "- ann/ann 4/1/3/-1 0.25000 - 1 2x 50007 Cannot send" },
      brief(rows("messages", "bot.lua", "--json", "--by", "channel", "name=hello")))
    assert.same({ "gallery Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions" },
      brief(rows("messages", "bot.lua", "--json", "--guild", "863071397207212053")))
    assert.same({}, rows("messages", "bot.lua", "--json", "--guild", "Green"))
    assert.same({ "gallery Blue 1/0/1/0 0.00000 0/2 3 2x 50013 Missing Permissions" },
      brief(rows("messages", "bot.lua", "--json", "--sort", "runtime", "--limit", "1")))
    assert.same({ "digest Red 1/1/0/0 1.00000 1/0 0.25" },
      brief(rows("messages", "bot.lua", "--json", "--sort", "success_rate", "--limit", "1")))
    assert.same({ "gallery Red 1/0/1/2 0.00000 1/1 1 1x 50013 Missing Permissions" }, brief(rows("messages", "bot.lua",
      "--json", "--since", "2026-02-01", "--until", "2026-02-02", "name=gallery")))
  end)

  it("is 1 where nothing was tried", function()
    local list = rows("messages", "bot.lua", "--json", "skipped=late")
    assert.same({ 0, 2, 1, 1, cjson.null }, { list[1].sent, list[1].skipped, list[1].success_rate,
      list[1].channels.success_rate, list[1].runtime })
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
    local r = bot:crier { "stats", "messages", "bot.lua", "--by", "day", "--until", "2026-02-03" }
    assert.equal([[
DATE        MESSAGE  GUILD         SENT        OK    FAILED   SKIPPED     RATE  CHANNELS  RUNTIME  REASON
2026-01-31  gallery  Red              2         2         0         0  1.00000       4/4       1s
2026-02-01  digest   Red              1         1         0         0  1.00000       1/1    250ms
2026-02-01  gallery  Red              1         0         1         2  0.00000       1/2       1s  1x 50013 Missing Permissions
2026-02-02  gallery  Blue             1         0         1         0  0.00000       0/2       3s  2x 50013 Missing Permissions
]], r.out)
    r = bot:crier { "stats", "messages", "bot.lua", "--by", "channel", "--guild", "ann" }
    assert.equal([[
GUILD    CHANNEL       SENT        OK    FAILED     RATE  RUNTIME  REASON
ann      ann              4         1         3  0.25000       1s  2x 50007 Cannot send (and 1 more)
]], r.out)
    r = bot:crier { "stats", "messages", "bot.lua", "name=digest" }
    assert.equal([[
MESSAGE  GUILD         SENT        OK    FAILED   SKIPPED     RATE  CHANNELS  RUNTIME
digest   Red              1         1         0         0  1.00000       1/1    250ms
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
    proc.wait_for(function() return bot:crier({ "status" }).code == 0 end)
    assert.equal(before, bot:crier { "stats", "messages", "--by", "day" }.out)
    assert.equal(before, bot:crier { "stats", "messages", "--by", "day", "--sink", "all" }.out)
  end)

  local mistakes = {
    { {}, 64, "of what? messages, tasks, common or recent" },
    { { "mesages" }, 64, "there are none of 'mesages' (did you mean 'messages'?)" },
    { { "messages", "--by", "week" }, 64, "--by takes all, year, month, day, message, guild or channel, got 'week'" },
    { { "messages", "--by", "day,,guild" }, 64, "or channel, got ''" },
    { { "messages", "--by", "" }, 64, "or channel, got ''" },
    { { "messages", "--by", "day,guild,year" }, 64, "--by takes one of year, month and day" },
    { { "tasks", "--by", "guild" }, 64, "--by takes all, year, month or day, got 'guild'" },
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

-- One run of a bot, kept by every sink that can be read: what is added up is the same from each, and
-- so are the records.
describe("crier stats messages", function()
  local w
  teardown(function() if w then w:close() end end)

  local C1, C2, ANN = "978332728615378984", "978332728615378985", "145196308985020416"

  local function start()
    w = World.new {
      world = { users = { { id = ANN, name = "ann" } }, bots = { { token = "good.bot.token", name = "crier" } },
        guilds = { { id = "863071397207212052", name = "guild", channels = { { id = C1, name = "c1", type = 0 },
          { id = C2, name = "c2", type = 0, deny = { "SEND_MESSAGES" } } } } } },
      script = ([[
local crier = require "crier"
crier.bot { token = crier.secret.env "SPEC_TOKEN" }
crier.sink.console { name = "screen", format = "json" }
crier.sink.memory { name = "memory" }
crier.sink.json { name = "json", kinds = "message", level = "debug" }
crier.sink.jsonl { name = "jsonl", path = "all.jsonl" }
crier.sink.csv { name = "csv", path = "all.csv" }
crier.sink.sql { name = "sql", dsn = "Driver=SQLite3;Database=all.db" }
local function message(kind, t)
  t.period, t.start_in = "1d", "6h"
  return crier[kind](t)
end
crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
  message("TextMESSAGE", { name = "both", channels = { "C1", "C2" }, data = "x" }),
  message("TextMESSAGE", { name = "one", channels = { "C1" }, mode = "edit", data = "y" }),
  message("TextMESSAGE", { name = "rich", channels = { "C1" }, data = {
    crier.POLL { question = "tea?", answers = { "yes", "no" } }, crier.BUTTON { label = "look", url = "https://example.org" } } }),
  message("TextMESSAGE", { name = "never", channels = { "C1" }, data = crier.data_function(function() end) {} }),
} }
crier.USER { snowflake = "ANN", logging = true, messages = { message("DirectMESSAGE", { name = "hi", data = "z" }) } }
]]):gsub("C1", C1):gsub("C2", C2):gsub("ANN", ANN) }
    w:up()
    w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 502, times = 1 }
    for _, name in ipairs { "both", "one", "never", "rich", "hi", "one", "both", "never" } do
      w:crier { "message", "send", name }
    end
  end

  -- What each sink answers, which must be the same; `ask` gives the words of the command behind crier.
  local function same(sinks, ask, seen)
    for _, sink in ipairs(sinks) do
      local argv = { table.unpack(ask) }
      for _, word in ipairs { "--json", "--sink", sink } do argv[#argv + 1] = word end
      local r = w:crier(argv)
      assert.equal(0, r.code, sink .. ": " .. r.err)
      local list = {}
      for line in r.out:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
      seen = seen or list
      assert.same(seen, list, sink)
    end
    return seen
  end

  it("is the same from every store, running or not", function()
    start()
    local by = { "message", "guild", "channel", "message,channel", "day,guild" }
    local files, sums = { "json", "jsonl", "csv", "sql" }, {}
    local all = { "memory", table.unpack(files) }
    local logs = { "logs", "bot.lua", "kind=message", "-n", "100" }
    local function stats(i) return { "stats", "messages", "bot.lua", "--sort", "name", "--by", by[i] } end
    local records = same(all, logs)
    for i in ipairs(by) do sums[by[i]] = same(all, stats(i)) end
    w:down()
    same(files, logs, records)
    for i in ipairs(by) do same(files, stats(i), sums[by[i]]) end

    local function lines(what)
      local list = {}
      for i, r in ipairs(sums[what]) do
        list[i] = ("%s %s %s %d/%d/%d %.5f %s"):format(r.message or "-", r.guild.name, r.channel and r.channel.name or "-",
          r.sent, r.ok, r.skipped or 0, r.success_rate, r.reasons[1] and r.reasons[1].reason:match "%d%d%d%d+" or "-")
      end
      return list
    end
    assert.same({ "both guild - 2/0/0 0.00000 50013", "hi ann - 1/1/0 1.00000 -", "never guild - 0/0/2 1.00000 -",
      "one guild - 2/2/0 1.00000 -", "rich guild - 1/1/0 1.00000 -" }, lines "message")
    assert.same({ "- ann - 1/1/0 1.00000 -", "- guild - 5/3/2 0.60000 50013" }, lines "guild")
    assert.same({ "- ann ann 1/1/0 1.00000 -", "- guild c1 5/5/0 1.00000 -", "- guild c2 2/0/0 0.00000 50013" },
      lines "channel")

    -- Each record tells what its send took.
    local rich = World.select(records, function(r) return r.name == "rich" end)[1]
    assert.equal("tea?", rich.sent_data.poll.question.text)
    assert.equal("https://example.org", rich.sent_data.components[1].components[1].url)
    assert.same({ 1, 0 }, { rich.requests, rich.retries })
    local first = records[1]
    assert.equal("both", first.name)
    assert.same({ 3, 1 }, { first.requests, first.retries })
    assert.is_true(first.retry_wait > 0 and first.retry_wait <= first.runtime)
    assert.is_true(first.latency > 0 and first.latency <= first.runtime)
    assert.is_nil(rich.retry_wait)
    for _, r in ipairs(records) do
      assert.equal(r.skipped == nil, r.requests ~= nil)
      if not r.skipped then assert.is_true(r.runtime > 0 and r.requests >= 1 and r.latency > 0) end
    end
  end)

  it("shows of a message what it would send, whatever that consists of", function()
    w:up()
    local r = w:crier { "message", "preview", "rich" }
    assert.equal(0, r.code, r.err)
    assert.matches('poll +{.*"tea%?"', r.out)
    assert.matches('buttons +%[.*"https://example.org"', r.out)
  end)
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
