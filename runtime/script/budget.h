/* SPDX-License-Identifier: MIT
 *
 * The CPU budget of what runs in Lua: see vm.h. Private to vm.c, call*.c, stdlib*.c, and declare.c
 * for limits.load.
 *
 * Each stretch of Lua (a call between two waits, a file that loads) has a struct crier_budget on
 * the C stack; they nest. The tick looks at all of them, so that an outer one pays for what it
 * calls. Times are microseconds of the thread's CPU clock, or, in virtual time, of instructions.
 *
 * Thread: the one that runs the vm.
 */
#ifndef CRIER_SCRIPT_BUDGET_H
#define CRIER_SCRIPT_BUDGET_H

#include <signal.h>

#include "script/vm.h"

struct crier_budget {
    struct crier_budget *outer;
    struct crier_vm *vm;
    lua_State *volatile running; /**< the innermost coroutine: where a hook has to be set */
    volatile int64_t since;      /**< the CPU clock at the first tick; 0: none came yet */
    volatile int64_t limit;      /**< 0: no bound */
    volatile sig_atomic_t over;
    volatile sig_atomic_t late; /**< ticks since it was over */
    bool polled;                /**< the first error came out of crier_budget_poll */
    int raised;
    int64_t counted;               /**< virtual time: used so far, nanoseconds */
    const char *what, *limit_name; /**< for the message; borrowed */
    char *message;                 /**< the first one raised; later ones repeat it */
    char *traceback;               /**< of the first one */
    bool killed;                   /**< the yield under way is the hook's: never to be resumed */
    bool can_wait;                 /**< every coroutine on the way out can yield */
    bool was_capped;
};

/** Lua is about to run on L. limit_name: "limits.callback". */
void crier_budget_enter(struct crier_budget *b, struct crier_vm *vm, lua_State *L, int64_t limit,
                        const char *what, const char *limit_name);
/** Lua has returned. b->over and b->message tell how; then crier_budget_fini. */
void crier_budget_leave(struct crier_budget *b);
void crier_budget_fini(struct crier_budget *b);

/** The script that loads has said how long it may take: another limit for the stretch that runs. */
void crier_budget_limit(struct crier_vm *vm, int64_t limit);

/** The innermost stretch on this thread, or NULL. */
struct crier_budget *crier_budget_top(void);
/** From now on `to` is what runs in b. Call it before and after each change of coroutine; raises
 *  nothing, but a state that is over its budget gets the hook. */
void crier_budget_switch(struct crier_budget *b, lua_State *to);
/** In C code that may take long: `steps` units of work of about 10 ns are done. Raises when the
 *  budget is used up. */
void crier_budget_poll(lua_State *L, int64_t steps);
/** The count hook of a new vm in virtual time. */
void crier_budget_attach(struct crier_vm *vm);

#endif
