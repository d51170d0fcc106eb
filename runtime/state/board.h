/* SPDX-License-Identifier: MIT
 *
 * The board: what tasks have done last and which runs live, in a memory-mapped file `tasks.board`
 * in the state folder. An action is a few hundred bytes copied in place, without a system call, so
 * that it costs next to nothing and a kill -9 loses none. (Loss of power may lose the last seconds:
 * the system writes mapped pages back when it likes.)
 *
 *   header    "CRBD", u32 version, and twice: u64 counter, i64 wall time last seen, u32 crc
 *   slots     1 KiB each: a name with its crc, then two halves: u64 counter, the entry, u32 crc32c
 *             of name, counter and entry
 *
 * A put goes into the half that is not the newest, so that the newest valid one is always whole. A
 * slot with no valid half is damaged: it is counted and given up. The file is fallocated (a full
 * disk under a sparse map would be a SIGBUS) and grows by doubling. Native byte order.
 *
 * Who holds the folder's lock (state.h) owns the board; read_only is for commands that look at it,
 * also while a host writes.
 *
 * Thread: one at a time.
 */
#ifndef CRIER_STATE_BOARD_H
#define CRIER_STATE_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "crier/err.h"

struct crier_board; /* opaque */

enum {
    CRIER_BOARD_NAME = 191,   /**< bytes that a name has at most */
    CRIER_BOARD_ACTIONS = 6,
    CRIER_BOARD_LIVE = 6,     /**< runs that an entry holds; further ones get slots of their own */
};
#define CRIER_BOARD_NONE UINT32_MAX

struct crier_board_entry {
    struct {
        uint64_t seq;  /**< 0: never */
        int64_t time;  /**< wall */
        int64_t set;   /**< by how much the clock has been set since */
    } last[CRIER_BOARD_ACTIONS];
    int64_t due;     /**< of the newest run */
    int64_t known;   /**< wall: when the task was first known */
    uint32_t fails;  /**< in a row */
    uint16_t live_count;
    uint8_t paused, overflow; /**< overflow: the slot only holds further runs of the task */
    struct {
        unsigned char id[16];
        int64_t start;
    } live[CRIER_BOARD_LIVE];
};

/** Open <folder>/tasks.board, make it if it is missing. CRIER_EVERSION keeps the file as it is and
 *  says what to do. One that is no board at all is kept beside the new one as tasks.board.old.
 *  read_only: CRIER_ENOTFOUND when there is none. */
CRIER_CHECK int crier_board_open(const char *folder, bool read_only, struct crier_board **out,
                                 struct crier_err *err);
void crier_board_close(struct crier_board *board); /**< NULL is allowed */
/** Whether it has just been made: what tasks did before is not known. */
bool crier_board_fresh(const struct crier_board *board);
/** Slots that were damaged and are empty now. */
unsigned crier_board_damaged(const struct crier_board *board);

/** Every slot in use, in their order. */
void crier_board_each(struct crier_board *board,
                      void (*fn)(void *arg, uint32_t slot, const char *name,
                                 const struct crier_board_entry *entry),
                      void *arg);
/** An empty slot for this name (of at most CRIER_BOARD_NAME bytes), with this entry. CRIER_BOARD_NONE
 *  and err: the disk is full. */
uint32_t crier_board_add(struct crier_board *board, const char *name,
                         const struct crier_board_entry *entry, struct crier_err *err);
void crier_board_put(struct crier_board *board, uint32_t slot,
                     const struct crier_board_entry *entry);
/** The slot is empty. */
void crier_board_remove(struct crier_board *board, uint32_t slot);
/** Conditions have been looked at at this time. */
void crier_board_see(struct crier_board *board, int64_t wall);
/** When that was last; 0: never. */
int64_t crier_board_seen(const struct crier_board *board);

#endif
