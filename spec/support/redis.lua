-- SPDX-License-Identifier: MIT
-- A redis-server of its own, on a Unix socket in a temporary folder.
--
--   local Redis = require "spec.support.redis"
--   local redis = Redis.new()                 -- starts it
--   redis.url                                 -- "unix:///tmp/.../s"
--   redis("LLEN", "recent:bot:info")          -- what redis-cli says, without the last newline
--   redis:stop() redis:start()                -- with what it had
--   redis:kill()                              -- kill -9: with nothing
--   redis:close()                             -- ends it, removes the folder
local proc = require "spec.support.proc"

local Redis = {}
Redis.__index = Redis

function Redis.new()
  local self = setmetatable({ dir = proc.tmpdir() }, Redis)
  self.path = self.dir .. "/s"
  self.url = "unix://" .. self.path
  return self:start()
end

function Redis:__call(...)
  return (proc.run({ "redis-cli", "-s", self.path, ... }).out:gsub("\n$", ""))
end

function Redis:start()
  self.process = proc.start { "redis-server", "--port", "0", "--unixsocket", self.path, "--dir",
    self.dir, "--save", "", "--daemonize", "no" }
  proc.wait_for(function() return self "PING" == "PONG" end, nil, "redis-server")
  return self
end

function Redis:stop()
  self("SHUTDOWN", "SAVE")
  self.process:wait()
end

function Redis:kill()
  self.process:signal "KILL"
  self.process:wait()
end

function Redis:close()
  self.process:signal "KILL"
  proc.rmdir(self.dir)
end

return Redis
