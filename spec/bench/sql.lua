-- SPDX-License-Identifier: MIT
-- Runs bench/sink_sql on each engine that is here: sql.lua BUILD_FOLDER
package.path = "./?.lua;" .. package.path
local proc = require "spec.support.proc"

local function run(name, dsn, dir)
  local r = proc.run({ arg[1] .. "/bench/sink_sql", name, dsn }, { cwd = dir, timeout = 300 })
  io.stderr:write(r.err)
  io.write(r.out)
  if r.code ~= 0 then os.exit(1) end
end

local dir = proc.tmpdir()
run("sqlite", "Driver=SQLite3;Database=%s.db", dir)
proc.rmdir(dir)
for _, name in ipairs { "postgres", "mariadb" } do
  local Server = require("spec.support." .. name)
  if Server.installed() then
    local server = Server.new()
    server "CREATE DATABASE bare"
    server "CREATE DATABASE sink"
    run(name, (server.dsn:gsub("Database=bot", "Database=%%s")), "/tmp")
    server:close()
  else
    io.stderr:write(name, " is not installed\n")
  end
end
