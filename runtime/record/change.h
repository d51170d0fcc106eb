/* SPDX-License-Identifier: MIT
 *
 * Changing what is stored: which records a change is about, and what becomes of each. A store asks
 * for every record that it holds, and replaces or removes it:
 *
 *     rc = crier_change_init(&change, query, fields, err);
 *     if (crier_query_has_events(query))       (which a store finds out by its own query)
 *         crier_change_learn(&change, hits, count);
 *     for each record: switch (crier_change_ask(&change, record, &replacement)) ...
 *     rc = crier_change_fault(&change, err);   before anything is made final
 *     crier_change_fini(&change);
 *
 * Records keep their common members, and so their identity. An event is changed by way of its
 * phases: a new value goes into the first one and out of all others, so that the fold has it. It
 * counts as one record.
 *
 * Thread: [any]; one owner.
 */
#ifndef CRIER_RECORD_CHANGE_H
#define CRIER_RECORD_CHANGE_H

#include <jansson.h>

#include "record/query.h"
#include "record/read.h"

enum crier_change_verdict { CRIER_CHANGE_KEEP, CRIER_CHANGE_REPLACE, CRIER_CHANGE_REMOVE };

/** A new value, by its dotted name. */
struct crier_change_field {
    struct crier_str path;
    const json_t *value; /**< null: the field goes */
};

struct crier_change {
    const struct crier_query *query;
    struct crier_change_field *fields; /**< NULL: the records are removed */
    size_t field_count;
    uint64_t changed; /**< so far */
    /* private */
    struct crier_change_field *left;
    void *events; /* GHashTable: node and event_id -> struct event */
    struct crier_reader reader;
};

/** Both are borrowed. fields: an object of values by dotted names (`["guild.name"]`), or NULL to
 *  remove. CRIER_EINVAL: no object, empty, a common member, a field within another one. Fini is
 *  allowed in either case. */
CRIER_CHECK int crier_change_init(struct crier_change *change, const struct crier_query *query,
                                  const json_t *fields, struct crier_err *err);
void crier_change_fini(struct crier_change *change);
/** What the store's own query gave: all phases of what may match. Takes the references and frees the
 *  array. */
void crier_change_learn(struct crier_change *change, struct crier_record **hits, size_t count);
/** REPLACE: *replacement is a reference for the caller. */
enum crier_change_verdict crier_change_ask(struct crier_change *change, struct crier_record *record,
                                           struct crier_record **replacement);
/** crier_query_fault of its query: what was asked does not stand. */
CRIER_CHECK int crier_change_fault(const struct crier_change *change, struct crier_err *err);

#endif
