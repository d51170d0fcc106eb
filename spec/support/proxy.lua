-- SPDX-License-Identifier: MIT
-- An HTTP proxy on loopback that writes down what goes through it: a program for specs.
--
--   lua5.4 spec/support/proxy.lua PORT LOG
--
-- Passes every request on to 127.0.0.1:PORT and adds one JSON object a line to LOG when it is
-- answered: { method, path, headers, body, status, answer }, header names in lower case. Bodies
-- that are not UTF-8 come out with their bytes as Latin-1. Prints the port that it listens on.
local cjson = require "cjson"
local socket = require "socket"

local upstream, log = tonumber(arg[1]), assert(io.open(arg[2], "a"))
local server = assert(socket.bind("127.0.0.1", 0))
server:settimeout(0)

local waiting = {} -- socket -> coroutine

local function wait_for(sock)
  waiting[sock] = coroutine.running()
  coroutine.yield()
end

-- Reads until `done(buffer)` says so; nil when the other side has closed.
local function read_until(sock, buffer, done)
  while not done(buffer) do
    local got, err, part = sock:receive(65536)
    local bytes = got or part
    if bytes == "" and err == "closed" then return nil, buffer end
    if bytes == "" then wait_for(sock) else buffer = buffer .. bytes end
  end
  return buffer
end

local function send_all(sock, data)
  local from = 1
  while from <= #data do
    local last, err, part = sock:send(data, from)
    if not last and err ~= "timeout" then return nil end
    from = (last or part) + 1
    if not last then socket.sleep(0.001) end
  end
  return true
end

-- One message: head line, headers, body and the raw bytes; and what came behind them.
local function read_message(sock, buffer, is_answer)
  local rest
  buffer, rest = read_until(sock, buffer, function(b) return b:find "\r\n\r\n" end)
  if not buffer then return nil, rest end
  local head, past = buffer:match "^(.-\r\n)\r\n()"
  local m = { headers = {}, first = head:match "^[^\r]*" }
  for name, value in head:gmatch "\r\n([^:\r]+):%s*([^\r]*)" do m.headers[name:lower()] = value end
  local status = is_answer and tonumber(m.first:match " (%d%d%d)")
  local length = tonumber(m.headers["content-length"]) or 0
  if status == 204 or status == 304 then length = 0 end
  local raw
  raw, rest = read_until(sock, buffer, function(b) return #b >= past - 1 + length end)
  if not raw then return nil, rest end
  m.body, m.raw, m.status = raw:sub(past, past - 1 + length), raw:sub(1, past - 1 + length), status
  return m, raw:sub(past + length)
end

local function text(s)
  if utf8.len(s) then return s end
  return (s:gsub("[\x80-\xff]", function(c) return utf8.char(c:byte()) end))
end

-- Each request over a connection of its own, so that an idle one's end is nobody's failure.
local function exchange(request)
  local to = socket.connect("127.0.0.1", upstream)
  if not to then return nil, "" end
  to:settimeout(0)
  local answer, rest
  if send_all(to, request.raw) then answer, rest = read_message(to, "", true) end
  to:close()
  return answer, rest
end

local function serve(client)
  local request
  local rest = ""
  while true do
    request, rest = read_message(client, rest)
    if not request then break end
    local answer, half = exchange(request)
    local method, path = request.first:match "^(%S+) (%S+)"
    log:write(cjson.encode {
      method = method, path = path, headers = request.headers, body = text(request.body),
      status = answer and answer.status or 0, answer = answer and text(answer.body) or "",
    }, "\n")
    log:flush()
    if not answer then
      send_all(client, half or "") -- half an answer is passed on too
      break
    end
    if not send_all(client, answer.raw) then break end
  end
  client:close()
end

local function resume(co, ...)
  local ok, err = coroutine.resume(co, ...)
  if not ok then io.stderr:write(debug.traceback(co, err), "\n") end
end

local _, port = server:getsockname()
print(port)
io.stdout:flush()
while true do
  local socks = { server }
  for sock in pairs(waiting) do socks[#socks + 1] = sock end
  for _, sock in ipairs((socket.select(socks, nil))) do
    if sock == server then
      local client = server:accept()
      if client then
        client:settimeout(0)
        resume(coroutine.create(serve), client)
      end
    else
      local co = waiting[sock]
      waiting[sock] = nil
      resume(co)
    end
  end
end
