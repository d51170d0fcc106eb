-- SPDX-License-Identifier: MIT
-- crier why: what a task or a message waits for, each part with its present truth.
local cjson = require "cjson"
local Bot = require "spec.support.bot"

local script = [[
local crier = require "crier"
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.config { timezone = "Europe/Ljubljana" }
crier.sink.console { name = "con", level = "debug" }
crier.task { name = "fetch", start = crier.every "10m" | crier.retry(3), run = function() end }
crier.task { name = "report", start = "every 1h & after task 'fetch' & ~running", stop = "after task 'fetch' failed",
  run = function() end }
crier.task { name = "slow", start = "every 1 s", run = function() crier.sleep "1h" end }
crier.task { name = "hand", run = function() end }
crier.task { name = "off", start = "always", disabled = true, run = function() end }
crier.task { name = "both", start = "never", run = function() end }
crier.GUILD { snowflake = "101", name = "Town", logging = true, messages = {
  crier.TextMESSAGE { name = "both", channels = { "201" }, period = crier.daily:at "03:00", remove_after = "30d", data = "x" },
} }
]]

describe("crier why", function()
  local bot
  local function why(...) return bot:crier { "why", ... } end
  setup(function()
    bot = Bot.new(script)
    bot:start()
    bot:wait_record(function(r) return r.task_name == "fetch" and r.action == "success" end)
    bot:wait_record(function(r) return r.task_name == "slow" end)
  end)
  teardown(function() bot:close() end)

  it("shows the parts of a task's conditions", function()
    local r = why "report"
    assert.equal(0, r.code, r.err)
    assert.match("^task report: not startable %(%a+ %d+ %a+ %d%d:%d%d:%d%d%)\n  AND +false\n    every 1h +false  last run ", r.out)
    assert.match("\n    after task 'fetch' +%a+ +fetch success %d", r.out)
    assert.match("\n    NOT +true\n      running +false  0 running\n", r.out)
    assert.match("\n  its runs are terminated when:\n    after task 'fetch' failed +false  ", r.out)
    assert.match("\n  last: success %a", r.out)
    r = why("bot.lua", "fetch")
    assert.match("\n  OR +false\n    every 10m +false  last run [%d:]+\n    retry 3 +false  last: success\n", r.out)
    assert.match("\n  next: %a[^\n]+ %(in %d+m%d+s%)\n$", r.out)
  end)

  it("says what else is in the way", function()
    local r = why "slow"
    assert.match("^task slow: running; it does not start again before that has ended", r.out)
    assert.match("\n  runs since %a[^\n]+ %(%w+%)\n", r.out)
    assert.match("^task hand: has no start: it runs only by hand", why("hand").out)
    assert.match("^task off: disabled: it runs only by hand.*\n  true +true\n", why("off").out)
    bot:crier { "task", "pause", "fetch" }
    assert.match("^task fetch: paused: it runs only by hand", why("fetch").out)
    bot:crier { "task", "resume", "fetch" }
    assert.match("^task fetch: not startable", why("fetch").out)
  end)

  it("knows messages, too", function()
    local r = why "Town/both"
    assert.match("^message both: not due", r.out)
    assert.match("\n  AND +false\n    daily 03:00 +false  next ", r.out)
    assert.match("\n    not paused +true\n    remove_after is not reached +true   at ", r.out)
    assert.match("\n  next: [^\n]+ 03:00:00 %(in ", r.out)
    bot:crier { "message", "pause", "both" }
    assert.match("^message both: paused: .*\n    not paused +false  crier message resume\n", why("Town/both").out)
    -- A name that both have.
    r = why "both"
    assert.match("^task both: .*\nmessage both: ", r.out)
  end)

  it("speaks JSON", function()
    local o = cjson.decode(why("report", "--json").out)
    assert.equal("AND", o.start.text)
    assert.equal("running", o.start.items[3].items[1].text)
    assert.is_false(o.start.items[3].items[1].truth)
    assert.equal("success", o.last)
    assert.equal("after task 'fetch' failed", o.stop.text)
  end)

  it("is used like this", function()
    assert.equal("crier why: no task or message 'reprot' (did you mean 'report'?)\n", why("reprot").err)
    assert.equal(64, why("reprot").code)
    assert.match("^crier why: which task or message%?\nusage: ", why().err)
  end)
end)
