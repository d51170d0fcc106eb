/* SPDX-License-Identifier: MIT
 *
 * crier.alert: who is told when something is wrong, and when it is right again.
 *
 *   record -> crier_alerts_see: counters of each alert that it concerns, O(1)
 *          -> an *instance* (alert, key) begins to fire, in the loop's next turn
 *          -> a system record, the hook "alert", and, within `rate`, a *notice*
 *          -> the queue of each target (alert_send.c), one at a time, tried again until it arrives
 *
 * What one record says is an occurrence (severe, match): alike ones are counted for `dedupe`, and
 * when such a time has passed without one, it is over. All else is a state (unfinished, failures,
 * common, sink): it holds until it does not. The next instant at which time alone can change one of
 * them has a timer; nothing polls. Times are monotonic, so that setting the clock fires nothing.
 *
 * Instances are found by the alert's name and their key; they outlive generations, and in the state
 * store (sections "alert" and "alert.notice") the process, so that a restart does not tell again what
 * is still so, and does tell what had not arrived. One that is restored is not taken back before there
 * has been time to count again.
 *
 * Nothing that is said because of an alert alerts: records made here, and what a target's function or
 * a hook logs.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_ALERT_H
#define CRIER_SCRIPT_ALERT_H

#include <jansson.h>

#include "script/generation.h"

enum crier_alert_kind {
    CRIER_ALERT_SEVERE,
    CRIER_ALERT_MATCH,
    CRIER_ALERT_UNFINISHED,
    CRIER_ALERT_FAILURES,
    CRIER_ALERT_COMMON,
    CRIER_ALERT_SINK,
};

enum crier_alert_to {
    CRIER_TO_MAIL,
    CRIER_TO_WEBHOOK,
    CRIER_TO_CHANNEL,
    CRIER_TO_DM,
    CRIER_TO_FUNCTION,
};

/** One member of `to`. */
struct crier_alert_target {
    enum crier_alert_to type;
    char *label; /**< "mail to ops@example.com": for people; no secrets in it */
    char *key;   /**< identity: alerts with the same target share its queue, also over reloads */
    struct crier_options options; /**< MAIL, WEBHOOK, CHANNEL, DM; a secret as its reference */
    char **headers;               /**< WEBHOOK: name, value or reference, ...; NULL-terminated */
    struct crier_bot *bot;        /**< CHANNEL, DM; NULL: the only one */
    int fn;                       /**< FUNCTION: registry ref */
};

/** crier.alert, as declared. */
struct crier_alert {
    struct crier_generation *gen;
    char *name;
    const char *file; /**< interned */
    int line;
    enum crier_alert_kind kind;
    char *identity;            /**< of `when`: where it changes, counting begins anew */
    struct crier_query *match; /**< which records it looks at; NULL: all, or */
    void *match_fn;            /**< a function of the script: crier_match_fn_*; NULL */
    int64_t within;            /**< UNFINISHED: their age; FAILURES, COMMON: the window */
    double share;              /**< FAILURES: above this share */
    uint64_t least;            /**< FAILURES: of so many at least; COMMON: above so many */
    char *by;                  /**< FAILURES: counted for each value of this field; NULL: together */
    char **sinks;              /**< SINK: names, NULL-terminated; none: any */
    int64_t dedupe;            /**< microseconds; 0: none */
    uint64_t rate;             /**< notices at most in `per`; 0: no bound */
    int64_t per;
    bool resolved; /**< tell when it is over */
    GPtrArray *targets;
};
void crier_alert_free(void *alert); /**< for GPtrArray */

void crier_open_alert(lua_State *L); /**< alert, for the `crier` table on top of the stack */
/** When all is declared: bots, secrets, and what can never happen. */
void crier_judge_alerts(struct crier_generation *gen, bool whole);

/** The alerts' share of crier_generation_diff. */
void crier_alert_diff(const struct crier_generation *old, const struct crier_generation *new_,
                      struct crier_buf *out, struct crier_diff_counts *counts);

struct crier_alerts; /* opaque; one a host */

struct crier_alerts *crier_alerts_new(struct crier_host *host);
void crier_alerts_free(struct crier_alerts *alerts); /**< NULL is allowed */
/** A generation's alerts take the place of those before: what has the same name goes on. restarted:
 *  the process has just started, so what is stored is taken up. */
void crier_alerts_adopt(struct crier_alerts *alerts, struct crier_generation *gen, bool restarted);
/** A record has been handed to the sinks, or would have been (a guild without logging). Cheap where
 *  nothing is declared; no record is made before the loop's next turn. */
void crier_alerts_see(struct crier_alerts *alerts, struct crier_record *record);
/** A sink went down or works again. */
void crier_alerts_sink(struct crier_alerts *alerts, const char *name, bool down, const char *text);
/** Notices that have not been tried yet, or are under way: the host waits for them at its stop. */
size_t crier_alerts_pending(const struct crier_alerts *alerts);
/** Give up what is under way; it is told at the next start. */
void crier_alerts_cancel(struct crier_alerts *alerts);
/** The host ends: nothing is begun any more, and what still comes in is only put away. */
void crier_alerts_stop(struct crier_alerts *alerts);
/** For status: a list of the alerts, what fires, and their targets. A new reference. */
json_t *crier_alerts_status(struct crier_alerts *alerts);

extern const struct crier_option crier_alert_options[], crier_when_options[], crier_mail_options[],
    crier_webhook_options[], crier_channel_options[], crier_dm_options[];
extern const size_t crier_alert_count, crier_when_count, crier_mail_count, crier_webhook_count,
    crier_channel_count, crier_dm_count;

#endif
