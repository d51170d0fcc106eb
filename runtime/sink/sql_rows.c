/* SPDX-License-Identifier: MIT
 *
 * Records made ready for the tables. What a column holds exactly is left out of the JSON beside it:
 * id, time and node everywhere, the kind where the table says it, what was sent in MessageLOG.
 */
#include "sink/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "record/value_json.h"

void crier_sql_rows_fini(struct crier_sql_rows *rows)
{
    free(rows->rows);
    free(rows->targets);
    if (rows->text)
        g_string_chunk_free(rows->text);
    if (rows->sum)
        g_checksum_free(rows->sum);
    crier_buf_fini(&rows->b);
    *rows = (struct crier_sql_rows){0};
}

const char *crier_sql_time(int64_t us, char out[32])
{
    crier_time_rfc3339(us, out);
    char *at = strchr(out, 'T'), *end = strchr(out, 'Z');
    if (at)
        *at = ' ';
    if (end)
        *end = '\0';
    return out;
}

struct crier_str crier_sql_plain(GStringChunk *chunk, struct crier_str s)
{
    static const char mark[] = "\xe2\x90\x80"; /* U+2400 */
    if (!s.len || !memchr(s.data, '\0', s.len))
        return s;
    struct crier_buf b = {0};
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i])
            crier_buf_putc(&b, s.data[i]);
        else
            crier_buf_puts(&b, mark);
    }
    struct crier_str out = {g_string_chunk_insert_len(chunk, b.data, (gssize)b.len), b.len};
    crier_buf_fini(&b);
    return out;
}

/* ---- canonical JSON ---- */

static int by_key(const void *p, const void *q)
{
    const struct crier_value *a = p, *b = q;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len ? memcmp(a->key.data, b->key.data, len) : 0;
    return order ? order : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

/* JSON with the members of each object in the order of their bytes: equal values, equal text. */
static void canonical(struct crier_buf *b, const struct crier_value *v)
{
    struct crier_iter it = crier_values(v);
    struct crier_value member;
    if (v->type == CRIER_ARRAY) {
        crier_json_open(b, '[');
        while (crier_next(&it, &member))
            canonical(b, &member);
        crier_json_close(b, ']');
        return;
    }
    if (v->type != CRIER_OBJECT) {
        crier_value_json(b, v);
        return;
    }
    struct crier_buf members = {0};
    size_t n = 0;
    for (; crier_next(&it, &member); n++)
        crier_buf_append(&members, &member, sizeof member);
    struct crier_value *list = (struct crier_value *)(void *)members.data;
    if (n > 1)
        qsort(list, n, sizeof *list, by_key);
    crier_json_open(b, '{');
    for (size_t i = 0; i < n; i++) {
        crier_json_keyn(b, list[i].key.data, list[i].key.len);
        canonical(b, &list[i]);
    }
    crier_json_close(b, '}');
    crier_buf_fini(&members);
}

/* ---- the JSON beside the columns ---- */

static struct crier_str keep(struct crier_sql_rows *rows, const struct crier_buf *b)
{
    return (struct crier_str){g_string_chunk_insert_len(rows->text, b->data, (gssize)b->len),
                              b->len};
}

static bool is(struct crier_str s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

static bool exact(struct crier_str s)
{
    return !s.len || !memchr(s.data, '\0', s.len);
}

static void put_text(struct crier_buf *b, const char *key, struct crier_str s)
{
    crier_json_key(b, key);
    crier_json_strn(b, s.data, s.len);
}

static void make_rest(struct crier_sql_rows *rows, struct crier_sql_row *row)
{
    const struct crier_record *record = row->record;
    struct crier_buf *b = &rows->b;
    bool other = row->place == CRIER_SQL_OTHER;
    struct crier_str text = crier_record_text(record), logger = crier_record_logger(record);
    struct crier_str node = crier_record_node(record), where = crier_record_where(record);
    crier_buf_clear(b);
    crier_json_open(b, '{');
    crier_json_key(b, "seq");
    crier_json_uint(b, crier_record_seq(record));
    if (!exact(node))
        put_text(b, "node", node);
    if (row->place == CRIER_SQL_MESSAGE) {
        crier_json_key(b, "level");
        crier_json_str(b, crier_level_name(crier_record_level(record)));
    }
    if (!other || !exact(logger))
        put_text(b, "logger", logger);
    if (!other || !exact(text))
        put_text(b, "text", text);
    if (where.len)
        put_text(b, "where", where);
    if (crier_record_ok(record) >= 0) {
        crier_json_key(b, "ok");
        crier_json_bool(b, crier_record_ok(record));
    }
    if (crier_record_sim(record)) {
        crier_json_key(b, "sim");
        crier_json_bool(b, true);
    }
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    while (crier_next(&it, &v)) {
        crier_json_keyn(b, v.key.data, v.key.len);
        if (row->place == CRIER_SQL_MESSAGE && is(v.key, "sent_data"))
            crier_json_null(b);
        else
            crier_value_json(b, &v);
    }
    crier_json_close(b, '}');
    row->rest = keep(rows, b);
}

/* ---- messages ---- */

static int choice(struct crier_str s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is(s, names[i]))
            return (int)i + 1;
    return 0;
}

/* The channels of one list, "successful" or "failed". False: a channel that no row can be made of.
 */
static bool add_targets(struct crier_sql_rows *rows, struct crier_sql_row *row,
                        const struct crier_value *list, bool failed)
{
    struct crier_iter it = crier_values(list);
    struct crier_value channel, v;
    while (crier_next(&it, &channel)) {
        struct crier_sql_target t = {.reason = {failed ? "failed" : NULL, failed ? 6 : 0}};
        struct crier_iter members = crier_values(&channel);
        bool id = false;
        while (crier_next(&members, &v)) {
            if (v.type == CRIER_SNOWFLAKE && is(v.key, "id") && v.u <= INT64_MAX) {
                t.snowflake = v.u;
                id = true;
            } else if (v.type == CRIER_STR && is(v.key, "name")) {
                t.name = crier_sql_plain(rows->text, v.s);
            } else if (v.type == CRIER_STR && failed && is(v.key, "reason")) {
                t.reason = crier_sql_plain(rows->text, v.s);
            }
        }
        if (!id)
            return false;
        if (rows->target_count == rows->target_cap) {
            rows->target_cap = rows->target_cap ? rows->target_cap * 2 : 1024;
            rows->targets = crier_realloc(rows->targets, rows->target_cap * sizeof *rows->targets);
        }
        rows->targets[rows->target_count++] = t;
        row->target_count++;
    }
    return true;
}

static bool read_guild(struct crier_sql_rows *rows, struct crier_sql_row *row,
                       const struct crier_value *guild)
{
    static const char *const types[] = {"GUILD", "USER"};
    struct crier_iter it = crier_values(guild);
    struct crier_value v;
    row->guild = (struct crier_sql_guild){.name = {"", 0}};
    bool id = false;
    while (crier_next(&it, &v)) {
        if (v.type == CRIER_SNOWFLAKE && is(v.key, "id") && v.u <= INT64_MAX) {
            row->guild.snowflake = v.u;
            id = true;
        } else if (v.type == CRIER_STR && is(v.key, "name")) {
            row->guild.name = crier_sql_plain(rows->text, v.s);
        } else if (v.type == CRIER_STR && is(v.key, "type")) {
            row->guild.type = choice(v.s, types, CRIER_COUNT(types));
        }
    }
    return id && row->guild.type;
}

/* What a DirectMESSAGE failed of; NULL when it did not. */
static void read_success(struct crier_sql_rows *rows, struct crier_sql_row *row,
                         const struct crier_value *info)
{
    struct crier_iter it = crier_values(info);
    struct crier_value v;
    struct crier_str reason = {NULL, 0};
    bool success = true;
    while (crier_next(&it, &v)) {
        if (v.type == CRIER_FALSE && is(v.key, "success"))
            success = false;
        else if (v.type == CRIER_STR && is(v.key, "reason"))
            reason = v.s;
    }
    if (!success && !reason.data)
        reason = (struct crier_str){"failed", 6};
    if (!success)
        row->dm_reason = crier_sql_plain(rows->text, reason);
}

static void hash_content(struct crier_sql_rows *rows, struct crier_sql_row *row,
                         const struct crier_value *sent)
{
    crier_buf_clear(&rows->b);
    canonical(&rows->b, sent);
    row->content = keep(rows, &rows->b);
    g_checksum_reset(rows->sum);
    g_checksum_update(rows->sum, (const guchar *)row->content.data, (gssize)row->content.len);
    memcpy(row->hash, g_checksum_get_string(rows->sum), sizeof row->hash);
}

/* False: it is not of a shape that MessageLOG can hold (nothing was sent, say). */
static bool make_message(struct crier_sql_rows *rows, struct crier_sql_row *row)
{
    static const char *const types[] = {"TextMESSAGE", "DirectMESSAGE", "VoiceMESSAGE"};
    static const char *const modes[] = {"send", "edit", "clear-send"};
    struct crier_value v, sent = {0}, member;
    struct crier_iter it = crier_record_fields(row->record);
    bool guild = false, good = true;
    row->targets = rows->target_count;
    while (good && crier_next(&it, &v)) {
        if (is(v.key, "type") && v.type == CRIER_STR) {
            row->type = choice(v.s, types, CRIER_COUNT(types));
        } else if (is(v.key, "mode")) {
            row->mode = v.type == CRIER_STR ? choice(v.s, modes, CRIER_COUNT(modes)) : 0;
            good = row->mode != 0;
        } else if (is(v.key, "guild")) {
            guild = read_guild(rows, row, &v);
        } else if (is(v.key, "sent_data") && v.type == CRIER_OBJECT) {
            sent = v;
        } else if (is(v.key, "success_info")) {
            read_success(rows, row, &v);
        } else if (is(v.key, "channels")) {
            struct crier_iter lists = crier_values(&v);
            while (good && crier_next(&lists, &member))
                good = add_targets(rows, row, &member, is(member.key, "failed"));
        } else if (is(v.key, "skipped")) {
            good = false;
        }
    }
    good = good && guild && row->type && sent.type == CRIER_OBJECT && (row->mode || row->type == 3);
    if (good) {
        hash_content(rows, row, &sent);
    } else {
        rows->target_count = row->targets;
        row->target_count = 0;
    }
    return good;
}

/* ---- tasks ---- */

static size_t characters(struct crier_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.data[i] & 0xc0) != 0x80;
    return n;
}

static bool is_name(const struct crier_sql_dialect *d, struct crier_str s)
{
    return exact(s) && (!d->name_max || characters(s) <= d->name_max);
}

/* What the columns hold of a run has to be what the record says, since queries look there. */
static bool is_task(const struct crier_sql_dialect *d, const struct crier_record *record)
{
    static const struct {
        const char *name;
        enum crier_type type;
        bool needed, is_name;
    } fields[] = {
        {"task_name", CRIER_STR, true, true}, {"action", CRIER_STR, true, true},
        {"run_id", CRIER_STR, false, true},   {"exc_text", CRIER_STR, false, false},
        {"reason", CRIER_STR, false, false},  {"start", CRIER_TIME, false, false},
        {"end", CRIER_TIME, false, false},    {"runtime", CRIER_NUM, false, false},
    };
    struct crier_value v;
    char scratch[32];
    for (size_t i = 0; i < CRIER_COUNT(fields); i++) {
        if (!crier_record_get(record, fields[i].name, &v, scratch) || v.type == CRIER_NULL) {
            if (fields[i].needed)
                return false;
        } else if (v.type != fields[i].type ||
                   (v.type == CRIER_STR && !(fields[i].is_name ? is_name(d, v.s) : exact(v.s)))) {
            return false;
        }
    }
    return true;
}

/* ---- all ---- */

static void make_row(struct crier_sql_rows *rows, const struct crier_sql_dialect *d,
                     struct crier_sql_row *row, const struct crier_record *record)
{
    *row = (struct crier_sql_row){.record = record, .place = CRIER_SQL_OTHER};
    crier_record_id(record, row->id);
    crier_sql_time(crier_record_time(record), row->time);
    if (crier_record_kind(record) == CRIER_KIND_MESSAGE && make_message(rows, row))
        row->place = CRIER_SQL_MESSAGE;
    else if (crier_record_kind(record) == CRIER_KIND_TASK && is_task(d, record))
        row->place = CRIER_SQL_TASK;
    make_rest(rows, row);
}

void crier_sql_rows_make(struct crier_sql_rows *rows, const struct crier_sql_dialect *d,
                         struct crier_record *const *records, size_t count)
{
    if (!rows->text)
        rows->text = g_string_chunk_new(256 * 1024);
    if (!rows->sum)
        rows->sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_string_chunk_clear(rows->text);
    rows->target_count = 0;
    if (rows->cap < count) {
        rows->cap = count;
        rows->rows = crier_realloc(rows->rows, count * sizeof *rows->rows);
    }
    rows->count = count;
    for (size_t i = 0; i < count; i++)
        make_row(rows, d, &rows->rows[i], records[i]);
}

const struct crier_sql_table *crier_sql_place_table(enum crier_sql_place place)
{
    static const enum crier_sql_table_id tables[CRIER_SQL_PLACES] = {
        CRIER_SQL_T_MESSAGE_LOG, CRIER_SQL_T_TASK_LOG, CRIER_SQL_T_RECORD_LOG};
    return &crier_sql_tables[tables[place]];
}
