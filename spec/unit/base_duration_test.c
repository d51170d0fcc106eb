/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"

static void durations(void **state)
{
    (void)state;
    const struct {
        const char *in;
        int64_t us;
        const char *out;
    } cases[] = {
        {"10s", 10 * CRIER_S, "10s"},
        {"1m30s", 90 * CRIER_S, "1m30s"},
        {"500ms", 500 * CRIER_MS, "500ms"},
        {"1.5ms", 1500, "1.5ms"},
        {"0s", 0, "0s"},
        {"0.5s", 500 * CRIER_MS, "500ms"},
        {".5s", 500 * CRIER_MS, "500ms"},
        {"1.25s", 1250 * CRIER_MS, "1.25s"},
        {"0.000001s", 1, "0.001ms"},
        {"1.5h", 5400 * CRIER_S, "1h30m"},
        {"2 h", 7200 * CRIER_S, "2h"},
        {"1h 30m 0.5s", 5400500 * CRIER_MS, "1h30m0.5s"},
        {" 5s ", 5 * CRIER_S, "5s"},
        {"90s", 90 * CRIER_S, "1m30s"},
        {"36h", 36 * 3600 * CRIER_S, "1d12h"},
        {"1d", 86400 * CRIER_S, "1d"},
        {"2w", 14 * 86400 * CRIER_S, "2w"},
        {"8d", 8 * 86400 * CRIER_S, "8d"},
        {"1w2d3h4m5s6ms", 788645006 * CRIER_MS, "9d3h4m5.006s"},
        {"3652425d", 3652425 * 86400LL * CRIER_S, "521775w"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        int64_t us = -1, again = -1;
        char text[48];
        assert_int_equal(crier_duration_parse(cases[i].in, &us, NULL), 0);
        assert_int_equal(us, cases[i].us);
        assert_string_equal(crier_duration_text(us, text), cases[i].out);
        assert_int_equal(crier_duration_parse(text, &again, NULL), 0);
        assert_int_equal(again, us);
    }
    char text[48];
    assert_string_equal(crier_duration_text(-90 * CRIER_S, text), "-1m30s");
    assert_string_equal(crier_duration_text(CRIER_S, text), "1s");
    crier_duration_text(INT64_MIN, text);
    crier_duration_text(INT64_MAX, text);
    assert_string_equal(text, "106751991d4h54.775807s");
}

static void bad_durations(void **state)
{
    (void)state;
#define EXPECTED "expected a duration such as \"10s\" or \"1m30s\", got "
#define UNITS " (units are ms s m h d w)"
#define ORDER " (units go from large to small, each once: w d h m s ms)"
    const struct {
        const char *in, *text;
    } cases[] = {
        {"10", EXPECTED "\"10\"" UNITS},
        {"", EXPECTED "\"\"" UNITS},
        {"s", EXPECTED "\"s\"" UNITS},
        {".s", EXPECTED "\".s\"" UNITS},
        {"10x", EXPECTED "\"10x\"" UNITS},
        {"10S", EXPECTED "\"10S\"" UNITS},
        {"10sec", EXPECTED "\"10sec\"" UNITS},
        {"-5s", EXPECTED "\"-5s\"" UNITS},
        {"1m30", EXPECTED "\"1m30\"" UNITS},
        {"5s!", EXPECTED "\"5s!\"" UNITS},
        {"1e3s", EXPECTED "\"1e3s\"" UNITS},
        {"30s1m", EXPECTED "\"30s1m\"" ORDER},
        {"1m2m", EXPECTED "\"1m2m\"" ORDER},
        {"3652426d", "the duration \"3652426d\" is too long (at most 10,000 years)"},
        {"99999999999999999999999s",
         "the duration \"99999999999999999999999s\" is too long (at most 10,000 years)"},
        {"521775w3d1s", "the duration \"521775w3d1s\" is too long (at most 10,000 years)"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_err err = {0};
        int64_t us = 77;
        assert_int_equal(crier_duration_parse(cases[i].in, &us, &err), CRIER_EINVAL);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(us, 77);
    }
}

static void durations_from_numbers(void **state)
{
    (void)state;
    int64_t us = 0;
    struct crier_err err = {0};
    assert_int_equal(crier_duration_from_seconds(1.5, &us, &err), 0);
    assert_int_equal(us, 1500000);
    assert_int_equal(crier_duration_from_seconds(0, &us, &err), 0);
    assert_int_equal(us, 0);
    assert_int_equal(crier_duration_from_seconds(0.0000014, &us, &err), 0);
    assert_int_equal(us, 1);
    assert_int_equal(crier_duration_from_seconds(-1, &us, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "expected a duration, a number of seconds from 0 up, got -1");
    assert_int_equal(crier_duration_from_seconds(NAN, &us, &err), CRIER_EINVAL);
    assert_int_equal(crier_duration_from_seconds(INFINITY, &us, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "a duration of inf seconds is too long (at most 10,000 years)");
    assert_int_equal(crier_duration_from_seconds(1e15, &us, &err), CRIER_EINVAL);
}

static void sizes(void **state)
{
    (void)state;
    const struct {
        const char *in;
        int64_t bytes;
    } cases[] = {
        {"256MiB", 256 << 20}, {"64KB", 64000}, {"10 MiB", 10 << 20}, {"1.5GiB", 3LL << 29},
        {"1024", 1024},        {"0B", 0},       {" 3 B ", 3},         {"2GB", 2000000000},
        {"2MB", 2000000},      {"1KiB", 1024},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        int64_t bytes = -1;
        assert_int_equal(crier_size_parse(cases[i].in, &bytes, NULL), 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
    static const char *const bad[] = {"", "MiB", "10 mib", "10TB", "-1", "1KiB2", "1KiB 2KiB", "x"};
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        int64_t bytes;
        struct crier_err err = {0};
        assert_int_equal(crier_size_parse(bad[i], &bytes, &err), CRIER_EINVAL);
        char expect[200];
        snprintf(expect, sizeof expect,
                 "expected a size such as \"64KiB\" or \"256MiB\", got "
                 "\"%s\" (units are B KB MB GB KiB MiB GiB)",
                 bad[i]);
        assert_string_equal(err.text, expect);
    }
    int64_t bytes;
    struct crier_err err = {0};
    assert_int_equal(crier_size_parse("9999999999999GiB", &bytes, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "the size \"9999999999999GiB\" is too large");
    assert_int_equal(crier_size_parse("99999999999999999999", &bytes, &err), CRIER_EINVAL);
}

/* Local times that do not exist or come twice. */
static void gaps_and_folds(void **state)
{
    (void)state;
    const struct {
        const char *zone, *local, *utc;
    } cases[] = {
        {"Europe/Ljubljana", "2026-03-29T01:59:59", "2026-03-29T00:59:59.000000Z"},
        {"Europe/Ljubljana", "2026-03-29T02:00", "2026-03-29T01:00:00.000000Z"}, /* gap */
        {"Europe/Ljubljana", "2026-03-29T02:30:15.25", "2026-03-29T01:00:00.000000Z"},
        {"Europe/Ljubljana", "2026-03-29T03:00:00.25", "2026-03-29T01:00:00.250000Z"},
        {"Europe/Ljubljana", "2026-10-25T01:59", "2026-10-24T23:59:00.000000Z"},
        {"Europe/Ljubljana", "2026-10-25T02:30", "2026-10-25T00:30:00.000000Z"}, /* fold */
        {"Europe/Ljubljana", "2026-10-25T03:00", "2026-10-25T02:00:00.000000Z"},
        {"Europe/Ljubljana", "2026-07-01", "2026-06-30T22:00:00.000000Z"},
        {"Europe/Ljubljana", "2050-07-01", "2050-06-30T22:00:00.000000Z"}, /* behind the tables */
        {"America/New_York", "2026-03-08T02:30", "2026-03-08T07:00:00.000000Z"},
        {"America/New_York", "2026-11-01T01:30", "2026-11-01T05:30:00.000000Z"},
        {"America/New_York", "2026-11-01T02:00", "2026-11-01T07:00:00.000000Z"},
        {"Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30:00.000000Z"}, /* 30 minutes */
        {"Australia/Lord_Howe", "2026-10-04T02:30", "2026-10-03T15:30:00.000000Z"},
        {"Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45:00.000000Z"},
        {"Australia/Lord_Howe", "2026-04-05T02:00", "2026-04-04T15:30:00.000000Z"},
        {"Europe/Dublin", "2026-10-25T01:30", "2026-10-25T00:30:00.000000Z"}, /* negative DST */
        {"Europe/Moscow", "2014-10-26T01:30", "2014-10-25T21:30:00.000000Z"}, /* standard changed */
        {"Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00:00.000000Z"},  /* a day left out */
        {"UTC", "2026-03-29T02:30", "2026-03-29T02:30:00.000000Z"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_zone *zone = NULL;
        int64_t wall;
        char text[32];
        assert_int_equal(crier_zone_open(cases[i].zone, &zone, NULL), 0);
        assert_int_equal(crier_datetime_parse(cases[i].local, zone, &wall, NULL), 0);
        assert_string_equal(crier_time_rfc3339(wall, text), cases[i].utc);
        crier_zone_unref(zone);
    }
}

/* Every quarter of an hour of two years: what civil_at says, civil_to_wall finds again, except for
 * the second pass of a fold. */
static void civil_times_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"Europe/Ljubljana", "America/New_York",
                                        "Australia/Lord_Howe", "UTC"};
    for (size_t i = 0; i < CRIER_COUNT(names); i++) {
        struct crier_zone *zone = NULL;
        assert_int_equal(crier_zone_open(names[i], &zone, NULL), 0);
        assert_string_equal(crier_zone_name(zone), names[i]);
        int second_passes = 0;
        const int64_t step = 900 * CRIER_S, start = 1767225600 * CRIER_S;
        for (int64_t wall = start; wall < start + 730 * 96 * step; wall += step) {
            struct crier_civil civil;
            int64_t again;
            crier_civil_at(zone, wall + 123456, &civil);
            assert_int_equal(crier_civil_to_wall(zone, &civil, &again, NULL), 0);
            if (again != wall + 123456) {
                assert_true(again < wall);
                second_passes++;
            }
        }
        /* Two folds of an hour, of half an hour, none. */
        static const int expected[] = {8, 8, 4, 0};
        assert_int_equal(second_passes, expected[i]);
        crier_zone_unref(zone);
    }
}

static void civil_fields(void **state)
{
    (void)state;
    struct crier_zone *zone = NULL;
    struct crier_civil c;
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &zone, NULL), 0);
    crier_civil_at(zone, 1795300270123456, &c);
    assert_int_equal(c.year, 2026);
    assert_int_equal(c.month, 11);
    assert_int_equal(c.day, 21);
    assert_int_equal(c.hour, 23);
    assert_int_equal(c.minute, 31);
    assert_int_equal(c.second, 10);
    assert_int_equal(c.micros, 123456);
    assert_int_equal(c.weekday, 6);
    assert_int_equal(c.offset, 3600);
    crier_civil_at(zone, -1, &c); /* before the epoch rounds down */
    assert_int_equal(c.year, 1970);
    assert_int_equal(c.hour, 0);
    assert_int_equal(c.second, 59);
    assert_int_equal(c.micros, 999999);
    assert_int_equal(c.weekday, 4);

    struct crier_err err = {0};
    int64_t wall;
    c = (struct crier_civil){.year = 2024, .month = 2, .day = 29};
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), 0);
    c.year = 2026;
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "day 29 is out of range (1 to 28)");
    c = (struct crier_civil){.year = 2100, .month = 2, .day = 29};
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), CRIER_EINVAL);
    c = (struct crier_civil){.year = 2026, .month = 13, .day = 1};
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "month 13 is out of range (1 to 12)");
    c = (struct crier_civil){.year = 2026, .month = 1, .day = 1, .hour = 24};
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), CRIER_EINVAL);
    c = (struct crier_civil){.year = 0, .month = 1, .day = 1};
    assert_int_equal(crier_civil_to_wall(zone, &c, &wall, &err), CRIER_EINVAL);
    crier_zone_unref(zone);
}

static void zones(void **state)
{
    (void)state;
    struct crier_zone *zone = NULL;
    struct crier_err err = {0};
    static const char *const bad[] = {"Mars/Base",        "Europe",          "",
                                      "../../etc/passwd", "/etc/passwd",     "Europe/Ljubljana\n",
                                      "Europe/../UTC",    "europe ljubljana"};
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        assert_int_equal(crier_zone_open(bad[i], &zone, &err), CRIER_ENOTFOUND);
        assert_null(zone);
    }
    assert_int_equal(crier_zone_open("Mars/Base", &zone, &err), CRIER_ENOTFOUND);
    assert_string_equal(err.text, "unknown time zone \"Mars/Base\" (expected an IANA name such as "
                                  "\"Europe/Ljubljana\", or \"UTC\" or \"local\")");
    setenv("TZ", "America/New_York", 1);
    struct crier_civil c;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crier_zone_open(i ? "local" : NULL, &zone, NULL), 0);
        crier_civil_at(zone, 1795300270000000, &c);
        assert_int_equal(c.offset, -5 * 3600);
        struct crier_zone *same = crier_zone_ref(zone);
        crier_zone_unref(zone);
        assert_string_equal(crier_zone_name(same), "America/New_York");
        crier_zone_unref(same);
    }
    crier_zone_unref(NULL);
}

static void datetimes(void **state)
{
    (void)state;
    struct crier_zone *zone = NULL;
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &zone, NULL), 0);
    const struct {
        const char *in, *utc;
    } cases[] = {
        {"2026-11-21", "2026-11-20T23:00:00.000000Z"},
        {"2026-11-21T09:00", "2026-11-21T08:00:00.000000Z"},
        {"2026-11-21 09:00:30.5", "2026-11-21T08:00:30.500000Z"},
        {"2026-11-21t09:00:30.123456789z", "2026-11-21T09:00:30.123456Z"},
        {"2026-11-21T09:00Z", "2026-11-21T09:00:00.000000Z"},
        {"2026-11-21T09:00+02:00", "2026-11-21T07:00:00.000000Z"},
        {"2026-11-21T09:00-0530", "2026-11-21T14:30:00.000000Z"},
        {"2026-11-21T09:00+01", "2026-11-21T08:00:00.000000Z"},
        {"2026-11-21Z", "2026-11-21T00:00:00.000000Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"2000-02-29T00:00Z", "2000-02-29T00:00:00.000000Z"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        int64_t wall;
        char text[32];
        assert_int_equal(crier_datetime_parse(cases[i].in, zone, &wall, NULL), 0);
        assert_string_equal(crier_time_rfc3339(wall, text), cases[i].utc);
    }
    static const char *const bad[] = {
        "",
        "2026",
        "2026-1-2",
        "2026-11-21T",
        "2026-11-21T9:00",
        "21.11.2026",
        "2026-11-21T09",
        "2026-11-21T09:00:",
        "2026-11-21T09:00:00.",
        "tomorrow",
        "2026-11-21T09:00 UTC",
        "2026-11-21T09:00+2",
        "2026-11-21T09:00+24:00",
        "2026-11-21 ",
    };
    struct crier_err err = {0};
    int64_t wall = 5;
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        char expect[200];
        snprintf(expect, sizeof expect,
                 "expected a date such as \"2026-11-21\" or "
                 "\"2026-11-21T09:00\", got \"%s\"",
                 bad[i]);
        assert_int_equal(crier_datetime_parse(bad[i], zone, &wall, &err), CRIER_EINVAL);
        assert_string_equal(err.text, expect);
    }
    assert_int_equal(crier_datetime_parse("2026-02-31", zone, &wall, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "bad date \"2026-02-31\": day 31 is out of range (1 to 28)");
    assert_int_equal(crier_datetime_parse("2026-02-31T25:00Z", zone, &wall, &err), CRIER_EINVAL);
    assert_int_equal(crier_datetime_parse("2026-02-01T25:00Z", zone, &wall, &err), CRIER_EINVAL);
    assert_string_equal(err.text,
                        "bad date \"2026-02-01T25:00Z\": hour 25 is out of range (0 to 23)");
    assert_int_equal(wall, 5);
    assert_true(crier_datetime_like("2026-11-21"));
    assert_false(crier_datetime_like("10s"));
    assert_false(crier_datetime_like("2026"));
    assert_false(crier_datetime_like(""));
    crier_zone_unref(zone);
}

static void texts(void **state)
{
    (void)state;
    struct crier_zone *zone = NULL;
    char text[32];
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &zone, NULL), 0);
    assert_string_equal(crier_time_rfc3339(1795300270123456, text), "2026-11-21T22:31:10.123456Z");
    /* Again within the second, and into the next. */
    assert_string_equal(crier_time_rfc3339(1795300270000009, text), "2026-11-21T22:31:10.000009Z");
    assert_string_equal(crier_time_rfc3339(1795300271000000, text), "2026-11-21T22:31:11.000000Z");
    assert_string_equal(crier_time_rfc3339(0, text), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(crier_time_rfc3339(-1, text), "1969-12-31T23:59:59.999999Z");
    assert_string_equal(crier_time_rfc3339(-999999, text), "1969-12-31T23:59:59.000001Z");
    assert_string_equal(crier_time_rfc3339(-1000001, text), "1969-12-31T23:59:58.999999Z");
    assert_string_equal(crier_time_rfc3339(CRIER_NEVER, text), "9999-12-31T00:00:00.000000Z");
    assert_string_equal(crier_time_rfc3339(INT64_MIN, text), "0001-01-02T00:00:00.000000Z");
    assert_string_equal(crier_time_dayfile(zone, 1653323295999999, text), "23.05.2022 18:28:15");
    assert_string_equal(crier_time_human(zone, 1795300270123456, text), "Sat 21 Nov 23:31:10");
    assert_string_equal(crier_time_human(zone, CRIER_NEVER, text), "Fri 31 Dec 01:00:00");
    crier_zone_unref(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(bad_durations),
        cmocka_unit_test(durations_from_numbers),
        cmocka_unit_test(sizes),
        cmocka_unit_test(gaps_and_folds),
        cmocka_unit_test(civil_times_round_trip),
        cmocka_unit_test(civil_fields),
        cmocka_unit_test(zones),
        cmocka_unit_test(datetimes),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
