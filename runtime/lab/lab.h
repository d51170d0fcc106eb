/* SPDX-License-Identifier: MIT
 *
 * A laboratory: a script in virtual time, against the simulator's model in process. `crier
 * simulate`, `crier diff` and crier.testing (crier spec) are faces of it.
 *
 * The clock stands until crier_lab_advance moves it; workers are driven in line, and everything that
 * is drawn comes from one seed, so the same script, seed and faults give the same run. The world (the
 * simulator, its messages, the clock) outlives the host, which can be stopped and started anew.
 *
 * Faults are a JSON array, or the name of a preset; each entry is an object:
 *   {"match": ..., "do": ..., ...}          Discord: sim/sim.h; also "at", "for" and "chance"
 *   {"sink": "sql", "do": "fail"}           writes of a sink fail: "fail" (tried again), "down" (at
 *                                           once), "reject" (one record). The name may hold * and ?
 *   {"clock": "1h"}, {"clock": "-1h"}       the wall clock is set, by so much
 * "at": how long after the start (0s); "for": how long (for good; one request of Discord's, where
 * "times" does not say more); "chance": 0 to 1, of each request or write.
 *
 * Thread: the one that made it.
 */
#ifndef CRIER_LAB_LAB_H
#define CRIER_LAB_LAB_H

#include "host/host.h"

struct crier_lab; /* opaque */

struct crier_lab_config {
    const char *file;         /**< the script */
    const char *state_folder; /**< NULL: a new one in the folder for temporary files, removed at the
                                   end, and a state in memory */
    const char *state_from;   /**< in memory: begin with the state of this folder; NULL: empty */
    bool sinks;               /**< the script's real sinks, not the dry ones */
    uint64_t seed;
    int64_t from;             /**< wall time at the start */
    const char *world;        /**< the simulator's guilds, channels and users; NULL: the script's */
    bool no_limits;           /**< the simulator answers without rate limits */
    /** File -> its text, in place of what is on disk; absolute paths. NULL: none. Borrowed. */
    GHashTable *overlay;
    void (*on_record)(void *arg, const struct crier_record *record);
    /** A message came to be. pings: users, roles and everyone that it reaches. */
    void (*on_create)(void *arg, uint64_t channel, unsigned pings);
    void *arg;
};

/** Strings of the config are copied. CRIER_EINVAL: the world file is wrong. */
CRIER_CHECK int crier_lab_new(const struct crier_lab_config *config, struct crier_lab **out,
                              struct crier_err *err);
void crier_lab_free(struct crier_lab *lab);

/** The names of presets, ends with NULL. */
extern const char *const crier_lab_presets[];
/** Add faults, by JSON text or a preset's name; "at" counts from now. CRIER_EINVAL. */
CRIER_CHECK int crier_lab_faults(struct crier_lab *lab, const char *text, struct crier_err *err);
void crier_lab_faults_clear(struct crier_lab *lab);
/** Add answers for crier.http: fixtures.h. CRIER_EINVAL. */
CRIER_CHECK int crier_lab_fixtures(struct crier_lab *lab, const char *text, struct crier_err *err);

/** Start the host. 0, or its exit code; what is wrong has been said on stderr. */
int crier_lab_start(struct crier_lab *lab);
/** What kept the last start from succeeding; "" when nothing did. */
const char *crier_lab_error(const struct crier_lab *lab);
/** Run until this wall time has come, reckoned from the clock as it stands. Returns false when the
 *  host has stopped by itself before. */
bool crier_lab_advance(struct crier_lab *lab, int64_t us);
/** Stop the host: in order (at most limits.stop of virtual time), or cut off at once. */
void crier_lab_stop(struct crier_lab *lab, bool in_order);
/** A new generation of the script as it is now. 0, or the exit code. */
int crier_lab_reload(struct crier_lab *lab, struct crier_buf *diff);
/** Set the wall clock. */
void crier_lab_set_clock(struct crier_lab *lab, int64_t wall);

int64_t crier_lab_now(const struct crier_lab *lab); /**< wall */
/** NULL: it does not run. */
struct crier_host *crier_lab_host(struct crier_lab *lab);
struct crier_sim *crier_lab_sim(struct crier_lab *lab);
const char *crier_lab_state_folder(const struct crier_lab *lab);
/** "GET https://..." of each request that crier.http has made, a line each. */
const char *crier_lab_http_log(const struct crier_lab *lab);

#endif
