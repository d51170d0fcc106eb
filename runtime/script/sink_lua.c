/* SPDX-License-Identifier: MIT */
#include "script/sink_lua.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "host/host.h"
#include "script/luajson.h"

/* CPU time of one call where no generation says how much. */
#define MODULE_BUDGET (5 * CRIER_S)

/* A call under way. It outlives the sink's interest in it. */
struct crier_lua_flight {
    struct crier_lua_sink *s; /* NULL: given up */
    struct crier_lua_functions *functions;
    struct crier_call *call;
    struct crier_timer timer;
    enum crier_lua_step step;
    const char *why; /* it was cancelled */
    char what[96];
};

static const char *const step_names[] = {"open", "write", "idle"};

const struct crier_option crier_lua_sink_options[] = {
    {.name = "write",
     .type = CRIER_OPT_FUNCTION,
     .type_name =
         "fun(self: crier.CustomSink, records: crier.Record[]): boolean?, string?, integer?",
     .help = "stores the records: return true; or nil, message: keep them and try again"},
    {.name = "open",
     .type = CRIER_OPT_FUNCTION,
     .type_name = "fun(self: crier.CustomSink)",
     .help = "called once before the first write"},
    {.name = "idle",
     .type = CRIER_OPT_FUNCTION,
     .type_name = "fun(self: crier.CustomSink): number?",
     .help = "called when all is written; returns after how many seconds to call it again"},
    {.name = "close",
     .type = CRIER_OPT_FUNCTION,
     .type_name = "fun(self: crier.CustomSink)",
     .help = "called at the end; cannot wait"},
    {.name = "module",
     .type = CRIER_OPT_STRING,
     .help =
         "in place of functions: module = \"sinks.webhook\", found as require does; it runs in a "
         "Lua state and thread of its own"},
    {.name = "options",
     .type = CRIER_OPT_OBJECT,
     .help = "what the module's open gets: plain data"},
    {.name = "timeout",
     .type = CRIER_OPT_DURATION,
     .def = "30s",
     .min = 1000,
     .max = 86400000000,
     .help = "longest time of a call; then it is cancelled, and the write tried again"},
    {.name = "memory",
     .type = CRIER_OPT_SIZE,
     .def = "256MiB",
     .min = 1 << 20,
     .help = "of the module's Lua state"},
};
const size_t crier_lua_sink_option_count = CRIER_COUNT(crier_lua_sink_options);

/* --- functions --------------------------------------------------------------------------- */

struct crier_lua_functions *crier_lua_functions_new(struct crier_vm *vm,
                                                    struct crier_generation *gen, const char *name,
                                                    int table, const char *options)
{
    struct crier_lua_functions *f = crier_calloc(1, sizeof *f);
    f->refs = 1;
    f->vm = vm;
    f->gen = gen ? crier_generation_ref(gen) : NULL;
    f->name = crier_strdup(name);
    f->table = table;
    f->self = options ? LUA_NOREF : table;
    f->options = options;
    return f;
}

static int64_t budget_of(const struct crier_lua_functions *f)
{
    return f->gen ? f->gen->config.limits.callback : MODULE_BUDGET;
}

static bool has_function(const struct crier_lua_functions *f, const char *name)
{
    lua_State *L = f->vm->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->table);
    lua_pushstring(L, name);
    bool has = lua_rawget(L, -2) == LUA_TFUNCTION;
    lua_pop(L, 2);
    return has;
}

static int l_close(lua_State *L)
{
    const struct crier_lua_functions *f = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->table);
    lua_getfield(L, -1, "close");
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->self);
    lua_call(L, 1, 0);
    return 0;
}

static void call_close(struct crier_lua_functions *f)
{
    struct crier_lua_error error = {0};
    char what[96];
    snprintf(what, sizeof what, "sink '%.60s': close", f->name);
    lua_pushcfunction(f->vm->L, l_close);
    lua_pushlightuserdata(f->vm->L, f);
    crier_call_enter_sink(true);
    int rc = crier_call_now(f->vm, 1, 0, what, budget_of(f), &error);
    crier_call_enter_sink(false);
    if (rc != 0) {
        if (f->gen && f->gen->host)
            crier_host_callback_error(f->gen->host, what, &error);
        else
            fprintf(stderr, "crier: %s: %s\n", what, error.message);
    }
    crier_lua_error_fini(&error);
}

void crier_lua_functions_unref(struct crier_lua_functions *f)
{
    if (!f || --f->refs > 0)
        return;
    if (f->opened && has_function(f, "close"))
        call_close(f);
    if (f->self != f->table)
        luaL_unref(f->vm->L, LUA_REGISTRYINDEX, f->self);
    luaL_unref(f->vm->L, LUA_REGISTRYINDEX, f->table);
    crier_generation_unref(f->gen);
    free(f->name);
    free(f);
}

/* --- one call ---------------------------------------------------------------------------- */

struct args {
    struct crier_lua_functions *functions;
    enum crier_lua_step step;
    struct crier_record *const *records;
    size_t count;
};

static int returned(lua_State *L, int status, lua_KContext base)
{
    (void)status;
    return lua_gettop(L) - (int)base;
}

static void set_text(lua_State *L, int table, const char *key, const char *value)
{
    if (lua_type(L, table) != LUA_TTABLE)
        return;
    lua_pushstring(L, key);
    lua_pushstring(L, value);
    lua_rawset(L, table);
}

static void push_open_argument(lua_State *L, const struct crier_lua_functions *f)
{
    struct crier_err err = {0};
    if (!f->options) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, f->self);
        set_text(L, lua_gettop(L), "name", f->name);
    } else if (crier_lua_from_json(L, f->options, strlen(f->options), &err) != 0) {
        luaL_error(L, "options: %s", err.text);
    }
}

/* In the call's coroutine, so that whatever raises is the call's error. */
static int l_step(lua_State *L)
{
    struct args a = *(struct args *)lua_touserdata(L, 1);
    const struct crier_lua_functions *f = a.functions;
    int nargs = 1;
    lua_settop(L, 0);
    luaL_checkstack(L, 8, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->table);
    lua_pushstring(L, step_names[a.step]);
    if (lua_rawget(L, 1) != LUA_TFUNCTION)
        return luaL_error(L, "there is no function '%s'", step_names[a.step]);
    if (a.step == CRIER_LUA_OPEN) {
        push_open_argument(L, f);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, f->self);
    }
    if (a.step == CRIER_LUA_WRITE) {
        char id[27];
        crier_record_id(a.records[0], id);
        set_text(L, 3, "name", f->name);
        set_text(L, 3, "batch_id", id);
        crier_push_records(L, a.records, a.count);
        nargs = 2;
    }
    lua_callk(L, nargs, LUA_MULTRET, 1, returned);
    return returned(L, LUA_OK, 1);
}

static void start(struct crier_lua_sink *s, enum crier_lua_step step);

/* The batch has its answer. */
static void answer(struct crier_lua_sink *s)
{
    s->count = 0;
    s->idle_at = 0;
    if (!s->starting)
        s->answered(s);
}

static const char *text_of(lua_State *L, int idx, char *buf, size_t cap)
{
    if (lua_type(L, idx) == LUA_TSTRING)
        return lua_tostring(L, idx);
    return crier_lua_describe(L, idx, buf, cap);
}

/* What write has returned: `results` values on top of L. */
static void read_verdict(struct crier_lua_sink *s, lua_State *L, int results)
{
    int first = lua_gettop(L) - results + 1;
    int type = results > 0 ? lua_type(L, first) : LUA_TNONE;
    char got[100];
    s->verdict = CRIER_RETRY_LATER;
    s->done = 0;
    if (type == LUA_TBOOLEAN && lua_toboolean(L, first)) {
        s->verdict = CRIER_WRITTEN;
        return;
    }
    if (type == LUA_TBOOLEAN)
        s->verdict = CRIER_REJECTED;
    if ((type != LUA_TBOOLEAN && type != LUA_TNIL) || results < 2 || lua_isnil(L, first + 1)) {
        crier_lua_describe(L, first, got, sizeof got);
        crier_err_set(&s->err, CRIER_EINVAL,
                      "write returned %s: it must return true, or nil and a message",
                      results == 0                   ? "nothing"
                      : type == LUA_TNIL             ? "nil without a message"
                      : s->verdict == CRIER_REJECTED ? "false without a message"
                                                     : got);
        s->verdict = CRIER_RETRY_LATER;
        return;
    }
    crier_err_set(&s->err, s->verdict == CRIER_REJECTED ? CRIER_EINVAL : CRIER_EIO, "%s",
                  text_of(L, first + 1, got, sizeof got));
    if (results < 3 || lua_isnil(L, first + 2))
        return;
    lua_Integer n = lua_isinteger(L, first + 2) ? lua_tointeger(L, first + 2) : -1;
    if (n >= 0 && (size_t)n <= s->count - (s->verdict == CRIER_REJECTED)) {
        s->done = (size_t)n;
        return;
    }
    crier_err_set(&s->err, CRIER_EINVAL,
                  "write returned %s as the number of records stored, of %zu",
                  crier_lua_describe(L, first + 2, got, sizeof got), s->count);
    s->verdict = CRIER_RETRY_LATER;
}

/* What a module's open has made is the self of the others. `nil, message` is a failure. */
static bool read_opened(struct crier_lua_sink *s, struct crier_lua_functions *f, lua_State *L,
                        int results)
{
    int first = lua_gettop(L) - results + 1;
    char got[100];
    if (results >= 2 && !lua_toboolean(L, first)) {
        crier_err_set(&s->err, CRIER_EIO, "open: %s", text_of(L, first + 1, got, sizeof got));
        return false;
    }
    if (f->self == LUA_NOREF && results > 0 && !lua_istable(L, first)) {
        crier_err_set(&s->err, CRIER_EINVAL,
                      "open returned %s: it must return a table, the self of "
                      "write",
                      crier_lua_describe(L, first, got, sizeof got));
        return false;
    }
    if (f->self == LUA_NOREF && results > 0) {
        lua_pushvalue(L, first);
        f->self = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    return true;
}

/* A self that no open makes is the table of the functions. */
static void opened(struct crier_lua_functions *f)
{
    f->opened = true;
    if (f->self == LUA_NOREF)
        f->self = f->table;
}

static void on_idle_timer(struct crier_timer *timer)
{
    struct crier_lua_sink *s = CRIER_CONTAINER(timer, struct crier_lua_sink, idle_timer);
    if (!s->flight && !s->count)
        start(s, CRIER_LUA_IDLE);
}

static void idle_ended(struct crier_lua_sink *s, lua_State *L, const struct crier_call_end *end)
{
    double after = -1;
    if (end->rc == 0 && end->results > 0)
        after = lua_tonumber(L, lua_gettop(L) - end->results + 1);
    s->idle_at = CRIER_NEVER;
    if (!(after > 0) || after > 1e9)
        return;
    s->idle_at = crier_loop_now(s->loop) + (int64_t)(after * CRIER_S);
    if (s->timers) {
        s->idle_timer.fire = on_idle_timer;
        crier_timer_at(s->loop, &s->idle_timer, s->idle_at);
    }
}

/* Message of a call that has failed, in one line, without what the sink's own words say again. */
static void take_error(struct crier_lua_sink *s, const struct crier_lua_flight *flight,
                       const struct crier_call_end *end)
{
    char limit[48];
    if (flight->why && strcmp(flight->why, "timeout") == 0)
        crier_err_set(&s->err, CRIER_ETIMEOUT, "%s took longer than %s (option 'timeout')",
                      step_names[flight->step], crier_duration_text(s->timeout, limit));
    else if (flight->why)
        crier_err_set(&s->err, CRIER_ECANCELED, "%s was cancelled: %s", step_names[flight->step],
                      flight->why);
    else
        crier_err_set(&s->err, end->rc, "%s",
                      end->error.message ? end->error.message : "it failed");
    for (char *p = s->err.text; *p; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
}

/* The functions may have been rebound meanwhile: what ends here belongs to the flight's. */
static void ended(struct crier_lua_sink *s, struct crier_lua_flight *flight, lua_State *L,
                  const struct crier_call_end *end)
{
    struct crier_lua_functions *f = flight->functions;
    bool ok = end->rc == 0;
    s->err = (struct crier_err){0};
    if (!ok) {
        take_error(s, flight, end);
        s->verdict = CRIER_RETRY_LATER;
        s->done = 0;
        if (end->rc != CRIER_ECANCELED || flight->step == CRIER_LUA_IDLE)
            s->failed(s, f, flight->what, &end->error);
    }
    switch (flight->step) {
    case CRIER_LUA_OPEN:
        s->verdict = CRIER_RETRY_LATER;
        s->done = 0;
        ok = ok && read_opened(s, f, L, end->results);
        if (ok)
            opened(f);
        if (ok)
            start(s, CRIER_LUA_WRITE);
        else
            answer(s);
        break;
    case CRIER_LUA_WRITE:
        if (ok)
            read_verdict(s, L, end->results);
        answer(s);
        break;
    case CRIER_LUA_IDLE:
        idle_ended(s, L, end);
        if (s->count) /* came meanwhile */
            start(s, CRIER_LUA_WRITE);
        break;
    }
}

static void done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct crier_lua_flight *flight = arg;
    struct crier_lua_sink *s = flight->s;
    if (s) {
        crier_timer_stop(s->loop, &flight->timer);
        s->flight = NULL;
        if (s->touched)
            s->touched(flight->functions);
        ended(s, flight, L, end);
    }
    crier_lua_functions_unref(flight->functions);
    free(flight);
}

static void on_timeout(struct crier_timer *timer)
{
    struct crier_lua_flight *flight = CRIER_CONTAINER(timer, struct crier_lua_flight, timer);
    flight->why = "timeout";
    crier_call_cancel(flight->call);
}

static void start(struct crier_lua_sink *s, enum crier_lua_step step)
{
    struct crier_lua_functions *f = s->functions;
    if (step == CRIER_LUA_WRITE && !f->opened) {
        if (has_function(f, "open"))
            step = CRIER_LUA_OPEN;
        else
            opened(f);
    }
    struct crier_lua_flight *flight = crier_calloc(1, sizeof *flight);
    struct args args = {f, step, s->records, s->count};
    flight->s = s;
    flight->step = step;
    flight->functions = f;
    f->refs++;
    snprintf(flight->what, sizeof flight->what, "sink '%.60s': %s", f->name, step_names[step]);
    crier_timer_stop(s->loop, &s->idle_timer);
    s->flight = flight;
    lua_State *L = f->vm->L;
    lua_pushcfunction(L, l_step);
    lua_pushlightuserdata(L, &args);
    struct crier_call *call = crier_call_start(f->vm, 1, flight->what, budget_of(f),
                                               (void *)&crier_call_of_sink, done, flight);
    if (!call)
        return; /* it has ended, and the flight with it */
    flight->call = call;
    flight->timer.fire = on_timeout;
    crier_timer_in(s->loop, &flight->timer, s->timeout);
}

/* --- for the drivers --------------------------------------------------------------------- */

void crier_lua_sink_bind(struct crier_lua_sink *s, struct crier_lua_functions *functions)
{
    struct crier_lua_functions *old = s->functions;
    s->functions = functions;
    s->idle_at = CRIER_NEVER;
    crier_timer_stop(s->loop, &s->idle_timer);
    crier_lua_functions_unref(old);
}

bool crier_lua_sink_write(struct crier_lua_sink *s, struct crier_record *const *records,
                          size_t count)
{
    s->records = records;
    s->count = count;
    if (!s->functions) {
        s->verdict = CRIER_RETRY_LATER;
        s->done = s->count = 0;
        crier_err_set(&s->err, CRIER_EINTERNAL, "no function is there to call");
        return true;
    }
    if (s->flight)
        return false; /* idle waits for something */
    s->starting = true;
    start(s, CRIER_LUA_WRITE);
    s->starting = false;
    return s->count == 0;
}

int64_t crier_lua_sink_idle(struct crier_lua_sink *s, int64_t now)
{
    struct crier_lua_functions *f = s->functions;
    if (s->flight || !f || !f->opened || s->idle_at == CRIER_NEVER)
        return CRIER_NEVER;
    if (!has_function(f, "idle")) {
        s->idle_at = CRIER_NEVER;
        return CRIER_NEVER;
    }
    if (now >= s->idle_at)
        start(s, CRIER_LUA_IDLE);
    return s->flight || s->timers ? CRIER_NEVER : s->idle_at;
}

void crier_lua_sink_cancel(struct crier_lua_sink *s, const char *why)
{
    if (!s->flight || !s->flight->call)
        return;
    s->flight->why = why;
    crier_call_cancel(s->flight->call);
}

void crier_lua_sink_fini(struct crier_lua_sink *s)
{
    struct crier_lua_flight *flight = s->flight;
    if (s->loop)
        crier_timer_stop(s->loop, &s->idle_timer);
    if (flight) {
        crier_timer_stop(s->loop, &flight->timer);
        flight->s = NULL;
        s->flight = NULL;
        if (flight->call)
            crier_call_cancel(flight->call);
    }
    crier_lua_functions_unref(s->functions);
    s->functions = NULL;
}
