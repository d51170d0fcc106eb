/* SPDX-License-Identifier: MIT */
#include "record/build.h"
#include "record/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"
#include "base/json.h"

/* --- blocks ------------------------------------------------------------------------------- */

/* Records are made on one thread and freed on others, which is what malloc is slowest at. So the
 * blocks of freed records go back to the thread that asked for them: a stack that anybody pushes to
 * and only that thread empties, whole (so no block can come back between a look and a swap). */
enum { POOLS = 3, POOL_FIRST = 256, POOL_KEEPS = 4096, PREFETCH = 320 };

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define RECYCLE false /* it could not tell a freed record from a new one */
#else
#define RECYCLE true
#endif

struct block {
    struct block *next;
};
static _Atomic(struct block *) freed[POOLS];
static atomic_uint freed_count[POOLS];
static atomic_bool recycling;
static _Thread_local bool recycles;
static _Thread_local struct block *ready[POOLS];

void crier_record_recycle(bool on)
{
    if (!RECYCLE || on == recycles)
        return;
    recycles = on;
    atomic_store(&recycling, on);
    for (size_t i = 0; i < POOLS && !on; i++) {
        struct block *lists[] = {ready[i], atomic_exchange(&freed[i], NULL)};
        ready[i] = NULL;
        atomic_store(&freed_count[i], 0);
        for (size_t k = 0; k < CRIER_COUNT(lists); k++) {
            while (lists[k]) {
                struct block *block = lists[k];
                lists[k] = block->next;
                free(block);
            }
        }
    }
}

static void fetch(const void *memory)
{
    for (size_t at = 0; at < PREFETCH; at += 64)
        __builtin_prefetch((const char *)memory + at, 1);
}

void crier_record_soon(const struct crier_record *record)
{
    fetch(record);
}

static void *take_block(size_t pool)
{
    struct block *block = ready[pool];
    if (!block && recycles) {
        block = atomic_exchange_explicit(&freed[pool], NULL, memory_order_acquire);
        atomic_store_explicit(&freed_count[pool], 0, memory_order_relaxed);
    }
    if (!block)
        return crier_malloc((size_t)POOL_FIRST << pool);
    ready[pool] = block->next;
    /* The next one is in the cache of the processor that freed it; it is wanted here soon. */
    if (block->next)
        fetch(block->next);
    return block;
}

static void give_block(void *memory, size_t pool)
{
    struct block *block = memory, *top;
    if (recycles && pool < POOLS) { /* it is still in this processor's cache */
        block->next = ready[pool];
        ready[pool] = block;
        return;
    }
    if (pool == POOLS || !atomic_load_explicit(&recycling, memory_order_relaxed) ||
        atomic_fetch_add_explicit(&freed_count[pool], 1, memory_order_relaxed) >= POOL_KEEPS) {
        free(memory);
        return;
    }
    top = atomic_load_explicit(&freed[pool], memory_order_relaxed);
    do
        block->next = top;
    while (!atomic_compare_exchange_weak_explicit(&freed[pool], &top, block, memory_order_release,
                                                  memory_order_relaxed));
}

struct crier_record *crier_record_alloc(size_t size)
{
    size_t all = offsetof(struct crier_record, head) + size, pool = 0;
    while (pool < POOLS && all > (size_t)POOL_FIRST << pool)
        pool++;
    struct crier_record *record = pool < POOLS ? take_block(pool) : crier_malloc(all);
    record->pool = (uint32_t)pool;
    atomic_init(&record->refs, 1);
    atomic_init(&record->json, NULL);
    atomic_init(&record->json_len, 0);
    return record;
}

struct crier_record *crier_record_ref(struct crier_record *record)
{
    atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

void crier_record_unref(struct crier_record *record)
{
    if (!record || atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(atomic_load_explicit(&record->json, memory_order_relaxed));
    give_block(record, record->pool);
}

void crier_record_id(const struct crier_record *record, char out[27])
{
    crier_ulid_text(record->head.id, out);
}

const unsigned char *crier_record_id_bytes(const struct crier_record *record)
{
    return record->head.id;
}

uint64_t crier_record_seq(const struct crier_record *record)
{
    return record->head.seq;
}

int64_t crier_record_time(const struct crier_record *record)
{
    return record->head.time;
}

enum crier_kind crier_record_kind(const struct crier_record *record)
{
    return (enum crier_kind)record->head.kind;
}

enum crier_level crier_record_level(const struct crier_record *record)
{
    return (enum crier_level)record->head.level;
}

int crier_record_ok(const struct crier_record *record)
{
    return record->head.ok;
}

bool crier_record_sim(const struct crier_record *record)
{
    return record->head.sim;
}

struct crier_str crier_record_text(const struct crier_record *record)
{
    return (struct crier_str){record->data + record->head.tape, record->head.text};
}

struct crier_str crier_record_logger(const struct crier_record *record)
{
    struct crier_str before = crier_record_text(record);
    return (struct crier_str){before.data + before.len, record->head.logger};
}

struct crier_str crier_record_where(const struct crier_record *record)
{
    struct crier_str before = crier_record_logger(record);
    return (struct crier_str){before.data + before.len, record->head.where};
}

struct crier_str crier_record_node(const struct crier_record *record)
{
    struct crier_str before = crier_record_where(record);
    return (struct crier_str){before.data + before.len, record->head.node};
}

/* --- walking ------------------------------------------------------------------------------- */

struct crier_iter crier_record_fields(const struct crier_record *record)
{
    return (struct crier_iter){record->data, record->data + record->head.tape};
}

struct crier_iter crier_values(const struct crier_value *value)
{
    if (value->type != CRIER_ARRAY && value->type != CRIER_OBJECT)
        return (struct crier_iter){0};
    return (struct crier_iter){value->raw.data, value->raw.data + value->raw.len};
}

bool crier_next(struct crier_iter *it, struct crier_value *out)
{
    struct crier_tape_item item;
    if (it->at == it->end)
        return false;
    memcpy(&item, it->at, sizeof item);
    const char *key = it->at + sizeof item;
    const char *payload = key + item.key;
    out->type = (enum crier_type)item.type;
    out->key = (struct crier_str){key, item.key};
    switch (out->type) {
    case CRIER_INT:
    case CRIER_NUM:
    case CRIER_SNOWFLAKE:
    case CRIER_TIME:
        memcpy(&out->u, payload, sizeof out->u);
        break;
    default:
        out->raw = (struct crier_str){payload, item.size};
    }
    it->at = payload + item.size;
    return true;
}

/* Asked for each field that is built: the length decides nearly always, and comparing with a
 * literal of that length is one or two instructions. */
enum crier_field crier_field_of(const char *name, size_t len)
{
#define IS(word) (memcmp(name, word, sizeof(word) - 1) == 0)
    switch (len) {
    case 2:
        return IS("id") ? CRIER_FIELD_ID : IS("ok") ? CRIER_FIELD_OK : CRIER_FIELD_OTHER;
    case 3:
        return IS("seq") ? CRIER_FIELD_SEQ : IS("sim") ? CRIER_FIELD_SIM : CRIER_FIELD_OTHER;
    case 4:
        return IS("time")   ? CRIER_FIELD_TIME
               : IS("node") ? CRIER_FIELD_NODE
               : IS("kind") ? CRIER_FIELD_KIND
               : IS("text") ? CRIER_FIELD_TEXT
                            : CRIER_FIELD_OTHER;
    case 5:
        return IS("level")   ? CRIER_FIELD_LEVEL
               : IS("where") ? CRIER_FIELD_WHERE
                             : CRIER_FIELD_OTHER;
    case 6:
        return IS("logger") ? CRIER_FIELD_LOGGER : CRIER_FIELD_OTHER;
    default:
        return CRIER_FIELD_OTHER;
    }
#undef IS
}

static bool find_item(struct crier_iter it, const char *path, size_t len, struct crier_value *out);

/* A key may itself hold dots, so each key is held against the whole rest of the path first. */
static bool find_member(struct crier_iter it, const char *path, size_t len, struct crier_value *out)
{
    struct crier_value v;
    while (crier_next(&it, &v)) {
        if (v.key.len > len || memcmp(v.key.data, path, v.key.len) != 0)
            continue;
        if (v.key.len == len) {
            *out = v;
            return true;
        }
        if (path[v.key.len] != '.')
            continue;
        const char *rest = path + v.key.len + 1;
        size_t left = len - v.key.len - 1;
        if (v.type == CRIER_OBJECT && find_member(crier_values(&v), rest, left, out))
            return true;
        if (v.type == CRIER_ARRAY && find_item(crier_values(&v), rest, left, out))
            return true;
    }
    return false;
}

static bool find_item(struct crier_iter it, const char *path, size_t len, struct crier_value *out)
{
    size_t i = 0, number = 0;
    for (; i < len && path[i] >= '0' && path[i] <= '9' && number < SIZE_MAX / 16; i++)
        number = number * 10 + (size_t)(path[i] - '0');
    if (i == 0 || number == 0 || (i < len && path[i] != '.'))
        return false;
    struct crier_value v;
    while (number--)
        if (!crier_next(&it, &v))
            return false;
    if (i == len) {
        *out = v;
        return true;
    }
    if (v.type == CRIER_OBJECT)
        return find_member(crier_values(&v), path + i + 1, len - i - 1, out);
    return v.type == CRIER_ARRAY && find_item(crier_values(&v), path + i + 1, len - i - 1, out);
}

static void set_str(struct crier_value *out, struct crier_str s)
{
    out->type = CRIER_STR;
    out->s = s;
}

static void set_name(struct crier_value *out, const char *name)
{
    set_str(out, (struct crier_str){name, strlen(name)});
}

bool crier_record_field(const struct crier_record *record, enum crier_field field, const char *path,
                        size_t len, struct crier_value *out, char scratch[32])
{
    const struct crier_record_head *head = &record->head;
    out->key = (struct crier_str){path, len};
    switch (field) {
    case CRIER_FIELD_OTHER:
        return find_member(crier_record_fields(record), path, len, out);
    case CRIER_FIELD_ID:
        crier_ulid_text(head->id, scratch);
        set_str(out, (struct crier_str){scratch, CRIER_ULID_LEN});
        return true;
    case CRIER_FIELD_SEQ:
        out->type = CRIER_INT;
        out->i = (int64_t)head->seq;
        return true;
    case CRIER_FIELD_TIME:
        out->type = CRIER_TIME;
        out->i = head->time;
        return true;
    case CRIER_FIELD_NODE:
        set_str(out, crier_record_node(record));
        return true;
    case CRIER_FIELD_KIND:
        set_name(out, crier_kind_name(crier_record_kind(record)));
        return true;
    case CRIER_FIELD_LEVEL:
        set_name(out, crier_level_name(crier_record_level(record)));
        return true;
    case CRIER_FIELD_LOGGER:
        set_str(out, crier_record_logger(record));
        return true;
    case CRIER_FIELD_TEXT:
        set_str(out, crier_record_text(record));
        return true;
    case CRIER_FIELD_WHERE:
        set_str(out, crier_record_where(record));
        return out->s.len > 0;
    case CRIER_FIELD_OK:
        out->type = head->ok > 0 ? CRIER_TRUE : CRIER_FALSE;
        return head->ok >= 0;
    case CRIER_FIELD_SIM:
        out->type = head->sim ? CRIER_TRUE : CRIER_FALSE;
        return true;
    }
    return false;
}

bool crier_record_get(const struct crier_record *record, const char *path, struct crier_value *out,
                      char scratch[32])
{
    size_t len = strlen(path);
    return crier_record_field(record, crier_field_of(path, len), path, len, out, scratch);
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* The commas are placed here and the room is reserved once an item; only what is rare goes
 * through the general writer. */

static char *copy(char *to, const char *s, size_t len)
{
    return (char *)memcpy(to, s, len) + len;
}

#define COPY(to, literal) copy(to, literal, sizeof(literal) - 1)

static void wrote(struct crier_buf *b, const char *end)
{
    b->len = (size_t)(end - b->data);
}

static void encode_str(struct crier_buf *b, struct crier_str s, bool plain)
{
    if (!plain) {
        crier_json_quote(b, s.data, s.len);
        return;
    }
    char *to = crier_tape_room(b, s.len + 2);
    *to = '"';
    memcpy(to + 1, s.data, s.len);
    to[s.len + 1] = '"';
    b->len += s.len + 2;
}

static void encode_time(struct crier_buf *b, int64_t us)
{
    char text[32];
    crier_time_rfc3339(us, text);
    encode_str(b, (struct crier_str){text, strlen(text)}, true);
}

static void encode_snowflake(struct crier_buf *b, uint64_t u)
{
    char text[20], *end = text + sizeof text, *at = end;
    do
        *--at = (char)('0' + u % 10);
    while (u /= 10);
    encode_str(b, (struct crier_str){at, (size_t)(end - at)}, true);
}

static void encode_values(struct crier_buf *b, struct crier_iter it, bool named, bool first);

static void encode_value(struct crier_buf *b, const struct crier_value *v, bool plain)
{
    char *to;
    switch (v->type) {
    case CRIER_NULL:
        to = crier_tape_room(b, 4);
        wrote(b, COPY(to, "null"));
        break;
    case CRIER_FALSE:
        to = crier_tape_room(b, 5);
        wrote(b, COPY(to, "false"));
        break;
    case CRIER_TRUE:
        to = crier_tape_room(b, 4);
        wrote(b, COPY(to, "true"));
        break;
    case CRIER_INT:
        crier_json_int(b, v->i);
        break;
    case CRIER_NUM:
        crier_json_num(b, v->n);
        break;
    case CRIER_STR:
        encode_str(b, v->s, plain);
        break;
    case CRIER_SNOWFLAKE:
        encode_snowflake(b, v->u);
        break;
    case CRIER_TIME:
        encode_time(b, v->i);
        break;
    case CRIER_ARRAY:
    case CRIER_OBJECT:
        crier_buf_putc(b, v->type == CRIER_OBJECT ? '{' : '[');
        encode_values(b, crier_values(v), v->type == CRIER_OBJECT, true);
        crier_buf_putc(b, v->type == CRIER_OBJECT ? '}' : ']');
        break;
    }
}

static void encode_key(struct crier_buf *b, struct crier_str key, bool plain, bool first)
{
    char *to = crier_tape_room(b, key.len + 4);
    if (!first)
        *to++ = ',';
    if (plain) {
        *to++ = '"';
        to = copy(to, key.data, key.len);
        *to++ = '"';
        *to++ = ':';
        wrote(b, to);
        return;
    }
    wrote(b, to);
    crier_json_quote(b, key.data, key.len);
    crier_buf_putc(b, ':');
}

static void encode_values(struct crier_buf *b, struct crier_iter it, bool named, bool first)
{
    struct crier_value v;
    while (it.at != it.end) {
        unsigned char plain = (unsigned char)it.at[offsetof(struct crier_tape_item, plain)];
        crier_next(&it, &v);
        if (named)
            encode_key(b, v.key, plain & CRIER_PLAIN_KEY, first);
        else if (!first)
            crier_buf_putc(b, ',');
        first = false;
        encode_value(b, &v, plain & CRIER_PLAIN_STR);
    }
}

static void encode_record(struct crier_buf *b, const struct crier_record *record)
{
    const struct crier_record_head *head = &record->head;
    char *to = COPY(crier_tape_room(b, 64), "{\"id\":\"");
    crier_record_id(record, to);
    wrote(b, COPY(to + CRIER_ULID_LEN, "\",\"seq\":"));
    crier_json_uint(b, head->seq);
    wrote(b, COPY(crier_tape_room(b, 16), ",\"time\":"));
    encode_time(b, head->time);
    wrote(b, COPY(crier_tape_room(b, 16), ",\"node\":"));
    encode_str(b, crier_record_node(record), head->plain[3]);
    to = COPY(crier_tape_room(b, 64), ",\"kind\":\"");
    to = stpcpy(to, crier_kind_name(crier_record_kind(record)));
    to = COPY(to, "\",\"level\":\"");
    to = stpcpy(to, crier_level_name(crier_record_level(record)));
    wrote(b, COPY(to, "\",\"logger\":"));
    encode_str(b, crier_record_logger(record), head->plain[1]);
    wrote(b, COPY(crier_tape_room(b, 16), ",\"text\":"));
    encode_str(b, crier_record_text(record), head->plain[0]);
    if (head->where) {
        wrote(b, COPY(crier_tape_room(b, 16), ",\"where\":"));
        encode_str(b, crier_record_where(record), head->plain[2]);
    }
    if (head->ok >= 0)
        crier_buf_puts(b, head->ok ? ",\"ok\":true" : ",\"ok\":false");
    if (head->sim)
        crier_buf_puts(b, ",\"sim\":true");
    encode_values(b, crier_record_fields(record), true, false);
    crier_buf_putc(b, '}');
}

void crier_record_json_append(struct crier_record *record, struct crier_buf *b)
{
    /* Nobody else has it, so nobody else will want the text. */
    bool last = atomic_load_explicit(&record->refs, memory_order_relaxed) == 1;
    if (last && !atomic_load_explicit(&record->json, memory_order_acquire)) {
        crier_buf_reserve(b, record->head.size + 256);
        encode_record(b, record);
        return;
    }
    struct crier_str json = crier_record_json(record);
    crier_buf_append(b, json.data, json.len);
}

struct crier_str crier_record_json(struct crier_record *record)
{
    char *text = atomic_load_explicit(&record->json, memory_order_acquire);
    if (!text) {
        struct crier_buf b = {0};
        /* Mostly enough: the names of the common members and what the tape's heads don't cover. */
        crier_buf_reserve(&b, record->head.size + 192);
        encode_record(&b, record);
        atomic_store_explicit(&record->json_len, b.len, memory_order_relaxed);
        char *mine = crier_buf_take(&b);
        if (atomic_compare_exchange_strong_explicit(&record->json, &text, mine,
                                                    memory_order_acq_rel, memory_order_acquire))
            text = mine;
        else
            free(mine);
    }
    return (struct crier_str){text, atomic_load_explicit(&record->json_len, memory_order_relaxed)};
}

/* --- stored bytes -------------------------------------------------------------------------- */

struct crier_str crier_record_bytes(const struct crier_record *record)
{
    return (struct crier_str){(const char *)&record->head, record->head.size};
}

/* A text that claims to be plain goes into JSON unseen, so the claim is checked too. */
static bool valid_text(const char *s, size_t len, bool plain)
{
    return plain ? crier_text_plain(s, len) : crier_utf8_span(s, len) == len;
}

static bool valid_payload(const struct crier_tape_item *item, const char *payload)
{
    double n;
    switch (item->type) {
    case CRIER_NULL:
    case CRIER_FALSE:
    case CRIER_TRUE:
        return item->size == 0;
    case CRIER_INT:
    case CRIER_SNOWFLAKE:
    case CRIER_TIME:
        return item->size == 8;
    case CRIER_NUM:
        if (item->size != sizeof n)
            return false;
        memcpy(&n, payload, sizeof n);
        return isfinite(n);
    case CRIER_STR:
        return valid_text(payload, item->size, item->plain & CRIER_PLAIN_STR);
    case CRIER_ARRAY:
    case CRIER_OBJECT:
        return true;
    default:
        return false;
    }
}

static bool valid_tape(const char *at, const char *end, bool named, unsigned depth)
{
    while (at < end) {
        struct crier_tape_item item;
        if ((size_t)(end - at) < sizeof item)
            return false;
        memcpy(&item, at, sizeof item);
        at += sizeof item;
        if (item.plain > (CRIER_PLAIN_KEY | CRIER_PLAIN_STR) ||
            (size_t)(end - at) < (size_t)item.key + item.size)
            return false;
        if (!valid_text(at, item.key, item.plain & CRIER_PLAIN_KEY) || (!named && item.key))
            return false;
        /* A field by the name of a common member stands within "fields". */
        if (depth == 0 && crier_field_of(at, item.key) != CRIER_FIELD_OTHER)
            return false;
        at += item.key;
        if (!valid_payload(&item, at))
            return false;
        if (item.type == CRIER_ARRAY || item.type == CRIER_OBJECT)
            if (depth == CRIER_TAPE_DEEPEST ||
                !valid_tape(at, at + item.size, item.type == CRIER_OBJECT, depth + 1))
                return false;
        at += item.size;
    }
    return true;
}

static bool valid_head(const struct crier_record_head *head, size_t len)
{
    uint64_t sum =
        sizeof *head + (uint64_t)head->tape + head->text + head->logger + head->where + head->node;
    return head->size == len && sum == len && head->kind < CRIER_KIND_COUNT &&
           head->level >= CRIER_DEBUG && head->level <= CRIER_CRITICAL && head->level % 10 == 0 &&
           head->ok >= -1 && head->ok <= 1 && head->sim <= 1 && head->seq <= INT64_MAX;
}

int crier_record_from_bytes(const void *data, size_t len, struct crier_record **out,
                            struct crier_err *err)
{
    struct crier_record_head head;
    struct crier_record *record;
    if (len < sizeof head)
        return crier_err_set(err, CRIER_ECORRUPT, "stored record: %zu bytes are too few", len);
    memcpy(&head, data, sizeof head);
    if (head.magic != CRIER_RECORD_MAGIC)
        return crier_err_set(err, CRIER_ECORRUPT, "stored record: does not begin as a record");
    if (head.version != CRIER_RECORD_VERSION)
        return crier_err_set(err, CRIER_EVERSION,
                             "stored record: format %u; this build reads format %u",
                             (unsigned)head.version, CRIER_RECORD_VERSION);
    if (!valid_head(&head, len))
        return crier_err_set(err, CRIER_ECORRUPT, "stored record: its head is damaged");

    record = crier_record_alloc(len);
    memcpy(&record->head, data, len);
    const struct crier_str common[] = {crier_record_text(record), crier_record_logger(record),
                                       crier_record_where(record), crier_record_node(record)};
    bool valid = valid_tape(record->data, record->data + head.tape, true, 0);
    for (size_t i = 0; i < CRIER_COUNT(common); i++)
        valid =
            valid && head.plain[i] <= 1 && valid_text(common[i].data, common[i].len, head.plain[i]);
    if (!valid) {
        free(record);
        return crier_err_set(err, CRIER_ECORRUPT, "stored record: its fields are damaged");
    }
    *out = record;
    return 0;
}

/* --- names --------------------------------------------------------------------------------- */

static const char *const kinds[CRIER_KIND_COUNT] = {"log",   "message", "task",
                                                   "event", "system",  "invite"};
static const char *const levels[] = {"debug", "info", "warning", "error", "critical"};

const char *crier_kind_name(enum crier_kind kind)
{
    return (unsigned)kind < CRIER_KIND_COUNT ? kinds[kind] : "?";
}

bool crier_kind_parse(const char *name, size_t len, enum crier_kind *out)
{
    for (int i = 0; i < CRIER_KIND_COUNT; i++)
        if (strlen(kinds[i]) == len && memcmp(kinds[i], name, len) == 0) {
            *out = (enum crier_kind)i;
            return true;
        }
    return false;
}

const char *crier_level_name(enum crier_level level)
{
    size_t i = (size_t)level / 10 - 1;
    return i < CRIER_COUNT(levels) ? levels[i] : "?";
}

bool crier_level_parse(const char *name, size_t len, enum crier_level *out)
{
    for (size_t i = 0; i < CRIER_COUNT(levels); i++)
        if (strlen(levels[i]) == len && strncasecmp(levels[i], name, len) == 0) {
            *out = (enum crier_level)((i + 1) * 10);
            return true;
        }
    if (len == 4 && strncasecmp(name, "warn", 4) == 0) {
        *out = CRIER_LEVEL_WARNING;
        return true;
    }
    if (len != 2 || name[0] < '1' || name[0] > '5' || name[1] < '0' || name[1] > '9' ||
        (name[0] == '5' && name[1] != '0'))
        return false;
    *out = (enum crier_level)((name[0] - '0') * 10);
    return true;
}
