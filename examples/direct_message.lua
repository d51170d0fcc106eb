-- Direct messages to users.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/direct_message.lua --sim --for 20s --transcript
--
-- A bot can write to users who share a guild with it and let members write to them. The second user
-- of direct_message.world.json does not; see how that is recorded:
--
--   crier run examples/direct_message.lua --sim --world examples/direct_message.world.json --for 20s
--
-- Change next: `mode = "clear-send"` deletes the last message before the next one is sent, so that
-- only one of them is ever there.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

crier.USER {
  snowflake = "145196308985020416",
  logging = true,
  messages = {
    crier.DirectMESSAGE { name = "hello", period = "1d", data = "Good morning" },
    crier.DirectMESSAGE { name = "status", period = "1s", mode = "edit",
      data = function(ctx) return "Still here after " .. ctx.sent .. " edits" end },
  },
}

crier.USER {
  snowflake = "145196308985020417",
  logging = true,
  messages = {
    crier.DirectMESSAGE { name = "hello", period = "2s", data = "Good morning to you, too" },
  },
}

crier.on("message.failed", function(record)
  crier.log.warning("could not write to " .. record.guild.name,
    { reason = record.success_info.reason })
end)
