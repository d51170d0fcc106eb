/* SPDX-License-Identifier: MIT */
#include "discord/gateway.h"
#include "discord/view.h"

#include <stdlib.h>

enum { THREAD_FIRST = 10, THREAD_LAST = 12 }; /* REST's list of channels has no threads */

struct by_gateway {
    struct crier_view base;
    struct crier_view *rest;
    struct crier_loop *loop;
    struct crier_gateway *(*gateway)(void *arg);
    void *arg;
};

/* --- guilds --------------------------------------------------------------------------------- */

static bool add_guild(void *arg, const struct crier_cached_guild *g)
{
    struct crier_seen_guilds *seen = arg;
    seen->list[seen->count++] = (struct crier_seen_guild){g->id, (char *)g->name};
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct crier_seen_guild *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void guilds(struct crier_view *view, int64_t max_age, crier_guilds_done *done, void *arg)
{
    struct by_gateway *v = CRIER_CONTAINER(view, struct by_gateway, base);
    struct crier_gateway *g = v->gateway(v->arg);
    if (!g || !crier_gateway_knows(g, 0)) {
        v->rest->ops->guilds(v->rest, max_age, done, arg);
        return;
    }
    struct crier_gateway_cache_stats stats;
    struct crier_seen_guilds seen = {0};
    crier_gateway_cache_stats(crier_gateway_cache(g), &stats);
    seen.list = crier_calloc(stats.guilds + 1, sizeof *seen.list);
    crier_gateway_cache_guilds(crier_gateway_cache(g), add_guild, &seen);
    qsort(seen.list, seen.count, sizeof *seen.list, by_id); /* as REST has them */
    done(arg, &seen, NULL);
    free(seen.list);
}

/* --- channels ------------------------------------------------------------------------------- */

struct reading {
    struct crier_gateway_cache *cache;
    struct crier_seen_channels seen;
    int *positions; /* of the channels in the list */
    int64_t now;
};

static uint64_t may(const struct reading *r, uint64_t channel)
{
    uint64_t bits = UINT64_MAX;
    if (!crier_gateway_cache_permissions(r->cache, channel, r->now, &bits))
        return UINT64_MAX;
    if (!(bits & CRIER_MAY_SEND_MESSAGES)) /* which these need */
        bits &= ~(uint64_t)(CRIER_MAY_EMBED_LINKS | CRIER_MAY_ATTACH_FILES | 1 << 12 | 1 << 17);
    return bits;
}

/* In their place: guilds have tens of channels, five hundred at most. */
static bool add_channel(void *arg, const struct crier_cached_channel *c)
{
    struct reading *r = arg;
    struct crier_seen_channel *list = r->seen.list;
    size_t i = r->seen.count;
    if (c->type >= THREAD_FIRST && c->type <= THREAD_LAST)
        return true;
    for (; i > 0 && (r->positions[i - 1] > c->position ||
                     (r->positions[i - 1] == c->position && list[i - 1].id > c->id)); i--) {
        list[i] = list[i - 1];
        r->positions[i] = r->positions[i - 1];
    }
    r->positions[i] = c->position;
    list[i] = (struct crier_seen_channel){.id = c->id,
                                          .parent = c->parent,
                                          .last_message = c->last_message,
                                          .permissions = may(r, c->id),
                                          .type = c->type,
                                          .name = (char *)c->name};
    r->seen.count++;
    return true;
}

static void channels(struct crier_view *view, uint64_t guild, int64_t max_age,
                     crier_channels_done *done, void *arg)
{
    struct by_gateway *v = CRIER_CONTAINER(view, struct by_gateway, base);
    struct crier_gateway *g = v->gateway(v->arg);
    struct crier_cached_guild seen;
    if (!g || !crier_gateway_knows(g, guild) ||
        !crier_gateway_cache_guild(crier_gateway_cache(g), guild, &seen)) {
        v->rest->ops->channels(v->rest, guild, max_age, done, arg);
        return;
    }
    struct reading r = {.cache = crier_gateway_cache(g), .now = crier_loop_wall(v->loop)};
    r.seen.list = crier_calloc(seen.channels + 1, sizeof *r.seen.list);
    r.positions = crier_calloc(seen.channels + 1, sizeof *r.positions);
    r.seen.timeout_until = seen.timed_out > r.now ? seen.timed_out : 0;
    crier_gateway_cache_channels(r.cache, guild, add_channel, &r);
    done(arg, &r.seen, NULL);
    free(r.positions);
    free(r.seen.list);
}

static void free_view(struct crier_view *view)
{
    struct by_gateway *v = CRIER_CONTAINER(view, struct by_gateway, base);
    v->rest->ops->free(v->rest);
    free(v);
}

struct crier_view *crier_view_gateway(struct crier_view *rest, struct crier_loop *loop,
                                      struct crier_gateway *(*gateway)(void *arg), void *arg)
{
    static const struct crier_view_ops ops = {guilds, channels, free_view};
    struct by_gateway *v = crier_calloc(1, sizeof *v);
    *v = (struct by_gateway){.base = {&ops}, .rest = rest, .loop = loop, .gateway = gateway,
                             .arg = arg};
    return &v->base;
}
