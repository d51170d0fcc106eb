/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/ulid.h"

static const char *quoted(struct crier_buf *b, const char *s, size_t len)
{
    crier_buf_clear(b);
    crier_json_quote(b, s, len);
    assert_int_equal(strlen(b->data), b->len);
    return b->data;
}

static void commas_come_by_themselves(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    crier_json_key(&b, "a");
    crier_json_int(&b, -1);
    crier_json_keyn(&b, "bcd", 1);
    crier_json_open(&b, '[');
    crier_json_null(&b);
    crier_json_bool(&b, true);
    crier_json_bool(&b, false);
    crier_json_str(&b, "ends in [");
    crier_json_str(&b, "");
    crier_json_open(&b, '{');
    crier_json_close(&b, '}');
    crier_json_raw(&b, "[1]", 3);
    crier_json_open(&b, '[');
    crier_json_close(&b, ']');
    crier_json_close(&b, ']');
    crier_json_key(&b, "c,");
    crier_json_num(&b, 0.5);
    crier_json_key(&b, "u");
    crier_json_uint(&b, UINT64_MAX);
    crier_json_close(&b, '}');
    crier_buf_putc(&b, '\n');
    crier_json_open(&b, '{');
    crier_json_close(&b, '}');
    assert_string_equal(b.data, "{\"a\":-1,\"b\":[null,true,false,\"ends in [\",\"\",{},[1],[]],"
                                "\"c,\":0.5,\"u\":18446744073709551615}\n{}");
    crier_buf_fini(&b);
}

static void integers(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    crier_json_open(&b, '[');
    const int64_t all[] = {0, 7, 10, 99, 100, 12345, -9, -100, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < CRIER_COUNT(all); i++)
        crier_json_int(&b, all[i]);
    assert_string_equal(b.data, "[0,7,10,99,100,12345,-9,-100,9223372036854775807,"
                                "-9223372036854775808");
    crier_buf_fini(&b);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    struct crier_buf b = {0};
#define QUOTED(text) quoted(&b, text, sizeof text - 1)
    assert_string_equal(QUOTED("plain"), "\"plain\"");
    assert_string_equal(QUOTED("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    assert_string_equal(QUOTED("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\"");
    assert_string_equal(QUOTED("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"");
    assert_string_equal(QUOTED("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
                        "\"\\u2028\\u2029\xe2\x80\xaa\"");
    assert_string_equal(QUOTED("\xc4\x8d\xe2\x82\xac\xf0\x9f\x8e\x89"),
                        "\"\xc4\x8d\xe2\x82\xac\xf0\x9f\x8e\x89\"");
    crier_buf_fini(&b);
}

/* Each special byte at each place of words and their borders. */
static void escapes_at_every_place(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    static const char bytes[] = {'"', '\\', '\n', 0, 0x1f, (char)0x80, (char)0xff};
    static const char *const become[] = {"\\\"",    "\\\\",         "\\n",         "\\u0000",
                                         "\\u001f", "\xef\xbf\xbd", "\xef\xbf\xbd"};
    for (size_t len = 1; len <= 26; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t k = 0; k < CRIER_COUNT(become); k++) {
                char text[26], expect[64];
                memset(text, '~', sizeof text);
                text[at] = bytes[k];
                snprintf(expect, sizeof expect, "\"%.*s%s%.*s\"", (int)at,
                         "~~~~~~~~~~~~~~~~~~~~~~~~~~", become[k], (int)(len - at - 1),
                         "~~~~~~~~~~~~~~~~~~~~~~~~~~");
                assert_string_equal(quoted(&b, text, len), expect);
            }
        }
    }
    crier_buf_fini(&b);
}

#define BAD "\xef\xbf\xbd"

static void invalid_utf8_is_replaced(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    const struct {
        const char *in, *out;
    } cases[] = {
        {"\x80", BAD}, /* a continuation alone */
        {"\xc3", BAD}, /* cut off */
        {"\xe2\x82", BAD BAD},
        {"\xf0\x9f\x8e", BAD BAD BAD},
        {"\xc3(", BAD "("},
        {"\xc0\xaf", BAD BAD}, /* overlong */
        {"\xc1\xbf", BAD BAD},
        {"\xe0\x9f\xbf", BAD BAD BAD},
        {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
        {"\xed\xa0\x80", BAD BAD BAD}, /* a surrogate */
        {"\xed\xbf\xbf", BAD BAD BAD},
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", BAD BAD BAD BAD},
        {"\xff\xfe", BAD BAD},
        {"\xc2\x80", "\xc2\x80"}, /* the borders that are good */
        {"\xe0\xa0\x80", "\xe0\xa0\x80"},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xee\x80\x80", "\xee\x80\x80"},
        {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        /* With an exact copy, so that a read behind the end is seen by the sanitizer. */
        size_t len = strlen(cases[i].in);
        char *copy = crier_malloc(len);
        memcpy(copy, cases[i].in, len);
        char expect[64];
        snprintf(expect, sizeof expect, "\"%s\"", cases[i].out);
        assert_string_equal(quoted(&b, copy, len), expect);
        free(copy);
    }
    /* Worst case of growth: every byte becomes six. */
    char zeros[5000] = {0};
    quoted(&b, zeros, sizeof zeros);
    assert_int_equal(b.len, sizeof zeros * 6 + 2);
    crier_buf_fini(&b);
}

static const char *number(struct crier_buf *b, double v)
{
    crier_buf_clear(b);
    crier_json_num(b, v);
    return b->data;
}

static void numbers(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-12, "-12.0"},
        {0.1, "0.1"},
        {0.5, "0.5"},
        {1.25, "1.25"},
        {123.456789, "123.456789"},
        {0.000123, "0.000123"},
        {-0.75, "-0.75"},
        {999999999.999999, "999999999.999999"},
        {1e9, "1000000000.0"},
        {123456789012.0, "123456789012.0"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {1e15, "1e+15"},
        {1e300, "1e+300"},
        {5e-324, "4.94065645841247e-324"},
        {1e-7, "1e-07"},
        {9007199254740993.0, "9007199254740992.0"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++)
        assert_string_equal(number(&b, cases[i].v), cases[i].text);
    crier_buf_fini(&b);
}

static void numbers_read_back(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    struct crier_rng rng;
    crier_rng_seed(&rng, 7);
    for (int i = 0; i < 200000; i++) {
        double v;
        if (i % 2) { /* any bits */
            uint64_t bits = crier_rng_next(&rng);
            memcpy(&v, &bits, sizeof v);
            if (!isfinite(v))
                continue;
        } else { /* what seconds look like */
            v = (double)crier_rng_range(&rng, -2000000000000LL, 2000000000000LL) / 1e6;
        }
        const char *text = number(&b, v);
        assert_true(strtod(text, NULL) == v);
        assert_non_null(strpbrk(text, ".e")); /* stays a float */
    }
    crier_buf_fini(&b);
}

static void a_locale_changes_nothing(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "sl_SI.UTF-8"))
        skip();
    struct crier_buf b = {0};
    assert_string_equal(number(&b, 1.0 / 3), "0.3333333333333333");
    setlocale(LC_NUMERIC, "C");
    crier_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_come_by_themselves), cmocka_unit_test(integers),
        cmocka_unit_test(strings_are_escaped),       cmocka_unit_test(escapes_at_every_place),
        cmocka_unit_test(invalid_utf8_is_replaced),  cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_read_back),         cmocka_unit_test(a_locale_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
