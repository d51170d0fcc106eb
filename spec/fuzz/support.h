/* SPDX-License-Identifier: MIT
 *
 * What fuzz targets share (libFuzzer). Each file of this folder is a target; its seeds are the lines of
 * seeds/NAME.txt, where there is one (\n, \t, \\ and \xNN are read as in C).
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

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

/* A folder of this process, in memory where there is such a place; made once. */
static inline const char *scratch(void)
{
    static char folder[64];
    if (!*folder) {
        snprintf(folder, sizeof folder, "%s/crier-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        MUST(mkdtemp(folder));
    }
    return folder;
}

static inline void put_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    MUST(f && fwrite(data, 1, size, f) == size);
    MUST(fclose(f) == 0);
}

#endif
