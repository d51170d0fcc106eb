/* SPDX-License-Identifier: MIT
 *
 * What a simulation adds up to, from its records: for `crier simulate` and `crier diff`.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_TALLY_H
#define CRIER_CLI_TALLY_H

#include <glib.h>

#include "base/duration.h"
#include "crier/record.h"
#include "lab/lab.h"

enum { CRIER_TALLY_COLUMNS = 600 };

/** A channel, or a user that gets direct messages. */
struct crier_tally_channel {
    uint64_t id;
    char *name, *guild; /**< "#news"; as last seen */
    uint64_t sent, failed, pings;
    int64_t waited; /**< of sends to it alone, microseconds */
};

/** A message: a row of the picture. */
struct crier_tally_row {
    char *guild, *name;
    uint64_t sent, failed, skipped;
    uint16_t *columns[3]; /**< sent, failed, skipped; NULL: there is no picture */
};

struct crier_tally {
    int64_t from, span;   /**< wall; microseconds */
    bool picture;         /**< keep what crier_tally_svg draws */
    GHashTable *channels; /**< id -> struct crier_tally_channel */
    GHashTable *rows;     /**< "guild/name" -> struct crier_tally_row */
    GHashTable *failures, *skips, *problems; /**< text -> uint64_t boxed */
    GHashTable *alerts; /**< name -> how often it fired, boxed */
    struct crier_buf key;
    uint64_t sends, ok, failed, skipped; /**< occurrences; sends = ok + failed */
    uint64_t to_channels;                /**< messages that were sent, edits included */
    uint64_t waits;                      /**< sends that waited for a rate limit */
    int64_t waited;
    int64_t minute, busiest; /**< numbers of minutes since the epoch */
    uint64_t in_minute, in_busiest;
    uint64_t records, logs, events, tasks;
};

void crier_tally_init(struct crier_tally *t, int64_t from, int64_t span, bool picture);
void crier_tally_fini(struct crier_tally *t);
void crier_tally_record(struct crier_tally *t, const struct crier_record *record);
/** As crier_sim_on_create. arg: the tally. */
void crier_tally_create(void *arg, uint64_t channel, unsigned pings);
/** The channels by guild and name. The caller frees the array, not what it points to. */
GPtrArray *crier_tally_channels(const struct crier_tally *t);
/** The summary for people, or one JSON object on a line. gen, sim: as they are at the end; either may
 *  be NULL. */
void crier_tally_text(const struct crier_tally *t, const struct crier_generation *gen,
                      struct crier_sim *sim, struct crier_buf *out);
void crier_tally_json(const struct crier_tally *t, const struct crier_generation *gen,
                      struct crier_sim *sim, struct crier_buf *out);
/** The picture: a row a message, by guild; the most active 200. */
void crier_tally_svg(const struct crier_tally *t, const struct crier_zone *zone,
                     struct crier_buf *out);

#endif
