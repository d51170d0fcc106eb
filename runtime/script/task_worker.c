/* SPDX-License-Identifier: MIT */
#include "script/task_private.h"

static void start(struct crier_run *run)
{
    crier_run_ended(run, &(struct crier_run_end){.action = CRIER_FAIL,
                                                 .exc_text = "this build runs no modules"});
}

static void cancel(struct crier_run *run)
{
    (void)run;
}

const struct crier_executor crier_task_worker = {"worker", start, cancel};
