-- SPDX-License-Identifier: MIT
-- A worker task: in virtual time it runs in line.
local crier = require "crier"
return function(ctx)
  local sum = 0
  for i = 1, 20000 do sum = sum + i % 7 end
  crier.sleep(math.random(1, 30))
  crier.log.info(string.format("heavy %d %d %s", sum, math.random(1000), os.date "!%H:%M:%S"))
  return { sum = sum, due = ctx.due }
end
