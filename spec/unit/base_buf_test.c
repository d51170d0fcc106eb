/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static void buffer_grows_and_stays_terminated(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    for (int i = 0; i < 1000; i++)
        crier_buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.len);
    assert_memory_equal(b.data + b.len - 8, "998,999,", 9);
    crier_buf_clear(&b);
    assert_string_equal(b.data, "");
    char long_text[500];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    crier_buf_printf(&b, "<%s>", long_text);
    assert_int_equal(b.len, sizeof long_text - 1 + 2);
    assert_int_equal(b.data[b.len - 1], '>');
    crier_buf_append(&b, "a\0b", 3);
    assert_memory_equal(b.data + b.len - 3, "a\0b", 4);
    crier_buf_fini(&b);

    char *empty = crier_buf_take(&b);
    assert_string_equal(empty, "");
    free(empty);
}

static void errors_are_prefixed_and_cut(void **state)
{
    (void)state;
    struct crier_err err = {0};
    assert_int_equal(crier_err_set(&err, CRIER_EINVAL, "no '%s'", "x"), CRIER_EINVAL);
    assert_int_equal(crier_err_prefix(&err, "opening sink '%s': ", "s"), CRIER_EINVAL);
    assert_string_equal(err.text, "opening sink 's': no 'x'");
    crier_err_sys(&err, CRIER_EIO, ENOENT, "cannot read '%s'", "f");
    assert_string_equal(err.text, "cannot read 'f': No such file or directory");
    assert_int_equal(err.sys, ENOENT);
    char long_text[400];
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    crier_err_set(&err, CRIER_EINVAL, "%s", long_text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_string_equal(err.text + sizeof err.text - 4, "...");
    crier_err_prefix(&err, "in %s: ", "z");
    assert_memory_equal(err.text, "in z: yyy", 9);
    assert_string_equal(err.text + sizeof err.text - 4, "...");
    assert_int_equal(crier_err_set(NULL, CRIER_EBUSY, "x"), CRIER_EBUSY);
}

static void nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"period", "path", "mode", "channels", "start_in", "data"};
    const struct {
        const char *word, *near;
    } cases[] = {
        {"perod", "period"},
        {"peroid", "period"},
        {"Period", "period"},
        {"paht", "path"},
        {"mod", "mode"},
        {"mood", "mode"},
        {"chanels", "channels"},
        {"startin", "start_in"},
        {"date", "data"},
        {"colour", NULL},
        {"x", NULL},
        {"", NULL},
        {"channels", "channels"},
        {"a_word_that_is_much_longer_than_any_option_could_be", NULL},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        const char *near = crier_nearest(cases[i].word, names, CRIER_COUNT(names));
        if (!cases[i].near)
            assert_null(near);
        else
            assert_string_equal(near ? near : "(none)", cases[i].near);
    }
    static const char *const equal[] = {"cat", "bat"};
    assert_string_equal(crier_nearest("hat", equal, 2), "cat"); /* the first of equals */
    assert_null(crier_nearest("x", NULL, 0));
}

static void files_and_folders(void **state)
{
    (void)state;
    char dir[] = "/tmp/crier-base-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct crier_err err = {0};
    char *deep = crier_path_join(dir, "a/b/c");
    assert_int_equal(crier_mkdirs(deep, true, &err), 0);
    assert_int_equal(crier_mkdirs(deep, true, &err), 0);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    char *path = crier_path_join(deep, "file");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100000; i++)
        fputc('a' + i % 26, f);
    fclose(f);
    struct crier_buf b = {0};
    assert_int_equal(crier_file_read(path, 100000, &b, &err), 0);
    assert_int_equal(b.len, 100000);
    assert_int_equal(b.data[99999], 'a' + 99999 % 26);
    crier_buf_clear(&b);
    assert_int_equal(crier_file_read(path, 99999, &b, &err), CRIER_ELIMIT);
    assert_int_equal(crier_mkdirs(path, false, &err), CRIER_EIO);
    crier_buf_clear(&b);
    assert_int_equal(crier_file_read("/tmp/crier-no-such-file", 10, &b, &err), CRIER_ENOTFOUND);
    assert_int_equal(err.sys, ENOENT);
    crier_buf_fini(&b);
    unlink(path);
    free(path);
    for (int i = 0; i < 3; i++) {
        rmdir(deep);
        *strrchr(deep, '/') = '\0';
    }
    rmdir(dir);
    free(deep);

    char *absolute = crier_path_join("/base", "/etc");
    assert_string_equal(absolute, "/etc");
    free(absolute);
    char *slash = crier_path_join("/base/", "x");
    assert_string_equal(slash, "/base/x");
    free(slash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_grows_and_stays_terminated),
        cmocka_unit_test(errors_are_prefixed_and_cut),
        cmocka_unit_test(nearest_name),
        cmocka_unit_test(files_and_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
