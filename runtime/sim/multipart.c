/* SPDX-License-Identifier: MIT */
#include "sim/multipart.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "--" and the boundary; NULL when the header names none. */
static char *read_delimiter(const char *content_type)
{
    const char *p = content_type;
    while (p && (p = strchr(p, ';'))) {
        p += 1 + strspn(p + 1, " \t");
        if (strncasecmp(p, "boundary=", 9) != 0)
            continue;
        p += 9;
        size_t n = *p == '"' ? strcspn(++p, "\"") : strcspn(p, "; \t");
        return n && n <= 70 ? crier_asprintf("--%.*s", (int)n, p) : NULL;
    }
    return NULL;
}

/* The value of `name="..."` in a header line; quotes and line ends come escaped with a backslash
 * or, as browsers do it, percent-encoded. Owned. */
static char *parameter(const char *line, size_t len, const char *name)
{
    size_t nlen = strlen(name);
    for (size_t i = 0; i + nlen + 2 < len; i++) {
        if ((line[i] != ';' && line[i] != ' ') || strncasecmp(line + i + 1, name, nlen) != 0 ||
            line[i + 1 + nlen] != '=')
            continue;
        struct crier_buf value = {0};
        const char *p = line + i + nlen + 2, *end = line + len;
        bool quoted = p < end && *p == '"';
        for (p += quoted; p < end && *p != (quoted ? '"' : ';'); p++) {
            if (quoted && *p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
                crier_buf_putc(&value, *++p);
            else if (end - p > 2 && strncmp(p, "%22", 3) == 0 && (p += 2))
                crier_buf_putc(&value, '"');
            else
                crier_buf_putc(&value, *p);
        }
        return crier_buf_take(&value);
    }
    return NULL;
}

static void read_header(struct crier_http_part *part, const char *line, size_t len)
{
    static const char disposition[] = "content-disposition:", type[] = "content-type:";
    if (len >= sizeof disposition && strncasecmp(line, disposition, sizeof disposition - 1) == 0) {
        free(part->name);
        free(part->filename);
        part->name = parameter(line, len, "name");
        part->filename = parameter(line, len, "filename");
    } else if (len >= sizeof type && strncasecmp(line, type, sizeof type - 1) == 0) {
        const char *value = line + sizeof type - 1;
        while (value < line + len && *value == ' ')
            value++;
        free(part->content_type);
        part->content_type = crier_strndup(value, (size_t)(line + len - value));
    }
}

/* Reads the header lines at p and goes behind the empty one; NULL when that is missing. */
static char *read_headers(struct crier_http_part *part, char *p, char *end)
{
    for (;;) {
        char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (!eol)
            return NULL;
        if (eol == p)
            return eol + 2;
        read_header(part, p, (size_t)(eol - p));
        p = eol + 2;
    }
}

bool crier_sim_multipart_parse(const char *content_type, char *body, size_t len,
                               struct crier_http_part **parts, size_t *count)
{
    char *delimiter = read_delimiter(content_type);
    size_t dlen = delimiter ? strlen(delimiter) : 0;
    char *p = body, *end = body + len;
    bool ok = false;
    *parts = NULL;
    *count = 0;
    if (!delimiter || !len)
        goto out;
    p = memmem(p, len, delimiter, dlen);
    while (p) {
        p += dlen;
        ok = end - p >= 2 && p[0] == '-' && p[1] == '-';
        if (ok || end - p < 2 || p[0] != '\r' || p[1] != '\n')
            break;
        *parts = crier_realloc(*parts, (*count + 1) * sizeof **parts);
        struct crier_http_part *part = &(*parts)[(*count)++];
        *part = (struct crier_http_part){0};
        p = read_headers(part, p + 2, end);
        if (!p || !part->name)
            break;
        part->data = p;
        /* The delimiter of an empty part has no line end of its own before it. */
        char *next = memmem(p - 2, (size_t)(end - p + 2), delimiter, dlen);
        while (next && (next[-1] != '\n' || next[-2] != '\r'))
            next = memmem(next + 1, (size_t)(end - next - 1), delimiter, dlen);
        if (next)
            part->len = next - 2 > p ? (size_t)(next - 2 - p) : 0;
        p = next;
    }
out:
    free(delimiter);
    if (!ok) {
        crier_sim_multipart_free(*parts, *count);
        *parts = NULL;
        *count = 0;
    }
    return ok;
}

void crier_sim_multipart_free(struct crier_http_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(parts[i].name);
        free(parts[i].filename);
        free(parts[i].content_type);
    }
    free(parts);
}
