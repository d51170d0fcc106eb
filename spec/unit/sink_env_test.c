/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sink.h"

static void local_hosts(void **state)
{
    (void)state;
    static const char *const local[] = {"localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"};
    static const char *const far[] = {"127.0.0.1.example",
                                      "128.0.0.1",
                                      "localhost.example",
                                      "::2",
                                      "[::1].example",
                                      "example",
                                      "",
                                      "["};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(crier_sink_is_local(local[i]));
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        assert_false(crier_sink_is_local(far[i]));
}

static void hosts_in_sim(void **state)
{
    (void)state;
    static const char *const allow[] = {"redis.example", NULL};
    struct crier_sink_env env = {.sim = false};
    struct crier_err err = {0};
    assert_int_equal(crier_sink_may_reach(&env, "redis.example", &err), CRIER_OK);
    env.sim = true;
    assert_int_equal(crier_sink_may_reach(&env, "127.0.0.1", &err), CRIER_OK);
    assert_int_equal(crier_sink_may_reach(&env, "redis.example", &err), CRIER_EDENIED);
    assert_string_equal(err.text, "refused in --sim: redis.example is not this machine "
                                  "(--sim-allow redis.example lets it through)");
    env.sim_allow = allow;
    assert_int_equal(crier_sink_may_reach(&env, "redis.example", &err), CRIER_OK);
    assert_int_equal(crier_sink_may_reach(&env, "other.example", &err), CRIER_EDENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(local_hosts),
                                       cmocka_unit_test(hosts_in_sim)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
