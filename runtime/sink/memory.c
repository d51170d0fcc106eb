/* SPDX-License-Identifier: MIT */
#include "sink/registry.h"

#include <stdlib.h>

#include "base/buf.h"
#include "record/change.h"

struct memory {
    struct crier_record **ring; /* grows up to max */
    size_t max, cap, head, count;
};

static const struct crier_option options[] = {
    {.name = "max",
     .type = CRIER_OPT_INT,
     .def = "10000",
     .min = 1,
     .max = 100000000,
     .help = "records kept; the oldest go first"},
};

static int memory_open(const struct crier_sink_env *env, const struct crier_options *opts,
                       const char *name, void **self, struct crier_err *err)
{
    struct memory *m = crier_calloc(1, sizeof *m);
    (void)env;
    (void)name;
    (void)err;
    m->max = (size_t)crier_options_get(opts, "max")->i;
    *self = m;
    return CRIER_OK;
}

/* As long as there is room nothing has been overwritten, so head is 0 whenever it grows. */
static void grow(struct memory *m)
{
    m->cap = m->cap ? m->cap * 2 : 256;
    if (m->cap > m->max)
        m->cap = m->max;
    m->ring = crier_realloc(m->ring, m->cap * sizeof *m->ring);
}

static enum crier_verdict memory_write(void *self, struct crier_record *const *records,
                                       size_t count, size_t *done, struct crier_err *err)
{
    struct memory *m = self;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        if (m->count == m->cap && m->cap < m->max)
            grow(m);
        if (m->count == m->max) {
            crier_record_unref(m->ring[m->head]);
            m->ring[m->head] = crier_record_ref(records[i]);
            m->head = (m->head + 1) % m->max;
        } else {
            m->ring[m->count++] = crier_record_ref(records[i]);
        }
    }
    *done = count;
    return CRIER_WRITTEN;
}

static int memory_query(void *self, const struct crier_query *query, struct crier_record ***hits,
                        size_t *count, struct crier_err *err)
{
    struct memory *m = self;
    struct crier_buf found = {0};
    (void)err;
    for (size_t i = 0; i < m->count; i++) {
        struct crier_record *record = m->ring[(m->head + i) % m->cap];
        if (!crier_query_wants(query, record))
            continue;
        crier_record_ref(record);
        crier_buf_append(&found, &record, sizeof record);
    }
    *count = found.len / sizeof(struct crier_record *);
    *hits = *count ? (struct crier_record **)(void *)found.data : NULL;
    return CRIER_OK;
}

/* What is asked for is found first, so that a query that fails changes nothing. */
static int memory_change(void *self, const struct crier_query *query, const json_t *fields,
                         uint64_t *changed, struct crier_err *err)
{
    struct memory *m = self;
    struct crier_change change;
    struct crier_record **hits = NULL, **next = crier_calloc(m->count + 1, sizeof *next);
    size_t count = 0, kept = 0;
    int rc = crier_change_init(&change, query, fields, err);
    if (rc == CRIER_OK && crier_query_has_events(query)) {
        rc = memory_query(self, query, &hits, &count, err);
        crier_change_learn(&change, hits, count);
    }
    for (size_t i = 0; rc == CRIER_OK && i < m->count; i++) {
        struct crier_record *record = m->ring[(m->head + i) % m->cap];
        switch (crier_change_ask(&change, record, &next[kept])) {
        case CRIER_CHANGE_KEEP:
            next[kept] = crier_record_ref(record);
            break;
        case CRIER_CHANGE_REMOVE:
            continue;
        default:
            break;
        }
        kept++;
    }
    if (rc == CRIER_OK)
        rc = crier_change_fault(&change, err);
    *changed = rc == CRIER_OK ? change.changed : 0;
    if (rc == CRIER_OK && change.changed) {
        for (size_t i = 0; i < m->count; i++) {
            crier_record_unref(m->ring[i]);
            m->ring[i] = i < kept ? next[i] : NULL;
        }
        m->head = 0;
        m->count = kept;
    } else {
        for (size_t i = 0; i < kept; i++)
            crier_record_unref(next[i]);
    }
    free(next);
    crier_change_fini(&change);
    return rc;
}

static void memory_close(void *self)
{
    struct memory *m = self;
    for (size_t i = 0; i < m->count; i++)
        crier_record_unref(m->ring[i]);
    free(m->ring);
    free(m);
}

const struct crier_sink_driver crier_sink_memory = {
    .kind = "memory",
    .help = "the last records in memory, for queries",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = memory_open,
    .write = memory_write,
    .close = memory_close,
    .query = memory_query,
    .change = memory_change,
};
