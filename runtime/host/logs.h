/* SPDX-License-Identifier: MIT
 *
 * Reading logs back: what the running host and the commands without one have in common.
 *
 * A request is a JSON object: "match" (a list of words: record/match.h), "since", "until", "level",
 * "grep" (a regular expression on the text), "guild" (id or name), "after" (a record's id: what
 * comes behind it), "lines" (the last so many; absent: all). The answer comes in the order of ids,
 * which is that in which the records were made.
 *
 * All is read page by page, so that no more than a page is in memory: first the oldest record, then
 * spans of time behind it, of which ids tell; a span that holds too much is cut and the next one is
 * shorter, one that holds little makes the next one longer. So no store has to make records of what
 * belongs to other pages.
 *
 * Thread: one at a time.
 */
#ifndef CRIER_HOST_LOGS_H
#define CRIER_HOST_LOGS_H

#include <jansson.h>

#include "record/query.h"
#include "script/generation.h"

#define CRIER_LOGS_PAGE 20000 /* records: some 20 MB */

/** By name. CRIER_EINVAL: there is none, and whether another was meant. */
CRIER_CHECK int crier_logs_find(const struct crier_generation *gen, const char *name,
                                struct crier_declared_sink **out, struct crier_err *err);
/** The sink that a command reads. name: as the user gave it, or NULL: of those that can be read the
 *  one that takes most kinds; of these the one with the lowest level; then in the order sql, jsonl,
 *  json, csv, memory, redis; then the one declared first. stored: there is no host, so nothing is
 * in memory. CRIER_EINVAL: no such sink, or it cannot be read; CRIER_ECONFIG: there is none to
 * read. */
CRIER_CHECK int crier_logs_choose(const struct crier_generation *gen, const char *name, bool stored,
                                  struct crier_declared_sink **out, struct crier_err *err);

/** The sink, named or the first one, whose kind has this method. CRIER_EINVAL, CRIER_ECONFIG. */
CRIER_CHECK int crier_logs_method(const struct crier_generation *gen, const char *name,
                                  const char *method, struct crier_declared_sink **out,
                                  const struct crier_sink_method **found, struct crier_err *err);

/** A reading under way. */
struct crier_logs {
    json_t *request; /* a reference */
    struct crier_zone *zone;
    int64_t now;   /* what relative times are taken from */
    size_t lines;  /* SIZE_MAX: all */
    char last[27]; /* what is up to this id has been given; empty: nothing yet */
    char upto[27]; /* the end of the span that is being read; empty: there is none */
    int64_t span;  /* milliseconds; 0: the oldest record is being looked for */
    bool phases;   /* events as they were told, not folded */
};

void crier_logs_init(struct crier_logs *logs, json_t *request, struct crier_zone *zone,
                     int64_t now);
void crier_logs_fini(struct crier_logs *logs);

/** The request's conditions. CRIER_EINVAL: they are wrong. */
CRIER_CHECK int crier_logs_match(const struct crier_logs *logs, struct crier_query **out,
                                 struct crier_err *err);
/** The next page's query. */
CRIER_CHECK int crier_logs_page(struct crier_logs *logs, struct crier_query **out,
                                struct crier_err *err);
/** What it gave, put into the order of the answer. Returns whether there may be another page. */
bool crier_logs_took(struct crier_logs *logs, struct crier_record **records, size_t count);

#endif
