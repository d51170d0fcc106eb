/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "record/scan_tree.h"

static void same(const char *text, size_t len)
{
    json_t *want = json_loadb(text, len, JSON_DECODE_ANY, NULL);
    json_t *got = crier_scan_tree(text, len);
    if (!want != !got || (want && !json_equal(want, got)))
        fail_msg("'%.*s' is read otherwise than by jansson", (int)len, text);
    if (want) { /* the order of members, too */
        char *a = json_dumps(want, JSON_ENCODE_ANY), *b = json_dumps(got, JSON_ENCODE_ANY);
        assert_string_equal(a, b);
        free(a);
        free(b);
    }
    json_decref(want);
    json_decref(got);
}

static void test_as_jansson(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "\"x\"", "12", "true", "null", "", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\"}",
        "{\"content\":\"a b\",\"n\":[1,-2,0,{\"x\":[]}],\"t\":true,\"f\":false,\"z\":null}",
        " { \"a\" : [ 1 , 2.5 , 1e3 ] } ", "{\"a\":1,\"b\":2,\"a\":3}", "{\"\":\"\"}",
        "\"a\\n\\\"b\\\\\\/\"", "\"\\u00e9\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\u0000\"", "\"\\x\"",
        "\"\xc3\xa9\"", "\"\xff\"", "{\"\xff\":1}", "\"a\tb\"", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "-0", "01", "1.0", "[1]x", "nul", "[[[[[[1]]]]]]",
    };
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(texts); i++)
        same(texts[i], strlen(texts[i]));
    same("\"a\0b\"", 5);
}

static void test_deep(void **state)
{
    (void)state;
    for (size_t depth = 30; depth < 36; depth++) {
        struct crier_buf b = {0};
        for (size_t i = 0; i < depth; i++)
            crier_buf_puts(&b, i % 2 ? "{\"a\":" : "[");
        crier_buf_putc(&b, '1');
        for (size_t i = depth; i-- > 0;)
            crier_buf_putc(&b, i % 2 ? '}' : ']');
        same(b.data, b.len);
        crier_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_jansson),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
