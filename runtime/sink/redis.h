/* SPDX-License-Identifier: MIT
 *
 * The parts of the redis sink: its address, its connection, the scripts that run in the server and
 * the form of its texts. redis.c puts them together and says what is stored.
 *
 * Thread: one at a time [worker], but for the pure functions, which are [any].
 */
#ifndef CRIER_SINK_REDIS_H
#define CRIER_SINK_REDIS_H

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "base/buf.h"
#include "crier/record.h"
#include "sink/sink.h"

struct crier_zone;

/* ---- address ---- */

/** redis://[user:pass@]host[:port][/db], rediss://..., unix://[user:pass@]/path[?db=N]. */
struct crier_redis_url {
    char *host; /**< NULL: `path` is a Unix socket */
    char *path;
    char *user, *password; /**< NULL: none */
    int port, db;
    bool tls;
    char *shown; /**< for messages: "127.0.0.1:6379", "unix:/run/redis.sock"; no secret in it */
};
/** CRIER_ECONFIG; the text has no part of the URL that may be a password. */
CRIER_CHECK int crier_redis_url_parse(const char *text, struct crier_redis_url *out,
                                      struct crier_err *err);
void crier_redis_url_fini(struct crier_redis_url *url); /**< wipes the password */

/* ---- connection ---- */

/** What an error reply means for the one who sent the command. */
enum crier_redis_fault {
    CRIER_REDIS_OK,
    CRIER_REDIS_NOSCRIPT, /**< send the script itself */
    CRIER_REDIS_LATER,    /**< the server cannot take it now, or not from us */
    CRIER_REDIS_LOST,     /**< no connection any more; what was sent may have been done */
};

struct crier_redis_conn {
    struct crier_redis_url url;
    int64_t timeout; /**< microseconds, for connecting and for each answer */
    redisContext *context;
};
/** Connect, log in, choose the database; nothing when connected. CRIER_ENET, CRIER_ETIMEOUT,
 *  CRIER_EDENIED: the text names server, fault and remedy. */
CRIER_CHECK int crier_redis_connect(struct crier_redis_conn *conn, struct crier_err *err);
void crier_redis_disconnect(struct crier_redis_conn *conn);
/** Commands in the server's protocol. False: the connection is lost and closed, err is filled. */
CRIER_CHECK bool crier_redis_send(struct crier_redis_conn *conn, const struct crier_buf *commands,
                                  struct crier_err *err);
/** The next answer, for freeReplyObject. NULL: lost and closed, err is filled. */
redisReply *crier_redis_receive(struct crier_redis_conn *conn, struct crier_err *err);
/** What an error reply means, in the words of someone who can act on it. */
enum crier_redis_fault crier_redis_fault_of(const struct crier_redis_conn *conn,
                                            const redisReply *reply, struct crier_err *err);
/** One command of `count` words, and its answer. NULL: err is filled. */
redisReply *crier_redis_ask(struct crier_redis_conn *conn, size_t count,
                            const struct crier_str *words, struct crier_err *err);

/** What reading knows of a sink: the first member of the driver's self. */
struct crier_redis_store {
    struct crier_redis_conn conn;
    char *refused; /**< why the server may not be reached; NULL: it may */
    struct crier_zone *zone;
    bool cluster;
    size_t recent; /**< lines of a list */
};
/** crier_redis_connect, unless it may not be reached. */
static inline int crier_redis_reach(struct crier_redis_store *store, struct crier_err *err)
{
    if (store->refused)
        return crier_err_set(err, CRIER_EDENIED, "%s", store->refused);
    return crier_redis_connect(&store->conn, err);
}
/** <logger>:<level> of a key is added to b, with braces in a cluster. */
void crier_redis_put_name(const struct crier_redis_store *store, struct crier_str logger,
                          enum crier_level level, struct crier_buf *b);

/** Whether this build has TLS: hiredis 1.0 or newer, with hiredis_ssl. */
bool crier_redis_has_tls(void);
/** Begin TLS on a fresh connection; the server's certificate and name are checked. */
CRIER_CHECK int crier_redis_tls(redisContext *context, const struct crier_redis_url *url,
                                struct crier_err *err);

/** Writing the protocol: a command of `count` words, then each of them. */
void crier_redis_put_count(struct crier_buf *b, size_t count);
void crier_redis_put(struct crier_buf *b, const char *s, size_t len);
void crier_redis_put_uint(struct crier_buf *b, uint64_t v);

/* ---- scripts ---- */

/** Recent and common logs of one logger and level. KEYS: recent, common, its :start, :last and
 *  :pstart, seq. ARGV: who; seq and id of the first record when the call may have been made before,
 *  else empty; seq and id of the last; `recent`, ttl in seconds or 0, `max` or 0, n; n lines,
 * oldest first; messages and how often each. Ids are in hexadecimal. Answers 1; or, when nothing
 * was done since the first record is not newer than what `who` has written, {seq, id} of that; or
 *  {"0", i, type}: KEYS[i] holds another type, nothing was done. */
extern const char crier_redis_script_logs[];
/** Records into a stream. KEYS: stream, seq. ARGV: who, first and last as above; MAXLEN or 0; the
 *  records. Answers as above. */
extern const char crier_redis_script_stream[];
/** KEYS: common, :start, :last, :pstart. ARGV: "this" or "last", n. Answers when that hour began by
 *  the server's clock, then its n most frequent messages, each with its count. */
extern const char crier_redis_script_common[];

/* ---- texts ---- */

enum crier_redis_format { CRIER_REDIS_TEXT, CRIER_REDIS_ASCTIME, CRIER_REDIS_JSON };

/** The line of a record in a recent list is added to b. */
void crier_redis_line(enum crier_redis_format format, const struct crier_zone *zone,
                      struct crier_record *record, struct crier_buf *b);
/** The time and the text of a line of the first two formats; what has no time is false. */
bool crier_redis_line_read(enum crier_redis_format format, const struct crier_zone *zone,
                           struct crier_str line, int64_t *time, struct crier_str *text);

/* ---- reading [worker]; self is the driver's ---- */

struct crier_redis_entry {
    char *text; /**< may hold NUL */
    size_t len;
    uint64_t count; /**< how often; 0 in recent lists */
};
/** The newest n lines of a logger and level, newest first; crier_redis_entries_free. */
CRIER_CHECK int crier_redis_recent(void *self, struct crier_str logger, enum crier_level level,
                                   size_t n, struct crier_redis_entry **out, size_t *count,
                                   struct crier_err *err);
/** The n most frequent messages of this hour, or of the last one, most frequent first. */
CRIER_CHECK int crier_redis_common(void *self, struct crier_str logger, enum crier_level level,
                                   bool last, size_t n, struct crier_redis_entry **out,
                                   size_t *count, struct crier_err *err);
void crier_redis_entries_free(struct crier_redis_entry *entries, size_t count);

/** The driver's, as sink/sink.h has them; nothing can be changed. */
CRIER_CHECK int crier_redis_query(void *self, const struct crier_query *query,
                                  struct crier_record ***hits, size_t *count,
                                  struct crier_err *err);
CRIER_CHECK int crier_redis_change(void *self, const struct crier_query *query,
                                   const json_t *fields, uint64_t *changed, struct crier_err *err);
extern const struct crier_sink_method crier_redis_methods[];

#endif
