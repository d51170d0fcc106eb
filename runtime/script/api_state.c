/* SPDX-License-Identifier: MIT
 *
 * crier.state: tables that survive reload and restart. A state table is an ordinary table; it is
 * turned into JSON and compared when callbacks have ended, and stored when it has changed.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/luajson.h"

/* Replace what is in the table at idx by what is in the table on top; pops it. */
static void refill(lua_State *L, int idx)
{
    idx = lua_absindex(L, idx);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, idx);
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, idx);
    }
    lua_pop(L, 1);
}

static int l_state(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1) ||
        (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TTABLE))
        return luaL_error(L, "crier.state expects a name and a table: crier.state(\"counters\", "
                             "{ n = 0 })");
    const char *key = lua_tostring(L, 1);
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_generation *gen = vm->owner;
    for (guint i = 0; i < gen->states->len; i++) {
        struct crier_state_table *t = gen->states->pdata[i];
        if (strcmp(t->key, key) == 0) {
            lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
            return 1;
        }
    }
    if (!vm->loading)
        return luaL_error(L, "crier.state(\"%s\") must be called while the script loads", key);
    struct crier_state_table *t = crier_calloc(1, sizeof *t);
    t->key = crier_strdup(key);
    g_ptr_array_add(gen->states, t);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    char *json = crier_generation_stored_state(gen, key);
    struct crier_err err = {0};
    if (json && crier_lua_from_json(L, json, strlen(json), &err) == 0) {
        t->loaded = json;
        if (lua_type(L, -1) == LUA_TTABLE)
            refill(L, -2);
        else
            lua_pop(L, 1);
        return 1;
    }
    free(json);
    if (lua_type(L, 2) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        refill(L, -2);
    }
    return 1;
}

void crier_open_state(lua_State *L)
{
    lua_pushcfunction(L, l_state);
    lua_setfield(L, -2, "state");
}

/* The table's JSON, or NULL when it cannot be told as JSON (err says why). */
static char *to_json(struct crier_generation *gen, const struct crier_state_table *t,
                     struct crier_err *err)
{
    lua_State *L = gen->vm->L;
    struct crier_buf b = {0};
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
    int rc = crier_lua_to_json(L, -1, &b, err);
    lua_pop(L, 1);
    if (rc != 0) {
        crier_buf_fini(&b);
        return NULL;
    }
    /* An empty table may have been written as a list; both read back as an empty table. */
    return crier_buf_take(&b);
}

static void save(struct crier_generation *gen)
{
    for (guint i = 0; i < gen->states->len; i++) {
        struct crier_state_table *t = gen->states->pdata[i];
        struct crier_err err = {0};
        char *json = to_json(gen, t, &err);
        if (!json) {
            crier_host_system(gen->host, CRIER_LEVEL_ERROR, "state",
                              "crier.state '%s' cannot be saved: %s", t->key, err.text);
            continue;
        }
        if (t->saved && strcmp(t->saved, json) == 0) {
            free(json);
            continue;
        }
        if (gen->retired)
            crier_host_system(gen->host, CRIER_LEVEL_WARNING, "state",
                              "a write to crier.state '%s' by a callback of generation %u, which "
                              "has been replaced, was dropped",
                              t->key, gen->number);
        else
            crier_state_put(crier_host_state(gen->host), "state", t->key, json, NULL, NULL);
        free(t->saved);
        t->saved = json;
    }
}

static struct crier_state_table *find(struct crier_generation *gen, const char *key)
{
    for (guint i = 0; i < gen->states->len; i++) {
        struct crier_state_table *t = gen->states->pdata[i];
        if (strcmp(t->key, key) == 0)
            return t;
    }
    return NULL;
}

static void move(struct crier_generation *old, struct crier_generation *new_)
{
    for (guint i = 0; i < old->states->len; i++) {
        struct crier_state_table *from = old->states->pdata[i];
        struct crier_state_table *to = find(new_, from->key);
        struct crier_err err = {0};
        char *json = to_json(old, from, &err);
        free(from->saved);
        from->saved = crier_strdup(json);
        /* What the new script did to its table while loading stands, unless the running bot has
         * changed the table in the meantime. */
        if (json && to && (!to->loaded || strcmp(to->loaded, json) != 0)) {
            lua_State *L = new_->vm->L;
            lua_rawgeti(L, LUA_REGISTRYINDEX, to->ref);
            if (crier_lua_from_json(L, json, strlen(json), &err) == 0)
                refill(L, -2);
            lua_pop(L, 1);
        }
        free(json);
    }
}

/* Lua may raise (memory) wherever it allocates, so these run protected. */
struct job {
    struct crier_generation *gen, *to;
};

static int l_job(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    if (job->to)
        move(job->gen, job->to);
    else
        save(job->gen);
    return 0;
}

static void run_protected(struct job *job)
{
    lua_State *L = (job->to ? job->to : job->gen)->vm->L;
    lua_pushcfunction(L, l_job);
    lua_pushlightuserdata(L, job);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        crier_host_system(job->gen->host, CRIER_LEVEL_ERROR, "state",
                          "crier.state could not be saved: %s", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

void crier_state_tables_save(struct crier_generation *gen)
{
    run_protected(&(struct job){.gen = gen});
}

void crier_state_tables_move(struct crier_generation *old, struct crier_generation *new_)
{
    run_protected(&(struct job){.gen = old, .to = new_});
}
