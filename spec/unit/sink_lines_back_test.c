/* SPDX-License-Identifier: MIT
 *
 * Files of lines from their end: the same lines as from their beginning, and the newest records as
 * a search of everything finds them.
 */
#include "sink_lines_support.h"

#include "sink/linefile_lines.h"

struct seen {
    int64_t at;
    bool ended;
    char *text;
    size_t len;
};

static size_t read_lines(const char *path, bool back, struct seen **out)
{
    struct crier_lines lines;
    struct crier_str line;
    struct crier_err err = {0};
    struct crier_buf all = {0};
    int got;
    assert_int_equal(crier_lines_open(&lines, path, false, &err), 0);
    assert_true(crier_lines_two_way(&lines));
    if (back)
        assert_int_equal(crier_lines_to_end(&lines, &err), 0);
    while ((got = back ? crier_lines_prev(&lines, &line, &err)
                       : crier_lines_next(&lines, &line, &err)) == 1) {
        struct seen s = {lines.at, lines.ended, crier_malloc(line.len + 1), line.len};
        memcpy(s.text, line.data, line.len);
        crier_buf_append(&all, &s, sizeof s);
    }
    assert_int_equal(got, 0);
    crier_lines_close(&lines);
    *out = (struct seen *)(void *)all.data;
    return all.len / sizeof **out;
}

/* Lines of all lengths, about the size of what is read at once too, empty ones, with and without an
 * end. */
static void test_backwards_is_forwards(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,      1,      2,      100,    4095,   4096,  70000,
                                     262142, 262143, 262144, 262145, 524287, 900000};
    struct crier_rng rng;
    char *path = in_folder("some");
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct crier_buf text = {0};
        struct seen *there, *back;
        crier_rng_seed(&rng, seed);
        long lines = seed < 4 ? (long)seed : crier_rng_range(&rng, 1, 12);
        for (long i = 0; i < lines; i++) {
            size_t len = lengths[crier_rng_range(&rng, 0, CRIER_COUNT(lengths) - 1)];
            char *to = crier_buf_reserve(&text, len + 2);
            memset(to, 'a' + (int)(i % 26), len);
            text.len += len;
            if (i < lines - 1 || crier_rng_range(&rng, 0, 2))
                crier_buf_puts(&text, crier_rng_range(&rng, 0, 3) ? "\n" : "\r\n");
        }
        put_file("some", "w", text.len ? text.data : "", text.len);
        size_t count = read_lines(path, false, &there);
        assert_int_equal(read_lines(path, true, &back), count);
        for (size_t i = 0; i < count; i++) {
            const struct seen *a = &there[i], *b = &back[count - 1 - i];
            assert_int_equal(a->at, b->at);
            assert_int_equal(a->ended, b->ended);
            assert_int_equal(a->len, b->len);
            assert_memory_equal(a->text, b->text, a->len);
            free(a->text);
            free(b->text);
        }
        free(there);
        free(back);
        crier_buf_fini(&text);
    }
    free(path);
}

enum { MANY = 6000 };

/* The phases of an event among them: the event's first one may lie far behind. */
static struct crier_record *make_one(struct maker *m, int64_t at, int i)
{
    struct crier_builder *b = &m->b;
    char text[32], event[32];
    snprintf(text, sizeof text, "n%d", i);
    if (i % 50)
        return make_log(m, at, text);
    snprintf(event, sizeof event, "event-%d", i / 50 % 60);
    crier_build_begin(b, CRIER_KIND_EVENT, CRIER_INFO, at);
    CRIER_B_STR(b, "event_id", event);
    CRIER_B_STR(b, "phase", i / 50 < 60 ? "start" : "finish");
    return crier_build_end(b);
}

static void ask(struct rig *rig, const char *kind, size_t limit, size_t offset, bool phases,
                bool known, struct crier_record ***hits, size_t *count)
{
    struct crier_err err = {0};
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value v = {.type = CRIER_STR, .s = {kind, kind ? strlen(kind) : 0}};
    if (kind)
        assert_int_equal(crier_query_add(q, "kind", CRIER_OP_EQ, &v, 1, &err), 0);
    if (phases)
        crier_query_phases(q);
    crier_query_order(q, known ? "id" : "text", true);
    q->limit = limit;
    q->offset = offset;
    assert_int_equal(rig->driver->query(rig->self, q, hits, count, &err), 0);
    crier_query_order(q, "id", true);
    assert_int_equal(crier_query_finish(q, hits, count, &err), 0);
    crier_query_free(q);
}

static void drop(struct crier_record **hits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
}

/* Ids in no order, in files that are packed, closed and live. The driver is asked once for the
 * newest, and once so that it has to give all. */
static void test_the_newest(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        size_t limit, offset;
        bool phases;
    } cases[] = {{"log", 1, 0, false},     {"log", 10, 0, false},  {"log", 10, 25, false},
                 {"log", 3000, 0, false},  {NULL, 5, 0, false},    {NULL, 1, 0, true},
                 {NULL, 25, 0, true},      {NULL, 49, 0, true},    {NULL, 50, 1, true},
                 {NULL, 1000, 0, true},    {NULL, 300, 7, false},  {"event", 3, 0, false},
                 {"event", 100, 0, false}, {"event", 20, 0, true}, {"task", 5, 0, false},
                 {"log", MANY, 0, false}};
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    struct maker m;
    struct crier_rng rng;
    static struct crier_record *all[MANY];
    extern const struct crier_sink_driver crier_sink_jsonl;
    crier_rng_seed(&rng, 7);
    maker_init(&m, 3);
    for (int i = 0; i < MANY; i++)
        all[i] = make_one(&m, START + i * CRIER_MS, i);
    for (int i = MANY - 1; i > 0; i--) { /* some near, some anywhere */
        int j = i - (int)crier_rng_range(&rng, 0, i < 20 || i % 10 ? (i < 20 ? i : 20) : i);
        struct crier_record *swap = all[i];
        all[i] = all[j];
        all[j] = swap;
    }
    rig_open(&rig, &crier_sink_jsonl, clock, "max_size", (int64_t)200000, "compress", (int64_t)1,
             NULL);
    for (int i = 0; i < MANY; i += 1000) {
        rig_write(&rig, all + i, 1000);
        if (i == 2000)
            while (rig.driver->idle(rig.self, 0) == 0)
                ;
    }
    put_file("crier.jsonl", "a", "{\"id\":\"01G3TBJFVR", 18); /* is being written */
    assert_true(exists("crier.000001.2022-05-23.jsonl.zst"));
    for (size_t n = 0; n < CRIER_COUNT(cases); n++) {
        struct crier_record **want, **got;
        size_t want_count, count;
        ask(&rig, cases[n].kind, cases[n].limit, cases[n].offset, cases[n].phases, true, &got,
            &count);
        ask(&rig, cases[n].kind, SIZE_MAX, 0, cases[n].phases, false, &want, &want_count);
        size_t expected = want_count > cases[n].offset ? want_count - cases[n].offset : 0;
        if (expected > cases[n].limit)
            expected = cases[n].limit;
        assert_int_equal(count, expected);
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(crier_record_id_bytes(got[i]),
                                crier_record_id_bytes(want[cases[n].offset + i]), 16);
        drop(got, count);
        drop(want, want_count);
    }
    for (int i = 0; i < MANY; i++)
        crier_record_unref(all[i]);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

/* Of a file with a hundred thousand lines only those are made into records that may be among them:
 * a line that is older is no record at all here, and nobody is told. */
static void test_the_old_are_passed_over(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    struct maker m;
    struct crier_err err = {0};
    struct crier_record **hits;
    size_t count;
    extern const struct crier_sink_driver crier_sink_jsonl;
    maker_init(&m, 9);
    struct crier_buf text = {0};
    for (int i = 0; i < 5000; i++)
        crier_buf_puts(&text, "{\"id\":\"00000000000000000000000001\",\"kind\":\"log\",what?}\n");
    put_file("crier.jsonl", "w", text.data, text.len);
    crier_buf_fini(&text);
    rig_open(&rig, &crier_sink_jsonl, clock, NULL);
    for (int i = 0; i < 4000; i++)
        write_log(&rig, &m, START + CRIER_S + i * CRIER_MS, "new");
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value v = STR("log");
    assert_int_equal(crier_query_add(q, "kind", CRIER_OP_EQ, &v, 1, &err), 0);
    crier_query_order(q, "id", true);
    q->limit = 20;
    assert_int_equal(rig.driver->query(rig.self, q, &hits, &count, &err), 0);
    assert_string_equal(err.text, "");
    drop(hits, count);
    q->limit = SIZE_MAX;
    assert_int_equal(rig.driver->query(rig.self, q, &hits, &count, &err), 0);
    assert_non_null(strstr(err.text, "5000 lines skipped"));
    drop(hits, count);
    crier_query_free(q);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backwards_is_forwards, make_test_folder,
                                        remove_test_folder),
        cmocka_unit_test_setup_teardown(test_the_newest, make_test_folder, remove_test_folder),
        cmocka_unit_test_setup_teardown(test_the_old_are_passed_over, make_test_folder,
                                        remove_test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
