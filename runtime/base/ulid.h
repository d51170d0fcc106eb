/* SPDX-License-Identifier: MIT
 *
 * ULIDs: 48 bits of milliseconds and 80 random bits as 26 characters of Crockford base 32
 * (https://github.com/ulid/spec). Within one millisecond the random part counts up, so that ids
 * of one generator sort in the order in which they were made; a clock that steps back keeps the
 * last millisecond. Random numbers come from getrandom(2), or from the seed in virtual time.
 */
#ifndef CRIER_BASE_ULID_H
#define CRIER_BASE_ULID_H

#include <stdbool.h>
#include <stdint.h>

#define CRIER_ULID_LEN 26

/** xoshiro256**, the project's one source of reproducible randomness (periods, jitter, ids). */
struct crier_rng {
    uint64_t s[4];
};
void crier_rng_seed(struct crier_rng *rng, uint64_t seed); /**< splitmix64 expansion */
void crier_rng_seed_system(struct crier_rng *rng);         /**< from getrandom(2) */
uint64_t crier_rng_next(struct crier_rng *rng);
/** Uniform in [lo, hi], both possible; lo <= hi. */
int64_t crier_rng_range(struct crier_rng *rng, int64_t lo, int64_t hi);

/** One generator a thread. */
struct crier_ulid_gen {
    struct crier_rng rng;
    uint64_t last_ms;
    unsigned char last[16];
};

void crier_ulid_next(struct crier_ulid_gen *gen, int64_t wall_us, unsigned char out[16]);
void crier_ulid_text(const unsigned char id[16], char out[CRIER_ULID_LEN + 1]);
bool crier_ulid_parse(const char *text, unsigned char out[16]); /**< exactly 26 characters */

#endif
