/* SPDX-License-Identifier: MIT
 *
 * One value as JSON: snowflakes as strings, times as RFC 3339, in the comma-adding manner of
 * base/json.h. (crier_record_json has an encoder of its own, which copies what is known to be
 * plain.)
 *
 * Thread: [any].
 */
#ifndef CRIER_RECORD_VALUE_JSON_H
#define CRIER_RECORD_VALUE_JSON_H

#include "base/buf.h"
#include "crier/record.h"

void crier_value_json(struct crier_buf *b, const struct crier_value *v);

#endif
