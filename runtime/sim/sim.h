/* SPDX-License-Identifier: MIT
 *
 * The built-in Discord simulator: an in-memory model of guilds, channels, users and messages that
 * answers HTTP requests as Discord does, and its two faces: a real HTTP server on loopback
 * (sim/server.c, libwebsockets) and an in-process transport (sim/transport_sim.c) that needs no
 * socket and runs in virtual time.
 *
 * Sources: Discord's API documentation and OpenAPI description (spec/discord-api), reference
 * facts on rate limits and error codes. What it cannot know of the real service (how long the
 * nonce window is, when Cloudflare bans) is a setting.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SIM_SIM_H
#define CRIER_SIM_SIM_H

#include <jansson.h>

#include "base/loop.h"
#include "discord/transport.h"

struct crier_sim; /* opaque */

struct crier_sim_config {
    uint64_t seed;        /**< ids of what is created and jitter; same seed, same answers */
    bool limits;          /**< rate limits on (as Discord's usual ones: 5 creates in 5 s a channel,
                               50 requests a second a bot) */
    int64_t latency;      /**< in-process transport: how long an answer takes, microseconds */
    int64_t nonce_window; /**< 0: 3 minutes */
    unsigned keep;        /**< messages kept a channel, the oldest go first; 0: 1,000 */
};
struct crier_sim *crier_sim_new(struct crier_loop *loop, const struct crier_sim_config *config);
void crier_sim_free(struct crier_sim *sim);
/** Go on with another loop of the same clock: the world outlives a host that is started anew. */
void crier_sim_move(struct crier_sim *sim, struct crier_loop *loop);

/* The world. Names of things not named are made up ("guild 863071397207212052"); adding what is
 * there already renames it. */
void crier_sim_add_bot(struct crier_sim *sim, const char *token, const char *name);
void crier_sim_add_guild(struct crier_sim *sim, uint64_t id, const char *name);
/** type: 0 text, 5 announcement, 2 voice, 15 forum. guild 0: no guild. */
void crier_sim_add_channel(struct crier_sim *sim, uint64_t id, uint64_t guild, const char *name,
                           int type);
void crier_sim_add_user(struct crier_sim *sim, uint64_t id, const char *name);
/** Whether a user takes direct messages from bots (at first: yes). When not, a send answers 50007. */
void crier_sim_user_dms(struct crier_sim *sim, uint64_t id, bool accept);
/** Take a permission in a channel from everyone, or give it back, by Discord's name:
 *  "SEND_MESSAGES". CRIER_EINVAL for another name, CRIER_ENOTFOUND for an unknown channel. */
CRIER_CHECK int crier_sim_deny(struct crier_sim *sim, uint64_t channel, const char *permission,
                               bool deny, struct crier_err *err);
/** fn is called for each message that comes to be; pings: how many users and roles it mentions so
 *  that they are told, everyone counting as one. NULL: nobody wants to know. */
void crier_sim_on_create(struct crier_sim *sim, void (*fn)(void *arg, uint64_t channel,
                                                           unsigned pings), void *arg);
/** Whether there is a guild, channel or user with this id. */
bool crier_sim_knows(const struct crier_sim *sim, uint64_t id);
/** A world file: {"bots":[{token,name,user?}],"guilds":[{id,name,owner?,roles?:[{id,name,
 *  permissions?,position?,mentionable?}],members?:[{user?,roles?,timeout?,nick?}],channels:[{id,name,
 *  type,deny?:["SEND_MESSAGES"...],overwrites?:[{id,allow?,deny?}],parent?,slowmode?,require_tag?}],
 *  invites?:[{code,uses?,max_uses?,channel?}]}],"users":[{id,name,
 *  dms?:false}],"gateway":{shards,max_concurrency,total,used,heartbeat,keep,disallowed},"events":
 *  [{after,do,...}]} (crier_sim_event; gateway: what GET /gateway/bot says of shards and identifies
 *  a day, the heartbeat's interval, how long a session is kept for a resume, intents that no bot
 *  may have, as a number). The role whose id is the guild's is @everyone, who may do all but
 *  administrate unless told. A member without a user is each bot that is not named itself; its
 *  timeout is a duration. An overwrite is a role's of the guild, or else a member's. Unknown keys
 *  are errors with their place. */
CRIER_CHECK int crier_sim_load_world(struct crier_sim *sim, const char *path,
                                     struct crier_err *err);
/** A token that was never added: accepted as a bot's of its own when true (crier run --sim, whose
 *  script may have no token); answered 401 when false. */
void crier_sim_any_token(struct crier_sim *sim, bool accept);

/** Scripted faults, for tests: JSON text such as
 *  {"match":"POST /channels/77/messages","times":3,"do":"status","status":503}.
 *
 *  match        "METHOD /path" below /api/v10, without query; * is one or more characters but '/';
 *               absent: every request
 *  times        how many requests it takes; 1 unless told, -1: all
 *  do           "drop_before"  the connection closes before the request is executed
 *               "drop_after"   executed, then closed without an answer
 *               "cut"          executed, then closed in the middle of the answer
 *               "reset"        as drop_before, by a TCP reset
 *               "refuse"       no connection is made (the HTTP face can only do drop_before)
 *               "status"       answers `status` with `body` (text, or JSON) and `headers`
 *               "delay"        executed, and answered after `delay`; every other kind takes a
 *                              `delay` too
 *  execute      with "status": true executes the request first (a 504 whose work was done)
 *  scope        a 429 as Discord's: "user", "global" or "shared", with `retry_after` seconds
 *
 *  at           from so long after the fault was added; a duration
 *  for          and for so long; `times` is then -1 unless told
 *  chance       0 to 1: whether it takes a request that it could take, drawn from the seed
 *
 *  Those of the gateway have keys of their own:
 *
 *  do           "gateway_close"      closes the connection with `code`
 *               "gateway_drop"       cuts it without a close frame
 *               "gateway_mute"       it stays, but says nothing any more (no acks: a zombie)
 *               "gateway_reconnect"  op 7        "gateway_heartbeat"  op 1: asks for a heartbeat
 *               "gateway_invalid"    op 9; `resumable` says which
 *               "gateway_garbage"    bytes that are no message
 *               "gateway_delay"      all that it says comes `delay` later, from then on
 *  on           "now" (the default: every connection that is there), or at the next `times`
 *               occasions of "connect", "identify", "resume", "heartbeat", "dispatch"
 *
 *  Faults are tried in the order in which they were added; the first that matches acts. Also by
 *  HTTP: POST /sim/faults (loopback only). CRIER_EINVAL with the place in the text. */
CRIER_CHECK int crier_sim_fault(struct crier_sim *sim, const char *json, struct crier_err *err);
/** Forget the faults that are left. */
void crier_sim_faults_clear(struct crier_sim *sim);

/** Something happens in the world, and the gateway tells of it. JSON such as
 *  {"do":"member_join","guild":"100","user":"301","name":"ann","invite":"abc"}:
 *
 *  guild_join {guild, name}, guild_leave {guild, unavailable}, guild_update {guild, name},
 *  channel_create {guild, channel, name, type}, channel_update {channel, name, allow and deny of
 *  @everyone, or of a role or a user; archived, locked: of a thread}, channel_delete {channel},
 *  member_join {guild, user, name, invite}, member_leave {guild, user}, member_update {guild, user
 *  (none: every bot), roles, timeout: a duration or null}, role_update {guild, role, name,
 *  permissions, position} (made when it is new), role_delete {guild, role},
 *  invite_create {guild, invite, channel, uses, max_uses}, invite_delete {guild, invite},
 *  message {channel or dm: a bot's token, user, name, content, bot}, message_delete {channel,
 *  message (none: the newest)}, raw {t, d, intents}
 *
 *  With `after`, a duration, it happens then. Also by HTTP: POST /sim/events. CRIER_EINVAL and
 *  CRIER_ENOTFOUND with the place in the text. */
CRIER_CHECK int crier_sim_event(struct crier_sim *sim, const char *json, struct crier_err *err);

/** The model itself: one request, one answer, at the loop's present time. Both faces call it.
 *  Path with query, below or with "/api/v10". Multipart bodies come parsed as parts (data may be
 *  NULL, only len counts, but payload_json's is read). The answer is zero-initialised or one that
 *  was used before; its buffers are its owner's to free.
 *
 *  What is not simulated: components but link buttons, threads but a forum's posts and those of a
 *  message, webhooks. A nonce comes back only in the answer to the create, since
 *  the documentation promises no more. Lengths count UTF-16 units, the strictest reading. */
struct crier_sim_request {
    const char *method, *path;
    const char *authorization, *user_agent, *content_type; /* NULL when absent */
    const char *body;
    size_t body_len;
    const struct crier_http_part *parts;
    size_t part_count;
};
enum crier_sim_close {
    CRIER_SIM_ANSWER, /**< answer, and keep the connection */
    CRIER_SIM_CLOSE,  /**< close it without an answer */
    CRIER_SIM_RESET,  /**< the same by a TCP reset */
    CRIER_SIM_REFUSE, /**< as if there had been no connection */
    CRIER_SIM_CUT,    /**< send half of the answer, then close */
};
struct crier_sim_answer {
    int status; /**< 0 where close is CLOSE, RESET or REFUSE */
    enum crier_sim_close close;
    struct crier_buf headers; /**< "name: value\n" lines, as in struct crier_http_response */
    struct crier_buf body;
    int64_t delay_us;
};
void crier_sim_handle(struct crier_sim *sim, const struct crier_sim_request *req,
                      struct crier_sim_answer *answer);
void crier_sim_answer_fini(struct crier_sim_answer *answer);

/** A chat transcript of every channel, for people: guild and channel names, each message with
 *  time (the machine's zone), author, text, embeds (boxed), files, and "(edited)". At most `last`
 *  messages a channel (0: all). 80 columns. color: ANSI, embeds in their own. */
void crier_sim_transcript(struct crier_sim *sim, unsigned last, bool color,
                          struct crier_buf *out);
/** The same as JSON: {"channels":[{"id","name","guild","messages":[Discord's objects]}]}. */
json_t *crier_sim_dump(struct crier_sim *sim);

struct crier_sim_stats {
    uint64_t requests, creates, edits, deletes, answers_429, answers_4xx, answers_5xx;
    uint64_t identifies, resumes, gateway_events; /**< of the gateway */
    unsigned connections, sessions;               /**< that are there now */
};
void crier_sim_stats(const struct crier_sim *sim, struct crier_sim_stats *out);

/** In-process transport: answers come through the loop after `latency`. Frees with ops->free. */
struct crier_transport *crier_sim_transport(struct crier_sim *sim, struct crier_loop *loop);

struct crier_gateway_sockets; /* discord/gateway_socket.h */
/** The gateway in process: messages take half of `latency` each way. Before it is freed, every
 *  socket must have been closed. */
struct crier_gateway_sockets *crier_sim_gateway_sockets(struct crier_sim *sim,
                                                        struct crier_loop *loop);

/** HTTP server on 127.0.0.1:port (0: any; the port chosen is returned through *port). Also serves,
 *  without a token: GET /sim/state (crier_sim_dump), /sim/transcript[?last=N&color=1], /sim/stats,
 *  POST and DELETE /sim/faults, POST /sim/events. The gateway answers at any path that asks for
 *  a WebSocket. The loop must be a live one. CRIER_EBUSY when the port is taken. */
struct crier_sim_server;
CRIER_CHECK int crier_sim_server_start(struct crier_sim *sim, struct crier_loop *loop, int *port,
                                       struct crier_sim_server **out, struct crier_err *err);
/** Closes the port and every connection and turns the loop until their handles are closed: call it
 *  while crier_loop_run is not on the stack, before crier_sim_free and crier_loop_free. */
void crier_sim_server_stop(struct crier_sim_server *server);

#endif
