/* SPDX-License-Identifier: MIT */
#include "record/change.h"

#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "record/tape.h"

typedef struct crier_change_field field;

static bool same(struct crier_str a, struct crier_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static size_t first_part(struct crier_str path)
{
    const char *dot = memchr(path.data, '.', path.len);
    return dot ? (size_t)(dot - path.data) : path.len;
}

/* Whether `path` is inside of what `outer` names. */
static bool is_within(struct crier_str path, struct crier_str outer)
{
    return path.len > outer.len && path.data[outer.len] == '.' &&
           memcmp(path.data, outer.data, outer.len) == 0;
}

static int check(const field *f, size_t count, struct crier_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = f[i].path.data;
        size_t part = first_part(f[i].path);
        if (!part || name[f[i].path.len - 1] == '.' || strstr(name, ".."))
            return crier_err_set(err, CRIER_EINVAL, "update: '%s' is no name of a field", name);
        if (crier_field_of(name, part) != CRIER_FIELD_OTHER)
            return crier_err_set(err, CRIER_EINVAL,
                                 "update: '%.*s' is part of what every record is and cannot be "
                                 "changed; fields can",
                                 (int)part, name);
        for (size_t k = 0; k < count; k++)
            if (is_within(f[i].path, f[k].path))
                return crier_err_set(err, CRIER_EINVAL,
                                     "update: '%s' is within '%s', which is changed as a whole",
                                     name, f[k].path.data);
    }
    return 0;
}

int crier_change_init(struct crier_change *c, const struct crier_query *query, const json_t *fields,
                      struct crier_err *err)
{
    const char *key;
    json_t *value;
    *c = (struct crier_change){.query = query};
    if (!fields)
        return 0;
    if (!json_is_object(fields) || json_object_size(fields) == 0)
        return crier_err_set(err, CRIER_EINVAL, "update: expected fields and their new values");
    size_t n = json_object_size(fields);
    c->fields = crier_calloc(n, sizeof *c->fields);
    c->left = crier_calloc(n, sizeof *c->left);
    json_object_foreach((json_t *)fields, key, value)
        c->fields[c->field_count++] = (field){{key, strlen(key)}, value};
    return check(c->fields, n, err);
}

void crier_change_fini(struct crier_change *c)
{
    if (c->events)
        g_hash_table_destroy(c->events);
    crier_reader_fini(&c->reader);
    free(c->fields);
    free(c->left);
    *c = (struct crier_change){0};
}

/* ---- events ---- */

/* An event that is meant. */
struct event {
    unsigned char first[16];     /* id of its first phase */
    struct crier_record *folded; /* with the new values; NULL: it is removed */
};

static void free_event(gpointer p)
{
    struct event *e = p;
    crier_record_unref(e->folded);
    free(e);
}

static GBytes *event_key(const struct crier_record *record)
{
    char scratch[32];
    struct crier_str id, node = crier_record_node(record);
    if (!crier_event_of(record, &id, scratch))
        return NULL;
    char *text = crier_malloc(node.len + id.len + 1);
    if (node.len)
        memcpy(text, node.data, node.len);
    text[node.len] = '\0';
    memcpy(text + node.len + 1, id.data, id.len);
    GBytes *key = g_bytes_new(text, node.len + id.len + 1);
    free(text);
    return key;
}

/* ---- a record with new values ---- */

/* null: nothing is written. */
static void put_value(struct crier_reader *r, struct crier_str key, const json_t *value)
{
    struct crier_scan scan;
    if (!value || json_is_null(value))
        return;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        abort();
    crier_scan_init(&scan, text, strlen(text));
    enum crier_scan_event event = crier_scan_next(&scan);
    if (!crier_reader_value(r, key, &scan, event))
        crier_build_null(&r->b, key.data, key.len);
    crier_scan_fini(&scan);
    free(text);
}

static bool brings_value(const field *f, size_t count, struct crier_str key)
{
    for (size_t i = 0; i < count; i++)
        if (f[i].value && !json_is_null(f[i].value) &&
            (same(f[i].path, key) || is_within(f[i].path, key)))
            return true;
    return false;
}

static bool touches(const field *f, size_t count, struct crier_str key)
{
    for (size_t i = 0; i < count; i++)
        if (same(f[i].path, key) || is_within(f[i].path, key))
            return true;
    return false;
}

/* The fields within `key`, without its name in front, go to `to`; all within it are taken off f. */
static size_t take_within(field *f, size_t *count, struct crier_str key, field *to)
{
    size_t kept = 0, n = 0;
    for (size_t i = 0; i < *count; i++) {
        field one = f[i];
        if (is_within(one.path, key)) {
            one.path.data += key.len + 1;
            one.path.len -= key.len + 1;
            to[n++] = one;
        } else {
            f[kept++] = one;
        }
    }
    *count = kept;
    return n;
}

/* A field of this very name, taken off f. */
static bool take_field(field *f, size_t *count, struct crier_str key, field *out)
{
    for (size_t i = 0; i < *count; i++) {
        if (!same(f[i].path, key))
            continue;
        *out = f[i];
        memmove(&f[i], &f[i + 1], (*count - i - 1) * sizeof *f);
        --*count;
        return true;
    }
    return false;
}

/* The members of an object with the fields of f in their places, or behind them. f is used up. */
static void put_members(struct crier_reader *r, struct crier_iter it, field *f, size_t count)
{
    struct crier_value v;
    field one, *inner = crier_calloc(count + 1, sizeof *inner);
    while (crier_next(&it, &v)) {
        if (!count || !touches(f, count, v.key)) {
            crier_build_value(&r->b, v.key.data, v.key.len, &v);
        } else if (take_field(f, &count, v.key, &one)) {
            put_value(r, v.key, one.value);
        } else if (v.type == CRIER_OBJECT) {
            size_t n = take_within(f, &count, v.key, inner);
            crier_build_open(&r->b, v.key.data, v.key.len, CRIER_OBJECT);
            put_members(r, crier_values(&v), inner, n);
            crier_build_close(&r->b);
        } else if (!brings_value(f, count, v.key)) {
            crier_build_value(&r->b, v.key.data, v.key.len, &v);
        }
    }
    while (count) {
        struct crier_str key = f[0].path;
        key.len = first_part(key);
        if (take_field(f, &count, key, &one)) {
            put_value(r, key, one.value);
            continue;
        }
        bool any = brings_value(f, count, key);
        size_t n = take_within(f, &count, key, inner);
        if (!any)
            continue;
        crier_build_open(&r->b, key.data, key.len, CRIER_OBJECT);
        put_members(r, (struct crier_iter){NULL, NULL}, inner, n);
        crier_build_close(&r->b);
    }
    free(inner);
}

static void begin_copy(struct crier_reader *r, const struct crier_record *record)
{
    crier_reader_begin(r);
    r->who = (struct crier_stored){
        .seq = crier_record_seq(record),
        .time = crier_record_time(record),
        .kind = crier_record_kind(record),
        .level = crier_record_level(record),
        .ok = crier_record_ok(record),
        .sim = crier_record_sim(record),
        .text = crier_record_text(record),
        .logger = crier_record_logger(record),
        .where = crier_record_where(record),
        .node = crier_record_node(record),
    };
    memcpy(r->who.id, crier_record_id_bytes(record), sizeof r->who.id);
}

static struct crier_record *changed(struct crier_change *c, const struct crier_record *record)
{
    struct crier_reader *r = &c->reader;
    begin_copy(r, record);
    memcpy(c->left, c->fields, c->field_count * sizeof *c->fields);
    put_members(r, crier_record_fields(record), c->left, c->field_count);
    return crier_build_restore(&r->b, &r->who);
}

/* A phase of an event that is changed: the first one has what is new, the others leave it out. */
static struct crier_record *changed_phase(struct crier_change *c, const struct crier_record *record,
                                          const struct event *e)
{
    struct crier_reader *r = &c->reader;
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    begin_copy(r, record);
    while (crier_next(&it, &v))
        if (!touches(c->fields, c->field_count, v.key))
            crier_build_value(&r->b, v.key.data, v.key.len, &v);
    it = crier_record_fields(e->folded);
    bool first = memcmp(e->first, crier_record_id_bytes(record), sizeof e->first) == 0;
    while (first && crier_next(&it, &v))
        if (touches(c->fields, c->field_count, v.key))
            crier_build_value(&r->b, v.key.data, v.key.len, &v);
    return crier_build_restore(&r->b, &r->who);
}

void crier_change_learn(struct crier_change *c, struct crier_record **hits, size_t count)
{
    if (!c->events)
        c->events = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                          (GDestroyNotify)g_bytes_unref, free_event);
    size_t n = crier_records_fold(hits, count);
    for (size_t i = 0; i < n; i++) {
        GBytes *key = event_key(hits[i]);
        if (key && crier_query_match(c->query, hits[i])) {
            struct event *e = crier_calloc(1, sizeof *e);
            memcpy(e->first, crier_record_id_bytes(hits[i]), sizeof e->first);
            e->folded = c->fields ? changed(c, hits[i]) : NULL;
            g_hash_table_insert(c->events, key, e);
        } else if (key) {
            g_bytes_unref(key);
        }
        crier_record_unref(hits[i]);
    }
    free(hits);
}

enum crier_change_verdict crier_change_ask(struct crier_change *c, struct crier_record *record,
                                           struct crier_record **replacement)
{
    GBytes *key = c->events ? event_key(record) : NULL;
    const struct event *e = NULL;
    if (key) {
        e = g_hash_table_lookup(c->events, key);
        g_bytes_unref(key);
        if (!e)
            return CRIER_CHANGE_KEEP;
    } else if (!crier_query_match(c->query, record)) {
        return CRIER_CHANGE_KEEP;
    }
    c->changed += !e || memcmp(e->first, crier_record_id_bytes(record), sizeof e->first) == 0;
    if (!c->fields)
        return CRIER_CHANGE_REMOVE;
    *replacement = e ? changed_phase(c, record, e) : changed(c, record);
    return CRIER_CHANGE_REPLACE;
}

int crier_change_fault(const struct crier_change *c, struct crier_err *err)
{
    return crier_query_fault(c->query, err);
}
