/* SPDX-License-Identifier: MIT
 *
 * Answers for crier.http in virtual time. A JSON array; the first one that fits answers:
 *   match    "GET https://api.example/stats"; * and ? as in file names; absent: all
 *   status   200; headers {name: value}; json: any value, or body: text
 *   error    in place of these: no answer, and this is why
 *   delay    how long it takes, such as "2s" (0s)
 *   times    how many requests it answers (all)
 *   at, for  from when on, and how long (always)
 * A request that none fits is refused.
 *
 * Thread: [loop].
 */
#ifndef CRIER_LAB_FIXTURES_H
#define CRIER_LAB_FIXTURES_H

#include <jansson.h>

#include "discord/transport.h"

struct crier_fixtures; /* opaque */

/** An array of objects in JSON text, each handed to `add`. many, one: what they are, for messages
 *  ("faults", "fault"). CRIER_EINVAL names the place. */
CRIER_CHECK int crier_lab_list(const char *text, const char *many, const char *one,
                               int (*add)(void *arg, json_t *entry, struct crier_err *err),
                               void *arg, struct crier_err *err);

struct crier_fixtures *crier_fixtures_new(struct crier_clock *clock);
void crier_fixtures_free(struct crier_fixtures *fixtures);
/** CRIER_EINVAL names the place. */
CRIER_CHECK int crier_fixtures_add(struct crier_fixtures *fixtures, const char *json,
                                   struct crier_err *err);
/** "METHOD url" of each request made, a line each. */
const char *crier_fixtures_log(const struct crier_fixtures *fixtures);
/** Fixtures are borrowed. */
struct crier_transport *crier_fixtures_transport(struct crier_fixtures *fixtures,
                                                 struct crier_loop *loop);

#endif
