/* SPDX-License-Identifier: MIT
 *
 * crier.http: requests that look synchronous. Thread: the loop's.
 */
#ifndef CRIER_SCRIPT_HTTP_H
#define CRIER_SCRIPT_HTTP_H

#include <lua.h>
#include <stdint.h>

/** Push the table crier.http: get, post, request. */
void crier_open_http(lua_State *L);

/** The duration (text or seconds) at idx in microseconds; raises "<signature>: expected ...". */
int64_t crier_lua_duration(lua_State *L, int idx, const char *signature);

#endif
