-- SPDX-License-Identifier: MIT
-- A Discord of its own: a simulator that outlives the bot's restarts, and a bot's script beside it.
--
--   local World = require "spec.support.world"
--   local w = World.new { script = [[ ... ]], channels = 3, limits = true, proxy = true }
--   w:start { "--watch" }                   -- crier run bot.lua --sim-url ...
--   w:fault { match = "POST /channels/*/messages", ["do"] = "reset" }
--   w:wait_messages(1, 3)                   -- of the first channel
--   w:status().messages[1].sent
--   w:requests()                            -- with proxy = true: all that the bot asked for
--   w:close()
--
-- Guild 100 "guild" has the channels 201, 202 ... ("c1", "c2"), users are 301 "ann", 302 "bob".
local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

local World = setmetatable({}, { __index = Bot })
World.__index = World

World.guild = "100"

--- The id of the n-th channel.
function World.channel(n) return tostring(200 + n) end

--- A script: what every bot begins with, one TextMESSAGE with `options` (Lua text), and `more`.
function World.script(options, more)
  return ([[
local crier = require "crier"
crier.bot { token = crier.secret.env "SPEC_TOKEN" }
%s
crier.GUILD { snowflake = "100", logging = true, messages = {
  crier.TextMESSAGE { %s },
} }
]]):format(more or "", options)
end

local function free_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return port
end

function World.new(opt)
  local self = setmetatable(Bot.new(opt.script, opt.files), World)
  local channels, world = {}, opt.world
  for i = 1, opt.channels or 3 do
    channels[i] = { id = World.channel(i), name = "c" .. i, type = 0 }
  end
  world = world or {
    guilds = { { id = World.guild, name = "guild", channels = channels } },
    users = { { id = "301", name = "ann" }, { id = "302", name = "bob" } },
    bots = { { token = "good.bot.token", name = "crier" },
      { token = "other.bot.token", name = "second" } },
  }
  self:write("world.json", cjson.encode(world))
  self.port = free_port()
  self.limits = opt.limits
  self.used_port = self.port
  if not opt.down then self:sim_start() end
  if opt.proxy then
    self.log = self:path "requests.jsonl"
    proc.write(self.log, "")
    self.proxy = proc.start { "lua5.4", "spec/support/proxy.lua", tostring(self.port), self.log }
    self.used_port = tonumber(self.proxy:wait_line "(%d+)\n")
  end
  return self
end

--- Starts the simulator, always on the same port. A new one has forgotten everything.
function World:sim_start()
  local argv = { proc.crier, "discord-sim", "--port", tostring(self.port), "--world",
    self:path "world.json" }
  if not self.limits then argv[#argv + 1] = "--no-limits" end
  self.sim = proc.start(argv)
  self.sim:wait_line "(127%.0%.0%.1)"
end

function World:sim_stop()
  if self.sim then self.sim:stop() end
  self.sim = nil
end

local function call(self, method, path, body)
  local out = {}
  local ok, status = http.request {
    url = ("http://127.0.0.1:%d%s"):format(self.port, path),
    method = method,
    source = body and ltn12.source.string(body),
    headers = body and { ["content-length"] = #body, ["content-type"] = "application/json" },
    sink = ltn12.sink.table(out),
  }
  local text = table.concat(out)
  assert(ok and status // 100 == 2, ("%s %s: %s %s"):format(method, path, status, text))
  return text
end

function World:fault(fault) return call(self, "POST", "/sim/faults", cjson.encode(fault)) end
--- Something happens in the simulated world (runtime/sim/sim.h, crier_sim_event).
function World:happen(event) return call(self, "POST", "/sim/events", cjson.encode(event)) end
function World:clear_faults() return call(self, "DELETE", "/sim/faults") end
function World:get(path) return call(self, "GET", path) end
function World:stats() return cjson.decode(call(self, "GET", "/sim/stats")) end

--- The messages in a channel, by id or by the number of the channel (1 is 201), oldest first;
--- with `dm` a user's name in its place.
function World:messages(which)
  local state = cjson.decode(call(self, "GET", "/sim/state"))
  local id = tostring(which or 1)
  if tonumber(id) and tonumber(id) < 100 then id = World.channel(tonumber(id)) end
  for _, channel in ipairs(state.channels) do
    if channel.id == id or channel.type == 1 and channel.name == id then
      return channel.messages, channel
    end
  end
  return {}
end

--- The texts of a channel's messages.
function World:texts(which)
  local texts = {}
  for i, m in ipairs((self:messages(which))) do texts[i] = m.content end
  return texts
end

--- Waits until a channel has at least n messages, and returns them.
function World:wait_messages(which, n, timeout)
  local got
  return proc.wait_for(function()
    if self.process and self.process:code() then
      error(("the bot ended with code %d; stderr: %s"):format(self.process:code(),
        self.process:err()), 0)
    end
    got = self:messages(which)
    return #got >= n and got
  end, timeout, function()
    return ("%d messages in %s, there are %d; stdout: %s stderr: %s"):format(n, which, #got,
      self.process and self.process:out() or "", self.process and self.process:err() or "")
  end)
end

local function environment(opt)
  local o = { env = { SPEC_TOKEN = "good.bot.token" }, timeout = opt and opt.timeout }
  for k, v in pairs(opt and opt.env or {}) do o.env[k] = v end
  return o
end

function World:url() return ("http://127.0.0.1:%d"):format(self.used_port) end

--- `crier run bot.lua --sim-url ...` in the background; its environment has the good SPEC_TOKEN.
--- With `plain` the bot is told of no simulator: its script must do so by `api`.
function World:start(args, opt)
  local o = environment(opt)
  local env = { NO_COLOR = "1", CRIER_STATE = false, API = self:url() .. "/api/v10" }
  for k, v in pairs(o.env) do env[k] = v end
  local argv = { proc.crier, "run", "bot.lua", "--sim-url", self:url(),
    table.unpack(args or {}) }
  if opt and opt.plain then argv = { proc.crier, "run", "bot.lua", table.unpack(args or {}) } end
  if self.process then self.process:stop() end
  self.process = proc.start(argv, { cwd = self.dir, env = env })
  return self.process
end

--- The same, until it runs: the control socket answers.
function World:up(args, opt)
  local p = self:start(args, opt)
  self:wait_record(function(r) return r.what == "start" end)
  return p
end

--- Ends the bot and returns its exit code.
function World:down(timeout)
  local p = self.process
  self.process = nil
  p:signal "TERM"
  pcall(p.wait, p, timeout)
  self.last_out, self.last_err = p:out(), p:err()
  return p:stop(timeout)
end

--- Ends the bot as a power cut does.
function World:kill()
  local p = self.process
  self.process = nil
  p:signal "KILL"
  p:wait()
  self.last_out = p:out()
  p:stop()
end

--- `crier status --json`, decoded; nil while there is no answer.
function World:status()
  local r = self:crier({ "status", "bot.lua", "--json", "--all" })
  return r.code == 0 and cjson.decode(r.out) or nil, r
end

--- The status of the message of that name.
function World:message_status(name)
  for _, m in ipairs((self:status() or {}).messages or {}) do
    if m.name == name then return m end
  end
end

--- Writes bot.lua anew and asks for a reload: { code, out, err }.
function World:reload(script)
  if script then self:write("bot.lua", script) end
  return self:crier { "reload", "bot.lua" }
end

--- Records so far of one kind, message records by default.
function World:of_kind(kind)
  return Bot.select(self:records(), function(r) return r.kind == (kind or "message") end)
end

--- With proxy = true: what was asked for so far, a list of { method, path, headers, body, json,
--- status, answer }.
function World:requests(method, pattern)
  local list = {}
  for line in (proc.read(self.log) or ""):gmatch "([^\n]*)\n" do
    local r = cjson.decode(line)
    if (not method or r.method == method) and (not pattern or r.path:find(pattern)) then
      if r.headers["content-type"] == "application/json" then r.json = cjson.decode(r.body) end
      list[#list + 1] = r
    end
  end
  return list
end

--- The payload_json of a multipart body.
function World.payload(body)
  return body:match 'name="payload_json"\r\n.-\r\n\r\n(.-)\r\n%-%-'
end

--- Ends everything and removes the folder; returns the bot's exit code.
function World:close()
  if self.proxy then self.proxy:stop() end
  local code = Bot.close(self)
  self:sim_stop()
  return code
end

return World
