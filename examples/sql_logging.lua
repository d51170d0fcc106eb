-- A log in a database, over ODBC: here a SQLite file, which needs no server.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/sql_logging.lua --sim --for 20s
--   sqlite3 examples/sql_logging.db "SELECT * FROM vMessageLogFullDETAIL"
--
-- The tables are made in the empty database. What was sent stands in DataHISTORY once, however often
-- it is sent; MessageLOG has a row for each time, MessageChannelLOG one for each channel.
--
-- Change next: the same on a server, with its password out of the script:
--   dsn = "Driver=PostgreSQL Unicode;Server=127.0.0.1;Database=bot", user = "bot",
--   password = crier.secret.env "DB_PASSWORD", retry = { times = 3, delay = "5m" }, fallback = files

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local files = crier.sink.json { name = "files", path = "History" }
local sql = crier.sink.sql { name = "sql", dsn = "Driver=SQLite3;Database=sql_logging.db", keep = "90d",
                             fallback = files }

crier.route { match = { kind = { "message", "log" } }, to = sql }
crier.route { match = crier.otherwise, to = crier.sink.console { name = "screen", format = "text" } }

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Town",
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "news", channels = { "978332728615378984", "978332728615378985" },
      period = "1s", data = { "The week in numbers", crier.EMBED { title = "Sent", description = "42" } } },
    -- A file that is not there: a failed send.
    crier.TextMESSAGE { name = "broken", channels = { "978332728615378984" }, period = "2s",
      start_in = "500ms", data = function() return crier.FILE "files/missing.png" end },
  },
}

-- Asked like every other sink; the statement's values are bound, never pasted into it.
crier.on("message.failed", function()
  local rate = sql:success_rate { guild = "863071397207212052", limit = 100 }
  local contents = sql:exec("SELECT COUNT(*) AS n FROM DataHISTORY WHERE content LIKE ?", { "%week%" })
  local failed = sql:filter { kind = "message", ok = false, time = crier.since "1h" }:count()
  crier.log.info("so far", { rate = rate, contents = contents and contents[1].n, failed = failed })
end)
