-- A sink in C: wall.c beside this file, built by `make`.
--
--   make -C examples/native_sink && crier run --sim --for 1s examples/native_sink/bot.lua
--   cat examples/native_sink/wall.txt

local crier = require "crier"

crier.sink.console {}
crier.sink.native { name = "wall", path = "./wall.so", kinds = "log",
                    options = { file = "wall.txt", width = 40 } }

crier.on("start", function()
  crier.log.info "the wall has this line, and this is where it is cut"
  crier.log.warning "and this one"
end)
