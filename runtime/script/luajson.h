/* SPDX-License-Identifier: MIT
 *
 * Lua values as JSON and back.
 *
 * A table whose keys are 1..n is an array, one whose keys are all strings an object (members sorted
 * by name, so that equal tables give equal bytes), an empty one an object. A float keeps its point
 * (2.0), so that it comes back as a float. Metamethods are not asked. JSON's null is nil: a member
 * or an element that is not there.
 *
 * Thread: the vm's.
 */
#ifndef CRIER_SCRIPT_LUAJSON_H
#define CRIER_SCRIPT_LUAJSON_H

#include <lua.h>

#include "base/buf.h"

#define CRIER_LUA_JSON_DEPTH 100 /**< tables in each other; one more is an error */

/** Append the value at idx. CRIER_EINVAL: "roles[2].x: a function cannot be written as JSON" (also
 *  cycles, depth, NaN and infinities, tables with mixed keys or holes); the buffer is as it was.
 *  Raises nothing. */
CRIER_CHECK int crier_lua_to_json(lua_State *L, int idx, struct crier_buf *out,
                                  struct crier_err *err);
/** Push the value of a JSON text. CRIER_EINVAL with the byte, CRIER_ELIMIT when the vm's memory is
 *  not enough; then nothing is pushed. Raises nothing. */
CRIER_CHECK int crier_lua_from_json(lua_State *L, const char *text, size_t len,
                                    struct crier_err *err);

#endif
