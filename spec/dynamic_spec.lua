-- SPDX-License-Identifier: MIT
-- GUILDs by pattern, crier.add, remove and update, and what the gateway's cache answers in Discord's place.
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local HEAD = [[
local crier = require "crier"
crier.bot { token = crier.secret.env "SPEC_TOKEN" %s }
]]
local function script(more, bot) return HEAD:format(bot and ", " .. bot or "") .. more end

local WAIT = 60

local function town(id, name)
  return { id = id, name = name, channels = {
    { id = id .. "1", name = "news", type = 0 }, { id = id .. "2", name = "talk", type = 0 } } }
end

describe("while the bot runs", function()
  local w

  local function world(opt)
    opt.world = opt.world or { bots = { { token = "good.bot.token", name = "crier", user = "9" } },
      guilds = { town("100", "Old Town"), town("102", "Village") }, users = { { id = "301", name = "ann" } } }
    w = World.new(opt)
    return w
  end
  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local function wait(what, pattern, n)
    local hits
    proc.wait_for(function()
      hits = World.select(w:records(), function(r)
        return (r.what == what or r.kind == what) and (r.text or ""):find(pattern or "", 1, true)
      end)
      return #hits >= (n or 1)
    end, WAIT, function() return w.process:out() .. w.process:err() end)
    return hits
  end
  local function count(what) return #World.select(w:records(), function(r) return r.what == what end) end
  local function eval(code)
    local r = w:crier { "eval", code }
    return r.code, ((r.out .. r.err):gsub("%s+$", ""))
  end
  local function names()
    local list = {}
    for _, m in ipairs(w:status().messages) do list[#list + 1] = m.guild .. "/" .. m.name end
    table.sort(list)
    return table.concat(list, ", ")
  end
  local function of_guild(id)
    return function(r) return r.kind == "message" and r.guild.id == id and r.sent_data end
  end

  local DIGEST = [[
    local get = crier.data_function(function(ctx, list)
      local item = table.remove(list, 1)
      list[#list + 1] = item
      return item .. " in " .. ctx.guild.name
    end)
    crier.GUILD { snowflake = crier.guilds { crier.contains "town" }, logging = true, messages = {
      crier.TextMESSAGE { name = "digest", channels = crier.channels { crier.contains "news" }, period = "%s",
        data = get { "one", "two" } } } }
  ]]

  describe("guilds by pattern", function()
    it("come in and go out with what the gateway tells", function()
      world { script = script(DIGEST:format "200ms", "gateway = true") }
      w:up()
      wait("guild.in", "guild 'Old Town' (100) matches crier.guilds all{contains town} (bot.lua:8): 1 message begins")
      w:wait_messages("1001", 2)
      assert.same({ "one in Old Town", "two in Old Town" }, table.move(w:texts "1001", 1, 2, 1, {}))
      assert.equal("Old Town/digest", names())
      wait "gateway.ready"
      w:happen { ["do"] = "guild_join", guild = "101", name = "New Town" }
      w:happen { ["do"] = "channel_create", guild = "101", channel = "1011", name = "news" }
      wait("guild.in", "'New Town' (101)")
      w:wait_messages("1011", 2)
      assert.same({ "one in New Town", "two in New Town" }, table.move(w:texts "1011", 1, 2, 1, {}))
      proc.wait_for(function() return #World.select(w:records(), of_guild "101") > 1 end, WAIT)
      local r = World.select(w:records(), of_guild "101")[1]
      assert.same({ "New Town", "101", "GUILD", "digest" }, { r.guild.name, r.guild.id, r.guild.type, r.name })
      assert.equal("New Town/digest, Old Town/digest", names())
      -- An outage is no leaving.
      w:happen { ["do"] = "guild_leave", guild = "101", unavailable = true }
      w:happen { ["do"] = "guild_update", guild = "100", name = "Old City" }
      wait("guild.out", "guild 'Old Town' (100) has a new name, which does not match crier.guilds")
      assert.equal("New Town/digest", names())
      w:happen { ["do"] = "guild_leave", guild = "101" }
      wait("guild.out", "guild 'New Town' (101) is left: crier.guilds all{contains town} (bot.lua:8): 1 message ends")
      assert.equal("", names())
      w:happen { ["do"] = "guild_update", guild = "102", name = "A town" }
      wait("guild.in", "'A town' (102)")
      assert.equal("A town/digest", names())
      assert.same({ 3, 2 }, { count "guild.in", count "guild.out" })
    end)

    it("are looked up without a gateway, and go on over a restart", function()
      world { script = script(DIGEST:format "1h") }
      w:up()
      w:wait_messages("1001", 1)
      proc.wait_for(function() return w:message_status("digest").sent == 1 end, WAIT)
      assert.equal(0, w:down())
      assert.matches("Old Town/digest", w:crier({ "plan", "--state", ".crier/sim", "bot.lua" }).out, 1, true)
      w:happen { ["do"] = "guild_join", guild = "101", name = "New Town" }
      w:happen { ["do"] = "channel_create", guild = "101", channel = "1011", name = "news" }
      w:up()
      w:wait_messages("1011", 1)
      assert.same({ 1, 0 }, { count "guild.in", count "guild.out" })
      assert.equal(1, #w:messages "1001")
      -- By hand, by the guild's name.
      local shown = w:crier({ "message", "preview", "Old Town/digest" }).out
      assert.matches("to       #news: sends (1001)", shown, 1, true)
      assert.matches("one in Old Town", shown, 1, true) -- a restart has begun the list anew
      assert.equal(0, w:crier({ "message", "send", "Old Town/digest" }).code)
      assert.equal(2, #w:messages "1001")
      -- Another pattern: what matches both goes on.
      local r = w:reload(script((DIGEST:format("1h"):gsub('contains "town"', 'regex "^(old|vill)"'))))
      assert.matches("~ message digest %s+guilds all{contains town} %-> all{regex ^%(old|vill%)}", r.out)
      wait("guild.in", "'Village' (102)")
      w:wait_messages("1021", 1)
      assert.equal("Old Town/digest, Village/digest", names())
      assert.equal(2, w:message_status("digest").sent)
      r = w:reload(script "crier.log.info 'none'")
      assert.matches("- message digest", r.out, 1, true)
      assert.equal("", names())
    end)

    it("leave a message to the GUILD that has the snowflake", function()
      world { script = script(DIGEST:format "1h" .. [[
        crier.GUILD { snowflake = "100", logging = true, messages = {
          crier.TextMESSAGE { name = "digest", channels = "1002", period = "1h", data = "own" } } }]]) }
      w:up()
      wait("guild.taken", "message 'digest' (bot.lua:9) is left out in Old Town: there is one of this name already, at bot.lua:12")
      w:wait_messages("1002", 1)
      assert.equal(0, #w:messages "1001")
    end)

    it("are the same in virtual time, run for run", function()
      world { down = true, script = script(DIGEST:format "1h" .. [[
        crier.on("message.sent", function(r)
          local name = "echo-" .. r.guild.id
          if r.name ~= "digest" then
            crier.update(name, { data = tostring(math.random(1e9)) })
          elseif not crier.update(name, { period = "30m" }) then
            crier.add(crier.TextMESSAGE { name = name, channels = r.guild.id .. "2", period = "20m",
              remove_after = 5, data = "first" }, r.guild.id)
          end
        end)]]) }
      local runs = {}
      for i = 1, 2 do
        local r = w:crier({ "simulate", "bot.lua", "--for", "6h", "--world", "world.json", "--json" },
          { env = { SPEC_TOKEN = "x" } })
        assert.equal(0, r.code, r.err)
        runs[i] = r.out
      end
      assert.equal(runs[1], runs[2])
      local n = { digest = 0, ["echo-100"] = 0 }
      for _, r in ipairs(World.select(World.parse(runs[1]), of_guild "100")) do n[r.name] = n[r.name] + 1 end
      assert.same({ digest = 6, ["echo-100"] = 5 }, n)
    end)

    it("say when there is none", function()
      world { script = script((DIGEST:format("1h"):gsub("town", "nowhere"))) }
      w:up()
      wait("guild.none", "no guild matches crier.guilds all{contains nowhere} (bot.lua:8); bot 'bot' is in 2")
    end)

    for _, case in ipairs {
      { [[crier.GUILD { snowflake = crier.guilds { crier.contains "x" }, messages = {
          crier.TextMESSAGE { name = "m", channels = "1", period = "1h", data = "x" } } }]],
        "bot.lua:4:43: message 'm': option 'channels': a channel is in one guild, and this message goes to each "
        .. "that matches (channels = crier.channels { crier.contains \"news\" })" },
      { [[crier.GUILD { snowflake = crier.guilds { crier.contains "x" }, name = "y" }]],
        "bot.lua:3:64: GUILD 'y': option 'name' would be that of all guilds that match (leave it out: each has its own)" },
      { [[crier.USER { snowflake = crier.guilds { crier.contains "x" } }]],
        "bot.lua:3:14: USER: option 'snowflake' must be a snowflake such as \"863071397207212052\", got a crier.pattern" },
      { [[crier.GUILD { snowflake = crier.channels { crier.contains "x" } }]], "got a crier.pattern" },
      { [[crier.guilds { crier.regex "(" }]], "bot.lua:3: crier.guilds: bad regex at byte 2: missing closing parenthesis" },
      { [[crier.guilds {}]], "crier.guilds expects a list of patterns: crier.guilds { crier.contains \"news\" }" },
      { [[for _ = 1, 2 do crier.GUILD { snowflake = crier.guilds { crier.contains "x" } } end]],
        "GUILD all{contains x}: it is declared already, at bot.lua:3 (put all its messages into one)" },
    } do
      it("are checked: " .. case[2]:sub(-60), function()
        local bot = require("spec.support.bot").new(script(case[1]))
        finally(function() bot:close() end)
        local r = bot:check({}, { env = { SPEC_TOKEN = "good.bot.token" } })
        assert.equal(78, r.code)
        assert.truthy((r.out .. r.err):find(case[2], 1, true), r.out .. r.err)
      end)
    end
  end)

  describe("messages and GUILDs", function()
    local GUILD = [[
      local g = crier.GUILD { snowflake = "100", logging = true, messages = {
        crier.TextMESSAGE { name = "own", channels = "1001", period = "1h", data = "own" } } }
      function message(name, more)
        local t = { name = name, channels = "1002", period = "1h", data = name }
        for k, v in pairs(more or {}) do t[k] = v end
        return crier.TextMESSAGE(t)
      end
    ]]

    it("come, change and go, and keep their state as at a reload", function()
      world { script = script(GUILD .. [[
        crier.on("start", function()
          local m = crier.add(message("extra", { mode = "edit" }), g)
          function change(t) return assert(crier.update(m, t)) end
          function gone() return crier.remove(m) end
        end)]]) }
      w:up()
      w:wait_messages("1002", 1)
      wait("message.added", "message 'extra' in ")
      assert.equal("Old Town/extra, Old Town/own", names())
      local due = w:message_status("extra").due
      assert.equal(0, (eval [[change { data = "new" }]]))
      local m = w:message_status "extra"
      assert.same({ 1, due }, { m.sent, m.due })
      assert.equal(0, w:crier({ "message", "send", "extra" }).code)
      assert.same({ "new" }, w:texts "1002") -- the one that is there was edited
      assert.equal(0, (eval [[change { name = "other", period = "2h" }]]))
      m = w:message_status "other"
      assert.same({ 2, due + 3600, "every 2h" }, { m.sent, m.due, m.period })
      assert.equal(0, (eval [[change { mode = crier.null, remove_after = 3 }]]))
      assert.equal(0, w:crier({ "message", "send", "other" }).code)
      assert.equal(2, #w:messages "1002")
      assert.is_true(w:message_status("other").ended)
      assert.equal(0, (eval [[assert(gone())]]))
      assert.equal("Old Town/own", names())
      assert.same({ 0, "nil\nthe message has been removed" }, { eval [[return gone()]] })
      -- What was added has no past once it is removed; what the script declares has.
      assert.equal(0, (eval [[crier.add(message "other", "100")]]))
      w:wait_messages("1002", 3)
      local _, why = eval [[crier.update("own", { name = "mine" })]]
      assert.matches('message \'own\': what the script declares keeps its name (change it in the script, with was = "...")',
        why, 1, true)
      assert.equal(0, (eval [[assert(crier.update("own", { period = "2h" })) assert(crier.remove "own")]]))
      assert.equal("Old Town/other", names())
      local r = w:reload(script(GUILD))
      assert.matches("%- message other +%(bot.lua:8, added while the bot ran%)", r.out)
      assert.matches("%+ message own +as in the script; it was removed while the bot ran", r.out)
      assert.equal("Old Town/own", names())
      assert.same({ 1, "every 1h" }, { w:message_status("own").sent, w:message_status("own").period })
      assert.equal(1, #w:messages "1001")
    end)

    it("go on under their names when they are added again", function()
      local text = script(GUILD .. [[
        local function all() crier.add(message("extra"), "100") crier.add(message("once", { remove_after = 1 }), g) end
        crier.on("start", all)
        crier.on("reload", all)]])
      world { script = text }
      w:up()
      w:wait_messages("1002", 2)
      proc.wait_for(function() return w:message_status("once").ended and w:message_status("extra").sent == 1 end, WAIT)
      local due = w:message_status("extra").due
      w:reload(text .. "-- changed")
      proc.wait_for(function() return w:message_status "extra" end, WAIT)
      assert.same({ 1, due, true }, { w:message_status("extra").sent, w:message_status("extra").due,
        w:message_status("once").ended })
      w:kill()
      w:up()
      proc.wait_for(function() return w:message_status "once" end, WAIT)
      assert.same({ 1, due, true }, { w:message_status("extra").sent, w:message_status("extra").due,
        w:message_status("once").ended })
      assert.equal(2, #w:messages "1002")
    end)

    it("are GUILDs, USERs and guilds of a pattern, too", function()
      world { script = script(GUILD .. [[
        crier.on("start", function()
          local village = crier.add(crier.GUILD { snowflake = 102, logging = true, messages = { message("a", { channels = "1021" }) } })
          crier.add(message("b", { channels = "1022" }), village)
          crier.add(crier.USER { snowflake = "301", messages = { crier.DirectMESSAGE { name = "hi", period = "1h", data = "hi" } } })
          all = crier.add(crier.GUILD { snowflake = crier.guilds { crier.regex "^(old|vill)" }, messages = {
            message("c", { channels = crier.channels { crier.contains "news" } }) } })
        end)]]) }
      w:up()
      w:wait_messages("1021", 2)
      w:wait_messages("1022", 1)
      w:wait_messages("1001", 2)
      w:wait_messages("ann", 1)
      assert.equal("Old Town/c, Old Town/own, Village/a, Village/b, Village/c, ann/hi", names())
      assert.equal(0, (eval [[crier.add(message("d", { channels = crier.channels { crier.contains "talk" } }), all)]]))
      w:wait_messages("1002", 1)
      w:wait_messages("1022", 2)
      assert.equal(0, (eval [[assert(crier.update("c", { name = "cc" })) assert(crier.update(all, { logging = true }))]]))
      assert.equal("Old Town/cc, Old Town/d, Old Town/own, Village/a, Village/b, Village/cc, Village/d, ann/hi", names())
      assert.equal(0, w:crier({ "message", "send", "Village/cc" }).code)
      proc.wait_for(function()
        return #World.select(w:records(), function(r) return r.kind == "message" and r.name == "cc" end) == 1
      end, WAIT)
      local _, out = eval [[return crier.remove "Village/cc"]]
      assert.matches("message 'cc' is one of the GUILD of a pattern (bot.lua:14): remove or update that one", out, 1, true)
      assert.equal(0, (eval [[assert(crier.remove "d") assert(crier.remove(301))]]))
      assert.equal("Old Town/cc, Old Town/own, Village/a, Village/b, Village/cc", names())
      assert.equal(0, (eval [[assert(crier.remove(all)) assert(crier.remove "102")]]))
      assert.equal("Old Town/own", names())
    end)

    it("have a limit", function()
      world { script = script([[crier.config { limits = { added = 3 } }]] .. GUILD .. [[
        crier.on("start", function()
          for i = 1, 3 do crier.add(message("e" .. i, { remove_after = "2020-01-01" }), g) end
        end)]]) }
      w:up()
      wait("message.removed", "has ended", 3)
      assert.equal("Old Town/e1, Old Town/e2, Old Town/e3, Old Town/own", names())
      -- What has ended makes room.
      local _, out = eval [[for i = 1, 1e9 do crier.add(message("x" .. i), "100") end]]
      assert.matches("message 'x4': limits.added is reached: 3 messages, GUILDs and USERs have been added (crier.remove "
        .. "what is not needed any more, or set limits.added in crier.config)", out, 1, true)
      assert.equal("Old Town/own, Old Town/x1, Old Town/x2, Old Town/x3", names())
    end)

    it("are checked", function()
      world { script = script(GUILD .. [[
        crier.on("start", function()
          local _, why = pcall(function() crier.add(
            crier.TextMESSAGE { name = "m", channels = "1001", perod = "1h", data = "x" }, g) end)
          crier.log.info("why " .. why)
        end)
        local loaded = message "loaded"
        function old() crier.add(loaded, g) end]]) }
      w:up()
      wait("log", "why bot.lua:12:64: message 'm': unknown option 'perod' (did you mean 'period'?)")
      for _, case in ipairs {
        { [[crier.add(message "own", "100")]], "crier.add: message 'own': there is a message of this name in the same GUILD "
          .. "already, at bot.lua:4 (crier.update changes it, crier.remove removes it)" },
        { [[crier.add(message "m")]], "crier.add: message 'm': to which GUILD? Expected it or its snowflake, got nil" },
        { [[crier.add(message "m", "77")]], "crier.add: message 'm': there is no GUILD '77' (crier.add(crier.GUILD {" },
        { [[crier.add(crier.GUILD { snowflake = "100" })]], "crier.add: GUILD '100': it is there already, from bot.lua:3 "
          .. "(add its messages to that one: crier.add(message, snowflake))" },
        { [[crier.add(crier.DirectMESSAGE { name = "d", period = "1h", data = "x" }, crier.add(crier.GUILD { snowflake = 5 }))]],
          "crier.add: message 'd': a DirectMESSAGE does not go to a GUILD" },
        { [[crier.add "x"]], "crier.add: expected a message, GUILD or USER, got the string \"x\"" },
        { [[old()]], "crier.add: message 'loaded': it was declared by the script (make it in the callback that adds it)" },
        { [[local m = crier.add(message "twice", "100") crier.add(m, "100")]],
          "crier.add: message 'twice': it has been added already (make another one)" },
        { [[crier.update("own", { perid = "1h" })]], "eval:1: message 'own': unknown option 'perid' (did you mean 'period'?)" },
        { [[crier.update("twice", { name = "own" })]], "crier.update: message 'own': there is a message of this name" },
        { [[crier.update("own")]], "expected a table with what changes, got a nil" },
        { [[crier.update("100", { messages = {} })]], "eval:1: GUILD '100': unknown option 'messages' (known: logging, name)" },
        { [[return crier.update("onw", {})]], "no message 'onw' (did you mean 'own'?)" },
        { [[return crier.remove(55)]], "there is no GUILD or USER '55'" },
      } do
        local _, out = eval(case[1])
        assert.truthy(out:find(case[2], 1, true), case[1] .. "\n" .. out)
      end
      w:write("loads.lua", script [[crier.add(crier.GUILD { snowflake = 1 })]])
      local r = w:crier({ "check", "loads.lua" })
      assert.truthy((r.out .. r.err):find("loads.lua:3: crier.add is not available while loading", 1, true), r.out .. r.err)
    end)

    it("come and go by the thousand without growing", function()
      world { script = script([[crier.config { limits = { callback = "60s" } } ]] .. GUILD .. [[
        crier.on("start", function()
          local function turn(n)
            for i = 1, n do
              local m = crier.add(message("t" .. i % 7, { start_in = "1h" }), g)
              assert(crier.update(m, { period = "2h" }))
              message("never added")
              assert(crier.remove(m))
            end
          end
          turn(500)
          collectgarbage()
          local before = collectgarbage "count"
          turn(1000)
          collectgarbage()
          crier.log.info("grown by " .. math.floor(collectgarbage "count" - before))
        end)]]) }
      w:up()
      local r = wait("log", "grown by")[1]
      assert.is_true(tonumber(r.text:match "%-?%d+") < 64, r.text)
      assert.equal("Old Town/own", names())
    end)
  end)

  describe("the gateway's cache", function()
    local TEXT = DIGEST:format "1h" .. [[
      crier.GUILD { snowflake = "100", logging = true, messages = {
        crier.TextMESSAGE { name = "plain", channels = { "1002" }, period = "1h", start_in = "1h", data = "x" },
        crier.TextMESSAGE { name = "polite", channels = { "1001" }, period = "1h", start_in = "1h", data = "x",
          only_if = crier.not_last_author() },
        crier.TextMESSAGE { name = "card", channels = { "1003" }, period = "1h", start_in = "1h",
          data = crier.EMBED { title = "t" } } } }
    ]]
    local function guilds()
      local g = town("100", "Old Town")
      g.channels[3] = { id = "1003", name = "closed", type = 0, deny = { "EMBED_LINKS" } }
      return { bots = { { token = "good.bot.token", name = "crier", user = "9" } }, guilds = { g },
        users = { { id = "301", name = "ann" } } }
    end
    local function send(name)
      local r = w:crier { "message", "send", "--json", name }
      return r.out
    end
    -- All that asks Discord for what a gateway knows; returns the GETs.
    local function work()
      local before = #w:requests "GET"
      send "Old Town/digest"
      send "plain"
      local refused = send "card"
      assert.matches("the bot lacks: Embed Links", refused, 1, true)
      assert.matches('"name":"closed"', (refused:gsub('": "', '":"')), 1, true)
      w:happen { ["do"] = "message", channel = "1001", user = "301", content = "hello" }
      if w.gateway then wait("log", "hello") end
      assert.is_nil(send("polite"):find "skipped")
      assert.matches("the last message there is the bot's own", send "polite", 1, true)
      local after = w:requests "GET"
      return { table.unpack(after, before + 1) }
    end
    local function paths(list)
      local out = {}
      for i, r in ipairs(list) do out[i] = r.path:gsub("^/api/v10", "") end
      return table.concat(out, " ")
    end

    it("is used where there is a gateway", function()
      world { proxy = true, world = guilds(), script = script(TEXT .. [[
        crier.on("message", function(e) crier.log.info(e.content) end)]]) }
      w.gateway = true
      w:up()
      wait "gateway.ready"
      proc.wait_for(function() return w:status().bots[1].gateway.guilds == 1 end, WAIT)
      proc.wait_for(function() return #w:messages "1001" == 1 end, WAIT)
      assert.equal("", paths(work()))
      -- A new name is known at once.
      w:happen { ["do"] = "guild_update", guild = "100", name = "Town of old" }
      w:happen { ["do"] = "message", channel = "1001", user = "301", content = "renamed" }
      wait("log", "renamed")
      assert.matches("Town of old", send "plain", 1, true)
    end)

    it("is not needed where there is none", function()
      world { proxy = true, world = guilds(), script = script(TEXT) }
      w:up()
      w:wait_messages("1001", 1)
      assert.matches("/channels/1001/messages?limit=1", paths(work()), 1, true)
      local asked = paths(w:requests "GET")
      for _, path in ipairs { "/users/@me/guilds?limit=200", "/guilds/100 ", "/guilds/100/channels", "/guilds/100/members/9" } do
        assert.truthy((asked .. " "):find(path, 1, true), path .. " in " .. asked)
      end
    end)
  end)
end)
