/* SPDX-License-Identifier: MIT */
#include "record/scan.h"

#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void crier_scan_init(struct crier_scan *scan, const char *text, size_t len)
{
    memset(scan, 0, sizeof *scan);
    scan->begin = scan->at = text;
    scan->end = text + len;
}

void crier_scan_fini(struct crier_scan *scan)
{
    crier_buf_fini(&scan->key_buf);
    crier_buf_fini(&scan->str_buf);
}

int crier_scan_error(const struct crier_scan *scan, struct crier_err *err)
{
    return crier_err_set(err, CRIER_EINVAL, "invalid JSON at byte %zu: %s",
                         (size_t)(scan->at - scan->begin),
                         scan->fault ? scan->fault : "no fault was found");
}

static bool fail(struct crier_scan *scan, const char *at, const char *fault)
{
    scan->at = at;
    scan->fault = fault;
    return false;
}

static void skip_space(struct crier_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
}

/* --- strings ------------------------------------------------------------------------------- */

#define EACH(byte) (0x0101010101010101u * (byte))
#define HAS_ZERO(word) (((word)-EACH(0x01)) & ~(word)&EACH(0x80))

const char *crier_scan_plain(const char *p, const char *end)
{
    uint64_t word;
    while ((size_t)(end - p) >= sizeof word) {
        memcpy(&word, p, sizeof word);
        uint64_t control = (word - EACH(0x20)) & ~word & EACH(0x80);
        uint64_t found = control | HAS_ZERO(word ^ EACH('"')) | HAS_ZERO(word ^ EACH('\\'));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (found) /* a borrow only makes bits above the first true one */
            return p + __builtin_ctzll(found) / 8;
#endif
        if (found)
            break;
        p += sizeof word;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void put_utf8(struct crier_buf *out, unsigned c)
{
    char *to = crier_buf_reserve(out, 4);
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(lead[n] | c);
    out->len += n;
}

/* at: behind "\u". */
static bool unescape_unicode(struct crier_scan *scan, struct crier_buf *out)
{
    int c = hex4(scan->at, scan->end);
    if (c < 0)
        return fail(scan, scan->at, "expected four hexadecimal digits after \\u");
    scan->at += 4;
    if (c >= 0xd800 && c <= 0xdbff && scan->end - scan->at >= 6 && scan->at[0] == '\\' &&
        scan->at[1] == 'u') {
        int low = hex4(scan->at + 2, scan->end);
        if (low >= 0xdc00 && low <= 0xdfff) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            scan->at += 6;
        }
    }
    put_utf8(out, c >= 0xd800 && c <= 0xdfff ? 0xfffd : (unsigned)c);
    return true;
}

static bool unescape(struct crier_scan *scan, struct crier_buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (++scan->at == scan->end)
        return fail(scan, scan->at, "the string does not end");
    char c = *scan->at++;
    if (c == 'u')
        return unescape_unicode(scan, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return fail(scan, scan->at - 2, "unknown escape in a string");
    crier_buf_putc(out, to[known - from]);
    return true;
}

/* at: behind the opening quote. */
static bool scan_string(struct crier_scan *scan, struct crier_buf *buf, struct crier_str *out)
{
    const char *open = scan->at - 1;
    const char *part = scan->at;
    bool copied = false;
    for (;;) {
        scan->at = crier_scan_plain(scan->at, scan->end);
        if (scan->at == scan->end)
            return fail(scan, open, "the string does not end");
        if ((unsigned char)*scan->at < 0x20)
            return fail(scan, scan->at, "control character in a string");
        if (*scan->at == '"' && !copied) {
            *out = (struct crier_str){part, (size_t)(scan->at++ - part)};
            return true;
        }
        if (!copied)
            crier_buf_clear(buf);
        copied = true;
        crier_buf_append(buf, part, (size_t)(scan->at - part));
        if (*scan->at == '"') {
            scan->at++;
            *out = (struct crier_str){buf->data, buf->len};
            return true;
        }
        if (!unescape(scan, buf))
            return false;
        part = scan->at;
    }
}

/* --- numbers ------------------------------------------------------------------------------- */

static bool digit(const struct crier_scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static double slow_double(const char *text, size_t len)
{
    char small[64];
    if (len < sizeof small) {
        memcpy(small, text, len);
        small[len] = '\0';
        return g_ascii_strtod(small, NULL);
    }
    char *copy = crier_strndup(text, len);
    double n = g_ascii_strtod(copy, NULL);
    free(copy);
    return n;
}

/* Fraction, exponent and value of a number whose integer part is read: digits holds the first 19
 * digits, of which there were `count`. */
static enum crier_scan_event scan_double(struct crier_scan *scan, const char *from, uint64_t digits,
                                         unsigned count)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int scale = 0, exponent = 0;
    if (scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        if (!digit(scan))
            goto bad;
        for (; digit(scan); scan->at++, count++) {
            if (count < 19)
                digits = digits * 10 + (uint64_t)(*scan->at - '0');
            if (scale > -100)
                scale--;
        }
    }
    if (scan->at < scan->end && (*scan->at | 0x20) == 'e') {
        bool minus = ++scan->at < scan->end && *scan->at == '-';
        if (scan->at < scan->end && (*scan->at == '-' || *scan->at == '+'))
            scan->at++;
        if (!digit(scan))
            goto bad;
        for (; digit(scan); scan->at++)
            if (exponent < 10000)
                exponent = exponent * 10 + (*scan->at - '0');
        scale += minus ? -exponent : exponent;
    }
    /* Both operands exact, so one rounding: the nearest double (Clinger 1990). */
    if (count <= 19 && digits <= (1ull << 53) && scale >= -22 && scale <= 22) {
        double n = (double)digits;
        n = scale < 0 ? n / powers[-scale] : n * powers[scale];
        scan->n = *from == '-' ? -n : n;
        return CRIER_SCAN_NUM;
    }
    scan->n = slow_double(from, (size_t)(scan->at - from));
    if (isfinite(scan->n))
        return CRIER_SCAN_NUM;
    fail(scan, from, "the number is too large");
    return CRIER_SCAN_ERROR;
bad:
    fail(scan, scan->at, "expected a digit");
    return CRIER_SCAN_ERROR;
}

static enum crier_scan_event scan_number(struct crier_scan *scan)
{
    const char *from = scan->at;
    bool minus = *from == '-';
    uint64_t digits = 0;
    unsigned count = 0;
    if (minus)
        scan->at++;
    if (!digit(scan)) {
        fail(scan, scan->at, "expected a digit");
        return CRIER_SCAN_ERROR;
    }
    const char *first = scan->at;
    for (; digit(scan); scan->at++, count++)
        if (count < 19)
            digits = digits * 10 + (uint64_t)(*scan->at - '0');
    if (*first == '0' && count > 1) {
        fail(scan, first, "a number must not begin with 0");
        return CRIER_SCAN_ERROR;
    }
    bool integer = scan->at == scan->end || (*scan->at != '.' && (*scan->at | 0x20) != 'e');
    uint64_t limit = minus ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (!integer || count > 19 || digits > limit || (minus && digits == 0))
        return scan_double(scan, from, digits, count);
    scan->i = (int64_t)(minus ? 0 - digits : digits);
    return CRIER_SCAN_INT;
}

/* --- structure ----------------------------------------------------------------------------- */

static bool in_object(const struct crier_scan *scan)
{
    unsigned level = scan->depth - 1;
    return scan->objects[level / 8] & (1u << (level % 8));
}

static enum crier_scan_event open_container(struct crier_scan *scan, bool object)
{
    unsigned level = scan->depth;
    if (level == CRIER_SCAN_DEPTH) {
        fail(scan, scan->at, "nested too deep");
        return CRIER_SCAN_ERROR;
    }
    unsigned char bit = (unsigned char)(1u << (level % 8));
    scan->objects[level / 8] =
        (unsigned char)(object ? scan->objects[level / 8] | bit : scan->objects[level / 8] & ~bit);
    scan->depth++;
    scan->first = true;
    scan->at++;
    return object ? CRIER_SCAN_OBJECT : CRIER_SCAN_ARRAY;
}

static enum crier_scan_event word(struct crier_scan *scan, const char *name,
                                  enum crier_scan_event event)
{
    size_t len = strlen(name);
    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, name, len) != 0) {
        fail(scan, scan->at, "expected a value");
        return CRIER_SCAN_ERROR;
    }
    scan->at += len;
    return event;
}

static enum crier_scan_event scan_value(struct crier_scan *scan)
{
    if (scan->at == scan->end) {
        fail(scan, scan->at, "expected a value");
        return CRIER_SCAN_ERROR;
    }
    switch (*scan->at) {
    case '{':
        return open_container(scan, true);
    case '[':
        return open_container(scan, false);
    case '"':
        scan->at++;
        return scan_string(scan, &scan->str_buf, &scan->s) ? CRIER_SCAN_STR : CRIER_SCAN_ERROR;
    case 't':
        return word(scan, "true", CRIER_SCAN_TRUE);
    case 'f':
        return word(scan, "false", CRIER_SCAN_FALSE);
    case 'n':
        return word(scan, "null", CRIER_SCAN_NULL);
    default:
        if (*scan->at == '-' || digit(scan))
            return scan_number(scan);
        fail(scan, scan->at, "expected a value");
        return CRIER_SCAN_ERROR;
    }
}

static bool scan_key(struct crier_scan *scan)
{
    if (scan->at == scan->end || *scan->at != '"')
        return fail(scan, scan->at, "expected a member's name in quotes");
    scan->at++;
    if (!scan_string(scan, &scan->key_buf, &scan->key))
        return false;
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != ':')
        return fail(scan, scan->at, "expected ':'");
    scan->at++;
    skip_space(scan);
    return true;
}

enum crier_scan_event crier_scan_next(struct crier_scan *scan)
{
    enum crier_scan_event event;
    if (scan->fault)
        return CRIER_SCAN_ERROR;
    scan->key = (struct crier_str){"", 0};
    skip_space(scan);
    if (scan->done) {
        if (scan->at == scan->end)
            return CRIER_SCAN_END;
        fail(scan, scan->at, "expected nothing more");
        return CRIER_SCAN_ERROR;
    }
    if (scan->depth) {
        bool object = in_object(scan);
        if (scan->at < scan->end && *scan->at == (object ? '}' : ']')) {
            scan->at++;
            scan->depth--;
            scan->first = false;
            scan->done = scan->depth == 0;
            return CRIER_SCAN_CLOSE;
        }
        if (!scan->first) {
            if (scan->at == scan->end || *scan->at != ',') {
                fail(scan, scan->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
                return CRIER_SCAN_ERROR;
            }
            scan->at++;
            skip_space(scan);
        }
        scan->first = false;
        if (object && !scan_key(scan))
            return CRIER_SCAN_ERROR;
    }
    event = scan_value(scan);
    scan->done = event > CRIER_SCAN_CLOSE && scan->depth == 0;
    return event;
}
