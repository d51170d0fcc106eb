/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "sink/redis.h"

#define FORM "redis://[user:password@]host[:port][/db], rediss://..., unix:///path[?db=N]"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent signs undone. NULL: one without two digits, or %00. */
static char *unescape(const char *s, size_t len)
{
    char *out = crier_malloc(len + 1), *to = out;
    for (size_t i = 0; i < len; i++) {
        if (s[i] != '%') {
            *to++ = s[i];
            continue;
        }
        int high = i + 2 < len ? hex(s[i + 1]) : -1;
        int low = high >= 0 ? hex(s[i + 2]) : -1;
        if (low < 0 || high + low == 0) {
            explicit_bzero(out, len);
            free(out);
            return NULL;
        }
        *to++ = (char)(high << 4 | low);
        i += 2;
    }
    *to = '\0';
    return out;
}

static int bad(struct crier_err *err, const char *fault)
{
    return crier_err_set(err, CRIER_ECONFIG, "option 'url': %s; write " FORM, fault);
}

static bool number(const char *s, size_t len, int max, int *out)
{
    int v = 0;
    if (len == 0 || len > 6)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return v <= max;
}

/* user:password@ in front of `end`; *at goes behind it. */
static int read_user(const char **at, const char *end, struct crier_redis_url *url,
                     struct crier_err *err)
{
    const char *sign = memrchr(*at, '@', (size_t)(end - *at));
    if (!sign)
        return CRIER_OK;
    const char *colon = memchr(*at, ':', (size_t)(sign - *at));
    if (colon && !(url->password = unescape(colon + 1, (size_t)(sign - colon - 1))))
        return bad(err, "the password has a '%' without two hexadecimal digits");
    const char *user_end = colon ? colon : sign;
    if (user_end > *at && !(url->user = unescape(*at, (size_t)(user_end - *at))))
        return bad(err, "the user has a '%' without two hexadecimal digits");
    if (url->user && !url->password)
        return bad(err, "there is a user, but no password");
    *at = sign + 1;
    return CRIER_OK;
}

static int read_host(const char *at, const char *end, struct crier_redis_url *url,
                     struct crier_err *err)
{
    const char *host_end = end, *port = NULL;
    if (at < end && *at == '[') {
        host_end = memchr(at, ']', (size_t)(end - at));
        if (!host_end)
            return bad(err, "'[' without ']'");
        port = host_end + 1 < end ? host_end + 1 : NULL;
        at++;
    } else if ((port = memchr(at, ':', (size_t)(end - at)))) {
        host_end = port;
    }
    if (host_end == at)
        return bad(err, "the host is missing");
    if (port && (*port != ':' || !number(port + 1, (size_t)(end - port - 1), 65535, &url->port) ||
                 url->port == 0))
        return bad(err, "the port is not a number from 1 to 65535");
    url->host = crier_strndup(at, (size_t)(host_end - at));
    url->shown = crier_asprintf(strchr(url->host, ':') ? "[%s]:%d" : "%s:%d", url->host, url->port);
    return CRIER_OK;
}

static int read_tcp(const char *at, struct crier_redis_url *url, struct crier_err *err)
{
    const char *end = at + strcspn(at, "?#");
    /* A '/' in a password that was not escaped must not make a part of it a host. */
    const char *sign = memrchr(at, '@', (size_t)(end - at));
    const char *slash = memchr(sign ? sign : at, '/', (size_t)(end - (sign ? sign : at)));
    int rc;
    if (*end)
        return bad(err, "there is a '?' or '#' (in a password: %3F, %23)");
    if ((rc = read_user(&at, slash ? slash : end, url, err)) != CRIER_OK)
        return rc;
    if (slash && slash + 1 < end && !number(slash + 1, (size_t)(end - slash - 1), 99999, &url->db))
        return bad(err, "the database is not a number");
    return read_host(at, slash ? slash : end, url, err);
}

static int read_unix(const char *at, struct crier_redis_url *url, struct crier_err *err)
{
    const char *slash, *end = at + strcspn(at, "?");
    const char *sign = *at == '/' ? NULL : strstr(at, "@/");
    int rc;
    if (sign && sign < end && (rc = read_user(&at, sign + 1, url, err)) != CRIER_OK)
        return rc;
    slash = at;
    if (*slash != '/' || end == slash + 1)
        return bad(err, "a Unix socket takes an absolute path");
    if (*end &&
        (strncmp(end, "?db=", 4) != 0 || !number(end + 4, strlen(end + 4), 99999, &url->db)))
        return bad(err, "behind the path of a Unix socket there can only be ?db=N");
    if (!(url->path = unescape(slash, (size_t)(end - slash))))
        return bad(err, "the path has a '%' without two hexadecimal digits");
    url->shown = crier_asprintf("unix:%s", url->path);
    return CRIER_OK;
}

int crier_redis_url_parse(const char *text, struct crier_redis_url *out, struct crier_err *err)
{
    int rc;
    *out = (struct crier_redis_url){.port = 6379};
    if (strncmp(text, "redis://", 8) == 0) {
        rc = read_tcp(text + 8, out, err);
    } else if (strncmp(text, "rediss://", 9) == 0) {
        out->tls = true;
        rc = read_tcp(text + 9, out, err);
    } else if (strncmp(text, "unix://", 7) == 0) {
        rc = read_unix(text + 7, out, err);
    } else {
        rc = bad(err, "it begins with none of redis://, rediss://, unix://");
    }
    if (rc != CRIER_OK)
        crier_redis_url_fini(out);
    return rc;
}

void crier_redis_url_fini(struct crier_redis_url *url)
{
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->host);
    free(url->path);
    free(url->user);
    free(url->password);
    free(url->shown);
    *url = (struct crier_redis_url){0};
}
