/* SPDX-License-Identifier: MIT
 *
 * The maths of a message's periods, its start and its removal.
 *
 * The next due time is computed from the *due* time, never from the time of sending, so a message
 * does not drift. Source of the rules: lua/README.md, TextMESSAGE: an occurrence is late when the
 * due time of the one behind it has passed already; late ones are skipped and counted, never sent
 * in a burst.
 *
 * All times are microseconds; due and now are of one clock, either. Sums that would pass the end of
 * int64_t give CRIER_NEVER.
 *
 * Thread: [any]; pure but for the generator's state.
 */
#ifndef CRIER_SCHED_PERIOD_H
#define CRIER_SCHED_PERIOD_H

#include "base/clock.h"
#include "base/duration.h"
#include "base/ulid.h"

enum crier_period_kind { CRIER_PERIOD_FIXED, CRIER_PERIOD_RANDOM };

struct crier_period {
    enum crier_period_kind kind;
    int64_t lo, hi; /**< 0 < lo <= hi; equal when FIXED */
};

/** FIXED where lo equals hi. CRIER_EINVAL when lo is not above 0 or hi is below lo. */
CRIER_CHECK int crier_period_make(int64_t lo, int64_t hi, struct crier_period *out,
                                  struct crier_err *err);
/** The due time behind `due`: due + lo, or due + a uniform choice out of lo, lo + 1 ms, ... hi. */
int64_t crier_period_next(const struct crier_period *period, struct crier_rng *rng, int64_t due);

/** What is to be sent at `now`, the timer of `due` having fired: the first due time whose
 *  successor is still ahead. Returns it; *next is that successor (always > now: take it rather than
 *  draw another), *skipped how many before it were late. With due > now: due itself. */
int64_t crier_period_catch(const struct crier_period *period, struct crier_rng *rng, int64_t due,
                           int64_t now, int64_t *next, uint64_t *skipped);
/** The first due time > now; *skipped is how many were not (used after a restart with
 *  catch_up = "none": what fell due while the host was down is skipped). */
int64_t crier_period_after(const struct crier_period *period, struct crier_rng *rng, int64_t due,
                           int64_t now, uint64_t *skipped);
/** "every 10s", "between 45m and 1h15m". Returns out. */
const char *crier_period_text(const struct crier_period *period, char out[128]);

/** remove_after: a count of successful sends a channel, a duration since the message's first start
 *  ever, or a date-time. */
enum crier_removal_kind {
    CRIER_REMOVAL_NONE,
    CRIER_REMOVAL_COUNT,
    CRIER_REMOVAL_AFTER,
    CRIER_REMOVAL_AT,
};

struct crier_removal {
    enum crier_removal_kind kind;
    int64_t value; /**< COUNT: sends; AFTER: microseconds; AT: wall time */
};

/** "30d" or "2026-11-21T09:00"; a date without a zone of its own is in `zone`. CRIER_EINVAL. */
CRIER_CHECK int crier_removal_parse(const char *text, const struct crier_zone *zone,
                                    struct crier_removal *out, struct crier_err *err);
/** A count, from a Lua integer; CRIER_EINVAL below 1. */
CRIER_CHECK int crier_removal_count(int64_t count, struct crier_removal *out,
                                    struct crier_err *err);

/** start_in: a duration from the message's first start, or a date-time. */
struct crier_start {
    bool absolute;
    int64_t value; /**< absolute: wall time; else microseconds >= 0 */
};

/** "5s" or "2026-11-21T09:00". CRIER_EINVAL. */
CRIER_CHECK int crier_start_parse(const char *text, const struct crier_zone *zone,
                                  struct crier_start *out, struct crier_err *err);

#endif
