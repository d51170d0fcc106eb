-- SPDX-License-Identifier: MIT
-- A MariaDB server of its own, on a Unix socket in a temporary folder; as spec/support/postgres.lua.
-- Its user `root` is in without a password.
local proc = require "spec.support.proc"

local MariaDB = {}
MariaDB.__index = MariaDB

local function root() return proc.run({ "id", "-u" }).out == "0\n" end

function MariaDB.installed()
  return proc.run({ "sh", "-c", "command -v mariadbd mariadb-install-db" }).code == 0
    and proc.run({ "odbcinst", "-q", "-d", "-n", "MariaDB Unicode" }).code == 0
end

local function as(...)
  local argv = root() and { "setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups" } or {}
  return table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
end

function MariaDB.new()
  local self = setmetatable({ dir = proc.tmpdir() }, MariaDB)
  if root() then proc.run { "chown", "mysql", self.dir } end
  local r = proc.run(as("mariadb-install-db", "--no-defaults", "--datadir=" .. self.dir .. "/data",
    "--auth-root-authentication-method=normal", "--skip-test-db"), { cwd = self.dir })
  assert(r.code == 0, r.out .. r.err)
  self:start()
  self.dsn = ("Driver={MariaDB Unicode};Socket=%s/s;Database=bot;UID=root"):format(self.dir)
  self:client("mysql", "CREATE DATABASE bot")
  return self
end

function MariaDB:client(database, sql)
  local r = proc.run { "mariadb", "--no-defaults", "-uroot", "-S", self.dir .. "/s", "-N", "-B",
    "--default-character-set=utf8mb4", database, "-e", sql }
  if r.code ~= 0 then error(r.err, 2) end
  return (r.out:gsub("\n$", ""):gsub("\t", "|"))
end

function MariaDB:__call(sql) return self:client("bot", sql) end

function MariaDB:start()
  self.process = proc.start(as("mariadbd", "--no-defaults", "--datadir=" .. self.dir .. "/data",
    "--socket=" .. self.dir .. "/s", "--skip-networking", "--pid-file=" .. self.dir .. "/pid",
    "--innodb-flush-log-at-trx-commit=2", "--log-bin-trust-function-creators=1"), { cwd = self.dir })
  proc.wait_for(function()
    return proc.run({ "mariadb-admin", "--no-defaults", "-uroot", "-S", self.dir .. "/s", "ping" }).code == 0
  end, nil, "mariadbd")
  return self
end

function MariaDB:stop()
  self.process:signal "TERM"
  self.process:wait()
end

function MariaDB:kill()
  self.process:signal "KILL"
  self.process:wait()
end

function MariaDB:pause() self.process:signal "STOP" end
function MariaDB:continue() self.process:signal "CONT" end

function MariaDB:close()
  self.process:signal "KILL"
  self.process:wait()
  proc.rmdir(self.dir)
end

return MariaDB
