/* SPDX-License-Identifier: MIT
 *
 * crier.log and its child loggers. A logger is a table of C functions, whose upvalues are the
 * logger (a userdata) and the level; so log.info(...) and log:info(...) both work.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"

#define USAGE "crier.log.info(\"text\", { field = value })"
#define EVERY "*"

struct crier_logger {
    struct crier_logger *next, **link; /* in the generation's list */
    char *name;
    size_t len;
    int min;                    /* its level as things are */
    struct crier_record *bound; /* whose fields each record gets; NULL: none */
    bool root;                  /* crier.log itself */
};

/* --- levels ------------------------------------------------------------------------------ */

enum crier_level crier_log_level(const struct crier_generation *gen, const char *logger)
{
    char *name = crier_strdup(logger), *dot;
    void *level = g_hash_table_lookup(gen->log_levels, name);
    while (!level && (dot = strrchr(name, '.'))) {
        *dot = '\0';
        level = g_hash_table_lookup(gen->log_levels, name);
    }
    if (!level)
        level = g_hash_table_lookup(gen->log_levels, EVERY);
    free(name);
    return level ? (enum crier_level)GPOINTER_TO_INT(level) : CRIER_DEBUG;
}

void crier_log_set_level(struct crier_generation *gen, const char *logger, int level)
{
    if (level)
        g_hash_table_insert(gen->log_levels, crier_strdup(logger), GINT_TO_POINTER(level));
    else
        g_hash_table_remove(gen->log_levels, logger);
    for (struct crier_logger *log = gen->loggers; log; log = log->next)
        log->min = (int)crier_log_level(gen, log->name);
}

/* The name of a level, or 10 to 50. */
static int check_level(lua_State *L, int idx, const char *function)
{
    enum crier_level level;
    char got[80];
    size_t len = 0;
    const char *name = NULL;
    if (lua_type(L, idx) == LUA_TSTRING || lua_type(L, idx) == LUA_TNUMBER) {
        lua_pushvalue(L, idx);
        name = lua_tolstring(L, -1, &len);
        lua_replace(L, idx);
    }
    if (!name || !crier_level_parse(name, len, &level))
        return luaL_error(L,
                          "crier.log.%s: unknown level %s (debug, info, warning, error, critical "
                          "or 10 to 50)",
                          function, crier_lua_describe(L, idx, got, sizeof got));
    return (int)level;
}

static int l_set_level(lua_State *L)
{
    static const char *const usage = "crier.log.set_level(\"shop\", \"warning\")";
    if (lua_type(L, 1) == LUA_TTABLE)
        lua_remove(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || lua_isnone(L, 2))
        return luaL_error(L, "crier.log.set_level expects a logger and a level: %s", usage);
    int level = lua_isnil(L, 2) ? 0 : check_level(L, 2, "set_level");
    crier_log_set_level(crier_generation_of(L), lua_tostring(L, 1), level);
    return 0;
}

static int l_get_level(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TTABLE)
        lua_remove(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "crier.log.get_level expects a logger: crier.log.get_level(\"shop\")");
    enum crier_level level = crier_log_level(crier_generation_of(L), lua_tostring(L, 1));
    lua_pushstring(L, crier_level_name(level));
    return 1;
}

/* --- one record -------------------------------------------------------------------------- */

/* "bot.lua:14" of the caller. */
static size_t put_where(lua_State *L, char out[128])
{
    lua_Debug ar;
    const char *file = NULL;
    int line = 0;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0) {
        file = ar.source[0] == '@' ? ar.source + 1 : "?";
        line = ar.currentline;
    } else {
        crier_lua_place(L, &file, &line); /* called by C: pcall(log.info, "text") */
    }
    if (!file)
        return 0;
    size_t n = 0;
    while (n < 100 && file[n]) { /* a few bytes, which memcpy would be slower with */
        out[n] = file[n];
        n++;
    }
    out[n++] = ':';
    char digits[12], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + line % 10);
    while (line /= 10);
    while (at < digits + sizeof digits)
        out[n++] = *at++;
    return n;
}

/* The bound fields, but for those that the call gives itself. */
static void add_bound(struct crier_builder *b, const struct crier_record *bound, lua_State *L,
                      int fields)
{
    struct crier_iter it = crier_record_fields(bound);
    struct crier_value v;
    while (crier_next(&it, &v)) {
        if (fields) {
            lua_pushlstring(L, v.key.data, v.key.len);
            bool given = lua_rawget(L, fields) != LUA_TNIL;
            lua_pop(L, 1);
            if (given)
                continue;
        }
        crier_build_value(b, v.key.data, v.key.len, &v);
    }
}

/* text and fields (0: none) are stack indices. */
static void build(struct crier_builder *b, lua_State *L, const struct crier_logger *log, int text,
                  int fields, const char *where, size_t where_len)
{
    size_t len;
    const char *s = lua_tolstring(L, text, &len);
    crier_build_logger(b, log->name, log->len);
    crier_build_text(b, s, len);
    crier_build_where(b, where, where_len);
    if (log->bound)
        add_bound(b, log->bound, L, fields);
    if (fields)
        crier_build_lua_fields(b, L, fields);
}

/* While the script loads there is no host yet. */
static void keep(struct crier_generation *gen, lua_State *L, const struct crier_logger *log,
                 int level, int text, int fields)
{
    char where[128];
    bool nested = gen->logging;
    struct crier_builder *b = &gen->builders[nested];
    size_t where_len = put_where(L, where);
    size_t len;
    gen->logging = true;
    crier_build_restore_begin(b);
    build(b, L, log, text, fields, where, where_len);
    gen->logging = nested;
    struct crier_stored who = {.kind = CRIER_KIND_LOG,
                               .level = (enum crier_level)level,
                               .time = crier_clock_wall(gen->vm->config.clock),
                               .ok = -1,
                               .where = {where, where_len},
                               .logger = {log->name, log->len}};
    who.text.data = lua_tolstring(L, text, &len);
    who.text.len = len;
    g_ptr_array_add(gen->logs, crier_build_restore(b, &who));
}

/* --- a sink that has its callers wait ---------------------------------------------------- */

struct room {
    struct crier_call *call;
    struct crier_sink *sink;
};

static void has_room(void *arg)
{
    struct room *room = arg;
    struct crier_call *call = room->call;
    crier_sink_unref(room->sink);
    free(room);
    crier_call_resume(call, 0);
}

static void give_up_room(struct crier_call *call, void *arg)
{
    (void)call;
    struct room *room = arg;
    crier_sink_forget_room(room->sink, room);
    crier_sink_unref(room->sink);
    free(room);
}

static int wait_for_room(lua_State *L, struct crier_sink *full)
{
    struct crier_call *call = crier_call_may_wait(L);
    if (!call)
        return 0;
    struct room *room = crier_malloc(sizeof *room);
    room->call = call;
    room->sink = crier_sink_ref(full);
    crier_sink_on_room(full, has_room, room);
    return crier_call_wait(L, give_up_room, room);
}

/* Upvalues: the logger; the level, or 0 for log.log. Arguments: [level,] text [, fields]. */
static int l_log(lua_State *L)
{
    const struct crier_logger *log = lua_touserdata(L, lua_upvalueindex(1));
    int level = (int)lua_tointegerx(L, lua_upvalueindex(2), NULL);
    if (level && level < log->min)
        return 0;
    int text = 1;
    int type = lua_type(L, 1);
    if (type == LUA_TTABLE) { /* log:info(...) */
        text = 2;
        type = lua_type(L, 2);
    }
    if (!level) {
        level = check_level(L, text++, "log");
        type = lua_type(L, text);
    }
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        return luaL_error(L, "crier.log expects a text, got %s: " USAGE, luaL_typename(L, text));
    type = lua_type(L, text + 1);
    if (type != LUA_TTABLE && type > LUA_TNIL)
        return luaL_error(L, "crier.log expects a table of fields, got %s: " USAGE,
                          luaL_typename(L, text + 1));
    int fields = type == LUA_TTABLE ? text + 1 : 0;
    if (level < log->min)
        return 0;
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_host *host = gen->host;
    if (!host) {
        keep(gen, L, log, level, text, fields);
        return 0;
    }
    char where[128];
    size_t where_len = put_where(L, where);
    bool nested = crier_host_log_begin(host);
    struct crier_builder *b = nested ? crier_host_spare_builder(host) : crier_host_builder(host);
    crier_build_begin(b, CRIER_KIND_LOG, (enum crier_level)level,
                      crier_clock_wall(gen->vm->config.clock));
    build(b, L, log, text, fields, where, where_len);
    if (!nested)
        crier_host_log_end(host);
    struct crier_sink *full = crier_host_emit(host, crier_build_end(b));
    return full ? wait_for_room(L, full) : 0;
}

/* Upvalue: the logger. log.enabled("debug") */
static int l_enabled(lua_State *L)
{
    const struct crier_logger *log = lua_touserdata(L, lua_upvalueindex(1));
    if (lua_type(L, 1) == LUA_TTABLE)
        lua_remove(L, 1);
    lua_pushboolean(L, check_level(L, 1, "enabled") >= log->min);
    return 1;
}

/* --- loggers ----------------------------------------------------------------------------- */

static int l_logger_gc(lua_State *L)
{
    struct crier_logger *log = lua_touserdata(L, 1);
    if (log->link) {
        *log->link = log->next;
        if (log->next)
            log->next->link = log->link;
    }
    free(log->name);
    crier_record_unref(log->bound);
    *log = (struct crier_logger){0};
    return 0;
}

static struct crier_logger *push_logger(lua_State *L)
{
    struct crier_logger *log = lua_newuserdatauv(L, sizeof *log, 0);
    *log = (struct crier_logger){0};
    luaL_setmetatable(L, "crier.logger");
    return log;
}

static void name_logger(struct crier_generation *gen, struct crier_logger *log, char *name)
{
    log->name = name;
    log->len = strlen(name);
    log->min = (int)crier_log_level(gen, name);
    log->next = gen->loggers;
    log->link = &gen->loggers;
    if (log->next)
        log->next->link = &log->next;
    gen->loggers = log;
}

static int l_child(lua_State *L);

/* The table of functions for the logger on top of the stack, in its place. */
static void push_functions(lua_State *L)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"debug", CRIER_DEBUG},           {"info", CRIER_INFO},
        {"warning", CRIER_LEVEL_WARNING}, {"error", CRIER_LEVEL_ERROR},
        {"critical", CRIER_CRITICAL},     {"log", 0},
    };
    lua_createtable(L, 0, 10);
    for (size_t i = 0; i < CRIER_COUNT(levels); i++) {
        lua_pushvalue(L, -2);
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, l_log, 2);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, l_enabled, 1);
    lua_setfield(L, -2, "enabled");
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, l_child, 1);
    lua_setfield(L, -2, "child");
    lua_remove(L, -2);
}

/* The parent's fields with those of the table at idx in their place. */
static struct crier_record *bind(struct crier_generation *gen, lua_State *L,
                                 const struct crier_record *parent, int idx)
{
    struct crier_stored who = {.kind = CRIER_KIND_LOG, .level = CRIER_INFO, .ok = -1};
    bool nested = gen->logging;
    struct crier_builder *b = &gen->builders[nested];
    gen->logging = true;
    crier_build_restore_begin(b);
    if (parent)
        add_bound(b, parent, L, idx);
    crier_build_lua_fields(b, L, idx);
    gen->logging = nested;
    return crier_build_restore(b, &who);
}

/* Upvalue: the parent. child(name, fields) */
static int l_child(lua_State *L)
{
    const struct crier_logger *parent = lua_touserdata(L, lua_upvalueindex(1));
    struct crier_generation *gen = crier_generation_of(L);
    if (lua_type(L, 1) == LUA_TTABLE)
        lua_remove(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1) ||
        (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TTABLE))
        return luaL_error(L, "crier.log.child expects a name and, perhaps, a table of fields: "
                             "crier.log.child(\"shop\", { region = \"eu\" })");
    lua_settop(L, 2);
    struct crier_logger *log = push_logger(L);
    const char *name = lua_tostring(L, 1);
    name_logger(gen, log, parent->root ? crier_strdup(name)
                                       : crier_asprintf("%s.%s", parent->name, name));
    if (lua_type(L, 2) == LUA_TTABLE)
        log->bound = bind(gen, L, parent->bound, 2);
    else if (parent->bound)
        log->bound = crier_record_ref(parent->bound);
    push_functions(L);
    return 1;
}

void crier_open_log(lua_State *L)
{
    luaL_newmetatable(L, "crier.logger");
    lua_pushcfunction(L, l_logger_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    struct crier_logger *log = push_logger(L);
    name_logger(crier_generation_of(L), log, crier_strdup("bot"));
    log->root = true;
    push_functions(L);
    lua_pushcfunction(L, l_set_level);
    lua_setfield(L, -2, "set_level");
    lua_pushcfunction(L, l_get_level);
    lua_setfield(L, -2, "get_level");
    lua_setfield(L, -2, "log");
}
