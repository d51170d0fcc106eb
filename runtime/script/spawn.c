/* SPDX-License-Identifier: MIT */
#include "script/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "base/buf.h"

/* Elsewhere it gets what is not closed at exec; all that we open ourselves is. */
#if (defined __GLIBC__ && __GLIBC_PREREQ(2, 34)) ||                                                \
    (defined __FreeBSD_version && __FreeBSD_version >= 1400000)
#define CLOSE_REST(actions) posix_spawn_file_actions_addclosefrom_np(actions, 3)
#else
#define CLOSE_REST(actions) 0
#endif

#ifndef POSIX_SPAWN_SETSID
#define POSIX_SPAWN_SETSID POSIX_SPAWN_SETPGROUP /* a group of its own, at least */
#endif

static const char *variable(char *const env[], const char *name)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/* Where the program is, as seen from cwd; to be freed. posix_spawnp would take our PATH. */
static char *find(const char *name, char *const env[], const char *cwd)
{
    const char *path = variable(env, "PATH");
    if (strchr(name, '/') || !*name)
        return crier_strdup(name);
    for (path = path ? path : "/usr/local/bin:/bin:/usr/bin"; path;) {
        size_t len = strcspn(path, ":");
        char *file = crier_asprintf("%.*s%s%s", (int)len, path, len ? "/" : "./", name);
        char *seen = *file == '/' ? crier_strdup(file) : crier_asprintf("%s/%s", cwd, file);
        bool there = access(seen, X_OK) == 0;
        free(seen);
        if (there)
            return file;
        free(file);
        path = path[len] ? path + len + 1 : NULL;
    }
    return NULL;
}

static int attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int rc = posix_spawnattr_setsigmask(attr, &none);
    if (!rc)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (!rc)
        rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF);
    return rc;
}

/* Output first: it may be one of those that are replaced. */
static int actions(posix_spawn_file_actions_t *to, const char *cwd, int output)
{
    int rc = posix_spawn_file_actions_adddup2(to, output, STDOUT_FILENO);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(to, STDOUT_FILENO, STDERR_FILENO);
    if (!rc)
        rc = posix_spawn_file_actions_addopen(to, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!rc)
        rc = posix_spawn_file_actions_addchdir_np(to, cwd);
    return rc ? rc : CLOSE_REST(to);
}

static int by_shell(pid_t *pid, char *file, const posix_spawn_file_actions_t *to,
                    const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    static char sh[] = "/bin/sh";
    size_t count = 0;
    while (argv[count])
        count++;
    char **line = crier_calloc(count + 2, sizeof *line);
    line[0] = sh;
    line[1] = file;
    for (size_t i = 1; i < count; i++)
        line[i + 1] = argv[i];
    int rc = posix_spawn(pid, sh, to, attr, line, env);
    free(line);
    return rc;
}

int crier_spawn(char *const argv[], char *const env[], const char *cwd, int output, pid_t *pid)
{
    posix_spawn_file_actions_t to;
    posix_spawnattr_t attr;
    char *file = find(argv[0], env, cwd);
    if (!file)
        return -ENOENT;
    posix_spawn_file_actions_init(&to);
    posix_spawnattr_init(&attr);
    int rc = attributes(&attr);
    if (!rc)
        rc = actions(&to, cwd, output);
    if (!rc)
        rc = posix_spawn(pid, file, &to, &attr, argv, env);
    if (rc == ENOEXEC)
        rc = by_shell(pid, file, &to, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&to);
    free(file);
    return -rc;
}
