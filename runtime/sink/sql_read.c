/* SPDX-License-Identifier: MIT
 *
 * Reading back, changing, deleting. A record is its columns and its JSON; what was sent comes from
 * DataHISTORY and goes where the JSON has null for it.
 */
#include "sink/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "record/change.h"

enum { DELETE_ROWS = 64 };

/* ---- a row ---- */

static const char *const names_of[CRIER_SQL_PLACES][8] = {
    {"id", "time", "node", "record", "content", NULL},
    {"id", "time", "node", "record", "level", NULL},
    {"id", "time", "node", "record", "level", "kind", "logger", "text"},
};

static bool ordered_by_id(const struct crier_query *query)
{
    return query->order && strcmp(query->order, "id") == 0;
}

/* most: rows that are enough; SIZE_MAX: all. The text of an id sorts as the id. */
static void select_text(const struct crier_sql_dialect *d, enum crier_sql_place place,
                        const char *where, const struct crier_query *query, size_t most,
                        struct crier_buf *b)
{
    static const struct {
        const char *time, *more;
    } parts[CRIER_SQL_PLACES] = {
        {"l.timestamp", ", d.content"},
        {"l.created", ", l.level"},
        {"l.time", ", l.level, l.kind, l.logger, l.text"},
    };
    bool server = d->engine == CRIER_SQL_SQLSERVER;
    crier_buf_puts(b, "SELECT ");
    if (server && most != SIZE_MAX)
        crier_buf_printf(b, "TOP (%zu) ", most);
    crier_buf_puts(b, "l.record_id, ");
    crier_sql_put_time(d, b, parts[place].time);
    crier_buf_printf(b, ", l.node, l.record%s FROM %s l", parts[place].more,
                     crier_sql_place_table(place)->name);
    if (place == CRIER_SQL_MESSAGE)
        crier_buf_puts(b, " JOIN DataHISTORY d ON d.id = l.sent_data");
    if (*where)
        crier_buf_printf(b, " WHERE %s", where);
    crier_buf_printf(b, " ORDER BY l.%s", !ordered_by_id(query) ? "id"
                                          : query->desc         ? "record_id DESC"
                                                                : "record_id");
    if (!server && most != SIZE_MAX)
        crier_buf_printf(b, " LIMIT %zu", most);
}

struct decoder {
    struct crier_reader reader;
    struct crier_buf cells[8];
};

static bool put_content(struct crier_reader *r, struct crier_str key, const struct crier_buf *text)
{
    struct crier_scan scan;
    crier_scan_init(&scan, text->data ? text->data : "", text->len);
    enum crier_scan_event event = crier_scan_next(&scan);
    bool good = crier_reader_value(r, key, &scan, event);
    crier_scan_fini(&scan);
    return good;
}

static bool put_rest(struct decoder *d, enum crier_sql_place place)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    const struct crier_buf *rest = &d->cells[3];
    static const char sent[] = "sent_data";
    crier_scan_init(&scan, rest->data ? rest->data : "", rest->len);
    bool good = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    while (good && (event = crier_scan_next(&scan)) != CRIER_SCAN_CLOSE) {
        if (event == CRIER_SCAN_NULL && place == CRIER_SQL_MESSAGE &&
            scan.key.len == sizeof sent - 1 && memcmp(scan.key.data, sent, sizeof sent - 1) == 0)
            good = put_content(&d->reader, scan.key, &d->cells[4]);
        else
            good = event > CRIER_SCAN_END && crier_reader_member(&d->reader, &scan, event);
    }
    crier_scan_fini(&scan);
    return good;
}

static void text_member(struct decoder *d, const char *name, const char *s, size_t len)
{
    if (!crier_reader_string(&d->reader, (struct crier_str){name, strlen(name)},
                             (struct crier_str){s, len}))
        d->reader.seen = 0;
}

/* NULL: what stands there is no record of ours. */
static struct crier_record *decode(struct decoder *d, enum crier_sql_place place)
{
    static const char *const kinds[] = {"message", "task", NULL};
    char time[32];
    crier_reader_begin(&d->reader);
    for (int i = 0; i < 8 && names_of[place][i]; i++) {
        const char *name = names_of[place][i];
        struct crier_buf *cell = &d->cells[i];
        if (i == 3 || strcmp(name, "content") == 0)
            continue;
        if (i == 1) {
            int len = snprintf(time, sizeof time, "%.26sZ", cell->data ? cell->data : "");
            if (len > 10)
                time[10] = 'T';
            text_member(d, name, time, (size_t)len);
        } else {
            text_member(d, name, cell->data ? cell->data : "", cell->len);
        }
    }
    if (kinds[place])
        text_member(d, "kind", kinds[place], strlen(kinds[place]));
    if (put_rest(d, place))
        return crier_reader_end(&d->reader);
    crier_build_cancel(&d->reader.b);
    return NULL;
}

static void decoder_fini(struct decoder *d)
{
    crier_reader_fini(&d->reader);
    for (int i = 0; i < 8; i++)
        crier_buf_fini(&d->cells[i]);
}

static enum crier_sql_fault read_cells(struct crier_sql *s, SQLHSTMT stmt, struct decoder *d,
                                       enum crier_sql_place place, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    for (int i = 0; i < 8 && names_of[place][i] && fault == CRIER_SQL_OK; i++) {
        crier_buf_clear(&d->cells[i]);
        fault = crier_sql_text(&s->conn, stmt, i + 1, &d->cells[i], NULL, err);
    }
    return fault;
}

/* ---- queries ---- */

struct search {
    const struct crier_query *query;
    bool columns_only;
    struct crier_buf hits; /* struct crier_record * */
    size_t places;         /* tables that may have some */
};

static void drop_hits(struct search *f)
{
    struct crier_record **hits = (struct crier_record **)(void *)f->hits.data;
    for (size_t i = 0; i < f->hits.len / sizeof *hits; i++)
        crier_record_unref(hits[i]);
    crier_buf_clear(&f->hits);
}

static enum crier_sql_fault search_rows(struct crier_sql *s, struct search *f,
                                        enum crier_sql_place place, size_t most, SQLHSTMT stmt,
                                        struct crier_err *err)
{
    struct decoder d = {0};
    bool more = true;
    size_t found = 0;
    enum crier_sql_fault fault = CRIER_SQL_OK;
    while (fault == CRIER_SQL_OK && found < most) {
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        fault = read_cells(s, stmt, &d, place, err);
        if (fault != CRIER_SQL_OK)
            break;
        struct crier_record *record = decode(&d, place);
        if (!record || !crier_query_wants(f->query, record)) {
            crier_record_unref(record);
            continue;
        }
        crier_buf_append(&f->hits, &record, sizeof record);
        crier_query_trim(f->query, &f->hits);
        found++;
    }
    decoder_fini(&d);
    return fault;
}

/* Hits of one table that are enough. All phases of events are needed; what comes first in the order
 * of ids is among what comes first in each table. */
static size_t wanted(const struct search *f, enum crier_sql_place place)
{
    const struct crier_query *q = f->query;
    if (q->limit >= INT32_MAX || q->offset >= INT32_MAX ||
        (place == CRIER_SQL_OTHER && crier_query_has_events(q)))
        return SIZE_MAX;
    if (!ordered_by_id(q) && (q->order || f->places > 1))
        return SIZE_MAX;
    return q->limit + q->offset;
}

static enum crier_sql_fault search_place(struct crier_sql *s, struct search *f,
                                         enum crier_sql_place place, struct crier_sql_where *where,
                                         struct crier_err *err)
{
    struct crier_buf text = {0};
    SQLHSTMT stmt = NULL;
    size_t most = wanted(f, place);
    select_text(s->conn.dialect, place, where->text.data, f->query, where->exact ? most : SIZE_MAX,
                &text);
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, text.data, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, where->cells, where->count, err);
    if (fault == CRIER_SQL_OK)
        fault = search_rows(s, f, place, most, stmt, err);
    crier_sql_free(&s->conn, &stmt);
    crier_buf_fini(&text);
    return fault;
}

static enum crier_sql_fault search_all(struct crier_sql *s, struct search *f, struct crier_err *err)
{
    struct crier_sql_where where[CRIER_SQL_PLACES];
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault != CRIER_SQL_OK)
        return fault;
    f->places = 0;
    for (int p = 0; p < CRIER_SQL_PLACES; p++) {
        crier_sql_where_make(&where[p], s->conn.dialect, (enum crier_sql_place)p, f->query,
                             f->columns_only);
        f->places += !where[p].none;
    }
    for (int p = 0; p < CRIER_SQL_PLACES && fault == CRIER_SQL_OK; p++)
        if (!where[p].none)
            fault = search_place(s, f, (enum crier_sql_place)p, &where[p], err);
    for (int p = 0; p < CRIER_SQL_PLACES; p++)
        crier_sql_where_fini(&where[p]);
    if (s->conn.connected && !s->conn.begun)
        crier_sql_rollback(&s->conn); /* a transaction that has only read is not to stay open */
    return fault;
}

static int by_id(const void *p, const void *q)
{
    return memcmp(crier_record_id_bytes(*(struct crier_record *const *)p),
                  crier_record_id_bytes(*(struct crier_record *const *)q), 16);
}

int crier_sql_query(struct crier_sql *s, const struct crier_query *query,
                    struct crier_record ***hits, size_t *count, struct crier_err *err)
{
    struct search f = {.query = query};
    enum crier_sql_fault fault = CRIER_SQL_LOST;
    *hits = NULL;
    *count = 0;
    if (s->refused)
        return crier_err_set(err, CRIER_EDENIED, "%s", s->refused);
    for (int i = 0; i < 4; i++) {
        struct crier_err why = {0};
        fault = search_all(s, &f, &why);
        if (fault == CRIER_SQL_OK)
            break;
        drop_hits(&f);
        if (err)
            *err = why;
        if (fault == CRIER_SQL_SCHEMA && s->read_only) {
            fault = CRIER_SQL_OK; /* nothing has ever been written */
            break;
        }
        if (fault == CRIER_SQL_SCHEMA)
            s->ready = false;
        else if (fault == CRIER_SQL_DENIED || (fault == CRIER_SQL_LOST && i > 0))
            break;
        else if (fault != CRIER_SQL_LOST)
            f.columns_only = true; /* JSON that the engine's functions make nothing of */
    }
    if (fault != CRIER_SQL_OK) {
        crier_buf_fini(&f.hits);
        return crier_sql_code(fault);
    }
    if (err)
        *err = (struct crier_err){0};
    *count = f.hits.len / sizeof(struct crier_record *);
    *hits = (struct crier_record **)(void *)f.hits.data;
    if (*count > 1)
        qsort(*hits, *count, sizeof **hits, by_id);
    return CRIER_OK;
}

/* ---- changing ---- */

static void delete_text(struct crier_sql *s, unsigned key, struct crier_buf *b)
{
    crier_buf_printf(b, "DELETE FROM %s WHERE record_id IN (",
                     crier_sql_place_table((enum crier_sql_place)(key & 0xff))->name);
    for (int i = 0; i < DELETE_ROWS; i++)
        crier_buf_printf(b, "%s%s", i ? ", " : "", s->conn.dialect->marks[CRIER_SQL_ID]);
    crier_buf_putc(b, ')');
}

/* From each table: a record is in one of them. */
static enum crier_sql_fault delete_records(struct crier_sql *s, struct crier_record *const *records,
                                           size_t count, struct crier_err *err)
{
    enum crier_sql_fault fault = CRIER_SQL_OK;
    struct crier_sql_cell cells[DELETE_ROWS];
    char ids[DELETE_ROWS][27];
    for (size_t at = 0; at < count && fault == CRIER_SQL_OK; at += DELETE_ROWS) {
        for (size_t i = 0; i < DELETE_ROWS; i++) {
            crier_record_id(records[at + i < count ? at + i : count - 1], ids[i]);
            cells[i] = CRIER_SQL_CELL_STR(CRIER_SQL_ID, ((struct crier_str){ids[i], 26}));
        }
        for (unsigned p = 0; p < CRIER_SQL_PLACES && fault == CRIER_SQL_OK; p++) {
            SQLHSTMT stmt;
            fault = crier_sql_statement(s, 3u << 16 | p, delete_text, &stmt, err);
            if (fault == CRIER_SQL_OK)
                fault = crier_sql_run(&s->conn, stmt, cells, DELETE_ROWS, err);
            if (fault == CRIER_SQL_OK)
                crier_sql_end(stmt);
        }
    }
    return fault;
}

/* A record that is changed is written anew in the same transaction, under the same record_id. */
static enum crier_sql_fault apply(struct crier_sql *s, struct crier_record *const *old,
                                  struct crier_record *const *new, size_t count, bool replace,
                                  struct crier_err *err)
{
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_begin(&s->conn, err);
    if (fault != CRIER_SQL_OK)
        return fault;
    fault = delete_records(s, old, count, err);
    if (fault == CRIER_SQL_OK && replace)
        fault = crier_sql_store(s, new, count, err);
    else if (fault == CRIER_SQL_OK)
        fault = crier_sql_fold(s, old, count, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_commit(&s->conn, err);
    if (fault != CRIER_SQL_OK) {
        crier_sql_rollback(&s->conn);
        crier_sql_forget(s);
    }
    return fault;
}

static int apply_all(struct crier_sql *s, const struct crier_buf *old, const struct crier_buf *new,
                     bool replace, struct crier_err *err)
{
    size_t count = old->len / sizeof(struct crier_record *);
    enum crier_sql_fault fault = CRIER_SQL_AGAIN;
    for (int i = 0; i < 3 && count && fault != CRIER_SQL_OK && fault != CRIER_SQL_DENIED; i++)
        fault = apply(s, (struct crier_record *const *)(const void *)old->data,
                      (struct crier_record *const *)(const void *)new->data, count, replace, err);
    if (fault == CRIER_SQL_OK && err)
        *err = (struct crier_err){0};
    return count ? crier_sql_code(fault) : CRIER_OK;
}

static void free_records(struct crier_buf *list)
{
    struct crier_record **records = (struct crier_record **)(void *)list->data;
    for (size_t i = 0; i < list->len / sizeof *records; i++)
        crier_record_unref(records[i]);
    crier_buf_fini(list);
}

int crier_sql_change(struct crier_sql *s, const struct crier_query *query, const json_t *fields,
                     uint64_t *changed, struct crier_err *err)
{
    struct crier_change change;
    struct crier_record **hits = NULL, **phases = NULL, *made;
    struct crier_buf old = {0}, new = {0};
    size_t count = 0;
    *changed = 0;
    int rc = crier_change_init(&change, query, fields, err);
    if (rc == CRIER_OK)
        rc = crier_sql_query(s, query, &hits, &count, err);
    if (rc == CRIER_OK && count && crier_query_has_events(query)) {
        phases = crier_malloc(count * sizeof *phases);
        for (size_t i = 0; i < count; i++)
            phases[i] = crier_record_ref(hits[i]);
        crier_change_learn(&change, phases, count);
    }
    for (size_t i = 0; rc == CRIER_OK && i < count; i++) {
        enum crier_change_verdict verdict = crier_change_ask(&change, hits[i], &made);
        if (verdict == CRIER_CHANGE_KEEP)
            continue;
        crier_record_ref(hits[i]);
        crier_buf_append(&old, &hits[i], sizeof hits[i]);
        if (verdict == CRIER_CHANGE_REPLACE)
            crier_buf_append(&new, &made, sizeof made);
    }
    if (rc == CRIER_OK)
        rc = crier_change_fault(&change, err);
    if (rc == CRIER_OK)
        rc = apply_all(s, &old, &new, fields != NULL, err);
    if (rc == CRIER_OK)
        *changed = change.changed;
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    free_records(&old);
    free_records(&new);
    crier_change_fini(&change);
    return rc;
}

/* ---- what is too old ---- */

static enum crier_sql_fault delete_before(struct crier_sql *s, const char *text, const char *time,
                                          struct crier_err *err)
{
    struct crier_sql_cell cell =
        CRIER_SQL_CELL_STR(CRIER_SQL_TIME, ((struct crier_str){time, strlen(time)}));
    SQLHSTMT stmt = NULL;
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, text, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, &cell, strchr(text, '?') ? 1 : 0, err);
    crier_sql_free(&s->conn, &stmt);
    return fault;
}

/* Contents that no log refers to any more go, too; events with their last phase. */
enum crier_sql_fault crier_sql_retain(struct crier_sql *s, struct crier_err *err)
{
    static const char *const columns[CRIER_SQL_PLACES] = {"timestamp", "created", "time"};
    struct crier_buf b = {0};
    char time[32];
    crier_sql_time(crier_clock_wall(s->env->clock) - s->keep, time);
    enum crier_sql_fault fault = crier_sql_ready(s, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_begin(&s->conn, err);
    for (int p = 0; p < CRIER_SQL_PLACES && fault == CRIER_SQL_OK; p++) {
        crier_buf_clear(&b);
        crier_buf_printf(&b, "DELETE FROM %s WHERE %s < %s",
                         crier_sql_place_table((enum crier_sql_place)p)->name, columns[p],
                         s->conn.dialect->marks[CRIER_SQL_TIME]);
        fault = delete_before(s, b.data, time, err);
    }
    if (fault == CRIER_SQL_OK)
        fault = delete_before(s,
                              "DELETE FROM DataHISTORY WHERE id NOT IN (SELECT l.sent_data FROM "
                              "MessageLOG l)",
                              time, err);
    if (fault == CRIER_SQL_OK)
        fault = delete_before(s,
                              "DELETE FROM event_log WHERE NOT EXISTS (SELECT 1 FROM record_log r "
                              "WHERE r.event_id = event_log.event_id AND r.node = event_log.node)",
                              time, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_commit(&s->conn, err);
    if (fault != CRIER_SQL_OK)
        crier_sql_rollback(&s->conn);
    crier_sql_forget(s);
    crier_buf_fini(&b);
    return fault;
}

/* ---- events ---- */

enum crier_sql_fault crier_sql_phases(struct crier_sql *s, struct crier_str node,
                                      struct crier_str event, struct crier_record ***out,
                                      size_t *count, struct crier_err *err)
{
    struct crier_query *all = crier_query_new(NULL);
    struct search f = {.query = all, .places = 1};
    struct crier_sql_where where = {0};
    struct crier_sql_cell cells[2] = {CRIER_SQL_CELL_STR(CRIER_SQL_NAME, event),
                                      CRIER_SQL_CELL_STR(CRIER_SQL_NAME, node)};
    const char *mark = s->conn.dialect->marks[CRIER_SQL_NAME];
    crier_buf_printf(&where.text, "l.event_id = %s AND l.node = %s", mark, mark);
    where.cells = cells;
    where.count = 2;
    enum crier_sql_fault fault = search_place(s, &f, CRIER_SQL_OTHER, &where, err);
    crier_buf_fini(&where.text);
    crier_query_free(all);
    if (fault != CRIER_SQL_OK)
        drop_hits(&f);
    *count = f.hits.len / sizeof(struct crier_record *);
    *out = (struct crier_record **)(void *)f.hits.data;
    return fault;
}
