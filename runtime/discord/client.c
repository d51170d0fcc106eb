/* SPDX-License-Identifier: MIT */
#include "discord/client.h"

#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "discord/brief.h"
#include "discord/lookup.h"
#include "discord/ratelimit.h"
#include "discord/request.h"

#define BACKOFF_MIN (250 * CRIER_MS)
#define BACKOFF_MAX (30 * CRIER_S)
#define NONCE_WINDOW (120 * CRIER_S)
#define SKEW_SLACK (2 * CRIER_S) /* whole seconds on both sides */
#define DOUBTS_MAX 3
#define LIMITED_MAX 3
#define DM_GAP CRIER_S /* between two openings of direct messages, but for the first few */
#define DM_GAP_MAX (60 * CRIER_S)
#define DM_BURST 4
#define PROBE_LOOK (100 * CRIER_MS) /* another bot's probe does not wake us */
#define QUARANTINE_MAX 86400

/* What a request asks for next. A create whose nonce may have expired looks at the channel first,
 * page by page, for which it must know who we are, and the server's time. A channel without
 * messages may be one whose history is hidden from us: what its last message is, is not. */
enum phase { MAIN, WHO, LOOK, LAST };
enum { PAGE = 100, PAGES = 50 };

struct queue;

struct request {
    uint64_t id;
    struct crier_discord *d;
    struct queue *queue;
    GList link; /* in queue->requests or d->ended */
    enum crier_request_kind kind;
    enum phase phase;
    const char *method;
    char *path;
    uint64_t channel; /* creates */
    struct crier_content *content;
    struct crier_buf payload;
    char nonce[26];

    int64_t since;   /* ready to go since; its time until the start is `waited` */
    int64_t next_at; /* not before */
    int64_t not_after;
    int64_t maybe_at; /* first attempt that may have been executed; CRIER_NEVER: none */
    uint64_t known;  /* the last message of ours in the channel before that attempt; 0: not known */
    uint64_t looked; /* the channel has been looked through up to this id; 0: from its end */
    int pages;       /* answered since it is being looked at */
    int64_t started;
    int failures; /* in a row, for the back-off */
    int limited;  /* answers 429 in a row */
    bool once;    /* not to be repeated when it may have been executed */
    bool find;    /* crier_discord_find: only looks */
    bool probe;   /* counted in the breaker's `probing` */
    struct crier_timer deadline;
    struct call *call;
    bool canceled;
    bool brief; /* crier_discord_brief */

    struct crier_discord_result result;
    crier_discord_done *done;
    void *arg;
};

/* What the transport calls back; outlives the client when that is freed first. */
struct call {
    struct request *request; /* NULL: nobody is interested any more */
    struct crier_http_call *http;
    char *route;
    int64_t taken; /* its place in the global limit */
};

enum state { READY, WAITING, PARKED, BUSY };

/* Those who want the global limit at once get it in turn: each guild, user, and each route of which
 * nobody has told whose it is. */
struct share {
    uint64_t whose; /* 0: of one queue only */
    GQueue ready;   /* queues */
    GList link;     /* in d->turns, while there are some */
    unsigned queues;
};

/* The requests of one route, in order; the first one is at work. */
struct queue {
    struct crier_discord *d;
    char *route;
    GQueue requests;
    enum state state;
    struct share *share;
    GList link; /* in share->ready or d->parked */
    struct crier_timer timer;
};

struct crier_discord {
    struct crier_loop *loop;
    struct crier_transport *transport;
    struct crier_ratelimit *rl;
    struct crier_rng rng;
    char *name, *api;
    char *token; /* a locked page of its own */
    size_t token_size;
    GHashTable *queues;   /* route -> struct queue */
    GHashTable *requests; /* id -> struct request */
    GHashTable *doubts;   /* channel or guild of a route -> unknown 403/404 in a row */
    GHashTable *last;     /* channel -> itself, and our last message there as far as known */
    GHashTable *shares;   /* whose -> struct share */
    GQueue turns;         /* of shares */
    GQueue parked, ended;
    struct crier_timer pump;
    uint64_t last_id;
    int in_flight;
    bool delivering;
    uint64_t self; /* our user id; 0: not known yet */
    int64_t skew;  /* server's wall time - ours */
    bool skew_known;
    struct crier_breaker *breaker, own_breaker;
    int64_t dm_gap, dm_free; /* when the opener's allowance is used up to nothing */
    int64_t quarantine_until;
    int quarantines; /* in a row */
    struct crier_err quarantine_why;
    void (*on_event)(void *arg, enum crier_discord_event event, const struct crier_err *why);
    void *event_arg;
    bool stopped;
    struct crier_err stop_why;
    uint64_t made, sent, failed, retries;
    int64_t waited;
    uint64_t outcomes[CRIER_CANCELED + 1];
    uint64_t latency_sum, latency_count;
};

const char *crier_outcome_name(enum crier_outcome outcome)
{
    static const char *const names[] = {"sent",    "retry", "drop", "pause",
                                        "rebuild", "bad",   "stop", "canceled"};
    return names[outcome];
}

/* --- the token ----------------------------------------------------------------------------- */

static void token_keep(struct crier_discord *d, const char *token)
{
    size_t len = strlen(token) + 1;
    d->token_size = (len + 4095) / 4096 * 4096;
    d->token =
        mmap(NULL, d->token_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (d->token == MAP_FAILED)
        abort();
    mlock(d->token, d->token_size); /* may be refused by ulimit; then it is only not printed */
    madvise(d->token, d->token_size, MADV_DONTDUMP);
    memcpy(d->token, token, len);
}

static void token_drop(struct crier_discord *d)
{
    explicit_bzero(d->token, d->token_size);
    munmap(d->token, d->token_size);
}

/* --- the end of a request ------------------------------------------------------------------ */

static void request_free(struct request *r)
{
    crier_content_unref(r->content);
    crier_buf_fini(&r->payload);
    json_decref(r->result.body);
    free(r->path);
    free(r);
}

static void request_done(struct request *r)
{
    struct crier_discord *d = r->d;
    *(r->result.outcome == CRIER_SENT ? &d->sent : &d->failed) += 1;
    d->outcomes[r->result.outcome]++;
    r->done(r->arg, &r->result);
    request_free(r);
}

/* Everyone who comes from the loop calls this last, so that no callback finds us in the middle of
 * something. */
static void deliver(struct crier_discord *d)
{
    if (d->delivering)
        return;
    d->delivering = true;
    GList *link;
    while ((link = g_queue_pop_head_link(&d->ended)))
        request_done(link->data);
    d->delivering = false;
}

static void share_join(struct queue *q, uint64_t whose)
{
    struct crier_discord *d = q->d;
    struct share *share = whose ? g_hash_table_lookup(d->shares, &whose) : NULL;
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

static void share_leave(struct queue *q)
{
    struct share *share = q->share;
    q->share = NULL;
    if (--share->queues)
        return;
    if (share->whose)
        g_hash_table_remove(q->d->shares, &share->whose);
    free(share);
}

static void enter_ready(struct queue *q)
{
    g_queue_push_tail_link(&q->share->ready, &q->link);
    if (q->share->ready.length == 1)
        g_queue_push_tail_link(&q->d->turns, &q->share->link);
}

static void leave_ready(struct queue *q)
{
    g_queue_unlink(&q->share->ready, &q->link);
    if (!q->share->ready.length)
        g_queue_unlink(&q->d->turns, &q->share->link);
}

static void queue_drop(struct queue *q)
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

static void queue_ready(struct queue *q)
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

/* Take a request that is not under way out of its queue; told to its owner by deliver(). */
static void request_end(struct request *r, enum crier_outcome outcome)
{
    struct crier_discord *d = r->d;
    struct queue *q = r->queue;
    r->result.outcome = outcome;
    r->result.unsure =
        outcome != CRIER_SENT && r->kind == CRIER_REQ_CREATE && r->maybe_at != CRIER_NEVER;
    crier_timer_stop(d->loop, &r->deadline);
    g_hash_table_remove(d->requests, &r->id);
    if (q) {
        bool first = q->requests.head == &r->link;
        g_queue_unlink(&q->requests, &r->link);
        if (!q->requests.length)
            queue_drop(q);
        else if (first)
            queue_ready(q);
    }
    r->queue = NULL;
    g_queue_push_tail_link(&d->ended, &r->link);
}

static void set_where(struct request *r)
{
    crier_err_at(&r->result.err, "%s %s", r->method, r->path);
}

static void end_late(struct request *r)
{
    struct crier_err *err = &r->result.err;
    if (!err->code && r->d->breaker->until > crier_loop_now(r->d->loop))
        *err = r->d->breaker->why;
    else if (!err->code)
        crier_err_set(err, CRIER_ETIMEOUT,
                      "not sent in time: it waited for Discord's rate limit until its deadline");
    else
        crier_err_prefix(err, "given up after %d request%s: ", r->result.requests,
                         r->result.requests == 1 ? "" : "s");
    set_where(r);
    request_end(r, CRIER_RETRY);
}

static void tell(struct crier_discord *d, enum crier_discord_event event,
                 const struct crier_err *why)
{
    if (d->on_event)
        d->on_event(d->event_arg, event, why);
}

static void end_stopped(struct request *r)
{
    r->result.err = r->d->stop_why;
    request_end(r, CRIER_STOP);
}

static void end_canceled(struct request *r)
{
    crier_err_set(&r->result.err, CRIER_ECANCELED, "given up by its owner");
    set_where(r);
    request_end(r, CRIER_CANCELED);
}

/* No request is made any more; those under way end with their answers. */
static void stop(struct crier_discord *d, const struct crier_err *why)
{
    d->stopped = true;
    d->stop_why = *why;
    crier_err_prefix(&d->stop_why, "bot '%s': ", d->name);
    GHashTableIter it;
    void *value;
    GQueue waiting = G_QUEUE_INIT;
    g_hash_table_iter_init(&it, d->requests);
    while (g_hash_table_iter_next(&it, NULL, &value))
        if (!((struct request *)value)->call)
            g_queue_push_tail(&waiting, value);
    while (waiting.length)
        end_stopped(g_queue_pop_head(&waiting));
}

/* --- what an answer means ------------------------------------------------------------------ */

static void describe(struct request *r, const struct crier_http_response *res, const json_t *body,
                     const struct crier_outcome_row *row, int code)
{
    struct crier_err *err = &r->result.err;
    if (!res->status) {
        *err = res->err;
        set_where(r);
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
    set_where(r);
    crier_buf_fini(&errors);
    crier_buf_fini(&text);
}

/* Full jitter, so that many requests that failed together do not come back together. */
static int64_t backoff(struct request *r)
{
    int shift = r->failures < 7 ? r->failures : 7;
    int64_t top = BACKOFF_MIN << shift;
    r->failures++;
    return crier_rng_range(&r->d->rng, BACKOFF_MIN, top < BACKOFF_MAX ? top : BACKOFF_MAX);
}

static void again_at(struct request *r, int64_t at)
{
    if (r->d->stopped || r->canceled) {
        (r->canceled ? end_canceled : end_stopped)(r);
        return;
    }
    if (at > r->not_after) {
        end_late(r);
        return;
    }
    r->next_at = at;
    queue_ready(r->queue);
}

static void again(struct request *r, int64_t now, int at_least)
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
static bool end_unknown(struct request *r)
{
    if (!r->once || r->phase != MAIN)
        return false;
    crier_err_prefix(&r->result.err, "not repeated, since it may have been done: ");
    set_where(r);
    request_end(r, CRIER_RETRY);
    return true;
}

/* --- direct messages ----------------------------------------------------------------------- */

/* Opening many in a short time is what gets bots quarantined: a few at once, then one by one, and
 * more slowly each time that Discord minds. */
static int64_t dm_wait(const struct crier_discord *d, int64_t now)
{
    int64_t at = d->dm_free - DM_BURST * d->dm_gap;
    return at > now ? at : 0;
}

static void dm_opening(struct crier_discord *d, int64_t now)
{
    d->dm_free = (d->dm_free > now ? d->dm_free : now) + d->dm_gap;
}

static void dm_opened(struct crier_discord *d)
{
    d->quarantines = 0;
    d->quarantine_until = 0;
    d->dm_gap -= (d->dm_gap - DM_GAP) / 8;
}

static void dm_too_fast(struct crier_discord *d, int64_t until, const struct crier_err *why)
{
    d->dm_gap = d->dm_gap * 4 < DM_GAP_MAX ? d->dm_gap * 4 : DM_GAP_MAX;
    d->dm_free = until + DM_BURST * d->dm_gap;
    tell(d, CRIER_DISCORD_SLOWED, why);
}

static void quarantine(struct crier_discord *d, int64_t now, int seconds,
                       const struct crier_err *why)
{
    int64_t wait = seconds;
    for (int i = 0; i < d->quarantines && wait < QUARANTINE_MAX; i++)
        wait *= 2;
    d->quarantines++;
    d->quarantine_until = now + (wait < QUARANTINE_MAX ? wait : QUARANTINE_MAX) * CRIER_S;
    d->quarantine_why = *why;
    tell(d, CRIER_DISCORD_QUARANTINED, why);
}

static void rest(struct crier_discord *d, int64_t now, int seconds, const struct crier_err *why)
{
    if (d->breaker->until > now)
        return;
    struct crier_err told = *why;
    crier_err_prefix(&told, "bot '%s': ", d->name);
    crier_breaker_open(d->breaker, now, seconds, &told);
    tell(d, CRIER_DISCORD_RESTING, &told);
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

static void learn(struct crier_discord *d, const struct request *r,
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

/* What is not newer than this is not it. A time in the future is one of a clock that has been set
 * since: it says nothing. */
static uint64_t not_before(const struct request *r, int64_t now)
{
    const struct crier_discord *d = r->d;
    if (r->maybe_at > now)
        return r->known;
    int64_t first = crier_loop_wall(d->loop) - (now - r->maybe_at) + d->skew;
    uint64_t at = crier_snowflake_at(first - SKEW_SLACK);
    return at > r->known ? at : r->known;
}

static void not_to_be_seen(struct request *r, const char *why)
{
    crier_err_set(&r->result.err, CRIER_EBUSY,
                  "it may have been sent, but %s: it is not sent again", why);
    set_where(r);
    request_end(r, r->find ? CRIER_SENT : CRIER_RETRY);
}

/* The side requests of a create have been answered. */
static void looked(struct request *r, json_t *body)
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
        request_end(r, CRIER_SENT);
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
        request_end(r, CRIER_SENT);
        return;
    } else {
        r->phase = MAIN;
        r->maybe_at = CRIER_NEVER;
    }
    r->failures = 0;
    r->since = crier_loop_now(d->loop);
    queue_ready(r->queue);
}

static void succeeded(struct request *r, const struct crier_http_response *res, json_t *body)
{
    struct crier_discord *d = r->d;
    char *target = target_of(r->path);
    g_hash_table_remove(d->doubts, target);
    free(target);
    memset(&r->result.err, 0, sizeof r->result.err);
    if (r->kind == CRIER_REQ_DM)
        dm_opened(d);
    if (r->phase != MAIN) {
        looked(r, body);
        return;
    }
    if (r->kind == CRIER_REQ_CREATE)
        learn_made(d, r->channel, crier_snowflake(body, "id"));
    if (res->status < 300)
        r->result.body = json_incref(body);
    request_end(r, CRIER_SENT);
}

/* A reply without Read Message History is refused; the message without the reply is not. */
static bool without_reference(struct request *r)
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
static bool garbled(const struct request *r, const struct crier_http_response *res,
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

static void judge(struct request *r, const struct crier_http_response *res, json_t *body,
                  const char *route, int64_t now, int64_t told)
{
    struct crier_discord *d = r->d;
    bool unreadable = garbled(r, res, body);
    int code = unreadable ? CRIER_CODE_LOST : crier_outcome_code(res, body);
    const struct crier_outcome_row *row = crier_outcome_row(
        unreadable ? 0 : res->status, code, r->phase == MAIN ? r->kind : CRIER_REQ_GET);
    r->result.status = res->status;
    r->result.code = code > 0 ? code : 0;
    describe(r, res, body, row, code);
    if (unreadable) {
        crier_err_set(&r->result.err, CRIER_ENET, "%d with what is no answer of Discord's",
                      res->status);
        set_where(r);
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
            dm_too_fast(d, until, &r->result.err);
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
            quarantine(d, now, row->wait, &r->result.err);
        r->result.pause = row->wait;
        request_end(r, CRIER_PAUSE);
        return;
    case CRIER_CLASS_DOUBT: {
        char *target = target_of(r->path);
        enum crier_outcome outcome = doubt(d, target);
        free(target);
        request_end(r, outcome);
        return;
    }
    case CRIER_CLASS_STOP: {
        struct crier_err why = r->result.err;
        request_end(r, CRIER_STOP);
        if (!d->stopped) {
            stop(d, &why);
            tell(d, CRIER_DISCORD_STOPPED, &d->stop_why);
        }
        return;
    }
    case CRIER_CLASS_DROP:
        request_end(r, CRIER_DROP);
        return;
    case CRIER_CLASS_REBUILD:
        request_end(r, CRIER_REBUILD);
        return;
    case CRIER_CLASS_BAD:
        request_end(r, CRIER_BAD);
        return;
    }
}

/* A failure of our own side is no question of the network: nothing to repeat. An answer that is too
 * large is none, but there was one. */
static bool failed_here(struct request *r, const struct crier_http_response *res)
{
    if (res->status || res->err.code == CRIER_ENET || res->err.code == CRIER_ETIMEOUT ||
        res->err.code == CRIER_ELIMIT)
        return false;
    r->result.err = res->err;
    set_where(r);
    request_end(r, CRIER_BAD);
    return true;
}

/* Who we are is learnt from a message's author, once. */
static json_t *parse(const struct request *r, const struct crier_http_response *res)
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

static void on_answer(void *arg, struct crier_http_response *res)
{
    struct call *call = arg;
    struct request *r = call->request;
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
        queue_ready(d->parked.head->data);
    crier_timer_in(d->loop, &d->pump, 0);

    if (res->status < 200 && (r->canceled || res->err.code == CRIER_ECANCELED))
        end_canceled(r);
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
    deliver(d);
}

/* --- sending ------------------------------------------------------------------------------- */

static void set_phase(struct request *r, int64_t now)
{
    if (r->phase != MAIN || r->kind != CRIER_REQ_CREATE || r->maybe_at == CRIER_NEVER ||
        (!r->find && r->maybe_at <= now && now - r->maybe_at <= NONCE_WINDOW))
        return;
    r->phase = r->d->self && r->d->skew_known ? LOOK : WHO;
    r->looked = 0;
    r->pages = 0;
}

static char *route_of(const struct request *r)
{
    if (r->phase == MAIN)
        return crier_strdup(r->queue->route);
    if (r->phase == WHO)
        return crier_strdup("GET /users/@me");
    return crier_asprintf("GET /channels/%" PRIu64 "%s", r->channel,
                          r->phase == LOOK ? "/messages" : "");
}

static char *url_of(struct request *r, int64_t now)
{
    const char *api = r->d->api;
    if (r->phase == MAIN)
        return crier_asprintf("%s%s", api, r->path);
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
    struct call *call = arg;
    struct crier_discord *d = call->request ? call->request->d : NULL;
    if (!d)
        return;
    crier_ratelimit_sent(d->rl, &call->taken, crier_loop_now(d->loop));
    crier_timer_in(d->loop, &d->pump, 0);
}

static void start(struct request *r, char *route, int64_t taken, int64_t now)
{
    struct crier_discord *d = r->d;
    struct crier_http_request req;
    char *url = url_of(r, now);
    const uint64_t *made = g_hash_table_lookup(d->last, &r->channel);
    if (r->phase == MAIN && r->maybe_at == CRIER_NEVER && made)
        r->known = made[1];
    crier_http_request_init(&req, r->phase == MAIN ? r->method : "GET", url);
    free(url);
    crier_http_request_header(&req, "Authorization: Bot %s", d->token);
    crier_http_request_header(
        &req, "User-Agent: DiscordBot (https://github.com/crier-bot/crier, %s)", CRIER_VERSION);
    if (r->phase == MAIN && r->payload.len)
        crier_request_body(&req, r->content, r->payload.data, r->payload.len);
    if (now > r->since) {
        r->result.waited += now - r->since;
        d->waited += now - r->since;
    }
    if (r->kind == CRIER_REQ_DM)
        dm_opening(d, now);
    if (d->breaker->opened) {
        r->probe = true;
        d->breaker->probing++;
    }
    r->started = now;
    r->result.requests++;
    d->made++;
    d->in_flight++;
    struct call *call = crier_calloc(1, sizeof *call);
    call->request = r;
    call->route = route;
    call->taken = taken;
    r->call = call;
    r->queue->state = BUSY;
    if (d->transport->ops->connects) {
        req.sent = on_sent;
        crier_ratelimit_unsent(d->rl, &call->taken);
    }
    call->http = d->transport->ops->start(d->transport, &req, on_answer, call);
}

enum tried { WENT, PUT_AWAY, FULL };

/* Let the first request of a ready queue go, or put the queue where it waits, or end the request.
 * FULL: the global limit is reached, nobody goes. */
static enum tried try_queue(struct crier_discord *d, struct queue *q, int64_t now)
{
    struct request *r = g_queue_peek_head(&q->requests);
    if (r->not_after < now) {
        end_late(r); /* the queue stays ready, or is gone */
        return PUT_AWAY;
    }
    if (r->kind == CRIER_REQ_DM && d->quarantine_until > now) {
        r->result.err = d->quarantine_why;
        r->result.pause = (int)((d->quarantine_until - now) / CRIER_S) + 1;
        request_end(r, CRIER_PAUSE);
        return PUT_AWAY;
    }
    int64_t at = r->next_at > now ? r->next_at : 0;
    if (!at && r->kind == CRIER_REQ_DM)
        at = dm_wait(d, now);
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
        end_late(r);
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

static void on_pump(struct crier_timer *timer)
{
    struct crier_discord *d = CRIER_CONTAINER(timer, struct crier_discord, pump);
    int64_t now = crier_loop_now(d->loop);
    /* After a rest one request goes alone, and tells whether it is over. */
    int64_t wait = 0;
    while (d->turns.length && !(wait = crier_breaker_wait(d->breaker, now))) {
        struct share *share = d->turns.head->data;
        enum tried tried = try_queue(d, share->ready.head->data, now);
        if (tried == FULL)
            break;
        if (tried == WENT && d->turns.head == &share->link)
            g_queue_push_tail_link(&d->turns, g_queue_pop_head_link(&d->turns));
    }
    if (wait)
        crier_timer_at(d->loop, &d->pump, wait == CRIER_NEVER ? now + PROBE_LOOK : wait);
    deliver(d);
}

static void on_queue_timer(struct crier_timer *timer)
{
    queue_ready(CRIER_CONTAINER(timer, struct queue, timer));
}

static void on_deadline(struct crier_timer *timer)
{
    struct request *r = CRIER_CONTAINER(timer, struct request, deadline);
    struct crier_discord *d = r->d;
    if (!r->call) /* one under way is let finish, and not repeated */
        end_late(r);
    deliver(d);
}

static struct queue *queue_get(struct crier_discord *d, const char *method, const char *path)
{
    struct crier_buf route = {0};
    crier_ratelimit_route(method, path, &route);
    struct queue *q = g_hash_table_lookup(d->queues, route.data);
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

/* Consumes path. */
static struct request *request_new(struct crier_discord *d, enum crier_request_kind kind,
                                   const char *method, char *path, int64_t not_after,
                                   crier_discord_done *done, void *arg)
{
    struct request *r = crier_calloc(1, sizeof *r);
    r->id = ++d->last_id;
    r->d = d;
    r->kind = kind;
    r->method = method;
    r->path = path;
    r->link.data = r;
    r->since = crier_loop_now(d->loop);
    r->not_after = not_after;
    r->maybe_at = CRIER_NEVER;
    r->deadline.fire = on_deadline;
    r->done = done;
    r->arg = arg;
    return r;
}

static struct crier_request_id enqueue(struct request *r)
{
    struct crier_discord *d = r->d;
    g_hash_table_insert(d->requests, &r->id, r);
    struct crier_request_id id = {r->id};
    if (d->stopped) {
        end_stopped(r);
        crier_timer_in(d->loop, &d->pump, 0);
        return id;
    }
    r->queue = queue_get(d, r->method, r->path);
    g_queue_push_tail_link(&r->queue->requests, &r->link);
    if (r->queue->requests.length == 1)
        queue_ready(r->queue);
    if (r->not_after != CRIER_NEVER)
        crier_timer_at(d->loop, &r->deadline, r->not_after);
    return id;
}

struct crier_request_id crier_discord_create(struct crier_discord *d, uint64_t channel,
                                             struct crier_content *content,
                                             const struct crier_mentions *mentions,
                                             const char *nonce, int64_t first_us, int64_t not_after,
                                             crier_discord_done *done, void *arg)
{
    struct request *r = request_new(d, content->thread ? CRIER_REQ_OTHER : CRIER_REQ_CREATE, "POST",
                                    crier_asprintf("/channels/%" PRIu64 "/%s", channel,
                                                   content->thread ? "threads" : "messages"),
                                    not_after, done, arg);
    r->channel = channel;
    r->content = crier_content_ref(content);
    r->once = content->thread != NULL;
    snprintf(r->nonce, sizeof r->nonce, "%s", nonce);
    crier_request_payload(content, mentions, r->nonce, &r->payload);
    if (first_us && !r->once)
        r->maybe_at = r->since - (crier_loop_wall(d->loop) - first_us);
    return enqueue(r);
}

struct crier_request_id crier_discord_find(struct crier_discord *d, uint64_t channel,
                                           struct crier_content *content, const char *nonce,
                                           int64_t first_us, int64_t not_after,
                                           crier_discord_done *done, void *arg)
{
    struct request *r =
        request_new(d, CRIER_REQ_CREATE, "POST",
                    crier_asprintf("/channels/%" PRIu64 "/messages", channel), not_after, done, arg);
    r->channel = channel;
    r->content = crier_content_ref(content);
    r->find = true;
    snprintf(r->nonce, sizeof r->nonce, "%s", nonce);
    r->maybe_at = r->since - (crier_loop_wall(d->loop) - first_us);
    return enqueue(r);
}

struct crier_request_id crier_discord_edit(struct crier_discord *d, uint64_t channel,
                                           uint64_t message, struct crier_content *content,
                                           const struct crier_mentions *mentions, int64_t not_after,
                                           crier_discord_done *done, void *arg)
{
    struct request *r =
        request_new(d, CRIER_REQ_EDIT, "PATCH",
                    crier_asprintf("/channels/%" PRIu64 "/messages/%" PRIu64, channel, message),
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
                    crier_asprintf("/channels/%" PRIu64 "/messages/%" PRIu64, channel, message),
                    not_after, done, arg));
}

struct crier_request_id crier_discord_open_dm(struct crier_discord *d, uint64_t user,
                                              int64_t not_after, crier_discord_done *done,
                                              void *arg)
{
    struct request *r = request_new(d, CRIER_REQ_DM, "POST", crier_strdup("/users/@me/channels"),
                                    not_after, done, arg);
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
    struct request *r = request_new(d, strcmp(method, "GET") == 0 ? CRIER_REQ_GET : CRIER_REQ_OTHER,
                                    method, crier_strdup(path), not_after, done, arg);
    r->once = strcmp(method, "POST") == 0 && len > 8 && strcmp(path + len - 8, "/threads") == 0;
    if (body)
        crier_buf_puts(&r->payload, body);
    return enqueue(r);
}

void crier_discord_cancel(struct crier_discord *d, struct crier_request_id id)
{
    struct request *r = g_hash_table_lookup(d->requests, &id.id);
    if (!r || r->canceled)
        return;
    r->canceled = true;
    if (r->call) {
        d->transport->ops->cancel(d->transport, r->call->http);
        return;
    }
    end_canceled(r);
    crier_timer_in(d->loop, &d->pump, 0);
}

void crier_discord_whose(struct crier_discord *d, struct crier_request_id id, uint64_t whose)
{
    struct request *r = g_hash_table_lookup(d->requests, &id.id);
    struct queue *q = r ? r->queue : NULL;
    if (!q || q->share->whose == whose)
        return;
    if (q->state == READY)
        leave_ready(q);
    share_leave(q);
    share_join(q, whose);
    if (q->state == READY)
        enter_ready(q);
}

void crier_discord_brief(struct crier_discord *d, struct crier_request_id id)
{
    struct request *r = g_hash_table_lookup(d->requests, &id.id);
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
    d->dm_gap = DM_GAP;
    d->queues = g_hash_table_new(g_str_hash, g_str_equal);
    d->requests = g_hash_table_new(g_int64_hash, g_int64_equal);
    d->doubts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    d->last = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free);
    d->shares = g_hash_table_new(g_int64_hash, g_int64_equal);
    g_queue_init(&d->turns);
    g_queue_init(&d->parked);
    g_queue_init(&d->ended);
    d->pump.fire = on_pump;
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
        struct request *r = value;
        if (r->call) {
            r->call->request = NULL;
            d->transport->ops->cancel(d->transport, r->call->http);
            r->call = NULL;
            if (r->probe)
                d->breaker->probing--;
            r->queue->state = WAITING;
        }
        end_canceled(r);
        deliver(d);
    }
    deliver(d);
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
    stop(d, why);
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
