/* SPDX-License-Identifier: MIT
 *
 * Records shared by threads: one text however many ask at once, and the last reference frees.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "record/build.h"

enum { THREADS = 4, RECORDS = 500 };

static struct crier_record *records[RECORDS];
static pthread_barrier_t barrier;

struct result {
    size_t bytes;
    const char *texts[RECORDS];
};

static void *reader(void *arg)
{
    struct result *result = arg;
    bool good = true;
    for (int i = 0; i < RECORDS; i++) {
        pthread_barrier_wait(&barrier);
        struct crier_str json = crier_record_json(records[i]);
        result->texts[i] = json.data;
        result->bytes += json.len;
        good = good && json.len == strlen(json.data);
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < RECORDS; i++)
        crier_record_unref(records[i]);
    return good ? result : NULL;
}

static void shared(void **state)
{
    (void)state;
    static struct result results[THREADS];
    pthread_t threads[THREADS];
    struct crier_source source;
    struct crier_builder b;
    crier_source_init(&source, "n", false, NULL);
    crier_builder_init(&b, &source);
    for (int i = 0; i < RECORDS; i++) {
        crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, 1763764270123456);
        crier_build_text(&b, "text \xc5\xa1", 7);
        CRIER_B_INT(&b, "i", i);
        records[i] = crier_build_end(&b);
        for (int k = 1; k < THREADS; k++)
            crier_record_ref(records[i]);
    }
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int k = 0; k < THREADS; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, reader, &results[k]), 0);
    for (int k = 0; k < THREADS; k++) {
        void *done;
        assert_int_equal(pthread_join(threads[k], &done), 0);
        assert_non_null(done);
    }
    for (int k = 1; k < THREADS; k++) {
        assert_int_equal(results[k].bytes, results[0].bytes);
        assert_memory_equal(results[k].texts, results[0].texts, sizeof results[0].texts);
    }
    assert_true(results[0].bytes > RECORDS * 100);
    pthread_barrier_destroy(&barrier);
    crier_builder_fini(&b);
    crier_source_fini(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
