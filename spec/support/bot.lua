-- SPDX-License-Identifier: MIT
-- A bot's script in a folder of its own, checked or run by the binary under test.
--
--   local Bot = require "spec.support.bot"
--   local bot = Bot.new [[ local crier = require "crier" ... ]]
--   local r = bot:check()                        -- { code, out, err }
--   local r = bot:run { "--for", "500ms" }       -- in the simulator, to its end; and r.records
--   local p = bot:start()                        -- in the simulator; ends with bot:close()
--   bot:wait_record(function(r) return r.kind == "message" end)
--   bot:days()                                   -- { { path =, doc = } ... }
--   bot:close()                                  -- stops what runs, removes the folder
--
-- The records are those of the console sink, which writes one JSON object a line into a pipe.
local cjson = require "cjson"
local proc = require "spec.support.proc"

local Bot = {}
Bot.__index = Bot

-- No colour, and no secret or state folder of whoever runs the specs.
local quiet = { NO_COLOR = "1", DISCORD_TOKEN = false, CRIER_STATE = false }

--- A temporary folder with `script` as bot.lua (nil: none yet) and `files` { name = text }.
function Bot.new(script, files)
  local self = setmetatable({ dir = proc.tmpdir() }, Bot)
  if script then self:write("bot.lua", script) end
  for name, text in pairs(files or {}) do self:write(name, text) end
  return self
end

function Bot:path(name) return self.dir .. "/" .. name end
function Bot:read(name) return proc.read(self:path(name)) end
function Bot:write(name, text) return proc.write(self:path(name), text) end

--- Names of all files below the folder, sorted.
function Bot:files()
  local pipe = io.popen("cd " .. proc.quote(self.dir) .. " && find . -type f | LC_ALL=C sort")
  local names = {}
  for line in pipe:lines() do names[#names + 1] = line:sub(3) end
  pipe:close()
  return names
end

local function options(self, opt)
  local env = {}
  for k, v in pairs(quiet) do env[k] = v end
  for k, v in pairs(opt and opt.env or {}) do env[k] = v end
  return { cwd = self.dir, env = env, timeout = opt and opt.timeout }
end

--- Runs `crier COMMAND ...` in the folder to its end.
function Bot:crier(argv, opt)
  return proc.run({ proc.crier, table.unpack(argv) }, options(self, opt))
end

--- `crier check bot.lua ...`
function Bot:check(args, opt)
  return self:crier({ "check", "bot.lua", table.unpack(args or {}) }, opt)
end

--- The records in a text of one JSON object a line; a last line without its end is left out.
function Bot.parse(text)
  local records = {}
  for line in text:gmatch "([^\n]*)\n" do
    if line:sub(1, 1) == "{" then records[#records + 1] = cjson.decode(line) end
  end
  return records
end

--- `crier run bot.lua --sim ...` to its end; the result has the console's `records` too.
function Bot:run(args, opt)
  local r = self:crier({ "run", "bot.lua", "--sim", table.unpack(args or {}) }, opt)
  r.records = Bot.parse(r.out)
  return r
end

--- The same in the background.
function Bot:start(args, opt)
  self.process = proc.start({ proc.crier, "run", "bot.lua", "--sim", table.unpack(args or {}) },
    options(self, opt))
  return self.process
end

--- What the running bot's console has said so far.
function Bot:records() return Bot.parse(self.process:out()) end

--- Waits for the first record that `matches`; fails when the bot ends without.
function Bot:wait_record(matches, timeout)
  return proc.wait_for(function()
    local ended = self.process:code()
    for _, record in ipairs(self:records()) do
      if matches(record) then return record end
    end
    if ended then
      error(("the bot ended with code %d; stdout: %s stderr: %s"):format(ended,
        self.process:out(), self.process:err()), 0)
    end
  end, timeout, function()
    return ("a record; stdout: %s stderr: %s"):format(self.process:out(), self.process:err())
  end)
end

--- The records that match, of a list.
function Bot.select(records, matches)
  local hits = {}
  for _, record in ipairs(records) do
    if matches(record) then hits[#hits + 1] = record end
  end
  return hits
end

--- The day files below `folder` (History), by path: { path =, text =, doc = }.
function Bot:days(folder)
  folder = folder or "History"
  local days = {}
  for _, name in ipairs(self:files()) do
    if name:sub(1, #folder + 1) == folder .. "/" and name:match "%.json$" then
      local text = self:read(name)
      days[#days + 1] = { path = name, text = text, doc = cjson.decode(text) }
    end
  end
  return days
end

--- Ends what runs and removes the folder; returns the exit code of what ran.
function Bot:close()
  local code = self.process and self.process:stop()
  proc.rmdir(self.dir)
  return code
end

return Bot
