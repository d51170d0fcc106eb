-- SPDX-License-Identifier: MIT
-- The command line: help, mistakes, exit codes, and the commands that talk to a running bot.
local cjson = require "cjson"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local C1 = [[channels = { "201" }]]

local function crier(argv, opt)
  opt = opt or {}
  local env = { NO_COLOR = "1", CRIER_STATE = false, SPEC_TOKEN = "good.bot.token" }
  for k, v in pairs(opt.env or {}) do env[k] = v end
  local binary = proc.crier
  if opt.cwd and binary:sub(1, 1) ~= "/" then
    binary = io.popen("pwd"):read "l" .. "/" .. binary
  end
  return proc.run({ binary, table.unpack(argv) }, { cwd = opt.cwd, env = env })
end

describe("crier help", function()
  local commands = { "run", "check", "plan", "when", "simulate", "logs", "stats", "sink", "events", "message", "task",
    "why", "eval", "status", "reload",
    "discord-sim", "help", "version" }

  it("names every command, alone with exit code 64", function()
    local r = crier { "help" }
    assert.equal(0, r.code)
    for _, name in ipairs(commands) do
      assert.is_truthy(r.out:find("\n  crier " .. name .. " ", 1, true), name)
    end
    assert.equal("", r.err)
    local bare = crier {}
    assert.equal(64, bare.code)
    assert.equal(r.out, bare.out)
    assert.equal(r.out, crier({ "--help" }).out)
  end)

  it("has a line for each command that fits, and its text in one column", function()
    local column
    for line in crier({ "help" }).out:gmatch "[^\n]+" do
      local name, at = line:match "^  crier (%S+) +()%S"
      if name then
        column = column or at
        assert.equal(column, at, line)
        assert.is_true(#line <= 80, line)
      end
    end
    assert.is_number(column)
  end)

  it("tells each command's options, in both ways", function()
    for _, name in ipairs(commands) do
      local r = crier { "help", name }
      assert.equal(0, r.code)
      assert.is_truthy(r.out:find("crier " .. name, 1, true) == 1)
      assert.equal(r.out, crier({ name, "--help" }).out)
    end
    local run = crier({ "help", "run" }).out
    for _, option in ipairs { "watch", "sim", "sim-url", "for", "state", "world", "transcript" } do
      assert.is_truthy(run:find("  --" .. option .. " ", 1, true), option)
    end
  end)

  it("tells a command from what a script declares by the same name", function()
    local command, declared = crier({ "help", "task" }).out, crier({ "help", "crier.task" }).out
    assert.is_truthy(command:find("^crier task list|run"))
    assert.is_truthy(command:find("crier help crier.task\n", 1, true))
    assert.is_truthy(declared:find("^crier.task: "))
    assert.is_truthy(declared:find("\n  on_startup ", 1, true))
  end)

  it("tells what a script declares, and as JSON", function()
    local r = crier { "help", "TextMESSAGE" }
    assert.equal(0, r.code)
    for _, option in ipairs { "period", "channels", "remove_after", "mentions" } do
      assert.is_truthy(r.out:find("\n  " .. option .. " ", 1, true), option)
    end
    assert.equal(r.out, crier({ "help", "crier.TextMESSAGE" }).out)
    assert.equal(crier({ "help", "sink.json" }).out, crier({ "help", "sink", "json" }).out)
    local names = {}
    for line in crier({ "help", "--json" }).out:gmatch "[^\n]+" do
      local topic = cjson.decode(line)
      assert.is_true(#topic.options > 0, topic.name)
      names[topic.name] = true
    end
    assert.is_true(names.TextMESSAGE and names["sink.json"] and names.config)
  end)

  it("lists the functions that a kind of sink has", function()
    local r = crier { "help", "sink", "redis" }
    assert.is_truthy(r.out:find('  redis:recent("bot", "error")\n      the last lines', 1, true), r.out)
    assert.is_truthy(crier({ "help", "sink", "sql" }).out:find("\n  sql:success_rate", 1, true))
    assert.is_nil((crier({ "help", "sink", "jsonl" }).out:find("own functions", 1, true)))
  end)

  it("knows what was meant", function()
    local r = crier { "help", "TextMESAGE" }
    assert.equal(64, r.code)
    assert.is_truthy(r.err:find("did you mean 'TextMESSAGE'?", 1, true))
    assert.is_truthy(crier({ "help", "rum" }).err:find("did you mean 'run'?", 1, true))
    assert.is_nil((crier({ "help", "zzzzzzzz" }).err:find "did you mean"))
  end)

  it("version", function()
    local r = crier { "version" }
    assert.equal(0, r.code)
    assert.is_truthy(r.out:match "^crier %d+%.%d+%.%d+\n$")
    assert.equal(r.out, crier({ "--version" }).out)
    assert.equal(64, crier({ "version", "x" }).code)
  end)
end)

describe("a mistake on the command line", function()
  local mistakes = {
    { { "rnu" }, "unknown command 'rnu' (did you mean 'run'?)" },
    { { "zzzzzzz" }, "unknown command 'zzzzzzz'" },
    { { "run" }, "crier run: which script?" },
    { { "run", "a.lua", "b.lua" }, "one script at a time" },
    { { "run", "--wach", "a.lua" }, "unknown option '--wach' (did you mean '--watch'?)" },
    { { "run", "--zzzzzzz", "a.lua" }, "unknown option '--zzzzzzz'" },
    { { "run", "a.lua", "--for" }, "option '--for' needs a value" },
    { { "run", "--watch=1", "a.lua" }, "option '--watch' takes no value" },
    { { "run", "-x", "a.lua" }, "unknown option in '-x'" },
    { { "run", "--for", "10", "a.lua" }, "--for: expected a duration" },
    { { "run", "--sim", "--sim-url", "http://127.0.0.1:1", "a.lua" }, "take one" },
    { { "run", "--sim-url", "https://discord.com", "a.lua" }, "must be on this machine" },
    { { "run", "--transcript", "a.lua" }, "need --sim" },
    { { "check" }, "crier check: which script?" },
    { { "check", "--strct", "a.lua" }, "did you mean '--strict'?" },
    { { "plan" }, "crier plan: which script?" },
    { { "plan", "--next", "0", "a.lua" }, "--next takes a number from 1" },
    { { "plan", "--next", "many", "a.lua" }, "got 'many'" },
    { { "status", "--jsn" }, "did you mean '--json'?" },
    { { "status", "a", "b" }, "too many arguments" },
    { { "reload", "--all" }, "unknown option '--all'" },
    { { "reload", "--state" }, "option '--state' needs a value" },
    { { "discord-sim", "--prt", "1" }, "did you mean '--port'?" },
    { { "discord-sim", "--port", "70000" }, "--port takes 0 to 65535, got '70000'" },
    { { "discord-sim", "x" }, "unexpected argument 'x'" },
  }
  for _, mistake in ipairs(mistakes) do
    it("is told with exit code 64: crier " .. table.concat(mistake[1], " "), function()
      local r = crier(mistake[1])
      assert.equal(64, r.code)
      assert.is_truthy(r.err:find(mistake[2], 1, true), r.err)
      assert.equal("", r.out)
    end)
  end

  it("such as a file that is not there is 66", function()
    for _, command in ipairs { "run", "check", "plan" } do
      local r = crier { command, "/nowhere/bot.lua" }
      assert.equal(66, r.code)
      assert.is_truthy(r.err:find("cannot read '/nowhere/bot.lua': No such file", 1, true), r.err)
    end
    assert.equal(66, crier({ "discord-sim", "--world", "/nowhere.json" }).code)
  end)

  it("such as no running host is 69", function()
    local dir = proc.tmpdir()
    for _, argv in ipairs { { "status" }, { "reload" }, { "status", "bot.lua" }, { "metrics" }, { "task", "list" },
      { "message", "list" }, { "alerts" }, { "why", "x" }, { "eval", "1" },
      { "reload", "bot.lua", "--json" }, { "status", "--state", "elsewhere" } } do
      local r = crier(argv, { cwd = dir })
      assert.equal(69, r.code)
      assert.is_truthy(r.err:match("^crier " .. argv[1] .. ": no running host in '[%.e][^']+'"), r.err)
      assert.equal("", r.out)
    end
    local r = crier({ "status", "bot.lua" }, { cwd = dir })
    assert.equal("crier status: no running host in '.crier' (--state DIR names another folder)\n", r.err)
    r = crier({ "stats", "tasks" }, { cwd = dir })
    assert.is_truthy(r.err:find("as in crier stats tasks bot.lua ", 1, true), r.err)
    assert.is_false(proc.exists(dir .. "/.crier"))
    proc.rmdir(dir)
  end)
end)

describe("the tables of a running bot", function()
  local Bot = require "spec.support.bot"
  local bot
  teardown(function() if bot then bot:close() end end)

  it("stay in their columns, however long names are; what is not there is told", function()
    local long = ("ž"):rep(40)
    bot = Bot.new(([[
local crier = require "crier"
crier.bot { name = "a-bot-with-a-long-name", token = crier.secret.env "DISCORD_TOKEN" }
crier.GUILD { snowflake = "863071397207212052", name = "guild", messages = {
  crier.TextMESSAGE { name = "LONG", channels = { "978332728615378984" }, start_in = "6h", data = "x",
    period = crier.weekly { "Mon", "Tue", "Wed", at = { "09:00", "10:00", "11:00" } } },
  crier.TextMESSAGE { name = "short", channels = { "978332728615378984" }, period = "1d", start_in = "6h", data = "x" },
} }
crier.task { name = "LONG", run = function() end }
crier.task { name = "b", run = function() end }
]]):gsub("LONG", long) .. "")
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    -- Where a column begins, in characters, must be the same in the head and in each line below it.
    local function column(argv, head, word)
      local at, n
      for line in bot:crier(argv).out:gmatch "[^\n]+" do
        local where = n and line:find(" " .. word .. " ", 1, true) or line:find(" " .. head .. " ", 1, true)
        if where then
          where, n = utf8.len(line, 1, where), (n or -1) + 1
          at = at or where
          assert.equal(at, where, line)
        elseif n then break end
      end
      assert(n and n >= 1, table.concat(argv, " ") .. ": " .. head)
    end
    column({ "message", "list" }, "MODE", "send")
    column({ "task", "list" }, "STATE", "by hand")
    proc.wait_for(function() return bot:crier({ "status" }).out:find(" ready ", 1, true) end, 60)
    local out = bot:crier({ "status" }).out
    assert.equal(#out:match "\n(BOT +)ACCOUNT", #out:match "\n(a%-bot%-with%-a%-long%-name +)%S")
    column({ "status" }, "MODE", "send")
    local seen = {}
    for line in bot:crier({ "message", "list" }).out:gmatch "[^\n]+" do seen[#seen + 1] = utf8.len(line:match "^.* 0 " or "") end
    assert.same({ 0, seen[2], seen[2] }, seen)

    local r = bot:crier { "task", "run", "nope" }
    assert.equal("crier task: there is no task 'nope' (crier task list shows them)\n", r.err)
    bot:write("other.lua", "")
    for _, name in ipairs { "other.lua", "nope.lua" } do
      r = bot:crier { "reload", name }
      assert.equal(64, r.code)
      assert.is_truthy(r.err:find("crier reload: what runs here is 'bot.lua', not '", 1, true), r.err)
      assert.is_truthy(r.err:find("/" .. name .. "'\n", 1, true), r.err)
    end
    assert.equal(0, bot:crier({ "reload", "./bot.lua" }).code)
    assert.equal(0, bot:crier({ "reload", bot:path "bot.lua" }).code)
  end)
end)

describe("crier plan", function()
  local w

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local text = World.script(C1 .. [[, name = "soon", period = "10s", start_in = "5s", data = "x" },
    crier.TextMESSAGE { name = "later", channels = { "202" }, period = { "1h", "2h" },
      start_in = "30s", remove_after = 1, data = "x" },
    crier.TextMESSAGE { channels = { "203" }, period = "1d", start_in = "1m", data = "x"]])

  it("tells the next sends in order of time", function()
    w = World.new { script = text, down = true }
    local r = w:crier { "plan", "bot.lua", "--next", "9" }
    assert.equal(0, r.code)
    local names = {}
    for line in r.out:gmatch "[^\n]+" do
      names[#names + 1] = line:match "message (%S+)" or line:match "^NEXT" and "NEXT"
    end
    assert.same({ "NEXT", "soon", "soon", "soon", "later", "soon", "soon", "soon", "TextMESSAGE",
      "soon" }, names)
    assert.is_truthy(r.out:find("every 10s", 1, true))
    assert.is_truthy(r.out:find("between 1h and 2h (drawn anew each time)", 1, true))
    assert.same({ "bot.lua", "world.json" }, w:files())
  end)

  it("as JSON, one send a line; ten of them unless told", function()
    w = World.new { script = text, down = true }
    local r = w:crier { "plan", "bot.lua", "--json" }
    local last, n = "", 0
    for line in r.out:gmatch "[^\n]+" do
      local send = cjson.decode(line)
      assert.is_true(send.time >= last)
      assert.is_truthy(send.time:match "^%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z$")
      assert.equal("message", send.what)
      assert.is_truthy(send.key:match "^GUILD 100/")
      last, n = send.time, n + 1
    end
    assert.equal(10, n)
  end)

  it("of a bot that has run before: its stored due times, and what has ended is not planned", function()
    w = World.new { script = [[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "SPEC_TOKEN", api = os.getenv "API" }
      crier.GUILD { snowflake = "100", messages = {
        crier.TextMESSAGE { name = "hourly", channels = { "201" }, period = "1h", data = "x" },
        crier.TextMESSAGE { name = "once", channels = { "202" }, period = "1h", remove_after = 1,
          data = "x" } } }
    ]] }
    w:start(nil, { plain = true })
    w:wait_messages(2, 1)
    proc.wait_for(function() return w:message_status("once").ended end)
    local due = w:message_status("hourly").due
    local r = w:crier { "plan", "bot.lua", "--next", "3", "--json" }
    assert.equal(0, r.code)
    local sends = World.parse(r.out)
    assert.equal(3, #sends)
    for _, send in ipairs(sends) do assert.equal("hourly", send.name) end
    assert.equal(os.date("!%Y-%m-%dT%H:%M:%S", math.floor(due)), (sends[1].time:match "^[^.Z]+"))
    w:down()
    assert.equal(r.out, w:crier({ "plan", "bot.lua", "--next", "3", "--json" }).out)
  end)

  it("of a script that is wrong says why: 78", function()
    w = World.new { script = text:gsub("period", "perod"), down = true }
    local r = w:crier { "plan", "bot.lua" }
    assert.equal(78, r.code)
    assert.is_truthy(r.err:find("did you mean 'period'?", 1, true))
    assert.equal("", r.out)
  end)
end)

describe("a running bot", function()
  local w

  before_each(function()
    w = World.new { script = World.script(C1 .. [[, name = "gallery", period = "100ms", mode = "edit",
      data = "x" }, crier.TextMESSAGE { name = "over", channels = { "202" }, period = "100ms",
      remove_after = 1, data = "y"]]) }
  end)

  after_each(function() w:close() end)

  it("is found by FILE, --state, $CRIER_STATE, and .crier here", function()
    w:up()
    local function pid(argv, opt)
      local r = crier(argv, opt)
      assert.equal(0, r.code, r.err)
      return cjson.decode(r.out).pid
    end
    local here = { cwd = w.dir }
    assert.equal(w.process.pid, pid({ "status", "--json" }, here))
    assert.equal(w.process.pid, pid({ "status", w:path "bot.lua", "--json" }))
    assert.equal(w.process.pid, pid({ "status", "--json", "--state", w:path ".crier/sim" }))
    assert.equal(w.process.pid, pid({ "status", "--json", "--state", w:path ".crier" }))
    assert.equal(w.process.pid, pid({ "status", "--json" }, { env = { CRIER_STATE = w:path ".crier" } }))
    -- What is said outweighs the environment.
    assert.equal(w.process.pid, pid({ "status", w:path "bot.lua", "--json" },
      { env = { CRIER_STATE = "/nowhere" } }))
    assert.equal(69, crier({ "status" }, { cwd = w.dir, env = { CRIER_STATE = "/nowhere" } }).code)
    w:kill()
    -- The socket of a host that was killed is nobody.
    assert.equal(69, crier({ "status" }, here).code)
  end)

  it("listens on a socket for its own user only, and takes it away in the end", function()
    w:up()
    local path = w:path ".crier/sim/control.sock"
    local mode = proc.run({ "stat", "-c", "%a %F", path }).out
    assert.equal("600 socket\n", mode)
    assert.equal("700\n", proc.run({ "stat", "-c", "%a", w:path ".crier/sim" }).out)
    w:down()
    assert.are_not.equal(0, proc.run({ "stat", path }).code)
  end)

  it("is found in a folder whose path is too long for a socket", function()
    local long = ("a-long-name-"):rep(8)
    proc.run { "mkdir", "-p", w:path(long) }
    w:write(long .. "/bot.lua", w:read "bot.lua")
    local p = proc.start({ proc.crier:sub(1, 1) == "/" and proc.crier
      or io.popen("pwd"):read "l" .. "/" .. proc.crier, "run", "bot.lua", "--sim-url", w:url() },
      { cwd = w:path(long), env = { SPEC_TOKEN = "good.bot.token", XDG_RUNTIME_DIR = w.dir } })
    proc.wait_for(function() return p:out():find('"what":"start"', 1, true) end)
    local r = crier({ "status", w:path(long) .. "/bot.lua", "--json" },
      { env = { XDG_RUNTIME_DIR = w.dir } })
    assert.equal(0, r.code, r.err)
    assert.equal(p.pid, cjson.decode(r.out).pid)
    assert.equal(0, p:stop())
  end)

  it("tells how it is doing, for people and as JSON", function()
    w:up()
    proc.wait_for(function()
      return w:message_status("over").ended and w:message_status("gallery").sent >= 2
    end)
    local r = w:crier { "status" }
    assert.equal(0, r.code)
    assert.is_truthy(r.out:match(("^crier %%S+  up %%S+  config %%x%%x%%x%%x %%(generation 1, " ..
      "0 reloads%%)  pid %d  simulator\n"):format(w.process.pid)), r.out)
    assert.is_truthy(r.out:match "\nbot +crier +ready +%d+ +%d+ +0 +0/10000\n", r.out)
    assert.is_truthy(r.out:match "\nconsole +console +%d+ +%d+ +0 +0 +0 +0 +0  ok\n", r.out)
    assert.is_truthy(r.out:match "\ngallery +edit +%d+ +0 +0 ", r.out)
    assert.is_truthy(r.out:match "\nover +send +1 +0 +0 ", r.out)
    local s = w:status()
    assert.same({ "bot.lua", true }, { s.file:match "[^/]+$", s.sim })
    assert.equal(2, s.messages_total)
    for _, sink in ipairs(s.sinks) do
      assert.equal(0, sink.dropped + sink.rejected)
      assert.is_false(sink.failing)
    end
    -- What is no request is answered, and the host lives.
    local python = ([[
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'%s\n')
data = b''
while True:
    part = s.recv(4096)
    if not part: break
    data += part
print(data.decode())
]])
    for _, said in ipairs { "garbage", '{"cmd":"no such"}', '[1]', '{"cmd":5}' } do
      local answer = proc.run { "python3", "-c", python:format(said), w:path ".crier/sim/control.sock" }
      assert.equal(0, answer.code, answer.err)
      assert.equal(64, cjson.decode(answer.out).code, answer.out)
    end
    assert.equal(1, w:status().generation)
  end)
end)

describe("crier discord-sim", function()
  it("tells its address, refuses a port that is taken (75) and a bad world (78)", function()
    local p = proc.start { proc.crier, "discord-sim", "--json" }
    local url, port = p:wait_line '{"url":"(http://127%.0%.0%.1:%d+/api/v10)","port":(%d+)}'
    assert.is_truthy(url:find(":" .. port .. "/", 1, true))
    local r = crier { "discord-sim", "--port", port }
    assert.equal(75, r.code)
    assert.is_truthy(r.err:find(port, 1, true))
    assert.equal(0, p:stop())
    local dir = proc.tmpdir()
    proc.write(dir .. "/world.json", [[{ "guilds": [ { "id": "1", "nam": "x" } ] }]])
    r = crier { "discord-sim", "--world", dir .. "/world.json" }
    assert.equal(78, r.code)
    assert.is_truthy(r.err:find("guilds[0]: unknown key 'nam' (did you mean 'name'?)", 1, true), r.err)
    proc.rmdir(dir)
  end)
end)
