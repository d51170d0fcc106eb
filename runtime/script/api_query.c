/* SPDX-License-Identifier: MIT
 *
 * Queries of sinks: what lua/crier/init.lua makes sink:filter(...) of.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/event.h"
#include "script/luajson.h"

/* What a query answers with. */
enum mode { ALL, COUNT, FIRST, LAST };

/* A question under way: freed by whichever ends last, the callback's wait or the worker's answer.
 */
struct wait {
    struct crier_call *call; /* NULL: the call has been cancelled */
    enum mode mode;
};

static void cancel(struct crier_call *call, void *arg)
{
    (void)call;
    struct wait *w = arg;
    w->call = NULL;
}

static struct wait *new_wait(struct crier_call *call)
{
    struct wait *w = crier_calloc(1, sizeof *w);
    w->call = call;
    return w;
}

/* nil and the message, when there is one. */
static bool push_fault(lua_State *L, const struct crier_err *err)
{
    if (!err || !err->code)
        return false;
    lua_pushnil(L);
    lua_pushstring(L, err->text);
    return true;
}

static void push_hits(lua_State *L, enum mode mode, struct crier_record **hits, size_t count)
{
    switch (mode) {
    case COUNT:
        lua_pushinteger(L, (lua_Integer)count);
        break;
    case ALL:
        lua_createtable(L, (int)count, 0);
        for (size_t i = 0; i < count; i++) {
            crier_push_record(L, hits[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    default:
        if (count)
            crier_push_record(L, hits[mode == FIRST ? 0 : count - 1]);
        else
            lua_pushnil(L);
    }
}

static void query_done(void *arg, struct crier_record **hits, size_t count,
                       const struct crier_err *err)
{
    struct wait *w = arg;
    if (w->call) {
        lua_State *L = crier_call_stack(w->call);
        bool fault = push_fault(L, err);
        if (!fault)
            push_hits(L, w->mode, hits, count);
        crier_call_resume(w->call, fault ? 2 : 1);
    }
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    free(w);
}

static void change_done(void *arg, uint64_t changed, const struct crier_err *err)
{
    struct wait *w = arg;
    if (w->call) {
        lua_State *L = crier_call_stack(w->call);
        bool fault = push_fault(L, err);
        if (!fault)
            lua_pushinteger(L, (lua_Integer)changed);
        crier_call_resume(w->call, fault ? 2 : 1);
    }
    free(w);
}

static void call_done(void *arg, const json_t *result, const struct crier_err *err)
{
    struct wait *w = arg;
    if (w->call) {
        lua_State *L = crier_call_stack(w->call);
        struct crier_err why = err ? *err : (struct crier_err){0};
        char *text =
            !why.code && result ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        int results = 1;
        if (text)
            why.code = crier_lua_from_json(L, text, strlen(text), &why);
        else if (!why.code)
            lua_pushnil(L);
        if (push_fault(L, &why))
            results = 2;
        free(text);
        crier_call_resume(w->call, results);
    }
    free(w);
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

static struct crier_declared_sink *check_sink(lua_State *L, const char *function)
{
    struct crier_declared_sink *s = crier_to_sink(L, 1);
    if (!s)
        raise_there(L, "sink:%s expects a sink: write sink:%s with a colon", function, function);
    return s;
}

/* The conditions at idx as a query, in a box that frees it. */
static struct crier_query **read_query(lua_State *L, int idx, const struct crier_declared_sink *s)
{
    struct crier_query **box = lua_newuserdatauv(L, sizeof *box, 0);
    struct crier_err err = {0};
    *box = NULL;
    luaL_setmetatable(L, "crier.queryhold");
    if (crier_query_from_lua(L, idx, crier_generation_of(L)->zone, box, &err) != 0)
        raise_there(L, "sink '%s': %s", s->name, err.text);
    return box;
}

/* sink:_query(filter, order, desc, offset, limit, "all"|"count"|"first"|"last"); nil, message.
 * lua/crier/init.lua makes filter():order_by():limit():all() of it. */
static int l_sink_query(lua_State *L)
{
    static const char *const modes[] = {"all", "count", "first", "last", NULL};
    struct crier_declared_sink *s = check_sink(L, "filter");
    struct crier_call *call = crier_call_check(L, "sink:filter");
    luaL_checktype(L, 2, LUA_TTABLE);
    enum mode mode = (enum mode)luaL_checkoption(L, 7, "all", modes);
    struct crier_query **box = read_query(L, 2, s), *q = *box;
    if (lua_type(L, 3) == LUA_TSTRING)
        crier_query_order(q, lua_tostring(L, 3), lua_toboolean(L, 4));
    q->offset = (size_t)luaL_optinteger(L, 5, 0);
    if (!lua_isnoneornil(L, 6))
        q->limit = (size_t)luaL_checkinteger(L, 6);
    if (mode == FIRST && q->limit > 1)
        q->limit = 1;
    struct wait *w = new_wait(call);
    w->mode = mode;
    *box = NULL;
    crier_sink_query(s->sink, q, query_done, w);
    return crier_call_wait(L, cancel, w);
}

/* The new values of an update. Null is crier.null. */
static int read_fields(lua_State *L, int idx, json_t **out, struct crier_err *err)
{
    json_t *object = json_object();
    struct crier_buf text = {0};
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, idx)) {
        int value = lua_gettop(L);
        json_t *item = NULL;
        crier_buf_clear(&text);
        if (lua_type(L, -2) != LUA_TSTRING)
            rc = crier_err_set(err, CRIER_EINVAL, "update takes names: { reason = \"seen\" }");
        else if (crier_is_null(L, value))
            item = json_null();
        else
            rc = crier_lua_to_json(L, value, &text, err);
        if (rc == 0 && !item)
            item = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (rc == 0 && (!item || json_object_set_new(object, lua_tostring(L, -2), item) != 0))
            rc = crier_err_set(err, CRIER_EINVAL, "update: '%s': not UTF-8", lua_tostring(L, -2));
        lua_settop(L, value - (rc == 0 ? 1 : 2));
    }
    crier_buf_fini(&text);
    if (rc == 0)
        *out = object;
    else
        json_decref(object);
    return rc;
}

/* sink:_change(filter, fields or nil): the number; nil, message. */
static int l_sink_change(lua_State *L)
{
    struct crier_declared_sink *s = check_sink(L, "filter");
    struct crier_call *call =
        crier_call_check(L, lua_istable(L, 3) ? "sink:filter():update" : "sink:filter():delete");
    struct crier_err err = {0};
    json_t *fields = NULL;
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 3);
    struct crier_query **box = read_query(L, 2, s);
    if (lua_istable(L, 3) && read_fields(L, 3, &fields, &err) != 0)
        return raise_there(L, "sink '%s': %s", s->name, err.text);
    struct crier_query *q = *box;
    struct wait *w = new_wait(call);
    *box = NULL;
    crier_sink_change(s->sink, q, fields, change_done, w);
    return crier_call_wait(L, cancel, w);
}

/* ---- functions of a kind ---- */

static int read_args(lua_State *L, json_t **out, struct crier_err *err)
{
    json_t *list = json_array();
    struct crier_buf text = {0};
    int rc = 0, n = lua_gettop(L);
    for (int i = 2; i <= n && rc == 0; i++) {
        json_t *item = NULL;
        crier_buf_clear(&text);
        if (lua_isnil(L, i) || crier_is_null(L, i))
            item = json_null();
        else
            rc = crier_lua_to_json(L, i, &text, err);
        if (rc == 0 && !item)
            item = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (rc == 0 && (!item || json_array_append_new(list, item) != 0))
            rc = crier_err_set(err, CRIER_EINVAL, "argument %d is not UTF-8", i - 1);
    }
    crier_buf_fini(&text);
    if (rc == 0)
        *out = list;
    else
        json_decref(list);
    return rc;
}

static int l_sink_method(lua_State *L)
{
    const struct crier_sink_method *method = lua_touserdata(L, lua_upvalueindex(1));
    struct crier_declared_sink *s = check_sink(L, method->name);
    char function[64];
    snprintf(function, sizeof function, "sink:%s", method->name);
    struct crier_call *call = crier_call_check(L, function);
    struct crier_err err = {0};
    json_t *args = NULL;
    if (read_args(L, &args, &err) != 0)
        return raise_there(L, "sink '%s': %s: %s; write %s", s->name, method->name, err.text,
                           method->usage);
    struct wait *w = new_wait(call);
    if (method->runs_sql && json_is_string(json_array_get(args, 0)))
        crier_event_add_sql(L, json_string_value(json_array_get(args, 0)));
    crier_sink_call(s->sink, method, args, call_done, w);
    return crier_call_wait(L, cancel, w);
}

/* What every sink has, then the functions of its kind. */
static int l_sink_index(lua_State *L)
{
    struct crier_declared_sink *s = crier_to_sink(L, 1);
    lua_pushvalue(L, 2);
    if (lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL || !s || lua_type(L, 2) != LUA_TSTRING)
        return 1;
    const char *name = lua_tostring(L, 2);
    const struct crier_sink_method *m = s->driver->methods;
    struct crier_buf known = {0};
    for (; m && m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            crier_buf_fini(&known);
            lua_pushlightuserdata(L, (void *)m);
            lua_pushcclosure(L, l_sink_method, 1);
            return 1;
        }
        crier_buf_printf(&known, ", %s", m->name);
    }
    char text[300];
    snprintf(text, sizeof text, "sink '%s' (%s) has no function '%.60s' (there are: filter%.150s)",
             s->name, s->driver->kind, name, known.len ? known.data : "");
    crier_buf_fini(&known);
    return raise_there(L, "%s", text);
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
    static const luaL_Reg methods[] = {
        {"_query", l_sink_query}, {"_change", l_sink_change}, {NULL, NULL}};
    luaL_newmetatable(L, "crier.queryhold");
    lua_pushcfunction(L, l_query_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, methods, 0);
}

void crier_push_sink_index(lua_State *L)
{
    lua_pushcclosure(L, l_sink_index, 1);
}
