-- SPDX-License-Identifier: MIT
-- A day in which everything fails now and then: 24 hours of virtual time, each kind of fault at a chance
-- of 2 %, three guilds, all modes, direct messages. Each send that is due must end as exactly one
-- message on Discord, or as one failure or skip that is recorded; and nothing may be there twice.
--
--   crier spec spec/faults/day.lua                            seed 1
--   CRIER_DAY_SEED=7 CRIER_DAY_SEEDS=20 crier spec spec/faults/day.lua
-- luacheck: std +busted
local testing = require "crier.testing"

local CHANCE = 0.02
local first = tonumber(os.getenv "CRIER_DAY_SEED" or 1)
local count = tonumber(os.getenv "CRIER_DAY_SEEDS" or 1)

local script = [[
local crier = require "crier"
crier.config { timezone = "UTC" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.memory { name = "memory", max = 100 }
local says = crier.data_function(function(ctx)
  return string.format("%s@%.0f", ctx.name, ctx.due)
end) {}
crier.on("message", function() end) -- so that there is a gateway
]]

-- Every period is a duration, and begins a minute after the start: so many are due in a day.
local messages = {
  { name = "s5", guild = "1", mode = "send", period = 300, channels = { "11", "12", "13" } },
  { name = "s7", guild = "2", mode = "send", period = 420, channels = { "21", "22" } },
  { name = "s2", guild = "3", mode = "send", period = 120, channels = { "31" } },
  { name = "e10", guild = "1", mode = "edit", period = 600, channels = { "11", "14" } },
  { name = "e2", guild = "3", mode = "edit", period = 120, channels = { "32" } },
  { name = "c15", guild = "2", mode = "clear-send", period = 900, channels = { "21", "23" } },
  { name = "d20", user = "41", mode = "send", period = 1200 },
  { name = "d30", user = "42", mode = "edit", period = 1800 },
  { name = "d45", user = "43", mode = "clear-send", period = 2700 },
}

local START, DAY = 60, 86400

local function text_of(m)
  local to = m.channels and string.format('channels = { "%s" }, ', table.concat(m.channels, '", "')) or ""
  return string.format('crier.%s { name = %q, %smode = %q, period = %d, start_in = %d, data = says }',
                       m.user and "DirectMESSAGE" or "TextMESSAGE", m.name, to, m.mode, m.period, START)
end

local function full_script()
  local by, order, out = {}, {}, { script }
  for _, m in ipairs(messages) do
    local key = m.user and 'crier.USER { snowflake = "' .. m.user or 'crier.GUILD { snowflake = "' .. m.guild
    if not by[key] then by[key], order[#order + 1] = {}, key end
    table.insert(by[key], text_of(m))
  end
  for _, key in ipairs(order) do
    out[#out + 1] = key .. '", logging = true, messages = { ' .. table.concat(by[key], ", ") .. " } }"
  end
  return table.concat(out, "\n") .. "\n"
end

local CREATE, EDIT = "POST /channels/*/messages", "PATCH /channels/*/messages/*"
local kinds = {
  { ["do"] = "drop_before" }, { ["do"] = "drop_after" }, { ["do"] = "cut" }, { ["do"] = "reset" },
  { ["do"] = "refuse" }, { ["do"] = "delay", delay = "4s" }, { ["do"] = "delay", delay = "50s" },
  { ["do"] = "status", status = 500 }, { ["do"] = "status", status = 500, execute = true },
  { ["do"] = "status", status = 502 }, { ["do"] = "status", status = 503 },
  { ["do"] = "status", status = 504, execute = true }, { ["do"] = "status", status = 522, body = "<html>timeout" },
  { ["do"] = "status", status = 429, scope = "user", retry_after = 3 },
  { ["do"] = "status", status = 429, scope = "shared", retry_after = 20 },
  { ["do"] = "status", status = 429, scope = "global", retry_after = 2 },
  { ["do"] = "status", status = 200, execute = true, body = "<html>Please log in</html>" },
  { ["do"] = "status", status = 200, execute = true, body = {} },
  { match = CREATE, ["do"] = "status", status = 403, body = { code = 50013, message = "Missing Permissions" } },
  { match = CREATE, ["do"] = "status", status = 403, body = { code = 20, message = "of the future" } },
  { match = CREATE, ["do"] = "status", status = 400, body = { code = 240000, message = "harmful link" } },
  { match = EDIT, ["do"] = "status", status = 429, body = { code = 30046, message = "old", retry_after = 1 } },
  -- Of a ban by address nobody is free for at least ten minutes: a few a day.
  { ["do"] = "status", status = 429, body = "error code: 1015", chance = 0.001 },
}
local of_gateway = {
  { ["do"] = "gateway_close", code = 4000 }, { ["do"] = "gateway_close", code = 4007 },
  { ["do"] = "gateway_close", code = 4009 }, { ["do"] = "gateway_drop" }, { ["do"] = "gateway_mute" },
  { ["do"] = "gateway_reconnect" }, { ["do"] = "gateway_invalid" },
  { ["do"] = "gateway_invalid", resumable = true }, { ["do"] = "gateway_heartbeat" },
}

local folder

local function world()
  local guilds = {}
  for g = 1, 3 do
    local channels = {}
    for c = 1, 4 do channels[c] = { id = g .. c, name = "c" .. g .. c } end
    guilds[g] = { id = tostring(g), name = "g" .. g, channels = channels }
  end
  local users = {}
  for u = 41, 43 do users[#users + 1] = { id = tostring(u), name = "u" .. u } end
  -- Somebody deletes what the bots would edit or clear.
  local events = {}
  for hour = 1, 23 do
    for i, channel in ipairs { "14", "32", "23" } do
      events[#events + 1] = { after = hour * 3600 + i * 77, ["do"] = "message_delete", channel = channel }
    end
  end
  return testing.json { guilds = guilds, users = users, events = events }
end

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

local function must(ok, ...)
  if not ok then error(string.format(...), 0) end
end

-- By channel: how often each text is there, and each message's name.
local function on_discord(bot)
  local there, alone = {}, {}
  for _, channel in ipairs(bot.lab:discord().channels) do
    local key = channel.type == 1 and "user " .. channel.name:sub(2) or channel.id
    there[key], alone[key] = {}, {}
    for _, m in ipairs(channel.messages) do
      local texts, name = there[key], m.content:match "^(.-)@"
      texts[m.content] = (texts[m.content] or 0) + 1
      alone[key][name] = (alone[key][name] or 0) + 1
    end
  end
  return there, alone
end

-- How each due time of each message ended: { sent, failed, skipped }, and per channel.
local function judge(bot, total)
  local there, alone = on_discord(bot)
  local by = {}
  for _, m in ipairs(messages) do by[m.name] = { m = m, ended = 0, texts = {}, unsure = {} } end
  for _, r in ipairs(bot:records { kind = "message" }) do
    local e = by[r.name]
    e.ended = e.ended + (r.occurrences or 1)
    if r.skipped then
      total.skipped = total.skipped + (r.occurrences or 1)
    else
      local text = r.sent_data.text
      must(not e.texts[text], "%s ended twice", text)
      e.texts[text] = true
      local ends, reason = {}, {}
      if e.m.user then
        ends["user " .. e.m.user] = r.success_info.success
        reason["user " .. e.m.user] = r.success_info.reason
      else
        for _, c in ipairs(r.channels.successful) do ends[c.id] = true end
        for _, c in ipairs(r.channels.failed) do
          must(ends[c.id] == nil, "%s both succeeded and failed in %s", text, c.id)
          ends[c.id], reason[c.id] = false, c.reason
        end
      end
      for channel, ok in pairs(ends) do
        local n = (there[channel] or {})[text] or 0
        must(n <= 1, "%s is %d times in %s", text, n, channel)
        if e.m.mode == "send" then
          total[ok and "sent" or "failed"] = total[ok and "sent" or "failed"] + 1
          must(not ok or n == 1, "%s was told to be sent, and is not in %s", text, channel)
          -- Where the network is gone nobody can look any more: then the record says so.
          local said = not ok and reason[channel]:find("it may be there nevertheless", 1, true)
          total.unsure = total.unsure + (said and 1 or 0)
          total.there = total.there + (said and n or 0)
          must(ok or said or n == 0, "%s was told to have failed, and is in %s: %s", text, channel, reason[channel])
        else
          total[ok and "changed" or "failed"] = total[ok and "changed" or "failed"] + 1
          if not ok and reason[channel]:find("it may be there nevertheless", 1, true) then
            e.unsure[channel] = (e.unsure[channel] or 0) + 1
          end
        end
      end
    end
  end
  for name, e in pairs(by) do
    local due = (DAY - START - 1) // e.m.period + 1
    total.due = total.due + due
    must(e.ended == due, "%s: %d times due, %d ended", name, due, e.ended)
    for channel, n in pairs(alone) do
      must(e.m.mode == "send" or (n[name] or 0) <= 1 + (e.unsure[channel] or 0), "%s, mode %s, is %d times in %s",
           name, e.m.mode, n[name] or 0, channel)
    end
  end
end

local function day(seed)
  local bot = testing.load(folder .. "/bot.lua", { seed = seed, world = folder .. "/world.json" })
  for _, kind in ipairs(kinds) do
    local f = { chance = CHANCE, times = -1 }
    for k, v in pairs(kind) do f[k] = v end
    bot:fault(f)
  end
  for hour = 1, 24 do
    bot:advance "59m"
    bot:fault(of_gateway[hour % #of_gateway + 1])
    bot:advance "1m"
  end
  -- What is under way may end; nothing else becomes due before its time.
  bot:clear_faults()
  local total = { due = 0, sent = 0, failed = 0, skipped = 0, changed = 0, unsure = 0, there = 0 }
  judge(bot, total)
  return total, bot:stats()
end

describe("a day of faults", function()
  setup(function()
    local pipe = io.popen "mktemp -d"
    folder = pipe:read "l"
    pipe:close()
    write("bot.lua", full_script())
    write("world.json", world())
  end)
  teardown(function() os.execute("rm -rf " .. folder) end)
  after_each(testing.close_all)

  for seed = first, first + count - 1 do
    it("ends each send once, seed " .. seed, function()
      local total, stats = day(seed)
      print(string.format(
        "# seed %d: due %d, sent %d, changed %d, failed %d (unsure %d, of which %d are there), skipped %d, requests %d",
        seed, total.due, total.sent, total.changed, total.failed, total.unsure, total.there, total.skipped,
        stats.requests))
    end)
  end
end)
