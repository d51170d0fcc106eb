/* SPDX-License-Identifier: MIT
 *
 * The models of a task log as other schedulers keep it: which columns a plain table of runs has,
 * for the sinks that write one (csv, sql). Each model has the columns of the one before it and
 * more: `minimal` is what it takes to know what a task did last, `log` a log line, `run` pairs the
 * two ends of a run.
 *
 * Thread: [any]; constant.
 */
#ifndef CRIER_SINK_TASK_MODEL_H
#define CRIER_SINK_TASK_MODEL_H

#include <stddef.h>

enum crier_task_column_type { CRIER_TASK_NAME, CRIER_TASK_TEXT, CRIER_TASK_REAL, CRIER_TASK_INT };

struct crier_task_column {
    const char *name; /**< as databases of such schedulers call it: "created", "msg" */
    const char
        *field; /**< the record's field that says it; NULL: another column's in a second form */
    enum crier_task_column_type type;
};

/** What the option `model` takes. */
#define CRIER_TASK_MODELS "minimal log run"
extern const struct crier_task_column crier_task_columns[];
/** How many of them each model has. */
enum { CRIER_TASK_MINIMAL = 3, CRIER_TASK_LOG = 12, CRIER_TASK_COLUMNS = 16 };
/** By its name; 0: there is no such model. */
size_t crier_task_model(const char *name);

#endif
