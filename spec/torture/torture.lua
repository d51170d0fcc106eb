-- SPDX-License-Identifier: MIT
-- Random bots, random faults, reloads and restarts at any moment, in virtual time; and what must hold
-- nevertheless. All of it comes from a seed:
--
--   crier spec spec/torture/torture.lua                       seeds 1 to 1000
--   CRIER_TORTURE_SEED=17 crier spec spec/torture/torture.lua     that one, telling what it does
--   CRIER_TORTURE_SEEDS=100000 CRIER_TORTURE_FIRST=1 crier spec spec/torture/torture.lua
--
-- in crier's own folder. A seed that fails is named, with the line that replays it, and its script is kept.
-- luacheck: std +busted
local testing = require "crier.testing"
local bots = require "spec.torture.bots"
local holds = require "spec.torture.holds"
local chance, pick, must = bots.chance, bots.pick, holds.must

local only = tonumber(os.getenv "CRIER_TORTURE_SEED")
local first = only or tonumber(os.getenv "CRIER_TORTURE_FIRST" or 1)
local count = only and 1 or tonumber(os.getenv "CRIER_TORTURE_SEEDS" or 1000)
local here = debug.getinfo(1, "S").source:match "^@(.*)$" or "spec/torture/torture.lua"

local the_bot
local function say(...) if only then print(the_bot and string.format("%.6f", the_bot:now()) or "", string.format(...)) end end

local folder

local function clean()
  os.execute("rm -rf " .. folder .. "/*")
end

-- A moment: any, or one at which something is just under way.
local function wait(bot, most)
  local span = math.random(1, most) + math.random()
  if chance(0.5) then
    local soon
    for _, s in pairs(bot:stats().messages or {}) do
      local to = s.due - bot:now()
      if not s.ended and to > 0 and to < most and (not soon or to < soon) then soon = to end
    end
    span = soon and soon + pick { 0, 0.0005, 0.001, 0.0015, 0.003 } or span
  end
  return span
end

-- --- everything at once ------------------------------------------------------------------------

local Storm = {}
Storm.__index = Storm

-- What this life of the host has lost, at its end: told as lost; with a kill what was only in memory; on a
-- full disk what its end brings about, and what cannot be put among the rejected.
function Storm:life_ends(killed)
  local s, lost = (self.bot:stats().sinks or {}).lines, self.lost
  if not s then return end
  lost.least, lost.most = lost.least + s.dropped, lost.most + s.dropped
  if killed and not self.script.lines.durable then lost.most = lost.most + s.queued end
  -- That it rejects at its very end it cannot write itself.
  if s.rejected > 0 then lost.most = lost.most + 1 end
  if self.o.was_full then lost.most = lost.most + s.rejected + s.queued + 20 end
end

function Storm:restart(killed)
  local bot = self.bot
  say(killed and "cut off, and restart" or "restart")
  -- What could not be written until now is what a kill loses.
  bot.lab:disk_full(false)
  if self.o.full and killed then bot:advance(10) end
  self.o.full = false
  self.o.restarts, self.o.kills = self.o.restarts + 1, self.o.kills + (killed and 1 or 0)
  self:life_ends(killed)
  local before
  if killed then
    before = bots.kill(bot, folder)
  else
    bot:stop()
    before = #bot:records()
    bot:restart()
  end
  self.life = { records = before, owed = {} }
  -- What was left in a spool is accepted again.
  for name, s in pairs(bot:stats().sinks) do
    self.life.owed[name] = s.accepted - (#bot:records() - before)
    must(self.life.owed[name] >= 0 or name ~= "memory" and name ~= "lines", "sink %s has %d records of %d", name, s.accepted,
         #bot:records() - before)
  end
end

function Storm:reload()
  local s, bot = self.script, self.bot
  self.version = self.version + 1
  local m = pick(s.messages)
  if chance(0.5) then bots.change_period(m) else m = nil end
  bot.lab:disk_full(false)
  bots.write(folder, s, self.version)
  bot.lab:disk_full(self.o.full)
  local diff, why = bot:reload()
  must(diff, "the reload was refused: %s", tostring(why))
  say("reload %s", diff)
  if m then holds.count_from(bot, s, self.counts, m) end
end

function Storm:fault()
  local f, unsure = bots.discord_fault()
  if self.o.sinks and chance(0.4) then f, unsure = bots.sink_fault(), false end
  say("fault %s", testing.json(f))
  self.o.unsure = self.o.unsure or unsure
  if f.status == 429 then self.o.told_429 = self.o.told_429 + f.times end
  self.bot:fault(f)
end

function Storm:step()
  local bot, o, what = self.bot, self.o, math.random()
  bot:advance(wait(bot, 600))
  if what < 0.4 then
    self:fault()
  elseif what < 0.55 then
    self:reload()
  elseif what < 0.65 then
    self:restart(false)
  elseif what < 0.72 then
    self:restart(true)
  elseif what < 0.77 and o.clock then
    local by = math.random(-1200, 1200)
    say("clock %d", by)
    bot:set_clock(bot:now() + by)
  elseif what < 0.82 and o.sinks then
    o.full, o.was_full = not o.full, true
    say("disk %s", o.full and "full" or "not full any more")
    bot.lab:disk_full(o.full)
  end
end

function Storm:check()
  self.bot:advance(0) -- what a reload has to do at once is done
  holds.accounting(self.bot, self.life)
  if not self.o.clock then holds.due(self.bot, self.script, self.counts) end
end

-- Returns the records, as text.
local function storm(seed)
  local o = { sinks = chance(0.4), clock = chance(0.15), restarts = 0, kills = 0, told_429 = 0 }
  local self = setmetatable({ o = o, script = bots.script(o), version = 1, counts = {},
                              lost = { least = 0, most = 0 }, life = { records = 0, owed = {} } }, Storm)
  bots.write(folder, self.script, 1)
  local bot = testing.load(folder .. "/bot.lua", { seed = seed, sinks = o.sinks, state = folder .. "/state" })
  self.bot, the_bot = bot, bot
  holds.count_from(bot, self.script, self.counts)
  for _ = 1, math.random(3, 12) do
    self:step()
    self:check()
  end
  bot.lab:disk_full(false)
  bot:clear_faults()
  bot:advance "20m"
  self:check()
  -- Stopped long after all is quiet: what is told then is counted, and all is written.
  o.last = bot:stats().messages
  for _, x in pairs(o.last) do if x.under_way then o.last, o.amid = nil, true break end end
  self:life_ends(false)
  bot:stop()
  holds.once(bot, self.script, o)
  holds.tasks(bot)
  holds.discord(bot, self.script, o)
  holds.limits(bot, o)
  if self.script.lines then holds.delivered(bot, folder, self.lost) end
  bot:close()
end

-- --- with and without --------------------------------------------------------------------------

-- What was sent: lists of "text channel ok".
local function sends(bot)
  local list = {}
  for _, r in ipairs(bot:sent()) do
    list[#list + 1] = string.format("%s %s %s", r.text, r.channel, tostring(r.ok))
  end
  table.sort(list)
  return list
end

-- What begins in the moment of a kill, and of which nothing is on disk yet, is "the host was down".
local function killed_in(kills, text)
  local due = tonumber(text:match "@([%d.]+)")
  for _, at in ipairs(kills) do
    if due <= at and due > at - 0.01 then return true end
  end
end

-- Reload and restart change nothing in what is sent.
local function equal(seed)
  local s = bots.script { steady = true }
  bots.write(folder, s, 1)
  local ends = math.random(600, 5400)
  local options = { seed = seed, limits = false, state = folder .. "/state" }
  local bot = testing.load(folder .. "/bot.lua", options)
  bot:advance(ends)
  bot:stop()
  local without = sends(bot)
  bot:close()
  clean()
  bots.write(folder, s, 1)
  bot = testing.load(folder .. "/bot.lua", options)
  the_bot = bot
  local till = bot:now() + ends
  local kills = {}
  for i = 1, math.random(1, 6) do
    local span = wait(bot, 900)
    if bot:now() + span >= till then break end
    bot:advance(span)
    local what = pick { "reload", "reload", "restart", "kill" }
    say("%s", what)
    if what == "reload" then
      bots.write(folder, s, i + 1)
      must(bot:reload(), "the reload was refused")
    else
      if what == "kill" then
        kills[#kills + 1] = bot:now()
        bots.kill(bot, folder)
      else
        bot:restart()
      end
    end
  end
  bot:advance(till - bot:now())
  bot:stop()
  local with = sends(bot)
  holds.once(bot, s, {})
  holds.discord(bot, s, { kills = #kills })
  bot:close()
  local a, b = {}, {}
  for _, x in ipairs(without) do a[x] = true end
  for _, x in ipairs(with) do
    b[x] = true
    must(a[x], "only with reloads and restarts: %s", x)
  end
  for _, x in ipairs(without) do
    must(b[x] or killed_in(kills, x), "not any more with reloads and restarts: %s", x)
  end
end

-- --- seeds ---------------------------------------------------------------------------------------

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
        return only and debug.traceback(tostring(e), 2) or tostring(e)
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
    if base and (os.getenv "CRIER_SANITIZED" or "") == "" then
      local more = resident() - base
      assert.is_true(more < 24 << 20, string.format("%d bytes more than after the first hundred", more))
    end
    os.execute("rm -rf " .. folder)
  end)
end)
