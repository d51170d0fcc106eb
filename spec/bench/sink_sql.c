/* SPDX-License-Identifier: MIT
 *
 * The sql sink's driver, without queue and thread: message records with one channel each, contents
 * 1 in 8 distinct. Beside it a bare ODBC loop that inserts the same rows row by row, with prepared
 * statements in transactions of 1,000.
 *
 *     sink_sql NAME DSN [ROWS]      an empty database each: DSN may hold %s, for "sink" and "bare"
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "record/build.h"
#include "sink/registry.h"
#include "sink/sql.h"

enum { BATCH = 1024, BARE = 1000, HITS = 5000, FILTERED = 1000000 };

static struct crier_sink_env env;
static struct crier_builder b;

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static struct crier_record *message(int i)
{
    char text[64];
    crier_build_begin(&b, CRIER_KIND_MESSAGE, CRIER_INFO, crier_clock_wall(env.clock));
    crier_build_logger(&b, "message.gallery", 15);
    crier_build_text(&b, "gallery #sp edited", 18);
    crier_build_where(&b, "bot.lua:14", 10);
    crier_build_ok(&b, true);
    CRIER_B_STR(&b, "name", "gallery");
    CRIER_B_STR(&b, "type", "TextMESSAGE");
    CRIER_B_STR(&b, "mode", "edit");
    CRIER_B_OPEN(&b, "guild", CRIER_OBJECT);
    CRIER_B_STR(&b, "name", "David's dungeon");
    CRIER_B_SNOWFLAKE(&b, "id", 863071397207212052u);
    CRIER_B_STR(&b, "type", "GUILD");
    crier_build_close(&b);
    CRIER_B_OPEN(&b, "sent_data", CRIER_OBJECT);
    snprintf(text, sizeof text, "https://i.imgflip.com/%08d.gif", i / 8);
    CRIER_B_STR(&b, "text", text);
    crier_build_close(&b);
    CRIER_B_OPEN(&b, "channels", CRIER_OBJECT);
    CRIER_B_OPEN(&b, "successful", CRIER_ARRAY);
    crier_build_open(&b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(&b, "name", "sp");
    CRIER_B_SNOWFLAKE(&b, "id", 978332728615378984u);
    crier_build_close(&b);
    crier_build_close(&b);
    CRIER_B_OPEN(&b, "failed", CRIER_ARRAY);
    crier_build_close(&b);
    crier_build_close(&b);
    CRIER_B_NUM(&b, "success_rate", 1.0);
    CRIER_B_NUM(&b, "runtime", 0.21);
    CRIER_B_INT(&b, "requests", 1);
    return crier_build_end(&b);
}

static struct crier_record *run_of_task(int i)
{
    char name[32];
    crier_build_begin(&b, CRIER_KIND_TASK, CRIER_INFO, crier_clock_wall(env.clock));
    crier_build_logger(&b, "task", 4);
    crier_build_text(&b, "Task status", 11);
    snprintf(name, sizeof name, "task-%d", i % (FILTERED / HITS / 2));
    CRIER_B_STR(&b, "task_name", name);
    if (i / (FILTERED / HITS / 2) % 2)
        CRIER_B_STR(&b, "action", "run");
    else
        CRIER_B_STR(&b, "action", "success");
    CRIER_B_NUM(&b, "runtime", 0.5);
    return crier_build_end(&b);
}

static double seconds_since(int64_t start)
{
    return (double)(crier_clock_mono(env.clock) - start) / 1e6;
}

static void *open_sink(const char *dsn, struct crier_options *options)
{
    struct crier_err err = {0};
    void *self;
    crier_options_init(options, crier_sink_sql.options, crier_sink_sql.option_count);
    struct crier_option_value *v = (void *)crier_options_get(options, "dsn");
    free(v->s);
    v->s = crier_strdup(dsn);
    if (crier_sink_sql.open(&env, options, "bench", &self, &err))
        die(err.text);
    return self;
}

static double write_all(void *self, int count, struct crier_record *(*make)(int i))
{
    struct crier_record *batch[BATCH];
    double took = 0;
    for (int at = 0; at < count; at += BATCH) {
        int n = count - at < BATCH ? count - at : BATCH;
        struct crier_err err = {0};
        size_t done;
        for (int i = 0; i < n; i++)
            batch[i] = make(at + i);
        int64_t start = crier_clock_mono(env.clock);
        if (crier_sink_sql.write(self, batch, (size_t)n, &done, &err))
            die(err.text);
        took += seconds_since(start);
        for (int i = 0; i < n; i++)
            crier_record_unref(batch[i]);
    }
    return took;
}

/* ---- the bare loop ---- */

static SQLHSTMT prepare(struct crier_sql_conn *conn, enum crier_sql_table_id id)
{
    struct crier_sql_table t = crier_sql_tables[id];
    struct crier_buf text = {0};
    struct crier_err err = {0};
    SQLHSTMT stmt;
    t.key = NULL;
    crier_sql_insert_text(conn->dialect, &t, 1, &text);
    if (crier_sql_prepare(conn, text.data, &stmt, &err))
        die(err.text);
    crier_buf_fini(&text);
    return stmt;
}

static void run(struct crier_sql_conn *conn, SQLHSTMT stmt, struct crier_sql_cell *cells, size_t n)
{
    struct crier_err err = {0};
    if (crier_sql_run(conn, stmt, cells, n, &err))
        die(err.text);
    crier_sql_end(stmt);
}

/* The same rows: what the sink makes of the records is made before the clock starts. */
static double bare(const char *dsn, int count)
{
    struct crier_sql_conn conn = {.timeout = 10 * CRIER_S};
    struct crier_sql_rows rows = {0};
    struct crier_err err = {0};
    struct crier_options options;
    struct crier_record **records = crier_malloc((size_t)count * sizeof *records);
    double took = 0;
    void *self = open_sink(dsn, &options); /* makes the tables, guild, channel */
    struct crier_record *first = message(0);
    size_t done;
    crier_sink_sql.write(self, &first, 1, &done, &err);
    crier_record_unref(first);
    crier_sink_sql.close(self);
    crier_options_fini(&options);
    if (crier_sql_dsn_read(&conn.dsn, dsn, NULL, NULL, env.folder, false, &err) ||
        crier_sql_connect(&conn, &err))
        die(err.text);
    for (int i = 0; i < count; i++)
        records[i] = message(i + 8);
    crier_sql_rows_make(&rows, conn.dialect, records, (size_t)count);
    SQLHSTMT log = prepare(&conn, CRIER_SQL_T_MESSAGE_LOG);
    SQLHSTMT data = prepare(&conn, CRIER_SQL_T_DATA_HISTORY);
    SQLHSTMT channel = prepare(&conn, CRIER_SQL_T_MESSAGE_CHANNEL_LOG);
    int64_t start = crier_clock_mono(env.clock);
    for (int i = 0; i < count; i++) {
        const struct crier_sql_row *r = &rows.rows[i];
        struct crier_str node = crier_record_node(r->record);
        if (i % BARE == 0 && crier_sql_begin(&conn, &err))
            die(err.text);
        if (i % 8 == 0)
            run(&conn, data,
                (struct crier_sql_cell[]){
                    CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, r->content),
                    CRIER_SQL_CELL_STR(CRIER_SQL_HASH, ((struct crier_str){r->hash, 64}))},
                2);
        run(&conn, log,
            (struct crier_sql_cell[]){
                CRIER_SQL_CELL_INT(CRIER_SQL_BIG, i / 8 + 2), CRIER_SQL_CELL_INT(CRIER_SQL_INT, 1),
                CRIER_SQL_CELL_INT(CRIER_SQL_BIG, 1), CRIER_SQL_CELL_INT(CRIER_SQL_INT, 2),
                CRIER_SQL_CELL_NULL(CRIER_SQL_TEXT),
                CRIER_SQL_CELL_STR(CRIER_SQL_TIME, ((struct crier_str){r->time, strlen(r->time)})),
                CRIER_SQL_CELL_STR(CRIER_SQL_ID, ((struct crier_str){r->id, 26})),
                CRIER_SQL_CELL_STR(CRIER_SQL_NAME, node),
                CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, r->rest)},
            9);
        run(&conn, channel,
            (struct crier_sql_cell[]){CRIER_SQL_CELL_INT(CRIER_SQL_BIG, i + 2),
                                      CRIER_SQL_CELL_INT(CRIER_SQL_BIG, 1),
                                      CRIER_SQL_CELL_NULL(CRIER_SQL_TEXT)},
            3);
        if ((i % BARE == BARE - 1 || i == count - 1) && crier_sql_commit(&conn, &err))
            die(err.text);
    }
    took = seconds_since(start);
    crier_sql_disconnect(&conn);
    crier_sql_dsn_fini(&conn.dsn);
    crier_sql_rows_fini(&rows);
    for (int i = 0; i < count; i++)
        crier_record_unref(records[i]);
    free(records);
    return took;
}

/* ---- the filter ---- */

static void filter(const char *name, void *self)
{
    struct crier_value task = {.type = CRIER_STR, .s = {"task-7", 6}};
    struct crier_value action = {.type = CRIER_STR, .s = {"run", 3}};
    struct crier_value kind = {.type = CRIER_STR, .s = {"task", 4}};
    double best = 1e9;
    write_all(self, FILTERED, run_of_task);
    for (int i = 0; i < 5; i++) {
        struct crier_query *q = crier_query_new(NULL);
        struct crier_record **hits;
        struct crier_err err = {0};
        size_t n;
        if (crier_query_add(q, "kind", CRIER_OP_EQ, &kind, 1, &err) ||
            crier_query_add(q, "task_name", CRIER_OP_EQ, &task, 1, &err) ||
            crier_query_add(q, "action", CRIER_OP_EQ, &action, 1, &err))
            die(err.text);
        int64_t start = crier_clock_mono(env.clock);
        if (crier_sink_sql.query(self, q, &hits, &n, &err) || n != HITS)
            die(err.code ? err.text : "the filter gives another number of hits");
        double took = seconds_since(start);
        best = took < best ? took : best;
        for (size_t k = 0; k < n; k++)
            crier_record_unref(hits[k]);
        free(hits);
        crier_query_free(q);
    }
    printf("sql_%s_filter\t%.3g\tms\n", name, best * 1e3);
}

int main(int argc, char **argv)
{
    struct crier_source source;
    struct crier_options options;
    char dsn[512];
    if (argc < 3)
        die("usage: sink_sql NAME DSN [ROWS]");
    int rows = argc > 3 ? atoi(argv[3]) : 200000;
    env.clock = crier_clock_real();
    env.folder = ".";
    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(dsn, sizeof dsn, argv[2], "bare");
    double took = bare(dsn, rows / 4);
    fprintf(stderr, "# bare ODBC: %.3g\n", rows / 4 / took);
    printf("sql_%s_bare\t%.3g\trecords/s\tpeer\n", argv[1], rows / 4 / took);
    snprintf(dsn, sizeof dsn, argv[2], "sink");
    void *self = open_sink(dsn, &options);
    took = write_all(self, rows, message);
    printf("sql_%s_write\t%.3g\trecords/s\n", argv[1], rows / took);
    if (strcmp(argv[1], "sqlite") == 0)
        filter(argv[1], self);
    crier_sink_sql.close(self);
    crier_options_fini(&options);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    return 0;
}
