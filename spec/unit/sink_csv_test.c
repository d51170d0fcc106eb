/* SPDX-License-Identifier: MIT */
#define DRIVER crier_sink_csv
#define LIVE "crier.csv"
#include "sink_lines_cases.h"

static void check_written(const char *const *fields, struct crier_record *r, const char *want)
{
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    rig_open(&rig, &DRIVER, clock, "=fields", fields, NULL);
    rig_write(&rig, &r, 1);
    assert_file(LIVE, want);
    rig_close(&rig);
    crier_clock_free(clock);
    char *path = in_folder(LIVE);
    unlink(path);
    free(path);
}

static void test_golden_cells(void **state)
{
    (void)state;
    struct maker m;
    maker_init(&m, 1);
    struct crier_builder *b = &m.b;
    crier_build_begin(b, CRIER_KIND_TASK, CRIER_LEVEL_ERROR, START);
    crier_build_text(b, "=1+1", 4);
    CRIER_B_STR(b, "plain", "some words");
    CRIER_B_STR(b, "empty", "");
    CRIER_B_STR(b, "quote", "a \"b\", c\r\nd");
    CRIER_B_STR(b, "tab", "\tx");
    CRIER_B_STR(b, "at", "@SUM(A1)");
    CRIER_B_STR(b, "plus", "+1");
    CRIER_B_STR(b, "minus", "-1");
    CRIER_B_STR(b, "cr", "\rx");
    CRIER_B_STR(b, "tick", "'x");
    CRIER_B_STR(b, "digits", "0012");
    CRIER_B_STR(b, "yes", "true");
    CRIER_B_STR(b, "array", "[1]");
    CRIER_B_INT(b, "int", -5);
    CRIER_B_NUM(b, "num", 3.0);
    CRIER_B_SNOWFLAKE(b, "snow", 863071397207212052u);
    CRIER_B_TIME(b, "start", START);
    CRIER_B_OPEN(b, "o", CRIER_OBJECT);
    CRIER_B_STR(b, "a", "=x");
    CRIER_B_BOOL(b, "b", true);
    crier_build_close(b);
    crier_build_null(b, "null", 4);
    struct crier_record *r = crier_build_end(b);
    static const char *const simple[] = {"time",  "level",   "text", "plain",
                                         "empty", "missing", "null", NULL};
    check_written(simple, r,
                  "time,level,text,plain,empty,missing,null\r\n"
                  "2022-05-23T16:28:15.000000Z,error,'=1+1,some words,\"\",,\r\n");
    static const char *const texts[] = {"quote", "tab",    "at",  "plus",  "minus", "cr",
                                        "tick",  "digits", "yes", "array", NULL};
    check_written(texts, r,
                  "quote,tab,at,plus,minus,cr,tick,digits,yes,array\r\n"
                  "\"a \"\"b\"\", c\r\nd\",'\tx,'@SUM(A1),\"'+1\",\"'-1\",\"'\rx\",''x,\"0012\","
                  "\"true\",'[1]\r\n");
    static const char *const others[] = {"int", "num", "snow", "start", "o", "o.a", "o.b", NULL};
    check_written(others, r,
                  "int,num,snow,start,o,o.a,o.b\r\n-5,3.0,\"863071397207212052\","
                  "2022-05-23T16:28:15.000000Z,\"{\"\"a\"\":\"\"=x\"\",\"\"b\"\":true}\",'=x,"
                  "true\r\n");
    static const char *const hostile[] = {"=cmd|x", "a,b", "missing\r\n\"", NULL};
    check_written(hostile, r, "'=cmd|x,\"a,b\",\"missing\r\n\"\"\"\r\n,,\r\n");
    static const char *const one[] = {"missing", NULL};
    check_written(one, r, "missing\r\n \r\n");
    crier_record_unref(r);
    maker_fini(&m);
}

static void test_header_of_messages(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 1);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "x");
    char *text = slurp(LIVE, NULL);
    static const char header[] =
        "id,seq,time,node,kind,level,logger,text,where,ok,sim,guild.type,guild.name,guild.id,type,"
        "name,mode,sent_data,channels,success_info,success_rate,task_name,action,run_id,record\r\n";
    assert_memory_equal(text, header, sizeof header - 1);
    assert_non_null(strstr(text, ",web-1,log,info,bot,x,,,false,,,,,,,,,,,,,,\r\n"));
    free(text);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

static void test_models(void **state)
{
    (void)state;
    static const char *const want[][2] = {
        {"minimal", "id,kind,task_name,action,time\r\n"},
        {"log", "id,kind,task_name,action,time,logger,text,level,where,exc_text,node\r\n"},
        {"run", "id,kind,task_name,action,time,logger,text,level,where,exc_text,node,start,end,"
                "runtime,run_id\r\n"}};
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    maker_init(&m, 1);
    for (size_t i = 0; i < CRIER_COUNT(want); i++) {
        struct rig rig;
        char *path = in_folder(LIVE);
        unlink(path);
        free(path);
        rig_open(&rig, &DRIVER, clock, "=model", want[i][0], NULL);
        struct crier_record *r = mixed_record(&m, 2);
        rig_write(&rig, &r, 1);
        char *text = slurp(LIVE, NULL);
        assert_memory_equal(text, want[i][1], strlen(want[i][1]));
        assert_non_null(strstr(text, ",task,report,success"));
        assert_int_equal(count_all(&rig), 1);
        free(text);
        crier_record_unref(r);
        rig_close(&rig);
    }
    maker_fini(&m);
    crier_clock_free(clock);
}

/* Other columns: the file is closed as it is; a query reads both by their own headers. */
static void test_columns_change(void **state)
{
    (void)state;
    static const char *const columns[] = {"id", "time", "kind", "level", "text", "record", NULL};
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 6);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "before");
    rig_close(&rig);
    rig_open(&rig, &DRIVER, clock, "=fields", columns, NULL);
    write_log(&rig, &m, START, "after");
    size_t count;
    struct crier_err err = {0};
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 2);
    assert_string_equal(err.text, "");
    assert_memory_equal(crier_record_text(hits[0]).data, "before", 6);
    assert_memory_equal(crier_record_text(hits[1]).data, "after", 5);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    char *text = slurp(LIVE, NULL);
    assert_memory_equal(text, "id,time,kind,level,text,record\r\n", 32);
    assert_null(strstr(text, "before"));
    free(text);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

/* At every length of a row: cut off, header too. */
static void test_torn_tails(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    size_t len;
    maker_init(&m, 4);
    struct crier_record *a = make_log(&m, START, "first"),
                        *b = make_log(&m, START, "x\r\n\"y\"\n\nz");
    rig_open(&rig, &DRIVER, clock, NULL);
    rig_write(&rig, &a, 1);
    rig_write(&rig, &b, 1);
    rig_close(&rig);
    char *whole = slurp(LIVE, &len);
    for (size_t cut = 0; cut < len; cut++) {
        put_file(LIVE, "w", whole, cut);
        rig_open(&rig, &DRIVER, clock, NULL);
        rig_write(&rig, &a, 1);
        rig_write(&rig, &b, 1);
        assert_file(LIVE, whole);
        rig_close(&rig);
    }
    free(whole);
    crier_record_unref(a);
    crier_record_unref(b);
    maker_fini(&m);
    crier_clock_free(clock);
}

/* A stray quote and lines by another hand: what stands around them is read, and nothing is cut. */
static void test_garbage_is_skipped_and_told(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_err err = {0};
    struct maker m;
    struct rig rig;
    size_t count;
    maker_init(&m, 5);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "one");
    char *first = slurp(LIVE, NULL);
    write_log(&rig, &m, START, "two");
    char *both = slurp(LIVE, NULL);
    put_file(LIVE, "w", first, strlen(first));
    put_file(LIVE, "a", "a stray \" quote\r\nx,y\r\n", 22);
    put_file(LIVE, "a", both + strlen(first), strlen(both + strlen(first)));
    free(first);
    free(both);
    rig_close(&rig);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "three");
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 3);
    assert_non_null(strstr(err.text, "2 lines skipped, no record: "));
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

/* A header by another hand: a name of a million parts is one name, and the rows are read. */
static void test_deep_names(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_err err = {0};
    struct crier_buf text = {0};
    struct rig rig;
    size_t count;
    crier_buf_puts(&text, "id,time,kind,level,");
    for (int i = 0; i < 1000000; i++)
        crier_buf_puts(&text, "a.");
    crier_buf_puts(&text, "b,c.d\r\n01KAJ9S3M0000000000000000A,2022-05-23T16:28:15.000000Z,log,info,1,2\r\n");
    put_file(LIVE, "w", text.data, text.len);
    rig_open(&rig, &DRIVER, clock, NULL);
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 1);
    char scratch[32];
    struct crier_value v;
    assert_true(crier_record_get(hits[0], "c.d", &v, scratch));
    assert_int_equal(v.i, 2);
    crier_record_unref(hits[0]);
    free(hits);
    rig_close(&rig);
    crier_buf_fini(&text);
    crier_clock_free(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINE_CASES,
        LINE_CASE(test_golden_cells),
        LINE_CASE(test_header_of_messages),
        LINE_CASE(test_models),
        LINE_CASE(test_columns_change),
        LINE_CASE(test_torn_tails),
        LINE_CASE(test_garbage_is_skipped_and_told),
        LINE_CASE(test_deep_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
