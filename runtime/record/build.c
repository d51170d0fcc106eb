/* SPDX-License-Identifier: MIT */
#include "record/build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "record/scan.h"
#include "record/tape.h"

#define KEEP_MAX (1024 * 1024) /* a builder's buffer above this is given back */
#define NAME_MAX_BYTES 65535   /* keys, logger, where and node */

void crier_source_init(struct crier_source *source, const char *node, bool sim,
                       const uint64_t *seed)
{
    *source = (struct crier_source){.node = crier_strdup(node ? node : ""), .sim = sim};
    if (seed)
        crier_rng_seed(&source->ids.rng, *seed);
    else
        crier_rng_seed_system(&source->ids.rng);
}

void crier_source_fini(struct crier_source *source)
{
    free(source->node);
    source->node = NULL;
}

void crier_builder_init(struct crier_builder *b, struct crier_source *source)
{
    memset(b, 0, sizeof *b);
    b->source = source;
}

void crier_builder_fini(struct crier_builder *b)
{
    crier_buf_fini(&b->buf);
    crier_buf_fini(&b->moved);
}

static void reset(struct crier_buf *buf)
{
    if (buf->cap > KEEP_MAX)
        crier_buf_fini(buf);
    buf->len = 0;
}

void crier_build_begin(struct crier_builder *b, enum crier_kind kind, enum crier_level level,
                       int64_t wall_us)
{
    crier_build_cancel(b);
    b->time = wall_us;
    b->kind = kind;
    crier_build_level(b, level);
}

void crier_build_cancel(struct crier_builder *b)
{
    reset(&b->buf);
    reset(&b->moved);
    b->depth = b->skip = 0;
    b->in_fields = b->verbatim = false;
    b->ok = -1;
    b->logger = b->text = b->where = (struct crier_str){"", 0};
}

void crier_build_logger(struct crier_builder *b, const char *s, size_t len)
{
    b->logger = (struct crier_str){s, len};
}

void crier_build_text(struct crier_builder *b, const char *s, size_t len)
{
    b->text = (struct crier_str){s, len};
}

void crier_build_where(struct crier_builder *b, const char *s, size_t len)
{
    b->where = (struct crier_str){s, len};
}

void crier_build_ok(struct crier_builder *b, bool ok)
{
    b->ok = ok;
}

void crier_build_level(struct crier_builder *b, enum crier_level level)
{
    int n = level < CRIER_DEBUG ? CRIER_DEBUG : level > CRIER_CRITICAL ? CRIER_CRITICAL : level;
    b->level = n / 10 * 10;
}

/* --- the tape ------------------------------------------------------------------------------ */

static struct crier_buf *target(struct crier_builder *b)
{
    return b->in_fields ? &b->moved : &b->buf;
}

static bool reserved(const char *key, size_t klen)
{
    return crier_field_of(key, klen) != CRIER_FIELD_OTHER ||
           (klen == 6 && memcmp(key, "fields", 6) == 0);
}

static char *put(struct crier_builder *b, struct crier_buf *buf, const char *key,
                 struct crier_tape_item head)
{
    char *to = crier_tape_room(buf, sizeof head + head.key + head.size);
    b->last = buf->len;
    buf->len += sizeof head + head.key + head.size;
    memcpy(to, &head, sizeof head);
    if (head.key)
        memcpy(to + sizeof head, key, head.key);
    return to + sizeof head + head.key;
}

static char *put_odd_key(struct crier_builder *b, struct crier_buf *buf, const char *key,
                         size_t klen, struct crier_tape_item head)
{
    struct crier_buf clean = {0};
    crier_utf8_append(&clean, key, klen);
    head.key = (uint16_t)crier_utf8_cut(clean.data, clean.len, NAME_MAX_BYTES);
    char *to = put(b, buf, clean.data, head);
    crier_buf_fini(&clean);
    return to;
}

/* Room for a value's payload; NULL when the value is left out. */
static char *item(struct crier_builder *b, const char *key, size_t klen, enum crier_type type,
                  size_t size, bool plain)
{
    if (b->skip)
        return NULL;
    if (b->depth == 0)
        b->in_fields = !b->verbatim && reserved(key, klen);
    struct crier_buf *buf = target(b);
    if (b->depth && buf->data[b->open[b->depth - 1]] == CRIER_ARRAY)
        klen = 0;
    if (size > CRIER_RECORD_MAX || buf->len + klen + size > CRIER_RECORD_MAX)
        return NULL;
    struct crier_tape_item head = {.type = (uint8_t)type, .size = (uint32_t)size};
    head.plain = plain ? CRIER_PLAIN_STR : 0;
    if (klen > NAME_MAX_BYTES || !crier_text_plain(key, klen))
        return put_odd_key(b, buf, key, klen, head);
    head.plain |= CRIER_PLAIN_KEY;
    head.key = (uint16_t)klen;
    return put(b, buf, key, head);
}

static void scalar(struct crier_builder *b, const char *key, size_t klen, enum crier_type type,
                   const void *payload, size_t size)
{
    char *to = item(b, key, klen, type, size, false);
    if (to && size)
        memcpy(to, payload, size);
}

static void build_odd_str(struct crier_builder *b, const char *key, size_t klen, const char *s,
                          size_t len)
{
    struct crier_buf clean = {0};
    crier_utf8_append(&clean, s, len);
    scalar(b, key, klen, CRIER_STR, clean.data, clean.len);
    crier_buf_fini(&clean);
}

void crier_build_str(struct crier_builder *b, const char *key, size_t klen, const char *s,
                     size_t len)
{
    if (len > CRIER_RECORD_MAX / 2) {
        s = "[too large]";
        len = strlen(s);
    }
    bool plain = crier_text_plain(s, len);
    if (!plain && crier_utf8_span(s, len) != len) {
        build_odd_str(b, key, klen, s, len);
        return;
    }
    char *to = item(b, key, klen, CRIER_STR, len, plain);
    if (to && len)
        memcpy(to, s, len);
}

void crier_build_int(struct crier_builder *b, const char *key, size_t klen, int64_t v)
{
    scalar(b, key, klen, CRIER_INT, &v, sizeof v);
}

void crier_build_num(struct crier_builder *b, const char *key, size_t klen, double v)
{
    if (isfinite(v))
        scalar(b, key, klen, CRIER_NUM, &v, sizeof v);
    else
        crier_build_null(b, key, klen);
}

void crier_build_bool(struct crier_builder *b, const char *key, size_t klen, bool v)
{
    scalar(b, key, klen, v ? CRIER_TRUE : CRIER_FALSE, NULL, 0);
}

void crier_build_null(struct crier_builder *b, const char *key, size_t klen)
{
    scalar(b, key, klen, CRIER_NULL, NULL, 0);
}

void crier_build_snowflake(struct crier_builder *b, const char *key, size_t klen, uint64_t v)
{
    scalar(b, key, klen, CRIER_SNOWFLAKE, &v, sizeof v);
}

void crier_build_time(struct crier_builder *b, const char *key, size_t klen, int64_t wall_us)
{
    scalar(b, key, klen, CRIER_TIME, &wall_us, sizeof wall_us);
}

void crier_build_open(struct crier_builder *b, const char *key, size_t klen, enum crier_type type)
{
    if (b->skip) {
        b->skip++;
    } else if (b->depth == CRIER_TAPE_DEPTH) {
        crier_build_str(b, key, klen, "[too deep]", 10);
        b->skip = 1;
    } else if (item(b, key, klen, type, 0, false)) {
        b->open[b->depth++] = b->last;
    } else {
        b->skip = 1;
    }
}

void crier_build_close(struct crier_builder *b)
{
    struct crier_tape_item head;
    if (b->skip) {
        b->skip--;
        return;
    }
    if (b->depth == 0)
        return;
    struct crier_buf *buf = target(b);
    char *at = buf->data + b->open[--b->depth];
    memcpy(&head, at, sizeof head);
    head.size = (uint32_t)((size_t)(buf->data + buf->len - at) - sizeof head - head.key);
    memcpy(at, &head, sizeof head);
}

void crier_build_value(struct crier_builder *b, const char *key, size_t klen,
                       const struct crier_value *v)
{
    switch (v->type) {
    case CRIER_STR:
        crier_build_str(b, key, klen, v->s.data, v->s.len);
        break;
    case CRIER_NUM:
        crier_build_num(b, key, klen, v->n);
        break;
    case CRIER_INT:
    case CRIER_SNOWFLAKE:
    case CRIER_TIME:
        scalar(b, key, klen, v->type, &v->u, sizeof v->u);
        break;
    case CRIER_NULL:
    case CRIER_FALSE:
    case CRIER_TRUE:
        scalar(b, key, klen, v->type, NULL, 0);
        break;
    case CRIER_ARRAY:
    case CRIER_OBJECT: {
        struct crier_iter it = crier_values(v);
        struct crier_value inner;
        crier_build_open(b, key, klen, v->type);
        while (crier_next(&it, &inner))
            crier_build_value(b, inner.key.data, inner.key.len, &inner);
        crier_build_close(b);
        break;
    }
    }
}

/* One value of the scanner, and what is inside it. */
static bool copy_json(struct crier_builder *b, const char *key, size_t klen, struct crier_scan *s)
{
    unsigned inside = 0;
    do {
        enum crier_scan_event event = crier_scan_next(s);
        const char *name = inside ? s->key.data : key;
        size_t nlen = inside ? s->key.len : klen;
        switch (event) {
        case CRIER_SCAN_OBJECT:
        case CRIER_SCAN_ARRAY:
            crier_build_open(b, name, nlen,
                             event == CRIER_SCAN_OBJECT ? CRIER_OBJECT : CRIER_ARRAY);
            inside++;
            break;
        case CRIER_SCAN_CLOSE:
            crier_build_close(b);
            inside--;
            break;
        case CRIER_SCAN_STR:
            crier_build_str(b, name, nlen, s->s.data, s->s.len);
            break;
        case CRIER_SCAN_INT:
            crier_build_int(b, name, nlen, s->i);
            break;
        case CRIER_SCAN_NUM:
            crier_build_num(b, name, nlen, s->n);
            break;
        case CRIER_SCAN_TRUE:
        case CRIER_SCAN_FALSE:
            crier_build_bool(b, name, nlen, event == CRIER_SCAN_TRUE);
            break;
        case CRIER_SCAN_NULL:
            crier_build_null(b, name, nlen);
            break;
        case CRIER_SCAN_END:
        case CRIER_SCAN_ERROR:
            return false;
        }
    } while (inside);
    return crier_scan_next(s) == CRIER_SCAN_END;
}

void crier_build_json(struct crier_builder *b, const char *key, size_t klen, const char *json,
                      size_t len)
{
    struct crier_scan scan;
    size_t buf = b->buf.len, moved = b->moved.len;
    unsigned depth = b->depth, skip = b->skip;
    crier_scan_init(&scan, json, len);
    if (!copy_json(b, key, klen, &scan)) {
        b->buf.len = buf;
        b->moved.len = moved;
        b->depth = depth;
        b->skip = skip;
        crier_build_str(b, key, klen, json, len);
    }
    crier_scan_fini(&scan);
}

/* What is out of a record begins with a type, which is no bracket. */
static bool is_json(const struct crier_value *v)
{
    return (v->type == CRIER_OBJECT || v->type == CRIER_ARRAY) && v->raw.len &&
           (v->raw.data[0] == '{' || v->raw.data[0] == '[');
}

void crier_build_given(struct crier_builder *b, const struct crier_value *v)
{
    if (is_json(v))
        crier_build_json(b, v->key.data, v->key.len, v->raw.data, v->raw.len);
    else
        crier_build_value(b, v->key.data, v->key.len, v);
}

/* --- the block ----------------------------------------------------------------------------- */

/* A common member as it goes behind the tape: valid, and of at most max bytes. */
static void fit_odd(struct crier_str *s, struct crier_buf *clean, size_t max)
{
    s->len = crier_utf8_cut(s->data, s->len, max);
    crier_utf8_append(clean, s->data, s->len);
    *s = (struct crier_str){clean->data, crier_utf8_cut(clean->data, clean->len, max)};
}

static void put_moved(struct crier_builder *b)
{
    struct crier_tape_item head = {
        .type = CRIER_OBJECT, .plain = CRIER_PLAIN_KEY, .key = 6, .size = (uint32_t)b->moved.len};
    memcpy(put(b, &b->buf, "fields", head), b->moved.data, b->moved.len);
}

/* All but id, seq and sim. */
static struct crier_record *make_record(struct crier_builder *b, struct crier_str node)
{
    struct crier_str *const texts[] = {&b->text, &b->logger, &b->where, &node};
    struct crier_buf clean[CRIER_COUNT(texts)];
    uint8_t plain[CRIER_COUNT(texts)];
    size_t size = sizeof(struct crier_record_head) + b->buf.len;
    for (size_t i = 0; i < CRIER_COUNT(texts); i++) {
        size_t max = i == 0 ? CRIER_RECORD_MAX : NAME_MAX_BYTES;
        plain[i] = texts[i]->len <= max && crier_text_plain(texts[i]->data, texts[i]->len);
        if (!plain[i]) {
            clean[i] = (struct crier_buf){0};
            fit_odd(texts[i], &clean[i], max);
            plain[i] = crier_text_plain(texts[i]->data, texts[i]->len);
        } else {
            clean[i].data = NULL;
        }
        size += texts[i]->len;
    }
    struct crier_record *record = crier_record_alloc(size);
    struct crier_record_head *head = &record->head;
    head->magic = CRIER_RECORD_MAGIC;
    head->version = CRIER_RECORD_VERSION;
    head->size = (uint32_t)size;
    head->tape = (uint32_t)b->buf.len;
    head->time = b->time;
    head->text = (uint32_t)b->text.len;
    head->logger = (uint32_t)b->logger.len;
    head->where = (uint32_t)b->where.len;
    head->node = (uint32_t)node.len;
    head->kind = (uint8_t)b->kind;
    head->level = (uint8_t)b->level;
    head->ok = (int8_t)b->ok;
    memcpy(head->plain, plain, sizeof head->plain);
    char *to = record->data;
    if (b->buf.len)
        memcpy(to, b->buf.data, b->buf.len);
    to += b->buf.len;
    for (size_t i = 0; i < CRIER_COUNT(texts); i++) {
        if (texts[i]->len)
            memcpy(to, texts[i]->data, texts[i]->len);
        to += texts[i]->len;
        if (clean[i].data)
            crier_buf_fini(&clean[i]);
    }
    crier_build_cancel(b);
    return record;
}

struct crier_record *crier_build_end_bare(struct crier_builder *b)
{
    struct crier_source *source = b->source;
    struct crier_str node = {source->node, strlen(source->node)};
    while (b->depth)
        crier_build_close(b);
    if (b->moved.len)
        put_moved(b);
    struct crier_record *record = make_record(b, node);
    record->head.seq = 0;
    memset(record->head.id, 0, sizeof record->head.id);
    record->head.sim = source->sim;
    return record;
}

void crier_source_stamp(struct crier_source *source, struct crier_record *record)
{
    record->head.seq = ++source->seq;
    crier_ulid_next(&source->ids, record->head.time, record->head.id);
}

struct crier_record *crier_build_end(struct crier_builder *b)
{
    struct crier_record *record = crier_build_end_bare(b);
    crier_source_stamp(b->source, record);
    return record;
}

void crier_build_restore_begin(struct crier_builder *b)
{
    crier_build_cancel(b);
    b->verbatim = true;
}

void crier_build_copy(struct crier_builder *b, const struct crier_record *record,
                      struct crier_stored *who)
{
    const struct crier_record_head *head = &record->head;
    crier_build_restore_begin(b);
    memcpy(crier_buf_reserve(&b->buf, head->tape), record->data, head->tape);
    b->buf.len = head->tape;
    *who = (struct crier_stored){
        .seq = head->seq,
        .time = head->time,
        .kind = (enum crier_kind)head->kind,
        .level = (enum crier_level)head->level,
        .ok = head->ok,
        .sim = head->sim,
        .text = crier_record_text(record),
        .logger = crier_record_logger(record),
        .where = crier_record_where(record),
        .node = crier_record_node(record),
    };
    memcpy(who->id, head->id, sizeof who->id);
}

bool crier_build_remove(struct crier_builder *b, const char *key, size_t klen)
{
    struct crier_iter it = {b->buf.data, b->buf.data + b->buf.len};
    struct crier_value v;
    while (it.at != it.end) {
        char *at = (char *)it.at;
        crier_next(&it, &v);
        if (v.key.len != klen || memcmp(v.key.data, key, klen) != 0)
            continue;
        memmove(at, it.at, (size_t)(it.end - it.at));
        b->buf.len -= (size_t)(it.at - at);
        return true;
    }
    return false;
}

struct crier_record *crier_record_renew(const struct crier_record *record,
                                        struct crier_source *source)
{
    struct crier_record *copy = crier_record_alloc(record->head.size);
    memcpy(&copy->head, &record->head, record->head.size);
    copy->head.seq = ++source->seq;
    crier_ulid_next(&source->ids, record->head.time, copy->head.id);
    return copy;
}

struct crier_record *crier_build_restore(struct crier_builder *b, const struct crier_stored *who)
{
    while (b->depth)
        crier_build_close(b);
    b->time = who->time;
    b->kind = who->kind;
    crier_build_level(b, who->level);
    b->ok = who->ok;
    b->text = who->text;
    b->logger = who->logger;
    b->where = who->where;
    struct crier_record *record = make_record(b, who->node);
    record->head.seq = who->seq;
    memcpy(record->head.id, who->id, sizeof record->head.id);
    record->head.sim = who->sim;
    return record;
}
