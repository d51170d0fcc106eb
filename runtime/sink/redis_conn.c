/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "sink/redis.h"

/* Of a list in an answer: what is no Redis server may claim any number. (hiredis before 1.0 believes
 * it, which costs address space and seconds.) */
#define ELEMENTS_MAX 1000000

/* ---- the protocol ---- */

static void put_head(struct crier_buf *b, char sign, uint64_t v)
{
    char text[24], *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + v % 10);
    while (v /= 10);
    *--at = sign;
    crier_buf_append(b, at, (size_t)(text + sizeof text - at));
}

void crier_redis_put_count(struct crier_buf *b, size_t count)
{
    put_head(b, '*', count);
}

void crier_redis_put(struct crier_buf *b, const char *s, size_t len)
{
    put_head(b, '$', len);
    crier_buf_append(b, s, len);
    crier_buf_append(b, "\r\n", 2);
}

void crier_redis_put_uint(struct crier_buf *b, uint64_t v)
{
    char text[20], *at = text + sizeof text;
    do
        *--at = (char)('0' + v % 10);
    while (v /= 10);
    crier_redis_put(b, at, (size_t)(text + sizeof text - at));
}

/* ---- faults ---- */

/* What hiredis says of a connection that is of no use any more. */
static int lost(struct crier_redis_conn *conn, const char *what, struct crier_err *err)
{
    const redisContext *c = conn->context;
    int sys = c && c->err == REDIS_ERR_IO ? errno : 0;
    const char *shown = conn->url.shown;
    int rc;
    if (!c)
        rc = crier_err_set(err, CRIER_EINTERNAL, "redis %s: no memory for a connection", shown);
    else if (sys == EAGAIN || sys == EWOULDBLOCK || sys == EINPROGRESS || sys == ETIMEDOUT ||
             strstr(c->errstr, "timed out"))
        rc = crier_err_set(err, CRIER_ETIMEOUT,
                           "redis %s: %s: no answer within the `timeout` of the sink", shown, what);
    else
        rc = crier_err_set(err, CRIER_ENET, "redis %s: %s: %s", shown, what,
                           c->errstr[0] ? c->errstr : "the connection was closed");
    if (err)
        err->sys = sys;
    crier_redis_disconnect(conn);
    return rc;
}

static bool begins(const redisReply *reply, const char *word)
{
    size_t len = strlen(word);
    return reply->len >= len && memcmp(reply->str, word, len) == 0;
}

/* A server before 7.0 says of a command in a script "ERR Error running script ...: -OOM ...". */
static bool tells(const redisReply *reply, const char *word)
{
    const char *at = begins(reply, "ERR Error running script") ? strstr(reply->str, ": -") : NULL;
    return begins(reply, word) || (at && strncmp(at + 3, word, strlen(word)) == 0);
}

enum crier_redis_fault crier_redis_fault_of(const struct crier_redis_conn *conn,
                                            const redisReply *reply, struct crier_err *err)
{
    static const struct {
        const char *word;
        int code;
        const char *text;
    } known[] = {
        {"LOADING", CRIER_EBUSY, "it is still loading its data"},
        {"READONLY", CRIER_EDENIED,
         "it is a read-only replica; point `url` at the primary, or make this one the primary"},
        {"OOM", CRIER_ELIMIT,
         "it is out of memory; raise its `maxmemory`, or give it a `maxmemory-policy` that evicts"},
        {"NOAUTH", CRIER_EDENIED, "it asks for a password; write redis://user:password@host"},
        {"WRONGPASS", CRIER_EDENIED, "it refuses the user or the password of `url`"},
        {"ERR invalid password", CRIER_EDENIED, "it refuses the password of `url`"},
        {"NOPERM", CRIER_EDENIED,
         "its user lacks a permission (it takes +@scripting +@write +@read on the sink's keys)"},
        {"MISCONF", CRIER_EIO, "it cannot save its data and takes no writes; see its log"},
        {"MASTERDOWN", CRIER_ENET, "it is a replica without a link to its primary"},
        {"CLUSTERDOWN", CRIER_ENET, "its cluster is down"},
        {"BUSY", CRIER_EBUSY, "it is busy with someone's script"},
        {"MOVED", CRIER_ECONFIG,
         "it is a node of a cluster, and a key of the sink belongs to another one; point `url` at "
         "a proxy for the cluster"},
        {"ASK", CRIER_ENET, "its cluster is moving a key of the sink to another node"},
        {"CROSSSLOT", CRIER_ECONFIG, "it is a node of a cluster: give the sink `cluster = true`"},
        {"ERR Script attempted to access keys that do not hash to the same slot", CRIER_ECONFIG,
         "it is a node of a cluster: give the sink `cluster = true`"},
    };
    if (reply->type != REDIS_REPLY_ERROR)
        return CRIER_REDIS_OK;
    if (begins(reply, "NOSCRIPT"))
        return CRIER_REDIS_NOSCRIPT;
    for (size_t i = 0; i < CRIER_COUNT(known); i++) {
        if (tells(reply, known[i].word)) {
            crier_err_set(err, known[i].code, "redis %s: %s (%.*s)", conn->url.shown, known[i].text,
                          (int)strcspn(known[i].word, " "), known[i].word);
            return CRIER_REDIS_LATER;
        }
    }
    /* What it says of the words of a command may be a password. */
    const char *words = strstr(reply->str, ", with args");
    int len = words ? (int)(words - reply->str) : (int)strlen(reply->str);
    crier_err_set(err, CRIER_ENET, "redis %s: %.*s", conn->url.shown, len < 150 ? len : 150,
                  reply->str);
    return CRIER_REDIS_LATER;
}

/* ---- the connection ---- */

void crier_redis_disconnect(struct crier_redis_conn *conn)
{
    if (conn->context)
        redisFree(conn->context);
    conn->context = NULL;
}

static bool send_tls(struct crier_redis_conn *conn, const struct crier_buf *commands,
                     struct crier_err *err)
{
    int done = 0;
    bool sent =
        redisAppendFormattedCommand(conn->context, commands->data, commands->len) == REDIS_OK;
    while (sent && !done)
        sent = redisBufferWrite(conn->context, &done) == REDIS_OK;
    if (!sent)
        lost(conn, "sending", err);
    return sent;
}

bool crier_redis_send(struct crier_redis_conn *conn, const struct crier_buf *commands,
                      struct crier_err *err)
{
    if (conn->url.tls)
        return send_tls(conn, commands, err);
    /* Not through hiredis, which copies, and whose write(2) raises SIGPIPE. */
    for (size_t at = 0; at < commands->len;) {
        ssize_t n = send(conn->context->fd, commands->data + at, commands->len - at, MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else if (errno != EINTR) {
            conn->context->err = REDIS_ERR_IO;
            conn->context->errstr[0] = '\0';
            lost(conn, "sending", err);
            return false;
        }
    }
    return true;
}

redisReply *crier_redis_receive(struct crier_redis_conn *conn, struct crier_err *err)
{
    void *reply = NULL;
    errno = 0;
    if (redisGetReply(conn->context, &reply) != REDIS_OK) {
        lost(conn, "waiting for an answer", err);
        return NULL;
    }
    return reply;
}

redisReply *crier_redis_ask(struct crier_redis_conn *conn, size_t count,
                            const struct crier_str *words, struct crier_err *err)
{
    struct crier_buf b = {0};
    crier_redis_put_count(&b, count);
    for (size_t i = 0; i < count; i++)
        crier_redis_put(&b, words[i].data, words[i].len);
    redisReply *reply = crier_redis_send(conn, &b, err) ? crier_redis_receive(conn, err) : NULL;
    explicit_bzero(b.data, b.len); /* AUTH */
    crier_buf_fini(&b);
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        if (crier_redis_fault_of(conn, reply, err) == CRIER_REDIS_NOSCRIPT)
            crier_err_set(err, CRIER_EINTERNAL, "redis %s: %.150s", conn->url.shown, reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    return reply;
}

static struct crier_str word(const char *s)
{
    return (struct crier_str){s, strlen(s)};
}

/* SELECT also where it changes nothing: what is wrong with the login is then seen here. */
static int greet(struct crier_redis_conn *conn, struct crier_err *err)
{
    const struct crier_redis_url *url = &conn->url;
    redisReply *reply;
    char db[16];
    if (url->password) {
        struct crier_str auth[3] = {word("AUTH")};
        size_t n = 1;
        if (url->user)
            auth[n++] = word(url->user);
        auth[n++] = word(url->password);
        if (!(reply = crier_redis_ask(conn, n, auth, err)))
            return -1;
        freeReplyObject(reply);
    }
    snprintf(db, sizeof db, "%d", url->db);
    if (!(reply = crier_redis_ask(conn, 2, (struct crier_str[]){word("SELECT"), word(db)}, err)))
        return -1;
    freeReplyObject(reply);
    return CRIER_OK;
}

int crier_redis_connect(struct crier_redis_conn *conn, struct crier_err *err)
{
    struct crier_err why = {0};
    struct timeval limit = {.tv_sec = conn->timeout / CRIER_S, .tv_usec = conn->timeout % CRIER_S};
    if (conn->context)
        return CRIER_OK;
    errno = 0;
    conn->context = conn->url.path ? redisConnectUnixWithTimeout(conn->url.path, limit)
                                   : redisConnectWithTimeout(conn->url.host, conn->url.port, limit);
    if (!conn->context || conn->context->err)
        return lost(conn, "connecting", err);
    redisSetTimeout(conn->context, limit);
#if HIREDIS_MAJOR >= 1
    conn->context->reader->maxelements = ELEMENTS_MAX;
#endif
    if (conn->url.host)
        redisEnableKeepAlive(conn->context);
    if ((conn->url.tls && crier_redis_tls(conn->context, &conn->url, &why) != CRIER_OK) ||
        greet(conn, &why) != CRIER_OK) {
        if (err)
            *err = why;
        crier_redis_disconnect(conn);
        return why.code;
    }
    return CRIER_OK;
}
