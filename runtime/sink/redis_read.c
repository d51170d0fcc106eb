/* SPDX-License-Identifier: MIT
 *
 * Reading what the redis sink has written: queries over recent lists, and the functions `recent`
 * and `common`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/read.h"
#include "sink/redis.h"
#include "sink/sink.h"

#include <glib.h>

/* ---- lists ---- */

/* As crier_redis_ask, connected first, and once more where a connection turns out to be gone. */
static redisReply *ask(struct crier_redis_store *r, size_t count, const struct crier_str *words,
                       struct crier_err *err)
{
    struct crier_err why = {0};
    redisReply *reply = NULL;
    for (int round = 0; round < 2 && !reply; round++) {
        bool old = r->conn.context != NULL;
        if (crier_redis_reach(r, &why) != CRIER_OK)
            break;
        reply = crier_redis_ask(&r->conn, count, words, &why);
        if (!reply && (!old || r->conn.context))
            break;
    }
    if (!reply && err)
        *err = why;
    return reply;
}

static int code_of(const struct crier_err *err)
{
    return err && err->code ? err->code : CRIER_ENET;
}

#define WORD(s) ((struct crier_str){(s), strlen(s)})

/* skip: elements in front of the entries. */
static int take_entries(redisReply *reply, bool counted, size_t skip,
                        struct crier_redis_entry **out, size_t *count, struct crier_err *err)
{
    size_t step = counted ? 2 : 1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < skip) {
        freeReplyObject(reply);
        return crier_err_set(err, CRIER_ECORRUPT, "redis: an answer that is no list");
    }
    *count = (reply->elements - skip) / step;
    *out = crier_calloc(*count ? *count : 1, sizeof **out);
    for (size_t i = 0; i < *count; i++) {
        const redisReply *e = reply->element[skip + i * step];
        (*out)[i].text = crier_strndup(e->str, e->len);
        (*out)[i].len = e->len;
        if (counted)
            (*out)[i].count = (uint64_t)strtod(reply->element[skip + i * 2 + 1]->str, NULL);
    }
    freeReplyObject(reply);
    return CRIER_OK;
}

int crier_redis_recent(void *self, struct crier_str logger, enum crier_level level, size_t n,
                       struct crier_redis_entry **out, size_t *count, struct crier_err *err)
{
    struct crier_redis_store *r = self;
    struct crier_buf key = {0};
    char last[24];
    crier_buf_puts(&key, "recent:");
    crier_redis_put_name(r, logger, level, &key);
    snprintf(last, sizeof last, "%zd", (ssize_t)n - 1);
    struct crier_str words[] = {WORD("LRANGE"), {key.data, key.len}, WORD("0"), WORD(last)};
    redisReply *reply = n ? ask(r, CRIER_COUNT(words), words, err) : NULL;
    crier_buf_fini(&key);
    *out = NULL;
    *count = 0;
    if (n == 0)
        return CRIER_OK;
    return reply ? take_entries(reply, false, 0, out, count, err) : code_of(err);
}

/* start: when the hour began, of 20 bytes. */
static int read_common(struct crier_redis_store *r, struct crier_str logger, enum crier_level level,
                       bool last, size_t n, char start[24], struct crier_redis_entry **out,
                       size_t *count, struct crier_err *err)
{
    static const char *const ends[] = {"", ":start", ":last", ":pstart"};
    struct crier_buf keys[4] = {{0}};
    char most[24];
    snprintf(most, sizeof most, "%zu", n);
    struct crier_str words[9] = {WORD("EVAL"), WORD(crier_redis_script_common), WORD("4")};
    for (int i = 0; i < 4; i++) {
        crier_buf_puts(&keys[i], "common:");
        crier_redis_put_name(r, logger, level, &keys[i]);
        crier_buf_puts(&keys[i], ends[i]);
        words[3 + i] = (struct crier_str){keys[i].data, keys[i].len};
    }
    words[7] = WORD(last ? "last" : "this");
    words[8] = WORD(most);
    redisReply *reply = ask(r, CRIER_COUNT(words), words, err);
    for (int i = 0; i < 4; i++)
        crier_buf_fini(&keys[i]);
    *out = NULL;
    *count = 0;
    start[0] = '\0';
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements)
        snprintf(start, 24, "%.19s", reply->element[0]->str ? reply->element[0]->str : "");
    return reply ? take_entries(reply, true, 1, out, count, err) : code_of(err);
}

int crier_redis_common(void *self, struct crier_str logger, enum crier_level level, bool last,
                       size_t n, struct crier_redis_entry **out, size_t *count,
                       struct crier_err *err)
{
    char start[24];
    return read_common(self, logger, level, last, n, start, out, count, err);
}
void crier_redis_entries_free(struct crier_redis_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(entries[i].text);
    free(entries);
}

/* ---- queries ---- */

/* <logger>:<level> of a key, behind what it begins with and without its braces. */
static bool read_key(struct crier_str key, size_t lead, struct crier_str *logger,
                     enum crier_level *level)
{
    const char *at = key.data + lead, *end = key.data + key.len;
    if (at < end && *at == '{' && end[-1] == '}')
        at++, end--;
    const char *colon = at < end ? memrchr(at, ':', (size_t)(end - at)) : NULL;
    if (!colon)
        return false;
    *logger = (struct crier_str){at, (size_t)(colon - at)};
    return crier_level_parse(colon + 1, (size_t)(end - colon - 1), level);
}

static uint32_t hash_of(struct crier_str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 16777619u;
    return h;
}

/* What a line without JSON still tells, as a log record; its id is made of its time and text. */
static struct crier_record *read_plain(const struct crier_redis_store *r,
                                       struct crier_reader *reader, struct crier_str key,
                                       struct crier_str line)
{
    struct crier_stored who = {.kind = CRIER_KIND_LOG, .ok = -1};
    if (!read_key(key, strlen("recent:"), &who.logger, &who.level) ||
        (!crier_redis_line_read(CRIER_REDIS_TEXT, r->zone, line, &who.time, &who.text) &&
         !crier_redis_line_read(CRIER_REDIS_ASCTIME, r->zone, line, &who.time, &who.text)))
        return NULL;
    uint64_t ms = who.time > 0 ? (uint64_t)who.time / 1000 : 0;
    for (int i = 0; i < 6; i++)
        who.id[i] = (unsigned char)(ms >> (40 - 8 * i));
    uint32_t hashes[2] = {hash_of(line), hash_of(key)};
    memcpy(who.id + 6, hashes, sizeof hashes);
    crier_build_restore_begin(&reader->b);
    return crier_build_restore(&reader->b, &who);
}

static void match_list(const struct crier_redis_store *r, struct crier_str key,
                       const redisReply *list, const struct crier_query *query,
                       struct crier_reader *reader, struct crier_buf *found)
{
    for (size_t i = list->type == REDIS_REPLY_ARRAY ? list->elements : 0; i-- > 0;) {
        struct crier_str line = {list->element[i]->str, list->element[i]->len};
        struct crier_record *record = NULL;
        if (line.len && line.data[0] == '{' &&
            crier_reader_read(reader, line.data, line.len, &record, NULL) != CRIER_OK)
            record = NULL;
        if (!record)
            record = read_plain(r, reader, key, line);
        if (record && crier_query_wants(query, record))
            crier_buf_append(found, &record, sizeof record);
        else
            crier_record_unref(record);
    }
}

/* One page of SCAN: the lists that it names and that have not been `seen`, since SCAN may name a
 * key twice. The cursor of the next page is put into `cursor`. */
static int scan_page(struct crier_redis_store *r, char cursor[24], GHashTable *seen,
                     const struct crier_query *query, struct crier_reader *reader,
                     struct crier_buf *found, struct crier_err *err)
{
    struct crier_str words[] = {WORD("SCAN"),     WORD(cursor),  WORD("MATCH"),
                                WORD("recent:*"), WORD("COUNT"), WORD("1000")};
    redisReply *page = ask(r, CRIER_COUNT(words), words, err);
    int rc = page ? CRIER_OK : code_of(err);
    if (page && (page->type != REDIS_REPLY_ARRAY || page->elements != 2))
        rc = crier_err_set(err, CRIER_ECORRUPT, "redis %s: an answer that is none to SCAN",
                           r->conn.url.shown);
    for (size_t i = 0; rc == CRIER_OK && i < page->element[1]->elements; i++) {
        const redisReply *key = page->element[1]->element[i];
        if (!g_hash_table_add(seen, g_bytes_new(key->str, key->len)))
            continue;
        struct crier_str ask_list[] = {WORD("LRANGE"), {key->str, key->len}, WORD("0"), WORD("-1")};
        struct crier_err why = {0};
        redisReply *list = ask(r, CRIER_COUNT(ask_list), ask_list, &why);
        if (list)
            match_list(r, (struct crier_str){key->str, key->len}, list, query, reader, found);
        else if (!strstr(why.text, "WRONGTYPE")) /* someone else's key */
            rc = why.code, *err = why;
        if (list)
            freeReplyObject(list);
    }
    if (rc == CRIER_OK)
        snprintf(cursor, 24, "%s", page->element[0]->str);
    if (page)
        freeReplyObject(page);
    return rc;
}

int crier_redis_query(void *self, const struct crier_query *query, struct crier_record ***hits,
                      size_t *count, struct crier_err *err)
{
    struct crier_redis_store *r = self;
    struct crier_reader reader = {0};
    struct crier_buf found = {0};
    char cursor[24] = "0";
    GHashTable *seen =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    int rc;
    do
        rc = scan_page(r, cursor, seen, query, &reader, &found, err);
    while (rc == CRIER_OK && strcmp(cursor, "0") != 0);
    g_hash_table_destroy(seen);
    *hits = (struct crier_record **)(void *)found.data;
    *count = found.len / sizeof **hits;
    crier_reader_fini(&reader);
    if (rc != CRIER_OK) {
        for (size_t i = 0; i < *count; i++)
            crier_record_unref((*hits)[i]);
        crier_buf_fini(&found);
        *hits = NULL;
        *count = 0;
        return rc;
    }
    /* What came within one microsecond stands in the order of seq. */
    crier_records_sort(*hits, *count, "seq", false);
    crier_records_sort(*hits, *count, "time", false);
    return CRIER_OK;
}

/* ---- functions of the kind ---- */

#define RECENT_USAGE "redis:recent(\"bot\", \"error\")"
#define COMMON_USAGE "redis:common { logger = \"bot\", level = \"error\", hour = \"last\" }"
enum { ENTRIES = 100 }; /* given when nothing is said */

static int bad_args(struct crier_err *err, const char *what, const char *usage)
{
    return crier_err_set(err, CRIER_EINVAL, "%s; write %s", what, usage);
}

static bool read_level(const json_t *v, enum crier_level *out)
{
    char number[32];
    if (json_is_string(v))
        return crier_level_parse(json_string_value(v), json_string_length(v), out);
    if (!json_is_integer(v))
        return false;
    int n = snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    return crier_level_parse(number, (size_t)n, out);
}

/* A missing one is ENTRIES. */
static bool read_limit(const json_t *v, size_t *out)
{
    *out = ENTRIES;
    if (!v || json_is_null(v))
        return true;
    *out = json_is_integer(v) && json_integer_value(v) >= 0 ? (size_t)json_integer_value(v) : 0;
    return json_is_integer(v) && json_integer_value(v) >= 0;
}

static json_t *text_json(struct crier_str s)
{
    char *valid = g_utf8_make_valid(s.data, (gssize)s.len);
    json_t *v = json_string(valid);
    g_free(valid);
    return v;
}

/* A line as { time, text }, and where it is a whole record with all of that. */
static json_t *line_json(const struct crier_redis_store *r, struct crier_str line)
{
    int64_t time;
    struct crier_str text = line;
    json_t *o = line.len && line.data[0] == '{' ? json_loadb(line.data, line.len, 0, NULL) : NULL;
    const json_t *at = json_object_get(o, "time");
    if (json_is_string(at) &&
        crier_time_read(json_string_value(at), json_string_length(at), &time)) {
        json_object_set_new(o, "time", json_real((double)time / 1e6));
        return o;
    }
    json_decref(o);
    o = json_object();
    if (crier_redis_line_read(CRIER_REDIS_TEXT, r->zone, line, &time, &text) ||
        crier_redis_line_read(CRIER_REDIS_ASCTIME, r->zone, line, &time, &text))
        json_object_set_new(o, "time", json_real((double)time / 1e6));
    json_object_set_new(o, "text", text_json(text));
    return o;
}

static int run_recent(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    const json_t *logger = json_array_get(args, 0);
    struct crier_redis_entry *entries;
    enum crier_level level;
    size_t limit, count;
    if (!json_is_string(logger))
        return bad_args(err, "recent needs the name of a logger", RECENT_USAGE);
    if (!read_level(json_array_get(args, 1), &level))
        return bad_args(err, "recent needs a level (debug, info, warning, error, critical)",
                        RECENT_USAGE);
    if (!read_limit(json_array_get(args, 2), &limit))
        return bad_args(err, "recent: the third argument is how many lines at most", RECENT_USAGE);
    struct crier_str name = {json_string_value(logger), json_string_length(logger)};
    int rc = crier_redis_recent(self, name, level, limit, &entries, &count, err);
    if (rc != CRIER_OK)
        return rc;
    *result = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(*result,
                              line_json(self, (struct crier_str){entries[i].text, entries[i].len}));
    crier_redis_entries_free(entries, count);
    return CRIER_OK;
}

struct common {
    struct crier_redis_store *store;
    const json_t *logger;
    enum crier_level level; /* 0: all */
    bool last;
    size_t limit;
    json_t *list;
};

static int add_common(struct common *c, struct crier_str logger, enum crier_level level,
                      struct crier_err *err)
{
    struct crier_redis_entry *entries;
    size_t count;
    char start[24];
    int rc = read_common(c->store, logger, level, c->last, c->limit, start, &entries, &count, err);
    for (size_t i = 0; rc == CRIER_OK && i < count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "logger", text_json(logger));
        json_object_set_new(one, "level", json_string(crier_level_name(level)));
        json_object_set_new(one, "text",
                            text_json((struct crier_str){entries[i].text, entries[i].len}));
        json_object_set_new(one, "count", json_integer((json_int_t)entries[i].count));
        json_object_set_new(one, "start", json_sprintf("%sZ", start));
        json_array_append_new(c->list, one);
    }
    if (rc == CRIER_OK)
        crier_redis_entries_free(entries, count);
    return rc;
}

/* A key of common logs, be it of this hour or the last one, without what is behind its level. */
static bool read_common_key(struct crier_str key, struct crier_str *logger, enum crier_level *level)
{
    static const char *const ends[] = {":start", ":last", ":pstart"};
    for (size_t i = 0; i < CRIER_COUNT(ends); i++) {
        size_t n = strlen(ends[i]);
        if (key.len > n && memcmp(key.data + key.len - n, ends[i], n) == 0)
            key.len -= n;
    }
    return read_key(key, strlen("common:"), logger, level);
}

static int scan_common(struct common *c, char cursor[24], GHashTable *seen, struct crier_err *err)
{
    struct crier_str words[] = {WORD("SCAN"),     WORD(cursor),  WORD("MATCH"),
                                WORD("common:*"), WORD("COUNT"), WORD("1000")};
    redisReply *page = ask(c->store, CRIER_COUNT(words), words, err);
    int rc = page ? CRIER_OK : code_of(err);
    if (page && (page->type != REDIS_REPLY_ARRAY || page->elements != 2))
        rc = crier_err_set(err, CRIER_ECORRUPT, "redis %s: an answer that is none to SCAN",
                           c->store->conn.url.shown);
    for (size_t i = 0; rc == CRIER_OK && i < page->element[1]->elements; i++) {
        const redisReply *key = page->element[1]->element[i];
        struct crier_str logger;
        enum crier_level level;
        if (!read_common_key((struct crier_str){key->str, key->len}, &logger, &level) ||
            (c->level && level != c->level) ||
            (c->logger && (json_string_length(c->logger) != logger.len ||
                           memcmp(json_string_value(c->logger), logger.data, logger.len) != 0)))
            continue;
        struct crier_buf id = {0};
        crier_redis_put_name(c->store, logger, level, &id);
        if (g_hash_table_add(seen, g_bytes_new(id.data, id.len)))
            rc = add_common(c, logger, level, err);
        crier_buf_fini(&id);
    }
    if (rc == CRIER_OK)
        snprintf(cursor, 24, "%s", page->element[0]->str);
    if (page)
        freeReplyObject(page);
    return rc;
}

static int by_count(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t n = json_integer_value(json_object_get(x, "count"));
    json_int_t m = json_integer_value(json_object_get(y, "count"));
    return (n < m) - (n > m);
}

/* The most frequent first, `limit` of them. */
static json_t *sort_common(json_t *list, size_t limit)
{
    size_t n = json_array_size(list);
    json_t **all = crier_calloc(n + 1, sizeof *all), *sorted = json_array();
    for (size_t i = 0; i < n; i++)
        all[i] = json_array_get(list, i);
    qsort(all, n, sizeof *all, by_count);
    for (size_t i = 0; i < n && i < limit; i++)
        json_array_append(sorted, all[i]);
    free(all);
    json_decref(list);
    return sorted;
}

static int read_common_args(const json_t *args, struct common *c, struct crier_err *err)
{
    static const char *const known[] = {"logger", "level", "hour", "limit"};
    json_t *o = json_array_get(args, 0), *v;
    const char *key;
    read_limit(NULL, &c->limit);
    if (!o || (json_is_array(o) && json_array_size(o) == 0))
        return CRIER_OK;
    if (!json_is_object(o))
        return bad_args(err, "common takes a table", COMMON_USAGE);
    json_object_foreach(o, key, v)
    {
        size_t i = 0;
        while (i < CRIER_COUNT(known) && strcmp(key, known[i]) != 0)
            i++;
        if (i == CRIER_COUNT(known))
            return crier_err_set(err, CRIER_EINVAL,
                                 "common: unknown option '%.40s' (there are logger, level, hour, "
                                 "limit)",
                                 key);
    }
    c->logger = json_object_get(o, "logger");
    if (c->logger && !json_is_string(c->logger))
        return bad_args(err, "common: logger is a name", COMMON_USAGE);
    v = json_object_get(o, "level");
    if (v && !read_level(v, &c->level))
        return bad_args(err, "common: level is one of debug, info, warning, error, critical",
                        COMMON_USAGE);
    v = json_object_get(o, "hour");
    c->last = v && json_is_string(v) && strcmp(json_string_value(v), "last") == 0;
    if (v && !c->last && !(json_is_string(v) && strcmp(json_string_value(v), "this") == 0))
        return bad_args(err, "common: hour is \"this\" or \"last\"", COMMON_USAGE);
    if (!read_limit(json_object_get(o, "limit"), &c->limit))
        return bad_args(err, "common: limit is how many messages at most", COMMON_USAGE);
    return CRIER_OK;
}

static int run_common(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    struct common c = {.store = self, .list = json_array()};
    char cursor[24] = "0";
    GHashTable *seen =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    int rc = read_common_args(args, &c, err);
    if (rc == CRIER_OK && c.logger && c.level) {
        rc = add_common(
            &c, (struct crier_str){json_string_value(c.logger), json_string_length(c.logger)},
            c.level, err);
    } else if (rc == CRIER_OK) {
        do
            rc = scan_common(&c, cursor, seen, err);
        while (rc == CRIER_OK && strcmp(cursor, "0") != 0);
    }
    g_hash_table_destroy(seen);
    if (rc == CRIER_OK)
        *result = sort_common(c.list, c.limit);
    else
        json_decref(c.list);
    return rc;
}

const struct crier_sink_method crier_redis_methods[] = {
    {"recent", RECENT_USAGE, "the last lines of a logger and level, newest first", run_recent,
     false},
    {"common", COMMON_USAGE, "the most frequent messages of this hour or the last one", run_common,
     false},
    {NULL, NULL, NULL, NULL, false},
};

int crier_redis_change(void *self, const struct crier_query *query, const json_t *fields,
                       uint64_t *changed, struct crier_err *err)
{
    (void)self;
    (void)query;
    (void)fields;
    *changed = 0;
    return crier_err_set(
        err, CRIER_EINVAL,
        "the recent lines in Redis cannot be changed; they go when newer ones come");
}
