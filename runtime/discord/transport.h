/* SPDX-License-Identifier: MIT
 *
 * A transport carries one HTTP request and brings back one answer. There are two: libcurl's
 * multi interface on the loop (discord/transport_curl.c), and the simulator's in-process one
 * (sim/transport_sim.c), which needs no socket and runs in virtual time.
 *
 * A transport knows nothing of Discord: no retries, no rate limits, no tokens of its own.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_TRANSPORT_H
#define CRIER_DISCORD_TRANSPORT_H

#include "base/buf.h"
#include "base/loop.h"

/** One part of a multipart/form-data body. */
struct crier_http_part {
    char *name;         /**< "payload_json", "files[0]" */
    char *filename;     /**< NULL for a plain field */
    char *content_type; /**< NULL: none for a field, by the file name's ending for a file */
    char *data;         /**< the bytes; or NULL and path */
    size_t len;
    char *path;         /**< a file, read while sending */
};

struct crier_http_request {
    char method[8];
    char *url;                /**< absolute: https://discord.com/api/v10/channels/1/messages */
    char **headers;           /**< "Name: value" */
    size_t header_count;
    char *body;               /**< NULL: none, or parts */
    size_t body_len;
    struct crier_http_part *parts;
    size_t part_count;
    int64_t timeout;          /**< whole exchange, microseconds; 0: 30 s */
    int redirects;            /**< how many may be followed; 0 none */
    size_t max_body;          /**< larger answers fail with CRIER_ELIMIT; 0: 8 MiB */
    /** Where the transport has connections (ops->connects): it goes out now. Called before done, once
     *  at most, with its argument. NULL: nobody wants to know. */
    void (*sent)(void *arg);
};

/** The host of an absolute http, https, smtp or smtps address; false: it is none. */
bool crier_url_host(const char *url, char *host, size_t cap);

void crier_http_request_init(struct crier_http_request *req, const char *method, const char *url);
void crier_http_request_header(struct crier_http_request *req, const char *name, const char *value);
void crier_http_request_fini(struct crier_http_request *req);

/** How far a failed exchange got: decides whether it can be repeated without a nonce. */
enum crier_http_sent {
    CRIER_HTTP_NOT_SENT, /**< no connection was made: the server knows nothing of it */
    CRIER_HTTP_UNKNOWN,  /**< bytes went out: the server may have acted */
};

struct crier_http_response {
    int status;                 /**< 0 when there is no answer; then err tells why */
    struct crier_buf headers;   /**< "name: value\n" lines, names in lower case */
    struct crier_buf body;
    enum crier_http_sent sent;
    struct crier_err err;       /**< CRIER_ENET, CRIER_ETIMEOUT, CRIER_ELIMIT, CRIER_ECANCELED;
                                     CRIER_ENOTFOUND, CRIER_EIO: a part's file cannot be read */
    int64_t latency;            /**< microseconds */
    int64_t connecting;         /**< of them, until there was a connection and the request went out */
};
/** A header's value into out (cut at cap); false when it is absent. Name in lower case. */
bool crier_http_header(const struct crier_http_response *res, const char *name, char *out,
                       size_t cap);

struct crier_http_call; /* one exchange under way, opaque */

struct crier_transport {
    const struct crier_transport_ops *ops;
};
struct crier_transport_ops {
    /** Start an exchange; req is moved. done is called once, later, never from within start, also
     *  after a cancel (CRIER_ECANCELED). The response is borrowed for the call. */
    struct crier_http_call *(*start)(struct crier_transport *t, struct crier_http_request *req,
                                     void (*done)(void *arg, struct crier_http_response *res),
                                     void *arg);
    void (*cancel)(struct crier_transport *t, struct crier_http_call *call);
    /** Cancels what is under way (their done is called) and frees. */
    void (*free)(struct crier_transport *t);
    bool connects; /**< a request may have to wait for a connection; then its `sent` is called */
};

/** TLS verified always, against the machine's certificates or those in the file SSL_CERT_FILE; HTTP
 *  keep-alive; HTTP/1.1 and 2; redirects as the request says, to http and https only. curl is
 *  initialised at the first request, so that a host that sends nothing pays nothing. Needs a live
 *  loop: in virtual time each request fails with CRIER_ENET. Free it before the loop, and not from
 *  within a done. */
struct crier_transport *crier_transport_curl(struct crier_loop *loop);

#endif
