-- What a message says, decided at each send: a function, its arguments, and when to say nothing.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/data_function.lua --sim --for 20s --transcript
--
-- Change next: let `countdown` return a table of a text and an EMBED, or raise an error: the error
-- becomes a record with its traceback, this send is skipped, and the bot goes on.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

-- A plain function is called with one argument, ctx: ctx.name, ctx.guild.name, ctx.due (when this
-- send was due, UTC seconds) and how many were ctx.sent, ctx.failed and ctx.skipped before.
local function counter(ctx)
  return ("%s has said this %d times in %s"):format(ctx.name, ctx.sent, ctx.guild.name)
end

-- crier.data_function binds further arguments. They are made once and then shared by all calls, so
-- what the function changes in them is there the next time (until the script is reloaded).
local countdown = crier.data_function(function(_, from, step)
  local now = from.n
  if now < 0 then return nil end -- nil: nothing is sent this time
  from.n = now - step
  return now == 0 and "Lift-off!" or tostring(now)
end)

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Launch pad",
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "counter", channels = { "978332728615378984" }, mode = "edit",
      period = "1s", data = counter },
    crier.TextMESSAGE { name = "countdown", channels = { "978332728615378985" }, period = "1s",
      data = countdown({ n = 5 }, 1) },
  },
}
