/* SPDX-License-Identifier: MIT
 *
 * Latenesses, counted on a logarithmic scale: eight steps for each doubling, up to 40 of these.
 *
 * Thread: the owner's. Zeroed memory is an empty one; durations in microseconds.
 */
#ifndef CRIER_BASE_LATENESS_H
#define CRIER_BASE_LATENESS_H

#include <stdint.h>

enum { CRIER_LATENESS_STEPS = 8, CRIER_LATENESS_BUCKETS = 40 * CRIER_LATENESS_STEPS };

struct crier_lateness {
    uint64_t counts[CRIER_LATENESS_BUCKETS];
    int64_t max;
};

void crier_lateness_add(struct crier_lateness *l, int64_t us);
/** What so many in 1000 of them do not exceed: the truth, or at most an eighth above it; 0 when there
 *  is none. */
int64_t crier_lateness_at(const struct crier_lateness *l, uint64_t permille);

#endif
