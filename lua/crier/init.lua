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

for _, op in ipairs { "ne", "gt", "ge", "lt", "le", "like" } do make(op, 1, 1) end
make("range", 2, 2)
make("one_of", 0, 1000)

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
query.__index = query
query.__name = "crier.query"

function query:order_by(field, direction)
  if direction ~= nil and direction ~= "asc" and direction ~= "desc" then
    error("order_by takes a field and \"asc\" or \"desc\"", 2)
  end
  self.order, self.desc = field, direction == "desc"
  return self
end

function query:limit(n)
  self.max = n
  return self
end

function query:offset(n)
  self.skip = n
  return self
end

function query:all()
  return self.sink:_query(self.conditions, self.order, self.desc, self.skip, self.max, false)
end

function query:count()
  return self.sink:_query(self.conditions, nil, false, self.skip, self.max, true)
end

function query:first()
  local hits, err = self.sink:_query(self.conditions, self.order, self.desc, self.skip, 1, false)
  if not hits then return nil, err end
  return hits[1]
end

function query:last()
  local hits, err = self:all()
  if not hits then return nil, err end
  return hits[#hits]
end

-- for i, record in sink:filter {...}:each() do
function query:each()
  local hits, err = self:all()
  if not hits then error(err, 2) end
  return ipairs(hits)
end

local sink = crier._sink
crier._sink = nil

function sink:filter(conditions)
  if conditions ~= nil and type(conditions) ~= "table" then
    error("sink:filter takes a table of conditions: sink:filter { kind = \"message\" }", 2)
  end
  return setmetatable({ sink = self, conditions = conditions or {} }, query)
end

return crier
