-- SPDX-License-Identifier: MIT
-- Tasks: what a script declares, what is recorded, and what is done by hand. When they run is told by
-- spec/unit/host_tasks_test.c, in virtual time.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local HEAD = [[
local crier = require "crier"
crier.sink.console { format = "json", kinds = { "task", "log", "system" } }
crier.sink.jsonl { name = "log", path = "log.jsonl" }
]]

describe("tasks", function()
  local bot

  local function new(script) bot = Bot.new(HEAD .. script) end
  after_each(function()
    if bot then bot:close() end
    bot = nil
  end)

  local function task(...)
    return bot:crier { "task", ... }
  end

  local function of(name, action)
    return function(r) return r.kind == "task" and r.task_name == name and (not action or r.action == action) end
  end

  describe("declared", function()
    local function check(script)
      new(script)
      local r = bot:check()
      local lines = {}
      for line in r.out:gmatch "[^\n]+" do
        if line:find "^bot.lua:%d" then lines[#lines + 1] = line end
      end
      return table.concat(lines, "\n"), r.code
    end

    for what, case in pairs {
      ["an unknown option"] = { 'crier.task { name = "a", sart = crier.daily, run = print }',
        [[bot.lua:4:26: task 'a': unknown option 'sart' (did you mean 'start'?)]] },
      ["no name"] = { 'crier.task { run = print }', [[bot.lua:4:7: task: option 'name' is missing]] },
      ["a name that is no text"] = { 'crier.task { name = "a\\xff", run = print, start = crier.daily }',
        "bot.lua:4:14: task 'a\xff': option 'name' must be text in UTF-8, without NUL bytes (save the script as UTF-8)" },
      ["nothing to do"] = { 'crier.task { name = "a", start = crier.daily }',
        [[bot.lua:4:7: task 'a': one of 'run', 'command' and 'module' must say what to do (run = function(ctx) ... end)]] },
      ["too much to do"] = { 'crier.task { name = "a", run = print, command = { "ls" }, start = crier.daily }',
        [[bot.lua:4:7: task 'a': only one of 'run', 'command' and 'module' says what to do (run = function(ctx) ... end)]] },
      ["one word with blanks"] = { 'crier.task { name = "a", command = "df -h", start = crier.daily }',
        [[bot.lua:4:26: task 'a': option 'command' is one word with blanks in it (command = { "df", "-h" }, or shell = true)]] },
      ["a shell for a function"] = { 'crier.task { name = "a", run = print, shell = true, start = crier.daily }',
        [[bot.lua:4:39: task 'a': option 'shell' is for commands]] },
      ["a condition's text"] = { 'crier.task { name = "a", run = print, start = "daily aftr 18:00" }',
        [[bot.lua:4:39: task 'a': option 'start', column 7 of its text: ]] },
      ["a number for a condition"] = { 'crier.task { name = "a", run = print, start = 5 }',
        [[bot.lua:4:39: task 'a': option 'start' must be a condition or the text of one, got the number 5 ]] ..
        [[(crier.every "10m", or "daily after 18:00")]] },
      ["a task that is not there"] = { 'crier.task { name = "fetch", run = print, start = crier.daily }\n' ..
        [[crier.task { name = "b", run = print, start = "after task 'fecth' & daily" }]],
        [[bot.lua:5:39: task 'b': option 'start': there is no task 'fecth' (did you mean 'fetch'?)]] },
      ["two of one name"] = { 'crier.task { name = "a", run = print, start = crier.daily }\n' ..
        'crier.task { name = "a", run = print, start = crier.daily }',
        [[bot.lua:5:14: task 'a': there is a task of this name already, at bot.lua:4 (give each a name of its own)]] },
      ["a list of params"] = { 'crier.task { name = "a", run = print, start = crier.daily, params = { 1 } }',
        [[bot.lua:4:60: task 'a': option 'params' must be a table of named values, got a list (params = { region = "eu" })]] },
      ["a function among params"] = { 'crier.task { name = "a", run = print, start = crier.daily, params = { f = print } }',
        [[bot.lua:4:60: task 'a': option 'params': f: a function cannot be written as JSON]] },
      ["a permanent one with a timeout"] = {
        'crier.task { name = "a", run = print, start = crier.daily, permanent = true, timeout = "1m" }',
        [[bot.lua:4:78: task 'a': a permanent task has no timeout (leave one of them out)]] },
      ["a group of others"] = { 'crier.group { print }',
        [[bot.lua:4:7: group: item 1 must be a crier.task, got a function (crier.group { crier.task {...} })]] },
    } do
      it("wrong: " .. what, function()
        local got, code = check(case[1])
        assert.equal(case[2], got:sub(1, #case[2]))
        assert.equal(78, code)
      end)
    end

    it("are counted, and one that nothing starts is a note", function()
      local got, code = check 'crier.task { name = "a", run = print }'
      assert.equal(0, code)
      assert.truthy(got:find("task 'a': it has no 'start': it runs only by hand", 1, true), got)
    end)

    it("in a group have its prefix and its condition", function()
      new [[
        crier.group { prefix = "etl.", start = crier.time_of_year, stop = "task 'etl.b' running",
          crier.task { name = "a", start = "every 1h", run = print },
          crier.task { name = "b", run = print } }
      ]]
      bot:start()
      bot:wait_record(of("etl.b", "run"))
      local r = task("list", "--json")
      local starts = {}
      for line in r.out:gmatch "[^\n]+" do
        local t = cjson.decode(line)
        starts[t.name] = t.start
      end
      assert.same({ ["etl.a"] = "time of year & every 1h", ["etl.b"] = "time of year" }, starts)
    end)
  end)

  it("are recorded, with what came of them", function()
    new [[
      crier.task { name = "a", start = "every 1h", params = { n = 1, s = "x" }, run = function(ctx, p)
        assert(ctx.params.n == p.n and ctx.task == "a" and #ctx.run_id == 26)
        ctx.log.info("inside", { n = p.n })
        crier.sleep "10ms"
        return { n = p.n + 1 }
      end }
      crier.task { name = "b", start = crier.after.success "a", run = function(ctx)
        if ctx.result("a").n ~= 2 or ctx.result("c", 5) ~= 5 then error "wrong" end
        local mine, its = ctx.log:filter { action = "run" }:all(), nil
        crier.log.info("mine", { count = #mine, name = mine[1].task_name })
        return crier.inaction "nothing new"
      end }
      crier.task { name = "c", start = crier.after.finish "b", run = function() local x = nil; return x.y end }
      for _, action in ipairs { "run", "success", "fail", "inaction" } do
        crier.on("task." .. action, function(e)
          crier.log.info("hook", { hook = action, of = e.task_name .. " " .. e.action })
        end)
      end
    ]]
    bot:start()
    local c = bot:wait_record(of("c", "fail"))
    local records = bot:records()
    local a = Bot.select(records, of "a")
    assert.equal(2, #a)
    assert.equal("Task 'a' status: 'run'", a[1].text)
    assert.equal("info", a[1].level)
    assert.equal("task", a[1].logger)
    assert.equal("bot.lua:4", a[1].where)
    assert.equal("success", a[2].action)
    assert.equal(a[1].run_id, a[2].run_id)
    assert.equal(a[1].start, a[2].start)
    assert.is_true(a[2].ok)
    assert.is_true(a[2].runtime >= 0.01 and a[2].runtime < 5)
    assert.truthy(a[2]["end"] > a[2].start and a[2].created)
    local b = Bot.select(records, of("b", "inaction"))[1]
    assert.equal("Task 'b' status: 'inaction' (nothing new)", b.text)
    assert.equal("nothing new", b.reason)
    assert.equal("error", c.level)
    assert.is_false(c.ok)
    assert.truthy(c.exc_text:find("bot.lua:%d+: attempt to index a nil value"), c.exc_text)
    local inside = Bot.select(records, function(r) return r.text == "inside" end)[1]
    assert.same({ "a", a[1].run_id, "task.a", 1 }, { inside.task_name, inside.run_id, inside.logger, inside.n })
    local mine = Bot.select(records, function(r) return r.text == "mine" end)[1]
    assert.same({ 1, "b" }, { mine.count, mine.name })
    local hooks = {}
    for _, r in ipairs(Bot.select(records, function(r) return r.text == "hook" end)) do
      hooks[#hooks + 1] = r.hook .. ": " .. r.of
    end
    assert.same({ "run: a run", "success: a success", "run: b run", "inaction: b inaction", "run: c run" },
      { table.unpack(hooks, 1, 5) })
  end)

  it("are stopped when they are busy, and the host goes on", function()
    new [[
      crier.config { limits = { callback = "50ms" } }
      crier.task { name = "busy", on_startup = true, run = function() while true do pcall(error) end end }
      crier.task { name = "longer", on_startup = true, budget = "5s", run = function()
        local t = os.clock() + 0.15
        while os.clock() < t do end
      end }
    ]]
    bot:start()
    bot:wait_record(of("longer", "success"))
    local busy = bot:wait_record(of("busy", "fail"))
    assert.truthy(busy.exc_text:find("task 'busy' used more than 50ms of CPU time", 1, true), busy.exc_text)
  end)

  it("are run, stopped and held back by hand", function()
    new [[
      crier.task { name = "job", disabled = true, params = { n = 1, s = "x" }, run = function(ctx, p)
        if p.n == 3 then error("as asked: " .. p.s .. type(p.list)) end
        if p.n == 4 then crier.sleep "1h" end
        if p.n == 5 then crier.tasks.job:stop() crier.sleep "1h" end
      end }
      crier.task { name = "tick", start = "every 50ms", run = function() end }
      crier.task { name = "chief", run = function()
        crier.log.info("answers", { a = crier.tasks.job:run { n = 2 }, b = crier.tasks.tick:pause(),
          c = select(2, pcall(function() return crier.tasks.tikc end)) })
      end }
    ]]
    bot:start()
    bot:wait_record(of("tick", "success"))
    local r = task("run", "job", "--wait")
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find "^task job: success %(run %w+%)\n$", r.out)
    r = task("run", "job", "n=3", "list=[1,2]", "--wait")
    assert.equal(1, r.code)
    assert.truthy(r.out:find("task job: fail", 1, true) and r.out:find("as asked: xtable", 1, true), r.out)
    r = task("retry", "job", "--wait", "--json")
    assert.equal(1, r.code)
    assert.equal("fail", cjson.decode(r.out).action)
    assert.equal("task job was started\n", task("run", "job", "n=4").out)
    bot:wait_record(function() return #Bot.select(bot:records(), of("job", "run")) == 4 end)
    assert.equal("task job runs when the run that is under way has ended\n", task("run", "job").out)
    assert.equal("task job: 2 runs stopped\n", task("stop", "job").out)
    assert.equal("stopped by hand", bot:wait_record(of("job", "terminate")).reason)
    assert.equal(1, task("stop", "job").code)
    r = task("run", "job", "n=5", "--wait")
    assert.equal(1, r.code)
    assert.truthy(r.out:find("terminate", 1, true) and r.out:find("stopped by the script", 1, true), r.out)
    r = task("run", "jbo")
    assert.equal(64, r.code)
    assert.equal("crier task: there is no task 'jbo' (did you mean 'job'?)\n", r.err)
    assert.equal(0, task("run", "chief", "--wait").code)
    local answers = bot:wait_record(function(x) return x.text == "answers" end)
    assert.is_true(answers.a)
    assert.is_true(answers.b)
    assert.truthy(answers.c:find("there is no task 'tikc' (did you mean 'tick'?)", 1, true), answers.c)
    assert.equal("task tick was paused already\n", task("pause", "tick").out)
    assert.truthy(task("list").out:find("\ntick +paused"))
    local before = #Bot.select(bot:records(), of("tick", "run"))
    assert.equal("task tick goes on\n", task("resume", "tick").out)
    bot:wait_record(function() return #Bot.select(bot:records(), of("tick", "run")) > before end)
    local status = cjson.decode(bot:crier({ "status", "--json" }).out)
    assert.equal(3, status.tasks.total)
    assert.equal(2, status.tasks.fail)
    assert.equal(64, task("rnu", "job").code)
    assert.equal(64, task("run", "job", "a=1", "b").code)
  end)

  it("that a kill ended are told as one crash", function()
    new [[
      crier.task { name = "long", start = "every 1d", run = function() crier.sleep "1h" end }
      crier.on("task.crash", function(e) crier.log.info("hook", { run_id = e.run_id }) end)
    ]]
    bot:start()
    local run = bot:wait_record(of("long", "run"))
    bot.process:signal "KILL"
    proc.wait_for(function() return bot.process:code() end)
    bot:start()
    local crash = bot:wait_record(of("long", "crash"))
    assert.equal(run.run_id, crash.run_id)
    assert.equal(run.start, crash.start)
    assert.equal("error", crash.level)
    assert.is_true(crash.seq > run.seq)
    assert.equal(run.run_id, bot:wait_record(function(r) return r.text == "hook" end).run_id)
    bot.process:stop()
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    bot.process:stop()
    local _, crashes = bot:read("log.jsonl"):gsub('"action":"crash"', "")
    assert.equal(1, crashes)
  end)

  it("of the start are before all others and begin once, also behind a kill", function()
    new [[
      crier.task { name = "other", start = crier.every "1m" | crier.time_of_year, priority = 9, run = function() crier.sleep "1h" end }
      crier.task { name = "first", start = crier.time_of_year, on_startup = true, run = function() crier.sleep "1h" end }
    ]]
    bot:start()
    bot:wait_record(of("other", "run"))
    bot.process:signal "KILL"
    proc.wait_for(function() return bot.process:code() end)
    bot:start()
    bot:wait_record(of("other", "run"))
    local order = {}
    for line in bot.process:out():gmatch "[^\n]+" do
      local name = line:match '"task_name":"(%w+)","action":"run"'
      order[#order + 1] = name
    end
    assert.same({ "first", "other" }, order)
  end)

  it("of the end that still run do so once more behind that", function()
    new [[
      local function work() repeat crier.sleep "20ms" until io.open "stops" end
      crier.task { name = "flush", on_startup = true, on_shutdown = true, run = work }
      crier.task { name = "twice", on_startup = true, on_shutdown = true, multilaunch = true, run = work }
    ]]
    bot:start()
    bot:wait_record(of("flush", "run"))
    bot:wait_record(of("twice", "run"))
    bot.process:signal "TERM"
    bot:wait_record(function() return #Bot.select(bot:records(), of("twice", "run")) == 2 end)
    bot:write("stops", "")
    bot.process:wait()
    local actions = { flush = {}, twice = {} }
    for line in bot:read("log.jsonl"):gmatch "[^\n]+" do
      local name, action = line:match '"task_name":"(%w+)","action":"(%w+)"'
      if name then table.insert(actions[name], action) end
    end
    assert.same({ flush = { "run", "success", "run", "success" }, twice = { "run", "run", "success", "success" } }, actions)
  end)

  it("by hand get their own params below those given, NUL bytes too", function()
    new [[
      crier.task { name = "p", params = { a = "x\0y", b = 2 }, run = function(ctx, p)
        crier.log.info("got", { a = #p.a, b = p.b, c = p.c and #p.c }) end }
      crier.task { name = "go", on_startup = true, run = function()
        assert(crier.tasks.p:run { c = "1" })
        assert(crier.tasks.p:run { a = "123\0" })
      end }
    ]]
    bot:start()
    local first = bot:wait_record(function(r) return r.text == "got" and r.c end)
    assert.same({ 3, 2, 1 }, { first.a, first.b, first.c })
    local second = bot:wait_record(function(r) return r.text == "got" and not r.c end)
    assert.same({ 4, 2 }, { second.a, second.b })
  end)

  it("are in a plan, at the earliest where others have to do something first", function()
    new [[
      crier.config { timezone = "UTC" }
      crier.task { name = "a", start = "daily at 09:00", run = print }
      crier.task { name = "b", start = "daily after 18:00 & after task 'a'", run = print }
      crier.task { name = "c", disabled = true, start = "every 1s", run = print }
    ]]
    local r = bot:crier { "plan", "bot.lua", "--next", "4", "--json" }
    local seen = {}
    for line in r.out:gmatch "[^\n]+" do
      local o = cjson.decode(line)
      assert.equal("task", o.what)
      local at = o.time:match "T(%d%d:%d%d)"
      assert.equal(o.name == "b", o.earliest)
      seen[o.name] = (seen[o.name] or 0) + 1
      if seen[o.name] > 1 then assert.equal(o.name == "a" and "09:00" or "18:00", at) end
    end
    assert.same({ a = 2, b = 2 }, seen)
    assert.truthy(bot:crier({ "plan", "bot.lua" }).out:find " %->  .*task    b")
  end)

  it("are in a reload's answer", function()
    new [[
      crier.task { name = "a", start = "every 1h", run = print }
      crier.task { name = "b", start = "every 1h", run = print }
      crier.task { name = "old", start = "every 1h", run = print }
    ]]
    bot:start()
    bot:wait_record(of("old", "success"))
    bot:write("bot.lua", HEAD .. [[
      crier.task { name = "a", start = "every 2h", priority = 1, run = print }
      crier.task { name = "new", was = "old", start = "every 1h", run = print }
      crier.task { name = "c", start = "every 1h", run = print }
    ]])
    local r = bot:crier { "reload", "bot.lua" }
    assert.equal(0, r.code, r.err)
    for _, line in ipairs { "~ task a                    every 1h -> every 2h, priority\n",
      "~ task new                  was old\n", "+ task c                    (bot.lua:6)\n", "- task b\n" } do
      assert.truthy(r.out:find(line, 1, true), r.out)
    end
    bot:wait_record(of("c", "success"))
    assert.equal(0, #Bot.select(bot:records(), of "new"))
  end)
end)
