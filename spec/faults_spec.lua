-- SPDX-License-Identifier: MIT
-- Discord at its worst, in virtual time: a day of faults of every kind (spec/faults/day.lua), moderators
-- who time the bot out and take its roles, limits that hold up its very first request.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local SCRIPT = [[
local crier = require "crier"
crier.config { timezone = "UTC" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.GUILD { snowflake = "100", logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = { "201" }, %s, start_in = "1m", data = "x" } } }
]]

describe("a day of faults", function()
  it("ends each send as one message or one failure", function()
    local seeds = os.getenv "CRIER_DAY_SEEDS" or "3"
    local r = proc.run({ proc.crier, "spec", "-o", "TAP", "spec/faults/day.lua" },
      { env = { CRIER_DAY_SEEDS = seeds }, timeout = 600 })
    assert.equal(0, r.code, r.out .. r.err)
    assert.equal(tonumber(seeds), select(2, r.out:gsub("\n# seed ", "")) + (r.out:find "^# seed" and 1 or 0), r.out)
  end)
end)

describe("in virtual time", function()
  local bot
  after_each(function() bot:close() end)

  local function simulate(message, files, args)
    bot = Bot.new(SCRIPT:format(message), files)
    local r = bot:crier { "simulate", "bot.lua", "--from", "2026-11-21", "--json", table.unpack(args) }
    assert.equal(0, r.code, r.err)
    local records = {}
    for line in r.out:gmatch "[^\n]+" do
      local o = cjson.decode(line)
      if o.kind then records[#records + 1] = o end
    end
    return function(want)
      return Bot.select(records, function(x)
        for k, v in pairs(want) do if x[k] ~= v then return false end end
        return true
      end)
    end
  end
  local function clock(record) return record.time:sub(12, 16) end

  it("a timeout by a moderator and a lost role pause the channel, and say why", function()
    local find = simulate('period = "10m"', { ["world.json"] = cjson.encode {
      guilds = { { id = "100", name = "g", roles = {
        { id = "101", name = "press", permissions = { "SEND_MESSAGES" } },
        { id = "100", permissions = { "VIEW_CHANNEL", "READ_MESSAGE_HISTORY" } },
      }, members = { { roles = { "101" } } }, channels = { { id = "201", name = "c1" } } } },
      events = {
        { after = "1h", ["do"] = "member_update", guild = "100", timeout = "30m" },
        { after = "3h", ["do"] = "role_update", guild = "100", role = "101", permissions = "0" },
        { after = "4h", ["do"] = "role_update", guild = "100", role = "101",
          permissions = { "SEND_MESSAGES" } },
      },
    } }, { "--for", "6h", "--world", "world.json" })
    local paused = find { what = "channel.paused" }
    assert.matches("c1 is paused for 30m: 403 50013 Missing Permissions", paused[1].text, 1, true)
    assert.matches("a moderator has timed the bot out", paused[1].text, 1, true)
    local failed = find { kind = "message", ok = false }
    assert.equal("01:01", clock(failed[1]))
    assert.matches("a moderator has timed the bot out", failed[1].channels.failed[1].reason, 1, true)
    assert.equal("03:01", clock(failed[2]))
    for i = 2, #failed do
      assert.matches("the bot lacks: Send Messages", failed[i].text, 1, true)
    end
    local at = {}
    for _, r in ipairs(find { kind = "message", ok = true }) do at[clock(r)] = true end
    assert.is_true(at["00:51"] and at["01:31"] and at["02:51"] and at["04:01"] and at["05:51"])
    assert.is_nil(at["01:21"] or at["03:31"])
  end)

  it("a limit upon the first request of all is waited for, and the bot does not spin", function()
    local find = simulate('period = "10m"', { ["f.json"] = [==[ [ { "match": "GET /users/@me",
      "do": "status", "status": 429, "scope": "shared", "retry_after": 1800 } ] ]==] },
      { "--for", "2h", "--faults", "f.json" })
    assert.matches("bot 'bot' does not reach", find { what = "bot.unreachable" }[1].text, 1, true)
    local reached = find { what = "bot.reached" }
    assert.equal("00:30", clock(reached[1]))
    assert.is_true(#find { kind = "message", ok = true } >= 8)
  end)

  it("a page that says 403 before Discord is reached is no word against the token", function()
    local find = simulate('period = "10m"', { ["f.json"] = [==[ [ { "match": "GET /users/@me", "do":
      "status", "status": 403, "body": "<html>Please log in</html>", "for": "20m" } ] ]==] },
      { "--for", "2h", "--faults", "f.json" })
    local at = clock(find { what = "bot.reached" }[1])
    assert.is_true(at >= "00:20" and at < "01:00", at)
  end)

  it("a message that may not be edited any more is replaced, not doubled", function()
    bot = Bot.new(SCRIPT:format('mode = "edit", period = "10m"'), { ["s_spec.lua"] = [==[
      local testing = require "crier.testing"
      it("s", function()
        local bot = testing.load("bot.lua")
        bot:advance "5m"
        bot:fault { match = "PATCH /channels/*/messages/*", ["do"] = "status", status = 429,
          body = { code = 30046, message = "Maximum number of edits", retry_after = 60 } }
        local before = bot:channel "201"
        bot:advance "10m"
        local after = bot:channel "201"
        assert(#before == 1 and #after == 1 and before[1].id ~= after[1].id, testing.json(after))
        bot:close()
      end)]==] })
    local r = bot:crier { "spec", "s_spec.lua" }
    assert.equal(0, r.code, r.out .. r.err)
  end)
end)
