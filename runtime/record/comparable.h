/* SPDX-License-Identifier: MIT
 *
 * Texts made comparable: what differs from one occurrence of a message to the next is taken out.
 * `common` of the redis sink and `dedupe` of routes mean the same by "alike".
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_RECORD_COMPARABLE_H
#define CRIER_RECORD_COMPARABLE_H

#include "base/buf.h"

/** Adds the text to b: numbers become <n>, ids (15 and more digits, hexadecimal of 8 and more,
 *  UUIDs, long words of letters and digits) <id>, quoted text <text>. At most CRIER_COMPARABLE_MAX
 *  bytes; "..." stands for the rest. */
void crier_text_comparable(const char *text, size_t len, struct crier_buf *b);
enum { CRIER_COMPARABLE_MAX = 512 };

#endif
