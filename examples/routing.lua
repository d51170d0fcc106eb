-- Which record goes where: several sinks and the rules between them.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/routing.lua --sim --for 20s
--
-- Rules are tried in order and each that matches sends the record on. The console shows warnings and
-- what no other rule took; messages go to examples/History/messages, all else to
-- examples/History/rest; the memory sink keeps what failed, and the hook at the end reads it.
--
-- Change next: leave out all rules: then every record goes to every sink that takes its kind. A
-- json sink takes messages unless it says `kinds = {...}`.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local screen = crier.sink.console { name = "screen", format = "text" }
local history = crier.sink.json { name = "history", path = "History/messages" }
local rest = crier.sink.json { name = "rest", path = "History/rest",
                               kinds = { "log", "system" } }
local failures = crier.sink.memory { name = "failures", max = 1000 }

-- A table: all conditions must hold; a list of values is "one of". Names with dots reach inside.
crier.route { match = { kind = "message", ["guild.type"] = "GUILD" }, to = history }
crier.route { match = { level = crier.ge "warning" }, to = screen }
-- A function, for what a table cannot say. `copy` does not count as a match for `otherwise`.
crier.route {
  match = function(r) return r.kind == "message" and r.sent_data and r.success_rate < 1 end,
  to = failures, copy = true,
}
crier.route { match = crier.otherwise, to = { screen, rest } }

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Office",
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "fine", channels = { "978332728615378984" }, period = "1s",
      data = "All is well." },
    -- Longer than Discord allows, which is known only when the function has returned.
    crier.TextMESSAGE { name = "too long", channels = { "978332728615378985" }, period = "2s",
      start_in = "500ms", data = function() return ("long "):rep(500) end },
    -- A file that is not there: a failed send.
    crier.TextMESSAGE { name = "no file", channels = { "978332728615378985" }, period = "2s",
      start_in = "500ms", data = function() return crier.FILE "files/missing.png" end },
  },
}

crier.on("start", function()
  crier.log.info("this line goes where no rule but `otherwise` takes it", { example = "routing" })
end)

-- Sinks that can be read are asked as if it were a local table; the bot goes on meanwhile.
crier.on("message.failed", function()
  local seen = failures:filter { ok = false }:count()
  local last = failures:filter { ok = false }:order_by("time", "desc"):first()
  crier.log.warning(("%d failed so far"):format(seen), { last = last and last.name })
end)
