/* SPDX-License-Identifier: MIT */
#include "script/declare.h"
#include "script/alert.h"
#include "script/event.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/parts.h"
#include "script/pattern.h"
#include "script/reply.h"

#define SNOWFLAKE_TYPE "string|integer"
#define PERIOD_TYPE "string|number|(string|number)[]|crier.Condition"

const struct crier_option crier_limits_options[] = {
    {"callback", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, "250ms", NULL, 1000, 0, NULL,
     "CPU time of a callback between two waits"},
    {"memory", CRIER_OPT_SIZE, CRIER_OPT_OR_FALSE, "256MiB", NULL, 1 << 20, 0, NULL,
     "memory of one generation's Lua state"},
    {"load", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, "5s", NULL, 1000, 0, NULL,
     "CPU time to load the script"},
    {"added", CRIER_OPT_INT, CRIER_OPT_OR_FALSE, "10000", NULL, 1, 0, NULL,
     "messages, GUILDs and USERs that crier.add may have added at one time"},
    {"drain", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, "5m", NULL, 0, 0, NULL,
     "time that callbacks of an old generation may take to end after a reload"},
    {"stop", CRIER_OPT_DURATION, 0, "10s", NULL, 0, 0, NULL,
     "time to finish what is under way and flush all sinks at the end"},
};
const size_t crier_limits_count = CRIER_COUNT(crier_limits_options);

static const struct crier_option config_options[] = {
    {"timezone", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "IANA name such as \"Europe/Ljubljana\"; default: the machine's"},
    {"node", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "name of this host in every record; default: the host name"},
    {"state", CRIER_OPT_PATH, 0, ".crier", NULL, 0, 0, NULL, "state folder"},
    {"lua_path", CRIER_OPT_STRINGS, 0, NULL, NULL, 0, 0, NULL,
     "further folders for require, after the script's own"},
    {"native_modules", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "let require load C modules, which no limit can stop"},
    {"log_levels", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table<string, crier.Level>",
     "by logger: { shop = \"warning\", [\"*\"] = \"info\" }; default debug"},
    {"limits", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Limits",
     "limits = { callback = \"250ms\", ... }; see config.limits"},
};

static const struct crier_option bot_options[] = {
    {"name", CRIER_OPT_STRING, 0, "bot", NULL, 0, 0, NULL, "needed when there are several bots"},
    {"token", CRIER_OPT_SECRET, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "crier.Secret|string",
     "token = crier.secret.env \"DISCORD_TOKEN\""},
    {"api", CRIER_OPT_STRING, 0, "https://discord.com/api/v10", NULL, 0, 0, NULL,
     "base address of the REST API, for a proxy or a simulator"},
    {"requests_per_second", CRIER_OPT_INT, 0, "50", NULL, 1, 10000, NULL,
     "Discord's global limit of this bot; large bots have a higher one"},
    {"gateway", CRIER_OPT_BOOL, 0, NULL, NULL, 0, 0, NULL,
     "true: connect to the gateway even if nothing in the script needs it; false: never"},
    {"presence", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "string|crier.Presence",
     "what people see: a text, or { status = \"dnd\", watching = \"the news\" }"},
};

#define TARGET_OPTIONS                                                                             \
    {"name",                                                                                       \
     CRIER_OPT_STRING,                                                                             \
     0,                                                                                            \
     NULL,                                                                                         \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "instead of the name that Discord has for it"},                                               \
        {"logging",                                                                                \
         CRIER_OPT_BOOL,                                                                           \
         0,                                                                                        \
         "false",                                                                                  \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "make a record of every send; without it only counters and hooks see them"},              \
        {"messages",                                                                               \
         CRIER_OPT_OBJECT,                                                                         \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "crier.Message[]",                                                                        \
         "the messages to send there"},                                                            \
    {                                                                                              \
        "bot", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Bot",                                 \
            "the bot that sends; needed when there are several"                                    \
    }

static const struct crier_option guild_options[] = {
    {"snowflake", CRIER_OPT_SNOWFLAKE, CRIER_OPT_REQUIRED | CRIER_OPT_PATTERN, NULL, NULL, 0, 0,
     SNOWFLAKE_TYPE "|crier.Pattern",
     "snowflake = \"863071397207212052\", or crier.guilds { crier.contains \"town\" }"},
    TARGET_OPTIONS,
    {"invite_track", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "make a record of kind invite for each new member, with the invite that was used"},
};

static const struct crier_option user_options[] = {
    {"snowflake", CRIER_OPT_SNOWFLAKE, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, SNOWFLAKE_TYPE,
     "snowflake = \"145196308985020416\""},
    TARGET_OPTIONS,
};

#define MESSAGE_OPTIONS_HEAD                                                                       \
    {"name",                                                                                       \
     CRIER_OPT_STRING,                                                                             \
     0,                                                                                            \
     NULL,                                                                                         \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "identity: state and history follow it through reloads; unique in its GUILD or USER"},        \
    {                                                                                              \
        "was", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,                                        \
            "the former name, whose state is carried over"                                         \
    }
#define MESSAGE_OPTIONS_TAIL                                                                       \
    {"mode",                                                                                       \
     CRIER_OPT_ENUM,                                                                               \
     0,                                                                                            \
     "send",                                                                                       \
     "send edit clear-send",                                                                       \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "send: a new message each time; edit: the last one is edited; clear-send: the last one is "   \
     "deleted first"},                                                                             \
        {"period",                                                                                 \
         CRIER_OPT_OBJECT,                                                                         \
         CRIER_OPT_REQUIRED,                                                                       \
         NULL,                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         PERIOD_TYPE,                                                                              \
         "period = \"10s\", { \"45m\", \"75m\" } for a random one between the two, or "               \
         "crier.daily:at \"09:00\""},                                                              \
        {"catch_up",                                                                               \
         CRIER_OPT_ENUM,                                                                           \
         0,                                                                                        \
         NULL,                                                                                     \
         "none one all",                                                                           \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "which of the times that were missed are made up for; default: none for durations, one "  \
         "for calendars"},                                                                         \
        {"grace",                                                                                  \
         CRIER_OPT_DURATION,                                                                       \
         0,                                                                                        \
         "10m",                                                                                    \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "how long after its time a missed one is still made up for"},                             \
        {"tz",                                                                                     \
         CRIER_OPT_STRING,                                                                         \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "IANA time zone of its times and dates; default: the config's"},                          \
        {"start_in",                                                                               \
         CRIER_OPT_OBJECT,                                                                         \
         0,                                                                                        \
         "0s",                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "string|number",                                                                          \
         "first send: after a duration, or at a date-time \"2026-12-24T18:00\""},                  \
        {"remove_after",                                                                           \
         CRIER_OPT_OBJECT,                                                                         \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "integer|string",                                                                         \
         "end: after a count of successful sends a channel, a duration, or at a date-time"},       \
        {"data",                                                                                   \
         CRIER_OPT_OBJECT,                                                                         \
         CRIER_OPT_REQUIRED,                                                                       \
         NULL,                                                                                     \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "crier.Data",                                                                             \
         "what to send: a text, EMBED, FILE, a list of them, or a function that returns one"},     \
    {"only_if",                                                                                    \
     CRIER_OPT_FUNCTION,                                                                           \
     0,                                                                                            \
     NULL,                                                                                         \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     "fun(ctx: crier.Context, channel: string): any, string?",                                 \
     "asked before each send, channel by channel; nil or false, and why, leaves the channel out"}, \
    {                                                                                              \
        "mentions", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Mentions|string[]",              \
            "who may be pinged: { \"everyone\", \"roles\", \"users\" } or lists of ids; default "  \
            "nobody"                                                                               \
    }

static const struct crier_option text_options[] = {
    MESSAGE_OPTIONS_HEAD,
    {"channels", CRIER_OPT_SNOWFLAKES, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0,
     "(" SNOWFLAKE_TYPE ")[]|crier.Pattern",
     "channels = { \"978332728615378984\" }"},
    {"auto_publish", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "publish what is sent to announcement channels to those who follow them"},
    MESSAGE_OPTIONS_TAIL,
};
static const struct crier_option direct_options[] = {MESSAGE_OPTIONS_HEAD, MESSAGE_OPTIONS_TAIL};

static const struct crier_option secret_options[] = {
    {"env", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "crier.secret.env \"NAME\""},
    {"file", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "crier.secret.file \"path\""},
    {"credential", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "crier.secret.credential \"name\", from systemd's $CREDENTIALS_DIRECTORY"},
};

#define ALERT_TOPICS                                                                               \
    {"alert", "who is told when something is wrong", crier_alert_options, crier_alert_count},      \
        {"alert.when", "what is wrong", crier_when_options, crier_when_count},                     \
        {"alert.mail", "told by e-mail", crier_mail_options, crier_mail_count},                    \
        {"alert.webhook", "told by an HTTP request", crier_webhook_options,                        \
         crier_webhook_count},                                                                     \
        {"alert.channel", "told in a channel of a guild", crier_channel_options,                   \
         crier_channel_count},                                                                     \
    {                                                                                              \
        "alert.dm", "told by a direct message", crier_dm_options, crier_dm_count                   \
    }

extern const struct crier_option crier_embed_options[], crier_file_options[], crier_route_options[];
extern const struct crier_option crier_task_options[], crier_group_options[];
extern const size_t crier_embed_count, crier_file_count, crier_route_count, crier_task_count,
    crier_group_count;

const struct crier_topic *crier_topics(size_t *count)
{
    static struct crier_topic topics[48];
    static size_t n;
    if (!n) {
        struct crier_topic fixed[] = {
            {"config", "settings of the whole script; once", config_options,
             CRIER_COUNT(config_options)},
            {"config.limits", "what callbacks may use; `false` lifts a limit", crier_limits_options,
             crier_limits_count},
            {"bot", "a bot account", bot_options, CRIER_COUNT(bot_options)},
            {"secret", "where a secret is; never shown", secret_options,
             CRIER_COUNT(secret_options)},
            {"GUILD", "a guild (server) and its messages", guild_options,
             CRIER_COUNT(guild_options)},
            {"USER", "a user and the direct messages to them", user_options,
             CRIER_COUNT(user_options)},
            {"TextMESSAGE", "a message to text channels of a guild", text_options,
             CRIER_COUNT(text_options)},
            {"DirectMESSAGE", "a direct message to a user", direct_options,
             CRIER_COUNT(direct_options)},
            {"EMBED", "an embed", crier_embed_options, crier_embed_count},
            {"FILE", "a file to attach", crier_file_options, crier_file_count},
            {"POLL", "a poll", crier_poll_options, crier_poll_count},
            {"BUTTON", "a button that leads somewhere", crier_button_options, crier_button_count},
            {"REPLY", "makes the message a reply", crier_reply_options, crier_reply_count},
            {"THREAD", "makes the message a post of a forum channel", crier_thread_options,
             crier_thread_count},
            {"reply", "an automatic reply to a message", crier_responder_options,
             crier_responder_count},
            {"route", "a routing rule", crier_route_options, crier_route_count},
            {"task", "work that runs when a condition is true", crier_task_options,
             crier_task_count},
            {"group", "tasks with something in common", crier_group_options, crier_group_count},
            ALERT_TOPICS,
            {"event", "the beginning of work that changes something", crier_event_options,
             crier_event_count},
            {"event.finish", "its end: ev:finish { ... }", crier_finish_options,
             crier_finish_count},
            {"sink", "options of every sink", crier_sink_common_options, crier_sink_common_count},
        };
        for (size_t i = 0; i < CRIER_COUNT(fixed); i++)
            topics[n++] = fixed[i];
        crier_sink_add_kinds();
        for (size_t i = 0; crier_sink_drivers[i]; i++) {
            const struct crier_sink_driver *s = crier_sink_drivers[i];
            topics[n++] = (struct crier_topic){crier_asprintf("sink.%s", s->kind), s->help,
                                               s->options, s->option_count};
        }
    }
    *count = n;
    return topics;
}

/* --- helpers ----------------------------------------------------------------------------- */

static int l_message_gc(lua_State *L)
{
    void **box = luaL_checkudata(L, 1, CRIER_MT_MESSAGE);
    crier_message_unref(*box);
    *box = NULL;
    return 0;
}

static int l_target_gc(lua_State *L)
{
    void **box = luaL_checkudata(L, 1, CRIER_MT_TARGET);
    crier_target_unref(*box);
    *box = NULL;
    return 0;
}

static void push_handle(lua_State *L, void *object, const char *metatable)
{
    void **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = object;
    luaL_setmetatable(L, metatable);
}

static void *test_handle(lua_State *L, int idx, const char *metatable)
{
    void **box = luaL_testudata(L, idx, metatable);
    return box ? *box : NULL;
}

static char *place_text(const struct crier_decl *d)
{
    return d->file ? crier_asprintf("%s:%d", d->file, d->line) : crier_strdup("?");
}

static const struct crier_option_value *opt(const struct crier_options *o, const char *name)
{
    return crier_options_get(o, name);
}

/* --- secrets ----------------------------------------------------------------------------- */

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static int l_secret(lua_State *L)
{
    static const char *const words[] = {"env", "file", "credential"};
    int kind = (int)lua_tointeger(L, lua_upvalueindex(1));
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1))
        return luaL_error(L, "crier.secret.%s expects a name: crier.secret.%s \"%s\"", words[kind],
                          words[kind], kind == 1 ? "/run/secrets/token" : "DISCORD_TOKEN");
    if (kind == CRIER_SECRET_ENV && lua_tostring(L, 1)[strspn(lua_tostring(L, 1), NAME_CHARS)])
        return luaL_error(L, "crier.secret.env expects the name of a variable, not the secret "
                             "itself: crier.secret.env \"DISCORD_TOKEN\"");
    struct crier_secret *secret = crier_secret_new(kind, lua_tostring(L, 1));
    struct crier_generation *gen = crier_generation_of(L);
    if (kind == CRIER_SECRET_ENV) {
        if (!gen->secret_env)
            gen->secret_env = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
        g_hash_table_add(gen->secret_env, crier_strdup(secret->name));
    }
    push_handle(L, secret, CRIER_MT_SECRET);
    return 1;
}

static int l_secret_gc(lua_State *L)
{
    void **box = luaL_checkudata(L, 1, CRIER_MT_SECRET);
    crier_secret_free(*box);
    *box = NULL;
    return 0;
}

static int l_secret_tostring(lua_State *L)
{
    lua_pushliteral(L, "*****");
    return 1;
}

/* A secret as an option: a copy that the declaration owns. */
static struct crier_secret *field_secret(struct crier_decl *d, const char *key)
{
    struct crier_secret *secret = NULL;
    int type = crier_decl_field(d, key);
    const struct crier_secret *handle = test_handle(d->L, -1, CRIER_MT_SECRET);
    if (handle)
        secret = crier_secret_new(handle->kind, handle->name);
    else if (type == LUA_TSTRING)
        secret = crier_secret_new(CRIER_SECRET_TEXT, lua_tostring(d->L, -1));
    lua_pop(d->L, 1);
    return secret;
}

/* --- config ------------------------------------------------------------------------------ */

static void read_limits(struct crier_decl *d, struct crier_config *config)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "limits");
    if (type == LUA_TTABLE) {
        struct crier_decl inner = *d;
        struct crier_options o;
        inner.table = lua_gettop(L);
        inner.within = "limits.";
        snprintf(inner.object, sizeof inner.object, "config.limits");
        crier_decl_read(&inner, crier_limits_options, crier_limits_count, false, &o);
        int64_t *const to[] = {&config->limits.callback, &config->limits.memory,
                               &config->limits.load, &config->limits.added, &config->limits.drain,
                               &config->limits.stop};
        for (size_t i = 0; i < crier_limits_count; i++) {
            if (o.values[i].set)
                *to[i] = o.values[i].off ? 0 : o.values[i].i;
        }
        crier_options_fini(&o);
        d->gen->vm->config.memory = config->limits.memory;
        crier_budget_limit(d->gen->vm, config->limits.load);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "limits", "limits = { callback = \"250ms\" }",
                           "option 'limits' must be a table");
    }
    lua_pop(L, 1);
}

static void read_log_levels(struct crier_decl *d)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "log_levels");
    if (type == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            enum crier_level level;
            char got[80];
            size_t len;
            const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
            if (lua_type(L, -2) != LUA_TSTRING)
                crier_decl_problem(d, CRIER_ERROR, "log_levels", "log_levels = { shop = \"info\" }",
                                   "option 'log_levels' must name loggers, got %s",
                                   crier_lua_describe(L, -2, got, sizeof got));
            else if (!word || !crier_level_parse(word, len, &level))
                crier_decl_problem(d, CRIER_ERROR, "log_levels",
                                   "debug, info, warning, error or critical",
                                   "option 'log_levels': unknown level for '%.60s': %s",
                                   lua_tostring(L, -2), crier_lua_describe(L, -1, got, sizeof got));
            else
                crier_log_set_level(d->gen, lua_tostring(L, -2), (int)level);
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "log_levels", "log_levels = { shop = \"info\" }",
                           "option 'log_levels' must be a table");
    }
    lua_pop(L, 1);
}

static int l_config(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "config", "config", "crier.config { timezone = \"UTC\" }");
    snprintf(d.object, sizeof d.object, "config");
    struct crier_generation *gen = d.gen;
    if (gen->config.given) {
        crier_decl_problem(&d, CRIER_ERROR, NULL, "keep one",
                           "crier.config is called twice (first on line %d)", gen->config.line);
        return 0;
    }
    gen->config.given = true;
    gen->config.line = d.line;
    struct crier_options o;
    crier_decl_read(&d, config_options, CRIER_COUNT(config_options), false, &o);
    if (opt(&o, "timezone")->set) {
        struct crier_err err = {0};
        struct crier_zone *zone = NULL;
        if (crier_zone_open(opt(&o, "timezone")->s, &zone, &err) == 0) {
            crier_zone_unref(gen->zone);
            gen->zone = zone;
            gen->config.timezone = crier_strdup(opt(&o, "timezone")->s);
        } else {
            crier_decl_problem(&d, CRIER_ERROR, "timezone", NULL, "option 'timezone': %s",
                               err.text);
        }
    }
    if (opt(&o, "node")->set)
        gen->config.node = crier_strdup(opt(&o, "node")->s);
    if (opt(&o, "state")->set) {
        if (gen->states->len)
            crier_decl_problem(&d, CRIER_ERROR, "state", "move crier.config to the top",
                               "crier.state was used before the state folder was set");
        gen->config.state = crier_strdup(opt(&o, "state")->s);
    }
    const struct crier_option_value *paths = opt(&o, "lua_path");
    for (size_t i = 0; i < paths->count; i++) {
        char *dir = crier_path_join(gen->folder, paths->list[i]);
        crier_vm_add_path(gen->vm, dir);
        free(dir);
    }
    if (opt(&o, "native_modules")->set)
        gen->vm->config.native_modules = gen->config.native_modules = opt(&o, "native_modules")->i;
    read_limits(&d, &gen->config);
    read_log_levels(&d);
    crier_options_fini(&o);
    return 0;
}

/* --- bots -------------------------------------------------------------------------------- */

static int l_bot(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "bot", "bot",
                     "crier.bot { token = crier.secret.env \"DISCORD_TOKEN\" }");
    struct crier_options o;
    crier_decl_read(&d, bot_options, CRIER_COUNT(bot_options), false, &o);
    struct crier_bot *bot = crier_calloc(1, sizeof *bot);
    bot->name = crier_strdup(opt(&o, "name")->s);
    bot->api = crier_strdup(opt(&o, "api")->s);
    size_t len = strlen(bot->api);
    if (len && bot->api[len - 1] == '/')
        bot->api[len - 1] = '\0';
    if (strncmp(bot->api, "http://", 7) != 0 && strncmp(bot->api, "https://", 8) != 0)
        crier_decl_problem(&d, CRIER_ERROR, "api", "such as \"https://discord.com/api/v10\"",
                           "option 'api' must start with http:// or https://");
    bot->per_second = (int)opt(&o, "requests_per_second")->i;
    bot->token = field_secret(&d, "token");
    bot->where = place_text(&d);
    bot->file = d.file;
    bot->line = d.line;
    if (opt(&o, "gateway")->set)
        bot->gateway = opt(&o, "gateway")->i ? 1 : -1;
    bot->presence = crier_read_presence(&d);
    for (guint i = 0; i < d.gen->bots->len; i++) {
        const struct crier_bot *other = d.gen->bots->pdata[i];
        if (strcmp(other->name, bot->name) == 0)
            crier_decl_problem(&d, CRIER_ERROR, opt(&o, "name")->set ? "name" : NULL,
                               "give each bot a name of its own",
                               "there is a bot '%s' already, at %s", other->name, other->where);
    }
    g_ptr_array_add(d.gen->bots, bot);
    crier_options_fini(&o);
    push_handle(L, bot, CRIER_MT_BOT);
    return 1;
}

struct crier_bot *crier_to_bot(lua_State *L, int idx)
{
    return test_handle(L, idx, CRIER_MT_BOT);
}

/* --- messages ---------------------------------------------------------------------------- */

/* A duration, or a text that begins as one does. */
static bool is_duration(lua_State *L, int idx)
{
    if (lua_type(L, idx) != LUA_TSTRING)
        return !crier_to_cond(L, idx);
    const char *text = lua_tostring(L, idx) + strspn(lua_tostring(L, idx), " ");
    return !*text || strchr("0123456789.+-", *text);
}

/* "weekly Mon, Fri at 09:00", crier.weekly {...}, crier.every "10m", ... */
static bool read_calendar(struct crier_decl *d, int idx, struct crier_zone *zone,
                          struct crier_period *out)
{
    struct crier_err err = {0};
    struct crier_cond *cond = crier_to_cond(d->L, idx);
    int rc = cond ? crier_period_from_cond(cond, zone, out, &err)
                  : crier_period_parse(lua_tostring(d->L, idx), zone, out, &err);
    if (rc != 0)
        crier_decl_problem(d, CRIER_ERROR, "period", NULL, "option 'period': %s", err.text);
    return rc == 0;
}

static bool read_durations(struct crier_decl *d, int idx, struct crier_period *out)
{
    lua_State *L = d->L;
    int64_t lo = 0, hi = 0;
    bool ok;
    if (lua_istable(L, idx)) {
        if (lua_rawlen(L, idx) != 2) {
            crier_decl_problem(d, CRIER_ERROR, "period", "period = { \"45m\", \"75m\" }",
                               "option 'period' takes one duration or a list of exactly two");
            return false;
        }
        lua_rawgeti(L, idx, 1);
        lua_rawgeti(L, idx, 2);
        ok = crier_read_duration(d, idx + 1, "period", &lo);
        ok = crier_read_duration(d, idx + 2, "period", &hi) && ok;
        if (ok && lo > hi) {
            crier_decl_problem(d, CRIER_ERROR, "period", "put the shorter one first",
                               "option 'period': the first duration is longer than the second");
            ok = false;
        }
    } else {
        ok = crier_read_duration(d, idx, "period", &lo);
        hi = lo;
    }
    if (ok)
        *out = (struct crier_period){
            .kind = lo == hi ? CRIER_PERIOD_FIXED : CRIER_PERIOD_RANDOM, .lo = lo, .hi = hi};
    return ok;
}

static bool read_period(struct crier_decl *d, struct crier_zone *zone, struct crier_period *out)
{
    bool ok = false;
    int type = crier_decl_field(d, "period"), idx = lua_gettop(d->L);
    if (type == LUA_TNIL)
        goto out;
    ok = is_duration(d->L, idx) ? read_durations(d, idx, out) : read_calendar(d, idx, zone, out);
    if (ok && out->kind != CRIER_PERIOD_CALENDAR && out->lo < 100 * CRIER_MS) {
        crier_decl_problem(d, CRIER_ERROR, "period", NULL,
                           "option 'period' must be at least 100ms");
        *out = (struct crier_period){0};
        ok = false;
    }
out:
    lua_settop(d->L, idx - 1);
    return ok;
}

/* The message's own zone (a new reference), or the config's. */
static struct crier_zone *read_zone(struct crier_decl *d, const struct crier_option_value *tz)
{
    struct crier_err err = {0};
    struct crier_zone *zone = NULL;
    if (tz->set && crier_zone_open(tz->s, &zone, &err) != 0)
        crier_decl_problem(d, CRIER_ERROR, "tz", NULL, "option 'tz': %s", err.text);
    return zone ? zone : crier_zone_ref(d->gen->zone);
}

static void read_start(struct crier_decl *d, struct crier_zone *zone, struct crier_start *out)
{
    struct crier_err err = {0};
    int type = crier_decl_field(d, "start_in");
    if (type == LUA_TSTRING) {
        if (crier_start_parse(lua_tostring(d->L, -1), zone, out, &err) != 0)
            crier_decl_problem(d, CRIER_ERROR, "start_in", NULL, "option 'start_in': %s", err.text);
    } else if (type != LUA_TNIL) {
        int64_t delay = 0;
        if (crier_read_duration(d, lua_gettop(d->L), "start_in", &delay))
            *out = (struct crier_start){.value = delay};
    }
    lua_pop(d->L, 1);
}

static void read_removal(struct crier_decl *d, struct crier_zone *zone,
                         struct crier_removal *out)
{
    struct crier_err err = {0};
    lua_State *L = d->L;
    int type = crier_decl_field(d, "remove_after");
    if (lua_isinteger(L, -1)) {
        if (crier_removal_count(lua_tointeger(L, -1), out, &err) != 0)
            crier_decl_problem(d, CRIER_ERROR, "remove_after", NULL, "option 'remove_after': %s",
                               err.text);
    } else if (type == LUA_TSTRING) {
        if (crier_removal_parse(lua_tostring(L, -1), zone, out, &err) != 0)
            crier_decl_problem(d, CRIER_ERROR, "remove_after", NULL, "option 'remove_after': %s",
                               err.text);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "remove_after",
                           "remove_after = 10, \"30d\" or \"2026-12-31\"",
                           "option 'remove_after' must be a count, a duration or a date-time");
    }
    lua_pop(L, 1);
}

static void read_times(struct crier_decl *d, const struct crier_options *o, struct crier_message *m)
{
    struct crier_zone *zone = read_zone(d, opt(o, "tz"));
    if (read_period(d, zone, &m->period))
        m->period.zone_given = opt(o, "tz")->set;
    m->misfire = crier_misfire_default(&m->period);
    if (opt(o, "catch_up")->set)
        m->misfire.catch_up = (enum crier_catch_up)opt(o, "catch_up")->i;
    m->misfire.grace = opt(o, "grace")->i;
    read_start(d, zone, &m->start);
    read_removal(d, zone, &m->removal);
    crier_zone_unref(zone);
}

static uint64_t *read_ids(struct crier_decl *d, int idx, const char *key, size_t *count)
{
    lua_State *L = d->L;
    *count = 0;
    if (lua_type(L, idx) != LUA_TTABLE) {
        crier_decl_problem(d, CRIER_ERROR, "mentions", NULL,
                           "option 'mentions.%s' must be a list of snowflakes", key);
        return NULL;
    }
    size_t n = lua_rawlen(L, idx);
    uint64_t *ids = crier_calloc(n ? n : 1, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        char at[64];
        snprintf(at, sizeof at, "mentions.%.10s[%zu]", key, i + 1);
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        if (crier_read_snowflake(d, lua_gettop(L), at, &ids[*count]))
            (*count)++;
        lua_pop(L, 1);
    }
    return ids;
}

/* mentions = { "everyone", "users", roles = { "123" } } */
static struct crier_mentions *read_mentions(struct crier_decl *d)
{
    lua_State *L = d->L;
    struct crier_mentions *m = NULL;
    int type = crier_decl_field(d, "mentions");
    int idx = lua_gettop(L);
    if (type == LUA_TNIL)
        goto out;
    if (type != LUA_TTABLE) {
        crier_decl_problem(d, CRIER_ERROR, "mentions",
                           "mentions = { \"everyone\" } or { roles = { \"123\" } }",
                           "option 'mentions' must be a table");
        goto out;
    }
    m = crier_calloc(1, sizeof *m);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        bool keyed = lua_type(L, -2) == LUA_TSTRING;
        char got[80], word[48];
        bool list = keyed && lua_type(L, -1) == LUA_TTABLE;
        bool on = !keyed || lua_toboolean(L, -1);
        const char *quote = keyed || lua_type(L, -1) == LUA_TSTRING ? "'" : "";
        if (*quote)
            snprintf(word, sizeof word, "%s", lua_tostring(L, keyed ? -2 : -1));
        else
            snprintf(word, sizeof word, "%s", crier_lua_describe(L, -1, got, sizeof got));
        if (keyed && !list && lua_type(L, -1) != LUA_TBOOLEAN) {
            crier_decl_problem(d, CRIER_ERROR, "mentions", NULL,
                               "option 'mentions.%.40s' must be true, false or a list of "
                               "snowflakes, got %s",
                               word, crier_lua_describe(L, -1, got, sizeof got));
            lua_pop(L, 1);
            continue;
        }
        if (strcmp(word, "everyone") == 0 && !list) {
            m->everyone = on;
        } else if (strcmp(word, "roles") == 0 && list) {
            m->role_ids = read_ids(d, lua_gettop(L), "roles", &m->role_count);
        } else if (strcmp(word, "users") == 0 && list) {
            m->user_ids = read_ids(d, lua_gettop(L), "users", &m->user_count);
        } else if (strcmp(word, "roles") == 0) {
            m->roles = on;
        } else if (strcmp(word, "users") == 0) {
            m->users = on;
        } else {
            static const char *const known[] = {"everyone", "roles", "users"};
            const char *near = crier_nearest(word, known, CRIER_COUNT(known));
            char help[80];
            snprintf(help, sizeof help, "did you mean '%s'?", near ? near : "");
            if (strcmp(word, "here") == 0)
                snprintf(help, sizeof help, "'everyone' stands for @here too");
            else if (!near)
                snprintf(help, sizeof help, "known: everyone, roles, users");
            crier_decl_problem(d, CRIER_ERROR, "mentions", help,
                               "option 'mentions' does not know %s%s%s", quote, word, quote);
        }
        lua_pop(L, 1);
    }
out:
    lua_settop(L, idx - 1);
    return m;
}

/* data: constant content, a function, or a function with bound arguments (crier.data_function). */
static void read_data(struct crier_decl *d, struct crier_message *m)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "data");
    int idx = lua_gettop(L);
    if (crier_is_data_maker(L, idx)) {
        crier_decl_problem(d, CRIER_ERROR, "data", "data = get(...), or data = the function itself",
                           "option 'data' is what crier.data_function returned: call it to bind "
                           "its arguments");
    } else if (type == LUA_TFUNCTION) {
        m->data_fn = luaL_ref(L, LUA_REGISTRYINDEX);
    } else if (luaL_testudata(L, idx, CRIER_MT_DATA)) {
        lua_getiuservalue(L, idx, 1);
        m->data_fn = luaL_ref(L, LUA_REGISTRYINDEX);
        lua_getiuservalue(L, idx, 2);
        m->data_args = luaL_ref(L, LUA_REGISTRYINDEX);
    } else if (type != LUA_TNIL) {
        struct crier_err err = {0};
        if (crier_content_from_lua(L, idx, d->gen->folder, &m->content, &err) != 0)
            crier_decl_problem(d, CRIER_ERROR, "data", NULL, "option 'data': %s", err.text);
    }
    lua_settop(L, idx - 1);
}

/* What an edit cannot change. */
static void judge_edit(struct crier_decl *d, const struct crier_message *m)
{
    const struct crier_content *c = m->content;
    const char *what = !c || m->mode != CRIER_MODE_EDIT ? NULL
                       : c->poll                        ? "POLL"
                       : c->sticker_count               ? "STICKER"
                                                        : NULL;
    if (what)
        crier_decl_problem(d, CRIER_ERROR, "data", "mode = \"clear-send\"",
                           "option 'data': Discord does not let a %s be edited", what);
}

/* A message that nothing refers to but the value that is pushed, and while the script loads its
 * generation. */
static struct crier_message *new_message(struct crier_decl *d, enum crier_message_type type)
{
    struct crier_message *m = crier_calloc(1, sizeof *m);
    m->refs = 1;
    m->gen = d->gen;
    m->type = type;
    m->file = d->file;
    m->line = d->line;
    m->late = !crier_vm_of(d->L)->loading;
    push_handle(d->L, m, CRIER_MT_MESSAGE);
    if (!m->late)
        g_ptr_array_add(d->gen->messages, crier_message_ref(m));
    lua_pushvalue(d->L, d->table);
    m->options = luaL_ref(d->L, LUA_REGISTRYINDEX);
    return m;
}

static struct crier_message *declare_message(lua_State *L, int idx, enum crier_message_type type,
                                             const char *callee)
{
    bool text = type == CRIER_TEXT_MESSAGE;
    struct crier_decl d;
    crier_decl_begin_late(
        &d, L, idx, callee, "message",
        text ? "crier.TextMESSAGE { channels = {...}, period = \"10s\", data = \"...\" }"
             : "crier.DirectMESSAGE { period = \"1d\", data = \"...\" }");
    struct crier_message *m = new_message(&d, type);
    struct crier_options o;
    crier_decl_read(&d, text ? text_options : direct_options,
                    text ? CRIER_COUNT(text_options) : CRIER_COUNT(direct_options), false, &o);
    m->name = crier_strdup(opt(&o, "name")->s);
    m->was = crier_strdup(opt(&o, "was")->s);
    m->mode = (enum crier_mode)opt(&o, "mode")->i;
    if (m->name && (!*m->name || strchr(m->name, '/')))
        crier_decl_problem(&d, CRIER_ERROR, "name", NULL,
                           "option 'name' must not be empty or hold a '/'");
    if (text) {
        struct crier_option_value *v = (struct crier_option_value *)opt(&o, "channels");
        crier_decl_field(&d, "channels");
        struct crier_pattern *match = crier_to_pattern(L, -1, "channels");
        m->match = match ? crier_pattern_ref(match) : NULL;
        lua_pop(L, 1);
        m->auto_publish = opt(&o, "auto_publish")->i;
        if (v->set && !v->count && !match)
            crier_decl_problem(&d, CRIER_ERROR, "channels", "channels = { \"978332728615378984\" }",
                               "option 'channels' is empty");
        m->channels = v->ids;
        m->channel_count = v->count;
        v->ids = NULL;
        v->count = 0;
    }
    read_times(&d, &o, m);
    read_data(&d, m);
    m->mentions = read_mentions(&d);
    if (opt(&o, "only_if")->set) {
        crier_decl_field(&d, "only_if");
        m->only_if = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    judge_edit(&d, m);
    crier_options_fini(&o);
    crier_decl_end(&d);
    return m;
}

static int l_text_message(lua_State *L)
{
    declare_message(L, 1, CRIER_TEXT_MESSAGE, "TextMESSAGE");
    return 1;
}

static int l_direct_message(lua_State *L)
{
    declare_message(L, 1, CRIER_DIRECT_MESSAGE, "DirectMESSAGE");
    return 1;
}

struct crier_message *crier_declare_again(lua_State *L, int idx, enum crier_message_type type)
{
    return declare_message(L, idx, type, "update");
}

struct crier_message *crier_to_message(lua_State *L, int idx)
{
    return test_handle(L, idx, CRIER_MT_MESSAGE);
}

struct crier_target *crier_to_target(lua_State *L, int idx)
{
    return test_handle(L, idx, CRIER_MT_TARGET);
}

static int l_voice_message(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "VoiceMESSAGE", "message", "crier.VoiceMESSAGE {...}");
    crier_decl_problem(&d, CRIER_ERROR, NULL, "use a TextMESSAGE",
                       "VoiceMESSAGE is not available: Discord takes only end-to-end encrypted "
                       "voice, which this version does not speak");
    return 0;
}

/* --- guilds and users -------------------------------------------------------------------- */

/* What has a key in the list of messages would be passed over in silence. */
static void named_messages(struct crier_decl *d, int idx, enum crier_message_type wanted)
{
    lua_State *L = d->L;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            char help[80], key[80];
            snprintf(help, sizeof help, "messages = { crier.%s {...} }",
                     crier_message_type_name(wanted));
            snprintf(key, sizeof key, "messages.%.60s", lua_tostring(L, -2));
            crier_decl_problem(d, CRIER_ERROR, key, help,
                               "option 'messages' is a list, '%.60s' has no place in it",
                               lua_tostring(L, -2));
        }
        lua_pop(L, 1);
    }
}

static void adopt_messages(struct crier_decl *d, struct crier_target *t)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "messages");
    int idx = lua_gettop(L);
    if (type != LUA_TNIL && type != LUA_TTABLE) {
        crier_decl_problem(d, CRIER_ERROR, "messages", NULL,
                           "option 'messages' must be a list of messages");
        type = LUA_TNIL;
    }
    enum crier_message_type wanted =
        t->type == CRIER_GUILD ? CRIER_TEXT_MESSAGE : CRIER_DIRECT_MESSAGE;
    if (type == LUA_TTABLE)
        named_messages(d, idx, wanted);
    size_t n = type == LUA_TNIL ? 0 : lua_rawlen(L, idx);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i);
        struct crier_message *m = test_handle(L, -1, CRIER_MT_MESSAGE);
        char got[80], name[120], key[40];
        snprintf(key, sizeof key, "messages[%zu]", i);
        if (!m) {
            crier_decl_problem(
                d, CRIER_ERROR, key, NULL, "item %zu of 'messages' must be a crier.%s, got %s", i,
                crier_message_type_name(wanted), crier_lua_describe(L, -1, got, sizeof got));
        } else if (m->target || m->late != t->pending) {
            crier_decl_problem(d, CRIER_ERROR, key, "declare it once for each",
                               "message '%s' is in another GUILD or USER already (%s)",
                               crier_message_label(m, name, sizeof name),
                               m->target ? m->target->where : "it was made before");
        } else if (m->type != wanted) {
            crier_decl_problem(
                d, CRIER_ERROR, key, NULL, "message '%s' is a %s; a %s takes crier.%s only",
                crier_message_label(m, name, sizeof name), crier_message_type_name(m->type),
                t->type == CRIER_GUILD ? "GUILD" : "USER", crier_message_type_name(wanted));
            if (!t->pending)
                m->target = t;
        } else {
            m->target = t;
            g_ptr_array_add(t->messages, t->pending ? crier_message_ref(m) : m);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, idx - 1);
}

static int declare_target(lua_State *L, enum crier_target_type type)
{
    const char *callee = type == CRIER_GUILD ? "GUILD" : "USER";
    struct crier_decl d;
    crier_decl_begin_late(
        &d, L, 1, callee, callee,
        type == CRIER_GUILD
            ? "crier.GUILD { snowflake = \"...\", messages = { crier.TextMESSAGE {...} } }"
            : "crier.USER { snowflake = \"...\", messages = { crier.DirectMESSAGE {...} } }");
    struct crier_options o;
    struct crier_target *t = crier_calloc(1, sizeof *t);
    t->refs = 1;
    t->type = type;
    t->messages = g_ptr_array_new();
    t->pending = !crier_vm_of(L)->loading;
    push_handle(L, t, CRIER_MT_TARGET);
    if (!t->pending)
        g_ptr_array_add(d.gen->targets, crier_target_ref(t));
    crier_decl_read(&d, type == CRIER_GUILD ? guild_options : user_options,
                    type == CRIER_GUILD ? CRIER_COUNT(guild_options) : CRIER_COUNT(user_options),
                    false, &o);
    crier_decl_field(&d, "snowflake");
    struct crier_pattern *match = crier_to_pattern(L, -1, "guilds");
    t->match = match && type == CRIER_GUILD ? crier_pattern_ref(match) : NULL;
    lua_pop(L, 1);
    t->id = (uint64_t)opt(&o, "snowflake")->i;
    t->name = crier_strdup(opt(&o, "name")->s);
    t->logs = t->logging = opt(&o, "logging")->i;
    t->invite_track = type == CRIER_GUILD && opt(&o, "invite_track")->i;
    t->where = place_text(&d);
    if (t->match && t->name)
        crier_decl_problem(&d, CRIER_ERROR, "name", "leave it out: each has its own",
                           "option 'name' would be that of all guilds that match");
    adopt_messages(&d, t);
    int bot_type = crier_decl_field(&d, "bot");
    t->bot = test_handle(L, -1, CRIER_MT_BOT);
    t->bot_wrong = !t->bot && bot_type != LUA_TNIL;
    if (t->bot_wrong)
        crier_decl_problem(&d, CRIER_ERROR, "bot", "local b = crier.bot {...}",
                           "option 'bot' must be what crier.bot returned");
    lua_pop(L, 1);
    crier_options_fini(&o);
    crier_decl_end(&d);
    return 1;
}

static int l_guild(lua_State *L)
{
    return declare_target(L, CRIER_GUILD);
}

static int l_user(lua_State *L)
{
    return declare_target(L, CRIER_USER);
}

/* --- hooks ------------------------------------------------------------------------------- */

static const char *const hook_names[] = {
    "start",           "stop",      "reload",  "reload.failed", "message.sent", "message.failed",
    "message.skipped", "sink.down", "sink.up", "task.run", "task.success", "task.fail",
    "task.terminate", "task.inaction", "task.crash", "alert",
};

static int l_on(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_generation *gen = vm->owner;
    if (!vm->loading)
        return luaL_error(L, "crier.on declares: it is only available while the script loads");
    if (lua_type(L, 1) != LUA_TSTRING || lua_type(L, 2) != LUA_TFUNCTION)
        return luaL_error(L, "crier.on expects a name and a function: "
                             "crier.on(\"message.sent\", function(e) ... end)");
    const char *name = lua_tostring(L, 1);
    bool known = false;
    for (size_t i = 0; i < CRIER_COUNT(hook_names); i++)
        known = known || strcmp(hook_names[i], name) == 0;
    known = known || crier_gateway_hook(name);
    const char *file;
    int line;
    crier_lua_place(L, &file, &line);
    if (!known) {
        char help[700];
        const char *names[64];
        size_t at = 0, count = CRIER_COUNT(hook_names);
        memcpy(names, hook_names, sizeof hook_names);
        for (size_t i = 0; i < crier_gateway_hook_count && count < CRIER_COUNT(names); i++)
            names[count++] = crier_gateway_hooks[i].name;
        const char *near = crier_nearest(name, names, count);
        if (near)
            snprintf(help, sizeof help, "did you mean '%s'?", near);
        for (size_t i = 0; !near && i < count && at < sizeof help; i++)
            at += (size_t)snprintf(help + at, sizeof help - at, "%s%s", i ? ", " : "known: ",
                                   names[i]);
        char text[120];
        snprintf(text, sizeof text, "unknown event '%.60s'", name);
        crier_place_problem(gen, CRIER_ERROR, file, line, "on", NULL, "crier.on", text, help);
        return 0;
    }
    struct crier_hook *hook = crier_calloc(1, sizeof *hook);
    hook->event = crier_strdup(name);
    hook->where = crier_asprintf("%s:%d", file ? file : "?", line);
    lua_pushvalue(L, 2);
    hook->fn = luaL_ref(L, LUA_REGISTRYINDEX);
    g_ptr_array_add(gen->hooks, hook);
    return 0;
}

/* --- opening ----------------------------------------------------------------------------- */

static void metatable(lua_State *L, const char *name, const luaL_Reg *functions)
{
    luaL_newmetatable(L, name);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    if (functions)
        luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}

void crier_open_declare(lua_State *L)
{
    static const luaL_Reg secret_meta[] = {
        {"__gc", l_secret_gc}, {"__tostring", l_secret_tostring}, {NULL, NULL}};
    metatable(L, CRIER_MT_SECRET, secret_meta);
    metatable(L, CRIER_MT_BOT, NULL);
    static const luaL_Reg target_meta[] = {{"__gc", l_target_gc}, {NULL, NULL}};
    static const luaL_Reg message_meta[] = {{"__gc", l_message_gc}, {NULL, NULL}};
    metatable(L, CRIER_MT_TARGET, target_meta);
    metatable(L, CRIER_MT_MESSAGE, message_meta);
    static const luaL_Reg functions[] = {
        {"config", l_config},
        {"bot", l_bot},
        {"GUILD", l_guild},
        {"USER", l_user},
        {"TextMESSAGE", l_text_message},
        {"DirectMESSAGE", l_direct_message},
        {"VoiceMESSAGE", l_voice_message},
        {"on", l_on},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
    static const char *const kinds[] = {"env", "file", "credential"};
    lua_createtable(L, 0, 3);
    for (int i = 0; i < 3; i++) {
        lua_pushinteger(L, i);
        lua_pushcclosure(L, l_secret, 1);
        lua_setfield(L, -2, kinds[i]);
    }
    lua_setfield(L, -2, "secret");
}
