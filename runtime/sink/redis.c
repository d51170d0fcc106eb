/* SPDX-License-Identifier: MIT
 *
 * The redis sink: the last lines of each logger and level, and how often each message came.
 *
 *     recent:<logger>:<level>          LIST, newest first, at most `recent` lines
 *     common:<logger>:<level>          ZSET: messages of this hour made comparable, by how often
 *       ...:start                      when that hour began, UTC, as 2026-11-21T22:00:00
 *       ...:last, ...:pstart           the same of the hour before
 *     crier:<logger>:<level>:seq       HASH: node/sink -> seq and id of the last record written
 *     crier:<stream>:seq               the same of the stream
 *
 * (Source: "Redis in Action" 5.1, by way of the seed; cluster = true puts braces around
 * <logger>:<level>, so that all keys of a call are in one slot.)
 *
 * A batch is parted into groups: logger, level and node. A group is one call of a script: its
 * newest lines, and each different message once with its number. All calls of a batch are sent
 * before the first answer is read.
 *
 * Exactly once: the script remembers the last record, and a call that may have been made before
 * (the first of a run, or one whose answer was lost) is refused with that, unless it is newer; what
 * is in it and newer is then sent again. This needs records of a group that may be sent again to
 * come in the order of seq, which the queue sees to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/ulid.h"
#include "record/build.h"
#include "record/comparable.h"
#include "sink/redis.h"
#include "sink/registry.h"

#include <glib.h>

enum {
    KEYS = 6,
    ROUNDS = 5,         /* sent, as a text, less what was there; and again for other nodes */
    GROUPS_MAX = 10000, /* remembered; more loggers than that are forgotten and learnt again */
    CHUNK = 8 << 20,    /* bytes of records that are sent before answers are read */
    NONE = -1,
};
#define BROKEN_FOR CRIER_S /* so long a key of another type is believed to be one still */

enum state { PENDING, STORED, LATER, REFUSED };

struct last {
    uint64_t seq;
    unsigned char id[16];
};

struct group {
    struct crier_str logger, node; /* `logger`: or the stream */
    enum crier_level level;        /* 0: the stream */
    char *keys[KEYS];
    size_t key_count, key_len[KEYS];
    char *who;
    bool doubt; /* what `last` says, or the server, may be behind what the server has */
    struct last last;
    int64_t broken_until;
    struct crier_err err;

    /* of the batch */
    struct group *next;
    ptrdiff_t head, tail;
    enum state state;
    bool as_text;
    struct last sending;
};

/* A different message of a group's part of the batch. */
struct message {
    uint32_t hash;
    size_t at, len; /* in `messages` */
    uint64_t count;
};

struct redis {
    struct crier_redis_store at; /* first: what reading knows of the sink */
    struct crier_clock *clock;
    char *name;
    bool sim;
    enum crier_redis_format format;
    int64_t ttl, max, stream_max; /* seconds; 0: none */
    const struct crier_text_functions *texts;
    void *normalize;          /* NULL: crier_text_comparable */
    struct crier_err texts_err; /* of the batch */
    char *stream;
    char sha[3][41];
    GHashTable *groups;

    struct group *first, **end;
    ptrdiff_t *chain[2]; /* next record of the same group; [1]: of the stream's */
    size_t chain_cap;
    struct crier_buf out, text;
    struct message *messages;
    size_t message_count, message_cap;
    uint32_t *table;
    size_t table_size;
};

static const char *const scripts[3] = {crier_redis_script_logs, crier_redis_script_stream,
                                       crier_redis_script_common};

static const struct crier_option options[] = {
    {.name = "url",
     .type = CRIER_OPT_SECRET,
     .flags = CRIER_OPT_ADDRESS,
     .type_name = "string|crier.Secret",
     .def = "redis://127.0.0.1:6379",
     .help = "redis://[user:password@]host[:port][/db], rediss:// with TLS, or "
             "unix:///path/of/socket[?db=N]"},
    {.name = "recent",
     .type = CRIER_OPT_INT,
     .def = "100",
     .min = 1,
     .max = 1000000,
     .help = "lines kept of each logger and level"},
    {.name = "common",
     .type = CRIER_OPT_OBJECT,
     .flags = CRIER_OPT_OR_FALSE,
     .type_name = "crier.RedisCommon|false",
     .help = "how often each message came: common = { max = 1000 }; false: not counted"},
    {.name = "common.per",
     .type = CRIER_OPT_ENUM,
     .def = "hour",
     .choices = "hour",
     .help = "counts begin anew so often; those before are kept once"},
    {.name = "common.max",
     .type = CRIER_OPT_INT,
     .def = "1000",
     .min = 2,
     .max = 10000000,
     .help = "different messages counted of each logger and level; the rarest become (other)"},
    {.name = "normalize",
     .type = CRIER_OPT_FUNCTION,
     .flags = CRIER_OPT_CARRIED,
     .type_name = "fun(text: string): string",
     .help = "makes messages alike that are to be counted as one, instead of crier's own way; it "
             "runs elsewhere and can use nothing from outside"},
    {.name = "format",
     .type = CRIER_OPT_ENUM,
     .def = "text",
     .choices = "text asctime json",
     .help = "of recent lines: RFC 3339 time in UTC, blank, text; the same with local time as C's "
             "asctime has it; or the whole record as JSON, which queries need"},
    {.name = "stream",
     .type = CRIER_OPT_STRING,
     .help = "key of a Redis stream that gets each record too, as JSON in the field `record`"},
    {.name = "stream_max",
     .type = CRIER_OPT_INT,
     .flags = CRIER_OPT_OR_FALSE,
     .def = "100000",
     .min = 1,
     .max = INT64_C(1000000000000),
     .help = "entries that the stream is held to, more or less"},
    {.name = "cluster",
     .type = CRIER_OPT_BOOL,
     .def = "false",
     .help = "keys with braces, recent:{logger:level}, as Redis Cluster needs them"},
    {.name = "ttl",
     .type = CRIER_OPT_DURATION,
     .flags = CRIER_OPT_OR_FALSE,
     .def = "30d",
     .min = 60 * CRIER_S,
     .max = 3650 * 86400 * CRIER_S,
     .help = "recent lines of a logger that has been silent so long are removed"},
    {.name = "timeout",
     .type = CRIER_OPT_DURATION,
     .def = "5s",
     .min = 10 * CRIER_MS,
     .max = 600 * CRIER_S,
     .help = "longest wait for the connection, and for each answer"},
};

/* ---- groups ---- */

static guint group_hash(gconstpointer p)
{
    const struct group *g = p;
    guint h = 2166136261u ^ (guint)g->level;
    for (size_t i = 0; i < g->logger.len; i++)
        h = (h ^ (unsigned char)g->logger.data[i]) * 16777619u;
    return h;
}

static bool same(struct crier_str a, struct crier_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static gboolean group_equal(gconstpointer p, gconstpointer q)
{
    const struct group *a = p, *b = q;
    return a->level == b->level && same(a->logger, b->logger) && same(a->node, b->node);
}

static void group_free(gpointer p)
{
    struct group *g = p;
    for (size_t i = 0; i < g->key_count; i++)
        free(g->keys[i]);
    free((char *)g->logger.data);
    free((char *)g->node.data);
    free(g->who);
    free(g);
}

static struct crier_str copy(struct crier_str s)
{
    char *data = crier_malloc(s.len + 1);
    if (s.len)
        memcpy(data, s.data, s.len);
    data[s.len] = '\0';
    return (struct crier_str){data, s.len};
}

static void add_key(struct group *g, struct crier_buf *b)
{
    g->key_len[g->key_count] = b->len;
    g->keys[g->key_count++] = crier_buf_take(b);
}

static void make_keys(const struct redis *r, struct group *g)
{
    static const struct {
        const char *before, *behind;
    } forms[KEYS] = {{"recent:", ""},      {"common:", ""},        {"common:", ":start"},
                     {"common:", ":last"}, {"common:", ":pstart"}, {"crier:", ":seq"}};
    struct crier_buf b = {0};
    if (!g->level) {
        crier_buf_append(&b, g->logger.data, g->logger.len);
        add_key(g, &b);
        bool braces = r->at.cluster && !strchr(r->stream, '{');
        crier_buf_printf(&b, braces ? "crier:{%s}:seq" : "crier:%s:seq", r->stream);
        add_key(g, &b);
        return;
    }
    for (size_t i = 0; i < KEYS; i++) {
        crier_buf_puts(&b, forms[i].before);
        crier_redis_put_name(&r->at, g->logger, g->level, &b);
        crier_buf_puts(&b, forms[i].behind);
        add_key(g, &b);
    }
}

static struct group *find_group(struct redis *r, struct crier_str logger, enum crier_level level,
                                struct crier_str node)
{
    struct group want = {.logger = logger, .node = node, .level = level};
    struct group *g = g_hash_table_lookup(r->groups, &want);
    if (g)
        return g;
    g = crier_calloc(1, sizeof *g);
    g->logger = copy(logger);
    g->node = copy(node);
    g->level = level;
    g->doubt = true;
    g->head = NONE;
    g->who = crier_asprintf("%.*s/%s%s", (int)node.len, node.data ? node.data : "", r->name,
                            r->sim ? "/sim" : "");
    make_keys(r, g);
    g_hash_table_add(r->groups, g);
    return g;
}

static bool is_stored(const struct group *g, const struct crier_record *record)
{
    return g->doubt && g->last.seq && crier_record_seq(record) <= g->last.seq &&
           memcmp(crier_record_id_bytes(record), g->last.id, 16) <= 0;
}

static struct crier_str logger_of(const struct crier_record *record)
{
    struct crier_str logger = crier_record_logger(record);
    const char *kind = crier_kind_name(crier_record_kind(record));
    return logger.len ? logger : (struct crier_str){kind, strlen(kind)};
}

static void add_to_group(struct redis *r, struct group *g, ptrdiff_t i)
{
    ptrdiff_t *chain = r->chain[g->level ? 0 : 1];
    chain[i] = NONE;
    if (g->head != NONE) {
        chain[g->tail] = i;
        g->tail = i;
        return;
    }
    g->head = g->tail = i;
    g->next = NULL;
    g->as_text = false;
    bool broken = crier_clock_mono(r->clock) < g->broken_until;
    g->state = broken ? REFUSED : PENDING;
    *r->end = g;
    r->end = &g->next;
}

static void part(struct redis *r, struct crier_record *const *records, size_t count)
{
    struct group *g = NULL, *s = NULL;
    if (g_hash_table_size(r->groups) > GROUPS_MAX)
        g_hash_table_remove_all(r->groups);
    r->first = NULL;
    r->end = &r->first;
    if (r->chain_cap < count) {
        r->chain_cap = count;
        r->chain[0] = crier_realloc(r->chain[0], count * sizeof *r->chain[0]);
        r->chain[1] = crier_realloc(r->chain[1], count * sizeof *r->chain[1]);
    }
    for (size_t i = 0; i < count; i++) {
        struct crier_str logger = logger_of(records[i]), node = crier_record_node(records[i]);
        enum crier_level level = crier_record_level(records[i]);
        if (!g || g->level != level || !same(g->logger, logger) || !same(g->node, node))
            g = find_group(r, logger, level, node);
        add_to_group(r, g, (ptrdiff_t)i);
        if (!r->stream)
            continue;
        if (!s || !same(s->node, node))
            s = find_group(r, (struct crier_str){r->stream, strlen(r->stream)}, 0, node);
        add_to_group(r, s, (ptrdiff_t)i);
    }
}

/* ---- messages ---- */

static void clear_messages(struct redis *r, size_t most)
{
    size_t size = r->table_size ? r->table_size : 1024;
    while (size < most * 2)
        size *= 2;
    if (size != r->table_size)
        r->table = crier_realloc(r->table, size * sizeof *r->table);
    r->table_size = size;
    memset(r->table, 0, size * sizeof *r->table);
    r->message_count = 0;
    crier_buf_clear(&r->text);
}

static uint32_t hash_of(const char *s, size_t len)
{
    uint64_t h = len * UINT64_C(0x9E3779B97F4A7C15), w = 0;
    for (; len >= 8; s += 8, len -= 8) {
        memcpy(&w, s, 8);
        h = (h ^ w) * UINT64_C(0xFF51AFD7ED558CCD);
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, s, len);
    h = (h ^ w) * UINT64_C(0xFF51AFD7ED558CCD);
    return (uint32_t)(h ^ h >> 29);
}

/* By the script's function; where that fails, in our way, so that no record is lost for it. */
static void make_alike(struct redis *r, struct crier_str raw)
{
    size_t at = r->text.len;
    if (!r->normalize || r->texts->run(r->normalize, raw, &r->text, &r->texts_err) != CRIER_OK)
        crier_text_comparable(raw.data, raw.len, &r->text);
    else if (r->text.len - at > CRIER_COMPARABLE_MAX)
        r->text.len = at + CRIER_COMPARABLE_MAX;
}

/* The message is made at the end of `text`, and stays there when it is a new one. */
static void count_message(struct redis *r, struct crier_str raw)
{
    size_t at = r->text.len;
    make_alike(r, raw);
    size_t len = r->text.len - at;
    uint32_t hash = len ? hash_of(r->text.data + at, len) : 0;
    size_t slot = hash & (r->table_size - 1);
    for (; r->table[slot]; slot = (slot + 1) & (r->table_size - 1)) {
        struct message *m = &r->messages[r->table[slot] - 1];
        if (m->hash == hash && m->len == len &&
            (len == 0 || memcmp(r->text.data + m->at, r->text.data + at, len) == 0)) {
            m->count++;
            r->text.len = at;
            return;
        }
    }
    if (r->message_count == r->message_cap) {
        r->message_cap = r->message_cap ? r->message_cap * 2 : 512;
        r->messages = crier_realloc(r->messages, r->message_cap * sizeof *r->messages);
    }
    r->messages[r->message_count++] =
        (struct message){.hash = hash, .at = at, .len = len, .count = 1};
    r->table[slot] = (uint32_t)r->message_count;
}

/* ---- commands ---- */

static void put_hex(struct crier_buf *b, const unsigned char id[16])
{
    static const char digits[] = "0123456789abcdef";
    char text[32];
    for (int i = 0; i < 16; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    crier_redis_put(b, text, sizeof text);
}

/* EVALSHA sha numkeys key ... who seq id seq id, which `args` more words follow. */
static void put_call(struct redis *r, struct group *g, const struct crier_record *first,
                     size_t args)
{
    struct crier_buf *b = &r->out;
    const char *text = scripts[g->level ? 0 : 1];
    crier_redis_put_count(b, 3 + g->key_count + 5 + args);
    if (g->as_text) {
        crier_redis_put(b, "EVAL", 4);
        crier_redis_put(b, text, strlen(text));
    } else {
        crier_redis_put(b, "EVALSHA", 7);
        crier_redis_put(b, r->sha[g->level ? 0 : 1], 40);
    }
    crier_redis_put_uint(b, g->key_count);
    for (size_t i = 0; i < g->key_count; i++)
        crier_redis_put(b, g->keys[i], g->key_len[i]);
    crier_redis_put(b, g->who, strlen(g->who));
    if (g->doubt) {
        crier_redis_put_uint(b, crier_record_seq(first));
        put_hex(b, crier_record_id_bytes(first));
    } else {
        crier_redis_put(b, "", 0);
        crier_redis_put(b, "", 0);
    }
    crier_redis_put_uint(b, g->sending.seq);
    put_hex(b, g->sending.id);
}

static void put_logs(struct redis *r, struct group *g, struct crier_record *const *records,
                     const struct crier_record *first, size_t live)
{
    struct crier_buf *b = &r->out, line = {0};
    size_t lines = live < r->at.recent ? live : r->at.recent, skip = live - lines;
    clear_messages(r, live);
    if (r->max) {
        for (ptrdiff_t i = g->head; i != NONE; i = r->chain[0][i])
            if (!is_stored(g, records[i]))
                count_message(r, crier_record_text(records[i]));
    }
    put_call(r, g, first, 4 + lines + 2 * r->message_count);
    crier_redis_put_uint(b, r->at.recent);
    crier_redis_put_uint(b, (uint64_t)r->ttl);
    crier_redis_put_uint(b, (uint64_t)r->max);
    crier_redis_put_uint(b, lines);
    for (ptrdiff_t i = g->head; i != NONE; i = r->chain[0][i]) {
        if (is_stored(g, records[i]) || (skip > 0 && skip--))
            continue;
        crier_buf_clear(&line);
        crier_redis_line(r->format, r->at.zone, records[i], &line);
        crier_redis_put(b, line.data, line.len);
    }
    for (size_t i = 0; i < r->message_count; i++) {
        crier_redis_put(b, r->text.data + r->messages[i].at, r->messages[i].len);
        crier_redis_put_uint(b, r->messages[i].count);
    }
    crier_buf_fini(&line);
}

static void put_stream(struct redis *r, struct group *g, struct crier_record *const *records,
                       const struct crier_record *first, size_t live)
{
    put_call(r, g, first, 1 + live);
    crier_redis_put_uint(&r->out, (uint64_t)r->stream_max);
    for (ptrdiff_t i = g->head; i != NONE; i = r->chain[1][i]) {
        if (is_stored(g, records[i]))
            continue;
        struct crier_str json = crier_record_json(records[i]);
        crier_redis_put(&r->out, json.data, json.len);
    }
}

/* Adds the group's call; without one when the server has all of it. */
static void put_group(struct redis *r, struct group *g, struct crier_record *const *records)
{
    const struct crier_record *first = NULL;
    size_t live = 0;
    for (ptrdiff_t i = g->head; i != NONE; i = r->chain[g->level ? 0 : 1][i]) {
        uint64_t seq = crier_record_seq(records[i]);
        if (is_stored(g, records[i]))
            continue;
        if (!first)
            first = records[i], g->sending.seq = 0;
        if (seq >= g->sending.seq) {
            g->sending.seq = seq;
            memcpy(g->sending.id, crier_record_id_bytes(records[i]), 16);
        }
        live++;
    }
    if (live == 0)
        g->state = STORED;
    else if (g->level)
        put_logs(r, g, records, first, live);
    else
        put_stream(r, g, records, first, live);
}

/* ---- answers ---- */

static bool read_hex(const char *s, size_t len, unsigned char id[16])
{
    if (len != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        int high = g_ascii_xdigit_value(s[2 * i]), low = g_ascii_xdigit_value(s[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static void wrong_type(struct redis *r, struct group *g, const redisReply *reply)
{
    size_t i = (size_t)atoi(reply->element[1]->str) - 1;
    char *key = g_strescape(i < g->key_count ? g->keys[i] : "?", NULL);
    crier_err_set(&g->err, CRIER_EEXIST,
                  "redis %s: the key '%.100s' holds a %.20s that is not the sink's; rename or "
                  "delete it",
                  r->at.conn.url.shown, key, reply->element[2]->str);
    g_free(key);
    g->state = REFUSED;
    g->broken_until = crier_clock_mono(r->clock) + BROKEN_FOR;
}

static void read_answer(struct redis *r, struct group *g, const redisReply *reply)
{
    size_t n = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    for (size_t i = 0; i < n; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            n = 0;
    switch (crier_redis_fault_of(&r->at.conn, reply, &g->err)) {
    case CRIER_REDIS_OK:
        break;
    case CRIER_REDIS_NOSCRIPT:
        g->as_text = true;
        return;
    default:
        g->state = LATER;
        return;
    }
    if (reply->type == REDIS_REPLY_INTEGER) {
        g->state = STORED;
        g->doubt = false;
        g->last = g->sending;
    } else if (n == 3) {
        wrong_type(r, g, reply);
    } else if (n != 2 || !read_hex(reply->element[1]->str, reply->element[1]->len, g->last.id)) {
        crier_err_set(&g->err, CRIER_ECORRUPT, "redis %s: an answer that is none to the script",
                      r->at.conn.url.shown);
        g->state = LATER;
    } else {
        g->last.seq = strtoull(reply->element[0]->str, NULL, 10);
    }
}

static bool pending(const struct redis *r)
{
    for (const struct group *g = r->first; g; g = g->next)
        if (g->state == PENDING)
            return true;
    return false;
}

/* Sends all that is pending and reads the answers. False: the connection was lost. */
static bool exchange(struct redis *r, struct crier_record *const *records, struct crier_err *err)
{
    crier_buf_clear(&r->out);
    for (struct group *g = r->first; g; g = g->next)
        if (g->state == PENDING)
            put_group(r, g, records);
    if (!crier_redis_send(&r->at.conn, &r->out, err))
        return false;
    for (struct group *g = r->first; g; g = g->next) {
        if (g->state != PENDING)
            continue;
        redisReply *reply = crier_redis_receive(&r->at.conn, err);
        if (!reply)
            return false;
        read_answer(r, g, reply);
        freeReplyObject(reply);
    }
    return true;
}

static void give_up(struct redis *r, const struct crier_err *err)
{
    for (struct group *g = r->first; g; g = g->next) {
        if (g->state != PENDING)
            continue;
        g->state = LATER;
        g->err = *err;
    }
}

/* A connection that was there before may be one that the server has given up meanwhile: one more
 * is made at once. */
static void send_groups(struct redis *r, struct crier_record *const *records)
{
    struct crier_err err = {0};
    bool again = r->at.conn.context != NULL;
    for (int round = 0; pending(r); round++) {
        if (round == ROUNDS) {
            crier_err_set(&err, CRIER_EBUSY,
                          "redis %s: someone else writes as '%s' at the same time; give each host "
                          "a `node` of its own",
                          r->at.conn.url.shown, r->first->who);
            give_up(r, &err);
        } else if (crier_redis_reach(&r->at, &err) != CRIER_OK) {
            give_up(r, &err);
        } else if (!exchange(r, records, &err)) {
            for (struct group *g = r->first; g; g = g->next)
                if (g->state == PENDING)
                    g->doubt = true;
            if (!again)
                give_up(r, &err);
            again = false;
        }
    }
}

/* ---- the driver ---- */

/* The first *done are stored; what is told is the fault of the one behind them. */
static enum crier_verdict settle(struct redis *r, struct crier_record *const *records, size_t count,
                                 size_t *done, struct crier_err *err)
{
    ptrdiff_t first = (ptrdiff_t)count;
    enum crier_verdict verdict = CRIER_WRITTEN;
    for (struct group *g = r->first; g; g = g->next) {
        while (g->state != STORED && g->head != g->tail && is_stored(g, records[g->head]))
            g->head = r->chain[g->level ? 0 : 1][g->head];
        if (g->state != STORED && (g->head < first || (g->head == first && g->state == LATER))) {
            first = g->head;
            verdict = g->state == REFUSED ? CRIER_REJECTED : CRIER_RETRY_LATER;
            *err = g->err;
        }
        g->head = NONE;
    }
    /* What is stored behind that one comes again. */
    for (struct group *g = r->first; g && verdict != CRIER_WRITTEN; g = g->next)
        g->doubt = true;
    *done = (size_t)first;
    return verdict;
}

static enum crier_verdict redis_write(void *self, struct crier_record *const *records, size_t count,
                                      size_t *done, struct crier_err *err)
{
    struct redis *r = self;
    enum crier_verdict verdict = CRIER_WRITTEN;
    struct crier_err fault = {0};
    *done = 0;
    while (*done < count && verdict == CRIER_WRITTEN) {
        size_t n = 0, bytes = 0, stored = 0;
        while (*done + n < count && bytes < CHUNK)
            bytes += crier_record_bytes(records[*done + n++]).len;
        part(r, records + *done, n);
        send_groups(r, records + *done);
        verdict = settle(r, records + *done, n, &stored, &fault);
        *done += stored;
    }
    if (r->out.cap > 2 * CHUNK)
        crier_buf_fini(&r->out);
    if (verdict == CRIER_WRITTEN)
        fault = r->texts_err; /* shown with the sink's state */
    r->texts_err = (struct crier_err){0};
    if (fault.code && err)
        *err = fault;
    return verdict;
}

static void redis_close(void *self)
{
    struct redis *r = self;
    if (r->normalize)
        r->texts->close(r->normalize);
    crier_redis_disconnect(&r->at.conn);
    crier_redis_url_fini(&r->at.conn.url);
    g_hash_table_destroy(r->groups);
    crier_zone_unref(r->at.zone);
    crier_buf_fini(&r->out);
    crier_buf_fini(&r->text);
    free(r->chain[0]);
    free(r->chain[1]);
    free(r->messages);
    free(r->table);
    free(r->stream);
    free(r->at.refused);
    free(r->name);
    free(r);
}

static int check_url(struct redis *r, const struct crier_sink_env *env, struct crier_err *err)
{
    const struct crier_redis_url *url = &r->at.conn.url;
    if (url->tls && !crier_redis_has_tls())
        return crier_err_set(err, CRIER_ECONFIG,
                             "option 'url': rediss:// takes TLS, which hiredis %d.%d.%d does not "
                             "have; build with 1.0 or newer, or put stunnel or a proxy in front of "
                             "%s and write redis://",
                             HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH, url->shown);
    struct crier_err refused = {0};
    if (url->host && crier_sink_may_reach(env, url->host, &refused) != CRIER_OK)
        r->at.refused = crier_asprintf("redis %s: %s", url->shown, refused.text);
    return CRIER_OK;
}

static int redis_open(const struct crier_sink_env *env, const struct crier_options *opts,
                      const char *name, void **out, struct crier_err *err)
{
    struct redis *r = crier_calloc(1, sizeof *r);
    int rc = crier_redis_url_parse(crier_options_get(opts, "url")->s, &r->at.conn.url, err);
    r->groups = g_hash_table_new_full(group_hash, group_equal, group_free, NULL);
    r->clock = env->clock;
    r->sim = env->sim;
    r->name = crier_strdup(name);
    r->at.conn.timeout = crier_options_get(opts, "timeout")->i;
    r->at.recent = (size_t)crier_options_get(opts, "recent")->i;
    r->format = (enum crier_redis_format)crier_options_get(opts, "format")->i;
    r->at.cluster = crier_options_get(opts, "cluster")->i;
    r->stream = crier_strdup(crier_options_get(opts, "stream")->s);
    if (!crier_options_get(opts, "stream_max")->off)
        r->stream_max = crier_options_get(opts, "stream_max")->i;
    if (!crier_options_get(opts, "common")->off)
        r->max = crier_options_get(opts, "common.max")->i;
    if (!crier_options_get(opts, "ttl")->off)
        r->ttl = crier_options_get(opts, "ttl")->i / CRIER_S;
    for (size_t i = 0; i < CRIER_COUNT(scripts); i++) {
        char *sha = g_compute_checksum_for_string(G_CHECKSUM_SHA1, scripts[i], -1);
        memcpy(r->sha[i], sha, sizeof r->sha[i]);
        g_free(sha);
    }
    if (rc == CRIER_OK && r->stream && !r->stream[0])
        rc = crier_err_set(err, CRIER_ECONFIG, "option 'stream': the key is empty");
    if (rc == CRIER_OK)
        rc = check_url(r, env, err);
    const struct crier_option_value *normalize = crier_options_get(opts, "normalize");
    r->texts = env->texts;
    if (rc == CRIER_OK && normalize->set && env->texts && !env->read_only)
        rc = env->texts->open(env, normalize->s, &r->normalize, err);
    if (rc == CRIER_OK && env->zone)
        r->at.zone = crier_zone_ref((struct crier_zone *)env->zone);
    else if (rc == CRIER_OK)
        rc = crier_zone_open("UTC", &r->at.zone, err);
    if (rc != CRIER_OK) {
        redis_close(r);
        return rc;
    }
    *out = r;
    return CRIER_OK;
}

const struct crier_sink_driver crier_sink_redis = {
    .kind = "redis",
    .help = "the last lines of each logger, and how often each message came, in Redis",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .batch = 4096, /* what a batch repeats costs nothing; what it does not, a word of one call */
    .durable = true,
    .open = redis_open,
    .write = redis_write,
    .close = redis_close,
    .query = crier_redis_query,
    .change = crier_redis_change,
    .methods = crier_redis_methods,
    .in_order = true,
};
