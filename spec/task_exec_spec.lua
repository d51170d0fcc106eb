-- SPDX-License-Identifier: MIT
-- Tasks that are programs, and tasks that are modules: what they get, what comes of them, how they
-- are stopped.
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local head = [[
local crier = require "crier"
crier.sink.console { name = "con", level = "debug" }
local token = crier.secret.env "SPEC_TOKEN"
]]

local function new(script, files)
  local bot = Bot.new(script)
  for name, text in pairs(files or {}) do
    os.execute("mkdir -p " .. proc.quote(bot:path(name):match "^(.*)/"))
    bot:write(name, text)
  end
  return bot
end

-- One bot with all of a test's tasks, each run once at the start; the end of each by its name.
local function outcomes(script, names, opt)
  local bot = new(head .. script, opt and opt.files)
  bot:start(nil, { env = { SPEC_TOKEN = "s3cret-of-mine", SPEC_OTHER = "other" } })
  local ends = {}
  for _, name in ipairs(names) do
    ends[name] = bot:wait_record(function(r)
      return r.kind == "task" and r.task_name == name and r.action ~= "run"
    end, opt and opt.timeout)
  end
  return ends, bot
end

-- NAPS1 is a number of seconds that no other process sleeps.
local naps = math.random(10000000, 99999999)

local function command(name, rest)
  return ('crier.task { name = "%s", on_startup = true, %s }\n'):format(name, (rest:gsub("NAPS", naps)))
end

describe("a task's command", function()
  local e, bot
  setup(function()
    e, bot = outcomes(
      command("env", [[command = { "env" }, params = { region = "eu", ["a-b"] = 3, list = { 1, 2 } },
        env = { LANG = "C", PW = token }]]) ..
      command("args", [[command = { "printf", "%s|", "a b", "$HOME", "*" }]]) ..
      command("fds", [[command = "cd /proc/self/fd && readlink 0 1 2 && readlink *; cat", shell = true]]) ..
      command("group", [[command = "cut -d' ' -f5,6 /proc/self/stat; echo $$", shell = true]]) ..
      command("fail", [[command = "seq 1 30; echo wrong >&2; exit 3", shell = true]]) ..
      command("signal", [[command = "kill -SEGV $$", shell = true]]) ..
      command("none", [[command = { "no-such-program" }]]) ..
      command("folder", [[command = { "true" }, cwd = "nowhere" ]]) ..
      command("cwd", [[command = { "pwd" }, cwd = "sub"]]) ..
      command("big", [[command = "yes abcdefghi | head -c 1000000; echo END", shell = true]]) ..
      command("cut", [[command = "printf %s $PW; head -c 65530 /dev/zero | tr '\\0' a", shell = true, env = { PW = token }]]) ..
      command("bytes", [[command = { "printf", "a\\377b\\0c" }]]) ..
      command("quiet", [[command = { "true" }]]) ..
      command("left", [[command = "sleep 90 & echo started", shell = true]]) ..
      [[crier.task { name = "after", start = "after task 'args'", run = function(ctx) return ctx.result "args" .. "!" end }]],
      { "env", "args", "fds", "group", "fail", "signal", "none", "folder", "cwd", "big", "cut", "bytes", "quiet", "left", "after" },
      { files = { ["sub/x"] = "" } })
  end)
  teardown(function() bot:close() end)

  it("gets the bot's environment without its secrets, its params and its own variables", function()
    local lines = {}
    for line in e.env.output:gmatch "[^\n]+" do lines[line] = true end
    for _, want in ipairs { "SPEC_OTHER=other", "CRIER_TASK=env", "CRIER_RUN_ID=" .. e.env.run_id, "CRIER_PARAM_REGION=eu",
      "CRIER_PARAM_A_B=3", "CRIER_PARAM_LIST=[1,2]", "LANG=C", "PW=*****" } do
      assert.is_true(lines[want], want .. " in " .. e.env.output)
    end
    assert.match('\nCRIER_PARAMS={"a%-b":3,', e.env.output)
    assert.is_nil(e.env.output:find("SPEC_TOKEN", 1, true))
    assert.is_nil(bot.process:out():find("s3cret", 1, true))
  end)

  it("shows no end of a secret either, where what it prints is cut in one", function()
    assert.equal(("a"):rep(65530), e.cut.output)
  end)

  it("is run as it is, without a shell", function()
    assert.equal("success", e.args.action)
    assert.equal("a b|$HOME|*|", e.args.output)
  end)

  it("has no stdin and none of the bot's files", function()
    assert.equal("success", e.fds.action)
    local seen = {}
    for line in e.fds.output:gmatch "[^\n]+" do seen[#seen + 1] = line end
    assert.equal("/dev/null", seen[1])
    assert.match("^pipe:", seen[2])
    assert.equal(seen[2], seen[3])
    assert.is_nil(e.fds.output:find("socket:", 1, true), e.fds.output)
    assert.is_nil(e.fds.output:find(".crier", 1, true), e.fds.output)
    assert.is_nil(e.fds.output:find("anon_inode", 1, true), e.fds.output)
  end)

  it("is in a process group of its own", function()
    local group, session, shell = e.group.output:match "^(%d+) (%d+)\n(%d+)$"
    assert.equal(shell, group)
    assert.equal(shell, session)
  end)

  it("fails with its exit code or signal, and the last lines", function()
    assert.equal("fail", e.fail.action)
    assert.equal("error", e.fail.level)
    assert.equal("exit code 3", e.fail.reason)
    assert.match("^exit code 3\n%.%.%.\n12\n13\n.*\n30\nwrong$", e.fail.exc_text)
    assert.match("^1\n2\n.*\n30\nwrong$", e.fail.output)
    assert.match("^killed by signal 11 %(Segmentation fault%)", e.signal.exc_text)
  end)

  it("that cannot be run says why", function()
    assert.equal("cannot run 'no-such-program': no such file or directory (it is in no folder of PATH)", e.none.exc_text)
    assert.match("^cannot run 'true' in folder '.*/nowhere': No such file or directory$", e.folder.exc_text)
    assert.match("/sub$", e.cwd.output)
  end)

  it("keeps the end of what it prints", function()
    assert.equal(64 * 1024 - 1, #e.big.output)
    assert.equal("abcdefghi\nEND", e.big.output:sub(-13))
    assert.equal("success", e.bytes.action)
    assert.match("^a\u{FFFD}b", e.bytes.output)
    assert.is_true(e.quiet.output == nil or e.quiet.output == "")
  end)

  it("is the result that others see, and ends with the program, not with what that has left", function()
    assert.equal("success", e.after.action)
    assert.equal("a b|$HOME|*|!\n", bot:crier({ "eval", "require 'crier'.tasks.after and 'a b|$HOME|*|!'" }).out)
    assert.equal("started", e.left.output)
    assert.is_true(e.left.runtime < 60, e.left.runtime)
  end)

  it("leaves no zombie and no file open behind", function()
    local pid = bot.process.pid
    local children = io.popen("ps --ppid " .. pid .. " -o stat= | grep -c Z"):read "l"
    assert.equal("0", children)
    local function count() return io.popen("ls /proc/" .. pid .. "/fd | wc -l"):read "n" end
    local before = count()
    for _ = 1, 5 do bot:crier { "eval", "crier.tasks.quiet:run()" } end
    proc.wait_for(function()
      return #Bot.select(bot:records(), function(r) return r.task_name == "quiet" and r.action == "success" end) >= 6
    end)
    assert.is_true(count() <= before)
  end)
end)

-- Whether a process whose command line is this lives.
local function lives(words) return os.execute("pgrep -fx " .. proc.quote(words) .. " >/dev/null") == true end
-- A signal to a group reaches each of its members in its own time.
local function gone(words) proc.wait_for(function() return not lives(words) end, nil, "the end of " .. words) end

describe("a command that is stopped", function()
  it("is ended as a group", function()
    local e, bot = outcomes(
      command("nap", [[command = { "sleep", "NAPS1" }, timeout = "200ms"]]) ..
      command("tree", [[command = "sleep NAPS2 & sleep NAPS3; echo no", shell = true, timeout = "200ms"]]) ..
      command("polite", [[command = "trap 'echo bye; exit 0' TERM; echo up; sleep NAPS4 & wait", shell = true, timeout = "3s"]]),
      { "nap", "tree", "polite" })
    for _, name in ipairs { "nap", "tree", "polite" } do
      assert.equal("terminate", e[name].action)
      assert.match("^timeout", e[name].reason)
    end
    assert.equal("up\nbye", e.polite.output)
    for n = 1, 4 do gone("sleep " .. naps .. n) end
    bot:close()
  end)

  it("is killed where it takes no notice, soon when the bot stops", function()
    local bot = Bot.new(head .. [[crier.config { limits = { stop = "100ms" } }]] ..
      command("deaf", [[command = "trap '' TERM; echo up; sleep NAPS5 & while :; do sleep NAPS6; done", shell = true]]))
    bot:start()
    proc.wait_for(function() return lives("sleep " .. naps .. 5) and lives("sleep " .. naps .. 6) end)
    bot.process:signal "TERM"
    bot.process:wait()
    assert.equal(0, bot.process:code())
    gone("sleep " .. naps .. 5)
    gone("sleep " .. naps .. 6)
    local last = Bot.select(bot:records(), function(r) return r.task_name == "deaf" end)
    assert.equal("terminate", last[#last].action)
    assert.equal("shutdown", last[#last].reason)
    bot:close()
  end)
end)

describe("a task's module", function()
  local e, bot
  local files = {
    ["tasks/sum.lua"] = [[
      local crier = require "crier"
      local more = require "tasks.more"
      return function(ctx, params)
        ctx.log.info("begins", { n = params.n, same = ctx.params.n, task = ctx.task })
        crier.sleep "10ms"
        crier.log.warning "sums"
        return { sum = more.sum(params.n), text = params.text }
      end]],
    ["tasks/more.lua"] = "return { sum = function(n) local s = 0 for i = 1, n do s = s + i end return s end }",
    ["tasks/idle.lua"] = "return { run = function() return require 'crier'.inaction 'nothing new' end }",
    ["tasks/err.lua"] = "return function() local function f() error 'oh no' end f() end",
    ["tasks/five.lua"] = "return 5",
    ["tasks/print.lua"] = "return function() return print end",
    ["tasks/here.lua"] = "return function(ctx) return ctx.result 'x' end",
    ["tasks/there.lua"] = "return function() return require 'crier'.task end",
    ["tasks/busy.lua"] = [[
      local crier = require "crier"
      return function()
        local x <close> = setmetatable({}, { __close = function() crier.log.info "closed" end })
        crier.log.info "busy"
        while true do end
      end]],
    ["tasks/deaf.lua"] = "return function() while true do pcall(function() while true do end end) end end",
    ["tasks/waits.lua"] = [[
      local crier = require "crier"
      return function()
        local x <close> = setmetatable({}, { __close = function() crier.log.info "waited" end })
        crier.sleep "1h"
      end]],
    ["tasks/load.lua"] = "while true do end",
    ["tasks/memory.lua"] = "return function() return #('x'):rep(1 << 30) end",
    ["tasks/poor.lua"] = "return function() while true do end end",
  }
  local function module(name, file, rest)
    return command(name, ('module = "tasks.%s", %s'):format(file, rest or ""))
  end
  setup(function()
    e, bot = outcomes(module("sum", "sum", "params = { n = 1000, text = 'Š' }") .. module("idle", "idle") ..
      module("err", "err") .. module("five", "five") .. module("print", "print") .. module("here", "here") ..
      module("there", "there") .. module("busy", "busy", "timeout = '2s'") .. module("deaf", "deaf", "timeout = '200ms'") ..
      module("waits", "waits", "timeout = '2s'") .. module("load", "load", "timeout = '200ms'") ..
      module("memory", "memory") .. module("poor", "poor", "budget = '100ms'") ..
      [[crier.task { name = "after", start = "after task 'sum'", run = function(ctx)
          local r = ctx.result "sum"
          crier.log.info("result", { sum = r.sum, word = r.text })
        end }]],
      { "sum", "idle", "err", "five", "print", "here", "there", "busy", "deaf", "waits", "load", "memory", "poor", "after" },
      { files = files })
  end)
  teardown(function() bot:close() end)
  local function logged(text) return bot:wait_record(function(r) return r.kind == "log" and r.text == text end) end

  it("gets params, logs, waits, and hands on what it returns", function()
    assert.equal("success", e.sum.action)
    local begins = logged "begins"
    assert.equal(1000, begins.n)
    assert.equal(1000, begins.same)
    assert.equal("sum", begins.task)
    assert.equal("sum", begins.task_name)
    assert.equal(e.sum.run_id, begins.run_id)
    assert.equal("tasks/sum.lua:4", begins.where)
    assert.equal("warning", logged("sums").level)
    local result = logged "result"
    assert.equal(500500, result.sum)
    assert.equal("Š", result.word)
  end)

  it("may find nothing to do", function()
    assert.equal("inaction", e.idle.action)
    assert.equal("nothing new", e.idle.reason)
  end)

  it("fails with its traceback", function()
    assert.equal("fail", e.err.action)
    assert.equal("tasks/err.lua:1: oh no", e.err.reason)
    assert.match("^tasks/err.lua:1: oh no\ntasks/err.lua:1: in local 'f'", e.err.exc_text)
    assert.match("returned no function: return function%(ctx, params%)", e.five.reason)
    assert.match("cannot be handed on: .*a function cannot be written as JSON", e.print.reason)
    assert.match("ctx%.result is not available in a task's module", e.here.reason)
    assert.match("crier%.task is not available in the module of a task", e.there.reason)
    assert.match("not enough memory", e.memory.reason)
    assert.match("used more than 100ms of CPU time %(option 'budget'%)", e.poor.reason)
  end)

  it("is stopped wherever it is", function()
    for _, name in ipairs { "busy", "deaf", "waits", "load" } do
      assert.equal("terminate", e[name].action, name)
      assert.match("^timeout", e[name].reason)
    end
    logged "closed"
    logged "waited"
  end)

  it("holds nobody up, and is read anew for each run", function()
    bot:write("tasks/five.lua", "return function() return 6 end")
    bot:crier { "eval", "crier.tasks.five:run()" }
    bot:wait_record(function(r) return r.task_name == "five" and r.action == "success" end)
    bot:crier { "eval", "crier.tasks.busy:run()" }
    assert.equal("2\n", bot:crier({ "eval", "1 + 1" }).out)
  end)

  it("is looked at by check", function()
    local other = new(head .. module("a", "gone") .. module("b", "wrong"), { ["tasks/wrong.lua"] = "return return" })
    local r = other:check()
    assert.equal(78, r.code)
    assert.match("task 'a': option 'module': there is no tasks%.gone%.lua", r.out .. r.err)
    assert.match("task 'b': option 'module': tasks/wrong%.lua:1: ", r.out .. r.err)
    other:close()
  end)

  it("that cannot be interrupted is left behind", function()
    local other = new(head .. [[crier.config { limits = { stop = "100ms" } }]] .. module("stuck", "stuck") ..
      module("busy", "busy"),
      { ["tasks/stuck.lua"] = "return function() require 'crier'.log.info 'stuck' os.execute 'exec sleep 20' end",
        ["tasks/busy.lua"] = files["tasks/busy.lua"] })
    other:start()
    for _, text in ipairs { "stuck", "busy" } do other:wait_record(function(r) return r.text == text end) end
    other.process:signal "TERM"
    other.process:wait()
    assert.equal(0, other.process:code())
    local ended = Bot.select(other:records(), function(r) return r.kind == "task" and r.action == "terminate" end)
    assert.equal(2, #ended)
    local left = Bot.select(other:records(), function(r) return r.what == "task.left" end)
    assert.equal("task 'stuck' is stuck in a function that cannot be interrupted; it is left behind", left[1].text)
    assert.equal(1, #left)
    other:close()
  end)
end)

describe("in virtual time", function()
  it("modules run in line, commands do not, and every run is the same", function()
    local bot = new(head .. [[
crier.task { name = "sum", module = "tasks.sum", start = "every 10 min" }
crier.task { name = "poor", module = "tasks.poor", budget = "100ms", start = "every 30 min" }
crier.task { name = "long", module = "tasks.long", timeout = "5m", start = "every 30 min" }
crier.task { name = "cmd", command = { "touch", "ran" }, start = "every 30 min" }
]], {
      ["tasks/sum.lua"] = [[
        local crier = require "crier"
        return function(ctx)
          crier.sleep "2m"
          crier.log.info("slept", { b = 1, a = 2, run = ctx.run_id, d = { z = 1, y = 2, x = 3 }, c = math.random() })
        end]],
      ["tasks/poor.lua"] = "return function() while true do end end",
      ["tasks/long.lua"] = "return function() require 'crier'.sleep '1h' end",
    })
    local function simulate() return bot:crier { "simulate", "bot.lua", "--for", "25m", "--json" } end
    local r = simulate()
    assert.equal(0, r.code, r.err)
    local ended = {}
    for _, record in ipairs(Bot.parse(r.out)) do
      if record.kind == "task" and record.action ~= "run" then
        ended[#ended + 1] = ("%s %s %g"):format(record.task_name, record.action, record.runtime)
      end
    end
    table.sort(ended)
    assert.same({ "cmd success 0", "long terminate 300", "poor fail 0", "sum success 120", "sum success 120",
      "sum success 120" }, ended)
    assert.match('"a":2,"b":1,"c":[%d.]+,"d":{"x":3,"y":2,"z":1},"run":', r.out)
    assert.equal(r.out, simulate().out)
    assert.is_nil(io.open(bot:path "ran"))
    bot:close()
  end)
end)
