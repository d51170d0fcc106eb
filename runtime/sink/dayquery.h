/* SPDX-License-Identifier: MIT
 *
 * Queries over day files (sink/dayfile.h): record by record, in the memory of one entry, of the
 * places of a file's entries, and of the hits.
 *
 * An entry shows an empty `sent_data` and empty lists of channels where its record has none, so
 * what is empty is read back as missing.
 *
 * Thread: [any]; a file is read under a shared flock.
 */
#ifndef CRIER_SINK_DAYQUERY_H
#define CRIER_SINK_DAYQUERY_H

#include "record/change.h"

/** As the `query` of a sink driver, over <path>/YYYY/MM/DD/NAME.json: days in their order, the
 *  records of a day by their ids. Files and entries that are not ours are skipped and counted, and
 *  with CRIER_OK err->text says so (err->code stays 0). CRIER_EBUSY: a file was locked for 100 ms.
 */
CRIER_CHECK int crier_dayfiles_query(const char *path, const struct crier_query *query,
                                     struct crier_record ***hits, size_t *count,
                                     struct crier_err *err);

/** An entry of a day file that is written anew. */
struct crier_dayentry {
    struct crier_str name; /**< of the document */
    uint64_t id;           /**< 0: records without a guild */
    const char *type;
    uint64_t index;        /**< that it had */
};
/** As the `change` of a sink driver. An entry of a changed record is what `render` makes of it, as for
 *  crier_dayfile_add; all others stay as they are. A file is written beside the old one, under its
 *  lock, and renamed; one without any entry left is deleted. CRIER_EBUSY: a file was locked for
 *  100 ms. After an error the files that came before may have been changed. */
CRIER_CHECK int crier_dayfiles_change(const char *path, const struct crier_query *query,
                                      const json_t *fields,
                                      struct crier_str (*render)(void *arg,
                                                                 const struct crier_record *record,
                                                                 const struct crier_dayentry *entry),
                                      void *arg, uint64_t *changed, struct crier_err *err);

#endif
