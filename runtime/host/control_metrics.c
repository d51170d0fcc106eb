/* SPDX-License-Identifier: MIT
 *
 * The host in numbers, as Prometheus reads them (text format 0.0.4): crier metrics.
 *
 *     -> {"cmd":"metrics"}     <- {"text":"# HELP ..."}
 */
#include "host/private.h"

#include <string.h>

/* A label's value: backslash, quote and line break escaped. */
static void put_label(struct crier_buf *b, const char *name, const char *value, bool first)
{
    crier_buf_printf(b, "%s%s=\"", first ? "{" : ",", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '"')
            crier_buf_putc(b, '\\');
        if (*p == '\n')
            crier_buf_puts(b, "\\n");
        else
            crier_buf_putc(b, *p);
    }
    crier_buf_putc(b, '"');
}

static void head(struct crier_buf *b, const char *name, const char *type, const char *help)
{
    crier_buf_printf(b, "# HELP crier_%s %s\n# TYPE crier_%s %s\n", name, help, name, type);
}

static void number(struct crier_buf *b, double value)
{
    crier_buf_printf(b, " %.17g\n", value);
}

static void plain(struct crier_buf *b, const char *name, const char *type, const char *help,
                  double value)
{
    head(b, name, type, help);
    crier_buf_printf(b, "crier_%s", name);
    number(b, value);
}

/* --- the parts ----------------------------------------------------------------------------- */

static void put_host(struct crier_buf *b, struct crier_host *host)
{
    struct crier_poster_stats st;
    crier_poster_stats(host->poster, &st);
    plain(b, "up_seconds", "gauge", "Time since the start.",
          (double)(crier_clock_wall(host->clock) - host->started_wall) / 1e6);
    plain(b, "reloads_total", "counter", "Reloads that were taken.", host->reloads);
    plain(b, "messages", "gauge", "Messages declared.", host->current->messages->len);
    plain(b, "lua_memory_bytes", "gauge", "Memory of the script's state.",
          (double)host->current->vm->memory_used);
    plain(b, "send_late_seconds_max", "gauge", "Longest time between due and start of a send.",
          (double)st.late_max / 1e6);
    head(b, "sends_total", "counter", "Sends since the start, by how they ended.");
    crier_buf_printf(b, "crier_sends_total{result=\"sent\"} %llu\n", (unsigned long long)st.sent);
    crier_buf_printf(b, "crier_sends_total{result=\"failed\"} %llu\n",
                     (unsigned long long)st.failed);
    crier_buf_printf(b, "crier_sends_total{result=\"skipped\"} %llu\n",
                     (unsigned long long)st.skipped);
}

static void put_message(struct crier_buf *b, const struct crier_message *m, const char *result,
                        uint64_t value)
{
    char label[120], guild[24];
    snprintf(guild, sizeof guild, "%llu", (unsigned long long)m->target->id);
    crier_buf_puts(b, "crier_message_sends_total");
    put_label(b, "message", crier_message_label(m, label, sizeof label), true);
    put_label(b, "guild", guild, false);
    put_label(b, "result", result, false);
    crier_buf_printf(b, "} %llu\n", (unsigned long long)value);
}

static void put_messages(struct crier_buf *b, struct crier_host *host)
{
    int64_t now = crier_loop_now(host->loop);
    unsigned closed = 0;
    head(b, "message_sends_total", "counter", "Sends of a message ever, by how they ended.");
    for (guint i = 0; i < host->current->messages->len; i++) {
        const struct crier_message *m = host->current->messages->pdata[i];
        if (!m->state || !m->target)
            continue;
        put_message(b, m, "sent", m->state->sent);
        put_message(b, m, "failed", m->state->failed);
        put_message(b, m, "skipped", m->state->skipped);
        json_t *list = crier_message_closed(m, now);
        closed += (unsigned)json_array_size(list);
        json_decref(list);
    }
    plain(b, "channels_closed", "gauge", "Channels that are paused or given up.", closed);
}

static void put_bot(struct crier_buf *b, const char *name, const struct host_bot *bot, double value)
{
    crier_buf_printf(b, "crier_%s", name);
    put_label(b, "bot", bot->name, true);
    crier_buf_putc(b, '}');
    number(b, value);
}

static double resting(const struct host_bot *bot)
{
    int64_t until = crier_discord_resting(bot->client, NULL);
    return until ? (double)(until - crier_loop_now(bot->host->loop)) / 1e6 : 0;
}

static void put_bots(struct crier_buf *b, struct crier_host *host)
{
    enum { REQUESTS, RETRIES, LIMITED, REFUSED, PENDING, RESTING, SUM, COUNT, ALL };
    static const struct {
        const char *name, *type, *help;
    } what[ALL] = {
        {"bot_requests_total", "counter", "HTTP requests to Discord."},
        {"bot_retries_total", "counter", "Requests that repeated a failed one."},
        {"bot_rate_limited_total", "counter", "Answers 429 of scope user or global."},
        {"bot_refused_10min", "gauge", "Answers 401, 403 and 429 within ten minutes, all bots."},
        {"bot_pending", "gauge", "Requests queued or under way."},
        {"bot_resting_seconds", "gauge", "How long the breaker stays open."},
        {"bot_request_seconds_sum", "counter", "Time that answered requests took."},
        {"bot_request_seconds_count", "counter", "Answered requests."},
    };
    for (int k = 0; k < ALL; k++) {
        head(b, what[k].name, what[k].type, what[k].help);
        for (guint i = 0; i < host->bots->len; i++) {
            const struct host_bot *bot = host->bots->pdata[i];
            struct crier_discord_stats st;
            crier_discord_stats(bot->client, &st);
            double values[ALL] = {(double)st.requests,          (double)st.retries,
                                  (double)st.hits_429,          st.invalid_10min,
                                  (double)st.pending,           resting(bot),
                                  (double)st.latency_sum / 1e6, (double)st.latency_count};
            put_bot(b, what[k].name, bot, values[k]);
        }
    }
    head(b, "bot_outcomes_total", "counter", "What became of requests.");
    for (guint i = 0; i < host->bots->len; i++) {
        const struct host_bot *bot = host->bots->pdata[i];
        struct crier_discord_stats st;
        crier_discord_stats(bot->client, &st);
        for (int k = 0; k <= CRIER_CANCELED; k++) {
            crier_buf_puts(b, "crier_bot_outcomes_total");
            put_label(b, "bot", bot->name, true);
            put_label(b, "outcome", crier_outcome_name((enum crier_outcome)k), false);
            crier_buf_printf(b, "} %llu\n", (unsigned long long)st.outcomes[k]);
        }
    }
}

static void put_sinks(struct crier_buf *b, struct crier_host *host)
{
    static const struct {
        const char *member, *name, *type, *help;
    } what[] = {
        {"accepted", "sink_accepted_total", "counter", "Records that a sink has taken."},
        {"written", "sink_written_total", "counter", "Records written."},
        {"rejected", "sink_rejected_total", "counter", "Records in the dead-letter file."},
        {"dropped", "sink_dropped_total", "counter", "Records dropped by policy."},
        {"retries", "sink_retries_total", "counter", "Writes that were repeated."},
        {"queued", "sink_queued", "gauge", "Records in memory."},
        {"spilled", "sink_spilled", "gauge", "Records in the spool."},
        {"down", "sink_down", "gauge", "Whether the sink is down (1) or not."},
    };
    size_t i;
    json_t *o, *list = crier_host_sink_status(host);
    for (size_t k = 0; k < CRIER_COUNT(what); k++) {
        head(b, what[k].name, what[k].type, what[k].help);
        json_array_foreach(list, i, o)
        {
            const json_t *v = json_object_get(o, what[k].member);
            crier_buf_printf(b, "crier_%s", what[k].name);
            put_label(b, "sink", json_string_value(json_object_get(o, "name")), true);
            crier_buf_putc(b, '}');
            number(b, json_is_boolean(v) ? json_is_true(v) : json_number_value(v));
        }
    }
    json_decref(list);
}

void crier_control_cmd_metrics(struct crier_host *host, struct crier_control_conn *conn)
{
    struct crier_buf b = {0};
    put_host(&b, host);
    put_messages(&b, host);
    put_bots(&b, host);
    put_sinks(&b, host);
    crier_control_finish(conn, 0, json_pack("{s:s%}", "text", b.data, b.len));
    crier_buf_fini(&b);
}
