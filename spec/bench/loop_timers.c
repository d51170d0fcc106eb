/* SPDX-License-Identifier: MIT
 *
 * A million pending timers: what it costs to arm one, to move one, to stop one and to fire one.
 * Prints `name <tab> value <tab> unit`, one figure a line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/ulid.h"

enum { COUNT = 1000000 };

static size_t fired;
static int64_t last_due;
static size_t disorder;

static void fire(struct crier_timer *timer)
{
    fired++;
    disorder += timer->due < last_due;
    last_due = timer->due;
}

static int64_t now(void)
{
    return crier_clock_mono(crier_clock_real());
}

static void report(const char *name, int64_t since)
{
    printf("%s\t%.3f\tus\n", name, (double)(now() - since) / COUNT);
}

int main(void)
{
    struct crier_timer *timers = crier_calloc(COUNT, sizeof *timers);
    struct crier_rng rng;
    crier_rng_seed(&rng, 1);
    for (int live = 0; live <= 1; live++) {
        struct crier_clock *clock = live ? crier_clock_real() : crier_clock_virtual(0);
        struct crier_loop *loop = crier_loop_new(clock);
        int64_t base = crier_loop_now(loop) + (live ? 0 : CRIER_S);
        int64_t start = now();
        for (size_t i = 0; i < COUNT; i++) {
            timers[i].fire = fire;
            crier_timer_at(loop, &timers[i], base + crier_rng_range(&rng, 0, 3600 * CRIER_S));
        }
        report(live ? "timer_insert_live" : "timer_insert", start);
        start = now();
        for (size_t i = 0; i < COUNT; i++)
            crier_timer_at(loop, &timers[i], timers[i].due - 1000 * CRIER_S);
        report(live ? "timer_move_live" : "timer_move", start);
        if (live) {
            /* All of them long due, in random order: one wake-up fires the lot. */
            start = now();
            for (size_t i = 0; i < COUNT; i++)
                crier_timer_stop(loop, &timers[i]);
            report("timer_stop_live", start);
            for (size_t i = 0; i < COUNT; i++)
                crier_timer_at(loop, &timers[i], base - crier_rng_range(&rng, 0, CRIER_S));
        }
        fired = 0;
        last_due = INT64_MIN;
        start = now();
        crier_loop_run(loop, live ? now() : CRIER_NEVER);
        report(live ? "timer_fire_live" : "timer_fire", start);
        if (fired != COUNT || disorder) {
            fprintf(stderr, "loop_timers: %zu fired, %zu out of order\n", fired, disorder);
            return 1;
        }
        crier_loop_free(loop);
        crier_clock_free(clock);
    }
    free(timers);
    return 0;
}
