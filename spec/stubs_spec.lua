-- SPDX-License-Identifier: MIT
-- The editor stubs (lua/meta/crier.lua) say what the program has: no more, no less, no other types.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local PATH = "lua/meta/crier.lua"
local text = assert(proc.read(PATH), PATH .. " is missing")

-- { ["crier.options.bot"] = { parent =, fields = { name = { optional =, type = } }, methods = {} } }
local classes, hooks = {}, {}
do
  local class
  local class_of = {} -- the variable that stands for a class
  for line in text:gmatch "([^\n]*)\n" do
    local name, parent = line:match "^%-%-%-@class ([%w_.]+):? ?([%w_.]*)"
    if name then
      class = { name = name, parent = parent ~= "" and parent or nil, fields = {}, methods = {} }
      classes[name] = class
    end
    local field, mark, rest = line:match "^%-%-%-@field ([%w_]+)(%??) (.*)"
    if field then
      -- The type ends at the first blank that is outside of brackets and not beside a | or a :
      local depth, at = 0, #rest + 1
      for i = 1, #rest do
        local c = rest:sub(i, i)
        if c:find "[(<{[]" then depth = depth + 1 elseif c:find "[)>}%]]" then depth = depth - 1 end
        if c == " " and depth == 0 and not rest:sub(i - 1, i - 1):find "[|:,]" then
          at = i
          break
        end
      end
      class.fields[field] = { optional = mark == "?", type = rest:sub(1, at - 1) }
    end
    local variable = line:match "^local ([%w_]+) = {}"
    if variable then class_of[variable] = class.name end
    local of, method = line:match "^function ([%w_]+):([%w_]+)%("
    if of then classes[class_of[of]].methods[method] = true end
    local hook = line:match '^%-%-%-| "([%w.]+)"'
    if hook then hooks[hook] = true end
  end
end

local function sorted(set)
  local list = {}
  for k in pairs(set) do list[#list + 1] = k end
  table.sort(list)
  return list
end

-- Runs a script to its end and returns its "api" records' fields.
local function ask(script, opt)
  local bot = Bot.new('local crier = require "crier"\n' .. script)
  finally(function() bot:close() end)
  local r = bot:run({ "--for", opt and opt.run or "300ms", table.unpack(opt and opt.args or {}) }, opt)
  assert.equal(0, r.code, r.err)
  return r.records, r
end

-- What the option tables of the program call a type, in LuaCATS.
local function cats(type, name)
  local off = type:match " or false$" and "|false" or ""
  type = type:gsub(" or false$", ""):gsub(" from .*", "")
  local plain = { duration = "crier.Duration", size = "crier.Size", path = "string",
    ["string or list of strings"] = "string|string[]" }
  local words = type:match "^one of (.*)"
  if words then
    local list = {}
    for word in words:gmatch "[^, ]+" do list[#list + 1] = '"' .. word .. '"' end
    type = table.concat(list, "|")
    if type == '"debug"|"info"|"warning"|"error"|"critical"' then type = "crier.Level" end
  elseif type == "string|integer" and name == "snowflake" then
    type = "crier.Snowflake"
  elseif type == "string|integer|crier.Pattern" then
    type = "crier.Snowflake|crier.Pattern"
  elseif type == "(string|integer)[]|crier.Pattern" then
    type = "crier.Snowflake|crier.Snowflake[]|crier.Pattern"
  elseif type == "(string|integer)[]" then
    type = "crier.Snowflake|crier.Snowflake[]"
  elseif type == "string|number|(string|number)[]|crier.Condition" then
    type = "crier.Duration|crier.Duration[]|crier.Condition"
  end
  return (plain[type] or type) .. off
end

-- Where the stubs are more exact than the table of options.
local finer = {
  ["REPLY.message"] = "crier.Snowflake",
  ["THREAD.archive"] = '"1h"|"1d"|"3d"|"1w"',
  ["EMBED.author"] = "string|crier.EmbedAuthor",
  ["EMBED.footer"] = "string|crier.EmbedFooter",
  ["EMBED.fields"] = "crier.EmbedField[]",
}

describe("stubs", function()
  local server
  after_each(function()
    if server then server:stop() end
    server = nil
  end)
  local help = proc.run { proc.crier, "help", "--json" }
  local topics = {}
  for line in help.out:gmatch "([^\n]+)\n" do
    local topic = cjson.decode(line)
    topics[topic.name] = topic.options
  end

  it("are valid Lua", function()
    assert(load(text, "@" .. PATH))
  end)

  it("are compared with something", function()
    assert.equal(0, help.code)
    assert.is_true(#sorted(topics) > 10)
    assert.is_true(#sorted(classes) > 20)
  end)

  for topic, options in pairs(topics) do
    local name = topic == "config.limits" and "crier.Limits" or "crier.options." .. topic
    if topic ~= "secret" then
      it("have the options of " .. topic, function()
        local class = assert(classes[name], "there is no ---@class " .. name)
        local seen, nested = {}, {}
        for _, option in ipairs(options) do
          -- "common.max" is in the class of `common`.
          local outer, inner = option.name:match "^(.-)%.(.*)"
          local of = outer and assert(classes[class.fields[outer].type:match "^[%w_.]+"]) or class
          if outer then nested[outer .. "."] = of end
          local field = of.fields[inner or option.name]
          assert(field, ("%s has no field '%s'"):format(name, option.name))
          seen[option.name] = true
          assert.equal(not option.required, field.optional,
            ("%s.%s: optional"):format(name, option.name))
          assert.equal(finer[topic .. "." .. option.name] or cats(option.type, option.name), field.type,
            ("%s.%s: type"):format(name, option.name))
        end
        for field in pairs(class.fields) do
          assert(seen[field], ("%s has the field '%s', which the program does not know"):format(name, field))
        end
        for prefix, of in pairs(nested) do
          for field in pairs(of.fields) do
            assert(seen[prefix .. field],
              ("%s has the field '%s', which the program does not know"):format(of.name, field))
          end
        end
        if topic:match "^sink%." then assert.equal("crier.options.sink", class.parent) end
      end)
    end
  end

  it("have classes for what the program has, no others", function()
    for name in pairs(classes) do
      local topic = name:match "^crier%.options%.(.*)"
      if topic then assert(topics[topic], name .. " is of a declaration that the program does not have") end
    end
  end)

  it("have the ways to name a secret", function()
    local names = {}
    for _, option in ipairs(topics.secret) do names[option.name] = true end
    local stub = {}
    for _, kind in ipairs { "env", "file", "credential" } do
      stub[kind] = text:find("function crier.secret." .. kind .. "(", 1, true) and true
    end
    assert.same(names, stub)
  end)

  it("have the functions and tables of the module", function()
    local function walk(t, prefix, out)
      for k, v in pairs(t) do
        out[prefix .. k] = type(v) == "function" and "function" or "value"
        if type(v) == "table" then walk(v, prefix .. k .. ".", out) end
      end
      return out
    end
    local stub = walk(load(text)(), "crier.", {})
    local records = ask [[
      local function walk(t, prefix)
        for k, v in pairs(t) do
          crier.log.info("api", { path = prefix .. k, is = type(v) == "function" and "function" or "value" })
          if type(v) == "table" then walk(v, prefix .. k .. ".") end
        end
      end
      walk(crier, "crier.")
    ]]
    local host = {}
    for _, r in ipairs(records) do
      if r.text == "api" then host[r.path] = r.is end
    end
    assert.is_true(#sorted(host) > 40)
    assert.same(host, stub)
  end)

  it("have the methods of sinks and queries", function()
    local records = ask [[
      local memory = crier.sink.memory()
      crier.sink.console { format = "json" }
      crier.log.info("api", { filter = type(memory.filter) })
      for k, v in pairs(getmetatable(memory:filter {}).__index) do
        if type(v) == "function" then crier.log.info("method", { method = k }) end
      end
    ]]
    local methods = {}
    for _, r in ipairs(records) do
      if r.text == "api" then assert.equal("function", r.filter) end
      if r.text == "method" then methods[r.method] = true end
    end
    assert.same(methods, classes["crier.Query"].methods)
    assert.same({ filter = true }, classes["crier.Sink"].methods)
  end)

  it("have the methods of conditions", function()
    local known = {}
    for _, method in ipairs(sorted(classes["crier.Condition"].methods)) do known[#known + 1] = method end
    assert.is_true(#known > 20)
    local records = ask(([[
      for _, name in ipairs { "%s" } do
        crier.log.info("method", { name = name, is = select(2, pcall(function() return type(crier.daily[name]) end)) })
      end
    ]]):format(table.concat(known, '", "')))
    local seen = 0
    for _, r in ipairs(records) do
      if r.text == "method" then
        assert.equal("function", r.is, r.name)
        seen = seen + 1
      end
    end
    assert.equal(#known, seen)
  end)

  it("have the events of crier.on", function()
    local bot = Bot.new 'require "crier".on("qqqqqqqqqqqq", print)'
    finally(function() bot:close() end)
    local known = assert(bot:check().out:match "known: ([^)\n]+)", bot:check().out)
    local names = {}
    for name in known:gmatch "[%w.]+" do names[name] = true end
    assert.same(names, hooks)
  end)

  it("have what hooks are given", function()
    local script = [[
      local crier = require "crier"
      crier.sink.console { format = "json" }
      crier.bot { token = crier.secret.env "X" }
      crier.sink.json { path = "/proc/nowhere" }
      crier.GUILD { snowflake = 1, logging = true, messages = {
        crier.TextMESSAGE { channels = { 2 }, period = "1d", data = "x" } } }
      for _, event in ipairs { "start", "reload", "reload.failed", "sink.down" } do
        crier.on(event, function(e)
          local keys = {}
          for k in pairs(e) do keys[k] = true end
          crier.log.info("hook", { event = event, keys = keys })
        end)
      end
    ]]
    local bot = Bot.new(script)
    finally(function() bot:close() end)
    local p = bot:start()
    local function given(event, class)
      local r = bot:wait_record(function(r) return r.text == "hook" and r.event == event end)
      assert.same(class and sorted(classes[class].fields) or {}, sorted(r.keys or {}), event)
    end
    given("start")
    given("sink.down", "crier.SinkEvent")
    p:signal "HUP"
    given("reload", "crier.ReloadEvent")
    bot:write("bot.lua", "x =")
    p:signal "HUP"
    given("reload.failed", "crier.ReloadFailedEvent")
    p:signal "KILL"
  end)

  it("have the words of mentions", function()
    local bot = Bot.new [[
      local crier = require "crier"
      crier.bot { token = crier.secret.env "X" }
      crier.GUILD { snowflake = "1", messages = { crier.TextMESSAGE {
        channels = { "2" }, period = "1d", data = "x", mentions = { qqqqqqq = true } } } }
    ]]
    finally(function() bot:close() end)
    local known = assert(bot:check().out:match "known: ([^)\n]+)", bot:check().out)
    local names = {}
    for name in known:gmatch "[%w.]+" do names[name] = true end
    assert.same(sorted(names), sorted(classes["crier.Mentions"].fields))
  end)

  it("have the members of records and of ctx", function()
    local records = ask([[
      crier.sink.console { format = "json" }
      crier.bot { token = crier.secret.env "X" }
      local told
      local function keys(t)
        local list = {}
        for k in pairs(t) do list[#list + 1] = k end
        return list
      end
      local data = { function(ctx)
        if not told then crier.log.info("api", { ctx = keys(ctx), guild = keys(ctx.guild) }) end
        told = true
        return "text"
      end, function() return nil end, function() error "no" end,
        function() return crier.FILE "/nowhere/at/all" end,
        { "text", crier.EMBED { title = "t" }, crier.FILE { name = "x.txt", data = "x" } } }
      local messages = {}
      for i, d in ipairs(data) do
        messages[i] = crier.TextMESSAGE { name = "m" .. i, channels = { 2 }, period = "1d", data = d }
      end
      crier.GUILD { snowflake = 1, logging = true, messages = messages }
      crier.USER { snowflake = 3, logging = true, messages = {
        crier.DirectMESSAGE { period = "1d", data = "hello" },
        crier.DirectMESSAGE { name = "bad", period = "1d", data = crier.FILE "/nowhere/at/all" } } }
    ]], { run = "1s", args = { "--sim-no-limits" } })
    local counted = {}
    local function check(value, class, where)
      for key, v in pairs(value) do
        local field = classes[class].fields[key]
        assert(field, ("%s: %s has no field '%s'"):format(where, class, key))
        local inner = field.type:match "^crier%.[%w.]+$"
        local item = field.type:match "^(crier%.[%w.]+)%[%]$"
        if inner and classes[inner] and type(v) == "table" then check(v, inner, where .. "." .. key) end
        if item and type(v) == "table" then
          for i, one in ipairs(v) do check(one, item, ("%s.%s[%d]"):format(where, key, i)) end
        end
      end
      for key, field in pairs(classes[class].fields) do
        assert(field.optional or value[key] ~= nil, ("%s: '%s' of %s is missing"):format(where, key, class))
      end
    end
    for _, r in ipairs(records) do
      local kind = r.kind .. (r.skipped and " skipped" or r.ok == false and " failed" or "")
      counted[kind] = (counted[kind] or 0) + 1
      if r.ctx then
        local ctx, guild = {}, {}
        for _, k in ipairs(r.ctx) do ctx[k] = true end
        for _, k in ipairs(r.guild) do guild[k] = true end
        ctx.preview = true -- of a preview only
        assert.same(sorted(classes["crier.Context"].fields), sorted(ctx))
        assert.same(sorted(classes["crier.Guild"].fields), sorted(guild))
      else
        -- In JSON the time is a text.
        check(r, "crier.Record", kind)
      end
    end
    assert.same({ log = 1, message = 3, ["message failed"] = 2, ["message skipped"] = 2,
      system = counted.system }, counted)
    assert.is_true(counted.system >= 3) -- start, stop and the error
  end)

  it("have crier.http's options and answer", function()
    server = proc.start { proc.crier, "discord-sim", "--port", "0" } -- `finally` is taken, by ask
    local port = server:wait_line "127%.0%.0%.1:(%d+)"
    local names = sorted(classes["crier.HttpOptions"].fields)
    assert.equal("crier.HttpOptions", classes["crier.HttpRequest"].parent)
    local records = ask(([[
      crier.on("start", function()
        local url = "http://127.0.0.1:%s/sim/stats"
        for _, name in ipairs { "%s" } do
          local ok, why = pcall(crier.http.get, url, { [name] = print })
          crier.log.info("option", { name = name, ok = ok, why = tostring(why) })
        end
        for _, name in ipairs { "%s" } do
          local ok, why = pcall(crier.http.request, { url = url, [name] = name == "url" and url or print })
          crier.log.info("option", { name = name, ok = ok, why = tostring(why) })
        end
        local res = assert(crier.http.get(url))
        local keys = {}
        for k in pairs(res) do keys[#keys + 1] = k end
        crier.log.info("answer", { keys = keys, json = type(res.json), status = res.status })
        local nothing, problem, code = crier.http.get "http://127.0.0.1:1/"
        crier.log.info("none", { nothing = nothing == nil, problem = type(problem), code = type(code) })
      end)
    ]]):format(port, table.concat(names, '", "'),
      table.concat(sorted(classes["crier.HttpRequest"].fields), '", "')), { run = "1s" })
    local seen, keys, none = 0, {}, nil
    for _, r in ipairs(records) do
      if r.text == "option" then
        seen = seen + 1
        assert.is_nil(r.why:find "unknown option", r.why)
      elseif r.text == "answer" then
        for _, k in ipairs(r.keys) do keys[k] = true end
        assert.equal("function", r.json)
        assert.equal(200, r.status)
      elseif r.text == "none" then
        none = r
      end
    end
    assert.equal(#names + #sorted(classes["crier.HttpRequest"].fields), seen)
    assert.same(sorted(classes["crier.HttpResponse"].fields), sorted(keys))
    assert.same({ json = true }, classes["crier.HttpResponse"].methods)
    assert.is_true(none and none.nothing)
    assert.equal("string", none.problem)
    assert.equal("string", none.code)
  end)
end)

describe("documents", function()
  local manual = assert(proc.read "lua/README.md")
  local readme = assert(proc.read "README.md")

  it("name every option and every function", function()
    for line in proc.run({ proc.crier, "help", "--json" }).out:gmatch "([^\n]+)\n" do
      local topic = cjson.decode(line)
      for _, option in ipairs(topic.options) do
        local found = manual:find("`" .. option.name .. "`", 1, true)
          or manual:find("crier.secret." .. option.name, 1, true)
        assert(found, ("lua/README.md does not say what '%s' of %s is"):format(option.name, topic.name))
      end
    end
    for name in text:gmatch "\nfunction crier%.([%w_.]+)%(" do
      local last = name:match "[%w_]+$"
      local found = manual:find("crier." .. name, 1, true) or manual:find("`" .. last .. "`", 1, true)
      assert(found, "lua/README.md does not name crier." .. name)
    end
    for hook in pairs(hooks) do
      assert(manual:find("`" .. hook .. "`", 1, true), "lua/README.md does not name the event " .. hook)
    end
    for method in pairs(classes["crier.Query"].methods) do
      assert(manual:find(":" .. method .. "(", 1, true), "lua/README.md does not name :" .. method)
    end
  end)

  it("have links that lead somewhere", function()
    for file, words in pairs { ["README.md"] = readme, ["lua/README.md"] = manual } do
      local folder = file:match "^(.*/)" or ""
      for link in words:gmatch "%]%(([^)]+)%)" do
        local anchor = link:match "^#(.*)"
        if anchor then
          local found
          for title in words:gmatch "\n#+ ([^\n]+)" do
            found = found or title:lower():gsub(" ", "-") == anchor
          end
          assert(found, file .. ": there is no heading for #" .. anchor)
        elseif not link:find "^https?:" then
          assert(proc.exists(folder .. link), file .. ": there is no " .. link)
        end
      end
    end
  end)

  it("show a script that is clean and runs", function()
    local bot = Bot.new(assert(readme:match "```lua\n(.-)```"))
    finally(function() bot:close() end)
    local r = bot:check({ "--strict" }, { env = { DISCORD_TOKEN = "x" } })
    assert.equal(0, r.code, r.out)
    r = bot:run({ "--for", "500ms" }, { env = { DISCORD_TOKEN = "x" } })
    assert.equal(0, r.code, r.err)
  end)

  it("list the commands that there are", function()
    local listed, real = {}, {}
    for name in readme:gmatch "\n| `crier ([%w-]+)" do listed[name] = true end
    for name in proc.run({ proc.crier, "help" }).out:gmatch "\n  crier ([%w-]+)" do real[name] = true end
    assert.is_true(#sorted(real) >= 8)
    assert.same(real, listed)
  end)
end)
