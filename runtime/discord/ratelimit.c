/* SPDX-License-Identifier: MIT */
#include "discord/ratelimit.h"

#include <ctype.h>
#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define IDLE (600 * CRIER_S)
#define SWEEP (60 * CRIER_S)
#define SECOND CRIER_S
/* Reset-After has three decimals. */
#define ROUNDING CRIER_MS
#define ON_THE_WAY (100 * CRIER_MS) /* what a request takes to the server at most, we suppose */
#define UNSENT (CRIER_NEVER - SECOND)
#define RECENT (30 * CRIER_S) /* how long the quickest one stands for the others, twice at most */

/* The window of a bucket ends at a moment R of the server's time that we know only within an
 * interval: the server wrote Reset-After somewhere between our start and the answer's arrival, so
 * R is in [start + reset_after, arrival + reset_after]. After reset_hi the window is over for
 * sure. What may still be started is remaining - unheard - in_flight, where `remaining` is the
 * lowest that any answer of this window reported (the newest state of the server that we know):
 * those under way may have been counted in it or not, and counting them twice is the safe side. */
struct bucket {
    char *key;
    int routes; /* that point here */
    int in_flight;
    bool known;   /* an answer told what holds here */
    bool limited; /* ... and it was a limit */
    int limit, remaining;
    int unheard;       /* ended without a word on the limit: the server may have counted them */
    int carried;       /* those of them that may count in the next window instead */
    int64_t silent_at; /* the last of the unheard ended then */
    int64_t reset_lo, reset_hi; /* 0: the window has not begun, or we do not know its end */
    int64_t window; /* longest Reset-After seen: what a window lasts, as far as we know */
    int64_t held;
};

struct route {
    struct bucket *bucket;
    int in_flight;
    bool counts; /* against the global limit */
    int64_t held;
    int64_t used;
};

/* The least of what was seen lately. */
struct least {
    int64_t now, before;
    int64_t since; /* `now` is of what was seen since then */
    int64_t usual; /* by how much others are above it, on average */
};

/* The global limit. The server counts a request when it arrives, some time between start and
 * answer. Each of per_second places is taken by one request after the other, a second apart at the
 * server: so no second there sees more than per_second, wherever the server's own seconds begin.
 *
 * What a request takes on its way at least, all of them take, and it shifts nothing; only by how
 * much one may have taken longer must its place stay empty. Two things bound that, both without
 * knowing how long the way is: by how much the answer came later than the quickest; and how late
 * the request was by the server's clock (X-RateLimit-Reset less Reset-After is when it wrote the
 * answer), compared to the one that was least late by it. Whoever took longest within the server is
 * late by the first only, and a server with several clocks, or one that is set, by the second only:
 * the lesser one holds. */
struct places {
    /* By when each request has arrived, less what all take: a ring in the order of these times, the
     * earliest at `taken`. Those of one time are interchangeable. */
    int64_t *arrived;
    uint64_t taken;
    struct least exchange, by_clock;
    int heard;
};

struct crier_ratelimit {
    GHashTable *routes;  /* name -> struct route */
    GHashTable *buckets; /* key -> struct bucket */
    int per_second;
    struct places places;
    int64_t held;
    int64_t swept;
    uint64_t hits_429, hits_shared;
};

static void bucket_free(void *p)
{
    struct bucket *b = p;
    g_free(b->key);
    free(b);
}

struct crier_ratelimit *crier_ratelimit_new(int global_per_second)
{
    struct crier_ratelimit *rl = crier_calloc(1, sizeof *rl);
    rl->routes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free);
    rl->buckets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, bucket_free);
    rl->per_second = global_per_second > 0 ? global_per_second : 50;
    rl->places.arrived = crier_calloc((size_t)rl->per_second, sizeof *rl->places.arrived);
    for (int i = 0; i < rl->per_second; i++)
        rl->places.arrived[i] = INT64_MIN / 2;
    rl->places.taken = (uint64_t)rl->per_second;
    rl->places.exchange = rl->places.by_clock = (struct least){INT64_MAX, INT64_MAX, 0, 0};
    return rl;
}

void crier_ratelimit_free(struct crier_ratelimit *rl)
{
    if (!rl)
        return;
    g_hash_table_destroy(rl->routes);
    g_hash_table_destroy(rl->buckets);
    free(rl->places.arrived);
    free(rl);
}

/* How many leading segments of a path make the top-level resource, its id included. */
static int top_segments(const char *first, size_t len)
{
    if ((len == 8 && memcmp(first, "channels", 8) == 0) ||
        (len == 6 && memcmp(first, "guilds", 6) == 0))
        return 2;
    if (len == 8 && memcmp(first, "webhooks", 8) == 0)
        return 3;
    return 0;
}

static bool all_digits(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return len > 0;
}

void crier_ratelimit_route(const char *method, const char *path, struct crier_buf *out)
{
    crier_buf_puts(out, method);
    crier_buf_putc(out, ' ');
    int top = 0, opaque = -1;
    const char *end = path + strcspn(path, "?");
    for (int i = 0; path < end; i++) {
        path += *path == '/';
        size_t len = (size_t)(end - path);
        const char *slash = memchr(path, '/', len);
        if (slash)
            len = (size_t)(slash - path);
        if (i == 0) {
            top = top_segments(path, len);
            if (len == 12 && memcmp(path, "interactions", 12) == 0)
                opaque = 2; /* the token */
        }
        crier_buf_putc(out, '/');
        if (i == opaque)
            crier_buf_puts(out, ":any");
        else if (i >= top && all_digits(path, len))
            crier_buf_puts(out, ":id");
        else
            crier_buf_append(out, path, len);
        if (len == 9 && memcmp(path, "reactions", 9) == 0)
            opaque = i + 1; /* the emoji */
        path += len;
    }
}

static struct bucket *bucket_get(struct crier_ratelimit *rl, const char *key)
{
    struct bucket *b = g_hash_table_lookup(rl->buckets, key);
    if (!b) {
        b = crier_calloc(1, sizeof *b);
        b->key = g_strdup(key);
        g_hash_table_insert(rl->buckets, b->key, b);
    }
    return b;
}

static struct route *route_get(struct crier_ratelimit *rl, const char *name)
{
    struct route *r = g_hash_table_lookup(rl->routes, name);
    if (!r) {
        r = crier_calloc(1, sizeof *r);
        r->bucket = bucket_get(rl, name);
        r->bucket->routes++;
        r->counts = strncmp(strchr(name, ' '), " /interactions/", 15) != 0;
        g_hash_table_insert(rl->routes, g_strdup(name), r);
    }
    return r;
}

static void bucket_leave(struct crier_ratelimit *rl, struct bucket *b)
{
    if (--b->routes == 0)
        g_hash_table_remove(rl->buckets, b->key);
}

static void route_move(struct crier_ratelimit *rl, struct route *r, const char *key)
{
    struct bucket *old = r->bucket, *b = bucket_get(rl, key);
    if (b == old)
        return;
    old->in_flight -= r->in_flight;
    b->in_flight += r->in_flight;
    b->routes++;
    r->bucket = b;
    bucket_leave(rl, old);
}

static void sweep(struct crier_ratelimit *rl, int64_t now)
{
    if (now - rl->swept < SWEEP)
        return;
    rl->swept = now;
    GHashTableIter it;
    void *value;
    g_hash_table_iter_init(&it, rl->routes);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct route *r = value;
        struct bucket *b = r->bucket;
        if (r->in_flight || now - r->used < IDLE || r->held > now || b->held > now ||
            b->reset_hi > now)
            continue;
        bucket_leave(rl, b);
        g_hash_table_iter_remove(&it);
    }
}

/* The place of the n-th one from the start, of which the last per_second are kept. */
static int64_t *place(const struct crier_ratelimit *rl, uint64_t n)
{
    return &rl->places.arrived[n % (uint64_t)rl->per_second];
}

static void place_set(struct crier_ratelimit *rl, uint64_t n, int64_t at)
{
    uint64_t last = rl->places.taken - 1, first = rl->places.taken - (uint64_t)rl->per_second;
    for (; n > first && *place(rl, n - 1) > at; n--)
        *place(rl, n) = *place(rl, n - 1);
    for (; n < last && *place(rl, n + 1) < at; n++)
        *place(rl, n) = *place(rl, n + 1);
    *place(rl, n) = at;
}

/* Nothing when another has taken it since. */
static void place_move(struct crier_ratelimit *rl, int64_t from, int64_t to)
{
    uint64_t n = rl->places.taken - 1, first = rl->places.taken - (uint64_t)rl->per_second;
    while (n > first && *place(rl, n) > from)
        n--;
    if (*place(rl, n) == from)
        place_set(rl, n, to);
}

int64_t crier_ratelimit_global(const struct crier_ratelimit *rl, int64_t now)
{
    int64_t at = *place(rl, rl->places.taken);
    if (at == UNSENT)
        return CRIER_NEVER;
    at += SECOND;
    if (at < rl->held)
        at = rl->held;
    return at > now ? at : 0;
}

void crier_ratelimit_unsent(struct crier_ratelimit *rl, int64_t *taken)
{
    if (*taken)
        place_move(rl, *taken, UNSENT);
    *taken = *taken ? UNSENT : 0;
}

void crier_ratelimit_sent(struct crier_ratelimit *rl, int64_t *taken, int64_t now)
{
    if (*taken != UNSENT)
        return;
    *taken = now + ON_THE_WAY;
    place_move(rl, UNSENT, *taken);
}

static void roll_over(struct bucket *b, int64_t now)
{
    if (!b->reset_hi || now < b->reset_hi)
        return;
    b->remaining = b->limit;
    b->reset_lo = b->reset_hi = 0;
    b->unheard = b->carried;
    b->carried = 0;
}

int64_t crier_ratelimit_acquire(struct crier_ratelimit *rl, const char *route, int64_t now,
                                int64_t *taken)
{
    *taken = 0;
    sweep(rl, now);
    struct route *r = route_get(rl, route);
    struct bucket *b = r->bucket;
    r->used = now;
    int64_t held = r->held > b->held ? r->held : b->held;
    if (held > now)
        return held;
    roll_over(b, now);
    bool go =
        b->known ? !b->limited || b->remaining - b->unheard > b->in_flight : b->in_flight == 0;
    if (!go && b->reset_hi)
        return b->reset_hi;
    if (!go && b->in_flight)
        return CRIER_NEVER;
    if (!go) {
        /* Nothing under way will tell when the window ends that the unheard ones began. */
        if (b->silent_at + b->window > now)
            return b->silent_at + b->window;
        b->unheard = b->carried = 0;
    }
    if (r->counts) {
        int64_t global = crier_ratelimit_global(rl, now);
        if (global)
            return global;
        *taken = now + ON_THE_WAY;
        place_set(rl, rl->places.taken++, *taken);
    }
    r->in_flight++;
    b->in_flight++;
    return 0;
}

static bool header_number(const struct crier_http_response *res, const char *name, double below,
                          double *out)
{
    char text[32], *end;
    if (!crier_http_header(res, name, text, sizeof text))
        return false;
    /* Few digits and a point, nearly always. */
    static const double tens[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    uint64_t digits = 0;
    unsigned decimals = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++)
        digits = digits * 10 + (uint64_t)(*p - '0');
    for (p += *p == '.'; *p >= '0' && *p <= '9'; p++, decimals++)
        digits = digits * 10 + (uint64_t)(*p - '0');
    if (*p || p == text || p - text > 15 || decimals > 6) {
        *out = strtod(text, &end);
        return end != text && *out >= 0 && *out < below;
    }
    *out = (double)digits / tens[decimals];
    return *out < below;
}

static json_t *body_json(const struct crier_http_response *res)
{
    return res->body.len ? json_loadb(res->body.data, res->body.len, 0, NULL) : NULL;
}

int64_t crier_ratelimit_retry_after(const struct crier_http_response *res)
{
    json_t *body = body_json(res);
    json_t *value = json_object_get(body, "retry_after");
    double seconds = json_is_number(value) ? json_number_value(value) : -1;
    json_decref(body);
    if (!(seconds >= 0 && seconds < 1e9) && !header_number(res, "retry-after", 1e9, &seconds))
        return -1;
    return (int64_t)(seconds * CRIER_S);
}

static void learn(struct bucket *b, int limit, int remaining, int64_t reset_after, int64_t now,
                  int64_t latency)
{
    int64_t lo = now - latency + reset_after - ROUNDING;
    int64_t hi = now + reset_after + ROUNDING;
    bool first = !b->known || !b->limited;
    b->known = b->limited = true;
    b->limit = limit;
    if (b->window < reset_after)
        b->window = reset_after;
    if (first || (b->reset_hi && lo > b->reset_hi)) { /* the next window for sure */
        b->remaining = remaining;
        b->reset_lo = lo;
        b->reset_hi = hi;
        b->unheard = b->carried;
        b->carried = 0;
        return;
    }
    if (hi < b->reset_lo) /* a late answer from a window that is over */
        return;
    if (remaining < b->remaining)
        b->remaining = remaining;
    if (lo > b->reset_lo)
        b->reset_lo = lo;
    if (hi > b->reset_hi)
        b->reset_hi = hi;
}

static void unheard(struct bucket *b, int64_t now)
{
    roll_over(b, now);
    b->unheard++;
    b->silent_at = now;
    if (b->reset_hi && now > b->reset_lo)
        b->carried++;
}

static int64_t limited(struct crier_ratelimit *rl, struct route *r,
                       const struct crier_http_response *res, int64_t now)
{
    char scope[16] = "", flag[8] = "";
    crier_http_header(res, "x-ratelimit-scope", scope, sizeof scope);
    crier_http_header(res, "x-ratelimit-global", flag, sizeof flag);
    json_t *body = body_json(res);
    bool global = strcmp(scope, "global") == 0 || strcasecmp(flag, "true") == 0 ||
                  json_is_true(json_object_get(body, "global"));
    json_decref(body);
    int64_t wait = crier_ratelimit_retry_after(res);
    int64_t until = now + (wait < 0 ? SECOND : wait) + ROUNDING;
    int64_t *held = global ? &rl->held : &r->bucket->held;
    if (strcmp(scope, "shared") == 0) {
        rl->hits_shared++;
        held = &r->held;
    } else {
        rl->hits_429++;
    }
    if (*held < until)
        *held = until;
    return until;
}

/* By how much more a time is than the least of the last minute or so, at most: the more times
 * differ, the less was the least one seen. */
static int64_t above_least(struct least *l, int64_t time, int64_t now)
{
    if (now - l->since > RECENT) {
        l->before = l->now;
        l->now = time;
        l->since = now;
    }
    if (l->now > time)
        l->now = time;
    int64_t above = time - (l->now < l->before ? l->now : l->before);
    l->usual += (above - l->usual) / 32;
    return above + l->usual / 8;
}

/* By how much a request that was just answered may have taken longer on its way than others. */
static int64_t slower(struct places *p, const struct crier_http_response *res, int64_t now)
{
    int64_t exchange = res->latency - res->connecting;
    int64_t late = above_least(&p->exchange, exchange, now);
    double reset, after;
    if (header_number(res, "x-ratelimit-reset", 1e11, &reset) &&
        header_number(res, "x-ratelimit-reset-after", 1e9, &after)) {
        int64_t written = (int64_t)((reset - after) * CRIER_S);
        int64_t by_clock = above_least(&p->by_clock, written - (now - exchange), now);
        late = by_clock < late ? by_clock : late;
    }
    return late + 2 * ROUNDING;
}

static int64_t arrived(struct places *p, int per_second, const struct crier_http_response *res,
                       int64_t now)
{
    int64_t at = now - (res->latency - res->connecting) + slower(p, res, now);
    bool enough = ++p->heard > per_second; /* to know what is quick */
    return enough && at < now ? at : now;
}

int64_t crier_ratelimit_answer(struct crier_ratelimit *rl, const char *route, int64_t taken,
                               const struct crier_http_response *res, int64_t now)
{
    struct route *r = route_get(rl, route);
    int64_t at = arrived(&rl->places, rl->per_second, res, now);
    if (taken)
        place_move(rl, taken, at);
    r->used = now;
    r->in_flight--;
    r->bucket->in_flight--;

    char hash[96];
    if (crier_http_header(res, "x-ratelimit-bucket", hash, sizeof hash)) {
        /* "POST /channels/123/messages": method and top-level resource make the key. */
        const char *space = strchr(route, ' '), *end = space;
        int segments = top_segments(space + 2, strcspn(space + 2, "/"));
        for (int i = 0; i < segments && end; i++)
            end = strchr(end + (i ? 1 : 2), '/');
        size_t len = end ? (size_t)(end - route) : strlen(route);
        struct crier_buf key = {0};
        crier_buf_puts(&key, hash);
        crier_buf_putc(&key, ' ');
        crier_buf_append(&key, route, len);
        route_move(rl, r, key.data);
        crier_buf_fini(&key);
    }
    struct bucket *b = r->bucket;
    double limit, remaining, reset_after;
    if (header_number(res, "x-ratelimit-limit", 1e9, &limit) &&
        header_number(res, "x-ratelimit-remaining", 1e9, &remaining) &&
        header_number(res, "x-ratelimit-reset-after", 1e9, &reset_after)) {
        roll_over(b, now);
        learn(b, (int)limit, (int)remaining, (int64_t)(reset_after * CRIER_S), now, res->latency);
    } else if (b->limited) {
        unheard(b, now);
    } else if (res->status >= 200 && res->status < 300) {
        b->known = true; /* a route without a limit of its own */
    }
    return res->status == 429 ? limited(rl, r, res, now) : 0;
}

void crier_ratelimit_hold(struct crier_ratelimit *rl, const char *route, int64_t until)
{
    int64_t *held = route ? &route_get(rl, route)->held : &rl->held;
    if (*held < until)
        *held = until;
}

void crier_ratelimit_lost(struct crier_ratelimit *rl, const char *route, int64_t taken, int64_t now)
{
    struct route *r = route_get(rl, route);
    if (taken)
        place_move(rl, taken, now);
    r->used = now;
    r->in_flight--;
    r->bucket->in_flight--;
    if (r->bucket->limited)
        unheard(r->bucket, now);
}

void crier_ratelimit_stats(const struct crier_ratelimit *rl, struct crier_ratelimit_stats *out)
{
    out->hits_429 = rl->hits_429;
    out->hits_shared = rl->hits_shared;
    out->buckets = g_hash_table_size(rl->buckets);
}
