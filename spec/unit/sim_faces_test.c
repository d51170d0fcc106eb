/* SPDX-License-Identifier: MIT
 *
 * The simulator's two faces: the in-process transport in virtual time, and the HTTP server, asked
 * with the transport over libcurl and with bare sockets on one and the same loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/multipart.h"
#include "sim/sim.h"

#define CHANNEL 978332728615378984ULL
#define UA_VALUE "DiscordBot (https://example.com, 1)"
#define UA "User-Agent: " UA_VALUE
#define START (1795300000LL * CRIER_S)

struct bench {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_sim *sim;
    struct crier_sim_server *server; /* NULL in virtual time */
    struct crier_transport *transport;
    char base[64];
    int port;
    /* of the last answer */
    int answers, status, code;
    enum crier_http_sent sent;
    int64_t latency, at;
    char body[4096];
};

static void on_answer(void *arg, struct crier_http_response *res)
{
    struct bench *b = arg;
    b->answers++;
    b->status = res->status;
    b->code = res->err.code;
    b->sent = res->sent;
    b->latency = res->latency;
    b->at = crier_loop_now(b->loop);
    snprintf(b->body, sizeof b->body, "%s", res->body.len ? res->body.data : "");
    if (b->server)
        crier_loop_stop(b->loop);
}

static void open_bench(struct bench *b, bool live)
{
    struct crier_sim_config config = {.latency = 40 * CRIER_MS};
    struct crier_err err = {0};
    memset(b, 0, sizeof *b);
    b->clock = live ? crier_clock_real() : crier_clock_virtual(START);
    b->loop = crier_loop_new(b->clock);
    b->sim = crier_sim_new(b->loop, &config);
    crier_sim_add_bot(b->sim, "t", "crier");
    crier_sim_add_channel(b->sim, CHANNEL, 1, "gallery", 0);
    if (live) {
        assert_int_equal(crier_sim_server_start(b->sim, b->loop, &b->port, &b->server, &err), 0);
        assert_true(b->port > 0);
        b->transport = crier_transport_curl(b->loop);
    } else {
        b->transport = crier_sim_transport(b->sim, b->loop);
    }
    snprintf(b->base, sizeof b->base, "http://127.0.0.1:%d/api/v10", b->port);
}

static void close_bench(struct bench *b)
{
    b->transport->ops->free(b->transport);
    crier_sim_server_stop(b->server);
    crier_sim_free(b->sim);
    crier_loop_free(b->loop);
    crier_clock_free(b->clock);
}

static struct crier_http_request request(struct bench *b, const char *method, const char *path,
                                         const char *body)
{
    char url[200];
    struct crier_http_request req;
    snprintf(url, sizeof url, "%s%s", b->base, path);
    crier_http_request_init(&req, method, url);
    crier_http_request_header(&req, "User-Agent", UA_VALUE);
    crier_http_request_header(&req, "Authorization", "Bot t");
    if (body) {
        crier_http_request_header(&req, "Content-Type", "application/json");
        req.body = strdup(body);
        req.body_len = strlen(body);
    }
    return req;
}

static struct crier_http_call *start(struct bench *b, const char *method, const char *path,
                                     const char *body)
{
    struct crier_http_request req = request(b, method, path, body);
    return b->transport->ops->start(b->transport, &req, on_answer, b);
}

/* Runs until the answer is there; a live loop gives up after 20 s. */
static void finish(struct bench *b)
{
    int before = b->answers;
    crier_loop_run(b->loop, b->server ? crier_loop_now(b->loop) + 20 * CRIER_S : CRIER_NEVER);
    assert_int_equal(b->answers, before + 1);
}

static int ask(struct bench *b, const char *method, const char *path, const char *body)
{
    start(b, method, path, body);
    finish(b);
    return b->status;
}

static void fault(struct bench *b, const char *json)
{
    assert_int_equal(crier_sim_fault(b->sim, json, NULL), 0);
}

static uint64_t creates(struct bench *b)
{
    struct crier_sim_stats stats;
    crier_sim_stats(b->sim, &stats);
    return stats.creates;
}

#define MESSAGES "/channels/978332728615378984/messages"

/* --- in process ------------------------------------------------------------------------------ */

static void test_virtual_time(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, false);
    start(&b, "POST", MESSAGES, "{\"content\":\"x\"}");
    assert_int_equal(b.answers, 0); /* never from within start */
    finish(&b);
    assert_int_equal(b.status, 200);
    assert_int_equal(b.latency, 40 * CRIER_MS);
    assert_int_equal(b.at, 40 * CRIER_MS);
    fault(&b, "{\"do\":\"delay\",\"delay\":\"2s\"}");
    assert_int_equal(ask(&b, "GET", MESSAGES, NULL), 200);
    assert_int_equal(b.latency, 2040 * CRIER_MS);
    close_bench(&b);
}

static void test_virtual_faults(void **state)
{
    static const struct {
        const char *json;
        enum crier_http_sent sent;
        unsigned created;
    } rows[] = {
        {"{\"do\":\"drop_before\"}", CRIER_HTTP_UNKNOWN, 0},
        {"{\"do\":\"drop_after\"}", CRIER_HTTP_UNKNOWN, 1},
        {"{\"do\":\"cut\"}", CRIER_HTTP_UNKNOWN, 1},
        {"{\"do\":\"reset\"}", CRIER_HTTP_UNKNOWN, 0},
        {"{\"do\":\"refuse\"}", CRIER_HTTP_NOT_SENT, 0},
    };
    struct bench b;
    (void)state;
    open_bench(&b, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t before = creates(&b);
        fault(&b, rows[i].json);
        assert_int_equal(ask(&b, "POST", MESSAGES, "{\"content\":\"x\"}"), 0);
        assert_int_equal(b.code, CRIER_ENET);
        assert_int_equal(b.sent, rows[i].sent);
        assert_int_equal(creates(&b) - before, rows[i].created);
    }
    /* Longer than the request's patience of 30 s: executed, but nobody hears of it. */
    uint64_t before = creates(&b);
    int64_t now = crier_loop_now(b.loop);
    fault(&b, "{\"do\":\"delay\",\"delay\":\"40s\"}");
    assert_int_equal(ask(&b, "POST", MESSAGES, "{\"content\":\"x\"}"), 0);
    assert_int_equal(b.code, CRIER_ETIMEOUT);
    assert_int_equal(b.at - now, 30 * CRIER_S);
    assert_int_equal(creates(&b) - before, 1);
    close_bench(&b);
}

static void test_cancel(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, false);
    struct crier_http_call *call = start(&b, "POST", MESSAGES, "{\"content\":\"x\"}");
    b.transport->ops->cancel(b.transport, call);
    assert_int_equal(b.answers, 0);
    finish(&b);
    assert_int_equal(b.code, CRIER_ECANCELED);
    assert_int_equal(b.sent, CRIER_HTTP_NOT_SENT);
    assert_int_equal(creates(&b), 0);
    /* Under way when the transport goes. */
    start(&b, "GET", MESSAGES, NULL);
    close_bench(&b);
    assert_int_equal(b.answers, 2);
    assert_int_equal(b.code, CRIER_ECANCELED);
}

static void test_file_parts(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, false);
    struct crier_http_request req = request(&b, "POST", MESSAGES, NULL);
    req.parts = calloc(1, sizeof *req.parts);
    req.part_count = 1;
    req.parts[0].name = strdup("files[0]");
    req.parts[0].filename = strdup("x");
    req.parts[0].path = strdup("/nowhere/at/all");
    b.transport->ops->start(b.transport, &req, on_answer, &b);
    finish(&b);
    assert_int_equal(b.code, CRIER_EIO);
    req = request(&b, "POST", MESSAGES, NULL);
    req.parts = calloc(1, sizeof *req.parts);
    req.part_count = 1;
    req.parts[0].name = strdup("files[0]");
    req.parts[0].filename = strdup("x");
    req.parts[0].path = strdup("/etc/passwd");
    b.transport->ops->start(b.transport, &req, on_answer, &b);
    finish(&b);
    assert_int_equal(b.status, 200);
    assert_non_null(strstr(b.body, "\"filename\":\"x\""));
    assert_null(strstr(b.body, "\"size\":0"));
    close_bench(&b);
}

/* --- HTTP ------------------------------------------------------------------------------------ */

static void test_http(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, true);
    assert_int_equal(ask(&b, "POST", MESSAGES, "{\"content\":\"hello\"}"), 200);
    assert_non_null(strstr(b.body, "\"content\":\"hello\""));
    assert_int_equal(ask(&b, "POST", "/channels/978332728615378984/typing", NULL), 204);
    assert_int_equal(ask(&b, "GET", "/gateway/bot", NULL), 200);
    assert_int_equal(ask(&b, "GET", MESSAGES "?limit=0", NULL), 400);
    assert_int_equal(ask(&b, "DELETE", MESSAGES "/5", NULL), 404);
    close_bench(&b);
}

static void test_http_upload(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, true);
    struct crier_http_request req = request(&b, "POST", MESSAGES, NULL);
    size_t big = 9 << 20;
    req.parts = calloc(2, sizeof *req.parts);
    req.part_count = 2;
    req.parts[0].name = strdup("payload_json");
    req.parts[0].content_type = strdup("application/json");
    req.parts[0].data = strdup("{\"content\":\"big\"}");
    req.parts[0].len = strlen(req.parts[0].data);
    req.parts[1].name = strdup("files[0]");
    req.parts[1].filename = strdup("a \"b\".bin");
    req.parts[1].data = calloc(1, big);
    memcpy(req.parts[1].data + big / 2, "\r\n--not a boundary\r\n", 20);
    req.parts[1].len = big;
    b.transport->ops->start(b.transport, &req, on_answer, &b);
    finish(&b);
    assert_int_equal(b.status, 200);
    assert_non_null(strstr(b.body, "\"size\":9437184"));
    assert_non_null(strstr(b.body, "\"filename\":\"a \\\"b\\\".bin\""));
    close_bench(&b);
}

static void test_http_faults(void **state)
{
    static const char *const kinds[] = {"drop_before", "drop_after", "cut", "reset"};
    struct bench b;
    (void)state;
    open_bench(&b, true);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char json[64];
        uint64_t before = creates(&b);
        snprintf(json, sizeof json, "{\"do\":\"%s\"}", kinds[i]);
        fault(&b, json);
        assert_int_equal(ask(&b, "POST", MESSAGES, "{\"content\":\"x\"}"), 0);
        assert_int_equal(b.code, CRIER_ENET);
        assert_int_equal(b.sent, CRIER_HTTP_UNKNOWN);
        assert_int_equal(creates(&b) - before, i == 1 || i == 2);
    }
    fault(&b, "{\"do\":\"delay\",\"delay\":\"30ms\"}");
    assert_int_equal(ask(&b, "GET", MESSAGES, NULL), 200);
    assert_true(b.latency >= 30 * CRIER_MS);
    /* The client goes away while an answer is held back; so does the server. */
    fault(&b, "{\"do\":\"delay\",\"delay\":\"10s\"}");
    struct crier_http_call *call = start(&b, "GET", MESSAGES, NULL);
    crier_loop_run(b.loop, crier_loop_now(b.loop) + 50 * CRIER_MS);
    b.transport->ops->cancel(b.transport, call);
    finish(&b);
    assert_int_equal(b.code, CRIER_ECANCELED);
    assert_int_equal(ask(&b, "GET", "/gateway", NULL), 200);
    fault(&b, "{\"do\":\"delay\",\"delay\":\"10s\"}");
    start(&b, "GET", MESSAGES, NULL);
    crier_loop_run(b.loop, crier_loop_now(b.loop) + 50 * CRIER_MS);
    close_bench(&b);
}

/* Sends bytes as they are and returns what comes back until the server closes. */
static char *raw(struct bench *b, const char *bytes)
{
    static char got[65536];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)b->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
    size_t len = 0;
    for (int i = 0; i < 500; i++) {
        crier_loop_run(b->loop, crier_loop_now(b->loop) + 10 * CRIER_MS);
        ssize_t n = recv(fd, got + len, sizeof got - 1 - len, MSG_DONTWAIT);
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    got[len] = '\0';
    close(fd);
    return got;
}

#define HEADERS "Host: x\r\n" UA "\r\nAuthorization: Bot t\r\n"
#define LAST "Connection: close\r\n\r\n"
#define POST "POST /api/v10" MESSAGES " HTTP/1.1\r\n" HEADERS "Content-Type: application/json\r\n"

static void test_http_bare(void **state)
{
    struct bench b;
    (void)state;
    open_bench(&b, true);
    const char *got = raw(&b, "HEAD /api/v10/gateway HTTP/1.1\r\n" HEADERS LAST);
    assert_memory_equal(got, "HTTP/1.1 200 OK\r\n", 17);
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
    got = raw(&b, "OPTIONS /api/v10/gateway HTTP/1.1\r\n" HEADERS LAST);
    assert_memory_equal(got, "HTTP/1.1 204 ", 13);
    got = raw(&b, POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    assert_memory_equal(got, "HTTP/1.1 411 ", 13);
    got = raw(&b, POST "Content-Length: 99999999\r\n\r\n{");
    assert_memory_equal(got, "HTTP/1.1 413 ", 13);
    got = raw(&b, "GET /api/v10/../../etc/passwd HTTP/1.1\r\n" HEADERS LAST);
    assert_memory_equal(got, "HTTP/1.1 404 ", 13);
    raw(&b, "NONSENSE\r\n\r\n");
    /* A second request before the first one's answer: executed once or not at all, and the
     * connection ends; above all, the loop does not turn in circles. */
    uint64_t before = creates(&b);
    got = raw(&b, POST "Content-Length: 15\r\n\r\n{\"content\":\"a\"}" POST
                       "Content-Length: 15\r\n\r\n{\"content\":\"b\"}" POST
                       "Content-Length: 15\r\n\r\n{\"content\":\"c\"}");
    assert_memory_equal(got, "HTTP/1.1 200 ", 13);
    assert_int_equal(creates(&b) - before, 1);
    assert_int_equal(ask(&b, "GET", "/gateway", NULL), 200);
    close_bench(&b);
}

static void test_port_taken(void **state)
{
    struct bench b;
    struct crier_err err = {0};
    struct crier_sim_server *second = NULL;
    (void)state;
    open_bench(&b, true);
    int port = b.port;
    assert_int_equal(crier_sim_server_start(b.sim, b.loop, &port, &second, &err), CRIER_EBUSY);
    assert_null(second);
    port = 70000;
    assert_int_equal(crier_sim_server_start(b.sim, b.loop, &port, &second, &err), CRIER_EINVAL);
    /* Again on the same port, on the same loop. */
    port = b.port;
    crier_sim_server_stop(b.server);
    assert_int_equal(crier_sim_server_start(b.sim, b.loop, &port, &b.server, &err), 0);
    assert_int_equal(port, b.port);
    assert_int_equal(ask(&b, "GET", "/gateway", NULL), 200);
    close_bench(&b);
}

/* --- multipart -------------------------------------------------------------------------------- */

static size_t parse(const char *type, const char *text, struct crier_http_part **parts)
{
    static char copy[512];
    size_t count;
    snprintf(copy, sizeof copy, "%s", text);
    return crier_sim_multipart_parse(type, copy, strlen(copy), parts, &count) ? count : 0;
}

#define FORM "multipart/form-data; boundary=B"

static void test_multipart(void **state)
{
    struct crier_http_part *parts;
    (void)state;
    size_t n = parse("multipart/form-data; charset=x; boundary=\"B\"",
                     "ignored\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
                     "--B\r\ncontent-type: text/plain\r\n"
                     "content-disposition: form-data; name=\"f\"; filename=\"q\\\"%22.x\"\r\n\r\n"
                     "\r\n--Bad no\r\n--B\r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n"
                     "\r\n--B--\r\n",
                     &parts);
    /* "--Bad" begins with the delimiter but goes on: not well formed by RFC 2046. */
    assert_int_equal(n, 0);
    n = parse(FORM,
              "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none--B two\r\n"
              "--B\r\ncontent-type: text/plain\r\n"
              "content-disposition: form-data; name=\"f\"; filename=\"q\\\"%22.x\"\r\n\r\n\r\n"
              "--B--\r\n",
              &parts);
    assert_int_equal(n, 2);
    assert_string_equal(parts[0].name, "a");
    assert_int_equal(parts[0].len, 10);
    assert_memory_equal(parts[0].data, "one--B two", 10);
    assert_null(parts[0].filename);
    assert_string_equal(parts[1].filename, "q\"\".x");
    assert_string_equal(parts[1].content_type, "text/plain");
    assert_int_equal(parts[1].len, 0);
    crier_sim_multipart_free(parts, n);

    static const char *const bad[] = {
        "",
        "--B",
        "--B\r\n",
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end",
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n",
        "--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--",
        "--C\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--C--",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(FORM, bad[i], &parts), 0);
    assert_int_equal(parse("multipart/form-data", "--B--", &parts), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_virtual_time),  cmocka_unit_test(test_virtual_faults),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_file_parts),
        cmocka_unit_test(test_http),          cmocka_unit_test(test_http_upload),
        cmocka_unit_test(test_http_faults),   cmocka_unit_test(test_http_bare),
        cmocka_unit_test(test_port_taken),    cmocka_unit_test(test_multipart),
    };
    return cmocka_run_group_tests_name("sim faces", tests, NULL, NULL);
}
