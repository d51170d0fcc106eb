/* SPDX-License-Identifier: MIT
 *
 * What a rule leaves out of the records that match it: shares, repetitions, and more than a rate.
 * All of it goes by the records' own times, so it is the same in virtual time.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SINK_LIMIT_H
#define CRIER_SINK_LIMIT_H

#include "crier/record.h"

/** Whether a record belongs to that share (0..1). Goes by its id alone: every rule with the same
 *  share takes the same records, and a smaller share is part of a larger one. */
bool crier_sampled(const struct crier_record *record, double share);

/** A token bucket: `rate` records at once, and then `rate` in `per`. */
struct crier_bucket {
    double tokens;
    int64_t at;
};
bool crier_bucket_take(struct crier_bucket *bucket, uint64_t rate, int64_t per, int64_t time);

/** Records alike: same kind, level, logger, and text made comparable (record/comparable.h). */
struct crier_dedupe; /* opaque */
struct crier_dedupe *crier_dedupe_new(int64_t window, size_t max);
void crier_dedupe_free(struct crier_dedupe *dedupe); /**< NULL is allowed */
/** Whether one like it was let pass within the window; then it is counted. *key is for pass. */
bool crier_dedupe_is_alike(struct crier_dedupe *dedupe, const struct crier_record *record,
                           uint64_t *key);
/** It is let pass, and a window begins. How many have been left out since the one before it. */
uint64_t crier_dedupe_pass(struct crier_dedupe *dedupe, uint64_t key, int64_t time);

#endif
