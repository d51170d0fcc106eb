/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *checked(void *ptr, size_t size)
{
    if (!ptr && size) {
        fprintf(stderr, "crier: out of memory (%zu bytes)\n", size);
        abort();
    }
    return ptr;
}

/* Not inlined: of it and the memset in crier_calloc the compiler would make a calloc again. */
__attribute__((noinline)) void *crier_malloc(size_t size)
{
    return checked(malloc(size), size);
}

void *crier_calloc(size_t count, size_t size)
{
    /* glibc's calloc does not look into the thread's cache of small blocks; malloc does. */
    enum { SMALL = 1024 };
    if (size && count <= SMALL / size)
        return memset(crier_malloc(count * size), 0, count * size);
    return checked(calloc(count, size), count * size);
}

void *crier_realloc(void *ptr, size_t size)
{
    return checked(realloc(ptr, size), size);
}

char *crier_strdup(const char *s)
{
    return s ? crier_strndup(s, strlen(s)) : NULL;
}

char *crier_strndup(const char *s, size_t n)
{
    if (!s)
        return NULL;
    char *copy = crier_malloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

static void vappend(struct crier_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char *to = crier_buf_reserve(b, 128);
    int n = vsnprintf(to, 129, fmt, ap);
    if (n > 128) {
        to = crier_buf_reserve(b, (size_t)n);
        vsnprintf(to, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0)
        b->len += (size_t)n;
    b->data[b->len] = '\0';
}

char *crier_asprintf(const char *fmt, ...)
{
    char small[256], *text;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    text = crier_malloc((size_t)n + 1);
    if ((size_t)n < sizeof small)
        memcpy(text, small, (size_t)n + 1);
    else
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

void crier_buf_fini(struct crier_buf *b)
{
    free(b->data);
    *b = (struct crier_buf){0};
}

void crier_buf_clear(struct crier_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void crier_buf_grow(struct crier_buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap * 2 : 64;
    if (cap < b->len + n + 1)
        cap = b->len + n + 1;
    b->data = crier_realloc(b->data, cap);
    b->cap = cap;
}

/* Writes towards the front; returns where the number begins. */
static char *put_uint(char *end, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    while (v >= 100) {
        end -= 2;
        memcpy(end, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        end -= 2;
        memcpy(end, pairs + v * 2, 2);
    } else {
        *--end = (char)('0' + v);
    }
    return end;
}

char *crier_uint_text(uint64_t v, char out[CRIER_UINT_SIZE])
{
    char text[CRIER_UINT_SIZE];
    char *end = text + sizeof text - 1, *at = put_uint(end, v);
    *end = '\0';
    return memcpy(out, at, (size_t)(end - at) + 1);
}

void crier_buf_uint(struct crier_buf *b, uint64_t v)
{
    char text[CRIER_UINT_SIZE];
    char *end = text + sizeof text, *at = put_uint(end, v);
    crier_buf_append(b, at, (size_t)(end - at));
}

void crier_buf_printf(struct crier_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vappend(b, fmt, ap);
    va_end(ap);
}

char *crier_buf_take(struct crier_buf *b)
{
    crier_buf_reserve(b, 0);
    b->data[b->len] = '\0';
    /* What is taken is kept: without the room to grow. */
    char *text = crier_realloc(b->data, b->len + 1);
    *b = (struct crier_buf){0};
    return text;
}

int crier_file_read(const char *path, size_t max, struct crier_buf *out, struct crier_err *err)
{
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return crier_err_sys(err, errno == ENOENT ? CRIER_ENOTFOUND : CRIER_EIO, errno,
                             "cannot read '%s'", path);
    for (;;) {
        char *to = crier_buf_reserve(out, 64 * 1024);
        ssize_t n = read(fd, to, 64 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", path);
            goto out;
        }
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0)
            break;
        if (out->len > max) {
            rc = crier_err_set(err, CRIER_ELIMIT, "'%s' is larger than %zu bytes", path, max);
            goto out;
        }
    }
out:
    close(fd);
    return rc;
}

int crier_mkdirs(const char *path, bool private_, struct crier_err *err)
{
    int rc = 0;
    char *copy = crier_strdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (*copy && mkdir(copy, private_ && !end ? 0700 : 0755) != 0 && errno != EEXIST) {
            rc = crier_err_sys(err, CRIER_EIO, errno, "cannot create the folder '%s'", copy);
            goto out;
        }
        *p = end;
        if (!end)
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot use the folder '%s'", path);
    else if (!S_ISDIR(st.st_mode))
        rc = crier_err_set(err, CRIER_EIO, "'%s' is not a folder", path);
out:
    free(copy);
    return rc;
}

char *crier_path_join(const char *dir, const char *name)
{
    if (name[0] == '/' || !dir || !*dir)
        return crier_strdup(name);
    return crier_asprintf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
}

char *crier_path_real(const char *path)
{
    char *real = realpath(path, NULL);
    if (real)
        return real;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? crier_strndup(path, (size_t)(slash - path) + 1) : crier_strdup(".");
    real = realpath(dir, NULL);
    char *out = real ? crier_path_join(real, slash ? slash + 1 : path) : crier_strdup(path);
    free(real);
    free(dir);
    return out;
}

/* Optimal string alignment distance: insert, delete, replace, swap neighbours. */
static size_t distance(const char *a, size_t la, const char *b, size_t lb)
{
    enum { MAX = 40 };
    if (la > MAX || lb > MAX)
        return MAX;
    size_t d[MAX + 1][MAX + 1];
    for (size_t i = 0; i <= la; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[la][lb];
}

const char *crier_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t len = strlen(word);
    size_t limit = len < 4 ? 1 : len < 8 ? 2 : 3;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, len, names[i], strlen(names[i]));
        if (d <= limit) {
            best = names[i];
            limit = d ? d - 1 : 0;
            if (!d)
                break;
        }
    }
    return best;
}
