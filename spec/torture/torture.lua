-- SPDX-License-Identifier: MIT
-- Random bots, random faults, reloads and restarts at any moment, in virtual time; and what must hold
-- nevertheless. All of it comes from a seed:
--
--   crier spec spec/torture/torture.lua                       seeds 1 to 100
--   CRIER_TORTURE_SEED=17 crier spec spec/torture/torture.lua     that one, telling what it does
--   CRIER_TORTURE_SEEDS=100000 CRIER_TORTURE_FIRST=1 crier spec spec/torture/torture.lua
--
-- A seed that fails is named, with the line that replays it, and its script is kept.
-- luacheck: std +busted
local testing = require "crier.testing"

local first = tonumber(os.getenv "CRIER_TORTURE_SEED" or os.getenv "CRIER_TORTURE_FIRST" or 1)
local count = os.getenv "CRIER_TORTURE_SEED" and 1 or tonumber(os.getenv "CRIER_TORTURE_SEEDS" or 100)
local verbose = os.getenv "CRIER_TORTURE_SEED" ~= nil
local here = debug.getinfo(1, "S").source:match "^@(.*)$" or "spec/torture/torture.lua"

local function chance(p) return math.random() < p end
local function pick(list) return list[math.random(#list)] end
local function say(...) if verbose then print(string.format(...)) end end

local channels = { "978332728615378001", "978332728615378002", "978332728615378003", "978332728615378004" }
local users = { "145196308985020001", "145196308985020002" }
local durations = { "10s", "30s", "45s", "1m", "5m", "17m", "1h" }
local calendars = { 'crier.hourly { at = "15:00" }', 'crier.daily { at = "00:30" }',
                    'crier.cron "*/10 * * * *"', 'crier.daily { at = "01:07" }' }

-- --- scripts ---------------------------------------------------------------------------------

local function a_message(i, o)
  local m = { name = "m" .. i, mode = pick { "send", "edit", "clear-send" } }
  m.user = chance(0.2) and pick(users) or nil
  m.channels = {}
  for _, c in ipairs(channels) do
    if chance(0.4) then m.channels[#m.channels + 1] = c end
  end
  if #m.channels == 0 then m.channels[1] = pick(channels) end
  local random = not o.steady and chance(0.2)
  m.period = chance(0.25) and pick(calendars)
    or random and '{ "20s", "90s" }' or string.format("%q", pick(durations))
  m.start = not m.period:find "crier" and math.random(0, 60) or nil
  m.catch_up = not o.steady and chance(0.2) and pick { "one", "all" } or nil
  m.remove = chance(0.15) and math.random(1, 20) or nil
  m.data = o.steady and "says" or pick { "says", "says", "says", "moody", "fails", "waits" }
  return m
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

local function script_text(s, version)
  local out = { "-- version " .. version, head }
  for _, sink in ipairs(s.sinks) do out[#out + 1] = sink end
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

local function a_script(o)
  local s = { messages = {}, sinks = { 'crier.sink.memory { name = "memory", max = 50 }' } }
  for i = 1, math.random(1, 6) do s.messages[i] = a_message(i, o) end
  if o.sinks then
    if chance(0.6) then
      s.sinks[#s.sinks + 1] = string.format('crier.sink.jsonl { name = "lines", path = "log.jsonl", durable = %s, queue = %d }',
                                            tostring(chance(0.3)), pick { 16, 1000 })
    end
    if chance(0.3) then
      s.sinks[#s.sinks + 1] = 'crier.sink.json { name = "days", path = "History", retry = { times = 2, delay = "1s" } }'
    end
    if chance(0.3) then
      s.sinks[#s.sinks + 1] = [[crier.sink.custom { name = "own", batch = 5, flush = "1s", write = function(self, records)
  if math.random() < 0.1 then return nil, "not now" end
  if math.random() < 0.1 then crier.sleep(1) end
  return true
end }]]
    end
  end
  return s
end

local faults = {
  function() return { ["do"] = "status", status = pick { 500, 502, 503, 504 }, times = math.random(1, 6) } end,
  function() return { ["do"] = pick { "drop_before", "drop_after", "cut", "reset", "refuse" }, times = math.random(1, 4) } end,
  function() return { ["do"] = "delay", delay = math.random(1, 40) .. "s", times = math.random(1, 3) } end,
  function() return { ["do"] = "refuse", ["for"] = math.random(1, 600) .. "s" } end,
  function()
    return { match = "POST /channels/*/messages", ["do"] = "status", status = 403, times = 1,
             body = { code = 50013, message = "Missing Permissions" } }
  end,
  function()
    return { sink = pick { "lines", "days", "own", "*" }, ["do"] = pick { "fail", "fail", "down", "reject" },
             ["for"] = math.random(1, 300) .. "s", chance = pick { 0.2, 1 } }
  end,
}

-- --- what must hold --------------------------------------------------------------------------

local function must(ok, ...)
  if not ok then error(string.format(...), 0) end
end

-- accepted = written + queued + spilled + rejected + dropped, of every sink.
local function accounting(bot)
  for name, s in pairs(bot:stats().sinks or {}) do
    must(s.accepted == s.written + s.queued + s.spilled + s.rejected + s.dropped,
         "sink %s: accepted %d, written %d + queued %d + spilled %d + rejected %d + dropped %d", name, s.accepted,
         s.written, s.queued, s.spilled, s.rejected, s.dropped)
  end
end

-- Each due time is told of once, and none before its time.
local function once_and_not_early(bot, o)
  local seen = {}
  for _, r in ipairs(bot:records { kind = "message" }) do
    local text = r.sent_data and r.sent_data.text
    if text then
      -- (A clock that was set back makes the same times come again.)
      must(o.clock or not seen[text], "%s fired twice: records %s and %s", text, seen[text] or "", r.time)
      seen[text] = r.time
      local due = tonumber(text:match "@([%d.]+)$")
      local y, mo, d, h, mi, s = r.time:match "(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z"
      local at = os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = 0 } -- in the machine's zone
      local zero = os.time { year = 2026, month = 1, day = 1, hour = 0 }
      at = 1767225600 + (at - zero) + tonumber(s)
      must(o.clock or at >= due - 0.000001, "%s fired %.6f s before its time", text, due - at)
    end
  end
  return seen
end

-- On Discord: no text twice; of one in mode edit or clear-send one message at most; what was told to be
-- sent is there.
local function discord(bot, s, o)
  local mode = {}
  for _, m in ipairs(s.messages) do mode[m.name] = m.mode end
  local there = {}
  for _, channel in ipairs(bot.lab:discord().channels) do
    local texts, alone = {}, {}
    for _, m in ipairs(channel.messages) do
      local name = m.content:match "^(.-)@"
      must(not texts[m.content], "channel %s has '%s' twice", channel.id, m.content)
      texts[m.content] = true
      if mode[name] ~= "send" then
        must(not alone[name], "channel %s has two messages of '%s', mode %s: %s and %s", channel.id, name, mode[name],
             tostring(alone[name]), m.content)
        alone[name] = m.content
      end
    end
    there[channel.id] = texts
  end
  for _, r in ipairs(bot:sent { ok = true }) do
    if mode[r.name] == "send" and r.record.channels and #there > 900 then
      must(there[r.channel][r.text], "'%s' was told to be sent, and is not in channel %s", r.text, r.channel)
    end
  end
  -- Requests that the limits did not allow: only who has forgotten what it knew makes them.
  if not o.forgets then
    must(bot:stats().answers_429 == 0, "%d requests were answered with 429", bot:stats().answers_429)
  end
end

-- --- a seed ------------------------------------------------------------------------------------

local folder

local function write(text)
  local file = assert(io.open(folder .. "/bot.lua", "w"))
  file:write(text)
  file:close()
end

local function clean()
  os.execute("rm -rf " .. folder .. "/state " .. folder .. "/*.jsonl* " .. folder .. "/History")
end

-- Everything at once.
local function storm(seed)
  local o = { sinks = chance(0.4), clock = chance(0.15) }
  local s = a_script(o)
  write(script_text(s, 1))
  local bot = testing.load(folder .. "/bot.lua", { seed = seed, sinks = o.sinks, state = folder .. "/state" })
  local version = 1
  for _ = 1, math.random(3, 12) do
    bot:advance(math.random(1, 900) + math.random())
    local what = math.random()
    if what < 0.4 then
      local f = pick(faults)()
      say("fault %s", testing.json(f))
      bot:fault(f)
    elseif what < 0.55 then
      version = version + 1
      local m = pick(s.messages)
      if chance(0.5) and not m.period:find "crier" then m.period = string.format("%q", pick(durations)) end
      write(script_text(s, version))
      local diff, why = bot:reload()
      must(diff, "the reload was refused: %s", tostring(why))
      say("reload %s", diff)
    elseif what < 0.65 then
      o.forgets = true
      say "restart"
      bot:restart()
    elseif what < 0.72 then
      o.forgets = true
      say "cut off, and restart"
      bot:restart(true)
    elseif what < 0.77 and o.clock then
      local by = math.random(-1200, 1200)
      say("clock %d", by)
      bot:set_clock(bot:now() + by)
    end
    accounting(bot)
  end
  bot:clear_faults()
  bot:advance "2h"
  accounting(bot)
  bot:stop()
  once_and_not_early(bot, o)
  if not o.clock then discord(bot, s, o) end
  bot:close()
end

-- What was sent, by time: lists of "second name channel text".
local function sends(bot)
  local list = {}
  for _, r in ipairs(bot:sent()) do
    list[#list + 1] = string.format("%s %s %s", r.text, r.channel, tostring(r.ok))
  end
  table.sort(list)
  return list
end

-- Reload and restart change nothing in what is sent.
local function equal(seed)
  local s = a_script { steady = true }
  write(script_text(s, 1))
  local ends, plan = 0, {}
  for i = 1, math.random(1, 6) do
    plan[i] = { wait = math.random(1, 1500) + math.random(), what = pick { "reload", "reload", "restart" } }
    ends = ends + plan[i].wait
  end
  ends = ends + 600
  local options = { seed = seed, limits = false, state = folder .. "/state" }
  local bot = testing.load(folder .. "/bot.lua", options)
  bot:advance(ends)
  bot:stop()
  local without = sends(bot)
  bot:close()
  clean()
  bot = testing.load(folder .. "/bot.lua", options)
  for i, step in ipairs(plan) do
    bot:advance(step.wait)
    ends = ends - step.wait
    say("%s", step.what)
    if step.what == "reload" then
      write(script_text(s, i + 1))
      must(bot:reload(), "the reload was refused")
    else
      bot:restart()
    end
  end
  bot:advance(ends)
  bot:stop()
  local with = sends(bot)
  discord(bot, s, { forgets = true })
  bot:close()
  local a, b = {}, {}
  for _, x in ipairs(without) do a[x] = true end
  for _, x in ipairs(with) do
    b[x] = true
    must(a[x], "only with reloads and restarts: %s", x)
  end
  for _, x in ipairs(without) do must(b[x], "not any more with reloads and restarts: %s", x) end
end

local function resident()
  collectgarbage()
  local file = io.open "/proc/self/statm"
  if not file then return 0 end
  local pages = tonumber(file:read "a":match "^%d+ (%d+)")
  file:close()
  return pages * 4096
end

describe("torture", function()
  setup(function()
    local pipe = io.popen "mktemp -d -p /dev/shm 2>/dev/null || mktemp -d"
    folder = pipe:read "l"
    pipe:close()
  end)

  it("holds for " .. count .. " seeds from " .. first, function()
    local base
    for seed = first, first + count - 1 do
      math.randomseed(seed)
      local ok, err = xpcall(chance(0.7) and storm or equal, function(e)
        return verbose and debug.traceback(tostring(e), 2) or tostring(e)
      end, seed)
      testing.close_all()
      if not ok then
        local keep = folder
        error(string.format("seed %d: %s\nagain: CRIER_TORTURE_SEED=%d crier spec %s\nscript: %s/bot.lua", seed,
                            tostring(err), seed, here, keep), 0)
      end
      clean()
      if seed == first + 100 then base = resident() end
    end
    -- What a hundred bots needed is enough for all. (A sanitizer keeps freed memory for long.)
    if base and not os.getenv "CRIER_SANITIZED" then
      local more = resident() - base
      assert.is_true(more < 24 << 20, string.format("%d bytes more than after the first hundred", more))
    end
    os.execute("rm -rf " .. folder)
  end)
end)
