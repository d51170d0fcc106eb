/* SPDX-License-Identifier: MIT
 *
 * The control socket's answer to `crier events note` and `crier events close`: the event that an id
 * begins with is looked up in a sink, and a phase is added to it.
 *
 *     -> {"cmd":"event","action":"close","id":"01KB","text":"...","who":"ana"}    ("sink")
 *     <- {"done":true,"code":0,"id":"01KB...","descr":"build the report"}
 */
#include <stdlib.h>
#include <string.h>

#include "host/logs.h"
#include "host/private.h"
#include "script/event.h"

struct amending {
    struct crier_host *host;
    struct crier_control_conn *conn; /* a reference */
    json_t *request;                 /* a reference */
};

static const char *text_of(const json_t *request, const char *key)
{
    return json_string_value(json_object_get(request, key));
}

static char *field(const struct crier_record *record, const char *name)
{
    struct crier_value v;
    char scratch[32];
    bool there = crier_record_get(record, name, &v, scratch) && v.type == CRIER_STR;
    return there ? crier_strndup(v.s.data, v.s.len) : NULL;
}

static bool is_of_node(const struct crier_record *record, const char *node)
{
    struct crier_str from = crier_record_node(record);
    return from.len == strlen(node) && memcmp(from.data, node, from.len) == 0;
}

static void fail(struct amending *a, int code, char *text)
{
    crier_control_finish(a->conn, code, json_pack("{s:s}", "error", text));
    free(text);
}

/* The one record that was found, or an answer that says why not. */
static void amend(struct amending *a, struct crier_record *const *hits, size_t count)
{
    const char *action = text_of(a->request, "action"), *id = text_of(a->request, "id");
    const char *text = text_of(a->request, "text"), *node = a->host->source.node;
    if (count == 0) {
        fail(a, 1, crier_asprintf("no event's id begins with '%s'", id));
        return;
    }
    char *whole = field(hits[0], "event_id");
    struct crier_value v;
    char scratch[32];
    if (count > 1) {
        char *other = field(hits[1], "event_id");
        fail(a, 1,
             crier_asprintf("more than one event's id begins with '%s' (%s, %s%s): give more of it",
                            id, whole, other ? other : "?", count > 2 ? ", ..." : ""));
        free(other);
    } else if (!is_of_node(hits[0], node)) {
        struct crier_str from = crier_record_node(hits[0]);
        fail(a, 1,
             crier_asprintf("event %s is of node '%.*s', this host is '%s': say it there", whole,
                            (int)from.len, from.data, node));
    } else if (strcmp(action, "close") == 0 &&
               crier_record_get(hits[0], "when_finished", &v, scratch) && v.type != CRIER_NULL) {
        fail(a, 1, crier_asprintf("event %s is finished already", whole));
    } else {
        struct crier_str descr = crier_record_text(hits[0]);
        crier_event_amend(a->host, whole, action, text_of(a->request, "who"), text, false);
        crier_control_finish(a->conn, 0,
                             json_pack("{s:s, s:s%}", "id", whole, "descr", descr.data, descr.len));
    }
    free(whole);
}

static void on_found(void *arg, struct crier_record **hits, size_t count,
                     const struct crier_err *err)
{
    struct amending *a = arg;
    if (err->code)
        crier_control_finish(a->conn, crier_host_code_of(err),
                             json_pack("{s:s}", "error", err->text));
    else if (a->host->stopping)
        crier_control_finish(a->conn, 75, json_pack("{s:s}", "error", "the host is stopping"));
    else
        amend(a, hits, count);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    crier_control_unref(a->conn);
    json_decref(a->request);
    free(a);
}

static int add_text(struct crier_query *query, const char *path, enum crier_op op, const char *s,
                    struct crier_err *err)
{
    struct crier_value v = {.type = CRIER_STR, .s = {s, strlen(s)}};
    return crier_query_add(query, path, op, &v, 1, err);
}

static int make_query(const char *id, struct crier_query **out, struct crier_err *err)
{
    struct crier_query *query = crier_query_new(NULL);
    char *pattern = crier_asprintf("%s%%", id);
    int rc = add_text(query, "kind", CRIER_OP_EQ, "event", err);
    if (rc == 0)
        rc = add_text(query, "event_id", CRIER_OP_LIKE, pattern, err);
    query->limit = 3;
    free(pattern);
    *out = query;
    if (rc != 0)
        crier_query_free(query);
    return rc;
}

void crier_control_cmd_event(struct crier_host *host, struct crier_control_conn *conn,
                             json_t *request)
{
    const char *action = text_of(request, "action"), *id = text_of(request, "id");
    struct crier_declared_sink *from;
    struct crier_query *query = NULL;
    struct crier_err err = {0};
    int rc = 0;
    if (!action || (strcmp(action, "note") != 0 && strcmp(action, "close") != 0) || !id ||
        strlen(id) < 4 || strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != strlen(id))
        rc = crier_err_set(&err, CRIER_EINVAL,
                           "an event's id is at least four of its letters and digits");
    if (rc == 0)
        rc = crier_logs_choose(host->current, text_of(request, "sink"), false, &from, &err);
    if (rc == 0)
        rc = make_query(id, &query, &err);
    if (rc != 0) {
        crier_control_finish(conn, crier_host_code_of(&err), json_pack("{s:s}", "error", err.text));
        return;
    }
    struct amending *a = crier_calloc(1, sizeof *a);
    a->host = host;
    a->conn = crier_control_ref(conn);
    a->request = json_incref(request);
    crier_sink_query(from->sink, query, on_found, a);
}
