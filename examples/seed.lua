-- One message that is edited every five seconds: eight links in turn, and a history of it as JSON.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/seed.lua --sim --world examples/seed.world.json --for 20s --transcript
--
-- The history is then in examples/History/YEAR/MONTH/DAY/#David's dungeon.json, newest first (a
-- backslash cannot be in a file name everywhere, so it became a #).
--
-- Change next: `mode = "send"` makes a new message each time, `mode = "clear-send"` deletes the old
-- one first. With a bot's token in DISCORD_TOKEN, and ids of your own, leave out --sim and --world.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local rolls = {
  "https://i.pinimg.com/originals/b7/fb/80/b7fb80122cf46d0e584f3a0768aef282.gif",
  "https://bit.ly/3sHrjQZ",
  "https://static.wikia.nocookie.net/a1dea591-8a10-4c02-a573-5321c601c129",
  "https://www.gifcen.com/wp-content/uploads/2022/03/rickroll-gif-4.gif",
  "https://bit.ly/3u5D8Dt",
  "http://static1.squarespace.com/static/60503ac20951e15087fbe7b8/60504609ee9c445722c9dd4e/"
    .. "60e3f9b541eb1b01e8e46854/1627103366283/RalphRoll.gif?format=1500w",
  "https://i.imgflip.com/56bhvt.gif",
  "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
}

-- Called before each send: takes the first link and puts it back at the end.
local get = crier.data_function(function(_, links)
  local item = table.remove(links, 1)
  links[#links + 1] = item
  return item
end)

crier.GUILD {
  snowflake = "863071397207212052",
  logging = true,
  messages = {
    crier.TextMESSAGE {
      name = "rolls",
      channels = { "978332728615378984" },
      mode = "edit",
      period = "5s",
      start_in = "5s",
      data = get(rolls),
    },
  },
}
