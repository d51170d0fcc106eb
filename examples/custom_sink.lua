-- Sinks of one's own in Lua: one with functions in this file, one with a module.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/custom_sink.lua --sim --for 2s
--
-- `digest` counts records by level and writes the counts into a file, at most once a second. `hook`
-- posts batches of warnings to WEBHOOK_URL by sinks/webhook.lua, in a thread of its own; while the
-- other side does not answer, they are copied to the file that is its fallback, and are sent when it
-- answers again. In --sim only this machine is reached.
--
-- Change next: return nil and a message from write: the batch comes again, with the same batch_id.

local crier = require "crier"

local file = "custom_sink.counts"

crier.sink.console { name = "screen", format = "text" }
local missed = crier.sink.jsonl { name = "missed", path = "History/missed.jsonl" }

local digest = crier.sink.custom { name = "digest", flush = "1s",
  open = function(self) self.counts = {} end,
  write = function(self, records)
    for _, r in ipairs(records) do self.counts[r.level] = (self.counts[r.level] or 0) + 1 end
    local f, err = io.open(file, "w")
    if not f then return nil, err end
    for level, n in pairs(self.counts) do f:write(level, " ", n, "\n") end
    f:close()
    return true
  end }

local hook = crier.sink.custom { name = "hook", level = "warning", batch = 100, flush = "200ms",
  module = "sinks.webhook", options = { url = os.getenv "WEBHOOK_URL" or "http://127.0.0.1:9/" },
  retry = { times = 2, delay = "200ms" }, fallback = missed }

crier.route { to = { crier.sinks.screen, digest, hook } }

crier.on("start", function()
  for i = 1, 5 do
    crier.log.info("all is well", { i = i })
    crier.log.warning("the tide is high", { metres = i })
  end
end)
