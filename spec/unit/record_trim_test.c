/* SPDX-License-Identifier: MIT
 *
 * Hits that a query's order and limit leave out are let go while a store still gathers: the answer
 * is the same, the memory is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ulid.h"
#include "record/build.h"
#include "record/query.h"

#define COUNT 20000

static struct crier_record *records[COUNT];

static void make(unsigned events)
{
    struct crier_source source;
    struct crier_builder b;
    struct crier_rng rng;
    uint64_t seed = 5;
    char id[16];
    crier_rng_seed(&rng, 11);
    crier_source_init(&source, "web-1", false, &seed);
    crier_builder_init(&b, &source);
    for (int i = 0; i < COUNT; i++) {
        bool event = events && crier_rng_next(&rng) % events == 0;
        crier_build_begin(&b, event ? CRIER_KIND_EVENT : CRIER_KIND_LOG, CRIER_INFO,
                          1000000LL * (int64_t)(crier_rng_next(&rng) % 100));
        crier_build_text(&b, "x", 1);
        if (event) {
            snprintf(id, sizeof id, "e%d", (int)(crier_rng_next(&rng) % 50));
            CRIER_B_STR(&b, "event_id", id);
            CRIER_B_STR(&b, "phase", crier_rng_next(&rng) % 2 ? "start" : "finish");
        }
        if (crier_rng_next(&rng) % 4)
            CRIER_B_INT(&b, "n", (int64_t)(crier_rng_next(&rng) % 40)); /* many are alike */
        records[i] = crier_build_end(&b);
    }
    crier_builder_fini(&b);
    crier_source_fini(&source);
}

static void drop(void)
{
    for (int i = 0; i < COUNT; i++)
        crier_record_unref(records[i]);
}

/* As a store does it; *most: the greatest number of hits that it held. */
static struct crier_record **ask(const struct crier_query *query, bool trim, size_t *count,
                                 size_t *most)
{
    struct crier_buf hits = {0};
    *most = 0;
    for (int i = 0; i < COUNT; i++) {
        if (!crier_query_wants(query, records[i]))
            continue;
        crier_record_ref(records[i]);
        crier_buf_append(&hits, &records[i], sizeof records[i]);
        if (trim)
            crier_query_trim(query, &hits);
        if (hits.len / sizeof(void *) > *most)
            *most = hits.len / sizeof(void *);
    }
    struct crier_record **list = (struct crier_record **)(void *)hits.data;
    *count = hits.len / sizeof(void *);
    assert_int_equal(crier_query_finish(query, &list, count, NULL), 0);
    return list;
}

static void check(const char *order, bool desc, size_t offset, size_t limit, bool only_n,
                  size_t bound)
{
    struct crier_query *query = crier_query_new(NULL);
    struct crier_value ten = {.type = CRIER_INT, .i = 10};
    size_t all, some, most;
    if (only_n)
        assert_int_equal(crier_query_add(query, "n", CRIER_OP_GE, &ten, 1, NULL), 0);
    if (order)
        crier_query_order(query, order, desc);
    query->offset = offset;
    query->limit = limit;
    struct crier_record **want = ask(query, false, &all, &most);
    struct crier_record **got = ask(query, true, &some, &most);
    assert_int_equal(some, all);
    for (size_t i = 0; i < all; i++) {
        char x[27], y[27]; /* a folded event is a new record each time */
        crier_record_id(want[i], x);
        crier_record_id(got[i], y);
        assert_string_equal(x, y);
        crier_record_unref(want[i]);
        crier_record_unref(got[i]);
    }
    if (bound && most > bound)
        fail_msg("held %zu hits for a limit of %zu", most, limit);
    free(want);
    free(got);
    crier_query_free(query);
}

static void test_the_answer_stays(void **state)
{
    static const char *const orders[] = {"id", "n", "time", "nothing", NULL};
    (void)state;
    make(0);
    for (size_t i = 0; i < CRIER_COUNT(orders); i++)
        for (int desc = 0; desc < 2; desc++) {
            size_t bound = orders[i] ? 2 * (107 + 1024) : 0;
            check(orders[i], desc, 0, 100, false, bound);
            check(orders[i], desc, 7, 100, true, bound);
            check(orders[i], desc, 0, 0, false, bound);
            check(orders[i], desc, 0, 1, true, bound);
            check(orders[i], desc, 5000, 3000, false, 0);
            check(orders[i], desc, 0, SIZE_MAX, false, 0);
            check(orders[i], desc, SIZE_MAX, 10, false, 0);
        }
    drop();
}

static void test_events_are_folded_first(void **state)
{
    (void)state;
    make(5);
    check("id", true, 0, 100, false, COUNT / 4 + 2 * (100 + 1024));
    check("id", false, 3, 100, true, 0);
    check("n", true, 0, 40, true, 0);
    check("time", false, 0, 500, false, 0);
    drop();
}

static void test_phases(void **state)
{
    struct crier_query *query = crier_query_new(NULL);
    size_t count, most;
    (void)state;
    make(2);
    crier_query_phases(query);
    struct crier_record **list = ask(query, true, &count, &most);
    assert_int_equal(count, COUNT);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(list[i]);
    free(list);
    crier_query_free(query);
    drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_answer_stays),
        cmocka_unit_test(test_events_are_folded_first),
        cmocka_unit_test(test_phases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
