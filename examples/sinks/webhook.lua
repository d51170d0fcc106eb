-- A sink's module: posts each batch as JSON. See examples/custom_sink.lua.
-- SPDX-License-Identifier: MIT

local crier = require "crier" -- here: log, http and sleep

local sink = {}

function sink.open(options)
  if type(options.url) ~= "string" then error "options.url is missing" end
  return { url = options.url }
end

function sink.write(self, records)
  local texts = {}
  for i, r in ipairs(records) do texts[i] = r.text end
  local res, err = crier.http.post(self.url, {
    -- The same batch has the same id, however often it comes.
    headers = { ["Idempotency-Key"] = self.batch_id },
    json = { sink = self.name, texts = texts },
    timeout = "5s",
  })
  if not res then return nil, err end
  if res.status >= 500 or res.status == 429 then return nil, "status " .. res.status end
  if res.status >= 400 then crier.log.error("the webhook refuses a batch", { status = res.status }) end
  return true
end

return sink
