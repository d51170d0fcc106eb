-- SPDX-License-Identifier: MIT
-- The sender: channels that close and open again, tokens that are refused, all that a message can
-- consist of, channels by their names, crier.discord.
local cjson = require "cjson"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local script = World.script
local C1 = [[channels = { "201" }]]
local HEAD = [[local crier = require "crier"
crier.bot { token = crier.secret.env "SPEC_TOKEN" }
]]

local guild = { { id = "100", name = "guild", channels = {
  { id = "201", name = "news", type = 0 }, { id = "202", name = "old-news", type = 0 },
  { id = "203", name = "talk", type = 0 }, { id = "204", name = "daily_news", type = 5 },
  { id = "205", name = "help", type = 15 }, { id = "206", name = "news room", type = 2 },
  { id = "207", name = "Breaking NEWS", type = 0, deny = { "SEND_MESSAGES" } },
} } }

describe("the sender", function()
  local w

  local function world(opt)
    opt.world = opt.world or { guilds = guild, users = { { id = "301", name = "ann" } },
      bots = { { token = "good.bot.token", name = "crier" }, { token = "other.bot.token", name = "b" } } }
    w = World.new(opt)
    return w
  end

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  local function records(matches) return World.select(World.parse(w.process:out()), matches) end

  local function wait_record(matches, n)
    return proc.wait_for(function()
      local hits = records(matches)
      return #hits >= (n or 1) and hits
    end, nil, function() return w.process:out() .. w.process:err() end)
  end

  local function said(what) return function(r) return r.what == what end end

  -- Runs a body once, in a coroutine, and returns what it logs as "done".
  local function once(body, more)
    world { script = HEAD .. (more or "") .. ([[
      crier.on("start", function()
        crier.sleep "50ms"
        local out = (function() %s end)()
        crier.log.info("done", { out = out })
      end)]]):format(body) }
    w:up()
    return wait_record(function(r) return r.text == "done" end)[1].out
  end

  describe("when Discord refuses", function()
    it("pauses the channel, says what is missing, and shows it in status", function()
      world { world = { bots = { { token = "good.bot.token" } }, guilds = { { id = "100", name = "guild",
          channels = { { id = "201", name = "c1", type = 0, deny = { "EMBED_LINKS" } },
            { id = "202", name = "c2", type = 0 } } } } },
        script = script [[channels = { "201", "202" }, name = "m", period = "200ms",
          data = { "t", crier.EMBED { title = "e" } }]] }
      w:up()
      w:wait_messages(2, 4)
      local r = wait_record(said "channel.paused")[1]
      assert.equal("warning", r.level)
      assert.truthy(r.text:find("50013 Missing Permissions", 1, true))
      assert.truthy(r.text:find("the bot lacks: Embed Links", 1, true), r.text)
      assert(r.text:find("paused for 1m", 1, true), r.text)
      local first = wait_record(function(m) return m.kind == "message" and not m.skipped end, 3)
      assert.equal(1, #first[1].channels.failed)
      assert.truthy(first[1].channels.failed[1].reason:find("lacks: Embed Links", 1, true))
      assert.equal(0, #first[2].channels.failed) -- not asked again
      assert.equal("201", first[2].paused[1].id)
      local m = w:message_status "m"
      assert.equal("201", m.closed[1].id)
      assert.is_true(m.closed[1].again_in > 0 and m.closed[1].again_in <= 60)
      local shown = w:crier({ "status", "bot.lua" }).out
      assert.truthy(shown:find("channel 201 is paused for", 1, true), shown)
      -- Four requests explain it, and none goes there again.
      assert.equal(0, #(w:messages(1)))
    end)

    it("gives up a channel that is not there, and goes on with the others", function()
      world { script = script [[channels = { "201", "999" }, name = "m", period = "200ms", data = "x"]] }
      w:up()
      w:wait_messages("201", 4)
      assert.truthy(wait_record(said "channel.dropped")[1].text:find("999 is given up: 404 10003", 1, true))
      assert.equal(1, #records(said "channel.dropped"))
      assert.is_nil(w:message_status("m").closed[1].again_in)
    end)

    it("skips a message that has no channel left, and tries again when asked to", function()
      world { script = script(C1 .. [[, name = "m", period = "150ms", data = "x"]]) }
      w:fault { match = "POST /channels/201/messages", ["do"] = "status", status = 403,
        body = { code = 50001, message = "Missing Access" } }
      w:up()
      proc.wait_for(function() return w:message_status("m").skipped > 0 end)
      assert.equal(0, #(w:messages(1)))
      assert.equal(0, w:crier({ "message", "resume", "m" }).code)
      w:wait_messages("201", 1)
      assert.is_nil(w:message_status("m").closed)
    end)

    it("rebuilds a message that somebody deleted", function()
      world { script = script(C1 .. [[, name = "m", mode = "edit", period = "200ms", data = "x"]]) }
      w:fault { match = "PATCH /channels/*/messages/*", ["do"] = "status", status = 404,
        body = { code = 10008, message = "Unknown Message" } }
      w:up()
      w:wait_messages("201", 2)
      assert.equal(0, w:message_status("m").failed)
    end)

    it("ends with 77 when the token of the only bot is refused at work", function()
      world { script = script(C1 .. [[, name = "m", period = "200ms", data = "x"]]) }
      w:up()
      w:wait_messages("201", 1)
      w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 401, times = -1 }
      assert.equal(77, w.process:wait())
      local asked = w:stats().answers_4xx
      assert.equal(1, asked) -- and no more after the first
    end)

    it("rests when the address is blocked, and says so", function()
      world { script = script(C1 .. [[, name = "m", period = "200ms", data = "x"]]) }
      w:up()
      w:wait_messages("201", 1)
      w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 429,
        body = "error code: 1015" }
      assert.equal("critical", wait_record(said "bot.resting")[1].level)
      local bot = w:status().bots[1]
      assert.equal("resting", bot.state)
      assert.is_true(bot.rests > 500 and bot.rests <= 600)
      assert.truthy(w:crier({ "status", "bot.lua" }).out:find("bot rests for", 1, true))
    end)

    it("leaves out the reply that it may not make", function()
      world { world = { bots = { { token = "good.bot.token" } }, guilds = { { id = "100", name = "guild",
          channels = { { id = "201", name = "c1", type = 0, deny = { "READ_MESSAGE_HISTORY" } } } } } },
        script = script(C1 .. [[, name = "m", period = "1h", data = { "x", crier.REPLY "123" }]]) }
      w:up()
      w:wait_messages("201", 1)
      local r = wait_record(function(m) return m.kind == "message" end)[1]
      assert.truthy(r.channels.successful[1].note:find("without the reply", 1, true))
      assert.equal(2, r.requests)
    end)
  end)

  describe("sends", function()
    it("polls, buttons and stickers", function()
      world { script = script(C1 .. [[, name = "m", period = "1h", data = { "hello",
        crier.POLL { question = "Which?", answers = { "this", "that" }, hours = 2, multi = true },
        crier.BUTTON { label = "one", url = "https://example.org/1" },
        crier.BUTTON { label = "two", url = "https://example.org/2" },
        crier.BUTTON { label = "3", url = "https://example.org/3" },
        crier.BUTTON { label = "4", url = "https://example.org/4" },
        crier.BUTTON { label = "5", url = "https://example.org/5" },
        crier.BUTTON { label = "6", url = "https://example.org/6" },
        crier.STICKER "777", crier.STICKER(778) }]]) }
      w:up()
      local m = w:wait_messages("201", 1)[1]
      assert.equal("Which?", m.poll.question.text)
      assert.equal("that", m.poll.answers[2].poll_media.text)
      assert.is_true(m.poll.allow_multiselect)
      assert.equal(2, #m.components)
      assert.equal(5, #m.components[1].components)
      assert.equal("https://example.org/6", m.components[2].components[1].url)
      assert.equal("778", m.sticker_items[2].id)
    end)

    it("replies", function()
      local out = once [[
        local first = assert(crier.discord.send("201", "first"))
        local second = assert(crier.discord.send("201", { "second", crier.REPLY { message = first.id } }))
        return { first.id, second.message_reference.message_id }]]
      assert.equal(out[1], out[2])
    end)

    it("posts of a forum, edited in their thread and replaced with it", function()
      world { script = HEAD .. [[
        crier.GUILD { snowflake = "100", logging = true, messages = {
          crier.TextMESSAGE { name = "e", channels = { "205" }, mode = "edit", period = "200ms", remove_after = 3,
            data = function(ctx) return { "no " .. ctx.sent, crier.THREAD { name = "post", archive = "1d" } } end },
          crier.TextMESSAGE { name = "c", channels = { "205" }, mode = "clear-send", period = "200ms", remove_after = 2,
            data = function(ctx) return { "nr " .. ctx.sent, crier.THREAD { name = "post c", tags = { "5" } } } end },
        } }]] }
      w:up()
      proc.wait_for(function()
        return w:message_status("e").ended and w:message_status("c").ended
      end, nil, function() return w.process:out() end)
      local state = cjson.decode(w:get "/sim/state")
      local texts = {}
      for _, channel in ipairs(state.channels) do
        if channel.type == 11 and channel.messages[1] then texts[#texts + 1] = channel.messages[1].content end
      end
      table.sort(texts)
      assert.same({ "no 2", "nr 1" }, texts)
    end)

    it("files that are read once", function()
      world { files = { ["a.txt"] = "before" }, script = script(C1 .. [[, name = "m", period = "200ms",
        data = { crier.FILE { path = "a.txt", cache = true }, crier.FILE "a.txt" }]]) }
      w:up()
      w:wait_messages("201", 1)
      w:write("a.txt", "after that")
      local sizes = proc.wait_for(function()
        local last = w:messages "201"
        last = last[#last]
        return last.attachments[2].size == 10 and last.attachments
      end)
      assert.equal(6, sizes[1].size)
      assert.equal("a.txt", sizes[1].filename)
    end)

    it("an edit with a file in place of the one before", function()
      world { script = script(C1 .. [[, name = "m", mode = "edit", period = "200ms", remove_after = 2,
        data = function(ctx) return crier.FILE { name = ctx.sent .. ".txt", data = ("x"):rep(ctx.sent + 1) } end]]) }
      w:up()
      proc.wait_for(function() return w:message_status("m").ended end)
      local m = w:messages "201"
      assert.equal(1, #m)
      assert.equal(1, #m[1].attachments)
      assert.equal("1.txt", m[1].attachments[1].filename)
    end)

    it("and publishes, ten an hour", function()
      world { script = script [[channels = { "204" }, name = "m", period = "100ms", remove_after = 12,
        auto_publish = true, data = function(ctx) return "no " .. ctx.sent end]] }
      w:up()
      proc.wait_for(function() return w:message_status("m").ended end)
      local published = 0
      for _, m in ipairs(w:messages "204") do published = published + (m.flags & 1) end
      assert.equal(10, published)
      local all = wait_record(function(r) return r.kind == "message" and not r.skipped end, 12)
      assert.is_true(all[1].ok and all[1].channels.successful[1].published)
      assert.is_true(all[12].ok)
      assert.is_false(all[12].channels.successful[1].published)
      assert.truthy(all[12].channels.successful[1].publish_reason:find "ten an hour")
    end)

    it("says what it took: requests, retries, waiting", function()
      world { script = script(C1 .. [[, name = "m", period = "1h", data = "x"]]) }
      w:fault { match = "POST /channels/*/messages", ["do"] = "status", status = 502, times = 2 }
      w:up()
      local r = wait_record(function(m) return m.kind == "message" end)[1]
      assert.equal(3, r.requests)
      assert.equal(2, r.retries)
      assert.is_true(r.latency >= 0)
    end)
  end)

  for _, case in ipairs {
    { [[crier.POLL { question = "q" }]], "option 'answers' is missing" },
    { [[crier.POLL { question = "q", answers = {} }]], "a list of 1 to 10 texts" },
    { [[crier.POLL { question = ("x"):rep(301), answers = { "a" } }]], "has 301 characters, Discord allows 300" },
    { [[crier.POLL { question = "q", answers = { "a" }, hours = 769 }]], "from 1 to 768" },
    { [[crier.POLL { question = "q", answer = { "a" } }]], "unknown option 'answer' %(did you mean 'answers'%?%)" },
    { [[crier.BUTTON { label = "x", url = "example.org" }]], "must begin with https://" },
    { [[{ "x", crier.STICKER "1", crier.STICKER "2", crier.STICKER "3", crier.STICKER "4" }]], "more than 3 STICKERs" },
    { [[crier.STICKER "abc"]], "must be a snowflake" },
    { [[{ "x", crier.THREAD { name = ("x"):rep(101) } }]], "has 101 characters, Discord allows 100" },
    { [[{ "x", crier.THREAD { name = "x", archive = "2d" } }]], '"1h", "1d", "3d" or "1w"' },
    { [[{ "x", crier.THREAD { name = "x" }, crier.REPLY "1" }]], "a THREAD takes no REPLY" },
    { [[{ "x", crier.REPLY "1", crier.REPLY "2" }]], "more than one REPLY" },
    { [[crier.FILE { path = "none.txt", cache = true }]], "none.txt" },
    { [["x", mode = "edit", only_if = 3]], "option 'only_if' must be a function" },
    { [[crier.POLL { question = "q", answers = { "a" } }, mode = "edit"]], "does not let a POLL be edited" },
  } do
    it("refuses " .. case[1], function()
      world { down = true, script = script(C1 .. [[, name = "m", period = "1h", data = ]] .. case[1]) }
      local r = w:check()
      assert.equal(78, r.code)
      assert.truthy((r.out .. r.err):find(case[2]), r.out .. r.err)
    end)
  end

  describe("finds channels", function()
    local function names(pattern)
      world { script = script(("channels = crier.channels { %s }, name = 'm', period = '1h', data = 'x'"):format(pattern)) }
      w:up()
      local r = wait_record(function(m) return m.kind == "message" end)[1]
      local list = {}
      for i, c in ipairs(r.channels and r.channels.successful or {}) do list[i] = c.name end
      return table.concat(list, ", "), r
    end

    it("by words", function() assert.equal("news, old-news", (names [[crier.contains "NEWS"]])) end)
    it("by patterns", function()
      assert.equal("news, talk, daily_news", (names [[crier.any { crier.regex "news$", crier.contains "talk" },
        crier.no { crier.contains "old" }]]))
    end)
    it("and skips when there is none", function()
      local _, r = names [[crier.contains "nothing"]]
      assert.equal("no channel matches", r.skipped)
    end)

    it("that come later", function()
      world { script = script [[channels = crier.channels { crier.regex "^later" }, name = "m", period = "200ms", data = "x"]] }
      w:up()
      wait_record(function(m) return m.skipped == "no channel matches" end, 2)
    end)

    it("but not with a bad pattern", function()
      world { down = true, script = script [[channels = crier.channels { crier.regex "a(" }, name = "m", period = "1h", data = "x"]] }
      local r = w:check()
      assert.equal(78, r.code)
      assert.truthy((r.out .. r.err):find("bad regex at byte 3", 1, true), r.out .. r.err)
    end)
  end)

  describe("asks only_if", function()
    it("channel by channel, and leaves out those where the bot wrote last", function()
      world { script = script [[channels = { "201", "203" }, name = "m", period = "300ms", data = "x",
        only_if = crier.not_last_author()]] }
      w:up()
      w:wait_messages("201", 1)
      wait_record(function(m) return m.skipped == "the last message there is the bot's own" end)
      assert.equal(1, #w:messages "203")
    end)

    it("with a function of the script, which may wait", function()
      world { script = script [[channels = { "201", "203" }, name = "m", period = "1h", data = "x",
        only_if = function(ctx, channel) crier.sleep "20ms" return channel == ctx.channels[2], "because" end]] }
      w:up()
      w:wait_messages("203", 1)
      assert.equal(0, #w:messages "201")
    end)
  end)

  it("asks for what Discord's description knows, and the simulator answers so", function()
    world { proxy = true, files = { ["a.txt"] = "text" }, script = HEAD .. [[
      crier.GUILD { snowflake = "100", messages = {
        crier.TextMESSAGE { name = "p", channels = { "205" }, period = "200ms", mode = "clear-send",
          data = { "x", crier.THREAD { name = "post", tags = { "5" }, archive = "1w" }, crier.FILE "a.txt" } },
        crier.TextMESSAGE { name = "n", channels = { "204" }, period = "1h", auto_publish = true, data = "x",
          only_if = crier.not_last_author() },
        crier.TextMESSAGE { name = "c", channels = crier.channels { crier.contains "talk" }, period = "200ms",
          mode = "edit", data = { "y", crier.BUTTON { label = "l", url = "https://example.org" } } } } }
      crier.on("start", function()
        local d = crier.discord
        local m = assert(d.send("201", { crier.POLL { question = "q", answers = { "a", "b" } }, crier.STICKER "5" }))
        assert(d.send("201", { "r", crier.REPLY { message = m.id, ping = true } }))
        assert(d.react("201", m.id, "👍"))
        assert(d.typing("201"))
        assert(d.thread("201", m.id, { name = "t", archive = 60 }))
        assert(d.messages("201", { limit = 3, after = "1" }))
        assert(d.dm("301", "x"))
        crier.log.info "done"
      end)]] }
    w:up()
    wait_record(function(r) return r.text == "done" end)
    proc.wait_for(function() return w:stats().edits > 1 and w:stats().creates > 7 end)
    w:down()
    local lines, paths = {}, {}
    for _, r in ipairs(w:requests()) do
      local path = r.path:gsub("^/api/v10", "")
      local body = r.body ~= "" and r.body or nil
      if body and not r.json then body = World.payload(body) end
      lines[#lines + 1] = ('{"method":"%s","path":"%s","part":"request"%s}\n'):format(r.method, path,
        body and ',"body":' .. body or "")
      if r.status > 0 then
        lines[#lines + 1] = ('{"method":"%s","path":"%s","part":"response","status":%d%s}\n'):format(r.method,
          path, r.status, r.answer ~= "" and ',"body":' .. r.answer or "")
      end
      paths[r.method .. " " .. path:gsub("%?.*", ""):gsub("%d%d+", "N")] = true
    end
    for _, path in ipairs { "POST /channels/N/threads", "DELETE /channels/N", "POST /channels/N/messages/N/crosspost",
      "POST /channels/N/messages/N/threads", "GET /channels/N/messages", "GET /guilds/N/members/N" } do
      assert(paths[path], path)
    end
    local r = proc.run({ "python3", "spec/support/validate_openapi.py" }, { stdin = table.concat(lines) })
    assert(r.code == 0, r.out .. r.err)
  end)

  describe("crier.discord", function()
    it("does what its names say, and each makes a record", function()
      local out = once [[
        local d = crier.discord
        local m = assert(d.send("201", { "one", crier.EMBED { title = "e" } }))
        assert(d.edit("201", m.id, "two"))
        assert(d.react("201", m.id, "👍"))
        assert(d.typing("201"))
        local thread = assert(d.thread("201", m.id, { name = "under it" }))
        local list = assert(d.messages("201", { limit = 5 }))
        local n = assert(d.send("204", "news"))
        assert(d.crosspost("204", n.id))
        local dm = assert(d.dm("301", "hi"))
        assert(d.delete("204", n.id))
        assert(d.delete("204", n.id))
        local res, err, outcome, code = d.send("999", "x")
        return { list[1].content, list[1].reactions[1].emoji.name, thread.name, assert(d.channel "203").name,
          assert(d.guild "100").name, #assert(d.channels "100"), dm.content, outcome, code, assert(d.me()).username }]]
      assert.same({ "two", "👍", "under it", "talk", "guild", 7, "hi", "drop", 10003, "crier" }, out)
      local seen = {}
      for _, r in ipairs(records(function(r) return r.logger == "discord" end)) do
        seen[r.what] = (seen[r.what] or 0) + 1
        assert.equal("bot", r.bot)
        assert.truthy(r.where:find("bot.lua:", 1, true))
        assert.is_true(r.requests >= 1)
      end
      assert.same({ ["discord.send"] = 3, ["discord.edit"] = 1, ["discord.react"] = 1,
        ["discord.typing"] = 1, ["discord.thread"] = 1, ["discord.messages"] = 1, ["discord.crosspost"] = 1,
        ["discord.dm"] = 2, ["discord.delete"] = 2, ["discord.channel"] = 1, ["discord.guild"] = 1,
        ["discord.channels"] = 1, ["discord.me"] = 1 }, seen)
    end)

    it("is not there while a script loads, and says what it takes", function()
      world { down = true, script = HEAD .. [[crier.discord.send("201", "x")]] }
      local r = w:check()
      assert.truthy((r.out .. r.err):find "discord.send is not available while loading", r.out .. r.err)
      w:close()
      local out = once [[
        local function e(...) return select(2, pcall(...)) end
        return { e(crier.discord.send, "x", "y"), e(crier.discord.send, "201", {}),
          e(crier.discord.send, "201", "x", { bots = 1 }), e(crier.discord.react, "201", "1", "") }]]
      assert.truthy(out[1]:find "expected a snowflake")
      assert.truthy(out[2]:find "the table is empty")
      assert.truthy(out[3]:find "unknown option 'bots'")
      assert.truthy(out[4]:find "expected an emoji")
    end)
  end)
end)
