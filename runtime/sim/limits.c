/* SPDX-License-Identifier: MIT */
#include "sim/model.h"

#include <stdio.h>

enum { GLOBAL_LIMIT = 50 }; /* requests a second a bot */

/* A bucket: a fixed window that begins with its first request. */
struct bucket {
    uint64_t major; /* channel or guild of the path, 0 for none */
    const struct sim_route *route;
    const struct sim_bot *bot;
    int64_t end; /* monotonic */
    unsigned used;
    char hash[33];
};

static guint bucket_hash(gconstpointer key)
{
    const struct bucket *b = key;
    uint64_t h = b->major * 0x9e3779b97f4a7c15ULL ^ (uintptr_t)b->route ^ (uintptr_t)b->bot << 7;
    return (guint)(h >> 32 ^ h);
}

static gboolean bucket_equal(gconstpointer a, gconstpointer b)
{
    const struct bucket *x = a, *y = b;
    return x->major == y->major && x->route == y->route && x->bot == y->bot;
}

void sim_limits_init(struct crier_sim *sim)
{
    sim->buckets = g_hash_table_new_full(bucket_hash, bucket_equal, free, NULL);
}

/* Milliseconds, rounded up, so that a client that waits for exactly so long is not early. */
static int64_t ceil_ms(int64_t us)
{
    return (us + CRIER_MS - 1) / CRIER_MS;
}

void sim_answer_429(struct sim_call *call, int64_t wait_us, const char *scope)
{
    bool global = strcmp(scope, "global") == 0;
    int64_t ms = ceil_ms(wait_us);
    sim_header(call, "retry-after: %lld", (long long)((ms + 999) / 1000));
    if (global)
        sim_header(call, "x-ratelimit-global: true");
    sim_header(call, "x-ratelimit-scope: %s", scope);
    struct crier_buf *b = &call->ans->body;
    crier_buf_clear(b);
    call->ans->status = 429;
    crier_json_open(b, '{');
    crier_json_key(b, "message");
    crier_json_str(b, global || strcmp(scope, "user") == 0 ? "You are being rate limited."
                                                           : "The resource is being rate limited.");
    crier_json_key(b, "retry_after");
    crier_json_num(b, (double)ms / 1000);
    crier_json_key(b, "global");
    crier_json_bool(b, global);
    /* The description of the API asks for it in every error. */
    crier_json_key(b, "code");
    crier_json_int(b, 0);
    crier_json_close(b, '}');
}

bool sim_limit_global(struct sim_call *call)
{
    if (!call->sim->config.limits)
        return true;
    int64_t now = crier_loop_now(call->sim->loop);
    struct sim_bot *bot = call->bot;
    if (now >= bot->second_end) {
        bot->second_end = now + CRIER_S;
        bot->in_second = 0;
    }
    if (bot->in_second < GLOBAL_LIMIT) {
        bot->in_second++;
        return true;
    }
    sim_answer_429(call, bot->second_end - now, "global");
    return false;
}

/* Seconds with three decimals. */
static void put_ms(struct crier_buf *h, const char *name, int64_t ms)
{
    uint64_t rest = (uint64_t)ms % 1000;
    crier_buf_puts(h, name);
    crier_buf_uint(h, (uint64_t)ms / 1000);
    crier_buf_puts(h, rest < 10 ? ".00" : rest < 100 ? ".0" : ".");
    crier_buf_uint(h, rest);
}

static void put_headers(struct sim_call *call, const struct bucket *b, int64_t now)
{
    struct crier_buf *h = &call->ans->headers;
    unsigned limit = call->route->limit;
    crier_buf_puts(h, "x-ratelimit-limit: ");
    crier_buf_uint(h, limit);
    crier_buf_puts(h, "\nx-ratelimit-remaining: ");
    crier_buf_uint(h, limit - b->used);
    put_ms(h, "\nx-ratelimit-reset: ", ceil_ms(crier_loop_wall(call->sim->loop) + b->end - now));
    put_ms(h, "\nx-ratelimit-reset-after: ", ceil_ms(b->end - now));
    crier_buf_puts(h, "\nx-ratelimit-bucket: ");
    crier_buf_puts(h, b->hash);
    crier_buf_putc(h, '\n');
}

bool sim_limit_bucket(struct sim_call *call, uint64_t major)
{
    const struct sim_route *route = call->route;
    if (!call->sim->config.limits || !route->window)
        return true;
    struct bucket key = {.major = major, .route = route, .bot = call->bot};
    struct bucket *b = g_hash_table_lookup(call->sim->buckets, &key);
    int64_t now = crier_loop_now(call->sim->loop);
    if (!b) {
        b = crier_malloc(sizeof *b);
        *b = key;
        uint64_t hash = sim_hash(call->sim->config.seed, route->scope);
        snprintf(b->hash, sizeof b->hash, "%016llx%016llx", (unsigned long long)hash,
                 (unsigned long long)(hash * 0x9e3779b97f4a7c15ULL));
        g_hash_table_add(call->sim->buckets, b);
        b->end = now;
    }
    if (now >= b->end) {
        b->end = now + route->window;
        b->used = 0;
    }
    bool allowed = b->used < route->limit;
    if (allowed)
        b->used++;
    put_headers(call, b, now);
    if (!allowed)
        sim_answer_429(call, b->end - now, "user");
    return allowed;
}
