/* SPDX-License-Identifier: MIT
 *
 * crier.sink.custom { module = ... }: the part that sink_custom.c needs.
 */
#ifndef CRIER_SCRIPT_SINK_MODULE_H
#define CRIER_SCRIPT_SINK_MODULE_H

struct crier_host;

/** [loop, before the sink starts] Where what the module logs goes. self: the driver's. */
void crier_module_bind(void *self, struct crier_host *host);

#endif
