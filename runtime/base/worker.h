/* SPDX-License-Identifier: MIT
 *
 * A worker: a function step(now) -> next due time, driven by a thread of its own when the loop is
 * live, and in line by the loop in virtual time (or always, for what must run on the loop thread).
 *
 * The step function does what is there to do and returns the monotonic time at which it wants to
 * be called again: CRIER_NEVER = only when woken. It must not assume that it was called on time,
 * nor on which thread. It owns what it touches; what it shares with the loop it guards itself
 * (a queue with a mutex, atomics).
 */
#ifndef CRIER_BASE_WORKER_H
#define CRIER_BASE_WORKER_H

#include <stdint.h>

#include "base/loop.h"

struct crier_worker; /* opaque */

/** [loop] Start a worker. name shows in thread lists (15 bytes are kept). step is called once at
 *  once. step gets the monotonic now. */
struct crier_worker *crier_worker_start(struct crier_loop *loop, const char *name,
                                        int64_t (*step)(void *arg, int64_t now), void *arg);
/** [loop] The same on the loop thread, also live: each step is a turn of the loop of its own. */
struct crier_worker *crier_worker_start_on_loop(struct crier_loop *loop, const char *name,
                                                int64_t (*step)(void *arg, int64_t now), void *arg);
/** [any] There is something to do. Cheap when the worker is awake anyway. Harmless when it has been
 *  halted, until it is freed. */
void crier_worker_wake(struct crier_worker *worker);
/** [loop, not in its own step] No further step after this returns: joins the thread. A step that is
 *  running is waited for, so the owner must first make it want to return. May be called again. */
void crier_worker_halt(struct crier_worker *worker);
/** [loop] After a halt. NULL is allowed. */
void crier_worker_free(struct crier_worker *worker);
/** [loop] Halt and free. */
void crier_worker_stop(struct crier_worker *worker);

#endif
