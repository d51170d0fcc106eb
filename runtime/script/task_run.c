/* SPDX-License-Identifier: MIT
 *
 * Runs on the loop: a function of the script in a coroutine, and what it finds in ctx.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/logs.h"
#include "script/luajson.h"
#include "script/task_private.h"

static const char context_key; /* registry: the metatable of ctx */

/* --- ctx ---------------------------------------------------------------------------------- */

/* ctx.result("fetch", otherwise): what that task returned last. */
static int l_result(lua_State *L)
{
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_err err = {0};
    if (lua_istable(L, 1)) /* ctx:result(...) */
        lua_remove(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "ctx.result expects the name of a task: ctx.result(\"fetch\")");
    if (!crier_task_named(gen, lua_tostring(L, 1)))
        return luaL_error(L, "ctx.result: there is no task '%s'", lua_tostring(L, 1));
    const char *json = crier_task_result(crier_host_tasker(gen->host), lua_tostring(L, 1));
    lua_settop(L, 2);
    if (!json)
        return 1;
    if (crier_lua_from_json(L, json, strlen(json), &err) != 0)
        return luaL_error(L, "ctx.result: %s", err.text);
    return 1;
}

/* The sink that a task's own log is read from. */
static int l_log_sink(lua_State *L)
{
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_declared_sink *sink;
    struct crier_err err = {0};
    if (crier_logs_choose(gen, NULL, false, &sink, &err) != 0)
        return luaL_error(L, "ctx.log:filter: %s", err.text);
    luaL_checkstack(L, 2, NULL);
    struct crier_declared_sink **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = sink;
    luaL_setmetatable(L, CRIER_MT_SINK);
    return 1;
}

/* upvalue: the methods. `log` is made when it is first asked for, and kept in ctx. */
static int l_context_index(lua_State *L)
{
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "log") != 0)
        return 1;
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, 1, "log");
    return 1;
}

void crier_open_task_context(lua_State *L)
{
    static const luaL_Reg methods[] = {{"result", l_result}, {"_sink", l_log_sink}, {NULL, NULL}};
    lua_createtable(L, 0, 3);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "_task_context"); /* where the sugar adds log; taken away by init.lua */
    lua_pushcclosure(L, l_context_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
}

/* --- running ------------------------------------------------------------------------------ */

static int run_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

/* Runs inside the call's coroutine, so that whatever raises here is the call's error. */
static int l_work(lua_State *L)
{
    struct crier_run *run = lua_touserdata(L, 1);
    struct crier_err err = {0};
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, run->task->run_fn);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, run->state->name);
    lua_setfield(L, -2, "task");
    lua_pushlstring(L, run->run_id, CRIER_ULID_LEN);
    lua_setfield(L, -2, "run_id");
    lua_pushnumber(L, (lua_Number)run->due / 1e6);
    lua_setfield(L, -2, "due");
    if (!run->params)
        lua_newtable(L);
    else if (crier_lua_from_json(L, run->params, strlen(run->params), &err) != 0)
        return luaL_error(L, "params: %s", err.text);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "params");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
    lua_setmetatable(L, -3);
    lua_callk(L, 2, 1, 0, run_returned);
    return 1;
}

/* The value on top of the stack, which the task has returned. */
static void read_result(struct crier_run *run, lua_State *L, struct crier_buf *json,
                        struct crier_run_end *out)
{
    struct crier_err err = {0};
    if (lua_isnil(L, -1))
        return;
    if (luaL_testudata(L, -1, CRIER_MT_INACTION)) {
        out->action = CRIER_INACTION;
        lua_getiuservalue(L, -1, 1);
        out->reason = lua_tostring(L, -1); /* on the stack until the run has ended */
        return;
    }
    if (crier_lua_to_json(L, lua_gettop(L), json, &err) == 0) {
        out->result = json->data;
        out->result_len = json->len;
    } else if (!run->state->result_told) {
        run->state->result_told = true;
        crier_host_system(run->host, CRIER_LEVEL_WARNING, "task.result",
                          "task '%s' returned what ctx.result cannot give to others: %s",
                          run->state->name, err.text);
    }
}

static void work_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct crier_run *run = arg;
    struct crier_generation *gen = crier_generation_ref(run->task->gen);
    struct crier_run_end out = {.action = CRIER_SUCCESS};
    struct crier_buf json = {0};
    char *trace = NULL;
    run->job = NULL;
    if (end->rc == 0 && end->results > 0) {
        read_result(run, L, &json, &out);
    } else if (end->rc != 0) {
        const struct crier_lua_error *e = &end->error;
        out.action = CRIER_FAIL;
        trace = crier_asprintf("%s%s%s", e->message, *e->traceback ? "\n" : "", e->traceback);
        out.exc_text = trace;
        if (end->rc == CRIER_ECANCELED && !run->cancelled) {
            out.action = CRIER_TERMINATE; /* the whole generation was */
            out.reason = "shutdown";
            out.exc_text = NULL;
        }
    }
    crier_run_ended(run, &out);
    crier_buf_fini(&json);
    free(trace);
    crier_host_touched(gen);
    crier_generation_unref(gen);
}

static void start(struct crier_run *run)
{
    struct crier_vm *vm = run->task->gen->vm;
    char what[CRIER_BOARD_NAME + 16];
    size_t len = strlen(run->state->name);
    memcpy(what, "task '", 6);
    memcpy(what + 6, run->state->name, len);
    memcpy(what + 6 + len, "'", 2);
    lua_pushcfunction(vm->L, l_work);
    lua_pushlightuserdata(vm->L, run);
    struct crier_call *call =
        crier_call_start(vm, 1, what, run->task->budget, NULL, work_done, run);
    if (call)
        run->job = call;
}

static void cancel(struct crier_run *run)
{
    if (run->job)
        crier_call_cancel(run->job);
}

const struct crier_executor crier_task_loop = {"loop", start, cancel, NULL};
