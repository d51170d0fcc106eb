/* SPDX-License-Identifier: MIT
 *
 * Tasks: when one starts, what becomes of its runs, and what is remembered of them.
 *
 *   condition true -> ready (by priority) -> run record -> executor -> outcome -> record, hooks,
 *   history -> the conditions of those that wait for it
 *
 * Nothing is polled: a condition is judged when a generation is taken on, when something happens to
 * its own task or to one that it names, when the instant comes that the last judgement gave
 * (sched/condition.h), and when the clock is set. Conditions that became true in the same turn of
 * the loop start their tasks in the order of priority, then of declaration.
 *
 * What a task has done is its struct crier_taskstate, found by the task's name. It outlives
 * generations and, in the board (state/board.h), the process: each action is in the board before
 * its record is made, so that a run that dies with its host is told as one crash by the next.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_TASK_H
#define CRIER_SCRIPT_TASK_H

#include <jansson.h>

#include "sched/condition.h"
#include "script/generation.h"

struct crier_taskstate;

enum crier_task_how {
    CRIER_TASK_LUA,     /**< run = function(ctx, params): a coroutine on the loop */
    CRIER_TASK_COMMAND, /**< command = { "pg_dump", "shop" }: a process */
    CRIER_TASK_WORKER,  /**< module = "tasks.heavy": a Lua state and a thread of its own */
};

/** A variable of a command's environment. */
struct crier_task_env {
    char *name;
    char *value; /**< may be a secret's reference: crier_is_secret_reference */
};

/** crier.task, as declared. */
struct crier_task {
    struct crier_timer timer; /**< when its conditions are to be judged again */
    struct crier_generation *gen;
    char *name;
    char *was;          /**< former name */
    unsigned order;     /**< among the generation's tasks */
    struct crier_cond *start; /**< NULL: only by hand, or on_startup and on_shutdown */
    struct crier_cond *stop;  /**< ends its runs; NULL: nothing does */
    struct crier_zone *zone;  /**< of periods that name none */
    struct crier_misfire misfire;
    int64_t timeout; /**< microseconds; 0: never */
    int64_t budget;  /**< CPU microseconds between two waits; 0: no bound */
    int priority;    /**< high first */
    bool on_startup, on_shutdown, multilaunch, disabled, permanent;
    char *params; /**< JSON object; NULL: none */
    enum crier_task_how how;
    int run_fn;   /**< LUA: registry ref */
    char **argv;  /**< COMMAND: its words, ends with NULL; with `shell` one word for /bin/sh -c */
    bool shell;
    char *cwd;    /**< COMMAND: absolute; NULL: the script's folder */
    struct crier_task_env *env; /**< COMMAND: beside what the host has */
    size_t env_count;
    char *module;     /**< WORKER: as for require */
    const char *file; /**< interned; the place of the declaration */
    int line;
    char *where;      /**< the place as text */
    struct crier_taskstate *state; /**< set when the generation is swapped in */
    /* the tasker's */
    bool waking;  /**< in the list of those to be judged */
    bool adopted; /**< the generation runs, and this is the name's task */
    bool ready;   /**< in the list of those to be started */
    bool may;     /**< as last judged: it may start */
    bool by_hand; /**< as last judged: a run that waits is to start; else its condition is true */
    int64_t due;  /**< as last judged */
};

/** For GPtrArray. */
void crier_task_free(void *task);
/** crier.task, tasks, group, inaction; on the table on top of the stack. */
void crier_open_task(lua_State *L);
/** When the script has been read: names, conditions that name tasks which are not there. */
void crier_judge_tasks(struct crier_generation *gen);
/** By name, among those declared; NULL: none. */
struct crier_task *crier_task_named(const struct crier_generation *gen, const char *name);
/** What has changed of tasks, as lines of a reload's diff. */
void crier_task_diff(const struct crier_generation *old, const struct crier_generation *new_,
                     struct crier_buf *out, struct crier_diff_counts *counts);

struct crier_tasker; /* opaque; one a host */

struct crier_tasker *crier_tasker_new(struct crier_host *host);
void crier_tasker_free(struct crier_tasker *tasker);
/** Open the board in the state folder. CRIER_EIO, CRIER_EVERSION. copy: what is there (folder NULL:
 *  nothing) is only read, and no board is kept. */
CRIER_CHECK int crier_tasker_load(struct crier_tasker *tasker, const char *state_folder, bool copy,
                                  struct crier_err *err);
/** Take a generation's tasks on. restarted: the process has just started: runs that died with the
 *  last one are told as crashes, histories that are not in the board are asked of a sink, what was
 *  missed is made up for, on_startup tasks run. */
void crier_tasker_adopt(struct crier_tasker *tasker, struct crier_generation *gen, bool restarted);
/** A generation is replaced: nothing of it starts any more; runs under way end by themselves. */
void crier_tasker_retire(struct crier_tasker *tasker, struct crier_generation *gen);
/** The host stops: nothing starts by itself any more, permanent tasks are terminated, on_shutdown
 *  tasks run. */
void crier_tasker_stop(struct crier_tasker *tasker);
/** Runs under way. */
size_t crier_tasker_pending(const struct crier_tasker *tasker);
/** Called whenever a run has ended (the host waits for the last at its stop). */
void crier_tasker_on_idle(struct crier_tasker *tasker, void (*fn)(void *arg), void *arg);
/** Terminate what is under way, of one generation or (NULL) of all. reason: for the record. */
void crier_tasker_cancel(struct crier_tasker *tasker, const struct crier_generation *gen,
                         const char *reason);
/** The host ends and waits no longer: every run ends within the call. */
void crier_tasker_kill(struct crier_tasker *tasker);
/** The wall clock was set. */
void crier_tasker_clock_set(struct crier_tasker *tasker, int64_t jump_us);

/** Totals, for status. */
struct crier_tasker_stats {
    uint64_t actions[CRIER_ACTIONS]; /**< since this start */
    size_t tasks, running, paused;
    int64_t late_max;           /**< microseconds between due and start of a run */
    int64_t late_p50, late_p99; /**< at most an eighth above the truth */
};
void crier_tasker_stats(const struct crier_tasker *tasker, struct crier_tasker_stats *out);

/* --- by hand ------------------------------------------------------------------------------ */

/** Who waits for the end of a run started by hand: told once, with the action it ended by. */
typedef void crier_task_told(void *arg, enum crier_action action, const char *run_id,
                             const char *text);
/** Run it once with these params (an object as JSON, NULL: none) over its own: at once, or behind
 *  the run that is under way. Also when disabled or paused. told may be NULL. CRIER_EINVAL: no
 *  such task, and the nearest name; CRIER_ECANCELED: the host stops; CRIER_ELIMIT: too many wait. */
CRIER_CHECK int crier_task_run(struct crier_tasker *tasker, const char *name, const char *params,
                               crier_task_told *told, void *arg, struct crier_err *err);
/** Run it again with the params of its newest run. CRIER_ENOTFOUND: it has never run. */
CRIER_CHECK int crier_task_retry(struct crier_tasker *tasker, const char *name,
                                 crier_task_told *told, void *arg, struct crier_err *err);
/** Terminate its runs, and forget those that wait; *count gets how many. */
CRIER_CHECK int crier_task_stop(struct crier_tasker *tasker, const char *name, const char *reason,
                                size_t *count, struct crier_err *err);
/** Nothing starts it any more (but by hand), or does again. Survives reloads and restarts. *changed
 *  (may be NULL): whether it was not so before. */
CRIER_CHECK int crier_task_pause(struct crier_tasker *tasker, const char *name, bool pause,
                                 bool *changed, struct crier_err *err);
/** Whether a run by hand would have to wait for one that is under way. */
bool crier_task_busy(struct crier_tasker *tasker, const char *name);
/** Nobody is to be told any more. */
void crier_task_forget(struct crier_tasker *tasker, void *arg);

/** One task as an object, for `task list` and status: name, state, last action and time, next. */
json_t *crier_task_status(struct crier_tasker *tasker, struct crier_task *task);
/** Each part of its condition (of its stop condition) and the present truth; NULL: it has none. Free
 *  with crier_why_free. For `crier why`. */
struct crier_why *crier_task_why(struct crier_tasker *tasker, struct crier_task *task, bool stop,
                                 struct crier_judgement *out);

#endif
