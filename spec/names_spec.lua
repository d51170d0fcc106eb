-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- Day files and the world's bad weather: what guilds may be called, what may lie in the folder, and
-- disks that do not take a record.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local HEAD = 'local crier = require "crier"\ncrier.config { timezone = "UTC" }\ncrier.bot { token = crier.secret.env "TOKEN" }\n'
local ENV = { env = { TOKEN = "x" } }

-- A bot with one message in each of n guilds, numbered from 1.
local function script(n, period)
  return HEAD .. ([[
for i = 1, %d do
  crier.GUILD { snowflake = i, logging = true, messages = {
    crier.TextMESSAGE { name = "m", channels = 100 + i, period = "%s", data = "x" } } }
end
]]):format(n, period or "1h")
end

-- A world in which guild i has the i-th name.
local function world(names)
  local guilds = {}
  for i, name in ipairs(names) do
    guilds[i] = { id = tostring(i), name = name, channels = { { id = tostring(100 + i), name = "c", type = 0 } } }
  end
  return cjson.encode { guilds = guilds }
end

local function run(bot, ...)
  local r = bot:run({ "--world", "world.json", "--sim-no-limits", "--for", "700ms", ... }, ENV)
  assert.equal(0, r.code, r.err)
  return r
end

local function today() return os.date "!History/%Y/%m/%d" end

-- Runs fn with the day's folder; again if midnight came between.
local function in_one_day(fn)
  local day = today()
  local ok, err = pcall(fn, day)
  if not ok and day ~= today() then return fn(today()) end
  if not ok then error(err, 0) end
end

describe("the name of a guild", function()
  -- { name, its file }
  local names = {
    { "../../etc/x", "..#..#etc#x.json" },
    { ("x"):rep(300) },
    { ("\u{e9}"):rep(150) },
    { "a\nb\"c'd", "a#b#c'd.json" },
    { "a\tb\1\127", "a#b##.json" },
    { "\u{1F989} \u{161}\u{10D}\u{17E}", "\u{1F989} \u{161}\u{10D}\u{17E}.json" },
    { "@message", "#message.json" },
    { ".", "#.json" },
    { "..", "##.json" },
    { "CON:<>|?*\\", "CON#######.json" },
    { "same", "same.json" },
    { "same", "same#12.json" },
    { "Same", "Same.json" },
    { "guild.json.old", "guild.json.old.json" },
    { "/", "#.json" },
  }
  local bot, by_id, files

  setup(function()
    local list = {}
    for i, name in ipairs(names) do list[i] = name[1] end
    bot = Bot.new(script(#names), { ["world.json"] = world(list) })
    run(bot)
    by_id, files = {}, bot:files()
    for _, day in ipairs(bot:days()) do by_id[math.tointeger(day.doc.id)] = day end
  end)
  teardown(function() bot:close() end)

  it("never leads out of the day's folder", function()
    local outside = {}
    for _, file in ipairs(files) do
      if not file:match "^History/%d%d%d%d/%d%d/%d%d/[^/]+%.json$" and not file:match "^%.crier/sim/" then
        outside[#outside + 1] = file
      end
    end
    assert.same({ "bot.lua", "world.json" }, outside)
  end)

  for i, name in ipairs(names) do
    it("is in its file, whole: " .. cjson.encode(name[1]):sub(1, 40) .. " " .. i, function()
      local day = assert.is_table(by_id[i]) and by_id[i]
      assert.equal(name[1], day.doc.name)
      assert.equal("GUILD", day.doc.type)
      assert.equal(1, #day.doc.message_history)
      local file = day.path:match "[^/]+$"
      assert.is_true(#file <= 255)
      assert.is_nil(file:match "[%c<>:\"|?*\\]")
      assert.is_truthy(utf8.len(file))
    end)
  end

  it("makes the file's name", function()
    for i, name in ipairs(names) do
      if name[2] and name[1] ~= "same" and name[1] ~= "/" and name[1] ~= "." then
        assert.equal(name[2], by_id[i].path:match "[^/]+$")
      end
    end
    assert.matches("^x+%.json$", by_id[2].path:match "[^/]+$")
  end)

  it("that is another one's too gets the snowflake behind", function()
    for _, pair in ipairs { { 11, 12, "same" }, { 8, 15, "#" } } do
      local a, b = by_id[pair[1]].path:match "[^/]+$", by_id[pair[2]].path:match "[^/]+$"
      assert.is_true(
        (a == pair[3] .. ".json" and b == ("%s#%d.json"):format(pair[3], pair[2])) or
        (b == pair[3] .. ".json" and a == ("%s#%d.json"):format(pair[3], pair[1])), a .. " " .. b)
    end
  end)

  it("may change: the guild keeps its file for the day", function()
    in_one_day(function()
      local b = Bot.new(script(1, "100ms"), { ["world.json"] = world { "before" } })
      run(b)
      b:write("world.json", world { "after" })
      run(b)
      local days = b:days()
      assert.equal(1, #days)
      assert.matches("/before%.json$", days[1].path)
      assert.is_true(#days[1].doc.message_history >= 2)
      b:close()
    end)
  end)

  it("is what the script says, where it says one", function()
    local b = Bot.new(script(1):gsub("logging = true", 'name = "../mine", %0'), { ["world.json"] = world { "theirs" } })
    run(b)
    assert.matches("/%.%.#mine%.json$", b:days()[1].path)
    assert.equal("../mine", b:days()[1].doc.name)
    b:close()
  end)
end)

describe("a day file that is not the bot's", function()
  local cases = {
    ["is empty"] = "",
    ["is no JSON"] = "hello",
    ["is truncated"] = '{\n    "name": "g",\n    "id": 1,\n    "type": "GUILD",\n    "message_history": [\n        {\n            "sent_d',
    ["is a list"] = "[]",
    ["is another document"] = '{"name":"g","version":5}',
    ["has a history that is none"] = '{"name":"g","id":1,"type":"GUILD","message_history":"none"}',
    ["is binary"] = ("\0\255"):rep(5000),
  }

  for what, text in pairs(cases) do
    it(what .. ": it is kept as .old, and a new one begun", function()
      in_one_day(function(day)
        local bot = Bot.new(script(1), { ["world.json"] = world { "g" } })
        os.execute("mkdir -p " .. proc.quote(bot:path(day)))
        bot:write(day .. "/g.json", text)
        run(bot)
        assert.equal(text, bot:read(day .. "/g.json.old"))
        local days = bot:days()
        assert.equal(1, #days)
        assert.equal(1, days[1].doc.id)
        assert.equal(1, #days[1].doc.message_history)
        bot:close()
      end)
    end)
  end

  it("is kept each time it happens, numbered", function()
    in_one_day(function(day)
      local bot = Bot.new(script(1, "100ms"), { ["world.json"] = world { "g" } })
      os.execute("mkdir -p " .. proc.quote(bot:path(day)))
      for i = 1, 3 do
        bot:write(day .. "/g.json", "broken " .. i)
        run(bot)
      end
      local kept = {}
      for _, name in ipairs(bot:files()) do
        if name:find(".old", 1, true) then kept[#kept + 1] = bot:read(name) end
      end
      table.sort(kept)
      assert.same({ "broken 1", "broken 2", "broken 3" }, kept)
      assert.equal(1, #bot:days())
      bot:close()
    end)
  end)

  it("and has another name is left alone", function()
    in_one_day(function(day)
      local bot = Bot.new(script(1), { ["world.json"] = world { "g" } })
      os.execute("mkdir -p " .. proc.quote(bot:path(day)))
      bot:write(day .. "/other.json", '{"what":"ever"}')
      bot:write(day .. "/broken.json", "{")
      run(bot)
      assert.equal('{"what":"ever"}', bot:read(day .. "/other.json"))
      assert.equal("{", bot:read(day .. "/broken.json"))
      assert.equal(1, #cjson.decode(bot:read(day .. "/g.json")).message_history)
      bot:close()
    end)
  end)

  it("is begun anew when the folder is deleted while the bot runs", function()
    in_one_day(function(day)
      local bot = Bot.new(script(1, "100ms"), { ["world.json"] = world { "g" } })
      local function sent()
        return Bot.select(bot:records(), function(r) return r.kind == "message" and r.ok end)
      end
      bot:start({ "--world", "world.json", "--sim-no-limits" }, ENV)
      proc.wait_for(function() return #sent() >= 2 and bot:read(day .. "/g.json") end, nil, "a day file")
      os.execute("rm -rf " .. proc.quote(bot:path "History"))
      local gone = #sent()
      proc.wait_for(function() return #sent() >= gone + 3 end, nil, "more sends")
      bot.process:signal "TERM"
      assert.equal(0, bot.process:wait())
      assert.is_true(#bot:days()[1].doc.message_history >= #sent() - gone - 1)
      bot:close()
    end)
  end)

  it("but its own goes on, newest first", function()
    in_one_day(function()
      local bot = Bot.new(script(1, "100ms"), { ["world.json"] = world { "g" } })
      run(bot)
      local first = #bot:days()[1].doc.message_history
      run(bot)
      local history = bot:days()[1].doc.message_history
      assert.is_true(#history > first)
      for i, entry in ipairs(history) do assert.equal(#history - i, entry.index) end
      bot:close()
    end)
  end)
end)

describe("a disk that does not take records", function()
  -- The bot sends; when the sink has failed and the bot has gone on, `mend` mends it, and every
  -- record must be in a day file in the end.
  local function recovers(bot, path, folder, mend)
    local function sent()
      return Bot.select(bot:records(), function(r) return r.kind == "message" and r.ok end)
    end
    local function json_sink()
      local r = bot:crier { "status", "bot.lua", "--json" }
      for _, sink in ipairs(r.code == 0 and cjson.decode(r.out).sinks or {}) do
        if sink.kind == "json" then return sink end
      end
    end
    local failing = proc.wait_for(function()
      local sink = json_sink()
      return sink and sink.failing and sink
    end, nil, "the sink's failure")
    assert.is_truthy(failing.error:find(path, 1, true), failing.error)
    local told = bot:wait_record(function(r)
      return r.kind == "system" and r.level == "error" and r.text:match "^sink 'json'"
    end)
    assert.is_truthy(told.text:find(path, 1, true), told.text)
    local before = #sent()
    proc.wait_for(function() return #sent() > before + 3 end, nil, "sends that go on")
    mend()
    proc.wait_for(function() return not json_sink().failing end, nil, "the sink's recovery")
    bot:wait_record(function(r) return r.kind == "system" and r.text:match "^sink 'json': ok" end)
    local sink = json_sink()
    assert.equal(0, sink.dropped + sink.rejected)
    bot.process:signal "TERM"
    assert.equal(0, bot.process:wait())
    local written = {}
    for _, day in ipairs(bot:days(folder)) do
      for _, entry in ipairs(day.doc.message_history) do written[entry.record.id] = true end
    end
    local records = sent()
    assert.is_true(#records >= 5)
    for _, r in ipairs(records) do assert.is_true(written[r.id], "record " .. r.seq .. " is not written") end
  end

  it("is refused at the start, where it can be told then", function()
    local bot = Bot.new(script(1), { ["world.json"] = world { "g" }, History = "in the way" })
    local r = bot:run({ "--for", "1s" }, ENV)
    assert.equal(78, r.code)
    assert.is_truthy(r.err:find(("bot.lua: sink 'json': cannot open: path '%s' is not a folder; name one, or a new one\n")
      :format(bot:path "History"), 1, true), r.err)
    assert.equal("in the way", bot:read "History")
    bot:close()
  end)

  it("that is a file where the folder was: all is written when it is gone", function()
    local bot = Bot.new(script(1, "100ms"):gsub('period =', 'start_in = "500ms", %0'), { ["world.json"] = world { "g" } })
    bot:start({ "--world", "world.json", "--sim-no-limits" }, ENV)
    bot:wait_record(function(r) return r.what == "start" end)
    os.execute("rm -rf " .. proc.quote(bot:path "History"))
    bot:write("History", "in the way")
    recovers(bot, "History", "History", function() os.remove(bot:path "History") end)
    bot:close()
  end)

  it("that is full: all is written when there is room again", function()
    local bot = Bot.new(nil, { ["world.json"] = world { "g" } })
    local disk = bot:path "disk"
    os.execute("mkdir " .. proc.quote(disk))
    if not os.execute("mount -t tmpfs -o size=256k tmpfs " .. proc.quote(disk) .. " 2>/dev/null") then
      bot:close()
      return pending "no right to mount a file system"
    end
    local ok, err = pcall(function()
      bot:write("bot.lua", 'local crier = require "crier"\ncrier.sink.console()\ncrier.sink.json { path = "disk/History" }\n' ..
        script(1, "100ms"):gsub('^[^\n]*\n', "", 1))
      os.execute(("head -c 300000 /dev/zero > %s/filler 2>/dev/null"):format(proc.quote(disk)))
      bot:start({ "--world", "world.json", "--sim-no-limits" }, ENV)
      recovers(bot, "disk", "disk/History", function() os.remove(disk .. "/filler") end)
    end)
    if bot.process then bot.process:stop() end
    os.execute("umount " .. proc.quote(disk))
    bot:close()
    if not ok then error(err, 0) end
  end)
end)
