/* SPDX-License-Identifier: MIT
 *
 * Durable sinks under kill -9: a child logs to a durable jsonl sink, this process kills it at a
 * random moment two hundred times, and the next child goes on. Every record whose push returned is
 * in the file exactly once in the end, and in order.
 */
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

#define KILLS_A_FILE 20
#define KILLS (KILLS_A_FILE * ROUNDS(10))
#ifdef __SANITIZE_THREAD__
#define KILL_WITHIN 60000000 /* nanoseconds from a child's first record to its end at most */
#else
#define KILL_WITHIN 15000000
#endif

struct shared {
    _Atomic uint64_t pushed; /* records whose push has returned, over all children */
    _Atomic uint64_t begun;  /* and those whose push was called */
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

static void rig_begin(struct rig *r)
{
    struct crier_options common, options;
    struct crier_err err = {0};
    *r = (struct rig){.loop = crier_loop_new(crier_clock_real())};
    r->env = (struct crier_sink_env){
        .clock = crier_clock_real(), .folder = folder, .state_folder = folder};
    crier_source_init(&r->source, "n", false, NULL);
    crier_builder_init(&r->builder, &r->source);
    r->source.seq = shared->begun;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, crier_sink_jsonl.options, crier_sink_jsonl.option_count);
    struct crier_option_value *v = (void *)crier_options_get(&common, "durable");
    v->set = true;
    v->i = true;
    v = (void *)crier_options_get(&common, "sync");
    v->i = 10 * CRIER_MS; /* the helper is busy, too */
    v = (void *)crier_options_get(&common, "queue");
    v->i = 200; /* so that the spool is read back now and then */
    v = (void *)crier_options_get(&options, "path");
    free(v->s);
    v->s = crier_asprintf("%s/out.jsonl", folder);
    if (crier_sink_open(&crier_sink_jsonl, "out", &common, &options, &r->env, &r->sink, &err) !=
        0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(3);
    }
    crier_sink_start(r->sink, r->loop);
}

static void push_one(struct rig *r)
{
    uint64_t n = shared->begun++;
    crier_build_begin(&r->builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(r->env.clock));
    crier_build_text(&r->builder, "a line of some length, as lines are", 35);
    CRIER_B_INT(&r->builder, "n", (int64_t)n);
    struct crier_record *record = crier_build_end(&r->builder);
    crier_sink_push(r->sink, record);
    shared->pushed = n + 1;
    crier_record_unref(record);
}

static void write_forever(uint64_t seed)
{
    struct crier_rng mine;
    struct rig r;
    crier_rng_seed(&mine, seed);
    rig_begin(&r);
    for (;;) {
        int64_t burst = crier_rng_range(&mine, 1, crier_rng_range(&mine, 1, 10) == 1 ? 800 : 60);
        for (int64_t i = 0; i < burst; i++)
            push_one(&r);
        shared->ready = 1;
        usleep((useconds_t)crier_rng_range(&mine, 0, 300));
    }
}

static void kill_one(void)
{
    int status;
    shared->ready = 0;
    uint64_t seed = crier_rng_next(&rng);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        write_forever(seed);
    while (!shared->ready) {
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)crier_rng_range(&rng, 0, KILL_WITHIN)}, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void write_the_rest(void)
{
    struct rig r;
    struct crier_sink_stats s;
    rig_begin(&r);
    crier_sink_stop(r.sink, 60 * CRIER_S);
    crier_sink_stats(r.sink, &s);
    assert_int_equal(s.accepted, s.written);
    assert_int_equal(s.dropped + s.rejected + s.spilled, 0);
    crier_sink_unref(r.sink);
    crier_loop_free(r.loop);
    crier_builder_fini(&r.builder);
    crier_source_fini(&r.source);
}

/* The one that a kill met inside of push may be missing: `begun`, but not `pushed`. */
static uint64_t check_file(uint64_t first, const uint64_t *pushed, const uint64_t *begun)
{
    char *path = crier_asprintf("%s/out.jsonl", folder), *line = NULL;
    FILE *f = fopen(path, "r");
    uint64_t next = first, lines = 0;
    size_t cap = 0;
    int run = 0;
    assert_non_null(f);
    for (; getline(&line, &cap, f) > 0; lines++) {
        const char *at = strstr(line, "\"n\":");
        assert_non_null(at);
        uint64_t n = strtoull(at + 4, NULL, 10);
        for (; run < KILLS_A_FILE && next >= pushed[run]; run++)
            if (n == begun[run])
                next = n;
        assert_int_equal(n, next);
        next++;
    }
    assert_in_range(next, pushed[KILLS_A_FILE - 1], begun[KILLS_A_FILE - 1]);
    fclose(f);
    unlink(path);
    free(line);
    free(path);
    return lines;
}

static void every_record_once(void **state)
{
    uint64_t begun[KILLS_A_FILE], pushed[KILLS_A_FILE], lines = 0;
    (void)state;
    for (int i = 0; i < KILLS / KILLS_A_FILE; i++) {
        uint64_t first = shared->begun;
        for (int k = 0; k < KILLS_A_FILE; k++) {
            kill_one();
            begun[k] = shared->begun;
            pushed[k] = shared->pushed;
        }
        write_the_rest();
        lines += check_file(first, pushed, begun);
    }
    print_message("%llu records over %d kills\n", (unsigned long long)lines, KILLS);
    assert_true(lines > KILLS * 20);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_record_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
