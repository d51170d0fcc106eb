/* SPDX-License-Identifier: MIT
 *
 * crier.task, crier.group, crier.tasks and crier.inaction.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "sched/condition_text.h"
#include "script/declare.h"
#include "script/luajson.h"
#include "script/module_state.h"
#include "script/task_private.h"
#include "script/vm_private.h"

#define CONDITION_TYPE "string|crier.Condition"
#define USAGE "crier.task { name = \"fetch\", start = crier.every \"10m\", run = function(ctx) end }"

const struct crier_option crier_task_options[] = {
    {"name", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "identity: history follows it through reloads and restarts; unique"},
    {"was", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the former name, whose history is carried over"},
    {"start", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, CONDITION_TYPE,
     "when to run: crier.every \"10m\", \"daily after 18:00 & after task 'fetch'\"; default: only "
     "by hand"},
    {"stop", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, CONDITION_TYPE,
     "when to terminate what runs: crier.time_of_day:after \"22:00\""},
    {"run", CRIER_OPT_FUNCTION, 0, NULL, NULL, 0, 0, "fun(ctx: crier.TaskContext, params: table): any",
     "the work, a function on the loop"},
    {"command", CRIER_OPT_STRINGS, 0, NULL, NULL, 0, 0, "string|string[]",
     "the work, a program and its arguments: { \"pg_dump\", \"shop\" }"},
    {"module", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the work, a file as for require, in a Lua state and a thread of its own"},
    {"params", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table<string, any>",
     "values for the work; a run by hand may give others"},
    {"timeout", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, "30m", NULL, 1000, 0, NULL,
     "a run that takes longer is terminated; false: never"},
    {"budget", CRIER_OPT_DURATION, CRIER_OPT_OR_FALSE, NULL, NULL, 1000, 0, NULL,
     "CPU time of the function between two waits; default: limits.callback, of a module none"},
    {"priority", CRIER_OPT_INT, 0, "0", NULL, -1000000, 1000000, NULL,
     "of tasks that may start at the same moment the highest is first"},
    {"on_startup", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "run once when the host has started, before all others"},
    {"on_shutdown", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "run once when the host stops"},
    {"multilaunch", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "may start again while it runs"},
    {"disabled", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "runs only by hand"},
    {"permanent", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "runs for ever: no timeout, and the first to be terminated at the end"},
    {"catch_up", CRIER_OPT_ENUM, 0, NULL, "none one all", 0, 0, NULL,
     "which of the times that passed while the host was down are made up for; default: none for "
     "durations, one for calendars"},
    {"grace", CRIER_OPT_DURATION, 0, "10m", NULL, 0, 0, NULL,
     "how long after its time a missed one is still made up for"},
    {"tz", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "IANA time zone of its conditions; default: the config's"},
    {"shell", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "command is one line for /bin/sh"},
    {"cwd", CRIER_OPT_PATH, 0, NULL, NULL, 0, 0, NULL,
     "folder of the command; default: the script's"},
    {"env", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table<string, string|crier.Secret>",
     "variables of the command beside the host's"},
};
const size_t crier_task_count = CRIER_COUNT(crier_task_options);

const struct crier_option crier_group_options[] = {
    {"prefix", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "in front of the tasks' names: prefix = \"etl.\""},
    {"start", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, CONDITION_TYPE,
     "must be true, too, for one of them to start; alone where a task has no start"},
    {"stop", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, CONDITION_TYPE,
     "terminates what runs of them, as their own stop does"},
    {"disabled", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "all of them run only by hand"},
};
const size_t crier_group_count = CRIER_COUNT(crier_group_options);

static const struct crier_option_value *opt(const struct crier_options *o, const char *name)
{
    return crier_options_get(o, name);
}

void crier_task_free(void *p)
{
    struct crier_task *t = p;
    crier_cond_unref(t->start);
    crier_cond_unref(t->stop);
    crier_zone_unref(t->zone);
    for (char **word = t->argv; word && *word; word++)
        free(*word);
    for (size_t i = 0; i < t->env_count; i++) {
        free(t->env[i].name);
        free(t->env[i].value);
    }
    free(t->argv);
    free(t->env);
    free(t->cwd);
    free(t->module);
    free(t->params);
    free(t->where);
    free(t->was);
    free(t->name);
    free(t);
}

struct crier_task *crier_task_named(const struct crier_generation *gen, const char *name)
{
    for (guint i = 0; i < gen->tasks->len; i++) {
        struct crier_task *t = gen->tasks->pdata[i];
        if (t->name && strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

/* --- reading ------------------------------------------------------------------------------ */

/* A condition, or the text of one; NULL when there is none, or none that is right. */
static struct crier_cond *read_condition(struct crier_decl *d, const char *key)
{
    struct crier_cond *cond = NULL;
    struct crier_err err = {0};
    char got[80];
    int column, type = crier_decl_field(d, key), idx = lua_gettop(d->L);
    struct crier_cond *given = crier_to_cond(d->L, idx);
    if (given)
        cond = crier_cond_ref(given);
    else if (type == LUA_TSTRING) {
        if (crier_cond_parse(lua_tostring(d->L, idx), &cond, &column, &err) != 0)
            crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s', column %d of its text: %s",
                               key, column, err.text);
    } else if (type != LUA_TNIL) {
        crier_decl_problem(d, CRIER_ERROR, key,
                           "crier.every \"10m\", or \"daily after 18:00\"",
                           "option '%s' must be a condition or the text of one, got %s", key,
                           crier_lua_describe(d->L, idx, got, sizeof got));
    }
    lua_settop(d->L, idx - 1);
    return cond;
}

static void read_params(struct crier_decl *d, struct crier_task *t)
{
    struct crier_err err = {0};
    struct crier_buf json = {0};
    char got[80];
    int type = crier_decl_field(d, "params"), idx = lua_gettop(d->L);
    if (type == LUA_TNIL)
        goto out;
    if (type != LUA_TTABLE || lua_rawlen(d->L, idx) > 0) {
        crier_decl_problem(d, CRIER_ERROR, "params", "params = { region = \"eu\" }",
                           "option 'params' must be a table of named values, got %s",
                           type == LUA_TTABLE ? "a list"
                                              : crier_lua_describe(d->L, idx, got, sizeof got));
    } else if (crier_lua_to_json(d->L, idx, &json, &err) != 0) {
        crier_decl_problem(d, CRIER_ERROR, "params",
                           "texts, numbers, booleans and tables of these", "option 'params': %s",
                           err.text);
    } else {
        t->params = crier_buf_take(&json);
    }
out:
    crier_buf_fini(&json);
    lua_settop(d->L, idx - 1);
}

static void read_env(struct crier_decl *d, struct crier_task *t)
{
    lua_State *L = d->L;
    char got[80];
    int type = crier_decl_field(d, "env"), idx = lua_gettop(L);
    if (type != LUA_TNIL && type != LUA_TTABLE)
        crier_decl_problem(d, CRIER_ERROR, "env", "env = { LANG = \"C\" }",
                           "option 'env' must be a table of names and values, got %s",
                           crier_lua_describe(L, idx, got, sizeof got));
    lua_pushnil(L);
    while (type == LUA_TTABLE && lua_next(L, idx)) {
        void **secret = luaL_testudata(L, -1, CRIER_MT_SECRET);
        bool named = lua_type(L, -2) == LUA_TSTRING && *lua_tostring(L, -2) &&
                     !strchr(lua_tostring(L, -2), '=');
        bool text = lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER;
        if (!named || (!text && !secret)) {
            crier_decl_problem(d, CRIER_ERROR, "env", "env = { LANG = \"C\" }",
                               "option 'env' must hold names of variables and texts, got %s",
                               crier_lua_describe(L, named ? -1 : -2, got, sizeof got));
        } else {
            t->env = crier_realloc(t->env, (t->env_count + 1) * sizeof *t->env);
            struct crier_task_env *e = &t->env[t->env_count++];
            e->name = crier_strdup(lua_tostring(L, -2));
            lua_pushvalue(L, -1);
            e->value = secret ? crier_secret_reference(*secret) : crier_strdup(lua_tostring(L, -1));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, idx - 1);
}

/* Of run, command and module there is exactly one. */
static void read_work(struct crier_decl *d, const struct crier_options *o, struct crier_task *t)
{
    struct crier_option_value *command = (struct crier_option_value *)opt(o, "command");
    int given = opt(o, "run")->set + command->set + opt(o, "module")->set;
    if (given != 1) {
        /* A value of the wrong type has been told of. */
        bool there = false;
        static const char *const keys[] = {"run", "command", "module"};
        for (size_t i = 0; i < CRIER_COUNT(keys); i++) {
            there = crier_decl_field(d, keys[i]) != LUA_TNIL || there;
            lua_pop(d->L, 1);
        }
        if (given || !there)
            crier_decl_problem(d, CRIER_ERROR, NULL, "run = function(ctx) ... end",
                               given ? "only one of 'run', 'command' and 'module' says what to do"
                                     : "one of 'run', 'command' and 'module' must say what to do");
        return;
    }
    if (opt(o, "run")->set) {
        crier_decl_field(d, "run");
        t->run_fn = luaL_ref(d->L, LUA_REGISTRYINDEX);
    } else if (command->set) {
        t->how = CRIER_TASK_COMMAND;
        t->shell = opt(o, "shell")->i;
        t->argv = crier_calloc(command->count + 1, sizeof *t->argv);
        for (size_t i = 0; i < command->count; i++)
            t->argv[i] = crier_strdup(command->list[i]);
        t->cwd = crier_strdup(opt(o, "cwd")->s);
        if (command->count == 0 || !*t->argv[0])
            crier_decl_problem(d, CRIER_ERROR, "command", NULL, "option 'command' is empty");
        else if (t->shell && command->count > 1)
            crier_decl_problem(d, CRIER_ERROR, "command", "command = \"df -h | mail me\"",
                               "with shell = true option 'command' is one line");
        else if (!t->shell && command->count == 1 && strchr(t->argv[0], ' '))
            crier_decl_problem(d, CRIER_ERROR, "command",
                               "command = { \"df\", \"-h\" }, or shell = true",
                               "option 'command' is one word with blanks in it");
    } else {
        t->how = CRIER_TASK_WORKER;
        t->module = crier_strdup(opt(o, "module")->s);
    }
    static const char *const only[] = {"shell", "cwd", "env"};
    for (size_t i = 0; i < CRIER_COUNT(only); i++) {
        if (opt(o, only[i])->set && t->how != CRIER_TASK_COMMAND)
            crier_decl_problem(d, CRIER_ERROR, only[i], NULL, "option '%s' is for commands",
                               only[i]);
    }
}

static void read_times(struct crier_decl *d, const struct crier_options *o, struct crier_task *t)
{
    struct crier_err err = {0};
    if (opt(o, "tz")->set && crier_zone_open(opt(o, "tz")->s, &t->zone, &err) != 0)
        crier_decl_problem(d, CRIER_ERROR, "tz", NULL, "option 'tz': %s", err.text);
    if (!t->zone)
        t->zone = crier_zone_ref(d->gen->zone);
    t->misfire.catch_up =
        opt(o, "catch_up")->set ? (enum crier_catch_up)opt(o, "catch_up")->i : CRIER_CATCH_ONE;
    t->misfire.grace = opt(o, "grace")->i;
    t->timeout = opt(o, "timeout")->off ? 0 : opt(o, "timeout")->i;
    t->budget = opt(o, "budget")->off   ? 0
                : opt(o, "budget")->set ? opt(o, "budget")->i
                                        : -1; /* limits.callback, which may yet be declared */
    if (t->permanent && opt(o, "timeout")->set && t->timeout)
        crier_decl_problem(d, CRIER_ERROR, "timeout", "leave one of them out",
                           "a permanent task has no timeout");
    if (t->permanent)
        t->timeout = 0;
}

static void push_task(lua_State *L, struct crier_task *t)
{
    struct crier_task **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = t;
    luaL_setmetatable(L, CRIER_MT_TASK);
}

static struct crier_task *to_task(lua_State *L, int idx)
{
    struct crier_task **box = luaL_testudata(L, idx, CRIER_MT_TASK);
    return box ? *box : NULL;
}

static int l_task(lua_State *L)
{
    struct crier_decl d;
    crier_decl_begin(&d, L, 1, "task", "task", USAGE);
    struct crier_options o;
    crier_decl_read(&d, crier_task_options, crier_task_count, false, &o);
    struct crier_task *t = crier_calloc(1, sizeof *t);
    t->gen = d.gen;
    t->file = d.file;
    t->line = d.line;
    t->where = crier_asprintf("%s:%d", d.file ? d.file : "?", d.line);
    t->order = d.gen->tasks->len;
    t->name = crier_strdup(opt(&o, "name")->s);
    t->was = crier_strdup(opt(&o, "was")->s);
    t->priority = (int)opt(&o, "priority")->i;
    t->on_startup = opt(&o, "on_startup")->i;
    t->on_shutdown = opt(&o, "on_shutdown")->i;
    t->multilaunch = opt(&o, "multilaunch")->i;
    t->disabled = opt(&o, "disabled")->i;
    t->permanent = opt(&o, "permanent")->i;
    g_ptr_array_add(d.gen->tasks, t);
    if (t->name && (!*t->name || strpbrk(t->name, "\n\r\t")))
        crier_decl_problem(&d, CRIER_ERROR, "name", NULL,
                           "option 'name' must not be empty, nor hold tabs or new lines");
    read_times(&d, &o, t);
    read_work(&d, &o, t);
    read_env(&d, t);
    read_params(&d, t);
    t->start = read_condition(&d, "start");
    t->stop = read_condition(&d, "stop");
    crier_options_fini(&o);
    push_task(L, t);
    return 1;
}

/* --- groups ------------------------------------------------------------------------------- */

/* The group's condition with the task's own; both NULL: NULL. */
static struct crier_cond *join(struct crier_decl *d, const char *key, struct crier_cond *group,
                               struct crier_cond *own, bool is_and)
{
    struct crier_err err = {0};
    if (!group || !own)
        return group ? crier_cond_ref(group) : own;
    struct crier_cond *both = is_and ? crier_cond_and(crier_cond_ref(group), own, &err)
                                     : crier_cond_or(crier_cond_ref(group), own, &err);
    if (!both)
        crier_decl_problem(d, CRIER_ERROR, key, NULL, "option '%s': %s", key, err.text);
    return both;
}

static int l_group(lua_State *L)
{
    struct crier_decl d;
    char got[80];
    crier_decl_begin(&d, L, 1, "group", "group",
                     "crier.group { prefix = \"etl.\", start = crier.daily, crier.task {...} }");
    snprintf(d.object, sizeof d.object, "group");
    struct crier_options o;
    crier_decl_read(&d, crier_group_options, crier_group_count, true, &o);
    struct crier_cond *start = read_condition(&d, "start"), *stop = read_condition(&d, "stop");
    const char *prefix = opt(&o, "prefix")->s;
    size_t n = lua_rawlen(L, d.table);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, d.table, (lua_Integer)i);
        struct crier_task *t = to_task(L, -1);
        if (!t) {
            crier_decl_problem(&d, CRIER_ERROR, NULL, "crier.group { crier.task {...} }",
                               "item %zu must be a crier.task, got %s", i,
                               crier_lua_describe(L, -1, got, sizeof got));
        } else {
            t->start = join(&d, "start", start, t->start, true);
            t->stop = join(&d, "stop", stop, t->stop, false);
            t->disabled = t->disabled || opt(&o, "disabled")->i;
            if (prefix && t->name) {
                char *name = crier_asprintf("%s%s", prefix, t->name);
                free(t->name);
                t->name = name;
            }
        }
        lua_pop(L, 1);
    }
    crier_cond_unref(start);
    crier_cond_unref(stop);
    crier_options_fini(&o);
    lua_settop(L, 1);
    return 1;
}

/* --- judging ------------------------------------------------------------------------------ */

static void task_problem(const struct crier_task *t, enum crier_severity severity, const char *key,
                         const char *help, const char *fmt, ...) CRIER_PRINTF(5, 6);

static void task_problem(const struct crier_task *t, enum crier_severity severity, const char *key,
                         const char *help, const char *fmt, ...)
{
    char text[320], object[CRIER_BOARD_NAME + 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(object, sizeof object, "task '%s'", t->name ? t->name : "?");
    crier_place_problem(t->gen, severity, t->file, t->line, "task", key, object, text, help);
}

struct naming {
    const struct crier_task *task;
    const char *key;
    GHashTable *names;
};

static void on_need(void *arg, const char *name, unsigned actions, uint32_t depth, int64_t span)
{
    struct naming *n = arg;
    (void)actions;
    (void)depth;
    (void)span;
    if (!name || g_hash_table_contains(n->names, name))
        return;
    const GPtrArray *tasks = n->task->gen->tasks;
    const char **names = crier_calloc(tasks->len, sizeof *names);
    size_t count = 0;
    for (guint i = 0; i < tasks->len; i++) {
        const struct crier_task *t = tasks->pdata[i];
        if (t->name)
            names[count++] = t->name;
    }
    const char *near = crier_nearest(name, names, count);
    char help[CRIER_BOARD_NAME + 24];
    snprintf(help, sizeof help, "did you mean '%s'?", near ? near : "");
    task_problem(n->task, CRIER_ERROR, n->key, near ? help : "crier.task { name = ... }",
                 "option '%s': there is no task '%.100s'", n->key, name);
    free(names);
}

/* The module's file, compiled but not run; a reload watches it. */
static void judge_module(const struct crier_task *t)
{
    lua_State *L = t->gen->vm->L;
    char *path = crier_module_find(t->gen, t->module);
    if (!path) {
        task_problem(t, CRIER_ERROR, "module", NULL,
                     "option 'module': there is no %.200s.lua (looked for as require does)",
                     t->module);
        return;
    }
    if (crier_vm_load_file(t->gen->vm, L, path, NULL) != LUA_OK)
        task_problem(t, CRIER_ERROR, "module", NULL, "option 'module': %.250s",
                     lua_tostring(L, -1));
    lua_pop(L, 1);
    free(path);
}

void crier_judge_tasks(struct crier_generation *gen)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < gen->tasks->len; i++) {
        struct crier_task *t = gen->tasks->pdata[i];
        if (!t->name)
            continue;
        if (t->budget < 0)
            t->budget = t->how == CRIER_TASK_WORKER ? 0 : gen->config.limits.callback;
        const struct crier_task *other = g_hash_table_lookup(names, t->name);
        if (other)
            task_problem(t, CRIER_ERROR, "name", "give each a name of its own",
                         "there is a task of this name already, at %s:%d",
                         other->file ? other->file : "?", other->line);
        else
            g_hash_table_insert(names, t->name, t);
        if (strlen(t->name) > CRIER_BOARD_NAME)
            task_problem(t, CRIER_ERROR, "name", NULL, "a name has %d bytes at most",
                         CRIER_BOARD_NAME);
    }
    for (guint i = 0; i < gen->tasks->len; i++) {
        struct crier_task *t = gen->tasks->pdata[i];
        struct naming n = {t, "start", names};
        if (!t->name)
            continue;
        if (t->was && g_hash_table_contains(names, t->was))
            task_problem(t, CRIER_ERROR, "was", "remove 'was', or rename the other one",
                         "option 'was' names a task that is declared too");
        if (t->module)
            judge_module(t);
        if (t->start)
            crier_cond_needs(t->start, on_need, &n);
        n.key = "stop";
        if (t->stop)
            crier_cond_needs(t->stop, on_need, &n);
        if (!t->start && !t->on_startup && !t->on_shutdown && !t->disabled && !gen->diags.errors)
            task_problem(t, CRIER_NOTE, NULL, "start = crier.every \"10m\"",
                         "it has no 'start': it runs only by hand");
    }
    g_hash_table_destroy(names);
}

/* --- diff --------------------------------------------------------------------------------- */

static void describe_condition(const char *what, const struct crier_cond *a,
                               const struct crier_cond *b, struct crier_buf *out)
{
    char *was = a ? crier_cond_text(a) : crier_strdup("none");
    char *is = b ? crier_cond_text(b) : crier_strdup("none");
    if (strcmp(was, is) != 0)
        crier_buf_printf(out, "%s%s%s -> %s", out->len ? ", " : "", what, was, is);
    free(was);
    free(is);
}

static bool same_words(char **a, char **b)
{
    for (; a && b && *a && *b; a++, b++) {
        if (strcmp(*a, *b) != 0)
            return false;
    }
    return (a && *a) == (b && *b);
}

static bool same_env(const struct crier_task *a, const struct crier_task *b)
{
    GHashTable *values = g_hash_table_new(g_str_hash, g_str_equal);
    bool same = a->env_count == b->env_count;
    for (size_t i = 0; i < a->env_count; i++)
        g_hash_table_insert(values, a->env[i].name, a->env[i].value);
    for (size_t i = 0; i < b->env_count; i++)
        same = same && g_strcmp0(g_hash_table_lookup(values, b->env[i].name),
                                 b->env[i].value) == 0;
    g_hash_table_destroy(values);
    return same;
}

static void describe_changes(const struct crier_task *a, const struct crier_task *b,
                             struct crier_buf *out)
{
    const struct {
        const char *name;
        bool same;
    } rest[] = {
        {"timeout", a->timeout == b->timeout},
        {"budget", a->budget == b->budget},
        {"priority", a->priority == b->priority},
        {"on_startup", a->on_startup == b->on_startup},
        {"on_shutdown", a->on_shutdown == b->on_shutdown},
        {"multilaunch", a->multilaunch == b->multilaunch},
        {"disabled", a->disabled == b->disabled},
        {"permanent", a->permanent == b->permanent},
        {"params", g_strcmp0(a->params, b->params) == 0},
        {"catch_up", a->misfire.catch_up == b->misfire.catch_up},
        {"grace", a->misfire.grace == b->misfire.grace},
        {"tz", strcmp(crier_zone_name(a->zone), crier_zone_name(b->zone)) == 0},
        {"command", same_words(a->argv, b->argv) && a->shell == b->shell},
        {"cwd", g_strcmp0(a->cwd, b->cwd) == 0},
        {"env", same_env(a, b)},
        {"module", g_strcmp0(a->module, b->module) == 0},
        {"how", a->how == b->how},
    };
    describe_condition("", a->start, b->start, out);
    describe_condition("stop ", a->stop, b->stop, out);
    for (size_t i = 0; i < CRIER_COUNT(rest); i++) {
        if (!rest[i].same)
            crier_buf_printf(out, "%s%s", out->len ? ", " : "", rest[i].name);
    }
}

void crier_task_diff(const struct crier_generation *old, const struct crier_generation *new_,
                     struct crier_buf *out, struct crier_diff_counts *counts)
{
    GHashTable *before = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < old->tasks->len; i++) {
        struct crier_task *t = old->tasks->pdata[i];
        g_hash_table_insert(before, t->name, t);
    }
    for (guint i = 0; i < new_->tasks->len; i++) {
        const struct crier_task *t = new_->tasks->pdata[i];
        struct crier_task *was = g_hash_table_lookup(before, t->name);
        struct crier_buf changes = {0};
        if (!was && t->was && (was = g_hash_table_lookup(before, t->was)))
            crier_buf_printf(&changes, "was %s", t->was);
        if (!was) {
            counts->added++;
            crier_buf_printf(out, "+ task %-20s (%s:%d)\n", t->name, t->file ? t->file : "?",
                             t->line);
            continue;
        }
        g_hash_table_remove(before, was->name);
        describe_changes(was, t, &changes);
        if (changes.len) {
            counts->changed++;
            crier_buf_printf(out, "~ task %-20s %s\n", t->name, changes.data);
        } else {
            counts->kept++;
        }
        crier_buf_fini(&changes);
    }
    for (guint i = 0; i < old->tasks->len; i++) {
        const struct crier_task *t = old->tasks->pdata[i];
        if (g_hash_table_lookup(before, t->name) != t)
            continue;
        counts->removed++;
        crier_buf_printf(out, "- task %s\n", t->name);
    }
    g_hash_table_destroy(before);
}

/* --- handles ------------------------------------------------------------------------------ */

static struct crier_task *check_running(lua_State *L, const char *method)
{
    struct crier_task *t = to_task(L, 1);
    if (!t)
        luaL_error(L, "task:%s expects a task: write crier.tasks.fetch:%s() with a colon", method,
                   method);
    if (!t->gen->host)
        luaL_error(L,
                   "task:%s is not available while loading: call it in a task, a data function or "
                   "a hook",
                   method);
    return t;
}

static int push_result(lua_State *L, int rc, const struct crier_err *err)
{
    if (rc == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err->text);
    return 2;
}

/* task:run { region = "eu" }: true, or nil and why not */
static int l_run(lua_State *L)
{
    struct crier_task *t = check_running(L, "run");
    struct crier_err err = {0};
    struct crier_buf json = {0};
    lua_settop(L, 2);
    if (!lua_isnil(L, 2) && (!lua_istable(L, 2) || lua_rawlen(L, 2) > 0))
        return luaL_error(L, "task:run takes a table of named values: task:run { region = \"eu\" }");
    if (lua_istable(L, 2) && crier_lua_to_json(L, 2, &json, &err) != 0)
        return luaL_error(L, "task:run: %s", err.text);
    int rc = crier_task_run(crier_host_tasker(t->gen->host), t->name, json.data, NULL, NULL, &err);
    crier_buf_fini(&json);
    return push_result(L, rc, &err);
}

static int l_stop(lua_State *L)
{
    struct crier_task *t = check_running(L, "stop");
    struct crier_err err = {0};
    size_t count = 0;
    if (crier_task_stop(crier_host_tasker(t->gen->host), t->name, "stopped by the script", &count,
                        &err) != 0)
        return push_result(L, -1, &err);
    lua_pushinteger(L, (lua_Integer)count);
    return 1;
}

/* Upvalue: whether to pause. */
static int l_pause(lua_State *L)
{
    bool pause = lua_toboolean(L, lua_upvalueindex(1));
    struct crier_task *t = check_running(L, pause ? "pause" : "resume");
    struct crier_err err = {0};
    int rc = crier_task_pause(crier_host_tasker(t->gen->host), t->name, pause, NULL, &err);
    return push_result(L, rc, &err);
}

static int l_tasks_index(lua_State *L)
{
    struct crier_generation *gen = crier_generation_of(L);
    const char *name = luaL_checkstring(L, 2);
    struct crier_task *t = crier_task_named(gen, name);
    if (t) {
        push_task(L, t);
        return 1;
    }
    const char *names[256];
    size_t n = 0;
    for (guint i = 0; i < gen->tasks->len && n < CRIER_COUNT(names); i++) {
        const struct crier_task *one = gen->tasks->pdata[i];
        if (one->name)
            names[n++] = one->name;
    }
    const char *near = crier_nearest(name, names, n);
    if (near)
        return luaL_error(L, "there is no task '%s' (did you mean '%s'?)", name, near);
    return luaL_error(L, "there is no task '%s'", name);
}

static int l_task_index(lua_State *L)
{
    struct crier_task *t = to_task(L, 1);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    const char *name = luaL_tolstring(L, 2, NULL);
    if (t && strcmp(name, "name") == 0) {
        lua_pushstring(L, t->name);
        return 1;
    }
    return luaL_error(L, "a task has no '%s' (it has name, run, stop, pause and resume)", name);
}

static int l_task_tostring(lua_State *L)
{
    struct crier_task *t = to_task(L, 1);
    lua_pushfstring(L, "task %s", t && t->name ? t->name : "?");
    return 1;
}

/* crier.inaction "nothing new" */
static int l_inaction(lua_State *L)
{
    if (!lua_isnoneornil(L, 1) && lua_type(L, 1) != LUA_TSTRING)
        return luaL_error(L, "crier.inaction takes a reason: return crier.inaction \"nothing new\"");
    lua_settop(L, 1);
    lua_newuserdatauv(L, 0, 1);
    lua_insert(L, 1);
    lua_setiuservalue(L, 1, 1);
    luaL_setmetatable(L, CRIER_MT_INACTION);
    return 1;
}

void crier_open_task(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"task", l_task}, {"group", l_group}, {"inaction", l_inaction}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"run", l_run}, {"stop", l_stop}, {NULL, NULL}};
    luaL_newmetatable(L, CRIER_MT_TASK);
    luaL_newlib(L, methods);
    for (int pause = 0; pause < 2; pause++) {
        lua_pushboolean(L, pause);
        lua_pushcclosure(L, l_pause, 1);
        lua_setfield(L, -2, pause ? "pause" : "resume");
    }
    lua_pushcclosure(L, l_task_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_task_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newmetatable(L, CRIER_MT_INACTION);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L); /* crier.tasks */
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_tasks_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "tasks");
    crier_open_task_context(L);
}
