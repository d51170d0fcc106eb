/* SPDX-License-Identifier: MIT
 *
 * crier.sink.custom: functions of the script, on the loop.
 *
 * The sink outlives generations. Which functions it calls is said at each swap (crier_sink_bind);
 * until the first one it has none, and nothing is written. The functions' generation is held until
 * the next swap, the end of the sink, or the end of a call that is under way in it.
 */
#include <glib.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "script/sink_lua.h"
#include "script/sink_module.h"
#include "script/vm_private.h"

#define TELL_EVERY CRIER_S

struct custom {
    struct crier_lua_sink lua;
    struct crier_sink *sink;
    int64_t told;
};

/* --- what the functions tell ------------------------------------------------------------- */

static void answered(struct crier_lua_sink *lua)
{
    struct custom *c = CRIER_CONTAINER(lua, struct custom, lua);
    crier_sink_answer(c->sink, lua->verdict, lua->done, &lua->err);
}

/* The traceback, which the sink's own event has not. */
static void failed(struct crier_lua_sink *lua, const struct crier_lua_functions *f,
                   const char *what, const struct crier_lua_error *error)
{
    struct custom *c = CRIER_CONTAINER(lua, struct custom, lua);
    int64_t now = crier_loop_now(lua->loop);
    if (!f->gen || !f->gen->host || now < c->told)
        return;
    c->told = now + TELL_EVERY;
    crier_host_sink_error(f->gen->host, c->sink, what, error);
}

static void touched(const struct crier_lua_functions *f)
{
    crier_host_touched(f->gen);
}

/* --- the driver -------------------------------------------------------------------------- */

static int custom_open(const struct crier_sink_env *env, const struct crier_options *options,
                       const char *name, void **out, struct crier_err *err)
{
    struct custom *c = crier_calloc(1, sizeof *c);
    (void)env, (void)name;
    if (!crier_options_get(options, "write")->set) {
        free(c);
        return crier_err_set(err, CRIER_ECONFIG, "functions are given by a script only");
    }
    c->lua.timeout = crier_options_get(options, "timeout")->i;
    c->lua.timers = true;
    c->lua.answered = answered;
    c->lua.failed = failed;
    c->lua.touched = touched;
    *out = c;
    return CRIER_OK;
}

static void custom_attach(void *self, struct crier_sink *sink, struct crier_loop *loop)
{
    struct custom *c = self;
    c->sink = sink;
    c->lua.loop = loop;
    c->told = crier_loop_now(loop);
}

static enum crier_verdict custom_write(void *self, struct crier_record *const *records,
                                       size_t count, size_t *done, struct crier_err *err)
{
    struct custom *c = self;
    if (!crier_lua_sink_write(&c->lua, records, count))
        return CRIER_PENDING;
    *done = c->lua.done;
    *err = c->lua.err;
    return c->lua.verdict;
}

static int64_t custom_idle(void *self, int64_t now)
{
    return crier_lua_sink_idle(&((struct custom *)self)->lua, now);
}

static void custom_interrupt(void *self)
{
    crier_lua_sink_cancel(&((struct custom *)self)->lua, "the host stops");
}

static void custom_close(void *self)
{
    struct custom *c = self;
    crier_lua_sink_fini(&c->lua);
    free(c);
}

/* Registered when the first script is loaded: see crier_sink_add_kinds. */
const struct crier_sink_driver crier_sink_custom = {
    .kind = "custom",
    .help = "functions in Lua: write = function(self, records) ... end, or a module of its own",
    .options = crier_lua_sink_options,
    .option_count = 8,
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = custom_open,
    .attach = custom_attach,
    .write = custom_write,
    .idle = custom_idle,
    .interrupt = custom_interrupt,
    .close = custom_close,
    .on_loop = true,
    .script = true,
    .cannot_read = "what a custom sink has stored is its own",
};

void crier_sink_add_kinds(void)
{
    static GMutex lock;
    g_mutex_lock(&lock);
    if (!crier_sink_driver_find("custom") && crier_sink_driver_add(&crier_sink_custom, NULL) != 0)
        abort();
    g_mutex_unlock(&lock);
}

/* --- declaring --------------------------------------------------------------------------- */

static bool given(const struct crier_declared_sink *s, const char *option)
{
    return crier_options_get(&s->options, option)->set;
}

static void read_functions(struct crier_decl *d, struct crier_declared_sink *s)
{
    static const char *const only_module[] = {"options", "memory"};
    for (size_t i = 0; i < CRIER_COUNT(only_module); i++) {
        if (given(s, only_module[i]))
            crier_decl_problem(d, CRIER_ERROR, only_module[i], "module = \"sinks.webhook\"",
                               "option '%s' is for a module", only_module[i]);
    }
    if (!given(s, "write") && crier_decl_field(d, "write") == LUA_TNIL)
        crier_decl_problem(d, CRIER_ERROR, NULL,
                           "write = function(self, records) ... return true end",
                           "option 'write' is missing, or 'module'");
    lua_pushvalue(d->L, d->table);
    s->functions = luaL_ref(d->L, LUA_REGISTRYINDEX);
}

void crier_sink_read_custom(struct crier_decl *d, struct crier_declared_sink *s)
{
    static const char *const functions[] = {"write", "open", "idle", "close"};
    if (!given(s, "module")) {
        read_functions(d, s);
        return;
    }
    s->driver = &crier_sink_module;
    for (size_t i = 0; i < CRIER_COUNT(functions); i++) {
        if (given(s, functions[i]))
            crier_decl_problem(d, CRIER_ERROR, functions[i], "keep one of the two",
                               "option '%s' is given beside 'module'", functions[i]);
    }
}

void crier_sink_bind(struct crier_declared_sink *s, struct crier_generation *gen)
{
    if (s->driver == &crier_sink_module)
        crier_module_bind(crier_sink_self(s->sink), gen->host);
    if (s->driver != &crier_sink_custom)
        return;
    struct custom *c = crier_sink_self(s->sink);
    c->lua.loop = crier_host_loop(gen->host);
    crier_lua_sink_bind(&c->lua,
                        crier_lua_functions_new(gen->vm, gen, s->name, s->functions, NULL));
    s->functions = 0;
}
