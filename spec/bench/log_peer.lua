-- SPDX-License-Identifier: MIT
-- The lines of log_lua.py, written by LuaLogging's file appender.
-- Debian has it for 5.1 and 5.2; it is plain Lua.
package.path = package.path .. ";/usr/share/lua/5.2/?.lua"
local logger = require "logging.file"(os.getenv "OUT", nil, "%message\n")
local format = string.format
for i = 1, tonumber(os.getenv "N") do
  logger:info(format(
    '{"id":"01M80FPGS8X5Y8QR4RACRNR0KY","seq":%d,"time":"2026-11-22T01:59:56.456417Z","node":"vm","kind":"log",'
      .. '"level":"info","logger":"bot","text":"%s","where":"plain.lua:9",'
      .. '"paid":%s,"user":"%s","item":"%s","price":%.2f,"count":%d}',
    i, "order accepted by the warehouse, to be packed", true, "145196308985020416", "herring", 12.75, i))
end
