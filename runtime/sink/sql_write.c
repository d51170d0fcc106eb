/* SPDX-License-Identifier: MIT
 *
 * Writing: a batch is one transaction of prepared statements with many rows each. What is there
 * already is left as it is (by record_id), so a batch can be written again at any time: after the
 * answer to a commit was lost, or after a restart.
 *
 * Rows of MessageLOG refer to rows of other tables. Which of those are there is remembered; what is
 * not is inserted for the whole batch at once, and its keys are read back.
 */
#include "sink/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    AGAIN_MAX = 5,       /* tries of a transaction that the engine gave up */
    BYTES_MAX = 1 << 20, /* of the values of a statement, where it has more than a row */
    CACHE_MAX = 65536,   /* rows remembered of a table */
    LARGE = 1 << 20,     /* a record that may be what the connection breaks of */
    SUSPECT_MAX = 3,
    STATEMENT_INSERT = 0,
    STATEMENT_KEYS = 1 << 16,   /* SELECT id and key ... WHERE key IN */
    STATEMENT_RENAME = 2 << 16, /* UPDATE ... SET name */
};

/* A row that others refer to. */
struct known {
    uint64_t snowflake; /* first: the key */
    int64_t id;         /* 0: not yet */
    char *name;
    const struct crier_sql_target *target; /* while it is being made */
    const struct crier_sql_guild *guild;
    int64_t guild_id;
};
struct content {
    char hash[65];
    int64_t id;
    const struct crier_sql_row *row;
};

static void free_known(gpointer p)
{
    free(((struct known *)p)->name);
    free(p);
}

void crier_sql_forget(struct crier_sql *s)
{
    g_hash_table_remove_all(s->guilds);
    g_hash_table_remove_all(s->channels);
    g_hash_table_remove_all(s->contents);
}

/* ---- statements ---- */

enum crier_sql_fault crier_sql_statement(struct crier_sql *s, unsigned key,
                                         void (*text)(struct crier_sql *s, unsigned key,
                                                      struct crier_buf *b),
                                         SQLHSTMT *out, struct crier_err *err)
{
    struct crier_buf b = {0};
    *out = g_hash_table_lookup(s->inserts, GUINT_TO_POINTER(key + 1));
    if (*out)
        return CRIER_SQL_OK;
    text(s, key, &b);
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, b.data, out, err);
    if (fault == CRIER_SQL_OK)
        g_hash_table_insert(s->inserts, GUINT_TO_POINTER(key + 1), *out);
    crier_buf_fini(&b);
    return fault;
}

/* Room for n more cells behind the last one. */
static struct crier_sql_cell *more_cells(struct crier_sql *s, size_t n)
{
    if (s->cell_count + n > s->cell_cap) {
        s->cell_cap = (s->cell_count + n) * 2;
        s->cells = crier_realloc(s->cells, s->cell_cap * sizeof *s->cells);
    }
    s->cell_count += n;
    return &s->cells[s->cell_count - n];
}

/* The key names the table and the power of two that the rows are. */
static unsigned statement_key(unsigned what, enum crier_sql_table_id table, size_t rows)
{
    unsigned power = 0;
    while ((size_t)1 << power < rows)
        power++;
    return what | (unsigned)table << 8 | power;
}

static const struct crier_sql_table *table_of(unsigned key)
{
    return &crier_sql_tables[key >> 8 & 0xff];
}

static void insert_text(struct crier_sql *s, unsigned key, struct crier_buf *b)
{
    crier_sql_insert_text(s->conn.dialect, table_of(key), (size_t)1 << (key & 0xff), b);
}

/* As many rows as a statement takes: a power of two, so that few texts are needed. */
static size_t chunk_of(const struct crier_sql_dialect *d, const struct crier_sql_cell *cells,
                       size_t columns, size_t rows)
{
    size_t n = 1, bytes = 0, done = 0;
    while (n * 2 <= rows && n * 2 <= d->max_rows && n * 2 * columns <= d->max_params) {
        for (; done < n * 2 * columns; done++)
            bytes +=
                !cells[done].null && cells[done].type >= CRIER_SQL_TIME ? cells[done].s.len : 8;
        if (bytes > BYTES_MAX)
            break;
        n *= 2;
    }
    return n;
}

enum crier_sql_fault crier_sql_insert(struct crier_sql *s, enum crier_sql_table_id table,
                                      struct crier_sql_cell *cells, size_t rows,
                                      struct crier_err *err)
{
    size_t columns = crier_sql_tables[table].count;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    while (rows && fault == CRIER_SQL_OK) {
        size_t n = chunk_of(s->conn.dialect, cells, columns, rows);
        SQLHSTMT stmt;
        fault = crier_sql_statement(s, statement_key(STATEMENT_INSERT, table, n), insert_text,
                                    &stmt, err);
        if (fault == CRIER_SQL_OK)
            fault = crier_sql_run(&s->conn, stmt, cells, n * columns, err);
        if (fault == CRIER_SQL_OK)
            crier_sql_end(stmt);
        cells += n * columns;
        rows -= n;
    }
    return fault;
}

static void keys_text(struct crier_sql *s, unsigned key, struct crier_buf *b)
{
    const struct crier_sql_table *t = table_of(key);
    bool named = strcmp(t->key, "snowflake_id") == 0;
    enum crier_sql_type type = CRIER_SQL_TEXT;
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->columns[i].name, t->key) == 0)
            type = t->columns[i].type;
    crier_buf_printf(b, "SELECT id, %s%s FROM %s WHERE %s IN (", t->key, named ? ", name" : "",
                     t->name, t->key);
    for (size_t i = 0; i < (size_t)1 << (key & 0xff); i++)
        crier_buf_printf(b, "%s%s", i ? ", " : "", s->conn.dialect->marks[type]);
    crier_buf_putc(b, ')');
}

/* Read the ids of rows by their keys: fn is called with each. */
static enum crier_sql_fault
read_ids(struct crier_sql *s, enum crier_sql_table_id table, struct crier_sql_cell *keys,
         size_t count, void (*fn)(void *arg, int64_t id, const char *key, const char *name),
         void *arg, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    bool named = strcmp(crier_sql_tables[table].key, "snowflake_id") == 0, more;
    struct crier_buf key = {0}, name = {0};
    while (count && fault == CRIER_SQL_OK) {
        size_t n = chunk_of(s->conn.dialect, keys, 1, count);
        SQLHSTMT stmt;
        fault =
            crier_sql_statement(s, statement_key(STATEMENT_KEYS, table, n), keys_text, &stmt, err);
        if (fault == CRIER_SQL_OK)
            fault = crier_sql_run(&s->conn, stmt, keys, n, err);
        while (fault == CRIER_SQL_OK) {
            int64_t id = 0;
            fault = crier_sql_fetch(&s->conn, stmt, &more, err);
            if (fault != CRIER_SQL_OK || !more)
                break;
            crier_buf_clear(&key);
            crier_buf_clear(&name);
            fault = crier_sql_int(&s->conn, stmt, 1, &id, err);
            if (fault == CRIER_SQL_OK)
                fault = crier_sql_text(&s->conn, stmt, 2, &key, NULL, err);
            if (fault == CRIER_SQL_OK && named)
                fault = crier_sql_text(&s->conn, stmt, 3, &name, NULL, err);
            if (fault == CRIER_SQL_OK)
                fn(arg, id, key.data, named ? name.data : NULL);
        }
        if (s->conn.connected)
            crier_sql_end(stmt);
        keys += n;
        count -= n;
    }
    crier_buf_fini(&key);
    crier_buf_fini(&name);
    return fault;
}

static enum crier_sql_fault missing(struct crier_sql *s, const char *what, struct crier_err *err)
{
    crier_err_set(err, CRIER_EINTERNAL, "%s: a row of %s that was written is not there",
                  s->conn.dsn.shown, what);
    return CRIER_SQL_STALE;
}

/* ---- guilds and channels ---- */

static void rename_text(struct crier_sql *s, unsigned key, struct crier_buf *b)
{
    crier_buf_printf(b, "UPDATE %s SET name = %s WHERE id = %s", table_of(key)->name,
                     s->conn.dialect->marks[CRIER_SQL_TEXT], s->conn.dialect->marks[CRIER_SQL_BIG]);
}

static enum crier_sql_fault rename_row(struct crier_sql *s, enum crier_sql_table_id table,
                                       struct known *k, struct crier_str name,
                                       struct crier_err *err)
{
    struct crier_sql_cell cells[2] = {CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, name),
                                      CRIER_SQL_CELL_INT(CRIER_SQL_BIG, k->id)};
    SQLHSTMT stmt;
    enum crier_sql_fault fault =
        crier_sql_statement(s, statement_key(STATEMENT_RENAME, table, 1), rename_text, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, cells, 2, err);
    if (fault != CRIER_SQL_OK)
        return fault;
    crier_sql_end(stmt);
    free(k->name);
    k->name = crier_strndup(name.len ? name.data : "", name.len);
    return CRIER_SQL_OK;
}

static bool same_name(const struct known *k, struct crier_str name)
{
    return strlen(k->name) == name.len && memcmp(k->name, name.data, name.len) == 0;
}

static struct known *find_known(GHashTable *table, uint64_t snowflake, GPtrArray *fresh)
{
    struct known *k = g_hash_table_lookup(table, &snowflake);
    if (k)
        return k;
    k = crier_calloc(1, sizeof *k);
    k->snowflake = snowflake;
    k->name = crier_strdup("");
    g_hash_table_insert(table, k, k);
    g_ptr_array_add(fresh, k);
    return k;
}

static void learn_known(void *arg, int64_t id, const char *key, const char *name)
{
    uint64_t snowflake = strtoull(key ? key : "", NULL, 10);
    struct known *k = g_hash_table_lookup(arg, &snowflake);
    if (!k)
        return;
    k->id = id;
    free(k->name);
    k->name = crier_strdup(name ? name : "");
}

/* Insert what was met for the first time, unless it is there, and read all of their ids. */
static enum crier_sql_fault make_known(struct crier_sql *s, enum crier_sql_table_id table,
                                       GHashTable *known, const GPtrArray *fresh,
                                       struct crier_err *err)
{
    if (!fresh->len)
        return CRIER_SQL_OK;
    size_t columns = crier_sql_tables[table].count;
    s->cell_count = 0;
    for (guint i = 0; i < fresh->len; i++) {
        const struct known *k = fresh->pdata[i];
        struct crier_sql_cell *c = more_cells(s, columns);
        c[0] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, (int64_t)k->snowflake);
        c[1] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, k->guild ? k->guild->name : k->target->name);
        c[2] = CRIER_SQL_CELL_INT(table == CRIER_SQL_T_GUILD_USER ? CRIER_SQL_INT : CRIER_SQL_BIG,
                                  k->guild ? k->guild->type : k->guild_id);
    }
    enum crier_sql_fault fault = crier_sql_insert(s, table, s->cells, fresh->len, err);
    s->cell_count = 0;
    for (guint i = 0; i < fresh->len; i++)
        *more_cells(s, 1) = CRIER_SQL_CELL_INT(
            CRIER_SQL_BIG, (int64_t)((const struct known *)fresh->pdata[i])->snowflake);
    if (fault == CRIER_SQL_OK)
        fault = read_ids(s, table, s->cells, fresh->len, learn_known, known, err);
    for (guint i = 0; i < fresh->len && fault == CRIER_SQL_OK; i++)
        if (!((const struct known *)fresh->pdata[i])->id)
            fault = missing(s, crier_sql_tables[table].name, err);
    return fault;
}

static enum crier_sql_fault make_guilds(struct crier_sql *s, struct crier_err *err)
{
    GPtrArray *fresh = g_ptr_array_new();
    for (size_t i = 0; i < s->rows.count; i++) {
        const struct crier_sql_row *row = &s->rows.rows[i];
        if (row->place != CRIER_SQL_MESSAGE)
            continue;
        struct known *k = find_known(s->guilds, row->guild.snowflake, fresh);
        if (!k->id)
            k->guild = &row->guild;
    }
    enum crier_sql_fault fault = make_known(s, CRIER_SQL_T_GUILD_USER, s->guilds, fresh, err);
    g_ptr_array_free(fresh, TRUE);
    for (size_t i = 0; i < s->rows.count && fault == CRIER_SQL_OK; i++) {
        const struct crier_sql_row *row = &s->rows.rows[i];
        if (row->place != CRIER_SQL_MESSAGE)
            continue;
        struct known *k = g_hash_table_lookup(s->guilds, &row->guild.snowflake);
        if (!same_name(k, row->guild.name))
            fault = rename_row(s, CRIER_SQL_T_GUILD_USER, k, row->guild.name, err);
    }
    return fault;
}

static enum crier_sql_fault make_channels(struct crier_sql *s, struct crier_err *err)
{
    GPtrArray *fresh = g_ptr_array_new();
    for (size_t i = 0; i < s->rows.count; i++) {
        const struct crier_sql_row *row = &s->rows.rows[i];
        for (size_t t = row->targets; t < row->targets + row->target_count; t++) {
            struct known *k = find_known(s->channels, s->rows.targets[t].snowflake, fresh);
            if (k->id)
                continue;
            k->target = &s->rows.targets[t];
            k->guild_id =
                ((struct known *)g_hash_table_lookup(s->guilds, &row->guild.snowflake))->id;
        }
    }
    enum crier_sql_fault fault = make_known(s, CRIER_SQL_T_CHANNEL, s->channels, fresh, err);
    g_ptr_array_free(fresh, TRUE);
    for (size_t t = 0; t < s->rows.target_count && fault == CRIER_SQL_OK; t++) {
        struct known *k = g_hash_table_lookup(s->channels, &s->rows.targets[t].snowflake);
        if (!same_name(k, s->rows.targets[t].name))
            fault = rename_row(s, CRIER_SQL_T_CHANNEL, k, s->rows.targets[t].name, err);
    }
    return fault;
}

/* ---- contents ---- */

static void learn_content(void *arg, int64_t id, const char *key, const char *name)
{
    (void)name;
    struct content *c = key ? g_hash_table_lookup(arg, key) : NULL;
    if (c)
        c->id = id;
}

static int by_hash(gconstpointer p, gconstpointer q)
{
    return strcmp((*(struct content *const *)p)->hash, (*(struct content *const *)q)->hash);
}

/* In the order of their hashes, so that two processes wait for each other at most. */
static enum crier_sql_fault make_contents(struct crier_sql *s, struct crier_err *err)
{
    GPtrArray *fresh = g_ptr_array_new();
    enum crier_sql_fault fault = CRIER_SQL_OK;
    for (size_t i = 0; i < s->rows.count; i++) {
        const struct crier_sql_row *row = &s->rows.rows[i];
        if (row->place != CRIER_SQL_MESSAGE || g_hash_table_contains(s->contents, row->hash))
            continue;
        struct content *c = crier_calloc(1, sizeof *c);
        memcpy(c->hash, row->hash, sizeof c->hash);
        c->row = row;
        g_hash_table_insert(s->contents, c->hash, c);
        g_ptr_array_add(fresh, c);
    }
    g_ptr_array_sort(fresh, by_hash);
    s->cell_count = 0;
    for (guint i = 0; i < fresh->len; i++) {
        const struct content *c = fresh->pdata[i];
        struct crier_sql_cell *cells = more_cells(s, 2);
        cells[0] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, c->row->content);
        cells[1] = CRIER_SQL_CELL_STR(CRIER_SQL_HASH, ((struct crier_str){c->hash, 64}));
    }
    if (fresh->len)
        fault = crier_sql_insert(s, CRIER_SQL_T_DATA_HISTORY, s->cells, fresh->len, err);
    s->cell_count = 0;
    for (guint i = 0; i < fresh->len; i++)
        *more_cells(s, 1) = CRIER_SQL_CELL_STR(
            CRIER_SQL_HASH, ((struct crier_str){((struct content *)fresh->pdata[i])->hash, 64}));
    if (fresh->len && fault == CRIER_SQL_OK)
        fault = read_ids(s, CRIER_SQL_T_DATA_HISTORY, s->cells, fresh->len, learn_content,
                         s->contents, err);
    for (guint i = 0; i < fresh->len && fault == CRIER_SQL_OK; i++)
        if (!((const struct content *)fresh->pdata[i])->id)
            fault = missing(s, "DataHISTORY", err);
    g_ptr_array_free(fresh, TRUE);
    return fault;
}

/* ---- records ---- */

static struct crier_str text_of(const char *s)
{
    return (struct crier_str){s, strlen(s)};
}

static struct crier_sql_cell text_cell(struct crier_sql *s, enum crier_sql_type type,
                                       struct crier_str text)
{
    return CRIER_SQL_CELL_STR(type, crier_sql_plain(s->rows.text, text));
}

/* A field as a cell of this type; NULL when it is not there or something else. */
static struct crier_sql_cell field_cell(struct crier_sql *s, const struct crier_record *record,
                                        const char *name, enum crier_sql_type type)
{
    struct crier_value v;
    char scratch[32], time[32];
    if (!crier_record_get(record, name, &v, scratch))
        return CRIER_SQL_CELL_NULL(type);
    if (type == CRIER_SQL_TIME && v.type == CRIER_TIME) {
        const char *text = crier_sql_time(v.i, time);
        return CRIER_SQL_CELL_STR(type, text_of(g_string_chunk_insert(s->rows.text, text)));
    }
    if (type == CRIER_SQL_REAL && (v.type == CRIER_NUM || v.type == CRIER_INT))
        return (struct crier_sql_cell){.type = type, .n = v.type == CRIER_NUM ? v.n : (double)v.i};
    if ((type == CRIER_SQL_NAME || type == CRIER_SQL_TEXT) && v.type == CRIER_STR)
        return text_cell(s, type, v.s);
    return CRIER_SQL_CELL_NULL(type);
}

static void message_cells(struct crier_sql *s, const struct crier_sql_row *row,
                          struct crier_sql_cell *c)
{
    const struct known *guild = g_hash_table_lookup(s->guilds, &row->guild.snowflake);
    const struct content *content = g_hash_table_lookup(s->contents, row->hash);
    c[0] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, content->id);
    c[1] = CRIER_SQL_CELL_INT(CRIER_SQL_INT, row->type);
    c[2] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, guild->id);
    c[3] = CRIER_SQL_CELL_INT(CRIER_SQL_INT, row->mode);
    c[3].null = !row->mode;
    c[4] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, row->dm_reason);
    c[4].null = !row->dm_reason.data;
    c[5] = CRIER_SQL_CELL_STR(CRIER_SQL_TIME, text_of(row->time));
    c[6] = CRIER_SQL_CELL_STR(CRIER_SQL_ID, text_of(row->id));
    c[7] = text_cell(s, CRIER_SQL_NAME, crier_record_node(row->record));
    c[8] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, row->rest);
}

static void task_cells(struct crier_sql *s, const struct crier_sql_row *row,
                       struct crier_sql_cell *c)
{
    const struct crier_sql_table *t = &crier_sql_tables[CRIER_SQL_T_TASK_LOG];
    c[0] = CRIER_SQL_CELL_STR(CRIER_SQL_ID, text_of(row->id));
    c[1] = CRIER_SQL_CELL_STR(CRIER_SQL_TIME, text_of(row->time));
    c[2] = text_cell(s, CRIER_SQL_NAME, crier_record_node(row->record));
    c[3] = CRIER_SQL_CELL_STR(CRIER_SQL_NAME,
                              text_of(crier_level_name(crier_record_level(row->record))));
    for (size_t i = 4; i + 1 < t->count; i++)
        c[i] = field_cell(s, row->record, t->columns[i].name, t->columns[i].type);
    c[t->count - 1] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, row->rest);
}

static void other_cells(struct crier_sql *s, const struct crier_sql_row *row,
                        struct crier_sql_cell *c)
{
    const struct crier_record *record = row->record;
    struct crier_str event;
    char scratch[32];
    c[0] = CRIER_SQL_CELL_STR(CRIER_SQL_ID, text_of(row->id));
    c[1] = CRIER_SQL_CELL_STR(CRIER_SQL_TIME, text_of(row->time));
    c[2] = text_cell(s, CRIER_SQL_NAME, crier_record_node(record));
    c[3] = CRIER_SQL_CELL_STR(CRIER_SQL_NAME, text_of(crier_kind_name(crier_record_kind(record))));
    c[4] =
        CRIER_SQL_CELL_STR(CRIER_SQL_NAME, text_of(crier_level_name(crier_record_level(record))));
    c[5] = text_cell(s, CRIER_SQL_TEXT, crier_record_logger(record));
    c[6] = text_cell(s, CRIER_SQL_TEXT, crier_record_text(record));
    c[7] = CRIER_SQL_CELL_NULL(CRIER_SQL_NAME);
    if (crier_event_of(record, &event, scratch))
        c[7] = text_cell(
            s, CRIER_SQL_NAME,
            (struct crier_str){
                g_string_chunk_insert_len(s->rows.text, event.data, (gssize)event.len), event.len});
    c[8] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, row->rest);
}

static enum crier_sql_fault insert_place(struct crier_sql *s, enum crier_sql_place place,
                                         struct crier_err *err)
{
    static const enum crier_sql_table_id tables[CRIER_SQL_PLACES] = {
        CRIER_SQL_T_MESSAGE_LOG, CRIER_SQL_T_TASK_LOG, CRIER_SQL_T_RECORD_LOG};
    static void (*const make[CRIER_SQL_PLACES])(struct crier_sql *, const struct crier_sql_row *,
                                                struct crier_sql_cell *) = {
        message_cells, task_cells, other_cells};
    size_t columns = crier_sql_tables[tables[place]].count, n = 0;
    s->cell_count = 0;
    for (size_t i = 0; i < s->rows.count; i++) {
        if (s->rows.rows[i].place != place)
            continue;
        make[place](s, &s->rows.rows[i], more_cells(s, columns));
        n++;
    }
    return n ? crier_sql_insert(s, tables[place], s->cells, n, err) : CRIER_SQL_OK;
}

static void learn_log(void *arg, int64_t id, const char *key, const char *name)
{
    (void)name;
    g_hash_table_insert(arg, g_strdup(key), g_memdup2(&id, sizeof id));
}

/* The channels of the logs that have just been written. */
static enum crier_sql_fault insert_channel_logs(struct crier_sql *s, struct crier_err *err)
{
    GHashTable *ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    size_t n = 0;
    s->cell_count = 0;
    for (size_t i = 0; i < s->rows.count; i++)
        if (s->rows.rows[i].target_count)
            *more_cells(s, 1) = CRIER_SQL_CELL_STR(CRIER_SQL_ID, text_of(s->rows.rows[i].id));
    enum crier_sql_fault fault =
        read_ids(s, CRIER_SQL_T_MESSAGE_LOG, s->cells, s->cell_count, learn_log, ids, err);
    s->cell_count = 0;
    for (size_t i = 0; i < s->rows.count && fault == CRIER_SQL_OK; i++) {
        const struct crier_sql_row *row = &s->rows.rows[i];
        const int64_t *id = row->target_count ? g_hash_table_lookup(ids, row->id) : NULL;
        if (row->target_count && !id)
            fault = missing(s, "MessageLOG", err);
        for (size_t t = row->targets; id && t < row->targets + row->target_count; t++, n++) {
            const struct crier_sql_target *target = &s->rows.targets[t];
            const struct known *k = g_hash_table_lookup(s->channels, &target->snowflake);
            struct crier_sql_cell *c = more_cells(s, 3);
            c[0] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, *id);
            c[1] = CRIER_SQL_CELL_INT(CRIER_SQL_BIG, k->id);
            c[2] = CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, target->reason);
            c[2].null = !target->reason.data;
        }
    }
    if (fault == CRIER_SQL_OK && n)
        fault = crier_sql_insert(s, CRIER_SQL_T_MESSAGE_CHANNEL_LOG, s->cells, n, err);
    g_hash_table_destroy(ids);
    return fault;
}

static bool has_place(const struct crier_sql *s, enum crier_sql_place place)
{
    for (size_t i = 0; i < s->rows.count; i++)
        if (s->rows.rows[i].place == place)
            return true;
    return false;
}

static void bound_cache(GHashTable *table)
{
    if (g_hash_table_size(table) > CACHE_MAX)
        g_hash_table_remove_all(table);
}

enum crier_sql_fault crier_sql_store(struct crier_sql *s, struct crier_record *const *records,
                                     size_t count, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    bound_cache(s->guilds);
    bound_cache(s->channels);
    bound_cache(s->contents);
    crier_sql_rows_make(&s->rows, s->conn.dialect, records, count);
    if (has_place(s, CRIER_SQL_MESSAGE)) {
        fault = make_guilds(s, err);
        if (fault == CRIER_SQL_OK)
            fault = make_channels(s, err);
        if (fault == CRIER_SQL_OK)
            fault = make_contents(s, err);
        if (fault == CRIER_SQL_OK)
            fault = insert_place(s, CRIER_SQL_MESSAGE, err);
        if (fault == CRIER_SQL_OK && s->rows.target_count)
            fault = insert_channel_logs(s, err);
    }
    if (fault == CRIER_SQL_OK)
        fault = insert_place(s, CRIER_SQL_TASK, err);
    if (fault == CRIER_SQL_OK)
        fault = insert_place(s, CRIER_SQL_OTHER, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_fold(s, records, count, err);
    return fault;
}

/* ---- a batch ---- */

/* What is read of a transaction that is undone is not to be relied upon. */
static enum crier_sql_fault transact(struct crier_sql *s, struct crier_record *const *records,
                                     size_t count, struct crier_err *err)
{
    s->writing = false;
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault != CRIER_SQL_OK)
        return fault;
    s->writing = true;
    fault = crier_sql_begin(&s->conn, err);
    if (fault == CRIER_SQL_OK)
        fault = s->model ? crier_sql_table_store(s, records, count, err)
                         : crier_sql_store(s, records, count, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_commit(&s->conn, err);
    if (fault == CRIER_SQL_OK)
        return fault;
    crier_sql_rollback(&s->conn);
    crier_sql_forget(s);
    return fault;
}

/* Once more for what a look at the database mends. */
static enum crier_sql_fault try_range(struct crier_sql *s, struct crier_record *const *records,
                                      size_t count, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    bool mended = false;
    for (int i = 0; i < AGAIN_MAX; i++) {
        fault = transact(s, records, count, err);
        if (fault == CRIER_SQL_AGAIN)
            continue;
        if ((fault != CRIER_SQL_SCHEMA && fault != CRIER_SQL_STALE) || mended)
            break;
        mended = true;
        s->ready = false;
        s->remake = true; /* also the rows that never change */
    }
    return fault;
}

/* A record that the connection is lost at each time is one that the server cannot take: it is tried
 * alone, and given up when it is large. */
static void note_suspect(struct crier_sql *s, struct crier_record *record)
{
    char id[27];
    crier_record_id(record, id);
    if (strcmp(id, s->suspect) != 0)
        s->suspect_times = 0;
    memcpy(s->suspect, id, sizeof id);
    s->suspect_times++;
}

static bool is_poison(const struct crier_sql *s, struct crier_record *record)
{
    return s->suspect_times > 2 * SUSPECT_MAX && crier_record_bytes(record).len > LARGE;
}

enum crier_verdict crier_sql_write(struct crier_sql *s, struct crier_record *const *records,
                                   size_t count, size_t *done, struct crier_err *err)
{
    size_t size = s->suspect_times >= SUSPECT_MAX ? 1 : count;
    *done = 0;
    if (s->refused) {
        crier_err_set(err, CRIER_EDENIED, "%s", s->refused);
        return CRIER_RETRY_LATER;
    }
    while (*done < count) {
        size = size < count - *done ? size : count - *done;
        switch (try_range(s, records + *done, size, err)) {
        case CRIER_SQL_OK:
            *done += size;
            s->suspect_times = 0;
            if (err)
                *err = (struct crier_err){0};
            break;
        case CRIER_SQL_RECORD:
        case CRIER_SQL_STALE:
            if (size == 1)
                return CRIER_REJECTED;
            size = (size + 1) / 2;
            break;
        case CRIER_SQL_LOST:
            if (!s->writing)
                return CRIER_RETRY_LATER;
            note_suspect(s, records[*done]);
            return size == 1 && is_poison(s, records[*done]) ? CRIER_REJECTED : CRIER_RETRY_LATER;
        case CRIER_SQL_DENIED:
        case CRIER_SQL_SCHEMA:
            return CRIER_UNAVAILABLE;
        default:
            return CRIER_RETRY_LATER;
        }
    }
    return CRIER_WRITTEN;
}

void crier_sql_caches_init(struct crier_sql *s)
{
    s->inserts = g_hash_table_new(g_direct_hash, g_direct_equal);
    s->guilds = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_known);
    s->channels = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_known);
    s->contents = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free);
}

void crier_sql_caches_fini(struct crier_sql *s)
{
    g_hash_table_destroy(s->inserts);
    g_hash_table_destroy(s->guilds);
    g_hash_table_destroy(s->channels);
    g_hash_table_destroy(s->contents);
    crier_sql_rows_fini(&s->rows);
    free(s->cells);
}
