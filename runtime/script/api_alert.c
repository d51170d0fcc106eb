/* SPDX-License-Identifier: MIT
 *
 * crier.alert: the declaration. What it does is in alert.c, how it is told in alert_send.c.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/host.h"
#include "script/alert.h"
#include "script/alert_notice.h"
#include "script/declare.h"

const struct crier_option crier_alert_options[] = {
    {"name", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "identity: what fires is remembered under it; default: what `when` is about"},
    {"when", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0,
     "\"severe\"|crier.AlertWhen|fun(r: crier.Record): boolean?",
     "when = \"severe\", { match = {...} }, { unfinished = \"10m\" }, { failures = 0.5 }, { common = "
     "50 } or { sink = true }; see alert.when"},
    {"to", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0,
     "crier.AlertTarget|crier.AlertTarget[]",
     "to = { mail = \"ops@example.com\", ... }, { webhook = \"https://...\" }, { channel = \"...\" }, "
     "{ dm = \"...\" }, a function, or a list of these; see alert.mail and so on"},
    {"dedupe", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, "10m", NULL, 10 * CRIER_MS, 0, NULL,
     "the same is told once in this time, and then how often it has been"},
    {"rate", CRIER_OPT_STRING, CRIER_OPT_OR_FALSE, "20/1h", NULL, 0, 0, NULL,
     "notices at most in a time; of those above it only their number is told"},
    {"resolved", CRIER_OPT_BOOL, 0, NULL, NULL, 0, 0, NULL,
     "tell when it is over; default: true, but false for \"severe\" and match"},
};
const size_t crier_alert_count = CRIER_COUNT(crier_alert_options);

const struct crier_option crier_when_options[] = {
    {"match", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Match|fun(r: crier.Record): boolean?",
     "which records; alone: each of them is told"},
    {"unfinished", CRIER_OPT_DURATION, 0, NULL, NULL, CRIER_MS, 0, NULL,
     "an event that has begun so long ago and is not finished"},
    {"failures", CRIER_OPT_NUMBER, 0, NULL, NULL, 0, 0, NULL,
     "more than this share, from 0 up to 1, of the records that have an `ok`, within a time"},
    {"common", CRIER_OPT_INT, 0, NULL, NULL, 1, INT32_MAX, NULL,
     "a text, without its numbers, ids and quotes, comes more often than this within a time"},
    {"sink", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Sink|string|(crier.Sink|string)[]|true",
     "one of these sinks is down; true: any"},
    {"within", CRIER_OPT_DURATION, 0, NULL, NULL, 100 * CRIER_MS, 0, NULL,
     "the time of failures (15m) and common (1h)"},
    {"least", CRIER_OPT_INT, 0, "10", NULL, 1, INT32_MAX, NULL,
     "failures: of so many records at least"},
    {"by", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "failures: counted for each value of this field, such as \"task_name\"; default: together"},
};
const size_t crier_when_count = CRIER_COUNT(crier_when_options);

const struct crier_option crier_mail_options[] = {
    {"mail", CRIER_OPT_STRINGS, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "who gets it: mail = \"ops@example.com\""},
    {"server", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "server = \"smtp://mail.example.com:587\", or smtps://"},
    {"from", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "from = \"Crier <crier@example.com>\""},
    {"user", CRIER_OPT_SECRET, CRIER_OPT_ADDRESS, NULL, NULL, 0, 0, "crier.Secret|string",
     "who logs in; default: nobody"},
    {"password", CRIER_OPT_SECRET, 0, NULL, NULL, 0, 0, "crier.Secret|string",
     "password = crier.secret.env \"SMTP_PASSWORD\""},
    {"subject", CRIER_OPT_STRING, 0, "[{node}] {name} {state}: {text}", NULL, 0, 0, NULL,
     "with {name}, {state}, {text}, {level} and {node}"},
    {"starttls", CRIER_OPT_ENUM, 0, "required", "required try off", 0, 0, NULL,
     "smtp://: whether the connection must be encrypted, may be, or is not"},
    {"ca", CRIER_OPT_PATH, 0, NULL, NULL, 0, 0, NULL,
     "file of certificates to trust in place of the machine's"},
    {"timeout", CRIER_OPT_DURATION, 0, "30s", NULL, CRIER_S, 0, NULL, "for the whole of it"},
};
const size_t crier_mail_count = CRIER_COUNT(crier_mail_options);

const struct crier_option crier_webhook_options[] = {
    {"webhook", CRIER_OPT_SECRET, CRIER_OPT_REQUIRED | CRIER_OPT_ADDRESS, NULL, NULL, 0, 0,
     "crier.Secret|string", "webhook = crier.secret.env \"HOOK_URL\", or \"https://...\""},
    {"format", CRIER_OPT_ENUM, 0, NULL, "json discord slack", 0, 0, NULL,
     "what is posted; default: as the address is Discord's, Slack's or another"},
    {"headers", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table<string, crier.Secret|string>",
     "further headers: { Authorization = crier.secret.env \"HOOK_AUTH\" }"},
    {"timeout", CRIER_OPT_DURATION, 0, "30s", NULL, CRIER_S, 0, NULL, "for the whole of it"},
};
const size_t crier_webhook_count = CRIER_COUNT(crier_webhook_options);

#define BOT_OPTION                                                                                 \
    {                                                                                              \
        "bot", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Bot",                                 \
            "the bot that sends; needed when there are several"                                    \
    }

const struct crier_option crier_channel_options[] = {
    {"channel", CRIER_OPT_SNOWFLAKE, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "string|integer",
     "channel = \"978332728615378984\""},
    BOT_OPTION,
};
const size_t crier_channel_count = CRIER_COUNT(crier_channel_options);

const struct crier_option crier_dm_options[] = {
    {"dm", CRIER_OPT_SNOWFLAKE, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "string|integer",
     "dm = \"145196308985020416\", a user's id"},
    BOT_OPTION,
};
const size_t crier_dm_count = CRIER_COUNT(crier_dm_options);

static const struct {
    const char *word;
    const struct crier_option *options;
    const size_t *count;
} target_kinds[] = {
    [CRIER_TO_MAIL] = {"mail", crier_mail_options, &crier_mail_count},
    [CRIER_TO_WEBHOOK] = {"webhook", crier_webhook_options, &crier_webhook_count},
    [CRIER_TO_CHANNEL] = {"channel", crier_channel_options, &crier_channel_count},
    [CRIER_TO_DM] = {"dm", crier_dm_options, &crier_dm_count},
};

static void free_target(void *p)
{
    struct crier_alert_target *t = p;
    for (size_t i = 0; t->headers && t->headers[i]; i++)
        free(t->headers[i]);
    free(t->headers);
    if (t->options.table)
        crier_options_fini(&t->options);
    free(t->label);
    free(t->key);
    free(t);
}

void crier_alert_free(void *p)
{
    struct crier_alert *a = p;
    crier_query_free(a->match);
    if (a->match_fn)
        crier_match_fn_free(a->match_fn);
    for (size_t i = 0; a->sinks && a->sinks[i]; i++)
        free(a->sinks[i]);
    free(a->sinks);
    g_ptr_array_free(a->targets, TRUE);
    free(a->identity);
    free(a->name);
    free(a->by);
    free(a);
}

/* --- when -------------------------------------------------------------------------------- */

static void read_match(struct crier_decl *d, struct crier_alert *a, int idx)
{
    lua_State *L = d->L;
    struct crier_err err = {0};
    char where[200];
    snprintf(where, sizeof where, "%s:%d", d->file ? d->file : "?", d->line);
    int type = lua_type(L, idx);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, idx);
        a->match_fn = crier_match_fn_new(L, "match of the alert", where);
    } else if (type != LUA_TTABLE) {
        crier_decl_problem(d, CRIER_ERROR, "match", "match = { kind = \"task\", action = \"fail\" }",
                           "option 'match' must be a table of conditions or a function");
    } else if (crier_query_from_lua(L, idx, d->gen->zone, &a->match, &err) != 0) {
        crier_decl_problem(d, CRIER_ERROR, "match", NULL, "option 'match': %s", err.text);
    } else if (a->match->since) {
        crier_decl_problem(d, CRIER_ERROR, "match", "use a function: match = function(r) ... end",
                           "option 'match': crier.since counts from when the alert is made, which "
                           "then stays");
    }
}

static void add_sink(struct crier_decl *d, int idx, GPtrArray *names)
{
    const struct crier_declared_sink *s = crier_to_sink(d->L, idx);
    char got[80];
    if (s)
        g_ptr_array_add(names, crier_strdup(s->name));
    else if (lua_type(d->L, idx) == LUA_TSTRING)
        g_ptr_array_add(names, crier_strdup(lua_tostring(d->L, idx)));
    else
        crier_decl_problem(d, CRIER_ERROR, "sink", "sink = true is any of them",
                           "option 'sink' must be a sink, its name, or a list of these, got %s",
                           crier_lua_describe(d->L, idx, got, sizeof got));
}

static void read_sinks(struct crier_decl *d, struct crier_alert *a)
{
    lua_State *L = d->L;
    GPtrArray *names = g_ptr_array_new();
    int type = crier_decl_field(d, "sink"), at = lua_gettop(L);
    if (type == LUA_TTABLE) {
        for (size_t i = 1; i <= lua_rawlen(L, at); i++) {
            lua_rawgeti(L, at, (lua_Integer)i);
            add_sink(d, lua_gettop(L), names);
            lua_pop(L, 1);
        }
    } else if (type != LUA_TBOOLEAN || !lua_toboolean(L, at)) {
        add_sink(d, at, names);
    }
    lua_settop(L, at - 1);
    size_t n = names->len;
    a->sinks = crier_calloc(n + 1, sizeof *a->sinks);
    for (size_t i = 0; i < n; i++)
        a->sinks[i] = names->pdata[i];
    g_ptr_array_free(names, TRUE);
}

/* Which of them is there, and whether it goes with the others. */
static bool choose_kind(struct crier_decl *d, const struct crier_options *o, struct crier_alert *a)
{
    static const struct {
        const char *word;
        enum crier_alert_kind kind;
    } kinds[] = {{"unfinished", CRIER_ALERT_UNFINISHED},
                 {"failures", CRIER_ALERT_FAILURES},
                 {"common", CRIER_ALERT_COMMON},
                 {"sink", CRIER_ALERT_SINK},
                 {"match", CRIER_ALERT_MATCH}};
    const char *first = NULL;
    for (size_t i = 0; i < CRIER_COUNT(kinds); i++) {
        if (!crier_options_get(o, kinds[i].word)->set)
            continue;
        if (!first) {
            first = kinds[i].word;
            a->kind = kinds[i].kind;
        } else if (kinds[i].kind != CRIER_ALERT_MATCH) {
            crier_decl_problem(d, CRIER_ERROR, kinds[i].word, "make two alerts of it",
                               "'%s' and '%s' are two conditions", first, kinds[i].word);
        } else if (a->kind == CRIER_ALERT_UNFINISHED || a->kind == CRIER_ALERT_SINK) {
            crier_decl_problem(d, CRIER_ERROR, "match", "leave it out",
                               "'match' does not go with '%s'", first);
        }
    }
    if (!first)
        crier_decl_problem(d, CRIER_ERROR, NULL,
                           "one of match, unfinished, failures, common and sink",
                           "option 'when' says no condition");
    return first;
}

static void only_with(struct crier_decl *d, const struct crier_options *o, const char *option,
                      bool goes, const char *with)
{
    if (crier_options_get(o, option)->set && !goes)
        crier_decl_problem(d, CRIER_ERROR, option, "leave it out", "'%s' goes with %s only", option,
                           with);
}

static void read_when_table(struct crier_decl *outer, struct crier_alert *a)
{
    struct crier_decl inner = *outer, *d = &inner;
    struct crier_options o;
    inner.table = lua_gettop(d->L);
    inner.within = "when.";
    crier_decl_read(d, crier_when_options, crier_when_count, false, &o);
    if (!choose_kind(d, &o, a))
        goto out;
    bool ratio = a->kind == CRIER_ALERT_FAILURES, common = a->kind == CRIER_ALERT_COMMON;
    only_with(d, &o, "within", ratio || common, "failures and common");
    only_with(d, &o, "least", ratio, "failures");
    only_with(d, &o, "by", ratio, "failures");
    a->share = crier_options_get(&o, "failures")->n;
    if (ratio && !(a->share >= 0 && a->share < 1))
        crier_decl_problem(d, CRIER_ERROR, "failures", "failures = 0.5: more than half of them",
                           "option 'failures' must be at least 0 and below 1, got %.14g", a->share);
    a->least = (uint64_t)crier_options_get(&o, ratio ? "least" : "common")->i;
    const struct crier_option_value *within = crier_options_get(&o, "within");
    a->within = a->kind == CRIER_ALERT_UNFINISHED ? crier_options_get(&o, "unfinished")->i
                : within->set                     ? within->i
                : ratio                           ? 15 * 60 * CRIER_S
                                                  : 3600 * CRIER_S;
    a->by = crier_strdup(crier_options_get(&o, "by")->s);
    if (a->kind == CRIER_ALERT_SINK)
        read_sinks(d, a);
    if (crier_decl_field(d, "match") != LUA_TNIL)
        read_match(d, a, lua_gettop(d->L));
    lua_pop(d->L, 1);
out:
    crier_options_fini(&o);
}

static void read_when(struct crier_decl *d, struct crier_alert *a)
{
    int type = crier_decl_field(d, "when"), at = lua_gettop(d->L);
    char got[80];
    if (type == LUA_TTABLE) {
        read_when_table(d, a);
    } else if (type == LUA_TFUNCTION) {
        a->kind = CRIER_ALERT_MATCH;
        read_match(d, a, at);
    } else if (type == LUA_TSTRING && strcmp(lua_tostring(d->L, at), "severe") == 0) {
        a->kind = CRIER_ALERT_SEVERE;
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "when", "when = \"severe\", or { unfinished = \"10m\" }",
                           "option 'when' must be \"severe\", a table or a function, got %s",
                           crier_lua_describe(d->L, at, got, sizeof got));
    }
    lua_settop(d->L, at - 1);
    static const char *const words[] = {"severe",   "match",  "unfinished",
                                        "failures", "common", "sink"};
    char *sinks = a->sinks ? g_strjoinv(",", a->sinks) : NULL;
    a->identity = crier_asprintf("%s %lld %.17g %llu %s %s", words[a->kind], (long long)a->within,
                                 a->share, (unsigned long long)a->least, a->by ? a->by : "",
                                 sinks ? sinks : "");
    g_free(sinks);
    if (!a->name)
        a->name = crier_strdup(words[a->kind]);
}

/* --- to ---------------------------------------------------------------------------------- */

/* The secret of an option that was read: itself or its reference. */
static void take_secret(struct crier_decl *d, const char *key, struct crier_option_value *v)
{
    if (!v->set)
        return;
    int type = crier_decl_field(d, key);
    struct crier_secret **box = luaL_testudata(d->L, -1, CRIER_MT_SECRET);
    if (box)
        v->s = crier_secret_reference(*box);
    else if (type == LUA_TSTRING)
        v->s = crier_strdup(lua_tostring(d->L, -1));
    lua_pop(d->L, 1);
}

static struct crier_option_value *value(struct crier_options *o, const char *name)
{
    return (struct crier_option_value *)crier_options_get(o, name);
}

static void read_mail(struct crier_decl *d, struct crier_alert_target *t)
{
    struct crier_options *o = &t->options;
    struct crier_option_value *to = value(o, "mail"), *server = value(o, "server"),
                              *from = value(o, "from"), *password = value(o, "password");
    take_secret(d, "user", value(o, "user"));
    take_secret(d, "password", password);
    const char *s = server->s ? server->s : "", *host = strstr(s, "://");
    bool plain = strncasecmp(s, "smtp://", 7) == 0, tls = strncasecmp(s, "smtps://", 8) == 0;
    if (server->set && (!(plain || tls) || !host[3] || strpbrk(s, " \r\n\"\\")))
        crier_decl_problem(d, CRIER_ERROR, "server", "server = \"smtp://mail.example.com:587\"",
                           "option 'server' must begin with smtp:// or smtps://");
    else if (server->set && strchr(host, '@'))
        crier_decl_problem(d, CRIER_ERROR, "server", "give them as `user` and `password`",
                           "option 'server' holds a login");
    if (from->set && !crier_mail_address_ok(from->s))
        crier_decl_problem(d, CRIER_ERROR, "from", "from = \"Crier <crier@example.com>\"",
                           "option 'from': \"%.60s\" is not an e-mail address", from->s);
    if (to->set && !to->count)
        crier_decl_problem(d, CRIER_ERROR, "mail", "mail = \"ops@example.com\"",
                           "option 'mail' names nobody");
    for (size_t i = 0; i < to->count; i++)
        if (!crier_mail_address_ok(to->list[i]))
            crier_decl_problem(d, CRIER_ERROR, "mail", "mail = \"ops@example.com\"",
                               "option 'mail': \"%.60s\" is not an e-mail address", to->list[i]);
    if (password->set != value(o, "user")->set)
        crier_decl_problem(d, CRIER_ERROR, password->set ? "password" : "user", NULL,
                           "`user` and `password` go together");
    size_t len = host ? strcspn(host + 3, ":/") : 0;
    char *name = host ? crier_strndup(host + 3, len) : crier_strdup("");
    if (plain && password->set && strcmp(value(o, "starttls")->s, "required") != 0 &&
        !crier_sink_is_local(name))
        crier_decl_problem(d, CRIER_WARNING, "starttls", "leave it at \"required\"",
                           "the password may go over the network as it is");
    char *all = to->count ? crier_asprintf("%s%s", to->list[0], to->count > 1 ? ", ..." : "") : NULL;
    t->label = crier_asprintf("mail to %s", all ? all : "?");
    struct crier_buf key = {0};
    crier_buf_printf(&key, "mail %s", s);
    for (size_t i = 0; i < to->count; i++)
        crier_buf_printf(&key, " %s", to->list[i]);
    t->key = crier_buf_take(&key);
    free(all);
    free(name);
}

static void read_headers(struct crier_decl *d, struct crier_alert_target *t)
{
    lua_State *L = d->L;
    GPtrArray *list = g_ptr_array_new();
    int type = crier_decl_field(d, "headers"), at = lua_gettop(L);
    if (type == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, at)) {
            struct crier_secret **box = luaL_testudata(L, -1, CRIER_MT_SECRET);
            const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
            const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
            if (!name || !*name || name[strcspn(name, ": \r\n")] || (!box && !text) ||
                (text && strpbrk(text, "\r\n"))) {
                crier_decl_problem(d, CRIER_ERROR, "headers", "headers = { [\"X-Team\"] = \"ops\" }",
                                   "option 'headers' must be a table of names and texts");
            } else {
                g_ptr_array_add(list, crier_strdup(name));
                g_ptr_array_add(list, box ? crier_secret_reference(*box) : crier_strdup(text));
            }
            lua_pop(L, 1);
        }
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "headers", "headers = { [\"X-Team\"] = \"ops\" }",
                           "option 'headers' must be a table of names and texts");
    }
    lua_settop(L, at - 1);
    t->headers = crier_calloc(list->len + 1, sizeof *t->headers);
    for (guint i = 0; i < list->len; i++)
        t->headers[i] = list->pdata[i];
    g_ptr_array_free(list, TRUE);
}

static void read_webhook(struct crier_decl *d, struct crier_alert_target *t)
{
    struct crier_option_value *url = value(&t->options, "webhook");
    take_secret(d, "webhook", url);
    read_headers(d, t);
    bool secret = url->s && crier_is_secret_reference(url->s);
    char host[128] = "";
    if (url->set && !secret && !crier_url_host(url->s, host, sizeof host))
        crier_decl_problem(d, CRIER_ERROR, "webhook", "webhook = \"https://ops.example.com/alert\"",
                           "option 'webhook' must begin with http:// or https://");
    t->label = crier_asprintf("webhook%s%s", *host ? " at " : "", host);
    /* The address may be a secret by itself; what is kept of it must not tell it. */
    t->key = g_compute_checksum_for_string(G_CHECKSUM_SHA256, url->s ? url->s : "", -1);
}

static void read_bot(struct crier_decl *d, struct crier_alert_target *t)
{
    int type = crier_decl_field(d, "bot");
    struct crier_bot **box = luaL_testudata(d->L, -1, CRIER_MT_BOT);
    t->bot = box ? *box : NULL;
    if (!box && type != LUA_TNIL)
        crier_decl_problem(d, CRIER_ERROR, "bot", "local b = crier.bot {...}",
                           "option 'bot' must be what crier.bot returned");
    lua_pop(d->L, 1);
    const char *word = target_kinds[t->type].word;
    t->label = crier_asprintf("%s %lld", word, (long long)value(&t->options, word)->i);
    t->key = crier_asprintf("%s by %s", t->label, t->bot ? t->bot->name : "");
}

/* A target's table, on top of the stack; `within`: "to." or "to[2].". */
static void read_target(struct crier_decl *outer, struct crier_alert *a, const char *within)
{
    struct crier_decl d = *outer;
    lua_State *L = d.L;
    int at = lua_gettop(L);
    char got[80], key[40];
    snprintf(key, sizeof key, "%.*s", (int)(strlen(within) - 1), within);
    struct crier_alert_target *t = crier_calloc(1, sizeof *t);
    if (lua_type(L, at) == LUA_TFUNCTION) {
        t->type = CRIER_TO_FUNCTION;
        t->label = crier_asprintf("function of alert '%s'", a->name);
        t->key = crier_asprintf("function %u of %s", a->targets->len + 1, a->name);
        lua_pushvalue(L, at);
        t->fn = luaL_ref(L, LUA_REGISTRYINDEX);
        g_ptr_array_add(a->targets, t);
        return;
    }
    d.table = at;
    size_t kind = 0;
    while (lua_type(L, at) == LUA_TTABLE && kind < CRIER_COUNT(target_kinds)) {
        bool there = crier_decl_field(&d, target_kinds[kind].word) != LUA_TNIL;
        lua_pop(L, 1);
        if (there)
            break;
        kind++;
    }
    if (lua_type(L, at) != LUA_TTABLE || kind == CRIER_COUNT(target_kinds)) {
        crier_decl_problem(outer, CRIER_ERROR, key,
                           "to = { mail = ... }, { webhook = ... }, { channel = ... }, { dm = ... } "
                           "or a function",
                           "option 'to' does not say who is told, got %s",
                           crier_lua_describe(L, at, got, sizeof got));
        free(t);
        return;
    }
    d.within = within;
    t->type = (enum crier_alert_to)kind;
    crier_decl_read(&d, target_kinds[kind].options, *target_kinds[kind].count, false, &t->options);
    if (t->type == CRIER_TO_MAIL)
        read_mail(&d, t);
    else if (t->type == CRIER_TO_WEBHOOK)
        read_webhook(&d, t);
    else
        read_bot(&d, t);
    g_ptr_array_add(a->targets, t);
}

static void read_to(struct crier_decl *d, struct crier_alert *a)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "to"), at = lua_gettop(L);
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, at) : 0;
    for (size_t i = 1; i <= n; i++) {
        char within[40];
        snprintf(within, sizeof within, "to[%zu].", i);
        lua_rawgeti(L, at, (lua_Integer)i);
        read_target(d, a, within);
        lua_settop(L, at);
    }
    if (!n && type != LUA_TNIL)
        read_target(d, a, "to.");
    lua_settop(L, at - 1);
}

/* --- crier.alert ------------------------------------------------------------------------- */

static void read_limits(struct crier_decl *d, const struct crier_options *o, struct crier_alert *a)
{
    const struct crier_option_value *dedupe = crier_options_get(o, "dedupe"),
                                    *rate = crier_options_get(o, "rate"),
                                    *resolved = crier_options_get(o, "resolved");
    struct crier_rule rule = {0};
    a->dedupe = dedupe->off ? 0 : dedupe->i;
    if (!rate->off && rate->s && !crier_rule_parse_rate(rate->s, &rule))
        crier_decl_problem(d, CRIER_ERROR, "rate", "rate = \"20/1h\": at most 20 an hour",
                           "option 'rate' must be a number of notices and a time, got \"%.40s\"",
                           rate->s);
    a->rate = rule.rate;
    a->per = rule.per;
    a->resolved =
        resolved->set ? resolved->i : a->kind != CRIER_ALERT_SEVERE && a->kind != CRIER_ALERT_MATCH;
}

static int l_alert(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "alert", "alert",
                     "crier.alert { when = \"severe\", to = function(a) ... end }");
    struct crier_options o;
    crier_decl_read(&d, crier_alert_options, crier_alert_count, false, &o);
    struct crier_alert *a = crier_calloc(1, sizeof *a);
    a->gen = d.gen;
    a->file = d.file;
    a->line = d.line;
    a->targets = g_ptr_array_new_with_free_func(free_target);
    a->name = crier_strdup(crier_options_get(&o, "name")->s);
    read_when(&d, a);
    read_limits(&d, &o, a);
    read_to(&d, a);
    for (guint i = 0; i < d.gen->alerts->len; i++) {
        const struct crier_alert *other = d.gen->alerts->pdata[i];
        if (strcmp(other->name, a->name) == 0)
            crier_decl_problem(&d, CRIER_ERROR, crier_options_get(&o, "name")->set ? "name" : NULL,
                               "give each alert a name of its own",
                               "there is an alert '%s' already (line %d)", a->name, other->line);
    }
    if (!*a->name || strlen(a->name) > 100 || strpbrk(a->name, "\r\n\t"))
        crier_decl_problem(&d, CRIER_ERROR, "name", NULL,
                           "option 'name' must be one line of 1 to 100 characters");
    crier_options_fini(&o);
    g_ptr_array_add(d.gen->alerts, a);
    return 0;
}

void crier_open_alert(lua_State *L)
{
    lua_pushcfunction(L, l_alert);
    lua_setfield(L, -2, "alert");
}

/* --- when all is declared ---------------------------------------------------------------- */

static void problem(const struct crier_alert *a, enum crier_severity severity, const char *key,
                    const char *text, const char *help)
{
    char object[160];
    snprintf(object, sizeof object, "alert '%.120s'", a->name);
    crier_place_problem(a->gen, severity, a->file, a->line, "alert", key, object, text, help);
}

static void judge_secret(const struct crier_alert *a, const char *what, const char *reference)
{
    struct crier_err err = {0};
    if (!reference || !crier_is_secret_reference(reference))
        return;
    char *secret = crier_secret_resolve(reference, a->gen->folder, &err);
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
        return;
    }
    crier_err_prefix(&err, "option '%s': ", what);
    problem(a, a->gen->build->need_secrets ? CRIER_ERROR : CRIER_WARNING, NULL, err.text,
            a->gen->build->sim ? "in --sim nothing is sent there" : "set it");
}

static void judge_target(struct crier_alert *a, struct crier_alert_target *t, bool whole)
{
    const struct crier_generation *gen = a->gen;
    for (size_t i = 0; i < t->options.count; i++)
        if (t->options.table[i].type == CRIER_OPT_SECRET)
            judge_secret(a, t->options.table[i].name, t->options.values[i].s);
    for (size_t i = 0; t->headers && t->headers[i]; i += 2)
        judge_secret(a, "headers", t->headers[i + 1]);
    if ((t->type != CRIER_TO_CHANNEL && t->type != CRIER_TO_DM) || t->bot)
        return;
    if (gen->bots->len == 1)
        t->bot = gen->bots->pdata[0];
    else if (gen->bots->len > 1)
        problem(a, CRIER_ERROR, "to", "there are several bots: say which one tells it",
                "to = { channel = ..., bot = b }");
    else if (whole)
        problem(a, CRIER_ERROR, "to", "a channel or a user is told by a bot, and there is none",
                "crier.bot { token = crier.secret.env \"DISCORD_TOKEN\" }");
}

static void judge_sinks(const struct crier_alert *a)
{
    const struct crier_generation *gen = a->gen;
    const char *names[64];
    size_t n = 0;
    for (; n < gen->sinks->len && n < CRIER_COUNT(names); n++)
        names[n] = ((const struct crier_declared_sink *)gen->sinks->pdata[n])->name;
    for (char **s = a->sinks; *s; s++) {
        char text[120], help[120] = "";
        if (crier_sink_named(gen, *s))
            continue;
        const char *near = crier_nearest(*s, names, n);
        if (near)
            snprintf(help, sizeof help, "did you mean '%.80s'?", near);
        snprintf(text, sizeof text, "there is no sink '%.80s'", *s);
        problem(a, CRIER_ERROR, "when.sink", text, near ? help : NULL);
    }
}

/* Whether its match is about records of one kind, by a condition that stands outside of groups. */
static bool is_about(const struct crier_alert *a, const char *kind)
{
    for (size_t i = 0; a->match && i < a->match->count; i++) {
        const struct crier_cond *c = &a->match->conds[i];
        if (c->op >= CRIER_OP_ANY)
            i = c->end - 1;
        else if (c->op == CRIER_OP_EQ && strcmp(c->path, "kind") == 0 &&
                 c->values[0].value.type == CRIER_STR &&
                 c->values[0].value.s.len == strlen(kind) &&
                 memcmp(c->values[0].value.s.data, kind, strlen(kind)) == 0)
            return true;
    }
    return false;
}

void crier_judge_alerts(struct crier_generation *gen, bool whole)
{
    for (guint i = 0; i < gen->alerts->len; i++) {
        struct crier_alert *a = gen->alerts->pdata[i];
        for (guint k = 0; k < a->targets->len; k++)
            judge_target(a, a->targets->pdata[k], whole);
        if (!whole)
            continue;
        if (a->sinks)
            judge_sinks(a);
        if (is_about(a, "message") && !gen->messages->len)
            problem(a, CRIER_WARNING, "when.match",
                    "it is about messages, and the script declares none", "it never fires");
    }
}

/* --- diff -------------------------------------------------------------------------------- */

static const struct crier_alert *named(const struct crier_generation *gen, const char *name)
{
    for (guint i = 0; i < gen->alerts->len; i++) {
        const struct crier_alert *a = gen->alerts->pdata[i];
        if (strcmp(a->name, name) == 0)
            return a;
    }
    return NULL;
}

static bool same_targets(const struct crier_alert *a, const struct crier_alert *b)
{
    bool same = a->targets->len == b->targets->len;
    for (guint i = 0; same && i < a->targets->len; i++) {
        const struct crier_alert_target *t = a->targets->pdata[i], *u = b->targets->pdata[i];
        same = strcmp(t->key, u->key) == 0;
    }
    return same;
}

void crier_alert_diff(const struct crier_generation *old, const struct crier_generation *new_,
                      struct crier_buf *out, struct crier_diff_counts *counts)
{
    for (guint i = 0; i < new_->alerts->len; i++) {
        const struct crier_alert *a = new_->alerts->pdata[i], *was = named(old, a->name);
        bool when = was && strcmp(was->identity, a->identity) != 0;
        bool to = was && !same_targets(was, a);
        bool limits = was && (was->dedupe != a->dedupe || was->rate != a->rate ||
                              was->per != a->per || was->resolved != a->resolved);
        if (!was) {
            counts->added++;
            crier_buf_printf(out, "+ alert %-20s (%s:%d)\n", a->name, a->file ? a->file : "?",
                             a->line);
        } else if (when || to || limits) {
            counts->changed++;
            crier_buf_printf(out, "~ alert %-20s %s%s%s%s%s\n", a->name, when ? "when" : "",
                             when && (to || limits) ? ", " : "", to ? "to" : "",
                             to && limits ? ", " : "", limits ? "limits" : "");
        } else {
            counts->kept++;
        }
    }
    for (guint i = 0; i < old->alerts->len; i++) {
        const struct crier_alert *a = old->alerts->pdata[i];
        if (named(new_, a->name))
            continue;
        counts->removed++;
        crier_buf_printf(out, "- alert %-20s\n", a->name);
    }
}
