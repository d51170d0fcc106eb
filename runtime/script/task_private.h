/* SPDX-License-Identifier: MIT
 *
 * The inside of the tasker: task.c knows when something starts and ends, task_log.c makes records
 * of it and reads them back, and an executor carries one run out: task_run.c on the loop,
 * task_command.c as a process, task_worker.c in a Lua state and a thread of its own.
 *
 * An executor's side of a run:
 *   - `start` begins it. The run record has been made. It may end within the call.
 *   - `crier_run_ended`, once, on the loop, whatever happened; the run is freed by it, so that
 *     nothing of the executor may touch it afterwards.
 *   - `cancel` asks it to end: a timeout, the stop condition, `crier task stop`, the host's stop.
 *     Within the call or soon after it the executor calls crier_run_ended, with whatever came of
 *     it: when the run was cancelled the tasker makes a terminate of it (but a success that came
 *     first stays one). Called once a run at most, never from within `start`.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SCRIPT_TASK_PRIVATE_H
#define CRIER_SCRIPT_TASK_PRIVATE_H

#include "base/lateness.h"
#include "host/host.h"
#include "script/declare.h"
#include "script/task.h"
#include "state/board.h"

struct crier_executor;
struct crier_run;

/* Times of the newest records of some actions, for conditions that count. */
struct crier_task_ring {
    unsigned actions;
    uint32_t depth;   /* how many are kept */
    int64_t *times;   /* a circle of `depth` */
    uint32_t first, count; /* the newest one, and how many there are */
    uint64_t oldest;  /* seq of the last one; 0: none */
};

/* A run that waits: for the one before it, or to be the next. */
struct crier_task_queued {
    struct crier_task_queued *next;
    int64_t due;  /* 0: now, by hand */
    bool last;    /* on_shutdown, behind a run under way */
    char *params; /* JSON object, NULL: the task's */
    crier_task_told *told;
    void *told_arg;
};

/* A run that died with the host before. */
struct crier_task_dead {
    struct crier_task_dead *next;
    unsigned char id[16];
    int64_t start;
    uint32_t slot; /* of its own; CRIER_BOARD_NONE: the task's */
};

struct crier_taskstate {
    char *name;
    uint32_t slot; /* in the board; CRIER_BOARD_NONE: there is no room */
    struct crier_history history;
    int64_t known; /* wall: when it was first known */
    bool paused, condition_failed, result_told;
    struct crier_task *task; /* what starts it; NULL: none declares it now */
    struct crier_run *live, **tail;
    struct crier_task_queued *queue;
    uint32_t queued;
    struct crier_task_dead *dead;
    char *result;      /* JSON of what the newest success returned */
    char *last_params; /* of the newest run */
    int64_t last_start; /* monotonic */
    struct crier_task_ring *rings;
    size_t ring_count;
    GPtrArray *dependents; /* struct crier_task whose conditions name it; NULL: none */
};

struct crier_tasker {
    struct crier_host *host;
    struct crier_loop *loop;
    struct crier_board *board; /* NULL: there is none */
    struct crier_generation *current;
    GHashTable *states; /* name -> struct crier_taskstate */
    GPtrArray *runs;    /* all under way */
    GPtrArray *waking, *judging; /* struct crier_task */
    GPtrArray *ready;            /* those that are to start, from ready_at on; NULL: not any more */
    guint ready_at;
    struct crier_timer turn, go; /* when conditions are judged; when all of them are */
    bool stopping, shutdown_posted, board_told;
    void *restore; /* a question to a sink under way: nothing is judged meanwhile */
    int64_t missed_from; /* what was missed since is to be made up for; 0: nothing */
    bool startup;        /* on_startup tasks are to run; nothing starts before them */
    size_t last;         /* on_shutdown tasks that wait for a run of theirs under way */
    struct crier_run *spare; /* memory of ended runs, by `next` */
    unsigned spares;
    struct crier_buf text; /* of the record that is being made */
    struct crier_tasker_stats stats;
    struct crier_lateness late;
    void (*on_idle)(void *arg);
    void *idle_arg;
};

/** A run under way. */
struct crier_run {
    struct crier_tasker *tasker;
    struct crier_host *host;
    struct crier_task *task; /**< the run holds a reference to task->gen */
    struct crier_taskstate *state;
    const struct crier_executor *executor;
    void *job;        /**< the executor's */
    unsigned char id[16];
    char run_id[27];
    int64_t due;      /**< wall */
    int64_t started;  /**< wall */
    int64_t began;    /**< monotonic */
    char *params;     /**< JSON object: the task's with those of this run over them; NULL: none */
    bool cancelled;
    char *reason;     /**< why it was cancelled */
    /* the tasker's */
    struct crier_timer timeout;
    struct crier_run *next, **link; /**< the state's live runs, the oldest first */
    uint32_t slot;                  /**< of its own in the board; CRIER_BOARD_NONE: the task's */
    int64_t set;                    /**< by how much the clock has been set since its start */
    bool ended;
    guint index;                    /**< in tasker->runs */
    bool starting;
    crier_task_told *told;
    void *told_arg;
};

/** What came of a run. All texts are borrowed for the call, and may be NULL. */
struct crier_run_end {
    enum crier_action action; /**< SUCCESS, FAIL, INACTION or TERMINATE */
    const char *exc_text; /**< FAIL: message and traceback, stderr, ... */
    const char *reason;   /**< one line: why it did nothing, or failed ("exit code 2") */
    const char *result;   /**< JSON of what it returned: ctx.result of other tasks */
    size_t result_len;
    const char *output;   /**< what it printed (commands), kept as a field of the record */
    size_t output_len;
};

struct crier_executor {
    const char *name;
    void (*start)(struct crier_run *run);
    void (*cancel)(struct crier_run *run);
    /** The host ends and waits no longer: crier_run_ended within the call, by force; after a cancel
     *  or without one. NULL: cancel does so. */
    void (*kill)(struct crier_run *run);
};
extern const struct crier_executor crier_task_loop; /**< task_run.c */
extern const struct crier_executor crier_task_command, crier_task_worker;

/* task.c */

/** The state is in the board when this returns. */
void crier_taskstate_save(struct crier_tasker *tasker, struct crier_taskstate *st);
/** Conditions are judged from now on. */
void crier_tasker_go(struct crier_tasker *tasker);
/** A record of an action from before, older than all that the task's rings hold. */
void crier_task_recall(struct crier_taskstate *st, enum crier_action action, uint64_t seq,
                       int64_t time);
/** What the task of this name has returned, as JSON; NULL: nothing. */
const char *crier_task_result(struct crier_tasker *tasker, const char *name);

/* task_log.c */

/** What a record says. */
struct crier_task_said {
    const char *name;
    const struct crier_task *task; /* NULL: it is not declared any more */
    enum crier_action action;
    const char *run_id;
    int64_t now, start, runtime;
    const char *exc_text, *reason, *output;
    size_t output_len;
};
struct crier_record *crier_task_record(struct crier_tasker *tasker,
                                       const struct crier_task_said *said);
/** Ask the best sink that is stored what tasks did before: fresh, all of it; else what rings need of
 *  this span (0: however old). Until it has answered tasker->restore is set; then crier_tasker_go. */
void crier_task_restore(struct crier_tasker *tasker, bool fresh, int64_t span);
void crier_task_restore_drop(struct crier_tasker *tasker);
/** [any] Threads of worker tasks that have not ended: those that were left behind. */
size_t crier_task_worker_threads(void);

/** [task_run.c] The metatable of ctx. Pushes nothing. */
void crier_open_task_context(lua_State *L);

void crier_run_ended(struct crier_run *run, const struct crier_run_end *outcome);

#endif
