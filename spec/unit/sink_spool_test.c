/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "sink/spool.h"

static char folder[64];
static const struct crier_spool_config small = {.segment_bytes = 4096, .max_bytes = 1 << 20};

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/crier-spool-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct crier_spool *open_it(const struct crier_spool_config *config)
{
    struct crier_spool *spool = NULL;
    struct crier_err err = {0};
    int rc = crier_spool_open(folder, config, &spool, &err);
    if (rc != 0)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return spool;
}

/* Entries whose length and bytes follow from their number. */
static size_t fill(uint64_t i, char *to)
{
    size_t len = 1 + (size_t)(i * 37 % 301);
    for (size_t k = 0; k < len; k++)
        to[k] = (char)(i * 7 + k);
    return len;
}

static int add(struct crier_spool *spool, uint64_t i, struct crier_err *err)
{
    char bytes[512];
    size_t len = fill(i, bytes);
    return crier_spool_append(spool, i, bytes, len, err);
}

static void add_range(struct crier_spool *spool, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(add(spool, i, NULL), 0);
}

static void check_entry(const struct crier_spool_entry *entry, uint64_t i)
{
    char bytes[512];
    size_t len = fill(i, bytes);
    assert_int_equal(entry->seq, i);
    assert_int_equal(entry->len, len);
    assert_memory_equal(entry->data, bytes, len);
}

static void read_range(struct crier_spool *spool, uint64_t from, uint64_t to)
{
    struct crier_spool_entry entry;
    for (uint64_t i = from; i < to; i++) {
        assert_true(crier_spool_read(spool, &entry));
        check_entry(&entry, i);
    }
}

static void assert_end(struct crier_spool *spool)
{
    struct crier_spool_entry entry;
    assert_false(crier_spool_read(spool, &entry));
}

static char *segment(unsigned number)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%08u.spool", folder, number);
    return path;
}

static void poke(const char *path, off_t at, unsigned char flip)
{
    unsigned char c;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= flip;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static size_t files(void)
{
    char command[128];
    size_t n = 0;
    snprintf(command, sizeof command, "ls %s | grep -c 'spool$'", folder);
    FILE *p = popen(command, "r");
    assert_int_equal(fscanf(p, "%zu", &n), 1);
    pclose(p);
    return n;
}

static void in_order(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small);
    assert_end(spool);
    add_range(spool, 1, 500);
    assert_int_equal(crier_spool_count(spool), 499);
    read_range(spool, 1, 500);
    assert_end(spool);
    crier_spool_ack(spool, 499);
    assert_int_equal(crier_spool_count(spool), 0);
    add_range(spool, 500, 510);
    read_range(spool, 500, 510);
    crier_spool_rewind(spool);
    read_range(spool, 500, 510);
    assert_int_equal(crier_spool_append(spool, 1, "x", 0, NULL), CRIER_EINVAL);
    crier_spool_close(spool);
}

static void finished_segments_go(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small);
    add_range(spool, 0, 1000);
    size_t before = files();
    assert_true(before > 30);
    read_range(spool, 0, 900);
    crier_spool_ack(spool, 900);
    assert_true(files() < before / 5);
    crier_spool_close(spool);
    spool = open_it(&small);
    read_range(spool, 900, 1000);
    crier_spool_ack(spool, 100);
    crier_spool_close(spool);
    assert_int_equal(files(), 0);
    spool = open_it(&small);
    assert_end(spool);
    crier_spool_close(spool);
}

/* What was acknowledged does not come again, what was only read does. */
static void cursor_stays(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small);
    add_range(spool, 0, 100);
    read_range(spool, 0, 60);
    crier_spool_ack(spool, 37);
    crier_spool_close(spool);
    for (uint64_t round = 0; round < 20; round++) {
        spool = open_it(&small);
        assert_int_equal(crier_spool_count(spool), 63);
        read_range(spool, 37 + round, 100 + round);
        crier_spool_ack(spool, 1);
        add_range(spool, 100 + round, 101 + round);
        crier_spool_close(spool);
    }
}

static void large_entries(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small);
    struct crier_spool_entry entry;
    char *big = malloc(100000);
    memset(big, 'b', 100000);
    add_range(spool, 0, 3);
    assert_int_equal(crier_spool_append(spool, 3, big, 100000, NULL), 0);
    add_range(spool, 4, 6);
    read_range(spool, 0, 3);
    assert_true(crier_spool_read(spool, &entry));
    assert_int_equal(entry.len, 100000);
    assert_memory_equal(entry.data, big, 100000);
    read_range(spool, 4, 6);
    free(big);
    crier_spool_close(spool);
}

static void bound(void **state)
{
    (void)state;
    struct crier_spool_config config = {.segment_bytes = 4096, .max_bytes = 5 * 4096};
    struct crier_spool *spool = open_it(&config);
    struct crier_spool_stats stats;
    struct crier_err err = {0};
    uint64_t i = 0;
    while (add(spool, i, &err) == 0)
        i++;
    assert_int_equal(err.code, CRIER_ELIMIT);
    assert_non_null(strstr(err.text, "bound"));
    crier_spool_stats(spool, &stats);
    assert_int_equal(stats.bytes, 5 * 4096);
    /* Reading is within the first segment: the second goes, the first stays as it is. */
    read_range(spool, 0, 3);
    uint64_t first, lost = crier_spool_drop_oldest(spool, 0, &first);
    assert_int_equal(first, 23); /* the segments are of one size, and so is nearly all in them */
    assert_true(lost > 0);
    assert_int_equal(crier_spool_count(spool), i - lost);
    assert_int_equal(add(spool, i, NULL), 0);
    crier_spool_rewind(spool);
    struct crier_spool_entry entry;
    uint64_t n = 0, last = 0, gap = 0;
    while (crier_spool_read(spool, &entry)) {
        if (n > 0 && entry.seq != last + 1)
            gap += entry.seq - last - 1;
        last = entry.seq;
        check_entry(&entry, last);
        n++;
    }
    assert_int_equal(gap, lost);
    assert_int_equal(n, i + 1 - lost);
    crier_spool_close(spool);
    spool = open_it(&config);
    assert_int_equal(crier_spool_count(spool), i + 1 - lost);
    crier_spool_close(spool);
}

/* A stopping sink's queue goes in front of what is there, also in the middle of a segment. */
static void in_front(void **state)
{
    (void)state;
    struct crier_spool_entry entries[40];
    char bytes[40][512];
    for (int reopen = 0; reopen < 2; reopen++) {
        struct crier_spool *spool = open_it(&small);
        add_range(spool, 0, 200);
        read_range(spool, 0, 105);
        crier_spool_ack(spool, 105);
        for (uint64_t i = 0; i < 40; i++)
            entries[i] = (struct crier_spool_entry){1000 + i, bytes[i], fill(1000 + i, bytes[i])};
        assert_int_equal(crier_spool_prepend(spool, entries + 20, 20, NULL), 0);
        assert_int_equal(crier_spool_prepend(spool, entries, 20, NULL), 0);
        assert_int_equal(crier_spool_count(spool), 135);
        if (reopen) {
            crier_spool_close(spool);
            spool = open_it(&small);
        }
        read_range(spool, 1000, 1025);
        crier_spool_ack(spool, 25);
        if (reopen) {
            crier_spool_close(spool);
            spool = open_it(&small);
        }
        read_range(spool, 1025, 1040);
        read_range(spool, 105, 200);
        assert_end(spool);
        crier_spool_ack(spool, 110);
        assert_int_equal(crier_spool_count(spool), 0);
        assert_int_equal(crier_spool_prepend(spool, entries, 2, NULL), 0);
        read_range(spool, 1000, 1002);
        crier_spool_ack(spool, 2);
        crier_spool_close(spool);
    }
}

static void one_at_a_time(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small), *other;
    struct crier_err err = {0};
    assert_int_equal(crier_spool_open(folder, &small, &other, &err), CRIER_EBUSY);
    add_range(spool, 0, 5);
    crier_spool_close(spool);
    spool = open_it(&small);
    read_range(spool, 0, 5);
    crier_spool_close(spool);
}

static void newer_version(void **state)
{
    (void)state;
    struct crier_spool *spool = open_it(&small);
    struct crier_err err = {0};
    char cursor[96];
    add_range(spool, 0, 50);
    crier_spool_close(spool);
    size_t before = files();
    poke(segment(10000001), 7, 3); /* version 1 -> 2 */
    assert_int_equal(crier_spool_open(folder, &small, &spool, &err), CRIER_EVERSION);
    assert_non_null(strstr(err.text, "version 2"));
    assert_int_equal(files(), before);
    poke(segment(10000001), 7, 3);
    snprintf(cursor, sizeof cursor, "%s/cursor", folder);
    poke(cursor, 7, 3);
    assert_int_equal(crier_spool_open(folder, &small, &spool, &err), CRIER_EVERSION);
    poke(cursor, 7, 3);
    spool = open_it(&small);
    read_range(spool, 0, 50);
    crier_spool_close(spool);
}

static void damaged_cursor_replays(void **state)
{
    (void)state;
    char cursor[96];
    struct crier_spool_stats stats;
    snprintf(cursor, sizeof cursor, "%s/cursor", folder);
    for (int bit = 0; bit < 64; bit++) {
        struct crier_spool *spool = open_it(&small);
        add_range(spool, 0, 4);
        read_range(spool, 0, 2);
        crier_spool_ack(spool, 2);
        crier_spool_close(spool);
        poke(cursor, 8 + bit / 8, (unsigned char)(1 << bit % 8));
        spool = open_it(&small);
        crier_spool_stats(spool, &stats);
        assert_non_null(strstr(stats.fault, "cursor"));
        read_range(spool, 0, 4);
        crier_spool_ack(spool, 4);
        crier_spool_close(spool);
    }
}

/* One flipped bit anywhere in a segment: the entries before it are there, those of other segments
 * too, nothing wrong is ever given out, and it is told. */
static void flipped_bits(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        struct crier_spool *spool = open_it(&small);
        struct crier_spool_entry entry;
        struct crier_spool_stats stats;
        uint64_t next = 0, given = 0;
        add_range(spool, 0, 60);
        crier_spool_close(spool);
        long at = rand() % 4096;
        /* The version's own bits are another test's. */
        if (at == 7)
            at = 6;
        char path[96];
        struct stat st;
        unsigned number = 10000000;
        while (stat(segment(number), &st) != 0)
            number++;
        strcpy(path, segment(number + 1));
        poke(path, at, (unsigned char)(1 << rand() % 8));
        spool = open_it(&small);
        crier_spool_stats(spool, &stats);
        while (crier_spool_read(spool, &entry)) {
            assert_true(entry.seq >= next);
            check_entry(&entry, entry.seq);
            next = entry.seq + 1;
            given++;
        }
        assert_int_equal(next, 60);
        assert_int_equal(given, crier_spool_count(spool));
        if (given < 60) {
            assert_int_equal(stats.damaged, 1);
            assert_true(stats.skipped_bytes > 0);
            assert_non_null(strstr(stats.fault, ".bad"));
        }
        crier_spool_ack(spool, given);
        crier_spool_close(spool);
        strcat(path, ".bad");
        assert_int_equal(stat(path, &st) == 0, given < 60 || stats.damaged);
        unlink(path);
        assert_int_equal(files(), 0);
    }
}

static void truncated(void **state)
{
    (void)state;
    for (off_t size = 0; size < 4096; size += 61) {
        struct crier_spool *spool = open_it(&small);
        struct crier_spool_entry entry;
        struct stat st;
        unsigned number = 10000000;
        uint64_t given = 0, last = 0;
        add_range(spool, 0, 60);
        crier_spool_close(spool);
        while (stat(segment(number), &st) != 0)
            number++;
        assert_int_equal(truncate(segment(number), size), 0);
        spool = open_it(&small);
        while (crier_spool_read(spool, &entry)) {
            check_entry(&entry, entry.seq);
            last = entry.seq;
            given++;
        }
        assert_int_equal(last, 59);
        struct crier_spool_stats stats;
        crier_spool_stats(spool, &stats);
        assert_true(stats.damaged || stats.lost == 60 - given);
        crier_spool_ack(spool, given);
        crier_spool_close(spool);
    }
}

/* Bytes that never reached the disk before the power went: zeros in the middle are damage, also
 * where they begin with an entry and look like the end. */
static void lost_page(void **state)
{
    (void)state;
    struct crier_spool_config config = {.segment_bytes = 5 * 4096};
    struct crier_spool *spool = open_it(&config);
    struct crier_spool_stats stats;
    static const char zeros[4096];
    char bytes[512];
    size_t at = 16, whole = 0;
    while (at < 4096)
        at += (16 + fill(whole++, bytes) + 7) / 8 * 8;
    add_range(spool, 0, 90);
    crier_spool_close(spool);
    int fd = open(segment(10000000), O_WRONLY);
    assert_int_equal(pwrite(fd, zeros, 4096, (off_t)at), 4096);
    close(fd);
    spool = open_it(&config);
    crier_spool_stats(spool, &stats);
    assert_int_equal(stats.damaged, 1);
    assert_int_equal(stats.entries, whole);
    crier_spool_close(spool);
}

/* A file that is gone, wherever it stood, is told once, with how many entries were in it. */
static void lost_segment(void **state)
{
    (void)state;
    struct crier_spool_stats stats;
    struct stat st;
    for (unsigned gone = 0; gone < 3; gone++) {
        unsigned number = 10000000;
        struct crier_spool *spool = open_it(&small);
        add_range(spool, 0, 60);
        read_range(spool, 0, 10);
        crier_spool_ack(spool, 10); /* still in the first one */
        crier_spool_close(spool);
        while (stat(segment(number), &st) != 0)
            number++;
        assert_int_equal(unlink(segment(number + gone)), 0);
        spool = open_it(&small);
        crier_spool_stats(spool, &stats);
        assert_true(stats.lost > 0);
        assert_int_equal(stats.lost, 50 - stats.entries);
        assert_non_null(strstr(stats.fault, "of the 50 records that it held: a file of it has been"));
        crier_spool_close(spool);
        spool = open_it(&small);
        crier_spool_stats(spool, &stats);
        assert_int_equal(stats.lost, 0);
        assert_string_equal(stats.fault, "");
        crier_spool_ack(spool, 60);
        crier_spool_close(spool);
    }
}

struct shared {
    volatile uint64_t appended, acked;
};

/* The child appends, reads and acknowledges until it is killed. */
static void child(struct shared *shared, uint64_t next)
{
    struct crier_spool *spool;
    struct crier_spool_entry entry;
    if (crier_spool_open(folder, &small, &spool, NULL) != 0)
        _exit(1);
    for (;; next++) {
        if (add(spool, next, NULL) != 0)
            _exit(1);
        shared->appended = next + 1;
        if (crier_spool_count(spool) > 300 && crier_spool_read(spool, &entry)) {
            shared->acked = entry.seq + 1;
            crier_spool_ack(spool, 1);
        }
    }
}

static void killed(void **state)
{
    (void)state;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    srand((unsigned)time(NULL));
    for (int round = 0; round < 50; round++) {
        shared->appended = shared->acked = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            child(shared, 0);
        while (shared->appended == 0)
            usleep(100);
        usleep((useconds_t)(rand() % 4000));
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));

        struct crier_spool *spool = open_it(&small);
        struct crier_spool_entry entry;
        struct crier_spool_stats stats;
        crier_spool_stats(spool, &stats);
        assert_int_equal(stats.damaged, 0);
        assert_true(crier_spool_read(spool, &entry));
        uint64_t next = entry.seq, count = 1;
        /* The acknowledgement that was under way may or may not have happened. */
        assert_true(next == shared->acked || next + 1 == shared->acked);
        check_entry(&entry, next);
        while (crier_spool_read(spool, &entry)) {
            check_entry(&entry, ++next);
            count++;
        }
        assert_true(next + 1 >= shared->appended && next <= shared->appended);
        crier_spool_ack(spool, count);
        crier_spool_close(spool);
        assert_int_equal(files(), 0);
    }
    munmap(shared, sizeof *shared);
}

static void fill_the_disk(int want_sys)
{
    struct crier_spool_config config = {.segment_bytes = 65536};
    struct crier_spool *spool = open_it(&config);
    struct crier_err err = {0};
    uint64_t i = 0;
    while (add(spool, i, &err) == 0)
        i++;
    assert_int_equal(err.code, CRIER_EIO);
    assert_int_equal(err.sys, want_sys);
    assert_true(i > 100);
    read_range(spool, 0, i);
    assert_end(spool);
    crier_spool_ack(spool, i);
    /* There is room again. */
    add_range(spool, i, i + 10);
    read_range(spool, i, i + 10);
    crier_spool_ack(spool, 10);
    crier_spool_close(spool);
}

static void full_disk(void **state)
{
    (void)state;
    if (geteuid() != 0 || mount("tmpfs", folder, "tmpfs", 0, "size=1m") != 0)
        skip();
    fill_the_disk(ENOSPC);
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
}

static void file_size_limit(void **state)
{
    (void)state;
    struct rlimit old, limit;
    struct crier_spool_config config = {.segment_bytes = 65536};
    struct crier_err err = {0};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 16384;
    setrlimit(RLIMIT_FSIZE, &limit);
    struct crier_spool *spool = open_it(&config);
    assert_int_equal(add(spool, 0, &err), CRIER_EIO);
    assert_int_equal(err.sys, EFBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(files(), 0);
    add_range(spool, 0, 10);
    read_range(spool, 0, 10);
    crier_spool_close(spool);
}

/* What the cursor says of the batch in flight and of copies outlives the opening, counts down with
 * acknowledgements and prepends, and says nothing when a bit of it has flipped. */
static void batch_and_copies(void **state)
{
    (void)state;
    struct crier_spool_entry entries[4];
    struct crier_spool *spool = open_it(&small);
    add_range(spool, 0, 100);
    crier_spool_mark_batch(spool, 30);
    crier_spool_mark_copied(spool, 70);
    read_range(spool, 0, 10);
    crier_spool_ack(spool, 10);
    assert_int_equal(crier_spool_batch(spool), 20);
    assert_int_equal(crier_spool_copied(spool), 60);
    crier_spool_close(spool);
    spool = open_it(&small);
    assert_int_equal(crier_spool_batch(spool), 20);
    assert_int_equal(crier_spool_copied(spool), 60);
    assert_int_equal(crier_spool_peek(spool, 60, entries, 4), 4);
    check_entry(&entries[0], 70);
    check_entry(&entries[3], 73);
    assert_int_equal(crier_spool_peek(spool, 88, entries, 4), 2);
    assert_int_equal(crier_spool_peek(spool, 90, entries, 4), 0);
    crier_spool_mark_copied(spool, 90); /* all there is */
    crier_spool_close(spool);
    spool = open_it(&small);
    add_range(spool, 100, 110); /* not these */
    assert_int_equal(crier_spool_copied(spool), 90);
    /* What is put in front is neither. */
    char bytes[512];
    entries[0] = (struct crier_spool_entry){7, bytes, fill(7, bytes)};
    assert_int_equal(crier_spool_prepend(spool, entries, 1, NULL), 0);
    assert_int_equal(crier_spool_batch(spool), 0);
    assert_int_equal(crier_spool_copied(spool), 0);
    crier_spool_mark_batch(spool, 5);
    crier_spool_mark_copied(spool, 40);
    crier_spool_close(spool);

    char path[96];
    snprintf(path, sizeof path, "%s/cursor", folder);
    for (int bit = 0; bit < 128; bit++) {
        poke(path, 16 + bit / 8, (unsigned char)(1 << bit % 8));
        spool = open_it(&small);
        assert_int_equal(crier_spool_count(spool), 101);
        if (bit < 64)
            assert_int_equal(crier_spool_batch(spool), 0);
        else
            assert_int_equal(crier_spool_copied(spool), 0);
        crier_spool_close(spool);
        poke(path, 16 + bit / 8, (unsigned char)(1 << bit % 8));
    }
    spool = open_it(&small);
    assert_int_equal(crier_spool_batch(spool), 5);
    assert_int_equal(crier_spool_copied(spool), 40);
    crier_spool_close(spool);
}

/* Many short runs leave no more on the disk than their entries need. */
static void short_runs_stay_small(void **state)
{
    (void)state;
    struct crier_spool_stats stats;
    struct crier_spool *spool;
    for (uint64_t i = 0; i < 50; i++) {
        spool = open_it(&(struct crier_spool_config){0});
        add_range(spool, i, i + 1);
        crier_spool_close(spool);
    }
    spool = open_it(&(struct crier_spool_config){0});
    crier_spool_stats(spool, &stats);
    assert_int_equal(stats.bytes, 50 * 4096);
    read_range(spool, 0, 50);
    assert_end(spool);
    crier_spool_close(spool);
}

static struct crier_spool *look_at_it(void)
{
    const struct crier_spool_config look = {.look = true};
    return open_it(&look);
}

/* Beside an owner at work, and without a trace. */
static void look_beside_the_owner(void **state)
{
    struct crier_spool *spool = open_it(&small), *other;
    (void)state;
    add_range(spool, 0, 100);
    read_range(spool, 0, 30);
    crier_spool_ack(spool, 30);
    other = look_at_it();
    assert_int_equal(crier_spool_count(other), 70);
    add_range(spool, 100, 110);
    read_range(other, 30, 100);
    crier_spool_ack(other, 70);
    crier_spool_close(other);
    other = look_at_it();
    assert_int_equal(crier_spool_count(other), 80);
    crier_spool_close(other);
    read_range(spool, 30, 110);
    crier_spool_close(spool);
    poke(segment(10000001), 200, 1);
    other = look_at_it();
    crier_spool_close(other);
    assert_int_equal(access(segment(10000001), F_OK), 0);
}

static void look_where_nothing_is(void **state)
{
    const struct crier_spool_config look = {.look = true};
    struct crier_spool *spool = NULL;
    struct crier_err err = {0};
    (void)state;
    assert_int_equal(crier_spool_open(folder, &look, &spool, &err), CRIER_EIO);
    assert_int_equal(rmdir(folder), 0); /* nothing was made in it */
    assert_int_equal(crier_spool_open(folder, &look, &spool, &err), CRIER_EIO);
    assert_int_not_equal(access(folder, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(in_order),
        TEST(finished_segments_go),
        TEST(cursor_stays),
        TEST(large_entries),
        TEST(bound),
        TEST(in_front),
        TEST(one_at_a_time),
        TEST(newer_version),
        TEST(damaged_cursor_replays),
        TEST(flipped_bits),
        TEST(truncated),
        TEST(lost_page),
        TEST(lost_segment),
        TEST(killed),
        TEST(full_disk),
        TEST(file_size_limit),
        TEST(batch_and_copies),
        TEST(short_runs_stay_small),
        TEST(look_beside_the_owner),
        TEST(look_where_nothing_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
