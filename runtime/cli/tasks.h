/* SPDX-License-Identifier: MIT
 *
 * Tasks as lines of a table, for `crier task list` and `crier status`.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_TASKS_H
#define CRIER_CLI_TASKS_H

#include <jansson.h>

/** The table. Each as crier_task_status makes it. */
void crier_print_tasks(const json_t *tasks);

#endif
