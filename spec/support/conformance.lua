-- SPDX-License-Identifier: MIT
-- What every store answers: one table of questions, and the stores that they are put to.
--
-- A case: { name, Lua source, what comes out }. The source sees `q(conditions)` (the sink's filter),
-- `crier`, and `first`, the time of row 1. What comes out as text: records by their `n` (a message
-- by its name), a number, or "nil: <message>" and "error: <message>".
local conformance = {}

-- What is stored. Logged while the script loads, so that the rows come before the message.
conformance.rows = [==[
  crier.log.info("row 1", { n = 1, word = "alpha", num = 3, flag = true, nested = { a = { b = 1 } },
    list = { 10, 20 }, flake = "863071397207212052", digits = "12345" })
  crier.log.info("row 2", { n = 2, word = "beta", num = 3.5, flag = false, nested = { a = { b = 2 } } })
  crier.log.debug("row 3", { n = 3, word = "", num = -1 })
  crier.log.info("row 4", { n = 4, num = "3", flag = "true" })
  crier.log.warning("row 5", { n = 5, word = "Šport in čevapi", num = 0 })
  crier.log.error("row 6", { n = 6, word = "100% \"quoted\", 'x'\nline\ttab\\end", num = 1e300 })
  crier.log.critical("row 7", { n = 7, word = "ALPHA", num = 9007199254740993 })
  crier.log.info("row 8", { n = 8, word = "=1+1", num = 0.1, ["a.b"] = "dots" })
  crier.log.info("row 9", { n = 9, word = "\u{1F600} smile", when = "2026-01-02T03:04:05.000006Z" })
  crier.log.info("row 10", { n = 10, word = "alphabet", level = "mine", num = -0.5, code = "E7" })
]==]

-- Made when the message has been sent: two events, one of them unfinished.
conformance.events = [==[
  local built = crier.event { ev_where = "report.build", mod_type = "report", descr = "build" }
  local open = crier.event { ev_where = "shop.open", mod_type = "shop", descr = "open", params = { door = 2 } }
  built:finish { descr_fin = "no paper", code = "E9", is_error = true }
]==]

conformance.cases = {
  -- equal
  { "equal text", [[q { word = "alpha" }:all()]], "1" },
  { "equal is by case", [[q { word = "Alpha" }:all()]], "" },
  { "equal integer", [[q { num = 3 }:all()]], "1" },
  { "equal float with an integer", [[q { num = 3.0 }:all()]], "1" },
  { "equal float", [[q { num = 3.5 }:all()]], "2" },
  { "equal tenth", [[q { num = 0.1 }:all()]], "8" },
  { "equal negative", [[q { num = -1 }:all()]], "3" },
  { "equal zero", [[q { num = 0 }:all()]], "5" },
  { "equal large float", [[q { num = 1e300 }:all()]], "6" },
  { "equal beyond 2^53", [[q { num = 9007199254740993 }:all()]], "7" },
  { "one off beyond 2^53", [[q { num = 9007199254740992 }:all()]], "" },
  { "a number in a text is a text", [[q { num = "3" }:all()]], "4" },
  { "equal true", [[q { flag = true }:all()]], "1" },
  { "equal false", [[q { flag = false }:all()]], "2" },
  { "true in a text is a text", [[q { flag = "true" }:all()]], "4" },
  { "empty text", [[q { word = "" }:all()]], "3" },
  { "Unicode", [[q { word = "Šport in čevapi" }:all()]], "5" },
  { "an emoji", [[q { word = "\u{1F600} smile" }:all()]], "9" },
  { "quotes, line breaks, tabs, backslashes", [[q { word = "100% \"quoted\", 'x'\nline\ttab\\end" }:all()]], "6" },
  { "a formula", [[q { word = "=1+1" }:all()]], "8" },
  { "SQL is text", [[q { word = "x' OR '1'='1" }:all()]], "" },
  { "an unknown field", [[q { nothing_such = 1 }:all()]], "" },
  { "two fields", [[q { word = "alpha", num = 3 }:all()]], "1" },
  { "two fields, one wrong", [[q { word = "alpha", num = 4 }:all()]], "" },
  { "a user's field with a common name", [[q { ["fields.level"] = "mine" }:all()]], "10" },
  { "a time in a text is a text", [[q { when = "2026-01-02T03:04:05.000006Z" }:all()]], "9" },
  -- null and missing
  { "null", [[q { word = crier.null, kind = "log" }:all()]], "4" },
  { "not null", [[q { word = crier.ne(crier.null) }:count()]], "9" },
  { "ne matches a record without the field", [[q { flag = crier.ne(true), kind = "log" }:all()]], "2 3 4 5 6 7 8 9 10" },
  { "ne", [[q { word = crier.ne "alpha", n = crier.le(4) }:all()]], "2 3 4" },
  { "null among values", [[q { word = crier.one_of(crier.null, ""), kind = "log" }:all()]], "3 4" },
  { "less than says nothing of what is missing", [[q { flag = crier.lt(true) }:all()]], "2" },
  -- comparing
  { "gt", [[q { num = crier.gt(3) }:all()]], "2 6 7" },
  { "ge", [[q { num = crier.ge(3) }:all()]], "1 2 6 7" },
  { "lt", [[q { num = crier.lt(0) }:all()]], "3 10" },
  { "le", [[q { num = crier.le(0) }:all()]], "3 5 10" },
  { "gt with a fraction", [[q { num = crier.gt(3.25) }:all()]], "2 6 7" },
  { "gt beyond 2^53", [[q { num = crier.gt(9007199254740992) }:all()]], "6 7" },
  { "ge beyond 2^53", [[q { num = crier.ge(9007199254740994) }:all()]], "6" },
  { "gt of texts is by bytes", [[q { word = crier.gt "alphabet" }:all()]], "2 5 9" },
  { "lt of texts", [[q { word = crier.lt "alpha" }:all()]], "3 6 7 8" },
  { "a text is neither above nor below a number", [[q { num = crier.gt "2" }:all()]], "4" },
  { "range", [[q { num = crier.range(0, 3) }:all()]], "1 5 8" },
  { "range open above", [[q { num = crier.range(3.5, nil) }:all()]], "2 6 7" },
  { "range open below", [[q { num = crier.range(nil, -0.5) }:all()]], "3 10" },
  { "range open at both ends", [[q { num = crier.range(nil, nil) }:count()]], "9" },
  { "range of nothing", [[q { num = crier.range(5, 4) }:all()]], "" },
  { "range of texts", [[q { word = crier.range("alpha", "alphabet") }:all()]], "1 10" },
  { "one_of", [[q { num = crier.one_of(3, 0.1, "3") }:all()]], "1 4 8" },
  { "one_of nothing", [[q { num = crier.one_of() }:all()]], "" },
  { "a list", [[q { word = { "alpha", "beta" } }:all()]], "1 2" },
  -- texts
  { "like", [[q { word = crier.like "alpha%" }:all()]], "1 7 10" },
  { "like without a wildcard", [[q { word = crier.like "alpha" }:all()]], "1 7" },
  { "like one character", [[q { word = crier.like "_port%" }:all()]], "5" },
  { "like an emoji", [[q { word = crier.like "_ smile" }:all()]], "9" },
  { "like a percent sign", [[q { word = crier.like "100\\%%" }:all()]], "6" },
  { "like in the middle", [[q { word = crier.like "%quoted%" }:all()]], "6" },
  { "like nothing", [[q { word = crier.like "" }:all()]], "3" },
  { "like is of ASCII letters", [[q { word = crier.like "šport%" }:all()]], "" },
  { "like leaves numbers alone", [[q { num = crier.like "3%" }:all()]], "4" },
  { "regex", [[q { word = crier.regex "^alpha" }:all()]], "1 10" },
  { "regex in any case", [[q { word = crier.regex "(?i)^alpha$" }:all()]], "1 7" },
  { "regex in the middle", [[q { word = crier.regex "ph.*t$" }:all()]], "10" },
  { "regex of Unicode letters", [[q { word = crier.regex "^\\w+ in \\w+$" }:all()]], "5" },
  { "regex over lines", [[q { word = crier.regex "(?s)x'.line" }:all()]], "6" },
  { "regex leaves numbers alone", [[q { num = crier.regex "3" }:all()]], "4" },
  { "a bad regex", [[q { word = crier.regex "a(" }:all()]], "error: .*bad regex at byte 3: missing closing parenthesis" },
  -- nested
  { "a nested name", [[q { ["nested.a.b"] = 2 }:all()]], "2" },
  { "a nested table", [[q { nested = { a = { b = 1 } } }:all()]], "1" },
  { "a nested range", [[q { ["nested.a.b"] = crier.ge(1) }:all()]], "1 2" },
  { "an item of a list", [[q { ["list.2"] = 20 }:all()]], "1" },
  { "a name that holds a dot", [[q { ["a.b"] = "dots" }:all()]], "8" },
  { "an object is no value", [[q { nested = "x" }:all()]], "" },
  { "an object is not null", [[q { nested = crier.ne(crier.null) }:all()]], "1 2" },
  -- snowflakes
  { "a snowflake in a text", [[q { flake = "863071397207212052" }:all()]], "1" },
  { "digits", [[q { digits = "12345" }:all()]], "1" },
  { "digits are no number", [[q { digits = 12345 }:all()]], "" },
  -- common members
  { "text", [[q { text = "row 5" }:all()]], "5" },
  { "kind", [[q { kind = "log" }:count()]], "10" },
  { "kind, one of", [[q { kind = { "task", "event" } }:count()]], "2" },
  { "an unknown kind", [[q { kind = "logs" }:all()]], "error: .*there is no kind \"logs\"" },
  { "level", [[q { level = "error" }:all()]], "6 report.build" },
  { "level by number", [[q { level = 40 }:all()]], "6 report.build" },
  { "level from", [[q { level = crier.ge "warning" }:all()]], "5 6 7 report.build" },
  { "level below", [[q { level = crier.lt "info" }:all()]], "3" },
  { "level between", [[q { level = crier.range("warning", "error") }:all()]], "5 6 report.build" },
  { "logger", [[q { logger = "bot", n = 1 }:all()]], "1" },
  { "ok of a log record is missing", [[q { ok = crier.null, kind = "log" }:count()]], "10" },
  { "where", [[q { where = crier.like "bot.lua:%", kind = "log" }:count()]], "10" },
  { "id", [[(function() local id = q { n = 4 }:first().id; return q { id = id }:all() end)()]], "4" },
  { "seq", [[(function() local s = q { n = 4 }:first().seq; return q { seq = s }:all() end)()]], "4" },
  -- time
  { "time, equal", [[(function() local t = q { n = 7 }:first().time; return q { time = t, n = 7 }:all() end)()]], "7" },
  { "time since", [[q { time = crier.since "1h", kind = "log" }:count()]], "10" },
  { "time since, in seconds", [[q { time = crier.since(3600), kind = "log" }:count()]], "10" },
  { "time from a date", [[q { time = crier.ge "2020-01-01", kind = "log" }:count()]], "10" },
  { "time up to a date", [[q { time = crier.lt "2020-01-01" }:count()]], "0" },
  { "time between", [[q { time = crier.range(first - 10, first + 3600), kind = "log" }:count()]], "10" },
  { "a wrong duration", [[q { time = crier.since "10" }:all()]], "error: .*since: expected a duration" },
  -- groups
  { "any", [[q(crier.any { { word = "alpha" }, { num = 0 } }):all()]], "1 5" },
  { "all", [[q(crier.all { { word = crier.like "a%" }, { num = crier.lt(3) } }):all()]], "10" },
  { "no", [[q(crier.all { { kind = "log" }, crier.no { { n = crier.le(8) } } }):all()]], "9 10" },
  { "any of nothing", [[q(crier.any {}):all()]], "" },
  { "no of nothing", [[q(crier.no {}):count()]], "13" },
  { "groups in groups", [[q(crier.any { crier.all { { n = crier.ge(2) }, { n = crier.le(3) } }, { n = 9 } }):all()]], "2 3 9" },
  { "a group among conditions", [[q { kind = "log", crier.any { { n = 1 }, { n = 2 } } }:all()]], "1 2" },
  -- messages
  { "message", [[q { kind = "message" }:all()]], "gallery" },
  { "guild by a text", [[q { ["guild.id"] = "863071397207212052" }:all()]], "gallery" },
  { "guild by a number", [[q { ["guild.id"] = 863071397207212052 }:all()]], "gallery" },
  { "another guild", [[q { ["guild.id"] = "863071397207212053" }:all()]], "" },
  { "guild above", [[q { ["guild.id"] = crier.gt(863071397207212051) }:all()]], "gallery" },
  { "guild, among", [[q { ["guild.id"] = crier.one_of("1", "863071397207212052") }:all()]], "gallery" },
  { "guild by its digits", [[q { ["guild.id"] = crier.like "8630%52" }:all()]], "gallery" },
  { "guild type", [[q { guild = { type = "GUILD" } }:all()]], "gallery" },
  { "ok", [[q { ok = true }:all()]], "gallery" },
  { "not ok", [[q { ok = false }:all()]], "report.build" },
  { "what was sent", [[q { ["sent_data.text"] = "hi, \"all\"" }:all()]], "gallery" },
  { "a channel of it", [[q { ["channels.successful.1.id"] = "978332728615378984" }:all()]], "gallery" },
  { "success rate", [[q { success_rate = crier.ge(1) }:all()]], "gallery" },
  { "mode", [[q { mode = "send", type = "TextMESSAGE" }:all()]], "gallery" },
  -- events, of which each phase is a record of its own
  { "events", [[q { kind = "event" }:all()]], "report.build shop.open" },
  { "events count as one", [[q { kind = "event" }:count()]], "2" },
  { "an event by what was said at its start", [[q { kind = "event", mod_type = "report" }:all()]], "report.build" },
  { "and at its end", [[q { kind = "event", code = "E9" }:all()]], "report.build" },
  { "and by both", [[q { mod_type = "report", descr_fin = "no paper" }:all()]], "report.build" },
  { "both, one wrong", [[q { mod_type = "shop", descr_fin = "no paper" }:all()]], "" },
  { "a flag that has changed", [[q { kind = "event", is_error = true }:all()]], "report.build" },
  { "as it was before", [[q { kind = "event", is_error = crier.ne(true) }:all()]], "shop.open" },
  { "level of an event", [[q { kind = "event", level = "error" }:all()]], "report.build" },
  { "unfinished ones", [[q { kind = "event", when_finished = crier.null }:all()]], "shop.open" },
  { "when it began", [[q { kind = "event", when_started = crier.since "1h" }:count()]], "2" },
  { "events and logs", [[q { kind = { "log", "event" } }:count()]], "12" },
  { "an event by a pattern", [[q { ev_where = crier.regex "^report\\." }:all()]], "report.build" },
  { "events in an order", [[q { kind = "event" }:order_by("ev_where", "desc"):all()]], "shop.open report.build" },
  { "the last event", [[q { kind = "event" }:last()]], "shop.open" },
  { "one event of two", [[q { kind = "event" }:limit(1):all()]], "report.build" },
  -- order, limit, offset
  { "stored order", [[q { kind = "log" }:all()]], "1 2 3 4 5 6 7 8 9 10" },
  { "by a number", [[q { kind = "log", num = crier.range(nil, nil) }:order_by("num"):all()]], "3 10 5 8 1 2 7 6 4" },
  { "by a number, down", [[q { n = crier.le(3) }:order_by("num", "desc"):all()]], "2 1 3" },
  { "missing first", [[q { n = crier.le(5) }:order_by("word"):all()]], "4 3 1 2 5" },
  { "missing last, down", [[q { n = crier.le(5) }:order_by("word", "desc"):all()]], "5 2 1 3 4" },
  { "booleans, then texts", [[q { n = crier.le(4) }:order_by("flag"):all()]], "3 2 1 4" },
  { "by level", [[q { kind = "log" }:order_by("level", "desc"):limit(4):all()]], "7 6 5 1" },
  { "by a nested name", [[q { n = crier.le(3) }:order_by("nested.a.b", "desc"):all()]], "2 1 3" },
  { "by time, down", [[q { n = crier.le(10) }:order_by("n", "desc"):limit(3):all()]], "10 9 8" },
  { "equal ones keep their order", [[q { kind = "log" }:order_by("logger"):all()]], "1 2 3 4 5 6 7 8 9 10" },
  { "limit", [[q { kind = "log" }:limit(3):all()]], "1 2 3" },
  { "limit 0", [[q { kind = "log" }:limit(0):all()]], "" },
  { "offset", [[q { kind = "log" }:offset(8):all()]], "9 10" },
  { "offset and limit", [[q { kind = "log" }:offset(2):limit(2):all()]], "3 4" },
  { "order, offset and limit", [[q { kind = "log" }:order_by("n", "desc"):offset(2):limit(2):all()]], "8 7" },
  { "offset beyond the end", [[q { kind = "log" }:offset(100):all()]], "" },
  { "first", [[q { n = crier.ge(3) }:first()]], "3" },
  { "first of none", [[q { n = 1000 }:first()]], "nil" },
  { "last", [[q { n = crier.le(3) }:last()]], "3" },
  { "last in an order", [[q { n = crier.le(3) }:order_by("num"):last()]], "2" },
  { "count", [[q { num = crier.ge(3) }:count()]], "4" },
  { "count of all", [[q():count()]], "13" },
  { "running through", [[(function()
      local n = {}
      for r in q { n = crier.le(3) } do n[#n + 1] = r end
      for i, r in q { n = crier.range(4, 5) }:each() do n[3 + i] = r end
      return n
    end)()]], "1 2 3 4 5" },
  { "types that come back", [[(function()
      local r, m = q { n = 1 }:first(), q { kind = "message" }:first()
      return table.concat({ math.type(r.num), type(r.flag), r.flake, r.nested.a.b, #r.list, type(m.guild.id),
        math.type(r.time), math.type(q { n = 2 }:first().num), r.level, m.guild.id }, " ")
    end)()]], "integer boolean 863071397207212052 1 2 string float float info 863071397207212052" },
  { "conditions without names", [[q { "x" }:all()]], "error: .*conditions have names" },
  { "a regex that takes for ever", [[(function()
      local slow = ("a"):rep(40) .. "b"
      crier.log.info("row 99", { n = 99, slow = slow })
      return q { slow = crier.regex "^(a+)+$" }:all()
    end)()]], "nil: .*the regex took too long" },
  { "a function as a value", [[q { word = print }:all()]], "error: .*'word': cannot compare with a function" },
}

-- In this order, each on what the one before has left.
conformance.changes = {
  { "update", [[q { n = 1 }:update { word = "changed", extra = { 1, "x" } }]], "1" },
  { "what was set", [[q { word = "changed", ["extra.2"] = "x" }:all()]], "1" },
  { "what was not", [[q { num = 3, flag = true }:all()]], "1" },
  { "update of none", [[q { n = 1000 }:update { word = "x" }]], "0" },
  { "update of several", [[q { n = crier.le(3) }:update { batch = true }]], "3" },
  { "several were set", [[q { batch = true }:all()]], "1 2 3" },
  { "null removes", [[q { n = 2 }:update { num = crier.null }]], "1" },
  { "what was removed is missing", [[q { n = 2, num = crier.null }:all()]], "2" },
  { "update of a nested name", [[q { n = 2 }:update { ["nested.a.b"] = 77, ["nested.c"] = "new" }]], "1" },
  { "the nested name", [[q { nested = { a = { b = 77 }, c = "new" } }:all()]], "2" },
  { "update to texts that need care", [[q { n = 3 }:update { word = "Š, \"q\"\n=1", num = "007" }]], "1" },
  { "such texts", [[q { word = "Š, \"q\"\n=1", num = "007" }:all()]], "3" },
  { "update of a message", [[q { kind = "message" }:update { ["guild.name"] = "Other", seen = 1 }]], "1" },
  { "the message", [[q { guild = { name = "Other", id = "863071397207212052" }, seen = 1 }:all()]], "gallery" },
  { "update of an event", [[q { kind = "event", code = "E9" }:update { code = "E10", is_error = false }]], "1" },
  { "the event", [[q { kind = "event", code = "E10", is_error = false, mod_type = "report" }:all()]], "report.build" },
  { "update within a field of an event", [[q { ev_where = "shop.open" }:update { ["params.x"] = 3 }]], "1" },
  { "such an event", [[q { ["params.door"] = 2, ["params.x"] = 3 }:all()]], "shop.open" },
  { "delete of an event", [[q { kind = "event", mod_type = "shop" }:delete()]], "1" },
  { "the event left", [[q { kind = "event" }:all()]], "report.build" },
  { "a common member is refused", [[q { n = 1 }:update { level = "info" }]], "nil: .*'level' is part of what every record is" },
  { "identity is refused", [[q { n = 1 }:update { id = "x" }]], "nil: .*'id' is part of" },
  { "no fields", [[q { n = 1 }:update {}]], "error: .*update takes fields" },
  { "limit with update", [[q { n = 1 }:limit(1):update { x = 1 }]], "error: .*no order_by, limit or offset" },
  { "the order is as before", [[q { n = crier.le(10) }:all()]], "1 2 3 4 5 6 7 8 9 10" },
  { "delete", [[q { num = crier.ge(9007199254740993) }:delete()]], "2" },
  { "what is left", [[q { n = crier.le(10) }:all()]], "1 2 3 4 5 8 9 10" },
  { "delete of none", [[q { n = 1000 }:delete()]], "0" },
  { "delete of a message", [[q { kind = "message" }:delete()]], "1" },
  { "it goes on after that", [[(function()
      crier.log.info("row 11", { n = 11 })
      return q { n = crier.ge(9) }:all()
    end)()]], "9 10 11" },
  { "delete of all", [[q():delete()]], "10" },
  { "nothing is left", [[q():count()]], "0" },
  { "and on", [[(function()
      crier.log.info("row 12", { n = 12 })
      return q():all()
    end)()]], "12" },
}

-- name, how it is declared (%s: what the spec fills in), and how it may differ, each with the reason:
-- `but` gives another outcome, or false for a case that does not hold.
conformance.stores = {
  { name = "memory", declare = [[crier.sink.memory { name = "store", kinds = %s }]] },
  { name = "jsonl", declare = [[crier.sink.jsonl { name = "store", path = "c.jsonl", kinds = %s }]] },
  { name = "jsonl, many packed files", declare = [[crier.sink.jsonl { name = "store", path = "c.jsonl",
      max_size = 900, compress = true, kinds = %s }]] },
  { name = "csv", declare = [[crier.sink.csv { name = "store", path = "c.csv", kinds = %s }]] },
  { name = "csv, many files", declare = [[crier.sink.csv { name = "store", path = "c.csv", max_size = 1200,
      kinds = %s }]] },
  { name = "json", declare = [[crier.sink.json { name = "store", level = "debug", kinds = %s }]] },
  { name = "redis", declare = [[crier.sink.redis { name = "store", url = "@REDIS@", format = "json",
      kinds = %s }]],
    -- A list of lines cannot be written to in the middle.
    no_changes = "nil: .*recent lines.*cannot be changed" },
  { name = "sql", declare = [[crier.sink.sql { name = "store", kinds = %s,
      dsn = "Driver=SQLite3;Database=c.db" }]] },
}

return conformance
