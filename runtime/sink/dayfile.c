/* SPDX-License-Identifier: MIT */
#include "sink/dayfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "sink/dayscan.h"

enum {
    PAGE = CRIER_DAYFILE_PAGE,
    CHUNK = 64 * 1024,
    LOCK_TRIES = 100, /* of a millisecond */
    OPEN_TRIES = 100, /* times that someone may replace the file under our hands */
    VECTORS = 64,
};

static const char ENTRY_START[] = "\n        ";
static const char LIST_END[] = "\n    ";
enum { ENTRY_START_LEN = sizeof ENTRY_START - 1, LIST_END_LEN = sizeof LIST_END - 1 };

/* An entry that was added and is not in the file yet: its bytes in `staged`, its place. */
struct piece {
    size_t offset, len;
    int64_t at; /* of the blanks in front of it */
};

struct crier_dayfile {
    char *path, *temp, *name;
    size_t name_len;
    uint64_t id;
    char type[32];
    int64_t gap; /* size of the next one */

    int fd;
    bool locked;
    bool known;   /* what follows is so, if the file is still the one of dev, ino, size, mtime */
    bool written; /* by this object: finishing has something to do */
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    int64_t list_at; /* behind the '[' */
    int64_t at;      /* where the newest entry, with the blanks in front of it, begins */
    uint64_t entries, next_index;
    struct crier_buf own_name; /* as it stands in the file, with quotes */
    struct crier_buf ids;
    size_t ids_left; /* new entries after which the ids are not needed any more */

    struct crier_buf staged;
    struct crier_buf pieces;
    int64_t plan_at; /* `at` as it will be when the staged ones are written */
    size_t stored;
    bool failed;
};

struct crier_dayfile *crier_dayfile_new(const char *path, const char *name, size_t name_len,
                                        uint64_t id, const char *type, size_t gap)
{
    struct crier_dayfile *f = crier_calloc(1, sizeof *f);
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    f->path = crier_strdup(path);
    f->temp = crier_asprintf("%.*s.%s.tmp", folder, path, path + folder);
    f->name = crier_strndup(name, name_len);
    f->name_len = name_len;
    f->id = id;
    snprintf(f->type, sizeof f->type, "%s", type);
    f->gap = gap < PAGE ? PAGE : (int64_t)gap;
    f->fd = -1;
    return f;
}

void crier_dayfile_free(struct crier_dayfile *f)
{
    if (!f)
        return;
    crier_dayfile_release(f);
    crier_buf_fini(&f->ids);
    crier_buf_fini(&f->own_name);
    crier_buf_fini(&f->staged);
    crier_buf_fini(&f->pieces);
    free(f->path);
    free(f->temp);
    free(f->name);
    free(f);
}

void crier_dayfile_release(struct crier_dayfile *f)
{
    if (f->fd >= 0)
        close(f->fd); /* which unlocks */
    f->fd = -1;
    f->locked = false;
}

/* Files */

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int write_blanks(int fd, int64_t len)
{
    char blanks[CHUNK];
    memset(blanks, ' ', sizeof blanks);
    for (; len > 0; len -= CHUNK) {
        if (write_all(fd, blanks, len < CHUNK ? (size_t)len : CHUNK) != 0)
            return -1;
    }
    return 0;
}

/* Bytes [from, to) of one file to the end of another; to < 0: up to its end. */
static int copy_range(int fd, int64_t from, int64_t to, int out)
{
    char data[CHUNK];
    while (to < 0 || from < to) {
        size_t want = to < 0 || to - from > CHUNK ? CHUNK : (size_t)(to - from);
        ssize_t n = pread(fd, data, want, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        if (write_all(out, data, (size_t)n) != 0)
            return -1;
        from += n;
    }
    return 0;
}

static int lock_file(int fd, const char *path, struct crier_err *err)
{
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot lock '%s'", path);
        if (i == LOCK_TRIES)
            return crier_err_set(err, CRIER_EBUSY,
                                 "'%s' is locked by another process; it is tried again", path);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

/* Whether the path still leads to this descriptor's file, and what is known of that. */
static bool same_file(int fd, const char *path, struct stat *st)
{
    struct stat there;
    return fstat(fd, st) == 0 && lstat(path, &there) == 0 && st->st_ino == there.st_ino &&
           st->st_dev == there.st_dev;
}

static int rename_if_free(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(from, to) != 0) /* file systems that know no RENAME_NOREPLACE */
        return -1;
    return unlink(from);
}

static int set_aside(struct crier_dayfile *f, struct crier_err *err)
{
    char *to = crier_asprintf("%s.old", f->path);
    int rc = 0;
    for (int i = 1; rename_if_free(f->path, to) != 0; i++) {
        if (errno == ENOENT)
            break;
        if (errno != EEXIST || i == 1000) {
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot rename '%s' (not a day file) to '%s'",
                               f->path, to);
            break;
        }
        free(to);
        to = crier_asprintf("%s.old.%d", f->path, i);
    }
    free(to);
    f->known = false;
    crier_dayfile_release(f);
    return rc;
}

/* The file beside ours, empty and locked. Its name is fixed, so that what a kill leaves of it is
 * used again. */
static int open_temp(struct crier_dayfile *f, mode_t mode, int *out, struct crier_err *err)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        int fd =
            open(f->temp, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
        if (fd < 0 && errno == ELOOP && unlink(f->temp) == 0)
            continue;
        if (fd < 0)
            return crier_err_sys(err, errno == ENOENT ? CRIER_ENOTFOUND : CRIER_EIO, errno,
                                 "cannot create '%s'", f->temp);
        struct stat st;
        int rc = lock_file(fd, f->temp, err);
        if (rc == 0 && same_file(fd, f->temp, &st)) {
            if (ftruncate(fd, 0) == 0) {
                *out = fd;
                return 0;
            }
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot empty '%s'", f->temp);
        }
        close(fd);
        if (rc != 0)
            return rc;
    }
    return crier_err_set(err, CRIER_EBUSY, "'%s' is always replaced by another process", f->temp);
}

/* Close and remove the file beside ours, keeping errno's meaning in err. */
static int drop_temp(struct crier_dayfile *f, int fd, struct crier_err *err)
{
    int rc = crier_err_sys(err, CRIER_EIO, errno, "cannot write '%s'", f->temp);
    unlink(f->temp);
    close(fd);
    return rc;
}

/* Knowing the file */

static void remember(struct crier_dayfile *f, const struct stat *st)
{
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    f->size = st->st_size;
    f->mtime = st->st_mtim;
}

static bool unchanged(const struct crier_dayfile *f, const struct stat *st)
{
    return f->dev == st->st_dev && f->ino == st->st_ino && f->size == st->st_size &&
           f->mtime.tv_sec == st->st_mtim.tv_sec && f->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

/* The clock behind mtime is coarse on older kernels, so look too: another writer's newest entry
 * ends where ours begins, or at the page boundary in front of that. */
static bool gap_is_blank(const struct crier_dayfile *f)
{
    char text[PAGE + 1];
    int64_t page = (f->at - 1) / PAGE * PAGE - 1;
    int64_t from = page < f->list_at ? f->list_at : page;
    if (from >= f->at)
        return true;
    ssize_t n = pread(f->fd, text, (size_t)(f->at - from), from);
    return n == f->at - from && text[0] == ' ' && text[n - 1] == ' ';
}

/* Read the whole file; bytes in [skip_from, skip_to) count as blanks. */
static int scan_file(int fd, const char *path, int64_t skip_from, int64_t skip_to,
                     struct crier_dayscan *scan, bool *valid, struct crier_err *err)
{
    char data[CHUNK];
    bool good = true;
    for (int64_t at = 0; good;) {
        ssize_t n = pread(fd, data, sizeof data, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", path);
        if (n == 0)
            break;
        for (int64_t i = skip_from > at ? skip_from : at; i < skip_to && i < at + n; i++)
            data[i - at] = ' ';
        good = crier_dayscan_feed(scan, data, (size_t)n);
        at += n;
    }
    *valid = good && crier_dayscan_end(scan);
    return 0;
}

/* Offset of a text at or behind `from`; -1 when it is not there. */
static int64_t find_text(int fd, int64_t from, const char *text, size_t len)
{
    char data[CHUNK];
    for (;;) {
        ssize_t n = pread(fd, data, sizeof data, from);
        if (n < (ssize_t)len)
            return -1;
        char *hit = memmem(data, (size_t)n, text, len);
        if (hit)
            return from + (hit - data);
        from += n - (ssize_t)len + 1;
    }
}

/* Whether an entry is there to its end, with the comma that it has in front of another one. */
static bool has_its_end(int fd, int64_t from, int64_t end, bool alone)
{
    static const char stop[] = "\n        }";
    char behind = 0;
    int64_t at = find_text(fd, from, stop, sizeof stop - 1);
    if (at < 0 || at >= end)
        return false;
    return alone || pread(fd, &behind, 1, at + (int64_t)sizeof stop - 1) != 1 || behind == ',';
}

/* A torn entry is the newest one: the beginning of its text, then blanks up to the next. Lines
 * never break inside a JSON string, and only entries begin and end with their lines, so it shows.
 * Damage in one that has its end is another hand's, and not ours to drop. */
static int64_t torn_entry(int fd, int64_t *end)
{
    static const char start[] = "\n        {\n";
    static const char tail[] = "\n    ]\n}";
    char last;
    int64_t from = find_text(fd, 0, start, sizeof start - 1);
    if (from < 0)
        return -1;
    *end = find_text(fd, from + 1, start, sizeof start - 1);
    bool alone = *end < 0;
    if (alone)
        *end = find_text(fd, from, tail, sizeof tail - 1);
    if (*end < 0 || pread(fd, &last, 1, *end - 1) != 1 || last != ' ')
        return -1;
    return has_its_end(fd, from, *end, alone) ? -1 : from;
}

/* From the end to the beginning: a kill in between leaves the beginning, to be found again. */
static int blank_out(struct crier_dayfile *f, int64_t from, int64_t to, struct crier_err *err)
{
    char blanks[PAGE];
    memset(blanks, ' ', sizeof blanks);
    while (to > from) {
        int64_t start = (to - 1) / PAGE * PAGE;
        if (start < from)
            start = from;
        if (pwrite(f->fd, blanks, (size_t)(to - start), start) != to - start)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot mend '%s'", f->path);
        to = start;
    }
    return 0;
}

/* Where entries go: in front of the newest one's line, if it stands on one. */
static int64_t insertion_point(int fd, const struct crier_dayscan *scan)
{
    bool empty = scan->first_at < 0;
    int64_t at = empty ? scan->list_end : scan->first_at;
    const char *want = empty ? LIST_END : ENTRY_START;
    int64_t len = empty ? LIST_END_LEN : ENTRY_START_LEN;
    char text[ENTRY_START_LEN];
    if (at - len >= scan->list_at && pread(fd, text, (size_t)len, at - len) == len &&
        memcmp(text, want, (size_t)len) == 0)
        at -= len;
    return at;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void adopt(struct crier_dayfile *f, struct crier_dayscan *scan)
{
    f->list_at = scan->list_at;
    f->at = insertion_point(f->fd, scan);
    f->entries = scan->entries;
    f->next_index = scan->newest_index < 0 ? scan->entries : (uint64_t)scan->newest_index + 1;
    crier_buf_fini(&f->ids);
    f->ids = scan->ids;
    scan->ids = (struct crier_buf){0};
    if (f->ids.len)
        qsort(f->ids.data, f->ids.len / 16, 16, compare_ids);
    f->ids_left = f->ids.len / 16;
    size_t len = (size_t)(scan->name_end - scan->name_at);
    crier_buf_clear(&f->own_name);
    ssize_t n = pread(f->fd, crier_buf_reserve(&f->own_name, len), len, scan->name_at);
    f->own_name.len = n > 0 ? (size_t)n : 0;
    f->known = true;
}

/* The open, locked file: mend it if need be and learn where things are. *ours false: not a day
 * file. */
static int load(struct crier_dayfile *f, bool *ours, struct crier_err *err)
{
    struct crier_dayscan scan;
    crier_dayscan_init(&scan);
    scan.want_ids = CRIER_DAYFILE_IDS;
    int64_t torn = -1, end = 0;
    int rc = scan_file(f->fd, f->path, 0, 0, &scan, ours, err);
    if (rc == 0 && !*ours && (torn = torn_entry(f->fd, &end)) >= 0) {
        crier_dayscan_fini(&scan);
        crier_dayscan_init(&scan);
        scan.want_ids = CRIER_DAYFILE_IDS;
        rc = scan_file(f->fd, f->path, torn, end, &scan, ours, err);
    }
    if (rc != 0 || !*ours)
        goto out;
    if (scan.id != f->id) {
        rc = crier_err_set(err, CRIER_EEXIST, "'%s' is the file of id %llu", f->path,
                           (unsigned long long)scan.id);
        goto out;
    }
    if (torn >= 0)
        rc = blank_out(f, torn, end, err);
    if (rc == 0)
        adopt(f, &scan);
out:
    crier_dayscan_fini(&scan);
    return rc;
}

/* Begin */

static int make_folder(struct crier_dayfile *f, struct crier_err *err)
{
    char *folder = crier_strndup(f->path, (size_t)(strrchr(f->path, '/') - f->path));
    int rc = crier_mkdirs(folder, false, err);
    free(folder);
    return rc;
}

static int create(struct crier_dayfile *f, struct crier_err *err)
{
    int fd = -1;
    int rc = open_temp(f, 0644, &fd, NULL);
    if (rc == CRIER_ENOTFOUND) {
        rc = make_folder(f, err);
        if (rc != 0)
            return rc;
    }
    if (fd < 0)
        rc = open_temp(f, 0644, &fd, err);
    if (rc != 0)
        return rc;

    struct crier_buf head = {0};
    crier_buf_puts(&head, "{\n    \"name\": ");
    crier_json_quote(&head, f->name, f->name_len);
    crier_buf_printf(&head, ",\n    \"id\": %llu,\n    \"type\": ", (unsigned long long)f->id);
    crier_json_quote(&head, f->type, strlen(f->type));
    crier_buf_puts(&head, ",\n    \"message_history\": [");
    bool good = write_all(fd, head.data, head.len) == 0 && write_blanks(fd, f->gap) == 0 &&
                write_all(fd, "\n    ]\n}", 8) == 0;
    crier_buf_fini(&head);
    if (!good || rename_if_free(f->temp, f->path) != 0) {
        bool late = good && errno == EEXIST; /* someone else has created it: that one is opened */
        rc = drop_temp(f, fd, err);
        return late ? 0 : rc;
    }
    close(fd);
    return 0;
}

/* Open the path if it leads to a plain file; otherwise move what is there out of the way. */
static int open_path(struct crier_dayfile *f, struct crier_err *err)
{
    struct stat st;
    f->fd = open(f->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (f->fd >= 0 && fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    if (f->fd < 0 && errno == ENOENT)
        return create(f, err);
    if (f->fd >= 0 || errno == ELOOP || errno == EISDIR || errno == ENXIO)
        return set_aside(f, err);
    return crier_err_sys(err, CRIER_EIO, errno, "cannot open '%s'", f->path);
}

int crier_dayfile_begin(struct crier_dayfile *f, struct crier_err *err)
{
    int rc = 0;
    for (int i = 0; i < OPEN_TRIES; i++) {
        if (f->fd < 0 && (rc = open_path(f, err)) != 0)
            goto out;
        if (f->fd < 0)
            continue;
        if ((rc = lock_file(f->fd, f->path, err)) != 0)
            goto out;
        f->locked = true;
        struct stat st;
        if (!same_file(f->fd, f->path, &st)) {
            crier_dayfile_release(f);
            continue;
        }
        if (!f->known || !unchanged(f, &st) || !gap_is_blank(f)) {
            bool ours = false;
            f->known = false;
            if ((rc = load(f, &ours, err)) != 0)
                goto out;
            if (!ours) {
                if ((rc = set_aside(f, err)) != 0)
                    goto out;
                continue;
            }
        }
        f->plan_at = f->at;
        f->stored = 0;
        f->failed = false;
        return 0;
    }
    rc = crier_err_set(err, CRIER_EBUSY, "'%s' is always replaced by another process", f->path);
out:
    crier_dayfile_release(f);
    return rc;
}

uint64_t crier_dayfile_index(const struct crier_dayfile *f)
{
    return f->next_index + f->pieces.len / sizeof(struct piece);
}

bool crier_dayfile_holds(const struct crier_dayfile *f, const unsigned char id[16])
{
    return f->ids.len && bsearch(id, f->ids.data, f->ids.len / 16, 16, compare_ids);
}

bool crier_dayfile_is_named(const struct crier_dayfile *f, const char *name, size_t len)
{
    struct crier_buf text = {0};
    crier_json_quote(&text, name, len);
    bool same = text.len == f->own_name.len && memcmp(text.data, f->own_name.data, text.len) == 0;
    crier_buf_fini(&text);
    return same;
}

/* Writing */

/* How many pieces from the first on lie in one page and so go out in one write. */
static size_t group(const struct piece *pieces, size_t count)
{
    size_t n = 1;
    int64_t page = (pieces[0].at + ENTRY_START_LEN) / PAGE;
    while (n < count && n < VECTORS && pieces[0].len <= PAGE + ENTRY_START_LEN &&
           pieces[n].len <= PAGE + ENTRY_START_LEN &&
           (pieces[n].at + ENTRY_START_LEN) / PAGE == page)
        n++;
    return n;
}

static int write_group(struct crier_dayfile *f, const struct piece *pieces, size_t count,
                       struct crier_err *err)
{
    struct iovec parts[VECTORS];
    ssize_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const struct piece *p = &pieces[count - 1 - i]; /* the newest stands first */
        parts[i] = (struct iovec){f->staged.data + p->offset, p->len};
        total += (ssize_t)p->len;
    }
    int64_t at = pieces[count - 1].at;
    ssize_t n = pwritev(f->fd, parts, (int)count, at);
    if (n == total)
        return 0;
    int sys = n < 0 ? errno : ENOSPC;
    if (n > 0 && blank_out(f, at, at + n, NULL) != 0)
        f->known = false; /* read and mended at the next begin */
    return crier_err_sys(err, CRIER_EIO, sys, "cannot write '%s'", f->path);
}

static int flush(struct crier_dayfile *f, struct crier_err *err)
{
    int rc = 0;
    const struct piece *pieces = (const struct piece *)(const void *)f->pieces.data;
    size_t count = f->pieces.len / sizeof *pieces;
    for (size_t i = 0; i < count;) {
        size_t n = group(pieces + i, count - i);
        rc = write_group(f, pieces + i, n, err);
        if (rc != 0)
            break;
        i += n;
        f->at = pieces[i - 1].at;
        f->stored += n;
        f->entries += n;
        f->next_index += n;
        f->written = true;
    }
    f->plan_at = f->at;
    crier_buf_clear(&f->pieces);
    crier_buf_clear(&f->staged);
    return rc;
}

/* A new file with a gap of this size takes the old one's place. */
static int set_gap(struct crier_dayfile *f, int64_t gap, const struct stat *st,
                   struct crier_err *err)
{
    int fd = -1;
    int rc = open_temp(f, st->st_mode & 07777, &fd, err);
    if (rc != 0)
        return rc;
    if (copy_range(f->fd, 0, f->list_at, fd) != 0 || write_blanks(fd, gap) != 0 ||
        copy_range(f->fd, f->at, -1, fd) != 0 || fchmod(fd, st->st_mode & 07777) != 0 ||
        rename(f->temp, f->path) != 0)
        return drop_temp(f, fd, err);
    close(f->fd);
    f->fd = fd; /* locked already */
    f->gap = gap;
    f->at = f->plan_at = f->list_at + gap;
    f->written = true;
    return 0;
}

/* A larger gap, into which at least `need` bytes fit; just those when the disk has no room. */
static int grow(struct crier_dayfile *f, int64_t need, struct crier_err *err)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", f->path);
    int64_t gap = f->gap;
    do
        gap *= 4;
    while (gap < st.st_size - f->at && gap < CRIER_DAYFILE_GAP_MAX);
    if (gap > CRIER_DAYFILE_GAP_MAX)
        gap = CRIER_DAYFILE_GAP_MAX;
    if (gap < need)
        gap = need;
    int rc = set_gap(f, gap, &st, err);
    return rc != 0 && gap > need ? set_gap(f, need, &st, err) : rc;
}

/* Where an entry of len bytes (comma included) begins, blanks in front of it not counted. */
static int64_t place(const struct crier_dayfile *f, int64_t len)
{
    int64_t start = f->plan_at - len;
    if (len <= PAGE && start / PAGE != (f->plan_at - 1) / PAGE)
        start = (f->plan_at - 1) / PAGE * PAGE - len;
    return start;
}

int crier_dayfile_add(struct crier_dayfile *f, const char *entry, size_t len, struct crier_err *err)
{
    int rc = 0;
    if (f->failed)
        return crier_err_set(err, CRIER_EIO, "'%s' could not be written", f->path);
    bool last = f->entries == 0 && f->pieces.len == 0;
    int64_t size = (int64_t)len + !last;
    if (place(f, size) - ENTRY_START_LEN < f->list_at) {
        rc = flush(f, err);
        if (rc == 0)
            rc = grow(f, size + ENTRY_START_LEN + 2 * PAGE, err);
        if (rc != 0)
            goto out;
    }
    struct piece piece = {.offset = f->staged.len, .len = (size_t)size + ENTRY_START_LEN};
    f->plan_at = piece.at = place(f, size) - ENTRY_START_LEN;
    crier_buf_append(&f->staged, ENTRY_START, ENTRY_START_LEN);
    crier_buf_append(&f->staged, entry, len);
    if (!last)
        crier_buf_putc(&f->staged, ',');
    crier_buf_append(&f->pieces, &piece, sizeof piece);
    if (f->staged.len >= CHUNK)
        rc = flush(f, err);
out:
    f->failed = rc != 0;
    return rc;
}

int crier_dayfile_end(struct crier_dayfile *f, size_t *stored, struct crier_err *err)
{
    int rc = f->failed ? 0 : flush(f, err);
    struct stat st;
    if (f->fd >= 0 && fstat(f->fd, &st) == 0)
        remember(f, &st);
    else
        f->known = false;
    *stored = f->stored;
    f->ids_left -= f->stored < f->ids_left ? f->stored : f->ids_left;
    if (!f->ids_left)
        crier_buf_fini(&f->ids);
    if (f->fd >= 0)
        flock(f->fd, LOCK_UN);
    f->locked = false;
    return rc;
}

/* Finish */

struct compact {
    int from, to;
    const struct crier_dayscan *scan;
    struct crier_buf out;
    int sys;
};

static void compact_flush(struct compact *c)
{
    if (!c->sys && write_all(c->to, c->out.data, c->out.len) != 0)
        c->sys = errno;
    crier_buf_clear(&c->out);
}

static void compact_entry(void *arg, int64_t start, int64_t end)
{
    struct compact *c = arg;
    size_t len = (size_t)(end - start);
    if (start == c->scan->first_at) {
        if (!c->sys && copy_range(c->from, 0, c->scan->list_at, c->to) != 0)
            c->sys = errno;
    } else {
        crier_buf_putc(&c->out, ',');
    }
    crier_buf_append(&c->out, ENTRY_START, ENTRY_START_LEN);
    char *to = crier_buf_reserve(&c->out, len);
    if (!c->sys && pread(c->from, to, len, start) != (ssize_t)len)
        c->sys = errno ? errno : EIO;
    c->out.len += len;
    if (c->out.len >= CHUNK)
        compact_flush(c);
}

/* The open and locked file without its blanks, into fd. */
static int compact(struct crier_dayfile *f, int fd, struct crier_err *err)
{
    struct crier_dayscan scan;
    crier_dayscan_init(&scan);
    struct compact c = {.from = f->fd, .to = fd, .scan = &scan};
    scan.entry = compact_entry;
    scan.arg = &c;
    bool valid = false;
    errno = 0;
    int rc = scan_file(f->fd, f->path, 0, 0, &scan, &valid, err);
    if (rc == 0 && !valid)
        rc = crier_err_set(err, CRIER_ECORRUPT, "'%s' is damaged", f->path);
    if (rc != 0)
        goto out;
    if (scan.entries)
        crier_buf_puts(&c.out, LIST_END);
    else if (copy_range(f->fd, 0, scan.list_at, fd) != 0)
        c.sys = errno;
    compact_flush(&c);
    if (!c.sys && copy_range(f->fd, scan.list_end, -1, fd) != 0)
        c.sys = errno;
    if (c.sys)
        rc = crier_err_sys(err, CRIER_EIO, c.sys, "cannot write '%s'", f->temp);
out:
    crier_buf_fini(&c.out);
    crier_dayscan_fini(&scan);
    return rc;
}

int crier_dayfile_finish(struct crier_dayfile *f, bool sync, struct crier_err *err)
{
    int rc = 0, fd = -1;
    struct stat st;
    if (!f->written || access(f->path, F_OK) != 0)
        goto out;
    if ((rc = crier_dayfile_begin(f, err)) != 0)
        goto out;
    if (fstat(f->fd, &st) != 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", f->path);
        goto out;
    }
    if ((rc = open_temp(f, st.st_mode & 07777, &fd, err)) != 0)
        goto out;
    rc = compact(f, fd, err);
    if (rc != 0) {
        unlink(f->temp);
        goto out;
    }
    if (fchmod(fd, st.st_mode & 07777) != 0 || (sync && fdatasync(fd) != 0) ||
        rename(f->temp, f->path) != 0) {
        rc = drop_temp(f, fd, err);
        fd = -1;
        goto out;
    }
    f->written = false;
    f->known = false;
out:
    if (fd >= 0)
        close(fd);
    crier_dayfile_release(f);
    return rc;
}

/* Names */

bool crier_dayfile_peek(const char *path, uint64_t *id)
{
    struct crier_dayscan scan;
    char data[PAGE];
    crier_dayscan_init(&scan);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 16 && !scan.has_id; i++) {
        ssize_t n = read(fd, data, sizeof data);
        if (n <= 0 || !crier_dayscan_feed(&scan, data, (size_t)n))
            break;
    }
    if (fd >= 0)
        close(fd);
    bool found = scan.has_id && !scan.foreign;
    *id = scan.id;
    crier_dayscan_fini(&scan);
    return found;
}

void crier_dayfile_name(const char *name, size_t len, uint64_t id, char out[CRIER_DAYFILE_NAME + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)name[i];
        size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        if (size > len - i || n + size > CRIER_DAYFILE_NAME)
            break;
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)name[i + 1] < 0xa0);
        if (control || strchr("<>:\"/\\|?*", c) || (i == 0 && c == '@')) {
            out[n++] = '#';
        } else {
            memcpy(out + n, name + i, size);
            n += size;
        }
        i += size;
    }
    out[n] = '\0';
    if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
        memset(out, '#', n);
    if (!n)
        snprintf(out, CRIER_DAYFILE_NAME + 1, "%llu", (unsigned long long)id);
}
