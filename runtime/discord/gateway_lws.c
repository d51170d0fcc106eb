/* SPDX-License-Identifier: MIT
 *
 * libwebsockets as a client on the loop's libuv loop. One context for ws and one for wss, each made
 * when it is first needed: initialising TLS takes a while. Names are looked up by libuv, since
 * libwebsockets would block the loop for it.
 */
#include "discord/gateway_socket.h"

#include <glib.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { CHUNK = 64 << 10 };
/* The value between LWS_WRITE_HTTP and LWS_WRITE_PING, to which the header gives no name. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)

struct lws_sockets {
    struct crier_gateway_sockets base;
    struct crier_loop *loop;
    struct lws_context *contexts[2]; /* [tls]; set to NULL by libwebsockets when they are gone */
    struct crier_gateway_socket *all;
    unsigned turn; /* which of a name's addresses is next */
};

struct crier_gateway_socket {
    struct lws_sockets *sockets;
    struct crier_gateway_socket *next, **link;
    const struct crier_gateway_socket_events *events; /* NULL: its owner has closed it */
    void *arg;
    struct lws *wsi;
    uv_getaddrinfo_t lookup;
    bool looking, connecting, established, closing, said, ended;
    bool tls, untrusted;
    char *host, *path;
    int port, code;
    char why[200];
    GQueue out; /* struct crier_buf: LWS_PRE bytes, then the message */
    struct crier_timer later; /* tells of an end that came too early to be told */
};

static void out_free(void *p)
{
    struct crier_buf *b = p;
    if (b->data)
        explicit_bzero(b->data, b->len); /* an identify holds the token */
    crier_buf_fini(b);
    free(b);
}

static void socket_free(struct crier_gateway_socket *s)
{
    crier_timer_stop(s->sockets->loop, &s->later);
    g_queue_clear_full(&s->out, out_free);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    free(s->host);
    free(s->path);
    free(s);
}

/* Tells the owner, once. */
static void end(struct crier_gateway_socket *s)
{
    const struct crier_gateway_socket_events *events = s->events;
    s->ended = true;
    s->events = NULL;
    if (events)
        events->closed(s->arg, s->code, s->why);
}

static void fail(struct crier_gateway_socket *s, const char *why)
{
    if (!*s->why)
        snprintf(s->why, sizeof s->why, "%s", why);
    if (!crier_timer_armed(&s->later))
        crier_timer_in(s->sockets->loop, &s->later, 0);
}

static void on_later(struct crier_timer *timer)
{
    struct crier_gateway_socket *s = CRIER_CONTAINER(timer, struct crier_gateway_socket, later);
    end(s);
    if (!s->wsi && !s->looking)
        socket_free(s);
}

/* --- libwebsockets' callback ---------------------------------------------------------------- */

static int on_writable(struct crier_gateway_socket *s)
{
    struct crier_buf *b = g_queue_pop_head(&s->out);
    if (b) {
        int n = lws_write(s->wsi, (unsigned char *)b->data + LWS_PRE, b->len - LWS_PRE,
                          LWS_WRITE_TEXT);
        out_free(b);
        if (n < 0)
            return -1;
        if (!g_queue_is_empty(&s->out) || s->closing)
            lws_callback_on_writable(s->wsi);
        return 0;
    }
    if (!s->closing)
        return 0;
    if (s->said)
        return -1;
    /* By hand: libwebsockets 4.1 forgets lws_close_reason when the callback ends the connection.
     * The gateway answers, or is given up after a while. */
    unsigned char frame[LWS_PRE + 2];
    frame[LWS_PRE] = (unsigned char)(s->code >> 8);
    frame[LWS_PRE + 1] = (unsigned char)s->code;
    s->said = true;
    if (lws_write(s->wsi, frame + LWS_PRE, 2, WRITE_CLOSE) < 0)
        return -1;
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_ACK, 3);
    return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in,
                    size_t len)
{
    struct crier_gateway_socket *s = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    if (!s)
        return 0;
    switch (why) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        s->established = true;
        if (s->events)
            s->events->opened(s->arg);
        if (!g_queue_is_empty(&s->out) || s->closing)
            lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (s->events)
            s->events->received(s->arg, in, len, lws_frame_is_binary(wsi),
                                lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi));
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return s->established ? on_writable(s) : 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (len >= 2 && !s->closing) {
            s->code = ((const unsigned char *)in)[0] << 8 | ((const unsigned char *)in)[1];
            snprintf(s->why, sizeof s->why, "%.*s", (int)(len - 2 < 120 ? len - 2 : 120),
                     (const char *)in + 2);
        }
        return 0;
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        s->untrusted |= !len;
        return !len;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        /* Of a certificate libwebsockets only says that OpenSSL has failed. */
        snprintf(s->why, sizeof s->why, "cannot connect to %.60s: %.100s", s->host,
                 s->untrusted ? "its certificate is expired, of another name, or of nobody that "
                                "this machine trusts"
                 : in && len ? (const char *)in
                             : "no answer");
        if (s->connecting)
            fail(s, "cannot connect");
        else
            end(s);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (!s->ended)
            end(s);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        s->wsi = NULL;
        if (!s->ended && s->events)
            fail(s, "the connection broke");
        else if (!crier_timer_armed(&s->later) && !s->connecting)
            socket_free(s);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "crier-gateway", .callback = callback, .rx_buffer_size = CHUNK},
    {0},
};

static void silent(int level, const char *line)
{
    (void)level;
    (void)line;
}

static struct lws_context *context_of(struct lws_sockets *sockets, bool tls)
{
    void *foreign = crier_loop_uv(sockets->loop);
    if (sockets->contexts[tls] || !foreign)
        return sockets->contexts[tls];
    lws_set_log_level(0, silent);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN |
                   (tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .foreign_loops = &foreign,
        .pcontext = &sockets->contexts[tls],
        .pt_serv_buf_size = CHUNK,
        .fd_limit_per_thread = 1024,
        .timeout_secs = 20,
        .connect_timeout_secs = 20,
    };
    return sockets->contexts[tls] = lws_create_context(&info);
}

/* --- connecting ----------------------------------------------------------------------------- */

static void connect_to(struct crier_gateway_socket *s, const char *address)
{
    struct lws_context *context = context_of(s->sockets, s->tls);
    char *host = s->port == (s->tls ? 443 : 80) ? crier_strdup(s->host)
                                                : crier_asprintf("%s:%d", s->host, s->port);
    if (!context) {
        fail(s, "libwebsockets cannot start (its libuv support must be installed: "
                "libwebsockets-evlib-uv)");
        free(host);
        return;
    }
    struct lws_client_connect_info info = {
        .context = context,
        .address = address,
        .port = s->port,
        .ssl_connection = s->tls ? LCCSCF_USE_SSL : 0,
        .path = s->path,
        .host = host,
        .origin = host,
        .ietf_version_or_minus_one = -1,
        .local_protocol_name = "crier-gateway",
        .opaque_user_data = s,
        .pwsi = &s->wsi,
    };
    s->connecting = true;
    struct lws *wsi = lws_client_connect_via_info(&info);
    s->connecting = false;
    if (!wsi) {
        s->wsi = NULL;
        fail(s, "cannot connect");
    }
    free(host);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct crier_gateway_socket *s = lookup->data;
    struct addrinfo *a, *chosen = NULL;
    char address[64] = "", text[160];
    unsigned n = 0, turn = s->sockets->turn++;
    s->looking = false;
    for (a = found; a; a = a->ai_next)
        n += a->ai_family == AF_INET;
    turn = n ? turn % n : 0;
    for (a = found; a && n; a = a->ai_next) {
        if (a->ai_family == AF_INET && turn-- == 0)
            chosen = a;
    }
    if (chosen)
        uv_ip4_name((struct sockaddr_in *)chosen->ai_addr, address, sizeof address);
    else if (found && found->ai_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)found->ai_addr, address, sizeof address);
    uv_freeaddrinfo(found);
    if (!s->events) {
        if (!crier_timer_armed(&s->later))
            socket_free(s);
        return;
    }
    if (status == 0 && *address) {
        connect_to(s, address);
        return;
    }
    snprintf(text, sizeof text, "cannot find the address of %s: %s", s->host,
             status ? uv_strerror(status) : "it has none");
    fail(s, text);
}

/* "wss://host:port/path?query" */
static bool read_url(struct crier_gateway_socket *s, const char *url)
{
    s->tls = strncmp(url, "wss://", 6) == 0;
    if (!s->tls && strncmp(url, "ws://", 5) != 0)
        return false;
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, ":/?");
    const char *rest = host + len;
    s->host = crier_strndup(host, len);
    s->port = s->tls ? 443 : 80;
    if (*rest == ':') {
        s->port = (int)strtol(rest + 1, NULL, 10);
        rest += strcspn(rest, "/?");
    }
    s->path = crier_asprintf("%s%s", *rest == '/' ? "" : "/", rest);
    return len > 0 && s->port > 0 && s->port < 65536;
}

static struct crier_gateway_socket *socket_connect(struct crier_gateway_sockets *base,
                                                   const char *url,
                                                   const struct crier_gateway_socket_events *events,
                                                   void *arg)
{
    struct lws_sockets *sockets = CRIER_CONTAINER(base, struct lws_sockets, base);
    struct crier_gateway_socket *s = crier_calloc(1, sizeof *s);
    struct sockaddr_in literal;
    uv_loop_t *uv = crier_loop_uv(sockets->loop);
    s->sockets = sockets;
    s->events = events;
    s->arg = arg;
    s->later.fire = on_later;
    g_queue_init(&s->out);
    s->next = sockets->all;
    s->link = &sockets->all;
    if (s->next)
        s->next->link = &s->next;
    sockets->all = s;
    s->lookup.data = s;
    if (!uv || !read_url(s, url)) {
        fail(s, uv ? "the gateway's address makes no sense" : "a WebSocket needs a real clock");
    } else if (uv_ip4_addr(s->host, s->port, &literal) == 0) {
        connect_to(s, s->host);
    } else {
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        s->looking = uv_getaddrinfo(uv, &s->lookup, on_looked_up, s->host, NULL, &hints) == 0;
        if (!s->looking)
            fail(s, "cannot look up the gateway's address");
    }
    return s;
}

static void socket_send(struct crier_gateway_socket *s, const char *text, size_t len)
{
    struct crier_buf *b = crier_calloc(1, sizeof *b);
    crier_buf_reserve(b, LWS_PRE + len);
    b->len = LWS_PRE;
    crier_buf_append(b, text, len);
    g_queue_push_tail(&s->out, b);
    if (s->wsi && s->established)
        lws_callback_on_writable(s->wsi);
}

static void socket_close(struct crier_gateway_socket *s, int code)
{
    s->events = NULL;
    s->ended = true;
    if (s->looking) {
        uv_cancel((uv_req_t *)&s->lookup); /* freed when it has come back */
        return;
    }
    if (!s->wsi) {
        if (!crier_timer_armed(&s->later))
            crier_timer_in(s->sockets->loop, &s->later, 0);
        return;
    }
    s->code = code;
    s->closing = code != 0 && s->established;
    if (s->closing)
        lws_callback_on_writable(s->wsi);
    else
        lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void sockets_free(struct crier_gateway_sockets *base)
{
    struct lws_sockets *sockets = CRIER_CONTAINER(base, struct lws_sockets, base);
    uv_loop_t *uv = crier_loop_uv(sockets->loop);
    /* A moment for close frames that have been asked for, and for lookups to come back. */
    for (int turn = 0; sockets->all && turn < 50; turn++) {
        crier_loop_run(sockets->loop, crier_loop_now(sockets->loop) + 2 * CRIER_MS);
    }
    /* As for the simulator's server: the first call closes handles as the loop turns, the second
     * one frees, and must not come before. */
    for (int i = 0; i < 2; i++) {
        if (sockets->contexts[i])
            lws_context_destroy(sockets->contexts[i]);
        for (int turn = 0; sockets->contexts[i] && turn < 32; turn++)
            uv_run(uv, UV_RUN_NOWAIT);
        if (sockets->contexts[i])
            lws_context_destroy(sockets->contexts[i]);
    }
    while (sockets->all && sockets->all->looking)
        uv_run(uv, UV_RUN_ONCE);
    while (sockets->all)
        socket_free(sockets->all);
    free(sockets);
}

static const struct crier_gateway_sockets_ops ops = {socket_connect, socket_send, socket_close,
                                                     sockets_free};

struct crier_gateway_sockets *crier_gateway_sockets_lws(struct crier_loop *loop)
{
    struct lws_sockets *sockets = crier_calloc(1, sizeof *sockets);
    sockets->base.ops = &ops;
    sockets->loop = loop;
    return &sockets->base;
}
