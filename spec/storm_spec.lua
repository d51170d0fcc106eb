-- SPDX-License-Identifier: MIT
-- What nobody does on purpose: reloads by the dozen while everything goes on, stops at the worst
-- moment, values that are made to hang or to crash the host.
local socket = require "socket"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local stress = [[
local crier = require "crier"
crier.config { limits = { drain = "1s", stop = "2s" } }
crier.bot { token = crier.secret.env "STORM" }
local files = crier.sink.json { name = "files", path = "Hist", LEVEL }
local mem = crier.sink.memory { name = "mem" }
local out = crier.sink.console { name = "out", format = "json", level = "error" }
crier.route { match = { kind = "message" }, to = { files, mem } }
crier.route { match = function(r) if r.text == "boom" then error "match" end return r.kind == "log" end,
              to = mem }
crier.route { match = crier.otherwise, to = { mem, out } }
local st = crier.state("c", { n = 0, list = {} })
local get = crier.data_function(function(ctx)
  st.n = st.n + 1
  st.list[#st.list % 20 + 1] = ctx.name
  local r = math.random(9)
  if r == 1 then crier.sleep "50ms"
  elseif r == 2 then error "data failed"
  elseif r == 3 then return nil
  elseif r == 4 then crier.sleep "1s"
  elseif r == 5 then
    local hits = mem:filter { kind = "message" }:limit(10):all()
    crier.log.info("q", { n = hits and #hits, ctx = ctx })
  elseif r == 6 then
    return { "a", crier.EMBED { title = "t" }, crier.FILE { name = "x.txt", data = "abc" } }
  elseif r == 7 then crier.log.info "boom"
  elseif r == 8 then return 42 end
  return "x" .. st.n
end)
local messages = {}
for i = 1, 30 do
  messages[i] = crier.TextMESSAGE { name = "m" .. i, channels = { 1000 + i, 2000 + i },
    mode = ({ "send", "edit", "clear-send" })[i % 3 + 1], period = ({ PERIODS })[i % 3 + 1],
    data = i % 2 == 0 and get { 1, 2 } or "const", remove_after = i % 7 == 0 and 5 or nil }
end
crier.GUILD { snowflake = "555", logging = true, messages = messages }
crier.USER { snowflake = "777", logging = true, messages = {
  crier.DirectMESSAGE { name = "dm", period = "200ms", data = get {} } } }
crier.on("message.sent", function()
  st.n = st.n + 1
  if math.random(5) == 1 then error "hook" end
  if math.random(10) == 1 then crier.sleep "100ms" end
end)
]]

local function version(level, periods)
  return (stress:gsub("LEVEL", level):gsub("PERIODS", periods))
end

local versions = {
  version('level = "info"', '"100ms", "150ms", "300ms"'),
  version('level = "debug"', '"100ms", "150ms", "300ms"'),
  version('level = "info"', '"200ms", "150ms", "300ms"'),
  "local crier = require 'crier' this is not Lua",
}

describe("a storm", function()
  local b

  after_each(function()
    if b then b:close() end
    b = nil
  end)

  -- The end: which signals follow the storm.
  for name, signals in pairs {
    ["an orderly stop"] = { "TERM" },
    ["a stop that is asked for twice"] = { "TERM", "TERM" },
    ["a stop in the middle of a reload"] = { "HUP", "TERM", "TERM", "INT" },
  } do
    it("of 40 reloads ends well: " .. name, function()
      b = Bot.new(versions[1])
      b:start({ "--sim-no-limits" })
      proc.wait_for(function() return #b:days("Hist") > 0 end, nil, "the first record")
      for i = 1, 40 do
        b:write("bot.lua", versions[i % #versions + 1])
        b.process:signal "HUP"
        if i % 10 == 0 then b.process:signal "USR1" end
        socket.sleep(0.02) -- the storm's own rhythm
      end
      for _, s in ipairs(signals) do b.process:signal(s) end
      assert.equal(0, b.process:wait(), b.process:err():sub(-2000))
      assert.not_match("Sanitizer", b.process:err())
      for _, day in ipairs(b:days("Hist")) do
        for i, entry in ipairs(day.doc.message_history) do
          assert.equal(#day.doc.message_history - i, entry.index, day.path)
        end
      end
    end)
  end
end)

describe("a value", function()
  local function run(script, args)
    local b = Bot.new("local crier = require 'crier'\ncrier.sink.console { format = 'json' }\n" .. script)
    local r = b:run(args or { "--for", "1s" })
    b:close()
    assert.equal(0, r.code, r.err)
    local texts = {}
    for _, record in ipairs(r.records) do
      if record.kind == "log" then texts[record.text] = record end
    end
    return texts, r
  end

  it("of 2^40 shared tables is cut, in a record and in crier.state", function()
    local texts, r = run [[
      local t = {}
      for _ = 1, 40 do t = { t, t } end
      local s = crier.state("s", {})
      crier.on("start", function()
        crier.log.info("shared", { t = t })
        s.t = t
        crier.sleep "100ms"
        crier.log.info "after"
      end)]]
    assert.is_table(texts.shared)
    assert.is_table(texts.after)
    local told = Bot.select(r.records, function(x) return x.what == "state" end)
    assert.match("crier.state 's' cannot be saved", told[1].text)
  end)

  it("that holds itself, a function or everything is told by words", function()
    local texts = run [[
      local t = { f = print, secret = crier.secret.env "X" }
      t.me = t
      crier.on("start", function() crier.log.info("cycle", { t = t, g = _G }) end)]]
    assert.equal("[cycle]", texts.cycle.t.me)
    assert.equal("a function", texts.cycle.t.f)
    assert.equal("*****", texts.cycle.t.secret)
  end)

  it("read by a finalizer after its own end is an error, not a crash", function()
    run [[
      local t = setmetatable({}, { __gc = function(o) print(pcall(function() return o.r.text end)) end })
      crier.on("start", function(e) t.r = crier.sinks.m:filter {}:first() end)
      crier.sink.memory { name = "m" }]]
  end)

  it("logged by a finalizer while another is logged is a record of its own", function()
    local texts = run [[
      crier.on("start", function()
        collectgarbage("setpause", 1)
        for i = 1, 300 do
          setmetatable({}, { __gc = function() crier.log.info("inner", { a = i }) end })
          crier.log.info("outer", { x = function() end, s = ("y"):rep(50) .. i, last = i })
        end
      end)]]
    assert.is_table(texts.outer)
    assert.is_table(texts.inner)
    assert.equal(300, texts.outer.last)
    assert.equal("a function", texts.outer.x)
  end)

  it("that pretends to be an operator is refused", function()
    local texts = run [[
      crier.sink.memory { name = "m" }
      crier.on("start", function()
        local forged = crier.one_of(1)
        forged.n = 1000000000000
        local ok, why = pcall(function() return crier.sinks.m:filter { x = forged }:all() end)
        crier.log.info("list", { ok = ok, why = why })
        forged.op, forged.n = "evil", 1
        ok, why = pcall(function() return crier.sinks.m:filter { x = forged }:all() end)
        crier.log.info("op", { ok = ok, why = why })
      end)]]
    assert.match("a list of more than 10000 values", texts.list.why)
    assert.match("crier.evil does not compare a field", texts.op.why)
  end)

  it("for a match function that meets a full memory is an error there, not the host's end", function()
    local texts = run [[
      crier.config { limits = { memory = "4MiB" } }
      local out = crier.sinks.console
      crier.route { match = function(r) return r.text ~= nil end, to = out }
      local hog = {}
      crier.on("start", function()
        pcall(function() for i = 1, 1e9 do hog[i] = ("x"):rep(1000) .. i end end)
        for i = 1, 100 do pcall(crier.log.info, "full") end
        hog = nil
        crier.log.info "alive"
      end)]]
    assert.is_table(texts.alive)
  end)
end)
