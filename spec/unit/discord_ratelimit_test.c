/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ulid.h"
#include "discord/ratelimit.h"

#define POST1 "POST /channels/1/messages"
#define TYPING1 "POST /channels/1/typing"
#define POST2 "POST /channels/2/messages"

static int64_t acquire(struct crier_ratelimit *rl, const char *route, int64_t now)
{
    int64_t taken;
    return crier_ratelimit_acquire(rl, route, now, &taken);
}

static void reply(struct crier_ratelimit *rl, const char *route, int status, const char *headers,
                  const char *body, int64_t now, int64_t *until)
{
    struct crier_http_response res = {.status = status};
    crier_buf_puts(&res.headers, headers);
    if (body)
        crier_buf_puts(&res.body, body);
    int64_t t = crier_ratelimit_answer(rl, route, 0, &res, now);
    if (until)
        *until = t;
    crier_buf_fini(&res.headers);
    crier_buf_fini(&res.body);
}

static void limits(struct crier_ratelimit *rl, const char *route, const char *hash, int limit,
                   int remaining, double reset_after, int64_t now)
{
    char *headers = crier_asprintf("x-ratelimit-bucket: %s\nx-ratelimit-limit: %d\n"
                                   "x-ratelimit-remaining: %d\nx-ratelimit-reset-after: %.3f\n",
                                   hash, limit, remaining, reset_after);
    reply(rl, route, 200, headers, NULL, now, NULL);
    free(headers);
}

static void routes_keep_the_top_level_id(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *route;
    } cases[] = {
        {"POST", "/channels/123/messages", "POST /channels/123/messages"},
        {"PATCH", "/channels/123/messages/456", "PATCH /channels/123/messages/:id"},
        {"GET", "/channels/1/messages?limit=50", "GET /channels/1/messages"},
        {"PUT", "/channels/1/messages/2/reactions/%F0%9F%91%8D/@me",
         "PUT /channels/1/messages/:id/reactions/:any/@me"},
        {"GET", "/guilds/9/members/8", "GET /guilds/9/members/:id"},
        {"GET", "/users/8", "GET /users/:id"},
        {"POST", "/users/@me/channels", "POST /users/@me/channels"},
        {"POST", "/webhooks/5/t0ken/x", "POST /webhooks/5/t0ken/x"},
        {"POST", "/interactions/5/secret/callback", "POST /interactions/:id/:any/callback"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_buf out = {0};
        crier_ratelimit_route(cases[i].method, cases[i].path, &out);
        assert_string_equal(out.data, cases[i].route);
        crier_buf_fini(&out);
    }
}

static void an_unknown_route_lets_one_through(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    assert_int_equal(acquire(rl, POST1, 0), 0);
    assert_int_equal(acquire(rl, POST1, 0), CRIER_NEVER);
    assert_int_equal(acquire(rl, POST2, 0), 0); /* another channel */
    limits(rl, POST1, "abc", 5, 3, 2.0, 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(acquire(rl, POST1, 1000), 0);
    int64_t at = acquire(rl, POST1, 1000);
    assert_in_range(at, 1000 + 2 * CRIER_S, 1000 + 2 * CRIER_S + 2 * CRIER_MS);
    /* The three under way may be counted after the reset: two of five are left. */
    assert_int_equal(acquire(rl, POST1, at), 0);
    assert_int_equal(acquire(rl, POST1, at), 0);
    assert_int_equal(acquire(rl, POST1, at), CRIER_NEVER);
    crier_ratelimit_free(rl);
}

static void a_route_without_limits_is_free(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    assert_int_equal(acquire(rl, "GET /users/@me", 0), 0);
    reply(rl, "GET /users/@me", 200, "", NULL, 10, NULL);
    for (int i = 0; i < 10; i++)
        assert_int_equal(acquire(rl, "GET /users/@me", 20), 0);
    crier_ratelimit_free(rl);
}

static void routes_of_one_hash_share_a_bucket(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    assert_int_equal(acquire(rl, POST1, 0), 0);
    assert_int_equal(acquire(rl, TYPING1, 0), 0);
    assert_int_equal(acquire(rl, POST2, 0), 0);
    limits(rl, POST1, "abc", 2, 1, 5.0, 10);
    limits(rl, TYPING1, "abc", 2, 0, 5.0, 20);
    limits(rl, POST2, "abc", 2, 1, 5.0, 20); /* same hash, other channel: another bucket */
    assert_in_range(acquire(rl, POST1, 30), 5 * CRIER_S, 6 * CRIER_S);
    assert_in_range(acquire(rl, TYPING1, 30), 5 * CRIER_S, 6 * CRIER_S);
    assert_int_equal(acquire(rl, POST2, 30), 0);
    struct crier_ratelimit_stats stats;
    crier_ratelimit_stats(rl, &stats);
    assert_int_equal(stats.buckets, 2);
    crier_ratelimit_free(rl);
}

static void scopes_of_429(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    struct crier_ratelimit_stats stats;
    int64_t until;

    assert_int_equal(acquire(rl, TYPING1, 0), 0);
    limits(rl, TYPING1, "abc", 10, 9, 1.0, 0);
    assert_int_equal(acquire(rl, POST1, 0), 0);
    reply(rl, POST1, 429,
          "x-ratelimit-scope: shared\nx-ratelimit-bucket: abc\n"
          "x-ratelimit-limit: 10\nx-ratelimit-remaining: 9\n"
          "x-ratelimit-reset-after: 1.0\nretry-after: 1337\n",
          "{\"message\":\"m\",\"retry_after\":1336.57,\"global\":false}", 0, &until);
    assert_in_range(until, 1336570000, 1336580000);
    assert_int_equal(acquire(rl, POST1, 100 * CRIER_S), until);
    assert_int_equal(acquire(rl, TYPING1, 0), 0); /* not even its bucket */
    crier_ratelimit_stats(rl, &stats);
    assert_int_equal(stats.hits_shared, 1);
    assert_int_equal(stats.hits_429, 0);

    assert_int_equal(acquire(rl, POST2, 0), 0);
    reply(rl, POST2, 429, "x-ratelimit-scope: user\nretry-after: 3\n", NULL, 0, &until);
    assert_in_range(until, 3 * CRIER_S, 3 * CRIER_S + 2 * CRIER_MS);
    assert_int_equal(acquire(rl, POST2, CRIER_S), until);
    assert_int_equal(crier_ratelimit_global(rl, CRIER_S), 0);

    assert_int_equal(acquire(rl, "GET /guilds/1", CRIER_S), 0);
    reply(rl, "GET /guilds/1", 429, "x-ratelimit-global: true\n", "{\"retry_after\":0.5}", CRIER_S,
          &until);
    assert_in_range(until, 1500000, 1502000);
    assert_int_equal(crier_ratelimit_global(rl, CRIER_S), until);
    assert_int_equal(acquire(rl, "GET /guilds/2", CRIER_S), until);
    assert_int_equal(acquire(rl, "POST /interactions/:id/:any/callback", CRIER_S), 0);
    crier_ratelimit_stats(rl, &stats);
    assert_int_equal(stats.hits_429, 2);
    crier_ratelimit_free(rl);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* --- the global limit ---------------------------------------------------------------------- */

/* A net that takes `way` each way and up to `jitter` more, a server that takes up to `handling` for
 * an answer, and as many requests as are allowed. The server counts them when they arrive. */
struct net {
    int64_t way, jitter, handling;
    int64_t connected;  /* nothing goes out before */
    bool clock;         /* the server's, in the headers */
    int64_t skew, step; /* its time less ours; what it is set by in the middle */
};

enum { REQUESTS = 1000 };

/* How long the server saw the last one after the first. */
static int64_t flood(const struct net *net, uint64_t seed)
{
    struct crier_ratelimit *rl = crier_ratelimit_new(50);
    static struct {
        int64_t started, sent, arrives, written, returns, taken;
    } q[REQUESTS];
    static int64_t arrivals[REQUESTS];
    struct crier_rng rng;
    crier_rng_seed(&rng, seed);
    int64_t now = 0;
    int asked = 0, ended = 0;
    while (ended < REQUESTS) {
        int64_t next = CRIER_NEVER;
        char route[40];
        for (int i = 0; i < asked; i++) {
            if (q[i].returns < 0)
                continue;
            snprintf(route, sizeof route, "GET /channels/%d", i);
            if (q[i].sent >= 0 && q[i].sent <= now) {
                crier_ratelimit_sent(rl, &q[i].taken, now);
                q[i].sent = -1;
            }
            if (q[i].returns <= now) {
                struct crier_http_response res = {.status = 200,
                                                  .latency = now - q[i].started,
                                                  .connecting = net->connected > q[i].started
                                                                    ? net->connected - q[i].started
                                                                    : 0};
                if (net->clock)
                    crier_buf_printf(&res.headers,
                                     "x-ratelimit-reset: %.3f\nx-ratelimit-reset-after: 5.000\n",
                                     1790000005 + (double)q[i].written / 1e6);
                crier_ratelimit_answer(rl, route, q[i].taken, &res, now);
                crier_buf_fini(&res.headers);
                q[i].returns = -1;
                ended++;
                continue;
            }
            int64_t at = q[i].sent >= 0 ? q[i].sent : q[i].returns;
            next = at < next ? at : next;
        }
        while (asked < REQUESTS) {
            int64_t taken, at;
            snprintf(route, sizeof route, "GET /channels/%d", asked);
            at = crier_ratelimit_acquire(rl, route, now, &taken);
            if (at) {
                assert_true(at > now);
                next = at < next ? at : next;
                break;
            }
            int64_t out = now > net->connected ? now : net->connected;
            q[asked].started = now;
            q[asked].taken = taken;
            q[asked].sent = out;
            if (out > now)
                crier_ratelimit_unsent(rl, &q[asked].taken);
            q[asked].arrives = out + net->way + crier_rng_range(&rng, 0, net->jitter);
            q[asked].written = q[asked].arrives + net->skew + (asked > 500 ? net->step : 0);
            q[asked].returns = q[asked].arrives + crier_rng_range(&rng, 0, net->handling) +
                               net->way + crier_rng_range(&rng, 0, net->jitter);
            arrivals[asked] = q[asked].arrives;
            next = q[asked].returns < next ? q[asked].returns : next;
            asked++;
        }
        now = next > now ? next : now;
    }
    crier_ratelimit_free(rl);
    qsort(arrivals, REQUESTS, sizeof arrivals[0], by_time);
    for (int i = 50; i < REQUESTS; i++)
        assert_true(arrivals[i] - arrivals[i - 50] >= CRIER_S);
    return arrivals[REQUESTS - 1] - arrivals[0];
}

static void never_more_than_the_global_limit_in_any_second(void **state)
{
    (void)state;
    static const struct {
        struct net net;
        int percent; /* used of what is allowed, at least */
    } cases[] = {
        {{.way = CRIER_MS}, 99},
        {{.way = 10 * CRIER_MS, .jitter = 20 * CRIER_MS}, 96},
        {{.way = 10 * CRIER_MS, .jitter = 20 * CRIER_MS, .clock = true}, 97},
        {{.way = 75 * CRIER_MS, .jitter = 5 * CRIER_MS}, 97},
        {{.way = 60 * CRIER_MS, .jitter = 30 * CRIER_MS, .clock = true}, 96},
        {{.way = 800 * CRIER_MS, .jitter = 10 * CRIER_MS, .clock = true}, 89},
        /* Only the server's clock tells that its own slowness does not count. */
        {{.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .handling = 150 * CRIER_MS}, 88},
        {{.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .handling = 150 * CRIER_MS, .clock = true},
         97},
        /* It may be wrong by as much as it likes, and be set. */
        {{.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .clock = true, .skew = 3600 * CRIER_S},
         97},
        {{.way = 30 * CRIER_MS,
          .jitter = 10 * CRIER_MS,
          .clock = true,
          .skew = -86400 * CRIER_S,
          .step = 5 * CRIER_S},
         97},
        {{.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .clock = true, .step = -5 * CRIER_S}, 97},
        /* What waits for a connection arrives all at once. */
        {{.way = 30 * CRIER_MS,
          .jitter = 10 * CRIER_MS,
          .clock = true,
          .connected = 300 * CRIER_MS},
         97},
        {{.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .connected = 7 * CRIER_S}, 97},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            int64_t took = flood(&cases[i].net, seed);
            double used = (REQUESTS - 50) / 50.0 / ((double)took / 1e6);
            if (used * 100 < cases[i].percent)
                fail_msg("case %zu, seed %d: %.3f used", i, (int)seed, used);
        }
    }
}

static void without_a_connection_nobody_gets_the_place(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(2);
    int64_t taken[2], none;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crier_ratelimit_acquire(rl, i ? POST2 : POST1, 0, &taken[i]), 0);
        crier_ratelimit_unsent(rl, &taken[i]);
    }
    assert_int_equal(crier_ratelimit_global(rl, 100 * CRIER_S), CRIER_NEVER);
    assert_int_equal(crier_ratelimit_acquire(rl, "GET /guilds/1", 100 * CRIER_S, &none),
                     CRIER_NEVER);
    crier_ratelimit_sent(rl, &taken[0], 100 * CRIER_S);
    crier_ratelimit_sent(rl, &taken[0], 105 * CRIER_S); /* once */
    assert_in_range(crier_ratelimit_global(rl, 100 * CRIER_S), 101 * CRIER_S, 102 * CRIER_S);
    crier_ratelimit_lost(rl, POST2, taken[1], 100 * CRIER_S); /* refused, say */
    assert_int_equal(crier_ratelimit_global(rl, 100 * CRIER_S), 101 * CRIER_S);
    assert_int_equal(crier_ratelimit_acquire(rl, "POST /interactions/:id/:any/callback", 0, &none),
                     0);
    assert_int_equal(none, 0); /* not subject to it */
    crier_ratelimit_unsent(rl, &none);
    assert_int_equal(none, 0);
    crier_ratelimit_free(rl);
}

static void idle_buckets_are_forgotten(void **state)
{
    (void)state;
    struct crier_ratelimit *rl = crier_ratelimit_new(1000);
    struct crier_ratelimit_stats stats;
    int64_t now = 0;
    for (int i = 0; i < 20000; i++) {
        char route[40];
        snprintf(route, sizeof route, "POST /channels/%d/messages", i);
        assert_int_equal(acquire(rl, route, now), 0);
        limits(rl, route, "abc", 5, 4, 1.0, now + CRIER_MS);
        now += 100 * CRIER_MS;
    }
    crier_ratelimit_stats(rl, &stats);
    assert_in_range(stats.buckets, 1, 6700); /* eleven minutes of ten a second */
    crier_ratelimit_free(rl);
}

/* --- against a model of the server --------------------------------------------------------- */

struct server {
    int limit;
    int64_t window;
    bool ticks; /* windows at fixed times rather than from the first request */
    int64_t end;
    int used;
    int refused, served;
};

struct flight {
    const char *route;
    int64_t arrives, returns, started, taken;
    bool arrived, unanswered, broken, first;
    int status, remaining;
    double reset_after;
};

static void serve(struct server *s, struct flight *f)
{
    int64_t now = f->arrives;
    if (now >= s->end) {
        s->end = s->ticks ? (now / s->window + 1) * s->window : now + s->window;
        s->used = 0;
    }
    /* Nothing announces yet that two routes share a bucket: their first requests do not count. */
    if (f->first) {
        f->status = 200;
    } else if (s->used == s->limit) {
        s->refused++;
        f->status = 429;
    } else {
        s->used++;
        s->served++;
        f->status = f->broken ? 502 : 200;
    }
    f->remaining = s->limit - s->used;
    f->reset_after = (double)((s->end - now) / CRIER_MS) / 1000;
    f->arrived = true;
}

static void come_back(struct crier_ratelimit *rl, const struct server *s, const struct flight *f)
{
    if (f->unanswered) {
        crier_ratelimit_lost(rl, f->route, f->taken, f->returns);
        return;
    }
    struct crier_http_response res = {.status = f->status, .latency = f->returns - f->started};
    if (f->status != 502)
        crier_buf_printf(&res.headers,
                         "x-ratelimit-bucket: b\nx-ratelimit-limit: %d\n"
                         "x-ratelimit-remaining: %d\nx-ratelimit-reset-after: %.3f\n",
                         s->limit, f->remaining, f->reset_after);
    crier_ratelimit_answer(rl, f->route, f->taken, &res, f->returns);
    crier_buf_fini(&res.headers);
}

/* Ask for as much as is allowed for `windows` windows. */
static void run_model(struct server *s, struct crier_rng *rng, int64_t max_latency, bool faults,
                      int windows)
{
    enum { MAX = 256 };
    struct flight *fly = crier_calloc(MAX, sizeof *fly);
    int count = 0, asked[2] = {0};
    int64_t now = CRIER_S, stop = now + windows * s->window;
    struct crier_ratelimit *rl = crier_ratelimit_new(100000);
    const char *routes[] = {POST1, TYPING1};
    while (now < stop) {
        int64_t wake = CRIER_NEVER;
        for (int r = 0; r < (s->limit > 1 ? 2 : 1); r++) {
            for (int64_t at; count < MAX;) {
                int64_t taken;
                at = crier_ratelimit_acquire(rl, routes[r], now, &taken);
                if (at) {
                    assert_true(at > now);
                    wake = at < wake ? at : wake;
                    break;
                }
                struct flight *f = &fly[count++];
                *f = (struct flight){.route = routes[r], .started = now, .taken = taken};
                f->arrives = now + crier_rng_range(rng, 1, max_latency);
                f->returns = f->arrives + crier_rng_range(rng, 1, max_latency);
                f->first = asked[r]++ == 0;
                if (f->first)
                    continue;
                f->unanswered = faults && crier_rng_range(rng, 0, 30) == 0;
                f->broken = faults && crier_rng_range(rng, 0, 30) == 0;
            }
        }
        int64_t next = wake;
        for (int i = 0; i < count; i++) {
            int64_t at = fly[i].arrived ? fly[i].returns : fly[i].arrives;
            next = at < next ? at : next;
        }
        assert_true(next != CRIER_NEVER); /* never stuck */
        now = next;
        for (int i = 0; i < count; i++) {
            if (!fly[i].arrived && fly[i].arrives == now) {
                serve(s, &fly[i]);
            } else if (fly[i].arrived && fly[i].returns == now) {
                struct flight f = fly[i];
                fly[i--] = fly[--count];
                come_back(rl, s, &f);
            }
        }
    }
    crier_ratelimit_free(rl);
    free(fly);
}

static void a_model_server_never_answers_429(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 20261121);
    for (int trial = 0; trial < 400; trial++) {
        struct server s = {.limit = (int)crier_rng_range(&rng, 1, 12),
                           .window = crier_rng_range(&rng, 500, 8000) * CRIER_MS,
                           .ticks = trial & 1};
        bool faults = trial & 2;
        int64_t slow = s.window * crier_rng_range(&rng, 1, 150) / 100;
        run_model(&s, &rng, slow, faults, 40);
        if (s.refused)
            print_error("trial %d: limit %d window %lld ms latency %lld ms: %d refused\n", trial,
                        s.limit, (long long)s.window / 1000, (long long)slow / 1000, s.refused);
        assert_int_equal(s.refused, 0);
        assert_true(s.served > 0);
    }
}

static void what_the_bucket_allows_is_used(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 7);
    double worst = 1;
    for (int trial = 0; trial < 100; trial++) {
        struct server s = {.limit = (int)crier_rng_range(&rng, 1, 12),
                           .window = crier_rng_range(&rng, 2000, 10000) * CRIER_MS,
                           .ticks = trial & 1};
        run_model(&s, &rng, s.window / 100, false, 200);
        double used = (double)s.served / (200.0 * s.limit);
        worst = used < worst ? used : worst;
        assert_int_equal(s.refused, 0);
        assert_true(used >= 0.95);
    }
    print_message("worst utilisation: %.4f\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_keep_the_top_level_id),
        cmocka_unit_test(an_unknown_route_lets_one_through),
        cmocka_unit_test(a_route_without_limits_is_free),
        cmocka_unit_test(routes_of_one_hash_share_a_bucket),
        cmocka_unit_test(scopes_of_429),
        cmocka_unit_test(never_more_than_the_global_limit_in_any_second),
        cmocka_unit_test(without_a_connection_nobody_gets_the_place),
        cmocka_unit_test(idle_buckets_are_forgotten),
        cmocka_unit_test(a_model_server_never_answers_429),
        cmocka_unit_test(what_the_bucket_allows_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
