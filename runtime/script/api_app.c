/* SPDX-License-Identifier: MIT
 *
 * crier.app: functions of the program that the host is part of.
 *
 * Arguments and results travel as values of a record, which is what C knows how to read.
 */
#include "script/app.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"

#define MT_APP_CALL "crier.app.call"

/* What one call holds; closed by Lua, since much in between may raise. */
struct app_call {
    struct crier_builder b;
    struct crier_reply reply;
    struct crier_record *args, *results;
    struct crier_value *values;
};

static int l_call_close(lua_State *L)
{
    struct app_call *call = luaL_checkudata(L, 1, MT_APP_CALL);
    crier_builder_fini(&call->b);
    crier_builder_fini(&call->reply.b);
    crier_record_unref(call->args);
    crier_record_unref(call->results);
    free(call->values);
    memset(call, 0, sizeof *call);
    return 0;
}

static struct app_call *new_call(lua_State *L)
{
    struct app_call *call = lua_newuserdatauv(L, sizeof *call, 0);
    memset(call, 0, sizeof *call);
    luaL_setmetatable(L, MT_APP_CALL);
    crier_builder_init(&call->b, NULL);
    crier_builder_init(&call->reply.b, NULL);
    crier_build_restore_begin(&call->b);
    crier_build_restore_begin(&call->reply.b);
    return call;
}

static struct crier_record *end_record(struct crier_builder *b)
{
    struct crier_stored nobody = {.ok = -1, .level = CRIER_INFO};
    nobody.text = nobody.logger = nobody.where = nobody.node = (struct crier_str){"", 0};
    return crier_build_restore(b, &nobody);
}

static size_t read_args(struct app_call *call, size_t n)
{
    size_t count = 0;
    call->args = end_record(&call->b);
    call->values = crier_calloc(n + 1, sizeof *call->values);
    struct crier_iter it = crier_record_fields(call->args);
    while (count < n && crier_next(&it, &call->values[count]))
        count++;
    return count;
}

static int push_results(lua_State *L, struct app_call *call)
{
    struct crier_value v;
    int n = 0;
    call->results = end_record(&call->reply.b);
    struct crier_iter it = crier_record_fields(call->results);
    while (crier_next(&it, &v)) {
        luaL_checkstack(L, 4, "too many results");
        crier_push_value(L, &v);
        n++;
    }
    return n;
}

static int l_app(lua_State *L)
{
    const struct crier_app_function *f = lua_touserdata(L, lua_upvalueindex(1));
    int n = lua_gettop(L);
    struct crier_err err = {0};
    if (!crier_generation_of(L)->host)
        return luaL_error(L,
                          "crier.app.%s is not available while loading: call it in a task, a data "
                          "function or a hook",
                          f->name);
    struct app_call *call = new_call(L);
    for (int i = 1; i <= n; i++)
        crier_build_lua_value(&call->b, L, i, "", 0);
    size_t count = read_args(call, (size_t)n);
    int rc = f->fn(f->arg, call->values, count, &call->reply, &err);
    if (rc == 0)
        return push_results(L, call);
    err.text[sizeof err.text - 1] = '\0';
    lua_pushnil(L);
    lua_pushstring(L, err.text[0] ? err.text : crier_code_name(rc));
    lua_pushstring(L, crier_code_name(rc));
    return 3;
}

void crier_open_app(lua_State *L)
{
    const struct crier_generation *gen = crier_generation_of(L);
    const struct crier_app *app = gen->build ? gen->build->app : NULL;
    luaL_newmetatable(L, MT_APP_CALL);
    lua_pushcfunction(L, l_call_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_newtable(L);
    for (size_t i = 0; app && i < app->count; i++) {
        lua_pushlightuserdata(L, app->functions[i]);
        lua_pushcclosure(L, l_app, 1);
        lua_setfield(L, -2, app->functions[i]->name);
    }
    lua_setfield(L, -2, "app");
}
