/* SPDX-License-Identifier: MIT
 *
 * What crier.discord is made of (the functions that people call are in lua/crier/init.lua):
 *
 *     _discord.send(what, bot, channel, data, mentions, timeout)
 *     _discord.edit(what, bot, channel, message, data, mentions, timeout)
 *     _discord.dm(what, bot, user, timeout)
 *     _discord.call(what, bot, method, path, body, timeout)
 *
 * Each waits, and returns Discord's answer as a table (true: an empty one), or nil, message,
 * outcome, code. Each ends as a record (system, logger "discord"), whatever came of it.
 */
#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/http.h"
#include "script/luajson.h"
#include "script/message_private.h"

#define TIMEOUT (60 * CRIER_S)

/* One request; it outlives a call that gives it up. */
struct action {
    struct crier_call *call; /* NULL: given up */
    struct crier_host *host;
    struct crier_discord *client;
    struct crier_request_id request;
    char *what, *bot, *where;
    uint64_t target; /* channel or user; 0: none */
};

static void record(const struct action *a, const struct crier_discord_result *r)
{
    struct crier_builder *b = crier_host_builder(a->host);
    bool ok = r->outcome == CRIER_SENT;
    crier_build_begin(b, CRIER_KIND_SYSTEM, ok ? CRIER_INFO : CRIER_LEVEL_ERROR,
                      crier_loop_wall(crier_host_loop(a->host)));
    crier_build_logger(b, "discord", 7);
    crier_build_where(b, a->where, strlen(a->where));
    crier_build_ok(b, ok);
    char id[24] = "";
    if (a->target)
        crier_id_text(a->target, id);
    char *text = crier_asprintf("%s%s%s%s%s", a->what, *id ? " " : "", id,
                                ok ? "" : " failed: ", ok ? "" : r->err.text);
    crier_build_text(b, text, strlen(text)); /* borrowed until the end */
    CRIER_B_STR(b, "what", a->what);
    CRIER_B_STR(b, "bot", a->bot);
    if (a->target)
        CRIER_B_SNOWFLAKE(b, "target", a->target);
    CRIER_B_STR(b, "outcome", crier_outcome_name(r->outcome));
    if (r->status)
        CRIER_B_INT(b, "status", r->status);
    if (r->code)
        CRIER_B_INT(b, "code", r->code);
    if (!ok)
        CRIER_B_STR(b, "reason", r->err.text);
    if (r->note)
        CRIER_B_STR(b, "note", r->note);
    uint64_t answer = crier_json_id(json_object_get(r->body, "id"));
    if (ok && answer)
        CRIER_B_SNOWFLAKE(b, "answer_id", answer);
    CRIER_B_INT(b, "requests", r->requests);
    CRIER_B_INT(b, "retries", r->retries);
    CRIER_B_NUM(b, "wait", (double)(r->waited + r->retry_wait) / 1e6);
    CRIER_B_NUM(b, "latency", (double)r->latency / 1e6);
    crier_host_emit(a->host, crier_build_end(b));
    free(text);
}

static int push_answer(lua_State *L, const struct crier_discord_result *r)
{
    struct crier_err err = r->err;
    if (r->outcome == CRIER_SENT) {
        if (!r->body) {
            lua_pushboolean(L, true);
            return 1;
        }
        char *text = json_dumps(r->body, JSON_COMPACT | JSON_ENCODE_ANY);
        int rc = crier_lua_from_json(L, text, strlen(text), &err);
        free(text);
        if (rc == 0)
            return 1;
    }
    luaL_pushfail(L);
    lua_pushstring(L, err.text);
    lua_pushstring(L, r->outcome == CRIER_SENT ? "limit" : crier_outcome_name(r->outcome));
    lua_pushinteger(L, r->code);
    return 4;
}

static void on_done(void *arg, const struct crier_discord_result *r)
{
    struct action *a = arg;
    struct crier_call *call = a->call;
    uint64_t sent = strcmp(a->what, "discord.send") == 0 && r->outcome == CRIER_SENT
                        ? crier_json_id(json_object_get(r->body, "id"))
                        : 0;
    record(a, r);
    if (sent)
        crier_host_sent(a->host, a->bot, a->target, sent);
    free(a->what);
    free(a->bot);
    free(a->where);
    free(a);
    if (call)
        crier_call_resume(call, push_answer(crier_call_stack(call), r));
}

static void give_up(struct crier_call *call, void *arg)
{
    (void)call;
    struct action *a = arg;
    a->call = NULL;
    crier_discord_cancel(a->client, a->request);
}

/* The bot at idx: what crier.bot returned, its name, or nil for the only one. */
static const char *bot_name(lua_State *L, int idx, const struct crier_generation *gen)
{
    struct crier_bot **box = luaL_testudata(L, idx, CRIER_MT_BOT);
    if (box)
        return (*box)->name;
    if (lua_type(L, idx) == LUA_TSTRING)
        return lua_tostring(L, idx);
    if (gen->bots->len != 1)
        luaL_error(L, gen->bots->len ? "there are several bots: say which, { bot = b }"
                                     : "there is no bot: declare one with crier.bot");
    return ((struct crier_bot *)gen->bots->pdata[0])->name;
}

static uint64_t snowflake(lua_State *L, int idx)
{
    const char *s = lua_type(L, idx) == LUA_TSTRING || lua_isinteger(L, idx)
                        ? luaL_tolstring(L, idx, NULL)
                        : "";
    uint64_t id = *s && !s[strspn(s, "0123456789")] ? strtoull(s, NULL, 10) : 0;
    if (!id || strlen(s) > 19)
        luaL_error(L, "%s: expected a snowflake such as \"863071397207212052\", got %s",
                   lua_tostring(L, 1), s && *s ? s : luaL_typename(L, idx));
    return id;
}

/* Who asks, and by when: arguments 1 (what), 2 (bot) and the one at `timeout`. */
static struct action *begin(lua_State *L, int timeout, int64_t *by)
{
    const char *what = luaL_checkstring(L, 1);
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_call *call = crier_call_check(L, what);
    const char *bot = bot_name(L, 2, gen);
    int64_t span = lua_isnoneornil(L, timeout) ? TIMEOUT : crier_lua_duration(L, timeout, what);
    const char *file;
    int line;
    if (!gen->host)
        luaL_error(L, "%s is not available here", what);
    struct crier_discord *client = crier_host_client(gen->host, bot);
    if (!client)
        luaL_error(L, "%s: there is no bot '%s'", what, bot);
    crier_lua_place(L, &file, &line);
    struct action *a = crier_calloc(1, sizeof *a);
    a->call = call;
    a->host = gen->host;
    a->client = client;
    a->what = crier_strdup(what);
    a->bot = crier_strdup(bot);
    a->where = crier_asprintf("%s:%d", file ? file : "?", line);
    *by = crier_loop_now(crier_host_loop(gen->host)) + span;
    return a;
}

/* mentions = { "users", "roles", "everyone" } */
static struct crier_mentions read_mentions(lua_State *L, int idx)
{
    struct crier_mentions m = {0};
    if (lua_isnoneornil(L, idx))
        return m;
    luaL_checktype(L, idx, LUA_TTABLE);
    for (size_t i = 1; i <= lua_rawlen(L, idx); i++) {
        lua_rawgeti(L, idx, (lua_Integer)i);
        const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        bool *flag = strcmp(word, "everyone") == 0 ? &m.everyone
                     : strcmp(word, "roles") == 0  ? &m.roles
                     : strcmp(word, "users") == 0  ? &m.users
                                                   : NULL;
        if (!flag)
            luaL_error(L, "%s: mentions does not know '%s' (known: everyone, roles, users)",
                       lua_tostring(L, 1), word);
        *flag = true;
        lua_pop(L, 1);
    }
    return m;
}

static struct crier_content *read_content(lua_State *L, int idx)
{
    struct crier_err err = {0};
    struct crier_content *content = NULL;
    if (crier_content_from_lua(L, idx, crier_generation_of(L)->folder, &content, &err) != 0)
        luaL_error(L, "%s: %s", lua_tostring(L, 1), err.text);
    return content;
}

static void new_nonce(struct crier_host *host, char out[26])
{
    char key[40];
    struct crier_rng *rng = crier_host_rng(host);
    snprintf(key, sizeof key, "%016" PRIx64 "%016" PRIx64, crier_rng_next(rng),
             crier_rng_next(rng));
    crier_discord_nonce(key, 0, 0, out);
}

static int l_send(lua_State *L)
{
    int64_t by;
    char nonce[26];
    lua_settop(L, 6);
    uint64_t channel = snowflake(L, 3);
    struct crier_mentions mentions = read_mentions(L, 5);
    struct action *a = begin(L, 6, &by); /* nothing may raise from the next line on */
    struct crier_err err = {0};
    struct crier_content *content = NULL;
    if (crier_content_from_lua(L, 4, crier_generation_of(L)->folder, &content, &err) != 0) {
        lua_pushfstring(L, "%s: %s", a->what, err.text);
        free(a->what);
        free(a->bot);
        free(a->where);
        free(a);
        return lua_error(L);
    }
    a->target = channel;
    new_nonce(a->host, nonce);
    a->request =
        crier_discord_create(a->client, channel, content, &mentions, nonce, 0, by, on_done, a);
    crier_content_unref(content);
    return crier_call_wait(L, give_up, a);
}

static int l_edit(lua_State *L)
{
    int64_t by;
    lua_settop(L, 7);
    uint64_t channel = snowflake(L, 3), message = snowflake(L, 4);
    struct crier_mentions mentions = read_mentions(L, 6);
    struct crier_content *content = read_content(L, 5);
    crier_content_unref(content); /* it is good; made again when nothing can raise any more */
    struct action *a = begin(L, 7, &by);
    struct crier_err err = {0};
    a->target = channel;
    if (crier_content_from_lua(L, 5, crier_generation_of(L)->folder, &content, &err) != 0)
        content = crier_content_new();
    a->request =
        crier_discord_edit(a->client, channel, message, content, &mentions, by, on_done, a);
    crier_content_unref(content);
    return crier_call_wait(L, give_up, a);
}

static int l_dm(lua_State *L)
{
    int64_t by;
    lua_settop(L, 4);
    uint64_t user = snowflake(L, 3);
    struct action *a = begin(L, 4, &by);
    a->target = user;
    a->request = crier_discord_open_dm(a->client, user, by, on_done, a);
    return crier_call_wait(L, give_up, a);
}

static int l_call(lua_State *L)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
    int64_t by;
    lua_settop(L, 7);
    const char *method = methods[luaL_checkoption(L, 3, NULL, methods)];
    const char *path = luaL_checkstring(L, 4);
    struct crier_err err = {0};
    struct crier_buf body = {0};
    if (path[0] != '/' || path[strcspn(path, " \r\n#")])
        return luaL_error(L, "%s: a path begins with / and has no blank in it", lua_tostring(L, 1));
    bool has = !lua_isnil(L, 5);
    uint64_t target = lua_isnil(L, 7) ? 0 : snowflake(L, 7);
    struct action *a = begin(L, 6, &by);
    if (has && crier_lua_to_json(L, 5, &body, &err) != 0) {
        lua_pushfstring(L, "%s: %s", a->what, err.text);
        free(a->what);
        free(a->bot);
        free(a->where);
        free(a);
        return lua_error(L);
    }
    a->target = target;
    a->request =
        crier_discord_call(a->client, method, path, has ? body.data : NULL, by, on_done, a);
    crier_buf_fini(&body);
    return crier_call_wait(L, give_up, a);
}

/* crier.not_last_author is made: messages are to be watched, where there is a gateway. */
static int l_watch_last(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    if (vm->loading)
        ((struct crier_generation *)vm->owner)->last_author = true;
    return 0;
}

/* Whether a channel's last message is the bot's own; nil: Discord must be asked. */
static int l_last_own(lua_State *L)
{
    struct crier_generation *gen = crier_generation_of(L);
    uint64_t channel = strtoull(luaL_checkstring(L, 2), NULL, 10);
    int own = gen->host ? crier_host_last_own(gen->host, luaL_checkstring(L, 1), channel) : -1;
    if (own < 0)
        lua_pushnil(L);
    else
        lua_pushboolean(L, own);
    return 1;
}

void crier_open_discord(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"send", l_send}, {"edit", l_edit}, {"dm", l_dm}, {"call", l_call},
        {"watch_last", l_watch_last}, {"last_own", l_last_own}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "_discord");
}
