/* SPDX-License-Identifier: MIT
 *
 * What the tests of sinks that write lines share: a folder, a sink in it, records of all kinds, and
 * a table of filters that each store has to answer as the memory sink does.
 */
#ifndef SINK_LINES_SUPPORT_H
#define SINK_LINES_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "record/build.h"
#include "sink/registry.h"

#define CRIER_B_NULL(b, key) crier_build_null(b, key, sizeof(key) - 1)
#define START (1653323295LL * CRIER_S) /* Monday, 2022-05-23 16:28:15 UTC */

static char folder[64];

static inline int make_test_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/crier-lines-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_test_folder(void **state)
{
    (void)state;
    char *command = crier_asprintf("rm -rf '%s'", folder);
    int rc = system(command);
    free(command);
    return rc;
}

static inline char *in_folder(const char *name)
{
    return crier_path_join(folder, name);
}

static inline bool exists(const char *name)
{
    char *path = in_folder(name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static inline char *slurp(const char *name, size_t *len)
{
    struct crier_buf b = {0};
    struct crier_err err = {0};
    char *path = in_folder(name);
    if (crier_file_read(path, SIZE_MAX, &b, &err) != 0)
        fail_msg("%s", err.text);
    free(path);
    if (len)
        *len = b.len;
    return crier_buf_take(&b);
}

static inline void put_file(const char *name, const char *mode, const char *text, size_t len)
{
    char *path = in_folder(name);
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static inline long count_text(const char *text, const char *what)
{
    long n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

#define assert_file(name, want)                                                                    \
    do {                                                                                           \
        char *text_ = slurp(name, NULL);                                                           \
        assert_string_equal(text_, want);                                                          \
        free(text_);                                                                               \
    } while (0)

static bool rig_read_only; /**< of the rigs that are opened */

struct rig {
    const struct crier_sink_driver *driver;
    struct crier_sink_env env;
    struct crier_zone *zone;
    struct crier_options options;
    void *self;
};

/** Options come in pairs of name and number (sizes, durations, counts, booleans), NULL at the end;
 *  a name that begins with '=' is a text. */
static inline int rig_try(struct rig *rig, const struct crier_sink_driver *driver,
                          struct crier_clock *clock, struct crier_err *err, va_list args)
{
    const char *name;
    *rig = (struct rig){.driver = driver};
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &rig->zone, err), 0);
    rig->env = (struct crier_sink_env){
        .clock = clock, .zone = rig->zone, .folder = folder, .state_folder = folder,
        .read_only = rig_read_only};
    crier_options_init(&rig->options, driver->options, driver->option_count);
    while ((name = va_arg(args, const char *))) {
        struct crier_option_value *v =
            (void *)crier_options_get(&rig->options, name + (*name == '='));
        v->set = true;
        if (*name != '=') {
            v->i = va_arg(args, int64_t);
        } else if (strcmp(name, "=fields") == 0) {
            char **list = va_arg(args, char **);
            for (; list[v->count]; v->count++) {
                v->list = crier_realloc(v->list, (v->count + 1) * sizeof *v->list);
                v->list[v->count] = crier_strdup(list[v->count]);
            }
        } else {
            free(v->s);
            v->s = crier_strdup(va_arg(args, const char *));
        }
    }
    return driver->open(&rig->env, &rig->options, "lines", &rig->self, err);
}

static inline void rig_open(struct rig *rig, const struct crier_sink_driver *driver,
                            struct crier_clock *clock, ...)
{
    struct crier_err err = {0};
    va_list args;
    va_start(args, clock);
    if (rig_try(rig, driver, clock, &err, args) != 0)
        fail_msg("%s", err.text);
    va_end(args);
}

static inline void rig_close(struct rig *rig)
{
    if (rig->self)
        rig->driver->close(rig->self);
    crier_options_fini(&rig->options);
    crier_zone_unref(rig->zone);
}

/** Everything below the folder: names, sizes, times and sums. */
static inline char *all_files(void)
{
    char *command = crier_asprintf("cd %s && { find . -printf '%%p %%s %%T@\\n' | sort; find . -type f "
                                   "-exec cksum {} + | sort; }",
                                   folder);
    struct crier_buf b = {0};
    char part[4096];
    size_t n;
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((n = fread(part, 1, sizeof part, pipe)) > 0)
        crier_buf_append(&b, part, n);
    assert_int_equal(pclose(pipe), 0);
    free(command);
    return crier_buf_take(&b);
}

static inline void rig_write(struct rig *rig, struct crier_record *const *records, size_t count)
{
    struct crier_err err = {0};
    size_t done = 0;
    if (rig->driver->write(rig->self, records, count, &done, &err) != CRIER_WRITTEN)
        fail_msg("%s", err.text);
    assert_int_equal(done, count);
}

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

/** A log record of one text. */
static inline struct crier_record *make_log(struct maker *m, int64_t time, const char *text)
{
    crier_build_begin(&m->b, CRIER_KIND_LOG, CRIER_INFO, time);
    crier_build_logger(&m->b, "bot", 3);
    crier_build_text(&m->b, text, strlen(text));
    return crier_build_end(&m->b);
}

static inline void write_log(struct rig *rig, struct maker *m, int64_t time, const char *text)
{
    struct crier_record *r = make_log(m, time, text);
    rig_write(rig, &r, 1);
    crier_record_unref(r);
}

/** The n-th record is the same one whoever makes it. */
static inline struct crier_record *nth_record(long n)
{
    struct maker m;
    struct crier_rng sizes;
    char text[3100];
    crier_rng_seed(&sizes, (uint64_t)n);
    size_t len = (size_t)crier_rng_range(&sizes, 0, n % 5 ? 300 : 3000);
    int prefix = snprintf(text, sizeof text, "n%ld;%s", n, n % 3 ? "" : "=\r\n\"x\",\n");
    memset(text + prefix, 'x', len);
    text[(size_t)prefix + len] = '\0';
    maker_init(&m, (uint64_t)n + 1);
    struct crier_record *r = make_log(&m, START + n * 1000, text);
    maker_fini(&m);
    return r;
}

/** The kinds that mixed_record() makes: what is expected of their mixture is counted. */
#define MIXED_KINDS (CRIER_KIND_SYSTEM + 1)

/** Something of everything, by number. */
static inline struct crier_record *mixed_record(struct maker *m, int i)
{
    struct crier_builder *b = &m->b;
    static const enum crier_level levels[] = {CRIER_DEBUG, CRIER_INFO, CRIER_LEVEL_WARNING,
                                              CRIER_LEVEL_ERROR, CRIER_CRITICAL};
    enum crier_kind kind = (enum crier_kind)(i % MIXED_KINDS);
    char text[64];
    crier_build_begin(b, kind, levels[i % 7 % 5], START + i * 250 * CRIER_MS);
    crier_build_logger(b, i % 2 ? "bot.odd" : "bot", i % 2 ? 7 : 3);
    snprintf(text, sizeof text, i % 11 ? "record %d" : "=cmd|' /C calc'!A%d\t\"q\", \\ \xc5\xa1\n",
             i);
    crier_build_text(b, text, strlen(text));
    if (i % 3)
        crier_build_where(b, "bot.lua:14", 10);
    if (i % 4)
        crier_build_ok(b, i % 4 == 1);
    if (kind == CRIER_KIND_MESSAGE) {
        CRIER_B_STR(b, "name", "gallery");
        CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
        CRIER_B_STR(b, "name", i % 20 == 1 ? "News, \"daily\"" : "Chat");
        CRIER_B_SNOWFLAKE(b, "id", 863071397207212052u + (uint64_t)(i % 20));
        CRIER_B_STR(b, "type", "GUILD");
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
        CRIER_B_NUM(b, "success_rate", i % 3 / 2.0);
    } else if (kind == CRIER_KIND_TASK) {
        CRIER_B_STR(b, "task_name", i % 2 ? "fetch" : "report");
        CRIER_B_STR(b, "action", i % 3 ? "success" : "fail");
        CRIER_B_TIME(b, "start", START + i * CRIER_S);
        CRIER_B_NUM(b, "runtime", i / 8.0);
    } else {
        CRIER_B_INT(b, "count", i % 20 - 5);
        CRIER_B_STR(b, "digits", "12345");
        CRIER_B_STR(b, "word", i % 9 ? "true" : "");
        if (i % 6 == 0)
            CRIER_B_STR(b, "time", "the user's");
        if (i % 8 == 0)
            CRIER_B_NULL(b, "nothing");
        CRIER_B_STR(b, "a.b", i % 2 ? "dots" : "'quoted");
        CRIER_B_STR(b, "list_text", "[1]");
        CRIER_B_NUM(b, "whole", 3.0);
    }
    return crier_build_end(b);
}

#define STR(text)                                                                                  \
    {                                                                                              \
        .type = CRIER_STR, .s = { text, sizeof(text) - 1 }                                         \
    }
#define INT(n_)                                                                                    \
    {                                                                                              \
        .type = CRIER_INT, .i = n_                                                                 \
    }
#define NUM(n_)                                                                                    \
    {                                                                                              \
        .type = CRIER_NUM, .n = n_                                                                 \
    }
#define TIME(us)                                                                                   \
    {                                                                                              \
        .type = CRIER_TIME, .i = us                                                                \
    }
#define NIL                                                                                        \
    {                                                                                              \
        .type = CRIER_NULL                                                                         \
    }

struct filter {
    const char *path;
    enum crier_op op;
    struct crier_value values[3];
    size_t count;
    const char *order;
    bool desc;
    size_t limit, offset;
};

static const struct filter filters[] = {
    {"kind", CRIER_OP_EQ, {STR("message")}, 1, NULL, false, 0, 0},
    {"kind", CRIER_OP_NE, {STR("message")}, 1, NULL, false, 0, 0},
    {"kind", CRIER_OP_ONE_OF, {STR("task"), STR("event")}, 2, NULL, false, 0, 0},
    {"level", CRIER_OP_EQ, {STR("ERROR")}, 1, NULL, false, 0, 0},
    {"level", CRIER_OP_GE, {STR("warning")}, 1, "level", true, 0, 0},
    {"level", CRIER_OP_LT, {INT(30)}, 1, "level", false, 7, 3},
    {"text", CRIER_OP_EQ, {STR("record 5")}, 1, NULL, false, 0, 0},
    {"text", CRIER_OP_EQ, {STR("=cmd|' /C calc'!A11\t\"q\", \\ \xc5\xa1\n")}, 1, NULL, false, 0, 0},
    {"text", CRIER_OP_LIKE, {STR("=%calc%")}, 1, NULL, false, 0, 0},
    {"text", CRIER_OP_LIKE, {STR("record 1_")}, 1, NULL, false, 0, 0},
    {"text", CRIER_OP_GT, {STR("record 5")}, 1, "text", true, 20, 0},
    {"logger", CRIER_OP_EQ, {STR("bot.odd")}, 1, NULL, false, 0, 0},
    {"node", CRIER_OP_EQ, {STR("web-1")}, 1, "id", true, 10, 10},
    {"where", CRIER_OP_EQ, {NIL}, 1, NULL, false, 0, 0},
    {"where", CRIER_OP_NE, {NIL}, 1, NULL, false, 0, 0},
    {"ok", CRIER_OP_EQ, {{.type = CRIER_TRUE}}, 1, NULL, false, 0, 0},
    {"ok", CRIER_OP_NE, {{.type = CRIER_TRUE}}, 1, "ok", false, 0, 0},
    {"ok", CRIER_OP_EQ, {NIL}, 1, "seq", true, 0, 0},
    {"sim", CRIER_OP_EQ, {{.type = CRIER_FALSE}}, 1, NULL, false, 5, 0},
    {"seq", CRIER_OP_RANGE, {INT(10), INT(20)}, 2, NULL, false, 0, 0},
    {"seq", CRIER_OP_GT, {INT(150)}, 1, "time", true, 0, 0},
    {"time", CRIER_OP_GE, {TIME(START + 10 * CRIER_S)}, 1, NULL, false, 0, 0},
    {"time", CRIER_OP_RANGE, {STR("2022-05-23T16:28:20Z"), NIL}, 2, NULL, false, 0, 0},
    {"time", CRIER_OP_LT, {NUM(1653323300.5)}, 1, "time", true, 0, 0},
    {"guild.id", CRIER_OP_EQ, {INT(863071397207212053)}, 1, NULL, false, 0, 0},
    {"guild.id", CRIER_OP_EQ, {STR("863071397207212053")}, 1, NULL, false, 0, 0},
    {"guild.id", CRIER_OP_GT, {INT(863071397207212053)}, 1, "guild.id", true, 0, 0},
    {"guild.name", CRIER_OP_EQ, {STR("News, \"daily\"")}, 1, NULL, false, 0, 0},
    {"guild.type", CRIER_OP_ONE_OF, {STR("USER"), STR("GUILD")}, 2, NULL, false, 3, 2},
    {"guild", CRIER_OP_EQ, {NIL}, 1, NULL, false, 0, 0},
    {"channels.successful.1.id", CRIER_OP_EQ, {STR("978332728615378984")}, 1, NULL, false, 0, 0},
    {"channels.failed", CRIER_OP_EQ, {NIL}, 1, NULL, false, 0, 0},
    {"success_rate", CRIER_OP_LT, {NUM(0.75)}, 1, "success_rate", true, 0, 0},
    {"success_rate", CRIER_OP_EQ, {INT(1)}, 1, NULL, false, 0, 0},
    {"task_name", CRIER_OP_EQ, {STR("fetch")}, 1, "runtime", true, 0, 0},
    {"action", CRIER_OP_NE, {STR("fail")}, 1, "action", false, 0, 0},
    {"start", CRIER_OP_GE, {STR("2022-05-23T16:28:40Z")}, 1, NULL, false, 0, 0},
    {"start", CRIER_OP_LT, {TIME(START + 30 * CRIER_S)}, 1, "start", true, 0, 0},
    {"runtime", CRIER_OP_RANGE, {NUM(1.5), NUM(9)}, 2, NULL, false, 0, 0},
    {"count", CRIER_OP_EQ, {INT(0)}, 1, NULL, false, 0, 0},
    {"count", CRIER_OP_EQ, {NUM(-5)}, 1, NULL, false, 0, 0},
    {"count", CRIER_OP_LE, {NUM(2.5)}, 1, "count", false, 0, 0},
    {"count", CRIER_OP_NE, {INT(0)}, 1, "count", true, 30, 5},
    {"digits", CRIER_OP_EQ, {STR("12345")}, 1, NULL, false, 0, 0},
    {"digits", CRIER_OP_EQ, {INT(12345)}, 1, NULL, false, 0, 0},
    {"word", CRIER_OP_EQ, {STR("")}, 1, NULL, false, 0, 0},
    {"word", CRIER_OP_EQ, {STR("true")}, 1, NULL, false, 0, 0},
    {"word", CRIER_OP_EQ, {{.type = CRIER_TRUE}}, 1, NULL, false, 0, 0},
    {"fields.time", CRIER_OP_EQ, {STR("the user's")}, 1, NULL, false, 0, 0},
    {"nothing", CRIER_OP_EQ, {NIL}, 1, NULL, false, 12, 0},
    {"a.b", CRIER_OP_EQ, {STR("dots")}, 1, NULL, false, 0, 0},
    {"a.b", CRIER_OP_EQ, {STR("'quoted")}, 1, "a.b", false, 0, 0},
    {"text", CRIER_OP_REGEX, {STR("^record [12]\\d$")}, 1, NULL, false, 0, 0},
    {"guild.name", CRIER_OP_REGEX, {STR("\"daily\"$")}, 1, "text", true, 0, 0},
    {"list_text", CRIER_OP_EQ, {STR("[1]")}, 1, NULL, false, 0, 0},
    {"whole", CRIER_OP_EQ, {INT(3)}, 1, NULL, false, 0, 0},
    {"no_such", CRIER_OP_GE, {INT(0)}, 1, NULL, false, 0, 0},
};

/** The filter's hits as one text of their ids. */
static inline char *answer(struct rig *rig, const struct filter *f, size_t *number)
{
    struct crier_query *query = crier_query_new(rig->zone);
    struct crier_record **hits = NULL;
    struct crier_err err = {0};
    struct crier_buf ids = {0};
    size_t count;
    char id[27];
    assert_int_equal(crier_query_add(query, f->path, f->op, f->values, f->count, &err), 0);
    if (f->order)
        crier_query_order(query, f->order, f->desc);
    if (f->limit)
        query->limit = f->limit;
    query->offset = f->offset;
    if (rig->driver->query(rig->self, query, &hits, &count, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(err.code, 0);
    assert_string_equal(err.text, "");
    assert_int_equal(crier_query_finish(query, &hits, &count, &err), 0);
    for (size_t i = 0; i < count; i++) {
        crier_record_id(hits[i], id);
        crier_buf_printf(&ids, "%s %llu\n", id, (unsigned long long)crier_record_seq(hits[i]));
        crier_record_unref(hits[i]);
    }
    *number = count;
    free(hits);
    crier_query_free(query);
    return crier_buf_take(&ids);
}

/** A filter gives what it gives in the memory sink: how many. `i` is for the message. */
static inline size_t same_answer(struct rig *rig, struct rig *memory, const struct filter *f,
                                 size_t i)
{
    size_t got, want;
    char *a = answer(rig, f, &got), *b = answer(memory, f, &want);
    if (strcmp(a, b) != 0)
        fail_msg("filter %zu on %s: %zu hits, memory has %zu", i, f->path, got, want);
    free(a);
    free(b);
    return want;
}

/** All filters give what the memory sink gives. */
static inline void check_filters(struct rig *rig, struct rig *memory)
{
    size_t none = 0;
    for (size_t i = 0; i < CRIER_COUNT(filters); i++)
        none += same_answer(rig, memory, &filters[i], i) == 0;
    assert_in_range(none, 0, 4);
}

/** A change, given as one condition and the new fields (JSON; NULL: delete): how many. */
static inline uint64_t change(struct rig *rig, const struct filter *f, const char *fields)
{
    struct crier_query *query = crier_query_new(rig->zone);
    json_t *object = fields ? json_loads(fields, 0, NULL) : NULL;
    struct crier_err err = {0};
    uint64_t changed = 999;
    assert_int_equal(crier_query_add(query, f->path, f->op, f->values, f->count, &err), 0);
    if (rig->driver->change(rig->self, query, object, &changed, &err) != 0)
        fail_msg("%s", err.text);
    json_decref(object);
    crier_query_free(query);
    return changed;
}

/** The phase of an event. */
static inline struct crier_record *make_phase(struct maker *m, int i, const char *id,
                                              const char *phase, const char *key, const char *value)
{
    crier_build_begin(&m->b, CRIER_KIND_EVENT, CRIER_INFO, START + i * CRIER_S);
    CRIER_B_STR(&m->b, "event_id", id);
    CRIER_B_STR(&m->b, "phase", phase);
    crier_build_str(&m->b, key, strlen(key), value, strlen(value));
    return crier_build_end(&m->b);
}

/** Mixed records, and among the first two hundred the phases of two events. */
static inline struct crier_record *record_or_phase(struct maker *m, int i)
{
    return i == 3     ? make_phase(m, i, "e1", "start", "mod_type", "report")
           : i == 150 ? make_phase(m, i, "e1", "finish", "code", "E7")
           : i == 4   ? make_phase(m, i, "e2", "start", "mod_type", "report")
           : i == 199 ? make_phase(m, i, "e2", "finish", "code", "E8")
                      : mixed_record(m, i);
}

/** Into both, and away with it. */
static inline void write_both(struct rig *rig, struct rig *memory, struct crier_record *r)
{
    rig_write(rig, &r, 1);
    rig_write(memory, &r, 1);
    crier_record_unref(r);
}

/** Query everything; the texts of all records. */
static inline struct crier_record **query_all(struct rig *rig, size_t *count, struct crier_err *err)
{
    struct crier_query *query = crier_query_new(rig->zone);
    struct crier_record **hits = NULL;
    if (rig->driver->query(rig->self, query, &hits, count, err) != 0)
        fail_msg("%s", err->text);
    crier_query_free(query);
    return hits;
}

static inline size_t count_all(struct rig *rig)
{
    size_t count;
    struct crier_err err = {0};
    struct crier_record **hits = query_all(rig, &count, &err);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    return count;
}

/** Looking changes nothing: where there is nothing, and beside the one who writes. */
static inline void check_read_only(const struct crier_sink_driver *driver)
{
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig, reader;
    struct maker m;
    maker_init(&m, 7);
    for (int round = 0; round < 3; round++) {
        char *before = all_files();
        rig_read_only = true;
        rig_open(&reader, driver, clock, NULL);
        assert_int_equal(count_all(&reader), round * 100);
        if (reader.driver->idle)
            reader.driver->idle(reader.self, 0);
        rig_close(&reader);
        rig_read_only = false;
        char *after = all_files();
        assert_string_equal(before, after);
        free(before);
        free(after);
        if (round == 0)
            rig_open(&rig, driver, clock, NULL); /* stays open, with what it keeps free */
        for (int i = 0; i < 100; i++) {
            struct crier_record *r = mixed_record(&m, i);
            rig_write(&rig, &r, 1);
            crier_record_unref(r);
        }
    }
    rig_close(&rig);
    crier_clock_free(clock);
    maker_fini(&m);
}

#endif
