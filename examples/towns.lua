-- Guilds by their names, and messages that come and go while the bot runs.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/towns.lua --sim --world examples/towns.world.json --for 20s --transcript
--
-- Every guild of the bot whose name has the word "town" in it gets the watch's message; a guild that
-- the bot joins later gets it then. The auctions are not in the script: they are kept in crier.state,
-- and each is a message of its own until it is over.
--
-- Then, while it runs: `crier message list examples/towns.lua`, and
--   crier eval 'auction("cart", "An old cart")' examples/towns.lua
--
-- Change next: crier.no { crier.contains "old" } beside the other pattern leaves Old Town out.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local watch = crier.data_function(function(ctx, calls)
  local call = table.remove(calls, 1)
  calls[#calls + 1] = call
  return call .. ", and all is well in " .. ctx.guild.name
end)

local towns = crier.GUILD {
  snowflake = crier.guilds { crier.contains "town" },
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "watch", channels = crier.channels { crier.contains "square" }, period = "1s",
      data = watch { "One o'clock", "Two o'clock", "Three o'clock" } }, -- each guild has hours of its own
  },
}

local lots = crier.state("lots", { herring = "A barrel of herring" })

local function cry(name)
  crier.add(crier.TextMESSAGE { name = "lot-" .. name, channels = crier.channels { crier.contains "market" },
    period = "500ms", remove_after = 3, data = "For sale: " .. lots[name] }, towns)
end

-- What was added ends with the bot and with a reload; what is in crier.state does not.
local function cry_all()
  for name in pairs(lots) do cry(name) end
end
crier.on("start", cry_all)
crier.on("reload", cry_all)

function auction(name, what) -- luacheck: globals auction
  lots[name] = what
  cry(name)
end

crier.task { name = "reduce", start = crier.every("1s", { first = "wait" }), run = function()
  if not crier.update("lot-herring", { data = "For sale, at half the price: " .. lots.herring }) then
    return crier.inaction "it is sold"
  end
  crier.tasks.reduce:pause()
end }
