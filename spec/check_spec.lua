-- SPDX-License-Identifier: MIT
-- luacheck: no max line length
-- `crier check`: every fault that a script can have, with the line that its author reads. A line
-- that changes here changes for them: read it as they would, at midnight.
local cjson = require "cjson"
local http = require "socket.http"
local Bot = require "spec.support.bot"
local proc = require "spec.support.proc"

-- The first two lines of every script below, so that line 3 is its first.
local HEAD = 'local crier = require "crier"\ncrier.bot { token = crier.secret.env "TOKEN" }\n'
local TOKEN = "MTIzNDU2Nzg5.secret.token"

local function guild(messages)
  return 'crier.GUILD { snowflake = "1", logging = true, messages = {\n' .. messages .. "\n} }"
end

-- A TextMESSAGE that is right but for what is told; options begin at column 70 of line 4.
local function text(options)
  return guild('  crier.TextMESSAGE { name = "m", channels = { "2" }, period = "1h", ' .. options .. " },")
end

local D = 'data = "x"'

-- The lines of a report without notes and the two lines of the summary.
local function problems(out)
  local lines = {}
  for line in out:gmatch "[^\n]+" do
    if not line:match "^bot%.lua:[%d:]* note:" then lines[#lines + 1] = line end
  end
  assert.matches("^%d+ errors?, %d+ warnings?$", table.remove(lines))
  assert.matches("^bot%.lua: %d+ bots?, ", table.remove(lines))
  return lines
end

local WARNING = "^bot%.lua:[%d:]* warning:"

describe("crier check", function()
  local bot
  setup(function() bot = Bot.new() end)
  teardown(function() bot:close() end)

  local function check(script, ...)
    bot:write("bot.lua", script)
    return bot:check({ ... }, { env = { TOKEN = TOKEN } })
  end

  local golden = {
    { "unknown options", {
      { "config",
        'crier.config { timezne = "UTC" }',
        [[bot.lua:3:16: config: unknown option 'timezne' (did you mean 'timezone'?)]] },
      { "config.limits",
        'crier.config {\n  limits = { calback = "1s" } }',
        [[bot.lua:4:14: config.limits: unknown option 'calback' (did you mean 'callback'?)]] },
      { "bot",
        'crier.bot { name = "b", tokn = 1, token = crier.secret.env "TOKEN" }',
        [[bot.lua:3:25: bot 'b': unknown option 'tokn' (did you mean 'token'?)]] },
      { "GUILD",
        'crier.GUILD { snowflake = "1", loging = true }',
        [[bot.lua:3:32: GUILD '1': unknown option 'loging' (did you mean 'logging'?)]] },
      { "USER",
        'crier.USER { snowflake = "1", messges = {} }',
        [[bot.lua:3:31: USER '1': unknown option 'messges' (did you mean 'messages'?)]] },
      { "TextMESSAGE",
        text('perod = "1s", ' .. D),
        [[bot.lua:4:70: message 'm': unknown option 'perod' (did you mean 'period'?)]] },
      { "DirectMESSAGE",
        'crier.USER { snowflake = "1", logging = true, messages = {\n  crier.DirectMESSAGE { name = "m", period = "1d", channels = { "1" }, data = "x" } } }',
        [[bot.lua:4:52: message 'm': unknown option 'channels' (known: name, was, mode, period, catch_up, grace, tz, start_in, remove_after, data, only_if, mentions)]] },
      { "sink",
        'crier.sink.json {\n  pth = "x" }',
        [[bot.lua:4:3: sink: unknown option 'pth' (did you mean 'path'?)]] },
      { "route",
        'crier.route { mach = {}, to = crier.sink.memory() }',
        [[bot.lua:3:15: route: unknown option 'mach' (did you mean 'match'?)]] },
      { "EMBED",
        text('data = crier.EMBED { titel = "x" }'),
        [[bot.lua:4:91: EMBED: unknown option 'titel' (did you mean 'title'?)]] },
      { "EMBED, inside",
        text('data = crier.EMBED { title = "x", author = { name = "x", ican = "y" },\n    fields = { { name = "a", value = "b", inlin = true } } }'),
        [[bot.lua:4:127: EMBED: unknown option 'author.ican' (did you mean 'icon'?)]],
        [[bot.lua:5:43: EMBED: unknown option 'fields[1].inlin' (did you mean 'inline'?)]] },
      { "FILE",
        text('data = crier.FILE { pat = "x" }'),
        [[bot.lua:4:90: FILE: unknown option 'pat' (did you mean 'path'?)]] },
      { "nothing near",
        'crier.GUILD { snowflake = "1", logging = true, xyzzy = true }',
        [[bot.lua:3:48: GUILD '1': unknown option 'xyzzy' (known: snowflake, name, logging, messages, bot, invite_track)]] },
      { "an item without a name",
        'crier.bot { "abc", name = "b", token = crier.secret.env "TOKEN" }',
        [[bot.lua:3:7: bot 'b': crier.bot takes named options only, got an item without a name]] },
      { "a hook",
        'crier.on("message.snet", function() end)',
        [[bot.lua:3:7: crier.on: unknown event 'message.snet' (did you mean 'message.sent'?)]] },
      { "a hook with nothing near",
        'crier.on("xyzzy", function() end)',
        [[bot.lua:3:7: crier.on: unknown event 'xyzzy' (known: start, stop, reload, reload.failed, message.sent, message.failed, message.skipped, sink.down, sink.up, task.run, task.success, task.fail, task.terminate, task.inaction, task.crash, alert, gateway.ready, gateway.lost, guild.join, guild.leave, guild.update, channel.create, channel.update, channel.delete, thread.create, thread.update, thread.delete, role.create, role.update, role.delete, member.join, member.leave, member.update, invite.create, invite.delete, invite.used, message, message.edit, message.delete, reaction.add, reaction.remove)]] },
    } },
    { "wrong types", {
      { "a string",
        'crier.config { node = 5 }',
        [[bot.lua:3:16: config: option 'node' must be a string, got the number 5]] },
      { "a boolean",
        'crier.GUILD { snowflake = "1", logging = "yes" }',
        [[bot.lua:3:32: GUILD '1': option 'logging' must be true or false, got the string "yes"]] },
      { "an integer",
        'crier.bot { name = "b", token = crier.secret.env "TOKEN", requests_per_second = "many" }',
        [[bot.lua:3:59: bot 'b': option 'requests_per_second' must be an integer, got the string "many"]] },
      { "out of bounds",
        'crier.bot { name = "b", token = crier.secret.env "TOKEN", requests_per_second = 0 }',
        [[bot.lua:3:59: bot 'b': option 'requests_per_second' must be at least 1 and at most 10000, got 0]] },
      { "a path",
        'crier.sink.json { path = {} }',
        [[bot.lua:3:19: sink: option 'path' must be a path, got a table]] },
      { "a size",
        'crier.config { limits = { memory = "lots" } }',
        [[bot.lua:3:27: config.limits: option 'memory': expected a size such as "64KiB" or "256MiB", got "lots" (units are B KB MB GB KiB MiB GiB)]] },
      { "a small size",
        'crier.config { limits = { memory = "1KiB" } }',
        [[bot.lua:3:27: config.limits: option 'memory' must be at least 1MiB, got 1KiB]] },
      { "a duration",
        'crier.config { limits = { callback = true } }',
        [[bot.lua:3:27: config.limits: option 'callback' must be a duration such as "10s" or "1m30s", got true]] },
      { "a small duration",
        'crier.config { limits = { callback = "1us" } }',
        [[bot.lua:3:27: config.limits: option 'callback': expected a duration such as "10s" or "1m30s", got "1us" (units are ms s m h d w)]] },
      { "a list of strings",
        'crier.config { lua_path = { "a", 5 } }',
        [[bot.lua:3:16: config: option 'lua_path' must be a list of strings, got the number 5]] },
      { "limits",
        'crier.config { limits = "none" }',
        [[bot.lua:3:16: config: option 'limits' must be a table (limits = { callback = "250ms" })]] },
      { "a token",
        'crier.bot { name = "b", token = 5 }',
        [[bot.lua:3:25: bot 'b': option 'token' must be a secret such as crier.secret.env "DISCORD_TOKEN", got the number 5]] },
      { "an api",
        'crier.bot { name = "b", token = crier.secret.env "TOKEN", api = "discord.com" }',
        [[bot.lua:3:59: bot 'b': option 'api' must start with http:// or https:// (such as "https://discord.com/api/v10")]] },
      { "a bot",
        'crier.GUILD { snowflake = "1", bot = "b" }',
        [[bot.lua:3:32: GUILD '1': option 'bot' must be what crier.bot returned (local b = crier.bot {...})]] },
      { "messages",
        guild("") .. '\ncrier.USER { snowflake = "1", messages = "x" }',
        [[bot.lua:6:31: USER '1': option 'messages' must be a list of messages]] },
      { "an item of messages",
        guild('  "hello",'),
        [[bot.lua:4:3: GUILD '1': item 1 of 'messages' must be a crier.TextMESSAGE, got the string "hello"]] },
      { "a key in messages",
        guild('  crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" }, hello = 5,'),
        [[bot.lua:4:80: GUILD '1': option 'messages' is a list, 'hello' has no place in it (messages = { crier.TextMESSAGE {...} })]] },
      { "the name of a message",
        text(D):gsub('"m"', '"a/b"'),
        [[bot.lua:4:23: message 'a/b': option 'name' must not be empty or hold a '/']] },
      { "an empty name",
        text(D):gsub('"m"', '""'),
        [[bot.lua:4:23: message '': option 'name' must not be empty or hold a '/']] },
      { "the name of a sink",
        'crier.sink.memory { name = "a b" }',
        [[bot.lua:3:21: sink 'a b': option 'name' holds ' ' (use letters, digits, '_' and '-')]] },
      { "a timezone",
        'crier.config { timezone = "Europe/Lubljana" }',
        [[bot.lua:3:16: config: option 'timezone': unknown time zone "Europe/Lubljana" (expected an IANA name such as "Europe/Ljubljana", or "UTC" or "local")]] },
      { "an enum",
        text('mode = "edt", ' .. D),
        [[bot.lua:4:70: message 'm': option 'mode' must be one of send, edit, clear-send, got "edt" (did you mean "edit"?)]] },
      { "an enum with nothing near",
        text('mode = "xyzzy", ' .. D),
        [[bot.lua:4:70: message 'm': option 'mode' must be one of send, edit, clear-send, got "xyzzy"]] },
      { "an enum of another type",
        text('mode = 5, ' .. D),
        [[bot.lua:4:70: message 'm': option 'mode' must be one of send, edit, clear-send, got the number 5]] },
    } },
    { "snowflakes", {
      { "a float",
        'crier.GUILD { snowflake = 863071397207212052.0 }',
        [[bot.lua:3:15: GUILD: option 'snowflake': the snowflake 8.6307139720721e+17 is a float, and floats lose digits from 2^53 on (write it as a string, "863071397207212032", and check its digits)]] },
      { "no digits",
        'crier.GUILD { snowflake = "my guild" }',
        [[bot.lua:3:15: GUILD 'my guild': option 'snowflake': "my guild" is not a snowflake, which has 1 to 19 digits (in Discord: Settings, Advanced, Developer Mode on; then right-click, Copy ID)]] },
      { "too long",
        'crier.GUILD { snowflake = "99999999999999999999" }',
        [[bot.lua:3:15: GUILD '99999999999999999999': option 'snowflake': "99999999999999999999" is not a snowflake, which has 1 to 19 digits (in Discord: Settings, Advanced, Developer Mode on; then right-click, Copy ID)]] },
      { "zero",
        'crier.GUILD { snowflake = 0 }',
        [[bot.lua:3:15: GUILD '0': option 'snowflake': a snowflake is a positive number, got 0]] },
      { "another type",
        'crier.GUILD { snowflake = true }',
        [[bot.lua:3:15: GUILD: option 'snowflake' must be a snowflake such as "863071397207212052", got true]] },
      { "in a list",
        text(D):gsub('{ "2" }', '{ "2", "#general", 3.0 }'),
        [[bot.lua:4:53: message 'm': option 'channels[2]': "#general" is not a snowflake, which has 1 to 19 digits (in Discord: Settings, Advanced, Developer Mode on; then right-click, Copy ID)]],
        [[bot.lua:4:65: message 'm': option 'channels[3]': the snowflake 3 is a float, and floats lose digits from 2^53 on (write it as a string, "3", and check its digits)]] },
      { "twice in a list",
        text(D):gsub('{ "2" }', '{ "2", 3, 2 }'),
        [[bot.lua:4:56: message 'm': option 'channels' names 2 twice]] },
      { "an empty list",
        text(D):gsub('{ "2" }', '{}'),
        [[bot.lua:4:35: message 'm': option 'channels' is empty (channels = { "978332728615378984" })]] },
    } },
    { "what is missing", {
      { "of a bot",
        'crier.bot { name = "b" }',
        [[bot.lua:3:7: bot 'b': option 'token' is missing (token = crier.secret.env "DISCORD_TOKEN")]] },
      { "of a GUILD",
        'crier.GUILD { logging = true }',
        [[bot.lua:3:7: GUILD: option 'snowflake' is missing (snowflake = "863071397207212052", or crier.guilds { crier.contains "town" })]] },
      { "of a TextMESSAGE",
        guild('  crier.TextMESSAGE {},'),
        [[bot.lua:4:9: message: option 'channels' is missing (channels = { "978332728615378984" })]],
        [[bot.lua:4:9: message: option 'period' is missing (period = "10s", { "45m", "75m" } for a random one between the two, or crier.daily:at "09:00")]],
        [[bot.lua:4:9: message: option 'data' is missing (what to send: a text, EMBED, FILE, a list of them, or a function that returns one)]] },
      { "of a DirectMESSAGE",
        'crier.USER { snowflake = "1", logging = true, messages = {\n  crier.DirectMESSAGE { name = "m" } } }',
        [[bot.lua:4:9: message 'm': option 'period' is missing (period = "10s", { "45m", "75m" } for a random one between the two, or crier.daily:at "09:00")]],
        [[bot.lua:4:9: message 'm': option 'data' is missing (what to send: a text, EMBED, FILE, a list of them, or a function that returns one)]] },
      { "of a route",
        'crier.route {}',
        [[bot.lua:3:7: route: option 'to' is missing (to = files, or { sql, files })]] },
      { "of an EMBED",
        text('data = crier.EMBED {}'),
        [[bot.lua:4:83: EMBED: is empty (title = "...")]] },
      { "of an EMBED's field",
        text('data = crier.EMBED { fields = { { name = "a" } } }'),
        [[bot.lua:4:102: EMBED: option 'fields[1].value' is missing]] },
      { "of a FILE",
        text('data = crier.FILE {}'),
        [[bot.lua:4:83: FILE: needs 'path' or 'data']] },
      { "of a FILE with data",
        text('data = crier.FILE { data = "bytes" }'),
        [[bot.lua:4:83: FILE: 'data' needs a 'name' (name = "cat.png")]] },
    } },
    { "durations and times", {
      { "no unit",
        text('start_in = "10", ' .. D),
        [[bot.lua:4:70: message 'm': option 'start_in': expected a duration such as "30d" (units are ms s m h d w) or a date such as "2026-11-21T09:00", got "10"]] },
      { "an unknown unit",
        text(D):gsub('"1h"', '"10x"'),
        [[bot.lua:4:55: message 'm': option 'period': expected a duration such as "10s" or "1m30s", got "10x" (units are ms s m h d w)]] },
      { "a bare number as a text",
        text(D):gsub('"1h"', '"10"'),
        [[bot.lua:4:55: message 'm': option 'period': expected a duration such as "10s" or "1m30s", got "10" (units are ms s m h d w)]] },
      { "a short period",
        text(D):gsub('"1h"', '"50ms"'),
        [[bot.lua:4:55: message 'm': option 'period' must be at least 100ms]] },
      { "a negative period",
        text(D):gsub('"1h"', '-5'),
        [[bot.lua:4:55: message 'm': option 'period': expected a duration, a number of seconds from 0 up, got -5]] },
      { "three durations",
        text(D):gsub('"1h"', '{ "1s", "2s", "3s" }'),
        [[bot.lua:4:55: message 'm': option 'period' takes one duration or a list of exactly two (period = { "45m", "75m" })]] },
      { "the longer one first",
        text(D):gsub('"1h"', '{ "5s", "2s" }'),
        [[bot.lua:4:55: message 'm': option 'period': the first duration is longer than the second (put the shorter one first)]] },
      { "one of two that is wrong",
        text(D):gsub('"1h"', '{ "5s", "2" }'),
        [[bot.lua:4:55: message 'm': option 'period': expected a duration such as "10s" or "1m30s", got "2" (units are ms s m h d w)]] },
      { "start_in",
        text('start_in = "tomorrow", ' .. D),
        [[bot.lua:4:70: message 'm': option 'start_in': expected a duration such as "30d" (units are ms s m h d w) or a date such as "2026-11-21T09:00", got "tomorrow"]] },
      { "start_in of another type",
        text('start_in = {}, ' .. D),
        [[bot.lua:4:70: message 'm': option 'start_in' must be a duration such as "10s" or "1m30s", got a table]] },
      { "start_in below zero",
        text('start_in = -1, ' .. D),
        [[bot.lua:4:70: message 'm': option 'start_in': expected a duration, a number of seconds from 0 up, got -1]] },
      { "a date that there is not",
        text('start_in = "2026-02-30", ' .. D),
        [[bot.lua:4:70: message 'm': option 'start_in': bad date "2026-02-30": day 30 is out of range (1 to 28)]] },
      { "remove_after",
        text('remove_after = "never", ' .. D),
        [[bot.lua:4:70: message 'm': option 'remove_after': expected a duration such as "30d" (units are ms s m h d w) or a date such as "2026-11-21T09:00", got "never"]] },
      { "remove_after 0",
        text('remove_after = 0, ' .. D),
        [[bot.lua:4:70: message 'm': option 'remove_after': expected a count of sends of at least 1, got 0]] },
      { "remove_after of another type",
        text('remove_after = 1.5, ' .. D),
        [[bot.lua:4:70: message 'm': option 'remove_after' must be a count, a duration or a date-time (remove_after = 10, "30d" or "2026-12-31")]] },
    } },
    { "names", {
      { "two messages",
        guild('  crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" },\n  crier.TextMESSAGE { name = "m", channels = "3", period = "1h", data = "x" },'),
        [[bot.lua:5:23: message 'm': there is a message of this name in the same GUILD already, at bot.lua:4 (give each a name of its own)]] },
      { "was is still there",
        guild('  crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" },\n  crier.TextMESSAGE { name = "n", was = "m", channels = "3", period = "1h", data = "x" },'),
        [[bot.lua:5:35: message 'n': option 'was' names a message that is declared too (remove 'was', or rename the other one)]] },
      { "two sinks",
        'crier.sink.memory()\ncrier.sink.json { name = "memory" }',
        [[bot.lua:4:19: sink 'memory': there is a sink 'memory' already (line 3) (give each sink a name of its own)]] },
      { "two bots",
        'crier.bot { token = crier.secret.env "TOKEN" }',
        [[bot.lua:3:7: bot: there is a bot 'bot' already, at bot.lua:2 (give each bot a name of its own)]] },
      { "two GUILDs",
        guild("") .. "\n" .. guild(""),
        [[bot.lua:6:7: GUILD '1': it is declared already, at bot.lua:3 (put all its messages into one)]] },
      { "two configs",
        'crier.config {}\ncrier.config {}',
        [[bot.lua:4:7: config: crier.config is called twice (first on line 3) (keep one)]] },
      { "state after state",
        'crier.state("x")\ncrier.config { state = "elsewhere" }',
        [[bot.lua:4:16: config: crier.state was used before the state folder was set (move crier.config to the top)]] },
    } },
    { "where messages belong", {
      { "in two GUILDs",
        'local m = crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" }\ncrier.GUILD { snowflake = "1", logging = true, messages = { m } }\ncrier.GUILD { snowflake = "2", logging = true, messages = { m } }',
        [[bot.lua:5:61: GUILD '2': message 'm' is in another GUILD or USER already (bot.lua:4) (declare it once for each)]] },
      { "in none",
        'crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" }',
        [[bot.lua:3:7: warning: message 'm': it belongs to no GUILD or USER and is never sent (put it into `messages` of a GUILD or USER)]] },
      { "a DirectMESSAGE in a GUILD",
        guild('  crier.DirectMESSAGE { name = "m", period = "1h", data = "x" },'),
        [[bot.lua:4:3: GUILD '1': message 'm' is a DirectMESSAGE; a GUILD takes crier.TextMESSAGE only]] },
      { "a TextMESSAGE of a USER",
        'crier.USER { snowflake = "1", logging = true, messages = {\n  crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" } } }',
        [[bot.lua:4:3: USER '1': message 'm' is a TextMESSAGE; a USER takes crier.DirectMESSAGE only]] },
      { "a VoiceMESSAGE",
        guild('  crier.VoiceMESSAGE { name = "m", data = "x.ogg" },'),
        [[bot.lua:4:9: message 'm': VoiceMESSAGE is not available: Discord takes only end-to-end encrypted voice, which this version does not speak (use a TextMESSAGE)]] },
      { "several bots",
        'crier.bot { name = "b", token = crier.secret.env "TOKEN" }\n' .. text(D),
        [[bot.lua:4:7: GUILD '1': there are 2 bots: option 'bot' must say which one sends (local b = crier.bot {...}, then bot = b here)]] },
      { "several bots, the second one behind",
        text(D) .. '\ncrier.bot { name = "b", token = crier.secret.env "TOKEN" }',
        [[bot.lua:3:7: GUILD '1': there are 2 bots: option 'bot' must say which one sends (local b = crier.bot {...}, then bot = b here)]] },
    } },
    { "routes", {
      { "match",
        'crier.route { match = "error", to = crier.sink.memory() }',
        [[bot.lua:3:15: route: option 'match' must be a table, a function or crier.otherwise]] },
      { "a condition",
        'crier.route { match = { text = print }, to = crier.sink.memory() }',
        [[bot.lua:3:15: route: option 'match': 'text': cannot compare with a function]] },
      { "a condition without a name",
        'crier.route { match = { "error" }, to = crier.sink.memory() }',
        [[bot.lua:3:15: route: option 'match': conditions have names: { kind = "message" }]] },
      { "a kind that there is not",
        'crier.route { match = { kind = "mesage" }, to = crier.sink.memory() }',
        [[bot.lua:3:15: route: option 'match': there is no kind "mesage" (did you mean "message"?)]] },
      { "a level that there is not",
        'crier.route { match = { level = crier.one_of("error", "fatal") }, to = crier.sink.memory() }',
        [[bot.lua:3:15: route: option 'match': there is no level "fatal" (there are debug, info, warning, error, critical)]] },
      { "to",
        'crier.route { to = "files" }',
        [[bot.lua:3:15: route: option 'to' must be a sink or a list of sinks, got the string "files" (crier.sinks.files is a sink by its name)]] },
      { "to, in a list",
        'crier.route { to = { crier.sink.memory(), "files" } }',
        [[bot.lua:3:15: route: option 'to' must be a sink or a list of sinks, got the string "files" (crier.sinks.files is a sink by its name)]] },
      { "a sink that none leads to",
        'local a, b = crier.sink.memory(), crier.sink.json()\ncrier.route { to = a }',
        [[bot.lua:3:41: warning: sink 'json': there are routes, but none leads to it (crier.route { to = ... })]] },
    } },
    { "data", {
      { "two texts",
        text('data = { "a", "b" }'),
        [[bot.lua:4:70: message 'm': option 'data': there is more than one text (join them with "\n")]] },
      { "an empty table",
        text('data = {}'),
        [[bot.lua:4:70: message 'm': option 'data': the table is empty (return nil to skip a send)]] },
      { "a number",
        text('data = 5'),
        [[bot.lua:4:70: message 'm': option 'data': expected a text, EMBED, FILE or a list of them, got the number 5]] },
      { "blank",
        text('data = " "'),
        [[bot.lua:4:70: message 'm': option 'data': nothing to send: no text, EMBED, FILE, POLL or STICKER]] },
      { "a hole",
        text('data = { "a", [3] = crier.EMBED { title = "x" } }'),
        [[bot.lua:4:70: message 'm': option 'data': the list has holes: 2 items, the last one is number 3 (leave no nil between them)]] },
      { "a table that is no EMBED",
        text('data = { title = "x" }'),
        [[bot.lua:4:70: message 'm': option 'data': expected a list of texts, EMBEDs and FILEs, got a table with the key 'title' (an embed is crier.EMBED {...})]] },
      { "a function in a list",
        text('data = { "a", function() end }'),
        [[bot.lua:4:70: message 'm': option 'data': a function cannot stand in a list: let it return the list]] },
      { "a data_function that was not called",
        text('data = crier.data_function(function() end)'),
        [[bot.lua:4:70: message 'm': option 'data' is what crier.data_function returned: call it to bind its arguments (data = get(...), or data = the function itself)]] },
      { "2,001 characters",
        text('data = ("x"):rep(2001)'),
        [[bot.lua:4:70: message 'm': option 'data': the text has 2001 characters, Discord allows 2000 (shorten it, or put it into an embed)]] },
      { "1,001 characters of two units",
        text('data = ("\\u{1F600}"):rep(1001)'),
        [[bot.lua:4:70: message 'm': option 'data': the text has 2002 characters, Discord allows 2000 (shorten it, or put it into an embed)]] },
      { "a NUL",
        text('data = "a\\0b"'),
        [[bot.lua:4:70: message 'm': option 'data': the text holds a NUL byte]] },
      { "11 embeds",
        text('data = (function() local t = {} for i = 1, 11 do t[i] = crier.EMBED { title = "x" } end return t end)()'),
        [[bot.lua:4:70: message 'm': option 'data': 11 embeds, Discord allows 10 a message (send several messages)]] },
      { "11 files",
        text('data = (function() local t = {} for i = 1, 11 do t[i] = crier.FILE "x" end return t end)()'),
        [[bot.lua:4:70: message 'm': option 'data': 11 files, Discord allows 10 a message]] },
      { "a long title",
        text('data = crier.EMBED { title = ("x"):rep(257) }'),
        [[bot.lua:4:83: EMBED: title has 257 characters, Discord allows 256 (shorten it)]] },
      { "a long description",
        text('data = crier.EMBED { description = ("x"):rep(4097) }'),
        [[bot.lua:4:83: EMBED: description has 4097 characters, Discord allows 4096 (shorten it)]] },
      { "26 fields",
        text('data = crier.EMBED { fields = (function() local t = {} for i = 1, 26 do t[i] = { name = "a", value = "b" } end return t end)() }'),
        [[bot.lua:4:83: EMBED: has 26 fields, Discord allows 25]] },
      { "a long field",
        text('data = crier.EMBED { fields = { { name = ("x"):rep(257), value = "b" } } }'),
        [[bot.lua:4:83: EMBED: fields[1].name has 257 characters, Discord allows 256 (shorten it)]] },
      { "embeds that are too long together",
        text('data = { crier.EMBED { description = ("x"):rep(4000) }, crier.EMBED { description = ("x"):rep(2001) } }'),
        [[bot.lua:4:70: message 'm': option 'data': the embeds have 6001 characters in all, Discord allows 6000]] },
      { "a color",
        text('data = crier.EMBED { title = "x", color = 0x1000000 }'),
        [[bot.lua:4:104: EMBED: option 'color' must be a number from 0 to 0xFFFFFF, got the number 16777216]] },
      { "a timestamp",
        text('data = crier.EMBED { title = "x", timestamp = "now" }'),
        [[bot.lua:4:104: EMBED: option 'timestamp': expected a date such as "2026-11-21" or "2026-11-21T09:00", got "now"]] },
      { "an image",
        text('data = crier.EMBED { title = "x", image = 5 }'),
        [[bot.lua:4:104: EMBED: option 'image' must be an address]] },
      { "an author",
        text('data = crier.EMBED { title = "x", author = 5, footer = { icon = "x" } }'),
        [[bot.lua:4:104: EMBED: option 'author' must be a string or a table, got the number 5]],
        [[bot.lua:4:116: EMBED: option 'footer.text' is missing]] },
      { "fields",
        text('data = crier.EMBED { title = "x", fields = { "a" } }'),
        [[bot.lua:4:115: EMBED: option 'fields[1]' must be a table, got the string "a" ({ name = "...", value = "..." })]] },
      { "a FILE with path and data",
        text('data = crier.FILE { path = "x", data = "y", name = "z" }'),
        [[bot.lua:4:83: FILE: takes 'path' or 'data', not both]] },
      { "a FILE of another type",
        text('data = crier.FILE { path = 5 }'),
        [[bot.lua:4:90: FILE: option 'path' must be a string, got the number 5]] },
    } },
    { "mentions", {
      { "no table",
        text('mentions = "everyone", ' .. D),
        [[bot.lua:4:70: message 'm': option 'mentions' must be a table (mentions = { "everyone" } or { roles = { "123" } })]] },
      { "an unknown word",
        text('mentions = { "evryone" }, ' .. D),
        [[bot.lua:4:70: message 'm': option 'mentions' does not know 'evryone' (did you mean 'everyone'?)]] },
      { "an unknown key",
        text('mentions = { here = true }, ' .. D),
        [[bot.lua:4:70: message 'm': option 'mentions' does not know 'here' ('everyone' stands for @here too)]] },
      { "another type",
        text('mentions = { 5, everyone = "yes" }, ' .. D),
        [[bot.lua:4:70: message 'm': option 'mentions' does not know the number 5 (known: everyone, roles, users)]],
        [[bot.lua:4:70: message 'm': option 'mentions.everyone' must be true, false or a list of snowflakes, got the string "yes"]] },
      { "a bad id",
        text('mentions = { roles = { "admins" } }, ' .. D),
        [[bot.lua:4:93: message 'm': option 'mentions.roles[1]': "admins" is not a snowflake, which has 1 to 19 digits (in Discord: Settings, Advanced, Developer Mode on; then right-click, Copy ID)]] },
    } },
    { "Lua's own errors", {
      { "a syntax error",
        'crier.GUILD { snowflake = "1",, }',
        [[bot.lua:3: unexpected symbol near ',']] },
      { "an unfinished table",
        'crier.GUILD { snowflake = "1"',
        [[bot.lua:4: '}' expected (to close '{' at line 3) near <eof>]] },
      { "a runtime error",
        'local t\n\nprint(t.x)',
        [[bot.lua:5: attempt to index a nil value (local 't')]] },
      { "a runtime error in a function",
        'local function f(t) return t.x end\nf(nil)',
        [[bot.lua:3: attempt to index a nil value (local 't')]] },
      { "an error that is a table",
        'error { code = 5 }',
        [[bot.lua: loading bot.lua: the error is a table value, not a text]] },
      { "an error that is nil",
        'error(nil)',
        [[bot.lua: loading bot.lua: the error is a nil value, not a text]] },
      { "not a table",
        'crier.GUILD "863071397207212052"',
        [[bot.lua:3: crier.GUILD expects a table, got a string: crier.GUILD { snowflake = "...", messages = { crier.TextMESSAGE {...} } }]] },
      { "no function",
        'crier.on("start")',
        [[bot.lua:3: crier.on expects a name and a function: crier.on("message.sent", function(e) ... end)]] },
      { "a sink that there is not",
        'crier.sinks.fils.x = 5',
        [[bot.lua:3: there is no sink 'fils']] },
      { "a kind of sink that there is not",
        'crier.sink.jsn {}',
        [[bot.lua:3: there is no crier.sink.jsn (did you mean crier.sink.json?)]] },
      { "a path that would be cut short",
        [[crier.sink.jsonl { path = "x\0y.jsonl" }]],
        [[bot.lua:3:20: sink: option 'path' holds a NUL byte (take it out)]] },
      { "a kind of sink that is near to none",
        'crier.sink.frobnicator {}',
        [[bot.lua:3: there is no crier.sink.frobnicator (there is: console, csv, custom, json, jsonl, memory, native, redis, sql)]] },
      { "a misspelt declaration",
        'crier.TextMessage {}',
        [[bot.lua:3: there is no crier.TextMessage (did you mean crier.TextMESSAGE?)]] },
      { "a misspelt level of the log",
        'crier.log.inof "x"',
        [[bot.lua:3: there is no crier.log.inof (did you mean crier.log.info?)]] },
      { "a token where the variable's name should be",
        'crier.secret.env "MTIz.abc.def"',
        [[bot.lua:3: crier.secret.env expects the name of a variable, not the secret itself: crier.secret.env "DISCORD_TOKEN"]] },
      { "a bot that is a token",
        'crier.bot "MTIz.abc.def"',
        [[bot.lua:3: crier.bot expects a table, got a string: crier.bot { token = crier.secret.env "DISCORD_TOKEN" }]] },
      { "a module that there is not",
        'require "nowhere"',
        [[bot.lua:3: module 'nowhere' not found: no field package.preload['nowhere']; no file 'DIR/nowhere.lua'; no file 'DIR/nowhere/init.lua'; C modules are off (crier.config { native_modules = true } turns them on)]] },
      { "waiting while loading",
        'crier.sleep "1s"',
        [[bot.lua:3: crier.sleep is not available while loading: call it in a task, a data function or a hook]] },
    } },
  }

  for _, section in ipairs(golden) do
    describe(section[1], function()
      for _, case in ipairs(section[2]) do
        it(case[1], function()
          local r = check(HEAD .. case[2] .. "\n")
          local got = table.concat(problems(r.out), "\n"):gsub(bot.dir:gsub("%p", "%%%0"), "DIR")
          assert.equal(table.concat(case, "\n", 3), got)
          local errors = 0
          for i = 3, #case do
            if not case[i]:match(WARNING) then errors = errors + 1 end
          end
          assert.equal(errors > 0 and 78 or 0, r.code)
          assert.equal("", r.err)
        end)
      end
    end)
  end

  describe("its report", function()
    local several = HEAD .. [[
crier.GUILD { snowflake = 1.5, messages = {
  crier.TextMESSAGE { name = "gallery", perod = "10s", mode = "edt",
                      channels = { "2" }, data = 5 },
  crier.TextMESSAGE { name = "gallery", channels = "2", period = "1h", data = crier.EMBED { titel = "x" } },
} }
crier.USER { snowflake = "7", messages = { crier.DirectMESSAGE { name = "hi", period = "1d", data = "x" } } }
crier.on("messag.sent", print)
crier.TextMESSAGE { name = "lost", channels = "2", period = "1h", data = "x" }
]]
    local lines = {
      [[bot.lua: note: no sink is declared: records go to console, json (History) and memory]],
      [[bot.lua:3:15: GUILD: option 'snowflake': the snowflake 1.5 is a float, and floats lose digits from 2^53 on (write it as a string, "2", and check its digits)]],
      [[bot.lua:4:41: message 'gallery': unknown option 'perod' (did you mean 'period'?)]],
      [[bot.lua:4:56: message 'gallery': option 'mode' must be one of send, edit, clear-send, got "edt" (did you mean "edit"?)]],
      [[bot.lua:5:43: message 'gallery': option 'data': expected a text, EMBED, FILE or a list of them, got the number 5]],
      [[bot.lua:6:23: message 'gallery': there is a message of this name in the same GUILD already, at bot.lua:4 (give each a name of its own)]],
      [[bot.lua:6:93: EMBED: unknown option 'titel' (did you mean 'title'?)]],
      [[bot.lua:8:7: note: USER '7': logging is off: its sends make no records (logging = true)]],
      [[bot.lua:9:7: crier.on: unknown event 'messag.sent' (did you mean 'message.sent'?)]],
      [[bot.lua:10:7: warning: message 'lost': it belongs to no GUILD or USER and is never sent (put it into `messages` of a GUILD or USER)]],
      [[bot.lua: 1 bot, 1 guild, 1 user, 4 messages, 3 sinks, 0 routes]],
      [[7 errors, 1 warning]],
    }

    it("has all problems of one pass, sorted by place", function()
      local r = check(several)
      assert.equal(table.concat(lines, "\n") .. "\n", r.out)
      assert.equal(78, r.code)
    end)

    it("is the same each time", function()
      for _ = 1, 5 do assert.equal(table.concat(lines, "\n") .. "\n", check(several).out) end
    end)

    it("is one JSON object a line with --json", function()
      local r = check(several, "--json")
      local got = {}
      for line in r.out:gmatch "[^\n]+" do got[#got + 1] = cjson.decode(line) end
      assert.equal(#lines - 2, #got)
      assert.same({ severity = "error", file = "bot.lua", line = 4, column = 41, object = "message 'gallery'",
        text = "unknown option 'perod'", help = "did you mean 'period'?" }, got[3])
      assert.same({ severity = "note", file = "bot.lua", line = cjson.null, column = cjson.null,
        object = cjson.null, help = cjson.null,
        text = "no sink is declared: records go to console, json (History) and memory" }, got[1])
      assert.same("warning", got[#got].severity)
      assert.equal(78, r.code)
    end)

    it("of a good script says what is in it", function()
      local r = check(HEAD .. text(D) .. "\ncrier.sink.memory()\n")
      assert.equal("bot.lua: 1 bot, 1 guild, 0 users, 1 message, 1 sink, 0 routes\n0 errors, 0 warnings\n", r.out)
      assert.equal(0, r.code)
      r = check(HEAD .. text(D) .. "\ncrier.sink.memory()\n", "--json")
      assert.equal("", r.out)
      assert.equal(0, r.code)
    end)

    it("on a terminal shows the source line and a caret", function()
      if not os.execute "command -v script >/dev/null" then return pending "script is not installed" end
      bot:write("bot.lua", HEAD .. text 'perod = "1s", data = "x"')
      local r = proc.run({ "script", "-qec", proc.quote(proc.crier) .. " check bot.lua", "/dev/null" },
        { cwd = bot.dir, env = { TOKEN = TOKEN, NO_COLOR = "1", TERM = "xterm" } })
      assert.equal(78, r.code)
      local source = '  crier.TextMESSAGE { name = "m", channels = { "2" }, period = "1h", perod = "1s", data = "x" },'
      assert.is_truthy(r.out:gsub("\r", ""):find("bot.lua:4:70: message 'm': unknown option 'perod' (did you mean 'period'?)\n" ..
        "   4 | " .. source .. "\n     | " .. (" "):rep(69) .. "^\n", 1, true), r.out)
    end)

    it("names a required file's own lines", function()
      bot:write("parts.lua", 'local crier = require "crier"\n\nreturn crier.TextMESSAGE { name = "m", channel = "2", period = "1h", data = "x" }\n')
      local r = check(HEAD .. guild '  (require "parts"),')
      assert.same({
        [[parts.lua:3:40: message 'm': unknown option 'channel' (did you mean 'channels'?)]],
      }, problems(r.out))
      os.remove(bot:path "parts.lua")
    end)
  end)

  describe("its exit code", function()
    local function code(...) return bot:crier({ ... }, { env = { TOKEN = TOKEN } }) end

    it("is 64 for wrong use", function()
      local r = code "check"
      assert.equal(64, r.code)
      assert.equal("crier check: which script?\nusage: crier check FILE [--json] [--strict]   (crier help check)\n", r.err)
      r = code("check", "--jsn", "bot.lua")
      assert.equal(64, r.code)
      assert.matches("^crier check: unknown option '%-%-jsn' %(did you mean '%-%-json'%?%)\n", r.err)
      assert.equal(64, code("check", "bot.lua", "other.lua").code)
      r = code "chek"
      assert.equal(64, r.code)
      assert.matches("check", r.err)
    end)

    it("is 66 for a file that is not there", function()
      local r = code("check", "nowhere.lua")
      assert.equal(66, r.code)
      assert.equal("crier: cannot read 'nowhere.lua': No such file or directory\n", r.err)
      assert.equal(66, code("run", "nowhere.lua", "--sim").code)
    end)

    it("counts warnings with --strict", function()
      local lost = HEAD .. 'crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = "x" }\n'
      assert.equal(0, check(lost).code)
      assert.equal(78, check(lost, "--strict").code)
      assert.equal(0, check(HEAD .. text(D), "--strict").code)
    end)

    it("of run is 78, with the same lines", function()
      bot:write("bot.lua", HEAD .. text 'perod = "1s", data = "x"')
      local r = bot:run({ "--for", "1s" }, { env = { TOKEN = TOKEN } })
      assert.equal(78, r.code)
      assert.is_truthy(r.err:find("bot.lua:4:70: message 'm': unknown option 'perod' (did you mean 'period'?)\n", 1, true))
      assert.equal("", r.out)
      assert.same({ "bot.lua" }, bot:files())
    end)
  end)

  describe("its notes", function()
    it("tell the sinks when none is declared, and which GUILD does not log", function()
      local r = check(HEAD .. text(D):gsub("logging = true, ", ""))
      assert.equal([[
bot.lua: note: no sink is declared: records go to console, json (History) and memory
bot.lua:3:7: note: GUILD '1': logging is off: its sends make no records (logging = true)
bot.lua: 1 bot, 1 guild, 0 users, 1 message, 3 sinks, 0 routes
0 errors, 0 warnings
]], r.out)
      assert.equal(0, r.code)
    end)

    it("or a warning tells of a FILE that is not there", function()
      local r = check(HEAD .. text 'data = { "x", crier.FILE "cat.png" }')
      assert.same({ ("bot.lua:4:70: warning: message 'm': the FILE '%s' cannot be read at the moment"):format(bot:path "cat.png") },
        problems(r.out))
      assert.equal(0, r.code)
    end)

    it("advise a name where state matters", function()
      local r = check(HEAD .. text('mode = "edit", ' .. D):gsub('name = "m", ', ""))
      assert.is_truthy(r.out:find([[bot.lua:4:9: note: message 'TextMESSAGE at bot.lua:4': it has no name: its state is lost when its channels or mode change (name = "...")]], 1, true), r.out)
    end)
  end)

  describe("leaves the world alone:", function()
    it("writes nothing", function()
      local b = Bot.new(HEAD .. text(D) .. '\nlocal s = crier.state("n", { n = 0 })\ns.n = s.n + 1\ncrier.log.info "loaded"\n')
      local r = b:check({}, { env = { TOKEN = TOKEN } })
      assert.equal(0, r.code)
      assert.same({ "bot.lua" }, b:files())
      b:close()
    end)

    it("sends nothing", function()
      local sim = proc.start { proc.crier, "discord-sim", "--any-token" }
      local url = sim:wait_line "(http://127%.0%.0%.1:%d+)"
      local r = check('local crier = require "crier"\ncrier.bot { token = crier.secret.env "TOKEN", api = "' .. url .. '/api/v10" }\n' .. text(D))
      assert.equal(0, r.code)
      assert.equal(0, cjson.decode((http.request(url .. "/sim/stats"))).requests)
      sim:stop()
    end)
  end)

  describe("secrets", function()
    local function no_token(...)
      for _, output in ipairs { ... } do
        assert.is_nil(output:find(TOKEN, 1, true), output)
        assert.is_nil(output:find("secret.token", 1, true), output)
      end
    end

    it("that are not set are a warning, and exit 78 in run", function()
      bot:write("bot.lua", HEAD .. text(D))
      local r = bot:check({}, { env = { TOKEN = false } })
      assert.same({ "bot.lua:2:7: warning: bot 'bot': the environment variable TOKEN is not set (set it, or try the bot with --sim)" }, problems(r.out))
      assert.equal(0, r.code)
      r = bot:crier({ "run", "bot.lua", "--for", "1s" }, { env = { TOKEN = false } })
      assert.equal(78, r.code)
      assert.is_truthy(r.err:find("the environment variable TOKEN is not set", 1, true), r.err)
    end)

    it("may lie in a file or a credential", function()
      local script = 'local crier = require "crier"\ncrier.bot { token = crier.secret.%s "token.txt" }\n' .. text(D)
      bot:write("bot.lua", script:format "file")
      local r = bot:check()
      assert.same({ ("bot.lua:2:7: warning: bot 'bot': cannot read '%s': No such file or directory (set it, or try the bot with --sim)"):format(bot:path "token.txt") },
        problems(r.out))
      bot:write("token.txt", "\n")
      assert.is_truthy(bot:check().out:find("' is empty", 1, true))
      bot:write("token.txt", TOKEN .. "\n")
      assert.same({}, problems(bot:check().out))
      bot:write("bot.lua", script:format "credential")
      assert.same({ "bot.lua:2:7: warning: bot 'bot': there is no credential 'token.txt': $CREDENTIALS_DIRECTORY is not set (LoadCredential= in the systemd unit) (set it, or try the bot with --sim)" },
        problems(bot:check({}, { env = { CREDENTIALS_DIRECTORY = false } }).out))
      assert.same({}, problems(bot:check({}, { env = { CREDENTIALS_DIRECTORY = bot.dir } }).out))
      os.remove(bot:path "token.txt")
    end)

    it("never show", function()
      local b = Bot.new([[
local crier = require "crier"
local token = crier.secret.env "TOKEN"
local b = crier.bot { token = token }
crier.log.info(tostring(token), { token = token, bot = b })
crier.on("start", function() crier.log.error("it is " .. tostring(token)) error(token) end)
crier.GUILD { snowflake = "1", logging = true, messages = {
  crier.TextMESSAGE { name = "m", channels = "2", period = "1h", data = function() return tostring(token) end },
  crier.TextMESSAGE { name = "n", channels = "2", period = "1h", data = function() return token end },
} }
]])
      local env = { env = { TOKEN = TOKEN } }
      local r = b:check({}, env)
      assert.equal(0, r.code)
      no_token(r.out, r.err)
      r = b:run({ "--for", "400ms", "--transcript" }, env)
      assert.equal(0, r.code)
      no_token(r.out, r.err)
      assert.is_truthy(r.out:find("it is *****", 1, true))
      for _, name in ipairs(b:files()) do no_token(b:read(name)) end
      b:close()
    end)

    it("in plain text are warned about, and stars on a terminal", function()
      local script = ('local crier = require "crier"\ncrier.bot { token = "%s", nmae = "x" }\n'):format(TOKEN)
      local r = check(script)
      assert.same({
        [[bot.lua:2:13: warning: bot: option 'token' is written in the script itself (keep it out of the script: crier.secret.env "DISCORD_TOKEN")]],
        [[bot.lua:2:50: bot: unknown option 'nmae' (did you mean 'name'?)]],
      }, problems(r.out))
      no_token(r.out)
      no_token(check(script, "--json").out)
      if os.execute "command -v script >/dev/null" then
        r = proc.run({ "script", "-qec", proc.quote(proc.crier) .. " check bot.lua", "/dev/null" }, { cwd = bot.dir })
        assert.is_truthy(r.out:find('crier.bot { token = "' .. ("*"):rep(#TOKEN) .. '", nmae = "x" }', 1, true), r.out)
        no_token(r.out)
      end
    end)

    local function run_at_sim(fault)
      local b = Bot.new(nil, { ["world.json"] =
        '{"bots":[{"token":"another","name":"b"}],"guilds":[{"id":"1","name":"g","channels":[{"id":"2","name":"c","type":0}]}]}' })
      local sim = proc.start { proc.crier, "discord-sim", "--world", b:path "world.json" }
      local url = sim:wait_line "(http://127%.0%.0%.1:%d+)"
      if fault then assert.equal(204, select(2, http.request(url .. "/sim/faults", cjson.encode(fault)))) end
      b:write("bot.lua", 'local crier = require "crier"\ncrier.bot { token = crier.secret.env "TOKEN", api = "' .. url .. '/api/v10" }\n' .. text(D))
      local r = b:crier({ "run", "bot.lua", "--for", "5s" }, { env = { TOKEN = TOKEN } })
      local stats = cjson.decode((http.request(url .. "/sim/stats")))
      sim:stop()
      b:close()
      no_token(r.out, r.err)
      assert.equal(0, stats.creates)
      r.records = Bot.parse(r.out)
      return r
    end

    it("of a user account are refused with exit 77", function()
      local r = run_at_sim { match = "GET /users/@me", ["do"] = "status", status = 200,
        body = { id = "5", username = "someone" } }
      assert.equal(77, r.code)
      assert.is_truthy(r.err:find("crier: bot 'bot': the token is that of a user account; automating those is against " ..
        "Discord's terms: make a bot at https://discord.com/developers/applications\n", 1, true), r.err)
      local refused = Bot.select(r.records, function(x) return x.what == "bot.refused" end)
      assert.equal(1, #refused)
      assert.equal("critical", refused[1].level)
    end)

    it("that Discord does not know are refused with exit 77", function()
      local r = run_at_sim()
      assert.equal(77, r.code)
      assert.matches("crier: bot 'bot': Discord does not accept its token: .*401", r.err)
    end)
  end)
end)
