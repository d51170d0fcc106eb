-- SPDX-License-Identifier: MIT
-- What must hold of a bot, whatever happens to it. `o` says what has happened: clock (was set), restarts (after
-- one the limiter knows nothing), kills, unsure (Discord did what it did not say), told_429 (how many answers
-- 429 were faults); amid (stopped while something was under way); last: the messages' counters at the end.
local holds = {}

local function must(ok, ...)
  if not ok then error(string.format(...), 0) end
end
holds.must = must

-- Seconds since the epoch of a record's time.
local zero, offset = 1767225600, nil
local function seconds(time)
  local y, mo, d, h, mi, s = time:match "(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z"
  offset = offset or os.time { year = 2026, month = 1, day = 1, hour = 0 }
  return zero + os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = 0 } - offset + tonumber(s)
end

-- --- records ---------------------------------------------------------------------------------

local function balance(name, s)
  must(s.accepted == s.written + s.queued + s.spilled + s.rejected + s.dropped,
       "sink %s: accepted %d, written %d + queued %d + spilled %d + rejected %d + dropped %d", name, s.accepted,
       s.written, s.queued, s.spilled, s.rejected, s.dropped)
end

---Now: accepted = written + queued + spilled + rejected + dropped, and what takes all records has had each.
---life: what counts from the start of this host.
function holds.accounting(bot, life)
  local sinks, made = bot:stats().sinks or {}, #bot:records() - life.records
  for name, s in pairs(sinks) do balance(name, s) end
  for _, name in ipairs { "memory", "lines" } do
    local s, owed = sinks[name], life.owed[name] or 0
    must(not s or s.accepted == made + owed, "sink %s has accepted %d records of %d (and %d from before)", name,
         s and s.accepted or 0, made, owed)
  end
end

local function ids(path, pattern, found)
  local file = io.open(path)
  for line in file and file:lines() or function() end do
    local id = line:match(pattern)
    must(id, "%s: %s", path, line)
    must(not found[id], "%s has record %s twice, or one that is written is among the rejected", path, id)
    found[id] = true
  end
  if file then file:close() end
end

---At the end: each record is in the file or among the rejected, once, or was told as lost.
function holds.delivered(bot, folder, lost)
  local at, missing, made = {}, 0, 0
  ids(folder .. "/log.jsonl", '^{"id":"(%w+)"', at)
  ids(folder .. "/state/sim/sinks/lines.dead.jsonl", '"record":{"id":"(%w+)"', at)
  for _, r in ipairs(bot:records()) do
    made = made + (r.kind ~= "ghost" and 1 or 0)
    if r.kind ~= "ghost" and not at[r.id] then missing = missing + 1 end
  end
  must(missing >= lost.least and missing <= lost.most,
       "log.jsonl: %d of %d records are not there, %d to %d were told as lost", missing, made, lost.least, lost.most)
end

-- --- due times -------------------------------------------------------------------------------

local function total(s) return s.sent + s.failed + s.skipped end

---From here on the due times of a message (of all: m nil) are counted.
function holds.count_from(bot, script, counts, m)
  local now = bot:stats().messages
  for _, x in ipairs(m and { m } or script.messages) do
    local s = now[x.name]
    counts[x.name] = { due = s.due, total = total(s) + (s.under_way and 1 or 0), step = x.step }
  end
end

---due = sent + failed + skipped (+ 1 under way), of each message; the next one is neither past nor skipped.
function holds.due(bot, script, counts)
  local all, now = bot:stats().messages, bot:now()
  for _, m in ipairs(script.messages) do
    local c, s = counts[m.name], all[m.name]
    if c.step and not s.ended then
      local n = (s.due - c.due) / c.step
      local ended = total(s) - c.total + (s.under_way and 1 or 0)
      must(math.abs(n - math.floor(n + 0.5)) < 1e-6, "'%s' is next due %.6f, which is not one of its times", m.name, s.due)
      must(math.floor(n + 0.5) == ended, "'%s': %d due, but %d sent + %d failed + %d skipped%s since %.6f (%d then)", m.name,
           math.floor(n + 0.5), s.sent, s.failed, s.skipped, s.under_way and " + 1 under way" or "", c.due, c.total)
      must(s.due > now or s.held, "'%s' was due %.6f, and it is %.6f", m.name, s.due, now)
      must(s.due <= math.max(now + c.step, c.due) + 1e-6, "'%s' is due %.6f, %.6f s from now", m.name, s.due, s.due - now)
    end
  end
end

---Each due time has one record, and none came before its time. What the records count is what the states count.
function holds.once(bot, script, o)
  local seen, counted = {}, {}
  for _, r in ipairs(bot:records { kind = "message" }) do
    local text, n = r.sent_data and r.sent_data.text, counted[r.name] or 0
    counted[r.name] = n + (r.skipped and r.occurrences or 1)
    if text then
      -- (A clock that was set back makes the same times come again.)
      must(o.clock or not seen[text], "%s fired twice: records %s and %s", text, seen[text] or "", r.time)
      seen[text] = r.time
      local due, at = tonumber(text:match "@([%d.]+)$"), seconds(r.time)
      must(o.clock or at >= due - 0.000001, "%s fired %.6f s before its time", text, due - at)
    end
  end
  for _, m in ipairs(script.messages) do
    local s, n = o.last and o.last[m.name], counted[m.name] or 0
    -- (A record of a skip waits for names; a kill then takes it along.)
    must(not s or n <= total(s) and n >= total(s) - 3 * (o.kills or 0),
         "'%s': %d sent + %d failed + %d skipped, and %d in the records", m.name, s and s.sent or 0, s and s.failed or 0,
         s and s.skipped or 0, n)
  end
end

---Each run of a task has one end.
function holds.tasks(bot)
  local runs = {}
  for _, r in ipairs(bot:records { kind = "task" }) do
    if r.action == "run" then
      must(not runs[r.run_id], "run %s of '%s' begins twice", r.run_id, r.task_name)
      runs[r.run_id] = r.task_name
    elseif r.run_id then
      must(runs[r.run_id] ~= nil, "run %s of '%s' ends (%s) without a beginning", r.run_id, r.task_name, r.action)
      must(runs[r.run_id], "run %s of '%s' ends twice, the second time by %s", r.run_id, r.task_name, r.action)
      runs[r.run_id] = false
    end
  end
  for id, name in pairs(runs) do must(not name, "run %s of '%s' has no end", id, name) end
end

-- --- Discord ---------------------------------------------------------------------------------

local function channel_messages(bot, script, o)
  local mode, there = {}, {}
  for _, m in ipairs(script.messages) do mode[m.name] = m.mode end
  for _, channel in ipairs(bot.lab:discord().channels) do
    local texts, alone = {}, {}
    for _, m in ipairs(channel.messages) do
      local name = m.content:match "^(.-)@"
      must(o.clock or not texts[m.content], "channel %s has '%s' twice", channel.id, m.content)
      texts[m.content] = true
      if mode[name] ~= "send" then
        must(not alone[name], "channel %s has two messages of '%s', mode %s: %s and %s", channel.id, name, mode[name],
             tostring(alone[name]), m.content)
        alone[name] = m.content
      end
    end
    -- A channel holds so many; the oldest go.
    there[channel.recipient or channel.id] = #channel.messages < 1000 and texts or nil
  end
  return mode, there
end

---No text twice; of a message in mode edit or clear-send one at most; what was told as sent is there, and what
---was told as failed is not.
function holds.discord(bot, script, o)
  local mode, there = channel_messages(bot, script, o)
  local last, sent = {}, {}
  for _, s in ipairs(bot:sent()) do
    local texts = there[s.channel]
    local key = s.name .. " " .. s.channel
    if mode[s.name] == "send" and texts then
      must(not s.ok or texts[s.text], "'%s' was told as sent, and is not in channel %s", s.text, s.channel)
      must(s.ok or o.unsure or not texts[s.text], "'%s' was told as failed (%s), and is in channel %s", s.text,
           tostring(s.reason), s.channel)
    end
    last[key] = s
    if s.ok then sent[key] = (sent[key] or 0) + 1 end
  end
  for _, s in pairs(last) do
    local texts = there[s.channel]
    -- (An edit in the moment of a kill is told as "the host was down"; what a stop cuts off, by the next start.)
    must((o.kills or 0) > 0 or o.amid or not (s.ok and texts) or texts[s.text],
         "'%s' was told as %s, and channel %s has another", s.text, s.mode, s.channel)
  end
  for _, m in ipairs(script.messages) do
    for _, c in ipairs(m.user and { m.user } or m.channels) do
      local n = sent[m.name .. " " .. c] or 0
      must(not m.remove or n <= m.remove, "'%s' went to %s %d times, remove_after is %d", m.name, c, n, m.remove or 0)
    end
  end
end

---Requests that the limits do not allow: only who has forgotten what it knew makes them, once a bucket.
function holds.limits(bot, o)
  local n, most = bot:stats().answers_429, o.told_429 + o.restarts * 12
  must(n <= most, "%d requests were answered with 429, %d were faults, %d may be after %d restarts", n, o.told_429,
       o.restarts * 12, o.restarts)
end

return holds
