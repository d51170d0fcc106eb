/* SPDX-License-Identifier: MIT
 *
 * Between loop.c and worker.c: the workers that the loop drives in line in virtual time.
 */
#ifndef CRIER_BASE_LOOP_PRIVATE_H
#define CRIER_BASE_LOOP_PRIVATE_H

#include <stdatomic.h>

#include "base/loop.h"

/** Lives inside struct crier_worker. */
struct crier_inline_worker {
    struct crier_inline_worker *next; /**< in order of creation */
    int64_t (*step)(void *arg, int64_t now);
    void *arg;
    int64_t due; /**< CRIER_NEVER: only when woken */
    atomic_bool woken;
};

/** [loop] Virtual time only. The worker is borrowed until it is removed. */
void crier_loop_add_worker(struct crier_loop *loop, struct crier_inline_worker *worker);
void crier_loop_remove_worker(struct crier_loop *loop, struct crier_inline_worker *worker);

#endif
