/* SPDX-License-Identifier: MIT
 *
 * The inside of the poster: message.c knows when something is due and what is said of it, send.c
 * carries one send from its data to its record, msgstate.c keeps what happens over time.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_MESSAGE_PRIVATE_H
#define CRIER_SCRIPT_MESSAGE_PRIVATE_H

#include "base/lateness.h"
#include "host/host.h"
#include "script/declare.h"
#include "script/guilds.h"
#include "script/message.h"
#include "script/names.h"

struct crier_poster {
    struct crier_host *host;
    struct crier_names *names;
    struct crier_guilds *guilds;
    GHashTable *states; /* key -> struct crier_msgstate */
    GHashTable *dms;    /* "bot/user" -> DM channel (uint64 boxed) */
    GHashTable *published; /* channel (boxed) -> struct published: crossposts of this hour */
    GPtrArray *waiting; /* sends that wait for their bot */
    GPtrArray *sends;   /* all under way */
    struct crier_poster_stats stats;
    struct crier_lateness late;
    void (*on_idle)(void *arg);
    void *idle_arg;
    bool intents_posted;
};

/* Discord publishes ten messages of a channel an hour. */
struct published {
    int64_t since; /* monotonic */
    int count;
};

/* One channel of a send. */
struct op {
    struct crier_send *send;
    struct crier_channel_state *at;
    uint64_t channel; /* where to send; for a DM known only once it is open */
    struct crier_request_id request;
    bool done, ok, edited, canceled, reopened;
    char *reason;
    const char *note;               /* what was left out; static */
    enum { NOT_ASKED, PUBLISHED, NOT_PUBLISHED } published;
    char *publish_reason;
    struct crier_discord_result last; /* the refusal that is being explained */
    uint64_t before; /* the last message as it was when the send began */
};

/* What a message's data function is asked for, or its constant data. */
struct crier_data {
    struct crier_poster *poster;
    struct crier_message *m;
    int64_t due;
    bool preview;                  /* for a look: bound arguments are copied */
    const uint64_t *channels;      /* that it goes to; borrowed */
    size_t channel_count;
    struct crier_content *content; /* what came out; or */
    bool nil;                      /* nothing is to be sent; or */
    struct crier_err err;          /* what cannot be sent */
};

struct crier_send {
    struct crier_poster *poster;
    struct crier_message *m;
    struct crier_msgstate *st;
    int64_t due, at;           /* wall: due time; first attempt */
    int64_t started, deadline; /* monotonic */
    struct crier_discord *client;
    struct crier_call *call; /* data function under way */
    struct crier_data data;
    crier_message_told *told; /* who asked for it; NULL: its time had come */
    void *told_arg;
    bool intent_stored, intent_pending, names_ready, cancelled;
    struct op *ops;
    size_t op_count, left;
    int requests, retries;
    int64_t waited, retry_wait, latency; /* latency: the slowest exchange */
    uint64_t *channels; /* that it goes to; for a DM the user */
    size_t channel_count;
    size_t asked;       /* only_if: the channel whose turn it is */
    uint64_t *chosen;   /* ... and those that it let through */
    size_t chosen_count;
    char *only_why;     /* what it said of the last channel that it refused */
    bool resumed;       /* of a process that ended before it knew */
    guint index; /* in poster->sends */
};

/* message.c */

/** Its name, or what its key says of it. */
const char *crier_message_display(const struct crier_message *m);
const char *crier_id_text(uint64_t id, char out[24]);
/** The name in the script, else Discord's, else the id (in out). */
const char *crier_target_name(struct crier_poster *p, const struct crier_target *t, char out[24]);
/** A message record: begin it; end it with the text. */
void crier_message_head(struct crier_builder *b, struct crier_poster *p, struct crier_message *m,
                        enum crier_level level, int64_t wall);
struct crier_record *crier_message_tail(struct crier_builder *b, struct crier_message *m,
                                        const char *text);
/** The record goes to sinks where the GUILD or USER logs, then to the hooks; consumes it. */
void crier_message_publish(struct crier_poster *p, struct crier_message *m, const char *event,
                           struct crier_record *record);
/** Occurrences that were not sent, and why. */
void crier_message_skip(struct crier_poster *p, struct crier_message *m, const char *reason,
                        uint64_t count);
/** Whether remove_after leaves sends for this channel; for none. */
bool crier_message_channel_open(const struct crier_message *m,
                                const struct crier_channel_state *at);
/** Whether Discord has refused us there, and it is not time to try again. */
bool crier_message_channel_closed(const struct crier_channel_state *at, int64_t now);
bool crier_message_used_up(const struct crier_message *m);
/** A send has ended: what waited for that is due now. */
void crier_message_resume(struct crier_msgstate *st);
/** remove_after is reached. */
void crier_message_end(struct crier_poster *p, struct crier_message *m);

/* msgstate.c */

/** A new state, with one reference; takes the key. */
struct crier_msgstate *crier_msgstate_new(char *key);
/** For GHashTable; NULL is allowed. */
void crier_msgstate_unref(void *p);
/** Store it; done as crier_state_put. Nothing once the host has closed the store. */
void crier_msgstate_save(struct crier_poster *p, struct crier_msgstate *st,
                         void (*done)(void *arg, int rc), void *arg);
/** NULL: there is none yet. */
struct crier_channel_state *crier_msgstate_channel(struct crier_msgstate *st, uint64_t id);
/** NULL is allowed. */
void crier_lost_free(struct crier_lost *lost);
void crier_msgstate_ensure(struct crier_msgstate *st, uint64_t id);
/** A snowflake as Discord writes it; 0 when it is none. */
uint64_t crier_json_id(const json_t *v);
/** The DM channel of "bot/user", as a JSON string. arg: the poster. */
void crier_poster_learn_dm(void *arg, const char *key, const char *text);

/* data.c */

/** The data function for `data`, a light userdata as its argument, on vm->L: ready for
 *  crier_call_start. */
void crier_data_push(struct crier_data *data);
/** The table ctx, the function's view of what is being sent. */
void crier_data_push_ctx(lua_State *L, const struct crier_data *data);
/** A copy of bound arguments, tables in them too: a registry ref. Where it cannot be made, the
 *  same. */
int crier_data_copy_args(struct crier_vm *vm, int args);
/** "data function of message 'gallery'". */
const char *crier_data_what(const struct crier_message *m, char out[160]);
/** What is wrong with what it returned, as an error of the script; free with crier_lua_error_fini.
 */
struct crier_lua_error crier_data_error(const struct crier_data *data);

/* send.c */

/** Whether a channel is one of those of its pattern, and takes messages of the bot. */
struct crier_seen_channel;
bool crier_message_matches(const struct crier_message *m, const struct crier_seen_channel *channel);

/** Send what was due then; at: wall time of the first attempt ever. told may be NULL. */
void crier_send_begin(struct crier_poster *p, struct crier_message *m, int64_t due, int64_t at,
                      crier_message_told *told, void *arg);

#endif
