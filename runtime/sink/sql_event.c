/* SPDX-License-Identifier: MIT
 *
 * event_log: a row an event. The phases are records of their own in record_log; the row is made
 * anew of all of them whenever one is written, changed or deleted, so their order plays no part.
 */
#include "sink/sql.h"

#include <stdlib.h>
#include <string.h>

#include "record/value_json.h"

static const struct crier_sql_table *events(void)
{
    return &crier_sql_tables[CRIER_SQL_T_EVENT_LOG];
}

static struct crier_str keep(GStringChunk *chunk, struct crier_str s)
{
    return (struct crier_str){g_string_chunk_insert_len(chunk, s.data ? s.data : "", (gssize)s.len),
                              s.len};
}

static struct crier_sql_cell json_cell(GStringChunk *chunk, const struct crier_value *v)
{
    struct crier_buf b = {0};
    crier_value_json(&b, v);
    struct crier_str text = keep(chunk, (struct crier_str){b.data, b.len});
    crier_buf_fini(&b);
    return CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, text);
}

/* A field as text, whatever its type: mod_index may be a number. */
static struct crier_sql_cell text_cell(GStringChunk *chunk, const struct crier_value *v)
{
    char text[32];
    switch (v->type) {
    case CRIER_STR:
        return CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, crier_sql_plain(chunk, keep(chunk, v->s)));
    case CRIER_INT:
        snprintf(text, sizeof text, "%lld", (long long)v->i);
        break;
    case CRIER_SNOWFLAKE:
        snprintf(text, sizeof text, "%llu", (unsigned long long)v->u);
        break;
    case CRIER_NUM:
        snprintf(text, sizeof text, "%.17g", v->n);
        break;
    case CRIER_FALSE:
    case CRIER_TRUE:
        snprintf(text, sizeof text, "%s", v->type == CRIER_TRUE ? "true" : "false");
        break;
    case CRIER_TIME:
        crier_sql_time(v->i, text);
        break;
    case CRIER_OBJECT:
    case CRIER_ARRAY:
        return json_cell(chunk, v);
    default:
        return CRIER_SQL_CELL_NULL(CRIER_SQL_TEXT);
    }
    return CRIER_SQL_CELL_STR(CRIER_SQL_TEXT, keep(chunk, (struct crier_str){text, strlen(text)}));
}

static struct crier_sql_cell cell_of(GStringChunk *chunk, const struct crier_record *record,
                                     const struct crier_sql_column *column)
{
    struct crier_value v;
    char scratch[32], time[32];
    bool there = crier_record_get(record, column->name, &v, scratch);
    if (column->type == CRIER_SQL_BOOL)
        return CRIER_SQL_CELL_INT(CRIER_SQL_BOOL, there && v.type == CRIER_TRUE);
    if (!there)
        return CRIER_SQL_CELL_NULL(column->type);
    if (column->type != CRIER_SQL_TIME)
        return text_cell(chunk, &v);
    if (v.type != CRIER_TIME)
        return CRIER_SQL_CELL_NULL(CRIER_SQL_TIME);
    crier_sql_time(v.i, time);
    return CRIER_SQL_CELL_STR(CRIER_SQL_TIME, keep(chunk, (struct crier_str){time, strlen(time)}));
}

static enum crier_sql_fault delete_row(struct crier_sql *s, struct crier_sql_cell *key,
                                       struct crier_err *err)
{
    const char *mark = s->conn.dialect->marks[CRIER_SQL_NAME];
    char *text =
        crier_asprintf("DELETE FROM event_log WHERE node = %s AND event_id = %s", mark, mark);
    SQLHSTMT stmt = NULL;
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, text, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, key, 2, err);
    crier_sql_free(&s->conn, &stmt);
    free(text);
    return fault;
}

static enum crier_sql_fault fold_one(struct crier_sql *s, struct crier_str node,
                                     struct crier_str event, struct crier_err *err)
{
    struct crier_record **phases = NULL;
    struct crier_sql_cell cells[32] = {CRIER_SQL_CELL_STR(CRIER_SQL_NAME, node),
                                       CRIER_SQL_CELL_STR(CRIER_SQL_NAME, event)};
    size_t count = 0;
    enum crier_sql_fault fault = crier_sql_phases(s, node, event, &phases, &count, err);
    if (fault == CRIER_SQL_OK && count == 0)
        fault = delete_row(s, cells, err);
    if (fault == CRIER_SQL_OK && count) {
        GStringChunk *chunk = g_string_chunk_new(1024);
        count = crier_records_fold(phases, count);
        for (size_t i = 2; i < events()->count; i++)
            cells[i] = cell_of(chunk, phases[0], &events()->columns[i]);
        fault = crier_sql_insert(s, CRIER_SQL_T_EVENT_LOG, cells, 1, err);
        g_string_chunk_free(chunk);
    }
    for (size_t i = 0; i < count; i++)
        crier_record_unref(phases[i]);
    free(phases);
    return fault;
}

enum crier_sql_fault crier_sql_fold(struct crier_sql *s, struct crier_record *const *records,
                                    size_t count, struct crier_err *err)
{
    GHashTable *done = NULL;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    for (size_t i = 0; i < count && fault == CRIER_SQL_OK; i++) {
        struct crier_str event, node = crier_record_node(records[i]);
        char scratch[32];
        if (!crier_event_of(records[i], &event, scratch))
            continue;
        if (!done)
            done = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        GStringChunk *chunk = g_string_chunk_new(256);
        node = crier_sql_plain(chunk, keep(chunk, node));
        event = crier_sql_plain(chunk, keep(chunk, event));
        if (g_hash_table_add(done, g_strdup_printf("%s\n%s", node.data, event.data)))
            fault = fold_one(s, node, event, err);
        g_string_chunk_free(chunk);
    }
    if (done)
        g_hash_table_destroy(done);
    return fault;
}
