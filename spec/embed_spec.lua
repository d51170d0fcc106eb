-- SPDX-License-Identifier: MIT
-- crier in programs in C: what is installed, the headers, both examples.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local function has(tool)
  return proc.run({ "sh", "-c", "command -v " .. tool }).code == 0
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local headers = { "crier.h", "sink.h", "record.h", "err.h" }

describe("the public headers", function()
  local function compile(name, command)
    local dir = proc.tmpdir()
    local source = dir .. "/" .. name
    for _, header in ipairs(headers) do
      proc.write(source, "#include <crier/" .. header .. ">\nint main(void) { return 0; }\n")
      local argv = { table.unpack(command) }
      for _, word in ipairs { "-Wall", "-Wextra", "-Wshadow", "-pedantic", "-Werror", "-Iinclude", "-c",
        source, "-o", dir .. "/out.o" } do
        argv[#argv + 1] = word
      end
      local r = proc.run(argv)
      assert(r.code == 0, header .. ": " .. r.err)
    end
    proc.rmdir(dir)
  end

  for _, compiler in ipairs { "gcc", "clang" } do
    it("compile alone as C11 with " .. compiler, function()
      if not has(compiler) then return pending(compiler .. " is not installed") end
      compile("alone.c", { compiler, "-std=c11" })
    end)
  end

  for _, compiler in ipairs { "g++", "clang++" } do
    it("compile alone as C++17 with " .. compiler, function()
      if not has(compiler) then return pending(compiler .. " is not installed") end
      compile("alone.cc", { compiler, "-std=c++17" })
    end)
  end

  it("take logging calls of no and of 31 fields, in C and in C++", function()
    local dir = proc.tmpdir()
    local many = ("crier_f_int(\"n\", 1), "):rep(31):sub(1, -3)
    local text = "#include <crier/crier.h>\nint main(void) { struct crier_logger *l = 0; if (l) {\n" ..
      "CRIER_LOG_DEBUG(l, \"t\"); CRIER_LOG_ERROR(l, \"t\", crier_f_str(\"a\", \"b\"));\n" ..
      "CRIER_LOG_CRITICAL(l, \"t\", " .. many .. "); } return 0; }\n"
    proc.write(dir .. "/many.c", text)
    proc.write(dir .. "/many.cc", text)
    local tried = 0
    for _, command in ipairs { { "gcc", "-std=c11", "many.c" }, { "g++", "-std=c++17", "many.cc" } } do
      if has(command[1]) then
        tried = tried + 1
        local r = proc.run { command[1], command[2], "-Wall", "-pedantic", "-Werror", "-Iinclude", "-c",
          dir .. "/" .. command[3], "-o", dir .. "/out.o" }
        assert.equal("", r.err)
      end
    end
    proc.rmdir(dir)
    assert.is_true(tried > 0)
  end)

  it("say of each function what it does and on which thread", function()
    local count = 0
    for _, header in ipairs(headers) do
      local text = proc.read("include/crier/" .. header)
      -- A header may say it once, for all.
      local for_all = text:match "Thread: %[?any%]?"
      local comment
      for paragraph in (text .. "\n"):gmatch "(.-)\n" do
        if paragraph:match "^/%*%*" then comment = paragraph
        elseif comment and paragraph:match "^ %*" then comment = comment .. paragraph
        elseif paragraph:match "^CRIER_API" or paragraph:match "^static inline" then
          local name = paragraph:match "(crier_[%w_]+)%("
          local private = name and name:match "_$"
          if not private then
            count = count + 1
            assert(comment or for_all, header .. ": no comment: " .. paragraph)
            assert(for_all or comment:match "%[any" or comment:match "%[owner" or comment:match "%[loop",
              header .. ": no thread: " .. paragraph)
          end
          comment = nil
        elseif paragraph == "" then comment = nil
        end
      end
    end
    assert.is_true(count > 60, count)
  end)
end)

describe("an installed crier", function()
  local prefix, env, flags, build
  local sanitized

  setup(function()
    build = proc.crier:match "^(.*)/" or "."
    prefix = proc.tmpdir()
    local r = proc.run { "cmake", "--install", build, "--prefix", prefix }
    assert(r.code == 0, r.err)
    sanitized = proc.read(build .. "/CMakeCache.txt"):match "\nCRIER_SANITIZE:STRING=(%a+)"
    local kinds = { address = "address,undefined", thread = "thread" }
    flags = sanitized and "-g -fsanitize=" .. kinds[sanitized] or "-g"
    env = { PKG_CONFIG_PATH = prefix .. "/lib/pkgconfig", LD_LIBRARY_PATH = prefix .. "/lib", CFLAGS = flags,
      NO_COLOR = "1" }
  end)

  teardown(function()
    if prefix then proc.rmdir(prefix) end
  end)

  local function run(argv, opt)
    opt = opt or {}
    opt.env = env
    opt.timeout = opt.timeout or 120
    if sanitized == "thread" then argv = { "setarch", "-R", table.unpack(argv) } end
    return proc.run(argv, opt)
  end

  local function must(argv, opt)
    local r = run(argv, opt)
    assert(r.code == 0, table.concat(argv, " ") .. ": " .. r.err .. r.out)
    return r
  end

  -- A copy of an example, outside of the tree.
  local function copy(name)
    local dir = proc.tmpdir()
    must { "cp", "-r", "examples/" .. name .. "/.", dir }
    return dir
  end

  local function built(name, dir)
    if name == "embed_pipeline" then
      must({ "cmake", "-S", ".", "-B", "build" }, { cwd = dir })
      must({ "cmake", "--build", "build" }, { cwd = dir })
      return dir .. "/build/shop"
    end
    must({ "make", "-s" }, { cwd = dir })
    return dir .. "/market"
  end

  it("has library, headers, pkg-config file and command", function()
    for _, file in ipairs { "lib/libcrier.so", "lib/libcrier.so.0", "lib/pkgconfig/crier.pc",
      "bin/crier" } do
      assert(proc.exists(prefix .. "/" .. file), file)
    end
    for _, header in ipairs(headers) do
      assert.equal(proc.read("include/crier/" .. header), proc.read(prefix .. "/include/crier/" .. header))
    end
    local version = must { "pkg-config", "--modversion", "crier" }.out:match "%S+"
    assert.equal(run({ prefix .. "/bin/crier", "version" }).out:match "%d[%d.]+", version)
  end)

  it("shows the public functions and nothing else", function()
    local declared = {}
    for _, header in ipairs(headers) do
      local text = proc.read("include/crier/" .. header):gsub("/%*.-%*/", "")
      for name in text:gmatch "\nCRIER_API[^;(]-(crier_[%w_]+)%(" do declared[name] = true end
      -- The attribute and the type may stand on a line of their own.
      for name in text:gmatch "\nCRIER_API[^;(]-\n(crier_[%w_]+)%(" do declared[name] = true end
    end
    local shown = {}
    for _, line in ipairs(lines(must { "nm", "-D", "--defined-only", prefix .. "/lib/libcrier.so" }.out)) do
      local name = line:match " [TDRBV] ([%w_]+)$"
      if name then shown[name] = true end
    end
    assert.is_true(shown.crier_pipeline_new and shown.crier_run and shown.crier_record_json)
    if sanitized then
      for name in pairs(declared) do assert(shown[name], name) end
    else
      assert.same(declared, shown)
    end
  end)

  it("builds and runs examples/embed_pipeline", function()
    local dir = copy "embed_pipeline"
    local shop = built("embed_pipeline", dir)
    local r = must({ shop, "." }, { cwd = dir })
    assert.same({
      "errors of the quiet till:",
      "  the till is stuck at 25",
      "  the till is stuck at 50",
      "all: 208 accepted, 208 written",
      "tally: 100 debug, 100 info, 8 error",
    }, lines(r.out))
    local all = lines(proc.read(dir .. "/shop.jsonl"))
    assert.equal(208, #all)
    local sold
    for _, line in ipairs(all) do
      local record = cjson.decode(line)
      if record.text == "sold" and record.count == 4 then sold = record end
    end
    assert.equal("shop.north", sold.logger)
    assert.equal("north", sold.till)
    assert.equal("bread", sold.item)
    assert.equal(1.0, sold.price)
    assert.same({ "market", { stall = 4 } }, sold.tags)
    assert.truthy(sold.where:match "^shop%.c:%d+$")
    assert.equal(8, #lines(proc.read(dir .. "/errors.jsonl")))
    proc.rmdir(dir)
  end)

  it("builds and runs examples/embed_host", function()
    local dir = copy "embed_host"
    local market = built("embed_host", dir)
    local r = must({ market }, { cwd = dir })
    assert.truthy(r.out:find("stock was asked 4 times, exit code 0\n", 1, true))
    local walls = select(2, r.out:gsub("\nwall| ", "")) + 1
    assert.equal(6, walls)
    for line in r.out:gmatch "wall| ([^\n]*)" do assert.equal(72, #line) end
    local left, texts = {}, {}
    for _, line in ipairs(lines(proc.read(dir .. "/market.jsonl"))) do
      local record = cjson.decode(line)
      texts[#texts + 1] = record.text
      if record.text == "herring left" then
        left[#left + 1] = record.left
        assert.same({ stall = 4, row = 2 }, record.shelf)
      elseif record.text == "no marzipan" then
        assert.equal("there is no marzipan here", record.why)
        assert.equal("not found", record.code)
      elseif record.text == "the market opens" then
        assert.equal("market", record.logger)
        assert.equal(12, record.stalls)
        assert.truthy(record.where:match "^market%.c:%d+$")
      end
    end
    assert.same({ 99, 97 }, left)
    assert.is_true(#texts >= 8)
    proc.rmdir(dir)
  end)

  it("keeps what runs when the new script is wrong, and says why", function()
    local dir = copy "embed_host"
    local market = built("embed_host", dir)
    local text = proc.read(dir .. "/bot.lua")
    -- Wrong from the second loading on.
    proc.write(dir .. "/bot.lua", text .. [[
local f = io.open "loaded"
if f then crier.sink.memory { nme = "x" } end
io.open("loaded", "w"):close()
]])
    local r = must({ market }, { cwd = dir })
    assert.truthy(r.out:find("exit code 0", 1, true))
    local why
    for _, line in ipairs(lines(proc.read(dir .. "/market.jsonl"))) do
      local record = cjson.decode(line)
      if record.text == "the script stays as it is" then why = record.why end
    end
    assert.truthy(why and why:find("unknown option 'nme' (did you mean 'name'?)", 1, true), why)
    assert.truthy(r.err:find("market: ", 1, true))
    proc.rmdir(dir)
  end)

  it("ends with the command's exit codes when a script cannot be run", function()
    local dir = copy "embed_host"
    local market = built("embed_host", dir)
    proc.write(dir .. "/bot.lua", "local crier = require 'crier'\ncrier.sink.wal {}\n")
    local r = run({ market }, { cwd = dir })
    assert.equal(78, r.code)
    assert.truthy(r.err:find("market: ./bot.lua:2", 1, true), r.err)
    assert.truthy(r.err:find("did you mean crier.sink.wall?", 1, true), r.err)
    r = run({ market, "nowhere" }, { cwd = dir })
    assert.equal(66, r.code)
    assert.truthy(r.err:find("market: cannot read 'nowhere/bot.lua'", 1, true), r.err)
    proc.rmdir(dir)
  end)

  it("finds wrong options with the words that a script gets", function()
    local dir = proc.tmpdir()
    local probe = dir .. "/probe"
    must { "sh", "-c", "cc " .. flags .. " -o " .. probe ..
      " spec/support/embed_probe.c $(pkg-config --cflags --libs crier)" }
    local wrong = {
      { "memory", '{"mx": 5}', "{ mx = 5 }" },
      { "memory", '{"max": "many"}', '{ max = "many" }' },
      { "memory", '{"max": 0}', "{ max = 0 }" },
      { "memory", '{"max": 1.5}', "{ max = 1.5 }" },
      { "jsonl", '{"path": 5}', "{ path = 5 }" },
      { "jsonl", '{"path": true}', "{ path = true }" },
      { "memory", '{"level": "eror"}', '{ level = "eror" }' },
      { "memory", '{"flush": "10"}', '{ flush = "10" }' },
      { "memory", '{"flush": "25h"}', '{ flush = "25h" }' },
      { "memory", '{"kinds": ["log", 5]}', '{ kinds = { "log", 5 } }' },
      { "memory", '{"zzzzzzzz": 1}', "{ zzzzzzzz = 1 }" },
      { "memory", '{"retry": {"tims": 1}}', "{ retry = { tims = 1 } }" },
      { "memory", '{"retry": {"times": "x"}}', '{ retry = { times = "x" } }' },
    }
    for _, case in ipairs(wrong) do
      local kind, json, lua = table.unpack(case)
      local bot = Bot.new("local crier = require 'crier'\ncrier.sink." .. kind .. " " .. lua .. "\n")
      local first = cjson.decode(bot:check({ "--json" }).out:match "[^\n]+")
      bot:close()
      local r = run { probe, kind, json }
      assert.equal(1, r.code, json)
      local where, text = r.out:match "^([^\n]*)\n([^\n]*)"
      assert.truthy(where:match("^sink '" .. kind .. "' 1:%d+$"), where)
      local help = first.help ~= cjson.null and (" (" .. first.help .. ")") or ""
      -- Inner options have their whole name here.
      local said = text:gsub("'retry%.", "'")
      assert.equal("sink '" .. kind .. "': " .. first.text .. help, said)
    end
    proc.rmdir(dir)
  end)

  it("runs both examples under valgrind", function()
    if sanitized then return pending "built with a sanitizer, which does the same" end
    if not has "valgrind" then return pending "valgrind is not installed" end
    for _, name in ipairs { "embed_pipeline", "embed_host" } do
      local dir = copy(name)
      local program = built(name, dir)
      local r = run({ "valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
        "--errors-for-leak-kinds=definite", program }, { cwd = dir, timeout = 200 })
      assert(r.code == 0, name .. ": " .. r.err)
      proc.rmdir(dir)
    end
  end)
end)
