/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "discord/transport.h"

#define TIMEOUT (30 * CRIER_S)
#define CONNECT_TIMEOUT (10 * CRIER_S)
#define MAX_BODY ((size_t)8 << 20)
#define MAX_HEADERS ((size_t)256 << 10)

struct crier_http_call {
    struct curl_transport *t;
    struct crier_http_call *prev, *next; /* in t->running or t->ended */
    bool running;
    struct crier_http_request req;
    struct crier_http_response res;
    CURL *easy;
    struct curl_slist *headers;
    curl_mime *mime;
    size_t max_body;
    bool too_large;
    int64_t started;
    char message[CURL_ERROR_SIZE];
    void (*done)(void *arg, struct crier_http_response *res);
    void *arg;
};

struct list {
    struct crier_http_call *first, *last;
};

struct curl_transport {
    struct crier_transport base;
    struct crier_loop *loop;
    CURLM *multi;
    struct crier_timer curl_timer;
    struct crier_timer end_timer; /* delivers `ended` */
    struct list running, ended;
    /* SSL_CERT_FILE; NULL: the machine's. OpenSSL looks there itself, and so does the gateway;
     * libcurl, which names a file of its own, does not. */
    char *ca;
};

struct watch {
    uv_poll_t poll;
    curl_socket_t fd;
    struct curl_transport *t;
};

static void list_add(struct list *list, struct crier_http_call *call)
{
    call->next = NULL;
    call->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = call;
    list->last = call;
}

static void list_remove(struct list *list, struct crier_http_call *call)
{
    *(call->prev ? &call->prev->next : &list->first) = call->next;
    *(call->next ? &call->next->prev : &list->last) = call->prev;
}

/* --- the end of a call --------------------------------------------------------------------- */

static void release_easy(struct crier_http_call *call)
{
    if (!call->easy)
        return;
    curl_multi_remove_handle(call->t->multi, call->easy);
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
    curl_mime_free(call->mime);
    /* The copies hold the token as well. */
    for (struct curl_slist *h = call->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(call->headers);
}

static void deliver(struct crier_http_call *call)
{
    call->res.latency = crier_loop_now(call->t->loop) - call->started;
    call->done(call->arg, &call->res);
    crier_http_request_fini(&call->req);
    crier_buf_fini(&call->res.headers);
    crier_buf_fini(&call->res.body);
    free(call);
}

static void on_end_timer(struct crier_timer *timer)
{
    struct curl_transport *t = CRIER_CONTAINER(timer, struct curl_transport, end_timer);
    struct list ended = t->ended;
    t->ended = (struct list){0};
    while (ended.first) {
        struct crier_http_call *call = ended.first;
        ended.first = call->next;
        deliver(call);
    }
}

/* Half an answer is none. */
static void no_answer(struct crier_http_call *call)
{
    call->res.status = 0;
    crier_buf_clear(&call->res.body);
    crier_buf_clear(&call->res.headers);
}

/* Told at the loop's next turn. */
static void fail_later(struct crier_http_call *call)
{
    struct curl_transport *t = call->t;
    release_easy(call);
    no_answer(call);
    if (call->running)
        list_remove(&t->running, call);
    call->running = false;
    list_add(&t->ended, call);
    crier_timer_in(t->loop, &t->end_timer, 0);
}

static void fail(struct crier_http_call *call, CURLcode rc)
{
    const char *text = *call->message ? call->message : curl_easy_strerror(rc);
    struct crier_err *err = &call->res.err;
    if (call->too_large)
        crier_err_set(err, CRIER_ELIMIT, "the answer is larger than %zu bytes", call->max_body);
    else if (rc == CURLE_OPERATION_TIMEDOUT)
        crier_err_set(err, CRIER_ETIMEOUT, "no answer in time: %s", text);
    else if (rc == CURLE_READ_ERROR || rc == CURLE_ABORTED_BY_CALLBACK)
        crier_err_set(err, CRIER_EIO, "a file of the request could not be read while sending");
    else
        crier_err_set(err, CRIER_ENET, "%s", text);
    crier_err_at(err, "%s", call->req.url);
    no_answer(call);
}

static void finish(struct crier_http_call *call, CURLcode rc)
{
    long status = 0, os_errno = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
    if (rc == CURLE_OK) {
        call->res.status = (int)status;
    } else {
        fail(call, rc);
        call->res.err.sys = (int)os_errno;
    }
    list_remove(&call->t->running, call);
    call->running = false;
    release_easy(call);
    deliver(call);
}

static void harvest(struct curl_transport *t)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(t->multi, &left))) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        struct crier_http_call *call = NULL;
        CURLcode rc = msg->data.result; /* msg dies with the handle */
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        finish(call, rc);
    }
}

/* --- curl on the loop ---------------------------------------------------------------------- */

static void on_curl_timer(struct crier_timer *timer)
{
    struct curl_transport *t = CRIER_CONTAINER(timer, struct curl_transport, curl_timer);
    int running;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(t);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct curl_transport *t = arg;
    (void)multi;
    if (ms < 0)
        crier_timer_stop(t->loop, &t->curl_timer);
    else
        crier_timer_in(t->loop, &t->curl_timer, ms * CRIER_MS);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct curl_transport *t = w->t;
    int flags = 0, running;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(t->multi, w->fd, flags, &running);
    harvest(t);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct curl_transport *t = arg;
    struct watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            uv_poll_stop(&w->poll);
            curl_multi_assign(t->multi, fd, NULL);
            uv_close((uv_handle_t *)&w->poll, on_closed);
        }
        return 0;
    }
    if (!w) {
        w = crier_calloc(1, sizeof *w);
        w->fd = fd;
        w->t = t;
        if (uv_poll_init_socket(crier_loop_uv(t->loop), &w->poll, fd) != 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        curl_multi_assign(t->multi, fd, w);
    }
    int events = 0;
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    return uv_poll_start(&w->poll, events, on_poll);
}

/* --- one exchange -------------------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct crier_http_call *call = arg;
    struct crier_buf *out = &call->res.headers;
    size_t n = size * count, len = n;
    while (len && (data[len - 1] == '\r' || data[len - 1] == '\n' || data[len - 1] == ' '))
        len--;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* of each answer on the way, keep the last */
        crier_buf_clear(out);
        return n;
    }
    const char *colon = memchr(data, ':', len);
    if (!colon)
        return n;
    if (out->len + len > MAX_HEADERS)
        return 0;
    const char *value = colon + 1, *end = data + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    for (const char *p = data; p < colon; p++)
        crier_buf_putc(out, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p);
    crier_buf_puts(out, ": ");
    crier_buf_append(out, value, (size_t)(end - value));
    crier_buf_putc(out, '\n');
    return n;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct crier_http_call *call = arg;
    size_t n = size * count;
    if (call->res.body.len + n > call->max_body) {
        call->too_large = true;
        return 0;
    }
    crier_buf_append(&call->res.body, data, n);
    return n;
}

/* Called when the connection stands and before the first byte of the request. */
static int on_ready(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct crier_http_call *call = arg;
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    call->res.sent = CRIER_HTTP_UNKNOWN;
    call->res.connecting = crier_loop_now(call->t->loop) - call->started;
    if (call->req.sent)
        call->req.sent(call->arg);
    return CURL_PREREQFUNC_OK;
}

static int set_parts(struct crier_http_call *call, struct crier_err *err)
{
    call->mime = curl_mime_init(call->easy);
    for (size_t i = 0; i < call->req.part_count; i++) {
        const struct crier_http_part *part = &call->req.parts[i];
        curl_mimepart *p = curl_mime_addpart(call->mime);
        curl_mime_name(p, part->name);
        if (part->path && access(part->path, R_OK) != 0)
            return crier_err_sys(err, errno == ENOENT ? CRIER_ENOTFOUND : CRIER_EIO, errno,
                                 "file '%s' cannot be read", part->path);
        if (part->path)
            curl_mime_filedata(p, part->path);
        else
            curl_mime_data(p, part->data, part->len);
        if (part->filename)
            curl_mime_filename(p, part->filename);
        if (part->content_type)
            curl_mime_type(p, part->content_type);
    }
    curl_easy_setopt(call->easy, CURLOPT_MIMEPOST, call->mime);
    return 0;
}

static bool has_header(const struct crier_http_request *req, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < req->header_count; i++)
        if (strncasecmp(req->headers[i], name, len) == 0)
            return true;
    return false;
}

static int set_method(struct crier_http_call *call, struct crier_err *err)
{
    const struct crier_http_request *req = &call->req;
    const char *method = req->method;
    CURL *easy = call->easy;
    int rc = 0;
    if (req->part_count) {
        rc = set_parts(call, err);
    } else if (req->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
               strcmp(method, "PATCH") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body ? req->body : "");
        if (!has_header(req, "Content-Type:")) /* or curl claims that it is a form */
            call->headers = curl_slist_append(call->headers, "Content-Type:");
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return 0;
    } else if (strcmp(method, "GET") == 0) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        return 0;
    }
    if (strcmp(method, "POST") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    return rc;
}

static int set_up(struct crier_http_call *call, struct crier_err *err)
{
    const struct crier_http_request *req = &call->req;
    CURL *easy = call->easy;
    int64_t timeout = req->timeout > 0 ? req->timeout : TIMEOUT;
    int64_t connect = timeout < CONNECT_TIMEOUT ? timeout : CONNECT_TIMEOUT;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->message);
    curl_easy_setopt(easy, CURLOPT_URL, req->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, req->redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)req->redirects);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)((timeout + 999) / CRIER_MS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)((connect + 999) / CRIER_MS));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    /* Reading the machine's certificates costs tens of milliseconds a connection; curl keeps them
     * from one connection to the next only where they are one file, not a folder too. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (call->t->ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, call->t->ca);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Rather one more stream on a connection that is being made than one more connection. */
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, strncasecmp(req->url, "https:", 6) == 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    for (size_t i = 0; i < req->header_count; i++)
        call->headers = curl_slist_append(call->headers, req->headers[i]);
    /* A large body would wait a second for a "100 Continue" that few servers send. */
    call->headers = curl_slist_append(call->headers, "Expect:");
    int rc = set_method(call, err);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    return rc;
}

static int open_multi(struct curl_transport *t, struct crier_err *err)
{
    if (t->multi)
        return 0;
    if (!crier_loop_uv(t->loop))
        return crier_err_set(err, CRIER_ENET, "there is no network in virtual time");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(t->multi = curl_multi_init()))
        return crier_err_set(err, CRIER_ENET, "libcurl cannot be initialised");
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    return 0;
}

static struct crier_http_call *start(struct crier_transport *base, struct crier_http_request *req,
                                     void (*done)(void *arg, struct crier_http_response *res),
                                     void *arg)
{
    struct curl_transport *t = CRIER_CONTAINER(base, struct curl_transport, base);
    struct crier_http_call *call = crier_calloc(1, sizeof *call);
    struct crier_err *err = &call->res.err;
    call->t = t;
    call->req = *req;
    memset(req, 0, sizeof *req);
    call->done = done;
    call->arg = arg;
    call->max_body = call->req.max_body ? call->req.max_body : MAX_BODY;
    call->started = crier_loop_now(t->loop);
    int rc = open_multi(t, err);
    if (rc)
        goto out;
    call->easy = curl_easy_init();
    if (!call->easy) {
        rc = crier_err_set(err, CRIER_ENET, "libcurl has no handle left");
        goto out;
    }
    rc = set_up(call, err);
    if (rc)
        goto out;
    list_add(&t->running, call);
    call->running = true;
    if (curl_multi_add_handle(t->multi, call->easy) != CURLM_OK)
        rc = crier_err_set(err, CRIER_ENET, "libcurl refuses the request");
out:
    if (rc)
        fail_later(call);
    return call;
}

static void cancel(struct crier_transport *base, struct crier_http_call *call)
{
    (void)base;
    if (!call->running)
        return; /* its end is on the way already */
    crier_err_set(&call->res.err, CRIER_ECANCELED, "given up by its owner");
    fail_later(call);
}

static void transport_free(struct crier_transport *base)
{
    struct curl_transport *t = CRIER_CONTAINER(base, struct curl_transport, base);
    while (t->running.first)
        cancel(base, t->running.first);
    crier_timer_stop(t->loop, &t->end_timer);
    while (t->ended.first)
        on_end_timer(&t->end_timer);
    if (t->multi) {
        curl_multi_cleanup(t->multi);
        curl_global_cleanup();
    }
    crier_timer_stop(t->loop, &t->curl_timer);
    crier_timer_stop(t->loop, &t->end_timer);
    free(t->ca);
    free(t);
}

struct crier_transport *crier_transport_curl(struct crier_loop *loop)
{
    static const struct crier_transport_ops ops = {start, cancel, transport_free, true};
    struct curl_transport *t = crier_calloc(1, sizeof *t);
    const char *ca = getenv("SSL_CERT_FILE");
    t->base.ops = &ops;
    t->loop = loop;
    t->ca = ca && *ca ? crier_strdup(ca) : NULL;
    t->curl_timer.fire = on_curl_timer;
    t->end_timer.fire = on_end_timer;
    return &t->base;
}
