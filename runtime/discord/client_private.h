/* SPDX-License-Identifier: MIT
 *
 * The inside of the client, for its own files only.
 *
 *   client.c         requests come in and are told how they ended; the client's life
 *   client_queue.c   queues of routes, shares of the global limit; how a request is made
 *   client_answer.c  what an answer means for its request and for the client
 *   client_dm.c      the pace at which direct messages are opened
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_CLIENT_PRIVATE_H
#define CRIER_DISCORD_CLIENT_PRIVATE_H

#include <glib.h>
#include <jansson.h>

#include "discord/client.h"
#include "discord/lookup.h"
#include "discord/ratelimit.h"

#define CLIENT_DM_GAP CRIER_S /* between two openings of direct messages, but for the first few */

/* What a request asks for next. A create whose nonce may have expired looks at the channel first,
 * page by page, for which it must know who we are, and the server's time. A channel without
 * messages may be one whose history is hidden from us: what its last message is, is not. */
enum client_phase { MAIN, WHO, LOOK, LAST };
enum { PAGE = 100, PAGES = 50 };

struct client_request {
    uint64_t id;
    struct crier_discord *d;
    struct client_queue *queue;
    GList link; /* in queue->requests or d->ended */
    enum crier_request_kind kind;
    enum client_phase phase;
    const char *method;
    char *path;
    uint64_t channel; /* creates */
    struct crier_content *content;
    struct crier_buf payload;
    char nonce[26];

    int64_t since;   /* ready to go since; its time until the start is `waited` */
    int64_t next_at; /* not before */
    int64_t created;
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
    struct client_call *call;
    bool canceled;
    bool brief; /* crier_discord_brief */
    bool lost;    /* an attempt's answer was, or came to a process before this one */
    bool failing; /* looks a last time; what it fails with is kept meanwhile: */
    enum crier_outcome verdict;
    struct crier_err verdict_why;
    int verdict_status, verdict_code;

    struct crier_discord_result result;
    crier_discord_done *done;
    void *arg;
};

/* What the transport calls back; outlives the client when that is freed first. */
struct client_call {
    struct client_request *request; /* NULL: nobody is interested any more */
    struct crier_http_call *http;
    char *route;
    int64_t taken; /* its place in the global limit */
};

enum client_state { READY, WAITING, PARKED, BUSY };

/* Those who want the global limit at once get it in turn: each guild, user, and each route of which
 * nobody has told whose it is. */
struct client_share {
    uint64_t whose; /* 0: of one queue only */
    GQueue ready;   /* queues */
    GList link;     /* in d->turns, while there are some */
    unsigned queues;
};

/* The requests of one route, in order; the first one is at work. */
struct client_queue {
    struct crier_discord *d;
    char *route;
    GQueue requests;
    enum client_state state;
    struct client_share *share;
    GList link; /* in share->ready or d->parked */
    struct crier_timer timer;
};

struct crier_discord {
    struct crier_loop *loop;
    struct crier_transport *transport;
    struct crier_ratelimit *rl;
    struct crier_rng rng;
    char *name, *api;
    char *authorization; /* "Bot ..."; a locked page of its own */
    size_t token_size;
    GHashTable *queues;   /* route -> struct client_queue */
    GHashTable *requests; /* id -> struct client_request */
    GHashTable *doubts;   /* channel or guild of a route -> unknown 403/404 in a row */
    GHashTable *last;     /* channel -> itself, and our last message there as far as known */
    GHashTable *shares;   /* whose -> struct client_share */
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

/* client.c */
/* Everyone who comes from the loop calls this last, so that no callback finds us in the middle of
 * something. */
void client_deliver(struct crier_discord *d);
/* Take a request that is not under way out of its queue; told to its owner by client_deliver(). */
void client_end(struct client_request *r, enum crier_outcome outcome);
/* The same for a failure. A create of which an attempt may have been executed looks once more, so
 * that nothing stands there that was told to have failed. */
void client_end_failed(struct client_request *r, enum crier_outcome outcome);
void client_end_late(struct client_request *r);
void client_end_stopped(struct client_request *r);
void client_end_canceled(struct client_request *r);
/* No request is made any more; those under way end with their answers. */
void client_stop(struct crier_discord *d, const struct crier_err *why);
void client_set_where(struct client_request *r);
void client_tell(struct crier_discord *d, enum crier_discord_event event,
                 const struct crier_err *why);

/* client_queue.c */
struct client_queue *client_queue_get(struct crier_discord *d, const char *method,
                                      const char *path);
void client_queue_drop(struct client_queue *q);
/* Its first request may be made, as far as the request itself is concerned. */
void client_queue_ready(struct client_queue *q);
/* The next it asks is whether the message is there. */
void client_look(struct client_request *r);
void client_on_pump(struct crier_timer *timer);

/* client_answer.c */
void client_on_answer(void *arg, struct crier_http_response *res);

/* client_dm.c */
/* When the next one may be opened: 0 now. */
int64_t client_dm_wait(const struct crier_discord *d, int64_t now);
void client_dm_opening(struct crier_discord *d, int64_t now);
void client_dm_opened(struct crier_discord *d);
void client_dm_too_fast(struct crier_discord *d, int64_t until, const struct crier_err *why);
void client_quarantine(struct crier_discord *d, int64_t now, int seconds,
                       const struct crier_err *why);

#endif
