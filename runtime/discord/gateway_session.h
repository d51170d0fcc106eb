/* SPDX-License-Identifier: MIT
 *
 * One shard's session with the gateway: a state machine without socket, clock or timer. What
 * happens goes in (opened, frame, closed, tick), what is to be done comes out through the
 * callbacks, at once.
 *
 *     IDLE -> CONNECTING -> (hello) -> WAITING for the owner's leave to identify -> IDENTIFYING
 *                                   \> RESUMING                                    -> READY
 *     and from anywhere, when the connection ends, over BACKOFF to CONNECTING, or to STOPPED.
 *
 * Source: Discord's documentation, topics/gateway: the first heartbeat after a random part of the
 * interval, then each interval with the last number; none acknowledged before the next is due: the
 * connection is dead, and closed with a code that keeps the session. A resume goes to the address
 * that READY told, op 9 false means a new identify on a new connection. What each close code means
 * is the table in gateway_session.c.
 *
 * Thread: [loop]; pure.
 */
#ifndef CRIER_DISCORD_GATEWAY_SESSION_H
#define CRIER_DISCORD_GATEWAY_SESSION_H

#include "base/clock.h"
#include "discord/gateway_frame.h"

enum crier_gateway_state {
    CRIER_GW_IDLE,
    CRIER_GW_CONNECTING, /**< until the hello */
    CRIER_GW_WAITING,    /**< connected; for the leave to identify */
    CRIER_GW_IDENTIFYING,
    CRIER_GW_RESUMING,
    CRIER_GW_READY,
    CRIER_GW_BACKOFF, /**< not connected; tried again at `retry` */
    CRIER_GW_STOPPED, /**< for good: see `stop` */
};
const char *crier_gateway_state_name(enum crier_gateway_state state);

enum crier_gateway_close {
    CRIER_GW_RESUME,   /**< reconnect, and go on with the session */
    CRIER_GW_IDENTIFY, /**< reconnect, with a new session */
    CRIER_GW_STOP,     /**< never again with these settings */
};
/** What a close code means; text: for people, with the remedy where it is a stop. */
enum crier_gateway_close crier_gateway_close_class(int code, const char **text);

/** None may free the session. */
struct crier_gateway_session_ops {
    void (*connect)(void *arg, const char *url);
    void (*send)(void *arg, const char *text, size_t len);
    /** The connection is of no use any more; 0: cut it. `closed` is not called for it. */
    void (*disconnect)(void *arg, int code);
    /** It would like to identify; crier_gateway_session_identify when it may. */
    void (*want_identify)(void *arg);
    /** A dispatch, READY and RESUMED too. */
    void (*dispatch)(void *arg, const struct crier_gateway_frame *frame);
    /** State, session or number have changed in a way that is worth telling; why: for people, or
     *  NULL. */
    void (*changed)(void *arg, const char *why);
};

struct crier_gateway_session {
    const struct crier_gateway_session_ops *ops;
    void *arg;
    /* What the owner sets before the start; texts are its own and outlive the session. */
    const char *token, *url; /**< url: of GET /gateway/bot */
    uint32_t intents;
    unsigned shard, shards;
    char *presence; /**< JSON, owned; NULL: none */
    uint64_t rng;   /**< of the jitter */
    /* The session. */
    enum crier_gateway_state state;
    char *session_id, *resume_url; /**< owned; NULL: there is none to resume */
    int64_t seq;                   /**< of the last event; -1: none */
    uint64_t user;                 /**< READY's: the bot's own id */
    struct crier_err stop;         /**< STOPPED: why; .sys is the close code */
    /* Figures. */
    int64_t latency; /**< of the last heartbeat, microseconds; -1: not known */
    int64_t since;   /**< monotonic: in this state */
    int64_t began;   /**< wall: the session; kept by the owner */
    uint64_t events, resumes, identifies, zombies, reconnects;
    /* private */
    bool connected, acked, presence_due;
    int64_t interval, beat, beaten, timeout, retry, presence_at;
    unsigned attempts;
    char why[160];
};

void crier_gateway_session_init(struct crier_gateway_session *s,
                                const struct crier_gateway_session_ops *ops, void *arg);
/** Frees what it owns; the connection is the owner's to close. */
void crier_gateway_session_fini(struct crier_gateway_session *s);
/** An earlier session, to be resumed at the start. */
void crier_gateway_session_restore(struct crier_gateway_session *s, const char *id,
                                   const char *resume_url, int64_t seq);
void crier_gateway_session_start(struct crier_gateway_session *s, int64_t now);
void crier_gateway_session_opened(struct crier_gateway_session *s, int64_t now);
/** A whole message. */
void crier_gateway_session_receive(struct crier_gateway_session *s, const char *text, size_t len,
                                   int64_t now);
/** The connection has ended by itself. code 0: without a close frame. */
void crier_gateway_session_closed(struct crier_gateway_session *s, int code, const char *why,
                                  int64_t now);
/** The connection is broken (a stream that cannot be inflated): a new one, the session goes on. */
void crier_gateway_session_broken(struct crier_gateway_session *s, const char *why, int64_t now);
/** The leave that was asked for. */
void crier_gateway_session_identify(struct crier_gateway_session *s, int64_t now);
/** A new session from now on: intents have changed. */
void crier_gateway_session_renew(struct crier_gateway_session *s, int64_t now);
/** JSON of a presence; sent now, or as soon as the last one is four seconds old. */
void crier_gateway_session_presence(struct crier_gateway_session *s, const char *json, int64_t now);
/** When to call _tick next; CRIER_NEVER: when something happens. */
int64_t crier_gateway_session_due(const struct crier_gateway_session *s);
void crier_gateway_session_tick(struct crier_gateway_session *s, int64_t now);

#endif
