/* SPDX-License-Identifier: MIT
 *
 * Matches as they are written on a command line: which records they find, and what is said of those
 * that are wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "record/match.h"
#include "record/read.h"

#define MAX_WORDS 6

static struct crier_zone *zone;
static int64_t now; /* Sat 2026-11-21 22:31:10 in Ljubljana, an hour east of UTC */

static int setup(void **state)
{
    struct crier_err err = {0};
    (void)state;
    if (crier_zone_open("Europe/Ljubljana", &zone, &err) != 0)
        return -1;
    return crier_datetime_parse("2026-11-21T22:31:10", zone, &now, &err);
}

static int teardown(void **state)
{
    (void)state;
    crier_zone_unref(zone);
    return 0;
}

#define HEAD "\"id\":\"01KAJ9S3M0000000000000000A\",\"seq\":7,\"node\":\"web-1\","

static const char *const records[] = {
    ['t'] =
        "{" HEAD "\"time\":\"2026-11-21T21:00:00.000000Z\",\"kind\":\"task\",\"level\":\"error\","
        "\"logger\":\"task\",\"text\":\"Task 'fetch' status: 'fail'\",\"ok\":false,"
        "\"task_name\":\"fetch\",\"action\":\"fail\",\"runtime\":75.5,"
        "\"created\":\"2026-11-21T21:00:00.000000Z\"}",
    ['m'] =
        "{" HEAD "\"time\":\"2026-11-20T21:00:00.000000Z\",\"kind\":\"message\",\"level\":\"info\","
        "\"logger\":\"message.gallery\",\"text\":\"gallery #sp edited\",\"ok\":true,"
        "\"name\":\"gallery\",\"guild\":{\"id\":\"863071397207212052\",\"name\":\"Crier\"},"
        "\"success_rate\":1.0,\"runtime\":0.084}",
    ['l'] =
        "{" HEAD "\"time\":\"2026-11-21T21:31:00.000000Z\",\"kind\":\"log\",\"level\":\"warning\","
        "\"logger\":\"bot\",\"text\":\"disk at 91%, in(side)\",\"n\":5,\"word\":\"5\","
        "\"yes\":true,\"said\":\"true\",\"none\":null,\"note\":\"a \\\"b\\\" \\\\ ~c\","
        "\"list\":\"x, y\",\"day\":\"today\",\"big\":\"18446744073709551615\",\"empty\":\"\"}",
};

static struct crier_record *record_of(char which)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    const char *json = records[(int)which];
    if (crier_reader_read(&reader, json, strlen(json), &record, &err) != 0)
        fail_msg("%s", err.text);
    crier_reader_fini(&reader);
    return record;
}

static size_t split(const char *text, char *store, const char **words)
{
    size_t n = 0;
    strcpy(store, text);
    for (char *at = store; at; n++) {
        char *end = strstr(at, " & ");
        if (end)
            *end = '\0';
        words[n] = at;
        at = end ? end + 3 : NULL;
    }
    return n;
}

static int parse(const char *text, struct crier_query **query, struct crier_err *err)
{
    char store[400];
    const char *words[MAX_WORDS];
    size_t n = split(text, store, words);
    *query = crier_query_new(zone);
    return crier_match_add(*query, words, n, zone, now, err);
}

/* Words are parted by " & ". `finds` names the records that match, of t, m and l. */
static const struct {
    const char *words, *finds;
} cases[] = {
    {"kind=task", "t"},
    {"kind=task & kind=message", "tm"},
    {"kind=task & action=fail", "t"},
    {"kind=task & action=run", ""},
    {"action=in(fail,crash)", "t"},
    {"action=in( run , fail )", "t"},
    {"action=in(run)", ""},
    {"action!=in(fail,crash)", "ml"},
    {"action!=fail", "ml"},
    {"kind!=task & kind!=log", "m"},
    {"kind=in(log,task)", "tl"},
    {"level=warning", "l"},
    {"level>=warning", "tl"},
    {"level>20", "tl"},
    {"level<error", "ml"},
    {"level=in(info,error)", "tm"},
    {"ok=true", "m"},
    {"ok=false", "t"},
    {"ok!=true", "tl"},
    {"ok=null", "l"},
    {"guild.id=863071397207212052", "m"},
    {"guild.id=\"863071397207212052\"", "m"},
    {"guild.name=Crier & name=gallery", "m"},
    {"guild.name=crier", ""},
    {"guild.name=like(c%)", "m"},
    {"guild.name!=like(c%)", "tl"},
    {"text=like(%gallery%)", "m"},
    {"text=\"gallery #sp edited\"", "m"},
    {"text=gallery #sp edited", "m"},
    {"n=5", "l"},
    {"word=5", "l"},
    {"n=5.0", "l"},
    {"n=\"5\"", ""},
    {"word=\"5\"", "l"},
    {"n!=5", "tm"},
    {"n!=\"5\"", "tml"},
    {"n>4 & n<=5", "l"},
    {"n>5", ""},
    {"n>=-1e3", "l"},
    {"yes=true", "l"},
    {"said=true", "l"},
    {"said=\"true\"", "l"},
    {"yes=\"true\"", ""},
    {"none=null", "tml"},
    {"empty=", "l"},
    {"note=\"a \\\"b\\\" \\\\ ~c\"", "l"},
    {"list=in(\"x, y\",z)", "l"},
    {"list=in(x, y)", ""},
    {"text=\"in(side)\"", ""},
    {"big=18446744073709551615", "l"},
    {"runtime>1m", "t"},
    {"runtime>1m15s & runtime<1m16s", "t"},
    {"runtime<90ms", "m"},
    {"runtime>0.08 & runtime<1", "m"},
    {"success_rate<0.5", ""},
    {"created>=-1d", "t"},
    {"created>=-30m", ""},
    {"created<now", "t"},
    {"time>=today", "tl"},
    {"time>=yesterday & time<today", "m"},
    {"time<-1d", "m"},
    {"time>=2026-11-21T22:31:00", "l"}, /* in the zone */
    {"time>=2026-11-21T21:31:00Z", "l"},
    {"time>=22:30", "l"},
    {"time=2026-11-21T22:31:00", "l"},
    {"day=today", "l"},
    {"task_name=fetch & name=gallery", ""},
    {"task_name=fetch & task_name=report & level>=error", "t"},
    {"node=web-1", "tml"},
    {"id=01KAJ9S3M0000000000000000A", "tml"},
    {"id>01KAJ9S3M0000000000000000A", ""},
    {"seq>=7", "tml"},
    {"logger>=n", "t"},
    {"text~^gallery", "m"},
    {"text~9\\d%", "l"},
    {"text~Gallery", ""},
    {"text~(?i)Gallery", "m"},
    {"text!~gallery", "tl"},
    {"text~fetch & text~disk", "tl"},
    {"text~fetch & text=like(%disk%)", "tl"},
    {"note~\"b\"", "l"},
    {"guild.id~^8630", "m"},
};

static void test_words_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_query *query;
        struct crier_err err = {0};
        char found[4] = "", *end = found;
        if (parse(cases[i].words, &query, &err) != 0)
            fail_msg("%s: %s", cases[i].words, err.text);
        for (const char *which = "tml"; *which; which++) {
            struct crier_record *record = record_of(*which);
            if (crier_query_match(query, record))
                *end++ = *which;
            crier_record_unref(record);
        }
        if (strcmp(found, cases[i].finds) != 0)
            fail_msg("%s: finds \"%s\", not \"%s\"", cases[i].words, found, cases[i].finds);
        crier_query_free(query);
    }
}

static const struct {
    const char *words, *says;
} faults[] = {
    {"kind", "match 'kind' at 5: expected = != > >= < <= ~ or !~"},
    {"", "match '' at 1: expected the name of a field"},
    {"=task", "match '=task' at 1: expected the name of a field"},
    {"task name=x", "match 'task name=x' at 5: expected no blank in the name of a field"},
    {"kind!task", "match 'kind!task' at 5: expected = != > >= < <= ~ or !~"},
    {"kind==task", "match 'kind==task' at 5: '==' is written '='"},
    {"text=~x", "match 'text=~x' at 5: '=~' is written '~' (a text that begins with ~ goes in "
                "quotes: \"~\")"},
    {"kind=tsk", "match 'kind=tsk' at 6: no such kind, did you mean 'task'? (kinds are log message "
                 "task event system invite)"},
    {"kind=in(log,zzzzzz)", "match 'kind=in(log,zzzzzz)' at 13: no such kind (kinds are log "
                            "message task event system invite)"},
    {"level>=loud", "match 'level>=loud' at 8: no such level (levels are debug info warning error "
                    "critical)"},
    {"level=in(info,x)", "match 'level=in(info,x)' at 15: no such level (levels are debug info "
                         "warning error critical)"},
    {"action=in(fail", "match 'action=in(fail' at 15: expected ',' or ')'"},
    {"action=in()", "match 'action=in()' at 11: expected a value for in(...)"},
    {"action=in(a,)", "match 'action=in(a,)' at 13: expected a value for in(...)"},
    {"action=in(a)b", "match 'action=in(a)b' at 13: expected nothing behind ')'"},
    {"action=in(\"a\"b)", "match 'action=in(\"a\"b)' at 14: expected ',' or ')'"},
    {"action=in(\"a)", "match 'action=in(\"a)' at 14: expected the '\"' that ends the text"},
    {"n>in(1,2)", "match 'n>in(1,2)' at 3: in(...) goes with = or !="},
    {"n<=like(x)", "match 'n<=like(x)' at 4: like(...) goes with = or !="},
    {"text=like(x", "match 'text=like(x' at 12: expected the ')' of like(...)"},
    {"text=\"x", "match 'text=\"x' at 8: expected the '\"' that ends the text"},
    {"text=\"x\"y",
     "match 'text=\"x\"y' at 9: expected nothing behind the '\"' that ends the text"},
    {"ok>true", "match 'ok>true' at 4: nothing is greater or less than true (= and != take it)"},
    {"n>", "match 'n>' at 3: nothing is greater or less than an empty text (= and != take it)"},
    {"created>=1h",
     "match 'created>=1h' at 10: 'created' is a point in time: -1h is that long ago"},
    {"time<tomorrow", "match 'time<tomorrow' at 6: 'time' is a point in time: expected one such as "
                      "2026-11-21T09:00, -1h or today"},
    {"text~", "match 'text~' at 6: expected a regular expression"},
    {"text~(a", "match 'text~(a' at 5: query: 'text': bad regex at byte 3: missing closing "
                "parenthesis"},
};

static void test_faults_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(faults); i++) {
        struct crier_query *query;
        struct crier_err err = {0};
        assert_int_equal(parse(faults[i].words, &query, &err), CRIER_EINVAL);
        assert_string_equal(err.text, faults[i].says);
        crier_query_free(query);
    }
}

static void test_words_and_files_differ(void **state)
{
    (void)state;
    assert_true(crier_match_like("a=b"));
    assert_true(crier_match_like("a>1"));
    assert_true(crier_match_like("a~b"));
    assert_true(crier_match_like("a!b"));
    assert_false(crier_match_like("bot.lua"));
    assert_false(crier_match_like(""));
}

static void test_times(void **state)
{
    static const struct {
        const char *text, *is;
    } times[] = {
        {"now", "2026-11-21T21:31:10.000000Z"},
        {"today", "2026-11-20T23:00:00.000000Z"},
        {"yesterday", "2026-11-19T23:00:00.000000Z"},
        {"1h", "2026-11-21T20:31:10.000000Z"},
        {"-1h", "2026-11-21T20:31:10.000000Z"},
        {"1h ago", "2026-11-21T20:31:10.000000Z"},
        {"1d12h", "2026-11-20T09:31:10.000000Z"},
        {"09:00", "2026-11-21T08:00:00.000000Z"},
        {"9:00", "2026-11-21T08:00:00.000000Z"},
        {"09:00:30", "2026-11-21T08:00:30.000000Z"},
        {"2026-11-21", "2026-11-20T23:00:00.000000Z"},
        {"2026-11-21 09:00", "2026-11-21T08:00:00.000000Z"},
        {"2026-11-21T09:00Z", "2026-11-21T09:00:00.000000Z"},
    };
    static const char *const wrong[] = {"",  "soon", "10",         "1x",          "25:00",   "9:0x",
                                        "-", " ago", "2026-13-01", "09:00:00:00", "1h later"};
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(times); i++) {
        struct crier_err err = {0};
        char text[32];
        int64_t at;
        if (crier_match_time(times[i].text, zone, now, &at, &err) != 0)
            fail_msg("%s: %s", times[i].text, err.text);
        assert_string_equal(crier_time_rfc3339(at, text), times[i].is);
    }
    for (size_t i = 0; i < CRIER_COUNT(wrong); i++) {
        struct crier_err err = {0};
        int64_t at;
        if (crier_match_time(wrong[i], zone, now, &at, &err) == 0)
            fail_msg("'%s' is no time", wrong[i]);
        assert_true(err.text[0]);
    }
}

/* The day before a change of the clocks is 23 or 25 hours long. */
static void test_yesterday_at_a_change_of_the_clocks(void **state)
{
    struct crier_err err = {0};
    char text[32];
    int64_t noon, at;
    (void)state;
    assert_int_equal(crier_datetime_parse("2026-10-26T12:00", zone, &noon, &err), 0);
    assert_int_equal(crier_match_time("yesterday", zone, noon, &at, &err), 0);
    assert_string_equal(crier_time_rfc3339(at, text), "2026-10-24T22:00:00.000000Z");
    assert_int_equal(crier_match_time("today", zone, noon, &at, &err), 0);
    assert_string_equal(crier_time_rfc3339(at, text), "2026-10-25T23:00:00.000000Z");
}

/* What words add stands beside the conditions that are there, also in a group. */
static void test_words_join_what_is_there(void **state)
{
    struct crier_query *query = crier_query_new(zone);
    struct crier_value warning = {.type = CRIER_STR, .s = {"warning", 7}};
    const char *words[] = {"kind=task", "kind=message"};
    struct crier_err err = {0};
    struct crier_record *t = record_of('t'), *m = record_of('m'), *l = record_of('l');
    (void)state;
    assert_int_equal(crier_query_add(query, "level", CRIER_OP_GE, &warning, 1, &err), 0);
    assert_int_equal(crier_match_add(query, words, 2, zone, now, &err), 0);
    assert_true(crier_query_match(query, t));
    assert_false(crier_query_match(query, m));
    assert_false(crier_query_match(query, l));
    crier_query_free(query);
    crier_record_unref(t);
    crier_record_unref(m);
    crier_record_unref(l);
}

/* Whatever the words are: a query that can be asked, or an error that says something. */
static void test_any_words(void **state)
{
    static const char *const parts[] = {"kind", "level", "text",  "a.b",  "in(",  "like(", ")",
                                        ",",    "\"",    "\\",    "=",    "!=",   "!~",    "~",
                                        ">=",   "<",     "1",     "-1d",  "1e9",  " ",     "(",
                                        "[",    "*",     "today", "null", "\xff", "x"};
    struct crier_rng rng;
    struct crier_record *record = record_of('l');
    size_t good = 0;
    (void)state;
    crier_rng_seed(&rng, 3);
    for (int i = 0; i < 30000; i++) {
        char store[3][64];
        const char *words[3];
        size_t count = (size_t)crier_rng_range(&rng, 1, 3);
        for (size_t k = 0; k < count; k++) {
            store[k][0] = '\0';
            for (int64_t n = crier_rng_range(&rng, 0, 7); n > 0; n--)
                strcat(store[k], parts[crier_rng_next(&rng) % CRIER_COUNT(parts)]);
            words[k] = store[k];
        }
        struct crier_query *query = crier_query_new(zone);
        struct crier_err err = {0};
        int rc = crier_match_add(query, words, count, zone, now, &err);
        if (rc == 0) {
            good++;
            (void)crier_query_match(query, record);
        } else {
            assert_int_equal(rc, CRIER_EINVAL);
            assert_memory_equal(err.text, "match '", 7);
        }
        crier_query_free(query);
    }
    assert_true(good > 100);
    crier_record_unref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_find),
        cmocka_unit_test(test_faults_are_told),
        cmocka_unit_test(test_words_and_files_differ),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_yesterday_at_a_change_of_the_clocks),
        cmocka_unit_test(test_words_join_what_is_there),
        cmocka_unit_test(test_any_words),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
