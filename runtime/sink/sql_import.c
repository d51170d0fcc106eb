/* SPDX-License-Identifier: MIT
 *
 * The original's database: tables of the same names without what we add (record_id, node, record,
 * content_hash), lookup rows that are numbered in the order of their use, times of the clock on its
 * wall. Its tables are renamed to daf_..., ours are made, and each of its logs is written as a
 * record, so that it is found like any other. The renamed tables stay as they were.
 *
 * All of it is one transaction, but on MariaDB, whose DDL ends one: there the version, which is
 * written last, tells that it is done, and what was copied already is known by its id.
 */
#include "sink/sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"

enum { CHUNK = 256, COLUMNS = 9 };

/* Those that refer to others first: SQLite follows a rename in what refers to it. */
static const enum crier_sql_table_id originals[] = {
    CRIER_SQL_T_MESSAGE_CHANNEL_LOG, CRIER_SQL_T_MESSAGE_LOG,
    CRIER_SQL_T_DATA_HISTORY,        CRIER_SQL_T_CHANNEL,
    CRIER_SQL_T_GUILD_USER,          CRIER_SQL_T_GUILD_TYPE,
    CRIER_SQL_T_MESSAGE_MODE,        CRIER_SQL_T_MESSAGE_TYPE,
};

/* ---- what is there ---- */

/* The first column of the first row, of a statement with two words in it. */
static enum crier_sql_fault ask(struct crier_sql *s, const char *form, const char *table,
                                const char *column, struct crier_buf *out, struct crier_err *err)
{
    struct crier_buf text = {0};
    const char *words[] = {table, column};
    SQLHSTMT stmt = NULL;
    bool more = false;
    int word = 0;
    for (const char *c = form; *c; c++) {
        if (c[0] == '%' && c[1] == 's') {
            for (const char *w = words[word++]; *w; w++)
                crier_buf_putc(&text, *w >= 'A' && *w <= 'Z' ? (char)(*w | 0x20) : *w);
            c++;
        } else {
            crier_buf_putc(&text, *c);
        }
    }
    crier_buf_clear(out);
    crier_buf_puts(out, "");
    enum crier_sql_fault fault = crier_sql_prepare(&s->conn, text.data, &stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&s->conn, stmt, NULL, 0, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_fetch(&s->conn, stmt, &more, err);
    if (fault == CRIER_SQL_OK && more)
        fault = crier_sql_text(&s->conn, stmt, 1, out, NULL, err);
    crier_sql_free(&s->conn, &stmt);
    crier_buf_fini(&text);
    return fault;
}

static enum crier_sql_fault has_column(struct crier_sql *s, const char *table, const char *column,
                                       bool *has, struct crier_err *err)
{
    struct crier_buf b = {0};
    enum crier_sql_fault fault = ask(s, s->conn.dialect->find_column, table, column, &b, err);
    *has = atoi(b.data) > 0;
    crier_buf_fini(&b);
    return fault;
}

enum crier_sql_fault crier_sql_import_find(struct crier_sql *s, bool *found, struct crier_err *err)
{
    static const struct {
        const char *table, *column;
        bool there;
    } marks[] = {
        {"MessageLOG", "sent_data", true},  {"MessageLOG", "guild_id", true},
        {"DataHISTORY", "content", true},   {"GuildUSER", "snowflake_id", true},
        {"MessageLOG", "record_id", false},
    };
    enum crier_sql_fault fault = CRIER_SQL_OK;
    bool has, all = true;
    for (size_t i = 0; i < CRIER_COUNT(marks) && all && fault == CRIER_SQL_OK; i++) {
        fault = has_column(s, marks[i].table, marks[i].column, &has, err);
        all = has == marks[i].there;
    }
    *found = all;
    return fault;
}

enum crier_sql_fault crier_sql_import_begun(struct crier_sql *s, bool *begun, struct crier_err *err)
{
    return has_column(s, "daf_MessageLOG", "sent_data", begun, err);
}

/* ---- out of the way ---- */

static void put_rename(struct crier_sql *s, struct crier_buf *b, const char *from, const char *to)
{
    switch (s->conn.dialect->engine) {
    case CRIER_SQL_MARIADB: /* all of them at once */
        crier_buf_printf(b, "%s%s TO daf_%s", b->len ? ", " : "RENAME TABLE ", from, to);
        break;
    case CRIER_SQL_SQLSERVER:
        crier_buf_printf(b, "EXEC sp_rename N'%s', N'daf_%s'", from, to);
        break;
    default:
        crier_buf_printf(b, "ALTER TABLE \"%s\" RENAME TO daf_%s", from, to);
    }
}

enum crier_sql_fault crier_sql_import_rename(struct crier_sql *s, struct crier_err *err)
{
    struct crier_buf name = {0}, b = {0};
    bool reason = true, maria = s->conn.dialect->engine == CRIER_SQL_MARIADB;
    enum crier_sql_fault fault =
        crier_sql_exec(&s->conn, "DROP VIEW IF EXISTS vMessageLogFullDETAIL", err);
    if (fault == CRIER_SQL_OK && s->conn.dialect->engine != CRIER_SQL_POSTGRESQL)
        fault = crier_sql_exec(&s->conn, "DROP TRIGGER IF EXISTS tr_delete_msg_log", err);
    for (size_t i = 0; i < CRIER_COUNT(originals) && fault == CRIER_SQL_OK; i++) {
        const char *table = crier_sql_tables[originals[i]].name;
        fault = ask(s, s->conn.dialect->find_table, table, "", &name, err);
        if (fault != CRIER_SQL_OK || !name.len)
            continue;
        put_rename(s, &b, name.data, table);
        if (maria)
            continue;
        fault = crier_sql_exec(&s->conn, b.data, err);
        crier_buf_clear(&b);
    }
    if (fault == CRIER_SQL_OK && maria && b.len)
        fault = crier_sql_exec(&s->conn, b.data, err);
    if (fault == CRIER_SQL_OK)
        fault = has_column(s, "daf_MessageChannelLOG", "reason", &reason, err);
    if (fault == CRIER_SQL_OK && !reason) {
        crier_buf_clear(&b);
        crier_buf_printf(&b, "ALTER TABLE daf_MessageChannelLOG ADD reason %s NULL",
                         s->conn.dialect->types[CRIER_SQL_TEXT]);
        fault = crier_sql_exec(&s->conn, b.data, err);
    }
    crier_buf_fini(&name);
    crier_buf_fini(&b);
    return fault;
}

/* ---- a log as a record ---- */

struct channel {
    int64_t log;
    uint64_t snowflake;
    char *name, *reason; /* reason NULL: sent */
};

/* What is copied at once. */
struct piece {
    struct crier_sql *s;
    int64_t from, to; /* ids, without the last */
    struct channel *channels;
    size_t channel_count, channel_cap;
    struct crier_record *records[CHUNK];
    size_t count;
    struct crier_reader reader;
    struct crier_buf cells[COLUMNS];
    bool null[COLUMNS];
};

static enum crier_sql_fault open_rows(struct piece *p, const char *form, SQLHSTMT *stmt,
                                      struct crier_err *err)
{
    const struct crier_sql_dialect *d = p->s->conn.dialect;
    struct crier_sql_cell bounds[2] = {CRIER_SQL_CELL_INT(CRIER_SQL_BIG, p->from),
                                       CRIER_SQL_CELL_INT(CRIER_SQL_BIG, p->to)};
    struct crier_buf text = {0};
    for (const char *c = form; *c; c++) {
        if (*c == '?')
            crier_buf_puts(&text, d->marks[CRIER_SQL_BIG]);
        else if (*c == '@')
            crier_sql_put_time(d, &text, "l.timestamp");
        else
            crier_buf_putc(&text, *c);
    }
    enum crier_sql_fault fault = crier_sql_prepare(&p->s->conn, text.data, stmt, err);
    if (fault == CRIER_SQL_OK)
        fault = crier_sql_run(&p->s->conn, *stmt, bounds, 2, err);
    crier_buf_fini(&text);
    return fault;
}

static enum crier_sql_fault next_row(struct piece *p, SQLHSTMT stmt, int columns, bool *more,
                                     struct crier_err *err)
{
    enum crier_sql_fault fault = crier_sql_fetch(&p->s->conn, stmt, more, err);
    for (int i = 0; i < columns && *more && fault == CRIER_SQL_OK; i++) {
        crier_buf_clear(&p->cells[i]);
        crier_buf_puts(&p->cells[i], "");
        fault = crier_sql_text(&p->s->conn, stmt, i + 1, &p->cells[i], &p->null[i], err);
    }
    return fault;
}

static enum crier_sql_fault read_channels(struct piece *p, struct crier_err *err)
{
    SQLHSTMT stmt = NULL;
    bool more = true;
    enum crier_sql_fault fault = open_rows(
        p,
        "SELECT c.log_id, ch.snowflake_id, ch.name, c.reason FROM daf_MessageChannelLOG c "
        "JOIN daf_CHANNEL ch ON ch.id = c.channel_id WHERE c.log_id >= ? AND "
        "c.log_id < ? ORDER BY c.log_id, c.channel_id",
        &stmt, err);
    while (fault == CRIER_SQL_OK) {
        fault = next_row(p, stmt, 4, &more, err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        if (p->channel_count == p->channel_cap) {
            p->channel_cap = p->channel_cap ? p->channel_cap * 2 : CHUNK;
            p->channels = crier_realloc(p->channels, p->channel_cap * sizeof *p->channels);
        }
        p->channels[p->channel_count++] =
            (struct channel){.log = atoll(p->cells[0].data),
                             .snowflake = strtoull(p->cells[1].data, NULL, 10),
                             .name = crier_strdup(p->cells[2].data),
                             .reason = p->null[3] ? NULL : crier_strdup(p->cells[3].data)};
    }
    crier_sql_free(&p->s->conn, &stmt);
    return fault;
}

/* Columns of a log, in the order of the SELECT. */
enum column { ID, TIME, TYPE, MODE, DM_REASON, GUILD_TYPE, GUILD_ID, GUILD_NAME, CONTENT };

static struct crier_str cell(const struct piece *p, enum column i, const char *otherwise)
{
    return p->null[i] ? (struct crier_str){otherwise, strlen(otherwise)}
                      : (struct crier_str){p->cells[i].data, p->cells[i].len};
}

static void put_str(struct crier_builder *b, const char *key, struct crier_str s)
{
    crier_build_str(b, key, strlen(key), s.data, s.len);
}

static bool is_object(struct crier_str text)
{
    struct crier_scan scan;
    crier_scan_init(&scan, text.data, text.len);
    bool good = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    int depth = 1;
    while (good && depth) {
        enum crier_scan_event event = crier_scan_next(&scan);
        good = event > CRIER_SCAN_END;
        depth += event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
        depth -= event == CRIER_SCAN_CLOSE;
    }
    good = good && crier_scan_next(&scan) == CRIER_SCAN_END;
    crier_scan_fini(&scan);
    return good;
}

static void put_content(struct piece *p)
{
    struct crier_str text = cell(p, CONTENT, "{}"), key = {"sent_data", 9};
    struct crier_scan scan;
    if (is_object(text)) {
        crier_scan_init(&scan, text.data, text.len);
        enum crier_scan_event event = crier_scan_next(&scan);
        if (!crier_reader_value(&p->reader, key, &scan, event))
            p->reader.seen = 0;
        crier_scan_fini(&scan);
        return;
    }
    CRIER_B_OPEN(&p->reader.b, "sent_data", CRIER_OBJECT);
    put_str(&p->reader.b, "text", text);
    crier_build_close(&p->reader.b);
}

static void put_channels(struct crier_builder *b, const struct channel *list, size_t n, bool failed)
{
    const char *key = failed ? "failed" : "successful";
    crier_build_open(b, key, strlen(key), CRIER_ARRAY);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].reason == failed)
            continue;
        crier_build_open(b, NULL, 0, CRIER_OBJECT);
        CRIER_B_STR(b, "name", list[i].name);
        CRIER_B_SNOWFLAKE(b, "id", list[i].snowflake);
        if (failed)
            CRIER_B_STR(b, "reason", list[i].reason);
        crier_build_close(b);
    }
    crier_build_close(b);
}

static void put_success(struct piece *p, struct crier_stored *who, const struct channel *list,
                        size_t n)
{
    struct crier_builder *b = &p->reader.b;
    size_t good = 0;
    double rate = p->null[DM_REASON] ? 1 : 0;
    if (strcmp(cell(p, TYPE, "").data, "DirectMESSAGE") == 0) {
        CRIER_B_OPEN(b, "success_info", CRIER_OBJECT);
        CRIER_B_BOOL(b, "success", p->null[DM_REASON]);
        if (!p->null[DM_REASON])
            put_str(b, "reason", cell(p, DM_REASON, ""));
        crier_build_close(b);
    } else {
        CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
        put_channels(b, list, n, false);
        put_channels(b, list, n, true);
        crier_build_close(b);
        for (size_t i = 0; i < n; i++)
            good += !list[i].reason;
        rate = n ? (double)good / (double)n : 1;
    }
    CRIER_B_NUM(b, "success_rate", rate);
    who->ok = rate >= 1;
    who->level = rate >= 1 ? CRIER_INFO : rate > 0 ? CRIER_LEVEL_WARNING : CRIER_LEVEL_ERROR;
}

/* Made of its number and time, so that it is the same one each time. */
static void make_id(struct crier_stored *who, int64_t log)
{
    uint64_t ms = who->time > 0 ? (uint64_t)(who->time / 1000) : 0;
    for (int i = 0; i < 6; i++)
        who->id[i] = (unsigned char)(ms >> (40 - 8 * i));
    memcpy(who->id + 6, "da", 2);
    for (int i = 0; i < 8; i++)
        who->id[8 + i] = (unsigned char)((uint64_t)log >> (56 - 8 * i));
}

static void make_record(struct piece *p, const struct channel *list, size_t n)
{
    struct crier_stored who = {.kind = CRIER_KIND_MESSAGE,
                               .text = {"", 0},
                               .logger = {"message", 7},
                               .where = {"", 0},
                               .node = {"", 0}};
    struct crier_builder *b = &p->reader.b;
    int64_t log = atoll(p->cells[ID].data);
    struct crier_str type = cell(p, TYPE, "TextMESSAGE");
    if (p->cells[TIME].len > 10)
        p->cells[TIME].data[10] = 'T';
    if (crier_datetime_parse(p->cells[TIME].data, p->s->env->zone, &who.time, NULL) != CRIER_OK)
        who.time = 0;
    who.seq = log > 0 ? (uint64_t)log : 0;
    make_id(&who, log);
    crier_reader_begin(&p->reader);
    put_str(b, "type", type);
    if (strcmp(type.data, "VoiceMESSAGE") != 0)
        put_str(b, "mode", cell(p, MODE, "send"));
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    put_str(b, "name", cell(p, GUILD_NAME, ""));
    CRIER_B_SNOWFLAKE(b, "id", strtoull(cell(p, GUILD_ID, "0").data, NULL, 10));
    put_str(b, "type", cell(p, GUILD_TYPE, "GUILD"));
    crier_build_close(b);
    put_content(p);
    put_success(p, &who, list, n);
    p->records[p->count++] = crier_build_restore(b, &who);
}

static enum crier_sql_fault read_logs(struct piece *p, struct crier_err *err)
{
    SQLHSTMT stmt = NULL;
    bool more = true;
    size_t at = 0;
    enum crier_sql_fault fault =
        open_rows(p,
                  "SELECT l.id, @, t.name, m.name, l.dm_reason, gt.name, g.snowflake_id, g.name, "
                  "d.content FROM daf_MessageLOG l LEFT JOIN daf_MessageTYPE t ON t.id = "
                  "l.message_type LEFT JOIN daf_MessageMODE m ON m.id = l.message_mode LEFT JOIN "
                  "daf_GuildUSER g ON g.id = l.guild_id LEFT JOIN daf_GuildTYPE gt ON gt.id = "
                  "g.guild_type LEFT JOIN daf_DataHISTORY d ON d.id = l.sent_data WHERE l.id >= ? "
                  "AND l.id < ? ORDER BY l.id",
                  &stmt, err);
    while (fault == CRIER_SQL_OK && p->count < CHUNK) {
        fault = next_row(p, stmt, COLUMNS, &more, err);
        if (fault != CRIER_SQL_OK || !more)
            break;
        int64_t log = atoll(p->cells[ID].data);
        size_t n = 0;
        while (at < p->channel_count && p->channels[at].log < log)
            at++;
        while (at + n < p->channel_count && p->channels[at + n].log == log)
            n++;
        make_record(p, p->channels + at, n);
    }
    crier_sql_free(&p->s->conn, &stmt);
    return fault;
}

/* ---- all of them ---- */

static enum crier_sql_fault copy_piece(struct crier_sql *s, int64_t from, struct crier_err *err)
{
    struct piece p = {.s = s, .from = from, .to = from + CHUNK};
    enum crier_sql_fault fault = read_channels(&p, err);
    if (fault == CRIER_SQL_OK)
        fault = read_logs(&p, err);
    if (fault == CRIER_SQL_OK && p.count)
        fault = crier_sql_store(s, p.records, p.count, err);
    for (size_t i = 0; i < p.count; i++)
        crier_record_unref(p.records[i]);
    for (size_t i = 0; i < p.channel_count; i++) {
        free(p.channels[i].name);
        free(p.channels[i].reason);
    }
    free(p.channels);
    for (int i = 0; i < COLUMNS; i++)
        crier_buf_fini(&p.cells[i]);
    crier_reader_fini(&p.reader);
    return fault;
}

/* From id to id, whatever is missing between them. */
enum crier_sql_fault crier_sql_import_copy(struct crier_sql *s, struct crier_err *err)
{
    struct crier_buf b = {0};
    enum crier_sql_fault fault = ask(s, "SELECT MIN(id) FROM daf_MessageLOG", "", "", &b, err);
    int64_t at = b.len ? atoll(b.data) : 1, last = 0;
    if (fault == CRIER_SQL_OK)
        fault = ask(s, "SELECT MAX(id) FROM daf_MessageLOG", "", "", &b, err);
    last = b.len ? atoll(b.data) : 0;
    for (; at <= last && fault == CRIER_SQL_OK; at += CHUNK)
        fault = copy_piece(s, at, err);
    if (fault != CRIER_SQL_OK)
        crier_sql_forget(s);
    crier_buf_fini(&b);
    return fault;
}
