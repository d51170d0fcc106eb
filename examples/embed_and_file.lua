-- Embeds and files, alone and together.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/embed_and_file.lua --sim --for 20s --transcript
--
-- Change next: put "@everyone" into a text: it pings nobody unless the message says
-- `mentions = { "everyone" }`.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

-- An embed is a value: made once and sent many times, or made anew in a data function.
local card = crier.EMBED {
  title = "The week in numbers",
  description = "What happened, in short",
  url = "https://example.com/report",
  color = 0x3454A0,
  author = "the office",
  thumbnail = "attachment://logo.png", -- the file that goes with it
  fields = {
    { name = "visits", value = "1,024", inline = true },
    { name = "orders", value = "64", inline = true },
    { name = "best day", value = "Thursday" },
  },
  footer = { text = "counted by hand" },
}

-- A table as a file: the bytes themselves instead of a path.
local function report(ctx)
  local lines = { "day,visits" }
  for day = 1, 7 do lines[#lines + 1] = day .. "," .. day * ctx.sent end
  return {
    "Report number " .. ctx.sent + 1,
    crier.FILE { name = "visits.csv", data = table.concat(lines, "\n") },
  }
end

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Office",
  logging = true,
  messages = {
    -- At most one text, ten embeds and ten files. A path is read at each send; relative ones start
    -- at the script's folder.
    crier.TextMESSAGE { name = "card", channels = { "978332728615378984" }, mode = "edit",
      period = "2s", data = { "Good news:", card, crier.FILE "files/logo.png" } },
    crier.TextMESSAGE { name = "report", channels = { "978332728615378985" }, period = "2s",
      data = report },
  },
}
