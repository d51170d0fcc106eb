-- SPDX-License-Identifier: MIT
-- What a script says of its sinks, whatever their kind: fallbacks, secrets, retries.
local Bot = require "spec.support.bot"

describe("a sink's", function()
  local bot
  after_each(function()
    if bot then bot:close() end
    bot = nil
  end)

  local function problems(script, env)
    bot = Bot.new("local crier = require 'crier'\n" .. script)
    finally(function() bot:close() bot = nil end)
    local r = bot:check(nil, { env = env })
    return r.out .. r.err, r.code
  end

  it("fallback is another sink, or the name of one", function()
    local out, code = problems [[
      local a = crier.sink.memory { name = "a" }
      crier.sink.memory { name = "b", fallback = a, retry = { times = 3, delay = "1s" } }
      crier.sink.memory { name = "c", fallback = "d" }
      crier.sink.memory { name = "d" }]]
    assert.equal(0, code, out)
    assert.is_truthy(out:find("0 errors, 0 warnings", 1, true), out)
    out = problems [[crier.sink.memory { name = "a", fallback = 5 }]]
    assert.is_truthy(out:find("option 'fallback' must be a sink or the name of one, got the number 5", 1, true), out)
    out = problems [[crier.sink.memory { name = "files" } crier.sink.memory { name = "a", fallback = "fils" }]]
    assert.is_truthy(out:find("sink 'a': option 'fallback': there is no sink 'fils' (did you mean 'files'?)", 1, true), out)
    out = problems [[crier.sink.memory { name = "a", retry = { tims = 3 } }]]
    assert.is_truthy(out:find("unknown option 'tims' (did you mean 'times'?)", 1, true), out)
  end)

  it("fallback never leads back to it", function()
    local out = problems [[crier.sink.memory { name = "a", fallback = "a" }]]
    assert.is_truthy(out:find("bot.lua:2:7: sink 'a': the fallback of 'a' leads back to 'a' (let the last one have no "
      .. "fallback)", 1, true), out)
    local code
    out, code = problems [[
      crier.sink.memory { name = "x", fallback = "a" }
      crier.sink.memory { name = "a", fallback = "b" }
      crier.sink.memory { name = "b", fallback = "c" }
      crier.sink.memory { name = "c", fallback = "a" }]]
    assert.equal(78, code)
    assert.is_truthy(out:find("the fallback of 'a' leads back to 'a'", 1, true), out)
    assert.is_truthy(out:find("1 error, 0 warnings", 1, true), out)
  end)

  it("fallback counts as a way to it", function()
    local out = problems [[
      local a = crier.sink.memory { name = "a" }
      local b = crier.sink.memory { name = "b", fallback = a }
      crier.route { to = b }]]
    assert.is_truthy(out:find("0 errors, 0 warnings", 1, true), out)
  end)

  it("fallback that is opened anew brings it along", function()
    local script = [[
      local crier = require "crier"
      crier.sink.console { format = "json" }
      local a = crier.sink.memory { name = "a", max = %d }
      local b = crier.sink.memory { name = "b", fallback = a }
      local c = crier.sink.memory { name = "c", fallback = b }
      local d = crier.sink.memory { name = "d" }]]
    bot = Bot.new(script:format(10))
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    assert.equal("", (bot:crier { "reload" }).out:match "[~+-] sink" or "")
    bot:write("bot.lua", script:format(20))
    local out = bot:crier({ "reload" }).out
    assert.is_truthy(out:find("~ sink +a +reopened\n"), out)
    assert.is_truthy(out:find("~ sink +b +reopened: so is its fallback\n"), out)
    assert.is_truthy(out:find("~ sink +c +reopened: so is its fallback\n"), out)
    assert.is_nil(out:find("sink +d"), out)
    assert.equal(0, bot.process:stop())
  end)

  it("secret that says something else is told at a reload, and the sink opened anew", function()
    bot = Bot.new [[
      local crier = require "crier"
      crier.sink.console { format = "json" }
      crier.sink.sql { name = "db", dsn = crier.secret.file "dsn" }]]
    bot:write("dsn", "Driver=SQLite3;Database=first.db")
    bot:start()
    bot:wait_record(function(r) return r.what == "start" end)
    assert.is_nil(bot:crier({ "reload" }).out:find "[~+-] sink")
    bot:write("dsn", "Driver=SQLite3;Database=second.db")
    local out = bot:crier({ "reload" }).out
    assert.is_truthy(out:find "~ sink +db +reopened: its secret has changed\n", out)
    assert.is_nil(bot:crier({ "reload" }).out:find "[~+-] sink")
    assert.equal(0, bot.process:stop())
    assert.is_truthy(bot:read "second.db")
  end)

  it("address may be a secret, which is never shown", function()
    local script = [[
      local crier = require "crier"
      crier.sink.console { format = "json" }
      crier.sink.redis { url = crier.secret.env "SPEC_URL", timeout = %q }
    ]]
    local secret = "redis://me:s3cret@127.0.0.1:1/7"
    bot = Bot.new(script:format "1s")
    local r = bot:check(nil, { env = { SPEC_URL = secret } })
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_truthy(r.out:find("0 errors, 0 warnings", 1, true), r.out)
    bot:start(nil, { env = { SPEC_URL = secret } })
    bot:wait_record(function(rec) return rec.what == "sink" and rec.text:find("127.0.0.1:1", 1, true) end)
    bot:write("bot.lua", script:format "2s")
    local out = bot:crier({ "reload" }).out
    assert.is_truthy(out:find("~ sink +redis"), out)
    out = out .. bot:crier({ "status" }).out .. bot:crier({ "status", "--json" }).out
    bot.process:signal "TERM"
    bot.process:wait()
    out = out .. bot.process:out() .. bot.process:err()
    assert.is_nil(out:find("s3cret", 1, true))
    for _, name in ipairs(bot:files()) do assert.is_nil(bot:read(name):find("s3cret", 1, true), name) end
  end)

  it("address that is a secret serves the commands that read what is stored, too", function()
    local redis = require "spec.support.redis".new()
    finally(function() redis:close() end)
    bot = Bot.new [[
      local crier = require "crier"
      crier.sink.redis { url = crier.secret.env "SPEC_URL", format = "json" }
      crier.on("start", function() crier.log.warning "in redis" end)]]
    local env = { SPEC_URL = redis.url }
    assert.equal(0, bot:run({ "--for", "300ms" }, { env = env }).code)
    local r = bot:crier({ "logs", "bot.lua", "--sink", "redis" }, { env = env })
    assert.equal(0, r.code, r.out .. r.err)
    assert.is_truthy(r.out:find("in redis", 1, true), r.out .. r.err)
    r = bot:crier({ "logs", "bot.lua" })
    assert.is_truthy((r.out .. r.err):find("SPEC_URL is not set", 1, true), r.out .. r.err)
  end)

  it("address that is a secret not set: a warning in check, memory in --sim, exit 78 in run", function()
    bot = Bot.new [[
      local crier = require "crier"
      local redis = crier.sink.redis { name = "r", url = crier.secret.env "SPEC_URL" }
      crier.sink.console { format = "json", kinds = "log" }
      crier.on("start", function()
        crier.log.info "one"
        crier.log.info("kept", { n = redis:filter { text = "one" }:count() })
      end)]]
    local r = bot:check()
    assert.equal(0, r.code)
    assert.is_truthy(r.out:find("warning: sink 'r': option 'url': the environment variable SPEC_URL is not set (set it)",
      1, true), r.out)
    r = bot:run { "--for", "200ms" }
    assert.equal(0, r.code, r.err)
    assert.is_truthy(r.err:find("in --sim its records are kept in memory", 1, true), r.err)
    assert.equal(1, r.records[2].n)
    r = bot:crier { "run", "bot.lua", "--for", "200ms" }
    assert.equal(78, r.code)
    assert.is_truthy(r.err:find("SPEC_URL is not set", 1, true), r.err)
  end)

  it("address in plain text is fine without a password, and hidden with one", function()
    local out = problems [[crier.sink.redis { url = "redis://127.0.0.1/3" }]]
    assert.is_truthy(out:find("0 errors, 0 warnings", 1, true), out)
    out = problems [[crier.sink.redis { url = "redis://me:s3cret@127.0.0.1/3" }]]
    assert.is_truthy(out:find("warning: sink: option 'url' has a password in it", 1, true), out)
    assert.is_nil(out:find("s3cret", 1, true))
    out = problems [[crier.sink.redis { url = 5 }]]
    assert.is_truthy(out:find([[option 'url' must be an address, or a secret such as crier.secret.env "SINK_URL", got ]]
      .. "the number 5", 1, true), out)
  end)
end)
