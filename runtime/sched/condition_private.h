/* SPDX-License-Identifier: MIT
 *
 * The inside of conditions: condition.c judges them, condition_text.c reads and prints them,
 * period.c sends messages by those that are periods.
 */
#ifndef CRIER_SCHED_CONDITION_PRIVATE_H
#define CRIER_SCHED_CONDITION_PRIVATE_H

#include <stdatomic.h>

#include "sched/condition.h"

enum { CRIER_COND_DEPTH = 64 };

enum crier_cond_kind {
    CRIER_COND_TRUE,
    CRIER_COND_FALSE,
    CRIER_COND_AND,
    CRIER_COND_OR,
    CRIER_COND_NOT,
    CRIER_COND_PERIOD,  /**< in a window in which the task has not run */
    CRIER_COND_TIME_OF, /**< in a window */
    CRIER_COND_EVERY,
    CRIER_COND_AFTER,
    CRIER_COND_HISTORY,
    CRIER_COND_RUNNING,
    CRIER_COND_RETRY,
    CRIER_COND_CUSTOM,
};

struct crier_cond {
    atomic_int refs;
    enum crier_cond_kind kind;
    int depth;                 /**< of the tree below and with it */
    struct crier_cond **items; /**< AND, OR: two or more, none of the same kind; NOT: one */
    size_t count;
    struct crier_calendar *calendar; /**< PERIOD, TIME_OF; HISTORY: the unit and windows, or NULL */
    struct crier_calendar *unit;     /**< HISTORY: that unit as a whole, or NULL */
    char **tasks; /**< AFTER: one or more; HISTORY, RUNNING: one, or none: its own */
    size_t task_count;
    unsigned actions;  /**< EVERY, AFTER, HISTORY */
    bool any;          /**< AFTER */
    bool wait;         /**< EVERY: the first time after the interval, too */
    int64_t span;      /**< EVERY: the interval; HISTORY: of the last so long, 0: ever */
    int64_t jitter;    /**< EVERY */
    uint32_t min, max; /**< HISTORY, RUNNING: how many; UINT32_MAX: no bound. RETRY: max attempts */
    int64_t longer, shorter; /**< RUNNING: ages that count; 0: any */
    int64_t delay, most;     /**< RETRY: before the first, and at most (0: no bound) */
    double factor;           /**< RETRY */
    int fn;
    char *name; /**< CUSTOM */
};

struct crier_cond *crier_cond_new(enum crier_cond_kind kind);
void crier_cond_add_task(struct crier_cond *c, char *name); /**< consumes */

#endif
