/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "discord/gateway.h"
#include "script/declare.h"
#include "script/reply.h"

#define G CRIER_INTENT_GUILDS
#define MESSAGES (CRIER_INTENT_MESSAGES | CRIER_INTENT_DIRECT_MESSAGES)
#define REACTIONS (CRIER_INTENT_REACTIONS | CRIER_INTENT_DIRECT_REACTIONS)

const struct crier_gateway_hook crier_gateway_hooks[] = {
    {"gateway.ready", NULL, G},
    {"gateway.lost", NULL, G},
    {"guild.join", NULL, G},
    {"guild.leave", NULL, G},
    {"guild.update", "GUILD_UPDATE", G},
    {"channel.create", "CHANNEL_CREATE", G},
    {"channel.update", "CHANNEL_UPDATE", G},
    {"channel.delete", "CHANNEL_DELETE", G},
    {"thread.create", "THREAD_CREATE", G},
    {"thread.update", "THREAD_UPDATE", G},
    {"thread.delete", "THREAD_DELETE", G},
    {"role.create", "GUILD_ROLE_CREATE", G},
    {"role.update", "GUILD_ROLE_UPDATE", G},
    {"role.delete", "GUILD_ROLE_DELETE", G},
    {"member.join", "GUILD_MEMBER_ADD", G | CRIER_INTENT_MEMBERS},
    {"member.leave", "GUILD_MEMBER_REMOVE", G | CRIER_INTENT_MEMBERS},
    {"member.update", "GUILD_MEMBER_UPDATE", G | CRIER_INTENT_MEMBERS},
    {"invite.create", "INVITE_CREATE", G | CRIER_INTENT_INVITES},
    {"invite.delete", "INVITE_DELETE", G | CRIER_INTENT_INVITES},
    {"invite.used", NULL, G},
    {"message", "MESSAGE_CREATE", G | MESSAGES | CRIER_INTENT_CONTENT},
    {"message.edit", "MESSAGE_UPDATE", G | MESSAGES | CRIER_INTENT_CONTENT},
    {"message.delete", "MESSAGE_DELETE", G | MESSAGES},
    {"reaction.add", "MESSAGE_REACTION_ADD", G | REACTIONS},
    {"reaction.remove", "MESSAGE_REACTION_REMOVE", G | REACTIONS},
};
const size_t crier_gateway_hook_count = CRIER_COUNT(crier_gateway_hooks);

const struct crier_gateway_hook *crier_gateway_hook(const char *name)
{
    for (size_t i = 0; i < CRIER_COUNT(crier_gateway_hooks); i++) {
        if (strcmp(crier_gateway_hooks[i].name, name) == 0)
            return &crier_gateway_hooks[i];
    }
    return NULL;
}

void crier_intents_text(uint32_t intents, char *out, size_t cap)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {CRIER_INTENT_GUILDS, "guilds"},
        {CRIER_INTENT_MEMBERS, "members"},
        {CRIER_INTENT_INVITES, "invites"},
        {CRIER_INTENT_MESSAGES, "messages"},
        {CRIER_INTENT_REACTIONS, "reactions"},
        {CRIER_INTENT_DIRECT_MESSAGES, "direct messages"},
        {CRIER_INTENT_DIRECT_REACTIONS, "reactions to direct messages"},
        {CRIER_INTENT_CONTENT, "message content"},
    };
    size_t at = 0;
    *out = '\0';
    for (size_t i = 0; i < CRIER_COUNT(names) && at < cap; i++) {
        if (intents & names[i].bit)
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? ", " : "", names[i].name);
    }
}

/* --- what is needed ------------------------------------------------------------------------- */

bool crier_gateway_needed(const struct crier_generation *gen, const struct crier_bot *bot,
                          uint32_t *intents)
{
    bool wanted = bot->gateway > 0 || bot->presence;
    uint32_t bits = G;
    for (guint i = 0; i < gen->hooks->len; i++) {
        const struct crier_hook *hook = gen->hooks->pdata[i];
        const struct crier_gateway_hook *g = crier_gateway_hook(hook->event);
        if (!g)
            continue;
        bits |= g->intents;
        /* These are told where there is a gateway, and are no reason for one. */
        wanted = wanted || (strncmp(g->name, "gateway.", 8) != 0 &&
                            strcmp(g->name, "invite.used") != 0);
    }
    if (gen->last_author)
        bits |= CRIER_INTENT_MESSAGES; /* where there is a gateway, it need not ask then */
    for (guint i = 0; i < gen->responders->len; i++) {
        const struct crier_responder *r = gen->responders->pdata[i];
        if (r->bot && r->bot != bot)
            continue;
        bits |= MESSAGES | CRIER_INTENT_CONTENT;
        wanted = true;
    }
    for (guint i = 0; i < crier_target_count(gen); i++) {
        const struct crier_target *t = crier_target_at(gen, i);
        if (!t->invite_track || t->gone || t->bot != bot)
            continue;
        bits |= CRIER_INTENT_MEMBERS | CRIER_INTENT_INVITES;
        wanted = true;
    }
    *intents = bits;
    return wanted && bot->gateway >= 0;
}

void crier_judge_gateway(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->bots->len; i++) {
        struct crier_bot *bot = gen->bots->pdata[i];
        uint32_t intents;
        int given = bot->gateway;
        bot->gateway = 0;
        bool needed = crier_gateway_needed(gen, bot, &intents);
        bot->gateway = given;
        if (given >= 0 || !needed)
            continue;
        char object[120];
        snprintf(object, sizeof object, "bot '%.80s'", bot->name);
        crier_place_problem(gen, CRIER_ERROR, bot->file, bot->line, "bot", "gateway", object,
                            "option 'gateway' is false, but the script has hooks, replies, invites "
                            "or a presence that need it",
                            "leave it out: it is opened where it is needed");
    }
    bool used = gen->bots->len == 0 && gen->responders->len > 0;
    if (used) {
        const struct crier_responder *r = gen->responders->pdata[0];
        crier_place_problem(gen, CRIER_ERROR, r->file, r->line, "reply", NULL, "crier.reply",
                            "there is no bot that could reply",
                            "crier.bot { token = crier.secret.env \"DISCORD_TOKEN\" }");
    }
}

/* --- presence ------------------------------------------------------------------------------- */

static const char *const statuses[] = {"online", "idle", "dnd", "invisible"};
static const char *const activities[] = {"playing",  "streaming", "listening",
                                         "watching", "custom",    "competing"};

static int word_of(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; text && i < n; i++) {
        if (strcmp(words[i], text) == 0)
            return (int)i;
    }
    return -1;
}

static const char *text_field(lua_State *L, int idx, const char *key)
{
    lua_getfield(L, idx, key);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    return text; /* stays on the stack, so that it lives */
}

static char *presence_json(const char *status, const char *text, int type, const char *url)
{
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    crier_json_key(&b, "since");
    crier_json_null(&b);
    crier_json_key(&b, "activities");
    crier_json_open(&b, '[');
    if (text) {
        crier_json_open(&b, '{');
        crier_json_key(&b, "name");
        crier_json_str(&b, type == 4 ? "Custom Status" : text);
        if (type == 4) {
            crier_json_key(&b, "state");
            crier_json_str(&b, text);
        }
        if (url) {
            crier_json_key(&b, "url");
            crier_json_str(&b, url);
        }
        crier_json_key(&b, "type");
        crier_json_int(&b, type);
        crier_json_close(&b, '}');
    }
    crier_json_close(&b, ']');
    crier_json_key(&b, "status");
    crier_json_str(&b, status);
    crier_json_key(&b, "afk");
    crier_json_bool(&b, false);
    crier_json_close(&b, '}');
    return crier_buf_take(&b);
}

/* One of the keys status, url, or an activity's word; anything else is told. */
static bool presence_keys(struct crier_decl *d, int idx)
{
    static const char *const known[] = {"status",    "url",      "playing", "streaming",
                                        "listening", "watching", "custom",  "competing"};
    lua_State *L = d->L;
    bool ok = true;
    unsigned said = 0;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        said += word_of(key, activities, CRIER_COUNT(activities)) >= 0;
        if (!key || word_of(key, known, CRIER_COUNT(known)) < 0) {
            const char *near = key ? crier_nearest(key, known, CRIER_COUNT(known)) : NULL;
            char help[80];
            snprintf(help, sizeof help, "did you mean '%s'?", near ? near : "");
            crier_decl_problem(d, CRIER_ERROR, "presence",
                               near ? help : "known: status, url, playing, streaming, listening, "
                                             "watching, custom, competing",
                               "option 'presence' does not know '%.40s'", key ? key : "a number");
            ok = false;
        } else if (lua_type(L, -1) != LUA_TSTRING) {
            crier_decl_problem(d, CRIER_ERROR, "presence", NULL,
                               "option 'presence.%s' must be a text", key);
            ok = false;
        }
        lua_pop(L, 1);
    }
    if (said > 1) {
        crier_decl_problem(d, CRIER_ERROR, "presence", "keep one",
                           "option 'presence' has more than one activity");
        ok = false;
    }
    return ok;
}

char *crier_read_presence(struct crier_decl *d)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "presence"), idx = lua_gettop(L);
    char *json = NULL;
    if (type == LUA_TSTRING) {
        json = presence_json("online", lua_tostring(L, idx), 4, NULL);
    } else if (type == LUA_TTABLE && presence_keys(d, idx)) {
        const char *status = text_field(L, idx, "status"), *url = text_field(L, idx, "url");
        const char *text = NULL;
        int activity = -1;
        for (size_t i = 0; i < CRIER_COUNT(activities) && !text; i++) {
            text = text_field(L, idx, activities[i]);
            activity = (int)i;
        }
        if (status && word_of(status, statuses, CRIER_COUNT(statuses)) < 0)
            crier_decl_problem(d, CRIER_ERROR, "presence", "online, idle, dnd or invisible",
                               "option 'presence.status': unknown '%.40s'", status);
        else
            json = presence_json(status ? status : "online", text, activity, url);
    } else if (type != LUA_TNIL && type != LUA_TTABLE) {
        crier_decl_problem(d, CRIER_ERROR, "presence",
                           "presence = \"reading the news\" or { status = \"dnd\", watching = ... }",
                           "option 'presence' must be a text or a table");
    }
    lua_settop(L, idx - 1);
    return json;
}

/* --- crier.reply ---------------------------------------------------------------------------- */

const struct crier_option crier_responder_options[] = {
    {"when", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "string|table|fun(e: table): boolean",
     "a pattern that the text fits (PCRE2), a match such as { content = crier.like \"hi%\" }, or "
     "function(e)"},
    {"data", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0,
     "crier.Data|fun(e: table): crier.Data?", "what is replied, or function(e) that returns it; nil: nothing"},
    {"only_if", CRIER_OPT_FUNCTION, 0, NULL, NULL, 0, 0, "fun(e: table): boolean",
     "a further condition, which may wait"},
    {"cooldown", CRIER_OPT_DURATION, 0, "0s", NULL, 0, 0, NULL,
     "least time between two replies to one person"},
    {"to", CRIER_OPT_ENUM, 0, "channel", "channel dm", 0, 0, NULL,
     "in the channel, or as a direct message to whoever wrote"},
    {"bot", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Bot", "the bot that replies; default all"},
};
const size_t crier_responder_count = CRIER_COUNT(crier_responder_options);

void crier_responder_free(void *p)
{
    struct crier_responder *r = p;
    crier_query_free(r->when);
    crier_content_unref(r->content);
    free(r->where);
    free(r);
}

static void read_when(struct crier_decl *d, struct crier_responder *r)
{
    lua_State *L = d->L;
    struct crier_err err = {0};
    int type = crier_decl_field(d, "when"), rc = 0;
    if (type == LUA_TFUNCTION) {
        r->when_fn = luaL_ref(L, LUA_REGISTRYINDEX);
        return;
    }
    if (type == LUA_TSTRING) {
        size_t len;
        struct crier_value v = {.type = CRIER_STR};
        v.s.data = lua_tolstring(L, -1, &len);
        v.s.len = len;
        r->when = crier_query_new(d->gen->zone);
        rc = crier_query_add(r->when, "content", CRIER_OP_REGEX, &v, 1, &err);
    } else if (type == LUA_TTABLE) {
        rc = crier_query_from_lua(L, lua_gettop(L), d->gen->zone, &r->when, &err);
    } else if (type != LUA_TNIL) {
        rc = crier_err_set(&err, CRIER_EINVAL,
                           "it must be a pattern, a match or a function(e) that returns true");
    }
    if (rc)
        crier_decl_problem(d, CRIER_ERROR, "when", NULL, "option 'when': %s", err.text);
    lua_pop(L, 1);
}

static void read_data(struct crier_decl *d, struct crier_responder *r)
{
    lua_State *L = d->L;
    struct crier_err err = {0};
    int type = crier_decl_field(d, "data");
    if (type == LUA_TFUNCTION) {
        r->data_fn = luaL_ref(L, LUA_REGISTRYINDEX);
        return;
    }
    if (type != LUA_TNIL &&
        crier_content_from_lua(L, lua_gettop(L), d->gen->folder, &r->content, &err) != 0)
        crier_decl_problem(d, CRIER_ERROR, "data", NULL, "option 'data': %s", err.text);
    lua_pop(L, 1);
}

static int l_reply(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "reply", "reply",
                     "crier.reply { when = \"^!ping\", data = \"pong\" }");
    snprintf(d.object, sizeof d.object, "crier.reply");
    struct crier_options o;
    crier_decl_read(&d, crier_responder_options, crier_responder_count, false, &o);
    struct crier_responder *r = crier_calloc(1, sizeof *r);
    r->cooldown = crier_options_get(&o, "cooldown")->i;
    r->dm = crier_options_get(&o, "to")->i == 1;
    r->where = d.file ? crier_asprintf("%s:%d", d.file, d.line) : crier_strdup("?");
    r->file = d.file;
    r->line = d.line;
    g_ptr_array_add(d.gen->responders, r);
    crier_options_fini(&o);
    read_when(&d, r);
    read_data(&d, r);
    if (crier_decl_field(&d, "only_if") == LUA_TFUNCTION)
        r->only_if = luaL_ref(L, LUA_REGISTRYINDEX);
    else
        lua_pop(L, 1);
    int type = crier_decl_field(&d, "bot");
    r->bot = crier_to_bot(L, -1);
    if (!r->bot && type != LUA_TNIL)
        crier_decl_problem(&d, CRIER_ERROR, "bot", "local b = crier.bot {...}",
                           "option 'bot' must be what crier.bot returned");
    lua_pop(L, 1);
    return 0;
}

void crier_open_reply(lua_State *L)
{
    lua_pushcfunction(L, l_reply);
    lua_setfield(L, -2, "reply");
}
