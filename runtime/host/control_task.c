/* SPDX-License-Identifier: MIT
 *
 * The control socket's answers to `crier task`:
 *
 *     -> {"cmd":"task","do":"run","name":"fetch","params":{"n":1},"wait":true}
 *     <- {"done":true,"code":0,"name":"fetch","action":"success","run_id":"01J...","text":"..."}
 *     -> {"cmd":"task","do":"list"}      (stop, pause, resume, retry)
 *     <- {"task":{"name":"fetch","state":"waiting",...}}
 */
#include <stdlib.h>
#include <string.h>

#include "host/private.h"

/* One that waits for the end of a run. */
struct waiter {
    struct crier_host *host;
    struct crier_control_conn *conn; /* a reference */
    char *name;
};

static void free_waiter(struct waiter *w)
{
    crier_control_unref(w->conn);
    free(w->name);
    free(w);
}

static void on_told(void *arg, enum crier_action action, const char *run_id, const char *text)
{
    struct waiter *w = arg;
    bool good = action == CRIER_SUCCESS || action == CRIER_INACTION;
    json_t *extra =
        json_pack("{s:s, s:s, s:s*, s:s*}", "name", w->name, "action",
                  run_id ? crier_action_names[action] : "none", "run_id", run_id, "text", text);
    crier_control_on_close(w->conn, NULL, NULL);
    crier_control_finish(w->conn, good ? 0 : 1, extra);
    free_waiter(w);
}

static void on_gone(void *arg)
{
    struct waiter *w = arg;
    crier_task_forget(w->host->tasker, w);
    free_waiter(w);
}

static void list(struct crier_host *host, struct crier_control_conn *conn)
{
    for (guint i = 0; i < host->current->tasks->len; i++) {
        json_t *task = crier_task_status(host->tasker, host->current->tasks->pdata[i]);
        if (crier_control_reply(conn, json_pack("{s:o}", "task", task)) == CRIER_ECANCELED)
            break;
    }
    crier_control_finish(conn, 0, NULL);
}

/* Start it by hand; the answer comes now, or when it has ended. */
static int start(struct crier_host *host, struct crier_control_conn *conn, const json_t *request,
                 const char *name, bool retry, struct crier_err *err)
{
    bool wait = json_is_true(json_object_get(request, "wait"));
    json_t *given = json_object_get(request, "params");
    char *params = given ? json_dumps(given, JSON_COMPACT) : NULL;
    struct waiter *w = NULL;
    if (wait) {
        w = crier_calloc(1, sizeof *w);
        *w = (struct waiter){host, crier_control_ref(conn), crier_strdup(name)};
    }
    crier_task_told *told = wait ? on_told : NULL;
    int rc = retry ? crier_task_retry(host->tasker, name, told, w, err)
                   : crier_task_run(host->tasker, name, params, told, w, err);
    free(params);
    if (rc != 0 && w)
        free_waiter(w);
    else if (rc == 0 && w)
        crier_control_on_close(conn, on_gone, w);
    else if (rc == 0)
        crier_control_finish(
            conn, 0,
            json_pack("{s:s, s:b}", "name", name, "waits",
                      crier_task_busy(host->tasker, name)));
    return rc;
}

void crier_control_cmd_task(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    const char *name = json_string_value(json_object_get(request, "name"));
    struct crier_err err = {0};
    size_t count = 0;
    int rc;
    if (what && strcmp(what, "list") == 0) {
        list(host, conn);
        return;
    }
    if (!what || !name) {
        rc = crier_err_set(&err, CRIER_EINVAL, "which task?");
    } else if (strcmp(what, "run") == 0 || strcmp(what, "retry") == 0) {
        rc = start(host, conn, request, name, *what == 'r' && what[1] == 'e', &err);
        if (rc == 0)
            return;
    } else if (strcmp(what, "stop") == 0) {
        rc = crier_task_stop(host->tasker, name, "stopped by hand", &count, &err);
        if (rc == 0) {
            crier_control_finish(conn, count ? 0 : 1,
                                 json_pack("{s:s, s:i}", "name", name, "stopped", (int)count));
            return;
        }
    } else if (strcmp(what, "pause") == 0 || strcmp(what, "resume") == 0) {
        bool pause = *what == 'p', changed = false;
        rc = crier_task_pause(host->tasker, name, pause, &changed, &err);
        if (rc == 0) {
            json_t *task = crier_task_status(host->tasker, crier_task_named(host->current, name));
            json_object_set_new(task, "changed", json_boolean(changed));
            crier_control_finish(conn, 0, task);
            return;
        }
    } else {
        rc = crier_err_set(&err, CRIER_EINVAL, "unknown command");
    }
    err.code = rc;
    crier_control_finish(conn, rc == CRIER_ENOTFOUND ? 1 : crier_host_code_of(&err), json_pack("{s:s}", "error", err.text));
}

json_t *crier_host_task_status(struct crier_host *host, bool all, json_t **list_out)
{
    struct crier_tasker_stats st;
    const GPtrArray *tasks = host->current->tasks;
    guint n = all || tasks->len < 100 ? tasks->len : 100;
    crier_tasker_stats(host->tasker, &st);
    json_t *o = json_pack("{s:i, s:i, s:i, s:f, s:f, s:f}", "total", (int)tasks->len, "running",
                          (int)st.running, "paused", (int)st.paused, "late_max",
                          (double)st.late_max / 1e6, "late_p50", (double)st.late_p50 / 1e6,
                          "late_p99", (double)st.late_p99 / 1e6);
    for (int i = 0; i < CRIER_ACTIONS; i++)
        json_object_set_new(o, crier_action_names[i], json_integer((json_int_t)st.actions[i]));
    *list_out = json_array();
    for (guint i = 0; i < n; i++)
        json_array_append_new(*list_out, crier_task_status(host->tasker, tasks->pdata[i]));
    return o;
}
