/* SPDX-License-Identifier: MIT
 *
 * Each case is a text in which '@' marks the place that has to be found (and is taken out).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rounds.h"
#include "script/srcmap.h"

/* Takes the first '@' out of the text and says where it was. */
static void take_mark(char *text, int *line, int *column)
{
    char *mark = strchr(text, '@');
    *line = *column = 0;
    if (!mark)
        return;
    memmove(mark, mark + 1, strlen(mark));
    *line = *column = 1;
    for (char *p = text; p < mark; p++) {
        ++*column;
        if (*p == '\n') {
            ++*line;
            *column = 1;
        }
    }
}

static const struct {
    int line;
    const char *callee, *key, *text;
} keys[] = {
    {1, "TextMESSAGE", "period", "crier.TextMESSAGE { name = 'a', @period = '10s' }"},
    {1, "TextMESSAGE", "perod", "crier.TextMESSAGE {\n  name = 'x',\n  @perod = 1 }"},
    {2, "GUILD", "snowflake", "local g =\ncrier.GUILD {\n\t@snowflake = 1.5e20,\n}"},
    {1, "sink.json", "path", "crier.sink.json { @path = 1 } crier.route { path = 2 }"},
    {1, "route", "path", "crier.sink.json { path = 1 } crier.route { @path = 2 }"},
    {1, "json", "path", "crier.sink.json({ @path = 1 })"},
    {1, "f", "k", "f(1, 'x', {@k = 1}, { k = 1 })"},
    {1, "f", "b", "f { a = { b = 1 }, @b = 2 }"},
    {1, "f", "a.b", "f { b = 1, a = { c = 3, @b = 1 }, b = 2 }"},
    {1, "f", "a.b", "f { b = 1, @a = { c = 3 }, b = 2 }"},
    {1, "f", "a.b.c", "f { a = g { b = h.i { @c = 1 } } }"},
    {1, "f", "a.b", "f { a = g('x', { @b = 1 }) }"},
    {1, "f", "2", "f { 'a', k = 1, @'b', 'c' }"},
    {1, "f", "list[3]", "f { list = { 'a', {1, 2}; @g { 1 }, 4 } }"},
    {1, "f", "list.2.x", "f { list = { 'a', { @x = 1 } } }"},
    {1, "f", "list.1", "f { list = { [2] = 'b', @[1] = 'a' } }"},
    {1, "f", "a b", "f { x = 1, @['a b'] = 2 }"},
    {1, "f", "k", "f { @['k'] = 2 }"},
    {1, "f", "k", "f { @[ [[k]] ] = 2 }"},
    /* what looks like structure and is none */
    {1, "f", "k", "f { a = '} , k = 1', b = \"\\\" k = { \\\\\", c = [[ k = ]], @k = 1 }"},
    {1, "f", "k", "f { -- k = 1 }\n  @k = 1 }"},
    {1, "f", "k", "f { --[[ k = 1 } ]] @k = 1 }"},
    {1, "f", "k", "f { --[==[ k = ]] ]=] } ]==] @k = 1 }"},
    {1, "f", "k", "f { a = [=[ ]] k = 1 ]=], @k = 1 }"},
    {1, "f", "k", "f { a = 'x\\z  \n  , k = 1, \\\n k', @k = 1 }"},
    {1, "f", "k", "f { a = function(k) local x, k = 1, { k = 2 } if k then k = 3 end "
                  "for k = 1, 2 do k = 1 end repeat k = 2 until k, k end, @k = 1 }"},
    {1, "f", "k", "f { a = x == 1, b = k == 2, @k = 1 }"},
    {1, "f", "k", "f { a = b.k, c = d:k(), e = g(k, 1), @k = 1 }"},
    {1, "f", "k", "f { a = t[k], t = (k), [k .. ''] = 1, @k = 1 }"},
    {1, "f", "k", "f { a = 1..k, b = 0x1p-4, c = 3.5e+1, ..., @k = 1 }"},
    {3, "f", "k", "f { k = 1 }\n\nf { @k = 2 }\nf { k = 3 }"},
    /* several on a line: the first that has it */
    {1, "f", "k", "f { a = 1 } f { @k = 1 } f { k = 2 }"},
    {1, "f", "a.k", "f { a = {} } f { a = { @k = 1 } }"},
    {1, "f", "k", "f { f { @k = 1 } }"},
    {1, "f", "k", "g.f { @k = 1 }"},
    {1, "b.f", "k", "f { k = 0 } a.f { k = 0 } a.b.f { @k = 1 }"},
    {1, "f", "k", "o:f { @k = 1 }"},
    {1, "f", "k", "x = y and f { @k = 1 } or z"},
    {1, "f", "k", "return function() f { @k = 1 } end"},
    /* the name on one line, the bracket on another: either counts */
    {1, "a.f", "k", "a\n.f\n{ @k = 1 }"},
    {3, "a.f", "k", "a\n.f\n{ @k = 1 }"},
    {2, "f", "k", "#! f { k = 1 }\nf { @k = 1 }"},
    {2, "f", "k", "x = '\\\r\n' f { @k = 1 }"},
    /* not there */
    {1, "f", "k", "f { a = 1 }"},
    {1, "f", "k", "f(x)"},
    {1, "f", "k", "f({ a = 1 }, { k = 1 })"}, /* only the first table is looked into */
    {1, "f", "k", "g { k = 1 }"},
    {2, "f", "k", "f { k = 1 }"},
    {1, "f", "k", "f 'k'"},
    {1, "f", "3", "f { 1, 2 }"},
    {1, "f", "", "f { 1, 2 }"},
    {1, "f", "k", ""},
    {1, "f", "k", "f { a = { ( k = 1 }"},
};

static void keys_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char *text = strdup(keys[i].text);
        int want_line, want_column, line = 0, column = 0;
        take_mark(text, &want_line, &want_column);
        struct crier_srcmap *map = crier_srcmap_new(text, strlen(text));
        bool found = crier_srcmap_key(map, keys[i].line, keys[i].callee, keys[i].key, &line, &column);
        if (found != (want_line != 0) || line != want_line || column != want_column)
            fail_msg("%s (%s): expected %d:%d, got %d:%d", keys[i].text, keys[i].key, want_line,
                     want_column, line, column);
        crier_srcmap_free(map);
        free(text);
    }
}

static void calls_are_found(void **state)
{
    (void)state;
    static const struct {
        int line;
        const char *callee, *text;
    } calls[] = {
        {1, "GUILD", "crier.@GUILD { }"},
        {1, "sink.json", "local f = crier.@sink.json { }"},
        {2, "f", "-- f { }\n  @f 'x'"},
        {1, "f", "f = 1; @f(x)"},
        {1, "f", "local f = { f = 1 }"},
        {1, "f", "a.@f { } f { }"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char *text = strdup(calls[i].text);
        int want_line, want_column, line = 0, column = 0;
        take_mark(text, &want_line, &want_column);
        struct crier_srcmap *map = crier_srcmap_new(text, strlen(text));
        bool found = crier_srcmap_call(map, calls[i].line, calls[i].callee, &line, &column);
        if (found != (want_line != 0) || line != want_line || column != want_column)
            fail_msg("%s: got %d:%d", calls[i].text, line, column);
        crier_srcmap_free(map);
        free(text);
    }
}

struct marks {
    char text[256];
};

static void put_mark(void *arg, int line, int column, const char *word)
{
    struct marks *m = arg;
    size_t len = strlen(m->text);
    snprintf(m->text + len, sizeof m->text - len, "%d:%d %s; ", line, column, word);
}

static void operators_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *found;
    } cases[] = {
        {"x = crier.daily and crier.hourly", "1:17 and; "},
        {"x = crier.daily and y", "1:17 and; "},
        {"x = crier.daily:after '18:00'\n  and crier.after.success 'x'", "2:3 and; "},
        {"x = crier.daily or crier.hourly", "1:17 or; "},
        {"x = not crier.running('x')", "1:5 not; "},
        {"x = not (~crier.running('x') & y)", "1:5 not; "},
        {"x = (crier.daily | crier.hourly) and y", "1:34 and; "},
        {"x = ((y | crier.hourly)) and z", "1:26 and; "},
        {"local d = crier.daily; x = d and y; z = not d", "1:30 and; 1:41 not; "},
        {"local d = ~(crier.daily | y); x = y | d or crier.hourly", "1:41 or; "},
        {"local c = require 'crier'; x = c.daily and y", "1:40 and; "},
        {"local c = require('crier'); x = c.time_of_day and y", "1:47 and; "},
        {"local crier = require 'crier' x = crier.weekly { 'Mon', at = '9:00' } and y", "1:71 and; "},
        /* what is meant so, and what is no condition */
        {"x = test and crier.daily or crier.hourly", ""},
        {"x = opts.start or crier.daily", ""},
        {"x = crier.daily or nil", ""},
        {"x = test and crier.daily", ""},
        {"x = crier.daily & ~crier.running() | crier.hourly", ""},
        {"x = f(crier.daily) and y", ""},
        {"x = f(y, crier.daily) and y", ""},
        {"x = { crier.daily } and y", ""},
        {"x = (y == crier.daily) and z", ""},
        {"x = crier.daily == y and z", ""},
        {"x = crier.log and y", ""},
        {"x = other.daily and y", ""},
        {"x = a.crier.daily and y", ""},
        {"x = 'crier.daily and y' -- crier.daily and y", ""},
        {"t = { d = crier.daily }; x = d and y", ""},
        {"local d = f(crier.daily); x = d and y", ""},
        {"crier.daily", ""},
        {"crier.daily (", ""},
        {"crier.daily ) ) and", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct marks marks = {""};
        char *text = NULL;
        bool own = strstr(cases[i].text, "require") != NULL;
        assert_true(asprintf(&text, "%s%s", own ? "" : "crier = require 'crier' --[[\n]] ",
                             cases[i].text) > 0);
        struct crier_srcmap *map = crier_srcmap_new(text, strlen(text));
        crier_srcmap_conditions(map, put_mark, &marks);
        /* Places count from the case's own first line. */
        char want[256] = "", *save = NULL, copy[256];
        snprintf(copy, sizeof copy, "%s", cases[i].found);
        for (char *one = strtok_r(copy, ";", &save); one && strlen(one) > 1;
             one = strtok_r(NULL, ";", &save)) {
            int line, column;
            char word[8];
            assert_int_equal(sscanf(one, " %d:%d %7s", &line, &column, word), 3);
            if (!own) {
                column += line == 1 ? 3 : 0;
                line++;
            }
            size_t len = strlen(want);
            snprintf(want + len, sizeof want - len, "%d:%d %s; ", line, column, word);
        }
        if (strcmp(marks.text, want) != 0)
            fail_msg("%s: %s, not %s", cases[i].text, marks.text, want);
        crier_srcmap_free(map);
        free(text);
    }
}

static void files_are_loaded(void **state)
{
    (void)state;
    char path[] = "/tmp/crier_srcmap_XXXXXX";
    int fd = mkstemp(path), line, column;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "\nf { k = 1 }", 12), 12);
    close(fd);
    struct crier_srcmap *map = crier_srcmap_load(path);
    assert_non_null(map);
    assert_true(crier_srcmap_key(map, 2, "f", "k", &line, &column));
    assert_int_equal(line, 2);
    assert_int_equal(column, 5);
    crier_srcmap_free(map);
    unlink(path);
    assert_null(crier_srcmap_load(path));
    assert_null(crier_srcmap_load("/tmp"));
    crier_srcmap_free(NULL);
}

/* Time grows with the text, not with its square. */
static void a_long_file_is_read_in_linear_time(void **state)
{
    (void)state;
    static const char *const units[] = {"f { a = { 1, 'x' }, k = 2 }\n", "]", "[=", "{", "\"\\z \n",
                                        "x(crier.daily) ", "(crier.daily ", "local d = crier.daily ",
                                        "--[[", "]=", "a.", "function "};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i]), count = ROUNDS(2000000) / n;
        char *text = malloc(n * count);
        for (size_t j = 0; j < count; j++)
            memcpy(text + j * n, units[i], n);
        memcpy(text, "crier = require 'crier' ", strchr(units[i], 'd') ? 24 : 0);
        clock_t began = clock();
        struct crier_srcmap *map = crier_srcmap_new(text, n * count);
        int line = 0, column = 0;
        for (int at = 1; at < 1000; at++)
            crier_srcmap_key(map, at, "f", "k", &line, &column);
        crier_srcmap_conditions(map, put_mark, &(struct marks){""});
        /* Its square would take days; a sanitizer on a busy machine takes seconds. */
        if ((double)(clock() - began) / CLOCKS_PER_SEC > 30)
            fail_msg("%s: too slow", units[i]);
        crier_srcmap_free(map);
        free(text);
    }
}

static uint32_t chance(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Whatever the text has become, no access outside of it (the sanitizers look) and no place that is
 * not in it. */
static void mutated_files_do_no_harm(void **state)
{
    (void)state;
    static const char text[] =
        "#!/usr/bin/crier\nlocal crier = require \"crier\" -- x\n--[==[ long ]=] ]==]\n"
        "crier.GUILD { snowflake = \"8630\", ['logging'] = true, messages = {\n"
        "  crier.TextMESSAGE { name = 'gal\\z  \n lery', channels = { \"97\" }, [1] = 0x1p-4,\n"
        "    data = get { [[one]], [=[two]]]=], function(a, b) if a then repeat b() until b end end },\n"
        "    period = crier.weekly { 'Mon', at = \"09:00\" } or ..., x = a.b:c(d)[e] },\n} }\n";
    static const char bytes[] = "{}()[]=\"'\\-.,;:\n\r\0 azfdounti#9";
    static const char *const paths[] = {"messages.1.data.2", "logging", "x.y[3]", "1", "..", ""};
    uint32_t seed = 12345;
    for (int round = 0; round < ROUNDS(20000); round++) {
        size_t len = sizeof text - 1;
        char *copy = malloc(len); /* exact size: an access behind it is seen */
        memcpy(copy, text, len);
        size_t cut = round % 3 ? len : chance(&seed) % len;
        for (uint32_t i = chance(&seed) % 8; i > 0; i--)
            copy[chance(&seed) % len] = bytes[chance(&seed) % (sizeof bytes - 1)];
        struct crier_srcmap *map = crier_srcmap_new(copy, cut);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            int line = 1, column = 1;
            crier_srcmap_key(map, 4, "GUILD", paths[i], &line, &column);
            crier_srcmap_key(map, 5, "crier.TextMESSAGE", paths[i], &line, &column);
            crier_srcmap_call(map, (int)(chance(&seed) % 12), "weekly", &line, &column);
            assert_in_range(line, 1, 40);
            assert_in_range(column, 1, len);
        }
        struct marks marks = {""};
        crier_srcmap_conditions(map, put_mark, &marks);
        crier_srcmap_free(map);
        free(copy);
    }
}

static void a_key_that_a_call_is_given(void **state)
{
    static const char *const callees[] = {"event", "event.note", "finish", NULL};
    static const struct {
        const char *text;
        int line, column; /* 0: none */
    } cases[] = {
        {"crier.event { is_severe = true }", 1, 15},
        {"crier.event({ descr = f { 1 },\n is_severe = how() })", 2, 2},
        {"local e = crier.event { a = 1 } e:finish { x = {}, is_severe = y }", 1, 52},
        {"crier.event.note { [\"is_severe\"] = true }", 1, 20},
        {"crier.event { is_severe = false } e:finish { is_severe = nil }", 0, 0},
        {"crier.route { match = { is_severe = true } }", 0, 0},
        {"sink:filter { is_severe = true } is_severe = true", 0, 0},
        {"crier.event { params = { is_severe = true } }", 0, 0},
        {"crier.event { is_severe", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_srcmap *map = crier_srcmap_new(cases[i].text, strlen(cases[i].text));
        int line = 0, column = 0;
        bool found = crier_srcmap_given(map, callees, "is_severe", &line, &column);
        if (found != (cases[i].line > 0) || line != cases[i].line || column != cases[i].column)
            fail_msg("%s: %d:%d", cases[i].text, line, column);
        crier_srcmap_free(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found),
        cmocka_unit_test(calls_are_found),
        cmocka_unit_test(operators_are_found),
        cmocka_unit_test(files_are_loaded),
        cmocka_unit_test(a_long_file_is_read_in_linear_time),
        cmocka_unit_test(mutated_files_do_no_harm),
        cmocka_unit_test(a_key_that_a_call_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
