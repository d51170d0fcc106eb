/* SPDX-License-Identifier: MIT */
#include "script/eval.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "crier/record.h"
#include "host/host.h"
#include "script/declare.h"
#include "script/luajson.h"

#define MT_PRINTER "crier.eval"
#define SHOWN_MOST (1 << 20) /* bytes of values as text; what is more is left out, and said */

struct crier_eval {
    struct crier_generation *gen;
    struct crier_eval_out out;
    const char *code;
    size_t len;
    struct crier_call *call;
    struct crier_buf shown; /* of the value that is being read: here, because reading may raise */
    json_t *texts, *values;
    struct crier_eval **printer; /* the userdata that print holds; it may outlive us */
};

/* --- values as text ------------------------------------------------------------------------ */

static void inspect(lua_State *L, int idx, int depth, int seen, struct crier_buf *b);

static bool is_name(const char *s, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return len && strlen(s) == len && strspn(s, letters) == len && !(s[0] >= '0' && s[0] <= '9');
}

static void indent(struct crier_buf *b, int depth)
{
    crier_buf_puts(b, "\n");
    for (int i = 0; i < depth; i++)
        crier_buf_puts(b, "  ");
}

static void inspect_key(lua_State *L, int seen, int depth, struct crier_buf *b)
{
    size_t len;
    if (lua_type(L, -2) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, -2, &len);
        if (is_name(s, len)) {
            crier_buf_append(b, s, len);
            return;
        }
    }
    crier_buf_putc(b, '[');
    inspect(L, lua_absindex(L, -2), depth + 1, seen, b);
    crier_buf_putc(b, ']');
}

/* The items 1..n, then the rest by Lua's own order. */
static void inspect_table(lua_State *L, int idx, int depth, int seen, struct crier_buf *b)
{
    enum { DEEPEST = 8 };
    lua_pushvalue(L, idx);
    bool again = lua_rawget(L, seen) != LUA_TNIL;
    lua_pop(L, 1);
    if (again || depth > DEEPEST) {
        crier_buf_puts(b, again ? "<itself>" : "{ ... }");
        return;
    }
    lua_pushvalue(L, idx);
    lua_pushboolean(L, 1);
    lua_rawset(L, seen);
    lua_Integer n = (lua_Integer)lua_rawlen(L, idx), count = 0;
    crier_buf_putc(b, '{');
    for (lua_Integer i = 1; i <= n && b->len < SHOWN_MOST; i++, count++) {
        crier_buf_puts(b, count ? "," : "");
        indent(b, depth + 1);
        lua_rawgeti(L, idx, i);
        inspect(L, lua_gettop(L), depth + 1, seen, b);
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if ((lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n) ||
            b->len >= SHOWN_MOST) {
            lua_pop(L, 1);
            continue;
        }
        crier_buf_puts(b, count++ ? "," : "");
        indent(b, depth + 1);
        inspect_key(L, seen, depth, b);
        crier_buf_puts(b, " = ");
        inspect(L, lua_gettop(L), depth + 1, seen, b);
        lua_pop(L, 1);
    }
    if (count)
        indent(b, depth);
    crier_buf_putc(b, '}');
    lua_pushvalue(L, idx); /* only a table within itself is left out, not one that comes twice */
    lua_pushnil(L);
    lua_rawset(L, seen);
}

static bool has_tostring(lua_State *L, int idx)
{
    if (luaL_getmetafield(L, idx, "__tostring") == LUA_TNIL)
        return false;
    lua_pop(L, 1);
    return true;
}

static void inspect(lua_State *L, int idx, int depth, int seen, struct crier_buf *b)
{
    struct crier_record *record = crier_to_record(L, idx);
    size_t len;
    luaL_checkstack(L, 8, "tables too deep");
    if (record) {
        struct crier_str json = crier_record_json(record);
        crier_buf_append(b, json.data, json.len);
    } else if (lua_type(L, idx) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, idx, &len);
        crier_json_quote(b, s, len < SHOWN_MOST ? len : SHOWN_MOST);
    } else if (lua_istable(L, idx) && !has_tostring(L, idx)) {
        inspect_table(L, idx, depth, seen, b);
    } else {
        const char *s = luaL_tolstring(L, idx, &len);
        crier_buf_append(b, s, len);
        lua_pop(L, 1);
    }
}

/* A text alone is shown as it is, as print would. */
static void text_of(lua_State *L, int idx, struct crier_buf *b)
{
    size_t len;
    crier_buf_puts(b, "");
    if (lua_type(L, idx) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, idx, &len);
        crier_buf_append(b, s, len < SHOWN_MOST ? len : SHOWN_MOST);
    } else {
        lua_newtable(L);
        inspect(L, idx, 0, lua_gettop(L), b);
        lua_pop(L, 1);
    }
    if (b->len >= SHOWN_MOST)
        crier_buf_puts(b, "\n... (what is more than 1 MiB is left out)");
}

static json_t *json_of(lua_State *L, int idx)
{
    struct crier_record *record = crier_to_record(L, idx);
    struct crier_buf b = {0};
    json_t *value = NULL;
    if (record) {
        struct crier_str json = crier_record_json(record);
        value = json_loadb(json.data, json.len, 0, NULL);
    } else if (crier_lua_to_json(L, idx, &b, NULL) == 0 && b.len < 4 * SHOWN_MOST) {
        value = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
    }
    crier_buf_fini(&b);
    return value ? value : json_null();
}

/* --- print -------------------------------------------------------------------------------- */

static int l_print(lua_State *L)
{
    struct crier_eval **box = luaL_checkudata(L, lua_upvalueindex(1), MT_PRINTER);
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (*box)
        (*box)->out.print((*box)->out.arg, text, len);
    return 0;
}

/* The globals of the script, and before them `crier` and a print that reaches whoever asked. */
static void push_globals(lua_State *L, struct crier_eval *eval)
{
    lua_newtable(L);
    eval->printer = lua_newuserdatauv(L, sizeof(struct crier_eval *), 0);
    *eval->printer = eval;
    luaL_newmetatable(L, MT_PRINTER);
    lua_setmetatable(L, -2);
    /* Nobody holds on to it but print; it must be there at the end. */
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, eval);
    lua_pushcclosure(L, l_print, 1);
    lua_setfield(L, -2, "print");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "crier");
    lua_setfield(L, -3, "crier");
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
}

/* --- the call ----------------------------------------------------------------------------- */

/* Bytes that are no UTF-8 are replaced, and so are NUL bytes, which few readers of JSON take. */
static json_t *as_json(char *s, size_t len)
{
    struct crier_buf b = {0};
    for (char *nul; (nul = memchr(s, '\0', len));)
        *nul = '?';
    crier_json_quote(&b, s, len);
    json_t *text = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
    crier_buf_fini(&b);
    return text;
}

static int keep_results(lua_State *L, struct crier_eval *eval)
{
    int n = lua_gettop(L);
    for (int i = 2; i <= n; i++) {
        crier_buf_clear(&eval->shown);
        text_of(L, i, &eval->shown);
        json_array_append_new(eval->texts, as_json(eval->shown.data, eval->shown.len));
        json_array_append_new(eval->values, json_of(L, i));
    }
    return 0;
}

static int returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    return keep_results(L, (struct crier_eval *)ctx);
}

/* An expression first, so that its value comes back; else statements. */
static int l_eval(lua_State *L)
{
    struct crier_eval *eval = lua_touserdata(L, 1);
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, eval->code, eval->len);
    lua_concat(L, 2);
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    int status = luaL_loadbufferx(L, text, len, "=eval", "t");
    if (status != LUA_OK) {
        bool unfinished = strstr(lua_tostring(L, -1), "near <eof>") != NULL;
        status = luaL_loadbufferx(L, eval->code, eval->len, "=eval", "t");
        if (status != LUA_OK && unfinished)
            lua_pop(L, 1); /* "1 +" is half an expression, not a statement */
    }
    if (status != LUA_OK)
        return lua_error(L);
    lua_replace(L, 2);
    lua_settop(L, 2);
    push_globals(L, eval);
    lua_setupvalue(L, -2, 1);
    lua_callk(L, 0, LUA_MULTRET, (lua_KContext)eval, returned);
    return keep_results(L, eval);
}

static void eval_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct crier_eval *eval = arg;
    if (eval->printer) {
        *eval->printer = NULL;
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, eval);
    }
    crier_host_touched(eval->gen);
    if (end->rc != 0) {
        json_array_clear(eval->texts);
        json_array_clear(eval->values);
    }
    eval->out.done(eval->out.arg, eval->texts, eval->values, end->rc ? &end->error : NULL);
    json_decref(eval->texts);
    json_decref(eval->values);
    crier_buf_fini(&eval->shown);
    crier_generation_unref(eval->gen);
    free(eval);
}

struct crier_eval *crier_eval_start(struct crier_generation *gen, const char *code, size_t len,
                                    const struct crier_eval_out *out)
{
    struct crier_eval *eval = crier_calloc(1, sizeof *eval);
    eval->gen = crier_generation_ref(gen);
    eval->out = *out;
    eval->code = code;
    eval->len = len;
    eval->texts = json_array();
    eval->values = json_array();
    lua_pushcfunction(gen->vm->L, l_eval);
    lua_pushlightuserdata(gen->vm->L, eval);
    struct crier_call *call =
        crier_call_start(gen->vm, 1, "eval", gen->config.limits.callback, NULL, eval_done, eval);
    if (!call)
        return NULL;
    eval->call = call;
    return eval;
}

void crier_eval_cancel(struct crier_eval *eval)
{
    crier_call_cancel(eval->call);
}
