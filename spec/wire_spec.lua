-- SPDX-License-Identifier: MIT
-- The wire between the bot and Discord fails in every way there is: one message in the end, never
-- two; limits are kept; what cannot be sent is told with its reason.
local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local script, channel = World.script, World.channel
local C1 = [[channels = { "201" }]]
local DUE = [[data = function(ctx) return ("%.6f"):format(ctx.due) end]]
local CREATE = "POST /channels/*/messages"

describe("on the wire", function()
  local w

  local function world(opt)
    w = World.new(opt)
    return w
  end

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  -- Discord as another client sees it.
  local function discord(method, path, body)
    local out = {}
    local _, status = http.request {
      url = ("http://127.0.0.1:%d/api/v10%s"):format(w.port, path), method = method,
      headers = { authorization = "Bot other.bot.token", ["content-type"] = "application/json",
        ["user-agent"] = "DiscordBot (https://example.org, 1)", ["content-length"] = body and #body },
      source = body and ltn12.source.string(body), sink = ltn12.sink.table(out),
    }
    assert.equal(2, status // 100, table.concat(out))
  end

  local faults = {
    { "is closed before a create is executed", { ["do"] = "drop_before" } },
    { "is closed after a create is executed", { ["do"] = "drop_after" } },
    { "is cut in the middle of the answer to a create", { ["do"] = "cut" } },
    { "is reset", { ["do"] = "reset" } },
    { "refuses", { ["do"] = "refuse" } },
    { "answers 500", { ["do"] = "status", status = 500 } },
    { "answers 500 with the work done", { ["do"] = "status", status = 500, execute = true } },
    { "answers 502", { ["do"] = "status", status = 502, body = "<html>Bad Gateway</html>" } },
    { "answers 503", { ["do"] = "status", status = 503 } },
    { "answers 504 with the work done", { ["do"] = "status", status = 504, execute = true } },
  }

  it("whatever happens to a create, there is one message in the end", function()
    -- Each in a channel of its own, twice in a row, at the same time.
    local messages = {}
    for i = 1, #faults do
      messages[i] = ([[crier.TextMESSAGE { name = "m%d", channels = { "%s" }, period = "1h", %s }]])
        :format(i, channel(i), i % 3 == 0
          and [[data = { "with a file", crier.FILE { name = "a.txt", data = "bytes" } }]] or DUE)
    end
    world { channels = #faults, script = ([[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "SPEC_TOKEN" }
      crier.GUILD { snowflake = "100", logging = true, messages = { %s } }
    ]]):format(table.concat(messages, ",")) }
    for i, fault in ipairs(faults) do
      local f = { match = ("POST /channels/%s/messages"):format(channel(i)), times = 2 }
      for k, v in pairs(fault[2]) do f[k] = v end
      w:fault(f)
    end
    w:up()
    local by = {}
    proc.wait_for(function()
      local n = 0
      for _, r in ipairs(w:of_kind()) do by[r.name], n = r, n + 1 end
      return n >= #faults
    end, nil, function() return "all records: " .. w.process:out() end)
    assert.equal(0, w:down())
    for i, fault in ipairs(faults) do
      local r = by["m" .. i]
      assert.is_true(r.ok, fault[1] .. ": " .. cjson.encode(r))
      assert.equal(1, #w:messages(i), fault[1])
      if fault[2]["do"] == "status" then assert.equal(3, r.requests, fault[1]) end
    end
    assert.equal(#faults, #World.select(World.parse(w.last_out),
      function(r) return r.kind == "message" end))
  end)

  it("in a long run of failures nothing is doubled, and what got through is told so", function()
    world { script = script(C1 .. [[, name = "m", period = "300ms", ]] .. DUE) }
    for i = 1, 4 do
      for _, kind in ipairs { "drop_after", "reset", "cut", "delay" } do
        w:fault { match = CREATE, ["do"] = kind, times = 1, delay = kind == "delay" and 0.05 or nil }
      end
      w:fault { match = CREATE, ["do"] = "status", status = 500 + i % 3, execute = i % 2 == 0 }
    end
    w:up()
    w:wait_messages(1, 8)
    w:down()
    w:up() -- a send that the stop cut off is told now
    w:down()
    local seen = {}
    for _, said in ipairs(w:texts(1)) do
      assert.is_nil(seen[said])
      seen[said] = true
    end
    local told = {}
    for _, e in ipairs(w:days()[1].doc.message_history) do
      if e.sent_data and e.sent_data.text then
        assert.is_nil(told[e.sent_data.text])
        told[e.sent_data.text] = true
        assert.is_true(seen[e.sent_data.text])
        assert.equal(1, #e.channels.successful)
      end
    end
    for said in pairs(seen) do assert.is_true(told[said], said) end
  end)

  it("an edit and a delete are repeated, too", function()
    world { script = script(C1 .. [[, name = "e", mode = "edit", period = "200ms", remove_after = 3,
        data = function(ctx) return "no " .. ctx.sent end },
      crier.TextMESSAGE { name = "c", channels = { "202" }, mode = "clear-send", period = "200ms",
        remove_after = 3, data = function(ctx) return "no " .. ctx.sent end]]) }
    for _, match in ipairs { "PATCH /channels/*/messages/*", "DELETE /channels/*/messages/*" } do
      w:fault { match = match, ["do"] = "drop_after" }
      w:fault { match = match, ["do"] = "status", status = 503 }
    end
    w:up()
    proc.wait_for(function()
      return w:message_status("e").ended and w:message_status("c").ended
    end)
    assert.same({ "no 2" }, w:texts(1))
    assert.same({ "no 2" }, w:texts(2))
    assert.equal(0, w:message_status("e").failed + w:message_status("c").failed)
  end)

  for _, scope in ipairs { "user", "global", "shared" } do
    it("a 429 is obeyed: " .. scope, function()
      world { script = script(C1 .. [[, name = "a", period = "1h", data = "a" },
        crier.TextMESSAGE { name = "b", channels = { "202" }, period = "1h", start_in = "150ms",
          data = "b"]]) }
      w:fault { match = "POST /channels/201/messages", ["do"] = "status", status = 429,
        scope = scope, retry_after = 2 }
      local began = socket.gettime()
      w:up()
      w:wait_messages(2, 1)
      local other = socket.gettime() - began
      w:wait_messages(1, 1)
      assert.is_true(socket.gettime() - began >= 2)
      local r = w:wait_record(function(r) return r.name == "a" end)
      assert.is_true(r.ok)
      assert.equal(2, r.requests)
      assert.is_true(r.runtime >= 2)
      if scope == "global" then
        assert.is_true(other >= 2)
      else
        assert.is_true(w:wait_record(function(b) return b.name == "b" end).seq < r.seq)
      end
      assert.equal(1, w:stats().answers_429)
      -- One of the channel's whole audience is none of ours.
      assert.equal(scope == "shared" and 0 or 1, w:status().bots[1].hits_429)
      assert.equal(0, w:message_status("a").skipped) -- waiting is not being late
    end)
  end

  it("limits that were announced provoke no 429: thirty channels at five in five seconds", function()
    local ids = {}
    for i = 1, 30 do ids[i] = ("%q"):format(channel(i)) end
    world { limits = true, channels = 30, script = script(([[channels = { %s }, name = "m",
      period = "400ms", data = "x"]]):format(table.concat(ids, ","))) }
    w:up()
    w:wait_messages(30, 7)
    local stats = w:stats()
    assert.equal(0, stats.answers_429)
    assert.equal(0, w:status().bots[1].hits_429)
    assert.is_true(stats.creates >= 6 * 30)
    -- Two windows of five each: it did not hold back more than it had to.
    assert.is_true(w:status().up < 30)
    w.process:signal "TERM"
    w:wait_record(function(r) return r.what == "stop" end)
    w.process:signal "TERM"
    w.process:wait()
  end)

  describe("what somebody else deletes", function()
    for _, mode in ipairs { "edit", "clear-send" } do
      it("is sent anew: " .. mode, function()
        world { script = script(C1 .. [[, name = "m", period = "150ms", mode = "]] .. mode ..
          [[", data = function(ctx) return "no " .. ctx.sent end]]) }
        w:up()
        proc.wait_for(function()
          -- The moment is chance for clear-send: it may have gone meanwhile.
          local m = w:messages(1)[1]
          return m and pcall(discord, "DELETE", "/channels/201/messages/" .. m.id)
        end)
        local before = w:message_status("m").sent
        proc.wait_for(function() return w:message_status("m").sent >= before + 3 end)
        w:down()
        assert.equal(1, #w:messages(1))
        for _, r in ipairs(World.parse(w.last_out)) do
          if r.kind == "message" then assert.is_true(r.ok) end
        end
      end)
    end
  end)

  it("what cannot be sent is recorded with its reason, and not tried on end", function()
    world {
      world = {
        bots = { { token = "good.bot.token" } },
        guilds = { { id = "100", name = "guild", channels = {
          { id = "201", name = "closed", deny = { "SEND_MESSAGES" } },
          { id = "202", name = "hidden", deny = { "VIEW_CHANNEL" } },
          { id = "203", name = "plain", deny = { "EMBED_LINKS", "ATTACH_FILES" } },
          { id = "204", name = "open" } } } },
        users = { { id = "301", name = "shy", dms = false } },
      },
      script = [[
        local crier = require "crier"
        crier.bot { token = crier.secret.env "SPEC_TOKEN" }
        local function to(id, data)
          return crier.TextMESSAGE { name = "to " .. id, channels = { id }, period = "1h", data = data }
        end
        crier.GUILD { snowflake = "100", logging = true, messages = {
          to("201", "x"), to("202", "x"), to("203", { crier.FILE { name = "a", data = "b" } }),
          to("999", "x"), to("204", "x") } }
        crier.USER { snowflake = "301", logging = true, messages = {
          crier.DirectMESSAGE { name = "to 301", period = "1h", data = "x" } } }
      ]],
    }
    w:up()
    local by = {}
    proc.wait_for(function()
      local n = 0
      for _, r in ipairs(w:of_kind()) do by[r.name], n = r, n + 1 end
      return n >= 6
    end, nil, function() return w.process:out() end)
    local expected = { ["201"] = "403 50013", ["202"] = "403 50001", ["203"] = "403 50013",
      ["999"] = "404 10003" }
    for id, reason in pairs(expected) do
      local r = by["to " .. id]
      assert.is_false(r.ok)
      assert.equal("error", r.level)
      assert.equal(0, r.success_rate)
      assert.equal(1, r.requests)
      assert.equal(id, r.channels.failed[1].id)
      assert.is_truthy(r.channels.failed[1].reason:find(reason, 1, true), r.channels.failed[1].reason)
      assert.is_truthy(r.text:find(reason, 1, true))
    end
    assert.equal("closed", by["to 201"].channels.failed[1].name)
    assert.is_true(by["to 204"].ok)
    local dm = by["to 301"]
    assert.is_false(dm.success_info.success)
    assert.is_truthy(dm.success_info.reason:find("403 50007", 1, true))
    local status = w:status()
    assert.same({ 1, 5 }, { status.sent, status.failed })
    assert.equal("ready", status.bots[1].state)
    assert.equal(0, w:down())
    for _, day in ipairs(w:days()) do
      if day.doc.type == "USER" then
        assert.is_false(day.doc.message_history[1].success_info.success)
      end
    end
  end)

  it("an answer that is no JSON, or a success without a body, does no harm", function()
    world { script = script(C1 .. [[, name = "m", mode = "edit", period = "200ms", data = "x"]]) }
    w:fault { match = CREATE, ["do"] = "status", status = 400, body = "<html>no</html>" }
    w:fault { match = "PATCH /channels/*/messages/*", ["do"] = "status", status = 200, body = "what?" }
    w:fault { match = "GET /guilds/*", ["do"] = "status", status = 200, body = "[" }
    w:up()
    proc.wait_for(function()
      local m = w:message_status "m"
      return m and m.failed == 1 and m.sent >= 4
    end)
    assert.equal(0, w:down())
    assert.equal(1, #w:messages(1))
  end)

  describe("Discord is not there", function()
    it("at the start: sends wait, and go out when it comes", function()
      world { down = true, script = script(C1 .. [[, name = "m", period = "1h", data = "x" },
        crier.TextMESSAGE { name = "n", channels = { "202" }, period = "200ms", ]] .. DUE) }
      w:up()
      proc.wait_for(function() return (w:message_status("n") or {}).skipped or 0 >= 1 end)
      local status = w:status()
      assert.equal("connecting", status.bots[1].state)
      assert.is_true(w:message_status("m").sending)
      w:sim_start()
      w:wait_messages(1, 1)
      w:wait_messages(2, 3)
      assert.equal("ready", w:status().bots[1].state)
      assert.equal(0, w:down())
      assert.equal(1, #w:messages(1))
      local seen = {}
      for _, said in ipairs(w:texts(2)) do
        assert.is_nil(seen[said])
        seen[said] = true
      end
    end)

    it("at the start and at the stop: exit code 0, and the send is kept for the next start", function()
      world { down = true, script = script(C1 .. [[, name = "m", period = "1h", data = "x"]],
        [[crier.config { limits = { stop = "300ms" } }]]) }
      w:up()
      assert.equal(0, w:down())
      assert.is_true(#World.parse(w.last_out) >= 2)
    end)

    it("for a while in the middle: it goes on, edits what is gone anew", function()
      world { script = script(C1 .. [[, name = "m", period = "200ms", ]] .. DUE .. [[ },
        crier.TextMESSAGE { name = "e", channels = { "202" }, mode = "edit", period = "200ms",
          data = "edited"]]) }
      w:up()
      w:wait_messages(1, 2)
      w:sim_stop()
      proc.wait_for(function() return w:message_status("m").skipped >= 2 end)
      w:sim_start()
      w:wait_messages(1, 3)
      w:wait_messages(2, 1)
      local before = w:message_status("e").sent
      proc.wait_for(function() return w:message_status("e").sent >= before + 2 end)
      assert.equal(0, w:down())
      assert.equal(1, #w:messages(2))
      local seen = {}
      for _, said in ipairs(w:texts(1)) do
        assert.is_nil(seen[said])
        seen[said] = true
      end
    end)
  end)
end)
