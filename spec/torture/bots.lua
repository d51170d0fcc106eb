-- SPDX-License-Identifier: MIT
-- Random scripts and random faults, all out of math.random.
local bots = {}

function bots.chance(p) return math.random() < p end
function bots.pick(list) return list[math.random(#list)] end
local chance, pick = bots.chance, bots.pick

local channels = { "978332728615378001", "978332728615378002", "978332728615378003", "978332728615378004" }
local users = { "145196308985020001", "145196308985020002" }
local durations = { ["10s"] = 10, ["30s"] = 30, ["45s"] = 45, ["1m"] = 60, ["5m"] = 300, ["17m"] = 1020, ["1h"] = 3600 }
local names = { "10s", "30s", "45s", "1m", "5m", "17m", "1h" }
local calendars = { { 'crier.hourly { at = "15:00" }', 3600 }, { 'crier.daily { at = "00:30" }', 86400 },
                    { 'crier.cron "*/10 * * * *"', 600 }, { 'crier.daily { at = "01:07" }', 86400 } }

local function set_duration(m)
  local name = pick(names)
  m.period, m.step = string.format("%q", name), durations[name]
end

-- step: seconds from one due time to the next; nil: random.
local function a_message(i, o)
  local m = { name = "m" .. i, mode = pick { "send", "edit", "clear-send" } }
  m.user = chance(0.2) and pick(users) or nil
  m.channels = {}
  for _, c in ipairs(channels) do
    if chance(0.4) then m.channels[#m.channels + 1] = c end
  end
  if #m.channels == 0 then m.channels[1] = pick(channels) end
  local random = not o.steady and chance(0.2)
  if chance(0.25) then
    local c = pick(calendars)
    m.period, m.step, m.calendar = c[1], c[2], true
  elseif random then
    m.period = '{ "20s", "90s" }'
  else
    set_duration(m)
  end
  m.start = not m.calendar and math.random(0, 60) or nil
  m.catch_up = not o.steady and chance(0.2) and pick { "one", "all" } or nil
  m.remove = chance(0.15) and math.random(1, 20) or nil
  m.data = o.steady and "says" or pick { "says", "says", "says", "moody", "fails", "waits" }
  return m
end

-- Another period, and back to where nothing is drawn.
function bots.change_period(m)
  if m.step and not m.calendar then set_duration(m) end
end

local function message_text(m)
  local parts = { string.format("name = %q, mode = %q, period = %s", m.name, m.mode, m.period) }
  if not m.user then parts[#parts + 1] = 'channels = { "' .. table.concat(m.channels, '", "') .. '" }' end
  if m.start then parts[#parts + 1] = string.format('start_in = "%ds"', m.start) end
  if m.catch_up then parts[#parts + 1] = string.format("catch_up = %q", m.catch_up) end
  if m.remove then parts[#parts + 1] = "remove_after = " .. m.remove end
  parts[#parts + 1] = "data = " .. m.data
  return string.format("crier.%s { %s }", m.user and "DirectMESSAGE" or "TextMESSAGE", table.concat(parts, ", "))
end

local head = [[
local crier = require "crier"
crier.config { timezone = "UTC" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
local function text(ctx) return ctx.name .. "@" .. string.format("%.6f", ctx.due) end
local says = crier.data_function(text) {}
local moody = crier.data_function(function(ctx) if math.random() < 0.3 then return nil end return text(ctx) end) {}
local fails = crier.data_function(function(ctx) if math.random() < 0.2 then error "no data" end return text(ctx) end) {}
local waits = crier.data_function(function(ctx) crier.sleep(math.random(0, 20)) return text(ctx) end) {}
crier.on("message.sent", function(r) crier.log.info("sent " .. r.name) end)
]]

local tasks = {
  'crier.task { name = "t%d", start = crier.every %q, run = function(ctx)' ..
    ' crier.sleep(math.random(0, 40)) if math.random() < 0.3 then error "no" end crier.log.info(tostring({})) end }',
  'crier.task { name = "t%d", start = crier.every %q, timeout = "20s", run = function() crier.sleep(math.random(0, 40)) end }',
  'crier.task { name = "t%d", start = crier.every %q, module = "heavy" }',
}

local modules = {
  ["heavy.lua"] = [[
local crier = require "crier"
return function()
  crier.sleep(math.random(0, 30))
  if math.random() < 0.2 then error "no" end
  crier.log.info("heavy " .. math.random(1000) .. tostring({}), { at = os.time() })
  return { n = math.random(10) }
end
]],
  ["mailbox.lua"] = [[
local crier = require "crier"
return { write = function(self, records)
  if math.random() < 0.2 then return nil, "not now" end
  crier.sleep(math.random(0, 2))
  crier.log.debug("took " .. #records)
  return true
end }
]],
}

local own = [[
crier.sink.custom { name = "own", batch = 5, flush = "1s", write = function(self, records)
  if math.random() < 0.1 then return nil, "not now" end
  if math.random() < 0.1 then crier.sleep(1) end
  return true
end }]]

local function some_sinks(s)
  if chance(0.6) then
    local durable, queue = chance(0.3), pick { 16, 1000 }
    s.lines = { durable = durable }
    s.sinks[#s.sinks + 1] = string.format('crier.sink.jsonl { name = "lines", path = "log.jsonl", durable = %s, queue = %d }',
                                          tostring(durable), queue)
  end
  if chance(0.3) then
    s.days = true
    s.sinks[#s.sinks + 1] = 'crier.sink.json { name = "days", path = "History", retry = { times = 2, delay = "1s" } }'
  end
  if chance(0.3) then s.sinks[#s.sinks + 1] = own end
  if chance(0.3) then
    s.sinks[#s.sinks + 1] = 'crier.sink.custom { name = "box", batch = 5, flush = "1s", module = "mailbox" }'
  end
end

---A script. o.steady: nothing in it is random when it runs; o.sinks: real ones.
function bots.script(o)
  local s = { messages = {}, tasks = {}, sinks = { 'crier.sink.memory { name = "memory", max = 50 }' } }
  for i = 1, math.random(1, 6) do s.messages[i] = a_message(i, o) end
  if not o.steady and chance(0.15) then -- more at once than Discord takes in one channel
    for i = #s.messages + 1, #s.messages + math.random(6, 12) do
      s.messages[i] = { name = "m" .. i, mode = "send", channels = { channels[1] }, period = '"1m"', step = 60, start = 30,
                        data = "says" }
    end
  end
  if not o.steady and chance(0.4) then
    for i = 1, math.random(1, 2) do
      s.tasks[i] = string.format(pick(tasks), i, pick { "2m", "7m" })
    end
  end
  if o.sinks then some_sinks(s) end
  return s
end

function bots.text(s, version)
  local out = { "-- version " .. version, head }
  for _, line in ipairs(s.sinks) do out[#out + 1] = line end
  for _, line in ipairs(s.tasks) do out[#out + 1] = line end
  local of_user = {}
  out[#out + 1] = 'crier.GUILD { snowflake = "863071397207212052", name = "Fans", logging = true, messages = {'
  for _, m in ipairs(s.messages) do
    if m.user then
      of_user[m.user] = of_user[m.user] or {}
      table.insert(of_user[m.user], message_text(m))
    else
      out[#out + 1] = "  " .. message_text(m) .. ","
    end
  end
  out[#out + 1] = "} }"
  for _, user in ipairs(users) do
    if of_user[user] then
      out[#out + 1] = string.format("crier.USER { snowflake = %q, logging = true, messages = { %s } }", user,
                                    table.concat(of_user[user], ", "))
    end
  end
  return table.concat(out, "\n") .. "\n"
end

---Put the script, and the modules that it may name, into a folder.
function bots.write(folder, s, version)
  local files = { ["bot.lua"] = bots.text(s, version) }
  if version == 1 then for name, text in pairs(modules) do files[name] = text end end
  for name, text in pairs(files) do
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
end

-- Discord's. `unsure`: it may have done what it did not say it did.
local of_discord = {
  function() return { ["do"] = "status", status = pick { 500, 502, 503, 504 }, times = math.random(1, 6) } end,
  function() return { ["do"] = pick { "drop_before", "refuse", "reset" }, times = math.random(1, 4) } end,
  function() return { ["do"] = pick { "drop_after", "cut" }, times = math.random(1, 4) }, true end,
  function() return { ["do"] = "status", status = 504, execute = true, times = math.random(1, 4) }, true end,
  function() return { ["do"] = "delay", delay = math.random(1, 40) .. "s", times = math.random(1, 3) }, true end,
  function() return { ["do"] = "refuse", ["for"] = math.random(1, 600) .. "s" } end,
  function()
    return { ["do"] = "status", status = 429, scope = pick { "shared", "user", "global" }, retry_after = math.random(1, 20),
             times = math.random(1, 2), match = "POST /channels/*/messages" }
  end,
  function()
    return { match = "POST /channels/*/messages", ["do"] = "status", status = 403, times = 1,
             body = { code = 50013, message = "Missing Permissions" } }
  end,
}

function bots.discord_fault() return pick(of_discord)() end

function bots.sink_fault()
  return { sink = pick { "lines", "days", "own", "box", "*" }, ["do"] = pick { "fail", "fail", "down", "reject" },
           ["for"] = math.random(1, 300) .. "s", chance = pick { 0.2, 1 } }
end

---kill -9: what is on disk at this moment is what the next start finds, and nobody sees what the end of
-- the host would still say and do. Returns how many records there are, with those.
function bots.kill(bot, folder)
  local before = #bot:records()
  bot.lab:disk_full(false)
  assert(os.execute(string.format("rm -rf %s.kept && cp -a %s %s.kept", folder, folder, folder)))
  bot.lab:stop(false)
  assert(os.execute(string.format("rm -rf %s && mv %s.kept %s", folder, folder, folder)))
  local records = bot:records()
  for i = before + 1, #records do records[i].kind = "ghost" end
  bot:restart(true)
  return #records
end

return bots
