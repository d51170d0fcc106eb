/* SPDX-License-Identifier: MIT
 *
 * Many channels due at once, in virtual time, against the simulator's real limits, over a net that
 * takes a while each way, one request longer than another. For sim_load_test.c and bench/limits.c.
 */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"
#include "discord/client.h"
#include "sim/sim.h"

enum { LOAD_GLOBAL = 50, LOAD_MOST = 20000, LOAD_CHANNEL = 5000 };

struct load {
    int guilds, channels, each;
    int first;          /* how many channels the first guild has; 0: as many as the others */
    int others;         /* channels of another bot, one create each, the last guild's */
    int64_t stuck;      /* a create in the first guild is answered so much later */
    int64_t way;        /* to the server, and back again: half of the latency */
    int64_t jitter;     /* each way takes up to so much more */
    int64_t handling;   /* the server takes up to so much for an answer */
    int64_t connecting; /* nothing goes out before that time of the run */
    uint64_t seed;

    /* what came of it */
    int64_t took;
    struct crier_sim_stats stats;
    unsigned hits_429;    /* by the client's count */
    int most_in_a_second; /* arrivals in any second */
    size_t failed;
    size_t count; /* of done[] */
    struct load_done {
        int64_t at;
        int channel, guild; /* -1: of the other bot */
    } done[LOAD_MOST];
    int64_t arrived[LOAD_MOST]; /* in the order of arrival */
    size_t arrivals;
    struct crier_loop *loop; /* while it runs */
};

/* Guild by guild: those of the first come first. */
static inline int load_guild(const struct load *load, int channel)
{
    int first = load->first ? load->first : load->channels / load->guilds;
    if (channel < first)
        return 0;
    return 1 + (channel - first) * (load->guilds - 1) / (load->channels - first);
}

/* --- the net ------------------------------------------------------------------------------- */

struct load_net {
    struct crier_transport base;
    struct crier_transport *inner; /* the simulator's, without latency */
    struct load *load;
    struct crier_rng rng;
    int64_t connected;
};

struct crier_http_call; /* of `inner` */

struct load_call {
    struct load_net *net;
    struct crier_http_request req;
    struct crier_http_response res;
    struct crier_timer timer;
    int64_t started, begun;
    bool stuck;
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
};

static inline void load_back(struct crier_timer *timer)
{
    struct load_call *call = CRIER_CONTAINER(timer, struct load_call, timer);
    call->res.latency = crier_loop_now(call->net->load->loop) - call->started;
    call->res.connecting = call->begun - call->started;
    call->done(call->arg, &call->res);
    crier_buf_fini(&call->res.headers);
    crier_buf_fini(&call->res.body);
    free(call);
}

static inline void load_answered(void *arg, struct crier_http_response *res)
{
    struct load_call *call = arg;
    struct load *load = call->net->load;
    int64_t stuck = call->stuck ? load->stuck : 0;
    call->res = *res;
    memset(&res->headers, 0, sizeof res->headers);
    memset(&res->body, 0, sizeof res->body);
    call->timer.fire = load_back;
    crier_timer_in(load->loop, &call->timer,
                   stuck + load->way + crier_rng_range(&call->net->rng, 0, load->jitter) +
                       crier_rng_range(&call->net->rng, 0, load->handling));
}

static inline void load_there(struct crier_timer *timer)
{
    struct load_call *call = CRIER_CONTAINER(timer, struct load_call, timer);
    struct load *load = call->net->load;
    if (load->arrivals < LOAD_MOST)
        load->arrived[load->arrivals++] = crier_loop_now(load->loop);
    call->net->inner->ops->start(call->net->inner, &call->req, load_answered, call);
}

static inline void load_sent(struct crier_timer *timer)
{
    struct load_call *call = CRIER_CONTAINER(timer, struct load_call, timer);
    call->req.sent(call->arg);
    call->timer.fire = load_there;
    crier_timer_in(call->net->load->loop, &call->timer,
                   call->net->load->way +
                       crier_rng_range(&call->net->rng, 0, call->net->load->jitter));
}

static inline struct crier_http_call *load_start(struct crier_transport *base,
                                                 struct crier_http_request *req,
                                                 void (*done)(void *, struct crier_http_response *),
                                                 void *arg)
{
    struct load_net *net = CRIER_CONTAINER(base, struct load_net, base);
    struct load_call *call = crier_calloc(1, sizeof *call);
    call->net = net;
    call->req = *req;
    memset(req, 0, sizeof *req);
    call->done = done;
    call->arg = arg;
    const char *channel = strstr(call->req.url, "/channels/");
    call->stuck = channel && load_guild(net->load, atoi(channel + 10) - LOAD_CHANNEL) == 0;
    call->started = call->begun = crier_loop_now(net->load->loop);
    if (call->begun < net->connected)
        call->begun = net->connected;
    call->timer.fire = load_sent;
    crier_timer_at(net->load->loop, &call->timer, call->begun);
    return (struct crier_http_call *)call;
}

static inline void load_cancel(struct crier_transport *base, struct crier_http_call *call)
{
    (void)base;
    (void)call;
    abort(); /* a load runs to its end */
}

static inline void load_net_free(struct crier_transport *base)
{
    struct load_net *net = CRIER_CONTAINER(base, struct load_net, base);
    net->inner->ops->free(net->inner);
}

/* --- a run --------------------------------------------------------------------------------- */

struct load_ask {
    struct load *load;
    int channel, guild;
};

static inline void load_done(void *arg, const struct crier_discord_result *result)
{
    struct load_ask *ask = arg;
    struct load *load = ask->load;
    load->failed += result->outcome != CRIER_SENT || result->requests != 1;
    load->done[load->count++] =
        (struct load_done){crier_loop_now(load->loop), ask->channel, ask->guild};
}

static inline struct crier_discord *load_client(struct load *load, struct load_net *net,
                                                const char *token, struct crier_breaker *breaker)
{
    struct crier_discord_config config = {.name = token,
                                          .api = "https://discord.test/api/v10",
                                          .token = token,
                                          .global_per_second = LOAD_GLOBAL,
                                          .rng_seed = load->seed,
                                          .breaker = breaker};
    return crier_discord_new(load->loop, &net->base, &config);
}

static inline void load_create(struct crier_discord *d, struct load_ask *ask, int k,
                               struct crier_content *content)
{
    char nonce[26];
    uint64_t channel = LOAD_CHANNEL + (uint64_t)ask->channel;
    crier_discord_nonce("m", channel, k, nonce);
    struct crier_request_id id =
        crier_discord_create(d, channel, content, NULL, nonce, 0, CRIER_NEVER, load_done, ask);
    if (ask->guild >= 0)
        crier_discord_whose(d, id, 1000 + (uint64_t)ask->guild);
}

static inline int load_by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Every channel gets `each` creates at once, guild by guild; until all have ended. */
static inline void load_run(struct load *load)
{
    static const struct crier_transport_ops ops = {load_start, load_cancel, load_net_free, true};
    struct crier_clock *clock = crier_clock_virtual(1790000000000000LL);
    struct crier_loop *loop = load->loop = crier_loop_new(clock);
    struct crier_sim_config sc = {.seed = 7, .limits = true};
    struct crier_sim *sim = crier_sim_new(loop, &sc);
    struct crier_breaker breaker = {0};
    int all = load->channels + load->others;
    struct load_ask *asks = crier_calloc((size_t)all, sizeof *asks);
    crier_sim_add_bot(sim, "good.bot.token", "crier");
    crier_sim_add_bot(sim, "other.bot.token", "other");
    for (int i = 0; i < all; i++) {
        int guild = i < load->channels ? load_guild(load, i) : load->guilds - 1;
        asks[i] = (struct load_ask){load, i, i < load->channels ? guild : -1};
        crier_sim_add_guild(sim, 1000 + (uint64_t)guild, NULL);
        crier_sim_add_channel(sim, LOAD_CHANNEL + (uint64_t)i, 1000 + (uint64_t)guild, NULL, 0);
    }
    struct load_net net = {.base.ops = &ops,
                           .inner = crier_sim_transport(sim, loop),
                           .load = load,
                           .connected = crier_loop_now(loop) + load->connecting};
    crier_rng_seed(&net.rng, load->seed);
    struct crier_discord *d = load_client(load, &net, "good.bot.token", &breaker);
    struct crier_discord *other = load_client(load, &net, "other.bot.token", &breaker);
    struct crier_content *content = crier_content_new();
    content->text = crier_strdup("hello");
    load->count = load->failed = load->arrivals = 0;
    int64_t began = crier_loop_now(loop);
    for (int i = 0; i < all; i++)
        for (int k = 0; k < (i < load->channels ? load->each : 1); k++)
            load_create(i < load->channels ? d : other, &asks[i], k, content);
    crier_loop_run(loop, CRIER_NEVER);
    for (size_t i = 0; i < load->count; i++)
        load->done[i].at -= began;
    load->took = load->count ? load->done[load->count - 1].at : 0;
    crier_sim_stats(sim, &load->stats);
    struct crier_discord_stats stats;
    crier_discord_stats(d, &stats);
    load->hits_429 = (unsigned)stats.hits_429;
    crier_content_unref(content);
    crier_discord_free(d);
    crier_discord_free(other);
    net.base.ops->free(&net.base);
    crier_sim_free(sim);
    crier_loop_free(loop);
    crier_clock_free(clock);
    free(asks);

    qsort(load->arrived, load->arrivals, sizeof load->arrived[0], load_by_time);
    load->most_in_a_second = 0;
    for (size_t i = 0, first = 0; i < load->arrivals; i++) {
        while (load->arrived[i] - load->arrived[first] >= CRIER_S)
            first++;
        int within = (int)(i - first) + 1;
        load->most_in_a_second = within > load->most_in_a_second ? within : load->most_in_a_second;
    }
}

/* The share of the global limit that was used: fifty a second, the first fifty at once. */
static inline double load_global_used(const struct load *load)
{
    double best = (double)(load->channels * load->each - LOAD_GLOBAL) / LOAD_GLOBAL;
    return best / ((double)load->took / 1e6);
}

/* ... of each channel's bucket: five in five seconds, the first five at once. */
static inline double load_buckets_used(const struct load *load)
{
    double best = (double)(load->each / 5 - 1) * 5;
    return best / ((double)load->took / 1e6);
}

#endif
