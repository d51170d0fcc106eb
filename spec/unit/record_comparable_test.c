/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "record/comparable.h"

static void comparable(void **state)
{
    static const char *const cases[][2] = {
        {"sent 3 messages in 1.5 s", "sent <n> messages in <n> s"},
        {"at 10:30:00, -4 degrees, 1,000 of 10%", "at <n>, <n> degrees, <n> of <n>%"},
        {"user 145196308985020416 left", "user <id> left"},
        {"id=deadbeef01 0x1f cafe facade", "id=<id> <id> cafe facade"},
        {"6ba7b810-9dad-11d1-80b4-00c04fd430c8!", "<id>!"},
        {"record 01ARZ3NDEKTSV4RRFFQ69G5FAV", "record <id>"},
        {"no \"such thing\" as 'this one' or `that`", "no <text> as <text> or <text>"},
        {"don't and can't", "don't and can't"},
        {"an \"open end", "an \"open end"},
        {"worker12 took 250ms", "worker<n> took <n>ms"},
        {"a-1 b - 2", "a-<n> b - <n>"},
        {"2023-11-14T22:13:22Z up", "<n>-<n>-<n>T<n>Z up"},
        {"h\xc3\xa9llo w\xc3\xb6rld", "h\xc3\xa9llo w\xc3\xb6rld"},
        {"", ""},
    };
    struct crier_buf b = {0};
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        crier_buf_clear(&b);
        crier_buf_puts(&b, "");
        crier_text_comparable(cases[i][0], strlen(cases[i][0]), &b);
        assert_string_equal(b.data, cases[i][1]);
    }
    /* Cut at the end of a character. */
    crier_buf_clear(&b);
    char text[2001];
    for (int i = 0; i < 1000; i++)
        memcpy(text + 2 * i + 1, "\xc3\xa9", 2);
    text[0] = 'x';
    crier_text_comparable(text, sizeof text, &b);
    assert_int_equal(b.len, CRIER_COMPARABLE_MAX);
    assert_memory_equal(b.data + b.len - 5, "\xc3\xa9...", 5);
    crier_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comparable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
