/* SPDX-License-Identifier: MIT
 *
 * Sinks in C: the interface of a shared object that crier loads.
 *
 *     crier.sink.native { name = "wall", path = "./wall.so", options = { width = 80 } }
 *
 * The shared object defines one constant, crier_sink_plugin (CRIER_SINK_PLUGIN below), and is built
 * against this header, crier/record.h and crier/err.h; their functions are in the command that
 * loads it. examples/native_sink is a whole one.
 *
 * Life cycle. The object is loaded when a script that names it is run or reloaded; never unloaded.
 * Each crier.sink.native is one `open`, which makes a self; `write` gets its records in batches;
 * `close` ends it. After a change of its options a reload opens a new self before the old one is
 * closed: two may be there at a time, but only one of a name is written to.
 *
 * Threads. All functions of one self are called one at a time: `open` on any thread, `write`,
 * `idle` and `reopen` on the sink's own, `close` on any after the last of those. Two selves run at
 * the same time. A `write` may block: it holds up its own sink alone, and the end of the host.
 *
 * Delivery. What `write` has not stored is given to it again, after a pause that grows, or at the
 * next start. So a record may come twice: when the host dies between the store and the answer. The
 * batch id helps with that: the same batch has the same id, however often it comes.
 */
#ifndef CRIER_SINK_H
#define CRIER_SINK_H

#include "crier/err.h"
#include "crier/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The number of this interface. An object that was built for another is refused. */
#define CRIER_SINK_ABI 1

/** What `write` says of its batch. *done tells how many of the first records are stored. */
enum crier_sink_verdict {
    CRIER_SINK_WRITTEN = 0,  /**< all are stored, whatever *done is */
    CRIER_SINK_RETRY = 1,    /**< the rest shall come again; err says why */
    CRIER_SINK_REJECTED = 2, /**< the record behind the *done first is at fault and goes to the
                                  dead-letter file with err's text; the rest comes again */
    CRIER_SINK_DROPPED = 3,  /**< the rest is lost for good: counted, and told with err's text */
    CRIER_SINK_DOWN = 4      /**< as RETRY, and another try at once is no use: the sink is down */
};

/** What `open` is told. Strings are borrowed for the call. */
struct crier_sink_open {
    unsigned abi;             /**< CRIER_SINK_ABI of the host */
    unsigned struct_size;     /**< of the host; members are only ever added at the end */
    const char *name;         /**< of the sink */
    const char *options;      /**< the script's `options` as a JSON object, "{}" for none; numbers
                                   and texts as the script has them, members sorted by name */
    const char *folder;       /**< the script's: relative paths in options are in it */
    const char *state_folder; /**< for files of its own, absolute; may be NULL, or not there yet */
    bool sim;                 /**< run by --sim: nothing may go to other machines */
    void *arg;                /**< of a kind that the program has registered: what it gave with it
                                   (crier/crier.h); else NULL */
};

/** A sink in C. Constant. */
struct crier_sink_plugin {
    unsigned abi;         /**< CRIER_SINK_ABI */
    unsigned struct_size; /**< sizeof(struct crier_sink_plugin) */
    const char *kind;     /**< a word for messages: "wall" */
    const char *help;     /**< one line; may be NULL */
    /** Check the options and begin. 0 and *self (which may stay NULL); or a negative code
     * (crier/err.h) and err: the script is refused with its text. */
    int (*open)(const struct crier_sink_open *in, void **self, struct crier_err *err);
    /** Store records[0..count), count > 0; enum crier_sink_verdict. *done is 0 before. The records
     *  are borrowed for the call (crier_record_ref keeps one). batch_id: 26 characters. */
    int (*write)(void *self, struct crier_record *const *records, size_t count,
                 const char *batch_id, size_t *done, struct crier_err *err);
    /** Everything there is has been written: flush, do housekeeping. Returns after how many
     *  microseconds to be called again, negative for: after the next write. May be NULL. */
    int64_t (*idle)(void *self);
    /** SIGUSR1: close and open files again. May be NULL. */
    void (*reopen)(void *self);
    /** The end of self. */
    void (*close)(void *self);
};

/** What the shared object defines, with this name:
 *
 *      CRIER_SINK_PLUGIN = {
 *          .abi = CRIER_SINK_ABI, .struct_size = sizeof crier_sink_plugin, .kind = "wall",
 *          .open = wall_open, .write = wall_write, .close = wall_close,
 *      };
 */
#define CRIER_SINK_PLUGIN const struct crier_sink_plugin crier_sink_plugin
extern CRIER_API const struct crier_sink_plugin crier_sink_plugin;

#ifdef __cplusplus
}
#endif
#endif
