/* SPDX-License-Identifier: MIT
 *
 * The records that a sink is fed with, the loop that it runs on, and its surroundings.
 */
#ifndef BENCH_RECORDS_H
#define BENCH_RECORDS_H

#include "base/clock.h"
#include "record/build.h"
#include "sink/sink.h"

#define RECORDS 20000

static struct crier_record *made[RECORDS];
static struct crier_loop *loop;
static struct crier_sink_env bench_env;

static void make_records(void)
{
    struct crier_source source;
    struct crier_builder b;
    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
    for (int i = 0; i < RECORDS; i++) {
        crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(bench_env.clock));
        crier_build_text(&b, "the roll went round and the third picture is shown", 50);
        CRIER_B_STR(&b, "user", "somebody with a name");
        CRIER_B_INT(&b, "count", i);
        made[i] = crier_build_end(&b);
    }
    crier_builder_fini(&b);
    crier_source_fini(&source);
}

#endif
