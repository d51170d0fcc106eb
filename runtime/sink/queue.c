/* SPDX-License-Identifier: MIT */
#include "sink/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
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
#define SEGMENT_MAX (4u << 20)
#define SEGMENTS_MIN 16 /* of a spool with a low bound */

struct crier_queue {
    atomic_int owners; /* a sink, and its successor */
    struct crier_queue_config config;
    char *folder;
    struct crier_loop *loop; /* NULL before the start */

    pthread_mutex_t lock; /* guards all that follows but `batch` */
    pthread_cond_t empty;
    bool waiting, closed;
    struct crier_record **ring;
    size_t ring_size, head, count;
    struct crier_spool *spool;
    bool logged; /* see queue.h */
    bool down;
    size_t tail;        /* logged: records at the ring's end that are not in the spool */
    size_t in_spool;    /* records in flight, from the first one on, that are in the spool, too */
    size_t copied;      /* plain: records in memory, from the first one on, that have been copied */
    bool spool_held;    /* by a predecessor that is still stopping */
    int64_t spool_next; /* when it may be tried again */
    size_t wake_at;     /* the worker wants to know of that many records */
    int64_t oldest;     /* when the worker first saw the waiting ones; CRIER_NEVER: none */
    struct crier_queue_stats stats;
    uint64_t entered;               /* records that have got a place in the order */
    uint64_t skew_ring, skew_spool; /* of those, dropped ahead of older ones still there */
    bool full, full_news;           /* the spool has reached its bound */
    bool news;
    uint64_t untold;
    uint64_t left; /* in the spool when it was closed */
    char trouble[256];

    /* The worker's: records in flight are batch[at .. at + flight]. */
    struct crier_record **batch;
    struct crier_spool_entry *entries;
    size_t batch_size;
    size_t at;
    size_t flight; /* under the lock too, for the books */
};

static uint64_t spooled(const struct crier_queue *q)
{
    return q->spool ? crier_spool_count(q->spool) : 0;
}

/* Records that are in memory alone. */
static size_t unspooled(const struct crier_queue *q)
{
    return q->flight - q->in_spool + (q->logged ? q->tail : q->count);
}

static size_t pending(const struct crier_queue *q)
{
    return unspooled(q) + spooled(q);
}

/* Whether the spool holds records that are neither in the ring nor in flight. */
static bool spilling(const struct crier_queue *q)
{
    return spooled(q) > q->in_spool + (q->logged ? q->count - q->tail : 0);
}

/* What waits may, or must, go to the disk. */
static bool may_spool(const struct crier_queue *q)
{
    return q->folder && q->config.overflow <= CRIER_BLOCK;
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

/* ---- the ring ---- */

static struct crier_record **ring_at(struct crier_queue *q, size_t i)
{
    i += q->head;
    return &q->ring[i < q->ring_size ? i : i - q->ring_size];
}

static void ring_add(struct crier_queue *q, struct crier_record *record)
{
    *ring_at(q, q->count++) = crier_record_ref(record);
}

static struct crier_record *ring_take(struct crier_queue *q)
{
    struct crier_record *record = q->ring[q->head];
    q->head = q->head + 1 == q->ring_size ? 0 : q->head + 1;
    q->count--;
    return record;
}

static void ring_remove(struct crier_queue *q, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        crier_record_unref(*ring_at(q, i));
    for (size_t i = first; i + n < q->count; i++)
        *ring_at(q, i) = *ring_at(q, i + n);
    q->count -= n;
}

static void ring_resize(struct crier_queue *q, size_t size)
{
    if (size < q->count)
        size = q->count;
    struct crier_record **ring = crier_calloc(size, sizeof *ring);
    for (size_t i = 0; i < q->count; i++)
        ring[i] = *ring_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->ring_size = size;
    q->head = 0;
}

/* ---- the spool ---- */

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
    if (config.max_bytes && config.max_bytes / SEGMENTS_MIN < SEGMENT_MAX)
        config.segment_bytes = (size_t)(config.max_bytes / SEGMENTS_MIN);
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
    note_damage(q);
    if (q->loop)
        crier_spool_help(spool, q->loop, q->config.sync);
}

static int need_spool(struct crier_queue *q, struct crier_err *err)
{
    struct crier_spool *spool;
    if (q->spool)
        return CRIER_OK;
    int rc = open_spool(q, &spool, err);
    if (rc == CRIER_OK)
        use_spool(q, spool);
    return rc;
}

static int append(struct crier_queue *q, struct crier_record *record, struct crier_err *err)
{
    struct crier_str bytes = crier_record_bytes(record);
    return crier_spool_append(q->spool, crier_record_seq(record), bytes.data, bytes.len, err);
}

/* The spool has reached its bound: the oldest that nobody has in hand make room. */
static uint64_t make_room(struct crier_queue *q, const char *why)
{
    uint64_t first, lost = crier_spool_drop_oldest(q->spool, q->in_spool, &first);
    size_t in_ring = q->logged ? q->count - q->tail : 0;
    if (lost == 0)
        return 0;
    if (first - q->in_spool < in_ring) {
        size_t from = (size_t)(first - q->in_spool);
        ring_remove(q, from, lost < in_ring - from ? (size_t)lost : in_ring - from);
    }
    if (!q->full)
        q->full_news = q->news = true;
    q->full = true;
    q->skew_spool += lost;
    lose(q, lost, why);
    return lost;
}

/* Put a record behind all that is in the spool. A full disk is not asked again for each record. */
static int spool_add(struct crier_queue *q, struct crier_record *record, struct crier_err *err)
{
    int64_t now = 0;
    if (q->spool_next) {
        now = crier_clock_mono(q->config.clock);
        if (q->spool_next > now)
            return crier_err_set(err, CRIER_EIO, "%s", q->trouble);
        q->spool_next = 0;
    }
    int rc = need_spool(q, err);
    if (rc == CRIER_OK)
        rc = append(q, record, err);
    if (rc == CRIER_ELIMIT && make_room(q, err->text) > 0)
        rc = append(q, record, err);
    if (rc != CRIER_OK)
        q->spool_next = (now ? now : crier_clock_mono(q->config.clock)) + SPOOL_PAUSE;
    return rc;
}

static int prepend(struct crier_queue *q, struct crier_record *const *records, size_t n,
                   struct crier_err *err)
{
    int rc = need_spool(q, err);
    if (rc != CRIER_OK || n == 0)
        return rc;
    struct crier_spool_entry *entries = crier_calloc(n, sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        struct crier_str bytes = crier_record_bytes(records[i]);
        entries[i] =
            (struct crier_spool_entry){crier_record_seq(records[i]), bytes.data, bytes.len};
    }
    rc = crier_spool_prepend(q->spool, entries, n, err);
    free(entries);
    return rc;
}

/* Plain: all that is in memory goes to the front of the spool. */
static int spool_memory(struct crier_queue *q, struct crier_err *err)
{
    size_t flight = q->in_spool ? 0 : q->flight, n = flight + q->count;
    struct crier_record **records = crier_calloc(n + 1, sizeof *records);
    for (size_t i = 0; i < flight; i++)
        records[i] = q->batch[q->at + i];
    for (size_t i = 0; i < q->count; i++)
        records[flight + i] = *ring_at(q, i);
    int rc = prepend(q, records, n, err);
    free(records);
    if (rc != CRIER_OK)
        return rc;
    q->in_spool = q->flight;
    if (n > 0) {
        crier_spool_mark_batch(q->spool, q->flight);
        crier_spool_mark_copied(q->spool, q->copied);
    }
    q->copied = 0;
    return CRIER_OK;
}

static void start_logging(struct crier_queue *q)
{
    struct crier_err err = {0};
    if (q->logged || q->closed || q->spool_held || !q->loop || !may_spool(q) ||
        (q->spool_next && q->spool_next > crier_clock_mono(q->config.clock)))
        return;
    if (spool_memory(q, &err) != CRIER_OK) {
        q->spool_next = crier_clock_mono(q->config.clock) + SPOOL_PAUSE;
        snprintf(q->trouble, sizeof q->trouble, "%s", err.text);
        q->news = true;
        return;
    }
    q->logged = true;
    q->tail = 0;
}

/* ---- opening ---- */

int crier_queue_open(const struct crier_queue_config *config, struct crier_queue **out,
                     struct crier_err *err)
{
    struct crier_queue *q = crier_calloc(1, sizeof *q);
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    struct stat st;

    atomic_init(&q->owners, 1);
    q->config = *config;
    q->config.folder = NULL;
    q->folder = crier_strdup(config->folder);
    ring_resize(q, config->size);
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
    if (!q || atomic_fetch_sub(&q->owners, 1) > 1)
        return;
    for (size_t i = 0; i < q->flight; i++)
        crier_record_unref(q->batch[q->at + i]);
    while (q->count > 0)
        crier_record_unref(ring_take(q));
    crier_spool_close(q->spool);
    pthread_cond_destroy(&q->empty);
    pthread_mutex_destroy(&q->lock);
    free(q->entries);
    free(q->batch);
    free(q->ring);
    free(q->folder);
    free(q);
}

struct crier_queue *crier_queue_inherit(struct crier_queue *q, struct crier_queue *from)
{
    pthread_mutex_lock(&q->lock);
    struct crier_queue_config config = q->config;
    pthread_mutex_unlock(&q->lock);
    crier_queue_free(q);
    atomic_fetch_add(&from->owners, 1);
    pthread_mutex_lock(&from->lock);
    from->config = config;
    from->down = false;
    if (from->spool)
        crier_spool_set_bound(from->spool, config.spool_bytes);
    ring_resize(from, config.size);
    if (config.durable)
        start_logging(from);
    pthread_mutex_unlock(&from->lock);
    return from;
}

/* ---- pushing ---- */

static void ring_replace_oldest(struct crier_queue *q, struct crier_record *record, const char *why)
{
    crier_record_unref(ring_take(q));
    if (q->flight)
        q->skew_ring++;
    if (q->copied > q->flight - q->in_spool)
        q->copied--;
    lose(q, 1, why);
    ring_add(q, record);
    q->entered++;
}

/* Plain: no place in the ring, or not allowed there. */
static void overflow(struct crier_queue *q, struct crier_record *record)
{
    struct crier_err err = {0};
    if (spooled(q) == 0 && (q->config.overflow == CRIER_DROP_OLD || !q->folder)) {
        ring_replace_oldest(q, record, "the queue is full");
        return;
    }
    if (spooled(q) == 0 && q->config.overflow == CRIER_DROP_NEW) {
        lose(q, 1, "the queue is full");
        return;
    }
    if (q->spool_held) {
        lose(q, 1, "the queue is full, and its spool still held by the sink before it");
        return;
    }
    if (spool_add(q, record, &err) != CRIER_OK)
        lose(q, 1, err.text);
    else
        q->entered++;
}

/* What was kept in memory alone goes to the spool after all. */
static int log_tail(struct crier_queue *q, struct crier_err *err)
{
    size_t flight = q->flight - q->in_spool;
    size_t copied = q->copied > flight ? q->copied - flight : 0;
    int rc = CRIER_OK;
    while (q->tail > 0 && rc == CRIER_OK) {
        rc = spool_add(q, *ring_at(q, q->count - q->tail), err);
        if (rc != CRIER_OK)
            break;
        q->tail--;
        if (copied > 0) {
            copied--;
            q->copied--;
            crier_spool_mark_copied(q->spool, spooled(q));
        }
    }
    return rc;
}

static void log_record(struct crier_queue *q, struct crier_record *record)
{
    struct crier_err err = {0};
    bool behind = spilling(q), room = q->count < q->config.size, in_ring = !behind && room;
    bool must = q->config.durable || q->down || !in_ring;
    int rc = must ? log_tail(q, &err) : CRIER_OK;
    if (must && rc == CRIER_OK)
        rc = spool_add(q, record, &err);
    if (rc != CRIER_OK && !in_ring) {
        lose(q, 1, err.text);
        return;
    }
    if (rc != CRIER_OK && q->tail == 0) {
        snprintf(q->trouble, sizeof q->trouble, "%.200s; records are kept in memory alone",
                 err.text);
        q->news = true;
    }
    if (in_ring)
        ring_add(q, record);
    if (in_ring && (!must || rc != CRIER_OK))
        q->tail++;
    q->entered++;
}

/* The sink has ended, and yet there is a record: it waits for the next start. */
static void log_late(struct crier_queue *q, struct crier_record *record)
{
    struct crier_err err = {0};
    if (!may_spool(q)) {
        lose(q, 1, "the sink has been stopped");
        return;
    }
    int rc = open_spool(q, &q->spool, &err);
    if (rc == CRIER_OK)
        rc = append(q, record, &err);
    if (rc == CRIER_OK)
        q->left++;
    else
        lose(q, 1, err.text);
    crier_spool_close(q->spool);
    q->spool = NULL;
}

bool crier_queue_push(struct crier_queue *q, struct crier_record *record)
{
    bool wake = false, told;
    pthread_mutex_lock(&q->lock);
    told = !q->news;
    q->stats.accepted++;
    if (q->config.durable && !q->logged)
        start_logging(q);
    if (q->closed) {
        log_late(q, record);
    } else if (q->logged) {
        log_record(q, record);
    } else if (q->count < q->config.size && spooled(q) == 0) {
        ring_add(q, record);
        q->entered++;
    } else {
        overflow(q, record);
    }
    /* While the spool is being read the worker is awake, or waits for a retry. */
    if (q->down) {
        wake = true;
    } else if (q->wake_at != SIZE_MAX &&
               (q->count >= q->wake_at || (q->logged ? spilling(q) : spooled(q) > 0))) {
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
        q->spool_next = 0;
        use_spool(q, spool);
        while (spooled(q) > 0 && q->count > 0) {
            struct crier_record *record = ring_take(q);
            if (append(q, record, &err) != CRIER_OK)
                lose(q, 1, err.text);
            crier_record_unref(record);
        }
        if (q->config.durable || q->down)
            start_logging(q);
    }
}

void crier_queue_begin(struct crier_queue *q, struct crier_loop *loop)
{
    struct stat st;
    pthread_mutex_lock(&q->lock);
    q->loop = loop;
    /* At the opening there may have been no spool yet. */
    if (!q->spool && q->folder && stat(q->folder, &st) == 0) {
        q->spool_held = true;
        adopt(q, crier_clock_mono(q->config.clock));
    }
    if (q->config.durable)
        start_logging(q);
    if (q->spool)
        crier_spool_help(q->spool, loop, q->config.sync);
    pthread_mutex_unlock(&q->lock);
}

/* Reads n entries from the first one that is not acknowledged on. */
static size_t read_entries(struct crier_queue *q, size_t n)
{
    size_t i = 0;
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
    size_t batch = crier_spool_batch(q->spool); /* of an earlier run */
    size_t want = batch && batch < q->batch_size ? batch : q->batch_size;
    size_t n = 0, found = read_entries(q, want);
    q->flight = q->in_spool = found; /* the spool does not drop them then */
    pthread_mutex_unlock(&q->lock);
    while (n < found && crier_record_from_bytes(q->entries[n].data, q->entries[n].len, &q->batch[n],
                                                &err) == CRIER_OK)
        n++;
    pthread_mutex_lock(&q->lock);
    if (n == 0 && found > 0) {
        read_entries(q, 1);
        crier_spool_ack(q->spool, 1);
        lose(q, 1, err.text);
    }
    q->flight = q->in_spool = n;
}

static void take_from_ring(struct crier_queue *q)
{
    size_t n = q->count < q->batch_size ? q->count : q->batch_size;
    size_t logged = q->logged ? q->count - q->tail : 0;
    for (size_t i = 0; i < n; i++)
        q->batch[i] = ring_take(q);
    q->flight = n;
    q->in_spool = logged < n ? logged : n;
    if (n > logged && q->logged)
        q->tail -= n - logged;
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

/* After something has left. */
static void tidy(struct crier_queue *q)
{
    uint64_t left = spooled(q);
    if (q->flight == 0)
        q->skew_ring = 0;
    if (q->logged && !q->config.durable && !q->down && left == 0 && q->in_spool == 0) {
        q->logged = false;
        q->tail = 0;
    }
    if (q->full) {
        struct crier_spool_stats stats;
        crier_spool_stats(q->spool, &stats);
        q->full = stats.bytes > q->config.spool_bytes / 2;
    }
    if (pending(q) > 0)
        return;
    q->skew_spool = 0;
    if (q->waiting)
        pthread_cond_signal(&q->empty);
}

static void take(struct crier_queue *q)
{
    if (q->batch_size != q->config.batch) {
        q->batch_size = q->config.batch;
        q->batch = crier_realloc(q->batch, q->batch_size * sizeof(*q->batch));
        q->entries = crier_realloc(q->entries, q->batch_size * sizeof *q->entries);
    }
    q->at = 0;
    if (q->count > 0)
        take_from_ring(q);
    else
        take_from_spool(q);
    if (q->in_spool)
        crier_spool_mark_batch(q->spool, q->in_spool);
    tidy(q);
}

size_t crier_queue_take(struct crier_queue *q, int64_t now, bool hurry,
                        struct crier_record *const **records, int64_t *due)
{
    *due = CRIER_NEVER;
    pthread_mutex_lock(&q->lock);
    if (q->flight == 0 && q->spool_held && now >= q->spool_next)
        adopt(q, now);
    while (q->flight == 0 && !q->closed) {
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
        take(q);
    }
    size_t n = q->flight;
    *records = q->batch + q->at;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void crier_queue_settle(struct crier_queue *q, size_t n, enum crier_outcome outcome,
                        const char *why)
{
    size_t first = q->at, logged;
    pthread_mutex_lock(&q->lock);
    if (q->closed) {
        /* What hung in the driver has been saved already, to be written again. */
        pthread_mutex_unlock(&q->lock);
        return;
    }
    q->at += n;
    q->flight -= n;
    logged = n < q->in_spool ? n : q->in_spool;
    q->in_spool -= logged;
    if (logged > 0)
        crier_spool_ack(q->spool, logged);
    q->copied -= n - logged < q->copied ? n - logged : q->copied;
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

/* ---- down ---- */

void crier_queue_down(struct crier_queue *q, bool down)
{
    pthread_mutex_lock(&q->lock);
    q->down = down;
    if (down)
        start_logging(q);
    else
        tidy(q);
    pthread_mutex_unlock(&q->lock);
}

static uint64_t uncopied(const struct crier_queue *q)
{
    uint64_t n = unspooled(q) - q->copied;
    return n + spooled(q) - (q->spool ? crier_spool_copied(q->spool) : 0);
}

/* The i-th of the records that are in memory alone. */
static struct crier_record *memory_at(struct crier_queue *q, size_t i)
{
    size_t flight = q->flight - q->in_spool;
    if (i < flight)
        return q->batch[q->at + q->in_spool + i];
    return *ring_at(q, i - flight + (q->logged ? q->count - q->tail : 0));
}

static size_t copy_from_memory(struct crier_queue *q, struct crier_record **records, size_t max)
{
    size_t n = 0, in_memory = unspooled(q);
    while (n < max && q->copied < in_memory)
        records[n++] = crier_record_ref(memory_at(q, q->copied++));
    return n;
}

static size_t copy_from_spool(struct crier_queue *q, struct crier_record **records, size_t max)
{
    struct crier_spool_entry entries[64];
    size_t n = 0, found;
    if (!q->spool)
        return 0;
    uint64_t done = crier_spool_copied(q->spool);
    found = crier_spool_peek(q->spool, done, entries, max < 64 ? max : 64);
    for (size_t i = 0; i < found; i++)
        if (crier_record_from_bytes(entries[i].data, entries[i].len, &records[n], NULL) == CRIER_OK)
            n++; /* what cannot be read is told of when its turn comes */
    if (found > 0)
        crier_spool_mark_copied(q->spool, done + found);
    return n;
}

/* Plain, what is in memory is older than what is in the spool; logged, it is newer. */
size_t crier_queue_copy(struct crier_queue *q, struct crier_record **records, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&q->lock);
    while (n == 0 && !q->closed && uncopied(q) > 0) {
        if (q->logged)
            n = copy_from_spool(q, records, max);
        if (n == 0)
            n = copy_from_memory(q, records, max);
        if (n == 0 && !q->logged)
            n = copy_from_spool(q, records, max);
    }
    q->stats.copied += n;
    pthread_mutex_unlock(&q->lock);
    return n;
}

/* ---- marks, waiting, the end ---- */

bool crier_queue_is_empty(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool empty = pending(q) == 0;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

bool crier_queue_is_full(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool full = q->config.overflow == CRIER_BLOCK && pending(q) >= q->config.size;
    pthread_mutex_unlock(&q->lock);
    return full;
}

bool crier_queue_has_room(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool room = pending(q) <= q->config.size / 2;
    pthread_mutex_unlock(&q->lock);
    return room;
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

/* Logged: what the spool could not take before gets a last chance. */
static void save_tail(struct crier_queue *q)
{
    struct crier_err err = {0};
    size_t n = unspooled(q);
    q->spool_next = 0;
    for (size_t i = 0; i < n; i++) {
        if (spool_add(q, memory_at(q, i), &err) != CRIER_OK) {
            lose(q, n - i, err.text);
            break;
        }
    }
}

static void save(struct crier_queue *q)
{
    struct crier_err err = {0};
    if (q->logged) {
        save_tail(q);
    } else if (unspooled(q) > 0) {
        if (!may_spool(q))
            lose(q, unspooled(q), "the sink has been stopped");
        else if (spool_memory(q, &err) != CRIER_OK)
            lose(q, unspooled(q), err.text);
    }
}

void crier_queue_save(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    if (!q->closed) {
        save(q);
        q->closed = true;
        q->left = spooled(q);
        crier_spool_close(q->spool);
        q->spool = NULL;
        while (q->count > 0)
            crier_record_unref(ring_take(q));
        /* What is in flight is freed with the queue: a driver that hangs may be looking at it. */
        q->in_spool = q->flight;
        q->tail = q->copied = 0;
        pthread_cond_signal(&q->empty);
    }
    pthread_mutex_unlock(&q->lock);
}

void crier_queue_stats(struct crier_queue *q, struct crier_queue_stats *out)
{
    struct crier_spool_stats spool = {0};
    pthread_mutex_lock(&q->lock);
    *out = q->stats;
    out->queued = unspooled(q);
    out->spilled = q->spool ? spooled(q) : q->left;
    if (q->spool)
        crier_spool_stats(q->spool, &spool);
    out->spool_bytes = spool.bytes;
    pthread_mutex_unlock(&q->lock);
}

bool crier_queue_is_overfull(struct crier_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool news = q->full_news;
    q->full_news = false;
    pthread_mutex_unlock(&q->lock);
    return news;
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
