/* SPDX-License-Identifier: MIT
 *
 * The host owns everything that runs: loop, state, sinks, bots, the current generation and the
 * ones that are still draining; it starts and stops them in order, swaps generations, and answers
 * the control socket.
 *
 * Order of starting: script -> state folder and lock -> state -> simulator -> bots -> sinks ->
 * swap of the first generation -> control socket, signals, watch. Stopping is the reverse: no new
 * sends, callbacks and sends under way end (limits.stop), records flushed, state written.
 *
 * Thread: [loop].
 */
#ifndef CRIER_HOST_H
#define CRIER_HOST_H

#include "script/generation.h"
#include "sim/sim.h"
#include "state/state.h"

struct crier_host; /* opaque */
struct crier_app;  /* script/app.h */
struct crier_view; /* discord/view.h */

/** What a program that the host is part of gets to know of it, and gives it. All on the loop. */
struct crier_host_embed {
    void *arg;
    bool signals; /**< the host handles signals, as in the command */
    const struct crier_app *app; /**< functions of the program; may be NULL */
    /** The first generation runs: from now on the host may be posted to. */
    void (*started)(void *arg, struct crier_host *host);
    /** The loop has ended: no longer. */
    void (*ending)(void *arg);
    /** A reload has ended; text: the diff, or why it was refused. */
    void (*reloaded)(void *arg, int code, const char *text);
    /** Why crier_host_run fails; it has been said on stderr, too. */
    void (*failed)(void *arg, int code, const char *text);
};

/** A host in virtual time: crier simulate, diff and spec. Its loop has no libuv; nothing of it needs
 *  a socket, a signal or a thread. */
struct crier_host_virtual {
    uint64_t seed;         /**< of all that is drawn: periods, ids, math.random, jitter */
    struct crier_sim *sim; /**< what it talks to; borrowed, goes on when the host has ended */
    struct crier_loop *rest; /**< the simulator's loop while no host runs */
    bool dry;              /**< sinks keep what they get in memory (crier_sink_dry) */
    bool forgets;          /**< the state is in memory; nothing is written to the state folder but
                                what sinks spill */
    const char *state_from; /**< and begins with what this folder's state has; NULL: empty */
    /** What crier.http talks to, for this loop; the host frees it. NULL: the network, which is
     *  refused in virtual time. */
    struct crier_transport *(*http)(void *arg, struct crier_loop *loop);
    /** File -> its text, in place of what is on disk; absolute paths. NULL: none. */
    GHashTable *overlay;
    /** Every record, before it is routed; those of GUILDs that do not log, too. May be NULL. */
    void (*on_record)(void *arg, const struct crier_record *record);
    /** As in struct crier_sink_env. */
    bool (*sink_fault)(void *arg, const char *sink, size_t count, enum crier_verdict *verdict,
                       size_t *done, struct crier_err *err);
    void *arg;
};

struct crier_host_config {
    const char *file;             /**< the script */
    const char *state_folder;     /**< --state; NULL: as the script says */
    bool sim;                     /**< --sim: a simulator of our own on loopback */
    const char *sim_url;          /**< --sim-url: a crier discord-sim that runs already */
    bool sim_inline;              /**< the simulator's in-process transport instead of its server */
    bool sim_no_limits;           /**< the simulator answers without rate limits */
    bool watch;                   /**< --watch */
    int64_t run_for;              /**< --for, microseconds; 0: until stopped */
    bool json;                    /**< machine-readable lines */
    bool transcript;              /**< at the end, draw the simulator's channels */
    const char *world;            /**< --world: the simulator's guilds, channels and users */
    const char *const *sim_allow; /**< --sim-allow: hosts that crier.http may talk to in --sim;
                                       NULL-terminated, or NULL */
    struct crier_clock *clock;
    const struct crier_host_embed *embed; /**< NULL: the command */
    const struct crier_host_virtual *virt; /**< NULL: live. Else `clock` is virtual and `sim` true */
};

/** Build, start, run until stopped. Returns the exit code (README.md, Commands). Everything that
 * went wrong has been said on stderr. */
int crier_host_run(const struct crier_host_config *config);

/** The same in three steps, for virtual time: the owner turns crier_host_loop(host) as far as it
 *  likes between the two. config stays valid until the end. NULL: not started, the exit code in
 *  *code. */
struct crier_host *crier_host_open(const struct crier_host_config *config, int *code);
/** End at once what is under way, flush, free. For an orderly stop, crier_host_stop first, and turn
 *  the loop until it returns. Returns the exit code. */
int crier_host_close(struct crier_host *host);
/** The generation that runs. */
struct crier_generation *crier_host_current(struct crier_host *host);

/** Begin to stop, with this exit code; once. */
void crier_host_stop(struct crier_host *host, int code);
/** Build a new generation; swap when it is good. While one is being built, once more after it. */
void crier_host_reload(struct crier_host *host);
/** The level from which a logger's records are made, as the script says now. */
enum crier_level crier_host_log_level(const struct crier_host *host, const char *logger);
/** Whether a reload is under way. */
bool crier_host_reloading(const struct crier_host *host);

/* --- for the script's side -------------------------------------------------------------- */

struct crier_loop *crier_host_loop(struct crier_host *host);
struct crier_state *crier_host_state(struct crier_host *host);
/** The one builder of records on the loop thread. */
struct crier_builder *crier_host_builder(struct crier_host *host);
/** A finalizer may log while the fields of another log call are being read: begin says whether one
 *  is under way, and then the spare builder is to be used. */
bool crier_host_log_begin(struct crier_host *host);
void crier_host_log_end(struct crier_host *host);
struct crier_builder *crier_host_spare_builder(struct crier_host *host);
/** Route a record; consumes the reference. Returns what crier_router_send does: a sink that is full
 *  and would rather have its callers wait, or NULL. */
struct crier_sink *crier_host_emit(struct crier_host *host, struct crier_record *record);
/** Show a record to whoever watches a host in virtual time; crier_host_emit does it by itself. */
void crier_host_observe(struct crier_host *host, struct crier_record *record);
/** A fresh id, of those that records have. */
void crier_host_new_id(struct crier_host *host, int64_t now, unsigned char out[16]);
/** The next record's number is above this one. */
void crier_host_seq_from(struct crier_host *host, uint64_t seq);
/** The name of this host in its records. */
const char *crier_host_node(const struct crier_host *host);
/** Whether any hook of this name is there. */
bool crier_host_has_hook(const struct crier_host *host, const char *event);
/** A system record: logger "system", the text formatted. */
void crier_host_system(struct crier_host *host, enum crier_level level, const char *what,
                       const char *fmt, ...) CRIER_PRINTF(4, 5);
/** A callback failed: a system record with message and traceback. */
void crier_host_callback_error(struct crier_host *host, const char *what,
                               const struct crier_lua_error *error);
/** A record with neither seq nor id, from a time when there was no host, or from another thread: what
 *  it says is made a record now. */
void crier_host_emit_log(struct crier_host *host, const struct crier_record *log);
/** The same for what a sink's function has logged: it comes back to no such sink. */
void crier_host_emit_sinks(struct crier_host *host, const struct crier_record *log);
/** A function of a sink failed: as crier_host_callback_error, but not told to that sink. */
void crier_host_sink_error(struct crier_host *host, const struct crier_sink *sink,
                           const char *what, const struct crier_lua_error *error);
/** A callback of this generation has run: its crier.state tables may have changed. */
void crier_host_touched(struct crier_generation *gen);
/** Call the current generation's hooks of this name; push leaves one value (the event) on L. */
void crier_host_hook(struct crier_host *host, const char *event,
                     void (*push)(lua_State *L, void *arg), void *arg);

/** The same; user: as that of crier_call_start. */
void crier_host_hook_of(struct crier_host *host, const char *event,
                        void (*push)(lua_State *L, void *arg), void *arg, void *user);
/** Something under way has ended while the host stops: look whether that was the last. */
void crier_host_look_idle(struct crier_host *host);
/** The alerts: a record that goes to no sink (a guild without logging) counts too. */
struct crier_alerts *crier_host_alerts(struct crier_host *host);

/** The message runtime's share of the host (script/message.h). */
struct crier_poster *crier_host_poster(struct crier_host *host);
/** The tasks' share of the host (script/task.h). */
struct crier_tasker *crier_host_tasker(struct crier_host *host);
/** The client of a bot, by name; made at the swap that declares it. */
struct crier_discord *crier_host_client(struct crier_host *host, const char *bot);
/** What the bot sees of Discord; lives as long as its client. NULL: there is no such bot. */
struct crier_view *crier_host_view(struct crier_host *host, const char *bot);
/** What the bot's gateway knows a guild or channel by; NULL: it does not, or there is none. Borrowed
 *  until its next event. */
const char *crier_host_known_name(struct crier_host *host, const char *bot, uint64_t id);
/** Whether the last message of a channel is the bot's own, as its gateway knows: 1, 0; -1: it does
 *  not. */
int crier_host_last_own(struct crier_host *host, const char *bot, uint64_t channel);
/** The bot has sent a message there. */
void crier_host_sent(struct crier_host *host, const char *bot, uint64_t channel, uint64_t message);
/** What is sent to has changed while the generation runs: the simulator gets what it does not have,
 *  the gateways watch the invites that are to be watched. In the loop's next turn. */
void crier_host_targets_changed(struct crier_host *host);
/** Whether its token was accepted, or it has been given up. */
bool crier_host_bot_ready(struct crier_host *host, const char *bot);
/** Whether Discord does not answer the bot, and has not done so for seconds. */
bool crier_host_bot_unreachable(struct crier_host *host, const char *bot);
/** The random generator of the loop thread (periods). */
struct crier_rng *crier_host_rng(struct crier_host *host);
bool crier_host_stopping(const struct crier_host *host);
/** Whether the bots talk to a simulator; *allow: as in struct crier_sink_env. */
bool crier_host_sim(const struct crier_host *host, const char *const **allow);

#endif
