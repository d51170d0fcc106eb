/* SPDX-License-Identifier: MIT
 *
 * GUILDs by pattern: crier.GUILD { snowflake = crier.guilds {...}, ... }. Each guild that the bot is in
 * and whose name matches becomes a target of its own, with copies of the messages; one that comes
 * later comes in, one that is left or renamed goes out. Which ones there are is known from the
 * gateway's events, and by a look at what the bot sees, at the start and every ten minutes.
 *
 * Those that matched last are in the state store, so that a restart or a reload goes on with them
 * at once, and says what has changed meanwhile.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_GUILDS_H
#define CRIER_SCRIPT_GUILDS_H

#include "script/generation.h"
#include "state/state.h"

struct crier_poster;
struct crier_guilds; /* opaque; one a host */

struct crier_guilds *crier_guilds_new(struct crier_poster *poster);
/** After the clients and the loop: nobody waits for an answer any more. */
void crier_guilds_free(struct crier_guilds *guilds);
/** Read what matched last. */
void crier_guilds_load(struct crier_guilds *guilds);
/** A generation is taken on: the guilds that are known to match come in; a look follows. */
void crier_guilds_adopt(struct crier_guilds *guilds, struct crier_generation *gen);
/** The same for one pattern, or one message of it, that was added while the generation runs. */
void crier_guilds_begin(struct crier_guilds *guilds, struct crier_target *pattern);
void crier_guilds_begin_message(struct crier_guilds *guilds, struct crier_message *declared);
/** It is removed: its guilds go out. */
void crier_guilds_end(struct crier_guilds *guilds, struct crier_target *pattern);
/** A guild's target or one of its messages goes, with what is in the generation's lists. */
void crier_guilds_end_messages(struct crier_guilds *guilds, const struct crier_message *declared);
bool crier_guilds_any(const struct crier_guilds *guilds);
/** The gateway says that the bot is in a guild of this name, or (NULL) that it has left it. */
void crier_guilds_event(struct crier_guilds *guilds, const char *bot, uint64_t id,
                        const char *name);

/** The targets of a pattern that matched last, put into the generation's lists; for plan, where
 *  nothing runs. Returns how many. */
size_t crier_guilds_recall(struct crier_generation *gen, struct crier_state *state,
                           struct crier_target *pattern);

#endif
