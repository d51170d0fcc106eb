-- A message whose text comes from a web service.
-- SPDX-License-Identifier: MIT
--
-- crier.http waits for the answer without holding up the bot: other messages go on meanwhile. In
-- --sim it reaches only this machine, so let this machine serve examples/files:
--
--   python3 -m http.server --bind 127.0.0.1 --directory examples/files 8765   (another terminal)
--   crier run examples/http_data.lua --sim --for 20s --transcript
--
-- While it runs, change examples/files/weather.json; or stop the server: those sends are skipped,
-- and they go on when it is back.
--
-- Change next: another address, with `--sim-allow api.example.com` to let it through in --sim.

local crier = require "crier"

crier.bot { token = crier.secret.env "DISCORD_TOKEN" }

local URL = os.getenv "WEATHER_URL" or "http://127.0.0.1:8765/weather.json"

local function weather()
  -- What goes wrong outside comes back as nil and a message.
  local answer, problem = crier.http.get(URL, { timeout = "5s" })
  local now
  if answer and answer.status == 200 then
    now, problem = answer:json()
  elseif answer then
    problem = "status " .. answer.status
  end
  if not now then
    crier.log.warning("no weather", { problem = problem })
    return nil -- nothing is sent this time
  end
  return ("%s: %s, %d degrees"):format(now.place, now.sky, now.degrees)
end

crier.GUILD {
  snowflake = "863071397207212052",
  name = "Office",
  logging = true,
  messages = {
    crier.TextMESSAGE { name = "weather", channels = { "978332728615378984" }, mode = "edit",
      period = "2s", data = weather },
    crier.TextMESSAGE { name = "ticker", channels = { "978332728615378985" }, mode = "edit",
      period = "1s", data = function(ctx) return "tick " .. ctx.sent end },
  },
}
