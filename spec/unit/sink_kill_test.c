/* SPDX-License-Identifier: MIT
 *
 * Durable sinks under kill -9: a child logs to a durable jsonl sink, this process kills it at a
 * random moment two hundred times, and the next child goes on. Every record whose push returned is
 * in the file exactly once in the end, and in order.
 */
#include "sink_kill_support.h"

#define KILLS_A_FILE 20
#define KILLS (KILLS_A_FILE * ROUNDS(10))
#ifdef __SANITIZE_THREAD__
#define KILL_WITHIN 60000000 /* nanoseconds from a child's first record to its end at most */
#else
#define KILL_WITHIN 15000000
#endif

static void set_options(struct crier_options *common, struct crier_options *options)
{
    struct crier_option_value *v = (void *)crier_options_get(common, "sync");
    v->i = 10 * CRIER_MS; /* the helper is busy, too */
    v = (void *)crier_options_get(options, "path");
    free(v->s);
    v->s = crier_asprintf("%s/out.jsonl", folder);
}

static void push_one(struct rig *r)
{
    uint64_t n = shared->begun++;
    crier_build_begin(&r->builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(r->env.clock));
    crier_build_text(&r->builder, "a line of some length, as lines are", 35);
    CRIER_B_INT(&r->builder, "n", (int64_t)n);
    rig_push(r, crier_build_end(&r->builder), n);
}

static void begin(struct rig *r)
{
    rig_begin(r, &crier_sink_jsonl, set_options);
    r->source.seq = shared->begun;
}

static void write_forever(uint64_t seed)
{
    struct crier_rng mine;
    struct rig r;
    crier_rng_seed(&mine, seed);
    begin(&r);
    for (;;) {
        int64_t burst = crier_rng_range(&mine, 1, crier_rng_range(&mine, 1, 10) == 1 ? 800 : 60);
        for (int64_t i = 0; i < burst; i++)
            push_one(&r);
        shared->ready = 1;
        usleep((useconds_t)crier_rng_range(&mine, 0, 300));
    }
}

static bool is_ready(uint64_t arg)
{
    (void)arg;
    return shared->ready;
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
    struct rig r;
    (void)state;
    for (int i = 0; i < KILLS / KILLS_A_FILE; i++) {
        uint64_t first = shared->begun;
        for (int k = 0; k < KILLS_A_FILE; k++) {
            kill_child(write_forever, is_ready, 0, crier_rng_range(&rng, 0, KILL_WITHIN));
            begun[k] = shared->begun;
            pushed[k] = shared->pushed;
        }
        begin(&r);
        rig_finish(&r);
        lines += check_file(first, pushed, begun);
    }
    print_message("%llu records over %d kills\n", (unsigned long long)lines, KILLS);
    assert_true(lines > KILLS * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_record_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
