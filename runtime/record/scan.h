/* SPDX-License-Identifier: MIT
 *
 * A JSON scanner: a pull parser over a range of memory, for what is read by the million (our own
 * records, day files, jsonl). It takes exactly RFC 8259, one value with white space around it.
 *
 *     crier_scan_init(&s, text, len);
 *     while ((event = crier_scan_next(&s)) > CRIER_SCAN_END) ...
 *     if (event == CRIER_SCAN_ERROR) return crier_scan_error(&s, err);
 *     crier_scan_fini(&s);
 *
 * A member of an object is one event: its value, with `key` set. Strings without escapes are
 * slices of the text; others are unescaped into a buffer of the scanner. \u0000 is a NUL byte; a
 * surrogate without its other half becomes U+FFFD. Bytes that are not valid UTF-8 are handed
 * through as they are (the record builder mends them).
 *
 * Thread: [any]; a scanner belongs to one thread.
 */
#ifndef CRIER_RECORD_SCAN_H
#define CRIER_RECORD_SCAN_H

#include "base/buf.h"
#include "crier/record.h"

#define CRIER_SCAN_DEPTH 512 /**< containers in each other; one more is an error */

enum crier_scan_event {
    CRIER_SCAN_ERROR = -1, /**< and again at each further call */
    CRIER_SCAN_END = 0,    /**< the value is complete and nothing follows it; and again */
    CRIER_SCAN_OBJECT,     /**< begins; its end is CRIER_SCAN_CLOSE */
    CRIER_SCAN_ARRAY,      /**< begins; its end is CRIER_SCAN_CLOSE */
    CRIER_SCAN_CLOSE,
    CRIER_SCAN_STR, /**< `s` */
    CRIER_SCAN_INT, /**< `i`: without fraction and exponent, and in the range of int64_t */
    CRIER_SCAN_NUM, /**< `n`: any other number, rounded to the nearest double */
    CRIER_SCAN_TRUE,
    CRIER_SCAN_FALSE,
    CRIER_SCAN_NULL
};

struct crier_scan {
    /* Of the last event; valid until the next call. `key` is empty outside objects and at
     * CRIER_SCAN_CLOSE. */
    struct crier_str key, s;
    int64_t i;
    double n;
    /* private */
    const char *begin, *at, *end;
    const char *fault;
    struct crier_buf key_buf, str_buf;
    unsigned depth;
    bool first, done; /* before the first item of a container; after the value */
    unsigned char objects[CRIER_SCAN_DEPTH / 8]; /* a bit a level: object, not array */
};

/** The text is borrowed until crier_scan_fini. */
void crier_scan_init(struct crier_scan *scan, const char *text, size_t len);
void crier_scan_fini(struct crier_scan *scan);
enum crier_scan_event crier_scan_next(struct crier_scan *scan);
/** The first '"', '\' or control character from p on, or end: where a string stops being itself. */
const char *crier_scan_plain(const char *p, const char *end);
/** After CRIER_SCAN_ERROR: fills err with "invalid JSON at byte 17: expected ':'" and returns
 *  CRIER_EINVAL. */
int crier_scan_error(const struct crier_scan *scan, struct crier_err *err);

#endif
