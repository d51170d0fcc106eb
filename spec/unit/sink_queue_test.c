/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "record/build.h"
#include "sink/queue.h"
#include "sink/spool.h"

static char folder[64], spool_folder[80];
static struct crier_clock *vclock;
static struct crier_source source;
static struct crier_builder builder;
static struct crier_queue *queue;

static int setup(void **state)
{
    uint64_t seed = 1;
    (void)state;
    strcpy(folder, "/tmp/crier-queue-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(spool_folder, sizeof spool_folder, "%s/s", folder);
    vclock = crier_clock_virtual(1700000000 * CRIER_S);
    crier_source_init(&source, "n", false, &seed);
    crier_builder_init(&builder, &source);
    queue = NULL;
    return 0;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    crier_queue_free(queue);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    crier_clock_free(vclock);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void open_queue(struct crier_queue_config config)
{
    config.size = config.size ? config.size : 10;
    config.batch = config.batch ? config.batch : 5;
    config.clock = vclock;
    assert_int_equal(crier_queue_open(&config, &queue, NULL), 0);
}

static void push(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[1000];
        memset(text, 'x', sizeof text);
        crier_build_begin(&builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(vclock));
        crier_build_text(&builder, text, sizeof text);
        struct crier_record *record = crier_build_end(&builder);
        crier_queue_push(queue, record);
        crier_record_unref(record);
    }
}

static struct crier_queue_stats books(void)
{
    struct crier_queue_stats s;
    crier_queue_stats(queue, &s);
    assert_int_equal(s.accepted, s.written + s.queued + s.spilled + s.rejected + s.dropped);
    return s;
}

/* Writes everything; returns how many came, which must be in order. */
static size_t drain(uint64_t *last)
{
    struct crier_record *const *records;
    int64_t due;
    size_t n, total = 0;
    while ((n = crier_queue_take(queue, crier_clock_mono(vclock), false, &records, &due)) > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_true(crier_record_seq(records[i]) > *last);
            *last = crier_record_seq(records[i]);
        }
        total += n;
        crier_queue_settle(queue, n, CRIER_SETTLE_WRITTEN, NULL);
        books();
    }
    return total;
}

/* The bound of the disk: the oldest segments go, the newest records stay. */
static void spool_bound(void **state)
{
    (void)state;
    uint64_t dropped, last = 0;
    char text[256];
    open_queue((struct crier_queue_config){.folder = spool_folder, .spool_bytes = 12u << 20});
    push(10);
    push(20000);
    struct crier_queue_stats s = books();
    assert_true(s.dropped > 5000 && s.spilled > 5000);
    assert_int_equal(s.queued, 10);
    assert_true(crier_queue_trouble(queue, &dropped, text));
    assert_int_equal(dropped, s.dropped);
    assert_non_null(strstr(text, "bound of 12582912 bytes"));
    assert_false(crier_queue_trouble(queue, &dropped, text));
    assert_int_equal(drain(&last), 20010 - s.dropped);
    assert_int_equal(last, 20010);
}

/* What was pushed before a mark is behind it, whatever has been dropped out of turn. */
static void marks_are_not_early(void **state)
{
    (void)state;
    struct crier_record *const *records;
    int64_t due;
    uint64_t last = 0;
    open_queue((struct crier_queue_config){.overflow = CRIER_DROP_OLD});
    push(5);
    assert_int_equal(crier_queue_take(queue, 0, false, &records, &due), 5);
    uint64_t mark = crier_queue_mark(queue);
    push(40);
    /* Thirty newer ones are gone, the five are still in flight. */
    assert_int_equal(books().dropped, 30);
    assert_false(crier_queue_passed(queue, mark));
    crier_queue_settle(queue, 4, CRIER_SETTLE_WRITTEN, NULL);
    assert_false(crier_queue_passed(queue, mark));
    crier_queue_settle(queue, 1, CRIER_SETTLE_WRITTEN, NULL);
    assert_true(crier_queue_passed(queue, mark));
    mark = crier_queue_mark(queue);
    drain(&last);
    assert_true(crier_queue_passed(queue, mark));
}

/* A disk that takes nothing: counted, told, left alone for a second, and used again. */
static void disk_refuses(void **state)
{
    (void)state;
    struct rlimit old, limit;
    uint64_t dropped, last = 0;
    char text[256];
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 16384;
    setrlimit(RLIMIT_FSIZE, &limit);
    open_queue((struct crier_queue_config){.folder = spool_folder});
    push(30);
    setrlimit(RLIMIT_FSIZE, &old);
    push(5);
    assert_int_equal(books().dropped, 25);
    assert_true(crier_queue_trouble(queue, &dropped, text));
    assert_int_equal(dropped, 25);
    assert_non_null(strstr(text, "File too large"));
    crier_clock_advance_to(vclock, crier_clock_mono(vclock) + CRIER_S);
    push(5);
    assert_int_equal(books().dropped, 25);
    assert_int_equal(drain(&last), 15);
}

static void without_a_folder(void **state)
{
    (void)state;
    uint64_t last = 0;
    open_queue((struct crier_queue_config){0});
    push(30);
    assert_int_equal(books().dropped, 20);
    assert_int_equal(drain(&last), 10);
    assert_int_equal(last, 30);
}

/* Bytes that are whole but no record: dropped and told, the others come. */
static void entries_that_are_no_records(void **state)
{
    (void)state;
    struct crier_spool_config config = {0};
    struct crier_spool *spool;
    struct crier_record *record;
    uint64_t dropped, last = 0;
    char text[256];
    assert_int_equal(crier_spool_open(spool_folder, &config, &spool, NULL), 0);
    for (int i = 0; i < 20; i++) {
        crier_build_begin(&builder, CRIER_KIND_LOG, CRIER_INFO, 0);
        record = crier_build_end(&builder);
        struct crier_str bytes = crier_record_bytes(record);
        if (i % 7 == 3)
            bytes = (struct crier_str){"nonsense", 8};
        assert_int_equal(crier_spool_append(spool, 1, bytes.data, bytes.len, NULL), 0);
        crier_record_unref(record);
    }
    crier_spool_close(spool);
    open_queue((struct crier_queue_config){.folder = spool_folder});
    assert_int_equal(books().accepted, 20);
    assert_int_equal(drain(&last), 17);
    assert_int_equal(books().dropped, 3);
    assert_true(crier_queue_trouble(queue, &dropped, text));
    assert_int_equal(dropped, 3);
}

static void damage_is_told(void **state)
{
    (void)state;
    uint64_t dropped = 1, last = 0;
    char text[256], path[128];
    open_queue((struct crier_queue_config){.folder = spool_folder});
    push(30);
    crier_queue_save(queue);
    crier_queue_free(queue);
    snprintf(path, sizeof path, "%s/10000000.spool", spool_folder);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 5000, SEEK_SET);
    fputc('y', f);
    fclose(f);
    open_queue((struct crier_queue_config){.folder = spool_folder});
    assert_true(crier_queue_trouble(queue, &dropped, text));
    assert_int_equal(dropped, 0);
    assert_non_null(strstr(text, "10000000.spool fails its check"));
    size_t n = drain(&last);
    assert_true(n > 10 && n < 30);
}

static void what_comes_after_the_end_is_kept(void **state)
{
    (void)state;
    uint64_t last = 0;
    open_queue((struct crier_queue_config){.folder = spool_folder});
    push(3);
    crier_queue_save(queue);
    push(2);
    assert_int_equal(books().spilled, 5);
    assert_int_equal(books().dropped, 0);
    crier_queue_free(queue);
    open_queue((struct crier_queue_config){.folder = spool_folder});
    assert_int_equal(drain(&last), 5);
    crier_queue_free(queue);

    open_queue((struct crier_queue_config){.folder = spool_folder, .overflow = CRIER_DROP_NEW});
    crier_queue_save(queue);
    push(2);
    assert_int_equal(books().dropped, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(spool_bound),
        TEST(marks_are_not_early),
        TEST(disk_refuses),
        TEST(without_a_folder),
        TEST(entries_that_are_no_records),
        TEST(damage_is_told),
        TEST(what_comes_after_the_end_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
