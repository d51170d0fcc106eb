/* SPDX-License-Identifier: MIT
 *
 * Options, rules and queries as JSON: what script/ reads out of Lua tables, with the same words for
 * what is wrong. The place of a fault is the line and column of its key in the text.
 *
 * Thread: [any].
 */
#ifndef CRIER_EMBED_OPTIONS_JSON_H
#define CRIER_EMBED_OPTIONS_JSON_H

#include <jansson.h>

#include "base/option.h"
#include "record/query.h"

/** A text being read. */
struct crier_given {
    const char *text;
    const char *object;      /**< "sink 'log'", for err->where */
    json_t *root;            /**< an object; owned */
    const char *folder;      /**< for paths */
    struct crier_zone *zone; /**< for dates; borrowed */
    int64_t now;             /**< wall time, for `since` */
    int faults;
    struct crier_err *err; /**< the first fault; may be NULL */
};

/** Parse. NULL text is an empty object. CRIER_ECONFIG with the place. */
CRIER_CHECK int crier_given_open(struct crier_given *given, const char *text);
/** Frees; returns 0, or CRIER_ECONFIG when there were faults, with "(and 2 more)" in err. */
CRIER_CHECK int crier_given_close(struct crier_given *given);
/** A fault at the key of this path ("retry.times"; NULL: the text as a whole). */
void crier_given_fault(struct crier_given *given, const char *path, const char *help,
                       const char *fmt, ...) CRIER_PRINTF(4, 5);

/** Read the whole object by its option table, in which the options of an object within it have
 *  dotted names. out is initialised here. */
void crier_given_options(struct crier_given *given, const struct crier_option *table, size_t count,
                         struct crier_options *out);
/** The match at this member, an object by the option table. NULL: none is given, or a fault. */
struct crier_query *crier_given_match(struct crier_given *given, const char *member);

#endif
