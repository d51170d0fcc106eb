/* SPDX-License-Identifier: MIT
 *
 * The parts of a message that are no text, EMBED or FILE: crier.POLL, BUTTON, STICKER, REPLY and
 * THREAD. Values like those: made while the script loads and in data functions alike; a list with
 * other parts makes a message. What is wrong with one raises at the caller's line.
 *
 * Thread: the generation's.
 */
#ifndef CRIER_SCRIPT_PARTS_H
#define CRIER_SCRIPT_PARTS_H

#include <lua.h>

#include "base/option.h"
#include "discord/client.h"

/** The part at idx put into the content; 1: it is none. Else 0, or what is wrong, in err. */
CRIER_CHECK int crier_part_gather(lua_State *L, int idx, struct crier_content *content,
                                  struct crier_err *err);
/** POLL, BUTTON, STICKER, REPLY, THREAD, into the table on top of the stack. */
void crier_open_parts(lua_State *L);

extern const struct crier_option crier_poll_options[], crier_button_options[],
    crier_reply_options[], crier_thread_options[];
extern const size_t crier_poll_count, crier_button_count, crier_reply_count, crier_thread_count;

#endif
