/* SPDX-License-Identifier: MIT
 *
 * Calendars against a walker that goes through time minute by minute and knows nothing but what
 * the clock on the wall shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"
#include "rounds.h"
#include "sched/calendar.h"

#define MINUTE (60 * CRIER_S)
#define HOUR (3600 * CRIER_S)
#define DAY (86400 * CRIER_S)

static struct crier_zone *zone(const char *name)
{
    struct crier_zone *z = NULL;
    assert_int_equal(crier_zone_open(name, &z, NULL), 0);
    return z;
}

/* "daily after 18:00", "cron ..." */
static struct crier_calendar *parse(const char *text, struct crier_err *err, int *column)
{
    struct crier_words s;
    struct crier_calendar *c = NULL;
    crier_words_begin(&s, text, err);
    int rc;
    if (crier_words_match(&s, "cron")) {
        rc = crier_calendar_read_cron(&s, &c);
    } else {
        int cycle = crier_words_one_of(&s, crier_cycle_adverbs, 7);
        assert_true(cycle >= 0);
        rc = crier_calendar_read(&s, (enum crier_cycle)cycle, &c);
    }
    if (column)
        *column = s.column;
    assert_true((rc == 0) == (c != NULL));
    return c;
}

static struct crier_calendar *calendar(const char *text)
{
    struct crier_err err = {0};
    struct crier_calendar *c = parse(text, &err, NULL);
    if (!c)
        fail_msg("%s: %s", text, err.text);
    return c;
}

static int64_t at(const char *text, const struct crier_zone *z)
{
    int64_t t = 0;
    assert_int_equal(crier_datetime_parse(text, z, &t, NULL), 0);
    return t;
}

static const char *local(const struct crier_zone *z, int64_t t, char out[48])
{
    struct crier_civil c;
    if (t == CRIER_NEVER)
        return strcpy(out, "never");
    crier_civil_at(z, t, &c);
    snprintf(out, 48, "%04d-%02d-%02dT%02d:%02d:%02d%+03d:%02d", c.year, c.month, c.day, c.hour,
             c.minute, c.second, c.offset / 3600, abs(c.offset) / 60 % 60);
    return out;
}

/* --- the walker --------------------------------------------------------------------------- */

struct rule {
    const char *text;
    bool (*begins)(const struct crier_civil *c); /* a window begins at this minute on the wall */
    int64_t length;                              /* of every window; 0: not checked */
    int elapsed;                                 /* minutes of a cycle that goes by elapsed time */
};

static int last_of(const struct crier_civil *c)
{
    return crier_month_days(c->year, c->month);
}
#define RULE(name, condition)                                                                      \
    static bool name(const struct crier_civil *c)                                                  \
    {                                                                                              \
        return condition;                                                                          \
    }
RULE(d0230, c->hour == 2 && c->minute == 30)
RULE(d0000, c->hour == 0 && c->minute == 0)
RULE(d2200, c->hour == 22 && c->minute == 0)
RULE(d0130_0230, (c->hour == 1 || c->hour == 2) && c->minute == 30)
RULE(w_mon_sun_0200, (c->weekday == 1 || c->weekday == 7) && c->hour == 2 && c->minute == 0)
RULE(w_sat_2330, c->weekday == 6 && c->hour == 23 && c->minute == 30)
RULE(w_mon, c->weekday == 1 && c->hour == 0 && c->minute == 0)
RULE(m_last_sun, c->weekday == 7 && c->day > last_of(c) - 7 && c->hour == 2 && c->minute == 15)
RULE(m_first_sun, c->weekday == 7 && c->day <= 7 && c->hour == 2 && c->minute == 15)
RULE(m_31, c->day == 31 && c->hour == 12 && c->minute == 0)
RULE(m_last, c->day == last_of(c) && c->hour == 0 && c->minute == 0)
RULE(m_2nd_last, c->day == last_of(c) - 1 && c->hour == 0 && c->minute == 0)
RULE(y_2nd_tue, c->month == 1 && c->weekday == 2 && c->day > 7 && c->day <= 14 && c->hour == 9 &&
                    c->minute == 0)
RULE(y_last_fri, c->month == 12 && c->weekday == 5 && c->day > 24 && c->hour == 0 && c->minute == 0)
RULE(y_thanks, c->month == 11 && c->weekday == 4 && c->day > 21 && c->day <= 28 && c->hour == 0 &&
                   c->minute == 0)
RULE(y_oct, c->month == 10 && c->day == 1 && c->hour == 0 && c->minute == 0)
RULE(h15, c->minute == 15)
RULE(h45, c->minute == 45)
RULE(h00, c->minute == 0)
RULE(h30, c->minute == 30)
RULE(m00, c->second == 0)
RULE(five, c->minute % 5 == 0)
RULE(c_2, c->hour == 2 && c->minute % 20 == 0)
RULE(c_either, (c->day == 13 || c->weekday == 5) && c->hour == 2 && c->minute == 30)
RULE(c_night, (c->hour >= 22 || c->hour <= 2) && c->minute == 10)

static const struct rule rules[] = {
    {"daily at 02:30", d0230, HOUR, 0},
    {"daily", d0000, 0, 0},
    {"daily between 22:00 and 06:00", d2200, 0, 0},
    {"daily at 01:30, 02:30", d0130_0230, 0, 0},
    {"weekly on Mon, Sun at 02:00", w_mon_sun_0200, HOUR, 0},
    {"weekly after Sat 23:30", w_sat_2330, 0, 0},
    {"weekly", w_mon, 0, 0},
    {"monthly on last Sun at 02:15", m_last_sun, HOUR, 0},
    {"monthly on 1st Sun at 02:15", m_first_sun, HOUR, 0},
    {"monthly on 31 at 12:00", m_31, HOUR, 0},
    {"monthly on last day", m_last, 0, 0},
    {"monthly on 2nd last", m_2nd_last, 0, 0},
    {"yearly on 2nd Tue at 09:00", y_2nd_tue, HOUR, 0},
    {"yearly on last Fri", y_last_fri, 0, 0},
    {"yearly on 4th Thu of Nov", y_thanks, 0, 0},
    {"yearly on Oct", y_oct, 0, 0},
    {"hourly at :15", h15, MINUTE, 60},
    {"hourly at :45", h45, MINUTE, 60},
    {"hourly", h00, HOUR, 60},
    {"hourly after :30", h30, 30 * MINUTE, 60},
    {"minutely", m00, MINUTE, 1},
    {"cron */5 * * * *", five, MINUTE, 60},
    {"cron 15 * * * *", h15, MINUTE, 60},
    {"cron 30 2 * * *", d0230, MINUTE, 0},
    {"cron */20 2 * * *", c_2, MINUTE, 0},
    {"cron 30 2 13 * FRI", c_either, MINUTE, 0},
    {"cron 10 22-2 * * *", c_night, MINUTE, 0},
    {"cron 0 12 31 * *", m_31, MINUTE, 0},
};

static int64_t wall_minute(const struct crier_civil *c)
{
    return crier_days_from_civil(c->year, c->month, c->day) * 1440 + c->hour * 60 + c->minute;
}

/* The wall's minute as if it were shown. */
static void civil_of(int64_t minute, struct crier_civil *c)
{
    int64_t day = minute / 1440;
    *c = (struct crier_civil){0};
    crier_civil_from_days(day, c);
    c->hour = (int)(minute % 1440 / 60);
    c->minute = (int)(minute % 60);
    c->weekday = (int)((day + 3) % 7) + 1;
}

/* Every begin from `from` until `to` by walking. */
static size_t walk(const struct rule *rule, const struct crier_zone *z, int64_t from, int64_t to,
                   int64_t *out, size_t cap)
{
    size_t n = 0;
    struct crier_civil c;
    crier_civil_at(z, from - MINUTE, &c);
    int64_t seen = wall_minute(&c), before = seen;
    for (int64_t t = from; t < to; t += MINUTE) {
        crier_civil_at(z, t, &c);
        int64_t now = wall_minute(&c), jump = now - before - 1;
        bool fires = rule->begins(&c);
        if (jump < 0 && rule->elapsed && -jump >= rule->elapsed)
            seen = now - 1; /* it all counts anew */
        if (now <= seen)
            fires = false;
        if (jump > 0 && (!rule->elapsed || jump < rule->elapsed)) {
            for (int64_t lost = before + 1; lost < now; lost++) {
                struct crier_civil l;
                civil_of(lost, &l);
                fires = fires || rule->begins(&l);
            }
        }
        seen = now > seen ? now : seen;
        before = now;
        if (fires) {
            assert_true(n < cap);
            out[n++] = t;
        }
    }
    return n;
}

static void check_rule(const struct rule *rule, const struct crier_zone *z, const char *zone_name,
                       int64_t from, int64_t to)
{
    enum { CAP = 600000 };
    int64_t *begins = malloc(CAP * sizeof *begins);
    char a[48], b[48], c_[48];
    size_t n = walk(rule, z, from, to, begins, CAP);
    struct crier_calendar *c = calendar(rule->text);
    int64_t t = from - 1;
    for (size_t i = 0; i < n; i++) {
        struct crier_window w;
        int64_t next = crier_calendar_next(c, z, t);
        if (next != begins[i])
            fail_msg("%s, %s: after %s comes %s, not %s", zone_name, rule->text, local(z, t, a),
                     local(z, begins[i], b), local(z, next, c_));
        /* From anywhere between, and backwards. */
        int64_t middle = t + (next - t) / 2;
        assert_int_equal(crier_calendar_next(c, z, middle), next);
        assert_int_equal(crier_calendar_next(c, z, next - 1), next);
        assert_true(crier_calendar_last(c, z, next, &w));
        assert_int_equal(w.from, next);
        assert_true(w.to > w.from);
        assert_true(crier_calendar_contains(c, z, next, NULL));
        if (rule->length && i + 1 < n && begins[i + 1] - begins[i] >= rule->length) {
            struct crier_civil x, y;
            crier_civil_at(z, next, &x);
            crier_civil_at(z, next + rule->length, &y);
            if (x.offset == y.offset && w.to - w.from != rule->length) {
                crier_civil_at(z, next - 1, &y);
                if (x.offset == y.offset) /* else a part of it may be lost */
                    fail_msg("%s, %s: the window at %s ends at %s", zone_name, rule->text,
                             local(z, w.from, a), local(z, w.to, b));
            }
            assert_false(crier_calendar_contains(c, z, w.to, NULL) && w.to < begins[i + 1]);
        }
        if (i) {
            if (!crier_calendar_last(c, z, next - 1, &w) || w.from != begins[i - 1])
                fail_msg("%s, %s: before %s comes %s, not %s", zone_name, rule->text,
                         local(z, next, a), local(z, begins[i - 1], b), local(z, w.from, c_));
            assert_true(crier_calendar_last(c, z, middle, &w));
            assert_int_equal(w.from, begins[i - 1]);
        }
        t = next;
    }
    assert_true(crier_calendar_next(c, z, t) >= to);
    crier_calendar_free(c);
    free(begins);
}

static void walker(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *from, *to;
    } spans[] = {
        {"Europe/Ljubljana", "2026-01-01", "2027-01-02"},
        {"America/New_York", "2028-02-01", "2028-12-31"},
        {"Australia/Lord_Howe", "2026-01-01", "2027-01-02"}, /* half an hour of daylight saving */
        {"Asia/Kolkata", "2026-01-20", "2026-04-20"},
        {"UTC", "2027-12-20", "2028-03-10"},
        {"America/Sao_Paulo", "2012-09-01", "2013-03-10"}, /* a midnight that does not exist */
        {"Pacific/Apia", "2011-12-20", "2012-01-10"},      /* a day that does not exist */
        {"Europe/Dublin", "2026-03-01", "2026-11-15"},     /* winter is the daylight saving */
        {"Africa/Casablanca", "2026-01-15", "2026-04-10"},
        {"America/New_York", "2060-02-20", "2060-04-01"},
    };
    for (size_t i = 0; i < CRIER_COUNT(spans); i++) {
        struct crier_zone *z = zone(spans[i].zone);
        for (size_t k = 0; k < CRIER_COUNT(rules); k++) {
            if ((i + k) % 10 >= ROUNDS(10)) /* each rule in one zone, each zone by some rules */
                continue;
            int64_t to = at(spans[i].to, z), from = at(spans[i].from, z);
            if (rules[k].elapsed && to - from > 60 * DAY) {
                /* The dense ones around each change of the clocks only. */
                struct crier_zone_span span;
                crier_zone_span(z, from / CRIER_S, &span);
                while (span.to * CRIER_S < to) {
                    check_rule(&rules[k], z, spans[i].zone, span.to * CRIER_S - 2 * DAY,
                               span.to * CRIER_S + 2 * DAY);
                    crier_zone_span(z, span.to, &span);
                }
                continue;
            }
            check_rule(&rules[k], z, spans[i].zone, from, to);
        }
        crier_zone_unref(z);
    }
}

/* --- windows ------------------------------------------------------------------------------ */

/* What a window is, and what it is not: the table of the manual. Saturday 2026-11-21, in UTC. */
static void windows(void **state)
{
    (void)state;
    static const struct {
        const char *text, *at, *from, *to; /* from NULL: not inside */
    } cases[] = {
        {"daily between 10:00 and 12:00", "2026-11-21T10:00", "2026-11-21T10:00",
         "2026-11-21T12:00"},
        {"daily between 10:00 and 12:00", "2026-11-21T11:59:59.999999", "2026-11-21T10:00",
         "2026-11-21T12:00"},
        {"daily between 10:00 and 12:00", "2026-11-21T12:00", NULL, NULL},
        {"daily between 10:00 and 12:00", "2026-11-21T09:59:59.999999", NULL, NULL},
        {"daily between 10 and 12", "2026-11-21T12:59:59", "2026-11-21T10:00", "2026-11-21T13:00"},
        {"daily between 10 and 12", "2026-11-21T13:00", NULL, NULL},
        {"daily between 22:00 and 06:00", "2026-11-21T23:30", "2026-11-21T22:00",
         "2026-11-22T06:00"},
        {"daily between 22:00 and 06:00", "2026-11-21T05:59:59", "2026-11-20T22:00",
         "2026-11-21T06:00"},
        {"daily between 22:00 and 06:00", "2026-11-21T06:00", NULL, NULL},
        {"daily between 10:00 and 10:00", "2026-11-21T09:59", "2026-11-20T10:00",
         "2026-11-21T10:00"},
        {"daily at 10:00", "2026-11-21T10:59:59", "2026-11-21T10:00", "2026-11-21T11:00"},
        {"daily at 10:00", "2026-11-21T11:00", NULL, NULL},
        {"daily at 23:30", "2026-11-21T00:10", "2026-11-20T23:30", "2026-11-21T00:30"},
        {"daily before 10:00", "2026-11-21T00:00", "2026-11-21T00:00", "2026-11-21T10:00"},
        {"daily before 10:00", "2026-11-21T10:00", NULL, NULL},
        {"daily after 18:00", "2026-11-21T23:59:59", "2026-11-21T18:00", "2026-11-22T00:00"},
        {"daily after 18:00", "2026-11-22T00:00", NULL, NULL},
        {"daily starting 06:00", "2026-11-21T05:00", "2026-11-20T06:00", "2026-11-21T06:00"},
        {"daily", "2026-11-21T05:00", "2026-11-21", "2026-11-22"},
        {"hourly at 15:00", "2026-11-21T05:15:30", "2026-11-21T05:15", "2026-11-21T05:16"},
        {"hourly between :50 and :10", "2026-11-21T05:05", "2026-11-21T04:50", "2026-11-21T05:10"},
        {"hourly between 15 and 20", "2026-11-21T05:20:59", "2026-11-21T05:15", "2026-11-21T05:21"},
        {"minutely at :30", "2026-11-21T05:05:30.5", "2026-11-21T05:05:30", "2026-11-21T05:05:31"},
        {"minutely after 30", "2026-11-21T05:05:29", NULL, NULL},
        {"secondly", "2026-11-21T05:05:29.25", "2026-11-21T05:05:29", "2026-11-21T05:05:30"},
        {"weekly between Mon and Fri", "2026-11-20T23:59:59", "2026-11-16", "2026-11-21"},
        {"weekly between Mon and Fri", "2026-11-21T00:00", NULL, NULL},
        {"weekly between Mon and Fri 18:00", "2026-11-20T18:00", NULL, NULL},
        {"weekly between Fri and Mon", "2026-11-23T12:00", "2026-11-20", "2026-11-24"},
        {"weekly between 6 and 7", "2026-11-21T12:00", "2026-11-21", "2026-11-23"},
        {"weekly on Sat", "2026-11-21T12:00", "2026-11-21", "2026-11-22"},
        {"weekly Mon, Sat 09:00", "2026-11-21T09:30", "2026-11-21T09:00", "2026-11-21T10:00"},
        {"weekly on Fri between 22:00 and 06:00", "2026-11-21T05:00", "2026-11-20T22:00",
         "2026-11-21T06:00"},
        {"weekly on Fri between 22:00 and 06:00", "2026-11-20T05:00", NULL, NULL},
        {"weekly starting Friday", "2026-11-21T05:00", "2026-11-20", "2026-11-27"},
        {"weekly before Sat", "2026-11-21T00:00", NULL, NULL},
        {"weekly before Sat 12:00", "2026-11-21T11:00", "2026-11-16", "2026-11-21T12:00"},
        {"weekly after Sat", "2026-11-22T23:00", "2026-11-21", "2026-11-23"},
        {"weekly", "2026-11-21T05:00", "2026-11-16", "2026-11-23"},
        {"monthly between 1st and 5th", "2026-11-05T23:59", "2026-11-01", "2026-11-06"},
        {"monthly between 1st and 5th", "2026-11-06", NULL, NULL},
        {"monthly between 25th and 31st", "2026-02-28T23:59", "2026-02-25", "2026-03-01"},
        {"monthly between 25th and 3rd", "2026-12-03T12:00", "2026-11-25", "2026-12-04"},
        {"monthly on 31", "2026-02-28", NULL, NULL},
        {"monthly on last", "2028-02-29T12:00", "2028-02-29", "2028-03-01"},
        {"monthly after 20", "2026-11-21", "2026-11-20", "2026-12-01"},
        {"monthly before last Fri", "2026-11-26T23:59", "2026-11-01", "2026-11-27"},
        {"monthly starting 15th", "2026-11-14", "2026-10-15", "2026-11-15"},
        {"monthly", "2026-11-14", "2026-11-01", "2026-12-01"},
        {"yearly on Dec", "2026-12-31T23:59", "2026-12-01", "2027-01-01"},
        {"yearly on Dec, 24 Dec", "2026-12-24T12:00", "2026-12-24", "2026-12-25"},
        {"yearly on Dec, 24 Dec", "2026-12-25T12:00", "2026-12-01", "2027-01-01"},
        {"yearly on 29 Feb", "2028-02-29T12:00", "2028-02-29", "2028-03-01"},
        {"yearly between Nov and Feb", "2026-02-28T12:00", "2025-11-01", "2026-03-01"},
        {"yearly between 24 Dec and 26 Dec", "2026-12-26T12:00", "2026-12-24", "2026-12-27"},
        {"yearly between 12-24 18:00 and 01-01 06:00", "2027-01-01T05:59", "2026-12-24T18:00",
         "2027-01-01T06:00"},
        {"yearly after Oct", "2026-10-01", "2026-10-01", "2027-01-01"},
        {"yearly before Mar", "2028-02-29", "2028-01-01", "2028-03-01"},
        {"yearly", "2028-02-29", "2028-01-01", "2029-01-01"},
        {"cron 15 3 * * *", "2026-11-21T03:15:59", "2026-11-21T03:15", "2026-11-21T03:16"},
        {"cron 15 3 * * *", "2026-11-21T03:16", NULL, NULL},
    };
    struct crier_zone *utc = zone("UTC");
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char a[32], b[32];
        struct crier_calendar *c = calendar(cases[i].text);
        struct crier_window w = {0};
        bool in = crier_calendar_contains(c, utc, at(cases[i].at, utc), &w);
        if (in != (cases[i].from != NULL))
            fail_msg("%s at %s: %s", cases[i].text, cases[i].at, in ? "inside" : "outside");
        if (in && (w.from != at(cases[i].from, utc) || w.to != at(cases[i].to, utc)))
            fail_msg("%s at %s: %s to %s", cases[i].text, cases[i].at,
                     crier_time_rfc3339(w.from, a), crier_time_rfc3339(w.to, b));
        crier_calendar_free(c);
    }
    crier_zone_unref(utc);
}

/* Days on which clocks are set: each with what comes after. */
static void clocks(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *text, *after;
        const char *next[4];
    } cases[] = {
        {"Europe/Ljubljana",
         "daily at 02:30",
         "2026-03-28T12:00",
         {"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
        {"Europe/Ljubljana",
         "daily at 02:30",
         "2026-10-24T12:00",
         {"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
        {"Europe/Ljubljana",
         "daily at 02:10, 02:40",
         "2026-03-28T12:00",
         {"2026-03-29T03:00:00+02:00", "2026-03-30T02:10:00+02:00"}},
        {"Europe/Ljubljana",
         "hourly at :30",
         "2026-10-25T01:00",
         {"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00",
          "2026-10-25T03:30:00+01:00"}},
        {"Europe/Ljubljana",
         "hourly at :30",
         "2026-03-29T01:00",
         {"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"}},
        {"America/New_York",
         "cron 30 1,2 * * *",
         "2026-03-08T00:00",
         {"2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T01:30:00-04:00"}},
        {"America/New_York",
         "cron 30 1 * * *",
         "2026-11-01T00:00",
         {"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
        {"Australia/Lord_Howe",
         "hourly at :15",
         "2026-10-04T01:00",
         {"2026-10-04T01:15:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T03:15:00+11:00"}},
        {"Australia/Lord_Howe",
         "hourly at :45",
         "2026-04-05T01:00",
         {"2026-04-05T01:45:00+11:00", "2026-04-05T02:45:00+10:30"}},
        {"Australia/Lord_Howe",
         "daily at 01:45",
         "2026-04-05T00:00",
         {"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
        {"America/Sao_Paulo",
         "daily",
         "2012-10-20T12:00",
         {"2012-10-21T01:00:00-02:00", "2012-10-22T00:00:00-02:00"}},
        {"Pacific/Apia",
         "daily at 09:00",
         "2011-12-29T12:00",
         {"2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"}},
        {"UTC", "yearly on 29 Feb at 09:00", "2096-12-31", {"2104-02-29T09:00:00+00:00"}},
        {"UTC", "yearly on 5th Mon of Feb", "2026-01-01", {"2044-02-29T00:00:00+00:00"}},
        {"UTC",
         "yearly on 53rd Fri",
         "2026-01-01",
         {"2027-12-31T00:00:00+00:00", "2032-12-31T00:00:00+00:00"}},
        {"UTC", "monthly on 31 in Asia/Kolkata", "2026-01-31T00:00", {"2026-03-30T18:30:00+00:00"}},
        {"UTC", "cron 0 0 29 2 *", "2096-12-31", {"2104-02-29T00:00:00+00:00"}},
        {"UTC",
         "cron 0 9 * * FRI#2",
         "2026-11-01",
         {"2026-11-13T09:00:00+00:00", "2026-12-11T09:00:00+00:00"}},
        {"UTC", "cron 0 9 L * *", "2028-02-01", {"2028-02-29T09:00:00+00:00"}},
        {"UTC", "cron 0 9 * * 5L", "2026-11-01", {"2026-11-27T09:00:00+00:00"}},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_zone *z = zone(cases[i].zone);
        struct crier_calendar *c = calendar(cases[i].text);
        int64_t t = at(cases[i].after, z);
        for (size_t k = 0; k < 4 && cases[i].next[k]; k++) {
            char text[48];
            t = crier_calendar_next(c, z, t);
            if (strcmp(local(z, t, text), cases[i].next[k]) != 0)
                fail_msg("%s, %s: %s, not %s", cases[i].zone, cases[i].text, text,
                         cases[i].next[k]);
        }
        crier_calendar_free(c);
        crier_zone_unref(z);
    }
}

/* The last and first instants, and what does not come any more. */
static void bounds(void **state)
{
    (void)state;
    struct crier_zone *z = zone("Europe/Ljubljana");
    for (size_t i = 0; i < CRIER_COUNT(rules); i++) {
        struct crier_calendar *c = calendar(rules[i].text);
        struct crier_window w;
        assert_int_equal(crier_calendar_next(c, z, INT64_MAX), CRIER_NEVER);
        assert_true(crier_calendar_next(c, z, INT64_MIN) > INT64_MIN);
        assert_false(crier_calendar_last(c, z, INT64_MIN, &w));
        assert_true(crier_calendar_last(c, z, INT64_MAX, &w));
        int64_t end = at("9999-12-31T22:59", z);
        int64_t next = crier_calendar_next(c, z, end);
        assert_true(next > end);
        crier_calendar_contains(c, z, INT64_MAX, NULL);
        crier_calendar_contains(c, z, INT64_MIN, NULL);
        crier_calendar_free(c);
    }
    crier_zone_unref(z);
}

/* --- text --------------------------------------------------------------------------------- */

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical;
    } cases[] = {
        {"daily", ""},
        {"Daily AT 9:00", "09:00"},
        {"daily 9:00", "09:00"},
        {"daily at 9", "09:00"},
        {"daily at 9am", "09:00"},
        {"daily at 12 am, 12:30pm", "00:00, 12:30"},
        {"daily at 09:00, 18:00:30.25", "09:00, 18:00:30.25"},
        {"daily between 10 and 12", "between 10:00 and 13:00"},
        {"daily between 10 and 12  in UTC", "between 10:00 and 13:00 in UTC"},
        {"daily between 9 am and 5 pm", "between 09:00 and 17:00"},
        {"daily between 10:00 and 24:00", "after 10:00"},
        {"daily between 10 and 23", "after 10:00"},
        {"daily between 00:00 and 10:00", "before 10:00"},
        {"daily between 0 and 23", ""},
        {"daily after 00:00", ""},
        {"daily before 24:00", ""},
        {"daily after 18:00 in Europe/Paris", "after 18:00 in Europe/Paris"},
        {"daily in UTC", "in UTC"},
        {"hourly at 15", ":15"},
        {"hourly :15", ":15"},
        {"hourly 15:30", "15:30"},
        {"hourly between 15 and 59", "after :15"},
        {"minutely at 5", ":05"},
        {"minutely :05.5", ":05.5"},
        {"weekly on monday, FRI at 9:00", "Mon, Fri 09:00"},
        {"weekly Mon, Fri", "Mon, Fri"},
        {"weekly 1, 5 at 9", "Mon, Fri 09:00"},
        {"weekly on Sat between 9:00 and 12:00", "Sat between 09:00 and 12:00"},
        {"weekly on Sat between 00:00 and 24:00", "Sat"},
        {"weekly between Mon 9:00 and Fri 17:00", "between Mon 09:00 and Fri 17:00"},
        {"weekly after Fri at 9", "after Fri 09:00"},
        {"monthly on 1", "1st"},
        {"monthly on 1, 2nd, 3, 11, 12, 13, 21, 22, 23",
         "1st, 2nd, 3rd, 11th, 12th, 13th, 21st, 22nd, 23rd"},
        {"monthly on last day at 9:00", "last 09:00"},
        {"monthly on second last day", "2nd last"},
        {"monthly on last Friday", "last Fri"},
        {"monthly on second Tuesday 18:00", "2nd Tue 18:00"},
        {"monthly between 1st and 5th", "between 1st and 5th"},
        {"yearly on December 24 at 18:00", "24 Dec 18:00"},
        {"yearly on 24th of December", "24 Dec"},
        {"yearly on 12-24", "24 Dec"},
        {"yearly on Dec", "Dec"},
        {"yearly on 4th Thu of Nov", "4th Thu of Nov"},
        {"yearly on last Fri Nov", "last Fri of Nov"},
        {"yearly on last Fri of year", "last Fri"},
        {"yearly on 53rd Mon", "53rd Mon"},
        {"yearly on last day of Feb", "last of Feb"},
        {"yearly on last day", "last of Dec"},
        {"yearly between Nov and Feb", "between Nov and Feb"},
        {"cron  15   3 * *  *", "15 3 * * *"},
        {"cron '15 3 * * MON-FRI'", "15 3 * * MON-FRI"},
        {"cron @daily in Asia/Kolkata", "@daily in Asia/Kolkata"},
        {"cron \"0  9 1 * *\" in UTC", "0 9 1 * * in UTC"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_calendar *c = calendar(cases[i].text);
        assert_string_equal(crier_calendar_text(c), cases[i].canonical);
        char *again = crier_asprintf("%s %s",
                                     crier_calendar_cycle(c) == CRIER_CYCLE_CRON
                                         ? "cron"
                                         : crier_cycle_adverbs[crier_calendar_cycle(c)],
                                     crier_calendar_text(c));
        struct crier_calendar *d = calendar(again);
        assert_string_equal(crier_calendar_text(d), cases[i].canonical);
        struct crier_zone *z = zone("Europe/Ljubljana");
        int64_t t = at("2026-01-01", z);
        for (int k = 0; k < 20; k++) {
            int64_t next = crier_calendar_next(c, z, t);
            assert_int_equal(next, crier_calendar_next(d, z, t));
            t = next;
        }
        crier_zone_unref(z);
        crier_calendar_free(c);
        crier_calendar_free(d);
        free(again);
    }
}

static void faults(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int column;
        const char *message;
    } cases[] = {
        {"daily afer 18:00", 7,
         "expected at, after, before, between, starting, &, | or the end, got 'afer' (did you mean "
         "'after'?)"},
        {"daily after 18:0x", 13, "expected a time of day, such as 09:00, got '18:0x'"},
        {"daily after", 12, "expected a time of day, such as 09:00, but the text ends here"},
        {"daily after Mon", 13, "expected a time of day, such as 09:00, got 'Mon'"},
        {"daily at 25:00", 10, "a day has no time '25:00' (00:00 to 23:59)"},
        {"daily at 24:00", 10, "a day begins at 00:00; 24:00 is only an end"},
        {"daily between 9:00 und 10:00", 20, "expected 'and', got 'und' (did you mean 'and'?)"},
        {"daily between 9:00", 19, "expected 'and', but the text ends here"},
        {"weekly on Mom", 11,
         "expected a day of the week, such as Mon, got 'Mom' (did you mean 'mon'?)"},
        {"weekly at 09:00", 11, "expected a day of the week, such as Mon, got '09:00'"},
        {"weekly on 8", 11, "expected a day of the week, such as Mon, got '8'"},
        {"weekly Mon 9", 12,
         "expected a time of day, between, after, before, &, | or the end, got '9'"},
        {"weekly Mon 9:00, Fri 10:00", 18, "expected a time of day, such as 09:00, got 'Fri'"},
        {"weekly on Mon starting 9:00", 15,
         "'starting' moves the whole cycle: it goes without days"},
        {"monthly on 32", 12,
         "expected a day of the month, such as 15th, last, last Fri or 2nd Mon, got '32'"},
        {"monthly on 6th Fri", 12, "there is no '6th Fri' in any month"},
        {"yearly on 30 Feb", 11, "there is no '30 Feb' in any year"},
        {"yearly on Dec at 9:00", 15, "a time of day needs a day, such as 24 Dec 18:00"},
        {"yearly on Dez", 11,
         "expected a day of the year, such as 24 Dec, Dec, last Fri or 4th Thu of Nov, got 'Dez' "
         "(did you mean 'dec'?)"},
        {"hourly at :60", 11, "expected a minute of the hour, such as :15, got ':60'"},
        {"secondly at 3", 10, "expected &, | or the end (a second has no windows), got 'at'"},
        {"daily in Mars/Base", 10,
         "unknown time zone \"Mars/Base\" (expected an IANA name such as \"Europe/Ljubljana\", or "
         "\"UTC\" or \"local\")"},
        {"daily in", 9, "expected a time zone, such as Europe/Ljubljana, but the text ends here"},
        {"daily in UTC at 9:00", 14, "expected &, | or the end, got 'at'"},
        {"cron 61 * * * *", 6, "cron: the minute is a number from 0 to 59, got '61'"},
        {"cron 1 2,24 * * *", 10, "cron: the hour is a number from 0 to 23, got '24'"},
        {"cron * * * * mop", 14,
         "cron: the day of the week is a number from 0 to 7, or a name such as mon, got 'mop'"},
        {"cron */0 * * * *", 6, "cron: the minute is a number from 0 to 59, got '*/0'"},
        {"cron * * * *", 13,
         "cron: expected five fields (minute hour day month weekday), such as 15 3 * * *: the day "
         "of the week is missing"},
        {"cron * * * * * *", 16, "expected &, |, 'in' or the end (cron has five fields), got '*'"},
        {"cron '* * * * * *'", 17,
         "cron: expected five fields (minute hour day month weekday), such as 15 3 * * *: there "
         "are "
         "more"},
        {"cron 0 0 30 2 *", 6, "cron: '0 0 30 2 *' never happens: none of its months has its day"},
        {"cron @dayly", 6,
         "cron: expected @yearly, @monthly, @weekly, @daily or @hourly, got '@dayly' (did you mean "
         "'@daily'?)"},
        {"cron @reboot", 6, "cron: @reboot is no time (a task has on_startup = true)"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_err err = {0};
        int column = 0;
        assert_null(parse(cases[i].text, &err, &column));
        if (strcmp(err.text, cases[i].message) != 0 || column != cases[i].column)
            fail_msg("%s: %d: %s", cases[i].text, column, err.text);
    }
}

/* Whatever the text, it is read or refused; what is read is read again from its own text. */
static void noise(void **state)
{
    (void)state;
    static const char *const words[] = {"at",
                                        "after",
                                        "before",
                                        "between",
                                        "and",
                                        "on",
                                        "in",
                                        "starting",
                                        "last",
                                        "day",
                                        "Mon",
                                        "Fri",
                                        "1st",
                                        "2nd",
                                        "31",
                                        "Feb",
                                        "of",
                                        "Dec",
                                        "9",
                                        "09:00",
                                        ":15",
                                        ",",
                                        "UTC",
                                        "24:00",
                                        "@",
                                        "0",
                                        "*",
                                        "*/5",
                                        "-",
                                        "12-24",
                                        "5/15",
                                        "L",
                                        "FRI#2",
                                        "jan-mar",
                                        "'",
                                        "\xff",
                                        "23:59:59.999999",
                                        "Europe/Paris"};
    struct crier_rng rng;
    crier_rng_seed(&rng, 7);
    struct crier_zone *z = zone("Europe/Ljubljana");
    int good = 0;
    for (int i = 0; i < ROUNDS(60000); i++) {
        struct crier_buf b = {0};
        int cycle = (int)crier_rng_range(&rng, 0, 7);
        crier_buf_puts(&b, cycle == 7 ? "cron" : crier_cycle_adverbs[cycle]);
        for (int64_t n = crier_rng_range(&rng, 0, 6); n > 0; n--)
            crier_buf_printf(&b, " %s", words[crier_rng_range(&rng, 0, CRIER_COUNT(words) - 1)]);
        struct crier_err err = {0};
        int column = 0;
        struct crier_calendar *c = parse(b.data, &err, &column);
        if (c) {
            good++;
            char *again = crier_asprintf("%s %s", cycle == 7 ? "cron" : crier_cycle_adverbs[cycle],
                                         crier_calendar_text(c));
            struct crier_calendar *d = calendar(again);
            assert_string_equal(crier_calendar_text(c), crier_calendar_text(d));
            int64_t t = 1795300270LL * CRIER_S, next = crier_calendar_next(c, z, t);
            struct crier_window w;
            assert_true(next > t);
            assert_int_equal(next, crier_calendar_next(d, z, t));
            if (next != CRIER_NEVER) {
                assert_true(crier_calendar_last(c, z, next, &w));
                assert_int_equal(w.from, next);
            }
            crier_calendar_free(d);
            free(again);
        } else {
            assert_true(*err.text && column > 0 && (size_t)column <= b.len + 1);
        }
        crier_calendar_free(c);
        crier_buf_fini(&b);
    }
    assert_true(good > ROUNDS(3000));
    crier_zone_unref(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),  cmocka_unit_test(faults), cmocka_unit_test(windows),
        cmocka_unit_test(clocks), cmocka_unit_test(walker), cmocka_unit_test(bounds),
        cmocka_unit_test(noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
