/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/vm_private.h"

#define POOL_MAX 64
#define STALL (1 * CRIER_S)
#define CANCEL_BUDGET (250 * CRIER_MS)

const char crier_call_of_sink;
const char crier_call_of_alert;
static _Thread_local unsigned sinks_inside, alerts_inside;

bool crier_call_in_alert(void)
{
    return alerts_inside > 0;
}

bool crier_call_in_sink(void)
{
    return sinks_inside > 0;
}

void crier_call_enter_sink(bool in)
{
    sinks_inside += in ? 1 : -1u;
}

static const char *limit_name(const struct crier_vm *vm)
{
    return vm->config.callback_name ? vm->config.callback_name : "limits.callback";
}

/* --- errors ------------------------------------------------------------------------------- */

static bool is_users(const lua_Debug *ar)
{
    return ar->currentline > 0 && strcmp(ar->source, "=crier") != 0;
}

static void add_level(struct crier_buf *out, const lua_Debug *ar)
{
    crier_buf_printf(out, "%s%s:%d: in ", out->len ? "\n" : "", ar->short_src, ar->currentline);
    if (strcmp(ar->what, "main") == 0)
        crier_buf_puts(out, "the file itself");
    else if (ar->name)
        crier_buf_printf(out, "%s '%s'", ar->namewhat[0] ? ar->namewhat : "function", ar->name);
    else
        crier_buf_printf(out, "the function at line %d", ar->linedefined);
}

/* lua_getstack walks the levels, so: by doubling and halving. */
static int depth_of(lua_State *L)
{
    lua_Debug ar;
    int has = -1, has_not = 1;
    while (lua_getstack(L, has_not, &ar)) {
        has = has_not;
        has_not *= 2;
    }
    while (has + 1 < has_not) {
        int middle = has + (has_not - has) / 2;
        if (lua_getstack(L, middle, &ar))
            has = middle;
        else
            has_not = middle;
    }
    return has_not;
}

char *crier_lua_stack(lua_State *L)
{
    enum { FIRST = 12, LAST = 10 };
    struct crier_buf out = {0};
    lua_Debug ar;
    int depth = depth_of(L);
    for (int level = 0; level < depth; level++) {
        if (level == FIRST && depth > FIRST + LAST) {
            crier_buf_printf(&out, "\n... (%d levels left out)", depth - FIRST - LAST);
            level = depth - LAST;
        }
        lua_getstack(L, level, &ar);
        lua_getinfo(L, "Sln", &ar);
        if (is_users(&ar))
            add_level(&out, &ar);
    }
    return crier_buf_take(&out);
}

/* lua_pcall's message handler: keeps a trimmed traceback in vm->traceback. */
static int traceback(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    free(vm->traceback);
    vm->traceback = crier_lua_stack(L);
    if (lua_type(L, 1) != LUA_TSTRING && luaL_callmeta(L, 1, "__tostring") &&
        lua_type(L, -1) == LUA_TSTRING)
        return 1;
    lua_settop(L, 1);
    return 1;
}

void crier_lua_error_fini(struct crier_lua_error *e)
{
    free(e->message);
    free(e->traceback);
    *e = (struct crier_lua_error){0};
}

void crier_lua_error_fill(struct crier_vm *vm, lua_State *L, int status, const char *what,
                          struct crier_lua_error *error)
{
    error->traceback = vm->traceback ? vm->traceback : crier_strdup("");
    vm->traceback = NULL;
    error->code = CRIER_ECONFIG;
    if (status == LUA_ERRMEM) {
        error->code = CRIER_ELIMIT;
        error->message = crier_asprintf(
            "%s: not enough memory: the script may hold %lld bytes (%s)", what,
            (long long)vm->config.memory,
            vm->config.memory_name ? vm->config.memory_name : "limits.memory");
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        error->message = crier_strdup(lua_tostring(L, -1));
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        error->message = crier_asprintf("%.14g", (double)lua_tonumber(L, -1));
    } else {
        error->message =
            crier_asprintf("%s: the error is a %s value, not a text", what, luaL_typename(L, -1));
    }
}

/* What a stretch of Lua that is over tells, whatever its status was. 0: it went well. */
static int judge(struct crier_vm *vm, lua_State *L, struct crier_budget *b, bool cancelled,
                 int status, struct crier_lua_error *error)
{
    if (status == LUA_OK && !b->over && !cancelled)
        return 0;
    if (status != LUA_OK) {
        crier_lua_error_fill(vm, L, status, b->what, error);
    } else {
        error->traceback = vm->traceback ? vm->traceback : crier_strdup("");
        vm->traceback = NULL;
    }
    if (cancelled) {
        error->code = CRIER_ECANCELED;
        if (!error->message)
            error->message = crier_asprintf("%s was cancelled", b->what);
    } else if (b->over) {
        error->code = CRIER_ELIMIT;
        free(error->message);
        free(error->traceback);
        error->message = b->message ? b->message
                                    : crier_asprintf("%s used too much CPU time (%s)", b->what,
                                                     b->limit_name);
        error->traceback = b->traceback ? b->traceback : crier_strdup("");
        b->message = b->traceback = NULL;
    }
    return error->code;
}

static void time_spent(struct crier_vm *vm, const char *what, int64_t began, int64_t *spent)
{
    int64_t us = crier_clock_mono(vm->config.clock) - began;
    *spent += us;
    if (us >= STALL && vm->on_stall)
        vm->on_stall(vm, what, us);
}

int crier_vm_run(struct crier_vm *vm, struct crier_call *call, int nargs, int nresults,
              int64_t budget_us, const char *what, const char *limit_name,
              struct crier_lua_error *error)
{
    *error = (struct crier_lua_error){0};
    lua_State *L = vm->L;
    int base = lua_gettop(L) - nargs;
    struct crier_call *outer = vm->running;
    struct crier_budget b;
    int64_t spent = 0, began = crier_clock_mono(vm->config.clock);

    luaL_checkstack(L, 4, NULL);
    lua_pushcfunction(L, traceback);
    lua_insert(L, base);
    vm->running = call;
    crier_budget_enter(&b, vm, L, budget_us, what, limit_name);
    int status = lua_pcall(L, nargs, nresults, base);
    crier_budget_leave(&b);
    vm->running = outer;
    lua_remove(L, base);
    time_spent(vm, what, began, &spent);
    int rc = judge(vm, L, &b, false, status, error);
    if (rc != 0)
        lua_settop(L, base - 1);
    crier_budget_fini(&b);
    return rc;
}

int crier_call_now(struct crier_vm *vm, int nargs, int nresults, const char *what,
                   int64_t budget_us, struct crier_lua_error *error)
{
    struct crier_call call = {
        .vm = vm, .co = vm->L, .what = what, .budget = budget_us, .on_stack = true, .now = true};
    return crier_vm_run(vm, &call, nargs, nresults, budget_us, what, limit_name(vm), error);
}

/* --- calls that may wait ------------------------------------------------------------------ */

static int body_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)ctx;
    struct crier_call *call = crier_vm_of(L)->running;
    call->status = status == LUA_YIELD ? LUA_OK : status;
    return lua_gettop(L) - 1;
}

/* The bottom of each call's coroutine: the function under a pcall, so that the coroutine itself
 * never dies and can be used again, and so that the to-be-closed variables run under the hook. */
static int body(lua_State *L)
{
    lua_pushcfunction(L, traceback);
    lua_insert(L, 1);
    return body_end(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, body_end), 0);
}

static struct crier_call *take(struct crier_vm *vm)
{
    struct crier_call *call = vm->pool;
    if (call) {
        vm->pool = call->next;
        vm->pooled--;
        call->number++;
        return call;
    }
    call = crier_calloc(1, sizeof *call);
    call->vm = vm;
    call->co = lua_newthread(vm->L);
    *(uintptr_t *)lua_getextraspace(call->co) |= CRIER_CO_HOST;
    call->ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    return call;
}

static void free_call(struct crier_call *call)
{
    luaL_unref(call->vm->L, LUA_REGISTRYINDEX, call->ref);
    free(call);
}

static void give_back(struct crier_call *call)
{
    struct crier_vm *vm = call->vm;
    if (call->what != call->what_buf)
        free((char *)call->what);
    if (vm->pooled >= POOL_MAX || lua_status(call->co) != LUA_OK) {
        free_call(call);
        return;
    }
    lua_settop(call->co, 0);
    call->next = vm->pool;
    vm->pool = call;
    vm->pooled++;
}

void crier_call_pool_free(struct crier_vm *vm)
{
    while (vm->pool) {
        struct crier_call *call = vm->pool;
        vm->pool = call->next;
        free_call(call);
    }
    vm->pooled = 0;
}

static void finish(struct crier_call *call, struct crier_budget *b, int results)
{
    struct crier_call_end end = {.results = results, .cpu_us = call->spent};
    end.rc = judge(call->vm, call->co, b, call->cancelled, call->status, &end.error);
    if (end.rc != 0)
        end.results = 0;
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->vm->calls--;
    if (call->done)
        call->done(call->arg, call->co, &end);
    crier_lua_error_fini(&end.error);
    give_back(call);
}

/* Run the coroutine until it waits (false) or ends (true). */
static bool go_on(struct crier_call *call, int nargs)
{
    struct crier_vm *vm = call->vm;
    struct crier_call *outer = vm->running;
    struct crier_budget *top = crier_budget_top(), b;
    lua_State *from = top && top->vm == vm ? top->running : NULL;
    int results = 0;
    unsigned of_sink = call->user == (void *)&crier_call_of_sink;
    unsigned of_alert = call->user == (void *)&crier_call_of_alert;
    int64_t began = crier_clock_mono(vm->config.clock);

    vm->running = call;
    call->on_stack = true;
    sinks_inside += of_sink;
    alerts_inside += of_alert;
    crier_budget_enter(&b, vm, call->co, call->budget, call->what, limit_name(vm));
    b.can_wait = true;
    int status = lua_resume(call->co, from, nargs, &results);
    crier_budget_leave(&b);
    call->on_stack = false;
    vm->running = outer;
    time_spent(vm, call->what, began, &call->spent);
    sinks_inside -= of_sink;
    alerts_inside -= of_alert;
    bool ended = status != LUA_YIELD || b.killed;
    if (ended) {
        if (status != LUA_OK && !b.killed)
            call->status = status;
        finish(call, &b, results);
    }
    vm->host_yield = false;
    crier_budget_fini(&b);
    return ended;
}

struct crier_call *crier_call_start(struct crier_vm *vm, int nargs, const char *what,
                                    int64_t budget_us, void *user, crier_call_done *done,
                                    void *arg)
{
    bool capped = vm->capped;
    vm->capped = false; /* an error here would leave this function by a longjmp */
    struct crier_call *call = take(vm);
    lua_State *co = call->co;
    if (!lua_checkstack(co, nargs + 4)) {
        fputs("crier: out of memory\n", stderr);
        abort();
    }
    lua_pushcfunction(co, body);
    lua_xmove(vm->L, co, nargs + 1);
    vm->capped = capped;

    size_t len = strlen(what);
    if (len < sizeof call->what_buf)
        call->what = memcpy(call->what_buf, what, len + 1);
    else
        call->what = crier_strdup(what);
    call->user = user;
    call->cancelled = call->now = false;
    call->budget = budget_us;
    call->spent = 0;
    call->done = done;
    call->arg = arg;
    call->cancel_wait = NULL;
    call->wait_co = NULL;
    call->status = LUA_OK;
    call->next = vm->alive;
    call->link = &vm->alive;
    if (call->next)
        call->next->link = &call->next;
    vm->alive = call;
    vm->calls++;
    return go_on(call, nargs + 1) ? NULL : call;
}

struct crier_call *crier_call_of(lua_State *L)
{
    return crier_vm_of(L)->running;
}

struct crier_call *crier_call_check(lua_State *L, const char *function)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_call *call = vm->running;
    struct crier_budget *b = crier_budget_top();
    if (!call) {
        luaL_error(L, "%s is not available while loading: call it in a task, a data function or a "
                      "hook", function);
        return NULL;
    }
    if (call->now)
        luaL_error(L, "%s is not available here: this function must answer at once", function);
    if (vm->finalizing)
        luaL_error(L, "%s cannot wait inside a finalizer (__gc)", function);
    if (!b->can_wait || !lua_isyieldable(L))
        luaL_error(L, "%s cannot wait inside table.sort, string.gsub, require or a __gc or similar "
                      "function that C calls", function);
    crier_budget_poll(L, 0);
    if (call->cancelled)
        luaL_error(L, "cancelled");
    return call;
}

struct crier_call *crier_call_may_wait(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_call *call = vm->running;
    struct crier_budget *b = crier_budget_top();
    bool may = call && b && !call->now && !call->cancelled && !vm->finalizing && b->can_wait &&
               lua_isyieldable(L);
    return may ? call : NULL;
}

static int wait_end(lua_State *L, int status, lua_KContext base)
{
    (void)status;
    if (crier_vm_of(L)->running->cancelled)
        return luaL_error(L, "cancelled");
    return lua_gettop(L) - (int)base;
}

int crier_call_wait(lua_State *L, void (*cancel)(struct crier_call *call, void *arg), void *arg)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_call *call = vm->running;
    call->cancel_wait = cancel;
    call->wait_arg = arg;
    call->wait_co = L;
    call->wait_results = 0;
    vm->host_yield = true;
    return lua_yieldk(L, 0, lua_gettop(L), wait_end);
}

lua_State *crier_call_stack(struct crier_call *call)
{
    return call->wait_co;
}

void crier_call_resume(struct crier_call *call, int nresults)
{
    call->cancel_wait = NULL;
    call->wait_results = nresults;
    go_on(call, call->wait_co == call->co ? nresults : 0);
}

void crier_call_cancel(struct crier_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (call->budget == 0 || call->budget > CANCEL_BUDGET)
        call->budget = CANCEL_BUDGET;
    if (call->on_stack) {
        for (struct crier_budget *b = crier_budget_top(); b; b = b->outer)
            if (b->what == call->what) {
                b->limit = call->budget;
                b->since = b->counted = 0;
            }
        return;
    }
    if (call->cancel_wait)
        call->cancel_wait(call, call->wait_arg);
    crier_call_resume(call, 0);
}

void crier_vm_cancel_all(struct crier_vm *vm)
{
    /* A cancelled call may end, or start others; each is cancelled once. */
    bool again = true;
    while (again) {
        again = false;
        for (struct crier_call *call = vm->alive; call; call = call->next) {
            if (!call->cancelled) {
                crier_call_cancel(call);
                again = true;
                break;
            }
        }
    }
}
