-- The script of examples/embed_host: a program in C runs it, and lends it a function and a sink.
local crier = require "crier"

crier.config { node = "market" }

-- A kind of sink that the program has registered.
local wall = crier.sink.wall { name = "wall", options = { width = 72 } }
local file = crier.sink.jsonl { name = "file", path = "market.jsonl" }

crier.route { match = { kind = "log" }, to = { wall, file } }
crier.route { match = crier.otherwise, to = file }

-- A function of the program: it is only there in callbacks.
local function look()
  local left, shelf = crier.app.stock("herring", { stall = 4 })
  crier.log.info("herring left", { left = left, shelf = shelf })
  local none, why, code = crier.app.stock "marzipan"
  if not none then crier.log.warning("no marzipan", { why = why, code = code }) end
end

crier.on("start", look)
crier.on("reload", look)
