/* SPDX-License-Identifier: MIT */
#include "sink/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "record/build.h"
#include "sink/spool.h"

/* How long a spool that could not be used (disk full, held by a predecessor) is left alone. */
#define SPOOL_PAUSE CRIER_S

struct crier_queue {
    struct crier_queue_config config;
    char *folder;

    pthread_mutex_t lock; /* guards all that follows but `batch` */
    pthread_cond_t empty;
    bool waiting, closed;
    struct crier_record **ring;
    size_t head, count;
    struct crier_spool *spool;
    bool spilling;      /* the spool holds records: new ones go there */
    bool spool_held;    /* by a predecessor that is still stopping */
    int64_t spool_next; /* when it may be tried again */
    size_t wake_at;     /* the worker wants to know of that many records */
    int64_t oldest;     /* when the worker first saw the waiting ones; CRIER_NEVER: none */
    struct crier_queue_stats stats;
    uint64_t entered;               /* records that have got a place in the order */
    uint64_t skew_ring, skew_spool; /* of those, dropped ahead of older ones still there */
    bool news;
    uint64_t untold;
    uint64_t left; /* in the spool when it was closed */
    char trouble[256];

    /* The worker's: records in flight are batch[at .. at + flight]. */
    struct crier_record **batch;
    struct crier_spool_entry *entries;
    size_t at;
    size_t flight; /* under the lock too, for the books */
    bool from_spool;
};

static size_t pending(const struct crier_queue *q)
{
    size_t n = q->count + (q->from_spool ? 0 : q->flight);
    return n + (q->spool ? crier_spool_count(q->spool) : 0);
}

static void lose(struct crier_queue *q, uint64_t n, const char *why)
{
    q->stats.dropped += n;
    q->untold += n;
    q->news = true;
    if (why != q->trouble)
        snprintf(q->trouble, sizeof q->trouble, "%s", why);
}

static void note_damage(struct crier_queue *q)
{
    struct crier_spool_stats stats;
    crier_spool_stats(q->spool, &stats);
    if (stats.fault[0]) {
        memcpy(q->trouble, stats.fault, sizeof q->trouble);
        q->news = true;
    }
}

/* A record of a newer crier must not be thrown away as unreadable. */
static int check_records(struct crier_spool *spool, struct crier_err *err)
{
    struct crier_spool_entry entry;
    struct crier_record *record = NULL;
    struct crier_err fault = {0};
    int rc = CRIER_OK;
    if (crier_spool_read(spool, &entry) &&
        crier_record_from_bytes(entry.data, entry.len, &record, &fault) == CRIER_EVERSION) {
        if (err)
            *err = fault;
        rc = CRIER_EVERSION;
    }
    crier_record_unref(record);
    crier_spool_rewind(spool);
    return rc;
}

static int open_spool(const struct crier_queue *q, struct crier_spool **out, struct crier_err *err)
{
    struct crier_spool_config config = {.max_bytes = q->config.spool_bytes};
    struct crier_spool *spool;
    int rc = crier_spool_open(q->folder, &config, &spool, err);
    if (rc != CRIER_OK)
        return rc;
    rc = check_records(spool, err);
    if (rc != CRIER_OK) {
        crier_spool_close(spool);
        return rc;
    }
    *out = spool;
    return CRIER_OK;
}

/* What it holds is older than anything here. */
static void use_spool(struct crier_queue *q, struct crier_spool *spool)
{
    q->spool = spool;
    q->spool_held = false;
    q->stats.accepted += crier_spool_count(spool);
    q->spilling = crier_spool_count(spool) > 0;
    note_damage(q);
}

int crier_queue_open(const struct crier_queue_config *config, struct crier_queue **out,
                     struct crier_err *err)
{
    struct crier_queue *q = crier_calloc(1, sizeof *q);
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    struct stat st;

    q->config = *config;
    q->config.folder = NULL;
    q->folder = crier_strdup(config->folder);
    q->ring = crier_calloc(config->size, sizeof *q->ring);
    q->batch = crier_calloc(config->batch, sizeof *q->batch);
    q->wake_at = 1;
    q->oldest = CRIER_NEVER;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&q->lock, &mutex);
    pthread_mutexattr_destroy(&mutex);
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&q->empty, &cond);
    pthread_condattr_destroy(&cond);

    if (q->folder && stat(q->folder, &st) == 0) {
        struct crier_spool *spool;
        int rc = open_spool(q, &spool, err);
        if (rc == CRIER_OK) {
            use_spool(q, spool);
        } else if (rc == CRIER_EBUSY) {
            q->spool_held = true;
            if (err)
                *err = (struct crier_err){0};
        } else {
            crier_queue_free(q);
            return rc;
        }
    }
    *out = q;
    return CRIER_OK;
}

void crier_queue_free(struct crier_queue *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->flight; i++)
        crier_record_unref(q->batch[q->at + i]);
    for (; q->count > 0; q->count--) {
        crier_record_unref(q->ring[q->head]);
        q->head = (q->head + 1) % q->config.size;
    }
    crier_spool_close(q->spool);
    pthread_cond_destroy(&q->empty);
    pthread_mutex_destroy(&q->lock);
    free(q->entries);
    free(q->batch);
    free(q->ring);
    free(q->folder);
    free(q);
}

/* ---- pushing ---- */

static void ring_add(struct crier_queue *q, struct crier_record *record)
{
    size_t i = q->head + q->count;
    if (i >= q->config.size)
        i -= q->config.size;
    q->ring[i] = crier_record_ref(record);
    q->count++;
    q->entered++;
}

static struct crier_record *ring_take(struct crier_queue *q)
{
    struct crier_record *record = q->ring[q->head];
    q->head = q->head + 1 == q->config.size ? 0 : q->head + 1;
    q->count--;
    return record;
}

static void ring_replace_oldest(struct crier_queue *q, struct crier_record *record, const char *why)
{
    crier_record_unref(ring_take(q));
    if (q->flight)
        q->skew_ring++;
    lose(q, 1, why);
    ring_add(q, record);
}

static int append(struct crier_queue *q, struct crier_record *record, struct crier_err *err)
{
    struct crier_str bytes = crier_record_bytes(record);
    return crier_spool_append(q->spool, crier_record_seq(record), bytes.data, bytes.len, err);
}

static int spill(struct crier_queue *q, struct crier_record *record, struct crier_err *err)
{
    int rc = CRIER_OK;
    if (!q->spool) {
        struct crier_spool *spool;
        rc = open_spool(q, &spool, err);
        if (rc != CRIER_OK)
            return rc;
        use_spool(q, spool);
    }
    rc = append(q, record, err);
    if (rc == CRIER_ELIMIT) {
        uint64_t lost = crier_spool_drop_oldest(q->spool);
        if (lost == 0)
            return rc;
        q->skew_spool += lost;
        lose(q, lost, err->text);
        rc = append(q, record, err);
    }
    return rc;
}

/* No place in the ring, or not allowed there. */
static void overflow(struct crier_queue *q, struct crier_record *record)
{
    struct crier_err err = {0};
    if (q->closed) {
        lose(q, 1, "the sink has been stopped");
        return;
    }
    if (!q->spilling && (q->config.overflow == CRIER_DROP_OLD || !q->folder)) {
        ring_replace_oldest(q, record, "the queue is full");
        return;
    }
    if (!q->spilling && q->config.overflow == CRIER_DROP_NEW) {
        lose(q, 1, "the queue is full");
        return;
    }
    if (q->spool_held) {
        lose(q, 1, "the queue is full, and its spool still held by the sink before it");
        return;
    }
    int64_t now = crier_clock_mono(q->config.clock);
    if (q->spool_next > now) {
        lose(q, 1, q->trouble);
        return;
    }
    if (spill(q, record, &err) != CRIER_OK) {
        /* A full disk is not asked again for every record. */
        q->spool_next = now + SPOOL_PAUSE;
        lose(q, 1, err.text);
        return;
    }
    q->spilling = true;
    q->entered++;
}

bool crier_queue_push(struct crier_queue *q, struct crier_record *record)
{
    bool wake = false, told;
    pthread_mutex_lock(&q->lock);
    told = !q->news;
    q->stats.accepted++;
    if (!q->spilling && !q->closed && q->count < q->config.size)
        ring_add(q, record);
    else
        overflow(q, record);
    /* While the spool is being read the worker is awake, or waits for a retry. */
    if (q->count >= q->wake_at || (q->spilling && q->wake_at != SIZE_MAX)) {
        q->wake_at = SIZE_MAX;
        wake = true;
    }
    wake |= told && q->news; /* so that the loss is told */
    pthread_mutex_unlock(&q->lock);
    return wake;
}

/* ---- taking ---- */

/* The predecessor may have stopped by now. What it left is older than what is in the ring, which
 * therefore has to go behind it. The lock is given up while its spool is looked through; nobody
 * else opens it as long as spool_held is set. */
static void adopt(struct crier_queue *q, int64_t now)
{
    struct crier_spool *spool;
    struct crier_err err = {0};
    pthread_mutex_unlock(&q->lock);
    int rc = open_spool(q, &spool, &err);
    pthread_mutex_lock(&q->lock);
    if (rc == CRIER_EBUSY) {
        q->spool_next = now + SPOOL_PAUSE;
    } else if (rc != CRIER_OK) {
        q->spool_held = false;
        snprintf(q->trouble, sizeof q->trouble, "%s", err.text);
        q->news = true;
    } else {
        use_spool(q, spool);
        while (q->spilling && q->count > 0) {
            struct crier_record *record = ring_take(q);
            if (append(q, record, &err) != CRIER_OK)
                lose(q, 1, err.text);
            crier_record_unref(record);
        }
    }
}

void crier_queue_begin(struct crier_queue *q, struct crier_loop *loop)
{
    (void)loop;
    struct stat st;
    pthread_mutex_lock(&q->lock);
    /* At the opening there may have been no spool yet. */
    if (!q->spool && q->folder && stat(q->folder, &st) == 0) {
        q->spool_held = true;
        adopt(q, crier_clock_mono(q->config.clock));
    }
    pthread_mutex_unlock(&q->lock);
}

/* Reads n entries from the first one that is not acknowledged on. */
static size_t read_entries(struct crier_queue *q, size_t n)
{
    size_t i = 0;
    if (!q->entries)
        q->entries = crier_calloc(q->config.batch, sizeof *q->entries);
    crier_spool_rewind(q->spool);
    while (i < n && crier_spool_read(q->spool, &q->entries[i]))
        i++;
    return i;
}

/* Entries -> records, outside of the lock; the spool keeps what was read in its place. An entry
 * that is no record ends the batch, and is dropped when it comes first. */
static void take_from_spool(struct crier_queue *q)
{
    struct crier_err err = {0};
    size_t n = 0, found = read_entries(q, q->config.batch);
    pthread_mutex_unlock(&q->lock);
    while (n < found && crier_record_from_bytes(q->entries[n].data, q->entries[n].len, &q->batch[n],
                                                &err) == CRIER_OK)
        n++;
    pthread_mutex_lock(&q->lock);
    if (n < found)
        read_entries(q, n);
    if (n == 0 && found > 0) {
        read_entries(q, 1);
        crier_spool_ack(q->spool, 1);
        lose(q, 1, err.text);
    }
    q->flight = n;
    q->from_spool = true;
}

static void take_from_ring(struct crier_queue *q)
{
    size_t n = q->count < q->config.batch ? q->count : q->config.batch;
    for (size_t i = 0; i < n; i++)
        q->batch[i] = ring_take(q);
    q->flight = n;
    q->from_spool = false;
}

/* Whether the waiting records may wait longer for others; *due is filled when they may. */
static bool may_wait(struct crier_queue *q, int64_t now, bool hurry, int64_t *due)
{
    if (hurry || q->config.flush <= 0 || pending(q) >= q->config.batch)
        return false;
    if (q->oldest == CRIER_NEVER)
        q->oldest = now;
    *due = q->oldest + q->config.flush;
    return now < *due;
}

static void tidy(struct crier_queue *q)
{
    q->spilling = q->spool && crier_spool_count(q->spool) > 0;
    if (q->flight == 0)
        q->skew_ring = 0;
    if (pending(q) > 0)
        return;
    q->skew_spool = 0;
    if (q->waiting)
        pthread_cond_signal(&q->empty);
}

size_t crier_queue_take(struct crier_queue *q, int64_t now, bool hurry,
                        struct crier_record *const **records, int64_t *due)
{
    *due = CRIER_NEVER;
    pthread_mutex_lock(&q->lock);
    if (q->flight == 0 && q->spool_held && now >= q->spool_next)
        adopt(q, now);
    while (q->flight == 0) {
        if (pending(q) == 0) {
            q->oldest = CRIER_NEVER;
            q->wake_at = 1;
            *due = q->spool_held ? q->spool_next : CRIER_NEVER;
            break;
        }
        if (may_wait(q, now, hurry, due)) {
            q->wake_at = q->config.batch < q->config.size ? q->config.batch : q->config.size;
            break;
        }
        q->oldest = CRIER_NEVER;
        q->wake_at = SIZE_MAX;
        q->at = 0;
        if (q->count > 0)
            take_from_ring(q);
        else
            take_from_spool(q);
        tidy(q);
    }
    size_t n = q->flight;
    *records = q->batch + q->at;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void crier_queue_settle(struct crier_queue *q, size_t n, enum crier_outcome outcome,
                        const char *why)
{
    size_t first = q->at;
    pthread_mutex_lock(&q->lock);
    q->at += n;
    q->flight -= n;
    if (q->from_spool)
        crier_spool_ack(q->spool, n);
    if (outcome == CRIER_SETTLE_WRITTEN)
        q->stats.written += n;
    else if (outcome == CRIER_SETTLE_REJECTED)
        q->stats.rejected += n;
    else
        lose(q, n, why);
    tidy(q);
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < n; i++)
        crier_record_unref(q->batch[first + i]);
}

struct crier_record *crier_queue_first(struct crier_queue *q)
{
    return q->batch[q->at];
}

void crier_queue_down(struct crier_queue *q, bool down)
{
    (void)q;
    (void)down;
}

/* ---- marks, waiting, the end ---- */

static size_t pending_now(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = pending(q);
    pthread_mutex_unlock(&q->lock);
    return n;
}

bool crier_queue_is_empty(struct crier_queue *q)
{
    return pending_now(q) == 0;
}

bool crier_queue_is_full(struct crier_queue *q)
{
    return q->config.overflow == CRIER_BLOCK && pending_now(q) >= q->config.size;
}

bool crier_queue_has_room(struct crier_queue *q)
{
    return pending_now(q) <= q->config.size / 2;
}

uint64_t crier_queue_mark(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    uint64_t mark = q->entered;
    pthread_mutex_unlock(&q->lock);
    return mark;
}

bool crier_queue_passed(struct crier_queue *q, uint64_t mark)
{
    pthread_mutex_lock(&q->lock);
    bool passed = q->entered >= mark + pending(q) + q->skew_ring + q->skew_spool;
    pthread_mutex_unlock(&q->lock);
    return passed;
}

bool crier_queue_wait(struct crier_queue *q, int64_t within)
{
    int64_t end = crier_clock_mono(q->config.clock) + within;
    struct timespec ts = {.tv_sec = end / CRIER_S, .tv_nsec = end % CRIER_S * 1000};
    pthread_mutex_lock(&q->lock);
    q->waiting = true;
    while (pending(q) > 0 && pthread_cond_timedwait(&q->empty, &q->lock, &ts) == 0)
        ;
    q->waiting = false;
    bool empty = pending(q) == 0;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

static void save_records(struct crier_queue *q, struct crier_record *const *records, size_t n)
{
    struct crier_spool_entry *entries;
    struct crier_spool *spool;
    struct crier_err err = {0};
    int rc = CRIER_OK;

    if (q->config.overflow > CRIER_BLOCK || !q->folder) {
        lose(q, n, "the sink has been stopped");
        return;
    }
    if (!q->spool) {
        rc = open_spool(q, &spool, &err);
        if (rc == CRIER_OK)
            use_spool(q, spool);
    }
    if (rc == CRIER_OK) {
        entries = crier_calloc(n, sizeof *entries);
        for (size_t i = 0; i < n; i++) {
            struct crier_str bytes = crier_record_bytes(records[i]);
            entries[i] =
                (struct crier_spool_entry){crier_record_seq(records[i]), bytes.data, bytes.len};
        }
        rc = crier_spool_prepend(q->spool, entries, n, &err);
        free(entries);
    }
    if (rc != CRIER_OK)
        lose(q, n, err.text);
}

void crier_queue_save(struct crier_queue *q)
{
    struct crier_record **records = crier_calloc(q->flight + q->count + 1, sizeof *records);
    size_t n = 0, keep;
    pthread_mutex_lock(&q->lock);
    for (; n < q->flight; n++)
        records[n] = q->batch[q->at + n];
    keep = q->from_spool ? n : 0; /* those are on disk as they are */
    while (q->count > 0)
        records[n++] = ring_take(q);
    q->flight = 0;
    if (n > keep)
        save_records(q, records + keep, n - keep);
    q->left = q->spool ? crier_spool_count(q->spool) : 0;
    crier_spool_close(q->spool);
    q->spool = NULL;
    q->spilling = false;
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < n; i++)
        crier_record_unref(records[i]);
    free(records);
}

void crier_queue_stats(struct crier_queue *q, struct crier_queue_stats *out)
{
    pthread_mutex_lock(&q->lock);
    *out = q->stats;
    out->queued = q->count + (q->from_spool ? 0 : q->flight);
    out->spilled = q->spool ? crier_spool_count(q->spool) : q->left;
    pthread_mutex_unlock(&q->lock);
}

bool crier_queue_trouble(struct crier_queue *q, uint64_t *dropped, char text[256])
{
    pthread_mutex_lock(&q->lock);
    bool news = q->news;
    *dropped = q->untold;
    memcpy(text, q->trouble, sizeof q->trouble);
    q->news = false;
    q->untold = 0;
    pthread_mutex_unlock(&q->lock);
    return news;
}
