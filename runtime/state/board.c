/* SPDX-License-Identifier: MIT */
#include "state/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"

enum { VERSION = 1, SLOT = 1024, FIRST_SLOTS = 63 };
static const char magic[4] = {'C', 'R', 'B', 'D'};

struct seen {
    uint64_t counter;
    int64_t wall;
    uint32_t crc, unused;
};

struct header {
    char magic[4];
    uint32_t version;
    struct seen seen[2];
};

struct half {
    uint64_t counter; /* 0: never written */
    struct crier_board_entry entry;
    uint32_t crc, unused;
};

struct slot {
    uint32_t used, unused;
    char name[CRIER_BOARD_NAME + 1];
    struct half halves[2];
};
_Static_assert(sizeof(struct slot) <= SLOT, "a slot's contents fit");
_Static_assert(sizeof(struct header) <= SLOT, "the header fits");

struct crier_board {
    int fd;
    char *map;
    size_t size;
    uint32_t count; /* slots */
    uint32_t free;  /* no slot below it is empty */
    unsigned damaged;
    bool fresh, read_only;
};

static struct header *header_of(const struct crier_board *b)
{
    return (struct header *)b->map;
}

static struct slot *slot_of(const struct crier_board *b, uint32_t i)
{
    return (struct slot *)(b->map + ((size_t)i + 1) * SLOT);
}

/* Stores to the map in the order in which they stand here: a kill between two of them must find
 * the earlier one. */
static void ordered(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* --- checks ------------------------------------------------------------------------------- */

static uint32_t half_crc(const struct slot *s, const struct half *h)
{
    uint32_t crc = crier_crc32c(~0u, s->name, strlen(s->name));
    return ~crier_crc32c(crc, h, offsetof(struct half, crc));
}

static bool half_good(const struct slot *s, const struct half *h)
{
    return h->counter && h->crc == half_crc(s, h) && h->entry.live_count <= CRIER_BOARD_LIVE;
}

/* The newest valid half, or NULL. */
static const struct half *newest(const struct slot *s)
{
    const struct half *a = &s->halves[0], *b = &s->halves[1];
    bool a_good = half_good(s, a), b_good = half_good(s, b);
    if (a_good && b_good)
        return a->counter > b->counter ? a : b;
    return a_good ? a : b_good ? b : NULL;
}

static uint32_t seen_crc(const struct seen *s)
{
    return ~crier_crc32c(~0u, s, offsetof(struct seen, crc));
}

static const struct seen *newest_seen(const struct crier_board *b)
{
    const struct seen *best = NULL;
    for (int i = 0; i < 2; i++) {
        const struct seen *s = &header_of(b)->seen[i];
        if (s->counter && s->crc == seen_crc(s) && (!best || s->counter > best->counter))
            best = s;
    }
    return best;
}

/* --- the file ----------------------------------------------------------------------------- */

static int fail(struct crier_err *err, const char *path, const char *what)
{
    return crier_err_sys(err, CRIER_EIO, errno, "cannot %s '%s'", what, path);
}

static int allocate(int fd, size_t size)
{
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -1;
    errno = posix_fallocate(fd, 0, (off_t)size);
    return errno ? -1 : 0;
}

static int map_file(struct crier_board *b, const char *path, size_t size, struct crier_err *err)
{
    int prot = b->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *map = mmap(NULL, size, prot, MAP_SHARED, b->fd, 0);
    if (map == MAP_FAILED)
        return fail(err, path, "map");
    b->map = map;
    b->size = size;
    b->count = (uint32_t)(size / SLOT) - 1;
    return 0;
}

static int make(struct crier_board *b, const char *path, struct crier_err *err)
{
    size_t size = (FIRST_SLOTS + 1) * SLOT;
    b->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (b->fd < 0)
        return fail(err, path, "create");
    if (allocate(b->fd, size) != 0)
        return fail(err, path, "allocate");
    int rc = map_file(b, path, size, err);
    if (rc != 0)
        return rc;
    header_of(b)->version = VERSION;
    ordered();
    memcpy(header_of(b)->magic, magic, sizeof magic);
    b->fresh = true;
    return 0;
}

/* 1: it is no board. */
static int take_up(struct crier_board *b, const char *path, struct crier_err *err)
{
    struct stat st;
    if (fstat(b->fd, &st) != 0)
        return fail(err, path, "look at");
    if (st.st_size < 2 * SLOT)
        return 1;
    int rc = map_file(b, path, (size_t)st.st_size / SLOT * SLOT, err);
    if (rc != 0)
        return rc;
    if (memcmp(header_of(b)->magic, magic, sizeof magic) != 0)
        return 1;
    if (header_of(b)->version != VERSION)
        return crier_err_set(err, CRIER_EVERSION,
                             "'%s' is of version %u, this crier knows %d: use the crier that made "
                             "it, or move it away to start afresh",
                             path, header_of(b)->version, VERSION);
    /* A file that a full disk cut short in a growth may have holes. */
    if (!b->read_only && allocate(b->fd, b->size) != 0)
        return fail(err, path, "allocate");
    return 0;
}

static void forget(struct crier_board *b)
{
    if (b->map)
        munmap(b->map, b->size);
    if (b->fd >= 0)
        close(b->fd);
    b->map = NULL;
    b->fd = -1;
}

/* A half that a kill left unfinished counts as never written, so that the next put goes there. */
static void mend(struct crier_board *b)
{
    for (int i = 0; i < 2; i++) {
        struct seen *seen = &header_of(b)->seen[i];
        if (seen->crc != seen_crc(seen))
            seen->counter = 0;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct slot *s = slot_of(b, i);
        bool named = memchr(s->name, '\0', sizeof s->name);
        for (int k = 0; s->used && named && k < 2; k++) {
            if (!half_good(s, &s->halves[k]))
                s->halves[k].counter = 0;
        }
        if (!s->used || (named && newest(s)))
            continue;
        b->damaged++;
        memset(s, 0, sizeof *s);
    }
}

int crier_board_open(const char *folder, bool read_only, struct crier_board **out,
                     struct crier_err *err)
{
    struct crier_board *b = crier_calloc(1, sizeof *b);
    char *path = crier_path_join(folder, "tasks.board"), *old = NULL;
    b->read_only = read_only;
    b->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    int rc;
    if (b->fd >= 0)
        rc = take_up(b, path, err);
    else if (errno == ENOENT)
        rc = 1;
    else
        rc = fail(err, path, "open");
    if (rc == 1 && read_only) {
        rc = crier_err_set(err, CRIER_ENOTFOUND, "there is no board at '%s'", path);
    } else if (rc == 1) {
        bool there = b->fd >= 0;
        forget(b);
        old = crier_asprintf("%s.old", path);
        rc = there && rename(path, old) != 0 ? fail(err, path, "move away") : make(b, path, err);
    }
    if (rc == 0) {
        if (!read_only)
            mend(b);
        *out = b;
    } else {
        forget(b);
        free(b);
    }
    free(path);
    free(old);
    return rc;
}

void crier_board_close(struct crier_board *b)
{
    if (!b)
        return;
    forget(b);
    free(b);
}

bool crier_board_fresh(const struct crier_board *b)
{
    return b->fresh;
}

unsigned crier_board_damaged(const struct crier_board *b)
{
    return b->damaged;
}

/* --- slots -------------------------------------------------------------------------------- */

void crier_board_each(struct crier_board *b,
                      void (*fn)(void *arg, uint32_t slot, const char *name,
                                 const struct crier_board_entry *entry),
                      void *arg)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct slot *s = slot_of(b, i);
        if (!s->used || !memchr(s->name, '\0', sizeof s->name))
            continue;
        /* A copy: fn may make the board grow, and a reader's host may write meanwhile. */
        struct slot copy = *s;
        const struct half *h = newest(&copy);
        if (h)
            fn(arg, i, copy.name, &h->entry);
    }
}

void crier_board_put(struct crier_board *b, uint32_t i, const struct crier_board_entry *entry)
{
    struct slot *s = slot_of(b, i);
    bool second = s->halves[0].counter > s->halves[1].counter;
    struct half *to = &s->halves[second];
    uint64_t counter = s->halves[!second].counter + 1;
    to->crc = 0;
    ordered();
    to->counter = counter;
    to->entry = *entry;
    to->unused = 0;
    ordered();
    to->crc = half_crc(s, to);
}

static int grow(struct crier_board *b, struct crier_err *err)
{
    size_t size = ((size_t)b->count * 2 + 2) * SLOT;
    if (allocate(b->fd, size) != 0)
        return crier_err_sys(err, CRIER_EIO, errno, "tasks.board cannot grow");
    void *map = mremap(b->map, b->size, size, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return crier_err_sys(err, CRIER_EIO, errno, "tasks.board cannot be mapped");
    b->map = map;
    b->size = size;
    b->count = (uint32_t)(size / SLOT) - 1;
    return 0;
}

uint32_t crier_board_add(struct crier_board *b, const char *name,
                         const struct crier_board_entry *entry, struct crier_err *err)
{
    while (b->free < b->count && slot_of(b, b->free)->used)
        b->free++;
    if (b->free == b->count && grow(b, err) != 0)
        return CRIER_BOARD_NONE;
    uint32_t i = b->free;
    struct slot *s = slot_of(b, i);
    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    crier_board_put(b, i, entry);
    ordered();
    s->used = 1;
    return i;
}

void crier_board_remove(struct crier_board *b, uint32_t i)
{
    slot_of(b, i)->used = 0;
    if (i < b->free)
        b->free = i;
}

void crier_board_see(struct crier_board *b, int64_t wall)
{
    struct seen *seen = header_of(b)->seen;
    bool second = seen[0].counter > seen[1].counter;
    struct seen *to = &seen[second], made = {.counter = seen[!second].counter + 1, .wall = wall};
    made.crc = seen_crc(&made);
    to->crc = 0;
    ordered();
    to->counter = made.counter;
    to->wall = made.wall;
    ordered();
    to->crc = made.crc;
}

int64_t crier_board_seen(const struct crier_board *b)
{
    const struct seen *s = newest_seen(b);
    return s ? s->wall : 0;
}
