-- A town crier: two channels, a message that is edited, an embed, a direct message, a log line and
-- a hook. Everything happens within seconds.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/quickstart.lua --sim --world examples/quickstart.world.json \
--         --for 12s --transcript
--
-- Change next: while it runs with --watch, edit a text below and save: the bot goes on with the new
-- one, and with the message that it edits. Try a typing error, too.

local crier = require "crier"

crier.bot { name = "Town Crier", token = crier.secret.env "DISCORD_TOKEN" }

crier.sink.console { format = "text" }
crier.sink.json { path = "History" }

local SQUARE, MARKET = "1042000000000000101", "1042000000000000102"

-- A table that survives reloads and restarts.
local count = crier.state("count", { sent = 0 })

-- The clock on the tower: one message that is edited.
local tower = crier.data_function(function(ctx, hands)
  local hand = hands[ctx.sent % #hands + 1]
  return hand .. " " .. os.date "%H:%M:%S" .. " and all is well"
end)

-- The news, one after the other, each as an embed.
local news = crier.data_function(function(_, items)
  local item = table.remove(items, 1)
  items[#items + 1] = item
  return {
    "Hear ye, hear ye!",
    crier.EMBED { title = item[1], description = item[2], color = 0xC8963C,
                  footer = "proclaimed at the well" },
  }
end)

crier.GUILD {
  snowflake = "1042000000000000001",
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "tower", channels = { SQUARE }, mode = "edit", period = "1500ms",
      data = tower { "🕛", "🕒", "🕕", "🕘" } },
    crier.TextMESSAGE { name = "news", channels = { SQUARE, MARKET }, period = "5s", start_in = "1s",
      data = news {
        { "The bridge is open", "Carts pay a penny, geese go free." },
        { "A bear was seen", "It took a pie and paid with a bow." },
        { "Rain by noon", "The duke's wedding moves into the barn." },
      } },
    crier.TextMESSAGE { name = "fishmonger", channels = { MARKET }, period = { "3s", "5s" },
      start_in = "2s", data = "Fresh herring! Three for the price of two!" },
  },
}

crier.USER {
  snowflake = "1042000000000000201",
  logging = true,
  messages = {
    crier.DirectMESSAGE { name = "mayor", period = "8s", start_in = "3s", mode = "edit",
      data = function() return "Your words have been cried " .. count.sent .. " times, your honour." end },
  },
}

-- A hook: called after each send that went well.
crier.on("message.sent", function(record)
  count.sent = count.sent + 1
  if count.sent % 10 == 0 then
    crier.log.info("the crier's voice holds", { sent = count.sent, last = record.name })
  end
end)
