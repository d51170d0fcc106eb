/* SPDX-License-Identifier: MIT */
#include "sink/task_model.h"

#include <string.h>

const struct crier_task_column crier_task_columns[CRIER_TASK_COLUMNS] = {
    {"task_name", "task_name", CRIER_TASK_NAME}, {"action", "action", CRIER_TASK_NAME},
    {"created", "time", CRIER_TASK_REAL}, /* minimal */
    {"name", "logger", CRIER_TASK_TEXT},         {"msg", "text", CRIER_TASK_TEXT},
    {"levelname", "level", CRIER_TASK_NAME},     {"levelno", NULL, CRIER_TASK_INT},
    {"pathname", "where", CRIER_TASK_TEXT},      {"lineno", NULL, CRIER_TASK_INT},
    {"exc_text", "exc_text", CRIER_TASK_TEXT},   {"message", NULL, CRIER_TASK_TEXT},
    {"processName", "node", CRIER_TASK_TEXT}, /* log */
    {"start", "start", CRIER_TASK_REAL},         {"end", "end", CRIER_TASK_REAL},
    {"runtime", "runtime", CRIER_TASK_REAL},     {"run_id", "run_id", CRIER_TASK_NAME}, /* run */
};

size_t crier_task_model(const char *name)
{
    return strcmp(name, "minimal") == 0 ? CRIER_TASK_MINIMAL
           : strcmp(name, "log") == 0   ? CRIER_TASK_LOG
           : strcmp(name, "run") == 0   ? CRIER_TASK_COLUMNS
                                        : 0;
}
