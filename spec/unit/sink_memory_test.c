/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "record/build.h"
#include "sink/registry.h"

static struct crier_clock *vclock;
static struct crier_loop *loop;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder builder;
static struct crier_sink *sink;

static void open_memory(int64_t max)
{
    struct crier_options common, options;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, crier_sink_memory.options, crier_sink_memory.option_count);
    if (max)
        ((struct crier_option_value *)crier_options_get(&options, "max"))->i = max;
    assert_int_equal(
        crier_sink_open(&crier_sink_memory, "mem", &common, &options, &env, &sink, NULL), 0);
    crier_sink_start(sink, loop);
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
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crier_sink_unref(sink);
    sink = NULL;
    crier_loop_free(loop);
    crier_clock_free(vclock);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    return 0;
}

static void push(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crier_build_begin(&builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(vclock));
        CRIER_B_INT(&builder, "odd", (int64_t)(source.seq % 2));
        struct crier_record *record = crier_build_end(&builder);
        crier_sink_push(sink, record);
        crier_record_unref(record);
    }
}

static struct {
    uint64_t seq[64];
    size_t count;
    int code;
    char text[256];
} answer;

static void on_answer(void *arg, struct crier_record **hits, size_t count,
                      const struct crier_err *err)
{
    (void)arg;
    answer.count = count;
    answer.code = err->code;
    snprintf(answer.text, sizeof answer.text, "%s", err->text);
    for (size_t i = 0; i < count; i++) {
        if (i < 64)
            answer.seq[i] = crier_record_seq(hits[i]);
        crier_record_unref(hits[i]);
    }
    free(hits);
}

static void ask(struct crier_query *query)
{
    answer.count = 999;
    crier_sink_query(sink, query, on_answer, NULL);
    assert_int_equal(answer.count, 999);
    crier_loop_run(loop, crier_loop_now(loop));
}

static struct crier_query *odd(int64_t is)
{
    struct crier_query *query = crier_query_new(NULL);
    struct crier_value v = {.type = CRIER_INT, .i = is};
    assert_int_equal(crier_query_add(query, "odd", CRIER_OP_EQ, &v, 1, NULL), 0);
    return query;
}

/* The query sees every record pushed before it, though none has been written yet. */
static void sees_what_was_pushed(void **state)
{
    (void)state;
    open_memory(0);
    push(1000);
    ask(odd(1));
    assert_int_equal(answer.code, 0);
    assert_int_equal(answer.count, 500);
    assert_int_equal(answer.seq[0], 2);
    assert_int_equal(answer.seq[1], 4);
    ask(odd(7));
    assert_int_equal(answer.count, 0);
}

static void keeps_the_last(void **state)
{
    (void)state;
    struct crier_sink_stats stats;
    for (int64_t max = 1; max <= 700; max += 233) {
        uint64_t first = source.seq;
        open_memory(max);
        for (int i = 0; i < 10; i++) {
            push(171);
            ask(crier_query_new(NULL));
            size_t want = (size_t)max < (size_t)(i + 1) * 171 ? (size_t)max : (size_t)(i + 1) * 171;
            assert_int_equal(answer.count, want);
            assert_int_equal(answer.seq[0], source.seq - want + 1);
        }
        crier_sink_stats(sink, &stats);
        assert_int_equal(stats.written, source.seq - first);
        crier_sink_unref(sink);
    }
    open_memory(5);
}

static void order_limit_offset(void **state)
{
    (void)state;
    open_memory(0);
    push(20);
    struct crier_query *query = odd(0);
    crier_query_order(query, "seq", true);
    query->offset = 2;
    query->limit = 3;
    ask(query);
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.seq[0], 15);
    assert_int_equal(answer.seq[2], 11);
}

static void after_the_stop(void **state)
{
    (void)state;
    open_memory(0);
    push(1);
    crier_sink_stop(sink, CRIER_S);
    ask(odd(0));
    assert_int_equal(answer.code, CRIER_ECANCELED);
    assert_string_equal(answer.text, "sink 'mem' has been stopped");
}

static int dead_open(const struct crier_sink_env *e, const struct crier_options *options,
                     const char *name, void **self, struct crier_err *err)
{
    (void)e, (void)options, (void)name, (void)err;
    *self = &answer;
    return 0;
}

static enum crier_verdict dead_write(void *self, struct crier_record *const *records, size_t count,
                                     size_t *done, struct crier_err *err)
{
    (void)self, (void)records, (void)count, (void)done;
    crier_err_set(err, CRIER_ENET, "no connection");
    return CRIER_RETRY_LATER;
}

static int dead_query(void *self, const struct crier_query *query, struct crier_record ***hits,
                      size_t *count, struct crier_err *err)
{
    (void)self, (void)query, (void)hits, (void)count;
    return crier_err_set(err, CRIER_EIO, "gone");
}

static void dead_close(void *self)
{
    (void)self;
}

static void open_dead(bool readable)
{
    static struct crier_sink_driver dead = {
        .kind = "dead", .open = dead_open, .write = dead_write, .close = dead_close};
    struct crier_options common, options;
    dead.query = readable ? dead_query : NULL;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, NULL, 0);
    assert_int_equal(crier_sink_open(&dead, "dead", &common, &options, &env, &sink, NULL), 0);
    crier_sink_start(sink, loop);
}

/* A sink that is down says so at once instead of keeping the caller waiting. */
static void sink_down(void **state)
{
    (void)state;
    open_dead(true);
    ask(odd(0));
    assert_int_equal(answer.code, CRIER_EIO);
    assert_string_equal(answer.text, "sink 'dead': gone");
    push(1);
    ask(odd(0));
    assert_int_equal(answer.code, CRIER_ENET);
    assert_string_equal(answer.text, "sink 'dead' is down: no connection");
    ask(odd(0));
    assert_int_equal(answer.code, CRIER_ENET);
}

static void not_readable(void **state)
{
    (void)state;
    open_dead(false);
    ask(odd(0));
    assert_int_equal(answer.code, CRIER_EINVAL);
    assert_string_equal(answer.text, "sink 'dead' (dead) cannot be read");
}

static void the_kinds_of_this_build(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct crier_sink_driver **d = crier_sink_drivers; *d; d++, n++) {
        assert_ptr_equal(crier_sink_driver_find((*d)->kind), *d);
        assert_non_null((*d)->help);
        assert_true((*d)->kinds != 0);
    }
    assert_true(n >= 3);
    assert_null(crier_sink_driver_find("consol"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(sees_what_was_pushed),    TEST(keeps_the_last), TEST(order_limit_offset),
        TEST(after_the_stop),          TEST(sink_down),      TEST(not_readable),
        TEST(the_kinds_of_this_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
