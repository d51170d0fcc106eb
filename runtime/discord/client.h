/* SPDX-License-Identifier: MIT
 *
 * The Discord REST client of one bot: requests in, outcomes out. It adds the token and the
 * User-Agent, waits for the rate limits, repeats what may be repeated, and tells in the end what
 * became of the request. Per route requests keep their order; one slow route holds no other.
 *
 * Retry policy (classes RETRY and WAIT), as data in discord/outcome.c:
 *   connect, TLS, DNS failure; 502, 503: not executed -> again, back-off with jitter
 *   lost answer, 500, 504, 520-524: may have been executed -> again only with the same nonce
 *   (creates carry nonce + enforce_nonce) or when idempotent (edit, delete, get)
 *   429: wait as told. Everything else ends the request with its class.
 * A create is repeated for at most two minutes after its first attempt (Discord's nonce window);
 * then the channel is looked at first, from shortly before that attempt on (discord/lookup.h): found =
 * sent, else sent again. What this client knows to be another message is not taken for it. Where it
 * cannot be seen (no Read Message History, too much has been written since) it is not sent again: the
 * request ends with CRIER_RETRY.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_CLIENT_H
#define CRIER_DISCORD_CLIENT_H

#include <jansson.h>

#include "base/ulid.h"
#include "discord/breaker.h"
#include "discord/outcome.h"
#include "discord/transport.h"

/** What became of a request (the classes of discord/outcome.c). */
enum crier_outcome {
    CRIER_SENT,     /**< 2xx, or known to have happened before */
    CRIER_RETRY,    /**< gave up repeating (deadline); cause in err */
    CRIER_DROP,     /**< the target is gone, or never takes anything of ours */
    CRIER_PAUSE,    /**< the target is closed to us at present (a permission) */
    CRIER_REBUILD,  /**< the message to edit is gone: create anew */
    CRIER_BAD,      /**< our content is at fault */
    CRIER_STOP,     /**< the whole client must stop: token, ban, User-Agent */
    CRIER_CANCELED, /**< the owner gave up; the last one */
};
const char *crier_outcome_name(enum crier_outcome outcome);

struct crier_discord; /* opaque */

/** What its owner should tell the operator. */
enum crier_discord_event {
    CRIER_DISCORD_STOPPED,     /**< the token, or the User-Agent: no request is made any more */
    CRIER_DISCORD_RESTING,     /**< the breaker has opened */
    CRIER_DISCORD_SLOWED,      /**< Discord finds that direct messages are opened too fast */
    CRIER_DISCORD_QUARANTINED, /**< ... or does not let the bot open any */
};

struct crier_discord_config {
    const char *name;      /**< the bot's name, for messages */
    const char *api;       /**< "https://discord.com/api/v10", no trailing slash */
    const char *token;     /**< copied into locked memory of the client; never printed */
    int global_per_second; /**< 50 */
    uint64_t rng_seed;     /**< jitter */
    struct crier_breaker *breaker; /**< of all bots of this address; NULL: one of its own */
    /** Called from within: it must not call the client. May be NULL. */
    void (*on_event)(void *arg, enum crier_discord_event event, const struct crier_err *why);
    void *event_arg;
};
/** The transport is borrowed. */
struct crier_discord *crier_discord_new(struct crier_loop *loop, struct crier_transport *transport,
                                        const struct crier_discord_config *config);
/** Cancels what is queued and under way (their done is called, from within). Not to be called
 *  from a done. */
void crier_discord_free(struct crier_discord *d);

/** What a request ended with. Borrowed for the callback. */
struct crier_discord_result {
    enum crier_outcome outcome;
    int status;           /**< last HTTP status; 0: no answer */
    int code;             /**< Discord's JSON error code; 0: none */
    struct crier_err err; /**< when outcome != CRIER_SENT: "403 50013 Missing Permissions (...)" */
    json_t *body;         /**< parsed answer; NULL when there is none */
    int requests;         /**< HTTP requests made, retries included */
    int64_t waited;       /**< microseconds spent waiting for rate limits */
    int64_t latency;      /**< of the last exchange */
    int64_t retry_wait;   /**< microseconds spent between a failure and its repetition */
    int retries;          /**< requests that repeated a failed one */
    int pause;            /**< CRIER_PAUSE: seconds before the next try, the first time */
    const char *note;     /**< what was left out to get it through; NULL: nothing. Static */
    bool unsure;          /**< a create that has failed, and may have been executed nevertheless */
};
typedef void crier_discord_done(void *arg, const struct crier_discord_result *result);

/** An embed or several, as JSON text of Discord's form (validated when the content was made). */
struct crier_file {
    char *name; /**< as Discord shows it */
    char *path; /**< read at each send; or NULL and data */
    char *data;
    size_t len;
};
/** What is sent: shared between the message that declares it and the requests under way. */
struct crier_content {
    int refs;
    char *text;   /**< NULL: none */
    char *embeds; /**< JSON array; NULL: none */
    struct crier_file *files;
    size_t file_count;
    char *components; /**< JSON array of action rows; NULL: none */
    char *poll;       /**< JSON object; NULL: none */
    uint64_t stickers[3];
    unsigned sticker_count;
    uint64_t reply_to; /**< a message of the same channel; 0: no reply */
    bool reply_ping;   /**< whose author is pinged */
    char *thread;      /**< the name of a new post in a forum channel; NULL: a message */
    uint64_t tags[5];  /**< of the post */
    unsigned tag_count;
    int archive; /**< minutes without a message until the post is archived; 0: the channel's */
};
struct crier_content *crier_content_new(void);
struct crier_content *crier_content_ref(struct crier_content *content);
void crier_content_unref(struct crier_content *content);
/** The rules of Discord's resources/message and reference pages: text of at most 2,000 UTF-16
 * units, at most 10 embeds with their limits and 6,000 units in all, at most 10 files of 25 MiB in
 * all, at most 3 stickers, what a poll, a thread and an edit may have; not all empty. The error's text names the limit. */
CRIER_CHECK int crier_content_check(const struct crier_content *content, struct crier_err *err);

/** Who may be pinged: allowed_mentions. All false (and no lists) is the default. */
struct crier_mentions {
    bool everyone, roles, users;   /**< "everyone" also allows @here */
    uint64_t *role_ids, *user_ids; /**< owned by whoever made it; lists of those allowed */
    size_t role_count, user_count;
};

struct crier_request_id {
    uint64_t id; /**< 0: none */
};

/** Whether a create that ended `unsure` has made its message: the look at the channel. CRIER_SENT with
 *  body NULL: it is not there, or not to be found. Arguments as crier_discord_create had them. */
struct crier_request_id crier_discord_find(struct crier_discord *d, uint64_t channel,
                                           struct crier_content *content, const char *nonce,
                                           int64_t first_us, int64_t not_after,
                                           crier_discord_done *done, void *arg);
/** POST /channels/{channel}/messages with nonce (at most 25 characters) and enforce_nonce. 10008
 *  as the answer means "sent before and deleted since": CRIER_SENT with body NULL.
 *  Content with `thread` is a post: POST /channels/{channel}/threads; body.id is then the post's
 *  channel and the id of its first message. Posts have no nonce: one whose answer is lost is not
 *  repeated but ends with CRIER_RETRY.
 *  first_us: wall time of the first attempt ever under this nonce (a restart passes the stored
 *  one; 0: now). not_after: monotonic deadline, CRIER_NEVER for none. */
struct crier_request_id crier_discord_create(struct crier_discord *d, uint64_t channel,
                                             struct crier_content *content,
                                             const struct crier_mentions *mentions,
                                             const char *nonce, int64_t first_us, int64_t not_after,
                                             crier_discord_done *done, void *arg);
/** PATCH. Sends text, embeds, files (attachments replaced) and allowed_mentions always. */
struct crier_request_id crier_discord_edit(struct crier_discord *d, uint64_t channel,
                                           uint64_t message, struct crier_content *content,
                                           const struct crier_mentions *mentions, int64_t not_after,
                                           crier_discord_done *done, void *arg);
/** DELETE; 10008 is CRIER_SENT (gone is what was wanted). */
struct crier_request_id crier_discord_delete(struct crier_discord *d, uint64_t channel,
                                             uint64_t message, int64_t not_after,
                                             crier_discord_done *done, void *arg);
/** POST /users/@me/channels: the DM channel of a user; body.id is the channel. */
struct crier_request_id crier_discord_open_dm(struct crier_discord *d, uint64_t user,
                                              int64_t not_after, crier_discord_done *done,
                                              void *arg);
/** GET of any path below the API base: "/channels/1", "/guilds/1", "/users/@me". */
struct crier_request_id crier_discord_get(struct crier_discord *d, const char *path,
                                          int64_t not_after, crier_discord_done *done, void *arg);
/** Any other request that says in its path all that it wants, or has a JSON body (copied; NULL: none):
 *  crosspost, reaction, typing, thread. method is static. A POST whose path ends in /threads is
 *  not repeated when its answer is lost. */
struct crier_request_id crier_discord_call(struct crier_discord *d, const char *method,
                                           const char *path, const char *body, int64_t not_after,
                                           crier_discord_done *done, void *arg);
/** Give up a request; its done is called with CRIER_CANCELED, later. Unknown ids are ignored. */
void crier_discord_cancel(struct crier_discord *d, struct crier_request_id id);

/** On whose behalf: a guild's id, or a user's. When more is due than the global limit lets through,
 *  those take turns, however many channels one has; each route of which nobody has told has a turn of
 *  its own. Whose a route is holds until it has no request left. */
void crier_discord_whose(struct crier_discord *d, struct crier_request_id id, uint64_t whose);

/** Of what is answered in the end only `id`, `name` and `username` are wanted: result.body may have no
 *  more (discord/brief.h). */
void crier_discord_brief(struct crier_discord *d, struct crier_request_id id);

/** Requests queued or under way. */
size_t crier_discord_pending(const struct crier_discord *d);
/** Make no request any more, for a reason of the owner's: what is queued ends with CRIER_STOP. */
void crier_discord_stop(struct crier_discord *d, const struct crier_err *why);
/** After CRIER_STOP: no request is made any more, each ends with CRIER_STOP at once. */
bool crier_discord_stopped(const struct crier_discord *d, struct crier_err *why);

/** Until when (monotonic) nothing is sent, because the breaker is open (discord/breaker.h); 0: it is
 *  not. Requests stay queued meanwhile; then one goes as a probe. */
int64_t crier_discord_resting(const struct crier_discord *d, struct crier_err *why);

struct crier_discord_stats {
    uint64_t requests, sent, failed, retries;
    uint64_t hits_429, hits_shared; /**< answers 429: of scope user or global; of scope shared */
    int64_t waited; /**< microseconds that requests waited for rate limits, all together */
    unsigned invalid_10min; /**< of all bots that share the breaker */
    size_t pending;
    int64_t quarantined; /**< monotonic time before which no direct message is opened; 0: none */
    uint64_t outcomes[CRIER_CANCELED + 1];
    uint64_t latency_sum, latency_count; /**< microseconds and exchanges that were answered */
};
void crier_discord_stats(struct crier_discord *d, struct crier_discord_stats *out);

/** The bot's own user id; 0: not known yet. */
uint64_t crier_discord_self(const struct crier_discord *d);

/** The nonce of a due send: 25 characters of base 32 of SHA-256(key, channel, due), so that a
 *  restart repeats it (Discord's change log, Enforced Nonces). */
void crier_discord_nonce(const char *message_key, uint64_t channel, int64_t due_us, char out[26]);

/** A user token in place of a bot token: such tokens are refused, since automating user accounts
 *  is against Discord's terms. True when `GET /users/@me` says that it is not a bot. */
bool crier_discord_is_user(const json_t *me);

#endif
