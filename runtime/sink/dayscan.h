/* SPDX-License-Identifier: MIT
 *
 * Reading a day file, byte stream in, constant memory: is it JSON (RFC 8259, UTF-8), is it of our
 * shape, where does its list of entries begin, what are the newest entries' ids.
 *
 * A file of a busy day is hundreds of megabytes, so it is never held in memory (record/scan.h reads
 * a range of memory); and it has to be judged before a byte is written to it. The shape: a
 * top-level object with `name` and `type` (strings), `id` (an integer) and `message_history`, an
 * array of objects.
 *
 * Thread: [any]; a scan belongs to one thread.
 */
#ifndef CRIER_SINK_DAYSCAN_H
#define CRIER_SINK_DAYSCAN_H

#include "base/buf.h"

enum { CRIER_DAYSCAN_DEPTH = 128 }; /**< nesting beyond this is taken for damage */

struct crier_dayscan {
    /* Set by the caller after crier_dayscan_init; both may stay 0. */
    size_t want_ids; /**< how many entries' ids to collect */
    /** Called for each entry: where its '{' is, and behind its '}'. */
    void (*entry)(void *arg, int64_t start, int64_t end);
    void *arg;

    /* What was found so far. Offsets count from the first byte fed. */
    bool has_id, has_name, has_type;
    uint64_t id;
    int64_t name_at, name_end; /**< of the name's text with its quotes */
    int64_t list_at;           /**< behind the '[' of message_history; -1 not seen */
    int64_t list_end;          /**< of its ']'; -1 not seen */
    int64_t first_at;          /**< the newest entry's '{'; -1 when there is none */
    uint64_t entries;
    int64_t newest_index; /**< of the newest entry; -1 when it has none */
    struct crier_buf ids; /**< 16 bytes each, newest first; see want_ids */

    /* private */
    int64_t at;
    int state, key[5];
    const char *rest;
    unsigned depth, hex;
    unsigned char lo, hi, follow;
    bool in_list, in_record, is_key, foreign;
    unsigned char object[CRIER_DAYSCAN_DEPTH];
    char token[40];
    size_t token_len;
    int64_t entry_at, entry_index;
    bool entry_has_id;
};

void crier_dayscan_init(struct crier_dayscan *scan);
void crier_dayscan_fini(struct crier_dayscan *scan);
/** False: what was fed is not JSON; nothing more is read. */
bool crier_dayscan_feed(struct crier_dayscan *scan, const char *data, size_t len);
/** After the last byte: whether it was one whole JSON document of our shape. */
bool crier_dayscan_end(const struct crier_dayscan *scan);

#endif
