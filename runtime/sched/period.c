/* SPDX-License-Identifier: MIT */
#include "sched/period.h"

#include <stdio.h>

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? CRIER_NEVER : sum;
}

/* now >= due; the difference of two int64_t always fits into the unsigned one. */
static uint64_t gap(int64_t due, int64_t now)
{
    return (uint64_t)now - (uint64_t)due;
}

/* due + n * step, where n * step <= gap(due, now) for some now, so only the sum needs care. */
static int64_t jump(int64_t due, uint64_t n, uint64_t step)
{
    return (int64_t)((uint64_t)due + n * step);
}

int crier_period_make(int64_t lo, int64_t hi, struct crier_period *out, struct crier_err *err)
{
    char a[48], b[48];
    if (lo <= 0)
        return crier_err_set(err, CRIER_EINVAL, "a period must be longer than 0s");
    if (hi < lo)
        return crier_err_set(err, CRIER_EINVAL,
                             "the period's first bound %s is longer than the second, %s "
                             "(write the shorter one first)",
                             crier_duration_text(lo, a), crier_duration_text(hi, b));
    out->kind = lo == hi ? CRIER_PERIOD_FIXED : CRIER_PERIOD_RANDOM;
    out->lo = lo;
    out->hi = hi;
    return 0;
}

int64_t crier_period_next(const struct crier_period *period, struct crier_rng *rng, int64_t due)
{
    int64_t step = period->lo;
    if (period->kind == CRIER_PERIOD_RANDOM) {
        int64_t width = period->hi - period->lo;
        int64_t k = crier_rng_range(rng, 0, width / CRIER_MS + (width % CRIER_MS != 0));
        /* Where the width is no whole number of milliseconds, hi itself is the last choice. */
        step = k > width / CRIER_MS ? period->hi : period->lo + k * CRIER_MS;
    }
    return add(due, step);
}

/* A random period has no phase to keep, so a gap of thousands of occurrences need not be drawn one
 * by one: n occurrences at the mean distance stand for n draws. They end before now, since the mean
 * is at most hi; each round takes at least half of the gap. */
static int64_t leap(const struct crier_period *period, int64_t due, int64_t now, uint64_t *skipped)
{
    enum { DRAWN = 4096 };
    uint64_t hi = (uint64_t)period->hi;
    uint64_t mean = (uint64_t)period->lo + (hi - (uint64_t)period->lo) / 2;
    while (now > due && gap(due, now) / hi > DRAWN) {
        uint64_t n = gap(due, now) / hi;
        due = jump(due, n, mean);
        *skipped += n;
    }
    return due;
}

int64_t crier_period_catch(const struct crier_period *period, struct crier_rng *rng, int64_t due,
                           int64_t now, int64_t *next, uint64_t *skipped)
{
    *skipped = 0;
    if (due <= now && period->kind == CRIER_PERIOD_FIXED) {
        *skipped = gap(due, now) / (uint64_t)period->lo;
        due = jump(due, *skipped, (uint64_t)period->lo);
    } else if (due <= now) {
        due = leap(period, due, now, skipped);
    }
    *next = crier_period_next(period, rng, due);
    while (*next <= now && *next != CRIER_NEVER) {
        due = *next;
        ++*skipped;
        *next = crier_period_next(period, rng, due);
    }
    return due;
}

int64_t crier_period_after(const struct crier_period *period, struct crier_rng *rng, int64_t due,
                           int64_t now, uint64_t *skipped)
{
    *skipped = 0;
    if (due > now)
        return due;
    int64_t next;
    crier_period_catch(period, rng, due, now, &next, skipped);
    ++*skipped;
    return next;
}

const char *crier_period_text(const struct crier_period *period, char out[128])
{
    char lo[48], hi[48];
    crier_duration_text(period->lo, lo);
    if (period->kind == CRIER_PERIOD_FIXED)
        snprintf(out, 128, "every %s", lo);
    else
        snprintf(out, 128, "between %s and %s", lo, crier_duration_text(period->hi, hi));
    return out;
}

/* A duration or a date-time, told apart by its looks. */
static int moment_parse(const char *text, const struct crier_zone *zone, bool *absolute,
                        int64_t *out, struct crier_err *err)
{
    *absolute = crier_datetime_like(text);
    if (*absolute)
        return crier_datetime_parse(text, zone, out, err);
    if (crier_duration_parse(text, out, NULL) == 0)
        return 0;
    return crier_err_set(err, CRIER_EINVAL,
                         "expected a duration such as \"30d\" (units are ms s m h d w) or a date "
                         "such as \"2026-11-21T09:00\", got \"%.60s\"",
                         text);
}

int crier_removal_parse(const char *text, const struct crier_zone *zone, struct crier_removal *out,
                        struct crier_err *err)
{
    bool absolute;
    int64_t value;
    int rc = moment_parse(text, zone, &absolute, &value, err);
    if (rc != 0)
        return rc;
    if (!absolute && value == 0)
        return crier_err_set(err, CRIER_EINVAL,
                             "a message cannot be removed after 0s (leave it out instead)");
    out->kind = absolute ? CRIER_REMOVAL_AT : CRIER_REMOVAL_AFTER;
    out->value = value;
    return 0;
}

int crier_removal_count(int64_t count, struct crier_removal *out, struct crier_err *err)
{
    if (count < 1)
        return crier_err_set(err, CRIER_EINVAL,
                             "expected a count of sends of at least 1, got %lld",
                             (long long)count);
    out->kind = CRIER_REMOVAL_COUNT;
    out->value = count;
    return 0;
}

int crier_start_parse(const char *text, const struct crier_zone *zone, struct crier_start *out,
                      struct crier_err *err)
{
    return moment_parse(text, zone, &out->absolute, &out->value, err);
}
