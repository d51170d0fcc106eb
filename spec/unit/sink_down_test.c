/* SPDX-License-Identifier: MIT
 *
 * A sink that is down: when it is, what its fallback gets, what its spool keeps, and how it comes
 * back.
 */
#include "sink_fake_support.h"

#include <sys/wait.h>

static void set_verdict(const char *name, enum crier_verdict verdict)
{
    atomic_store(&fake_named(name)->verdict, verdict);
}

static void down_after_so_many_failures(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.times = 3});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 4);
    run_for(0);
    struct crier_sink_stats s = stats_of(a);
    assert_true(s.failing && !s.down);
    assert_int_equal(told("failing"), 1);
    run_for(10 * CRIER_S);
    s = stats_of(a);
    assert_true(s.failing && s.down);
    assert_int_equal(told("failing"), 1);
    assert_int_equal(told("down"), 1);
    assert_non_null(strstr(text_of("down"), "no connection; the next try is in "));
    assert_non_null(strstr(text_of("down"), "4 records wait"));
    assert_in_range(s.down_since, 1700000000 * CRIER_S, 1700000001 * CRIER_S);
    assert_true(s.next_try > crier_clock_wall(the_clock));
    /* What waits is in the spool now, and so is what comes. */
    assert_int_equal(s.spilled, 4);
    assert_int_equal(s.queued, 0);
    push(a, 3);
    assert_int_equal(stats_of(a).spilled, 7);
    check_books(a);

    set_verdict("a", CRIER_WRITTEN);
    run_for(60 * CRIER_S);
    check_written("a", 1, 7);
    s = stats_of(a);
    assert_true(!s.failing && !s.down && s.down_since == 0 && s.next_try == 0);
    assert_int_equal(told("ok"), 1);
    assert_non_null(strstr(text_of("ok"), "works again, after "));
    /* And what comes then stays in memory again. */
    push(a, 5);
    assert_int_equal(stats_of(a).queued, 5);
    stop_sink(a);
}

static void unavailable_is_down_at_once(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){0});
    set_verdict("a", CRIER_UNAVAILABLE);
    push(a, 1);
    run_for(0);
    assert_true(stats_of(a).down);
    assert_int_equal(told("failing"), 0);
    assert_int_equal(told("down"), 1);
    assert_int_equal(stats_of(a).retries, 1);
    stop_sink(a);
}

static void pauses_as_told(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.times = 2, .delay = 60 * CRIER_S});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 1);
    run_for(3600 * CRIER_S);
    struct fake *f = fake_named("a");
    assert_in_range(f->try_count, 50, 64);
    bool differ = false;
    for (size_t i = 1; i < f->try_count; i++) {
        int64_t pause = f->tries[i] - f->tries[i - 1];
        assert_in_range(pause, 54 * CRIER_S, 66 * CRIER_S);
        differ |= pause != f->tries[1] - f->tries[0];
    }
    assert_true(differ);
    stop_sink(a);
}

/* In flight, in the ring, in the spool, and what comes while it is down. */
static void fallback_gets_each_once(void **state)
{
    (void)state;
    struct crier_sink *b = start_sink("b", (struct how){0});
    struct crier_sink *a = open_sink("a", (struct how){.queue = 20, .batch = 10, .times = 2});
    crier_sink_set_fallback(a, b);
    crier_sink_start(a, loop);
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 20);
    run_for(0); /* ten are in flight */
    push(a, 70);
    assert_true(stats_of(a).spilled > 0 && stats_of(a).queued > 10);
    run_for(10 * CRIER_S);
    assert_true(stats_of(a).down);
    assert_non_null(strstr(text_of("down"), "'b' gets copies"));
    check_written("b", 1, 90);
    assert_int_equal(stats_of(a).copied, 90);
    assert_int_equal(stats_of(b).accepted, 90);
    push(a, 15);
    run_for(0);
    check_written("b", 1, 105);
    run_for(60 * CRIER_S); /* tries that fail copy nothing again */
    check_written("b", 1, 105);
    check_books(a);
    check_books(b);

    set_verdict("a", CRIER_WRITTEN);
    run_for(60 * CRIER_S);
    check_written("a", 1, 105);
    push(a, 5);
    run_for(0);
    check_written("a", 1, 110);
    check_written("b", 1, 105); /* it works: no copies */
    stop_sink(a);
    stop_sink(b);
}

static void no_copy_twice_over_a_restart(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        uint64_t first = source.seq + 1;
        fake_named("b")->count = fake_named("a")->count = 0;
        set_verdict("a", CRIER_UNAVAILABLE);
        struct crier_sink *b = start_sink("b", (struct how){0});
        struct crier_sink *a = open_sink("a", (struct how){.queue = 20, .durable = durable});
        crier_sink_set_fallback(a, b);
        crier_sink_start(a, loop);
        push(a, 50);
        run_for(0);
        check_written("b", first, 50);
        crier_sink_stop(a, CRIER_S);
        assert_int_equal(stats_of(a).spilled, 50);
        crier_sink_unref(a);

        a = open_sink("a", (struct how){.queue = 20, .durable = durable});
        crier_sink_set_fallback(a, b);
        crier_sink_start(a, loop);
        push(a, 10);
        run_for(CRIER_S);
        assert_true(stats_of(a).down);
        check_written("b", first, 60);
        assert_int_equal(stats_of(a).copied, 10);
        set_verdict("a", CRIER_WRITTEN);
        run_for(60 * CRIER_S);
        check_written("a", first, 60);
        stop_sink(a);
        stop_sink(b);
    }
}

static void a_fallback_may_have_one(void **state)
{
    (void)state;
    struct crier_sink *c = start_sink("c", (struct how){0});
    struct crier_sink *b = open_sink("b", (struct how){0}), *a = open_sink("a", (struct how){0});
    crier_sink_set_fallback(b, c);
    crier_sink_set_fallback(a, b);
    crier_sink_set_fallback(c, a); /* a ring is not made */
    crier_sink_start(b, loop);
    crier_sink_start(a, loop);
    set_verdict("a", CRIER_UNAVAILABLE);
    set_verdict("b", CRIER_UNAVAILABLE);
    push(a, 100);
    run_for(0);
    check_written("c", 1, 100);
    assert_int_equal(stats_of(b).accepted, 100);
    assert_int_equal(stats_of(b).copied, 100);
    check_books(b);
    stop_sink(a);
    stop_sink(b);
    stop_sink(c);
}

/* Dropping policies keep what waits in memory also while the sink is down. */
static void copies_of_a_dropping_sink(void **state)
{
    (void)state;
    struct crier_sink *b = start_sink("b", (struct how){0});
    struct crier_sink *a =
        open_sink("a", (struct how){.queue = 10, .batch = 4, .overflow = "drop_old"});
    crier_sink_set_fallback(a, b);
    crier_sink_start(a, loop);
    set_verdict("a", CRIER_UNAVAILABLE);
    for (int i = 0; i < 10; i++) {
        push(a, 6);
        run_for(0);
    }
    check_written("b", 1, 60); /* each was copied before it was dropped */
    assert_int_equal(stats_of(a).spilled, 0);
    assert_int_equal(stats_of(a).queued, 14);
    assert_int_equal(stats_of(a).dropped, 46);
    check_books(a);
    stop_sink(a);
    stop_sink(b);
}

static void bound_of_the_spool(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink(
        "a", (struct how){.queue = 100, .batch = 10, .spool = 256 << 10, .durable = true});
    set_verdict("a", CRIER_UNAVAILABLE);
    push(a, 20);
    run_for(0);
    for (int i = 0; i < 50; i++) {
        push(a, 200);
        run_for(CRIER_S);
        check_books(a);
    }
    struct crier_sink_stats s = stats_of(a);
    assert_true(s.dropped > 1000);
    assert_in_range(s.spool_bytes, 1, 256 << 10);
    assert_int_equal(told("full"), 1);
    assert_non_null(strstr(text_of("full"), "has reached its bound of 262144 bytes"));
    assert_true(told("dropped") > 1);
    set_verdict("a", CRIER_WRITTEN);
    run_for(60 * CRIER_S);
    /* The oldest that were not in hand are the ones that are gone; the order is kept. */
    struct fake *f = fake_named("a");
    assert_int_equal(f->count, s.accepted - s.dropped);
    for (size_t i = 1; i < f->count; i++)
        assert_true(f->seq[i] > f->seq[i - 1]);
    assert_int_equal(f->seq[0], 1);
    assert_int_equal(f->seq[9], 10);
    assert_int_equal(f->seq[f->count - 1], s.accepted);
    check_books(a);
    stop_sink(a);
}

/* ---- the same batch after a kill ---- */

static void batch_is_the_same_after_a_kill(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct crier_sink *a = start_sink("a", (struct how){.batch = 3, .durable = true});
        push(a, 3);
        run_for(0);
        set_verdict("a", CRIER_PENDING);
        push(a, 10);
        run_for(0);
        _exit(stats_of(a).written == 3 && stats_of(a).spilled == 10 ? 7 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    source.seq += 13;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 100, .durable = true});
    push(a, 5);
    run_for(0);
    check_written("a", 4, 15);
    assert_int_equal(fake_named("a")->first_batch, 3);
    assert_int_equal(stats_of(a).accepted, 15);
    stop_sink(a);
}

/* A batch that a stop found under way is handed out again, too, also where nothing is durable. */
static void batch_is_the_same_after_a_stop(void **state)
{
    (void)state;
    struct crier_sink *a = start_sink("a", (struct how){.batch = 7});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 20);
    run_for(0);
    stop_sink(a);
    set_verdict("a", CRIER_WRITTEN);
    a = start_sink("a", (struct how){.batch = 100});
    run_for(0);
    check_written("a", 1, 20);
    assert_int_equal(fake_named("a")->first_batch, 7);
    stop_sink(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(down_after_so_many_failures),
        TEST(unavailable_is_down_at_once),
        TEST(pauses_as_told),
        TEST(fallback_gets_each_once),
        TEST(no_copy_twice_over_a_restart),
        TEST(a_fallback_may_have_one),
        TEST(copies_of_a_dropping_sink),
        TEST(bound_of_the_spool),
        TEST(batch_is_the_same_after_a_kill),
        TEST(batch_is_the_same_after_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
