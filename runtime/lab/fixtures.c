/* SPDX-License-Identifier: MIT */
#include "lab/fixtures.h"

#include <fnmatch.h>
#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"

struct fixture {
    char *match; /* NULL: all */
    int status;
    struct crier_buf headers, body;
    char *error; /* NULL: it answers */
    int64_t delay, from, until;
    int64_t times; /* left; -1: no end */
};

struct crier_fixtures {
    struct crier_clock *clock;
    GPtrArray *list;
    struct crier_buf log;
};

static void fixture_free(void *p)
{
    struct fixture *f = p;
    free(f->match);
    crier_buf_fini(&f->headers);
    crier_buf_fini(&f->body);
    free(f->error);
    free(f);
}

struct crier_fixtures *crier_fixtures_new(struct crier_clock *clock)
{
    struct crier_fixtures *f = crier_calloc(1, sizeof *f);
    f->clock = clock;
    f->list = g_ptr_array_new_with_free_func(fixture_free);
    crier_buf_puts(&f->log, "");
    return f;
}

void crier_fixtures_free(struct crier_fixtures *f)
{
    if (!f)
        return;
    g_ptr_array_free(f->list, TRUE);
    crier_buf_fini(&f->log);
    free(f);
}

const char *crier_fixtures_log(const struct crier_fixtures *f)
{
    return f->log.data;
}

/* --- reading ------------------------------------------------------------------------------- */

static int read_time(const json_t *v, int64_t *out, struct crier_err *err)
{
    if (json_is_number(v))
        return crier_duration_from_seconds(json_number_value(v), out, err);
    if (json_is_string(v))
        return crier_duration_parse(json_string_value(v), out, err);
    return crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"2s\"");
}

static int read_text(const json_t *v, char **out, struct crier_err *err)
{
    if (!json_is_string(v))
        return crier_err_set(err, CRIER_EINVAL, "expected a text");
    free(*out);
    *out = crier_strdup(json_string_value(v));
    return 0;
}

static int read_int(const json_t *v, int64_t lo, int64_t hi, int64_t *out, struct crier_err *err)
{
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        return crier_err_set(err, CRIER_EINVAL, "expected a whole number from %lld to %lld",
                             (long long)lo, (long long)hi);
    *out = json_integer_value(v);
    return 0;
}

static int read_headers(struct fixture *f, json_t *v, struct crier_err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(v))
        return crier_err_set(err, CRIER_EINVAL, "expected {name: value}");
    json_object_foreach (v, name, value) {
        if (!json_is_string(value))
            return crier_err_set(err, CRIER_EINVAL, "the value of '%s' is not a text", name);
        char *lower = g_ascii_strdown(name, -1);
        crier_buf_printf(&f->headers, "%s: %s\n", lower, json_string_value(value));
        g_free(lower);
    }
    return 0;
}

static int read_json(struct fixture *f, const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    crier_buf_clear(&f->body);
    crier_buf_puts(&f->body, text);
    crier_buf_puts(&f->headers, "content-type: application/json\n");
    free(text);
    return 0;
}

static int read_body(struct fixture *f, const json_t *v, struct crier_err *err)
{
    if (!json_is_string(v))
        return crier_err_set(err, CRIER_EINVAL, "expected a text (json takes any value)");
    crier_buf_append(&f->body, json_string_value(v), json_string_length(v));
    return 0;
}

static int read_member(struct fixture *f, const char *key, json_t *v, struct crier_err *err)
{
    static const char *const keys[] = {"match", "status", "headers", "json", "body", "error",
                                       "delay", "times",  "at",      "for"};
    int64_t n = 0;
    int rc;
    if (strcmp(key, "match") == 0)
        return read_text(v, &f->match, err);
    if (strcmp(key, "status") == 0) {
        rc = read_int(v, 100, 599, &n, err);
        f->status = (int)n;
        return rc;
    }
    if (strcmp(key, "headers") == 0)
        return read_headers(f, v, err);
    if (strcmp(key, "json") == 0)
        return read_json(f, v);
    if (strcmp(key, "body") == 0)
        return read_body(f, v, err);
    if (strcmp(key, "error") == 0)
        return read_text(v, &f->error, err);
    if (strcmp(key, "delay") == 0)
        return read_time(v, &f->delay, err);
    if (strcmp(key, "times") == 0)
        return read_int(v, 1, INT64_MAX, &f->times, err);
    if (strcmp(key, "at") == 0)
        return read_time(v, &f->from, err);
    if (strcmp(key, "for") == 0)
        return read_time(v, &f->until, err);
    const char *near = crier_nearest(key, keys, CRIER_COUNT(keys));
    return crier_err_set(err, CRIER_EINVAL, "unknown key%s%s%s", near ? " (did you mean '" : "",
                         near ? near : "", near ? "'?)" : "");
}

static int read_one(void *arg, json_t *obj, struct crier_err *err)
{
    struct crier_fixtures *fixtures = arg;
    const char *key;
    json_t *value;
    int rc = 0;
    if (!json_is_object(obj))
        return crier_err_set(err, CRIER_EINVAL, "expected an object");
    struct fixture *f = crier_calloc(1, sizeof *f);
    f->status = 200;
    f->times = -1;
    f->until = CRIER_NEVER;
    json_object_foreach (obj, key, value) {
        rc = read_member(f, key, value, err);
        if (rc != 0) {
            crier_err_prefix(err, "%s: ", key);
            fixture_free(f);
            return rc;
        }
    }
    f->from += crier_clock_mono(fixtures->clock);
    if (f->until != CRIER_NEVER)
        f->until += f->from;
    g_ptr_array_add(fixtures->list, f);
    return 0;
}

int crier_lab_list(const char *text, const char *many, const char *one,
                   int (*add)(void *arg, json_t *entry, struct crier_err *err), void *arg,
                   struct crier_err *err)
{
    json_error_t bad;
    json_t *list = json_loads(text, JSON_REJECT_DUPLICATES, &bad);
    int rc = 0;
    if (!list)
        return crier_err_set(err, CRIER_EINVAL, "not valid JSON: %s (line %d, column %d)", bad.text,
                             bad.line, bad.column);
    if (!json_is_array(list))
        rc = crier_err_set(err, CRIER_EINVAL, "expected an array of %s", many);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        rc = add(arg, json_array_get(list, i), err);
        if (rc != 0)
            crier_err_prefix(err, "%s %zu: ", one, i + 1);
    }
    json_decref(list);
    return rc;
}

int crier_fixtures_add(struct crier_fixtures *fixtures, const char *text, struct crier_err *err)
{
    return crier_lab_list(text, "answers", "answer", read_one, fixtures, err);
}

/* --- the transport -------------------------------------------------------------------------- */

struct crier_http_call {
    struct fixture_transport *transport;
    struct crier_http_call *next, **link;
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
    int64_t started;
    struct crier_timer timer;
    struct crier_http_response res;
};

struct fixture_transport {
    struct crier_transport base;
    struct crier_fixtures *fixtures;
    struct crier_loop *loop;
    struct crier_http_call *calls;
};

static void finish(struct crier_http_call *call)
{
    struct fixture_transport *t = call->transport;
    crier_timer_stop(t->loop, &call->timer);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->res.latency = crier_loop_now(t->loop) - call->started;
    call->done(call->arg, &call->res);
    crier_buf_fini(&call->res.headers);
    crier_buf_fini(&call->res.body);
    free(call);
}

static void on_timer(struct crier_timer *timer)
{
    finish(CRIER_CONTAINER(timer, struct crier_http_call, timer));
}

static void fail(struct crier_http_call *call, int code, const char *text)
{
    call->res.status = 0;
    call->res.sent = CRIER_HTTP_NOT_SENT;
    crier_err_set(&call->res.err, code, "%s", text);
}

static struct fixture *find(struct crier_fixtures *fixtures, const char *line)
{
    int64_t now = crier_clock_mono(fixtures->clock);
    for (guint i = 0; i < fixtures->list->len; i++) {
        struct fixture *f = fixtures->list->pdata[i];
        if (!f->times || now < f->from || now >= f->until ||
            (f->match && fnmatch(f->match, line, 0) != 0))
            continue;
        if (f->times > 0)
            f->times--;
        return f;
    }
    return NULL;
}

static int64_t answer(struct crier_http_call *call, const char *line, int64_t timeout)
{
    const struct fixture *f = find(call->transport->fixtures, line);
    if (!f) {
        fail(call, CRIER_EDENIED,
             "there is no network in virtual time, and no fixture fits (--http FILE)");
        return 0;
    }
    if (f->delay > timeout) {
        fail(call, CRIER_ETIMEOUT, "no answer in time");
        return timeout;
    }
    if (f->error) {
        fail(call, CRIER_ENET, f->error);
        return f->delay;
    }
    call->res.status = f->status;
    crier_buf_append(&call->res.headers, f->headers.len ? f->headers.data : "", f->headers.len);
    crier_buf_append(&call->res.body, f->body.len ? f->body.data : "", f->body.len);
    return f->delay;
}

static struct crier_http_call *start(struct crier_transport *base, struct crier_http_request *req,
                                     void (*done)(void *arg, struct crier_http_response *res),
                                     void *arg)
{
    struct fixture_transport *t = CRIER_CONTAINER(base, struct fixture_transport, base);
    struct crier_http_call *call = crier_calloc(1, sizeof *call);
    char *line = crier_asprintf("%s %s", req->method, req->url);
    int64_t timeout = req->timeout ? req->timeout : 30 * CRIER_S;
    call->transport = t;
    call->done = done;
    call->arg = arg;
    call->started = crier_loop_now(t->loop);
    call->next = t->calls;
    call->link = &t->calls;
    if (call->next)
        call->next->link = &call->next;
    t->calls = call;
    call->timer.fire = on_timer;
    crier_buf_printf(&t->fixtures->log, "%s\n", line);
    crier_timer_in(t->loop, &call->timer, answer(call, line, timeout));
    free(line);
    crier_http_request_fini(req);
    return call;
}

static void cancel(struct crier_transport *base, struct crier_http_call *call)
{
    struct fixture_transport *t = CRIER_CONTAINER(base, struct fixture_transport, base);
    fail(call, CRIER_ECANCELED, "cancelled");
    crier_timer_in(t->loop, &call->timer, 0);
}

static void transport_free(struct crier_transport *base)
{
    struct fixture_transport *t = CRIER_CONTAINER(base, struct fixture_transport, base);
    while (t->calls) {
        fail(t->calls, CRIER_ECANCELED, "cancelled");
        finish(t->calls);
    }
    free(t);
}

static const struct crier_transport_ops ops = {start, cancel, transport_free, false};

struct crier_transport *crier_fixtures_transport(struct crier_fixtures *fixtures,
                                                 struct crier_loop *loop)
{
    struct fixture_transport *t = crier_calloc(1, sizeof *t);
    t->base.ops = &ops;
    t->fixtures = fixtures;
    t->loop = loop;
    return &t->base;
}
