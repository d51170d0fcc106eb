/* SPDX-License-Identifier: MIT
 *
 * What the tests of day files share: a folder of their own, message records, and a judge of the
 * document that is not the code under test (record/scan.h).
 */
#ifndef SINK_DAYFILE_SUPPORT_H
#define SINK_DAYFILE_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/duration.h"
#include "record/build.h"
#include "record/scan.h"
#include "sink/registry.h"

static char folder[64];

static inline void make_test_folder(void)
{
    strcpy(folder, "/tmp/crier-dayfile-XXXXXX");
    if (!mkdtemp(folder))
        abort();
}

static inline void remove_test_folder(void)
{
    char *command = crier_asprintf("rm -rf '%s'", folder);
    if (system(command) != 0)
        abort();
    free(command);
}

static inline char *in_folder(const char *name)
{
    return crier_path_join(folder, name);
}

static inline bool exists(const char *name)
{
    char *path = in_folder(name);
    struct stat st;
    bool there = lstat(path, &st) == 0;
    free(path);
    return there;
}

/** The file's text; the caller frees. */
static inline char *slurp(const char *path, size_t *len)
{
    struct crier_buf b = {0};
    struct crier_err err = {0};
    if (crier_file_read(path, SIZE_MAX, &b, &err) != 0)
        fail_msg("%s", err.text);
    if (len)
        *len = b.len;
    return crier_buf_take(&b);
}

static inline void spill(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/** What stands in a document: valid or not, and each entry's index, newest first. */
struct judged {
    bool valid;
    long count;
    long newest;     /* index of the first entry; -1 none */
    bool continuous; /* they count down to the last one */
    long last;
};

static inline struct judged judge(const char *text, size_t len)
{
    struct crier_scan scan;
    struct judged j = {.newest = -1, .continuous = true, .last = -1};
    int depth = 0;
    enum crier_scan_event e;
    crier_scan_init(&scan, text, len);
    while ((e = crier_scan_next(&scan)) > CRIER_SCAN_END) {
        bool index = depth == 3 && e == CRIER_SCAN_INT && scan.key.len == 5 &&
                     memcmp(scan.key.data, "index", 5) == 0;
        if (index && j.newest < 0)
            j.newest = scan.i;
        if (index) {
            j.continuous &= j.count == 0 || scan.i == j.last - 1;
            j.last = scan.i;
            j.count++;
        }
        depth += e == CRIER_SCAN_OBJECT || e == CRIER_SCAN_ARRAY;
        depth -= e == CRIER_SCAN_CLOSE;
    }
    j.valid = e == CRIER_SCAN_END;
    crier_scan_fini(&scan);
    return j;
}

static inline struct judged judge_file(const char *path)
{
    size_t len;
    char *text = slurp(path, &len);
    struct judged j = judge(text, len);
    free(text);
    return j;
}

/** The day file is valid and its entries are count-1 .. 0. */
#define assert_entries(path, want)                                                                 \
    do {                                                                                           \
        struct judged j_ = judge_file(path);                                                       \
        assert_true(j_.valid);                                                                     \
        assert_true(j_.continuous);                                                                \
        assert_int_equal(j_.count, want);                                                          \
        assert_int_equal(j_.newest, (long)(want)-1);                                               \
    } while (0)

struct maker {
    struct crier_source source;
    struct crier_builder b;
};

static inline void maker_init(struct maker *m, uint64_t seed)
{
    crier_source_init(&m->source, "web-1", false, &seed);
    crier_builder_init(&m->b, &m->source);
}

static inline void maker_fini(struct maker *m)
{
    crier_builder_fini(&m->b);
    crier_source_fini(&m->source);
}

/** A message record up to its `type`; the caller adds what else there is and ends it. */
static inline void begin_message(struct maker *m, int64_t time, const char *guild, uint64_t id,
                                 const char *guild_type)
{
    struct crier_builder *b = &m->b;
    crier_build_begin(b, CRIER_KIND_MESSAGE, CRIER_INFO, time);
    crier_build_logger(b, "message.gallery", 15);
    crier_build_text(b, "gallery #sp edited", 18);
    crier_build_where(b, "bot.lua:14", 10);
    crier_build_ok(b, true);
    CRIER_B_STR(b, "name", "gallery");
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    CRIER_B_STR(b, "name", guild);
    CRIER_B_SNOWFLAKE(b, "id", id);
    CRIER_B_STR(b, "type", guild_type);
    crier_build_close(b);
}

static inline void add_sent_text(struct maker *m, const char *text)
{
    CRIER_B_OPEN(&m->b, "sent_data", CRIER_OBJECT);
    CRIER_B_STR(&m->b, "text", text);
    crier_build_close(&m->b);
}

/** A record as the seed's: one channel, sent. */
static inline struct crier_record *make_message(struct maker *m, int64_t time, const char *guild,
                                                uint64_t id, const char *text)
{
    struct crier_builder *b = &m->b;
    begin_message(m, time, guild, id, "GUILD");
    CRIER_B_STR(b, "type", "TextMESSAGE");
    CRIER_B_STR(b, "mode", "edit");
    add_sent_text(m, text);
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

/** A json sink in the test's folder. */
struct rig {
    struct crier_sink_env env;
    struct crier_zone *zone;
    struct crier_options options;
    void *self;
};

static inline void rig_open(struct rig *rig, struct crier_clock *clock, const char *zone)
{
    struct crier_err err = {0};
    *rig = (struct rig){0};
    if (crier_zone_open(zone, &rig->zone, &err) != 0)
        fail_msg("%s", err.text);
    rig->env = (struct crier_sink_env){
        .clock = clock, .zone = rig->zone, .folder = folder, .state_folder = folder};
    crier_options_init(&rig->options, crier_sink_json.options, crier_sink_json.option_count);
    if (crier_sink_json.open(&rig->env, &rig->options, "files", &rig->self, &err) != 0)
        fail_msg("%s", err.text);
}

static inline void rig_close(struct rig *rig)
{
    crier_sink_json.close(rig->self);
    crier_options_fini(&rig->options);
    crier_zone_unref(rig->zone);
}

static inline void rig_write(struct rig *rig, struct crier_record *const *records, size_t count)
{
    struct crier_err err = {0};
    size_t done = 0;
    if (crier_sink_json.write(rig->self, records, count, &done, &err) != CRIER_WRITTEN)
        fail_msg("%s", err.text);
    assert_int_equal(done, count);
}

static inline void rig_write_one(struct rig *rig, struct crier_record *record)
{
    rig_write(rig, &record, 1);
    crier_record_unref(record);
}

#endif
