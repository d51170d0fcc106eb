-- SPDX-License-Identifier: MIT
-- Prometheus' text format 0.0.4, read strictly: what a server would refuse, and what it would take but
-- nobody should give it, is an error.
--
--   local page = prometheus.parse(text)
--   page.value("crier_sends_total", { result = "sent" })    -- a number, or nil
--   page.families.crier_sends_total                         -- { type =, help =, samples = { { labels, value } } }
local prometheus = {}

local TYPES = { counter = true, gauge = true, histogram = true, summary = true, untyped = true }
local UNESCAPED = { ["\\"] = "\\", ['"'] = '"', n = "\n" }

-- { name = value } of what stands between the braces, which must be used up.
local function labels_of(text, line)
  local labels, at = {}, 1
  while at <= #text do
    local name, from = text:match('^([%a_][%w_]*)="()', at)
    assert(name, "no label: " .. line)
    assert(labels[name] == nil, "label twice: " .. line)
    local value = {}
    at = from
    while true do
      local c = text:sub(at, at)
      assert(c ~= "", "label without end: " .. line)
      at = at + 1
      if c == '"' then break end
      if c == "\\" then
        c = assert(UNESCAPED[text:sub(at, at)], "unknown escape: " .. line)
        at = at + 1
      end
      value[#value + 1] = c
    end
    labels[name] = table.concat(value)
    if at > #text then break end
    assert(text:sub(at, at) == ",", "no comma: " .. line)
    at = at + 1
  end
  return labels
end

-- Where the braces that open at `from` close: not those within a label's value.
local function closing(line, from)
  local quoted, at = false, from + 1
  while at <= #line do
    local c = line:sub(at, at)
    if quoted and c == "\\" then at = at + 1
    elseif c == '"' then quoted = not quoted
    elseif c == "}" and not quoted then return at end
    at = at + 1
  end
  error("braces without end: " .. line)
end

local function sample_of(line)
  local name, at = line:match "^([%a_:][%w_:]*)()"
  assert(name, "no sample: " .. line)
  local labels = {}
  if line:sub(at, at) == "{" then
    local last = closing(line, at)
    labels = labels_of(line:sub(at + 1, last - 1), line)
    at = last + 1
  end
  local value = line:match("^ (%S+)$", at)
  value = assert(value and tonumber(value), "no value: " .. line)
  return name, labels, value
end

local function key_of(labels)
  local names = {}
  for name, value in pairs(labels) do names[#names + 1] = ("%s=%q"):format(name, value) end
  table.sort(names)
  return table.concat(names, ",")
end

function prometheus.parse(text)
  assert(text:sub(-1) == "\n", "the last line does not end")
  assert(utf8.len(text), "not UTF-8")
  local families, family, current = {}, nil, nil
  for line in text:gmatch "([^\n]*)\n" do
    local name, help = line:match "^# HELP (%S+) (.+)$"
    local of, kind = line:match "^# TYPE (%S+) (%S+)$"
    if name then
      assert(name:match "^[%a_:][%w_:]*$", "bad name: " .. line)
      assert(not families[name], "family twice: " .. line)
      assert(not (family and not family.type), "HELP without TYPE before: " .. line)
      family, current = { help = help, samples = {}, seen = {} }, name
      families[name] = family
    elseif of then
      assert(of == current and not family.type and #family.samples == 0, "TYPE in the wrong place: " .. line)
      assert(TYPES[kind], "unknown type: " .. line)
      family.type = kind
    else
      local sample, labels, value = sample_of(line)
      assert(sample == current and family.type, "sample outside of its family: " .. line)
      local key = key_of(labels)
      assert(not family.seen[key], "series twice: " .. line)
      family.seen[key] = value
      family.samples[#family.samples + 1] = { labels = labels, value = value }
      if family.type == "counter" then
        assert(value >= 0 and value == value, "a counter below 0: " .. line)
        assert(sample:match "_total$" or sample:match "_sum$" or sample:match "_count$", "a counter's name: " .. line)
      end
    end
  end
  return { families = families, value = function(name, labels)
    local f = assert(families[name], "no family " .. name)
    return f.seen[key_of(labels or {})]
  end }
end

return prometheus
