/* SPDX-License-Identifier: MIT
 *
 * The control socket's answers to `crier message`:
 *
 *     -> {"cmd":"message","do":"send","name":"gallery"}      (preview, pause, resume)
 *     <- {"done":true,"code":0,"name":"gallery","record":{...}}
 */
#include <string.h>

#include "host/private.h"

/* One request whose answer comes later. */
struct asked {
    struct crier_host *host;
    struct crier_control_conn *conn; /* a reference */
    char *name;
};

static struct asked *asked_new(struct crier_host *host, struct crier_control_conn *conn,
                               const struct crier_message *m)
{
    struct asked *a = crier_calloc(1, sizeof *a);
    char label[120];
    a->host = host;
    a->conn = crier_control_ref(conn);
    a->name = crier_strdup(crier_message_label(m, label, sizeof label));
    return a;
}

/* Consumes both. */
static void answer(struct asked *a, int code, json_t *extra)
{
    json_object_set_new(extra, "name", json_string(a->name));
    crier_control_finish(a->conn, code, extra);
    crier_control_unref(a->conn);
    free(a->name);
    free(a);
}

static void on_sent(void *arg, struct crier_record *record, const char *why)
{
    if (!record) {
        answer(arg, 1, json_pack("{s:s}", "skipped", why));
        return;
    }
    struct crier_str json = crier_record_json(record);
    struct crier_value ok;
    char scratch[32];
    bool good = crier_record_get(record, "ok", &ok, scratch) && ok.type == CRIER_TRUE;
    answer(arg, good ? 0 : 1,
           json_pack("{s:o}", "record", json_loadb(json.data, json.len, 0, NULL)));
}

static void on_shown(void *arg, json_t *shown)
{
    bool would = json_object_get(shown, "requests") && !json_object_get(shown, "skipped");
    answer(arg, would ? 0 : 1, json_pack("{s:O}", "preview", shown));
}

static void answer_state(struct crier_control_conn *conn, const struct crier_message *m, bool did)
{
    char label[120];
    json_t *extra =
        json_pack("{s:s, s:b, s:b}", "name", crier_message_label(m, label, sizeof label), "changed",
                  did, "paused", m->state->paused);
    if (!m->state->paused && m->state->due != CRIER_NEVER)
        json_object_set_new(extra, "due", json_real((double)m->state->due / 1e6));
    crier_control_finish(conn, 0, extra);
}

static int code_of(const struct crier_err *err)
{
    return err->code == CRIER_EEXIST ? 1 : crier_host_code_of(err);
}

void crier_control_cmd_message(struct crier_host *host, struct crier_control_conn *conn,
                               json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    const char *name = json_string_value(json_object_get(request, "name"));
    struct crier_message *m = NULL;
    struct crier_err err = {0};
    int rc = name ? crier_message_find(host->poster, host->current, name, &m, &err)
                  : crier_err_set(&err, CRIER_EINVAL, "which message?");
    if (rc == 0 && what && strcmp(what, "send") == 0) {
        struct asked *a = asked_new(host, conn, m);
        rc = crier_poster_send(host->poster, m, on_sent, a, &err);
        if (rc == 0)
            return;
        crier_control_unref(a->conn);
        free(a->name);
        free(a);
    } else if (rc == 0 && what && strcmp(what, "preview") == 0) {
        crier_poster_preview(host->poster, m, on_shown, asked_new(host, conn, m));
        return;
    } else if (rc == 0 && what && strcmp(what, "pause") == 0) {
        answer_state(conn, m, crier_poster_pause(host->poster, m));
        return;
    } else if (rc == 0 && what && strcmp(what, "resume") == 0) {
        bool did = crier_poster_resume(host->poster, m, &err);
        rc = err.code;
        if (rc == 0) {
            answer_state(conn, m, did);
            return;
        }
    } else if (rc == 0) {
        rc = crier_err_set(&err, CRIER_EINVAL, "unknown command");
    }
    char label[120];
    if (m)
        crier_err_prefix(&err, "message '%s': ", crier_message_label(m, label, sizeof label));
    err.code = rc;
    crier_control_finish(conn, code_of(&err), json_pack("{s:s}", "error", err.text));
}
