/* SPDX-License-Identifier: MIT */
#include "base/ulid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* https://prng.di.unimi.it/splitmix64.c */
void crier_rng_seed(struct crier_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        rng->s[i] = z ^ z >> 31;
    }
}

void crier_rng_seed_system(struct crier_rng *rng)
{
    ssize_t n;
    do {
        n = getrandom(rng->s, sizeof rng->s, 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof rng->s) {
        fprintf(stderr, "crier: the system gives no random numbers: %s\n", strerror(errno));
        abort();
    }
    rng->s[0] |= 1; /* all zero is the one state that the generator cannot leave */
}

/* https://prng.di.unimi.it/xoshiro256starstar.c */
uint64_t crier_rng_next(struct crier_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

int64_t crier_rng_range(struct crier_rng *rng, int64_t lo, int64_t hi)
{
    uint64_t span = (uint64_t)hi - (uint64_t)lo + 1;
    uint64_t r = crier_rng_next(rng);
    if (span) {
        /* The first 2^64 mod span numbers would make low results likelier. */
        uint64_t skip = (0 - span) % span;
        while (r < skip)
            r = crier_rng_next(rng);
        r %= span;
    }
    return (int64_t)((uint64_t)lo + r);
}

/* Adds 1 to the 80 random bits; false when they overflow. */
static bool count_up(unsigned char id[16])
{
    for (int i = 15; i >= 6; i--) {
        if (++id[i])
            return true;
    }
    return false;
}

void crier_ulid_next(struct crier_ulid_gen *gen, int64_t wall_us, unsigned char out[16])
{
    uint64_t ms = wall_us >= 2000 ? (uint64_t)wall_us / 1000 : 1; /* 0 = no id made yet */
    if (ms <= gen->last_ms) {
        if (count_up(gen->last))
            goto out;
        ms = gen->last_ms + 1;
    }
    gen->last_ms = ms;
    for (int i = 0; i < 6; i++)
        gen->last[i] = (unsigned char)(ms >> (40 - 8 * i));
    uint64_t a = crier_rng_next(&gen->rng);
    uint64_t b = crier_rng_next(&gen->rng);
    memcpy(gen->last + 6, &a, 8);
    memcpy(gen->last + 14, &b, 2);
out:
    memcpy(out, gen->last, 16);
}

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void crier_ulid_text(const unsigned char id[16], char out[CRIER_ULID_LEN + 1])
{
    uint64_t hi = 0, lo = 0;
    for (int i = 0; i < 8; i++) {
        hi = hi << 8 | id[i];
        lo = lo << 8 | id[8 + i];
    }
    /* Five bits a character, none of which waits for another: 12 within lo, one across, 13 of hi. */
    for (int i = 0; i < 12; i++)
        out[25 - i] = alphabet[lo >> 5 * i & 31];
    out[13] = alphabet[(lo >> 60 | hi << 4) & 31];
    for (int i = 0; i < 13; i++)
        out[12 - i] = alphabet[hi >> (5 * i + 1) & 31];
    out[CRIER_ULID_LEN] = '\0';
}

bool crier_ulid_parse(const char *text, unsigned char out[16])
{
    uint64_t hi = 0, lo = 0;
    if (strlen(text) != CRIER_ULID_LEN || text[0] < '0' || text[0] > '7')
        return false;
    for (int i = 0; i < CRIER_ULID_LEN; i++) {
        char c = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
        const char *digit = strchr(alphabet, c);
        if (!digit)
            return false;
        hi = hi << 5 | lo >> 59;
        lo = lo << 5 | (uint64_t)(digit - alphabet);
    }
    for (int i = 7; i >= 0; i--) {
        out[i] = (unsigned char)hi;
        out[8 + i] = (unsigned char)lo;
        hi >>= 8;
        lo >>= 8;
    }
    return true;
}
