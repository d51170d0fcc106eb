/* SPDX-License-Identifier: MIT
 *
 * Records read back from text: what crier_record_json wrote, in any order and with any white
 * space.
 *
 * JSON has fewer types than records have, so two are restored from what the text says: in records
 * of every kind but `log` (whose fields are the user's own), a string or integer under `id`,
 * `*_id` or `snowflake` that is a Discord id (15 to 20 digits) is a SNOWFLAKE, and a string that is a time as
 * crier writes it (2026-11-21T22:31:10.123456Z) is a TIME.
 *
 * Thread: [any]; a reader belongs to one thread.
 */
#ifndef CRIER_RECORD_READ_H
#define CRIER_RECORD_READ_H

#include "record/build.h"
#include "record/scan.h"

/** Read freely between calls of the functions that fill it; zero-initialised is valid. */
struct crier_reader {
    struct crier_builder b;
    struct crier_stored who;
    /* private */
    struct crier_buf kept[4]; /* text, logger, where, node */
    unsigned seen;            /* bit 1 << field: common members that were there */
    bool fields;              /* one was read */
    bool again;               /* the kind came behind fields that mean something else with it */
    bool kind_given;          /* it was known before the text was read */
};

void crier_reader_fini(struct crier_reader *reader);

/** One JSON object, whole. The record is the caller's. CRIER_EINVAL: not JSON, or not a record (no
 *  id, time, kind or level, or one that is none). */
CRIER_CHECK int crier_reader_read(struct crier_reader *reader, const char *json, size_t len,
                                  struct crier_record **out, struct crier_err *err);

/* The same in steps, for stores with a shape of their own: begin, then members, then end. */
void crier_reader_begin(struct crier_reader *reader);
/** What the scanner has just given as a member of the record: a common member or a field, with all
 *  that is inside. False: it is no value that this common member can have, or no JSON. */
CRIER_CHECK bool crier_reader_member(struct crier_reader *reader, struct crier_scan *scan,
                                     enum crier_scan_event event);
/** As crier_reader_member, with a string. */
CRIER_CHECK bool crier_reader_string(struct crier_reader *reader, struct crier_str key,
                                     struct crier_str s);
/** A value inside of containers that the caller has opened in `b`, or a field. */
CRIER_CHECK bool crier_reader_value(struct crier_reader *reader, struct crier_str key,
                                    struct crier_scan *scan, enum crier_scan_event event);
/** A string there: a SNOWFLAKE or TIME where it is one. */
void crier_reader_text(struct crier_reader *reader, struct crier_str key, struct crier_str s);
/** NULL: a common member that a record needs is missing. */
struct crier_record *crier_reader_end(struct crier_reader *reader);

/** A time as crier_time_rfc3339 writes it, exactly. */
bool crier_time_read(const char *s, size_t len, int64_t *out_us);

#endif
