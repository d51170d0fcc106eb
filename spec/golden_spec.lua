-- SPDX-License-Identifier: MIT
-- Two runs of one seed give the same bytes, in every build: what a simulation with faults, a worker task and a
-- module sink has said before is in spec/golden/timeline.txt. After a change that is meant to change it:
--
--   CRIER_GOLDEN=write busted spec/golden_spec.lua
local cjson = require "cjson"
local proc = require "spec.support.proc"

local function simulate(seed)
  local r = proc.run({ proc.crier, "simulate", "bot.lua", "--from", "2026-03-29", "--for", "6h", "--seed", seed, "--faults",
                       "flaky", "--sinks", "--json" }, { cwd = "spec/golden", env = { DISCORD_TOKEN = "x" } })
  assert.equal(0, r.code, r.err)
  return r.out
end

-- When what was said; fields that records may get besides make no difference here.
local function timeline(out)
  local lines = {}
  for line in out:gmatch "[^\n]+" do
    local r = cjson.decode(line)
    if r.kind == "message" or r.kind == "log" or r.kind == "task" then
      lines[#lines + 1] = table.concat({ r.time, r.kind, r.level, r.text, r.sent_data and r.sent_data.text or nil }, " | ")
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("a simulation", function()
  it("gives the bytes that every build gives", function()
    local out = simulate "7"
    assert.equal(out, simulate "7")
    assert.not_equal(out, simulate "8")
    local said, path = timeline(out), "spec/golden/timeline.txt"
    if os.getenv "CRIER_GOLDEN" == "write" then
      local file = assert(io.open(path, "w"))
      file:write(said)
      file:close()
    end
    local before = proc.read(path)
    for _, what in ipairs { "heavy 5", "batch %d+: %d", "gallery #", "light %d", "skipped: the data function returned nil" } do
      assert.truthy(before:find(what), what)
    end
    if said ~= before then
      local n, was = 0, before:gmatch "[^\n]+"
      for line in said:gmatch "[^\n]+" do
        n = n + 1
        local old = was()
        assert(line == old, string.format("line %d of the timeline was\n%s\nand is\n%s\n(meant? CRIER_GOLDEN=write)", n,
                                          tostring(old), line))
      end
      error("the timeline is shorter than it was")
    end
  end)
end)
