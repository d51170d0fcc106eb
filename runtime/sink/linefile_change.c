/* SPDX-License-Identifier: MIT
 *
 * Changing lines: the files that hold what is meant are written anew, line by line.
 *
 * What packs a closed file holds a lock on "<file>.zst.tmp", so the same lock keeps two processes
 * from changing and packing it at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "sink/linefile.h"
#include "sink/linefile_query.h"

enum { CHUNK = 1 << 20 };

/* A file that is being written. */
struct output {
    char *path;
    int fd;
    ZSTD_CStream *zstd; /* NULL: plain */
    struct crier_buf plain, packed;
    size_t lines; /* that are kept, the header apart */
};

struct work {
    struct crier_linefile *file;
    const struct crier_line_reader *reader;
    struct crier_change *change;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* ---- output ---- */

static int write_all(int fd, struct crier_buf *b, const char *path, struct crier_err *err)
{
    size_t at = 0;
    while (at < b->len) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        if (n < 0 && errno != EINTR)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot write %s", path);
        at += n > 0 ? (size_t)n : 0;
    }
    crier_buf_clear(b);
    return 0;
}

static int push_out(struct output *o, bool last, struct crier_err *err)
{
    if (!o->zstd)
        return write_all(o->fd, &o->plain, o->path, err);
    ZSTD_inBuffer in = {o->plain.data, o->plain.len, 0};
    size_t left;
    do {
        size_t room = ZSTD_CStreamOutSize();
        ZSTD_outBuffer out = {crier_buf_reserve(&o->packed, room), room, 0};
        left = ZSTD_compressStream2(o->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return crier_err_set(err, CRIER_EIO, "cannot pack %s: %s", o->path,
                                 ZSTD_getErrorName(left));
        o->packed.len += out.pos;
        int rc = write_all(o->fd, &o->packed, o->path, err);
        if (rc != 0)
            return rc;
    } while (in.pos < in.size || (last && left));
    crier_buf_clear(&o->plain);
    return 0;
}

static int put(struct output *o, struct crier_str text, const char *end, struct crier_err *err)
{
    crier_buf_append(&o->plain, text.data, text.len);
    crier_buf_puts(&o->plain, end);
    return o->plain.len < CHUNK ? 0 : push_out(o, false, err);
}

static int open_output(struct output *o, const char *path, bool packed, struct crier_err *err)
{
    struct stat st;
    o->path = crier_asprintf("%s.new", path);
    o->fd = open(o->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (o->fd < 0)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", o->path);
    if (stat(path, &st) == 0 && fchmod(o->fd, st.st_mode & 07777) != 0)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot set the mode of %s", o->path);
    if (packed) {
        o->zstd = ZSTD_createCStream();
        ZSTD_initCStream(o->zstd, 3);
    }
    return 0;
}

static void close_output(struct output *o)
{
    if (o->fd >= 0)
        close(o->fd);
    if (o->path)
        unlink(o->path); /* nothing, when it was renamed */
    ZSTD_freeCStream(o->zstd);
    crier_buf_fini(&o->plain);
    crier_buf_fini(&o->packed);
    free(o->path);
}

/* The name is on the disk, too. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = crier_strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static int put_in_place(struct output *o, const char *path, bool live, struct crier_err *err)
{
    int rc = push_out(o, true, err);
    if (rc == 0 && fdatasync(o->fd) != 0)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot write %s", o->path);
    if (rc != 0)
        return rc;
    if (o->lines == 0 && !live)
        rc = unlink(path);
    else
        rc = rename(o->path, path);
    if (rc != 0)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot replace %s", path);
    sync_folder(path);
    return 0;
}

/* ---- a file ---- */

/* The first line that does not stay is at hand: what stands in front of it is copied. Most files
 * have no such line and are only read. */
static int begin_output(struct output *o, const char *path, int64_t until, struct crier_err *err)
{
    struct crier_lines lines;
    struct crier_str line;
    int rc = open_output(o, path, ends_with(path, ".zst"), err);
    if (rc != 0)
        return rc;
    rc = crier_lines_open(&lines, path, false, err);
    if (rc != 0)
        return rc;
    while (rc == 0 && (rc = crier_lines_next(&lines, &line, err)) == 1 && lines.at < until)
        rc = put(o, crier_lines_raw(&lines), "", err);
    crier_lines_close(&lines);
    return rc < 0 ? rc : 0;
}

/* One line of the old file into the new one, or another in its place, or none. */
static int take_line(struct work *w, const char *path, struct crier_lines *lines,
                     struct crier_str line, struct output *o, struct crier_err *err)
{
    const struct crier_line_reader *reader = w->reader;
    struct crier_record *record = NULL, *other = NULL;
    enum crier_change_verdict verdict = CRIER_CHANGE_KEEP;
    int rc = 0;
    if (!reader->may_hit || reader->may_hit(reader->arg, line)) {
        record = reader->record(reader->arg, line);
        if (record)
            verdict = crier_change_ask(w->change, record, &other);
        else if (reader->quoted)
            crier_lines_reject(lines);
    }
    if (verdict != CRIER_CHANGE_KEEP && o->fd < 0)
        rc = begin_output(o, path, lines->at, err);
    if (rc == 0 && verdict == CRIER_CHANGE_KEEP && o->fd >= 0) {
        rc = put(o, crier_lines_raw(lines), "", err);
    } else if (rc == 0 && verdict == CRIER_CHANGE_REPLACE) {
        struct crier_str text;
        rc = reader->line(reader->arg, w->change, other, &text, err);
        if (rc == 0)
            rc = put(o, text, crier_linefile_end(w->file), err);
    }
    o->lines += verdict != CRIER_CHANGE_REMOVE;
    crier_record_unref(record);
    crier_record_unref(other);
    return rc;
}

static int take_lines(struct work *w, const char *path, struct crier_lines *lines,
                      struct output *o, struct crier_err *err)
{
    struct crier_str line;
    int rc = 0, got = 1;
    if (w->reader->begin && !w->reader->begin(w->reader->arg, lines))
        return 0; /* not ours: as a query passes it over */
    while (rc == 0 && (got = crier_lines_next(lines, &line, err)) == 1)
        rc = take_line(w, path, lines, line, o, err);
    if (rc == 0 && got < 0)
        rc = got;
    return rc;
}

/* The file is locked against all that would change it meanwhile. */
static int change_file(struct work *w, const char *path, bool live, struct crier_err *err)
{
    struct crier_lines lines;
    struct output o = {.fd = -1};
    uint64_t before = w->change->changed;
    int rc = crier_lines_open(&lines, path, w->reader->quoted, err);
    if (rc == CRIER_ENOTFOUND)
        return 0;
    if (rc != 0)
        return rc;
    rc = take_lines(w, path, &lines, &o, err);
    if (rc == 0 && lines.broken && o.fd >= 0)
        rc = crier_err_set(err, CRIER_EIO, "%s is damaged; what it holds cannot be changed", path);
    if (rc == 0)
        rc = crier_change_fault(w->change, err);
    if (rc == 0 && o.fd >= 0)
        rc = put_in_place(&o, path, live, err);
    if (rc != 0)
        w->change->changed = before;
    close_output(&o);
    crier_lines_close(&lines);
    return rc;
}

/* A closed file may have been packed since it was listed. */
static int change_closed(struct work *w, const char *listed, struct crier_err *err)
{
    char *plain = crier_strdup(listed);
    if (ends_with(plain, ".zst"))
        plain[strlen(plain) - 4] = '\0';
    char *packed = crier_asprintf("%s.zst", plain), *lock = crier_asprintf("%s.zst.tmp", plain);
    int rc = 0, fd = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", lock);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = crier_err_set(err, CRIER_EBUSY, "%s is being packed by another process", plain);
    else
        rc = change_file(w, access(plain, F_OK) == 0 ? plain : packed, false, err);
    if (fd >= 0 && rc != CRIER_EBUSY)
        unlink(lock);
    if (fd >= 0)
        close(fd);
    free(plain);
    free(packed);
    free(lock);
    return rc;
}

static int change_live(struct work *w, struct crier_err *err)
{
    bool there;
    int rc = crier_linefile_hold(w->file, &there, err);
    if (rc == 0 && there)
        rc = change_file(w, crier_linefile_path(w->file), true, err);
    crier_linefile_let_go(w->file);
    return rc;
}

static int learn_events(struct work *w, const struct crier_query *query, struct crier_err *err)
{
    struct crier_record **hits = NULL;
    size_t count = 0;
    if (!crier_query_has_events(query))
        return 0;
    int rc = crier_lines_query(crier_linefile_list(w->file), w->reader, query, &hits, &count, err);
    crier_change_learn(w->change, hits, count);
    return rc;
}

int crier_linefile_change(struct crier_linefile *file, const struct crier_line_reader *reader,
                          const struct crier_query *query, const json_t *fields, uint64_t *changed,
                          struct crier_err *err)
{
    struct crier_change change;
    struct work w = {file, reader, &change};
    int rc = crier_change_init(&change, query, fields, err);
    if (rc == 0)
        rc = learn_events(&w, query, err);
    crier_linefile_stop_packing(file);
    char **paths = crier_linefile_list(file);
    for (size_t i = 0; paths[i]; i++) {
        if (rc == 0)
            rc = paths[i + 1] ? change_closed(&w, paths[i], err) : change_live(&w, err);
        free(paths[i]);
    }
    free(paths);
    *changed = change.changed;
    crier_change_fini(&change);
    return rc;
}
