/* SPDX-License-Identifier: MIT
 * A spool's folder as anything may have left it: a segment, and behind the first 64 bytes of the input that
 * are the cursor. It opens, gives what is whole, and takes more. */
#include "support.h"

#include "sink/spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CURSOR = 40 };
    struct crier_spool_config config = {.segment_bytes = 4096, .max_bytes = 1 << 20};
    struct crier_spool *spool = NULL;
    struct crier_spool_entry e;
    struct crier_err err = {0};
    char *cursor = crier_path_join(scratch(), "cursor");
    char *segment = crier_path_join(scratch(), "00000001.spool");
    if (size > 1 && data[0] & 1)
        put_file(cursor, data + 1, size - 1 < CURSOR ? size - 1 : CURSOR);
    size_t skip = size > 1 && data[0] & 1 ? 1 + (size - 1 < CURSOR ? size - 1 : CURSOR) : size > 0;
    put_file(segment, data + skip, size - skip);
    int rc = crier_spool_open(scratch(), &config, &spool, &err);
    if (rc == 0) {
        size_t n = 0;
        while (crier_spool_read(spool, &e))
            n++;
        if (crier_spool_append(spool, 7, "abc", 3, &err) == 0) {
            MUST(crier_spool_read(spool, &e));
            MUST(e.seq == 7 && e.len == 3 && memcmp(e.data, "abc", 3) == 0);
            n++;
        }
        crier_spool_ack(spool, n);
        MUST(crier_spool_count(spool) == 0);
        crier_spool_close(spool);
    }
    free(cursor);
    free(segment);
    empty_folder(scratch());
    return 0;
}
