-- SPDX-License-Identifier: MIT
-- The host in numbers: `crier metrics`, and GET /metrics on the control socket.
local World = require "spec.support.world"
local proc = require "spec.support.proc"
local prometheus = require "spec.support.prometheus"

local HEAD = [[local crier = require "crier"
local one = crier.bot { name = "one", token = crier.secret.env "SPEC_TOKEN" }
]]

describe("the metrics", function()
  local w
  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local function curl(...)
    local at = w:path ".crier/sim/"
    local elsewhere = io.open(at .. "control.path")
    local path = elsewhere and elsewhere:read "l" or at .. "control.sock"
    if elsewhere then elsewhere:close() end
    return proc.run { "curl", "-sS", "--max-time", "60", "--unix-socket", path, ... }
  end

  local function page()
    local r = curl "http://localhost/metrics"
    assert.equal(0, r.code, r.err)
    return prometheus.parse(r.out), r.out
  end

  local function until_(what)
    return proc.wait_for(function()
      local p = page()
      return what(p) and p
    end, 60)
  end

  it("are a page of HTTP on the control socket, and the command's output", function()
    w = World.new { script = World.script [[channels = { "201" }, name = "m", period = "1h", data = "x"]] }
    w:up()
    w:wait_messages("201", 1)
    local r = curl("-i", "http://localhost/metrics")
    local head, body = r.out:match "^(.-\r\n\r\n)(.*)$"
    assert.matches("^HTTP/1.1 200 OK\r\n", head)
    assert.matches("\r\nContent%-Type: text/plain; version=0.0.4\r\n", head)
    assert.matches("\r\nConnection: close\r\n", head)
    assert.equal(#body, tonumber(head:match "Content%-Length: (%d+)\r\n"))
    local names = {}
    for name in pairs(prometheus.parse(body).families) do names[#names + 1] = name end
    for name in pairs(prometheus.parse(w:crier({ "metrics", "bot.lua" }).out).families) do
      assert(prometheus.parse(body).families[name], name)
      names[#names] = nil
    end
    assert.same({}, names)

    r = curl("-I", "http://localhost/metrics")
    assert.matches("^HTTP/1.1 200 OK\r\n", r.out)
    assert.matches("\r\n\r\n$", r.out)
    local function status(...) return curl("-o", w:path "body", "-w", "%{http_code}", ...).out end
    assert.equal("404", status "http://localhost/")
    assert.equal("there is only /metrics here\n", w:read "body")
    assert.equal("405", status("-d", "x", "http://localhost/metrics"))
    assert.equal("431", status("-H", "X: " .. ("x"):rep(20000), "http://localhost/metrics"))
    assert.equal("200", status("--http1.0", "http://localhost/metrics?x=y"))
    assert.equal("ready", w:status().bots[1].state)
  end)

  it("count sends, retries, waits and refusals", function()
    w = World.new { limits = true, script = World.script [[channels = { "201" }, name = "m", period = "100ms", data = "x"]] }
    w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 502 }
    w:up()
    local m = { bot = "bot", guild = "100", message = "m" }
    -- Five in five seconds is what a channel takes: the sixth waits.
    local p = until_(function(p) return p.value("crier_message_wait_seconds_total", m) > 0.2 end)
    assert.is_true(p.value("crier_sends_total", { result = "sent" }) >= 1)
    assert.equal(1, p.value("crier_message_retries_total", m))
    assert.is_true(p.value("crier_message_requests_total", m) >= 2)
    m.result = "failed"
    assert.equal(0, p.value("crier_message_sends_total", m))
    local bot = { bot = "bot" }
    assert.equal(1, p.value("crier_bot_ready", bot))
    assert.equal(1, p.value("crier_bot_retries_total", bot))
    assert.is_true(p.value("crier_bot_wait_seconds_total", bot) > 0.2)
    assert.equal(0, p.value("crier_bot_rate_limited_total", bot))
    assert.equal(0, p.value("crier_bot_breaker_open", bot))
    assert.is_true(p.value("crier_bot_request_seconds_count", bot) >= 2)
    assert.is_true(p.value("crier_bot_outcomes_total", { bot = "bot", outcome = "sent" }) >= 1)
    assert.is_true(p.value("crier_sink_written_total", { sink = "console" }) >= 1)
    assert.is_true(p.value("crier_sink_accepted_total", { sink = "console" }) >= 1)
    assert.equal(0, p.value("crier_sink_dropped_total", { sink = "console" }))
    assert.equal(0, p.value("crier_sink_down", { sink = "console" }))
    assert.is_number(p.value("crier_sink_queued", { sink = "console" }))
    assert.equal(1, #p.families.crier_info.samples)
  end)

  it("show the breaker, and what each scope of 429 was", function()
    w = World.new { script = World.script [[channels = { "201" }, name = "m", period = "100ms", data = "x"]] }
    w:up()
    w:wait_messages("201", 1)
    for _, scope in ipairs { "shared", "user" } do
      w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 429, scope = scope,
        retry_after = 0.1, times = 1 }
      until_(function(p)
        return p.value(scope == "shared" and "crier_bot_rate_limited_shared_total"
          or "crier_bot_rate_limited_total", { bot = "bot" }) == 1
      end)
    end
    w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 429, body = "error code: 1015" }
    local p = until_(function(p) return p.value("crier_bot_breaker_open", { bot = "bot" }) == 1 end)
    assert.is_true(p.value("crier_bot_resting_seconds", { bot = "bot" }) > 500)
    assert.equal(1, p.value("crier_bot_rate_limited_shared_total", { bot = "bot" }))
    assert.is_true(p.value("crier_bot_refused_10min", { bot = "bot" }) >= 1)
  end)

  it("keep apart what is named alike, whatever the names are", function()
    w = World.new { script = HEAD .. [[
      local second = crier.bot { name = "two", token = crier.secret.env "SPEC_TOKEN" }
      local function msgs()
        return { crier.TextMESSAGE { name = 'a"b\\c', channels = { "201" }, period = "1h", data = "x" } }
      end
      crier.GUILD { bot = one, snowflake = "100", messages = msgs() }
      crier.GUILD { bot = second, snowflake = "100", messages = msgs() }
      crier.task { name = 't"\\', start = crier.every "1h", run = function() error "no" end }
      crier.task { name = "by hand", run = function() end }
      ]] }
    w:up()
    w:wait_messages("201", 2)
    local p = until_(function(p)
      return p.value("crier_task_last_seconds", { task = 't"\\', action = "fail" })
    end)
    for _, bot in ipairs { "one", "two" } do
      assert.is_number(p.value("crier_message_sends_total",
        { bot = bot, guild = "100", message = 'a"b\\c', result = "sent" }))
    end
    assert.equal(1, p.value("crier_task_fails_in_a_row", { task = 't"\\' }))
    assert.equal(0, p.value("crier_task_running", { task = "by hand" }))
    assert.equal(2, p.value "crier_tasks")
    assert.is_true(p.value("crier_task_actions_total", { action = "fail" }) >= 1)
    assert.is_nil(p.value("crier_task_last_seconds", { task = "by hand", action = "run" }))
  end)

  it("tell of gateways", function()
    w = World.new { script = HEAD .. [[crier.on("guild.join", function() end)]] }
    w:up()
    w:wait_record(function(r) return r.what == "gateway.ready" end)
    local shard = { bot = "one", shard = "0" }
    local p = until_(function(p) return p.value("crier_gateway_guilds", { bot = "one" }) == 1 end)
    assert.is_true(p.value("crier_gateway_events_total", shard) >= 1)
    assert.equal(1, p.value("crier_gateway_identifies_total", shard))
    assert.equal(1, p.value("crier_gateway_state", { bot = "one", shard = "0", state = "ready" }))
    assert.equal(0, p.value("crier_gateway_state", { bot = "one", shard = "0", state = "stopped" }))
    assert.equal(0, p.value "crier_gateway_events_dropped_total")
  end)

  it("have a bound, however much a script declares", function()
    w = World.new { script = HEAD .. [[
      local list = {}
      for i = 1, 1005 do
        list[i] = crier.TextMESSAGE { name = "m" .. i, channels = { "201" }, period = "1d", start_in = "1h", data = "x" }
      end
      crier.GUILD { snowflake = "100", messages = list }
      for i = 1, 1003 do crier.task { name = "t" .. i, run = function() end } end
      ]] }
    w:up()
    local p = page()
    assert.equal(1005, p.value "crier_messages")
    assert.equal(3 * 1001, #p.families.crier_message_sends_total.samples)
    assert.equal(1001, #p.families.crier_task_running.samples)
    assert.equal(0, p.value("crier_message_sends_total", { bot = "", guild = "", message = "(others)", result = "sent" }))
    assert.equal(0, p.value("crier_task_running", { task = "(others)" }))
  end)
end)
