/* SPDX-License-Identifier: MIT
 *
 * pairs, next and tostring in virtual time. Lua's own order of a table's keys comes from where
 * things lie in memory and from a seed of the process, so it differs from run to run. Here it is:
 * false, true, numbers by value, strings by their bytes, then everything else in the order in which
 * it was made (the allocator stamps each block: vm.c), light things by first sight.
 *
 * A traversal is over the keys that the table had when it began; those that are gone by their turn
 * are left out, as Lua's own would. `next` keeps the keys of the table that it was last asked
 * about.
 */
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/vm.h"
#include "script/vm_private.h"

enum rank { FALSE_, TRUE_, NUMBER, STRING, OBJECT };

struct key {
    enum rank rank;
    bool whole;
    lua_Integer i;
    lua_Number n;
    const char *s;
    size_t len;
    uint64_t stamp;
    int at; /* of the list of all keys */
};

static const char seen_key, next_key;

/* What has no block of its own, or one whose beginning is not known, is numbered as it is met. */
static uint64_t first_sight(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &seen_key);
    }
    lua_pushvalue(L, idx);
    if (lua_rawget(L, -2) != LUA_TNUMBER) {
        lua_Integer n = lua_rawgeti(L, -2, 0) == LUA_TNUMBER ? lua_tointeger(L, -1) : 0;
        lua_pop(L, 2);
        lua_pushinteger(L, n + 1);
        lua_rawseti(L, -2, 0);
        lua_pushvalue(L, idx);
        lua_pushinteger(L, n + 1);
        lua_rawset(L, -3);
        lua_pushinteger(L, n + 1);
    }
    uint64_t stamp = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 2);
    return stamp;
}

static uint64_t stamp_of(lua_State *L, int idx)
{
    int type = lua_type(L, idx);
    if (type == LUA_TTABLE || (type == LUA_TFUNCTION && !lua_iscfunction(L, idx)))
        return crier_vm_stamp(lua_topointer(L, idx));
    return (1ULL << 62) + first_sight(L, idx);
}

static struct key key_of(lua_State *L, int idx, int at)
{
    struct key k = {.at = at};
    switch (lua_type(L, idx)) {
    case LUA_TBOOLEAN:
        k.rank = lua_toboolean(L, idx) ? TRUE_ : FALSE_;
        break;
    case LUA_TNUMBER:
        k.rank = NUMBER;
        k.whole = lua_isinteger(L, idx);
        k.i = k.whole ? lua_tointeger(L, idx) : 0;
        k.n = lua_tonumber(L, idx);
        break;
    case LUA_TSTRING:
        k.rank = STRING;
        k.s = lua_tolstring(L, idx, &k.len);
        break;
    default:
        k.rank = OBJECT;
        k.stamp = stamp_of(L, idx);
    }
    return k;
}

static int compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->rank == NUMBER && x->whole && y->whole)
        return (x->i > y->i) - (x->i < y->i);
    if (x->rank == NUMBER)
        return (x->n > y->n) - (x->n < y->n);
    if (x->rank == OBJECT)
        return (x->stamp > y->stamp) - (x->stamp < y->stamp);
    if (x->rank != STRING)
        return 0;
    int c = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

void crier_push_keys(lua_State *L, int idx)
{
    lua_Integer n = 0, next = 1;
    bool sequence = true;
    idx = lua_absindex(L, idx);
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        sequence = sequence && lua_isinteger(L, -1) && lua_tointeger(L, -1) == next++;
        lua_pushvalue(L, -1);
        lua_rawseti(L, list, ++n);
    }
    if (sequence || n < 2)
        return; /* in order already */
    struct key *keys = lua_newuserdatauv(L, (size_t)n * sizeof *keys, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, list, i + 1);
        keys[i] = key_of(L, -1, (int)i + 1);
        lua_pop(L, 1);
    }
    qsort(keys, (size_t)n, sizeof *keys, compare);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, list, keys[i].at);
        lua_rawseti(L, -2, i + 1);
    }
    lua_replace(L, list);
    lua_settop(L, list);
}

/* upvalues: the keys, the place in them */
static int l_step(lua_State *L)
{
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    for (;;) {
        if (lua_rawgeti(L, lua_upvalueindex(1), ++at) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, 2);
        if (lua_rawget(L, 1) != LUA_TNIL)
            break;
        lua_settop(L, 1);
    }
    lua_pushinteger(L, at);
    lua_copy(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    return 2;
}

static int pairs_rest(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 3;
}

static int l_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_callk(L, 1, 3, 0, pairs_rest);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    crier_push_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, l_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* {table, keys, place of the key that was given last} of the last traversal with next; pushed. */
static void push_traversal(lua_State *L, bool anew)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &next_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 3, 0);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &next_key);
    }
    int state = lua_gettop(L);
    lua_rawgeti(L, state, 1);
    if (anew || !lua_rawequal(L, -1, 1)) {
        crier_push_keys(L, 1);
        lua_rawseti(L, state, 2);
        lua_pushvalue(L, 1);
        lua_rawseti(L, state, 1);
        lua_pushinteger(L, 0);
        lua_rawseti(L, state, 3);
    }
    lua_settop(L, state);
}

/* The place of the key at 2 in the list at `keys`, beginning the search where it is likely. */
static lua_Integer find_key(lua_State *L, int keys, lua_Integer likely)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, keys);
    for (lua_Integer i = 0; i < n; i++) {
        lua_Integer at = (likely - 1 + i) % n + 1;
        lua_rawgeti(L, keys, at);
        bool same = lua_rawequal(L, -1, 2);
        lua_pop(L, 1);
        if (same)
            return at;
    }
    return 0;
}

static int l_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) { /* most often: is it empty? */
        if (!lua_next(L, 1)) {
            lua_pushnil(L);
            return 1;
        }
        lua_settop(L, 1);
        lua_pushnil(L);
    }
    push_traversal(L, lua_isnil(L, 2));
    int state = lua_gettop(L);
    lua_rawgeti(L, state, 2);
    lua_rawgeti(L, state, 3);
    lua_Integer at = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (!lua_isnil(L, 2)) {
        at = find_key(L, state + 1, at ? at : 1);
        if (!at)
            return luaL_error(L, "invalid key to 'next'");
    }
    while (lua_rawgeti(L, state + 1, ++at) != LUA_TNIL) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) {
            lua_pushinteger(L, at);
            lua_rawseti(L, state, 3);
            return 2;
        }
        lua_pop(L, 2);
    }
    return 1;
}

/* An object shows when it was made, in place of where it lies. */
static int l_tostring(lua_State *L)
{
    char text[64];
    luaL_checkany(L, 1);
    int type = lua_type(L, 1);
    bool plain = type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TTHREAD;
    if (!plain || luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL ||
        luaL_getmetafield(L, 1, "__name") != LUA_TNIL) {
        luaL_tolstring(L, 1, NULL);
        return 1;
    }
    snprintf(text, sizeof text, "%s: 0x%014llx", luaL_typename(L, 1),
             (unsigned long long)stamp_of(L, 1));
    lua_pushstring(L, text);
    return 1;
}

static int l_print(lua_State *L)
{
    int n = lua_gettop(L);
    for (int i = 1; i <= n; i++) {
        size_t len;
        lua_pushcfunction(L, l_tostring);
        lua_pushvalue(L, i);
        lua_call(L, 1, 1);
        const char *text = lua_tolstring(L, -1, &len);
        if (i > 1)
            lua_writestring("\t", 1);
        lua_writestring(text, len);
        lua_pop(L, 1);
    }
    lua_writeline();
    return 0;
}

void crier_open_order(lua_State *L)
{
    lua_register(L, "pairs", l_pairs);
    lua_register(L, "next", l_next);
    lua_register(L, "tostring", l_tostring);
    lua_register(L, "print", l_print);
}
