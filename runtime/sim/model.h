/* SPDX-License-Identifier: MIT
 *
 * The simulator's inside, for the files of this folder only (prefix sim_, not crier_sim_).
 *
 *   model.c     a request's way: fault, User-Agent, route, token, rate limit, handler
 *   world.c     bots, guilds, channels, users; the world file
 *   limits.c    rate-limit buckets and their headers
 *   form.c      reading a request's body; Discord's tree of form errors
 *   embeds.c    checking embeds and writing them as Discord answers them
 *   messages.c  the message endpoints, nonces
 *   objects.c   the endpoints that read; Discord's JSON of users, channels, guilds
 *   faults.c    scripted faults
 *   gateway*.c  the gateway (gateway.h)
 *   transcript.c  the chat as text, and the dump
 *   server.c, multipart.c, received.c   the HTTP face; transport_sim.c   the in-process one
 *
 * Thread: [loop].
 */
#ifndef CRIER_SIM_MODEL_H
#define CRIER_SIM_MODEL_H

#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "sim/sim.h"

#define SIM_EPOCH_MS 1420070400000LL /* 2015-01-01, the first second of Discord's ids */

enum sim_channel_type {
    SIM_TEXT = 0,
    SIM_DM = 1,
    SIM_VOICE = 2,
    SIM_CATEGORY = 4,
    SIM_ANNOUNCEMENT = 5,
    SIM_THREAD = 11,
    SIM_FORUM = 15,
};

/* Permissions that a channel may deny; the bits are Discord's. */
enum sim_permission {
    SIM_ADD_REACTIONS = 1 << 6,
    SIM_VIEW_CHANNEL = 1 << 10,
    SIM_SEND_MESSAGES = 1 << 11,
    SIM_MANAGE_MESSAGES = 1 << 13,
    SIM_EMBED_LINKS = 1 << 14,
    SIM_ATTACH_FILES = 1 << 15,
    SIM_READ_MESSAGE_HISTORY = 1 << 16,
    SIM_MENTION_EVERYONE = 1 << 17,
};

struct sim_user {
    uint64_t id;
    char *name;
    char *json; /* UserResponse, made when the name is set */
    bool bot, no_dms;
};

enum { SIM_START_BUCKETS = 64 };
struct sim_bot {
    struct crier_sim *sim;
    char *token;
    struct sim_user *user;
    int64_t second_end; /* of the global limit's window */
    unsigned in_second;
    int64_t day_end;        /* of the gateway's identify budget */
    unsigned identifies;    /* until then */
    unsigned presences;     /* updates of it */
    int64_t start_end[SIM_START_BUCKETS]; /* when the next identify of each may come */
    bool token_reset;       /* Discord's answer to too many identifies */
};

struct sim_guild {
    uint64_t id;
    char *name;
    GPtrArray *channels; /* of struct sim_channel, borrowed */
    GPtrArray *invites;  /* struct sim_invite */
    unsigned members;    /* besides the bots */
    bool left;           /* the bots are not in it any more */
};

struct sim_invite {
    char *code;
    uint64_t channel;
    unsigned uses, max_uses; /* max_uses 0: any number */
};

struct sim_file {
    uint64_t id, size;
    char *name, *content_type, *description;
};

struct sim_reaction {
    char *emoji;   /* as in the path, decoded: the character, or name:id */
    GArray *users; /* uint64_t */
};

struct sim_message {
    uint64_t id;
    int64_t time, edited; /* wall; edited 0: never */
    struct sim_user *author;
    uint64_t reply_to; /* in the same channel; 0: no reply */
    char *content;
    char *embeds;  /* JSON array as it is answered; NULL: none */
    char *nonce;   /* JSON value; NULL: none */
    char *components, *poll, *stickers; /* JSON as it is answered; NULL: none */
    struct sim_file *files;
    uint64_t *mentions; /* users, then roles */
    unsigned file_count, user_mentions, role_mentions;
    unsigned flags;
    bool mention_everyone, tts;
    GPtrArray *reactions; /* NULL: none */
};

struct sim_channel {
    uint64_t id;
    struct sim_guild *guild;         /* NULL: none, or a DM */
    struct sim_user *recipient, *of; /* a DM: the person, and the bot */
    char *name;
    uint64_t parent; /* of a thread */
    int type, position;
    bool gone; /* deleted */
    unsigned denied;             /* enum sim_permission */
    struct sim_message **window; /* by id, oldest first, from head on */
    size_t head, count, cap;
    uint64_t last_message;
};

struct sim_nonce {
    uint64_t key, message;
    struct sim_channel *channel;
    int64_t until;
    struct sim_nonce *next;
};

struct sim_fault;   /* faults.c */
struct sim_gateway; /* gateway.h */

struct crier_sim {
    struct crier_loop *loop;
    struct crier_sim_config config;
    bool any_token;
    int port; /* of the HTTP face, 0 while there is none */
    uint64_t last_id;
    GHashTable *bots;     /* token -> struct sim_bot */
    GHashTable *guilds;   /* id -> */
    GHashTable *channels; /* id -> */
    GHashTable *users;    /* id -> */
    GPtrArray *guild_order, *channel_order; /* as they were added */
    GHashTable *buckets;
    GHashTable *nonces; /* key -> struct sim_nonce */
    struct sim_nonce *nonce_first, *nonce_last;
    GPtrArray *faults;
    struct sim_gateway *gateway;
    uint64_t draws; /* of faults that take a chance */
    void (*on_create)(void *arg, uint64_t channel, unsigned pings);
    void *on_create_arg;
    struct crier_sim_stats stats;
};

/* One request under way. */
enum { SIM_MAX_SEGMENTS = 10 };
struct sim_call {
    struct crier_sim *sim;
    const struct crier_sim_request *req;
    struct crier_sim_answer *ans;
    const struct sim_route *route;
    struct sim_bot *bot;
    char path[512]; /* decoded, cut into segments */
    const char *segments[SIM_MAX_SEGMENTS];
    size_t segment_count;
    const char *query; /* NULL: none */
    struct sim_channel *channel; /* of the path, where it names one */
    struct sim_message *message;
    struct sim_guild *guild;
    json_t *form;   /* the body, an object; owned */
    json_t *errors; /* the tree of form errors; owned */
};

struct sim_route {
    const char *method, *pattern; /* ":c" channel, ":m" message, ":g" guild, ":u" user, ":e" any */
    void (*handle)(struct sim_call *call);
    unsigned limit;    /* requests */
    int64_t window;    /* in so many microseconds; 0: no bucket */
    const char *scope; /* names the bucket: routes of one scope share its hash */
    unsigned flags;
};
enum { SIM_NO_AUTH = 1, SIM_BODY = 2 };

/* model.c */
uint64_t sim_next_id(struct crier_sim *sim);
/* splitmix64's finaliser: ids and hashes that depend on the seed and a text. */
uint64_t sim_hash(uint64_t seed, const char *text);
bool sim_snowflake(const char *text, uint64_t *out);
/* "2026-11-21T22:31:10.123000+00:00" as a JSON string. */
void sim_json_time(struct crier_buf *b, int64_t wall_us);
void sim_json_id(struct crier_buf *b, uint64_t id);
void sim_header(struct sim_call *call, const char *fmt, ...) CRIER_PRINTF(2, 3);
/* {"message","code"} with a status. */
void sim_error(struct sim_call *call, int status, int code, const char *fmt, ...)
    CRIER_PRINTF(4, 5);
/* Status 200, and the buffer to write the body into. */
struct crier_buf *sim_ok(struct sim_call *call);
void sim_no_content(struct sim_call *call);
/* A value of the query into out; false when absent. */
bool sim_query(const struct sim_call *call, const char *name, char *out, size_t cap);

/* world.c */
struct sim_user *sim_user(struct crier_sim *sim, uint64_t id);
struct sim_channel *sim_channel(struct crier_sim *sim, uint64_t id);
struct sim_guild *sim_guild(struct crier_sim *sim, uint64_t id);
struct sim_bot *sim_bot(struct crier_sim *sim, const char *token);
/* The DM channel of a bot and a user; made when it is new. */
struct sim_channel *sim_dm(struct crier_sim *sim, struct sim_bot *bot, struct sim_user *user);
/* The bit of a permission that a channel may deny; 0: no such name. */
unsigned sim_permission(const char *name);
void sim_world_init(struct crier_sim *sim);
void sim_world_fini(struct crier_sim *sim);

/* limits.c. false: the call was answered with 429. */
bool sim_limit_global(struct sim_call *call);
bool sim_limit_bucket(struct sim_call *call, uint64_t major);
void sim_answer_429(struct sim_call *call, int64_t wait_us, const char *scope);
void sim_limits_init(struct crier_sim *sim);

/* form.c */
size_t sim_utf16(const char *utf8, size_t len);
/* Parses the body into call->form; false: answered with 400. */
bool sim_form_read(struct sim_call *call);
/* path: "embeds.0.title"; "" is the form itself. */
void sim_form_error(struct sim_call *call, const char *path, const char *code, const char *fmt, ...)
    CRIER_PRINTF(4, 5);
/* Answers 400/50035 when there were form errors. */
bool sim_form_failed(struct sim_call *call);
/* Typed reads. NULL/absent gives false without an error; a wrong type is a form error. */
bool sim_form_bool(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                   bool def);
json_t *sim_form_list(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                      size_t max);
const char *sim_form_text(struct sim_call *call, const json_t *obj, const char *base,
                          const char *key, size_t max, size_t *len);
/* A snowflake as a string or an integer; false for anything else, NULL too. */
bool sim_json_read_id(const json_t *v, uint64_t *out);
bool sim_form_id(struct sim_call *call, const json_t *obj, const char *base, const char *key,
                 uint64_t *out);

/* embeds.c */
void sim_embeds_check(struct sim_call *call, const json_t *embeds);
/* The JSON array for the answer (owned), NULL for none. "attachment://x" becomes the file's URL. */
char *sim_embeds_text(const json_t *embeds, const struct sim_channel *channel,
                      const struct sim_file *files, size_t count);
void sim_file_url(struct crier_buf *b, const struct sim_channel *channel,
                  const struct sim_file *file);

/* messages.c */
enum {
    SIM_WITH_NONCE = 1,
    SIM_WITH_REFERENCED = 2, /* the message that a reply is to */
    SIM_BASIC = 4,           /* as that one is shown: without reactions */
};
void sim_message_json(struct crier_sim *sim, struct crier_buf *b, const struct sim_channel *channel,
                      const struct sim_message *message, unsigned flags,
                      const struct sim_user *viewer);
struct sim_message *sim_message_find(const struct sim_channel *channel, uint64_t id);
void sim_message_free(struct sim_message *message);
void sim_nonces_fini(struct crier_sim *sim);
void sim_messages_create(struct sim_call *call);
void sim_messages_list(struct sim_call *call);
void sim_messages_get(struct sim_call *call);
void sim_messages_edit(struct sim_call *call);
void sim_messages_delete(struct sim_call *call);
void sim_messages_crosspost(struct sim_call *call);
void sim_messages_react(struct sim_call *call);
void sim_messages_unreact(struct sim_call *call);
void sim_messages_typing(struct sim_call *call);
void sim_threads_create(struct sim_call *call);
void sim_threads_from_message(struct sim_call *call);
void sim_threads_delete(struct sim_call *call);

/* What a person writes. */
void sim_user_message(struct crier_sim *sim, struct sim_channel *channel, struct sim_user *author,
                      const char *content);

/* objects.c */
char *sim_user_json(const struct sim_user *user);
void sim_channel_json(struct crier_buf *b, const struct sim_channel *channel);
/* Without the closing brace. */
void sim_guild_open(struct crier_buf *b, const struct sim_guild *guild);
void sim_member_json(struct crier_buf *b, const struct sim_guild *guild,
                     const struct sim_user *user);
/* As messages carry it: without the user. */
void sim_member_bare_json(struct crier_buf *b, const struct sim_guild *guild);
void sim_channel_get(struct sim_call *call);
void sim_guild_get(struct sim_call *call);
void sim_guild_channels(struct sim_call *call);
void sim_guild_member(struct sim_call *call);
void sim_me_get(struct sim_call *call);
void sim_user_get(struct sim_call *call);
void sim_me_guilds(struct sim_call *call);
void sim_me_channels(struct sim_call *call);
void sim_gateway_get(struct sim_call *call);
void sim_gateway_bot(struct sim_call *call);

/* gateway_events.c */
void sim_guild_invites(struct sim_call *call);
struct sim_invite *sim_invite_add(struct sim_guild *guild, const char *code, uint64_t channel,
                                  unsigned uses, unsigned max_uses);
void sim_events_fini(struct crier_sim *sim);

/* gateway.c: identifies that are left to a bot today */
unsigned sim_gateway_remaining(struct crier_sim *sim, struct sim_bot *bot);

/* faults.c */
void sim_faults_init(struct crier_sim *sim);
/* The fault that takes this request, counted; NULL: none. Valid until the next call. */
const struct sim_fault *sim_fault_take(struct crier_sim *sim, const char *method,
                                       const char *path);
bool sim_fault_executes(const struct sim_fault *fault);
/* Changes the answer, after the execution if there was one. */
void sim_fault_apply(struct sim_call *call, const struct sim_fault *fault);

/* received.c: how many bytes a connection has brought so far (Linux 4.2 and later; 0: unknown) */
uint64_t sim_bytes_received(int fd);

#endif
