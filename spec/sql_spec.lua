-- SPDX-License-Identifier: MIT
-- crier.sink.sql in a script. What each engine does with rows is in spec/unit/sink_sql_*_test.c.
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"
local socket = require "socket"

local head = [[
local crier = require "crier"
crier.sink.console { name = "screen", format = "json" }
]]

local function sqlite(file, sql)
  local r = proc.run { "sqlite3", file, sql }
  if r.code ~= 0 then error(r.err, 2) end
  return (r.out:gsub("\n$", ""))
end

describe("crier.sink.sql", function()
  local bot
  after_each(function()
    if bot then bot:close() end
    bot = nil
  end)

  local function problems(script, options)
    bot = Bot.new(head .. script)
    local r = bot:run(options or { "--for", "100ms" })
    local said = r.out .. r.err
    bot:close()
    bot = nil
    assert.equal(78, r.code, said)
    return said
  end

  local function has(text, words)
    assert.is_truthy(text:find(words, 1, true), text)
  end

  it("names the drivers that are there when one is missing", function()
    local said = problems [[crier.sink.sql { dsn = "Driver=Oracle 21;Server=db;PWD=s3cret" }]]
    has(said, "ODBC driver 'Oracle 21' is not installed; installed are: ")
    has(said, "SQLite3")
    assert.is_nil(said:find("s3cret", 1, true))
    has(problems [[crier.sink.sql { dsn = "nowhere" }]], "there is no ODBC data source 'nowhere' in odbc.ini")
    has(problems [[crier.sink.sql { dsn = "Server=x;Database=y" }]], "option 'dsn' names no driver")
    has(problems [[crier.sink.sql { dsn = "Driver=SQLite3;oops" }]], "part 2 has no '='")
  end)

  it("is checked", function()
    local function check(options)
      bot = Bot.new(head .. ("crier.sink.sql { %s }"):format(options))
      local r = bot:check()
      bot:close()
      bot = nil
      return r.out .. r.err
    end
    has(check [[dns = "x"]], "'dns' (did you mean 'dsn'?)")
    has(check [[model = "tiny"]], "option 'model' must be one of minimal, log, run")
    local said = check [[dsn = "Driver=SQLite3;PWD=s3cret;Database=x"]]
    has(said, "option 'dsn' has a password in it")
    assert.is_nil(said:find("s3cret", 1, true))
  end)

  it("takes the original's form of a SQL Server, and its password stays hidden", function()
    bot = Bot.new(head .. [[local sql = crier.LoggerSQL("username", "s3cret", "127.0.0.1,1", "base")
      assert(tostring(sql) == "sink sql (sql)")]])
    local r = bot:run { "--for", "300ms" }
    local said = r.out .. r.err
    assert.equal(0, r.code, said)
    assert.is_nil(said:find("s3cret", 1, true), said)
    has(said, "FreeTDS, 127.0.0.1:1, base")
    bot:close()
    has(problems [[crier.LoggerSQL("username", "password", 5, "base")]],
      "crier.LoggerSQL takes (username, password, server, database)")
  end)

  it("refuses other machines in --sim", function()
    bot = Bot.new(head .. [[crier.sink.sql { dsn = "Driver={PostgreSQL Unicode};Server=192.0.2.1;Database=b" }
      crier.log.info "x"]])
    local r = bot:run { "--for", "300ms" }
    assert.equal(0, r.code)
    has(r.out, "refused in --sim: 192.0.2.1 is not this machine")
  end)

  it("logs a bot into a file beside the script, and answers it", function()
    bot = Bot.new(head .. [[
      crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
      local sql = crier.sink.sql { name = "sql", dsn = "Driver=SQLite3;Database=log/my.db" }
      os.execute "mkdir -p log"
      crier.GUILD { snowflake = "863071397207212052", name = "O'Hara; DROP TABLE", logging = true, messages = {
        crier.TextMESSAGE { name = "gallery", channels = { "978332728615378984" }, period = "200ms", data = "\u{1F600} 'x'" } } }
      crier.on("start", function()
        repeat crier.sleep "100ms" until sql:filter { kind = "message" }:count() >= 3
        local rate = sql:success_rate { guild = "863071397207212052" }
        local rows = sql:exec("SELECT content FROM DataHISTORY WHERE content LIKE ?", { "%'x'%" })
        local n = sql:filter { kind = "message", ["guild.name"] = "O'Hara; DROP TABLE" }:count()
        local sum, err = sql:exec "SELECT nonsense"
        local changed = sql:filter { kind = "message" }:update { seen = true }
        crier.log.warning("answers", { rate = rate, content = rows[1].content, n = n, err = err, sum = sum,
          same = changed >= n })
        local ev = crier.event { descr = "d", ev_where = "spec", params = { a = 1 } }
        ev:finish()
        local ok, raised = pcall(sql.success_rate, sql, { gild = 1 })
        crier.log.warning("raised", { ok = ok, why = raised })
      end)
    ]])
    local r = bot:run { "--for", "1500ms" }
    assert.equal(0, r.code, r.out .. r.err)
    local told = Bot.select(r.records, function(v) return v.text == "answers" end)[1]
    assert.equal(1, told.rate)
    assert.equal('{"text":"\u{1F600} \'x\'"}', told.content)
    assert.is_true(told.n >= 3)
    assert.is_nil(told.sum)
    has(told.err, "nonsense")
    assert.is_true(told.same)
    local sent = #Bot.select(r.records, function(v) return v.kind == "message" and not v.skipped end)
    local db = bot:path "log/my.db"
    assert.equal(tostring(sent), sqlite(db, "SELECT COUNT(*) FROM vMessageLogFullDETAIL"))
    assert.equal("1", sqlite(db, "SELECT COUNT(*) FROM DataHISTORY"))
    assert.equal(tostring(#r.records - sent), sqlite(db, "SELECT COUNT(*) FROM record_log"))
    assert.equal('spec|{"a":1}|0', sqlite(db, "SELECT ev_where, params, is_error FROM event_log"))
  end)

  it("is added up by `crier stats`, and keeps what is as young as `keep` says", function()
    bot = Bot.new(head .. [[
      local sql = crier.sink.sql { keep = "1h" }
      crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
      crier.GUILD { snowflake = "863071397207212052", name = "G", logging = true, messages = {
        crier.TextMESSAGE { name = "gallery", channels = { "978332728615378984" }, period = "200ms", data = "hi" } } }
      crier.task { name = "fetch", start = "every 200ms", run = function() end }
      crier.route { match = {}, to = sql }]])
    local db = bot:path "crier.db"
    local function stats(what)
      local r = bot:crier { "stats", what, "bot.lua", "--json" }
      assert.equal(0, r.code, r.out .. r.err)
      return r.out
    end
    assert.equal("", stats "messages") -- and no file is made by a look
    assert.is_nil(bot:read "crier.db")
    local r = bot:run { "--for", "1500ms" }
    assert.equal(0, r.code, r.out .. r.err)
    local sent = tonumber(sqlite(db, "SELECT COUNT(*) FROM MessageLOG"))
    local runs = tonumber(sqlite(db, "SELECT COUNT(*) FROM task_log WHERE action = 'success'"))
    assert.is_true(sent >= 1 and runs >= 2, sent .. " sends, " .. runs .. " runs")
    has(stats "messages", ('"sent":%d,"ok":%d,"failed":0'):format(sent, sent))
    has(stats "tasks", ('"success":%d,"fail":0'):format(runs))
    sqlite(db, "UPDATE MessageLOG SET timestamp = '2026-01-02 03:04:05.000000' WHERE id = 1")
    sqlite(db, "UPDATE task_log SET created = '2026-01-02 03:04:05.000000'")
    assert.equal(0, bot:run({ "--for", "500ms" }).code)
    assert.equal("0", sqlite(db, "SELECT COUNT(*) FROM MessageLOG WHERE timestamp < '2026-02'"))
    assert.equal("0", sqlite(db, "SELECT COUNT(*) FROM task_log WHERE created < '2026-02'"))
    assert.equal("0", sqlite(db, [[SELECT COUNT(*) FROM MessageChannelLOG
      WHERE log_id NOT IN (SELECT id FROM MessageLOG)]]))
    assert.is_true(tonumber(sqlite(db, "SELECT COUNT(*) FROM MessageLOG")) >= sent - 1)
  end)

  it("finds a hundredth of a table by its index", function()
    bot = Bot.new(head .. [[
      local sql = crier.sink.sql { kinds = "log" }
      crier.log.info "one"]])
    assert.equal(0, bot:run({ "--for", "300ms" }).code)
    local plan = sqlite(bot:path "crier.db", [[EXPLAIN QUERY PLAN SELECT l.record_id FROM task_log l
      WHERE (l.task_name IN ('fetch')) AND (l.action IN ('run')) ORDER BY l.id]])
    has(plan, "USING INDEX task_log_task (task_name=? AND action=?)")
    assert.is_nil(plan:find("TEMP B-TREE", 1, true), plan)
  end)

  for _, name in ipairs { "postgres", "mariadb" } do
    local Server = require("spec.support." .. name)
    describe("on " .. name, function()
      local server
      setup(function()
        if Server.installed() then server = Server.new() end
      end)
      teardown(function()
        if server then server:close() end
      end)

      local function start(options, body)
        server "SELECT 1"
        bot = Bot.new(head .. ([[
          crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
          local files = crier.sink.jsonl { name = "files", path = "copies.jsonl", kinds = "log" }
          local sql = crier.sink.sql { name = "sql", kinds = "log", dsn = %q, fallback = files, %s }
          crier.route { match = { kind = "log" }, to = sql }
          crier.route { match = {}, to = crier.sinks.screen, copy = true }
          %s
        ]]):format(server.dsn, options, body))
        return bot:start()
      end

      local function count() return tonumber(server "SELECT COUNT(*) FROM record_log") end

      local function reset()
        if name == "postgres" then
          server "DROP SCHEMA public CASCADE"
          server "CREATE SCHEMA public"
        else
          server:client("mysql", "DROP DATABASE IF EXISTS bot; CREATE DATABASE bot")
        end
      end

      local numbers = [[
        crier.on("start", function()
          for n = 1, 300 do
            crier.log.info("number", { n = n })
            crier.sleep "10ms"
          end
          crier.log.warning "end"
        end)
      ]]

      it("goes down, copies to its fallback, and has each record once and in order when it is back", function()
        if not server then return pending(name .. " is not installed") end
        reset()
        local p = start([[retry = { times = 2, delay = "100ms" }]], numbers)
        proc.wait_for(function()
          local ok, n = pcall(count)
          return ok and n >= 20
        end, nil, "records")
        server:kill()
        bot:wait_record(function(r) return r.kind == "system" and r.text:find("sink 'sql': down", 1, true) end)
        proc.wait_for(function() return (bot:read "copies.jsonl" or ""):find "number" end, nil, "copies")
        server:start()
        bot:wait_record(function(r) return r.text == "end" end)
        assert.equal(0, p:stop())
        assert.equal(301, count())
        local last = 0
        for n in server([[SELECT record FROM record_log ORDER BY id]]):gmatch '"n":(%d+)' do
          assert.equal(last + 1, tonumber(n))
          last = tonumber(n)
        end
        assert.equal(300, last)
      end)

      it("holds nothing up while the server stands still", function()
        if not server then return pending(name .. " is not installed") end
        reset()
        local stop = tonumber(os.getenv "CRIER_SPEC_STOP") or 3 -- seconds
        local p = start([[retry = { times = 2, delay = "100ms" }]], ([[
          crier.GUILD { snowflake = "863071397207212052", messages = { crier.TextMESSAGE { name = "tick",
            channels = { "978332728615378984" }, period = "1s", data = "tick" } } }
          crier.on("message.sent", function() crier.log.info "sent" end)
          crier.on("start", function()
            for _ = 1, %d do
              crier.log.info "tick"
              crier.sleep "100ms"
            end
          end)
        ]]):format(stop * 10 + 30))
        proc.wait_for(function()
          local ok, n = pcall(count)
          return ok and n >= 5
        end, nil, "records")
        server:pause()
        local from = socket.gettime()
        proc.wait_for(function() return socket.gettime() - from > stop end, stop + 2)
        local all = bot:records()
        server:continue()
        assert.equal(0, p:stop())
        local sent = tonumber(server "SELECT COUNT(*) FROM record_log WHERE text = 'sent'")
        assert.is_true(sent >= stop - 1, sent)
        local times, widest = {}, 0
        for _, r in ipairs(all) do
          if r.text == "tick" and r.kind == "log" then
            local h, m, sec = r.time:match "T(%d+):(%d+):([%d.]+)"
            times[#times + 1] = h * 3600 + m * 60 + sec
            widest = math.max(widest, times[#times] - (times[#times - 1] or times[#times]))
          end
        end
        assert.is_true(widest < stop * 0.7, widest) -- a slow machine's; what is held up stands still all the while
        assert.is_true(#times >= stop * 3, #times)
        assert.is_true(count() >= #times + sent, count())
      end)

      it("makes again what was dropped while it runs", function()
        if not server then return pending(name .. " is not installed") end
        reset()
        local p = start("", numbers)
        proc.wait_for(function()
          local ok, n = pcall(count)
          return ok and n >= 20
        end, nil, "records")
        reset()
        bot:wait_record(function(r) return r.text == "end" end)
        assert.equal(0, p:stop())
        assert.is_true(count() > 50, count())
      end)
    end)
  end
end)
