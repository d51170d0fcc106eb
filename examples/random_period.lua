-- A period that is drawn anew each time, and messages that end by themselves.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/random_period.lua --sim --for 20s --transcript
--   crier plan examples/random_period.lua --next 12        (what will be sent, without sending)
--
-- Change next: a real reminder would say `period = { "45m", "75m" }, remove_after = "30d"`. An end
-- can be a date, too: `remove_after = "2026-12-31"`, and so can a start: `start_in =
-- "2026-12-24T18:00"`.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Office",
  logging = true,
  messages = {
    -- Between one and three seconds after the last time it was due, both ends possible.
    crier.TextMESSAGE { name = "reminder", channels = { "978332728615378984" },
      period = { "1s", "3s" }, data = "Stretch your legs." },
    -- Three times in each channel, then no more: not after a reload or a restart either.
    crier.TextMESSAGE { name = "welcome", channels = { "978332728615378985", "978332728615378986" },
      period = "1s", remove_after = 3, data = "Welcome!" },
    -- For four seconds from its first start.
    crier.TextMESSAGE { name = "opening", channels = { "978332728615378986" },
      period = { "1500ms", "2500ms" }, remove_after = "4s", data = "We are open." },
  },
}
