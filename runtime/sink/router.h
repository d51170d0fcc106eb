/* SPDX-License-Identifier: MIT
 *
 * The router: transforms, then rules in order, each that matches sends the record on
 * (lua/README.md, route and transform).
 *
 *   record -> transform -> ... -> rule: unless? match? -> sample, dedupe, rate -> its sinks
 *
 * Without any rule every record goes to every sink that takes its kind. A record that no rule and
 * no sink takes goes to stderr from warning up; one that a rule took and then left out (sample,
 * dedupe, rate), or that a transform dropped, does not. A function is the script's and may fail: a
 * rule's record then takes the default route (all sinks that take its kind), a transform's goes on
 * as it was, and one rate-limited note says so.
 *
 * What is sent from inside a function or a note waits until the record on its way has been sent, so
 * that sinks see records in the order of `seq`. It meets no function and no limit: there is no
 * feedback.
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
    /* Since the rule was added: records that it matched, and those of them left out. */
    uint64_t hits, sampled, alike, above;
};
/** Different texts that a rule's `dedupe` knows at most; the oldest are forgotten. */
#define CRIER_DEDUPE_MAX 4096

/** crier.transform: called with each record before the rules. The script's, so it may fail: the
 *  record then goes on as it was, and one rate-limited system record says so. */
struct crier_transform {
    /** What the record becomes: 0 records (dropped), or up to CRIER_SPLIT_MAX, each a reference for
     *  the caller in out. Negative: it failed (err filled). */
    int (*apply)(void *arg, struct crier_record *record, struct crier_record **out,
                 struct crier_err *err);
    void *arg;
    void (*free_arg)(void *arg);
    char *where;
    uint64_t hits, dropped; /**< records that it got; of them those that became nothing */
};
#define CRIER_SPLIT_MAX 64

/** "100/1m" into rate and per. False: it is not that. */
bool crier_rule_parse_rate(const char *text, struct crier_rule *rule);

struct crier_router; /* opaque; one a generation */

struct crier_router *crier_router_new(void);
void crier_router_free(struct crier_router *router); /**< drops its references to sinks */
void crier_router_add_sink(struct crier_router *router, struct crier_sink *sink);
void crier_router_add_rule(struct crier_router *router, struct crier_rule *rule); /**< moved */

void crier_router_add_transform(struct crier_router *router,
                                struct crier_transform *transform); /**< moved */

/** By number, from 0; NULL: no more. For their counters. */
const struct crier_rule *crier_router_rule(const struct crier_router *router, size_t i);
const struct crier_transform *crier_router_transform(const struct crier_router *router, size_t i);

/** What the router tells the host, which makes a system record of it. */
struct crier_router_note {
    enum {
        CRIER_NOTE_RULE,      /**< a rule's function failed */
        CRIER_NOTE_TRANSFORM, /**< a transform failed */
        CRIER_NOTE_RATE,      /**< records were left out by a rule's `rate` */
    } what;
    const char *where;
    const char *text; /**< why it failed */
    uint64_t left_out, rate;
    int64_t per;
};
void crier_router_on_note(struct crier_router *router,
                          void (*fn)(void *arg, const struct crier_router_note *note), void *arg);
/** fn(arg, within): crier_router_tell wants to be called in so many microseconds. */
void crier_router_on_due(struct crier_router *router, void (*fn)(void *arg, int64_t within),
                         void *arg);
/** Tell what rates have left out in windows that are over at this wall time (all: in all). Returns
 *  the microseconds to the next such moment, or CRIER_NEVER. */
int64_t crier_router_tell(struct crier_router *router, int64_t wall, bool all);

/** Each record when it has been handed on, as transforms have left it. `to` answers
 *  crier_router_gave during the call. */
void crier_router_on_record(struct crier_router *router,
                            void (*fn)(void *arg, const struct crier_router *router,
                                       struct crier_record *record, const void *to),
                            void *arg);
/** Whether the sink of this name got that record. */
bool crier_router_gave(const struct crier_router *router, const void *to, const char *name);
/** What is sent from now on goes neither to `sink` (NULL: none is meant) nor, with `scripts`, to any
 *  sink that runs the script's functions: what a sink tells of itself must not come back to it, or
 *  it would have something to tell for ever. While a record is on its way this does nothing: what a
 *  rule's function logs goes the way of that record. */
void crier_router_spare(struct crier_router *router, const struct crier_sink *sink, bool scripts);

/** Send a record on; the caller keeps its own reference. A record is handed to one sink at most
 *  once, however many rules name it. Returns a sink of policy "block" that is full now, so that the
 *  caller may wait for it (crier_sink_on_room), or NULL; borrowed. */
struct crier_sink *crier_router_send(struct crier_router *router, struct crier_record *record);

#endif
