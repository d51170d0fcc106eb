/* SPDX-License-Identifier: MIT
 *
 * The gateway as a WebSocket, on the simulator's HTTP server.
 */
#include "sim/gateway_server.h"

#include <stdio.h>
#include <zlib.h>

#include "sim/gateway.h"

/* Out of one's own hand, so that nobody has to look at what a test client sends for ever. */
enum { MAX_MESSAGE = 64 << 10 };
/* The value between LWS_WRITE_HTTP and LWS_WRITE_PING, to which the header gives no name. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)

struct ws {
    struct sim_conn conn;
    struct lws *wsi;
    GQueue out; /* struct crier_buf: LWS_PRE bytes, then the message */
    struct crier_buf in;
    z_stream deflate;
    bool zlib, closing, said; /* said: the close frame is out */
    int code;
    char why[64];
};

static void queue(struct ws *ws, const void *data, size_t len)
{
    struct crier_buf *b = crier_calloc(1, sizeof *b);
    crier_buf_reserve(b, LWS_PRE + len);
    b->len = LWS_PRE;
    crier_buf_append(b, data, len);
    g_queue_push_tail(&ws->out, b);
    lws_callback_on_writable(ws->wsi);
}

static void out_free(void *p)
{
    crier_buf_fini(p);
    free(p);
}

static void conn_send(struct sim_conn *conn, const char *text, size_t len)
{
    struct ws *ws = CRIER_CONTAINER(conn, struct ws, conn);
    if (!ws->zlib) {
        queue(ws, text, len);
        return;
    }
    /* One stream for the connection; each message ends with a flush, 00 00 FF FF. */
    struct crier_buf b = {0};
    ws->deflate.next_in = (unsigned char *)text;
    ws->deflate.avail_in = (unsigned)len;
    do {
        ws->deflate.next_out = (unsigned char *)crier_buf_reserve(&b, 16384);
        ws->deflate.avail_out = 16384;
        deflate(&ws->deflate, Z_SYNC_FLUSH);
        b.len += 16384 - ws->deflate.avail_out;
    } while (!ws->deflate.avail_out);
    queue(ws, b.data, b.len);
    crier_buf_fini(&b);
}

static void conn_close(struct sim_conn *conn, int code, const char *why)
{
    struct ws *ws = CRIER_CONTAINER(conn, struct ws, conn);
    ws->closing = true;
    ws->code = code;
    snprintf(ws->why, sizeof ws->why, "%s", why ? why : "");
    lws_callback_on_writable(ws->wsi);
}

static void conn_garbage(struct sim_conn *conn)
{
    queue(CRIER_CONTAINER(conn, struct ws, conn), "{\"op\":\xff\xff", 8);
}

static struct ws *begin(struct crier_sim *sim, struct lws *wsi)
{
    struct ws *ws = crier_calloc(1, sizeof *ws);
    char arg[256], query[512];
    size_t at = 0;
    query[0] = '\0';
    for (int i = 0; lws_hdr_copy_fragment(wsi, arg, sizeof arg, WSI_TOKEN_HTTP_URI_ARGS, i) > 0 &&
                    at < sizeof query;
         i++)
        at += (size_t)snprintf(query + at, sizeof query - at, "%s%s", i ? "&" : "", arg);
    ws->wsi = wsi;
    ws->conn.send = conn_send;
    ws->conn.close = conn_close;
    ws->conn.garbage = conn_garbage;
    g_queue_init(&ws->out);
    ws->zlib = strstr(query, "compress=zlib-stream") != NULL;
    /* Fast rather than small: it is one process that plays both sides. */
    if (ws->zlib && deflateInit(&ws->deflate, 1) != Z_OK)
        abort();
    lws_set_opaque_user_data(wsi, ws);
    sim_gateway_open(sim, &ws->conn, query);
    return ws;
}

static void ws_free(struct ws *ws, int code)
{
    sim_gateway_gone(&ws->conn, code);
    g_queue_clear_full(&ws->out, out_free);
    crier_buf_fini(&ws->in);
    if (ws->zlib)
        deflateEnd(&ws->deflate);
    lws_set_opaque_user_data(ws->wsi, NULL);
    free(ws);
}

static int on_writable(struct ws *ws)
{
    struct crier_buf *b = g_queue_pop_head(&ws->out);
    if (b) {
        int n = lws_write(ws->wsi, (unsigned char *)b->data + LWS_PRE, b->len - LWS_PRE,
                          ws->zlib ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
        out_free(b);
        if (n < 0)
            return -1;
        if (!g_queue_is_empty(&ws->out) || ws->closing)
            lws_callback_on_writable(ws->wsi);
        return 0;
    }
    if (!ws->closing)
        return 0;
    if (!ws->code || ws->said)
        return -1;
    /* By hand: libwebsockets 4.1 forgets lws_close_reason when the callback ends the connection.
     * The other side answers, or is given up after a while. */
    unsigned char frame[LWS_PRE + 2 + sizeof ws->why];
    size_t n = strlen(ws->why);
    frame[LWS_PRE] = (unsigned char)(ws->code >> 8);
    frame[LWS_PRE + 1] = (unsigned char)ws->code;
    memcpy(frame + LWS_PRE + 2, ws->why, n);
    ws->said = true;
    if (lws_write(ws->wsi, frame + LWS_PRE, n + 2, WRITE_CLOSE) < 0)
        return -1;
    lws_set_timeout(ws->wsi, PENDING_TIMEOUT_CLOSE_ACK, 3);
    return 0;
}

static int on_receive(struct ws *ws, const void *in, size_t len)
{
    if (ws->in.len + len > MAX_MESSAGE) {
        sim_conn_close(&ws->conn, 4002, "Error while decoding payload.");
        return 0;
    }
    crier_buf_append(&ws->in, in, len);
    if (lws_remaining_packet_payload(ws->wsi) || !lws_is_final_fragment(ws->wsi))
        return 0;
    sim_gateway_receive(&ws->conn, ws->in.data ? ws->in.data : "", ws->in.len);
    crier_buf_clear(&ws->in);
    return 0;
}

bool sim_ws_callback(struct crier_sim *sim, struct lws *wsi, enum lws_callback_reasons why,
                     void *in, size_t len, int *rc)
{
    struct ws *ws;
    *rc = 0;
    switch (why) {
    case LWS_CALLBACK_ESTABLISHED:
        begin(sim, wsi);
        return true;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        ws = lws_get_opaque_user_data(wsi);
        *rc = ws ? on_writable(ws) : -1;
        return true;
    case LWS_CALLBACK_RECEIVE:
        ws = lws_get_opaque_user_data(wsi);
        *rc = ws ? on_receive(ws, in, len) : -1;
        return true;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        ws = lws_get_opaque_user_data(wsi);
        if (ws && len >= 2 && !ws->closing)
            ws->code = ((const unsigned char *)in)[0] << 8 | ((const unsigned char *)in)[1];
        return true;
    case LWS_CALLBACK_CLOSED:
        ws = lws_get_opaque_user_data(wsi);
        if (ws)
            ws_free(ws, ws->closing ? 0 : ws->code);
        return true;
    default:
        return false;
    }
}
