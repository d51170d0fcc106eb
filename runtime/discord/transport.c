/* SPDX-License-Identifier: MIT */
#include "discord/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void crier_http_request_init(struct crier_http_request *req, const char *method, const char *url)
{
    memset(req, 0, sizeof *req);
    memcpy(req->method, method, strnlen(method, sizeof req->method - 1));
    req->url = crier_strdup(url);
}

void crier_http_request_header(struct crier_http_request *req, const char *name, const char *value)
{
    size_t n = strlen(name), len = strlen(value) + 1;
    char *line = crier_malloc(n + 2 + len);
    memcpy(line, name, n);
    memcpy(line + n, ": ", 2);
    memcpy(line + n + 2, value, len);
    req->headers = crier_realloc(req->headers, (req->header_count + 1) * sizeof *req->headers);
    req->headers[req->header_count++] = line;
}

void crier_http_request_fini(struct crier_http_request *req)
{
    /* A header may hold a token. */
    for (size_t i = 0; i < req->header_count; i++) {
        explicit_bzero(req->headers[i], strlen(req->headers[i]));
        free(req->headers[i]);
    }
    for (size_t i = 0; i < req->part_count; i++) {
        struct crier_http_part *part = &req->parts[i];
        free(part->name);
        free(part->filename);
        free(part->content_type);
        free(part->data);
        free(part->path);
    }
    free(req->headers);
    free(req->parts);
    free(req->url);
    free(req->body);
    memset(req, 0, sizeof *req);
}

bool crier_http_header(const struct crier_http_response *res, const char *name, char *out,
                       size_t cap)
{
    size_t len = strlen(name);
    const char *at = res->headers.data;
    const char *end = at ? at + res->headers.len : NULL;
    while (at && at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        if (!eol)
            eol = end;
        if ((size_t)(eol - at) > len && at[len] == ':' && memcmp(at, name, len) == 0) {
            const char *value = at + len + 1;
            while (value < eol && *value == ' ')
                value++;
            size_t n = (size_t)(eol - value) < cap ? (size_t)(eol - value) : cap - 1;
            memcpy(out, value, n);
            out[n] = '\0';
            return true;
        }
        at = eol + 1;
    }
    return false;
}

bool crier_url_host(const char *url, char *host, size_t cap)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0   ? 8
                    : strncasecmp(url, "http://", 7) == 0  ? 7
                    : strncasecmp(url, "smtp://", 7) == 0  ? 7
                    : strncasecmp(url, "smtps://", 8) == 0 ? 8
                                                           : 0;
    const char *from = url + scheme;
    size_t len = strcspn(from, "/?#");
    const char *at = memrchr(from, '@', len);
    if (at) {
        len -= (size_t)(at + 1 - from);
        from = at + 1;
    }
    size_t n = from[0] == '[' ? strcspn(from, "]") + 1 : strcspn(from, ":");
    if (n > len)
        n = len;
    if (!scheme || !n || n >= cap || url[strcspn(url, "\r\n \t\\")])
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    return true;
}
