/* SPDX-License-Identifier: MIT
 *
 * crier.sink.* and crier.sinks: declaring sinks. Rules are in api_route.c, queries in api_query.c.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"
#include "script/luajson.h"

/* --- sinks ------------------------------------------------------------------------------- */

static void push_sink(lua_State *L, struct crier_declared_sink *s)
{
    struct crier_declared_sink **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = s;
    luaL_setmetatable(L, CRIER_MT_SINK);
}

struct crier_declared_sink *crier_to_sink(lua_State *L, int idx)
{
    struct crier_declared_sink **box = luaL_testudata(L, idx, CRIER_MT_SINK);
    return box ? *box : NULL;
}

struct crier_declared_sink *crier_sink_named(const struct crier_generation *gen, const char *name)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
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

static bool has_inner(const struct crier_options *o, const char *outer)
{
    for (size_t i = 0; i < o->count; i++) {
        if (inner_name(&o->table[i], outer))
            return true;
    }
    return false;
}

/* What a reload compares and the sink opens: another sink's name. */
static void read_sink(struct crier_decl *d, const char *key, struct crier_option_value *v)
{
    const struct crier_declared_sink *other = NULL;
    if (crier_decl_field(d, key) == LUA_TSTRING) {
        v->s = crier_strdup(lua_tostring(d->L, -1)); /* it may be declared further down */
    } else if ((other = crier_to_sink(d->L, -1))) {
        v->s = crier_strdup(other->name);
    } else {
        char got[80];
        crier_decl_problem(d, CRIER_ERROR, key, NULL,
                           "option '%s' must be a sink or the name of one, got %s", key,
                           crier_lua_describe(d->L, -1, got, sizeof got));
    }
    lua_pop(d->L, 1);
}

/* A table of the sink's own, kept as JSON. */
static void read_data(struct crier_decl *d, const char *key, struct crier_option_value *v)
{
    struct crier_buf json = {0};
    struct crier_err err = {0};
    if (crier_decl_field(d, key) != LUA_TTABLE) {
        char got[80];
        crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s' must be a table, got %s", key,
                           crier_lua_describe(d->L, -1, got, sizeof got));
    } else if (crier_lua_to_json(d->L, lua_gettop(d->L), &json, &err) != 0) {
        crier_decl_problem(d, CRIER_ERROR, key, "numbers, texts, booleans and tables of those",
                           "option '%s' takes plain data: %s", key, err.text);
    } else {
        v->s = crier_buf_take(&json);
    }
    crier_buf_fini(&json);
    lua_pop(d->L, 1);
}

static void read_secret(struct crier_decl *d, const char *key, struct crier_option_value *v)
{
    free(v->s);
    v->s = NULL;
    if (crier_decl_field(d, key) == LUA_TSTRING) {
        v->s = crier_strdup(lua_tostring(d->L, -1));
    } else {
        struct crier_secret **box = luaL_testudata(d->L, -1, CRIER_MT_SECRET);
        if (box)
            v->s = crier_secret_reference(*box);
    }
    lua_pop(d->L, 1);
}

/* Split the argument into the common options and the kind's own: each reader would report the
 * other's keys as unknown, so one joined table is read and then parted. */
static void read_options(struct crier_decl *d, const struct crier_sink_driver *driver,
                         struct crier_declared_sink *s)
{
    struct crier_options *const parts[] = {&s->options, &s->common};
    size_t total = driver->option_count + crier_sink_common_count, n = 0;
    struct crier_option *joined = crier_calloc(total, sizeof *joined);
    struct crier_option_value **to = crier_calloc(total, sizeof *to);
    struct crier_options **of = crier_calloc(total, sizeof *of), o;
    crier_options_init(&s->options, driver->options, driver->option_count);
    crier_options_init(&s->common, crier_sink_common_options, crier_sink_common_count);
    for (size_t p = 0; p < CRIER_COUNT(parts); p++) {
        for (size_t i = 0; i < parts[p]->count; i++) {
            if (strchr(parts[p]->table[i].name, '.'))
                continue;
            joined[n] = parts[p]->table[i];
            of[n] = parts[p];
            to[n++] = &parts[p]->values[i];
        }
    }
    crier_decl_read(d, joined, n, false, &o);
    for (size_t i = 0; i < n; i++) {
        if (!o.values[i].set)
            continue;
        struct crier_option_value old = *to[i];
        *to[i] = o.values[i];
        o.values[i] = old;
        if (joined[i].type == CRIER_OPT_SECRET)
            read_secret(d, joined[i].name, to[i]);
        if (joined[i].type != CRIER_OPT_OBJECT || to[i]->off)
            continue;
        if (has_inner(of[i], joined[i].name))
            read_inner(d, joined[i].name, of[i]);
        else if (of[i] == &s->common)
            read_sink(d, joined[i].name, to[i]);
        else
            read_data(d, joined[i].name, to[i]);
    }
    crier_options_fini(&o);
    free(joined);
    free(to);
    free(of);
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
    resolve_paths(d.gen, &s->options);
    if (driver == &crier_sink_custom)
        crier_sink_read_custom(&d, s);
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
    const struct crier_declared_sink *other = crier_sink_named(d.gen, s->name);
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
    const struct crier_declared_sink *s = crier_sink_named(gen, name);
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

static int l_sink_name(lua_State *L)
{
    struct crier_declared_sink *s = crier_to_sink(L, 1);
    lua_pushfstring(L, "sink %s (%s)", s ? s->name : "?", s ? s->driver->kind : "?");
    return 1;
}

void crier_open_sink(lua_State *L)
{
    luaL_newmetatable(L, CRIER_MT_SINK);
    lua_newtable(L);
    crier_open_query(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "_sink"); /* where the sugar adds filter; taken away by init.lua */
    crier_push_sink_index(L);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_sink_name);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);

    lua_newtable(L);
    crier_sink_add_kinds();
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
}
