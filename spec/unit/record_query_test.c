/* SPDX-License-Identifier: MIT
 *
 * Queries: one table of conditions and whether the record below meets them.
 */
#include "record_support.h"

#include <math.h>

#include "record/query.h"

#define LIT(s) (s), sizeof(s) - 1
#define FLAKE 863071397207212052u

static struct crier_value S(const char *s)
{
    return (struct crier_value){.type = CRIER_STR, .s = {s, strlen(s)}};
}
static struct crier_value I(int64_t i)
{
    return (struct crier_value){.type = CRIER_INT, .i = i};
}
static struct crier_value N(double n)
{
    return (struct crier_value){.type = CRIER_NUM, .n = n};
}
static struct crier_value F(uint64_t u)
{
    return (struct crier_value){.type = CRIER_SNOWFLAKE, .u = u};
}
static struct crier_value T(int64_t us)
{
    return (struct crier_value){.type = CRIER_TIME, .i = us};
}
static struct crier_value Z(void)
{
    return (struct crier_value){.type = CRIER_NULL};
}
static struct crier_value B(bool v)
{
    return (struct crier_value){.type = v ? CRIER_TRUE : CRIER_FALSE};
}

static struct crier_record *sample(void)
{
    crier_build_begin(&b, CRIER_KIND_MESSAGE, CRIER_LEVEL_WARNING, WALL);
    crier_build_text(&b, LIT("gallery #sp edited"));
    crier_build_ok(&b, false);
    CRIER_B_INT(&b, "requests", 3);
    CRIER_B_INT(&b, "big", INT64_MAX);
    CRIER_B_NUM(&b, "rate", 0.5);
    CRIER_B_TIME(&b, "created", -1500000);
    CRIER_B_STR(&b, "when", "2025-11-21T22:31:10.123456Z");
    CRIER_B_STR(&b, "digits", "863071397207212052");
    CRIER_B_STR(&b, "percent", "100% \\o/ \xc5\xa0port");
    crier_build_null(&b, LIT("nothing"));
    CRIER_B_BOOL(&b, "yes", true);
    CRIER_B_OPEN(&b, "guild", CRIER_OBJECT);
    CRIER_B_SNOWFLAKE(&b, "id", FLAKE);
    crier_build_close(&b);
    return crier_build_end(&b);
}

static void conditions(void **state)
{
    (void)state;
    enum { EQ, NE, GT, GE, LT, LE, RANGE, ONE_OF, LIKE, REGEX };
    const struct {
        const char *path;
        int op;
        struct crier_value v[3];
        size_t n;
        bool want;
    } cases[] = {
        {"kind", EQ, {S("message")}, 1, true},
        {"kind", EQ, {S("log")}, 1, false},
        {"kind", NE, {S("log")}, 1, true},
        {"kind", ONE_OF, {S("log"), S("message")}, 2, true},
        {"kind", ONE_OF, {Z()}, 0, false},
        {"kind", LIKE, {S("MESS%")}, 1, true},
        {"ok", EQ, {B(false)}, 1, true},
        {"ok", EQ, {B(true)}, 1, false},
        {"ok", EQ, {I(0)}, 1, false},
        {"yes", GT, {B(false)}, 1, true},
        {"sim", EQ, {B(false)}, 1, true},
        {"seq", EQ, {I(1)}, 1, true},
        {"node", EQ, {S("web-1")}, 1, true},
        {"where", EQ, {Z()}, 1, true},
        /* level: by severity, whatever its spelling */
        {"level", EQ, {S("warning")}, 1, true},
        {"level", EQ, {S("WARN")}, 1, true},
        {"level", EQ, {I(30)}, 1, true},
        {"level", EQ, {N(30)}, 1, true},
        {"level", GE, {S("error")}, 1, false},
        {"level", GE, {S("info")}, 1, true},
        {"level", LT, {I(31)}, 1, true},
        {"level", RANGE, {S("info"), S("error")}, 2, true},
        {"level", RANGE, {S("error"), Z()}, 2, false},
        {"level", EQ, {S("loud")}, 1, false},
        {"level", NE, {S("loud")}, 1, true},
        {"level", LIKE, {S("warn%")}, 1, true},
        /* numbers */
        {"requests", EQ, {N(3)}, 1, true},
        {"requests", GT, {N(2.9)}, 1, true},
        {"requests", LT, {N(2.9)}, 1, false},
        {"requests", LT, {N(INFINITY)}, 1, true},
        {"requests", GT, {N(-INFINITY)}, 1, true},
        {"requests", EQ, {N(NAN)}, 1, false},
        {"requests", NE, {N(NAN)}, 1, true},
        {"requests", LE, {N(NAN)}, 1, false},
        {"requests", GE, {N(NAN)}, 1, false},
        {"requests", EQ, {S("3")}, 1, false},
        {"requests", GT, {S("2")}, 1, false},
        {"requests", LE, {S("4")}, 1, false},
        {"requests", NE, {S("3")}, 1, true},
        {"requests", LIKE, {S("3")}, 1, false},
        {"requests", RANGE, {I(3), I(3)}, 2, true},
        {"requests", RANGE, {I(4), Z()}, 2, false},
        {"requests", RANGE, {Z(), I(4)}, 2, true},
        {"requests", RANGE, {Z(), I(2)}, 2, false},
        {"requests", RANGE, {Z(), Z()}, 2, true},
        {"requests", RANGE, {I(1), S("9")}, 2, false},
        {"big", LT, {N(0x1p63)}, 1, true},
        {"big", EQ, {N(0x1p63)}, 1, false},
        {"big", GT, {I(INT64_MAX - 1)}, 1, true},
        {"big", LT, {F(1ull << 63)}, 1, true},
        {"rate", EQ, {N(0.5)}, 1, true},
        {"rate", LT, {I(1)}, 1, true},
        {"rate", GT, {I(0)}, 1, true},
        /* times */
        {"time", EQ, {T(WALL)}, 1, true},
        {"time", EQ, {N(1763764270.123456)}, 1, true},
        {"time", GT, {I(1763764270)}, 1, true},
        {"time", LT, {I(1763764271)}, 1, true},
        {"time", EQ, {I(1763764270)}, 1, false},
        {"time", EQ, {S("2025-11-21T22:31:10.123456Z")}, 1, true},
        {"time", EQ, {S("2025-11-21T23:31:10.123456+01:00")}, 1, true},
        {"time", RANGE, {S("2025-11-21"), S("2025-11-22")}, 2, true},
        {"time", GT, {S("2025-11-22")}, 1, false},
        {"time", GT, {S("yesterday")}, 1, false},
        {"time", NE, {S("yesterday")}, 1, true},
        {"created", GT, {I(-2)}, 1, true},
        {"created", LT, {I(-1)}, 1, true},
        {"created", EQ, {N(-1.5)}, 1, true},
        {"created", LT, {N(1e300)}, 1, true},
        {"created", LT, {F(1)}, 1, true},
        {"when", EQ, {T(WALL)}, 1, true},
        {"when", GT, {T(WALL)}, 1, false},
        {"text", LT, {T(WALL)}, 1, false},
        /* snowflakes */
        {"guild.id", EQ, {F(FLAKE)}, 1, true},
        {"guild.id", EQ, {I(FLAKE)}, 1, true},
        {"guild.id", EQ, {S("863071397207212052")}, 1, true},
        {"guild.id", EQ, {S("863071397207212053")}, 1, false},
        {"guild.id", EQ, {S("86307139720721205x")}, 1, false},
        {"guild.id", EQ, {S("")}, 1, false},
        {"guild.id", EQ, {S("99999999999999999999")}, 1, false},
        {"guild.id", EQ, {S("19309815470916763668")}, 1, false}, /* 2^64 more */
        {"guild.id", ONE_OF, {S("1"), S("863071397207212052")}, 2, true},
        {"guild.id", EQ, {N(863071397207212052.0)}, 1, false}, /* a double cannot hold it */
        {"guild.id", GT, {I(-1)}, 1, true},
        {"guild.id", LIKE, {S("8630%052")}, 1, true},
        {"digits", EQ, {F(FLAKE)}, 1, true},
        {"digits", EQ, {I(FLAKE)}, 1, false},
        /* null, missing, other kinds */
        {"nothing", EQ, {Z()}, 1, true},
        {"missing", EQ, {Z()}, 1, true},
        {"requests", EQ, {Z()}, 1, false},
        {"requests", NE, {Z()}, 1, true},
        {"missing", NE, {Z()}, 1, false},
        {"missing", NE, {I(3)}, 1, true},
        {"missing", LT, {I(3)}, 1, false},
        {"nothing", LE, {Z()}, 1, false},
        {"missing", RANGE, {Z(), Z()}, 2, false},
        {"missing", ONE_OF, {I(1), Z()}, 2, true},
        {"missing", LIKE, {S("%")}, 1, false},
        {"guild", EQ, {S("x")}, 1, false},
        {"guild", NE, {S("x")}, 1, true},
        {"guild.name", NE, {S("x")}, 1, true},
        /* strings */
        {"text", GT, {S("gallery")}, 1, true},
        {"text", LT, {S("gallerz")}, 1, true},
        {"text", EQ, {S("Gallery #sp edited")}, 1, false},
        {"text", LIKE, {S("Gallery #sp edited")}, 1, true},
        {"text", LIKE, {S("gallery")}, 1, false},
        {"text", LIKE, {S("%")}, 1, true},
        {"text", LIKE, {S("%%ed")}, 1, true},
        {"text", LIKE, {S("%edit")}, 1, false},
        {"text", LIKE, {S("%e%e%")}, 1, true},
        {"text", LIKE, {S("_allery%_")}, 1, true},
        {"text", LIKE, {S("%edited_")}, 1, false},
        {"text", LIKE, {S("")}, 1, false},
        {"percent", LIKE, {S("100\\% \\\\O/ _port")}, 1, true},
        {"percent", LIKE, {S("100\\%")}, 1, false},
        {"percent", LIKE, {S("100_ %_port")}, 1, true},
        {"percent", LIKE, {S("%__port")}, 1, true},
        {"percent", LIKE, {S("100% \\\\o/ __port")}, 1, false},
        {"percent", LIKE, {S("%\xc5\xa0%")}, 1, true},
        {"percent", LIKE, {S("%port\\")}, 1, false},
        /* regex: somewhere in the text, with case; letters are Unicode's */
        {"text", REGEX, {S("#sp")}, 1, true},
        {"text", REGEX, {S("^gallery .* edited$")}, 1, true},
        {"text", REGEX, {S("^#sp")}, 1, false},
        {"text", REGEX, {S("GALLERY")}, 1, false},
        {"text", REGEX, {S("(?i)GALLERY")}, 1, true},
        {"text", REGEX, {S("(l)\\1")}, 1, true},
        {"text", REGEX, {S("")}, 1, true},
        {"percent", REGEX, {S("^100% \\\\o/ \\w{5}$")}, 1, true},
        {"percent", REGEX, {S(" .port$")}, 1, true},
        {"percent", REGEX, {S("(?i)\xc5\xa1PORT")}, 1, true},
        {"guild.id", REGEX, {S("^8630\\d+2$")}, 1, true},
        {"level", REGEX, {S("^(warning|error)$")}, 1, true},
        {"kind", REGEX, {S("^me")}, 1, true},
        {"requests", REGEX, {S("3")}, 1, false},
        {"missing", REGEX, {S("")}, 1, false},
    };
    struct crier_record *r = sample();
    struct crier_zone *utc;
    assert_int_equal(crier_zone_open("UTC", &utc, NULL), 0);
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_query *q = crier_query_new(utc);
        struct crier_err err = {0};
        if (crier_query_add(q, cases[i].path, (enum crier_op)cases[i].op, cases[i].v, cases[i].n,
                            &err))
            fail_msg("case %zu (%s): %s", i, cases[i].path, err.text);
        if (crier_query_match(q, r) != cases[i].want)
            fail_msg("case %zu (%s, operator %d): not %d", i, cases[i].path, cases[i].op,
                     cases[i].want);
        crier_query_free(q);
    }
    crier_zone_unref(utc);
    crier_record_unref(r);
}

/* A time that went through Lua's seconds is still the same microsecond. */
static void seconds(void **state)
{
    (void)state;
    for (int64_t us = 0; us < 3000; us++) {
        crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, us);
        struct crier_record *r = crier_build_end(&b);
        struct crier_query *q = crier_query_new(NULL);
        struct crier_value v = N((double)us / 1e6);
        assert_int_equal(crier_query_add(q, "time", CRIER_OP_EQ, &v, 1, NULL), 0);
        assert_true(crier_query_match(q, r));
        crier_query_free(q);
        crier_record_unref(r);
    }
}

/* Without a zone a date that names none is only a text. */
static void no_zone(void **state)
{
    (void)state;
    struct crier_record *r = sample();
    struct crier_value v[] = {S("2025-11-21"), S("2025-11-21T00:00:00Z")};
    for (size_t i = 0; i < 2; i++) {
        struct crier_query *q = crier_query_new(NULL);
        assert_int_equal(crier_query_add(q, "time", CRIER_OP_GT, &v[i], 1, NULL), 0);
        assert_int_equal(crier_query_match(q, r), i == 1);
        crier_query_free(q);
    }
    crier_record_unref(r);
}

static void refused(void **state)
{
    (void)state;
    struct crier_query *q = crier_query_new(NULL);
    struct crier_err err = {0};
    struct crier_value v[] = {I(1), I(2)};
    struct crier_value object = {.type = CRIER_OBJECT};
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_RANGE, v, 1, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "query: 'a': expected 2 values, got 1");
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_EQ, v, 2, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "query: 'a': expected 1 value, got 2");
    assert_int_equal(crier_query_add(q, "", CRIER_OP_EQ, v, 1, &err), CRIER_EINVAL);
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_ANY, v, 1, &err), CRIER_EINVAL);
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_EQ, &object, 1, &err), CRIER_EINVAL);
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_LIKE, v, 1, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "query: 'a': like needs a text such as \"%word%\"");
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_REGEX, v, 1, &err), CRIER_EINVAL);
    struct crier_value pattern = S("ab(c");
    assert_int_equal(crier_query_add(q, "a", CRIER_OP_REGEX, &pattern, 1, &err), CRIER_EINVAL);
    assert_string_equal(err.text, "query: 'a': bad regex at byte 5: missing closing parenthesis");
    assert_int_equal(crier_query_since(q, "time", "10", WALL, &err), CRIER_EINVAL);
    assert_non_null(strstr(err.text, "query: 'time': since: expected a duration such as"));
    assert_int_equal(q->count, 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(crier_query_open(q, CRIER_OP_ALL, &err), 0);
    assert_int_equal(crier_query_open(q, CRIER_OP_ALL, &err), CRIER_ELIMIT);
    crier_query_free(q);
}

/* A pattern that needs for ever is given up, and told: the query has no answer. */
static void slow_regex(void **state)
{
    (void)state;
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value pattern = S("^(a+)+$");
    struct crier_err err = {0};
    char text[60];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, WALL);
    crier_build_text(&b, text, sizeof text);
    struct crier_record *slow = crier_build_end(&b), *plain = sample();
    assert_int_equal(crier_query_add(q, "text", CRIER_OP_REGEX, &pattern, 1, &err), 0);
    assert_false(crier_query_match(q, plain));
    assert_int_equal(crier_query_fault(q, &err), 0);
    assert_int_equal(crier_query_try(q, plain, &err), 0);
    assert_int_equal(crier_query_try(q, slow, &err), CRIER_ELIMIT);
    assert_int_equal(crier_query_try(q, plain, &err), 0); /* a rule goes on */
    for (int i = 0; i < 10000; i++) /* minutes, were it tried each time */
        assert_false(crier_query_match(q, slow));
    assert_int_equal(crier_query_fault(q, &err), CRIER_ELIMIT);
    assert_non_null(strstr(err.text, "query: 'text': the regex took too long"));
    size_t count = 1;
    struct crier_record **list = malloc(sizeof *list);
    list[0] = crier_record_ref(plain);
    assert_int_equal(crier_query_finish(q, &list, &count, &err), CRIER_ELIMIT);
    assert_int_equal(count, 0);
    crier_query_free(q);
    crier_record_unref(slow);
    crier_record_unref(plain);
}

static void since(void **state)
{
    (void)state;
    struct crier_record *r = sample(); /* at WALL */
    const struct {
        const char *ago;
        int64_t now;
        bool want;
    } cases[] = {
        {"1d", WALL + 3600000000, true},
        {"1h", WALL + 3600000000, true}, /* to the microsecond */
        {"1h", WALL + 3600000001, false},
        {"0s", WALL, true},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_query *q = crier_query_new(NULL);
        assert_int_equal(crier_query_since(q, "time", cases[i].ago, cases[i].now, NULL), 0);
        assert_int_equal(crier_query_match(q, r), cases[i].want);
        crier_query_free(q);
    }
    crier_record_unref(r);
}

/* A query in letters: t and f are conditions that are true and false; & | ! open a group of all,
 * any, no; ) closes one. */
static bool letters(const struct crier_record *r, const char *text)
{
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value message = S("message");
    for (; *text; text++) {
        int rc = 0;
        if (*text == ')')
            crier_query_close(q);
        else if (*text == 't' || *text == 'f')
            rc = crier_query_add(q, "kind", *text == 't' ? CRIER_OP_EQ : CRIER_OP_NE, &message, 1,
                                 NULL);
        else
            rc = crier_query_open(q,
                                  *text == '&'   ? CRIER_OP_ALL
                                  : *text == '|' ? CRIER_OP_ANY
                                                 : CRIER_OP_NO,
                                  NULL);
        assert_int_equal(rc, 0);
    }
    bool yes = crier_query_match(q, r);
    crier_query_free(q);
    return yes;
}

static void groups(void **state)
{
    (void)state;
    struct crier_record *r = sample();
    static const char *const yes[] = {"",      "t",     "tt",      "|ft)",       "|tf)t",
                                      "!f)",   "!ff)",  "&)",      "!)",         "&tt)",
                                      "!|ff))", "|&ft)t)", "|f!f))", "t|f&tt)f)t", "|ff|ft))",
                                      "!&tf))"};
    static const char *const no[] = {"f",       "tf",    "|ff)", "|)",      "!t)",
                                     "!ft)",    "&tf)",  "|t)f", "t&t|ff))", "!|ft))",
                                     "|&tf)f)", "!f)!t)"};
    for (size_t i = 0; i < CRIER_COUNT(yes); i++)
        if (!letters(r, yes[i]))
            fail_msg("'%s' is not true", yes[i]);
    for (size_t i = 0; i < CRIER_COUNT(no); i++)
        if (letters(r, no[i]))
            fail_msg("'%s' is not false", no[i]);
    crier_record_unref(r);
}

enum { MANY = 13 };

/* Records of which each has another kind of value in `v`; text says in which order they sort. */
static void mixed(struct crier_record *r[MANY])
{
    static const char *const texts[MANY] = {"k", "a", "f", "m", "d", "i", "b",
                                            "g", "l", "c", "e", "h", "j"};
    for (int i = 0; i < MANY; i++) {
        crier_build_begin(&b, CRIER_KIND_LOG, (enum crier_level)(10 + i % 5 * 10), WALL + i);
        crier_build_text(&b, texts[i], 1);
        switch (texts[i][0]) {
        case 'a': break;
        case 'b': crier_build_null(&b, LIT("v")); break;
        case 'c': CRIER_B_BOOL(&b, "v", false); break;
        case 'd': CRIER_B_BOOL(&b, "v", true); break;
        case 'e': CRIER_B_NUM(&b, "v", -0.5); break;
        case 'f': CRIER_B_INT(&b, "v", 0); break;
        case 'g': CRIER_B_TIME(&b, "v", 500000); break;
        case 'h': CRIER_B_INT(&b, "v", 1); break;
        case 'i': CRIER_B_SNOWFLAKE(&b, "v", FLAKE); break;
        case 'j': CRIER_B_STR(&b, "v", ""); break;
        case 'k': CRIER_B_STR(&b, "v", "a"); break;
        case 'l': CRIER_B_STR(&b, "v", "aa"); break;
        default: CRIER_B_OPEN(&b, "v", CRIER_ARRAY);
        }
        r[i] = crier_build_end(&b);
    }
}

static void assert_order(struct crier_record *const *r, size_t count, const char *want)
{
    char got[64] = "";
    for (size_t i = 0; i < count; i++)
        got[i] = crier_record_text(r[i]).data[0];
    got[count] = '\0';
    assert_string_equal(got, want);
}

static void sorting(void **state)
{
    (void)state;
    struct crier_record *r[MANY];
    mixed(r);
    crier_records_sort(r, MANY, "v", false);
    assert_order(r, MANY, "abcdefghijklm");
    crier_records_sort(r, MANY, "v", true);
    assert_order(r, MANY, "mlkjihgfedcab"); /* null and missing are equal and keep their order */
    crier_records_sort(r, MANY, "time", false);
    assert_order(r, MANY, "kafmdibglcehj");
    crier_records_sort(r, MANY, "level", false); /* by severity, stable */
    assert_order(r, MANY, "kieabhfgjmldc");
    crier_records_sort(r, MANY, "level", true);
    assert_order(r, MANY, "dcmlfgjabhkie");
    crier_records_sort(r, MANY, "id", false);
    assert_order(r, MANY, "kafmdibglcehj");
    for (int i = 0; i < MANY; i++)
        crier_record_unref(r[i]);
}

static void running(void **state)
{
    (void)state;
    struct crier_record *r[MANY], *out[MANY];
    mixed(r);
    struct crier_query *q = crier_query_new(NULL);
    assert_int_equal(crier_query_run(q, r, MANY, out), MANY);
    assert_order(out, MANY, "kafmdibglcehj");
    q->offset = 2;
    q->limit = 3;
    assert_int_equal(crier_query_run(q, r, MANY, out), 3);
    assert_order(out, 3, "fmd");
    crier_query_order(q, "text", false);
    assert_int_equal(crier_query_run(q, r, MANY, out), 3);
    assert_order(out, 3, "cde");
    crier_query_order(q, "text", true);
    struct crier_value letter = S("h");
    assert_int_equal(crier_query_add(q, "text", CRIER_OP_LE, &letter, 1, NULL), 0);
    assert_int_equal(crier_query_run(q, r, MANY, out), 3);
    assert_order(out, 3, "fed");
    q->offset = 7;
    assert_int_equal(crier_query_run(q, r, MANY, out), 1);
    assert_order(out, 1, "a");
    q->offset = 100;
    assert_int_equal(crier_query_run(q, r, MANY, out), 0);
    q->offset = 0;
    q->limit = 0;
    assert_int_equal(crier_query_run(q, r, MANY, out), 0);
    crier_query_free(q);
    for (int i = 0; i < MANY; i++)
        crier_record_unref(r[i]);
}

/* The query keeps nothing of its caller's. */
static void copies(void **state)
{
    (void)state;
    struct crier_record *r = sample();
    struct crier_query *q = crier_query_new(NULL);
    char path[] = "guild.id", text[] = "863071397207212052";
    struct crier_value v = S(text);
    assert_int_equal(crier_query_add(q, path, CRIER_OP_EQ, &v, 1, NULL), 0);
    v = S("message");
    assert_int_equal(crier_query_add(q, "kind", CRIER_OP_EQ, &v, 1, NULL), 0);
    memset(path, 'x', sizeof path - 1);
    memset(text, 'x', sizeof text - 1);
    assert_true(crier_query_match(q, r));
    assert_string_equal(q->conds[0].path, "guild.id");
    crier_query_free(q);
    crier_record_unref(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(conditions), TEST(seconds), TEST(no_zone), TEST(refused), TEST(groups),
        TEST(sorting),    TEST(running), TEST(copies),  TEST(slow_regex), TEST(since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
