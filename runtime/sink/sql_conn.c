/* SPDX-License-Identifier: MIT */
#include "sink/sql.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"

enum { TEXT_CHUNK = 1024 };

/* ---- faults ---- */

/* Where an engine's driver has no SQLSTATE of its own for something, its number says it. */
struct number {
    int native;
    enum crier_sql_fault fault;
};

static enum crier_sql_fault by_number(const struct number *list, size_t count, int native,
                                      enum crier_sql_fault otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].native == native)
            return list[i].fault;
    return otherwise;
}

static bool says(const char *text, const char *words)
{
    return strcasestr(text, words) != NULL;
}

/* The driver's states are HY000 throughout; native is SQLite's result code. */
static enum crier_sql_fault sqlite_fault(int native, const char *text)
{
    static const struct number numbers[] = {
        {3, CRIER_SQL_DENIED},  /* PERM */
        {5, CRIER_SQL_LATER},   /* BUSY */
        {6, CRIER_SQL_AGAIN},   /* LOCKED */
        {17, CRIER_SQL_AGAIN},  /* SCHEMA: it changed meanwhile */
        {18, CRIER_SQL_RECORD}, /* TOOBIG */
        {20, CRIER_SQL_RECORD}, /* MISMATCH */
        {23, CRIER_SQL_DENIED}, /* AUTH */
    };
    if (native == 1)
        return says(text, "no such ") || says(text, "has no column") ? CRIER_SQL_SCHEMA
                                                                     : CRIER_SQL_LATER;
    if (native == 19) /* CONSTRAINT */
        return says(text, "FOREIGN KEY") || says(text, "NOT NULL") ? CRIER_SQL_STALE
               : says(text, "UNIQUE")                              ? CRIER_SQL_STALE
                                                                   : CRIER_SQL_RECORD;
    return by_number(numbers, CRIER_COUNT(numbers), native, CRIER_SQL_LATER);
}

static enum crier_sql_fault mariadb_fault(int native, enum crier_sql_fault otherwise)
{
    static const struct number numbers[] = {
        {1044, CRIER_SQL_DENIED}, {1045, CRIER_SQL_DENIED}, {1049, CRIER_SQL_DENIED},
        {1142, CRIER_SQL_DENIED}, {1143, CRIER_SQL_DENIED}, {1227, CRIER_SQL_DENIED},
        {1370, CRIER_SQL_DENIED}, {1698, CRIER_SQL_DENIED}, {1419, CRIER_SQL_DENIED},
        {1048, CRIER_SQL_STALE},  {1216, CRIER_SQL_STALE},  {1452, CRIER_SQL_STALE},
        {1062, CRIER_SQL_STALE},  {1205, CRIER_SQL_AGAIN},  {1213, CRIER_SQL_AGAIN},
        {1054, CRIER_SQL_SCHEMA}, {1146, CRIER_SQL_SCHEMA}, {1305, CRIER_SQL_SCHEMA},
        {1053, CRIER_SQL_LOST},   {1927, CRIER_SQL_LOST},   {2002, CRIER_SQL_LOST},
        {2003, CRIER_SQL_LOST},   {2006, CRIER_SQL_LOST},   {2013, CRIER_SQL_LOST},
        {2055, CRIER_SQL_LOST},   {4031, CRIER_SQL_LOST},   {1290, CRIER_SQL_LATER},
        {1021, CRIER_SQL_LATER},  {1114, CRIER_SQL_LATER},
    };
    return by_number(numbers, CRIER_COUNT(numbers), native, otherwise);
}

static enum crier_sql_fault sqlserver_fault(int native, enum crier_sql_fault otherwise)
{
    static const struct number numbers[] = {
        {1205, CRIER_SQL_AGAIN},  {2627, CRIER_SQL_STALE},   {2601, CRIER_SQL_STALE},
        {547, CRIER_SQL_STALE},   {515, CRIER_SQL_STALE},    {208, CRIER_SQL_SCHEMA},
        {207, CRIER_SQL_SCHEMA},  {2812, CRIER_SQL_SCHEMA},  {229, CRIER_SQL_DENIED},
        {230, CRIER_SQL_DENIED},  {262, CRIER_SQL_DENIED},   {916, CRIER_SQL_DENIED},
        {4060, CRIER_SQL_DENIED}, {18456, CRIER_SQL_DENIED}, {20003, CRIER_SQL_LOST},
        {20006, CRIER_SQL_LOST},  {20009, CRIER_SQL_LOST},   {20017, CRIER_SQL_LOST},
        {20047, CRIER_SQL_LOST},  {9002, CRIER_SQL_LATER},   {1105, CRIER_SQL_LATER},
        {3906, CRIER_SQL_LATER},  {911, CRIER_SQL_DENIED},   {1222, CRIER_SQL_AGAIN},
        {1946, CRIER_SQL_RECORD}, {2628, CRIER_SQL_RECORD},  {8152, CRIER_SQL_RECORD},
        {241, CRIER_SQL_RECORD},  {245, CRIER_SQL_RECORD},   {8114, CRIER_SQL_RECORD},
        {8115, CRIER_SQL_RECORD}, {6005, CRIER_SQL_LOST},
    };
    return by_number(numbers, CRIER_COUNT(numbers), native, otherwise);
}

enum crier_sql_fault crier_sql_fault_of(enum crier_sql_engine engine, const char state[6],
                                        int native, const char *text)
{
    static const struct {
        const char *state; /* or the beginning of one; the first that fits counts */
        enum crier_sql_fault fault;
    } states[] = {
        {"08", CRIER_SQL_LOST},      {"57P01", CRIER_SQL_LOST},   {"57P02", CRIER_SQL_LOST},
        {"57P03", CRIER_SQL_LOST},   {"28", CRIER_SQL_DENIED},    {"3D", CRIER_SQL_DENIED},
        {"42501", CRIER_SQL_DENIED}, {"IM", CRIER_SQL_DENIED},    {"40", CRIER_SQL_AGAIN},
        {"25P02", CRIER_SQL_AGAIN},  {"23505", CRIER_SQL_STALE},  {"55P03", CRIER_SQL_AGAIN},
        {"42S02", CRIER_SQL_SCHEMA}, {"42S22", CRIER_SQL_SCHEMA}, {"42P01", CRIER_SQL_SCHEMA},
        {"42703", CRIER_SQL_SCHEMA}, {"42883", CRIER_SQL_SCHEMA}, {"3F", CRIER_SQL_SCHEMA},
        {"23502", CRIER_SQL_STALE},  {"23503", CRIER_SQL_STALE},  {"22", CRIER_SQL_RECORD},
        {"23", CRIER_SQL_RECORD},    {"54", CRIER_SQL_RECORD},
    };
    enum crier_sql_fault fault = CRIER_SQL_LATER;
    if (engine == CRIER_SQL_SQLITE)
        return sqlite_fault(native, text);
    for (size_t i = 0; i < CRIER_COUNT(states); i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
            fault = states[i].fault;
            break;
        }
    }
    if (engine == CRIER_SQL_MARIADB)
        return mariadb_fault(native, fault);
    if (engine == CRIER_SQL_SQLSERVER)
        return sqlserver_fault(native, fault);
    /* psqlodbc says 08 of a login that was refused. */
    if (fault == CRIER_SQL_LOST &&
        (says(text, "authentication failed") || says(text, "no pg_hba.conf entry") ||
         (says(text, "FATAL") && says(text, "does not exist")) ||
         says(text, "not permitted to log in") || says(text, "no password supplied")))
        return CRIER_SQL_DENIED;
    return fault;
}

int crier_sql_code(enum crier_sql_fault fault)
{
    switch (fault) {
    case CRIER_SQL_OK:
        return CRIER_OK;
    case CRIER_SQL_LOST:
        return CRIER_ENET;
    case CRIER_SQL_DENIED:
        return CRIER_EDENIED;
    case CRIER_SQL_SCHEMA:
        return CRIER_ENOTFOUND;
    case CRIER_SQL_RECORD:
    case CRIER_SQL_STALE:
        return CRIER_EINVAL;
    default:
        return CRIER_EBUSY;
    }
}

static const char *remedy(enum crier_sql_fault fault)
{
    switch (fault) {
    case CRIER_SQL_DENIED:
        return "; check user, password, database and permissions";
    case CRIER_SQL_SCHEMA:
        return "; its tables are missing or not crier's";
    default:
        return "";
    }
}

static bool is_dead(const struct crier_sql_conn *conn)
{
    SQLUINTEGER dead = SQL_CD_FALSE;
    return conn->connected && conn->dsn.guess != CRIER_SQL_SQLITE &&
           SQL_SUCCEEDED(
               SQLGetConnectAttr(conn->dbc, SQL_ATTR_CONNECTION_DEAD, &dead, sizeof dead, NULL)) &&
           dead == SQL_CD_TRUE;
}

/* What the driver says, without "[unixODBC][driver]" in front and line breaks within. */
static const char *trim(char *text)
{
    char *at = text;
    while (*at == '[' && strchr(at, ']'))
        at = strchr(at, ']') + 1;
    for (char *c = at; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    return at + strspn(at, " ");
}

/* The fault that a handle's diagnostics tell of. A connection that is gone is closed. */
static enum crier_sql_fault fail(struct crier_sql_conn *conn, SQLSMALLINT type, SQLHANDLE handle,
                                 struct crier_err *err)
{
    enum crier_sql_engine engine = conn->dialect ? conn->dialect->engine : conn->dsn.guess;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    SQLCHAR state[6] = "", text[512] = "";
    SQLINTEGER native = 0;
    SQLSMALLINT len;
    for (SQLSMALLINT i = 1; i <= 4 && SQL_SUCCEEDED(SQLGetDiagRec(type, handle, i, state, &native,
                                                                  text, sizeof text, &len));
         i++) {
        const char *said = trim((char *)text);
        if (strncmp((char *)state, "01", 2) == 0 && says(said, "can't open lib"))
            fault = CRIER_SQL_DENIED;
        else if (strncmp((char *)state, "01", 2) == 0)
            continue;
        else
            fault = crier_sql_fault_of(engine, (char *)state, native, said);
        crier_err_set(err, crier_sql_code(fault), "%s: %.150s (%s)%s", conn->dsn.shown, said,
                      (char *)state, remedy(fault));
        break;
    }
    if (fault == CRIER_SQL_OK) {
        fault = CRIER_SQL_LATER;
        crier_err_set(err, CRIER_EBUSY, "%s: the driver gives no reason", conn->dsn.shown);
    }
    if (err) {
        err->sys = native;
        crier_sql_hide(&conn->dsn, err->text);
    }
    if (fault != CRIER_SQL_LOST && fault != CRIER_SQL_DENIED && is_dead(conn))
        fault = CRIER_SQL_LOST;
    if (fault == CRIER_SQL_LOST) {
        if (err)
            err->code = CRIER_ENET;
        crier_sql_disconnect(conn);
    }
    return fault;
}

/* ---- connecting ---- */

void crier_sql_disconnect(struct crier_sql_conn *conn)
{
    if (conn->dbc) {
        if (conn->begun)
            SQLEndTran(SQL_HANDLE_DBC, conn->dbc, SQL_ROLLBACK);
        if (conn->connected)
            SQLDisconnect(conn->dbc);
        SQLFreeHandle(SQL_HANDLE_DBC, conn->dbc);
    }
    if (conn->env)
        SQLFreeHandle(SQL_HANDLE_ENV, conn->env);
    conn->env = NULL;
    conn->dbc = NULL;
    conn->connected = conn->begun = false;
}

static const struct crier_sql_dialect *find_dialect(const struct crier_sql_conn *conn)
{
    SQLCHAR name[64] = "";
    SQLSMALLINT len;
    SQLGetInfo(conn->dbc, SQL_DBMS_NAME, name, sizeof name, &len);
    const char *at = (const char *)name;
    enum crier_sql_engine engine = conn->dsn.guess;
    if (says(at, "sqlite"))
        engine = CRIER_SQL_SQLITE;
    else if (says(at, "postgres"))
        engine = CRIER_SQL_POSTGRESQL;
    else if (says(at, "maria") || says(at, "mysql"))
        engine = CRIER_SQL_MARIADB;
    else if (says(at, "sql server"))
        engine = CRIER_SQL_SQLSERVER;
    return &crier_sql_dialects[engine];
}

static enum crier_sql_fault set_up(struct crier_sql_conn *conn, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    const char *at = conn->dialect->setup;
    while (fault == CRIER_SQL_OK && at && *at) {
        size_t len = strcspn(at, ";");
        char *text = crier_strndup(at, len);
        fault = crier_sql_exec(conn, text, err);
        free(text);
        at += len + (at[len] == ';');
    }
    return fault;
}

/* SQLite's driver gives no reason: it is the folder or the file, mostly. */
static void explain_file(const struct crier_sql_conn *conn, struct crier_err *err)
{
    const char *file = conn->dsn.file, *slash = file ? strrchr(file, '/') : NULL;
    if (!slash)
        return;
    char *folder = crier_strndup(file, slash == file ? 1 : (size_t)(slash - file));
    if (access(folder, F_OK) != 0)
        crier_err_set(err, CRIER_ENOTFOUND, "%s: there is no folder '%.150s': make it",
                      conn->dsn.shown, folder);
    else if (access(file, F_OK) == 0 ? access(file, R_OK | W_OK) != 0 : access(folder, W_OK) != 0)
        crier_err_set(err, CRIER_EDENIED, "%s: no permission to write '%.150s'", conn->dsn.shown,
                      access(file, F_OK) == 0 ? file : folder);
    free(folder);
}

enum crier_sql_fault crier_sql_connect(struct crier_sql_conn *conn, struct crier_err *err)
{
    SQLUINTEGER seconds = (SQLUINTEGER)((conn->timeout + CRIER_S - 1) / CRIER_S);
    enum crier_sql_fault fault = CRIER_SQL_OK;
    SQLCHAR out[1024];
    SQLSMALLINT len;
    if (conn->connected)
        return CRIER_SQL_OK;
    conn->dialect = NULL;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &conn->env))) {
        crier_err_set(err, CRIER_EINTERNAL, "%s: no memory for ODBC", conn->dsn.shown);
        return CRIER_SQL_LATER;
    }
    SQLSetEnvAttr(conn->env, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
    SQLAllocHandle(SQL_HANDLE_DBC, conn->env, &conn->dbc);
    SQLSetConnectAttr(conn->dbc, SQL_ATTR_LOGIN_TIMEOUT, (SQLPOINTER)(uintptr_t)seconds, 0);
    SQLRETURN rc = SQLDriverConnect(conn->dbc, NULL, (SQLCHAR *)conn->dsn.text, SQL_NTS, out,
                                    sizeof out, &len, SQL_DRIVER_NOPROMPT);
    explicit_bzero(out, sizeof out);
    if (!SQL_SUCCEEDED(rc)) {
        fault = fail(conn, SQL_HANDLE_DBC, conn->dbc, err);
        explain_file(conn, err);
        crier_sql_disconnect(conn);
        return fault;
    }
    conn->connected = true;
    conn->epoch++;
    conn->dialect = find_dialect(conn);
    fault = set_up(conn, err);
    if (fault == CRIER_SQL_OK && !conn->dialect->own_begin &&
        !SQL_SUCCEEDED(
            SQLSetConnectAttr(conn->dbc, SQL_ATTR_AUTOCOMMIT, (SQLPOINTER)SQL_AUTOCOMMIT_OFF, 0)))
        fault = fail(conn, SQL_HANDLE_DBC, conn->dbc, err);
    if (fault != CRIER_SQL_OK)
        crier_sql_disconnect(conn);
    return fault;
}

/* ---- transactions ---- */

/* sqliteodbc would begin without the lock, and a transaction that reads before it writes then fails
 * at once where another process has written meanwhile. */
enum crier_sql_fault crier_sql_begin(struct crier_sql_conn *conn, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    if (conn->dialect->own_begin)
        fault = crier_sql_exec(conn, "BEGIN IMMEDIATE", err);
    else if (conn->dialect->on_begin)
        fault = crier_sql_exec(conn, conn->dialect->on_begin, err);
    conn->begun = fault == CRIER_SQL_OK;
    return fault;
}

enum crier_sql_fault crier_sql_commit(struct crier_sql_conn *conn, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    if (conn->dialect->own_begin)
        fault = crier_sql_exec(conn, "COMMIT", err);
    else if (!SQL_SUCCEEDED(SQLEndTran(SQL_HANDLE_DBC, conn->dbc, SQL_COMMIT)))
        fault = fail(conn, SQL_HANDLE_DBC, conn->dbc, err);
    if (fault == CRIER_SQL_OK)
        conn->begun = false;
    else
        crier_sql_rollback(conn);
    return fault;
}

void crier_sql_rollback(struct crier_sql_conn *conn)
{
    if (!conn->connected)
        return;
    if (!conn->dialect->own_begin)
        SQLEndTran(SQL_HANDLE_DBC, conn->dbc, SQL_ROLLBACK);
    else if (conn->begun && crier_sql_exec(conn, "ROLLBACK", NULL) != CRIER_SQL_OK)
        crier_sql_disconnect(conn); /* the only other way to be rid of it */
    conn->begun = false;
}

/* ---- statements ---- */

enum crier_sql_fault crier_sql_exec(struct crier_sql_conn *conn, const char *text,
                                    struct crier_err *err)
{
    SQLHSTMT stmt = NULL;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, conn->dbc, &stmt)))
        return fail(conn, SQL_HANDLE_DBC, conn->dbc, err);
    SQLRETURN rc = SQLExecDirect(stmt, (SQLCHAR *)text, SQL_NTS);
    if (!SQL_SUCCEEDED(rc) && rc != SQL_NO_DATA)
        fault = fail(conn, SQL_HANDLE_STMT, stmt, err);
    crier_sql_free(conn, &stmt);
    return fault;
}

enum crier_sql_fault crier_sql_prepare(struct crier_sql_conn *conn, const char *text, SQLHSTMT *out,
                                       struct crier_err *err)
{
    SQLHSTMT stmt = NULL;
    *out = NULL;
    if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, conn->dbc, &stmt)))
        return fail(conn, SQL_HANDLE_DBC, conn->dbc, err);
    if (SQL_SUCCEEDED(SQLPrepare(stmt, (SQLCHAR *)text, SQL_NTS))) {
        *out = stmt;
        return CRIER_SQL_OK;
    }
    enum crier_sql_fault fault = fail(conn, SQL_HANDLE_STMT, stmt, err);
    crier_sql_free(conn, &stmt);
    return fault;
}

static bool bind(const struct crier_sql_conn *conn, SQLHSTMT stmt, SQLUSMALLINT at,
                 struct crier_sql_cell *c)
{
    enum crier_sql_engine engine = conn->dialect->engine;
    bool wide = engine == CRIER_SQL_SQLSERVER;
    SQLSMALLINT in = SQL_C_CHAR, to = wide ? SQL_WVARCHAR : SQL_VARCHAR;
    SQLPOINTER data = (SQLPOINTER)(c->s.data ? c->s.data : "");
    SQLULEN size;
    enum crier_sql_type type = c->type;
    if (type == CRIER_SQL_INT || type == CRIER_SQL_BIG ||
        (type == CRIER_SQL_BOOL && engine != CRIER_SQL_POSTGRESQL)) {
        in = SQL_C_SBIGINT;
        to = SQL_BIGINT;
        data = &c->i;
        size = 19;
        c->ind = 0;
    } else if (type == CRIER_SQL_REAL) {
        in = SQL_C_DOUBLE;
        to = SQL_DOUBLE;
        data = &c->n;
        size = 15;
        c->ind = 0;
    } else if (type == CRIER_SQL_BOOL) {
        data = (SQLPOINTER)(c->null || c->i ? "1" : "0");
        size = 1;
        c->ind = 1;
    } else {
        size = c->null || !c->s.len ? 1 : c->s.len;
        c->ind = c->null ? 0 : (SQLLEN)c->s.len;
        if (type == CRIER_SQL_TEXT)
            to = wide ? SQL_WLONGVARCHAR : SQL_LONGVARCHAR;
        if (c->null)
            data = (SQLPOINTER) "";
    }
    if (c->null)
        c->ind = SQL_NULL_DATA;
    return SQL_SUCCEEDED(SQLBindParameter(stmt, at, SQL_PARAM_INPUT, in, to, size, 0, data,
                                          c->ind < 0 ? 0 : c->ind, &c->ind));
}

enum crier_sql_fault crier_sql_run(struct crier_sql_conn *conn, SQLHSTMT stmt,
                                   struct crier_sql_cell *cells, size_t count,
                                   struct crier_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!bind(conn, stmt, (SQLUSMALLINT)(i + 1), &cells[i]))
            return fail(conn, SQL_HANDLE_STMT, stmt, err);
    SQLRETURN rc = SQLExecute(stmt);
    if (SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA)
        return CRIER_SQL_OK;
    enum crier_sql_fault fault = fail(conn, SQL_HANDLE_STMT, stmt, err);
    if (conn->connected)
        SQLFreeStmt(stmt, SQL_CLOSE);
    return fault;
}

enum crier_sql_fault crier_sql_fetch(struct crier_sql_conn *conn, SQLHSTMT stmt, bool *more,
                                     struct crier_err *err)
{
    SQLRETURN rc = SQLFetch(stmt);
    *more = SQL_SUCCEEDED(rc);
    if (*more || rc == SQL_NO_DATA)
        return CRIER_SQL_OK;
    return fail(conn, SQL_HANDLE_STMT, stmt, err);
}

enum crier_sql_fault crier_sql_text(struct crier_sql_conn *conn, SQLHSTMT stmt, int column,
                                    struct crier_buf *b, bool *null, struct crier_err *err)
{
    SQLLEN room = TEXT_CHUNK, len = 0;
    bool is_null = false;
    for (;;) {
        char *to = crier_buf_reserve(b, (size_t)room);
        SQLRETURN rc = SQLGetData(stmt, (SQLUSMALLINT)column, SQL_C_CHAR, to, room + 1, &len);
        if (rc == SQL_NO_DATA)
            break;
        if (!SQL_SUCCEEDED(rc))
            return fail(conn, SQL_HANDLE_STMT, stmt, err);
        if (len == SQL_NULL_DATA) {
            is_null = true;
            break;
        }
        bool cut = len == SQL_NO_TOTAL || len > room;
        b->len += cut ? strnlen(to, (size_t)room) : (size_t)len;
        b->data[b->len] = '\0';
        if (!cut)
            break;
        room = len == SQL_NO_TOTAL ? room * 2 : len;
    }
    if (null)
        *null = is_null;
    return CRIER_SQL_OK;
}

enum crier_sql_fault crier_sql_int(struct crier_sql_conn *conn, SQLHSTMT stmt, int column,
                                   int64_t *out, struct crier_err *err)
{
    SQLLEN len = 0;
    *out = 0;
    if (!SQL_SUCCEEDED(
            SQLGetData(stmt, (SQLUSMALLINT)column, SQL_C_SBIGINT, out, sizeof *out, &len)))
        return fail(conn, SQL_HANDLE_STMT, stmt, err);
    if (len == SQL_NULL_DATA)
        *out = 0;
    return CRIER_SQL_OK;
}

void crier_sql_end(SQLHSTMT stmt)
{
    SQLFreeStmt(stmt, SQL_CLOSE);
}

void crier_sql_free(const struct crier_sql_conn *conn, SQLHSTMT *stmt)
{
    if (*stmt && conn->connected)
        SQLFreeHandle(SQL_HANDLE_STMT, *stmt);
    *stmt = NULL;
}
