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
