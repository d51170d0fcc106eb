-- SPDX-License-Identifier: MIT
-- Every example is clean, runs in the simulator and leaves what it promises. Each runs in a copy of
-- its own of the folder; all run at the same time.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local function names(pattern)
  local list = {}
  local pipe = io.popen "ls examples examples/files"
  for line in pipe:lines() do
    if line:find(pattern) then list[#list + 1] = line end
  end
  pipe:close()
  return list
end

-- What an example needs and what it must leave. `seen` is { records =, out =, err =, days = {} },
-- days by path below History without the date: ["Office.json"] = document; raw: the same as text.
local examples = {}

-- The texts of a document, oldest first.
local function texts(doc)
  local list = {}
  for i = #doc.message_history, 1, -1 do
    list[#list + 1] = doc.message_history[i].sent_data and doc.message_history[i].sent_data.text
  end
  return list
end

local function count(records, matches)
  return #Bot.select(records, matches)
end

examples["seed.lua"] = {
  args = { "--world", "seed.world.json", "--for", "11s", "--transcript" },
  check = function(seen)
    local doc = assert(seen.days["#David's dungeon.json"])
    assert.equal("\\David's dungeon", doc.name)
    assert.equal("GUILD", doc.type)
    local said = texts(doc)
    assert.is_true(#said >= 2, #said)
    assert.equal("https://i.pinimg.com/originals/b7/fb/80/b7fb80122cf46d0e584f3a0768aef282.gif", said[1])
    assert.equal("https://bit.ly/3sHrjQZ", said[2])
    local first = doc.message_history[#doc.message_history]
    assert.equal("sp", first.channels.successful[1].name)
    -- Snowflakes are integers there, beyond what the decoder's floats can tell apart.
    assert.truthy(seen.raw["#David's dungeon.json"]:find('"id": 978332728615378984\n', 1, true))
    assert.equal("edit", first.mode)
    assert.equal(0, first.index)
    assert.truthy(seen.out:find("# sp", 1, true))
    assert.truthy(seen.out:find("(edited)", 1, true))
  end,
}

-- Its specs are run by virtual_spec.lua; here its status page is refused, so it sends nothing.
examples["tested_bot.lua"] = {
  args = { "--for", "1s" },
  check = function(seen)
    local refused = Bot.select(seen.records, function(r) return r.kind == "system" and r.level == "warning" end)
    assert.truthy(refused[1].text:find("status.example", 1, true))
  end,
}

examples["quickstart.lua"] = {
  args = { "--world", "quickstart.world.json", "--for", "10s", "--transcript" },
  check = function(seen)
    local doc = assert(seen.days["Old Town.json"])
    assert.truthy(seen.days["Mayor Hopkins.json"])
    local modes = {}
    for _, entry in ipairs(doc.message_history) do modes[entry.mode] = true end
    assert.same({ send = true, edit = true }, modes)
    -- Lines for people, even into a pipe, and the chat of every channel behind them.
    assert.truthy(seen.out:find "%d%d:%d%d:%d%d info +message%.tower  tower #square edited")
    for _, words in ipairs { "Old Town", "# square", "# market", "@ Mayor Hopkins", "The bridge is open",
      "Fresh herring!", "(edited)", "the crier's voice holds" } do
      assert.truthy(seen.out:find(words, 1, true), words)
    end
  end,
}

examples["towns.lua"] = {
  args = { "--world", "towns.world.json", "--for", "4s" },
  check = function(seen)
    local old, sea = texts(assert(seen.days["Old Town.json"])), texts(assert(seen.days["Town by the sea.json"]))
    assert.is_nil(seen.days["Village.json"])
    local function said(list, text)
      for _, one in ipairs(list) do if one == text then return true end end
    end
    assert.is_true(said(old, "One o'clock, and all is well in Old Town"))
    assert.is_true(said(sea, "One o'clock, and all is well in Town by the sea"))
    assert.is_true(said(old, "For sale: A barrel of herring"))
    assert.is_true(said(sea, "For sale: A barrel of herring"))
    assert.equal(1, count(seen.records, function(r) return r.what == "message.changed" end))
  end,
}

examples["data_function.lua"] = {
  args = { "--for", "11s" },
  check = function(seen)
    local said = {}
    for _, r in ipairs(seen.records) do
      local late = r.skipped and not r.skipped:find "data function" -- on a slow machine
      if r.name == "countdown" and not late then said[#said + 1] = r.sent_data and r.sent_data.text or r.skipped end
    end
    local none = "the data function returned nil"
    assert.same({ "5", "4", "3", "2", "1", "Lift-off!", none }, table.move(said, 1, 7, 1, {}))
    assert.truthy(seen.out:find("counter has said this 3 times in Launch pad", 1, true))
  end,
}

examples["alerts.lua"] = {
  args = { "--for", "8s", "--transcript" },
  check = function(seen)
    local function of(name, state)
      return count(seen.records, function(r) return r.logger == "alert" and r.alert == name and r.state == state end)
    end
    assert.equal(1, of("severe", "firing"))
    assert.equal(1, of("stuck", "firing"))
    assert.equal(1, of("stuck", "resolved"))
    assert.equal(1, of("too common", "firing"))
    assert.truthy(seen.out:find("the disk is full", 1, true))
    assert.truthy(seen.out:find("] stuck resolved: finished: move the stock", 1, true))
    assert.is_nil(seen.err:find("does not arrive", 1, true))
  end,
}

examples["tasks.lua"] = {
  args = { "--for", "5s" },
  check = function(seen)
    local function did(task, action)
      return count(seen.records, function(r) return r.task_name == task and r.action == action end)
    end
    local fetched = did("fetch", "success")
    assert.is_true(fetched >= 2 and fetched <= 3, fetched) -- every two seconds
    assert.equal(fetched, did("fetch", "run"))
    assert.equal(fetched, did("report", "success"))
    assert.equal(1, did("goodbye", "success"))
    assert.equal(1, count(seen.records, function(r) return r.text == "runs of fetch so far: " .. fetched end))
  end,
}

examples["calendar.lua"] = {
  args = { "--for", "6s" },
  check = function(seen)
    local said = texts(assert(seen.days["Office.json"]))
    assert.is_true(#said >= 2, #said)
    for _, text in ipairs(said) do assert.matches("^%d%d:%d%d:%d%d$", text) end
  end,
}

examples["random_period.lua"] = {
  args = { "--for", "11s" },
  check = function(seen)
    local welcome = function(r) return r.name == "welcome" and r.ok end
    assert.equal(3, count(seen.records, welcome))
    assert.equal(2, count(seen.records, function(r) return r.what == "message.removed" end))
    local times = count(seen.records, function(r) return r.name == "reminder" and r.ok end)
    assert.is_true(times >= 3 and times <= 12, times)
  end,
}

examples["direct_message.lua"] = {
  args = { "--world", "direct_message.world.json", "--for", "6s", "--transcript" },
  check = function(seen)
    assert.truthy(seen.days["Ada.json"])
    local refused = assert(seen.days["Grace.json"]).message_history[1]
    assert.is_false(refused.success_info.success)
    assert.truthy(refused.success_info.reason:find "50007")
    assert.is_true(count(seen.records, function(r)
      return r.kind == "log" and r.text == "could not write to Grace"
    end) > 0)
    assert.truthy(seen.out:find("@ Ada", 1, true))
  end,
}

examples["sql_logging.lua"] = {
  args = { "--for", "8s" },
  check = function(seen)
    local db = proc.run { "sqlite3", seen.bot:path "examples/sql_logging.db",
      "SELECT guild_name, message_type, message_mode, COUNT(*) > 3 FROM vMessageLogFullDETAIL GROUP BY 1, 2, 3;"
      .. "SELECT COUNT(*) FROM DataHISTORY; SELECT json_extract(record, '$.rate') < 1, "
      .. "json_extract(record, '$.contents') FROM record_log WHERE text = 'so far' ORDER BY id DESC LIMIT 1" }
    assert.equal("Town|TextMESSAGE|send|1\n2\n1|1\n", db.out, db.err)
  end,
}

examples["queries.lua"] = {
  args = { "--for", "9s", "--transcript" },
  check = function(seen)
    local told, visits = 0, 0
    for sales, forgotten in seen.out:gsub("%s+", " "):gmatch
      "(%d+) sales, the best of them [%a ]+ for %d+; %d+ in milk and cheese %((%d+) visits" do
      told, visits = told + sales, visits + forgotten
    end
    local text = seen.bot:read "examples/shop.jsonl"
    assert.is_true(told > 10 and visits > 3, seen.out)
    assert.equal(told, select(2, text:gsub('"told":%d', "")))
  end,
}

examples["embed_and_file.lua"] = {
  args = { "--for", "6s", "--transcript" },
  check = function(seen)
    local sent = {}
    for _, r in ipairs(seen.records) do
      if r.ok then sent[r.name] = r.sent_data end
    end
    assert.equal("The week in numbers", sent.card.embed[1].title)
    assert.same({ "logo.png" }, sent.card.files)
    assert.same({ "visits.csv" }, sent.report.files)
    assert.truthy(seen.out:find("logo.png", 1, true))
  end,
}

examples["hot_reload.lua"] = {
  args = { "--for", "4s" },
  twice = true,
  check = function(seen)
    local last
    for _, r in ipairs(seen.records) do
      local n = r.sent_data and tonumber(r.sent_data.text:match "^Counted to (%d+) since ")
      if n then
        assert.is_true(n > (last or 0), "the counter goes on")
        last = n
      end
    end
    assert.is_true(last >= 4, last) -- more than one run of two seconds
  end,
}

examples["routing.lua"] = {
  args = { "--for", "6s" },
  check = function(seen)
    local doc = assert(seen.days["messages/Office.json"])
    local ok, failed = 0, 0
    for _, entry in ipairs(doc.message_history) do
      if entry.sent_data and #entry.channels.failed > 0 then failed = failed + 1 end
      if entry.sent_data and #entry.channels.failed == 0 then ok = ok + 1 end
    end
    assert.is_true(ok > 0 and failed > 0)
    assert.truthy(seen.days["rest/@system.json"])
    assert.truthy(seen.days["rest/@log.json"])
    assert.is_nil(seen.out:find("All is well.", 1, true), "the screen shows no message that went well")
    assert.truthy(seen.out:find("the text has 2500 characters, Discord allows 2000", 1, true))
    assert.truthy(seen.out:find "bot  %d+ failed so far")
  end,
}

examples["logging.lua"] = {
  args = { "--for", "4s" },
  check = function(seen)
    local stored = Bot.parse(seen.bot:read "examples/History/shop.jsonl")
    local by = { orders = {} }
    for _, r in ipairs(stored) do
      assert.is_nil(r.address)
      assert.is_nil(r.text:find("@", 1, true))
      assert.is_true(r.logger ~= "shop.search" and r.logger ~= "shop.health", r.logger)
      assert.equal("shop", r.service)
      if r.logger == "shop.orders" then by.orders[#by.orders + 1] = r.item end
    end
    assert.equal(80, #by.orders)
    assert.same({ "herring", "bread" }, { by.orders[1], by.orders[2] })
    assert.equal(10, count(stored, function(r) return r.level == "error" end))
    local _, faults = seen.out:gsub("payment of order", "")
    assert.is_true(faults >= 1 and faults < 10, faults) -- ten without `dedupe`
    assert.truthy(seen.out:find "repeated=%d")
  end,
}

examples["http_data.lua"] = {
  args = { "--for", "6s" },
  before = function(bot)
    local server = proc.start({ "python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory",
      bot:path "examples/files", "0" })
    bot.server = server
    return { WEATHER_URL = ("http://127.0.0.1:%s/weather.json"):format(server:wait_line "port (%d+)") }
  end,
  check = function(seen)
    assert.is_true(count(seen.records, function(r)
      return r.name == "weather" and r.ok and r.sent_data.text == "Ljubljana: fog, 4 degrees"
    end) > 0)
    assert.equal(0, count(seen.records, function(r) return r.text == "no weather" end))
  end,
}

examples["custom_sink.lua"] = {
  args = { "--for", "8s" },
  before = function(bot)
    -- A web server that takes what is posted: the second batch's answer is in what it has logged.
    bot:write("server.py", [[
import http.server
class H(http.server.BaseHTTPRequestHandler):
    tries = 0
    def do_POST(self):
        H.tries += 1
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(self.headers["Idempotency-Key"], body, flush=True)
        self.send_response(503 if H.tries <= 2 else 204)
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), H)
print("port", server.server_port, flush=True)
server.serve_forever()
]])
    local server = proc.start { "python3", bot:path "server.py" }
    bot.server = server
    return { WEBHOOK_URL = ("http://127.0.0.1:%s/hook"):format(server:wait_line "port (%d+)") }
  end,
  check = function(seen)
    local posts = {}
    for key, body in seen.bot.server:out():gmatch "(%w+) (%b{})" do
      local batch = cjson.decode(body)
      assert.equal("hook", batch.sink)
      assert.equal(26, #key)
      posts[#posts + 1] = key .. " " .. #batch.texts .. " " .. batch.texts[1]
    end
    assert.is_true(#posts >= 3, table.concat(posts, "\n"))
    assert.equal(posts[1], posts[2])
    assert.equal(posts[1], posts[3])
    assert.truthy(posts[1]:find "5 the tide is high$", posts[1])
    -- Down after two tries: copies to the fallback.
    assert.truthy(select(2, seen.bot:read("examples/History/missed.jsonl"):gsub("the tide is high", "")) >= 5)
    local counts = seen.bot:read "custom_sink.counts" or seen.bot:read "examples/custom_sink.counts"
    assert.truthy(counts:find("info %d"), counts)
    assert.truthy(counts:find("warning 5"), counts)
  end,
}

local function start(name, example)
  local bot = Bot.new()
  local env = { NO_COLOR = "1", CRIER_STATE = false, DISCORD_TOKEN = "simulated" }
  os.execute(("cp -r examples %s && rm -rf %s/examples/History %s/examples/.crier"):format(
    proc.quote(bot.dir), proc.quote(bot.dir), proc.quote(bot.dir)))
  for k, v in pairs(example.before and example.before(bot) or {}) do env[k] = v end
  local function go()
    bot.process = proc.start({ proc.crier, "run", name, "--sim", table.unpack(example.args) },
      { cwd = bot:path "examples", env = env })
  end
  go()
  return bot, go
end

local function finish(bot)
  local code = bot.process:wait()
  local out, err = bot.process:out(), bot.process:err()
  bot.process:stop()
  return code, out, err
end

describe("example", function()
  local running = {}

  setup(function()
    for name, example in pairs(examples) do
      local bot, go = start(name, example)
      running[name] = { bot = bot, go = go }
    end
  end)

  teardown(function()
    for _, r in pairs(running) do
      if r.bot.server then r.bot.server:stop() end
      r.bot.process = nil
      r.bot:close()
    end
  end)

  it("scripts are all run here", function()
    local files = names "%.lua$"
    assert.is_true(#files >= 9)
    for _, name in ipairs(files) do assert(examples[name], name .. " has no test") end
  end)

  for name, example in pairs(examples) do
    it(name .. " passes check", function()
      local text = assert(proc.read("examples/" .. name))
      local r = proc.run({ proc.crier, "check", name }, { cwd = "examples", env = { DISCORD_TOKEN = "x" } })
      assert.equal(0, r.code, r.out .. r.err)
      assert.truthy(r.out:find("0 errors, 0 warnings", 1, true), r.out)
      -- What it says about running it.
      assert.truthy(text:find("crier run examples/" .. name, 1, true), "how to run it")
      assert.truthy(text:find("Change next:", 1, true) or text:find("Then, while it runs:", 1, true))
    end)

    it(name .. " runs in the simulator and leaves what it promises", function()
      local r = running[name]
      local code, out, err = finish(r.bot)
      assert.equal(0, code, err)
      assert.equal("", (err:gsub("[^\n]*: note: [^\n]*\n", "")))
      if example.twice then
        r.go()
        local more
        code, more = finish(r.bot)
        assert.equal(0, code)
        out = out .. more
      end
      local seen = { bot = r.bot, out = out, err = err, records = Bot.parse(out), days = {}, raw = {} }
      for _, file in ipairs(r.bot:files()) do
        local path = file:match "^examples/History/(.*)$"
        if path and path:find "%.json$" then
          path = path:gsub("%d%d%d%d/%d%d/%d%d/", "")
          seen.raw[path] = r.bot:read(file)
          seen.days[path] = cjson.decode(seen.raw[path])
        end
      end
      example.check(seen)
    end)
  end

  it("worlds are worlds", function()
    local found = names "%.world%.json$"
    assert.is_true(#found >= 3)
    for _, name in ipairs(found) do
      local sim = proc.start { proc.crier, "discord-sim", "--port", "0", "--world", "examples/" .. name }
      finally(function() sim:stop() end)
      sim:wait_line "127%.0%.0%.1:(%d+)"
      assert.equal(0, sim:stop())
    end
  end)
end)

describe("quickstart.sh", function()
  local script = "examples/quickstart.sh"

  it("explains itself and refuses what it does not know", function()
    local r = proc.run { "bash", script, "--help" }
    assert.equal(0, r.code)
    assert.truthy(r.out:find("--yes", 1, true))
    r = proc.run { "bash", script, "--frob" }
    assert.equal(64, r.code)
    assert.truthy(r.err:find("unknown option '--frob'", 1, true))
  end)

  -- The whole way, with a builder that hands out the binary under test.
  it("runs the demo from any folder and leaves what is there alone", function()
    local bot = Bot.new()
    finally(function() bot:close() end)
    os.execute(([[cd %s && mkdir -p tree/build tree/spec bin other &&
      cp -r %s/examples tree && touch tree/build/CMakeCache.txt && printf '#!/bin/sh\nexit 0\n' >bin/cmake &&
      chmod +x bin/cmake]]):format(proc.quote(bot.dir), proc.quote(io.popen("pwd"):read "l")))
    local binary = proc.run({ "realpath", proc.crier }).out:sub(1, -2)
    os.execute(("ln -s %s %s/tree/build/crier"):format(proc.quote(binary), proc.quote(bot.dir)))
    local function run(...)
      return proc.run({ "bash", bot:path "tree/examples/quickstart.sh", "--no-install", ... }, {
        cwd = bot:path "other", env = { PATH = bot:path "bin" .. ":" .. os.getenv "PATH" } })
    end
    local r = run("--for", "3s")
    assert.equal(0, r.code, r.err)
    assert.equal("", r.err)
    for _, words in ipairs { "tower #square sent", "━━ Old Town", "# market", "Old Town.json",
      '"message_history"', "What to try next" } do
      assert.truthy(r.out:find(words, 1, true), words .. "\n" .. r.out)
    end
    assert.equal(proc.read "examples/quickstart.world.json", bot:read "other/crier-demo/world.json")
    assert.truthy(bot:read "other/crier-demo/bot.lua":find("crier run bot.lua", 1, true))
    assert.truthy(bot:read("other/crier-demo/bot.lua"):find("--world world.json", 1, true))

    local changed = bot:read "other/crier-demo/bot.lua":gsub("Fresh herring", "Old herring")
    bot:write("other/crier-demo/bot.lua", changed)
    r = run("--for", "3s")
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find("crier-demo/bot.lua is there already and stays as it is", 1, true), r.out)
    assert.equal(changed, bot:read "other/crier-demo/bot.lua")
    for _, file in ipairs(bot:files()) do
      assert(not file:find "^tree/examples/History", "the source tree stays as it is: " .. file)
    end
  end)
end)
