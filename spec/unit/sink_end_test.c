/* SPDX-License-Identifier: MIT
 *
 * What the loop asks of a sink: answers that come later, changes and calls, room, haste, an end
 * that nobody waits for, and a successor.
 */
#include "sink_fake_support.h"

static void set_verdict(const char *name, enum crier_verdict verdict)
{
    atomic_store(&fake_named(name)->verdict, verdict);
}

/* ---- PENDING ---- */

static void answers_later(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 5, .driver = &fake_on_loop});
    set_verdict("a", CRIER_PENDING);
    push(a, 12);
    run_for(CRIER_S);
    assert_int_equal(fake_named("a")->try_count, 1); /* one batch at a time */
    assert_int_equal(stats_of(a).written, 0);
    crier_sink_answer(a, CRIER_WRITTEN, 0, NULL);
    crier_sink_answer(a, CRIER_WRITTEN, 0, NULL); /* answered already */
    run_for(CRIER_S);
    assert_int_equal(fake_named("a")->try_count, 2);
    assert_int_equal(stats_of(a).written, 5);
    check_books(a);

    struct crier_err err = {0};
    crier_err_set(&err, CRIER_ENET, "status 503");
    crier_sink_answer(a, CRIER_RETRY_LATER, 2, &err);
    run_for(0);
    assert_int_equal(stats_of(a).written, 7);
    assert_true(stats_of(a).failing);
    assert_string_equal(stats_of(a).last_error, "status 503");
    run_for(CRIER_S); /* what is left of the batch is tried again */
    assert_int_equal(fake_named("a")->try_count, 3);
    crier_sink_answer(a, CRIER_REJECTED, 1, &err);
    run_for(0);
    assert_int_equal(stats_of(a).written, 8);
    assert_int_equal(stats_of(a).rejected, 1);
    set_verdict("a", CRIER_WRITTEN);
    crier_sink_answer(a, CRIER_WRITTEN, 0, NULL);
    run_for(CRIER_S);
    assert_int_equal(stats_of(a).written, 11);
    check_books(a);
    crier_sink_answer(a, CRIER_WRITTEN, 0, NULL); /* nothing is pending */
    run_for(0);
    assert_int_equal(stats_of(a).written, 11);
    stop_sink(a);
}

static void *answer_soon(void *arg)
{
    while (atomic_load(&fake_named("a")->first_batch) == 0)
        usleep(1000);
    crier_sink_answer(arg, CRIER_WRITTEN, 0, NULL);
    return NULL;
}

static void stop_loop(void *arg)
{
    *(int *)arg += 1;
    crier_loop_stop(loop);
}

static void answers_from_another_thread(void **state)
{
    (void)state;
    pthread_t thread;
    int flushed = 0;
    for (int on_loop = 0; on_loop < 2; on_loop++) {
        struct crier_sink *a =
            start_sink("a", (struct how){.driver = on_loop ? &fake_on_loop : NULL});
        set_verdict("a", CRIER_PENDING);
        push(a, 1); /* more of them may be two batches */
        pthread_create(&thread, NULL, answer_soon, a);
        crier_sink_flush(a, stop_loop, &flushed);
        crier_loop_run(loop, CRIER_NEVER);
        assert_int_equal(flushed, on_loop + 1);
        assert_int_equal(stats_of(a).written, 1);
        pthread_join(thread, NULL);
        stop_sink(a);
    }
}

static void on_the_loop_thread_live(void **state)
{
    (void)state;
    int flushed = 0;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 1, .driver = &fake_on_loop});
    push(a, 500);
    assert_int_equal(fake_named("a")->count, 0); /* not before the loop runs */
    crier_sink_flush(a, stop_loop, &flushed);
    crier_loop_run(loop, CRIER_NEVER);
    check_written("a", 1, 500);
    stop_sink(a);
}

/* ---- commands ---- */

static struct {
    uint64_t changed;
    char result[64];
    int code;
    char text[128];
    int calls;
} got;

static void on_changed(void *arg, uint64_t changed, const struct crier_err *err)
{
    (void)arg;
    got.changed = changed;
    got.code = err->code;
    snprintf(got.text, sizeof got.text, "%.100s", err->text);
    got.calls++;
}

static void on_result(void *arg, const json_t *result, const struct crier_err *err)
{
    char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
    (void)arg;
    snprintf(got.result, sizeof got.result, "%s", text ? text : "");
    got.code = err->code;
    snprintf(got.text, sizeof got.text, "%.100s", err->text);
    got.calls++;
    free(text);
}

static struct crier_query *query(void)
{
    return crier_query_new(NULL);
}

static void changes_and_calls(void **state)
{
    (void)state;
    memset(&got, 0, sizeof got);
    struct crier_sink *a = start_sink("a", (struct how){0});
    push(a, 3);
    crier_sink_change(a, query(), NULL, on_changed, NULL);
    assert_int_equal(got.calls, 0);
    run_for(0);
    assert_int_equal(got.changed, 3); /* after what was pushed before */
    assert_int_equal(got.code, 0);
    crier_sink_change(a, query(), json_object(), on_changed, NULL);
    run_for(0);
    assert_int_equal(got.changed, 1003);
    crier_sink_call(a, &fake_methods[0], json_pack("[i]", 42), on_result, NULL);
    run_for(0);
    assert_string_equal(got.result, "{\"got\":42}");
    crier_sink_call(a, &fake_methods[0], json_array(), on_result, NULL);
    run_for(0);
    assert_int_equal(got.code, CRIER_EINVAL);
    assert_string_equal(got.text, "sink 'a': an argument is missing");

    set_verdict("a", CRIER_UNAVAILABLE);
    push(a, 1);
    run_for(0);
    crier_sink_change(a, query(), NULL, on_changed, NULL);
    run_for(0);
    assert_int_equal(got.code, CRIER_ENET);
    assert_non_null(strstr(got.text, "sink 'a' is down"));
    crier_sink_stop(a, 0);
    crier_sink_call(a, &fake_methods[0], json_pack("[i]", 42), on_result, NULL);
    run_for(0);
    assert_int_equal(got.code, CRIER_ECANCELED);
    assert_int_equal(got.calls, 6);
    stop_sink(a);
}

/* ---- room, haste ---- */

static void count_call(void *arg)
{
    *(int *)arg += 1;
}

static void tells_of_room(void **state)
{
    (void)state;
    int first = 0, second = 0, third = 0;
    struct crier_sink *a =
        start_sink("a", (struct how){.queue = 10, .batch = 2, .overflow = "block"});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 9);
    assert_false(crier_sink_is_full(a));
    push(a, 1);
    assert_true(crier_sink_is_full(a));
    crier_sink_on_room(a, count_call, &first);
    crier_sink_on_room(a, count_call, &second);
    crier_sink_forget_room(a, &second);
    push(a, 5); /* spills */
    run_for(CRIER_MS);
    assert_int_equal(first, 0);
    assert_true(stats_of(a).spilled > 0);
    set_verdict("a", CRIER_WRITTEN);
    run_for(10 * CRIER_S);
    assert_int_equal(first, 1);
    assert_int_equal(second, 0);
    assert_false(crier_sink_is_full(a));
    check_written("a", 1, 15);
    crier_sink_on_room(a, count_call, &second); /* there is room: soon */
    run_for(0);
    assert_int_equal(second, 1);
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 20);
    run_for(0);
    crier_sink_on_room(a, count_call, &third);
    run_for(0);
    assert_int_equal(third, 0);
    stop_sink(a); /* who waits is not left waiting */
    assert_int_equal(third, 1);
}

static void is_full_only_where_it_blocks(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.queue = 2});
    push(a, 10);
    assert_false(crier_sink_is_full(a));
    stop_sink(a);
}

static void hurries(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 10, .flush = 60 * CRIER_S});
    push(a, 3);
    run_for(CRIER_S);
    assert_int_equal(fake_named("a")->count, 0);
    crier_sink_hurry(a);
    run_for(CRIER_S);
    check_written("a", 1, 3);
    push(a, 2); /* only what was pushed before */
    run_for(CRIER_S);
    assert_int_equal(fake_named("a")->count, 3);
    stop_sink(a);
}

/* ---- durable ---- */

static void durable_drops_nothing(void **state)
{
    (void)state;
    struct crier_sink *a = NULL;
    struct crier_err err = {0};
    assert_int_equal(try_open("a", (struct how){.durable = true, .overflow = "drop_old"}, &a, &err),
                     CRIER_ECONFIG);
    assert_non_null(strstr(err.text, "overflow = \"spill\" or \"block\""));
    a = start_sink("a", (struct how){.durable = true, .queue = 5, .batch = 2});
    push(a, 3);
    assert_int_equal(stats_of(a).spilled, 3); /* on disk before anything has run */
    push(a, 40);
    assert_int_equal(stats_of(a).spilled, 43);
    check_books(a);
    run_for(0);
    check_written("a", 1, 43);
    push(a, 4);
    run_for(0);
    check_written("a", 1, 47);
    stop_sink(a);
}

/* ---- the end ---- */

static void ends(void **state)
{
    (void)state;
    int ended = 0;
    struct crier_sink *a = start_sink("a", (struct how){0});
    push(a, 100);
    crier_sink_end(a, 10 * CRIER_S, count_call, &ended);
    crier_sink_end(a, 10 * CRIER_S, count_call, &ended);
    assert_int_equal(ended, 0);
    run_for(CRIER_MS);
    assert_int_equal(ended, 2);
    check_written("a", 1, 100);
    assert_int_equal(fake_named("a")->closed, 1);
    crier_sink_end(a, 10 * CRIER_S, count_call, &ended); /* has ended */
    run_for(0);
    assert_int_equal(ended, 3);
    push(a, 1);
    assert_int_equal(stats_of(a).dropped, 0);
    assert_int_equal(stats_of(a).spilled, 1); /* for the next start */
    stop_sink(a);
    assert_int_equal(fake_named("a")->closed, 1);

    a = open_sink("a", (struct how){0}); /* one that was never started */
    crier_sink_end(a, CRIER_S, count_call, &ended);
    run_for(0);
    assert_int_equal(ended, 4);
    stop_sink(a);
}

static void end_of_a_pending_batch(void **state)
{
    (void)state;
    int ended = 0;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 4, .driver = &fake_on_loop});
    set_verdict("a", CRIER_PENDING);
    push(a, 10);
    run_for(0);
    crier_sink_end(a, 5 * CRIER_S, count_call, &ended);
    run_for(4 * CRIER_S);
    assert_int_equal(ended, 0);
    run_for(2 * CRIER_S);
    assert_int_equal(ended, 1); /* given up */
    assert_int_equal(stats_of(a).spilled, 10);
    stop_sink(a);
    set_verdict("a", CRIER_WRITTEN);
    a = start_sink("a", (struct how){0});
    run_for(0);
    check_written("a", 1, 10);
    assert_int_equal(fake_named("a")->first_batch, 4);
    stop_sink(a);
}

/* A sink that is down gets one more try, and is not waited for; its fallback ends after it. */
static void end_of_one_that_is_down(void **state)
{
    (void)state;
    int ended = 0;
    struct crier_sink *b = start_sink("b", (struct how){0});
    struct crier_sink *a = open_sink("a", (struct how){0});
    crier_sink_set_fallback(a, b);
    crier_sink_start(a, loop);
    set_verdict("a", CRIER_UNAVAILABLE);
    push(a, 3);
    run_for(0);
    size_t tries = fake_named("a")->try_count;
    push(a, 200);
    crier_sink_end(b, 10 * CRIER_S, count_call, &ended);
    crier_sink_end(a, 10 * CRIER_S, count_call, &ended);
    run_for(CRIER_MS);
    assert_int_equal(ended, 2);
    assert_int_equal(fake_named("a")->try_count, tries + 1);
    check_written("b", 1, 203);
    assert_int_equal(stats_of(a).spilled, 203);
    stop_sink(a);
    stop_sink(b);
}

static void a_driver_that_hangs_holds_nobody(void **state)
{
    (void)state;
    int ended = 0;
    struct crier_sink *a = open_sink("a", (struct how){.batch = 10});
    atomic_store(&fake_named("a")->hang, true);
    push(a, 100);
    crier_sink_start(a, loop);
    while (atomic_load(&fake_named("a")->writing) == 0)
        usleep(100);
    crier_sink_end(a, 50 * CRIER_MS, stop_loop, &ended); /* comes back though the driver does not */
    run_for(200 * CRIER_MS);
    assert_int_equal(ended, 0);
    assert_int_equal(fake_named("a")->interrupted, 1);
    push(a, 5); /* meanwhile: to the spool */
    atomic_store(&fake_named("a")->hang, false);
    run_for(60 * CRIER_S);
    assert_int_equal(ended, 1);
    check_written("a", 1, 10);
    assert_int_equal(stats_of(a).spilled, 95);
    stop_sink(a);
}

static struct crier_sink *volatile abandoned; /* never to be freed */

static void left_behind(void **state)
{
    (void)state;
    struct crier_sink *a = open_sink("a", (struct how){.batch = 10});
    atomic_store(&fake_named("a")->hang, true);
    push(a, 100);
    crier_sink_start(a, loop);
    while (atomic_load(&fake_named("a")->writing) == 0)
        usleep(100);
    crier_sink_end(a, 0, NULL, NULL);
    crier_sink_abandon(a);
    abandoned = a;
    assert_int_equal(stats_of(a).spilled, 100);
    check_books(a);
    /* It may come back: nothing is doubled in the books, nothing is touched. */
    atomic_store(&fake_named("a")->hang, false);
    while (atomic_load(&fake_named("a")->writing))
        usleep(100);
    run_for(50 * CRIER_MS);
    assert_int_equal(stats_of(a).spilled, 100);
    assert_int_equal(stats_of(a).written, 0);
    crier_sink_unref(a);
    a = start_sink("a", (struct how){.batch = 100});
    int flushed = 0;
    crier_sink_flush(a, stop_loop, &flushed);
    crier_loop_run(loop, CRIER_NEVER);
    assert_int_equal(fake_named("a")->count, 110); /* the ten, which had been written, twice */
    assert_int_equal(fake_named("a")->first_batch, 10);
    stop_sink(a);
}

/* ---- a successor ---- */

static void succeeds(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.queue = 50, .batch = 10});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 80); /* in flight, in memory, in the spool */
    run_for(0);
    struct crier_sink *next = open_sink("a", (struct how){.queue = 20, .batch = 7});
    crier_sink_succeed(next, a, CRIER_S, loop);
    push(next, 20);
    set_verdict("a", CRIER_WRITTEN);
    run_for(CRIER_MS);
    assert_int_equal(fake_named("a")->closed, 1);
    check_written("a", 1, 100);
    push(next, 20);
    run_for(0);
    check_written("a", 1, 120);
    assert_int_equal(stats_of(next).written, 120);
    check_books(next);
    crier_sink_unref(a);
    stop_sink(next);
}

/* One that becomes durable, one that hangs, one that is replaced before it has begun. */
static void succeeds_one_that_hangs(void **state)
{
    (void)state;
    struct crier_sink *a = open_sink("a", (struct how){.queue = 50, .batch = 10});
    atomic_store(&fake_named("a")->hang, true);
    push(a, 30);
    crier_sink_start(a, loop);
    while (atomic_load(&fake_named("a")->writing) == 0)
        usleep(100);
    struct crier_sink *b = open_sink("a", (struct how){.queue = 50, .durable = true});
    crier_sink_succeed(b, a, 10 * CRIER_MS, loop);
    crier_sink_unref(a);
    assert_int_equal(stats_of(b).spilled, 30); /* durable from now on */
    push(b, 100);
    assert_int_equal(stats_of(b).spilled, 130);
    run_for(50 * CRIER_MS);
    struct crier_sink *c = open_sink("a", (struct how){.queue = 1000, .batch = 100});
    crier_sink_succeed(c, b, 10 * CRIER_MS, loop);
    crier_sink_unref(b);
    push(c, 5);
    run_for(50 * CRIER_MS);
    assert_int_equal(fake_named("a")->count, 0);
    check_books(c);
    atomic_store(&fake_named("a")->hang, false);
    int flushed = 0;
    crier_sink_flush(c, stop_loop, &flushed);
    crier_loop_run(loop, CRIER_NEVER);
    check_written("a", 1, 135);
    assert_int_equal(stats_of(c).written, 135);
    assert_int_equal(fake_named("a")->closed, 2);
    check_books(c);
    stop_sink(c);
}

static void end_before_the_predecessor_has(void **state)
{
    (void)state;
    int ended = 0;
    struct crier_sink *a = open_sink("a", (struct how){.batch = 10});
    atomic_store(&fake_named("a")->hang, true);
    push(a, 30);
    crier_sink_start(a, loop);
    while (atomic_load(&fake_named("a")->writing) == 0)
        usleep(100);
    struct crier_sink *b = open_sink("a", (struct how){0});
    crier_sink_succeed(b, a, 10 * CRIER_MS, loop);
    crier_sink_unref(a);
    push(b, 5);
    crier_sink_end(b, CRIER_S, stop_loop, &ended);
    run_for(50 * CRIER_MS);
    assert_int_equal(ended, 0);
    atomic_store(&fake_named("a")->hang, false);
    run_for(60 * CRIER_S);
    assert_int_equal(ended, 1);
    check_written("a", 1, 10);
    assert_int_equal(stats_of(b).spilled, 25);
    stop_sink(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LIVE(name) cmocka_unit_test_setup_teardown(name, setup_live, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_later),
        LIVE(answers_from_another_thread),
        LIVE(on_the_loop_thread_live),
        TEST(changes_and_calls),
        TEST(tells_of_room),
        TEST(is_full_only_where_it_blocks),
        TEST(hurries),
        TEST(durable_drops_nothing),
        TEST(ends),
        TEST(end_of_a_pending_batch),
        TEST(end_of_one_that_is_down),
        LIVE(a_driver_that_hangs_holds_nobody),
        LIVE(left_behind),
        TEST(succeeds),
        LIVE(succeeds_one_that_hangs),
        LIVE(end_before_the_predecessor_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
