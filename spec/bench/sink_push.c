/* SPDX-License-Identifier: MIT
 *
 * What the way from the loop to a driver costs: a push while the worker is awake, the whole way
 * through a driver that only counts, and the way over the spool. Prints `name value unit`,
 * tab-separated; the best of five rounds.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "records.h"

#define COUNT 1000000
#define ROUNDS 5

static atomic_bool held;

static int count_open(const struct crier_sink_env *env, const struct crier_options *options,
                      const char *name, void **self, struct crier_err *err)
{
    (void)env, (void)options, (void)name, (void)err;
    *self = crier_calloc(1, sizeof(uint64_t));
    return CRIER_OK;
}

static enum crier_verdict count_write(void *self, struct crier_record *const *records, size_t count,
                                      size_t *done, struct crier_err *err)
{
    (void)records, (void)err;
    while (atomic_load(&held))
        usleep(50);
    *(uint64_t *)self += count;
    *done = count;
    return CRIER_WRITTEN;
}

static void count_close(void *self)
{
    free(self);
}

static const struct crier_sink_driver counting = {
    .kind = "counting",
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = count_open,
    .write = count_write,
    .close = count_close,
};

static struct crier_sink *open_sink(int64_t queue, bool durable)
{
    struct crier_options common, options;
    struct crier_sink *sink;
    struct crier_err err = {0};
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, NULL, 0);
    ((struct crier_option_value *)crier_options_get(&common, "queue"))->i = queue;
    struct crier_option_value *v = (void *)crier_options_get(&common, "durable");
    v->set = true;
    v->i = durable;
    if (crier_sink_open(&counting, "counting", &common, &options, &bench_env, &sink, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    crier_sink_start(sink, loop);
    return sink;
}

static void stop_loop(void *arg)
{
    crier_loop_stop(arg);
}

static void wait_all(struct crier_sink *sink)
{
    crier_sink_flush(sink, stop_loop, loop);
    crier_loop_run(loop, CRIER_NEVER);
}

static void push_all(struct crier_sink *sink, int n)
{
    for (int i = 0; i < n; i++)
        crier_sink_push(sink, made[i % RECORDS]);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void memory_way(void)
{
    int64_t push = INT64_MAX, all = INT64_MAX;
    struct crier_sink *sink = open_sink(1 << 20, false);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(bench_env.clock);
        push_all(sink, COUNT);
        push = least(push, crier_clock_mono(bench_env.clock) - start);
        wait_all(sink);
        all = least(all, crier_clock_mono(bench_env.clock) - start);
    }
    printf("sink.push\t%.1f\tns\n", (double)push * 1000 / COUNT);
    printf("sink.end_to_end\t%.3g\trecords/s\n", COUNT * 1e6 / (double)all);
    crier_sink_unref(sink);
}

/* What one push costs a loop at most; on a busy machine, also what others were given in between. */
static int64_t longest_push(struct crier_sink *sink)
{
    int64_t worst = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t start = crier_clock_mono(bench_env.clock);
        crier_sink_push(sink, made[i % RECORDS]);
        int64_t took = crier_clock_mono(bench_env.clock) - start;
        worst = took > worst ? took : worst;
    }
    return worst;
}

/* A sink that is blocked: all goes to the spool. */
static void blocked_way(void)
{
    struct crier_sink *sink = open_sink(8192, false);
    atomic_store(&held, true);
    printf("sink.push_blocked_worst\t%" PRId64 "\tus\n", longest_push(sink));
    atomic_store(&held, false);
    wait_all(sink);
    crier_sink_unref(sink);
}

static void spool_way(void)
{
    int64_t spill = INT64_MAX, drain = INT64_MAX;
    struct crier_sink *sink = open_sink(1, false);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&held, true);
        int64_t start = crier_clock_mono(bench_env.clock);
        push_all(sink, COUNT);
        spill = least(spill, crier_clock_mono(bench_env.clock) - start);
        atomic_store(&held, false);
        start = crier_clock_mono(bench_env.clock);
        wait_all(sink);
        drain = least(drain, crier_clock_mono(bench_env.clock) - start);
    }
    printf("sink.spill\t%.1f\tns\n", (double)spill * 1000 / COUNT);
    printf("sink.from_spool\t%.3g\trecords/s\n", COUNT * 1e6 / (double)drain);
    crier_sink_unref(sink);
}

/* Each record in the spool before push returns: in bursts as a loop makes them, so that the sink
 * keeps up; the longest single push; and with a sink that is blocked all the time. */
static void durable_way(void)
{
    int64_t best = INT64_MAX, blocked = INT64_MAX, worst, all = INT64_MAX;
    struct crier_sink *sink = open_sink(8192, true);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(bench_env.clock);
        push_all(sink, COUNT);
        best = least(best, crier_clock_mono(bench_env.clock) - start);
        wait_all(sink);
        all = least(all, crier_clock_mono(bench_env.clock) - start);
    }
    worst = longest_push(sink);
    wait_all(sink);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_store(&held, true);
        int64_t start = crier_clock_mono(bench_env.clock);
        push_all(sink, COUNT);
        blocked = least(blocked, crier_clock_mono(bench_env.clock) - start);
        atomic_store(&held, false);
        wait_all(sink);
    }
    printf("sink.push_durable\t%.1f\tns\n", (double)best * 1000 / COUNT);
    printf("sink.push_durable_worst\t%" PRId64 "\tus\n", worst);
    printf("sink.push_durable_blocked\t%.1f\tns\n", (double)blocked * 1000 / COUNT);
    printf("sink.durable_end_to_end\t%.3g\trecords/s\n", COUNT * 1e6 / (double)all);
    crier_sink_unref(sink);
}

int main(void)
{
    char folder[] = "/tmp/crier-bench-XXXXXX";
    char command[64];
    if (!mkdtemp(folder))
        return 1;
    bench_env = (struct crier_sink_env){.clock = crier_clock_real(), .state_folder = folder};
    loop = crier_loop_new(bench_env.clock);
    make_records();
    memory_way();
    spool_way();
    blocked_way();
    durable_way();
    for (int i = 0; i < RECORDS; i++)
        crier_record_unref(made[i]);
    crier_loop_free(loop);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
