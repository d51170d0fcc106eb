/* SPDX-License-Identifier: MIT
 *
 * The gateway's share of the simulator's server: libwebsockets' callbacks of a WebSocket.
 *
 * Thread: [loop].
 */
#ifndef CRIER_SIM_GATEWAY_SERVER_H
#define CRIER_SIM_GATEWAY_SERVER_H

#include <libwebsockets.h>
#include <stdbool.h>

struct crier_sim;

/** Whether the callback was one of these; then *rc is what to return. */
bool sim_ws_callback(struct crier_sim *sim, struct lws *wsi, enum lws_callback_reasons why,
                     void *in, size_t len, int *rc);

#endif
