/* SPDX-License-Identifier: MIT
 *
 * The JSON scanner: exactly RFC 8259, and errors that say where.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/ulid.h"
#include "record/scan.h"

#define LIT(s) (s), sizeof(s) - 1

/* The events as text: {k=1 k=[...]}. The input is copied to memory of exactly its size, so that
 * reading beyond it is found out. */
static const char *scan_text(const char *json, size_t len)
{
    static struct crier_buf out;
    struct crier_scan scan;
    struct crier_err err = {0};
    char *exact = malloc(len ? len : 1);
    enum crier_scan_event event;
    memcpy(exact, json, len);
    crier_buf_clear(&out);
    crier_scan_init(&scan, exact, len);
    while ((event = crier_scan_next(&scan)) > CRIER_SCAN_END) {
        if (out.len && out.data[out.len - 1] != ' ')
            crier_buf_putc(&out, ' ');
        if (scan.key.len)
            crier_buf_printf(&out, "%.*s=", (int)scan.key.len, scan.key.data);
        switch (event) {
        case CRIER_SCAN_STR:
            crier_buf_printf(&out, "'%.*s'", (int)scan.s.len, scan.s.data);
            break;
        case CRIER_SCAN_INT:
            crier_buf_printf(&out, "%lld", (long long)scan.i);
            break;
        case CRIER_SCAN_NUM:
            crier_buf_printf(&out, "%.17gf", scan.n);
            break;
        default:
            crier_buf_printf(&out, "%c", "?{[)???tfn"[event]);
        }
    }
    if (event == CRIER_SCAN_ERROR) {
        assert_int_equal(crier_scan_error(&scan, &err), CRIER_EINVAL);
        crier_buf_clear(&out);
        crier_buf_puts(&out, err.text);
    }
    assert_int_equal(crier_scan_next(&scan), event); /* again and again */
    crier_scan_fini(&scan);
    free(exact);
    return out.data;
}

static void values(void **state)
{
    (void)state;
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"1", "1"},
        {" \t\r\n-7 ", "-7"},
        {"0", "0"},
        {"-0", "-0f"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9.2233720368547758e+18f"},
        {"-9223372036854775809", "-9.2233720368547758e+18f"},
        {"18446744073709551617", "1.8446744073709552e+19f"},
        {"1.0", "1f"},
        {"1e2", "100f"},
        {"-1.5E-3", "-0.0015f"},
        {"0.1", "0.10000000000000001f"},
        {"1e+22", "1e+22f"},
        {"1e23", "9.9999999999999992e+22f"},
        {"123456789012345678", "123456789012345678"},
        {"0.000000000000000000000000000001", "1.0000000000000001e-30f"},
        {"1e-400", "0f"},
        {"4.9e-324", "4.9406564584124654e-324f"},
        {"1.7976931348623157e308", "1.7976931348623157e+308f"},
        {"true", "t"},
        {"false", "f"},
        {"null", "n"},
        {"\"\"", "''"},
        {"[]", "[ )"},
        {"{}", "{ )"},
        {"[1,[2],{}]", "[ 1 [ 2 ) { ) )"},
        {"{\"a\":{\"b\":[1,\"x\"]},\"c\":null}", "{ a={ b=[ 1 'x' ) ) c=n )"},
        {"{\"k\\n\":\"v\\t\"}", "{ k\n='v\t' )"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "'\"\\/\b\f\n\r\t'"},
        {"\"\\u0041\\u00e9\\u20AC\\uD83D\\ude00\"", "'A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'"},
        {"\"\\ud800\"", "'\xef\xbf\xbd'"},
        {"\"\\udc00x\"", "'\xef\xbf\xbdx'"},
        {"\"\\ud800\\ud800\\udc00\"", "'\xef\xbf\xbd\xf0\x90\x80\x80'"},
        {"\"\\ud83dA\"", "'\xef\xbf\xbd"
                         "A'"},
        {"\"plain text of more than a word, then \\n and more\"",
         "'plain text of more than a word, then \n and more'"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        const char *got = scan_text(cases[i].json, strlen(cases[i].json));
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: %s, wanted %s", cases[i].json, got, cases[i].want);
    }
}

static void nul_in_strings(void **state)
{
    (void)state;
    struct crier_scan scan;
    crier_scan_init(&scan, LIT("{\"a\\u0000b\":\"c\\u0000\"}"));
    assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_OBJECT);
    assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_STR);
    assert_int_equal(scan.key.len, 3);
    assert_memory_equal(scan.key.data, "a\0b", 3);
    assert_int_equal(scan.s.len, 2);
    assert_memory_equal(scan.s.data, "c\0", 2);
    crier_scan_fini(&scan);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"", "byte 0: expected a value"},
        {"  ", "byte 2: expected a value"},
        {"tru", "byte 0: expected a value"},
        {"nul0", "byte 0: expected a value"},
        {"1 2", "byte 2: expected nothing more"},
        {"{} x", "byte 3: expected nothing more"},
        {"truex", "byte 4: expected nothing more"},
        {"[1,]", "byte 3: expected a value"},
        {"[1 2]", "byte 3: expected ',' or ']'"},
        {"[,1]", "byte 1: expected a value"},
        {"[1", "byte 2: expected ',' or ']'"},
        {"[1}", "byte 2: expected ',' or ']'"},
        {"]", "byte 0: expected a value"},
        {"{\"a\" 1}", "byte 5: expected ':'"},
        {"{\"a\"", "byte 4: expected ':'"},
        {"{\"a\":}", "byte 5: expected a value"},
        {"{\"a\":1,}", "byte 7: expected a member's name in quotes"},
        {"{a:1}", "byte 1: expected a member's name in quotes"},
        {"{\"a\":1]", "byte 6: expected ',' or '}'"},
        {"01", "byte 0: a number must not begin with 0"},
        {"-01", "byte 1: a number must not begin with 0"},
        {"-", "byte 1: expected a digit"},
        {"1.", "byte 2: expected a digit"},
        {"1.e1", "byte 2: expected a digit"},
        {"1e", "byte 2: expected a digit"},
        {"1e+", "byte 3: expected a digit"},
        {".5", "byte 0: expected a value"},
        {"+1", "byte 0: expected a value"},
        {"NaN", "byte 0: expected a value"},
        {"[1e999]", "byte 1: the number is too large"},
        {"\"abc", "byte 0: the string does not end"},
        {"\"abc\\", "byte 5: the string does not end"},
        {"\"a\nb\"", "byte 2: control character in a string"},
        {"\"12345678\x01\"", "byte 9: control character in a string"},
        {"\"\\x\"", "byte 1: unknown escape in a string"},
        {"\"\\u12g4\"", "byte 3: expected four hexadecimal digits after \\u"},
        {"\"\\u12", "byte 3: expected four hexadecimal digits after \\u"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char want[128];
        snprintf(want, sizeof want, "invalid JSON at %s", cases[i].want);
        const char *got = scan_text(cases[i].json, strlen(cases[i].json));
        if (strcmp(got, want) != 0)
            fail_msg("%s: %s, wanted %s", cases[i].json, got, want);
    }
    assert_string_equal(scan_text(LIT("[\"\\\0\"]")),
                        "invalid JSON at byte 2: unknown escape in a string");
}

static void depth_limit(void **state)
{
    (void)state;
    char text[2 * CRIER_SCAN_DEPTH + 2];
    memset(text, '[', CRIER_SCAN_DEPTH);
    memset(text + CRIER_SCAN_DEPTH, ']', CRIER_SCAN_DEPTH);
    assert_non_null(strstr(scan_text(text, 2 * CRIER_SCAN_DEPTH), "[ )"));
    memset(text, '[', CRIER_SCAN_DEPTH + 1);
    assert_string_equal(scan_text(text, sizeof text),
                        "invalid JSON at byte 512: nested too deep");
    /* objects and arrays in turn keep their own brackets on the way back */
    struct crier_buf b = {0};
    for (int i = 0; i < 100; i++)
        crier_buf_puts(&b, i % 3 ? "[" : "{\"a\":");
    crier_buf_putc(&b, '1');
    for (int i = 99; i >= 0; i--)
        crier_buf_putc(&b, i % 3 ? ']' : '}');
    assert_null(strstr(scan_text(b.data, b.len), "invalid"));
    b.data[b.len - 34] = b.data[b.len - 34] == ']' ? '}' : ']';
    assert_non_null(strstr(scan_text(b.data, b.len), "invalid"));
    crier_buf_fini(&b);
}

/* Doubles read back exactly what our writer wrote. */
static void doubles(void **state)
{
    (void)state;
    struct crier_rng rng;
    struct crier_buf b = {0};
    crier_rng_seed(&rng, 11);
    for (int i = 0; i < 20000; i++) {
        struct crier_scan scan;
        double n;
        uint64_t bits = crier_rng_next(&rng);
        if (i % 2)
            n = (double)(int64_t)(bits >> 20) / 1e6;
        else
            memcpy(&n, &bits, sizeof n);
        if (!isfinite(n))
            continue;
        crier_buf_clear(&b);
        crier_json_num(&b, n);
        crier_scan_init(&scan, b.data, b.len);
        assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_NUM);
        if (memcmp(&scan.n, &n, sizeof n) != 0)
            fail_msg("%s read as %.17g", b.data, scan.n);
        crier_scan_fini(&scan);
    }
    crier_buf_fini(&b);
}

/* Damaged text: an end, an error, never a byte beyond. */
static void mutated(void **state)
{
    (void)state;
    static const char json[] = "{\"id\":\"01K\\u00e9\\ud83d\\ude00\",\"n\":[1,-2.5e3,true,null,{\"x\":"
                               "{}}],\"text\":\"some plain text\\n\",\"ok\":false}";
    struct crier_rng rng;
    char copy[sizeof json];
    size_t bad = 0;
    crier_rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        size_t len = (size_t)crier_rng_range(&rng, 0, sizeof json - 1);
        if (i % 3)
            len = sizeof json - 1;
        memcpy(copy, json, sizeof json);
        for (int64_t n = crier_rng_range(&rng, 0, 3); n > 0; n--)
            copy[crier_rng_range(&rng, 0, sizeof json - 2)] =
                "{}[]\",:\\u09.eE-tfn \x01\xff"[crier_rng_range(&rng, 0, 20)];
        bad += strstr(scan_text(copy, len), "invalid") != NULL;
    }
    assert_true(bad > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),      cmocka_unit_test(nul_in_strings), cmocka_unit_test(errors),
        cmocka_unit_test(depth_limit), cmocka_unit_test(doubles),        cmocka_unit_test(mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
