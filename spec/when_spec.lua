-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- `crier when`: the next times of a condition, with reasons, and errors that show where.
local cjson = require "cjson"
local proc = require "spec.support.proc"

local FROM = { "--tz", "Europe/Ljubljana", "--from", "2026-11-21T22:31:06" }

local function when(text, ...)
  local argv = { proc.crier, "when", table.unpack(FROM) }
  for _, a in ipairs { ... } do argv[#argv + 1] = a end
  argv[#argv + 1] = text
  return proc.run(argv)
end

-- Times in local time, as the command has them.
local function times(text, ...)
  local r = when(text, "--json", ...)
  local list = {}
  for line in r.out:gmatch "[^\n]+" do
    local t = cjson.decode(line)
    list[#list + 1] = t["local"]
  end
  return list, r
end

describe("crier when", function()
  it("tells the next five times and why", function()
    local r = when "daily after 18:00 & after task 'fetch'"
    assert.equal(0, r.code)
    assert.equal([[
NEXT                            LEFT       WHY
Sun 22 Nov 2026 18:00:00 +0100  19h28m     daily after 18:00, if after task 'fetch'
Mon 23 Nov 2026 18:00:00 +0100  1d19h28m   daily after 18:00, if after task 'fetch'
Tue 24 Nov 2026 18:00:00 +0100  2d19h28m   daily after 18:00, if after task 'fetch'
Wed 25 Nov 2026 18:00:00 +0100  3d19h28m   daily after 18:00, if after task 'fetch'
Thu 26 Nov 2026 18:00:00 +0100  4d19h28m   daily after 18:00, if after task 'fetch'
It is true at Sat 21 Nov 2026 22:31:06 +0100, if after task 'fetch'.
]], r.out)
  end)

  it("takes a duration as a message's period does", function()
    local list = times("45m", "--next", "2")
    assert.same({ "2026-11-21T23:16:06+01:00", "2026-11-22T00:01:06+01:00" }, list)
    assert.same(list, (times("every 45m", "--next", "2")))
    assert.equal(64, when("45").code)
    assert.equal(64, when("0s").code)
  end)

  it("has them as JSON", function()
    local r = when("weekly on Mon, Fri at 09:00 & ~task 'x' running", "--json", "--next", "1")
    assert.same({ time = "2026-11-23T08:00:00.000000Z", ["local"] = "2026-11-23T09:00:00+01:00",
      why = "weekly Mon, Fri 09:00", ["if"] = "~task 'x' running" }, cjson.decode(r.out))
  end)

  local cases = {
    { "every 10 min", { "2026-11-21T22:41:06+01:00", "2026-11-21T22:51:06+01:00" } },
    { "cron 15 3 * * MON-FRI", { "2026-11-23T03:15:00+01:00", "2026-11-24T03:15:00+01:00" } },
    { "cron 5/15 * * * *", { "2026-11-21T22:35:00+01:00", "2026-11-21T22:50:00+01:00", "2026-11-21T23:05:00+01:00" } },
    { "monthly on last Fri at 18:00 in America/New_York", { "2026-11-28T00:00:00+01:00", "2026-12-26T00:00:00+01:00" } },
    { "yearly on 29 Feb", { "2028-02-29T00:00:00+01:00", "2032-02-29T00:00:00+01:00" } },
    { "yearly on 2nd Tue of Jan at 09:00", { "2027-01-12T09:00:00+01:00", "2028-01-11T09:00:00+01:00" } },
    { "weekly Sat & daily after 23:00 | daily at 07:00", { "2026-11-21T23:00:00+01:00", "2026-11-22T07:00:00+01:00", "2026-11-23T07:00:00+01:00" } },
    { "time of day between 22:00 and 06:00", { "2026-11-22T22:00:00+01:00" } },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local list, r = times(case[1], "--next", tostring(#case[2]))
      assert.same(case[2], list, r.err)
      assert.equal(0, r.code)
    end)
  end

  -- 29 March 2026: 02:00 to 03:00 is left out; 25 October: it comes twice.
  it("knows days on which clocks are set", function()
    local function on(day, text)
      local r = proc.run { proc.crier, "when", "--tz", "Europe/Ljubljana", "--from", day, "--json",
        "--next", "3", text }
      local list = {}
      for line in r.out:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line)["local"] end
      return list
    end
    assert.same({ "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00" },
      on("2026-03-27T12:00", "daily at 02:30"))
    assert.same({ "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00" },
      on("2026-10-23T12:00", "cron 30 2 * * *"))
    assert.same({ "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00" },
      on("2026-10-25T02:00", "hourly at :30"))
  end)

  it("says when no time makes it true", function()
    local r = when "false"
    assert.equal(1, r.code)
    assert.equal("No time makes it true.\n", r.out)
    r = when "after task 'fetch'"
    assert.equal(1, r.code)
    assert.equal("It is true at Sat 21 Nov 2026 22:31:06 +0100, if after task 'fetch': no time makes it true, only what tasks do.\n", r.out)
    assert.equal("", when("false", "--json").out)
  end)

  it("shows where it stops understanding", function()
    local r = when "daily afer 18:00"
    assert.equal(64, r.code)
    assert.equal([[
crier when: column 7: expected at, after, before, between, starting, &, | or the end, got 'afer' (did you mean 'after'?)
  daily afer 18:00
        ^
]], r.err)
    r = when("daily & ", "--json")
    assert.equal(64, r.code)
    assert.same({ column = 9, text = "expected a period (daily, every 10m, cron ...), after task, running, retry, ~ or (, but the text ends here" },
      cjson.decode(r.out))
  end)

  it("wants its options right", function()
    local function fails(want, ...)
      local r = proc.run { proc.crier, "when", ... }
      assert.equal(64, r.code)
      assert.equal(want, r.err:match "^[^\n]*")
    end
    fails("crier when: which condition?")
    fails("crier when: one condition at a time: put it into quotes", "daily", "after", "18:00")
    fails('crier when: unknown time zone "Mars/Base" (expected an IANA name such as "Europe/Ljubljana", or "UTC" or "local")',
      "--tz", "Mars/Base", "daily")
    fails('crier when: --from: expected a date such as "2026-11-21" or "2026-11-21T09:00", got "noon"',
      "--from", "noon", "daily")
    fails("crier when: --next takes a number from 1 to 100000, got '0'", "--next", "0", "daily")
    fails("crier when: unknown option '--form' (did you mean '--from'?)", "--form", "2026-11-21", "daily")
  end)

  -- Another implementation, where there is one: known differences are left out of the expressions.
  it("agrees with croniter about cron", function()
    local probe = io.popen "/usr/bin/python3 -c 'import croniter' 2>/dev/null && echo yes"
    local has = probe:read "l" == "yes"
    probe:close()
    if not has then return pending "python3-croniter is not installed" end
    local r = proc.run({ "/usr/bin/python3", "spec/support/cron_compare.py", proc.crier,
      os.getenv "CRIER_CRON_ROUNDS" or "300" }, { timeout = 600 })
    assert.equal(0, r.code, r.out .. r.err)
  end)
end)
