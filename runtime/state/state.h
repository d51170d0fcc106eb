/* SPDX-License-Identifier: MIT
 *
 * The state store: what must survive a restart, in one SQLite file `state.db` in the state folder.
 * Names are identity (lua/README.md, Reload), so it is a map (section, key) -> JSON text.
 *
 * Sections used: "message" (due time, last message ids, counters), "state" (crier.state tables),
 * "host" (names learnt from Discord, DM channels).
 *
 * Everything is read once, at open; afterwards the host's memory is the truth and the store is
 * written behind by a worker, in transactions that gather what came in the meantime. A put whose
 * `done` was called survives kill -9; power loss may take the last second.
 *
 * Thread: [loop], but open and the lock, which come before the loop runs.
 */
#ifndef CRIER_STATE_STATE_H
#define CRIER_STATE_STATE_H

#include "base/loop.h"

/** The lock of a state folder: <folder>/lock, flock'ed, holding the pid. The folder is made
 *  (0700). CRIER_EBUSY names the other pid: "state folder '…' is in use by pid 812". */
CRIER_CHECK int crier_state_lock(const char *folder, int *lock_fd, struct crier_err *err);
void crier_state_unlock(int lock_fd);

struct crier_state; /* opaque */

/** Open <folder>/state.db, make it if it is missing, check its version and integrity.
 * CRIER_ECORRUPT and CRIER_EVERSION keep the file as it is and say what to do ("move it away to
 * start afresh"). read_only: for commands that look at a stopped host's state; nothing is created,
 * and nothing may be put; CRIER_ENOTFOUND when there is no state yet. */
CRIER_CHECK int crier_state_open(const char *folder, bool read_only, struct crier_state **out,
                                 struct crier_err *err);
/** A store in memory, for virtual time. It begins with what the state in a folder has, which is only
 *  read; NULL, or no state there: empty. */
CRIER_CHECK int crier_state_open_memory(const char *folder, struct crier_state **out,
                                        struct crier_err *err);
/** Start writing behind. */
void crier_state_start(struct crier_state *state, struct crier_loop *loop);
/** Write what is left, stop the worker, close. Changes that cannot be written are told on stderr.
 *  NULL is allowed. done callbacks may still be on the loop: run it, or free it, afterwards. */
void crier_state_close(struct crier_state *state);

/** Every entry of a section, in the order of keys, as it was at the call; fn may put. */
void crier_state_each(struct crier_state *state, const char *section,
                      void (*fn)(void *arg, const char *key, const char *json), void *arg);
/** One entry as it was at open or last put; NULL when there is none. Borrowed until the next put
 *  of that key. */
const char *crier_state_get(struct crier_state *state, const char *section, const char *key);
/** Store (json NULL: remove). done may be NULL; else it is called on the loop once the change is
 *  in the file (rc 0) or could not be written (rc negative; the value is kept and tried again with
 *  the next change, and every 5 s). Changes of one key before they are written are merged; a value
 *  that is in the file already is not written again. Before crier_state_start changes only
 *  gather. */
void crier_state_put(struct crier_state *state, const char *section, const char *key,
                     const char *json, void (*done)(void *arg, int rc), void *arg);

struct crier_state_stats {
    uint64_t puts, transactions, failures;
    size_t pending;       /**< changes that are not in the file yet */
    char last_error[256]; /**< empty again once a transaction succeeds */
};
void crier_state_stats(struct crier_state *state, struct crier_state_stats *out);

#endif
