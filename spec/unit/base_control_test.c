/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/control.h"
#include "base/control_http.h"
#include "base/ulid.h"

/* --- a host on a thread of its own --------------------------------------------------------- */

static char folder[256];

static struct {
    struct crier_loop *loop;
    struct crier_control *control;
    pthread_t thread;
    atomic_int asked;    /* handler calls */
    atomic_int gone;     /* on_close calls */
    atomic_int refused;  /* replies that came back as canceled */
    atomic_int sent;     /* bytes flooded, in KiB */
} host;

struct later {
    struct crier_timer timer;
    struct crier_control_conn *conn;
    int turns;
};

static void on_gone(void *arg)
{
    (void)arg;
    host.gone++;
}

static void on_later(struct crier_timer *timer)
{
    struct later *l = CRIER_CONTAINER(timer, struct later, timer);
    int rc = crier_control_reply(l->conn, json_pack("{s:s}", "out", "later"));
    if (rc != 0 || ++l->turns == 3) {
        host.refused += rc != 0;
        crier_control_finish(l->conn, 3, NULL);
        crier_control_unref(l->conn);
        free(l);
        return;
    }
    crier_timer_in(host.loop, timer, 5 * CRIER_MS);
}

static void flood(struct crier_control_conn *conn)
{
    char kib[1024];
    memset(kib, 'x', sizeof kib);
    for (host.sent = 0; host.sent < 1 << 20; host.sent++) {
        if (crier_control_reply(conn, json_pack("{s:s#}", "out", kib, (int)sizeof kib)) != 0) {
            host.refused++;
            return;
        }
    }
}

#define STREAM_LINES 50000

/* Lines at the reader's pace. */
struct stream {
    struct crier_control_conn *conn;
    int next;
    size_t most; /* backlog */
};
static struct stream streaming;

static void on_stream_gone(void *arg)
{
    struct stream *s = arg;
    crier_control_unref(s->conn);
    s->conn = NULL;
    host.gone++;
}

static void stream_on(void *arg)
{
    struct stream *s = arg;
    char text[128];
    assert_non_null(s->conn);
    while (s->next < STREAM_LINES) {
        size_t backlog = crier_control_backlog(s->conn);
        s->most = backlog > s->most ? backlog : s->most;
        if (backlog > CRIER_CONTROL_ROOM) {
            crier_control_on_room(s->conn, stream_on, s);
            return;
        }
        int n = snprintf(text, sizeof text, "{\"n\":%d,\"pad\":\"%064d\"}\n{\"n\":%d}", s->next, 0,
                         s->next + 1);
        s->next += 2;
        if (crier_control_reply_text(s->conn, text, (size_t)n) != 0)
            return;
    }
    struct crier_control_conn *conn = s->conn;
    s->conn = NULL;
    crier_control_finish(conn, 5, NULL);
    crier_control_unref(conn);
}

static void handler(void *arg, struct crier_control_conn *conn, json_t *request)
{
    assert_ptr_equal(arg, &host);
    host.asked++;
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (strcmp(cmd, "echo") == 0) {
        crier_control_reply(conn, json_pack("{s:s}", "out", "one"));
        crier_control_reply(conn, json_pack("{s:O}", "record", json_object_get(request, "say")));
        crier_control_finish(conn, 7, json_pack("{s:i, s:b, s:i}", "extra", 42, "done", 0, "code", 9));
        assert_int_equal(crier_control_reply(conn, json_object()), CRIER_ECANCELED);
        crier_control_finish(conn, 8, json_object());
    } else if (strcmp(cmd, "later") == 0) {
        struct later *l = crier_calloc(1, sizeof *l);
        l->timer.fire = on_later;
        l->conn = crier_control_ref(conn);
        crier_control_on_close(conn, on_gone, NULL);
        crier_timer_in(host.loop, &l->timer, 5 * CRIER_MS);
    } else if (strcmp(cmd, "hang") == 0) {
        crier_control_on_close(conn, on_gone, NULL);
    } else if (strcmp(cmd, "flood") == 0) {
        crier_control_on_close(conn, on_gone, NULL);
        flood(conn);
    } else if (strcmp(cmd, "stream") == 0) {
        streaming = (struct stream){.conn = crier_control_ref(conn)};
        crier_control_on_close(conn, on_stream_gone, &streaming);
        stream_on(&streaming);
    } else if (strcmp(cmd, "metrics") == 0 && host.asked == 1) {
        crier_control_finish(conn, 0, json_pack("{s:s}", "text", "a 1\nb 2\n"));
    } else if (strcmp(cmd, "metrics") == 0 && host.asked == 2) {
        char *text = crier_malloc(5 << 20);
        memset(text, 'y', 5 << 20);
        crier_control_finish(conn, 0, json_pack("{s:s#}", "text", text, 5 << 20));
        free(text);
    } else if (strcmp(cmd, "metrics") == 0) {
        crier_control_finish(conn, host.asked == 3 ? 75 : 70,
                             json_pack("{s:s}", "error", "the host is stopping"));
    } else if (strcmp(cmd, "big") == 0) {
        char *text = crier_malloc(5 << 20);
        memset(text, 'y', 5 << 20);
        crier_control_reply(conn, json_pack("{s:s#}", "out", text, 5 << 20));
        crier_control_finish(conn, 0, NULL);
        free(text);
    } else {
        crier_control_finish(conn, 0, NULL);
    }
}

static void *run(void *arg)
{
    (void)arg;
    crier_loop_run(host.loop, CRIER_NEVER);
    return NULL;
}

static void host_start(void)
{
    struct crier_err err = {0};
    host.asked = host.gone = host.refused = host.sent = 0;
    host.loop = crier_loop_new(crier_clock_real());
    if (crier_control_serve(host.loop, folder, handler, &host, &host.control, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(pthread_create(&host.thread, NULL, run, NULL), 0);
}

static void stop_on_loop(void *arg)
{
    (void)arg;
    crier_control_stop(host.control);
    crier_loop_stop(host.loop);
}

static void host_stop(void)
{
    crier_loop_post(host.loop, stop_on_loop, NULL);
    pthread_join(host.thread, NULL);
    crier_loop_free(host.loop);
}

static int setup_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-control-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int setup(void **state)
{
    int rc = setup_folder(state);
    host_start();
    return rc;
}

static int teardown(void **state)
{
    host_stop();
    return teardown_folder(state); /* fails when the socket is still there */
}

static const char *in_folder(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void copy(char *to, size_t cap, const char *from)
{
    assert_true(strlen(from) < cap);
    memcpy(to, from, strlen(from) + 1);
}

/* --- clients ------------------------------------------------------------------------------- */

struct got {
    int lines;
    size_t bytes;
    char last[64];
};

static void on_line(void *arg, json_t *line)
{
    struct got *g = arg;
    const char *out = json_string_value(json_object_get(line, "out"));
    g->lines++;
    if (out) {
        g->bytes += strlen(out);
        snprintf(g->last, sizeof g->last, "%s", out);
    } else {
        snprintf(g->last, sizeof g->last, "%s",
                 json_string_value(json_object_get(line, "record")));
    }
}

static int call(const char *cmd, struct got *got, json_t **done)
{
    struct crier_err err = {0};
    json_t *request = json_pack("{s:s, s:s}", "cmd", cmd, "say", "two");
    *got = (struct got){0};
    int rc = crier_control_call(folder, request, on_line, got, done, &err);
    json_decref(request);
    return rc;
}

static int raw_connect(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    copy(addr.sun_path, sizeof addr.sun_path, in_folder("control.sock"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void raw_send(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

static void raw_puts(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

/* All that comes until the host closes. */
static void raw_read(int fd, struct crier_buf *b)
{
    ssize_t n;
    crier_buf_clear(b);
    crier_buf_puts(b, "");
    while ((n = recv(fd, crier_buf_reserve(b, 4096), 4096, 0)) > 0) {
        b->len += (size_t)n;
        b->data[b->len] = '\0';
    }
    close(fd);
}

static void wait_for(atomic_int *what, int n)
{
    for (int i = 0; i < 60000 && *what < n; i++)
        usleep(1000);
    assert_int_equal(*what, n);
}

/* --- tests --------------------------------------------------------------------------------- */

static void test_call(void **state)
{
    (void)state;
    struct got got;
    json_t *done = NULL;
    assert_int_equal(call("echo", &got, &done), 7);
    assert_int_equal(got.lines, 2);
    assert_string_equal(got.last, "two");
    assert_int_equal(json_integer_value(json_object_get(done, "extra")), 42);
    assert_int_equal(json_integer_value(json_object_get(done, "code")), 7);
    assert_true(json_is_true(json_object_get(done, "done")));
    json_decref(done);
    assert_int_equal(call("nothing", &got, NULL), 0);
    assert_int_equal(got.lines, 0);
}

static void test_wire(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    int fd = raw_connect();
    raw_puts(fd, "{\"cmd\":\"echo\",\"say\":\"\\n\"}\n{\"cmd\":\"echo\"}\n");
    raw_read(fd, &b);
    assert_string_equal(b.data, "{\"out\":\"one\"}\n{\"record\":\"\\n\"}\n"
                                "{\"done\":true,\"code\":7,\"extra\":42}\n");
    fd = raw_connect(); /* json_pack makes nothing of the missing "say", and no line is sent */
    raw_puts(fd, "{\"cmd\":\"echo\"}\n");
    raw_read(fd, &b);
    assert_string_equal(b.data, "{\"out\":\"one\"}\n{\"done\":true,\"code\":7,\"extra\":42}\n");
    crier_buf_fini(&b);
}

/* One request a connection: what follows is not read as another. */
static void test_one_request(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    int fd = raw_connect();
    raw_puts(fd, "{\"cmd\":\"later\"}\n");
    wait_for(&host.asked, 1);
    raw_puts(fd, "{\"cmd\":\"echo\"}\nrubbish\n");
    raw_read(fd, &b);
    assert_non_null(strstr(b.data, "\"code\":3"));
    assert_int_equal(host.asked, 1);
    crier_buf_fini(&b);
}

static void test_later(void **state)
{
    (void)state;
    struct got got;
    assert_int_equal(call("later", &got, NULL), 3);
    assert_int_equal(got.lines, 3);
    assert_int_equal(host.gone, 0);
}

static void test_big_answer(void **state)
{
    (void)state;
    struct got got;
    assert_int_equal(call("big", &got, NULL), 0);
    assert_int_equal(got.bytes, 5 << 20);
}

static void test_modes(void **state)
{
    (void)state;
    struct stat st;
    assert_string_equal(crier_control_path(host.control), in_folder("control.sock"));
    assert_int_equal(stat(in_folder("control.sock"), &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_not_equal(access(in_folder("control.path"), F_OK), 0);
}

static void test_no_host(void **state)
{
    (void)state;
    struct crier_err err;
    char want[300];
    json_t *request = json_pack("{s:s}", "cmd", "x"), *done;
    snprintf(want, sizeof want, "no running host in '%s'", folder);
    assert_int_equal(crier_control_call(folder, request, NULL, NULL, &done, &err), CRIER_ENET);
    assert_string_equal(err.text, want);
    assert_null(done);

    /* A killed host leaves its socket; the next one takes the place. */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    copy(addr.sun_path, sizeof addr.sun_path, in_folder("control.sock"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd);
    assert_int_equal(crier_control_call(folder, request, NULL, NULL, NULL, &err), CRIER_ENET);
    assert_string_equal(err.text, want);
    host_start();
    assert_int_equal(crier_control_call(folder, request, NULL, NULL, NULL, &err), 0);
    host_stop();
    assert_int_not_equal(access(in_folder("control.sock"), F_OK), 0);
    json_decref(request);
}

static void test_in_the_way(void **state)
{
    (void)state;
    struct crier_err err;
    FILE *f = fopen(in_folder("control.sock"), "w");
    fclose(f);
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    struct crier_control *control = NULL;
    assert_int_equal(crier_control_serve(loop, folder, handler, NULL, &control, &err), CRIER_EEXIST);
    assert_non_null(strstr(err.text, in_folder("control.sock")));
    assert_int_equal(unlink(in_folder("control.sock")), 0);
    assert_int_equal(crier_control_serve(loop, "/nonexistent", handler, NULL, &control, &err),
                     CRIER_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/control.sock"));
    assert_null(control);
    crier_control_stop(NULL);
    crier_loop_free(loop);
}

static void test_virtual(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    struct crier_loop *loop = crier_loop_new(clock);
    struct crier_control *control = NULL;
    assert_int_equal(crier_control_serve(loop, folder, handler, NULL, &control, NULL),
                     CRIER_EINVAL);
    crier_loop_free(loop);
    crier_clock_free(clock);
}

/* Sends one text and wants it refused. */
static void refused(const void *text, size_t len, const char *what)
{
    struct crier_buf b = {0};
    int fd = raw_connect();
    raw_send(fd, text, len);
    raw_read(fd, &b);
    assert_true(b.len > 0);
    json_t *line = json_loads(b.data, 0, NULL);
    assert_true(json_is_true(json_object_get(line, "done")));
    assert_int_equal(json_integer_value(json_object_get(line, "code")), 64);
    const char *error = json_string_value(json_object_get(line, "error"));
    assert_non_null(error);
    assert_non_null(strstr(error, what));
    json_decref(line);
    crier_buf_fini(&b);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"\n", "not JSON"},
        {"hello\n", "not JSON"},
        {"{\"cmd\":\n", "not JSON"},
        {"{\"cmd\":\"a\"} trailing\n", "not JSON"},
        {"[1,2]\n", "string \"cmd\""},
        {"{}\n", "string \"cmd\""},
        {"{\"cmd\":7}\n", "string \"cmd\""},
        {"\"cmd\"\n", ""},
        {"GET /metrics\r\n\r\n", "not JSON"},
        {"HELLO\n", "not JSON"},
    };
    for (size_t i = 0; i < CRIER_COUNT(rows); i++)
        refused(rows[i][0], strlen(rows[i][0]), rows[i][1]);
    refused("\0\0\0\n", 4, "not JSON");
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static void http(struct crier_buf *b, const char *request)
{
    int fd = raw_connect();
    raw_puts(fd, request);
    raw_read(fd, b);
}

static const char *body_of(const struct crier_buf *b)
{
    const char *end = strstr(b->data, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void test_http_page(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    static const char get[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    http(&b, get);
    assert_string_equal(b.data, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                                "Content-Length: 8\r\nCache-Control: no-store\r\n"
                                "Connection: close\r\n\r\na 1\nb 2\n");
    http(&b, get); /* a page that does not fit into the socket */
    assert_non_null(strstr(b.data, "Content-Length: 5242880\r\n"));
    assert_int_equal(strlen(body_of(&b)), 5 << 20);
    http(&b, get);
    assert_non_null(strstr(b.data, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_string_equal(body_of(&b), "the host is stopping\n");
    http(&b, get);
    assert_non_null(strstr(b.data, "HTTP/1.1 500 Internal Server Error\r\n"));
    assert_int_equal(host.asked, 4);
    crier_buf_fini(&b);
}

/* Byte by byte; what comes behind the head, a second request say, is not read. */
static void test_http_slow(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    static const char text[] = "GET /metrics HTTP/1.0\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n";
    int fd = raw_connect();
    for (size_t i = 0; i < sizeof text - 1; i++)
        raw_send(fd, text + i, 1);
    raw_read(fd, &b);
    assert_string_equal(body_of(&b), "a 1\nb 2\n");
    assert_int_equal(host.asked, 1);
    crier_buf_fini(&b);
}

static void test_http_head_only(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    http(&b, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(b.data, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(b.data, "Content-Length: 8\r\n"));
    assert_string_equal(body_of(&b), "");
    crier_buf_fini(&b);
}

static void test_http_refused(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    http(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(b.data, "HTTP/1.1 404 Not Found\r\n"));
    assert_non_null(strstr(b.data, "Content-Length: 28\r\n"));
    assert_string_equal(body_of(&b), "there is only /metrics here\n");
    http(&b, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_non_null(strstr(b.data, "HTTP/1.1 405 Method Not Allowed\r\n"));
    assert_non_null(strstr(b.data, "Allow: GET, HEAD\r\n"));
    http(&b, "HEAD /else HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(b.data, "HTTP/1.1 404 Not Found\r\n"));
    assert_string_equal(body_of(&b), "");

    int fd = raw_connect(); /* an end in the middle */
    raw_puts(fd, "GET /metrics HTTP/1.1\r\nHost:");
    shutdown(fd, SHUT_WR);
    raw_read(fd, &b);
    assert_non_null(strstr(b.data, "HTTP/1.1 400 Bad Request\r\n"));
    assert_int_equal(host.asked, 0);
    crier_buf_fini(&b);
}

/* A head that never ends is not kept, and its sender still hears why. */
static void test_http_head_limit(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    static const size_t sizes[] = {CRIER_CONTROL_HEAD, 900 << 10, 8 << 20};
    char *line = crier_malloc(8 << 20);
    memset(line, 'x', 8 << 20);
    for (size_t i = 0; i < CRIER_COUNT(sizes); i++) {
        int fd = raw_connect();
        raw_puts(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: ");
        raw_send(fd, line, sizes[i]);
        if (sizes[i] <= 1 << 20) {
            raw_read(fd, &b);
            assert_non_null(strstr(b.data, "HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        } else {
            close(fd);
        }
    }
    assert_int_equal(host.asked, 0);
    struct got got;
    assert_int_equal(call("echo", &got, NULL), 7);
    crier_buf_fini(&b);
    free(line);
}

/* A host that ends closes those that linger, too. */
static void test_http_stop(void **state)
{
    (void)state;
    char text[256];
    host_start();
    int fd = raw_connect();
    raw_puts(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while (recv(fd, text, sizeof text, 0) > 0)
        ;
    host_stop();
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
    close(fd);
}

static void test_fuzz(void **state)
{
    (void)state;
    struct crier_rng rng;
    struct crier_buf b = {0};
    crier_rng_seed(&rng, 11);
    for (int i = 0; i < 400; i++) {
        char junk[3000];
        size_t len = (size_t)crier_rng_range(&rng, 1, sizeof junk);
        for (size_t k = 0; k < len; k++)
            junk[k] = (char)crier_rng_next(&rng);
        if (i % 3 == 0)
            memcpy(junk, "{\"cmd\":\"", len < 8 ? len : 8);
        int fd = raw_connect();
        for (size_t at = 0; at < len;) {
            size_t n = (size_t)crier_rng_range(&rng, 1, 700);
            n = n < len - at ? n : len - at;
            raw_send(fd, junk + at, n);
            at += n;
        }
        if (i & 1) {
            close(fd); /* without waiting */
        } else {
            shutdown(fd, SHUT_WR);
            raw_read(fd, &b);
            assert_non_null(strstr(b.data, "\"code\":64"));
        }
    }
    struct got got;
    assert_int_equal(call("echo", &got, NULL), 7);
    crier_buf_fini(&b);
}

static void test_half_lines(void **state)
{
    (void)state;
    static const char text[] = "{\"cmd\":\"echo\",\"say\":\"two\"}";
    struct crier_buf b = {0};
    int fd = raw_connect();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        raw_send(fd, text + i, 1);
        if (i % 8 == 0)
            usleep(500);
    }
    raw_puts(fd, "\n");
    raw_read(fd, &b);
    assert_non_null(strstr(b.data, "\"code\":7"));

    fd = raw_connect(); /* the newline never comes, the end does */
    raw_send(fd, text, sizeof text - 1);
    shutdown(fd, SHUT_WR);
    raw_read(fd, &b);
    assert_non_null(strstr(b.data, "\"code\":7"));

    fd = raw_connect(); /* nothing at all */
    shutdown(fd, SHUT_WR);
    raw_read(fd, &b);
    assert_int_equal(b.len, 0);
    crier_buf_fini(&b);
}

static void test_line_limit(void **state)
{
    (void)state;
    char *line = crier_malloc(CRIER_CONTROL_LINE + 2);
    memset(line, ' ', CRIER_CONTROL_LINE + 2);
    memcpy(line, "{\"cmd\":\"fine\"}", 14);
    struct crier_buf b = {0};
    int fd = raw_connect();
    line[CRIER_CONTROL_LINE] = '\n';
    raw_send(fd, line, CRIER_CONTROL_LINE + 1);
    raw_read(fd, &b);
    assert_string_equal(b.data, "{\"done\":true,\"code\":0}\n");

    line[CRIER_CONTROL_LINE] = ' ';
    refused(line, CRIER_CONTROL_LINE + 1, "longer than 1 MiB"); /* no newline needed */
    line[CRIER_CONTROL_LINE + 1] = '\n';
    refused(line, CRIER_CONTROL_LINE + 2, "longer than 1 MiB");
    crier_buf_fini(&b);
    free(line);
}

struct streamed {
    int next;
    int bad_from; /* refuse this line */
};

static bool on_stream_text(void *arg, const char *text, size_t len)
{
    struct streamed *s = arg;
    json_t *line = json_loadb(text, len, 0, NULL);
    bool right = json_integer_value(json_object_get(line, "n")) == s->next;
    json_decref(line);
    if (s->next % 5000 == 0)
        usleep(2000); /* slower than the host */
    return right && ++s->next != s->bad_from;
}

static void test_stream(void **state)
{
    struct streamed got = {0};
    struct crier_err err = {0};
    json_t *request = json_pack("{s:s}", "cmd", "stream"), *done = NULL;
    (void)state;
    assert_int_equal(crier_control_stream(folder, request, on_stream_text, &got, &done, &err), 5);
    assert_int_equal(got.next, STREAM_LINES);
    assert_int_equal(json_integer_value(json_object_get(done, "code")), 5);
    json_decref(done);
    /* It waited for its reader, and not for longer than needed. */
    assert_true(streaming.most > CRIER_CONTROL_ROOM);
    assert_true(streaming.most < CRIER_CONTROL_ROOM + 1024);
    assert_int_equal(host.gone, 0);

    /* One that goes half way, and no host's answer. */
    got = (struct streamed){.bad_from = 100};
    assert_int_equal(crier_control_stream(folder, request, on_stream_text, &got, &done, &err),
                     CRIER_ENET);
    assert_null(done);
    assert_non_null(strstr(err.text, "is not a crier host"));
    wait_for(&host.gone, 1);
    assert_true(streaming.next < STREAM_LINES);
    json_decref(request);
}

static void *client(void *arg)
{
    struct got got;
    for (int i = 0; i < 10; i++) {
        if (call(i % 3 ? "echo" : "later", &got, NULL) != (i % 3 ? 7 : 3) ||
            got.lines != (i % 3 ? 2 : 3))
            return arg;
    }
    return NULL;
}

static void test_many_clients(void **state)
{
    (void)state;
    pthread_t threads[100];
    int failed = 0;
    for (int i = 0; i < 100; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, client, &failed), 0);
    for (int i = 0; i < 100; i++) {
        void *bad = NULL;
        pthread_join(threads[i], &bad);
        failed += bad != NULL;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(host.gone, 0);
}

static void test_client_goes(void **state)
{
    (void)state;
    int fd = raw_connect();
    raw_puts(fd, "{\"cmd\":\"hang\"}\n");
    wait_for(&host.asked, 1);
    assert_int_equal(host.gone, 0);
    close(fd);
    wait_for(&host.gone, 1);

    fd = raw_connect(); /* while an answer is on its way */
    raw_puts(fd, "{\"cmd\":\"later\"}\n");
    close(fd);
    wait_for(&host.gone, 2);
    wait_for(&host.refused, 1);
    struct got got;
    assert_int_equal(call("echo", &got, NULL), 7);
}

static void test_slow_reader(void **state)
{
    (void)state;
    int fd = raw_connect();
    raw_puts(fd, "{\"cmd\":\"flood\"}\n");
    wait_for(&host.refused, 1);
    wait_for(&host.gone, 1);
    assert_in_range(host.sent, CRIER_CONTROL_BACKLOG / 1024 - 1024, CRIER_CONTROL_BACKLOG / 1024 + 4096);
    close(fd);
}

static void test_stop_cuts(void **state)
{
    (void)state;
    struct crier_err err;
    host_start();
    int fd = raw_connect();
    raw_puts(fd, "{\"cmd\":\"hang\"}\n");
    wait_for(&host.asked, 1);
    host_stop();
    char c;
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    assert_int_equal(host.gone, 1);
    close(fd);

    /* The blocking client, with a host that dies. */
    host_start();
    pid_t pid = fork();
    if (pid == 0) {
        json_t *request = json_pack("{s:s}", "cmd", "hang");
        int rc = crier_control_call(folder, request, NULL, NULL, NULL, &err);
        _exit(rc == CRIER_ENET && strstr(err.text, "ended before it had answered") ? 0 : 1);
    }
    wait_for(&host.asked, 1);
    host_stop();
    int ended;
    assert_int_equal(waitpid(pid, &ended, 0), pid);
    assert_int_equal(ended, 0);
}

static void test_other_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can become someone else\n");
        skip();
    }
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(chmod(in_folder("control.sock"), 0777), 0);
    for (int open_ = 1; open_ >= 0; open_--) {
        pid_t pid = fork();
        if (pid == 0) {
            struct crier_err err;
            json_t *request = json_pack("{s:s}", "cmd", "nothing");
            if (setgid(65534) != 0 || setuid(65534) != 0)
                _exit(2);
            int rc = crier_control_call(folder, request, NULL, NULL, NULL, &err);
            _exit(rc == (open_ ? CRIER_ENET : CRIER_EDENIED) ? 0 : 1);
        }
        int ended;
        assert_int_equal(waitpid(pid, &ended, 0), pid);
        assert_int_equal(ended, 0);
        assert_int_equal(chmod(in_folder("control.sock"), 0600), 0);
    }
    struct got got;
    assert_int_equal(call("echo", &got, NULL), 7);
}

static void test_long_path(void **state)
{
    (void)state;
    char top[64], name[120], runtime[80];
    struct stat st;
    struct got got;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    copy(top, sizeof top, folder);
    snprintf(folder, sizeof folder, "%s/%s", top, name);
    snprintf(runtime, sizeof runtime, "%s/run", top);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(runtime, 0700), 0);

    for (int with = 1; with >= 0; with--) {
        if (with)
            setenv("XDG_RUNTIME_DIR", runtime, 1);
        else
            unsetenv("XDG_RUNTIME_DIR");
        assert_int_equal(call("echo", &got, NULL), CRIER_ENET);
        host_start();
        char *path = crier_strdup(crier_control_path(host.control));
        char own[64];
        snprintf(own, sizeof own, "/tmp/crier-%ld/crier-", (long)geteuid());
        assert_memory_equal(path, with ? runtime : own, strlen(with ? runtime : own));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(access(in_folder("control.path"), F_OK), 0);
        assert_int_equal(call("echo", &got, NULL), 7);
        host_stop();
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_not_equal(access(in_folder("control.path"), F_OK), 0);
        free(path);
    }
    assert_int_equal(rmdir(runtime), 0);
    assert_int_equal(rmdir(folder), 0);
    copy(folder, sizeof folder, top);

    /* A pointer that a killed host left is no obstacle to a socket in the folder. */
    FILE *f = fopen(in_folder("control.path"), "w");
    fputs("/nonexistent/crier.sock\n", f);
    fclose(f);
    host_start();
    assert_int_equal(call("echo", &got, NULL), 7);
    host_stop();
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define BARE(fn) cmocka_unit_test_setup_teardown(fn, setup_folder, teardown_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_call),         CASE(test_wire),        CASE(test_one_request),        CASE(test_later),
        CASE(test_big_answer),   CASE(test_modes),       BARE(test_no_host),
        BARE(test_in_the_way),   BARE(test_virtual),     CASE(test_refused),
        CASE(test_fuzz),         CASE(test_half_lines),  CASE(test_line_limit),
        CASE(test_stream),       CASE(test_http_page),   CASE(test_http_slow),
        CASE(test_http_head_only), CASE(test_http_refused), CASE(test_http_head_limit),
        BARE(test_http_stop),
        CASE(test_many_clients), CASE(test_client_goes), CASE(test_slow_reader),
        BARE(test_stop_cuts),    CASE(test_other_user),  BARE(test_long_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
