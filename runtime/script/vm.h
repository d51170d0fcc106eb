/* SPDX-License-Identifier: MIT
 *
 * One Lua 5.4 state: a capped allocator, a library without what would take the host down, text
 * chunks only, a CPU budget that no script can swallow, and coroutines for every callback.
 *
 * Budget. While Lua runs, a timer on the thread's own CPU clock ticks (nothing ticks while the
 * thread sleeps, and entering a callback costs no system call). When one call has used its budget,
 * the tick's signal handler sets a hook on the running state; the hook raises, and keeps raising
 * at every instruction, so that pcall cannot swallow it, until the call is over. Coroutines that
 * the script makes are covered: coroutine.resume, wrap and close are ours and track which state
 * runs. (lua_sethook is the one function that Lua's manual allows in a signal handler.) In virtual
 * time a count hook takes the place of the timer, so that runs are reproducible.
 *
 * Waiting. A callback runs in a coroutine of its own (struct crier_call). A binding that waits
 * calls crier_call_wait and returns its result: the coroutine, and every user coroutine around it,
 * yields to the loop; crier_call_resume goes on with the values that it pushed.
 *
 * Thread: one thread at a time. A generation is built on a builder thread and then belongs to the
 * loop thread; crier_budget_thread says so to each of them.
 */
#ifndef CRIER_SCRIPT_VM_H
#define CRIER_SCRIPT_VM_H

#include <lua.h>

#include "base/buf.h"
#include "base/clock.h"

/** Arm (or disarm) the CPU clock tick for the calling thread. Once a thread, before Lua runs on it. */
CRIER_CHECK int crier_budget_thread(bool on, struct crier_err *err);

struct crier_vm_config {
    const char *chunkname;     /**< the script as the user named it: "bot.lua" */
    const char *folder;        /**< the script's folder, absolute: require looks here first */
    const char *const *lua_path; /**< further folders, NULL-terminated; may be NULL */
    int64_t memory;            /**< bytes; 0: no cap */
    bool native_modules;       /**< C modules allowed */
    bool virtual_time;         /**< deterministic: count hook for the budget */
    struct crier_clock *clock;
    uint64_t seed;             /**< math.random in virtual time */
};

struct crier_vm {
    lua_State *L;
    struct crier_vm_config config;
    void *owner;               /**< the generation; set by whoever made the vm */
    size_t memory_used, memory_peak;
    char **files;              /**< every file that was loaded, absolute, for --watch */
    size_t file_count;
    struct crier_call *running; /**< the call whose coroutine is on the C stack now, or NULL */
    /* private to vm.c and call.c */
    int free_threads;          /**< registry ref: pool of coroutines */
    bool host_yield;
    unsigned calls;            /**< calls alive */
};

struct crier_vm *crier_vm_new(const struct crier_vm_config *config);
/** Calls that still wait are dropped (their to-be-closed variables run with a short budget). */
void crier_vm_free(struct crier_vm *vm);
struct crier_vm *crier_vm_of(lua_State *L);

/** What went wrong in Lua, in words: message with place, and a traceback trimmed to the user's
 *  files. */
struct crier_lua_error {
    char *message;   /**< "bot.lua:14: attempt to index a nil value (field 'x')" */
    char *traceback; /**< lines; may be empty */
    int code;        /**< CRIER_ECONFIG (an error), CRIER_ELIMIT (budget, memory), CRIER_ECANCELED */
};
void crier_lua_error_fini(struct crier_lua_error *e);

/** Load (text only) and run a file with `cpu_us` of CPU time (0: no bound) as the main chunk, in
 *  the vm's main coroutine: nothing may wait. A syntax error's place is in message. */
CRIER_CHECK int crier_vm_run_file(struct crier_vm *vm, const char *path, int64_t cpu_us,
                                  struct crier_lua_error *error);
/** The same for a text that is built in (sugar): name for messages. Raises to the C caller by rc. */
CRIER_CHECK int crier_vm_run_text(struct crier_vm *vm, const char *name, const char *text,
                                  size_t len, struct crier_lua_error *error);

/* --- calls ------------------------------------------------------------------------------- */

/** How a call ended. */
struct crier_call_end {
    int rc;                        /**< 0; CRIER_ECONFIG error; CRIER_ELIMIT; CRIER_ECANCELED */
    int results;                   /**< rc 0: this many values on top of L's stack */
    struct crier_lua_error error;  /**< rc != 0; freed by call.c after `done` returns */
    int64_t cpu_us;                /**< wall time spent in Lua between waits, summed */
};
/** L: the coroutine, valid only for the duration of done. */
typedef void crier_call_done(void *arg, lua_State *L, const struct crier_call_end *end);

/** A callback under way. */
struct crier_call {
    struct crier_vm *vm;
    lua_State *co;
    int ref;                /**< registry anchor of co */
    const char *what;       /**< "data function of message 'gallery'": for errors; owned */
    int64_t budget;         /**< CPU microseconds between two waits; 0: no bound */
    crier_call_done *done;
    void *arg;
    void (*cancel_wait)(struct crier_call *call, void *arg); /**< how to give up the present wait */
    void *wait_arg;
    void *user;             /**< for bindings that need context (the message being sent) */
    bool cancelled;
    int64_t spent;
};

/** Start: the function and nargs arguments are on top of vm->L's stack and are popped. Runs at
 *  once, until the first wait. done is called when it ends, perhaps before this returns. Returns
 *  NULL when it has ended already. `what` is copied. */
struct crier_call *crier_call_start(struct crier_vm *vm, int nargs, const char *what,
                                    int64_t budget_us, void *user, crier_call_done *done,
                                    void *arg);
/** For callbacks that must not wait (a route's match, a hook that is asked for a value): as start,
 *  but a wait raises "not available here: this function must answer at once". Leaves nresults
 *  values on vm->L's stack when rc is 0. */
CRIER_CHECK int crier_call_now(struct crier_vm *vm, int nargs, int nresults, const char *what,
                               int64_t budget_us, struct crier_lua_error *error);

/** In a binding: L's call waits; `return crier_call_wait(L, cancel, arg)`. Raises when L cannot
 *  yield ("inside table.sort", "while loading"). */
int crier_call_wait(lua_State *L, void (*cancel)(struct crier_call *call, void *arg), void *arg);
/** The call that L belongs to (through any user coroutines); NULL while loading. */
struct crier_call *crier_call_of(lua_State *L);
/** Where a resumer pushes the values that the wait shall return. */
lua_State *crier_call_stack(struct crier_call *call);
/** Go on with the top nresults values of crier_call_stack. */
void crier_call_resume(struct crier_call *call, int nresults);
/** End it: the present wait is given up and raises "cancelled" (sticky) in the coroutine. The
 *  call's done comes with CRIER_ECANCELED at once or when its to-be-closed variables have run. */
void crier_call_cancel(struct crier_call *call);

#endif
