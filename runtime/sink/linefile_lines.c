/* SPDX-License-Identifier: MIT */
#include "sink/linefile_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

enum { CHUNK = 256 * 1024 };

static bool is_packed(const char *path)
{
    size_t len = strlen(path);
    return len > 4 && strcmp(path + len - 4, ".zst") == 0;
}

int crier_lines_open(struct crier_lines *l, const char *path, bool quoted, struct crier_err *err)
{
    *l = (struct crier_lines){.fd = open(path, O_RDONLY | O_CLOEXEC), .quoted = quoted};
    bool packed = is_packed(path);
    if (l->fd < 0 && errno == ENOENT && !packed) {
        char *other = crier_asprintf("%s.zst", path);
        l->fd = open(other, O_RDONLY | O_CLOEXEC);
        packed = true;
        free(other);
    }
    if (l->fd < 0)
        return crier_err_sys(err, errno == ENOENT ? CRIER_ENOTFOUND : CRIER_EIO, errno,
                             "cannot read %s", path);
    if (packed)
        l->zstd = ZSTD_createDStream();
    return 0;
}

void crier_lines_close(struct crier_lines *l)
{
    if (l->fd >= 0)
        close(l->fd);
    ZSTD_freeDStream(l->zstd);
    crier_buf_fini(&l->packed);
    crier_buf_fini(&l->buf);
    l->fd = -1;
    l->zstd = NULL;
}

void crier_lines_seek(struct crier_lines *l, int64_t at)
{
    crier_buf_clear(&l->buf);
    l->begin = l->behind = 0;
    l->eof = lseek(l->fd, at, SEEK_SET) < 0;
    l->at = at;
}

bool crier_lines_two_way(const struct crier_lines *l)
{
    return !l->zstd && !l->quoted;
}

int crier_lines_to_end(struct crier_lines *l, struct crier_err *err)
{
    crier_buf_clear(&l->buf);
    l->begin = l->behind = 0;
    l->at = l->base = lseek(l->fd, 0, SEEK_END);
    return l->at < 0 ? crier_err_sys(err, CRIER_EIO, errno, "cannot read a file of lines") : 0;
}

static ssize_t read_some(int fd, struct crier_buf *b)
{
    ssize_t n;
    char *to = crier_buf_reserve(b, CHUNK);
    do
        n = read(fd, to, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        b->len += (size_t)n;
    return n;
}

/* More bytes out of the packed ones; whether there were any. */
static bool unpack(struct crier_lines *l)
{
    ZSTD_inBuffer in = {l->packed.data, l->packed.len, l->packed_at};
    ZSTD_outBuffer out = {crier_buf_reserve(&l->buf, CHUNK), CHUNK, 0};
    size_t rc = ZSTD_decompressStream(l->zstd, &out, &in);
    l->packed_at = in.pos;
    l->buf.len += out.pos;
    l->broken = ZSTD_isError(rc);
    return out.pos > 0;
}

static int fill_packed(struct crier_lines *l)
{
    while (!l->broken) {
        if (unpack(l))
            return 1;
        if (l->broken || l->packed_at < l->packed.len)
            break;
        crier_buf_clear(&l->packed);
        l->packed_at = 0;
        ssize_t n = read_some(l->fd, &l->packed);
        if (n < 0)
            return -1;
        if (n == 0)
            return 0;
    }
    return 0;
}

/* 1: there is more in buf, 0: the end, -1: errno. */
static int fill(struct crier_lines *l)
{
    if (l->begin > 0) {
        memmove(l->buf.data, l->buf.data + l->begin, l->buf.len - l->begin);
        l->buf.len -= l->begin;
        l->behind -= l->begin;
        l->begin = 0;
    }
    if (l->zstd)
        return fill_packed(l);
    ssize_t n = read_some(l->fd, &l->buf);
    return n < 0 ? -1 : n > 0;
}

static bool odd_quotes(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += s[i] == '"';
    return n & 1;
}

int crier_lines_next(struct crier_lines *l, struct crier_str *line, struct crier_err *err)
{
    size_t seen; /* how much of the line at hand has been looked at */
    bool open = false;
    l->at += (int64_t)(l->behind - l->begin);
    l->begin = l->behind;
    seen = 0;
    for (;;) {
        size_t left = l->buf.len - l->begin - seen;
        /* Of an empty file there is no buffer. */
        const char *from = left ? l->buf.data + l->begin + seen : "";
        const char *end = left ? memchr(from, '\n', left) : NULL;
        if (l->quoted)
            open ^= odd_quotes(from, end ? (size_t)(end - from) : left);
        if (end) {
            seen += (size_t)(end - from) + 1;
            if (open)
                continue;
            l->ended = true;
            break;
        }
        seen += left;
        int rc = l->eof || seen >= CRIER_LINES_MAX ? 0 : fill(l);
        if (rc < 0)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot read a file of lines");
        if (rc == 0) {
            l->eof |= seen < CRIER_LINES_MAX;
            l->ended = false;
            break;
        }
    }
    l->behind = l->begin + seen;
    *line = (struct crier_str){l->buf.data + l->begin, l->ended ? seen - 1 : seen};
    if (l->ended && line->len && line->data[line->len - 1] == '\r')
        line->len--;
    return seen > 0;
}

/* More of the file in front of buf, which is cut off behind the line's end: as much again as the
 * line has by now, so that a long one is not moved once a chunk. */
static int fill_front(struct crier_lines *l)
{
    size_t more = l->begin > CHUNK ? l->begin : CHUNK;
    struct crier_buf front = {0};
    if ((int64_t)more > l->base)
        more = (size_t)l->base;
    char *to = crier_buf_reserve(&front, more + l->begin);
    for (size_t got = 0; got < more;) {
        ssize_t n = pread(l->fd, to + got, more - got, (off_t)(l->base - (int64_t)(more - got)));
        if (n == 0)
            errno = EIO; /* cut off behind our back */
        if (n == 0 || (n < 0 && errno != EINTR)) {
            crier_buf_fini(&front);
            return -1;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    if (l->begin)
        memcpy(to + more, l->buf.data, l->begin);
    front.len = more + l->begin;
    crier_buf_fini(&l->buf);
    l->buf = front;
    l->base -= (int64_t)more;
    l->begin += more;
    return 0;
}

int crier_lines_prev(struct crier_lines *l, struct crier_str *line, struct crier_err *err)
{
    size_t seen = 0; /* of the line at hand, from its end */
    const char *end = NULL;
    for (;;) {
        /* The line's own end does not count. */
        size_t own = seen ? 0 : 1;
        if (l->begin > seen + own)
            end = memrchr(l->buf.data, '\n', l->begin - seen - own);
        seen = l->begin;
        if (end || l->base == 0 || seen >= CRIER_LINES_MAX)
            break;
        if (fill_front(l) != 0)
            return crier_err_sys(err, CRIER_EIO, errno, "cannot read a file of lines");
    }
    l->behind = l->begin;
    l->begin = end ? (size_t)(end - l->buf.data) + 1 : 0;
    l->at = l->base + (int64_t)l->begin;
    size_t len = l->behind - l->begin;
    if (!len)
        return 0;
    l->ended = l->buf.data[l->behind - 1] == '\n';
    *line = (struct crier_str){l->buf.data + l->begin, l->ended ? len - 1 : len};
    if (l->ended && line->len && line->data[line->len - 1] == '\r')
        line->len--;
    return 1;
}

struct crier_str crier_lines_raw(const struct crier_lines *l)
{
    return (struct crier_str){l->buf.data + l->begin, l->behind - l->begin};
}

void crier_lines_reject(struct crier_lines *l)
{
    const char *from = l->buf.data + l->begin;
    const char *end = memchr(from, '\n', l->behind - l->begin);
    if (end)
        l->behind = l->begin + (size_t)(end - from) + 1;
}
