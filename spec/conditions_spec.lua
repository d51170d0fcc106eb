-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- Periods and conditions in a script: objects and text mean the same, errors show the right way, and
-- messages go by calendars.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local HEAD = 'local crier = require "crier"\n'

-- What a script prints.
local function output(script)
  local bot = Bot.new(HEAD .. script)
  local r = bot:check()
  bot:close()
  return r.out, r
end

-- The first problem of a script.
local function problem(script)
  return output(script):match "(bot%.lua:%d[^\n]*)"
end

describe("conditions", function()
  it("have one text for object and text", function()
    local cases = {
      { 'crier.every "10m"', "every 10m" },
      { 'crier.every "10 min"', "every 10m" },
      { 'crier.every(90)', "every 1m30s" },
      { 'crier.every("10m", { based = "finish", jitter = "5s", first = "wait" })', "every 10m based on finish jitter 5s first wait" },
      { 'crier.secondly', "secondly" },
      { 'crier.minutely:at ":30"', "minutely :30" },
      { 'crier.hourly:at ":15"', "hourly :15" },
      { 'crier.hourly:between(15, 30)', "hourly between :15 and :31" },
      { 'crier.daily', "daily" },
      { 'crier.daily:after "18:00"', "daily after 18:00" },
      { 'crier.daily:between("10:00", "12:00")', "daily between 10:00 and 12:00" },
      { 'crier.daily:between(10, 12)', "daily between 10:00 and 13:00" },
      { 'crier.daily:before(10)', "daily before 10:00" },
      { 'crier.daily:at("09:00", "18:00")', "daily 09:00, 18:00" },
      { 'crier.daily { "09:00", "18:00" }', "daily 09:00, 18:00" },
      { 'crier.daily { at = "09:00", tz = "Europe/Paris" }', "daily 09:00 in Europe/Paris" },
      { 'crier.daily:starting "06:00"', "daily starting 06:00" },
      { 'crier.weekly { "Mon", "Fri", at = "09:00" }', "weekly Mon, Fri 09:00" },
      { 'crier.weekly { "Mon", between = { "09:00", "17:00" } }', "weekly Mon between 09:00 and 17:00" },
      { 'crier.weekly:on("Mon", "Fri"):at "09:00"', "weekly Mon, Fri 09:00" },
      { 'crier.weekly:between("Mon", "Fri")', "weekly between Mon and Fri" },
      { 'crier.monthly:on(1)', "monthly 1st" },
      { 'crier.monthly:on "last"', "monthly last" },
      { 'crier.monthly:on "last Fri"', "monthly last Fri" },
      { 'crier.monthly:on("2nd Mon"):after "18:00"', "monthly 2nd Mon after 18:00" },
      { 'crier.yearly:on "24 Dec"', "yearly 24 Dec" },
      { 'crier.yearly { "4th Thu of Nov", at = "09:00" }', "yearly 4th Thu of Nov 09:00" },
      { 'crier.daily:after("18:00"):tz "Asia/Kolkata"', "daily after 18:00 in Asia/Kolkata" },
      { 'crier.cron "15  3 * * MON-FRI"', "cron 15 3 * * MON-FRI" },
      { 'crier.cron("@daily", { tz = "UTC" })', "cron @daily in UTC" },
      { 'crier.cron { hour = "9-17", minute = 30 }', "cron 30 9-17 * * *" },
      { 'crier.crontime "* 9-17 * * *"', "crontime * 9-17 * * *" },
      { 'crier.time_of_day:after "18:00"', "time of day after 18:00" },
      { 'crier.time_of_week:between("Mon", "Fri")', "time of week between Mon and Fri" },
      { 'crier.after.success "fetch"', "after task 'fetch'" },
      { 'crier.after.fail "fetch"', "after task 'fetch' failed" },
      { 'crier.after.finish "it\'s"', "after task 'it''s' finished" },
      { 'crier.after.all_success("a", "b")', "after tasks 'a', 'b'" },
      { 'crier.after.any_fail { "a", "b" }', "after any of tasks 'a', 'b' failed" },
      { 'crier.succeeded "a"', "task 'a' succeeded" },
      { 'crier.succeeded("a"):today()', "task 'a' succeeded today" },
      { 'crier.failed("a"):this_hour():at_least(2)', "task 'a' failed at least 2 times this hour" },
      { 'crier.failed("a"):at_least(2):this_hour()', "task 'a' failed at least 2 times this hour" },
      { 'crier.succeeded("a", "1d", { min = 2 })', "task 'a' succeeded at least 2 times in 1d" },
      { 'crier.finished("a", { min = 2, max = 5, within = "2h" })', "task 'a' finished 2 to 5 times in 2h" },
      { 'crier.started():none()', "started never" },
      { 'crier.inacted():within "1d":exactly(1)', "inacted exactly 1 time in 1d" },
      { 'crier.terminated("a"):more_than(1)', "task 'a' terminated at least 2 times" },
      { 'crier.crashed()', "crashed" },
      { 'crier.succeeded():this_day():before "12:00"', "succeeded today before 12:00" },
      { 'crier.running("a"):longer_than "2m"', "task 'a' running longer than 2m" },
      { 'crier.running():less_than(3)', "running at most 2 times" },
      { 'crier.retry(3)', "retry 3" },
      { 'crier.retry()', "retry" },
      { 'crier.retry { 3, delay = "10s", factor = 2, max = "5m" }', "retry 3 delay 10s factor 2 max 5m" },
      { 'crier.retry { 3, factor = 1.5, delay = 1 }', "retry 3 delay 1s factor 1.5" },
      { 'crier.always & crier.never', "true & false" },
      { 'crier.daily:after "18:00" & crier.after.success "fetch"', "daily after 18:00 & after task 'fetch'" },
      { 'crier.daily & crier.hourly | ~crier.running()', "daily & hourly | ~running" },
      { 'crier.daily & (crier.hourly | ~crier.running())', "daily & (hourly | ~running)" },
      { 'crier.daily & "after task \'x\' | hourly"', "daily & (after task 'x' | hourly)" },
      { 'crier.condition "daily at 9"', "daily 09:00" },
      { 'crier.condition(function() return true end)', "condition at bot.lua:__" },
    }
    local lines = {}
    for i, case in ipairs(cases) do lines[i] = ("print(%q, %s)"):format(tostring(i), case[1]) end
    local out, r = output(table.concat(lines, "\n"))
    assert.equal(0, r.code, out)
    local got = {}
    for i, text in out:gmatch "(%d+)\t([^\n]+)" do got[tonumber(i)] = text:gsub("bot%.lua:%d+", "bot.lua:__") end
    for i, case in ipairs(cases) do
      assert.equal(case[2], got[i], case[1])
    end
    -- And the texts are conditions.
    for _, case in ipairs(cases) do
      if not case[2]:find "^condition" then
        local w = proc.run { proc.crier, "when", "--json", "--next", "1", case[2] }
        assert.is_true(w.code == 0 or w.code == 1, case[2] .. ": " .. w.err)
      end
    end
  end)

  it("are equal when they mean the same", function()
    local out = output [[print(crier.daily:at "09:00" == crier.daily { "9:00" }, crier.daily == crier.hourly)]]
    assert.equal("true\tfalse", out:match "^[^\n]+")
  end)

  local wrong = {
    { 'crier.daily:after "18:0x"', "bot.lua:2: daily:after: expected a time of day, such as 09:00, got '18:0x'" },
    { 'crier.daily:after()', "bot.lua:2: daily:after takes 1 value, got 0" },
    { 'crier.daily:between "10:00"', "bot.lua:2: daily:between takes 2 values, got 1" },
    { 'crier.daily.after "18:00"', "bot.lua:2: call it with a colon: crier.daily:after(...)" },
    { 'crier.daily:aftr "18:00"', "bot.lua:2: a condition has no method 'aftr' (did you mean 'after'?)" },
    { 'crier.daily:after "18:00 | true"', "bot.lua:2: daily:after: '18:00 | true' is not one value (conditions are combined outside: a & b)" },
    { 'crier.daily:after(18.5)', "bot.lua:2: daily:after expects texts or whole numbers, got number" },
    { 'crier.daily:after("18:00"):at "20:00"', "bot.lua:2: daily after 18:00:at: expected &, | or the end, got 'at'" },
    { 'crier.weekly { "Mon", att = "09:00" }', "bot.lua:2: weekly: unknown option 'att' (did you mean at)" },
    { 'crier.weekly { "Mom" }', "bot.lua:2: weekly: expected a day of the week, such as Mon, got 'Mom' (did you mean 'mon'?)" },
    { 'crier.monthly:on(32)', "bot.lua:2: monthly:on: expected a day of the month, such as 15th, last, last Fri or 2nd Mon, got '32'" },
    { 'crier.every "10x"', 'bot.lua:2: crier.every: expected a duration such as "10s" or "1m30s", got "10x" (units are ms s m h d w)' },
    { 'crier.every()', 'bot.lua:2: crier.every: expected a duration such as "10m", got nil' },
    { 'crier.every("10m", { basd = "run" })', "bot.lua:2: crier.every: unknown option 'basd' (did you mean 'based'?)" },
    { 'crier.every("10m", { based = "runs" })', "bot.lua:2: crier.every: expected run, success, fail or finish, got 'runs' (did you mean 'run'?)" },
    { 'crier.cron "61 * * * *"', "bot.lua:2: crier.cron: cron: the minute is a number from 0 to 59, got '61'" },
    { 'crier.cron { minut = 3 }', "bot.lua:2: crier.cron: unknown option 'minut' (did you mean 'minute'?)" },
    { 'crier.cron()', 'bot.lua:2: crier.cron expects an expression: crier.cron "15 3 * * *"' },
    { 'crier.after.success()', 'bot.lua:2: crier.after.success expects the names of tasks: crier.after.success "fetch"' },
    { 'crier.after.succes "x"', "bot.lua:2: there is no crier.after.succes (did you mean crier.after.success?)" },
    { 'crier.retry(-1)', "bot.lua:2: crier.retry expects how many times: crier.retry(3), got -1" },
    { 'crier.failed("a"):at_least "2"', "bot.lua:2: task 'a' failed:at_least takes a whole number, got string" },
    { 'crier.daily & 3', "bot.lua:2: & | ~ combine conditions, got number" },
    { 'crier.daily & "hurly"', [[bot.lua:2: "hurly", column 1: expected a period (daily, every 10m, cron ...), after task, running, retry, ~ or (, got 'hurly' (did you mean 'hourly'?)]] },
    { 'crier.condition(3)', "bot.lua:2: crier.condition expects a function or a text: crier.condition(function(ctx) return true end)" },
    { 'crier.dialy', "bot.lua:2: there is no crier.dialy (did you mean crier.daily?)" },
  }
  for _, case in ipairs(wrong) do
    it("refuse " .. case[1], function()
      assert.equal(case[2], problem("local _ = " .. case[1]))
    end)
  end

  it("are not combined by and, or, not", function()
    assert.equal("bot.lua:2:23: Lua's 'and' drops the condition before it (write & between conditions)",
      problem 'local x = crier.daily and crier.after.success "x"')
    assert.equal("bot.lua:2:23: warning: Lua's 'or' drops the condition behind it (write | between conditions)",
      problem 'local x = crier.daily or crier.hourly')
    assert.equal("bot.lua:2:11: Lua's 'not' makes false of a condition (write ~ before a condition)",
      problem 'local x = not crier.running()')
    assert.is_nil(problem 'local x = os.getenv "X" and crier.daily or crier.hourly')
    local _, r = output 'local x = crier.daily and crier.hourly'
    assert.equal(78, r.code)
    _, r = output 'local x = crier.daily or crier.hourly'
    assert.equal(0, r.code)
  end)
end)

describe("a message's period", function()
  local function script(options, head)
    return HEAD .. (head or 'crier.config { timezone = "UTC" }') .. [[

crier.bot { token = crier.secret.env "X" }
crier.sink.console { format = "json" }
crier.GUILD { snowflake = 1, logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = { 2 }, ]] .. options .. [[ } } }]]
  end

  local function plan(options, head)
    local bot = Bot.new(script('data = "x", ' .. options, head))
    local r = bot:crier { "plan", "bot.lua", "--next", "3", "--json" }
    bot:close()
    assert.equal(0, r.code, r.err)
    local list = {}
    for line in r.out:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
    return list
  end

  it("may be a calendar, as object and as text", function()
    for _, case in ipairs {
      { 'period = crier.weekly { "Mon", "Fri", at = "09:00" }', "weekly Mon, Fri 09:00", "T09:00:00" },
      { 'period = "weekly on Mon, Fri at 09:00"', "weekly Mon, Fri 09:00", "T09:00:00" },
      { 'period = crier.daily:at "09:00"', "daily 09:00", "T09:00:00" },
      { 'period = "daily at 09:00", tz = "Asia/Kolkata"', "daily 09:00 (Asia/Kolkata)", "T03:30:00" },
      { 'period = "daily at 09:00 in Asia/Kolkata"', "daily 09:00 in Asia/Kolkata", "T03:30:00" },
      { 'period = crier.cron "15 3 * * *"', "cron 15 3 * * *", "T03:15:00" },
      { 'period = crier.monthly:on "last Fri"', "monthly last Fri", "T00:00:00" },
      { 'period = crier.daily:at "09:00" | "daily 21:00"', "daily 09:00 | daily 21:00", "T%d%d:00:00" },
      { 'period = crier.every "1h"', "every 1h", "" },
      { 'period = "every 10 min"', "every 10m", "" },
      { 'period = crier.every("10m", { jitter = "5m" })', "between 10m and 15m", "" },
    } do
      local list = plan(case[1])
      assert.equal(3, #list, case[1])
      for _, x in ipairs(list) do
        assert.equal(case[2], x.why)
        assert.matches(case[3], x.time)
      end
    end
  end)

  it("goes by the config's zone", function()
    for _, x in ipairs(plan('period = "daily at 09:00"', 'crier.config { timezone = "Asia/Kolkata" }')) do
      assert.matches("T03:30:00", x.time)
    end
  end)

  it("begins with a window, not at once", function()
    local list = plan('period = "yearly on 24 Dec at 18:00", start_in = "2030-12-24T18:00"')
    assert.equal("2030-12-24T18:00:00.000000Z", list[1].time)
    assert.equal("2031-12-24T18:00:00.000000Z", list[2].time)
    list = plan('period = "yearly on 24 Dec at 18:00", start_in = "2030-12-24T18:00:01"')
    assert.equal("2031-12-24T18:00:00.000000Z", list[1].time)
  end)

  it("is refused with the reason", function()
    local function refused(options)
      local bot = Bot.new(script('data = "x",\n    ' .. options))
      local r = bot:check()
      bot:close()
      assert.equal(78, r.code)
      return r.out:match "bot%.lua:7:5: message 'm': ([^\n]*)"
    end
    assert.equal([[option 'period': "daily afer 9", column 7: expected at, after, before, between, starting, &, | or the end, got 'afer' (did you mean 'after'?)]],
      refused 'period = "daily afer 9"')
    assert.equal("option 'period': a message goes by times, and by several with |: 'after task 'x'' is for tasks",
      refused [[period = "after task 'x'"]])
    assert.equal("option 'period': a message goes by times, and by several with |: 'daily & hourly' is for tasks",
      refused 'period = crier.daily & crier.hourly')
    assert.equal("option 'period': 'based on' and 'first' are for tasks: a message has start_in",
      refused 'period = crier.every("1h", { first = "wait" })')
    assert.equal([[option 'tz': unknown time zone "Mars/Base" (expected an IANA name such as "Europe/Ljubljana", or "UTC" or "local")]],
      refused 'tz = "Mars/Base", period = "1h"')
    assert.equal("option 'catch_up' must be one of none, one, all, got \"some\" (did you mean \"none\"?)",
      refused 'catch_up = "some", period = "1h"')
  end)

  local DATA = 'data = function(ctx) return ("%.6f"):format(ctx.due) end'

  -- In virtual time: `steps` move the bot; what was sent then, by its due time's second, and what was
  -- skipped and how often.
  local START = 1767225600 -- 2026-01-01
  local function timeline(options, steps)
    local bot = Bot.new(script('period = "secondly", ' .. options), { ["a_spec.lua"] = ([[
      local testing = require "crier.testing"
      it("goes", function()
        local bot = testing.load("bot.lua", { at = "2026-01-01T00:00:00", state = "state", limits = false })
        %s
        for _, r in ipairs(bot:records { kind = "message" }) do
          print(r.sent_data and "sent " .. r.sent_data.text or ("skipped %%d: %%s"):format(r.occurrences or 1, r.skipped))
        end
        bot:close()
      end) ]]):format(steps) })
    finally(function() bot:close() end)
    local r = bot:crier { "spec", "-o", "TAP", "a_spec.lua" }
    assert.equal(0, r.code, r.out .. r.err)
    local list, skipped = {}, {}
    for due in r.out:gmatch "sent (%S+)" do list[#list + 1] = tonumber(due) - START end
    for n, why in r.out:gmatch "skipped (%d+): ([^\n]*)" do skipped[#skipped + 1] = n .. " " .. why end
    return list, skipped
  end

  it("sends at the begin of each window", function()
    assert.same({ 0, 1, 2, 3 }, timeline(DATA, 'bot:advance "3500ms"'))
  end)

  -- Runs until 1.2, is away, runs from 3.7 until 5.2.
  local function away(options)
    return timeline(options .. ", " .. DATA, [[
      bot:advance "1200ms"
      bot:stop()
      bot:set_clock(bot:now() + 2.5)
      bot:restart()
      bot:advance "1500ms" ]])
  end

  it("makes up for what was missed: all, one or none", function()
    local list, skipped = away 'catch_up = "all", grace = "1m"'
    assert.same({ 0, 1, 2, 3, 4, 5 }, list)
    assert.same({}, skipped)
    list, skipped = away 'catch_up = "one"'
    assert.same({ 0, 1, 3, 4, 5 }, list)
    assert.same({ "1 late: the next one was due already" }, skipped)
    list, skipped = away 'catch_up = "none"'
    assert.same({ 0, 1, 4, 5 }, list)
    assert.same({ "2 the host was down" }, skipped)
  end)

  it("makes up for nothing that is older than the grace", function()
    local list, skipped = away 'catch_up = "all", grace = "1s"'
    assert.same({ 0, 1, 3, 4, 5 }, list)
    assert.same({ "1 missed: too long ago to catch up" }, skipped)
  end)

  -- The first send takes more than two seconds.
  local function slow(options)
    return timeline(options .. [[, data = function(ctx)
      if ctx.sent == 0 then crier.sleep "2200ms" end
      return ("%.6f"):format(ctx.due)
    end]], 'bot:advance "5500ms"')
  end

  it("makes up for what fell due while the send before took long", function()
    local list, skipped = slow 'catch_up = "all"'
    assert.same({ 0, 1, 2, 3, 4, 5 }, list)
    assert.same({}, skipped)
    list, skipped = slow 'catch_up = "one"'
    assert.same({ 0, 2, 3, 4, 5 }, list)
    assert.same({ "1 late: the next one was due already" }, skipped)
  end)

  it("skips what fell due meanwhile, with none", function()
    local list, skipped = slow 'catch_up = "none"'
    assert.same({ 0, 3, 4, 5 }, list)
    assert.same({ "1 the send before is still under way", "1 the send before is still under way" }, skipped)
  end)

  it("takes effect from the last send when it has changed", function()
    local bot = Bot.new(script 'period = "daily at 09:00", data = "x"')
    finally(function() bot:close() end)
    assert.equal(0, bot:run({ "--for", "100ms" }).code)
    local function next_time()
      local r = bot:crier { "plan", "bot.lua", "--next", "1", "--json", "--state", ".crier/sim" }
      return cjson.decode(r.out).time
    end
    assert.matches("T09:00:00", next_time())
    bot:write("bot.lua", script 'period = "daily at 10:00", data = "x"')
    assert.equal(0, bot:run({ "--for", "100ms" }).code)
    assert.matches("T10:00:00", next_time())
    -- The zone is a part of it.
    bot:write("bot.lua", script('period = "daily at 10:00", data = "x"', 'crier.config { timezone = "Asia/Kolkata" }'))
    assert.equal(0, bot:run({ "--for", "100ms" }).code)
    assert.matches("T04:30:00", next_time())
  end)

  it("shows in a reload", function()
    local bot = Bot.new(script 'period = "daily at 09:00", data = "x"')
    finally(function() bot:close() end)
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    bot:write("bot.lua", script 'period = "weekly Mon 9:00", catch_up = "all", data = "x"')
    local r = bot:crier { "reload" }
    assert.matches("~ message m +daily 09:00 %-> weekly Mon 09:00, catch_up one %-> all", r.out)
  end)
end)
