/* SPDX-License-Identifier: MIT */
#include "discord/gateway_socket.h"

#include <stdio.h>

#include "sim/gateway.h"

struct inline_sockets {
    struct crier_gateway_sockets base;
    struct crier_sim *sim;
    struct crier_loop *loop;
    unsigned alive;
};

/* What is on its way: to the client, or to the simulator. */
struct parcel {
    enum { OPENED, MESSAGE, CLOSED, TO_SIM, CLOSE_SIM } what;
    int64_t due;
    int code;
    char *text;
    size_t len;
};

struct crier_gateway_socket {
    struct sim_conn conn;
    struct inline_sockets *sockets;
    const struct crier_gateway_socket_events *events; /* NULL: the client has closed it */
    void *arg;
    char *query;
    GQueue parcels;
    struct crier_timer timer;
    bool at_sim; /* the simulator knows of it */
};

static void post(struct crier_gateway_socket *s, int what, int code, const char *text, size_t len)
{
    struct parcel *p = crier_calloc(1, sizeof *p);
    int64_t way = s->sockets->sim->config.latency / 2;
    p->what = what;
    p->code = code;
    p->text = text ? crier_strndup(text, len) : NULL;
    p->len = len;
    p->due = crier_loop_now(s->sockets->loop) + way;
    g_queue_push_tail(&s->parcels, p);
    if (!crier_timer_armed(&s->timer))
        crier_timer_at(s->sockets->loop, &s->timer, p->due);
}

static void parcel_free(void *p)
{
    free(((struct parcel *)p)->text);
    free(p);
}

static void socket_free(struct crier_gateway_socket *s)
{
    crier_timer_stop(s->sockets->loop, &s->timer);
    g_queue_clear_full(&s->parcels, parcel_free);
    s->sockets->alive--;
    free(s->query);
    free(s);
}

static void conn_send(struct sim_conn *conn, const char *text, size_t len)
{
    post(CRIER_CONTAINER(conn, struct crier_gateway_socket, conn), MESSAGE, 0, text, len);
}

static void conn_close(struct sim_conn *conn, int code, const char *why)
{
    post(CRIER_CONTAINER(conn, struct crier_gateway_socket, conn), CLOSED, code, why,
         why ? strlen(why) : 0);
}

static void conn_garbage(struct sim_conn *conn)
{
    post(CRIER_CONTAINER(conn, struct crier_gateway_socket, conn), MESSAGE, 0, "{\"op\":", 6);
}

static void leave_sim(struct crier_gateway_socket *s, int code)
{
    if (s->at_sim)
        sim_gateway_gone(&s->conn, code);
    s->at_sim = false;
}

/* False: the socket is gone. */
static bool deliver(struct crier_gateway_socket *s, struct parcel *p)
{
    switch (p->what) {
    case OPENED:
        s->at_sim = true;
        if (s->events)
            s->events->opened(s->arg);
        sim_gateway_open(s->sockets->sim, &s->conn, s->query);
        return true;
    case MESSAGE:
        if (s->events)
            s->events->received(s->arg, p->text, p->len, false, true);
        return true;
    case CLOSED:
        leave_sim(s, p->code);
        if (s->events)
            s->events->closed(s->arg, p->code, p->text ? p->text : "the connection was cut");
        return false;
    case TO_SIM:
        if (s->at_sim)
            sim_gateway_receive(&s->conn, p->text, p->len);
        return true;
    case CLOSE_SIM:
        leave_sim(s, p->code);
        return false;
    }
    return true;
}

static void on_timer(struct crier_timer *timer)
{
    struct crier_gateway_socket *s = CRIER_CONTAINER(timer, struct crier_gateway_socket, timer);
    struct parcel *p = g_queue_pop_head(&s->parcels);
    if (!p)
        return;
    bool alive = deliver(s, p);
    parcel_free(p);
    if (!alive) {
        socket_free(s);
        return;
    }
    p = g_queue_peek_head(&s->parcels);
    if (p && !crier_timer_armed(&s->timer))
        crier_timer_at(s->sockets->loop, &s->timer, p->due);
}

static struct crier_gateway_socket *socket_connect(struct crier_gateway_sockets *base,
                                                   const char *url,
                                                   const struct crier_gateway_socket_events *events,
                                                   void *arg)
{
    struct inline_sockets *sockets = CRIER_CONTAINER(base, struct inline_sockets, base);
    struct crier_gateway_socket *s = crier_calloc(1, sizeof *s);
    const char *query = strchr(url, '?');
    s->sockets = sockets;
    s->events = events;
    s->arg = arg;
    s->query = crier_strdup(query ? query + 1 : "");
    s->conn.send = conn_send;
    s->conn.close = conn_close;
    s->conn.garbage = conn_garbage;
    s->timer.fire = on_timer;
    g_queue_init(&s->parcels);
    sockets->alive++;
    post(s, OPENED, 0, NULL, 0);
    return s;
}

static void socket_send(struct crier_gateway_socket *s, const char *text, size_t len)
{
    post(s, TO_SIM, 0, text, len);
}

static void socket_close(struct crier_gateway_socket *s, int code)
{
    s->events = NULL;
    post(s, CLOSE_SIM, code, NULL, 0);
}

static void sockets_free(struct crier_gateway_sockets *base)
{
    struct inline_sockets *sockets = CRIER_CONTAINER(base, struct inline_sockets, base);
    /* What is closed goes through the loop, which may have stopped before. */
    for (struct sim_conn *c = sockets->sim->gateway->conns, *next; c; c = next) {
        next = c->next;
        struct crier_gateway_socket *s = CRIER_CONTAINER(c, struct crier_gateway_socket, conn);
        if (c->send != conn_send)
            continue;
        leave_sim(s, 0);
        socket_free(s);
    }
    free(sockets);
}

static const struct crier_gateway_sockets_ops ops = {socket_connect, socket_send, socket_close,
                                                     sockets_free};

struct crier_gateway_sockets *crier_sim_gateway_sockets(struct crier_sim *sim,
                                                        struct crier_loop *loop)
{
    struct inline_sockets *sockets = crier_calloc(1, sizeof *sockets);
    sockets->base.ops = &ops;
    sockets->sim = sim;
    sockets->loop = loop;
    return &sockets->base;
}
