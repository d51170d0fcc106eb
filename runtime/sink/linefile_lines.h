/* SPDX-License-Identifier: MIT
 *
 * The lines of a file, one after the other, in constant memory (the longest line); a file that ends
 * in `.zst` is unpacked on the way.
 *
 * Thread: one owner.
 */
#ifndef CRIER_SINK_LINEFILE_LINES_H
#define CRIER_SINK_LINEFILE_LINES_H

#include "base/buf.h"
#include "crier/record.h"

/** A line above this is handed out in pieces, which nobody takes for records. */
#define CRIER_LINES_MAX ((size_t)512 << 20)

struct crier_lines {
    int64_t at;  /**< where the line begins in the (unpacked) file */
    bool ended;  /**< the line had its end; only the last one may have none */
    bool broken; /**< the packed file is damaged: nothing more comes out of it */
    /* private */
    int fd;
    bool quoted, eof;
    void *zstd; /* the unpacker; NULL: plain */
    struct crier_buf packed, buf;
    size_t packed_at, begin, behind; /* of the line, in buf; behind its end */
    int64_t base;                    /* backwards: where buf begins in the file */
};

/** quoted: as struct crier_line_format. A line file whose name is gone may be packed meanwhile:
 *  "<path>.zst" is opened then. CRIER_ENOTFOUND, CRIER_EIO. */
CRIER_CHECK int crier_lines_open(struct crier_lines *lines, const char *path, bool quoted,
                                 struct crier_err *err);
void crier_lines_close(struct crier_lines *lines);
/** Go on from this offset (plain files). */
void crier_lines_seek(struct crier_lines *lines, int64_t at);
/** Whether the file can be read backwards: one that is packed cannot, nor one with quotes. */
bool crier_lines_two_way(const struct crier_lines *lines);
/** Go to the end, for crier_lines_prev. CRIER_EIO. */
CRIER_CHECK int crier_lines_to_end(struct crier_lines *lines, struct crier_err *err);
/** The line before the last one handed out, as crier_lines_next gives them (which has no say any
 *  more once this has been called). */
CRIER_CHECK int crier_lines_prev(struct crier_lines *lines, struct crier_str *line,
                                 struct crier_err *err);
/** The next line, without its end; valid until the next call. 1, or 0 at the end, or CRIER_EIO. */
CRIER_CHECK int crier_lines_next(struct crier_lines *lines, struct crier_str *line,
                                 struct crier_err *err);
/** The line handed out last with its end, as it stands in the file. */
struct crier_str crier_lines_raw(const struct crier_lines *lines);
/** The line handed out last is none: go on behind its first line break, be it between quotes. */
void crier_lines_reject(struct crier_lines *lines);

#endif
