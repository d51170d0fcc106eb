/* SPDX-License-Identifier: MIT
 *
 * The processes of the kill tests: children that log through a durable sink until they are killed,
 * and what has to be known of them afterwards.
 */
#ifndef SINK_KILL_SUPPORT_H
#define SINK_KILL_SUPPORT_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "record/build.h"
#include "rounds.h"
#include "sink/registry.h"

struct shared {
    _Atomic uint64_t pushed;  /* records whose push has returned, over all children */
    _Atomic uint64_t begun;   /* and those whose push was called */
    _Atomic uint64_t written; /* of this child, as its sink counts */
    _Atomic int ready;
};

static struct shared *shared;
static char folder[64];
static struct crier_rng rng;

struct rig {
    struct crier_loop *loop;
    struct crier_sink_env env;
    struct crier_source source;
    struct crier_builder builder;
    struct crier_sink *sink;
};

/* A durable sink of this kind, its queue so small that the spool is read back now and then. */
static void rig_begin(struct rig *r, const struct crier_sink_driver *driver,
                      void (*set)(struct crier_options *common, struct crier_options *options))
{
    struct crier_options common, options;
    struct crier_err err = {0};
    *r = (struct rig){.loop = crier_loop_new(crier_clock_real())};
    r->env = (struct crier_sink_env){
        .clock = crier_clock_real(), .folder = folder, .state_folder = folder};
    crier_source_init(&r->source, "n", false, NULL);
    crier_builder_init(&r->builder, &r->source);
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, driver->options, driver->option_count);
    struct crier_option_value *v = (void *)crier_options_get(&common, "durable");
    v->set = true;
    v->i = true;
    v = (void *)crier_options_get(&common, "queue");
    v->i = 200;
    set(&common, &options);
    if (crier_sink_open(driver, "out", &common, &options, &r->env, &r->sink, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(3);
    }
    crier_sink_start(r->sink, r->loop);
}

static void rig_push(struct rig *r, struct crier_record *record, uint64_t n)
{
    crier_sink_push(r->sink, record);
    shared->pushed = n + 1;
    crier_record_unref(record);
}

/* Begins a child that writes, waits for what `until` says of it, and kills it after `more` ns. */
static void kill_child(void (*write_forever)(uint64_t seed), bool (*until)(uint64_t arg), uint64_t arg,
                       int64_t more)
{
    int status;
    shared->ready = 0;
    shared->written = 0;
    uint64_t seed = crier_rng_next(&rng);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        write_forever(seed);
    while (!until(arg)) {
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)more}, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* What the last child has left to be written. */
static void rig_finish(struct rig *r)
{
    struct crier_sink_stats s;
    crier_sink_stop(r->sink, 60 * CRIER_S);
    crier_sink_stats(r->sink, &s);
    assert_int_equal(s.accepted, s.written);
    assert_int_equal(s.dropped + s.rejected + s.spilled, 0);
    crier_sink_unref(r->sink);
    crier_loop_free(r->loop);
    crier_builder_fini(&r->builder);
    crier_source_fini(&r->source);
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/crier-kill-XXXXXX");
    crier_rng_seed_system(&rng);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return mkdtemp(folder) && shared != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    munmap(shared, sizeof *shared);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#endif
