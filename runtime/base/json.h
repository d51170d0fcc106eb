/* SPDX-License-Identifier: MIT
 *
 * The hot path's JSON writer, onto a crier_buf. (Documents of ordinary size are read and built
 * with jansson; this one exists because records are written by the million: see
 * runtime/README.md.)
 *
 * The writer adds commas by looking at the last byte written, so a value is written by one call
 * and objects need no bookkeeping:
 *     crier_json_open(b, '{'); crier_json_key(b, "a"); crier_json_int(b, 1); crier_json_close(b, '}');
 *
 * Thread: [any].
 */
#ifndef CRIER_BASE_JSON_H
#define CRIER_BASE_JSON_H

#include "base/buf.h"

void crier_json_open(struct crier_buf *b, char bracket);  /**< '{' or '[' */
void crier_json_close(struct crier_buf *b, char bracket); /**< '}' or ']' */
void crier_json_key(struct crier_buf *b, const char *key);
void crier_json_keyn(struct crier_buf *b, const char *key, size_t len);
/** A string. Control characters, '"' and '\' are escaped; U+2028/2029 too; bytes that are not
 *  valid UTF-8 become U+FFFD, one each, so the result is always valid JSON. */
void crier_json_str(struct crier_buf *b, const char *s);
void crier_json_strn(struct crier_buf *b, const char *s, size_t len);
void crier_json_int(struct crier_buf *b, int64_t v);
void crier_json_uint(struct crier_buf *b, uint64_t v);
/** An id: a number that Discord writes as a string. */
void crier_json_snowflake(struct crier_buf *b, uint64_t id);
/** Shortest text that reads back as v; NaN and infinities become null. An integral value is
 *  written with ".0" (or an exponent, from 1e15 up) so that it stays a float. */
void crier_json_num(struct crier_buf *b, double v);
void crier_json_bool(struct crier_buf *b, bool v);
void crier_json_null(struct crier_buf *b);
/** Text that is JSON already. */
void crier_json_raw(struct crier_buf *b, const char *json, size_t len);
/** Only the quoted string itself, without the comma logic. */
void crier_json_quote(struct crier_buf *b, const char *s, size_t len);

#endif
