/* SPDX-License-Identifier: MIT
 *
 * The pipeline through its public interface alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crier/crier.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-embed-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[160];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct crier_pipeline *open_with(const char *state)
{
    struct crier_err err = {0};
    char path[160];
    struct crier_pipeline_config c = {.struct_size = sizeof c, .folder = folder, .node = "web-1"};
    snprintf(path, sizeof path, "%s/%s", folder, state ? state : "");
    c.state_folder = state ? path : NULL;
    struct crier_pipeline *p = crier_pipeline_new(&c, &err);
    if (!p)
        fail_msg("%s", err.text);
    return p;
}

static void add(struct crier_pipeline *p, const char *kind, const char *options)
{
    struct crier_err err = {0};
    if (crier_pipeline_sink(p, kind, options, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
}

static void route(struct crier_pipeline *p, const char *rule)
{
    struct crier_err err = {0};
    if (crier_pipeline_route(p, rule, &err) != 0)
        fail_msg("%s: %s", err.where, err.text);
}

static char *file_text(const char *name)
{
    char path[160];
    static char text[8 << 20];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static bool keep_json(void *arg, struct crier_record *record)
{
    struct crier_str json = crier_record_json(record);
    snprintf(arg, 1024, "%.*s", (int)json.len, json.data);
    return true;
}

static bool add_text(void *arg, struct crier_record *record)
{
    struct crier_str text = crier_record_text(record);
    char *all = arg;
    snprintf(all + strlen(all), 256 - strlen(all), "%.*s ", (int)text.len, text.data);
    return true;
}

static long ask(struct crier_pipeline *p, const char *query, char all[256])
{
    struct crier_err err = {0};
    all[0] = '\0';
    long n = crier_pipeline_query(p, "memory", query, add_text, all, &err);
    if (n < 0)
        fail_msg("%s: %s", err.where, err.text);
    return n;
}

static void test_fields(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    struct crier_err err = {0};
    char json[1024];
    add(p, "jsonl", "{\"path\": \"app.jsonl\"}");
    add(p, "memory", NULL);
    struct crier_logger *log = crier_pipeline_logger(p, "shop");
    CRIER_LOG_WARNING(log, "order", crier_f_str("user", "Ann"), crier_f_int("n", -5),
                      crier_f_num("share", 0.5), crier_f_bool("late", true), crier_f_null("gone"),
                      crier_f_snowflake("channel", 978332728615378984u),
                      crier_f_time("at", 1700000000123456), crier_f_strn("raw", "a\0b", 3),
                      crier_f_json("items", "[1,{\"a\":2}]"), crier_f_json("odd", "{oops"),
                      crier_f_json("plain", "just text"), crier_f_str("none", NULL),
                      crier_f_str("level", "mine"));
    int line = __LINE__ - 1;
    assert_int_equal(crier_pipeline_query(p, "memory", NULL, keep_json, json, &err), 1);
    assert_non_null(strstr(json, "\"node\":\"web-1\",\"kind\":\"log\",\"level\":\"warning\","
                                 "\"logger\":\"shop\",\"text\":\"order\""));
    char where[64];
    /* Of a call over some lines compilers take the first or the last. */
    snprintf(where, sizeof where, "\"where\":\"embed_pipeline_test.c:%d\"", line);
    if (!strstr(json, where)) {
        snprintf(where, sizeof where, "\"where\":\"embed_pipeline_test.c:%d\"", line - 6);
        assert_non_null(strstr(json, where));
    }
    assert_non_null(strstr(json, "\"user\":\"Ann\",\"n\":-5,\"share\":0.5,\"late\":true,"
                                 "\"gone\":null,\"channel\":\"978332728615378984\","
                                 "\"at\":\"2023-11-14T22:13:20.123456Z\",\"raw\":\"a\\u0000b\","
                                 "\"items\":[1,{\"a\":2}],\"odd\":\"{oops\","
                                 "\"plain\":\"just text\",\"none\":null,"
                                 "\"fields\":{\"level\":\"mine\"}"));
    assert_int_equal(crier_pipeline_flush(p, 5 * CRIER_SECOND, &err), 0);
    assert_non_null(strstr(file_text("app.jsonl"), "\"text\":\"order\""));
    crier_logger_free(log);
    crier_pipeline_free(p);
}

static void test_bound_fields(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    char json[1024], name[] = "request", value[] = "r-17";
    add(p, "memory", NULL);
    struct crier_logger *log = crier_pipeline_logger(p, NULL);
    struct crier_value bound[] = {crier_f_str(name, value), crier_f_json("tags", "{\"a\":[1]}")};
    struct crier_logger *child = crier_logger_with(log, "http", bound, 2);
    memset(name, 'x', sizeof name - 1);
    memset(value, 'x', sizeof value - 1);
    CRIER_LOG_INFO(child, "one", crier_f_int("n", 1));
    assert_int_equal(crier_pipeline_query(p, "memory", NULL, keep_json, json, NULL), 1);
    assert_non_null(strstr(json, "\"logger\":\"app.http\""));
    assert_non_null(strstr(json, "\"request\":\"r-17\",\"tags\":{\"a\":[1]},\"n\":1"));
    struct crier_value other[] = {crier_f_str("request", "r-18")};
    struct crier_logger *grand = crier_logger_with(child, NULL, other, 1);
    CRIER_LOG_INFO(grand, "two", crier_f_json("tags", "[]"));
    assert_int_equal(
        crier_pipeline_query(p, "memory", "{\"match\":{\"text\":\"two\"}}", keep_json, json, NULL),
        1);
    assert_non_null(strstr(json, "\"logger\":\"app.http\""));
    assert_non_null(strstr(json, "\"request\":\"r-18\",\"tags\":[]}"));
    assert_null(strstr(json, "r-17"));
    crier_logger_free(log);
    crier_logger_free(grand);
    crier_pipeline_free(p);
    CRIER_LOG_INFO(child, "late"); /* harmless */
    crier_logger_free(child);
}

static void test_levels(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    char all[256];
    int computed = 0;
    add(p, "memory", NULL);
    struct crier_logger *shop = crier_pipeline_logger(p, "shop");
    struct crier_logger *orders = crier_logger_with(shop, "orders", NULL, 0);
    struct crier_logger *shopping = crier_pipeline_logger(p, "shopping");
    CRIER_LOG_DEBUG(shop, "a");
    crier_pipeline_level(p, "*", CRIER_CRITICAL);
    crier_pipeline_level(p, NULL, CRIER_LEVEL_WARNING);
    crier_pipeline_level(p, "shop", CRIER_LEVEL_ERROR);
    crier_pipeline_level(p, "shop.orders", CRIER_INFO);
    CRIER_LOG_WARNING(shop, "b", crier_f_int("n", computed++));
    CRIER_LOG_INFO(orders, "c");
    CRIER_LOG_DEBUG(orders, "d");
    CRIER_LOG_WARNING(shopping, "e");
    CRIER_LOG_INFO(shopping, "f");
    struct crier_logger *later = crier_pipeline_logger(p, "shop.stock.shelf");
    CRIER_LOG_WARNING(later, "g");
    CRIER_LOG_ERROR(later, "h");
    crier_pipeline_level(p, "shop", CRIER_DEBUG);
    CRIER_LOG_DEBUG(later, "i");
    assert_int_equal(computed, 0);
    assert_false(crier_logger_enabled(shopping, CRIER_INFO));
    ask(p, NULL, all);
    assert_string_equal(all, "a c e h i ");
    struct crier_logger *loggers[] = {shop, orders, shopping, later};
    for (size_t i = 0; i < 4; i++)
        crier_logger_free(loggers[i]);
    crier_pipeline_free(p);
}

static void test_routes_and_queries(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    char all[256];
    add(p, "memory", NULL);
    add(p, "jsonl", "{\"name\": \"bad\", \"path\": \"bad.jsonl\"}");
    add(p, "jsonl", "{\"name\": \"rest\", \"path\": \"rest.jsonl\"}");
    route(p, "{\"to\": \"memory\", \"copy\": true}");
    route(p, "{\"match\": {\"level\": {\"ge\": \"error\"}}, \"to\": [\"bad\"]}");
    route(p, "{\"otherwise\": true, \"to\": \"rest\"}");
    struct crier_logger *log = crier_pipeline_logger(p, "shop");
    for (int i = 1; i <= 9; i++) {
        char text[2] = {(char)('0' + i), 0};
        struct crier_value fields[] = {crier_f_int("n", i),
                                       crier_f_str("user", i % 2 ? "ann" : "bob"),
                                       crier_f_json("at", i == 9 ? "{\"floor\":3}" : "{}")};
        crier_log(log, i == 5 ? CRIER_CRITICAL : CRIER_INFO, NULL, text, fields, 3);
    }
    assert_int_equal(crier_pipeline_flush(p, 5 * CRIER_SECOND, NULL), 0);
    assert_non_null(strstr(file_text("bad.jsonl"), "\"text\":\"5\""));
    assert_null(strstr(file_text("bad.jsonl"), "\"text\":\"6\""));
    assert_non_null(strstr(file_text("rest.jsonl"), "\"text\":\"6\""));
    assert_null(strstr(file_text("rest.jsonl"), "\"text\":\"5\""));

    assert_int_equal(ask(p, "{\"match\":{\"user\":\"bob\",\"n\":{\"gt\":2,\"le\":8}}}", all), 3);
    assert_string_equal(all, "4 6 8 ");
    ask(p, "{\"match\":{\"n\":{\"range\":[3,5]}},\"order\":\"n\",\"desc\":true,\"limit\":2}", all);
    assert_string_equal(all, "5 4 ");
    ask(p, "{\"match\":{\"n\":[1,9,44]},\"offset\":1}", all);
    assert_string_equal(all, "9 ");
    ask(p, "{\"match\":{\"any\":[{\"n\":1},{\"at.floor\":3}]}}", all);
    assert_string_equal(all, "1 9 ");
    ask(p, "{\"match\":{\"no\":[{\"n\":{\"lt\":8}}],\"time\":{\"since\":\"1h\"}}}", all);
    assert_string_equal(all, "8 9 ");
    ask(p, "{\"match\":{\"user\":{\"like\":\"A%\"},\"level\":{\"ne\":\"info\"}}}", all);
    assert_string_equal(all, "5 ");
    crier_logger_free(log);
    crier_pipeline_free(p);
}

/* A rule's limit is kept, and what it left out is told. */
static void test_rate(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    char all[256];
    add(p, "memory", NULL);
    add(p, "jsonl", "{\"path\": \"told.jsonl\"}");
    route(p, "{\"match\": {\"kind\": \"system\"}, \"to\": \"jsonl\"}");
    route(p, "{\"match\": {\"logger\": \"x\"}, \"rate\": \"2/1h\", \"to\": \"memory\"}");
    struct crier_logger *log = crier_pipeline_logger(p, "x");
    for (int i = 0; i < 5; i++)
        CRIER_LOG_INFO(log, "t");
    assert_int_equal(ask(p, NULL, all), 2);
    crier_logger_free(log);
    crier_pipeline_free(p);
    assert_non_null(strstr(file_text("told.jsonl"), "a route left out 3 records above 2 in 1h"));
}

static bool stop_at_two(void *arg, struct crier_record *record)
{
    (void)record;
    return ++*(int *)arg < 2;
}

static void test_early_end(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with(NULL);
    int n = 0;
    add(p, "memory", NULL);
    struct crier_logger *log = crier_pipeline_logger(p, "x");
    for (int i = 0; i < 5; i++)
        CRIER_LOG_INFO(log, "t");
    assert_int_equal(crier_pipeline_query(p, "memory", NULL, stop_at_two, &n, NULL), 2);
    assert_int_equal(n, 2);
    crier_logger_free(log);
    crier_pipeline_free(p);
}

/* What is said of each wrong text, and where. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *options, *where, *text;
        int code;
    } wrong[] = {
        {"jsonn", NULL, "", "there is no kind of sink 'jsonn' (did you mean 'json'?)",
         CRIER_ECONFIG},
        {"jsonl", "{\"name\": \"log\",\n  \"pth\": \"x\"}", "sink 'log' 2:3",
         "sink 'log': unknown option 'pth' (did you mean 'path'?)", CRIER_ECONFIG},
        {"jsonl", "{\"path\": 5}", "sink 'jsonl' 1:2",
         "sink 'jsonl': option 'path' must be a path, got the number 5", CRIER_ECONFIG},
        {"memory", "{\"max\": 0}", "sink 'memory' 1:2",
         "sink 'memory': option 'max' must be at least 1 and at most 100000000, got 0",
         CRIER_ECONFIG},
        {"memory", "{\"level\": \"warnin\"}", "sink 'memory' 1:2",
         "sink 'memory': option 'level' must be one of debug, info, warning, error, critical, got "
         "\"warnin\" (did you mean \"warning\"?)",
         CRIER_ECONFIG},
        {"memory", "{\"flush\": \"10\"}", "sink 'memory' 1:2", NULL, CRIER_ECONFIG},
        {"memory", "{\"kinds\": [\"log\", true]}", "sink 'memory' 1:2",
         "sink 'memory': option 'kinds' must be a list of strings, got true", CRIER_ECONFIG},
        {"memory", "{\"flush\": [], \"batch\": 1.5, \"x\": \"\\\"batch\\\":\"}",
         "sink 'memory' 1:2",
         "sink 'memory': option 'flush' must be a duration such as \"10s\" or \"1m30s\", got a "
         "list "
         "(and 2 more)",
         CRIER_ECONFIG},
        {"memory", "{\"name\": \"a\"", "sink 'memory' 1:12", NULL, CRIER_ECONFIG},
        {"memory", "[]", "sink 'memory'", "sink 'memory': expected a JSON object in braces",
         CRIER_ECONFIG},
        {"memory", "{\"name\": \"a b\"}", "",
         "sink 'a b': use letters, digits, '_' and '-' in its name", CRIER_ECONFIG},
        {"memory", "{\"name\": \"there\"}", "",
         "there is a sink 'there' already: give each a name of its own", CRIER_EEXIST},
    };
    struct crier_pipeline *p = open_with(NULL);
    add(p, "memory", "{\"name\": \"there\"}");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct crier_err err = {0};
        assert_int_equal(crier_pipeline_sink(p, wrong[i].kind, wrong[i].options, &err),
                         wrong[i].code);
        assert_int_equal(err.code, wrong[i].code);
        assert_string_equal(err.where, wrong[i].where);
        if (wrong[i].text)
            assert_string_equal(err.text, wrong[i].text);
        assert_int_not_equal(crier_pipeline_sink(p, wrong[i].kind, wrong[i].options, NULL), 0);
    }
    static const struct {
        const char *rule, *where, *text;
    } rules[] = {
        {"{\"to\": \"thre\"}", "route 1:2",
         "route: option 'to': there is no sink 'thre' (did you mean 'there'?)"},
        {"{\"match\": {\"level\": \"eror\"}, \"to\": \"there\"}", "route 1:2",
         "route: there is no level \"eror\" (did you mean \"error\"?)"},
        {"{\"match\": {\"n\": {\"gte\": 5}}, \"to\": \"there\"}", "route 1:2",
         "route: 'n': unknown operator 'gte' (did you mean 'gt'?)"},
        {"{\"match\": {\"n\": {\"range\": [5]}}, \"to\": \"there\"}", "route 1:2", NULL},
        {"{\"match\": 5, \"to\": \"there\"}", "route 1:2",
         "route: option 'match' must be an object, got the number 5"},
        {"{\"sample\": 2, \"to\": \"there\"}", "route 1:2",
         "route: option 'sample' must be above 0 and at most 1, got 2 (0.1 sends every tenth)"},
        {"{\"rate\": \"many\", \"to\": \"there\"}", "route 1:2",
         "route: option 'rate' must be a number of records and a time, got \"many\" (\"100/1m\": "
         "at "
         "most 100 a minute)"},
        {"{\"copy\": true}", "route",
         "route: option 'to' is missing (the name of a sink, or a list of names)"},
        {"{\"match\": {}, \"otherwise\": true, \"to\": \"there\"}", "route 1:15",
         "route: 'match' and 'otherwise' exclude each other (take one)"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct crier_err err = {0};
        assert_int_equal(crier_pipeline_route(p, rules[i].rule, &err), CRIER_ECONFIG);
        assert_string_equal(err.where, rules[i].where);
        if (rules[i].text)
            assert_string_equal(err.text, rules[i].text);
    }
    struct crier_err err = {0};
    struct crier_sink_counts counts = {.struct_size = sizeof counts};
    assert_int_equal(crier_pipeline_counts(p, "nowhere", &counts, &err), CRIER_ENOTFOUND);
    assert_string_equal(err.text, "there is no sink 'nowhere' (there are: there)");
    assert_int_equal(crier_pipeline_query(p, "there", "{\"limt\": 1}", NULL, NULL, &err),
                     CRIER_ECONFIG);
    assert_string_equal(err.text, "query: unknown option 'limt' (did you mean 'limit'?)");
    crier_pipeline_free(p);
}

static void test_config(void **state)
{
    (void)state;
    struct crier_err err = {0};
    struct crier_pipeline_config c = {.struct_size = sizeof c, .timezone = "Mars/Phobos"};
    assert_null(crier_pipeline_new(&c, &err));
    assert_int_equal(err.code, CRIER_ENOTFOUND);
    struct crier_pipeline *p = open_with("state");
    char path[160];
    snprintf(path, sizeof path, "%s/state", folder);
    c = (struct crier_pipeline_config){.struct_size = sizeof c, .state_folder = path};
    assert_null(crier_pipeline_new(&c, &err));
    assert_int_equal(err.code, CRIER_EBUSY);
    crier_pipeline_free(p);
    /* A program that knows only of the first member: what lies behind is not looked at. */
    struct {
        size_t struct_size;
        const char *folder;
        const char *rubbish[3];
    } old = {offsetof(struct crier_pipeline_config, state_folder), folder, {(char *)1, (char *)2}};
    p = crier_pipeline_new((void *)&old, &err);
    assert_non_null(p);
    crier_pipeline_free(p);
}

enum { THREADS = 4, EACH = 5000 };

static void *log_many(void *arg)
{
    struct crier_logger *log = arg;
    for (int i = 0; i < EACH; i++)
        CRIER_LOG_INFO(log, "t", crier_f_int("n", i), crier_f_str("user", "somebody"));
    return NULL;
}

static void in_order(const char *file)
{
    unsigned long last = 0, lines = 0;
    char *end;
    /* A line at a time: a sanitizer's strstr reads to the end of the text. */
    for (char *line = file_text(file); (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        char *at = strstr(line, "\"seq\":");
        assert_non_null(at);
        unsigned long seq = strtoul(at + 6, NULL, 10);
        assert_true(seq > last);
        last = seq;
        lines++;
    }
    assert_int_equal(lines, THREADS * EACH);
}

/* Nothing is lost, and the files have the numbers in order. */
static void test_threads(void **state)
{
    (void)state;
    struct crier_pipeline *p = open_with("state");
    struct crier_err err = {0};
    pthread_t threads[THREADS];
    add(p, "jsonl", "{\"path\": \"all.jsonl\", \"queue\": 100, \"durable\": true}");
    add(p, "jsonl", "{\"name\": \"other\", \"path\": \"other.jsonl\", \"queue\": 100}");
    add(p, "memory", "{\"max\": 100000}");
    struct crier_logger *log = crier_pipeline_logger(p, "x");
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_many, log);
    route(p, "{\"to\": [\"jsonl\", \"other\", \"memory\"]}");
    crier_pipeline_level(p, "y", CRIER_INFO);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crier_pipeline_query(p, "memory", NULL, NULL, NULL, &err), THREADS * EACH);
    assert_int_equal(crier_pipeline_flush(p, 20 * CRIER_SECOND, &err), 0);
    struct crier_sink_counts counts = {.struct_size = sizeof counts};
    assert_int_equal(crier_pipeline_counts(p, "jsonl", &counts, &err), 0);
    assert_int_equal(counts.accepted, THREADS * EACH);
    assert_int_equal(counts.written, THREADS * EACH);
    crier_logger_free(log);
    crier_pipeline_free(p);
    in_order("all.jsonl");
    in_order("other.jsonl");
}

/* A sink that cannot write: what is owed is kept, and written by the next pipeline. */
static void test_owed(void **state)
{
    (void)state;
    static const char *const nobody =
        "{\"name\": \"log\", \"kinds\": \"log\", \"url\": \"redis://127.0.0.1:1\"}";
    struct crier_err err = {0};
    struct crier_sink_counts counts = {.struct_size = sizeof counts};
    struct crier_pipeline *p = open_with("state");
    struct crier_logger *log = crier_pipeline_logger(p, "x");
    add(p, "redis", nobody);
    CRIER_LOG_INFO(log, "one");
    assert_int_equal(crier_pipeline_flush(p, CRIER_SECOND / 5, &err), CRIER_ETIMEOUT);
    if (!strstr(err.text, "sink 'log' still has 1 record to write"))
        fail_msg("%s", err.text);
    crier_logger_free(log);
    assert_int_equal(crier_pipeline_stop(p, CRIER_SECOND / 5, &err), 0);
    assert_int_equal(crier_pipeline_stop(p, CRIER_SECOND / 5, &err), 0);
    assert_int_equal(crier_pipeline_counts(p, "log", &counts, &err), 0);
    assert_int_equal(counts.accepted, 1);
    assert_int_equal(counts.spilled, 1);
    assert_true(counts.failing);
    assert_true(counts.last_error[0]);
    assert_int_equal(crier_pipeline_sink(p, "memory", NULL, &err), CRIER_ECANCELED);
    assert_int_equal(crier_pipeline_route(p, "{\"to\": \"log\"}", &err), CRIER_ECANCELED);
    crier_pipeline_free(p);

    p = open_with("state");
    log = crier_pipeline_logger(p, "x");
    add(p, "jsonl", "{\"name\": \"log\", \"path\": \"app.jsonl\"}");
    CRIER_LOG_INFO(log, "two");
    crier_logger_free(log);
    crier_pipeline_free(p);
    char *one = strstr(file_text("app.jsonl"), "\"text\":\"one\"");
    char *two = strstr(file_text("app.jsonl"), "\"text\":\"two\"");
    assert_true(one && two && one < two);

    p = open_with(NULL);
    log = crier_pipeline_logger(p, "x");
    add(p, "redis", nobody);
    CRIER_LOG_INFO(log, "one");
    crier_logger_free(log);
    assert_int_equal(crier_pipeline_stop(p, CRIER_SECOND / 5, &err), CRIER_ETIMEOUT);
    assert_non_null(strstr(err.text, "1 record could be neither written in time nor kept"));
    crier_pipeline_free(p);
}

/* A sink that is down: its fallback, named in JSON, gets copies. */
static void test_fallback(void **state)
{
    (void)state;
    struct crier_err err = {0};
    struct crier_sink_counts counts = {.struct_size = sizeof counts};
    struct crier_pipeline *p = open_with("state");
    add(p, "jsonl", "{\"name\": \"files\", \"path\": \"copies.jsonl\"}");
    assert_int_equal(crier_pipeline_sink(p, "redis", "{\"fallback\": \"file\"}", &err),
                     CRIER_ENOTFOUND);
    assert_string_equal(err.text, "sink 'redis': option 'fallback': there is no sink 'file' (did "
                                  "you mean 'files'?)");
    add(p, "redis",
        "{\"url\": \"redis://127.0.0.1:1\", \"kinds\": \"log\", \"fallback\": \"files\","
        " \"retry\": {\"times\": 1, \"delay\": \"20ms\"}}");
    route(p, "{\"match\": {\"kind\": \"log\"}, \"to\": \"redis\"}");
    struct crier_logger *log = crier_pipeline_logger(p, "x");
    CRIER_LOG_INFO(log, "owed");
    for (int i = 0; i < 6000 && counts.copied == 0; i++) {
        usleep(10000);
        assert_int_equal(crier_pipeline_counts(p, "redis", &counts, &err), 0);
    }
    assert_int_equal(counts.copied, 1);
    assert_int_equal(crier_pipeline_flush(p, CRIER_SECOND / 5, &err), CRIER_ETIMEOUT);
    assert_non_null(strstr(file_text("copies.jsonl"), "\"text\":\"owed\""));
    crier_logger_free(log);
    assert_int_equal(crier_pipeline_stop(p, 60 * CRIER_SECOND, &err), 0);
    crier_pipeline_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_bound_fields, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_levels, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_routes_and_queries, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_rate, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_early_end, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_errors, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_config, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_threads, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_fallback, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_owed, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
