/* SPDX-License-Identifier: MIT
 *
 * Building a record. A builder is reused from record to record, so that a record costs one
 * allocation: its own block.
 *
 *     crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, wall_us);
 *     crier_build_logger(&b, "bot", 3);
 *     crier_build_text(&b, text, len);
 *     crier_build_str(&b, "user", 4, s, n);
 *     crier_build_open(&b, "guild", 5, CRIER_OBJECT); ... crier_build_close(&b);
 *     struct crier_record *r = crier_build_end(&b);
 *
 * Rules kept here, so that no caller needs to know them: strings are made valid UTF-8 (bad bytes
 * become U+FFFD); NaN and infinities become null; nesting beyond 64 is cut (the value becomes the
 * string "[too deep]"); a user's field with the name of a common member (`sim` too, or "fields")
 * goes into the object `fields`; keys are cut at 65,535 bytes, at the end of a character; a string
 * of more than CRIER_RECORD_MAX / 2 becomes "[too large]", and fields that would take a record
 * beyond CRIER_RECORD_MAX are left out. The block is position-independent (no pointers), so that
 * its bytes can be stored and read back: crier_record_bytes, crier_record_from_bytes.
 *
 * Thread: a builder belongs to one thread; `seq` is given by the source (one a host).
 */
#ifndef CRIER_RECORD_BUILD_H
#define CRIER_RECORD_BUILD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/ulid.h"
#include "crier/record.h"

/** The most that a record's fields take, and its text, in bytes. */
#define CRIER_RECORD_MAX (64u * 1024 * 1024)

/** Where records come from: the host has one, shared by its builders on the loop thread. */
struct crier_source {
    uint64_t seq;               /**< of the last record */
    struct crier_ulid_gen ids;
    char *node;                 /**< owned */
    bool sim;
};
void crier_source_init(struct crier_source *source, const char *node, bool sim,
                       const uint64_t *seed); /**< seed NULL: ids from the system */
void crier_source_fini(struct crier_source *source);

struct crier_builder {
    struct crier_source *source;
    struct crier_buf buf;
    /* private */
    struct crier_buf moved; /* user fields with reserved names */
    size_t open[64], last; /* where in the buffer the containers and the last item begin */
    unsigned depth, skip;
    bool in_fields, verbatim;
    int64_t time;
    int kind, level, ok;
    struct crier_str logger, text, where; /* borrowed until end */
};

void crier_builder_init(struct crier_builder *b, struct crier_source *source);
void crier_builder_fini(struct crier_builder *b);

void crier_build_begin(struct crier_builder *b, enum crier_kind kind, enum crier_level level,
                       int64_t wall_us);
/* Common members: the bytes are borrowed until crier_build_end. */
void crier_build_logger(struct crier_builder *b, const char *s, size_t len);
void crier_build_text(struct crier_builder *b, const char *s, size_t len);
void crier_build_where(struct crier_builder *b, const char *s, size_t len);
void crier_build_ok(struct crier_builder *b, bool ok);
void crier_build_level(struct crier_builder *b, enum crier_level level); /**< change of mind */

/* Fields; key is ignored inside an array (NULL, 0). Keys are copied. */
void crier_build_str(struct crier_builder *b, const char *key, size_t klen, const char *s,
                     size_t len);
void crier_build_int(struct crier_builder *b, const char *key, size_t klen, int64_t v);
void crier_build_num(struct crier_builder *b, const char *key, size_t klen, double v);
void crier_build_bool(struct crier_builder *b, const char *key, size_t klen, bool v);
void crier_build_null(struct crier_builder *b, const char *key, size_t klen);
void crier_build_snowflake(struct crier_builder *b, const char *key, size_t klen, uint64_t v);
void crier_build_time(struct crier_builder *b, const char *key, size_t klen, int64_t wall_us);
void crier_build_open(struct crier_builder *b, const char *key, size_t klen,
                      enum crier_type type); /**< CRIER_OBJECT or CRIER_ARRAY */
void crier_build_close(struct crier_builder *b);
/** A copy of a value (of another record), whole. */
void crier_build_value(struct crier_builder *b, const char *key, size_t klen,
                       const struct crier_value *v);
/** JSON text, parsed into a value: embeds, states. Text that is invalid, or that the scanner
 *  refuses (record/scan.h: deeper than 512, a number beyond double), becomes a string. */
void crier_build_json(struct crier_builder *b, const char *key, size_t klen, const char *json,
                      size_t len);

/** A value that a program hands in, under its own name: an object or array is out of a record, or
 *  JSON text that begins with its bracket. */
void crier_build_given(struct crier_builder *b, const struct crier_value *v);

/** The record, with a fresh id and the next seq, owned by the caller (one reference). Containers
 *  left open are closed. */
struct crier_record *crier_build_end(struct crier_builder *b);
/** The same without an id and a number, which crier_source_stamp gives it before anyone else sees
 *  it: records that several threads build at once for one source. Of the builder's source only
 *  `node` and `sim` are looked at. */
struct crier_record *crier_build_end_bare(struct crier_builder *b);
/** [one thread at a time] The source's next number, and an id. */
void crier_source_stamp(struct crier_source *source, struct crier_record *record);
/** Forget what was begun (an error on the way). */
void crier_build_cancel(struct crier_builder *b);

/** The common members of a record that is read back from a store. */
struct crier_stored {
    unsigned char id[16];
    uint64_t seq;
    int64_t time;
    enum crier_kind kind;
    enum crier_level level;
    int ok; /**< as crier_record_ok */
    bool sim;
    struct crier_str text, logger, where, node;
};
/** Begin a record that is read back: the builder's source is not asked (NULL is allowed), and no
 *  field is moved into `fields`, since that was done when the record was first built. */
void crier_build_restore_begin(struct crier_builder *b);
/** Begin a changed copy: the fields of a record, and its common members in *who, whose texts are
 *  borrowed from it. To be ended by crier_build_restore. */
void crier_build_copy(struct crier_builder *b, const struct crier_record *record,
                      struct crier_stored *who);
/** Take a field back, outside of containers. Whether it was there. */
bool crier_build_remove(struct crier_builder *b, const char *key, size_t klen);
/** The record with these common members, as crier_build_end. */
struct crier_record *crier_build_restore(struct crier_builder *b, const struct crier_stored *who);

/* For literal keys: B_STR(b, "name", s). */
#define CRIER_B_STR(b, key, s) crier_build_str(b, key, sizeof(key) - 1, s, strlen(s))
#define CRIER_B_INT(b, key, v) crier_build_int(b, key, sizeof(key) - 1, v)
#define CRIER_B_NUM(b, key, v) crier_build_num(b, key, sizeof(key) - 1, v)
#define CRIER_B_BOOL(b, key, v) crier_build_bool(b, key, sizeof(key) - 1, v)
#define CRIER_B_SNOWFLAKE(b, key, v) crier_build_snowflake(b, key, sizeof(key) - 1, v)
#define CRIER_B_TIME(b, key, v) crier_build_time(b, key, sizeof(key) - 1, v)
#define CRIER_B_OPEN(b, key, type) crier_build_open(b, key, sizeof(key) - 1, type)

/** A copy with a fresh id and the next seq of this source. */
struct crier_record *crier_record_renew(const struct crier_record *record,
                                        struct crier_source *source);

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

/** The calling thread makes most records from now on (or not any more): it gets the memory of freed
 *  ones back. One thread at a time. */
void crier_record_recycle(bool on);
/** It will be read in a moment: another thread has made it, so it is fetched from that one's cache. */
void crier_record_soon(const struct crier_record *record);
/** crier_record_json, added to b. The text is not kept with a record that nobody else holds. */
void crier_record_json_append(struct crier_record *record, struct crier_buf *b);

/** The block's bytes, for storing; valid as long as the record. Native byte order, versioned. */
struct crier_str crier_record_bytes(const struct crier_record *record);
/** Read stored bytes back (copied). Every length and tag is checked; CRIER_ECORRUPT,
 *  CRIER_EVERSION. */
CRIER_CHECK int crier_record_from_bytes(const void *data, size_t len, struct crier_record **out,
                                        struct crier_err *err);

#endif
