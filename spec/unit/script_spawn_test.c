/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "script/spawn.h"

static char dir[] = "/tmp/crier-spawn-XXXXXX";

/* What it printed, to be freed; its wait status. */
static char *run(const char *const argv[], const char *const env[], const char *cwd, int *status)
{
    int ends[2];
    pid_t pid;
    struct crier_buf out = {0};
    char text[4096];
    ssize_t n;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    int rc = crier_spawn((char *const *)argv, (char *const *)env, cwd, ends[1], &pid);
    close(ends[1]);
    assert_int_equal(rc, 0);
    while ((n = read(ends[0], text, sizeof text)) > 0)
        crier_buf_append(&out, text, (size_t)n);
    close(ends[0]);
    assert_int_equal(waitpid(pid, status, 0), pid);
    return crier_buf_take(&out);
}

static const char *const environment[] = {"PATH=/usr/bin:/bin", "A=b", NULL};

static char *shell(const char *line)
{
    int status;
    const char *argv[] = {"sh", "-c", line, NULL};
    char *out = run(argv, environment, dir, &status);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return out;
}

static void only_stdin_and_output_are_inherited(void **state)
{
    (void)state;
    int open_ones[3];
    for (int i = 0; i < 3; i++) { /* as a library, or the program around us, may leave them */
        open_ones[i] = fcntl(STDERR_FILENO, F_DUPFD, 40 + 100 * i);
        assert_true(open_ones[i] >= 40);
    }
    char *out = shell(
        "ls /proc/self/fd; cat; readlink /proc/self/fd/0; ls -l /proc/self/fd | grep -c pipe:");
    assert_string_equal(out, "0\n1\n2\n3\n/dev/null\n2\n"); /* 3 is what ls reads */
    free(out);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fcntl(open_ones[i], F_GETFD), 0); /* and is left as it was */
        close(open_ones[i]);
    }
}

static void it_starts_as_any_process(void **state)
{
    (void)state;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    char *out = shell("grep -E 'Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f5,6 /proc/self/stat; "
                      "echo $$; env | sort | grep -v -E '^(PWD|SHLVL|_|OLDPWD)='; pwd -P");
    signal(SIGPIPE, old);
    sigprocmask(SIG_SETMASK, &before, NULL);
    unsigned long long blocked, ignored;
    int group, session, pid;
    char folder[200], real[4096];
    assert_int_equal(sscanf(out,
                            "SigBlk: %llx SigIgn: %llx %d %d\n%d\nA=b\nPATH=/usr/bin:/bin\n%199s",
                            &blocked, &ignored, &group, &session, &pid, folder),
                     6);
    assert_true(blocked == 0 && (ignored & 0x7fffffff) == 0); /* above are the C library's own */
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
    assert_non_null(realpath(dir, real));
    assert_string_equal(folder, real);
    free(out);
}

static void script(const char *name, const char *text, mode_t mode)
{
    char *path = crier_asprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
    free(path);
}

static void programs_are_found_by_their_own_path(void **state)
{
    (void)state;
    int status;
    pid_t pid;
    script("mine", "echo \"$1-$2\"\nexit 7\n", 0755); /* no interpreter is named */
    script("not", "echo no\n", 0644);
    char *path = crier_asprintf("PATH=/nowhere:%s", dir);
    const char *env[] = {path, NULL}, *empty[] = {NULL};
    static const char *const cases[] = {"mine", "./mine", "mine"};
    for (size_t i = 0; i < 3; i++) {
        static const char *const dot[] = {"PATH=/nowhere:", NULL};
        const char *argv[] = {cases[i], "a b", "$c", NULL};
        char *out = run(argv, i == 0 ? env : i == 1 ? empty : dot, dir, &status);
        assert_string_equal(out, "a b-$c\n");
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        free(out);
    }
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    static const struct {
        const char *program, *folder;
        int rc;
    } wrong[] = {
        {"no-such-program", NULL, -ENOENT},
        {"not", NULL, -ENOENT},
        {"./not", NULL, -EACCES},
        {"./nothing", NULL, -ENOENT},
        {"", NULL, -ENOENT},
        {"/bin/sh", "/nowhere", -ENOENT},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char *argv[] = {(char *)wrong[i].program, NULL};
        assert_int_equal(crier_spawn(argv, (char *const *)env,
                                     wrong[i].folder ? wrong[i].folder : dir, null, &pid),
                         wrong[i].rc);
    }
    close(null);
    free(path);
}

/* A daemon may have closed its own: then the pipe is one of those that are replaced. */
static void without_any_of_the_three(void **state)
{
    (void)state;
    int ends[2], status;
    char text[100] = "";
    pid_t pid = fork(), child;
    if (pid == 0) {
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        const char *argv[] = {"sh", "-c", "echo out; echo err >&2; cat", NULL};
        if (pipe2(ends, O_CLOEXEC) != 0 ||
            crier_spawn((char *const *)argv, (char *const *)environment, dir, ends[1], &child) !=
                0 ||
            close(ends[1]) != 0)
            _exit(1);
        for (size_t len = 0; read(ends[0], text + len, 1) == 1;)
            len++;
        _exit(strcmp(text, "out\nerr\n") == 0 ? 42 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static int make(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int clear(void **state)
{
    (void)state;
    char *line = crier_asprintf("rm -rf %s", dir);
    int rc = system(line);
    free(line);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_stdin_and_output_are_inherited),
        cmocka_unit_test(it_starts_as_any_process),
        cmocka_unit_test(programs_are_found_by_their_own_path),
        cmocka_unit_test(without_any_of_the_three),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
