-- SPDX-License-Identifier: MIT
-- crier.sink.native: sinks in C, from shared objects.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local root = io.popen("pwd"):read "l"

-- A plugin whose parts the specs replace.
local source = [[
#include <crier/sink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static char path[4096];
static int tries;
static int p_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
{
    (void)self; (void)err;
    OPEN
    snprintf(path, sizeof path, "%s/out.txt", in->folder);
    FILE *f = fopen(path, "a");
    fprintf(f, "open %s %s %d\n", in->name, in->options, in->sim);
    fclose(f);
    return 0;
}
static int p_write(void *self, struct crier_record *const *records, size_t count, const char *batch_id,
                   size_t *done, struct crier_err *err)
{
    (void)self; (void)done; (void)err;
    char scratch[32];
    struct crier_value v;
    tries++;
    WRITE
    FILE *f = fopen(path, "a");
    for (size_t i = 0; i < count; i++)
        fprintf(f, "MARK %.*s %d %s\n", (int)crier_record_text(records[i]).len,
                crier_record_text(records[i]).data,
                crier_record_get(records[i], "n", &v, scratch) && v.type == CRIER_INT ? (int)v.i : -1,
                strlen(batch_id) == 26 ? "id" : "no id");
    fclose(f);
    return CRIER_SINK_WRITTEN;
}
static void p_close(void *self)
{
    (void)self;
    FILE *f = fopen(path, "a");
    fprintf(f, "close\n");
    fclose(f);
}
SYMBOL = { .abi = ABI, .struct_size = SIZE, .kind = "spec", .open = p_open, .write = p_write,
           .close = p_close };
]]

local script = [[
  local crier = require "crier"
  crier.sink.console { format = "json" }
  crier.sink.native { name = "c", path = "./c.so", kinds = "log", %s }
  crier.on("start", function() for i = 1, 3 do crier.log.info("line " .. i, { n = i }) end end)
]]

describe("crier.sink.native", function()
  local bot
  after_each(function()
    if bot then bot:close() end
    bot = nil
  end)

  local function build(parts)
    parts = parts or {}
    local text = source:gsub("%u%u+", function(word)
      local defaults = { OPEN = "", WRITE = "", MARK = "one", ABI = "CRIER_SINK_ABI",
        SYMBOL = "CRIER_SINK_PLUGIN", SIZE = "sizeof crier_sink_plugin" }
      return parts[word] or defaults[word]
    end)
    bot:write("c.c", text)
    local r = proc.run({ "cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-fPIC", "-shared", "-I" .. root .. "/include",
      "-o", "c.so.tmp", "c.c" }, { cwd = bot.dir })
    assert.equal(0, r.code, r.err)
    os.rename(bot:path "c.so.tmp", bot:path "c.so")
  end

  local function new(parts, options)
    bot = Bot.new(script:format(options or ""))
    build(parts)
  end

  local function refused()
    local r = bot:run { "--for", "200ms" }
    assert.equal(78, r.code, r.out .. r.err)
    return r.out .. r.err
  end

  it("gives records to a shared object", function()
    new(nil, 'options = { b = { 1, 2 }, a = "x" }')
    local r = bot:run { "--for", "300ms" }
    assert.equal(0, r.code, r.err)
    assert.equal('open c {"a":"x","b":[1,2]} 1\none line 1 1 id\none line 2 2 id\none line 3 3 id\nclose\n',
      bot:read "out.txt")
  end)

  it("refuses what it cannot load, with the reason", function()
    new { ABI = "2" }
    assert.is_truthy(refused():find("sink 'c': cannot open: c.so has ABI 2, this crier takes 1: rebuild it "
      .. "against include/crier/sink.h", 1, true))
    build { SIZE = "24" }
    assert.is_truthy(refused():find("c.so has a crier_sink_plugin of 24 bytes, this crier takes", 1, true))
    build { SYMBOL = "const struct crier_sink_plugin other" , SIZE = "sizeof other" }
    assert.is_truthy(refused():find("c.so is no sink: it has no crier_sink_plugin", 1, true))
    bot:write("c.so", "This is not a shared object, but a text of some length.")
    assert.is_truthy(refused():find("c.so cannot be loaded", 1, true))
    os.remove(bot:path "c.so")
    assert.is_truthy(refused():find("c%.so: No such file"))
    build { OPEN = 'return crier_err_set(err, CRIER_ECONFIG, "option \'x\' is wrong");' }
    assert.is_truthy(refused():find("sink 'c': cannot open: option 'x' is wrong", 1, true))
    assert.is_nil(bot:read "out.txt")
  end)

  it("is checked without being loaded", function()
    bot = Bot.new(script:format "options = { f = print }, widht = 1")
    local r = bot:check()
    assert.equal(78, r.code)
    local out = r.out .. r.err
    assert.is_truthy(out:find("option 'options' takes plain data: f: a function cannot be written as JSON", 1, true))
    assert.is_truthy(out:find("unknown option 'widht'", 1, true))
    bot:write("bot.lua", script:format "options = 5")
    assert.is_truthy(bot:check().out:find("option 'options' must be a table, got the number 5", 1, true))
    bot:write("bot.lua", script:format "")
    assert.equal(0, bot:check().code) -- there is no c.so
  end)

  it("tries again what was not written, and keeps what is at fault", function()
    new { WRITE = [[
      if (tries == 1) {
          *done = 1;
          crier_err_set(err, CRIER_EIO, "not now");
          return CRIER_SINK_RETRY;
      }
      if (tries == 2) {
          crier_err_set(err, CRIER_EINVAL, "not this one");
          return CRIER_SINK_REJECTED;
      }
      if (tries == 3)
          return 99;
    ]] }
    bot:write("bot.lua", script:format 'flush = "200ms"') -- all three in one batch
    bot:start()
    bot:wait_record(function(r) return r.what == "sink" and r.text:find("not now", 1, true) end)
    bot:wait_record(function(r) return r.what == "sink" and r.text:find("1 record rejected: not this one", 1, true) end)
    proc.wait_for(function() return (bot:read "out.txt"):find("one line 3 3 id", 1, true) end)
    assert.is_nil((bot:read "out.txt"):find("line 2", 1, true))
    local dead = cjson.decode((bot:read ".crier/sim/sinks/c.dead.jsonl"))
    assert.equal("line 2", dead.record.text)
    assert.equal("not this one", dead.reason)
  end)

  it("takes the new code of a file that has changed at a reload, and only then", function()
    new()
    bot:start()
    proc.wait_for(function() return (bot:read "out.txt" or ""):find("line 3", 1, true) end)
    local r = bot:crier { "reload" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_nil(r.out:find("reopened", 1, true), r.out)
    build { MARK = "two" }
    bot:write("bot.lua", bot:read "bot.lua" .. [[
      crier.on("reload", function() crier.log.info("after", { n = 9 }) end)
    ]])
    r = bot:crier { "reload" }
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_truthy(r.out:find("sink +c +reopened: its code has changed"), r.out)
    proc.wait_for(function() return (bot:read "out.txt"):find("two after 9 id", 1, true) end)
    assert.is_truthy((bot:read "out.txt"):find("close\n", 1, true))
    build { ABI = "7" }
    r = bot:crier { "reload" }
    assert.equal(78, r.code)
    assert.is_truthy((r.out .. r.err):find("has ABI 7, this crier takes 1", 1, true))
    assert.equal(0, bot.process:stop())
  end)

  it("has an example that builds in three lines", function()
    local dir = proc.tmpdir()
    finally(function() proc.rmdir(dir) end)
    assert.is_true(os.execute(("cp %s/examples/native_sink/* %s"):format(root, dir)))
    local r = proc.run({ "make", "-s", "CRIER_INCLUDE=" .. root .. "/include" }, { cwd = dir })
    assert.equal(0, r.code, r.err)
    assert.equal("", r.err)
    r = proc.run({ proc.crier, "run", "--sim", "--for", "300ms", "bot.lua" }, { cwd = dir })
    assert.equal(0, r.code, r.err)
    assert.equal("info     the wall has this line, and thi\nwarning  and this one\n", proc.read(dir .. "/wall.txt"))
  end)

  it("finds in the command what the headers declare", function()
    local declared, exported = {}, {}
    for _, header in ipairs { "err", "record", "sink" } do
      for name in proc.read("include/crier/" .. header .. ".h"):gmatch "CRIER_API[^;{(]-(crier_[%w_]+)%(" do
        declared[name] = true
      end
    end
    local pipe = io.popen("nm -D --defined-only " .. proc.quote(proc.crier))
    for line in pipe:lines() do
      local name = line:match " [TDBR] (crier_[%w_]+)$"
      if name then exported[name] = true end
    end
    pipe:close()
    assert.is_true(declared.crier_record_get and declared.crier_err_set)
    for name in pairs(declared) do assert.is_true(exported[name], name .. " is not exported") end
  end)
end)
