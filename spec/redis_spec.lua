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
    bot:wait_record(function(r) return r.text == "end" end, 20)
    assert.equal(0, p:stop())
    assert.equal(400, lines())
    assert.equal("400", redis("ZSCORE", "common:bot:info", "number"))
    local last
    for time in redis("LRANGE", "recent:bot:info", "0", "-1"):gmatch "(%S+) number" do
      assert.is_true(last == nil or time <= last)
      last = time
    end
  end)
end)
