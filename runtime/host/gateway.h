/* SPDX-License-Identifier: MIT
 *
 * The gateway's part in the host: which bots have one, what their events become (hooks, replies,
 * records), and what is watched of invites.
 *
 *   event -> crier_gateway (cache learns) -> who wants it: hooks, replies, invites
 *         -> the queue, at most 1,000 events and 8 MiB -> calls of Lua, at most 64 at a time
 *
 * What does not fit into the queue is dropped, counted, and told: memory has a bound, whatever
 * happens on the other side.
 *
 * Thread: [loop].
 */
#ifndef CRIER_HOST_GATEWAY_H
#define CRIER_HOST_GATEWAY_H

#include "discord/gateway.h"
#include "host/private.h"

struct host_gateway; /* one a bot that needs it */
struct event_queue;  /* one a host */
struct invites;      /* one a bot */

/** At a swap: bots that need a gateway get one, those that do not any more lose theirs. */
void crier_host_gateways_adopt(struct crier_host *host, const struct crier_generation *gen);
/** The bot's gateway is closed; end: its session too. */
void crier_host_gateway_close(struct host_bot *bot, bool end);
/** The host ends: sessions are left for the next start to resume; frees the queue. While
 *  crier_loop_run is not on the stack, and after bots' gateways have been closed. */
void crier_host_gateways_end(struct crier_host *host);
/** For `status`; NULL: the bot has none. */
json_t *crier_host_gateway_status(struct host_bot *bot);
/** For crier_view_gateway; arg: the host_bot. */
struct crier_gateway *crier_host_gateway_of(void *bot);
/** What the bot knows of its guilds; NULL: it has no gateway. */
struct crier_gateway_cache *crier_host_cache(struct crier_host *host, const char *bot);

/* gateway_events.c */
void crier_event_queue_free(struct crier_host *host);
/** An event for hooks and replies. */
void crier_event_queue_push(struct crier_host *host, const char *bot, const char *event,
                            struct crier_str data, int change, uint64_t me);
/** An event that the host makes itself: texts as name, value, ..., NULL. */
void crier_event_tell(struct crier_host *host, const char *hook, const char *const *texts);
/** Events dropped so far, and waiting now. */
void crier_event_queue_stats(const struct crier_host *host, uint64_t *dropped, size_t *waiting);

/* invites.c */
struct invites *crier_invites_new(struct host_bot *bot);
void crier_invites_free(struct invites *invites);
/** Which guilds are watched from now on. */
void crier_invites_adopt(struct invites *invites, const struct crier_generation *gen);
/** The bot is connected: what is not known yet is asked. */
void crier_invites_ready(struct invites *invites);
void crier_invites_event(struct invites *invites, const char *name, struct crier_str data);

#endif
