/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "record/read.h"

#define ID "01G3TBJFVR0000000000000000"
#define HEAD "\"id\":\"" ID "\",\"time\":\"2022-05-23T16:28:15.123456Z\",\"level\":\"warning\""

static struct crier_record *read_text(const char *json)
{
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    int rc = crier_reader_read(&reader, json, strlen(json), &record, &err);
    assert_int_equal(rc, record ? 0 : CRIER_EINVAL);
    assert_true(record || err.text[0]);
    crier_reader_fini(&reader);
    return record;
}

static void assert_back(const char *json)
{
    struct crier_record *record = read_text(json);
    assert_non_null(record);
    assert_string_equal(crier_record_json(record).data, json);
    crier_record_unref(record);
}

static void test_comes_back_as_it_was(void **state)
{
    (void)state;
    assert_back("{\"id\":\"" ID "\",\"seq\":18,\"time\":\"2022-05-23T16:28:15.123456Z\","
                "\"node\":\"we\\\"b\",\"kind\":\"message\",\"level\":\"error\",\"logger\":\"m.x\","
                "\"text\":\"a\\u0000b \xc5\xa1\",\"where\":\"bot.lua:1\",\"ok\":false,\"sim\":true,"
                "\"guild\":{\"id\":\"863071397207212052\",\"name\":\"x\"},\"a\":[1,2.5,-3.0,null,"
                "[{}],\"\"],\"start\":\"2022-05-23T16:28:15.123456Z\",\"fields\":{\"time\":1,"
                "\"fields\":{\"fields\":2}}}");
    assert_back(
        "{\"id\":\"" ID "\",\"seq\":0,\"time\":\"1969-12-31T23:59:59.999999Z\","
        "\"node\":\"\",\"kind\":\"log\",\"level\":\"debug\",\"logger\":\"\",\"text\":\"\"}");
    assert_back("{\"id\":\"" ID "\",\"seq\":0,\"time\":\"2024-02-29T00:00:00.000000Z\","
                "\"node\":\"\",\"kind\":\"log\",\"level\":\"debug\",\"logger\":\"\",\"text\":\"\","
                "\"n\":9223372036854775807,\"x\":1e+300}");
}

static void test_types(void **state)
{
    (void)state;
    struct crier_value v;
    char scratch[32];
    struct crier_record *r =
        read_text(" { \"guild\": {\"id\": \"863071397207212052\"}, \"start\":"
                  "\"2022-05-23T16:28:15.000001Z\",\"kind\":\"task\"," HEAD ",\"x\":\"12\" } ");
    assert_non_null(r);
    assert_int_equal(crier_record_time(r), 1653323295123456);
    assert_int_equal(crier_record_level(r), CRIER_LEVEL_WARNING);
    assert_int_equal(crier_record_ok(r), -1);
    crier_record_unref(r);
    r = read_text("{\"kind\":\"task\"," HEAD ",\"guild\":{\"id\":\"863071397207212052\",\"id2\":"
                  "\"863071397207212052\"},\"start\":\"2022-05-23T16:28:15.000001Z\"}");
    assert_true(crier_record_get(r, "guild.id", &v, scratch));
    assert_int_equal(v.type, CRIER_SNOWFLAKE);
    assert_int_equal(v.u, 863071397207212052);
    assert_true(crier_record_get(r, "guild.id2", &v, scratch));
    assert_int_equal(v.type, CRIER_STR);
    assert_true(crier_record_get(r, "start", &v, scratch));
    assert_int_equal(v.type, CRIER_TIME);
    assert_int_equal(v.i, 1653323295000001);
    crier_record_unref(r);
    r = read_text("{\"kind\":\"log\"," HEAD ",\"id_id\":\"863071397207212052\"}");
    assert_true(crier_record_get(r, "id_id", &v, scratch));
    assert_int_equal(v.type, CRIER_STR);
    crier_record_unref(r);
}

/* Fields mean what the kind says, wherever it stands. */
static void test_kind_behind_fields(void **state)
{
    (void)state;
    struct crier_value v;
    char scratch[32];
    struct crier_record *r = read_text("{\"user_id\":863071397207212052,\"guild\":{\"id\":"
                                       "\"863071397207212052\"},\"start\":"
                                       "\"2022-05-23T16:28:15.000001Z\",\"kind\":\"task\"," HEAD "}");
    assert_non_null(r);
    assert_true(crier_record_get(r, "user_id", &v, scratch));
    assert_int_equal(v.type, CRIER_SNOWFLAKE);
    assert_true(crier_record_get(r, "guild.id", &v, scratch));
    assert_int_equal(v.type, CRIER_SNOWFLAKE);
    assert_true(crier_record_get(r, "start", &v, scratch));
    assert_int_equal(v.type, CRIER_TIME);
    assert_int_equal(crier_record_kind(r), CRIER_KIND_TASK);
    crier_record_unref(r);
    /* The last of several kinds counts, for what stands between them, too. */
    r = read_text("{\"kind\":\"task\",\"id_id\":\"863071397207212052\",\"kind\":\"log\"," HEAD "}");
    assert_non_null(r);
    assert_int_equal(crier_record_kind(r), CRIER_KIND_LOG);
    assert_true(crier_record_get(r, "id_id", &v, scratch));
    assert_int_equal(v.type, CRIER_STR);
    crier_record_unref(r);
}

static void test_what_is_no_record(void **state)
{
    (void)state;
    const char *const texts[] = {
        "",
        "{}",
        "[]",
        "3",
        "nothing",
        "{\"kind\":\"log\"," HEAD,
        "{\"kind\":\"log\"," HEAD "} x",
        "{\"kind\":\"lag\"," HEAD "}",
        "{\"kind\":3," HEAD "}",
        "{" HEAD "}",
        "{\"kind\":\"log\"," HEAD ",\"seq\":-1}",
        "{\"kind\":\"log\"," HEAD ",\"seq\":\"1\"}",
        "{\"kind\":\"log\"," HEAD ",\"ok\":1}",
        "{\"kind\":\"log\"," HEAD ",\"text\":[]}",
        "{\"kind\":\"log\"," HEAD ",\"x\":[1,}",
        "{\"kind\":\"log\"," HEAD ",\"time\":\"now\"}",
        "{\"kind\":\"log\"," HEAD ",\"time\":\"2022-02-29T16:28:15.123456Z\"}",
        "{\"kind\":\"log\"," HEAD ",\"time\":\"2022-05-23T24:28:15.123456Z\"}",
        "{\"kind\":\"log\"," HEAD ",\"id\":\"01G3TBJFVR000000000000000\"}"};
    for (size_t i = 0; i < CRIER_COUNT(texts); i++) {
        struct crier_record *r = read_text(texts[i]);
        if (r)
            fail_msg("taken for a record: %s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back_as_it_was),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_kind_behind_fields),
        cmocka_unit_test(test_what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
