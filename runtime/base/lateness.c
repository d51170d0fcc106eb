/* SPDX-License-Identifier: MIT */
#include "base/lateness.h"

#include <stddef.h>

enum { STEPS = CRIER_LATENESS_STEPS, BUCKETS = CRIER_LATENESS_BUCKETS };

static size_t bucket_of(int64_t us)
{
    if (us < STEPS)
        return us > 0 ? (size_t)us : 0;
    int doublings = 63 - __builtin_clzll((unsigned long long)us) - 3; /* 2^3 steps */
    size_t i = (size_t)doublings * STEPS + (size_t)(us >> doublings);
    return i < BUCKETS ? i : BUCKETS - 1;
}

void crier_lateness_add(struct crier_lateness *l, int64_t us)
{
    l->counts[bucket_of(us)]++;
    if (us > l->max)
        l->max = us;
}

int64_t crier_lateness_at(const struct crier_lateness *l, uint64_t permille)
{
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        all += l->counts[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += l->counts[i];
        if (!seen || seen * 1000 < all * permille)
            continue;
        if (i < STEPS)
            return (int64_t)i;
        /* The bucket's upper end. */
        int doublings = (int)(i / STEPS) - 1;
        int64_t above = ((int64_t)(i % STEPS) + STEPS + 1) << doublings;
        return above - 1 < l->max ? above - 1 : l->max;
    }
    return 0;
}
