/* SPDX-License-Identifier: MIT
 *
 * How much of Discord's limits is used, in virtual time, against the simulator with its real
 * limits: 500 channels of 25 guilds due at once, by latency (both ways together, on average) and by
 * how far it spreads, in percent; and eight channels with much to say.
 *
 * One line a figure: name value unit. Refused requests are told on stderr; there are to be none.
 */
#include "../unit/sim_load.h"

static struct load load;
static bool bad;

/* At worst, of five seeds. */
static void measure(const char *name, const struct load *what, double (*used)(const struct load *))
{
    double worst = 1;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        load = *what;
        load.seed = seed;
        load_run(&load);
        double share = used(&load);
        worst = share < worst ? share : worst;
        if (load.stats.answers_429 || load.failed || load.most_in_a_second > LOAD_GLOBAL) {
            fprintf(stderr, "%s: %llu refused, %zu not sent at once, up to %d in a second\n", name,
                    (unsigned long long)load.stats.answers_429, load.failed, load.most_in_a_second);
            bad = true;
        }
    }
    printf("%s\t%.4f\tof 1\n", name, worst);
}

int main(void)
{
    static const int latencies[] = {20, 40, 60, 100, 150};
    static const int percents[] = {0, 25, 50};
    static struct load what;
    for (size_t i = 0; i < CRIER_COUNT(latencies); i++) {
        for (size_t j = 0; j < CRIER_COUNT(percents); j++) {
            char name[64];
            int64_t more = latencies[i] * CRIER_MS * percents[j] / 100;
            what = (struct load){.guilds = 25,
                                 .channels = 500,
                                 .each = 4,
                                 .way = latencies[i] * CRIER_MS / 2 - more / 4,
                                 .jitter = more / 2};
            snprintf(name, sizeof name, "limits_global_%dms_%d", latencies[i], percents[j]);
            measure(name, &what, load_global_used);
        }
    }
    what = (struct load){.guilds = 8, .channels = 8, .each = 100, .way = 20 * CRIER_MS};
    measure("limits_buckets_40ms", &what, load_buckets_used);
    return bad;
}
