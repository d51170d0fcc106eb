/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

static void virtual_time_moves_only_when_told(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(1000);
    assert_true(crier_clock_is_virtual(clock));
    assert_int_equal(crier_clock_mono(clock), 0);
    assert_int_equal(crier_clock_wall(clock), 1000);
    crier_clock_advance_to(clock, 50);
    crier_clock_advance_to(clock, 20); /* never backwards */
    assert_int_equal(crier_clock_mono(clock), 50);
    assert_int_equal(crier_clock_wall(clock), 1050);
    crier_clock_set_wall(clock, 7);
    assert_int_equal(crier_clock_mono(clock), 50);
    assert_int_equal(crier_clock_wall(clock), 7);
    crier_clock_advance_to(clock, 60);
    assert_int_equal(crier_clock_wall(clock), 17);
    crier_clock_free(clock);
}

static void real_time_is_left_alone(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_real();
    assert_ptr_equal(clock, crier_clock_real());
    assert_false(crier_clock_is_virtual(clock));
    int64_t before = crier_clock_mono(clock);
    crier_clock_advance_to(clock, before + 3600 * CRIER_S);
    crier_clock_set_wall(clock, 0);
    int64_t after = crier_clock_mono(clock);
    assert_true(after >= before && after < before + 600 * CRIER_S);
    assert_true(crier_clock_wall(clock) > 1700000000 * CRIER_S);
    crier_clock_free(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_time_moves_only_when_told),
        cmocka_unit_test(real_time_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
