-- SPDX-License-Identifier: MIT
-- Processes, temporary folders and waiting, for specs. Plain sh underneath: there is no luaposix
-- for Lua 5.4 in Debian.
--
--   local proc = require "spec.support.proc"
--   local r = proc.run({ proc.crier, "check", "bot.lua" }, { env = { NO_COLOR = "1" } })
--   r.code, r.out, r.err
--   local p = proc.start { proc.crier, "discord-sim", "--port", "0" }
--   local port = p:wait_line("127%.0%.0%.1:(%d+)")
--   p:stop()                                   -- SIGTERM, waits, returns the exit code
--
-- Waiting is polling for a condition with a deadline, never sleeping for luck.
local socket = require "socket"

local proc = {}

--- The binary under test.
proc.crier = os.getenv "CRIER_BIN" or "build/crier"

--- A word for sh.
function proc.quote(s)
  return "'" .. tostring(s):gsub("'", "'\\''") .. "'"
end

function proc.read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return text
end

function proc.write(path, text)
  local f = assert(io.open(path, "wb"))
  assert(f:write(text))
  assert(f:close())
  return path
end

function proc.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

--- Polls fn until it returns something true, and returns that; an error after `timeout` seconds
--- (default 60: a machine may be slow, and who waits for something that comes waits no longer than
--- it takes) that says `what` was waited for (a text, or a function that gives one).
function proc.wait_for(fn, timeout, what)
  local deadline = socket.gettime() + (timeout or 60)
  while true do
    local got = table.pack(fn())
    if got[1] then return table.unpack(got, 1, got.n) end
    if socket.gettime() > deadline then
      if type(what) == "function" then what = what() end
      error("timed out waiting for " .. (what or "a condition"), 2)
    end
    socket.sleep(0.01)
  end
end

--- A new folder under /tmp (or $TMPDIR). Remove it with proc.rmdir.
function proc.tmpdir()
  local pipe = io.popen "mktemp -d"
  local dir = pipe:read "l"
  pipe:close()
  return assert(dir, "mktemp failed")
end

function proc.rmdir(dir)
  assert(#dir > 5 and dir:sub(1, 1) == "/", "refusing to remove " .. dir)
  os.execute("rm -rf " .. proc.quote(dir))
end

-- "cd X && exec env -u A B=c prog arg ..." from a list and {cwd=, env={NAME="v"|false}}
local function command(argv, opt)
  local words = {}
  for i, v in ipairs(argv) do words[i] = proc.quote(v) end
  local env = {}
  for k, v in pairs(opt.env or {}) do
    if v == false then
      table.insert(env, 1, "-u " .. k)
    else
      env[#env + 1] = k .. "=" .. proc.quote(v)
    end
  end
  local exec = "exec env " .. table.concat(env, " ") .. " " .. table.concat(words, " ")
  return opt.cwd and ("cd " .. proc.quote(opt.cwd) .. " && " .. exec) or exec
end

--- Runs argv (a list) to its end. opt: cwd, env, stdin (text), timeout (seconds, default 120; it
--- is killed then, code 137). Returns { code, out, err }; code is 128 + n for a signal.
function proc.run(argv, opt)
  opt = opt or {}
  local dir = proc.tmpdir()
  if opt.stdin then proc.write(dir .. "/in", opt.stdin) end
  local timed = { "timeout", "-s", "KILL", tostring(opt.timeout or 120) }
  table.move(argv, 1, #argv, #timed + 1, timed)
  local _, how, code = os.execute(string.format("( %s ) <%s >%s 2>%s", command(timed, opt),
    opt.stdin and proc.quote(dir .. "/in") or "/dev/null", proc.quote(dir .. "/out"),
    proc.quote(dir .. "/err")))
  local result = {
    code = how == "signal" and 128 + code or code,
    out = proc.read(dir .. "/out") or "",
    err = proc.read(dir .. "/err") or "",
  }
  proc.rmdir(dir)
  return result
end

local Process = {}
Process.__index = Process

--- Starts argv in the background. opt: cwd, env. Returns an object with `pid` and the methods
--- below; its standard output and error go to files that are kept until p:stop().
function proc.start(argv, opt)
  local dir = proc.tmpdir()
  local q = proc.quote(dir)
  os.execute(string.format(
    "( ( %s ) </dev/null >%s/out 2>%s/err & echo $! >%s/pid.tmp; mv %s/pid.tmp %s/pid; " ..
    "wait $!; echo $? >%s/rc.tmp; mv %s/rc.tmp %s/rc ) >/dev/null 2>&1 &",
    command(argv, opt or {}), q, q, q, q, q, q, q, q))
  local self = setmetatable({ dir = dir, name = argv[1] }, Process)
  self.pid = proc.wait_for(function()
    return tonumber((proc.read(dir .. "/pid")))
  end, nil, "the start of " .. argv[1])
  return self
end

--- What it has written so far.
function Process:out() return proc.read(self.dir .. "/out") or "" end
function Process:err() return proc.read(self.dir .. "/err") or "" end

--- The exit code (128 + n for a signal), or nil while it runs.
function Process:code() return self.rc or tonumber((proc.read(self.dir .. "/rc") or "")) end

--- Sends a signal ("TERM", "HUP", "KILL", ...); nothing when it has ended.
function Process:signal(name)
  if not self:code() then os.execute(("kill -s %s %d 2>/dev/null"):format(name, self.pid)) end
end

--- Waits for its end and returns the exit code.
function Process:wait(timeout)
  return proc.wait_for(function() return self:code() end, timeout, function()
    return ("the end of %s (pid %d); stderr: %s"):format(self.name, self.pid, self:err())
  end)
end

--- Waits until its output (or, with where = "err", its error output) matches a Lua pattern, and
--- returns the captures. Fails at once when it ends without.
function Process:wait_line(pattern, timeout, where)
  return proc.wait_for(function()
    local ended = self:code()
    local text = where == "err" and self:err() or self:out()
    local got = table.pack(text:match(pattern))
    if got[1] then return table.unpack(got, 1, got.n) end
    if ended then
      error(("%s ended with code %d before '%s'; stdout: %s stderr: %s"):format(self.name, ended,
        pattern, self:out(), self:err()), 0)
    end
  end, timeout, function()
    return ("'%s' from %s; stdout: %s stderr: %s"):format(pattern, self.name, self:out(),
      self:err())
  end)
end

--- Ends it (SIGTERM; SIGKILL after `timeout` seconds, default 60), removes its files and returns
--- its exit code. May be called again.
function Process:stop(timeout)
  if self.rc then return self.rc end
  self:signal "TERM"
  local ended, code = pcall(self.wait, self, timeout)
  if not ended then
    self:signal "KILL"
    code = self:wait()
  end
  self.rc = code
  proc.rmdir(self.dir)
  return code
end

return proc
