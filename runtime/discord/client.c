/* SPDX-License-Identifier: MIT */
#include "discord/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "discord/client_private.h"
#include "discord/request.h"

#define LAST_LOOK (30 * CRIER_S) /* for whether a create that failed was executed nevertheless */

const char *crier_outcome_name(enum crier_outcome outcome)
{
    static const char *const names[] = {"sent",    "retry", "drop", "pause",
                                        "rebuild", "bad",   "stop", "canceled"};
    return names[outcome];
}

/* --- the token ----------------------------------------------------------------------------- */

static void token_keep(struct crier_discord *d, const char *token)
{
    static const char kind[] = "Bot ";
    size_t len = strlen(token) + 1, before = sizeof kind - 1;
    d->token_size = (before + len + 4095) / 4096 * 4096;
    char *page =
        mmap(NULL, d->token_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        abort();
    mlock(page, d->token_size); /* may be refused by ulimit; then it is only not printed */
    madvise(page, d->token_size, MADV_DONTDUMP);
    memcpy(page, kind, before);
    memcpy(page + before, token, len);
    d->authorization = page;
}

static void token_drop(struct crier_discord *d)
{
    explicit_bzero(d->authorization, d->token_size);
    munmap(d->authorization, d->token_size);
}

/* --- the end of a request ------------------------------------------------------------------ */

static void request_free(struct client_request *r)
{
    crier_content_unref(r->content);
    crier_buf_fini(&r->payload);
    json_decref(r->result.body);
    free(r->path);
    free(r);
}

static void request_done(struct client_request *r)
{
    struct crier_discord *d = r->d;
    *(r->result.outcome == CRIER_SENT ? &d->sent : &d->failed) += 1;
    d->outcomes[r->result.outcome]++;
    r->done(r->arg, &r->result);
    request_free(r);
}

void client_deliver(struct crier_discord *d)
{
    if (d->delivering)
        return;
    d->delivering = true;
    GList *link;
    while ((link = g_queue_pop_head_link(&d->ended)))
        request_done(link->data);
    d->delivering = false;
}

void client_end(struct client_request *r, enum crier_outcome outcome)
{
    struct crier_discord *d = r->d;
    struct client_queue *q = r->queue;
    r->result.outcome = outcome;
    r->result.unsure = outcome != CRIER_SENT && r->kind == CRIER_REQ_CREATE && r->lost &&
                       r->maybe_at != CRIER_NEVER;
    crier_timer_stop(d->loop, &r->deadline);
    g_hash_table_remove(d->requests, &r->id);
    if (q) {
        bool first = q->requests.head == &r->link;
        g_queue_unlink(&q->requests, &r->link);
        if (!q->requests.length)
            client_queue_drop(q);
        else if (first)
            client_queue_ready(q);
    }
    r->queue = NULL;
    g_queue_push_tail_link(&d->ended, &r->link);
}

void client_set_where(struct client_request *r)
{
    crier_err_at(&r->result.err, "%s %s", r->method, r->path);
}

/* Whether its message is there nevertheless could not be found out. */
static void end_unsure(struct client_request *r)
{
    r->result.err = r->verdict_why;
    r->result.status = r->verdict_status;
    r->result.code = r->verdict_code;
    crier_err_prefix(&r->result.err, "it may be there nevertheless: ");
    client_end(r, r->verdict);
}

/* For a moment only: the next one may be due meanwhile. */
static void last_look(struct client_request *r, enum crier_outcome verdict)
{
    int64_t now = crier_loop_now(r->d->loop);
    int64_t span = r->not_after == CRIER_NEVER ? LAST_LOOK : (r->not_after - r->created) / 2;
    r->failing = true;
    r->verdict = verdict;
    r->verdict_why = r->result.err;
    r->verdict_status = r->result.status;
    r->verdict_code = r->result.code;
    if (r->d->stopped || r->canceled || r->d->breaker->until > now) {
        end_unsure(r);
        return;
    }
    client_look(r);
    r->next_at = 0;
    r->not_after = now + (span < LAST_LOOK ? span : LAST_LOOK);
    r->since = now;
    crier_timer_at(r->d->loop, &r->deadline, r->not_after);
    if (r->queue->requests.head == &r->link) /* else one before it may be under way */
        client_queue_ready(r->queue);
}

void client_end_failed(struct client_request *r, enum crier_outcome outcome)
{
    if (r->failing)
        end_unsure(r);
    else if (r->lost)
        last_look(r, outcome);
    else
        client_end(r, outcome);
}

void client_end_late(struct client_request *r)
{
    struct crier_err *err = &r->result.err;
    if (r->failing) {
        end_unsure(r);
        return;
    }
    if (!err->code && r->d->breaker->until > crier_loop_now(r->d->loop))
        *err = r->d->breaker->why;
    else if (!err->code)
        crier_err_set(err, CRIER_ETIMEOUT,
                      "not sent in time: it waited for Discord's rate limit until its deadline");
    else
        crier_err_prefix(err, "given up after %d request%s: ", r->result.requests,
                         r->result.requests == 1 ? "" : "s");
    client_set_where(r);
    client_end_failed(r, CRIER_RETRY);
}

void client_tell(struct crier_discord *d, enum crier_discord_event event,
                 const struct crier_err *why)
{
    if (d->on_event)
        d->on_event(d->event_arg, event, why);
}

void client_end_stopped(struct client_request *r)
{
    r->result.err = r->d->stop_why;
    client_end(r, CRIER_STOP);
}

void client_end_canceled(struct client_request *r)
{
    crier_err_set(&r->result.err, CRIER_ECANCELED, "given up by its owner");
    client_set_where(r);
    client_end(r, CRIER_CANCELED);
}

void client_stop(struct crier_discord *d, const struct crier_err *why)
{
    d->stopped = true;
    d->stop_why = *why;
    crier_err_prefix(&d->stop_why, "bot '%s': ", d->name);
    GHashTableIter it;
    void *value;
    GQueue waiting = G_QUEUE_INIT;
    g_hash_table_iter_init(&it, d->requests);
    while (g_hash_table_iter_next(&it, NULL, &value))
        if (!((struct client_request *)value)->call)
            g_queue_push_tail(&waiting, value);
    while (waiting.length)
        client_end_stopped(g_queue_pop_head(&waiting));
}

/* --- requests ---------------------------------------------------------------------------- */

static void on_deadline(struct crier_timer *timer)
{
    struct client_request *r = CRIER_CONTAINER(timer, struct client_request, deadline);
    struct crier_discord *d = r->d;
    if (!r->call) /* one under way is let finish, and not repeated */
        client_end_late(r);
    client_deliver(d);
}

/* Consumes path. */
static struct client_request *request_new(struct crier_discord *d, enum crier_request_kind kind,
                                          const char *method, char *path, int64_t not_after,
                                          crier_discord_done *done, void *arg)
{
    struct client_request *r = crier_calloc(1, sizeof *r);
    r->id = ++d->last_id;
    r->d = d;
    r->kind = kind;
    r->method = method;
    r->path = path;
    r->link.data = r;
    r->since = r->created = crier_loop_now(d->loop);
    r->not_after = not_after;
    r->maybe_at = CRIER_NEVER;
    r->deadline.fire = on_deadline;
    r->done = done;
    r->arg = arg;
    return r;
}

static struct crier_request_id enqueue(struct client_request *r)
{
    struct crier_discord *d = r->d;
    g_hash_table_insert(d->requests, &r->id, r);
    struct crier_request_id id = {r->id};
    if (d->stopped) {
        client_end_stopped(r);
        crier_timer_in(d->loop, &d->pump, 0);
        return id;
    }
    r->queue = client_queue_get(d, r->method, r->path);
    g_queue_push_tail_link(&r->queue->requests, &r->link);
    if (r->queue->requests.length == 1)
        client_queue_ready(r->queue);
    if (r->not_after != CRIER_NEVER)
        crier_timer_at(d->loop, &r->deadline, r->not_after);
    return id;
}

/* "/channels/1/messages", "/channels/1/messages/2" */
static char *channel_path(uint64_t channel, const char *below, uint64_t message)
{
    struct crier_buf path = {0};
    crier_buf_puts(&path, "/channels/");
    crier_buf_uint(&path, channel);
    crier_buf_puts(&path, below);
    if (message) {
        crier_buf_putc(&path, '/');
        crier_buf_uint(&path, message);
    }
    return crier_buf_take(&path);
}

struct crier_request_id crier_discord_create(struct crier_discord *d, uint64_t channel,
                                             struct crier_content *content,
                                             const struct crier_mentions *mentions,
                                             const char *nonce, int64_t first_us, int64_t not_after,
                                             crier_discord_done *done, void *arg)
{
    struct client_request *r =
        request_new(d, content->thread ? CRIER_REQ_OTHER : CRIER_REQ_CREATE, "POST",
                    channel_path(channel, content->thread ? "/threads" : "/messages", 0),
                    not_after, done, arg);
    r->channel = channel;
    r->content = crier_content_ref(content);
    r->once = content->thread != NULL;
    memcpy(r->nonce, nonce, strnlen(nonce, sizeof r->nonce - 1));
    crier_request_payload(content, mentions, r->nonce, &r->payload);
    if (first_us && !r->once) {
        r->maybe_at = r->since - (crier_loop_wall(d->loop) - first_us);
        r->lost = r->since - r->maybe_at > CRIER_S;
    }
    return enqueue(r);
}

struct crier_request_id crier_discord_find(struct crier_discord *d, uint64_t channel,
                                           struct crier_content *content, const char *nonce,
                                           int64_t first_us, int64_t not_after,
                                           crier_discord_done *done, void *arg)
{
    struct client_request *r = request_new(
        d, CRIER_REQ_CREATE, "POST", channel_path(channel, "/messages", 0),
        not_after, done, arg);
    r->channel = channel;
    r->content = crier_content_ref(content);
    r->find = true;
    memcpy(r->nonce, nonce, strnlen(nonce, sizeof r->nonce - 1));
    r->maybe_at = r->since - (crier_loop_wall(d->loop) - first_us);
    return enqueue(r);
}

struct crier_request_id crier_discord_edit(struct crier_discord *d, uint64_t channel,
                                           uint64_t message, struct crier_content *content,
                                           const struct crier_mentions *mentions, int64_t not_after,
                                           crier_discord_done *done, void *arg)
{
    struct client_request *r =
        request_new(d, CRIER_REQ_EDIT, "PATCH",
                    channel_path(channel, "/messages", message),
                    not_after, done, arg);
    r->content = crier_content_ref(content);
    crier_request_payload(content, mentions, NULL, &r->payload);
    return enqueue(r);
}

struct crier_request_id crier_discord_delete(struct crier_discord *d, uint64_t channel,
                                             uint64_t message, int64_t not_after,
                                             crier_discord_done *done, void *arg)
{
    return enqueue(
        request_new(d, CRIER_REQ_DELETE, "DELETE",
                    channel_path(channel, "/messages", message),
                    not_after, done, arg));
}

struct crier_request_id crier_discord_open_dm(struct crier_discord *d, uint64_t user,
                                              int64_t not_after, crier_discord_done *done,
                                              void *arg)
{
    struct client_request *r = request_new(
        d, CRIER_REQ_DM, "POST", crier_strdup("/users/@me/channels"), not_after, done, arg);
    crier_buf_printf(&r->payload, "{\"recipient_id\":\"%" PRIu64 "\"}", user);
    return enqueue(r);
}

struct crier_request_id crier_discord_get(struct crier_discord *d, const char *path,
                                          int64_t not_after, crier_discord_done *done, void *arg)
{
    return enqueue(request_new(d, CRIER_REQ_GET, "GET", crier_strdup(path), not_after, done, arg));
}

struct crier_request_id crier_discord_call(struct crier_discord *d, const char *method,
                                           const char *path, const char *body, int64_t not_after,
                                           crier_discord_done *done, void *arg)
{
    size_t len = strlen(path);
    struct client_request *r =
        request_new(d, strcmp(method, "GET") == 0 ? CRIER_REQ_GET : CRIER_REQ_OTHER, method,
                    crier_strdup(path), not_after, done, arg);
    r->once = strcmp(method, "POST") == 0 && len > 8 && strcmp(path + len - 8, "/threads") == 0;
    if (body)
        crier_buf_puts(&r->payload, body);
    return enqueue(r);
}

void crier_discord_cancel(struct crier_discord *d, struct crier_request_id id)
{
    struct client_request *r = g_hash_table_lookup(d->requests, &id.id);
    if (!r || r->canceled)
        return;
    r->canceled = true;
    if (r->call) {
        d->transport->ops->cancel(d->transport, r->call->http);
        return;
    }
    client_end_canceled(r);
    crier_timer_in(d->loop, &d->pump, 0);
}

void crier_discord_brief(struct crier_discord *d, struct crier_request_id id)
{
    struct client_request *r = g_hash_table_lookup(d->requests, &id.id);
    if (r)
        r->brief = true;
}

/* --- the client ---------------------------------------------------------------------------- */

struct crier_discord *crier_discord_new(struct crier_loop *loop, struct crier_transport *transport,
                                        const struct crier_discord_config *config)
{
    struct crier_discord *d = crier_calloc(1, sizeof *d);
    d->loop = loop;
    d->transport = transport;
    d->rl = crier_ratelimit_new(config->global_per_second);
    d->name = crier_strdup(config->name);
    d->api = crier_strdup(config->api);
    token_keep(d, config->token);
    crier_rng_seed(&d->rng, config->rng_seed);
    d->breaker = config->breaker ? config->breaker : &d->own_breaker;
    d->on_event = config->on_event;
    d->event_arg = config->event_arg;
    d->dm_gap = CLIENT_DM_GAP;
    d->queues = g_hash_table_new(g_str_hash, g_str_equal);
    d->requests = g_hash_table_new(g_int64_hash, g_int64_equal);
    d->doubts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    d->last = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free);
    d->shares = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_queue_init(&d->turns);
    g_queue_init(&d->parked);
    g_queue_init(&d->ended);
    d->pump.fire = client_on_pump;
    return d;
}

void crier_discord_free(struct crier_discord *d)
{
    if (!d)
        return;
    d->stopped = true; /* for those whose done asks for more */
    crier_err_set(&d->stop_why, CRIER_ECANCELED, "bot '%s' is being stopped", d->name);
    while (g_hash_table_size(d->requests)) {
        GHashTableIter it;
        void *value;
        g_hash_table_iter_init(&it, d->requests);
        g_hash_table_iter_next(&it, NULL, &value);
        struct client_request *r = value;
        if (r->call) {
            r->call->request = NULL;
            d->transport->ops->cancel(d->transport, r->call->http);
            r->call = NULL;
            if (r->probe)
                d->breaker->probing--;
            r->queue->state = WAITING;
        }
        client_end_canceled(r);
        client_deliver(d);
    }
    client_deliver(d);
    crier_timer_stop(d->loop, &d->pump);
    g_hash_table_destroy(d->queues);
    g_hash_table_destroy(d->shares);
    g_hash_table_destroy(d->requests);
    g_hash_table_destroy(d->doubts);
    g_hash_table_destroy(d->last);
    crier_ratelimit_free(d->rl);
    token_drop(d);
    free(d->name);
    free(d->api);
    free(d);
}

size_t crier_discord_pending(const struct crier_discord *d)
{
    return g_hash_table_size(d->requests);
}

void crier_discord_stop(struct crier_discord *d, const struct crier_err *why)
{
    if (d->stopped)
        return;
    client_stop(d, why);
    crier_timer_in(d->loop, &d->pump, 0); /* delivers */
}

bool crier_discord_stopped(const struct crier_discord *d, struct crier_err *why)
{
    if (d->stopped && why)
        *why = d->stop_why;
    return d->stopped;
}

int64_t crier_discord_resting(const struct crier_discord *d, struct crier_err *why)
{
    if (d->breaker->until <= crier_loop_now(d->loop))
        return 0;
    if (why)
        *why = d->breaker->why;
    return d->breaker->until;
}

void crier_discord_stats(struct crier_discord *d, struct crier_discord_stats *out)
{
    struct crier_ratelimit_stats limits;
    int64_t now = crier_loop_now(d->loop);
    crier_ratelimit_stats(d->rl, &limits);
    out->requests = d->made;
    out->sent = d->sent;
    out->failed = d->failed;
    out->retries = d->retries;
    out->hits_429 = limits.hits_429;
    out->hits_shared = limits.hits_shared;
    out->waited = d->waited;
    out->invalid_10min = crier_breaker_count(d->breaker, now);
    out->pending = crier_discord_pending(d);
    out->quarantined = d->quarantine_until > now ? d->quarantine_until : 0;
    memcpy(out->outcomes, d->outcomes, sizeof out->outcomes);
    out->latency_sum = d->latency_sum;
    out->latency_count = d->latency_count;
}

uint64_t crier_discord_self(const struct crier_discord *d)
{
    return d->self;
}

bool crier_discord_is_user(const json_t *me)
{
    return json_object_get(me, "id") && !json_is_true(json_object_get(me, "bot"));
}
