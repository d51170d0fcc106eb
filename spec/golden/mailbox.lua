-- SPDX-License-Identifier: MIT
-- A sink's module: in virtual time it runs in line.
local crier = require "crier"
local batches = 0
return {
  write = function(_, records)
    batches = batches + 1
    crier.sleep(math.random(0, 3))
    if math.random() < 0.2 then return nil, "not now" end
    crier.log.info(string.format("batch %d: %d records, the first %s", batches, #records, records[1].kind))
    return true
  end,
}
