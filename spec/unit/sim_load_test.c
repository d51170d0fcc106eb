/* SPDX-License-Identifier: MIT
 *
 * Many channels due at once, with the simulator's real limits, in virtual time: the limits are
 * used, none is overrun, and nobody is served before another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim_load.h"

enum { GUILDS = 25, CHANNELS = 500, EACH = 4 };
static struct load load;

static void run(void)
{
    load_run(&load);
    assert_int_equal(load.failed, 0);
    assert_int_equal(load.stats.answers_429, 0);
    assert_int_equal(load.hits_429, 0);
    assert_int_equal(load.count, (size_t)(load.channels * load.each + load.others));
    assert_int_equal(load.stats.creates, load.count);
    if (!load.others) /* or it is two bots' seconds */
        assert_in_range(load.most_in_a_second, 1, LOAD_GLOBAL);
}

/* When the last one of a guild was done. */
static int64_t last_of(int guild)
{
    int64_t at = 0;
    for (size_t i = 0; i < load.count; i++)
        at = load.done[i].guild == guild ? load.done[i].at : at;
    return at;
}

/* At any moment, no guild that still wants something has got more than `most` less than another. */
static void assert_fair(int from, int most)
{
    int sent[GUILDS] = {0}, wanted[GUILDS] = {0};
    for (int i = 0; i < load.channels; i++)
        wanted[load_guild(&load, i)] += load.each;
    for (size_t i = 0; i < load.count; i++) {
        if (load.done[i].guild < 0)
            continue;
        sent[load.done[i].guild]++;
        int ahead = 0, behind = INT32_MAX;
        for (int g = from; g < load.guilds; g++) {
            ahead = sent[g] > ahead ? sent[g] : ahead;
            behind = sent[g] < wanted[g] && sent[g] < behind ? sent[g] : behind;
        }
        assert_true(behind == INT32_MAX || ahead - behind <= most);
    }
}

/* --- what is allowed is used --------------------------------------------------------------- */

/* Fifty a second, the first fifty at once. */
static void five_hundred_channels_at_once(void **state)
{
    (void)state;
    static const struct load nets[] = {
        {.way = 10 * CRIER_MS},
        {.way = 20 * CRIER_MS, .jitter = 5 * CRIER_MS},
        {.way = 25 * CRIER_MS, .jitter = 15 * CRIER_MS},
        {.way = 40 * CRIER_MS, .jitter = 20 * CRIER_MS},
        {.way = 75 * CRIER_MS},
        {.way = 56 * CRIER_MS, .jitter = 37 * CRIER_MS},
        {.way = 30 * CRIER_MS, .jitter = 10 * CRIER_MS, .handling = 100 * CRIER_MS},
    };
    double worst = 1;
    for (size_t i = 0; i < CRIER_COUNT(nets); i++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            load = nets[i];
            load.guilds = GUILDS;
            load.channels = CHANNELS;
            load.each = EACH;
            load.seed = seed;
            run();
            double used = load_global_used(&load);
            worst = used < worst ? used : worst;
            if (used < 0.95)
                fail_msg("net %zu, seed %d: %.4f of the global limit used", i, (int)seed, used);
            assert_fair(0, 3);
        }
    }
    print_message("global limit used, at worst: %.4f\n", worst);
}

/* What has waited for a connection arrives all at once when there is one. */
static void a_connection_that_takes_a_while(void **state)
{
    (void)state;
    load = (struct load){.guilds = GUILDS,
                         .channels = CHANNELS,
                         .each = 1,
                         .way = 30 * CRIER_MS,
                         .jitter = 10 * CRIER_MS,
                         .connecting = 5 * CRIER_S};
    run();
    assert_in_range(load.took, 14 * CRIER_S, 14500 * CRIER_MS);
}

/* Five in five seconds each, the first five at once; the window begins at the first request. */
static void few_channels_with_much_to_say(void **state)
{
    (void)state;
    load = (struct load){.guilds = 8, .channels = 8, .each = 100, .way = 20 * CRIER_MS};
    run();
    double used = load_buckets_used(&load);
    print_message("buckets used: %.4f\n", used);
    assert_true(used >= 0.95);
}

/* --- nobody before another ----------------------------------------------------------------- */

static void a_large_guild_does_not_hold_up_small_ones(void **state)
{
    (void)state;
    /* 400 of one guild are asked for first; the others have four or five each. */
    load = (struct load){.guilds = GUILDS,
                         .channels = CHANNELS,
                         .first = 400,
                         .each = 1,
                         .way = 20 * CRIER_MS,
                         .jitter = 10 * CRIER_MS};
    run();
    /* 24 guilds and the large one's turns: 125 requests, in 2 s. */
    for (int g = 1; g < GUILDS; g++)
        assert_in_range(last_of(g), 0, 2200 * CRIER_MS);
    assert_true(load.took < 9500 * CRIER_MS); /* and nothing is lost by that */
}

static void a_guild_that_is_slow_delays_no_other(void **state)
{
    (void)state;
    for (int stuck = 0; stuck < 2; stuck++) {
        load = (struct load){.guilds = GUILDS,
                             .channels = CHANNELS,
                             .each = 2,
                             .way = 20 * CRIER_MS,
                             .jitter = 10 * CRIER_MS,
                             .stuck = stuck ? 20 * CRIER_S : 0};
        run();
        for (int g = 1; g < GUILDS; g++)
            assert_in_range(last_of(g), 18 * CRIER_S, 20 * CRIER_S);
        assert_fair(1, 3);
        assert_true((last_of(0) > 40 * CRIER_S) == stuck);
    }
}

static void one_bot_of_several_leaves_room_to_the_others(void **state)
{
    (void)state;
    load = (struct load){.guilds = GUILDS,
                         .channels = CHANNELS,
                         .others = 50,
                         .each = 2,
                         .way = 20 * CRIER_MS,
                         .jitter = 10 * CRIER_MS};
    run();
    assert_in_range(last_of(-1), 0, 100 * CRIER_MS); /* its fifty go at once */
    assert_fair(0, 3);
    assert_true(load_global_used(&load) >= 0.95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_channels_at_once),
        cmocka_unit_test(a_connection_that_takes_a_while),
        cmocka_unit_test(few_channels_with_much_to_say),
        cmocka_unit_test(a_large_guild_does_not_hold_up_small_ones),
        cmocka_unit_test(a_guild_that_is_slow_delays_no_other),
        cmocka_unit_test(one_bot_of_several_leaves_room_to_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
