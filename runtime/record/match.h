/* SPDX-License-Identifier: MIT
 *
 * Matches as they are written on a command line, made into a query.
 *
 *     kind=task 'action=in(fail,crash)' 'created>=-1d' text~timeout guild.id=863071397207212052
 *
 *   word   FIELD OP VALUE, nothing between them; FIELD as in a query (dots reach inside)
 *   OP     =  !=  >  >=  <  <=  and ~ (matches the regular expression), !~ (does not)
 *   VALUE  text as it stands; behind = and != also in(a,b,...), like(%word%)
 *
 * Different fields must all match. A field that is given more than once with = or ~ must match one
 * of them; its other conditions must all hold.
 *
 * What a text means is taken from how it looks: 5, 1.5, true and null equal the number, truth value
 * or missing field, and the text of that spelling, too; "5" in double quotes is only the text (\"
 * and \\ within). Behind > >= < <=: a number, a duration such as 1m30s (in seconds), a time (ISO
 * 8601; -1h is an hour ago; now, today, yesterday), or else a text. `kind` and `level` take their
 * names only.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_RECORD_MATCH_H
#define CRIER_RECORD_MATCH_H

#include "record/query.h"

/** Add the words' conditions to a query, in its innermost open group. zone and now are for dates
 *  and relative times. CRIER_EINVAL with a text such as
 *  "match 'action=in(fail' at 13: expected ',' or ')'". */
CRIER_CHECK int crier_match_add(struct crier_query *query, const char *const *words, size_t count,
                                const struct crier_zone *zone, int64_t now, struct crier_err *err);

/** Whether a word has the shape FIELD OP ...; for commands that take files, too. */
bool crier_match_like(const char *word);

/** A point in time: "2026-11-21 09:00" (ISO 8601), "09:00" (today), "1h", "-1h" or "1h ago", "now",
 *  "today", "yesterday" (their beginning). CRIER_EINVAL. */
CRIER_CHECK int crier_match_time(const char *text, const struct crier_zone *zone, int64_t now,
                                 int64_t *out_us, struct crier_err *err);

#endif
