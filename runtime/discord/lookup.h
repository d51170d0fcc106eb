/* SPDX-License-Identifier: MIT
 *
 * A create whose answer was lost, and whose nonce Discord may have forgotten: is it among the
 * messages of the channel?
 *
 * Discord's documentation does not promise that a message which is read later still has its nonce.
 * Without it, our own message with the same content, newer than `after`, is the one.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_DISCORD_LOOKUP_H
#define CRIER_DISCORD_LOOKUP_H

#include <jansson.h>

#include "discord/client.h"

struct crier_lookup {
    const struct crier_content *content;
    const char *nonce;
    uint64_t self;  /**< our user id */
    uint64_t after; /**< an id: it is newer than this; 0: nothing is known */
};
/** The message, borrowed; NULL: it is not among them. */
json_t *crier_lookup_find(const struct crier_lookup *lookup, const json_t *messages);
/** The newest id; 0: there are none. */
uint64_t crier_lookup_newest(const json_t *messages);

/** The id that an object has under a key; 0: none. */
uint64_t crier_snowflake(const json_t *object, const char *key);
/** The least id of a message that is made at a wall time (microseconds) of Discord's. */
uint64_t crier_snowflake_at(int64_t wall_us);

#endif
