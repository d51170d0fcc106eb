/* SPDX-License-Identifier: MIT
 *
 * What the unit tests of the vm share: a vm with a host's `wait` function in it, scripts as texts,
 * and calls whose end is kept.
 */
#ifndef CRIER_SPEC_SCRIPT_VM_SUPPORT_H
#define CRIER_SPEC_SCRIPT_VM_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/vm.h"

#define BUDGET (40 * CRIER_MS)

/* How a call ended. */
struct ended {
    int count, rc;
    char message[512], traceback[2048], result[256];
};

static inline void keep_end(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct ended *e = arg;
    e->count++;
    e->rc = end->rc;
    e->result[0] = e->message[0] = e->traceback[0] = '\0';
    if (end->rc == 0 && end->results > 0) {
        snprintf(e->result, sizeof e->result, "%s", luaL_tolstring(L, -end->results, NULL));
        lua_pop(L, 1);
    }
    if (end->rc != 0) {
        snprintf(e->message, sizeof e->message, "%s", end->error.message);
        snprintf(e->traceback, sizeof e->traceback, "%s", end->error.traceback);
    }
}

/* wait(): the test resumes the call by hand. */
static struct crier_call *waiting;
static int given_up;

static inline void give_up(struct crier_call *call, void *arg)
{
    (void)call;
    (void)arg;
    given_up++;
}

static inline int l_test_wait(lua_State *L)
{
    waiting = crier_call_check(L, "wait");
    return crier_call_wait(L, give_up, NULL);
}

static inline struct crier_vm *vm_with(struct crier_vm_config config)
{
    struct crier_err err;
    assert_int_equal(crier_budget_thread(true, &err), 0);
    if (!config.chunkname)
        config.chunkname = "bot.lua";
    if (!config.folder)
        config.folder = "/nonexistent";
    struct crier_vm *vm = crier_vm_new(&config);
    lua_register(vm->L, "wait", l_test_wait);
    return vm;
}

static inline struct crier_vm *vm_plain(void)
{
    return vm_with((struct crier_vm_config){0});
}

/* Compile a text as a function onto vm->L, under the script's name. */
static inline void push_chunk(struct crier_vm *vm, const char *text)
{
    if (luaL_loadbufferx(vm->L, text, strlen(text), "@bot.lua", "t") != LUA_OK)
        fail_msg("%s", lua_tostring(vm->L, -1));
}

static inline struct crier_call *start(struct crier_vm *vm, const char *text, int64_t budget,
                                       struct ended *end)
{
    memset(end, 0, sizeof *end);
    push_chunk(vm, text);
    return crier_call_start(vm, 0, "data function of message 'gallery'", budget, NULL, keep_end,
                            end);
}

/* Go on with one text as the wait's value. */
static inline void resume_with(struct crier_call *call, const char *value)
{
    lua_pushstring(crier_call_stack(call), value);
    crier_call_resume(call, 1);
}

/* Run as a call that does not wait; its result as a text. */
static inline const char *result_of(struct crier_vm *vm, const char *text)
{
    static struct ended end;
    assert_null(start(vm, text, 0, &end));
    if (end.rc != 0)
        fail_msg("%s\n%s", end.message, end.traceback);
    return end.result;
}

static inline const char *error_of(struct crier_vm *vm, const char *text)
{
    static struct ended end;
    assert_null(start(vm, text, 0, &end));
    assert_int_equal(end.count, 1);
    if (end.rc == 0)
        fail_msg("no error, result: %s", end.result);
    return end.message;
}

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

#endif
