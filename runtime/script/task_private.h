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

#include "host/host.h"
#include "script/declare.h"
#include "script/task.h"
#include "state/board.h"

struct crier_executor;

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
};
extern const struct crier_executor crier_task_loop; /**< task_run.c */
extern const struct crier_executor crier_task_command, crier_task_worker;

/** [task_run.c] The metatable of ctx. Pushes nothing. */
void crier_open_task_context(lua_State *L);

void crier_run_ended(struct crier_run *run, const struct crier_run_end *outcome);

#endif
