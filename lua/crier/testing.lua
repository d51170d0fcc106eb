-- SPDX-License-Identifier: MIT
---@meta crier.testing
-- crier.testing: a bot in virtual time, for specs (`crier spec`). The clock stands until the spec moves
-- it; nothing is sent, no network is used, and the same spec gives the same run.

local core = ...

---@class crier.testing
local testing = {}

---@class crier.testing.Bot
local Bot = {}
Bot.__index = Bot

local open = {} -- bots that nobody has closed yet

local known = { at = true, zone = true, seed = true, state = true, world = true, sinks = true,
                limits = true, http = true, faults = true }

local function fail(level, ...)
  error(string.format(...), level + 1)
end

-- A list of entries, one entry, or JSON text or a preset's name, as the core's JSON.
local function list_json(v)
  if type(v) == "string" then return v end
  if v[1] == nil then v = { v } end
  return core.json(v)
end

---Start a script. Options: `at` (date-time or seconds; "2026-01-01T00:00"), `zone` (for `at` and
---set_clock; "UTC"), `seed` (1), `sinks = true` (the script's real sinks; else their records are kept in
---memory), `state` (a folder for what survives a restart; else memory), `world` (a file of the
---simulator), `limits = false` (no rate limits), `http` and `faults` (as bot:http and bot:fault).
---Raises when the script is wrong.
---@param file string
---@param options? table
---@return crier.testing.Bot
function testing.load(file, options)
  options = options or {}
  for key in pairs(options) do
    if not known[key] then fail(2, "testing.load: unknown option '%s'", tostring(key)) end
  end
  local lab, err = core.new { file = file, at = options.at or "2026-01-01T00:00", zone = options.zone,
                              seed = options.seed, state = options.state, world = options.world,
                              sinks = options.sinks == true, no_limits = options.limits == false }
  if not lab then fail(2, "testing.load: %s", err) end
  local bot = setmetatable({ lab = lab, file = file, cache = {} }, Bot)
  open[bot] = true
  if options.http then bot:http(options.http) end
  if options.faults then bot:fault(options.faults) end
  local ok, why = lab:start()
  if not ok then
    bot:close()
    fail(2, "%s does not start: %s", file, why)
  end
  bot:advance(0)
  return bot
end

---Close every bot that is open: for after_each.
function testing.close_all()
  for bot in pairs(open) do bot:close() end
end

---End at once and free. Harmless when done before.
function Bot:close()
  open[self] = nil
  self.lab:close()
end

---Let time pass: "1h30m", or seconds. False when the bot has stopped by itself.
---@param duration string|number
function Bot:advance(duration)
  return self.lab:advance(duration)
end

---Let time pass until a date-time (or seconds since the epoch), which must not be in the past.
function Bot:advance_to(time)
  local before = self.lab:now()
  local target = type(time) == "number" and time or nil
  if not target then
    -- The core reads date-times where it sets the clock: set, read, set back.
    self.lab:set_clock(time)
    target = self.lab:now()
    self.lab:set_clock(before)
  end
  if target < before then fail(2, "advance_to: %s is in the past", tostring(time)) end
  return self.lab:advance(target - before)
end

---Now, in seconds since the epoch.
---@return number
function Bot:now() return self.lab:now() end

---Set the wall clock, as an operator would; time does not pass.
function Bot:set_clock(time) self.lab:set_clock(time) end

---Faults from now on: one, a list, or a preset ("flaky", "limits", "outage", "sinks", "clock", "all").
---{ match = "POST /channels/*/messages", ["do"] = "status", status = 503, times = 2 },
---{ sink = "files", ["do"] = "fail", ["for"] = "10m" }, { clock = "-1h", at = "2h" }
function Bot:fault(fault)
  local ok, err = self.lab:faults(list_json(fault))
  if not ok then fail(2, "fault: %s", err) end
end

---No faults any more.
function Bot:clear_faults() self.lab:clear_faults() end

---Answers for crier.http, one or a list: { match = "GET https://api.example/*", json = { n = 1 } }.
---Keys: match, status, headers, json or body, error, delay, times, at, for.
function Bot:http(answers)
  local ok, err = self.lab:fixtures(list_json(answers))
  if not ok then fail(2, "http: %s", err) end
end

---The requests that crier.http has made: "GET https://...".
---@return string[]
function Bot:http_requests()
  local list = {}
  for line in self.lab:http_log():gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

---Read the script again. Returns the diff, or nil and why it was refused.
function Bot:reload()
  local code, text = self.lab:reload()
  if code ~= 0 then return nil, text end
  return text
end

---Stop the bot in order, and start it anew. `cut = true`: at once, what is under way is cut off. Needs
---`state = folder` to remember anything.
function Bot:restart(cut)
  self.lab:stop(not cut)
  local ok, why = self.lab:start()
  if not ok then fail(2, "%s does not start: %s", self.file, why) end
  self:advance(0)
end

---Stop the bot in order.
function Bot:stop() self.lab:stop(true) end

local function get(t, path)
  for name in path:gmatch "[^.]+" do
    if type(t) ~= "table" then return nil end
    t = t[name]
  end
  return t
end

-- Whether a value is what is wanted: equal, a function that says so, or a table whose members are.
local function fits(v, want)
  if type(want) == "function" then return want(v) and true or false end
  if type(want) ~= "table" then return v == want end
  if type(v) ~= "table" then return false end
  for key, w in pairs(want) do
    if not fits(type(key) == "string" and get(v, key) or v[key], w) then return false end
  end
  return true
end

local function select_(list, want)
  if want == nil then return list end
  local found = {}
  for _, item in ipairs(list) do
    if fits(item, want) then found[#found + 1] = item end
  end
  return found
end

---Records so far, oldest first: those whose members are as in `want` ({ kind = "message", ok = false,
---["guild.name"] = "Fans", text = function(s) return s:find "x" end }), or all.
---@param want? table
---@return table[]
function Bot:records(want)
  local new = self.lab:records(#self.cache + 1)
  for _, record in ipairs(new) do self.cache[#self.cache + 1] = record end
  return select_(self.cache, want)
end

---What went out, oldest first, an entry a channel: { time, name, mode, channel, channel_name, guild,
---text, embed, files, ok, reason }. What edits did is here, too; see Bot:channel for what is there now.
---@param want? table
---@return table[]
function Bot:sent(want)
  local list = {}
  for _, r in ipairs(self:records { kind = "message" }) do
    local data = r.sent_data or {}
    local function add(ok, id, name, reason)
      list[#list + 1] = { time = r.time, name = r.name, mode = r.mode, channel = id,
                          channel_name = name, guild = r.guild.name, text = data.text,
                          embed = data.embed, files = data.files, ok = ok, reason = reason, record = r }
    end
    if r.success_info then
      add(r.success_info.success, r.guild.id, r.guild.name, r.success_info.reason)
    elseif r.channels then
      for _, c in ipairs(r.channels.successful) do add(true, c.id, c.name) end
      for _, c in ipairs(r.channels.failed) do add(false, c.id, c.name, c.reason) end
    end
  end
  return select_(list, want)
end

---The messages that are in a channel (id or name) of the simulated Discord now, oldest first, as
---Discord shows them: id, content, embeds, attachments, ...
---@param channel string
---@return table[]
function Bot:channel(channel)
  local names = {}
  for _, c in ipairs(self.lab:discord().channels) do
    if c.id == channel or c.name == channel then return c.messages end
    names[#names + 1] = string.format("%s (%s)", c.name, c.id)
  end
  fail(2, "there is no channel '%s'; there are: %s", tostring(channel), table.concat(names, ", "))
end

---Counters: requests, creates, edits, deletes, answers_429, sent, failed, skipped, pending, sinks.
function Bot:stats() return self.lab:stats() end

---The text of a file, the name below the script's folder; nil when there is none.
---@param name string
---@return string?
function Bot:file_text(name)
  local folder = self.file:match "^(.*)/" or "."
  local file = io.open(name:sub(1, 1) == "/" and name or folder .. "/" .. name, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

---Any value as JSON.
testing.json = core.json

-- --- expectations ---------------------------------------------------------------------------

local function show(v, depth)
  if type(v) == "string" then return string.format("%q", v) end
  if type(v) ~= "table" then return tostring(v) end
  if (depth or 0) > 2 then return "{...}" end
  local keys, parts = {}, {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, k in ipairs(keys) do
    parts[#parts + 1] = (type(k) == "number" and "" or tostring(k) .. " = ") .. show(v[k], (depth or 0) + 1)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function show_sent(list)
  if #list == 0 then return "  nothing was sent" end
  local lines = {}
  for i = math.max(1, #list - 19), #list do
    local s = list[i]
    lines[#lines + 1] = string.format("  %s  %s  #%s  %s%s", s.time, s.name, s.channel_name,
                                      s.text and show(s.text) or s.embed and "(embed)" or "",
                                      s.ok and "" or "  FAILED: " .. tostring(s.reason))
  end
  if #list > 20 then table.insert(lines, 1, string.format("  ... and %d before", #list - 20)) end
  return table.concat(lines, "\n")
end

local function skipped(bot)
  local lines = {}
  for _, r in ipairs(bot:records { kind = "message" }) do
    if r.skipped then
      lines[#lines + 1] = string.format("  %s  %s  skipped: %s", r.time, r.name, r.skipped)
    end
  end
  for _, r in ipairs(bot:records { kind = "system" }) do
    if r.level == "error" or r.level == "critical" then
      lines[#lines + 1] = string.format("  %s  %s", r.time, r.text)
    end
  end
  return #lines > 0 and "\n" .. table.concat(lines, "\n", math.max(1, #lines - 9)) or ""
end

---Expect that something like `want` was sent, `times` times (default: once or more). Gives the list.
---@param want table
---@param times? integer
function Bot:expect_sent(want, times)
  local found = self:sent(want)
  if times and #found ~= times or not times and #found == 0 then
    fail(2, "expected %s to be sent%s, was %d time%s; sent:\n%s%s", show(want),
         times and string.format(" %d time%s", times, times == 1 and "" or "s") or "", #found,
         #found == 1 and "" or "s", show_sent(self:sent()), skipped(self))
  end
  return found
end

---Expect that nothing like `want` was sent.
---@param want? table
function Bot:expect_not_sent(want)
  local found = self:sent(want)
  if #found > 0 then
    fail(2, "expected %s not to be sent; sent:\n%s", want and show(want) or "anything", show_sent(found))
  end
end

---Expect a record like `want`, `times` times (default: once or more). Gives the list.
---@param want table
---@param times? integer
function Bot:expect_record(want, times)
  local found = self:records(want)
  if times and #found ~= times or not times and #found == 0 then
    local lines, all = {}, self:records(want.kind and { kind = want.kind } or nil)
    for i = math.max(1, #all - 19), #all do
      local r = all[i]
      lines[#lines + 1] = string.format("  %s  %-7s %-8s %s", r.time, r.kind, r.level, tostring(r.text))
    end
    fail(2, "expected a record %s%s, found %d; records%s:\n%s", show(want),
         times and string.format(" %d time%s", times, times == 1 and "" or "s") or "", #found,
         want.kind and " of this kind" or "",
         #lines > 0 and table.concat(lines, "\n") or "  none")
  end
  return found
end

---Expect that nothing went wrong: no failed send, no record of level error or critical.
function Bot:expect_no_errors()
  local lines = {}
  for _, r in ipairs(self:records()) do
    if r.level == "error" or r.level == "critical" then
      lines[#lines + 1] = string.format("  %s  %s  %s", r.time, r.kind, tostring(r.text))
    end
  end
  if #lines > 0 then fail(2, "expected no errors, got:\n%s", table.concat(lines, "\n")) end
end

return testing
