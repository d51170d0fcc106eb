/* SPDX-License-Identifier: MIT
 *
 * multipart/form-data (RFC 7578) as one block in memory, for the simulator's HTTP face.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_SIM_MULTIPART_H
#define CRIER_SIM_MULTIPART_H

#include <stdbool.h>

#include "discord/transport.h"

/** Cuts a body into parts. `data` of each part points into body, the other texts are owned by the
 *  list. False when it is not well formed; the list is empty then. */
bool crier_sim_multipart_parse(const char *content_type, char *body, size_t len,
                               struct crier_http_part **parts, size_t *count);
void crier_sim_multipart_free(struct crier_http_part *parts, size_t count);

#endif
