/* SPDX-License-Identifier: MIT
 *
 * The control socket's answer to `crier why`: the parts of what a task or a message waits for, each
 * with its present truth.
 *
 *     -> {"cmd":"why","name":"report"}
 *     <- {"done":true,"code":0,"zone":"Europe/Ljubljana","answers":[{"kind":"task","name":"report",
 *         "verdict":"not startable","time":1795330376.2,"start":{"text":"AND","truth":false,
 *         "reason":"","items":[...]}}]}
 */
#include <string.h>

#include "host/private.h"
#include "script/message_private.h"
#include "script/task_private.h"

static json_t *tree_of(const struct crier_why *why)
{
    json_t *o =
        json_pack("{s:s, s:b, s:s}", "text", why->text, "truth", why->truth, "reason", why->reason);
    json_t *items = why->count ? json_array() : NULL;
    for (size_t i = 0; i < why->count; i++)
        json_array_append_new(items, tree_of(&why->items[i]));
    if (items)
        json_object_set_new(o, "items", items);
    return o;
}

static json_t *seconds(int64_t us)
{
    return json_real((double)us / 1e6);
}

/* --- tasks --------------------------------------------------------------------------------- */

static const char *verdict(const struct crier_tasker *p, const struct crier_task *t, bool truth)
{
    const struct crier_taskstate *st = t->state;
    return st->live && st->queue         ? "running; another run waits for its end"
           : st->live && !t->multilaunch ? "running; it does not start again before that has ended"
           : p->restore                  ? "waits for what a sink has stored of it"
           : t->disabled                 ? "disabled: it runs only by hand"
           : st->paused                  ? "paused: it runs only by hand"
           : !t->start                   ? "has no start: it runs only by hand"
           : truth                       ? "startable"
                                         : "not startable";
}

static void put_tree(json_t *o, const char *key, struct crier_host *host, struct crier_task *t,
                     bool stop, bool *truth)
{
    struct crier_judgement v = {.truth = false};
    struct crier_why *why = crier_task_why(host->tasker, t, stop, &v);
    if (why)
        json_object_set_new(o, key, tree_of(why));
    crier_why_free(why);
    *truth = v.truth;
}

static json_t *task_answer(struct crier_host *host, struct crier_task *t, int64_t now)
{
    bool truth, stop;
    json_t *status = crier_task_status(host->tasker, t), *runs = json_array();
    json_t *o = json_pack("{s:s, s:s, s:o}", "kind", "task", "name", t->name, "time", seconds(now));
    put_tree(o, "start", host, t, false, &truth);
    put_tree(o, "stop", host, t, true, &stop);
    json_object_set_new(o, "verdict", json_string(verdict(host->tasker, t, truth)));
    static const char *const keys[] = {"last", "last_time", "next"};
    for (size_t i = 0; i < CRIER_COUNT(keys); i++) {
        if (json_object_get(status, keys[i]))
            json_object_set(o, keys[i], json_object_get(status, keys[i]));
    }
    for (const struct crier_run *run = t->state->live; run; run = run->next)
        json_array_append_new(
            runs, json_pack("{s:s, s:o}", "run_id", run->run_id, "start", seconds(run->started)));
    json_object_set_new(o, "runs", runs);
    json_decref(status);
    return o;
}

/* --- messages ------------------------------------------------------------------------------ */

static void put_item(json_t *items, const char *text, bool truth, const char *reason)
{
    json_array_append_new(items, json_pack("{s:s, s:b, s:s}", "text", text, "truth", truth,
                                           "reason", reason ? reason : ""));
}

static void put_removal(json_t *items, const struct crier_message *m, const struct crier_zone *zone)
{
    const struct crier_msgstate *st = m->state;
    char reason[80] = "", time[32];
    if (m->removal.kind == CRIER_REMOVAL_NONE)
        return;
    if (m->removal.kind == CRIER_REMOVAL_COUNT)
        snprintf(reason, sizeof reason, "after %lld sends a channel", (long long)m->removal.value);
    else
        snprintf(reason, sizeof reason, "at %s",
                 crier_time_human(zone,
                                  m->removal.kind == CRIER_REMOVAL_AT
                                      ? m->removal.value
                                      : st->first + m->removal.value,
                                  time));
    put_item(items, "remove_after is not reached", !st->ended, reason);
}

static json_t *message_answer(struct crier_host *host, struct crier_message *m, int64_t now)
{
    const struct crier_msgstate *st = m->state;
    const char *bot = m->target->bot->name;
    char label[120], period[128], reason[80] = "it does not come again", time[32];
    bool ready = crier_host_bot_ready(host, bot), away = crier_host_bot_unreachable(host, bot);
    bool due = st->due <= now;
    json_t *items = json_array();
    if (st->due != CRIER_NEVER)
        snprintf(reason, sizeof reason, "%s %s", due ? "since" : "next",
                 crier_time_human(host->current->zone, st->due, time));
    put_item(items, crier_period_text(&m->period, period), due, reason);
    put_item(items, "not paused", !st->paused, st->paused ? "crier message resume" : NULL);
    put_removal(items, m, host->current->zone);
    put_item(items, "the send before has ended", !st->send, NULL);
    crier_message_label(m, label, sizeof label);
    char *text = crier_asprintf("bot '%s' reaches Discord", bot);
    put_item(items, text, ready && !away, ready && !away ? NULL : "the send waits for it");
    free(text);
    json_t *o = json_pack("{s:s, s:s, s:o, s:s, s:{s:s, s:b, s:s, s:o}}", "kind", "message", "name",
                          label, "time", seconds(now), "verdict",
                          st->ended    ? "has ended"
                          : st->paused ? "paused: it is sent only by hand"
                          : st->send   ? "being sent"
                          : due        ? "due"
                                       : "not due",
                          "start", "text", "AND", "truth",
                          due && !st->paused && !st->ended && !st->send && ready && !away, "reason",
                          "", "items", items);
    if (!st->ended && !st->paused && st->due != CRIER_NEVER)
        json_object_set_new(o, "next", seconds(st->due));
    if (st->last) {
        json_object_set_new(o, "last", json_string("due"));
        json_object_set_new(o, "last_time", seconds(st->last));
    }
    return o;
}

/* --- requests ------------------------------------------------------------------------------ */

static char *no_such(const struct crier_generation *gen, const char *name)
{
    size_t n = 0;
    const char **names = crier_calloc(gen->tasks->len + crier_message_count(gen) + 1, sizeof *names);
    for (guint i = 0; i < gen->tasks->len; i++)
        names[n++] = ((const struct crier_task *)gen->tasks->pdata[i])->name;
    for (guint i = 0; i < crier_message_count(gen); i++) {
        const struct crier_message *m = crier_message_at(gen, i);
        if (m->name)
            names[n++] = m->name;
    }
    const char *near = crier_nearest(name, names, n);
    char *text = near ? crier_asprintf("no task or message '%s' (did you mean '%s'?)", name, near)
                      : crier_asprintf("no task or message '%s' (crier task list and crier message "
                                       "list show them)",
                                       name);
    free(names);
    return text;
}

void crier_control_cmd_why(struct crier_host *host, struct crier_control_conn *conn,
                           json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "name"));
    struct crier_generation *gen = host->current;
    struct crier_message *m = NULL;
    struct crier_err err = {0};
    int64_t now = crier_clock_wall(host->clock);
    if (!name) {
        crier_control_finish(conn, 64, json_pack("{s:s}", "error", "which task or message?"));
        return;
    }
    struct crier_task *t = crier_task_named(gen, name);
    int rc = crier_message_find(host->poster, gen, name, &m, &err);
    bool several = rc != 0 && !t && strncmp(err.text, "more than one", 13) == 0;
    if (!t && rc != 0) {
        char *text = several ? crier_strdup(err.text) : no_such(gen, name);
        crier_control_finish(conn, 64, json_pack("{s:s}", "error", text));
        free(text);
        return;
    }
    json_t *answers = json_array();
    if (t && t->state)
        json_array_append_new(answers, task_answer(host, t, now));
    if (m)
        json_array_append_new(answers, message_answer(host, m, now));
    crier_control_finish(
        conn, 0, json_pack("{s:s, s:o}", "zone", crier_zone_name(gen->zone), "answers", answers));
}
