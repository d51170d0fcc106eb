/* SPDX-License-Identifier: MIT
 * A spool's folder as anything may have left it. The first byte says how it is made: odd: of the input's
 * own bytes (a cursor of 40 bytes in front of a segment); even: entries of the input are appended and some
 * answered for, then bytes of the files are changed. It opens, gives whole entries in order, takes more,
 * and has that at the next opening. */
#include "support.h"

#include "sink/spool.h"

enum { CURSOR = 40, ENTRIES = 12 };
static const struct crier_spool_config config = {.segment_bytes = 4096, .max_bytes = 1 << 20};

static struct crier_spool *open_spool(void)
{
    struct crier_spool *spool = NULL;
    struct crier_err err = {0};
    if (crier_spool_open(scratch(), &config, &spool, &err) != 0)
        MUST(err.text[0] && !spool);
    return spool;
}

static void put_raw(const uint8_t *data, size_t size)
{
    char *cursor = crier_path_join(scratch(), "cursor");
    char *segment = crier_path_join(scratch(), "00000001.spool");
    size_t n = size < CURSOR ? size : CURSOR;
    put_file(cursor, data, n);
    put_file(segment, data + n, size - n);
    free(cursor);
    free(segment);
}

/* The text of the i-th entry; large ones, so that there are several segments. */
static size_t entry_text(unsigned i, char out[2048])
{
    size_t len = i % 3 == 2 ? 1900 : 40 + i;
    memset(out, 'a' + (int)i, len);
    return len;
}

static void put_entries(unsigned n, unsigned answered)
{
    struct crier_spool *spool = open_spool();
    struct crier_spool_entry e;
    struct crier_err err = {0};
    char text[2048];
    for (unsigned i = 0; i < n; i++) {
        size_t len = entry_text(i, text);
        MUST(crier_spool_append(spool, 100 + i, text, len, &err) == 0);
    }
    for (unsigned i = 0; i < answered; i++)
        MUST(crier_spool_read(spool, &e));
    crier_spool_ack(spool, answered);
    crier_spool_mark_batch(spool, (n - answered) / 2);
    crier_spool_mark_copied(spool, (n - answered) / 3);
    crier_spool_close(spool);
}

/* Four bytes each: which file, where (two), what. */
static void change_files(const uint8_t *edits, size_t size)
{
    char *pattern = crier_asprintf("%s/*", scratch());
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (; size >= 4; size -= 4, edits += 4) {
            FILE *f = fopen(found.gl_pathv[edits[0] % found.gl_pathc], "r+b");
            MUST(f && fseek(f, (edits[1] | edits[2] << 8) % 4096, SEEK_SET) == 0);
            MUST(fputc(edits[3], f) != EOF && fclose(f) == 0);
        }
        globfree(&found);
    }
    free(pattern);
}

/* What is read are entries that were appended, in their order, each as it was. */
static void judge(const struct crier_spool_entry *e, uint64_t *last)
{
    char text[2048];
    MUST(e->seq >= 100 && e->seq < 100 + ENTRIES && e->seq > *last);
    size_t len = entry_text((unsigned)(e->seq - 100), text);
    MUST(e->len == len && memcmp(e->data, text, len) == 0);
    *last = e->seq;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_spool_stats stats;
    struct crier_spool_entry e;
    struct crier_err err = {0};
    uint64_t last = 0, n = 0;
    if (size < 2)
        return 0;
    bool raw = data[0] & 1;
    if (raw) {
        put_raw(data + 1, size - 1);
    } else {
        unsigned count = data[0] / 2 % (ENTRIES + 1);
        put_entries(count, count ? data[1] % (count + 1) : 0);
        change_files(data + 2, size - 2);
    }
    struct crier_spool *spool = open_spool();
    if (!spool)
        goto out;
    for (; crier_spool_read(spool, &e); n++)
        if (!raw)
            judge(&e, &last);
    MUST(n == crier_spool_count(spool));
    MUST(crier_spool_batch(spool) <= n && crier_spool_copied(spool) <= n);
    crier_spool_rewind(spool);
    if (n)
        MUST(crier_spool_read(spool, &e) && crier_spool_peek(spool, n - 1, &e, 1) == 1);
    MUST(crier_spool_append(spool, 7, "abc", 3, &err) == 0);
    crier_spool_ack(spool, n);
    crier_spool_close(spool);
    spool = open_spool();
    MUST(spool && crier_spool_count(spool) == 1 && crier_spool_read(spool, &e));
    MUST(e.seq == 7 && e.len == 3 && memcmp(e.data, "abc", 3) == 0);
    crier_spool_stats(spool, &stats);
    MUST(stats.lost == 0 && stats.damaged == 0);
    crier_spool_ack(spool, 1);
    crier_spool_close(spool);
out:
    empty_folder(scratch());
    return 0;
}
