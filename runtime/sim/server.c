/* SPDX-License-Identifier: MIT
 *
 * libwebsockets on the loop's libuv loop. A connection has one struct exchange, used for one
 * request after the other; libwebsockets gives no promise that per-session memory lives from one
 * request to the next, so it hangs on the wsi's opaque pointer.
 */
#include "sim/model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "sim/gateway_server.h"
#include "sim/multipart.h"

enum { MAX_BODY = 30 << 20, CHUNK = 64 << 10 };

struct crier_sim_server {
    struct crier_sim *sim;
    struct crier_loop *loop;
    struct lws_context *context; /* set to NULL by libwebsockets when its last handle is closed */
    struct exchange *exchanges;
};

struct exchange {
    struct crier_sim_server *server;
    struct exchange *next, **link;
    struct lws *wsi;
    char method[8];
    char *authorization, *user_agent, *content_type;
    struct crier_buf path, body;
    struct crier_buf out; /* LWS_PRE bytes, then the answer */
    struct crier_timer delay; /* until the answer goes out */
    uint64_t received;        /* bytes, when the last answer went out */
    size_t length;            /* of the body, as the headers say */
    enum { IDLE, READING, ANSWERED } state;
    bool close_after;
};

static void exchange_reset(struct exchange *ex)
{
    crier_timer_stop(ex->server->loop, &ex->delay);
    if (ex->authorization)
        explicit_bzero(ex->authorization, strlen(ex->authorization));
    free(ex->authorization);
    free(ex->user_agent);
    free(ex->content_type);
    ex->authorization = ex->user_agent = ex->content_type = NULL;
    crier_buf_fini(&ex->path);
    crier_buf_fini(&ex->body);
    crier_buf_fini(&ex->out);
    ex->state = IDLE;
}

static void exchange_free(struct exchange *ex)
{
    exchange_reset(ex);
    *ex->link = ex->next;
    if (ex->next)
        ex->next->link = ex->link;
    free(ex);
}

/* --- the request --------------------------------------------------------------------------- */

static char *header(struct lws *wsi, enum lws_token_indexes token)
{
    int n = lws_hdr_total_length(wsi, token);
    if (n <= 0)
        return NULL;
    char *text = crier_malloc((size_t)n + 1);
    if (lws_hdr_copy(wsi, text, n + 1, token) < 0)
        text[0] = '\0';
    return text;
}

/* libwebsockets hands out the path decoded; the model decodes, so what is special is encoded. */
static void read_path(struct exchange *ex, const char *uri, size_t len)
{
    static const char plain[] = "/-._~:@!$&'()*+,;=";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)uri[i];
        if (g_ascii_isalnum((char)c) || (c && strchr(plain, c)))
            crier_buf_putc(&ex->path, (char)c);
        else
            crier_buf_printf(&ex->path, "%%%02X", c);
    }
    char arg[256];
    for (int i = 0; lws_hdr_copy_fragment(ex->wsi, arg, sizeof arg, WSI_TOKEN_HTTP_URI_ARGS, i) > 0;
         i++) {
        crier_buf_putc(&ex->path, i ? '&' : '?');
        crier_buf_puts(&ex->path, arg);
    }
}

static const char *method_name(int method)
{
    switch (method) {
    case LWSHUMETH_GET:
        return "GET";
    case LWSHUMETH_POST:
        return "POST";
    case LWSHUMETH_OPTIONS:
        return "OPTIONS";
    case LWSHUMETH_PUT:
        return "PUT";
    case LWSHUMETH_PATCH:
        return "PATCH";
    case LWSHUMETH_DELETE:
        return "DELETE";
    case LWSHUMETH_HEAD:
        return "HEAD";
    default:
        return NULL;
    }
}

/* --- the answer ---------------------------------------------------------------------------- */

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
    case 413:
        return "Payload Too Large";
    case 429:
        return "Too Many Requests";
    default:
        return status >= 500 ? "Server Error" : "Status";
    }
}

/* What is left of the answer out; -1: close. libwebsockets keeps what the socket does not take, so
 * that one write is enough. */
static int finish(struct exchange *ex)
{
    struct lws *wsi = ex->wsi;
    bool last = ex->close_after;
    size_t n = ex->out.len - LWS_PRE;
    if (n && lws_write(wsi, (unsigned char *)ex->out.data + LWS_PRE, n, LWS_WRITE_HTTP_FINAL) < 0)
        last = true;
    exchange_reset(ex);
    ex->received = sim_bytes_received(lws_get_socket_fd(wsi));
    return last || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static void on_delay(struct crier_timer *timer)
{
    struct exchange *ex = CRIER_CONTAINER(timer, struct exchange, delay);
    lws_rx_flow_control(ex->wsi, 1);
    lws_callback_on_writable(ex->wsi);
}

/* Headers and body become the bytes that go out, at once or after the delay, when nothing is read
 * meanwhile. -1: close. */
static int respond(struct exchange *ex, const struct crier_sim_answer *ans)
{
    ex->state = ANSWERED;
    bool no_body = ans->status == 204 || ans->status == 304;
    crier_buf_reserve(&ex->out, LWS_PRE);
    ex->out.len = LWS_PRE;
    if (ans->close == CRIER_SIM_ANSWER || ans->close == CRIER_SIM_CUT) {
        crier_buf_printf(&ex->out, "HTTP/1.1 %d %s\r\n", ans->status, reason(ans->status));
        for (size_t i = 0; i < ans->headers.len; i++) {
            if (ans->headers.data[i] == '\n')
                crier_buf_putc(&ex->out, '\r');
            crier_buf_putc(&ex->out, ans->headers.data[i]);
        }
        if (!no_body)
            crier_buf_printf(&ex->out, "Content-Length: %zu\r\n", ans->body.len);
        if (ex->close_after)
            crier_buf_puts(&ex->out, "Connection: close\r\n");
        crier_buf_puts(&ex->out, "\r\n");
        if (!no_body && strcmp(ex->method, "HEAD") != 0)
            crier_buf_append(&ex->out, ans->body.data ? ans->body.data : "", ans->body.len);
    }
    if (ans->close == CRIER_SIM_CUT)
        ex->out.len -= (ans->body.len + 1) / 2;
    if (ans->close == CRIER_SIM_RESET) {
        /* Linux sends a reset for this; closing would not do, since libwebsockets says goodbye
         * first. */
        struct sockaddr none = {.sa_family = AF_UNSPEC};
        (void)connect(lws_get_socket_fd(ex->wsi), &none, sizeof none);
    }
    ex->close_after |= ans->close != CRIER_SIM_ANSWER;
    if (ans->delay_us <= 0)
        return finish(ex);
    lws_set_timeout(ex->wsi, NO_PENDING_TIMEOUT, 0);
    lws_rx_flow_control(ex->wsi, 0);
    crier_timer_in(ex->server->loop, &ex->delay, ans->delay_us);
    return 0;
}

static int respond_error(struct exchange *ex, int status, const char *text)
{
    struct crier_sim_answer ans = {.status = status};
    crier_buf_puts(&ans.headers, "content-type: application/json\n");
    crier_json_open(&ans.body, '{');
    crier_json_key(&ans.body, "message");
    crier_json_str(&ans.body, text);
    crier_json_key(&ans.body, "code");
    crier_json_int(&ans.body, 0);
    crier_json_close(&ans.body, '}');
    int rc = respond(ex, &ans);
    crier_sim_answer_fini(&ans);
    return rc;
}

/* --- /sim: what tests and people ask the simulator itself ------------------------------------ */

static void control_stats(const struct crier_sim *sim, struct crier_buf *b)
{
    struct crier_sim_stats st;
    crier_sim_stats(sim, &st);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"requests", st.requests},       {"creates", st.creates},
        {"edits", st.edits},             {"deletes", st.deletes},
        {"answers_429", st.answers_429}, {"answers_4xx", st.answers_4xx},
        {"answers_5xx", st.answers_5xx}, {"identifies", st.identifies},
        {"resumes", st.resumes},         {"gateway_events", st.gateway_events},
        {"connections", st.connections}, {"sessions", st.sessions},
    };
    crier_json_open(b, '{');
    for (size_t i = 0; i < CRIER_COUNT(rows); i++) {
        crier_json_key(b, rows[i].name);
        crier_json_uint(b, rows[i].value);
    }
    crier_json_close(b, '}');
}

static void control_transcript(struct crier_sim *sim, const char *query, struct crier_buf *b)
{
    const char *last = strstr(query, "last=");
    crier_sim_transcript(sim, last ? (unsigned)strtoul(last + 5, NULL, 10) : 0,
                         strstr(query, "color=1") != NULL, b);
}

static int control(struct exchange *ex)
{
    struct crier_sim *sim = ex->server->sim;
    struct crier_sim_answer ans = {.status = 200};
    struct crier_err err = {0};
    char name[32];
    const char *query = strchr(ex->path.data, '?');
    snprintf(name, sizeof name, "%.*s", (int)strcspn(ex->path.data + 5, "?"), ex->path.data + 5);
    const char *type = "application/json";
    bool get = strcmp(ex->method, "GET") == 0;
    if (get && strcmp(name, "state") == 0) {
        json_t *dump = crier_sim_dump(sim);
        char *text = json_dumps(dump, JSON_COMPACT);
        crier_buf_puts(&ans.body, text);
        free(text);
        json_decref(dump);
    } else if (get && strcmp(name, "transcript") == 0) {
        type = "text/plain; charset=utf-8";
        control_transcript(sim, query ? query : "", &ans.body);
    } else if (get && strcmp(name, "stats") == 0) {
        control_stats(sim, &ans.body);
    } else if (strcmp(ex->method, "DELETE") == 0 && strcmp(name, "faults") == 0) {
        crier_sim_faults_clear(sim);
        ans.status = 204;
    } else if (strcmp(ex->method, "POST") == 0 && strcmp(name, "faults") == 0) {
        if (crier_sim_fault(sim, ex->body.len ? ex->body.data : "", &err) != 0)
            return respond_error(ex, 400, err.text);
        ans.status = 204;
    } else if (strcmp(ex->method, "POST") == 0 && strcmp(name, "events") == 0) {
        if (crier_sim_event(sim, ex->body.len ? ex->body.data : "", &err) != 0)
            return respond_error(ex, 400, err.text);
        ans.status = 204;
    } else {
        return respond_error(ex, 404,
                             "404: there are GET /sim/state, /sim/transcript, /sim/stats, "
                             "POST and DELETE /sim/faults, POST /sim/events");
    }
    if (ans.status == 200)
        crier_buf_printf(&ans.headers, "content-type: %s\n", type);
    int rc = respond(ex, &ans);
    crier_sim_answer_fini(&ans);
    return rc;
}

/* --- the model's answer --------------------------------------------------------------------- */

static int execute(struct exchange *ex)
{
    struct crier_http_part *parts = NULL;
    size_t count = 0;
    struct crier_sim_answer ans = {0};
    if (strncmp(ex->path.data, "/sim/", 5) == 0)
        return control(ex);
    bool multipart =
        ex->content_type && strncasecmp(ex->content_type, "multipart/form-data", 19) == 0;
    if (multipart && !crier_sim_multipart_parse(ex->content_type, ex->body.data, ex->body.len,
                                                &parts, &count))
        return respond_error(ex, 400, "400: Bad Request");
    struct crier_sim_request req = {.method = ex->method,
                                    .path = ex->path.data,
                                    .authorization = ex->authorization,
                                    .user_agent = ex->user_agent,
                                    .content_type = ex->content_type,
                                    .body = multipart ? NULL : ex->body.data,
                                    .body_len = multipart ? 0 : ex->body.len,
                                    .parts = parts,
                                    .part_count = count};
    if (strcmp(ex->method, "OPTIONS") == 0) {
        ans.status = 204;
        crier_buf_puts(&ans.headers, "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\n");
    } else {
        crier_sim_handle(ex->server->sim, &req, &ans);
    }
    crier_sim_multipart_free(parts, count);
    crier_buf_fini(&ex->body);
    int rc = respond(ex, &ans);
    crier_sim_answer_fini(&ans);
    return rc;
}

/* --- libwebsockets' callback ----------------------------------------------------------------- */

static struct exchange *begin(struct lws *wsi)
{
    struct crier_sim_server *server = lws_context_user(lws_get_context(wsi));
    struct exchange *ex = crier_calloc(1, sizeof *ex);
    ex->server = server;
    ex->wsi = wsi;
    ex->delay.fire = on_delay;
    ex->next = server->exchanges;
    ex->link = &server->exchanges;
    if (ex->next)
        ex->next->link = &ex->next;
    server->exchanges = ex;
    lws_set_opaque_user_data(wsi, ex);
    return ex;
}

static int on_headers(struct lws *wsi)
{
    char *uri;
    int uri_len;
    struct exchange *ex = lws_get_opaque_user_data(wsi);
    if (!ex)
        ex = begin(wsi);
    /* A request that was sent before the last one's answer: libwebsockets 4.1 takes a third such
     * one for the body of the second and turns in circles. The client has to send it again on a
     * new connection, as RFC 9112, 9.3.2 expects of clients that do this. */
    if (ex->received && ex->received == sim_bytes_received(lws_get_socket_fd(wsi)))
        return -1;
    ex->state = READING;
    const char *method = method_name(lws_http_get_uri_and_method(wsi, &uri, &uri_len));
    if (!method)
        return -1;
    snprintf(ex->method, sizeof ex->method, "%s", method);
    read_path(ex, uri, (size_t)uri_len);
    ex->authorization = header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    ex->user_agent = header(wsi, WSI_TOKEN_HTTP_USER_AGENT);
    ex->content_type = header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE);
    char *length = header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    char *encoding = header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    char *expect = header(wsi, WSI_TOKEN_HTTP_EXPECT);
    unsigned long long body = length ? strtoull(length, NULL, 10) : 0;
    ex->length = (size_t)body;
    int rc = 0;
    if (encoding || body > MAX_BODY) {
        /* What follows on this connection is the body, which nobody will read. */
        ex->close_after = true;
        rc = respond_error(ex, encoding ? 411 : 413,
                           encoding ? "411: Length Required" : "413: Payload Too Large");
    } else if (!body) {
        rc = execute(ex);
    } else if (expect) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        unsigned char buf[LWS_PRE + sizeof go_on];
        memcpy(buf + LWS_PRE, go_on, sizeof go_on);
        lws_write(wsi, buf + LWS_PRE, sizeof go_on - 1, LWS_WRITE_HTTP_HEADERS);
    }
    free(length);
    free(encoding);
    free(expect);
    return rc;
}

/* libwebsockets 4.3 hands out all that has come with the headers, and would then wait for a body
 * without end. What is too much is another request, which is not looked at, as above. */
static int on_body(struct exchange *ex, const void *in, size_t len)
{
    if (!ex || ex->state != READING)
        return -1;
    size_t want = ex->length - ex->body.len;
    crier_buf_append(&ex->body, in, len < want ? len : want);
    if (len <= want)
        return 0;
    ex->close_after = true;
    return execute(ex);
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in,
                    size_t len)
{
    struct crier_sim_server *server = lws_context_user(lws_get_context(wsi));
    int rc;
    (void)user;
    if (server && sim_ws_callback(server->sim, wsi, why, in, len, &rc))
        return rc;
    /* Other callbacks come before there is a connection, or when there is none. */
    bool ours = why == LWS_CALLBACK_HTTP_BODY || why == LWS_CALLBACK_HTTP_BODY_COMPLETION ||
                why == LWS_CALLBACK_HTTP_WRITEABLE || why == LWS_CALLBACK_CLOSED_HTTP;
    struct exchange *ex = ours ? lws_get_opaque_user_data(wsi) : NULL;
    switch (why) {
    case LWS_CALLBACK_HTTP:
        return on_headers(wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(ex, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return ex && ex->state == READING ? execute(ex) : 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return ex && ex->state == ANSWERED && !crier_timer_armed(&ex->delay) ? finish(ex) : 0;
    case LWS_CALLBACK_CLOSED_HTTP:
        if (ex)
            exchange_free(ex);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = callback},
    {0},
};

/* --- start and stop -------------------------------------------------------------------------- */

/* libwebsockets does not say why it could not listen, so the port is tried first. */
static int try_port(int port, struct crier_err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, rc = 0;
    if (port < 0 || port > 65535)
        return crier_err_set(err, CRIER_EINVAL, "port %d: expected 0 to 65535", port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return crier_err_sys(err, CRIER_ENET, errno, "cannot make a socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1) != 0)
        rc = crier_err_sys(err, errno == EADDRINUSE ? CRIER_EBUSY : CRIER_ENET, errno,
                           "cannot listen on 127.0.0.1:%d", port);
    close(fd);
    return rc;
}

static void silent(int level, const char *line)
{
    (void)level;
    (void)line;
}

int crier_sim_server_start(struct crier_sim *sim, struct crier_loop *loop, int *port,
                           struct crier_sim_server **out, struct crier_err *err)
{
    struct crier_sim_server *server = NULL;
    void *foreign = crier_loop_uv(loop);
    *out = NULL;
    if (!foreign)
        return crier_err_set(err, CRIER_EINVAL, "an HTTP server needs a loop on the real clock");
    int rc = try_port(*port, err);
    if (rc)
        return rc;
    lws_set_log_level(0, silent);
    server = crier_calloc(1, sizeof *server);
    server->sim = sim;
    server->loop = loop;
    struct lws_context_creation_info info = {
        .port = *port,
        .iface = "127.0.0.1",
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .user = server,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DISABLE_IPV6 |
                   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN,
        .foreign_loops = &foreign,
        .pcontext = &server->context,
        .pt_serv_buf_size = CHUNK,
        .max_http_header_data = 8192,
        .fd_limit_per_thread = 1024,
        .keepalive_timeout = 600,
        .timeout_secs = 60,
    };
    server->context = lws_create_context(&info);
    struct lws_vhost *vhost =
        server->context ? lws_get_vhost_by_name(server->context, "default") : NULL;
    if (!vhost || lws_get_vhost_listen_port(vhost) <= 0) {
        rc = crier_err_set(err, CRIER_ENET,
                           "cannot start the HTTP server on port %d (libwebsockets' libuv "
                           "support must be installed: libwebsockets-evlib-uv)",
                           *port);
        crier_sim_server_stop(server);
        return rc;
    }
    *port = sim->port = lws_get_vhost_listen_port(vhost);
    *out = server;
    return 0;
}

void crier_sim_server_stop(struct crier_sim_server *server)
{
    if (!server)
        return;
    /* On a loop of somebody else's, libwebsockets closes its handles at the first call, one after
     * the other as the loop turns, and frees the context at a second call, which must not come
     * before the last one is closed: it unloads the code of their callbacks. */
    uv_loop_t *uv = crier_loop_uv(server->loop);
    if (server->context)
        lws_context_destroy(server->context);
    for (int turn = 0; server->context && turn < 32; turn++)
        uv_run(uv, UV_RUN_NOWAIT);
    if (server->context)
        lws_context_destroy(server->context);
    while (server->exchanges)
        exchange_free(server->exchanges);
    server->sim->port = 0;
    free(server);
}
