-- SPDX-License-Identifier: MIT
-- Who is told when something is wrong, and that it is right again.
--
--   crier run examples/alerts.lua --sim --for 5s --transcript
local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.console()
crier.sink.memory()

-- A channel of the guild; with a mail server: { mail = "ops@example.com", from = "crier@example.com",
-- server = "smtp://mail.example.com:587", user = "crier", password = crier.secret.env "SMTP_PASSWORD" }
local ops = { channel = "978332728615378985" }

-- At once, and once in ten minutes for what is alike.
crier.alert { when = "severe", to = { ops, { dm = "145196308985020416" } } }

-- Work that was begun and is not done; what a killed bot has left behind is told at the next start.
crier.alert { name = "stuck", when = { unfinished = "2s" }, to = ops }

-- More than half of at least four sends in a quarter of an hour; also when it is better again.
crier.alert { name = "failing sends", to = ops,
              when = { failures = 0.5, least = 4, within = "15m", match = { kind = "message" } } }

-- A function gets what is told.
crier.alert { name = "too common", when = { common = 5, match = { kind = "log" } },
              to = function(a) print(a.name, a.state, a.text) end }

crier.GUILD { snowflake = "863071397207212052", logging = true, messages = {
  crier.TextMESSAGE { name = "hello", channels = { "978332728615378984" }, period = "1s", data = "hello" },
} }

crier.on("start", function()
  local move <close> = crier.event { ev_where = "stock.move", descr = "move the stock" }
  crier.event.note { descr = "the disk is full", is_severe = true }
  for i = 1, 6 do crier.log.warning("order " .. i .. " is late") end
  crier.sleep "3s"
  move:finish { descr_fin = "6 boxes" }
end)

-- Change next: `ops` to an address of yours, and `dedupe = "1m"` in the first alert.
