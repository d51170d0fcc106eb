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

#include "record/query.h"

/** As the `query` of a sink driver, over <path>/YYYY/MM/DD/NAME.json: days in their order, the
 *  records of a day by their ids. Files and entries that are not ours are skipped and counted, and
 *  with CRIER_OK err->text says so (err->code stays 0). CRIER_EBUSY: a file was locked for 100 ms.
 */
CRIER_CHECK int crier_dayfiles_query(const char *path, const struct crier_query *query,
                                     struct crier_record ***hits, size_t *count,
                                     struct crier_err *err);

#endif
