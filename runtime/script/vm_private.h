/* SPDX-License-Identifier: MIT
 *
 * What vm.c, call*.c and stdlib*.c share. Thread: the one that runs the vm.
 */
#ifndef CRIER_SCRIPT_VM_PRIVATE_H
#define CRIER_SCRIPT_VM_PRIVATE_H

#include "script/vm.h"

#if LUA_VERSION_RELEASE_NUM >= 50406
#define crier_lua_close_thread(co, from) lua_closethread(co, from)
#else
#define crier_lua_close_thread(co, from) ((void)(from), lua_resetthread(co))
#endif

/* A state's extra space holds the vm's address and these bits. HOST: the coroutine belongs to the
 * host (a call's own, or one that waits for the host), and the script must not resume or close it.
 * NEW: one of the script's that has not been started. */
#define CRIER_CO_HOST 1u
#define CRIER_CO_NEW 2u
#define CRIER_CO_FLAGS 7u

/* Open the libraries, minus what would take the host down. */
void crier_stdlib_open(struct crier_vm *vm);
/* The globals `coroutine`, setmetatable and xpcall. */
void crier_open_coroutine(lua_State *L);
/* In virtual time: a list of the keys of the table at idx, in an order that is the same in every run,
 * is pushed. */
void crier_push_keys(lua_State *L, int idx);
/* string.find, match, gmatch and gsub, which the budget can stop. */
void crier_open_pattern(lua_State *L);

/* Load a file as a function onto L's stack; or push a message and return another status than
 * LUA_OK. name: for messages; NULL: from the path. Notes the file in vm->files. */
int crier_vm_load_file(struct crier_vm *vm, lua_State *L, const char *path, const char *name);

/* The one protected call on vm->L: function and nargs arguments are popped, nresults are left when
 * it returns 0. call: what crier_call_of returns meanwhile; may be NULL. */
int crier_vm_run(struct crier_vm *vm, struct crier_call *call, int nargs, int nresults,
              int64_t budget_us, const char *what, const char *limit_name,
              struct crier_lua_error *error);
/* Message and code from the error value on top of L (left there) and vm->traceback. */
void crier_lua_error_fill(struct crier_vm *vm, lua_State *L, int status, const char *what,
                          struct crier_lua_error *error);
/* The user's functions on L's stack, one a line; the caller's to free. */
char *crier_lua_stack(lua_State *L);
void crier_call_pool_free(struct crier_vm *vm);

/* stdlib_order.c: pairs, next and tostring in virtual time. */
void crier_open_order(lua_State *L);
/* Virtual time: the number of a block that the vm's allocator has made. */
uint64_t crier_vm_stamp(const void *block);

#endif
