/* SPDX-License-Identifier: MIT
 *
 * What fuzz targets share (libFuzzer): README.md here.
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise that does not hold. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as a text: C strings end at the first NUL. */
static inline char *text_of(const uint8_t *data, size_t size)
{
    return crier_strndup((const char *)data, size);
}

/* Behind a NUL in the input comes a second text; *data and *size are then it. */
static inline char *text_before_nul(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, 0, *size);
    size_t len = end ? (size_t)(end - *data) : *size, skip = end ? len + 1 : len;
    char *text = crier_strndup((const char *)*data, len);
    *data += skip;
    *size -= skip;
    return text;
}

static inline void empty_folder(const char *folder)
{
    char *pattern = crier_asprintf("%s/*", folder);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
        globfree(&found);
    }
    free(pattern);
}

static inline char *scratch_path(void)
{
    static char path[256];
    return path;
}

static inline void scratch_remove(void)
{
    empty_folder(scratch_path());
    rmdir(scratch_path());
}

/* A folder of this process: the one that spec/fuzz.sh gives, and removes, or one of our own. */
static inline const char *scratch(void)
{
    const char *given = getenv("CRIER_FUZZ_SCRATCH");
    char *path = scratch_path();
    if (!*path && given) {
        snprintf(path, 256, "%s", given);
    } else if (!*path) {
        snprintf(path, 256, "/tmp/crier-fuzz-XXXXXX");
        MUST(mkdtemp(path));
        atexit(scratch_remove);
    }
    return path;
}

static inline void put_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    MUST(f && fwrite(data, 1, size, f) == size);
    MUST(fclose(f) == 0);
}

#endif
