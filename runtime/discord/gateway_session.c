/* SPDX-License-Identifier: MIT */
#include "discord/gateway_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { HELLO_S = 20, READY_S = 90, BACKOFF_MAX_S = 60, STABLE_S = 60, PRESENCE_S = 4 };

/* Another code than 1000 and 1001: those would end the session. */
#define KEEP_SESSION 4000

static const struct {
    int code;
    enum crier_gateway_close class_;
    const char *text;
} closes[] = {
    {4000, CRIER_GW_RESUME, "unknown error"},
    {4001, CRIER_GW_RESUME, "unknown opcode"},
    {4002, CRIER_GW_RESUME, "decode error"},
    {4003, CRIER_GW_IDENTIFY, "not authenticated"},
    {4004, CRIER_GW_STOP, "the token is not accepted: make a new one in the developer portal"},
    {4005, CRIER_GW_RESUME, "already authenticated"},
    {4007, CRIER_GW_IDENTIFY, "invalid number in the resume"},
    {4008, CRIER_GW_RESUME, "too much was sent"},
    {4009, CRIER_GW_IDENTIFY, "the session timed out"},
    {4010, CRIER_GW_STOP, "invalid shard"},
    {4011, CRIER_GW_STOP, "more shards are required"},
    {4012, CRIER_GW_STOP, "the API version is not known"},
    {4013, CRIER_GW_STOP, "invalid intents"},
    {4014, CRIER_GW_STOP,
     "the bot may not have an intent that the script needs (members: SERVER MEMBERS INTENT, texts "
     "of messages: MESSAGE CONTENT INTENT): switch it on in the developer portal, page Bot"},
};

enum crier_gateway_close crier_gateway_close_class(int code, const char **text)
{
    for (size_t i = 0; i < CRIER_COUNT(closes); i++) {
        if (closes[i].code != code)
            continue;
        *text = closes[i].text;
        return closes[i].class_;
    }
    *text = code ? "closed" : "the connection broke";
    return CRIER_GW_RESUME;
}

const char *crier_gateway_state_name(enum crier_gateway_state state)
{
    static const char *const names[] = {"idle",     "connecting", "waiting", "identifying",
                                        "resuming", "ready",      "backoff", "stopped"};
    return names[state];
}

/* xorshift64*: 0 <= r < 1. */
static double jitter(struct crier_gateway_session *s)
{
    s->rng ^= s->rng >> 12;
    s->rng ^= s->rng << 25;
    s->rng ^= s->rng >> 27;
    return (double)((s->rng * 0x2545f4914f6cdd1dULL) >> 11) / 9007199254740992.0;
}

static void enter(struct crier_gateway_session *s, enum crier_gateway_state state, int64_t now,
                  const char *why)
{
    s->state = state;
    s->since = now;
    s->ops->changed(s->arg, why);
}

/* --- sending ------------------------------------------------------------------------------- */

static void send_buf(struct crier_gateway_session *s, struct crier_buf *b)
{
    s->ops->send(s->arg, b->data, b->len);
    explicit_bzero(b->data, b->len); /* it may hold the token */
    crier_buf_fini(b);
}

static void open_op(struct crier_buf *b, int op)
{
    crier_json_open(b, '{');
    crier_json_key(b, "op");
    crier_json_int(b, op);
    crier_json_key(b, "d");
}

static void heartbeat(struct crier_gateway_session *s, int64_t now)
{
    struct crier_buf b = {0};
    open_op(&b, CRIER_GW_OP_HEARTBEAT);
    if (s->seq >= 0)
        crier_json_int(&b, s->seq);
    else
        crier_json_null(&b);
    crier_json_close(&b, '}');
    s->beaten = now;
    s->acked = false;
    send_buf(s, &b);
}

static void put_text(struct crier_buf *b, const char *key, const char *text)
{
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void send_identify(struct crier_gateway_session *s)
{
    struct crier_buf b = {0};
    crier_buf_reserve(&b, 2048); /* so that the token leaves no copy behind as it grows */
    open_op(&b, CRIER_GW_OP_IDENTIFY);
    crier_json_open(&b, '{');
    put_text(&b, "token", s->token);
    crier_json_key(&b, "intents");
    crier_json_uint(&b, s->intents);
    crier_json_key(&b, "properties");
    crier_json_open(&b, '{');
    put_text(&b, "os", "linux");
    put_text(&b, "browser", "crier");
    put_text(&b, "device", "crier");
    crier_json_close(&b, '}');
    crier_json_key(&b, "large_threshold");
    crier_json_int(&b, 50);
    crier_json_key(&b, "shard");
    crier_json_open(&b, '[');
    crier_json_uint(&b, s->shard);
    crier_json_uint(&b, s->shards);
    crier_json_close(&b, ']');
    if (s->presence) {
        crier_json_key(&b, "presence");
        crier_json_raw(&b, s->presence, strlen(s->presence));
    }
    crier_json_close(&b, '}');
    crier_json_close(&b, '}');
    send_buf(s, &b);
}

static void send_resume(struct crier_gateway_session *s)
{
    struct crier_buf b = {0};
    crier_buf_reserve(&b, 1024);
    open_op(&b, CRIER_GW_OP_RESUME);
    crier_json_open(&b, '{');
    put_text(&b, "token", s->token);
    put_text(&b, "session_id", s->session_id);
    crier_json_key(&b, "seq");
    crier_json_int(&b, s->seq);
    crier_json_close(&b, '}');
    crier_json_close(&b, '}');
    send_buf(s, &b);
}

static void send_presence(struct crier_gateway_session *s, int64_t now)
{
    struct crier_buf b = {0};
    s->presence_due = false;
    s->presence_at = now + PRESENCE_S * CRIER_S;
    open_op(&b, CRIER_GW_OP_PRESENCE);
    crier_json_raw(&b, s->presence, strlen(s->presence));
    crier_json_close(&b, '}');
    send_buf(s, &b);
}

/* --- connections --------------------------------------------------------------------------- */

static void forget_session(struct crier_gateway_session *s)
{
    free(s->session_id);
    free(s->resume_url);
    s->session_id = s->resume_url = NULL;
    s->seq = -1;
}

static void connect_now(struct crier_gateway_session *s, int64_t now)
{
    s->beat = s->retry = CRIER_NEVER;
    s->timeout = now + HELLO_S * CRIER_S;
    s->acked = true;
    s->connected = true; /* or about to be: `closed` tells if not */
    enter(s, CRIER_GW_CONNECTING, now, NULL);
    /* An address for resumes that nobody answers at is given up; any gateway takes the session. */
    bool resume = s->session_id && s->resume_url && s->attempts < 5;
    s->ops->connect(s->arg, resume ? s->resume_url : s->url);
}

/* The connection is over; when to try again. at_least: seconds. */
static void back_off(struct crier_gateway_session *s, int64_t now, int at_least, const char *why)
{
    double wait = 0;
    bool stable = s->state == CRIER_GW_READY && now - s->since >= STABLE_S * CRIER_S;
    if (stable)
        s->attempts = 0;
    /* The first try to resume comes at once, so that nothing is late. */
    if (s->attempts > 0 || !s->session_id) {
        unsigned doublings = s->attempts < 8 ? s->attempts : 8;
        wait = (double)(1u << doublings);
        if (wait > BACKOFF_MAX_S)
            wait = BACKOFF_MAX_S;
        wait *= 0.5 + jitter(s) / 2;
    }
    if (wait < at_least)
        wait = at_least * (1 + jitter(s) / 4);
    s->attempts++;
    s->reconnects++;
    s->connected = false;
    s->beat = s->timeout = CRIER_NEVER;
    s->retry = now + (int64_t)(wait * 1e6);
    enter(s, CRIER_GW_BACKOFF, now, why);
}

static void drop_connection(struct crier_gateway_session *s, int code)
{
    if (s->connected)
        s->ops->disconnect(s->arg, code);
    s->connected = false;
}

static void stop(struct crier_gateway_session *s, int code, const char *text, int64_t now)
{
    forget_session(s);
    s->connected = false;
    s->beat = s->timeout = s->retry = CRIER_NEVER;
    crier_err_set(&s->stop, CRIER_EDENIED, "the gateway closed with %d: %s", code, text);
    s->stop.sys = code;
    enter(s, CRIER_GW_STOPPED, now, s->stop.text);
}

void crier_gateway_session_closed(struct crier_gateway_session *s, int code, const char *why,
                                  int64_t now)
{
    const char *text;
    enum crier_gateway_close class_ = crier_gateway_close_class(code, &text);
    s->connected = false;
    if (s->state == CRIER_GW_STOPPED)
        return;
    if (class_ == CRIER_GW_STOP) {
        stop(s, code, text, now);
        return;
    }
    if (code)
        snprintf(s->why, sizeof s->why, "closed with %d: %s", code,
                 why && *why && code < 4000 ? why : text);
    else
        snprintf(s->why, sizeof s->why, "%s", why && *why ? why : text);
    if (class_ == CRIER_GW_IDENTIFY)
        forget_session(s);
    back_off(s, now, code == 4008 ? 60 : 0, s->why);
}

void crier_gateway_session_broken(struct crier_gateway_session *s, const char *why, int64_t now)
{
    snprintf(s->why, sizeof s->why, "%s", why);
    drop_connection(s, KEEP_SESSION);
    back_off(s, now, 0, s->why);
}

/* --- what the gateway says ------------------------------------------------------------------ */

static bool begin_data(struct crier_scan *scan, const struct crier_gateway_frame *frame)
{
    crier_scan_init(scan, frame->data.data, frame->data.len);
    return frame->type == CRIER_SCAN_OBJECT && crier_scan_next(scan) == CRIER_SCAN_OBJECT;
}

static bool skip_value(struct crier_scan *scan, enum crier_scan_event event)
{
    return (event != CRIER_SCAN_OBJECT && event != CRIER_SCAN_ARRAY) || crier_scan_skip(scan);
}

static void on_hello(struct crier_gateway_session *s, const struct crier_gateway_frame *frame,
                     int64_t now)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    int64_t ms = 0;
    if (begin_data(&scan, frame)) {
        while (crier_scan_item(&scan, &event) && skip_value(&scan, event)) {
            if (event == CRIER_SCAN_INT && crier_str_is(scan.key, "heartbeat_interval"))
                ms = scan.i;
        }
    }
    crier_scan_fini(&scan);
    if (s->state != CRIER_GW_CONNECTING || ms < 100 || ms > 3600000) {
        crier_gateway_session_broken(s, "the gateway's hello makes no sense", now);
        return;
    }
    s->interval = ms * CRIER_MS;
    s->beat = now + (int64_t)((double)s->interval * jitter(s));
    if (s->session_id && s->seq >= 0) {
        s->timeout = now + READY_S * CRIER_S;
        enter(s, CRIER_GW_RESUMING, now, NULL);
        send_resume(s);
    } else {
        forget_session(s);
        s->timeout = CRIER_NEVER;
        enter(s, CRIER_GW_WAITING, now, NULL);
        s->ops->want_identify(s->arg);
    }
}

void crier_gateway_session_identify(struct crier_gateway_session *s, int64_t now)
{
    if (s->state != CRIER_GW_WAITING)
        return;
    s->identifies++;
    s->timeout = now + READY_S * CRIER_S;
    enter(s, CRIER_GW_IDENTIFYING, now, NULL);
    send_identify(s);
}

static uint64_t read_user(struct crier_scan *scan)
{
    enum crier_scan_event event;
    uint64_t id = 0;
    while (crier_scan_item(scan, &event)) {
        if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "id"))
            id = crier_str_id(scan->s);
        else if (!skip_value(scan, event))
            break;
    }
    return id;
}

static bool on_ready(struct crier_gateway_session *s, const struct crier_gateway_frame *frame)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    if (begin_data(&scan, frame)) {
        while (crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "session_id")) {
                free(s->session_id);
                s->session_id = crier_strndup(scan.s.data, scan.s.len);
            } else if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "resume_gateway_url")) {
                free(s->resume_url);
                s->resume_url = crier_strndup(scan.s.data, scan.s.len);
            } else if (event == CRIER_SCAN_OBJECT && crier_str_is(scan.key, "user")) {
                s->user = read_user(&scan);
            } else if (!skip_value(&scan, event)) {
                break;
            }
        }
    }
    crier_scan_fini(&scan);
    return s->session_id && *s->session_id;
}

static void on_dispatch(struct crier_gateway_session *s, const struct crier_gateway_frame *frame,
                        int64_t now)
{
    if (frame->seq > s->seq)
        s->seq = frame->seq;
    s->events++;
    if (s->state == CRIER_GW_IDENTIFYING && strcmp(frame->name, "READY") == 0) {
        if (!on_ready(s, frame)) {
            crier_gateway_session_broken(s, "the gateway's READY makes no sense", now);
            return;
        }
        s->timeout = CRIER_NEVER;
        s->presence_at = now + PRESENCE_S * CRIER_S;
        enter(s, CRIER_GW_READY, now, NULL);
    } else if (s->state == CRIER_GW_RESUMING && strcmp(frame->name, "RESUMED") == 0) {
        s->timeout = CRIER_NEVER;
        s->resumes++;
        enter(s, CRIER_GW_READY, now, NULL);
    }
    s->ops->dispatch(s->arg, frame);
}

static void on_invalid(struct crier_gateway_session *s, bool resumable, int64_t now)
{
    drop_connection(s, KEEP_SESSION);
    if (!resumable)
        forget_session(s);
    back_off(s, now, resumable ? 0 : 1 + (int)(jitter(s) * 4),
             resumable ? "the session was invalid for a moment" : "the session is invalid");
}

void crier_gateway_session_receive(struct crier_gateway_session *s, const char *text, size_t len,
                                   int64_t now)
{
    struct crier_gateway_frame frame;
    struct crier_err err = {0};
    if (!s->connected || s->state == CRIER_GW_STOPPED)
        return;
    if (crier_gateway_frame_read(text, len, &frame, &err) != 0) {
        crier_err_prefix(&err, "the gateway sent what is no message: ");
        crier_gateway_session_broken(s, err.text, now);
        return;
    }
    switch (frame.op) {
    case CRIER_GW_OP_DISPATCH:
        on_dispatch(s, &frame, now);
        break;
    case CRIER_GW_OP_HEARTBEAT:
        heartbeat(s, now);
        break;
    case CRIER_GW_OP_RECONNECT:
        drop_connection(s, KEEP_SESSION);
        back_off(s, now, 0, "the gateway asked to reconnect");
        break;
    case CRIER_GW_OP_INVALID_SESSION:
        on_invalid(s, frame.type == CRIER_SCAN_TRUE, now);
        break;
    case CRIER_GW_OP_HELLO:
        on_hello(s, &frame, now);
        break;
    case CRIER_GW_OP_ACK:
        if (!s->acked)
            s->latency = now - s->beaten;
        s->acked = true;
        break;
    default:
        break; /* new ones are for clients that know them */
    }
}

/* --- time ----------------------------------------------------------------------------------- */

int64_t crier_gateway_session_due(const struct crier_gateway_session *s)
{
    int64_t due = s->beat < s->timeout ? s->beat : s->timeout;
    if (s->state == CRIER_GW_BACKOFF && s->retry < due)
        due = s->retry;
    if (s->state == CRIER_GW_READY && s->presence_due && s->presence_at < due)
        due = s->presence_at;
    return due;
}

void crier_gateway_session_tick(struct crier_gateway_session *s, int64_t now)
{
    if (s->state == CRIER_GW_BACKOFF && now >= s->retry) {
        connect_now(s, now);
        return;
    }
    if (now >= s->timeout) {
        drop_connection(s, 0);
        back_off(s, now, 0,
                 s->state == CRIER_GW_CONNECTING ? "no hello in time" : "no answer in time");
        return;
    }
    if (now >= s->beat && !s->acked) {
        s->zombies++;
        drop_connection(s, KEEP_SESSION);
        back_off(s, now, 0, "a heartbeat was not answered");
        return;
    }
    if (now >= s->beat) {
        heartbeat(s, now);
        s->beat = now + s->interval;
    }
    if (s->state == CRIER_GW_READY && s->presence_due && now >= s->presence_at)
        send_presence(s, now);
}

/* --- what the owner says -------------------------------------------------------------------- */

void crier_gateway_session_init(struct crier_gateway_session *s,
                                const struct crier_gateway_session_ops *ops, void *arg)
{
    memset(s, 0, sizeof *s);
    s->ops = ops;
    s->arg = arg;
    s->shards = 1;
    s->seq = -1;
    s->latency = -1;
    s->rng = 1;
    s->beat = s->timeout = s->retry = CRIER_NEVER;
}

void crier_gateway_session_fini(struct crier_gateway_session *s)
{
    forget_session(s);
    free(s->presence);
    s->presence = NULL;
}

void crier_gateway_session_restore(struct crier_gateway_session *s, const char *id,
                                   const char *resume_url, int64_t seq)
{
    forget_session(s);
    s->session_id = crier_strdup(id);
    s->resume_url = crier_strdup(resume_url);
    s->seq = seq;
}

void crier_gateway_session_start(struct crier_gateway_session *s, int64_t now)
{
    if (s->state == CRIER_GW_IDLE)
        connect_now(s, now);
}

void crier_gateway_session_opened(struct crier_gateway_session *s, int64_t now)
{
    s->timeout = now + HELLO_S * CRIER_S;
}

void crier_gateway_session_renew(struct crier_gateway_session *s, int64_t now)
{
    drop_connection(s, 1000);
    forget_session(s);
    s->stop = (struct crier_err){0};
    s->attempts = 0;
    connect_now(s, now);
}

void crier_gateway_session_presence(struct crier_gateway_session *s, const char *json, int64_t now)
{
    if (s->presence && json && strcmp(s->presence, json) == 0)
        return;
    free(s->presence);
    s->presence = crier_strdup(json);
    s->presence_due = json != NULL;
    if (s->presence_due && s->state == CRIER_GW_READY && now >= s->presence_at)
        send_presence(s, now);
}
