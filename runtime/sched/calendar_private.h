/* SPDX-License-Identifier: MIT
 *
 * The inside of calendars: calendar_text.c reads and prints them, calendar.c does the maths.
 */
#ifndef CRIER_SCHED_CALENDAR_PRIVATE_H
#define CRIER_SCHED_CALENDAR_PRIVATE_H

#include "sched/calendar.h"
#include "sched/cron.h"

#define CRIER_MINUTE (60 * CRIER_S)
#define CRIER_HOUR (3600 * CRIER_S)
#define CRIER_DAY (86400 * CRIER_S)

/** A place in a cycle. */
struct crier_point {
    signed char month;   /**< of a year; 0: none */
    signed char day;     /**< of a month; -1: the last, -2: the one before; 0: none */
    signed char nth;     /**< of weekday in the month or year; -1: the last; 0: none */
    signed char weekday; /**< Monday 1 .. Sunday 7; 0: none */
    bool unit;           /**< a bare number of the next smaller unit: 10 for 10:00 */
    bool timed;          /**< a time of day was given */
    int64_t time;        /**< since the begin of the day (cycles of an hour and less: of those) */
};

enum crier_window_end {
    CRIER_END_LENGTH, /**< so long after its begin, in local time */
    CRIER_END_POINT,
    CRIER_END_CYCLE,
};

struct crier_window_rule {
    struct crier_point from;
    enum crier_window_end end;
    struct crier_point to;
    int64_t length;
};

struct crier_calendar {
    enum crier_cycle cycle;
    struct crier_zone *zone;
    char *text;
    struct crier_window_rule *rules;
    size_t count;
    struct crier_cron cron;
};

/** The length of a cycle of an hour or less, or of a day. */
int64_t crier_cycle_length(enum crier_cycle cycle);

#endif
