/* SPDX-License-Identifier: MIT
 *
 * Calendars: windows of time that come again, in a time zone.
 *
 * A calendar is a cycle (a minute, an hour, a day, ... a year) and the windows in it: `daily` is
 * the whole of every day, `daily after 18:00` its last six hours, `weekly Mon, Fri 09:00` an hour
 * on each of two days. A window begins at an instant (that is when a message is sent) and ends
 * before another one (until then a task may start). A cron expression is a calendar whose windows
 * are minutes.
 *
 * Source of the rules: lua/README.md, Periods. Windows are closed on the left and open on the
 * right. A bare unit as the end of `between` includes that unit (10 and 12: to 13:00; Mon and Fri:
 * all of Friday). An end that is not behind its begin is in the next cycle. `at` and day without a
 * time of day are one smaller unit long: a second of a minute, a minute of an hour, an hour of a
 * day, a day of a week or month, a day or month of a year. Weeks begin on Monday. A day that a
 * month does not have begins no window; as an end it is the month's end.
 *
 * Clocks that are set: a local time that does not exist is the first instant after the gap, one
 * that comes twice is the first of the two. Cycles of an hour or less (and cron in every hour) go
 * by elapsed time: they go on through a repeated hour, and an hour that is left out has none of
 * them.
 *
 * Times are microseconds of wall time. Calendars are immutable and refcounted.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_SCHED_CALENDAR_H
#define CRIER_SCHED_CALENDAR_H

#include "base/clock.h"
#include "base/duration.h"
#include "sched/words.h"

struct crier_calendar;

/** "minutely", ... "yearly", in the order of crier_calendar_units. */
enum crier_cycle {
    CRIER_SECONDLY,
    CRIER_MINUTELY,
    CRIER_HOURLY,
    CRIER_DAILY,
    CRIER_WEEKLY,
    CRIER_MONTHLY,
    CRIER_YEARLY,
    CRIER_CYCLE_CRON,
};
extern const char *const crier_cycle_adverbs[]; /**< "secondly" .. "yearly", NULL */
extern const char *const crier_cycle_nouns[];   /**< "second" .. "year", NULL */

struct crier_window {
    int64_t from, to; /**< from <= t < to */
};

/** The first begin of a window after `t`; CRIER_NEVER when there is none (before the year 9999).
 *  zone: where the calendar names none of its own. */
int64_t crier_calendar_next(const struct crier_calendar *c, const struct crier_zone *zone,
                            int64_t t);
/** The last window that begins at or before `t`; false when there is none. */
bool crier_calendar_last(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                         struct crier_window *out);
/** Whether `t` is in a window, and which. out may be NULL. */
bool crier_calendar_contains(const struct crier_calendar *c, const struct crier_zone *zone,
                             int64_t t, struct crier_window *out);

/** All of every cycle; the unit's present one with crier_calendar_contains. Not for CRON. */
struct crier_calendar *crier_calendar_whole(enum crier_cycle cycle);
enum crier_cycle crier_calendar_cycle(const struct crier_calendar *c);
/** NULL: it names none. */
const struct crier_zone *crier_calendar_zone(const struct crier_calendar *c);
/** What follows the cycle in its text, such as "after 18:00 in Europe/Paris"; "" when nothing. */
const char *crier_calendar_text(const struct crier_calendar *c);
void crier_calendar_free(struct crier_calendar *c); /**< NULL is allowed */

/** What stands behind "daily" and its like: nothing, "after 18:00", "Mon, Fri at 09:00",
 *  "last Fri", "between 1st and 5th", ..., each with "in ZONE" behind it. */
CRIER_CHECK int crier_calendar_read(struct crier_words *s, enum crier_cycle cycle,
                                    struct crier_calendar **out);
/** What stands behind "cron". */
CRIER_CHECK int crier_calendar_read_cron(struct crier_words *s, struct crier_calendar **out);

#endif
