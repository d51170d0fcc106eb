/* SPDX-License-Identifier: MIT
 *
 * crier.sink.custom { module = "sinks.webhook", options = {...} }: a Lua state and a thread of its
 * own. The module returns a table: { open = function(options) ... return self end, write =, idle =,
 * close = }; without open the table itself is self.
 *
 * Live, the sink's worker is the thread: a call that waits (crier.http, crier.sleep) does so on a
 * loop that only this sink has and that turns only then. In virtual time there is one loop for all,
 * and a write is answered later, so that a run is reproducible.
 *
 * The state has crier.log, http and sleep. What is logged is handed to the host's loop. A module
 * that logs faster than the loop takes it loses lines, which is told.
 */
#include "script/sink_module.h"

#include <glib.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "discord/transport.h"
#include "host/host.h"
#include "script/module_state.h"
#include "script/sink_lua.h"
#include "script/vm_private.h"

#define LOAD_BUDGET (5 * CRIER_S)
#define BATCH 4096

/* What the loop finds when words of a module arrive: whether its sink is still there. */
struct owner {
    atomic_int refs;
    struct crier_sink *sink; /* NULL when it has ended; [loop] */
};

struct module {
    struct crier_module state;
    struct crier_lua_sink lua;
    const struct crier_sink_env *env;
    char *name;
    struct crier_loop *own; /* NULL in virtual time */
    struct crier_transport *http;
    struct crier_sink *sink;
    struct owner *owner;
    struct crier_lua_functions *functions; /* until they are bound, at the first write */
    char *options;
    const char **files; /* as they were when the module had been loaded */
    int64_t told;
};

/* --- what is told ------------------------------------------------------------------------ */

struct words {
    struct owner *owner; /* a reference */
    struct crier_host *host;
    char *what;
    struct crier_lua_error error;
};

static void owner_unref(struct owner *owner)
{
    if (atomic_fetch_sub(&owner->refs, 1) == 1)
        free(owner);
}

static void say(void *arg)
{
    struct words *w = arg;
    crier_host_sink_error(w->host, w->owner->sink, w->what, &w->error);
    owner_unref(w->owner);
    free(w->what);
    crier_lua_error_fini(&w->error);
    free(w);
}

static void failed(struct crier_lua_sink *lua, const struct crier_lua_functions *f,
                   const char *what, const struct crier_lua_error *error)
{
    struct module *m = CRIER_CONTAINER(lua, struct module, lua);
    int64_t now = crier_clock_mono(m->env->clock);
    (void)f;
    if (!m->state.voice || now < m->told)
        return;
    m->told = now + CRIER_S;
    struct words *w = crier_malloc(sizeof *w);
    *w = (struct words){.owner = m->owner,
                        .host = crier_voice_host(m->state.voice),
                        .what = crier_strdup(what),
                        .error = {.message = crier_strdup(error->message),
                                  .traceback = crier_strdup(error->traceback),
                                  .code = error->code}};
    atomic_fetch_add(&m->owner->refs, 1);
    crier_voice_post(m->state.voice, say, w);
}

/* --- loading ----------------------------------------------------------------------------- */

/* The module's table, checked. Argument: its name. */
static int l_load(lua_State *L)
{
    const char *name = lua_tostring(L, 1);
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1))
        return luaL_error(L,
                          "module '%s' returned a %s: it must return a table with the function "
                          "write",
                          name, luaL_typename(L, -1));
    lua_getfield(L, -1, "write");
    if (!lua_isfunction(L, -1))
        return luaL_error(L,
                          "module '%s' has no function write: return { write = function(self, "
                          "records) ... end }",
                          name);
    lua_pop(L, 1);
    return 1;
}

static int load(struct module *m, const char *name, struct crier_err *err)
{
    struct crier_lua_error error = {0};
    lua_State *L = m->state.vm->L;
    int rc = crier_module_open_crier(&m->state, &error);
    if (rc == 0) {
        m->state.vm->loading = true;
        lua_pushcfunction(L, l_load);
        lua_pushstring(L, name);
        rc = crier_vm_run(m->state.vm, NULL, 1, 1, LOAD_BUDGET, "loading the module",
                          "5s for loading", &error);
        m->state.vm->loading = false;
    }
    if (rc != 0) {
        crier_err_set(err, rc, "%s", error.message);
        for (char *p = err ? err->text : NULL; p && *p; p++)
            if (*p == '\n' || *p == '\t')
                *p = ' ';
        crier_lua_error_fini(&error);
        return rc;
    }
    m->functions = crier_lua_functions_new(m->state.vm, NULL, m->name,
                                           luaL_ref(L, LUA_REGISTRYINDEX), m->options);
    m->files = crier_calloc(m->state.vm->file_count + 1, sizeof *m->files);
    for (size_t i = 0; i < m->state.vm->file_count; i++)
        m->files[i] = crier_strdup(m->state.vm->files[i]);
    return 0;
}

static void answered(struct crier_lua_sink *lua)
{
    struct module *m = CRIER_CONTAINER(lua, struct module, lua);
    if (!m->own)
        crier_sink_answer(m->sink, lua->verdict, lua->done, &lua->err);
}

static void touched(const struct crier_lua_functions *f)
{
    struct crier_module *state = f->vm->owner;
    const struct module *m = CRIER_CONTAINER(state, struct module, state);
    if (m->own)
        crier_loop_stop(m->own);
}

static void module_close(void *self)
{
    struct module *m = self;
    m->owner->sink = NULL;
    if (!m->lua.functions) {
        m->lua.functions = m->functions;
        m->functions = NULL;
    }
    crier_lua_sink_fini(&m->lua);
    crier_lua_functions_unref(m->functions);
    if (m->state.vm)
        crier_vm_free(m->state.vm);
    crier_builder_fini(&m->state.builder);
    if (m->http)
        m->http->ops->free(m->http);
    if (m->own)
        crier_loop_free(m->own);
    crier_voice_unref(m->state.voice);
    owner_unref(m->owner);
    for (size_t i = 0; m->files && m->files[i]; i++)
        free((char *)m->files[i]);
    free(m->files);
    free(m->options);
    free(m->name);
    free(m);
}

static int module_open(const struct crier_sink_env *env, const struct crier_options *options,
                       const char *name, void **out, struct crier_err *err)
{
    const struct crier_option_value *module = crier_options_get(options, "module");
    const char *json = crier_options_get(options, "options")->s;
    struct module *m = crier_calloc(1, sizeof *m);
    /* Where its file was found, then the further folders: crier_sink_judge_module. */
    const char **folders = crier_calloc(module->count + 1, sizeof *folders);
    for (size_t i = 1; i < module->count; i++)
        folders[i - 1] = module->list[i];
    struct crier_vm_config config = {
        .chunkname = module->s,
        .folder = env->folder,
        .lua_path = folders,
        .native_modules = module->i,
        .memory = crier_options_get(options, "memory")->i,
        .virtual_time = crier_clock_is_virtual(env->clock),
        .clock = env->clock,
        .seed = env->seed,
        .callback_name = "the limit of a module",
        .memory_name = "option 'memory'",
    };
    m->owner = crier_calloc(1, sizeof *m->owner);
    atomic_init(&m->owner->refs, 1);
    m->env = env;
    m->name = crier_strdup(name);
    m->options = crier_strdup(json ? json : "{}");
    m->lua.timeout = crier_options_get(options, "timeout")->i;
    m->lua.answered = answered;
    m->lua.failed = failed;
    m->lua.touched = touched;
    m->state.vm = crier_vm_new(&config);
    free(folders);
    crier_builder_init(&m->state.builder, NULL);
    m->state.clock = env->clock;
    m->state.env = env;
    m->state.whose = "the module of a sink: it has crier.log, crier.http and crier.sleep";
    int rc = load(m, module->s, err);
    if (rc != 0) {
        module_close(m);
        return rc;
    }
    if (!crier_clock_is_virtual(env->clock)) {
        m->own = crier_loop_new(env->clock);
        m->http = crier_transport_curl(m->own);
        m->lua.loop = m->state.vm->loop = m->own;
        m->state.vm->http = m->http;
    }
    *out = m;
    return CRIER_OK;
}

void crier_module_bind(void *self, struct crier_host *host)
{
    struct module *m = self;
    if (!m->state.voice)
        m->state.voice = crier_voice_new(host, crier_host_emit_sinks, "a sink's module");
}

/* --- the driver -------------------------------------------------------------------------- */

static void module_attach(void *self, struct crier_sink *sink, struct crier_loop *loop)
{
    struct module *m = self;
    m->sink = sink;
    m->owner->sink = sink;
    if (!m->own) {
        m->lua.loop = m->state.vm->loop = loop;
        m->lua.timers = true;
    }
}

/* The thread is known only now. */
static void arrive(struct module *m)
{
    if (m->own && crier_budget_thread(true, NULL) != 0)
        return;
    if (m->functions)
        crier_lua_sink_bind(&m->lua, m->functions);
    m->functions = NULL;
}

static enum crier_verdict module_write(void *self, struct crier_record *const *records,
                                       size_t count, size_t *done, struct crier_err *err)
{
    struct module *m = self;
    arrive(m);
    if (!crier_lua_sink_write(&m->lua, records, count)) {
        if (!m->own)
            return CRIER_PENDING;
        while (m->lua.count)
            crier_loop_run(m->own, CRIER_NEVER);
    }
    *done = m->lua.done;
    *err = m->lua.err;
    return m->lua.verdict;
}

static int64_t module_idle(void *self, int64_t now)
{
    struct module *m = self;
    int64_t next = crier_lua_sink_idle(&m->lua, now);
    if (!m->own || !m->lua.flight)
        return next;
    while (m->lua.flight)
        crier_loop_run(m->own, CRIER_NEVER);
    return crier_lua_sink_idle(&m->lua, crier_clock_mono(m->env->clock));
}

static void cancel(void *arg)
{
    crier_lua_sink_cancel(&((struct module *)arg)->lua, "the host stops");
}

static void module_interrupt(void *self)
{
    struct module *m = self;
    if (m->own)
        crier_loop_post(m->own, cancel, m);
    else
        cancel(m);
}

static const char *const *module_files(void *self)
{
    return ((struct module *)self)->files;
}

const struct crier_sink_driver crier_sink_module = {
    .kind = "custom",
    .help = "a module in Lua, in a state and thread of its own",
    .options = crier_lua_sink_options,
    .option_count = 8,
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = module_open,
    .attach = module_attach,
    .write = module_write,
    .idle = module_idle,
    .interrupt = module_interrupt,
    .close = module_close,
    .files = module_files,
    .batch = BATCH,
    .script = true,
    .cannot_read = "what a custom sink has stored is its own",
};

/* --- declaring --------------------------------------------------------------------------- */

void crier_sink_judge_module(struct crier_generation *gen, struct crier_declared_sink *s)
{
    if (s->driver != &crier_sink_module)
        return;
    struct crier_option_value *v =
        (struct crier_option_value *)crier_options_get(&s->options, "module");
    char object[120], text[300];
    char *path = crier_module_find(gen, v->s);
    snprintf(object, sizeof object, "sink '%.80s'", s->name);
    if (!path) {
        snprintf(text, sizeof text,
                 "option 'module': there is no %.200s.lua (looked for as require "
                 "does)",
                 v->s);
        crier_place_problem(gen, CRIER_ERROR, s->file, s->line, "sink.custom", "module", object,
                            text, NULL);
        return;
    }
    /* Where a file of that name is found, and what further folders there are, is part of what a
     * reload compares. */
    size_t more = 0;
    while (gen->vm->config.lua_path[more])
        more++;
    v->list = crier_calloc(more + 2, sizeof *v->list);
    v->count = more + 1;
    v->i = gen->config.native_modules;
    v->list[0] = path;
    for (size_t i = 0; i < more; i++)
        v->list[i + 1] = crier_strdup(gen->vm->config.lua_path[i]);
    lua_State *L = gen->vm->L;
    if (crier_vm_load_file(gen->vm, L, path, NULL) != LUA_OK) {
        snprintf(text, sizeof text, "option 'module': %.250s", lua_tostring(L, -1));
        crier_place_problem(gen, CRIER_ERROR, s->file, s->line, "sink.custom", "module", object,
                            text, NULL);
    }
    lua_pop(L, 1);
}
