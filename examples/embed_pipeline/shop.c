/* SPDX-License-Identifier: MIT
 *
 * A program that logs through crier's pipeline: lines in a file, errors in a file of their own, and
 * a sink of its own that counts. Run it with the folder for the files as its argument.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <crier/crier.h>

/* --- a sink in C: it counts records by level ---------------------------------------------- */

struct tally {
    unsigned by_level[CRIER_CRITICAL / 10 + 1];
};

static int tally_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
{
    (void)err;
    *self = in->arg; /* what crier_register_sink was given */
    return 0;
}

static int tally_write(void *self, struct crier_record *const *records, size_t count,
                       const char *batch_id, size_t *done, struct crier_err *err)
{
    struct tally *tally = self;
    (void)batch_id;
    (void)err;
    for (size_t i = 0; i < count; i++)
        tally->by_level[crier_record_level(records[i]) / 10]++;
    *done = count;
    return CRIER_SINK_WRITTEN;
}

static void tally_close(void *self)
{
    (void)self;
}

static const struct crier_sink_plugin tally_sink = {
    .abi = CRIER_SINK_ABI,
    .struct_size = sizeof(struct crier_sink_plugin),
    .kind = "tally",
    .help = "counts records by level",
    .open = tally_open,
    .write = tally_write,
    .close = tally_close,
};

/* --- the program -------------------------------------------------------------------------- */

static void *sell(void *arg)
{
    struct crier_logger *log = arg;
    for (int i = 1; i <= 100; i++) {
        CRIER_LOG_DEBUG(log, "looking at the shelf", crier_f_int("try", i));
        CRIER_LOG_INFO(log, "sold", crier_f_str("item", i % 2 ? "herring" : "bread"),
                       crier_f_int("count", i), crier_f_num("price", i * 0.25),
                       crier_f_json("tags", "[\"market\", {\"stall\": 4}]"));
        if (i % 25 == 0)
            CRIER_LOG_ERROR(log, "the till is stuck", crier_f_int("count", i));
    }
    return NULL;
}

static bool print_text(void *arg, struct crier_record *record)
{
    struct crier_str text = crier_record_text(record);
    struct crier_value count;
    char scratch[32];
    (void)arg;
    if (crier_record_get(record, "count", &count, scratch))
        printf("  %.*s at %" PRId64 "\n", (int)text.len, text.data, count.i);
    return true;
}

static void must(int rc, const struct crier_err *err)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s: %s\n", err->where, err->text);
    exit(1);
}

int main(int argc, char **argv)
{
    struct tally tally = {{0}};
    struct crier_err err = {0};
    struct crier_pipeline_config config = {.struct_size = sizeof config};
    config.folder = argc > 1 ? argv[1] : ".";
    struct crier_pipeline *p = crier_pipeline_new(&config, &err);
    if (!p)
        must(err.code, &err);
    must(crier_register_sink(&tally_sink, &tally, &err), &err);
    must(crier_pipeline_sink(p, "jsonl", "{\"name\": \"all\", \"path\": \"shop.jsonl\"}", &err),
         &err);
    must(crier_pipeline_sink(p, "jsonl", "{\"name\": \"bad\", \"path\": \"errors.jsonl\"}", &err),
         &err);
    must(crier_pipeline_sink(p, "tally", NULL, &err), &err);
    must(crier_pipeline_route(p, "{\"to\": [\"all\", \"tally\"]}", &err), &err);
    must(crier_pipeline_route(p, "{\"match\": {\"level\": {\"ge\": \"error\"}}, \"to\": \"bad\"}",
                              &err),
         &err);
    crier_pipeline_level(p, "shop.quiet", CRIER_LEVEL_WARNING);

    /* Two tills, a thread and a logger each: one has a field bound to it, one a level of its own. */
    struct crier_logger *shop = crier_pipeline_logger(p, "shop");
    const struct crier_value till[] = {crier_f_str("till", "north")};
    struct crier_logger *loggers[] = {crier_logger_with(shop, "north", till, 1),
                                      crier_logger_with(shop, "quiet", NULL, 0)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, sell, loggers[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);

    must(crier_pipeline_flush(p, 5 * CRIER_SECOND, &err), &err);
    printf("errors of the quiet till:\n");
    long n = crier_pipeline_query(
        p, "bad", "{\"match\": {\"logger\": \"shop.quiet\"}, \"order\": \"count\", \"limit\": 2}",
        print_text, NULL, &err);
    must((int)n, &err);
    struct crier_sink_counts counts = {.struct_size = sizeof counts};
    must(crier_pipeline_counts(p, "all", &counts, &err), &err);
    printf("all: %" PRIu64 " accepted, %" PRIu64 " written\n", counts.accepted, counts.written);
    for (int i = 0; i < 2; i++)
        crier_logger_free(loggers[i]);
    crier_logger_free(shop);
    crier_pipeline_free(p);
    printf("tally: %u debug, %u info, %u error\n", tally.by_level[CRIER_DEBUG / 10],
           tally.by_level[CRIER_INFO / 10], tally.by_level[CRIER_LEVEL_ERROR / 10]);
    return 0;
}
