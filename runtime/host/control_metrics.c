/* SPDX-License-Identifier: MIT
 *
 * The host in numbers, as Prometheus reads them (text format 0.0.4): crier metrics, and GET /metrics
 * on the control socket.
 *
 *     -> {"cmd":"metrics"}     <- {"text":"# HELP ..."}
 *
 * Two series of the same labels would make Prometheus refuse the whole page, and a script can declare
 * any number of messages: those of equal labels are added up, and of messages and tasks there are
 * THINGS_MOST, what is beyond them is one more, "(others)".
 */
#include "host/gateway.h"

#include <math.h>
#include <string.h>

#include "script/alert.h"
#include "script/message_private.h"
#include "script/task_private.h"

enum { THINGS_MOST = 1000 };
#define OTHERS "(others)"

struct metric {
    const char *member; /* of a JSON object */
    const char *name, *type, *help;
};

/* A label's value: backslash, quote and line break escaped, and UTF-8 whatever it was. */
static void put_label(struct crier_buf *b, const char *name, const char *value, bool first)
{
    char *valid = g_utf8_make_valid(value ? value : "", -1);
    crier_buf_printf(b, "%s%s=\"", first ? "{" : ",", name);
    for (const char *p = valid; *p; p++) {
        if (*p == '\\' || *p == '"')
            crier_buf_putc(b, '\\');
        if (*p == '\n')
            crier_buf_puts(b, "\\n");
        else
            crier_buf_putc(b, *p);
    }
    crier_buf_putc(b, '"');
    g_free(valid);
}

static void head(struct crier_buf *b, const char *name, const char *type, const char *help)
{
    crier_buf_printf(b, "# HELP crier_%s %s\n# TYPE crier_%s %s\n", name, help, name, type);
}

static void number(struct crier_buf *b, double value)
{
    bool whole = fabs(value) < 0x1p53 && floor(value) == value;
    crier_buf_printf(b, whole ? " %.0f\n" : " %.9g\n", value);
}

static void plain(struct crier_buf *b, const char *name, const char *type, const char *help,
                  double value)
{
    head(b, name, type, help);
    crier_buf_printf(b, "crier_%s", name);
    number(b, value);
}

/* labels: with the brace that opens, without the one that closes. */
static void series(struct crier_buf *b, const char *name, const char *labels, double value)
{
    crier_buf_printf(b, "crier_%s%s}", name, labels);
    number(b, value);
}

static void series_of(struct crier_buf *b, const char *name, const char *labels, const char *label,
                      const char *text, double value)
{
    crier_buf_printf(b, "crier_%s%s", name, labels);
    put_label(b, label, text, !*labels);
    crier_buf_putc(b, '}');
    number(b, value);
}

static double number_of(const json_t *o, const char *member)
{
    const json_t *v = json_object_get(o, member);
    return json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
}

/* One family for each metric, one series for each object that has it. */
static void put_list(struct crier_buf *b, const struct metric *what, size_t count,
                     const char *label, const json_t *list)
{
    size_t i;
    const json_t *o;
    for (size_t k = 0; k < count; k++) {
        head(b, what[k].name, what[k].type, what[k].help);
        json_array_foreach((json_t *)list, i, o)
        {
            const char *name = json_string_value(json_object_get(o, "name"));
            if (json_object_get(o, what[k].member))
                series_of(b, what[k].name, "", label, name, number_of(o, what[k].member));
        }
    }
}

/* --- the parts ----------------------------------------------------------------------------- */

static void put_host(struct crier_buf *b, struct crier_host *host)
{
    struct crier_poster_stats st;
    crier_poster_stats(host->poster, &st);
    head(b, "info", "gauge", "What runs; always 1.");
    series_of(b, "info", "", "version", CRIER_VERSION, 1);
    plain(b, "up_seconds", "gauge", "Time since the start.",
          (double)(crier_clock_wall(host->clock) - host->started_wall) / 1e6);
    plain(b, "reloads_total", "counter", "Reloads that were taken.", host->reloads);
    plain(b, "messages", "gauge", "Messages declared.", crier_message_total(host->current));
    plain(b, "lua_memory_bytes", "gauge", "Memory of the script's state.",
          (double)host->current->vm->memory_used);
    plain(b, "send_late_seconds_max", "gauge", "Longest time between due and start of a send.",
          (double)st.late_max / 1e6);
    head(b, "sends_total", "counter", "Sends since the start, by how they ended.");
    series_of(b, "sends_total", "", "result", "sent", (double)st.sent);
    series_of(b, "sends_total", "", "result", "failed", (double)st.failed);
    series_of(b, "sends_total", "", "result", "skipped", (double)st.skipped);
}

/* What there is by name: sums of equal labels, in the order in which they came. */
struct things {
    GHashTable *at; /* labels -> struct thing */
    GPtrArray *list;
    size_t size;
};

struct thing {
    char *labels;
    double sums[];
};

static void thing_free(void *arg)
{
    struct thing *t = arg;
    free(t->labels);
    free(t);
}

static void things_init(struct things *t, size_t sums)
{
    t->at = g_hash_table_new(g_str_hash, g_str_equal);
    t->list = g_ptr_array_new_with_free_func(thing_free);
    t->size = sizeof(struct thing) + sums * sizeof(double);
}

static void things_fini(struct things *t)
{
    g_hash_table_destroy(t->at);
    g_ptr_array_free(t->list, TRUE);
}

/* labels is cleared; others: the labels of what there is no room for. */
static double *things_get(struct things *t, struct crier_buf *labels, const char *others)
{
    const char *key = labels->data;
    struct thing *found = g_hash_table_lookup(t->at, key);
    if (!found && t->list->len >= THINGS_MOST) {
        key = others;
        found = g_hash_table_lookup(t->at, key);
    }
    if (!found) {
        found = crier_calloc(1, t->size);
        found->labels = crier_strdup(key);
        g_hash_table_insert(t->at, found->labels, found);
        g_ptr_array_add(t->list, found);
    }
    crier_buf_clear(labels);
    return found->sums;
}

static void put_things(struct crier_buf *b, const struct things *t, const struct metric *what,
                       size_t column, double unit)
{
    head(b, what->name, what->type, what->help);
    for (guint i = 0; i < t->list->len; i++) {
        const struct thing *o = t->list->pdata[i];
        series(b, what->name, o->labels, o->sums[column] / unit);
    }
}

static void put_messages(struct crier_buf *b, struct crier_host *host)
{
    enum { SENT, FAILED, SKIPPED, REQUESTS, RETRIES, WAITED, COLUMNS };
    static const char *const results[] = {"sent", "failed", "skipped"};
    static const struct metric what[] = {
        {NULL, "message_requests_total", "counter", "HTTP requests of a message since the start."},
        {NULL, "message_retries_total", "counter", "Those that repeated one that had failed."},
        {NULL, "message_wait_seconds_total", "counter", "What they waited for rate limits."},
    };
    int64_t now = crier_loop_now(host->loop);
    double closed = 0;
    struct things things;
    struct crier_buf labels = {0};
    things_init(&things, COLUMNS);
    for (guint i = 0; i < crier_message_count(host->current); i++) {
        const struct crier_message *m = crier_message_at(host->current, i);
        char label[120], guild[24];
        if (!crier_message_is_live(m))
            continue;
        put_label(&labels, "bot", m->target->bot ? m->target->bot->name : "", true);
        put_label(&labels, "guild", crier_id_text(m->target->id, guild), false);
        put_label(&labels, "message", crier_message_label(m, label, sizeof label), false);
        double *sums = things_get(&things, &labels, "{bot=\"\",guild=\"\",message=\"" OTHERS "\"");
        sums[SENT] += (double)m->state->sent;
        sums[FAILED] += (double)m->state->failed;
        sums[SKIPPED] += (double)m->state->skipped;
        sums[REQUESTS] += (double)m->state->requests;
        sums[RETRIES] += (double)m->state->retries;
        sums[WAITED] += (double)m->state->waited;
        json_t *list = crier_message_closed(m, now);
        closed += (double)json_array_size(list);
        json_decref(list);
    }
    head(b, "message_sends_total", "counter", "Sends of a message ever, by how they ended.");
    for (guint i = 0; i < things.list->len; i++) {
        const struct thing *o = things.list->pdata[i];
        for (size_t k = 0; k < CRIER_COUNT(results); k++)
            series_of(b, "message_sends_total", o->labels, "result", results[k], o->sums[k]);
    }
    for (size_t k = 0; k < CRIER_COUNT(what); k++)
        put_things(b, &things, &what[k], REQUESTS + k, REQUESTS + k == WAITED ? 1e6 : 1);
    plain(b, "channels_closed", "gauge", "Channels that are paused or given up.", closed);
    things_fini(&things);
    crier_buf_fini(&labels);
}

static double resting(const struct host_bot *bot)
{
    int64_t until = crier_discord_resting(bot->client, NULL);
    return until ? (double)(until - crier_loop_now(bot->host->loop)) / 1e6 : 0;
}

static void put_bots(struct crier_buf *b, struct crier_host *host)
{
    enum { READY, REQUESTS, RETRIES, WAITED, LIMITED, SHARED, REFUSED, PENDING, OPEN, RESTING, SUM,
           COUNT, ALL };
    static const struct metric what[ALL] = {
        {NULL, "bot_ready", "gauge", "Whether Discord has accepted the bot's token (1) or not."},
        {NULL, "bot_requests_total", "counter", "HTTP requests to Discord."},
        {NULL, "bot_retries_total", "counter", "Requests that repeated a failed one."},
        {NULL, "bot_wait_seconds_total", "counter", "What requests waited for rate limits."},
        {NULL, "bot_rate_limited_total", "counter", "Answers 429 of scope user or global."},
        {NULL, "bot_rate_limited_shared_total", "counter",
         "Answers 429 of scope shared, which nobody counts against the bot."},
        {NULL, "bot_refused_10min", "gauge",
         "Answers 401, 403 and 429 within ten minutes, all bots."},
        {NULL, "bot_pending", "gauge", "Requests queued or under way."},
        {NULL, "bot_breaker_open", "gauge", "Whether the breaker holds all requests back (1) or not."},
        {NULL, "bot_resting_seconds", "gauge", "How long the breaker stays open."},
        {NULL, "bot_request_seconds_sum", "counter", "Time that answered requests took."},
        {NULL, "bot_request_seconds_count", "counter", "Answered requests."},
    };
    for (int k = 0; k < ALL; k++) {
        head(b, what[k].name, what[k].type, what[k].help);
        for (guint i = 0; i < host->bots->len; i++) {
            const struct host_bot *bot = host->bots->pdata[i];
            struct crier_discord_stats st;
            crier_discord_stats(bot->client, &st);
            double values[ALL] = {bot->ready,
                                  (double)st.requests,
                                  (double)st.retries,
                                  (double)st.waited / 1e6,
                                  (double)st.hits_429,
                                  (double)st.hits_shared,
                                  st.invalid_10min,
                                  (double)st.pending,
                                  resting(bot) > 0,
                                  resting(bot),
                                  (double)st.latency_sum / 1e6,
                                  (double)st.latency_count};
            series_of(b, what[k].name, "", "bot", bot->name, values[k]);
        }
    }
    head(b, "bot_outcomes_total", "counter", "What became of requests.");
    for (guint i = 0; i < host->bots->len; i++) {
        const struct host_bot *bot = host->bots->pdata[i];
        struct crier_discord_stats st;
        struct crier_buf labels = {0};
        crier_discord_stats(bot->client, &st);
        put_label(&labels, "bot", bot->name, true);
        for (int k = 0; k <= CRIER_CANCELED; k++)
            series_of(b, "bot_outcomes_total", labels.data, "outcome",
                      crier_outcome_name((enum crier_outcome)k), (double)st.outcomes[k]);
        crier_buf_fini(&labels);
    }
}

static void shard_labels(struct crier_buf *labels, const json_t *gateway, const json_t *shard)
{
    char number_text[16];
    snprintf(number_text, sizeof number_text, "%d",
             (int)json_integer_value(json_object_get(shard, "shard")));
    crier_buf_clear(labels);
    put_label(labels, "bot", json_string_value(json_object_get(gateway, "name")), true);
    put_label(labels, "shard", number_text, false);
}

/* One series a state, the shard's is 1: so a panel can show them over time. */
static void put_shard_state(struct crier_buf *b, const char *labels, const json_t *shard)
{
    const char *state = json_string_value(json_object_get(shard, "state"));
    for (int k = CRIER_GW_IDLE; k <= CRIER_GW_STOPPED; k++) {
        const char *name = crier_gateway_state_name((enum crier_gateway_state)k);
        series_of(b, "gateway_state", labels, "state", name, state && strcmp(state, name) == 0);
    }
}

static void put_shards(struct crier_buf *b, const json_t *gateways)
{
    static const struct metric what[] = {
        {"state", "gateway_state", "gauge", "Which state a shard is in (1)."},
        {"latency", "gateway_latency_seconds", "gauge", "How long the last heartbeat's answer took."},
        {"in_state", "gateway_in_state_seconds", "gauge", "Since when a shard is in its state."},
        {"events", "gateway_events_total", "counter", "Events that a shard has got."},
        {"resumes", "gateway_resumes_total", "counter", "Sessions resumed."},
        {"identifies", "gateway_identifies_total", "counter", "Sessions begun."},
        {"zombies", "gateway_zombies_total", "counter", "Connections that stopped answering."},
        {"reconnects", "gateway_reconnects_total", "counter", "Connections made anew."},
    };
    size_t i, j;
    const json_t *gateway, *shard;
    struct crier_buf labels = {0};
    for (size_t k = 0; k < CRIER_COUNT(what); k++) {
        head(b, what[k].name, what[k].type, what[k].help);
        json_array_foreach((json_t *)gateways, i, gateway)
        {
            json_array_foreach(json_object_get(gateway, "shards"), j, shard)
            {
                shard_labels(&labels, gateway, shard);
                if (k == 0)
                    put_shard_state(b, labels.data, shard);
                else if (json_object_get(shard, what[k].member)) /* a latency may not be known */
                    series(b, what[k].name, labels.data, number_of(shard, what[k].member));
            }
        }
    }
    crier_buf_fini(&labels);
}

static void put_gateways(struct crier_buf *b, struct crier_host *host)
{
    static const struct metric what[] = {
        {"identifies_left", "gateway_identifies_left", "gauge", "Sessions that may begin today."},
        {"held", "gateway_held", "gauge", "Whether it waits for that budget (1) or not."},
        {"guilds", "gateway_guilds", "gauge", "Guilds that are known of."},
        {"cache_bytes", "gateway_cache_bytes", "gauge", "Memory of what is known of them."},
    };
    uint64_t dropped;
    size_t waiting;
    json_t *list = json_array();
    for (guint i = 0; i < host->bots->len; i++) {
        struct host_bot *bot = host->bots->pdata[i];
        json_t *o = crier_host_gateway_status(bot);
        if (o)
            json_object_set_new(o, "name", json_string(bot->name));
        if (o)
            json_array_append_new(list, o);
    }
    put_shards(b, list);
    put_list(b, what, CRIER_COUNT(what), "bot", list);
    json_decref(list);
    crier_event_queue_stats(host, &dropped, &waiting);
    plain(b, "gateway_events_dropped_total", "counter", "Events that hooks were too slow for.",
          (double)dropped);
    plain(b, "gateway_events_waiting", "gauge", "Events that hooks have not had yet.",
          (double)waiting);
}

static void put_sinks(struct crier_buf *b, struct crier_host *host)
{
    static const struct metric what[] = {
        {"accepted", "sink_accepted_total", "counter", "Records that a sink has taken."},
        {"written", "sink_written_total", "counter", "Records written."},
        {"rejected", "sink_rejected_total", "counter", "Records in the dead-letter file."},
        {"dropped", "sink_dropped_total", "counter", "Records dropped by policy."},
        {"copied", "sink_copied_total", "counter", "Records copied to the fallback."},
        {"retries", "sink_retries_total", "counter", "Writes that were repeated."},
        {"queued", "sink_queued", "gauge", "Records in memory."},
        {"spilled", "sink_spilled", "gauge", "Records in the spool."},
        {"spool_bytes", "sink_spool_bytes", "gauge", "What the spool takes on the disk."},
        {"down", "sink_down", "gauge", "Whether the sink is down (1) or not."},
    };
    json_t *list = crier_host_sink_status(host, false);
    put_list(b, what, CRIER_COUNT(what), "sink", list);
    json_decref(list);
}

static void put_last(struct crier_buf *b, const struct things *things)
{
    head(b, "task_last_seconds", "gauge", "When a task last did this, in seconds since 1970.");
    for (guint i = 0; i < things->list->len; i++) {
        const struct thing *o = things->list->pdata[i];
        for (int k = 0; k < CRIER_ACTIONS; k++) {
            if (o->sums[2 + k] > 0)
                series_of(b, "task_last_seconds", o->labels, "action", crier_action_names[k],
                          o->sums[2 + k] / 1e6);
        }
    }
}

static void put_tasks(struct crier_buf *b, struct crier_host *host)
{
    static const struct metric what[] = {
        {NULL, "task_running", "gauge", "Runs of a task that live now."},
        {NULL, "task_fails_in_a_row", "gauge", "Fails of a task since it last ended otherwise."},
    };
    const GPtrArray *tasks = host->current->tasks;
    struct crier_tasker_stats st;
    struct things things;
    struct crier_buf labels = {0};
    crier_tasker_stats(host->tasker, &st);
    plain(b, "tasks", "gauge", "Tasks declared.", tasks->len);
    plain(b, "tasks_paused", "gauge", "Tasks that are paused.", (double)st.paused);
    plain(b, "task_late_seconds_max", "gauge", "Longest time between due and start of a run.",
          (double)st.late_max / 1e6);
    head(b, "task_actions_total", "counter", "What tasks did since the start.");
    for (int k = 0; k < CRIER_ACTIONS; k++)
        series_of(b, "task_actions_total", "", "action", crier_action_names[k],
                  (double)st.actions[k]);
    things_init(&things, 2 + CRIER_ACTIONS);
    for (guint i = 0; i < tasks->len; i++) {
        const struct crier_task *t = tasks->pdata[i];
        if (!t->state)
            continue;
        const struct crier_history *h = &t->state->history;
        put_label(&labels, "task", t->name, true);
        double *sums = things_get(&things, &labels, "{task=\"" OTHERS "\"");
        sums[0] += h->running;
        sums[1] += h->fails;
        for (int k = 0; k < CRIER_ACTIONS; k++)
            sums[2 + k] = fmax(sums[2 + k], h->last[k].seq ? (double)h->last[k].time : 0);
    }
    put_things(b, &things, &what[0], 0, 1);
    put_things(b, &things, &what[1], 1, 1);
    put_last(b, &things);
    things_fini(&things);
    crier_buf_fini(&labels);
}

static void put_alerts(struct crier_buf *b, struct crier_host *host)
{
    static const struct metric what[] = {
        {"now", "alert_firing", "gauge", "Instances of an alert that fire."},
        {"fired", "alert_fired_total", "counter", "How often an alert began to fire."},
    };
    size_t i;
    json_t *o, *list = crier_alerts_status(host->alerts);
    json_array_foreach(list, i, o)
    {
        size_t now = json_array_size(json_object_get(o, "firing"));
        json_object_set_new(o, "now", json_integer((json_int_t)now));
    }
    put_list(b, what, CRIER_COUNT(what), "alert", list);
    json_decref(list);
}

void crier_control_cmd_metrics(struct crier_host *host, struct crier_control_conn *conn)
{
    struct crier_buf b = {0};
    put_host(&b, host);
    put_messages(&b, host);
    put_bots(&b, host);
    put_gateways(&b, host);
    put_sinks(&b, host);
    put_tasks(&b, host);
    put_alerts(&b, host);
    crier_control_finish(conn, 0, json_pack("{s:s%}", "text", b.data, b.len));
    crier_buf_fini(&b);
}
