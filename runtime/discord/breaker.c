/* SPDX-License-Identifier: MIT */
#include "discord/breaker.h"

#define SLOT (10 * CRIER_S)
#define LONGEST 3600 /* seconds */

enum { SLOTS = 60 };

void crier_breaker_refused(struct crier_breaker *b, int64_t now)
{
    int64_t slot = now / SLOT;
    int i = (int)(slot % SLOTS);
    if (b->refused[i].slot != slot) {
        b->refused[i].slot = slot;
        b->refused[i].count = 0;
    }
    b->refused[i].count++;
}

unsigned crier_breaker_count(const struct crier_breaker *b, int64_t now)
{
    unsigned n = 0;
    for (int i = 0; i < SLOTS; i++)
        if (now / SLOT - b->refused[i].slot < SLOTS)
            n += b->refused[i].count;
    return n;
}

void crier_breaker_open(struct crier_breaker *b, int64_t now, int seconds,
                        const struct crier_err *why)
{
    if (b->until > now)
        return; /* one of several that were under way */
    int64_t wait = seconds;
    for (int i = 0; i < b->opened && wait < LONGEST; i++)
        wait *= 2;
    b->opened++;
    b->until = now + (wait < LONGEST ? wait : LONGEST) * CRIER_S;
    b->why = *why;
}

void crier_breaker_fine(struct crier_breaker *b, int64_t now)
{
    if (b->until <= now)
        b->opened = 0;
}

int64_t crier_breaker_wait(const struct crier_breaker *b, int64_t now)
{
    if (b->until > now)
        return b->until;
    return b->opened && b->probing ? CRIER_NEVER : 0;
}
