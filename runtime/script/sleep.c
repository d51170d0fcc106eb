/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/loop.h"
#include "script/http.h"
#include "script/vm.h"

struct sleeper {
    struct crier_timer timer;
    struct crier_loop *loop;
    struct crier_call *call;
};

static void wake(struct crier_timer *timer)
{
    struct sleeper *s = CRIER_CONTAINER(timer, struct sleeper, timer);
    struct crier_call *call = s->call;
    free(s);
    crier_call_resume(call, 0);
}

static void give_up(struct crier_call *call, void *arg)
{
    (void)call;
    struct sleeper *s = arg;
    crier_timer_stop(s->loop, &s->timer);
    free(s);
}

int64_t crier_lua_duration(lua_State *L, int idx, const char *signature)
{
    struct crier_err err = {0};
    int64_t us = 0;
    int rc;
    if (lua_type(L, idx) == LUA_TNUMBER)
        rc = crier_duration_from_seconds(lua_tonumber(L, idx), &us, &err);
    else if (lua_type(L, idx) == LUA_TSTRING)
        rc = crier_duration_parse(lua_tostring(L, idx), &us, &err);
    else
        rc = crier_err_set(&err, CRIER_EINVAL,
                           "expected a duration such as \"10s\", or seconds, got %s",
                           luaL_typename(L, idx));
    if (rc != 0)
        luaL_error(L, "%s: %s", signature, err.text);
    return us;
}

static int l_sleep(lua_State *L)
{
    int64_t us = crier_lua_duration(L, 1, "crier.sleep(duration)");
    struct crier_call *call = crier_call_check(L, "crier.sleep");
    struct crier_vm *vm = crier_vm_of(L);
    if (!vm->loop)
        return luaL_error(L, "crier.sleep is not available here: nothing keeps the time");
    struct sleeper *s = crier_calloc(1, sizeof *s);
    s->timer.fire = wake;
    s->loop = vm->loop;
    s->call = call;
    crier_timer_in(s->loop, &s->timer, us);
    return crier_call_wait(L, give_up, s);
}

void crier_open_wait(lua_State *L)
{
    lua_pushcfunction(L, l_sleep);
    lua_setfield(L, -2, "sleep");
    crier_open_http(L);
    lua_setfield(L, -2, "http");
}
