/* SPDX-License-Identifier: MIT
 *
 * The sql sink: the driver.
 */
#include "sink/sql.h"
#include "sink/task_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "sink/registry.h"

#define KEEP_EVERY (3600 * CRIER_S)
#define CHECK_EVERY (60 * CRIER_S)

static const struct crier_option options[] = {
    {.name = "dsn",
     .type = CRIER_OPT_SECRET,
     .flags = CRIER_OPT_ADDRESS,
     .type_name = "string|crier.Secret",
     .def = "Driver=SQLite3;Database=crier.db",
     .help = "ODBC connection string, or the name of a data source of odbc.ini; a SQLite file is "
             "relative to the script's folder"},
    {.name = "user", .type = CRIER_OPT_STRING, .help = "as UID= in the connection string"},
    {.name = "password",
     .type = CRIER_OPT_SECRET,
     .type_name = "string|crier.Secret",
     .help = "as PWD= in the connection string; crier.secret.env \"DB_PASSWORD\""},
    {.name = "timeout",
     .type = CRIER_OPT_DURATION,
     .def = "10s",
     .min = CRIER_S,
     .max = 600 * CRIER_S,
     .help = "longest wait for a login"},
    {.name = "keep",
     .type = CRIER_OPT_DURATION,
     .flags = CRIER_OPT_OR_FALSE,
     .min = 60 * CRIER_S,
     .max = INT64_C(36500) * 86400 * CRIER_S,
     .help = "records older than this are deleted, once an hour; default: never"},
    {.name = "table",
     .type = CRIER_OPT_STRING,
     .help = "a plain table of task runs in place of the whole schema"},
    {.name = "model",
     .type = CRIER_OPT_ENUM,
     .def = "run",
     .choices = CRIER_TASK_MODELS,
     .help = "columns of a plain table: task_name, action, created; and those of a log line; and "
             "start, end, runtime, run_id"},
    {.name = "id_field",
     .type = CRIER_OPT_STRING,
     .def = "id",
     .help = "column of a plain table that holds the record's id; or one of the model's own "
             "(\"created\"): no id is kept then"},
    {.name = "if_missing",
     .type = CRIER_OPT_ENUM,
     .def = "create",
     .choices = "create error",
     .help = "when a plain table is not there"},
};

/* ---- connected and ready ---- */

static enum crier_sql_fault look(struct crier_sql *s, struct crier_err *err)
{
    bool whole = false;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    if (s->model) {
        fault = crier_sql_table_make(s, err);
    } else {
        if (!s->remake)
            fault = crier_sql_schema_check(&s->conn, &whole, err);
        if (s->conn.connected)
            crier_sql_rollback(&s->conn);
        if (fault == CRIER_SQL_OK && !whole && !s->read_only)
            fault = crier_sql_schema_make(s, err);
    }
    if (s->conn.connected && !s->conn.begun)
        crier_sql_rollback(&s->conn);
    return fault;
}

enum crier_sql_fault crier_sql_ready(struct crier_sql *s, struct crier_err *err)
{
    enum crier_sql_fault fault = crier_sql_connect(&s->conn, err);
    if (fault != CRIER_SQL_OK)
        return fault;
    if (s->epoch != s->conn.epoch) { /* the statements went with the connection */
        g_hash_table_remove_all(s->inserts);
        crier_sql_forget(s);
        s->epoch = s->conn.epoch;
        s->ready = false;
    }
    if (s->ready)
        return CRIER_SQL_OK;
    crier_sql_forget(s);
    fault = look(s, err);
    s->ready = fault == CRIER_SQL_OK;
    if (s->ready) {
        s->remake = false;
        s->check_at = crier_clock_mono(s->env->clock) + CHECK_EVERY;
    }
    return fault;
}

/* ---- the driver ---- */

static void sql_close(void *self)
{
    struct crier_sql *s = self;
    crier_sql_caches_fini(s);
    crier_sql_disconnect(&s->conn);
    crier_sql_dsn_fini(&s->conn.dsn);
    free(s->refused);
    free(s->table);
    free(s->id_field);
    free(s->name);
    free(s);
}

static void refuse(struct crier_sql *s)
{
    const struct crier_sql_dsn *dsn = &s->conn.dsn;
    struct crier_err why = {0};
    const char *host = dsn->server && *dsn->server ? dsn->server : dsn->shown;
    if (!dsn->local && crier_sink_may_reach(s->env, host, &why) != CRIER_OK)
        s->refused = crier_asprintf("%s: %s", dsn->shown, why.text);
}

static int sql_open(const struct crier_sink_env *env, const struct crier_options *opts,
                    const char *name, void **self, struct crier_err *err)
{
    struct crier_sql *s = crier_calloc(1, sizeof *s);
    const char *table = crier_options_get(opts, "table")->s;
    s->env = env;
    s->name = crier_strdup(name);
    s->read_only = env->read_only;
    s->keep = crier_options_get(opts, "keep")->set ? crier_options_get(opts, "keep")->i : 0;
    s->conn.timeout = crier_options_get(opts, "timeout")->i;
    s->table = table && *table ? crier_strdup(table) : NULL;
    s->id_field = crier_strdup(crier_options_get(opts, "id_field")->s);
    s->create = strcmp(crier_options_get(opts, "if_missing")->s, "create") == 0;
    s->model = s->table ? crier_sql_model_find(crier_options_get(opts, "model")->s) : NULL;
    crier_sql_caches_init(s);
    int rc = crier_sql_dsn_read(
        &s->conn.dsn, crier_options_get(opts, "dsn")->s, crier_options_get(opts, "user")->s,
        crier_options_get(opts, "password")->s, env->folder, env->read_only, err);
    if (rc != CRIER_OK) {
        sql_close(s);
        return rc;
    }
    refuse(s);
    *self = s;
    return CRIER_OK;
}

static enum crier_verdict sql_write(void *self, struct crier_record *const *records, size_t count,
                                    size_t *done, struct crier_err *err)
{
    return crier_sql_write(self, records, count, done, err);
}

static int sql_query(void *self, const struct crier_query *query, struct crier_record ***hits,
                     size_t *count, struct crier_err *err)
{
    struct crier_sql *s = self;
    const char *file = s->conn.dsn.file;
    *hits = NULL;
    *count = 0;
    if (s->read_only && file && access(file, F_OK) != 0 && errno == ENOENT)
        return CRIER_OK; /* nothing has ever been written */
    return s->model ? crier_sql_table_query(s, query, hits, count, err)
                    : crier_sql_query(s, query, hits, count, err);
}

static int sql_change(void *self, const struct crier_query *query, const json_t *fields,
                      uint64_t *changed, struct crier_err *err)
{
    struct crier_sql *s = self;
    if (s->model)
        return crier_err_set(err, CRIER_EINVAL, "table '%s' is a plain one: change it with exec",
                             s->table);
    return crier_sql_change(s, query, fields, changed, err);
}

/* Views and functions are not missed by anything written here: so one looks. */
static int64_t sql_idle(void *self, int64_t now)
{
    struct crier_sql *s = self;
    int64_t due = CRIER_NEVER;
    struct crier_err err = {0};
    if (s->refused || s->read_only)
        return due;
    if (s->conn.connected && s->ready) {
        if (now >= s->check_at) {
            s->ready = false;
            if (crier_sql_ready(s, &err) != CRIER_SQL_OK)
                s->check_at = now + CHECK_EVERY; /* the next write tells of it */
        }
        due = s->check_at;
    }
    if (s->keep && !s->model) {
        if (now >= s->keep_at) {
            s->keep_at = now + KEEP_EVERY;
            if (crier_sql_retain(s, &err) != CRIER_SQL_OK)
                s->keep_at = now + CHECK_EVERY;
        }
        due = s->keep_at < due ? s->keep_at : due;
    }
    return due;
}

static const struct crier_sink_method methods[] = {
    {"success_rate", "sql:success_rate{ guild = \"863071397207212052\", limit = 1000 }",
     "how many of a guild's last logs succeeded, or of a log's channels: 0 to 1, five decimals; 1 "
     "where there is nothing",
     crier_sql_success_rate, false},
    {"exec", "sql:exec(\"SELECT name FROM CHANNEL WHERE guild_id = ?\", { 1 })",
     "a statement of your own: its rows, or how many rows it changed", crier_sql_do,
     .runs_sql = true},
    {NULL, NULL, NULL, NULL, false},
};

const struct crier_sink_driver crier_sink_sql = {
    .kind = "sql",
    .help = "a relational database over ODBC: SQLite, PostgreSQL, MariaDB, SQL Server",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = sql_open,
    .write = sql_write,
    .idle = sql_idle,
    .close = sql_close,
    .query = sql_query,
    .batch = 1024,
    .durable = true,
    .change = sql_change,
    .methods = methods,
};
