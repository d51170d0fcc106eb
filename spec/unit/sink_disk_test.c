/* SPDX-License-Identifier: MIT
 *
 * A durable sink on a disk that becomes full, and free again, while a mapped segment is open.
 */
#include "sink_fake_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

static void set_verdict(const char *name, enum crier_verdict verdict)
{
    atomic_store(&fake_named(name)->verdict, verdict);
}

/* Everything is told, nothing is lost while there is room in memory, and what was in memory alone
 * is on disk as soon as that takes it. */
static void fill_and_free(void (*fill)(void), void (*make_free)(void), size_t in_spool)
{
    struct crier_sink *a =
        start_sink("a", (struct how){.queue = 60000, .batch = 100, .durable = true});
    set_verdict("a", CRIER_UNAVAILABLE);
    push(a, in_spool);
    run_for(0);
    assert_int_equal(stats_of(a).spilled, in_spool);
    fill();
    push(a, 50000);
    struct crier_sink_stats s = stats_of(a);
    assert_int_equal(s.dropped, 0);
    assert_true(s.queued > 5000);
    assert_true(s.spilled >= in_spool);
    check_books(a);
    run_for(CRIER_S);
    assert_int_equal(told("damaged"), 1);
    assert_non_null(strstr(text_of("damaged"), "kept in memory alone"));
    push(a, 50000); /* more than memory has room for: lost, counted and told */
    s = stats_of(a);
    assert_true(s.dropped > 0);
    run_for(2 * CRIER_S);
    assert_true(told("dropped") > 0);
    check_books(a);

    make_free();
    run_for(2 * CRIER_S);
    push(a, 1);
    s = stats_of(a);
    assert_int_equal(s.queued, 0);
    assert_int_equal(s.spilled, s.accepted - s.dropped);
    set_verdict("a", CRIER_WRITTEN);
    run_for(120 * CRIER_S);
    struct fake *f = fake_named("a");
    assert_int_equal(f->count, s.accepted - s.dropped);
    for (size_t i = 1; i < f->count; i++)
        assert_true(f->seq[i] > f->seq[i - 1]);
    assert_int_equal(f->seq[f->count - 1], s.accepted);
    check_books(a);
    stop_sink(a);
}

static void fill_tmpfs(void)
{
    char path[96], block[65536];
    snprintf(path, sizeof path, "%s/filler", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    memset(block, 'x', sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
}

static void free_tmpfs(void)
{
    assert_int_equal(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=256m"), 0);
}

static void full_disk(void **state)
{
    (void)state;
    if (geteuid() != 0 || mount("tmpfs", folder, "tmpfs", 0, "size=6m") != 0)
        skip();
    fill_and_free(fill_tmpfs, free_tmpfs, 100);
}

static int teardown_mount(void **state)
{
    umount2(folder, MNT_DETACH);
    return teardown(state);
}

static struct rlimit limit;

static void lower_limit(void)
{
    struct rlimit low = limit;
    low.rlim_cur = 8192;
    setrlimit(RLIMIT_FSIZE, &low);
}

static void lift_limit(void)
{
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void file_size_limit(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    fill_and_free(lower_limit, lift_limit, 100);
    lower_limit(); /* from the beginning */
    struct crier_sink *a = start_sink("a", (struct how){.durable = true, .queue = 10});
    uint64_t before = fake_named("a")->count;
    push(a, 5);
    assert_int_equal(stats_of(a).queued, 5);
    run_for(0);
    assert_int_equal(fake_named("a")->count, before + 5);
    lift_limit();
    run_for(2 * CRIER_S);
    push(a, 5);
    assert_int_equal(stats_of(a).spilled, 5);
    stop_sink(a);
}

/* What an end finds in memory alone gets a last chance, and is counted when there is none. */
static void end_on_a_full_disk(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    struct crier_sink *a = start_sink("a", (struct how){.queue = 300});
    set_verdict("a", CRIER_RETRY_LATER);
    push(a, 200);
    run_for(0);
    lower_limit();
    crier_sink_stop(a, 0);
    lift_limit();
    assert_int_equal(stats_of(a).dropped, 200);
    check_books(a);
    run_for(0);
    assert_non_null(strstr(text_of("dropped"), "200 records dropped"));
    stop_sink(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_disk, setup, teardown_mount),
        TEST(file_size_limit),
        TEST(end_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
