/* SPDX-License-Identifier: MIT
 *
 * Cron expressions: five fields (minute hour day-of-month month day-of-week) of lists, ranges and
 * steps, or a name with @.
 *
 * Source of the rules: crontab(5) of Debian's cron. Names (JAN, MON) in any case, also in ranges;
 * 0 and 7 are Sunday; `5/15` is 5-59/15; ranges may wrap (FRI-MON, 22-2); where both day fields
 * are restricted, a day that matches either one will do, and a field that begins with * (with a
 * step behind it, too) does not count as restricted. Beyond it: `L` the last day of
 * the month, `5L` or `FRIL` its last Friday, `FRI#2` its second, `?` for *.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_SCHED_CRON_H
#define CRIER_SCHED_CRON_H

#include "sched/words.h"

struct crier_cron {
    uint64_t minutes;
    uint32_t hours, days, months; /**< bit n: n; months and days from 1 */
    uint8_t weekdays;             /**< bit 0: Sunday */
    uint8_t last_weekdays;        /**< bit 0: the last Sunday of the month */
    uint8_t nth_weekdays[5];      /**< [0]: the first ones */
    bool last_day;
    bool either_day; /**< both day fields are restricted: a day may match either */
    bool every_hour;
};

/** The next five blank-separated fields, or one @name. *text gets the fields with one blank
 *  between them; the caller frees. */
CRIER_CHECK int crier_cron_read(struct crier_words *s, struct crier_cron *out, char **text);
/** All of the text is one expression; *text as above, NULL when it is wrong, with the column. */
CRIER_CHECK int crier_cron_parse(const char *expression, struct crier_cron *out, char **text,
                                 int *column, struct crier_err *err);
/** The first matching minute at or after (forward) or at or before `minute`, both minutes of local
 *  time since 1970; CRIER_NEVER when there is none within sixty years. */
int64_t crier_cron_find(const struct crier_cron *cron, int64_t minute, bool forward);

#endif
