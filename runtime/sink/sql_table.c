/* SPDX-License-Identifier: MIT
 *
 * A plain table of task runs, as other schedulers keep one: a row an action. Without a column for
 * the record's id (id_field is one of the model's own), a row that is there already is known by its
 * time, task and action.
 */
#include "sink/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sink/task_model.h"

enum { MODEL_MAX = 24 };

struct crier_sql_model {
    size_t count; /* of crier_task_columns */
};

const struct crier_sql_model *crier_sql_model_find(const char *name)
{
    static const struct crier_sql_model models[] = {
        {CRIER_TASK_MINIMAL}, {CRIER_TASK_LOG}, {CRIER_TASK_COLUMNS}};
    size_t count = crier_task_model(name);
    for (size_t i = 0; i < CRIER_COUNT(models); i++)
        if (models[i].count == count)
            return &models[i];
    return NULL;
}

/* The model's n-th column as one of a table. */
static struct crier_sql_column column_of(size_t n)
{
    static const enum crier_sql_type types[] = {[CRIER_TASK_NAME] = CRIER_SQL_NAME,
                                                [CRIER_TASK_TEXT] = CRIER_SQL_TEXT,
                                                [CRIER_TASK_REAL] = CRIER_SQL_REAL,
                                                [CRIER_TASK_INT] = CRIER_SQL_INT};
    const struct crier_task_column *c = &crier_task_columns[n];
    return (struct crier_sql_column){c->name, types[c->type],
                                     n < CRIER_TASK_MINIMAL ? "NOT NULL" : NULL};
}

/* Whether the record's id has a column of its own. */
static bool has_id(const struct crier_sql *s)
{
    for (size_t i = 0; i < s->model->count; i++)
        if (strcmp(crier_task_columns[i].name, s->id_field) == 0)
            return false;
    return true;
}

/* The table as one of the schema's. */
static size_t all_columns(const struct crier_sql *s, struct crier_sql_column out[MODEL_MAX])
{
    size_t n = 0;
    if (has_id(s))
        out[n++] = (struct crier_sql_column){s->id_field, CRIER_SQL_ID, "NOT NULL PRIMARY KEY"};
    for (size_t i = 0; i < s->model->count; i++)
        out[n++] = column_of(i);
    return n;
}

struct making {
    struct crier_sql *s;
    enum crier_sql_fault fault;
    struct crier_err *err;
};

static void make_one(void *arg, const char *text)
{
    struct making *m = arg;
    if (m->fault == CRIER_SQL_OK)
        m->fault = crier_sql_exec(&m->s->conn, text, m->err);
}

static enum crier_sql_fault is_there(struct crier_sql *s, bool *there, struct crier_err *err)
{
    const struct crier_sql_dialect *d = s->conn.dialect;
    struct crier_buf name = {0};
    int64_t n = 0;
    bool more = false;
    SQLHSTMT stmt = NULL;
    crier_buf_puts(&name, s->table);
    for (char *c = name.data; d->engine == CRIER_SQL_POSTGRESQL && *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    struct crier_sql_cell cell =
        CRIER_SQL_CELL_STR(CRIER_SQL_NAME, ((struct crier_str){name.data, name.len}));
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, d->exists, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, &cell, 1, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
    if (fault == CRIER_SQL_OK && more)
        fault = crier_sql_int(&s->conn, stmt, 1, &n, err);
    crier_sql_free(&s->conn, &stmt);
    crier_buf_fini(&name);
    *there = n > 0;
    return fault;
}

enum crier_sql_fault crier_sql_table_make(struct crier_sql *s, struct crier_err *err)
{
    struct crier_sql_column list[MODEL_MAX];
    struct crier_sql_table table = {.name = s->table, .columns = list};
    struct making m = {.s = s, .err = err};
    bool there;
    m.fault = is_there(s, &there, err);
    if (m.fault != CRIER_SQL_OK || there || s->read_only)
        return m.fault;
    if (!s->create) {
        crier_err_set(err, CRIER_ENOTFOUND,
                      "%s: there is no table '%s', and if_missing is \"error\": make the table, or "
                      "let if_missing = \"create\" do it",
                      s->conn.dsn.shown, s->table);
        return CRIER_SQL_DENIED;
    }
    table.count = all_columns(s, list);
    m.fault = crier_sql_begin(&s->conn, err);
    if (m.fault == CRIER_SQL_OK)
        crier_sql_table_ddl(s->conn.dialect, &table, make_one, &m);
    if (m.fault == CRIER_SQL_OK)
        return crier_sql_commit(&s->conn, err);
    crier_sql_rollback(&s->conn);
    return m.fault;
}

/* ---- writing ---- */

/* INSERT ... SELECT the values WHERE there is no such row. */
static void insert_text(struct crier_sql *s, unsigned key, struct crier_buf *b)
{
    const struct crier_sql_dialect *d = s->conn.dialect;
    struct crier_sql_column list[MODEL_MAX];
    size_t n = all_columns(s, list);
    (void)key;
    crier_buf_puts(b, "INSERT INTO ");
    crier_sql_put_name(d, b, s->table);
    for (size_t i = 0; i < n; i++) {
        crier_buf_puts(b, i ? ", " : " (");
        crier_sql_put_name(d, b, list[i].name);
    }
    crier_buf_puts(b, ") SELECT ");
    for (size_t i = 0; i < n; i++)
        crier_buf_printf(b, "%s%s", i ? ", " : "", d->marks[list[i].type]);
    crier_buf_printf(b, "%s WHERE NOT EXISTS (SELECT 1 FROM ",
                     d->engine == CRIER_SQL_MARIADB ? " FROM DUAL" : "");
    crier_sql_put_name(d, b, s->table);
    crier_buf_puts(b, " x WHERE ");
    for (size_t i = 0; i < (has_id(s) ? 1 : 3); i++) {
        crier_buf_puts(b, i ? " AND x." : "x.");
        crier_sql_put_name(d, b, list[i].name);
        crier_buf_printf(b, " = %s", d->marks[list[i].type]);
    }
    crier_buf_putc(b, ')');
}

static struct crier_sql_cell text_cell(struct crier_sql *s, enum crier_sql_type type,
                                       struct crier_str text)
{
    return CRIER_SQL_CELL_STR(type, crier_sql_plain(s->rows.text, text));
}

static struct crier_sql_cell real_cell(double n)
{
    return (struct crier_sql_cell){.type = CRIER_SQL_REAL, .n = n};
}

/* The file or the line of "bot.lua:14". */
static struct crier_sql_cell where_cell(struct crier_sql *s, const struct crier_record *record,
                                        bool line)
{
    struct crier_str where = crier_record_where(record);
    const char *colon = where.len ? memrchr(where.data, ':', where.len) : NULL;
    if (!colon)
        return CRIER_SQL_CELL_NULL(line ? CRIER_SQL_INT : CRIER_SQL_TEXT);
    if (line)
        return CRIER_SQL_CELL_INT(CRIER_SQL_INT, atol(colon + 1));
    return text_cell(s, CRIER_SQL_TEXT,
                     (struct crier_str){where.data, (size_t)(colon - where.data)});
}

static struct crier_sql_cell cell_of(struct crier_sql *s, const struct crier_record *record,
                                     const struct crier_sql_column *column)
{
    const char *name = column->name;
    struct crier_value v;
    char scratch[32];
    if (strcmp(name, "created") == 0)
        return real_cell((double)crier_record_time(record) / 1e6);
    if (strcmp(name, "name") == 0)
        return text_cell(s, CRIER_SQL_TEXT, crier_record_logger(record));
    if (strcmp(name, "msg") == 0 || strcmp(name, "message") == 0)
        return text_cell(s, CRIER_SQL_TEXT, crier_record_text(record));
    if (strcmp(name, "levelno") == 0)
        return CRIER_SQL_CELL_INT(CRIER_SQL_INT, crier_record_level(record));
    if (strcmp(name, "levelname") == 0) {
        char *upper = g_ascii_strup(crier_level_name(crier_record_level(record)), -1);
        const char *kept = g_string_chunk_insert_const(s->rows.text, upper);
        g_free(upper);
        return CRIER_SQL_CELL_STR(CRIER_SQL_NAME, ((struct crier_str){kept, strlen(kept)}));
    }
    if (strcmp(name, "pathname") == 0 || strcmp(name, "lineno") == 0)
        return where_cell(s, record, *name == 'l');
    if (strcmp(name, "processName") == 0)
        return text_cell(s, CRIER_SQL_TEXT, crier_record_node(record));
    if (!crier_record_get(record, name, &v, scratch))
        return CRIER_SQL_CELL_NULL(column->type);
    if (v.type == CRIER_TIME && column->type == CRIER_SQL_REAL)
        return real_cell((double)v.i / 1e6);
    if ((v.type == CRIER_NUM || v.type == CRIER_INT) && column->type == CRIER_SQL_REAL)
        return real_cell(v.type == CRIER_NUM ? v.n : (double)v.i);
    if (v.type == CRIER_STR && column->type != CRIER_SQL_REAL)
        return text_cell(s, column->type, v.s);
    return CRIER_SQL_CELL_NULL(column->type);
}

static enum crier_sql_fault store_one(struct crier_sql *s, struct crier_record *record,
                                      struct crier_err *err)
{
    struct crier_sql_column list[MODEL_MAX];
    struct crier_sql_cell cells[MODEL_MAX + 3];
    size_t n = all_columns(s, list), own = has_id(s);
    char id[27];
    SQLHSTMT stmt;
    crier_record_id(record, id);
    if (own)
        cells[0] = CRIER_SQL_CELL_STR(CRIER_SQL_ID, ((struct crier_str){id, 26}));
    for (size_t i = own; i < n; i++)
        cells[i] = cell_of(s, record, &list[i]);
    for (size_t i = 0; i < (own ? 1 : 3); i++)
        cells[n + i] = cells[i];
    if (crier_record_kind(record) != CRIER_KIND_TASK || cells[own].null || cells[own + 1].null) {
        crier_err_set(err, CRIER_EINVAL,
                      "table '%s' takes runs of tasks only: give the sink kinds = \"task\"",
                      s->table);
        return CRIER_SQL_RECORD;
    }
    enum crier_sql_fault fault = crier_sql_statement(s, 4u << 16, insert_text, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, cells, n + (own ? 1 : 3), err);
    if (fault == CRIER_SQL_OK)
        crier_sql_end(stmt);
    return fault;
}

enum crier_sql_fault crier_sql_table_store(struct crier_sql *s, struct crier_record *const *records,
                                           size_t count, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    if (!s->rows.text)
        s->rows.text = g_string_chunk_new(4096);
    g_string_chunk_clear(s->rows.text);
    for (size_t i = 0; i < count && fault == CRIER_SQL_OK; i++)
        fault = store_one(s, records[i], err);
    return fault;
}

/* ---- reading ---- */

static struct crier_record *record_of(const struct crier_sql_column *list, size_t n,
                                      struct crier_buf *cells, const bool *null, uint64_t seq)
{
    struct crier_builder b = {0};
    struct crier_stored who = {.seq = seq,
                               .kind = CRIER_KIND_TASK,
                               .level = CRIER_INFO,
                               .ok = -1,
                               .text = {"", 0},
                               .logger = {"task", 4},
                               .where = {"", 0},
                               .node = {"", 0}};
    bool has = false;
    crier_build_restore_begin(&b);
    for (size_t i = 0; i < n; i++) {
        const char *name = list[i].name;
        struct crier_str s = {cells[i].data ? cells[i].data : "", cells[i].len};
        double number = strtod(s.data, NULL);
        if (null[i])
            continue;
        if (list[i].type == CRIER_SQL_ID)
            has = crier_ulid_parse(s.data, who.id);
        else if (strcmp(name, "created") == 0)
            who.time = (int64_t)(number * 1e6 + 0.5);
        else if (strcmp(name, "name") == 0)
            who.logger = s;
        else if (strcmp(name, "msg") == 0)
            who.text = s;
        else if (strcmp(name, "processName") == 0)
            who.node = s;
        else if (strcmp(name, "pathname") == 0)
            who.where = s;
        else if (strcmp(name, "levelno") == 0)
            who.level =
                (enum crier_level)(number >= 10 && number <= 50 ? (int)number / 10 * 10 : 20);
        else if (strcmp(name, "message") == 0 || strcmp(name, "levelname") == 0 ||
                 strcmp(name, "lineno") == 0)
            continue;
        else if (strcmp(name, "start") == 0 || strcmp(name, "end") == 0)
            crier_build_time(&b, name, strlen(name), (int64_t)(number * 1e6 + 0.5));
        else if (list[i].type == CRIER_SQL_REAL)
            crier_build_num(&b, name, strlen(name), number);
        else
            crier_build_str(&b, name, strlen(name), s.data, s.len);
    }
    if (!has) { /* made of what there is, so that it is the same one each time */
        uint64_t ms = (uint64_t)(who.time / 1000);
        for (int i = 0; i < 6; i++)
            who.id[i] = (unsigned char)(ms >> (40 - 8 * i));
        for (int i = 0; i < 8; i++)
            who.id[8 + i] = (unsigned char)(seq >> (56 - 8 * i));
    }
    struct crier_record *record = crier_build_restore(&b, &who);
    crier_builder_fini(&b);
    return record;
}

/* Conditions on the task and the action go to the database; all are looked at afterwards. */
static void query_text(const struct crier_sql *s, const struct crier_query *query,
                       const struct crier_sql_column *list, size_t n, struct crier_buf *b,
                       struct crier_sql_cell *cells, size_t *count)
{
    const struct crier_sql_dialect *d = s->conn.dialect;
    crier_buf_puts(b, "SELECT ");
    for (size_t i = 0; i < n; i++) {
        crier_buf_puts(b, i ? ", " : "");
        crier_sql_put_name(d, b, list[i].name);
    }
    crier_buf_puts(b, " FROM ");
    crier_sql_put_name(d, b, s->table);
    for (size_t i = 0; i < query->count && *count < 8; i = query->conds[i].end) {
        const struct crier_cond *cond = &query->conds[i];
        if (cond->op != CRIER_OP_EQ || cond->values[0].value.type != CRIER_STR ||
            (strcmp(cond->path, "task_name") != 0 && strcmp(cond->path, "action") != 0))
            continue;
        crier_buf_printf(b, "%s%s = %s", *count ? " AND " : " WHERE ", cond->path,
                         d->marks[CRIER_SQL_NAME]);
        cells[(*count)++] = CRIER_SQL_CELL_STR(CRIER_SQL_NAME, cond->values[0].value.s);
    }
    crier_buf_puts(b, " ORDER BY created");
}

int crier_sql_table_query(struct crier_sql *s, const struct crier_query *query,
                          struct crier_record ***hits, size_t *count, struct crier_err *err)
{
    struct crier_sql_column list[MODEL_MAX];
    struct crier_sql_cell bound[8];
    struct crier_buf text = {0}, found = {0}, cells[MODEL_MAX] = {{0}};
    size_t n = all_columns(s, list), values = 0;
    bool null[MODEL_MAX], more = true;
    SQLHSTMT stmt = NULL;
    uint64_t seq = 0;
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault == CRIER_SQL_OK) {
        query_text(s, query, list, n, &text, bound, &values);
        fault = crier_sql_prepare(&s->conn, text.data, &stmt, err);
    }
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, bound, values, err);
    while (fault == CRIER_SQL_OK) {
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        for (size_t i = 0; i < n && fault == CRIER_SQL_OK; i++) {
            crier_buf_clear(&cells[i]);
            fault = crier_sql_text(&s->conn, stmt, (int)i + 1, &cells[i], &null[i], err);
        }
        struct crier_record *record =
            fault == CRIER_SQL_OK ? record_of(list, n, cells, null, ++seq) : NULL;
        if (record && crier_query_wants(query, record))
            crier_buf_append(&found, &record, sizeof record);
        else
            crier_record_unref(record);
    }
    if (s->conn.connected) {
        crier_sql_free(&s->conn, &stmt);
        crier_sql_rollback(&s->conn);
    }
    for (size_t i = 0; i < n; i++)
        crier_buf_fini(&cells[i]);
    crier_buf_fini(&text);
    *count = found.len / sizeof(struct crier_record *);
    *hits = (struct crier_record **)(void *)found.data;
    if (fault == CRIER_SQL_OK)
        return CRIER_OK;
    for (size_t i = 0; i < *count; i++)
        crier_record_unref((*hits)[i]);
    crier_buf_fini(&found);
    *hits = NULL;
    *count = 0;
    return crier_sql_code(fault);
}
