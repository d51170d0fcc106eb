/* SPDX-License-Identifier: MIT */
#include "sink/spool_ahead.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/worker.h"

#define PAGE 4096u
#define RETRY CRIER_S /* after a full disk */

struct dirty {
    struct crier_segment_file file;
    size_t from, to; /* not on the disk yet */
};

struct crier_ahead {
    struct crier_ahead *next;
    char *folder;
    size_t segment_bytes;
    int64_t sync, sync_at, make_at;
    _Atomic unsigned *next_number;
    void *cursor;
    bool want;                       /* a segment shall be made ready */
    bool busy;                       /* the helper is at work for it, without the lock */
    struct crier_segment_file ready; /* map NULL: none */
    struct crier_segment_file *retired;
    size_t retired_count, retired_cap;
    struct dirty *dirty; /* closed segments */
    size_t dirty_count, dirty_cap;
    struct crier_segment_file tail; /* map NULL: none */
    size_t synced;                  /* of the tail */
    _Atomic size_t written;         /* of the tail */
    atomic_bool quiet;              /* nothing to sync: the next write wakes the helper */
};

/* One lock for all: it is held for moments only, and by an owner once a segment. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct crier_ahead *list;
static struct crier_worker *worker;
static unsigned users;

static char *path_of(const struct crier_ahead *a, unsigned number)
{
    return crier_asprintf("%s/%08u.spool", a->folder, number);
}

static void remove_file(const struct crier_ahead *a, const struct crier_segment_file *file)
{
    char *path = path_of(a, file->number);
    munmap(file->map, file->size);
    unlink(path);
    free(path);
}

/* ---- the helper's work, without the lock ---- */

/* The first store into a page costs a fault, which is the helper's then. */
static void touch(char *map, size_t size)
{
    for (size_t at = PAGE; at < size; at += PAGE)
        ((volatile char *)map)[at] = 0;
}

/* A finished segment becomes an empty one: its pages are there already. Its number is below the
 * cursor until it is renamed, so that nobody reads it half way. */
static bool use_again(const struct crier_ahead *a, struct crier_segment_file *file)
{
    unsigned number = atomic_fetch_add(a->next_number, 1);
    char *from = path_of(a, file->number), *to = path_of(a, number);
    memset(file->map, 0, file->size);
    crier_segment_begin(file->map);
    bool good = rename(from, to) == 0;
    if (good)
        file->number = number;
    free(from);
    free(to);
    return good;
}

static bool make(const struct crier_ahead *a, struct crier_segment_file *out)
{
    if (crier_segment_create(a->folder, atomic_fetch_add(a->next_number, 1), a->segment_bytes, out,
                             NULL) != CRIER_OK)
        return false;
    touch(out->map, out->size);
    return true;
}

static void sync_range(const struct crier_segment_file *file, size_t from, size_t to)
{
    from = from / PAGE * PAGE;
    if (to > from)
        msync(file->map + from, to - from, MS_SYNC);
}

/* ---- with the lock ---- */

static bool is_dirty(const struct crier_ahead *a)
{
    return a->dirty_count > 0 || (a->tail.map && atomic_load(&a->written) > a->synced);
}

static bool has_work(const struct crier_ahead *a, int64_t now)
{
    if (a->busy)
        return false;
    if ((a->want && !a->ready.map && now >= a->make_at) || a->retired_count > 0)
        return true;
    return a->sync && now >= a->sync_at && is_dirty(a);
}

static void make_ready(struct crier_ahead *a, int64_t now)
{
    struct crier_segment_file file = {0};
    bool good = false, again = false;
    if (a->retired_count > 0 && a->retired[a->retired_count - 1].size == a->segment_bytes) {
        file = a->retired[--a->retired_count];
        again = true;
    }
    pthread_mutex_unlock(&lock);
    if (again && !(good = use_again(a, &file)))
        remove_file(a, &file);
    if (!good)
        good = make(a, &file);
    pthread_mutex_lock(&lock);
    if (good)
        a->ready = file;
    else
        a->make_at = now + RETRY;
}

static void remove_retired(struct crier_ahead *a)
{
    while (a->retired_count > 0) {
        struct crier_segment_file file = a->retired[--a->retired_count];
        pthread_mutex_unlock(&lock);
        remove_file(a, &file);
        pthread_mutex_lock(&lock);
    }
}

/* What is retired meanwhile stays mapped: it is only put on a list. */
static void sync_all(struct crier_ahead *a, int64_t now)
{
    struct dirty *dirty = a->dirty;
    size_t count = a->dirty_count, to = atomic_load(&a->written), from = a->synced;
    struct crier_segment_file tail = a->tail;
    a->dirty = NULL;
    a->dirty_count = a->dirty_cap = 0;
    a->synced = to;
    a->sync_at = now + a->sync;
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++)
        sync_range(&dirty[i].file, dirty[i].from, dirty[i].to);
    if (tail.map)
        sync_range(&tail, from, to);
    msync(a->cursor, PAGE, MS_SYNC);
    free(dirty);
    pthread_mutex_lock(&lock);
}

static void serve(struct crier_ahead *a, int64_t now)
{
    a->busy = true;
    if (a->want && !a->ready.map && now >= a->make_at)
        make_ready(a, now);
    remove_retired(a);
    if (a->sync && now >= a->sync_at && is_dirty(a))
        sync_all(a, now);
    a->busy = false;
    pthread_cond_broadcast(&idle);
}

static int64_t step(void *arg, int64_t now)
{
    int64_t due = CRIER_NEVER;
    struct crier_ahead *a;
    (void)arg;
    pthread_mutex_lock(&lock);
    do {
        for (a = list; a && !has_work(a, now); a = a->next)
            ;
        if (a)
            serve(a, now); /* the list may have changed */
    } while (a);
    for (a = list; a; a = a->next) {
        if (a->sync && !is_dirty(a)) {
            atomic_store(&a->quiet, true);
            if (a->sync_at <= now)
                a->sync_at = now + a->sync;
        }
        if (a->sync && is_dirty(a) && a->sync_at < due)
            due = a->sync_at;
        if (a->want && !a->ready.map && a->make_at < due)
            due = a->make_at;
    }
    pthread_mutex_unlock(&lock);
    return due;
}

/* ---- the owner's side ---- */

struct crier_ahead *crier_ahead_new(struct crier_loop *loop, const char *folder,
                                    size_t segment_bytes, int64_t sync,
                                    _Atomic unsigned *next_number, void *cursor)
{
    struct crier_ahead *a = crier_calloc(1, sizeof *a);
    a->folder = crier_strdup(folder);
    a->segment_bytes = segment_bytes;
    a->sync = sync;
    a->sync_at = crier_loop_now(loop) + sync;
    a->next_number = next_number;
    a->cursor = cursor;
    a->want = true;
    pthread_mutex_lock(&lock);
    a->next = list;
    list = a;
    if (users++ == 0)
        worker = crier_worker_start(loop, "spool", step, NULL);
    else
        crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
    return a;
}

void crier_ahead_free(struct crier_ahead *a)
{
    struct crier_worker *last = NULL;
    if (!a)
        return;
    pthread_mutex_lock(&lock);
    a->want = false;
    while (a->busy)
        pthread_cond_wait(&idle, &lock);
    struct crier_ahead **at = &list;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    if (--users == 0)
        last = worker;
    pthread_mutex_unlock(&lock);
    if (last)
        crier_worker_stop(last);
    if (a->ready.map)
        remove_file(a, &a->ready);
    for (size_t i = 0; i < a->retired_count; i++)
        remove_file(a, &a->retired[i]);
    free(a->retired);
    free(a->dirty);
    free(a->folder);
    free(a);
}

void crier_ahead_set_sync(struct crier_ahead *a, int64_t sync)
{
    pthread_mutex_lock(&lock);
    a->sync_at += sync - a->sync;
    a->sync = sync;
    crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
}

static void retire(struct crier_ahead *a, const struct crier_segment_file *file)
{
    if (a->retired_count == a->retired_cap) {
        a->retired_cap = a->retired_cap ? a->retired_cap * 2 : 8;
        a->retired = crier_realloc(a->retired, a->retired_cap * sizeof *a->retired);
    }
    a->retired[a->retired_count++] = *file;
}

bool crier_ahead_take(struct crier_ahead *a, size_t size, unsigned after,
                      struct crier_segment_file *out)
{
    pthread_mutex_lock(&lock);
    bool good = a->ready.map && a->ready.size >= size && a->ready.number > after;
    if (good) {
        *out = a->ready;
        a->ready = (struct crier_segment_file){0};
    } else if (a->ready.map && a->ready.number <= after) {
        retire(a, &a->ready);
        a->ready = (struct crier_segment_file){0};
    }
    a->want = true;
    crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
    return good;
}

void crier_ahead_tail(struct crier_ahead *a, const struct crier_segment_file *file)
{
    pthread_mutex_lock(&lock);
    size_t written = atomic_load(&a->written);
    if (a->sync && a->tail.map && written > a->synced) {
        if (a->dirty_count == a->dirty_cap) {
            a->dirty_cap = a->dirty_cap ? a->dirty_cap * 2 : 8;
            a->dirty = crier_realloc(a->dirty, a->dirty_cap * sizeof *a->dirty);
        }
        a->dirty[a->dirty_count++] = (struct dirty){a->tail, a->synced, written};
    }
    a->tail = file ? *file : (struct crier_segment_file){0};
    a->synced = 0;
    atomic_store(&a->written, 0);
    crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
}

void crier_ahead_written(struct crier_ahead *a, size_t end)
{
    atomic_store(&a->written, end);
    if (!atomic_load_explicit(&a->quiet, memory_order_relaxed) ||
        !atomic_exchange(&a->quiet, false))
        return;
    pthread_mutex_lock(&lock);
    crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
}

void crier_ahead_retire(struct crier_ahead *a, const struct crier_segment_file *file)
{
    pthread_mutex_lock(&lock);
    if (a->tail.map == file->map)
        a->tail = (struct crier_segment_file){0};
    for (size_t i = 0; i < a->dirty_count; i++)
        if (a->dirty[i].file.map == file->map)
            a->dirty[i--] = a->dirty[--a->dirty_count];
    retire(a, file);
    crier_worker_wake(worker);
    pthread_mutex_unlock(&lock);
}
