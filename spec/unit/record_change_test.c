/* SPDX-License-Identifier: MIT
 *
 * Events folded from their phases, and records changed.
 */
#include "record_support.h"

#include "record/change.h"

/* A record of a kind at a time with the fields of a JSON object. */
static struct crier_record *make(enum crier_kind kind, enum crier_level level, int64_t after,
                                 const char *text, const char *fields)
{
    json_error_t fault;
    json_t *object = json_loads(fields, 0, &fault);
    const char *key;
    json_t *value;
    assert_non_null(object);
    crier_build_begin(&b, kind, level, WALL + after);
    crier_build_text(&b, text, strlen(text));
    crier_build_ok(&b, level < CRIER_CRITICAL);
    json_object_foreach(object, key, value) {
        char *inner = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        crier_build_json(&b, key, strlen(key), inner, strlen(inner));
        free(inner);
    }
    json_decref(object);
    return crier_build_end(&b);
}

static void assert_fields(struct crier_record *record, const char *want)
{
    struct crier_str json = crier_record_json(record);
    char *text = strndup(json.data, json.len);
    const char *from = strstr(text, "\"ok\":");
    if (!from || !strstr(from, want))
        fail_msg("%s\nlacks %s", text, want);
    free(text);
}

static const char *const phases[] = {
    "{\"event_id\":\"e1\",\"phase\":\"start\",\"when_started\":1,\"when_finished\":null,"
    "\"mod_type\":\"report\",\"is_error\":false,\"params\":{\"a\":1}}",
    "{\"event_id\":\"e1\",\"phase\":\"note\",\"notes\":\"first\",\"descr_fin\":null}",
    "{\"event_id\":\"e1\",\"phase\":\"finish\",\"when_finished\":2,\"is_error\":true,"
    "\"descr_fin\":\"done\",\"params\":{\"b\":2}}",
    "{\"event_id\":\"e1\",\"phase\":\"note\",\"notes\":\"second\"}",
    "{\"event_id\":\"e1\",\"phase\":\"note\",\"notes\":\"first\"}",
};

static struct crier_record *phase(int i)
{
    return make(CRIER_KIND_EVENT, i == 2 ? CRIER_CRITICAL : CRIER_INFO, i, i == 0 ? "build" : "",
                phases[i]);
}

/* In any order the same record comes out, in the place of the first that is met. */
static void folding(void **state)
{
    (void)state;
    struct crier_record *made[5];
    for (int i = 0; i < 5; i++)
        made[i] = phase(i);
    static const int orders[][5] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 0, 4, 1, 3}};
    for (size_t k = 0; k < CRIER_COUNT(orders); k++) {
        struct crier_record *other = make(CRIER_KIND_LOG, CRIER_INFO, 9, "x", "{}");
        struct crier_record *second =
            make(CRIER_KIND_EVENT, CRIER_INFO, 9, "y", "{\"event_id\":\"e2\",\"phase\":\"finish\"}");
        struct crier_record *loose = make(CRIER_KIND_EVENT, CRIER_INFO, 9, "z", "{}");
        struct crier_record *list[8] = {other};
        for (int i = 0; i < 5; i++)
            list[1 + i] = crier_record_ref(made[orders[k][i]]);
        list[6] = second;
        list[7] = loose;
        size_t n = crier_records_fold(list, 8);
        assert_int_equal(n, 4);
        assert_ptr_equal(list[0], other);
        assert_ptr_equal(list[2], second); /* one phase: the record itself */
        assert_ptr_equal(list[3], loose);
        struct crier_record *e = list[1];
        assert_memory_equal(crier_record_id_bytes(e), crier_record_id_bytes(made[0]), 16);
        assert_int_equal(crier_record_level(e), CRIER_CRITICAL);
        assert_int_equal(crier_record_ok(e), 0);
        assert_int_equal(crier_record_text(e).len, 5);
        assert_fields(e, "\"event_id\":\"e1\",\"phase\":\"finish\",\"when_started\":1,"
                         "\"when_finished\":2,\"mod_type\":\"report\",\"is_error\":true,"
                         "\"params\":{\"b\":2},\"notes\":\"first\\nsecond\",\"descr_fin\":\"done\"}");
        for (size_t i = 0; i < n; i++)
            crier_record_unref(list[i]);
    }
    for (int i = 0; i < 5; i++)
        crier_record_unref(made[i]);
}

static struct crier_query *query(const char *path, const char *text)
{
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value v = {.type = CRIER_STR, .s = {text, strlen(text)}};
    assert_int_equal(crier_query_add(q, path, CRIER_OP_EQ, &v, 1, NULL), 0);
    return q;
}

/* Conditions are on the fold: a store gives all phases. */
static void finishing(void **state)
{
    (void)state;
    struct crier_query *q = query("mod_type", "report"), *logs = query("kind", "log");
    struct crier_value yes = {.type = CRIER_TRUE};
    assert_int_equal(crier_query_add(q, "is_error", CRIER_OP_EQ, &yes, 1, NULL), 0);
    assert_true(crier_query_has_events(q));
    assert_false(crier_query_has_events(logs));
    size_t count = 5;
    struct crier_record **list = malloc(5 * sizeof *list);
    for (int i = 0; i < 5; i++) {
        list[i] = phase(4 - i);
        assert_true(crier_query_wants(q, list[i]));
        assert_false(crier_query_wants(logs, list[i]));
    }
    assert_int_equal(crier_query_finish(q, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_fields(list[0], "\"mod_type\":\"report\"");
    crier_record_unref(list[0]);
    free(list);
    crier_query_free(q);
    crier_query_free(logs);
}

static void no_events(void **state)
{
    (void)state;
    struct crier_value words[] = {{.type = CRIER_STR, .s = {"task", 4}},
                                  {.type = CRIER_STR, .s = {"event", 5}}};
    const struct {
        enum crier_op op;
        size_t from, n;
        bool events;
    } cases[] = {
        {CRIER_OP_EQ, 0, 1, false},  {CRIER_OP_EQ, 1, 1, true},     {CRIER_OP_NE, 0, 1, true},
        {CRIER_OP_NE, 1, 1, false},  {CRIER_OP_ONE_OF, 0, 2, true}, {CRIER_OP_ONE_OF, 0, 1, false},
        {CRIER_OP_LIKE, 0, 1, false},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_query *q = crier_query_new(NULL);
        assert_int_equal(
            crier_query_add(q, "kind", cases[i].op, words + cases[i].from, cases[i].n, NULL), 0);
        assert_int_equal(crier_query_has_events(q), cases[i].events);
        crier_query_free(q);
        /* Within a group it says nothing of the whole. */
        q = crier_query_new(NULL);
        assert_int_equal(crier_query_open(q, CRIER_OP_ANY, NULL), 0);
        assert_int_equal(
            crier_query_add(q, "kind", cases[i].op, words + cases[i].from, cases[i].n, NULL), 0);
        assert_true(crier_query_has_events(q));
        crier_query_free(q);
    }
}

static void updating(void **state)
{
    (void)state;
    static const struct {
        const char *before, *fields, *after;
    } cases[] = {
        {"{\"a\":1,\"b\":2}", "{\"a\":\"x\"}", "\"a\":\"x\",\"b\":2}"},
        {"{\"a\":1}", "{\"c\":[1,{\"d\":2}]}", "\"a\":1,\"c\":[1,{\"d\":2}]}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":null}", "\"b\":2}"},
        {"{\"a\":1}", "{\"z\":null}", "\"a\":1}"},
        {"{\"g\":{\"x\":1,\"y\":2},\"b\":2}", "{\"g.x\":3}", "\"g\":{\"x\":3,\"y\":2},\"b\":2}"},
        {"{\"g\":{\"x\":1}}", "{\"g.y.z\":3,\"g.w\":4}", "\"g\":{\"x\":1,\"y\":{\"z\":3},\"w\":4}}"},
        {"{\"g\":{\"x\":1,\"y\":2}}", "{\"g.x\":null}", "\"g\":{\"y\":2}}"},
        {"{\"g\":5}", "{\"g.x\":1}", "\"g\":{\"x\":1}}"},
        {"{\"g\":5}", "{\"g.x\":null}", "\"g\":5}"},
        {"{\"a\":1}", "{\"g.x\":1}", "\"a\":1,\"g\":{\"x\":1}}"},
        {"{\"a\":1}", "{\"g.x\":null}", "\"a\":1}"},
        {"{\"g.x\":1,\"g\":{\"x\":2}}", "{\"g.x\":3}", "\"g.x\":3,\"g\":{\"x\":2}}"},
        {"{\"a\":1}", "{\"a\":2.0,\"s\":\"\",\"t\":true}", "\"a\":2.0,\"s\":\"\",\"t\":true}"},
    };
    struct crier_query *q = query("text", "hit");
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        json_t *fields = json_loads(cases[i].fields, 0, NULL);
        struct crier_record *hit = make(CRIER_KIND_LOG, CRIER_INFO, 0, "hit", cases[i].before);
        struct crier_record *miss = make(CRIER_KIND_LOG, CRIER_INFO, 0, "miss", cases[i].before);
        struct crier_record *got = NULL;
        struct crier_change c;
        assert_int_equal(crier_change_init(&c, q, fields, NULL), 0);
        assert_int_equal(crier_change_ask(&c, miss, &got), CRIER_CHANGE_KEEP);
        assert_int_equal(crier_change_ask(&c, hit, &got), CRIER_CHANGE_REPLACE);
        assert_int_equal(c.changed, 1);
        assert_fields(got, cases[i].after);
        assert_memory_equal(crier_record_id_bytes(got), crier_record_id_bytes(hit), 16);
        assert_int_equal(crier_record_seq(got), crier_record_seq(hit));
        assert_int_equal(crier_record_time(got), crier_record_time(hit));
        assert_int_equal(crier_record_ok(got), 1);
        crier_change_fini(&c);
        json_decref(fields);
        crier_record_unref(hit);
        crier_record_unref(miss);
        crier_record_unref(got);
    }
    crier_query_free(q);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *text;
    } cases[] = {
        {"{}", "update: expected fields and their new values"},
        {"[1]", "update: expected fields and their new values"},
        {"{\"level\":\"info\"}", "update: 'level' is part of what every record is"},
        {"{\"id\":1}", "update: 'id' is part of"},
        {"{\"time.x\":1}", "update: 'time' is part of"},
        {"{\"\":1}", "update: '' is no name of a field"},
        {"{\"a..b\":1}", "update: 'a..b' is no name"},
        {"{\"a.\":1}", "update: 'a.' is no name"},
        {"{\"a\":1,\"a.b\":1}", "update: 'a.b' is within 'a'"},
    };
    struct crier_query *q = query("text", "hit");
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_change c;
        struct crier_err err = {0};
        json_t *fields = json_loads(cases[i].fields, 0, NULL);
        assert_int_equal(crier_change_init(&c, q, fields, &err), CRIER_EINVAL);
        if (strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s: %s", cases[i].fields, err.text);
        crier_change_fini(&c);
        json_decref(fields);
    }
    crier_query_free(q);
}

/* An event is changed as one: what was asked for is in its fold, and it counts once. */
static void events(void **state)
{
    (void)state;
    struct crier_query *q = query("descr_fin", "done"); /* which only one phase says */
    json_t *fields = json_loads("{\"code\":\"E7\",\"is_error\":null,\"notes\":\"seen\",\"params.x\":3}", 0,
                                NULL);
    for (int remove = 0; remove < 2; remove++) {
        struct crier_change c;
        struct crier_record *made[6], *after[6];
        struct crier_record **list = malloc(6 * sizeof *list);
        for (int i = 0; i < 6; i++) {
            made[i] = i < 5 ? phase(i)
                            : make(CRIER_KIND_EVENT, CRIER_INFO, 9, "",
                                   "{\"event_id\":\"e2\",\"phase\":\"start\"}");
            list[i] = crier_record_ref(made[i]);
        }
        assert_int_equal(crier_change_init(&c, q, remove ? NULL : fields, NULL), 0);
        crier_change_learn(&c, list, 6);
        for (int i = 0; i < 6; i++)
            assert_int_equal(crier_change_ask(&c, made[i], &after[i]),
                             i == 5   ? CRIER_CHANGE_KEEP
                             : remove ? CRIER_CHANGE_REMOVE
                                      : CRIER_CHANGE_REPLACE);
        assert_int_equal(c.changed, 1);
        if (!remove) {
            assert_int_equal(crier_records_fold(after, 5), 1);
            assert_fields(after[0], "\"event_id\":\"e1\",\"phase\":\"finish\",\"when_started\":1,"
                                    "\"when_finished\":2,\"mod_type\":\"report\","
                                    "\"params\":{\"b\":2,\"x\":3},\"notes\":\"seen\","
                                    "\"code\":\"E7\",\"descr_fin\":\"done\"}");
            crier_record_unref(after[0]);
        }
        for (int i = 0; i < 6; i++)
            crier_record_unref(made[i]);
        crier_change_fini(&c);
    }
    json_decref(fields);
    crier_query_free(q);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(folding), TEST(finishing), TEST(no_events), TEST(updating), TEST(refused),
        TEST(events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
