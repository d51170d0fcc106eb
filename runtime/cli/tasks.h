/* SPDX-License-Identifier: MIT
 *
 * Tasks as lines of a table, for `crier task list` and `crier status`.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_TASKS_H
#define CRIER_CLI_TASKS_H

#include <jansson.h>

void crier_print_task_head(void);
/** As crier_task_status makes it. */
void crier_print_task(const json_t *task);

#endif
