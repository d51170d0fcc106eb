/* SPDX-License-Identifier: MIT
 *
 * The alerts in a host's status, for people.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_ALERTS_H
#define CRIER_CLI_ALERTS_H

#include <jansson.h>

/** A line an alert, and what fires below it; nothing where there are none. */
void crier_print_alerts(const json_t *alerts);

#endif
