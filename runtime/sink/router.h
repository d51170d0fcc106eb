/* SPDX-License-Identifier: MIT
 *
 * The router: rules in order, each that matches sends the record on (lua/README.md, route).
 *
 * Without any rule every record goes to every sink that takes its kind. A record that no sink
 * takes goes to stderr from warning up. A rule's function is the script's: it may fail; then the
 * record takes the default route (all sinks that take its kind) and one rate-limited system record
 * says so. A system record that tells of a routing fault is never itself routed by functions.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SINK_ROUTER_H
#define CRIER_SINK_ROUTER_H

#include "sink/sink.h"

struct crier_rule {
    /* Exactly one of these says what matches; none of them: everything does. */
    struct crier_query *query;  /**< table match; owned */
    /** Function match: 1 yes, 0 no, negative: it failed (err filled). */
    int (*match)(void *arg, struct crier_record *record, struct crier_err *err);
    void *arg;
    void (*free_arg)(void *arg); /**< called with the rule's end; may be NULL */
    bool otherwise; /**< matches what no earlier rule (but copies) has matched */
    bool copy;      /**< does not count as a match for `otherwise` */
    struct crier_query *unless; /**< records that match this are left alone; owned; NULL: none */
    bool now;        /**< its sinks write at once, without waiting for a batch to fill */
    int64_t dedupe;  /**< microseconds in which records alike (kind, level, logger, text made
                          comparable) are sent on once; the next one tells how many were left out.
                          0: off */
    double sample;   /**< share of the matching records that is sent on, 0 < sample <= 1 */
    uint64_t rate;   /**< records at most in `per` microseconds; what is above is counted and told */
    int64_t per;
    struct crier_sink **to; /**< references held by the rule; owned array */
    size_t to_count;
    char *where;    /**< "bot.lua:14", for messages; owned */
    uint64_t hits;
};

/** crier.transform: called with each record before the rules. The script's, so it may fail: the
 *  record then goes on as it was, and one rate-limited system record says so. */
struct crier_transform {
    /** What the record becomes: 0 records (dropped, counted), or up to CRIER_SPLIT_MAX, each a
     *  reference for the caller in out. Negative: it failed (err filled). */
    int (*apply)(void *arg, struct crier_record *record, struct crier_record **out,
                 struct crier_err *err);
    void *arg;
    void (*free_arg)(void *arg);
    char *where;
};
#define CRIER_SPLIT_MAX 64

struct crier_router; /* opaque; one a generation */

struct crier_router *crier_router_new(void);
void crier_router_free(struct crier_router *router); /**< drops its references to sinks */
void crier_router_add_sink(struct crier_router *router, struct crier_sink *sink);
void crier_router_add_rule(struct crier_router *router, struct crier_rule *rule); /**< moved */

void crier_router_add_transform(struct crier_router *router,
                                struct crier_transform *transform); /**< moved */

/** What the router tells the host: a rule failed. The host makes a system record of it. */
void crier_router_on_fault(struct crier_router *router,
                           void (*fn)(void *arg, const struct crier_rule *rule,
                                      const struct crier_err *err),
                           void *arg);

/** Send a record on; the caller keeps its own reference. A record is handed to one sink at most
 *  once, however many rules name it. Returns a sink of policy "block" that is full now, so that the
 *  caller may wait for it (crier_sink_on_room), or NULL; borrowed. */
struct crier_sink *crier_router_send(struct crier_router *router, struct crier_record *record);

#endif
