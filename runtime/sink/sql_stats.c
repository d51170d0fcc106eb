/* SPDX-License-Identifier: MIT
 *
 * Methods: success_rate, and statements of the script's own.
 */
#include "sink/sql.h"

#include <stdlib.h>
#include <string.h>

/* What is asked of a connection that may have been lost is asked twice. */
static enum crier_sql_fault open_statement(struct crier_sql *s, const char *text,
                                           struct crier_sql_cell *cells, size_t count,
                                           SQLHSTMT *stmt, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_LOST;
    for (int i = 0; i < 2 && fault == CRIER_SQL_LOST; i++) {
        *stmt = NULL;
        fault = crier_sql_ready(s, err);
        if (fault == CRIER_SQL_OK)
            fault = crier_sql_prepare(&s->conn, text, stmt, err);
        if (fault == CRIER_SQL_OK)
            fault = crier_sql_run(&s->conn, *stmt, cells, count, err);
        if (fault != CRIER_SQL_OK)
            crier_sql_free(&s->conn, stmt);
    }
    return fault;
}

/* ---- success_rate ---- */

static bool read_id(const json_t *v, int64_t *out)
{
    char *end;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    if (!json_is_string(v) || !*json_string_value(v))
        return false;
    *out = strtoll(json_string_value(v), &end, 10);
    return *end == '\0';
}

/* The statements are the same on every engine: what its functions say, in a query. */
static void rate_text(const struct crier_sql_dialect *d, bool log, int64_t limit,
                      struct crier_buf *b)
{
    const char *mark = d->marks[CRIER_SQL_BIG];
    bool server = d->engine == CRIER_SQL_SQLSERVER;
    if (log) {
        crier_buf_printf(b,
                         "SELECT COUNT(*), SUM(CASE WHEN c.reason IS NULL THEN 1 ELSE 0 END) FROM "
                         "MessageChannelLOG c WHERE c.log_id = %s",
                         mark);
        return;
    }
    crier_buf_puts(b, "SELECT COUNT(*), SUM(r.good) FROM (SELECT ");
    if (server)
        crier_buf_printf(b, "TOP (%lld) ", (long long)limit);
    crier_buf_printf(b,
                     "CASE WHEN l.dm_reason IS NULL AND NOT EXISTS (SELECT 1 FROM "
                     "MessageChannelLOG c WHERE c.log_id = l.id AND c.reason IS NOT NULL) THEN 1 "
                     "ELSE 0 END AS good FROM MessageLOG l JOIN GuildUSER g ON g.id = l.guild_id "
                     "WHERE g.snowflake_id = %s ORDER BY l.timestamp DESC, l.id DESC",
                     mark);
    if (!server)
        crier_buf_printf(b, " LIMIT %lld", (long long)limit);
    crier_buf_puts(b, ") r");
}

static int rate_arguments(const json_t *args, bool *log, int64_t *id, int64_t *limit,
                          struct crier_err *err)
{
    static const char usage[] =
        "success_rate takes { guild = \"863071397207212052\", limit = 1000 }, or { log = 1 }";
    const json_t *table = json_array_get(args, 0), *value;
    const char *key;
    bool some = false;
    *limit = 1000;
    if (!json_is_object(table))
        return crier_err_set(err, CRIER_EINVAL, "%s", usage);
    json_object_foreach((json_t *)table, key, value)
    {
        bool is_log = strcmp(key, "log") == 0;
        if (strcmp(key, "limit") == 0 && json_is_integer(value) && json_integer_value(value) >= 0) {
            *limit = json_integer_value(value);
        } else if (!some && (is_log || strcmp(key, "guild") == 0 || strcmp(key, "user") == 0) &&
                   read_id(value, id)) {
            *log = is_log;
            some = true;
        } else {
            return crier_err_set(err, CRIER_EINVAL, "%s", usage);
        }
    }
    return some ? CRIER_OK : crier_err_set(err, CRIER_EINVAL, "%s", usage);
}

int crier_sql_success_rate(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    struct crier_sql *s = self;
    struct crier_buf text = {0};
    int64_t id = 0, limit, all = 0, good = 0;
    bool log = false, more = false;
    SQLHSTMT stmt = NULL;
    int rc = rate_arguments(args, &log, &id, &limit, err);
    if (rc != CRIER_OK)
        return rc;
    if (s->refused)
        return crier_err_set(err, CRIER_EDENIED, "%s", s->refused);
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault == CRIER_SQL_OK) {
        struct crier_sql_cell cell = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, id);
        rate_text(s->conn.dialect, log, limit, &text);
        fault = open_statement(s, text.data, &cell, 1, &stmt, err);
    }
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
    if (fault == CRIER_SQL_OK && more)
        fault = crier_sql_int(&s->conn, stmt, 1, &all, err);
    if (fault == CRIER_SQL_OK && more)
        fault = crier_sql_int(&s->conn, stmt, 2, &good, err);
    if (s->conn.connected) {
        crier_sql_free(&s->conn, &stmt);
        crier_sql_rollback(&s->conn);
    }
    crier_buf_fini(&text);
    if (fault == CRIER_SQL_OK) {
        /* Five decimals, as the functions in the database. */
        double rate = all ? (double)(int64_t)((double)good / (double)all * 1e5 + 0.5) / 1e5 : 1.0;
        *result = json_real(rate);
    }
    return crier_sql_code(fault);
}

/* ---- exec ---- */

static bool is_integer(SQLSMALLINT type)
{
    return type == SQL_INTEGER || type == SQL_SMALLINT || type == SQL_TINYINT || type == SQL_BIGINT;
}

static bool is_float(SQLSMALLINT type)
{
    return type == SQL_DOUBLE || type == SQL_FLOAT || type == SQL_REAL || type == SQL_DECIMAL ||
           type == SQL_NUMERIC;
}

/* Integers beyond 2^53 stay texts: they are ids, and a script's numbers may be floats. */
static json_t *to_json(SQLSMALLINT type, const char *text, size_t len)
{
    const int64_t exact = INT64_C(1) << 53;
    char *end = NULL;
    if (is_integer(type) && len) {
        long long n = strtoll(text, &end, 10);
        if (*end == '\0' && n <= exact && n >= -exact)
            return json_integer(n);
    } else if (is_float(type) && len) {
        double n = strtod(text, &end);
        if (*end == '\0')
            return json_real(n);
    } else if (type == SQL_BIT && len) {
        return json_boolean(*text == '1' || *text == 't');
    }
    json_t *v = json_stringn(text, len);
    return v ? v : json_string("(not UTF-8)");
}

static enum crier_sql_fault read_row(struct crier_sql *s, SQLHSTMT stmt, SQLSMALLINT columns,
                                     json_t *row, struct crier_err *err)
{
    struct crier_buf b = {0};
    enum crier_sql_fault fault = CRIER_SQL_OK;
    for (SQLSMALLINT i = 1; i <= columns && fault == CRIER_SQL_OK; i++) {
        SQLCHAR name[128] = "";
        SQLSMALLINT len = 0, type = 0, digits, nullable;
        SQLULEN size;
        bool null = false;
        SQLDescribeCol(stmt, (SQLUSMALLINT)i, name, sizeof name, &len, &type, &size, &digits,
                       &nullable);
        crier_buf_clear(&b);
        fault = crier_sql_text(&s->conn, stmt, i, &b, &null, err);
        if (fault == CRIER_SQL_OK && !null)
            json_object_set_new(row, (char *)name, to_json(type, b.data ? b.data : "", b.len));
    }
    crier_buf_fini(&b);
    return fault;
}

static enum crier_sql_fault read_result(struct crier_sql *s, SQLHSTMT stmt, json_t **result,
                                        struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    SQLSMALLINT columns = 0;
    SQLLEN rows = 0;
    bool more = true;
    SQLNumResultCols(stmt, &columns);
    if (columns == 0) {
        SQLRowCount(stmt, &rows);
        *result = json_integer(rows < 0 ? 0 : rows);
        return fault;
    }
    *result = json_array();
    while (fault == CRIER_SQL_OK) {
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        json_t *row = json_object();
        json_array_append_new(*result, row);
        fault = read_row(s, stmt, columns, row, err);
    }
    return fault;
}

static bool make_cells(const json_t *params, struct crier_sql_cell *cells)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)params, i, v)
    {
        switch (json_typeof(v)) {
        case JSON_STRING:
            cells[i] = CRIER_SQL_CELL_STR(
                CRIER_SQL_TEXT, ((struct crier_str){json_string_value(v), json_string_length(v)}));
            break;
        case JSON_INTEGER:
            cells[i] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, json_integer_value(v));
            break;
        case JSON_REAL:
            cells[i] = (struct crier_sql_cell){.type = CRIER_SQL_REAL, .n = json_real_value(v)};
            break;
        case JSON_TRUE:
        case JSON_FALSE:
            cells[i] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, json_is_true(v));
            break;
        case JSON_NULL:
            cells[i] = CRIER_SQL_CELL_NULL(CRIER_SQL_TEXT);
            break;
        default:
            return false;
        }
    }
    return true;
}

int crier_sql_do(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    struct crier_sql *s = self;
    const json_t *text = json_array_get(args, 0), *params = json_array_get(args, 1);
    size_t count = json_is_array(params) ? json_array_size(params) : 0;
    SQLHSTMT stmt = NULL;
    if (!json_is_string(text) ||
        (params && !json_is_null(params) && !json_is_array(params) && json_object_size(params) > 0))
        return crier_err_set(err, CRIER_EINVAL,
                             "exec takes a statement and a list of the values "
                             "of its marks: exec(\"... = ?\", { 1 })");
    if (s->refused)
        return crier_err_set(err, CRIER_EDENIED, "%s", s->refused);
    if (s->read_only)
        return crier_err_set(err, CRIER_EDENIED, "exec: this connection only reads");
    struct crier_sql_cell *cells = crier_calloc(count + 1, sizeof *cells);
    if (!make_cells(params, cells)) {
        free(cells);
        return crier_err_set(err, CRIER_EINVAL, "exec: a value is a table; bind its members");
    }
    enum crier_sql_fault fault =
        open_statement(s, json_string_value(text), cells, count, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = read_result(s, stmt, result, err);
    if (fault != CRIER_SQL_OK && *result) {
        json_decref(*result);
        *result = NULL;
    }
    bool own = s->conn.connected && s->conn.dialect->own_begin;
    crier_sql_free(&s->conn, &stmt);
    if (fault == CRIER_SQL_OK && !own)
        fault = crier_sql_commit(&s->conn, err);
    else if (!own)
        crier_sql_rollback(&s->conn);
    crier_sql_forget(s); /* who knows what it was */
    free(cells);
    return crier_sql_code(fault);
}
