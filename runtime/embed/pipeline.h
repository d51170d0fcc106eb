/* SPDX-License-Identifier: MIT
 *
 * The inside of a pipeline, shared by pipeline.c (life cycle, logging) and pipeline_sinks.c (sinks,
 * rules, and what is asked of them).
 *
 * The pipeline has a thread of its own with a loop, on which sinks are started, flushed, asked and
 * stopped. Records do not pass it: the thread that logs builds its record, and then numbers it,
 * routes it and pushes it into the queues of the sinks under one lock.
 */
#ifndef CRIER_EMBED_PIPELINE_H
#define CRIER_EMBED_PIPELINE_H

#include <glib.h>
#include <pthread.h>

#include "base/loop.h"
#include "embed/logger.h"
#include "embed/options_json.h"
#include "sink/router.h"
#include "sink/sink.h"

struct crier_pipeline {
    atomic_uint refs; /* the handle, and each logger */
    struct crier_clock *clock;
    struct crier_source face; /* node alone: what a builder looks at */
    struct crier_sink_env env;
    struct crier_zone *zone;
    char *folder, *state_folder;
    int lock_fd, seq_fd; /* of the state folder; -1: none */
    struct crier_loop *loop;
    pthread_t thread;
    bool running;            /* the thread; [owner] */
    struct crier_timer tell; /* loop: of what rates left out */
    pthread_mutex_t adding;  /* one sink or rule at a time is added */

    _Alignas(64) pthread_mutex_t lock; /* guards all that follows */
    struct crier_source source;
    uint64_t seq_reserved;
    struct crier_router *router;
    GPtrArray *sinks;  /* of struct crier_sink, a reference each */
    GPtrArray *levels; /* of struct level_of */
    struct crier_logger *loggers;
    int64_t tell_in; /* when `tell` is wanted, once the loop arms it */
    bool stopped;
    struct crier_builder builder; /* for system records; [loop] */
};

/** [any, not loop] Run fn(arg) on the loop and wait until it has returned. */
void crier_pipeline_call(struct crier_pipeline *p, void (*fn)(void *arg), void *arg);
/** [loop] A system record. */
void crier_pipeline_system(struct crier_pipeline *p, enum crier_level level, const char *what,
                           const char *text);

#endif
