/* SPDX-License-Identifier: MIT */
#include "sink/linefile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zstd.h>

#include "base/duration.h"
#include "base/ulid.h"
#include "record/build.h"
#include "sink/linefile_lines.h"

enum {
    LOCK_TRIES = 100,     /* a millisecond apart */
    LOOK_BACK = 64 << 20, /* bytes at the end of a file that are read for ids */
    PACK_SLICE = 4 << 20, /* bytes packed before the sink is asked for new records */
    NUMBER_DIGITS = 6,
    DATE_LEN = 10,
    LEFT_BEHIND = 600, /* seconds */
};
#define PACK_AGAIN (60 * CRIER_S) /* after a failure */
#define DAY (86400 * CRIER_S)

typedef unsigned char id_bytes[16];

struct pack {
    char *source; /* NULL: nothing is being packed */
    int from, to;
    ZSTD_CStream *stream;
    struct crier_buf in, out;
};

struct crier_linefile {
    const struct crier_line_format *format;
    struct crier_clock *clock;
    const struct crier_zone *zone;
    char *path, *folder, *stem, *suffix; /* path = folder/stem + suffix */
    int64_t max_size, period, keep;
    bool compress;

    int fd;
    int64_t size;           /* of what is whole in the live file */
    int64_t start, finish;  /* of the live file's period, wall time; finish CRIER_NEVER: none */
    struct crier_buf lines; /* added and not written */
    struct crier_buf ends;  /* size_t each: where each line ends in `lines` */
    size_t header;          /* bytes of a header at the start of `lines` */
    size_t stored;

    id_bytes *ids;              /* sorted */
    size_t id_count, ids_until; /* forgotten when so many new lines are stored */
    bool ids_known;

    bool look_for_packs;
    int64_t pack_at;
    struct pack pack;
};

/* ---- names ---- */

static bool all_digits(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return len > 0;
}

/* The number of a closed file from its name in the folder; 0: it is none. */
static uint64_t closed_number(const struct crier_linefile *f, const char *name, bool *packed)
{
    size_t stem = strlen(f->stem), suffix = strlen(f->suffix), digits = 0;
    if (strncmp(name, f->stem, stem) != 0 || name[stem] != '.')
        return 0;
    const char *number = name + stem + 1;
    while (number[digits] >= '0' && number[digits] <= '9')
        digits++;
    const char *rest = number + digits;
    if (digits < NUMBER_DIGITS || digits > 18 || *rest != '.' || strlen(rest) < 1 + DATE_LEN)
        return 0;
    rest++;
    if (!all_digits(rest, 4) || rest[4] != '-' || !all_digits(rest + 5, 2) || rest[7] != '-' ||
        !all_digits(rest + 8, 2) || strncmp(rest + DATE_LEN, f->suffix, suffix) != 0)
        return 0;
    rest += DATE_LEN + suffix;
    *packed = strcmp(rest, ".zst") == 0;
    return *rest == '\0' || *packed ? strtoull(number, NULL, 10) : 0;
}

struct closed {
    uint64_t number;
    bool packed;
    char *path;
};

static int by_number(const void *a, const void *b)
{
    const struct closed *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (int)x->packed - (int)y->packed;
}

static void free_closed(struct closed *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].path);
    free(list);
}

/* The closed files, oldest first. A file and what it was packed into count once, as the file. */
static struct closed *list_closed(const struct crier_linefile *f, size_t *count)
{
    struct crier_buf found = {0};
    DIR *dir = opendir(f->folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        struct closed c = {0};
        c.number = closed_number(f, entry->d_name, &c.packed);
        if (!c.number)
            continue;
        c.path = crier_path_join(f->folder, entry->d_name);
        crier_buf_append(&found, &c, sizeof c);
    }
    if (dir)
        closedir(dir);
    struct closed *list = (struct closed *)(void *)found.data;
    size_t n = found.len / sizeof *list, kept = 0;
    if (n)
        qsort(list, n, sizeof *list, by_number);
    for (size_t i = 0; i < n; i++) {
        bool twice = kept && list[i].packed && !list[kept - 1].packed &&
                     list[i].number == list[kept - 1].number;
        if (twice)
            free(list[i].path);
        else
            list[kept++] = list[i];
    }
    *count = kept;
    return list;
}

char **crier_linefile_list(const struct crier_linefile *f)
{
    size_t n;
    struct closed *closed = list_closed(f, &n);
    char **list = crier_calloc(n + 2, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = closed[i].path;
    list[n] = crier_strdup(f->path);
    free(closed);
    return list;
}

const char *crier_linefile_path(const struct crier_linefile *f)
{
    return f->path;
}

/* ---- periods ---- */

static int64_t day_number(const struct crier_civil *c)
{
    struct tm tm = {.tm_year = c->year - 1900, .tm_mon = c->month - 1, .tm_mday = c->day};
    return (int64_t)timegm(&tm) / 86400;
}

/* Wall time of a day and microseconds after its midnight. */
static int64_t instant(const struct crier_linefile *f, int64_t day, int64_t after)
{
    time_t seconds = (time_t)(day * 86400 + after / CRIER_S);
    struct tm tm;
    int64_t wall = 0;
    gmtime_r(&seconds, &tm);
    struct crier_civil c = {.year = tm.tm_year + 1900,
                            .month = tm.tm_mon + 1,
                            .day = tm.tm_mday,
                            .hour = tm.tm_hour,
                            .minute = tm.tm_min,
                            .second = tm.tm_sec,
                            .micros = (int)(after % CRIER_S)};
    return crier_civil_to_wall(f->zone, &c, &wall, NULL) == 0 ? wall : (int64_t)seconds * CRIER_S;
}

/* The period that a time is in. Periods of days count from Monday, 29 December 1969, so that weeks
 * begin on Mondays; shorter ones count from each midnight. */
static void period_of(const struct crier_linefile *f, int64_t time, int64_t *start, int64_t *finish)
{
    struct crier_civil c;
    *start = INT64_MIN;
    *finish = CRIER_NEVER;
    if (!f->period)
        return;
    crier_civil_at(f->zone, time, &c);
    int64_t day = day_number(&c);
    if (f->period >= DAY) {
        int64_t days = f->period / DAY, first = day - (day + 3) % days;
        *start = instant(f, first, 0);
        *finish = instant(f, first + days, 0);
        return;
    }
    int64_t of_day = ((c.hour * 60LL + c.minute) * 60 + c.second) * CRIER_S + c.micros;
    int64_t from = of_day - of_day % f->period, to = from + f->period;
    *start = instant(f, day, from);
    *finish = to >= DAY ? instant(f, day + 1, 0) : instant(f, day, to);
    /* Where the clock goes back, the first of two equal hours also takes what the second brings. */
    if (*finish <= time)
        *finish = time + f->period - of_day % f->period;
}

/* ---- opening ---- */

int crier_linefile_new(const struct crier_options *options, const struct crier_sink_env *env,
                       const struct crier_line_format *format, struct crier_linefile **out,
                       struct crier_err *err)
{
    struct stat st;
    const struct crier_option_value *size = crier_options_get(options, "max_size");
    const struct crier_option_value *period = crier_options_get(options, "period");
    const struct crier_option_value *keep = crier_options_get(options, "keep");
    char *path = crier_path_join(env->folder, crier_options_get(options, "path")->s);
    char *slash = strrchr(path, '/');
    int rc = 0;
    if (!slash[1] || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        rc = crier_err_set(err, CRIER_ECONFIG, "path '%s' is a folder; name a file in it", path);
    else if (strlen(slash + 1) > 200)
        rc = crier_err_set(err, CRIER_ECONFIG,
                           "path: the file's name is longer than 200 bytes, which leaves no room "
                           "for the names of closed files");
    else if (period->i > DAY && period->i % DAY)
        rc = crier_err_set(err, CRIER_ECONFIG,
                           "period: above a day it has to be whole days, such as \"2d\" or \"1w\"");
    if (rc != 0) {
        free(path);
        return rc;
    }
    struct crier_linefile *f = crier_calloc(1, sizeof *f);
    f->format = format;
    f->clock = env->clock;
    f->zone = env->zone;
    f->path = path;
    f->folder = slash == path ? crier_strdup("/") : crier_strndup(path, (size_t)(slash - path));
    const char *dot = strrchr(slash + 1, '.');
    if (!dot || dot == slash + 1)
        dot = path + strlen(path);
    f->stem = crier_strndup(slash + 1, (size_t)(dot - slash - 1));
    f->suffix = crier_strdup(dot);
    f->max_size = size->i;
    f->period = period->i;
    f->keep = keep->i;
    f->compress = crier_options_get(options, "compress")->i;
    f->fd = -1;
    f->finish = CRIER_NEVER;
    f->look_for_packs = f->compress && !env->read_only;
    *out = f;
    return 0;
}

static void close_live(struct crier_linefile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static void drop_pack(struct crier_linefile *f)
{
    struct pack *p = &f->pack;
    if (!p->source)
        return;
    char *half = crier_asprintf("%s.zst.tmp", p->source);
    unlink(half);
    free(half);
    free(p->source);
    close(p->from);
    close(p->to);
    ZSTD_freeCStream(p->stream);
    crier_buf_fini(&p->in);
    crier_buf_fini(&p->out);
    *p = (struct pack){0};
}

void crier_linefile_free(struct crier_linefile *f)
{
    if (!f)
        return;
    drop_pack(f);
    close_live(f);
    crier_buf_fini(&f->lines);
    crier_buf_fini(&f->ends);
    free(f->ids);
    free(f->path);
    free(f->folder);
    free(f->stem);
    free(f->suffix);
    free(f);
}

void crier_linefile_reopen(struct crier_linefile *f)
{
    close_live(f);
}

static int lock_live(struct crier_linefile *f, struct crier_err *err)
{
    for (int i = 0; flock(f->fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot lock %s", f->path);
        if (i == LOCK_TRIES)
            return crier_err_set(err, CRIER_EBUSY, "%s is locked by another process", f->path);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

/* Open where needed and lock what stands at the path. *fresh: this descriptor is a new one. */
static int open_live(struct crier_linefile *f, bool *fresh, struct stat *st, struct crier_err *err)
{
    struct stat at_path;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (f->fd < 0) {
            int rc = crier_mkdirs(f->folder, false, err);
            if (rc != 0)
                return rc;
            *fresh = true;
            f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
            if (f->fd < 0)
                return crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", f->path);
        }
        int rc = lock_live(f, err);
        if (rc != 0)
            return rc;
        if (fstat(f->fd, st) == 0 && stat(f->path, &at_path) == 0 && st->st_ino == at_path.st_ino &&
            st->st_dev == at_path.st_dev)
            return 0;
        close_live(f);
    }
    return crier_err_set(err, CRIER_EBUSY, "%s is renamed again and again", f->path);
}

int crier_linefile_hold(struct crier_linefile *f, bool *there, struct crier_err *err)
{
    struct stat st;
    bool fresh;
    *there = access(f->path, F_OK) == 0;
    return *there ? open_live(f, &fresh, &st, err) : 0;
}

/* Closed, also when nothing was changed: a descriptor that was opened for this is one whose file
 * has not been looked through. */
void crier_linefile_let_go(struct crier_linefile *f)
{
    close_live(f);
}

void crier_linefile_stop_packing(struct crier_linefile *f)
{
    drop_pack(f);
    f->look_for_packs = f->compress;
    f->pack_at = 0;
}

const char *crier_linefile_end(const struct crier_linefile *f)
{
    return f->format->end;
}

/* ---- what stands in the file ---- */

static bool read_id(const struct crier_linefile *f, struct crier_str line, id_bytes out)
{
    char text[CRIER_ULID_LEN + 1];
    size_t lead = f->format->id_lead ? strlen(f->format->id_lead) : 0;
    if (!f->format->id_lead || line.len < lead + CRIER_ULID_LEN ||
        memcmp(line.data, f->format->id_lead, lead) != 0)
        return false;
    memcpy(text, line.data + lead, CRIER_ULID_LEN);
    text[CRIER_ULID_LEN] = '\0';
    return crier_ulid_parse(text, out);
}

struct look {
    struct crier_buf ids; /* 16 bytes each, the newest last; twice CRIER_LINEFILE_IDS at most */
    int64_t time;         /* of the last line that has one; INT64_MIN */
    int64_t good;         /* behind the last line that is whole */
    bool torn;            /* there is more */
    bool whole;           /* and it only lacks its end */
    bool foreign_header;
};

static void look_at_line(const struct crier_linefile *f, struct look *look, struct crier_str line)
{
    id_bytes id;
    const size_t most = (size_t)CRIER_LINEFILE_IDS * sizeof id;
    if (read_id(f, line, id)) {
        if (look->ids.len >= 2 * most) {
            memmove(look->ids.data, look->ids.data + look->ids.len - most, most);
            look->ids.len = most;
        }
        crier_buf_append(&look->ids, id, sizeof id);
    }
    if (f->format->time)
        f->format->time(f->format, line, &look->time);
}

/* Where to begin: LOOK_BACK before the end, at a line that has an id. 0: at the start. */
static int64_t place_to_begin(const struct crier_linefile *f, struct crier_lines *lines,
                              int64_t size)
{
    struct crier_str line;
    id_bytes id;
    if (size <= LOOK_BACK || !f->format->id_lead)
        return 0;
    bool quoted = lines->quoted;
    int64_t at = 0;
    lines->quoted = false;
    crier_lines_seek(lines, size - LOOK_BACK);
    while (at == 0 && crier_lines_next(lines, &line, NULL) == 1) {
        if (lines->at > size - LOOK_BACK && read_id(f, line, id))
            at = lines->at;
    }
    lines->quoted = quoted;
    return at;
}

/* Whether what follows an open quote is lines after all: then the quote is damage in the middle,
 * and not a line that was cut short. */
static bool lines_follow(const struct crier_linefile *f, struct crier_lines *lines)
{
    struct crier_str line;
    do {
        if (lines->ended && f->format->row(f->format, line))
            return true;
        crier_lines_reject(lines);
    } while (crier_lines_next(lines, &line, NULL) == 1);
    return false;
}

/* The first line has to be the header. What a kill has left of it counts as torn. */
static int look_at_header(const struct crier_linefile *f, struct crier_lines *lines,
                          struct look *look, struct crier_err *err)
{
    struct crier_str line, header = f->format->header;
    int got = crier_lines_next(lines, &line, err);
    if (got < 0)
        return got;
    size_t len = lines->behind - lines->begin;
    bool same = len <= header.len && memcmp(line.data, header.data, len) == 0;
    look->torn = same && len < header.len;
    look->foreign_header = !same;
    look->good = look->torn ? 0 : (int64_t)header.len;
    return 0;
}

static void look_at_tail(const struct crier_linefile *f, struct crier_lines *lines,
                         struct crier_str line, struct look *look)
{
    look->torn = true;
    look->whole = f->format->whole && f->format->whole(line);
    if (look->whole) {
        look_at_line(f, look, line);
    } else if (f->format->quoted && lines_follow(f, lines)) {
        look->torn = lines->buf.data[lines->buf.len - 1] != '\n';
        look->whole = true;
    }
}

/* Read what stands in a file from an offset on, which is behind a line. */
static int look_through(const struct crier_linefile *f, const char *path, int64_t from,
                        int64_t size, struct look *look, struct crier_err *err)
{
    struct crier_lines lines;
    struct crier_str line;
    int got, rc = crier_lines_open(&lines, path, f->format->quoted, err);
    *look = (struct look){.time = INT64_MIN, .good = from};
    if (rc != 0)
        return rc;
    if (from == 0 && size > 0 && f->format->header.len) {
        rc = look_at_header(f, &lines, look, err);
        if (rc != 0 || look->foreign_header || look->torn)
            goto out;
    }
    if (!from && !lines.zstd)
        from = place_to_begin(f, &lines, size);
    if (from)
        crier_lines_seek(&lines, from);
    while ((got = crier_lines_next(&lines, &line, err)) == 1) {
        if (!lines.ended) {
            look_at_tail(f, &lines, line, look);
            break;
        }
        look_at_line(f, look, line);
        look->good = lines.at + (int64_t)(lines.behind - lines.begin);
    }
    rc = got < 0 ? got : 0;
out:
    crier_lines_close(&lines);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(id_bytes));
}

/* What a change that was killed has left beside the files. */
static void sweep(const struct crier_linefile *f)
{
    DIR *dir = opendir(f->folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        struct stat st;
        bool packed;
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 4, ".new") != 0)
            continue;
        char *path = crier_path_join(f->folder, entry->d_name);
        entry->d_name[len - 4] = '\0';
        bool ours = strcmp(entry->d_name, strrchr(f->path, '/') + 1) == 0 ||
                    closed_number(f, entry->d_name, &packed);
        /* A younger one may be another process' at work. */
        if (ours && stat(path, &st) == 0 &&
            st.st_mtime < crier_clock_wall(f->clock) / CRIER_S - LEFT_BEHIND)
            unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
}

/* The ids of the live file and, where it has few, of the one closed last. */
static void learn_ids(struct crier_linefile *f, const struct look *live)
{
    struct look last = {0};
    size_t n;
    f->ids_known = true;
    sweep(f);
    if (!f->format->id_lead)
        return;
    if (live->ids.len / sizeof(id_bytes) < CRIER_LINEFILE_IDS) {
        struct stat st;
        struct closed *closed = list_closed(f, &n);
        if (n && stat(closed[n - 1].path, &st) == 0) {
            int rc = look_through(f, closed[n - 1].path, 0, st.st_size, &last, NULL);
            (void)rc; /* a closed file that cannot be read has no say */
        }
        free_closed(closed, n);
    }
    f->id_count = (live->ids.len + last.ids.len) / sizeof(id_bytes);
    f->ids = crier_malloc(f->id_count * sizeof(id_bytes) + 1);
    if (last.ids.len)
        memcpy(f->ids, last.ids.data, last.ids.len);
    if (live->ids.len)
        memcpy((char *)f->ids + last.ids.len, live->ids.data, live->ids.len);
    qsort(f->ids, f->id_count, sizeof(id_bytes), by_bytes);
    f->ids_until = CRIER_LINEFILE_IDS;
    crier_buf_fini(&last.ids);
}

static int mend(struct crier_linefile *f, const struct look *look, int64_t size,
                struct crier_err *err)
{
    if (!look->torn) {
        f->size = size;
        return 0;
    }
    if (!look->whole) {
        f->size = look->good;
        return ftruncate(f->fd, look->good) == 0
                   ? 0
                   : crier_err_sys(err, CRIER_EIO, errno, "cannot cut the torn end of %s", f->path);
    }
    size_t len = strlen(f->format->end);
    ssize_t n = write(f->fd, f->format->end, len);
    if (n == (ssize_t)len) {
        f->size = size + n;
        return 0;
    }
    int sys = n < 0 ? errno : ENOSPC;
    int rc = n > 0 ? ftruncate(f->fd, size) : 0;
    (void)rc; /* looked at again by the next try */
    return crier_err_sys(err, CRIER_EIO, sys, "cannot end the last line of %s", f->path);
}

/* ---- closing files ---- */

static void delete_old(struct crier_linefile *f)
{
    size_t n;
    if (!f->keep)
        return;
    struct closed *closed = list_closed(f, &n);
    for (size_t i = 0; i + (size_t)f->keep < n; i++) {
        unlink(closed[i].path);
        if (!closed[i].packed) {
            char *packed = crier_asprintf("%s.zst", closed[i].path);
            unlink(packed);
            free(packed);
        }
    }
    free_closed(closed, n);
}

/* Rename the live file, which is locked, to the next closed one, and open another. `start` is when
 * it began, for its name. */
static int close_file(struct crier_linefile *f, int64_t start, struct stat *st,
                      struct crier_err *err)
{
    size_t n;
    struct crier_civil c;
    struct closed *closed = list_closed(f, &n);
    uint64_t number = n ? closed[n - 1].number + 1 : 1;
    int rc = 0;
    bool fresh;
    free_closed(closed, n);
    crier_civil_at(f->zone, start, &c);
    char *path = crier_asprintf("%s/%s.%0*llu.%04d-%02d-%02d%s", f->folder, f->stem, NUMBER_DIGITS,
                                (unsigned long long)number, c.year, c.month, c.day, f->suffix);
    if (rename(f->path, path) != 0)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot rename %s to %s", f->path, path);
    free(path);
    if (rc != 0)
        return rc;
    close_live(f);
    f->look_for_packs = f->compress;
    f->pack_at = 0;
    delete_old(f);
    return open_live(f, &fresh, st, err);
}

static void set_period(struct crier_linefile *f, int64_t time)
{
    period_of(f, time, &f->start, &f->finish);
    if (f->start == INT64_MIN)
        f->start = time;
}

static int64_t file_time(const struct look *look, const struct stat *st)
{
    return look->time != INT64_MIN ? look->time : (int64_t)st->st_mtime * CRIER_S;
}

/* The live file is empty: its period is that of the first line. */
static void begin_empty(struct crier_linefile *f)
{
    f->size = 0;
    f->start = INT64_MIN;
    f->finish = INT64_MIN;
}

/* Make sure of what stands in the live file behind an offset. */
static int take_over(struct crier_linefile *f, int64_t from, struct stat *st, struct crier_err *err)
{
    struct look look = {0};
    int rc = look_through(f, f->path, from, st->st_size, &look, err);
    if (rc == 0 && look.foreign_header) {
        rc = close_file(f, (int64_t)st->st_mtime * CRIER_S, st, err);
        if (rc == 0 && st->st_size == 0)
            begin_empty(f);
        else if (rc == 0)
            rc = crier_err_set(err, CRIER_EBUSY, "%s was begun by another process", f->path);
    } else if (rc == 0) {
        rc = mend(f, &look, st->st_size, err);
        if (rc == 0 && f->size <= (int64_t)f->format->header.len)
            f->start = f->finish = INT64_MIN;
        else if (from == 0 || f->finish == INT64_MIN)
            set_period(f, file_time(&look, st));
    }
    if (rc == 0 && !f->ids_known)
        learn_ids(f, &look);
    crier_buf_fini(&look.ids);
    return rc;
}

static int begin(struct crier_linefile *f, struct crier_err *err)
{
    struct stat st;
    bool fresh = false;
    crier_buf_clear(&f->lines);
    crier_buf_clear(&f->ends);
    f->header = f->stored = 0;
    int rc = open_live(f, &fresh, &st, err);
    if (rc == 0 && (fresh || st.st_size != f->size)) {
        if (st.st_size == 0 && f->ids_known)
            begin_empty(f);
        else
            rc = take_over(f, !fresh && st.st_size > f->size ? f->size : 0, &st, err);
    }
    if (rc != 0)
        close_live(f);
    return rc;
}

static bool holds(const struct crier_linefile *f, const unsigned char id[16])
{
    return f->id_count && bsearch(id, f->ids, f->id_count, sizeof(id_bytes), by_bytes);
}

/* ---- writing ---- */

/* How many lines end within the first n bytes of `lines`, and where the last of them does. */
static size_t lines_within(const struct crier_linefile *f, size_t n, size_t *end)
{
    size_t count = f->ends.len / sizeof(size_t), low = 0, one;
    *end = n >= f->header ? f->header : 0;
    while (low < count) {
        memcpy(&one, f->ends.data + low * sizeof one, sizeof one);
        if (one > n)
            break;
        *end = one;
        low++;
    }
    return low;
}

static void wrote(struct crier_linefile *f, size_t lines)
{
    f->stored += lines;
    if (!f->id_count)
        return;
    f->ids_until -= lines < f->ids_until ? lines : f->ids_until;
    if (f->ids_until)
        return;
    free(f->ids);
    f->ids = NULL;
    f->id_count = 0;
}

/* Write what was added. A short write is tried once more, which tells why it was short. */
static int write_out(struct crier_linefile *f, struct crier_err *err)
{
    size_t at = 0, whole;
    int sys = 0;
    while (at < f->lines.len && !sys) {
        ssize_t n = write(f->fd, f->lines.data + at, f->lines.len - at);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0)
            sys = ENOSPC;
        else if (errno != EINTR)
            sys = errno;
    }
    size_t lines = lines_within(f, at, &whole);
    f->size += (int64_t)whole;
    if (at != whole && ftruncate(f->fd, f->size) != 0)
        close_live(f); /* it is mended when it is opened again */
    wrote(f, lines);
    crier_buf_clear(&f->lines);
    crier_buf_clear(&f->ends);
    f->header = 0;
    return sys ? crier_err_sys(err, CRIER_EIO, sys, "cannot write %s", f->path) : 0;
}

static int rotate(struct crier_linefile *f, struct crier_err *err)
{
    struct stat st;
    int64_t start = f->start;
    int rc = f->lines.len ? write_out(f, err) : 0;
    if (rc == 0)
        rc = close_file(f, start == INT64_MIN ? crier_clock_wall(f->clock) : start, &st, err);
    if (rc != 0)
        return rc;
    if (st.st_size == 0)
        begin_empty(f);
    else
        rc = take_over(f, 0, &st, err); /* another process was faster */
    return rc;
}

static int add_line(struct crier_linefile *f, int64_t time, const char *line, size_t len,
                    struct crier_err *err)
{
    const struct crier_line_format *format = f->format;
    size_t end_len = strlen(format->end);
    int64_t full = f->size + (int64_t)f->lines.len, add = (int64_t)(len + end_len);
    bool empty = full <= (int64_t)format->header.len;
    int rc = 0;
    if (time >= f->finish) {
        /* A record from the future, by a clock that was wrong, does not close today's file. */
        int64_t now = crier_clock_wall(f->clock);
        if (time > now)
            time = now;
    }
    if (!empty && (time >= f->finish || (f->max_size && full + add > f->max_size)))
        rc = rotate(f, err);
    else if (f->lines.len + len > CRIER_LINEFILE_WRITE)
        rc = write_out(f, err);
    if (rc != 0)
        return rc;
    if (f->size == 0 && f->lines.len == 0 && format->header.len) {
        crier_buf_append(&f->lines, format->header.data, format->header.len);
        f->header = format->header.len;
    }
    if (f->finish == INT64_MIN)
        set_period(f, time);
    char *to = crier_buf_reserve(&f->lines, len + end_len);
    memcpy(to, line, len);
    memcpy(to + len, format->end, end_len);
    f->lines.len += len + end_len;
    crier_buf_append(&f->ends, &f->lines.len, sizeof f->lines.len);
    return 0;
}

/* Write what was added and unlock. f->stored tells how many lines are in the files. */
static int end(struct crier_linefile *f, struct crier_err *err)
{
    int rc = 0;
    if (f->fd >= 0 && f->ends.len)
        rc = write_out(f, err);
    crier_buf_clear(&f->lines);
    crier_buf_clear(&f->ends);
    if (f->lines.cap > 2 * (size_t)CRIER_LINEFILE_WRITE)
        crier_buf_fini(&f->lines);
    if (f->fd >= 0)
        flock(f->fd, LOCK_UN);
    return rc;
}

enum crier_verdict crier_linefile_write(struct crier_linefile *f,
                                        struct crier_str (*line)(void *arg,
                                                                 struct crier_record *record),
                                        void *arg, struct crier_record *const *records,
                                        size_t count, size_t *done, struct crier_err *err)
{
    *done = 0;
    int rc = begin(f, err);
    if (rc != 0)
        return CRIER_RETRY_LATER;
    bool *held = f->id_count ? crier_calloc(count + 1, sizeof *held) : NULL;
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (i + 2 < count)
            crier_record_soon(records[i + 2]);
        if (held && (held[i] = holds(f, crier_record_id_bytes(records[i]))))
            continue;
        struct crier_str text = line(arg, records[i]);
        rc = add_line(f, crier_record_time(records[i]), text.data, text.len, err);
    }
    int last = end(f, rc == 0 ? err : NULL);
    size_t stored = f->stored;
    while (*done < count && ((held && held[*done]) || stored > 0)) {
        stored -= !(held && held[*done]);
        ++*done;
    }
    free(held);
    return rc == 0 && last == 0 ? CRIER_WRITTEN : CRIER_RETRY_LATER;
}

/* ---- packing ---- */

/* The oldest closed file that is not packed. */
static char *next_to_pack(struct crier_linefile *f)
{
    size_t n;
    char *path = NULL;
    struct closed *closed = list_closed(f, &n);
    for (size_t i = 0; i < n && !path; i++) {
        if (closed[i].packed)
            continue;
        path = closed[i].path;
        closed[i].path = NULL;
    }
    free_closed(closed, n);
    return path;
}

static bool begin_pack(struct crier_linefile *f)
{
    struct pack *p = &f->pack;
    struct stat st;
    char *path = next_to_pack(f);
    if (!path) {
        f->look_for_packs = false;
        return false;
    }
    char *half = crier_asprintf("%s.zst.tmp", path);
    p->from = open(path, O_RDONLY | O_CLOEXEC);
    p->to = open(half, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    free(half);
    /* Another process may be packing it, or may just have done so. */
    bool mine = p->from >= 0 && p->to >= 0 && flock(p->to, LOCK_EX | LOCK_NB) == 0 &&
                stat(path, &st) == 0 && ftruncate(p->to, 0) == 0;
    if (mine) {
        p->source = path;
        p->stream = ZSTD_createCStream();
        ZSTD_initCStream(p->stream, 3);
        return true;
    }
    if (p->from >= 0)
        close(p->from);
    if (p->to >= 0)
        close(p->to);
    free(path);
    return false;
}

static bool write_all(int fd, struct crier_buf *b)
{
    size_t at = 0;
    while (at < b->len) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    crier_buf_clear(b);
    return true;
}

static bool pack_bytes(struct pack *p, bool last)
{
    ZSTD_inBuffer in = {p->in.data, p->in.len, 0};
    size_t left;
    do {
        size_t room = ZSTD_CStreamOutSize();
        ZSTD_outBuffer out = {crier_buf_reserve(&p->out, room), room, 0};
        left = ZSTD_compressStream2(p->stream, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return false;
        p->out.len += out.pos;
        if (!write_all(p->to, &p->out))
            return false;
    } while (in.pos < in.size || (last && left));
    return true;
}

static bool finish_pack(struct crier_linefile *f)
{
    struct pack *p = &f->pack;
    char *half = crier_asprintf("%s.zst.tmp", p->source);
    char *whole = crier_asprintf("%s.zst", p->source);
    bool good = fsync(p->to) == 0 && access(p->source, F_OK) == 0 && rename(half, whole) == 0;
    if (good)
        unlink(p->source);
    free(half);
    free(whole);
    return good;
}

/* One slice; when to be called again. */
static int64_t go_on_packing(struct crier_linefile *f, int64_t now)
{
    struct pack *p = &f->pack;
    ssize_t n = 0;
    if (!f->look_for_packs)
        return CRIER_NEVER;
    if (now < f->pack_at)
        return f->pack_at;
    if (!p->source && !begin_pack(f)) {
        f->pack_at = now + PACK_AGAIN;
        return f->look_for_packs ? f->pack_at : CRIER_NEVER;
    }
    crier_buf_clear(&p->in);
    n = read(p->from, crier_buf_reserve(&p->in, PACK_SLICE), PACK_SLICE);
    if (n > 0)
        p->in.len = (size_t)n;
    bool good = n >= 0 && pack_bytes(p, n == 0);
    if (good && n > 0)
        return now;
    if (good)
        good = finish_pack(f);
    if (!good)
        f->pack_at = now + PACK_AGAIN;
    drop_pack(f);
    return good ? now : f->pack_at;
}

int64_t crier_linefile_idle(struct crier_linefile *f, int64_t now)
{
    int64_t wall = crier_clock_wall(f->clock), due = CRIER_NEVER;
    bool lines = f->size > (int64_t)f->format->header.len;
    if (f->fd >= 0 && lines && wall >= f->finish && begin(f, NULL) == 0) {
        lines = f->size > (int64_t)f->format->header.len;
        int rc = lines && wall >= f->finish ? rotate(f, NULL) : 0;
        rc = end(f, NULL);
        (void)rc; /* the next write says what is wrong */
        lines = f->size > (int64_t)f->format->header.len;
    }
    if (f->fd >= 0 && lines && f->finish != CRIER_NEVER && f->finish > wall)
        due = now + (f->finish - wall);
    int64_t packing = go_on_packing(f, now);
    return packing < due ? packing : due;
}
