/* SPDX-License-Identifier: MIT
 *
 * Queries of sinks: what lua/crier/init.lua makes sink:filter(...) of.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"

/* A query under way: freed by whichever ends last, the callback's wait or the worker's answer. */
struct wait {
    struct crier_call *call; /* NULL: the call has been cancelled */
    bool count;
};

static void query_done(void *arg, struct crier_record **hits, size_t count,
                       const struct crier_err *err)
{
    struct wait *w = arg;
    if (w->call) {
        lua_State *L = crier_call_stack(w->call);
        int results = 1;
        if (err && err->code) {
            lua_pushnil(L);
            lua_pushstring(L, err->text);
            results = 2;
        } else if (w->count) {
            lua_pushinteger(L, (lua_Integer)count);
        } else {
            lua_createtable(L, (int)count, 0);
            for (size_t i = 0; i < count; i++) {
                crier_push_record(L, hits[i]);
                lua_rawseti(L, -2, (lua_Integer)i + 1);
            }
        }
        crier_call_resume(w->call, results);
    }
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    free(w);
}

static void query_cancel(struct crier_call *call, void *arg)
{
    (void)call;
    struct wait *w = arg;
    w->call = NULL;
}

/* An error at the user's place: the sugar's own lines mean nothing to them. */
static int raise_there(lua_State *L, const char *fmt, ...) CRIER_PRINTF(2, 3);

static int raise_there(lua_State *L, const char *fmt, ...)
{
    char text[512];
    const char *file;
    int line;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    crier_lua_place(L, &file, &line);
    lua_pushfstring(L, "%s:%d: %s", file ? file : "?", line, text);
    return lua_error(L);
}

/* sink:_query(filter, order, desc, offset, limit, count) -> records or count; nil, message.
 * lua/crier/init.lua makes filter():order_by():limit():all() of it. */
static int l_sink_query(lua_State *L)
{
    struct crier_declared_sink *s = crier_to_sink(L, 1);
    if (!s)
        return raise_there(L, "sink:filter expects a sink: write sink:filter { ... } with a colon");
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_call *call = crier_call_check(L, "sink:filter");
    if (!s->driver->query) {
        lua_pushnil(L);
        lua_pushfstring(L, "sink '%s' (%s) cannot be read", s->name, s->driver->kind);
        return 2;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    struct crier_query **box = lua_newuserdatauv(L, sizeof *box, 0), *q = NULL;
    *box = NULL;
    luaL_setmetatable(L, "crier.queryhold");
    struct crier_err err = {0};
    if (crier_query_from_lua(L, 2, gen->zone, box, &err) != 0)
        return raise_there(L, "sink '%s': %s", s->name, err.text);
    q = *box;
    if (lua_type(L, 3) == LUA_TSTRING)
        crier_query_order(q, lua_tostring(L, 3), lua_toboolean(L, 4));
    if (lua_isinteger(L, 5) && lua_tointeger(L, 5) > 0)
        q->offset = (size_t)lua_tointeger(L, 5);
    if (lua_isinteger(L, 6) && lua_tointeger(L, 6) >= 0)
        q->limit = (size_t)lua_tointeger(L, 6);
    struct wait *w = crier_calloc(1, sizeof *w);
    w->call = call;
    w->count = lua_toboolean(L, 7);
    *box = NULL;
    crier_sink_query(s->sink, q, query_done, w);
    return crier_call_wait(L, query_cancel, w);
}

static int l_query_gc(lua_State *L)
{
    struct crier_query **box = luaL_checkudata(L, 1, "crier.queryhold");
    crier_query_free(*box);
    *box = NULL;
    return 0;
}

void crier_open_query(lua_State *L)
{
    static const luaL_Reg methods[] = {{"_query", l_sink_query}, {NULL, NULL}};
    luaL_newmetatable(L, "crier.queryhold");
    lua_pushcfunction(L, l_query_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, methods, 0);
}
