-- SPDX-License-Identifier: MIT
-- Delivery: sinks that are down, fallbacks, durable spools, stops and reloads that wait for no driver.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"
local proc = require "spec.support.proc"

local root = io.popen("pwd"):read "l"

describe("delivery", function()
  local bot, redis
  after_each(function()
    if bot then bot:close() end
    if redis then redis:close() end
    bot, redis = nil, nil
  end)

  local function lines(name)
    return Bot.parse(bot:read(name) or "")
  end

  local function sink_status(name)
    local r = bot:crier { "status", "bot.lua", "--json" }
    for _, sink in ipairs(r.code == 0 and cjson.decode(r.out).sinks or {}) do
      if sink.name == name then return sink end
    end
  end

  local function check_books(sink)
    assert.equal(sink.accepted,
      sink.written + sink.queued + sink.spilled + sink.rejected + sink.dropped)
  end

  -- A redis that does not answer, with a fallback.
  local function down_script(url)
    return ([[
      local crier = require "crier"
      local console = crier.sink.console { format = "json" }
      local files = crier.sink.jsonl { name = "files", path = "out.jsonl" }
      local r = crier.sink.redis { name = "r", url = %q, retry = { times = 2, delay = "30ms" }, fallback = files }
      crier.route { match = { kind = "log" }, to = r }
      crier.route { match = { kind = "system" }, to = console }
      crier.on("start", function() for i = 1, 10 do crier.log.info("line " .. i, { n = i }) end end)
      crier.on("sink.down", function(e) print("hook down " .. e.sink) end)
      crier.on("sink.up", function(e) print("hook up " .. e.sink) end)
    ]]):format(url)
  end

  it("writes what other sinks have to say at their end", function()
    bot = Bot.new [[
      local crier = require "crier"
      crier.config { limits = { stop = "5s" } }
      crier.sink.console { name = "out", format = "json" }
      crier.sink.jsonl { name = "files", path = "all.jsonl" }
      crier.sink.custom { name = "slow", kinds = "log", batch = 1, write = function()
        crier.sleep "300ms"
        error "not this one"
      end }
      crier.on("start", function() crier.log.info "x" end)
    ]]
    local r = bot:run { "--for", "50ms" }
    assert.equal(0, r.code)
    assert.is_nil((r.err:find("dropped", 1, true)), r.err)
    local told = Bot.select(lines "all.jsonl", function(l) return l.text:match "^sink 'slow': " end)
    assert.is_true(#told > 0, r.err)
    assert.is_true(#Bot.select(r.records, function(l) return l.text:match "^sink 'slow': " end) > 0)
  end)

  it("copies what a sink that is down is owed to its fallback, and replays it", function()
    redis = Redis.new()
    redis:kill()
    bot = Bot.new(down_script(redis.url))
    bot:start()
    local told = bot:wait_record(function(r) return r.kind == "system" and r.text:match "^sink 'r': down" end)
    assert.equal("error", told.level)
    assert.is_truthy(told.text:find("the next try is in ", 1, true), told.text)
    assert.is_truthy(told.text:find("'files' gets copies", 1, true), told.text)
    proc.wait_for(function() return #lines "out.jsonl" == 10 end, nil, "the copies")
    local status = proc.wait_for(function()
      local s, files = sink_status "r", sink_status "files"
      return s.copied == 10 and files.written == 10 and s
    end)
    assert.is_true(status.down)
    assert.is_true(status.down_since > 1e9 and status.next_try >= status.down_since)
    assert.equal(10, status.spilled)
    assert.equal(10, status.copied)
    check_books(status)
    check_books(sink_status "files")
    assert.is_truthy(bot.process:out():find("hook down r", 1, true))
    assert.is_nil(bot.process:out():find("hook up", 1, true))

    -- A restart copies nothing again; what it logs itself is copied.
    bot.process:signal "TERM"
    assert.equal(0, bot.process:wait())
    assert.is_truthy(bot.process:err():find("crier: sink 'r': 0 written, 10 kept in its spool: ", 1, true),
      bot.process:err())
    bot:start()
    proc.wait_for(function() return #lines "out.jsonl" == 20 end, nil, "the new copies")
    redis:start()
    bot:wait_record(function(r) return r.kind == "system" and r.text:match "^sink 'r': ok: works again, after " end)
    proc.wait_for(function() return bot.process:out():find("hook up r", 1, true) end, nil, "the hook")
    proc.wait_for(function() return sink_status "r".written == 20 end, nil, "the replay")
    bot.process:signal "TERM"
    assert.equal(0, bot.process:wait())
    assert.is_nil(bot.process:err():find("sink", 1, true), bot.process:err())
    assert.equal(20, #lines "out.jsonl")
    assert.equal("20", redis("LLEN", "recent:bot:info"))
  end)

  it("loses nothing to a kill when durable", function()
    bot = Bot.new [[
      local crier = require "crier"
      crier.sink.jsonl { name = "d", path = "out.jsonl", durable = true, kinds = "log" }
      local f = assert(io.open("said", "a"))
      f:setvbuf "no"
      local run = io.open('/proc/sys/kernel/random/uuid'):read 'l'
      crier.on("start", function()
        for round = 1, 1000 do
          for i = 1, 20 do
            local id = run .. "-" .. round .. "-" .. i
            crier.log.info("x", { n = id })
            f:write(id .. "\n")
          end
          crier.sleep "5ms"
        end
      end)
    ]]
    for round = 1, 5 do
      local p = bot:start()
      local before = #(bot:read "said" or "")
      proc.wait_for(function() return #(bot:read "said" or "") > before end, nil, "a line")
      os.execute("sleep 0.0" .. round)
      p:signal "KILL"
      p:wait()
    end
    bot:write("bot.lua", [[
      local crier = require "crier"
      crier.sink.jsonl { name = "d", path = "out.jsonl", durable = true, kinds = "log" }
    ]])
    assert.equal(0, bot:run({ "--for", "300ms" }).code)
    local times, n = {}, 0
    for _, record in ipairs(lines "out.jsonl") do times[record.n] = (times[record.n] or 0) + 1 end
    for id in bot:read "said":gmatch "[^\n]+" do
      assert.equal(1, times[id], id)
      n = n + 1
    end
    assert.is_true(n > 50)
    for id, count in pairs(times) do assert.equal(1, count, id) end
  end)

  it("loses nothing to a kill on the way to Redis, and doubles nothing", function()
    redis = Redis.new()
    local options = ("url = %q, recent = 100000, format = 'json', kinds = 'log', batch = 5"):format(redis.url)
    bot = Bot.new([[
      local crier = require "crier"
      crier.sink.redis { ]] .. options .. [[ }
      local f = assert(io.open("said", "a"))
      f:setvbuf "no"
      local run = io.open('/proc/sys/kernel/random/uuid'):read 'l'
      crier.on("start", function()
        for n = 1, 10000 do
          local id = run .. "-" .. n
          crier.log.info("x", { n = id })
          f:write(id .. "\n")
          if n % 10 == 0 then crier.sleep "2ms" end
        end
      end)
    ]])
    for round = 1, 5 do
      local p = bot:start()
      local before = #(bot:read "said" or "")
      proc.wait_for(function() return #(bot:read "said" or "") > before end, nil, "a line")
      os.execute("sleep 0.0" .. round * 2)
      p:signal "KILL"
      p:wait()
    end
    bot:write("bot.lua", 'require "crier".sink.redis { ' .. options .. " }")
    assert.equal(0, bot:run({ "--for", "500ms" }).code)
    local times, n = {}, 0
    for line in redis("LRANGE", "recent:bot:info", "0", "-1"):gmatch "[^\n]+" do
      local id = cjson.decode(line:match "{.*").n
      times[id] = (times[id] or 0) + 1
    end
    for id in bot:read "said":gmatch "[^\n]+" do
      assert.equal(1, times[id], id)
      n = n + 1
    end
    assert.is_true(n > 50)
    for id, count in pairs(times) do assert.equal(1, count, id) end
  end)

  it("refuses a durable sink that drops", function()
    bot = Bot.new [[
      local crier = require "crier"
      crier.sink.jsonl { durable = true, overflow = "drop_old" }
    ]]
    local r = bot:run { "--for", "100ms" }
    assert.equal(78, r.code)
    assert.is_truthy((r.out .. r.err):find('a durable sink drops nothing: overflow = "spill" or "block"', 1, true))
  end)

  -- A driver that hangs in its write for as long as the file `hang` is there.
  local hanging = [[
    #include <crier/sink.h>
    #include <stdio.h>
    #include <unistd.h>
    static int p_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
    {
        (void)in; (void)self; (void)err;
        return 0;
    }
    static int p_write(void *self, struct crier_record *const *records, size_t count, const char *batch_id,
                       size_t *done, struct crier_err *err)
    {
        (void)self; (void)done; (void)err; (void)batch_id;
        FILE *f = fopen("DIR/began", "a");
        fclose(f);
        while (access("DIR/hang", F_OK) == 0)
            usleep(1000);
        f = fopen("DIR/out.txt", "a");
        for (size_t i = 0; i < count; i++)
            fprintf(f, "%.*s\n", (int)crier_record_text(records[i]).len, crier_record_text(records[i]).data);
        fclose(f);
        return CRIER_SINK_WRITTEN;
    }
    static void p_close(void *self) { (void)self; }
    CRIER_SINK_PLUGIN = { .abi = CRIER_SINK_ABI, .struct_size = sizeof crier_sink_plugin, .kind = "spec",
                          .open = p_open, .write = p_write, .close = p_close };
  ]]
  local hanging_script = [[
    local crier = require "crier"
    crier.config { limits = { stop = %q } }
    local console = crier.sink.console { format = "json" }
    local c = crier.sink.native { name = "c", path = "./c.so" %s }
    crier.route { match = { kind = "log" }, to = c }
    crier.route { match = { kind = "system" }, to = console }
    crier.on("start", function()
      for i = 1, 5 do crier.log.info("line " .. i) end
      while true do crier.log.info "tick"; print("tick") crier.sleep "20ms" end
    end)
  ]]

  local function start_hanging(stop)
    bot = Bot.new(hanging_script:format(stop, ""))
    bot:write("c.c", (hanging:gsub("DIR", bot.dir)))
    local r = proc.run({ "cc", "-std=c11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-I" .. root .. "/include",
      "-o", "c.so", "c.c" }, { cwd = bot.dir })
    assert.equal(0, r.code, r.err)
    bot:write("hang", "")
    bot:start()
    proc.wait_for(function() return proc.exists(bot:path "began") end, nil, "the write")
  end

  local function after_restart()
    os.remove(bot:path "hang")
    bot:write("bot.lua", (hanging_script:format("5s", ""):gsub('crier.on%("start".*', "")))
    assert.equal(0, bot:run({ "--for", "300ms" }).code)
    local seen, order = {}, 0
    for line in bot:read "out.txt":gmatch "[^\n]+" do
      local n = tonumber(line:match "^line (%d+)")
      if n and not seen[n] then
        assert.equal(order + 1, n)
        order = n
      end
      seen[n or line] = true
    end
    assert.equal(5, order)
  end

  it("does not wait for a driver that hangs at a stop", function()
    start_hanging "300ms"
    bot.process:signal "TERM"
    assert.equal(0, bot.process:wait())
    local err = bot.process:err()
    assert.is_truthy(err:find("crier: sink 'c' does not come back; it is left behind", 1, true), err)
    assert.is_truthy(err:find("crier: sink 'c': 0 written, %d+ kept in its spool"), err)
    after_restart()
  end)

  it("stops at once when asked twice", function()
    start_hanging "1h"
    bot.process:signal "TERM"
    bot:wait_record(function(r) return r.kind == "system" and r.what == "stop" end)
    for _ = 1, 3 do
      bot.process:signal "TERM"
      os.execute "sleep 0.2"
    end
    assert.equal(0, bot.process:wait())
    after_restart()
  end)

  it("goes on while a replaced sink hangs, and loses nothing", function()
    start_hanging "1s"
    bot:write("bot.lua", hanging_script:format("1s", ", batch = 7"))
    local r = bot:crier { "reload", "bot.lua", "--json" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_true(cjson.decode(r.out).blocked < 30)
    local before = select(2, bot.process:out():gsub("tick", ""))
    proc.wait_for(function()
      return select(2, bot.process:out():gsub("tick", "")) > before + 5
    end, nil, "the bot going on")
    assert.is_nil(bot:read "out.txt")
    check_books(sink_status "c")
    os.remove(bot:path "hang")
    proc.wait_for(function() return (bot:read "out.txt" or ""):find "line 5\n" end, nil, "the successor")
    assert.equal(0, bot.process:stop())
    local first = bot:read "out.txt":match "^(.-)tick"
    assert.is_truthy(first:find "^line 1\nline 2\nline 3\nline 4\nline 5\n", first)
  end)
end)
