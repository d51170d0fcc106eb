/* SPDX-License-Identifier: MIT
 *
 * The inside of a record; only for the files of this folder.
 *
 * One block: what belongs to the process (references, cached JSON), then the head and the data,
 * which hold no pointers and are what crier_record_bytes stores:
 *
 *     head | tape | text | logger | where | node
 *
 * The tape is a sequence of items: struct crier_tape_item, the key's bytes, the payload. The
 * payload of an object or array is the tape of what is inside, so that skipping an item is one
 * addition. Nothing is aligned: items are read with memcpy.
 */
#ifndef CRIER_RECORD_TAPE_H
#define CRIER_RECORD_TAPE_H

#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "crier/record.h"
#include "record/build.h"

#define CRIER_RECORD_MAGIC 0x52524943u /* "CIRR" where bytes are little-endian */
#define CRIER_RECORD_VERSION 1u
#define CRIER_TAPE_DEPTH 64                       /* open containers in a builder */
#define CRIER_TAPE_DEEPEST (CRIER_TAPE_DEPTH + 1) /* on the tape: those, inside `fields` */

/* What stands in JSON as it is, found when the record is built: the encoder copies it. */
enum { CRIER_PLAIN_KEY = 1, CRIER_PLAIN_STR = 2 };

struct crier_tape_item {
    uint8_t type;
    uint8_t plain; /* CRIER_PLAIN_* */
    uint16_t key;  /* length */
    uint32_t size; /* of the payload */
};

struct crier_record_head {
    uint32_t magic, version;
    uint32_t size; /* of head and data */
    uint32_t tape;
    uint64_t seq;
    int64_t time;
    unsigned char id[16];
    uint32_t text, logger, where, node; /* lengths */
    uint8_t kind, level;
    int8_t ok;
    uint8_t sim;
    uint8_t plain[4]; /* 0 or 1: text, logger, where, node */
};

struct crier_record {
    atomic_uint refs;
    uint32_t pool; /* which blocks are of this size; POOLS: no pool */
    /* Every thread that makes the text makes the same one, so the length may be stored by each. */
    _Atomic(size_t) json_len;
    _Atomic(char *) json;
    struct crier_record_head head;
    char data[];
};

/** crier_buf_reserve without the call where there is room. */
static inline char *crier_tape_room(struct crier_buf *b, size_t n)
{
    return b->cap - b->len > n ? b->data + b->len : crier_buf_reserve(b, n);
}

/** With one reference; `size` bytes from the head on, not yet written. */
struct crier_record *crier_record_alloc(size_t size);

/** crier_record_get with the name looked up already. */
bool crier_record_field(const struct crier_record *record, enum crier_field field, const char *path,
                        size_t len, struct crier_value *out, char scratch[32]);

/** Whether one of eight bytes is a control character, '"', '\\' or beyond ASCII. */
static inline uint64_t crier_odd_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
    return (word | (word - ones * ' ') | (quote - ones) | (slash - ones)) & highs;
}

/** Whether text is ASCII without control characters, '"' and '\\'. */
static inline bool crier_text_plain(const char *s, size_t len)
{
    uint64_t word, bad = 0;
    if (len >= sizeof word) {
        for (size_t i = 0; i + sizeof word < len; i += sizeof word) {
            memcpy(&word, s + i, sizeof word);
            bad |= crier_odd_bytes(word);
        }
        memcpy(&word, s + len - sizeof word, sizeof word);
    } else if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, s, 4);
        memcpy(&last, s + len - 4, 4);
        word = first | (uint64_t)last << 32;
    } else if (len > 0) {
        word = 0x2020202020000000u | (unsigned char)s[0] | (uint64_t)(unsigned char)s[len / 2] << 8 |
               (uint64_t)(unsigned char)s[len - 1] << 16;
    } else {
        return true;
    }
    return !(bad | crier_odd_bytes(word));
}

/** Length of the valid UTF-8 at the start of s. */
size_t crier_utf8_span(const char *s, size_t len);
/** Append with each byte that is not valid UTF-8 replaced by U+FFFD. */
void crier_utf8_append(struct crier_buf *b, const char *s, size_t len);
/** The largest length of at most max that does not cut a character. */
size_t crier_utf8_cut(const char *s, size_t len, size_t max);

#endif
