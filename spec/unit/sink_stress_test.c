/* SPDX-License-Identifier: MIT
 *
 * Everything at once, live, for CRIER_STRESS_SECONDS (3): two threads that log, a sink that is
 * durable now and then, fails, goes down, answers later, and is replaced as by a reload; its
 * fallback; queries, flushes, reopens. Run it under ThreadSanitizer. In the end the books are
 * right, and every record was written or is told of.
 */
#include "sink_fake_support.h"

#include <time.h>

static atomic_bool over;
static _Atomic(struct crier_sink *) current;
static pthread_rwlock_t swap = PTHREAD_RWLOCK_INITIALIZER; /* as one loop thread orders it */
static _Atomic uint64_t pushed;
static atomic_uint weather;

static enum crier_verdict stormy_write(void *self, struct crier_record *const *records,
                                       size_t count, size_t *done, struct crier_err *err)
{
    struct fake *f = self;
    if (atomic_fetch_add(&f->writing, 1) != 0)
        abort();
    int64_t now = atomic_load(&weather) ? crier_rng_range(&f->rng, 0, 255) : 255;
    (void)records;
    enum crier_verdict verdict = CRIER_WRITTEN;
    *done = count;
    if (now < 40) {
        verdict = CRIER_RETRY_LATER;
        *done = count / 2;
        crier_err_set(err, CRIER_ENET, "no connection");
    } else if (now < 44) {
        verdict = CRIER_UNAVAILABLE;
        *done = 0;
        crier_err_set(err, CRIER_EDENIED, "refused");
    } else if (now < 60) {
        verdict = CRIER_REJECTED;
        *done = count - 1;
        crier_err_set(err, CRIER_EINVAL, "a bad one");
    } else if (now < 100) {
        verdict = CRIER_PENDING;
    }
    atomic_fetch_sub(&f->writing, 1);
    return verdict;
}

static void *answerer(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        pthread_rwlock_rdlock(&swap);
        struct crier_sink *sink = crier_sink_ref(atomic_load(&current));
        pthread_rwlock_unlock(&swap);
        crier_sink_answer(sink, CRIER_WRITTEN, 0, NULL);
        crier_sink_unref(sink);
        usleep(500);
    }
    return NULL;
}

static void *logger(void *arg)
{
    struct crier_source own_source;
    struct crier_builder own;
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    crier_source_init(&own_source, "n", false, &seed);
    crier_builder_init(&own, &own_source);
    while (!atomic_load(&over)) {
        for (int i = 0; i < 300; i++) {
            crier_build_begin(&own, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(the_clock));
            crier_build_text(&own, "a line", 6);
            struct crier_record *record = crier_build_end(&own);
            pthread_rwlock_rdlock(&swap);
            crier_sink_push(atomic_load(&current), record);
            pthread_rwlock_unlock(&swap);
            atomic_fetch_add(&pushed, 1);
            crier_record_unref(record);
        }
        usleep(1000);
    }
    crier_builder_fini(&own);
    crier_source_fini(&own_source);
    return NULL;
}

static unsigned answered;

static void on_hits(void *arg, struct crier_record **hits, size_t count,
                    const struct crier_err *err)
{
    (void)arg, (void)hits, (void)count, (void)err;
    answered++;
}

static void on_flushed(void *arg)
{
    (void)arg;
    answered++;
}

static void stop_loop(void *arg)
{
    *(int *)arg += 1;
    crier_loop_stop(loop);
}

static void everything_at_once(void **state)
{
    (void)state;
    const char *text = getenv("CRIER_STRESS_SECONDS");
    int64_t end = crier_loop_now(loop) + (text ? atoll(text) : 3) * CRIER_S;
    struct crier_sink_driver stormy = fake_driver;
    struct crier_rng rng;
    pthread_t threads[3];
    unsigned asked = 0, swaps = 0;
    int ended = 0;
    crier_rng_seed_system(&rng);
    crier_rng_seed_system(&fake_named("a")->rng);
    stormy.write = stormy_write;
    stormy.retry_max = 20 * CRIER_MS;
    stormy.attach = NULL;
    atomic_store(&weather, 1);
    struct crier_sink *b = start_sink("b", (struct how){.overflow = "drop_new"});
    struct crier_sink *a = open_sink("a", (struct how){.driver = &stormy, .queue = 500});
    crier_sink_set_fallback(a, b);
    crier_sink_start(a, loop);
    atomic_store(&current, a);
    pthread_create(&threads[0], NULL, logger, (void *)1);
    pthread_create(&threads[1], NULL, logger, (void *)2);
    pthread_create(&threads[2], NULL, answerer, NULL);
    while (crier_loop_now(loop) < end) {
        run_for(crier_rng_range(&rng, 1, 40) * CRIER_MS);
        check_books(a);
        crier_sink_flush(a, on_flushed, NULL);
        crier_sink_query(a, crier_query_new(NULL), on_hits, NULL);
        asked += 2;
        crier_sink_reopen(a);
        if (crier_rng_range(&rng, 0, 3) == 0) {
            struct crier_sink *next =
                open_sink("a", (struct how){.driver = &stormy,
                                            .queue = crier_rng_range(&rng, 10, 2000),
                                            .batch = crier_rng_range(&rng, 1, 300),
                                            .times = crier_rng_range(&rng, 1, 4),
                                            .durable = crier_rng_range(&rng, 0, 1)});
            crier_sink_set_fallback(next, b);
            pthread_rwlock_wrlock(&swap);
            crier_sink_succeed(next, a, 5 * CRIER_MS, loop);
            atomic_store(&current, next);
            pthread_rwlock_unlock(&swap);
            crier_sink_unref(a);
            a = next;
            swaps++;
        }
    }
    atomic_store(&weather, 0);
    run_for(200 * CRIER_MS); /* the last answers */
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    crier_sink_answer(a, CRIER_WRITTEN, 0, NULL);
    crier_sink_end(a, 60 * CRIER_S, stop_loop, &ended);
    crier_loop_run(loop, crier_loop_now(loop) + 120 * CRIER_S);
    assert_int_equal(ended, 1);
    struct crier_sink_stats s = stats_of(a), copies = stats_of(b);
    print_message(
        "%llu records, %u successors: %llu written, %llu rejected, %llu copied, %llu kept\n",
        (unsigned long long)s.accepted, swaps, (unsigned long long)s.written,
        (unsigned long long)s.rejected, (unsigned long long)s.copied,
        (unsigned long long)s.spilled);
    assert_int_equal(s.accepted, pushed);
    assert_int_equal(s.dropped, 0);
    assert_int_equal(s.accepted, s.written + s.rejected + s.spilled);
    assert_int_equal(copies.accepted, s.copied);
    assert_true(swaps > 2 && s.retries + s.rejected > 0);
    run_for(10 * CRIER_MS);
    assert_int_equal(answered, asked);
    stop_sink(a);
    stop_sink(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_at_once, setup_live, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
