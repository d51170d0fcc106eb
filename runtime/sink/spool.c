/* SPDX-License-Identifier: MIT */
#include "sink/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "sink/spool_ahead.h"

#define VERSION 1
#define SEGMENT_MAGIC "criersp"
#define CURSOR_MAGIC "criercu"
#define CURSOR_SIZE 4096
/* The first number leaves room below it for segments that are put in front. */
#define FIRST_NUMBER 10000000u
#define LAST_NUMBER 99999999u
#define PAGE 4096u
#define MAX_BYTES (1ULL << 30)

struct header {
    char magic[7];
    unsigned char version;
    uint64_t position; /* see pack */
};

struct cursor {
    struct header header;
    uint64_t batch;  /* see pack_batch */
    uint64_t copied; /* a position: entries before it have been copied */
    uint64_t owed;   /* see store_owed */
};

struct entry {
    uint32_t len, crc;
    uint64_t seq;
};

struct segment {
    unsigned number;
    char *map;
    size_t size;
    size_t start;     /* offset of the first entry not acknowledged */
    size_t end;       /* offset behind the last one */
    uint64_t entries; /* between the two */
    bool writable, bad;
};

struct crier_spool {
    char *folder;
    size_t segment_bytes;
    uint64_t max_bytes, bytes;
    int cursor_fd;
    bool look;
    struct cursor *cursor;
    struct segment *segments; /* in order of their numbers */
    size_t count, cap;
    size_t read_segment, read_at; /* index and offset of the next entry to read */
    _Atomic unsigned next_number; /* the helper takes some, too */
    struct crier_ahead *ahead;    /* NULL: no helper */
    unsigned highest;             /* number that was ever written to */
    uint64_t entries;
    uint64_t copied; /* of those, from the first one on */
    size_t batch;    /* entries of the batch that was in flight, as last marked */
    size_t damaged;
    uint64_t skipped;
    uint64_t lost;
    char fault[256];
};

/* ---- checksums ---- */

/* Of length and seq too: a flipped bit in them must not go unseen. */
static uint32_t entry_crc(uint32_t len, uint64_t seq, const void *data)
{
    uint32_t crc = crier_crc32c(~0u, &len, sizeof len);
    crc = crier_crc32c(crc, &seq, sizeof seq);
    return ~crier_crc32c(crc, data, len);
}

/* ---- files ---- */

static size_t aligned(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static size_t entry_size(size_t len)
{
    return aligned(sizeof(struct entry) + len, 8);
}

static char *path_of(const char *folder, unsigned number)
{
    return crier_asprintf("%s/%08u.spool", folder, number);
}

static char *segment_path(const struct crier_spool *spool, unsigned number)
{
    return path_of(spool->folder, number);
}

/* Magic and version in one store: a kill leaves no half of them. */
static void put_magic(struct header *header, const char *magic)
{
    struct header made = {.version = VERSION};
    uint64_t word;
    memcpy(made.magic, magic, sizeof made.magic);
    memcpy(&word, &made, sizeof word);
    __atomic_store_n((uint64_t *)header, word, __ATOMIC_RELEASE);
}

/* Blocks for the whole file: a store into the map can then not meet a full disk. */
static int allocate(int fd, size_t size)
{
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return errno;
    return posix_fallocate(fd, 0, (off_t)size);
}

void crier_segment_begin(char *map)
{
    put_magic((struct header *)map, SEGMENT_MAGIC);
}

int crier_segment_create(const char *folder, unsigned number, size_t size,
                         struct crier_segment_file *out, struct crier_err *err)
{
    char *path = path_of(folder, number);
    char *map = MAP_FAILED;
    int rc = CRIER_OK, sys;

    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot create %s", path);
        goto out;
    }
    sys = allocate(fd, size);
    if (sys == 0) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        sys = map == MAP_FAILED ? errno : 0;
    }
    if (sys) {
        rc = crier_err_sys(err, CRIER_EIO, sys, "cannot get %zu bytes for %s", size, path);
        unlink(path);
        goto out;
    }
    crier_segment_begin(map);
    *out = (struct crier_segment_file){.number = number, .map = map, .size = size};
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static struct segment empty_segment(const struct crier_segment_file *file)
{
    return (struct segment){.number = file->number,
                            .map = file->map,
                            .size = file->size,
                            .writable = true,
                            .start = sizeof(struct header),
                            .end = sizeof(struct header)};
}

/* The file goes, or is set aside when something in it could not be read. */
static void remove_segment(struct crier_spool *spool, struct segment *segment)
{
    if (spool->ahead && segment->map && !segment->bad) {
        crier_ahead_retire(spool->ahead, &(struct crier_segment_file){segment->number, segment->map,
                                                                      segment->size});
        return;
    }
    char *path = segment_path(spool, segment->number);
    if (segment->map)
        munmap(segment->map, segment->size);
    if (spool->look) {
        /* not ours to tidy up */
    } else if (segment->bad) {
        char *aside = crier_asprintf("%s.bad", path);
        if (rename(path, aside) != 0)
            unlink(path);
        free(aside);
    } else {
        unlink(path);
    }
    free(path);
}

static bool zeros(const char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void damaged(struct crier_spool *spool, struct segment *segment, size_t at)
{
    size_t last = segment->size;
    while (last > at && segment->map[last - 1] == 0)
        last--;
    segment->bad = true;
    spool->damaged++;
    spool->skipped += last - at;
    snprintf(spool->fault, sizeof spool->fault,
             "%s/%08u.spool fails its check at byte %zu: %zu bytes are skipped, the file is kept "
             "with .bad behind its name",
             spool->folder, segment->number, at, last - at);
}

/* The whole entry at an offset, or NULL. */
static const struct entry *entry_at(const struct segment *segment, size_t at)
{
    if (at + sizeof(struct entry) > segment->size)
        return NULL;
    const struct entry *entry = (const struct entry *)(segment->map + at);
    if (entry->len == 0 || entry->len > segment->size - at - sizeof *entry ||
        entry_crc(entry->len, entry->seq, entry + 1) != entry->crc)
        return NULL;
    return entry;
}

/* Without a length this is where the log ends, with at most an append that was interrupted behind
 * it; a whole entry further on means that the length was lost. */
static bool is_end(const struct segment *segment, size_t at)
{
    if (at + sizeof(struct entry) > segment->size)
        return true;
    if (((const struct entry *)(segment->map + at))->len != 0)
        return false;
    if (zeros(segment->map + at, segment->size - at))
        return true;
    for (at += 8; at + sizeof(struct entry) <= segment->size; at += 8)
        if (entry_at(segment, at))
            return false;
    return true;
}

/* Checks every entry and counts those from `start` on. */
static void scan(struct crier_spool *spool, struct segment *segment, size_t start)
{
    const struct entry *entry;
    size_t at = sizeof(struct header);
    segment->start = 0;
    while ((entry = entry_at(segment, at))) {
        if (at >= start && segment->entries++ == 0)
            segment->start = at;
        at += entry_size(entry->len);
    }
    segment->end = at;
    if (segment->entries == 0)
        segment->start = at;
    if (!is_end(segment, at))
        damaged(spool, segment, at);
}

/* ---- the list of segments and the cursor ---- */

/* A position is one word, so that storing it is atomic: 27 bits of number, 29 of offset / 8, and a
 * byte of checksum, since a wrong one would skip entries in silence. */
static uint64_t pack(uint64_t number, uint64_t offset)
{
    uint64_t bits = number << 29 | offset >> 3;
    return bits << 8 | (crier_crc32c(~0u, &bits, sizeof bits) & 255);
}

static bool unpack(uint64_t position, uint64_t *number, size_t *offset)
{
    *number = position >> 37;
    *offset = (position >> 8 & ((1u << 29) - 1)) << 3;
    return pack(*number, *offset) == position;
}

/* How many entries from the cursor on are the batch in flight: 24 bits of number and, so that it
 * means nothing once the cursor has moved on without it, a checksum of the two. */
static uint64_t pack_batch(size_t n, uint64_t position)
{
    uint64_t bits[2] = {n, position};
    uint64_t low = crier_crc32c(~0u, bits, sizeof bits), high = crier_crc32c(~0u, bits + 1, 8) & 255;
    return (uint64_t)n << 40 | high << 32 | low;
}

static void store_batch(struct crier_spool *spool)
{
    uint64_t position = spool->cursor->header.position;
    __atomic_store_n(&spool->cursor->batch, pack_batch(spool->batch, position), __ATOMIC_RELEASE);
}

static uint64_t pack_owed(uint64_t n)
{
    return n << 8 | (crier_crc32c(~0u, &n, sizeof n) & 255);
}

/* The entries that must be found at the next opening. Stored behind what adds one and before what
 * takes one away, so that a kill between the two makes it too small, never too large. */
static void store_owed(struct crier_spool *spool)
{
    __atomic_store_n(&spool->cursor->owed, pack_owed(spool->entries), __ATOMIC_RELEASE);
}

static void store_cursor(struct crier_spool *spool)
{
    store_owed(spool);
    uint64_t position = pack(atomic_load(&spool->next_number), sizeof(struct header));
    for (size_t i = 0; i < spool->count; i++)
        if (spool->segments[i].entries > 0 || spool->segments[i].writable) {
            position = pack(spool->segments[i].number, spool->segments[i].start);
            break;
        }
    __atomic_store_n(&spool->cursor->header.position, position, __ATOMIC_RELEASE);
    store_batch(spool);
}

static struct segment *insert_segment(struct crier_spool *spool, size_t i,
                                      const struct segment *segment)
{
    if (spool->count == spool->cap) {
        spool->cap = spool->cap ? spool->cap * 2 : 8;
        spool->segments = crier_realloc(spool->segments, spool->cap * sizeof *spool->segments);
    }
    memmove(&spool->segments[i + 1], &spool->segments[i],
            (spool->count - i) * sizeof *spool->segments);
    spool->segments[i] = *segment;
    spool->count++;
    spool->bytes += segment->size;
    spool->entries += segment->entries;
    return &spool->segments[i];
}

/* The entries of the segments before the i-th. */
static uint64_t entries_before(const struct crier_spool *spool, size_t i)
{
    uint64_t n = 0;
    while (i-- > 0)
        n += spool->segments[i].entries;
    return n;
}

static struct segment take_out(struct crier_spool *spool, size_t i)
{
    struct segment segment = spool->segments[i];
    spool->count--;
    memmove(&spool->segments[i], &spool->segments[i + 1],
            (spool->count - i) * sizeof *spool->segments);
    spool->bytes -= segment.size;
    spool->entries -= segment.entries;
    return segment;
}

/* Drop what is finished at the front. The cursor moves on before a file goes: a file below the
 * cursor is finished, whoever finds it. */
static void trim(struct crier_spool *spool)
{
    while (spool->count && spool->segments[0].entries == 0 && !spool->segments[0].writable) {
        struct segment segment = take_out(spool, 0);
        store_cursor(spool);
        remove_segment(spool, &segment);
        if (spool->read_segment > 0)
            spool->read_segment--;
        else
            spool->read_at = spool->count ? spool->segments[0].start : 0;
    }
}

static void seal(struct crier_spool *spool)
{
    if (spool->count)
        spool->segments[spool->count - 1].writable = false;
    if (spool->ahead)
        crier_ahead_tail(spool->ahead, NULL);
    trim(spool);
}

/* ---- opening ---- */

static int newer(struct crier_err *err, const char *path, unsigned version)
{
    return crier_err_set(err, CRIER_EVERSION,
                         "%s has version %u, this crier reads %d: use a newer crier, or move the "
                         "folder away",
                         path, version, VERSION);
}

/* Who only looks has a copy of each page that it writes to. */
static int sharing(const struct crier_spool *spool)
{
    return spool->look ? MAP_PRIVATE : MAP_SHARED;
}

static int open_cursor(struct crier_spool *spool, struct crier_err *err)
{
    char *path = crier_path_join(spool->folder, "cursor");
    struct stat st;
    int rc = CRIER_OK, sys = 0;

    int flags = spool->look ? O_RDONLY : O_RDWR | O_CREAT;
    spool->cursor_fd = open(path, flags | O_CLOEXEC, 0600);
    if (spool->cursor_fd < 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", path);
        goto out;
    }
    if (!spool->look && flock(spool->cursor_fd, LOCK_EX | LOCK_NB) != 0) {
        rc = crier_err_set(err, CRIER_EBUSY, "%s is in use", spool->folder);
        goto out;
    }
    if (fstat(spool->cursor_fd, &st) != 0 || (st.st_size < CURSOR_SIZE))
        sys = spool->look ? ENODATA : allocate(spool->cursor_fd, CURSOR_SIZE);
    if (sys == 0) {
        void *map =
            mmap(NULL, CURSOR_SIZE, PROT_READ | PROT_WRITE, sharing(spool), spool->cursor_fd, 0);
        sys = map == MAP_FAILED ? errno : 0;
        spool->cursor = sys ? NULL : map;
    }
    if (sys) {
        rc = crier_err_sys(err, CRIER_EIO, sys, "cannot get %d bytes for %s", CURSOR_SIZE, path);
        goto out;
    }
    struct header *cursor = &spool->cursor->header;
    uint64_t number;
    size_t offset;
    bool ours = memcmp(cursor->magic, CURSOR_MAGIC, sizeof cursor->magic) == 0;
    if (ours && cursor->version > VERSION) {
        rc = newer(err, path, cursor->version);
    } else if (!ours || cursor->version != VERSION || !unpack(cursor->position, &number, &offset)) {
        /* From the oldest entry on again: twice is better than never. */
        if (!zeros((const char *)cursor, sizeof(uint64_t)))
            snprintf(spool->fault, sizeof spool->fault,
                     "%s was damaged: what is in %s is written again from its beginning", path,
                     spool->folder);
        __atomic_store_n(&cursor->position, pack(0, 0), __ATOMIC_RELEASE);
        put_magic(cursor, CURSOR_MAGIC);
    }
out:
    free(path);
    return rc;
}

static int compare_numbers(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static int list_numbers(const struct crier_spool *spool, unsigned **numbers, size_t *count,
                        struct crier_err *err)
{
    size_t cap = 0;
    struct dirent *entry;
    DIR *dir = opendir(spool->folder);
    if (!dir)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot read the folder %s", spool->folder);
    while ((entry = readdir(dir))) {
        unsigned number;
        char rest[8];
        if (strlen(entry->d_name) != 14 || sscanf(entry->d_name, "%8u%7s", &number, rest) != 2 ||
            strcmp(rest, ".spool") != 0)
            continue;
        if (*count == cap) {
            cap = cap ? cap * 2 : 8;
            *numbers = crier_realloc(*numbers, cap * sizeof **numbers);
        }
        (*numbers)[(*count)++] = number;
    }
    closedir(dir);
    if (*count)
        qsort(*numbers, *count, sizeof **numbers, compare_numbers);
    return CRIER_OK;
}

/* Maps one file. A file too short for a header, or without one, holds nothing: size 0. */
static int map_segment(struct crier_spool *spool, unsigned number, struct segment *out,
                       struct crier_err *err)
{
    char *path = segment_path(spool, number);
    struct stat st;
    int rc = CRIER_OK;
    int fd = open(path, (spool->look ? O_RDONLY : O_RDWR) | O_CLOEXEC);

    *out = (struct segment){.number = number};
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", path);
        goto out;
    }
    if ((size_t)st.st_size < sizeof(struct header))
        goto out;
    out->map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, sharing(spool), fd, 0);
    if (out->map == MAP_FAILED) {
        out->map = NULL;
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot map %s", path);
        goto out;
    }
    out->size = (size_t)st.st_size;
    const struct header *header = (const struct header *)out->map;
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof header->magic) == 0 &&
        header->version > VERSION)
        rc = newer(err, path, header->version);
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static void load(struct crier_spool *spool, struct segment *segment, size_t start)
{
    const struct header *header = (const struct header *)segment->map;
    segment->start = segment->end = sizeof *header;
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof header->magic) == 0 &&
        header->version == VERSION)
        scan(spool, segment, start);
    else if (!zeros(segment->map, segment->size))
        damaged(spool, segment, 0);
}

/* What the cursor says beside its position; words that make no sense say nothing. */
static void load_words(struct crier_spool *spool)
{
    uint64_t number, word = spool->cursor->batch;
    size_t at;
    if (pack_batch((size_t)(word >> 40), spool->cursor->header.position) == word &&
        word >> 40 <= spool->entries)
        spool->batch = (size_t)(word >> 40);
    if (!unpack(spool->cursor->copied, &number, &at))
        return;
    for (size_t i = 0; i < spool->count; i++) {
        const struct segment *segment = &spool->segments[i];
        if (segment->number > number)
            break;
        if (segment->number < number)
            spool->copied += segment->entries;
        for (size_t to = segment->start; segment->number == number && to < segment->end && to < at;
             spool->copied++)
            to += entry_size(((const struct entry *)(segment->map + to))->len);
    }
}

/* Damage is told already, and whoever only looks may do so while the owner takes entries away. */
static void look_for_lost(struct crier_spool *spool)
{
    uint64_t owed = spool->cursor->owed >> 8;
    if (spool->look)
        return;
    if (pack_owed(owed) == spool->cursor->owed && owed > spool->entries && spool->damaged == 0) {
        spool->lost = owed - spool->entries;
        snprintf(spool->fault, sizeof spool->fault,
                 "%s lacks %llu of the %llu records that it held: a file of it has been removed or "
                 "cut off",
                 spool->folder, (unsigned long long)spool->lost, (unsigned long long)owed);
    }
    store_owed(spool);
}

/* Segments of an earlier run are not written to any more: the room behind their entries is given
 * back, and those that hold none go, so that many short runs do not add up to the bound. */
static void pack_segments(struct crier_spool *spool)
{
    if (spool->look)
        return;
    for (size_t i = spool->count; i-- > 0;) {
        struct segment *segment = &spool->segments[i];
        size_t size = aligned(segment->end, PAGE);
        char *path = segment_path(spool, segment->number);
        if (segment->entries == 0 && !segment->bad) {
            struct segment gone = take_out(spool, i);
            remove_segment(spool, &gone);
        } else if (!segment->bad && size < segment->size && truncate(path, (off_t)size) == 0) {
            munmap(segment->map + size, segment->size - size);
            spool->bytes -= segment->size - size;
            segment->size = size;
        }
        free(path);
    }
}

static int open_segments(struct crier_spool *spool, struct crier_err *err)
{
    unsigned *numbers = NULL;
    size_t count = 0;
    uint64_t first, next;
    size_t start;

    unpack(spool->cursor->header.position, &first, &start);
    int rc = list_numbers(spool, &numbers, &count, err);
    /* All of them are looked at before any is touched: a newer version leaves everything alone. */
    for (size_t i = 0; i < count && rc == CRIER_OK; i++) {
        struct segment segment;
        rc = map_segment(spool, numbers[i], &segment, err);
        if (rc == CRIER_OK || segment.map)
            insert_segment(spool, spool->count, &segment);
    }
    free(numbers);
    if (rc != CRIER_OK)
        return rc;
    unsigned next_number = first > FIRST_NUMBER ? (unsigned)first + 1 : FIRST_NUMBER;
    next = first;
    for (size_t i = 0; i < spool->count; i++) {
        struct segment *segment = &spool->segments[i];
        if (segment->size && segment->number >= first) {
            load(spool, segment, segment->number == next ? start : 0);
            spool->entries += segment->entries;
            if (!unpack(((const struct header *)segment->map)->position, &next, &start))
                next = 0;
        }
        if (segment->number >= next_number)
            next_number = segment->number + 1;
    }
    atomic_init(&spool->next_number, next_number);
    spool->highest = next_number - 1;
    load_words(spool);
    look_for_lost(spool);
    pack_segments(spool);
    trim(spool);
    crier_spool_rewind(spool);
    return CRIER_OK;
}

int crier_spool_open(const char *folder, const struct crier_spool_config *config,
                     struct crier_spool **out, struct crier_err *err)
{
    struct crier_spool *spool = crier_calloc(1, sizeof *spool);
    spool->folder = crier_strdup(folder);
    spool->cursor_fd = -1;
    spool->segment_bytes = aligned(config->segment_bytes ? config->segment_bytes : 4u << 20, PAGE);
    spool->max_bytes = config->max_bytes ? config->max_bytes : MAX_BYTES;
    spool->look = config->look;
    int rc = spool->look ? CRIER_OK : crier_mkdirs(folder, true, err);
    if (rc == CRIER_OK)
        rc = open_cursor(spool, err);
    if (rc == CRIER_OK)
        rc = open_segments(spool, err);
    if (rc != CRIER_OK) {
        spool->entries = 1; /* nothing is tidied up */
        crier_spool_close(spool);
        return rc;
    }
    *out = spool;
    return CRIER_OK;
}

void crier_spool_close(struct crier_spool *spool)
{
    if (!spool)
        return;
    if (spool->entries == 0)
        seal(spool);
    crier_ahead_free(spool->ahead);
    spool->ahead = NULL;
    for (size_t i = 0; i < spool->count; i++)
        if (spool->segments[i].map)
            munmap(spool->segments[i].map, spool->segments[i].size);
    if (spool->cursor)
        munmap(spool->cursor, CURSOR_SIZE);
    if (spool->cursor_fd >= 0)
        close(spool->cursor_fd);
    free(spool->segments);
    free(spool->folder);
    free(spool);
}

void crier_spool_set_bound(struct crier_spool *spool, uint64_t max_bytes)
{
    spool->max_bytes = max_bytes ? max_bytes : MAX_BYTES;
}

void crier_spool_help(struct crier_spool *spool, struct crier_loop *loop, int64_t sync)
{
    if (crier_clock_is_virtual(crier_loop_clock(loop)))
        return;
    if (spool->ahead) {
        crier_ahead_set_sync(spool->ahead, sync);
        return;
    }
    spool->ahead = crier_ahead_new(loop, spool->folder, spool->segment_bytes, sync,
                                   &spool->next_number, spool->cursor);
}

/* ---- writing ---- */

static void put(struct segment *segment, uint64_t seq, const void *data, uint32_t len)
{
    struct entry *entry = (struct entry *)(segment->map + segment->end);
    memcpy(entry + 1, data, len);
    entry->seq = seq;
    entry->crc = entry_crc(len, seq, data);
    __atomic_store_n(&entry->len, len, __ATOMIC_RELEASE);
    segment->end += entry_size(len);
    segment->entries++;
}

static int check_length(size_t len, struct crier_err *err)
{
    if (len > 0 && len < UINT32_MAX / 2)
        return CRIER_OK;
    return crier_err_set(err, CRIER_EINVAL, "an entry of %zu bytes cannot be spooled", len);
}

static int next_segment(struct crier_spool *spool, size_t size, struct segment *out,
                        struct crier_err *err)
{
    struct crier_segment_file file;
    int rc = CRIER_OK;
    /* Also finished ones that are not removed yet must lie below the cursor. */
    if (!spool->ahead || !crier_ahead_take(spool->ahead, size, spool->highest, &file))
        rc = crier_segment_create(spool->folder, atomic_fetch_add(&spool->next_number, 1), size,
                                  &file, err);
    if (rc == CRIER_OK && spool->ahead)
        crier_ahead_tail(spool->ahead, &file);
    if (rc == CRIER_OK) {
        spool->highest = file.number;
        *out = empty_segment(&file);
    }
    return rc;
}

static int grow(struct crier_spool *spool, size_t need, struct crier_err *err)
{
    struct segment segment;
    size_t size = aligned(sizeof(struct header) + need, PAGE);
    if (size < spool->segment_bytes)
        size = spool->segment_bytes;
    seal(spool);
    if (spool->bytes + size > spool->max_bytes)
        return crier_err_set(err, CRIER_ELIMIT, "%s has reached its bound of %llu bytes",
                             spool->folder, (unsigned long long)spool->max_bytes);
    int rc = next_segment(spool, size, &segment, err);
    if (rc != CRIER_OK)
        return rc;
    insert_segment(spool, spool->count, &segment);
    if (spool->count == 1) {
        store_cursor(spool);
        crier_spool_rewind(spool);
    }
    return CRIER_OK;
}

int crier_spool_append(struct crier_spool *spool, uint64_t seq, const void *data, size_t len,
                       struct crier_err *err)
{
    struct segment *tail = spool->count ? &spool->segments[spool->count - 1] : NULL;
    int rc = check_length(len, err);
    if (rc != CRIER_OK)
        return rc;
    if (!tail || !tail->writable || tail->size - tail->end < entry_size(len)) {
        rc = grow(spool, entry_size(len), err);
        if (rc != CRIER_OK)
            return rc;
        tail = &spool->segments[spool->count - 1];
    }
    put(tail, seq, data, (uint32_t)len);
    spool->entries++;
    store_owed(spool);
    if (spool->ahead)
        crier_ahead_written(spool->ahead, tail->end);
    return CRIER_OK;
}

int crier_spool_prepend(struct crier_spool *spool, const struct crier_spool_entry *entries,
                        size_t count, struct crier_err *err)
{
    struct segment segment;
    size_t size = sizeof(struct header);
    for (size_t i = 0; i < count; i++) {
        int rc = check_length(entries[i].len, err);
        if (rc != CRIER_OK)
            return rc;
        size += entry_size(entries[i].len);
    }
    if (count == 0)
        return CRIER_OK;
    if (spool->entries == 0)
        seal(spool);
    unsigned number =
        spool->count ? spool->segments[0].number - 1 : atomic_fetch_add(&spool->next_number, 1);
    struct crier_segment_file file;
    int rc = crier_segment_create(spool->folder, number, aligned(size, PAGE), &file, err);
    /* The helper may not have come to removing those before it. */
    while (rc != CRIER_OK && err && err->sys == EEXIST && number > 1) {
        *err = (struct crier_err){0};
        rc = crier_segment_create(spool->folder, --number, aligned(size, PAGE), &file, err);
    }
    if (rc != CRIER_OK)
        return rc;
    if (number > spool->highest)
        spool->highest = number;
    segment = empty_segment(&file);
    for (size_t i = 0; i < count; i++)
        put(&segment, entries[i].seq, entries[i].data, (uint32_t)entries[i].len);
    segment.writable = false;
    if (spool->count)
        ((struct header *)segment.map)->position =
            pack(spool->segments[0].number, spool->segments[0].start);
    insert_segment(spool, 0, &segment);
    spool->batch = 0;
    store_cursor(spool);
    crier_spool_mark_copied(spool, 0);
    crier_spool_rewind(spool);
    return CRIER_OK;
}

/* ---- reading ---- */

bool crier_spool_read(struct crier_spool *spool, struct crier_spool_entry *out)
{
    while (spool->read_segment < spool->count) {
        const struct segment *segment = &spool->segments[spool->read_segment];
        if (spool->read_at < segment->end) {
            const struct entry *entry = (const struct entry *)(segment->map + spool->read_at);
            *out = (struct crier_spool_entry){entry->seq, entry + 1, entry->len};
            spool->read_at += entry_size(entry->len);
            return true;
        }
        if (spool->read_segment + 1 == spool->count)
            return false;
        spool->read_segment++;
        spool->read_at = spool->segments[spool->read_segment].start;
    }
    return false;
}

void crier_spool_rewind(struct crier_spool *spool)
{
    spool->read_segment = 0;
    spool->read_at = spool->count ? spool->segments[0].start : 0;
}

void crier_spool_ack(struct crier_spool *spool, size_t n)
{
    spool->batch = n < spool->batch ? spool->batch - n : 0;
    spool->copied = n < spool->copied ? spool->copied - n : 0;
    while (n > 0 && spool->count) {
        struct segment *segment = &spool->segments[0];
        for (; n > 0 && segment->entries > 0; n--) {
            const void *at = segment->map + segment->start;
            segment->start += entry_size(((const struct entry *)at)->len);
            segment->entries--;
            spool->entries--;
        }
        if (segment->entries > 0 || segment->writable)
            break;
        trim(spool);
    }
    store_cursor(spool);
}

uint64_t crier_spool_drop_oldest(struct crier_spool *spool, uint64_t keep, uint64_t *first)
{
    size_t i = spool->read_segment + 1;
    while (i < spool->count && entries_before(spool, i) < keep)
        i++;
    if (i >= spool->count || spool->segments[i].writable)
        return 0;
    *first = entries_before(spool, i);
    struct segment segment = take_out(spool, i);
    if (spool->copied > *first)
        spool->copied -=
            spool->copied - *first < segment.entries ? spool->copied - *first : segment.entries;
    store_owed(spool);
    remove_segment(spool, &segment);
    return segment.entries;
}

/* ---- the batch in flight, copies ---- */

void crier_spool_mark_batch(struct crier_spool *spool, size_t n)
{
    spool->batch = n;
    store_batch(spool);
}

size_t crier_spool_batch(const struct crier_spool *spool)
{
    return spool->batch;
}

/* Where the n-th entry from the first one on is, or would be. */
static bool find_entry(const struct crier_spool *spool, uint64_t n, size_t *segment, size_t *at)
{
    for (size_t i = 0; i < spool->count; i++) {
        const struct segment *s = &spool->segments[i];
        if (n >= s->entries) {
            n -= s->entries;
            continue;
        }
        *segment = i;
        *at = s->start;
        while (n-- > 0)
            *at += entry_size(((const struct entry *)(s->map + *at))->len);
        return true;
    }
    return false;
}

void crier_spool_mark_copied(struct crier_spool *spool, uint64_t n)
{
    size_t segment, at;
    uint64_t position = 0;
    spool->copied = n < spool->entries ? n : spool->entries;
    if (n > 0 && find_entry(spool, n, &segment, &at))
        position = pack(spool->segments[segment].number, at);
    else if (n > 0 && spool->count)
        position =
            pack(spool->segments[spool->count - 1].number, spool->segments[spool->count - 1].end);
    __atomic_store_n(&spool->cursor->copied, position, __ATOMIC_RELEASE);
}

uint64_t crier_spool_copied(const struct crier_spool *spool)
{
    return spool->copied;
}

size_t crier_spool_peek(const struct crier_spool *spool, uint64_t skip,
                        struct crier_spool_entry *entries, size_t max)
{
    size_t i, at, n = 0;
    if (!find_entry(spool, skip, &i, &at))
        return 0;
    while (n < max && i < spool->count) {
        const struct segment *segment = &spool->segments[i];
        if (at >= segment->end) {
            at = ++i < spool->count ? spool->segments[i].start : 0;
            continue;
        }
        const struct entry *entry = (const struct entry *)(segment->map + at);
        entries[n++] = (struct crier_spool_entry){entry->seq, entry + 1, entry->len};
        at += entry_size(entry->len);
    }
    return n;
}

uint64_t crier_spool_count(const struct crier_spool *spool)
{
    return spool->entries;
}

void crier_spool_stats(const struct crier_spool *spool, struct crier_spool_stats *out)
{
    *out = (struct crier_spool_stats){.entries = spool->entries,
                                      .bytes = spool->bytes,
                                      .segments = spool->count,
                                      .damaged = spool->damaged,
                                      .skipped_bytes = spool->skipped,
                                      .lost = spool->lost};
    memcpy(out->fault, spool->fault, sizeof out->fault);
}
