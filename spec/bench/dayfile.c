/* SPDX-License-Identifier: MIT
 *
 * What a record costs in a day file: the 100th against the 10,000th, one at a time; and records/s
 * of one file in batches. Prints `name value unit`, tab-separated; the best of several rounds.
 * dayfile_naive.py does the same work by writing the file anew for each record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/duration.h"
#include "record/build.h"
#include "sink/registry.h"

enum { ROUNDS = 5, SINGLE = 10500, WINDOW = 100, BATCHED = 200000, BATCH = 1000 };

static struct crier_sink_env env;
static struct crier_options options;

static struct crier_record *make(struct crier_builder *b, int i)
{
    crier_build_begin(b, CRIER_KIND_MESSAGE, CRIER_INFO, 1653323295000000 + i * 100);
    crier_build_logger(b, "message.gallery", 15);
    crier_build_text(b, "gallery #sp edited", 18);
    crier_build_where(b, "bot.lua:14", 10);
    crier_build_ok(b, true);
    CRIER_B_STR(b, "name", "gallery");
    CRIER_B_STR(b, "type", "TextMESSAGE");
    CRIER_B_STR(b, "mode", "edit");
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    CRIER_B_STR(b, "name", "\\David's dungeon");
    CRIER_B_SNOWFLAKE(b, "id", 863071397207212052u);
    CRIER_B_STR(b, "type", "GUILD");
    crier_build_close(b);
    CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
    CRIER_B_STR(b, "text",
                "https://static.wikia.nocookie.net/a1dea591-8a10-4c02-a573-5321c601c129");
    crier_build_close(b);
    CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
    CRIER_B_OPEN(b, "successful", CRIER_ARRAY);
    crier_build_open(b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(b, "name", "sp");
    CRIER_B_SNOWFLAKE(b, "id", 978332728615378984u);
    crier_build_close(b);
    crier_build_close(b);
    CRIER_B_OPEN(b, "failed", CRIER_ARRAY);
    crier_build_close(b);
    crier_build_close(b);
    CRIER_B_NUM(b, "success_rate", 1.0);
    CRIER_B_NUM(b, "runtime", 0.125);
    CRIER_B_INT(b, "requests", 1);
    return crier_build_end(b);
}

static void *open_sink(void)
{
    void *self = NULL;
    struct crier_err err = {0};
    char *command = crier_asprintf("rm -rf '%s/History'", env.folder);
    if (system(command) != 0 || crier_sink_json.open(&env, &options, "files", &self, &err) != 0)
        exit(1);
    free(command);
    return self;
}

static void store(void *self, struct crier_record **records, size_t count)
{
    size_t done;
    struct crier_err err = {0};
    if (crier_sink_json.write(self, records, count, &done, &err) != CRIER_WRITTEN) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Median time of the records around the n-th, in nanoseconds. */
static double around(int64_t *took, int n)
{
    int64_t window[WINDOW];
    memcpy(window, took + n - WINDOW / 2, sizeof window);
    qsort(window, WINDOW, sizeof *window, compare);
    return (double)window[WINDOW / 2];
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void report(const char *name, double value, const char *unit)
{
    printf("%s\t%.4g\t%s\n", name, value, unit);
}

int main(void)
{
    char folder[] = "/tmp/crier-bench-XXXXXX";
    struct crier_zone *zone = NULL;
    struct crier_source source;
    struct crier_builder b;
    static struct crier_record *records[BATCHED];
    static int64_t took[SINGLE];
    double first = 1e18, last = 1e18, all = 1e18, growth = 1e18;
    if (!mkdtemp(folder) || crier_zone_open("Europe/Ljubljana", &zone, NULL) != 0)
        return 1;
    uint64_t seed = 1;
    crier_source_init(&source, "web-1", false, &seed);
    crier_builder_init(&b, &source);
    env = (struct crier_sink_env){.clock = crier_clock_virtual(1653323295000000),
                                  .zone = zone,
                                  .folder = folder,
                                  .state_folder = folder};
    crier_options_init(&options, crier_sink_json.options, crier_sink_json.option_count);
    for (int i = 0; i < BATCHED; i++)
        records[i] = make(&b, i);

    for (int round = 0; round < ROUNDS; round++) {
        void *self = open_sink();
        int64_t total = 0;
        for (int i = 0; i < SINGLE; i++) {
            int64_t start = now_ns();
            store(self, records + i, 1);
            total += took[i] = now_ns() - start;
        }
        double a = around(took, 100), z = around(took, 10000);
        first = a < first ? a : first;
        last = z < last ? z : last;
        growth = (double)total / SINGLE < growth ? (double)total / SINGLE : growth;
        crier_sink_json.close(self);

        self = open_sink();
        int64_t start = now_ns();
        for (int i = 0; i < BATCHED; i += BATCH)
            store(self, records + i, BATCH);
        double took_all = (double)(now_ns() - start);
        all = took_all < all ? took_all : all;
        crier_sink_json.close(self);
    }
    report("dayfile_record_100", first / 1e3, "us");
    report("dayfile_record_10000", last / 1e3, "us");
    report("dayfile_record_10000_to_100", last / first, "ratio");
    report("dayfile_record_mean", growth / 1e3, "us");
    report("dayfile_batched", BATCHED / (all / 1e9), "records/s");

    char *command = crier_asprintf("rm -rf '%s'", folder);
    int rc = system(command);
    free(command);
    for (int i = 0; i < BATCHED; i++)
        crier_record_unref(records[i]);
    crier_options_fini(&options);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    crier_clock_free(env.clock);
    crier_zone_unref(zone);
    return rc;
}
