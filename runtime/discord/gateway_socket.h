/* SPDX-License-Identifier: MIT
 *
 * What carries the gateway's messages: a WebSocket by libwebsockets on the loop
 * (discord/gateway_lws.c), or the simulator's in-process one (sim/gateway_inline.c), which needs no
 * socket and runs in virtual time.
 *
 * It knows nothing of the gateway: no heartbeats, no compression, no reconnecting.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_GATEWAY_SOCKET_H
#define CRIER_DISCORD_GATEWAY_SOCKET_H

#include "base/buf.h"
#include "base/loop.h"

struct crier_gateway_socket; /* one connection, opaque */

/** What happens to a connection. None is called from within connect, send or close. */
struct crier_gateway_socket_events {
    void (*opened)(void *arg);
    /** Bytes of a message, in order; final: its last ones. Borrowed for the call, in which the
     *  connection may be closed. */
    void (*received)(void *arg, const char *data, size_t len, bool binary, bool final);
    /** It has ended, or never came about; the socket is gone when this returns. code: the close
     *  frame's, 0 when there was none; why: for people. */
    void (*closed)(void *arg, int code, const char *why);
};

struct crier_gateway_sockets {
    const struct crier_gateway_sockets_ops *ops;
};
struct crier_gateway_sockets_ops {
    /** url: "wss://gateway.discord.gg/?v=10&encoding=json". A failure comes by `closed`. */
    struct crier_gateway_socket *(*connect)(struct crier_gateway_sockets *sockets, const char *url,
                                            const struct crier_gateway_socket_events *events,
                                            void *arg);
    /** One text message. */
    void (*send)(struct crier_gateway_socket *socket, const char *text, size_t len);
    /** End it with this code (0: cut it, for a peer that does not answer). What was sent goes out
     *  first. No event comes any more, and the socket is not the caller's any more. */
    void (*close)(struct crier_gateway_socket *socket, int code);
    /** Every socket must have been closed. */
    void (*free)(struct crier_gateway_sockets *sockets);
};

/** TLS verified always. libwebsockets is initialised at the first connection, so that a host that
 *  needs no gateway pays nothing. Needs a live loop. To be freed before the loop, while
 *  crier_loop_run is not on the stack. */
struct crier_gateway_sockets *crier_gateway_sockets_lws(struct crier_loop *loop);

#endif
