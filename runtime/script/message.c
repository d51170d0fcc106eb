/* SPDX-License-Identifier: MIT */
#include "script/message.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "host/host.h"
#include "script/declare.h"
#include "script/names.h"

/* A send is repeated until the next one is due, but for this long at least and at most. */
#define RETRY_LEAST (30 * CRIER_S)
#define RETRY_MOST (3600 * CRIER_S)

/* Counts of latenesses on a logarithmic scale: eight steps for each doubling. */
enum { LATE_STEPS = 8, LATE_BUCKETS = 40 * LATE_STEPS };

struct crier_poster {
    struct crier_host *host;
    struct crier_names *names;
    GHashTable *states;   /* key -> struct crier_msgstate */
    GHashTable *dms;      /* "bot/user" -> DM channel (uint64 boxed) */
    GPtrArray *waiting;   /* sends that wait for their bot */
    GPtrArray *sends;     /* all under way */
    struct crier_poster_stats stats;
    uint64_t late[LATE_BUCKETS];
    void (*on_idle)(void *arg);
    void *idle_arg;
};

/* One channel of a send. */
struct op {
    struct crier_send *send;
    struct crier_channel_state *at;
    uint64_t channel; /* where to send; for a DM known only once it is open */
    struct crier_request_id request;
    bool done, ok, edited, canceled, reopened;
    char *reason;
    uint64_t before; /* the last message as it was when the send began */
};

struct crier_send {
    struct crier_poster *poster;
    struct crier_message *m;
    struct crier_msgstate *st;
    int64_t due, at;          /* wall: due time; first attempt */
    int64_t started, deadline; /* monotonic */
    struct crier_call *call;  /* data function under way */
    struct crier_content *content;
    struct crier_err data_err;
    bool data_nil, intent_stored, intent_pending, names_ready, cancelled;
    struct op *ops;
    size_t op_count, left;
    int requests;
    guint index; /* in poster->sends */
};

static void finish(struct crier_send *s);
static void start_ops(struct crier_send *s);
static void op_create(struct op *op);
static void op_begin(struct op *op);

void crier_poster_stop_names(struct crier_poster *p)
{
    crier_names_stop(p->names);
}

/* --- state ------------------------------------------------------------------------------- */

static void free_state(void *p)
{
    struct crier_msgstate *st = p;
    free(st->key);
    free(st->period);
    free(st->removal);
    free(st->channels);
    free(st);
}

struct crier_poster *crier_poster_new(struct crier_host *host)
{
    struct crier_poster *p = crier_calloc(1, sizeof *p);
    p->host = host;
    p->names = crier_names_new(crier_host_loop(host));
    p->states = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_state);
    p->dms = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    p->waiting = g_ptr_array_new();
    p->sends = g_ptr_array_new();
    return p;
}

void crier_poster_free(struct crier_poster *p)
{
    if (!p)
        return;
    crier_names_free(p->names);
    g_hash_table_destroy(p->states);
    g_hash_table_destroy(p->dms);
    g_ptr_array_free(p->waiting, TRUE);
    g_ptr_array_free(p->sends, TRUE);
    free(p);
}

size_t crier_poster_pending(const struct crier_poster *p)
{
    return p->sends->len;
}

void crier_poster_on_idle(struct crier_poster *p, void (*fn)(void *arg), void *arg)
{
    p->on_idle = fn;
    p->idle_arg = arg;
}

static size_t late_bucket(int64_t us)
{
    if (us < LATE_STEPS)
        return us > 0 ? (size_t)us : 0;
    int doublings = 63 - __builtin_clzll((unsigned long long)us) - 3; /* 2^3 steps */
    size_t i = (size_t)doublings * LATE_STEPS + (size_t)(us >> doublings);
    return i < LATE_BUCKETS ? i : LATE_BUCKETS - 1;
}

static void count_late(struct crier_poster *p, int64_t us)
{
    p->late[late_bucket(us)]++;
    if (us > p->stats.late_max)
        p->stats.late_max = us;
}

/* The upper end of the bucket that holds the permille-th lateness. */
static int64_t late_at(const struct crier_poster *p, uint64_t permille)
{
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < LATE_BUCKETS; i++)
        all += p->late[i];
    for (size_t i = 0; i < LATE_BUCKETS; i++) {
        seen += p->late[i];
        if (!seen || seen * 1000 < all * permille)
            continue;
        if (i < LATE_STEPS)
            return (int64_t)i;
        int doublings = (int)(i / LATE_STEPS) - 1;
        int64_t above = ((int64_t)(i % LATE_STEPS) + LATE_STEPS + 1) << doublings;
        return above - 1 < p->stats.late_max ? above - 1 : p->stats.late_max;
    }
    return 0;
}

void crier_poster_stats(const struct crier_poster *p, struct crier_poster_stats *out)
{
    *out = p->stats;
    out->late_p50 = late_at(p, 500);
    out->late_p99 = late_at(p, 990);
}

static uint64_t json_id(const json_t *v)
{
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : 0;
}

static void load_state(void *arg, const char *key, const char *text)
{
    struct crier_poster *p = arg;
    json_t *o = json_loads(text, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return;
    }
    struct crier_msgstate *st = crier_calloc(1, sizeof *st);
    st->key = crier_strdup(key);
    st->first = json_integer_value(json_object_get(o, "first"));
    st->due = json_integer_value(json_object_get(o, "due"));
    st->last = json_integer_value(json_object_get(o, "last"));
    st->sent = (uint64_t)json_integer_value(json_object_get(o, "sent"));
    st->failed = (uint64_t)json_integer_value(json_object_get(o, "failed"));
    st->skipped = (uint64_t)json_integer_value(json_object_get(o, "skipped"));
    st->ended = json_is_true(json_object_get(o, "ended"));
    st->period = crier_strdup(json_string_value(json_object_get(o, "period")));
    st->removal = crier_strdup(json_string_value(json_object_get(o, "removal")));
    st->intent_due = json_integer_value(json_object_get(o, "intent_due"));
    st->intent_at = json_integer_value(json_object_get(o, "intent_at"));
    json_t *channels = json_object_get(o, "channels"), *c;
    size_t i;
    st->channels = crier_calloc(json_array_size(channels) + 1, sizeof *st->channels);
    json_array_foreach(channels, i, c) {
        struct crier_channel_state *at = &st->channels[st->channel_count++];
        at->id = json_id(json_object_get(c, "id"));
        at->message = json_id(json_object_get(c, "message"));
        at->sent = json_integer_value(json_object_get(c, "sent"));
    }
    g_hash_table_replace(p->states, st->key, st);
    json_decref(o);
}

static void load_dm(void *arg, const char *key, const char *text)
{
    struct crier_poster *p = arg;
    uint64_t *id = crier_malloc(sizeof *id);
    *id = strtoull(text[0] == '"' ? text + 1 : text, NULL, 10);
    g_hash_table_replace(p->dms, crier_strdup(key), id);
}

void crier_poster_load(struct crier_poster *p)
{
    crier_state_each(crier_host_state(p->host), "message", load_state, p);
    crier_state_each(crier_host_state(p->host), "dm", load_dm, p);
}

static void put_id(struct crier_buf *b, const char *key, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, id);
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void put_int(struct crier_buf *b, const char *key, int64_t v)
{
    if (!v)
        return;
    crier_json_key(b, key);
    crier_json_int(b, v);
}

static void save_state(struct crier_poster *p, struct crier_msgstate *st,
                       void (*done)(void *arg, int rc), void *arg)
{
    if (!crier_host_state(p->host))
        return; /* the host has closed it; what matters, an intent, is in the file */
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    put_int(&b, "first", st->first);
    put_int(&b, "due", st->due);
    put_int(&b, "last", st->last);
    put_int(&b, "sent", (int64_t)st->sent);
    put_int(&b, "failed", (int64_t)st->failed);
    put_int(&b, "skipped", (int64_t)st->skipped);
    if (st->ended) {
        crier_json_key(&b, "ended");
        crier_json_bool(&b, true);
    }
    crier_json_key(&b, "period");
    crier_json_str(&b, st->period);
    if (st->removal) {
        crier_json_key(&b, "removal");
        crier_json_str(&b, st->removal);
    }
    put_int(&b, "intent_due", st->intent_due);
    put_int(&b, "intent_at", st->intent_at);
    bool any = false;
    for (size_t i = 0; i < st->channel_count; i++) {
        const struct crier_channel_state *at = &st->channels[i];
        if (!at->message && !at->sent)
            continue;
        if (!any) {
            crier_json_key(&b, "channels");
            crier_json_open(&b, '[');
            any = true;
        }
        crier_json_open(&b, '{');
        put_id(&b, "id", at->id);
        if (at->message)
            put_id(&b, "message", at->message);
        put_int(&b, "sent", at->sent);
        crier_json_close(&b, '}');
    }
    if (any)
        crier_json_close(&b, ']');
    crier_json_close(&b, '}');
    crier_state_put(crier_host_state(p->host), "message", st->key, b.data, done, arg);
    crier_buf_fini(&b);
}

static struct crier_channel_state *channel_state(struct crier_msgstate *st, uint64_t id)
{
    for (size_t i = 0; i < st->channel_count; i++) {
        if (st->channels[i].id == id)
            return &st->channels[i];
    }
    return NULL;
}

static void ensure_channel(struct crier_msgstate *st, uint64_t id)
{
    if (channel_state(st, id))
        return;
    st->channels = crier_realloc(st->channels, (st->channel_count + 1) * sizeof *st->channels);
    st->channels[st->channel_count++] = (struct crier_channel_state){.id = id};
}

/* --- what the user sees ------------------------------------------------------------------- */

static const char *display_name(const struct crier_message *m)
{
    if (m->name)
        return m->name;
    const char *slash = strchr(m->key, '/');
    return slash ? slash + 1 : m->key;
}

static const char *id_text(uint64_t id, char out[24])
{
    snprintf(out, 24, "%" PRIu64, id);
    return out;
}

static const char *target_name(struct crier_poster *p, const struct crier_target *t, char out[24])
{
    const char *name = t->name ? t->name : crier_names_get(p->names, t->id);
    return name ? name : id_text(t->id, out);
}

static void build_head(struct crier_builder *b, struct crier_poster *p, struct crier_message *m,
                       enum crier_level level, int64_t wall)
{
    char name[24];
    crier_build_begin(b, CRIER_KIND_MESSAGE, level, wall);
    CRIER_B_STR(b, "name", display_name(m));
    CRIER_B_STR(b, "type", crier_message_type_name(m->type));
    CRIER_B_STR(b, "mode", crier_mode_name(m->mode));
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    const char *guild = target_name(p, m->target, name);
    CRIER_B_STR(b, "name", guild);
    CRIER_B_SNOWFLAKE(b, "id", m->target->id);
    CRIER_B_STR(b, "type", m->target->type == CRIER_GUILD ? "GUILD" : "USER");
    crier_build_close(b);
}

static struct crier_record *build_tail(struct crier_builder *b, struct crier_message *m,
                                       const char *text)
{
    char *logger = crier_asprintf("message.%s", display_name(m));
    char *where = crier_asprintf("%s:%d", m->file ? m->file : "?", m->line);
    crier_build_logger(b, logger, strlen(logger));
    crier_build_where(b, where, strlen(where));
    crier_build_text(b, text, strlen(text));
    struct crier_record *record = crier_build_end(b);
    free(logger);
    free(where);
    return record;
}

static void push_record_arg(lua_State *L, void *arg)
{
    crier_push_record(L, arg);
}

/* The record goes to hooks always, to sinks where the GUILD or USER logs. */
static void publish(struct crier_poster *p, struct crier_message *m, const char *event,
                    struct crier_record *record)
{
    if (m->target->logging)
        crier_host_emit(p->host, crier_record_ref(record));
    crier_host_hook(p->host, event, push_record_arg, record);
    crier_record_unref(record);
}

/* A skip that waits for the names of its record. */
struct skip {
    struct crier_poster *poster;
    struct crier_message *m;
    char *reason;
    uint64_t count;
    int64_t wall;
};

static void publish_skip(void *arg)
{
    struct skip *k = arg;
    struct crier_message *m = k->m;
    struct crier_builder *b = crier_host_builder(k->poster->host);
    build_head(b, k->poster, m, CRIER_DEBUG, k->wall);
    CRIER_B_STR(b, "skipped", k->reason);
    if (k->count > 1)
        CRIER_B_INT(b, "occurrences", (int64_t)k->count);
    char *text = crier_asprintf("%s skipped: %s", display_name(m), k->reason);
    struct crier_record *record = build_tail(b, m, text);
    free(text);
    publish(k->poster, m, "message.skipped", record);
    crier_generation_unref(m->gen);
    free(k->reason);
    free(k);
}

static void record_skip(struct crier_poster *p, struct crier_message *m, const char *reason,
                        uint64_t count)
{
    struct crier_discord *client = crier_host_client(p->host, m->target->bot->name);
    struct skip *k = crier_calloc(1, sizeof *k);
    p->stats.skipped += count;
    m->state->skipped += count;
    *k = (struct skip){.poster = p, .m = m, .reason = crier_strdup(reason), .count = count,
                       .wall = crier_loop_wall(crier_host_loop(p->host))};
    crier_generation_ref(m->gen);
    if (client && !crier_host_stopping(p->host) &&
        !crier_host_bot_unreachable(p->host, m->target->bot->name))
        crier_names_want(p->names, client, m->target, NULL, 0, publish_skip, k);
    else
        publish_skip(k);
}

/* --- due --------------------------------------------------------------------------------- */

static void arm(struct crier_message *m)
{
    struct crier_loop *loop = crier_host_loop(m->gen->host);
    int64_t delay = m->state->due - crier_loop_wall(loop);
    crier_timer_at(loop, &m->timer, crier_loop_now(loop) + delay);
}

static int64_t end_time(const struct crier_message *m)
{
    switch (m->removal.kind) {
    case CRIER_REMOVAL_AT:
        return m->removal.value;
    case CRIER_REMOVAL_AFTER:
        return m->state->first + m->removal.value;
    default:
        return CRIER_NEVER;
    }
}

/* Channels that still take a send: all, or those whose count is not used up. */
static bool channel_open(const struct crier_message *m, const struct crier_channel_state *at)
{
    return m->removal.kind != CRIER_REMOVAL_COUNT || at->sent < m->removal.value;
}

static bool all_used_up(const struct crier_message *m)
{
    if (m->removal.kind != CRIER_REMOVAL_COUNT)
        return false;
    size_t n = m->type == CRIER_TEXT_MESSAGE ? m->channel_count : 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = m->type == CRIER_TEXT_MESSAGE ? m->channels[i] : m->target->id;
        const struct crier_channel_state *at = channel_state(m->state, id);
        if (!at || channel_open(m, at))
            return false;
    }
    return true;
}

static void end_message(struct crier_poster *p, struct crier_message *m)
{
    char label[120];
    m->state->ended = true;
    crier_timer_stop(crier_host_loop(p->host), &m->timer);
    save_state(p, m->state, NULL, NULL);
    crier_host_system(p->host, CRIER_INFO, "message.removed",
                      "message '%s' has ended: remove_after is reached",
                      crier_message_label(m, label, sizeof label));
}

static void begin_send(struct crier_poster *p, struct crier_message *m, int64_t due, int64_t at);

static void on_due(struct crier_timer *timer)
{
    struct crier_message *m = CRIER_CONTAINER(timer, struct crier_message, timer);
    struct crier_poster *p = crier_host_poster(m->gen->host);
    struct crier_msgstate *st = m->state;
    if (crier_host_stopping(p->host) || st->ended)
        return;
    int64_t now = crier_loop_wall(crier_host_loop(p->host));
    if (now < st->due) { /* timers are exact to the microsecond of one clock, not of two */
        arm(m);
        return;
    }
    if (now >= end_time(m)) {
        end_message(p, m);
        return;
    }
    uint64_t skipped;
    int64_t next;
    int64_t due = crier_period_catch(&m->period, crier_host_rng(p->host), st->due, now, &next,
                                     &skipped);
    st->last = due;
    st->due = next;
    arm(m);
    if (skipped)
        record_skip(p, m, "late: the next one was due already", skipped);
    if (st->send) {
        record_skip(p, m,
                    crier_host_bot_ready(p->host, m->target->bot->name)
                        ? "the send before is still under way"
                        : "Discord has not been reached yet",
                    1);
        save_state(p, st, NULL, NULL);
        return;
    }
    count_late(p, now - due);
    begin_send(p, m, due, now);
}

/* --- data -------------------------------------------------------------------------------- */

static void content_from_results(lua_State *L, struct crier_send *s)
{
    if (lua_isnil(L, -1)) {
        s->data_nil = true;
        return;
    }
    if (crier_content_from_lua(L, -1, s->m->gen->folder, &s->content, &s->data_err) != 0)
        s->data_err.code = CRIER_EINVAL;
}

static int data_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    content_from_results(L, (struct crier_send *)ctx);
    return 0;
}

/* ctx, made once a message and kept: the function's view of what is being sent. */
static void push_ctx(lua_State *L, struct crier_send *s)
{
    struct crier_message *m = s->m;
    char name[24], id[24];
    if (!m->ctx) {
        lua_newtable(L);
        lua_pushstring(L, display_name(m));
        lua_setfield(L, -2, "name");
        lua_createtable(L, 0, 3);
        lua_pushstring(L, id_text(m->target->id, id));
        lua_setfield(L, -2, "id");
        lua_pushstring(L, m->target->type == CRIER_GUILD ? "GUILD" : "USER");
        lua_setfield(L, -2, "type");
        lua_setfield(L, -2, "guild");
        m->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->ctx);
    lua_getfield(L, -1, "guild");
    lua_pushstring(L, target_name(s->poster, m->target, name));
    lua_setfield(L, -2, "name");
    lua_pop(L, 1);
    lua_pushnumber(L, (lua_Number)s->due / 1e6);
    lua_setfield(L, -2, "due");
    lua_pushinteger(L, (lua_Integer)s->st->sent);
    lua_setfield(L, -2, "sent");
    lua_pushinteger(L, (lua_Integer)s->st->failed);
    lua_setfield(L, -2, "failed");
    lua_pushinteger(L, (lua_Integer)s->st->skipped);
    lua_setfield(L, -2, "skipped");
}

/* Runs inside the call's coroutine, so that whatever raises here is the call's error. */
static int l_data(lua_State *L)
{
    struct crier_send *s = lua_touserdata(L, 1);
    int args = 1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->m->data_fn);
    push_ctx(L, s);
    if (s->m->data_args) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, s->m->data_args);
        int list = lua_gettop(L);
        lua_getfield(L, list, "n");
        int n = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        luaL_checkstack(L, n + 4, "too many bound arguments");
        for (int i = 1; i <= n; i++)
            lua_rawgeti(L, list, i);
        lua_remove(L, list);
        args += n;
    }
    lua_callk(L, args, 1, (lua_KContext)s, data_returned);
    content_from_results(L, s);
    return 0;
}

static void drop_send(struct crier_send *s)
{
    struct crier_poster *p = s->poster;
    struct crier_generation *gen = s->m->gen;
    s->st->send = NULL;
    struct crier_send *last = p->sends->pdata[p->sends->len - 1];
    last->index = s->index;
    g_ptr_array_remove_index_fast(p->sends, s->index);
    crier_content_unref(s->content);
    for (size_t i = 0; i < s->op_count; i++)
        free(s->ops[i].reason);
    free(s->ops);
    free(s);
    crier_generation_unref(gen);
    if (p->on_idle)
        p->on_idle(p->idle_arg);
}

static void skip_send(struct crier_send *s, const char *reason)
{
    s->st->intent_due = s->st->intent_at = 0;
    record_skip(s->poster, s->m, reason, 1);
    save_state(s->poster, s->st, NULL, NULL);
    drop_send(s);
}

static void data_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct crier_send *s = arg;
    char label[120], what[160];
    s->call = NULL;
    crier_host_touched(s->m->gen);
    if (end->rc == 0 && !s->data_err.code) {
        if (s->data_nil)
            skip_send(s, "the data function returned nil");
        else
            start_ops(s);
        return;
    }
    snprintf(what, sizeof what, "data function of message '%s'",
             crier_message_label(s->m, label, sizeof label));
    if (end->rc != 0) {
        if (end->rc != CRIER_ECANCELED)
            crier_host_callback_error(s->poster->host, what, &end->error);
        skip_send(s, end->rc == CRIER_ECANCELED ? "stopped" : "the data function failed");
        return;
    }
    struct crier_lua_error error = {
        .message = crier_asprintf("%s:%d: %s returned what cannot be sent: %s",
                                  s->m->file ? s->m->file : "?", s->m->line, what, s->data_err.text)};
    crier_host_callback_error(s->poster->host, what, &error);
    crier_lua_error_fini(&error);
    skip_send(s, "the data function failed");
}

static void get_data(struct crier_send *s)
{
    struct crier_message *m = s->m;
    if (m->content) {
        s->content = crier_content_ref(m->content);
        start_ops(s);
        return;
    }
    char label[120], what[160];
    snprintf(what, sizeof what, "data function of message '%s'",
             crier_message_label(m, label, sizeof label));
    lua_State *L = m->gen->vm->L;
    lua_pushcfunction(L, l_data);
    lua_pushlightuserdata(L, s);
    struct crier_call *call = crier_call_start(m->gen->vm, 1, what, m->gen->config.limits.callback,
                                               m, data_done, s);
    if (call)
        s->call = call;
}

/* --- sending ----------------------------------------------------------------------------- */

static struct crier_discord *client_of(const struct crier_send *s)
{
    return crier_host_client(s->poster->host, s->m->target->bot->name);
}

static void names_known(void *arg)
{
    struct crier_send *s = arg;
    s->names_ready = true;
    if (s->ops && !s->left)
        finish(s);
}

static void set_deadline(struct crier_send *s)
{
    struct crier_loop *loop = crier_host_loop(s->poster->host);
    s->started = crier_loop_now(loop);
    int64_t span = s->st->due - crier_loop_wall(loop);
    if (span < RETRY_LEAST)
        span = RETRY_LEAST;
    if (span > RETRY_MOST)
        span = RETRY_MOST;
    s->deadline = s->started + span;
}

static void begin_send(struct crier_poster *p, struct crier_message *m, int64_t due, int64_t at)
{
    struct crier_send *s = crier_calloc(1, sizeof *s);
    s->poster = p;
    s->m = m;
    s->st = m->state;
    s->due = due;
    s->at = at;
    set_deadline(s);
    m->state->send = s;
    crier_generation_ref(m->gen);
    s->index = p->sends->len;
    g_ptr_array_add(p->sends, s);
    if (client_of(s) && !crier_host_bot_ready(p->host, m->target->bot->name))
        g_ptr_array_add(p->waiting, s);
    else
        get_data(s);
}

void crier_poster_drop_waiting(struct crier_poster *p)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++)
        skip_send(waiting->pdata[i], "the host stopped before Discord was reached");
    g_ptr_array_free(waiting, TRUE);
}

void crier_poster_bot_ready(struct crier_poster *p, const char *bot)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++) {
        struct crier_send *s = waiting->pdata[i];
        if (strcmp(s->m->target->bot->name, bot) == 0) {
            set_deadline(s); /* waiting for Discord has not used it up */
            get_data(s);
        }
        else
            g_ptr_array_add(p->waiting, s);
    }
    g_ptr_array_free(waiting, TRUE);
}

static void op_end(struct op *op, bool ok, const char *reason)
{
    struct crier_send *s = op->send;
    op->done = true;
    op->ok = ok;
    op->request.id = 0;
    op->reason = crier_strdup(reason);
    if (ok)
        op->at->sent++;
    if (--s->left == 0 && s->names_ready)
        finish(s);
}

/* Discord's words for a failure, or ours. */
static void op_fail(struct op *op, const struct crier_discord_result *r)
{
    op->canceled = r->outcome == CRIER_CANCELED;
    op_end(op, false, r->err.text[0] ? r->err.text : crier_outcome_name(r->outcome));
}

static char *dm_key(const struct crier_send *s)
{
    return crier_asprintf("%s/%" PRIu64, s->m->target->bot->name, s->m->target->id);
}

/* A DM channel is remembered for good, but another bot's token, or a simulator that starts anew,
 * does not know it: it is opened again, once a send. */
static bool op_reopens(struct op *op, const struct crier_discord_result *r)
{
    enum { UNKNOWN_CHANNEL = 10003 };
    if (op->send->m->type == CRIER_TEXT_MESSAGE || r->code != UNKNOWN_CHANNEL || op->reopened)
        return false;
    char *key = dm_key(op->send);
    g_hash_table_remove(op->send->poster->dms, key);
    free(key);
    op->reopened = true;
    op->at->message = 0;
    op_begin(op);
    return true;
}

static void created(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    op->send->requests += r->requests;
    if (op_reopens(op, r))
        return;
    if (r->outcome != CRIER_SENT) {
        op_fail(op, r);
        return;
    }
    op->at->message = json_id(json_object_get(r->body, "id"));
    op_end(op, true, NULL);
}

static void create_now(struct op *op)
{
    struct crier_send *s = op->send;
    char nonce[26];
    crier_discord_nonce(s->m->key, op->channel, s->due, nonce);
    op->request = crier_discord_create(client_of(s), op->channel, s->content, s->m->mentions, nonce,
                                       s->at, s->deadline, created, op);
}

/* The intent is in the file (or cannot be: a full disk does not silence the bot). */
static void intent_stored(void *arg, int rc)
{
    struct crier_send *s = arg;
    (void)rc; /* the store counts and tells its failures */
    s->intent_pending = false;
    s->intent_stored = true;
    s->left++; /* an op that ends at once must not end the send under us */
    for (size_t i = 0; i < s->op_count; i++) {
        struct op *op = &s->ops[i];
        if (op->edited || op->done || op->request.id || !op->channel)
            continue;
        op->canceled = s->cancelled;
        if (s->cancelled)
            op_end(op, false, "stopped before it was sent");
        else
            create_now(op);
    }
    if (--s->left == 0 && s->names_ready)
        finish(s);
}

static void op_create(struct op *op)
{
    struct crier_send *s = op->send;
    op->edited = false;
    op->request.id = 0;
    if (s->intent_stored) {
        create_now(op);
        return;
    }
    if (s->intent_pending)
        return;
    s->intent_pending = true;
    s->st->intent_due = s->due;
    s->st->intent_at = s->at;
    save_state(s->poster, s->st, intent_stored, s);
}

static void edited(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    op->send->requests += r->requests;
    if (op_reopens(op, r))
        return;
    if (r->outcome == CRIER_REBUILD) {
        op->at->message = 0;
        op_create(op);
    } else if (r->outcome == CRIER_SENT) {
        op_end(op, true, NULL);
    } else {
        op_fail(op, r);
    }
}

static void cleared(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    op->send->requests += r->requests;
    if (op_reopens(op, r))
        return;
    if (r->outcome == CRIER_SENT || r->outcome == CRIER_REBUILD) {
        op->at->message = 0;
        op_create(op);
    } else {
        op_fail(op, r); /* sending now would leave two messages */
    }
}

static void op_start(struct op *op)
{
    struct crier_send *s = op->send;
    enum crier_mode mode = s->m->mode;
    if (mode == CRIER_MODE_EDIT && op->at->message) {
        op->edited = true;
        op->request = crier_discord_edit(client_of(s), op->channel, op->at->message, s->content,
                                         s->m->mentions, s->deadline, edited, op);
    } else if (mode == CRIER_MODE_CLEAR_SEND && op->at->message) {
        op->edited = true;
        op->request = crier_discord_delete(client_of(s), op->channel, op->at->message, s->deadline,
                                           cleared, op);
    } else {
        op_create(op);
    }
}

static void dm_opened(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    struct crier_send *s = op->send;
    s->requests += r->requests;
    op->request.id = 0;
    uint64_t channel = json_id(json_object_get(r->body, "id"));
    if (r->outcome != CRIER_SENT || !channel) {
        op_fail(op, r);
        return;
    }
    char *key = dm_key(s), text[32];
    snprintf(text, sizeof text, "\"%" PRIu64 "\"", channel);
    crier_state_put(crier_host_state(s->poster->host), "dm", key, text, NULL, NULL);
    load_dm(s->poster, key, text);
    free(key);
    op->channel = channel;
    op_start(op);
}

static void op_begin(struct op *op)
{
    struct crier_send *s = op->send;
    if (s->m->type == CRIER_TEXT_MESSAGE) {
        op->channel = op->at->id;
        op_start(op);
        return;
    }
    char *key = dm_key(s);
    const uint64_t *known = g_hash_table_lookup(s->poster->dms, key);
    free(key);
    if (known) {
        op->channel = *known;
        op_start(op);
    } else {
        op->request = crier_discord_open_dm(client_of(s), s->m->target->id, s->deadline, dm_opened,
                                            op);
    }
}

static void start_ops(struct crier_send *s)
{
    struct crier_message *m = s->m;
    bool text = m->type == CRIER_TEXT_MESSAGE;
    size_t all = text ? m->channel_count : 1;
    for (size_t i = 0; i < all; i++)
        ensure_channel(s->st, text ? m->channels[i] : m->target->id);
    s->ops = crier_calloc(all, sizeof *s->ops);
    for (size_t i = 0; i < all; i++) {
        struct crier_channel_state *at =
            channel_state(s->st, text ? m->channels[i] : m->target->id);
        if (channel_open(m, at))
            s->ops[s->op_count++] = (struct op){.send = s, .at = at, .before = at->message};
    }
    s->left = s->op_count;
    if (!s->op_count) {
        if (!m->gen->retired)
            end_message(s->poster, m);
        drop_send(s);
        return;
    }
    for (size_t i = 0; i < s->op_count; i++)
        op_begin(&s->ops[i]);
    crier_names_want(s->poster->names, client_of(s), m->target, m->channels, m->channel_count,
                     names_known, s);
}

/* --- the end of a send -------------------------------------------------------------------- */

static void build_sent_data(struct crier_builder *b, const struct crier_content *c)
{
    CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
    if (c->text)
        CRIER_B_STR(b, "text", c->text);
    if (c->embeds)
        crier_build_json(b, "embed", 5, c->embeds, strlen(c->embeds));
    if (c->file_count) {
        CRIER_B_OPEN(b, "files", CRIER_ARRAY);
        for (size_t i = 0; i < c->file_count; i++)
            crier_build_str(b, NULL, 0, c->files[i].name, strlen(c->files[i].name));
        crier_build_close(b);
    }
    crier_build_close(b);
}

static void build_channel(struct crier_builder *b, struct crier_send *s, const struct op *op)
{
    char id[24];
    const char *name = crier_names_get(s->poster->names, op->channel);
    crier_build_open(b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(b, "name", name ? name : id_text(op->channel, id));
    CRIER_B_SNOWFLAKE(b, "id", op->channel);
    if (!op->ok)
        CRIER_B_STR(b, "reason", op->reason ? op->reason : "failed");
    crier_build_close(b);
}

static void build_channels(struct crier_builder *b, struct crier_send *s)
{
    CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
    for (int pass = 1; pass >= 0; pass--) {
        if (pass)
            CRIER_B_OPEN(b, "successful", CRIER_ARRAY);
        else
            CRIER_B_OPEN(b, "failed", CRIER_ARRAY);
        for (size_t i = 0; i < s->op_count; i++) {
            if (s->ops[i].ok == (pass == 1))
                build_channel(b, s, &s->ops[i]);
        }
        crier_build_close(b);
    }
    crier_build_close(b);
}

/* "gallery #sp edited", "digest 12 channels sent, 1 failed". */
static char *outcome_text(struct crier_send *s, size_t ok)
{
    static const char *const done[] = {"sent", "edited", "cleared and sent"};
    struct crier_message *m = s->m;
    const char *verb = done[m->mode];
    char name[24];
    if (s->op_count != 1) {
        if (ok == s->op_count)
            return crier_asprintf("%s %zu channels %s", display_name(m), ok, verb);
        return crier_asprintf("%s %zu of %zu channels %s", display_name(m), ok, s->op_count, verb);
    }
    const struct op *op = &s->ops[0];
    const char *to = m->type == CRIER_TEXT_MESSAGE ? crier_names_get(s->poster->names, op->channel)
                                                   : target_name(s->poster, m->target, name);
    if (!to)
        to = id_text(op->channel, name);
    const char *sign = m->type == CRIER_TEXT_MESSAGE ? "#" : "@";
    if (op->ok)
        return crier_asprintf("%s %s%s %s", display_name(m), sign, to,
                              m->mode == CRIER_MODE_EDIT && !op->edited ? "sent" : verb);
    return crier_asprintf("%s %s%s failed: %s", display_name(m), sign, to, op->reason);
}

static void finish(struct crier_send *s)
{
    struct crier_poster *p = s->poster;
    struct crier_message *m = s->m;
    struct crier_loop *loop = crier_host_loop(p->host);
    size_t ok = 0, canceled = 0;
    for (size_t i = 0; i < s->op_count; i++) {
        ok += s->ops[i].ok;
        canceled += s->ops[i].canceled;
    }
    if (canceled && s->st->intent_due && crier_host_stopping(p->host)) {
        /* The host stops with the outcome unknown: the next start repeats it, all channels, under
         * the same nonces, and records how it ended. */
        for (size_t i = 0; i < s->op_count; i++) {
            struct op *op = &s->ops[i];
            if (op->ok) {
                op->at->sent--;
                op->at->message = op->before;
            }
        }
        save_state(p, s->st, NULL, NULL);
        drop_send(s);
        return;
    }
    bool all = ok == s->op_count;
    struct crier_builder *b = crier_host_builder(p->host);
    build_head(b, p, m, all ? CRIER_INFO : ok ? CRIER_LEVEL_WARNING : CRIER_LEVEL_ERROR,
               crier_loop_wall(loop));
    crier_build_ok(b, all);
    build_sent_data(b, s->content);
    if (m->type == CRIER_TEXT_MESSAGE) {
        build_channels(b, s);
    } else {
        CRIER_B_OPEN(b, "success_info", CRIER_OBJECT);
        CRIER_B_BOOL(b, "success", all);
        if (!all)
            CRIER_B_STR(b, "reason", s->ops[0].reason);
        crier_build_close(b);
    }
    CRIER_B_NUM(b, "success_rate", (double)ok / (double)s->op_count);
    CRIER_B_NUM(b, "runtime", (double)(crier_loop_now(loop) - s->started) / 1e6);
    CRIER_B_INT(b, "requests", s->requests);
    char *text = outcome_text(s, ok);
    struct crier_record *record = build_tail(b, m, text);
    free(text);

    if (all) {
        s->st->sent++;
        p->stats.sent++;
    } else {
        s->st->failed++;
        p->stats.failed++;
    }
    s->st->intent_due = s->st->intent_at = 0;
    save_state(p, s->st, NULL, NULL);
    publish(p, m, all ? "message.sent" : "message.failed", record);
    if (all_used_up(m) && !s->st->ended && !m->gen->retired)
        end_message(p, m);
    drop_send(s);
}

void crier_poster_cancel(struct crier_poster *p, const struct crier_generation *gen)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++) {
        struct crier_send *s = waiting->pdata[i];
        if (gen && s->m->gen != gen)
            g_ptr_array_add(p->waiting, s);
        else
            skip_send(s, "stopped");
    }
    g_ptr_array_free(waiting, TRUE);
    /* Cancelling a data function ends its send at once; requests end later, by their callbacks. */
    for (guint i = p->sends->len; i-- > 0;) {
        struct crier_send *s = p->sends->pdata[i];
        if (gen && s->m->gen != gen)
            continue;
        s->cancelled = true;
        for (size_t j = 0; j < s->op_count; j++) {
            if (s->ops[j].request.id)
                crier_discord_cancel(client_of(s), s->ops[j].request);
        }
        if (s->call)
            crier_call_cancel(s->call);
    }
}

/* --- generations ------------------------------------------------------------------------- */

static const char *removal_text(const struct crier_removal *r, char out[32])
{
    if (r->kind == CRIER_REMOVAL_NONE)
        return NULL;
    snprintf(out, 32, "%d:%" PRId64, (int)r->kind, r->value);
    return out;
}

static void set_text(char **to, char *text)
{
    free(*to);
    *to = text;
}

/* Whether the text is another than the one that is kept; it is kept then. */
static bool differs(char **kept, const char *text)
{
    if (g_strcmp0(*kept, text) == 0)
        return false;
    set_text(kept, crier_strdup(text));
    return true;
}

static struct crier_msgstate *find_state(struct crier_poster *p, struct crier_message *m)
{
    struct crier_msgstate *st = g_hash_table_lookup(p->states, m->key);
    if (st || !m->was)
        return st;
    const char *slash = strchr(m->key, '/');
    char *old = crier_asprintf("%.*s/%s", (int)(slash - m->key), m->key, m->was);
    st = g_hash_table_lookup(p->states, old);
    if (st) {
        g_hash_table_steal(p->states, old);
        crier_state_put(crier_host_state(p->host), "message", old, NULL, NULL, NULL);
        set_text(&st->key, crier_strdup(m->key));
        g_hash_table_replace(p->states, st->key, st);
        save_state(p, st, NULL, NULL);
    }
    free(old);
    return st;
}

static int64_t start_due(const struct crier_message *m, int64_t first)
{
    return m->start.absolute ? m->start.value : first + m->start.value;
}

static void begin_state(struct crier_poster *p, struct crier_message *m, int64_t now)
{
    struct crier_msgstate *st = crier_calloc(1, sizeof *st);
    uint64_t skipped;
    st->key = crier_strdup(m->key);
    st->first = now;
    st->due = start_due(m, now);
    if (st->due < now)
        st->due = crier_period_after(&m->period, crier_host_rng(p->host), st->due, now, &skipped);
    g_hash_table_insert(p->states, st->key, st);
    m->state = st;
}

/* Carry on with a state that is there: what changed in the script, what time has passed. */
static void resume_state(struct crier_poster *p, struct crier_message *m, bool new_period,
                         bool new_removal, bool restarted, int64_t now)
{
    struct crier_msgstate *st = m->state;
    struct crier_rng *rng = crier_host_rng(p->host);
    uint64_t skipped = 0;
    if (new_removal)
        st->ended = false;
    if (new_period && st->last) {
        st->due = crier_period_next(&m->period, rng, st->last);
        if (st->due <= now)
            st->due = crier_period_after(&m->period, rng, st->due, now, &skipped);
    } else if (!st->last && st->due > now) {
        /* Never sent: the script's present start counts. */
        st->due = start_due(m, st->first);
        if (st->due < now)
            st->due = now;
    } else if (restarted && st->due <= now) {
        st->due = crier_period_after(&m->period, rng, st->due, now, &skipped);
        if (skipped && !st->ended)
            record_skip(p, m, "the host was down", skipped);
    }
    if (!st->ended && all_used_up(m))
        st->ended = true;
}

/* Finds or begins the message's state; one that has changed is stored. */
static void adopt_message(struct crier_poster *p, struct crier_message *m, bool restarted,
                          int64_t now)
{
    char period[128], removal[32];
    struct crier_msgstate *st = m->state = find_state(p, m);
    bool begun = !st;
    if (begun) {
        begin_state(p, m, now);
        st = m->state;
    }
    int64_t due = st->due;
    bool ended = st->ended;
    bool new_period = differs(&st->period, crier_period_text(&m->period, period));
    bool new_removal = differs(&st->removal, removal_text(&m->removal, removal));
    if (!begun)
        resume_state(p, m, new_period, new_removal, restarted, now);
    if (begun || new_period || new_removal || due != st->due || ended != st->ended)
        save_state(p, st, NULL, NULL);
}

void crier_poster_adopt(struct crier_poster *p, struct crier_generation *gen, bool restarted)
{
    int64_t now = crier_loop_wall(crier_host_loop(p->host));
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (!m->target || !m->key)
            continue;
        m->timer.fire = on_due;
        adopt_message(p, m, restarted, now);
        if (m->state->ended)
            continue;
        arm(m);
        if (restarted && m->state->intent_due)
            begin_send(p, m, m->state->intent_due, m->state->intent_at);
    }
}

void crier_poster_retire(struct crier_poster *p, struct crier_generation *gen)
{
    struct crier_loop *loop = crier_host_loop(p->host);
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        crier_timer_stop(loop, &m->timer);
    }
}

void crier_poster_clock_set(struct crier_poster *p, struct crier_generation *gen, int64_t jump_us)
{
    (void)p;
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (!m->state || m->state->ended)
            continue;
        /* A duration does not care what the wall says; a start at a date-time does. */
        if (!(m->start.absolute && !m->state->last))
            m->state->due += jump_us;
        arm(m);
    }
}
