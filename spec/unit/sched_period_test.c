/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sched/period.h"

#define DAY (86400 * CRIER_S)

static struct crier_period make(int64_t lo, int64_t hi)
{
    struct crier_period p;
    assert_int_equal(crier_period_make(lo, hi, &p, NULL), 0);
    return p;
}

static void test_make(void **state)
{
    (void)state;
    struct crier_period p;
    struct crier_err err;
    assert_int_equal(crier_period_make(CRIER_S, CRIER_S, &p, &err), 0);
    assert_int_equal(p.kind, CRIER_PERIOD_FIXED);
    assert_int_equal(crier_period_make(CRIER_S, 2 * CRIER_S, &p, &err), 0);
    assert_int_equal(p.kind, CRIER_PERIOD_RANDOM);
    assert_int_equal(crier_period_make(0, 0, &p, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "a period must be longer than 0s");
    assert_int_equal(crier_period_make(-1, 5, &p, &err), CRIER_EINVAL);
    assert_int_equal(crier_period_make(2 * CRIER_S, CRIER_S, &p, &err), CRIER_EINVAL);
    assert_non_null(strstr(err.text, "first bound 2s is longer than the second, 1s"));
}

static void test_catch_fixed(void **state)
{
    (void)state;
    static const struct {
        int64_t lo, due, now, want, skipped;
    } rows[] = {
        {10, 100, 50, 100, 0},  /* not due yet */
        {10, 100, 100, 100, 0}, /* on time */
        {10, 100, 109, 100, 0}, /* late by less than a period is not late */
        {10, 100, 110, 110, 1}, /* its successor is due: skipped */
        {10, 100, 119, 110, 1},
        {10, 100, 195, 190, 9},
        {10, -35, 4, -5, 3},
        {1, 0, 1000000, 1000000, 1000000},
        {7, 3, 3 + 7 * 1000003LL + 6, 3 + 7 * 1000003LL, 1000003},
    };
    for (size_t i = 0; i < CRIER_COUNT(rows); i++) {
        struct crier_period p = make(rows[i].lo, rows[i].lo);
        uint64_t skipped = 99;
        int64_t next = 0;
        int64_t got = crier_period_catch(&p, NULL, rows[i].due, rows[i].now, &next, &skipped);
        assert_int_equal(got, rows[i].want);
        assert_int_equal(next, rows[i].want + rows[i].lo);
        assert_int_equal(skipped, rows[i].skipped);
    }
}

static void test_after_fixed(void **state)
{
    (void)state;
    static const struct {
        int64_t lo, due, now, want, skipped;
    } rows[] = {
        {10, 100, 50, 100, 0},  {10, 100, 99, 100, 0},  {10, 100, 100, 110, 1},
        {10, 100, 109, 110, 1}, {10, 100, 110, 120, 2}, {10, 100, 1000, 1010, 91},
    };
    for (size_t i = 0; i < CRIER_COUNT(rows); i++) {
        struct crier_period p = make(rows[i].lo, rows[i].lo);
        uint64_t skipped = 99;
        assert_int_equal(crier_period_after(&p, NULL, rows[i].due, rows[i].now, &skipped),
                         rows[i].want);
        assert_int_equal(skipped, rows[i].skipped);
    }
}

/* The rule, taken one step at a time with a generator of its own in the same state. */
static void test_against_loop(void **state)
{
    (void)state;
    struct crier_rng pick;
    crier_rng_seed(&pick, 7);
    for (int i = 0; i < 20000; i++) {
        int64_t lo = crier_rng_range(&pick, 1, 50) * CRIER_MS;
        int64_t hi = i & 1 ? lo : lo + crier_rng_range(&pick, 0, 50) * CRIER_MS;
        struct crier_period p = make(lo, hi);
        int64_t due = crier_rng_range(&pick, -1000000, 1000000);
        int64_t now = due + crier_rng_range(&pick, -500000, 3000000);
        struct crier_rng rng, model;
        crier_rng_seed(&rng, (uint64_t)i);
        model = rng;

        uint64_t skipped, want_skipped = 0;
        int64_t next, at = crier_period_catch(&p, &rng, due, now, &next, &skipped);
        int64_t want = due, want_next = crier_period_next(&p, &model, due);
        while (want_next <= now) {
            want = want_next;
            want_skipped++;
            want_next = crier_period_next(&p, &model, want);
        }
        assert_int_equal(at, want);
        assert_int_equal(next, want_next);
        assert_int_equal(skipped, want_skipped);
        assert_true(next > now && next - at >= lo && next - at <= hi);

        crier_rng_seed(&rng, (uint64_t)i);
        model = rng;
        at = crier_period_after(&p, &rng, due, now, &skipped);
        for (want = due, want_skipped = 0; want <= now; want_skipped++)
            want = crier_period_next(&p, &model, want);
        assert_int_equal(at, want);
        assert_int_equal(skipped, want_skipped);
    }
}

/* Sends that each take some time, for a day: every due time lies on the first one's grid. */
static void test_no_drift(void **state)
{
    (void)state;
    struct crier_period p = make(10 * CRIER_S, 10 * CRIER_S);
    struct crier_rng rng;
    crier_rng_seed(&rng, 3);
    int64_t due = 5 * CRIER_S, now = due, last = -1;
    uint64_t sent = 0, lost = 0;
    while (due < DAY) {
        uint64_t skipped;
        int64_t next, at = crier_period_catch(&p, &rng, due, now, &next, &skipped);
        assert_int_equal((at - 5 * CRIER_S) % (10 * CRIER_S), 0);
        assert_true(at > last);
        last = at;
        lost += skipped;
        sent++;
        now += crier_rng_range(&rng, 0, 25 * CRIER_S); /* the send */
        due = next;
        if (now < due)
            now = due;
    }
    assert_int_equal(sent + lost, (uint64_t)((due - 5 * CRIER_S) / (10 * CRIER_S)));
    assert_true(lost > 100);
}

static void test_random_ends(void **state)
{
    (void)state;
    struct crier_period p = make(5 * CRIER_MS, 8 * CRIER_MS);
    struct crier_rng rng;
    crier_rng_seed(&rng, 1);
    int seen[4] = {0};
    for (int i = 0; i < 40000; i++) {
        int64_t step = crier_period_next(&p, &rng, 1000) - 1000;
        assert_int_equal(step % CRIER_MS, 0);
        assert_in_range(step, 5 * CRIER_MS, 8 * CRIER_MS);
        seen[step / CRIER_MS - 5]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(seen[i], 9500, 10500);

    /* A width that is no whole number of milliseconds still has both its ends. */
    p = make(1500, 3700);
    int lo = 0, hi = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t step = crier_period_next(&p, &rng, 0);
        assert_in_range(step, 1500, 3700);
        lo += step == 1500;
        hi += step == 3700;
    }
    assert_true(lo > 100 && hi > 100);
}

/* 64 bins over half an hour: chi squared with 63 degrees of freedom is above 103 once in 1000. */
static void test_random_uniform(void **state)
{
    (void)state;
    enum { BINS = 64, N = 64000 };
    struct crier_period p = make(45 * 60 * CRIER_S, 75 * 60 * CRIER_S);
    struct crier_rng rng;
    crier_rng_seed(&rng, 42);
    int seen[BINS] = {0};
    for (int i = 0; i < N; i++) {
        int64_t off = crier_period_next(&p, &rng, 0) - p.lo;
        int64_t bin = off * BINS / (p.hi - p.lo + CRIER_MS);
        seen[bin]++;
    }
    double chi = 0;
    for (int i = 0; i < BINS; i++)
        chi += (seen[i] - N / BINS) * (double)(seen[i] - N / BINS) / (N / BINS);
    assert_true(chi < 103);
}

static void test_years(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 9);
    uint64_t skipped;
    int64_t next;

    struct crier_period p = make(CRIER_MS, CRIER_MS);
    int64_t now = 100LL * 365 * DAY + 123;
    assert_int_equal(crier_period_catch(&p, NULL, 0, now, &next, &skipped), now - 123);
    assert_int_equal(skipped, (uint64_t)now / 1000);

    /* Random: the count is near gap / mean, and it does not take a draw each. */
    p = make(CRIER_MS, 3 * CRIER_MS);
    int64_t at = crier_period_catch(&p, &rng, 0, now, &next, &skipped);
    assert_true(at <= now && next > now && next - at <= 3 * CRIER_MS);
    double mean = (double)now / (double)skipped;
    assert_true(mean > 1999 && mean < 2001);

    p = make(1, DAY);
    at = crier_period_after(&p, &rng, 0, now, &skipped);
    assert_true(at > now && at <= now + DAY);
}

static void test_overflow(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 9);
    uint64_t skipped;
    int64_t next;
    struct crier_period fixed = make(10, 10), rnd = make(10 * CRIER_MS, 20 * CRIER_MS);
    assert_int_equal(crier_period_next(&fixed, NULL, INT64_MAX - 5), CRIER_NEVER);
    assert_int_equal(crier_period_next(&rnd, &rng, INT64_MAX - 5), CRIER_NEVER);

    /* The whole line of numbers as a gap. */
    crier_period_catch(&fixed, NULL, INT64_MIN, INT64_MAX - 100, &next, &skipped);
    assert_true(next > INT64_MAX - 100 && next < INT64_MAX);
    int64_t at = crier_period_catch(&rnd, &rng, INT64_MIN, INT64_MAX - DAY, &next, &skipped);
    assert_true(at <= INT64_MAX - DAY && next > INT64_MAX - DAY);
    at = crier_period_catch(&fixed, NULL, 0, INT64_MAX, &next, &skipped);
    assert_true(at > INT64_MAX - 11);
    assert_int_equal(next, CRIER_NEVER);
    assert_int_equal(crier_period_after(&rnd, &rng, INT64_MAX - 1, INT64_MAX, &skipped),
                     CRIER_NEVER);

    struct crier_period huge = make(1, INT64_MAX);
    for (int i = 0; i < 100; i++)
        assert_true(crier_period_next(&huge, &rng, 0) > 0);
    at = crier_period_catch(&huge, &rng, -5, 5, &next, &skipped);
    assert_true(at <= 5 && next > 5);
}

static void test_text(void **state)
{
    (void)state;
    char out[128];
    struct crier_period p = make(10 * CRIER_S, 10 * CRIER_S);
    assert_string_equal(crier_period_text(&p, out), "every 10s");
    p = make(45 * 60 * CRIER_S, 75 * 60 * CRIER_S);
    assert_string_equal(crier_period_text(&p, out), "between 45m and 1h15m");
}

static void test_removal(void **state)
{
    (void)state;
    struct crier_zone *utc = NULL;
    struct crier_removal r;
    struct crier_err err;
    assert_int_equal(crier_zone_open("UTC", &utc, NULL), 0);
    assert_int_equal(crier_removal_parse("30d", utc, &r, &err), 0);
    assert_int_equal(r.kind, CRIER_REMOVAL_AFTER);
    assert_int_equal(r.value, 30 * DAY);
    assert_int_equal(crier_removal_parse("1970-01-02T00:00", utc, &r, &err), 0);
    assert_int_equal(r.kind, CRIER_REMOVAL_AT);
    assert_int_equal(r.value, DAY);
    assert_int_equal(crier_removal_count(10, &r, &err), 0);
    assert_int_equal(r.value, 10);
    assert_int_equal(crier_removal_count(1, &r, &err), 0);
    assert_int_equal(r.kind, CRIER_REMOVAL_COUNT);
    assert_int_equal(r.value, 1);
    assert_int_equal(crier_removal_count(0, &r, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "expected a count of sends of at least 1, got 0");
    assert_int_equal(crier_removal_parse("0s", utc, &r, &err), CRIER_EINVAL);
    static const char *const bad[] = {"10", "", "soon", "-5s", "5 parsecs"};
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        assert_int_equal(crier_removal_parse(bad[i], utc, &r, &err), CRIER_EINVAL);
        assert_non_null(strstr(err.text, "units are ms s m h d w"));
        assert_non_null(strstr(err.text, "2026-11-21T09:00"));
    }
    assert_int_equal(crier_removal_parse("2026-13-41", utc, &r, &err), CRIER_EINVAL);
    crier_zone_unref(utc);
}

static void test_start(void **state)
{
    (void)state;
    struct crier_zone *zone = NULL;
    struct crier_start s;
    struct crier_err err;
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &zone, NULL), 0);
    assert_int_equal(crier_start_parse("0s", zone, &s, &err), 0);
    assert_false(s.absolute);
    assert_int_equal(s.value, 0);
    assert_int_equal(crier_start_parse("1m30s", zone, &s, &err), 0);
    assert_int_equal(s.value, 90 * CRIER_S);
    assert_int_equal(crier_start_parse("2026-11-21T09:00", zone, &s, &err), 0);
    assert_true(s.absolute);
    int64_t utc;
    assert_int_equal(crier_datetime_parse("2026-11-21T08:00Z", NULL, &utc, &err), 0);
    assert_int_equal(s.value, utc);
    assert_int_equal(crier_start_parse("tomorrow", zone, &s, &err), CRIER_EINVAL);
    crier_zone_unref(zone);
}

static struct crier_zone *zone(const char *name)
{
    struct crier_zone *z = NULL;
    assert_int_equal(crier_zone_open(name, &z, NULL), 0);
    return z;
}

static int64_t at(const char *text)
{
    struct crier_zone *utc = zone("UTC");
    int64_t t = 0;
    assert_int_equal(crier_datetime_parse(text, utc, &t, NULL), 0);
    crier_zone_unref(utc);
    return t;
}

static struct crier_period parse(const char *text)
{
    struct crier_zone *z = zone("Europe/Ljubljana");
    struct crier_period p = {0};
    struct crier_err err = {0};
    if (crier_period_parse(text, z, &p, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    crier_zone_unref(z);
    return p;
}

static void test_calendars(void **state)
{
    (void)state;
    char out[128];
    struct crier_period p = parse("weekly on Mon, Fri at 09:00 | daily 21:00");
    assert_int_equal(p.kind, CRIER_PERIOD_CALENDAR);
    /* Wednesday; local time is an hour ahead. */
    int64_t t = at("2026-11-18T12:00"), next;
    t = crier_period_next(&p, NULL, t);
    assert_int_equal(t, at("2026-11-18T20:00"));
    t = crier_period_next(&p, NULL, at("2026-11-19T20:00"));
    assert_int_equal(t, at("2026-11-20T08:00"));
    assert_int_equal(crier_period_first(&p, t), t);
    assert_int_equal(crier_period_first(&p, t + 1), at("2026-11-20T20:00"));
    uint64_t skipped;
    assert_int_equal(crier_period_catch(&p, NULL, t, at("2026-11-22T20:30"), &next, &skipped),
                     at("2026-11-22T20:00"));
    assert_int_equal(next, at("2026-11-23T08:00"));
    assert_int_equal(skipped, 3);
    assert_int_equal(crier_period_after(&p, NULL, t, at("2026-11-22T20:30"), &skipped), next);
    assert_int_equal(skipped, 4);
    assert_string_equal(crier_period_text(&p, out), "weekly Mon, Fri 09:00 | daily 21:00");
    char *whole = crier_period_identity(&p);
    assert_string_equal(whole, "weekly Mon, Fri 09:00 | daily 21:00 (Europe/Ljubljana)");
    free(whole);
    crier_period_fini(&p);
    crier_period_fini(&p);

    /* Thirty years of seconds are not counted one by one. */
    p = parse("secondly");
    int64_t now = at("2026-11-22T20:30") + 5;
    assert_int_equal(crier_period_catch(&p, NULL, at("1996-11-22"), now, &next, &skipped), now - 5);
    assert_int_equal(next, now - 5 + CRIER_S);
    assert_true(skipped >= 100000);
    crier_period_fini(&p);

    p = parse(
        "cron 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,"
        "31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50 * * * *");
    assert_int_equal(strlen(crier_period_text(&p, out)), 127);
    assert_string_equal(out + 124, "...");
    crier_period_fini(&p);

    p = parse("every 10 min");
    assert_int_equal(p.kind, CRIER_PERIOD_FIXED);
    p = parse("every 10m jitter 5m");
    assert_int_equal(p.kind, CRIER_PERIOD_RANDOM);
    assert_int_equal(p.hi, 900 * CRIER_S);
    p = parse("10s");
    assert_int_equal(p.lo, 10 * CRIER_S);
}

static void test_bad_calendars(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "expected a duration"},
        {"10", "units are ms s m h d w"},
        {"dayly", "\"dayly\", column 1: expected a period"},
        {"after task 'x'", "'after task 'x'' is for tasks"},
        {"daily & hourly", "'daily & hourly' is for tasks"},
        {"daily | (hourly & minutely)", "'hourly & minutely' is for tasks"},
        {"daily | every 10m", "'every 10m' is for tasks"},
        {"~daily", "'~daily' is for tasks"},
        {"every 1h based on fail", "are for tasks"},
    };
    struct crier_zone *z = zone("UTC");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct crier_period p;
        struct crier_err err = {0};
        assert_int_equal(crier_period_parse(bad[i][0], z, &p, &err), CRIER_EINVAL);
        if (!strstr(err.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], err.text);
    }
    crier_zone_unref(z);
}

static void test_take(void **state)
{
    (void)state;
    static const struct {
        const char *period;
        enum crier_catch_up catch_up;
        const char *grace, *due, *now;
        const char *take, *next; /* take NULL: nothing */
        uint64_t skipped;
    } rows[] = {
        /* not due yet */
        {"1h", CRIER_CATCH_ONE, "10m", "12:00", "11:59", NULL, "12:00", 0},
        /* on time, and late by less than a period */
        {"1h", CRIER_CATCH_NONE, "10m", "12:00", "12:00", "12:00", "13:00", 0},
        {"1h", CRIER_CATCH_NONE, "10m", "12:00", "12:50", "12:00", "13:00", 0},
        {"1h", CRIER_CATCH_NONE, "10m", "12:00", "14:50", "14:00", "15:00", 2},
        {"hourly", CRIER_CATCH_NONE, "10m", "12:00", "12:00:50", "12:00", "13:00", 0},
        {"hourly", CRIER_CATCH_NONE, "10m", "12:00", "12:02", NULL, "13:00", 1},
        {"hourly", CRIER_CATCH_NONE, "10m", "12:00", "14:02", NULL, "15:00", 3},
        {"hourly", CRIER_CATCH_ONE, "10m", "12:00", "12:10", "12:00", "13:00", 0},
        {"hourly", CRIER_CATCH_ONE, "10m", "12:00", "12:10:00.000001", NULL, "13:00", 1},
        {"hourly", CRIER_CATCH_ONE, "10m", "12:00", "15:05", "15:00", "16:00", 3},
        {"1h", CRIER_CATCH_ONE, "10m", "12:00", "15:05", "15:00", "16:00", 3},
        {"1h", CRIER_CATCH_ONE, "10m", "12:00", "15:15", NULL, "16:00", 4},
        {"hourly", CRIER_CATCH_ALL, "1d", "12:00", "15:05", "12:00", "13:00", 0},
        {"hourly", CRIER_CATCH_ALL, "2h", "12:00", "15:05", "14:00", "15:00", 2},
        {"hourly", CRIER_CATCH_ALL, "1m", "12:00", "15:05", NULL, "16:00", 4},
        {"1h", CRIER_CATCH_ALL, "2h", "12:00", "15:00", "13:00", "14:00", 1},
        /* never more than a hundred */
        {"10s", CRIER_CATCH_ALL, "1w", "10:00:00", "12:00:00", "11:43:30", "11:43:40", 621},
        {"secondly", CRIER_CATCH_ALL, "1w", "10:00:00", "12:00:00", "11:58:21", "11:58:22", 7101},
        {"hourly", CRIER_CATCH_ALL, "0s", "12:00", "12:00", "12:00", "13:00", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char due[40], now[40], want[40], got[32];
        snprintf(due, sizeof due, "2026-11-21T%s", rows[i].due);
        snprintf(now, sizeof now, "2026-11-21T%s", rows[i].now);
        struct crier_period p = parse(rows[i].period);
        struct crier_misfire m = {.catch_up = rows[i].catch_up};
        assert_int_equal(crier_duration_parse(rows[i].grace, &m.grace, NULL), 0);
        uint64_t skipped;
        int64_t next, take = crier_period_take(&p, &m, NULL, at(due), at(now), &next, &skipped);
        snprintf(want, sizeof want, "2026-11-21T%s", rows[i].take ? rows[i].take : "00:00");
        if (take != (rows[i].take ? at(want) : CRIER_NEVER))
            fail_msg("row %zu: took %s", i,
                     take == CRIER_NEVER ? "nothing" : crier_time_rfc3339(take, got));
        snprintf(want, sizeof want, "2026-11-21T%s", rows[i].next);
        if (next != at(want) || skipped != rows[i].skipped)
            fail_msg("row %zu: next %s, %d skipped", i, crier_time_rfc3339(next, got),
                     (int)skipped);
        crier_period_fini(&p);
    }
    /* A random period: never more than a hundred either, whatever is drawn. */
    struct crier_rng rng;
    crier_rng_seed(&rng, 5);
    struct crier_period p = make(CRIER_MS, 10 * CRIER_S);
    struct crier_misfire m = {.catch_up = CRIER_CATCH_ALL, .grace = 7 * DAY};
    for (int round = 0; round < 20; round++) {
        int64_t now = at("2026-11-21"), due = now - 3600 * CRIER_S, next;
        uint64_t skipped, all = 0;
        int sent = 0;
        for (; due <= now; due = next) {
            sent += crier_period_take(&p, &m, &rng, due, now, &next, &skipped) != CRIER_NEVER;
            all += skipped;
        }
        assert_in_range(sent, 30, 100);
        assert_true(all > 300);
    }
}

static void test_misfire_defaults(void **state)
{
    (void)state;
    struct crier_period p = make(10, 10);
    assert_int_equal(crier_misfire_default(&p).catch_up, CRIER_CATCH_NONE);
    p = parse("daily");
    assert_int_equal(crier_misfire_default(&p).catch_up, CRIER_CATCH_ONE);
    assert_int_equal(crier_misfire_default(&p).grace, 600 * CRIER_S);
    crier_period_fini(&p);
    assert_string_equal(crier_catch_up_name(CRIER_CATCH_ALL), "all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),           cmocka_unit_test(test_catch_fixed),
        cmocka_unit_test(test_after_fixed),    cmocka_unit_test(test_against_loop),
        cmocka_unit_test(test_no_drift),       cmocka_unit_test(test_random_ends),
        cmocka_unit_test(test_random_uniform), cmocka_unit_test(test_years),
        cmocka_unit_test(test_overflow),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_removal),        cmocka_unit_test(test_start),
        cmocka_unit_test(test_calendars),      cmocka_unit_test(test_bad_calendars),
        cmocka_unit_test(test_take),           cmocka_unit_test(test_misfire_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
