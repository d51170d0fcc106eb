/* SPDX-License-Identifier: MIT
 *
 * What a bot knows of its guilds by the gateway: names, channels, roles, and so what it may do
 * where, without asking REST. Compact: of a guild's ten kilobytes of JSON some two hundred bytes
 * and a hundred a channel are kept; members, emoji and the like are not.
 *
 * It is complete for a guild from its GUILD_CREATE on. A session that is resumed after a restart of
 * ours gets none, so a guild that is not here is not known not to exist: ask REST then.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_GATEWAY_CACHE_H
#define CRIER_DISCORD_GATEWAY_CACHE_H

#include "base/buf.h"
#include "crier/record.h"

/* Discord's bits, of topics/permissions. */
#define CRIER_PERM_ADD_REACTIONS (1ull << 6)
#define CRIER_PERM_ADMINISTRATOR (1ull << 3)
#define CRIER_PERM_MANAGE_GUILD (1ull << 5)
#define CRIER_PERM_VIEW_CHANNEL (1ull << 10)
#define CRIER_PERM_SEND_MESSAGES (1ull << 11)
#define CRIER_PERM_MANAGE_MESSAGES (1ull << 13)
#define CRIER_PERM_EMBED_LINKS (1ull << 14)
#define CRIER_PERM_ATTACH_FILES (1ull << 15)
#define CRIER_PERM_READ_MESSAGE_HISTORY (1ull << 16)
#define CRIER_PERM_MENTION_EVERYONE (1ull << 17)
#define CRIER_PERM_SEND_MESSAGES_IN_THREADS (1ull << 38)
#define CRIER_PERM_ALL (~0ull)

struct crier_gateway_cache; /* opaque; one a bot */

struct crier_gateway_cache *crier_gateway_cache_new(void);
void crier_gateway_cache_free(struct crier_gateway_cache *cache);
/** The bot's own id, before its first guild. */
void crier_gateway_cache_me(struct crier_gateway_cache *cache, uint64_t me);
/** Forget what a shard knew: a new session tells it all again. */
void crier_gateway_cache_forget(struct crier_gateway_cache *cache, unsigned shard, unsigned shards);

/** From now on, which message is the last of a channel, and whether it is the bot's own. The bot gets
 *  told of messages then: it has that intent. */
void crier_gateway_cache_watch(struct crier_gateway_cache *cache, bool on);
/** The bot has sent a message there; its event may be on its way. */
void crier_gateway_cache_sent(struct crier_gateway_cache *cache, uint64_t channel, uint64_t message);
/** Whether a channel's last message is the bot's own: 1, 0; -1: not known, ask REST. */
int crier_gateway_cache_last_own(const struct crier_gateway_cache *cache, uint64_t channel);

/** The id at the top of an event's data; 0: none. */
uint64_t crier_gateway_cache_id(struct crier_str data);

/** What an event has meant for the cache. */
enum crier_gateway_news {
    CRIER_NEWS_NONE,
    CRIER_NEWS_GUILD_NEW,  /**< a GUILD_CREATE of one that was not here */
    CRIER_NEWS_GUILD_BACK, /**< of one that was (an outage's end) */
    CRIER_NEWS_GUILD_GONE, /**< we are not in it any more */
    CRIER_NEWS_GUILD_AWAY, /**< an outage; what is known is kept */
};
/** An event, its data as in the frame. guild (may be NULL): of a GUILD_*, which. */
enum crier_gateway_news crier_gateway_cache_apply(struct crier_gateway_cache *cache,
                                                  const char *event, struct crier_str data,
                                                  uint64_t *guild);

struct crier_cached_guild {
    uint64_t id;
    const char *name; /**< borrowed until the next event */
    uint64_t owner;
    bool away; /**< an outage */
    size_t channels;
    int64_t timed_out; /**< the bot's, wall microseconds; 0: it is not */
};
struct crier_cached_channel {
    uint64_t id, guild, parent; /**< parent 0: none */
    const char *name;           /**< borrowed until the next event */
    int type;                   /**< as Discord counts: 0 text, 5 announcement, 11 thread, ... */
    int position;               /**< among the guild's */
    uint64_t last_message;      /**< as far as is known; 0: none */
};
bool crier_gateway_cache_guild(const struct crier_gateway_cache *cache, uint64_t id,
                               struct crier_cached_guild *out);
bool crier_gateway_cache_channel(const struct crier_gateway_cache *cache, uint64_t id,
                                 struct crier_cached_channel *out);
/** What the bot may do in a channel; false: the channel is not known. now_us: wall, for timeouts
 *  by moderators, which leave only reading. */
bool crier_gateway_cache_permissions(const struct crier_gateway_cache *cache, uint64_t channel,
                                     int64_t now_us, uint64_t *out);
/** Every guild; every channel of one (guild 0: of all). fn returns false to stop. */
void crier_gateway_cache_guilds(const struct crier_gateway_cache *cache,
                                bool (*fn)(void *arg, const struct crier_cached_guild *guild),
                                void *arg);
void crier_gateway_cache_channels(const struct crier_gateway_cache *cache, uint64_t guild,
                                  bool (*fn)(void *arg, const struct crier_cached_channel *channel),
                                  void *arg);

struct crier_gateway_cache_stats {
    size_t guilds, channels, bytes; /**< bytes: about */
};
void crier_gateway_cache_stats(const struct crier_gateway_cache *cache,
                               struct crier_gateway_cache_stats *out);

#endif
