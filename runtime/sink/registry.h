/* SPDX-License-Identifier: MIT
 *
 * The kinds of sinks of this build; the list itself is crier_sink_drivers (sink.h).
 */
#ifndef CRIER_SINK_REGISTRY_H
#define CRIER_SINK_REGISTRY_H

#include "sink/sink.h"

/** Lines for people on a terminal, one JSON object a line elsewhere; console.c. */
extern const struct crier_sink_driver crier_sink_console;
/** The last `max` records, to be asked for; gone with the sink; memory.c. */
extern const struct crier_sink_driver crier_sink_memory;
/** Day files; json.c. */
extern const struct crier_sink_driver crier_sink_json;
/** A JSON object a line; jsonl.c. */
extern const struct crier_sink_driver crier_sink_jsonl;
/** A table for spreadsheets; csv.c. */
extern const struct crier_sink_driver crier_sink_csv;
/** Recent and common logs in Redis; redis.c. */
extern const struct crier_sink_driver crier_sink_redis;
/** A shared object's; native.c. */
extern const struct crier_sink_driver crier_sink_native;

/** A log in a relational database, over ODBC; sql.c. */
extern const struct crier_sink_driver crier_sink_sql;

#endif
