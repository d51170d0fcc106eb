/* SPDX-License-Identifier: MIT
 *
 * The inside of a sink, shared by sink.c (its life), sink_deliver.c (what the worker does with
 * records) and sink_command.c (flushes, queries, changes, calls).
 */
#ifndef CRIER_SINK_PRIVATE_H
#define CRIER_SINK_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "base/worker.h"
#include "sink/queue.h"
#include "sink/sink.h"

struct sink_command; /* sink_command.c */

/* Someone who waits for room in the queue, or for the end. */
struct sink_waiter {
    struct sink_waiter *next;
    void (*fn)(void *arg);
    void *arg;
};

struct sink_answer {
    enum crier_verdict verdict;
    size_t done;
    struct crier_err err;
};

struct crier_sink {
    atomic_int refs;
    const struct crier_sink_driver *driver;
    const struct crier_sink_env *env;
    char *name;
    struct crier_options common, options;
    unsigned kinds;
    bool kinds_given;
    enum crier_level level;
    unsigned retry_times;
    int64_t retry_delay; /* 0: doubling pauses */
    char *dead_path;     /* NULL: no state folder */
    struct crier_queue *queue;
    void *self;

    /* loop */
    struct crier_loop *loop;
    bool ending, awaiting; /* awaiting: the start, until the predecessor has ended */
    bool end_ref;          /* a reference that an end under way holds */
    struct crier_sink *predecessor;
    struct crier_timer end_timer;
    struct sink_waiter *enders, *room_waiters;
    void (*on_event)(void *arg, struct crier_sink *sink, const char *what, const char *text);
    void *event_arg;

    /* Set once, by the loop; the worker is halted at the stop, but freed only with the sink, so
     * that whoever pushes may wake it. */
    struct crier_worker *_Atomic worker;
    atomic_bool stopped;

    atomic_bool reopen, stop, draining, retry_now, drained_told, room_wanted, hurried;
    atomic_bool closing;   /* the worker's next step is its last: it saves and closes */
    atomic_bool passed_on; /* the queue is a successor's, too */
    atomic_uint borrowers; /* sinks that are down and send their copies here */
    atomic_uint commands_waiting;
    _Atomic uint64_t hurry_mark;

    pthread_mutex_t lock; /* guards the members up to the next comment */
    struct sink_command *commands;
    uint64_t retries;
    bool failing, down;
    int64_t down_since, next_try; /* wall time */
    struct crier_err last;
    bool pending, answered; /* a batch that write left PENDING */
    struct sink_answer answer;

    pthread_mutex_t self_lock; /* while the driver is interrupted, or about to be closed */
    bool closed;

    pthread_mutex_t tell_lock; /* guards the members up to the next comment */
    int64_t drops_told, rejects_told;
    uint64_t rejects;
    char reject_text[256];

    pthread_mutex_t fallback_lock; /* held while copies are pushed */
    struct crier_sink *fallback;
    bool leaning; /* counted among the fallback's borrowers */

    /* worker, or loop when there is none */
    unsigned attempts; /* tries in a row that failed */
    int64_t trouble_told;
    int64_t retry_at;
    size_t offered; /* records of the batch that write was given last */
    struct crier_rng rng;
};

/* sink.c */

/** Post to the loop; before the start, call at once. */
void crier_sink_on_loop(struct crier_sink *s, void (*fn)(void *arg), void *arg);
/** [any] An event (crier_sink_on_event). */
void crier_sink_tell(struct crier_sink *s, const char *what, const char *fmt, ...)
    CRIER_PRINTF(3, 4);
/** [loop] Posted by the worker: the queue is empty, or there is no use in waiting longer. */
void crier_sink_drained(void *sink);
/** [loop] Posted by the worker after its last step. */
void crier_sink_closed(void *sink);
/** [worker] Send copies to the fallback, or do not any more. */
void crier_sink_lean(struct crier_sink *s, bool lean);
/** [worker, or loop without one] Save what is left, close the driver. */
void crier_sink_close(struct crier_sink *s);
/** [loop] Posted by the worker: who waits for room may go on. */
void crier_sink_room(void *sink);

/* sink_deliver.c */

/** [worker] The worker's step; arg is the sink. */
int64_t crier_sink_step(void *arg, int64_t now);
/** [any] Tell of losses, each sort at most once a second unless `all`. Returns when there may be
 *  more to tell. */
int64_t crier_sink_tell_losses(struct crier_sink *s, int64_t now, bool all);

/* sink_command.c */

/** [worker] Do what is due. */
void crier_sink_run_commands(struct crier_sink *s);
/** [loop, no worker any more] Answer all that is left. */
void crier_sink_cancel_commands(struct crier_sink *s);

#endif
