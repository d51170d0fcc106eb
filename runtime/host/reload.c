/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "script/alert.h"

/* For the answer to a batch that a replaced sink has under way. */
#define HAND_OVER (5 * CRIER_S)

static bool allow_host(void *owner, const char *name, char *why, size_t cap)
{
    struct crier_generation *gen = owner;
    struct crier_sink_env env = {.sim = true, .sim_allow = gen->host->config->sim_allow};
    struct crier_err err = {0};
    if (crier_sink_may_reach(&env, name, &err) == 0)
        return true;
    snprintf(why, cap, "%s", err.text);
    crier_host_system(gen->host, CRIER_LEVEL_WARNING, "sim.refused", "crier.http to %s was %s",
                      name, why);
    return false;
}

static void on_generation_free(struct crier_generation *gen)
{
    struct crier_host *host = gen->host;
    crier_timer_stop(host->loop, &gen->drain_timer);
    if (crier_timer_armed(&gen->state_timer)) {
        crier_timer_stop(host->loop, &gen->state_timer);
        if (host->state)
            crier_state_tables_save(gen);
    }
    g_ptr_array_remove(host->draining, gen);
}

static void terminate(struct crier_host *host, struct crier_generation *gen)
{
    crier_generation_ref(gen);
    crier_poster_cancel(host->poster, gen);
    crier_tasker_cancel(host->tasker, gen, "reload: limits.drain is over");
    crier_vm_cancel_all(gen->vm);
    crier_generation_unref(gen);
}

static void on_drain_over(struct crier_timer *timer)
{
    struct crier_generation *gen = CRIER_CONTAINER(timer, struct crier_generation, drain_timer);
    crier_host_system(gen->host, CRIER_LEVEL_WARNING, "reload.drain",
                      "what generation %u had under way was terminated: limits.drain is over",
                      gen->number);
    terminate(gen->host, gen);
}

static void retire(struct crier_host *host, struct crier_generation *gen)
{
    gen->retired = true;
    crier_poster_retire(host->poster, gen);
    crier_tasker_retire(host->tasker, gen);
    gen->drain_timer.fire = on_drain_over;
    if (gen->config.limits.drain)
        crier_timer_in(host->loop, &gen->drain_timer, gen->config.limits.drain);
    g_ptr_array_add(host->draining, gen);
    crier_generation_unref(gen); /* what is under way in it holds the rest */
    for (guint i = 0; i + 2 < host->draining->len; i++)
        terminate(host, host->draining->pdata[i]);
}

void crier_push_texts(lua_State *L, void *arg)
{
    const char *const *texts = arg;
    lua_newtable(L);
    for (size_t i = 0; texts[i]; i += 2) {
        lua_pushstring(L, texts[i + 1]);
        lua_setfield(L, -2, texts[i]);
    }
}

static void on_sink_event(void *arg, struct crier_sink *sink, const char *what, const char *text)
{
    struct crier_host *host = arg;
    const char *name = crier_sink_name(sink);
    char *own = crier_asprintf("sink '%s': ", name);
    bool bad = strcmp(what, "ok") != 0;
    while (text && strncmp(text, own, strlen(own)) == 0)
        text += strlen(own); /* named already */
    free(own);
    /* A function that fails and works in turns would have something new to fail at each time. */
    host->about = crier_sink_driver_of(sink)->script ? sink : NULL;
    crier_host_system(host,
                      strcmp(what, "full") == 0 ? CRIER_CRITICAL
                      : bad                     ? CRIER_LEVEL_ERROR
                                                : CRIER_INFO,
                      "sink", "sink '%s': %s%s%s", name, what, text && *text ? ": " : "",
                      text ? text : "");
    host->about = NULL;
    const char *texts[] = {"sink", name, "text", text ? text : "", NULL};
    if (strcmp(what, "down") == 0 || !bad)
        crier_alerts_sink(host->alerts, name, bad, text);
    if (strcmp(what, "down") == 0 && g_hash_table_add(host->down_sinks, crier_strdup(name)))
        crier_host_hook(host, "sink.down", crier_push_texts, texts);
    else if (!bad && g_hash_table_remove(host->down_sinks, name))
        crier_host_hook(host, "sink.up", crier_push_texts, texts);
}

static void emit_load_logs(struct crier_host *host, struct crier_generation *gen)
{
    for (guint i = 0; i < gen->logs->len; i++)
        crier_host_emit_log(host, gen->logs->pdata[i]);
    g_ptr_array_set_size(gen->logs, 0);
}

static bool has_sink(const struct crier_generation *gen, const struct crier_sink *sink)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        if (((struct crier_declared_sink *)gen->sinks->pdata[i])->sink == sink)
            return true;
    }
    return false;
}

/* No record goes to a sink any more that the new generation has changed or removed, though the old
 * one may take minutes to end. A successor goes on with the queue, and starts when the one before
 * it has ended, since both may write to the same files; nobody waits for that. */
static void replace_sinks(struct crier_host *host, const struct crier_generation *old,
                          const struct crier_generation *gen)
{
    for (guint i = 0; i < old->sinks->len; i++) {
        struct crier_declared_sink *s = old->sinks->pdata[i];
        const struct crier_declared_sink *next = crier_sink_named(gen, s->name);
        if (has_sink(gen, s->sink))
            continue;
        g_hash_table_remove(host->down_sinks, s->name);
        if (next)
            crier_sink_succeed(next->sink, s->sink, HAND_OVER, host->loop);
        else
            crier_host_end_sink(host, s->sink, old->config.limits.stop);
    }
}

static void on_targets_changed(void *arg)
{
    struct crier_host *host = arg;
    host->targets_posted = false;
    if (host->stopping || !host->current)
        return;
    crier_host_furnish_sim(host, host->current);
    crier_host_gateways_adopt(host, host->current);
}

void crier_host_targets_changed(struct crier_host *host)
{
    if (host->targets_posted)
        return;
    host->targets_posted = true;
    crier_loop_post(host->loop, on_targets_changed, host);
}

/* The point of no return: everything before it was judged good. */
void crier_host_swap(struct crier_host *host, struct crier_generation *gen)
{
    struct crier_generation *old = host->current;
    gen->number = ++host->generations;
    gen->host = host;
    gen->on_free = on_generation_free;
    gen->vm->loop = host->loop;
    gen->vm->http = host->http;
    gen->vm->on_stall = crier_host_stall;
    gen->vm->allow_host = host->config->virt             ? NULL
                          : host->config->sim || host->config->sim_url ? allow_host : NULL;
    gen->state_timer.fire = crier_host_state_timer;
    gen->route_timer.fire = crier_host_route_timer;
    crier_router_on_note(gen->router, crier_host_router_note, host);
    crier_router_on_due(gen->router, crier_host_router_due, gen);
    crier_router_on_record(gen->router, crier_host_tap, host);
    if (old)
        replace_sinks(host, old, gen);
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        crier_sink_on_event(s->sink, on_sink_event, host);
        crier_sink_bind(s, gen);
        crier_sink_start(s->sink, host->loop);
    }
    host->current = gen;
    crier_host_furnish_sim(host, gen);
    for (guint i = 0; i < gen->bots->len; i++)
        crier_bot_adopt(host, gen->bots->pdata[i], gen);
    crier_host_gateways_adopt(host, gen);
    if (old) {
        crier_state_tables_move(old, gen);
        crier_timer_stop(host->loop, &old->route_timer);
        crier_router_tell(old->router, 0, true);
        retire(host, old);
    }
    crier_alerts_adopt(host->alerts, gen, old == NULL);
    crier_poster_adopt(host->poster, gen, old == NULL);
    crier_tasker_adopt(host->tasker, gen, old == NULL);
    crier_state_tables_save(gen);
    if (host->watch)
        crier_watch_files(host->watch, gen->vm->files, gen->vm->file_count);
    emit_load_logs(host, gen);
}

/* --- reload ------------------------------------------------------------------------------ */

struct crier_build crier_host_build(const struct crier_host *host)
{
    const struct crier_host_virtual *v = host->config->virt;
    return (struct crier_build){
        .file = host->config->file,
        .state_folder = host->config->state_folder,
        .clock = host->clock,
        .sim = host->config->sim || host->config->sim_url,
        .sim_allow = host->config->sim_allow,
        .need_secrets = !host->config->sim && !host->config->sim_url,
        .seed = v ? v->seed : 1,
        .dry = v && v->dry,
        .overlay = v ? v->overlay : NULL,
        .sink_fault = v ? v->sink_fault : NULL,
        .sink_fault_arg = v ? v->arg : NULL,
        .app = host->config->embed ? host->config->embed->app : NULL,
    };
}

bool crier_host_reloading(const struct crier_host *host)
{
    return host->job != NULL;
}

struct build_job {
    uv_work_t work;
    struct crier_host *host;
    struct crier_build build;
    GHashTable *stored; /* crier.state as it was when the build began */
    struct crier_generation *gen;
    struct crier_buf diff;
    struct crier_diff_counts counts;
    int64_t began;
    char *file, *state_folder;
};

static char *stored_state(void *arg, const char *folder, const char *key)
{
    struct build_job *job = arg;
    (void)folder;
    return crier_strdup(g_hash_table_lookup(job->stored, key));
}

static void remember_state(void *arg, const char *key, const char *json)
{
    g_hash_table_insert(arg, crier_strdup(key), crier_strdup(json));
}

static void build_work(uv_work_t *work)
{
    struct build_job *job = work->data;
    struct crier_err err = {0};
    bool budget = crier_budget_thread(true, &err) == 0;
    job->gen = crier_generation_build(&job->build);
    /* Here, not on the loop: what both generations declare does not change any more. */
    crier_buf_puts(&job->diff, "");
    if (!job->gen->diags.errors)
        crier_generation_diff(job->build.previous, job->gen, &job->diff, &job->counts);
    if (budget && crier_budget_thread(false, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
}

static json_t *diags_json(struct crier_diags *diags)
{
    json_t *list = json_array();
    for (size_t i = 0; i < diags->count; i++) {
        struct crier_buf b = {0};
        crier_diag_json(&diags->items[i], &b);
        json_array_append_new(list, json_loads(b.data, 0, NULL));
        crier_buf_fini(&b);
    }
    return list;
}

static void tell_embed(struct crier_host *host, int code, const char *text)
{
    const struct crier_host_embed *e = host->config->embed;
    if (e)
        e->reloaded(e->arg, code, text);
}

static void answer(struct crier_host *host, int code, json_t *extra)
{
    for (guint i = 0; i < host->waiting->len; i++) {
        struct crier_control_conn *conn = host->waiting->pdata[i];
        crier_control_finish(conn, code, json_deep_copy(extra));
        crier_control_unref(conn);
    }
    g_ptr_array_set_size(host->waiting, 0);
    json_decref(extra);
}

static void reload_refused(struct crier_host *host, struct crier_generation *gen)
{
    bool color;
    enum crier_diag_format format = crier_diag_format_for(stderr, &color);
    crier_diags_print(&gen->diags, stderr, format, color);
    for (guint i = 0; i < gen->logs->len; i++) {
        const struct crier_record *log = gen->logs->pdata[i];
        struct crier_str where = crier_record_where(log), text = crier_record_text(log);
        fprintf(stderr, "%.*s: %s: %.*s\n", (int)where.len, where.data,
                crier_level_name(crier_record_level(log)), (int)text.len, text.data);
    }
    fprintf(stderr, "reload refused: config %s keeps running\n", host->current->hash);
    struct crier_buf first = {0};
    for (size_t i = 0; i < gen->diags.count && !first.len; i++) {
        if (gen->diags.items[i].severity == CRIER_ERROR)
            crier_diag_text(&gen->diags.items[i], &first);
    }
    free(host->last_error);
    host->last_error = crier_strdup(first.data);
    crier_host_system(host, CRIER_LEVEL_ERROR, "reload.failed",
                      "reload refused, generation %u keeps running: %s", host->current->number,
                      first.data);
    const char *texts[] = {"error", first.data ? first.data : "", NULL};
    crier_host_hook(host, "reload.failed", crier_push_texts, texts);
    answer(host, EXIT_CONFIG,
           json_pack("{s:o, s:s, s:i}", "problems", diags_json(&gen->diags), "running",
                     host->current->hash, "generation", (int)host->current->number));
    tell_embed(host, CRIER_ECONFIG, first.data ? first.data : "");
    crier_buf_fini(&first);
}

static void reload_done(struct build_job *job)
{
    struct crier_host *host = job->host;
    struct crier_generation *gen = job->gen, *old = host->current;
    if (gen->diags.errors) {
        reload_refused(host, gen);
        crier_generation_unref(gen);
        return;
    }
    struct crier_diff_counts *counts = &job->counts;
    char from[8];
    crier_generation_diff_late(old, gen, &job->diff, counts);
    snprintf(from, sizeof from, "%s", old->hash);
    int64_t began = crier_loop_now(host->loop);
    crier_host_swap(host, gen);
    host->reloads++;
    free(host->last_error);
    host->last_error = NULL;
    int64_t now = crier_loop_now(host->loop);
    crier_host_system(host, CRIER_INFO, "reload",
                      "reloaded %s -> %s: %d added, %d changed, %d removed, %d kept", from,
                      gen->hash, counts->added, counts->changed, counts->removed, counts->kept);
    const char *texts[] = {"from", from, "to", gen->hash, "diff", job->diff.data, NULL};
    crier_host_hook(host, "reload", crier_push_texts, texts);
    answer(host, 0,
           json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:i, s:o}", "diff",
                     job->diff.data, "from", from, "to", gen->hash, "added", counts->added,
                     "changed", counts->changed, "removed", counts->removed, "kept", counts->kept,
                     "took", (double)(now - job->began) / 1e6, "blocked",
                     (double)(now - began) / 1e6, "generation", (int)gen->number, "problems",
                     diags_json(&gen->diags)));
    tell_embed(host, 0, job->diff.data);
}

static void build_after(uv_work_t *work, int status)
{
    struct build_job *job = work->data;
    struct crier_host *host = job->host;
    (void)status;
    if (host->stopping) {
        crier_generation_unref(job->gen);
        answer(host, 75, json_pack("{s:s}", "error", "the host is stopping"));
    } else {
        reload_done(job);
    }
    crier_generation_unref((struct crier_generation *)job->build.previous);
    g_hash_table_destroy(job->stored);
    crier_buf_fini(&job->diff);
    free(job->file);
    free(job);
    host->job = NULL;
    GPtrArray *next = host->waiting_next;
    host->waiting_next = host->waiting;
    host->waiting = next;
    if (host->again && !host->stopping) {
        host->again = false;
        crier_host_reload(host);
    } else if (host->stopping) {
        answer(host, 75, json_pack("{s:s}", "error", "the host is stopping"));
        crier_host_check_idle(host);
    }
}

void crier_host_reload(struct crier_host *host)
{
    if (host->job || host->stopping) {
        host->again = true;
        return;
    }
    struct build_job *job = crier_calloc(1, sizeof *job);
    host->job = job;
    job->work.data = job;
    job->host = host;
    job->began = crier_loop_now(host->loop);
    if (host->watch)
        crier_watch_mark(host->watch);
    crier_state_tables_save(host->current);
    job->stored = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    crier_state_each(host->state, "state", remember_state, job->stored);
    job->build = crier_host_build(host);
    job->build.open_sinks = true;
    job->build.previous = crier_generation_ref(host->current);
    job->build.state_get = stored_state;
    job->build.arg = job;
    if (crier_loop_uv(host->loop)) {
        uv_queue_work(crier_loop_uv(host->loop), &job->work, build_work, build_after);
    } else {
        build_work(&job->work);
        build_after(&job->work, 0);
    }
}
