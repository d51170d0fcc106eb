/* SPDX-License-Identifier: MIT
 *
 * A sink's queue: a bounded ring of records in memory, a spool on disk, and the books.
 *
 * Plain, the spool is behind the ring:
 *
 *   push [any] -> ring -> take [worker] -> batch in flight -> settle [worker]
 *                  | full (policy "spill")           ^
 *                  v                                 |
 *                spool -> once the ring is empty ----+
 *
 * While the spool holds anything, new records go to it and not to the ring, so what is in the ring
 * is always older than what is in the spool. A spool that an earlier run left is read before
 * anything new.
 *
 * Logged (a durable sink; any other that spills, while it is down), every record goes into the
 * spool before push returns, and the ring only saves the worker from reading the first of them
 * back. When the ring is full the rest is in the spool alone, and the worker reads it from there
 * until it has caught up. Where the spool cannot be written (disk full), records are kept in the
 * ring alone, in order, as long as that has room.
 *
 *   spool:  | in flight | the same as in the ring | the rest |      ring: | ... | not in the spool
 * |
 *
 * Records in flight stay in the books (as queued or spilled) until they are settled; those of the
 * spool stay on disk until then, together with how many they are, so that the same batch is handed
 * out after a kill. Records that have been copied to a fallback are counted from the front, and
 * that is kept on disk, too.
 *
 * One mutex guards all of it, so the accounting equation of sink.h is true whenever it is looked
 * at. Memory: the ring has room for `size` pointers from the start.
 */
#ifndef CRIER_SINK_QUEUE_H
#define CRIER_SINK_QUEUE_H

#include "base/loop.h"
#include "crier/record.h"

/** BLOCK: those who can wait ask crier_queue_is_full; what is pushed nevertheless spills. */
enum crier_overflow { CRIER_SPILL, CRIER_BLOCK, CRIER_DROP_OLD, CRIER_DROP_NEW };

struct crier_queue_config {
    size_t size;   /**< of the ring, in records */
    size_t batch;  /**< records taken at most at once */
    int64_t flush; /**< microseconds that a record may wait for its batch to fill */
    enum crier_overflow overflow;
    const char *folder;   /**< of the spool; NULL: none, what would be spilled is dropped (oldest
                               first). Made when the first record is spilled */
    uint64_t spool_bytes; /**< bound of the spool; 0: its default */
    bool durable;         /**< every record is in the spool before push returns */
    int64_t sync;         /**< the spool is fsynced so often (microseconds); 0: never */
    struct crier_clock *clock; /**< borrowed */
};

struct crier_queue; /* opaque */

/** [any] CRIER_EVERSION, CRIER_EIO: the spool that is there cannot be used. */
CRIER_CHECK int crier_queue_open(const struct crier_queue_config *config, struct crier_queue **out,
                                 struct crier_err *err);
/** [loop, no worker yet] The worker is about to start: look for what a predecessor of that name has
 *  left, and let the spool have its helper. */
void crier_queue_begin(struct crier_queue *queue, struct crier_loop *loop);
/** [loop, no worker yet] The queue that `from`, a queue of the same name, is a sink's successor
 * goes on with: `queue` becomes it, with its own configuration. Returns what to use instead of
 * `queue`, which is freed; the worker of the predecessor may go on settling what it has in flight,
 * but the successor's must not start before that has ended. Both owners free it. */
struct crier_queue *crier_queue_inherit(struct crier_queue *queue, struct crier_queue *from);
/** What is left in memory is forgotten: crier_queue_save comes first. */
void crier_queue_free(struct crier_queue *queue);

/** [any] Takes a reference. Never waits, but for the mutex. True: the worker must be woken. */
bool crier_queue_push(struct crier_queue *queue, struct crier_record *record);

/** [worker] The batch in flight: what is left of the one taken before, else a new one. Returns the
 *  number of records, 0: nothing to do before *due (CRIER_NEVER: before push returns true).
 *  hurry: do not wait for a batch to fill. */
size_t crier_queue_take(struct crier_queue *queue, int64_t now, bool hurry,
                        struct crier_record *const **records, int64_t *due);

/** [worker] The first record in flight; there is one. */
struct crier_record *crier_queue_first(struct crier_queue *queue);

enum crier_outcome { CRIER_SETTLE_WRITTEN, CRIER_SETTLE_REJECTED, CRIER_SETTLE_DROPPED };
/** [worker] The first n records in flight are answered for; their references are dropped. `why`
 *  is for those that are lost (DROPPED), else NULL. */
void crier_queue_settle(struct crier_queue *queue, size_t n, enum crier_outcome outcome,
                        const char *why);

/** [worker] The sink is down (said after each try that fails), or works again: while it is down,
 *  what waits is kept in the spool (policies "spill" and "block"), and every push wakes the worker.
 */
void crier_queue_down(struct crier_queue *queue, bool down);
/** [worker] The next records that are to be copied to a fallback, in order, at most `max`; a
 *  reference each. They count as copied from now on. */
size_t crier_queue_copy(struct crier_queue *queue, struct crier_record **records, size_t max);

/** [any] Whether nothing is left that has not been answered for. */
bool crier_queue_is_empty(struct crier_queue *queue);
/** [any] Whether the policy is BLOCK and as many records wait as the ring has room for. */
bool crier_queue_is_full(struct crier_queue *queue);
/** [any] Whether at most half as many wait. */
bool crier_queue_has_room(struct crier_queue *queue);

/** [any] A place in the order of records, for "everything pushed before". */
uint64_t crier_queue_mark(struct crier_queue *queue);
/** [any] Whether everything pushed before a mark has been answered for. May say no for a while
 *  longer where records were dropped out of order. */
bool crier_queue_passed(struct crier_queue *queue, uint64_t mark);
/** [loop] Wait until nothing is left, at most `within` microseconds of real time. */
bool crier_queue_wait(struct crier_queue *queue, int64_t within);

/** [no worker any more, or one that hangs in a write] Save what is in memory to the spool (policies
 *  "spill" and "block"), or drop it, and close the spool. Records pushed later are dropped. */
void crier_queue_save(struct crier_queue *queue);

struct crier_queue_stats {
    uint64_t accepted, written, rejected, dropped, queued, spilled;
    uint64_t copied, spool_bytes;
};
void crier_queue_stats(struct crier_queue *queue, struct crier_queue_stats *out);
/** [any] True once each time that the spool has reached its bound. */
bool crier_queue_is_overfull(struct crier_queue *queue);
/** [any] What has gone wrong since the last call: records dropped, and why, or (with *dropped 0)
 *  damage found in the spool. False: nothing. */
bool crier_queue_trouble(struct crier_queue *queue, uint64_t *dropped, char text[256]);

#endif
