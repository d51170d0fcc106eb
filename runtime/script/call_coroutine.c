/* SPDX-License-Identifier: MIT
 *
 * The script's coroutines. They do what Lua's do, and besides: the budget knows which one runs; a
 * wait for the host inside one yields through all of them to the loop and comes back inside. And what
 * Lua runs with hooks off is put where they work: a finalizer in a state of its own, xpcall's handler
 * only for errors that are not the hook's.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/vm_private.h"

#define FAILED (-1)
#define WAITS (-2)

static uintptr_t *extra(lua_State *co)
{
    return lua_getextraspace(co);
}

/* Run `co` from L; narg arguments are on co already. */
static int run(lua_State *L, lua_State *co, int narg, int *results)
{
    struct crier_budget *b = crier_budget_top();
    if (!b) /* C runs Lua outside of a call: nothing to account */
        return lua_resume(co, L, narg, results);
    bool could = b->can_wait;
    b->can_wait = could && lua_isyieldable(L);
    crier_budget_switch(b, co);
    int status = lua_resume(co, L, narg, results);
    b->can_wait = could;
    crier_budget_switch(b, L);
    return status;
}

/* The number of results, moved to L; FAILED with the error on L; WAITS when the host is waited
 * for and L has to yield as well. */
static int step(lua_State *L, lua_State *co, int narg)
{
    int results = 0;
    int status = run(L, co, narg, &results);
    struct crier_budget *b = crier_budget_top();
    if (b && b->killed) {
        b->killed = false;
        *extra(co) |= CRIER_CO_HOST;
        lua_pushstring(L, b->message);
        return FAILED;
    }
    if (status == LUA_YIELD && crier_vm_of(L)->host_yield) {
        *extra(co) |= CRIER_CO_HOST;
        return WAITS;
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return FAILED;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return FAILED;
    }
    lua_xmove(co, L, results);
    return results;
}

static int start_step(lua_State *L, lua_State *co, int narg)
{
    if (*extra(co) & CRIER_CO_HOST) {
        lua_pushliteral(L, "cannot resume a coroutine that waits for the host");
        return FAILED;
    }
    if (!lua_checkstack(co, narg)) {
        lua_pushliteral(L, "too many arguments to resume");
        return FAILED;
    }
    lua_xmove(L, co, narg);
    if (*extra(co) & CRIER_CO_NEW) { /* the function is body's first argument */
        *extra(co) &= ~(uintptr_t)CRIER_CO_NEW;
        narg++;
    }
    return step(L, co, narg);
}

/* The host has come back: go on inside, with the values it pushed if `co` is the one that waited. */
static int continue_step(lua_State *L, lua_State *co)
{
    struct crier_call *call = crier_vm_of(L)->running;
    *extra(co) &= ~(uintptr_t)CRIER_CO_HOST;
    return step(L, co, co == call->wait_co ? call->wait_results : 0);
}

static int resume_end(lua_State *L, int n);

static int resume_continue(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    return resume_end(L, continue_step(L, lua_tothread(L, 1)));
}

static int resume_end(lua_State *L, int n)
{
    if (n == WAITS)
        return lua_yieldk(L, 0, 0, resume_continue);
    lua_pushboolean(L, n != FAILED);
    int count = n == FAILED ? 1 : n;
    lua_insert(L, -(count + 1));
    return count + 1;
}

static lua_State *check_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int l_resume(lua_State *L)
{
    lua_State *co = check_co(L);
    return resume_end(L, start_step(L, co, lua_gettop(L) - 1));
}

static int close_in(lua_State *L, lua_State *co)
{
    struct crier_budget *b = crier_budget_top();
    if (!b)
        return crier_lua_close_thread(co, L);
    bool could = b->can_wait;
    b->can_wait = false;
    crier_budget_switch(b, co);
    int status = crier_lua_close_thread(co, L);
    b->can_wait = could;
    crier_budget_switch(b, L);
    return status;
}

static int wrap_end(lua_State *L, lua_State *co, int n);

static int wrap_continue(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    return wrap_end(L, co, continue_step(L, co));
}

static int wrap_end(lua_State *L, lua_State *co, int n)
{
    if (n == WAITS)
        return lua_yieldk(L, 0, 0, wrap_continue);
    if (n != FAILED)
        return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_pop(L, 1);
        close_in(L, co);
        lua_xmove(co, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int l_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    return wrap_end(L, co, start_step(L, co, lua_gettop(L)));
}

static int body_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    if (status != LUA_OK && status != LUA_YIELD)
        return lua_error(L);
    return lua_gettop(L);
}

/* The function runs under a pcall, whose end gives back what an error raised by a hook takes away:
 * hooks in this state, so that its to-be-closed variables are within the budget too. */
static int body(lua_State *L)
{
    if (lua_gettop(L) == 0) /* an earlier resume failed before it started */
        return luaL_error(L, "cannot resume dead coroutine");
    return body_end(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, body_end), 0);
}

static int l_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    *extra(co) |= CRIER_CO_NEW;
    lua_pushcfunction(co, body);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int l_wrap(lua_State *L)
{
    l_create(L);
    lua_pushcclosure(L, l_wrapped, 1);
    return 1;
}

/* A call's own coroutine, or the main one: yielding from it would be the host's business. */
static bool is_main(lua_State *L)
{
    return *extra(L) & CRIER_CO_HOST || L == crier_vm_of(L)->L;
}

static int l_yield(lua_State *L)
{
    if (is_main(L))
        return luaL_error(L, "attempt to yield from outside a coroutine (crier.sleep waits)");
    return lua_yield(L, lua_gettop(L));
}

static int l_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, lua_isyieldable(co) && !is_main(co));
    return 1;
}

static int l_running(lua_State *L)
{
    lua_pushthread(L);
    lua_pushboolean(L, is_main(L));
    return 2;
}

static const char *status_of(lua_State *L, lua_State *co)
{
    if (L == co)
        return "running";
    if (*extra(co) & CRIER_CO_HOST)
        return "normal";
    lua_Debug ar;
    switch (lua_status(co)) {
    case LUA_YIELD:
        return "suspended";
    case LUA_OK:
        if (lua_getstack(co, 0, &ar))
            return "normal";
        return lua_gettop(co) == 0 ? "dead" : "suspended";
    default:
        return "dead";
    }
}

static int l_status(lua_State *L)
{
    lua_pushstring(L, status_of(L, check_co(L)));
    return 1;
}

static int l_close(lua_State *L)
{
    lua_State *co = check_co(L);
    const char *status = status_of(L, co);
    if (strcmp(status, "dead") != 0 && strcmp(status, "suspended") != 0)
        return luaL_error(L, "cannot close a %s coroutine", status);
    if (close_in(L, co) == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    return 2;
}

/* --- xpcall ------------------------------------------------------------------------------- */

/* Upvalue 1: the script's handler. An error that the budget's hook raises is handled with hooks
 * off, so that a handler that loops would never end: it is not called then. */
static int l_handler(lua_State *L)
{
    struct crier_budget *b = crier_budget_top();
    lua_settop(L, 1);
    if (b && b->over)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int xpcall_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - 1; /* all but the handler */
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int l_xpcall(lua_State *L)
{
    int nargs = lua_gettop(L) - 2;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, l_handler, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
    lua_remove(L, 1);
    return xpcall_end(L, lua_pcallk(L, nargs, LUA_MULTRET, 1, 0, xpcall_end), 0);
}

/* --- finalizers --------------------------------------------------------------------------- */

/* Upvalue 1: the script's __gc function. */
static int l_finalize(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_budget *b = crier_budget_top();
    lua_State *co = vm->finalizers;
    lua_settop(L, 1);
    if (!co || vm->finalizing || !lua_checkstack(co, 4))
        return 0;
    vm->finalizing = true;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_xmove(L, co, 2);
    if (b)
        crier_budget_switch(b, co);
    int status = lua_pcall(co, 1, 0, 0);
    if (b)
        crier_budget_switch(b, L);
    vm->finalizing = false;
    if (status == LUA_OK)
        return 0;
    lua_xmove(co, L, 1);
    return lua_error(L); /* Lua makes a warning of it */
}

static void make_finalizers(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    if (vm->finalizers)
        return;
    lua_State *co = lua_newthread(L);
    *extra(co) |= CRIER_CO_HOST;
    lua_rawsetp(L, LUA_REGISTRYINDEX, vm);
    vm->finalizers = co;
}

static int l_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (type == LUA_TTABLE) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) == LUA_TFUNCTION && lua_tocfunction(L, -1) != l_finalize) {
            make_finalizers(L);
            lua_pushcclosure(L, l_finalize, 1);
            lua_pushliteral(L, "__gc");
            lua_insert(L, -2);
            lua_rawset(L, 2);
        }
        lua_settop(L, 2);
    }
    lua_setmetatable(L, 1);
    return 1;
}

void crier_open_coroutine(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", l_create}, {"resume", l_resume},   {"wrap", l_wrap},
        {"yield", l_yield},   {"status", l_status},   {"isyieldable", l_isyieldable},
        {"close", l_close},   {"running", l_running}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
    lua_setglobal(L, "coroutine");
    lua_register(L, "setmetatable", l_setmetatable);
    lua_register(L, "xpcall", l_xpcall);
}
