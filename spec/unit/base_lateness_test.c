/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/lateness.h"
#include "base/ulid.h"

static void small_ones_are_exact(void **state)
{
    (void)state;
    struct crier_lateness l = {0};
    assert_int_equal(crier_lateness_at(&l, 500), 0);
    for (int64_t us = -1; us < 8; us++)
        crier_lateness_add(&l, us);
    assert_int_equal(crier_lateness_at(&l, 1), 0);
    assert_int_equal(crier_lateness_at(&l, 500), 3); /* -1 is none */
    assert_int_equal(crier_lateness_at(&l, 1000), 7);
    assert_int_equal(l.max, 7);
}

static void large_ones_are_at_most_an_eighth_above(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 7);
    for (int i = 0; i < 10000; i++) {
        int64_t us = crier_rng_range(&rng, 1, (int64_t)1 << crier_rng_range(&rng, 1, 40));
        struct crier_lateness l = {0};
        crier_lateness_add(&l, us);
        crier_lateness_add(&l, INT64_MAX / 2);
        int64_t half = crier_lateness_at(&l, 500);
        assert_true(half >= us && half <= us + us / 8);
    }
}

static void what_is_beyond_the_scale_counts_in_its_last_step(void **state)
{
    (void)state;
    struct crier_lateness l = {0};
    crier_lateness_add(&l, INT64_MAX);
    assert_int_equal(l.max, INT64_MAX);
    assert_true(crier_lateness_at(&l, 990) > (int64_t)1 << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_ones_are_exact),
        cmocka_unit_test(large_ones_are_at_most_an_eighth_above),
        cmocka_unit_test(what_is_beyond_the_scale_counts_in_its_last_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
