---@meta crier
-- SPDX-License-Identifier: MIT
--
-- What `require "crier"` returns, for editors with the Lua language server: completion, types and
-- help. In .luarc.json of the script's folder:
--
--   { "runtime.version": "Lua 5.4", "workspace.library": ["/path/to/crier/lua/meta"] }
--
-- spec/stubs_spec.lua compares this file with the program. lua/README.md is the manual.

---@class crier
local crier = {}

-- Values -------------------------------------------------------------------------------------------

---"500ms" "10s" "1m30s" "2h" "1d" "2w", or a number of seconds.
---@alias crier.Duration string|number

---"64KiB" "256MiB" "1GB", or a number of bytes.
---@alias crier.Size string|integer

---A Discord id: a string of digits, or an integer (never a float, which loses digits).
---@alias crier.Snowflake string|integer

---@alias crier.Level "debug"|"info"|"warning"|"error"|"critical"
---@alias crier.Kind "log"|"message"|"task"|"event"|"system"|"invite"

---Where a secret is; made by crier.secret. Shown as *****.
---@class crier.Secret

---@class crier.Bot
---@class crier.Target
---@class crier.Embed
---@class crier.File
---A message that is declared and belongs into `messages` of a GUILD or USER.
---@class crier.Message

---A data function with its arguments bound.
---@class crier.BoundData

---At most one text, ten embeds and ten files.
---@alias crier.Content crier.Part|string|crier.Embed|crier.File|(string|crier.Embed|crier.File)[]
---@alias crier.DataFunction fun(ctx: crier.Context, ...): crier.Content?
---@alias crier.Data crier.Content|crier.DataFunction|crier.BoundData

---What a data function knows of the send that it is called for.
---@class crier.Context
---@field name string the message's name (or its key, where it has none)
---@field bot string the name of the bot that sends
---@field guild crier.Guild where it goes
---@field channels string[] the channels that it goes to
---@field due number when this send was due: UTC seconds
---@field sent integer sends that went well, ever
---@field failed integer sends that failed, ever
---@field skipped integer sends that were skipped, ever
---@field preview? true it is called by `crier message preview`: nothing is sent

---@class crier.Guild
---@field name string as Discord has it, or the script's own; the id while it is not known
---@field id string
---@field type "GUILD"|"USER"

---@class crier.Mentions
---@field everyone? boolean @everyone and @here
---@field roles? boolean|crier.Snowflake[] all roles, or these
---@field users? boolean|crier.Snowflake[] all users, or these

-- Declaring ----------------------------------------------------------------------------------------

---@class crier.options.config
---@field timezone? string IANA name such as "Europe/Ljubljana"; default: the machine's
---@field node? string name of this host in every record; default: the host name
---@field state? string state folder; default ".crier" beside the script
---@field lua_path? string|string[] further folders for require, after the script's own
---@field native_modules? boolean let require load C modules; default false
---@field log_levels? table<string, crier.Level> by logger: { shop = "warning", ["*"] = "info" }; default debug
---@field limits? crier.Limits

---@class crier.Limits
---@field callback? crier.Duration|false CPU time of a callback between two waits; default "250ms"
---@field memory? crier.Size|false memory of the Lua state; default "256MiB"
---@field load? crier.Duration|false CPU time to load the script; default "5s"
---@field added? integer|false messages, GUILDs and USERs that crier.add may have added at one time; default 10000
---@field drain? crier.Duration|false time that callbacks of an old generation may take to end after a reload; default "5m"
---@field stop? crier.Duration time to finish what is under way and flush all sinks at the end; default "10s"

---Settings of the whole script; once, before crier.state.
---@param options crier.options.config
function crier.config(options) end

---@class crier.Presence
---@field status? "online"|"idle"|"dnd"|"invisible"
---@field playing? string
---@field streaming? string
---@field listening? string
---@field watching? string
---@field competing? string
---@field custom? string
---@field url? string of a stream

---@class crier.options.bot
---@field name? string needed when there are several bots; default "bot"
---@field token crier.Secret|string a string is warned about
---@field api? string base address of the REST API; default "https://discord.com/api/v10"
---@field requests_per_second? integer Discord's global limit of this bot; default 50
---@field gateway? boolean true: connect to the gateway even if nothing needs it; false: never
---@field presence? string|crier.Presence what people see of the bot

---A bot account.
---@param options crier.options.bot
---@return crier.Bot
function crier.bot(options) end

---Where secrets are. They are read when needed and never shown.
---@class crier.secret
crier.secret = {}

---An environment variable.
---@param name string
---@return crier.Secret
function crier.secret.env(name) end

---A file; relative to the script. Blanks and line ends at its end are left out.
---@param path string
---@return crier.Secret
function crier.secret.file(path) end

---A file in systemd's $CREDENTIALS_DIRECTORY.
---@param name string
---@return crier.Secret
function crier.secret.credential(name) end

---@class crier.options.GUILD
---@field snowflake crier.Snowflake|crier.Pattern its id, or crier.guilds {...}: each guild that matches
---@field name? string instead of the name that Discord has for it
---@field logging? boolean make a record of every send; default false
---@field messages? crier.Message[]
---@field bot? crier.Bot needed when there are several
---@field invite_track? boolean a record of kind invite for each new member; default false

---A guild (server) and its messages.
---@param options crier.options.GUILD
---@return crier.Target
function crier.GUILD(options) end

---@class crier.options.USER
---@field snowflake crier.Snowflake
---@field name? string instead of the name that Discord has for them
---@field logging? boolean make a record of every send; default false
---@field messages? crier.Message[]
---@field bot? crier.Bot needed when there are several

---A user and the direct messages to them.
---@param options crier.options.USER
---@return crier.Target
function crier.USER(options) end

---@class crier.options.TextMESSAGE
---@field name? string identity: state and history follow it through reloads; unique in its GUILD
---@field was? string the former name, whose state is carried over
---@field channels crier.Snowflake|crier.Snowflake[]|crier.Pattern
---@field auto_publish? boolean publish what is sent to announcement channels to those who follow them; default false
---@field mode? "send"|"edit"|"clear-send" default "send"
---@field period crier.Duration|crier.Duration[]|crier.Condition one, a list of two (drawn anew between the two each time), a calendar, or the text of one
---@field catch_up? "none"|"one"|"all" which of the times that were missed are made up for; default "none" for durations, "one" for calendars
---@field grace? crier.Duration how long after its time a missed one is still made up for; default "10m"
---@field tz? string IANA time zone of its times and dates; default: the config's
---@field start_in? string|number first send: after a duration, or at a date-time; default "0s"
---@field remove_after? integer|string end: after a count of successful sends a channel, a duration, or at a date-time
---@field data crier.Data
---@field only_if? fun(ctx: crier.Context, channel: string): any, string? asked before each send, channel by channel; nil or false, and why, leaves the channel out
---@field mentions? crier.Mentions|string[] who may be pinged; default nobody

---Adds a message to a GUILD or USER (or its snowflake), or a GUILD or USER, while the bot runs. It is
---there until it is removed, or the script is reloaded. Mistakes are raised.
---@generic T: crier.Message|crier.Target
---@param object T made in the callback that adds it
---@param to? crier.Target|crier.Snowflake where a message goes
---@return T|nil object, string? problem the bot stops, or a newer script has taken over
function crier.add(object, to) end

---Removes a message, GUILD or USER. What the script declares is there again after a reload.
---@param object crier.Message|crier.Target|crier.Snowflake|string it, a message's name, or "GUILD/NAME"
---@return true|nil removed, string? problem there is none
function crier.remove(object) end

---Changes options of a message, or `logging` and `name` of a GUILD or USER; crier.null takes one away.
---The state stays, as at a reload: due time, last messages, counts. Mistakes are raised.
---@param object crier.Message|crier.Target|crier.Snowflake|string it, a message's name, or "GUILD/NAME"
---@param changes table
---@return crier.Message|crier.Target|nil object, string? problem there is none
function crier.update(object, changes) end

---A message to text channels of a guild.
---@param options crier.options.TextMESSAGE
---@return crier.Message
function crier.TextMESSAGE(options) end

---@class crier.options.DirectMESSAGE
---@field name? string identity: state and history follow it through reloads; unique in its USER
---@field was? string the former name, whose state is carried over
---@field mode? "send"|"edit"|"clear-send" default "send"
---@field period crier.Duration|crier.Duration[]|crier.Condition one, a list of two (drawn anew between the two each time), a calendar, or the text of one
---@field catch_up? "none"|"one"|"all" which of the times that were missed are made up for; default "none" for durations, "one" for calendars
---@field grace? crier.Duration how long after its time a missed one is still made up for; default "10m"
---@field tz? string IANA time zone of its times and dates; default: the config's
---@field start_in? string|number first send: after a duration, or at a date-time; default "0s"
---@field remove_after? integer|string end: after a count of successful sends, a duration, or at a date-time
---@field data crier.Data
---@field only_if? fun(ctx: crier.Context, channel: string): any, string? asked before each send, channel by channel; nil or false, and why, leaves the channel out
---@field mentions? crier.Mentions|string[] who may be pinged; default nobody

---A direct message to a user.
---@param options crier.options.DirectMESSAGE
---@return crier.Message
function crier.DirectMESSAGE(options) end

---Not available: always an error that says so.
---@deprecated
---@param options table
function crier.VoiceMESSAGE(options) end

---@class crier.options.EMBED
---@field title? string at most 256 characters
---@field description? string at most 4,096 characters
---@field url? string where the title leads
---@field color? integer 0xRRGGBB
---@field timestamp? string ISO 8601 date-time
---@field author? string|crier.EmbedAuthor a name, or more
---@field footer? string|crier.EmbedFooter a text, or more
---@field image? string address, or attachment://NAME of a FILE
---@field thumbnail? string address, or attachment://NAME of a FILE
---@field fields? crier.EmbedField[] at most 25

---@class crier.EmbedAuthor
---@field name string at most 256 characters
---@field url? string
---@field icon? string

---@class crier.EmbedFooter
---@field text string at most 2,048 characters
---@field icon? string

---@class crier.EmbedField
---@field name string at most 256 characters
---@field value string at most 1,024 characters
---@field inline? boolean

---An embed: a value, made while loading or in a data function. All of a message's embeds together
---have at most 6,000 characters.
---@param options crier.options.EMBED
---@return crier.Embed
function crier.EMBED(options) end

---@class crier.options.FILE
---@field path? string read at each send; relative to the script
---@field data? string the bytes themselves, instead of a path
---@field name? string the name that Discord shows; default: the path's last part; needed with data
---@field cache? boolean read the path once, now, and not at each send; default false

---A file to attach: a path, or options.
---@param options string|crier.options.FILE
---@return crier.File
function crier.FILE(options) end

---@class crier.Part a value beside texts, EMBEDs and FILEs in a message's data

---@class crier.options.POLL
---@field question string at most 300 characters
---@field answers string|string[] 1 to 10 texts of at most 55 characters
---@field hours? integer how long it is open; 1 to 768, default 24
---@field multi? boolean more than one answer may be chosen; default false

---A poll. It cannot be edited.
---@param options crier.options.POLL
---@return crier.Part
function crier.POLL(options) end

---@class crier.options.BUTTON
---@field label string at most 80 characters
---@field url string where it leads

---A button that leads somewhere; five a row, at most 25.
---@param options crier.options.BUTTON
---@return crier.Part
function crier.BUTTON(options) end

---A sticker of the server; at most three.
---@param id crier.Snowflake
---@return crier.Part
function crier.STICKER(id) end

---@class crier.options.REPLY
---@field message crier.Snowflake the message of the same channel that it replies to
---@field ping? boolean whether its author is pinged; default false

---Makes the message a reply.
---@param options crier.Snowflake|crier.options.REPLY
---@return crier.Part
function crier.REPLY(options) end

---@class crier.options.THREAD
---@field name string the post's title, at most 100 characters
---@field tags? crier.Snowflake|crier.Snowflake[] at most 5 of the forum's tags
---@field archive? "1h"|"1d"|"3d"|"1w" archived after so long without a message; default: the forum's

---Makes the message a post of a forum channel.
---@param options crier.options.THREAD
---@return crier.Part
function crier.THREAD(options) end

---@class crier.Pattern channels or guilds by their names

---The channels of the GUILD that the bot may write in and whose name matches; looked at before each
---send. Several patterns must all match.
---@param patterns table[] crier.contains, crier.regex, crier.all, crier.any, crier.no
---@return crier.Pattern
function crier.channels(patterns) end

---The guilds that the bot is in and whose name matches, each with the messages of its own; those
---that come later come in, those that are left or renamed go out. Several patterns must all match.
---@param patterns table[] crier.contains, crier.regex, crier.all, crier.any, crier.no
---@return crier.Pattern
function crier.guilds(patterns) end

---Every word of the text is a word of the name, in any case.
---@param text string
---@return table
function crier.contains(text) end

---For only_if: leaves out the channels in which nobody has written since the bot did.
---@param options? { per_channel: boolean } per_channel = false: one such channel keeps it from all
---@return fun(ctx: crier.Context, channel: string): boolean, string?
function crier.not_last_author(options) end

---Bind arguments to a data function: `local get = crier.data_function(fn)`, then `data = get(a, b)`.
---They are made once and shared by all calls.
---@param fn crier.DataFunction
---@return fun(...): crier.BoundData
function crier.data_function(fn) end

---A table that survives reloads and restarts. What it holds must be numbers, texts, booleans and
---tables of them. To be called while the script loads; the same key gives the same table.
---@param key string
---@param initial? table what it holds when nothing is stored yet
---@return table
function crier.state(key, initial) end

---@alias crier.Hook
---| "start" the bot runs
---| "stop" it is about to end
---| "reload" a new script has taken over
---| "reload.failed" a reload was refused
---| "message.sent" a message went to all its channels
---| "message.failed" it failed in one at least
---| "message.skipped" a send was left out
---| "task.run" a task's run has begun
---| "task.success" it went well
---| "task.fail" it raised an error
---| "task.terminate" it was stopped
---| "task.inaction" there was nothing to do
---| "task.crash" the bot died while it ran
---| "sink.down" a sink cannot write
---| "sink.up" it can again
---| "alert" an alert fires, again or no more
---| "gateway.ready" the bot is connected to the gateway
---| "gateway.lost" it is not any more, and tries again
---| "guild.join" the bot has come into a guild
---| "guild.leave" it is not in it any more
---| "guild.update"
---| "channel.create"
---| "channel.update"
---| "channel.delete"
---| "thread.create"
---| "thread.update"
---| "thread.delete"
---| "role.create"
---| "role.update"
---| "role.delete"
---| "member.join"
---| "member.leave"
---| "member.update"
---| "invite.create"
---| "invite.delete"
---| "invite.used" a new member has used an invite (GUILD: invite_track)
---| "message" somebody else has written one
---| "message.edit"
---| "message.delete"
---| "reaction.add"
---| "reaction.remove"

---@class crier.ReloadEvent
---@field from string the old script's hash, as in `crier status`
---@field to string the new one's
---@field diff string lines as `crier reload` prints them

---@class crier.ReloadFailedEvent
---@field error string the first error

---@class crier.SinkEvent
---@field sink string its name
---@field text string what is wrong, or empty

---Call a function when something happens. message.* hooks get the record, also of a GUILD or USER
---that does not log; start and stop get an empty table.
---@overload fun(event: "message.sent"|"message.failed"|"message.skipped", fn: fun(record: crier.Record))
---@overload fun(event: "task.run"|"task.success"|"task.fail"|"task.terminate"|"task.inaction"|"task.crash", fn: fun(record: crier.Record))
---@overload fun(event: "reload", fn: fun(e: crier.ReloadEvent))
---@overload fun(event: "reload.failed", fn: fun(e: crier.ReloadFailedEvent))
---@overload fun(event: "sink.down"|"sink.up", fn: fun(e: crier.SinkEvent))
---@overload fun(event: "alert", fn: fun(e: crier.Alert))
---@overload fun(event: "gateway.ready"|"gateway.lost", fn: fun(e: { bot: string, shard: string, text: string }))
---@overload fun(event: "invite.used", fn: fun(e: { bot: string, guild: string, user: string, name: string, invite?: string }))
---@param event crier.Hook
---@param fn fun(e: table)
function crier.on(event, fn) end

---@class crier.options.reply
---@field when string|table|fun(e: table): boolean a pattern (PCRE2), a match of the message, or a function
---@field data crier.Data|fun(e: table): crier.Data? what is replied; nil: nothing
---@field only_if? fun(e: table): boolean a further condition, which may wait
---@field cooldown? crier.Duration least time between two replies to one person; default "0s"
---@field to? "channel"|"dm" in the channel, or as a direct message; default "channel"
---@field bot? crier.Bot the bot that replies; default every one

---Reply to messages of people; never to bots, webhooks or itself.
---@param options crier.options.reply
function crier.reply(options) end

-- Periods and conditions ---------------------------------------------------------------------------

---When something is sent or may start: a value. Two combine with & and |, ~ turns one round; a text
---stands for one everywhere. tostring gives the text. A bare unit takes a table:
---`crier.weekly { "Mon", "Fri", at = "09:00" }`.
---@class crier.Condition
---@operator band(crier.Condition|string): crier.Condition
---@operator bor(crier.Condition|string): crier.Condition
---@operator bnot: crier.Condition
---@operator call(crier.PeriodOptions): crier.Condition
local condition = {}

---@class crier.PeriodOptions
---@field on? string|integer|(string|integer)[] days, as the items without a name
---@field at? string|integer|(string|integer)[] times
---@field after? string|integer
---@field before? string|integer
---@field between? (string|integer)[] two
---@field starting? string|integer
---@field tz? string

---From there to the end of each unit.
---@param from string|integer
---@return crier.Condition
function condition:after(from) end

---From the begin of each unit to there.
---@param to string|integer
---@return crier.Condition
function condition:before(to) end

---@param from string|integer
---@param to string|integer a whole number or a day is included
---@return crier.Condition
function condition:between(from, to) end

---The whole unit, moved to begin there.
---@param from string|integer
---@return crier.Condition
function condition:starting(from) end

---At these times (or days): each lasts one smaller unit.
---@param ... string|integer
---@return crier.Condition
function condition:at(...) end

---On these days.
---@param ... string|integer
---@return crier.Condition
function condition:on(...) end

---In this time zone.
---@param zone string
---@return crier.Condition
function condition:tz(zone) end

---Of a history: counted since midnight.
---@return crier.Condition
function condition:today() end

---Of a history: counted since this second began.
---@return crier.Condition
function condition:this_second() end

---Of a history: counted since this minute began.
---@return crier.Condition
function condition:this_minute() end

---Of a history: counted since this hour began.
---@return crier.Condition
function condition:this_hour() end

---Of a history: counted since this day began.
---@return crier.Condition
function condition:this_day() end

---Of a history: counted since this week began.
---@return crier.Condition
function condition:this_week() end

---Of a history: counted since this month began.
---@return crier.Condition
function condition:this_month() end

---Of a history: counted since this year began.
---@return crier.Condition
function condition:this_year() end

---Of a history: counted in the last so long.
---@param span crier.Duration
---@return crier.Condition
function condition:within(span) end

---Of running: only runs of this age.
---@param age crier.Duration
---@return crier.Condition
function condition:longer_than(age) end

---@param age crier.Duration
---@return crier.Condition
function condition:shorter_than(age) end

---@param times integer
---@return crier.Condition
function condition:at_least(times) end

---@param times integer
---@return crier.Condition
function condition:at_most(times) end

---@param times integer
---@return crier.Condition
function condition:exactly(times) end

---@param times integer
---@return crier.Condition
function condition:more_than(times) end

---@param times integer
---@return crier.Condition
function condition:less_than(times) end

---Not once.
---@return crier.Condition
function condition:none() end

---@class crier.EveryOptions
---@field based? "run"|"success"|"fail"|"finish" what it counts from; default "run"
---@field jitter? crier.Duration up to so much later, drawn anew each time
---@field first? "now"|"wait" whether a task that never ran starts at once; default "now"

---So long after the last run began.
---@param interval crier.Duration
---@param options? crier.EveryOptions
---@return crier.Condition
function crier.every(interval, options) end

---@class crier.CronOptions
---@field minute? string|integer default "*", as the others
---@field hour? string|integer
---@field day? string|integer of the month
---@field month? string|integer
---@field weekday? string|integer
---@field tz? string

---A cron expression, "@daily" and its like, or its fields by name.
---@param expression string|crier.CronOptions
---@param options? { tz: string }
---@return crier.Condition
function crier.cron(expression, options) end

---As crier.cron, but says nothing of whether the task has run in that minute.
---@param expression string|crier.CronOptions
---@param options? { tz: string }
---@return crier.Condition
function crier.crontime(expression, options) end

---Once in each second.
---@type crier.Condition
crier.secondly = {}

---Once in each minute.
---@type crier.Condition
crier.minutely = {}

---Once in each hour.
---@type crier.Condition
crier.hourly = {}

---Once in each day.
---@type crier.Condition
crier.daily = {}

---Once in each week.
---@type crier.Condition
crier.weekly = {}

---Once in each month.
---@type crier.Condition
crier.monthly = {}

---Once in each year.
---@type crier.Condition
crier.yearly = {}

---Within these times of each second, whatever the task has done.
---@type crier.Condition
crier.time_of_second = {}

---Within these times of each minute, whatever the task has done.
---@type crier.Condition
crier.time_of_minute = {}

---Within these times of each hour, whatever the task has done.
---@type crier.Condition
crier.time_of_hour = {}

---Within these times of each day, whatever the task has done.
---@type crier.Condition
crier.time_of_day = {}

---Within these times of each week, whatever the task has done.
---@type crier.Condition
crier.time_of_week = {}

---Within these times of each month, whatever the task has done.
---@type crier.Condition
crier.time_of_month = {}

---Within these times of each year, whatever the task has done.
---@type crier.Condition
crier.time_of_year = {}

---@type crier.Condition
crier.always = {}

---@type crier.Condition
crier.never = {}

---Another task has done something since this one last began.
---@class crier.after
crier.after = {}

---All of them succeeded.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.success(...) end

---All of them failed.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.fail(...) end

---All of them ended in any way.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.finish(...) end

---All of them succeeded.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.all_success(...) end

---All of them failed.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.all_fail(...) end

---All of them ended in any way.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.all_finish(...) end

---One of them succeeded.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.any_success(...) end

---One of them failed.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.any_fail(...) end

---One of them ended in any way.
---@param ... string|string[] names of tasks
---@return crier.Condition
function crier.after.any_finish(...) end

---@class crier.CountOptions
---@field min? integer default 1
---@field max? integer default: no bound
---@field within? crier.Duration counted in the last so long; default: ever

---A task has succeeded; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.succeeded(task, within, options) end

---A task has failed; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.failed(task, within, options) end

---A task has ended in any way; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.finished(task, within, options) end

---A task has begun; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.started(task, within, options) end

---A task found nothing to do; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.inacted(task, within, options) end

---A task was terminated; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.terminated(task, within, options) end

---A task was running when the host died; without a name the task itself.
---@param task? string
---@param within? crier.Duration|crier.CountOptions
---@param options? crier.CountOptions
---@return crier.Condition
function crier.crashed(task, within, options) end

---A run of the task lives now; without a name of the task itself.
---@param task? string
---@return crier.Condition
function crier.running(task) end

---@class crier.RetryOptions
---@field [1]? integer how many times; default: for ever
---@field delay? crier.Duration before it is tried again; default at once
---@field factor? number the delay grows by it each time; default 1
---@field max? crier.Duration the longest delay

---The task's last run failed, and no more than so many in a row.
---@param times? integer|crier.RetryOptions
---@param options? crier.RetryOptions
---@return crier.Condition
function crier.retry(times, options) end

---A condition of one's own: a function, asked every second unless told otherwise; or the text of one.
---@param what (fun(ctx: table): boolean)|string|crier.Condition
---@param options? { every: crier.Duration }
---@return crier.Condition
function crier.condition(what, options) end

-- Tasks --------------------------------------------------------------------------------------------

---@class crier.options.task
---@field name string identity: history follows it through reloads and restarts; unique
---@field was? string the former name, whose history is carried over
---@field start? string|crier.Condition when to run; default: only by hand
---@field stop? string|crier.Condition when to terminate what runs
---@field run? fun(ctx: crier.TaskContext, params: table): any the work, a function on the loop
---@field command? string|string[] the work, a program and its arguments
---@field module? string the work, a file as for require, in a Lua state and a thread of its own
---@field params? table<string, any> values for the work
---@field timeout? crier.Duration|false default "30m"
---@field budget? crier.Duration|false CPU time of the function between two waits; default: limits.callback
---@field priority? integer the highest is first; default 0
---@field on_startup? boolean run once when the host has started, before all others
---@field on_shutdown? boolean run once when the host stops
---@field multilaunch? boolean may start again while it runs
---@field disabled? boolean runs only by hand
---@field permanent? boolean runs for ever: no timeout, and the first to be terminated at the end
---@field catch_up? "none"|"one"|"all" which of the times that were missed are made up for
---@field grace? crier.Duration how long after its time a missed one is still made up for; default "10m"
---@field tz? string IANA time zone of its conditions; default: the config's
---@field shell? boolean command is one line for /bin/sh
---@field cwd? string folder of the command; default: the script's
---@field env? table<string, string|crier.Secret> variables of the command beside the host's

---What a task's function gets.
---@class crier.TaskContext
---@field task string its name
---@field run_id string
---@field due number when the run was due, UTC seconds
---@field params table
---@field result fun(task: string, otherwise?: any): any what that task returned last
---@field log crier.TaskLogger

---A logger whose records name the task and its run.
---@class crier.TaskLogger: crier.Logger
---@field filter fun(self: crier.TaskLogger, conditions?: table): crier.Query what is of this task

---@class crier.Task
---@field name string
local task = {}

---Start it, behind the run that is under way; in callbacks only.
---@param params? table<string, any> over the task's own
---@return true? started, string? why not
function task:run(params) end

---Terminate its runs.
---@return integer? count, string? error
function task:stop() end

---Nothing starts it any more but by hand.
---@return true? done, string? error
function task:pause() end

---It starts again when its condition is true.
---@return true? done, string? error
function task:resume() end

---Work that starts when its condition is true.
---@param options crier.options.task
---@return crier.Task
function crier.task(options) end

---The tasks by name: crier.tasks.fetch:run().
---@type table<string, crier.Task>
crier.tasks = {}

---@class crier.options.group
---@field prefix? string in front of the tasks' names
---@field start? string|crier.Condition must be true, too, for one of them to start
---@field stop? string|crier.Condition terminates what runs of them
---@field disabled? boolean all of them run only by hand

---Tasks with something in common: crier.group { prefix = "etl.", crier.task {...}, ... }.
---@param options crier.options.group
---@return table options the same
function crier.group(options) end

---For a task's function to return: there was nothing to do.
---@param reason? string
---@return any
function crier.inaction(reason) end

-- Waiting: in callbacks only (data functions, hooks, not while the script loads or in a match) -------

---Wait; the bot goes on meanwhile.
---@param duration crier.Duration
function crier.sleep(duration) end

---Requests that look synchronous; the bot goes on meanwhile. An answer of any status is a result;
---nil, a message and a code when there is none.
---@class crier.DiscordOptions
---@field bot? crier.Bot|string needed when there are several
---@field timeout? crier.Duration for all of it, waiting for rate limits included; default "1m"
---@field mentions? string[] send, edit, dm: "users", "roles", "everyone"; default nobody
---@field limit? integer messages: how many, 1 to 100; default 50
---@field before? crier.Snowflake messages
---@field after? crier.Snowflake messages
---@field name? string thread: its name
---@field archive? integer thread: minutes without a message until it is archived

---What the bot does at once, in callbacks: each waits, keeps the rate limits of all sends, and ends
---as a record of the logger "discord". Each returns Discord's object (true where it answers with
---none), or nil, message, outcome ("retry", "drop", "pause", "bad", "stop", ...) and Discord's code.
---@class crier.discord
crier.discord = {}

---@param channel crier.Snowflake
---@param data crier.Content
---@param options? crier.DiscordOptions
---@return table|nil message, string? problem, string? outcome, integer? code
function crier.discord.send(channel, data, options) end

---@param channel crier.Snowflake
---@param message crier.Snowflake
---@param data crier.Content all of it: what is not named is taken out
---@param options? crier.DiscordOptions
---@return table|nil message, string? problem, string? outcome, integer? code
function crier.discord.edit(channel, message, data, options) end

---A message that is gone already is fine.
---@param channel crier.Snowflake
---@param message crier.Snowflake
---@param options? crier.DiscordOptions
---@return boolean|nil ok, string? problem, string? outcome, integer? code
function crier.discord.delete(channel, message, options) end

---@param user crier.Snowflake
---@param data crier.Content
---@param options? crier.DiscordOptions
---@return table|nil message, string? problem, string? outcome, integer? code
function crier.discord.dm(user, data, options) end

---Publishes a message of an announcement channel.
---@param channel crier.Snowflake
---@param message crier.Snowflake
---@param options? crier.DiscordOptions
---@return table|boolean|nil message, string? problem, string? outcome, integer? code
function crier.discord.crosspost(channel, message, options) end

---@param channel crier.Snowflake
---@param message crier.Snowflake
---@param emoji string a character, or name:id of a server's own
---@param options? crier.DiscordOptions
---@return boolean|nil ok, string? problem, string? outcome, integer? code
function crier.discord.react(channel, message, emoji, options) end

---Shows "is typing" for ten seconds.
---@param channel crier.Snowflake
---@param options? crier.DiscordOptions
---@return boolean|nil ok, string? problem, string? outcome, integer? code
function crier.discord.typing(channel, options) end

---A thread under a message.
---@param channel crier.Snowflake
---@param message crier.Snowflake
---@param options crier.DiscordOptions with a name
---@return table|nil thread, string? problem, string? outcome, integer? code
function crier.discord.thread(channel, message, options) end

---@param channel crier.Snowflake
---@param options? crier.DiscordOptions
---@return table|nil channel, string? problem, string? outcome, integer? code
function crier.discord.channel(channel, options) end

---@param guild crier.Snowflake
---@param options? crier.DiscordOptions
---@return table|nil guild, string? problem, string? outcome, integer? code
function crier.discord.guild(guild, options) end

---@param guild crier.Snowflake
---@param options? crier.DiscordOptions
---@return table[]|nil channels, string? problem, string? outcome, integer? code
function crier.discord.channels(guild, options) end

---Newest first.
---@param channel crier.Snowflake
---@param options? crier.DiscordOptions limit, before, after
---@return table[]|nil messages, string? problem, string? outcome, integer? code
function crier.discord.messages(channel, options) end

---The bot's own user.
---@param options? crier.DiscordOptions
---@return table|nil user, string? problem, string? outcome, integer? code
function crier.discord.me(options) end

---@class crier.http
crier.http = {}

---@class crier.HttpOptions
---@field headers? table<string, string|number>
---@field body? string
---@field json? any instead of a body: any value, sent as JSON
---@field timeout? crier.Duration default "30s"
---@field redirects? integer how many are followed, at most 50; default 5
---@field max_body? crier.Size of the answer; default "8MiB"

---@class crier.HttpRequest: crier.HttpOptions
---@field url string
---@field method? string default "GET"

---@class crier.HttpResponse
---@field status integer
---@field headers table<string, string> names in lower case
---@field body string
local response = {}

---The body, read as JSON; null is nil. When it is none: nil, a message and a code.
---@return any value
---@return string? problem
---@return string? code
function response:json() end

---@param url string
---@param options? crier.HttpOptions
---@return crier.HttpResponse? response
---@return string? problem
---@return string? code
function crier.http.get(url, options) end

---@param url string
---@param options? crier.HttpOptions
---@return crier.HttpResponse? response
---@return string? problem
---@return string? code
function crier.http.post(url, options) end

---@param request crier.HttpRequest
---@return crier.HttpResponse? response
---@return string? problem
---@return string? code
function crier.http.request(request) end

-- Logging ------------------------------------------------------------------------------------------

---Make a record of kind "log".
---@class crier.log
crier.log = {}

---@param text string
---@param fields? table<string, any>
function crier.log.debug(text, fields) end

---@param text string
---@param fields? table<string, any>
function crier.log.info(text, fields) end

---@param text string
---@param fields? table<string, any>
function crier.log.warning(text, fields) end

---@param text string
---@param fields? table<string, any>
function crier.log.error(text, fields) end

---@param text string
---@param fields? table<string, any>
function crier.log.critical(text, fields) end

---@param level crier.Level|integer a name, or 10 to 50
---@param text string
---@param fields? table<string, any>
function crier.log.log(level, text, fields) end

---A logger of its own name, with fields that each of its records gets. Below crier.log names stand
---alone ("shop"), below others behind a dot ("shop.cart").
---@param name string
---@param fields? table<string, any>
---@return crier.Logger
function crier.log.child(name, fields) end

---Whether records of this level are made.
---@param level crier.Level|integer
---@return boolean
function crier.log.enabled(level) end

---From now on, until the script is reloaded: crier.log makes no records of that logger, and of those
---behind a dot, below this level.
---@param logger string "shop", or "*" for all that have no level of their own
---@param level crier.Level|integer|nil nil: as what is above it
function crier.log.set_level(logger, level) end

---@param logger string
---@return crier.Level
function crier.log.get_level(logger) end

---What crier.log.child makes: like crier.log. log.info(...) and log:info(...) are the same.
---@class crier.Logger
---@field debug fun(text: string, fields?: table<string, any>)
---@field info fun(text: string, fields?: table<string, any>)
---@field warning fun(text: string, fields?: table<string, any>)
---@field error fun(text: string, fields?: table<string, any>)
---@field critical fun(text: string, fields?: table<string, any>)
---@field log fun(level: crier.Level|integer, text: string, fields?: table<string, any>)
---@field child fun(name: string, fields?: table<string, any>): crier.Logger
---@field enabled fun(level: crier.Level|integer): boolean

-- Records ------------------------------------------------------------------------------------------

---What happened: a value that cannot be changed, with `pairs`. Users' fields stand beside these.
---@class crier.Record
---@field id string ULID, 26 characters
---@field seq integer counts up, also over restarts
---@field time number UTC seconds
---@field node string
---@field kind crier.Kind
---@field level crier.Level
---@field logger string
---@field text string
---@field where? string "bot.lua:14"
---@field ok? boolean
---@field sim? boolean true when made by --sim
---@field name? string message: its name
---@field type? "TextMESSAGE"|"DirectMESSAGE" message
---@field mode? "send"|"edit"|"clear-send" message
---@field guild? crier.Guild message
---@field sent_data? crier.SentData message
---@field channels? crier.SentChannels TextMESSAGE
---@field success_info? crier.SuccessInfo DirectMESSAGE
---@field success_rate? number message: 0 to 1
---@field runtime? number message: seconds
---@field requests? integer message: HTTP requests that it took
---@field waited? number message: seconds of waiting for rate limits, where there was any
---@field retries? integer message: those that repeated one that had failed
---@field latency? number message: seconds of the slowest request
---@field paused? table[] message: its channels that Discord has closed: id, reason
---@field skipped? string message: the reason, when nothing was sent
---@field occurrences? integer message: how many sends were skipped, when more than one
---@field what? string system: "start", "reload", "callback.error", ...
---@field exc_text? string system: an error's traceback
---@field fields? table users' fields that have the name of a member above
---@field repeated? integer how many like it a route's `dedupe` has left out since the last one
---@field [string] any
local record = {}

---A changed copy: the fields that the table names are set. Of the members above text, level, logger
---and ok can be changed. For crier.transform.
---@param changes table<string, any>
---@return crier.Record
function record:with(changes) end

---A copy without these fields.
---@param ... string
---@return crier.Record
function record:without(...) end

---@class crier.SentData
---@field text? string
---@field embed? table[] in Discord's form
---@field files? string[] names

---@class crier.SentChannels
---@field successful crier.SentChannel[]
---@field failed crier.SentChannel[]

---@class crier.SentChannel
---@field name string
---@field id string
---@field reason? string why it failed
---@field note? string what was left out to get it through
---@field published? boolean with auto_publish: whether it was
---@field publish_reason? string why not

---@class crier.SuccessInfo
---@field success boolean
---@field reason? string

-- Sinks --------------------------------------------------------------------------------------------

---Where records go.
---@class crier.Sink
local sink = {}

---A query. Conditions as in crier.Match; nothing: all records. It runs when :all() and the like are
---called, which wait for the answer: in callbacks only.
---@param conditions? crier.Match
---@return crier.Query
function sink:filter(conditions) end

---for record in sink:filter { kind = "message" } do ... end
---@class crier.Query
---@overload fun(): crier.Record?
local query = {}

---@param field string may have dots: "guild.id"
---@param direction? "asc"|"desc"
---@return crier.Query
function query:order_by(field, direction) end

---@param n integer
---@return crier.Query
function query:limit(n) end

---Leave out the first n.
---@param n integer
---@return crier.Query
function query:offset(n) end

---@return crier.Record[]? records
---@return string? problem
function query:all() end

---@return integer? count
---@return string? problem
function query:count() end

---@return crier.Record? record
---@return string? problem
function query:first() end

---@return crier.Record? record
---@return string? problem
function query:last() end

---for i, record in sink:filter { kind = "message" }:each() do
---@return fun(list: crier.Record[], i: integer): integer?, crier.Record?
---@return crier.Record[]
---@return integer
function query:each() end

---Give the records that match new values: names with dots reach inside, crier.null removes. What all
---records have (id, time, level, text, ...) cannot be changed.
---@param fields table<string, any>
---@return integer? changed
---@return string? problem
function query:update(fields) end

---@return integer? deleted
---@return string? problem
function query:delete() end

---@class crier.options.sink
---@field name? string what the sink is called; default: its kind
---@field kinds? string|string[] kinds of records that it takes; default: all, but message only for json
---@field level? crier.Level takes records from this level up; default "debug"
---@field queue? integer records that wait in memory at most; default 8192
---@field overflow? "spill"|"block"|"drop_old"|"drop_new" when the queue is full; default "spill", console "drop_old"
---@field batch? integer records written at once at most; default 512, redis 4096
---@field flush? crier.Duration longest time that a record waits for its batch to fill; default "0s"
---@field durable? boolean each record is in a file before the logging call returns; default false, redis and sql true
---@field sync? crier.Duration|false how often what waits on disk is made safe against a power failure; default "1s"
---@field spool? crier.Size what waits on disk at most; beyond that the oldest records are dropped; default "1GiB"
---@field retry? crier.Retry when a write fails: retry = { times = 5, delay = "1m" }
---@field fallback? crier.Sink|string the sink, or the name of it, that gets a copy of each record while this one is down

---@class crier.Retry
---@field times? integer failures in a row after which the sink is down; default 5
---@field delay? crier.Duration pause between two tries; default: 100 ms, doubling up to 30 s

---@class crier.options.sink.console: crier.options.sink
---@field format? "auto"|"text"|"json" auto: text on a terminal, else one JSON object a line
---@field color? boolean default: on a terminal, unless NO_COLOR is set
---@field stream? "stdout"|"stderr" default "stdout"

---@class crier.options.sink.memory: crier.options.sink
---@field max? integer records kept; the oldest go first; default 10000

---@class crier.options.sink.json: crier.options.sink
---@field path? string folder; files are PATH/YYYY/MM/DD/GUILD.json; default "History"
---@field gap? crier.Size blanks kept free in a file for the next records; default "16KiB"

---@class crier.options.sink.jsonl: crier.options.sink
---@field path? string the file; default "crier.jsonl"
---@field max_size? crier.Size close the file before it grows larger, and begin a new one
---@field period? crier.Duration begin a new file so often: "1h", "1d", "1w"
---@field keep? integer closed files that are kept; default: all
---@field compress? boolean pack closed files with zstd; default false

---@class crier.options.sink.csv: crier.options.sink
---@field path? string the file; default "crier.csv"
---@field fields? string|string[] columns, by dotted names
---@field model? "minimal"|"log"|"run" columns of a task log
---@field max_size? crier.Size close the file before it grows larger, and begin a new one
---@field period? crier.Duration begin a new file so often: "1h", "1d", "1w"
---@field keep? integer closed files that are kept; default: all
---@field compress? boolean pack closed files with zstd; default false

---@class crier.RedisCommon
---@field per? "hour" counts begin anew so often; those before are kept once; default "hour"
---@field max? integer different messages counted of each logger and level; default 1000

---@class crier.options.sink.redis: crier.options.sink
---@field url? string|crier.Secret redis://[user:password@]host[:port][/db] or unix:///path[?db=N]; default "redis://127.0.0.1:6379"
---@field recent? integer lines kept of each logger and level; default 100
---@field common? crier.RedisCommon|false how often each message came; false: not counted
---@field normalize? fun(text: string): string makes messages alike that are to be counted as one, instead of crier's own way; runs elsewhere and can use nothing from outside
---@field format? "text"|"asctime"|"json" of recent lines; "json" keeps whole records; default "text"
---@field stream? string key of a Redis stream that gets each record too, as JSON
---@field stream_max? integer|false entries that the stream is held to, more or less; default 100000
---@field cluster? boolean keys with braces, as Redis Cluster needs them; default false
---@field ttl? crier.Duration|false recent lines of a logger silent so long are removed; default "30d"
---@field timeout? crier.Duration longest wait for the connection, and for each answer; default "5s"

---@class crier.options.sink.sql: crier.options.sink
---@field dsn? string|crier.Secret ODBC connection string, or a data source; default "Driver=SQLite3;Database=crier.db"
---@field user? string as UID= in the connection string
---@field password? string|crier.Secret as PWD= in the connection string
---@field timeout? crier.Duration longest wait for a login; default "10s"
---@field keep? crier.Duration|false records older than this are deleted, once an hour; default: never
---@field table? string a plain table of task runs in place of the whole schema
---@field model? "minimal"|"log"|"run" columns of a plain table; default "run"
---@field id_field? string column of a plain table that holds the record's id; default "id"
---@field if_missing? "create"|"error" when a plain table is not there; default "create"

---What the functions of a custom sink get: the table that crier.sink.custom was given, or what a
---module's open has returned. It may hold whatever they need.
---@class crier.CustomSink
---@field name string of the sink
---@field batch_id string of the batch that is being written: the same however often it comes

---@class crier.options.sink.custom: crier.options.sink
---@field write? fun(self: crier.CustomSink, records: crier.Record[]): boolean?, string?, integer? stores the records: true; or nil, message [, n]: the first n are stored, the rest comes again; or false, message [, n]: the one behind them is at fault
---@field open? fun(self: crier.CustomSink) called once before the first write
---@field idle? fun(self: crier.CustomSink): number? called when all is written; returns after how many seconds to call it again
---@field close? fun(self: crier.CustomSink) called at the end; cannot wait
---@field module? string in place of functions: a module in a Lua state and thread of its own, found as require does
---@field options? table what the module's open gets: plain data
---@field timeout? crier.Duration longest time of a call; then it is cancelled, and the write tried again; default "30s"
---@field memory? crier.Size of the module's Lua state; default "256MiB"

---@class crier.options.sink.native: crier.options.sink
---@field path string a shared object that was built against include/crier/sink.h
---@field options? table what the sink gets when it is opened: plain data, as JSON

---@class crier.sink
crier.sink = {}

---Lines for people on a terminal, one JSON object a line in a pipe.
---@param options? crier.options.sink.console
---@return crier.Sink
function crier.sink.console(options) end

---Records in memory, which can be asked with :filter.
---@param options? crier.options.sink.memory
---@return crier.Sink
function crier.sink.memory(options) end

---A JSON document a guild and day, newest first.
---@param options? crier.options.sink.json
---@return crier.Sink
function crier.sink.json(options) end

---A JSON object a line, in files that are closed by size and time.
---@param options? crier.options.sink.jsonl
---@return crier.Sink
function crier.sink.jsonl(options) end

---A table with a header, for spreadsheets.
---@param options? crier.options.sink.csv
---@return crier.Sink
function crier.sink.csv(options) end

---@class crier.RedisLine
---@field time? number
---@field text string

---@class crier.RedisCount
---@field logger string
---@field level crier.Level
---@field text string
---@field count integer
---@field start string when the hour began: "2026-11-21T22:00:00Z"

---@class crier.RedisSink: crier.Sink
local redis = {}

---The last lines, newest first; with format = "json" whole records.
---@param logger string
---@param level crier.Level|integer
---@param n? integer at most; default 100
---@return crier.RedisLine[]? lines
---@return string? problem
function redis:recent(logger, level, n) end

---The most frequent messages of an hour; without a logger or level, of all.
---@param of? { logger?: string, level?: crier.Level|integer, hour?: "this"|"last", limit?: integer }
---@return crier.RedisCount[]? counts
---@return string? problem
function redis:common(of) end

---The last lines of each logger and level, and how often each message came, in Redis.
---@param options? crier.options.sink.redis
---@return crier.RedisSink
function crier.sink.redis(options) end

---@class crier.SqlSink: crier.Sink
local sql = {}

---How many of a guild's or user's last logs succeeded, or of a log's channels: 0 to 1 with five
---decimals, 1 where there is nothing.
---@param of { guild?: crier.Snowflake, user?: crier.Snowflake, log?: integer, limit?: integer }
---@return number? rate
---@return string? problem
function sql:success_rate(of) end

---A statement of your own, on the sink's worker: its rows, or how many rows it has changed.
---@param statement string with a ? for each value
---@param params? any[]
---@return table[]|integer|nil result
---@return string? problem
function sql:exec(statement, params) end

---A relational database over ODBC: SQLite, PostgreSQL, MariaDB, SQL Server.
---@param options? crier.options.sink.sql
---@return crier.SqlSink
function crier.sink.sql(options) end

---A SQL Server, as the original wrote it: crier.sink.sql with these.
---@param username string
---@param password string|crier.Secret
---@param server string
---@param database string
---@return crier.SqlSink
function crier.LoggerSQL(username, password, server, database) end

---Functions in Lua, or a module of its own.
---@param options crier.options.sink.custom
---@return crier.Sink
function crier.sink.custom(options) end

---A sink in C, from a shared object.
---@param options crier.options.sink.native
---@return crier.Sink
function crier.sink.native(options) end

---Sinks by name: crier.sinks.history. An unknown name raises.
---@type table<string, crier.Sink>
crier.sinks = {}

---Functions of the program that the host is part of (include/crier/crier.h): crier.app.NAME(...). They
---answer at once, or with nil, text, code. Empty when the command runs the script.
---@type table<string, fun(...): any>
crier.app = {}

-- Routing and matching -----------------------------------------------------------------------------

---@class crier.options.event
---@field ev_where? string where in the code, such as "report.build"; default: file and line
---@field mod_type? string the sort of thing that the event is about
---@field mod_index? string|number which one of them: an id, a row
---@field params? any what the work was called with
---@field descr string what is about to be done
---@field code? string|number a mnemonic for the sort of event, unique within mod_type
---@field who_admin? string the person who caused it
---@field who_system? string the system's user; default: the one that crier runs as
---@field who_network? string the machine; default: this one's name
---@field is_error? boolean something that should be fixed; default false
---@field is_severe? boolean important enough to alert somebody at once; default false
---@field is_debug? boolean hidden unless asked for; default false
---@field notes? string remarks

---@class crier.options.event.finish
---@field descr_fin? string what came of it
---@field params? any what the work was called with
---@field code? string|number a mnemonic for the sort of event, unique within mod_type
---@field what_sql? string the SQL that was run; default: what sql:exec ran since the event began
---@field is_error? boolean something that should be fixed; default: as at the beginning
---@field is_severe? boolean important enough to alert somebody at once; default: as at the beginning
---@field is_debug? boolean hidden unless asked for; default: as at the beginning
---@field notes? string remarks

---An event that has begun. Made by crier.event.
---@class crier.Event
---@field id string 26 characters
---@field finished boolean
local Event = {}

---The work is done: one more record, which completes the event.
---@param options? crier.options.event.finish
function Event:finish(options) end

---The log of work that changes something: a record before the work, and one after it. In a callback
---that can wait it returns when the beginning is stored.
---@class crier.event
---@overload fun(options: crier.options.event): crier.Event
crier.event = {}

---An event that changed nothing, told in one record. Returns its id.
---@param options crier.options.event
---@return string
function crier.event.note(options) end

---@class crier.options.alert
---@field name? string identity: what fires is remembered under it; default: what `when` is about
---@field when "severe"|crier.AlertWhen|fun(r: crier.Record): boolean?
---@field to crier.AlertTarget|crier.AlertTarget[] who is told
---@field dedupe? crier.Duration|false the same is told once in this time, and then how often it has been; default "10m"
---@field rate? string|false notices at most in a time, such as "20/1h", the default; of those above it only their number is told
---@field resolved? boolean tell when it is over; default true, but false for "severe" and match

---@class crier.options.alert.when
---@field match? crier.Match|fun(r: crier.Record): boolean? which records; alone: each of them is told
---@field unfinished? crier.Duration an event that has begun so long ago and is not finished
---@field failures? number more than this share of the records that have an `ok`, within a time
---@field common? integer a text, without its numbers, ids and quotes, comes more often than this within a time
---@field sink? crier.Sink|string|(crier.Sink|string)[]|true one of these is down; true: any
---@field within? crier.Duration the time of failures (15m) and common (1h)
---@field least? integer failures: of so many records at least; default 10
---@field by? string failures: counted for each value of this field; default: together

---@class crier.options.alert.mail
---@field mail string|string[] who gets it
---@field server string "smtp://mail.example.com:587", or smtps://
---@field from string "Crier <crier@example.com>"
---@field user? crier.Secret|string who logs in; default: nobody
---@field password? crier.Secret|string
---@field subject? string with {name}, {state}, {text}, {level} and {node}
---@field starttls? "required"|"try"|"off" smtp://: whether the connection must be encrypted; default "required"
---@field ca? string file of certificates to trust in place of the machine's
---@field timeout? crier.Duration for the whole of it; default "30s"

---@class crier.options.alert.webhook
---@field webhook crier.Secret|string
---@field format? "json"|"discord"|"slack" what is posted; default: as the address is Discord's, Slack's or another
---@field headers? table<string, crier.Secret|string>
---@field timeout? crier.Duration for the whole of it; default "30s"

---@class crier.options.alert.channel
---@field channel string|integer
---@field bot? crier.Bot the bot that sends; needed when there are several

---@class crier.options.alert.dm
---@field dm string|integer a user's id
---@field bot? crier.Bot the bot that sends; needed when there are several

---@alias crier.AlertWhen crier.options.alert.when
---@alias crier.AlertTarget crier.options.alert.mail|crier.options.alert.webhook|crier.options.alert.channel|crier.options.alert.dm|fun(a: crier.Alert): any

---What functions and hooks are told.
---@class crier.Alert
---@field id string 26 characters
---@field name string
---@field state "firing"|"again"|"resolved"|"left out"
---@field text string
---@field level crier.Level
---@field key string which of those that the alert tells apart; may be empty
---@field count integer how many occurrences it stands for
---@field since number UTC seconds
---@field time number UTC seconds
---@field node string
---@field record? crier.Record the first record that it is about

---Tell somebody when something is wrong.
---@param options crier.options.alert
function crier.alert(options) end

---@class crier.options.route
---@field match? crier.Match|fun(r: crier.Record): boolean? which records: conditions, a function, or crier.otherwise; default all
---@field unless? crier.Match but not these
---@field to crier.Sink|crier.Sink[]
---@field now? boolean its sinks write at once, without waiting for a batch to fill; default false
---@field dedupe? crier.Duration records alike are sent once in this time; the next one has their number in `repeated`
---@field sample? number share of the records that is sent, above 0 and up to 1
---@field rate? string records at most in a time: "100/1m"; what is above is counted and told
---@field copy? boolean does not count as a match for crier.otherwise; default false

---A rule; rules are tried in order, and each that matches sends the record on.
---@param options crier.options.route
function crier.route(options) end

---Change, drop or split each record before the rules. The function returns r:with { ... } (or a table
---of changes), false to drop it, a list of records to split it; nothing: it goes on as it is.
---@param fn fun(r: crier.Record): crier.Record|table|boolean?
function crier.transform(fn) end

---@class crier.Otherwise

---Matches what no rule before it (but copies) has matched.
---@type crier.Otherwise
crier.otherwise = {}

---@class crier.Operator

---Conditions: field = value (equal), a list of values (one of these), an operator, or a table of
---conditions on what is inside. All must hold. Or a group: crier.any { {...}, {...} }.
---@alias crier.Match table<string, any>|crier.Operator|crier.Otherwise

---Not equal; a record without the field matches, too.
---@param value any
---@return crier.Operator
function crier.ne(value) end

---Greater than. Levels compare by severity, times with dates ("2026-11-21T09:00").
---@param value any
---@return crier.Operator
function crier.gt(value) end

---@param value any
---@return crier.Operator
function crier.ge(value) end

---@param value any
---@return crier.Operator
function crier.lt(value) end

---@param value any
---@return crier.Operator
function crier.le(value) end

---% is any text, _ one character, \ takes the next one literally; ASCII letters match in any case.
---@param pattern string
---@return crier.Operator
function crier.like(pattern) end

---A Perl-compatible pattern that fits somewhere in the text: "^fail(ed)?", "(?i)news".
---@param pattern string
---@return crier.Operator
function crier.regex(pattern) end

---Not longer ago than a duration, counted from when the query is made: time = crier.since "1d".
---@param duration crier.Duration
---@return crier.Operator
function crier.since(duration) end

---No value: in a filter what is missing or null, in an update what removes the field.
---@type crier.Operator
crier.null = {}

---Both ends included; nil is an open end.
---@param from any
---@param to any
---@return crier.Operator
function crier.range(from, to) end

---@param ... any
---@return crier.Operator
function crier.one_of(...) end

---One of the tables of conditions holds, at least.
---@param list crier.Match[]
---@return crier.Operator
function crier.any(list) end

---All of them hold.
---@param list crier.Match[]
---@return crier.Operator
function crier.all(list) end

---None of them holds.
---@param list crier.Match[]
---@return crier.Operator
function crier.no(list) end

return crier
