/* SPDX-License-Identifier: MIT
 *
 * Discord's rate limits, as data: when may a request of this route go, and what did an answer
 * teach us. Pure: times are passed in, nothing waits here.
 *
 * Source: Discord's documentation, topics/rate-limits: a bucket is X-RateLimit-Bucket +
 * method + top-level id (channel, guild, webhook); until a route's first answer it has a bucket of
 * its own that lets one request at a time through, so that nothing is provoked which the headers
 * would have announced. Global: 50 requests a second a bot (never above `global_limit`). A 429
 * with scope `shared` holds the route only. Interaction endpoints
 * are not subject to the global limit.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_RATELIMIT_H
#define CRIER_DISCORD_RATELIMIT_H

#include "base/clock.h"
#include "discord/transport.h"

struct crier_ratelimit; /* opaque; one a bot */

struct crier_ratelimit *crier_ratelimit_new(int global_per_second);
void crier_ratelimit_free(struct crier_ratelimit *rl);

/** A route: method + path template with the top-level id kept: "POST /channels/123/messages",
 *  "PATCH /channels/123/messages/:id". Built by crier_ratelimit_route. */
void crier_ratelimit_route(const char *method, const char *path, struct crier_buf *out);

/** May a request of this route go now? 0: yes, and one is counted as under way (end it with
 *  _answer or _lost); taken: its place in the global limit, 0 when it needs none. Otherwise the
 *  monotonic time at which to ask again (CRIER_NEVER: when one under way ends). */
int64_t crier_ratelimit_acquire(struct crier_ratelimit *rl, const char *route, int64_t now,
                                int64_t *taken);
/** It has to wait for a connection; until _sent, or its end, nobody else gets its place: else all
 *  who wait so arrive at once. */
void crier_ratelimit_unsent(struct crier_ratelimit *rl, int64_t *taken);
void crier_ratelimit_sent(struct crier_ratelimit *rl, int64_t *taken, int64_t now);
/** When the global limit lets the next request through: 0 now, CRIER_NEVER when one of those under
 *  way is sent or ends. So that an owner of many routes can hold them all with one timer. */
int64_t crier_ratelimit_global(const struct crier_ratelimit *rl, int64_t now);
/** An answer came. Returns, for a 429, the monotonic time before which this request must not be
 *  repeated; else 0. */
int64_t crier_ratelimit_answer(struct crier_ratelimit *rl, const char *route, int64_t taken,
                               const struct crier_http_response *res, int64_t now);
/** What an answer says of waiting, in microseconds: `retry_after` of a JSON body, else the header
 *  Retry-After; -1 when it says nothing. */
int64_t crier_ratelimit_retry_after(const struct crier_http_response *res);
/** Let nothing through on a route, or (NULL) at all, before that time. Never shortens a hold. */
void crier_ratelimit_hold(struct crier_ratelimit *rl, const char *route, int64_t until);
/** No answer came (network). */
void crier_ratelimit_lost(struct crier_ratelimit *rl, const char *route, int64_t taken,
                          int64_t now);

struct crier_ratelimit_stats {
    uint64_t hits_429;       /**< answers 429 of scope user or global */
    uint64_t hits_shared;    /**< answers 429 of scope shared */
    size_t buckets;          /**< those idle for ten minutes are forgotten */
};
void crier_ratelimit_stats(const struct crier_ratelimit *rl, struct crier_ratelimit_stats *out);

#endif
