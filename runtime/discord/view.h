/* SPDX-License-Identifier: MIT
 *
 * What a bot can see: its guilds, their channels, and what it may do in each. An interface, since
 * there are two sources: REST (here; asked for again when what is known is too old), and a gateway
 * session, which is told of every change.
 *
 * Permissions are computed as Discord's topics/permissions says: roles, then the channel's
 * overwrites for everyone, for roles, for the member; an owner or administrator may do everything;
 * during a moderation timeout only seeing and reading history are left.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_VIEW_H
#define CRIER_DISCORD_VIEW_H

#include "discord/client.h"

enum {
    CRIER_MAY_ADD_REACTIONS = 1 << 6,
    CRIER_MAY_VIEW_CHANNEL = 1 << 10,
    CRIER_MAY_SEND_MESSAGES = 1 << 11,
    CRIER_MAY_EMBED_LINKS = 1 << 14,
    CRIER_MAY_ATTACH_FILES = 1 << 15,
    CRIER_MAY_READ_HISTORY = 1 << 16,
};

/** Discord's types of channels that take messages. */
enum { CRIER_CHANNEL_TEXT = 0, CRIER_CHANNEL_ANNOUNCEMENT = 5, CRIER_CHANNEL_FORUM = 15 };

struct crier_seen_guild {
    uint64_t id;
    char *name;
};
struct crier_seen_guilds {
    struct crier_seen_guild *list;
    size_t count;
};
struct crier_seen_channel {
    uint64_t id, parent; /**< parent 0: none */
    uint64_t last_message;
    uint64_t permissions; /**< of the bot; all bits where that cannot be known */
    int type;
    char *name;
};
struct crier_seen_channels {
    struct crier_seen_channel *list; /**< as Discord orders them: by position */
    size_t count;
    int64_t timeout_until; /**< wall microseconds: the bot is timed out in this guild; 0: it is not */
};

/** Both: seen NULL: it cannot be had, and why. Borrowed for the call. Perhaps called before the
 *  asking function returns. */
typedef void crier_guilds_done(void *arg, const struct crier_seen_guilds *seen,
                               const struct crier_err *why);
typedef void crier_channels_done(void *arg, const struct crier_seen_channels *seen,
                                 const struct crier_err *why);

struct crier_view {
    const struct crier_view_ops *ops;
};
struct crier_view_ops {
    /** max_age: microseconds that the answer may be old. What is older is asked for; when that
     *  fails, what is known is given all the same. */
    void (*guilds)(struct crier_view *view, int64_t max_age, crier_guilds_done *done, void *arg);
    void (*channels)(struct crier_view *view, uint64_t guild, int64_t max_age,
                     crier_channels_done *done, void *arg);
    /** Whoever waits is told that it was canceled. */
    void (*free)(struct crier_view *view);
};

/** By REST: GET /users/@me/guilds in pages of 200; for a guild's channels /guilds/{id}, its
 *  /channels and /members/{bot}. Both are borrowed; free the client first. */
struct crier_view *crier_view_rest(struct crier_discord *d, struct crier_loop *loop);

struct crier_gateway;
/** By a gateway where it knows the answer, else by `rest`, which it owns. gateway(arg): the one that is
 *  open, or NULL. */
struct crier_view *crier_view_gateway(struct crier_view *rest, struct crier_loop *loop,
                                      struct crier_gateway *(*gateway)(void *arg), void *arg);

/** The bits as people know them, "Send Messages, Embed Links", into out; returns out. */
const char *crier_permission_names(uint64_t bits, char *out, size_t cap);

/** The bot's permissions in a channel. Objects as Discord's REST and gateway have them: guild {id,
 *  owner_id, roles}, member {roles, communication_disabled_until}, channel {permission_overwrites};
 *  member NULL: all bits. now: wall microseconds. */
uint64_t crier_permissions(const json_t *guild, const json_t *member, const json_t *channel,
                           uint64_t self, int64_t now);

#endif
