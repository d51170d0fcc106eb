-- SPDX-License-Identifier: MIT
-- crier run: what a script declares arrives at Discord and in the log.
local cjson = require "cjson"
local socket = require "socket"
local World = require "spec.support.world"
local proc = require "spec.support.proc"

local script, channel = World.script, World.channel
local C1 = [[channels = { "201" }]]

describe("crier run", function()
  local w

  local function world(opt)
    w = World.new(opt)
    return w
  end

  after_each(function()
    if w then w:close() end
    w = nil
  end)

  -- Waits until the status of a message satisfies fn.
  local function wait_status(name, fn, timeout)
    return proc.wait_for(function()
      local m = w:message_status(name)
      return m and fn(m) and m
    end, timeout, function()
      return ("message '%s': %s %s"):format(name, cjson.encode(w:message_status(name) or {}),
        w.process:err())
    end)
  end

  describe("the rolls of the gallery", function()
    local links = {
      "https://i.pinimg.com/originals/b7/fb/80/b7fb80122cf46d0e584f3a0768aef282.gif",
      "https://bit.ly/3sHrjQZ",
      "https://static.wikia.nocookie.net/a1dea591-8a10-4c02-a573-5321c601c129",
      "https://www.gifcen.com/wp-content/uploads/2022/03/rickroll-gif-4.gif",
      "https://bit.ly/3u5D8Dt",
      "http://static1.squarespace.com/static/60503ac20951e15087fbe7b8/60504609ee9c445722c9dd4e/" ..
      "60e3f9b541eb1b01e8e46854/1627103366283/RalphRoll.gif?format=1500w",
      "https://i.imgflip.com/56bhvt.gif",
      "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    }

    local function gallery()
      local quoted = {}
      for i, link in ipairs(links) do quoted[i] = ("%q"):format(link) end
      return ([[
        local crier = require "crier"
        crier.config { timezone = "Europe/Ljubljana" }
        crier.bot { token = crier.secret.env "SPEC_TOKEN" }
        local get = crier.data_function(function(ctx, rolls)
          local item = table.remove(rolls, 1)
          rolls[#rolls + 1] = item
          return item
        end)
        crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
          crier.TextMESSAGE { name = "gallery", channels = { "978332728615378984" }, mode = "edit",
                              period = "100ms", start_in = "50ms", data = get { %s } },
        } }
      ]]):format(table.concat(quoted, ", "))
    end

    it("are one message, edited, and a day file in DAF's shape", function()
      world {
        script = gallery(),
        world = {
          bots = { { token = "good.bot.token" } },
          guilds = { { id = "863071397207212052", name = "\\David's dungeon",
            channels = { { id = "978332728615378984", name = "sp", type = 0 } } } },
        },
      }
      w:up()
      proc.wait_for(function() return w:stats().edits >= 10 end)
      assert.equal(0, w:down())
      local got = w:messages "978332728615378984"
      assert.equal(1, #got)
      assert.equal(1, w:stats().creates)

      local days = w:days()
      assert.equal(1, #days)
      local where, name = days[1].path:match "^History/(%d%d%d%d/%d%d/%d%d)/(.*)$"
      assert.equal("#David's dungeon.json", name)
      local text, history = days[1].text, days[1].doc.message_history
      assert.is_true(#history >= 11)
      -- The head, then one record after another, newest first: to the byte but for `record`.
      local head = '{\n    "name": "\\\\David\'s dungeon",\n    "id": 863071397207212052,\n' ..
        '    "type": "GUILD",\n    "message_history": ['
      assert.equal(head, text:sub(1, #head))
      local function entry(index)
        return ([[
        {
            "sent_data": {
                "text": "%s"
            },
            "channels": {
                "successful": [
                    {
                        "name": "sp",
                        "id": 978332728615378984
                    }
                ],
                "failed": []
            },
            "type": "TextMESSAGE",
            "mode": "edit",
            "index": %d,
            "timestamp": "]]):format(links[index % #links + 1], index)
      end
      local at = #head + 1
      for index = #history - 1, 0, -1 do
        local from, to = text:find(entry(index), at, true)
        assert.is_truthy(from, "record " .. index .. " in " .. text:sub(at, at + 900))
        local day, month, year = text:match('^(%d%d)%.(%d%d)%.(%d%d%d%d) %d%d:%d%d:%d%d",\n', to + 1)
        assert.equal(where, ("%s/%s/%s"):format(year, month, day))
        assert.is_truthy(text:find('^            "record": {\n', text:find("\n", to, true) + 1))
        at = to
      end
      assert.is_truthy(text:find('\n        }\n    %]\n}%s*$'))
      assert.equal(links[(#history - 1) % #links + 1], got[1].content)
      -- The same went to the console, oldest first.
      local records = World.parse(w.last_out)
      local n = 0
      for _, r in ipairs(records) do
        if r.kind == "message" then
          assert.equal(links[n % #links + 1], r.sent_data.text)
          n = n + 1
        end
      end
      assert.equal(#history, n)
    end)
  end)

  describe("modes", function()
    it("send: a message each time", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms",
        data = function(ctx) return "no " .. ctx.sent end]]) }
      w:up()
      w:wait_messages(1, 3)
      assert.equal(0, w:down())
      local texts = w:texts(1)
      assert.same({ "no 0", "no 1", "no 2" }, { texts[1], texts[2], texts[3] })
      assert.equal(0, w:stats().edits)
    end)

    it("edit: one message in each channel", function()
      world { script = script [[channels = { "201", "202" }, name = "m", mode = "edit",
        period = "100ms", data = function(ctx) return "no " .. ctx.sent end]] }
      w:up()
      wait_status("m", function(m) return m.sent >= 4 end)
      assert.equal(0, w:down())
      local records = World.select(World.parse(w.last_out),
        function(r) return r.kind == "message" end)
      for n = 1, 2 do
        local got = w:messages(n)
        assert.equal(1, #got)
        assert.equal("no " .. #records - 1, got[1].content)
        assert.is_string(got[1].edited_timestamp)
      end
      assert.equal("m 2 channels edited", records[#records].text)
    end)

    it("clear-send: the last message is deleted before the next is sent", function()
      world { script = script(C1 .. [[, name = "m", mode = "clear-send", period = "100ms",
        data = function(ctx) return "no " .. ctx.sent end]]) }
      w:up()
      proc.wait_for(function()
        assert.is_true(#w:messages(1) <= 1)
        return w:stats().deletes >= 3
      end)
      assert.equal(0, w:down())
      local stats = w:stats()
      assert.equal(1, #w:messages(1))
      assert.equal(stats.creates - 1, stats.deletes)
      assert.equal(0, stats.edits)
    end)

    for _, mode in ipairs { "send", "edit", "clear-send" } do
      it("to a user: " .. mode .. ", the DM channel opened once, also after a restart", function()
        world { proxy = true, script = ([[
          local crier = require "crier"
          crier.bot { token = crier.secret.env "SPEC_TOKEN" }
          crier.USER { snowflake = "301", logging = true, messages = {
            crier.DirectMESSAGE { name = "m", mode = "%s", period = "100ms",
                                  data = function(ctx) return "no " .. ctx.sent end } } }
        ]]):format(mode) }
        for _ = 1, 2 do
          w:up()
          local before = w:message_status("m").sent
          wait_status("m", function(m) return m.sent >= before + 2 end)
          assert.equal(0, w:down())
        end
        local records = World.select(World.parse(w.last_out),
          function(r) return r.kind == "message" end)
        local last = records[#records]
        assert.same({ name = "ann", id = "301", type = "USER" }, last.guild)
        assert.same({ success = true }, last.success_info)
        assert.is_nil(last.channels)
        assert.equal("DirectMESSAGE", last.type)
        assert.equal(mode, last.mode)
        assert.equal(1, #w:requests("POST", "/users/@me/channels$"))
        local stats, got = w:stats(), w:messages "ann"
        if mode == "send" then
          assert.equal(stats.creates, #got)
        else
          assert.equal(1, #got)
        end
        if mode == "edit" then assert.equal(1, stats.creates) end
        local day = w:days()[1]
        assert.is_truthy(day.path:match "/ann%.json$")
        assert.equal("USER", day.doc.type)
        assert.is_true(day.doc.message_history[1].success_info.success)
      end)

      it("to a user: " .. mode .. ", a DM channel that is gone is opened again", function()
        world { script = ([[
          local crier = require "crier"
          crier.bot { token = crier.secret.env "SPEC_TOKEN" }
          crier.USER { snowflake = "301", messages = {
            crier.DirectMESSAGE { name = "m", mode = "%s", period = "100ms", data = "x" } } }
        ]]):format(mode) }
        for _ = 1, 2 do
          w:up()
          local before = w:message_status("m").sent
          wait_status("m", function(m) return m.sent >= before + 2 end)
          assert.equal(0, w:down())
          for _, record in ipairs(World.parse(w.last_out)) do
            if record.kind == "message" and not record.skipped then
              assert.is_true(record.ok, record.text)
            end
          end
          assert.is_true(#w:messages "ann" >= 1)
          w:sim_stop()
          w:sim_start()
        end
      end)
    end
  end)

  describe("what is sent", function()
    it("embeds and files arrive whole, at creates and at edits", function()
      local bytes = {}
      for i = 0, 255 do bytes[i + 1] = string.char(i) end
      local blob = table.concat(bytes):rep(40)
      world { proxy = true, files = { ["blob.bin"] = blob }, script = script(C1 .. [[, name = "m",
        mode = "edit", period = "150ms", remove_after = 2, data = { "with things",
          crier.EMBED { title = "Title", description = "Text", color = 0x336699, author = "me",
            footer = "foot", url = "https://example.org/", fields = {
              { name = "a", value = "1", inline = true }, { name = "b", value = "2" } } },
          crier.FILE "blob.bin", crier.FILE { name = "b.txt", data = "second" } }]]) }
      w:up()
      wait_status("m", function(m) return m.sent >= 2 end)
      w:down()
      local got = w:messages(1)
      assert.equal(1, #got)
      local m = got[1]
      assert.equal("with things", m.content)
      assert.is_string(m.edited_timestamp)
      assert.equal(1, #m.embeds)
      local e = m.embeds[1]
      assert.same({ "Title", "Text", 0x336699, "me", "foot", "https://example.org/" },
        { e.title, e.description, e.color, e.author.name, e.footer.text, e.url })
      assert.equal(2, #e.fields)
      assert.is_true(e.fields[1].inline)
      assert.equal("2", e.fields[2].value)
      assert.equal(2, #m.attachments)
      assert.same({ "blob.bin", #blob, "b.txt", 6 }, { m.attachments[1].filename,
        m.attachments[1].size, m.attachments[2].filename, m.attachments[2].size })
      local creates = w:requests("POST", "/messages$")
      assert.equal(1, #creates)
      assert.is_truthy(creates[1].headers["content-type"]:match "^multipart/form%-data; boundary=")
      local payload = cjson.decode(World.payload(creates[1].body))
      assert.equal("with things", payload.content)
      assert.is_true(payload.enforce_nonce)
      -- The proxy gives bytes as Latin-1.
      local sent = creates[1].body:match 'filename="blob%.bin"\r\n.-\r\n\r\n(.-)\r\n%-%-'
      sent = sent:gsub(utf8.charpattern, function(c) return string.char(utf8.codepoint(c)) end)
      assert.is_true(sent == blob)
      local record = w:days()[1].doc.message_history[1]
      assert.same({ "blob.bin", "b.txt" }, record.sent_data.files)
      assert.equal("Title", record.sent_data.embed[1].title)
    end)

    it("pings nobody unless told, carries a nonce of its own, and says who we are", function()
      world { proxy = true, script = script(C1 .. [[, name = "quiet", period = "200ms",
          mode = "edit", data = "@everyone <@&5> <@301>" },
        crier.TextMESSAGE { name = "loud", channels = { "202", "203" }, period = "200ms",
          mentions = { "everyone", users = { "301" } }, data = "@everyone"]]) }
      w:up()
      w:wait_messages(2, 3)
      wait_status("quiet", function(m) return m.sent >= 3 end)
      w:down()
      local nonces, edits = {}, 0
      for _, r in ipairs(w:requests(nil, "/messages")) do
        if r.path:find "/channels/201/" then
          assert.same({ parse = {} }, r.json.allowed_mentions)
          assert.is_truthy(r.body:find('"allowed_mentions":{"parse":[]}', 1, true))
        else
          assert.same({ parse = { "everyone" }, users = { "301" } }, r.json.allowed_mentions)
        end
        if r.method == "POST" then
          assert.is_true(r.json.enforce_nonce)
          assert.is_true(#r.json.nonce > 0 and #r.json.nonce <= 25)
          assert.is_nil(nonces[r.json.nonce])
          nonces[r.json.nonce] = true
        else
          edits = edits + 1
          assert.is_nil(r.json.nonce)
        end
        assert.equal("Bot good.bot.token", r.headers.authorization)
        assert.is_truthy(r.headers["user-agent"]:match "^DiscordBot %(https?://%S+, [%d.]+%)$")
        assert.equal("application/json", r.headers["content-type"])
      end
      assert.is_true(edits >= 2)
      assert.is_false(w:messages(1)[1].mention_everyone)
      assert.is_true(w:messages(2)[1].mention_everyone)
      assert.is_true(#w:messages(2)[1].mentions == 0) -- allowed, but not mentioned
      -- The token is nowhere else.
      for _, name in ipairs(w:files()) do
        if name ~= "requests.jsonl" and name ~= "world.json" then
          assert.is_nil((w:read(name):find("good.bot.token", 1, true)), name)
        end
      end
      assert.is_nil((w.last_out:find("good.bot.token", 1, true)))
    end)

    it("a data function that returns nil or fails skips the send, and the bot goes on", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms", data = function(ctx)
        n = (n or 0) + 1
        if n == 1 then return nil end
        if n == 2 then error "boom" end
        if n == 3 then return 42 end
        return "no " .. n
      end]]) }
      w:up()
      assert.equal("no 4", w:wait_messages(1, 1)[1].content)
      w:down()
      local errors, skips = {}, {}
      for _, r in ipairs(World.parse(w.last_out)) do
        if r.what == "callback.error" then errors[#errors + 1] = r end
        if r.kind == "message" and r.skipped then skips[#skips + 1] = r.skipped end
      end
      assert.equal(2, #errors)
      assert.is_truthy(errors[1].text:match "^data function of message 'm' failed: bot%.lua:%d+: boom$")
      assert.is_truthy(errors[1].exc_text:match "bot%.lua:%d+: in the function")
      assert.is_truthy(errors[2].text:match "returned what cannot be sent")
      assert.same({ "the data function returned nil", "the data function failed",
        "the data function failed" }, skips)
    end)
  end)

  describe("times", function()
    local function dues(texts)
      local list = {}
      for i = 2, #texts do list[i - 1] = tonumber(texts[i]) - tonumber(texts[i - 1]) end
      return list
    end

    it("a fixed period does not drift, a random one stays within its ends", function()
      world { script = script(C1 .. [[, name = "fixed", period = "100ms",
          data = function(ctx) return ("%.6f"):format(ctx.due) end },
        crier.TextMESSAGE { name = "random", channels = { "202" }, period = { "100ms", "250ms" },
          data = function(ctx) return ("%.6f"):format(ctx.due) end]]) }
      w:up()
      w:wait_messages(2, 16)
      w:down()
      for _, gap in ipairs(dues(w:texts(1))) do
        local n = gap / 0.1 -- a busy machine may skip one
        assert.is_true(n > 0.5)
        assert.near(math.floor(n + 0.5), n, 1e-4)
      end
      local seen, kinds, wide = {}, 0, 0
      for _, gap in ipairs(dues(w:texts(2))) do
        assert.is_true(gap > 0.1 - 2e-6, gap)
        wide = wide + (gap < 0.25 + 2e-6 and 0 or 1)
        local ms = math.floor(gap * 1000 + 0.5)
        if not seen[ms] then kinds = kinds + 1 end
        seen[ms] = true
      end
      assert.is_true(kinds > 5)
      local skips = World.select(World.parse(w.last_out), function(r) return r.skipped end)
      assert.is_true(wide <= #skips, wide .. " gaps too wide")
    end)

    it("start_in: a duration or a date-time", function()
      local at = math.floor(socket.gettime()) + 5
      local text = ("crier.TextMESSAGE { name = %q, channels = { %q }, period = '1h', %s, " ..
        "data = function(ctx) return ('%%.6f'):format(ctx.due) end },")
      local began = socket.gettime()
      world { script = script(C1 .. [[, name = "now", period = "1h",
          data = function(ctx) return ("%.6f"):format(ctx.due) end }, ]] ..
        text:format("later", "202", "start_in = '700ms'") ..
        text:format("date", "203", ("start_in = %q"):format(os.date("!%Y-%m-%dT%H:%M:%SZ", at)))
        :gsub(" },$", "")) }
      w:up()
      for n = 1, 3 do w:wait_messages(n, 1) end
      local now = tonumber(w:texts(1)[1])
      assert.is_true(now >= began and now < began + 60)
      assert.near(now + 0.7, tonumber(w:texts(2)[1]), 0.5)
      assert.equal(at, tonumber(w:texts(3)[1]))
    end)

    it("remove_after: a count a channel, a duration, a date-time; and revived", function()
      local till = math.floor(socket.gettime()) + 5
      local function text(count)
        return script(([[channels = { "201", "202" }, name = "count", period = "100ms",
            remove_after = %d, data = "x" },
          crier.TextMESSAGE { name = "while", channels = { "203" }, period = "100ms",
            remove_after = "2s", data = function(ctx) return ("%%.6f"):format(ctx.due) end },
          crier.TextMESSAGE { name = "till", channels = { "204" }, period = "100ms",
            remove_after = "%s", data = function(ctx) return ("%%.6f"):format(ctx.due) end]])
          :format(count, os.date("!%Y-%m-%dT%H:%M:%SZ", till)))
      end
      world { script = text(3), channels = 4 }
      -- The first create in the second channel is refused, so that channel gets its three later.
      w:fault { match = "POST /channels/202/messages", ["do"] = "status", status = 400,
        body = { code = 50035, message = "Invalid Form Body" } }
      w:up()
      for _, name in ipairs { "count", "while", "till" } do
        wait_status(name, function(m) return m.ended end)
        local removed = w:wait_record(function(r)
          return r.what == "message.removed" and r.text:find("'" .. name .. "'", 1, true)
        end)
        assert.equal("info", removed.level)
        assert.is_nil(w:message_status(name).due)
      end
      assert.equal(3, #w:messages(1))
      assert.equal(3, #w:messages(2))
      local sends = World.select(w:of_kind(), function(r) return r.name == "count" and not r.skipped end)
      assert.equal(4, #sends)
      assert.equal(0.5, sends[1].success_rate)
      assert.equal(1, #sends[4].channels.successful) -- only the channel that was behind
      local times = w:texts(3)
      assert.is_true(#times >= 2 and #times <= 21, #times)
      times = w:texts(4)
      assert.is_true(tonumber(times[#times]) < till)
      assert.is_true(tonumber(times[#times]) > till - 3)

      assert.equal(0, w:reload(text(5)).code)
      wait_status("count", function(m) return m.ended and m.sent >= 5 end)
      assert.equal(5, #w:messages(1))
      assert.equal(5, #w:messages(2))
      assert.is_true(w:message_status("till").ended)
    end)

    it("a send that is under way holds the next ones back: skipped and counted", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms",
        data = function(ctx) return "no " .. ctx.skipped end]]) }
      w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 0.65 }
      w:up()
      w:wait_messages(1, 3)
      w:down()
      local records = World.select(World.parse(w.last_out),
        function(r) return r.kind == "message" end)
      local skipped = World.select(records, function(r)
        return r.skipped == "the send before is still under way"
      end)
      assert.equal("debug", skipped[1].level)
      assert.is_nil(skipped[1].ok)
      -- No burst behind it: what was skipped stays skipped.
      local before = 0
      for i, r in ipairs(records) do
        if r.sent_data and i > 1 then break end
        if r.skipped then before = before + (r.occurrences or 1) end
      end
      assert.is_true(before >= 5)
      assert.equal("no " .. before, w:texts(1)[2])
    end)

    it("a host that was stopped for a while skips what is late and sends the last", function()
      world { script = script(C1 .. [[, name = "m", period = "200ms",
        data = function(ctx) return ("%.6f"):format(ctx.due) end]]) }
      w:up()
      w:wait_messages(1, 2)
      w.process:signal "STOP"
      socket.sleep(1.1) -- the pause itself is what is tested
      w.process:signal "CONT"
      local n = #w:messages(1)
      w:wait_messages(1, n + 3)
      local m = w:message_status "m"
      w:down()
      local times = w:texts(1)
      local skipped = 0
      for _, gap in ipairs(dues(times)) do
        local periods = gap / 0.2
        assert.near(math.floor(periods + 0.5), periods, 1e-3)
        skipped = skipped + math.floor(periods + 0.5) - 1
      end
      assert.is_true(skipped >= 3, skipped)
      assert.equal(skipped, m.skipped)
      local late = World.select(World.parse(w.last_out), function(r) return r.skipped end)
      local told = 0
      for _, r in ipairs(late) do told = told + (r.occurrences or 1) end
      assert.equal(skipped, told)
      assert.is_truthy(late[1].skipped:match "^late")
    end)
  end)

  describe("hooks, logging and routes", function()
    it("hooks get the record, with logging off too; then there is no record", function()
      world { script = [[
        local crier = require "crier"
        crier.bot { token = crier.secret.env "SPEC_TOKEN" }
        for _, event in ipairs { "message.sent", "message.failed", "message.skipped" } do
          crier.on(event, function(e)
            crier.log.info(event, { of = e.name, was_ok = e.ok, said = e.sent_data and e.sent_data.text,
              guild_id = e.guild.id, why = e.skipped, same = tostring(e.kind) })
          end)
        end
        crier.on("start", function() crier.log.info "started hook" end)
        crier.on("stop", function() crier.log.info "stop hook" end)
        crier.GUILD { snowflake = "100", messages = {
          crier.TextMESSAGE { name = "good", channels = { "201" }, period = "1h", data = "hi" },
          crier.TextMESSAGE { name = "bad", channels = { "999" }, period = "1h", data = "hi" },
          crier.TextMESSAGE { name = "none", channels = { "201" }, period = "1h",
                              data = function() end },
        } }
      ]] }
      w:up()
      local by = {}
      proc.wait_for(function()
        by = {}
        for _, r in ipairs(w:of_kind "log") do by[r.text] = r end
        return by["message.sent"] and by["message.failed"] and by["message.skipped"]
      end)
      local good, bad, none = by["message.sent"], by["message.failed"], by["message.skipped"]
      assert.same({ "good", true, "hi", "100", "message" },
        { good.of, good.was_ok, good.said, good.guild_id, good.same })
      assert.same({ "bad", false }, { bad.of, bad.was_ok })
      assert.same({ "none", "the data function returned nil" }, { none.of, none.why })
      assert.equal(1, w:message_status("good").sent)
      assert.equal(1, w:message_status("bad").failed)
      assert.equal(1, w:message_status("none").skipped)
      assert.equal(0, w:down())
      local texts = {}
      for _, r in ipairs(World.parse(w.last_out)) do
        assert.are_not.equal("message", r.kind)
        texts[r.text] = true
      end
      assert.is_true(texts["started hook"])
      assert.is_true(texts["stop hook"])
      assert.same({}, w:days())
    end)

    it("records go by the rules: table, function, copy, otherwise", function()
      world { script = [[
        local crier = require "crier"
        local function sink(name)
          return crier.sink.json { name = name, path = name, kinds = { "log", "system", "message" } }
        end
        local a, b, c, d = sink "a", sink "b", sink "c", sink "d"
        crier.route { match = { kind = "log", level = crier.one_of("error", "critical") }, to = a }
        crier.route { match = function(r) return r.kind == "log" and r.tag == "x" end, to = { a, b } }
        crier.route { match = { kind = "log", text = crier.like "thr%" }, to = c, copy = true }
        crier.route { match = { kind = "log", text = "boom" }, to = b }
        crier.route { match = crier.otherwise, to = d }
        crier.on("start", function()
          crier.log.error "one"
          crier.log.info("two", { tag = "x" })
          crier.log.info "three"
          crier.log.info "four"
          crier.log.error("five", { tag = "x" })
          crier.log.info "boom"
        end)
      ]] }
      w:start()
      proc.wait_for(function()
        return w:crier({ "status", "bot.lua" }).code == 0
      end)
      assert.equal(0, w:down())
      local function logs(folder)
        local list = {}
        for _, day in ipairs(w:days(folder)) do
          if day.path:find "@log" then
            for i, r in ipairs(day.doc.message_history) do list[i] = r.record.text or r.text end
          end
        end
        table.sort(list)
        return table.concat(list, " ")
      end
      assert.equal("five one two", logs "a")
      assert.equal("boom five two", logs "b")
      assert.equal("three", (logs "c"))
      assert.equal("four three", logs "d")
    end)

    it("in a pipe the console writes one JSON object a line", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms", remove_after = 1, data = "x"]],
        [[crier.log.warning("while loading", { number = 1.5, text = "mine", when = { 1, 2 } })]]) }
      w:up()
      w:wait_messages(1, 1)
      assert.equal(0, w:down())
      local seq, id = 0, ""
      for line in w.last_out:gmatch "[^\n]+" do
        local r = cjson.decode(line)
        assert.is_truthy(line:match '^{"id":"%w+","seq":%d+,"time":"[%d-]+T[%d:]+%.%d%d%d%d%d%dZ",')
        assert.is_true(r.seq > seq)
        assert.is_true(r.id > id)
        assert.is_true(r.sim)
        seq, id = r.seq, r.id
      end
      local log = World.select(World.parse(w.last_out), function(r) return r.kind == "log" end)[1]
      assert.same({ "while loading", "warning", 1.5, "mine", "bot.lua:3" },
        { log.text, log.level, log.number, log.fields.text, log.where })
      assert.same({ 1, 2 }, log.when)
    end)
  end)

  describe("bots and tokens", function()
    it("several bots, each with its own token", function()
      world { proxy = true, script = [[
        local crier = require "crier"
        local one = crier.bot { name = "one", token = crier.secret.env "SPEC_TOKEN" }
        local two = crier.bot { name = "two", token = crier.secret.file "two.secret" }
        crier.GUILD { bot = one, snowflake = "100", logging = true, messages = {
          crier.TextMESSAGE { name = "m", channels = { "201" }, period = "100ms", data = "1" } } }
        crier.USER { bot = two, snowflake = "301", logging = true, messages = {
          crier.DirectMESSAGE { name = "m", period = "100ms", data = "2" } } }
        crier.USER { bot = one, snowflake = "302", logging = true, messages = {
          crier.DirectMESSAGE { name = "m", period = "100ms", data = "3" } } }
      ]], files = { ["two.secret"] = "other.bot.token\n" } }
      w:up()
      local a = w:wait_messages(1, 2)[1].author
      local b = w:wait_messages("ann", 2)[1].author
      local c = w:wait_messages("bob", 2)[1].author
      assert.same({ "crier", "second", "crier" }, { a.username, b.username, c.username })
      local status = w:status()
      assert.equal(2, #status.bots)
      assert.same({ "crier", "ready" }, { status.bots[1].account, status.bots[1].state })
      assert.same({ "second", "ready" }, { status.bots[2].account, status.bots[2].state })
      assert.equal(3, #status.messages)
      assert.equal(0, w:down())
      for _, r in ipairs(w:requests()) do
        local expected = r.headers.authorization == "Bot other.bot.token"
        if r.path:find "/channels/201/" then assert.is_false(expected) end
        if r.body:find '"recipient_id":"301"' then assert.is_true(expected) end
      end
    end)

    it("a token that Discord refuses ends the run with 77", function()
      world { script = script(C1 .. [[, period = "100ms", data = "x"]]) }
      local p = w:start(nil, { env = { SPEC_TOKEN = "wrong.bot.token" } })
      assert.equal(77, p:wait())
      assert.is_truthy(p:err():match "bot 'bot'.*token.*401")
      assert.is_nil((p:err() .. p:out()):find("wrong.bot.token", 1, true))
      assert.equal(0, w:stats().creates)
    end)

    it("a user's token is refused with 77", function()
      world { script = script(C1 .. [[, period = "100ms", data = "x"]]) }
      w:fault { match = "GET /users/@me", ["do"] = "status", status = 200,
        body = { id = "77", username = "person", discriminator = "0" } }
      local p = w:start()
      assert.equal(77, p:wait())
      assert.is_truthy(p:err():find("user account", 1, true))
      assert.equal(0, w:stats().creates)
    end)

    it("of two bots one may be refused: the other goes on, and it is told", function()
      world { script = [[
        local crier = require "crier"
        local one = crier.bot { name = "one", token = crier.secret.env "SPEC_TOKEN" }
        local two = crier.bot { name = "two", token = crier.secret.env "BAD" }
        crier.GUILD { bot = one, snowflake = "100", logging = true, messages = {
          crier.TextMESSAGE { name = "m", channels = { "201" }, period = "100ms", data = "1" } } }
        crier.USER { bot = two, snowflake = "301", logging = true, messages = {
          crier.DirectMESSAGE { name = "n", period = "100ms", data = "2" } } }
      ]] }
      w:up(nil, { env = { BAD = "wrong.bot.token" } })
      w:wait_messages(1, 3)
      local refused = w:wait_record(function(r) return r.what == "bot.refused" end)
      assert.equal("critical", refused.level)
      local failed = w:wait_record(function(r) return r.name == "n" and r.ok == false end)
      assert.is_truthy(failed.success_info.reason:match "401")
      assert.equal("refused", w:status().bots[2].state)
      assert.equal(0, w:down())
    end)

    it("a secret that is not set is fatal in run: 78, before anything is sent", function()
      world { script = [[
        local crier = require "crier"
        crier.bot { token = crier.secret.env "SPEC_TOKEN", api = os.getenv "API" }
        crier.GUILD { snowflake = "100", messages = {
          crier.TextMESSAGE { name = "m", channels = { "201" }, period = "1h", data = "1" } } }
      ]] }
      local p = w:start(nil, { plain = true, env = { SPEC_TOKEN = false } })
      assert.equal(78, p:wait())
      assert.is_truthy(p:err():find("the environment variable SPEC_TOKEN is not set", 1, true))
      assert.is_truthy(p:err():match "bot%.lua:2")
      assert.equal(0, w:stats().requests)
      -- And with it the same script sends without any simulator's flag; records do not say sim.
      w:start(nil, { plain = true })
      w:wait_messages(1, 1)
      assert.equal(0, w:down())
      for _, r in ipairs(World.parse(w.last_out)) do assert.is_nil(r.sim) end
    end)
  end)

  describe("stopping", function()
    it("SIGTERM while a send is under way: finished, logged, exit code 0", function()
      for _, name in ipairs { "TERM", "INT" } do
        world { script = script(C1 .. [[, name = "m", period = "1h", data = "x"]]) }
        w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 0.7 }
        w:up()
        w:wait_messages(1, 1) -- executed; the answer is on its way
        w.process:signal(name)
        assert.equal(0, w.process:wait())
        local sent = w:of_kind()
        assert.equal(1, #sent)
        assert.is_true(sent[1].ok)
        assert.equal(1, #w:days()[1].doc.message_history)
        local all = w:records()
        assert.equal("stop", World.select(all, function(r) return r.what == "stop" end)[1].what)
        w:close()
        w = nil
      end
    end)

    it("a second SIGTERM ends it at once; the next start ends the send", function()
      world { script = script(C1 .. [[, name = "m", period = "1h", data = "x"]],
        [[crier.config { limits = { stop = "1h" } }]]) }
      w:fault { match = "POST /channels/*/messages", ["do"] = "delay", delay = 300 }
      w:up()
      w:wait_messages(1, 1)
      w.process:signal "TERM"
      w:wait_record(function(r) return r.what == "stop" end)
      assert.is_nil(w.process:code())
      w.process:signal "TERM"
      assert.equal(0, w.process:wait())
      assert.equal(0, #w:of_kind())
      w:down()
      w:up()
      local r = w:wait_record(function(r) return r.kind == "message" end)
      assert.is_true(r.ok)
      assert.equal(1, #w:messages(1))
      assert.equal(1, w:message_status("m").sent)
    end)

    it("--for ends it in order", function()
      world { script = script(C1 .. [[, name = "m", period = "500ms", data = "x"]]) }
      local began = socket.gettime()
      local p = w:start { "--for", "2s" }
      assert.equal(0, p:wait())
      local took = socket.gettime() - began
      assert.is_true(took >= 2, took)
      local n = #w:messages(1)
      assert.is_true(n >= 1 and n <= 5, n)
      assert.equal(n, #w:of_kind())
    end)

    it("SIGUSR1 reopens files: what was moved away stays, a new one is begun", function()
      world { script = script(C1 .. [[, name = "m", period = "100ms", data = "x"]]) }
      w:up()
      w:wait_messages(1, 2)
      local day = proc.wait_for(function() return w:days()[1] end)
      local path = w:path(day.path)
      assert(os.rename(path, path .. ".1"))
      w.process:signal "USR1"
      proc.wait_for(function() return proc.exists(path) end)
      w:wait_messages(1, 6)
      assert.equal(0, w:down())
      local first = cjson.decode(proc.read(path .. ".1")).message_history
      local second = cjson.decode(proc.read(path)).message_history
      assert.equal(#w:messages(1), #first + #second)
      assert.equal(#second - 1, second[1].index)
    end)
  end)

  it("requests follow Discord's description of its API", function()
    world { proxy = true, files = { ["a.txt"] = "text" }, script = [[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "SPEC_TOKEN" }
      local embed = crier.EMBED { title = "T", description = "D", color = 1, author = "a",
        footer = { text = "f", icon = "https://example.org/i.png" }, timestamp = "2026-11-21T09:00Z",
        image = "https://example.org/i.png", fields = { { name = "n", value = "v" } } }
      crier.GUILD { snowflake = "100", messages = {
        crier.TextMESSAGE { name = "a", channels = { "201" }, period = "100ms", mode = "edit",
          mentions = { "roles", users = { "1" } }, data = { "t", embed } },
        crier.TextMESSAGE { name = "b", channels = { "202" }, period = "100ms", mode = "clear-send",
          data = { embed, crier.FILE "a.txt" } },
        crier.TextMESSAGE { name = "c", channels = { "203" }, period = "100ms", mode = "edit",
          data = { "t", crier.FILE "a.txt" } } } }
      crier.USER { snowflake = "301", messages = {
        crier.DirectMESSAGE { name = "d", period = "100ms", data = "x" } } }
    ]] }
    w:up()
    proc.wait_for(function()
      local s = w:stats()
      return s.edits >= 4 and s.deletes >= 2 and s.creates >= 6
    end)
    w:down()
    local lines = {}
    for i, r in ipairs(w:requests()) do
      local body = r.body ~= "" and r.body or nil
      if body and not r.json then body = World.payload(body) end
      lines[i] = ('{"method":"%s","path":"%s","part":"request"%s}\n'):format(r.method,
        r.path:gsub("^/api/v10", ""), body and ',"body":' .. body or "")
    end
    assert.is_true(#lines >= 12)
    local r = proc.run({ "python3", "spec/support/validate_openapi.py" },
      { stdin = table.concat(lines) })
    assert.equal(0, r.code, r.out .. r.err)
  end)

  it("no more than the channels that exist: a failed channel is told with its reason", function()
    world { script = script [[channels = { "201", "999" }, name = "m", period = "1h", data = "x"]] }
    w:up()
    local r = w:wait_record(function(r) return r.kind == "message" end)
    assert.is_false(r.ok)
    assert.equal("warning", r.level)
    assert.equal(0.5, r.success_rate)
    assert.same({ { name = "c1", id = channel(1) } }, r.channels.successful)
    assert.equal("999", r.channels.failed[1].id)
    assert.is_truthy(r.channels.failed[1].reason:match "10003 Unknown Channel")
    assert.equal("m 1 of 2 channels sent", r.text)
  end)
end)
