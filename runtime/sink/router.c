/* SPDX-License-Identifier: MIT */
#include "sink/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/duration.h"
#include "record/build.h"
#include "sink/console.h"
#include "sink/limit.h"

#define FAULT_EVERY CRIER_S
#define SEEN_WORDS 4

struct rule {
    struct crier_rule pub;
    size_t *slots;      /* of pub.to, in router->sinks */
    int64_t fault_told; /* time of the record; INT64_MIN: never */
    struct crier_dedupe *alike;
    struct crier_bucket bucket;
    uint64_t untold; /* left out by `rate` since the last note */
    int64_t tell_at; /* when that is told */
};

struct transform {
    struct crier_transform pub;
    int64_t fault_told;
};

struct crier_router {
    struct crier_sink **sinks;
    size_t sink_count;
    struct rule *rules;
    size_t rule_count;
    struct transform *transforms;
    size_t transform_count;
    const struct crier_sink *spared;
    bool spare_scripts;
    bool busy; /* a record or a note is on its way: others wait in `later` */
    struct crier_record **later;
    size_t later_at, later_count, later_cap;
    struct crier_builder builder;
    void (*on_note)(void *arg, const struct crier_router_note *note);
    void *note_arg;
    void (*on_due)(void *arg, int64_t within);
    void *due_arg;
    void (*on_record)(void *arg, const struct crier_router *router, struct crier_record *record,
                      const void *to);
    void *record_arg;
};

/* One record on its way: which sinks have it already. */
struct way {
    struct crier_record *record;
    bool plain; /* no functions, no limits */
    uint64_t small[SEEN_WORDS], *seen;
    size_t sent;
    bool left_out;
    struct crier_sink *full;
};

bool crier_rule_parse_rate(const char *text, struct crier_rule *rule)
{
    const char *slash = strchr(text, '/');
    size_t digits = strspn(text, "0123456789");
    if (!slash || digits == 0 || digits > 9 || text + digits != slash ||
        crier_duration_parse(slash + 1, &rule->per, NULL) != 0 || rule->per == 0)
        return false;
    rule->rate = strtoull(text, NULL, 10);
    return rule->rate > 0;
}

struct crier_router *crier_router_new(void)
{
    struct crier_router *router = crier_calloc(1, sizeof *router);
    crier_builder_init(&router->builder, NULL);
    return router;
}

static void free_rule(struct rule *rule)
{
    for (size_t k = 0; k < rule->pub.to_count; k++)
        crier_sink_unref(rule->pub.to[k]);
    if (rule->pub.free_arg)
        rule->pub.free_arg(rule->pub.arg);
    crier_query_free(rule->pub.query);
    crier_query_free(rule->pub.unless);
    crier_dedupe_free(rule->alike);
    free(rule->pub.to);
    free(rule->pub.where);
    free(rule->slots);
}

void crier_router_free(struct crier_router *router)
{
    if (!router)
        return;
    for (size_t i = 0; i < router->rule_count; i++)
        free_rule(&router->rules[i]);
    for (size_t i = 0; i < router->transform_count; i++) {
        struct crier_transform *t = &router->transforms[i].pub;
        if (t->free_arg)
            t->free_arg(t->arg);
        free(t->where);
    }
    for (size_t i = 0; i < router->sink_count; i++)
        crier_sink_unref(router->sinks[i]);
    for (size_t i = router->later_at; i < router->later_count; i++)
        crier_record_unref(router->later[i]);
    crier_builder_fini(&router->builder);
    free(router->later);
    free(router->transforms);
    free(router->rules);
    free(router->sinks);
    free(router);
}

static size_t slot_of(struct crier_router *router, struct crier_sink *sink)
{
    size_t i = 0;
    while (i < router->sink_count && router->sinks[i] != sink)
        i++;
    if (i == router->sink_count) {
        router->sinks =
            crier_realloc(router->sinks, (router->sink_count + 1) * sizeof *router->sinks);
        router->sinks[router->sink_count++] = crier_sink_ref(sink);
    }
    return i;
}

void crier_router_add_sink(struct crier_router *router, struct crier_sink *sink)
{
    slot_of(router, sink);
}

void crier_router_add_rule(struct crier_router *router, struct crier_rule *rule)
{
    router->rules = crier_realloc(router->rules, (router->rule_count + 1) * sizeof *router->rules);
    struct rule *r = &router->rules[router->rule_count++];
    *r = (struct rule){.pub = *rule, .fault_told = INT64_MIN};
    if (rule->dedupe)
        r->alike = crier_dedupe_new(rule->dedupe, CRIER_DEDUPE_MAX);
    r->slots = crier_calloc(rule->to_count + 1, sizeof *r->slots);
    for (size_t i = 0; i < rule->to_count; i++)
        r->slots[i] = slot_of(router, rule->to[i]);
    *rule = (struct crier_rule){0};
}

void crier_router_add_transform(struct crier_router *router, struct crier_transform *transform)
{
    router->transforms = crier_realloc(router->transforms, (router->transform_count + 1) *
                                                               sizeof *router->transforms);
    router->transforms[router->transform_count++] =
        (struct transform){.pub = *transform, .fault_told = INT64_MIN};
    *transform = (struct crier_transform){0};
}

const struct crier_rule *crier_router_rule(const struct crier_router *router, size_t i)
{
    return i < router->rule_count ? &router->rules[i].pub : NULL;
}

const struct crier_transform *crier_router_transform(const struct crier_router *router, size_t i)
{
    return i < router->transform_count ? &router->transforms[i].pub : NULL;
}

void crier_router_on_note(struct crier_router *router,
                          void (*fn)(void *arg, const struct crier_router_note *note), void *arg)
{
    router->on_note = fn;
    router->note_arg = arg;
}

void crier_router_on_due(struct crier_router *router, void (*fn)(void *arg, int64_t within),
                         void *arg)
{
    router->on_due = fn;
    router->due_arg = arg;
}

/* --- notes ------------------------------------------------------------------------------- */

static void fault(struct crier_router *router, int64_t *told, int64_t time,
                  const struct crier_router_note *note)
{
    bool soon = *told != INT64_MIN && time >= *told && time - *told < FAULT_EVERY;
    if (soon || !router->on_note)
        return;
    *told = time;
    router->on_note(router->note_arg, note);
}

static void tell_rate(struct crier_router *router, struct rule *rule)
{
    struct crier_router_note note = {.what = CRIER_NOTE_RATE,
                                     .where = rule->pub.where,
                                     .left_out = rule->untold,
                                     .rate = rule->pub.rate,
                                     .per = rule->pub.per};
    rule->untold = 0;
    if (router->on_note)
        router->on_note(router->note_arg, &note);
}

/* --- one record -------------------------------------------------------------------------- */

static void give(struct crier_router *router, struct way *way, size_t slot,
                 struct crier_record *record, bool now)
{
    struct crier_sink *sink = router->sinks[slot];
    uint64_t bit = 1ULL << (slot & 63);
    if (way->seen[slot >> 6] & bit || sink == router->spared ||
        (router->spare_scripts && crier_sink_driver_of(sink)->script))
        return;
    way->seen[slot >> 6] |= bit;
    way->sent++;
    crier_sink_push(sink, record);
    if (now)
        crier_sink_hurry(sink);
    if (!way->full && crier_sink_is_full(sink))
        way->full = sink;
}

static void default_route(struct crier_router *router, struct way *way)
{
    for (size_t i = 0; i < router->sink_count; i++)
        if (crier_sink_takes(router->sinks[i], way->record))
            give(router, way, i, way->record, false);
}

/* 1, 0, or negative: the rule's function has failed. */
static int matches(struct rule *rule, const struct way *way, bool matched, struct crier_err *err)
{
    int unless = rule->pub.unless ? crier_query_try(rule->pub.unless, way->record, err) : 0;
    if (unless)
        return unless < 0 ? unless : 0;
    if (rule->pub.query)
        return crier_query_try(rule->pub.query, way->record, err);
    if (rule->pub.otherwise)
        return !matched;
    return rule->pub.match ? rule->pub.match(rule->pub.arg, way->record, err) : 1;
}

static struct crier_record *with_count(struct crier_router *router,
                                       const struct crier_record *record, uint64_t n)
{
    struct crier_stored who;
    crier_build_copy(&router->builder, record, &who);
    crier_build_remove(&router->builder, "repeated", 8);
    CRIER_B_INT(&router->builder, "repeated", (int64_t)n);
    return crier_build_restore(&router->builder, &who);
}

/* What the rule sends of a record that it matches: the record, a copy that tells how many like it
 * were left out, or NULL. A reference for the caller. What `rate` leaves out begins no window of
 * `dedupe`: else nobody would hear of it until that is over. */
static struct crier_record *limit(struct crier_router *router, struct rule *rule,
                                  struct crier_record *record)
{
    const struct crier_rule *pub = &rule->pub;
    int64_t time = crier_record_time(record);
    uint64_t key = 0, repeated = 0;
    if (pub->sample > 0 && !crier_sampled(record, pub->sample)) {
        rule->pub.sampled++;
        return NULL;
    }
    if (rule->alike && crier_dedupe_is_alike(rule->alike, record, &key)) {
        rule->pub.alike++;
        return NULL;
    }
    if (pub->rate && !crier_bucket_take(&rule->bucket, pub->rate, pub->per, time)) {
        rule->pub.above++;
        if (rule->untold++ == 0) {
            rule->tell_at = time + pub->per;
            if (router->on_due)
                router->on_due(router->due_arg, pub->per);
        }
        return NULL;
    }
    if (rule->alike)
        repeated = crier_dedupe_pass(rule->alike, key, time);
    return repeated ? with_count(router, record, repeated) : crier_record_ref(record);
}

static void send_on(struct crier_router *router, struct rule *rule, struct way *way)
{
    const struct crier_rule *pub = &rule->pub;
    bool limited = !way->plain && (pub->sample > 0 || pub->dedupe || pub->rate);
    struct crier_record *record = limited ? limit(router, rule, way->record) : way->record;
    if (!record) {
        way->left_out = true;
        return;
    }
    for (size_t k = 0; k < pub->to_count; k++)
        if (crier_sink_takes_routed(pub->to[k], record))
            give(router, way, rule->slots[k], record, pub->now);
    if (limited)
        crier_record_unref(record);
}

static void route(struct crier_router *router, struct way *way)
{
    bool matched = false, skipped = false;
    for (size_t i = 0; i < router->rule_count; i++) {
        struct rule *rule = &router->rules[i];
        struct crier_err err = {0};
        if (way->plain && rule->pub.match) {
            skipped = true;
            continue;
        }
        int rc = matches(rule, way, matched, &err);
        if (rc < 0) {
            default_route(router, way);
            fault(router, &rule->fault_told, crier_record_time(way->record),
                  &(struct crier_router_note){
                      .what = CRIER_NOTE_RULE, .where = rule->pub.where, .text = err.text});
            return;
        }
        if (rc == 0)
            continue;
        rule->pub.hits++;
        matched |= !rule->pub.copy;
        send_on(router, rule, way);
    }
    if (skipped && !matched)
        default_route(router, way);
}

static void to_stderr(const struct crier_record *record)
{
    struct crier_buf b = {0};
    if (crier_record_level(record) < CRIER_LEVEL_WARNING)
        return;
    crier_console_line(record, NULL, false, &b);
    fwrite(b.data, 1, b.len, stderr);
    crier_buf_fini(&b);
}

static struct crier_sink *send_one(struct crier_router *router, struct crier_record *record,
                                   bool plain)
{
    struct way way = {.record = record, .plain = plain};
    size_t words = (router->sink_count + 63) / 64;
    way.seen = words > SEEN_WORDS ? crier_calloc(words, sizeof *way.seen) : way.small;
    if (router->rule_count == 0)
        default_route(router, &way);
    else
        route(router, &way);
    if (way.sent == 0 && !way.left_out)
        to_stderr(record);
    if (router->on_record)
        router->on_record(router->record_arg, router, record, way.seen);
    if (way.seen != way.small)
        free(way.seen);
    return way.full;
}

/* What was sent meanwhile, if it comes before this `seq`. It meets no function, so it makes no more
 * of it. */
static void send_later(struct crier_router *router, uint64_t before)
{
    while (router->later_at < router->later_count) {
        struct crier_record *record = router->later[router->later_at];
        if (crier_record_seq(record) >= before)
            return;
        router->later_at++;
        send_one(router, record, true);
        crier_record_unref(record);
    }
    router->later_at = router->later_count = 0;
}

/* Through the transforms from the i-th on, then to the rules. */
static struct crier_sink *transform(struct crier_router *router, struct crier_record *record,
                                    size_t i)
{
    struct crier_record *out[CRIER_SPLIT_MAX];
    struct crier_sink *full = NULL;
    struct crier_err err = {0};
    if (i == router->transform_count) {
        /* A part of a record that was split may be younger than what its transform has logged. */
        if (router->later_count)
            send_later(router, crier_record_seq(record));
        return send_one(router, record, false);
    }
    struct transform *t = &router->transforms[i];
    t->pub.hits++;
    int n = t->pub.apply(t->pub.arg, record, out, &err);
    if (n < 0) {
        fault(router, &t->fault_told, crier_record_time(record),
              &(struct crier_router_note){
                  .what = CRIER_NOTE_TRANSFORM, .where = t->pub.where, .text = err.text});
        return transform(router, record, i + 1);
    }
    if (n == 0)
        t->pub.dropped++;
    for (int k = 0; k < n; k++) {
        struct crier_sink *one = transform(router, out[k], i + 1);
        full = full ? full : one;
        crier_record_unref(out[k]);
    }
    return full;
}

static void keep_for_later(struct crier_router *router, struct crier_record *record)
{
    if (router->later_count == router->later_cap) {
        router->later_cap = router->later_cap ? router->later_cap * 2 : 8;
        router->later =
            crier_realloc(router->later, router->later_cap * sizeof(struct crier_record *));
    }
    router->later[router->later_count++] = crier_record_ref(record);
}

void crier_router_on_record(struct crier_router *router,
                            void (*fn)(void *arg, const struct crier_router *router,
                                       struct crier_record *record, const void *to),
                            void *arg)
{
    router->on_record = fn;
    router->record_arg = arg;
}

bool crier_router_gave(const struct crier_router *router, const void *to, const char *name)
{
    const uint64_t *seen = to;
    for (size_t i = 0; i < router->sink_count; i++)
        if ((seen[i >> 6] >> (i & 63) & 1) && strcmp(crier_sink_name(router->sinks[i]), name) == 0)
            return true;
    return false;
}

void crier_router_spare(struct crier_router *router, const struct crier_sink *sink, bool scripts)
{
    if (router->busy)
        return;
    router->spared = sink;
    router->spare_scripts = scripts;
}

struct crier_sink *crier_router_send(struct crier_router *router, struct crier_record *record)
{
    if (router->busy) {
        keep_for_later(router, record);
        return NULL;
    }
    router->busy = true;
    struct crier_sink *full = transform(router, record, 0);
    if (router->later_count)
        send_later(router, UINT64_MAX);
    router->busy = false;
    return full;
}

int64_t crier_router_tell(struct crier_router *router, int64_t wall, bool all)
{
    int64_t next = CRIER_NEVER;
    if (router->busy)
        return next;
    router->busy = true;
    for (size_t i = 0; i < router->rule_count; i++) {
        struct rule *rule = &router->rules[i];
        if (!rule->untold)
            continue;
        /* Not later than a whole window from now, whatever was done to the clock. */
        int64_t left = rule->tell_at - wall;
        if (all || left <= 0 || left > rule->pub.per)
            tell_rate(router, rule);
        else if (left < next)
            next = left;
    }
    send_later(router, UINT64_MAX);
    router->busy = false;
    return next;
}
