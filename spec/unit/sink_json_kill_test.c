/* SPDX-License-Identifier: MIT
 *
 * The json sink under kill -9 and under readers: a child writes, this process kills it at a random
 * moment a thousand times, looks at the file as it lies, and starts the next child where the last
 * acknowledged batch ended.
 */
#include "sink_dayfile_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "rounds.h"

#define KILLS ROUNDS(1000)
/* Nanoseconds from a writer's start to its end at most; under ThreadSanitizer it needs more of them
 * to get anywhere. */
#ifdef __SANITIZE_THREAD__
#define KILL_WITHIN 30000000
#else
#define KILL_WITHIN 3000000
#endif
#define KILLS_A_FILE 40
#define START (1653323295LL * CRIER_S)

struct shared {
    _Atomic long acked; /* records that the sink said are stored */
    _Atomic long begun; /* records handed over, acknowledged or not */
    _Atomic int ready;
};

static struct shared *shared;
static struct crier_rng rng;

/* The n-th record is the same one whoever makes it: same id, same text. */
static struct crier_record *nth_record(long n, uint64_t guild, bool large)
{
    struct maker m;
    struct crier_rng sizes;
    char text[9000], name[32];
    crier_rng_seed(&sizes, (uint64_t)n);
    size_t len = (size_t)crier_rng_range(&sizes, 0, n % 5 ? 300 : 3000);
    if (large && n % 7 == 0)
        len = (size_t)crier_rng_range(&sizes, 4000, 8900);
    int prefix = snprintf(text, sizeof text, "n%ld;", n);
    memset(text + prefix, 'x', len);
    text[prefix + (int)len] = '\0';
    snprintf(name, sizeof name, "g%d", (int)guild);
    maker_init(&m, (uint64_t)n + 1);
    struct crier_record *r = make_message(&m, START + n * 1000, name, guild, text);
    maker_fini(&m);
    return r;
}

static void write_forever(uint64_t guild, bool large, uint64_t seed)
{
    struct rig rig;
    struct crier_rng sizes;
    crier_rng_seed(&sizes, seed);
    rig_open(&rig, crier_clock_virtual(START), "UTC");
    for (;;) {
        struct crier_record *batch[64];
        long from = shared->acked;
        size_t count = (size_t)crier_rng_range(&sizes, 1, 64), done = 0;
        for (size_t i = 0; i < count; i++)
            batch[i] = nth_record(from + (long)i, guild, large);
        if (shared->begun < from + (long)count)
            shared->begun = from + (long)count;
        shared->ready = 1;
        for (size_t at = 0; at < count; at += done) /* a reader may hold its lock for long */
            crier_sink_json.write(rig.self, batch + at, count - at, &done, NULL);
        shared->acked = from + (long)count;
        for (size_t i = 0; i < count; i++)
            crier_record_unref(batch[i]);
    }
}

static void wait_for(_Atomic int *flag)
{
    while (!*flag)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static pid_t start_writer(uint64_t guild, bool large)
{
    shared->ready = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        write_forever(guild, large, crier_rng_next(&rng));
    return pid;
}

static void kill_writer(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static char *guild_path(uint64_t guild)
{
    return crier_asprintf("%s/History/2022/05/23/g%d.json", folder, (int)guild);
}

/* The newest entry is record count-1, the one below count-2, and so on: each once, in order. */
static void check_texts(const char *text, long count)
{
    const char *at = text;
    for (long n = count - 1; n >= 0; n--) {
        at = strstr(at, "\"text\": \"n");
        assert_non_null(at);
        at += strlen("\"text\": \"n");
        assert_int_equal(strtol(at, NULL, 10), n);
    }
    assert_null(strstr(at, "\"text\": \"n"));
}

/* Look at a file that a killed writer left; returns whether a large entry was torn. */
static bool check_after_kill(uint64_t guild, bool large, struct rig *rig)
{
    size_t len;
    char *path = guild_path(guild);
    char *text = slurp(path, &len);
    struct judged j = judge(text, len);
    bool torn = !j.valid;
    if (torn) {
        assert_true(large);
        struct crier_clock *clock = crier_clock_virtual(START);
        rig_open(rig, clock, "UTC");
        struct crier_record *r = nth_record(0, guild, large); /* stored already: only mends */
        rig_write_one(rig, r);
        rig_close(rig);
        crier_clock_free(clock);
        free(text);
        text = slurp(path, &len);
        j = judge(text, len);
    }
    assert_true(j.valid && j.continuous);
    assert_int_equal(j.newest, j.count - 1);
    assert_in_range(j.count, shared->acked, shared->begun);
    check_texts(text, j.count);
    free(text);
    free(path);
    return torn;
}

static void test_kill_a_thousand_times(void **state)
{
    (void)state;
    struct rig rig;
    long torn = 0, between = 0, records = 0;
    for (int i = 0; i < KILLS; i++) {
        uint64_t guild = 100 + (uint64_t)(i / KILLS_A_FILE);
        bool large = guild % 2;
        if (i % KILLS_A_FILE == 0) {
            records += shared->acked;
            shared->acked = shared->begun = 0;
        }
        pid_t pid = start_writer(guild, large);
        wait_for(&shared->ready);
        nanosleep(&(struct timespec){.tv_nsec = (long)crier_rng_range(&rng, 0, KILL_WITHIN)}, NULL);
        kill_writer(pid);
        char *path = guild_path(guild);
        if (access(path, F_OK) == 0) {
            torn += check_after_kill(guild, large, &rig);
            between += shared->acked != shared->begun;
        } else {
            assert_int_equal(shared->acked, 0);
        }
        free(path);
    }
    char *command =
        crier_asprintf("ls %s/History/2022/05/23/*.old* 2>&1 | grep -q 'No such'", folder);
    assert_int_equal(system(command), 0);
    free(command);
    assert_true(records > KILLS / 10); /* a busy machine gets little done in three milliseconds */
    print_message("%ld records, %ld kills inside a batch, %ld torn and mended\n", records, between,
                  torn);
}

static char *read_open(int fd, size_t *len)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *text = crier_malloc((size_t)st.st_size + 1);
    ssize_t n = pread(fd, text, (size_t)st.st_size, 0);
    *len = n > 0 ? (size_t)n : 0;
    return text;
}

static void test_readers_under_a_shared_lock(void **state)
{
    (void)state;
    shared->acked = shared->begun = 0;
    char *path = guild_path(1);
    pid_t pid = start_writer(1, true);
    long seen = 0, reads = 0, again = 0;
    while (access(path, F_OK) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    for (; reads < 400 && seen < 20000; reads++) {
        size_t len;
        int fd = open(path, O_RDONLY);
        bool locked = reads % 2;
        if (locked)
            assert_int_equal(flock(fd, LOCK_SH), 0);
        char *text = read_open(fd, &len);
        if (locked)
            flock(fd, LOCK_UN);
        struct judged j = judge(text, len);
        for (int i = 0; !j.valid && !locked && i < 100; i++) {
            free(text);
            text = read_open(fd, &len);
            j = judge(text, len);
            again++;
        }
        assert_true(j.valid && j.continuous);
        assert_int_equal(j.newest, j.count - 1);
        assert_true(!locked || j.count >= seen);
        seen = j.count;
        free(text);
        close(fd);
    }
    kill_writer(pid);
    print_message("%ld reads beside a writer of %ld records, %ld read again\n", reads, seen, again);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    make_test_folder();
    crier_rng_seed_system(&rng);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(shared, sizeof *shared);
    remove_test_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill_a_thousand_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readers_under_a_shared_lock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
