/* SPDX-License-Identifier: MIT
 *
 * crier.route: which records go to which sinks. crier.transform: what they are before that.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "script/declare.h"

const struct crier_option crier_route_options[] = {
    {"match", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Match|fun(r: crier.Record): boolean?",
     "which records: a table of conditions, a function, or crier.otherwise; default all"},
    {"unless", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "crier.Match",
     "but not these: a table of conditions"},
    {"to", CRIER_OPT_OBJECT, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, "crier.Sink|crier.Sink[]",
     "to = files, or { sql, files }"},
    {"now", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "its sinks write at once, without waiting for a batch to fill"},
    {"dedupe", CRIER_OPT_DURATION, 0, NULL, NULL, 1, 0, NULL,
     "records alike are sent once in this time; the next one has their number in `repeated`"},
    {"sample", CRIER_OPT_NUMBER, 0, NULL, NULL, 0, 0, NULL,
     "share of the records that is sent, above 0 and up to 1"},
    {"rate", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "records at most in a time: \"100/1m\"; what is above is counted and told"},
    {"copy", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "does not count as a match for crier.otherwise"},
};
const size_t crier_route_count = CRIER_COUNT(crier_route_options);

/* --- the script's functions -------------------------------------------------------------- */

struct route_fn {
    struct crier_generation *gen;
    int ref;
    char *what;
};

/* Takes the function from the top of the stack. */
static struct route_fn *new_fn(struct crier_generation *gen, lua_State *L, const char *what,
                               const char *where)
{
    struct route_fn *f = crier_calloc(1, sizeof *f);
    f->gen = gen;
    f->what = crier_asprintf("%s at %s", what, where);
    f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return f;
}

static void free_fn(void *arg)
{
    struct route_fn *f = arg;
    free(f->what);
    free(f);
}

/* Call it with the record; one result is left on the vm's stack when this returns 0. */
static int call_fn(const struct route_fn *f, struct crier_record *record, struct crier_err *err)
{
    struct crier_vm *vm = f->gen->vm;
    struct crier_lua_error error;
    /* The main state has nobody to catch an error, so the script's cap must not bite here. */
    bool capped = vm->capped;
    vm->capped = false;
    luaL_checkstack(vm->L, 8, NULL);
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, f->ref);
    crier_push_record(vm->L, record);
    vm->capped = capped;
    int rc = crier_call_now(vm, 1, 1, f->what, f->gen->config.limits.callback, &error);
    crier_host_touched(f->gen);
    if (rc != 0) {
        crier_err_set(err, rc, "%s", error.message ? error.message : "failed");
        crier_lua_error_fini(&error);
    }
    return rc;
}

void *crier_match_fn_new(lua_State *L, const char *what, const char *where)
{
    return new_fn(crier_vm_of(L)->owner, L, what, where);
}

void crier_match_fn_free(void *fn)
{
    free_fn(fn);
}

int crier_match_fn_try(void *arg, struct crier_record *record, struct crier_err *err)
{
    const struct route_fn *f = arg;
    lua_State *L = f->gen->vm->L;
    int rc = call_fn(f, record, err);
    if (rc != 0)
        return rc;
    rc = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return rc;
}

/* --- transforms -------------------------------------------------------------------------- */

/* One of what a transform returned. *same: that the record's own id has been used. */
static int take_one(const struct route_fn *f, lua_State *L, struct crier_record *record,
                    struct crier_record **out, bool *same, struct crier_err *err)
{
    struct crier_record *one = crier_to_record(L, -1);
    if (one) {
        crier_record_ref(one);
    } else if (lua_type(L, -1) == LUA_TTABLE) {
        int rc = crier_record_with(L, -1, record, &one, err);
        if (rc != 0)
            return rc;
    } else {
        char got[80];
        return crier_err_set(err, CRIER_EINVAL,
                             "%s must return the record, record:with { ... }, a list of these, or "
                             "false to drop it, got %s",
                             f->what, crier_lua_describe(L, -1, got, sizeof got));
    }
    bool own = crier_record_seq(one) == crier_record_seq(record);
    if (!own || *same) {
        struct crier_builder *b = crier_host_builder(f->gen->host);
        struct crier_record *fresh = crier_record_renew(one, b->source);
        crier_record_unref(one);
        one = fresh;
    }
    *same |= own;
    *out = one;
    return 0;
}

static int take_list(const struct route_fn *f, lua_State *L, struct crier_record *record,
                     struct crier_record **out, struct crier_err *err)
{
    size_t n = lua_rawlen(L, -1);
    bool same = false;
    if (n > CRIER_SPLIT_MAX)
        return crier_err_set(err, CRIER_ELIMIT, "%s may split a record into %d, not %zu", f->what,
                             CRIER_SPLIT_MAX, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        int rc = take_one(f, L, record, &out[i], &same, err);
        lua_pop(L, 1);
        if (rc == 0)
            continue;
        while (i > 0)
            crier_record_unref(out[--i]);
        return rc;
    }
    return (int)n;
}

static int take_result(const struct route_fn *f, lua_State *L, struct crier_record *record,
                       struct crier_record **out, struct crier_err *err)
{
    bool same = false;
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        return 0;
    /* A function that forgets to return must not lose records. */
    if (type == LUA_TNIL || type == LUA_TBOOLEAN) {
        out[0] = crier_record_ref(record);
        return 1;
    }
    if (type == LUA_TTABLE && lua_rawlen(L, -1) > 0)
        return take_list(f, L, record, out, err);
    int rc = take_one(f, L, record, out, &same, err);
    return rc == 0 ? 1 : rc;
}

static int run_transform(void *arg, struct crier_record *record, struct crier_record **out,
                         struct crier_err *err)
{
    const struct route_fn *f = arg;
    struct crier_vm *vm = f->gen->vm;
    crier_transform_begin(vm);
    int n = call_fn(f, record, err);
    if (n == 0) {
        bool capped = vm->capped;
        vm->capped = false;
        n = take_result(f, vm->L, record, out, err);
        vm->capped = capped;
        lua_pop(vm->L, 1);
    }
    crier_transform_end(vm);
    return n;
}

static int l_transform(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_generation *gen = vm->owner;
    const char *file;
    char got[80];
    int line;
    if (!vm->loading)
        return luaL_error(L,
                          "crier.transform declares: it is only available while the script loads");
    if (lua_type(L, 1) != LUA_TFUNCTION)
        return luaL_error(L, "crier.transform expects a function, got %s: crier.transform("
                             "function(r) return r:with { region = \"eu\" } end)",
                          crier_lua_describe(L, 1, got, sizeof got));
    crier_lua_place(L, &file, &line);
    struct crier_transform *t = crier_calloc(1, sizeof *t);
    t->where = crier_asprintf("%s:%d", file ? file : "?", line);
    lua_settop(L, 1);
    t->apply = run_transform;
    t->arg = new_fn(gen, L, "the transform", t->where);
    t->free_arg = free_fn;
    g_ptr_array_add(gen->transforms, t);
    return 0;
}

/* --- routes ------------------------------------------------------------------------------ */

static void add_target(struct crier_decl *d, int idx, struct crier_rule *rule)
{
    struct crier_declared_sink *s = crier_to_sink(d->L, idx);
    char got[80], hint[80] = "local files = crier.sink.json {...}";
    if (!s) {
        if (lua_type(d->L, idx) == LUA_TSTRING)
            snprintf(hint, sizeof hint, "crier.sinks.%.40s is a sink by its name",
                     lua_tostring(d->L, idx));
        crier_decl_problem(d, CRIER_ERROR, "to", hint,
                           "option 'to' must be a sink or a list of sinks, got %s",
                           crier_lua_describe(d->L, idx, got, sizeof got));
        return;
    }
    s->routed = true;
    rule->to = crier_realloc(rule->to, (rule->to_count + 1) * sizeof *rule->to);
    /* The sink is opened when the whole script has been judged; until then its declaration. */
    rule->to[rule->to_count++] = (struct crier_sink *)(void *)s;
}

/* The table on top of the stack. */
static void read_conditions(struct crier_decl *d, const char *option, struct crier_query **out)
{
    struct crier_err err = {0};
    if (crier_query_from_lua(d->L, lua_gettop(d->L), d->gen->zone, out, &err) != 0)
        crier_decl_problem(d, CRIER_ERROR, option, NULL, "option '%s': %s", option, err.text);
    else if ((*out)->since)
        crier_decl_problem(d, CRIER_ERROR, option, "use a function: match = function(r) ... end",
                           "option '%s': crier.since counts from when the rule is made, which then "
                           "stays",
                           option);
}

static void read_match(struct crier_decl *d, struct crier_rule *rule)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "match");
    if (type == LUA_TLIGHTUSERDATA) {
        rule->otherwise = true;
    } else if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, -1);
        rule->match = crier_match_fn_try;
        rule->arg = new_fn(d->gen, L, "match of the route", rule->where);
        rule->free_arg = free_fn;
    } else if (type == LUA_TTABLE) {
        read_conditions(d, "match", &rule->query);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "match", NULL,
                           "option 'match' must be a table, a function or crier.otherwise");
    }
    lua_pop(L, 1);
}

static void read_unless(struct crier_decl *d, struct crier_rule *rule)
{
    int type = crier_decl_field(d, "unless");
    if (type == LUA_TTABLE) {
        read_conditions(d, "unless", &rule->unless);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, "unless", "unless = { logger = \"shop\" }",
                           "option 'unless' must be a table of conditions");
    }
    lua_pop(d->L, 1);
}

static void read_limits(struct crier_decl *d, const struct crier_options *o,
                        struct crier_rule *rule)
{
    const struct crier_option_value *sample = crier_options_get(o, "sample");
    const struct crier_option_value *rate = crier_options_get(o, "rate");
    rule->dedupe = crier_options_get(o, "dedupe")->i;
    if (sample->set && !(sample->n > 0 && sample->n <= 1))
        crier_decl_problem(d, CRIER_ERROR, "sample", "sample = 0.1 sends every tenth",
                           "option 'sample' must be above 0 and at most 1, got %.14g", sample->n);
    else if (sample->set)
        rule->sample = sample->n;
    if (rate->set && !crier_rule_parse_rate(rate->s, rule))
        crier_decl_problem(d, CRIER_ERROR, "rate", "rate = \"100/1m\": at most 100 a minute",
                           "option 'rate' must be a number of records and a time, got \"%.40s\"",
                           rate->s);
}

static void read_targets(struct crier_decl *d, struct crier_rule *rule)
{
    lua_State *L = d->L;
    int type = crier_decl_field(d, "to"), at = lua_gettop(L);
    size_t n = type == LUA_TTABLE ? lua_rawlen(L, at) : 0;
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, at, (lua_Integer)i);
        add_target(d, lua_gettop(L), rule);
        lua_pop(L, 1);
    }
    if (type != LUA_TTABLE && type != LUA_TNIL)
        add_target(d, at, rule);
    lua_pop(L, 1);
}

static int l_route(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "route", "route", "crier.route { match = {...}, to = sink }");
    struct crier_options o;
    crier_decl_read(&d, crier_route_options, crier_route_count, false, &o);
    struct crier_rule *rule = crier_calloc(1, sizeof *rule);
    g_ptr_array_add(d.gen->rules, rule);
    rule->copy = crier_options_get(&o, "copy")->i;
    rule->now = crier_options_get(&o, "now")->i;
    rule->where = crier_asprintf("%s:%d", d.file ? d.file : "?", d.line);
    read_limits(&d, &o, rule);
    crier_options_fini(&o);
    read_match(&d, rule);
    read_unless(&d, rule);
    read_targets(&d, rule);
    return 0;
}

void crier_open_route(lua_State *L)
{
    static const char otherwise;
    lua_pushcfunction(L, l_route);
    lua_setfield(L, -2, "route");
    lua_pushcfunction(L, l_transform);
    lua_setfield(L, -2, "transform");
    lua_pushlightuserdata(L, (void *)&otherwise);
    lua_setfield(L, -2, "otherwise");
}
