-- SPDX-License-Identifier: MIT
-- Reload: a new generation is built, judged and swapped in; nothing is lost or doubled by it.
local cjson = require "cjson"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local script = World.script
local C1 = [[channels = { "201" }]]
local DUE = [[data = function(ctx) return ("%.6f"):format(ctx.due) end]]

describe("reload", function()
  local w

  local function world(opt)
    w = World.new(opt)
    return w
  end

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local function generation() return (w:status() or {}).generation end

  local function wait_generation(n)
    return proc.wait_for(function()
      local s = w:status()
      return s and s.generation >= n and s
    end, nil, function()
      return ("generation %d: %s %s"):format(n, cjson.encode(w:status() or {}), w.process:err())
    end)
  end

  -- Every due time of a fixed period was sent once, or (on a machine that is busy) skipped and told
  -- so: none lost, none doubled. After the end of the bot.
  local function assert_complete(name, texts, period)
    local missed, told = 0, 0
    for i = 2, #texts do
      local n = (tonumber(texts[i]) - tonumber(texts[i - 1])) / period
      assert.near(math.floor(n + 0.5), n, 1e-3, ("between send %d and %d"):format(i - 1, i))
      assert.is_true(n > 0.5, "send " .. i .. " is doubled")
      missed = missed + math.floor(n + 0.5) - 1
    end
    for _, r in ipairs(World.parse(w.last_out)) do
      if r.name == name and r.skipped then told = told + (r.occurrences or 1) end
    end
    assert.is_true(missed <= told, ("%d are missing, %d were skipped"):format(missed, told))
  end

  describe("is asked for", function()
    it("by crier reload, which prints the difference", function()
      world { script = script(C1 .. [[, name = "kept", period = "100ms", data = "k" },
        crier.TextMESSAGE { name = "other", channels = { "202" }, period = "1h", data = "o" },
        crier.TextMESSAGE { name = "gone", channels = { "202" }, period = "1h", data = "g"]],
        [[crier.sink.console {} crier.sink.json { name = "old", path = "Old" }
          crier.sink.json { name = "moved", path = "A" }]]) }
      w:up()
      local r = w:reload(script(C1 .. [[, name = "kept", period = "100ms", data = "k" },
        crier.TextMESSAGE { name = "other", channels = { "203" }, period = { "1h", "2h" },
          mode = "edit", remove_after = 3, start_in = "5s", data = "changed" },
        crier.TextMESSAGE { name = "new", channels = { "202" }, period = "1h", data = "n"]],
        [[crier.sink.console {} crier.sink.json { name = "new", path = "New" }
          crier.sink.json { name = "moved", path = "B" }]]))
      assert.equal(0, r.code)
      assert.equal("", (r.err:gsub("[^\n]*: note: [^\n]*\n", "")))
      local lines = {}
      for line in r.out:gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.is_truthy(lines[1]:match "^~ message other +every 1h %-> between 1h and 2h, " ..
        "mode send %-> edit, channels, remove_after, start_in, data$", lines[1])
      assert.is_truthy(lines[2]:match "^%+ message new +%(bot%.lua:%d+%)$", lines[2])
      assert.is_truthy(lines[3]:match "^%- message gone", lines[3])
      local rest = table.concat(lines, "\n", 4)
      assert.is_truthy(rest:find("+ sink new", 1, true))
      assert.is_truthy(rest:find("~ sink moved", 1, true))
      assert.is_truthy(rest:find("- sink old", 1, true))
      assert.is_nil((r.out:find("kept  ", 1, true)))
      assert.is_nil((rest:find("console", 1, true)))
      assert.is_truthy(lines[#lines]:match "^reloaded %x%x%x%x %-> %x%x%x%x in [%w%.]+: " ..
        "2 added, 2 changed, 2 removed, 2 kept$", lines[#lines])
      local record = w:wait_record(function(e) return e.what == "reload" end)
      assert.is_truthy(record.text:match "2 added, 2 changed, 2 removed, 2 kept")
      local status = w:status()
      assert.same({ 2, 1 }, { status.generation, status.reloads })
      r = w:crier { "reload", "bot.lua", "--json" }
      assert.equal(0, r.code)
      local json = cjson.decode(r.out)
      assert.same({ "", 0, 0, 0, 6 }, { json.diff, json.added, json.changed, json.removed, json.kept })
      assert.equal(json.from, json.to)
    end)

    it("by SIGHUP; hooks are told", function()
      local text = script(C1 .. [[, name = "m", period = "1h", data = "%s"]],
        [[crier.on("reload", function() crier.log.info "hook %s" end)]])
      world { script = text:format("one", "one"):gsub("%%s", "one") }
      w:up()
      w:write("bot.lua", (text:format("two", "two")))
      w.process:signal "HUP"
      w:wait_record(function(r) return r.text == "hook two" end)
      assert.equal(2, generation())
    end)

    it("by --watch: a file written, renamed over, and a module that the script requires", function()
      world { script = script(C1 .. [[, name = "m", period = "1h", data = "x"]],
        [[local word = require "words" crier.log.info("v1 " .. word)]]) }
      w:write("words.lua", [[return "one"]])
      w:up { "--watch" }
      w:wait_record(function(r) return r.text == "v1 one" end)
      w:write("bot.lua", (w:read("bot.lua"):gsub("v1", "v2")))
      w:wait_record(function(r) return r.text == "v2 one" end)
      w:write(".bot.lua.swp", (w:read("bot.lua"):gsub("v2", "v3")))
      assert(os.rename(w:path ".bot.lua.swp", w:path "bot.lua"))
      w:wait_record(function(r) return r.text == "v3 one" end)
      w:write("words.lua", [[return "two"]])
      w:wait_record(function(r) return r.text == "v3 two" end)
      -- As editors that move the old one away do.
      assert(os.rename(w:path "bot.lua", w:path "bot.lua~"))
      w:write("bot.lua", (w:read("bot.lua~"):gsub("v3", "v4")))
      w:wait_record(function(r) return r.text == "v4 two" end)
      assert.equal(5, generation())
      -- A file that the script does not know of changes nothing; neither does a save without change
      -- of the contents go unseen.
      w:write("notes.txt", "x")
      w:write("words.lua", [[return "three"]])
      w:wait_record(function(r) return r.text == "v4 three" end)
      assert.equal(6, generation())
    end)

    it("by --watch: what is saved while the last save is still loading counts too", function()
      -- Ends loading before the watch has settled again.
      local slow = [[local t = os.clock() while os.clock() - t < 0.15 do end crier.log.info "%s"]]
      local message = C1 .. [[, name = "m", period = "1h", data = "x"]]
      world { script = script(message, [[crier.log.info "first"]]) }
      w:up { "--watch" }
      local before = w:path "building"
      local function saved(word)
        return script(message, ([[local f = io.open(%q, "w") f:close() ]]):format(before) ..
          slow:format(word))
      end
      w:write("bot.lua", saved "second")
      proc.wait_for(function() return proc.exists(before) end) -- it is being evaluated
      w:write("bot.lua", script(message, [[crier.log.info "third"]]))
      w:wait_record(function(r) return r.text == "third" end)
    end)
  end)

  describe("keeps", function()
    it("the message that is edited, and its counters", function()
      local text = script(C1 .. [[, name = "m", mode = "edit", period = "100ms",
        data = function(ctx) return "V " .. ctx.sent end]])
      world { script = text:gsub("V", "a") }
      w:up()
      proc.wait_for(function() return w:stats().edits >= 2 end)
      for version in ("bcd"):gmatch "." do
        assert.equal(0, w:reload((text:gsub("V", version))).code)
        proc.wait_for(function() return w:texts(1)[1]:match("^" .. version) end)
      end
      w:down()
      local stats = w:stats()
      assert.equal(1, stats.creates)
      assert.same({ ("d %d"):format(stats.edits) }, w:texts(1))
    end)

    it("due times, over twenty reloads one after another", function()
      local text = script(C1 .. [[, name = "a", period = "100ms", ]] .. DUE .. [[ },
        crier.TextMESSAGE { name = "b", channels = { "202" }, period = "130ms", ]] .. DUE)
      world { script = text }
      w:up()
      w:wait_messages(1, 2)
      for i = 1, 20 do
        local r = w:reload(text .. "-- " .. i)
        assert.equal(0, r.code, r.err)
      end
      local n = #w:messages(1)
      w:wait_messages(1, n + 3)
      local status = w:status()
      w:down()
      assert.equal(21, status.generation)
      assert_complete("a", w:texts(1), 0.1)
      assert_complete("b", w:texts(2), 0.13)
    end)

    it("due times, over a storm of SIGHUPs", function()
      local text = script(C1 .. [[, name = "a", period = "100ms", ]] .. DUE)
      world { script = text }
      w:up()
      w:wait_messages(1, 1)
      proc.wait_for(function()
        for _ = 1, 50 do w.process:signal "HUP" end
        return (generation() or 0) > 5
      end)
      local n = #w:messages(1)
      w:wait_messages(1, n + 2)
      assert.equal(0, w:down())
      assert_complete("a", w:texts(1), 0.1)
    end)

    it("crier.state, also over a restart; bound arguments start anew", function()
      local text = script(C1 .. [[, name = "m", period = "100ms", data = get(numbers)]],
        [[local st = crier.state("counters", { n = 0, list = { "a" } })
          local numbers = {}
          for i = 1, 5000 do numbers[i] = i end
          local get = crier.data_function(function(ctx, bound)
            st.n = st.n + 1
            st.list[#st.list + 1] = st.n
            local first = table.remove(bound, 1)
            bound[#bound + 1] = first
            return ("%d %d %d V"):format(st.n, #st.list, first)
          end)]])
      world { script = text }
      w:up()
      w:wait_messages(1, 3)
      for i = 1, 2 do
        assert.equal(0, w:reload(text .. "-- " .. i).code)
        local n = #w:messages(1)
        w:wait_messages(1, n + 2)
      end
      w:down()
      w:up()
      local n = #w:messages(1)
      w:wait_messages(1, n + 2)
      w:down()
      local last, begun = 0, 0
      for i, said in ipairs(w:texts(1)) do
        local count, length, first = said:match "^(%d+) (%d+) (%d+)"
        assert.equal(i, tonumber(count))
        assert.equal(i + 1, tonumber(length))
        first = tonumber(first)
        if first == 1 then begun = begun + 1 else assert.equal(last + 1, first) end
        last = first
      end
      assert.equal(4, begun)
    end)

    it("what was = renames: counters, history and the message", function()
      local text = script(C1 .. [[, %s, mode = "edit", period = "100ms", remove_after = 8,
        data = function(ctx) return ctx.name .. " " .. ctx.sent end]])
      world { script = text:format [[name = "old"]] }
      w:up()
      proc.wait_for(function() return w:stats().edits >= 2 end)
      assert.equal(0, w:reload(text:format [[name = "new", was = "old"]]).code)
      local m = proc.wait_for(function()
        local m = w:message_status "new"
        return m and m.ended and m
      end)
      assert.equal(8, m.sent)
      assert.same({ "new 7" }, w:texts(1))
      assert.equal(1, w:stats().creates)
      -- The next start finds it by its new name, `was` still there.
      w:down()
      w:up()
      m = w:message_status "new"
      assert.same({ 8, true }, { m.sent, m.ended })
    end)

    it("sinks that are declared alike: their file goes on, their counters too", function()
      local text = script(C1 .. [[, name = "m", period = "100ms", data = "x"]],
        [[crier.sink.console {} crier.sink.json { name = "files", path = "P" }]])
      world { script = text }
      w:up()
      w:wait_messages(1, 3)
      local function files() for _, s in ipairs(w:status().sinks) do
        if s.name == "files" then return s end end end
      local before = files().accepted
      assert.is_true(before >= 2)
      assert.equal(0, w:reload(text .. "-- again").code)
      assert.is_true(files().accepted >= before)
      w:wait_messages(1, #w:messages(1) + 2)
      -- Another path is another sink.
      assert.equal(0, w:reload((text:gsub('path = "P"', 'path = "Q"'))).code)
      w:wait_messages(1, #w:messages(1) + 3)
      -- And then there is none.
      local had = #w:messages(1)
      local r = w:reload((text:gsub("crier.sink.json %b{}", "")))
      assert.is_truthy(r.out:find("- sink files", 1, true))
      local n = #w:messages(1)
      w:wait_messages(1, n + 2)
      w:down()
      local p, q = w:days "P", w:days "Q"
      assert.equal(1, #p)
      assert.equal(1, #q)
      local total = #w:messages(1)
      local in_p, in_q = p[1].doc.message_history, q[1].doc.message_history
      assert.equal(#in_p - 1, in_p[1].index)
      assert.equal(#in_q - 1, in_q[1].index)
      assert.is_true(#in_p + #in_q <= n + 1)
      assert.is_true(#in_p + #in_q >= had - 1)
      -- Nothing was lost between them: the records' numbers of the first go up to the second's.
      local ids = {}
      for _, list in ipairs { in_p, in_q } do
        for _, e in ipairs(list) do
          assert.is_nil(ids[e.record.id])
          ids[e.record.id] = true
        end
      end
      local console = World.select(World.parse(w.last_out), function(e) return e.kind == "message" and not e.skipped end)
      assert.equal(total, #console)
      for i = 1, #in_p + #in_q do assert.is_true(ids[console[i].id], "record " .. i) end
    end)
  end)

  it("a sink that is changed again and again loses nothing, though its records wait", function()
    local text = script(C1 .. [[, name = "m", period = "100ms", data = "x"]],
      [[crier.sink.console {} crier.sink.json { name = "files", path = "P", flush = "FLUSH" }]])
    world { script = text:gsub("FLUSH", "1500ms") }
    w:up()
    for i = 1, 5 do
      w:wait_messages(1, #w:messages(1) + 2)
      local r = w:reload((text:gsub("FLUSH", 1500 + i .. "ms")))
      assert.is_truthy(r.out:match "^~ sink files +reopened\n")
    end
    -- Two at once: the one in the middle has no time to begin.
    for i = 6, 8 do
      w:write("bot.lua", (text:gsub("FLUSH", 1500 + i .. "ms")))
      w.process:signal "HUP"
    end
    w:wait_messages(1, #w:messages(1) + 2)
    text = text:gsub("100ms", "1h")
    assert.equal(0, w:reload((text:gsub("FLUSH", "1600ms"))).code)
    proc.wait_for(function() return not w:message_status("m").sending end)
    assert.equal(0, w:reload((text:gsub("crier.sink.json %b{}", ""))).code) -- and it is gone
    assert.equal(0, w:down())
    local history, n = w:days("P")[1].doc.message_history, #w:messages(1)
    assert.equal(n, #history)
    for i, e in ipairs(history) do
      assert.equal(n - i, e.index)
      if i > 1 then assert.is_true(e.record.seq < history[i - 1].record.seq) end
    end
  end)

  it("a changed period takes effect from the last send", function()
    local text = script(C1 .. [[, name = "m", period = "PERIOD", ]] .. DUE)
    world { script = text:gsub("PERIOD", "1h") }
    w:up()
    local first = tonumber(w:wait_messages(1, 1)[1].content)
    assert.equal(0, w:reload((text:gsub("PERIOD", "300ms"))).code)
    w:wait_messages(1, 3)
    for i, said in ipairs(w:texts(1)) do
      local periods = (tonumber(said) - first) / 0.3
      assert.near(math.floor(periods + 0.5), periods, 1e-4, "send " .. i)
    end
    assert.equal(0, w:reload((text:gsub("PERIOD", "2h"))).code)
    local texts = w:texts(1)
    assert.near(tonumber(texts[#texts]) + 7200, w:message_status("m").due, 1e-3)
  end)

  describe("is refused", function()
    local good = script(C1 .. [[, name = "m", mode = "edit", period = "100ms", ]] .. DUE)
    local reasons = {
      { "a syntax error", good .. "\nlocal x = = 1", "bot%.lua:%d+.*unexpected symbol" },
      { "a runtime error", good .. "\nerror 'no luck'", "bot%.lua:%d+.*no luck" },
      { "an unknown option", (good:gsub("mode", "mdoe")), "unknown option 'mdoe'.*'mode'" },
      { "two messages of one name", (good:gsub("(crier%.TextMESSAGE.-\n)", "%1%1")),
        "a message of this name" },
      { "an endless loop", "require 'crier'.config { limits = { load = '300ms' } }\n" ..
        "while true do end", "300ms" },
      { "a sink that cannot open", good .. "\ncrier.sink.console {}\n" ..
        "crier.sink.json { name = 'files', path = 'bot.lua' }", "sink 'files'.*cannot open" },
      { "a module that is not there", good .. "\nrequire 'nowhere'", "nowhere" },
    }
    for _, reason in ipairs(reasons) do
      it("for " .. reason[1] .. ": the old one keeps running", function()
        world { script = good }
        w:up()
        proc.wait_for(function() return w:stats().edits >= 1 end)
        local r = w:reload("require 'crier'.log.error('from the refused one')\n" .. reason[2])
        assert.equal(78, r.code, r.out .. r.err)
        assert.is_truthy(r.err:match(reason[3]), r.err)
        assert.is_truthy(r.err:match "reload refused: config %x%x%x%x keeps running")
        assert.equal("", r.out)
        local failed = w:wait_record(function(e) return e.what == "reload.failed" end)
        assert.equal("error", failed.level)
        assert.is_truthy(failed.text:match(reason[3]), failed.text)
        local status = w:status()
        assert.is_truthy(status.last_error:match(reason[3]))
        assert.same({ 1, 0, 0 }, { status.generation, status.reloads, status.draining })
        -- What it logged is on stderr only.
        if reason[1] ~= "a syntax error" then
          proc.wait_for(function()
            return w.process:err():find("from the refused one", 1, true)
          end)
        end
        assert.is_nil((w.process:out():find("from the refused one", 1, true)))
        local n = w:stats().edits
        proc.wait_for(function() return w:stats().edits >= n + 2 end)
        -- A good one afterwards is taken, and the error is forgotten.
        assert.equal(0, w:reload(good .. "-- mended").code)
        assert.is_nil(w:status().last_error)
        proc.wait_for(function() return w:stats().edits >= n + 4 end)
        assert.equal(1, w:stats().creates)
        assert.equal(0, w:down())
      end)
    end

    it("for a secret that is not set any more", function()
      local text = [[
        local crier = require "crier"
        crier.bot { token = crier.secret.env "SPEC_TOKEN", api = os.getenv "API" }
        crier.GUILD { snowflake = "100", messages = {
          crier.TextMESSAGE { name = "m", channels = { "201" }, period = "100ms", data = "1" } } }
      ]]
      world { script = text }
      w:start(nil, { plain = true })
      w:wait_messages(1, 1)
      local r = w:reload((text:gsub("SPEC_TOKEN", "NOT_SET_AT_ALL")))
      assert.equal(78, r.code)
      assert.is_truthy(r.err:find("the environment variable NOT_SET_AT_ALL is not set", 1, true))
      w:wait_messages(1, #w:messages(1) + 2)
      assert.equal(0, w:down())
    end)
  end)

  describe("callbacks under way", function()
    local slow = [[data = function(ctx) crier.sleep "%s" crier.state("s").by = "old"
      return "slept" end]]

    it("end in their old generation; what they write to crier.state is dropped and told", function()
      world { script = script(C1 .. [[, name = "m", period = "1h", ]] .. slow:format "4s",
        [[crier.state("s", { by = "nobody" })]]) }
      w:up()
      assert.equal(0, w:reload(script(C1 .. [[, name = "m", period = "1h", data = "x" },
        crier.TextMESSAGE { name = "n", channels = { "202" }, period = "100ms", start_in = "1s",
          data = function() return st.by end]], [[st = crier.state("s", { by = "initial" })]])).code)
      assert.equal(1, w:status().draining)
      assert.equal("slept", w:wait_messages(1, 1)[1].content)
      local record = w:wait_record(function(r) return r.what == "state" end)
      assert.equal("warning", record.level)
      assert.is_truthy(record.text:match "crier%.state 's'.*generation 1.*dropped")
      assert.is_true(w:wait_record(function(r) return r.name == "m" end).ok)
      proc.wait_for(function() return w:status().draining == 0 end)
      assert.equal("nobody", w:wait_messages(2, 1)[1].content)
      assert.equal(1, w:message_status("m").sent)
      w:down()
      w:up()
      assert.equal("nobody", w:wait_messages(2, 2)[2].content)
    end)

    it("are ended when limits.drain is over", function()
      local text = script(C1 .. [[, name = "m", period = "100ms", ]] .. slow:format "1h",
        [[crier.config { limits = { drain = "400ms" } } crier.state("s", {})]])
      world { script = text }
      w:up()
      local r = w:reload(script(C1 .. [[, name = "m", period = "100ms", data = "new"]]))
      assert.equal(0, r.code)
      w:wait_record(function(e) return e.what == "reload.drain" end)
      w:wait_record(function(e) return e.name == "m" and e.skipped == "stopped" end)
      assert.equal("new", w:wait_messages(1, 2)[1].content)
      proc.wait_for(function() return w:status().draining == 0 end)
      assert.equal(0, w:down())
    end)

    it("at most three generations live", function()
      local text = script(C1 .. [[, name = "mN", period = "1h", ]] .. slow:format "60s",
        [[crier.state("s", {})]])
      world { script = text:gsub("mN", "m1") }
      w:up()
      for i = 2, 6 do
        assert.equal(0, w:reload((text:gsub("mN", "m" .. i))).code)
        proc.wait_for(function() return (w:message_status("m" .. i) or {}).sending end)
        proc.wait_for(function() return w:status().draining == math.min(i - 1, 2) end)
      end
      for i = 1, 3 do
        w:wait_record(function(r) return r.name == "m" .. i and r.skipped == "stopped" end)
      end
      local stopped = World.select(w:records(), function(r) return r.skipped == "stopped" end)
      assert.equal(3, #stopped)
      w.process:signal "TERM"
      w:wait_record(function(r) return r.what == "stop" end) -- or the two would be one
      w.process:signal "TERM"
      assert.equal(0, w.process:wait())
    end)
  end)

  it("bots: one with another token, one that is removed; what was under way ends", function()
    local text = [[
      local crier = require "crier"
      local one = crier.bot { name = "one", token = crier.secret.file "one.secret" }
      local two = crier.bot { name = "two", token = crier.secret.env "SPEC_TOKEN" }
      crier.GUILD { snowflake = "100", bot = one, logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { "201" }, period = "100ms", data = "x" } } }
      crier.USER { snowflake = "301", bot = two, messages = {
        crier.DirectMESSAGE { name = "d", period = "100ms", data = "x" } } }
    ]]
    world { script = text, files = { ["one.secret"] = "good.bot.token" } }
    w:up()
    w:wait_messages(1, 1)
    w:wait_messages("ann", 2)
    w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 0.4, times = 2 }
    w:wait_messages(1, #w:messages(1) + 1)
    w:write("one.secret", "other.bot.token")
    local r = w:reload((text:gsub("local two.-\n", ""):gsub("crier%.USER.*", "")))
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.out:find("- message d", 1, true))
    proc.wait_for(function()
      local got = w:messages(1)
      return got[#got].author.username == "second"
    end)
    local bots = w:status().bots
    assert.same({ 1, "one", "second", "ready" },
      { #bots, bots[1].name, bots[1].account, bots[1].state })
    local n = #w:messages "ann"
    w:wait_messages(1, #w:messages(1) + 4)
    assert.equal(n, #w:messages "ann")
    assert.equal(0, w:down())
    for _, record in ipairs(World.parse(w.last_out)) do
      if record.kind == "message" and not record.skipped then assert.is_true(record.ok) end
    end
  end)

  it("a token that Discord refuses does not end the host: the next reload may bring a good one", function()
    local text = [[
      local crier = require "crier"
      crier.bot { token = crier.secret.file "one.secret" }
      crier.GUILD { snowflake = "100", logging = true, messages = {
        crier.TextMESSAGE { name = "m", channels = { "201" }, period = "100ms", data = "x" } } }
    ]]
    world { script = text, files = { ["one.secret"] = "good.bot.token" } }
    w:up()
    w:wait_messages(1, 1)
    w:write("one.secret", "wrong.bot.token")
    assert.equal(0, w:reload(text).code)
    local refused = w:wait_record(function(r) return r.what == "bot.refused" end)
    assert.equal("critical", refused.level)
    assert.equal("refused", w:status().bots[1].state)
    w:wait_record(function(r) return r.name == "m" and r.ok == false end)
    w:write("one.secret", "good.bot.token")
    assert.equal(0, w:reload(text).code)
    w:wait_messages(1, #w:messages(1) + 2)
    assert.equal(0, w:down())
  end)

  it("asked for while one is being built: all are answered, the last file runs", function()
    local slow = [[local t = os.clock() while os.clock() - t < 1 do end crier.log.info "%s"]]
    local message = C1 .. [[, name = "m", period = "100ms", ]] .. DUE
    world { script = script(message) }
    w:up()
    w:wait_messages(1, 1)
    w:write("bot.lua", script(message, slow:format "second"))
    local clients = {}
    for i = 1, 4 do
      clients[i] = proc.start({ proc.crier, "reload", "bot.lua" }, { cwd = w.dir })
    end
    w:write("bot.lua", script(message, slow:format "last"))
    clients[5] = proc.start({ proc.crier, "reload", "bot.lua" }, { cwd = w.dir })
    for i = 1, 5 do
      assert.equal(0, clients[i]:wait())
      assert.is_truthy(clients[i]:out():match "^reloaded")
      clients[i]:stop()
    end
    w:wait_record(function(r) return r.text == "last" end)
    local status = wait_generation(2)
    assert.is_true(status.generation <= 4, status.generation)
    w:wait_messages(1, #w:messages(1) + 2)
    w:down()
    assert_complete("m", w:texts(1), 0.1)
  end)

  it("SIGTERM while one is being built: the stop is in order", function()
    world { script = script(C1 .. [[, name = "m", period = "100ms", data = "x"]]) }
    w:up()
    w:wait_messages(1, 1)
    w:write("bot.lua", script(C1 .. [[, name = "m", period = "100ms", data = "y"]],
      [[local f = io.open("building", "w") f:close()
        local t = os.clock() while os.clock() - t < 0.5 do end]]))
    local client = proc.start({ proc.crier, "reload", "bot.lua" }, { cwd = w.dir })
    proc.wait_for(function() return proc.exists(w:path "building") end)
    w.process:signal "TERM"
    assert.equal(0, w.process:wait())
    assert.is_true(client:wait() ~= 0)
    client:stop()
    assert.is_nil((table.concat(w:texts(1)):find "y"))
  end)
end)
