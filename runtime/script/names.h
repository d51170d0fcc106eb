/* SPDX-License-Identifier: MIT
 *
 * Names of guilds, channels and users as Discord has them, read when they are first needed and
 * kept fresh. What cannot be read is shown by its id; nothing waits for long because of a name.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_NAMES_H
#define CRIER_SCRIPT_NAMES_H

#include "discord/client.h"
#include "script/generation.h"

struct crier_names; /* opaque */

struct crier_names *crier_names_new(struct crier_loop *loop);
/** No fetch may be under way: the clients were freed first. */
void crier_names_free(struct crier_names *names);

/** Who may know a name already: of a guild or channel that this bot sees; NULL: it does not. Asked
 *  before Discord is. */
void crier_names_source(struct crier_names *names,
                        const char *(*known)(void *arg, const char *bot, uint64_t id), void *arg);
/** Ask for nothing any more: what waits gets along with the names that are known. */
void crier_names_stop(struct crier_names *names);
/** The name, or NULL while it is not known. Borrowed until the next fetch. */
const char *crier_names_get(const struct crier_names *names, uint64_t id);
/** What somebody else has learnt. */
void crier_names_learn(struct crier_names *names, uint64_t id, const char *name);
/** See to it that the names of a target and of these channels are known, or known to be out of
 *  reach, then call done(arg) once: at once when there is nothing to fetch. */
void crier_names_want(struct crier_names *names, struct crier_discord *client,
                      const struct crier_target *target, const uint64_t *channels, size_t count,
                      void (*done)(void *arg), void *arg);

#endif
