/* SPDX-License-Identifier: MIT
 *
 * crier.route: which records go to which sinks.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"

const struct crier_option crier_route_options[] = {
    {"match", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Match|fun(r: crier.Record): boolean?",
     "which records: a table of conditions, a function, or crier.otherwise; default all"},
    {"to", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "crier.Sink|crier.Sink[]",
     "to = files, or { sql, files }"},
    {"copy", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "does not count as a match for crier.otherwise"},
};
const size_t crier_route_count = CRIER_COUNT(crier_route_options);

struct match_fn {
    struct crier_generation *gen;
    int ref;
    char *what;
};

static void free_match(void *arg)
{
    struct match_fn *m = arg;
    free(m->what);
    free(m);
}

static int run_match(void *arg, struct crier_record *record, struct crier_err *err)
{
    struct match_fn *m = arg;
    struct crier_vm *vm = m->gen->vm;
    struct crier_lua_error error = {0};
    /* The main state has nobody to catch an error, so the script's cap must not bite here. */
    bool capped = vm->capped;
    vm->capped = false;
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, m->ref);
    crier_push_record(vm->L, record);
    vm->capped = capped;
    int rc = crier_call_now(vm, 1, 1, m->what, m->gen->config.limits.callback, &error);
    if (rc != 0) {
        crier_err_set(err, rc, "%s", error.message ? error.message : "failed");
        crier_lua_error_fini(&error);
        return rc;
    }
    int yes = lua_toboolean(vm->L, -1);
    lua_pop(vm->L, 1);
    crier_host_touched(m->gen);
    return yes;
}

static void add_target(struct crier_decl *d, int idx, struct crier_rule *rule)
{
    struct crier_declared_sink *s = crier_to_sink(d->L, idx);
    char got[80];
    if (!s) {
        crier_decl_problem(d, CRIER_ERROR, "to", "local files = crier.sink.json {...}",
                           "option 'to' must be a sink or a list of sinks, got %s",
                           crier_lua_describe(d->L, idx, got, sizeof got));
        return;
    }
    s->routed = true;
    rule->to = crier_realloc(rule->to, (rule->to_count + 1) * sizeof *rule->to);
    /* The sink is opened when the whole script has been judged; until then its declaration. */
    rule->to[rule->to_count++] = (struct crier_sink *)(void *)s;
}

static int l_route(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "route", "route", "crier.route { match = {...}, to = sink }");
    struct crier_options o;
    crier_decl_read(&d, crier_route_options, crier_route_count, false, &o);
    struct crier_rule *rule = crier_calloc(1, sizeof *rule);
    rule->copy = crier_options_get(&o, "copy")->i;
    rule->where = crier_asprintf("%s:%d", d.file ? d.file : "?", d.line);
    crier_options_fini(&o);
    int type = crier_decl_field(&d, "match");
    struct crier_err err = {0};
    if (type == LUA_TLIGHTUSERDATA) {
        rule->otherwise = true;
    } else if (type == LUA_TFUNCTION) {
        struct match_fn *m = crier_calloc(1, sizeof *m);
        m->gen = d.gen;
        m->what = crier_asprintf("match of the route at %s", rule->where);
        m->ref = luaL_ref(L, LUA_REGISTRYINDEX);
        lua_pushnil(L);
        rule->match = run_match;
        rule->arg = m;
        rule->free_arg = free_match;
    } else if (type == LUA_TTABLE) {
        if (crier_query_from_lua(L, lua_gettop(L), d.gen->zone, &rule->query, &err) != 0)
            crier_decl_problem(&d, CRIER_ERROR, "match", NULL, "option 'match': %s", err.text);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(&d, CRIER_ERROR, "match", NULL,
                           "option 'match' must be a table, a function or crier.otherwise");
    }
    lua_pop(L, 1);
    if (crier_decl_field(&d, "to") == LUA_TTABLE) {
        int list = lua_gettop(L);
        size_t n = lua_rawlen(L, list);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, list, (lua_Integer)i);
            add_target(&d, lua_gettop(L), rule);
            lua_pop(L, 1);
        }
    } else if (!lua_isnil(L, -1)) {
        add_target(&d, lua_gettop(L), rule);
    }
    lua_pop(L, 1);
    g_ptr_array_add(d.gen->rules, rule);
    return 0;
}

void crier_open_route(lua_State *L)
{
    static const char otherwise;
    lua_pushcfunction(L, l_route);
    lua_setfield(L, -2, "route");
    lua_pushlightuserdata(L, (void *)&otherwise);
    lua_setfield(L, -2, "otherwise");
}
