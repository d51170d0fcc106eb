/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last byte tells where the writer stands: a complete value ends in a quote, a digit, a letter
 * or a closing bracket, and only behind those does another value need a comma. */
static void separate(struct crier_buf *b)
{
    if (!b->len)
        return;
    switch (b->data[b->len - 1]) {
    case '{':
    case '[':
    case ':':
    case ',':
    case ' ':
    case '\n':
        return;
    default:
        crier_buf_putc(b, ',');
    }
}

void crier_json_open(struct crier_buf *b, char bracket)
{
    separate(b);
    crier_buf_putc(b, bracket);
}

void crier_json_close(struct crier_buf *b, char bracket)
{
    crier_buf_putc(b, bracket);
}

void crier_json_key(struct crier_buf *b, const char *key)
{
    crier_json_keyn(b, key, strlen(key));
}

void crier_json_keyn(struct crier_buf *b, const char *key, size_t len)
{
    separate(b);
    crier_json_quote(b, key, len);
    crier_buf_putc(b, ':');
}

void crier_json_str(struct crier_buf *b, const char *s)
{
    crier_json_strn(b, s, strlen(s));
}

void crier_json_strn(struct crier_buf *b, const char *s, size_t len)
{
    separate(b);
    crier_json_quote(b, s, len);
}

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL
#define HAS_ZERO(x) (((x)-ONES) & ~(x)&HIGHS)

/* Whether one of eight bytes needs more than copying: below 0x20, '"', '\' or above 0x7f. */
static inline uint64_t special(uint64_t x)
{
    return ((x - ONES * 0x20) | x | HAS_ZERO(x ^ ONES * '"') | HAS_ZERO(x ^ ONES * '\\')) & HIGHS;
}

/* Copies less than eight bytes, unless one of them is special. */
static inline bool copy_short(char *to, const unsigned char *s, size_t n)
{
    uint64_t word = ONES * ' ';
    if (n >= 4) {
        uint32_t a, b; /* they overlap */
        memcpy(&a, s, 4);
        memcpy(&b, s + n - 4, 4);
        word = (uint64_t)b << 32 | a;
        memcpy(to, &a, 4);
        memcpy(to + n - 4, &b, 4);
    } else if (n >= 2) {
        uint16_t a, b;
        memcpy(&a, s, 2);
        memcpy(&b, s + n - 2, 2);
        word = word << 32 | (uint32_t)b << 16 | a;
        memcpy(to, &a, 2);
        memcpy(to + n - 2, &b, 2);
    } else if (n) {
        word = word << 8 | s[0];
        to[0] = (char)s[0];
    }
    return !special(word);
}

/* The same where eight bytes and more come before them, of which the last are written as they are. */
static inline bool copy_tail(char *to, const unsigned char *end, size_t n)
{
    uint64_t word;
    memcpy(&word, end - 8, 8);
    if (special(word))
        return false;
    memcpy(to + n - 8, &word, 8);
    return true;
}

/* Length of the valid UTF-8 sequence at s, 0 when there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static inline size_t sequence(const unsigned char *s, size_t left)
{
    unsigned c = s[0];
    if (c >= 0xc2 && c <= 0xdf && left >= 2 && (s[1] & 0xc0) == 0x80)
        return 2;
    unsigned lo = 0x80, hi = 0xbf;
    size_t n;
    if (c >= 0xe0 && c <= 0xef)
        n = 3;
    else if (c >= 0xf0 && c <= 0xf4)
        n = 4;
    else
        return 0;
    if (left < n)
        return 0;
    if (c == 0xe0)
        lo = 0xa0;
    else if (c == 0xed)
        hi = 0x9f;
    else if (c == 0xf0)
        lo = 0x90;
    else if (c == 0xf4)
        hi = 0x8f;
    if (s[1] < lo || s[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

/* U+2028 and U+2029 end a line in JavaScript. */
static inline bool line_separator(const unsigned char *s, size_t len)
{
    return len == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9);
}

/* Writes what stands for what cannot be copied, at most 6 bytes; *used is its length in s. */
static char *escape(char *to, const unsigned char *s, size_t left, size_t *used)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };
    unsigned c = s[0];
    *used = 1;
    if (c >= 0x80 && line_separator(s, left < 3 ? left : 3)) {
        memcpy(to, s[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
        to += 6;
        *used = 3;
    } else if (c >= 0x80) {
        memcpy(to, "\xef\xbf\xbd", 3);
        to += 3;
    } else if (c == '"' || c == '\\') {
        *to++ = '\\';
        *to++ = (char)c;
    } else if (named[c]) {
        *to++ = '\\';
        *to++ = named[c];
    } else {
        memcpy(to, "\\u00", 4);
        to[4] = hex[c >> 4];
        to[5] = hex[c & 15];
        to += 6;
    }
    return to;
}

void crier_json_quote(struct crier_buf *b, const char *s, size_t len)
{
    /* Room for what is left as it stands, plus one escape, one word and the closing quote; only an
     * escape has to look whether that still holds. */
    enum { SLACK = 24 };
    const unsigned char *at = (const unsigned char *)s;
    const unsigned char *end = at + len;
    char *to = crier_buf_reserve(b, len + SLACK);
    *to++ = '"';
    while (at < end) {
        while (end - at >= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            if (special(word))
                break;
            memcpy(to, &word, 8);
            at += 8;
            to += 8;
        }
        size_t rest = (size_t)(end - at);
        if (rest < 8 && (len < 8 ? copy_short(to, at, rest) : copy_tail(to, end, rest))) {
            to += rest;
            break;
        }
        /* One word's worth byte by byte, then the fast loop gets another try. */
        const unsigned char *stop = end - at >= 8 ? at + 8 : end;
        while (at < stop) {
            if (*at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') {
                *to++ = (char)*at++;
                continue;
            }
            size_t used = *at >= 0x80 ? sequence(at, (size_t)(end - at)) : 0;
            if (used && !line_separator(at, used)) {
                while (used--)
                    *to++ = (char)*at++;
                continue;
            }
            to = escape(to, at, (size_t)(end - at), &used);
            at += used;
            b->len = (size_t)(to - b->data);
            to = crier_buf_reserve(b, (size_t)(end - at) + SLACK);
        }
    }
    *to++ = '"';
    *to = '\0';
    b->len = (size_t)(to - b->data);
}

void crier_json_int(struct crier_buf *b, int64_t v)
{
    separate(b);
    if (v < 0)
        crier_buf_putc(b, '-');
    crier_buf_uint(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void crier_json_uint(struct crier_buf *b, uint64_t v)
{
    separate(b);
    crier_buf_uint(b, v);
}

void crier_json_snowflake(struct crier_buf *b, uint64_t id)
{
    separate(b);
    crier_buf_putc(b, '"');
    crier_buf_uint(b, id);
    crier_buf_putc(b, '"');
}

/* Numbers with at most six decimals, which is what seconds with microseconds and rates are. m and
 * 1e6 are exact, so m / 1e6 is the double nearest to that decimal, and a decimal of at most 15
 * digits is the shortest one for its double. */
static size_t short_decimal(char *out, double v)
{
    double a = fabs(v);
    if (a >= 1e9 || (a < 1e-4 && a != 0))
        return 0;
    uint64_t m = (uint64_t)(a * 1e6 + 0.5);
    if ((double)m / 1e6 != a)
        return 0;
    char digits[CRIER_UINT_SIZE];
    char *at = crier_uint_text(m + 1000000000000000ULL, digits); /* a leading 1 keeps the zeros */
    char *end = at + 16;
    char *decimals = end - 6;
    while (end > decimals + 1 && end[-1] == '0')
        end--;
    at++;
    while (at < decimals - 1 && *at == '0')
        at++;
    size_t n = 0;
    if (signbit(v))
        out[n++] = '-';
    memcpy(out + n, at, (size_t)(decimals - at));
    n += (size_t)(decimals - at);
    out[n++] = '.';
    memcpy(out + n, decimals, (size_t)(end - decimals));
    return n + (size_t)(end - decimals);
}

static size_t any_decimal(char *out, size_t cap, double v)
{
    char text[48];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    /* A script may have set a locale: whatever stands for the point becomes one. */
    size_t n = 0;
    bool is_float = false;
    for (const char *p = text; *p && n + 3 < cap; p++) {
        if ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e') {
            is_float |= *p == 'e';
            out[n++] = *p;
        } else if (out[n - 1] != '.') {
            is_float = true;
            out[n++] = '.';
        }
    }
    if (!is_float) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

void crier_json_num(struct crier_buf *b, double v)
{
    char text[48];
    if (!isfinite(v)) {
        crier_json_null(b);
        return;
    }
    size_t n = short_decimal(text, v);
    if (!n)
        n = any_decimal(text, sizeof text, v);
    separate(b);
    crier_buf_append(b, text, n);
}

void crier_json_bool(struct crier_buf *b, bool v)
{
    separate(b);
    crier_buf_puts(b, v ? "true" : "false");
}

void crier_json_null(struct crier_buf *b)
{
    separate(b);
    crier_buf_append(b, "null", 4);
}

void crier_json_raw(struct crier_buf *b, const char *json, size_t len)
{
    separate(b);
    crier_buf_append(b, json, len);
}
