-- SPDX-License-Identifier: MIT
-- The specs of tested_bot.lua.     cd examples && crier spec
local testing = require "crier.testing"

local folder = debug.getinfo(1, "S").source:match "^@(.*)/" or "."
local office = "978332728615378984"

describe("tested_bot.lua", function()
  local bot
  after_each(testing.close_all)

  local function start(at)
    bot = testing.load(folder .. "/../tested_bot.lua", { at = at, http = {
      { match = "GET https://status.example/*", json = { open = true, queue = 3 } },
    } })
  end

  it("says when the office opens, on working days alone", function()
    start "2026-01-02T00:00" -- a Friday
    bot:advance "3d"
    bot:expect_sent({ name = "opening", text = "The office is open." }, 1)
    bot:advance "1d" -- Monday
    bot:expect_sent({ name = "opening" }, 2)
    bot:expect_no_errors()
  end)

  it("shows one message that is edited", function()
    start "2026-01-02T09:30"
    bot:advance "31m"
    local shown = {}
    for _, m in ipairs(bot:channel(office)) do shown[#shown + 1] = m.content end
    assert.same({ "Waiting: 3" }, shown)
    bot:expect_sent({ name = "queue" }, 4)
  end)

  it("sends nothing while the status page is down", function()
    bot = testing.load(folder .. "/../tested_bot.lua", { at = "2026-01-02T09:30", http = {
      { match = "GET https://status.example/*", error = "connection refused" },
    } })
    bot:advance "31m"
    bot:expect_not_sent { name = "queue" }
    bot:expect_record({ kind = "message", name = "queue", skipped = "the data function returned nil" }, 4)
  end)

  it("gets the opening out in spite of Discord's bad moments", function()
    start "2026-01-02T08:59"
    bot:fault { match = "POST /channels/*/messages", ["do"] = "drop_after", times = 1 }
    bot:advance "5m"
    local shown = bot:channel(office)
    local openings = 0
    for _, m in ipairs(shown) do
      if m.content == "The office is open." then openings = openings + 1 end
    end
    assert.equal(1, openings) -- the answer was lost, and still it is not there twice
  end)
end)
