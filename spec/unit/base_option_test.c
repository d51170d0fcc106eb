/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/option.h"

static const struct crier_option table[] = {
    {.name = "name", .type = CRIER_OPT_STRING, .flags = CRIER_OPT_REQUIRED, .help = "its name"},
    {.name = "path", .type = CRIER_OPT_PATH, .def = "History", .help = "where files go"},
    {.name = "mode", .type = CRIER_OPT_ENUM, .def = "edit", .choices = "send edit clear-send"},
    {.name = "on", .type = CRIER_OPT_BOOL, .def = "true"},
    {.name = "batch", .type = CRIER_OPT_INT, .def = "20", .min = 1, .max = 1000},
    {.name = "rate", .type = CRIER_OPT_NUMBER, .def = "0.5"},
    {.name = "flush", .type = CRIER_OPT_DURATION, .def = "1m30s", .min = 1000, .max = 3600000000},
    {.name = "memory", .type = CRIER_OPT_SIZE, .def = "64KiB", .min = 1024},
    {.name = "kinds", .type = CRIER_OPT_STRINGS, .def = "message"},
    {.name = "guild", .type = CRIER_OPT_SNOWFLAKE, .def = "18446744073709551615"},
    {.name = "guilds", .type = CRIER_OPT_SNOWFLAKES, .type_name = "snowflake|snowflake[]"},
    {.name = "limit", .type = CRIER_OPT_DURATION, .flags = CRIER_OPT_OR_FALSE, .def = "false"},
    {.name = "write", .type = CRIER_OPT_FUNCTION, .help = "called with each batch"},
    {.name = "age", .type = CRIER_OPT_INT},
};

static void defaults(void **state)
{
    (void)state;
    struct crier_options o;
    crier_options_init(&o, table, CRIER_COUNT(table));
    assert_null(crier_options_get(&o, "name")->s);
    assert_string_equal(crier_options_get(&o, "path")->s, "History");
    assert_int_equal(crier_options_get(&o, "mode")->i, 1);
    assert_string_equal(crier_options_get(&o, "mode")->s, "edit");
    assert_int_equal(crier_options_get(&o, "on")->i, 1);
    assert_int_equal(crier_options_get(&o, "batch")->i, 20);
    assert_true(crier_options_get(&o, "rate")->n == 0.5);
    assert_int_equal(crier_options_get(&o, "flush")->i, 90 * CRIER_S);
    assert_int_equal(crier_options_get(&o, "memory")->i, 65536);
    assert_int_equal(crier_options_get(&o, "kinds")->count, 1);
    assert_string_equal(crier_options_get(&o, "kinds")->list[0], "message");
    assert_true((uint64_t)crier_options_get(&o, "guild")->i == UINT64_MAX);
    assert_int_equal(crier_options_get(&o, "guilds")->count, 0);
    assert_true(crier_options_get(&o, "limit")->off);
    for (size_t i = 0; i < o.count; i++)
        assert_false(o.values[i].set);
    crier_options_fini(&o);
    assert_null(o.values);
}

static struct crier_option_value *value(struct crier_options *o, const char *name)
{
    struct crier_option_value *v = (struct crier_option_value *)crier_options_get(o, name);
    crier_option_value_fini(v);
    v->set = true;
    return v;
}

static void fill(struct crier_options *o)
{
    crier_options_init(o, table, CRIER_COUNT(table));
    value(o, "name")->s = crier_strdup("files");
    struct crier_option_value *v = value(o, "kinds");
    v->count = 2;
    v->list = crier_calloc(2, sizeof *v->list);
    v->list[0] = crier_strdup("message");
    v->list[1] = crier_strdup("task");
    v = value(o, "guilds");
    v->count = 2;
    v->ids = crier_calloc(2, sizeof *v->ids);
    v->ids[0] = 1;
    v->ids[1] = 2;
}

static void equality_is_deep(void **state)
{
    (void)state;
    struct crier_options a, b;
    fill(&a);
    for (int change = 0; change < 12; change++) {
        fill(&b);
        bool equal = change == 0;
        switch (change) {
        case 1:
            value(&b, "name")->s = crier_strdup("filez");
            break;
        case 2:
            value(&b, "name")->s = NULL;
            break;
        case 3:
            crier_options_get(&b, "kinds")->list[1][0] = 'x';
            break;
        case 4:
            free(crier_options_get(&b, "kinds")->list[1]);
            ((struct crier_option_value *)crier_options_get(&b, "kinds"))->count = 1;
            break;
        case 5:
            crier_options_get(&b, "guilds")->ids[1] = 3;
            break;
        case 6:
            value(&b, "batch")->i = 21;
            break;
        case 7:
            value(&b, "rate")->n = 0.25;
            break;
        case 8:
            value(&b, "limit")->i = 0; /* no longer off */
            break;
        case 9:
            value(&b, "age")->i = 0; /* a 0 that was given */
            break;
        case 10:
            value(&b, "guilds")->count = 0;
            break;
        case 11: /* saying the default changes nothing */
            value(&b, "batch")->i = 20;
            equal = true;
            break;
        }
        assert_int_equal(crier_options_equal(&a, &b), equal);
        assert_int_equal(crier_options_equal(&b, &a), equal);
        crier_options_fini(&b);
    }
    crier_options_init(&b, table, CRIER_COUNT(table) - 1);
    assert_false(crier_options_equal(&a, &b));
    crier_options_fini(&b);
    crier_options_fini(&a);
}

static void types_as_text(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "string",
        "path",
        "one of send, edit, clear-send",
        "boolean",
        "integer from 1 to 1000",
        "number",
        "duration from 1ms to 1h",
        "size from 1024 up",
        "string or list of strings",
        "Discord id",
        "snowflake|snowflake[]",
        "duration or false",
        "function",
        "integer",
    };
    char text[64];
    for (size_t i = 0; i < CRIER_COUNT(table); i++)
        assert_string_equal(crier_option_type_text(&table[i], text, sizeof text), expected[i]);
    assert_string_equal(crier_option_type_text(&table[2], text, 8), "one of ");
}

static void help(void **state)
{
    (void)state;
    struct crier_buf out = {0};
    crier_options_help(table, 3, false, &out);
    assert_string_equal(out.data,
                        "  name  string                         its name (required)\n"
                        "  path  path                           where files go (default History)\n"
                        "  mode  one of send, edit, clear-send   (default edit)\n");
    crier_buf_clear(&out);
    crier_options_help(table, 2, true, &out);
    assert_string_equal(
        out.data, "[{\"name\":\"name\",\"type\":\"string\",\"required\":true,\"default\":null,"
                  "\"help\":\"its name\"},{\"name\":\"path\",\"type\":\"path\",\"required\":false,"
                  "\"default\":\"History\",\"help\":\"where files go\"}]");
    crier_buf_clear(&out);
    crier_options_help(table, 0, true, &out);
    assert_string_equal(out.data, "[]");
    crier_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(equality_is_deep),
        cmocka_unit_test(types_as_text),
        cmocka_unit_test(help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
