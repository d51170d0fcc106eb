/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "discord/brief.h"
#include "discord/client_private.h"

#define BACKOFF_MIN (250 * CRIER_MS)
#define BACKOFF_MAX (30 * CRIER_S)
#define DOUBTS_MAX 3
#define LIMITED_MAX 3

/* --- what an answer means ------------------------------------------------------------------ */

static void describe(struct client_request *r, const struct crier_http_response *res,
                     const json_t *body, const struct crier_outcome_row *row, int code)
{
    struct crier_err *err = &r->result.err;
    if (!res->status) {
        *err = res->err;
        client_set_where(r);
        return;
    }
    static const struct {
        enum crier_class class_;
        int code;
    } codes[] = {
        {CRIER_CLASS_OK, CRIER_OK},         {CRIER_CLASS_RETRY, CRIER_ENET},
        {CRIER_CLASS_LOST, CRIER_ENET},     {CRIER_CLASS_WAIT, CRIER_EBUSY},
        {CRIER_CLASS_DROP, CRIER_EDENIED},  {CRIER_CLASS_PAUSE, CRIER_EDENIED},
        {CRIER_CLASS_DOUBT, CRIER_EDENIED}, {CRIER_CLASS_REBUILD, CRIER_ENOTFOUND},
        {CRIER_CLASS_BAD, CRIER_EINVAL},    {CRIER_CLASS_STOP, CRIER_EDENIED},
        {CRIER_CLASS_BREAK, CRIER_EDENIED},
    };
    int class_code = CRIER_EINTERNAL;
    for (size_t i = 0; i < CRIER_COUNT(codes); i++)
        if (codes[i].class_ == row->class_)
            class_code = res->status == 404 && codes[i].code == CRIER_EDENIED ? CRIER_ENOTFOUND
                                                                              : codes[i].code;
    struct crier_buf text = {0};
    const char *message = json_string_value(json_object_get(body, "message"));
    crier_buf_printf(&text, "%d", res->status);
    if (code > 0)
        crier_buf_printf(&text, " %d", code);
    if (message)
        crier_buf_printf(&text, " %s", message);
    struct crier_buf errors = {0};
    crier_outcome_flatten(json_object_get(body, "errors"), &errors);
    if (errors.len)
        crier_buf_printf(&text, ": %s", errors.data);
    if (row->help)
        crier_buf_printf(&text, " (%s)", row->help);
    crier_err_set(err, class_code, "%s", text.data);
    err->sys = res->status;
    client_set_where(r);
    crier_buf_fini(&errors);
    crier_buf_fini(&text);
}

/* Full jitter, so that many requests that failed together do not come back together. */
static int64_t backoff(struct client_request *r)
{
    int shift = r->failures < 7 ? r->failures : 7;
    int64_t top = BACKOFF_MIN << shift;
    r->failures++;
    return crier_rng_range(&r->d->rng, BACKOFF_MIN, top < BACKOFF_MAX ? top : BACKOFF_MAX);
}

static void again_at(struct client_request *r, int64_t at)
{
    if (r->d->stopped || r->canceled) {
        (r->canceled ? client_end_canceled : client_end_stopped)(r);
        return;
    }
    if (at > r->not_after) {
        client_end_late(r);
        return;
    }
    r->next_at = at;
    client_queue_ready(r->queue);
}

static void again(struct client_request *r, int64_t now, int at_least)
{
    int64_t wait = backoff(r);
    if (wait < at_least * CRIER_S)
        wait = at_least * CRIER_S;
    r->d->retries++;
    r->result.retries++;
    r->result.retry_wait += wait;
    r->since = now + wait;
    again_at(r, now + wait);
}

/* An answer that never came, to what Discord would do a second time. */
static bool end_unknown(struct client_request *r)
{
    if (!r->once || r->phase != MAIN)
        return false;
    crier_err_prefix(&r->result.err, "not repeated, since it may have been done: ");
    client_set_where(r);
    client_end(r, CRIER_RETRY);
    return true;
}

static void rest(struct crier_discord *d, int64_t now, int seconds, const struct crier_err *why)
{
    if (d->breaker->until > now)
        return;
    struct crier_err told = *why;
    crier_err_prefix(&told, "bot '%s': ", d->name);
    crier_breaker_open(d->breaker, now, seconds, &told);
    client_tell(d, CRIER_DISCORD_RESTING, &told);
}

/* Unknown 403 and 404: a target is given up only when it happens again and again. */
static enum crier_outcome doubt(struct crier_discord *d, const char *target)
{
    void *value = g_hash_table_lookup(d->doubts, target);
    int count = GPOINTER_TO_INT(value) + 1;
    if (count < DOUBTS_MAX) {
        g_hash_table_insert(d->doubts, g_strdup(target), GINT_TO_POINTER(count));
        return CRIER_BAD;
    }
    g_hash_table_remove(d->doubts, target);
    return CRIER_DROP;
}

/* "/channels/123" of a path below it. */
static char *target_of(const char *path)
{
    const char *end = strchr(path + 1, '/');
    end = end ? strchr(end + 1, '/') : NULL;
    return crier_strndup(path, end ? (size_t)(end - path) : strlen(path));
}

/* "Sat, 21 Nov 2026 22:31:10 GMT" -> wall microseconds; 0 when it is none. */
static int64_t http_date(const struct crier_http_response *res)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[40], month[4];
    struct tm tm = {0};
    if (!crier_http_header(res, "date", text, sizeof text) ||
        sscanf(text, "%*3s, %d %3s %d %d:%d:%d", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) != 6)
        return 0;
    const char *at = strstr(months, month);
    if (!at)
        return 0;
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_year -= 1900;
    return (int64_t)timegm(&tm) * CRIER_S;
}

static void learn(struct crier_discord *d, const struct client_request *r,
                  const struct crier_http_response *res, const json_t *body)
{
    int64_t date = http_date(res);
    if (date) {
        d->skew = date - crier_loop_wall(d->loop);
        d->skew_known = true;
    }
    if (res->status < 200 || res->status > 299)
        return;
    uint64_t self = 0;
    if (r->phase == WHO || strcmp(r->path, "/users/@me") == 0)
        self = crier_snowflake(body, "id");
    else if (r->phase == MAIN && (r->kind & (CRIER_REQ_CREATE | CRIER_REQ_EDIT)))
        self = crier_snowflake(json_object_get(body, "author"), "id");
    if (self)
        d->self = self;
}

/* --- a create whose answer was lost -------------------------------------------------------- */

static void learn_made(struct crier_discord *d, uint64_t channel, uint64_t message)
{
    uint64_t *pair = g_hash_table_lookup(d->last, &channel);
    if (!message)
        return;
    if (!pair) {
        pair = crier_malloc(2 * sizeof *pair);
        pair[0] = channel;
        g_hash_table_insert(d->last, pair, pair);
    }
    pair[1] = message;
}

static void not_to_be_seen(struct client_request *r, const char *why)
{
    if (r->failing) {
        client_end_failed(r, r->verdict);
        return;
    }
    crier_err_set(&r->result.err, CRIER_EBUSY,
                  "it may have been sent, but %s: it is not sent again", why);
    client_set_where(r);
    client_end(r, r->find ? CRIER_SENT : CRIER_RETRY);
}

/* The side requests of a create have been answered. */
static void looked(struct client_request *r, json_t *body)
{
    struct crier_discord *d = r->d;
    const struct crier_lookup lookup = {r->content, r->nonce, d->self, r->looked};
    json_t *found = r->phase == LOOK ? crier_lookup_find(&lookup, body) : NULL;
    r->pages += r->phase == LOOK;
    uint64_t newest = crier_lookup_newest(body);
    bool more = r->phase == LOOK && json_array_size(body) >= PAGE && r->looked;
    if (found) {
        learn_made(d, r->channel, crier_snowflake(found, "id"));
        r->result.body = json_incref(found);
        client_end(r, CRIER_SENT);
        return;
    }
    if (r->phase == WHO) {
        r->phase = LOOK;
    } else if (more && (newest <= r->looked || r->pages == PAGES)) {
        not_to_be_seen(r, "too much has been written there since to find it");
        return;
    } else if (more) {
        r->looked = newest;
    } else if (r->phase == LOOK && r->pages == 1 && !json_array_size(body)) {
        r->phase = LAST;
    } else if (r->phase == LAST && crier_snowflake(body, "last_message_id") > r->looked) {
        not_to_be_seen(r, "the bot lacks Read Message History there to see whether it was");
        return;
    } else if (r->find) {
        client_end(r, CRIER_SENT);
        return;
    } else if (r->failing) { /* it is not there: that is sure now */
        r->result.err = r->verdict_why;
        r->result.status = r->verdict_status;
        r->result.code = r->verdict_code;
        r->maybe_at = CRIER_NEVER;
        client_end(r, r->verdict);
        return;
    } else {
        r->phase = MAIN;
        r->maybe_at = CRIER_NEVER;
    }
    r->failures = 0;
    r->since = crier_loop_now(d->loop);
    client_queue_ready(r->queue);
}

static void succeeded(struct client_request *r, const struct crier_http_response *res, json_t *body)
{
    struct crier_discord *d = r->d;
    if (g_hash_table_size(d->doubts)) {
        char *target = target_of(r->path);
        g_hash_table_remove(d->doubts, target);
        free(target);
    }
    memset(&r->result.err, 0, sizeof r->result.err);
    if (r->kind == CRIER_REQ_DM)
        client_dm_opened(d);
    if (r->phase != MAIN) {
        looked(r, body);
        return;
    }
    if (r->kind == CRIER_REQ_CREATE)
        learn_made(d, r->channel, crier_snowflake(body, "id"));
    if (res->status < 300)
        r->result.body = json_incref(body);
    client_end(r, CRIER_SENT);
}

/* A reply without Read Message History is refused; the message without the reply is not. */
static bool without_reference(struct client_request *r)
{
    json_t *payload = r->payload.len ? json_loadb(r->payload.data, r->payload.len, 0, NULL) : NULL;
    json_t *holder = json_object_get(payload, "message_reference") ? payload : NULL;
    if (holder) {
        json_object_del(holder, "message_reference");
        char *text = json_dumps(payload, JSON_COMPACT);
        crier_buf_clear(&r->payload);
        crier_buf_puts(&r->payload, text);
        free(text);
        r->result.note = "sent without the reply: the bot lacks Read Message History";
    }
    json_decref(payload);
    return holder != NULL;
}

/* Whether a success is one of Discord's: what stands between us and it may answer 200 with a page
 * of its own. Then nobody knows what has been done. */
static bool garbled(const struct client_request *r, const struct crier_http_response *res,
                    const json_t *body)
{
    if (res->status == 404)
        return crier_outcome_foreign(res);
    if (res->status < 200 || res->status > 299 || !res->body.len)
        return false;
    if (!json_is_object(body) && !json_is_array(body))
        return true;
    if (r->phase == LOOK)
        return !json_is_array(body);
    return (r->phase != MAIN || r->kind & (CRIER_REQ_CREATE | CRIER_REQ_DM)) &&
           !crier_snowflake(body, "id");
}

static void judge(struct client_request *r, const struct crier_http_response *res, json_t *body,
                  const char *route, int64_t now, int64_t told)
{
    struct crier_discord *d = r->d;
    bool unreadable = garbled(r, res, body);
    int code = unreadable ? CRIER_CODE_LOST : crier_outcome_code(res, body);
    const struct crier_outcome_row *row = crier_outcome_row(
        unreadable ? 0 : res->status, code, r->phase == MAIN ? r->kind : CRIER_REQ_GET);
    r->result.status = res->status;
    r->result.code = code > 0 ? code : 0;
    if (row->class_ != CRIER_CLASS_OK)
        describe(r, res, body, row, code);
    if (unreadable) {
        crier_err_set(&r->result.err, CRIER_ENET, "%d with what is no answer of Discord's",
                      res->status);
        client_set_where(r);
    }
    if (row->class_ != CRIER_CLASS_BREAK && res->status && !unreadable)
        crier_breaker_fine(d->breaker, now);
    r->limited = row->class_ == CRIER_CLASS_WAIT ? r->limited + 1 : 0;
    if (code == 160002 && without_reference(r)) {
        again_at(r, now);
        return;
    }

    switch (row->class_) {
    case CRIER_CLASS_OK:
        succeeded(r, res, body);
        return;
    case CRIER_CLASS_LOST:
        if (end_unknown(r))
            return;
        if (r->phase == MAIN && r->maybe_at == CRIER_NEVER)
            r->maybe_at = r->started;
        r->lost |= r->phase == MAIN && r->kind == CRIER_REQ_CREATE;
        again(r, now, row->wait);
        return;
    case CRIER_CLASS_RETRY:
        again(r, now, row->wait);
        return;
    case CRIER_CLASS_WAIT: {
        int64_t wait = crier_ratelimit_retry_after(res);
        int64_t until = now + (wait >= 0 ? wait : row->wait * CRIER_S);
        if (until < told)
            until = told;
        /* It says that it will be over, and it is not: no reason to ask at each moment. */
        if (r->limited > LIMITED_MAX && until < now + (CRIER_S << (r->limited - LIMITED_MAX)))
            until =
                now + (CRIER_S << (r->limited - LIMITED_MAX < 6 ? r->limited - LIMITED_MAX : 6));
        crier_ratelimit_hold(d->rl, route, until);
        if (r->kind == CRIER_REQ_DM && code == 40003)
            client_dm_too_fast(d, until, &r->result.err);
        r->since = now;
        again_at(r, until);
        return;
    }
    case CRIER_CLASS_BREAK:
        rest(d, now, row->wait, &r->result.err);
        r->since = now;
        again_at(r, d->breaker->until);
        return;
    case CRIER_CLASS_PAUSE:
        if (r->kind == CRIER_REQ_DM && code == CRIER_CODE_QUARANTINED)
            client_quarantine(d, now, row->wait, &r->result.err);
        if (!r->failing)
            r->result.pause = row->wait;
        client_end_failed(r, CRIER_PAUSE);
        return;
    case CRIER_CLASS_DOUBT: {
        char *target = target_of(r->path);
        enum crier_outcome outcome = doubt(d, target);
        free(target);
        client_end_failed(r, outcome);
        return;
    }
    case CRIER_CLASS_STOP: {
        struct crier_err why = r->result.err;
        client_end(r, CRIER_STOP);
        if (!d->stopped) {
            client_stop(d, &why);
            client_tell(d, CRIER_DISCORD_STOPPED, &d->stop_why);
        }
        return;
    }
    case CRIER_CLASS_DROP:
        client_end_failed(r, CRIER_DROP);
        return;
    case CRIER_CLASS_REBUILD:
        client_end(r, CRIER_REBUILD);
        return;
    case CRIER_CLASS_BAD:
        client_end_failed(r, CRIER_BAD);
        return;
    }
}

/* A failure of our own side is no question of the network: nothing to repeat. An answer that is too
 * large is none, but there was one. */
static bool failed_here(struct client_request *r, const struct crier_http_response *res)
{
    if (res->status || res->err.code == CRIER_ENET || res->err.code == CRIER_ETIMEOUT ||
        res->err.code == CRIER_ELIMIT)
        return false;
    r->result.err = res->err;
    client_set_where(r);
    client_end(r, CRIER_BAD);
    return true;
}

/* Who we are is learnt from a message's author, once. */
static json_t *parse(const struct client_request *r, const struct crier_http_response *res)
{
    json_t *body = NULL;
    bool author = r->kind & (CRIER_REQ_CREATE | CRIER_REQ_EDIT);
    if (!res->body.len)
        return NULL;
    if (r->brief && r->phase == MAIN && res->status == 200 && (!author || r->d->self))
        body = crier_discord_brief_body(res->body.data, res->body.len);
    return body ? body : json_loadb(res->body.data, res->body.len, 0, NULL);
}

/* What counts towards Discord's limit of invalid requests. */
static bool refused(const struct crier_http_response *res)
{
    char scope[16];
    if (res->status == 429)
        return !crier_http_header(res, "x-ratelimit-scope", scope, sizeof scope) ||
               strcmp(scope, "shared") != 0;
    return res->status == 401 || res->status == 403;
}

void client_on_answer(void *arg, struct crier_http_response *res)
{
    struct client_call *call = arg;
    struct client_request *r = call->request;
    if (!r) {
        free(call->route);
        free(call);
        return;
    }
    struct crier_discord *d = r->d;
    int64_t now = crier_loop_now(d->loop), told = 0;
    json_t *body = parse(r, res);
    d->in_flight--;
    if (r->probe)
        d->breaker->probing--;
    r->probe = false;
    r->call = NULL;
    r->queue->state = WAITING;
    r->result.latency = res->latency;
    if (res->status) {
        d->latency_sum += (uint64_t)res->latency;
        d->latency_count++;
        if (refused(res))
            crier_breaker_refused(d->breaker, now);
        told = crier_ratelimit_answer(d->rl, call->route, call->taken, res, now);
        learn(d, r, res, body);
    } else {
        crier_ratelimit_lost(d->rl, call->route, call->taken, now);
    }
    /* What waited for one under way may go now. */
    while (d->parked.length)
        client_queue_ready(d->parked.head->data);
    crier_timer_in(d->loop, &d->pump, 0);

    if (res->status < 200 && (r->canceled || res->err.code == CRIER_ECANCELED))
        client_end_canceled(r);
    else if (!failed_here(r, res))
        judge(r, res, body, call->route, now, told);

    unsigned count = crier_breaker_count(d->breaker, now);
    if (count >= CRIER_BREAKER_LIMIT && d->breaker->until <= now) {
        struct crier_err why;
        crier_err_set(&why, CRIER_EDENIED,
                      "%u requests within ten minutes were refused (401, 403, 429); resting, since "
                      "Discord blocks an address at 10000",
                      count);
        rest(d, now, 600, &why);
    }
    json_decref(body);
    free(call->route);
    free(call);
    client_deliver(d);
}
