/* SPDX-License-Identifier: MIT
 *
 * Functions of a script that make a text of a text on a sink's thread (`normalize`). Lua states are
 * not shared between threads, so such a function is taken along as code, into a state of its own:
 * it can use Lua's libraries, but no variable from outside.
 */
#ifndef CRIER_SCRIPT_TEXT_FUNCTION_H
#define CRIER_SCRIPT_TEXT_FUNCTION_H

#include "script/schema.h"
#include "sink/sink.h"

/** The function at idx as the value of an option. CRIER_EINVAL: no function, or one that cannot be
 *  taken along; the text says "must be ..." or "uses ...". */
CRIER_CHECK int crier_text_function_read(lua_State *L, int idx, struct crier_option_value *v,
                                         struct crier_err *err);
/** What sinks get to run them. */
extern const struct crier_text_functions crier_lua_text_functions;

#endif
