-- SPDX-License-Identifier: MIT
-- `crier discord-sim` over HTTP: each answer is compared with Discord's OpenAPI description. (A client
-- that we did not write works with it in discordjs_spec.lua.)
local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local proc = require "spec.support.proc"

local TOKEN, OTHER = "MTA.a.secret", "MTA.b.other"
local TEXT, NEWS, CLOSED, HIDDEN, FORUM = "211", "212", "213", "214", "215"
local GUILD, DAVID, SHY = "100", "301", "302"
local STAFF, BOSS, MODERATOR = "151", "152", "153"
local CREW, BOT, OTHER_BOT = "216", "901", "902"
local WORLD = cjson.encode {
  bots = { { token = TOKEN, name = "crier", user = BOT },
    { token = OTHER, name = "other", user = OTHER_BOT } },
  guilds = { { id = GUILD, name = "guild", owner = "399", roles = {
    { id = STAFF, name = "staff", permissions = "0", position = 1 },
    { id = MODERATOR, name = "moderator", position = 5, permissions = { "MANAGE_ROLES",
      "MODERATE_MEMBERS" } },
    { id = BOSS, name = "boss", position = 9, permissions = { "ADMINISTRATOR" } },
  }, members = {
    { user = BOT, roles = { MODERATOR } }, { user = DAVID }, { user = "399" },
    { user = "398", roles = { BOSS } },
  }, channels = {
    { id = TEXT, name = "text" }, { id = NEWS, name = "news", type = 5 },
    { id = CLOSED, name = "closed", deny = { "SEND_MESSAGES" } },
    { id = HIDDEN, name = "hidden", deny = { "VIEW_CHANNEL" } },
    { id = FORUM, name = "forum", type = 15, require_tag = true },
    { id = CREW, name = "crew", slowmode = 60, overwrites = { { id = GUILD, deny = { "SEND_MESSAGES",
      "VIEW_CHANNEL" } }, { id = STAFF, allow = { "SEND_MESSAGES", "VIEW_CHANNEL" } } } },
  } } },
  users = { { id = DAVID, name = "David" }, { id = SHY, name = "Shy", dms = false } },
}

--- A discord-sim with the world above, and `ask`.
local function start(...)
  local dir = proc.tmpdir()
  proc.write(dir .. "/world.json", WORLD)
  local sim = { dir = dir, exchanges = {} }
  sim.process = proc.start { proc.crier, "discord-sim", "--json", "--world", dir .. "/world.json", ... }
  sim.port = sim.process:wait_line '"port":(%d+)'
  sim.url = "http://127.0.0.1:" .. sim.port

  --- One exchange: status, body (decoded), headers. The body of opt may be a text. Every exchange
  --- below /api/v10 is kept for the comparison.
  function sim.ask(method, path, opt)
    opt = opt or {}
    local body = opt.body
    if type(body) == "table" then body = cjson.encode(body) end
    local got = {}
    local headers = {
      ["User-Agent"] = opt.user_agent or "DiscordBot (https://example.com, 1)",
      Authorization = opt.token ~= false and "Bot " .. (opt.token or TOKEN) or nil,
      ["Content-Type"] = body and (opt.content_type or "application/json"),
      ["Content-Length"] = tostring(#(body or "")),
    }
    local _, status, answer_headers = http.request {
      method = method,
      url = sim.url .. (path:sub(1, 5) == "/sim/" and path or "/api/v10" .. path),
      headers = headers,
      source = body and ltn12.source.string(body),
      sink = ltn12.sink.table(got),
    }
    local text = table.concat(got)
    if type(status) ~= "number" then return nil, status end
    if path:sub(1, 5) ~= "/sim/" and opt.described ~= false then
      sim.exchanges[#sim.exchanges + 1] = ('{"method":"%s","path":"%s","part":"response","status":%d%s}')
        :format(method, path, status, text ~= "" and ',"body":' .. text or "")
    end
    local is_json = (answer_headers["content-type"] or ""):find "json"
    return status, is_json and cjson.decode(text) or text, answer_headers
  end

  function sim.messages(channel, body, opt)
    opt = opt or {}
    opt.body = body
    return sim.ask("POST", "/channels/" .. (channel or TEXT) .. "/messages", opt)
  end

  function sim.stop()
    local code = sim.process:stop()
    proc.rmdir(dir)
    return code
  end
  return sim
end

local function validate(lines)
  return proc.run({ "python3", "spec/support/validate_openapi.py" },
    { stdin = table.concat(lines, "\n") .. "\n" })
end

describe("discord-sim", function()
  local sim
  before_each(function() sim = start "--no-limits" end)
  after_each(function()
    local exchanges = sim.exchanges
    assert.equal(0, sim.stop())
    if #exchanges > 0 then
      local r = validate(exchanges)
      assert.equal(0, r.code, r.out .. r.err)
    end
  end)

  it("answers the reads as Discord's description says", function()
    for _, path in ipairs { "/users/@me", "/users/" .. DAVID, "/users/@me/guilds", "/guilds/" .. GUILD,
      "/guilds/" .. GUILD .. "/channels", "/channels/" .. TEXT, "/channels/" .. NEWS,
      "/channels/" .. CLOSED, "/channels/" .. FORUM, "/gateway", "/gateway/bot",
      "/channels/" .. TEXT .. "/messages" } do
      assert.equal(200, (sim.ask("GET", path)), path)
    end
    local _, me = sim.ask("GET", "/users/@me")
    assert.equal(200, (sim.ask("GET", "/guilds/" .. GUILD .. "/members/" .. me.id)))
  end)

  it("creates, edits, lists, publishes, reacts to and deletes messages", function()
    local status, message = sim.messages(NEWS, {
      content = "hello <@301> <@&77> @everyone", nonce = "n1", enforce_nonce = true,
      embeds = { { title = "t", description = "d", url = "https://example.com", color = 255,
        timestamp = "2026-11-21T10:00:00Z",
        author = { name = "a", icon_url = "https://x.y/i.png" },
        footer = { text = "f" }, image = { url = "https://x.y/z.png" },
        thumbnail = { url = "https://x.y/t.png" },
        fields = { { name = "n", value = "v" }, { name = "n", value = "v", inline = true } } } },
    })
    assert.equal(200, status)
    assert.equal("n1", message.nonce)
    local path = "/channels/" .. NEWS .. "/messages/" .. message.id
    assert.equal(200, (sim.ask("PATCH", path, { body = { content = "edited" } })))
    assert.equal(200, (sim.messages(NEWS, { content = "re",
      message_reference = { message_id = message.id } })))
    assert.equal(204, (sim.ask("PUT", path .. "/reactions/%F0%9F%91%8D/@me")))
    assert.equal(204, (sim.ask("PUT", path .. "/reactions/party%3A123/@me")))
    assert.equal(200, (sim.ask("POST", path .. "/crosspost")))
    local _, one = sim.ask("GET", path)
    assert.equal("edited", one.content)
    assert.equal("👍", one.reactions[1].emoji.name)
    assert.equal("123", one.reactions[2].emoji.id)
    local _, list = sim.ask("GET", "/channels/" .. NEWS .. "/messages?limit=2")
    assert.equal("re", list[1].content)
    assert.equal(204, (sim.ask("DELETE", path .. "/reactions/%F0%9F%91%8D/@me")))
    assert.equal(204, (sim.ask("POST", "/channels/" .. NEWS .. "/typing")))
    assert.equal(204, (sim.ask("DELETE", path)))
    assert.equal(404, (sim.ask("GET", path)))
  end)

  it("takes files", function()
    local body = table.concat({
      "--B", 'Content-Disposition: form-data; name="files[0]"; filename="a b.txt"',
      "Content-Type: text/plain", "", "hello",
      "--B", 'Content-Disposition: form-data; name="payload_json"', "",
      '{"content":"file","embeds":[{"title":"t","image":{"url":"attachment://a b.txt"}}]}',
      "--B--", "",
    }, "\r\n")
    local status, message = sim.messages(TEXT, body,
      { content_type = "multipart/form-data; boundary=B" })
    assert.equal(200, status)
    assert.equal(5, message.attachments[1].size)
    assert.equal(message.attachments[1].url, message.embeds[1].image.url)
    assert.equal(400, (sim.messages(TEXT, "nonsense",
      { content_type = "multipart/form-data; boundary=B" })))
  end)

  it("opens a direct-message channel once", function()
    local _, first = sim.ask("POST", "/users/@me/channels", { body = { recipient_id = DAVID } })
    local _, again = sim.ask("POST", "/users/@me/channels", { body = { recipient_id = DAVID } })
    assert.equal(first.id, again.id)
    assert.equal(200, (sim.messages(first.id, { content = "hi" })))
    local _, shy = sim.ask("POST", "/users/@me/channels", { body = { recipient_id = SHY } })
    local status, refusal = sim.messages(shy.id, { content = "hi" })
    assert.same({ 403, 50007 }, { status, refusal.code })
  end)

  it("refuses with Discord's codes and bodies", function()
    local _, mine = sim.messages(TEXT, { content = "mine" })
    local rows = {
      { 401, 0, "GET", "/users/@me", { token = false } },
      { 401, 0, "GET", "/users/@me", { token = "nobody" } },
      { 403, 40333, "GET", "/users/@me", { user_agent = "curl/8" } },
      { 404, 0, "GET", "/nowhere", { described = false } },
      { 405, 0, "PUT", "/users/@me", { described = false } },
      { 404, 10003, "POST", "/channels/5/messages", { body = { content = "x" } } },
      { 404, 10004, "GET", "/guilds/5" },
      { 404, 10013, "GET", "/users/5" },
      { 404, 10008, "PATCH", "/channels/" .. TEXT .. "/messages/5", { body = { content = "x" } } },
      { 404, 10008, "DELETE", "/channels/" .. TEXT .. "/messages/5" },
      { 403, 50001, "POST", "/channels/" .. HIDDEN .. "/messages", { body = { content = "x" } } },
      { 403, 50013, "POST", "/channels/" .. CLOSED .. "/messages", { body = { content = "x" } } },
      { 400, 50008, "POST", "/channels/" .. FORUM .. "/messages", { body = { content = "x" } } },
      { 400, 50006, "POST", "/channels/" .. TEXT .. "/messages", { body = { content = "" } } },
      { 400, 50109, "POST", "/channels/" .. TEXT .. "/messages", { body = "{" } },
      { 400, 50035, "POST", "/channels/" .. TEXT .. "/messages",
        { body = { content = ("x"):rep(2001), nonce = ("n"):rep(26),
          embeds = { { title = ("t"):rep(257) } } } } },
      { 400, 50035, "POST", "/channels/" .. TEXT .. "/messages",
        { body = "content=x", content_type = "text/plain" } },
      { 400, 50035, "GET", "/channels/" .. TEXT .. "/messages?limit=101" },
      { 400, 50035, "GET", "/channels/abc" },
      { 403, 50005, "PATCH", "/channels/" .. TEXT .. "/messages/" .. mine.id,
        { body = { content = "x" }, token = OTHER } },
      { 400, 50024, "POST", "/channels/" .. TEXT .. "/messages/" .. mine.id .. "/crosspost" },
      { 400, 10014, "PUT", "/channels/" .. TEXT .. "/messages/" .. mine.id .. "/reactions/x/@me" },
    }
    for _, row in ipairs(rows) do
      local status, body = sim.ask(row[3], row[4], row[5])
      assert.same({ row[1], row[2] }, { status, body.code }, row[3] .. " " .. row[4])
      assert.is_string(body.message)
    end
  end)

  it("answers a repeated nonce with the first message", function()
    local body = { content = "x", nonce = "abc", enforce_nonce = true }
    local _, first = sim.messages(TEXT, body)
    local _, again = sim.messages(TEXT, body)
    assert.equal(first.id, again.id)
    assert.equal(204, (sim.ask("DELETE", "/channels/" .. TEXT .. "/messages/" .. first.id)))
    local status, gone = sim.messages(TEXT, body)
    assert.same({ 404, 10008 }, { status, gone.code })
  end)

  local function rfc(seconds) return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds) end
  local function member(id) return "/guilds/" .. GUILD .. "/members/" .. id end
  --- The statuses and codes of a list of requests.
  local function expect(rows)
    for i, row in ipairs(rows) do
      local status, body = sim.ask(row[3], row[4], row[5])
      assert.same({ row[1], row[2] }, { status, type(body) == "table" and body.code or nil },
        ("%d: %s %s"):format(i, row[3], row[4]))
    end
  end

  it("computes what a bot may do from its roles and a channel's overwrites", function()
    local here = { body = { content = "x" }, token = OTHER }
    local to = "/channels/" .. CREW .. "/messages"
    expect { { 403, 50001, "POST", to, here }, { 403, 50001, "GET", "/channels/" .. CREW, here } }
    -- The other bot gets the role that may.
    expect { { 204, nil, "PUT", member(OTHER_BOT) .. "/roles/" .. STAFF },
      { 200, nil, "POST", to, here }, { 200, nil, "POST", to, here } } -- bots know no slow mode
    local _, m = sim.ask("GET", member(OTHER_BOT))
    assert.same({ STAFF }, m.roles)
    local _, channel = sim.ask("GET", "/channels/" .. CREW, here)
    assert.same({ 60, 2 }, { channel.rate_limit_per_user, #channel.permission_overwrites })
    -- A member's own overwrite is above its roles'.
    local own = "/channels/" .. TEXT .. "/permissions/" .. OTHER_BOT
    expect { { 200, nil, "POST", "/channels/" .. TEXT .. "/messages", here },
      { 204, nil, "PUT", own, { body = { type = 1, deny = 2048 } } },
      { 403, 50013, "POST", "/channels/" .. TEXT .. "/messages", here },
      { 204, nil, "DELETE", own }, { 404, 10009, "DELETE", own },
      { 200, nil, "POST", "/channels/" .. TEXT .. "/messages", here } }
    -- Everyone's bits are the last that count.
    local all = "/guilds/" .. GUILD .. "/roles/" .. GUILD
    local _, everyone = sim.ask("GET", all)
    expect { { 200, nil, "PATCH", all, { body = { permissions = "1024" } } },
      { 403, 50013, "POST", "/channels/" .. TEXT .. "/messages", here },
      { 200, nil, "PATCH", all, { body = { permissions = "1024" } } },
      { 204, nil, "DELETE", member(OTHER_BOT) .. "/roles/" .. STAFF },
      { 403, 50001, "POST", to, here } }
    -- The bot has lost with everyone what it wants to give back.
    expect { { 403, 50013, "PATCH", all, { body = { permissions = everyone.permissions } } } }
  end)

  it("has roles, and an order among them", function()
    local roles = "/guilds/" .. GUILD .. "/roles"
    local _, made = sim.ask("POST", roles, { body = { name = "helpers", color = 255, hoist = true,
      mentionable = true, permissions = "2048" } })
    assert.same({ "helpers", "2048", 255, true, true, 1 }, { made.name, made.permissions, made.color,
      made.hoist, made.mentionable, made.position })
    local _, list = sim.ask("GET", roles)
    assert.equal(5, #list)
    assert.same({ GUILD, "@everyone" }, { list[1].id, list[1].name })
    local _, edited = sim.ask("PATCH", roles .. "/" .. made.id, { body = { name = "help" } })
    assert.same({ "help", "2048", true }, { edited.name, edited.permissions, edited.hoist })
    local one = roles .. "/" .. made.id
    expect { { 200, nil, "PATCH", member(DAVID), { body = { roles = { made.id, STAFF } } } },
      { 204, nil, "DELETE", member(DAVID) .. "/roles/" .. STAFF },
      { 400, 50035, "PATCH", member(DAVID), { body = { roles = { "5" } } } },
      { 400, 50035, "POST", roles, { body = { name = ("x"):rep(101) } } },
      { 403, 50013, "POST", roles, { body = { permissions = "8" } } },
      { 403, 50013, "PUT", member(DAVID) .. "/roles/" .. BOSS },
      { 403, 50013, "PUT", member(DAVID) .. "/roles/" .. MODERATOR },
      { 403, 50013, "PATCH", roles .. "/" .. BOSS, { body = { name = "x" } } },
      { 403, 50013, "DELETE", roles .. "/" .. BOSS }, { 400, 50028, "DELETE", roles .. "/" .. GUILD },
      { 404, 10011, "GET", roles .. "/5" }, { 404, 10007, "GET", member(SHY) },
      { 404, 10013, "GET", member "5" } }
    local _, david = sim.ask("GET", member(DAVID))
    assert.same({ made.id }, david.roles)
    expect { { 204, nil, "DELETE", one }, { 404, 10011, "GET", one } }
    _, david = sim.ask("GET", member(DAVID))
    assert.same({}, david.roles)
  end)

  it("times members out", function()
    local function out(seconds)
      return { body = { communication_disabled_until = seconds and rfc(seconds) or cjson.null } }
    end
    local here = { body = { content = "x" }, token = OTHER }
    local to = "/channels/" .. TEXT .. "/messages"
    local _, mine = sim.messages(TEXT, { content = "mine" }, { token = OTHER })
    expect { { 200, nil, "PATCH", member(OTHER_BOT), out(600) },
      { 403, 50013, "POST", to, here }, { 403, 50013, "POST", "/channels/" .. TEXT .. "/typing", here },
      { 403, 50013, "PUT", to .. "/" .. mine.id .. "/reactions/%F0%9F%91%8D/@me", here },
      { 200, nil, "GET", to, here }, { 200, nil, "GET", "/channels/" .. TEXT, here },
      { 200, nil, "POST", to, { body = { content = "x" } } } } -- others may
    local _, m = sim.ask("GET", member(OTHER_BOT))
    assert.is_string(m.communication_disabled_until)
    expect { { 200, nil, "PATCH", member(OTHER_BOT), out(nil) }, { 200, nil, "POST", to, here },
      { 200, nil, "PATCH", member(DAVID), out(600) },
      { 400, 0, "POST", "/sim/events", { body = { ["do"] = "message", channel = TEXT, user = DAVID,
        content = "psst" } } },
      { 400, 50035, "PATCH", member(DAVID), out(29 * 86400) },
      { 400, 50035, "PATCH", member(DAVID), { body = { communication_disabled_until = "soon" } } },
      { 403, 50013, "PATCH", member "399", out(60) }, -- the owner
      { 403, 50013, "PATCH", member "398", out(60) }, -- an administrator
      { 403, 50013, "PATCH", member(BOT), out(60) }, -- itself
      { 403, 50013, "PATCH", member(DAVID), { body = out(60).body, token = OTHER } } } -- not above
  end)

  it("asks for a forum's tag, and minds archived and locked threads", function()
    local posts = "/channels/" .. FORUM .. "/threads"
    expect { { 400, 40067, "POST", posts, { body = { name = "p", message = { content = "x" } } } } }
    local _, post = sim.ask("POST", posts, { body = { name = "p", applied_tags = { "7" },
      message = { content = "x" } } })
    local to = "/channels/" .. post.id .. "/messages"
    local function happen(what, channel)
      what["do"], what.channel = "channel_update", channel or post.id
      assert.equal(204, (sim.ask("POST", "/sim/events", { body = what })))
    end
    happen { archived = true }
    expect { { 400, 50083, "PATCH", to .. "/" .. post.id, { body = { content = "y" } } },
      { 200, nil, "POST", to, { body = { content = "y" } } }, -- which opens it
      { 200, nil, "PATCH", to .. "/" .. post.id, { body = { content = "y" } } } }
    -- Threads have a permission of their own, and their channel's for all else.
    expect { { 204, nil, "PUT", "/channels/" .. FORUM .. "/permissions/" .. GUILD,
      { body = { type = 0, deny = tostring(1 << 38 | 1 << 34) } } },
      { 403, 50013, "POST", to, { body = { content = "z" } } },
      -- It has taken from itself what it would give back.
      { 403, 50013, "DELETE", "/channels/" .. FORUM .. "/permissions/" .. GUILD } }
    happen({ deny = { "MANAGE_THREADS" } }, FORUM)
    happen { locked = true }
    expect { { 403, 160005, "POST", to, { body = { content = "z" } } } }
  end)

  it("has faults, statistics, its state and a transcript", function()
    assert.equal(204, (sim.ask("POST", "/sim/faults", { body =
      '{"match":"POST /channels/*/messages","do":"drop_after"}' })))
    assert.is_nil((sim.messages(TEXT, { content = "lost answer" })))
    assert.equal(204, (sim.ask("POST", "/sim/faults",
      { body = '{"do":"status","status":503,"times":-1}' })))
    assert.equal(503, (sim.ask("GET", "/users/@me", { described = false })))
    assert.equal(204, (sim.ask("DELETE", "/sim/faults")))
    assert.equal(200, (sim.ask("GET", "/users/@me")))
    local status, bad = sim.ask("POST", "/sim/faults", { body = '{"do":"explode"}' })
    assert.equal(400, status)
    assert.matches("drop_before", bad.message, 1, true)
    local _, stats = sim.ask("GET", "/sim/stats")
    assert.same({ 1, 1 }, { stats.creates, stats.answers_5xx })
    local _, state = sim.ask("GET", "/sim/state")
    assert.equal("lost answer", state.channels[1].messages[1].content)
    local _, transcript = sim.ask("GET", "/sim/transcript")
    assert.matches("# text", transcript, 1, true)
    assert.matches("lost answer", transcript, 1, true)
    assert.equal(404, (sim.ask("GET", "/sim/nothing")))
  end)
end)

describe("discord-sim's rate limits", function()
  it("announces itself in headers and answers 429", function()
    local sim = start()
    finally(sim.stop)
    local status, body, headers
    for n = 4, 0, -1 do
      status, body, headers = sim.messages(TEXT, { content = "x" })
      assert.same({ 200, "x" }, { status, body.content })
      assert.equal(tostring(n), headers["x-ratelimit-remaining"])
    end
    assert.equal("5", headers["x-ratelimit-limit"])
    assert.matches("^%d+%.%d%d%d$", headers["x-ratelimit-reset"])
    assert.matches("^%d%.%d%d%d$", headers["x-ratelimit-reset-after"])
    assert.matches("^%x+$", headers["x-ratelimit-bucket"])
    status, body, headers = sim.messages(TEXT, { content = "x" })
    assert.equal(429, status)
    assert.is_false(body.global)
    assert.is_true(body.retry_after > 0 and body.retry_after <= 5)
    assert.equal("user", headers["x-ratelimit-scope"])
    assert.equal(math.ceil(body.retry_after), tonumber(headers["retry-after"]))
    assert.equal(200, (sim.messages(NEWS, { content = "x" })))
    local r = validate(sim.exchanges)
    assert.equal(0, r.code, r.out .. r.err)
  end)
end)

describe("discord-sim's command line", function()
  local function run(...)
    return proc.run { proc.crier, "discord-sim", ... }
  end

  it("tells the address for people", function()
    local p = proc.start { proc.crier, "discord-sim" }
    finally(function() p:stop() end)
    assert.is_truthy(p:wait_line "^discord%-sim: http://127%.0%.0%.1:%d+/api/v10 %(token: any%)\n")
    p:signal "INT"
    assert.equal(0, p:wait())
  end)

  it("ends with the exit codes of a command", function()
    local r = run("--port", "many")
    assert.equal(64, r.code)
    r = run "--nothing"
    assert.equal(64, r.code)
    r = run("--world", "/nowhere/world.json")
    assert.equal(66, r.code)
    local dir = proc.tmpdir()
    finally(function() proc.rmdir(dir) end)
    local path = proc.write(dir .. "/w.json", '{"guilds":[{"id":"1","chanels":[]}]}')
    r = run("--world", path)
    assert.equal(78, r.code)
    assert.equal("", r.out)
    assert.matches("w.json: guilds[0]: unknown key 'chanels' (did you mean 'channels'?)", r.err, 1, true)
    local first = start()
    r = run("--port", first.port)
    first.stop()
    assert.equal(75, r.code)
    assert.matches("127.0.0.1:" .. first.port, r.err, 1, true)
  end)
end)

describe("the comparison with Discord's description", function()
  local function line(method, path, body)
    return ('{"method":"%s","path":"%s","part":"request","body":%s}'):format(method, path, body)
  end

  it("sees what is wrong", function()
    local rows = {
      { '{"content":5}', "$.content" },
      { '{"contnt":"x","content":"x"}', "$.contnt" },
      { '{"content":"' .. ("x"):rep(2001) .. '"}', "$.content" },
      { '{"content":"x","nonce":"' .. ("n"):rep(26) .. '"}', "$.nonce" },
      { '{"embeds":[{"title":"' .. ("t"):rep(257) .. '"}]}', "$.embeds[0].title" },
      { '{"embeds":[{"titel":"t","title":"t"}]}', "$.embeds[0].titel" },
      { '{"embeds":[{"description":"' .. ("x"):rep(4000) .. '"},{"description":"' ..
        ("x"):rep(4000) .. '"}]}', "$.embeds: more than 6000" },
      { '{"content":"x","message_reference":{"message_id":"x"}}', "$.message_reference" },
      { '{"content":""}', "$: an empty message" },
    }
    local lines = {}
    for i, row in ipairs(rows) do lines[i] = line("POST", "/channels/1/messages", row[1]) end
    lines[#lines + 1] = line("POST", "/channels/1/nothing", "{}")
    lines[#lines + 1] = line("POST", "/channels/1/messages",
      '{"content":"x","nonce":"a","enforce_nonce":true}')
    local r = validate(lines)
    assert.equal(1, r.code)
    for i, row in ipairs(rows) do
      assert.matches(("line %d: POST /channels/1/messages request: %s"):format(i, row[2]), r.out, 1, true)
    end
    assert.matches(("line %d: POST /channels/1/nothing"):format(#lines - 1), r.out, 1, true)
    assert.not_matches(("line %d:"):format(#lines), r.out, 1, true)
    assert.equal(2, validate({ "{}" }).code)
  end)
end)
