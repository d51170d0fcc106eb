/* SPDX-License-Identifier: MIT
 *
 * Memory and growing byte buffers.
 *
 * Out of memory in C aborts with one line on stderr: these functions never return NULL. (Lua has
 * an allocator of its own with a cap; running into that is a Lua error.)
 *
 * Thread: [any]; a buffer belongs to one thread at a time.
 */
#ifndef CRIER_BASE_BUF_H
#define CRIER_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "crier/err.h"

#define CRIER_COUNT(array) (sizeof(array) / sizeof *(array))
#define CRIER_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

void *crier_malloc(size_t size);
void *crier_calloc(size_t count, size_t size);
void *crier_realloc(void *ptr, size_t size);
char *crier_strdup(const char *s);            /**< NULL gives NULL */
char *crier_strndup(const char *s, size_t n); /**< NULL gives NULL */
char *crier_asprintf(const char *fmt, ...) CRIER_PRINTF(1, 2);

enum { CRIER_UINT_SIZE = 24 };
/** A number in decimal, as %u would write it but without its cost: it is what ids are all the time.
 *  Returns out, which then holds the text. */
char *crier_uint_text(uint64_t v, char out[CRIER_UINT_SIZE]);

/** Bytes that grow. Zero-initialised is empty and valid. `data` is always NUL-terminated once
 *  anything was appended (the NUL is not counted in len). */
struct crier_buf {
    char *data;
    size_t len, cap;
};

void crier_buf_fini(struct crier_buf *b);
void crier_buf_clear(struct crier_buf *b); /**< len = 0, memory kept */
void crier_buf_grow(struct crier_buf *b, size_t n); /**< what crier_buf_reserve does where there is none */
/** Room for n more bytes (and the NUL). Returns the place to write; then add to len yourself. */
static inline char *crier_buf_reserve(struct crier_buf *b, size_t n)
{
    if (b->len + n + 1 > b->cap)
        crier_buf_grow(b, n);
    return b->data + b->len;
}
static inline void crier_buf_append(struct crier_buf *b, const void *data, size_t n)
{
    char *to = crier_buf_reserve(b, n);
    if (n)
        memcpy(to, data, n);
    to[n] = '\0';
    b->len += n;
}
static inline void crier_buf_puts(struct crier_buf *b, const char *s)
{
    crier_buf_append(b, s, strlen(s));
}
static inline void crier_buf_putc(struct crier_buf *b, char c)
{
    char *to = crier_buf_reserve(b, 1);
    to[0] = c;
    to[1] = '\0';
    b->len++;
}
void crier_buf_uint(struct crier_buf *b, uint64_t v); /**< in decimal */
void crier_buf_printf(struct crier_buf *b, const char *fmt, ...) CRIER_PRINTF(2, 3);
/** The text, owned by the caller (free()); never NULL. The buffer is empty afterwards. */
char *crier_buf_take(struct crier_buf *b);

/** Read a whole file. CRIER_ENOTFOUND, CRIER_EIO (in `sys` errno), CRIER_ELIMIT above max bytes. */
CRIER_CHECK int crier_file_read(const char *path, size_t max, struct crier_buf *out,
                                struct crier_err *err);
/** mkdir -p with 0755 (0700 when private). */
CRIER_CHECK int crier_mkdirs(const char *path, bool private_, struct crier_err *err);
/** "a/b" + "c" = "a/b/c"; an absolute second part wins. Caller frees. */
char *crier_path_join(const char *dir, const char *name);
/** The same file always by the same name: absolute, symbolic links followed. Of a file that is not
 *  there its folder's; else as it was given. The caller frees. */
char *crier_path_real(const char *path);

/** The nearest of n names by edit distance, for "did you mean"; NULL when none is near enough. */
const char *crier_nearest(const char *word, const char *const *names, size_t n);

#endif
