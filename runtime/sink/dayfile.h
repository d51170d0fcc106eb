/* SPDX-License-Identifier: MIT
 *
 * Day files: one JSON document a guild and day that is valid at every moment, newest entry first,
 * with the same cost for the ten-thousandth entry as for the first.
 *
 *     {
 *         "name": "...",
 *         "id": 863071397207212052,
 *         "type": "GUILD",
 *         "message_history": [                 <- a gap of blanks, while it is written to
 *             { newest },
 *             { oldest }
 *         ]
 *     }
 *
 * An entry is written backwards into the gap, directly in front of the newest one. What keeps the
 * file valid through a kill: the kernel copies a write page by page and a kill can only fall
 * between two pages, so an entry with its comma that lies within one page is there or is not.
 * Hence:
 *   - an entry of up to 4 KiB never crosses a page; blanks in front of the older one make up the
 *     difference. A batch is written page by page, oldest entries first, so that what a kill
 *     leaves is the beginning of the batch.
 *   - a larger entry is one write. Torn, its beginning stands in front of blanks; the next
 *     crier_dayfile_begin finds that and blanks it out. (No order of page writes keeps a document
 *     valid while an object comes to cross a page boundary: the page behind the boundary would
 *     have to parse at two depths.)
 *   - all else (a new file, a larger gap, closing the gap) is written beside the file and renamed.
 *
 * A full gap is followed by one four times as large, so that copying costs a constant an entry (a
 * third of its bytes are copied once more; with doubling all of them are, which was 40 % slower).
 * When the file is finished all blanks go and it reads as if json.dump(indent=4) had written it.
 *
 * Locks: an exclusive flock is held from begin to end; readers take a shared one or read again.
 * Several processes may write one file. The file is found by its path each time: one that was
 * renamed over, edited or deleted meanwhile is read again.
 *
 * Thread: a day file belongs to one thread at a time. Functions tagged [worker] do file I/O.
 */
#ifndef CRIER_SINK_DAYFILE_H
#define CRIER_SINK_DAYFILE_H

#include "base/buf.h"

enum {
    CRIER_DAYFILE_PAGE = 4096,
    CRIER_DAYFILE_NAME = 220,        /**< bytes of a name in a file name: "#" + id + ".json.old.999"
                                          and ".tmp" still fit into 255 */
    CRIER_DAYFILE_IDS = 4096,        /**< so many newest ids are read back when a file is opened */
    CRIER_DAYFILE_GAP_MAX = 64 << 20 /**< larger than this only for one huge entry */
};

struct crier_dayfile; /* opaque */

/** Nothing is opened yet. `path` is the file; its folder is made when needed. The name is what
 *  goes into the document, as it is. type: "GUILD", "USER" or a kind. gap: the first size. */
struct crier_dayfile *crier_dayfile_new(const char *path, const char *name, size_t name_len,
                                        uint64_t id, const char *type, size_t gap);
void crier_dayfile_free(struct crier_dayfile *file); /**< closes; NULL is allowed */

/** [worker] Open or create, lock, and make sure of what stands in the file. A file that is not of
 *  our shape is renamed to `.old` (`.old.1`, ...; never over another) and a new one begun.
 *  CRIER_EEXIST: the file is another id's. CRIER_EBUSY: locked by someone else for 100 ms.
 *  CRIER_EIO: the file system refuses. After a failure the file is not locked. */
CRIER_CHECK int crier_dayfile_begin(struct crier_dayfile *file, struct crier_err *err);
/** Between begin and end: the index of the next entry to be added. */
uint64_t crier_dayfile_index(const struct crier_dayfile *file);
/** Between begin and end: whether an entry with this record id was among the newest ones when the
 *  file was opened. Forgotten when as many new ones have been written. */
bool crier_dayfile_holds(const struct crier_dayfile *file, const unsigned char id[16]);
/** Between begin and end: whether the document's `name` is this one. */
bool crier_dayfile_is_named(const struct crier_dayfile *file, const char *name, size_t len);
/** [worker] Add an entry: the text from '{' to '}', its lines after the first indented by 8 more.
 *  It may only be stored by crier_dayfile_end. */
CRIER_CHECK int crier_dayfile_add(struct crier_dayfile *file, const char *entry, size_t len,
                                  struct crier_err *err);
/** [worker] Write what was added and unlock (always). *stored: how many entries since begin are in
 *  the file, also after a failure of add or end; they are the first ones. */
CRIER_CHECK int crier_dayfile_end(struct crier_dayfile *file, size_t *stored,
                                  struct crier_err *err);

/** Close the descriptor; the next begin opens again, without reading the file when nobody has
 *  touched it meanwhile. */
void crier_dayfile_release(struct crier_dayfile *file);

/** [worker] Close the gap, if this object has written to the file; sync: fdatasync too. After a
 *  failure the file stands as it was, which is valid too. The file is released. */
CRIER_CHECK int crier_dayfile_finish(struct crier_dayfile *file, bool sync, struct crier_err *err);

/** [worker] The top-level id of a day file, read from its beginning; false when there is none. */
bool crier_dayfile_peek(const char *path, uint64_t *id);

/** A guild's name as a file name without suffix, into out: `<>:"/\|?*`, control characters and a
 *  leading '@' become '#', as do "." and ".."; cut to CRIER_DAYFILE_NAME bytes between characters.
 *  Empty: the id. The name is valid UTF-8. */
void crier_dayfile_name(const char *name, size_t len, uint64_t id,
                        char out[CRIER_DAYFILE_NAME + 1]);

#endif
