/* SPDX-License-Identifier: MIT */
#include "host/gateway.h"

#include <string.h>
#include <unistd.h>

#include "script/alert.h"

#include "script/message_private.h"

static json_t *bot_status(struct crier_host *host)
{
    json_t *list = json_array();
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        struct crier_discord_stats st;
        if (!crier_bot_is_declared(host, bot))
            continue;
        crier_discord_stats(bot->client, &st);
        struct crier_err why = {0};
        int64_t now = crier_loop_now(host->loop);
        int64_t resting = crier_discord_resting(bot->client, &why);
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "name", bot->name, "account",
                      bot->me        ? bot->me
                      : bot->trouble ? bot->trouble
                                     : "",
                      "state",
                      bot->refused ? "refused"
                      : bot->ready ? "ready"
                                   : "connecting",
                      "requests", (json_int_t)st.requests, "sent", (json_int_t)st.sent, "retries",
                      (json_int_t)st.retries, "hits_429", (json_int_t)st.hits_429, "invalid_10min",
                      (int)st.invalid_10min, "pending", (int)st.pending);
        if (resting) {
            json_object_set_new(o, "state", json_string("resting"));
            json_object_set_new(o, "rests", json_real((double)(resting - now) / 1e6));
            json_object_set_new(o, "why", json_string(why.text));
        }
        if (st.quarantined)
            json_object_set_new(o, "quarantined", json_real((double)(st.quarantined - now) / 1e6));
        json_t *gateway = crier_host_gateway_status(bot);
        if (gateway)
            json_object_set_new(o, "gateway", gateway);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *message_status(struct crier_host *host, bool all)
{
    json_t *list = json_array();
    struct crier_generation *gen = host->current;
    for (guint i = 0; i < crier_message_count(gen); i++) {
        const struct crier_message *m = crier_message_at(gen, i);
        char label[120], period[128], target[24];
        if (!crier_message_is_live(m))
            continue;
        if (!all && json_array_size(list) == 100)
            break;
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:s}", "name",
                      crier_message_label(m, label, sizeof label), "key", m->key, "mode",
                      crier_mode_name(m->mode), "period", crier_period_text(&m->period, period),
                      "sent", (json_int_t)m->state->sent, "failed", (json_int_t)m->state->failed,
                      "skipped", (json_int_t)m->state->skipped, "ended", m->state->ended, "sending",
                      m->state->send != NULL, "paused", m->state->paused, "guild",
                      crier_target_name(host->poster, m->target, target));
        if (!m->state->ended)
            json_object_set_new(o, "due", json_real((double)m->state->due / 1e6));
        json_t *closed = crier_message_closed(m, crier_loop_now(host->loop));
        if (closed)
            json_object_set_new(o, "closed", closed);
        json_array_append_new(list, o);
    }
    return list;
}

static void cmd_status(struct crier_host *host, struct crier_control_conn *conn, json_t *request)
{
    struct crier_generation *gen = host->current;
    struct crier_poster_stats st;
    crier_poster_stats(host->poster, &st);
    double up = (double)(crier_clock_wall(host->clock) - host->started_wall) / 1e6;
    json_t *extra = json_pack(
        "{s:s, s:i, s:f, s:s, s:s, s:i, s:i, s:i, s:b, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:I, "
        "s:o, s:o, "
        "s:o}",
        "version", CRIER_VERSION, "pid", (int)getpid(), "up", up, "file", gen->path, "config",
        gen->hash, "generation", (int)gen->number, "reloads", (int)host->reloads, "draining",
        (int)host->draining->len, "sim", host->config->sim || host->config->sim_url,
        "messages_total", (int)crier_message_total(gen), "sent", (json_int_t)st.sent, "failed",
        (json_int_t)st.failed, "skipped", (json_int_t)st.skipped, "late_max",
        (double)st.late_max / 1e6, "late_p50", (double)st.late_p50 / 1e6, "late_p99",
        (double)st.late_p99 / 1e6, "lua_memory", (json_int_t)gen->vm->memory_used, "bots",
        bot_status(host), "sinks", crier_host_sink_status(host, true), "messages",
        message_status(host, json_is_true(json_object_get(request, "all"))));
    json_t *tasks;
    json_object_set_new(extra, "tasks",
                        crier_host_task_status(
                            host, json_is_true(json_object_get(request, "all")), &tasks));
    json_object_set_new(extra, "task_list", tasks);
    json_object_set_new(extra, "alerts", crier_alerts_status(host->alerts));
    if (host->last_error)
        json_object_set_new(extra, "last_error", json_string(host->last_error));
    if (host->sim_api)
        json_object_set_new(extra, "sim_api", json_string(host->sim_api));
    crier_control_finish(conn, 0, extra);
}

/* Somebody who names another script of the same folder means another one. */
static bool is_other(const struct crier_host *host, const char *file)
{
    char *ours = crier_path_real(host->config->file);
    bool other = file && strcmp(ours, file) != 0;
    free(ours);
    return other;
}

static void cmd_reload(struct crier_host *host, struct crier_control_conn *conn,
                       const json_t *request)
{
    const char *file = json_string_value(json_object_get(request, "file"));
    if (is_other(host, file)) {
        char *why = crier_asprintf("what runs here is '%s', not '%s'", host->config->file, file);
        crier_control_finish(conn, 64, json_pack("{s:s%}", "error", why, strlen(why)));
        free(why);
        return;
    }
    crier_control_ref(conn);
    g_ptr_array_add(host->job ? host->waiting_next : host->waiting, conn);
    crier_host_reload(host);
}

void crier_host_on_request(void *arg, struct crier_control_conn *conn, json_t *request)
{
    struct crier_host *host = arg;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (host->stopping)
        crier_control_finish(conn, 75, json_pack("{s:s}", "error", "the host is stopping"));
    else if (cmd && strcmp(cmd, "status") == 0)
        cmd_status(host, conn, request);
    else if (cmd && strcmp(cmd, "metrics") == 0)
        crier_control_cmd_metrics(host, conn);
    else if (cmd && strcmp(cmd, "reload") == 0)
        cmd_reload(host, conn, request);
    else if (cmd && strcmp(cmd, "source") == 0)
        crier_control_cmd_source(host, conn);
    else if (cmd && strcmp(cmd, "logs") == 0)
        crier_control_cmd_logs(host, conn, request);
    else if (cmd && strcmp(cmd, "call") == 0)
        crier_control_cmd_call(host, conn, request);
    else if (cmd && strcmp(cmd, "sink") == 0)
        crier_control_cmd_sink(host, conn, request);
    else if (cmd && strcmp(cmd, "event") == 0)
        crier_control_cmd_event(host, conn, request);
    else if (cmd && strcmp(cmd, "message") == 0)
        crier_control_cmd_message(host, conn, request);
    else if (cmd && strcmp(cmd, "task") == 0)
        crier_control_cmd_task(host, conn, request);
    else if (cmd && strcmp(cmd, "why") == 0)
        crier_control_cmd_why(host, conn, request);
    else if (cmd && strcmp(cmd, "eval") == 0)
        crier_control_cmd_eval(host, conn, request);
    else
        crier_control_finish(conn, 64, json_pack("{s:s}", "error", "unknown command"));
}
