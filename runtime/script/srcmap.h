/* SPDX-License-Identifier: MIT
 *
 * Places in Lua source, for diagnostics. Lua knows only the line of a call; this finds the call's
 * argument table in the text, and a key in it.
 *
 * It reads tokens, brackets and blocks, no more: a call whose function goes by another name
 * (`local T = crier.TextMESSAGE`) or whose argument is not written out there is not found. The file
 * is read once, in linear time; it may be anything, also no Lua.
 *
 * Thread: one owner at a time. Lines and columns count from 1, columns in bytes.
 */
#ifndef CRIER_SCRIPT_SRCMAP_H
#define CRIER_SCRIPT_SRCMAP_H

#include "base/buf.h"

struct crier_srcmap;

/** NULL when the file cannot be read or is larger than 64 MiB. */
struct crier_srcmap *crier_srcmap_load(const char *path);
struct crier_srcmap *crier_srcmap_new(const char *text, size_t len);
void crier_srcmap_free(struct crier_srcmap *map); /**< NULL is allowed */

/** The place of `callee` ("TextMESSAGE", "sink.json": the end of the dotted name) in a call on this
 *  line. With several on one line: the first. Untouched outputs and false when there is none. */
bool crier_srcmap_call(const struct crier_srcmap *map, int line, const char *callee, int *out_line,
                       int *out_column);
/** The place of a key in the table that such a call is given: "period", "data.title", "channels.2"
 *  or "channels[2]" (the second positional element). A path that is written only in part there
 *  gives its last part that is. With several calls on one line: the first of those that have most
 *  of the path. False when not even the first part is there. */
bool crier_srcmap_key(const struct crier_srcmap *map, int line, const char *callee,
                      const char *key, int *out_line, int *out_column);

/** The first call of one of these functions (a list that ends with NULL) whose table sets this key to
 *  something other than false or nil. */
bool crier_srcmap_given(const struct crier_srcmap *map, const char *const *callees, const char *key,
                        int *out_line, int *out_column);

/** Lua's `and`, `or` and `not` where a condition of `crier` (crier.daily:after "18:00", a local
 *  that was set to one) is their operand, although they only look whether it is nil or false:
 *  `and` behind one, `or` between two, `not` before one. */
void crier_srcmap_conditions(const struct crier_srcmap *map,
                             void (*found)(void *arg, int line, int column, const char *word),
                             void *arg);

#endif
