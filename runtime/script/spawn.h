/* SPDX-License-Identifier: MIT
 *
 * A process of its own session that inherits nothing of ours but its output: of whatever else is open
 * here, in the libraries too or in the program that embeds us, it gets nothing, and the flags of all
 * that stay as they are.
 *
 * Thread: [any].
 */
#ifndef CRIER_SCRIPT_SPAWN_H
#define CRIER_SCRIPT_SPAWN_H

#include <sys/types.h>

/** Run argv[0] in the folder cwd, found in the PATH of env when it has no slash; a text without an
 *  interpreter is run by /bin/sh, as any shell does. Stdin is empty, output is both stdout and stderr.
 *  All signals are as a process finds them at first. 0 and its pid, who is to be waited for; or -errno. */
int crier_spawn(char *const argv[], char *const env[], const char *cwd, int output, pid_t *pid);

#endif
