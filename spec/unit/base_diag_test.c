/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"

static char *printed(struct crier_diags *d, enum crier_diag_format format, bool color)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    crier_diags_print(d, to, format, color);
    fclose(to);
    return text;
}

static void assert_printed(struct crier_diags *d, enum crier_diag_format format, bool color,
                           const char *expect)
{
    char *text = printed(d, format, color);
    assert_string_equal(text, expect);
    free(text);
}

static void add_some(struct crier_diags *d, const char *file)
{
    crier_diags_add(d, CRIER_ERROR, file, 3, 5, "message 'gallery'", "unknown option 'perod'",
                    "did you mean 'period'?");
    crier_diags_add(d, CRIER_WARNING, file, 2, 0, NULL, "logging is off", NULL);
    crier_diags_add(d, CRIER_ERROR, NULL, 0, 0, "bot", "no token", "set DISCORD_TOKEN");
    crier_diags_add(d, CRIER_NOTE, file, 3, 1, NULL, "second of line 3", NULL);
    crier_diags_add(d, CRIER_ERROR, file, 0, 0, NULL, "no place in the file", NULL);
    crier_diags_add(d, CRIER_ERROR, "another.lua", 9, 9, NULL, "is not there", NULL);
}

static void plain_lines_in_order(void **state)
{
    (void)state;
    struct crier_diags d = {0};
    add_some(&d, "bot.lua");
    assert_printed(&d, CRIER_DIAG_PLAIN, true,
                   "bot: no token (set DISCORD_TOKEN)\n"
                   "another.lua:9:9: is not there\n"
                   "bot.lua: no place in the file\n"
                   "bot.lua:2: warning: logging is off\n"
                   "bot.lua:3:1: note: second of line 3\n"
                   "bot.lua:3:5: message 'gallery': unknown option 'perod' (did you mean "
                   "'period'?)\n");
    assert_int_equal(d.errors, 4);
    assert_int_equal(d.warnings, 1);
    crier_diags_fini(&d);
    assert_int_equal(d.count, 0);
}

static void equal_ones_once(void **state)
{
    (void)state;
    struct crier_diags d = {0};
    add_some(&d, "bot.lua");
    add_some(&d, "bot.lua");
    crier_diags_sort(&d);
    add_some(&d, "bot.lua");
    assert_int_equal(d.count, 6);
    assert_int_equal(d.errors, 4);
    crier_diags_add(&d, CRIER_WARNING, NULL, 0, 0, "bot", "no token", "set DISCORD_TOKEN");
    crier_diags_add(&d, CRIER_ERROR, NULL, 0, 0, "bot", "no token", NULL);
    crier_diags_add(&d, CRIER_ERROR, NULL, 1, 0, "bot", "no token", "set DISCORD_TOKEN");
    assert_int_equal(d.count, 9);
    crier_diags_fini(&d);
}

static void json_lines(void **state)
{
    (void)state;
    struct crier_diags d = {0};
    crier_diags_add(&d, CRIER_ERROR, "bot.lua", 14, 20, "message 'g\"'", "a\nb", NULL);
    crier_diags_add(&d, CRIER_WARNING, NULL, 0, 0, NULL, "x", "y");
    assert_printed(&d, CRIER_DIAG_JSON, false,
                   "{\"severity\":\"warning\",\"file\":null,\"line\":null,\"column\":null,"
                   "\"object\":null,\"text\":\"x\",\"help\":\"y\"}\n"
                   "{\"severity\":\"error\",\"file\":\"bot.lua\",\"line\":14,\"column\":20,"
                   "\"object\":\"message 'g\\\"'\",\"text\":\"a\\nb\",\"help\":null}\n");
    crier_diags_fini(&d);
}

static void nothing_breaks_the_line(void **state)
{
    (void)state;
    struct crier_diags d = {0};
    struct crier_buf out = {0};
    crier_diags_add(&d, CRIER_ERROR, "a\nb.lua", 1, 1, "guild 'x\033[2J'", "bad\tname \x7f",
                    "\xc5\xa1kaf");
    crier_diag_text(&d.items[0], &out);
    assert_string_equal(out.data, "a\\nb.lua:1:1: guild 'x\\x1b[2J': bad\\x09name \\x7f "
                                  "(\xc5\xa1kaf)");
    crier_buf_fini(&out);
    crier_diags_fini(&d);
}

static void source_and_caret(void **state)
{
    (void)state;
    char path[] = "/tmp/crier-diag-XXXXXX";
    int fd = mkstemp(path);
    static const char source[] = "one\r\n\t\xc4\x8d = perod\033[2J\nend";
    assert_int_equal(write(fd, source, sizeof source - 1), sizeof source - 1);
    close(fd);
    char expect[1000];
    struct crier_diags d = {0};
    crier_diags_add(&d, CRIER_ERROR, path, 2, 7, "x", "bad", "do y");
    crier_diags_add(&d, CRIER_WARNING, path, 1, 1, NULL, "first", NULL);
    crier_diags_add(&d, CRIER_NOTE, path, 3, 4, NULL, "behind the last byte", NULL);
    crier_diags_add(&d, CRIER_ERROR, path, 3, 99, NULL, "no such column", NULL);
    crier_diags_add(&d, CRIER_ERROR, path, 4, 1, NULL, "no such line", NULL);
    crier_diags_add(&d, CRIER_ERROR, path, 12345, 0, NULL, "nor this", NULL);
    crier_diags_add(&d, CRIER_ERROR, "/tmp/crier-a-not-there", 1, 1, NULL, "no file", NULL);
    snprintf(expect, sizeof expect,
             "/tmp/crier-a-not-there:1:1: no file\n"
             "%s:1:1: warning: first\n"
             "   1 | one\n"
             "     | ^\n"
             "%s:2:7: x: bad (do y)\n"
             "   2 | \t\xc4\x8d = perod?[2J\n"
             "     | \t    ^\n"
             "%s:3:4: note: behind the last byte\n"
             "   3 | end\n"
             "     |    ^\n"
             "%s:3:99: no such column\n"
             "   3 | end\n"
             "%s:4:1: no such line\n"
             "%s:12345: nor this\n",
             path, path, path, path, path, path);
    assert_printed(&d, CRIER_DIAG_TERMINAL, false, expect);
    crier_diags_fini(&d);

    crier_diags_add(&d, CRIER_ERROR, path, 1, 2, "x", "bad", "do y");
    snprintf(expect, sizeof expect,
             "\033[1m%s:1:2:\033[0m \033[31mx: bad\033[0m (do y)\n"
             "   1 | one\n"
             "     |  \033[31m^\033[0m\n",
             path);
    assert_printed(&d, CRIER_DIAG_TERMINAL, true, expect);
    crier_diags_fini(&d);

    /* A secret in the source is never shown; the caret keeps its place. */
    crier_diags_add(&d, CRIER_ERROR, path, 3, 3, "x", "bad", NULL);
    crier_diags_hide(&d, "en");
    crier_diags_hide(&d, "");
    snprintf(expect, sizeof expect,
             "%s:3:3: x: bad\n"
             "   3 | **d\n"
             "     |   ^\n",
             path);
    assert_printed(&d, CRIER_DIAG_TERMINAL, false, expect);
    crier_diags_fini(&d);
    unlink(path);
}

static void many(void **state)
{
    (void)state;
    struct crier_diags d = {0};
    for (int i = 0; i < 50000; i++)
        crier_diags_add(&d, CRIER_ERROR, "bot.lua", 50000 - i, 1, NULL, "x", NULL);
    crier_diags_sort(&d);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(d.items[i].line, i + 1);
    crier_diags_fini(&d);
}

static void format_of_a_pipe(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    bool color = true;
    assert_int_equal(crier_diag_format_for(f, &color), CRIER_DIAG_PLAIN);
    assert_false(color);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_in_order), cmocka_unit_test(equal_ones_once),
        cmocka_unit_test(json_lines),           cmocka_unit_test(nothing_breaks_the_line),
        cmocka_unit_test(source_and_caret),     cmocka_unit_test(many),
        cmocka_unit_test(format_of_a_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
