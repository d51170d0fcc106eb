/* SPDX-License-Identifier: MIT
 *
 * The simulator's inside, for the files of this folder only (prefix sim_, not crier_sim_).
 *
 *   model.c     a request's way: fault, User-Agent, route, token, rate limit, handler
 *   world.c     bots, guilds, channels, users; the world file
 *   limits.c    rate-limit buckets and their headers
 *   form.c      reading a request's body; Discord's tree of form errors
 *   embeds.c    checking embeds and writing them as Discord answers them
 *   roles.c     roles, members, timeouts; what a member may do where
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

/* Permissions that the simulator judges by; the bits are Discord's. */
#define SIM_ADMINISTRATOR (UINT64_C(1) << 3)
#define SIM_ADD_REACTIONS (UINT64_C(1) << 6)
#define SIM_VIEW_CHANNEL (UINT64_C(1) << 10)
#define SIM_SEND_MESSAGES (UINT64_C(1) << 11)
#define SIM_SEND_TTS_MESSAGES (UINT64_C(1) << 12)
#define SIM_MANAGE_MESSAGES (UINT64_C(1) << 13)
#define SIM_EMBED_LINKS (UINT64_C(1) << 14)
#define SIM_ATTACH_FILES (UINT64_C(1) << 15)
#define SIM_READ_MESSAGE_HISTORY (UINT64_C(1) << 16)
#define SIM_MENTION_EVERYONE (UINT64_C(1) << 17)
#define SIM_MANAGE_NICKNAMES (UINT64_C(1) << 27)
#define SIM_MANAGE_ROLES (UINT64_C(1) << 28)
#define SIM_MANAGE_THREADS (UINT64_C(1) << 34)
#define SIM_CREATE_PUBLIC_THREADS (UINT64_C(1) << 35)
#define SIM_SEND_MESSAGES_IN_THREADS (UINT64_C(1) << 38)
#define SIM_MODERATE_MEMBERS (UINT64_C(1) << 40)
/* What @everyone may do unless told: all but Administrator, for which no channel could deny
 * anything. */
#define SIM_ALL_PERMISSIONS ((UINT64_C(1) << 51) - 1 - SIM_ADMINISTRATOR)

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

struct sim_role {
    uint64_t id, permissions;
    char *name;
    int position, color;
    bool hoist, mentionable;
};

struct sim_member {
    uint64_t user;  /* first: it is the hash table's key */
    GArray *roles;  /* uint64_t; NULL: none but @everyone */
    int64_t until;  /* timed out by a moderator until then, wall; 0: never was */
    char *nick;
};

struct sim_guild {
    uint64_t id, owner;
    char *name;
    GPtrArray *roles;       /* of struct sim_role; @everyone, with the guild's id, is the first */
    GHashTable *members;    /* user -> struct sim_member; NULL: none */
    struct sim_member bots; /* each bot that is not in there */
    GPtrArray *channels; /* of struct sim_channel, borrowed */
    GPtrArray *invites;  /* struct sim_invite */
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

struct sim_overwrite {
    uint64_t id, allow, deny;
    bool member; /* else a role's */
};

struct sim_channel {
    uint64_t id;
    struct sim_guild *guild;         /* NULL: none, or a DM */
    struct sim_user *recipient, *of; /* a DM: the person, and the bot */
    char *name;
    uint64_t parent; /* of a thread its channel; else its category; 0: none */
    int type, position;
    unsigned slowmode;  /* seconds; for people, not for bots */
    bool gone;          /* deleted */
    bool require_tag;   /* a forum whose posts must have one */
    bool archived, locked; /* a thread */
    GArray *overwrites; /* struct sim_overwrite; NULL: none */
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
    struct sim_role *role;
    uint64_t may;   /* what the bot may do in the channel */
    json_t *form;   /* the body, an object; owned */
    json_t *errors; /* the tree of form errors; owned */
};

struct sim_route {
    const char *method, *pattern; /* ":c" channel, ":m" message, ":g" guild, ":r" its role,
                                     ":u" user, ":o" of an overwrite, ":e" any */
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
void sim_world_init(struct crier_sim *sim);
void sim_world_fini(struct crier_sim *sim);

/* roles.c */
/* The bit of a permission by its name, "SEND_MESSAGES"; 0: no such name. */
uint64_t sim_permission(const char *name);
/* A list of names, ["SEND_MESSAGES"], or a number as Discord writes it, "2048". False: neither;
 * *wrong is then the name that is none, or NULL. */
bool sim_permissions_read(const json_t *v, uint64_t *out, const char **wrong);
/* What a user may do in a channel, timeouts and all; in a guild as a whole, without channel. */
uint64_t sim_may(struct crier_sim *sim, const struct sim_channel *channel,
                 const struct sim_user *user);
uint64_t sim_may_in_guild(struct crier_sim *sim, const struct sim_guild *guild,
                          const struct sim_user *user);
void sim_roles_init(struct sim_guild *guild);
void sim_roles_fini(struct sim_guild *guild);
/* The role of this id, made when there is none. */
struct sim_role *sim_role_add(struct sim_guild *guild, uint64_t id, const char *name);
struct sim_role *sim_role(const struct sim_guild *guild, uint64_t id);
void sim_role_remove(struct sim_guild *guild, struct sim_role *role);
/* Who is in the guild: a person who joined, or any bot; NULL: not a member. */
const struct sim_member *sim_member(const struct sim_guild *guild, const struct sim_user *user);
/* The same, to be changed: made when it is new. */
struct sim_member *sim_member_add(struct sim_guild *guild, const struct sim_user *user);
void sim_member_remove(struct sim_guild *guild, const struct sim_user *user);
void sim_member_set_roles(struct sim_member *member, const uint64_t *ids, size_t count);
/* How many people are in it. */
unsigned sim_people(struct crier_sim *sim, const struct sim_guild *guild);
bool sim_timed_out(struct crier_sim *sim, const struct sim_guild *guild,
                   const struct sim_user *user);
/* The overwrite of a role or a member, made when `make`; NULL: none. */
struct sim_overwrite *sim_overwrite(struct sim_channel *channel, uint64_t id, bool member,
                                    bool make);
void sim_overwrite_remove(struct sim_channel *channel, uint64_t id);
void sim_role_json(struct crier_buf *b, const struct sim_role *role);
void sim_roles_list(struct sim_call *call);
void sim_roles_get(struct sim_call *call);
void sim_roles_create(struct sim_call *call);
void sim_roles_edit(struct sim_call *call);
void sim_roles_delete(struct sim_call *call);
void sim_members_get(struct sim_call *call);
void sim_members_edit(struct sim_call *call);
void sim_members_role_add(struct sim_call *call);
void sim_members_role_remove(struct sim_call *call);
void sim_overwrites_put(struct sim_call *call);
void sim_overwrites_delete(struct sim_call *call);

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
void sim_message_delete(struct crier_sim *sim, struct sim_channel *channel,
                        struct sim_message *message);
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
/* A member; as messages carry it: without the user in it. Without the closing brace. */
void sim_member_open(struct crier_buf *b, const struct sim_guild *guild,
                     const struct sim_user *user, bool with_user);
void sim_channel_get(struct sim_call *call);
void sim_guild_get(struct sim_call *call);
void sim_guild_channels(struct sim_call *call);
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
