/* SPDX-License-Identifier: MIT
 *
 * The inside of the alerts: alert.c knows what fires, alert_count.c counts, alert_send.c brings
 * notices to their targets.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_ALERT_PRIVATE_H
#define CRIER_SCRIPT_ALERT_PRIVATE_H

#include "host/host.h"
#include "script/alert.h"
#include "script/alert_notice.h"

struct crier_alerts {
    struct crier_host *host;
    struct crier_loop *loop;
    struct crier_generation *gen; /* borrowed */
    GPtrArray *watches;           /* struct watch: what is declared */
    GHashTable *outlets;          /* key -> struct outlet */
    struct crier_mailer *mailer;
    GPtrArray *flights;           /* of all outlets, under way */
    GQueue fresh;                 /* instances that have begun or ended; references */
    struct crier_timer turn;      /* takes them up */
    struct crier_buf text;        /* scratch */
    bool own;                     /* what is said now is said because of an alert */
    bool stopped;
};

/* What happened in a window, in steps of a sixtieth of it. */
enum { WINDOW_STEPS = 60 };
struct window {
    char *key;
    int64_t step;                  /* number of the newest step that has something */
    uint64_t all, failed;          /* in all steps */
    uint32_t steps[WINDOW_STEPS][2]; /* all, failed; at step % WINDOW_STEPS */
    struct crier_timer timer;      /* when the oldest step leaves */
    struct watch *watch;
};

/* An event that has begun. */
struct open_event {
    char id[27];
    int64_t since, due; /* wall; monotonic */
    char *descr, *where;
    GList link; /* in watch->order */
};

/* One declared alert over generations. */
struct watch {
    struct crier_alerts *alerts;
    const struct crier_alert *decl; /* of the present generation */
    char *name, *identity;
    GHashTable *instances; /* key -> struct instance */
    GHashTable *windows;   /* FAILURES: key -> struct window */
    GHashTable *open;      /* UNFINISHED: id -> struct open_event */
    GQueue order;          /* of them, by when they are due */
    GHashTable *severe;    /* SEVERE: ids of events that were so when they began */
    GHashTable *counts;    /* COMMON: text -> count, in a uint64_t */
    int64_t window_end;    /* COMMON: monotonic; 0: no window has begun */
    struct crier_timer timer;  /* UNFINISHED, COMMON: the next one's due time, the window's end */
    struct crier_timer rate_timer;
    double tokens;
    int64_t tokens_at;
    uint64_t left_out; /* by rate, and not told yet */
    int64_t left_since;
    int64_t fault_told;
    char *fault; /* of its match, to be told in the next turn */
    uint64_t fired, told;
};

struct instance {
    int refs;
    struct watch *watch; /* NULL: it is gone */
    char *key;
    bool firing, told;  /* told: that it fires now */
    bool raised;        /* to be told in the next turn: that it fires, */
    char *over;         /* and then, what there is to say of its end; NULL: it has not ended */
    bool waits;         /* in alerts->fresh */
    int64_t since;      /* wall */
    int64_t told_at;    /* monotonic: the last notice, INT64_MIN: none yet */
    int64_t hold_until; /* monotonic: not taken back before; 0: at once */
    uint64_t count;     /* occurrences since the last notice */
    uint64_t total;
    char *text;
    enum crier_level level;
    struct crier_record *record; /* the first one; may be NULL */
    struct crier_timer timer;
};

/* alert.c */

/** The instance, made where there is none; of too many the rest share one. */
struct instance *crier_alert_instance(struct watch *w, const char *key);
struct instance *crier_alert_find(struct watch *w, const char *key);
/** A state holds (text: consumed) or does not any more. */
void crier_alert_raise(struct watch *w, const char *key, char *text, enum crier_level level,
                       struct crier_record *record);
void crier_alert_clear(struct watch *w, const char *key, char *text);
/** A system record of the alerts' own, that no alert looks at. */
void crier_alert_say(struct crier_alerts *alerts, enum crier_level level, const char *what,
                     const char *fmt, ...) CRIER_PRINTF(4, 5);

/** A notice as functions and hooks get it. arg: the notice. */
void crier_push_notice(lua_State *L, void *arg);

/* alert_count.c */

void crier_watch_begin(struct watch *w);
void crier_watch_end(struct watch *w);
/** A record that the watch's match takes; or, for UNFINISHED, a phase of an event. */
void crier_watch_failure(struct watch *w, struct crier_record *record);
void crier_watch_common(struct watch *w, struct crier_record *record);
void crier_watch_event(struct watch *w, struct crier_record *record);
/** Events that are open by what the state store has. */
void crier_watch_load_events(struct watch *w, bool restarted);
/** There has been time to count again: does what was restored still hold? */
void crier_watch_reconsider(struct watch *w, struct instance *in);

/* alert_send.c */

/** Hand a notice to the targets of an alert; a reference is taken. */
void crier_alert_send(struct crier_alerts *alerts, const struct crier_alert *decl,
                      struct crier_notice *notice);
/** A generation's targets: queues whose target is gone are dropped. restarted: stored notices are
 *  taken up. */
void crier_outlets_adopt(struct crier_alerts *alerts, bool restarted);
void crier_outlets_free(struct crier_alerts *alerts);
json_t *crier_outlets_status(struct crier_alerts *alerts, const struct crier_alert *decl);

#endif
