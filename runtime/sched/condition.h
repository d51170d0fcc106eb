/* SPDX-License-Identifier: MIT
 *
 * Conditions: when a task may start, as a tree of periods, histories and operators.
 *
 * A condition is judged against facts: what time it is and what tasks have done. Judging changes
 * nothing and asks nothing else, so whoever schedules keeps the histories, and learns beside the
 * truth the earliest instant at which it could change by time alone: until then, and until a task
 * does something, there is nothing to look at. A condition that is true stays so until the task
 * starts, a window closes, or a task does something.
 *
 * Source of the rules: lua/README.md, Conditions. Times are microseconds of wall time. The order of
 * what happened is that of `seq`, never that of the clock.
 *
 * Conditions are immutable and refcounted; their depth is bounded, so that no walk over one can run
 * out of stack.
 *
 * Thread: [any]; what the facts call is of their owner's thread.
 */
#ifndef CRIER_SCHED_CONDITION_H
#define CRIER_SCHED_CONDITION_H

#include "sched/calendar.h"

struct crier_cond;

/** What a task does. */
enum crier_action {
    CRIER_RUN,
    CRIER_SUCCESS,
    CRIER_FAIL,
    CRIER_TERMINATE,
    CRIER_INACTION,
    CRIER_CRASH,
    CRIER_ACTIONS,
};
/** A set of them: bit n is action n. */
#define CRIER_DID(action) (1U << (action))
#define CRIER_DID_FINISH                                                                           \
    (CRIER_DID(CRIER_SUCCESS) | CRIER_DID(CRIER_FAIL) | CRIER_DID(CRIER_TERMINATE) |               \
     CRIER_DID(CRIER_INACTION) | CRIER_DID(CRIER_CRASH))
extern const char *const crier_action_names[]; /**< "run" .. "crash" */

/** The newest record of an action. */
struct crier_did {
    uint64_t seq; /**< 0: never */
    int64_t time;
    int64_t set; /**< by how much the clock has been set since: durations go by time + set, what is
                      on the calendar by time */
};

/** What a task has done so far. */
struct crier_history {
    struct crier_did last[CRIER_ACTIONS];
    int64_t due;    /**< when the newest run was due (crier_judgement.since); 0: when it started */
    uint32_t fails; /**< fails in a row: without a success, terminate, inaction or crash between */
    uint32_t running; /**< runs that live now */
};

/** What a condition is judged against. Functions may be NULL: then nothing has ever happened. */
struct crier_facts {
    int64_t now;
    const struct crier_zone *zone; /**< of periods that name none */
    const char *task; /**< whose condition it is: what a condition without a name means */
    int64_t since;    /**< when that task was first known; 0: now */
    bool assume; /**< what is not known of other tasks and functions is taken to fit (crier when) */
    void *arg;
    /** A task's history; false: there is no such task. */
    bool (*history)(void *arg, const char *task, struct crier_history *out);
    /** The time of the n-th newest (0: newest) record of any of these actions; false: there are
     *  fewer. See crier_cond_needs for how many are asked for. */
    bool (*when)(void *arg, const char *task, unsigned actions, uint32_t n, int64_t *time);
    /** The start of the n-th oldest run that lives now; false: there are fewer. */
    bool (*live)(void *arg, const char *task, uint32_t n, int64_t *start);
    /** A function of the script (crier_cond_custom): 1, 0, or negative and err. */
    int (*custom)(void *arg, int fn, struct crier_err *err);
};

struct crier_judgement {
    bool truth;
    int64_t since; /**< if true: since when, as far as that is known; else now. A run that is
                      started for it was due then */
    int64_t next;  /**< the truth cannot change before, unless a task does something; > now, or
                        CRIER_NEVER */
};

/** Each part of a condition and its present truth, for `crier why`. */
struct crier_why {
    char *text;   /**< "daily after 18:00"; of a group "AND", "OR" or "NOT" */
    char *reason; /**< "ran 18:00:03, success"; may be empty */
    bool truth;
    bool assumed; /**< not known, taken to fit */
    int64_t next;
    struct crier_why *items;
    size_t count;
};

void crier_cond_judge(const struct crier_cond *c, const struct crier_facts *facts,
                      struct crier_judgement *out);
/** The same with reasons; free with crier_why_free. */
struct crier_why *crier_cond_why(const struct crier_cond *c, const struct crier_facts *facts,
                                 struct crier_judgement *out);
void crier_why_free(struct crier_why *why);
/** The first instant at or after facts->now at which it is true, if no task does anything until
 *  then; CRIER_NEVER when there is none up to `until` or none can be foreseen. A scheduler that was
 *  away (asleep, down) asks it from where it last looked, to find what it has missed. */
int64_t crier_cond_next(const struct crier_cond *c, const struct crier_facts *facts, int64_t until);

/** What a scheduler must keep so that the condition can be judged: for a task (NULL: its own), the
 *  newest `depth` records of these actions, but none older than `span` (0: however old). Called
 *  once for each part that asks; also tells which tasks are named. */
void crier_cond_needs(const struct crier_cond *c,
                      void (*need)(void *arg, const char *task, unsigned actions, uint32_t depth,
                                   int64_t span),
                      void *arg);
/** The script functions that it calls. */
void crier_cond_functions(const struct crier_cond *c, void (*each)(void *arg, int fn), void *arg);

/* Making them. What is consumed is the caller's no more, also when NULL comes back: CRIER_ELIMIT,
 * deeper than 64. Leaves are made of text (condition_text.h). */

struct crier_cond *crier_cond_and(struct crier_cond *a, struct crier_cond *b,
                                  struct crier_err *err); /**< consumes both */
struct crier_cond *crier_cond_or(struct crier_cond *a, struct crier_cond *b,
                                 struct crier_err *err); /**< consumes both */
struct crier_cond *crier_cond_not(struct crier_cond *a, struct crier_err *err); /**< consumes */
/** A function of the script, asked every `poll` microseconds. name: for people. */
struct crier_cond *crier_cond_custom(int fn, const char *name, int64_t poll);
struct crier_cond *crier_cond_ref(struct crier_cond *c);
void crier_cond_unref(struct crier_cond *c); /**< NULL is allowed */

#endif
