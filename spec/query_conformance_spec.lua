-- SPDX-License-Identifier: MIT
-- All stores give the same answers (spec/support/conformance.lua). One process a store.
local cjson = require "cjson"
local Bot = require "spec.support.bot"
local Redis = require "spec.support.redis"
local conformance = require "spec.support.conformance"
local proc = require "spec.support.proc"

local script = [==[
local crier = require "crier"
crier.sink.console { format = "json" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
local store = @DECLARE@
@ROWS@
crier.GUILD { snowflake = "863071397207212052", name = "Conformance", logging = true, messages = {
  crier.TextMESSAGE { name = "gallery", channels = { "978332728615378984" }, period = "1h",
                      data = 'hi, "all"' } } }

local function q(conditions) return store:filter(conditions) end

local function show(v, err)
  if v == nil then return err and "nil: " .. err or "nil" end
  if type(v) == "userdata" then return tostring(v.n or v.name or v.ev_where) end
  if type(v) ~= "table" then return tostring(v) end
  local list = {}
  for i, r in ipairs(v) do list[i] = tostring(r.n or r.name or r.ev_where) end
  return table.concat(list, " ")
end

crier.on("start", function()
  for _ = 1, 200 do
    if q { kind = "message" }:count() == 1 then break end
    crier.sleep "50ms"
  end
@EVENTS@
  local env = { q = q, crier = crier, first = q { n = 1 }:first().time, table = table, math = math,
    type = type, ipairs = ipairs, print = print }
  local out = assert(io.open("got", "w"))
  for source in io.lines "cases" do
    local fn = assert(load("return " .. source:gsub("\\\\n", "\n"), "=case", "t", env))
    local ok, v, err = pcall(fn)
    out:write(((ok and show(v, err) or "error: " .. tostring(v)):gsub("\n", " ")), "\n")
    out:flush()
  end
  out:write "end\n"
  out:close()
end)
]==]

-- What each case gives, in their order.
local function ask(store, cases)
  local redis, text
  local declare = store.declare:format '{ "log", "message", "event" }'
  if declare:find "@REDIS@" then
    redis = Redis.new()
    finally(function() redis:close() end)
    declare = declare:gsub("@REDIS@", redis.url)
  end
  local lines = {}
  for i, case in ipairs(cases) do
    lines[i] = case[2]:gsub("\n%s*", " ")
  end
  local fill = { DECLARE = declare, ROWS = conformance.rows,
    EVENTS = conformance.events }
  local bot = Bot.new(script:gsub("@(%u+)@", fill), { cases = table.concat(lines, "\n") .. "\n" })
  local p = bot:start()
  proc.wait_for(function()
    text = bot:read "got" or ""
    return text:find "\nend\n" or p:code()
  end, 60)
  local said = p:out() .. p:err()
  bot:close()
  local got = {}
  for line in text:gmatch "([^\n]*)\n" do got[#got + 1] = line end
  if got[#got] ~= "end" then
    error(("%s ended after %d of %d cases: %s"):format(store.name, #got, #cases, said))
  end
  return got
end

local function is_there(name)
  for line in proc.run({ proc.crier, "help", "--json" }).out:gmatch "[^\n]+" do
    if cjson.decode(line).name == "sink." .. name then return true end
  end
end

-- The cases whose answers are not the ones wanted: want(case) gives a text, or false.
local function judge(cases, got, want)
  local wrong = {}
  for i, case in ipairs(cases) do
    local w = want(case)
    local right = w == false or got[i] == w
    if w and (w:find "^nil: " or w:find "^error: ") then right = got[i]:find("^" .. w) end
    if not right then
      wrong[#wrong + 1] = ("%s: %s\n  want %s\n  got  %s"):format(case[1], case[2], w, got[i])
    end
  end
  assert.equal("", table.concat(wrong, "\n"))
end

describe("a query", function()
  it("has cases", function()
    assert.is_true(#conformance.cases >= 60)
    local names = {}
    for _, case in ipairs(conformance.cases) do
      assert.is_nil(names[case[1]], case[1])
      names[case[1]] = true
    end
    for _, store in ipairs(conformance.stores) do
      for name in pairs(store.but or {}) do assert.is_true(names[name], name) end
    end
  end)

  for _, store in ipairs(conformance.stores) do
    local kind = store.declare:match "crier%.sink%.(%w+)"
    if is_there(kind) then
      it("is answered by " .. store.name, function()
        judge(conformance.cases, ask(store, conformance.cases), function(case)
          local other = (store.but or {})[case[1]]
          if other == nil then return case[3] end
          return other
        end)
      end)

      it("changes what is stored by " .. store.name, function()
        judge(conformance.changes, ask(store, conformance.changes), function(case)
          if not store.no_changes then return case[3] end
          local changes = case[2]:find ":update" or case[2]:find ":delete"
          return changes and not case[3]:find "^error" and store.no_changes or false
        end)
      end)
    end
  end

  it("is answered by a sink that cannot be read or changed with the reason", function()
    local got = ask({ name = "console", declare = [[crier.sink.memory { kinds = %s }]] }, {
      { "", [[crier.sinks.console:filter {}:all()]] },
      { "", [[crier.sinks.console:filter {}:count()]] },
      { "", [[crier.sinks.console:filter {}:delete()]] },
      { "", [[crier.sinks.console:filter {}:update { x = 1 }]] },
      { "", [[crier.sinks.console:recent "x"]] },
    })
    for i = 1, 2 do assert.equal("nil: sink 'console' (console) cannot be read", got[i]) end
    for i = 3, 4 do assert.equal("nil: sink 'console' (console) cannot be changed", got[i]) end
    assert.is_truthy(got[5]:find("has no function 'recent' (there are: filter)", 1, true))
  end)
end)
