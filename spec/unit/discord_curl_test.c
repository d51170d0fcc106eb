/* SPDX-License-Identifier: MIT
 *
 * The curl transport on a live loop against a small HTTP server in a thread, on loopback.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "discord/transport.h"

/* --- the server ---------------------------------------------------------------------------- */

enum { MAX_CONNECTIONS = 64 };

static struct {
    int fd, port;
    int wake[2];
    pthread_t thread;
    atomic_int accepted, requests, drop_accepted, closed;
    struct {
        int fd;
        const char *drip; /* what is left to say, a byte now and then */
        struct crier_buf in;
    } conn[MAX_CONNECTIONS];
    int count;
} server;

/* Answers that never end, in the body and in the head. */
static const char drip_body[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{";
static const char drip_head[] = "HTTP/1.1 200 OK\r\nX-Long: ";

static void say(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void answer(int fd, const char *status, const char *headers, const char *body, size_t len)
{
    struct crier_buf out = {0};
    crier_buf_printf(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, len, headers);
    crier_buf_append(&out, body, len);
    say(fd, out.data, out.len); /* at once, or delayed acknowledgements cost 40 ms each */
    crier_buf_fini(&out);
}

/* False: close the connection. */
static bool serve(int fd, const struct crier_buf *request)
{
    const char *path = strchr(request->data, ' ') + 1;
    size_t len = strcspn(path, " ");
    server.requests++;
    if (strncmp(path, "/echo", len) == 0) {
        answer(fd, "200 OK", "X-Thing:   Some Value \r\n", request->data, request->len);
    } else if (strncmp(path, "/drop", len) == 0) {
        return false;
    } else if (strncmp(path, "/half", len) == 0) {
        static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
        say(fd, half, sizeof half - 1);
        return false;
    } else if (strncmp(path, "/slow", len) == 0) {
        return true;
    } else if (strncmp(path, "/big", len) == 0) {
        char *big = crier_calloc(1, 1 << 20);
        answer(fd, "200 OK", "", big, 1 << 20);
        free(big);
    } else if (strncmp(path, "/there", len) == 0) {
        answer(fd, "302 Found", "Location: /echo\r\nX-Old: 1\r\n", "moved", 5);
    } else if (strncmp(path, "/round", len) == 0) {
        answer(fd, "302 Found", "Location: /round\r\n", "", 0);
    } else if (strncmp(path, "/file", len) == 0) {
        answer(fd, "302 Found", "Location: file:///etc/passwd\r\n", "", 0);
    } else if (strncmp(path, "/bye", len) == 0) {
        answer(fd, "200 OK", "", "bye", 3);
        return false; /* without having said so */
    } else if (strncmp(path, "/none", len) == 0) {
        say(fd, "HTTP/1.1 204 No Content\r\n\r\n", 27);
    } else {
        answer(fd, "404 Not Found", "", "{}", 2);
    }
    return true;
}

/* The whole request is there. */
static bool complete(const struct crier_buf *in)
{
    const char *end = in->len ? strstr(in->data, "\r\n\r\n") : NULL;
    if (!end)
        return false;
    const char *length = strcasestr(in->data, "content-length:");
    size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return in->len >= (size_t)(end - in->data) + 4 + body;
}

static void hang_up(int i)
{
    close(server.conn[i].fd);
    server.closed++;
    crier_buf_fini(&server.conn[i].in);
    server.conn[i] = server.conn[--server.count];
    memset(&server.conn[server.count], 0, sizeof server.conn[0]);
}

static void hear(int i)
{
    struct crier_buf *in = &server.conn[i].in;
    ssize_t n = recv(server.conn[i].fd, crier_buf_reserve(in, 65536), 65536, 0);
    static const char *const paths[] = {"GET /drip-body ", "GET /drip-head "};
    if (n <= 0) {
        hang_up(i);
        return;
    }
    in->len += (size_t)n;
    in->data[in->len] = '\0';
    if (!complete(in))
        return;
    for (int d = 0; d < 2; d++)
        if (strncmp(in->data, paths[d], strlen(paths[d])) == 0)
            server.conn[i].drip = d ? drip_head : drip_body;
    bool stay = server.conn[i].drip || serve(server.conn[i].fd, in);
    crier_buf_clear(in);
    if (!stay)
        hang_up(i);
}

/* The next byte of each; whether there are any. */
static bool drip(void)
{
    bool any = false;
    for (int i = 0; i < server.count; i++) {
        const char **left = &server.conn[i].drip;
        if (!*left)
            continue;
        any = true;
        say(server.conn[i].fd, **left ? *left : "x", 1);
        *left += **left != '\0';
    }
    return any;
}

static void *server_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct pollfd p[MAX_CONNECTIONS + 2] = {{server.wake[0], POLLIN, 0},
                                                {server.fd, POLLIN, 0}};
        int count = server.count;
        for (int i = 0; i < count; i++)
            p[i + 2] = (struct pollfd){server.conn[i].fd, POLLIN, 0};
        poll(p, (nfds_t)count + 2, drip() ? 2 : -1);
        if (p[0].revents)
            break;
        for (int i = count - 1; i >= 0; i--)
            if (p[i + 2].revents)
                hear(i);
        if (p[1].revents) {
            int fd = accept(server.fd, NULL, NULL);
            server.accepted++;
            if (server.drop_accepted > 0) {
                server.drop_accepted--;
                close(fd);
            } else {
                server.conn[server.count++].fd = fd;
            }
        }
    }
    while (server.count)
        hang_up(0);
    return NULL;
}

static int bound_socket(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* --- the client's side --------------------------------------------------------------------- */

static struct crier_loop *loop;
static struct crier_transport *transport;

static int set_up(void **state)
{
    (void)state;
    memset(&server, 0, sizeof server);
    server.fd = bound_socket(&server.port);
    assert_int_equal(listen(server.fd, 64), 0);
    assert_int_equal(pipe(server.wake), 0);
    pthread_create(&server.thread, NULL, server_main, NULL);
    loop = crier_loop_new(crier_clock_real());
    transport = crier_transport_curl(loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (transport)
        transport->ops->free(transport);
    crier_loop_free(loop);
    assert_int_equal(write(server.wake[1], "x", 1), 1);
    pthread_join(server.thread, NULL);
    close(server.fd);
    close(server.wake[0]);
    close(server.wake[1]);
    return 0;
}

struct result {
    bool done;
    int status;
    enum crier_http_sent sent;
    struct crier_err err;
    struct crier_buf headers, body;
    int64_t latency;
};
static int waiting;
static bool starting;

static void on_done(void *arg, struct crier_http_response *res)
{
    struct result *r = arg;
    assert_false(starting);
    assert_false(r->done);
    r->done = true;
    r->status = res->status;
    r->sent = res->sent;
    r->err = res->err;
    r->latency = res->latency;
    if (res->headers.len)
        crier_buf_puts(&r->headers, res->headers.data);
    if (res->body.len)
        crier_buf_append(&r->body, res->body.data, res->body.len);
    if (--waiting == 0)
        crier_loop_stop(loop);
}

static void prepare(struct crier_http_request *req, const char *method, const char *path)
{
    char *url = crier_asprintf("http://127.0.0.1:%d%s", server.port, path);
    crier_http_request_init(req, method, url);
    free(url);
    req->timeout = 10 * CRIER_S;
}

static struct crier_http_call *begin(struct crier_http_request *req, struct result *r)
{
    memset(r, 0, sizeof *r);
    waiting++;
    starting = true;
    struct crier_http_call *call = transport->ops->start(transport, req, on_done, r);
    starting = false;
    assert_null(req->url); /* moved */
    return call;
}

static void wait_all(void)
{
    while (waiting)
        crier_loop_run(loop, crier_loop_now(loop) + 20 * CRIER_S);
}

static void forget(struct result *r)
{
    crier_buf_fini(&r->headers);
    crier_buf_fini(&r->body);
}

static void exchange(struct crier_http_request *req, struct result *r)
{
    begin(req, r);
    wait_all();
    assert_true(r->done);
}

static void get(const char *path, struct result *r)
{
    struct crier_http_request req;
    prepare(&req, "GET", path);
    exchange(&req, r);
}

static void an_exchange(void **state)
{
    (void)state;
    struct crier_http_request req;
    struct result r;
    prepare(&req, "PATCH", "/echo");
    crier_http_request_header(&req, "Authorization", "Bot abc");
    crier_http_request_header(&req, "Content-Type", "application/json");
    req.body = crier_strdup("{\"a\":1}");
    req.body_len = 7;
    exchange(&req, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.err.code, 0);
    assert_true(r.latency > 0);
    assert_non_null(strstr(r.headers.data, "x-thing: Some Value\n"));
    assert_null(strstr(r.headers.data, "HTTP/"));
    assert_int_equal(strncmp(r.body.data, "PATCH /echo HTTP/1.1\r\n", 22), 0);
    assert_non_null(strstr(r.body.data, "Authorization: Bot abc\r\n"));
    assert_non_null(strstr(r.body.data, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(r.body.data, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(r.body.data, "Expect:"));
    struct crier_http_response res = {.headers = r.headers};
    char value[8];
    assert_true(crier_http_header(&res, "x-thing", value, sizeof value));
    assert_string_equal(value, "Some Va"); /* cut */
    assert_false(crier_http_header(&res, "thing", value, sizeof value));
    forget(&r);
}

static void bodies_of_all_methods(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "DELETE", "PUT", "POST"};
    for (size_t i = 0; i < 4; i++) {
        struct crier_http_request req;
        struct result r;
        prepare(&req, methods[i], "/echo");
        exchange(&req, &r);
        assert_int_equal(r.status, 200);
        assert_int_equal(strncmp(r.body.data, methods[i], strlen(methods[i])), 0);
        assert_null(strstr(r.body.data, "Content-Type"));
        assert_true(!strstr(r.body.data, "Content-Length: 0") == (i < 2));
        forget(&r);
    }
    struct result r;
    get("/none", &r);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.body.len, 0);
    forget(&r);
}

static void one_connection_for_many_requests(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct result r;
        get("/echo", &r);
        assert_int_equal(r.status, 200);
        forget(&r);
    }
    assert_int_equal(server.accepted, 1);
    assert_int_equal(server.requests, 50);
}

static void many_at_once(void **state)
{
    (void)state;
    static struct result r[40];
    for (size_t i = 0; i < 40; i++) {
        struct crier_http_request req;
        prepare(&req, "POST", "/echo");
        req.body = crier_asprintf("number %zu.", i);
        req.body_len = strlen(req.body);
        begin(&req, &r[i]);
    }
    wait_all();
    for (size_t i = 0; i < 40; i++) {
        char text[24];
        snprintf(text, sizeof text, "\r\n\r\nnumber %zu.", i);
        assert_int_equal(r[i].status, 200);
        assert_non_null(strstr(r[i].body.data, text));
        forget(&r[i]);
    }
}

static void how_far_a_failure_got(void **state)
{
    (void)state;
    struct result r;
    struct crier_http_request req;
    int port, closed = bound_socket(&port); /* bound but not listening */
    char *url = crier_asprintf("http://127.0.0.1:%d/", port);
    crier_http_request_init(&req, "POST", url);
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);
    assert_string_equal(r.err.where, url);
    free(url);
    close(closed);

    /* A label of 64 characters is no name, which the resolver knows without asking anybody. */
    crier_http_request_init(&req, "POST",
                            "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid/");
    exchange(&req, &r);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);

    /* The server speaks no TLS. */
    url = crier_asprintf("https://127.0.0.1:%d/", server.port);
    crier_http_request_init(&req, "GET", url);
    req.timeout = 300 * CRIER_MS;
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);
    free(url);

    get("/drop", &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_UNKNOWN);

    get("/half", &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_UNKNOWN);

    prepare(&req, "GET", "/slow");
    req.timeout = 200 * CRIER_MS;
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ETIMEOUT);
    assert_int_equal(r.sent, CRIER_HTTP_UNKNOWN);
    assert_in_range(r.latency, 190 * CRIER_MS, 60 * CRIER_S);
}

/* A byte that comes in time does not make an answer that does. */
static void a_byte_at_a_time(void **state)
{
    (void)state;
    static const char *const paths[] = {"/drip-body", "/drip-head"};
    for (int i = 0; i < 2; i++) {
        struct result r;
        struct crier_http_request req;
        prepare(&req, "GET", paths[i]);
        req.timeout = 400 * CRIER_MS;
        exchange(&req, &r);
        assert_int_equal(r.status, 0);
        assert_int_equal(r.err.code, CRIER_ETIMEOUT);
        assert_int_equal(r.sent, CRIER_HTTP_UNKNOWN);
        assert_in_range(r.latency, 390 * CRIER_MS, 60 * CRIER_S);
        forget(&r);
    }
}

/* A fresh connection that is closed before it carried anything: the request may not have been
 * read, but bytes may have gone out. */
static void a_connection_dropped_at_once(void **state)
{
    (void)state;
    struct result r;
    server.drop_accepted = 1;
    get("/echo", &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_UNKNOWN);
    assert_int_equal(server.requests, 0);
}

static void a_stale_connection_is_replaced(void **state)
{
    (void)state;
    struct result r;
    get("/bye", &r);
    assert_int_equal(r.status, 200);
    forget(&r);
    while (!server.closed) /* the next request must not be out before the server closes */
        sched_yield();
    struct crier_http_request req;
    prepare(&req, "POST", "/echo");
    req.body = crier_strdup("x");
    req.body_len = 1;
    exchange(&req, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(server.accepted, 2);
    assert_int_equal(server.requests, 2);
    forget(&r);
}

static void large_answers_are_refused(void **state)
{
    (void)state;
    struct crier_http_request req;
    struct result r;
    get("/big", &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 1 << 20);
    forget(&r);
    prepare(&req, "GET", "/big");
    req.max_body = 1000;
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ELIMIT);
    assert_non_null(strstr(r.err.text, "1000 bytes"));
}

static void redirects(void **state)
{
    (void)state;
    struct crier_http_request req;
    struct result r;
    get("/there", &r); /* not followed unless asked for */
    assert_int_equal(r.status, 302);
    assert_non_null(strstr(r.headers.data, "location: /echo\n"));
    assert_string_equal(r.body.data, "moved");
    forget(&r);
    prepare(&req, "GET", "/there");
    req.redirects = 5;
    exchange(&req, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(strncmp(r.body.data, "GET /echo", 9), 0);
    assert_null(strstr(r.headers.data, "x-old")); /* of the last answer only */
    forget(&r);
    prepare(&req, "GET", "/round");
    req.redirects = 3;
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    prepare(&req, "GET", "/file");
    req.redirects = 3;
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.body.len, 0);
    crier_http_request_init(&req, "GET", "file:///etc/passwd");
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);
}

static void add_part(struct crier_http_request *req, const char *name, const char *filename,
                     const char *type, const char *data, const char *path)
{
    req->parts = crier_realloc(req->parts, (req->part_count + 1) * sizeof *req->parts);
    req->parts[req->part_count++] = (struct crier_http_part){.name = crier_strdup(name),
                                                             .filename = crier_strdup(filename),
                                                             .content_type = crier_strdup(type),
                                                             .data = crier_strdup(data),
                                                             .len = data ? strlen(data) : 0,
                                                             .path = crier_strdup(path)};
}

static void multipart(void **state)
{
    (void)state;
    char path[] = "/tmp/crier-part-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "from disk", 9), 9);
    close(fd);
    struct crier_http_request req;
    struct result r;
    prepare(&req, "PATCH", "/echo");
    add_part(&req, "payload_json", NULL, "application/json", "{\"content\":\"x\"}", NULL);
    add_part(&req, "files[0]", "a\"b.txt", NULL, "in memory", NULL);
    add_part(&req, "files[1]", "log.txt", NULL, NULL, path);
    exchange(&req, &r);
    assert_int_equal(r.status, 200);
    static const char *const expected[] = {
        "PATCH /echo ",
        "Content-Type: multipart/form-data; boundary=",
        "form-data; name=\"payload_json\"\r\nContent-Type: application/json\r\n\r\n{\"content\"",
        "name=\"files[0]\"; filename=\"a%22b.txt\"\r\n",
        "\r\n\r\nin memory\r\n",
        "name=\"files[1]\"; filename=\"log.txt\"\r\n",
        "\r\n\r\nfrom disk\r\n",
    };
    for (size_t i = 0; i < CRIER_COUNT(expected); i++)
        if (!strstr(r.body.data, expected[i]))
            fail_msg("no %s in %s", expected[i], r.body.data);
    forget(&r);
    unlink(path);
    prepare(&req, "POST", "/echo");
    add_part(&req, "files[0]", "log.txt", NULL, NULL, path);
    exchange(&req, &r);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.err.code, CRIER_ENOTFOUND);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);
    assert_non_null(strstr(r.err.text, path));
    assert_int_equal(server.requests, 1);
}

static void cancel_and_free(void **state)
{
    (void)state;
    struct crier_http_request req;
    struct result a, b, c;
    prepare(&req, "GET", "/slow");
    struct crier_http_call *call = begin(&req, &a);
    starting = true; /* not from within cancel either */
    transport->ops->cancel(transport, call);
    transport->ops->cancel(transport, call);
    starting = false;
    assert_false(a.done);
    wait_all();
    assert_int_equal(a.err.code, CRIER_ECANCELED);
    assert_int_equal(a.status, 0);
    prepare(&req, "GET", "/slow");
    call = begin(&req, &b);
    crier_loop_run(loop, crier_loop_now(loop) + 50 * CRIER_MS); /* under way */
    assert_int_equal(server.requests, 1);
    transport->ops->cancel(transport, call);
    wait_all();
    assert_int_equal(b.err.code, CRIER_ECANCELED);
    assert_int_equal(b.sent, CRIER_HTTP_UNKNOWN);
    prepare(&req, "GET", "/slow");
    begin(&req, &c);
    crier_loop_run(loop, crier_loop_now(loop) + 50 * CRIER_MS);
    transport->ops->free(transport);
    transport = NULL;
    assert_true(c.done);
    assert_int_equal(c.err.code, CRIER_ECANCELED);
    waiting = 0;
}

static void no_network_in_virtual_time(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    struct crier_loop *live = loop;
    struct crier_transport *real = transport;
    loop = crier_loop_new(clock);
    transport = crier_transport_curl(loop);
    struct result r;
    get("/echo", &r);
    assert_int_equal(r.err.code, CRIER_ENET);
    assert_int_equal(r.sent, CRIER_HTTP_NOT_SENT);
    transport->ops->free(transport);
    crier_loop_free(loop);
    crier_clock_free(clock);
    loop = live;
    transport = real;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exchange),
        TEST(bodies_of_all_methods),
        TEST(one_connection_for_many_requests),
        TEST(many_at_once),
        TEST(how_far_a_failure_got),
        TEST(a_byte_at_a_time),
        TEST(a_connection_dropped_at_once),
        TEST(a_stale_connection_is_replaced),
        TEST(large_answers_are_refused),
        TEST(redirects),
        TEST(multipart),
        TEST(cancel_and_free),
        TEST(no_network_in_virtual_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
