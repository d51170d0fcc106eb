/* SPDX-License-Identifier: MIT */
#include "sink/dayquery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "record/read.h"
#include "sink/dayscan.h"

enum { CHUNK = 256 * 1024, LOCK_TRIES = 100 };

struct place {
    int64_t start, end;
};

struct work {
    const struct crier_query *query;
    int (*file)(struct work *w, const char *path, struct crier_err *err);
    struct crier_change *change; /* NULL: a query */
    struct crier_str (*render)(void *arg, const struct crier_record *record,
                               const struct crier_dayentry *entry);
    void *arg;
    struct crier_reader reader;
    struct crier_buf hits, chunk, places, top;
    uint64_t bad;
    char bad_at[160];
    /* of the file at hand */
    int fd;
    const char *path;
    struct crier_buf name;
    int64_t top_split; /* where in `top` the entries were */
    uint64_t id, index; /* of the file, of the entry that was read last */
    char type[16];
};

static bool is(struct crier_str s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

static void note_bad(struct work *w)
{
    if (!w->bad++)
        snprintf(w->bad_at, sizeof w->bad_at, "%.150s", w->path);
}

/* ---- an entry ---- */

/* Whether there is nothing but objects and arrays in the one that the scanner has just begun. */
static bool is_hollow(const struct crier_scan *scan)
{
    struct crier_scan probe;
    enum crier_scan_event event;
    int depth = 0;
    crier_scan_init(&probe, scan->at - 1, (size_t)(scan->end - scan->at) + 1);
    do {
        event = crier_scan_next(&probe);
        depth += event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
        depth -= event == CRIER_SCAN_CLOSE;
    } while (depth > 0 && event >= CRIER_SCAN_OBJECT && event <= CRIER_SCAN_CLOSE);
    crier_scan_fini(&probe);
    return depth == 0 && event == CRIER_SCAN_CLOSE;
}

static bool skip(struct crier_scan *scan, enum crier_scan_event event)
{
    int depth = 0;
    for (;;) {
        depth += event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
        depth -= event == CRIER_SCAN_CLOSE;
        if (depth == 0 || event <= CRIER_SCAN_END)
            return event > CRIER_SCAN_END;
        event = crier_scan_next(scan);
    }
}

/* The members of `record`. */
static bool read_inner(struct work *w, struct crier_scan *scan, bool *guild)
{
    enum crier_scan_event event;
    while ((event = crier_scan_next(scan)) != CRIER_SCAN_CLOSE) {
        *guild |= is(scan->key, "guild");
        if (event <= CRIER_SCAN_END || !crier_reader_member(&w->reader, scan, event))
            return false;
    }
    return true;
}

static bool read_members(struct work *w, struct crier_scan *scan, bool *guild)
{
    enum crier_scan_event event = crier_scan_next(scan);
    if (event != CRIER_SCAN_OBJECT)
        return false;
    while ((event = crier_scan_next(scan)) != CRIER_SCAN_CLOSE) {
        bool good, object = event == CRIER_SCAN_OBJECT;
        bool shown = is(scan->key, "sent_data") || is(scan->key, "channels");
        if (event <= CRIER_SCAN_END)
            return false;
        if (event == CRIER_SCAN_INT && is(scan->key, "index") && scan->i >= 0)
            w->index = (uint64_t)scan->i;
        if (object && is(scan->key, "record"))
            good = read_inner(w, scan, guild);
        else if (is(scan->key, "index") || is(scan->key, "timestamp") ||
                 (object && shown && is_hollow(scan)))
            good = skip(scan, event);
        else
            good = crier_reader_member(&w->reader, scan, event);
        if (!good)
            return false;
    }
    return crier_scan_next(scan) == CRIER_SCAN_END;
}

static void put_guild(struct work *w)
{
    struct crier_builder *b = &w->reader.b;
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    crier_build_str(b, "name", 4, w->name.data ? w->name.data : "", w->name.len);
    CRIER_B_SNOWFLAKE(b, "id", w->id);
    CRIER_B_STR(b, "type", w->type);
    crier_build_close(b);
}

static struct crier_record *read_entry(struct work *w, const char *text, size_t len)
{
    struct crier_scan scan;
    struct crier_record *record = NULL;
    const char *kind = w->id ? "message" : w->type;
    bool guild = false;
    w->index = 0;
    crier_scan_init(&scan, text, len);
    crier_reader_begin(&w->reader);
    bool good = crier_reader_string(&w->reader, (struct crier_str){"kind", 4},
                                    (struct crier_str){kind, strlen(kind)}) &&
                read_members(w, &scan, &guild);
    if (good && w->id && !guild)
        put_guild(w);
    if (good)
        record = crier_reader_end(&w->reader);
    else
        crier_build_cancel(&w->reader.b);
    crier_scan_fini(&scan);
    return record;
}

/* ---- a file ---- */

static bool read_at(struct work *w, struct crier_buf *b, int64_t start, int64_t end)
{
    size_t len = (size_t)(end - start), got = 0;
    char *to = crier_buf_reserve(b, len);
    while (got < len) {
        ssize_t n = pread(w->fd, to + got, len - got, start + (int64_t)got);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    b->len += len;
    return true;
}

static void note_entry(void *arg, int64_t start, int64_t end)
{
    struct place place = {start, end};
    crier_buf_append(arg, &place, sizeof place);
}

/* The document without its entries tells name and type. */
static bool read_top(struct work *w, const struct crier_dayscan *day, int64_t size)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    crier_buf_clear(&w->top);
    crier_buf_clear(&w->name);
    w->type[0] = '\0';
    w->id = day->id;
    w->top_split = day->list_at;
    if (!read_at(w, &w->top, 0, day->list_at) || !read_at(w, &w->top, day->list_end, size))
        return false;
    crier_scan_init(&scan, w->top.data, w->top.len);
    event = crier_scan_next(&scan);
    while (event > CRIER_SCAN_END && (event = crier_scan_next(&scan)) > CRIER_SCAN_END) {
        if (event != CRIER_SCAN_STR)
            continue;
        if (is(scan.key, "name"))
            crier_buf_append(&w->name, scan.s.data, scan.s.len);
        else if (is(scan.key, "type"))
            snprintf(w->type, sizeof w->type, "%.*s", (int)scan.s.len, scan.s.data);
    }
    crier_scan_fini(&scan);
    return event == CRIER_SCAN_END;
}

/* Where the entries are; false: not a day file. */
static bool find_entries(struct work *w)
{
    struct crier_dayscan day;
    ssize_t n = 0;
    int64_t size = 0;
    bool good = true;
    crier_dayscan_init(&day);
    crier_buf_clear(&w->places);
    day.entry = note_entry;
    day.arg = &w->places;
    do {
        crier_buf_clear(&w->chunk);
        n = read(w->fd, crier_buf_reserve(&w->chunk, CHUNK), CHUNK);
        if (n > 0)
            good = crier_dayscan_feed(&day, w->chunk.data, (size_t)n);
        size += n > 0 ? n : 0;
    } while (good && (n > 0 || (n < 0 && errno == EINTR)));
    good = good && n == 0 && crier_dayscan_end(&day) && read_top(w, &day, size);
    crier_dayscan_fini(&day);
    return good;
}

static void take_entries(struct work *w)
{
    struct place place;
    for (size_t i = w->places.len / sizeof place; i-- > 0;) { /* the oldest stands last */
        memcpy(&place, w->places.data + i * sizeof place, sizeof place);
        crier_buf_clear(&w->chunk);
        struct crier_record *record = NULL;
        if (read_at(w, &w->chunk, place.start, place.end))
            record = read_entry(w, w->chunk.data, w->chunk.len);
        if (!record)
            note_bad(w);
        else if (!crier_query_wants(w->query, record))
            crier_record_unref(record);
        else {
            crier_buf_append(&w->hits, &record, sizeof record);
            crier_query_trim(w->query, &w->hits);
        }
    }
}

/* Open and lock; w->fd is -1 where the file is gone. */
static int open_file(struct work *w, const char *path, int how, struct crier_err *err)
{
    w->path = path;
    w->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (w->fd < 0)
        return errno == ENOENT ? 0 : crier_err_sys(err, CRIER_EIO, errno, "cannot read %s", path);
    for (int i = 0; flock(w->fd, how | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES)
            return crier_err_set(err, CRIER_EBUSY, "%s is locked by another process", path);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

static void close_file(struct work *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static int query_file(struct work *w, const char *path, struct crier_err *err)
{
    int rc = open_file(w, path, LOCK_SH, err);
    if (rc == 0 && w->fd >= 0 && find_entries(w))
        take_entries(w);
    else if (rc == 0 && w->fd >= 0)
        note_bad(w);
    close_file(w);
    return rc;
}

/* ---- changing ---- */

static const char between[] = ",\n        ";

/* The entry at a place as it stays or as it becomes, added to b; false: it goes. */
static bool put_entry(struct work *w, struct place place, struct crier_buf *b, bool *changed)
{
    struct crier_record *record, *other = NULL;
    enum crier_change_verdict verdict = CRIER_CHANGE_KEEP;
    crier_buf_clear(&w->chunk);
    if (!read_at(w, &w->chunk, place.start, place.end))
        return false;
    record = read_entry(w, w->chunk.data, w->chunk.len);
    if (record)
        verdict = crier_change_ask(w->change, record, &other);
    struct crier_str text = {w->chunk.data, w->chunk.len};
    if (verdict == CRIER_CHANGE_REPLACE) {
        const struct crier_dayentry entry = {
            .name = {w->name.data ? w->name.data : "", w->name.len},
            .id = w->id,
            .type = w->type,
            .index = w->index,
        };
        text = w->render(w->arg, other, &entry);
    }
    if (verdict != CRIER_CHANGE_REMOVE) {
        crier_buf_puts(b, b->len ? between : between + 1);
        crier_buf_append(b, text.data, text.len);
    }
    *changed |= verdict != CRIER_CHANGE_KEEP;
    crier_record_unref(record);
    crier_record_unref(other);
    return true;
}

static int replace_file(struct work *w, const struct crier_buf *text, struct crier_err *err)
{
    struct stat st;
    const char *name = strrchr(w->path, '/') + 1;
    char *other = crier_asprintf("%.*s.%s.new", (int)(name - w->path), w->path, name);
    int rc = 0, fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t at = 0;
    while (fd >= 0 && at < text->len) {
        ssize_t n = write(fd, text->data + at, text->len - at);
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || at < text->len || fstat(w->fd, &st) != 0 || fchmod(fd, st.st_mode & 07777) != 0 ||
        fdatasync(fd) != 0 || rename(other, w->path) != 0) {
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot write %s", other);
        unlink(other);
    }
    if (fd >= 0)
        close(fd);
    free(other);
    return rc;
}

static int rewrite_file(struct work *w, struct crier_err *err)
{
    struct crier_buf entries = {0}, text = {0};
    struct place place;
    size_t count = w->places.len / sizeof place;
    bool changed = false;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        memcpy(&place, w->places.data + i * sizeof place, sizeof place);
        if (!put_entry(w, place, &entries, &changed))
            rc = crier_err_set(err, CRIER_EIO, "cannot read %s", w->path);
    }
    if (rc == 0)
        rc = crier_change_fault(w->change, err);
    if (rc == 0 && changed && entries.len == 0) {
        if (unlink(w->path) != 0)
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot delete %s", w->path);
    } else if (rc == 0 && changed) {
        crier_buf_append(&text, w->top.data, (size_t)w->top_split);
        crier_buf_append(&text, entries.data, entries.len);
        crier_buf_puts(&text, "\n    ");
        crier_buf_append(&text, w->top.data + w->top_split, w->top.len - (size_t)w->top_split);
        rc = replace_file(w, &text, err);
    }
    crier_buf_fini(&entries);
    crier_buf_fini(&text);
    return rc;
}

/* Whether what was locked still stands at the path. */
static bool in_place(const struct work *w)
{
    struct stat a, b;
    return fstat(w->fd, &a) == 0 && stat(w->path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

static int change_file(struct work *w, const char *path, struct crier_err *err)
{
    uint64_t before = w->change->changed;
    int rc = open_file(w, path, LOCK_EX, err);
    for (int i = 0; rc == 0 && w->fd >= 0 && !in_place(w); i++) {
        close_file(w);
        rc = i < LOCK_TRIES ? open_file(w, path, LOCK_EX, err)
                            : crier_err_set(err, CRIER_EBUSY, "%s is renamed again and again", path);
    }
    if (rc == 0 && w->fd >= 0 && find_entries(w))
        rc = rewrite_file(w, err);
    if (rc != 0)
        w->change->changed = before;
    close_file(w);
    return rc;
}

/* ---- folders ---- */

static int by_id(const void *a, const void *b)
{
    struct crier_record *const *x = a, *const *y = b;
    return memcmp(crier_record_id_bytes(*x), crier_record_id_bytes(*y), 16);
}

static int is_number(const struct dirent *entry)
{
    size_t len = strspn(entry->d_name, "0123456789");
    return len >= 2 && !entry->d_name[len];
}

static int is_day_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

/* The folders of years, months and days; depth 3 holds files. */
static int walk(struct work *w, const char *path, int depth, struct crier_err *err)
{
    struct dirent **names = NULL;
    size_t before = w->hits.len;
    int rc = 0;
    int n = scandir(path, &names, depth < 3 ? is_number : is_day_file, alphasort);
    if (n < 0 && errno != ENOENT && errno != ENOTDIR)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot read the folder %s", path);
    for (int i = 0; i < n; i++) {
        char *inner = crier_path_join(path, names[i]->d_name);
        if (rc == 0)
            rc = depth < 3 ? walk(w, inner, depth + 1, err) : w->file(w, inner, err);
        free(inner);
        free(names[i]);
    }
    free(names);
    size_t found = (w->hits.len - before) / sizeof(struct crier_record *);
    if (depth == 3 && found > 1)
        qsort(w->hits.data + before, found, sizeof(struct crier_record *), by_id);
    return rc;
}

static void fini(struct work *w)
{
    crier_reader_fini(&w->reader);
    crier_buf_fini(&w->chunk);
    crier_buf_fini(&w->places);
    crier_buf_fini(&w->top);
    crier_buf_fini(&w->name);
}

int crier_dayfiles_query(const char *path, const struct crier_query *query,
                         struct crier_record ***hits, size_t *count, struct crier_err *err)
{
    struct work w = {.query = query, .file = query_file};
    int rc = walk(&w, path, 0, err);
    *count = w.hits.len / sizeof(struct crier_record *);
    *hits = (struct crier_record **)(void *)w.hits.data;
    if (rc == 0 && w.bad && err)
        snprintf(err->text, sizeof err->text,
                 "%" PRIu64 " file%s or entries skipped, not as crier writes them: %s", w.bad,
                 w.bad == 1 ? "" : "s", w.bad_at);
    if (rc != 0) {
        for (size_t i = 0; i < *count; i++)
            crier_record_unref((*hits)[i]);
        crier_buf_fini(&w.hits);
        *hits = NULL;
        *count = 0;
    }
    fini(&w);
    return rc;
}

int crier_dayfiles_change(const char *path, const struct crier_query *query, const json_t *fields,
                          struct crier_str (*render)(void *arg, const struct crier_record *record,
                                                     const struct crier_dayentry *entry),
                          void *arg, uint64_t *changed, struct crier_err *err)
{
    struct crier_change change;
    struct work w = {.file = change_file, .change = &change, .render = render, .arg = arg};
    struct crier_record **hits = NULL;
    size_t count = 0;
    int rc = crier_change_init(&change, query, fields, err);
    if (rc == 0 && crier_query_has_events(query)) {
        rc = crier_dayfiles_query(path, query, &hits, &count, err);
        crier_change_learn(&change, hits, count);
    }
    if (rc == 0)
        rc = walk(&w, path, 0, err);
    *changed = change.changed;
    crier_change_fini(&change);
    fini(&w);
    return rc;
}
