-- Tasks: work that runs when a condition is true, and a log of what became of it.
-- SPDX-License-Identifier: MIT
--
--   crier run examples/tasks.lua --for 20s          (no bot is needed: nothing is sent)
--   crier task list examples/tasks.lua              (in another terminal)
--   crier task run examples/tasks.lua fetch fail=true --wait
--
-- `fetch` runs every two seconds and fails now and then, in which case it is tried again; `report`
-- runs after each success, with what fetch returned; `watch` counts failures, and starts when there
-- are too many. All of it is in examples/tasks.jsonl; a kill -9 is told as a crash at the next start.
--
-- Change next: start = "daily after 18:00 & after task 'fetch'" for report, then
-- `crier plan examples/tasks.lua` and `crier when "daily after 18:00"`.

local crier = require "crier"

crier.sink.console { name = "screen", kinds = { "task", "log" } }
crier.sink.jsonl { name = "history", path = "tasks.jsonl", kinds = { "task", "log" } }

local n = 0

crier.task { name = "fetch", start = crier.every "2s" | crier.retry { 3, delay = "200ms" }, timeout = "10s",
  run = function(_, params)
    n = n + 1
    if params.fail or n % 4 == 0 then error "the server does not answer" end
    if n % 5 == 0 then return crier.inaction "nothing new" end
    return { visitors = 100 + n }
  end }

crier.task { name = "report", start = crier.after.success "fetch",
  run = function(ctx)
    ctx.log.info("visitors: " .. ctx.result("fetch").visitors)
  end }

crier.task { name = "watch", start = crier.failed("fetch"):within("1m"):at_least(3) & crier.every "30s",
  run = function(ctx)
    ctx.log.warning("fetch failed three times within a minute")
  end }

crier.task { name = "goodbye", on_shutdown = true,
  run = function(ctx)
    local history = crier.sinks.history
    ctx.log.info("runs of fetch so far: " .. history:filter { task_name = "fetch", action = "run" }:count())
  end }

crier.on("task.fail", function(e)
  crier.log.error("task " .. e.task_name .. ": " .. e.exc_text:match "[^\n]*")
end)
