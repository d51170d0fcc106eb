-- SPDX-License-Identifier: MIT
-- Everything that the sql sink says to a SQL Server, before two T-SQL parsers: sqlfluff (apt) and
-- antlr4ts-sql (npm, spec/tsql). Neither knows types or tables: what a server makes of it is told
-- by spec/sqlserver.sh.
local proc = require "spec.support.proc"

describe("the statements for SQL Server", function()
  local binary = (proc.crier:match "^(.*)/[^/]*$" or ".") .. "/unit/sink_sql_text_test"
  local dir, files

  setup(function()
    dir = proc.tmpdir()
    files = {}
    if not proc.exists(binary) then return end
    for text in proc.run({ binary, "--dump" }).out:gmatch "(.-)\nGO\n" do
      local n = 0
      text = text:gsub("%?", function() -- as the driver hands them on
        n = n + 1
        return "@P" .. n
      end)
      files[#files + 1] = proc.write(("%s/%03d.sql"):format(dir, #files + 1), text .. "\n")
    end
  end)
  teardown(function() proc.rmdir(dir) end)

  it("are all of the schema, an insert a table, and queries", function()
    if not proc.exists(binary) then return pending(binary .. " is not built") end
    assert.is_true(#files > 40, #files)
  end)

  it("pass sqlfluff", function()
    if #files == 0 then return pending "no statements" end
    if proc.run({ "sh", "-c", "command -v sqlfluff" }).code ~= 0 then
      return pending "sqlfluff is not installed"
    end
    for _, path in ipairs(files) do -- a hint that its grammar does not have
      proc.write(path .. ".fluff.sql", (proc.read(path):gsub("WITH %(HOLDLOCK%) ", "")))
    end
    proc.write(dir .. "/bad.fluff.sql", "CREATE TABLE x (id BIGINT NOT);\n") -- it does refuse
    os.execute(("mkdir %s/fluff && mv %s/*.fluff.sql %s/fluff"):format(dir, dir, dir))
    local r = proc.run({ "sqlfluff", "parse", "--dialect", "tsql", dir .. "/fluff" }, { timeout = 300 })
    local refused = {}
    for line in r.out:gmatch "[^\n]+" do
      if line:find("Found unparsable section", 1, true) then refused[#refused + 1] = line end
    end
    assert.equal(1, #refused, table.concat(refused, "\n"))
    assert.is_truthy(refused[1]:find("CREATE TABLE", 1, true), refused[1])
  end)

  it("pass antlr4ts-sql", function()
    if #files == 0 then return pending "no statements" end
    for _, name in ipairs { "package.json", "package-lock.json", "check.cjs" } do
      proc.write(dir .. "/" .. name, assert(proc.read("spec/tsql/" .. name)))
    end
    local npm = proc.run({ "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
      "--fetch-timeout=20000" }, { cwd = dir, timeout = 120 })
    if npm.code ~= 0 then
      return pending("npm cannot install antlr4ts-sql: " .. (npm.err:match "npm [Ee][Rr][Rr]?[^\n]*" or npm.err))
    end
    local bad = proc.write(dir .. "/bad.sql", "CREATE TABLE x (id BIGINT NOT);\n")
    local r = proc.run({ "node", "check.cjs", bad, table.unpack(files) }, { cwd = dir, timeout = 120 })
    assert.equal(0, r.code, r.err)
    local refused = {}
    for line in r.out:gmatch "[^\n]+" do refused[#refused + 1] = line end
    assert.equal(1, #refused, r.out)
    assert.is_truthy(refused[1]:find("bad.sql", 1, true))
  end)
end)
