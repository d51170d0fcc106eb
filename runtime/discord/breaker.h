/* SPDX-License-Identifier: MIT
 *
 * Discord blocks a network address that asks 10,000 times within ten minutes for what it is refused
 * (401, 403, 429 but of scope shared), and Cloudflare in front of it does so for reasons of its own.
 * Both concern the address, so all bots of a process share one breaker: it counts, opens far below
 * the limit or at the first answer that says so, and lets one request through alone when the time
 * is over. That one closes it, or opens it for twice as long, up to an hour.
 *
 * Thread: [loop]. Times are monotonic microseconds.
 */
#ifndef CRIER_DISCORD_BREAKER_H
#define CRIER_DISCORD_BREAKER_H

#include "base/clock.h"
#include "crier/err.h"

enum { CRIER_BREAKER_LIMIT = 1000 }; /**< refused requests in ten minutes; Discord's is 10,000 */

struct crier_breaker {
    struct {
        int64_t slot;
        unsigned count;
    } refused[60]; /**< ten seconds each */
    int opened;    /**< times in a row; 0: the last answer was a proper one */
    int64_t until; /**< nothing is sent before */
    int probing;   /**< requests under way while opened is not 0 */
    struct crier_err why;
};

/** A request was answered 401, 403 or 429 (not shared). */
void crier_breaker_refused(struct crier_breaker *b, int64_t now);
/** How many were in the last ten minutes. */
unsigned crier_breaker_count(const struct crier_breaker *b, int64_t now);
/** Open it for so many seconds, doubled for each time in a row. Nothing when it is open. */
void crier_breaker_open(struct crier_breaker *b, int64_t now, int seconds,
                        const struct crier_err *why);
/** Discord has answered as it should: the next time counts as the first again. Nothing while it is
 *  open: that was asked for before. */
void crier_breaker_fine(struct crier_breaker *b, int64_t now);
/** Whether a request may go now: 0; the time to ask again; CRIER_NEVER: when the probe ends. */
int64_t crier_breaker_wait(const struct crier_breaker *b, int64_t now);

#endif
