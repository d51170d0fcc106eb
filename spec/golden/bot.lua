-- SPDX-License-Identifier: MIT
-- Whose simulation must be the same, byte for byte, in every build: spec/golden_spec.lua.
local crier = require "crier"
crier.config { timezone = "Europe/Ljubljana", node = "golden" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.memory { name = "memory" }
crier.sink.custom { name = "mailbox", batch = 7, flush = "2s", module = "mailbox" }

local keyed = { b = 1, a = 2, [3] = 3, [print] = 4, [{}] = 5 }
local words = crier.data_function(function(ctx, list)
  local keys = {}
  for k in pairs(keyed) do keys[#keys + 1] = type(k):find "^[tf]" and type(k) or k end
  if math.random() < 0.1 then return nil end
  return string.format("%s %s %d %s", list[ctx.sent % #list + 1], os.date "%H:%M:%S", math.random(1000),
                       table.concat(keys, " "))
end)

crier.GUILD { snowflake = "863071397207212052", name = "Fans", logging = true, messages = {
  crier.TextMESSAGE { name = "gallery", channels = { "978332728615378001" }, mode = "edit", period = "11m", start_in = "5s",
                      data = words { "one", "two" } },
  crier.TextMESSAGE { name = "news", channels = { "978332728615378002" }, mode = "clear-send",
                      period = crier.hourly { at = "15:00" }, data = words { "news" } },
  crier.TextMESSAGE { name = "reminder", channels = { "978332728615378003" }, period = { "7m", "19m" },
                      data = words { "stretch" } },
} }
crier.task { name = "heavy", start = crier.every "23m", module = "heavy" }
crier.task { name = "light", start = crier.every "31m", run = function()
  crier.sleep(math.random(1, 9))
  if math.random() < 0.3 then return crier.inaction "nothing new" end
  crier.log.info("light " .. math.random(1000))
end }
