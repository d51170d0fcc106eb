/* SPDX-License-Identifier: MIT
 *
 * One Lua 5.4 state: a capped allocator, a library without what would take the host down, text
 * chunks only, a CPU budget that no script can swallow, and coroutines for every callback.
 *
 * Budget. While Lua runs, a timer on the thread's own CPU clock ticks (nothing ticks while the
 * thread sleeps, and entering a callback costs no system call). When one call has used its budget,
 * the tick's signal handler sets a hook on the running state; the hook raises. Caught by a pcall or
 * by a __close, it comes again after 20,000 further instructions (time to close things) and from
 * then on at every instruction, until the call is over: by a yield that no pcall sees, where the
 * state can yield, else as an error. A call that was over its budget has failed, whatever it
 * returns. Coroutines that the script makes are covered (coroutine.* are ours and track which state
 * runs), and so are finalizers, xpcall's handlers and string patterns. Other loops in C (table.move
 * over 2^60 elements) are not. (lua_sethook is the one function that Lua's manual allows in a signal
 * handler.) In virtual time a count hook takes the place of the
 * timer, at 10 ns an instruction, so that runs are reproducible.
 *
 * Waiting. A callback runs in a coroutine of its own (struct crier_call). A binding that waits asks
 * crier_call_check first, starts its work, and returns the result of crier_call_wait: the
 * coroutine, and every user coroutine around it, yields to the loop; crier_call_resume goes on with
 * the values that were pushed on crier_call_stack.
 *
 * Memory. The cap holds while Lua runs: there it is a Lua error. What C pushes between calls is
 * counted but not refused.
 *
 * Thread: one thread at a time. A generation is built on a builder thread and then belongs to the
 * loop thread; crier_budget_thread says so to each of them.
 */
#ifndef CRIER_SCRIPT_VM_H
#define CRIER_SCRIPT_VM_H

#include <lua.h>

#include "base/buf.h"
#include "base/clock.h"

struct crier_loop;
struct crier_transport;
struct crier_call;
struct crier_budget;
struct crier_record;
struct crier_builder;

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
    struct _GHashTable *overlay; /**< file -> its text, in place of what is on disk; may be NULL */
    uint64_t seed;             /**< math.random in virtual time */
    const char *callback_name; /**< what messages call the limits; static. NULL: limits.callback, */
    const char *memory_name;   /**< limits.memory */
};

enum { CRIER_CELLS = 33 };

/** Records that belong to the transform that runs (record_lua.c). */
struct crier_passing {
    bool on;
    uint64_t epoch; /**< counts beginnings and ends */
    struct crier_record **records;
    size_t count, cap;
    const void *meta; /**< their metatable */
};

struct crier_vm {
    lua_State *L;
    struct crier_vm_config config;
    void *owner;               /**< the generation; set by whoever made the vm */
    struct crier_builder *builder; /**< for copies of records, where the owner is no generation */
    struct crier_loop *loop;   /**< for crier.sleep; borrowed, set by the owner */
    struct crier_transport *http; /**< for crier.http; borrowed, set by the owner */
    /** Whether crier.http may talk to this host; when not, the reason in why. NULL: all. */
    bool (*allow_host)(void *owner, const char *host, char *why, size_t cap);
    /** One stretch of Lua took a second of wall time or more. NULL: nobody wants to know. */
    void (*on_stall)(struct crier_vm *vm, const char *what, int64_t us);
    _Atomic int interrupted;   /**< [any] set: what runs is stopped at the next tick of the thread's
                                    CPU clock, as if it had used up its budget */
    bool loading;              /**< crier_vm_run_file is under way */
    size_t memory_used, memory_peak;
    uint64_t stamps;           /**< virtual time: blocks made */
    char **files;              /**< every file that was loaded, absolute, for --watch */
    char **texts;              /**< what they held; NULL: they are no Lua */
    size_t file_count;
    struct crier_call *running; /**< the call whose coroutine is on the C stack now, or NULL */
    unsigned calls;            /**< calls alive */
    /* private to vm.c, budget.c and call*.c */
    struct crier_call *alive;  /**< list of the calls alive */
    struct crier_call *pool;   /**< ended calls with their coroutines, to be used again */
    unsigned pooled;
    lua_State *finalizers;     /**< where __gc functions run; NULL until the first one */
    bool finalizing;
    bool host_yield;           /**< the yield under way goes to the loop */
    bool capped;               /**< the memory cap holds now */
    char *traceback;           /**< of the last error that reached a call's end */
    const void *record_meta;   /**< metatable of records that stay */
    struct crier_passing passing;
    void *cells[CRIER_CELLS];  /**< freed blocks that are kept, by size */
    unsigned cells_kept[CRIER_CELLS]; /**< their bytes */
};

struct crier_vm *crier_vm_new(const struct crier_vm_config *config);
/** Calls that still wait are cancelled (see crier_call_cancel): their done is called. */
void crier_vm_free(struct crier_vm *vm);
struct crier_vm *crier_vm_of(lua_State *L);
/** A further folder for require, behind those that are there. Copied. */
void crier_vm_add_path(struct crier_vm *vm, const char *folder);
/** A file that was loaded, for vm->files; once each. */
void crier_vm_add_file(struct crier_vm *vm, const char *path);

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
/** L: the coroutine, valid only for the duration of done, which must not raise. */
typedef void crier_call_done(void *arg, lua_State *L, const struct crier_call_end *end);

/** A callback under way. */
struct crier_call {
    struct crier_vm *vm;
    lua_State *co;
    const char *what;       /**< "data function of message 'gallery'": for errors; owned */
    void *user;             /**< for bindings that need context (the message being sent) */
    bool cancelled;
    int64_t budget;         /**< CPU microseconds between two waits; 0: no bound */
    int64_t spent;          /**< wall time in Lua so far, microseconds */
    uint64_t number;        /**< tells this call from earlier ones in the same memory */
    /* private to call.c */
    crier_call_done *done;
    void *arg;
    void (*cancel_wait)(struct crier_call *call, void *arg); /**< how to give up the present wait */
    void *wait_arg;
    lua_State *wait_co;     /**< the innermost coroutine of the present wait; NULL: not waiting */
    int wait_results;
    int ref;                /**< registry anchor of co */
    int status;             /**< how the function ended: LUA_OK, LUA_ERR* */
    bool on_stack;          /**< runs, or has called something that runs */
    bool now;               /**< crier_call_now: must not wait */
    char what_buf[64];
    struct crier_call *next, **link;
};

/** Start: the function and nargs arguments are on top of vm->L's stack and are popped. Runs at
 *  once, until the first wait. done is called when it ends, perhaps before this returns. Returns
 *  NULL when it has ended already. `what` is copied. */
struct crier_call *crier_call_start(struct crier_vm *vm, int nargs, const char *what,
                                    int64_t budget_us, void *user, crier_call_done *done,
                                    void *arg);
/** As `user` of a call: it is a function of a sink. */
extern const char crier_call_of_sink;
/** Whether a function of a sink runs on this thread now: what it logs must not come back to it. */
bool crier_call_in_sink(void);
/** The same for what is called by crier_call_now until it is taken back. */
void crier_call_enter_sink(bool in);
/** The same for what an alert calls: what that says must not alert. */
extern const char crier_call_of_alert;
bool crier_call_in_alert(void);
/** For callbacks that must not wait (a route's match, a hook that is asked for a value): as start,
 *  but a wait raises "not available here: this function must answer at once". Leaves nresults
 *  values on vm->L's stack when rc is 0. */
CRIER_CHECK int crier_call_now(struct crier_vm *vm, int nargs, int nresults, const char *what,
                               int64_t budget_us, struct crier_lua_error *error);

/** In a binding, before it starts anything: the call that is going to wait. Raises, naming the
 *  function, when L cannot wait ("crier.sleep cannot wait inside table.sort or string.gsub", "... is
 *  not available while loading") and when the call is cancelled or over its budget. */
struct crier_call *crier_call_check(lua_State *L, const char *function);
/** The same for a binding that can do without: NULL when L cannot wait. */
struct crier_call *crier_call_may_wait(lua_State *L);
/** In a binding, after crier_call_check: L's call waits; `return crier_call_wait(L, cancel, arg)`.
 *  cancel gives the work up and must not resume the call. */
int crier_call_wait(lua_State *L, void (*cancel)(struct crier_call *call, void *arg), void *arg);
/** The call that L runs for (through any user coroutines); NULL while loading. */
struct crier_call *crier_call_of(lua_State *L);
/** Where a resumer pushes the values that the wait shall return. */
lua_State *crier_call_stack(struct crier_call *call);
/** Go on with the top nresults values of crier_call_stack. */
void crier_call_resume(struct crier_call *call, int nresults);
/** End it: the present wait is given up and raises "cancelled" in the coroutine, and so does every
 *  further wait; what the coroutine still does has 250 ms of CPU time. The call's done comes with
 *  CRIER_ECANCELED before this returns, or, for a call that runs at this moment, when it ends. */
void crier_call_cancel(struct crier_call *call);
/** Cancel every call that is alive. */
void crier_vm_cancel_all(struct crier_vm *vm);

/** Adds sleep and http to the `crier` table on top of the stack. */
void crier_open_wait(lua_State *L);

#endif
