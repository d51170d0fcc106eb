/* SPDX-License-Identifier: MIT
 *
 * The loop: timers, posted work and workers over one clock.
 *
 * Live, it is a heap of timers on one uv_timer, armed for the earliest entry only, so that an idle
 * host never wakes. In virtual time there is no libuv at all: the loop jumps from one due entry to
 * the next and drives the workers in line, so that the same input gives the same run.
 *
 * Threads: everything is [loop] but crier_loop_post, which is [any].
 */
#ifndef CRIER_BASE_LOOP_H
#define CRIER_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "crier/err.h"

struct uv_loop_s;
struct crier_loop; /* opaque */

/** A timer lives inside its owner's struct. Zero-initialised is valid and not armed. */
struct crier_timer {
    int64_t due;  /**< monotonic microseconds; meaningful while armed */
    uint64_t seq; /**< entries of one due time fire in the order in which they were armed */
    size_t index; /**< place in the heap + 1; 0 while not armed */
    void (*fire)(struct crier_timer *timer); /**< disarmed before the call; may arm itself again */
};

/** With the real clock a libuv loop is created (crier_loop_uv); with a virtual one, none.
 *  The clock is borrowed. */
struct crier_loop *crier_loop_new(struct crier_clock *clock);
/** Closes libuv handles that the loop itself made, runs posted work that is left, frees.
 *  Every worker must have been stopped. */
void crier_loop_free(struct crier_loop *loop);

struct crier_clock *crier_loop_clock(struct crier_loop *loop);
struct uv_loop_s *crier_loop_uv(struct crier_loop *loop); /**< NULL in virtual time */
/** Monotonic now; live, read afresh at each call. */
int64_t crier_loop_now(struct crier_loop *loop);
/** Wall now. */
int64_t crier_loop_wall(struct crier_loop *loop);

/** Arm (or move) a timer. A due time in the past fires at the next turn. O(log n). */
void crier_timer_at(struct crier_loop *loop, struct crier_timer *timer, int64_t due_mono_us);
void crier_timer_in(struct crier_loop *loop, struct crier_timer *timer, int64_t delay_us);
/** Disarm; harmless when not armed. */
void crier_timer_stop(struct crier_loop *loop, struct crier_timer *timer);
/** From one loop to another of the same clock, as it is armed. */
void crier_timer_move(struct crier_loop *from, struct crier_loop *to, struct crier_timer *timer);
static inline bool crier_timer_armed(const struct crier_timer *timer)
{
    return timer->index != 0;
}

/** [any] Run fn(arg) on the loop thread, soon, in the order of posting. Wakes the loop. */
void crier_loop_post(struct crier_loop *loop, void (*fn)(void *arg), void *arg);

/** A function that is called when the wall clock was set (live: TFD_TIMER_CANCEL_ON_SET; virtual:
 *  after crier_clock_set_wall, at the loop's next turn). jump_us = new wall - old wall at the same
 *  monotonic instant. One subscriber. */
void crier_loop_on_clock_set(struct crier_loop *loop, void (*fn)(void *arg, int64_t jump_us),
                             void *arg);

/** Run until crier_loop_stop. Virtual: until until_mono_us, or until nothing is left to do (no
 *  timer, no posted work, no worker that is due); live: until_mono_us is a bound too (CRIER_NEVER:
 *  none). Returns when stopped or at the bound; unless stopped, a virtual clock then stands at the
 *  bound. May be called again. */
void crier_loop_run(struct crier_loop *loop, int64_t until_mono_us);
/** Make crier_loop_run return after the current callback. Without a run that is under way it does
 *  nothing. */
void crier_loop_stop(struct crier_loop *loop);

/** Counters, for status and benchmarks. */
struct crier_loop_stats {
    uint64_t wakeups; /**< live: times that the uv_timer fired or posted work woke the loop */
    uint64_t fired;   /**< timers fired */
    size_t armed;     /**< timers in the heap */
};
void crier_loop_stats(const struct crier_loop *loop, struct crier_loop_stats *out);

#endif
