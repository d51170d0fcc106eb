/* SPDX-License-Identifier: MIT
 *
 * Events: the phases of one made into one record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "record/build.h"
#include "record/query.h"

/* The phases of an event, and where in the list the first of them stands. */
struct event {
    struct crier_buf phases; /* struct crier_record * */
    size_t at;
};

/* A field by name: the value that counts so far. */
struct slot {
    struct crier_str key;
    struct crier_value value;
};

static guint str_hash(gconstpointer p)
{
    const struct crier_str *s = p;
    guint h = 2166136261u;
    for (size_t i = 0; i < s->len; i++)
        h = (h ^ (unsigned char)s->data[i]) * 16777619u;
    return h;
}

static gboolean str_equal(gconstpointer p, gconstpointer q)
{
    const struct crier_str *a = p, *b = q;
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool is(struct crier_str s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

static struct crier_str phase_of(const struct crier_record *record)
{
    struct crier_value v;
    char scratch[32];
    bool there = crier_record_get(record, "phase", &v, scratch) && v.type == CRIER_STR;
    return there ? v.s : (struct crier_str){"", 0};
}

bool crier_event_of(const struct crier_record *record, struct crier_str *id, char scratch[32])
{
    struct crier_value v;
    if (crier_record_kind(record) != CRIER_KIND_EVENT ||
        !crier_record_get(record, "event_id", &v, scratch))
        return false;
    int n = 0;
    switch (v.type) {
    case CRIER_STR:
        *id = v.s;
        return v.s.len > 0;
    case CRIER_INT:
        n = snprintf(scratch, 32, "%lld", (long long)v.i);
        break;
    case CRIER_SNOWFLAKE:
        n = snprintf(scratch, 32, "%llu", (unsigned long long)v.u);
        break;
    default:
        return false;
    }
    *id = (struct crier_str){scratch, (size_t)n};
    return true;
}

/* Whether a comes before b among the phases of an event. */
static bool phase_before(const struct crier_record *a, const struct crier_record *b)
{
    bool first = is(phase_of(a), "start"), second = is(phase_of(b), "start");
    if (first != second)
        return first;
    int order = memcmp(crier_record_id_bytes(a), crier_record_id_bytes(b), 16);
    return order ? order < 0 : crier_record_seq(a) < crier_record_seq(b);
}

static int by_phase(const void *p, const void *q)
{
    const struct crier_record *a = *(struct crier_record *const *)p;
    const struct crier_record *b = *(struct crier_record *const *)q;
    return phase_before(a, b) ? -1 : phase_before(b, a);
}

/* A note stands in the fold once, however many phases say it. */
static void add_notes(struct crier_buf *notes, struct crier_str s)
{
    const char *at = notes->data, *end = at + notes->len;
    for (const char *stop; at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        if ((size_t)(stop - at) == s.len && memcmp(at, s.data, s.len) == 0)
            return;
    }
    if (notes->len)
        crier_buf_putc(notes, '\n');
    crier_buf_append(notes, s.data, s.len);
}

/* Fields of all phases into slots, in the order in which they are first met. */
static void gather(struct crier_record *const *phases, size_t count, struct crier_buf *slots,
                   struct crier_buf *notes)
{
    GHashTable *places = g_hash_table_new_full(str_hash, str_equal, g_free, NULL);
    for (size_t i = 0; i < count; i++) {
        struct crier_iter it = crier_record_fields(phases[i]);
        bool is_note = is(phase_of(phases[i]), "note");
        struct crier_value v;
        while (crier_next(&it, &v)) {
            size_t n = slots->len / sizeof(struct slot);
            size_t place = GPOINTER_TO_SIZE(g_hash_table_lookup(places, &v.key));
            if (v.type == CRIER_STR && is(v.key, "notes") && v.s.len)
                add_notes(notes, v.s);
            if (!place) {
                crier_buf_append(slots, &(struct slot){v.key, v}, sizeof(struct slot));
                g_hash_table_insert(places, g_memdup2(&v.key, sizeof v.key),
                                    GSIZE_TO_POINTER(n + 1));
            } else if (v.type != CRIER_NULL && !(is_note && is(v.key, "phase"))) {
                ((struct slot *)(void *)slots->data)[place - 1].value = v;
            }
        }
    }
    g_hash_table_destroy(places);
}

static struct crier_record *fold(struct crier_record **phases, size_t count)
{
    struct crier_builder b = {0};
    struct crier_buf slots = {0}, notes = {0};
    qsort(phases, count, sizeof *phases, by_phase);
    const struct crier_record *first = phases[0], *told = first;
    struct crier_str text = crier_record_text(first);
    for (size_t i = 1; i < count; i++) {
        if (!text.len)
            text = crier_record_text(phases[i]);
        if (!is(phase_of(phases[i]), "note"))
            told = phases[i];
    }
    gather(phases, count, &slots, &notes);
    crier_build_restore_begin(&b);
    const struct slot *slot = (const struct slot *)(const void *)slots.data;
    for (size_t i = 0; i < slots.len / sizeof *slot; i++) {
        struct crier_str key = slot[i].key;
        if (notes.len && is(key, "notes"))
            crier_build_str(&b, key.data, key.len, notes.data, notes.len);
        else
            crier_build_value(&b, key.data, key.len, &slot[i].value);
    }
    struct crier_stored who = {
        .seq = crier_record_seq(first),
        .time = crier_record_time(first),
        .kind = CRIER_KIND_EVENT,
        .level = crier_record_level(told),
        .ok = crier_record_ok(told),
        .sim = crier_record_sim(first),
        .text = text,
        .logger = crier_record_logger(first),
        .where = crier_record_where(first),
        .node = crier_record_node(first),
    };
    memcpy(who.id, crier_record_id_bytes(first), sizeof who.id);
    struct crier_record *folded = crier_build_restore(&b, &who);
    crier_builder_fini(&b);
    crier_buf_fini(&slots);
    crier_buf_fini(&notes);
    return folded;
}

static void free_event(gpointer p)
{
    struct event *e = p;
    crier_buf_fini(&e->phases);
    free(e);
}

static GBytes *key_of(const struct crier_record *record, struct crier_str id)
{
    struct crier_str node = crier_record_node(record);
    struct crier_buf b = {0};
    crier_buf_append(&b, node.data, node.len);
    crier_buf_putc(&b, '\0');
    crier_buf_append(&b, id.data, id.len);
    GBytes *key = g_bytes_new(b.data, b.len);
    crier_buf_fini(&b);
    return key;
}

size_t crier_records_fold(struct crier_record **records, size_t count)
{
    GHashTable *events = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        char scratch[32];
        struct crier_str id;
        if (!crier_event_of(records[i], &id, scratch)) {
            records[kept++] = records[i];
            continue;
        }
        if (!events)
            events = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                           (GDestroyNotify)g_bytes_unref, free_event);
        GBytes *key = key_of(records[i], id);
        struct event *e = g_hash_table_lookup(events, key);
        if (e) {
            g_bytes_unref(key);
        } else {
            e = crier_calloc(1, sizeof *e);
            e->at = kept;
            records[kept++] = records[i];
            g_hash_table_insert(events, key, e);
        }
        crier_buf_append(&e->phases, &records[i], sizeof records[i]);
    }
    if (!events)
        return kept;
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, events);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct event *e = value;
        struct crier_record **phases = (struct crier_record **)(void *)e->phases.data;
        size_t n = e->phases.len / sizeof *phases;
        if (n < 2)
            continue;
        records[e->at] = fold(phases, n);
        for (size_t i = 0; i < n; i++)
            crier_record_unref(phases[i]);
    }
    g_hash_table_destroy(events);
    return kept;
}
