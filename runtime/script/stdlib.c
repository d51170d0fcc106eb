/* SPDX-License-Identifier: MIT
 *
 * The standard library of a script: Lua's own, without what would take the host down (os.exit,
 * os.setlocale, debug.sethook and those that reach into others' functions), with text chunks only,
 * with require from the script's folder, and with time and chance from the host in virtual time.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/vm_private.h"

/* What Lua had in the place of the function that runs. */
static int call_upvalue(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* --- chunks ------------------------------------------------------------------------------- */

/* load(chunk, name, mode, env): Lua's, whose mode is "t" whatever was asked. Upvalue 1: Lua's. */
static int l_load(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && lua_tostring(L, 1)[0] == LUA_SIGNATURE[0]) {
        lua_pushnil(L);
        lua_pushliteral(L, "bytecode is not loaded: give the Lua source text");
        return 2;
    }
    if (lua_gettop(L) < 3)
        lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    return call_upvalue(L);
}

/* A path of the script's, against its folder; pushed. */
static const char *push_path(lua_State *L, const char *path)
{
    if (path[0] == '/')
        return lua_pushstring(L, path);
    return lua_pushfstring(L, "%s/%s", crier_vm_of(L)->config.folder, path);
}

static int load_at(lua_State *L, const char *path)
{
    return crier_vm_load_file(crier_vm_of(L), L, push_path(L, path), NULL);
}

static int l_loadfile(lua_State *L)
{
    bool env = !lua_isnone(L, 3);
    if (load_at(L, luaL_checkstring(L, 1)) != LUA_OK) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    if (env) {
        lua_pushvalue(L, 3);
        if (!lua_setupvalue(L, -2, 1))
            lua_pop(L, 1);
    }
    return 1;
}

static int dofile_end(lua_State *L, int status, lua_KContext ctx)
{
    (void)status, (void)ctx;
    return lua_gettop(L) - 1;
}

static int l_dofile(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    int status = load_at(L, path);
    lua_remove(L, 2); /* the path */
    if (status != LUA_OK)
        return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, dofile_end);
    return dofile_end(L, LUA_OK, 0);
}

/* --- require ------------------------------------------------------------------------------ */

/* Looks for folder/NAME.lua and folder/NAME/init.lua; pushes loader and path and returns true. */
static bool find_in(lua_State *L, const char *folder, const char *name, luaL_Buffer *tried)
{
    static const char *const forms[] = {"%s/%s.lua", "%s/%s/init.lua"};
    for (size_t i = 0; i < CRIER_COUNT(forms); i++) {
        const char *path = lua_pushfstring(L, forms[i], folder, name);
        if (access(path, R_OK) == 0) {
            if (crier_vm_load_file(crier_vm_of(L), L, path, NULL) != LUA_OK)
                lua_error(L);
            lua_insert(L, -2);
            return true;
        }
        lua_pushfstring(L, "\n\tno file '%s'", path);
        lua_remove(L, -2);
        luaL_addvalue(tried);
    }
    return false;
}

static int l_search_lua(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    const char *name = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
    luaL_Buffer tried;
    luaL_buffinit(L, &tried);
    if (find_in(L, vm->config.folder, name, &tried))
        return 2;
    for (size_t i = 0; vm->config.lua_path[i]; i++)
        if (find_in(L, vm->config.lua_path[i], name, &tried))
            return 2;
    luaL_pushresult(&tried);
    return 1;
}

/* Upvalue 1: Lua's own searcher. Asked at each require, since the script itself allows them. */
static int l_search_native(lua_State *L)
{
    if (crier_vm_of(L)->config.native_modules)
        return call_upvalue(L);
    lua_pushliteral(L, "\n\tC modules are off (crier.config { native_modules = true } turns them "
                       "on)");
    return 1;
}

/* Lua's require with searchers of ours: preload, Lua files, C modules where they are allowed. */
static void open_package(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
    lua_pushnil(L);
    lua_setfield(L, -2, "loadlib");
    lua_getfield(L, -1, "searchers");
    lua_pushcfunction(L, l_search_lua);
    lua_rawseti(L, -2, 2);
    lua_rawgeti(L, -1, 3);
    lua_pushcclosure(L, l_search_native, 1);
    lua_rawseti(L, -2, 3);
    lua_pushnil(L); /* a C module inside another: rare, and the same question twice */
    lua_rawseti(L, -2, 4);
    lua_pop(L, 1);
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", vm->config.folder, vm->config.folder);
    for (size_t i = 0; vm->config.lua_path[i]; i++) {
        const char *folder = vm->config.lua_path[i];
        lua_pushfstring(L, ";%s/?.lua;%s/?/init.lua", folder, folder);
        lua_concat(L, 2);
    }
    lua_setfield(L, -2, "path");
    lua_pop(L, 1);
}

/* --- virtual time ------------------------------------------------------------------------- */

static void push_now(lua_State *L)
{
    int64_t wall = crier_clock_wall(crier_vm_of(L)->config.clock);
    lua_pushinteger(L, wall / CRIER_S);
}

static int l_time(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        return call_upvalue(L);
    push_now(L);
    return 1;
}

static int l_date(lua_State *L)
{
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        if (lua_isnil(L, 1)) {
            lua_pushliteral(L, "%c");
            lua_replace(L, 1);
        }
        push_now(L);
    }
    return call_upvalue(L);
}

static int l_clock(lua_State *L)
{
    lua_pushnumber(L, (double)crier_clock_mono(crier_vm_of(L)->config.clock) / CRIER_S);
    return 1;
}

static int l_randomseed(lua_State *L)
{
    if (lua_isnone(L, 1)) {
        lua_pushinteger(L, (lua_Integer)crier_vm_of(L)->config.seed);
        lua_pushinteger(L, 0);
    }
    return call_upvalue(L);
}

static int l_no_process(lua_State *L)
{
    return luaL_error(L, "%s is not available in virtual time", lua_tostring(L, lua_upvalueindex(1)));
}

/* table[name] = fn with the present value as its upvalue. */
static void wrap_field(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

static void refuse_field(lua_State *L, const char *name, const char *full)
{
    lua_pushstring(L, full);
    lua_pushcclosure(L, l_no_process, 1);
    lua_setfield(L, -2, name);
}

static void make_virtual(lua_State *L)
{
    lua_getglobal(L, "os");
    wrap_field(L, "time", l_time);
    wrap_field(L, "date", l_date);
    wrap_field(L, "clock", l_clock);
    refuse_field(L, "execute", "os.execute");
    lua_getglobal(L, "io");
    refuse_field(L, "popen", "io.popen");
    lua_getglobal(L, "math");
    wrap_field(L, "randomseed", l_randomseed);
    lua_getfield(L, -1, "randomseed");
    lua_call(L, 0, 0);
    lua_pop(L, 3);
    crier_open_order(L);
}

/* --- all together ------------------------------------------------------------------------- */

static void remove_fields(lua_State *L, const char *table, const char *const *names)
{
    lua_getglobal(L, table);
    for (; *names; names++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *names);
    }
    lua_pop(L, 1);
}

void crier_stdlib_open(struct crier_vm *vm)
{
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},       {LUA_TABLIBNAME, luaopen_table},
        {LUA_IOLIBNAME, luaopen_io},     {LUA_OSLIBNAME, luaopen_os},
        {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
        {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_DBLIBNAME, luaopen_debug},
    };
    static const char *const os_removed[] = {"exit", "setlocale", NULL};
    static const char *const debug_removed[] = {
        "debug",        "sethook",      "gethook",      "getregistry", "setmetatable",
        "getmetatable", "setuservalue", "getuservalue", "upvaluejoin", "setupvalue",
        "setlocal",     "setcstacklimit", NULL};
    lua_State *L = vm->L;
    for (size_t i = 0; i < CRIER_COUNT(libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    open_package(L);
    remove_fields(L, "os", os_removed);
    remove_fields(L, "debug", debug_removed);
    crier_open_coroutine(L);
    crier_open_pattern(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getglobal(L, "coroutine");
    lua_setfield(L, -2, "coroutine");
    lua_pop(L, 1);
    lua_pushglobaltable(L);
    wrap_field(L, "load", l_load);
    lua_pop(L, 1);
    lua_register(L, "loadfile", l_loadfile);
    lua_register(L, "dofile", l_dofile);
    if (vm->config.virtual_time)
        make_virtual(L);
}
