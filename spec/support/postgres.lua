-- SPDX-License-Identifier: MIT
-- A PostgreSQL server of its own, on a Unix socket in a temporary folder.
--
--   local Postgres = require "spec.support.postgres"
--   if not Postgres.installed() then ... end
--   local server = Postgres.new()             -- starts it; its user `crier` is in without a password
--   server.dsn                                -- of an empty database `bot`
--   server("SELECT 1")                        -- what psql says, columns by '|', without the last newline
--   server:stop() server:start() server:kill() server:pause() server:continue()
--   server:close()                            -- ends it, removes the folder
local proc = require "spec.support.proc"

local Postgres = {}
Postgres.__index = Postgres

local function root() return proc.run({ "id", "-u" }).out == "0\n" end

local function bin()
  local pipe = io.popen "ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1"
  local path = pipe:read "l"
  pipe:close()
  return path and path:match "^(.*)/initdb$"
end

function Postgres.installed()
  return bin() and proc.run({ "odbcinst", "-q", "-d", "-n", "PostgreSQL Unicode" }).code == 0 or false
end

-- It refuses to run as root.
local function as(...)
  local argv = root() and { "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups" } or {}
  return table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
end

function Postgres.new()
  local self = setmetatable({ dir = proc.tmpdir(), bin = bin() }, Postgres)
  if root() then proc.run { "chown", "postgres", self.dir } end
  local r = proc.run(as(self.bin .. "/initdb", "-D", self.dir .. "/data", "-A", "trust", "-U", "crier",
    "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"), { cwd = self.dir })
  assert(r.code == 0, r.out .. r.err)
  self:start()
  self.dsn = ("Driver={PostgreSQL Unicode};Server=%s;Port=5432;Database=bot;UID=crier"):format(self.dir)
  self:psql("postgres", "CREATE DATABASE bot")
  return self
end

function Postgres:psql(database, sql)
  local r = proc.run({ self.bin .. "/psql", "-h", self.dir, "-U", "crier", "-d", database, "-tAq", "-v",
    "ON_ERROR_STOP=1", "-c", sql })
  if r.code ~= 0 then error(r.err, 2) end
  return (r.out:gsub("\n$", ""))
end

function Postgres:__call(sql) return self:psql("bot", sql) end

function Postgres:start()
  self.process = proc.start(as(self.bin .. "/postgres", "-D", self.dir .. "/data", "-k", self.dir, "-c",
    "listen_addresses=", "-c", "fsync=off"), { cwd = self.dir })
  proc.wait_for(function()
    return proc.run({ self.bin .. "/pg_isready", "-q", "-h", self.dir }).code == 0
  end, nil, "postgres")
  return self
end

function Postgres:stop()
  self.process:signal "INT"
  self.process:wait()
end

function Postgres:kill()
  self.process:signal "KILL"
  self.process:wait()
end

-- The server's processes of each connection, too.
local function all(self, signal)
  for line in proc.run({ "pgrep", "-P", tostring(self.process.pid) }).out:gmatch "%d+" do
    os.execute(("kill -s %s %s 2>/dev/null"):format(signal, line))
  end
  self.process:signal(signal)
end

function Postgres:pause() all(self, "STOP") end
function Postgres:continue() all(self, "CONT") end

function Postgres:close()
  all(self, "CONT")
  self.process:signal "QUIT"
  self.process:wait()
  proc.rmdir(self.dir)
end

return Postgres
