/* SPDX-License-Identifier: MIT
 *
 * A Lua state on a thread of its own: the module of a sink or of a task. It has Lua's library and,
 * of `crier`, log, http and sleep. What is logged there is handed to the host's loop; a module that
 * logs faster than the loop takes it loses lines, which is told.
 *
 * Thread: that of the state, but for what is tagged otherwise.
 */
#ifndef CRIER_SCRIPT_MODULE_STATE_H
#define CRIER_SCRIPT_MODULE_STATE_H

#include <lauxlib.h>

#include "script/declare.h"

/** Where a module's words go: outlives the module, as long as some are on their way. */
struct crier_voice; /* opaque */

/** [loop] emit: crier_host_emit_log or crier_host_emit_sinks. whose: "a sink's module", for the
 *  line about lost ones; static. One reference. */
struct crier_voice *crier_voice_new(struct crier_host *host,
                                    void (*emit)(struct crier_host *host,
                                                 const struct crier_record *log),
                                    const char *whose);
void crier_voice_unref(struct crier_voice *voice); /**< [any] NULL is allowed */
/** [any] Have fn(arg) called on the host's loop, counted among what waits there. */
void crier_voice_post(struct crier_voice *voice, void (*fn)(void *arg), void *arg);
struct crier_host *crier_voice_host(struct crier_voice *voice); /**< [loop] */

/** What vm->owner points to. */
struct crier_module {
    struct crier_vm *vm;
    struct crier_builder builder; /**< set up and ended by the owner */
    struct crier_voice *voice;    /**< NULL while the module loads */
    struct crier_clock *clock;
    const char
        *whose; /**< "the module of a sink: it has crier.log": for what is not there; static */
    const struct crier_sink_env *env; /**< for which hosts crier.http may reach; NULL: all */
    const char *task_name, *run_id;   /**< fields of what is logged; NULL: none */
    const luaL_Reg *more;             /**< further functions of `crier`; NULL: none */
};

/** Make `crier` in m->vm, and set the vm up for m. CRIER_ECONFIG. */
CRIER_CHECK int crier_module_open_crier(struct crier_module *m, struct crier_lua_error *error);

/** [any] The file that require would find for a module of this script; the caller frees. NULL:
 * there is none. */
char *crier_module_find(const struct crier_generation *gen, const char *module);

#endif
