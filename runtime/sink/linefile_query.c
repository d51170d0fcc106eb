/* SPDX-License-Identifier: MIT */
#include "sink/linefile_query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/read.h"

static bool plain(struct crier_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < ' ' || s.data[i] > '~' || s.data[i] == '"' || s.data[i] == '\\')
            return false;
    return s.len > 0;
}

/* Not where a value may be written in another way than the constant: dates, numbers, levels. */
static bool is_needle(const struct crier_cond *cond)
{
    return cond->op == CRIER_OP_EQ && cond->values[0].value.type == CRIER_STR &&
           !cond->values[0].is_time && !cond->values[0].is_digits &&
           strcmp(cond->path, "level") != 0 && strcmp(cond->path, "id") != 0 &&
           plain(cond->values[0].value.s);
}

/* A constant that a number, or the record's time or id is compared with; null is an open end. */
static bool is_measure(const struct crier_cond *cond, const struct crier_const *c)
{
    enum crier_type type = c->value.type;
    if (strcmp(cond->path, "id") == 0)
        return type == CRIER_STR;
    if (strcmp(cond->path, "time") == 0)
        return type == CRIER_TIME || c->is_time ||
               (type == CRIER_NULL && cond->op == CRIER_OP_RANGE);
    return type == CRIER_INT || (type == CRIER_NUM && c->value.n == c->value.n) ||
           (type == CRIER_NULL && cond->op == CRIER_OP_RANGE);
}

static bool is_member(const struct crier_cond *cond)
{
    if (cond->op == CRIER_OP_NE || cond->op > CRIER_OP_RANGE || strchr(cond->path, '.') ||
        strlen(cond->path) > 40 || strcmp(cond->path, "level") == 0 ||
        !plain((struct crier_str){cond->path, strlen(cond->path)}))
        return false;
    for (size_t i = 0; i < cond->count; i++)
        if (!is_measure(cond, &cond->values[i]))
            return false;
    return true;
}

void crier_line_filter_init(struct crier_line_filter *filter, const struct crier_query *query,
                            const char *quote)
{
    *filter = (struct crier_line_filter){.events = crier_query_has_events(query)};
    for (size_t i = 0; i < query->count; i = query->conds[i].end) {
        const struct crier_cond *cond = &query->conds[i];
        if (is_needle(cond) && filter->text_count < CRIER_COUNT(filter->texts)) {
            filter->texts[filter->text_count++] = cond->values[0].value.s;
        } else if (is_member(cond) && filter->member_count < CRIER_COUNT(filter->members)) {
            size_t n = filter->member_count++;
            filter->members[n].cond = cond;
            filter->members[n].column = -1;
            filter->members[n].len =
                (size_t)snprintf(filter->members[n].key, sizeof filter->members[n].key,
                                 "%s%s%s:", quote, cond->path, quote);
        }
    }
}

static bool escapes(struct crier_str line)
{
    return memchr(line.data, '\\', line.len) != NULL;
}

bool crier_line_filter_event(const struct crier_line_filter *filter, struct crier_str line)
{
    static const char word[] = "event_id";
    return filter->events && memmem(line.data, line.len, word, sizeof word - 1);
}

bool crier_line_filter_id(const struct crier_line_filter *filter, const char *id)
{
    return !*filter->above || memcmp(id, filter->above, CRIER_ULID_LEN) > 0;
}

bool crier_line_filter_texts(const struct crier_line_filter *filter, struct crier_str line)
{
    for (size_t i = 0; i < filter->text_count; i++)
        if (!memmem(line.data, line.len, filter->texts[i].data, filter->texts[i].len))
            return escapes(line);
    return true;
}

/* -1, 0, 1; 2: left to those who know. */
static int order_member(const struct crier_value *v, const struct crier_const *c)
{
    if (v->type == CRIER_STR) {
        size_t n = v->s.len < c->value.s.len ? v->s.len : c->value.s.len;
        int order = memcmp(v->s.data, c->value.s.data, n);
        return order ? order : v->s.len < c->value.s.len ? -1 : v->s.len > c->value.s.len;
    }
    if (v->type == CRIER_TIME) {
        int64_t at = c->is_time ? c->time : c->value.i;
        return v->i < at ? -1 : v->i > at;
    }
    if (v->type == CRIER_INT && c->value.type == CRIER_INT)
        return v->i < c->value.i ? -1 : v->i > c->value.i;
    double a = v->type == CRIER_INT ? (double)v->i : v->n;
    double b = c->value.type == CRIER_INT ? (double)c->value.i : c->value.n;
    const double exact = 0x1p53;
    if (a < -exact || a > exact || b < -exact || b > exact)
        return 2;
    return a < b ? -1 : a > b;
}

static bool may_match(const struct crier_cond *cond, const struct crier_value *v)
{
    for (size_t i = 0; i < cond->count; i++) {
        if (cond->values[i].value.type == CRIER_NULL)
            continue;
        int order = order_member(v, &cond->values[i]);
        bool least = cond->op == CRIER_OP_GT || cond->op == CRIER_OP_GE;
        bool most = cond->op == CRIER_OP_LT || cond->op == CRIER_OP_LE;
        if (cond->op == CRIER_OP_RANGE) {
            least = i == 0;
            most = i == 1;
        }
        if (order == 2)
            continue;
        if ((order < 0 && !most) || (order > 0 && !least) ||
            (order == 0 && (cond->op == CRIER_OP_GT || cond->op == CRIER_OP_LT)))
            return false;
    }
    return true;
}

bool crier_line_filter_value(const struct crier_line_filter *filter, size_t n,
                             struct crier_str text)
{
    const struct crier_cond *cond = filter->members[n].cond;
    struct crier_value v = {0};
    struct crier_scan scan;
    if (strcmp(cond->path, "id") == 0) {
        v = (struct crier_value){.type = CRIER_STR, .s = text};
        return text.len != CRIER_ULID_LEN || may_match(cond, &v);
    }
    if (strcmp(cond->path, "time") == 0) {
        v.type = CRIER_TIME;
        return !crier_time_read(text.data, text.len, &v.i) || may_match(cond, &v);
    }
    if (!text.len || (text.data[0] != '-' && (text.data[0] < '0' || text.data[0] > '9')))
        return true;
    crier_scan_init(&scan, text.data, text.len);
    enum crier_scan_event event = crier_scan_next(&scan);
    bool whole = scan.at == text.data + text.len;
    v.type = event == CRIER_SCAN_INT ? CRIER_INT : CRIER_NUM;
    if (event == CRIER_SCAN_INT)
        v.i = scan.i;
    else
        v.n = scan.n;
    crier_scan_fini(&scan);
    return !whole || (event != CRIER_SCAN_INT && event != CRIER_SCAN_NUM) || may_match(cond, &v);
}

/* What stands behind a key: without its quotes, or up to the end of the member. */
static struct crier_str value_at(const char *at, const char *end)
{
    const char *stop = at;
    if (at < end && *at == '"') {
        stop = memchr(at + 1, '"', (size_t)(end - at - 1));
        return (struct crier_str){at + 1, stop ? (size_t)(stop - at - 1) : 0};
    }
    while (stop < end && *stop != ',' && *stop != '}')
        stop++;
    return (struct crier_str){at, (size_t)(stop - at)};
}

bool crier_line_filter_members(const struct crier_line_filter *filter, struct crier_str line)
{
    const char *end = line.data + line.len;
    for (size_t i = 0; i < filter->member_count; i++) {
        const char *key = filter->members[i].key;
        size_t len = filter->members[i].len;
        if (filter->members[i].column >= 0)
            continue;
        const char *at = memmem(line.data, line.len, key, len);
        /* A record without the member is no match: where the key stands first in the line, or once,
         * it is the member, or there is none. A text there is not for us to judge. */
        bool text = strcmp(filter->members[i].cond->path, "time") == 0 ||
                    strcmp(filter->members[i].cond->path, "id") == 0;
        if (at && ((at[len] == '"' && !text) ||
                   crier_line_filter_value(filter, i, value_at(at + len, end)) ||
                   (at != line.data + 1 && memmem(at + len, (size_t)(end - at) - len, key, len))))
            continue;
        if (at == line.data + 1 || !escapes(line))
            return false;
    }
    return true;
}

static void note_bad(struct crier_line_hits *hits, const char *path, int64_t at)
{
    if (!hits->bad++)
        snprintf(hits->place, sizeof hits->place, "%.200s, byte %" PRId64, path, at);
}

/* Whether the newest are asked for, and no more than some. */
static bool wants_newest(const struct crier_query *query)
{
    return query->order && strcmp(query->order, "id") == 0 && query->desc &&
           query->limit < SIZE_MAX;
}

/* Of so many hits the query has let those go that it leaves out for sure: none that is older than
 * all that are left is wanted any more. Phases of events stay, however old. */
static void look_above(struct crier_line_filter *filter, const struct crier_buf *hits)
{
    struct crier_record **left = (struct crier_record **)(void *)hits->data;
    const unsigned char *oldest = NULL;
    char scratch[32];
    struct crier_str event;
    for (size_t i = 0; i < hits->len / sizeof *left; i++) {
        const unsigned char *id = crier_record_id_bytes(left[i]);
        if ((!oldest || memcmp(id, oldest, 16) < 0) &&
            !(filter->events && crier_record_kind(left[i]) == CRIER_KIND_EVENT &&
              crier_event_of(left[i], &event, scratch)))
            oldest = id;
    }
    if (oldest)
        crier_ulid_text(oldest, filter->above);
}

static void keep(const struct crier_line_reader *reader, const struct crier_query *query,
                 struct crier_record *record, struct crier_line_hits *hits)
{
    crier_buf_append(&hits->records, &record, sizeof record);
    size_t len = hits->records.len;
    crier_query_trim(query, &hits->records);
    if (hits->records.len < len && reader->filter && wants_newest(query))
        look_above(reader->filter, &hits->records);
}

/* One line; its record is kept when it is a hit. */
static void take_line(const struct crier_line_reader *reader, const struct crier_query *query,
                      const char *path, struct crier_lines *lines, struct crier_str line,
                      struct crier_line_hits *hits)
{
    if (reader->may_hit && lines->ended && !reader->may_hit(reader->arg, line))
        return;
    struct crier_record *record = reader->record(reader->arg, line);
    if (!record) {
        /* The last line without its end is one that is being written. */
        if (line.len && (lines->ended || memchr(line.data, '\n', line.len)))
            note_bad(hits, path, lines->at);
        if (reader->quoted)
            crier_lines_reject(lines);
    } else if (crier_query_wants(query, record)) {
        keep(reader, query, record, hits);
    } else {
        crier_record_unref(record);
    }
}

static int query_file(const char *path, const struct crier_line_reader *reader,
                      const struct crier_query *query, size_t most, struct crier_line_hits *hits,
                      struct crier_err *err)
{
    struct crier_lines lines;
    struct crier_str line;
    int got = 0, rc = crier_lines_open(&lines, path, reader->quoted, err);
    if (rc == CRIER_ENOTFOUND)
        return 0;
    if (rc != 0)
        return rc;
    if (reader->filter && wants_newest(query) && crier_lines_two_way(&lines)) {
        got = crier_lines_to_end(&lines, err);
        while (got == 0 && (got = crier_lines_prev(&lines, &line, err)) == 1) {
            take_line(reader, query, path, &lines, line, hits);
            got = 0;
        }
    } else if (!reader->begin || reader->begin(reader->arg, &lines)) {
        while (hits->records.len / sizeof(void *) < most &&
               (got = crier_lines_next(&lines, &line, err)) == 1)
            take_line(reader, query, path, &lines, line, hits);
    } else if (lines.ended) {
        note_bad(hits, path, 0);
    }
    if (lines.broken)
        note_bad(hits, path, lines.at);
    crier_lines_close(&lines);
    return got < 0 ? got : 0;
}

/* Without an order the first hits are the ones that are asked for. */
static size_t wanted(const struct crier_query *query)
{
    if (query->order || crier_query_has_events(query) || query->limit > SIZE_MAX - query->offset)
        return SIZE_MAX;
    return query->limit + query->offset;
}

int crier_lines_query(char **paths, const struct crier_line_reader *reader,
                      const struct crier_query *query, struct crier_record ***out, size_t *count,
                      struct crier_err *err)
{
    struct crier_line_hits hits = {0};
    size_t files = 0;
    int rc = 0;
    while (paths[files])
        files++;
    for (size_t i = 0; i < files && rc == 0; i++)
        rc = query_file(paths[wants_newest(query) ? files - 1 - i : i], reader, query,
                        wanted(query), &hits, err);
    for (size_t i = 0; i < files; i++)
        free(paths[i]);
    free(paths);
    *count = hits.records.len / sizeof(struct crier_record *);
    *out = (struct crier_record **)(void *)hits.records.data;
    if (rc == 0) {
        if (hits.bad && err)
            snprintf(err->text, sizeof err->text, "%" PRIu64 " line%s skipped, no record: %.180s",
                     hits.bad, hits.bad == 1 ? "" : "s", hits.place);
        return 0;
    }
    for (size_t i = 0; i < *count; i++)
        crier_record_unref((*out)[i]);
    crier_buf_fini(&hits.records);
    *out = NULL;
    *count = 0;
    return rc;
}
