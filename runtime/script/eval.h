/* SPDX-License-Identifier: MIT
 *
 * `crier eval`: a piece of Lua in the running generation, with all that the script's own functions
 * can do. It is a callback like any other: it has limits.callback of CPU time between two waits,
 * may wait, and is cancelled when its generation ends. Who may ask is who may connect to the
 * control socket (base/control.h); nothing else leads here.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_EVAL_H
#define CRIER_SCRIPT_EVAL_H

#include <jansson.h>

#include "script/generation.h"

struct crier_eval; /* opaque */

/** What a piece of Lua calls back; each on the loop, perhaps before crier_eval_start returns. */
struct crier_eval_out {
    void *arg;
    /** A line that it has printed. */
    void (*print)(void *arg, const char *text, size_t len);
    /** Its end, once. texts: each returned value as people read it; values: the same as JSON, null
     *  where a value (a function) has none. error: its message and traceback, or NULL; then code is
     *  that of struct crier_lua_error, and the lists are empty. Borrowed. */
    void (*done)(void *arg, json_t *texts, json_t *values, const struct crier_lua_error *error);
};

/** Run `code`, an expression or statements. Returns NULL when it has ended already. */
struct crier_eval *crier_eval_start(struct crier_generation *gen, const char *code, size_t len,
                                    const struct crier_eval_out *out);
/** Whoever asked has gone: it is cancelled. Its done is called, with CRIER_ECANCELED. */
void crier_eval_cancel(struct crier_eval *eval);

#endif
