/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "sched/calendar_private.h"

const char *const crier_cycle_adverbs[] = {"secondly", "minutely", "hourly", "daily",
                                           "weekly",   "monthly",  "yearly", NULL};
const char *const crier_cycle_nouns[] = {"second", "minute", "hour", "day",
                                         "week",   "month",  "year", NULL};

#define FIRST (-62135596800LL * CRIER_S) /* years 1 to 9999 */
#define LAST (253402300800LL * CRIER_S)
enum { NO_DAY = INT32_MIN };

void crier_calendar_free(struct crier_calendar *c)
{
    if (!c)
        return;
    crier_zone_unref(c->zone);
    free(c->text);
    free(c->rules);
    free(c);
}

struct crier_calendar *crier_calendar_whole(enum crier_cycle cycle)
{
    struct crier_words s;
    struct crier_calendar *c = NULL;
    crier_words_begin(&s, "", NULL);
    if (crier_calendar_read(&s, cycle, &c) != 0)
        abort();
    return c;
}

enum crier_cycle crier_calendar_cycle(const struct crier_calendar *c)
{
    return c->cycle;
}

const struct crier_zone *crier_calendar_zone(const struct crier_calendar *c)
{
    return c->zone;
}

const char *crier_calendar_text(const struct crier_calendar *c)
{
    return c->text;
}

int64_t crier_cycle_length(enum crier_cycle cycle)
{
    static const int64_t lengths[] = {CRIER_S, CRIER_MINUTE, CRIER_HOUR, CRIER_DAY};
    return lengths[cycle];
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The last x <= at with x = phase (mod length). */
static int64_t align_down(int64_t at, int64_t phase, int64_t length)
{
    return phase + floor_div(at - phase, length) * length;
}

/* --- cycles of an hour and less ----------------------------------------------------------- */

/* Such a cycle lives within one stretch of a zone's time. `local` times are UTC plus its offset. */
struct stretch {
    int64_t from, to; /* instants */
    int64_t offset;
    int64_t jump; /* what the clocks went forward by at its begin; below 0: back */
};

static void stretch_at(const struct crier_zone *zone, int64_t t, struct stretch *out)
{
    struct crier_zone_span span, before;
    crier_zone_span(zone, floor_div(t, CRIER_S), &span);
    out->from = span.from * CRIER_S;
    out->to = span.to * CRIER_S;
    out->offset = span.offset * CRIER_S;
    out->jump = 0;
    if (out->from > FIRST) {
        crier_zone_span(zone, span.from - 1, &before);
        out->jump = (span.offset - before.offset) * CRIER_S;
    }
}

/* The cycle that a jump of the clocks is measured by. */
static int64_t elapsed_cycle(const struct crier_calendar *c)
{
    return c->cycle == CRIER_CYCLE_CRON ? CRIER_HOUR : crier_cycle_length(c->cycle);
}

static int64_t elapsed_length(const struct crier_calendar *c)
{
    return c->cycle == CRIER_CYCLE_CRON ? CRIER_MINUTE : c->rules[0].length;
}

/* The first begin at or after a local time, or the last one at or before it. */
static int64_t find_local(const struct crier_calendar *c, int64_t local, bool forward)
{
    if (c->cycle == CRIER_CYCLE_CRON) {
        int64_t minute = floor_div(forward ? local + CRIER_MINUTE - 1 : local, CRIER_MINUTE);
        minute = crier_cron_find(&c->cron, minute, forward);
        return minute == CRIER_NEVER ? (forward ? LAST * 2 : FIRST * 2) : minute * CRIER_MINUTE;
    }
    int64_t length = crier_cycle_length(c->cycle), best = 0;
    for (size_t i = 0; i < c->count; i++) {
        int64_t phase = c->rules[i].from.time;
        int64_t at = forward ? align_down(local - 1, phase, length) + length
                             : align_down(local, phase, length);
        if (i == 0 || (forward ? at < best : at > best))
            best = at;
    }
    return best;
}

/* Whether a begin was left out when the clocks went forward by less than a cycle: it is made up for
 *  where the stretch begins. *lost gets its local time. */
static bool lost_begin(const struct crier_calendar *c, const struct stretch *st, int64_t *lost)
{
    if (st->jump <= 0 || st->jump >= elapsed_cycle(c))
        return false;
    int64_t local = st->from + st->offset;
    *lost = find_local(c, local - st->jump, true);
    return *lost < local;
}

/* Where begins count from: a part of a cycle that comes again after the clocks went back by less
 * than a cycle has had its own. */
static int64_t first_local(const struct crier_calendar *c, const struct stretch *st)
{
    int64_t local = st->from + st->offset;
    return st->jump < 0 && -st->jump < elapsed_cycle(c) ? local - st->jump : local;
}

static int64_t elapsed_next(const struct crier_calendar *c, const struct crier_zone *zone,
                            int64_t t)
{
    struct stretch st;
    int64_t lost;
    stretch_at(zone, t, &st);
    int64_t local = t + st.offset + 1;
    for (;;) {
        int64_t first = first_local(c, &st);
        int64_t at = find_local(c, local > first ? local : first, true) - st.offset;
        if (at < st.to)
            return at;
        if (st.to >= LAST)
            return CRIER_NEVER;
        stretch_at(zone, st.to, &st);
        if (lost_begin(c, &st, &lost))
            return st.from;
        local = st.from + st.offset;
    }
}

static bool elapsed_last(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                         struct crier_window *out)
{
    int64_t length = elapsed_length(c), lost;
    for (;;) {
        struct stretch st;
        stretch_at(zone, t, &st);
        int64_t at = find_local(c, t + st.offset, false);
        if (at >= first_local(c, &st)) {
            out->from = at - st.offset;
            out->to = out->from + length;
            return true;
        }
        if (lost_begin(c, &st, &lost)) {
            int64_t left = lost + length - (st.from + st.offset);
            out->from = st.from;
            out->to = st.from + (left > 0 ? left : length);
            return true;
        }
        if (st.from <= FIRST)
            return false;
        t = st.from - 1;
    }
}

/* --- days and more ------------------------------------------------------------------------ */

static int64_t cycle_at(enum crier_cycle cycle, int64_t day)
{
    struct crier_civil d;
    switch (cycle) {
    case CRIER_DAILY:
        return day;
    case CRIER_WEEKLY:
        return floor_div(day + 3, 7); /* 1 January 1970 was a Thursday */
    default:
        break;
    }
    crier_civil_from_days(day, &d);
    return cycle == CRIER_MONTHLY ? d.year * 12LL + d.month - 1 : d.year;
}

/* The nth weekday of the days first .. first + count - 1. */
static int64_t nth_weekday(int64_t first, int count, int nth, int weekday)
{
    int begin = (int)(((first + 3) % 7 + 7) % 7) + 1; /* weekday of the first */
    int at = (weekday - begin + 7) % 7;
    if (nth < 0)
        at += (count - 1 - at) / 7 * 7;
    else
        at += (nth - 1) * 7;
    return at < count ? first + at : NO_DAY;
}

/* The day of a point in the n-th cycle; NO_DAY when that cycle does not have it. */
static int64_t day_of(enum crier_cycle cycle, int64_t n, const struct crier_point *p)
{
    int64_t year = n;
    int month = p->month;
    if (cycle == CRIER_DAILY)
        return n;
    if (cycle == CRIER_WEEKLY)
        return n * 7 - 3 + (p->weekday ? p->weekday - 1 : 0);
    if (cycle == CRIER_MONTHLY) {
        year = floor_div(n, 12);
        month = (int)(n - year * 12) + 1;
    } else if (!month && p->nth) {
        int64_t first = crier_days_from_civil(year, 1, 1);
        int count = 337 + crier_month_days(year, 2);
        return nth_weekday(first, count, p->nth, p->weekday);
    }
    int64_t first = crier_days_from_civil(year, month ? month : 1, 1);
    int count = crier_month_days(year, month ? month : 1);
    if (p->nth)
        return nth_weekday(first, count, p->nth, p->weekday);
    int day = p->day < 0 ? count + 1 + p->day : p->day ? p->day : 1;
    return day >= 1 && day <= count ? first + day - 1 : NO_DAY;
}

/* Where a cycle's last day ends. */
static int64_t cycle_end(enum crier_cycle cycle, int64_t n)
{
    return day_of(cycle, n + 1, &(struct crier_point){0}) * CRIER_DAY;
}

/* A month's day that is missing, as an end: the month's. */
static int64_t end_of(const struct crier_calendar *c, int64_t n, const struct crier_point *to)
{
    int64_t day = day_of(c->cycle, n, to);
    if (day != NO_DAY)
        return day * CRIER_DAY + to->time;
    if (c->cycle == CRIER_YEARLY && to->month)
        return (day_of(c->cycle, n, &(struct crier_point){.month = to->month, .day = -1}) + 1) *
               CRIER_DAY;
    return cycle_end(c->cycle, n);
}

/* A rule's window in the n-th cycle, in local time. */
static bool local_window(const struct crier_calendar *c, int64_t n,
                         const struct crier_window_rule *rule, struct crier_window *out)
{
    int64_t day = day_of(c->cycle, n, &rule->from);
    if (day == NO_DAY)
        return false;
    out->from = day * CRIER_DAY + rule->from.time;
    switch (rule->end) {
    case CRIER_END_LENGTH:
        out->to = out->from + rule->length;
        break;
    case CRIER_END_CYCLE:
        out->to = cycle_end(c->cycle, n);
        break;
    case CRIER_END_POINT:
        out->to = end_of(c, n, &rule->to);
        if (out->to <= out->from)
            out->to = end_of(c, n + 1, &rule->to);
        break;
    }
    return true;
}

/* Local time -> instant. */
static int64_t instant(const struct crier_zone *zone, int64_t local)
{
    struct crier_zone_span span;
    int64_t seconds = floor_div(local, CRIER_S), utc = crier_zone_resolve(zone, seconds);
    crier_zone_span(zone, utc, &span);
    bool gap = utc + span.offset != seconds;
    return utc * CRIER_S + (gap ? 0 : local - seconds * CRIER_S);
}

/* One that lies in a gap moves behind it with its length. */
static void resolve_window(const struct crier_zone *zone, const struct crier_window *local,
                           struct crier_window *out)
{
    out->from = instant(zone, local->from);
    out->to = instant(zone, local->to);
    if (out->to <= out->from)
        out->to = out->from + (local->to - local->from);
}

/* The local time at t; with `late`, the latest that any clock of the day around t has shown. */
static int64_t local_at(const struct crier_zone *zone, int64_t t, bool late)
{
    struct crier_zone_span now, before;
    crier_zone_span(zone, floor_div(t, CRIER_S), &now);
    crier_zone_span(zone, floor_div(t - CRIER_DAY, CRIER_S), &before);
    int64_t offset = late && before.offset > now.offset ? before.offset : now.offset;
    return t + offset * CRIER_S;
}

static int64_t days_next(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t)
{
    int64_t local = local_at(zone, t, false);
    int64_t n = cycle_at(c->cycle, floor_div(local, CRIER_DAY));
    for (;; n++) {
        int64_t best = CRIER_NEVER;
        for (size_t i = 0; i < c->count; i++) {
            int64_t day = day_of(c->cycle, n, &c->rules[i].from);
            if (day == NO_DAY)
                continue;
            int64_t begin = day * CRIER_DAY + c->rules[i].from.time;
            if (begin <= local)
                continue; /* what the clock has shown already has been */
            if (begin >= LAST)
                return best;
            int64_t at = instant(zone, begin);
            if (at > t && at < best)
                best = at;
        }
        if (best != CRIER_NEVER)
            return best;
    }
}

static bool days_last(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                      struct crier_window *out)
{
    int64_t latest = local_at(zone, t, true);
    int64_t n = cycle_at(c->cycle, floor_div(latest, CRIER_DAY));
    for (;; n--) {
        bool found = false;
        for (size_t i = 0; i < c->count; i++) {
            struct crier_window local, w;
            if (!local_window(c, n, &c->rules[i], &local) || local.from > latest)
                continue;
            if (local.from < FIRST)
                return found;
            resolve_window(zone, &local, &w);
            if (w.from > t)
                continue;
            if (!found || w.from > out->from || (w.from == out->from && w.to > out->to))
                *out = w;
            found = true;
        }
        if (found || day_of(c->cycle, n, &(struct crier_point){0}) * CRIER_DAY < FIRST)
            return found;
    }
}

/* Windows of different lengths may lie in each other, so the last to begin is not all. */
static bool days_contain(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                         struct crier_window *out)
{
    int64_t n = cycle_at(c->cycle, floor_div(local_at(zone, t, true), CRIER_DAY));
    for (int64_t k = n; k >= n - 1; k--) {
        bool found = false;
        for (size_t i = 0; i < c->count; i++) {
            struct crier_window local, w;
            if (!local_window(c, k, &c->rules[i], &local))
                continue;
            resolve_window(zone, &local, &w);
            if (w.from > t || w.to <= t || (found && w.from < out->from))
                continue;
            *out = w;
            found = true;
        }
        if (found)
            return true;
    }
    return false;
}

/* --- cron at set hours -------------------------------------------------------------------- */

static int64_t cron_next(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t)
{
    int64_t minute = floor_div(local_at(zone, t, false), CRIER_MINUTE) + 1;
    for (;; minute++) {
        minute = crier_cron_find(&c->cron, minute, true);
        if (minute == CRIER_NEVER || minute * CRIER_MINUTE >= LAST)
            return CRIER_NEVER;
        int64_t at = instant(zone, minute * CRIER_MINUTE);
        if (at > t)
            return at;
    }
}

static bool cron_last(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                      struct crier_window *out)
{
    int64_t minute = floor_div(local_at(zone, t, true), CRIER_MINUTE);
    for (;; minute--) {
        minute = crier_cron_find(&c->cron, minute, false);
        if (minute == CRIER_NEVER || minute * CRIER_MINUTE < FIRST)
            return false;
        struct crier_window local = {minute * CRIER_MINUTE, (minute + 1) * CRIER_MINUTE};
        resolve_window(zone, &local, out);
        if (out->from <= t)
            return true;
    }
}

/* --- all ---------------------------------------------------------------------------------- */

static bool by_elapsed_time(const struct crier_calendar *c)
{
    return c->cycle <= CRIER_HOURLY || (c->cycle == CRIER_CYCLE_CRON && c->cron.every_hour);
}

int64_t crier_calendar_next(const struct crier_calendar *c, const struct crier_zone *zone,
                            int64_t t)
{
    zone = c->zone ? c->zone : zone;
    if (t >= LAST)
        return CRIER_NEVER;
    if (t < FIRST)
        t = FIRST;
    if (by_elapsed_time(c))
        return elapsed_next(c, zone, t);
    return c->cycle == CRIER_CYCLE_CRON ? cron_next(c, zone, t) : days_next(c, zone, t);
}

bool crier_calendar_last(const struct crier_calendar *c, const struct crier_zone *zone, int64_t t,
                         struct crier_window *out)
{
    zone = c->zone ? c->zone : zone;
    if (t < FIRST)
        return false;
    if (t > LAST)
        t = LAST;
    if (by_elapsed_time(c))
        return elapsed_last(c, zone, t, out);
    return c->cycle == CRIER_CYCLE_CRON ? cron_last(c, zone, t, out) : days_last(c, zone, t, out);
}

bool crier_calendar_contains(const struct crier_calendar *c, const struct crier_zone *zone,
                             int64_t t, struct crier_window *out)
{
    struct crier_window w;
    if (!out)
        out = &w;
    if (c->cycle >= CRIER_DAILY && c->cycle <= CRIER_YEARLY && t >= FIRST && t < LAST)
        return days_contain(c, c->zone ? c->zone : zone, t, out);
    return crier_calendar_last(c, zone, t, out) && t < out->to;
}
