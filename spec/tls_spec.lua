-- SPDX-License-Identifier: MIT
-- TLS: whom a bot trusts, for requests and for the gateway, and what it says of those it does not.
local World = require "spec.support.world"
local proc = require "spec.support.proc"

-- A certificate authority of our own, and what it signs: for this machine, for another name, for a
-- time that is over; and one that signed itself.
local function certificates(dir)
  local function openssl(...)
    local r = proc.run { "openssl", ... }
    assert.equal(0, r.code, r.err)
  end
  local function self_signed(name)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" .. name, "-addext",
      "subjectAltName=IP:127.0.0.1", "-keyout", dir .. "/" .. name .. ".key", "-out", dir .. "/" .. name .. ".pem")
  end
  local function signed(name, alt, first, last)
    local at = dir .. "/" .. name
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" .. name, "-keyout", at .. ".key", "-out", at .. ".csr")
    proc.write(dir .. "/ext", "subjectAltName=" .. alt .. "\n")
    -- `openssl ca` takes dates in all versions, and keeps a book.
    proc.write(dir .. "/index", "")
    proc.write(dir .. "/ca.cnf", ([[
      [ca]
      default_ca = own
      [own]
      database = %s/index
      new_certs_dir = %s
      rand_serial = yes
      default_md = sha256
      policy = any
      [any]
      commonName = supplied
    ]]):format(dir, dir))
    openssl("ca", "-batch", "-notext", "-config", dir .. "/ca.cnf", "-cert", dir .. "/authority.pem", "-keyfile",
      dir .. "/authority.key", "-in", at .. ".csr", "-out", at .. ".pem", "-extfile", dir .. "/ext", "-startdate",
      first, "-enddate", last)
  end
  self_signed "authority"
  self_signed "stranger"
  signed("good", "IP:127.0.0.1", "20200101000000Z", "20991231000000Z")
  signed("elsewhere", "DNS:elsewhere.example", "20200101000000Z", "20991231000000Z")
  signed("expired", "IP:127.0.0.1", "20200101000000Z", "20200201000000Z")
end

describe("TLS", function()
  local dir, w, fronts
  setup(function()
    dir = proc.tmpdir()
    certificates(dir)
  end)
  teardown(function() proc.rmdir(dir) end)
  before_each(function() fronts = {} end)
  after_each(function()
    if w then w:close() end
    for _, p in ipairs(fronts) do p:stop() end
    w = nil
  end)

  local function front(name, gateway)
    local p = proc.start { "python3", "spec/support/tls_front.py", dir .. "/" .. name .. ".pem",
      dir .. "/" .. name .. ".key", tostring(w.port), gateway }
    fronts[#fronts + 1] = p
    return p:wait_line "port (%d+)\n"
  end

  --- A bot of this script behind fronts with these certificates.
  local function start(script, rest, gateway)
    w = World.new { script = script }
    local port = front(rest, gateway and front(gateway))
    w:write("bot.lua", (script:gsub("API", "https://127.0.0.1:" .. port .. "/api/v10")))
    w.process = proc.start({ proc.crier, "run", "bot.lua" }, { cwd = w.dir, env = { NO_COLOR = "1",
      SPEC_TOKEN = "good.bot.token", CRIER_STATE = false, SSL_CERT_FILE = dir .. "/authority.pem" } })
  end

  local SENDS = [[
    local crier = require "crier"
    crier.bot { token = crier.secret.env "SPEC_TOKEN", api = "API" }
    crier.sink.console { format = "json" }
    crier.GUILD { snowflake = "100", logging = true, messages = {
      crier.TextMESSAGE { name = "m", channels = { "201" }, period = "1h", data = "by TLS" } } }
  ]]
  local HEARS = [[
    local crier = require "crier"
    crier.bot { token = crier.secret.env "SPEC_TOKEN", api = "API" }
    crier.sink.console { format = "json" }
    crier.on("message", function(m) crier.log.info("heard " .. m.content) end)
  ]]

  it("is trusted by the authority that SSL_CERT_FILE names", function()
    start(SENDS, "good")
    w:wait_messages(1, 1)
    assert.same({ "by TLS" }, w:texts(1))
  end)

  for name, why in pairs { stranger = "self.signed", elsewhere = "does not match", expired = "expired" } do
    it("of " .. name .. " is refused, and why is said", function()
      start(SENDS, name)
      local r = w:wait_record(function(r) return r.what == "bot.unreachable" end)
      assert.truthy(r.text:find(why) or r.text:find "no alternative certificate subject name" and name == "elsewhere",
        r.text)
      assert.is_nil(r.text:find("good.bot.token", 1, true))
      assert.is_nil(w.process:code()) -- it is tried on
      assert.same({}, w:texts(1))
    end)
  end

  it("carries the gateway", function()
    start(HEARS, "good")
    w:wait_record(function(r) return r.what == "gateway.ready" end)
    w:happen { ["do"] = "message", channel = "201", user = "301", content = "hello" }
    w:wait_record(function(r) return r.text == "heard hello" end)
  end)

  for _, name in ipairs { "stranger", "elsewhere", "expired" } do
    it("of a gateway of " .. name .. " is refused, and why is said", function()
      start(HEARS, "good", name)
      local r = w:wait_record(function(r) return r.what == "gateway.lost" end)
      assert.truthy(r.text:find("its certificate is expired, of another name, or of nobody", 1, true), r.text)
      assert.is_nil(r.text:find("good.bot.token", 1, true))
      assert.equal(0, w:stats().identifies) -- the token has not been shown
    end)
  end
end)
