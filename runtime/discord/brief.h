/* SPDX-License-Identifier: MIT
 *
 * Of most answers a scheduled send needs ids and names alone: the message's that it made, those of a
 * guild's channels. Making a tree of all of it would cost more than everything else that the send
 * does.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_DISCORD_BRIEF_H
#define CRIER_DISCORD_BRIEF_H

#include <jansson.h>

/** The members `id`, `name` and `username` that are texts, of an object or of each object of an array.
 *  What lies beside them is passed over, not judged. NULL when the text has white space between its
 *  parts or is something else: then it is to be parsed. */
json_t *crier_discord_brief_body(const char *text, size_t len);

#endif
