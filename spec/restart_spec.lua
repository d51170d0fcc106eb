-- SPDX-License-Identifier: MIT
-- What survives the end of the process, in order or by kill -9, and who may use a state folder.
local socket = require "socket"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local script = World.script
local C1 = [[channels = { "201" }]]
local DUE = [[data = function(ctx) return ("%.6f"):format(ctx.due) end]]

describe("a restart", function()
  local w

  local function world(opt)
    w = World.new(opt)
    return w
  end

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local function wait_sent(n)
    return proc.wait_for(function()
      local m = w:message_status "m"
      return m and m.sent >= n and m
    end, nil, function() return ("%d sends: %s"):format(n, w.process:err()) end)
  end

  -- The due times in a channel: each once, all of them on the period's grid.
  local function assert_grid(texts, period)
    local seen = {}
    for i, said in ipairs(texts) do
      assert.is_nil(seen[said], "twice: " .. said)
      seen[said] = true
      local n = (tonumber(said) - tonumber(texts[1])) / period
      assert.near(math.floor(n + 0.5), n, 1e-3, "send " .. i)
    end
  end

  it("edits the same message", function()
    world { script = script [[channels = { "201", "202" }, name = "m", mode = "edit",
      period = "100ms", data = "x"]] }
    for i = 1, 3 do
      w:up()
      wait_sent(2 * i)
      if i == 2 then w:kill() else assert.equal(0, w:down()) end
    end
    assert.equal(1, #w:messages(1))
    assert.equal(1, #w:messages(2))
    assert.equal(2, w:stats().creates)
  end)

  it("clear-send deletes the message of the run before", function()
    world { script = script(C1 .. [[, name = "m", mode = "clear-send", period = "150ms",
      data = "x"]]) }
    for i = 1, 3 do
      w:up()
      wait_sent(2 * i)
      if i == 2 then w:kill() else assert.equal(0, w:down()) end
    end
    assert.equal(1, #w:messages(1))
    local stats = w:stats()
    assert.equal(stats.creates - 1, stats.deletes)
  end)

  it("keeps due times: what fell due meanwhile is skipped and counted, no burst", function()
    world { script = script(C1 .. [[, name = "m", period = "200ms", start_in = "300ms", ]] .. DUE) }
    w:up()
    wait_sent(2)
    w:down()
    local before = #w:messages(1)
    local down = socket.gettime()
    proc.wait_for(function() return socket.gettime() > down + 0.9 end)
    w:up()
    w:wait_messages(1, before + 3)
    local m = w:message_status "m"
    w:down()
    local texts = w:texts(1)
    assert_grid(texts, 0.2)
    local missed = math.floor((tonumber(texts[before + 1]) - tonumber(texts[before])) / 0.2 + 0.5) - 1
    assert.is_true(missed >= 3, missed)
    assert.is_true(m.skipped >= missed, m.skipped)
    local told = World.select(World.parse(w.last_out), function(r) return r.skipped end)
    assert.equal("the host was down", told[1].skipped)
    local down_for = told[1].occurrences or 1 -- a slow machine may be late with more
    assert.is_true(down_for >= 3 and down_for <= missed, down_for)
    -- The skip comes first, and knows the guild's name: it may name the day's file.
    assert.equal("guild", told[1].guild.name)
    assert.equal(1, #w:days())
  end)

  it("counters and the progress of remove_after go on; a changed one revives", function()
    local text = script([[channels = { "201", "202" }, name = "m", period = "100ms",
      remove_after = COUNT, data = "x"]])
    world { script = text:gsub("COUNT", "6") }
    w:up()
    wait_sent(3)
    w:kill()
    w:up()
    local m = proc.wait_for(function()
      local m = w:message_status "m"
      return m.ended and m
    end)
    assert.equal(6, m.sent)
    assert.equal(6, #w:messages(1))
    w:down()
    w:up()
    m = w:message_status "m"
    assert.same({ 6, true }, { m.sent, m.ended })
    w:down()
    w:write("bot.lua", (text:gsub("COUNT", "8")))
    w:up()
    proc.wait_for(function() return w:message_status("m").ended end)
    assert.equal(8, #w:messages(1))
    assert.equal(8, #w:messages(2))
  end)

  it("sequence numbers of records go on, also after kill -9", function()
    world { script = script(C1 .. [[, name = "m", period = "100ms", data = "x"]]) }
    local last = 0
    for i = 1, 3 do
      w:up()
      wait_sent(2 * i)
      if i == 2 then w:kill() else w:down() end
      for _, r in ipairs(World.parse(w.last_out)) do
        assert.is_true(r.seq > last)
        last = r.seq
      end
    end
  end)

  describe("after kill -9", function()
    it("at thirty random moments: no message twice, each run goes on, counters hold", function()
      local text = script(C1 .. [[, name = "m", period = "PERIOD", ]] .. DUE)
      world { script = text:gsub("PERIOD", "100ms") }
      -- Answers take a while, so that many a kill falls between a create and its answer.
      w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 0.03, times = -1 }
      math.randomseed(20260101)
      for _ = 1, 30 do
        w:start()
        local had = #w:messages(1)
        proc.wait_for(function() return #w:messages(1) > had end)
        socket.sleep(math.random() * 0.15)
        w:kill()
      end
      w:clear_faults()
      w:up()
      w:wait_messages(1, #w:messages(1) + 2)
      w:down()
      w:write("bot.lua", (text:gsub("PERIOD", "1h"))) -- nothing more is sent
      w:up()
      local m = w:message_status "m"
      local texts = w:texts(1)
      w:down()
      assert_grid(texts, 0.1)
      assert.is_true(#texts >= 30)
      assert.equal(#texts, m.sent)
      assert.equal(0, m.failed)
      for _, day in ipairs(w:days()) do
        for _, e in ipairs(day.doc.message_history) do assert.is_truthy(e.index) end
      end
    end)

    for _, mode in ipairs { "send", "edit", "clear-send" } do
      it("between a create and its answer: one message in the end (" .. mode .. ")", function()
        world { script = script([[channels = { "201", "202" }, name = "m", mode = "]] .. mode ..
          [[", period = "1h", ]] .. DUE) }
        w:fault { match = "POST /channels/202/messages", ["do"] = "delay", delay = 20 }
        w:up()
        w:wait_messages(1, 1)
        w:wait_messages(2, 1)
        w:kill()
        w:up()
        local r = w:wait_record(function(r) return r.kind == "message" end)
        assert.is_true(r.ok)
        assert.equal(2, #r.channels.successful)
        assert.equal(1, #w:messages(1))
        assert.equal(1, #w:messages(2))
        assert.equal(1, w:message_status("m").sent)
        assert.equal(1, #w:of_kind())
        -- And it is not taken up once more.
        w:down()
        w:up()
        assert.is_false(w:message_status("m").sending)
        assert.equal(1, w:message_status("m").sent)
        assert.equal(1, #w:messages(2))
      end)
    end

    it("between opening a DM and its answer, and a create and its answer", function()
      world { script = ([[
        local crier = require "crier"
        crier.bot { token = crier.secret.env "SPEC_TOKEN" }
        crier.USER { snowflake = "301", logging = true, messages = {
          crier.DirectMESSAGE { name = "m", mode = "edit", period = "1h", %s } } }
      ]]):format(DUE) }
      w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 20 }
      w:up()
      w:wait_messages("ann", 1)
      w:kill()
      w:up()
      local r = w:wait_record(function(r) return r.kind == "message" end)
      assert.is_true(r.success_info.success)
      assert.equal(1, #w:messages "ann")
    end)

    it("while a message is deleted and sent anew", function()
      world { script = script(C1 .. [[, name = "m", mode = "clear-send", period = "300ms",
        data = function(ctx) return ("%.6f"):format(ctx.due) end]]) }
      w:up()
      wait_sent(1)
      w:fault { match = "DELETE /channels/*/messages/*", ["do"] = "delay", delay = 20 }
      proc.wait_for(function() return #w:messages(1) == 0 end)
      w:kill()
      w:up()
      wait_sent(2)
      w:down()
      assert.equal(1, #w:messages(1))
    end)

    it("a state that was stored is there: crier.state of a finished callback", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms", data = function()
        st.n = st.n + 1 return tostring(st.n) end]], [[st = crier.state("s", { n = 0 })]]) }
      local seen = 0
      for _ = 1, 5 do
        w:start()
        w:wait_messages(1, seen + 2)
        w:kill()
        local texts = w:texts(1)
        -- A count may come twice, when the power went before it was stored; it never falls back
        -- by more than what was under way.
        assert.is_true(tonumber(texts[#texts]) >= seen, table.concat(texts, " "))
        seen = #texts
      end
    end)
  end)
end)

describe("the state folder", function()
  local w

  before_each(function()
    w = World.new { script = script(C1 .. [[, name = "m", period = "100ms", data = "x"]]) }
  end)

  after_each(function() w:close() end)

  it("serves one host: a second one exits with 75 and names the first", function()
    w:up()
    local r = w:crier({ "run", "bot.lua", "--sim-url", w:url() },
      { env = { SPEC_TOKEN = "good.bot.token" } })
    assert.equal(75, r.code)
    assert.is_truthy(r.err:find(("in use by pid %d"):format(w:status().pid), 1, true), r.err)
    w:wait_messages(1, #w:messages(1) + 2)
    -- Another folder is another bot.
    r = w:crier({ "run", "bot.lua", "--sim-url", w:url(), "--state", "other", "--for", "200ms" },
      { env = { SPEC_TOKEN = "good.bot.token" } })
    assert.equal(0, r.code)
    w:kill()
    -- A dead one's lock is nobody's.
    w:up()
    assert.equal(0, w:down())
  end)

  local function damaged(name, fault)
    it(name .. ": exit code 78, and the file is kept as it is", function()
      w:up()
      w:wait_messages(1, 1)
      w:down()
      local path = w:path ".crier/sim/state.db"
      fault(path)
      local before, sent = proc.read(path), #w:messages(1)
      local p = w:start()
      assert.equal(78, p:wait())
      assert.is_truthy(p:err():find("state.db", 1, true), p:err())
      assert.is_truthy(p:err():match "move", p:err())
      assert.equal(before, proc.read(path))
      assert.equal(sent, #w:messages(1))
      -- As it says: moved away, it starts afresh.
      assert(os.rename(path, path .. ".bad"))
      w:up()
      assert.equal(0, w:down())
    end)
  end

  damaged("that is corrupt", function(path)
    proc.write(path, ("no database at all\n"):rep(500))
  end)
  damaged("that was cut off", function(path)
    proc.write(path, proc.read(path):sub(1, 5000))
  end)
  damaged("from a newer version", function(path)
    local r = proc.run { "sqlite3", path, "PRAGMA user_version = 999" }
    assert.equal(0, r.code, r.err)
  end)

  it("of the simulator is apart from the real one", function()
    w:write("bot.lua", [[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "SPEC_TOKEN", api = os.getenv "API" }
      crier.GUILD { snowflake = "100", logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { "201" }, period = "1h", mode = "edit", data = "x" } } }
    ]])
    w:start(nil, { plain = true })
    local first = w:wait_messages(1, 1)[1].id
    w:down()
    assert.is_true(proc.exists(w:path ".crier/state.db"))
    assert.is_false(proc.exists(w:path ".crier/sim/state.db"))
    w:start()
    w:wait_messages(1, 2) -- nothing is known of the first one
    assert.equal(0, w:down())
    assert.is_true(proc.exists(w:path ".crier/sim/state.db"))
    assert.equal(first, w:messages(1)[1].id)
    local r = w:crier({ "run", "bot.lua", "--sim", "--for", "200ms" })
    assert.equal(0, r.code)
    assert.equal(2, #w:messages(1))
  end)

  it("is where config.state or --state says", function()
    w:write("bot.lua", [[require "crier".config { state = "by/config" } ]] .. w:read "bot.lua")
    assert.equal(0, w:start({ "--for", "200ms" }):wait())
    assert.is_true(proc.exists(w:path "by/config/sim/state.db"))
    assert.equal(0, w:start({ "--for", "200ms", "--state", "by/hand" }):wait())
    assert.is_true(proc.exists(w:path "by/hand/sim/state.db"))
    assert.is_false(proc.exists(w:path ".crier"))
  end)
end)
