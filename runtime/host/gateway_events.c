/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/luajson.h"
#include "script/reply.h"

enum {
    MAX_EVENTS = 1000,
    MAX_BYTES = 8 << 20,
    MAX_CALLS = 64,
    TELL_S = 10,       /* dropped events are told at most so often */
    SEND_FOR_S = 60,   /* a reply that comes later than that is none */
    MAX_COOLDOWNS = 10000,
};

/* One event: as text until its turn comes. */
struct event {
    char *bot, *name, *json;
    size_t len;
    int change;
    uint64_t me;
};

struct event_queue {
    struct crier_host *host;
    GQueue events; /* struct event */
    size_t bytes;
    unsigned calls; /* under way */
    uint64_t dropped, told;
    int64_t tell_at;
    bool pumping, posted;
    GHashTable *cooldowns; /* "WHERE USER" -> int64_t: until then */
    GPtrArray *sends;      /* struct sending: replies under way */
    struct crier_builder builder;
};

static struct event_queue *queue_of(struct crier_host *host)
{
    if (!host->events) {
        struct event_queue *q = host->events = crier_calloc(1, sizeof *q);
        q->host = host;
        g_queue_init(&q->events);
        q->cooldowns = g_hash_table_new_full(g_str_hash, g_str_equal, free, g_free);
        q->sends = g_ptr_array_new();
        crier_builder_init(&q->builder, NULL);
    }
    return host->events;
}

static void event_free(struct event *e)
{
    free(e->bot);
    free(e->name);
    free(e->json);
    free(e);
}

/* --- the event as Lua and as a record ------------------------------------------------------- */

/* Discord's object, with the bot's name and the event's. */
static void push_event(lua_State *L, const struct event *e)
{
    struct crier_err err = {0};
    if (crier_lua_from_json(L, e->json, e->len, &err) != 0)
        luaL_error(L, "%s", err.text);
    lua_pushstring(L, e->bot);
    lua_setfield(L, -2, "bot");
    lua_pushstring(L, e->name);
    lua_setfield(L, -2, "event");
}

/* Its members as fields, so that a match can be made of it. */
static struct crier_record *record_of(struct event_queue *q, const struct event *e)
{
    struct crier_stored who = {.kind = CRIER_KIND_LOG, .ok = -1, .level = CRIER_INFO};
    struct crier_builder *b = &q->builder;
    struct crier_scan scan;
    enum crier_scan_event event;
    who.text = who.logger = who.where = who.node = (struct crier_str){"", 0};
    crier_build_restore_begin(b);
    crier_scan_init(&scan, e->json, e->len);
    bool ok = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    while (ok && crier_scan_item(&scan, &event)) {
        const char *key = scan.key.data, *from = scan.at - 1;
        size_t klen = scan.key.len;
        char *name = NULL;
        switch (event) {
        case CRIER_SCAN_OBJECT:
        case CRIER_SCAN_ARRAY:
            name = crier_strndup(key, klen);
            ok = crier_scan_skip(&scan);
            if (ok)
                crier_build_json(b, name, klen, from, (size_t)(scan.at - from));
            free(name);
            break;
        case CRIER_SCAN_STR:
            crier_build_str(b, key, klen, scan.s.data, scan.s.len);
            break;
        case CRIER_SCAN_INT:
            crier_build_int(b, key, klen, scan.i);
            break;
        case CRIER_SCAN_NUM:
            crier_build_num(b, key, klen, scan.n);
            break;
        case CRIER_SCAN_TRUE:
        case CRIER_SCAN_FALSE:
            crier_build_bool(b, key, klen, event == CRIER_SCAN_TRUE);
            break;
        default:
            break;
        }
    }
    crier_scan_fini(&scan);
    return crier_build_restore(b, &who);
}

static struct crier_str text_at(const struct crier_record *r, const char *path)
{
    struct crier_value v;
    char scratch[32];
    if (crier_record_get(r, path, &v, scratch) && v.type == CRIER_STR)
        return v.s;
    return (struct crier_str){"", 0};
}

static bool true_at(const struct crier_record *r, const char *path)
{
    struct crier_value v;
    char scratch[32];
    return crier_record_get(r, path, &v, scratch) && v.type == CRIER_TRUE;
}

/* --- hooks ---------------------------------------------------------------------------------- */

static void pump(struct event_queue *q);

static void on_room(void *arg)
{
    struct crier_host *host = arg;
    if (!host->events)
        return;
    host->events->posted = false;
    pump(host->events);
}

struct hook_call {
    struct crier_generation *gen;
    char *what;
};

static void call_ended(struct crier_host *host)
{
    struct event_queue *q = host->events;
    if (!q)
        return;
    q->calls--;
    if (!q->posted && !g_queue_is_empty(&q->events)) {
        q->posted = true;
        crier_loop_post(host->loop, on_room, host);
    }
}

static void hook_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct hook_call *call = arg;
    struct crier_host *host = call->gen->host;
    (void)L;
    crier_host_touched(call->gen);
    if (end->rc != 0 && end->rc != CRIER_ECANCELED)
        crier_host_callback_error(host, call->what, &end->error);
    crier_generation_unref(call->gen);
    free(call->what);
    free(call);
    call_ended(host);
}

static int hook_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

static int l_event_hook(lua_State *L)
{
    const struct event *e = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, (int)lua_tointeger(L, 2));
    push_event(L, e);
    lua_callk(L, 1, 0, 0, hook_returned);
    return 0;
}

static void call_hooks(struct event_queue *q, const struct event *e, const char *name)
{
    struct crier_host *host = q->host;
    struct crier_generation *gen = crier_generation_ref(host->current);
    for (guint i = 0; i < gen->hooks->len; i++) {
        const struct crier_hook *hook = gen->hooks->pdata[i];
        if (strcmp(hook->event, name) != 0)
            continue;
        struct hook_call *call = crier_calloc(1, sizeof *call);
        call->gen = crier_generation_ref(gen);
        call->what = crier_asprintf("crier.on(\"%s\") at %s", name, hook->where);
        q->calls++;
        lua_pushcfunction(gen->vm->L, l_event_hook);
        lua_pushlightuserdata(gen->vm->L, (void *)e);
        lua_pushinteger(gen->vm->L, hook->fn);
        crier_call_start(gen->vm, 2, call->what, gen->config.limits.callback, NULL, hook_done,
                         call);
    }
    crier_generation_unref(gen);
}

/* --- replies -------------------------------------------------------------------------------- */

struct reply_call {
    struct crier_generation *gen;
    const struct crier_responder *rule; /* the generation's */
    char *what, *bot;
    char author[24], name[80];
    uint64_t channel, message, user;
};

/* A reply on its way; it outlives the generation. */
struct sending {
    struct crier_host *host;
    char *bot, name[80];
    uint64_t channel, message, user;
    struct crier_content *content;
};

static void sending_free(struct sending *s)
{
    if (s->host->events)
        g_ptr_array_remove_fast(s->host->events->sends, s);
    crier_content_unref(s->content);
    free(s->bot);
    free(s);
}

static void reply_record(const struct sending *s, const struct crier_discord_result *r)
{
    struct crier_builder *b = &s->host->builder;
    bool ok = r->outcome == CRIER_SENT;
    char text[400];
    if (ok)
        snprintf(text, sizeof text, "replied to %s", s->name);
    else
        snprintf(text, sizeof text, "the reply to %s failed: %s", s->name, r->err.text);
    crier_build_begin(b, CRIER_KIND_LOG, ok ? CRIER_INFO : CRIER_LEVEL_ERROR,
                      crier_clock_wall(s->host->clock));
    crier_build_logger(b, "reply", 5);
    crier_build_text(b, text, strlen(text));
    crier_build_ok(b, ok);
    CRIER_B_STR(b, "bot", s->bot);
    CRIER_B_SNOWFLAKE(b, "user", s->user);
    CRIER_B_SNOWFLAKE(b, "channel", s->channel);
    CRIER_B_SNOWFLAKE(b, "message", s->message);
    CRIER_B_INT(b, "requests", r->requests);
    CRIER_B_NUM(b, "latency", (double)r->latency / 1e6);
    crier_host_emit(s->host, crier_build_end(b));
}

static void on_sent(void *arg, const struct crier_discord_result *r)
{
    struct sending *s = arg;
    if (r->outcome != CRIER_CANCELED && s->host->current)
        reply_record(s, r);
    sending_free(s);
}

static void send_it(struct sending *s)
{
    char nonce[26], key[64];
    struct crier_discord *client = crier_host_client(s->host, s->bot);
    if (!client) {
        sending_free(s);
        return;
    }
    snprintf(key, sizeof key, "reply/%llu", (unsigned long long)s->message);
    crier_discord_nonce(key, s->channel, 0, nonce);
    crier_discord_create(client, s->channel, s->content, NULL, nonce, 0,
                         crier_loop_now(s->host->loop) + SEND_FOR_S * CRIER_S, on_sent, s);
}

static void on_dm(void *arg, const struct crier_discord_result *r)
{
    struct sending *s = arg;
    const char *id = json_string_value(json_object_get(r->body, "id"));
    if (r->outcome != CRIER_SENT || !id) {
        on_sent(s, r);
        return;
    }
    s->channel = strtoull(id, NULL, 10);
    send_it(s);
}

static void start_reply(struct reply_call *call, struct crier_content *content)
{
    struct crier_host *host = call->gen->host;
    struct sending *s = crier_calloc(1, sizeof *s);
    s->host = host;
    s->bot = crier_strdup(call->bot);
    s->content = content;
    s->channel = call->channel;
    s->message = call->message;
    s->user = call->user;
    memcpy(s->name, call->name, sizeof s->name);
    g_ptr_array_add(queue_of(host)->sends, s);
    struct crier_discord *client = crier_host_client(host, s->bot);
    if (call->rule->dm && client)
        crier_discord_open_dm(client, s->user,
                              crier_loop_now(host->loop) + SEND_FOR_S * CRIER_S, on_dm, s);
    else
        send_it(s);
}

static gboolean forget_old(gpointer key, gpointer value, gpointer now)
{
    (void)key;
    return *(int64_t *)value <= *(int64_t *)now;
}

/* Whether this person may get this reply now; then the next one has to wait. */
static bool cooled_down(struct event_queue *q, const struct reply_call *call)
{
    int64_t now = crier_loop_now(q->host->loop);
    if (!call->rule->cooldown)
        return true;
    char *key = crier_asprintf("%s %s", call->rule->where, call->author);
    int64_t *until = g_hash_table_lookup(q->cooldowns, key);
    if (until && *until > now) {
        free(key);
        return false;
    }
    if (g_hash_table_size(q->cooldowns) >= MAX_COOLDOWNS)
        g_hash_table_foreach_remove(q->cooldowns, forget_old, &now);
    until = g_malloc(sizeof *until);
    *until = now + call->rule->cooldown;
    g_hash_table_replace(q->cooldowns, key, until);
    return true;
}

static void reply_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct reply_call *call = arg;
    struct crier_host *host = call->gen->host;
    struct crier_content *content = NULL;
    struct crier_err err = {0};
    crier_host_touched(call->gen);
    if (end->rc != 0) {
        if (end->rc != CRIER_ECANCELED)
            crier_host_callback_error(host, call->what, &end->error);
    } else if (end->results > 0 && !lua_isnil(L, -1) && !host->stopping) {
        if (lua_isboolean(L, -1))
            content = call->rule->content ? crier_content_ref(call->rule->content) : NULL;
        else if (crier_content_from_lua(L, lua_gettop(L), call->gen->folder, &content, &err) != 0)
            crier_host_system(host, CRIER_LEVEL_ERROR, "reply", "%s: %s", call->what, err.text);
        if (content && cooled_down(queue_of(host), call))
            start_reply(call, content);
        else if (content)
            crier_content_unref(content);
    }
    crier_generation_unref(call->gen);
    free(call->what);
    free(call->bot);
    free(call);
    call_ended(host);
}

enum { ASK_WHEN, ASK_ONLY_IF, ASK_DATA };

/* when, only_if and data, one after the other, each of which may wait. The stack: rule, event,
 * then what the last one returned. The result: true for constant data, a value, or nil. */
static int reply_step(lua_State *L, int status, lua_KContext step)
{
    const struct crier_responder *rule = lua_touserdata(L, 1);
    const int functions[] = {rule->when_fn, rule->only_if, rule->data_fn};
    (void)status;
    for (;;) {
        if (lua_gettop(L) > 2 && step == ASK_DATA + 1)
            return 1;
        if (lua_gettop(L) > 2 && !lua_toboolean(L, -1))
            return 0;
        lua_settop(L, 2);
        if (step > ASK_DATA)
            break;
        int fn = functions[step++];
        if (!fn)
            continue;
        lua_rawgeti(L, LUA_REGISTRYINDEX, fn);
        lua_pushvalue(L, 2);
        lua_callk(L, 1, 1, step, reply_step);
    }
    lua_pushboolean(L, true);
    return 1;
}

static int l_reply_run(lua_State *L)
{
    push_event(L, lua_touserdata(L, 2));
    lua_replace(L, 2);
    return reply_step(L, LUA_OK, ASK_WHEN);
}

/* Never to bots, webhooks or to itself: two that answer each other would not end. */
static bool is_person(const struct crier_record *r, const struct event *e)
{
    struct crier_str author = text_at(r, "author.id");
    return author.len && crier_str_id(author) != e->me && !true_at(r, "author.bot") &&
           !true_at(r, "author.system") && !text_at(r, "webhook_id").len;
}

static void call_reply(struct event_queue *q, const struct event *e,
                       const struct crier_responder *rule, struct crier_record *r)
{
    struct crier_generation *gen = q->host->current;
    struct crier_str author = text_at(r, "author.id"), name = text_at(r, "author.username");
    struct reply_call *call = crier_calloc(1, sizeof *call);
    call->gen = crier_generation_ref(gen);
    call->rule = rule;
    call->what = crier_asprintf("crier.reply at %s", rule->where);
    call->bot = crier_strdup(e->bot);
    call->channel = crier_str_id(text_at(r, "channel_id"));
    call->message = crier_str_id(text_at(r, "id"));
    call->user = crier_str_id(author);
    snprintf(call->author, sizeof call->author, "%llu", (unsigned long long)call->user);
    snprintf(call->name, sizeof call->name, "%.*s", (int)(name.len < 79 ? name.len : 79),
             name.data);
    q->calls++;
    lua_pushcfunction(gen->vm->L, l_reply_run);
    lua_pushlightuserdata(gen->vm->L, (void *)rule);
    lua_pushlightuserdata(gen->vm->L, (void *)e);
    crier_call_start(gen->vm, 2, call->what, gen->config.limits.callback, NULL, reply_done, call);
}

static void call_replies(struct event_queue *q, const struct event *e, struct crier_record *r)
{
    struct crier_generation *gen = crier_generation_ref(q->host->current);
    for (guint i = 0; i < gen->responders->len; i++) {
        const struct crier_responder *rule = gen->responders->pdata[i];
        if ((rule->bot && strcmp(rule->bot->name, e->bot) != 0) ||
            (rule->when && !crier_query_match(rule->when, r)))
            continue;
        call_reply(q, e, rule, r);
    }
    crier_generation_unref(gen);
}

/* --- the queue ------------------------------------------------------------------------------ */

/* The hook's name for an event; NULL: nobody is told. */
static const char *hook_of(const char *event, int change)
{
    if (strcmp(event, "GUILD_CREATE") == 0)
        return change > 0 ? "guild.join" : NULL;
    if (strcmp(event, "GUILD_DELETE") == 0)
        return change < 0 ? "guild.leave" : NULL;
    for (size_t i = 0; i < crier_gateway_hook_count; i++) {
        const struct crier_gateway_hook *h = &crier_gateway_hooks[i];
        if (h->event && strcmp(h->event, event) == 0)
            return h->name;
    }
    return NULL;
}

static void handle(struct event_queue *q, const struct event *e)
{
    struct crier_host *host = q->host;
    const char *name = hook_of(e->name, e->change);
    bool message = strcmp(e->name, "MESSAGE_CREATE") == 0;
    struct crier_record *r = message ? record_of(q, e) : NULL;
    /* What the bot has written itself it knows. */
    if (name && !(r && crier_str_id(text_at(r, "author.id")) == e->me))
        call_hooks(q, e, name);
    if (r && host->current->responders->len && is_person(r, e))
        call_replies(q, e, r);
    crier_record_unref(r);
}

static void pump(struct event_queue *q)
{
    if (q->pumping)
        return;
    q->pumping = true;
    while (q->calls < MAX_CALLS && !g_queue_is_empty(&q->events) && q->host->current &&
           !q->host->stopping) {
        struct event *e = g_queue_pop_head(&q->events);
        q->bytes -= e->len;
        handle(q, e);
        event_free(e);
    }
    q->pumping = false;
}

static void tell_dropped(struct event_queue *q)
{
    int64_t now = crier_loop_now(q->host->loop);
    if (now < q->tell_at)
        return;
    q->tell_at = now + TELL_S * CRIER_S;
    crier_host_system(q->host, CRIER_LEVEL_WARNING, "gateway.dropped",
                      "%llu event%s of the gateway dropped: %d wait, and %u hooks and replies are "
                      "under way",
                      (unsigned long long)(q->dropped - q->told), q->dropped - q->told == 1 ? "" : "s",
                      (int)g_queue_get_length(&q->events), q->calls);
    q->told = q->dropped;
}

static bool wanted(const struct crier_generation *gen, const char *name, bool message)
{
    if (message && gen->responders->len)
        return true;
    for (guint i = 0; name && i < gen->hooks->len; i++) {
        if (strcmp(((const struct crier_hook *)gen->hooks->pdata[i])->event, name) == 0)
            return true;
    }
    return false;
}

void crier_event_queue_push(struct crier_host *host, const char *bot, const char *event,
                            struct crier_str data, int change, uint64_t me)
{
    struct event_queue *q = queue_of(host);
    const char *name = hook_of(event, change);
    if (!host->current || host->stopping ||
        !wanted(host->current, name, strcmp(event, "MESSAGE_CREATE") == 0))
        return;
    if (g_queue_get_length(&q->events) >= MAX_EVENTS || q->bytes + data.len > MAX_BYTES) {
        q->dropped++;
        tell_dropped(q);
        return;
    }
    struct event *e = crier_calloc(1, sizeof *e);
    e->bot = crier_strdup(bot);
    e->name = crier_strdup(event);
    e->json = crier_strndup(data.data, data.len);
    e->len = data.len;
    e->change = change;
    e->me = me;
    q->bytes += e->len;
    g_queue_push_tail(&q->events, e);
    pump(q);
}

void crier_event_tell(struct crier_host *host, const char *hook, const char *const *texts)
{
    if (host->current && !host->stopping)
        crier_host_hook(host, hook, crier_push_texts, (void *)texts);
}

void crier_event_queue_stats(const struct crier_host *host, uint64_t *dropped, size_t *waiting)
{
    *dropped = host->events ? host->events->dropped : 0;
    *waiting = host->events ? g_queue_get_length((GQueue *)&host->events->events) : 0;
}

void crier_event_queue_free(struct crier_host *host)
{
    struct event_queue *q = host->events;
    if (!q)
        return;
    if (q->dropped > q->told) {
        q->tell_at = 0;
        tell_dropped(q);
    }
    struct event *e;
    while ((e = g_queue_pop_head(&q->events)))
        event_free(e);
    host->events = NULL;
    g_hash_table_destroy(q->cooldowns);
    g_ptr_array_free(q->sends, TRUE);
    crier_builder_fini(&q->builder);
    free(q);
}
