/* SPDX-License-Identifier: MIT */
#include "discord/brief.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, const char *brief)
{
    json_t *body = crier_discord_brief_body(text, strlen(text));
    if (!brief) {
        assert_null(body);
        return;
    }
    assert_non_null(body);
    char *got = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(got, brief);
    free(got);
    json_decref(body);
}

static void test_object(void **state)
{
    (void)state;
    expect("{}", "{}");
    expect("{\"author\":{\"id\":\"7\",\"username\":\"x\"},\"id\":\"12\",\"n\":[1,{\"id\":\"9\"}]}",
           "{\"id\":\"12\"}");
    expect("{\"name\":\"a\\\"b\\u00e9\",\"content\":\"}],\\\\\",\"id\":\"1\"}",
           "{\"id\":\"1\",\"name\":\"a\\\"b\xc3\xa9\"}");
    expect("{\"id\":12,\"name\":null,\"username\":\"ann\"}", "{\"username\":\"ann\"}");
}

static void test_array(void **state)
{
    (void)state;
    expect("[]", "[]");
    expect("[{\"id\":\"1\",\"name\":\"x\",\"topic\":null},{\"id\":\"2\"}]",
           "[{\"id\":\"1\",\"name\":\"x\"},{\"id\":\"2\"}]");
}

static void test_not_understood(void **state)
{
    static const char *const texts[] = {
        "",         "{",          "{\"id\":\"1\"",     "{\"id\":\"1\"}x",  "[{\"id\":\"1\"}",
        "\"x\"",    "{\"id\": 1", "{ \"id\":\"1\"}",   "[1]",              "{\"id\":\"1\",}",
        "{\"id\"}", "[,]",        "{\"id\":\"1\\\"}", "{\"name\":\"\xff\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
