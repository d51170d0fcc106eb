-- SPDX-License-Identifier: MIT
-- The gateway in a running bot: hooks, replies, invites, its state, restarts and reloads.
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local WORLD = {
  bots = { { token = "good.bot.token", name = "crier", user = "9" } },
  guilds = { { id = "100", name = "guild", channels = { { id = "201", name = "c1" },
    { id = "202", name = "c2" } }, invites = { { code = "abc", uses = 3 },
    { code = "once", uses = 0, max_uses = 1 } } } },
  users = { { id = "301", name = "ann" }, { id = "302", name = "bob" } },
}

local HEAD = [[
local crier = require "crier"
crier.bot { token = crier.secret.env "SPEC_TOKEN" %s }
crier.sink.console { format = "json" }
]]

local function script(more, bot) return HEAD:format(bot and ", " .. bot or "") .. more end

local function world(changes)
  local copy = {}
  for k, v in pairs(WORLD) do copy[k] = v end
  for k, v in pairs(changes or {}) do copy[k] = v end
  return copy
end

describe("the gateway", function()
  local w
  after_each(function()
    if w then w:close() end
    w = nil
  end)

  --- A world and a bot of this script that is connected.
  local function start(text, changes)
    w = World.new { script = text, world = world(changes) }
    w:up()
    w:wait_record(function(r) return r.what == "gateway.ready" end)
  end
  local function log(text)
    return w:wait_record(function(r) return r.kind == "log" and r.text == text end)
  end
  local function gateway() return w:status().bots[1].gateway end

  it("is not opened by a script that only sends", function()
    w = World.new { script = script [[
      crier.GUILD { snowflake = "100", messages = {
        crier.TextMESSAGE { name = "m", channels = { "201" }, period = "1h", data = "x" } } }
    ]], world = world() }
    w:up()
    w:wait_messages(1, 1)
    local stats = w:stats()
    assert.same({ 0, 0, 0 }, { stats.identifies, stats.connections, stats.gateway_events })
    assert.is_nil(gateway())
  end)

  it("calls hooks with Discord's objects", function()
    start(script [[
      crier.on("message", function(e)
        crier.log.info("message " .. e.content .. " of " .. e.author.username .. " by " .. e.bot)
      end)
      crier.on("channel.create", function(e) crier.log.info("made " .. e.name) end)
      crier.on("channel.delete", function(e) crier.log.info("gone " .. e.id) end)
      crier.on("guild.join", function(e) crier.log.info("joined " .. e.name) end)
      crier.on("guild.leave", function(e) crier.log.info("left " .. e.id) end)
      crier.on("member.join", function(e) crier.log.info("member " .. e.user.username) end)
    ]])
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "hello" }
    w:happen { ["do"] = "channel_create", guild = "100", channel = "205", name = "fresh" }
    w:happen { ["do"] = "channel_delete", channel = "205" }
    w:happen { ["do"] = "guild_join", guild = "101", name = "second" }
    w:happen { ["do"] = "guild_leave", guild = "100", unavailable = true }
    w:happen { ["do"] = "guild_join", guild = "100" }
    w:happen { ["do"] = "guild_leave", guild = "101" }
    w:happen { ["do"] = "member_join", guild = "100", user = "302" }
    log "member bob"
    local texts = {}
    for _, r in ipairs(w:records()) do
      if r.kind == "log" then texts[#texts + 1] = r.text end
    end
    assert.same({ "message hello of ann by bot", "made fresh", "gone 205", "joined second",
      "left 101", "member bob" }, texts)
    local g = gateway()
    assert.equal("guilds, members, messages, direct messages, message content", g.intents)
    assert.equal(1, g.guilds)
    assert.equal("ready", g.shards[1].state)
    assert.is_true(g.shards[1].session_age >= 0)
    local r = w:crier { "status", "bot.lua" }
    assert.matches("bot/0%s+ready", r.out)
  end)

  it("replies to people, never to bots or to itself", function()
    start(script [[
      crier.reply { when = "^!ping", data = "pong" }
      crier.reply { when = { content = crier.like "%weather%", channel_id = "202" },
        only_if = function(e) crier.sleep "10ms" return e.author.username == "ann" end,
        data = function(e) return "rain, " .. e.author.username end }
      crier.reply { when = function(e) return e.content == "psst" end, data = "yes?", to = "dm",
        cooldown = "1h" }
      crier.reply { when = "pong", data = "!ping" }
    ]])
    local function say(channel, user, content, bot)
      w:happen { ["do"] = "message", channel = channel, user = user, content = content, bot = bot }
    end
    say("201", "302", "!ping")
    w:wait_messages(1, 2)
    say("201", "303", "!ping", true)
    say("202", "302", "the weather?")
    say("202", "301", "the weather?")
    w:wait_messages(2, 3)
    say("201", "301", "psst")
    say("201", "301", "psst")
    w:wait_messages("ann", 1)
    assert.same({ "!ping", "pong", "!ping", "psst", "psst" }, w:texts(1))
    assert.same({ "the weather?", "the weather?", "rain, ann" }, w:texts(2))
    assert.same({ "yes?" }, w:texts "ann")
    local r = w:wait_record(function(r) return r.logger == "reply" and r.channel == "202" end)
    assert.same({ true, "301", "replied to ann" }, { r.ok, r.user, r.text })
  end)

  it("tells which invite a new member has used", function()
    local text = script [[
      crier.GUILD { snowflake = "100", invite_track = true }
      crier.on("invite.used", function(e) crier.log.info(e.name .. " " .. tostring(e.invite)) end)
    ]]
    start(text)
    -- Once somebody by no invite is told of, the counts are known.
    w:happen { ["do"] = "member_join", guild = "100", user = "303", name = "cy" }
    log "cy nil"
    w:happen { ["do"] = "member_join", guild = "100", user = "301", invite = "abc" }
    log "ann abc"
    w:happen { ["do"] = "member_join", guild = "100", user = "302", invite = "once" }
    log "bob once"
    w:happen { ["do"] = "invite_create", guild = "100", invite = "new" }
    w:happen { ["do"] = "member_join", guild = "100", user = "304", name = "di", invite = "new" }
    log "di new"
    local all = w.select(w:records(), function(r) return r.kind == "invite" end)
    assert.equal(4, #all)
    assert.same({ "ann joined guild by invite abc", "abc", 4, "301", "guild" },
      { all[2].text, all[2].invite.code, all[2].invite.uses, all[2].member.id, all[2].guild.name })
    assert.same({ false, true, true, true }, { all[1].ok, all[2].ok, all[3].ok, all[4].ok })
    -- While the bot is away somebody joins: the counts tell by which invite, not who.
    assert.equal(0, w:down())
    w:happen { ["do"] = "member_join", guild = "100", user = "305", name = "ed", invite = "new" }
    w:up()
    local missed = w:wait_record(function(r) return r.kind == "invite" end)
    assert.same({ "new", 1 }, { missed.invite.code, missed.members or 1 })
  end)

  it("goes on with its session after losses and after a restart", function()
    start(script [[
      crier.on("message", function(e) crier.log.info(e.content) end)
      crier.on("gateway.lost", function(e) crier.log.info("lost: " .. e.text) end)
    ]])
    w:fault { ["do"] = "gateway_close", code = 4000 }
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "one" }
    log "one"
    w:fault { ["do"] = "gateway_drop" }
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "two" }
    log "two"
    w:fault { ["do"] = "gateway_garbage" }
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "three" }
    log "three"
    assert.equal(0, w:down())
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "meanwhile" }
    w:up()
    log "meanwhile"
    -- What was killed goes on too, a second behind at most.
    w:kill()
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "after the kill" }
    w:up()
    log "after the kill"
    local stats = w:stats()
    assert.same({ 1, 5 }, { stats.identifies, stats.resumes })
    assert.equal("ready", gateway().shards[1].state)
  end)

  it("keeps its session over a reload, unless more is asked of it", function()
    start(script [[crier.on("channel.create", function(e) crier.log.info("a " .. e.name) end)]])
    w:write("bot.lua", script [[
      crier.on("channel.create", function(e) crier.log.info("b " .. e.name) end)]])
    assert.equal(0, w:crier({ "reload", "bot.lua" }).code)
    w:happen { ["do"] = "channel_create", guild = "100", channel = "205", name = "x" }
    log "b x"
    assert.equal(1, w:stats().identifies)
    w:write("bot.lua", script [[crier.on("message", function(e) crier.log.info(e.content) end)]])
    assert.equal(0, w:crier({ "reload", "bot.lua" }).code)
    proc.wait_for(function() return w:stats().identifies == 2 end)
    proc.wait_for(function() return gateway().shards[1].state == "ready" end)
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "heard" }
    log "heard"
    w:write("bot.lua", script "crier.log.info 'quiet'")
    assert.equal(0, w:crier({ "reload", "bot.lua" }).code)
    proc.wait_for(function() return w:stats().connections == 0 end)
    assert.equal(0, w:stats().sessions)
  end)

  it("drops events beyond its queue, and tells how many", function()
    start(script [[
      local gate = false
      crier.on("message", function(e)
        if e.content == "open" then gate = true end
        while not gate do crier.sleep "20ms" end
      end)
    ]])
    for i = 1, 1200 do
      w:happen { ["do"] = "message", channel = "201", user = "301", content = tostring(i) }
    end
    local r = w:wait_record(function(r) return r.what == "gateway.dropped" end)
    assert.equal("warning", r.level)
    proc.wait_for(function() return gateway().events_dropped == 1200 - 1000 - 64 end)
    assert.equal(1000, gateway().events_waiting)
  end)

  it("ends with 77 when its token is refused there, and says which intent is missing", function()
    start(script([[crier.log.info "up"]], "gateway = true"))
    w:fault { ["do"] = "gateway_close", code = 4004 }
    w.process:wait()
    assert.equal(77, w.process:code())
    assert.matches("the gateway closed with 4004", w.process:err(), 1, true)
    assert.is_nil(w.process:err():find("good.bot.token", 1, true))
    w:close()
    w = World.new { script = script [[crier.on("message", function() end)]],
      world = world { gateway = { disallowed = 1 << 15 } } }
    w:up()
    local r = w:wait_record(function(r) return r.what == "gateway.refused" end)
    assert.equal("critical", r.level)
    assert.matches("MESSAGE CONTENT INTENT", r.text, 1, true)
    assert.equal("stopped", gateway().shards[1].state)
  end)

  it("shows a presence", function()
    start(script("", [[presence = { status = "dnd", watching = "the news" }]]))
    w:write("bot.lua", script("", [[presence = "reading"]]))
    assert.equal(0, w:crier({ "reload", "bot.lua" }).code)
    assert.equal(0, w:down())
    assert.equal(1, w:stats().identifies)
  end)

  it("runs its shards one after the other, as Discord wants", function()
    local guilds = {}
    for i = 1, 6 do guilds[i] = { id = tostring(i << 22), name = "g" .. i } end
    w = World.new { script = script [[crier.on("guild.join", function() end)]],
      world = world { guilds = guilds, gateway = { shards = 2, max_concurrency = 2 } } }
    w:up()
    proc.wait_for(function()
      local g = gateway()
      return g and g.guilds == 6
    end)
    assert.equal(2, w:stats().identifies)
    assert.equal(2, #gateway().shards)
  end)
end)

describe("what the script says of the gateway", function()
  local function check(text)
    local bot = require("spec.support.bot").new(text)
    local r = bot:check({}, { env = { SPEC_TOKEN = "good.bot.token" } })
    bot:close()
    return r
  end

  it("is checked", function()
    local rows = {
      { [[crier.on("member.jion", function() end)]], "did you mean 'member.join'?" },
      { [[crier.reply { when = "(", data = "x" }]], "option 'when'" },
      { [[crier.reply { when = "x" }]], "'data'" },
      { [[crier.reply { when = "x", data = {} , coldown = "1s" }]], "cooldown" },
      { [[crier.USER { snowflake = "1", invite_track = true }]], "unknown option 'invite_track'" },
    }
    for _, row in ipairs(rows) do
      local r = check(script(row[1]))
      assert.equal(78, r.code, row[1])
      assert.matches(row[2], r.err .. r.out, 1, true)
    end
    local r = check(script("", [[presence = { state = "dnd" }]]))
    assert.matches("did you mean 'status'?", r.err .. r.out, 1, true)
    r = check(script([[crier.on("message", function() end)]], "gateway = false"))
    assert.equal(78, r.code)
    assert.matches("'gateway' is false", r.err .. r.out, 1, true)
    assert.equal(0, check(script([[crier.reply { when = "x", data = "y" }]])).code)
  end)
end)
