/* SPDX-License-Identifier: MIT */
#include "crier/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(char *dst, size_t cap, const char *fmt, va_list ap)
{
    int n = vsnprintf(dst, cap, fmt, ap);
    if (n >= (int)cap)
        memcpy(dst + cap - 4, "...", 4);
}

int crier_err_set(struct crier_err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = 0;
    err->where[0] = '\0';
    fill(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return code;
}

int crier_err_sys(struct crier_err *err, int code, int sys, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    err->sys = sys;
    err->where[0] = '\0';
    fill(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t len = strlen(err->text);
    char why[128];
    /* strerror is not thread-safe; the GNU strerror_r may return a constant instead of filling. */
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    snprintf(why, sizeof why, "%s", strerror_r(sys, why, sizeof why));
#else
    if (strerror_r(sys, why, sizeof why) != 0)
        snprintf(why, sizeof why, "error %d", sys);
#endif
    snprintf(err->text + len, sizeof err->text - len, ": %s", why);
    return code;
}

int crier_err_prefix(struct crier_err *err, const char *fmt, ...)
{
    if (!err)
        return CRIER_EINTERNAL;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    fill(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t len = strlen(err->text);
    if (len + strlen(old) + 1 > sizeof err->text) {
        memcpy(err->text + len, old, sizeof err->text - len - 4);
        memcpy(err->text + sizeof err->text - 4, "...", 4);
    } else {
        memcpy(err->text + len, old, strlen(old) + 1);
    }
    return err->code;
}

void crier_err_at(struct crier_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, fmt);
    fill(err->where, sizeof err->where, fmt, ap);
    va_end(ap);
}

const char *crier_code_name(int code)
{
    static const char *const names[] = {
        "ok",           "invalid argument", "not found",     "exists already", "input/output",
        "network",      "timeout",          "busy",          "denied",         "corrupt",
        "wrong version", "configuration",   "limit reached", "canceled",       "internal",
    };
    int i = -code;
    return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : "unknown";
}
