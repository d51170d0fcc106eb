/* SPDX-License-Identifier: MIT
 *
 * The sinks that write lines: records/s through driver->write with the JSON cached, and records/s
 * the whole way (build, queue, worker, file, flushed at the end). Prints `name value unit`,
 * tab-separated; the best of some rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "record/build.h"
#include "sink/registry.h"

enum { RECORDS = 20000, WRITTEN = 1000000, EACH = 20, BATCH = 512, ROUNDS = 3 };

static struct crier_record *records[RECORDS];
static struct crier_sink_env env;
static struct crier_loop *loop;

static struct crier_record *make(struct crier_builder *b, int i)
{
    crier_build_begin(b, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(env.clock));
    crier_build_logger(b, "bot.rolls", 9);
    crier_build_text(b, "the roll went round and the third picture is shown", 50);
    crier_build_where(b, "bot.lua:14", 10);
    CRIER_B_STR(b, "user", i % EACH ? "somebody with a name" : "nobody of that name");
    CRIER_B_INT(b, "count", i % EACH);
    CRIER_B_NUM(b, "share", i / 1000.0);
    CRIER_B_BOOL(b, "late", false);
    CRIER_B_STR(b, "channel", "978332728615378984");
    return crier_build_end(b);
}

static void fail(const struct crier_err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void *open_driver(const struct crier_sink_driver *driver, struct crier_options *options)
{
    struct crier_err err = {0};
    void *self;
    char *file = crier_asprintf("%s/bench.%s", env.folder, driver->kind);
    remove(file);
    free(file);
    crier_options_init(options, driver->options, driver->option_count);
    struct crier_option_value *path = (void *)crier_options_get(options, "path");
    free(path->s);
    path->s = crier_asprintf("bench.%s", driver->kind);
    if (driver->open(&env, options, driver->kind, &self, &err))
        fail(&err);
    return self;
}

static double seconds(int64_t since)
{
    return (double)(crier_clock_mono(env.clock) - since) / 1e6;
}

static void write_batches(const struct crier_sink_driver *driver, void *self, int count)
{
    struct crier_err err = {0};
    size_t done;
    for (int at = 0; at < count; at += BATCH)
        if (driver->write(self, records + at % (RECORDS - BATCH), BATCH, &done, &err))
            fail(&err);
}

static void bench_write(const struct crier_sink_driver *driver)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct crier_options options;
        void *self = open_driver(driver, &options);
        int64_t start = crier_clock_mono(env.clock);
        write_batches(driver, self, WRITTEN);
        double took = seconds(start);
        best = took < best ? took : best;
        driver->close(self);
        crier_options_fini(&options);
    }
    printf("%s.write\t%.3g\trecords/s\n", driver->kind, WRITTEN / best);
}

static void stop_loop(void *arg)
{
    crier_loop_stop(arg);
}

static void bench_end_to_end(const struct crier_sink_driver *driver, struct crier_builder *b)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct crier_options common, options;
        struct crier_err err = {0};
        struct crier_sink *sink;
        driver->close(open_driver(driver, &options));
        crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
        ((struct crier_option_value *)crier_options_get(&common, "queue"))->i = 1 << 20;
        if (crier_sink_open(driver, driver->kind, &common, &options, &env, &sink, &err))
            fail(&err);
        crier_sink_start(sink, loop);
        int64_t start = crier_clock_mono(env.clock);
        for (int i = 0; i < WRITTEN; i++) {
            struct crier_record *record = make(b, i);
            crier_sink_push(sink, record);
            crier_record_unref(record);
        }
        crier_sink_flush(sink, stop_loop, loop);
        crier_loop_run(loop, CRIER_NEVER);
        double took = seconds(start);
        best = took < best ? took : best;
        crier_sink_unref(sink);
    }
    printf("%s.end_to_end\t%.3g\trecords/s\n", driver->kind, WRITTEN / best);
}

int main(void)
{
    static const struct crier_sink_driver *const drivers[] = {&crier_sink_jsonl, &crier_sink_csv};
    char folder[] = "/tmp/crier-bench-XXXXXX";
    struct crier_source source;
    struct crier_builder b;
    struct crier_zone *zone;
    size_t bytes = 0;
    if (!mkdtemp(folder) || crier_zone_open("UTC", &zone, NULL))
        return 1;
    env = (struct crier_sink_env){
        .clock = crier_clock_real(), .zone = zone, .folder = folder, .state_folder = folder};
    loop = crier_loop_new(env.clock);
    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
    for (int i = 0; i < RECORDS; i++) {
        records[i] = make(&b, i);
        bytes += crier_record_json(records[i]).len + 1;
    }
    printf("lines.size\t%zu\tbytes\n", bytes / RECORDS);
    for (size_t i = 0; i < CRIER_COUNT(drivers); i++) {
        bench_write(drivers[i]);
        bench_end_to_end(drivers[i], &b);
    }
    for (int i = 0; i < RECORDS; i++)
        crier_record_unref(records[i]);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    crier_loop_free(loop);
    crier_zone_unref(zone);
    char *command = crier_asprintf("rm -rf %s", folder);
    int rc = system(command);
    free(command);
    return rc != 0;
}
