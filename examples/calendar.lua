-- Messages by the calendar, in time zones.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/calendar.lua --sim --for 4s --transcript
--   crier plan examples/calendar.lua --next 12             (what will be sent, without sending)
--   crier when --tz Europe/Ljubljana "monthly last Fri 18:00"
--
-- Change next: `catch_up = "all", grace = "1d"` sends what fell due while the bot was down, up to
-- a day ago; "none" nothing of it. Without it the last one is sent, if it is no more than ten
-- minutes old.

local crier = require "crier"

crier.config { timezone = "Europe/Ljubljana" }
crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local SQUARE, NEWS = "978332728615378984", "978332728615378985"

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Office",
  logging = true,
  messages = {
    -- When each second begins, by the clock on the wall: a period of "1s" would count from its start.
    crier.TextMESSAGE { name = "clock", channels = { SQUARE }, period = crier.secondly,
      data = function(ctx) return os.date("!%H:%M:%S", ctx.due // 1) end },
    crier.TextMESSAGE { name = "digest", channels = { NEWS }, data = "The week in numbers",
      period = crier.weekly { "Mon", "Fri", at = "09:00" } },
    -- The text form means the same.
    crier.TextMESSAGE { name = "closing", channels = { NEWS }, data = "The books are closed.",
      period = "monthly on last Fri at 18:00" },
    crier.TextMESSAGE { name = "overseas", channels = { NEWS }, data = "Good morning, New York",
      period = "cron 0 9 * * MON-FRI", tz = "America/New_York" },
    -- Several together.
    crier.TextMESSAGE { name = "holidays", channels = { SQUARE }, data = "We are closed today.",
      period = crier.yearly:on("1 Jan", "25 Dec"):at "07:00" | crier.yearly:on "2nd Mon of Feb" },
  },
}
