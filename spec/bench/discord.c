/* SPDX-License-Identifier: MIT
 *
 * Creates over HTTP, 64 at once, against `crier discord-sim --no-limits` in a process of its own:
 *
 *     discord URL [COUNT]      discord http://127.0.0.1:4000/api/v10 20000
 *
 * Two lines, name value unit: creates a second, and the CPU time of this process a create (building
 * the request, HTTP, rate limits, reading the answer; all that a send costs but its record).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "discord/client.h"

enum { AT_ONCE = 64 };

static struct {
    struct crier_loop *loop;
    struct crier_discord *d;
    struct crier_content *content;
    long left, under_way, bad;
} w;

static void on_done(void *arg, const struct crier_discord_result *result);

static void next(uint64_t channel)
{
    char nonce[26];
    if (!w.left)
        return;
    w.left--;
    w.under_way++;
    crier_discord_nonce("bench", channel, w.left, nonce);
    struct crier_request_id id = crier_discord_create(
        w.d, channel, w.content, NULL, nonce, 0, CRIER_NEVER, on_done, (void *)(uintptr_t)channel);
    crier_discord_brief(w.d, id);
}

static void on_done(void *arg, const struct crier_discord_result *result)
{
    w.bad += result->outcome != CRIER_SENT;
    w.under_way--;
    next((uint64_t)(uintptr_t)arg);
    if (!w.left && !w.under_way)
        crier_loop_stop(w.loop);
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(long count)
{
    w.left = count;
    for (int i = 0; i < AT_ONCE; i++)
        next(1000 + (uint64_t)i);
    crier_loop_run(w.loop, CRIER_NEVER);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: discord URL [COUNT]\n");
        return 64;
    }
    long count = argc > 2 ? atol(argv[2]) : 20000;
    struct crier_clock *clock = crier_clock_real();
    w.loop = crier_loop_new(clock);
    struct crier_transport *transport = crier_transport_curl(w.loop);
    struct crier_discord_config config = {.name = "bench",
                                          .api = argv[1],
                                          .token = "good.bot.token",
                                          .global_per_second = 100000,
                                          .rng_seed = 1};
    w.d = crier_discord_new(w.loop, transport, &config);
    w.content = crier_content_new();
    w.content->text =
        crier_strdup("The week in numbers: 42 visits, 7 of them new, none of them lost.");
    run(AT_ONCE * 4L); /* connections, and what each route allows */
    double used = cpu();
    int64_t began = crier_loop_now(w.loop);
    run(count);
    double took = (double)(crier_loop_now(w.loop) - began) / 1e6;
    used = cpu() - used;
    printf("discord_creates\t%.0f\tcreates/s\n", (double)count / took);
    printf("discord_create_cpu\t%.1f\tus\n", used * 1e6 / (double)count);
    if (w.bad)
        fprintf(stderr, "%ld of %ld creates failed\n", w.bad, count);
    crier_discord_free(w.d);
    transport->ops->free(transport);
    crier_content_unref(w.content);
    crier_loop_free(w.loop);
    crier_clock_free(clock);
    return w.bad != 0;
}
