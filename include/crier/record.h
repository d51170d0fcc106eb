/* SPDX-License-Identifier: MIT
 *
 * Records: what happened, immutable, one memory block each.
 *
 * Life cycle. The loop builds a record (runtime/record/build.h), hands it to the router, and every
 * sink that takes it holds a reference until it is written. Nothing in a record ever changes; a
 * record whose last reference goes is freed on whatever thread that happens.
 *
 * Shape. Every record has the common members below; further fields are an ordered list of named
 * values, which may be objects and arrays of such values. Names and strings are UTF-8, not
 * NUL-terminated in general: use the lengths. (The members: lua/README.md, Records.)
 *
 * Thread: [any] for everything here.
 */
#ifndef CRIER_RECORD_H
#define CRIER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crier/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum crier_kind {
    CRIER_KIND_LOG,
    CRIER_KIND_MESSAGE,
    CRIER_KIND_TASK,
    CRIER_KIND_EVENT,
    CRIER_KIND_SYSTEM,
    CRIER_KIND_INVITE,
    CRIER_KIND_COUNT
};

/** The numbers are those of Python's logging, which users know: 10 .. 50. */
enum crier_level {
    CRIER_DEBUG = 10,
    CRIER_INFO = 20,
    CRIER_LEVEL_WARNING = 30,
    CRIER_LEVEL_ERROR = 40,
    CRIER_CRITICAL = 50
};

enum crier_type {
    CRIER_NULL,
    CRIER_FALSE,
    CRIER_TRUE,
    CRIER_INT,       /**< int64_t */
    CRIER_NUM,       /**< double; finite */
    CRIER_STR,       /**< valid UTF-8, may hold NUL */
    CRIER_SNOWFLAKE, /**< uint64_t: a string in jsonl and Lua, an integer in day files and SQL */
    CRIER_TIME,      /**< int64_t, microseconds UTC: RFC 3339 text in JSON, seconds in Lua */
    CRIER_ARRAY,
    CRIER_OBJECT
};

/** A slice of text. */
struct crier_str {
    const char *data;
    size_t len;
};

struct crier_record; /* opaque */

CRIER_API struct crier_record *crier_record_ref(struct crier_record *record);
CRIER_API void crier_record_unref(struct crier_record *record); /**< NULL is allowed */

/* The common members. Strings live as long as the record. */
/** ULID as text. */
CRIER_API void crier_record_id(const struct crier_record *record, char out[27]);
/** 16 bytes. */
CRIER_API const unsigned char *crier_record_id_bytes(const struct crier_record *record);
CRIER_API uint64_t crier_record_seq(const struct crier_record *record);
CRIER_API int64_t crier_record_time(const struct crier_record *record); /**< microseconds UTC */
CRIER_API enum crier_kind crier_record_kind(const struct crier_record *record);
CRIER_API enum crier_level crier_record_level(const struct crier_record *record);
/** 1 true, 0 false, -1 the record has no `ok`. */
CRIER_API int crier_record_ok(const struct crier_record *record);
CRIER_API bool crier_record_sim(const struct crier_record *record); /**< made by --sim */
CRIER_API struct crier_str crier_record_node(const struct crier_record *record);
CRIER_API struct crier_str crier_record_logger(const struct crier_record *record);
CRIER_API struct crier_str crier_record_text(const struct crier_record *record);
/** May be empty. */
CRIER_API struct crier_str crier_record_where(const struct crier_record *record);

/** One value, with its name where it stands in an object. */
struct crier_value {
    enum crier_type type;
    struct crier_str key; /**< empty in arrays */
    union {
        int64_t i;            /**< INT, TIME */
        uint64_t u;           /**< SNOWFLAKE */
        double n;             /**< NUM */
        struct crier_str s;   /**< STR */
        struct crier_str raw; /**< ARRAY, OBJECT: iterate with crier_values */
    };
};

/** Iterating. `struct crier_iter it = crier_record_fields(r); while (crier_next(&it, &v)) ...` */
struct crier_iter {
    const char *at, *end;
};
/** The further fields, in the order in which they were added. */
CRIER_API struct crier_iter crier_record_fields(const struct crier_record *record);
/** The members of an object or the items of an array; of anything else: nothing. */
CRIER_API struct crier_iter crier_values(const struct crier_value *value);
CRIER_API bool crier_next(struct crier_iter *it, struct crier_value *out);
/** By dotted name; common members first ("level", "ok", "guild.id", "channels.failed"). A number
 *  is an array's item, from 1; a key that holds dots itself is found too. False when the record has
 *  no such field (an absent `where` or `ok`; `sim` is always there). Common members come as
 *  the types that JSON has for them (id STR, seq INT, time TIME, kind STR, level STR, ok bool);
 *  `scratch` (32 bytes) backs a string that is made on the spot (id). */
CRIER_API bool crier_record_get(const struct crier_record *record, const char *path,
                                struct crier_value *out, char scratch[32]);

/** The record as one JSON object without newline: common members first, in the order of
 *  lua/README.md, Records, then the fields. Made at most once a record and kept with it; the text
 * lives as long as the record. */
CRIER_API struct crier_str crier_record_json(struct crier_record *record);

CRIER_API const char *crier_kind_name(enum crier_kind kind);
CRIER_API bool crier_kind_parse(const char *name, size_t len, enum crier_kind *out);
CRIER_API const char *crier_level_name(enum crier_level level);
/** "debug info warning error critical" (any case; "warn" too) or "10".."50"; a number between two
 *  levels is the lower one. */
CRIER_API bool crier_level_parse(const char *name, size_t len, enum crier_level *out);

#ifdef __cplusplus
}
#endif
#endif
