/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/worker.h"

/* --- virtual ------------------------------------------------------------------------------- */

struct inline_step {
    struct crier_loop *loop;
    struct crier_worker *worker;
    struct crier_buf *out;
    char letter;
    int64_t every; /* next due = now + every; 0 = only when woken */
    int left;      /* steps after which it only wants to be woken */
    struct inline_step *wakes;
};

static int64_t inline_step(void *arg, int64_t now)
{
    struct inline_step *s = arg;
    crier_buf_printf(s->out, "%c%lld ", s->letter, (long long)now);
    if (s->wakes)
        crier_worker_wake(s->wakes->worker);
    return s->every && s->left-- > 0 ? now + s->every : CRIER_NEVER;
}

static void note(void *arg)
{
    struct inline_step *s = arg;
    crier_buf_printf(s->out, "post ");
    crier_worker_wake(s->worker);
}

static void virtual_steps_in_order(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    struct crier_loop *loop = crier_loop_new(clock);
    struct crier_buf out = {0};
    struct inline_step a = {loop, NULL, &out, 'a', 10, 2, NULL};
    struct inline_step b = {loop, NULL, &out, 'b', 0, 0, NULL};
    struct inline_step c = {loop, NULL, &out, 'c', 25, 1, NULL};
    a.worker = crier_worker_start(loop, "a", inline_step, &a);
    b.worker = crier_worker_start(loop, "b", inline_step, &b);
    c.worker = crier_worker_start(loop, "c", inline_step, &c);
    c.wakes = &b; /* one that stands before it: in the next pass */
    crier_loop_post(loop, note, &b);
    assert_null(out.data); /* a step is the run's business */
    crier_loop_run(loop, 15);
    assert_string_equal(out.data, "post a0 b0 c0 b0 a10 ");
    crier_buf_clear(&out);
    crier_loop_run(loop, CRIER_NEVER);
    assert_string_equal(out.data, "a20 c25 b25 ");
    assert_int_equal(crier_loop_now(loop), 25);

    crier_buf_clear(&out);
    crier_worker_wake(a.worker);
    crier_worker_wake(a.worker);
    crier_worker_stop(b.worker);
    c.wakes = NULL;
    crier_worker_wake(c.worker);
    crier_worker_stop(c.worker); /* woken, but stopped */
    crier_loop_run(loop, CRIER_NEVER);
    assert_string_equal(out.data, "a25 ");
    crier_worker_stop(a.worker);
    crier_loop_run(loop, CRIER_NEVER);
    assert_string_equal(out.data, "a25 ");
    crier_loop_free(loop);
    crier_clock_free(clock);
    crier_buf_fini(&out);
}

struct waker {
    struct crier_timer timer;
    struct inline_step *step;
};

static void wake_at(struct crier_timer *timer)
{
    struct waker *w = CRIER_CONTAINER(timer, struct waker, timer);
    crier_buf_puts(w->step->out, "timer ");
    crier_loop_post(w->step->loop, note, w->step);
    crier_worker_wake(w->step->worker);
}

/* Between two timers of one instant, what the first one caused is done. */
static void virtual_work_runs_between_timers(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    struct crier_loop *loop = crier_loop_new(clock);
    struct crier_buf out = {0};
    struct inline_step a = {loop, NULL, &out, 'a', 7, 1, NULL};
    a.worker = crier_worker_start(loop, "a", inline_step, &a);
    struct waker first = {{.fire = wake_at}, &a}, second = {{.fire = wake_at}, &a};
    crier_timer_at(loop, &first.timer, 7);
    crier_timer_at(loop, &second.timer, 7);
    crier_loop_run(loop, CRIER_NEVER);
    assert_string_equal(out.data, "a0 a7 timer post a7 timer post a7 ");
    crier_worker_stop(a.worker);
    crier_loop_free(loop);
    crier_clock_free(clock);
    crier_buf_fini(&out);
}

/* --- live ---------------------------------------------------------------------------------- */

struct live_step {
    struct crier_loop *loop;
    struct crier_worker *worker;
    pthread_mutex_t lock;
    int given, taken; /* guarded by lock */
    atomic_int steps;
    int64_t due;   /* what the step returns */
    int64_t early; /* steps that came before the due time */
    int want;
    char name[16];
    bool blocked;
};

static void stop_loop(void *arg)
{
    crier_loop_stop(arg);
}

static int64_t take(void *arg, int64_t now)
{
    struct live_step *s = arg;
    (void)now;
    atomic_fetch_add(&s->steps, 1);
    pthread_mutex_lock(&s->lock);
    s->taken = s->given;
    bool all = s->taken == s->want;
    pthread_mutex_unlock(&s->lock);
    if (all) {
        sigset_t set;
        pthread_sigmask(SIG_BLOCK, NULL, &set);
        s->blocked =
            sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP) && !sigismember(&set, SIGSEGV);
        pthread_getname_np(pthread_self(), s->name, sizeof s->name);
        crier_loop_post(s->loop, stop_loop, s->loop);
    }
    return CRIER_NEVER;
}

static void *give(void *arg)
{
    struct live_step *s = arg;
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&s->lock);
        s->given++;
        pthread_mutex_unlock(&s->lock);
        crier_worker_wake(s->worker);
    }
    return NULL;
}

/* Every wake is followed by a step that sees what was given before it. */
static void no_wake_is_lost(void **state)
{
    (void)state;
    enum { GIVERS = 3 };
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    struct live_step s = {.loop = loop, .want = GIVERS * 20000};
    pthread_mutex_init(&s.lock, NULL);
    s.worker = crier_worker_start(loop, "a-name-that-is-too-long", take, &s);
    pthread_t givers[GIVERS];
    for (int i = 0; i < GIVERS; i++)
        assert_int_equal(pthread_create(&givers[i], NULL, give, &s), 0);
    crier_loop_run(loop, crier_loop_now(loop) + 60 * CRIER_S);
    for (int i = 0; i < GIVERS; i++)
        pthread_join(givers[i], NULL);
    crier_worker_stop(s.worker);
    assert_int_equal(s.taken, GIVERS * 20000);
    assert_string_equal(s.name, "a-name-that-is-");
    assert_true(s.blocked);
    crier_loop_free(loop);
    pthread_mutex_destroy(&s.lock);
}

static void pong(void *arg)
{
    struct live_step *s = arg;
    if (s->want-- == 0)
        crier_loop_stop(s->loop);
    else
        crier_worker_wake(s->worker);
    atomic_fetch_add(&s->steps, 1);
}

static int64_t ping(void *arg, int64_t now)
{
    struct live_step *s = arg;
    (void)now;
    int before = s->steps;
    crier_loop_post(s->loop, pong, s);
    while (s->steps == before)
        sched_yield();
    return CRIER_NEVER;
}

static void a_wake_during_the_step_counts(void **state)
{
    (void)state;
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    struct live_step s = {.loop = loop, .want = 1000};
    s.worker = crier_worker_start(loop, "ping", ping, &s);
    crier_loop_run(loop, crier_loop_now(loop) + 60 * CRIER_S);
    assert_int_equal(s.want, -1);
    crier_worker_stop(s.worker);
    crier_loop_free(loop);
}

static int64_t tick(void *arg, int64_t now)
{
    struct live_step *s = arg;
    if (now < s->due)
        s->early++;
    if (atomic_fetch_add(&s->steps, 1) == 10) {
        crier_loop_post(s->loop, stop_loop, s->loop);
        return CRIER_NEVER;
    }
    s->due = now + 500;
    return s->due;
}

static void due_steps_come_by_themselves(void **state)
{
    (void)state;
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    struct live_step s = {.loop = loop};
    int64_t start = crier_loop_now(loop);
    s.worker = crier_worker_start(loop, "tick", tick, &s);
    crier_loop_run(loop, crier_loop_now(loop) + 60 * CRIER_S);
    crier_worker_stop(s.worker);
    assert_int_equal(s.steps, 11);
    assert_int_equal(s.early, 0);
    assert_true(crier_loop_now(loop) - start >= 10 * 500);
    crier_loop_free(loop);
}

static int64_t count_only(void *arg, int64_t now)
{
    struct live_step *s = arg;
    atomic_fetch_add(&s->steps, 1);
    return s->due == CRIER_NEVER ? CRIER_NEVER : now + s->due;
}

/* Asleep for ever, asleep for an hour, always busy: stopping is prompt, and no step follows. */
static void stop_joins(void **state)
{
    (void)state;
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    static const int64_t dues[] = {CRIER_NEVER, 3600 * CRIER_S, 0, -5};
    for (size_t i = 0; i < CRIER_COUNT(dues); i++) {
        for (int round = 0; round < 20; round++) {
            struct live_step s = {.loop = loop, .due = dues[i]};
            s.worker = crier_worker_start(loop, "s", count_only, &s);
            if (round % 2)
                crier_worker_wake(s.worker);
            crier_worker_stop(s.worker);
            assert_true(s.steps >= 1); /* called once at once */
        }
    }
    crier_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_steps_in_order),
        cmocka_unit_test(virtual_work_runs_between_timers),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(a_wake_during_the_step_counts),
        cmocka_unit_test(due_steps_come_by_themselves),
        cmocka_unit_test(stop_joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
