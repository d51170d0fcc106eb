-- SPDX-License-Identifier: MIT
-- The SMTP server of spec/support/smtp.py, started by a spec.
--
--   local smtp = Smtp.start { "starttls", "login" }
--   smtp.port, smtp.dir .. "/cert.pem"
--   local mail = smtp:wait(1)              -- the first mail: envelope, headers, text
--   smtp:stop()
local cjson = require "cjson"
local proc = require "spec.support.proc"

local Smtp = {}
Smtp.__index = Smtp

--- A certificate for localhost and 127.0.0.1, signed by itself.
local function certificate(dir)
  local q = proc.quote(dir)
  assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " ..
    "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 " ..
    "-keyout %s/key.pem -out %s/cert.pem 2>/dev/null"):format(q, q)), "openssl failed")
end

function Smtp.start(modes)
  local self = setmetatable({ dir = proc.tmpdir() }, Smtp)
  for _, mode in ipairs(modes or {}) do
    if mode == "starttls" then certificate(self.dir) end
  end
  self.process = proc.start { "/usr/bin/python3", "-W", "ignore", "spec/support/smtp.py", self.dir,
    table.unpack(modes or {}) }
  self.port = tonumber((self.process:wait_line "listening (%d+)"))
  return self
end

--- The n-th mail, or nil.
function Smtp:mail(n)
  local text = proc.read(("%s/mail-%d.json"):format(self.dir, n))
  return text and cjson.decode(text)
end

function Smtp:wait(n, timeout)
  return proc.wait_for(function() return self:mail(n) end, timeout, function()
    return ("mail %d; the server says: %s"):format(n, self.process:err())
  end)
end

function Smtp:stop()
  self.process:stop()
  proc.rmdir(self.dir)
end

return Smtp
