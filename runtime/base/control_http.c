/* SPDX-License-Identifier: MIT */
#include "base/control_http.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *path, *cmd;
} pages[] = {{"/metrics", "metrics"}};

bool crier_control_http_begins(const char *line, size_t len)
{
    static const char version[] = " HTTP/";
    return len && line[0] >= 'A' && line[0] <= 'Z' && memmem(line, len, version, 6);
}

size_t crier_control_http_head_length(const char *bytes, size_t len, size_t from)
{
    const char *at = bytes + (from > 2 ? from - 2 : 0), *end = bytes + len;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (at < end && *at == '\n')
            return (size_t)(at + 1 - bytes);
        if (end - at > 1 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at + 2 - bytes);
    }
    return 0;
}

/* A part of the head; a pointer and a length. */
struct part {
    const char *data;
    size_t len;
};

static bool is(struct part p, const char *text)
{
    return p.len == strlen(text) && memcmp(p.data, text, p.len) == 0;
}

static bool is_token(struct part p)
{
    for (size_t i = 0; i < p.len; i++) {
        char c = p.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return p.len > 0;
}

/* Up to `end`, which is taken too; false: there is none. */
static bool take(struct part *from, char end, struct part *out)
{
    const char *at = memchr(from->data, end, from->len);
    if (!at)
        return false;
    *out = (struct part){from->data, (size_t)(at - from->data)};
    from->len -= out->len + 1;
    from->data = at + 1;
    return true;
}

/* False: it holds what no line may. */
static bool take_line(struct part *from, struct part *line)
{
    if (!take(from, '\n', line))
        return false;
    if (line->len && line->data[line->len - 1] == '\r')
        line->len--;
    for (size_t i = 0; i < line->len; i++) {
        unsigned char c = (unsigned char)line->data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static const char *judge_fields(struct part rest, bool needs_host)
{
    struct part line, name;
    int hosts = 0;
    while (take_line(&rest, &line)) {
        if (!line.len)
            return needs_host && hosts != 1 ? "a request of HTTP/1.1 has one Host" : NULL;
        if (!take(&line, ':', &name) || !is_token(name))
            break;
        hosts += name.len == 4 && strncasecmp(name.data, "Host", 4) == 0;
    }
    return "a line of the head is no field";
}

/* The path alone: behind it may be a query, before it the server's name. */
static struct part path_of(struct part target)
{
    static const char scheme[] = "http://";
    size_t n = sizeof scheme - 1;
    if (target.len > n && strncasecmp(target.data, scheme, n) == 0) {
        const char *slash = memchr(target.data + n, '/', target.len - n);
        size_t skip = slash ? (size_t)(slash - target.data) : target.len;
        target.data += skip;
        target.len -= skip;
    }
    const char *query = memchr(target.data, '?', target.len);
    if (query)
        target.len = (size_t)(query - target.data);
    return target;
}

static int bad(struct crier_control_http *out, int status, const char *why)
{
    out->why = why;
    return status;
}

int crier_control_http_judge(const char *head, size_t len, struct crier_control_http *out)
{
    struct part rest = {head, len}, line, method, target;
    *out = (struct crier_control_http){0};
    if (!take_line(&rest, &line) || !take(&line, ' ', &method) || !is_token(method) ||
        !take(&line, ' ', &target) || !target.len)
        return bad(out, 400, "the first line is not METHOD PATH HTTP/1.1");
    out->head = is(method, "HEAD");
    if (!is(line, "HTTP/1.0") && !is(line, "HTTP/1.1"))
        return line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0
                   ? bad(out, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
                   : bad(out, 400, "the first line is not METHOD PATH HTTP/1.1");
    const char *why = judge_fields(rest, is(line, "HTTP/1.1"));
    if (why)
        return bad(out, 400, why);
    struct part path = path_of(target);
    for (size_t i = 0; i < CRIER_COUNT(pages); i++) {
        if (is(path, pages[i].path))
            out->cmd = pages[i].cmd;
    }
    if (!out->cmd)
        return bad(out, 404, "there is only /metrics here");
    if (!out->head && !is(method, "GET"))
        return bad(out, 405, "/metrics is read, with GET or HEAD");
    return 200;
}

static const char *phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

void crier_control_http_answer(struct crier_buf *b, int status, const char *body, size_t len, bool head)
{
    size_t more = status != 200; /* a line for people ends as one */
    crier_buf_printf(b, "HTTP/1.1 %d %s\r\nContent-Type: text/plain%s\r\nContent-Length: %zu\r\n",
                     status, phrase(status), status == 200 ? "; version=0.0.4" : "; charset=utf-8",
                     len + more);
    if (status == 405)
        crier_buf_puts(b, "Allow: GET, HEAD\r\n");
    crier_buf_puts(b, "Cache-Control: no-store\r\nConnection: close\r\n\r\n");
    if (head)
        return;
    crier_buf_append(b, body, len);
    if (more)
        crier_buf_putc(b, '\n');
}
