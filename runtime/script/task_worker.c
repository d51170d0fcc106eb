/* SPDX-License-Identifier: MIT
 *
 * Tasks that are modules: each run has a Lua state and, live, a thread of its own, so that work
 * which computes for minutes holds nobody up. In virtual time the loop runs it in line.
 *
 * The module returns a function(ctx, params), or a table with it as `run`. What it returns goes
 * back as JSON. It is stopped wherever it is: while it waits by a cancel, while it computes by the
 * tick of the thread's CPU clock (vm.h, Budget), which looks at vm->interrupted. What is stuck in
 * C, where no tick reaches it, is left behind after a grace: the run ends without it.
 */
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/worker.h"
#include "discord/transport.h"
#include "script/luajson.h"
#include "script/module_state.h"
#include "script/task_private.h"
#include "script/vm_private.h"

#define GRACE (5 * CRIER_S)
#define GRACE_STOPPING (CRIER_S / 2)
#define LOOK_EVERY (CRIER_S / 10)
#define MT_INACTION "crier.module.inaction"

struct job {
    struct crier_module module;
    struct crier_run *run; /* [loop] NULL: it has ended */
    struct crier_loop *loop;
    struct crier_worker *worker; /* NULL in virtual time */
    struct crier_loop *own;
    struct crier_transport *http;
    struct crier_sink_env env;
    struct crier_timer timer; /* [loop] of the grace */
    int64_t since;
    /* the thread's, until `finished` is posted */
    char *name, *what, *file, *params, *run_id;
    int64_t due, budget, load;
    struct crier_call *call;
    bool ended;
    enum crier_action action;
    char *exc_text, *reason;
    struct crier_buf result;
};

static atomic_size_t alive;

size_t crier_task_worker_threads(void)
{
    return atomic_load(&alive);
}

/* --- the module's side --------------------------------------------------------------------- */

static struct job *job_of(lua_State *L)
{
    struct crier_module *m = crier_vm_of(L)->owner;
    return CRIER_CONTAINER(m, struct job, module);
}

static int l_inaction(lua_State *L)
{
    if (!lua_isnoneornil(L, 1) && lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L,
                          "crier.inaction takes a reason: return crier.inaction \"nothing new\"");
    lua_settop(L, 1);
    lua_newuserdatauv(L, 0, 1);
    lua_insert(L, 1);
    lua_setiuservalue(L, 1, 1);
    luaL_newmetatable(L, MT_INACTION);
    lua_setmetatable(L, 1);
    return 1;
}

static const luaL_Reg functions[] = {{"inaction", l_inaction}, {NULL, NULL}};

static int l_no_member(lua_State *L)
{
    return luaL_error(L,
                      "ctx.%s is not available in a task's module: it has task, "
                      "run_id, due, params and log",
                      luaL_tolstring(L, 2, NULL));
}

/* The function that the module returned, or has as `run`. */
static int l_load(lua_State *L)
{
    const char *name = lua_tostring(L, 1);
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "run");
    if (!lua_isfunction(L, -1))
        return luaL_error(L,
                          "module '%s' returned no function: return function(ctx, params) ... end, "
                          "or { run = function(ctx, params) ... end }",
                          name);
    return 1;
}

static void push_context(lua_State *L, const struct job *j)
{
    lua_createtable(L, 0, 5);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "crier");
    lua_getfield(L, -1, "log");
    lua_setfield(L, -4, "log");
    lua_pop(L, 2);
    lua_pushnumber(L, (lua_Number)j->due / 1e6);
    lua_setfield(L, -2, "due");
    lua_pushstring(L, j->name);
    lua_setfield(L, -2, "task");
    lua_pushstring(L, j->run_id);
    lua_setfield(L, -2, "run_id");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_no_member);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static int returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L) > 1 ? 1 : 0;
}

/* Upvalue 1: the function. */
static int l_run(lua_State *L)
{
    const struct job *j = job_of(L);
    struct crier_err err = {0};
    lua_settop(L, 0);
    lua_pushnil(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    push_context(L, j);
    if (crier_lua_from_json(L, j->params, strlen(j->params), &err) != 0)
        return luaL_error(L, "params: %s", err.text);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "params");
    lua_callk(L, 2, 1, 0, returned);
    return returned(L, LUA_OK, 0);
}

static void set_error(struct job *j, const struct crier_lua_error *error)
{
    const char *text = error->message ? error->message : "it failed";
    j->action = CRIER_FAIL;
    j->reason = crier_strndup(text, strcspn(text, "\n"));
    j->exc_text = error->traceback && *error->traceback
                      ? crier_asprintf("%s\n%s", text, error->traceback)
                      : crier_strdup(text);
}

static void take_result(struct job *j, lua_State *L)
{
    struct crier_err err = {0};
    j->action = CRIER_SUCCESS;
    if (luaL_testudata(L, -1, MT_INACTION)) {
        j->action = CRIER_INACTION;
        if (lua_getiuservalue(L, -1, 1) == LUA_TSTRING)
            j->reason = crier_strdup(lua_tostring(L, -1));
        lua_pop(L, 1);
    } else if (!lua_isnil(L, -1) && crier_lua_to_json(L, -1, &j->result, &err) != 0) {
        struct crier_lua_error error = {
            .message =
                crier_asprintf("what the module returned cannot be handed on: %s", err.text)};
        set_error(j, &error);
        crier_lua_error_fini(&error);
    }
}

static void finished(void *arg);

static void on_call_end(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct job *j = arg;
    j->call = NULL;
    j->ended = true;
    if (end->rc != 0)
        set_error(j, &end->error);
    else if (end->results > 0)
        take_result(j, L);
    if (j->own)
        crier_loop_stop(j->own);
    else
        crier_loop_post(j->loop, finished, j);
}

static void run_module(struct job *j, const char *module)
{
    struct crier_lua_error error = {0};
    struct crier_vm *vm = j->module.vm;
    int rc = crier_module_open_crier(&j->module, &error);
    if (rc == 0) {
        vm->loading = true;
        lua_pushcfunction(vm->L, l_load);
        lua_pushstring(vm->L, module);
        rc = crier_vm_run(vm, NULL, 1, 1, j->load, "loading the module", "limits.load", &error);
        vm->loading = false;
    }
    if (rc != 0) {
        set_error(j, &error);
        crier_lua_error_fini(&error);
        j->ended = true;
        if (!j->own)
            crier_loop_post(j->loop, finished, j);
        return;
    }
    lua_pushcclosure(vm->L, l_run, 1);
    struct crier_call *call = crier_call_start(vm, 0, j->what, j->budget, NULL, on_call_end, j);
    if (!j->ended)
        j->call = call;
}

/* [worker] All of it: one step. */
static int64_t step(void *arg, int64_t now)
{
    struct job *j = arg;
    struct crier_err err = {0};
    (void)now;
    if (j->ended)
        return CRIER_NEVER;
    if (crier_budget_thread(true, &err) != 0) {
        j->exc_text = crier_strdup(err.text);
        j->action = CRIER_FAIL;
        j->ended = true;
    } else {
        run_module(j, j->file);
    }
    while (!j->ended)
        crier_loop_run(j->own, CRIER_NEVER);
    crier_loop_post(j->loop, finished, j);
    return CRIER_NEVER;
}

/* [worker] It waits, or it has just been busy. */
static void cancel_call(void *arg)
{
    struct job *j = arg;
    atomic_store(&j->module.vm->interrupted, 0); /* its __close functions have their time */
    if (j->call)
        crier_call_cancel(j->call);
}

/* --- the host's side ----------------------------------------------------------------------- */

static void job_free(struct job *j)
{
    crier_timer_stop(j->loop, &j->timer);
    if (j->own)
        crier_loop_run(j->own, crier_loop_now(j->own)); /* a cancel that came too late */
    crier_vm_free(j->module.vm);
    crier_builder_fini(&j->module.builder);
    if (j->http)
        j->http->ops->free(j->http);
    if (j->own)
        crier_loop_free(j->own);
    crier_voice_unref(j->module.voice);
    crier_buf_fini(&j->result);
    free(j->exc_text);
    free(j->reason);
    free(j->run_id);
    free(j->params);
    free(j->file);
    free(j->what);
    free(j->name);
    free(j);
}

/* After what the module has logged, which was posted before. */
static void finished(void *arg)
{
    struct job *j = arg;
    struct crier_run *run = j->run;
    struct crier_run_end end = {.action = j->action,
                                .exc_text = j->exc_text,
                                .reason = j->reason,
                                .result = j->result.len ? j->result.data : NULL,
                                .result_len = j->result.len};
    if (j->worker) {
        crier_worker_stop(j->worker);
        atomic_fetch_sub(&alive, 1);
    }
    j->run = NULL;
    if (run && run->cancelled && j->action == CRIER_FAIL)
        end.action = CRIER_TERMINATE;
    if (run)
        crier_run_ended(run, &end);
    job_free(j);
}

static void leave_behind(struct job *j)
{
    struct crier_run *run = j->run;
    if (j->own)
        crier_host_system(run->host, CRIER_LEVEL_WARNING, "task.left",
                          "task '%s' is stuck in a function that cannot be interrupted; it is left "
                          "behind",
                          j->name);
    j->run = NULL;
    crier_timer_stop(j->loop, &j->timer);
    crier_run_ended(run, &(struct crier_run_end){.action = CRIER_TERMINATE});
}

static void look(struct crier_timer *timer)
{
    struct job *j = CRIER_CONTAINER(timer, struct job, timer);
    int64_t passed = crier_loop_now(j->loop) - j->since;
    if (!j->run)
        return;
    if (passed >= GRACE || (crier_host_stopping(j->run->host) && passed >= GRACE_STOPPING))
        leave_behind(j);
    else
        crier_timer_in(j->loop, &j->timer, LOOK_EVERY);
}

static void make_vm(struct job *j, const struct crier_generation *gen)
{
    struct crier_clock *clock = crier_loop_clock(j->loop);
    struct crier_vm_config config = {.chunkname = j->file,
                                     .folder = gen->folder,
                                     .lua_path = gen->vm->config.lua_path,
                                     .memory = gen->config.limits.memory,
                                     .native_modules = gen->config.native_modules,
                                     .virtual_time = crier_clock_is_virtual(clock),
                                     .clock = clock,
                                     .seed = crier_rng_next(crier_host_rng(gen->host)),
                                     .callback_name = "option 'budget'",
                                     .memory_name = "limits.memory"};
    j->module.vm = crier_vm_new(&config);
    crier_builder_init(&j->module.builder, NULL);
    j->module.voice = crier_voice_new(gen->host, crier_host_emit_log, "a task's module");
    j->module.clock = clock;
    j->module.whose = "the module of a task: it has crier.log, crier.http, crier.sleep and "
                      "crier.inaction";
    j->module.more = functions;
    j->module.task_name = j->name;
    j->module.run_id = j->run_id;
    j->env.sim = crier_host_sim(gen->host, &j->env.sim_allow);
    j->module.env = &j->env;
    if (crier_clock_is_virtual(clock)) {
        j->module.vm->loop = j->loop;
        j->module.vm->http = gen->vm->http;
        return;
    }
    j->own = crier_loop_new(clock);
    j->http = crier_transport_curl(j->own);
    j->module.vm->loop = j->own;
    j->module.vm->http = j->http;
}

static void start(struct crier_run *run)
{
    const struct crier_task *task = run->task;
    struct job *j = crier_calloc(1, sizeof *j);
    run->job = j;
    j->run = run;
    j->loop = crier_host_loop(run->host);
    j->timer.fire = look;
    j->name = crier_strdup(task->name);
    j->what = crier_asprintf("task '%s'", task->name);
    j->file = crier_strdup(task->module);
    j->run_id = crier_strdup(run->run_id);
    j->params = crier_strdup(run->params ? run->params : "{}");
    j->due = run->due;
    j->budget = task->budget;
    j->load = task->gen->config.limits.load;
    make_vm(j, task->gen);
    if (j->own) {
        atomic_fetch_add(&alive, 1);
        j->worker = crier_worker_start(j->loop, task->name, step, j);
    } else {
        run_module(j, j->file);
    }
}

static void cancel(struct crier_run *run)
{
    struct job *j = run->job;
    if (!j->own) {
        if (j->call)
            crier_call_cancel(j->call);
        return;
    }
    j->since = crier_loop_now(j->loop);
    atomic_store(&j->module.vm->interrupted, 1);
    crier_loop_post(j->own, cancel_call, j);
    crier_timer_in(j->loop, &j->timer, LOOK_EVERY);
}

static void kill_now(struct crier_run *run)
{
    struct job *j = run->job;
    cancel(run);
    if (j->run)
        leave_behind(j);
}

const struct crier_executor crier_task_worker = {"worker", start, cancel, kill_now};
