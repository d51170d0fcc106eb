/* SPDX-License-Identifier: MIT
 *
 * One message's way from its due time to its record (runtime/README.md, One message):
 *
 *   timer -> late? -> data function -> intent stored -> requests -> outcomes -> record, counters
 *
 * What happens to a message over time is its struct crier_msgstate, found by the message's key; it
 * outlives generations and, in the state store, the process. Before anything is created on Discord
 * the intent (due time and first attempt) is in the store, so that a restart repeats it under the
 * same nonce and no message is doubled or lost.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_MESSAGE_H
#define CRIER_SCRIPT_MESSAGE_H

#include <jansson.h>

#include "script/generation.h"

struct crier_send;

/** A create that failed, and may have been executed nevertheless (its answer was lost). Of a message that
 *  is to stand once in its channel it is looked for before the next one is made. */
struct crier_lost {
    struct crier_content *content; /**< after a restart without files' data: enough to know it again */
    char nonce[26];
    int64_t at; /**< wall: first attempt */
};

struct crier_channel_state {
    uint64_t id;      /**< the channel; the DM channel's user for a DirectMESSAGE */
    uint64_t message; /**< last message sent there, 0: none */
    int64_t sent;     /**< successful sends */
    int64_t paused_until; /**< monotonic: closed to us, and tried again then; 0: open.
                               CRIER_NEVER: given up, tried again by a new start only */
    int refusals;     /**< in a row */
    char *why;        /**< of the last refusal */
    struct crier_lost *lost; /**< what may be there without our knowing its id; NULL: nothing */
};

struct crier_msgstate {
    int refs; /**< its place in the list, and each message that has or had it */
    char *key;
    int64_t first; /**< wall: first start ever */
    int64_t due;   /**< wall: next due time */
    int64_t last;  /**< wall: the due time that was last sent or skipped; 0: none yet */
    uint64_t sent, failed, skipped; /**< occurrences */
    uint64_t requests, retries;     /**< since this start, as in its records */
    int64_t waited;                 /**< the same, microseconds */
    bool ended;
    bool paused;   /**< by crier message pause; survives a restart */
    char *period;  /**< as text, to see a change */
    char *removal; /**< as text, to see a change */
    struct crier_channel_state *channels;
    size_t channel_count;
    int64_t intent_due, intent_at; /**< a create that was under way: due time, first attempt */
    int64_t begun; /**< due time of a send that has begun and not ended; a start that finds it, and
                        no intent, tells that it was not made. 0: none */
    struct crier_send *send;       /**< under way now */
    bool held;                     /**< something is due and waits for that to end (catch_up) */
    struct crier_message *message; /**< whose timer fires; NULL: none declares it now */
    bool loaded;    /**< of the process before, and taken up by no message yet */
    bool forgotten; /**< out of the list, and not to be stored */
};

struct crier_poster; /* opaque; one a host */

/** The channels of a message that are paused or given up, [{id, reason, again_in?}]; NULL: none. */
json_t *crier_message_closed(const struct crier_message *m, int64_t now);

struct crier_poster *crier_poster_new(struct crier_host *host);
void crier_poster_free(struct crier_poster *poster);
/** Read the stored states. */
void crier_poster_load(struct crier_poster *poster);
/** Take a generation's messages on: states found or begun, timers armed. restarted: the process
 *  has just started, so what fell due before it is skipped, and intents are taken up again. */
void crier_poster_adopt(struct crier_poster *poster, struct crier_generation *gen, bool restarted);
/** A generation is replaced: its timers stop; what is under way ends by itself. */
void crier_poster_retire(struct crier_poster *poster, struct crier_generation *gen);
/** A message that is made while its generation runs: its state found or begun, its timer armed. */
void crier_poster_begin(struct crier_poster *poster, struct crier_message *m);
/** A message is removed: nothing is due of it any more, what is under way ends by itself. forget: its
 *  state too. It may be freed then. */
void crier_poster_end(struct crier_poster *poster, struct crier_message *m, bool forget);
/** Whether there are GUILDs by pattern. */
bool crier_poster_has_patterns(const struct crier_poster *poster);
/** The gateway says that the bot is in a guild of this name, or (NULL) has left it: GUILDs by
 *  pattern. */
void crier_poster_guild(struct crier_poster *poster, const char *bot, uint64_t id, const char *name);
/** The message that has this key now; NULL: none. */
struct crier_message *crier_poster_live(const struct crier_poster *poster, const char *key);
/** Sends under way. */
size_t crier_poster_pending(const struct crier_poster *poster);
/** Called whenever a send has ended (the host waits for the last at its stop). */
void crier_poster_on_idle(struct crier_poster *poster, void (*fn)(void *arg), void *arg);
/** A bot is ready (its token was accepted), or never will be: sends that wait for it go on. */
void crier_poster_bot_ready(struct crier_poster *poster, const char *bot);
/** The host stops: sends that still wait for their bot are skipped. */
void crier_poster_drop_waiting(struct crier_poster *poster);
/** The clients are about to go: no name is asked for any more. */
void crier_poster_stop_names(struct crier_poster *poster);
/** Give up what is under way, of one generation or (NULL) of all: data functions and requests are
 *  cancelled, outcomes recorded. */
void crier_poster_cancel(struct crier_poster *poster, const struct crier_generation *gen);
/** The wall clock was set: due times of durations shift with it. */
void crier_poster_clock_set(struct crier_poster *poster, struct crier_generation *gen,
                            int64_t jump_us);

/** A declared message by what a person calls it: GUILD/NAME (the GUILD's or USER's id, its name in
 *  the script or Discord's), a bare name where one message has it, a key, or of one without a name
 *  "TextMESSAGE at bot.lua:14". CRIER_EINVAL: none, or several. */
CRIER_CHECK int crier_message_find(struct crier_poster *poster, struct crier_generation *gen,
                                   const char *word, struct crier_message **out,
                                   struct crier_err *err);
/** Nothing falls due any more until it is resumed. False: it is paused already. */
bool crier_poster_pause(struct crier_poster *poster, struct crier_message *m);
/** The end of a pause, and of an end: what remove_after counts begins anew. What fell due meanwhile
 *  is skipped, and counted. False: it was neither paused nor ended. CRIER_EINVAL in err:
 * remove_after is a date that has passed. */
bool crier_poster_resume(struct crier_poster *poster, struct crier_message *m,
                         struct crier_err *err);
/** How a send ended: with its record, or, skipped, with why (then record is NULL). */
typedef void crier_message_told(void *arg, struct crier_record *record, const char *why);
/** Send once, now; due times stay as they are. told is called once, perhaps before this returns.
 *  CRIER_EBUSY: one is under way; CRIER_ENET: the bot is not ready; CRIER_EEXIST: it has ended. */
CRIER_CHECK int crier_poster_send(struct crier_poster *poster, struct crier_message *m,
                                  crier_message_told *told, void *arg, struct crier_err *err);
/** What a send now would say, without sending: the data function is called with copies of its bound
 *  arguments and ctx.preview = true. done gets an object (borrowed; "skipped" says that nothing
 *  would be sent, "error" that there is nothing to send), perhaps before this returns. */
void crier_poster_preview(struct crier_poster *poster, struct crier_message *m,
                          void (*done)(void *arg, json_t *shown), void *arg);

/** Totals, for status. */
struct crier_poster_stats {
    uint64_t sent, failed, skipped; /**< occurrences since this start */
    int64_t late_max;               /**< microseconds between due and start of a send */
    int64_t late_p50, late_p99;     /**< the same, of half and of 99 in 100 sends; at most an
                                         eighth above the truth */
};
void crier_poster_stats(const struct crier_poster *poster, struct crier_poster_stats *out);

#endif
