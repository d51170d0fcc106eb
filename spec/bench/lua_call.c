/* SPDX-License-Identifier: MIT
 *
 * What it costs to enter Lua: one line a figure, `name value unit`.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "script/vm.h"

enum { N = 2000000 };

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct crier_call *waiting;

static int l_wait(lua_State *L)
{
    waiting = crier_call_check(L, "wait");
    return crier_call_wait(L, NULL, NULL);
}

static void ended(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    *(int *)arg += end->rc;
}

static void push(struct crier_vm *vm, const char *text)
{
    if (luaL_loadstring(vm->L, text) != LUA_OK)
        exit(70);
}

static void print(const char *name, double began, int count)
{
    printf("%s\t%.3f\tus\n", name, (now() - began) * 1e6 / count);
}

int main(void)
{
    struct crier_err err;
    if (crier_budget_thread(true, &err) != 0)
        return 70;
    struct crier_vm *vm = crier_vm_new(&(struct crier_vm_config){.chunkname = "bench"});
    lua_register(vm->L, "wait", l_wait);
    int failed = 0;

    push(vm, "return 1");
    double began = now();
    for (int i = 0; i < N; i++) {
        lua_pushvalue(vm->L, 1);
        crier_call_start(vm, 0, "bench", 250000, NULL, ended, &failed);
    }
    print("lua_call_start", began, N);
    began = now();
    for (int i = 0; i < N; i++) {
        struct crier_lua_error error;
        lua_pushvalue(vm->L, 1);
        if (crier_call_now(vm, 0, 1, "bench", 250000, &error) != 0)
            return 70;
        lua_pop(vm->L, 1);
    }
    print("lua_call_now", began, N);
    lua_settop(vm->L, 0);

    push(vm, "while true do wait() end");
    struct crier_call *call = crier_call_start(vm, 0, "bench", 250000, NULL, ended, &failed);
    began = now();
    for (int i = 0; i < N; i++)
        crier_call_resume(call, 0);
    print("lua_call_wait_and_resume", began, N);
    crier_call_cancel(call);
    failed = 0;

    push(vm, "local n = 0 for i = 1, 1e8 do n = n + i end");
    began = now();
    crier_call_start(vm, 0, "bench", 0, NULL, ended, &failed);
    printf("lua_loop_under_budget\t%.3f\tns\n", (now() - began) * 1e9 / 1e8);
    crier_vm_free(vm);

    began = now();
    for (int i = 0; i < 1000; i++)
        crier_vm_free(crier_vm_new(&(struct crier_vm_config){.chunkname = "bench"}));
    print("lua_vm_new_and_free", began, 1000);
    return failed ? 70 : 0;
}
