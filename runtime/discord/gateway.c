/* SPDX-License-Identifier: MIT */
#include "discord/gateway.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum {
    FRESH_S = 600,       /* a stored session is tried, an answer of /gateway/bot believed */
    SAVE_S = 1,          /* at most so often */
    IDENTIFY_GAP_MS = 5250, /* between two of one bucket: five seconds, and the way there */
    ASK_S = 20,
    DAY_S = 86400,
    HOUR_S = 3600,
    JOINED_S = 600,
};

struct shard {
    struct crier_gateway *gateway;
    struct crier_gateway_session session;
    struct crier_gateway_socket *socket;
    struct crier_gateway_inflate inflate;
    struct crier_buf text; /* of an uncompressed message in pieces */
    struct crier_timer timer;
    bool wants;   /* leave to identify */
    bool cold;    /* its session is older than the cache */
    bool binary;
    int64_t began; /* wall: the session */
    /* Events a second: an average that halves in about seven seconds. */
    double rate;
    int64_t rated;
    uint64_t rated_events;
    char why[200];
};

struct window {
    int64_t began; /* wall seconds */
    unsigned used;
};

/* A request outlives the gateway that asked for it. */
struct question {
    struct crier_gateway *gateway; /* NULL: it is gone */
    struct crier_request_id id;
};

struct crier_gateway {
    struct crier_loop *loop;
    struct crier_discord *client;
    struct crier_gateway_sockets *sockets;
    const struct crier_gateway_events *events;
    void *arg;
    char *token, *url, *presence;
    uint32_t intents, identified_intents;
    bool compress;
    uint64_t me, rng;
    struct question *question; /* GET /gateway/bot under way; NULL: none */
    struct shard *shards;
    unsigned shard_count;
    struct crier_gateway_cache *cache;
    GHashTable *expected; /* ids of guilds that READY told of */
    /* The budget. */
    unsigned total, remaining, concurrency;
    int64_t asked, reset_at; /* monotonic; 0: never */
    unsigned failures;
    struct window day, hour;
    int64_t *bucket_free; /* monotonic, one each of `concurrency` */
    bool held;
    struct crier_timer permit, ask_timer, save_timer;
    json_t *stored;
};

static void ask(struct crier_gateway *g);
static void grant(struct crier_gateway *g);

static int64_t now_of(const struct crier_gateway *g)
{
    return crier_loop_now(g->loop);
}

static int64_t wall_s(const struct crier_gateway *g)
{
    return crier_loop_wall(g->loop) / CRIER_S;
}

/* --- what is kept ---------------------------------------------------------------------------- */

static void put_window(struct crier_buf *b, const char *key, const struct window *w)
{
    crier_json_key(b, key);
    crier_json_open(b, '[');
    crier_json_int(b, w->began);
    crier_json_uint(b, w->used);
    crier_json_close(b, ']');
}

static void save(struct crier_gateway *g)
{
    struct crier_buf b = {0};
    crier_timer_stop(g->loop, &g->save_timer);
    crier_json_open(&b, '{');
    put_window(&b, "day", &g->day);
    put_window(&b, "hour", &g->hour);
    crier_json_key(&b, "intents");
    crier_json_uint(&b, g->identified_intents);
    crier_json_key(&b, "me");
    crier_json_uint(&b, g->me);
    crier_json_key(&b, "time");
    crier_json_int(&b, wall_s(g));
    crier_json_key(&b, "sessions");
    crier_json_open(&b, '[');
    for (unsigned i = 0; i < g->shard_count; i++) {
        const struct crier_gateway_session *s = &g->shards[i].session;
        if (!s->session_id || !s->resume_url || s->seq < 0) {
            crier_json_null(&b);
            continue;
        }
        crier_json_open(&b, '{');
        crier_json_key(&b, "id");
        crier_json_str(&b, s->session_id);
        crier_json_key(&b, "url");
        crier_json_str(&b, s->resume_url);
        crier_json_key(&b, "seq");
        crier_json_int(&b, s->seq);
        crier_json_key(&b, "began");
        crier_json_int(&b, g->shards[i].began / CRIER_S);
        crier_json_close(&b, '}');
    }
    crier_json_close(&b, ']');
    crier_json_close(&b, '}');
    g->events->save(g->arg, b.data);
    crier_buf_fini(&b);
}

static void on_save(struct crier_timer *timer)
{
    save(CRIER_CONTAINER(timer, struct crier_gateway, save_timer));
}

static void save_soon(struct crier_gateway *g)
{
    if (!crier_timer_armed(&g->save_timer))
        crier_timer_in(g->loop, &g->save_timer, SAVE_S * CRIER_S);
}

static void load_window(const json_t *list, struct window *w)
{
    w->began = json_integer_value(json_array_get(list, 0));
    w->used = (unsigned)json_integer_value(json_array_get(list, 1));
}

static void load(struct crier_gateway *g, const char *text)
{
    g->stored = text ? json_loads(text, 0, NULL) : NULL;
    load_window(json_object_get(g->stored, "day"), &g->day);
    load_window(json_object_get(g->stored, "hour"), &g->hour);
    g->me = (uint64_t)json_integer_value(json_object_get(g->stored, "me"));
}

/* The sessions of before, where they may still be alive and fit what is wanted now. */
static void restore(struct crier_gateway *g)
{
    const json_t *list = json_object_get(g->stored, "sessions");
    int64_t age = wall_s(g) - json_integer_value(json_object_get(g->stored, "time"));
    uint32_t had = (uint32_t)json_integer_value(json_object_get(g->stored, "intents"));
    if (json_array_size(list) == g->shard_count && age >= 0 && age < FRESH_S &&
        (g->intents & ~had) == 0) {
        g->identified_intents = had;
        for (unsigned i = 0; i < g->shard_count; i++) {
            const json_t *o = json_array_get(list, i);
            const char *id = json_string_value(json_object_get(o, "id"));
            const char *url = json_string_value(json_object_get(o, "url"));
            if (!id || !url)
                continue;
            crier_gateway_session_restore(&g->shards[i].session, id, url,
                                          json_integer_value(json_object_get(o, "seq")));
            g->shards[i].session.user = g->me;
            g->shards[i].began = json_integer_value(json_object_get(o, "began")) * CRIER_S;
            g->shards[i].cold = true;
        }
        crier_gateway_cache_me(g->cache, g->me);
    }
    json_decref(g->stored);
    g->stored = NULL;
}

/* --- the budget ------------------------------------------------------------------------------ */

static void turn_window(struct window *w, int64_t now, int64_t length)
{
    if (now < w->began || now >= w->began + length)
        *w = (struct window){.began = now};
}

static unsigned reserve_of(unsigned total)
{
    return (total + 19) / 20;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Monotonic time from which an identify may be counted again; 0: now. */
static int64_t budget_wait(struct crier_gateway *g)
{
    int64_t now = now_of(g), wall = wall_s(g);
    unsigned reserve = reserve_of(g->total), share = g->total / 24;
    turn_window(&g->day, wall, DAY_S);
    turn_window(&g->hour, wall, HOUR_S);
    if (share < 3 * g->shard_count)
        share = 3 * g->shard_count;
    if (g->remaining <= reserve)
        return g->reset_at > now ? g->reset_at : now + 60 * CRIER_S;
    if (g->day.used + reserve >= g->total)
        return now + (g->day.began + DAY_S - wall) * CRIER_S;
    if (g->hour.used >= share)
        return now + (g->hour.began + HOUR_S - wall) * CRIER_S;
    return 0;
}

static void tell_held(struct crier_gateway *g, int64_t until)
{
    char text[256];
    int64_t minutes = (until - now_of(g)) / (60 * CRIER_S) + 1;
    if (g->held)
        return;
    g->held = true;
    snprintf(text, sizeof text,
             "%u of %u identifies a day are left (%u in this hour, %u today by crier): the gateway "
             "waits some %lld min, lest Discord reset the token; sends go on",
             g->remaining, g->total, g->hour.used, g->day.used, (long long)minutes);
    g->events->note(g->arg, "gateway.budget", text);
}

static void grant_one(struct crier_gateway *g, struct shard *shard, int64_t *bucket)
{
    g->held = false;
    shard->wants = false;
    g->day.used++;
    g->hour.used++;
    g->remaining--;
    *bucket = now_of(g) + IDENTIFY_GAP_MS * CRIER_MS;
    g->identified_intents = g->intents;
    shard->session.intents = g->intents;
    save(g); /* before it is sent: what is counted twice harms nobody */
    crier_gateway_session_identify(&shard->session, now_of(g));
}

/* Leave for those that want it, in the order of their numbers; a timer for the others. */
static void grant(struct crier_gateway *g)
{
    int64_t next = CRIER_NEVER;
    for (unsigned i = 0; i < g->shard_count; i++) {
        struct shard *shard = &g->shards[i];
        if (!shard->wants)
            continue;
        int64_t now = now_of(g);
        if (now >= g->asked + FRESH_S * CRIER_S) {
            ask(g);
            return; /* grant comes again with the answer */
        }
        int64_t wait = budget_wait(g);
        int64_t *bucket = &g->bucket_free[i % g->concurrency];
        if (wait) {
            tell_held(g, wait);
            g->asked = -FRESH_S * CRIER_S; /* what Discord says then is what counts */
        } else if (now >= *bucket) {
            grant_one(g, shard, bucket);
            continue;
        } else {
            wait = *bucket;
        }
        if (wait < next)
            next = wait;
    }
    if (next != CRIER_NEVER)
        crier_timer_at(g->loop, &g->permit, next);
}

static void on_permit(struct crier_timer *timer)
{
    grant(CRIER_CONTAINER(timer, struct crier_gateway, permit));
}

/* --- shards ---------------------------------------------------------------------------------- */

static void arm(struct shard *shard)
{
    int64_t due = crier_gateway_session_due(&shard->session);
    if (due == CRIER_NEVER)
        crier_timer_stop(shard->gateway->loop, &shard->timer);
    else
        crier_timer_at(shard->gateway->loop, &shard->timer, due);
}

static void on_timer(struct crier_timer *timer)
{
    struct shard *shard = CRIER_CONTAINER(timer, struct shard, timer);
    crier_gateway_session_tick(&shard->session, now_of(shard->gateway));
    arm(shard);
}

static void on_opened(void *arg)
{
    struct shard *shard = arg;
    crier_gateway_session_opened(&shard->session, now_of(shard->gateway));
    arm(shard);
}

static void on_closed(void *arg, int code, const char *why)
{
    struct shard *shard = arg;
    shard->socket = NULL;
    crier_gateway_session_closed(&shard->session, code, why, now_of(shard->gateway));
    arm(shard);
}

static void on_received(void *arg, const char *data, size_t len, bool binary, bool final)
{
    struct shard *shard = arg;
    struct crier_gateway *g = shard->gateway;
    struct crier_err err = {0};
    int64_t now = now_of(g);
    if (binary) {
        int rc = crier_gateway_inflate(&shard->inflate, data, len, final, &err);
        if (rc < 0)
            crier_gateway_session_broken(&shard->session, err.text, now);
        else if (rc > 0)
            crier_gateway_session_receive(&shard->session, shard->inflate.out.data,
                                          shard->inflate.out.len, now);
    } else if (final && !shard->text.len) {
        crier_gateway_session_receive(&shard->session, data, len, now);
    } else if (shard->text.len + len > CRIER_GATEWAY_MESSAGE_MAX) {
        crier_gateway_session_broken(&shard->session, "a message is too large", now);
    } else {
        crier_buf_append(&shard->text, data, len);
        if (final) {
            crier_gateway_session_receive(&shard->session, shard->text.data, shard->text.len, now);
            crier_buf_clear(&shard->text);
        }
    }
    arm(shard);
}

static const struct crier_gateway_socket_events socket_events = {on_opened, on_received, on_closed};

static void do_connect(void *arg, const char *url)
{
    struct shard *shard = arg;
    struct crier_gateway *g = shard->gateway;
    size_t len = strcspn(url, "?");
    while (len > 0 && url[len - 1] == '/')
        len--;
    char *full = crier_asprintf("%.*s/?v=10&encoding=json%s", (int)len, url,
                                g->compress ? "&compress=zlib-stream" : "");
    crier_gateway_inflate_fini(&shard->inflate);
    crier_buf_fini(&shard->text);
    if (shard->socket)
        g->sockets->ops->close(shard->socket, 0);
    shard->socket = g->sockets->ops->connect(g->sockets, full, &socket_events, shard);
    free(full);
}

static void do_send(void *arg, const char *text, size_t len)
{
    struct shard *shard = arg;
    if (shard->socket)
        shard->gateway->sockets->ops->send(shard->socket, text, len);
}

static void do_disconnect(void *arg, int code)
{
    struct shard *shard = arg;
    if (shard->socket)
        shard->gateway->sockets->ops->close(shard->socket, code);
    shard->socket = NULL;
}

static void do_want_identify(void *arg)
{
    struct shard *shard = arg;
    shard->wants = true;
    crier_timer_in(shard->gateway->loop, &shard->gateway->permit, 0);
}

/* READY's list of guilds: those are no joins. */
static void expect_guilds(struct shard *shard, const struct crier_gateway_frame *frame)
{
    struct crier_gateway *g = shard->gateway;
    struct crier_scan scan;
    enum crier_scan_event event;
    crier_scan_init(&scan, frame->data.data, frame->data.len);
    bool ok = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    while (ok && crier_scan_item(&scan, &event)) {
        bool list = event == CRIER_SCAN_ARRAY && crier_str_is(scan.key, "guilds");
        if (!list) {
            ok = (event != CRIER_SCAN_OBJECT && event != CRIER_SCAN_ARRAY) || crier_scan_skip(&scan);
            continue;
        }
        while (crier_scan_item(&scan, &event)) {
            uint64_t id = 0;
            if (event != CRIER_SCAN_OBJECT)
                continue;
            while (crier_scan_item(&scan, &event)) {
                if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "id"))
                    id = crier_str_id(scan.s);
                else if ((event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY) &&
                         !crier_scan_skip(&scan))
                    break;
            }
            if (id)
                g_hash_table_add(g->expected, g_memdup2(&id, sizeof id));
        }
    }
    crier_scan_fini(&scan);
}

/* A session that was resumed after a restart has no list: the guild says when we came. */
static bool joined_lately(struct crier_gateway *g, struct crier_str data)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    char text[64] = "";
    crier_scan_init(&scan, data.data, data.len);
    bool ok = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    while (ok && crier_scan_item(&scan, &event)) {
        if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "joined_at"))
            snprintf(text, sizeof text, "%.*s", (int)(scan.s.len < 63 ? scan.s.len : 63),
                     scan.s.data);
        else if (event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY)
            ok = crier_scan_skip(&scan);
    }
    crier_scan_fini(&scan);
    GDateTime *time = g_date_time_new_from_iso8601(text, NULL);
    int64_t at = time ? g_date_time_to_unix(time) : 0;
    if (time)
        g_date_time_unref(time);
    return at > wall_s(g) - JOINED_S;
}

static gboolean is_of_shard(gpointer id, gpointer value, gpointer arg)
{
    const struct shard *shard = arg;
    (void)value;
    return (*(const uint64_t *)id >> 22) % shard->gateway->shard_count == shard->session.shard;
}

static void do_dispatch(void *arg, const struct crier_gateway_frame *frame)
{
    struct shard *shard = arg;
    struct crier_gateway *g = shard->gateway;
    uint64_t guild = 0;
    save_soon(g);
    if (strcmp(frame->name, "READY") == 0) {
        g->me = shard->session.user;
        shard->began = crier_loop_wall(g->loop);
        shard->cold = false;
        crier_gateway_cache_me(g->cache, g->me);
        g_hash_table_foreach_remove(g->expected, is_of_shard, shard);
        crier_gateway_cache_forget(g->cache, shard->session.shard, g->shard_count);
        expect_guilds(shard, frame);
    }
    if (frame->type != CRIER_SCAN_OBJECT)
        return;
    enum crier_gateway_news news =
        crier_gateway_cache_apply(g->cache, frame->name, frame->data, &guild);
    bool expected = news == CRIER_NEWS_GUILD_NEW && g_hash_table_remove(g->expected, &guild);
    bool joined = news == CRIER_NEWS_GUILD_NEW && !expected &&
                  (!shard->cold || joined_lately(g, frame->data));
    if (news == CRIER_NEWS_GUILD_GONE)
        g_hash_table_remove(g->expected, &guild);
    int change = joined ? 1 : news == CRIER_NEWS_GUILD_GONE ? -1 : 0;
    g->events->event(g->arg, frame->name, frame->data, change);
}

static void do_changed(void *arg, const char *why)
{
    struct shard *shard = arg;
    struct crier_gateway *g = shard->gateway;
    const struct crier_gateway_session *s = &shard->session;
    if (why)
        snprintf(shard->why, sizeof shard->why, "%s", why);
    if (s->state != CRIER_GW_WAITING)
        shard->wants = false;
    save_soon(g);
    g->events->state(g->arg, s->shard, s->state, why ? why : "");
    if (s->state == CRIER_GW_STOPPED)
        g->events->refused(g->arg, &s->stop);
}

static const struct crier_gateway_session_ops session_ops = {
    do_connect, do_send, do_disconnect, do_want_identify, do_dispatch, do_changed};

static void make_shards(struct crier_gateway *g, unsigned count)
{
    g->shard_count = count;
    g->shards = crier_calloc(count, sizeof *g->shards);
    for (unsigned i = 0; i < count; i++) {
        struct shard *shard = &g->shards[i];
        shard->gateway = g;
        shard->timer.fire = on_timer;
        crier_gateway_session_init(&shard->session, &session_ops, shard);
        shard->session.token = g->token;
        shard->session.url = g->url;
        shard->session.intents = g->intents;
        shard->session.shard = i;
        shard->session.shards = count;
        shard->session.presence = crier_strdup(g->presence);
        shard->session.rng = (g->rng ^ (i + 1) * 0x9e3779b97f4a7c15ULL) | 1;
    }
    restore(g);
    for (unsigned i = 0; i < count; i++) {
        crier_gateway_session_start(&g->shards[i].session, now_of(g));
        arm(&g->shards[i]);
    }
}

/* --- GET /gateway/bot ------------------------------------------------------------------------ */

static unsigned positive(const json_t *v, unsigned def, unsigned max)
{
    json_int_t n = json_integer_value(v);
    return !json_is_integer(v) || n < 0 ? def : n > (json_int_t)max ? max : (unsigned)n;
}

static void learn(struct crier_gateway *g, const json_t *body)
{
    const json_t *limit = json_object_get(body, "session_start_limit");
    unsigned concurrency = positive(json_object_get(limit, "max_concurrency"), 1, 4096);
    g->asked = now_of(g);
    g->total = positive(json_object_get(limit, "total"), 1000, 1000000);
    g->remaining = positive(json_object_get(limit, "remaining"), 0, 1000000);
    g->reset_at = now_of(g) + positive(json_object_get(limit, "reset_after"), 0, 1u << 31) * CRIER_MS;
    if (concurrency == 0)
        concurrency = 1;
    if (concurrency != g->concurrency) {
        int64_t *free_at = crier_calloc(concurrency, sizeof *free_at);
        for (unsigned i = 0; i < least(concurrency, g->concurrency); i++)
            free_at[i] = g->bucket_free[i];
        free(g->bucket_free);
        g->bucket_free = free_at;
        g->concurrency = concurrency;
    }
}

static void on_answer(void *arg, const struct crier_discord_result *r)
{
    struct question *question = arg;
    struct crier_gateway *g = question->gateway;
    free(question);
    if (!g)
        return;
    g->question = NULL;
    if (r->outcome == CRIER_CANCELED || r->outcome == CRIER_STOP)
        return;
    const char *url = json_string_value(json_object_get(r->body, "url"));
    if (r->outcome != CRIER_SENT || !url) {
        unsigned wait = 5u << (g->failures < 6 ? g->failures : 6);
        char text[320];
        snprintf(text, sizeof text, "GET /gateway/bot: %s; tried again in %u s",
                 r->outcome == CRIER_SENT ? "the answer has no url" : r->err.text, wait);
        if (!g->failures++)
            g->events->note(g->arg, "gateway.unreachable", text);
        crier_timer_in(g->loop, &g->ask_timer, wait * CRIER_S);
        return;
    }
    unsigned shards = positive(json_object_get(r->body, "shards"), 1, 4096);
    g->failures = 0;
    learn(g, r->body);
    if (!g->url)
        g->url = crier_strdup(url);
    if (!g->shards)
        make_shards(g, shards ? shards : 1);
    grant(g);
}

static void ask(struct crier_gateway *g)
{
    if (g->question || crier_timer_armed(&g->ask_timer))
        return;
    struct question *question = g->question = crier_calloc(1, sizeof *question);
    question->gateway = g;
    question->id = crier_discord_get(g->client, "/gateway/bot", now_of(g) + ASK_S * CRIER_S,
                                     on_answer, question);
}

static void on_ask(struct crier_timer *timer)
{
    ask(CRIER_CONTAINER(timer, struct crier_gateway, ask_timer));
}

/* --- life ------------------------------------------------------------------------------------ */

struct crier_gateway *crier_gateway_new(struct crier_loop *loop, struct crier_discord *client,
                                        struct crier_gateway_sockets *sockets,
                                        const struct crier_gateway_config *config,
                                        const struct crier_gateway_events *events, void *arg)
{
    struct crier_gateway *g = crier_calloc(1, sizeof *g);
    g->loop = loop;
    g->client = client;
    g->sockets = sockets;
    g->events = events;
    g->arg = arg;
    g->token = crier_strdup(config->token);
    g->presence = crier_strdup(config->presence);
    g->intents = config->intents;
    g->compress = config->compress;
    g->rng = config->rng_seed;
    g->cache = crier_gateway_cache_new();
    g->expected = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g->permit.fire = on_permit;
    g->ask_timer.fire = on_ask;
    g->save_timer.fire = on_save;
    load(g, config->stored);
    ask(g);
    return g;
}

void crier_gateway_free(struct crier_gateway *g, bool end)
{
    if (!g)
        return;
    if (g->question) {
        g->question->gateway = NULL;
        crier_discord_cancel(g->client, g->question->id);
    }
    if (g->shards)
        save(g);
    crier_timer_stop(g->loop, &g->permit);
    crier_timer_stop(g->loop, &g->ask_timer);
    crier_timer_stop(g->loop, &g->save_timer);
    for (unsigned i = 0; i < g->shard_count; i++) {
        struct shard *shard = &g->shards[i];
        crier_timer_stop(g->loop, &shard->timer);
        if (shard->socket)
            g->sockets->ops->close(shard->socket, end ? 1000 : 4000);
        crier_gateway_inflate_fini(&shard->inflate);
        crier_buf_fini(&shard->text);
        crier_gateway_session_fini(&shard->session);
    }
    explicit_bzero(g->token, strlen(g->token));
    free(g->token);
    free(g->url);
    free(g->presence);
    free(g->shards);
    free(g->bucket_free);
    g_hash_table_destroy(g->expected);
    crier_gateway_cache_free(g->cache);
    json_decref(g->stored);
    free(g);
}

void crier_gateway_set_intents(struct crier_gateway *g, uint32_t intents)
{
    uint32_t had = g->shards ? g->identified_intents : g->intents;
    g->intents = intents;
    if (!g->shards || (intents & ~had) == 0)
        return;
    for (unsigned i = 0; i < g->shard_count; i++) {
        g->shards[i].session.intents = intents;
        crier_gateway_session_renew(&g->shards[i].session, now_of(g));
        arm(&g->shards[i]);
    }
}

void crier_gateway_set_presence(struct crier_gateway *g, const char *json)
{
    free(g->presence);
    g->presence = crier_strdup(json);
    for (unsigned i = 0; i < g->shard_count; i++) {
        crier_gateway_session_presence(&g->shards[i].session, json, now_of(g));
        arm(&g->shards[i]);
    }
}

bool crier_gateway_knows(const struct crier_gateway *g, uint64_t guild)
{
    struct crier_cached_guild seen;
    unsigned n = g->shard_count;
    for (unsigned i = 0; i < n; i++) {
        const struct shard *shard = &g->shards[i];
        bool asked = !guild || (guild >> 22) % n == i;
        if (asked && (shard->session.state != CRIER_GW_READY || (!guild && shard->cold)))
            return false;
    }
    if (!guild)
        return n > 0 && g_hash_table_size(g->expected) == 0;
    return n > 0 && crier_gateway_cache_guild(g->cache, guild, &seen) && !seen.away;
}

struct crier_gateway_cache *crier_gateway_cache(struct crier_gateway *g)
{
    return g->cache;
}

uint64_t crier_gateway_me(const struct crier_gateway *g)
{
    return g->me;
}

unsigned crier_gateway_shards(const struct crier_gateway *g)
{
    return g->shard_count;
}

void crier_gateway_shard_stats(struct crier_gateway *g, unsigned i,
                               struct crier_gateway_shard_stats *out)
{
    struct shard *shard = &g->shards[i];
    const struct crier_gateway_session *s = &shard->session;
    int64_t now = now_of(g), passed = now - shard->rated;
    if (passed >= CRIER_S) {
        double fresh = (double)(s->events - shard->rated_events) * 1e6 / (double)passed;
        double keep = passed < 10 * CRIER_S ? 1.0 - (double)passed / (10.0 * CRIER_S) : 0;
        shard->rate = shard->rated ? shard->rate * keep + fresh * (1 - keep) : fresh;
        shard->rated = now;
        shard->rated_events = s->events;
    }
    *out = (struct crier_gateway_shard_stats){
        .state = s->state,
        .latency = s->latency,
        .in_state = now - s->since,
        .session_age = s->session_id && shard->began ? crier_loop_wall(g->loop) - shard->began : -1,
        .events = s->events,
        .resumes = s->resumes,
        .identifies = s->identifies,
        .zombies = s->zombies,
        .reconnects = s->reconnects,
        .per_second = shard->rate,
        .why = shard->why};
}

void crier_gateway_stats(const struct crier_gateway *g, struct crier_gateway_stats *out)
{
    *out = (struct crier_gateway_stats){.intents = g->identified_intents ? g->identified_intents
                                                                         : g->intents,
                                        .total = g->total,
                                        .remaining = g->remaining,
                                        .day_used = g->day.used,
                                        .hour_used = g->hour.used,
                                        .held = g->held};
}
