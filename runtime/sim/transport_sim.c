/* SPDX-License-Identifier: MIT */
#include "sim/model.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

struct sim_transport {
    struct crier_transport base;
    struct crier_sim *sim;
    struct crier_loop *loop;
    struct crier_http_call *calls;
};

struct crier_http_call {
    struct sim_transport *transport;
    struct crier_http_call *next, **link;
    struct crier_http_request req;
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
    int64_t started;
    bool arrived; /* the model has it */
    struct crier_timer timer;
    struct crier_http_response res;
};

static void finish(struct crier_http_call *call)
{
    struct sim_transport *t = call->transport;
    crier_timer_stop(t->loop, &call->timer);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->res.latency = crier_loop_now(t->loop) - call->started;
    call->done(call->arg, &call->res);
    crier_http_request_fini(&call->req);
    crier_buf_fini(&call->res.headers);
    crier_buf_fini(&call->res.body);
    free(call);
}

static void fail(struct crier_http_call *call, int code, enum crier_http_sent sent,
                 const char *text)
{
    call->res.status = 0;
    call->res.sent = sent;
    crier_buf_clear(&call->res.headers);
    crier_buf_clear(&call->res.body);
    crier_err_set(&call->res.err, code, "%s", text);
    crier_err_at(&call->res.err, "simulator");
}

static const char *header_value(const struct crier_http_request *req, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < req->header_count; i++) {
        const char *line = req->headers[i];
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

/* A part that is a file gets its length, which is all that the model looks at. */
static bool measure_files(struct crier_http_call *call)
{
    for (size_t i = 0; i < call->req.part_count; i++) {
        struct crier_http_part *part = &call->req.parts[i];
        struct stat st;
        if (part->data || !part->path)
            continue;
        if (stat(part->path, &st) != 0) {
            call->res.status = 0;
            call->res.sent = CRIER_HTTP_NOT_SENT;
            crier_err_sys(&call->res.err, CRIER_EIO, errno, "cannot read '%s'", part->path);
            return false;
        }
        part->len = (size_t)st.st_size;
    }
    return true;
}

static void take_answer(struct crier_http_call *call, struct crier_sim_answer *ans)
{
    struct crier_http_response *res = &call->res;
    size_t max = call->req.max_body ? call->req.max_body : 8 << 20;
    res->sent = CRIER_HTTP_UNKNOWN;
    switch (ans->close) {
    case CRIER_SIM_ANSWER:
        if (ans->body.len > max) {
            fail(call, CRIER_ELIMIT, CRIER_HTTP_UNKNOWN, "the answer is too large");
            break;
        }
        res->status = ans->status;
        res->headers = ans->headers;
        ans->headers = (struct crier_buf){0};
        if (strcmp(call->req.method, "HEAD") != 0) {
            res->body = ans->body;
            ans->body = (struct crier_buf){0};
        }
        break;
    case CRIER_SIM_REFUSE:
        fail(call, CRIER_ENET, CRIER_HTTP_NOT_SENT, "connection refused");
        break;
    case CRIER_SIM_RESET:
        fail(call, CRIER_ENET, CRIER_HTTP_UNKNOWN, "connection reset");
        break;
    case CRIER_SIM_CLOSE:
    case CRIER_SIM_CUT:
        fail(call, CRIER_ENET, CRIER_HTTP_UNKNOWN, "the server closed the connection");
        break;
    }
}

/* "http://host:port/api/v10/x" to "/api/v10/x". */
static const char *url_path(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = strchr(host ? host + 3 : url, '/');
    return path ? path : "/";
}

/* Half of the latency is the way there, so that what was cancelled before did not happen. */
static void arrive(struct crier_http_call *call)
{
    struct sim_transport *t = call->transport;
    struct crier_sim_answer ans = {0};
    call->arrived = true;
    if (!measure_files(call)) {
        crier_timer_in(t->loop, &call->timer, 0);
        return;
    }
    struct crier_sim_request req = {.method = call->req.method,
                                    .path = url_path(call->req.url),
                                    .authorization = header_value(&call->req, "Authorization"),
                                    .user_agent = header_value(&call->req, "User-Agent"),
                                    .content_type = header_value(&call->req, "Content-Type"),
                                    .body = call->req.body,
                                    .body_len = call->req.body_len,
                                    .parts = call->req.parts,
                                    .part_count = call->req.part_count};
    crier_sim_handle(t->sim, &req, &ans);
    take_answer(call, &ans);
    int64_t timeout = call->req.timeout ? call->req.timeout : 30 * CRIER_S;
    int64_t wait = t->sim->config.latency - t->sim->config.latency / 2 + ans.delay_us;
    int64_t left = call->started + timeout - crier_loop_now(t->loop);
    if (wait > left) {
        fail(call, CRIER_ETIMEOUT, CRIER_HTTP_UNKNOWN, "no answer in time");
        wait = left > 0 ? left : 0;
    }
    crier_sim_answer_fini(&ans);
    crier_timer_in(t->loop, &call->timer, wait);
}

static void on_timer(struct crier_timer *timer)
{
    struct crier_http_call *call = CRIER_CONTAINER(timer, struct crier_http_call, timer);
    if (call->arrived)
        finish(call);
    else
        arrive(call);
}

static struct crier_http_call *start(struct crier_transport *base, struct crier_http_request *req,
                                     void (*done)(void *arg, struct crier_http_response *res),
                                     void *arg)
{
    struct sim_transport *t = CRIER_CONTAINER(base, struct sim_transport, base);
    struct crier_http_call *call = crier_calloc(1, sizeof *call);
    call->transport = t;
    call->req = *req;
    memset(req, 0, sizeof *req);
    call->done = done;
    call->arg = arg;
    call->started = crier_loop_now(t->loop);
    call->next = t->calls;
    call->link = &t->calls;
    if (call->next)
        call->next->link = &call->next;
    t->calls = call;
    call->timer.fire = on_timer;
    crier_timer_in(t->loop, &call->timer, t->sim->config.latency / 2);
    return call;
}

static void cancel(struct crier_transport *base, struct crier_http_call *call)
{
    struct sim_transport *t = CRIER_CONTAINER(base, struct sim_transport, base);
    fail(call, CRIER_ECANCELED, call->arrived ? CRIER_HTTP_UNKNOWN : CRIER_HTTP_NOT_SENT,
         "cancelled");
    call->arrived = true;
    crier_timer_in(t->loop, &call->timer, 0);
}

static void transport_free(struct crier_transport *base)
{
    struct sim_transport *t = CRIER_CONTAINER(base, struct sim_transport, base);
    while (t->calls) {
        cancel(base, t->calls);
        finish(t->calls);
    }
    free(t);
}

static const struct crier_transport_ops ops = {start, cancel, transport_free, false};

struct crier_transport *crier_sim_transport(struct crier_sim *sim, struct crier_loop *loop)
{
    struct sim_transport *t = crier_calloc(1, sizeof *t);
    t->base.ops = &ops;
    t->sim = sim;
    t->loop = loop;
    return &t->base;
}
