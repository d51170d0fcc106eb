/* SPDX-License-Identifier: MIT
 *
 * The gateway of one bot: its shards, when they may identify, what is kept over a restart, and
 * what the bot knows of its guilds.
 *
 * How many shards there are and how many identifies are left, GET /gateway/bot says. More than the
 * day's limit would make Discord reset the token, so identifies are counted here too, by the day
 * and by the hour, over restarts, and the last twentieth is left alone: then the gateway waits,
 * while REST goes on. A restart within ten minutes resumes and needs none.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_GATEWAY_H
#define CRIER_DISCORD_GATEWAY_H

#include "discord/client.h"
#include "discord/gateway_cache.h"
#include "discord/gateway_session.h"
#include "discord/gateway_socket.h"

/* Discord's intents. */
#define CRIER_INTENT_GUILDS (1u << 0)
#define CRIER_INTENT_MEMBERS (1u << 1) /**< privileged */
#define CRIER_INTENT_INVITES (1u << 6)
#define CRIER_INTENT_MESSAGES (1u << 9)
#define CRIER_INTENT_REACTIONS (1u << 10)
#define CRIER_INTENT_DIRECT_MESSAGES (1u << 12)
#define CRIER_INTENT_DIRECT_REACTIONS (1u << 13)
#define CRIER_INTENT_CONTENT (1u << 15) /**< privileged */

struct crier_gateway; /* opaque */

/** What the owner is told. None may free the gateway. */
struct crier_gateway_events {
    /** An event, after the cache has learnt from it. change: 1 a GUILD_CREATE by which the bot has
     *  come into a guild, -1 a GUILD_DELETE by which it has left one (outages are neither), else 0.
     *  Borrowed for the call. */
    void (*event)(void *arg, const char *name, struct crier_str data, int change);
    /** A shard's state has changed; text: for people. */
    void (*state)(void *arg, unsigned shard, enum crier_gateway_state state, const char *text);
    /** Something that an operator should know. what: "gateway.budget" (it waits, since identifies
     *  are used up), "gateway.unreachable" (GET /gateway/bot fails). */
    void (*note)(void *arg, const char *what, const char *text);
    /** To be kept over restarts; comes back as config.stored. */
    void (*save)(void *arg, const char *json);
    /** A close code that is final: nothing is tried any more. err->sys: the code. */
    void (*refused)(void *arg, const struct crier_err *err);
};

struct crier_gateway_config {
    const char *token;     /**< copied; never printed */
    uint32_t intents;
    const char *presence;  /**< JSON of Discord's form; NULL: none */
    const char *stored;    /**< what `save` gave last; NULL: nothing */
    uint64_t rng_seed;
    bool compress;         /**< zlib-stream */
};
/** The client and the sockets are borrowed; they outlive it. */
struct crier_gateway *crier_gateway_new(struct crier_loop *loop, struct crier_discord *client,
                                        struct crier_gateway_sockets *sockets,
                                        const struct crier_gateway_config *config,
                                        const struct crier_gateway_events *events, void *arg);
/** Leaves the sessions as they are, so that a restart resumes them; saves. end: ends them, the bot
 *  goes offline at once. */
void crier_gateway_free(struct crier_gateway *gateway, bool end);

/** Other intents: fewer change nothing, more make every shard identify anew, as the budget lets
 *  it. */
void crier_gateway_set_intents(struct crier_gateway *gateway, uint32_t intents);
void crier_gateway_set_presence(struct crier_gateway *gateway, const char *json);

struct crier_gateway_cache *crier_gateway_cache(struct crier_gateway *gateway);
/** Whether the cache has all of a guild (0: every guild that the bot is in), and is told of changes at
 *  this moment. */
bool crier_gateway_knows(const struct crier_gateway *gateway, uint64_t guild);
/** The bot's own id; 0: not known yet. */
uint64_t crier_gateway_me(const struct crier_gateway *gateway);
unsigned crier_gateway_shards(const struct crier_gateway *gateway);

struct crier_gateway_shard_stats {
    enum crier_gateway_state state;
    int64_t latency;     /**< microseconds; -1: not known */
    int64_t in_state;    /**< microseconds since */
    int64_t session_age; /**< microseconds; -1: there is none */
    uint64_t events, resumes, identifies, zombies, reconnects;
    double per_second; /**< events, of late */
    const char *why;   /**< of the last reconnect or stop; may be empty */
};
void crier_gateway_shard_stats(struct crier_gateway *gateway, unsigned shard,
                               struct crier_gateway_shard_stats *out);
struct crier_gateway_stats {
    uint32_t intents;
    unsigned total, remaining; /**< identifies a day, as Discord said last, less ours since */
    unsigned day_used, hour_used;
    bool held; /**< it waits for the budget */
};
void crier_gateway_stats(const struct crier_gateway *gateway, struct crier_gateway_stats *out);

#endif
