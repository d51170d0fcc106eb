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

/* Day files stay what they are: valid, newest first, and written to as before. */
static void test_changes_as_memory(void **state)
{
    (void)state;
    static const struct {
        struct filter f;
        const char *fields;
    } changes[] = {
        {{"guild.name", CRIER_OP_EQ, {STR("Chat")}, 1, NULL, false, 0, 0},
         "{\"name\":\"other\",\"sent_data.text\":\"new\",\"success_rate\":null}"},
        {{"guild.name", CRIER_OP_EQ, {STR("Chat")}, 1, NULL, false, 0, 0},
         "{\"guild.name\":\"Talk\",\"guild.extra\":5}"},
        {{"code", CRIER_OP_EQ, {STR("E7")}, 1, NULL, false, 0, 0}, "{\"mod_type\":\"other\"}"},
        {{"task_name", CRIER_OP_EQ, {STR("fetch")}, 1, NULL, false, 0, 0}, NULL},
        {{"code", CRIER_OP_EQ, {STR("E8")}, 1, NULL, false, 0, 0}, NULL},
        {{"kind", CRIER_OP_EQ, {STR("system")}, 1, NULL, false, 0, 0}, NULL},
    };
    static const struct filter checks[] = {
        {"seq", CRIER_OP_GE, {INT(0)}, 1, "seq", false, 0, 0},
        {"name", CRIER_OP_EQ, {STR("other")}, 1, "seq", false, 0, 0},
        {"sent_data.text", CRIER_OP_EQ, {STR("new")}, 1, "seq", false, 0, 0},
        {"success_rate", CRIER_OP_GE, {INT(0)}, 1, "seq", false, 0, 0},
        {"guild.name", CRIER_OP_EQ, {STR("Talk")}, 1, "seq", false, 0, 0},
        {"guild.extra", CRIER_OP_EQ, {INT(5)}, 1, "seq", false, 0, 0},
        {"guild.id", CRIER_OP_GT, {INT(863071397207212053)}, 1, "guild.id", true, 0, 0},
        {"guild.type", CRIER_OP_EQ, {STR("GUILD")}, 1, "seq", false, 0, 0},
        {"mod_type", CRIER_OP_EQ, {STR("other")}, 1, "seq", false, 0, 0},
    };
    struct crier_clock *clock = crier_clock_virtual(START + 60 * CRIER_S);
    struct rig rig, memory;
    struct maker m;
    maker_init(&m, 7);
    rig_open(&rig, &crier_sink_json, clock, NULL);
    rig_open(&memory, &crier_sink_memory, clock, NULL);
    for (int i = 0; i < 200; i++)
        write_both(&rig, &memory, record_or_phase(&m, i));
    for (size_t i = 0; i < CRIER_COUNT(changes); i++) {
        uint64_t n = change(&rig, &changes[i].f, changes[i].fields);
        assert_int_equal(n, change(&memory, &changes[i].f, changes[i].fields));
        assert_true(n > 0);
        for (int again = 0; again < 2; again++) { /* and after writing on */
            for (size_t k = 0; k < CRIER_COUNT(checks); k++)
                same_answer(&rig, &memory, &checks[k], 100 * i + k);
            write_both(&rig, &memory, mixed_record(&m, 1)); /* a message of the first guild */
        }
    }
    assert_false(exists("History/2022/05/23/@system.json"));
    char *text = slurp("History/2022/05/23/Chat.json", NULL);
    assert_non_null(strstr(text, "\"message_history\": [\n        {\n            \"sent_data\": {\n"
                                 "                \"text\": \"new\"\n"));
    assert_non_null(strstr(text, "            \"index\": 0,\n"));
    free(text);
    rig_close(&rig);
    rig_close(&memory);
    crier_clock_free(clock);
    maker_fini(&m);
}

static void test_looking_changes_nothing(void **state)
{
    (void)state;
    check_read_only(&crier_sink_json);
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
        FOLDER_CASE(test_changes_as_memory),
        FOLDER_CASE(test_looking_changes_nothing),
        FOLDER_CASE(test_order_over_days),
        FOLDER_CASE(test_foreign_files_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
