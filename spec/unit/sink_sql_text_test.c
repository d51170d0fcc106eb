/* SPDX-License-Identifier: MIT
 *
 * The sql sink without a database: connection strings, what diagnostics mean, and the statements
 * for SQL Server, of which there is none here. `sink_sql_text_test --dump` prints those, each with
 * a line GO behind it, for parsers (spec/tsql_spec.lua).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sink/sql.h"

/* ---- connection strings ---- */

static struct crier_sql_dsn dsn;
static struct crier_err err;

static int read_dsn(const char *text, const char *user, const char *password)
{
    err = (struct crier_err){0};
    return crier_sql_dsn_read(&dsn, text, user, password, "/srv/bot", false, &err);
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("no '%s' in: %s", what, text);
}

static void test_dsn_sqlite(void **state)
{
    (void)state;
    assert_int_equal(read_dsn("Driver=SQLite3;Database=log/x.db", NULL, NULL), 0);
    has(dsn.text, "Database=/srv/bot/log/x.db;");
    has(dsn.text, "JournalMode=WAL;");
    has(dsn.text, "FKSupport=1;");
    assert_true(dsn.local);
    crier_sql_dsn_fini(&dsn);
    assert_int_equal(
        read_dsn("driver = {SQLite3} ; database=:memory:;journalmode=DELETE", NULL, NULL), 0);
    has(dsn.text, "database=:memory:;");
    has(dsn.text, "journalmode=DELETE;");
    assert_null(strstr(dsn.text, "WAL"));
    crier_sql_dsn_fini(&dsn);
}

static void test_dsn_password(void **state)
{
    (void)state;
    char text[64] = "login of pa;ss}w failed, pa;ss}w again";
    assert_int_equal(
        read_dsn("Driver={PostgreSQL Unicode};Server=db.example;Port=5433;Database=bot", "me",
                 "pa;ss}w"),
        0);
    has(dsn.text, "UID=me;");
    has(dsn.text, "PWD={pa;ss}}w};");
    has(dsn.text, "Protocol=7.4-0;");
    assert_string_equal(dsn.shown, "PostgreSQL Unicode, db.example:5433, bot");
    assert_false(dsn.local);
    crier_sql_hide(&dsn, text);
    assert_string_equal(text, "login of ***** failed, ***** again");
    crier_sql_dsn_fini(&dsn);
    /* In braces, as it stands in a string. */
    assert_int_equal(read_dsn("Driver=FreeTDS;Server=::1;PWD={a}};b};Database=x", NULL, NULL), 0);
    assert_string_equal(dsn.password, "a};b");
    assert_true(dsn.local);
    has(dsn.text, "ClientCharset=UTF-8;");
    crier_sql_dsn_fini(&dsn);
    char shorter[] = "pw ab";
    assert_int_equal(read_dsn("Driver=FreeTDS;Server=x;PWD=ab", NULL, NULL), 0);
    crier_sql_hide(&dsn, shorter);
    assert_null(strstr(shorter, "ab"));
    crier_sql_dsn_fini(&dsn);
}

static void test_dsn_wrong(void **state)
{
    (void)state;
    assert_int_equal(read_dsn("Driver=No Such;PWD=secret", NULL, NULL), CRIER_ECONFIG);
    has(err.text, "ODBC driver 'No Such' is not installed; installed are: ");
    assert_null(strstr(err.text, "secret"));
    crier_sql_dsn_fini(&dsn);
    assert_int_equal(read_dsn("no_such_source", NULL, NULL), CRIER_ECONFIG);
    has(err.text, "there is no ODBC data source 'no_such_source' in odbc.ini");
    crier_sql_dsn_fini(&dsn);
    assert_int_equal(read_dsn("Driver=/no/such/file.so;Server=x", NULL, NULL), CRIER_ECONFIG);
    crier_sql_dsn_fini(&dsn);
    assert_int_equal(read_dsn("Server=x", NULL, NULL), CRIER_ECONFIG);
    crier_sql_dsn_fini(&dsn);
    assert_int_equal(read_dsn("Driver=SQLite3;what", NULL, NULL), CRIER_ECONFIG);
    crier_sql_dsn_fini(&dsn);
}

/* ---- what a diagnostic means ---- */

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        enum crier_sql_engine engine;
        const char *state;
        int native;
        const char *text;
        enum crier_sql_fault want;
    } cases[] = {
        {CRIER_SQL_POSTGRESQL, "08S01", 35, "server closed", CRIER_SQL_LOST},
        {CRIER_SQL_POSTGRESQL, "08001", 101, "FATAL:  password authentication failed",
         CRIER_SQL_DENIED},
        {CRIER_SQL_POSTGRESQL, "08001", 101, "FATAL:  database \"x\" does not exist",
         CRIER_SQL_DENIED},
        {CRIER_SQL_POSTGRESQL, "57P01", 7, "terminating connection", CRIER_SQL_LOST},
        {CRIER_SQL_POSTGRESQL, "40P01", 7, "deadlock detected", CRIER_SQL_AGAIN},
        {CRIER_SQL_POSTGRESQL, "40001", 7, "could not serialize", CRIER_SQL_AGAIN},
        {CRIER_SQL_POSTGRESQL, "42P01", 7, "relation does not exist", CRIER_SQL_SCHEMA},
        {CRIER_SQL_POSTGRESQL, "42501", 7, "permission denied", CRIER_SQL_DENIED},
        {CRIER_SQL_POSTGRESQL, "28P01", 7, "password", CRIER_SQL_DENIED},
        {CRIER_SQL_POSTGRESQL, "23503", 7, "foreign key", CRIER_SQL_STALE},
        {CRIER_SQL_POSTGRESQL, "23502", 7, "null value", CRIER_SQL_STALE},
        {CRIER_SQL_POSTGRESQL, "23514", 7, "check", CRIER_SQL_RECORD},
        {CRIER_SQL_POSTGRESQL, "22021", 7, "invalid byte sequence", CRIER_SQL_RECORD},
        {CRIER_SQL_POSTGRESQL, "53100", 7, "disk full", CRIER_SQL_LATER},
        {CRIER_SQL_POSTGRESQL, "25006", 7, "read-only", CRIER_SQL_LATER},
        {CRIER_SQL_MARIADB, "HY000", 2006, "gone away", CRIER_SQL_LOST},
        {CRIER_SQL_MARIADB, "HY000", 1205, "lock wait", CRIER_SQL_AGAIN},
        {CRIER_SQL_MARIADB, "40001", 1213, "deadlock", CRIER_SQL_AGAIN},
        {CRIER_SQL_MARIADB, "28000", 1045, "denied", CRIER_SQL_DENIED},
        {CRIER_SQL_MARIADB, "42000", 1142, "denied", CRIER_SQL_DENIED},
        {CRIER_SQL_MARIADB, "23000", 1452, "foreign key", CRIER_SQL_STALE},
        {CRIER_SQL_MARIADB, "22001", 1406, "too long", CRIER_SQL_RECORD},
        {CRIER_SQL_MARIADB, "42S02", 1146, "no table", CRIER_SQL_SCHEMA},
        {CRIER_SQL_MARIADB, "HY000", 1021, "disk full", CRIER_SQL_LATER},
        {CRIER_SQL_SQLSERVER, "42000", 1205, "deadlocked", CRIER_SQL_AGAIN},
        {CRIER_SQL_SQLSERVER, "42S02", 208, "invalid object", CRIER_SQL_SCHEMA},
        {CRIER_SQL_SQLSERVER, "42000", 2812, "no procedure", CRIER_SQL_SCHEMA},
        {CRIER_SQL_SQLSERVER, "23000", 547, "conflicted", CRIER_SQL_STALE},
        {CRIER_SQL_SQLSERVER, "28000", 18456, "login failed", CRIER_SQL_DENIED},
        {CRIER_SQL_SQLSERVER, "08001", 20009, "unable to connect", CRIER_SQL_LOST},
        {CRIER_SQL_SQLSERVER, "22001", 8152, "truncated", CRIER_SQL_RECORD},
        {CRIER_SQL_SQLSERVER, "42000", 2628, "truncated", CRIER_SQL_RECORD},
        {CRIER_SQL_SQLSERVER, "42000", 1946, "index entry", CRIER_SQL_RECORD},
        {CRIER_SQL_SQLITE, "HY000", 1, "no such table: x", CRIER_SQL_SCHEMA},
        {CRIER_SQL_SQLITE, "HY000", 5, "database is locked", CRIER_SQL_LATER},
        {CRIER_SQL_SQLITE, "HY000", 13, "database or disk is full", CRIER_SQL_LATER},
        {CRIER_SQL_SQLITE, "HY000", 19, "FOREIGN KEY constraint failed", CRIER_SQL_STALE},
        {CRIER_SQL_SQLITE, "HY000", 18, "string or blob too big", CRIER_SQL_RECORD},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        enum crier_sql_fault got =
            crier_sql_fault_of(cases[i].engine, cases[i].state, cases[i].native, cases[i].text);
        if (got != cases[i].want)
            fail_msg("%s %d %s: %d", cases[i].state, cases[i].native, cases[i].text, (int)got);
    }
}

/* ---- T-SQL ---- */

static void add(void *arg, const char *text)
{
    struct crier_buf *b = arg;
    crier_buf_puts(b, text);
    crier_buf_puts(b, "\nGO\n");
}

static void where(struct crier_buf *b, const struct crier_sql_dialect *d)
{
    struct crier_value fetch = {.type = CRIER_STR, .s = {"fetch", 5}};
    struct crier_value ids[2] = {{.type = CRIER_INT, .i = 863071397207212052},
                                 {.type = CRIER_STR, .s = {"1", 1}}};
    struct crier_value time = {.type = CRIER_TIME, .i = 1653323295123456};
    struct crier_value level = {.type = CRIER_STR, .s = {"warning", 7}};
    struct crier_value like = {.type = CRIER_STR, .s = {"403%", 4}},
                       n = {.type = CRIER_NUM, .n = 0.5};
    struct crier_err fault = {0};
    struct crier_query *q = crier_query_new(NULL);
    int rc = crier_query_add(q, "time", CRIER_OP_GE, &time, 1, &fault);
    rc |= crier_query_add(q, "level", CRIER_OP_GE, &level, 1, &fault);
    rc |= crier_query_open(q, CRIER_OP_ANY, &fault);
    rc |= crier_query_add(q, "task_name", CRIER_OP_EQ, &fetch, 1, &fault);
    rc |= crier_query_add(q, "guild.id", CRIER_OP_ONE_OF, ids, 2, &fault);
    rc |= crier_query_add(q, "node", CRIER_OP_LIKE, &like, 1, &fault);
    rc |= crier_query_add(q, "success_rate", CRIER_OP_LT, &n, 1, &fault);
    crier_query_close(q);
    assert_int_equal(rc, 0);
    for (int p = 0; p < CRIER_SQL_PLACES; p++) {
        struct crier_sql_where w;
        struct crier_buf text = {0};
        crier_sql_where_make(&w, d, (enum crier_sql_place)p, q, false);
        assert_false(w.none);
        assert_true(w.text.len > 0);
        crier_buf_printf(&text, "SELECT l.record_id FROM %s l WHERE %s ORDER BY l.id",
                         crier_sql_place_table((enum crier_sql_place)p)->name, w.text.data);
        add(b, text.data);
        crier_buf_fini(&text);
        crier_sql_where_fini(&w);
    }
    crier_query_free(q);
}

static char *statements(const struct crier_sql_dialect *d)
{
    struct crier_buf b = {0}, text = {0};
    crier_sql_schema_ddl(d, add, &b);
    for (size_t i = 0; i < CRIER_SQL_TABLES; i++) {
        crier_buf_clear(&text);
        crier_sql_insert_text(d, &crier_sql_tables[i], 2, &text);
        add(&b, text.data);
    }
    where(&b, d);
    crier_buf_fini(&text);
    return crier_buf_take(&b);
}

static void test_sqlserver(void **state)
{
    (void)state;
    char *text = statements(&crier_sql_dialects[CRIER_SQL_SQLSERVER]);
    has(text,
        "IF OBJECT_ID(N'MessageLOG', N'U') IS NULL BEGIN CREATE TABLE MessageLOG (id BIGINT "
        "IDENTITY(1, 1) NOT NULL PRIMARY KEY, sent_data BIGINT NOT NULL, message_type INT NOT "
        "NULL, guild_id BIGINT NOT NULL, message_mode INT NULL, dm_reason NVARCHAR(MAX) NULL, "
        "timestamp DATETIME2(6) NOT NULL, record_id CHAR(26) NOT NULL UNIQUE, node "
        "NVARCHAR(255) COLLATE Latin1_General_BIN2 NOT NULL, record NVARCHAR(MAX) NOT NULL, "
        "FOREIGN KEY (sent_data) REFERENCES DataHISTORY (id), ");
    has(text, "[end] DATETIME2(6) NULL");
    has(text, "is_error BIT NOT NULL DEFAULT 0");
    has(text,
        "CREATE TYPE t_tmp_channel_log AS TABLE (id BIGINT NOT NULL, reason NVARCHAR(MAX) NULL)");
    has(text, "@channels t_tmp_channel_log READONLY");
    has(text, "MERGE INTO DataHISTORY WITH (HOLDLOCK) AS t USING (VALUES (?, ?), (?, ?)) AS v "
              "(content, content_hash) ON t.content_hash = v.content_hash WHEN NOT MATCHED THEN "
              "INSERT (content, content_hash) VALUES (v.content, v.content_hash);");
    has(text, "WHEN MATCHED THEN UPDATE SET when_started = v.when_started, ");
    has(text, "l.timestamp >= CONVERT(DATETIME2(6), ?, 121)");
    has(text, "l.guild_id IN (SELECT g.id FROM GuildUSER g WHERE g.snowflake_id IN (?, ?))");
    has(text, "l.level IN ('warning', 'error', 'critical')");
    assert_null(strstr(text, "LIMIT"));
    assert_null(strstr(text, "IF NOT EXISTS task"));
    free(text);
    /* 2,100 marks a statement at most. */
    const struct crier_sql_dialect *d = &crier_sql_dialects[CRIER_SQL_SQLSERVER];
    assert_int_equal(d->max_params, 2100);
    for (size_t i = 0; i < CRIER_SQL_TABLES; i++)
        assert_true(crier_sql_tables[i].count < 32);
}

static void test_identifiers(void **state)
{
    (void)state;
    static const char *const names[] = {"task_log", "end", "My \"table\"", "a`b", "x]y"};
    static const char *const want[4][5] = {
        {"task_log", "\"end\"", "\"My \"\"table\"\"\"", "\"a`b\"", "\"x]y\""},
        {"task_log", "\"end\"", "\"My \"\"table\"\"\"", "\"a`b\"", "\"x]y\""},
        {"task_log", "`end`", "`My \"table\"`", "`a``b`", "`x]y`"},
        {"task_log", "[end]", "[My \"table\"]", "[a`b]", "[x]]y]"},
    };
    for (int d = 0; d < 4; d++) {
        for (int i = 0; i < 5; i++) {
            struct crier_buf b = {0};
            crier_sql_put_name(&crier_sql_dialects[d], &b, names[i]);
            assert_string_equal(b.data, want[d][i]);
            crier_buf_fini(&b);
        }
    }
    /* PostgreSQL folds what stands without quotes, so the tables must. */
    char *text = statements(&crier_sql_dialects[CRIER_SQL_POSTGRESQL]);
    assert_null(strstr(text, "\"MessageLOG\""));
    has(text, "CREATE TABLE IF NOT EXISTS MessageLOG (");
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dsn_sqlite), cmocka_unit_test(test_dsn_password),
        cmocka_unit_test(test_dsn_wrong),  cmocka_unit_test(test_faults),
        cmocka_unit_test(test_sqlserver),  cmocka_unit_test(test_identifiers),
    };
    if (argc > 1 && strcmp(argv[1], "--dump") == 0) {
        char *text = statements(&crier_sql_dialects[CRIER_SQL_SQLSERVER]);
        fputs(text, stdout);
        free(text);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
