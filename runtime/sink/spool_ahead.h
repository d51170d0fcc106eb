/* SPDX-License-Identifier: MIT
 *
 * The spool's helper: one thread for all spools of the process. It makes the next segment ready
 * before it is needed (allocated, mapped, its pages touched, from a finished one where there is
 * one), removes finished ones, and brings what was written to the disk every so often, so that an
 * append never waits for any of it. In virtual time there is none.
 */
#ifndef CRIER_SINK_SPOOL_AHEAD_H
#define CRIER_SINK_SPOOL_AHEAD_H

#include <stdatomic.h>

#include "base/loop.h"

struct crier_ahead; /* opaque: one spool's share of the helper */

/** A segment's file, mapped. */
struct crier_segment_file {
    unsigned number;
    char *map;
    size_t size;
};

/** In spool.c: create a file, allocated, mapped and with its header. */
CRIER_CHECK int crier_segment_create(const char *folder, unsigned number, size_t size,
                                     struct crier_segment_file *out, struct crier_err *err);
/** In spool.c: put the header of an empty segment. */
void crier_segment_begin(char *map);

/** [any] next_number: the spool's, shared; cursor: its map of one page. sync: microseconds, 0:
 *  never. The first segment is begun at once. All are borrowed until crier_ahead_free. */
struct crier_ahead *crier_ahead_new(struct crier_loop *loop, const char *folder,
                                    size_t segment_bytes, int64_t sync,
                                    _Atomic unsigned *next_number, void *cursor);
/** [any] Waits for what the helper is doing for this spool; removes the files that are ready. */
void crier_ahead_free(struct crier_ahead *ahead);

/** [any] Another interval. */
void crier_ahead_set_sync(struct crier_ahead *ahead, int64_t sync);

/** [the spool's owner] The segment that was made ready, of at least `size` bytes and with a number
 *  above `after`; false: there is none yet. */
bool crier_ahead_take(struct crier_ahead *ahead, size_t size, unsigned after,
                      struct crier_segment_file *out);
/** [the spool's owner] This segment is written to from now on; the one before is finished. */
void crier_ahead_tail(struct crier_ahead *ahead, const struct crier_segment_file *file);
/** [the spool's owner] It is written up to here. */
void crier_ahead_written(struct crier_ahead *ahead, size_t end);
/** [the spool's owner] All in it has been answered for: the file goes, or is used again. */
void crier_ahead_retire(struct crier_ahead *ahead, const struct crier_segment_file *file);

#endif
