-- Looking back: what happened, asked of a store as if it were a table, and tidied up.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/queries.lua --sim --for 10s
--
-- The shop logs its sales. Every two seconds a message tells the channel about the last minute; what
-- is told is marked, and visits without a sale are thrown away. All of it is in
-- examples/shop.jsonl: have a look at it while the bot runs.
--
-- Change next: make the sink a csv, json (with kinds = "log") or memory one. The answers are the same.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }
crier.sink.console { format = "text" }
local shop = crier.sink.jsonl { name = "shop", path = "shop.jsonl", kinds = "log" }

crier.on("start", function()
  local goods = { "bread", "milk", "blue cheese" }
  for n = 1, 60 do
    if n % 4 == 0 then
      crier.log.debug("visit", { customer = n })
    else
      crier.log.info("sale", { customer = n, item = { name = goods[n % 3 + 1], price = n * 10 } })
    end
    crier.sleep "200ms"
  end
end)

local function report()
  -- Conditions on fields: equal, or an operator; names with dots reach inside. Since, regex, range,
  -- groups: lua/README.md, Matches. What a store holds can be changed; crier.null would take a
  -- field away.
  local mark = os.time()
  local new = shop:filter { text = "sale", told = crier.null, time = crier.since "1m" }
  local count, fault = new:update { told = mark }
  if not count then
    crier.log.error("the shop's file cannot be changed", { fault = fault })
  end
  if not count or count == 0 then return nil end
  local best = shop:filter { told = mark }:order_by("item.price", "desc"):first()
  local dairy = 0
  for sale in shop:filter { told = mark, ["item.name"] = crier.regex "milk|cheese$" } do
    dairy = dairy + sale.item.price
  end
  local gone = shop:filter { text = "visit" }:delete()
  return ("%d sales, the best of them %s for %d; %d in milk and cheese (%d visits forgotten)"):format(
    count, best.item.name, best.item.price, dairy, gone or 0)
end

crier.GUILD { snowflake = "863071397207212052", name = "Market", messages = {
  crier.TextMESSAGE { name = "sales", channels = { "978332728615378984" }, period = "2s", start_in = "2s",
    data = crier.data_function(report) {} },
} }
