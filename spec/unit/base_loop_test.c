/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/ulid.h"

#define WALL (1795300270 * CRIER_S)

/* A timer that writes its letter and then does what it was told. */
struct probe {
    struct crier_timer timer;
    struct crier_loop *loop;
    struct crier_buf *out;
    char letter;
    int64_t again; /* delay to arm itself with; 0 = not */
    int times;     /* how often */
    struct probe *stops, *moves;
    bool ends; /* the run, unless it armed itself again */
    bool posts, frees;
};

static void posted(void *arg)
{
    struct probe *p = arg;
    crier_buf_printf(p->out, "(%c)", p->letter);
}

static void fire(struct crier_timer *timer)
{
    struct probe *p = CRIER_CONTAINER(timer, struct probe, timer);
    assert_false(crier_timer_armed(timer));
    assert_true(crier_loop_now(p->loop) >= timer->due);
    crier_buf_printf(p->out, "%c", p->letter);
    if (p->again && p->times-- > 0)
        crier_timer_at(p->loop, timer, timer->due + p->again);
    if (p->stops)
        crier_timer_stop(p->loop, &p->stops->timer);
    if (p->moves)
        crier_timer_in(p->loop, &p->moves->timer, 5);
    if (p->posts)
        crier_loop_post(p->loop, posted, p);
    if (p->ends && !crier_timer_armed(timer))
        crier_loop_stop(p->loop);
    if (p->frees)
        free(p);
}

struct world {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_buf out;
};

static void open_world(struct world *w, bool live)
{
    *w = (struct world){.clock = live ? crier_clock_real() : crier_clock_virtual(WALL)};
    w->loop = crier_loop_new(w->clock);
    crier_buf_puts(&w->out, "");
}

static void close_world(struct world *w)
{
    crier_loop_free(w->loop);
    crier_clock_free(w->clock);
    crier_buf_fini(&w->out);
}

static struct probe probe(struct world *w, char letter)
{
    return (struct probe){
        .timer = {.fire = fire}, .loop = w->loop, .out = &w->out, .letter = letter};
}

static void fire_in_order_of_due_and_arming(void **state)
{
    bool live = *state != NULL;
    struct world w;
    open_world(&w, live);
    struct probe p[6];
    int64_t now = crier_loop_now(w.loop);
    const int64_t due[6] = {3000, 1000, 2000, 1000, 2000, -50};
    for (int i = 0; i < 6; i++) {
        p[i] = probe(&w, (char)('a' + i));
        crier_timer_at(w.loop, &p[i].timer, now + due[i]);
    }
    crier_timer_at(w.loop, &p[1].timer, now + 1000); /* armed anew: behind d */
    crier_loop_run(w.loop, now + 5000);
    assert_string_equal(w.out.data, "fdbcea");
    close_world(&w);
}

static void stop_and_move_in_callbacks(void **state)
{
    bool live = *state != NULL;
    struct world w;
    open_world(&w, live);
    struct probe a = probe(&w, 'a'), b = probe(&w, 'b'), c = probe(&w, 'c'), d = probe(&w, 'd');
    int64_t now = crier_loop_now(w.loop);
    crier_timer_at(w.loop, &a.timer, now + 100);
    crier_timer_at(w.loop, &b.timer, now + 100);
    crier_timer_at(w.loop, &c.timer, now + 100);
    crier_timer_at(w.loop, &d.timer, now + 3600 * CRIER_S);
    a.stops = &b; /* due at this very instant already */
    a.moves = &d;
    c.stops = &c; /* harmless */
    crier_timer_stop(w.loop, &b.timer);
    crier_timer_stop(w.loop, &b.timer);
    crier_timer_at(w.loop, &b.timer, now + 100);
    d.ends = true;
    crier_loop_run(w.loop, now + 60 * CRIER_S);
    assert_string_equal(w.out.data, "acd");
    struct crier_loop_stats stats;
    crier_loop_stats(w.loop, &stats);
    assert_int_equal(stats.armed, 0);
    close_world(&w);
}

static void a_timer_arms_itself_and_frees_itself(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    struct probe a = probe(&w, 'a');
    a.again = 10 * CRIER_S;
    a.times = 100;
    crier_timer_in(w.loop, &a.timer, 10 * CRIER_S);
    struct probe *b = crier_malloc(sizeof *b);
    *b = probe(&w, 'b');
    b->frees = true;
    crier_timer_in(w.loop, &b->timer, 25 * CRIER_S);
    crier_loop_run(w.loop, 40 * CRIER_S);
    assert_string_equal(w.out.data, "aabaa"); /* the bound belongs to the run */
    assert_int_equal(crier_loop_now(w.loop), 40 * CRIER_S);
    crier_loop_run(w.loop, 45 * CRIER_S);
    assert_string_equal(w.out.data, "aabaa");
    assert_int_equal(crier_loop_now(w.loop), 45 * CRIER_S);
    assert_int_equal(crier_loop_wall(w.loop), WALL + 45 * CRIER_S);
    crier_loop_run(w.loop, CRIER_NEVER); /* until nothing is left; the clock stays there */
    assert_int_equal(w.out.len, 101 + 1);
    assert_int_equal(crier_loop_now(w.loop), 101 * 10 * CRIER_S);
    crier_loop_run(w.loop, CRIER_NEVER);
    crier_loop_run(w.loop, 1);
    assert_int_equal(crier_loop_now(w.loop), 101 * 10 * CRIER_S);
    close_world(&w);
}

/* Virtual: all that is due fires even though one re-arms itself in the past. Live: it takes turns
 * with the rest of the loop's work. */
static void the_past_does_not_starve(void **state)
{
    bool live = *state != NULL;
    struct world w;
    open_world(&w, live);
    struct probe a = probe(&w, 'a'), b = probe(&w, 'b');
    int64_t now = crier_loop_now(w.loop);
    a.again = 1;
    a.times = 3;
    a.posts = true;
    crier_timer_at(w.loop, &a.timer, now - 1000);
    crier_timer_at(w.loop, &b.timer, now - 500);
    a.ends = live;
    crier_loop_run(w.loop, now + 60 * CRIER_S);
    if (live) {
        assert_string_equal(w.out.data, "ab(a)a(a)a(a)a");
    } else {
        assert_string_equal(w.out.data, "a(a)a(a)a(a)a(a)b");
    }
    close_world(&w);
}

static void stop_ends_the_run_at_once(void **state)
{
    bool live = *state != NULL;
    struct world w;
    open_world(&w, live);
    struct probe a = probe(&w, 'a'), b = probe(&w, 'b');
    int64_t now = crier_loop_now(w.loop);
    a.ends = true;
    crier_timer_at(w.loop, &a.timer, now);
    crier_timer_at(w.loop, &b.timer, now);
    crier_loop_stop(w.loop); /* no run under way */
    crier_loop_run(w.loop, CRIER_NEVER);
    assert_string_equal(w.out.data, "a");
    assert_true(crier_timer_armed(&b.timer));
    crier_loop_run(w.loop, now + 2000);
    assert_string_equal(w.out.data, "ab");
    close_world(&w);
}

static void post_stop(void *arg)
{
    struct probe *p = arg;
    crier_buf_putc(p->out, '!');
    crier_loop_stop(p->loop);
}

static void post_more(void *arg)
{
    struct probe *p = arg;
    crier_buf_putc(p->out, 'm');
    crier_loop_post(p->loop, posted, p);
}

static void posted_work_keeps_its_order(void **state)
{
    bool live = *state != NULL;
    struct world w;
    open_world(&w, live);
    struct probe a = probe(&w, 'a'), b = probe(&w, 'b'), c = probe(&w, 'c');
    crier_loop_post(w.loop, post_more, &a);
    crier_loop_post(w.loop, posted, &b);
    crier_loop_post(w.loop, post_stop, &a);
    crier_loop_post(w.loop, posted, &c);
    crier_loop_run(w.loop, CRIER_NEVER);
    assert_string_equal(w.out.data, "m(b)!"); /* the rest waits for the next run */
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 2000);
    assert_string_equal(w.out.data, "m(b)!(c)(a)");
    crier_loop_post(w.loop, post_stop, &a);
    crier_loop_post(w.loop, posted, &c);
    crier_loop_run(w.loop, CRIER_NEVER);
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 2000); /* nothing new was posted */
    assert_string_equal(w.out.data, "m(b)!(c)(a)!(c)");
    struct crier_buf out = {0};
    b.out = &out;
    crier_loop_post(w.loop, post_more, &b); /* freeing runs what is left */
    close_world(&w);
    assert_string_equal(out.data, "m(b)");
    crier_buf_fini(&out);
}

/* --- against a plain list --------------------------------------------------------------------- */

struct fuzzed {
    struct crier_timer timer;
    int64_t due;
    uint64_t order;
};

static struct fuzzed last_fired;
static size_t fired_count;

static void fuzz_fire(struct crier_timer *timer)
{
    struct fuzzed *f = CRIER_CONTAINER(timer, struct fuzzed, timer);
    assert_int_equal(timer->due, f->due);
    assert_true(f->order != 0);
    assert_true(last_fired.due < f->due ||
                (last_fired.due == f->due && last_fired.order < f->order));
    last_fired = *f;
    f->order = 0;
    fired_count++;
}

static void the_heap_agrees_with_a_list(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct world w;
    open_world(&w, false);
    struct crier_rng rng;
    crier_rng_seed(&rng, 11);
    struct fuzzed *all = crier_calloc(COUNT, sizeof *all);
    uint64_t order = 0;
    last_fired = (struct fuzzed){0};
    fired_count = 0;
    for (int i = 0; i < 20000; i++) {
        struct fuzzed *f = &all[crier_rng_range(&rng, 0, COUNT - 1)];
        f->timer.fire = fuzz_fire;
        if (crier_rng_range(&rng, 0, 3) == 0) {
            crier_timer_stop(w.loop, &f->timer);
            f->order = 0;
        } else {
            f->due = crier_rng_range(&rng, 1, 500);
            f->order = ++order;
            crier_timer_at(w.loop, &f->timer, f->due);
        }
    }
    size_t armed = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(crier_timer_armed(&all[i].timer), all[i].order != 0);
        armed += all[i].order != 0;
    }
    struct crier_loop_stats stats;
    crier_loop_stats(w.loop, &stats);
    assert_int_equal(stats.armed, armed);
    crier_loop_run(w.loop, CRIER_NEVER);
    assert_int_equal(fired_count, armed);
    crier_loop_stats(w.loop, &stats);
    assert_int_equal(stats.armed, 0);
    assert_int_equal(stats.fired, armed);
    free(all);
    close_world(&w);
}

/* --- the clock being set ------------------------------------------------------------------- */

static void on_clock_set(void *arg, int64_t jump_us)
{
    struct world *w = arg;
    crier_buf_printf(&w->out, "[%lld]", (long long)(jump_us / CRIER_S));
}

static struct world *set_world;

static void set_clock(struct crier_timer *timer)
{
    (void)timer;
    crier_clock_set_wall(set_world->clock, WALL);
}

static void virtual_clock_is_set(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, false);
    struct probe a = probe(&w, 'a');
    crier_timer_at(w.loop, &a.timer, 20 * CRIER_S);
    crier_loop_on_clock_set(w.loop, on_clock_set, &w);
    crier_loop_run(w.loop, 10 * CRIER_S);
    assert_string_equal(w.out.data, ""); /* going on is no jump */
    crier_clock_set_wall(w.clock, WALL + 3610 * CRIER_S);
    assert_int_equal(crier_loop_now(w.loop), 10 * CRIER_S);
    crier_loop_run(w.loop, 15 * CRIER_S);
    assert_string_equal(w.out.data, "[3600]");
    struct crier_timer setter = {.fire = set_clock};
    set_world = &w;
    crier_timer_at(w.loop, &setter, 18 * CRIER_S);
    crier_loop_run(w.loop, CRIER_NEVER);
    assert_string_equal(w.out.data, "[3600][-3618]a");
    assert_int_equal(crier_loop_wall(w.loop), WALL + 2 * CRIER_S);
    crier_loop_on_clock_set(w.loop, NULL, NULL);
    crier_clock_set_wall(w.clock, 0);
    crier_loop_run(w.loop, CRIER_NEVER);
    close_world(&w);
}

/* --- live ---------------------------------------------------------------------------------- */

static void idle_does_not_wake(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    crier_loop_on_clock_set(w.loop, on_clock_set, &w);
    struct probe *p = crier_calloc(1000, sizeof *p);
    for (int i = 999; i >= 0; i--) {
        p[i] = probe(&w, 'x');
        crier_timer_in(w.loop, &p[i].timer, 3600 * CRIER_S + i);
    }
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 50 * CRIER_MS);
    struct crier_loop_stats stats;
    crier_loop_stats(w.loop, &stats);
    assert_int_equal(stats.wakeups, 1); /* the bound */
    assert_int_equal(stats.armed, 1000);
    assert_string_equal(w.out.data, "");
    close_world(&w);
    free(p);
}

struct lateness {
    struct crier_timer timer;
    struct crier_loop *loop;
    int64_t worst;
    int left;
};

static void measure(struct crier_timer *timer)
{
    struct lateness *l = CRIER_CONTAINER(timer, struct lateness, timer);
    int64_t late = crier_loop_now(l->loop) - timer->due;
    assert_true(late >= 0);
    l->worst = late > l->worst ? late : l->worst;
    if (l->left-- > 0)
        crier_timer_in(l->loop, timer, 137 * (l->left % 20));
    else
        crier_loop_stop(l->loop);
}

static void one_wakeup_a_timer_and_never_early(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    struct lateness l = {.timer.fire = measure, .loop = w.loop, .left = 50};
    crier_timer_in(w.loop, &l.timer, 100);
    crier_loop_run(w.loop, CRIER_NEVER);
    struct crier_loop_stats stats;
    crier_loop_stats(w.loop, &stats);
    assert_int_equal(stats.fired, 51);
    assert_in_range(stats.wakeups, 1, 51);
    close_world(&w);
}

enum { THREADS = 4, POSTS = 20000 };

struct poster {
    struct crier_loop *loop;
    int next, *total;
    struct ticket {
        struct poster *poster;
        int number;
    } tickets[POSTS];
};

static void count_ticket(void *arg)
{
    struct ticket *t = arg;
    assert_int_equal(t->number, t->poster->next++); /* each thread's own order */
    if (++*t->poster->total == THREADS * POSTS)
        crier_loop_stop(t->poster->loop);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        p->tickets[i] = (struct ticket){p, i};
        crier_loop_post(p->loop, count_ticket, &p->tickets[i]);
    }
    return NULL;
}

static void posts_from_threads_all_arrive(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, true);
    int total = 0;
    struct poster *posters = crier_calloc(THREADS, sizeof *posters);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = w.loop;
        posters[i].total = &total;
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    crier_loop_run(w.loop, crier_loop_now(w.loop) + 60 * CRIER_S);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(total, THREADS * POSTS);
    close_world(&w);
    free(posters);
}

int main(void)
{
    static char live[] = "live";
#define BOTH(test)                                                                                 \
    {#test, test, NULL, NULL, NULL},                                                               \
    {                                                                                              \
#test " live", test, NULL, NULL, live                                                      \
    }
    const struct CMUnitTest tests[] = {
        BOTH(fire_in_order_of_due_and_arming),
        BOTH(stop_and_move_in_callbacks),
        cmocka_unit_test(a_timer_arms_itself_and_frees_itself),
        BOTH(the_past_does_not_starve),
        BOTH(stop_ends_the_run_at_once),
        BOTH(posted_work_keeps_its_order),
        cmocka_unit_test(the_heap_agrees_with_a_list),
        cmocka_unit_test(virtual_clock_is_set),
        cmocka_unit_test(idle_does_not_wake),
        cmocka_unit_test(one_wakeup_a_timer_and_never_early),
        cmocka_unit_test(posts_from_threads_all_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
