/* SPDX-License-Identifier: MIT */
#define DRIVER crier_sink_jsonl
#define LIVE "crier.jsonl"
#include "sink_lines_cases.h"

static void test_golden(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 1);
    rig_open(&rig, &DRIVER, clock, NULL);
    struct crier_record *r = make_log(&m, START, "one\n\"two\"");
    struct crier_buf want = {0};
    char id[27];
    crier_record_id(r, id);
    crier_buf_printf(&want,
                     "{\"id\":\"%s\",\"seq\":1,\"time\":\"2022-05-23T16:28:15.000000Z\",\"node\":"
                     "\"web-1\",\"kind\":\"log\",\"level\":\"info\",\"logger\":\"bot\",\"text\":"
                     "\"one\\n\\\"two\\\"\"}\n",
                     id);
    rig_write(&rig, &r, 1);
    assert_file(LIVE, want.data);
    crier_record_unref(r);
    crier_buf_fini(&want);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

/* Local days: Ljubljana is two hours ahead of UTC. */
static void test_rotation_by_day(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 2);
    rig_open(&rig, &DRIVER, clock, "period", (int64_t)86400 * CRIER_S, "keep", (int64_t)2, NULL);
    write_log(&rig, &m, START, "monday");
    int64_t due = DRIVER.idle(rig.self, crier_clock_mono(clock));
    const int64_t to_midnight = (5 * 3600 + 31 * 60 + 45) * CRIER_S;
    assert_int_equal(due, to_midnight);
    crier_clock_advance_to(clock, due - 1);
    write_log(&rig, &m, START + due - 1, "still monday");
    assert_false(exists("crier.000001.2022-05-23.jsonl"));
    crier_clock_advance_to(clock, due);
    DRIVER.idle(rig.self, due);
    assert_true(exists("crier.000001.2022-05-23.jsonl"));
    for (int day = 1; day <= 3; day++) {
        crier_clock_advance_to(clock, due + day * 86400 * CRIER_S);
        write_log(&rig, &m, crier_clock_wall(clock), "later");
    }
    assert_false(exists("crier.000001.2022-05-23.jsonl"));
    assert_true(exists("crier.000002.2022-05-25.jsonl"));
    assert_true(exists("crier.000003.2022-05-26.jsonl"));
    rig_close(&rig);
    /* The file's day is known after a restart. */
    crier_clock_advance_to(clock, due + 4 * 86400 * CRIER_S);
    rig_open(&rig, &DRIVER, clock, "period", (int64_t)86400 * CRIER_S, "keep", (int64_t)2, NULL);
    write_log(&rig, &m, crier_clock_wall(clock), "after a restart");
    assert_true(exists("crier.000004.2022-05-27.jsonl"));
    assert_int_equal(count_all(&rig), 3);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

static void test_rotation_by_hour_and_clock_faults(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 2);
    rig_open(&rig, &DRIVER, clock, "period", (int64_t)6 * 3600 * CRIER_S, NULL);
    write_log(&rig, &m, START, "18:28, until 24:00");
    write_log(&rig, &m, START + 365 * 86400 * CRIER_S, "from the future");
    write_log(&rig, &m, START - 365 * 86400 * CRIER_S, "from the past");
    assert_false(exists("crier.000001.2022-05-23.jsonl"));
    assert_int_equal(DRIVER.idle(rig.self, 0), (5 * 3600 + 31 * 60 + 45) * CRIER_S);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

static void test_rotation_by_size_and_packing(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    size_t len;
    struct crier_record *batch[64];
    for (int i = 0; i < 64; i++)
        batch[i] = nth_record(i);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)4096, "compress", (int64_t)1, NULL);
    rig_write(&rig, batch, 64);
    char *text = slurp("crier.000001.2022-05-23.jsonl", &len);
    assert_in_range(len, 1000, 4096);
    while (DRIVER.idle(rig.self, 0) == 0)
        ;
    assert_false(exists("crier.000001.2022-05-23.jsonl"));
    assert_false(exists("crier.000001.2022-05-23.jsonl.zst.tmp"));
    char *command = crier_asprintf("cd %s && if command -v zstd >/dev/null; then zstd -qdc "
                                   "crier.000001.2022-05-23.jsonl.zst >plain; else exit 3; fi",
                                   folder);
    int rc = system(command);
    if (rc == 0)
        assert_file("plain", text);
    free(command);
    free(text);
    assert_int_equal(count_all(&rig), 64);
    rig_close(&rig);
    /* Numbers go on after a restart; the ids of a packed file are known. */
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)4096, "compress", (int64_t)1, NULL);
    rig_write(&rig, batch + 60, 4);
    assert_int_equal(count_all(&rig), 64);
    rig_close(&rig);
    for (int i = 0; i < 64; i++)
        crier_record_unref(batch[i]);
    crier_clock_free(clock);
}

/* At every length of a line: cut, or ended where it is whole. */
static void test_torn_tails(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    size_t len;
    maker_init(&m, 4);
    rig_open(&rig, &DRIVER, clock, NULL);
    struct crier_record *a = make_log(&m, START, "first"), *b = make_log(&m, START, "second");
    rig_write(&rig, &a, 1);
    char *first = slurp(LIVE, NULL);
    rig_write(&rig, &b, 1);
    rig_close(&rig);
    char *whole = slurp(LIVE, &len);
    for (size_t cut = strlen(first); cut < len; cut++) {
        put_file(LIVE, "w", whole, cut);
        rig_open(&rig, &DRIVER, clock, NULL);
        rig_write(&rig, &b, 1);
        assert_file(LIVE, whole);
        rig_close(&rig);
    }
    free(first);
    free(whole);
    crier_record_unref(a);
    crier_record_unref(b);
    maker_fini(&m);
    crier_clock_free(clock);
}

static void test_garbage_is_skipped_and_told(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_err err = {0};
    struct maker m;
    struct rig rig;
    size_t count;
    maker_init(&m, 5);
    static const char garbage[] = "hello\n{\"id\":3}\n[1]\n\0\xff\n{}";
    put_file(LIVE, "w", garbage, sizeof garbage - 1);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "one");
    put_file(LIVE, "a", "{\"id\":\"01G3TBJFVR0000000000000000\",\"seq\":1}\n", 44);
    write_log(&rig, &m, START, "two");
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 2);
    assert_int_equal(err.code, 0);
    assert_non_null(strstr(err.text, "6 lines skipped, no record: "));
    assert_non_null(strstr(err.text, "crier.jsonl, byte 0"));
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

static int try_open(struct rig *rig, struct crier_clock *clock, struct crier_err *err, ...)
{
    va_list args;
    va_start(args, err);
    int rc = rig_try(rig, &DRIVER, clock, err, args);
    va_end(args);
    rig->self = NULL;
    return rc;
}

static void test_options_are_checked(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_err err = {0};
    struct rig rig;
    assert_int_equal(try_open(&rig, clock, &err, "=path", ".", NULL), CRIER_ECONFIG);
    rig_close(&rig);
    assert_int_equal(try_open(&rig, clock, &err, "period", (int64_t)90000 * CRIER_S, NULL),
                     CRIER_ECONFIG);
    assert_non_null(strstr(err.text, "whole days"));
    rig_close(&rig);
    crier_clock_free(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINE_CASES,
        LINE_CASE(test_golden),
        LINE_CASE(test_rotation_by_day),
        LINE_CASE(test_rotation_by_hour_and_clock_faults),
        LINE_CASE(test_rotation_by_size_and_packing),
        LINE_CASE(test_torn_tails),
        LINE_CASE(test_garbage_is_skipped_and_told),
        LINE_CASE(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
