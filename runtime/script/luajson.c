/* SPDX-License-Identifier: MIT */
#include "script/luajson.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "record/scan.h"

#define MAX_JSON ((size_t)64 << 20)
#define MAX_TABLES 1000000

/* --- to JSON ------------------------------------------------------------------------------ */

struct writer {
    lua_State *L;
    struct crier_buf *out, path;
    struct crier_err *err;
    const void *tables[CRIER_LUA_JSON_DEPTH];
    int depth, written;
};

static int write_value(struct writer *w, int idx);

static int fault(struct writer *w, const char *text)
{
    if (w->path.len)
        return crier_err_set(w->err, CRIER_EINVAL, "%.120s%s: %s", w->path.data,
                             w->path.len > 120 ? "..." : "", text);
    return crier_err_set(w->err, CRIER_EINVAL, "%s", text);
}

/* The elements of an array; -1: an object (or empty); -2: neither. */
static lua_Integer array_size(lua_State *L, int idx)
{
    lua_Integer count = 0, max = 0;
    bool strings = false, others = false;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            strings = true;
        } else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0) {
            count++;
            if (lua_tointeger(L, -1) > max)
                max = lua_tointeger(L, -1);
        } else {
            others = true;
        }
    }
    if (others || (strings && count) || max != count)
        return -2; /* holes */
    return count ? count : -1;
}

static int write_array(struct writer *w, int idx, lua_Integer n)
{
    size_t path = w->path.len;
    int rc = 0;
    crier_json_open(w->out, '[');
    for (lua_Integer i = 1; i <= n && rc == 0; i++) {
        crier_buf_printf(&w->path, "[%lld]", (long long)i);
        lua_rawgeti(w->L, idx, i);
        rc = write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
        w->path.len = path;
    }
    crier_json_close(w->out, ']');
    return rc;
}

struct member {
    const char *name;
    size_t len;
    int slot; /* the key's own, on Lua's stack: pushing a text anew could raise */
};

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Leaves all keys on the stack. NULL when they do not fit there. */
static struct member *sorted_members(lua_State *L, int idx, size_t *count)
{
    size_t n = 0, cap = 16;
    struct member *members = crier_malloc(cap * sizeof *members);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (n == cap) {
            cap *= 2;
            members = crier_realloc(members, cap * sizeof *members);
        }
        members[n].name = lua_tolstring(L, -1, &members[n].len);
        members[n].slot = lua_gettop(L);
        n++;
        if (!lua_checkstack(L, 8)) {
            free(members);
            return NULL;
        }
        lua_pushvalue(L, -1);
    }
    qsort(members, n, sizeof *members, by_name);
    *count = n;
    return members;
}

static int write_object(struct writer *w, int idx)
{
    size_t count = 0, path = w->path.len;
    int top = lua_gettop(w->L), rc = 0;
    struct member *members = sorted_members(w->L, idx, &count);
    if (!members)
        return fault(w, "the table has too many keys for JSON");
    crier_json_open(w->out, '{');
    for (size_t i = 0; i < count && rc == 0; i++) {
        crier_buf_printf(&w->path, "%s%.80s", path ? "." : "", members[i].name);
        crier_json_keyn(w->out, members[i].name, members[i].len);
        lua_pushvalue(w->L, members[i].slot);
        lua_rawget(w->L, idx);
        rc = write_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
        w->path.len = path;
    }
    crier_json_close(w->out, '}');
    lua_settop(w->L, top);
    free(members);
    return rc;
}

static int write_table(struct writer *w, int idx)
{
    const void *table = lua_topointer(w->L, idx);
    for (int i = 0; i < w->depth; i++)
        if (w->tables[i] == table)
            return fault(w, "the table contains itself");
    if (w->depth == CRIER_LUA_JSON_DEPTH || !lua_checkstack(w->L, 8))
        return fault(w, "tables are nested too deeply for JSON (100 at most)");
    lua_Integer n = array_size(w->L, idx);
    if (n == -2)
        return fault(w, "a table for JSON has either the keys 1..n without holes, or strings as "
                        "keys");
    if (w->out->len > MAX_JSON || ++w->written > MAX_TABLES)
        return fault(w, "it is too large for JSON (a table that is shared is written out at each "
                        "place)");
    w->tables[w->depth++] = table;
    int rc = n > 0 ? write_array(w, idx, n) : write_object(w, idx);
    w->depth--;
    return rc;
}

static int write_number(struct writer *w, int idx)
{
    if (lua_isinteger(w->L, idx)) {
        crier_json_int(w->out, lua_tointeger(w->L, idx));
        return 0;
    }
    double n = lua_tonumber(w->L, idx);
    if (!isfinite(n))
        return fault(w, isnan(n) ? "JSON has no NaN" : "JSON has no infinity");
    crier_json_num(w->out, n);
    return 0;
}

static int write_value(struct writer *w, int idx)
{
    char text[64];
    size_t len;
    const char *s;
    switch (lua_type(w->L, idx)) {
    case LUA_TNIL:
    case LUA_TNONE:
        crier_json_null(w->out);
        return 0;
    case LUA_TBOOLEAN:
        crier_json_bool(w->out, lua_toboolean(w->L, idx));
        return 0;
    case LUA_TNUMBER:
        return write_number(w, idx);
    case LUA_TSTRING:
        s = lua_tolstring(w->L, idx, &len);
        crier_json_strn(w->out, s, len);
        return 0;
    case LUA_TTABLE:
        return write_table(w, idx);
    default:
        snprintf(text, sizeof text, "a %s cannot be written as JSON",
                 lua_typename(w->L, lua_type(w->L, idx)));
        return fault(w, text);
    }
}

int crier_lua_to_json(lua_State *L, int idx, struct crier_buf *out, struct crier_err *err)
{
    struct writer w = {.L = L, .out = out, .err = err};
    size_t len = out->len;
    int top = lua_gettop(L);
    int rc = lua_checkstack(L, 8) ? write_value(&w, lua_absindex(L, idx))
                                  : crier_err_set(err, CRIER_ELIMIT, "the Lua stack is full");
    lua_settop(L, top);
    if (rc != 0) {
        out->len = len;
        if (out->data)
            out->data[len] = '\0';
    }
    crier_buf_fini(&w.path);
    return rc;
}

/* --- from JSON ---------------------------------------------------------------------------- */

struct reader {
    struct crier_scan scan;
    bool failed;
};

/* The value of the event that has just been read. */
static bool push_scalar(lua_State *L, struct crier_scan *scan, enum crier_scan_event event)
{
    switch (event) {
    case CRIER_SCAN_STR:
        lua_pushlstring(L, scan->s.data ? scan->s.data : "", scan->s.len);
        return true;
    case CRIER_SCAN_INT:
        lua_pushinteger(L, scan->i);
        return true;
    case CRIER_SCAN_NUM:
        lua_pushnumber(L, scan->n);
        return true;
    case CRIER_SCAN_TRUE:
    case CRIER_SCAN_FALSE:
        lua_pushboolean(L, event == CRIER_SCAN_TRUE);
        return true;
    case CRIER_SCAN_NULL:
        lua_pushnil(L);
        return true;
    default:
        return false;
    }
}

/* table[key] = the value on top, key being a string, or the next index. The stack holds, for each
 * open container: its table, and its count of elements (an object: nil). */
static void store(lua_State *L, bool object)
{
    if (object) {
        lua_rawset(L, -4);
        return;
    }
    lua_Integer n = lua_tointeger(L, -2) + 1;
    lua_rawseti(L, -3, n);
    lua_pop(L, 1);
    lua_pushinteger(L, n);
}

static int read_all(lua_State *L)
{
    struct reader *r = lua_touserdata(L, 1);
    bool objects[CRIER_SCAN_DEPTH + 1]; /* of each open container: whether it is an object */
    int depth = 0;
    for (;;) {
        enum crier_scan_event event = crier_scan_next(&r->scan);
        if (event <= CRIER_SCAN_END) {
            r->failed = event != CRIER_SCAN_END;
            return 1;
        }
        bool close = event == CRIER_SCAN_CLOSE;
        if (close) {
            lua_pop(L, 1);
            depth--;
        } else if (depth && objects[depth - 1]) {
            lua_pushlstring(L, r->scan.key.data ? r->scan.key.data : "", r->scan.key.len);
        }
        if (!close && !push_scalar(L, &r->scan, event)) {
            luaL_checkstack(L, 8, "JSON");
            lua_newtable(L);
            objects[depth++] = event == CRIER_SCAN_OBJECT;
            lua_pushinteger(L, 0);
            continue;
        }
        if (depth)
            store(L, objects[depth - 1]);
    }
}

int crier_lua_from_json(lua_State *L, const char *text, size_t len, struct crier_err *err)
{
    struct reader r = {0};
    if (!lua_checkstack(L, 4))
        return crier_err_set(err, CRIER_ELIMIT, "the Lua stack is full");
    int top = lua_gettop(L), rc = 0;
    crier_scan_init(&r.scan, text, len);
    lua_pushcfunction(L, read_all);
    lua_pushlightuserdata(L, &r);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        rc = crier_err_set(err, CRIER_ELIMIT, "not enough memory for the JSON text");
    else if (r.failed)
        rc = crier_scan_error(&r.scan, err);
    if (rc != 0)
        lua_settop(L, top);
    crier_scan_fini(&r.scan);
    return rc;
}
