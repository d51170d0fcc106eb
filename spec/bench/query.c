/* SPDX-License-Identifier: MIT
 *
 * Filters over 100,000 records with 5,000 hits, from the query to the answer: memory, jsonl, csv
 * and day files; by a text, by a number, by kind with a time, by a pattern. Prints `name value
 * unit`, tab-separated; the best of some rounds. The records are those of peers.py query.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "record/build.h"
#include "sink/registry.h"

enum { ASKED = 100000, EACH = 20, BATCH = 512, ROUNDS = 5 };

static struct crier_sink_env env;

static struct crier_record *make(struct crier_builder *b, int i)
{
    crier_build_begin(b, CRIER_KIND_LOG, CRIER_INFO, 1763764270123456 + i * CRIER_S);
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

static struct crier_query *question(const char *which)
{
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value text = {.type = CRIER_STR, .s = {"nobody of that name", 19}};
    struct crier_value number = {.type = CRIER_INT, .i = 0}, log = {.type = CRIER_STR, .s = {"log", 3}};
    struct crier_value time = {.type = CRIER_TIME,
                               .i = 1763764270123456 + (ASKED - ASKED / EACH) * CRIER_S};
    struct crier_value pattern = {.type = CRIER_STR, .s = {"^no.*name$", 10}};
    struct crier_err err = {0};
    int rc;
    if (strcmp(which, "text") == 0)
        rc = crier_query_add(q, "user", CRIER_OP_EQ, &text, 1, &err);
    else if (strcmp(which, "number") == 0)
        rc = crier_query_add(q, "count", CRIER_OP_EQ, &number, 1, &err);
    else if (strcmp(which, "regex") == 0)
        rc = crier_query_add(q, "user", CRIER_OP_REGEX, &pattern, 1, &err);
    else
        rc = crier_query_add(q, "time", CRIER_OP_GE, &time, 1, &err);
    if (rc == 0 && strcmp(which, "time") == 0)
        rc = crier_query_add(q, "kind", CRIER_OP_EQ, &log, 1, &err);
    if (rc != 0)
        fail(&err);
    return q;
}

static void ask(const struct crier_sink_driver *driver, void *self, const char *which)
{
    double best = 1e9;
    struct crier_query *query = question(which);
    for (int round = 0; round < ROUNDS; round++) {
        struct crier_err err = {0};
        struct crier_record **hits;
        size_t count;
        int64_t start = crier_clock_mono(env.clock);
        if (driver->query(self, query, &hits, &count, &err) ||
            crier_query_finish(query, &hits, &count, &err))
            fail(&err);
        double took = (double)(crier_clock_mono(env.clock) - start) / 1e3;
        best = took < best ? took : best;
        if (count != ASKED / EACH)
            fprintf(stderr, "%s by %s: %zu hits\n", driver->kind, which, count);
        for (size_t i = 0; i < count; i++)
            crier_record_unref(hits[i]);
        free(hits);
    }
    crier_query_free(query);
    printf("query_%s_%s\t%.1f\tms\n", driver->kind, which, best);
}

static void *fill(const struct crier_sink_driver *driver, struct crier_options *options,
                  struct crier_builder *b)
{
    struct crier_err err = {0};
    struct crier_option_value *max;
    size_t done;
    void *self;
    crier_options_init(options, driver->options, driver->option_count);
    if (driver == &crier_sink_memory) {
        max = (void *)crier_options_get(options, "max");
        max->i = ASKED;
    }
    if (driver->open(&env, options, driver->kind, &self, &err))
        fail(&err);
    for (int at = 0; at < ASKED; at += BATCH) {
        struct crier_record *batch[BATCH];
        size_t n = ASKED - at < BATCH ? (size_t)(ASKED - at) : BATCH;
        for (size_t i = 0; i < n; i++)
            batch[i] = make(b, at + (int)i);
        if (driver->write(self, batch, n, &done, &err) != CRIER_WRITTEN)
            fail(&err);
        for (size_t i = 0; i < n; i++)
            crier_record_unref(batch[i]);
    }
    return self;
}

int main(void)
{
    static const struct crier_sink_driver *const drivers[] = {
        &crier_sink_memory, &crier_sink_jsonl, &crier_sink_csv, &crier_sink_json};
    static const char *const questions[] = {"text", "number", "time", "regex"};
    char folder[] = "/tmp/crier-bench-XXXXXX";
    struct crier_source source;
    struct crier_builder b;
    struct crier_zone *zone;
    if (!mkdtemp(folder) || crier_zone_open("UTC", &zone, NULL))
        return 1;
    env = (struct crier_sink_env){
        .clock = crier_clock_real(), .zone = zone, .folder = folder, .state_folder = folder};
    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
    for (size_t i = 0; i < CRIER_COUNT(drivers); i++) {
        struct crier_options options;
        void *self = fill(drivers[i], &options, &b);
        for (size_t k = 0; k < CRIER_COUNT(questions); k++)
            ask(drivers[i], self, questions[k]);
        drivers[i]->close(self);
        crier_options_fini(&options);
    }
    crier_builder_fini(&b);
    crier_source_fini(&source);
    crier_zone_unref(zone);
    char *command = crier_asprintf("rm -rf %s", folder);
    int rc = system(command);
    free(command);
    return rc != 0;
}
