-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- What a message sends: constant data of every kind, data functions and what they may return, their
-- bound arguments, ctx, and crier.http in them.
local cjson = require "cjson"
local http = require "socket.http"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

-- The first line of every script below.
local HEAD = 'local crier = require "crier" crier.bot { token = crier.secret.env "TOKEN" }\n'

local function message(name, data, options)
  return ('  crier.TextMESSAGE { name = "%s", channels = "2", period = "1h", data = %s, %s },\n'):format(name, data, options or "")
end

local function guild(messages)
  return 'crier.GUILD { snowflake = "1", name = "g", logging = true, messages = {\n' .. messages .. "} }\n"
end

local function run(script, args, files)
  local bot = Bot.new(HEAD .. script, files)
  local all = { "--sim-no-limits", table.unpack(args or { "--for", "700ms" }) }
  local r = bot:run(all, { env = { TOKEN = "x" } })
  bot:close()
  assert.equal(0, r.code, r.err)
  return r
end

-- By the message's name: its first message record, and the error of its callback.
local function by_name(records)
  local messages, errors = {}, {}
  for _, r in ipairs(records) do
    if r.kind == "message" and not messages[r.name] then messages[r.name] = r end
    local name = r.what == "callback.error" and r.text:match "message '([^']+)'"
    if name then errors[name] = r end
  end
  return messages, errors
end

describe("what cannot be sent", function()
  local long = '("x"):rep(2001)'
  local cases = {
    { "a number", "42", "expected a text, EMBED, FILE or a list of them, got the number 42" },
    { "a boolean", "true", "expected a text, EMBED, FILE or a list of them, got true" },
    { "an empty table", "{}", "the table is empty (return nil to skip a send)" },
    { "two texts", '{ "a", "b" }', 'there is more than one text (join them with "\\n")' },
    { "2001 characters", long, "the text has 2001 characters, Discord allows 2000 (shorten it, or put it into an embed)" },
    { "a hole", '{ "a", nil, "b" }', "the list has holes: 2 items, the last one is number 3 (leave no nil between them)" },
    { "a hole in the hash", '(function() local t = { "a" } t[3] = crier.EMBED { title = "x" } return t end)()',
      "the list has holes: 2 items, the last one is number 3 (leave no nil between them)" },
    { "a plain table", '{ title = "x" }',
      "expected a list of texts, EMBEDs and FILEs, got a table with the key 'title' (an embed is crier.EMBED {...})" },
    { "a table in a list", '{ { title = "x" } }', "expected a text, EMBED, FILE or a list of them, got a table" },
    { "a function", "print", "a function cannot stand in a list: let it return the list" },
    { "blank text", '" \\n"', "nothing to send: no text, EMBED, FILE, POLL or STICKER" },
    { "an empty text", '""', "nothing to send: no text, EMBED, FILE, POLL or STICKER" },
    { "11 embeds", "embeds(11)", "11 embeds, Discord allows 10 a message (send several messages)" },
    { "11 files", "files(11)", "11 files, Discord allows 10 a message" },
  }
  local messages, errors

  setup(function()
    local list = {}
    for i, case in ipairs(cases) do
      list[i] = message(case[1], "function() return " .. case[2] .. " end")
    end
    list[#list + 1] = message("a bad EMBED", 'function() return crier.EMBED { titel = "x" } end')
    messages, errors = by_name(run([[
local function embeds(n) local t = {} for i = 1, n do t[i] = crier.EMBED { title = "e" .. i } end return t end
local function files(n) local t = {} for i = 1, n do t[i] = crier.FILE { name = "f", data = "x" } end return t end
]] .. guild(table.concat(list))).records)
  end)

  for i, case in ipairs(cases) do
    it("is told, and skipped: " .. case[1], function()
      local name = case[1]
      assert.equal(("data function of message '%s' returned what cannot be sent: %s"):format(name, case[3]),
        (errors[name].text:gsub("^bot%.lua:%d+: ", "")))
      assert.equal(("bot.lua:%d"):format(i + 4), errors[name].text:match "^bot%.lua:%d+")
      assert.equal("error", errors[name].level)
      assert.equal("the data function failed", messages[name].skipped)
      assert.is_nil(messages[name].sent_data)
    end)
  end

  it("is told when EMBED raises", function()
    assert.matches("failed: bot%.lua:%d+: crier%.EMBED: unknown option 'titel' %(did you mean 'title'%?%)$", errors["a bad EMBED"].text)
    assert.equal("the data function failed", messages["a bad EMBED"].skipped)
  end)

  it("is nothing at all: nil skips the send without an error", function()
    local ok, failed = by_name(run(guild(message("nil", "function() return nil end") .. message("nothing", "function() end"))).records)
    assert.same({}, failed)
    for _, name in ipairs { "nil", "nothing" } do
      assert.equal("the data function returned nil", ok[name].skipped)
      assert.equal("debug", ok[name].level)
      assert.equal(name .. " skipped: the data function returned nil", ok[name].text)
    end
  end)
end)

describe("what is sent", function()
  local kinds = {
    text = { '"hello"', { text = "hello" } },
    ["2000 characters"] = { '("x"):rep(2000)', { text = ("x"):rep(2000) } },
    embed = { 'crier.EMBED { title = "T", description = "D", color = 0xFF0000, author = "A", footer = { text = "F", icon = "https://x.example/i.png" }, ' ..
      'fields = { { name = "n", value = "v", inline = true } }, image = "https://x.example/a.png", timestamp = "2026-11-21T09:00Z", url = "https://x.example" }',
      { embed = { { title = "T", description = "D", color = 0xFF0000, author = { name = "A" }, footer = { text = "F", icon_url = "https://x.example/i.png" },
        fields = { { name = "n", value = "v", inline = true } }, image = { url = "https://x.example/a.png" },
        timestamp = "2026-11-21T09:00:00.000000Z", url = "https://x.example" } } } },
    file = { 'crier.FILE "cat.txt"', { files = { "cat.txt" } } },
    ["file of bytes"] = { 'crier.FILE { name = "dog.txt", data = "wuff" }', { files = { "dog.txt" } } },
    ["file by another name"] = { 'crier.FILE { path = "cat.txt", name = "lion.txt" }', { files = { "lion.txt" } } },
    list = { '{ "hello", crier.EMBED { title = "T" }, crier.FILE "cat.txt", crier.EMBED { title = "U" } }',
      { text = "hello", embed = { { title = "T" }, { title = "U" } }, files = { "cat.txt" } } },
  }
  local constant, returned, sim

  setup(function()
    local list = {}
    for name, kind in pairs(kinds) do
      list[#list + 1] = message("constant " .. name, kind[1])
      list[#list + 1] = message("returned " .. name, "function() return " .. kind[1] .. " end")
    end
    local bot = Bot.new(nil, { ["cat.txt"] = "meow" })
    bot:write("world.json", '{"guilds":[{"id":"1","name":"g","channels":[{"id":"2","name":"c","type":0}]}]}')
    bot:write("bot.lua", HEAD .. guild(table.concat(list)))
    local server = proc.start { proc.crier, "discord-sim", "--no-limits", "--any-token", "--world", bot:path "world.json" }
    local url = server:wait_line "(http://127%.0%.0%.1:%d+)"
    local r = bot:crier({ "run", "bot.lua", "--sim-url", url, "--for", "500ms" }, { env = { TOKEN = "x" } })
    sim = cjson.decode((http.request(url .. "/sim/state")))
    server:stop()
    bot:close()
    assert.equal(0, r.code, r.err)
    constant, returned = {}, {}
    for _, x in ipairs(Bot.parse(r.out)) do
      local how, name = (x.name or ""):match "^(%w+) (.*)$"
      if how then (how == "constant" and constant or returned)[name] = x end
    end
  end)

  for name, kind in pairs(kinds) do
    it("is recorded alike, constant or returned: " .. name, function()
      assert.same(kind[2], constant[name].sent_data)
      assert.same(kind[2], returned[name].sent_data)
      assert.is_true(constant[name].ok and returned[name].ok)
    end)
  end

  it("arrives", function()
    local files, embeds, texts = {}, 0, 0
    for _, channel in ipairs(sim.channels) do
      for _, m in ipairs(channel.messages) do
        for _, a in ipairs(m.attachments) do
          local file = ("%s %d"):format(a.filename, a.size)
          files[file] = (files[file] or 0) + 1
        end
        embeds = embeds + #m.embeds
        if m.content == "hello" then texts = texts + 1 end
      end
    end
    assert.same({ ["cat.txt 4"] = 4, ["dog.txt 4"] = 2, ["lion.txt 4"] = 2 }, files)
    assert.equal(6, embeds)
    assert.equal(4, texts)
  end)
end)

describe("a FILE", function()
  it("that is not there fails the send with the reason, and is sent once it is there", function()
    local bot = Bot.new(HEAD .. guild(message("m", '{ "look", crier.FILE "cat.png" }'):gsub('"1h"', '"150ms"')))
    bot:start({ "--sim-no-limits" }, { env = { TOKEN = "x" } })
    local r = bot:wait_record(function(x) return x.name == "m" end)
    assert.is_false(r.ok)
    assert.equal("error", r.level)
    assert.equal(1, #r.channels.failed)
    assert.equal(("file '%s' cannot be read: No such file or directory"):format(bot:path "cat.png"), r.channels.failed[1].reason)
    bot:write("cat.png", "meow")
    r = bot:wait_record(function(x) return x.name == "m" and x.ok end)
    assert.same({ text = "look", files = { "cat.png" } }, r.sent_data)
    assert.equal(0, bot:close())
  end)
end)

describe("a data function", function()
  it("keeps what is bound between sends, and starts anew at a reload", function()
    local script = HEAD .. [[
local get = crier.data_function(function(ctx, rolls, n, last)
  assert(last == nil and select("#", n) == 1)
  local item = table.remove(rolls, 1)
  rolls[#rolls + 1] = item
  n.count = n.count + 1
  return item .. n.count
end)
]] .. guild(message("m", 'get({ "a", "b", "c" }, { count = 0 })'):gsub('"1h"', '"100ms"'))
    local bot = Bot.new(script)
    bot:start({ "--sim-no-limits" }, { env = { TOKEN = "x" } })
    local function texts()
      local list = {}
      for _, r in ipairs(bot:records()) do
        if r.name == "m" and r.sent_data then list[#list + 1] = r.sent_data.text end
        if r.what == "reload" then list = {} end
      end
      return list
    end
    proc.wait_for(function() return #texts() >= 4 end, nil, "four sends")
    assert.same({ "a1", "b2", "c3", "a4" }, { table.unpack(texts(), 1, 4) })
    bot:write("bot.lua", script .. "-- changed\n")
    assert.equal(0, bot:crier({ "reload", "bot.lua" }).code)
    proc.wait_for(function() return #texts() >= 2 end, nil, "two sends after the reload")
    assert.same({ "a1", "b2" }, { table.unpack(texts(), 1, 2) })
    assert.equal(0, bot:close())
  end)

  it("may be bound several times; each has arguments of its own", function()
    local ok = by_name(run([[
local get = crier.data_function(function(ctx, t) t.n = t.n + 1 return ctx.name .. t.n end)
]] .. guild(message("one", "get { n = 0 }") .. message("two", "get { n = 5 }"))).records)
    assert.equal("one1", ok.one.sent_data.text)
    assert.equal("two6", ok.two.sent_data.text)
  end)

  it("may be a bare function with upvalues, and nil arguments are kept", function()
    local ok = by_name(run([[
local n = 40
local get = crier.data_function(function(ctx, a, b, c, ...) return tostring(a) .. tostring(b) .. tostring(c) .. select("#", ...) end)
]] .. guild(message("bare", "function() n = n + 2 return 'n is ' .. n end") .. message("nils", "get(nil, 5, nil)"))).records)
    assert.equal("n is 42", ok.bare.sent_data.text)
    assert.equal("nil5nil0", ok.nils.sent_data.text)
  end)

  it("is told what is sent by ctx", function()
    local r = run(guild(message("m", [[function(ctx)
    local g = ctx.guild
    return table.concat({ ctx.name, g.id, g.type, g.name, ctx.sent, ctx.failed, ctx.skipped, math.type(ctx.due),
      tostring(math.abs(os.time() - ctx.due) < 60) }, " ")
  end]]):gsub('"1h"', '"100ms"')) .. [[
crier.USER { snowflake = "9", logging = true, messages = {
  crier.DirectMESSAGE { name = "dm", period = "1h", data = function(ctx) return ctx.guild.type .. " " .. ctx.guild.id end } } }
]], { "--for", "1s" })
    local sends = Bot.select(r.records, function(x) return x.name == "m" and x.ok end)
    assert.matches("^m 1 GUILD g 0 0 %d+ float true$", sends[1].sent_data.text)
    assert.matches("^m 1 GUILD g 1 0 %d+ float true$", sends[2].sent_data.text)
    local dm = Bot.select(r.records, function(x) return x.name == "dm" end)[1]
    assert.equal("USER 9", dm.sent_data.text)
    assert.same({ success = true }, dm.success_info)
  end)

  it("may wait for crier.http; other hosts are refused in --sim, and recorded", function()
    local server = proc.start { proc.crier, "discord-sim", "--any-token" }
    local url = server:wait_line "(http://127%.0%.0%.1:%d+)"
    local ok = by_name(run(([[
local function get(url)
  local res, err, code = crier.http.get(url)
  return res and (res.status .. " " .. #res.body .. " " .. tostring(res:json().requests)) or tostring(err) .. " | " .. tostring(code)
end
]] .. guild(
      message("loopback", 'function() return get "%s/sim/stats" end') ..
      message("other", 'function() return get "http://example.com/" end') ..
      message("number", 'function() return get "http://192.0.2.1/" end') ..
      message("closed", 'function() return get "http://127.0.0.1:1/" end'))):format(url), { "--for", "600ms" }).records)
    server:stop()
    assert.matches("^200 %d+ %d+$", ok.loopback.sent_data.text)
    assert.matches("refused in %-%-sim: example%.com is not this machine %(%-%-sim%-allow example%.com lets it through%)", ok.other.sent_data.text)
    assert.matches("refused in %-%-sim: 192%.0%.2%.1 is not this machine", ok.number.sent_data.text)
    assert.matches("127%.0%.0%.1", ok.closed.sent_data.text)
    assert.is_nil(ok.closed.sent_data.text:find("refused in", 1, true))
  end)

  it("is not told to have been refused by --sim when the host is allowed", function()
    local r = run(guild(message("m", 'function() local _, err = crier.http.get("http://0.0.0.0:1/") return err end')),
      { "--sim-allow", "0.0.0.0", "--for", "300ms" })
    local ok = by_name(r.records)
    assert.is_nil(ok.m.sent_data.text:find("refused", 1, true))
    assert.equal(0, #Bot.select(r.records, function(x) return x.what == "sim.refused" end))
    r = run(guild(message("m", 'function() local _, err = crier.http.get("http://0.0.0.0:1/") return err end')))
    local refused = Bot.select(r.records, function(x) return x.what == "sim.refused" end)
    assert.equal(1, #refused)
    assert.matches("0%.0%.0%.0", refused[1].text)
    assert.equal("warning", refused[1].level)
  end)
end)
