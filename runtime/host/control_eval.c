/* SPDX-License-Identifier: MIT
 *
 * The control socket's answer to `crier eval`:
 *
 *     -> {"cmd":"eval","lua":"#crier.sinks"}
 *     <- {"out":"a printed line"} ...
 *        {"done":true,"code":0,"texts":["3"],"values":[3]}
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "host/private.h"
#include "script/eval.h"

struct evaluating {
    struct crier_control_conn *conn; /* a reference; NULL: the client has gone */
    struct crier_eval *eval;
};

static void on_gone(void *arg)
{
    struct evaluating *e = arg;
    crier_control_unref(e->conn);
    e->conn = NULL;
    if (e->eval)
        crier_eval_cancel(e->eval); /* frees e, now or later */
}

static void on_print(void *arg, const char *text, size_t len)
{
    struct evaluating *e = arg;
    struct crier_buf b = {0};
    if (!e->conn)
        return;
    crier_json_open(&b, '{');
    crier_json_key(&b, "out");
    crier_json_strn(&b, text, len);
    crier_json_close(&b, '}');
    crier_control_reply_text(e->conn, b.data, b.len);
    crier_buf_fini(&b);
}

static void on_end(void *arg, json_t *texts, json_t *values, const struct crier_lua_error *error)
{
    struct evaluating *e = arg;
    struct crier_control_conn *conn = e->conn;
    json_t *extra = NULL;
    if (error) {
        extra = json_pack("{s:s?}", "error", error->message);
        if (error->traceback && *error->traceback)
            json_object_set_new(extra, "traceback", json_string(error->traceback));
    } else {
        extra = json_pack("{s:O, s:O}", "texts", texts, "values", values);
    }
    if (conn) {
        crier_control_on_close(conn, NULL, NULL);
        crier_control_finish(conn, error ? 1 : 0, extra);
        crier_control_unref(conn);
    } else {
        json_decref(extra);
    }
    free(e);
}

void crier_control_cmd_eval(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request)
{
    const json_t *lua = json_object_get(request, "lua");
    struct evaluating *e;
    if (!json_is_string(lua)) {
        crier_control_finish(conn, 64, json_pack("{s:s}", "error", "which Lua?"));
        return;
    }
    e = crier_calloc(1, sizeof *e);
    e->conn = crier_control_ref(conn);
    crier_control_on_close(conn, on_gone, e);
    const struct crier_eval_out out = {.arg = e, .print = on_print, .done = on_end};
    struct crier_eval *eval =
        crier_eval_start(host->current, json_string_value(lua), json_string_length(lua), &out);
    if (!eval)
        return;
    e->eval = eval;
    if (!e->conn) /* it went while we were printing */
        crier_eval_cancel(eval);
}
