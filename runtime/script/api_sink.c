/* SPDX-License-Identifier: MIT
 *
 * crier.sink.*, crier.sinks, crier.route and queries of sinks.
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

/* --- sinks ------------------------------------------------------------------------------- */

static void push_sink(lua_State *L, struct crier_declared_sink *s)
{
    struct crier_declared_sink **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = s;
    luaL_setmetatable(L, CRIER_MT_SINK);
}

static struct crier_declared_sink *test_sink(lua_State *L, int idx)
{
    struct crier_declared_sink **box = luaL_testudata(L, idx, CRIER_MT_SINK);
    return box ? *box : NULL;
}

static const struct crier_declared_sink *find_sink(const struct crier_generation *gen,
                                                   const char *name)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        const struct crier_declared_sink *s = gen->sinks->pdata[i];
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

/* Whether an option belongs to a table within the argument: "common.max" to `common`. */
static const char *inner_name(const struct crier_option *opt, const char *outer)
{
    size_t len = strlen(outer);
    return strncmp(opt->name, outer, len) == 0 && opt->name[len] == '.' ? opt->name + len + 1
                                                                       : NULL;
}

/* The table of an OBJECT option, whose options stand in the driver's table with dotted names. */
static void read_inner(struct crier_decl *d, const char *outer, struct crier_options *out)
{
    struct crier_option *table = crier_calloc(out->count, sizeof *table);
    size_t *at = crier_calloc(out->count, sizeof *at), n = 0;
    char within[64];
    for (size_t i = 0; i < out->count; i++) {
        const char *name = inner_name(&out->table[i], outer);
        if (!name)
            continue;
        table[n] = out->table[i];
        table[n].name = name;
        at[n++] = i;
    }
    if (crier_decl_field(d, outer) == LUA_TTABLE) {
        struct crier_decl inner = *d;
        struct crier_options o;
        snprintf(within, sizeof within, "%s.", outer);
        inner.table = lua_gettop(d->L);
        inner.within = within;
        crier_decl_read(&inner, table, n, false, &o);
        for (size_t i = 0; i < n; i++) {
            struct crier_option_value old = out->values[at[i]];
            out->values[at[i]] = o.values[i];
            o.values[i] = old;
        }
        crier_options_fini(&o);
    } else {
        char got[80];
        crier_decl_problem(d, CRIER_ERROR, outer, NULL, "option '%s' must be a table, got %s",
                           outer, crier_lua_describe(d->L, -1, got, sizeof got));
    }
    lua_pop(d->L, 1);
    free(table);
    free(at);
}

/* Split the argument into the common options and the kind's own: each reader would report the
 * other's keys as unknown, so one joined table is read and then parted. */
static void read_options(struct crier_decl *d, const struct crier_sink_driver *driver,
                         struct crier_declared_sink *s)
{
    size_t own = driver->option_count, n = 0;
    struct crier_option *joined = crier_calloc(own + crier_sink_common_count, sizeof *joined);
    struct crier_option_value **to = crier_calloc(own + crier_sink_common_count, sizeof *to);
    crier_options_init(&s->options, driver->options, own);
    crier_options_init(&s->common, crier_sink_common_options, crier_sink_common_count);
    for (size_t i = 0; i < own; i++) {
        if (strchr(driver->options[i].name, '.'))
            continue;
        joined[n] = driver->options[i];
        to[n++] = &s->options.values[i];
    }
    for (size_t i = 0; i < crier_sink_common_count; i++) {
        joined[n] = crier_sink_common_options[i];
        to[n++] = &s->common.values[i];
    }
    struct crier_options o;
    crier_decl_read(d, joined, n, false, &o);
    for (size_t i = 0; i < n; i++) {
        if (!o.values[i].set)
            continue;
        struct crier_option_value old = *to[i];
        *to[i] = o.values[i];
        o.values[i] = old;
        if (joined[i].type == CRIER_OPT_OBJECT && !to[i]->off)
            read_inner(d, joined[i].name, &s->options);
    }
    crier_options_fini(&o);
    free(joined);
    free(to);
}

/* The default path of a json sink is as relative to the script as a given one. */
static void resolve_paths(struct crier_generation *gen, struct crier_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->table[i].type != CRIER_OPT_PATH || !o->values[i].s || o->values[i].s[0] == '/')
            continue;
        char *path = crier_path_join(gen->folder, o->values[i].s);
        free(o->values[i].s);
        o->values[i].s = path;
    }
}

static void check_kinds(struct crier_decl *d, const struct crier_option_value *v)
{
    const char *names[CRIER_KIND_COUNT];
    for (int k = 0; k < CRIER_KIND_COUNT; k++)
        names[k] = crier_kind_name((enum crier_kind)k);
    for (size_t i = 0; i < v->count; i++) {
        enum crier_kind kind;
        if (crier_kind_parse(v->list[i], strlen(v->list[i]), &kind))
            continue;
        char help[100] = "known: log, message, task, event, system";
        const char *near = crier_nearest(v->list[i], names, CRIER_KIND_COUNT);
        if (near)
            snprintf(help, sizeof help, "did you mean \"%s\"?", near);
        crier_decl_problem(d, CRIER_ERROR, "kinds", help, "option 'kinds': unknown kind \"%.40s\"",
                           v->list[i]);
    }
}

/* A password in an address is not to be seen in the source lines that diagnostics show. */
static void hide_password(struct crier_decl *d, const struct crier_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *s = strcmp(o->table[i].name, "url") == 0 ? o->values[i].s : NULL;
        const char *user = s ? strstr(s, "://") : NULL, *end = user ? strrchr(user, '@') : NULL;
        const char *colon = end ? memchr(user + 3, ':', (size_t)(end - user - 3)) : NULL;
        if (!colon || colon + 1 == end)
            continue;
        char *password = crier_strndup(colon + 1, (size_t)(end - colon - 1));
        crier_diags_hide(&d->gen->diags, password);
        explicit_bzero(password, strlen(password));
        free(password);
    }
}

static int l_sink(lua_State *L)
{
    const struct crier_sink_driver *driver = lua_touserdata(L, lua_upvalueindex(1));
    char callee[64];
    snprintf(callee, sizeof callee, "sink.%s", driver->kind);
    if (lua_isnone(L, 1))
        lua_newtable(L);
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, callee, "sink", "crier.sink.json { name = \"files\" }");
    d.callee = callee;
    struct crier_declared_sink *s = crier_calloc(1, sizeof *s);
    s->driver = driver;
    s->file = d.file;
    s->line = d.line;
    read_options(&d, driver, s);
    hide_password(&d, &s->options);
    resolve_paths(d.gen, &s->options);
    check_kinds(&d, crier_options_get(&s->common, "kinds"));
    const char *name = crier_options_get(&s->common, "name")->s;
    s->name = crier_strdup(name ? name : driver->kind);
    for (const char *p = s->name; *p; p++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p)) {
            crier_decl_problem(&d, CRIER_ERROR, "name", "use letters, digits, '_' and '-'",
                               "option 'name' holds '%c'", *p);
            break;
        }
    }
    const struct crier_declared_sink *other = find_sink(d.gen, s->name);
    if (other)
        crier_decl_problem(&d, CRIER_ERROR, name ? "name" : NULL,
                           "give each sink a name of its own",
                           "there is a sink '%s' already (line %d)", s->name, other->line);
    g_ptr_array_add(d.gen->sinks, s);
    push_sink(L, s);
    return 1;
}

static int l_sinks_index(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2);
    struct crier_generation *gen = crier_generation_of(L);
    const struct crier_declared_sink *s = find_sink(gen, name);
    if (s) {
        push_sink(L, (struct crier_declared_sink *)s);
        return 1;
    }
    const char *names[64];
    size_t n = 0;
    for (; n < gen->sinks->len && n < CRIER_COUNT(names); n++)
        names[n] = ((struct crier_declared_sink *)gen->sinks->pdata[n])->name;
    const char *near = crier_nearest(name, names, n);
    if (near)
        return luaL_error(L, "there is no sink '%s' (did you mean '%s'?)", name, near);
    return luaL_error(L, "there is no sink '%s'", name);
}

/* --- queries ----------------------------------------------------------------------------- */

/* A query under way: freed by whichever ends last, the callback's wait or the worker's answer. */
struct wait {
    struct crier_call *call; /* NULL: the call has been cancelled */
    bool count;
};

static void query_done(void *arg, struct crier_record **hits, size_t count,
                       const struct crier_err *err)
{
    struct wait *w = arg;
    if (w->call) {
        lua_State *L = crier_call_stack(w->call);
        int results = 1;
        if (err && err->code) {
            lua_pushnil(L);
            lua_pushstring(L, err->text);
            results = 2;
        } else if (w->count) {
            lua_pushinteger(L, (lua_Integer)count);
        } else {
            lua_createtable(L, (int)count, 0);
            for (size_t i = 0; i < count; i++) {
                crier_push_record(L, hits[i]);
                lua_rawseti(L, -2, (lua_Integer)i + 1);
            }
        }
        crier_call_resume(w->call, results);
    }
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    free(w);
}

static void query_cancel(struct crier_call *call, void *arg)
{
    (void)call;
    struct wait *w = arg;
    w->call = NULL;
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

/* sink:_query(filter, order, desc, offset, limit, count) -> records or count; nil, message.
 * lua/crier/query.lua makes filter():order_by():limit():all() of it. */
static int l_sink_query(lua_State *L)
{
    struct crier_declared_sink *s = test_sink(L, 1);
    if (!s)
        return raise_there(L, "sink:filter expects a sink: write sink:filter { ... } with a colon");
    struct crier_generation *gen = crier_generation_of(L);
    struct crier_call *call = crier_call_check(L, "sink:filter");
    if (!s->driver->query) {
        lua_pushnil(L);
        lua_pushfstring(L, "sink '%s' (%s) cannot be read", s->name, s->driver->kind);
        return 2;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    struct crier_query **box = lua_newuserdatauv(L, sizeof *box, 0), *q = NULL;
    *box = NULL;
    luaL_setmetatable(L, "crier.queryhold");
    struct crier_err err = {0};
    if (crier_query_from_lua(L, 2, gen->zone, box, &err) != 0)
        return raise_there(L, "sink '%s': %s", s->name, err.text);
    q = *box;
    if (lua_type(L, 3) == LUA_TSTRING)
        crier_query_order(q, lua_tostring(L, 3), lua_toboolean(L, 4));
    if (lua_isinteger(L, 5) && lua_tointeger(L, 5) > 0)
        q->offset = (size_t)lua_tointeger(L, 5);
    if (lua_isinteger(L, 6) && lua_tointeger(L, 6) >= 0)
        q->limit = (size_t)lua_tointeger(L, 6);
    struct wait *w = crier_calloc(1, sizeof *w);
    w->call = call;
    w->count = lua_toboolean(L, 7);
    *box = NULL;
    crier_sink_query(s->sink, q, query_done, w);
    return crier_call_wait(L, query_cancel, w);
}

static int l_sink_name(lua_State *L)
{
    struct crier_declared_sink *s = test_sink(L, 1);
    lua_pushfstring(L, "sink %s (%s)", s ? s->name : "?", s ? s->driver->kind : "?");
    return 1;
}

/* --- routes ------------------------------------------------------------------------------ */

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
    struct crier_declared_sink *s = test_sink(d->L, idx);
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

static int l_query_gc(lua_State *L)
{
    struct crier_query **box = luaL_checkudata(L, 1, "crier.queryhold");
    crier_query_free(*box);
    *box = NULL;
    return 0;
}

void crier_open_sink(lua_State *L)
{
    luaL_newmetatable(L, "crier.queryhold");
    lua_pushcfunction(L, l_query_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);

    static const luaL_Reg methods[] = {{"_query", l_sink_query}, {NULL, NULL}};
    luaL_newmetatable(L, CRIER_MT_SINK);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "_sink"); /* where the sugar adds filter; taken away by init.lua */
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_sink_name);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);

    lua_newtable(L);
    for (size_t i = 0; crier_sink_drivers[i]; i++) {
        lua_pushlightuserdata(L, (void *)crier_sink_drivers[i]);
        lua_pushcclosure(L, l_sink, 1);
        lua_setfield(L, -2, crier_sink_drivers[i]->kind);
    }
    lua_setfield(L, -2, "sink");
    lua_newtable(L);
    lua_newtable(L);
    lua_pushcfunction(L, l_sinks_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "sinks");
    lua_pushcfunction(L, l_route);
    lua_setfield(L, -2, "route");
    static const char otherwise;
    lua_pushlightuserdata(L, (void *)&otherwise);
    lua_setfield(L, -2, "otherwise");
}
