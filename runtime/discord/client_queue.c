/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "discord/client_private.h"
#include "discord/request.h"

#define NONCE_WINDOW (120 * CRIER_S)
#define SKEW_SLACK (2 * CRIER_S)    /* whole seconds on both sides */
#define PROBE_LOOK (100 * CRIER_MS) /* another bot's probe does not wake us */

/* --- queues, and whose turn it is ------------------------------------------------------------ */

static void share_join(struct client_queue *q, uint64_t whose)
{
    struct crier_discord *d = q->d;
    struct client_share *share = whose ? g_hash_table_lookup(d->shares, &whose) : NULL;
    if (!share) {
        share = crier_calloc(1, sizeof *share);
        share->whose = whose;
        share->link.data = share;
        g_queue_init(&share->ready);
        if (whose)
            g_hash_table_insert(d->shares, &share->whose, share);
    }
    share->queues++;
    q->share = share;
}

static void share_leave(struct client_queue *q)
{
    struct client_share *share = q->share;
    q->share = NULL;
    if (--share->queues)
        return;
    if (share->whose)
        g_hash_table_remove(q->d->shares, &share->whose);
    free(share);
}

static void enter_ready(struct client_queue *q)
{
    g_queue_push_tail_link(&q->share->ready, &q->link);
    if (q->share->ready.length == 1)
        g_queue_push_tail_link(&q->d->turns, &q->share->link);
}

static void leave_ready(struct client_queue *q)
{
    g_queue_unlink(&q->share->ready, &q->link);
    if (!q->share->ready.length)
        g_queue_unlink(&q->d->turns, &q->share->link);
}

void client_queue_drop(struct client_queue *q)
{
    struct crier_discord *d = q->d;
    crier_timer_stop(d->loop, &q->timer);
    if (q->state == READY)
        leave_ready(q);
    else if (q->state == PARKED)
        g_queue_unlink(&d->parked, &q->link);
    share_leave(q);
    g_hash_table_remove(d->queues, q->route);
    free(q->route);
    free(q);
}

void client_queue_ready(struct client_queue *q)
{
    struct crier_discord *d = q->d;
    if (q->state == READY)
        return;
    if (q->state == PARKED)
        g_queue_unlink(&d->parked, &q->link);
    crier_timer_stop(d->loop, &q->timer);
    q->state = READY;
    enter_ready(q);
    crier_timer_in(d->loop, &d->pump, 0);
}

static void on_queue_timer(struct crier_timer *timer)
{
    client_queue_ready(CRIER_CONTAINER(timer, struct client_queue, timer));
}

struct client_queue *client_queue_get(struct crier_discord *d, const char *method, const char *path)
{
    struct crier_buf route = {0};
    crier_ratelimit_route(method, path, &route);
    struct client_queue *q = g_hash_table_lookup(d->queues, route.data);
    if (q) {
        crier_buf_fini(&route);
        return q;
    }
    q = crier_calloc(1, sizeof *q);
    q->d = d;
    q->route = crier_buf_take(&route);
    q->link.data = q;
    q->state = WAITING;
    q->timer.fire = on_queue_timer;
    share_join(q, 0);
    g_queue_init(&q->requests);
    g_hash_table_insert(d->queues, q->route, q);
    return q;
}

void crier_discord_whose(struct crier_discord *d, struct crier_request_id id, uint64_t whose)
{
    struct client_request *r = g_hash_table_lookup(d->requests, &id.id);
    struct client_queue *q = r ? r->queue : NULL;
    if (!q || q->share->whose == whose)
        return;
    if (q->state == READY)
        leave_ready(q);
    share_leave(q);
    share_join(q, whose);
    if (q->state == READY)
        enter_ready(q);
}

/* --- sending ------------------------------------------------------------------------------- */

void client_look(struct client_request *r)
{
    r->phase = r->d->self && r->d->skew_known ? LOOK : WHO;
    r->looked = 0;
    r->pages = 0;
}

static void set_phase(struct client_request *r, int64_t now)
{
    if (r->phase != MAIN || r->kind != CRIER_REQ_CREATE || r->maybe_at == CRIER_NEVER ||
        (!r->find && r->maybe_at <= now && now - r->maybe_at <= NONCE_WINDOW))
        return;
    client_look(r);
}

/* What is not newer than this is not it. A time in the future is one of a clock that has been set
 * since: it says nothing. */
static uint64_t not_before(const struct client_request *r, int64_t now)
{
    const struct crier_discord *d = r->d;
    if (r->maybe_at > now)
        return r->known;
    int64_t first = crier_loop_wall(d->loop) - (now - r->maybe_at) + d->skew;
    uint64_t at = crier_snowflake_at(first - SKEW_SLACK);
    return at > r->known ? at : r->known;
}

static char *route_of(const struct client_request *r)
{
    if (r->phase == MAIN)
        return crier_strdup(r->queue->route);
    if (r->phase == WHO)
        return crier_strdup("GET /users/@me");
    return crier_asprintf("GET /channels/%" PRIu64 "%s", r->channel,
                          r->phase == LOOK ? "/messages" : "");
}

static char *url_of(struct client_request *r, int64_t now)
{
    const char *api = r->d->api;
    if (r->phase == MAIN) {
        struct crier_buf url = {0};
        crier_buf_puts(&url, api);
        crier_buf_puts(&url, r->path);
        return crier_buf_take(&url);
    }
    if (r->phase == WHO)
        return crier_asprintf("%s/users/@me", api);
    if (r->phase == LAST)
        return crier_asprintf("%s/channels/%" PRIu64, api, r->channel);
    if (!r->pages)
        r->looked = not_before(r, now);
    char after[40] = "";
    if (r->looked)
        snprintf(after, sizeof after, "&after=%" PRIu64, r->looked);
    return crier_asprintf("%s/channels/%" PRIu64 "/messages?limit=%d%s", api, r->channel, PAGE,
                          after);
}

static void on_sent(void *arg)
{
    struct client_call *call = arg;
    struct crier_discord *d = call->request ? call->request->d : NULL;
    if (!d)
        return;
    crier_ratelimit_sent(d->rl, &call->taken, crier_loop_now(d->loop));
    crier_timer_in(d->loop, &d->pump, 0);
}

static void start(struct client_request *r, char *route, int64_t taken, int64_t now)
{
    struct crier_discord *d = r->d;
    struct crier_http_request req;
    char *url = url_of(r, now);
    const uint64_t *made = g_hash_table_lookup(d->last, &r->channel);
    if (r->phase == MAIN && r->maybe_at == CRIER_NEVER && made)
        r->known = made[1];
    crier_http_request_init(&req, r->phase == MAIN ? r->method : "GET", url);
    free(url);
    crier_http_request_header(&req, "Authorization", d->authorization);
    crier_http_request_header(&req, "User-Agent",
                              "DiscordBot (https://github.com/crier-bot/crier, " CRIER_VERSION ")");
    if (r->phase == MAIN && r->payload.len)
        crier_request_body(&req, r->content, r->payload.data, r->payload.len);
    if (now > r->since) {
        r->result.waited += now - r->since;
        d->waited += now - r->since;
    }
    if (r->kind == CRIER_REQ_DM)
        client_dm_opening(d, now);
    if (d->breaker->opened) {
        r->probe = true;
        d->breaker->probing++;
    }
    r->started = now;
    r->result.requests++;
    d->made++;
    d->in_flight++;
    struct client_call *call = crier_calloc(1, sizeof *call);
    call->request = r;
    call->route = route;
    call->taken = taken;
    r->call = call;
    r->queue->state = BUSY;
    if (d->transport->ops->connects) {
        req.sent = on_sent;
        crier_ratelimit_unsent(d->rl, &call->taken);
    }
    call->http = d->transport->ops->start(d->transport, &req, client_on_answer, call);
}

enum tried { WENT, PUT_AWAY, FULL };

/* Let the first request of a ready queue go, or put the queue where it waits, or end the request.
 * FULL: the global limit is reached, nobody goes. */
static enum tried try_queue(struct crier_discord *d, struct client_queue *q, int64_t now)
{
    struct client_request *r = g_queue_peek_head(&q->requests);
    if (r->not_after < now) {
        client_end_late(r); /* the queue stays ready, or is gone */
        return PUT_AWAY;
    }
    if (r->kind == CRIER_REQ_DM && d->quarantine_until > now) {
        r->result.err = d->quarantine_why;
        r->result.pause = (int)((d->quarantine_until - now) / CRIER_S) + 1;
        client_end(r, CRIER_PAUSE);
        return PUT_AWAY;
    }
    int64_t at = r->next_at > now ? r->next_at : 0;
    if (!at && r->kind == CRIER_REQ_DM)
        at = client_dm_wait(d, now);
    int64_t global = at ? 0 : crier_ratelimit_global(d->rl, now);
    if (global) {
        if (global != CRIER_NEVER)
            crier_timer_at(d->loop, &d->pump, global);
        return FULL;
    }
    if (!at) {
        set_phase(r, now);
        char *route = route_of(r);
        int64_t taken;
        at = crier_ratelimit_acquire(d->rl, route, now, &taken);
        if (!at) {
            leave_ready(q);
            start(r, route, taken, now);
            return WENT;
        }
        free(route);
    }
    if (at != CRIER_NEVER && at > r->not_after) {
        client_end_late(r);
        return PUT_AWAY;
    }
    leave_ready(q);
    if (at == CRIER_NEVER) {
        q->state = PARKED;
        g_queue_push_tail_link(&d->parked, &q->link);
    } else {
        q->state = WAITING;
        crier_timer_at(d->loop, &q->timer, at);
    }
    return PUT_AWAY;
}

void client_on_pump(struct crier_timer *timer)
{
    struct crier_discord *d = CRIER_CONTAINER(timer, struct crier_discord, pump);
    int64_t now = crier_loop_now(d->loop);
    /* After a rest one request goes alone, and tells whether it is over. */
    int64_t wait = 0;
    while (d->turns.length && !(wait = crier_breaker_wait(d->breaker, now))) {
        struct client_share *share = d->turns.head->data;
        enum tried tried = try_queue(d, share->ready.head->data, now);
        if (tried == FULL)
            break;
        if (tried == WENT && d->turns.head == &share->link)
            g_queue_push_tail_link(&d->turns, g_queue_pop_head_link(&d->turns));
    }
    if (wait)
        crier_timer_at(d->loop, &d->pump, wait == CRIER_NEVER ? now + PROBE_LOOK : wait);
    client_deliver(d);
}
