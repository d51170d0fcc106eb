/* SPDX-License-Identifier: MIT
 *
 * The spool: an ordered log of byte strings on disk, written at one end and read at the other.
 *
 * A folder holds segments `NNNNNNNN.spool` and one small file `cursor`, which says how far the
 * reader's entries have been answered for. All of them are fallocated (a full disk under a sparse
 * map would be SIGBUS) and memory-mapped, so that adding an entry is a memcpy and what was added
 * survives `kill -9`. Native byte order: a spool does not travel between machines.
 *
 *   segment   8 bytes  "criersp" and the format's version as one byte
 *             u64      position where the segment behind this one goes on; 0 = at its beginning
 *             entries, each at a multiple of 8:
 *               u32 length of the bytes (0 = the end), u32 crc32c of all that follows and the
 *               length, u64 seq, the bytes
 *   cursor    8 bytes  "criercu" and the version
 *             u64      position of the first entry not answered for
 *             u64      how many entries from there on are the batch in flight << 40 | a checksum
 *             u64      position of the first entry that has not been copied to a fallback
 *             u64      how many entries are not answered for << 8 | low byte of its crc32c
 *   position  number of a segment << 37 | (offset / 8) << 8 | low byte of their crc32c
 *
 * An entry's length is stored last, so an append that was interrupted does not exist. Opening
 * checks every entry; the first one that fails ends its segment: what lies behind it is skipped,
 * counted and told, the next segment goes on, and the file is kept as `.bad` once it is read.
 * Entries that the cursor counts and that no segment holds (a file was removed, or lost at a power
 * cut) are counted and told, too. A segment of an earlier run is never appended to. A newer version is CRIER_EVERSION and
 * everything is left as it is.
 *
 * Thread: none of its own; the owner serialises the calls. The bytes that crier_spool_read gives
 * stay where they are until they are acknowledged, so they may be looked at outside of the lock.
 */
#ifndef CRIER_SINK_SPOOL_H
#define CRIER_SINK_SPOOL_H

#include "base/buf.h"
#include "base/loop.h"

struct crier_spool; /* opaque */

struct crier_spool_config {
    size_t segment_bytes; /**< 0: 4 MiB. An entry that is larger gets a segment of its own */
    uint64_t max_bytes;   /**< bound on the segments' sizes together; 0: 1 GiB */
    bool look; /**< only read what is there: nothing on disk is made, changed or locked, so
                    that its owner may be at work meanwhile */
};

struct crier_spool_entry {
    uint64_t seq; /**< the owner's */
    const void *data;
    size_t len;
};

/** Open, or create, the spool in a folder. CRIER_EBUSY: another one has it open (a sink that is
 *  being replaced); CRIER_EVERSION; CRIER_EIO. With `look` CRIER_EIO, too, where there is none. */
CRIER_CHECK int crier_spool_open(const char *folder, const struct crier_spool_config *config,
                                 struct crier_spool **out, struct crier_err *err);
/** Entries that are left stay for the next time. NULL is allowed. */
void crier_spool_close(struct crier_spool *spool);

/** Another bound. */
void crier_spool_set_bound(struct crier_spool *spool, uint64_t max_bytes);
/** Live: let the process' helper make segments ready ahead, remove finished ones and bring what was
 *  written to the disk every `sync` microseconds (0: never). Again: with another `sync`. */
void crier_spool_help(struct crier_spool *spool, struct crier_loop *loop, int64_t sync);

/** Add an entry of 1 byte or more. CRIER_ELIMIT: max_bytes would be passed; CRIER_EIO (disk full):
 *  nothing was added and it may be tried again. */
CRIER_CHECK int crier_spool_append(struct crier_spool *spool, uint64_t seq, const void *data,
                                   size_t len, struct crier_err *err);
/** Put entries in front of those that have not been acknowledged, all or none. max_bytes does not
 *  count here: this is what a stopping sink saves its queue with. Reading starts again with the
 *  first of them. */
CRIER_CHECK int crier_spool_prepend(struct crier_spool *spool,
                                    const struct crier_spool_entry *entries, size_t count,
                                    struct crier_err *err);

/** The next entry behind the last one read; false: there is none at the moment. */
bool crier_spool_read(struct crier_spool *spool, struct crier_spool_entry *out);
/** Read again from the first entry that is not acknowledged. */
void crier_spool_rewind(struct crier_spool *spool);
/** The first n entries that were read and not acknowledged have been answered for. Segments that
 *  are finished are deleted. */
void crier_spool_ack(struct crier_spool *spool, size_t n);

/** Delete the oldest segment that is neither being read nor being written, nor holds one of the
 *  first `keep` entries; returns the number of entries lost with it and which is the first of them
 *  (0: the first not acknowledged); 0: there is no such segment. */
uint64_t crier_spool_drop_oldest(struct crier_spool *spool, uint64_t keep, uint64_t *first);

/** The first n entries are the batch in flight; a prepend forgets that, an acknowledgement counts
 *  it down. Survives a kill: what is found at the opening is what was last marked. */
void crier_spool_mark_batch(struct crier_spool *spool, size_t n);
size_t crier_spool_batch(const struct crier_spool *spool);

/** The first n entries have been copied elsewhere. Kept as the batch is. */
void crier_spool_mark_copied(struct crier_spool *spool, uint64_t n);
uint64_t crier_spool_copied(const struct crier_spool *spool);
/** Up to max entries behind the first `skip` ones; not read by that. */
size_t crier_spool_peek(const struct crier_spool *spool, uint64_t skip,
                        struct crier_spool_entry *entries, size_t max);

/** Entries not acknowledged. */
uint64_t crier_spool_count(const struct crier_spool *spool);

struct crier_spool_stats {
    uint64_t entries, bytes; /**< not acknowledged; sizes of the segments together */
    size_t segments;
    size_t damaged;         /**< segments whose rest was skipped since the spool was opened */
    uint64_t skipped_bytes; /**< in them */
    uint64_t lost;          /**< entries that were owed and not there at the opening */
    char fault[256];        /**< the last of these, in words; empty when there was none */
};
void crier_spool_stats(const struct crier_spool *spool, struct crier_spool_stats *out);

#endif
