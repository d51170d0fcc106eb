/* SPDX-License-Identifier: MIT
 *
 * What it costs to find the next time of a calendar, from a random instant of ten years in a zone
 * whose clocks are set twice a year, and to judge and to read a condition.
 * Prints `name <tab> value <tab> unit`, one figure a line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/ulid.h"
#include "sched/condition_text.h"
#include "sched/period.h"

enum { COUNT = 200000 };

static int64_t now(void)
{
    return crier_clock_mono(crier_clock_real());
}

static void report(const char *name, int64_t since)
{
    printf("%s\t%.0f\tns\n", name, (double)(now() - since) * 1000 / COUNT);
}

int main(void)
{
    static const struct {
        const char *name, *text;
    } calendars[] = {
        {"calendar_daily", "daily at 09:00"},
        {"calendar_weekly", "weekly Mon, Fri 09:00"},
        {"calendar_hourly", "hourly :15"},
        {"calendar_last_friday", "monthly last Fri 18:00"},
        {"calendar_leap_day", "yearly 29 Feb"},
        {"cron_workdays", "cron 0 9 * * 1-5"},
        {"cron_five_minutes", "cron */5 * * * *"},
        {"cron_monthly", "cron 15 3 1 * *"},
    };
    struct crier_zone *zone = NULL;
    struct crier_rng rng;
    struct crier_err err = {0};
    int64_t *at = crier_malloc(COUNT * sizeof *at);
    uint64_t sum = 0;
    crier_rng_seed(&rng, 1);
    if (crier_zone_open("Europe/Ljubljana", &zone, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (size_t i = 0; i < COUNT; i++)
        at[i] = 1500000000 * CRIER_S + crier_rng_range(&rng, 0, 315360000LL * CRIER_S);
    for (size_t k = 0; k < CRIER_COUNT(calendars); k++) {
        struct crier_period period;
        if (crier_period_parse(calendars[k].text, zone, &period, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        int64_t start = now();
        for (size_t i = 0; i < COUNT; i++)
            sum += (uint64_t)crier_period_next(&period, NULL, at[i]);
        report(calendars[k].name, start);
        crier_period_fini(&period);
    }
    static const char text[] =
        "daily after 18:00 & after task 'fetch' & ~running | retry 3 delay 10s";
    struct crier_cond *cond = NULL;
    int column;
    int64_t start = now();
    for (size_t i = 0; i < COUNT; i++) {
        crier_cond_unref(cond);
        if (crier_cond_parse(text, &cond, &column, &err) != 0)
            return 1;
    }
    report("condition_read", start);
    struct crier_facts facts = {.zone = zone, .task = "report"};
    struct crier_judgement v;
    start = now();
    for (size_t i = 0; i < COUNT; i++) {
        facts.now = at[i];
        crier_cond_judge(cond, &facts, &v);
        sum += (uint64_t)v.next;
    }
    report("condition_judge", start);
    crier_cond_unref(cond);
    crier_zone_unref(zone);
    free(at);
    return sum == 42; /* so that nothing is left out */
}
