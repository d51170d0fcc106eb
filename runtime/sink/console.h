/* SPDX-License-Identifier: MIT
 *
 * A record as one line for people:
 *
 *     22:31:10 info     message.gallery  #sp edited  two.gif
 *
 * time of day in the zone, level, logger, text, and what else is worth a look: the fields of log
 * and system records as key=value, what a message said, why it or a task failed, and for warnings
 * and worse the place in the script. Whatever a record holds, the line stays one line and moves no
 * cursor: control characters (C0, C1, line and paragraph separators, bidirectional overrides) are
 * written as \n, \x1b, \u202e.
 *
 * Thread: [any].
 */
#ifndef CRIER_SINK_CONSOLE_H
#define CRIER_SINK_CONSOLE_H

#include "base/buf.h"
#include "base/duration.h"
#include "crier/record.h"

/** Appends the line and its newline. zone NULL: UTC. */
void crier_console_line(const struct crier_record *record, const struct crier_zone *zone,
                        bool color, struct crier_buf *out);

/** Text of unknown origin with its control characters made visible, as in the lines above. */
void crier_console_text(struct crier_str text, struct crier_buf *out);

#endif
