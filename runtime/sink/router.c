/* SPDX-License-Identifier: MIT */
#include "sink/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "sink/console.h"

#define FAULT_EVERY CRIER_S
#define SEEN_WORDS 4

struct rule {
    struct crier_rule pub;
    size_t *slots;      /* of pub.to, in router->sinks */
    int64_t fault_told; /* time of the record; INT64_MIN: never */
};

struct crier_router {
    struct crier_sink **sinks;
    size_t sink_count;
    struct rule *rules;
    size_t rule_count;
    unsigned inside; /* rules' functions, or the fault callback, on the stack */
    void (*on_fault)(void *arg, const struct crier_rule *rule, const struct crier_err *err);
    void *fault_arg;
};

/* One record on its way: which sinks have it already. On the stack, because a rule's function may
 * log, and so send another record through the same router. */
struct way {
    struct crier_record *record;
    uint64_t small[SEEN_WORDS], *seen;
    size_t sent;
};

struct crier_router *crier_router_new(void)
{
    return crier_calloc(1, sizeof(struct crier_router));
}

void crier_router_free(struct crier_router *router)
{
    if (!router)
        return;
    for (size_t i = 0; i < router->rule_count; i++) {
        struct rule *rule = &router->rules[i];
        for (size_t k = 0; k < rule->pub.to_count; k++)
            crier_sink_unref(rule->pub.to[k]);
        if (rule->pub.free_arg)
            rule->pub.free_arg(rule->pub.arg);
        crier_query_free(rule->pub.query);
        free(rule->pub.to);
        free(rule->pub.where);
        free(rule->slots);
    }
    for (size_t i = 0; i < router->sink_count; i++)
        crier_sink_unref(router->sinks[i]);
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
    r->slots = crier_calloc(rule->to_count + 1, sizeof *r->slots);
    for (size_t i = 0; i < rule->to_count; i++)
        r->slots[i] = slot_of(router, rule->to[i]);
    *rule = (struct crier_rule){0};
}

void crier_router_on_fault(struct crier_router *router,
                           void (*fn)(void *arg, const struct crier_rule *rule,
                                      const struct crier_err *err),
                           void *arg)
{
    router->on_fault = fn;
    router->fault_arg = arg;
}

static void give(struct crier_router *router, struct way *way, size_t slot)
{
    uint64_t bit = 1ULL << (slot & 63);
    if (way->seen[slot >> 6] & bit)
        return;
    way->seen[slot >> 6] |= bit;
    way->sent++;
    crier_sink_push(router->sinks[slot], way->record);
}

static void default_route(struct crier_router *router, struct way *way)
{
    for (size_t i = 0; i < router->sink_count; i++)
        if (crier_sink_takes(router->sinks[i], way->record))
            give(router, way, i);
}

static void fault(struct crier_router *router, struct rule *rule, const struct way *way,
                  const struct crier_err *err)
{
    int64_t time = crier_record_time(way->record);
    bool soon = rule->fault_told != INT64_MIN && time >= rule->fault_told &&
                time - rule->fault_told < FAULT_EVERY;
    if (soon || !router->on_fault)
        return;
    rule->fault_told = time;
    router->inside++;
    router->on_fault(router->fault_arg, &rule->pub, err);
    router->inside--;
}

/* 1, 0, or negative: the rule's function has failed. */
static int matches(struct crier_router *router, struct rule *rule, const struct way *way,
                   bool matched, struct crier_err *err)
{
    if (rule->pub.query)
        return crier_query_match(rule->pub.query, way->record);
    if (rule->pub.otherwise)
        return !matched;
    if (!rule->pub.match)
        return 1;
    router->inside++;
    int rc = rule->pub.match(rule->pub.arg, way->record, err);
    router->inside--;
    return rc;
}

/* A record that tells of a routing fault, or that a rule's function has logged itself, meets no
 * rule's function again. */
static bool without_functions(const struct crier_router *router, const struct crier_record *record)
{
    struct crier_str logger = crier_record_logger(record);
    return router->inside > 0 || (crier_record_kind(record) == CRIER_KIND_SYSTEM &&
                                  logger.len == 6 && memcmp(logger.data, "router", 6) == 0);
}

static void route(struct crier_router *router, struct way *way)
{
    bool matched = false, skipped = false;
    bool plain = without_functions(router, way->record);
    for (size_t i = 0; i < router->rule_count; i++) {
        struct rule *rule = &router->rules[i];
        struct crier_err err = {0};
        if (plain && rule->pub.match) {
            skipped = true;
            continue;
        }
        int rc = matches(router, rule, way, matched, &err);
        if (rc < 0) {
            default_route(router, way);
            fault(router, rule, way, &err);
            return;
        }
        if (rc == 0)
            continue;
        rule->pub.hits++;
        matched |= !rule->pub.copy;
        for (size_t k = 0; k < rule->pub.to_count; k++)
            if (crier_sink_takes_routed(rule->pub.to[k], way->record))
                give(router, way, rule->slots[k]);
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

struct crier_sink *crier_router_send(struct crier_router *router, struct crier_record *record)
{
    struct way way = {.record = record};
    size_t words = (router->sink_count + 63) / 64;
    way.seen = words > SEEN_WORDS ? crier_calloc(words, sizeof *way.seen) : way.small;
    if (router->rule_count == 0)
        default_route(router, &way);
    else
        route(router, &way);
    if (way.sent == 0)
        to_stderr(record);
    if (way.seen != way.small)
        free(way.seen);
    return NULL;
}
