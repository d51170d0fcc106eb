/* SPDX-License-Identifier: MIT */
#include "sched/period.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/condition_private.h"
#include "sched/condition_text.h"

enum { COUNTED = 100000 };

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
    *out = (struct crier_period){
        .kind = lo == hi ? CRIER_PERIOD_FIXED : CRIER_PERIOD_RANDOM, .lo = lo, .hi = hi};
    return 0;
}

/* --- calendars ---------------------------------------------------------------------------- */

static bool is_window(const struct crier_cond *c)
{
    return c->kind == CRIER_COND_PERIOD || c->kind == CRIER_COND_TIME_OF;
}

int crier_period_from_cond(struct crier_cond *cond, struct crier_zone *zone,
                           struct crier_period *out, struct crier_err *err)
{
    const struct crier_cond *odd = is_window(cond) ? NULL : cond;
    if (cond->kind == CRIER_COND_EVERY) {
        if (cond->wait || cond->actions != CRIER_DID(CRIER_RUN))
            return crier_err_set(err, CRIER_EINVAL,
                                 "'based on' and 'first' are for tasks: a message has start_in");
        return crier_period_make(cond->span, add(cond->span, cond->jitter), out, err);
    }
    if (cond->kind == CRIER_COND_OR) {
        odd = NULL;
        for (size_t i = 0; i < cond->count && !odd; i++)
            odd = is_window(cond->items[i]) ? NULL : cond->items[i];
    }
    if (odd) {
        char *text = crier_cond_text(odd);
        crier_err_set(err, CRIER_EINVAL,
                      "a message goes by times, and by several with |: '%.100s' is for tasks",
                      text);
        free(text);
        return CRIER_EINVAL;
    }
    *out = (struct crier_period){
        .kind = CRIER_PERIOD_CALENDAR, .when = crier_cond_ref(cond), .zone = crier_zone_ref(zone)};
    return 0;
}

int crier_period_parse(const char *text, struct crier_zone *zone, struct crier_period *out,
                       struct crier_err *err)
{
    const char *first = text + strspn(text, " ");
    struct crier_cond *cond;
    int64_t span;
    int column, rc;
    if (!*first || (*first >= '0' && *first <= '9') || *first == '.' || *first == '-') {
        rc = crier_duration_parse(text, &span, err);
        return rc == 0 ? crier_period_make(span, span, out, err) : rc;
    }
    rc = crier_cond_parse(text, &cond, &column, err);
    if (rc != 0) {
        crier_err_prefix(err, "\"%.60s\", column %d: ", text, column);
        return rc;
    }
    rc = crier_period_from_cond(cond, zone, out, err);
    crier_cond_unref(cond);
    return rc;
}

void crier_period_fini(struct crier_period *period)
{
    crier_cond_unref(period->when);
    crier_zone_unref(period->zone);
    *period = (struct crier_period){0};
}

/* The i-th of its calendars; NULL: there are fewer. */
static const struct crier_calendar *calendar(const struct crier_period *period, size_t i)
{
    const struct crier_cond *c = period->when;
    if (c->kind != CRIER_COND_OR)
        return i == 0 ? c->calendar : NULL;
    return i < c->count ? c->items[i]->calendar : NULL;
}

static int64_t calendar_next(const struct crier_period *period, int64_t t)
{
    int64_t best = CRIER_NEVER;
    const struct crier_calendar *c;
    for (size_t i = 0; (c = calendar(period, i)); i++) {
        int64_t next = crier_calendar_next(c, period->zone, t);
        best = next < best ? next : best;
    }
    return best;
}

/* The last begin at or before t, or t itself where there is none. */
static int64_t calendar_last(const struct crier_period *period, int64_t t)
{
    int64_t best = INT64_MIN;
    const struct crier_calendar *c;
    struct crier_window w;
    for (size_t i = 0; (c = calendar(period, i)); i++) {
        if (crier_calendar_last(c, period->zone, t, &w) && w.from > best)
            best = w.from;
    }
    return best == INT64_MIN ? t : best;
}

int64_t crier_period_first(const struct crier_period *period, int64_t start)
{
    return period->kind == CRIER_PERIOD_CALENDAR ? calendar_next(period, start - 1) : start;
}

/* --- due times ---------------------------------------------------------------------------- */

int64_t crier_period_next(const struct crier_period *period, struct crier_rng *rng, int64_t due)
{
    int64_t step = period->lo;
    if (period->kind == CRIER_PERIOD_CALENDAR)
        return calendar_next(period, due);
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
    } else if (due <= now && period->kind == CRIER_PERIOD_RANDOM) {
        due = leap(period, due, now, skipped);
    }
    *next = crier_period_next(period, rng, due);
    while (*next <= now && *next != CRIER_NEVER) {
        due = *next;
        ++*skipped;
        if (period->kind == CRIER_PERIOD_CALENDAR && *skipped == COUNTED)
            due = calendar_last(period, now);
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

/* --- what was missed ---------------------------------------------------------------------- */

struct crier_misfire crier_misfire_default(const struct crier_period *period)
{
    return (struct crier_misfire){
        .catch_up = period->kind == CRIER_PERIOD_CALENDAR ? CRIER_CATCH_ONE : CRIER_CATCH_NONE,
        .grace = 600 * CRIER_S};
}

const char *crier_catch_up_name(enum crier_catch_up catch_up)
{
    static const char *const names[] = {"none", "one", "all"};
    return names[catch_up];
}

/* The oldest of the due times up to now that are still owed. */
static int64_t oldest_owed(const struct crier_period *period, const struct crier_misfire *misfire,
                           struct crier_rng *rng, int64_t due, int64_t now, uint64_t *skipped)
{
    int64_t bound = now - misfire->grace - 1; /* at or before it: older than the grace */
    int64_t most;
    *skipped = 0;
    if (period->kind == CRIER_PERIOD_CALENDAR) {
        int64_t back = now + 1;
        for (int i = 0; i < CRIER_CATCH_MOST && back > due; i++)
            back = calendar_last(period, back - 1);
        bound = bound > back - 1 ? bound : back - 1;
    } else if (!__builtin_mul_overflow(period->hi, CRIER_CATCH_MOST, &most) && most < now) {
        bound = bound > now - most ? bound : now - most;
    }
    if (due <= bound)
        due = crier_period_after(period, rng, due, bound, skipped);
    if (period->kind != CRIER_PERIOD_RANDOM)
        return due;
    /* Draws below the longest leave more than there may be: they are drawn twice, to count. */
    struct crier_rng copy = *rng;
    uint64_t n = 0;
    for (int64_t at = due; at <= now; at = crier_period_next(period, &copy, at))
        n++;
    for (; n > CRIER_CATCH_MOST; n--, ++*skipped)
        due = crier_period_next(period, rng, due);
    return due;
}

int64_t crier_period_take(const struct crier_period *period, const struct crier_misfire *misfire,
                          struct crier_rng *rng, int64_t due, int64_t now, int64_t *next,
                          uint64_t *skipped)
{
    enum { ON_TIME = 60 }; /* seconds: what a begin of a window may be late where none is made up */
    *skipped = 0;
    *next = due;
    if (due > now)
        return CRIER_NEVER;
    if (misfire->catch_up == CRIER_CATCH_ALL) {
        due = oldest_owed(period, misfire, rng, due, now, skipped);
        *next = due > now ? due : crier_period_next(period, rng, due);
        return due > now ? CRIER_NEVER : due;
    }
    due = crier_period_catch(period, rng, due, now, next, skipped);
    int64_t grace = misfire->catch_up == CRIER_CATCH_ONE    ? misfire->grace
                    : period->kind == CRIER_PERIOD_CALENDAR ? ON_TIME * CRIER_S
                                                            : CRIER_NEVER;
    if (gap(due, now) <= (uint64_t)grace)
        return due;
    ++*skipped;
    return CRIER_NEVER;
}

/* --- text --------------------------------------------------------------------------------- */

static const char *calendar_text(const struct crier_period *period, char out[128])
{
    char *text = crier_cond_text(period->when);
    const char *zone = period->zone_given ? crier_zone_name(period->zone) : NULL;
    int n =
        snprintf(out, 128, "%s%s%s%s", text, zone ? " (" : "", zone ? zone : "", zone ? ")" : "");
    if (n >= 128)
        memcpy(out + 124, "...", 4);
    free(text);
    return out;
}

char *crier_period_identity(const struct crier_period *period)
{
    char text[128];
    if (period->kind != CRIER_PERIOD_CALENDAR)
        return crier_strdup(crier_period_text(period, text));
    char *when = crier_cond_text(period->when);
    char *whole = crier_asprintf("%s (%s)", when, crier_zone_name(period->zone));
    free(when);
    return whole;
}

const char *crier_period_text(const struct crier_period *period, char out[128])
{
    char lo[48], hi[48];
    if (period->kind == CRIER_PERIOD_CALENDAR)
        return calendar_text(period, out);
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
        return crier_err_set(err, CRIER_EINVAL, "expected a count of sends of at least 1, got %lld",
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
