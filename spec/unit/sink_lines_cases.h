/* SPDX-License-Identifier: MIT
 *
 * What holds for each sink that writes lines; DRIVER and LIVE (its file) are the includer's.
 */
#include "sink_lines_support.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define KILLS 100

static void test_filters_as_memory(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig, memory;
    struct maker m;
    maker_init(&m, 7);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)9000, "compress", (int64_t)1, NULL);
    rig_open(&memory, &crier_sink_memory, clock, NULL);
    for (int i = 0; i < 200; i++) {
        struct crier_record *r = mixed_record(&m, i);
        rig_write(&rig, &r, 1);
        rig_write(&memory, &r, 1);
        crier_record_unref(r);
        if (i == 100) /* some of the closed files packed, some not */
            while (rig.driver->idle(rig.self, 0) == 0)
                ;
    }
    check_filters(&rig, &memory);
    rig_close(&rig);
    rig_close(&memory);
    crier_clock_free(clock);
    maker_fini(&m);
}

/* Files closed and packed, and the live one; events by way of their phases. */
static void test_changes_as_memory(void **state)
{
    (void)state;
    static const struct {
        struct filter f;
        const char *fields;
    } changes[] = {
        {{"task_name", CRIER_OP_EQ, {STR("fetch")}, 1, NULL, false, 0, 0},
         "{\"action\":\"gone\",\"reason\":\"a, \\\"b\\\"\",\"runtime\":null}"},
        {{"guild.name", CRIER_OP_EQ, {STR("Chat")}, 1, NULL, false, 0, 0},
         "{\"guild.name\":\"=Talk\",\"guild.id\":\"863071397207212099\",\"x.y\":[1,2]}"},
        {{"action", CRIER_OP_EQ, {STR("no such")}, 1, NULL, false, 0, 0}, "{\"a\":1}"},
        {{"code", CRIER_OP_EQ, {STR("E7")}, 1, NULL, false, 0, 0}, "{\"mod_type\":\"other\"}"},
        {{"count", CRIER_OP_LT, {INT(0)}, 1, NULL, false, 0, 0}, NULL},
        {{"code", CRIER_OP_EQ, {STR("E8")}, 1, NULL, false, 0, 0}, NULL},
        {{"level", CRIER_OP_EQ, {STR("error")}, 1, NULL, false, 0, 0}, NULL},
    };
    static const struct filter checks[] = {
        {"seq", CRIER_OP_GE, {INT(0)}, 1, NULL, false, 0, 0},
        {"action", CRIER_OP_EQ, {STR("gone")}, 1, NULL, false, 0, 0},
        {"reason", CRIER_OP_EQ, {STR("a, \"b\"")}, 1, NULL, false, 0, 0},
        {"runtime", CRIER_OP_GE, {INT(0)}, 1, "runtime", true, 0, 0},
        {"guild.name", CRIER_OP_EQ, {STR("=Talk")}, 1, NULL, false, 0, 0},
        {"guild.id", CRIER_OP_EQ, {INT(863071397207212099)}, 1, NULL, false, 0, 0},
        {"guild.type", CRIER_OP_EQ, {STR("GUILD")}, 1, NULL, false, 0, 0},
        {"x.y.2", CRIER_OP_EQ, {INT(2)}, 1, NULL, false, 0, 0},
        {"mod_type", CRIER_OP_EQ, {STR("other")}, 1, NULL, false, 0, 0},
        {"phase", CRIER_OP_NE, {NIL}, 1, "event_id", true, 0, 0},
    };
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig, memory;
    struct maker m;
    size_t got = 0;
    maker_init(&m, 7);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)9000, "compress", (int64_t)1, NULL);
    rig_open(&memory, &crier_sink_memory, clock, NULL);
    for (int i = 0; i < 200; i++) {
        write_both(&rig, &memory, record_or_phase(&m, i));
        if (i == 100)
            while (rig.driver->idle(rig.self, 0) == 0)
                ;
    }
    for (size_t i = 0; i < CRIER_COUNT(changes); i++) {
        uint64_t n = change(&rig, &changes[i].f, changes[i].fields);
        assert_int_equal(n, change(&memory, &changes[i].f, changes[i].fields));
        assert_int_equal(n == 0, i == 2);
        for (size_t k = 0; k < CRIER_COUNT(checks); k++) {
            got = same_answer(&rig, &memory, &checks[k], 100 * i + k);
            assert_true(got > 0 || k == 1 || k == 2 || (k >= 4 && k != 6));
        }
    }
    assert_true(got > 0);
    /* And it goes on: in the right file, nothing twice. */
    struct crier_record *more = nth_record(5000);
    size_t before = count_all(&rig);
    rig_write(&rig, &more, 1);
    rig_close(&rig);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)9000, "compress", (int64_t)1, NULL);
    rig_write(&rig, &more, 1);
    assert_int_equal(count_all(&rig), before + 1);
    crier_record_unref(more);
    char *command = crier_asprintf("! ls -a %s | grep -q 'new$\\|tmp$'", folder);
    assert_int_equal(system(command), 0);
    free(command);
    rig_close(&rig);
    rig_close(&memory);
    crier_clock_free(clock);
    maker_fini(&m);
}

/* A disk that is full leaves the old file as it was. */
static void test_change_on_a_full_disk(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    const struct filter all = {"kind", CRIER_OP_EQ, {STR("log")}, 1, NULL, false, 0, 0};
    struct rlimit old, small;
    struct crier_record *batch[50];
    struct crier_err err = {0};
    uint64_t changed;
    size_t len, after;
    struct rig rig;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 5000;
    rig_open(&rig, &DRIVER, clock, NULL);
    for (int i = 0; i < 50; i++)
        batch[i] = nth_record(i);
    rig_write(&rig, batch, 50);
    char *before = slurp(LIVE, &len);
    struct crier_query *query = crier_query_new(rig.zone);
    json_t *fields = json_pack("{s:i}", "x", 1);
    assert_int_equal(crier_query_add(query, all.path, all.op, all.values, 1, &err), 0);
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = rig.driver->change(rig.self, query, fields, &changed, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, CRIER_EIO);
    char *text = slurp(LIVE, &after);
    assert_int_equal(after, len);
    assert_memory_equal(text, before, len);
    free(text);
    free(before);
    assert_int_equal(change(&rig, &all, "{\"x\":1}"), 50);
    assert_int_equal(count_all(&rig), 50);
    assert_int_equal(change(&rig, &all, NULL), 50);
    assert_int_equal(count_all(&rig), 0);

    for (int i = 0; i < 50; i++)
        crier_record_unref(batch[i]);
    crier_query_free(query);
    json_decref(fields);
    rig_close(&rig);
    crier_clock_free(clock);
}

/** A number that a child raises and its parent reads. */
static _Atomic long *shared_counter(void)
{
    _Atomic long *counter =
        mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(counter != MAP_FAILED);
    return counter;
}

/** Kills the child after `delay`; `progress`: which begins when it has raised the counter. */
static void kill_at_work(pid_t pid, _Atomic long *counter, bool progress, int64_t delay)
{
    for (long before = *counter; progress && *counter == before;) {
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)(delay * 1000)}, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Killed at any moment, each file holds all of its records, all changed or none. */
static void test_kill_while_changing(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static const struct filter all = {"kind", CRIER_OP_EQ, {STR("log")}, 1, NULL, false, 0, 0};
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_rng rng;
    struct rig rig;
    long seen = 0;
    _Atomic long *changes = shared_counter();
    crier_rng_seed_system(&rng);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)50000, NULL);
    for (int i = 0; i < COUNT; i++) {
        struct crier_record *r = nth_record(i);
        rig_write(&rig, &r, 1);
        crier_record_unref(r);
    }
    for (int k = 0; k < 40; k++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct rig other;
            char fields[60];
            rig_open(&other, &DRIVER, clock, "max_size", (int64_t)50000, NULL);
            for (int n = 0;; n++) {
                snprintf(fields, sizeof fields, "{\"x\":%d}", k * 1000 + n % 1000);
                change(&other, &all, fields);
                ++*changes;
            }
        }
        kill_at_work(pid, changes, k % 4 == 0, crier_rng_range(&rng, 0, 20 * CRIER_MS));
        struct crier_err err = {0};
        size_t count;
        struct crier_record **hits = query_all(&rig, &count, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(count, COUNT);
        for (size_t i = 0; i < count; i++) {
            struct crier_record *want = nth_record((long)i);
            struct crier_value x;
            char scratch[32];
            assert_memory_equal(crier_record_id_bytes(hits[i]), crier_record_id_bytes(want), 16);
            seen += crier_record_get(hits[i], "x", &x, scratch) && x.i >= k * 1000;
            crier_record_unref(want);
            crier_record_unref(hits[i]);
        }
        free(hits);
    }
    assert_true(seen > 0);
    munmap((void *)changes, sizeof *changes);
    assert_int_equal(change(&rig, &all, "{\"x\":7}"), COUNT);
    rig_close(&rig);
    crier_clock_free(clock);
}

static void test_looking_changes_nothing(void **state)
{
    (void)state;
    check_read_only(&DRIVER);
}

static void test_records_come_back_whole(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    struct maker m;
    struct crier_record *made[40];
    struct crier_err err = {0};
    size_t count;
    maker_init(&m, 8);
    rig_open(&rig, &DRIVER, clock, NULL);
    for (int i = 0; i < 40; i++)
        made[i] = mixed_record(&m, i);
    rig_write(&rig, made, 40);
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_int_equal(count, 40);
    for (size_t i = 0; i < 40; i++) {
        assert_memory_equal(crier_record_id_bytes(hits[i]), crier_record_id_bytes(made[i]), 16);
        assert_int_equal(crier_record_time(hits[i]), crier_record_time(made[i]));
        if (strcmp(DRIVER.kind, "jsonl") == 0)
            assert_string_equal(crier_record_json(hits[i]).data, crier_record_json(made[i]).data);
        crier_record_unref(hits[i]);
        crier_record_unref(made[i]);
    }
    free(hits);
    rig_close(&rig);
    crier_clock_free(clock);
    maker_fini(&m);
}

static void write_forever(struct rig *rig, _Atomic long *acked, uint64_t seed)
{
    struct crier_rng sizes;
    crier_rng_seed(&sizes, seed);
    for (;;) {
        struct crier_record *batch[64];
        long from = *acked;
        size_t n = (size_t)crier_rng_range(&sizes, 1, 64), done;
        for (size_t i = 0; i < n; i++)
            batch[i] = nth_record(from + (long)i);
        for (size_t at = 0; at < n; at += done)
            DRIVER.write(rig->self, batch + at, n - at, &done, NULL);
        *acked = from + (long)n;
        for (size_t i = 0; i < n; i++)
            crier_record_unref(batch[i]);
    }
}

/* A child writes and is killed; the next one replays from the last batch that was acknowledged.
 * At the end each record is there once, in order. */
static void test_kill(void **state)
{
    (void)state;
    _Atomic long *acked = shared_counter();
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_rng rng;
    struct rig rig;
    crier_rng_seed_system(&rng);
    *acked = 0;
    for (int i = 0; i < KILLS; i++) {
        uint64_t seed = crier_rng_next(&rng);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)150000, NULL);
            write_forever(&rig, acked, seed);
        }
        kill_at_work(pid, acked, i % 4 == 0, crier_rng_range(&rng, 0, 3 * CRIER_MS));
        if (i % 10 == 9 && exists(LIVE)) { /* and what a torn write leaves, for sure */
            size_t len;
            char *text = slurp(LIVE, &len);
            if (len > 1000) {
                const char *line = *text == '{' ? text : strchr(text, '\n') + 1;
                put_file(LIVE, "a", line, (size_t)crier_rng_range(&rng, 8, 100));
            }
            free(text);
        }
    }
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)150000, NULL);
    struct crier_record *more[64];
    long from = *acked;
    for (int i = 0; i < 64; i++)
        more[i] = nth_record(from + i);
    rig_write(&rig, more, 64);
    for (int i = 0; i < 64; i++)
        crier_record_unref(more[i]);
    size_t count;
    struct crier_err err = {0};
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_string_equal(err.text, "");
    assert_true((long)count >= from + 64);
    for (size_t i = 0; i < count; i++) {
        struct crier_record *want = nth_record((long)i);
        assert_memory_equal(crier_record_id_bytes(hits[i]), crier_record_id_bytes(want), 16);
        struct crier_str a = crier_record_text(hits[i]), b = crier_record_text(want);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        crier_record_unref(hits[i]);
        crier_record_unref(want);
    }
    print_message("%zu records over %d kills\n", count, KILLS);
    free(hits);
    rig_close(&rig);
    munmap((void *)acked, sizeof *acked);
    crier_clock_free(clock);
}

/* A full disk: what fits is stored and counted, no half line, and it goes on later. */
static void test_full_disk(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rlimit old, small;
    struct crier_record *batch[50];
    struct crier_err err = {0};
    size_t done = 0, len;
    struct rig rig;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 5000;
    for (int i = 0; i < 50; i++)
        batch[i] = nth_record(i);
    rig_open(&rig, &DRIVER, clock, NULL);
    setrlimit(RLIMIT_FSIZE, &small);
    enum crier_verdict verdict = DRIVER.write(rig.self, batch, 50, &done, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(verdict, CRIER_RETRY_LATER);
    assert_int_equal(err.code, CRIER_EIO);
    assert_in_range(done, 1, 49);
    char *text = slurp(LIVE, &len);
    assert_int_equal(text[len - 1], '\n');
    free(text);
    assert_int_equal(count_all(&rig), done);
    rig_write(&rig, batch + done, 50 - done);
    assert_int_equal(count_all(&rig), 50);
    for (int i = 0; i < 50; i++)
        crier_record_unref(batch[i]);
    rig_close(&rig);
    crier_clock_free(clock);
}

static void test_a_replayed_batch_is_skipped(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct crier_record *batch[30];
    struct rig rig;
    for (int i = 0; i < 30; i++)
        batch[i] = nth_record(i);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)3000, NULL);
    rig_write(&rig, batch, 10);
    rig_write(&rig, batch + 12, 3); /* with a gap, as another process might leave it */
    rig_close(&rig);
    rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)30000, NULL);
    rig_write(&rig, batch + 8, 22);
    assert_int_equal(count_all(&rig), 30);
    for (int i = 0; i < 30; i++)
        crier_record_unref(batch[i]);
    rig_close(&rig);
    crier_clock_free(clock);
}

static void test_two_processes(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct rig rig;
    pid_t pids[3];
    for (int p = 0; p < 3; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            rig_open(&rig, &DRIVER, clock, "max_size", (int64_t)100000, NULL);
            for (long n = 0; n < 400;) {
                struct crier_record *batch[8];
                size_t done;
                for (int i = 0; i < 8; i++)
                    batch[i] = nth_record(p * 1000 + n + i);
                for (size_t at = 0; at < 8; at += done)
                    DRIVER.write(rig.self, batch + at, 8 - at, &done, NULL);
                n += 8;
            }
            _exit(0);
        }
    }
    for (int p = 0; p < 3; p++) {
        int status;
        waitpid(pids[p], &status, 0);
        assert_int_equal(status, 0);
    }
    rig_open(&rig, &DRIVER, clock, NULL);
    struct crier_err err = {0};
    size_t count;
    struct crier_record **hits = query_all(&rig, &count, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(count, 1200);
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    rig_close(&rig);
    crier_clock_free(clock);
}

static void test_reopen_after_a_rename(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(START);
    struct maker m;
    struct rig rig;
    maker_init(&m, 3);
    rig_open(&rig, &DRIVER, clock, NULL);
    write_log(&rig, &m, START, "one");
    char *live = in_folder(LIVE), *away = in_folder("away");
    assert_int_equal(rename(live, away), 0);
    DRIVER.reopen(rig.self);
    write_log(&rig, &m, START, "two");
    assert_int_equal(rename(live, away), 0); /* also without being told */
    write_log(&rig, &m, START, "three");
    char *text = slurp(LIVE, NULL);
    assert_non_null(strstr(text, "three"));
    assert_null(strstr(text, "two"));
    free(text);
    free(live);
    free(away);
    rig_close(&rig);
    maker_fini(&m);
    crier_clock_free(clock);
}

#define LINE_CASE(test) cmocka_unit_test_setup_teardown(test, make_test_folder, remove_test_folder)
#define LINE_CASES                                                                                 \
    LINE_CASE(test_looking_changes_nothing), LINE_CASE(test_filters_as_memory),                    \
        LINE_CASE(test_changes_as_memory),                          \
        LINE_CASE(test_kill_while_changing), LINE_CASE(test_change_on_a_full_disk), LINE_CASE(test_records_come_back_whole),            \
        LINE_CASE(test_kill), LINE_CASE(test_full_disk),                                           \
        LINE_CASE(test_a_replayed_batch_is_skipped), LINE_CASE(test_two_processes),                \
        LINE_CASE(test_reopen_after_a_rename)
