-- SPDX-License-Identifier: MIT
-- crier.sink.custom: sinks whose functions are written in Lua, on the loop and in a thread of their own.
local socket = require "socket"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

-- A console for what is logged, and the sink under test, which gets the records whose text begins with "r ".
local head = [[
  local crier = require "crier"
  crier.config { limits = { callback = "100ms", stop = "2s", memory = "32MiB" } }
  local console = crier.sink.console { format = "json" }
  local function out(text) local f = io.open("out.txt", "a") f:write(text, "\n") f:close() end
]]
local tail = [[
  crier.route { match = { text = crier.like "r %" }, to = c }
  crier.route { to = console, copy = true }
  crier.on("start", function() for i = 1, COUNT do crier.log.info("r " .. i, { n = i }) end end)
]]

local function text_of(kind, part)
  return function(r) return r.what == kind and r.text:find(part, 1, true) end
end

describe("crier.sink.custom", function()
  local bot
  after_each(function()
    if bot then bot:close() end
    bot = nil
  end)

  -- batch, flush: what is logged at the start comes in one batch.
  local function script(body, count)
    return head .. body .. tail:gsub("COUNT", count or 3)
  end
  local function functions(body, options)
    return script(([[local c = crier.sink.custom { name = "c", batch = 3, flush = "1s", %s %s }
    ]]):format(options or "", body))
  end
  local function out(name) return bot:read(name or "out.txt") or "" end
  local function start(text, files, args)
    bot = Bot.new(text, files)
    bot:start(args)
    return bot
  end
  local function wait_out(part, timeout)
    proc.wait_for(function() return out():find(part, 1, true) end, timeout, function()
      return ("'%s'; so far: %s; bot: %s %s"):format(part, out(), bot.process:out(), bot.process:err())
    end)
  end
  local function stop()
    bot.process:signal "TERM"
    return bot.process:wait()
  end

  describe("with functions", function()
    it("is checked", function()
      local function problems(options)
        bot = Bot.new("local crier = require 'crier'\ncrier.sink.custom { " .. options .. " }")
        finally(function() bot:close() bot = nil end)
        local r = bot:check()
        assert.equal(78, r.code)
        return r.out .. r.err
      end
      local function has(options, part)
        local got = problems(options)
        assert.is_truthy(got:find(part, 1, true), got)
      end
      has("", "bot.lua:2:7: sink: option 'write' is missing, or 'module' (write = function(self, records) ... return true end)")
      has("write = 5", "option 'write' must be a function, got the number 5")
      has("write = print, wirte = print", "unknown option 'wirte' (did you mean 'write'?)")
      has("write = print, options = {}", "option 'options' is for a module (module = \"sinks.webhook\")")
      has("write = print, timeout = '0s'", "option 'timeout' must be at least")
      has("write = print, module = 'm'", "option 'write' is given beside 'module' (keep one of the two)")
      has("module = 'sinks.none'", "option 'module': there is no sinks.none.lua (looked for as require does)")
    end)

    it("gets records in batches, waits without holding anything up, and ends in order", function()
      start(functions [[
        open = function(self) crier.sleep "10ms" self.seen = {} out("open " .. self.name) end,
        write = function(self, records)
          crier.sleep "10ms"
          assert(self.batch_id == records[1].id and #self.batch_id == 26)
          local texts = {}
          for i, r in ipairs(records) do texts[i] = r.text .. "=" .. r.n end
          assert(not pcall(function() records[1].text = "x" end))
          out(("%d: %s"):format(#records, table.concat(texts, " ")))
          return true
        end,
        idle = function(self) crier.sleep "10ms" out "idle" return 0.05 end,
        close = function(self) out("close " .. self.name) end,
      ]])
      wait_out "idle\nidle\nidle\n"
      assert.equal(0, stop())
      assert.is_truthy(out():find "^open c\n3: r 1=1 r 2=2 r 3=3\nidle\n[idle\n]*close c\n$", out())
    end)

    it("says what became of its batch", function()
      start(functions [[
        write = function(self, records)
          self.n = (self.n or 0) + 1
          out(self.n .. " " .. #records .. " " .. records[1].text)
          if self.n == 1 then return nil, "one is stored", 1 end
          if self.n == 2 then return nil, "not now" end
          if self.n == 3 then return false, "it is at fault" end
          return true
        end,
      ]])
      wait_out "1 3 r 1\n2 2 r 2\n3 2 r 2\n4 1 r 3\n"
      bot:wait_record(text_of("sink", "failing: one is stored"))
      bot:wait_record(text_of("sink", "1 record rejected: it is at fault"))
      assert.is_truthy(out(".crier/sim/sinks/c.dead.jsonl"):find('"text":"r 2"', 1, true))
      assert.equal(0, stop())
    end)

    -- what write does, and what is told of it; then it works, and nothing is lost
    local faults = {
      { "raises", [[error "no way"]], "bot.lua:%d+: no way", error = true },
      { "raises what is no text", [[error {}]], "the error is a table value, not a text", error = true },
      { "hangs", [[crier.sleep "1h"]], "write took longer than 200ms %(option 'timeout'%)" },
      { "never ends", [[while true do end]], "write used more than 100ms of CPU time %(limits.callback%)", error = true },
      { "never ends, in a pcall", [[while true do pcall(function() while true do end end) end]],
        "write used more than 100ms of CPU time", error = true },
      { "allocates without end", [[local t = {} while true do t[#t + 1] = ("x"):rep(1 << 30) end]],
        "not enough memory: the script may hold 33554432 bytes %(limits.memory%)", error = true },
      { "returns nothing", [[return]], "write returned nothing: it must return true, or nil and a message" },
      { "returns nil alone", [[return nil]], "write returned nil without a message" },
      { "returns false alone", [[return false]], "write returned false without a message" },
      { "returns a text", [[return "stored"]], 'write returned the string "stored": it must return true' },
      { "returns a table", [[return {}]], "write returned a table: it must return true" },
      { "returns too many as stored", [[return nil, "x", 4]],
        "write returned the number 4 as the number of records stored, of 3" },
      { "returns rubbish as the number stored", [[return nil, "x", "y"]],
        'write returned the string "y" as the number of records stored' },
      { "returns a message that is no text", [[return nil, { 1 }]], "failing: a table; it is tried again" },
    }
    for _, fault in ipairs(faults) do
      it("tries again when write " .. fault[1], function()
        start(functions(([[
          write = function(self, records)
            self.n = (self.n or 0) + 1
            if self.n == 1 then %s end
            out(#records .. " " .. records[1].text)
            return true
          end,
        ]]):format(fault[2]), 'timeout = "200ms",'))
        bot:wait_record(function(r) return r.what == "sink" and r.text:find(fault[3]) end)
        wait_out "3 r 1"
        local errors = Bot.select(bot:records(), function(r) return r.what == "callback.error" end)
        assert.equal(fault.error and 1 or 0, #errors)
        assert.equal(0, stop())
        assert.equal("3 r 1\n", out())
      end)
    end

    it("goes down when it fails again and again; its fallback gets what is owed, and it replays", function()
      start(script [[
        local f = crier.sink.jsonl { name = "f", path = "f.jsonl" }
        local ready = false
        local c = crier.sink.custom { name = "c", batch = 3, flush = "1s", fallback = f, retry = { times = 2, delay = "20ms" },
          write = function(self, records)
            local file = io.open "ready"
            if not file then return nil, "not ready" end
            file:close()
            out(#records .. " " .. records[1].text)
            return true
          end }
      ]])
      bot:wait_record(text_of("sink", "not ready"))
      proc.wait_for(function() return select(2, out("f.jsonl"):gsub("\n", "")) == 3 end)
      bot:write("ready", "")
      wait_out "3 r 1"
      assert.equal(0, stop())
    end)

    it("never gets what its functions log, nor does another; everything else does", function()
      start(script [[
        local d = crier.sink.custom { name = "d", write = function(self, records)
          for _, r in ipairs(records) do out("d " .. r.text) end
          crier.log.info "r of d"
          return true
        end }
        local c = crier.sink.custom { name = "c", write = function(self, records)
          for _, r in ipairs(records) do out("c " .. r.text) end
          crier.log.info "r of c"
          crier.sleep "10ms"
          crier.log.error "r after a wait"
          return true
        end }
        crier.route { to = d, copy = true }
      ]])
      bot:wait_record(function(r) return r.text == "r after a wait" end)
      bot:wait_record(function(r) return r.text == "r of d" end)
      wait_out "c r 3"
      socket.sleep(0.2)
      assert.equal(0, stop())
      assert.is_nil(out():find(" of ", 1, true))
      assert.is_nil(out():find(" wait", 1, true))
      assert.is_truthy(out():find("d started", 1, true))
    end)

    it("does not hear of its own trouble", function()
      start(head .. [[
        local n = 0
        crier.sink.custom { name = "c", retry = { delay = "10ms" }, write = function(self, records)
          for _, r in ipairs(records) do out(r.text) end
          n = n + 1
          if n % 2 == 1 then error "odd" end
          return true
        end }
        crier.route { to = crier.sinks.c, copy = true }
        crier.route { to = console }
      ]])
      bot:wait_record(text_of("sink", "works again"))
      socket.sleep(0.5)
      assert.equal(0, stop())
      assert.is_true(#Bot.select(bot:records(), function(r) return r.what == "sink" end) < 8)
      assert.is_nil(out():find("odd", 1, true))
    end)

    it("has its functions bound anew by a reload, between batches; its queue and its place stay", function()
      local text = functions [[
        open = function(self) out "open GEN" end,
        write = function(self, records)
          out("GEN begins " .. records[1].text)
          crier.sleep "400ms"
          out("GEN ends " .. #records)
          return true
        end,
        close = function(self) out "close GEN" end,
      ]]
      text = text .. [[ crier.on("reload", function() crier.log.info("r after") end) ]]
      start((text:gsub("GEN", "one")))
      wait_out "one begins r 1"
      bot:write("bot.lua", (text:gsub("GEN", "two")))
      local r = bot:crier { "reload" }
      assert.equal(0, r.code, r.err)
      assert.is_nil(r.out:find("sink", 1, true), r.out)
      wait_out "two ends 1"
      assert.equal(0, stop())
      assert.equal("open one\none begins r 1\none ends 3\nclose one\nopen two\ntwo begins r after\ntwo ends 1\nclose two\n",
        out())
    end)

    it("is opened anew by a reload that changes its options; what waits goes on", function()
      local text = functions([[
        write = function(self, records)
          if "GEN" == "one" then return nil, "not in this one" end
          out("GEN " .. #records)
          return true
        end,
      ]], 'timeout = "TIMEOUT",')
      start((text:gsub("GEN", "one"):gsub("TIMEOUT", "1s")))
      bot:wait_record(text_of("sink", "not in this one"))
      bot:write("bot.lua", (text:gsub("GEN", "two"):gsub("TIMEOUT", "2s")))
      local r = bot:crier { "reload" }
      assert.is_truthy(r.out:find("~ sink +c +reopened"), r.out)
      wait_out "two 3"
      assert.equal(0, stop())
    end)

    it("ends a write that is under way, or is ended with it, within limits.stop", function()
      local text = functions [[
        write = function(self, records)
          out "begins"
          crier.sleep "TIME"
          out("ends " .. #records)
          return true
        end,
        close = function() out "close" end,
      ]]
      start((text:gsub("TIME", "700ms"):gsub('stop = "2s"', 'stop = "1m"')))
      wait_out "begins"
      assert.equal(0, stop())
      assert.equal("begins\nends 3\nclose\n", out())
      bot:close()
      start((text:gsub("TIME", "1h")))
      wait_out "begins"
      assert.equal(0, stop())
      assert.is_nil(out():find("ends", 1, true))
      assert.is_truthy(out():find("close\n$"))
      -- The records are owed: the next start writes them.
      bot:write("bot.lua", (text:gsub("TIME", "1ms")))
      bot:start()
      wait_out "ends"
    end)

    it("has a batch id that a kill does not change", function()
      local text = functions([[
        write = function(self, records)
          out(("%s %d %s"):format(self.batch_id, #records, records[1].text))
          crier.sleep "TIME"
          return true
        end,
      ]], "durable = true, batch = 2, queue = 100,")
      start((text:gsub("TIME", "1h")))
      wait_out " 2 r 1"
      bot.process:signal "KILL"
      bot.process:wait()
      bot:write("bot.lua", (text:gsub("TIME", "1ms")))
      bot:start()
      wait_out " r 3"
      local first, again = out():match "(%w+) 2 r 1\n(%w+) 2 r 1\n"
      assert.is_truthy(first, out())
      assert.equal(first, again)
    end)

    it("loses nothing over reloads that come one upon the other, and writes one batch at a time", function()
      local text = head .. [[
        local c = crier.sink.custom { name = "c", timeout = "OPTION", kinds = "log",
          write = function(self, records)
            assert(not io.open "busy", "two at a time")
            io.open("busy", "w"):close()
            crier.sleep "5ms"
            for _, r in ipairs(records) do out(r.text) end
            os.remove "busy"
            return true
          end }
        local n = crier.state("n", { last = 0 })
        local function tick()
          for i = 1, 40 do n.last = n.last + 1 crier.log.info("n" .. n.last) crier.sleep "5ms" end
        end
        crier.on("start", tick)
        crier.on("reload", tick)
      ]]
      start((text:gsub("OPTION", "10s")))
      bot:wait_record(function(r) return r.what == "start" end)
      for i = 1, 24 do
        bot:write("bot.lua", (text:gsub("OPTION", i % 3 == 0 and "11s" or "10s")) .. "-- " .. i)
        local r = bot:crier { "reload" }
        assert.equal(0, r.code, r.out .. r.err)
      end
      assert.equal(0, stop())
      local seen, logged = {}, {}
      for name in out():gmatch "n%d+" do seen[name] = (seen[name] or 0) + 1 end
      for _, r in ipairs(bot:records()) do if r.text:find "^n%d+$" then logged[#logged + 1] = r.text end end
      assert.is_true(#logged > 100)
      for _, name in ipairs(logged) do assert(seen[name], name .. " is lost") end
      assert.is_nil(out():find("two at a time", 1, true))
    end)

    it("answers queries with the reason why it cannot", function()
      start(functions([[write = function() return true end]]) .. [[
        crier.on("start", function() local hits, err = c:filter {}:all() crier.log.info(tostring(err)) end)
      ]])
      bot:wait_record(function(r) return r.text:find("cannot be read", 1, true) end)
    end)
  end)

  describe("with a module", function()
    local function module(options)
      return script(([[local c = crier.sink.custom { name = "c", batch = 3, flush = "1s", module = "sinks.m", %s }
      ]]):format(options or ""))
    end
    local mhead = [[
      local crier = require "crier"
      local function out(text) local f = io.open("out.txt", "a") f:write(text, "\n") f:close() end
    ]]
    local function new(options, text, more)
      bot = Bot.new(module(options))
      assert(os.execute("mkdir " .. bot:path "sinks"))
      bot:write("sinks/m.lua", mhead .. text)
      for name, content in pairs(more or {}) do bot:write(name, content) end
      return bot
    end
    local function problems()
      local r = bot:check()
      return r.out .. r.err, r.code
    end

    it("is checked without being run", function()
      new(nil, [[out "ran" return { write = function() return true end }]])
      local text, code = problems()
      assert.equal(0, code, text)
      assert.equal("", out())
      bot:write("sinks/m.lua", "return {\n write = function( return true end }")
      text, code = problems()
      assert.equal(78, code)
      assert.is_truthy(text:find("bot.lua:%d+:%d+: sink 'c': option 'module': sinks/m.lua:2: ", 1), text)
    end)

    it("is found in the folders of lua_path, and so is what it requires", function()
      bot = Bot.new((module():gsub('crier.config {', 'crier.config { lua_path = { "lib", "more" },')))
      assert(os.execute(("cd %s && mkdir -p lib/sinks more"):format(bot.dir)))
      bot:write("lib/sinks/m.lua", mhead .. [[
        local name = require "part"
        return { write = function(self, records) out(name .. " " .. #records) return true end }]])
      bot:write("more/part.lua", [[return "part"]])
      assert.equal(0, bot:check().code)
      bot:start()
      wait_out "part 3"
      assert.equal(0, stop())
    end)

    it("is refused with the reason when it is no sink", function()
      local function refused(text, part)
        bot:write("sinks/m.lua", text)
        local r = bot:run { "--for", "100ms" }
        assert.equal(78, r.code, r.out .. r.err)
        assert.is_truthy(r.err:find(part, 1, true), r.err)
      end
      new(nil, "")
      refused("", "cannot open: module 'sinks.m' returned a boolean: it must return a table with the function write")
      refused("return {}", "module 'sinks.m' has no function write")
      refused("error 'at once'", "sinks/m.lua:1: at once")
      refused("while true do end", "loading the module used more than 5s of CPU time")
      refused("require 'crier'.GUILD {}", "crier.GUILD is not available in the module of a sink: it has crier.log, "
        .. "crier.http and crier.sleep")
      refused("require 'crier'.sleep(1)", "crier.sleep is not available while loading")
      refused("local t = {} while true do t[#t+1] = ('x'):rep(1e6) .. #t end", "not enough memory")
    end)

    it("runs in a state of its own: options, batches, waiting, logging, copies of records", function()
      new([[options = { path = "out.txt", n = 3, list = { 1, "b" } }]], [[
        return {
          open = function(options)
            crier.sleep "10ms"
            out(("open %s %d %s"):format(options.path, options.n, options.list[2]))
            return { n = options.n }
          end,
          write = function(self, records)
            crier.sleep "10ms"
            crier.log.warning("r from the module", { n = #records, id = 5 })
            local copy = records[1]:with { n = 77 }
            out(("%s %d %s %s %d %d"):format(self.name, self.n, records[1].text, self.batch_id == records[1].id,
              #records, copy.n))
            return true
          end,
          idle = function(self) crier.sleep "10ms" out "idle" return 0.02 end,
          close = function(self) out("close " .. self.n) end,
        }
      ]])
      bot:start()
      wait_out "idle\nidle\n"
      local r = bot:wait_record(function(r) return r.text == "r from the module" end)
      assert.equal("warning", r.level)
      assert.equal(3, r.n)
      assert.equal(5, r.fields.id)
      assert.equal("bot", r.logger)
      assert.is_truthy(r.where:find "^sinks/m.lua:%d+$", r.where)
      assert.equal(0, stop())
      assert.is_truthy(out():find "^open out.txt 3 b\nc 3 r 1 true 3 77\nidle\n[idle\n]*close 3\n$", out())
    end)

    it("has crier.http, which --sim keeps on this machine", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      finally(function() server:close() end)
      local _, port = server:getsockname()
      new(("options = { port = %d }"):format(port), [[
        return {
          open = function(o) return o end,
          write = function(self, records)
            local res, err = crier.http.get "http://192.0.2.1/"
            out(tostring(res) .. " " .. err)
            res, err = crier.http.post(("http://127.0.0.1:%d/"):format(self.port), { json = { n = #records } })
            if not res then return nil, err end
            out(res.status .. " " .. res.body)
            return res.status == 200 or nil, "status " .. res.status
          end,
        }
      ]])
      bot:start()
      server:settimeout(60)
      for _, status in ipairs { 503, 200 } do
        local client = assert(server:accept())
        client:settimeout(60)
        local length = 0
        for line in function() return client:receive "*l" end do
          length = tonumber(line:lower():match "^content%-length: (%d+)") or length
          if line == "" then break end
        end
        assert.equal('{"n":3}', client:receive(length))
        client:send(("HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"):format(status))
        client:close()
      end
      wait_out "200 hi"
      bot:wait_record(text_of("sink", "status 503"))
      assert.is_truthy(out():find("nil refused in --sim: 192.0.2.1 is not this machine", 1, true), out())
      assert.equal(0, stop())
    end)

    local faults = {
      { "raises", [[error "no way"]], "sinks/m.lua:%d+: no way", error = true },
      { "hangs", [[crier.sleep "1h"]], "write took longer than 200ms %(option 'timeout'%)" },
      { "never ends", [[while true do end]], "sink 'c': write used more than 5s of CPU time", error = true },
      { "allocates without end", [[local t = {} while true do t[#t + 1] = ("x"):rep(1 << 30) end]],
        "not enough memory: the script may hold 16777216 bytes %(option 'memory'%)", error = true },
      { "returns rubbish", [[return 5]], "write returned the number 5: it must return true" },
      { "calls what is not there", [[crier.route {}]], "crier.route is not available in the module of a sink",
        error = true },
    }
    for _, fault in ipairs(faults) do
      it("tries again when write " .. fault[1], function()
        new([[timeout = "200ms", memory = "16MiB"]], ([[
          local n = 0
          return { write = function(self, records)
            n = n + 1
            if n == 1 then %s end
            out(#records .. " " .. records[1].text)
            return true
          end }
        ]]):format(fault[2]))
        bot:start()
        bot:wait_record(function(r) return r.what == "sink" and r.text:find(fault[3]) end)
        wait_out "3 r 1"
        if fault.error then bot:wait_record(function(r) return r.what == "callback.error" end) end
        assert.equal(0, stop())
        assert.equal("3 r 1\n", out())
      end)
    end

    it("tries open again until it works", function()
      new(nil, [[
        local n = 0
        return {
          open = function() n = n + 1 if n == 1 then return nil, "not yet" elseif n == 2 then return 5 end end,
          write = function(self, records) out(#records .. " " .. n .. " " .. self.name) return true end,
        }
      ]])
      bot:start()
      bot:wait_record(text_of("sink", "open: not yet"))
      wait_out "3 3 c"
      assert.equal(0, stop())
    end)

    it("holds up nobody: the loop goes on while it is busy or blocked", function()
      new(nil, [[return { write = function() while not io.open "goon" do end out "written" return true end }]])
      bot:write("bot.lua", bot:read "bot.lua" .. [[
        crier.on("start", function()
          for i = 1, 5 do crier.sleep "10ms" end
          out "ticked"
          io.open("goon", "w"):close()
        end)]])
      bot:start()
      wait_out "written"
      assert.is_truthy(out():find "^ticked\nwritten\n", out())
      assert.equal(0, stop())
    end)

    it("is opened anew by a reload when its files have changed, and only then; --watch sees them", function()
      local text = [[
        local part = require "sinks.part"
        return { write = function(self, records) out(part .. " " .. #records) return true end }
      ]]
      new(nil, text, { ["sinks/part.lua"] = [[return "one"]] })
      bot:write("bot.lua", bot:read "bot.lua" .. [[ crier.on("reload", function() crier.log.info "r again" end) ]])
      bot:start { "--watch" }
      wait_out "one 3"
      local r = bot:crier { "reload" }
      assert.is_nil(r.out:find("sink", 1, true), r.out)
      wait_out "one 1"
      bot:write("sinks/part.lua", [[return "two"]])
      wait_out "two 1"
      bot:write("sinks/m.lua", mhead .. text:gsub("%.%. #records", ".. #records .. '!'"))
      wait_out "two 1!"
      bot:write("sinks/m.lua", "return {")
      bot:wait_record(function(rec) return rec.what == "reload.failed" end)
      assert.equal(0, stop())
    end)

    it("is ended within limits.stop, whatever its write is at", function()
      new(nil, [[return { write = function() out "begins" crier.sleep "1h" return true end, close = function() out "close" end }]])
      bot:start()
      wait_out "begins"
      assert.equal(0, stop())
      assert.is_truthy(out():find("close\n$"))
      bot:write("sinks/m.lua", mhead .. [[return { write = function(self, r) out("owed " .. #r) return true end }]])
      bot:start()
      wait_out "owed 3"
      assert.equal(0, stop())
    end)

    it("loses lines of its log rather than filling the memory, and tells", function()
      new(nil, [[return { write = function() for i = 1, 100000 do crier.log.debug("x" .. i) end return true end }]])
      bot:start()
      bot:wait_record(function(r) return r.text:find("lines of a sink's module were lost", 1, true) end)
      assert.equal(0, stop())
    end)
  end)
end)
