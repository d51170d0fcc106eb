/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "script/alert.h"
#include "script/event.h"
#include "script/task_private.h"

#define SEQ_RESERVE 1000000
#define CUT_OFF (1 * CRIER_S)

struct crier_loop *crier_host_loop(struct crier_host *host)
{
    return host->loop;
}

struct crier_state *crier_host_state(struct crier_host *host)
{
    return host->state;
}

struct crier_builder *crier_host_builder(struct crier_host *host)
{
    return &host->builder;
}

bool crier_host_log_begin(struct crier_host *host)
{
    bool nested = host->logging;
    host->logging = true;
    return nested;
}

void crier_host_log_end(struct crier_host *host)
{
    host->logging = false;
}

struct crier_builder *crier_host_spare_builder(struct crier_host *host)
{
    return &host->spare;
}

struct crier_alerts *crier_host_alerts(struct crier_host *host)
{
    return host->alerts;
}

void crier_host_look_idle(struct crier_host *host)
{
    crier_loop_post(host->loop, crier_host_check_idle, host);
}

struct crier_poster *crier_host_poster(struct crier_host *host)
{
    return host->poster;
}

struct crier_generation *crier_host_current(struct crier_host *host)
{
    return host->current;
}

struct crier_tasker *crier_host_tasker(struct crier_host *host)
{
    return host->tasker;
}

struct crier_rng *crier_host_rng(struct crier_host *host)
{
    return &host->rng;
}

enum crier_level crier_host_log_level(const struct crier_host *host, const char *logger)
{
    return host->current ? crier_log_level(host->current, logger) : CRIER_DEBUG;
}

bool crier_host_stopping(const struct crier_host *host)
{
    return host->stopping;
}

bool crier_host_sim(const struct crier_host *host, const char *const **allow)
{
    *allow = host->config->sim_allow;
    return host->config->sim || host->config->sim_url;
}

void crier_host_new_id(struct crier_host *host, int64_t now, unsigned char out[16])
{
    crier_ulid_next(&host->source.ids, now, out);
}

/* --- records ----------------------------------------------------------------------------- */

const char *crier_host_node(const struct crier_host *host)
{
    return host->source.node;
}

/* Sequence numbers go on after a restart: a range is reserved ahead, so that a crash only leaves
 * a gap. */
static void reserve_seq(struct crier_host *host)
{
    char text[32];
    if (host->source.seq + SEQ_RESERVE / 10 < host->seq_reserved)
        return;
    host->seq_reserved = host->source.seq + SEQ_RESERVE;
    snprintf(text, sizeof text, "%llu", (unsigned long long)host->seq_reserved);
    crier_state_put(host->state, "host", "seq", text, NULL, NULL);
}

void crier_host_observe(struct crier_host *host, struct crier_record *record)
{
    const struct crier_host_virtual *v = host->config->virt;
    if (v && v->on_record)
        v->on_record(v->arg, record);
}

void crier_host_seq_from(struct crier_host *host, uint64_t seq)
{
    if (host->source.seq < seq)
        host->source.seq = seq;
    reserve_seq(host);
}

struct crier_sink *crier_host_emit(struct crier_host *host, struct crier_record *record)
{
    struct crier_sink *full = NULL;
    crier_host_observe(host, record);
    if (host->current) {
        crier_router_spare(host->current->router, host->about,
                           host->from_sink || crier_call_in_sink());
        full = crier_router_send(host->current->router, record);
    }
    crier_record_unref(record);
    if (host->state)
        reserve_seq(host);
    return full;
}

void crier_host_emit_log(struct crier_host *host, const struct crier_record *log)
{
    struct crier_str logger = crier_record_logger(log), text = crier_record_text(log),
                     where = crier_record_where(log);
    struct crier_iter it = crier_record_fields(log);
    struct crier_builder *b = &host->builder;
    struct crier_value v;
    crier_build_begin(b, CRIER_KIND_LOG, crier_record_level(log), crier_record_time(log));
    crier_build_logger(b, logger.data, logger.len);
    crier_build_text(b, text.data, text.len);
    crier_build_where(b, where.data, where.len);
    while (crier_next(&it, &v))
        crier_build_value(b, v.key.data, v.key.len, &v);
    crier_host_emit(host, crier_build_end(b));
}

void crier_host_emit_sinks(struct crier_host *host, const struct crier_record *log)
{
    host->from_sink = true;
    crier_host_emit_log(host, log);
    host->from_sink = false;
}

void crier_host_sink_error(struct crier_host *host, const struct crier_sink *sink, const char *what,
                           const struct crier_lua_error *error)
{
    host->about = sink;
    crier_host_callback_error(host, what, error);
    host->about = NULL;
}

static void system_record(struct crier_host *host, enum crier_level level, const char *what,
                          const char *text, const char *trace)
{
    struct crier_builder *b = &host->builder;
    crier_build_begin(b, CRIER_KIND_SYSTEM, level, crier_clock_wall(host->clock));
    crier_build_logger(b, "system", 6);
    crier_build_text(b, text, strlen(text));
    CRIER_B_STR(b, "what", what);
    if (trace && *trace)
        CRIER_B_STR(b, "exc_text", trace);
    crier_host_emit(host, crier_build_end(b));
}

void crier_host_system(struct crier_host *host, enum crier_level level, const char *what,
                       const char *fmt, ...)
{
    struct crier_buf b = {0};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    system_record(host, level, what, text, NULL);
    crier_buf_fini(&b);
}

void crier_host_callback_error(struct crier_host *host, const char *what,
                               const struct crier_lua_error *error)
{
    const char *message = error->message ? error->message : "?";
    char *text = strstr(message, what) ? crier_strdup(message) /* it names the callback itself */
                                       : crier_asprintf("%s failed: %s", what, message);
    system_record(host, CRIER_LEVEL_ERROR, "callback.error", text, error->traceback);
    free(text);
}

void crier_host_router_note(void *arg, const struct crier_router_note *note)
{
    struct crier_host *host = arg;
    char per[48];
    switch (note->what) {
    case CRIER_NOTE_RULE:
        crier_host_system(host, CRIER_LEVEL_ERROR, "route.error",
                          "the route at %s failed, its records take the default route: %s",
                          note->where, note->text);
        break;
    case CRIER_NOTE_TRANSFORM:
        crier_host_system(host, CRIER_LEVEL_ERROR, "transform.error",
                          "the transform at %s failed, its records go on as they were: %s",
                          note->where, note->text);
        break;
    case CRIER_NOTE_RATE:
        crier_host_system(host, CRIER_LEVEL_WARNING, "route.rate",
                          "the route at %s left out %llu record%s above %llu in %s", note->where,
                          (unsigned long long)note->left_out, note->left_out == 1 ? "" : "s",
                          (unsigned long long)note->rate, crier_duration_text(note->per, per));
        break;
    }
}

void crier_host_router_due(void *arg, int64_t within)
{
    struct crier_generation *gen = arg;
    struct crier_loop *loop = gen->host->loop;
    if (!crier_timer_armed(&gen->route_timer) ||
        gen->route_timer.due > crier_loop_now(loop) + within)
        crier_timer_in(loop, &gen->route_timer, within);
}

void crier_host_route_timer(struct crier_timer *timer)
{
    struct crier_generation *gen = CRIER_CONTAINER(timer, struct crier_generation, route_timer);
    int64_t within = crier_router_tell(gen->router, crier_clock_wall(gen->host->clock), false);
    if (within != CRIER_NEVER)
        crier_timer_in(gen->host->loop, timer, within);
}

void crier_host_stall(struct crier_vm *vm, const char *what, int64_t us)
{
    struct crier_generation *gen = vm->owner;
    char text[48];
    if (gen->host)
        crier_host_system(gen->host, CRIER_LEVEL_WARNING, "stall", "%s held up the loop for %s",
                          what, crier_duration_text(us, text));
}

/* --- hooks ------------------------------------------------------------------------------- */

struct hook_call {
    struct crier_generation *gen;
    char *what;
};

struct hook_args {
    int fn;
    void (*push)(lua_State *L, void *arg);
    void *arg;
};

static int hook_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)L;
    (void)status;
    (void)ctx;
    return 0;
}

/* Runs inside the call's coroutine, so that whatever raises here is the call's error. */
static int l_hook(lua_State *L)
{
    struct hook_args *a = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->fn);
    if (a->push)
        a->push(L, a->arg);
    else
        lua_newtable(L);
    lua_callk(L, 1, 0, 0, hook_returned);
    return 0;
}

static void hook_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct hook_call *call = arg;
    struct crier_host *host = call->gen->host;
    crier_host_touched(call->gen);
    if (end->rc != 0 && end->rc != CRIER_ECANCELED)
        crier_host_callback_error(host, call->what, &end->error);
    crier_generation_unref(call->gen);
    free(call->what);
    free(call);
    if (host->stopping)
        crier_loop_post(host->loop, crier_host_check_idle, host);
}

bool crier_host_has_hook(const struct crier_host *host, const char *event)
{
    const struct crier_generation *gen = host->current;
    for (guint i = 0; gen && i < gen->hooks->len; i++) {
        if (strcmp(((const struct crier_hook *)gen->hooks->pdata[i])->event, event) == 0)
            return true;
    }
    return false;
}

void crier_host_hook(struct crier_host *host, const char *event,
                     void (*push)(lua_State *L, void *arg), void *arg)
{
    crier_host_hook_of(host, event, push, arg, NULL);
}

void crier_host_hook_of(struct crier_host *host, const char *event,
                        void (*push)(lua_State *L, void *arg), void *arg, void *user)
{
    struct crier_generation *gen = host->current;
    if (!gen)
        return;
    for (guint i = 0; i < gen->hooks->len; i++) {
        const struct crier_hook *hook = gen->hooks->pdata[i];
        if (strcmp(hook->event, event) != 0)
            continue;
        struct hook_args args = {.fn = hook->fn, .push = push, .arg = arg};
        struct hook_call *call = crier_calloc(1, sizeof *call);
        call->gen = crier_generation_ref(gen);
        call->what = crier_asprintf("crier.on(\"%s\") at %s", event, hook->where);
        lua_pushcfunction(gen->vm->L, l_hook);
        lua_pushlightuserdata(gen->vm->L, &args);
        crier_call_start(gen->vm, 1, call->what, gen->config.limits.callback, user, hook_done,
                         call);
    }
}

/* --- crier.state ------------------------------------------------------------------------- */

void crier_host_state_timer(struct crier_timer *timer)
{
    struct crier_generation *gen = CRIER_CONTAINER(timer, struct crier_generation, state_timer);
    int64_t began = crier_loop_now(gen->host->loop);
    crier_state_tables_save(gen);
    gen->state_cost = crier_loop_now(gen->host->loop) - began;
}

/* At the end of the loop's turn, once for all callbacks of it; tables that take long to compare are
 * compared less often, at most a twentieth of the time. */
void crier_host_touched(struct crier_generation *gen)
{
    if (gen->host)
        gen->host->logging = false; /* a log call may have ended by an error */
    if (gen->host && gen->host->stopping)
        crier_loop_post(gen->host->loop, crier_host_check_idle, gen->host);
    if (!gen->states->len || !gen->host || crier_timer_armed(&gen->state_timer))
        return;
    int64_t wait = gen->state_cost > CRIER_MS ? gen->state_cost * 20 : 0;
    crier_timer_in(gen->host->loop, &gen->state_timer, wait);
}

/* --- stopping ---------------------------------------------------------------------------- */

static void finish_stop(struct crier_host *host)
{
    /* A build cannot be interrupted, only waited for: the load limit bounds it. */
    if (host->stopped || host->job)
        return;
    host->stopped = true;
    crier_loop_stop(host->loop);
}

static bool calls_alive(struct crier_host *host)
{
    if (host->current && host->current->vm->calls)
        return true;
    for (guint i = 0; i < host->draining->len; i++) {
        if (((struct crier_generation *)host->draining->pdata[i])->vm->calls)
            return true;
    }
    return false;
}

void crier_host_check_idle(void *arg)
{
    struct crier_host *host = arg;
    if (host->stopping &&
        (host->over || (crier_poster_pending(host->poster) == 0 &&
                        crier_tasker_pending(host->tasker) == 0 && crier_alerts_pending(host->alerts) == 0 &&
                        !calls_alive(host))))
        finish_stop(host);
}

static void on_idle(void *arg)
{
    struct crier_host *host = arg;
    if (host->stopping)
        crier_loop_post(host->loop, crier_host_check_idle, host);
}

static void on_stop_over(struct crier_timer *timer)
{
    struct crier_host *host = CRIER_CONTAINER(timer, struct crier_host, stop_timer);
    if (host->cut_off) {
        host->over = true;
        finish_stop(host);
        return;
    }
    /* Cut off what is under way; that ends within moments, and is waited for. */
    host->cut_off = true;
    crier_poster_cancel(host->poster, NULL);
    crier_tasker_cancel(host->tasker, NULL, "shutdown");
    crier_alerts_cancel(host->alerts);
    crier_vm_cancel_all(host->current->vm);
    for (guint i = 0; i < host->draining->len; i++)
        crier_vm_cancel_all(((struct crier_generation *)host->draining->pdata[i])->vm);
    crier_timer_in(host->loop, &host->stop_timer, CUT_OFF);
    crier_loop_post(host->loop, crier_host_check_idle, host);
}

void crier_host_stop(struct crier_host *host, int code)
{
    if (host->stopping)
        return;
    host->code = code;
    crier_timer_stop(host->loop, &host->for_timer);
    crier_host_system(host, CRIER_INFO, "stop", "stopping");
    crier_host_hook(host, "stop", NULL, NULL);
    host->stopping = true;
    host->stop_by =
        crier_loop_now(host->loop) + (host->current ? host->current->config.limits.stop : 0);
    crier_poster_drop_waiting(host->poster);
    crier_tasker_stop(host->tasker);
    host->stop_timer.fire = on_stop_over;
    crier_timer_in(host->loop, &host->stop_timer,
                   host->current ? host->current->config.limits.stop : 0);
    crier_loop_post(host->loop, crier_host_check_idle, host);
}

static void on_for_over(struct crier_timer *timer)
{
    crier_host_stop(CRIER_CONTAINER(timer, struct crier_host, for_timer), 0);
}

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static void on_signal(uv_signal_t *handle, int number)
{
    struct crier_host *host = handle->data;
    if ((number == SIGTERM || number == SIGINT) && host->ending_all) {
        host->over = true; /* asked twice: at once */
        crier_loop_stop(host->loop);
    } else if ((number == SIGTERM || number == SIGINT) && host->stopping) {
        host->stop_by = crier_loop_now(host->loop);
        on_stop_over(&host->stop_timer);
    } else if (number == SIGTERM || number == SIGINT) {
        crier_host_stop(host, 0);
    } else if (number == SIGHUP) {
        crier_host_reload(host);
    } else if (number == SIGUSR1) {
        for (guint i = 0; i < host->current->sinks->len; i++)
            crier_sink_reopen(((struct crier_declared_sink *)host->current->sinks->pdata[i])->sink);
    }
}

static void watch_signals(struct crier_host *host)
{
    if (!crier_loop_uv(host->loop))
        return;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk, not the end */
    if (host->config->embed && !host->config->embed->signals)
        return;
    for (int i = 0; i < (int)CRIER_COUNT(signal_numbers); i++) {
        uv_signal_init(crier_loop_uv(host->loop), &host->signals[i]);
        host->signals[i].data = host;
        uv_signal_start(&host->signals[i], on_signal, signal_numbers[i]);
        host->signal_count++;
    }
}

/* --- starting ---------------------------------------------------------------------------- */

static void tell_failed(struct crier_host *host, int code, const char *text)
{
    const struct crier_host_embed *e = host->config->embed;
    if (e)
        e->failed(e->arg, code, text);
}

static int say(struct crier_host *host, const char *where, const struct crier_err *err, int code)
{
    char text[300];
    snprintf(text, sizeof text, "%s%s", where, err->text);
    fprintf(stderr, "crier: %s\n", text);
    tell_failed(host, code, text);
    return code;
}

struct first_state {
    struct crier_state *state;
    char *folder;
};

/* crier.state while the first generation loads: the store is opened to read, if it is there. */
static char *first_state_get(void *arg, const char *folder, const char *key)
{
    struct first_state *first = arg;
    if (!first->folder) {
        struct crier_err err = {0};
        first->folder = crier_strdup(folder);
        if (crier_state_open(folder, true, &first->state, &err) != 0)
            first->state = NULL; /* absent, or the host's own open will say what is wrong */
    }
    return first->state ? crier_strdup(crier_state_get(first->state, "state", key)) : NULL;
}

static struct crier_generation *first_generation(struct crier_host *host)
{
    struct first_state first = {0};
    struct crier_build build = crier_host_build(host);
    build.state_get = first_state_get;
    build.arg = &first;
    struct crier_generation *gen = crier_generation_build(&build);
    if (first.state)
        crier_state_close(first.state);
    free(first.folder);
    return gen;
}

static int start_sim(struct crier_host *host)
{
    const struct crier_host_config *c = host->config;
    struct crier_err err = {0};
    if (c->sim_url) {
        host->sim_api =
            crier_asprintf("%s%s", c->sim_url, strstr(c->sim_url, "/api/") ? "" : "/api/v10");
        return 0;
    }
    if (!c->sim)
        return 0;
    if (c->virt) {
        host->sim = c->virt->sim;
        crier_sim_move(host->sim, host->loop);
        host->inline_transport = crier_sim_transport(host->sim, host->loop);
        host->sim_api = crier_strdup("http://127.0.0.1/api/v10");
        return 0;
    }
    struct crier_sim_config sim = {
        .seed = crier_rng_next(&host->rng), .limits = !c->sim_no_limits, .latency = CRIER_MS};
    host->sim = crier_sim_new(host->loop, &sim);
    if (c->world && crier_sim_load_world(host->sim, c->world, &err) != 0) {
        crier_err_prefix(&err, "world file '%s': ", c->world);
        return say(host, "", &err, EXIT_CONFIG);
    }
    if (c->sim_inline) {
        host->inline_transport = crier_sim_transport(host->sim, host->loop);
        host->sim_api = crier_strdup("http://127.0.0.1/api/v10");
        return 0;
    }
    int port = 0;
    if (crier_sim_server_start(host->sim, host->loop, &port, &host->sim_server, &err) != 0)
        return say(host, "the simulator cannot start: ", &err, EXIT_INTERNAL);
    host->sim_api = crier_asprintf("http://127.0.0.1:%d/api/v10", port);
    return 0;
}

static int open_state(struct crier_host *host, struct crier_generation *gen)
{
    struct crier_err err = {0};
    host->state_folder = crier_generation_state_folder(gen, host->config->state_folder,
                                                       host->config->sim || host->config->sim_url);
    const struct crier_host_virtual *v = host->config->virt;
    int rc = v && v->forgets ? 0 : crier_state_lock(host->state_folder, &host->lock, &err);
    if (rc != 0)
        return say(host, "", &err, rc == CRIER_EBUSY ? EXIT_IN_USE : EXIT_CONFIG);
    rc = v && v->forgets ? crier_state_open_memory(v->state_from, &host->state, &err)
                         : crier_state_open(host->state_folder, false, &host->state, &err);
    if (rc != 0)
        return say(host, "", &err, EXIT_CONFIG);
    crier_state_start(host->state, host->loop);
    const char *seq = crier_state_get(host->state, "host", "seq");
    host->source.seq = seq ? strtoull(seq, NULL, 10) : 0;
    crier_state_put(host->state, "host", "script", gen->path, NULL, NULL);
    return 0;
}

static void start_source(struct crier_host *host, const struct crier_generation *gen)
{
    char name[256] = "localhost";
    if (!crier_clock_is_virtual(host->clock))
        gethostname(name, sizeof name - 1);
    uint64_t seed = crier_rng_next(&host->rng), seq = host->source.seq;
    crier_source_init(&host->source, gen->config.node ? gen->config.node : name,
                      host->config->sim || host->config->sim_url,
                      crier_clock_is_virtual(host->clock) ? &seed : NULL);
    host->source.seq = seq;
    crier_builder_init(&host->builder, &host->source);
    crier_builder_init(&host->spare, &host->source);
}

/* The script is wrong: the first of its errors is what the program gets. */
static int refused(struct crier_host *host, const struct crier_generation *gen)
{
    struct crier_buf first = {0};
    for (size_t i = 0; i < gen->diags.count && !first.len; i++) {
        if (gen->diags.items[i].severity == CRIER_ERROR)
            crier_diag_text(&gen->diags.items[i], &first);
    }
    tell_failed(host, EXIT_CONFIG, first.data ? first.data : "");
    crier_buf_fini(&first);
    return EXIT_CONFIG;
}

static void on_clock_set(void *arg, int64_t jump_us)
{
    struct crier_host *host = arg;
    char text[48];
    crier_host_system(host, CRIER_LEVEL_WARNING, "clock", "the clock was set %s by %s",
                      jump_us < 0 ? "back" : "forward",
                      crier_duration_text(jump_us < 0 ? -jump_us : jump_us, text));
    if (host->current)
        crier_poster_clock_set(host->poster, host->current, jump_us);
    crier_tasker_clock_set(host->tasker, jump_us);
}

static void on_changed(void *arg)
{
    crier_host_reload(arg);
}

static int host_start(struct crier_host *host)
{
    const struct crier_host_config *c = host->config;
    struct crier_err err = {0};
    bool color;
    int code;
    if (access(c->file, R_OK) != 0) {
        crier_err_sys(&err, CRIER_ENOTFOUND, errno, "cannot read '%s'", c->file);
        return say(host, "", &err, EXIT_NO_FILE);
    }
    struct crier_generation *gen = first_generation(host);
    enum crier_diag_format format =
        c->json ? CRIER_DIAG_JSON : crier_diag_format_for(stderr, &color);
    if (c->json)
        color = false;
    if (gen->diags.errors || gen->diags.warnings)
        crier_diags_print(&gen->diags, stderr, format, color);
    code = gen->diags.errors ? refused(host, gen) : 0;
    if (code == 0)
        code = open_state(host, gen);
    if (code == 0)
        code = start_sim(host);
    if (code != 0)
        goto fail;
    start_source(host, gen);
    host->http = c->virt && c->virt->http ? c->virt->http(c->virt->arg, host->loop)
                                          : crier_transport_curl(host->loop);
    host->poster = crier_poster_new(host);
    crier_poster_on_idle(host->poster, on_idle, host);
    crier_poster_load(host->poster);
    host->tasker = crier_tasker_new(host);
    crier_tasker_on_idle(host->tasker, on_idle, host);
    bool forgets = c->virt && c->virt->forgets;
    if (crier_tasker_load(host->tasker, forgets ? c->virt->state_from : host->state_folder, forgets,
                          &err) != 0) {
        code = say(host, "", &err, EXIT_CONFIG);
        goto fail;
    }
    host->alerts = crier_alerts_new(host);

    int errors = gen->diags.errors;
    struct crier_build build = crier_host_build(host);
    crier_generation_open(gen, &build);
    if (gen->diags.errors != errors) {
        crier_diags_print(&gen->diags, stderr, format, color);
        code = refused(host, gen);
        goto fail;
    }
    if (crier_loop_uv(host->loop)) {
        if (crier_control_serve(host->loop, host->state_folder, crier_host_on_request, host,
                                &host->control, &err) != 0) {
            code = say(host, "", &err, EXIT_CONFIG);
            goto fail;
        }
        if (c->watch)
            host->watch = crier_watch_new(host->loop, on_changed, host);
    }
    watch_signals(host);
    crier_loop_on_clock_set(host->loop, on_clock_set, host);
    crier_host_swap(host, gen);
    crier_events_flag_unfinished(host);
    guint messages = gen->messages->len, tasks = gen->tasks->len;
    char *and_tasks = tasks ? crier_asprintf(", %u task%s", tasks, tasks == 1 ? "" : "s") : NULL;
    crier_host_system(host, CRIER_INFO, "start", "started %s (%s), %u message%s%s%s", gen->file,
                      gen->hash, messages, messages == 1 ? "" : "s", and_tasks ? and_tasks : "",
                      host->sim_api ? ", against the simulator" : "");
    free(and_tasks);
    crier_host_hook(host, "start", NULL, NULL);
    if (c->run_for) {
        host->for_timer.fire = on_for_over;
        crier_timer_in(host->loop, &host->for_timer, c->run_for);
    }
    if (c->embed)
        c->embed->started(c->embed->arg, host);
    return 0;
fail:
    crier_generation_unref(gen);
    return code;
}

/* --- sinks' ends ------------------------------------------------------------------------- */

struct ending {
    struct crier_host *host;
    struct crier_sink *sink;
};

static void on_sink_ended(void *arg)
{
    struct ending *e = arg;
    g_ptr_array_remove(e->host->ending, e->sink);
    if (e->host->ending_all && e->host->ending->len <= e->host->left_behind)
        crier_loop_stop(e->host->loop);
    crier_sink_unref(e->sink);
    free(e);
}

void crier_host_end_sink(struct crier_host *host, struct crier_sink *sink, int64_t within)
{
    struct ending *e = crier_malloc(sizeof *e);
    e->host = host;
    e->sink = crier_sink_ref(sink);
    g_ptr_array_add(host->ending, sink);
    crier_sink_end(sink, within, on_sink_ended, e);
}

/* Silence where all is well: written, and nothing lost or left. */
static void print_counts(struct crier_host *host, struct crier_sink *sink)
{
    struct crier_sink_stats st;
    const char *name = crier_sink_name(sink);
    crier_sink_stats(sink, &st);
    uint64_t kept = st.queued + st.spilled;
    if ((!kept && !st.rejected && !st.dropped) || host->config->virt)
        return;
    struct crier_buf b = {0};
    if (host->config->json) {
        crier_buf_printf(&b,
                         "{\"sink\":\"%s\",\"written\":%" PRIu64 ",\"kept\":%" PRIu64
                         ",\"rejected\":%" PRIu64 ",\"dropped\":%" PRIu64 "}",
                         name, st.written, kept, st.rejected, st.dropped);
    } else {
        crier_buf_printf(&b, "crier: sink '%s': %" PRIu64 " written", name, st.written);
        if (kept)
            crier_buf_printf(&b, ", %" PRIu64 " kept in its spool%s%s", kept,
                             st.failing ? ": " : "", st.failing ? st.last_error : "");
        if (st.rejected)
            crier_buf_printf(&b, ", %" PRIu64 " rejected (see %s/sinks/%s.dead.jsonl)", st.rejected,
                             host->state_folder, name);
        if (st.dropped)
            crier_buf_printf(&b, ", %" PRIu64 " dropped", st.dropped);
    }
    fprintf(stderr, "%s\n", b.data);
    crier_buf_fini(&b);
}

/* One that may have something to say at its end: what it rejects, that it works again. */
static bool is_talkative(struct crier_sink *sink, const struct crier_sink_stats *st)
{
    const struct crier_sink_driver *driver = crier_sink_driver_of(sink);
    return st->failing || driver->script || driver->durable;
}

static void end_some(struct crier_host *host, bool talkative)
{
    int64_t within = host->stop_by - crier_loop_now(host->loop);
    if (within < CUT_OFF)
        within = host->over ? 0 : CUT_OFF;
    for (guint i = 0; i < host->current->sinks->len; i++) {
        /* One that is failing gets a last try; what it is owed stays in its spool. */
        struct crier_declared_sink *s = host->current->sinks->pdata[i];
        struct crier_sink_stats st;
        crier_sink_stats(s->sink, &st);
        if (s->ended || (talkative && !is_talkative(s->sink, &st)))
            continue;
        s->ended = true;
        crier_host_end_sink(host, s->sink, st.failing && within > CUT_OFF ? CUT_OFF : within);
    }
    if (host->ending->len > host->left_behind)
        crier_loop_run(host->loop, crier_loop_now(host->loop) + within + CUT_OFF);
    host->left_behind = host->ending->len;
}

/* While the loop goes on; those last that are to write what the others' ends bring about. A driver
 * that does not come back even then is left behind; what it had in hand is in its spool. */
static void end_sinks(struct crier_host *host)
{
    host->ending_all = true;
    end_some(host, true);
    end_some(host, false);
    for (guint i = 0; i < host->ending->len; i++) {
        struct crier_sink *sink = host->ending->pdata[i];
        fprintf(stderr, "crier: sink '%s' does not come back; it is left behind\n",
                crier_sink_name(sink));
        crier_sink_abandon(sink);
    }
    for (guint i = 0; i < host->current->sinks->len; i++)
        print_counts(host, ((struct crier_declared_sink *)host->current->sinks->pdata[i])->sink);
}

/* Everything that is left to say and to write, in order, then everything is freed. */
static void host_end(struct crier_host *host)
{
    crier_watch_free(host->watch);
    crier_timer_stop(host->loop, &host->stop_timer);
    crier_timer_stop(host->loop, &host->for_timer);
    if (host->current) {
        crier_alerts_stop(host->alerts);
        /* Requests that were cut off end now, and are recorded. */
        crier_poster_stop_names(host->poster);
        for (guint i = 0; i < host->bots->len; i++) {
            struct host_bot *bot = host->bots->pdata[i];
            crier_host_gateway_close(bot, false);
            crier_discord_free(bot->client);
            bot->client = NULL;
        }
        crier_vm_cancel_all(host->current->vm);
        crier_poster_retire(host->poster, host->current);
        crier_tasker_kill(host->tasker);
        crier_tasker_retire(host->tasker, host->current);
        crier_state_tables_save(host->current);
        crier_timer_stop(host->loop, &host->current->state_timer);
        crier_timer_stop(host->loop, &host->current->route_timer);
        crier_router_tell(host->current->router, 0, true);
        end_sinks(host);
    }
    for (int i = 0; i < host->signal_count; i++) {
        uv_close((uv_handle_t *)&host->signals[i], NULL);
        /* What is left takes moments; a signal must not cut it off half way. */
        signal(signal_numbers[i], SIG_IGN);
    }
    crier_host_end_followers(host);
    crier_control_stop(host->control);
    for (guint i = 0; i < host->old_bots->len; i++) {
        struct host_bot *bot = host->old_bots->pdata[i];
        crier_discord_free(bot->client);
        bot->client = NULL;
    }
    crier_host_gateways_end(host);
    struct crier_generation *gen = host->current;
    host->current = NULL;
    crier_generation_unref(gen);
    /* Generations are freed by posted work. */
    crier_loop_run(host->loop, crier_loop_now(host->loop));
}

struct crier_host *crier_host_open(const struct crier_host_config *config, int *code)
{
    struct crier_host *host = crier_calloc(1, sizeof *host);
    struct crier_err err = {0};
    host->config = config;
    host->lock = -1;
    host->clock = config->clock ? config->clock : crier_clock_real();
    if (crier_budget_thread(true, &err) != 0) {
        *code = say(host, "", &err, EXIT_INTERNAL);
        free(host);
        return NULL;
    }
    host->loop = crier_loop_new(host->clock);
    host->started_wall = crier_clock_wall(host->clock);
    host->bots = g_ptr_array_new_with_free_func(crier_bot_free);
    host->old_bots = g_ptr_array_new_with_free_func(crier_bot_free);
    host->draining = g_ptr_array_new();
    host->ending = g_ptr_array_new();
    host->down_sinks = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    host->waiting = g_ptr_array_new();
    host->waiting_next = g_ptr_array_new();
    host->followers = g_ptr_array_new();
    if (config->virt)
        crier_rng_seed(&host->rng, config->virt->seed);
    else
        crier_rng_seed_system(&host->rng);
    crier_record_recycle(true);
    *code = host_start(host);
    if (*code == 0)
        return host;
    host->code = *code;
    crier_host_close(host);
    return NULL;
}

int crier_host_close(struct crier_host *host)
{
    struct crier_err err = {0};
    int code = host->code;
    if (host->current && host->config->embed)
        host->config->embed->ending(host->config->embed->arg);
    host->stopping = host->stopped = true; /* what is cut off now is taken up by the next start */
    host_end(host);
    if (host->sim && host->config->transcript && code == 0) {
        struct crier_buf text = {0};
        putchar('\n');
        crier_sim_transcript(host->sim, 8, isatty(1) && !getenv("NO_COLOR"), &text);
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        fflush(stdout);
        crier_buf_fini(&text);
    }
    g_ptr_array_free(host->bots, TRUE);
    g_ptr_array_free(host->old_bots, TRUE);
    if (host->inline_transport)
        host->inline_transport->ops->free(host->inline_transport);
    if (host->http)
        host->http->ops->free(host->http);
    crier_alerts_free(host->alerts);
    host->alerts = NULL;
    if (host->sim_server)
        crier_sim_server_stop(host->sim_server);
    if (host->sim && host->config->virt)
        crier_sim_move(host->sim, host->config->virt->rest);
    else if (host->sim)
        crier_sim_free(host->sim);
    if (host->state) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)host->source.seq);
        crier_state_put(host->state, "host", "seq", text, NULL, NULL);
        struct crier_state *state = host->state;
        host->state = NULL;
        crier_state_close(state);
    }
    if (host->ending->len > 0 || crier_task_worker_threads() > 0) {
        /* A driver or a task that hangs may yet come back to what would be freed here. */
        fflush(NULL);
        _exit(code);
    }
    crier_loop_free(host->loop);
    crier_poster_free(host->poster);
    crier_tasker_free(host->tasker);
    if (host->source.node) {
        crier_builder_fini(&host->builder);
        crier_builder_fini(&host->spare);
        crier_source_fini(&host->source);
    }
    crier_state_unlock(host->lock);
    crier_record_recycle(false);
    if (crier_budget_thread(false, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
    g_ptr_array_free(host->draining, TRUE);
    g_ptr_array_free(host->ending, TRUE);
    g_hash_table_destroy(host->down_sinks);
    g_ptr_array_free(host->waiting, TRUE);
    g_ptr_array_free(host->waiting_next, TRUE);
    g_ptr_array_free(host->followers, TRUE);
    free(host->state_folder);
    free(host->sim_api);
    free(host->last_error);
    free(host);
    return code;
}

int crier_host_run(const struct crier_host_config *config)
{
    int code;
    struct crier_host *host = crier_host_open(config, &code);
    if (!host)
        return code;
    crier_loop_run(host->loop, CRIER_NEVER);
    return crier_host_close(host);
}
