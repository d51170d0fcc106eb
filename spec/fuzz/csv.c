/* SPDX-License-Identifier: MIT
 * csv logs. A file that anyone may have edited is opened, read back, and taken up; and (the input begins
 * with a brace) a record that was written is read back as it was. */
#include "support.h"

#include "base/duration.h"
#include "record/query.h"
#include "record/read.h"
#include "sink/registry.h"

static struct crier_sink_env env;

static void *open_sink(void)
{
    struct crier_options options;
    struct crier_err err = {0};
    void *self = NULL;
    crier_options_init(&options, crier_sink_csv.options, crier_sink_csv.option_count);
    struct crier_option_value *v = (void *)crier_options_get(&options, "path");
    free(v->s);
    v->s = crier_strdup("log.csv");
    v->set = true;
    if (crier_sink_csv.open(&env, &options, "log", &self, &err) != 0)
        MUST(err.text[0]);
    crier_options_fini(&options);
    return self;
}

/* How many records there are; the last one is kept. */
static size_t read_all(void *self, struct crier_record **last)
{
    struct crier_query *query = crier_query_new((struct crier_zone *)env.zone);
    struct crier_record **hits = NULL;
    struct crier_err err = {0};
    size_t count = 0;
    *last = NULL;
    if (crier_sink_csv.query(self, query, &hits, &count, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            crier_record_json(hits[i]);
            crier_record_unref(*last);
            *last = hits[i];
        }
        free(hits);
    } else {
        MUST(err.text[0]);
    }
    crier_query_free(query);
    return count;
}

static void write_one(void *self, struct crier_record *record)
{
    struct crier_err err = {0};
    size_t done = 0;
    MUST(crier_sink_csv.write(self, &record, 1, &done, &err) == CRIER_WRITTEN && done == 1);
}

static struct crier_record *record_of(const char *json, size_t len)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    if (crier_reader_read(&reader, json, len, &record, &err) != 0)
        record = NULL;
    crier_reader_fini(&reader);
    return record;
}

/* Twice the way there and back is the same as once: columns have an order of their own, and a null is
 * an empty cell. */
static void there_and_back(struct crier_record *record)
{
    struct crier_record *once, *twice;
    void *self = open_sink();
    MUST(self);
    write_one(self, record);
    MUST(read_all(self, &once) == 1);
    crier_sink_csv.close(self);
    empty_folder(scratch());
    MUST(crier_record_time(once) == crier_record_time(record));
    struct crier_str a = crier_record_text(once), b = crier_record_text(record);
    MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    self = open_sink();
    MUST(self);
    write_one(self, once);
    MUST(read_all(self, &twice) == 1);
    crier_sink_csv.close(self);
    a = crier_record_json(once), b = crier_record_json(twice);
    MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    crier_record_unref(once);
    crier_record_unref(twice);
}

/* What was there is read; a record behind it is read, too. */
static void take_up(const uint8_t *data, size_t size)
{
    static const char text[] =
        "{\"id\":\"7ZZZZZZZZZZZZZZZZZZZZZZZZZ\",\"seq\":9,\"time\":\"2026-11-20T23:00:00.000000Z\",\"node\":"
        "\"n\",\"kind\":\"log\",\"level\":\"info\",\"logger\":\"l\",\"text\":\"a, \\\"b\\\"\\nc\",\"sim\":false}";
    struct crier_record *last, *record = record_of(text, strlen(text));
    char *path = crier_path_join(scratch(), "log.csv");
    put_file(path, data, size);
    void *self = open_sink();
    if (self) {
        read_all(self, &last);
        crier_record_unref(last);
        write_one(self, record);
        MUST(read_all(self, &last) > 0);
        struct crier_str a = crier_record_json(last), b = crier_record_json(record);
        MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
        crier_record_unref(last);
        crier_sink_csv.close(self);
    }
    crier_record_unref(record);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_zone *zone;
    struct crier_err err = {0};
    if (!zone) {
        MUST(crier_zone_open("UTC", &zone, &err) == 0);
        env = (struct crier_sink_env){.clock = crier_clock_virtual(1774742400LL * CRIER_S),
                                      .zone = zone,
                                      .folder = scratch(),
                                      .state_folder = scratch()};
    }
    struct crier_record *record =
        size && data[0] == '{' ? record_of((const char *)data, size) : NULL;
    if (record)
        there_and_back(record);
    else
        take_up(data, size);
    crier_record_unref(record);
    empty_folder(scratch());
    return 0;
}
