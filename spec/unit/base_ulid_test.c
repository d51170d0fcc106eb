/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/ulid.h"

static void text_and_back(void **state)
{
    (void)state;
    /* Both ends, and one that every implementation has in its documents. */
    const struct {
        unsigned char id[16];
        const char *text;
    } cases[] = {
        {{0}, "00000000000000000000000000"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff},
         "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
        {{0x01, 0x56, 0x3e, 0x3a, 0xb5, 0xd3, 0xd6, 0x76, 0x4c, 0x61, 0xef, 0xb9, 0x93, 0x02, 0xbd,
          0x5b},
         "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char text[CRIER_ULID_LEN + 1];
        unsigned char id[16];
        crier_ulid_text(cases[i].id, text);
        assert_string_equal(text, cases[i].text);
        assert_true(crier_ulid_parse(text, id));
        assert_memory_equal(id, cases[i].id, 16);
    }
    unsigned char id[16], lower[16];
    assert_true(crier_ulid_parse("01ARYZ6S41V56SV7TRC2KTTQ8H", id));
    assert_true(crier_ulid_parse("01aryz6s41v56sv7trc2kttq8h", lower));
    assert_memory_equal(id, lower, 16);
}

static void bad_texts(void **state)
{
    (void)state;
    unsigned char id[16];
    assert_false(crier_ulid_parse("", id));
    assert_false(crier_ulid_parse("01ARYZ6S41V56SV7TRC2KTTQ8", id));
    assert_false(crier_ulid_parse("01ARYZ6S41V56SV7TRC2KTTQ8HH", id));
    assert_false(crier_ulid_parse("81ARYZ6S41V56SV7TRC2KTTQ8H", id)); /* more than 128 bits */
    assert_false(crier_ulid_parse("01ARYZ6S41V56SV7TRC2KTTQ8U", id));
    assert_false(crier_ulid_parse("01ARYZ6S41V56SV7TRC2KTTQ8I", id));
    assert_false(crier_ulid_parse("01ARYZ6S41V56SV7-RC2KTTQ8H", id));
}

static uint64_t ms_of(const unsigned char id[16])
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return ms;
}

static void ids_go_up(void **state)
{
    (void)state;
    struct crier_ulid_gen gen = {0};
    crier_rng_seed(&gen.rng, 1);
    unsigned char last[16] = {0}, id[16];
    int64_t wall = 1795300270123456;
    for (int i = 0; i < 10000; i++) {
        int64_t at = wall + i * 100 - (i % 7 == 0 ? 5000000 : 0); /* a clock that steps back */
        crier_ulid_next(&gen, at, id);
        assert_true(memcmp(last, id, 16) < 0);
        memcpy(last, id, 16);
    }
    assert_int_equal(ms_of(last), (wall + 9999 * 100) / 1000);

    crier_ulid_next(&gen, wall + 10000000, last);
    crier_ulid_next(&gen, wall + 10000000, id);
    assert_int_equal(id[15], (unsigned char)(last[15] + 1)); /* counts up by one */

    memset(gen.last + 6, 0xff, 10); /* the random part is used up: the next millisecond */
    crier_ulid_next(&gen, wall + 10000000, id);
    assert_int_equal(ms_of(id), ms_of(last) + 1);
    assert_true(memcmp(last, id, 16) < 0);

    struct crier_ulid_gen old = {0}; /* a virtual clock may start at the epoch */
    crier_rng_seed(&old.rng, 1);
    memset(last, 0, 16);
    for (int i = 0; i < 100; i++) {
        crier_ulid_next(&old, 0, id);
        assert_true(memcmp(last, id, 16) < 0);
        memcpy(last, id, 16);
    }
}

static void same_seed_same_numbers(void **state)
{
    (void)state;
    struct crier_rng a, b, c;
    crier_rng_seed(&a, 42);
    crier_rng_seed(&b, 42);
    crier_rng_seed(&c, 43);
    /* xoshiro256** after splitmix64(42), from the reference implementation */
    assert_true(crier_rng_next(&a) == 1546998764402558742ULL);
    assert_true(crier_rng_next(&a) == 6990951692964543102ULL);
    crier_rng_next(&b);
    crier_rng_next(&b);
    crier_rng_next(&c);
    crier_rng_next(&c);
    for (int i = 0; i < 100; i++) {
        uint64_t x = crier_rng_next(&a);
        assert_true(x == crier_rng_next(&b));
        assert_true(x != crier_rng_next(&c));
    }
    crier_rng_seed_system(&a);
    crier_rng_seed_system(&b);
    assert_memory_not_equal(&a, &b, sizeof a);
}

static void ranges(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 3);
    int seen[6] = {0};
    for (int i = 0; i < 60000; i++) {
        int64_t v = crier_rng_range(&rng, -2, 3);
        assert_in_range(v + 2, 0, 5);
        seen[v + 2]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_int_equal(crier_rng_range(&rng, 5, 5), 5);
    bool negative = false, positive = false;
    for (int i = 0; i < 100; i++) {
        int64_t v = crier_rng_range(&rng, INT64_MIN, INT64_MAX);
        negative |= v < 0;
        positive |= v > 0;
    }
    assert_true(negative && positive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back), cmocka_unit_test(bad_texts),
        cmocka_unit_test(ids_go_up),     cmocka_unit_test(same_seed_same_numbers),
        cmocka_unit_test(ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
