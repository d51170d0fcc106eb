/* SPDX-License-Identifier: MIT
 *
 * Files of lines: what the jsonl and csv sinks share. Lines are added at the end, several processes
 * may do so, and files are closed ("rotated") by size and by time, packed and deleted.
 *
 *     logs/crier.jsonl                                 the live file
 *     logs/crier.000017.2026-11-21.jsonl               a closed one: its number, the day it began
 *     logs/crier.000016.2026-11-20.jsonl.zst           packed
 *
 * A batch is one write(2) under an exclusive flock, so that no line ever stands inside another. A
 * write that the disk cuts short is taken back to the last whole line. What a kill has cut short is
 * mended before the next line is written: a last line that is whole but for its end is ended, any
 * other is cut off.
 *
 * Exactly once: when the file is opened the ids of its newest lines (CRIER_LINEFILE_IDS, from the
 * last closed file too) are read, and a record that is there is not written again.
 *
 * The live file is looked up by its path each time: one that was renamed or deleted meanwhile is
 * left alone and a new one begun.
 *
 * Thread: a line file belongs to one thread at a time; all functions do file I/O [worker].
 */
#ifndef CRIER_SINK_LINEFILE_H
#define CRIER_SINK_LINEFILE_H

#include "base/buf.h"
#include "sink/sink.h"

struct crier_zone;
struct crier_linefile; /* opaque */

enum {
    CRIER_LINEFILE_IDS = 65536,      /**< the largest batch */
    CRIER_LINEFILE_WRITE = 16 << 20, /**< a batch above this is more than one write */
};

/** The options that every kind of line file has, for its table; the path is the kind's own. */
#define CRIER_LINEFILE_OPTIONS                                                                     \
    {.name = "max_size",                                                                           \
     .type = CRIER_OPT_SIZE,                                                                       \
     .help = "close the file before it grows larger, and begin a new one"},                        \
        {.name = "period",                                                                         \
         .type = CRIER_OPT_DURATION,                                                               \
         .min = 1000000,                                                                           \
         .max = 31622400000000,                                                                    \
         .help = "begin a new file so often, counted from midnight (weeks: Monday) in the "        \
                 "config's time zone: \"1h\", \"1d\", \"1w\""},                                    \
        {.name = "keep",                                                                           \
         .type = CRIER_OPT_INT,                                                                    \
         .min = 1,                                                                                 \
         .max = 1000000,                                                                           \
         .help = "closed files that are kept; older ones are deleted (default: all)"},             \
    {                                                                                              \
        .name = "compress", .type = CRIER_OPT_BOOL, .def = "false",                                \
        .help = "pack closed files with zstd; queries read them too"                               \
    }

/** What the lines look like. Constant. */
struct crier_line_format {
    bool quoted;             /**< CSV: a line break between quotes does not end the line */
    const char *end;         /**< "\n" or "\r\n" */
    const char *id_lead;     /**< what stands before the id at the start of a line; NULL: lines have
                                  no id there */
    struct crier_str header; /**< the first line, with its end; another one there, and the file is
                                  closed. Empty: none */
    /** The time of a line, for the period of a file that is opened; NULL: the file's own. */
    bool (*time)(const struct crier_line_format *format, struct crier_str line, int64_t *out_us);
    /** Whether a last line without its end is whole (or is not ours to cut); NULL: one can't tell.
     */
    bool (*whole)(struct crier_str line);
    /** quoted: whether this is a line as it is written now. */
    bool (*row)(const struct crier_line_format *format, struct crier_str line);
};

/** Nothing is opened yet. The options hold CRIER_LINEFILE_OPTIONS and `path`; format and its
 *  header are borrowed. CRIER_ECONFIG: the path is a folder. */
CRIER_CHECK int crier_linefile_new(const struct crier_options *options,
                                   const struct crier_sink_env *env,
                                   const struct crier_line_format *format,
                                   struct crier_linefile **out, struct crier_err *err);
void crier_linefile_free(struct crier_linefile *file); /**< closes; NULL is allowed */

/** As the `write` of a sink driver: open or create where needed, lock, make sure of what stands at
 *  the end, write the lines of the records that are not in the file already, unlock. `line` gives a
 *  record's line without its end, valid until the next call. RETRY_LATER: locked by someone else
 * for 100 ms (CRIER_EBUSY), or the file system refuses; no half line is left. */
enum crier_verdict crier_linefile_write(struct crier_linefile *file,
                                        struct crier_str (*line)(void *arg,
                                                                 struct crier_record *record),
                                        void *arg, struct crier_record *const *records,
                                        size_t count, size_t *done, struct crier_err *err);
/** Close a file whose period is over, pack closed files (a slice a call). When to call again. */
int64_t crier_linefile_idle(struct crier_linefile *file, int64_t now_mono);
/** Close the live file; the next begin opens it by its path. */
void crier_linefile_reopen(struct crier_linefile *file);

/** The closed files, oldest first, then the live one; each may be gone when it is opened. NULL ends
 *  the list; free each and the list. */
char **crier_linefile_list(const struct crier_linefile *file);
struct crier_line_reader;
/** As the `change` of a sink driver: rewrite the files that hold what matches (packed ones are packed
 *  again), each beside itself and then renamed over, so that a crash leaves the one or the other. A
 *  closed file without any line left is deleted. CRIER_EBUSY: locked by someone else for 100 ms.
 *  After an error the files that came before may have been changed. */
CRIER_CHECK int crier_linefile_change(struct crier_linefile *file,
                                      const struct crier_line_reader *reader,
                                      const struct crier_query *query, const json_t *fields,
                                      uint64_t *changed, struct crier_err *err);

/* For linefile_change.c. */
/** Lock the live file, if there is one. */
CRIER_CHECK int crier_linefile_hold(struct crier_linefile *file, bool *there,
                                    struct crier_err *err);
void crier_linefile_let_go(struct crier_linefile *file); /**< unlock it */
/** Give up packing, and look again for what there is to be packed. */
void crier_linefile_stop_packing(struct crier_linefile *file);
const char *crier_linefile_end(const struct crier_linefile *file); /**< of its lines */

const char *crier_linefile_path(const struct crier_linefile *file);

#endif
