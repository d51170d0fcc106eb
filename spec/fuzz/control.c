/* SPDX-License-Identifier: MIT
 * The control socket: whatever a client sends, in whatever pieces (the first byte says of how many bytes),
 * it gets lines of JSON, the last of which says that it is the last, or an answer of HTTP; and the host
 * goes on. */
#include "support.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "base/control.h"

static void on_request(void *arg, struct crier_control_conn *conn, json_t *request)
{
    unsigned *requests = arg;
    ++*requests;
    MUST(json_is_object(request) && json_is_string(json_object_get(request, "cmd")));
    if (strcmp(json_string_value(json_object_get(request, "cmd")), "metrics") != 0)
        MUST(crier_control_reply(conn, json_pack("{s:O}", "out", request)) == 0);
    crier_control_finish(conn, 0, json_pack("{s:s}", "text", "m 1\n"));
}

static void turn(struct crier_loop *loop, int n)
{
    while (n-- > 0)
        uv_run(crier_loop_uv(loop), UV_RUN_NOWAIT);
}

/* A head, and as much behind it as it says; nothing, where only a head was asked for. */
static void judge_http(struct crier_buf *answer, bool only_head)
{
    static const char field[] = "Content-Length: ";
    crier_buf_putc(answer, '\0');
    const char *end = strstr(answer->data, "\r\n\r\n"), *length = strstr(answer->data, field);
    MUST(end && length && length < end);
    size_t body = answer->len - 1 - (size_t)(end + 4 - answer->data);
    MUST(body == strtoul(length + sizeof field - 1, NULL, 10) || (only_head && body == 0));
}

/* JSON objects, the last of them a `done`. */
static void judge(const struct crier_buf *answer, unsigned requests)
{
    const char *at = answer->data, *end = at + answer->len;
    bool done = false;
    int lines = 0;
    for (; at < end; lines++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        MUST(stop && !done);
        json_t *line = json_loadb(at, (size_t)(stop - at), 0, NULL);
        MUST(json_is_object(line));
        done = json_is_true(json_object_get(line, "done"));
        MUST(!done || json_is_integer(json_object_get(line, "code")));
        json_decref(line);
        at = stop + 1;
    }
    MUST(requests <= 1 && done == (lines > 0) && (!requests || lines > 0) && lines <= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_loop *loop;
    static struct crier_control *control;
    static unsigned requests;
    struct crier_err err = {0};
    if (!loop) {
        loop = crier_loop_new(crier_clock_real());
        MUST(crier_control_serve(loop, scratch(), on_request, &requests, &control, &err) == 0);
    }
    if (!size)
        return 0;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", crier_control_path(control));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    turn(loop, 1);
    size_t piece = data[0] ? (size_t)data[0] * 16 : size;
    requests = 0;
    for (size_t at = 1; at < size; at += piece) {
        (void)!send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL);
        turn(loop, 1);
    }
    shutdown(fd, SHUT_WR);
    turn(loop, 4);
    struct crier_buf answer = {0};
    ssize_t n;
    while ((n = recv(fd, crier_buf_reserve(&answer, 8192), 8192, 0)) > 0)
        answer.len += (size_t)n;
    MUST(n == 0);
    if (answer.len > 5 && memcmp(answer.data, "HTTP/", 5) == 0)
        judge_http(&answer, size > 5 && memcmp(data + 1, "HEAD ", 5) == 0);
    else
        judge(&answer, requests);
    crier_buf_fini(&answer);
    close(fd);
    turn(loop, 3);
    return 0;
}
