/* SPDX-License-Identifier: MIT
 *
 * Many channels due at once, with the simulator's real limits, in virtual time: the limits are
 * used, none is overrun, and no guild is served before another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discord/client.h"
#include "sim/sim.h"

enum { GUILDS = 25, CHANNELS = 500, MOST = 20000 };

struct done {
    int64_t at;
    int guild;
};
static struct {
    struct crier_loop *loop;
    struct done done[MOST];
    size_t count;
} w;

static void on_done(void *arg, const struct crier_discord_result *result)
{
    assert_int_equal(result->outcome, CRIER_SENT);
    assert_int_equal(result->requests, 1);
    w.done[w.count++] = (struct done){crier_loop_now(w.loop), (int)(intptr_t)arg};
}

/* Every channel gets so many creates at once; how long all of it takes, and what was answered. */
static int64_t burst(int channels, int each, struct crier_sim_stats *stats)
{
    struct crier_clock *clock = crier_clock_virtual(1790000000000000LL);
    struct crier_loop *loop = w.loop = crier_loop_new(clock);
    struct crier_sim_config sc = {.seed = 7, .latency = 40 * CRIER_MS, .limits = true};
    struct crier_sim *sim = crier_sim_new(loop, &sc);
    crier_sim_add_bot(sim, "good.bot.token", "crier");
    for (int i = 0; i < channels; i++) {
        uint64_t guild = 1000 + (uint64_t)(i % GUILDS);
        crier_sim_add_guild(sim, guild, NULL);
        crier_sim_add_channel(sim, 5000 + (uint64_t)i, guild, NULL, 0);
    }
    struct crier_transport *transport = crier_sim_transport(sim, loop);
    struct crier_discord_config config = {.name = "main",
                                          .api = "https://discord.test/api/v10",
                                          .token = "good.bot.token",
                                          .global_per_second = 50,
                                          .rng_seed = 1};
    struct crier_discord *d = crier_discord_new(loop, transport, &config);
    struct crier_content *content = crier_content_new();
    content->text = crier_strdup("hello");
    w.count = 0;
    int64_t began = crier_loop_now(loop);
    for (int k = 0; k < each; k++) {
        for (int i = 0; i < channels; i++) {
            char nonce[26];
            crier_discord_nonce("m", (uint64_t)i, k, nonce);
            crier_discord_create(d, 5000 + (uint64_t)i, content, NULL, nonce, 0, CRIER_NEVER,
                                 on_done, (void *)(intptr_t)(i % GUILDS));
        }
    }
    crier_loop_run(loop, CRIER_NEVER);
    assert_int_equal(w.count, (size_t)channels * (size_t)each);
    int64_t took = w.done[w.count - 1].at - began;
    crier_sim_stats(sim, stats);
    crier_content_unref(content);
    crier_discord_free(d);
    transport->ops->free(transport);
    crier_sim_free(sim);
    crier_loop_free(loop);
    crier_clock_free(clock);
    return took;
}

static void five_hundred_channels_at_once(void **state)
{
    (void)state;
    enum { EACH = 4 };
    struct crier_sim_stats stats;
    int64_t took = burst(CHANNELS, EACH, &stats);
    assert_int_equal(stats.answers_429, 0);
    assert_int_equal(stats.creates, CHANNELS * EACH);
    /* Fifty a second, the first fifty at once. What is missing is the time that a request may be
     * under way: nobody tells when it arrived, and each latency of 10 ms costs one in a hundred. */
    double best = (double)(CHANNELS * EACH - 50) / 50, used = best / ((double)took / 1e6);
    print_message("global limit used: %.4f\n", used);
    assert_true(used >= 0.95);
    /* At any moment no guild is more than one of its rounds ahead of another. */
    int sent[GUILDS] = {0};
    for (size_t i = 0; i < w.count; i++) {
        sent[w.done[i].guild]++;
        int least = sent[0], most = sent[0];
        for (int g = 1; g < GUILDS; g++) {
            least = sent[g] < least ? sent[g] : least;
            most = sent[g] > most ? sent[g] : most;
        }
        assert_true(most - least <= 3);
    }
}

static void few_channels_with_much_to_say(void **state)
{
    (void)state;
    enum { FEW = 8, EACH = 100 };
    struct crier_sim_stats stats;
    int64_t took = burst(FEW, EACH, &stats);
    assert_int_equal(stats.answers_429, 0);
    /* Five in five seconds each, the first five at once; the window begins at the first request. */
    double best = (double)(EACH / 5 - 1) * 5, used = best / ((double)took / 1e6);
    print_message("buckets used: %.4f\n", used);
    assert_true(used >= 0.95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_channels_at_once),
        cmocka_unit_test(few_channels_with_much_to_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
