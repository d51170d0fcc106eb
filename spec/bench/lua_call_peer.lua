-- SPDX-License-Identifier: MIT
-- What plain Lua takes for the same work as lua_call.c: a coroutine for each call, and a wait.
local N = 1000000

local function timed(name, work)
  local began = os.clock()
  for _ = 1, N do work() end
  print(("%s\t%.3f"):format(name, (os.clock() - began) * 1e6 / N))
end

local function one() return 1 end

timed("lua_call_start", function() coroutine.wrap(one)() end)
timed("lua_call_wait_and_resume", function()
  local co = coroutine.wrap(coroutine.yield)
  co()
  co()
end)
