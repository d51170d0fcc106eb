/* SPDX-License-Identifier: MIT
 *
 * Loading a script to look at it: nothing is opened, sent or written.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_LOAD_H
#define CRIER_CLI_LOAD_H

#include "script/generation.h"

/** 0, or an exit code when there is no such file (said on stderr). What is wrong in the script is
 *  in the generation's diags. state_folder: --state, or NULL. */
int crier_load_script(const char *file, const char *state_folder, struct crier_generation **out);

#endif
