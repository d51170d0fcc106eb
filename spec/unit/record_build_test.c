/* SPDX-License-Identifier: MIT
 *
 * Records: what goes in comes out, in JSON and by name, whatever it is.
 */
#include "record_support.h"

#include <math.h>

#include "record/scan.h"

#define LIT(s) (s), sizeof(s) - 1

static void begin(void)
{
    crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, WALL);
}

/* The JSON behind the common members, which are those of a record without text. */
static void assert_fields(struct crier_record *r, const char *want)
{
    struct crier_str json = crier_record_json(r);
    const char *at = strstr(json.data, "\"text\":\"\"");
    assert_non_null(at);
    assert_string_equal(at + 9, want);
    assert_int_equal(strlen(json.data), json.len);
}

static struct crier_value get(const struct crier_record *r, const char *path)
{
    static char scratch[32];
    struct crier_value v;
    if (!crier_record_get(r, path, &v, scratch))
        fail_msg("no field '%s'", path);
    return v;
}

static bool has(const struct crier_record *r, const char *path)
{
    char scratch[32];
    struct crier_value v;
    return crier_record_get(r, path, &v, scratch);
}

static void assert_str(struct crier_str s, const char *want, size_t len)
{
    assert_int_equal(s.len, len);
    assert_memory_equal(s.data, want, len);
}

static void assert_valid_json(struct crier_str json)
{
    struct crier_scan scan;
    struct crier_err err = {0};
    enum crier_scan_event event;
    crier_scan_init(&scan, json.data, json.len);
    while ((event = crier_scan_next(&scan)) > CRIER_SCAN_END)
        ;
    if (event == CRIER_SCAN_ERROR && crier_scan_error(&scan, &err))
        fail_msg("%s", err.text);
    crier_scan_fini(&scan);
}

static void common_members(void **state)
{
    (void)state;
    char id[27], want[400];
    begin();
    crier_build_logger(&b, LIT("bot"));
    crier_build_text(&b, LIT("a \"text\"\n"));
    crier_build_where(&b, LIT("bot.lua:14"));
    crier_build_ok(&b, true);
    crier_build_level(&b, CRIER_LEVEL_ERROR);
    struct crier_record *r = crier_build_end(&b);
    crier_record_id(r, id);
    assert_int_equal(strlen(id), 26);
    snprintf(want, sizeof want,
             "{\"id\":\"%s\",\"seq\":1,\"time\":\"2025-11-21T22:31:10.123456Z\",\"node\":\"web-1\","
             "\"kind\":\"log\",\"level\":\"error\",\"logger\":\"bot\",\"text\":\"a "
             "\\\"text\\\"\\n\",\"where\":\"bot.lua:14\",\"ok\":true}",
             id);
    assert_string_equal(crier_record_json(r).data, want);
    assert_ptr_equal(crier_record_json(r).data, crier_record_json(r).data);

    assert_int_equal(crier_record_seq(r), 1);
    assert_true(crier_record_time(r) == WALL);
    assert_int_equal(crier_record_kind(r), CRIER_KIND_LOG);
    assert_int_equal(crier_record_level(r), CRIER_LEVEL_ERROR);
    assert_int_equal(crier_record_ok(r), 1);
    assert_false(crier_record_sim(r));
    assert_str(crier_record_node(r), LIT("web-1"));
    assert_str(crier_record_where(r), LIT("bot.lua:14"));
    assert_str(get(r, "id").s, id, 26);
    assert_int_equal(get(r, "seq").i, 1);
    assert_int_equal(get(r, "time").type, CRIER_TIME);
    assert_str(get(r, "level").s, LIT("error"));
    assert_str(get(r, "kind").s, LIT("log"));
    assert_str(get(r, "logger").s, LIT("bot"));
    assert_str(get(r, "text").s, LIT("a \"text\"\n"));
    assert_int_equal(get(r, "ok").type, CRIER_TRUE);
    crier_record_unref(r);
}

static void absent_members(void **state)
{
    (void)state;
    source.sim = true;
    begin();
    struct crier_record *r = crier_build_end(&b);
    assert_fields(r, ",\"sim\":true}");
    assert_int_equal(crier_record_ok(r), -1);
    assert_false(has(r, "ok"));
    assert_false(has(r, "where"));
    assert_false(has(r, "nothing"));
    assert_false(has(r, ""));
    assert_int_equal(get(r, "sim").type, CRIER_TRUE);
    crier_record_unref(r);
    /* ids sort, seq counts up, and nothing of a record before is left in the builder */
    begin();
    crier_build_ok(&b, false);
    crier_build_str(&b, LIT("gone"), LIT("x"));
    begin();
    r = crier_build_end(&b);
    assert_fields(r, ",\"sim\":true}");
    assert_int_equal(crier_record_seq(r), 2);
    crier_record_unref(r);
}

static void every_type(void **state)
{
    (void)state;
    begin();
    CRIER_B_INT(&b, "i", INT64_MIN);
    CRIER_B_NUM(&b, "n", 0.1);
    CRIER_B_NUM(&b, "whole", 2);
    CRIER_B_NUM(&b, "nan", NAN);
    CRIER_B_NUM(&b, "inf", -INFINITY);
    CRIER_B_BOOL(&b, "yes", true);
    CRIER_B_BOOL(&b, "no", false);
    crier_build_null(&b, LIT("null"));
    CRIER_B_SNOWFLAKE(&b, "max", UINT64_MAX);
    CRIER_B_SNOWFLAKE(&b, "zero", 0);
    CRIER_B_TIME(&b, "at", 0);
    CRIER_B_STR(&b, "s", "\xc5\xa1");
    CRIER_B_OPEN(&b, "guild", CRIER_OBJECT);
    CRIER_B_STR(&b, "name", "#sp");
    CRIER_B_OPEN(&b, "ids", CRIER_ARRAY);
    crier_build_int(&b, "ignored", 7, 1);
    crier_build_open(&b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(&b, "id", "seven");
    crier_build_close(&b);
    crier_build_open(&b, NULL, 0, CRIER_ARRAY);
    crier_build_close(&b);
    crier_build_close(&b);
    crier_build_close(&b);
    CRIER_B_INT(&b, "last", 3);
    struct crier_record *r = crier_build_end(&b);
    assert_fields(r, ",\"i\":-9223372036854775808,\"n\":0.1,\"whole\":2.0,\"nan\":null,\"inf\":null,"
                     "\"yes\":true,\"no\":false,\"null\":null,\"max\":\"18446744073709551615\","
                     "\"zero\":\"0\",\"at\":\"1970-01-01T00:00:00.000000Z\",\"s\":\"\xc5\xa1\","
                     "\"guild\":{\"name\":\"#sp\",\"ids\":[1,{\"id\":\"seven\"},[]]},\"last\":3}");
    assert_str(get(r, "guild.name").s, LIT("#sp"));
    assert_int_equal(get(r, "guild.ids.1").i, 1);
    assert_str(get(r, "guild.ids.2.id").s, LIT("seven"));
    assert_int_equal(get(r, "guild.ids.3").type, CRIER_ARRAY);
    assert_false(has(r, "guild.ids.0"));
    assert_false(has(r, "guild.ids.4"));
    assert_false(has(r, "guild.ids.1x"));
    assert_false(has(r, "guild.ids."));
    assert_false(has(r, "guild.ids.99999999999999999999999"));
    assert_false(has(r, "guild.ids.18446744073709551617")); /* 2^64 + 1 */
    assert_false(has(r, "guild.ids.1.id"));
    assert_false(has(r, "guild.nam"));
    assert_false(has(r, "guild.names"));
    assert_false(has(r, "guild.name.x"));
    assert_true(get(r, "max").u == UINT64_MAX);
    assert_int_equal(get(r, "guild.ids.1").key.len, 0);
    assert_int_equal(get(r, "nan").type, CRIER_NULL);
    assert_int_equal(get(r, "inf").type, CRIER_NULL);

    /* the same again by copying each value into another record */
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    begin();
    while (crier_next(&it, &v))
        crier_build_value(&b, v.key.data, v.key.len, &v);
    struct crier_record *copy = crier_build_end(&b);
    assert_string_equal(strstr(crier_record_json(copy).data, ",\"i\""),
                        strstr(crier_record_json(r).data, ",\"i\""));
    crier_record_unref(copy);
    crier_record_unref(r);
}

static void dotted_keys(void **state)
{
    (void)state;
    begin();
    CRIER_B_INT(&b, "http.status", 500);
    CRIER_B_OPEN(&b, "http", CRIER_OBJECT);
    CRIER_B_INT(&b, "a.b", 1);
    crier_build_close(&b);
    struct crier_record *r = crier_build_end(&b);
    assert_int_equal(get(r, "http.status").i, 500);
    assert_int_equal(get(r, "http.a.b").i, 1);
    crier_record_unref(r);
}

static void reserved_names(void **state)
{
    (void)state;
    begin();
    CRIER_B_INT(&b, "first", 1);
    CRIER_B_STR(&b, "text", "mine");
    CRIER_B_OPEN(&b, "level", CRIER_OBJECT);
    CRIER_B_INT(&b, "id", 5);
    CRIER_B_OPEN(&b, "time", CRIER_ARRAY);
    crier_build_int(&b, NULL, 0, 6);
    crier_build_close(&b);
    crier_build_close(&b);
    CRIER_B_OPEN(&b, "other", CRIER_OBJECT);
    CRIER_B_INT(&b, "id", 7);
    crier_build_close(&b);
    CRIER_B_BOOL(&b, "fields", true);
    CRIER_B_BOOL(&b, "sim", false);
    CRIER_B_INT(&b, "i", 8);
    struct crier_record *r = crier_build_end(&b);
    assert_fields(r, ",\"first\":1,\"other\":{\"id\":7},\"i\":8,\"fields\":{\"text\":\"mine\","
                     "\"level\":{\"id\":5,\"time\":[6]},\"fields\":true,\"sim\":false}}");
    assert_str(get(r, "fields.text").s, LIT("mine"));
    assert_int_equal(get(r, "fields.level.time.1").i, 6);
    assert_str(get(r, "text").s, "", 0);
    crier_record_unref(r);

    static const char *const names[] = {"id",     "seq",  "time",  "node", "kind", "level",
                                        "logger", "text", "where", "ok",   "sim",  "fields"};
    begin();
    for (size_t i = 0; i < CRIER_COUNT(names); i++)
        crier_build_int(&b, names[i], strlen(names[i]), (int)i);
    r = crier_build_end(&b);
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    assert_true(crier_next(&it, &v));
    assert_str(v.key, LIT("fields"));
    assert_false(crier_next(&it, &v));
    crier_record_unref(r);
}

static void bad_utf8(void **state)
{
    (void)state;
    begin();
    crier_build_str(&b, LIT("k\xff"), LIT("a\xff\xc3(\xed\xa0\x80\xf4\x90\x80\x80\xc0\x80\xe2\x82"));
    crier_build_str(&b, LIT("overlong"), LIT("\xe0\x9f\xbf\xf0\x8f\xbf\xbf\xc1\xbf"));
    crier_build_str(&b, LIT("good"), LIT("\xf0\x9f\x98\x80\xc2\x80\xed\x9f\xbf\xef\xbf\xbf"));
    crier_build_str(&b, LIT("nul"), LIT("a\0b"));
    crier_build_text(&b, LIT("12345678\x80"));
    crier_build_logger(&b, LIT("\xfe"));
    crier_build_where(&b, LIT("\xe2\x82"));
    struct crier_record *r = crier_build_end(&b);
#define BAD "\xef\xbf\xbd"
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    assert_true(crier_next(&it, &v));
    assert_str(v.key, LIT("k" BAD));
    assert_str(v.s, LIT("a" BAD BAD "(" BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD));
    assert_str(get(r, "overlong").s, LIT(BAD BAD BAD BAD BAD BAD BAD BAD BAD));
    assert_str(get(r, "good").s, LIT("\xf0\x9f\x98\x80\xc2\x80\xed\x9f\xbf\xef\xbf\xbf"));
    assert_str(get(r, "nul").s, LIT("a\0b"));
    assert_str(crier_record_text(r), LIT("12345678" BAD));
    assert_str(crier_record_logger(r), LIT(BAD));
    assert_str(crier_record_where(r), LIT(BAD BAD));
    assert_valid_json(crier_record_json(r));
    assert_non_null(strstr(crier_record_json(r).data, "\"a\\u0000b\""));
    crier_record_unref(r);
}

/* Every byte at every place of a word: what is copied into JSON unseen must need no escape. */
static void escapes_at_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t len = 1; len <= 17; len++) {
            char text[17];
            begin();
            for (size_t at = 0; at < len; at++) {
                memset(text, 'x', sizeof text);
                text[at] = (char)byte;
                crier_build_str(&b, text, len, text, len);
            }
            struct crier_record *r = crier_build_end(&b);
            struct crier_scan scan;
            struct crier_iter it = crier_record_fields(r);
            struct crier_value v;
            crier_scan_init(&scan, crier_record_json(r).data, crier_record_json(r).len);
            for (int skip = 0; skip < 9; skip++)
                assert_true(crier_scan_next(&scan) > CRIER_SCAN_END);
            while (crier_next(&it, &v)) {
                assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_STR);
                assert_str(scan.s, v.s.data, v.s.len);
                assert_str(scan.key, v.key.data, v.key.len);
                assert_int_equal(v.s.len, byte < 0x80 ? len : len + 2);
            }
            assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_CLOSE);
            assert_int_equal(crier_scan_next(&scan), CRIER_SCAN_END);
            crier_scan_fini(&scan);
            crier_record_unref(r);
        }
    }
}

static void deep(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 1000; i++) {
        crier_build_open(&b, LIT("ok"), CRIER_OBJECT);
        crier_build_int(&b, LIT("n"), i);
    }
    for (int i = 0; i < 1000; i++)
        crier_build_close(&b);
    crier_build_close(&b); /* one too many does no harm */
    crier_build_int(&b, LIT("after"), 1);
    struct crier_record *r = crier_build_end(&b);
    assert_valid_json(crier_record_json(r));
    assert_int_equal(get(r, "after").i, 1);
    char path[1000] = "fields";
    for (int i = 0; i < 64; i++)
        strcat(path, ".ok");
    assert_int_equal(get(r, path).type, CRIER_OBJECT);
    strcat(path, ".ok");
    assert_str(get(r, path).s, LIT("[too deep]"));
    struct crier_record *again;
    struct crier_str bytes = crier_record_bytes(r);
    assert_int_equal(crier_record_from_bytes(bytes.data, bytes.len, &again, NULL), 0);
    crier_record_unref(again);
    crier_record_unref(r);

    begin(); /* opened and closed within what is cut */
    for (int i = 0; i < 70; i++)
        crier_build_open(&b, LIT("a"), CRIER_OBJECT);
    for (int i = 0; i < 6; i++)
        crier_build_close(&b);
    crier_build_int(&b, LIT("n"), 1);
    crier_build_close(&b);
    crier_build_int(&b, LIT("m"), 2);
    r = crier_build_end(&b);
    strcpy(path, "a");
    for (int i = 0; i < 62; i++)
        strcat(path, ".a");
    assert_int_equal(get(r, strcat(path, ".m")).i, 2);
    strcpy(path + strlen(path) - 1, "a.n");
    assert_int_equal(get(r, path).i, 1);
    crier_record_unref(r);

    begin(); /* left open, within what is cut: all closed at the end */
    for (int i = 0; i < 100; i++)
        crier_build_open(&b, LIT("a"), CRIER_ARRAY);
    r = crier_build_end(&b);
    assert_valid_json(crier_record_json(r));
    crier_record_unref(r);
}

static void large(void **state)
{
    (void)state;
    const size_t ten = 10 * 1024 * 1024, most = CRIER_RECORD_MAX / 2 + 1;
    char *text = crier_malloc(most);
    char key[32];
    memset(text, 'x', most);
    begin();
    crier_build_text(&b, text, ten);
    for (int i = 0; i < 10000; i++) {
        int n = snprintf(key, sizeof key, "field-%d", i);
        crier_build_int(&b, key, (size_t)n, i);
    }
    crier_build_str(&b, LIT("beyond"), text, most);
    struct crier_record *r = crier_build_end(&b);
    assert_int_equal(crier_record_text(r).len, ten);
    assert_int_equal(get(r, "field-9999").i, 9999);
    assert_str(get(r, "beyond").s, LIT("[too large]"));
    assert_valid_json(crier_record_json(r));
    assert_true(crier_record_json(r).len > ten + 10000 * 17);
    crier_record_unref(r);

    begin(); /* what goes beyond the limit is left out, with all that is inside it */
    crier_build_str(&b, LIT("a"), text, most - 1);
    crier_build_str(&b, LIT("b"), text, most - 1);
    crier_build_str(&b, LIT("c"), text, most - 64);
    crier_build_open(&b, text, 60, CRIER_OBJECT);
    crier_build_int(&b, LIT("inside"), 1);
    crier_build_close(&b);
    crier_build_int(&b, LIT("z"), 1);
    r = crier_build_end(&b);
    assert_int_equal(get(r, "a").s.len, most - 1);
    assert_false(has(r, "b"));
    assert_int_equal(get(r, "c").s.len, most - 64);
    assert_false(has(r, "inside"));
    assert_int_equal(get(r, "z").i, 1);
    assert_valid_json(crier_record_json(r));
    crier_record_unref(r);
    free(text);
    begin();
    assert_true(b.buf.cap <= 1024 * 1024);
}

static void long_names(void **state)
{
    (void)state;
    char *key = crier_malloc(70000), *wide = crier_malloc(70000);
    for (int i = 0; i < 70000; i += 4)
        memcpy(wide + i, "\xf0\x9f\x98\x80", 4);
    begin();
    memset(key, 0x80, 70000);
    crier_build_text(&b, key, 70000);
    crier_build_int(&b, key, 70000, 4);
    struct crier_record *bad = crier_build_end(&b);
    assert_int_equal(crier_record_text(bad).len, 210000);
    crier_record_unref(bad);
    begin();
    crier_build_logger(&b, key, 70000);
    bad = crier_build_end(&b);
    assert_int_equal(crier_record_logger(bad).len, 65535);
    crier_record_unref(bad);
    begin();
    for (int i = 0; i < 70000; i += 2)
        memcpy(key + i, "\xc5\xa1", 2);
    crier_build_int(&b, key, 70000, 1);
    crier_build_logger(&b, wide, 70000);
    crier_build_where(&b, wide + 1, 65537);
    memset(key, 'k', 70000);
    crier_build_int(&b, key, 70000, 2);
    crier_build_int(&b, key, 65535, 3);
    struct crier_record *r = crier_build_end(&b);
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    assert_true(crier_next(&it, &v));
    assert_int_equal(v.key.len, 65534);
    assert_true(crier_next(&it, &v));
    assert_int_equal(v.key.len, 65535);
    assert_int_equal(v.i, 2);
    assert_true(crier_next(&it, &v));
    assert_int_equal(v.key.len, 65535);
    assert_int_equal(v.i, 3);
    assert_str(crier_record_logger(r), wide, 65532);
    assert_int_equal(crier_record_where(r).len, 65533); /* three U+FFFD, then whole characters */
    assert_valid_json(crier_record_json(r));
    crier_record_unref(r);
    free(wide);
    free(key);
}

static void from_json(void **state)
{
    (void)state;
    begin();
    crier_build_json(&b, LIT("a"), LIT(" {\"x\":[1,2.5,\"s\\u00e9\",null,true,{}],\"y\":-3} "));
    crier_build_json(&b, LIT("b"), LIT("\"text\""));
    crier_build_json(&b, LIT("bad"), LIT("{\"x\":[1,{\"y\":2,"));
    CRIER_B_OPEN(&b, "in", CRIER_ARRAY);
    crier_build_json(&b, NULL, 0, LIT("[[1] 2]"));
    crier_build_json(&b, NULL, 0, LIT("[7]"));
    crier_build_json(&b, NULL, 0, LIT(""));
    crier_build_close(&b);
    crier_build_json(&b, LIT("text"), LIT("[8,]"));
    crier_build_json(&b, LIT("ok"), LIT("[8]"));
    crier_build_int(&b, LIT("z"), 1);
    struct crier_record *r = crier_build_end(&b);
    assert_fields(r, ",\"a\":{\"x\":[1,2.5,\"s\xc3\xa9\",null,true,{}],\"y\":-3},\"b\":\"text\","
                     "\"bad\":\"{\\\"x\\\":[1,{\\\"y\\\":2,\",\"in\":[\"[[1] 2]\",[7],\"\"],\"z\":1,"
                     "\"fields\":{\"text\":\"[8,]\",\"ok\":[8]}}");
    crier_record_unref(r);

    char nested[1001];
    memset(nested, '[', 500);
    memset(nested + 500, ']', 500);
    nested[1000] = '\0';
    begin();
    crier_build_json(&b, LIT("a"), nested, 1000);
    crier_build_json(&b, LIT("b"), nested, 999);
    r = crier_build_end(&b);
    assert_int_equal(get(r, "a").type, CRIER_ARRAY);
    assert_non_null(strstr(crier_record_json(r).data, "[too deep]"));
    assert_int_equal(get(r, "b").s.len, 999);
    crier_record_unref(r);
}

static void names(void **state)
{
    (void)state;
    enum crier_kind kind;
    enum crier_level level;
    assert_true(crier_kind_parse("system", 6, &kind) && kind == CRIER_KIND_SYSTEM);
    assert_false(crier_kind_parse("syst", 4, &kind));
    assert_string_equal(crier_kind_name(CRIER_KIND_EVENT), "event");
    assert_string_equal(crier_kind_name((enum crier_kind)77), "?");
    assert_string_equal(crier_level_name(CRIER_CRITICAL), "critical");
    assert_string_equal(crier_level_name((enum crier_level)0), "?");
    static const struct {
        const char *text;
        int level;
    } levels[] = {{"debug", 10}, {"INFO", 20},    {"Warn", 30}, {"warning", 30}, {"error", 40},
                  {"10", 10},    {"critical", 50}, {"50", 50},   {"35", 30},      {"51", 0},
                  {"9", 0},      {"", 0},          {"errors", 0}, {"05", 0},      {"4x", 0}};
    for (size_t i = 0; i < CRIER_COUNT(levels); i++) {
        bool ok = crier_level_parse(levels[i].text, strlen(levels[i].text), &level);
        assert_int_equal(ok ? (int)level : 0, levels[i].level);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(common_members), TEST(absent_members), TEST(every_type), TEST(dotted_keys),
        TEST(reserved_names), TEST(bad_utf8),       TEST(escapes_at_every_place),
        TEST(deep),           TEST(large),          TEST(long_names), TEST(from_json),
        TEST(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
