/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/luajson.h"

/* Upvalue 1: the level, or 0 for log.log. Arguments: [level,] text [, fields]. */
static int l_log(lua_State *L)
{
    static const char *const usage = "crier.log.info(\"text\", { field = value })";
    int level = (int)lua_tointeger(L, lua_upvalueindex(1));
    int arg = 1;
    if (!level) {
        enum crier_level parsed;
        size_t len;
        const char *name = luaL_tolstring(L, 1, &len);
        if (!crier_level_parse(name, len, &parsed))
            return luaL_error(L,
                              "crier.log.log: unknown level '%s' (debug, info, warning, error, "
                              "critical or 10 to 50)",
                              name);
        lua_pop(L, 1);
        level = (int)parsed;
        arg = 2;
    }
    if (lua_type(L, arg) != LUA_TSTRING && lua_type(L, arg) != LUA_TNUMBER)
        return luaL_error(L, "crier.log expects a text, got %s: %s", luaL_typename(L, arg), usage);
    if (!lua_isnoneornil(L, arg + 1) && lua_type(L, arg + 1) != LUA_TTABLE)
        return luaL_error(L, "crier.log expects a table of fields, got %s: %s",
                          luaL_typename(L, arg + 1), usage);
    size_t len;
    const char *text = lua_tolstring(L, arg, &len);
    bool fields = lua_type(L, arg + 1) == LUA_TTABLE;

    lua_Debug ar;
    char where[128] = "";
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
        snprintf(where, sizeof where, "%.100s:%d", ar.source[0] == '@' ? ar.source + 1 : "?",
                 ar.currentline);

    struct crier_generation *gen = crier_generation_of(L);
    if (!gen->host) {
        struct crier_load_log *log = crier_calloc(1, sizeof *log);
        g_ptr_array_add(gen->logs, log);
        log->level = (enum crier_level)level;
        log->wall = crier_clock_wall(gen->vm->config.clock);
        log->logger = crier_strdup("bot");
        log->text = crier_strndup(text, len);
        log->where = crier_strdup(where);
        if (fields) {
            struct crier_buf json = {0};
            struct crier_err err = {0};
            if (crier_lua_to_json(L, arg + 1, &json, &err) == 0)
                log->fields = crier_buf_take(&json);
            crier_buf_fini(&json);
        }
        return 0;
    }
    bool nested = crier_host_log_begin(gen->host);
    struct crier_builder *b =
        nested ? crier_host_spare_builder(gen->host) : crier_host_builder(gen->host);
    crier_build_begin(b, CRIER_KIND_LOG, (enum crier_level)level,
                      crier_clock_wall(gen->vm->config.clock));
    crier_build_logger(b, "bot", 3);
    crier_build_text(b, text, len);
    crier_build_where(b, where, strlen(where));
    if (fields)
        crier_build_lua_fields(b, L, arg + 1);
    if (!nested)
        crier_host_log_end(gen->host);
    crier_host_emit(gen->host, crier_build_end(b));
    return 0;
}

void crier_open_log(lua_State *L)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"debug", CRIER_DEBUG},           {"info", CRIER_INFO},
        {"warning", CRIER_LEVEL_WARNING}, {"error", CRIER_LEVEL_ERROR},
        {"critical", CRIER_CRITICAL},     {"log", 0},
    };
    lua_createtable(L, 0, 6);
    for (size_t i = 0; i < CRIER_COUNT(levels); i++) {
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, l_log, 1);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_setfield(L, -2, "log");
}
