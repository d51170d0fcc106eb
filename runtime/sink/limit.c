/* SPDX-License-Identifier: MIT */
#include "sink/limit.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "record/comparable.h"

/* Spreads the bits of ids that follow one another. (Steele, Lea, Flood: SplitMix, 2014) */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

bool crier_sampled(const struct crier_record *record, double share)
{
    uint64_t half[2];
    memcpy(half, crier_record_id_bytes(record), sizeof half);
    return (double)(mix(half[1] ^ mix(half[0])) >> 11) * 0x1p-53 < share;
}

bool crier_bucket_take(struct crier_bucket *bucket, uint64_t rate, int64_t per, int64_t time)
{
    double passed = (double)(time - bucket->at);
    if (bucket->at == 0 || passed < (double)-per || passed > (double)per) {
        bucket->tokens = (double)rate; /* new, full by now, or the clock was set back */
        bucket->at = time;
    } else if (passed > 0) {
        bucket->tokens += passed * (double)rate / (double)per;
        if (bucket->tokens > (double)rate)
            bucket->tokens = (double)rate;
        bucket->at = time;
    }
    if (bucket->tokens < 1)
        return false;
    bucket->tokens--;
    return true;
}

/* --- repetitions ------------------------------------------------------------------------- */

struct entry {
    uint64_t key;
    int64_t began; /* the window */
    uint64_t left_out;
    GList link; /* in `order` */
};

struct crier_dedupe {
    int64_t window;
    size_t max;
    GHashTable *entries;
    GQueue order; /* by when their windows began */
    struct crier_buf text;
};

struct crier_dedupe *crier_dedupe_new(int64_t window, size_t max)
{
    struct crier_dedupe *d = crier_calloc(1, sizeof *d);
    d->window = window;
    d->max = max;
    d->entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free);
    g_queue_init(&d->order);
    return d;
}

void crier_dedupe_free(struct crier_dedupe *d)
{
    if (!d)
        return;
    g_hash_table_destroy(d->entries);
    crier_buf_fini(&d->text);
    free(d);
}

static uint64_t key_of(struct crier_dedupe *d, const struct crier_record *record)
{
    struct crier_str logger = crier_record_logger(record), text = crier_record_text(record);
    uint64_t h = (uint64_t)crier_record_kind(record) << 8 | (uint64_t)crier_record_level(record);
    crier_buf_clear(&d->text);
    crier_buf_append(&d->text, logger.data, logger.len);
    crier_buf_putc(&d->text, '\0');
    crier_text_comparable(text.data, text.len, &d->text);
    for (size_t i = 0; i < d->text.len; i += sizeof h) {
        uint64_t word = 0;
        size_t n = d->text.len - i;
        memcpy(&word, d->text.data + i, n < sizeof word ? n : sizeof word);
        h = mix(h ^ word);
    }
    return mix(h ^ d->text.len);
}

bool crier_dedupe_is_alike(struct crier_dedupe *d, const struct crier_record *record, uint64_t *key)
{
    *key = key_of(d, record);
    struct entry *e = g_hash_table_lookup(d->entries, key);
    if (!e)
        return false;
    int64_t passed = crier_record_time(record) - e->began;
    /* Far back in time: the clock was set. */
    if (passed >= d->window || passed < -d->window)
        return false;
    e->left_out++;
    return true;
}

uint64_t crier_dedupe_pass(struct crier_dedupe *d, uint64_t key, int64_t time)
{
    struct entry *e = g_hash_table_lookup(d->entries, &key);
    uint64_t left_out = 0;
    if (e) {
        left_out = e->left_out;
        g_queue_unlink(&d->order, &e->link);
    } else {
        if (d->order.length >= d->max) {
            struct entry *oldest = d->order.head->data;
            g_queue_unlink(&d->order, &oldest->link);
            g_hash_table_remove(d->entries, &oldest->key);
        }
        e = crier_calloc(1, sizeof *e);
        e->key = key;
        e->link.data = e;
        g_hash_table_insert(d->entries, &e->key, e);
    }
    e->began = time;
    e->left_out = 0;
    g_queue_push_tail_link(&d->order, &e->link);
    return left_out;
}
