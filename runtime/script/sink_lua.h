/* SPDX-License-Identifier: MIT
 *
 * A sink whose functions are written in Lua: what crier.sink.custom has in common, whether they run
 * on the loop (sink_custom.c) or in a state and thread of their own (sink_module.c).
 *
 * One call at a time: open before the first write, then writes, and idle when there is nothing to
 * write. Each is a coroutine, which may wait on `loop`, under a CPU budget; it is cancelled when it
 * takes longer than `timeout`. What write answers:
 *
 *     return true                    all of the batch is stored
 *     return nil, message [, n]      the first n (0) are stored, the rest shall come again
 *     return false, message [, n]    the first n (0) are stored, the next one is at fault
 *
 * An error, a limit, anything else: all of it shall come again.
 *
 * Thread: that of the vm.
 */
#ifndef CRIER_SCRIPT_SINK_LUA_H
#define CRIER_SCRIPT_SINK_LUA_H

#include "script/declare.h"

/** A set of functions, and the self that they get. Refcounted: a call under way holds one. */
struct crier_lua_functions {
    int refs;
    struct crier_vm *vm;
    struct crier_generation *gen; /**< a reference; NULL: the vm is the sink's own */
    int table;                    /**< registry: where the functions are */
    int self;            /**< registry: what they get; LUA_NOREF until `open` has made it */
    const char *options; /**< JSON: what a module's open gets; NULL: it gets self */
    char *name;          /**< of the sink */
    bool opened;
};
/** table: registry reference, taken over. self is the table itself where `options` is NULL. */
struct crier_lua_functions *crier_lua_functions_new(struct crier_vm *vm,
                                                    struct crier_generation *gen, const char *name,
                                                    int table, const char *options);
void crier_lua_functions_unref(struct crier_lua_functions *f); /**< the last one calls `close` */

enum crier_lua_step { CRIER_LUA_OPEN, CRIER_LUA_WRITE, CRIER_LUA_IDLE };

struct crier_lua_flight;

struct crier_lua_sink {
    /* set by the owner */
    struct crier_loop *loop;
    int64_t timeout;
    bool timers; /**< `loop` turns by itself: idle may be called from a timer of it */
    /** A batch has been answered, after crier_lua_sink_write had left it open. */
    void (*answered)(struct crier_lua_sink *s);
    /** A call of the functions has failed; for people. */
    void (*failed)(struct crier_lua_sink *s, const struct crier_lua_functions *f, const char *what,
                   const struct crier_lua_error *error);
    /** A call has ended; NULL: nobody wants to know. */
    void (*touched)(const struct crier_lua_functions *f);

    /* the answer to the last batch */
    enum crier_verdict verdict;
    size_t done;
    struct crier_err err;

    /* private */
    struct crier_lua_functions *functions;
    struct crier_lua_flight *flight;
    struct crier_record *const *records;
    size_t count; /* of the batch under way; 0: none */
    bool starting;
    int64_t idle_at; /* when idle is wanted */
    struct crier_timer idle_timer;
};

/** From now on these functions are called; what is under way ends in the old ones. The reference is
 *  taken over. */
void crier_lua_sink_bind(struct crier_lua_sink *s, struct crier_lua_functions *functions);
/** Give a batch over, which stays valid until it is answered. True: it is answered already. */
bool crier_lua_sink_write(struct crier_lua_sink *s, struct crier_record *const *records,
                          size_t count);
/** There is nothing to write. Returns when to call again (CRIER_NEVER also when a timer will). */
int64_t crier_lua_sink_idle(struct crier_lua_sink *s, int64_t now);
/** The call under way is cancelled: its batch is answered with RETRY_LATER. */
void crier_lua_sink_cancel(struct crier_lua_sink *s, const char *why);
/** The end: what is under way is given up without an answer, close is called. */
void crier_lua_sink_fini(struct crier_lua_sink *s);

/** The options of crier.sink.custom. */
extern const struct crier_option crier_lua_sink_options[];
extern const size_t crier_lua_sink_option_count;

#endif
