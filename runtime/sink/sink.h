/* SPDX-License-Identifier: MIT
 *
 * Sinks: where records go.
 *
 * The framework owns queue, thread, batching, retry and counters; a driver only opens, writes a
 * batch and says what happened. One record's way:
 *
 *   router [loop] -> crier_sink_push -> bounded queue -> worker takes a batch -> driver->write
 *                                          |  full: spool (in order), or the policy
 *
 * Ownership: the queue holds a reference to each record until the driver has answered for it.
 * The loop is never blocked: a push is a mutex, a store and perhaps a wake-up; a full queue spills
 * to a spool in the state folder and the worker reads it back in order. Of a durable sink every
 * record is in the spool (a mapped file) before the push returns.
 *
 * Failing: a write that asks for a retry is tried again after a pause, with the same batch. After
 * `retry.times` of them in a row the sink is down: what waits moves to the spool, its fallback gets a
 * copy of each record that is owed, once, and it is tried for ever; when it works again, what waits is
 * written in order.
 *
 * The end: crier_sink_end asks for it and returns; the worker writes what it can in the time given,
 * saves the rest, closes the driver and says so. A sink that takes another's place goes on with its
 * queue (crier_sink_succeed).
 *
 * Accounting, true at every moment (a spec checks it):
 *   accepted = written + queued + spilled + rejected + dropped
 * Copies to a fallback are that one's accepted records; here they are counted apart.
 */
#ifndef CRIER_SINK_SINK_H
#define CRIER_SINK_SINK_H

#include <jansson.h>

#include "base/loop.h"
#include "base/option.h"
#include "crier/record.h"
#include "record/query.h"

struct crier_zone;

struct crier_sink_env;

/** Functions of the script that make a text of a text (CRIER_OPT_CARRIED): script/ has them. */
struct crier_text_functions {
    /** [any] code: the option's `s`. CRIER_ECONFIG: it cannot be loaded. */
    int (*open)(const struct crier_sink_env *env, const char *code, void **fn,
                struct crier_err *err);
    /** [worker] The result is added to out; after an error nothing is. */
    int (*run)(void *fn, struct crier_str text, struct crier_buf *out, struct crier_err *err);
    void (*close)(void *fn);
};

/** What a driver says of the batch that it was given. */
enum crier_verdict {
    CRIER_WRITTEN,      /**< all of it is stored */
    CRIER_RETRY_LATER,  /**< the first *done records are stored; try the rest again (back-off) */
    CRIER_REJECTED,     /**< the first *done records are stored; the record behind them is at fault
                             and goes to the dead-letter file; go on after it */
    CRIER_DROPPED,      /**< the first *done records are stored; the rest is lost for good, because
                             there is no one left to take it (a closed pipe): counted and told */
    CRIER_UNAVAILABLE,  /**< as RETRY_LATER, but more tries at once are no use (the login was
                             refused): the sink is down from now on, whatever `retry` says */
    CRIER_PENDING,      /**< the driver has taken the batch and answers by crier_sink_answer; the
                             records stay valid until then, nothing else is called but `idle`,
                             `reopen` and `close` (which gives the batch up without an answer) */
};

/** What a driver may know about where it runs. Borrowed; outlives the sink. */
struct crier_sink_env {
    struct crier_clock *clock;
    const struct crier_zone *zone; /**< the config's time zone */
    const char *folder;            /**< the script's folder: relative paths resolve against it */
    const char *state_folder;      /**< spools and the like go to <state_folder>/sinks */
    bool sim;
    const char *const *sim_allow; /**< hosts that may be reached in --sim nevertheless; ends with
                                       NULL; NULL: none */
    const struct crier_text_functions *texts; /**< NULL: no script, no functions */
    uint64_t seed; /**< virtual time: of what a module draws */
    bool dry; /**< virtual time: nothing is written anywhere, see crier_sink_dry */
    /** Virtual time: whether a fault is due in place of a write of this sink; then the verdict, and
     *  how many records are stored nevertheless. NULL: none ever. */
    bool (*fault)(void *arg, const char *sink, size_t count, enum crier_verdict *verdict,
                  size_t *done, struct crier_err *err);
    void *fault_arg;
    bool read_only; /**< a client command reads what is stored: no write comes, and opening changes
                         nothing on disk (another process may be writing) */
};

/** [any] Whether a sink may talk to this host: in --sim only to this machine (localhost, 127.0.0.0/8,
 *  ::1, also in brackets) and to those of sim_allow. CRIER_EDENIED: "refused in --sim: ..."; `write`
 *  answers RETRY_LATER with it, which is recorded. */
CRIER_CHECK int crier_sink_may_reach(const struct crier_sink_env *env, const char *host,
                                     struct crier_err *err);
/** [any] Whether a host's name or address is this machine's. */
bool crier_sink_is_local(const char *host);

struct crier_sink; /* opaque, refcounted: generations share sinks that a reload kept */

/** A function of a kind beyond filter: `redis:recent("bot", "error")` in Lua, and the commands
 *  that read it. */
struct crier_sink_method {
    const char *name;  /**< "recent"; NULL ends the list */
    const char *usage; /**< `redis:recent("bot", "error")`, for messages and help */
    const char *help;  /**< one line */
    /** [worker] args: a JSON array of the arguments. *result is a new reference for the caller. */
    int (*run)(void *self, const json_t *args, json_t **result, struct crier_err *err);
    bool runs_sql; /**< the first argument is SQL: the caller's open event gets it as `what_sql` */
};

/** A kind of sink. Constant, one a kind. */
struct crier_sink_driver {
    const char *kind; /**< "json": crier.sink.json */
    const char *help; /**< one line for `crier help` */
    const struct crier_option *options;
    size_t option_count;
    unsigned kinds;   /**< bit 1 << enum crier_kind: what it takes unless `kinds` is given */
    const char *overflow; /**< default overflow policy: "spill", or "drop_old" (console) */
    /** [any, before the first write] Check the options and open. */
    int (*open)(const struct crier_sink_env *env, const struct crier_options *options,
                const char *name, void **self, struct crier_err *err);
    /** [worker] Store records[0..count). Not called again until it returns. */
    enum crier_verdict (*write)(void *self, struct crier_record *const *records, size_t count,
                                size_t *done, struct crier_err *err);
    /** [worker] The queue is empty: flush what is buffered, do housekeeping. Returns the monotonic
     *  time of the next call wanted (CRIER_NEVER: when there is something new). May be NULL. */
    int64_t (*idle)(void *self, int64_t now_mono);
    /** [worker] SIGUSR1: close and reopen files. May be NULL. */
    void (*reopen)(void *self);
    /** [any, after the last write] Flush, close, free. */
    void (*close)(void *self);
    /** [worker] Read back: the records that crier_query_wants, in stored order (oldest first)
     *  before events are folded and the query's own order, limit and offset are applied by the
     *  caller (crier_query_finish). Each hit is a reference for the caller. NULL: the sink cannot
     *  be read. */
    int (*query)(void *self, const struct crier_query *query, struct crier_record ***hits,
                 size_t *count, struct crier_err *err);
    enum crier_level level; /**< what it takes unless `level` is given; 0: debug */
    int64_t retry_max; /**< longest pause between two tries of a write; 0: 30 s */
    size_t batch; /**< records written at once at most unless `batch` is given; 0: 512 */
    bool durable; /**< default of the option */
    /** `write` and all else marked [worker] run on the loop thread (a Lua sink without a thread of
     *  its own): they must not block, and may answer CRIER_PENDING. */
    bool on_loop;
    /** [worker] Change the records that match (order, offset and limit play no part), or delete
     *  them (fields NULL); their number in *changed, an event counting once (record/change.h).
     *  Common members are not changed; `fields`: an object of new values, null removes. NULL: the
     *  store cannot (CRIER_EINVAL is answered). */
    int (*change)(void *self, const struct crier_query *query, const json_t *fields,
                  uint64_t *changed, struct crier_err *err);
    const struct crier_sink_method *methods; /**< may be NULL */
    /** [loop] After `open` and before the first write: the sink that self belongs to, for
     *  crier_sink_answer. May be NULL. */
    void (*attach)(void *self, struct crier_sink *sink, struct crier_loop *loop);
    const char *cannot_read; /**< why `query` is NULL, for messages; may be NULL */
    bool in_order; /**< what is older than the last record written is taken for a repeat, so no history
                        can be moved into it */
    bool script; /**< it runs functions of the user's: what these log goes to no sink of this sort */
    /** [any] The files that its code came from; ends with NULL; does not change. A reload after one
     *  of them has changed opens the sink anew. May be NULL. */
    const char *const *(*files)(void *self);
    /** [any] The time to stop is over and `write` still runs: it shall come back soon (with
     *  RETRY_LATER). May be NULL. */
    void (*interrupt)(void *self);
};

/** The kinds, in a fixed order; ends with NULL. */
extern const struct crier_sink_driver *crier_sink_drivers[];
/** One kind more, before any script is loaded; borrowed for good. CRIER_EEXIST, CRIER_ELIMIT. */
CRIER_CHECK int crier_sink_driver_add(const struct crier_sink_driver *driver,
                                      struct crier_err *err);
const struct crier_sink_driver *crier_sink_driver_find(const char *kind); /**< NULL: none */

/** The kind as it is in a dry run: it keeps the last records in memory, where queries find them,
 *  takes what the kind takes, and touches no file and no network. A kind that cannot be read cannot
 *  be read here either; its methods answer that this is a dry run. Lives as long as the process. */
const struct crier_sink_driver *crier_sink_dry(const struct crier_sink_driver *driver);

/** The options that every sink has: name kinds level queue overflow batch flush durable sync spool
 *  retry.times retry.delay fallback. */
extern const struct crier_option crier_sink_common_options[];
extern const size_t crier_sink_common_count;

/** Open a sink. `options` and `common` are taken over (moved), also on failure. Called from the
 *  thread that builds a generation; the worker is started by crier_sink_start. What an earlier run
 *  left in the spool counts as accepted and is written first. CRIER_ECONFIG: an option is
 *  wrong; CRIER_EVERSION, CRIER_EIO: the spool cannot be used; else what the driver says. */
CRIER_CHECK int crier_sink_open(const struct crier_sink_driver *driver, const char *name,
                                struct crier_options *common, struct crier_options *options,
                                const struct crier_sink_env *env, struct crier_sink **out,
                                struct crier_err *err);
/** [loop] Start the worker, once. */
void crier_sink_start(struct crier_sink *sink, struct crier_loop *loop);
/** [loop, or before the start] Where copies go while this sink is down; a reference is taken. NULL:
 *  nowhere. */
void crier_sink_set_fallback(struct crier_sink *sink, struct crier_sink *fallback);
/** [worker, or any thread] The answer to a batch that `write` has left PENDING: as if write had
 *  returned it now. Once a batch. err as write's; may be NULL. */
void crier_sink_answer(struct crier_sink *sink, enum crier_verdict verdict, size_t done,
                       const struct crier_err *err);
struct crier_sink *crier_sink_ref(struct crier_sink *sink);
/** The last reference: the worker is stopped as crier_sink_stop(0) does, then all is freed. */
void crier_sink_unref(struct crier_sink *sink);

/** [loop] Whether this sink takes such a record (its `kinds` and `level`) when no rule says so. */
bool crier_sink_takes(const struct crier_sink *sink, const struct crier_record *record);
/** [loop] Whether it takes a record that a rule sends it: by `level`, and by `kinds` where the
 *  script gave them; the driver's own choice of kinds does not count. */
bool crier_sink_takes_routed(const struct crier_sink *sink, const struct crier_record *record);
/** [any] Hand over a record (a reference is taken). Never blocks. */
void crier_sink_push(struct crier_sink *sink, struct crier_record *record);
/** [loop] What was pushed is written without waiting for its batch to fill. */
void crier_sink_hurry(struct crier_sink *sink);
/** [any] Whether the queue of a sink whose policy is "block" is full. What is pushed nevertheless
 *  spills. */
bool crier_sink_is_full(struct crier_sink *sink);
/** [loop] fn(arg) is called once on the loop, when the queue is half empty or the sink stops. */
void crier_sink_on_room(struct crier_sink *sink, void (*fn)(void *arg), void *arg);
/** [loop] Take a crier_sink_on_room back. */
void crier_sink_forget_room(struct crier_sink *sink, void *arg);
/** [loop] done(arg) is called on the loop when everything pushed before has been answered for. */
void crier_sink_flush(struct crier_sink *sink, void (*done)(void *arg), void *arg);
/** [loop] Ask for a reopen of files. */
void crier_sink_reopen(struct crier_sink *sink);
/** [loop] Flush for at most `within` microseconds of monotonic time, then stop the worker and close
 *  the driver. What is not written goes to the spool and is written at the next start; where
 *  the overflow policy is not "spill" it is dropped, counted and told. Waits for a write that is
 *  under way. In virtual time one try is made, whatever `within` is (unless 0). */
void crier_sink_stop(struct crier_sink *sink, int64_t within);

/** [loop] The same without holding the loop: done(arg) is called on it when the sink has ended,
 *  after `within` at the latest plus the write that is under way. Records pushed meanwhile and
 *  after it go to the spool, as what a stop leaves does. */
void crier_sink_end(struct crier_sink *sink, int64_t within, void (*done)(void *arg), void *arg);

/** [loop] Before the start of `sink`, which is started by that: it goes on with the queue of `old`, a
 *  sink of the same name, and everything pushed to either is its business from now on. `old` is
 *  given `within` to settle the batch that it has under way, and ends; then, and not before, the
 *  worker of `sink` starts. Nothing is waited for here. */
void crier_sink_succeed(struct crier_sink *sink, struct crier_sink *old, int64_t within,
                        struct crier_loop *loop);
/** [loop] The process is about to exit, and the driver hangs: what is in the queue, and the batch that
 *  it hangs in, goes to the spool as at an end. The sink is never freed. */
void crier_sink_abandon(struct crier_sink *sink);

/** [loop] Run a query on the worker; done is called on the loop with the hits (the caller unrefs
 *  each and frees the array) or with err->code != 0. The query sees every record pushed before; it
 *  is taken over. A sink that is failing answers at once with the code of its fault. */
void crier_sink_query(struct crier_sink *sink, struct crier_query *query,
                      void (*done)(void *arg, struct crier_record **hits, size_t count,
                                   const struct crier_err *err),
                      void *arg);

/** [loop] Change records (fields: an object, taken over) or delete them (NULL), on the worker, after
 *  everything pushed before; done as for a query. `query` is taken over. */
void crier_sink_change(struct crier_sink *sink, struct crier_query *query, json_t *fields,
                       void (*done)(void *arg, uint64_t changed, const struct crier_err *err),
                       void *arg);
/** [loop] Run a method of the kind on the worker, after everything pushed before. args: an array,
 *  taken over. result is borrowed for the call. */
void crier_sink_call(struct crier_sink *sink, const struct crier_sink_method *method, json_t *args,
                     void (*done)(void *arg, const json_t *result, const struct crier_err *err),
                     void *arg);

/** Where a sink of this name keeps its spool; its dead letters are in a file of that name with
 *  `.dead.jsonl` behind it. The caller frees. */
char *crier_sink_folder(const char *state_folder, const char *name);
const char *crier_sink_name(const struct crier_sink *sink);
const struct crier_sink_driver *crier_sink_driver_of(const struct crier_sink *sink);
/** [any, until the sink is stopped] What the driver's `open` has given. */
void *crier_sink_self(const struct crier_sink *sink);

struct crier_sink_stats {
    uint64_t accepted, written, rejected, dropped, retries;
    uint64_t queued, spilled; /**< now in memory, now in the spool */
    uint64_t copied;          /**< to the fallback; not part of the equation */
    uint64_t spool_bytes;
    bool failing;             /**< the last write asked for a retry */
    bool down;                /**< and so did `retry.times` before it */
    int64_t down_since, next_try; /**< wall time; 0: not so */
    char last_error[256];
};
/** [any] */
void crier_sink_stats(struct crier_sink *sink, struct crier_sink_stats *out);

/** [loop] Set by the host: called on the loop when a sink starts to fail ("failing"), goes down
 *  ("down"), works again ("ok"), drops ("dropped") or rejects ("rejected") records, has found its spool
 *  damaged or cannot use it ("damaged"), has filled it to its bound ("full"), or has written a batch
 *  in spite of an error ("troubled"); makes a system record. "dropped", "rejected" and "damaged" come at most
 *  once a second each, "troubled" once a minute. */
void crier_sink_on_event(struct crier_sink *sink,
                         void (*fn)(void *arg, struct crier_sink *sink, const char *what,
                                    const char *text),
                         void *arg);

#endif
