/* SPDX-License-Identifier: MIT */
#include "base/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/control_http.h"

enum { USAGE = 64, BUSY = 75 };
#define HTTP_LINGER (1 << 20) /* what is read of a refused request, so that its sender hears why */

struct crier_control {
    uv_pipe_t listener;
    char *path;
    char *pointer; /* NULL when the socket lies in the folder itself */
    crier_control_handler *handler;
    void *arg;
    struct crier_control_conn *conns;
};

/* References: one while the handle is open, one a crier_control_ref. The server's list holds it
 * while the handle is open. */
struct crier_control_conn {
    uv_pipe_t pipe;
    uv_shutdown_t shutdown;
    struct crier_control *server; /* NULL once out of its list */
    struct crier_control_conn *next;
    struct crier_buf in;
    int refs;
    bool asked;    /* the request has come; what else is sent is not read */
    bool finished; /* no more answers: finished, or the client has gone */
    bool closing;
    bool http, head;     /* it is spoken to in HTTP; only a head is wanted */
    bool lingers, ended; /* closes only when the client does; all is written */
    size_t thrown;
    void (*on_close)(void *arg);
    void *on_close_arg;
    void (*on_room)(void *arg);
    void *on_room_arg;
};

static bool fits(const char *path)
{
    return strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
}

/* --- connections --------------------------------------------------------------------------- */

struct crier_control_conn *crier_control_ref(struct crier_control_conn *conn)
{
    conn->refs++;
    return conn;
}

void crier_control_unref(struct crier_control_conn *conn)
{
    if (!conn || --conn->refs)
        return;
    crier_buf_fini(&conn->in);
    free(conn);
}

static void on_closed(uv_handle_t *handle)
{
    crier_control_unref(handle->data);
}

static void conn_close(struct crier_control_conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->finished = true;
    for (struct crier_control_conn **at = conn->server ? &conn->server->conns : NULL; at && *at;
         at = &(*at)->next) {
        if (*at == conn) {
            *at = conn->next;
            break;
        }
    }
    conn->server = NULL;
    void (*fn)(void *arg) = conn->on_close;
    conn->on_close = NULL;
    conn->on_room = NULL;
    uv_close((uv_handle_t *)&conn->pipe, on_closed);
    if (fn)
        fn(conn->on_close_arg);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct crier_control_conn *conn = req->data;
    (void)status;
    conn->ended = true;
    if (!conn->lingers)
        conn_close(conn);
}

/* Close once what is queued has been written, or the other end has gone. */
static void conn_end(struct crier_control_conn *conn)
{
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->pipe, on_shutdown) != 0)
        conn_close(conn);
}

struct write {
    uv_write_t req;
    struct crier_control_conn *conn;
    char text[];
};

static void on_written(uv_write_t *req, int status)
{
    struct write *w = CRIER_CONTAINER(req, struct write, req);
    struct crier_control_conn *conn = w->conn;
    free(w);
    if (status != 0)
        conn_close(conn);
    void (*fn)(void *arg) = conn->on_room;
    if (fn && !conn->finished && crier_control_backlog(conn) <= CRIER_CONTROL_ROOM) {
        conn->on_room = NULL;
        fn(conn->on_room_arg);
    }
    crier_control_unref(conn);
}

/* len bytes of w->text; w is consumed. */
static int conn_write_raw(struct crier_control_conn *conn, struct write *w, size_t len)
{
    w->conn = crier_control_ref(conn);
    uv_buf_t buf = uv_buf_init(w->text, (unsigned)len);
    if (uv_write(&w->req, (uv_stream_t *)&conn->pipe, &buf, 1, on_written) != 0) {
        crier_control_unref(conn);
        free(w);
        return CRIER_ECANCELED;
    }
    return 0;
}

/* The same and a newline, for which there is room. */
static int conn_write(struct crier_control_conn *conn, struct write *w, size_t len)
{
    w->text[len] = '\n';
    return conn_write_raw(conn, w, len + 1);
}

static int conn_write_json(struct crier_control_conn *conn, const json_t *line)
{
    size_t len = json_dumpb(line, NULL, 0, JSON_COMPACT);
    struct write *w = crier_malloc(sizeof *w + len + 1);
    json_dumpb(line, w->text, len, JSON_COMPACT);
    return conn_write(conn, w, len);
}

size_t crier_control_backlog(const struct crier_control_conn *conn)
{
    return conn->closing ? 0 : uv_stream_get_write_queue_size((const uv_stream_t *)&conn->pipe);
}

/* One that does not read must not fill our memory. */
static int cut_off(struct crier_control_conn *conn)
{
    if (crier_control_backlog(conn) <= CRIER_CONTROL_BACKLOG)
        return 0;
    conn_close(conn);
    return CRIER_ECANCELED;
}

int crier_control_reply(struct crier_control_conn *conn, json_t *line)
{
    if (!line)
        return CRIER_EINVAL;
    int rc = conn->finished ? CRIER_ECANCELED : conn_write_json(conn, line);
    json_decref(line);
    return rc == 0 ? cut_off(conn) : rc;
}

int crier_control_reply_text(struct crier_control_conn *conn, const char *text, size_t len)
{
    if (conn->finished)
        return CRIER_ECANCELED;
    struct write *w = crier_malloc(sizeof *w + len + 1);
    memcpy(w->text, text, len);
    int rc = conn_write(conn, w, len);
    return rc == 0 ? cut_off(conn) : rc;
}

void crier_control_on_room(struct crier_control_conn *conn, void (*fn)(void *arg), void *arg)
{
    conn->on_room = fn;
    conn->on_room_arg = arg;
}

static void conn_write_last(struct crier_control_conn *conn, int code, json_t *extra)
{
    json_t *line = json_pack("{s:b, s:i}", "done", 1, "code", code);
    if (extra)
        json_object_update_missing(line, extra);
    conn_write_json(conn, line);
    json_decref(line);
}

static void conn_write_http(struct crier_control_conn *conn, int status, const char *body,
                            size_t len)
{
    struct crier_buf b = {0};
    crier_control_http_answer(&b, status, body, len, conn->head);
    struct write *w = crier_malloc(sizeof *w + b.len);
    memcpy(w->text, b.data, b.len);
    conn->lingers = status != 200;
    conn_write_raw(conn, w, b.len);
    crier_buf_fini(&b);
}

/* A page is the "text" of its command's answer. */
static void conn_write_page(struct crier_control_conn *conn, int code, const json_t *extra)
{
    const json_t *body = json_object_get(extra, code == 0 ? "text" : "error");
    conn_write_http(conn, code == 0 ? 200 : code == BUSY ? 503 : 500,
                    body ? json_string_value(body) : "", json_string_length(body));
}

void crier_control_finish(struct crier_control_conn *conn, int code, json_t *extra)
{
    if (!conn->finished) {
        conn->finished = true;
        conn->on_close = NULL;
        conn->on_room = NULL;
        if (conn->http)
            conn_write_page(conn, code, extra);
        else
            conn_write_last(conn, code, extra);
        conn_end(conn);
    }
    json_decref(extra);
}

void crier_control_on_close(struct crier_control_conn *conn, void (*fn)(void *arg), void *arg)
{
    conn->on_close = fn;
    conn->on_close_arg = arg;
}

static void refuse(struct crier_control_conn *conn, const char *fmt, const char *detail)
{
    char *text = crier_asprintf(fmt, detail);
    crier_control_finish(conn, USAGE, json_pack("{s:s}", "error", text));
    free(text);
}

static void on_line(struct crier_control_conn *conn, size_t len)
{
    json_error_t why;
    json_t *request = json_loadb(conn->in.data, len, 0, &why);
    conn->asked = true;
    if (!request)
        refuse(conn, "the request is not JSON: %s", why.text);
    else if (!json_is_string(json_object_get(request, "cmd")))
        refuse(conn, "%s", "the request is not an object with a string \"cmd\"");
    else
        conn->server->handler(conn->server->arg, conn, request);
    json_decref(request);
    crier_buf_fini(&conn->in);
}

static void refuse_http(struct crier_control_conn *conn, int status, const char *why)
{
    conn->asked = conn->finished = true;
    conn_write_http(conn, status, why, strlen(why));
    conn_end(conn);
    crier_buf_fini(&conn->in);
}

static void on_head(struct crier_control_conn *conn, size_t len)
{
    struct crier_control_http request;
    int status = crier_control_http_judge(conn->in.data, len, &request);
    conn->head = request.head;
    if (status != 200) {
        refuse_http(conn, status, request.why);
        return;
    }
    json_t *cmd = json_pack("{s:s}", "cmd", request.cmd);
    conn->asked = true;
    conn->server->handler(conn->server->arg, conn, cmd);
    json_decref(cmd);
    crier_buf_fini(&conn->in);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    static char sink[4096]; /* what comes after the request is thrown away */
    struct crier_control_conn *conn = handle->data;
    if (conn->asked)
        *buf = uv_buf_init(sink, sizeof sink);
    else
        *buf = uv_buf_init(crier_buf_reserve(&conn->in, 16384), 16384);
}

/* The client has gone, or has closed its sending side; what is queued is still written. */
static void on_end(struct crier_control_conn *conn)
{
    uv_read_stop((uv_stream_t *)&conn->pipe);
    conn->lingers = false;
    if (conn->ended) {
        conn_close(conn);
        return;
    }
    if (!conn->asked && conn->http)
        refuse_http(conn, 400, "the request's head does not end");
    else if (!conn->asked && conn->in.len)
        on_line(conn, conn->in.len); /* only the newline is missing */
    if (conn->finished)
        return;
    conn->finished = true;
    void (*fn)(void *arg) = conn->on_close;
    conn->on_close = NULL;
    conn_end(conn);
    if (fn)
        fn(conn->on_close_arg);
}

static void on_http(struct crier_control_conn *conn, size_t seen)
{
    size_t len = crier_control_http_head_length(conn->in.data, conn->in.len, seen);
    if ((len ? len : conn->in.len) > CRIER_CONTROL_HEAD)
        refuse_http(conn, 431, "the request's head is longer than 16 KiB");
    else if (len)
        on_head(conn, len);
}

/* end: the first line's; NULL: it has not come. */
static void on_part(struct crier_control_conn *conn, const char *end)
{
    size_t len = end ? (size_t)(end - conn->in.data) : conn->in.len;
    if (len > CRIER_CONTROL_LINE) {
        conn->asked = true;
        refuse(conn, "the request is longer than %s", "1 MiB");
    } else if (end) {
        on_line(conn, len);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct crier_control_conn *conn = stream->data;
    (void)buf;
    if (n < 0)
        on_end(conn);
    else if (conn->lingers && (conn->thrown += (size_t)n) > HTTP_LINGER)
        conn_close(conn);
    if (n <= 0 || conn->asked)
        return;
    size_t seen = conn->in.len;
    conn->in.len += (size_t)n;
    char *end = conn->http ? NULL : memchr(conn->in.data + seen, '\n', (size_t)n);
    if (end && crier_control_http_begins(conn->in.data, (size_t)(end - conn->in.data)))
        conn->http = true;
    if (conn->http)
        on_http(conn, seen);
    else
        on_part(conn, end);
}

/* --- the server ---------------------------------------------------------------------------- */

static bool is_peer_ours(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return false;
    return cred.uid == geteuid() || cred.uid == 0;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct crier_control *control = stream->data;
    if (status < 0)
        return;
    struct crier_control_conn *conn = crier_calloc(1, sizeof *conn);
    conn->refs = 1;
    conn->server = control;
    conn->pipe.data = conn;
    if (uv_pipe_init(stream->loop, &conn->pipe, 0) != 0) {
        free(conn);
        return;
    }
    conn->next = control->conns;
    control->conns = conn;
    uv_os_fd_t fd = -1;
    if (uv_accept(stream, (uv_stream_t *)&conn->pipe) != 0 ||
        uv_fileno((uv_handle_t *)&conn->pipe, &fd) != 0 || !is_peer_ours(fd) ||
        uv_read_start((uv_stream_t *)&conn->pipe, on_alloc, on_read) != 0)
        conn_close(conn);
}

/* FNV-1a: enough to tell the state folders of one user apart. */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
    return h;
}

/* A folder under /tmp that nobody else can have put something into. */
static int own_tmp(char **out, struct crier_err *err)
{
    struct stat st;
    char *dir = crier_asprintf("/tmp/crier-%ld", (long)geteuid());
    int rc = 0;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot create '%s' for the control socket", dir);
    else if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
             (st.st_mode & 077))
        rc = crier_err_set(err, CRIER_EDENIED,
                           "'%s' is not a folder of ours with mode 0700: remove it, or set "
                           "XDG_RUNTIME_DIR",
                           dir);
    if (rc == 0)
        *out = dir;
    else
        free(dir);
    return rc;
}

/* Where the socket goes, and the pointer file when that is not the folder. */
static int choose_path(const char *folder, char **path, char **pointer, struct crier_err *err)
{
    int rc = 0;
    *pointer = NULL;
    *path = crier_path_join(folder, "control.sock");
    if (fits(*path))
        return 0;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *dir = NULL, *real = realpath(folder, NULL);
    char name[32];
    snprintf(name, sizeof name, "crier-%016llx.sock", (unsigned long long)hash(real ? real : folder));
    free(real);
    free(*path);
    *path = NULL;
    if (runtime && runtime[0] == '/' && strlen(runtime) + strlen(name) + 1 < 100)
        dir = crier_strdup(runtime);
    else
        rc = own_tmp(&dir, err);
    if (rc == 0) {
        *path = crier_path_join(dir, name);
        *pointer = crier_path_join(folder, "control.path");
    }
    free(dir);
    return rc;
}

static int write_pointer(const char *pointer, const char *path, struct crier_err *err)
{
    int fd = open(pointer, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && dprintf(fd, "%s\n", path) > 0;
    int rc = ok ? 0 : crier_err_sys(err, CRIER_EIO, errno, "cannot write '%s'", pointer);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int remove_stale(const char *path, struct crier_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return crier_err_set(err, CRIER_EEXIST,
                             "'%s' is in the way of the control socket and is not one: move it",
                             path);
    if (unlink(path) != 0)
        return crier_err_sys(err, CRIER_EIO, errno, "cannot remove the old control socket '%s'",
                             path);
    return 0;
}

static void control_free(struct crier_control *control)
{
    free(control->path);
    free(control->pointer);
    free(control);
}

static void on_listener_closed(uv_handle_t *handle)
{
    control_free(handle->data);
}

int crier_control_serve(struct crier_loop *loop, const char *folder, crier_control_handler *handler,
                        void *arg, struct crier_control **out, struct crier_err *err)
{
    if (!crier_loop_uv(loop))
        return crier_err_set(err, CRIER_EINVAL, "there is no control socket in virtual time");
    struct crier_control *control = crier_calloc(1, sizeof *control);
    char *direct = crier_path_join(folder, "control.path");
    control->handler = handler;
    control->arg = arg;
    control->listener.data = control;
    int rc = choose_path(folder, &control->path, &control->pointer, err);
    if (rc == 0)
        rc = remove_stale(control->path, err);
    if (rc != 0)
        goto out;
    if (!control->pointer)
        unlink(direct);

    int uv = uv_pipe_init(crier_loop_uv(loop), &control->listener, 0);
    if (uv != 0) {
        rc = crier_err_set(err, CRIER_EINTERNAL, "control socket: %s", uv_strerror(uv));
        goto out;
    }
    /* Nobody can connect before the listen, so the mode is set in time, and without umask, which
     * would be every thread's. */
    uv = uv_pipe_bind(&control->listener, control->path);
    if (uv == 0 && chmod(control->path, 0600) != 0)
        uv = -errno;
    if (uv == 0 && control->pointer)
        rc = write_pointer(control->pointer, control->path, err);
    if (uv == 0 && rc == 0)
        uv = uv_listen((uv_stream_t *)&control->listener, 128, on_connection);
    if (uv != 0)
        rc = crier_err_sys(err, CRIER_EIO, -uv, "cannot listen on the control socket '%s'",
                           control->path);
    if (rc != 0) {
        uv_close((uv_handle_t *)&control->listener, on_listener_closed);
        control = NULL;
        goto out;
    }
    signal(SIGPIPE, SIG_IGN);
    *out = control;
    control = NULL;
out:
    if (control)
        control_free(control);
    free(direct);
    return rc;
}

void crier_control_stop(struct crier_control *control)
{
    if (!control)
        return;
    if (control->pointer)
        unlink(control->pointer);
    while (control->conns)
        conn_close(control->conns);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed); /* removes the socket's file */
}

const char *crier_control_path(const struct crier_control *control)
{
    return control->path;
}

/* --- the client ---------------------------------------------------------------------------- */

static char *find_socket(const char *folder)
{
    char *pointer = crier_path_join(folder, "control.path");
    struct crier_buf b = {0};
    char *path = NULL;
    if (crier_file_read(pointer, PATH_MAX, &b, NULL) == 0 && b.len)
        path = crier_strndup(b.data, strcspn(b.data, "\n"));
    else
        path = crier_path_join(folder, "control.sock");
    crier_buf_fini(&b);
    free(pointer);
    return path;
}

static int no_host(const char *folder, struct crier_err *err)
{
    return crier_err_set(err, CRIER_ENET, "no running host in '%s'", folder);
}

static int connect_to(const char *folder, int *out, struct crier_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct ucred cred = {0};
    socklen_t len = sizeof cred;
    char *path = find_socket(folder);
    int rc = 0, fd = -1;
    if (!fits(path)) {
        rc = no_host(folder, err);
        goto out;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        rc = crier_err_sys(err, CRIER_ENET, errno, "cannot make a socket");
        goto out;
    }
    while ((rc = connect(fd, (struct sockaddr *)&addr, sizeof addr)) != 0 && errno == EINTR)
        ;
    if (rc != 0 && (errno == EACCES || errno == EPERM))
        rc = crier_err_sys(err, CRIER_EDENIED, errno, "cannot reach the host in '%s'", folder);
    else if (rc != 0)
        rc = no_host(folder, err);
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 ||
             (cred.uid != geteuid() && cred.uid != 0 && geteuid() != 0))
        rc = crier_err_set(err, CRIER_EDENIED, "what listens in '%s' belongs to another user",
                           folder);
    if (rc == 0) {
        *out = fd;
        fd = -1;
    }
out:
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

/* A host that refuses the request may close before it has read all: its answer is there. */
static void send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

/* The last line of an answer: hosts write this member first. */
static bool is_done(const char *line, size_t len)
{
    static const char begin[] = "{\"done\":true";
    return len >= sizeof begin - 1 && memcmp(line, begin, sizeof begin - 1) == 0;
}

struct answer {
    bool (*on_text)(void *arg, const char *text, size_t len);
    void *arg;
    json_t *done;
};

/* The lines that are whole, which are taken from the buffer. False: they are no host's. */
static bool take_lines(struct crier_buf *b, struct answer *a)
{
    size_t from = 0;
    bool ok = true;
    while (ok && !a->done && from < b->len) {
        const char *line = b->data + from, *end = memchr(line, '\n', b->len - from);
        if (!end)
            break;
        size_t len = (size_t)(end - line);
        if (is_done(line, len))
            ok = (a->done = json_loadb(line, len, 0, NULL)) != NULL;
        else
            ok = a->on_text(a->arg, line, len);
        from += len + 1;
    }
    memmove(b->data, b->data + from, b->len - from);
    b->len -= from;
    return ok;
}

static int read_answer(int fd, const char *folder, struct answer *a, struct crier_err *err)
{
    struct crier_buf b = {0};
    int rc = 0;
    while (rc == 0 && !a->done) {
        ssize_t n = recv(fd, crier_buf_reserve(&b, 65536), 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0)
            b.len += (size_t)n;
        if (n <= 0)
            rc = crier_err_set(err, CRIER_ENET, "the host in '%s' ended before it had answered",
                               folder);
        else if (!take_lines(&b, a))
            rc = crier_err_set(err, CRIER_ENET, "what listens in '%s' is not a crier host", folder);
    }
    crier_buf_fini(&b);
    return rc;
}

int crier_control_stream(const char *folder, const json_t *request,
                         bool (*on_text)(void *arg, const char *text, size_t len), void *arg,
                         json_t **done, struct crier_err *err)
{
    struct answer a = {.on_text = on_text, .arg = arg};
    int fd = -1;
    if (done)
        *done = NULL;
    int rc = connect_to(folder, &fd, err);
    if (rc != 0)
        return rc;
    char *text = json_dumps(request, JSON_COMPACT);
    send_all(fd, text, strlen(text));
    send_all(fd, "\n", 1);
    free(text);
    rc = read_answer(fd, folder, &a, err);
    close(fd);
    if (rc == 0)
        rc = (int)json_integer_value(json_object_get(a.done, "code"));
    if (done)
        *done = json_incref(a.done);
    json_decref(a.done);
    return rc;
}

struct line_reader {
    void (*on_line)(void *arg, json_t *line);
    void *arg;
};

static bool read_line(void *arg, const char *text, size_t len)
{
    const struct line_reader *r = arg;
    json_t *line = json_loadb(text, len, 0, NULL);
    bool ok = json_is_object(line);
    if (ok && r->on_line)
        r->on_line(r->arg, line);
    json_decref(line);
    return ok;
}

int crier_control_call(const char *folder, const json_t *request,
                       void (*on_line_)(void *arg, json_t *line), void *arg, json_t **done,
                       struct crier_err *err)
{
    struct line_reader reader = {on_line_, arg};
    return crier_control_stream(folder, request, read_line, &reader, done, err);
}
