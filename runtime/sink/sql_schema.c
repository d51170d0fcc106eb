/* SPDX-License-Identifier: MIT
 *
 * The tables, the statements that make them and fill them, and their version.
 */
#include "sink/sql.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS(list) list, CRIER_COUNT(list)
#define NEEDED "NOT NULL"

/* ---- tables ---- */

static const struct crier_sql_column lookup_columns[] = {
    {"id", CRIER_SQL_INT, "NOT NULL PRIMARY KEY"},
    {"name", CRIER_SQL_NAME, "NOT NULL UNIQUE"},
};
static const struct crier_sql_column guild_columns[] = {
    {"snowflake_id", CRIER_SQL_BIG, "NOT NULL UNIQUE"},
    {"name", CRIER_SQL_TEXT, NEEDED},
    {"guild_type", CRIER_SQL_INT, NEEDED},
};
static const struct crier_sql_column channel_columns[] = {
    {"snowflake_id", CRIER_SQL_BIG, "NOT NULL UNIQUE"},
    {"name", CRIER_SQL_TEXT, NEEDED},
    {"guild_id", CRIER_SQL_BIG, NEEDED},
};
static const struct crier_sql_column data_columns[] = {
    {"content", CRIER_SQL_TEXT, NEEDED},
    {"content_hash", CRIER_SQL_HASH, "NOT NULL UNIQUE"},
};
static const struct crier_sql_column message_columns[] = {
    {"sent_data", CRIER_SQL_BIG, NEEDED},
    {"message_type", CRIER_SQL_INT, NEEDED},
    {"guild_id", CRIER_SQL_BIG, NEEDED},
    {"message_mode", CRIER_SQL_INT, NULL},
    {"dm_reason", CRIER_SQL_TEXT, NULL},
    {"timestamp", CRIER_SQL_TIME, NEEDED},
    {"record_id", CRIER_SQL_ID, "NOT NULL UNIQUE"},
    {"node", CRIER_SQL_NAME, NEEDED},
    {"record", CRIER_SQL_TEXT, NEEDED},
};
static const struct crier_sql_column channel_log_columns[] = {
    {"log_id", CRIER_SQL_BIG, NEEDED},
    {"channel_id", CRIER_SQL_BIG, NEEDED},
    {"reason", CRIER_SQL_TEXT, NULL},
};
static const struct crier_sql_column task_columns[] = {
    {"record_id", CRIER_SQL_ID, "NOT NULL UNIQUE"},
    {"created", CRIER_SQL_TIME, NEEDED},
    {"node", CRIER_SQL_NAME, NEEDED},
    {"level", CRIER_SQL_NAME, NEEDED},
    {"task_name", CRIER_SQL_NAME, NEEDED},
    {"action", CRIER_SQL_NAME, NEEDED},
    {"run_id", CRIER_SQL_NAME, NULL},
    {"start", CRIER_SQL_TIME, NULL},
    {"end", CRIER_SQL_TIME, NULL},
    {"runtime", CRIER_SQL_REAL, NULL},
    {"exc_text", CRIER_SQL_TEXT, NULL},
    {"reason", CRIER_SQL_TEXT, NULL},
    {"record", CRIER_SQL_TEXT, NEEDED},
};
static const struct crier_sql_column event_columns[] = {
    {"node", CRIER_SQL_NAME, NEEDED},
    {"event_id", CRIER_SQL_NAME, NEEDED},
    {"when_started", CRIER_SQL_TIME, NULL},
    {"when_finished", CRIER_SQL_TIME, NULL},
    {"what_sql", CRIER_SQL_TEXT, NULL},
    {"mod_type", CRIER_SQL_TEXT, NULL},
    {"mod_index", CRIER_SQL_TEXT, NULL},
    {"ev_where", CRIER_SQL_TEXT, NULL},
    {"params", CRIER_SQL_TEXT, NULL},
    {"descr", CRIER_SQL_TEXT, NULL},
    {"descr_fin", CRIER_SQL_TEXT, NULL},
    {"code", CRIER_SQL_TEXT, NULL},
    {"who_admin", CRIER_SQL_TEXT, NULL},
    {"who_system", CRIER_SQL_TEXT, NULL},
    {"who_network", CRIER_SQL_TEXT, NULL},
    {"is_error", CRIER_SQL_BOOL, "NOT NULL DEFAULT FALSE"},
    {"is_severe", CRIER_SQL_BOOL, "NOT NULL DEFAULT FALSE"},
    {"is_debug", CRIER_SQL_BOOL, "NOT NULL DEFAULT FALSE"},
    {"notes", CRIER_SQL_TEXT, NULL},
};
static const struct crier_sql_column record_columns[] = {
    {"record_id", CRIER_SQL_ID, "NOT NULL UNIQUE"},
    {"time", CRIER_SQL_TIME, NEEDED},
    {"node", CRIER_SQL_NAME, NEEDED},
    {"kind", CRIER_SQL_NAME, NEEDED},
    {"level", CRIER_SQL_NAME, NEEDED},
    {"logger", CRIER_SQL_TEXT, NEEDED},
    {"text", CRIER_SQL_TEXT, NEEDED},
    {"event_id", CRIER_SQL_NAME, NULL},
    {"record", CRIER_SQL_TEXT, NEEDED},
};

static const char *const message_indexes[] = {"MessageLOG_guild(guild_id, timestamp)",
                                              "MessageLOG_time(timestamp)",
                                              "MessageLOG_data(sent_data)", NULL};
static const char *const task_indexes[] = {"task_log_task(task_name, action)",
                                           "task_log_created(created)", NULL};
static const char *const record_indexes[] = {"record_log_time(time)", "record_log_event(event_id)",
                                             NULL};

const struct crier_sql_table crier_sql_tables[CRIER_SQL_TABLES] = {
    [CRIER_SQL_T_MESSAGE_TYPE] = {.name = "MessageTYPE",
                                  COLUMNS(lookup_columns),
                                  .key = "id",
                                  .keep = true},
    [CRIER_SQL_T_MESSAGE_MODE] = {.name = "MessageMODE",
                                  COLUMNS(lookup_columns),
                                  .key = "id",
                                  .keep = true},
    [CRIER_SQL_T_GUILD_TYPE] = {.name = "GuildTYPE",
                                COLUMNS(lookup_columns),
                                .key = "id",
                                .keep = true},
    [CRIER_SQL_T_GUILD_USER] = {.name = "GuildUSER",
                                COLUMNS(guild_columns),
                                .serial = true,
                                .constraints = "FOREIGN KEY (guild_type) REFERENCES GuildTYPE (id)",
                                .key = "snowflake_id",
                                .keep = true},
    [CRIER_SQL_T_CHANNEL] = {.name = "CHANNEL",
                             COLUMNS(channel_columns),
                             .serial = true,
                             .constraints = "FOREIGN KEY (guild_id) REFERENCES GuildUSER (id)",
                             .key = "snowflake_id",
                             .keep = true},
    [CRIER_SQL_T_DATA_HISTORY] = {.name = "DataHISTORY",
                                  COLUMNS(data_columns),
                                  .serial = true,
                                  .key = "content_hash",
                                  .keep = true},
    [CRIER_SQL_T_MESSAGE_LOG] = {.name = "MessageLOG",
                                 COLUMNS(message_columns),
                                 .serial = true,
                                 .constraints =
                                     "FOREIGN KEY (sent_data) REFERENCES DataHISTORY (id), "
                                     "FOREIGN KEY (message_type) REFERENCES MessageTYPE (id), "
                                     "FOREIGN KEY (guild_id) REFERENCES GuildUSER (id), "
                                     "FOREIGN KEY (message_mode) REFERENCES MessageMODE (id)",
                                 .indexes = message_indexes,
                                 .key = "record_id",
                                 .keep = true},
    [CRIER_SQL_T_MESSAGE_CHANNEL_LOG] =
        {.name = "MessageChannelLOG",
         COLUMNS(channel_log_columns),
         .constraints = "PRIMARY KEY (log_id, channel_id), "
                        "FOREIGN KEY (log_id) REFERENCES MessageLOG (id) ON DELETE CASCADE, "
                        "FOREIGN KEY (channel_id) REFERENCES CHANNEL (id)",
         .key = "log_id, channel_id",
         .keep = true},
    [CRIER_SQL_T_TASK_LOG] = {.name = "task_log",
                              COLUMNS(task_columns),
                              .serial = true,
                              .indexes = task_indexes,
                              .key = "record_id",
                              .keep = true},
    [CRIER_SQL_T_EVENT_LOG] = {.name = "event_log",
                               COLUMNS(event_columns),
                               .constraints = "PRIMARY KEY (node, event_id)",
                               .key = "node, event_id"},
    [CRIER_SQL_T_RECORD_LOG] = {.name = "record_log",
                                COLUMNS(record_columns),
                                .serial = true,
                                .indexes = record_indexes,
                                .key = "record_id",
                                .keep = true},
};

/* ---- statements ---- */

/* Words of one of the languages among the names that we use. */
static bool is_word(const char *name)
{
    static const char *const words[] = {"end", "where", "group", "order", "key", "user", "table"};
    for (size_t i = 0; i < CRIER_COUNT(words); i++)
        if (strcasecmp(name, words[i]) == 0)
            return true;
    return false;
}

static bool is_plain(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

void crier_sql_put_name(const struct crier_sql_dialect *d, struct crier_buf *b, const char *name)
{
    if (is_plain(name) && !is_word(name)) {
        crier_buf_puts(b, name);
        return;
    }
    crier_buf_putc(b, d->quotes[0]);
    for (; *name; name++) {
        if (*name == d->quotes[1])
            crier_buf_putc(b, *name);
        crier_buf_putc(b, *name);
    }
    crier_buf_putc(b, d->quotes[1]);
}

void crier_sql_put_time(const struct crier_sql_dialect *d, struct crier_buf *b, const char *column)
{
    const char *at = strstr(d->time_out, "%s");
    for (const char *c = d->time_out; *c; c++) {
        if (c == at) {
            crier_buf_puts(b, column);
            c++;
        } else {
            crier_buf_putc(b, *c);
            c += c[0] == '%' && c[1] == '%';
        }
    }
}

/* "DEFAULT FALSE" is not everywhere a word. */
static void put_rest(const struct crier_sql_dialect *d, struct crier_buf *b,
                     const struct crier_sql_column *c)
{
    const char *at = c->rest ? strstr(c->rest, "DEFAULT FALSE") : NULL;
    if (!c->rest)
        crier_buf_puts(b, " NULL");
    else if (at && d->engine != CRIER_SQL_POSTGRESQL)
        crier_buf_printf(b, " %.*sDEFAULT 0", (int)(at - c->rest), c->rest);
    else
        crier_buf_printf(b, " %s", c->rest);
}

static void put_columns(const struct crier_sql_dialect *d, struct crier_buf *b,
                        const struct crier_sql_table *t)
{
    if (t->serial)
        crier_buf_printf(b, "id %s", d->serial);
    for (size_t i = 0; i < t->count; i++) {
        if (i || t->serial)
            crier_buf_puts(b, ", ");
        crier_sql_put_name(d, b, t->columns[i].name);
        crier_buf_printf(b, " %s", d->types[t->columns[i].type]);
        put_rest(d, b, &t->columns[i]);
    }
    if (t->constraints)
        crier_buf_printf(b, ", %s", t->constraints);
}

static void put_index(struct crier_buf *b, const struct crier_sql_table *t, const char *index,
                      bool if_missing)
{
    int len = (int)strcspn(index, "(");
    crier_buf_printf(b, "CREATE INDEX %s%.*s ON %s %s", if_missing ? "IF NOT EXISTS " : "", len,
                     index, t->name, index + len);
}

void crier_sql_table_ddl(const struct crier_sql_dialect *d, const struct crier_sql_table *t,
                         void (*fn)(void *arg, const char *text), void *arg)
{
    struct crier_buf b = {0};
    bool server = d->engine == CRIER_SQL_SQLSERVER, maria = d->engine == CRIER_SQL_MARIADB;
    if (server)
        crier_buf_printf(&b, "IF OBJECT_ID(N'%s', N'U') IS NULL BEGIN CREATE TABLE ", t->name);
    else
        crier_buf_puts(&b, "CREATE TABLE IF NOT EXISTS ");
    crier_sql_put_name(d, &b, t->name);
    crier_buf_puts(&b, " (");
    put_columns(d, &b, t);
    for (const char *const *i = maria ? t->indexes : NULL; i && *i; i++) {
        int len = (int)strcspn(*i, "(");
        crier_buf_printf(&b, ", INDEX %.*s %s", len, *i, *i + len);
    }
    crier_buf_printf(&b, ")%s", d->suffix);
    if (server) {
        for (const char *const *i = t->indexes; i && *i; i++) {
            crier_buf_puts(&b, "; ");
            put_index(&b, t, *i, false);
        }
        crier_buf_puts(&b, "; END");
    }
    fn(arg, b.data);
    for (const char *const *i = server || maria ? NULL : t->indexes; i && *i; i++) {
        crier_buf_clear(&b);
        put_index(&b, t, *i, true);
        fn(arg, b.data);
    }
    crier_buf_fini(&b);
}

/* Rows that never change. */
static const struct {
    enum crier_sql_table_id table;
    int id;
    const char *name;
} lookups[] = {
    {CRIER_SQL_T_MESSAGE_TYPE, 1, "TextMESSAGE"},  {CRIER_SQL_T_MESSAGE_TYPE, 2, "DirectMESSAGE"},
    {CRIER_SQL_T_MESSAGE_TYPE, 3, "VoiceMESSAGE"}, {CRIER_SQL_T_MESSAGE_MODE, 1, "send"},
    {CRIER_SQL_T_MESSAGE_MODE, 2, "edit"},         {CRIER_SQL_T_MESSAGE_MODE, 3, "clear-send"},
    {CRIER_SQL_T_GUILD_TYPE, 1, "GUILD"},          {CRIER_SQL_T_GUILD_TYPE, 2, "USER"},
};

/* What an older version has and this one has otherwise; on an engine where making what is missing
 * does not do it. Each step can be taken again. */
static const struct {
    enum crier_sql_engine engine;
    const char *text;
} migrations[] = {
    {CRIER_SQL_SQLSERVER,
     "IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE name = N'MessageLOG_data') "
     "CREATE INDEX MessageLOG_data ON MessageLOG (sent_data)"},
    /* MariaDB's foreign key has had an index of its own all along. */
};

static void migrate(const struct crier_sql_dialect *d, void (*fn)(void *arg, const char *text),
                    void *arg)
{
    char *text = crier_asprintf("UPDATE crier_schema SET version = %d WHERE version < %d",
                                CRIER_SQL_SCHEMA_VERSION, CRIER_SQL_SCHEMA_VERSION);
    for (size_t i = 0; i < CRIER_COUNT(migrations); i++)
        if (migrations[i].engine == d->engine)
            fn(arg, migrations[i].text);
    fn(arg, text);
    free(text);
}

static void objects_ddl(const struct crier_sql_dialect *d, void (*fn)(void *arg, const char *text),
                        void *arg)
{
    static const struct crier_sql_column version_columns[] = {
        {"version", CRIER_SQL_INT, "NOT NULL PRIMARY KEY"}};
    static const struct crier_sql_table version = {.name = "crier_schema",
                                                   COLUMNS(version_columns)};
    struct crier_buf b = {0};
    crier_sql_table_ddl(d, &version, fn, arg);
    for (size_t i = 0; i < CRIER_SQL_TABLES; i++)
        crier_sql_table_ddl(d, &crier_sql_tables[i], fn, arg);
    for (size_t i = 0; i < CRIER_COUNT(lookups); i++) {
        const char *table = crier_sql_tables[lookups[i].table].name;
        crier_buf_clear(&b);
        crier_buf_printf(
            &b,
            "INSERT INTO %s (id, name) SELECT v.id, v.name FROM (SELECT %d AS id, '%s' "
            "AS name) v WHERE NOT EXISTS (SELECT 1 FROM %s x WHERE x.id = %d)",
            table, lookups[i].id, lookups[i].name, table, lookups[i].id);
        fn(arg, b.data);
    }
    for (const char *const *o = d->objects; *o; o++)
        fn(arg, *o);
    crier_buf_fini(&b);
}

static void version_ddl(const struct crier_sql_dialect *d, void (*fn)(void *arg, const char *text),
                        void *arg)
{
    char *text = crier_asprintf("INSERT INTO crier_schema (version) SELECT v.version FROM (SELECT "
                                "%d AS version) v WHERE NOT EXISTS (SELECT 1 FROM crier_schema)",
                                CRIER_SQL_SCHEMA_VERSION);
    fn(arg, text);
    migrate(d, fn, arg);
    free(text);
}

void crier_sql_schema_ddl(const struct crier_sql_dialect *d,
                          void (*fn)(void *arg, const char *text), void *arg)
{
    objects_ddl(d, fn, arg);
    version_ddl(d, fn, arg);
}

static void put_names(struct crier_buf *b, const struct crier_sql_dialect *d,
                      const struct crier_sql_table *t, const char *before)
{
    for (size_t i = 0; i < t->count; i++) {
        crier_buf_printf(b, "%s%s", i ? ", " : "", before);
        crier_sql_put_name(d, b, t->columns[i].name);
    }
}

static void put_rows(struct crier_buf *b, const struct crier_sql_dialect *d,
                     const struct crier_sql_table *t, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        crier_buf_puts(b, r ? ", (" : "(");
        for (size_t i = 0; i < t->count; i++)
            crier_buf_printf(b, "%s%s", i ? ", " : "", d->marks[t->columns[i].type]);
        crier_buf_putc(b, ')');
    }
}

static bool is_key(const struct crier_sql_table *t, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = t->key; (at = strstr(at, name)); at += len)
        if ((at == t->key || at[-1] == ' ') && (at[len] == '\0' || at[len] == ','))
            return true;
    return false;
}

/* What is written over where the key is there already. */
static void put_update(struct crier_buf *b, const struct crier_sql_dialect *d,
                       const struct crier_sql_table *t, const char *before, const char *behind)
{
    const char *comma = "";
    for (size_t i = 0; i < t->count; i++) {
        if (is_key(t, t->columns[i].name))
            continue;
        crier_buf_puts(b, comma);
        crier_sql_put_name(d, b, t->columns[i].name);
        crier_buf_printf(b, " = %s", before);
        crier_sql_put_name(d, b, t->columns[i].name);
        crier_buf_puts(b, behind);
        comma = ", ";
    }
}

static void put_merge(struct crier_buf *b, const struct crier_sql_dialect *d,
                      const struct crier_sql_table *t, size_t rows)
{
    crier_buf_printf(b, "MERGE INTO %s WITH (HOLDLOCK) AS t USING (VALUES ", t->name);
    put_rows(b, d, t, rows);
    crier_buf_puts(b, ") AS v (");
    put_names(b, d, t, "");
    crier_buf_puts(b, ") ON ");
    const char *comma = "";
    for (size_t i = 0; i < t->count; i++) {
        if (!is_key(t, t->columns[i].name))
            continue;
        crier_buf_printf(b, "%st.%s = v.%s", comma, t->columns[i].name, t->columns[i].name);
        comma = " AND ";
    }
    if (!t->keep) {
        crier_buf_puts(b, " WHEN MATCHED THEN UPDATE SET ");
        put_update(b, d, t, "v.", "");
    }
    crier_buf_puts(b, " WHEN NOT MATCHED THEN INSERT (");
    put_names(b, d, t, "");
    crier_buf_puts(b, ") VALUES (");
    put_names(b, d, t, "v.");
    crier_buf_puts(b, ");");
}

void crier_sql_insert_text(const struct crier_sql_dialect *d, const struct crier_sql_table *t,
                           size_t rows, struct crier_buf *b)
{
    if (d->engine == CRIER_SQL_SQLSERVER) {
        put_merge(b, d, t, rows);
        return;
    }
    crier_buf_puts(b, "INSERT INTO ");
    crier_sql_put_name(d, b, t->name);
    crier_buf_puts(b, " (");
    put_names(b, d, t, "");
    crier_buf_puts(b, ") VALUES ");
    put_rows(b, d, t, rows);
    if (!t->key)
        return;
    if (d->engine == CRIER_SQL_MARIADB) {
        crier_buf_puts(b, " ON DUPLICATE KEY UPDATE ");
        if (t->keep) {
            int len = (int)strcspn(t->key, ",");
            crier_buf_printf(b, "%.*s = %.*s", len, t->key, len, t->key);
        } else {
            put_update(b, d, t, "VALUES(", ")");
        }
        return;
    }
    crier_buf_printf(b, " ON CONFLICT (%s) DO ", t->key);
    if (t->keep) {
        crier_buf_puts(b, "NOTHING");
    } else {
        crier_buf_puts(b, "UPDATE SET ");
        put_update(b, d, t, "excluded.", "");
    }
}

/* ---- making and checking ---- */

static enum crier_sql_fault ask_number(struct crier_sql_conn *conn, const char *text, bool *some,
                                       int64_t *out, struct crier_err *err)
{
    SQLHSTMT stmt = NULL;
    *some = false;
    enum crier_sql_fault fault = crier_sql_prepare(conn, text, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(conn, stmt, NULL, 0, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_fetch(conn, stmt, some, err);
    if (fault == CRIER_SQL_OK && *some)
        fault = crier_sql_int(conn, stmt, 1, out, err);
    crier_sql_free(conn, &stmt);
    return fault;
}

static char *present_text(const struct crier_sql_dialect *d)
{
    struct crier_buf names = {0}, b = {0};
    const char *at = strstr(d->present, "%s");
    crier_buf_puts(&names, "'crier_schema'");
    for (size_t i = 0; i < CRIER_SQL_TABLES; i++) {
        char *name = crier_strdup(crier_sql_tables[i].name);
        for (char *c = name; *c && d->engine == CRIER_SQL_POSTGRESQL; c++)
            *c = (char)tolower((unsigned char)*c);
        crier_buf_printf(&names, ", '%s'", name);
        free(name);
    }
    crier_buf_append(&b, d->present, (size_t)(at - d->present));
    crier_buf_puts(&b, names.data);
    crier_buf_puts(&b, at + 2);
    crier_buf_fini(&names);
    return crier_buf_take(&b);
}

enum crier_sql_fault crier_sql_schema_check(struct crier_sql_conn *conn, bool *whole,
                                            struct crier_err *err)
{
    const struct crier_sql_dialect *d = conn->dialect;
    int64_t n = 0, version = 0;
    bool some;
    *whole = false;
    char *text = present_text(d);
    enum crier_sql_fault fault = ask_number(conn, text, &some, &n, err);
    free(text);
    if (fault != CRIER_SQL_OK || n < CRIER_SQL_TABLES + 1 + d->object_count)
        return fault;
    fault = ask_number(conn, "SELECT MAX(version) FROM crier_schema", &some, &version, err);
    if (fault == CRIER_SQL_OK && version > CRIER_SQL_SCHEMA_VERSION) {
        crier_err_set(err, CRIER_EVERSION,
                      "%s: its tables are of version %d, this crier knows %d: use a newer crier or "
                      "another database",
                      conn->dsn.shown, (int)version, CRIER_SQL_SCHEMA_VERSION);
        return CRIER_SQL_DENIED;
    }
    *whole = fault == CRIER_SQL_OK && version == CRIER_SQL_SCHEMA_VERSION;
    return fault;
}

struct maker {
    struct crier_sql_conn *conn;
    enum crier_sql_fault fault;
    struct crier_err *err;
};

static void make_one(void *arg, const char *text)
{
    struct maker *m = arg;
    if (m->fault == CRIER_SQL_OK)
        m->fault = crier_sql_exec(m->conn, text, m->err);
}

/* Whether the original's logs are yet to be taken over: its tables are there, or were renamed and
 * no version was written since. */
static enum crier_sql_fault look_for_original(struct crier_sql *s, bool *found, bool *begun,
                                              struct crier_err *err)
{
    int64_t version = 0;
    bool some = false;
    enum crier_sql_fault fault = crier_sql_import_find(s, found, err);
    *begun = false;
    if (fault == CRIER_SQL_OK && !*found)
        fault = crier_sql_import_begun(s, begun, err);
    if (fault == CRIER_SQL_OK && *begun) {
        fault = ask_number(&s->conn, "SELECT COUNT(*) FROM crier_schema", &some, &version, err);
        if (fault == CRIER_SQL_SCHEMA)
            fault = CRIER_SQL_OK;
        *begun = version == 0;
    }
    crier_sql_rollback(&s->conn);
    return fault;
}

static enum crier_sql_fault make_all(struct crier_sql *s, struct crier_err *err)
{
    struct maker m = {.conn = &s->conn, .err = err};
    bool found = false, begun = false;
    m.fault = look_for_original(s, &found, &begun, err);
    if (m.fault == CRIER_SQL_OK)
        m.fault = crier_sql_begin(&s->conn, err);
    if (m.fault == CRIER_SQL_OK && found)
        m.fault = crier_sql_import_rename(s, err);
    if (m.fault == CRIER_SQL_OK)
        objects_ddl(s->conn.dialect, make_one, &m);
    if (m.fault == CRIER_SQL_OK && (found || begun))
        m.fault = crier_sql_import_copy(s, err);
    if (m.fault == CRIER_SQL_OK)
        version_ddl(s->conn.dialect, make_one, &m);
    if (m.fault == CRIER_SQL_OK)
        m.fault = crier_sql_commit(&s->conn, err);
    return m.fault;
}

enum crier_sql_fault crier_sql_schema_make(struct crier_sql *s, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    /* Two processes that make it at the same time trip over each other: the second try finds what
     * the other one has made. */
    for (int i = 0; i < 3; i++) {
        fault = make_all(s, err);
        if (fault == CRIER_SQL_OK || fault == CRIER_SQL_LOST || fault == CRIER_SQL_DENIED)
            break;
        crier_sql_rollback(&s->conn);
    }
    if (fault != CRIER_SQL_OK)
        crier_err_prefix(err, "making the tables: ");
    return fault;
}
