-- SPDX-License-Identifier: MIT
-- crier.alert: what fires, who is told, and what survives.
local socket = require "socket"
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Smtp = require "spec.support.smtp"
local proc = require "spec.support.proc"

local head = [[
local crier = require "crier"
crier.sink.jsonl { name = "log", path = "log.jsonl", kinds = { "log", "event", "system" } }
crier.sink.console { name = "con", level = "debug" }
local function tell(a)
  crier.log.info("TOLD", { alert = a.name, state = a.state, told = a.text, count = a.count, key = a.key,
    level_of = a.level, of = a.record and a.record.text, since = a.since, at = a.time })
end
]]

local function on_start(body)
  return 'crier.on("start", function()\n' .. body .. "\nend)\n"
end

local function told(records, name)
  local list = {}
  for _, r in ipairs(records) do
    if r.text == "TOLD" and (not name or r.alert == name) then list[#list + 1] = r end
  end
  return list
end

local function states(list)
  local words = {}
  for i, r in ipairs(list) do words[i] = r.state end
  return table.concat(words, " ")
end

local function run(script, args, opt)
  local bot = Bot.new(head .. script)
  finally(function() bot:close() end)
  local r = bot:run(args or { "--for", "400ms" }, opt)
  assert.equal(0, r.code, r.err)
  return r.records, r, bot
end

-- The same in virtual time: what a callback waits for takes no time.
local function virtual(script, span, files, args)
  local bot = Bot.new(head .. script, files)
  finally(function() bot:close() end)
  local r = bot:crier { "simulate", "bot.lua", "--json", "--for", span, table.unpack(args or {}) }
  assert.equal(0, r.code, r.err)
  return Bot.parse(r.out)
end

describe("an alert", function()
  it("on severe records is told at once, and alike ones once in a while", function()
    local records = virtual([[
      crier.alert { when = "severe", to = tell, dedupe = "200ms" }
    ]] .. on_start [[
      crier.event.note { descr = "no disk 1", is_severe = true }
      crier.event.note { descr = "no disk 2", is_severe = true }
      crier.event.note { descr = "as if", is_severe = true, is_debug = true }
      crier.event.note { descr = "well" }
      crier.event { descr = "no paper", is_severe = true }:finish {}
    ]], "600ms")
    local list = told(records)
    assert.equal("firing firing", states(list))
    assert.match("^event: no disk 1 %(bot%.lua:%d+%)$", list[1].told)
    assert.equal(2, list[1].count)
    assert.equal("critical", list[1].level_of)
    assert.equal("no disk 1", list[1].of)
    assert.match("no paper", list[2].told)
    -- each has its records, and the one that says that it is over
    local said = {}
    for _, r in ipairs(records) do
      if r.logger == "alert" then said[#said + 1] = r.what .. " " .. tostring(r.told) end
    end
    assert.same({ "alert.firing true", "alert.firing true", "alert.resolved false", "alert.resolved false" }, said)
  end)

  it("on a match tells how often it came again, and that it is over", function()
    local records = virtual([[
      crier.alert { name = "m", when = function(r) return r.text:find "^order" end, to = tell, dedupe = "250ms", resolved = true }
      crier.alert { name = "other", when = { match = { logger = "shop" } }, to = tell }
    ]] .. on_start [[
      crier.log.error "order 1 failed"
      crier.sleep "100ms"
      for i = 2, 4 do crier.log.error("order " .. i .. " failed") end
    ]], "900ms")
    local list = told(records)
    assert.equal("firing again resolved", states(list))
    assert.equal(1, list[1].count)
    assert.equal(3, list[2].count)
    assert.equal(4, list[3].count)
    assert.equal("info", list[3].level_of)
  end)

  it("without dedupe tells each, and above its rate only how many", function()
    local records = virtual([[
      crier.alert { name = "m", when = { match = { text = crier.like "n%" } }, to = tell, dedupe = false, rate = "2/300ms" }
    ]] .. on_start [[
      for i = 1, 5 do
        crier.log.error("n" .. i)
        crier.sleep "5ms"
      end
    ]], "600ms")
    local list = told(records)
    assert.equal("firing firing left out", states(list))
    assert.match("^3 more notices than 2 in 300ms left out$", list[3].told)
    assert.equal(3, list[3].count)
  end)

  it("on unfinished events fires when one is too old, and ends with it", function()
    local records = virtual([[
      crier.alert { name = "stuck", when = { unfinished = "300ms" }, to = tell }
    ]] .. on_start [[
      local quick = crier.event { descr = "quick" }
      local debug = crier.event { descr = "debug", is_debug = true }
      local slow = crier.event { descr = "slow", ev_where = "report.build" }
      crier.sleep "100ms"
      quick:finish {}
      crier.sleep "400ms"
      slow:finish {}
      debug:finish {}
    ]], "800ms")
    local list = told(records)
    assert.equal("firing resolved", states(list))
    assert.match("^unfinished for more than 300ms: slow %(report.build%), event %w+$", list[1].told)
    assert.match("^finished: slow", list[2].told)
    assert.is_true(math.abs(list[1].at - list[1].since - 0.3) < 0.001, list[1].at - list[1].since)
  end)

  it("on failures fires above a share of enough records, and ends below it", function()
    local records = virtual([[
      crier.alert { name = "f", when = { failures = 0.5, least = 4, within = "600ms", match = { kind = "event" }, by = "code" },
        to = tell }
    ]] .. on_start [[
      local function ends(bad, code)
        crier.event { descr = "w", code = code }:finish { is_error = bad, code = code }
      end
      for i = 1, 3 do ends(true, "A") end         -- too few
      crier.sleep "10ms"
      for i = 1, 3 do ends(i > 1, "B") end
      ends(false, "B")                             -- half of four is not above a half
      crier.sleep "10ms"
      ends(true, "A")
    ]], "900ms")
    local list = told(records)
    assert.equal("firing resolved", states(list))
    assert.equal("A: 4 of 4 failed (100 %) within 600ms", list[1].told)
    assert.equal("A", list[1].key)
    assert.match("^A: %d of %d failed", list[2].told)
    -- by time alone, when the window has moved on
    assert.is_true(list[2].at - list[1].at > 0.3 and list[2].at - list[1].at < 0.8)
  end)

  it("on common texts fires above a number, and ends after a window without", function()
    local records = virtual([[
      crier.alert { name = "c", when = { common = 3, within = "300ms", match = { kind = "log" } }, to = tell }
    ]] .. on_start [[
      for i = 1, 3 do crier.log.info("seen " .. i) end
      for i = 1, 4 do crier.log.warning("user '" .. i .. "' of 17 is late") end
      crier.log.error "user '5' of 17 is late"
    ]], "900ms")
    local list = told(records)
    assert.equal("firing resolved", states(list))
    assert.equal("more than 3 times within 300ms: bot warning user <text> of <n> is late", list[1].told)
    assert.match("^no more than 3 times within 300ms: bot warning user", list[2].told)
    assert.is_true(list[2].at - list[1].at > 0.5)
  end)

  it("on a sink fires when it is down, and ends when it works", function()
    local bot = Bot.new(head .. [[
      crier.sink.jsonl { name = "far", path = "no/such/far.jsonl", kinds = { "log" }, retry = { times = 1, delay = "100ms" } }
      local broken = crier.sink.custom { name = "broken", kinds = { "event" }, retry = { times = 1, delay = "100ms" },
        write = function() if io.open(FLAG) then return true end return nil, "no line" end }
      crier.alert { name = "s", when = { sink = { broken, "far" } }, to = tell }
      crier.alert { name = "any", when = { sink = true }, to = tell }
    ]] .. on_start [[ crier.event.note { descr = "x" } ]])
    finally(function() bot:close() end)
    bot:write("bot.lua", (bot:read "bot.lua":gsub("FLAG", ("%q"):format(bot:path "flag"))))
    bot:start()
    bot:wait_record(function(r) return r.text == "TOLD" and r.alert == "any" end)
    local now = bot:crier { "alerts", "bot.lua" }
    assert.equal(0, now.code, now.err)
    assert.match("\ns +sink +1 +1 +0 firing\n  since [^\n]+: sink 'broken' is down: no line", now.out)
    local json = cjson.decode((bot:crier { "alerts", "bot.lua", "--json" }).out:match "[^\n]+")
    assert.equal("broken", json.firing[1].key)
    assert.match("ALERT", (bot:crier { "status", "bot.lua" }).out)
    bot:write("flag", "")
    bot:wait_record(function(r) return r.alert == "s" and r.state == "resolved" and r.text == "TOLD" end)
    bot.process:stop()
    assert.equal("firing resolved", states(told(Bot.parse(bot:read "log.jsonl"), "s")))
  end)

  it("sees messages of guilds that do not log", function()
    local list = told(virtual([[
      crier.bot { token = crier.secret.env "T" }
      crier.alert { name = "sends", when = { failures = 0, least = 2, within = "3h", match = { kind = "message" } }, to = tell }
      crier.GUILD { snowflake = "1", messages = { crier.TextMESSAGE { name = "m", channels = { "5" }, period = "1h",
        data = "x" } } }
    ]], "3h", { ["world.json"] = '{ "guilds": [ { "id": "1", "channels": [ ' ..
      '{ "id": "5", "name": "c", "deny": [ "SEND_MESSAGES" ] } ] } ] }' }, { "--world", "world.json" }))
    assert.equal("firing", states(list))
    assert.equal("2 of 2 failed (100 %) within 3h", list[1].told)
  end)

  it("is no loop: what is said because of it does not alert", function()
    local records = run([[
      crier.alert { name = "m", when = { match = { level = crier.ge "error" } }, dedupe = false, rate = false,
        to = { function(a) crier.log.error "again"; crier.sleep "5ms"; crier.log.error "and again"; return nil, "bad" end } }
      crier.on("alert", function(a) crier.log.error "from the hook"; crier.sleep "5ms"; crier.log.error "later" end)
    ]] .. on_start [[ crier.log.error "the one" ]])
    local n = 0
    for _, r in ipairs(records) do if r.what == "alert.firing" then n = n + 1 end end
    assert.equal(1, n)
  end)
end)

describe("an alert in virtual time", function()
  it("fires and ends at the instant at which it does", function()
    local bot = Bot.new([[
local crier = require "crier"
crier.sink.memory()
crier.alert { name = "f", when = { failures = 0.5, match = { kind = "event" } }, to = { webhook = "https://ops.example/x" } }
crier.alert { name = "stuck", when = { unfinished = "2h" }, to = print }
crier.alert { name = "often", when = { common = 5, match = { kind = "log" } }, to = print }
crier.alert { name = "m", when = { match = { text = "once" } }, to = print, resolved = true }
]] .. on_start [[
  local stuck = crier.event { descr = "stuck" }
  crier.sleep "1m"                                   -- 00:01
  for i = 1, 9 do crier.event.note { descr = "w", is_error = true } end
  crier.sleep "4m"                                   -- 00:05
  for i = 1, 6 do crier.log.info("seen " .. i) end
  crier.event.note { descr = "w", is_error = true }  -- the tenth; and by 00:20 only it is in the window
  crier.log.info "once"
  crier.sleep "9m"                                   -- 00:14, within the ten minutes of `dedupe`
  crier.log.info "once"
  crier.sleep "2h30m"
  stuck:finish {}
]])
    finally(function() bot:close() end)
    local r = bot:crier { "simulate", "bot.lua", "--for", "4h", "--from", "2026-11-22T00:00:00" }
    assert.equal(0, r.code, r.err)
    local said = {}
    for time, name, state in r.out:gmatch "(%d%d:%d%d:%d%d) [^\n]- alert '(%w+)' (%w+):" do
      said[#said + 1] = ("%s %s %s"):format(time, name, state)
    end
    assert.same({
      "00:05:00 often firing",
      "00:05:00 f firing",
      "00:05:00 m firing",
      "00:15:00 m again",      -- what came at 00:14
      "00:16:00 f resolved",   -- the nine of 00:01 have left
      "00:25:00 m resolved",
      "02:00:00 stuck firing",
      "02:05:00 often resolved", -- after an hour without
      "02:44:00 stuck resolved",
    }, said)
  end)
end)

describe("what fires", function()
  local script = [[
    crier.alert { name = "stuck", when = { unfinished = "100ms" }, to = tell }
    crier.alert { name = "severe", when = "severe", to = tell, dedupe = "1h" }
    crier.alert { name = "f", when = { failures = 0.5, least = 2, within = "1h", match = { kind = "event" } }, to = tell }
    crier.alert { name = "never", when = { match = { text = "over" } }, dedupe = "1h", to = function()
      if io.open(FLAG) then crier.log.info "ARRIVED" return end
      return nil, "not yet" end }
  ]]

  it("is not told again by a restart or a reload, and what had not arrived is", function()
    local bot = Bot.new()
    finally(function() bot:close() end)
    script = script:gsub("FLAG", ("%q"):format(bot:path "flag"))
    bot:write("bot.lua", head .. script .. on_start [[
      crier.log.error "over"
      crier.event { descr = "hangs", is_severe = true }
      for i = 1, 2 do crier.event { descr = "bad" }:finish { is_error = true } end ]])
    bot:start()
    bot:wait_record(function(r) return r.text == "TOLD" and r.alert == "stuck" end)
    bot:wait_record(function(r) return r.what == "alert.target" and r.text:find "not yet" end)
    proc.wait_for(function() return #told(bot:records()) == 3 end)
    bot:write("bot.lua", bot:read "bot.lua" .. "-- changed\n")
    assert.equal(0, bot:crier({ "reload", "bot.lua" }).code)
    bot.process:signal "KILL"
    bot.process:wait()
    bot:write("flag", "")
    bot:write("bot.lua", head .. script .. on_start [[ crier.event.note { descr = "hangs", is_severe = true } ]])
    bot.process = nil
    bot:start()
    bot:wait_record(function(r) return r.text == "ARRIVED" end)
    assert.equal(0, #told(bot:records()))
    local open = bot:crier { "alerts", "bot.lua" }
    assert.match("stuck +unfinished +0 +0 +0 firing\n  since [^\n]+hangs", open.out)
    assert.match("severe +severe +0 +0 +0 firing\n  since [^\n]+ 2 times: event: hangs", open.out)
    assert.match("\nf +failures +0 +0 +0 firing\n", open.out)
    -- somebody closes the event
    local id = open.out:match "event (%w+)"
    assert.equal(0, bot:crier({ "events", "bot.lua", "close", id, "seen to" }).code)
    bot:wait_record(function(r) return r.text == "TOLD" and r.state == "resolved" and r.alert == "stuck" end)
  end)

  it("is forgotten with its alert", function()
    local bot = Bot.new(head .. [[ crier.alert { name = "m", when = { match = { text = "x" } }, to = tell } ]] ..
      on_start [[ crier.log.info "x" ]])
    finally(function() bot:close() end)
    bot:start()
    bot:wait_record(function(r) return r.text == "TOLD" end)
    local function reload(alert)
      bot:write("bot.lua", head .. alert)
      local r = bot:crier { "reload", "bot.lua" }
      assert.equal(0, r.code, r.err)
      return r.out:match "([^\n]* alert [^\n]*)\n" or ""
    end
    assert.match("^~ alert m +to, limits$",
      reload [[ crier.alert { name = "m", when = { match = { text = "x" } }, to = { tell, tell }, dedupe = "1h" } ]])
    assert.match("^~ alert m +when", reload [[ crier.alert { name = "m", when = "severe", to = tell, dedupe = "1h" } ]])
    assert.is_nil((bot:crier { "alerts", "bot.lua" }).out:find "firing")
    assert.match("^%- alert m", reload "")
    assert.match("declares none", bot:crier({ "alerts", "bot.lua" }).err)
  end)

  it("of an event whose host was killed is told at the next start", function()
    local bot = Bot.new(head .. on_start [[ crier.event { descr = "the work" } crier.log.info "works" ]])
    finally(function() bot:close() end)
    bot:start()
    bot:wait_record(function(r) return r.text == "works" end)
    bot.process:signal "KILL"
    bot.process:wait()
    bot:write("bot.lua", head .. [[ crier.alert { name = "stuck", when = { unfinished = "1h" }, to = tell } ]])
    local list = told(bot:run({ "--for", "200ms" }).records)
    assert.equal("firing", states(list))
    assert.match("^left unfinished by a host that has ended: the work %(bot.lua:%d+%), event", list[1].told)
    assert.equal(0, #told(bot:run({ "--for", "200ms" }).records))
  end)
end)

describe("an alert by mail", function()
  local function script(smtp, options)
    return head .. ([[
      crier.alert { name = "überlauf", when = { match = { text = crier.like "Stra%%" } }, to = { mail = { "ops@example.com",
        "Zweite Stelle <zwei@example.com>" }, from = "Rufer Müller <crier@example.com>", server = "smtp://localhost:%d",
        timeout = "10m" %s } }
      crier.config { limits = { stop = "10m" } }
    ]]):format(smtp.port, options or "") .. on_start [[ crier.log.error "Straße gesperrt\n.\nwohin?" ]]
  end

  local function start(modes)
    local smtp = Smtp.start(modes)
    finally(function() smtp:stop() end)
    return smtp
  end

  it("is taken by a server with STARTTLS and a login", function()
    local smtp = Smtp.start { "starttls", "login", "slowquit" }
    local bot = Bot.new(script(smtp, (', ca = %q, user = "crier", password = crier.secret.env "PW"'):format(
      smtp.dir .. "/cert.pem")))
    finally(function() bot:close() smtp:stop() end)
    -- It waits for the mail, and not for a QUIT that is never answered: or it would run for ten minutes.
    local r = bot:run({ "--for", "300ms" }, { env = { PW = "geheim" } })
    assert.equal(0, r.code, r.err)
    local mail = smtp:wait(1)
    assert.is_true(mail.tls)
    assert.is_true(mail.login)
    assert.equal("crier@example.com", mail.from)
    assert.same({ "ops@example.com", "zwei@example.com" }, mail.to)
    assert.equal("Rufer Müller <crier@example.com>", mail.header_from)
    assert.match("Zweite Stelle <zwei@example.com>", mail.header_to)
    assert.match("^%[[^%]]+%] überlauf firing: bot: Straße gesperrt %. wohin%?", mail.subject)
    assert.match("^bot: Straße gesperrt\n%.\nwohin%? %(bot%.lua:%d+%)\n\nalert:  überlauf\nstate:  firing\n", mail.text)
    assert.match("^<%w+@[%w.-]+>$", mail.id)
    assert.match("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d %+0000$", mail.date)
    assert.equal("text/plain utf-8", mail.type .. " " .. mail.charset)
    assert.same({}, mail.defects)
    assert.is_true(mail.ascii and mail.longest <= 78)
    assert.is_nil((r.out .. r.err):find("geheim", 1, true))
    assert.is_nil(r.err:find "alert to")
  end)

  it("is not sent without STARTTLS unless that is said", function()
    local smtp = start {}
    local bot = Bot.new(script(smtp))
    local r = bot:run { "--for", "300ms" }
    assert.match("alert to mail to ops@example.com, %.%.%. does not arrive: [^\n]+; it is tried again", r.err)
    assert.is_nil(smtp:mail(1))
    bot:close()
    bot = Bot.new(script(smtp, ', starttls = "off", subject = "{state} {name}"'))
    r = bot:run { "--for", "300ms" }
    bot:close()
    assert.equal(0, r.code, r.err)
    assert.equal("firing überlauf", smtp:wait(1).subject)
  end)

  it("is given up when the server refuses, and tried again when it is busy", function()
    local smtp = Smtp.start { "starttls", "login" }
    local bot = Bot.new(script(smtp, (', ca = %q, user = "crier", password = crier.secret.env "PW"'):format(
      smtp.dir .. "/cert.pem")))
    local r = bot:run({ "--for", "300ms" }, { env = { PW = "falsch" } })
    assert.match("does not arrive: [^\n]*535[^\n]*; it is given up", r.err)
    assert.is_nil((r.out .. r.err):find("falsch", 1, true))
    bot:close()
    smtp:stop()

    smtp = Smtp.start { "refuse=zwei@example.com" }
    bot = Bot.new(script(smtp, ', starttls = "off"'))
    r = bot:run { "--for", "300ms" }
    bot:close()
    assert.same({ "ops@example.com" }, smtp:wait(1).to)
    local refused
    for _, record in ipairs(r.records) do refused = refused or record.what == "alert.target" and record.text end
    assert.match("was refused for some of them: 550 5.1.1 no such user", refused)
    smtp:stop()

    smtp = start { "busy=1" }
    bot = Bot.new(script(smtp, ', starttls = "off"'))
    r = bot:run { "--for", "300ms" }
    assert.match("421[^\n]*; it is tried again", r.err)
    bot:run { "--for", "300ms" }
    bot:close()
    assert.equal("crier@example.com", smtp:wait(1).from)
  end)

  it("does not hold up the bot's end when the server hangs", function()
    local smtp = start { "hang" }
    local bot = Bot.new((script(smtp, ', starttls = "off"'):gsub('stop = "10m"', 'stop = "500ms"')))
    local r = bot:run { "--for", "200ms" }
    assert.equal(0, r.code, r.err)
    bot:close()
  end)
end)

-- Requests to a port of this process, each answered with a status.
local function http_server(statuses)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:settimeout(0)
  local requests = {}
  return port, function(n, timeout)
    return proc.wait_for(function()
      local client = server:accept()
      if client then
        client:settimeout(60)
        local request = { line = client:receive(), headers = {} }
        for line in function() return client:receive() end do
          local name, value = line:match "^([^:]+): *(.*)"
          if not name then break end
          request.headers[name:lower()] = value
        end
        request.body = client:receive(tonumber(request.headers["content-length"] or 0))
        requests[#requests + 1] = request
        client:send(("HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):format(
          statuses[#requests] or 204))
        client:close()
      end
      return requests[n]
    end, timeout, "request " .. n), requests
  end
end

describe("an alert by webhook", function()
  it("is JSON, or what Discord and Slack take", function()
    local port, take = http_server {}
    local bot = Bot.new(head .. ([[
      local url = "http://127.0.0.1:%d"
      crier.alert { name = "m", when = { match = { text = crier.like "@every%%" } }, to = {
        { webhook = crier.secret.env "HOOK", headers = { Authorization = crier.secret.env "AUTH" } },
        { webhook = url .. "/api/webhooks/1/b", format = "discord" },
        { webhook = url .. "/services/c", format = "slack" } } }
    ]]):format(port) .. on_start [[ crier.log.error("@everyone <!channel> & " .. ("🚀"):rep(1500)) ]])
    finally(function() bot:close() end)
    bot:start({}, { env = { HOOK = "http://127.0.0.1:" .. port .. "/geheim", AUTH = "Bearer geheim" } })
    local _, requests = take(3)
    local by = {}
    for _, request in ipairs(requests) do by[request.line:match "^POST (%S+)"] = request end
    local plain = cjson.decode(by["/geheim"].body)
    assert.equal("m", plain.alert)
    assert.equal("firing", plain.state)
    assert.equal("log", plain.record.kind)
    assert.equal("Bearer geheim", by["/geheim"].headers.authorization)
    assert.equal("application/json", by["/geheim"].headers["content-type"])
    local discord = cjson.decode(by["/api/webhooks/1/b"].body)
    assert.same({}, discord.allowed_mentions.parse)
    assert.match('"parse":%[%]', by["/api/webhooks/1/b"].body)
    local units = 0
    for _, c in utf8.codes(discord.content) do units = units + (c > 0xffff and 2 or 1) end
    assert.is_true(units <= 2000 and units > 1400, units)
    local slack = cjson.decode(by["/services/c"].body)
    assert.match("@everyone &lt;!channel&gt; &amp; ", slack.text)
    bot.process:stop()
    for _, name in ipairs(bot:files()) do
      if not name:match "bot.lua$" then assert.is_nil(bot:read(name):find("geheim", 1, true), name) end
    end
  end)

  it("says it when more wait than it keeps", function()
    local bot = Bot.new(head .. [[
      crier.alert { name = "m", when = { match = { level = "error", kind = "log" } }, dedupe = false, rate = false,
        to = { webhook = "http://127.0.0.1:9/" } }
    ]] .. on_start [[ for i = 1, 203 do crier.log.error "x" crier.sleep(0.002) end ]])
    finally(function() bot:close() end)
    bot:start()
    bot.process:wait_line("more than 200 notices wait for webhook at 127.0.0.1: the oldest are given up", nil, "err")
    bot:wait_record(function(r) return r.what == "alert.target" and r.text:find "^more than 200" end)
    proc.wait_for(function() return bot:crier({ "alerts", "bot.lua" }).out:find "200 waiting, 3 given up" end)
  end)

  it("tells what a sink says in no UTF-8 as well", function()
    local port, take = http_server {}
    local bot = Bot.new(head .. ([[
      local down = crier.sink.custom { name = "dn", retry = { times = 1, delay = "10ms" },
        write = function() return nil, "caf\xe9 " end }
      crier.route { match = { text = "x" }, to = down }
      crier.alert { name = "down", when = { sink = "dn" }, to = { webhook = "http://127.0.0.1:%d/" } }
    ]]):format(port) .. on_start [[ crier.log.error "x" ]])
    finally(function() bot:close() end)
    bot:start()
    local _, requests = take(1)
    assert.match("^sink 'dn' is down: caf\239\191\189", cjson.decode(requests[1].body).text)
  end)

  it("is tried again when it does not arrive, and given up when it is refused", function()
    local port, take = http_server { 500, 204, 400 }
    local bot = Bot.new(head .. ([[
      crier.alert { name = "m", when = { match = { text = "x" } }, dedupe = false, to = { webhook = "http://127.0.0.1:%d/" } }
    ]]):format(port) .. on_start [[ crier.log.error "x" ]])
    finally(function() bot:close() end)
    bot:start()
    take(1)
    bot.process:wait_line("webhook at 127.0.0.1 does not arrive: it answers 500; it is tried again", nil, "err")
    assert.match("webhook at 127.0.0.1: 0 sent, 1 waiting, 0 given up: it answers 500",
      bot:crier({ "alerts", "bot.lua" }).out)
    assert.equal(0, bot:crier({ "reload", "bot.lua" }).code) -- the new script tries at once
    take(2)
    bot:wait_record(function(r) return r.text == "alert to webhook at 127.0.0.1 arrives again" end)
    bot:write("bot.lua", bot:read "bot.lua" .. 'crier.on("reload", function() crier.log.error "x" end)')
    bot:crier { "reload", "bot.lua" }
    take(3)
    bot.process:wait_line("it answers 400; it is given up", nil, "err")
  end)

  it("goes to this machine only in the simulator", function()
    local _, r = run([[
      crier.alert { when = { match = { text = "x" } }, to = { { webhook = "https://ops.example.com/x" },
        { mail = "a@example.com", from = "b@example.com", server = "smtp://mail.example.com" } } }
    ]] .. on_start [[ crier.log.error "x" ]])
    assert.match("webhook at ops.example.com does not arrive: refused in %-%-sim: [^\n]+; it is given up", r.err)
    assert.match("mail to a@example.com does not arrive: refused in %-%-sim", r.err)
  end)
end)

describe("an alert in Discord", function()
  it("goes to a channel and to a user, and pings nobody", function()
    local _, r = run([[
      crier.bot { token = crier.secret.env "T" }
      crier.alert { name = "m", when = { match = { text = crier.like "@%" } }, to = { { channel = "978332728615378984" },
        { dm = 145196308985020416 } } }
    ]] .. on_start [[ crier.log.error "@everyone look" ]], { "--for", "800ms", "--transcript" })
    local _, n = r.out:gsub("m firing: bot: @everyone look", "")
    assert.is_true(n >= 2, r.out)
    assert.is_nil(r.err:find "does not arrive")
  end)

  it("is tried again where it may not write at present", function()
    local bot = Bot.new(head .. [[
      crier.bot { token = crier.secret.env "T" }
      crier.alert { when = { match = { text = "x" } }, to = { channel = "5" } }
    ]] .. on_start [[ crier.log.error "x" ]], { ["world.json"] = '{ "guilds": [ { "id": "1", "channels": [ ' ..
      '{ "id": "5", "name": "c", "deny": [ "SEND_MESSAGES" ] } ] } ] }' })
    finally(function() bot:close() end)
    local r = bot:run { "--for", "600ms", "--world", "world.json" }
    assert.match("alert to channel 5 does not arrive: 403 50013[^\n]+; it is tried again", r.err)
  end)
end)

describe("check", function()
  local function check(text, opt)
    local bot = Bot.new('local crier = require "crier"\n' .. text)
    finally(function() bot:close() end)
    return bot:check(nil, opt).out
  end

  it("names what is wrong with an alert", function()
    local out = check [[
crier.alert { when = "sever", to = print }
crier.alert { name = "a", when = { unfinished = "10", failures = 2, comon = 3 }, to = {} }
crier.alert { name = "b", when = { failures = 1.5, least = 0 }, to = { mial = "x" } }
crier.alert { name = "b", when = { sink = "fils" }, to = { mail = "x", server = "http://h", from = "y" }, rate = "9" }
crier.alert { name = "c", when = { common = 5, least = 3 }, to = { channel = 1.5 } }
crier.alert { name = "d", when = { match = 3 }, to = { webhook = "ftp://x" } }
crier.alert { name = "e", when = {}, to = { dm = "1", bto = 1 } }
crier.sink.jsonl { name = "files", path = "f" }
]]
    for _, line in ipairs {
      [[bot.lua:2:15: alert: option 'when' must be "severe", a table or a function, got the string "sever"]],
      [[bot.lua:3:%d+: .*expected a duration such as]],
      [[bot.lua:3:%d+: alert 'a': unknown option 'comon' %(did you mean 'common'%?%)]],
      [[alert 'a': option 'to' does not say who is told]],
      [[bot.lua:4:%d+: alert 'b': option 'failures' must be at least 0 and below 1, got 1.5]],
      [[bot.lua:4:%d+: alert 'b': option 'least' must be at least 1]],
      [[bot.lua:4:%d+: alert 'b': option 'to' does not say who is told, got a table]],
      [[bot.lua:5:%d+: alert 'b': there is an alert 'b' already %(line 4%)]],
      [[bot.lua:5:%d+: alert 'b': there is no sink 'fils' %(did you mean 'files'%?%)]],
      [[bot.lua:5:%d+: alert 'b': option 'server' must begin with smtp:// or smtps://]],
      [[bot.lua:5:%d+: alert 'b': option 'mail': "x" is not an e%-mail address]],
      [[bot.lua:5:%d+: alert 'b': option 'rate' must be a number of notices and a time]],
      [[bot.lua:6:%d+: alert 'c': 'least' goes with failures only]],
      [[bot.lua:6:%d+: alert 'c': .*is a float]],
      [[bot.lua:7:%d+: alert 'd': option 'match' must be a table of conditions or a function]],
      [[bot.lua:7:%d+: alert 'd': option 'webhook' must begin with http:// or https://]],
      [[bot.lua:8:%d+: alert 'e': option 'when' says no condition]],
      [[bot.lua:8:%d+: alert 'e': unknown option 'bto' %(did you mean 'bot'%?%)]],
    } do
      assert(out:find(line), line .. "\n---\n" .. out)
    end
  end)

  it("warns of secrets that are not set and of what never fires", function()
    local out = check [[
crier.alert { when = { match = { kind = "message" } }, to = { webhook = crier.secret.env "CRIER_NO_HOOK" } }
crier.alert { name = "pw", when = "severe", to = { mail = "a@b.c", from = "a@b.c", server = "smtp://h.example", user = "u",
  password = "geheim", starttls = "off" } }
crier.alert { name = "bots", when = "severe", to = { channel = "1" } }
]]
    assert.match("warning: alert 'match': option 'webhook': the environment variable CRIER_NO_HOOK is not set", out)
    assert.match("warning: alert 'match': it is about messages, and the script declares none", out)
    assert.match("warning: alert 'pw': option 'password' is written in the script itself", out)
    assert.match("warning: alert 'pw': the password may go over the network as it is", out)
    assert.match("alert 'bots': a channel or a user is told by a bot, and there is none", out)
    assert.match("3 alerts\n", out)
    assert.is_nil(out:find("geheim", 1, true))
  end)
end)
