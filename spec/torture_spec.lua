-- SPDX-License-Identifier: MIT
-- spec/torture/torture.lua: CRIER_TORTURE_SEEDS bots: 1,000, under a sanitizer 100; more by the option.
local proc = require "spec.support.proc"

describe("torture in virtual time", function()
  it("finds nothing", function()
    local seeds = os.getenv "CRIER_TORTURE_SEEDS" or (os.getenv "CRIER_SANITIZED" or "") == "" and "1000" or "100"
    local r = proc.run({ proc.crier, "spec", "-o", "TAP", "spec/torture/torture.lua" },
                       { env = { CRIER_TORTURE_SEEDS = seeds }, timeout = 1200 })
    assert.equal(0, r.code, r.out .. r.err)
    assert.truthy(r.out:find("ok 1 - torture holds for " .. seeds, 1, true), r.out)
  end)

  it("has found what stays mended", function()
    local r = proc.run({ proc.crier, "spec", "-o", "TAP", "spec/torture/found.lua" }, { timeout = 300 })
    assert.equal(0, r.code, r.out .. r.err)
  end)
end)
