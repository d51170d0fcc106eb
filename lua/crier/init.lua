-- The sugar over the host's primitives: evaluated once in every generation with the table of
-- primitives as its argument; what it leaves there is what `require "crier"` returns.
-- SPDX-License-Identifier: MIT

local crier = ...

-- Operators of matches and filters: field = crier.gt(5). One table each, told by its metatable.
local operator = { __name = "crier.operator", __metatable = "locked" }

local function make(op, least, most)
  crier[op] = function(...)
    local n = select("#", ...)
    if n < least or n > most then
      error(("crier.%s takes %d value%s"):format(op, most, most == 1 and "" or "s"), 2)
    end
    return setmetatable({ op = op, n = n, ... }, operator)
  end
end

for _, op in ipairs { "ne", "gt", "ge", "lt", "le", "like", "regex", "since" } do make(op, 1, 1) end
make("range", 2, 2)
make("one_of", 0, 1000)

-- No value: a filter finds what is missing or null, an update removes the field.
crier.null = setmetatable({}, { __name = operator.__name, __metatable = "locked",
  __index = { op = "null" } })

-- Groups: crier.any { { level = "error" }, { ok = false } }.
for _, op in ipairs { "any", "all", "no" } do
  crier[op] = function(list)
    if type(list) ~= "table" then
      error(("crier.%s takes a list of conditions: crier.%s { {...}, {...} }"):format(op, op), 2)
    end
    local group = { op = op }
    for i, conditions in ipairs(list) do group[i] = conditions end
    return setmetatable(group, operator)
  end
end

-- A pattern of names: crier.channels { crier.contains "news" }.
make("contains", 1, 1)

-- sink:filter { ... }:order_by("time", "desc"):limit(20):all()
local query = {}
local meta = { __index = query, __name = "crier.query" }

function query:order_by(field, direction)
  if direction ~= nil and direction ~= "asc" and direction ~= "desc" then
    error("order_by takes a field and \"asc\" or \"desc\"", 2)
  end
  self.order, self.desc = field, direction == "desc"
  return self
end

local function check_number(name, n)
  if math.type(n) ~= "integer" or n < 0 then
    error(name .. " takes a whole number from 0 up", 3)
  end
end

function query:limit(n)
  check_number("limit", n)
  self.max = n
  return self
end

function query:offset(n)
  check_number("offset", n)
  self.skip = n
  return self
end

local function ask(self, mode)
  return self.sink:_query(self.conditions, self.order, self.desc, self.skip, self.max, mode)
end

function query:all() return ask(self, "all") end
function query:count() return ask(self, "count") end
function query:first() return ask(self, "first") end
function query:last() return ask(self, "last") end

-- for i, record in sink:filter {...}:each() do
function query:each()
  local hits, err = self:all()
  if not hits then error(err, 2) end
  return ipairs(hits)
end

-- for record in sink:filter {...} do
function meta:__call(_, record)
  if record == nil then
    local hits, err = self:all()
    if not hits then error(err, 2) end
    self.hits, self.at = hits, 0
  end
  self.at = self.at + 1
  return self.hits[self.at]
end

local function check_whole(self, name)
  if self.order or self.max or self.skip then
    error(name .. " is about all records that match: no order_by, limit or offset", 3)
  end
end

function query:update(fields)
  if type(fields) ~= "table" or next(fields) == nil then
    error("update takes fields and their new values: update { reason = \"seen\" }", 2)
  end
  check_whole(self, "update")
  return self.sink:_change(self.conditions, fields)
end

function query:delete()
  check_whole(self, "delete")
  return self.sink:_change(self.conditions, nil)
end

local sink = crier._sink
crier._sink = nil

function sink:filter(conditions)
  if conditions ~= nil and type(conditions) ~= "table" then
    error("sink:filter takes a table of conditions: sink:filter { kind = \"message\" }", 2)
  end
  return setmetatable({ sink = self, conditions = conditions or {} }, meta)
end

-- A task's own log: a logger whose records name the task, and a filter that finds what is of it.
local context = crier._task_context
crier._task_context = nil

function context.log(ctx)
  local log = crier.log.child("task." .. ctx.task, { task_name = ctx.task, run_id = ctx.run_id })
  function log.filter(self, conditions)
    if self ~= log or conditions ~= nil and type(conditions) ~= "table" then
      error("ctx.log:filter takes a table of conditions: ctx.log:filter { action = \"fail\" }", 2)
    end
    local mine = { task_name = ctx.task }
    for key, value in pairs(conditions or {}) do mine[key] = value end
    return context._sink():filter(mine)
  end
  return log
end

-- crier.discord: the primitives wait, keep the rate limits, and end as a record each.
local raw = crier._discord
crier._discord = nil
local discord = {}
crier.discord = discord

local known = { bot = true, timeout = true, mentions = true, limit = true, before = true,
  after = true, name = true, archive = true }

local function options(what, opt)
  if opt == nil then return {} end
  if type(opt) ~= "table" then error(what .. ": options are a table: { timeout = \"10s\" }", 3) end
  for key in pairs(opt) do
    if not known[key] then error(("%s: unknown option '%s'"):format(what, tostring(key)), 3) end
  end
  return opt
end

local function id(what, value)
  local text = math.type(value) == "integer" and tostring(value) or value
  if type(text) ~= "string" or not text:find "^%d+$" or #text > 19 then
    error(("%s: expected a snowflake such as \"863071397207212052\", got %s"):format(what,
      type(value) == "string" and '"' .. value .. '"' or tostring(value)), 3)
  end
  return text
end

local function call(what, opt, method, path, body, target)
  return raw.call(what, opt.bot, method, path, body, opt.timeout, target)
end

function discord.send(channel, data, opt)
  opt = options("discord.send", opt)
  return raw.send("discord.send", opt.bot, id("discord.send", channel), data, opt.mentions, opt.timeout)
end

function discord.edit(channel, message, data, opt)
  opt = options("discord.edit", opt)
  return raw.edit("discord.edit", opt.bot, id("discord.edit", channel), id("discord.edit", message),
    data, opt.mentions, opt.timeout)
end

function discord.dm(user, data, opt)
  opt = options("discord.dm", opt)
  local channel, err, outcome, code = raw.dm("discord.dm", opt.bot, id("discord.dm", user), opt.timeout)
  if not channel then return nil, err, outcome, code end
  return raw.send("discord.dm", opt.bot, channel.id, data, opt.mentions, opt.timeout)
end

function discord.delete(channel, message, opt)
  local what = "discord.delete"
  opt, channel, message = options(what, opt), id(what, channel), id(what, message)
  local res, err, outcome, code = call(what, opt, "DELETE",
    "/channels/" .. channel .. "/messages/" .. message, nil, channel)
  if not res and code == 10008 then return true end
  return res, err, outcome, code
end

function discord.crosspost(channel, message, opt)
  local what = "discord.crosspost"
  opt, channel, message = options(what, opt), id(what, channel), id(what, message)
  return call(what, opt, "POST", "/channels/" .. channel .. "/messages/" .. message .. "/crosspost",
    nil, channel)
end

function discord.react(channel, message, emoji, opt)
  local what = "discord.react"
  opt, channel, message = options(what, opt), id(what, channel), id(what, message)
  if type(emoji) ~= "string" or emoji == "" then
    error(what .. ": expected an emoji: a character, or name:id for one of a server", 2)
  end
  emoji = emoji:match "^<a?:([%w_]+:%d+)>$" or emoji
  local path = "/channels/" .. channel .. "/messages/" .. message .. "/reactions/" ..
    emoji:gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end) .. "/@me"
  return call(what, opt, "PUT", path, nil, channel)
end

function discord.typing(channel, opt)
  local what = "discord.typing"
  opt, channel = options(what, opt), id(what, channel)
  return call(what, opt, "POST", "/channels/" .. channel .. "/typing", nil, channel)
end

-- A thread under a message; a post of a forum is discord.send with a crier.THREAD.
function discord.thread(channel, message, opt)
  local what = "discord.thread"
  opt, channel, message = options(what, opt), id(what, channel), id(what, message)
  if type(opt.name) ~= "string" or opt.name == "" then
    error(what .. ": option 'name' is missing: { name = \"...\" }", 2)
  end
  return call(what, opt, "POST", "/channels/" .. channel .. "/messages/" .. message .. "/threads",
    { name = opt.name, auto_archive_duration = opt.archive }, channel)
end

function discord.channel(channel, opt)
  local what = "discord.channel"
  opt, channel = options(what, opt), id(what, channel)
  return call(what, opt, "GET", "/channels/" .. channel, nil, channel)
end

function discord.guild(guild, opt)
  local what = "discord.guild"
  opt, guild = options(what, opt), id(what, guild)
  return call(what, opt, "GET", "/guilds/" .. guild, nil, guild)
end

function discord.channels(guild, opt)
  local what = "discord.channels"
  opt, guild = options(what, opt), id(what, guild)
  return call(what, opt, "GET", "/guilds/" .. guild .. "/channels", nil, guild)
end

-- Newest first, as Discord gives them.
function discord.messages(channel, opt)
  local what = "discord.messages"
  opt, channel = options(what, opt), id(what, channel)
  local path = "/channels/" .. channel .. "/messages?limit=" .. tostring(opt.limit or 50)
  if opt.before then path = path .. "&before=" .. id(what, opt.before) end
  if opt.after then path = path .. "&after=" .. id(what, opt.after) end
  return call(what, opt, "GET", path, nil, channel)
end

function discord.me(opt)
  return call("discord.me", options("discord.me", opt), "GET", "/users/@me", nil, nil)
end

-- only_if = crier.not_last_author(): leaves out channels where nobody has written since the bot did.
-- With per_channel = false one such channel keeps the message from all of them.
function crier.not_last_author(opt)
  local all = opt and opt.per_channel == false
  local own = {}
  raw.watch_last()
  local function ours(ctx, channel)
    local seen = raw.last_own(ctx.bot, channel)
    if seen ~= nil then return seen end
    if not own[ctx.bot] then
      local me, err = discord.me { bot = ctx.bot }
      if not me then return nil, err end
      own[ctx.bot] = me.id
    end
    local last, err = discord.messages(channel, { limit = 1, bot = ctx.bot })
    if not last then return nil, err end
    return last[1] ~= nil and last[1].author.id == own[ctx.bot]
  end
  return function(ctx, channel)
    local list = all and ctx.channels or { channel }
    for _, one in ipairs(list) do
      local mine, err = ours(ctx, one)
      if mine == nil then return false, "the last author is not known: " .. err end
      if mine then return false, "the last message there is the bot's own" end
    end
    return true
  end
end

-- The original's form of a SQL Server: a call like crier.sink.sql { dsn = ..., user, password }.
function crier.LoggerSQL(username, password, server, database)
  for _, value in ipairs { username or false, server or false, database or false } do
    if type(value) ~= "string" then
      error("crier.LoggerSQL takes (username, password, server, database), each of them a text", 2)
    end
  end
  local host, port = server:match "^(.-)[,:](%d+)$"
  return crier.sink.sql {
    name = "sql", user = username, password = password,
    dsn = ("Driver={FreeTDS};Server={%s};Port=%s;Database={%s}")
      :format(host or server, port or "1433", database),
  }
end

return crier
