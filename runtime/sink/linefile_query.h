/* SPDX-License-Identifier: MIT
 *
 * Queries over files of lines: line by line, in the memory of the longest line and of the hits.
 *
 * Most lines of a file are no hits, and making a record of a line costs far more than looking for
 * a word in it. A condition that a text is equal to a constant says that the constant stands in the
 * line, and a member's name that stands there once says where to look for its number; lines that
 * cannot match are passed over (crier_line_filter).
 *
 * The newest records (order by id, descending, with a limit) are looked for from the end. Lines need not
 * stand in the order of their ids, so all are looked at; but once there are as many hits as are asked
 * for, a line with an older id than theirs costs a comparison (crier_line_filter.above).
 *
 * Thread: [any]; one owner.
 */
#ifndef CRIER_SINK_LINEFILE_QUERY_H
#define CRIER_SINK_LINEFILE_QUERY_H

#include "base/ulid.h"
#include "record/change.h"
#include "record/query.h"
#include "sink/linefile_lines.h"

/** How lines become records. */
struct crier_line_reader {
    bool quoted; /**< as struct crier_line_format */
    /** What may_hit consults, for crier_lines_query to say what it has found; NULL: it does not want to
     *  know, and files are read from their beginning. */
    struct crier_line_filter *filter;
    /** A file is begun: read its header from `lines`. False: the file has none that is known, and
     *  is passed over. May be NULL. */
    bool (*begin)(void *arg, struct crier_lines *lines);
    /** False: the line holds no hit, since it lacks a text that every hit has. May be NULL. */
    bool (*may_hit)(void *arg, struct crier_str line);
    /** The record of a line, for the caller; NULL: it is none. */
    struct crier_record *(*record)(void *arg, struct crier_str line);
    void *arg;
    /** For changes: the line of a changed record as it has to stand in the file at hand, without
     *  its end, valid until the next call. CRIER_EINVAL: the file cannot hold what was changed. */
    int (*line)(void *arg, const struct crier_change *change, struct crier_record *record,
                struct crier_str *out, struct crier_err *err);
};

/** What can be said of a line without making a record of it. Borrows from the query. */
struct crier_line_filter {
    bool events; /**< phases of events are hits, whatever they say: is_event comes first */
    struct crier_str texts[8]; /**< stand in the line of every record that matches */
    size_t text_count;
    /** Conditions on a member at the top that compare numbers or times; what stands in front of
     *  its value. */
    struct {
        const struct crier_cond *cond;
        char key[56];
        size_t len;
        int column; /**< CSV, the caller's: where the member is a column; -1 */
    } members[4];
    size_t member_count;
    /** Of the newest that are asked for there are enough above this id; empty: not yet. */
    char above[CRIER_ULID_LEN + 1];
};
/** quote: how a quote is written in the lines, `"` or (JSON in CSV) `""`. */
void crier_line_filter_init(struct crier_line_filter *filter, const struct crier_query *query,
                            const char *quote);
/** Whether the line may be a phase of an event that is wanted: the filter has no say then. */
bool crier_line_filter_event(const struct crier_line_filter *filter, struct crier_str line);
/** Whether a record with this id (of CRIER_ULID_LEN) is new enough. */
bool crier_line_filter_id(const struct crier_line_filter *filter, const char *id);
/** Whether all texts stand in the line. */
bool crier_line_filter_texts(const struct crier_line_filter *filter, struct crier_str line);
/** False: by its members without a column, a line that is a JSON object without white space (or has
 *  one in it) is no match. */
bool crier_line_filter_members(const struct crier_line_filter *filter, struct crier_str line);
/** False: with this number or time as the n-th member a record is no match. */
bool crier_line_filter_value(const struct crier_line_filter *filter, size_t n,
                             struct crier_str value);

struct crier_line_hits {
    struct crier_buf records; /* struct crier_record *, a reference each */
    uint64_t bad;             /**< lines that are no records */
    char place[256];          /**< of the first of them */
};

/** Query the files of a NULL-terminated list, in its order or from its end; it is freed. Files that are gone are
 *  passed over. As the `query` of a sink driver; lines that are no records are skipped and counted,
 *  and with CRIER_OK err->text says so (err->code stays 0). */
CRIER_CHECK int crier_lines_query(char **paths, const struct crier_line_reader *reader,
                                  const struct crier_query *query, struct crier_record ***hits,
                                  size_t *count, struct crier_err *err);

#endif
