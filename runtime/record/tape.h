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

#include "base/buf.h"
#include "crier/record.h"

#define CRIER_RECORD_MAGIC 0x52524943u /* "CIRR" where bytes are little-endian */
#define CRIER_RECORD_VERSION 1u
#define CRIER_TAPE_DEPTH 64                  /* open containers in a builder */
#define CRIER_TAPE_DEEPEST (CRIER_TAPE_DEPTH + 1) /* on the tape: those, inside `fields` */

struct crier_tape_item {
    uint8_t type;
    uint8_t zero;
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
    uint32_t zero;
};

struct crier_record {
    atomic_uint refs;
    /* Every thread that makes the text makes the same one, so the length may be stored by each. */
    _Atomic(size_t) json_len;
    _Atomic(char *) json;
    struct crier_record_head head;
    char data[];
};

/** The common members, and everything else. */
enum crier_field {
    CRIER_FIELD_OTHER,
    CRIER_FIELD_ID,
    CRIER_FIELD_SEQ,
    CRIER_FIELD_TIME,
    CRIER_FIELD_NODE,
    CRIER_FIELD_KIND,
    CRIER_FIELD_LEVEL,
    CRIER_FIELD_LOGGER,
    CRIER_FIELD_TEXT,
    CRIER_FIELD_WHERE,
    CRIER_FIELD_OK,
    CRIER_FIELD_SIM
};
enum crier_field crier_field_of(const char *name, size_t len);
/** crier_record_get with the name looked up already. */
bool crier_record_field(const struct crier_record *record, enum crier_field field,
                        const char *path, size_t len, struct crier_value *out, char scratch[32]);

/** Length of the valid UTF-8 at the start of s. */
size_t crier_utf8_span(const char *s, size_t len);
/** Append with each byte that is not valid UTF-8 replaced by U+FFFD. */
void crier_utf8_append(struct crier_buf *b, const char *s, size_t len);
/** The largest length of at most max that does not cut a character of valid UTF-8. */
size_t crier_utf8_cut(const char *s, size_t len, size_t max);

#endif
