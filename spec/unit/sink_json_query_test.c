/* SPDX-License-Identifier: MIT */
#include "sink_lines_support.h"

/* All kinds over three days and many guilds: the same answers as memory. */
static void test_filters_as_memory(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig, memory;
    struct maker m;
    maker_init(&m, 7);
    rig_open(&rig, &crier_sink_json, clock, NULL);
    rig_open(&memory, &crier_sink_memory, clock, NULL);
    for (int i = 0; i < 200; i++) {
        struct crier_record *r = mixed_record(&m, i);
        rig_write(&rig, &r, 1);
        rig_write(&memory, &r, 1);
        crier_record_unref(r);
    }
    check_filters(&rig, &memory);
    rig_close(&rig); /* closes the gaps */
    rig_open(&rig, &crier_sink_json, clock, NULL);
    check_filters(&rig, &memory);
    rig_close(&rig);
    rig_close(&memory);
    crier_clock_free(clock);
    maker_fini(&m);
}

static void test_order_over_days(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    size_t count;
    struct crier_err err = {0};
    maker_init(&m, 7);
    rig_open(&rig, &crier_sink_json, clock, NULL);
    for (int day = 0; day < 12; day++)
        write_log(&rig, &m, START + day * 86400 * CRIER_S, "x");
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 12);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(crier_record_seq(hits[i]), i + 1);
        crier_record_unref(hits[i]);
    }
    free(hits);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

static void test_foreign_files_are_told(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    size_t count;
    struct crier_err err = {0};
    maker_init(&m, 7);
    rig_open(&rig, &crier_sink_json, clock, NULL);
    assert_int_equal(count_all(&rig), 0);
    write_log(&rig, &m, START, "x");
    put_file("History/2022/05/23/other.json", "w", "[1]", 3);
    put_file("History/2022/05/23/old.json", "w",
             "{\"name\":\"a\",\"id\":1,\"type\":\"GUILD\",\"message_history\":[{\"index\":0}]}",
             64);
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 1);
    assert_int_equal(err.code, 0);
    assert_non_null(strstr(err.text, "2 files or entries skipped"));
    crier_record_unref(hits[0]);
    free(hits);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

#define FOLDER_CASE(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, make_test_folder, remove_test_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_CASE(test_filters_as_memory),
        FOLDER_CASE(test_order_over_days),
        FOLDER_CASE(test_foreign_files_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
