/* SPDX-License-Identifier: MIT
 *
 * Tasks that are programs: argv in a process group of its own, no shell unless asked for, stdin
 * empty, what it prints kept (the end of it), and the whole group ended when the run is.
 *
 * A run is over when the program is; a process that it leaves behind lives on, as under any shell,
 * unless the run was cancelled: then the group gets SIGTERM, and SIGKILL after a grace.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/json.h"
#include "script/spawn.h"
#include "script/task_private.h"

enum { KEPT = 64 << 10, LAST_LINES = 20 };
#define GRACE (5 * CRIER_S)
#define GRACE_STOPPING (CRIER_S / 2) /* less than the host waits for what it has cut off */
#define LOOK_EVERY (CRIER_S / 10)
#define LINGER (CRIER_S / 4) /* for output behind the program's end */

extern char **environ;

struct job {
    struct crier_run *run; /* NULL: it has ended */
    struct crier_loop *loop;
    pid_t pid;         /* 0: there is none */
    uv_signal_t child; /* of any process of ours that has ended */
    uv_pipe_t pipe;
    int open; /* handles that are not closed yet */
    bool exited, closed, killed;
    int status;
    int signal;
    struct crier_timer timer;
    int64_t since; /* of the cancel, then of the exit; monotonic */
    char buf[16 << 10];
    struct crier_buf out; /* up to twice what is kept */
    bool cut;
    GPtrArray *secrets; /* values that must not show */
};

/* --- environment --------------------------------------------------------------------------- */

static void put_variable(GPtrArray *env, const char *name, const char *value)
{
    size_t len = strlen(name);
    for (guint i = 0; i < env->len; i++) {
        char *one = env->pdata[i];
        if (strncmp(one, name, len) == 0 && one[len] == '=') {
            free(one);
            env->pdata[i] = crier_asprintf("%s=%s", name, value);
            return;
        }
    }
    g_ptr_array_add(env, crier_asprintf("%s=%s", name, value));
}

static void put_inherited(GPtrArray *env, const struct crier_generation *gen)
{
    for (char **v = environ; v && *v; v++) {
        size_t len = strcspn(*v, "=");
        char *name = crier_strndup(*v, len);
        if (!gen->secret_env || !g_hash_table_contains(gen->secret_env, name))
            g_ptr_array_add(env, crier_strdup(*v));
        free(name);
    }
}

static void put_params(GPtrArray *env, const char *params)
{
    json_t *o = params ? json_loads(params, JSON_ALLOW_NUL, NULL) : NULL, *v;
    const char *key;
    put_variable(env, "CRIER_PARAMS", params ? params : "{}");
    json_object_foreach(o, key, v)
    {
        char *name = crier_asprintf("CRIER_PARAM_%s", key);
        for (char *c = name; *c; c++)
            *c = g_ascii_isalnum(*c) ? g_ascii_toupper(*c) : '_';
        char *text = json_is_string(v) ? crier_strdup(json_string_value(v))
                                       : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        put_variable(env, name, text ? text : "");
        free(text);
        free(name);
    }
    json_decref(o);
}

static int put_declared(GPtrArray *env, const struct crier_task *task, GPtrArray *secrets,
                        struct crier_err *err)
{
    for (size_t i = 0; i < task->env_count; i++) {
        const struct crier_task_env *e = &task->env[i];
        if (!crier_is_secret_reference(e->value)) {
            put_variable(env, e->name, e->value);
            continue;
        }
        char *value = crier_secret_resolve(e->value, task->gen->folder, err);
        if (!value)
            return crier_err_prefix(err, "variable '%s': ", e->name);
        put_variable(env, e->name, value);
        g_ptr_array_add(secrets, value);
    }
    return CRIER_OK;
}

/* --- output -------------------------------------------------------------------------------- */

static void wipe(void *p)
{
    explicit_bzero(p, strlen(p));
    free(p);
}

/* The cut may have left the end of a secret at the start: how much of it. */
static size_t rest_of_secret(const struct job *j, const char *text, size_t len)
{
    size_t most = 0;
    for (guint i = 0; i < j->secrets->len; i++) {
        const char *secret = j->secrets->pdata[i];
        for (const char *end = secret; *end && strlen(secret) >= 4; end++) {
            size_t n = strlen(end);
            if (n > most && n <= len && memcmp(text, end, n) == 0)
                most = n;
        }
    }
    return most;
}

/* Secrets out, bytes that are no UTF-8 replaced, no more than is kept; the caller frees. */
static char *output_of(struct job *j)
{
    size_t over = j->out.len > KEPT ? j->out.len - KEPT : 0, len = j->out.len - over;
    const char *from = len ? j->out.data + over : "";
    size_t rest = over || j->cut ? rest_of_secret(j, from, len) : 0;
    char *text = g_utf8_make_valid(from + rest, (gssize)(len - rest));
    char *kept = crier_strdup(text);
    g_free(text);
    for (guint i = 0; i < j->secrets->len; i++) {
        const char *secret = j->secrets->pdata[i];
        if (strlen(secret) < 4 || !strstr(kept, secret))
            continue;
        gchar **parts = g_strsplit(kept, secret, -1);
        gchar *masked = g_strjoinv("*****", parts);
        free(kept);
        kept = crier_strdup(masked);
        g_free(masked);
        g_strfreev(parts);
    }
    for (size_t n = strlen(kept); n && kept[n - 1] == '\n';)
        kept[--n] = '\0';
    return kept;
}

static const char *last_lines(const char *text)
{
    const char *at = text + strlen(text);
    for (int n = 0; at > text; at--) {
        if (at[-1] == '\n' && ++n == LAST_LINES)
            break;
    }
    return at;
}

static void keep(struct job *j, const char *data, size_t len)
{
    crier_buf_append(&j->out, data, len);
    if (j->out.len < 2 * KEPT)
        return;
    memmove(j->out.data, j->out.data + j->out.len - KEPT, KEPT);
    j->out.len = KEPT;
    j->cut = true;
}

/* --- the end ------------------------------------------------------------------------------- */

static void job_free(struct job *j)
{
    crier_buf_fini(&j->out);
    g_ptr_array_free(j->secrets, TRUE);
    free(j);
}

static void on_closed(uv_handle_t *handle)
{
    struct job *j = handle->data;
    if (--j->open == 0 && !j->run)
        job_free(j);
}

static void close_handles(struct job *j)
{
    uv_close((uv_handle_t *)&j->child, on_closed);
    uv_close((uv_handle_t *)&j->pipe, on_closed);
}

/* It may have a group that has lost its leader. */
static void signal_group(struct job *j, int number)
{
    if (j->pid > 0)
        kill(-j->pid, number);
}

static void tell(struct job *j)
{
    struct crier_run *run = j->run;
    struct crier_run_end end = {.action = CRIER_SUCCESS};
    struct crier_buf json = {0};
    char *text = output_of(j), *reason = NULL, *trace = NULL;
    if (j->signal)
        reason = crier_asprintf("killed by signal %d (%s)", j->signal, strsignal(j->signal));
    else if (j->status != 0)
        reason = crier_asprintf("exit code %d", j->status);
    if (reason) {
        const char *last = last_lines(text);
        trace =
            crier_asprintf("%s%s%s%s", reason, *last ? "\n" : "", last > text ? "...\n" : "", last);
        end.action = CRIER_FAIL;
        end.reason = reason;
        end.exc_text = trace;
    }
    if (run->cancelled)
        end.action = CRIER_TERMINATE;
    crier_json_str(&json, text);
    end.result = json.data;
    end.result_len = json.len;
    end.output = text;
    end.output_len = strlen(text);
    j->run = NULL;
    crier_timer_stop(j->loop, &j->timer);
    if (run->cancelled)
        signal_group(j, SIGKILL);
    close_handles(j);
    crier_run_ended(run, &end);
    crier_buf_fini(&json);
    free(text);
    free(reason);
    free(trace);
}

/* Both the program and its output have ended, or the program has and enough was waited for. */
static void look(struct crier_timer *timer)
{
    struct job *j = CRIER_CONTAINER(timer, struct job, timer);
    int64_t now = crier_loop_now(j->loop), passed = now - j->since;
    bool cancelled = j->run->cancelled;
    if (cancelled && !j->killed &&
        (passed >= GRACE || (crier_host_stopping(j->run->host) && passed >= GRACE_STOPPING))) {
        signal_group(j, SIGKILL);
        j->killed = true;
        j->since = now;
        passed = 0;
    }
    if (j->exited && (j->closed || (passed >= LINGER && (!cancelled || j->killed)))) {
        tell(j);
        return;
    }
    if (j->exited || cancelled)
        crier_timer_in(j->loop, &j->timer, LOOK_EVERY);
}

static void on_child(uv_signal_t *child, int number)
{
    struct job *j = child->data;
    int status;
    (void)number;
    if (!j->run || j->exited || j->pid <= 0 || waitpid(j->pid, &status, WNOHANG) != j->pid)
        return;
    j->exited = true;
    if (WIFEXITED(status))
        j->status = WEXITSTATUS(status);
    else
        j->signal = WTERMSIG(status);
    if (!j->run->cancelled)
        j->since = crier_loop_now(j->loop);
    look(&j->timer);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct job *j = handle->data;
    (void)size;
    *buf = uv_buf_init(j->buf, sizeof j->buf);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct job *j = stream->data;
    if (n > 0) {
        keep(j, buf->base, (size_t)n);
        return;
    }
    if (n == 0)
        return;
    uv_read_stop(stream);
    j->closed = true;
    if (j->run && j->exited)
        look(&j->timer);
}

/* --- the start ----------------------------------------------------------------------------- */

static void fail(struct crier_run *run, const char *text)
{
    crier_run_ended(
        run, &(struct crier_run_end){.action = CRIER_FAIL, .reason = text, .exc_text = text});
}

/* One pipe for both, so that lines keep their order. */
static int spawn(struct job *j, char **argv, char **env, const char *cwd)
{
    int ends[2];
    uv_loop_t *uv = crier_loop_uv(j->loop);
    uv_pipe_init(uv, &j->pipe, 0);
    uv_signal_init(uv, &j->child);
    j->pipe.data = j->child.data = j;
    j->open = 2;
    int rc = uv_signal_start(&j->child, on_child, SIGCHLD); /* before there is a child */
    if (rc != 0)
        return rc;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    rc = uv_pipe_open(&j->pipe, ends[0]);
    if (rc != 0)
        close(ends[0]);
    else
        rc = crier_spawn(argv, env, cwd, ends[1], &j->pid);
    close(ends[1]);
    return rc ? rc : uv_read_start((uv_stream_t *)&j->pipe, on_alloc, on_read);
}

static char *why_not(const char *program, const char *cwd, int rc)
{
    if (access(cwd, X_OK) != 0)
        return crier_asprintf("cannot run '%s' in folder '%s': %s", program, cwd, strerror(errno));
    return crier_asprintf("cannot run '%s': %s%s", program, uv_strerror(rc),
                          rc == UV_ENOENT && !strchr(program, '/') ? " (it is in no folder of PATH)"
                          : rc == UV_EACCES                        ? " (is it executable?)"
                                                                   : "");
}

static void start(struct crier_run *run)
{
    const struct crier_task *task = run->task;
    const struct crier_generation *gen = task->gen;
    const char *cwd = task->cwd ? task->cwd : gen->folder;
    char sh[] = "/bin/sh", c[] = "-c";
    char *line[] = {sh, c, task->argv[0], NULL};
    struct crier_err err = {0};
    struct job *j;
    if (!crier_loop_uv(crier_host_loop(run->host))) {
        crier_run_ended(run, &(struct crier_run_end){.action = CRIER_SUCCESS,
                                                     .reason = "not run: time is virtual"});
        return;
    }
    GPtrArray *env = g_ptr_array_new_with_free_func(free);
    j = crier_calloc(1, sizeof *j);
    j->run = run;
    j->loop = crier_host_loop(run->host);
    j->timer.fire = look;
    j->secrets = g_ptr_array_new_with_free_func(wipe);
    put_inherited(env, gen);
    put_params(env, run->params);
    put_variable(env, "CRIER_TASK", task->name);
    put_variable(env, "CRIER_RUN_ID", run->run_id);
    if (put_declared(env, task, j->secrets, &err) != 0) {
        job_free(j);
        fail(run, err.text);
        goto out;
    }
    g_ptr_array_add(env, NULL);
    run->job = j;
    int rc = spawn(j, task->shell ? line : task->argv, (char **)env->pdata, cwd);
    if (rc != 0) {
        char *text = why_not(task->shell ? sh : task->argv[0], cwd, rc);
        signal_group(j, SIGKILL);
        j->run = NULL;
        close_handles(j);
        fail(run, text);
        free(text);
    }
out:
    g_ptr_array_free(env, TRUE);
}

static void cancel(struct crier_run *run)
{
    struct job *j = run->job;
    j->since = crier_loop_now(j->loop);
    signal_group(j, SIGTERM);
    crier_timer_in(j->loop, &j->timer, j->exited ? 0 : LOOK_EVERY);
}

static void kill_now(struct crier_run *run)
{
    struct job *j = run->job;
    signal_group(j, SIGKILL);
    tell(j);
}

const struct crier_executor crier_task_command = {"command", start, cancel, kill_now};
