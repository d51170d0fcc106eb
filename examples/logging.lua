-- What a bot says of itself: loggers with fields, transforms, and rules that hold the noise down.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/logging.lua --sim --for 5s
--
-- A shop that is called all the time: the console shows a sample of what goes well, and a fault
-- once, with how often it came; examples/History/shop.jsonl has all of it, without the customers'
-- addresses.
--
-- Change next: crier.log.set_level("shop.search", "info") in the loop, and the searches are seen.

local crier = require "crier"

crier.config { log_levels = { ["*"] = "info", ["shop.search"] = "warning" } }

local screen = crier.sink.console { name = "screen", format = "text" }
local file = crier.sink.jsonl { name = "shop", path = "History/shop.jsonl" }

-- Called with each record before the rules, in this order.
crier.transform(function(r)
  if r.address then r = r:without("address") end -- what nobody should read is never written
  return r:with { text = r.text:gsub("[%w.]+@[%w.]+", "<mail>"), service = "shop" }
end)
crier.transform(function(r)
  if r.logger == "shop.health" then return false end -- dropped
  if r.items then -- one record an item
    local list = {}
    for i, item in ipairs(r.items) do list[i] = r:without("items"):with { item = item } end
    return list
  end
end)

crier.route { match = { kind = { "log", "system" } }, to = file }
crier.route { match = { level = crier.ge "error" }, to = screen, now = true, dedupe = "1s" }
crier.route { match = { logger = crier.like "shop%", level = "info" }, to = screen,
              sample = 0.1, rate = "20/1s" }

local shop = crier.log.child("shop", { region = "eu" })
local orders = shop.child "orders"
local search, health = shop.child "search", shop.child "health"

crier.on("start", function()
  for i = 1, 40 do
    orders.info("order " .. i .. " of grace@example.com",
      { address = "1 Harbour Street", items = { "herring", "bread" } })
    search.info("never made: its level is warning")
    health.info("dropped by the second transform")
    if i % 4 == 0 then shop.error(("payment of order %d was refused"):format(i), { order = i }) end
    crier.sleep "50ms"
  end
end)
