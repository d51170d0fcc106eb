-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- crier.log from the script to the file and back: loggers, bound fields, levels, the caller's line,
-- records that are bad, and a sink that has its callers wait.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local HEAD = 'local crier = require "crier"\n'
local CONSOLE = HEAD .. 'crier.sink.console { format = "json" }\n'

-- Runs a script to its end; its records of kind log (those that `crier.log` has made).
local function logged(script, opt)
  local bot = Bot.new(script)
  finally(function() bot:close() end)
  local r = bot:run({ "--for", opt and opt.run or "50ms" }, opt)
  assert.equal(0, r.code, r.err)
  return Bot.select(r.records, function(one) return one.kind == "log" end), r, bot
end

local function texts(records)
  local list = {}
  for i, r in ipairs(records) do list[i] = r.text end
  return table.concat(list, " ")
end

describe("crier.log", function()
  it("makes records of each level with the caller's line", function()
    local records = logged(CONSOLE .. [[
      crier.on("start", function()
        crier.log.debug "a" crier.log.info "b"
        crier.log.warning("c", { n = 1 })
        crier.log.error "d" crier.log.critical "e" crier.log.log("warn", "f") crier.log.log(45, "g")
        crier.log:info("h", { n = 2 })
        pcall(crier.log.info, "i")
      end)]])
    assert.equal("a b c d e f g h i", texts(records))
    local levels, places = {}, {}
    for i, r in ipairs(records) do
      levels[i], places[i] = r.level, r.where
      assert.equal("bot", r.logger)
    end
    assert.same({ "debug", "info", "warning", "error", "critical", "warning", "error", "info", "info" }, levels)
    assert.same({ "bot.lua:4", "bot.lua:4", "bot.lua:5", "bot.lua:6", "bot.lua:6", "bot.lua:6", "bot.lua:6",
      "bot.lua:7", "bot.lua:8" }, places)
    assert.equal(1, records[3].n)
    assert.equal(2, records[8].n)
  end)

  it("tells what it expects", function()
    local records = logged(CONSOLE .. [[
      for _, call in ipairs {
        function() crier.log.info() end, function() crier.log.info(true) end,
        function() crier.log.info("x", "y") end, function() crier.log.log("loud", "x") end,
        function() crier.log.child() end, function() crier.log.child("x", 1) end,
        function() crier.log.set_level("x") end, function() crier.log.set_level("x", "loud") end,
        function() crier.log.get_level(1) end } do
        crier.log.info(select(2, pcall(call)))
      end]])
    local all = {}
    for i, r in ipairs(records) do all[i] = r.text:match "crier.log.*" end
    assert.same({
      'crier.log expects a text, got no value: crier.log.info("text", { field = value })',
      'crier.log expects a text, got boolean: crier.log.info("text", { field = value })',
      'crier.log expects a table of fields, got string: crier.log.info("text", { field = value })',
      'crier.log.log: unknown level the string "loud" (debug, info, warning, error, critical or 10 to 50)',
      'crier.log.child expects a name and, perhaps, a table of fields: crier.log.child("shop", { region = "eu" })',
      'crier.log.child expects a name and, perhaps, a table of fields: crier.log.child("shop", { region = "eu" })',
      'crier.log.set_level expects a logger and a level: crier.log.set_level("shop", "warning")',
      'crier.log.set_level: unknown level the string "loud" (debug, info, warning, error, critical or 10 to 50)',
      'crier.log.get_level expects a logger: crier.log.get_level("shop")',
    }, all)
  end)

  it("binds fields to child loggers, which the call and the child's child overrule", function()
    local body = [[
      shop.info "a"
      cart.info("b", { cart = 8, id = 6 })
      cart:warning "c"
      plain.info "d"]]
    local records = logged(CONSOLE .. [[
      local shop = crier.log.child("shop", { region = "eu", list = { 1, { 2 } }, id = 5 })
      local cart = shop.child("cart", { region = "us", cart = 7 })
      local plain = cart:child "lines"
      ]] .. body .. ' crier.on("start", function() ' .. body .. " end)")
    assert.equal("a b c d a b c d", texts(records))
    for i = 0, 4, 4 do -- while loading, and while running
      local a, b, c, d = table.unpack(records, i + 1, i + 4)
      assert.same({ "shop", "shop.cart", "shop.cart", "shop.cart.lines" }, { a.logger, b.logger, c.logger, d.logger })
      assert.same({ 1, { 2 } }, a.list)
      assert.same({ "eu", "us", "us", "us" }, { a.region, b.region, c.region, d.region })
      assert.same({ 8, 7, 7 }, { b.cart, c.cart, d.cart })
      -- A field with the name of a common member does not get into its place.
      assert.same({ 5, 6, 5 }, { a.fields.id, b.fields.id, d.fields.id })
      assert.matches("^%w+$", b.id)
      assert.equal(26, #b.id)
    end
  end)

  it("has levels by logger, from the config and changed while it runs", function()
    local records = logged(HEAD .. [[
      crier.config { log_levels = { ["*"] = "info", shop = "error", ["shop.cart"] = "debug" } }
      crier.sink.console { format = "json" }
      local shop, cart = crier.log.child "shop", crier.log.child "shop.cart"
      local shopping = crier.log.child "shopping"
      crier.log.debug "no" crier.log.info "a"
      shop.warning "no" shop.error "b" cart.debug "c" shopping.debug "no" shopping.info "d"
      crier.on("start", function()
        shop.warning "no" cart.debug "e"
        crier.log.set_level("shop.cart", nil)
        cart.warning "no" cart.error "f"
        crier.log.set_level("shop", "debug")
        shop.debug "g" cart.debug "h" shopping.debug "no"
        crier.log.set_level("*", "critical")
        crier.log.error "no" shopping.error "no" shop.debug "i"
        crier.log.child("later").error "no"
        crier.log.critical("j", { crier.log.get_level "shop.cart.lines", crier.log.get_level "x",
          shop.enabled "debug", shopping.enabled(40), crier.log.enabled "critical" })
      end)]])
    assert.equal("a b c d e f g h i j", texts(records))
    assert.same({ "debug", "critical", true, false, true },
      { records[10]["1"], records[10]["2"], records[10]["3"], records[10]["4"], records[10]["5"] })
  end)

  it("takes the levels of the new script at a reload", function()
    local bot = Bot.new(CONSOLE .. [[
      crier.config { log_levels = { shop = "error" } }
      crier.on("start", function() crier.log.set_level("shop", "debug") crier.log.child("shop").info "one" end)
      crier.on("reload", function() crier.log.child("shop").info "two" crier.log.info "three" end)]])
    finally(function() bot:close() end)
    bot:start()
    bot:wait_record(function(r) return r.text == "one" end)
    bot:write("bot.lua", bot:read "bot.lua" .. "\n")
    assert.equal(0, bot:crier({ "reload", "bot.lua", "--state", ".crier/sim" }).code)
    bot:wait_record(function(r) return r.text == "three" end)
    assert.equal(0, #Bot.select(bot:records(), function(r) return r.text == "two" end))
  end)

  it("is told what is wrong with log_levels", function()
    local bot = Bot.new(HEAD .. 'crier.config { log_levels = { shop = "loud", [1] = "info" } }')
    finally(function() bot:close() end)
    local r = bot:check()
    assert.equal(78, r.code)
    assert.matches("bot.lua:2:%d+: config: option 'log_levels': unknown level for 'shop': the string \"loud\" "
      .. "%(debug, info, warning, error or critical%)", r.out)
    assert.matches("option 'log_levels' must name loggers, got the number 1", r.out)
  end)

  it("costs next to nothing below its level", function()
    local records = logged(HEAD .. [[
      crier.config { log_levels = { quiet = "error" } }
      crier.sink.console { format = "json" }
      crier.on("start", function()
        local quiet = crier.log.child("quiet", { a = 1 })
        local function cpu(fn)
          local best = math.huge
          for _ = 1, 5 do
            local began = os.clock()
            for _ = 1, 20000 do fn "text" end
            best = math.min(best, os.clock() - began)
          end
          return best
        end
        crier.log.info("cost", { quiet = cpu(quiet.debug), nothing = cpu(tonumber) })
      end)]], { run = "500ms" })
    -- A call of a C function that does nothing, and what it takes to see that nothing is to do.
    assert.is_true(records[1].quiet < 5 * records[1].nothing + 0.002,
      ("%g against %g"):format(records[1].quiet, records[1].nothing))
  end)
end)

-- What a script can give that JSON, or anybody's memory, cannot hold: into a jsonl file and back.
describe("bad records", function()
  local script = HEAD .. [[
    crier.config { limits = { callback = "10s", stop = "1m" } }
    local file = crier.sink.jsonl { path = "out.jsonl" }
    crier.sink.console { format = "json", level = "critical" }
    crier.on("start", function()
      local many = {}
      for i = 1, 10000 do many["field" .. i] = i end
      crier.log.info("many", many)
      crier.log.info("long", { s = ("x"):rep(10 * 1024 * 1024) })
      crier.log.info(("y"):rep(10 * 1024 * 1024), { what = "long text" })
      crier.log.info("odd", { bytes = "a\xff\xc3(\xed\xa0\x80z", nul = "a\0b", esc = "\1\27\"\\/\127",
        nan = 0 / 0, inf = math.huge, minus = -math.huge, tiny = 5e-324, big = math.maxinteger,
        ["k\xffy\0"] = 1, [3] = "three", [1.5] = "half", [true] = "yes", fn = print })
      local cycle = { n = 1 }
      cycle.self, cycle.list = cycle, { cycle }
      crier.log.info("cycle", cycle)
      local deep, at = {}, nil
      at = deep
      for _ = 1, 1000 do at.x = {} at = at.x end
      crier.log.info("deep", deep)
      local wide = {}
      for i = 1, 300 do wide[i] = {} for k = 1, 400 do wide[i][k] = k end end
      crier.log.info("wide", { wide = wide })
      crier.log.info("shared", (function() local t = { 1 } for _ = 1, 40 do t = { t, t } end return { t = t } end)())
      crier.log.info("last")
      local n = file:filter { kind = "log" }:count()
      local read = {}
      for _, r in ipairs(file:filter { kind = "log" }:all()) do
        read[#read + 1] = #r.text > 20 and #r.text or r.text
        if r.text == "odd" then
          crier.log.critical("odd again", { bytes = r.bytes, nul = r.nul, esc = r.esc, tiny = r.tiny == 5e-324,
            big = r.big == math.maxinteger, nan = r.nan == nil })
        end
        if r.text == "many" then crier.log.critical("many again", { last = r.field10000 }) end
        if r.text == "long" then crier.log.critical("long again", { len = #r.s }) end
      end
      crier.log.critical("read", { n = n, texts = read })
    end)]]
  local records, lines

  setup(function()
    local bot = Bot.new(script)
    local r = bot:run({ "--for", "1s" })
    records, lines = {}, {}
    for _, one in ipairs(r.records) do records[one.text] = one end
    for line in (bot:read "out.jsonl"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    bot:close()
    assert.equal(0, r.code, r.err)
  end)

  local function line(text)
    for _, one in ipairs(lines) do
      if one:find('"text":"' .. text .. '"', 1, true) then return cjson.decode(one), one end
    end
    error("no line with the text " .. text)
  end

  it("are whole lines of JSON, all of them", function()
    local n = 0
    for _, one in ipairs(lines) do n = n + (cjson.decode(one).kind == "log" and 1 or 0) end
    assert.equal(9 + 4, n)
    assert.equal(9, records.read.n)
    assert.same({ "many", "long", 10485760, "odd", "cycle", "deep", "wide", "shared", "last" }, records.read.texts)
  end)

  it("with 10,000 fields", function()
    assert.equal(10000, line "many".field10000)
    assert.equal(1, line "many".field1)
    assert.equal(10000, records["many again"].last)
  end)

  it("with 10 MiB of text", function()
    assert.equal(10 * 1024 * 1024, #line "long".s)
    assert.equal(10 * 1024 * 1024, records["long again"].len)
  end)

  it("with invalid UTF-8, NUL and control characters", function()
    local r, text = line "odd"
    local bytes = "a\u{FFFD}\u{FFFD}(\u{FFFD}\u{FFFD}\u{FFFD}z"
    assert.equal(bytes, r.bytes)
    assert.equal("a\0b", r.nul)
    assert.equal("\1\27\"\\/\127", r.esc)
    assert.equal(1, r["k\u{FFFD}y\0"])
    assert.equal("three half yes", r["3"] .. " " .. r["1.5"] .. " " .. r.boolean)
    assert.is_nil(text:find "[%z\1-\31]")
    local again = records["odd again"]
    assert.same({ bytes, "a\0b", "\1\27\"\\/\127" }, { again.bytes, again.nul, again.esc })
  end)

  it("with NaN, infinities and the ends of the numbers", function()
    local r, text = line "odd"
    assert.same({ cjson.null, cjson.null, cjson.null }, { r.nan, r.inf, r.minus })
    assert.matches('"big":9223372036854775807[,}]', text)
    assert.equal(5e-324, r.tiny)
    local again = records["odd again"]
    assert.same({ true, true, true }, { again.tiny, again.big, again.nan })
  end)

  it("with cycles, depth 1,000 and values without end", function()
    local r = line "cycle"
    assert.same({ 1, "[cycle]", { "[cycle]" } }, { r.n, r.self, r.list })
    local at, depth = line "deep", 0
    while type(at.x) == "table" do at, depth = at.x, depth + 1 end
    assert.equal("[too deep]", at.x)
    assert.is_true(depth >= 50 and depth <= 64)
    local wide = line "wide".wide
    assert.equal(400, wide[1][400])
    assert.is_true(#wide < 300)
    assert.truthy(line "shared".t)
  end)
end)

describe("a sink with overflow = block", function()
  it("has the callback wait, loses nothing and spills nothing", function()
    local records, _, bot = logged(HEAD .. [[
      crier.config { limits = { callback = "10s", stop = "1m" } }
      crier.sink.console { format = "json", kinds = "system" }
      crier.sink.jsonl { path = "out.jsonl", kinds = "log", queue = 64, batch = 16, overflow = "block" }
      crier.on("start", function()
        for i = 1, 5000 do crier.log.info("n", { i = i }) end
      end)]], { run = "1s" })
    assert.equal(0, #records)
    local at = 0
    for one in (bot:read "out.jsonl"):gmatch "[^\n]+" do
      at = at + 1
      assert.equal(at, cjson.decode(one).i)
    end
    assert.equal(5000, at)
    for _, name in ipairs(bot:files()) do assert.is_nil(name:find("sinks/jsonl", 1, true), name) end
  end)

  it("does not hold up what cannot wait", function()
    local _, _, bot = logged(HEAD .. [[
      crier.sink.console { format = "json", kinds = "system" }
      crier.sink.jsonl { path = "out.jsonl", kinds = "log", queue = 16, batch = 16, overflow = "block" }
      for i = 1, 300 do crier.log.info("loading", { i = i }) end
      crier.on("start", function()
        table.sort({ 1, 2, 3, 4, 5 }, function(a, b)
          for i = 1, 100 do crier.log.info("sorting", { i = i }) end
          return a < b
        end)
        crier.log.info "end"
      end)]], { run = "500ms" })
    local n, last = 0, nil
    for one in (bot:read "out.jsonl"):gmatch "[^\n]+" do n, last = n + 1, cjson.decode(one).text end
    assert.is_true(n > 700)
    assert.equal("end", last)
  end)

  it("lets a cancelled callback go", function()
    local bot = Bot.new(HEAD .. [[
      crier.config { limits = { callback = false, stop = "300ms" } }
      crier.sink.console { format = "json" , kinds = "system" }
      crier.sink.jsonl { path = "/dev/full", kinds = "log", queue = 16, overflow = "block" }
      crier.on("start", function() while true do crier.log.info "n" end end)]])
    finally(function() bot:close() end)
    local r = bot:run({ "--for", "100ms" })
    assert.equal(0, r.code, r.err)
    assert.is_true(#Bot.select(r.records, function(one) return one.what == "stop" end) == 1)
    assert.is_false(proc.exists(bot:path "crash"))
  end)
end)
