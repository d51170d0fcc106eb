/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "state/state.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-state-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (umount(folder) != 0) /* only there when a test with a tmpfs failed */
        errno = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char *path = crier_path_join(folder, e->d_name);
        unlink(path);
        free(path);
    }
    closedir(dir);
    return rmdir(folder);
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t len)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static struct crier_state *open_state(void)
{
    struct crier_state *s = NULL;
    struct crier_err err = {0};
    if (crier_state_open(folder, false, &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

/* --- a store with its loop ----------------------------------------------------------------- */

struct host {
    struct crier_clock *clock;
    struct crier_loop *loop;
    struct crier_state *state;
    int wanted, calls, last_rc, failed;
    char order[64];
};

static void host_start(struct host *h, bool live)
{
    *h = (struct host){.wanted = -1};
    h->clock = live ? crier_clock_real() : crier_clock_virtual(0);
    h->loop = crier_loop_new(h->clock);
    h->state = open_state();
    crier_state_start(h->state, h->loop);
}

static void host_end(struct host *h)
{
    crier_state_close(h->state);
    crier_loop_free(h->loop);
    crier_clock_free(h->clock);
}

static void on_done(void *arg, int rc)
{
    struct host *h = arg;
    h->calls++;
    h->last_rc = rc;
    h->failed += rc != 0;
    if (h->calls == h->wanted)
        crier_loop_stop(h->loop);
}

/* Until n callbacks in all have come. */
static void wait_calls(struct host *h, int n)
{
    h->wanted = n;
    if (h->calls < n)
        crier_loop_run(h->loop, crier_loop_now(h->loop) + 120 * CRIER_S);
    assert_int_equal(h->calls, n);
}

static void put(struct host *h, const char *key, const char *json)
{
    crier_state_put(h->state, "s", key, json, on_done, h);
}

/* --- tests --------------------------------------------------------------------------------- */

static void collect(void *arg, const char *key, const char *json)
{
    struct crier_buf *b = arg;
    crier_buf_printf(b, "%s=%s;", key, json);
}

static void assert_section(struct crier_state *s, const char *section, const char *want)
{
    struct crier_buf b = {0};
    crier_buf_puts(&b, "");
    crier_state_each(s, section, collect, &b);
    assert_string_equal(b.data, want);
    crier_buf_fini(&b);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        struct host h;
        host_start(&h, live);
        put(&h, "b", "{\"n\":1}");
        put(&h, "a", "\"\xc3\xa9\"");
        put(&h, "c", "3");
        crier_state_put(h.state, "other", "a", "4", on_done, &h);
        assert_string_equal(crier_state_get(h.state, "s", "b"), "{\"n\":1}");
        wait_calls(&h, 4);
        assert_int_equal(h.failed, 0);
        put(&h, "c", NULL);
        put(&h, "absent", NULL);
        assert_null(crier_state_get(h.state, "s", "c"));
        wait_calls(&h, 6);
        host_end(&h);

        struct crier_state *s = open_state();
        assert_section(s, "s", "a=\"\xc3\xa9\";b={\"n\":1};");
        assert_section(s, "other", "a=4;");
        assert_section(s, "none", "");
        assert_null(crier_state_get(s, "s", "c"));
        assert_null(crier_state_get(s, "none", "c"));
        crier_state_close(s);
        assert_int_equal(unlink(in_folder("state.db")), 0);
    }
}

static void test_files_are_private(void **state)
{
    (void)state;
    char sub[128];
    int fd = -1;
    struct stat st;
    snprintf(sub, sizeof sub, "%s/x", folder);
    assert_int_equal(crier_state_lock(sub, &fd, NULL), 0);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    crier_state_unlock(fd);
    unlink(in_folder("x/lock"));
    rmdir(sub);

    struct host h;
    host_start(&h, true);
    put(&h, "a", "1");
    wait_calls(&h, 1);
    assert_int_equal(stat(in_folder("state.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(in_folder("state.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    host_end(&h);
    assert_int_not_equal(stat(in_folder("state.db-wal"), &st), 0);
}

/* Puts before the start, and what is pending at the close, are written. */
static void test_gathers_and_flushes(void **state)
{
    (void)state;
    struct crier_state *s = open_state();
    crier_state_put(s, "s", "early", "1", NULL, NULL);
    struct crier_state_stats st;
    crier_state_stats(s, &st);
    assert_int_equal(st.pending, 1);
    crier_state_close(s);
    s = open_state();
    assert_section(s, "s", "early=1;");
    crier_state_close(s);

    struct host h;
    host_start(&h, false);
    put(&h, "late", "2");
    host_end(&h); /* the loop never ran */
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.last_rc, 0);
    s = open_state();
    assert_section(s, "s", "early=1;late=2;");
    crier_state_close(s);
}

static void test_merges(void **state)
{
    (void)state;
    struct host h;
    struct crier_state_stats st;
    char n[16];
    host_start(&h, false);
    for (int i = 0; i < 1000; i++) {
        snprintf(n, sizeof n, "%d", i);
        put(&h, "k", n);
    }
    crier_state_stats(h.state, &st);
    assert_int_equal(st.puts, 1000);
    assert_int_equal(st.pending, 1);
    wait_calls(&h, 1000);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.transactions, 1);
    assert_int_equal(st.pending, 0);

    put(&h, "k", "999"); /* the file says so already */
    put(&h, "j", NULL);
    wait_calls(&h, 1002);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.transactions, 1);

    put(&h, "k", "1"); /* there and back before a write: the last one counts */
    put(&h, "k", "999");
    put(&h, "j", "1");
    put(&h, "j", NULL);
    wait_calls(&h, 1006);
    host_end(&h);
    struct crier_state *s = open_state();
    assert_section(s, "s", "k=999;");
    crier_state_close(s);
}

struct seq {
    struct host *h;
    int n;
};

static void on_seq(void *arg, int rc)
{
    struct seq *q = arg;
    assert_int_equal(rc, 0);
    assert_int_equal(q->n, q->h->calls);
    on_done(q->h, rc);
}

/* done comes in the order of the puts, on the loop, in both kinds of time. */
static void test_done_order(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        struct host h;
        struct seq seqs[50];
        host_start(&h, live);
        for (int i = 0; i < 50; i++) {
            char key[16], val[16];
            seqs[i] = (struct seq){&h, i};
            snprintf(key, sizeof key, "k%d", i * 7 % 13);
            snprintf(val, sizeof val, "%d%d", live, i);
            crier_state_put(h.state, "s", key, val, on_seq, &seqs[i]);
            assert_int_equal(h.calls, 0);
        }
        wait_calls(&h, 50);
        host_end(&h);
    }
}

static void put_in_each(void *arg, const char *key, const char *json)
{
    struct host *h = arg;
    assert_string_equal(json, "1");
    put(h, key, NULL);
    put(h, strcmp(key, "a") == 0 ? "b" : "z", "2");
}

static void test_put_within_each(void **state)
{
    (void)state;
    struct host h;
    host_start(&h, false);
    put(&h, "a", "1");
    put(&h, "b", "1");
    crier_state_each(h.state, "s", put_in_each, &h);
    assert_section(h.state, "s", "z=2;");
    wait_calls(&h, 6);
    host_end(&h);
    struct crier_state *s = open_state();
    assert_section(s, "s", "z=2;");
    crier_state_close(s);
}

static void test_odd_keys(void **state)
{
    (void)state;
    struct host h;
    struct crier_buf big = {0};
    host_start(&h, true);
    crier_buf_putc(&big, '"');
    for (int i = 0; i < 3000000; i++)
        crier_buf_putc(&big, 'x');
    crier_buf_putc(&big, '"');
    put(&h, "", "0");
    put(&h, "a'b\"c\n%;\xf0\x9f\x98\x80", big.data);
    wait_calls(&h, 2);
    host_end(&h);
    struct crier_state *s = open_state();
    assert_string_equal(crier_state_get(s, "s", ""), "0");
    assert_string_equal(crier_state_get(s, "s", "a'b\"c\n%;\xf0\x9f\x98\x80"), big.data);
    crier_state_close(s);
    crier_buf_fini(&big);
}

/* Two equal runs in virtual time leave equal stores, and time does not pass by itself. */
static void test_virtual(void **state)
{
    (void)state;
    struct host h;
    host_start(&h, false);
    put(&h, "a", "1");
    crier_loop_run(h.loop, CRIER_NEVER);
    assert_int_equal(h.calls, 1);
    assert_int_equal(crier_loop_now(h.loop), 0);
    host_end(&h);
}

/* --- kill -9 ------------------------------------------------------------------------------- */

static struct host child_host;
static int child_pipe;

static void on_child_done(void *arg, int rc)
{
    (void)rc;
    int n = (int)(intptr_t)arg;
    if (write(child_pipe, &n, sizeof n) != sizeof n)
        _exit(1);
    char key[16], val[64];
    snprintf(key, sizeof key, "k%d", (n + 1) % 50);
    snprintf(val, sizeof val, "%d", n + 1);
    crier_state_put(child_host.state, "s", key, val, on_child_done, (void *)(intptr_t)(n + 1));
}

static void child(int fd)
{
    child_pipe = fd;
    host_start(&child_host, true);
    crier_state_put(child_host.state, "s", "k0", "0", on_child_done, 0);
    crier_loop_run(child_host.loop, CRIER_NEVER);
    _exit(2);
}

static void test_kill(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        int fds[2], n, last = -1, ended;
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0)
            child(fds[1]);
        close(fds[1]);
        int until = 1 + round * 13;
        while (last < until && read(fds[0], &n, sizeof n) == sizeof n)
            last = n;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &ended, 0), pid);
        assert_true(WIFSIGNALED(ended));
        while (read(fds[0], &n, sizeof n) == sizeof n)
            last = n;
        close(fds[0]);
        assert_true(last >= until);

        struct crier_state *s = open_state();
        for (int i = 0; i < 50 && i <= last; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            const char *json = crier_state_get(s, "s", key);
            int want = last - ((last - i) % 50);
            assert_non_null(json);
            assert_true(atoi(json) == want || atoi(json) == want + 50);
        }
        /* For the next round: as if it were the first. */
        for (int i = 0; i < 50; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            crier_state_put(s, "s", key, NULL, NULL, NULL);
        }
        crier_state_close(s);
    }
}

/* --- bad files ----------------------------------------------------------------------------- */

static void assert_refused(int code, const char *what)
{
    struct crier_buf before = {0}, after = {0};
    struct crier_err err = {0};
    struct crier_state *s = NULL;
    assert_int_equal(crier_file_read(in_folder("state.db"), 1 << 30, &before, NULL), 0);
    for (int read_only = 0; read_only < 2; read_only++) {
        assert_int_equal(crier_state_open(folder, read_only, &s, &err), code);
        assert_null(s);
        assert_non_null(strstr(err.text, what));
        assert_non_null(strstr(err.text, "away to start afresh"));
        assert_non_null(strstr(err.text, in_folder("state.db")));
    }
    assert_int_equal(crier_file_read(in_folder("state.db"), 1 << 30, &after, NULL), 0);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    crier_buf_fini(&before);
    crier_buf_fini(&after);
}

static void fill(int n)
{
    struct crier_state *s = open_state();
    for (int i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        crier_state_put(s, "s", key, "\"0123456789012345678901234567890123456789\"", NULL, NULL);
    }
    crier_state_close(s);
}

static void sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(in_folder("state.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_garbage(void **state)
{
    (void)state;
    char junk[5000];
    memset(junk, 'j', sizeof junk);
    write_file("state.db", junk, sizeof junk);
    assert_refused(CRIER_ECORRUPT, "file is not a database");
    write_file("state.db", "{}", 2);
    assert_refused(CRIER_ECORRUPT, "file is not a database");
}

static void test_truncated(void **state)
{
    (void)state;
    struct stat st;
    fill(2000);
    assert_int_equal(stat(in_folder("state.db"), &st), 0);
    assert_int_equal(truncate(in_folder("state.db"), st.st_size / 2), 0);
    assert_refused(CRIER_ECORRUPT, "malformed");
    assert_int_equal(truncate(in_folder("state.db"), 1000), 0);
    assert_refused(CRIER_ECORRUPT, "");
    assert_int_equal(truncate(in_folder("state.db"), 0), 0);
    crier_state_close(open_state()); /* nothing in it: as good as a new one */
}

static void test_damaged_page(void **state)
{
    (void)state;
    fill(2000);
    int fd = open(in_folder("state.db"), O_WRONLY);
    char zero[4096];
    memset(zero, 0xa5, sizeof zero);
    assert_int_equal(pwrite(fd, zero, sizeof zero, 4096L * 5), (ssize_t)sizeof zero);
    close(fd);
    assert_refused(CRIER_ECORRUPT, "malformed");
}

/* A page that the table no longer uses: only the check after an unclean end looks there. */
static void test_checked_after_a_crash(void **state)
{
    (void)state;
    fill(2000);
    sql("DELETE FROM kv WHERE key > 'k5'");
    int fd = open(in_folder("state.db"), O_RDWR);
    unsigned char trunk[4];
    assert_int_equal(pread(fd, trunk, 4, 32), 4); /* header: first page of the free list */
    off_t page = (off_t)(trunk[0] << 24 | trunk[1] << 16 | trunk[2] << 8 | trunk[3]);
    assert_true(page > 1);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, (page - 1) * 4096), 8);
    close(fd);
    int pid = fork();
    if (pid == 0) { /* leaves a log behind */
        sqlite3 *db;
        sqlite3_open(in_folder("state.db"), &db);
        sqlite3_exec(db, "UPDATE kv SET json = '1' WHERE key = 'k1'", NULL, NULL, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_refused(CRIER_ECORRUPT, "free");
}

static void test_newer_version(void **state)
{
    (void)state;
    fill(3);
    sql("PRAGMA user_version = 99");
    assert_refused(CRIER_EVERSION, "version 99");
}

static void test_foreign(void **state)
{
    (void)state;
    sql("CREATE TABLE films(title)");
    assert_refused(CRIER_ECORRUPT, "another program's database");
    unlink(in_folder("state.db"));
    sql("PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE kv(a)");
    assert_refused(CRIER_ECORRUPT, "another program's database");
}

static void test_not_a_file(void **state)
{
    (void)state;
    struct crier_state *s = NULL;
    struct crier_err err;
    assert_int_equal(mkdir(in_folder("state.db"), 0700), 0);
    assert_int_equal(crier_state_open(folder, false, &s, &err), CRIER_EIO);
    assert_int_equal(rmdir(in_folder("state.db")), 0);
    assert_int_equal(crier_state_open("/nonexistent", false, &s, &err), CRIER_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/state.db"));
}

/* A start that was killed between the file and its schema. */
static void test_half_made(void **state)
{
    (void)state;
    write_file("state.db", "", 0);
    fill(1);
    struct crier_state *s = open_state();
    assert_non_null(crier_state_get(s, "s", "k0"));
    crier_state_close(s);
}

static void test_schema(void **state)
{
    (void)state;
    fill(1);
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    sqlite3_open(in_folder("state.db"), &db);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT section, key, json FROM kv, pragma_application_id, "
                                        "pragma_user_version, pragma_journal_mode WHERE "
                                        "application_id = 0x43524945 AND user_version = 1 AND "
                                        "journal_mode = 'wal'",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 1), "k0");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static int count_files(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void test_read_only(void **state)
{
    (void)state;
    struct crier_state *s = NULL;
    struct crier_err err;
    assert_int_equal(crier_state_open(folder, true, &s, &err), CRIER_ENOTFOUND);
    assert_int_equal(count_files(), 0);

    fill(3);
    assert_int_equal(count_files(), 1);
    assert_int_equal(crier_state_open(folder, true, &s, &err), 0);
    assert_non_null(crier_state_get(s, "s", "k2"));
    assert_int_equal(count_files(), 1);
    crier_state_close(s);
    assert_int_equal(count_files(), 1);

    /* What a killed host wrote is in the log only. */
    int fds[2], n, ended;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        child(fds[1]);
    close(fds[1]);
    while (read(fds[0], &n, sizeof n) == sizeof n && n < 60)
        ;
    kill(pid, SIGKILL);
    waitpid(pid, &ended, 0);
    close(fds[0]);
    int files = count_files();
    assert_int_equal(crier_state_open(folder, true, &s, &err), 0);
    assert_true(atoi(crier_state_get(s, "s", "k9")) >= 59);
    crier_state_close(s);
    assert_int_equal(count_files(), files);
}

/* --- the lock ------------------------------------------------------------------------------ */

static void test_lock(void **state)
{
    (void)state;
    int a = -1, b = -1;
    struct crier_err err;
    char want[128];
    assert_int_equal(crier_state_lock(folder, &a, &err), 0);
    assert_int_equal(crier_state_lock(folder, &b, &err), CRIER_EBUSY);
    snprintf(want, sizeof want, "state folder '%s' is in use by pid %ld", folder, (long)getpid());
    assert_string_equal(err.text, want);

    int ended;
    pid_t pid = fork();
    if (pid == 0) {
        close(a); /* the lock goes with the last copy, and that is the parent's */
        _exit(crier_state_lock(folder, &b, NULL) == CRIER_EBUSY ? 0 : 1);
    }
    waitpid(pid, &ended, 0);
    assert_int_equal(ended, 0);
    crier_state_unlock(a);
    assert_int_equal(crier_state_lock(folder, &b, &err), 0);
    crier_state_unlock(b);
    crier_state_unlock(-1);
}

static void test_lock_stale(void **state)
{
    (void)state;
    int fd = -1, ended, fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int rc = crier_state_lock(folder, &fd, NULL);
        if (write(fds[1], &rc, sizeof rc) == sizeof rc)
            pause();
        _exit(1);
    }
    int rc = -1;
    assert_int_equal(read(fds[0], &rc, sizeof rc), sizeof rc);
    assert_int_equal(rc, 0);
    struct crier_err err;
    char want[32];
    assert_int_equal(crier_state_lock(folder, &fd, &err), CRIER_EBUSY);
    snprintf(want, sizeof want, "by pid %ld", (long)pid);
    assert_non_null(strstr(err.text, want));
    kill(pid, SIGKILL);
    waitpid(pid, &ended, 0);
    assert_int_equal(crier_state_lock(folder, &fd, &err), 0); /* the pid is still in the file */
    crier_state_unlock(fd);
    close(fds[0]);
    close(fds[1]);
}

static void test_lock_no_folder(void **state)
{
    (void)state;
    int fd = -1;
    struct crier_err err;
    write_file("plain", "", 0);
    assert_int_equal(crier_state_lock(in_folder("plain/x"), &fd, &err), CRIER_EIO);
    assert_int_equal(fd, -1);
}

/* --- a full disk --------------------------------------------------------------------------- */

/* A limit on the size of files stands for the disk: the log cannot grow. */
static void file_limit(rlim_t limit)
{
    struct rlimit rl;
    getrlimit(RLIMIT_FSIZE, &rl);
    rl.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

static char *megabyte(char c)
{
    char *text = crier_malloc(1 << 20);
    memset(text, c, 1 << 20);
    text[0] = text[(1 << 20) - 2] = '"';
    text[(1 << 20) - 1] = '\0';
    return text;
}

static void test_disk_full(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    struct host h;
    struct crier_state_stats st;
    char *big = megabyte('a');
    host_start(&h, true);
    put(&h, "old", "1");
    wait_calls(&h, 1);

    file_limit(200 * 1024);
    put(&h, "big", big);
    put(&h, "gone", "1");
    wait_calls(&h, 3);
    assert_true(h.failed >= 1);
    crier_state_stats(h.state, &st);
    assert_true(st.failures >= 1);
    assert_true(st.pending >= 1);
    assert_non_null(strstr(st.last_error, "state.db"));
    assert_string_equal(crier_state_get(h.state, "s", "big"), big);

    put(&h, "gone", NULL); /* still too large together; overtakes the older change */
    wait_calls(&h, 4);
    assert_true(h.last_rc < 0);

    file_limit(RLIM_INFINITY);
    put(&h, "next", "2"); /* the next put brings the rest along */
    wait_calls(&h, 5);
    assert_int_equal(h.last_rc, 0);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.pending, 0);
    assert_string_equal(st.last_error, "");
    host_end(&h);

    struct crier_state *s = open_state();
    assert_string_equal(crier_state_get(s, "s", "big"), big);
    assert_string_equal(crier_state_get(s, "s", "old"), "1");
    assert_string_equal(crier_state_get(s, "s", "next"), "2");
    assert_null(crier_state_get(s, "s", "gone"));
    crier_state_close(s);
    free(big);
}

/* A file system without room, not only a file: the log's index, which is mapped, must not kill. */
static void test_disk_full_tmpfs(void **state)
{
    (void)state;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=3m") != 0) {
        print_message("no right to mount a tmpfs\n");
        skip();
    }
    struct host h;
    struct crier_err err;
    struct crier_state *s = NULL;
    char *big = megabyte('d'), junk[4096] = {1};
    host_start(&h, true);
    put(&h, "old", "1");
    wait_calls(&h, 1);
    int fd = open(in_folder("filler"), O_WRONLY | O_CREAT, 0600);
    while (write(fd, junk, sizeof junk) > 0)
        ;
    close(fd);
    put(&h, "big", big);
    wait_calls(&h, 2);
    assert_int_equal(h.last_rc, CRIER_EIO);
    unlink(in_folder("filler"));
    put(&h, "next", "2");
    wait_calls(&h, 3);
    assert_int_equal(h.last_rc, 0);
    host_end(&h);
    s = open_state();
    assert_string_equal(crier_state_get(s, "s", "big"), big);
    crier_state_close(s);

    unlink(in_folder("state.db")); /* none to begin with, and no room to make one */
    fd = open(in_folder("filler"), O_WRONLY | O_CREAT, 0600);
    while (write(fd, junk, sizeof junk) > 0)
        ;
    close(fd);
    assert_int_equal(crier_state_open(folder, false, &s, &err), CRIER_EIO);
    assert_non_null(strstr(err.text, "full"));
    assert_int_equal(umount(folder), 0);
    free(big);
}

/* Without another put it is tried again every five seconds. */
static void test_disk_full_retry(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    struct host h;
    struct crier_state_stats st;
    char *big = megabyte('b');
    host_start(&h, false);
    file_limit(200 * 1024);
    put(&h, "big", big);
    crier_loop_run(h.loop, 9 * CRIER_S);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.last_rc, CRIER_EIO);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.failures, 2); /* at 0 s and 5 s */
    put(&h, "small", "1");
    crier_loop_run(h.loop, 9 * CRIER_S);
    put(&h, "small", "1"); /* the same again is still not in the file */
    crier_loop_run(h.loop, 9 * CRIER_S);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.failures, 4); /* the puts did not wait for the 10 s */
    assert_int_equal(h.failed, 3);
    file_limit(RLIM_INFINITY);
    crier_loop_run(h.loop, 13999 * CRIER_MS);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.pending, 2);
    crier_loop_run(h.loop, 14 * CRIER_S);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.pending, 0);
    assert_int_equal(st.failures, 4);
    assert_int_equal(h.calls, 3); /* each put is answered once */
    host_end(&h);
    struct crier_state *s = open_state();
    assert_string_equal(crier_state_get(s, "s", "big"), big);
    crier_state_close(s);
    free(big);
}

static void test_lost_at_close_is_told(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    char *big = megabyte('c');
    fflush(stderr);
    int old = dup(2), fd = open(in_folder("err"), O_RDWR | O_CREAT, 0600);
    struct crier_state *s = open_state();
    file_limit(200 * 1024);
    crier_state_put(s, "s", "big", big, NULL, NULL);
    dup2(fd, 2);
    crier_state_close(s);
    dup2(old, 2);
    close(old);
    file_limit(RLIM_INFINITY);
    char text[512] = "";
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    close(fd);
    assert_non_null(strstr(text, "1 changes of state are lost"));
    free(big);
}

/* --- many ---------------------------------------------------------------------------------- */

static double since(const struct timespec *t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - t->tv_sec) * 1e3 + (double)(now.tv_nsec - t->tv_nsec) / 1e6;
}

static void count(void *arg, const char *key, const char *json)
{
    (void)key;
    assert_int_equal(strlen(json), 200);
    ++*(int *)arg;
}

static void test_many(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct host h;
    struct timespec t;
    struct crier_state_stats st;
    char json[201], key[32];
    int n = 0;
    clock_gettime(CLOCK_MONOTONIC, &t);
    host_start(&h, true);
    print_message("open, empty: %.2f ms\n", since(&t));
    clock_gettime(CLOCK_MONOTONIC, &t);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "message %d", i);
        snprintf(json, sizeof json, "\"%0198d\"", i);
        put(&h, key, json);
    }
    print_message("%d puts: %.0f ms on the loop\n", N, since(&t));
    wait_calls(&h, N);
    print_message("all in the file: %.0f ms\n", since(&t));
    assert_int_equal(h.failed, 0);
    crier_state_stats(h.state, &st);
    assert_int_equal(st.pending, 0);
    assert_true(st.transactions < N / 10);
    host_end(&h);

    clock_gettime(CLOCK_MONOTONIC, &t);
    struct crier_state *s = open_state();
    print_message("open, %d entries: %.0f ms\n", N, since(&t));
    clock_gettime(CLOCK_MONOTONIC, &t);
    crier_state_each(s, "s", count, &n);
    print_message("each: %.0f ms\n", since(&t));
    assert_int_equal(n, N);
    crier_state_close(s);
}

/* Nothing to do: the worker asks not to be called. */
static void test_idle(void **state)
{
    (void)state;
    struct host h;
    host_start(&h, false);
    put(&h, "a", "1");
    wait_calls(&h, 1);
    crier_loop_run(h.loop, CRIER_NEVER); /* returns only when no worker is due */
    host_end(&h);
}

/* A reader of the file that holds it for a moment is waited for. */
static void test_busy(void **state)
{
    (void)state;
    struct host h;
    sqlite3 *db = NULL;
    host_start(&h, true);
    put(&h, "a", "1");
    wait_calls(&h, 1);
    sqlite3_open(in_folder("state.db"), &db);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put(&h, "a", "2");
    usleep(50000);
    assert_int_equal(h.calls, 1);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    wait_calls(&h, 2);
    assert_int_equal(h.last_rc, 0);
    host_end(&h);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),      CASE(test_files_are_private),
        CASE(test_gathers_and_flushes), CASE(test_merges),
        CASE(test_done_order),      CASE(test_put_within_each),
        CASE(test_odd_keys),        CASE(test_virtual),
        CASE(test_kill),            CASE(test_garbage),
        CASE(test_truncated),       CASE(test_damaged_page),
        CASE(test_checked_after_a_crash), CASE(test_newer_version),
        CASE(test_foreign),         CASE(test_not_a_file),
        CASE(test_half_made),       CASE(test_schema),
        CASE(test_read_only),       CASE(test_lock),
        CASE(test_lock_stale),      CASE(test_lock_no_folder),
        CASE(test_disk_full),       CASE(test_disk_full_retry),
        CASE(test_disk_full_tmpfs),
        CASE(test_lost_at_close_is_told), CASE(test_many),
        CASE(test_idle),            CASE(test_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
