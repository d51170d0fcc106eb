-- SPDX-License-Identifier: MIT
-- crier.sink.redis in a script.
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"
local proc = require "spec.support.proc"

describe("crier.sink.redis", function()
  local bot, redis
  after_each(function()
    if bot then bot:close() end
    if redis then redis:close() end
    bot, redis = nil, nil
  end)

  local function sink(options)
    return ([[
      local crier = require "crier"
      crier.sink.console { format = "json" }
      local redis = crier.sink.redis { %s }
    ]]):format(options)
  end

  it("is checked", function()
    local function problems(options)
      bot = Bot.new(sink(options))
      finally(function() bot:close() end)
      local r = bot:check()
      assert.equal(78, r.code, r.out .. r.err)
      return r.out .. r.err
    end
    assert.is_truthy(problems "common = { maks = 5 }":find("'maks' (did you mean 'max'?)", 1, true))
    assert.is_truthy(problems "common = { max = 0 }":find("option 'max' must be at least 2", 1, true))
    assert.is_truthy(problems "common = 5":find("option 'common' must be a table, got the number 5", 1, true))
    assert.is_truthy(problems '["common.max"] = 5':find("unknown option 'common.max'", 1, true))
    local out = problems 'url = "redis://u:s3cret@h", recent = 0'
    assert.is_truthy(out:find("option 'recent' must be at least 1", 1, true))
    assert.is_nil(out:find("s3cret", 1, true))
  end)

  it("is refused with the reason when its address is wrong", function()
    bot = Bot.new(sink 'url = "redis://u:s3cret@"')
    local r = bot:run { "--for", "100ms" }
    assert.equal(78, r.code)
    assert.is_truthy((r.out .. r.err):find("option 'url': the host is missing", 1, true))
    assert.is_nil((r.out .. r.err):find("s3cret", 1, true))
  end)

  it("counts by its options", function()
    redis = Redis.new()
    bot = Bot.new(sink(([[url = %q, recent = 5, common = { max = 3 }]]):format(redis.url)) .. [[
      for i = 1, 60 do
        local c = i % 6 + 1
        crier.log.info(("%s message %d"):format(("abcdef"):sub(c, c), i))
      end
    ]])
    local r = bot:run { "--for", "300ms" }
    assert.equal(0, r.code, r.err)
    assert.equal("5", redis("LLEN", "recent:bot:info"))
    assert.is_truthy(redis("LINDEX", "recent:bot:info", "0"):match "^%d+%-%d%d%-%d%dT[%d:.]+Z a message 60$")
    assert.equal("3", redis("ZCARD", "common:bot:info"))
    assert.is_true(tonumber(redis("ZSCORE", "common:bot:info", "(other)")) >= 20)
  end)

  it("counts nothing with common = false, and refuses other machines in --sim", function()
    redis = Redis.new()
    bot = Bot.new(sink(([[url = %q, common = false]]):format(redis.url)) .. [[
      crier.sink.redis { name = "far", url = "redis://192.0.2.1" }
      crier.log.info "x"
    ]])
    local r = bot:run { "--for", "300ms" }
    assert.equal(0, r.code, r.err)
    assert.equal("1", redis("LLEN", "recent:bot:info"))
    assert.equal("0", redis("EXISTS", "common:bot:info"))
    local told
    for _, record in ipairs(r.records) do
      told = told or record.text:find("redis 192.0.2.1:6379: refused in --sim", 1, true)
    end
    assert.is_truthy(told)
  end)

  it("gets each record once and in order while Redis goes and comes", function()
    redis = Redis.new()
    local options = [[url = %q, recent = 1000, kinds = "log", batch = 7]]
    bot = Bot.new(sink(options:format(redis.url)) .. [[
      crier.on("start", function()
        for n = 1, 400 do
          crier.log.info("number", { n = n })
          if n % 10 == 0 then crier.sleep "20ms" end
        end
        crier.log.warning "end"
      end)
    ]])
    local function lines() return tonumber(redis("LLEN", "recent:bot:info")) or 0 end
    local p = bot:start()
    proc.wait_for(function() return lines() >= 50 end)
    redis:stop()
    bot:wait_record(function(r) return r.kind == "system" and r.text:find("redis", 1, true)
      and r.text:find "tried again" end)
    redis:start()
    bot:wait_record(function(r) return r.text == "end" end)
    assert.equal(0, p:stop())
    assert.equal(400, lines())
    assert.equal("400", redis("ZSCORE", "common:bot:info", "number"))
    local last
    for time in redis("LRANGE", "recent:bot:info", "0", "-1"):gmatch "(%S+) number" do
      assert.is_true(last == nil or time <= last)
      last = time
    end
  end)

  it("reads back its lines and its counts", function()
    redis = Redis.new()
    local script = sink(([[url = %q, recent = 50]]):format(redis.url)) .. [[
      for i = 1, 30 do crier.log.error("shop " .. i .. " is closed") end
      for i = 1, 3 do crier.log.error("no 'bread" .. i .. "'") end
      crier.log.warning "late"
      crier.on("start", function()
        local function say(what, ...)
          local n = select("#", ...)
          for i = 1, n do
            local v = select(i, ...)
            crier.log.info("said", { what = what, i = i, v = v })
          end
        end
        say("recent", redis:recent("bot", "error"))
        say("limit", redis:recent("bot", 40, 2))
        say("none", redis:recent("nobody", "info"))
        say("common", redis:common { logger = "bot", level = "error" })
        say("all", redis:common { limit = 2 })
        say("last", redis:common { hour = "last" })
        say("empty", redis:common())
        say("wrong", redis:recent("bot", "loud"))
        say("wrong2", redis:common { levle = "error" })
        say("wrong3", redis:common { hour = "next" })
        say("wrong4", pcall(function() return redis:often() end))
      end)
    ]]
    bot = Bot.new(script)
    local r = bot:run { "--for", "500ms" }
    assert.equal(0, r.code, r.err)
    local said = {}
    for _, record in ipairs(r.records) do
      if record.text == "said" then
        said[record.what] = said[record.what] or {}
        said[record.what][record.i] = record.v
      end
    end
    local recent = said.recent[1]
    assert.equal(33, #recent)
    assert.equal("no 'bread3'", recent[1].text)
    assert.equal("shop 1 is closed", recent[33].text)
    assert.is_true(math.abs(recent[1].time - os.time()) < 60)
    assert.equal(2, #said.limit[1])
    assert.equal("no 'bread2'", said.limit[1][2].text)
    assert.equal(0, #said.none[1])
    local common = said.common[1]
    assert.equal(2, #common)
    assert.same({ "bot", "error", "shop <n> is closed", 30 },
      { common[1].logger, common[1].level, common[1].text, common[1].count })
    assert.equal(3, common[2].count)
    assert.is_truthy(common[1].start:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:00:00Z$")
    assert.equal(30, said.all[1][1].count)
    assert.equal(2, #said.all[1])
    assert.equal(0, #said.last[1])
    local seen = {}
    for _, entry in ipairs(said.empty[1]) do seen[entry.logger .. ":" .. entry.level .. ":" .. entry.text] = entry.count end
    assert.equal(1, seen["bot:warning:late"])
    assert.is_truthy(said.wrong[2]:find('recent needs a level', 1, true))
    assert.is_truthy(said.wrong[2]:find('write redis:recent("bot", "error")', 1, true))
    assert.is_truthy(said.wrong2[2]:find("unknown option 'levle'", 1, true))
    assert.is_truthy(said.wrong3[2]:find('hour is "this" or "last"', 1, true))
    assert.is_false(said.wrong4[1])
    assert.is_truthy(said.wrong4[2]:find("has no function 'often' (there are: filter, recent, common)", 1, true))
  end)

  it("makes messages alike by a function of the script, which runs elsewhere", function()
    local function problems(code)
      bot = Bot.new("local outside = 1\n" .. sink("normalize = " .. code))
      finally(function() bot:close() end)
      local r = bot:check()
      assert.equal(78, r.code, r.out .. r.err)
      return r.out .. r.err
    end
    assert.is_truthy(problems "function(t) return t .. outside end":find(
      "option 'normalize' uses 'outside' from outside of it", 1, true))
    assert.is_truthy(problems "string.lower":find("must be a function written in Lua", 1, true))
    assert.is_truthy(problems "5":find("must be a function", 1, true))

    redis = Redis.new()
    bot = Bot.new(sink(([[url = %q, kinds = "log", normalize = function(text)
      if text:find "boom" then error "no such text" end
      if text:find "loop" then while true do end end
      if text:find "nil" then return nil end
      if text:find "long" then return text:rep(100) end
      return (text:gsub("%%d+", "N"):upper())
    end ]]):format(redis.url)) .. [[
      for i = 1, 20 do crier.log.error("shop " .. i) end
      for _, text in ipairs { "boom 5", "nil 5", "loop 5", "long 12345" } do crier.log.error(text) end
      crier.on("start", function()
        for _, e in ipairs(assert(redis:common { logger = "bot", level = "error" })) do
          crier.log.info("count", { of = e.text, count = e.count })
        end
      end)
    ]])
    local r = bot:run { "--for", "2s" }
    assert.equal(0, r.code, r.err)
    local counts, told = {}, 0
    for _, record in ipairs(r.records) do
      if record.text == "count" then counts[record.of] = record.count end
      if record.kind == "system" and record.text:find("troubled: normalize: ", 1, true) then
        told = told + 1
      end
    end
    -- What fails is made alike in crier's own way, and no record is lost.
    assert.same({ ["SHOP N"] = 20, ["boom <n>"] = 1, ["nil <n>"] = 1, ["loop <n>"] = 1,
      [("long 12345"):rep(100):sub(1, 512)] = 1 }, counts)
    assert.equal(1, told)
    assert.equal("24", redis("LLEN", "recent:bot:error"))
  end)
end)
