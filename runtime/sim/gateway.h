/* SPDX-License-Identifier: MIT
 *
 * The simulator's gateway, for the files of this folder only.
 *
 *   gateway.c          connections and sessions: hello, identify, resume, heartbeats, close codes
 *   gateway_events.c   what is told to which session; events that a test or a world file brings about
 *   gateway_faults.c   scripted faults of connections
 *   gateway_server.c   the WebSocket face (with zlib-stream), gateway_inline.c the in-process one
 *
 * Source: Discord's documentation, topics/gateway, gateway-events and opcodes. What it leaves open
 * is a setting of the world file's "gateway", or said where it is decided.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SIM_GATEWAY_H
#define CRIER_SIM_GATEWAY_H

#include "sim/model.h"

struct sim_session;

/** One connection, in a face's own struct. */
struct sim_conn {
    struct crier_sim *sim;
    struct sim_conn *next, **link;
    /** One message of ours goes out. */
    void (*send)(struct sim_conn *conn, const char *text, size_t len);
    /** It ends, with this code (0: cut, without a word); the face calls sim_gateway_gone, then or
     *  later. */
    void (*close)(struct sim_conn *conn, int code, const char *why);
    /** Bytes that no gateway would send. NULL: the face cannot. */
    void (*garbage)(struct sim_conn *conn);
    struct sim_session *session; /* NULL until identified or resumed */
    struct crier_timer deadline; /* the next heartbeat */
    struct crier_timer delayed;  /* what a delay holds back */
    GQueue held;                 /* char *: messages behind a delay */
    int64_t delay;
    int64_t window; /* of the limit of what a client sends: where it began */
    unsigned sent;  /* and how many in it */
    bool mute;      /* says nothing any more: a dead connection that looks alive */
    bool closing;
};

/* gateway.c */
void sim_gateway_init(struct crier_sim *sim);
void sim_gateway_fini(struct crier_sim *sim);
/** A connection is there; query is what stands behind the address's '?'. False: it was closed. */
bool sim_gateway_open(struct crier_sim *sim, struct sim_conn *conn, const char *query);
void sim_gateway_receive(struct sim_conn *conn, const char *text, size_t len);
/** The connection is no more; code: how the client closed it, 0: it did not. */
void sim_gateway_gone(struct sim_conn *conn, int code);
void sim_conn_say(struct sim_conn *conn, const char *text, size_t len);
void sim_conn_close(struct sim_conn *conn, int code, const char *why);
/** {"op":op,"d":d}; d is JSON. */
void sim_conn_op(struct sim_conn *conn, int op, const char *d);
/** An event for a session: numbered, kept for a resume, sent when there is a connection. */
void sim_session_event(struct sim_session *session, const char *name, const char *d, size_t len);
/** What an identify is answered with. */
void sim_session_ready(struct sim_session *session);

struct sim_session {
    struct sim_session *next, **link;
    char id[33];
    struct sim_bot *bot;
    uint32_t intents;
    uint64_t shard, shards;
    int64_t seq, first; /* of the last event; of the oldest that is kept */
    GQueue kept;        /* char *: events for a resume, the last 1,000 */
    struct sim_conn *conn;
    struct crier_timer expiry; /* while there is no connection */
};

/** Settings of the gateway (world file), and what is under way. */
struct sim_gateway {
    struct sim_conn *conns;
    struct sim_session *sessions;
    GPtrArray *faults;    /* gateway_faults.c */
    GPtrArray *scheduled; /* gateway_events.c: events of the world file */
    int64_t heartbeat, keep;
    unsigned shards, concurrency, total, used; /* used: identifies at the beginning */
    uint32_t disallowed;                       /* intents that the bots may not have */
    uint64_t identifies, resumes, events;
};

/* gateway_events.c */
enum {
    SIM_GUILDS = 1 << 0,
    SIM_GUILD_MEMBERS = 1 << 1,
    SIM_GUILD_INVITES = 1 << 6,
    SIM_GUILD_MESSAGES = 1 << 9,
    SIM_GUILD_REACTIONS = 1 << 10,
    SIM_DIRECT_MESSAGES = 1 << 12,
    SIM_DIRECT_REACTIONS = 1 << 13,
    SIM_MESSAGE_CONTENT = 1 << 15,
};
bool sim_session_has_guild(const struct sim_session *session, const struct sim_guild *guild);
void sim_guild_create_json(struct crier_sim *sim, struct crier_buf *b,
                           const struct sim_guild *guild, const struct sim_user *me);
/** Message made, edited, deleted: told to whom it concerns. name: "MESSAGE_CREATE" ... */
void sim_tell_message(struct crier_sim *sim, const char *name, const struct sim_channel *channel,
                      const struct sim_message *message);
void sim_tell_channel(struct crier_sim *sim, const char *name, const struct sim_channel *channel);
/** name: "GUILD_ROLE_CREATE" ... */
void sim_tell_role(struct crier_sim *sim, const char *name, const struct sim_guild *guild,
                   const struct sim_role *role);
/** GUILD_MEMBER_UPDATE: to those with the intent for members, and to a bot of itself. */
void sim_tell_member(struct crier_sim *sim, const struct sim_guild *guild,
                     const struct sim_user *user);
/** An event as JSON: what becomes of the world, and who is told (sim/sim.h, crier_sim_event). */
CRIER_CHECK int sim_event_apply(struct crier_sim *sim, const json_t *event, struct crier_err *err);
/** The same, `after` seconds from now. */
CRIER_CHECK int sim_event_schedule(struct crier_sim *sim, const json_t *event,
                                   struct crier_err *err);

/** Their timers go to the loop that sim has now. */
void sim_events_move(struct crier_sim *sim, struct crier_loop *from);

/* gateway_faults.c */
enum sim_occasion {
    SIM_ON_CONNECT,
    SIM_ON_IDENTIFY,
    SIM_ON_RESUME,
    SIM_ON_HEARTBEAT,
    SIM_ON_DISPATCH,
    SIM_ON_NOW,
};
/** Whether a fault took this; then nothing more is to be done. */
bool sim_gateway_fault(struct sim_conn *conn, enum sim_occasion occasion);
/** One of the faults whose `do` begins with "gateway_". */
CRIER_CHECK int sim_gateway_fault_add(struct crier_sim *sim, const json_t *fault,
                                      struct crier_err *err);

#endif
