-- SPDX-License-Identifier: MIT
-- A bot with specs of its own: spec/tested_bot_spec.lua, which run in virtual time.
--   cd examples && crier spec
--   crier simulate examples/tested_bot.lua --for 7d
--   crier run examples/tested_bot.lua --sim
-- Change next: the hour of the opening, and see which spec fails.
local crier = require "crier"

crier.config { timezone = "UTC" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local waiting = crier.data_function(function()
  local res = crier.http.get "https://status.example/queue"
  local status = res and res.status == 200 and res:json()
  return status and status.open and "Waiting: " .. status.queue or nil
end)

crier.GUILD { snowflake = "863071397207212052", name = "Office", logging = true, messages = {
  crier.TextMESSAGE { name = "opening", channels = { "978332728615378984" },
                      period = crier.weekly { "Mon", "Tue", "Wed", "Thu", "Fri", at = "09:00" },
                      data = "The office is open." },
  crier.TextMESSAGE { name = "queue", channels = { "978332728615378984" }, mode = "edit", period = "10m",
                      data = waiting {} },
} }
