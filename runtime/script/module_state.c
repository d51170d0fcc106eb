/* SPDX-License-Identifier: MIT */
#include "script/module_state.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "script/vm_private.h"

#define WAITING_MAX 1000 /* lines on their way */

struct crier_voice {
    atomic_int refs;
    struct crier_host *host;
    struct crier_loop *loop;
    void (*emit)(struct crier_host *host, const struct crier_record *log);
    const char *whose;
    atomic_uint waiting, lost;
};

struct crier_voice *crier_voice_new(struct crier_host *host,
                                    void (*emit)(struct crier_host *host,
                                                 const struct crier_record *log),
                                    const char *whose)
{
    struct crier_voice *voice = crier_calloc(1, sizeof *voice);
    atomic_init(&voice->refs, 1);
    voice->host = host;
    voice->loop = crier_host_loop(host);
    voice->emit = emit;
    voice->whose = whose;
    return voice;
}

void crier_voice_unref(struct crier_voice *voice)
{
    if (voice && atomic_fetch_sub(&voice->refs, 1) == 1)
        free(voice);
}

struct crier_host *crier_voice_host(struct crier_voice *voice)
{
    return voice->host;
}

/* --- words on their way -------------------------------------------------------------------- */

struct words {
    struct crier_voice *voice; /* a reference */
    void (*fn)(void *arg);
    void *arg;
    struct crier_record *log; /* or fn */
};

static struct crier_record *line(struct crier_builder *b, enum crier_level level, int64_t wall,
                                 struct crier_str text, struct crier_str where)
{
    struct crier_stored who = {.kind = CRIER_KIND_LOG,
                               .level = level,
                               .time = wall,
                               .ok = -1,
                               .text = text,
                               .where = where,
                               .logger = {"bot", 3}};
    return crier_build_restore(b, &who);
}

static void say_lost(struct crier_voice *voice, unsigned lost)
{
    struct crier_builder b;
    char text[120];
    int n =
        snprintf(text, sizeof text, "%u lines of %s were lost: it logs faster than they are taken",
                 lost, voice->whose);
    crier_builder_init(&b, NULL);
    crier_build_restore_begin(&b);
    struct crier_record *log = line(&b, CRIER_LEVEL_WARNING, crier_loop_wall(voice->loop),
                                    (struct crier_str){text, (size_t)n}, (struct crier_str){"", 0});
    voice->emit(voice->host, log);
    crier_record_unref(log);
    crier_builder_fini(&b);
}

static void arrived(void *arg)
{
    struct words *w = arg;
    struct crier_voice *voice = w->voice;
    unsigned lost = atomic_exchange(&voice->lost, 0);
    atomic_fetch_sub(&voice->waiting, 1);
    if (w->log)
        voice->emit(voice->host, w->log);
    else
        w->fn(w->arg);
    if (lost)
        say_lost(voice, lost);
    crier_record_unref(w->log);
    free(w);
    crier_voice_unref(voice);
}

static void send_words(struct crier_voice *voice, void (*fn)(void *arg), void *arg,
                       struct crier_record *log)
{
    struct words *w = crier_malloc(sizeof *w);
    *w = (struct words){voice, fn, arg, log};
    atomic_fetch_add(&voice->refs, 1);
    atomic_fetch_add(&voice->waiting, 1);
    crier_loop_post(voice->loop, arrived, w);
}

void crier_voice_post(struct crier_voice *voice, void (*fn)(void *arg), void *arg)
{
    send_words(voice, fn, arg, NULL);
}

/* --- `crier` ------------------------------------------------------------------------------- */

static struct crier_module *module_of(lua_State *L)
{
    return crier_vm_of(L)->owner;
}

/* Upvalue 1: the level, or 0 for log.log. */
static int l_log(lua_State *L)
{
    struct crier_module *m = module_of(L);
    enum crier_level level = (enum crier_level)lua_tointeger(L, lua_upvalueindex(1));
    int arg = level ? 1 : 2;
    size_t len;
    if (!level) {
        const char *name = luaL_tolstring(L, 1, &len);
        if (!crier_level_parse(name, len, &level))
            return luaL_error(L,
                              "crier.log.log: unknown level '%s' (debug, info, warning, error, "
                              "critical or 10 to 50)",
                              name);
        lua_pop(L, 1);
    }
    if (lua_type(L, arg) != LUA_TSTRING && lua_type(L, arg) != LUA_TNUMBER)
        return luaL_error(L,
                          "crier.log expects a text, got %s: crier.log.info(\"text\", { field = "
                          "value })",
                          luaL_typename(L, arg));
    if (!lua_isnoneornil(L, arg + 1) && lua_type(L, arg + 1) != LUA_TTABLE)
        return luaL_error(L,
                          "crier.log expects a table of fields, got %s: crier.log.info(\"text\", "
                          "{ field = value })",
                          luaL_typename(L, arg + 1));
    if (!m->voice)
        return luaL_error(L, "crier.log is not available while the module loads");
    if (atomic_load(&m->voice->waiting) >= WAITING_MAX) {
        atomic_fetch_add(&m->voice->lost, 1);
        return 0;
    }
    lua_Debug ar;
    char where[128];
    int n = 0;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
        n = snprintf(where, sizeof where, "%.100s:%d", ar.short_src, ar.currentline);
    const char *text = lua_tolstring(L, arg, &len);
    crier_build_restore_begin(&m->builder);
    if (m->task_name) {
        CRIER_B_STR(&m->builder, "task_name", m->task_name);
        CRIER_B_STR(&m->builder, "run_id", m->run_id);
    }
    if (lua_istable(L, arg + 1))
        crier_build_lua_fields(&m->builder, L, arg + 1);
    send_words(m->voice, NULL, NULL,
               line(&m->builder, level, crier_clock_wall(m->clock), (struct crier_str){text, len},
                    (struct crier_str){where, (size_t)n}));
    return 0;
}

static int l_not_here(lua_State *L)
{
    return luaL_error(L, "crier.%s is not available in %s", luaL_tolstring(L, 2, NULL),
                      module_of(L)->whose);
}

static int l_open_crier(lua_State *L)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"debug", CRIER_DEBUG},           {"info", CRIER_INFO},
        {"warning", CRIER_LEVEL_WARNING}, {"error", CRIER_LEVEL_ERROR},
        {"critical", CRIER_CRITICAL},     {"log", 0},
    };
    lua_newtable(L);
    crier_open_record(L);
    crier_open_wait(L);
    lua_createtable(L, 0, CRIER_COUNT(levels));
    for (size_t i = 0; i < CRIER_COUNT(levels); i++) {
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, l_log, 1);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_setfield(L, -2, "log");
    if (module_of(L)->more)
        luaL_setfuncs(L, module_of(L)->more, 0);
    lua_newtable(L);
    lua_pushcfunction(L, l_not_here);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "crier");
    return 0;
}

/* crier.http in --sim. */
static bool allow_host(void *owner, const char *host, char *why, size_t cap)
{
    const struct crier_module *m = owner;
    struct crier_err err = {0};
    if (crier_sink_may_reach(m->env, host, &err) == 0)
        return true;
    snprintf(why, cap, "%s", err.text);
    return false;
}

int crier_module_open_crier(struct crier_module *m, struct crier_lua_error *error)
{
    m->vm->owner = m;
    m->vm->builder = &m->builder;
    if (m->env && m->env->sim)
        m->vm->allow_host = allow_host;
    lua_pushcfunction(m->vm->L, l_open_crier);
    return crier_vm_run(m->vm, NULL, 0, 0, 0, "crier's own Lua", "", error);
}

/* --- files --------------------------------------------------------------------------------- */

char *crier_module_find(const struct crier_generation *gen, const char *module)
{
    static const char *const forms[] = {"%s/%s.lua", "%s/%s/init.lua"};
    char *name = crier_strdup(module), *found = NULL;
    const char *const *more = gen->vm->config.lua_path;
    for (char *p = name; *p; p++)
        if (*p == '.')
            *p = '/';
    for (const char *folder = gen->folder; folder && !found; folder = *more ? *more++ : NULL) {
        for (size_t i = 0; i < CRIER_COUNT(forms) && !found; i++) {
            char path[PATH_MAX];
            int n = snprintf(path, sizeof path, i ? forms[1] : forms[0], folder, name);
            if (n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0)
                found = crier_strdup(path);
        }
    }
    free(name);
    return found;
}
