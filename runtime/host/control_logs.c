/* SPDX-License-Identifier: MIT
 *
 * The control socket's answers that read sinks: the records that match, what comes after them as it
 * happens, and the methods of a kind of sink.
 *
 *     -> {"cmd":"logs", ...}                       (host/logs.h; "follow", "sink")
 *     <- {"from":"sql","kind":"sql","zone":"Europe/Ljubljana"}
 *     <- {"record":{...}} ...                      history, then, with follow, live ones
 *     <- {"dropped":12}                            live ones that this client was too slow for
 *     <- {"done":true,"code":0}                    with "ended": the host stops
 *
 *     -> {"cmd":"call","method":"recent","args":["bot","error"]}   ("sink")
 *     <- {"done":true,"code":0,"result":[...]}
 *
 * A reading is freed when its client has gone or has its answer, and no query of it is under way.
 */
#include <stdlib.h>
#include <string.h>

#include "host/logs.h"
#include "host/private.h"
#include "script/alert.h"

#define WRITE_BYTES (64 * 1024)
#define LIVE_MAX 65536 /* records that wait for a slow client */

struct reading {
    struct crier_host *host;
    struct crier_control_conn *conn; /* a reference; NULL: there is no one left to answer */
    struct crier_sink *sink;         /* a reference */
    struct crier_logs logs;
    struct crier_record **page; /* being sent, from `at` */
    size_t count, at;
    bool asking, more;
    /* with follow */
    struct crier_query *match; /* of live records; NULL: no follow */
    bool named;                /* live records of this sink only */
    uint64_t mark;             /* seq of the last record before the live ones */
    GQueue live;
    uint64_t dropped;
    bool posted;
};

static void pump(void *arg);

static void drop_page(struct reading *r)
{
    for (size_t i = r->at; i < r->count; i++)
        crier_record_unref(r->page[i]);
    free(r->page);
    r->page = NULL;
    r->count = r->at = 0;
}

static void reading_unref(struct reading *r)
{
    if (r->conn || r->asking || r->posted)
        return;
    struct crier_record *record;
    drop_page(r);
    while ((record = g_queue_pop_head(&r->live)))
        crier_record_unref(record);
    crier_query_free(r->match);
    crier_logs_fini(&r->logs);
    crier_sink_unref(r->sink);
    free(r);
}

/* The client has gone, or is about to be answered. */
static void let_go(struct reading *r)
{
    struct crier_control_conn *conn = r->conn;
    r->conn = NULL;
    g_ptr_array_remove_fast(r->host->followers, r);
    crier_control_on_close(conn, NULL, NULL);
    crier_control_on_room(conn, NULL, NULL);
    crier_control_unref(conn);
}

static void on_gone(void *arg)
{
    struct reading *r = arg;
    let_go(r);
    reading_unref(r);
}

static void finish(struct reading *r, int code, json_t *extra)
{
    struct crier_control_conn *conn = crier_control_ref(r->conn);
    let_go(r);
    crier_control_finish(conn, code, extra);
    crier_control_unref(conn);
    reading_unref(r);
}

static void finish_err(struct reading *r, const struct crier_err *err)
{
    finish(r, crier_host_code_of(err), json_pack("{s:s}", "error", err->text));
}

/* --- sending ------------------------------------------------------------------------------- */

static void put_record(struct crier_buf *b, struct crier_record *record)
{
    struct crier_str json = crier_record_json(record);
    if (b->len)
        crier_buf_putc(b, '\n');
    crier_buf_puts(b, "{\"record\":");
    crier_buf_append(b, json.data, json.len);
    crier_buf_putc(b, '}');
    crier_record_unref(record);
}

/* The next records as one write; false: there are none at the moment. */
static bool fill(struct reading *r, struct crier_buf *b)
{
    while (b->len < WRITE_BYTES && r->at < r->count)
        put_record(b, r->page[r->at++]);
    if (r->at == r->count)
        drop_page(r);
    if (r->page || r->asking || r->more || !r->match)
        return b->len > 0;
    while (b->len < WRITE_BYTES && r->live.length)
        put_record(b, g_queue_pop_head(&r->live));
    if (!r->live.length && r->dropped) {
        crier_buf_printf(b, "%s{\"dropped\":%llu}", b->len ? "\n" : "",
                         (unsigned long long)r->dropped);
        r->dropped = 0;
    }
    return b->len > 0;
}

/* --- history ------------------------------------------------------------------------------- */

/* A record that was emitted after the reading began comes as a live one. */
static void leave_to_live(struct reading *r)
{
    const char *node = r->host->source.node;
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct crier_record *record = r->page[i];
        struct crier_str from = crier_record_node(record);
        if (crier_record_seq(record) > r->mark && from.len == strlen(node) &&
            memcmp(from.data, node, from.len) == 0)
            crier_record_unref(record);
        else
            r->page[kept++] = record;
    }
    r->more = r->more && (kept || !r->count);
    r->count = kept;
}

static void on_page(void *arg, struct crier_record **hits, size_t count,
                    const struct crier_err *err)
{
    struct reading *r = arg;
    r->asking = false;
    r->page = hits;
    r->count = count;
    r->at = 0;
    if (!r->conn) {
        reading_unref(r);
    } else if (err && err->code) {
        finish_err(r, err);
    } else {
        r->more = crier_logs_took(&r->logs, r->page, r->count);
        if (r->match)
            leave_to_live(r);
        pump(r);
    }
}

static void ask(struct reading *r)
{
    struct crier_query *query;
    struct crier_err err = {0};
    if (crier_logs_page(&r->logs, &query, &err) != 0) {
        finish_err(r, &err);
        return;
    }
    r->asking = true;
    r->more = false;
    crier_sink_query(r->sink, query, on_page, r);
}

static void pump(void *arg)
{
    struct reading *r = arg;
    struct crier_buf b = {0};
    crier_control_ref(r->conn);
    struct crier_control_conn *conn = r->conn;
    for (;;) {
        if (crier_control_backlog(conn) > CRIER_CONTROL_ROOM) {
            crier_control_on_room(conn, pump, r);
            break;
        }
        crier_buf_clear(&b);
        if (fill(r, &b)) {
            if (crier_control_reply_text(conn, b.data, b.len) != 0)
                break; /* on_gone has been called, or will be */
        } else if (r->asking || (r->match && !r->more)) {
            break;
        } else if (r->more) {
            ask(r);
            break;
        } else {
            finish(r, 0, NULL);
            break;
        }
    }
    crier_buf_fini(&b);
    crier_control_unref(conn);
}

/* --- live ---------------------------------------------------------------------------------- */

static void pump_posted(void *arg)
{
    struct reading *r = arg;
    r->posted = false;
    if (r->conn)
        pump(r);
    else
        reading_unref(r);
}

void crier_host_tap(void *arg, const struct crier_router *router, struct crier_record *record,
                    const void *to)
{
    struct crier_host *host = arg;
    crier_alerts_see(host->alerts, record);
    for (guint i = 0; i < host->followers->len; i++) {
        struct reading *r = host->followers->pdata[i];
        if (!crier_query_match(r->match, record) ||
            (r->named && !crier_router_gave(router, to, crier_sink_name(r->sink))))
            continue;
        if (r->live.length >= LIVE_MAX) {
            r->dropped++;
            continue;
        }
        g_queue_push_tail(&r->live, crier_record_ref(record));
        /* Once for all records of this turn of the loop. */
        if (!r->posted) {
            r->posted = true;
            crier_loop_post(host->loop, pump_posted, r);
        }
    }
}

void crier_host_end_followers(struct crier_host *host)
{
    while (host->followers->len) {
        struct reading *r = host->followers->pdata[0];
        struct crier_buf b = {0};
        while (fill(r, &b)) {
            crier_control_reply_text(r->conn, b.data, b.len);
            crier_buf_clear(&b);
            if (!r->conn)
                break;
        }
        crier_buf_fini(&b);
        if (r->conn)
            finish(r, 0, json_pack("{s:b}", "ended", 1));
    }
}

/* --- requests ------------------------------------------------------------------------------ */

int crier_host_code_of(const struct crier_err *err)
{
    switch (err->code) {
    case CRIER_EINVAL:
        return 64;
    case CRIER_ECONFIG:
        return EXIT_CONFIG;
    case CRIER_EBUSY:
        return EXIT_IN_USE;
    case CRIER_EINTERNAL:
        return EXIT_INTERNAL;
    default:
        return 69;
    }
}

static void refuse(struct crier_control_conn *conn, const struct crier_err *err)
{
    crier_control_finish(conn, crier_host_code_of(err), json_pack("{s:s}", "error", err->text));
}

void crier_control_cmd_logs(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request)
{
    struct crier_generation *gen = host->current;
    struct crier_declared_sink *from;
    struct crier_query *match = NULL, *page = NULL;
    struct crier_err err = {0};
    const char *name = json_string_value(json_object_get(request, "sink"));
    if (crier_logs_choose(gen, name, false, &from, &err) != 0) {
        refuse(conn, &err);
        return;
    }
    struct reading *r = crier_calloc(1, sizeof *r);
    g_queue_init(&r->live);
    r->host = host;
    r->sink = crier_sink_ref(from->sink);
    r->mark = host->source.seq;
    crier_logs_init(&r->logs, request, gen->zone, crier_clock_wall(host->clock));
    if (crier_logs_match(&r->logs, &match, &err) != 0 ||
        crier_logs_page(&r->logs, &page, &err) != 0) {
        refuse(conn, &err);
        crier_query_free(match);
        reading_unref(r);
        return;
    }
    crier_query_free(page);
    if (json_is_true(json_object_get(request, "follow"))) {
        r->match = match;
        r->named = name != NULL;
        g_ptr_array_add(host->followers, r);
    } else {
        crier_query_free(match);
    }
    r->conn = crier_control_ref(conn);
    crier_control_on_close(conn, on_gone, r);
    crier_control_reply(conn, json_pack("{s:s, s:s, s:s}", "from", from->name, "kind",
                                        from->driver->kind, "zone", crier_zone_name(gen->zone)));
    if (r->conn)
        ask(r);
}

/* --- methods ------------------------------------------------------------------------------- */

static void on_called(void *arg, const json_t *result, const struct crier_err *err)
{
    struct crier_control_conn *conn = arg;
    if (err && err->code)
        refuse(conn, err);
    else
        crier_control_finish(conn, 0, json_pack("{s:O}", "result", result));
    crier_control_unref(conn);
}

void crier_control_cmd_call(struct crier_host *host, struct crier_control_conn *conn,
                            json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "sink"));
    const char *wanted = json_string_value(json_object_get(request, "method"));
    const struct crier_sink_method *method;
    struct crier_declared_sink *s;
    struct crier_err err = {0};
    if (crier_logs_method(host->current, name, wanted ? wanted : "", &s, &method, &err) != 0) {
        refuse(conn, &err);
        return;
    }
    crier_sink_call(s->sink, method, json_incref(json_object_get(request, "args")), on_called,
                    crier_control_ref(conn));
}
