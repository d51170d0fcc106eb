/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "record/build.h"
#include "sink/router.h"

/* Sinks a, b, c, ... write what they get into one text: "a1 b1 a2 ". */
static struct crier_buf got;
static struct crier_clock *vclock;
static struct crier_loop *loop;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder builder;
static struct crier_router *router;
static struct crier_sink *sinks[3];

static int64_t last_repeated;

static int64_t repeated(const struct crier_record *record)
{
    char scratch[32];
    struct crier_value v;
    return crier_record_get(record, "repeated", &v, scratch) ? v.i : 0;
}

static int letter_open(const struct crier_sink_env *e, const struct crier_options *options,
                       const char *name, void **self, struct crier_err *err)
{
    (void)e;
    (void)options;
    (void)err;
    *self = crier_strdup(name);
    return 0;
}

static enum crier_verdict letter_write(void *self, struct crier_record *const *records,
                                       size_t count, size_t *done, struct crier_err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++)
        last_repeated = repeated(records[i]);
    for (size_t i = 0; i < count; i++)
        crier_buf_printf(&got, "%s%llu ", (char *)self,
                         (unsigned long long)crier_record_seq(records[i]));
    *done = count;
    return CRIER_WRITTEN;
}

static void letter_close(void *self)
{
    free(self);
}

static const struct crier_sink_driver everything = {
    .kind = "everything",
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = letter_open,
    .write = letter_write,
    .close = letter_close,
};
static const struct crier_sink_driver messages = {
    .kind = "messages",
    .kinds = 1u << CRIER_KIND_MESSAGE,
    .overflow = "spill",
    .open = letter_open,
    .write = letter_write,
    .close = letter_close,
};

static struct crier_sink *open_sink(const struct crier_sink_driver *driver, const char *name)
{
    struct crier_options common, options;
    struct crier_sink *sink;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, NULL, 0);
    assert_int_equal(crier_sink_open(driver, name, &common, &options, &env, &sink, NULL), 0);
    crier_sink_start(sink, loop);
    return sink;
}

static int setup(void **state)
{
    uint64_t seed = 1;
    (void)state;
    vclock = crier_clock_virtual(1700000000 * CRIER_S);
    loop = crier_loop_new(vclock);
    env = (struct crier_sink_env){.clock = vclock};
    crier_source_init(&source, "n", false, &seed);
    crier_builder_init(&builder, &source);
    router = crier_router_new();
    sinks[0] = open_sink(&everything, "a");
    sinks[1] = open_sink(&everything, "b");
    sinks[2] = open_sink(&messages, "c");
    for (int i = 0; i < 3; i++)
        crier_router_add_sink(router, sinks[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crier_router_free(router);
    for (int i = 0; i < 3; i++)
        crier_sink_unref(sinks[i]);
    crier_loop_free(loop);
    crier_clock_free(vclock);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    crier_buf_fini(&got);
    return 0;
}

static void send_at(enum crier_kind kind, enum crier_level level, const char *logger)
{
    crier_build_begin(&builder, kind, level, crier_clock_wall(vclock));
    crier_build_logger(&builder, logger, strlen(logger));
    crier_build_text(&builder, "te\nxt", 5);
    struct crier_record *record = crier_build_end(&builder);
    crier_router_send(router, record);
    crier_record_unref(record);
}

static void send_kind(enum crier_kind kind)
{
    send_at(kind, CRIER_INFO, "t");
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the sinks got, sorted, since each has a worker of its own. */
static void expect(const char *text)
{
    char *words[64], *rest = NULL;
    size_t n = 0;
    struct crier_buf sorted = {0};
    crier_loop_run(loop, crier_loop_now(loop));
    crier_buf_puts(&got, "");
    for (char *w = strtok_r(got.data, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    qsort(words, n, sizeof *words, compare);
    crier_buf_puts(&sorted, "");
    for (size_t i = 0; i < n; i++)
        crier_buf_printf(&sorted, "%s%s", i ? " " : "", words[i]);
    assert_string_equal(sorted.data, text);
    crier_buf_fini(&sorted);
    crier_buf_clear(&got);
    source.seq = 0;
}

static void add_rule(struct crier_rule rule, const char *to)
{
    rule.to_count = strlen(to);
    rule.to = crier_calloc(rule.to_count + 1, sizeof(struct crier_sink *));
    for (size_t i = 0; i < rule.to_count; i++)
        rule.to[i] = crier_sink_ref(sinks[to[i] - 'a']);
    rule.where = crier_strdup("bot.lua:1");
    crier_router_add_rule(router, &rule);
}

static struct crier_query *kind_is(const char *kind)
{
    struct crier_query *query = crier_query_new(NULL);
    struct crier_value v = {.type = CRIER_STR, .s = {kind, strlen(kind)}};
    assert_int_equal(crier_query_add(query, "kind", CRIER_OP_EQ, &v, 1, NULL), 0);
    return query;
}

static void no_rules(void **state)
{
    (void)state;
    send_kind(CRIER_KIND_MESSAGE);
    send_kind(CRIER_KIND_LOG);
    expect("a1 a2 b1 b2 c1");
}

static void each_that_matches_once_a_sink(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.query = kind_is("message")}, "ac");
    add_rule((struct crier_rule){.query = kind_is("log")}, "b");
    add_rule((struct crier_rule){0}, "aa");
    send_kind(CRIER_KIND_MESSAGE);
    send_kind(CRIER_KIND_LOG);
    send_kind(CRIER_KIND_TASK);
    expect("a1 a2 a3 b2 c1");
}

static void otherwise_and_copy(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.query = kind_is("task"), .copy = true}, "b");
    add_rule((struct crier_rule){.query = kind_is("message")}, "b");
    add_rule((struct crier_rule){.otherwise = true}, "a");
    send_kind(CRIER_KIND_MESSAGE); /* matched */
    send_kind(CRIER_KIND_TASK);    /* a copy is no match */
    send_kind(CRIER_KIND_LOG);
    expect("a2 a3 b1 b2");
}

/* A rule reaches a sink whose driver would by itself take other kinds only. */
static void a_rule_overrules_the_drivers_kinds(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.otherwise = true}, "c");
    send_kind(CRIER_KIND_LOG);
    expect("c1");
}

static int calls, faults;
static const char *fault_where;
static struct crier_router_note last_note;

static int match_logs(void *arg, struct crier_record *record, struct crier_err *err)
{
    (void)arg;
    (void)err;
    calls++;
    return crier_record_kind(record) == CRIER_KIND_LOG;
}

static int fails(void *arg, struct crier_record *record, struct crier_err *err)
{
    (void)arg;
    (void)record;
    calls++;
    return crier_err_set(err, CRIER_EINVAL, "attempt to index nil");
}

/* What the host does: a system record, through the same router. */
static void on_note(void *arg, const struct crier_router_note *note)
{
    (void)arg;
    faults++;
    fault_where = note->where;
    last_note = *note;
    if (note->what != CRIER_NOTE_RATE)
        assert_string_equal(note->text, "attempt to index nil");
    send_at(CRIER_KIND_SYSTEM, CRIER_LEVEL_ERROR, "host");
}

static void functions(void **state)
{
    (void)state;
    calls = 0;
    add_rule((struct crier_rule){.match = match_logs}, "b");
    add_rule((struct crier_rule){.otherwise = true}, "a");
    send_kind(CRIER_KIND_LOG);
    send_kind(CRIER_KIND_TASK);
    expect("a2 b1");
    assert_int_equal(calls, 2);
}

static void a_failing_function(void **state)
{
    (void)state;
    calls = faults = 0;
    crier_router_on_note(router, on_note, NULL);
    add_rule((struct crier_rule){.query = kind_is("log")}, "b");
    add_rule((struct crier_rule){.match = fails}, "c");
    send_kind(CRIER_KIND_LOG);
    /* 1: the default route, each sink once. 2: the host's record, by no function. */
    expect("a1 a2 b1 b2");
    assert_int_equal(calls, 1);
    assert_int_equal(faults, 1);
    assert_string_equal(fault_where, "bot.lua:1");
    for (int i = 0; i < 10; i++) {
        send_kind(CRIER_KIND_TASK);
        crier_loop_run(loop, crier_loop_now(loop) + 300 * CRIER_MS);
    }
    assert_int_equal(calls, 11);
    assert_int_equal(faults, 3);
}

static int logs_itself(void *arg, struct crier_record *record, struct crier_err *err)
{
    (void)arg;
    (void)record;
    (void)err;
    calls++;
    send_kind(CRIER_KIND_LOG);
    return 1;
}

/* The function's own record takes the default route, and does not disturb the one on its way. */
static void a_function_that_logs(void **state)
{
    (void)state;
    calls = 0;
    add_rule((struct crier_rule){.query = kind_is("task")}, "a");
    add_rule((struct crier_rule){.match = logs_itself}, "ab");
    add_rule((struct crier_rule){0}, "ab");
    send_kind(CRIER_KIND_TASK);
    expect("a1 a2 b1 b2");
    assert_int_equal(calls, 1);
}

static char *catch_stderr(void (*fn)(void))
{
    char path[] = "/tmp/crier-stderr-XXXXXX";
    int file = mkstemp(path), old = dup(2);
    struct crier_buf b = {0};
    fflush(stderr);
    dup2(file, 2);
    fn();
    fflush(stderr);
    dup2(old, 2);
    close(old);
    close(file);
    assert_int_equal(crier_file_read(path, 1 << 16, &b, NULL), 0);
    unlink(path);
    crier_buf_puts(&b, "");
    return b.data;
}

static void send_task_warning(void)
{
    send_at(CRIER_KIND_TASK, CRIER_LEVEL_WARNING, "t");
}

/* --- transforms --------------------------------------------------------------------------- */

static void add_transform(int (*apply)(void *, struct crier_record *, struct crier_record **,
                                       struct crier_err *))
{
    struct crier_transform t = {.apply = apply, .where = crier_strdup("bot.lua:2")};
    crier_router_add_transform(router, &t);
}

static int drop_tasks(void *arg, struct crier_record *record, struct crier_record **out,
                      struct crier_err *err)
{
    (void)arg;
    (void)err;
    if (crier_record_kind(record) == CRIER_KIND_TASK)
        return 0;
    out[0] = crier_record_ref(record);
    return 1;
}

/* Logs, then makes three of one. */
static int split_logs(void *arg, struct crier_record *record, struct crier_record **out,
                      struct crier_err *err)
{
    (void)arg;
    (void)err;
    calls++;
    send_kind(CRIER_KIND_EVENT);
    out[0] = crier_record_ref(record);
    out[1] = crier_record_renew(record, &source);
    out[2] = crier_record_renew(record, &source);
    return 3;
}

static int transform_fails(void *arg, struct crier_record *record, struct crier_record **out,
                           struct crier_err *err)
{
    (void)arg;
    (void)record;
    (void)out;
    calls++;
    return crier_err_set(err, CRIER_EINVAL, "attempt to index nil");
}

static void a_transform_drops(void **state)
{
    (void)state;
    add_transform(drop_tasks);
    add_rule((struct crier_rule){.query = kind_is("log")}, "a");
    char *text = catch_stderr(send_task_warning);
    assert_string_equal(text, ""); /* dropped is not unrouted */
    free(text);
    send_kind(CRIER_KIND_LOG);
    expect("a2");
    assert_int_equal(crier_router_transform(router, 0)->hits, 2);
    assert_int_equal(crier_router_transform(router, 0)->dropped, 1);
    assert_null(crier_router_transform(router, 1));
}

/* What the transform logs meets no transform, and comes in its place of the order. */
static void a_transform_splits(void **state)
{
    (void)state;
    calls = 0;
    add_transform(split_logs);
    add_rule((struct crier_rule){0}, "a");
    send_kind(CRIER_KIND_LOG);
    crier_loop_run(loop, crier_loop_now(loop));
    assert_string_equal(got.data, "a1 a2 a3 a4 ");
    assert_int_equal(calls, 1);
}

static void a_transform_fails(void **state)
{
    (void)state;
    calls = faults = 0;
    crier_router_on_note(router, on_note, NULL);
    add_transform(transform_fails);
    add_transform(drop_tasks);
    add_rule((struct crier_rule){0}, "a");
    send_kind(CRIER_KIND_LOG);
    expect("a1 a2"); /* as it was, through the rest of them; the note */
    send_kind(CRIER_KIND_TASK);
    expect("");
    assert_int_equal(calls, 2);
    assert_int_equal(faults, 1);
    assert_int_equal(last_note.what, CRIER_NOTE_TRANSFORM);
    assert_string_equal(last_note.where, "bot.lua:2");
}

/* --- what rules leave out ----------------------------------------------------------------- */

static void send_text(const char *text)
{
    crier_build_begin(&builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(vclock));
    crier_build_text(&builder, text, strlen(text));
    struct crier_record *record = crier_build_end(&builder);
    crier_router_send(router, record);
    crier_record_unref(record);
}

static void later(int64_t us)
{
    crier_loop_run(loop, crier_loop_now(loop) + us);
}

static void unless(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.unless = kind_is("task")}, "a");
    add_rule((struct crier_rule){.otherwise = true}, "b");
    add_rule((struct crier_rule){.otherwise = true, .unless = kind_is("task")}, "c");
    send_kind(CRIER_KIND_LOG);
    send_kind(CRIER_KIND_TASK);
    expect("a1 b2");
}

static void send_alike_warnings(void)
{
    for (int i = 0; i < 3; i++)
        send_at(CRIER_KIND_LOG, CRIER_LEVEL_WARNING, "t");
}

/* The copy is a record of its own only in what it says: the same id and seq. */
static void dedupe(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.dedupe = 60 * CRIER_S}, "a");
    add_rule((struct crier_rule){.otherwise = true}, "b");
    char *text = catch_stderr(send_alike_warnings);
    assert_string_equal(text, ""); /* left out is not unrouted, and matched for otherwise */
    free(text);
    expect("a1");
    send_text("took 5 ms");
    send_text("took 17 ms");
    send_text("took 17 bytes");
    expect("a1 a3");
    later(59 * CRIER_S);
    send_text("took 1 ms");
    expect("");
    later(1 * CRIER_S);
    last_repeated = -1;
    send_text("took 2 ms");
    expect("a1");
    assert_int_equal(last_repeated, 2);
    send_text("took 3 ms");
    expect("");
    later(60 * CRIER_S);
    send_text("took 4 ms");
    expect("a1");
    assert_int_equal(last_repeated, 1);
    later(60 * CRIER_S);
    send_text("took 4 ms");
    expect("a1");
    assert_int_equal(last_repeated, 0);
    assert_int_equal(crier_router_rule(router, 0)->hits, 11);
    assert_int_equal(crier_router_rule(router, 0)->alike, 5);
    assert_int_equal(crier_router_rule(router, 1)->hits, 0);
}

/* Of many different ones only the latest are known. */
static void dedupe_is_bounded(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.dedupe = 60 * CRIER_S}, "a");
    char text[16] = "";
    for (int i = 0; i <= CRIER_DEDUPE_MAX; i++) {
        snprintf(text, sizeof text, "%c%c%c", 'g' + i % 16, 'g' + i / 16 % 16, 'g' + i / 256);
        send_text(text);
    }
    assert_int_equal(crier_router_rule(router, 0)->alike, 0);
    send_text(text);
    assert_int_equal(crier_router_rule(router, 0)->alike, 1);
    send_text("ggg"); /* the first, forgotten */
    assert_int_equal(crier_router_rule(router, 0)->alike, 1);
}

static void sample(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.sample = 0.25}, "a");
    add_rule((struct crier_rule){.sample = 0.5, .copy = true}, "b");
    add_rule((struct crier_rule){.sample = 1, .copy = true}, "c");
    for (int i = 0; i < 4000; i++)
        send_kind(CRIER_KIND_LOG);
    uint64_t a = crier_router_rule(router, 0)->sampled, b = crier_router_rule(router, 1)->sampled;
    assert_in_range(a, 2850, 3150);
    assert_in_range(b, 1850, 2150);
    assert_int_equal(crier_router_rule(router, 2)->sampled, 0);
    /* A quarter is part of the half: whatever a has, b has. */
    crier_loop_run(loop, crier_loop_now(loop));
    static bool half[4001];
    size_t missing = 0;
    for (char *p = got.data; *p; p = strchr(p, ' ') + 1)
        if (*p == 'b')
            half[atoi(p + 1)] = true;
    for (char *p = got.data; *p; p = strchr(p, ' ') + 1)
        missing += *p == 'a' && !half[atoi(p + 1)];
    assert_int_equal(missing, 0);
}

static int64_t due;

static void on_due(void *arg, int64_t within)
{
    (void)arg;
    assert_int_equal(due, 0);
    due = within;
}

static void rate(void **state)
{
    (void)state;
    faults = 0;
    due = 0;
    crier_router_on_note(router, on_note, NULL);
    crier_router_on_due(router, on_due, NULL);
    add_rule((struct crier_rule){.rate = 3, .per = 60 * CRIER_S, .query = kind_is("log")}, "a");
    add_rule((struct crier_rule){.query = kind_is("system"), .rate = 1, .per = CRIER_S}, "b");
    for (int i = 0; i < 10; i++)
        send_kind(CRIER_KIND_LOG);
    expect("a1 a2 a3");
    assert_int_equal(due, 60 * CRIER_S); /* asked for once */
    later(20 * CRIER_S);                 /* one token more */
    send_kind(CRIER_KIND_LOG);
    send_kind(CRIER_KIND_LOG);
    expect("a1");
    assert_int_equal(crier_router_tell(router, crier_clock_wall(vclock), false), 40 * CRIER_S);
    assert_int_equal(faults, 0);
    later(40 * CRIER_S);
    assert_int_equal(crier_router_tell(router, crier_clock_wall(vclock), false), CRIER_NEVER);
    assert_int_equal(faults, 1);
    assert_int_equal(last_note.what, CRIER_NOTE_RATE);
    assert_int_equal(last_note.left_out, 8);
    assert_int_equal(last_note.rate, 3);
    assert_int_equal(crier_router_rule(router, 0)->above, 8);
    expect("b1");
    /* A note is not limited itself: it would make notes for ever. */
    due = 0;
    for (int i = 0; i < 5; i++) {
        send_kind(CRIER_KIND_SYSTEM);
        later(1);
    }
    crier_router_tell(router, 0, true);
    assert_int_equal(last_note.left_out, 4);
    due = 0;
    assert_int_equal(crier_router_tell(router, 0, true), CRIER_NEVER);
    expect("b1 b6");
    assert_int_equal(faults, 2);
}

/* What the rate leaves out begins no window: the next like it is sent. */
static void rate_before_dedupe(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.rate = 1, .per = CRIER_S, .dedupe = 600 * CRIER_S}, "a");
    send_text("first");
    send_text("second");
    later(CRIER_S);
    send_text("second");
    send_text("second");
    expect("a1 a3");
    assert_int_equal(crier_router_rule(router, 0)->alike, 1);
}

static void send_untaken(void)
{
    send_at(CRIER_KIND_LOG, CRIER_INFO, "quiet");
    send_at(CRIER_KIND_LOG, CRIER_LEVEL_WARNING, "loud");
}

static void what_no_sink_takes(void **state)
{
    (void)state;
    add_rule((struct crier_rule){.query = kind_is("task")}, "a");
    char *text = catch_stderr(send_untaken);
    assert_string_equal(text, "22:13:20 warning  loud  te\\nxt\n");
    free(text);
    expect("");
}

static void many_sinks(void **state)
{
    (void)state;
    struct crier_sink *many[300];
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "s%d", i);
        many[i] = open_sink(&everything, name);
        crier_router_add_sink(router, many[i]);
        crier_router_add_sink(router, many[i]);
    }
    send_kind(CRIER_KIND_LOG);
    crier_loop_run(loop, crier_loop_now(loop));
    size_t n = 0;
    for (size_t i = 0; i < got.len; i++)
        n += got.data[i] == ' ';
    assert_int_equal(n, 302);
    for (int i = 0; i < 300; i++)
        crier_sink_unref(many[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(no_rules),
        TEST(each_that_matches_once_a_sink),
        TEST(otherwise_and_copy),
        TEST(a_rule_overrules_the_drivers_kinds),
        TEST(functions),
        TEST(a_failing_function),
        TEST(a_function_that_logs),
        TEST(a_transform_drops),
        TEST(a_transform_splits),
        TEST(a_transform_fails),
        TEST(unless),
        TEST(dedupe),
        TEST(dedupe_is_bounded),
        TEST(sample),
        TEST(rate),
        TEST(rate_before_dedupe),
        TEST(what_no_sink_takes),
        TEST(many_sinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
