/* SPDX-License-Identifier: MIT
 *
 * How sinks do, as lines: for `crier status` and `crier sink list`.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_SINKS_H
#define CRIER_CLI_SINKS_H

#include <jansson.h>

/** The table of a running host's sinks ("sinks" of its status). */
void crier_print_sinks(const json_t *sinks);

#endif
