/* SPDX-License-Identifier: MIT
 *
 * Queries: which records, in which order, how many. One query serves every store; stores with a
 * language of their own (SQL) read the conditions below, all others call crier_query_wants.
 *
 *     struct crier_query *q = crier_query_new(zone);
 *     rc = crier_query_add(q, "kind", CRIER_OP_EQ, &message, 1, err);
 *     crier_query_open(q, CRIER_OP_ANY);
 *     rc = crier_query_add(q, "guild.id", CRIER_OP_EQ, &id, 1, err);
 *     rc = crier_query_add(q, "success_rate", CRIER_OP_LT, &half, 1, err);
 *     crier_query_close(q);
 *     if (crier_query_match(q, record)) ...
 *
 * Rules (told to users in lua/README.md, Matches and Queries), which each store has to keep:
 *   - Conditions next to each other are joined by AND; a group says any, all or no of its own. An
 *     empty `any` is false, an empty `all` or `no` is true.
 *   - Numbers (INT, NUM, TIME) compare with each other by value, exactly; a TIME counts as its
 *     seconds, to the microsecond. A TIME also compares with a string that is a date (ISO 8601; in
 *     the query's zone where the string names none).
 *   - A SNOWFLAKE compares by value with numbers and with strings of decimal digits.
 *   - Strings compare byte by byte. `level` compares by severity with names and with 10..50.
 *   - Booleans compare with booleans, false first; null equals null and a missing field. Values of
 *     different kinds are not equal, and neither greater nor less: GT, GE, LT, LE, RANGE are false.
 *   - NE is exactly "not EQ": it matches a record without the field.
 *   - RANGE includes both ends; null is an open end; with both ends open any value but null fits.
 *   - LIKE: % is any text, _ one character, \ takes the next one literally; ASCII letters match in
 *     any case. Only strings, `level`, `kind` and snowflakes (their digits) are looked at.
 *   - REGEX: a Perl-compatible pattern (PCRE2) that fits somewhere in the text; characters are UTF-8,
 *     letters and digits those of Unicode; on the same values as LIKE. A pattern that needs more than
 *     CRIER_REGEX_STEPS on one text is given up: crier_query_fault.
 *   - Order: null and missing first, then booleans, numbers, strings, then objects and arrays,
 *     which count as equal; `desc` is the reverse. Records that are equal keep their order.
 *
 * Events are told in phases, a record each. A query gives an event as one record (crier_records_fold),
 * and its conditions are on that one; so a store gives all phases of whatever event may match.
 *
 * Thread: [any]; a query that is complete can be matched by many threads at once.
 */
#ifndef CRIER_RECORD_QUERY_H
#define CRIER_RECORD_QUERY_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/duration.h"
#include "crier/record.h"

enum crier_op {
    CRIER_OP_EQ,
    CRIER_OP_NE,
    CRIER_OP_GT,
    CRIER_OP_GE,
    CRIER_OP_LT,
    CRIER_OP_LE,
    CRIER_OP_RANGE,  /**< two values: from and to */
    CRIER_OP_ONE_OF, /**< any number of values; none: matches nothing */
    CRIER_OP_LIKE,   /**< a string */
    CRIER_OP_REGEX,  /**< a string */
    /* groups: the conditions that follow, up to `end` */
    CRIER_OP_ANY,
    CRIER_OP_ALL,
    CRIER_OP_NO
};

/** A constant. `value` is what was given (never ARRAY or OBJECT; strings belong to the query); the
 *  rest is what a string means beside its own text, found once. */
struct crier_const {
    struct crier_value value;
    bool is_time, is_digits;
    int64_t time;    /**< is_time: microseconds UTC */
    uint64_t digits; /**< is_digits */
    int level;       /**< in a condition on `level`: 10..50, 0 when it names none */
};

struct crier_cond {
    enum crier_op op;
    char *path;                 /**< NULL in groups */
    int field;                  /**< private */
    struct crier_const *values; /**< owned */
    size_t count;               /**< of values */
    size_t end;                 /**< groups: index of the first condition behind the group */
    void *regex;                /**< private */
};

/** Read freely; change through the functions only. */
struct crier_query {
    struct crier_cond *conds; /**< in the order of being added, groups before what is in them */
    size_t count;
    char *order; /**< a path, or NULL: the order of the store */
    bool desc;
    size_t offset; /**< matches to leave out at the start */
    size_t limit;  /**< matches to give at most; SIZE_MAX: all */
    bool since;    /**< a condition counts from when the query was made (crier_query_since) */
    /* private */
    struct crier_zone *zone;
    size_t open[16];
    unsigned depth;
    bool no_events;
    atomic_uint given_up; /* by a regex */
};

/** The longest search of a regex in one text, in PCRE2's steps: some milliseconds. */
#define CRIER_REGEX_STEPS 100000u

/** Matches everything until conditions are added. The zone is for dates without one; a reference
 *  is taken; NULL: such strings are not dates. */
struct crier_query *crier_query_new(struct crier_zone *zone);
void crier_query_free(struct crier_query *query); /**< NULL is allowed */

/** Add a condition on a dotted path (as crier_record_get) in the innermost open group. Values are
 *  copied. CRIER_EINVAL: not the number of values that the operator takes, LIKE or REGEX without a
 *  string, a bad pattern, a value that is an object or array, an empty path. */
CRIER_CHECK int crier_query_add(struct crier_query *query, const char *path, enum crier_op op,
                                const struct crier_value *values, size_t count,
                                struct crier_err *err);
/** Add "at or after `now` less a duration", which is a text such as "1d" (base/duration.h). */
CRIER_CHECK int crier_query_since(struct crier_query *query, const char *path, const char *duration,
                                  int64_t now, struct crier_err *err);
/** Begin a group: CRIER_OP_ANY, ALL or NO. CRIER_ELIMIT: 16 are open already. */
CRIER_CHECK int crier_query_open(struct crier_query *query, enum crier_op group,
                                 struct crier_err *err);
/** End the innermost group. */
void crier_query_close(struct crier_query *query);
void crier_query_order(struct crier_query *query, const char *path, bool desc);
/** Each phase of an event is a record of its own, as it was made. */
void crier_query_phases(struct crier_query *query);

/** Whether a record meets the conditions; order, offset and limit play no part. */
bool crier_query_match(const struct crier_query *query, const struct crier_record *record);
/** For rules, on one thread: 1 it meets the conditions, 0 it does not, or what crier_query_fault says
 *  of this record. */
CRIER_CHECK int crier_query_try(const struct crier_query *query, const struct crier_record *record,
                                struct crier_err *err);
/** For stores: whether the record belongs among the hits that crier_query_finish makes the answer
 *  of: it matches, or is a phase of an event that may. */
bool crier_query_wants(const struct crier_query *query, const struct crier_record *record);
/** Whether an event may match; if not, crier_query_wants is crier_query_match. */
bool crier_query_has_events(const struct crier_query *query);
/** For stores that gather hits one by one, after each of them: lets those go that the query's order
 *  and limit leave out for sure, so that `order("id", true)`, limit 100 takes the memory of a hundred
 *  and not of all. hits: struct crier_record *, a reference each; their order stays. */
void crier_query_trim(const struct crier_query *query, struct crier_buf *hits);
/** What became of a regex: CRIER_ELIMIT when its pattern took too long on some text, which then did
 *  not match. Such a query has no answer; a rule has none for that record. */
CRIER_CHECK int crier_query_fault(const struct crier_query *query, struct crier_err *err);
/** Turn what a store gave, in its order, into the answer: fold events, match, sort, cut. The array is
 *  replaced and references are dropped as needed; after an error it is empty. */
CRIER_CHECK int crier_query_finish(const struct crier_query *query, struct crier_record ***records,
                                   size_t *count, struct crier_err *err);
/** What the query gives for these records, which are in the order of the store: those that match,
 *  in its order, after offset and limit. Their number; out has room for count pointers, borrowed
 *  as those of records are (no reference is taken); out == records is allowed. */
size_t crier_query_run(const struct crier_query *query, struct crier_record *const *records,
                       size_t count, struct crier_record **out);
/** Sort by a field, stable. */
void crier_records_sort(struct crier_record **records, size_t count, const char *path, bool desc);

/** Make one record of the phases of each event, which are those of one node with one event_id, in
 *  any order; it takes the place of the one that comes first, and all others keep theirs. An event
 *  of one phase is that record; events without an event_id are left alone. The number that is left;
 *  each is a reference of the caller's, as before.
 *
 *  Phases count in this order: `start`, then by their ids. The fold has of the first one its common
 *  members; but `text` is the first that is not empty, `level` and `ok` are those of the last phase
 *  that is no note. Of each field it has the last value that is not null; `phase` is that of the last
 *  phase that is no note; `notes` are those of all phases, each different one a line. */
size_t crier_records_fold(struct crier_record **records, size_t count);
/** The event that a record is a phase of; false: it is none, or has no event_id. The text is the
 *  record's, or in `scratch`. */
bool crier_event_of(const struct crier_record *record, struct crier_str *event_id,
                    char scratch[32]);

#endif
