/* SPDX-License-Identifier: MIT
 *
 * The maths of a message's periods, its start and its removal.
 *
 * The next due time is computed from the *due* time, never from the time of sending, so a message
 * does not drift. Source of the rules: lua/README.md, TextMESSAGE: an occurrence is late when the
 * due time of the one behind it has passed already; late ones are skipped and counted, never sent
 * in a burst.
 *
 * A period is a duration, one drawn between two, or calendars (sched/calendar.h): then due times
 * are the begins of their windows, and come from the clock on the wall, whatever was sent before.
 *
 * All times are microseconds; due and now are of one clock (wall time, for calendars). Sums that
 * would pass the end of int64_t give CRIER_NEVER.
 *
 * Thread: [any]; pure but for the generator's state.
 */
#ifndef CRIER_SCHED_PERIOD_H
#define CRIER_SCHED_PERIOD_H

#include "base/clock.h"
#include "base/duration.h"
#include "base/ulid.h"
#include "sched/condition.h"

enum crier_period_kind { CRIER_PERIOD_FIXED, CRIER_PERIOD_RANDOM, CRIER_PERIOD_CALENDAR };

struct crier_period {
    enum crier_period_kind kind;
    int64_t lo, hi;          /**< 0 < lo <= hi; equal when FIXED. CALENDAR: unused */
    struct crier_cond *when; /**< CALENDAR: a period or several with `|` */
    struct crier_zone *zone; /**< CALENDAR: of those that name none */
    bool zone_given;         /**< CALENDAR: that one is the message's own, not the config's */
};

/** What becomes of due times that have passed unused: the host was down or asleep, or the send
 *  before took long. */
enum crier_catch_up {
    CRIER_CATCH_NONE, /**< they are skipped */
    CRIER_CATCH_ONE,  /**< the last one is sent */
    CRIER_CATCH_ALL,  /**< each is sent, the oldest first, at most CRIER_CATCH_MOST */
};
struct crier_misfire {
    enum crier_catch_up catch_up;
    int64_t grace; /**< what is older is skipped */
};
enum { CRIER_CATCH_MOST = 100 };

/** FIXED where lo equals hi. CRIER_EINVAL when lo is not above 0 or hi is below lo. */
CRIER_CHECK int crier_period_make(int64_t lo, int64_t hi, struct crier_period *out,
                                  struct crier_err *err);
/** A condition that is made of times only: `every` (with its jitter as a random one), periods, time
 *  of, cron, and these with |. CRIER_EINVAL says what is in the way. Takes references. */
CRIER_CHECK int crier_period_from_cond(struct crier_cond *cond, struct crier_zone *zone,
                                       struct crier_period *out, struct crier_err *err);
/** "10s", "every 10 min", "weekly Mon, Fri at 09:00", "cron 15 3 * * *". */
CRIER_CHECK int crier_period_parse(const char *text, struct crier_zone *zone,
                                   struct crier_period *out, struct crier_err *err);
void crier_period_fini(struct crier_period *period); /**< all zero is allowed */
/** The first due time ever of what starts at `start`: that, or of a calendar the first at or after
 *  it. */
int64_t crier_period_first(const struct crier_period *period, int64_t start);
/** The due time behind `due`: due + lo, or due + a uniform choice out of lo, lo + 1 ms, ... hi; of
 *  a calendar the next begin. */
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
/** What is to be sent at `now`, the timer of `due` having fired, late perhaps, by the rules of a
 *  misfire. (With NONE after a restart: crier_period_after.) Returns its due time, CRIER_NEVER:
 * nothing is sent. *next is the due time to wait for then (with ALL it may have passed, too),
 * *skipped how many are left out (where there are more than 100,000: at least that many). */
int64_t crier_period_take(const struct crier_period *period, const struct crier_misfire *misfire,
                          struct crier_rng *rng, int64_t due, int64_t now, int64_t *next,
                          uint64_t *skipped);
/** What the script gets when it does not say: none for durations, one for calendars; ten minutes.
 */
struct crier_misfire crier_misfire_default(const struct crier_period *period);
/** "none", "one", "all". */
const char *crier_catch_up_name(enum crier_catch_up catch_up);
/** "every 10s", "between 45m and 1h15m", "weekly Mon, Fri 09:00". What does not fit ends in "...".
 *  Returns out. */
const char *crier_period_text(const struct crier_period *period, char out[128]);
/** All that makes its due times, whole, the zone too: for a look at whether it has changed. The
 *  caller frees. */
char *crier_period_identity(const struct crier_period *period);

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
