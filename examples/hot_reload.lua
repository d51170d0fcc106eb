-- Change a bot while it runs: what it knows stays.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/hot_reload.lua --sim --watch --for 10m
--
-- Then, while it runs:
--   - Change the text below and save. The message goes on being edited, the counter goes on counting.
--   - Change the period: it takes effect from the last send on.
--   - Write `perod` for `period`: the reload is refused, the error shown, and the bot goes on as it was.
--   - In another terminal: `crier status examples/hot_reload.lua`, and without --watch above
--     `crier reload examples/hot_reload.lua`, which prints what was added, changed and removed.
-- Stop it (Ctrl-C) and start it again: the counter goes on.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

-- The second argument is what the table holds when nothing has been stored yet. Numbers, texts,
-- booleans and tables of them are kept.
local memory = crier.state("hot_reload", { count = 0, started = os.date "%d %b %H:%M" })

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Workshop",
  logging = true,
  messages = {
    -- The name is what state hangs on. To rename it: name = "ticker", was = "counter".
    crier.TextMESSAGE { name = "counter", channels = { "978332728615378984" }, mode = "edit",
      period = "1s",
      data = function()
        memory.count = memory.count + 1
        return ("Counted to %d since %s"):format(memory.count, memory.started)
      end },
  },
}

crier.on("reload", function(e)
  crier.log.info("reloaded, the counter is at " .. memory.count, { diff = e.diff })
end)
crier.on("reload.failed", function(e) crier.log.warning("still the old script", { error = e.error }) end)
