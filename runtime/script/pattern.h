/* SPDX-License-Identifier: MIT
 *
 * Patterns of names: crier.channels { crier.contains "news", crier.no { crier.regex "^old-" } }.
 * What `contains` means: every word of its text is a word of the name, in any case (words are
 * letters, digits and _; PCRE2's \w). Several patterns side by side must all match.
 *
 * Thread: made on the generation's, matched on [loop].
 */
#ifndef CRIER_SCRIPT_PATTERN_H
#define CRIER_SCRIPT_PATTERN_H

#include <lua.h>
#include <stdbool.h>

#include "base/buf.h"

#define CRIER_MT_PATTERN "crier.pattern" /* the userdata holds a struct crier_pattern * */

struct crier_pattern; /* refcounted */

struct crier_pattern *crier_pattern_ref(struct crier_pattern *p);
void crier_pattern_unref(struct crier_pattern *p);
bool crier_pattern_matches(const struct crier_pattern *p, const char *name);
/** As the script has it, for plan, status and to see a change: `all{contains "news"}`. Owned by p. */
const char *crier_pattern_text(const struct crier_pattern *p);
/** The pattern at idx, or NULL. Borrowed. `what`: "channels" or "guilds", as it was made. */
struct crier_pattern *crier_to_pattern(lua_State *L, int idx, const char *what);

/** channels, guilds, into the table on top of the stack. */
void crier_open_match(lua_State *L);

#endif
