-- SPDX-License-Identifier: MIT
-- discord.js, a client that we did not write, judges the simulator: its REST and its gateway.
-- Installed by npm from spec/discordjs/package-lock.json (versions and checksums) into the user's
-- cache folder; without node, npm or a registry these are skipped, and say why.
local cjson = require "cjson"
local http = require "socket.http"
local proc = require "spec.support.proc"

local TOKEN, GUILD, TEXT, DAVID = "MTA.a.secret", "100", "211", "301"
local WORLD = cjson.encode {
  bots = { { token = TOKEN, name = "crier" } },
  guilds = { { id = GUILD, name = "guild", channels = { { id = TEXT, name = "text" } } } },
  users = { { id = DAVID, name = "David" }, { id = "302", name = "Shy" } },
}

--- A folder with the checks and discord.js in it, or nil and the reason.
local function install()
  local version = "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)"
  if proc.run({ "node", "-e", version }).code ~= 0 then
    return nil, "node 18 or newer is not installed"
  end
  if proc.run({ "npm", "--version" }).code ~= 0 then return nil, "npm is not installed" end
  local lock = assert(proc.read "spec/discordjs/package-lock.json")
  local sum = proc.run({ "cksum" }, { stdin = lock }).out:match "%d+"
  local cache = (os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "/tmp") .. "/.cache")
    .. "/crier-spec/discordjs-" .. sum
  if not proc.read(cache .. "/complete") then
    local building = cache .. "." .. proc.tmpdir():match "[^/]+$"
    proc.run { "mkdir", "-p", building }
    for _, name in ipairs { "package.json", "package-lock.json" } do
      proc.write(building .. "/" .. name, assert(proc.read("spec/discordjs/" .. name)))
    end
    local r = proc.run({ "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
      "--fetch-retries=1", "--fetch-timeout=20000" }, { cwd = building, timeout = 120 })
    if r.code ~= 0 then
      proc.rmdir(building)
      return nil, "npm cannot install discord.js: " .. (r.err:match "npm [Ee][Rr][Rr]?[^\n]*" or r.err)
    end
    proc.write(building .. "/complete", "")
    -- Whoever is first has made it; the other one's is thrown away.
    if proc.run({ "mv", "-T", building, cache }).code ~= 0 then proc.rmdir(building) end
  end
  local dir = proc.tmpdir()
  for _, name in ipairs { "package.json", "check.mjs", "gateway.mjs" } do
    proc.write(dir .. "/" .. name, assert(proc.read("spec/discordjs/" .. name)))
  end
  proc.run { "ln", "-s", cache .. "/node_modules", dir .. "/node_modules" }
  return dir
end

describe("discord.js", function()
  local dir, why, sim

  setup(function() dir, why = install() end)
  teardown(function() if dir then proc.rmdir(dir) end end)
  before_each(function()
    if not dir then return end
    proc.write(dir .. "/world.json", WORLD)
    sim = proc.start { proc.crier, "discord-sim", "--json", "--world", dir .. "/world.json" }
  end)
  after_each(function() if sim then sim:stop() end sim = nil end)

  --- Runs a script of checks; so many must have gone well. The simulator's counts.
  local function judge(count, script, ...)
    local url = "http://127.0.0.1:" .. sim:wait_line '"port":(%d+)'
    local r = proc.run({ "node", script, (...)(url), select(2, ...) }, { cwd = dir, timeout = 90 })
    assert.equal(0, r.code, r.out .. r.err)
    assert.equal(count, select(2, ("\n" .. r.out):gsub("\nok ", "")), r.out)
    return cjson.decode((http.request(url .. "/sim/stats")))
  end

  it("creates, edits, deletes and is rate-limited", function()
    if not dir then return pending(why) end
    local stats = judge(5, "check.mjs", function(url) return url .. "/api" end, TOKEN, TEXT, DAVID)
    assert.is_true(stats.answers_429 > 0)
    assert.same({ 10, 1, 1 }, { stats.creates, stats.edits, stats.deletes })
  end)

  it("logs in at the gateway, gets events, resumes, waits for rate limits", function()
    if not dir then return pending(why) end
    local stats = judge(9, "gateway.mjs", function(url) return url end, TOKEN, GUILD, TEXT)
    assert.same({ 1, 4 }, { stats.identifies, stats.resumes })
  end)
end)
