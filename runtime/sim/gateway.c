/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdio.h>

enum { MAX_PAYLOAD = 4096, MAX_SENT = 120, KEPT_EVENTS = 1000, IDENTIFY_EVERY_S = 5 };
static const int64_t DAY = 86400 * CRIER_S;

enum {
    OP_DISPATCH = 0,
    OP_HEARTBEAT = 1,
    OP_IDENTIFY = 2,
    OP_PRESENCE = 3,
    OP_VOICE = 4,
    OP_RESUME = 6,
    OP_RECONNECT = 7,
    OP_MEMBERS = 8,
    OP_INVALID = 9,
    OP_HELLO = 10,
    OP_ACK = 11,
};

/* --- sessions ------------------------------------------------------------------------------ */

static void session_free(struct sim_session *s)
{
    crier_timer_stop(s->bot->sim->loop, &s->expiry);
    g_queue_clear_full(&s->kept, free);
    if (s->conn)
        s->conn->session = NULL;
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    free(s);
}

static void on_expiry(struct crier_timer *timer)
{
    session_free(CRIER_CONTAINER(timer, struct sim_session, expiry));
}

static struct sim_session *session_new(struct crier_sim *sim, struct sim_bot *bot)
{
    struct sim_session *s = crier_calloc(1, sizeof *s);
    uint64_t n = sim_next_id(sim);
    s->bot = bot;
    snprintf(s->id, sizeof s->id, "%016llx%016llx",
             (unsigned long long)(n * 0x9e3779b97f4a7c15ULL),
             (unsigned long long)sim_hash(n, bot->token));
    s->first = 1;
    s->expiry.fire = on_expiry;
    s->next = sim->gateway->sessions;
    s->link = &sim->gateway->sessions;
    if (s->next)
        s->next->link = &s->next;
    sim->gateway->sessions = s;
    return s;
}

static void session_leave(struct sim_session *s, bool ended)
{
    struct crier_sim *sim = s->bot->sim;
    s->conn = NULL;
    if (ended)
        session_free(s);
    else
        crier_timer_in(sim->loop, &s->expiry, sim->gateway->keep);
}

static void put_event(struct crier_buf *b, const char *name, int64_t seq, const char *d, size_t len)
{
    crier_json_open(b, '{');
    crier_json_key(b, "t");
    crier_json_str(b, name);
    crier_json_key(b, "s");
    crier_json_int(b, seq);
    crier_json_key(b, "op");
    crier_json_int(b, OP_DISPATCH);
    crier_json_key(b, "d");
    crier_json_raw(b, d, len);
    crier_json_close(b, '}');
}

void sim_session_event(struct sim_session *s, const char *name, const char *d, size_t len)
{
    struct crier_buf b = {0};
    put_event(&b, name, ++s->seq, d, len);
    s->bot->sim->gateway->events++;
    size_t n = b.len;
    char *text = crier_buf_take(&b);
    g_queue_push_tail(&s->kept, text);
    if (g_queue_get_length(&s->kept) > KEPT_EVENTS) {
        free(g_queue_pop_head(&s->kept));
        s->first++;
    }
    if (s->conn && !sim_gateway_fault(s->conn, SIM_ON_DISPATCH) && s->conn)
        sim_conn_say(s->conn, text, n);
}

/* --- connections --------------------------------------------------------------------------- */

static void release(struct sim_conn *conn)
{
    char *text = g_queue_pop_head(&conn->held);
    if (text)
        conn->send(conn, text, strlen(text));
    free(text);
    if (!g_queue_is_empty(&conn->held))
        crier_timer_in(conn->sim->loop, &conn->delayed, 0);
}

static void on_delayed(struct crier_timer *timer)
{
    release(CRIER_CONTAINER(timer, struct sim_conn, delayed));
}

void sim_conn_say(struct sim_conn *conn, const char *text, size_t len)
{
    if (conn->mute || conn->closing)
        return;
    if (!conn->delay && g_queue_is_empty(&conn->held)) {
        conn->send(conn, text, len);
        return;
    }
    g_queue_push_tail(&conn->held, crier_strndup(text, len));
    if (!crier_timer_armed(&conn->delayed))
        crier_timer_in(conn->sim->loop, &conn->delayed, conn->delay);
}

void sim_conn_op(struct sim_conn *conn, int op, const char *d)
{
    struct crier_buf b = {0};
    crier_buf_printf(&b, "{\"t\":null,\"s\":null,\"op\":%d,\"d\":%s}", op, d);
    sim_conn_say(conn, b.data, b.len);
    crier_buf_fini(&b);
}

void sim_conn_close(struct sim_conn *conn, int code, const char *why)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->close(conn, code, why);
}

static void on_deadline(struct crier_timer *timer)
{
    sim_conn_close(CRIER_CONTAINER(timer, struct sim_conn, deadline), 4009, "Session timed out.");
}

/* A client has one and a half intervals: the documentation gives no figure. */
static void expect_heartbeat(struct sim_conn *conn)
{
    crier_timer_in(conn->sim->loop, &conn->deadline, conn->sim->gateway->heartbeat * 3 / 2);
}

static bool query_is(const char *query, const char *name, const char *value)
{
    size_t n = strlen(name);
    for (const char *p = query; p && *p; p = strchr(p, '&')) {
        p += *p == '&';
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return strncmp(p + n + 1, value, strlen(value)) == 0 &&
                   (!p[n + 1 + strlen(value)] || p[n + 1 + strlen(value)] == '&');
    }
    return false;
}

bool sim_gateway_open(struct crier_sim *sim, struct sim_conn *conn, const char *query)
{
    char hello[128];
    conn->sim = sim;
    conn->deadline.fire = on_deadline;
    conn->delayed.fire = on_delayed;
    g_queue_init(&conn->held);
    conn->next = sim->gateway->conns;
    conn->link = &sim->gateway->conns;
    if (conn->next)
        conn->next->link = &conn->next;
    sim->gateway->conns = conn;
    if (sim_gateway_fault(conn, SIM_ON_CONNECT))
        return !conn->closing;
    if (!query_is(query, "v", "10")) {
        sim_conn_close(conn, 4012, "Invalid API version.");
        return false;
    }
    if (query && strstr(query, "encoding=") && !query_is(query, "encoding", "json")) {
        sim_conn_close(conn, 4002, "The simulator speaks JSON only.");
        return false;
    }
    snprintf(hello, sizeof hello,
             "{\"heartbeat_interval\":%lld,\"_trace\":[\"[\\\"crier-sim\\\",{}]\"]}",
             (long long)(sim->gateway->heartbeat / CRIER_MS));
    sim_conn_op(conn, OP_HELLO, hello);
    expect_heartbeat(conn);
    return true;
}

void sim_gateway_gone(struct sim_conn *conn, int code)
{
    struct crier_loop *loop = conn->sim->loop;
    conn->closing = true;
    crier_timer_stop(loop, &conn->deadline);
    crier_timer_stop(loop, &conn->delayed);
    g_queue_clear_full(&conn->held, free);
    if (conn->session)
        session_leave(conn->session, code == 1000 || code == 1001);
    conn->session = NULL;
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
}

/* --- identify ------------------------------------------------------------------------------ */

unsigned sim_gateway_remaining(struct crier_sim *sim, struct sim_bot *bot)
{
    int64_t now = crier_loop_now(sim->loop);
    if (!bot->day_end) {
        bot->day_end = now + DAY;
        bot->identifies = sim->gateway->used;
    }
    if (now >= bot->day_end) {
        bot->day_end = now + DAY;
        bot->identifies = 0;
    }
    return bot->identifies < sim->gateway->total ? sim->gateway->total - bot->identifies : 0;
}

static bool read_shard(const json_t *d, uint64_t *shard, uint64_t *shards)
{
    const json_t *pair = json_object_get(d, "shard");
    *shard = 0;
    *shards = 1;
    if (!pair || json_is_null(pair))
        return true;
    if (json_array_size(pair) != 2 || !json_is_integer(json_array_get(pair, 0)) ||
        !json_is_integer(json_array_get(pair, 1)))
        return false;
    int64_t a = json_integer_value(json_array_get(pair, 0));
    int64_t n = json_integer_value(json_array_get(pair, 1));
    *shard = (uint64_t)a;
    *shards = (uint64_t)n;
    return a >= 0 && n > 0 && a < n;
}

/* What a presence may be; the documentation calls all of it required but `since` may be null. */
static bool presence_ok(const json_t *p)
{
    static const char *const words[] = {"online", "dnd", "idle", "invisible", "offline"};
    const char *status = json_string_value(json_object_get(p, "status"));
    const json_t *since = json_object_get(p, "since"), *list = json_object_get(p, "activities");
    bool known = false;
    size_t i;
    const json_t *a;
    for (i = 0; status && i < CRIER_COUNT(words); i++)
        known = known || strcmp(status, words[i]) == 0;
    if (!known || (since && !json_is_null(since) && !json_is_integer(since)) ||
        (list && !json_is_array(list)))
        return false;
    json_array_foreach (list, i, a) {
        const json_t *type = json_object_get(a, "type");
        if (!json_is_string(json_object_get(a, "name")) || !json_is_integer(type) ||
            json_integer_value(type) < 0 || json_integer_value(type) > 5)
            return false;
    }
    return true;
}

static bool identify_ok(struct sim_conn *conn, const json_t *d)
{
    const json_t *props = json_object_get(d, "properties");
    const json_t *intents = json_object_get(d, "intents");
    const json_t *presence = json_object_get(d, "presence");
    if (!json_is_string(json_object_get(d, "token")) || !json_is_object(props) ||
        json_is_true(json_object_get(d, "compress")) ||
        (presence && !json_is_null(presence) && !presence_ok(presence)))
        sim_conn_close(conn, 4002, "Error while decoding payload.");
    else if (!json_is_integer(intents) || json_integer_value(intents) < 0 ||
             json_integer_value(intents) >= 1 << 26)
        sim_conn_close(conn, 4013, "Invalid intent(s).");
    else if ((uint32_t)json_integer_value(intents) & conn->sim->gateway->disallowed)
        sim_conn_close(conn, 4014, "Disallowed intent(s).");
    return !conn->closing;
}

/* Above the day's limit Discord resets the token: every session ends, REST answers 401. */
static void reset_token(struct sim_bot *bot)
{
    struct sim_session *next;
    bot->token_reset = true;
    for (struct sim_session *s = bot->sim->gateway->sessions; s; s = next) {
        next = s->next;
        if (s->bot != bot)
            continue;
        struct sim_conn *conn = s->conn;
        session_free(s);
        if (conn)
            sim_conn_close(conn, 4004, "Authentication failed.");
    }
}

static bool start_allowed(struct sim_conn *conn, struct sim_bot *bot, uint64_t shard)
{
    struct crier_sim *sim = conn->sim;
    int64_t now = crier_loop_now(sim->loop);
    unsigned bucket = (unsigned)(shard % sim->gateway->concurrency) % SIM_START_BUCKETS;
    if (!sim_gateway_remaining(sim, bot)) {
        reset_token(bot);
        sim_conn_close(conn, 4004, "Authentication failed.");
        return false;
    }
    bot->identifies++;
    if (now < bot->start_end[bucket]) {
        sim_conn_op(conn, OP_INVALID, "false");
        return false;
    }
    /* A little less than what clients are told, since theirs is counted from when they sent it. */
    bot->start_end[bucket] = now + IDENTIFY_EVERY_S * CRIER_S - CRIER_S / 2;
    return true;
}

static void identify(struct sim_conn *conn, const json_t *d)
{
    struct crier_sim *sim = conn->sim;
    uint64_t shard, shards;
    if (conn->session) {
        sim_conn_close(conn, 4005, "Already authenticated.");
        return;
    }
    if (!identify_ok(conn, d))
        return;
    struct sim_bot *bot = sim_bot(sim, json_string_value(json_object_get(d, "token")));
    if (!bot) {
        sim_conn_close(conn, 4004, "Authentication failed.");
        return;
    }
    if (!read_shard(d, &shard, &shards)) {
        sim_conn_close(conn, 4010, "Invalid shard.");
        return;
    }
    if (shards < sim->gateway->shards && sim->guild_order->len > 2500 * shards) {
        sim_conn_close(conn, 4011, "Sharding required.");
        return;
    }
    if (!start_allowed(conn, bot, shard) || sim_gateway_fault(conn, SIM_ON_IDENTIFY))
        return;
    sim->gateway->identifies++;
    struct sim_session *s = session_new(sim, bot);
    s->intents = (uint32_t)json_integer_value(json_object_get(d, "intents"));
    s->shard = shard;
    s->shards = shards;
    s->conn = conn;
    conn->session = s;
    sim_session_ready(s);
}

/* --- resume -------------------------------------------------------------------------------- */

static struct sim_session *find_session(struct crier_sim *sim, const char *token, const char *id)
{
    for (struct sim_session *s = sim->gateway->sessions; token && id && s; s = s->next) {
        if (strcmp(s->id, id) == 0 && strcmp(s->bot->token, token) == 0)
            return s;
    }
    return NULL;
}

static void replay(struct sim_session *s, int64_t seq)
{
    int64_t n = s->first;
    for (GList *l = s->kept.head; l && s->conn; l = l->next, n++) {
        if (n > seq)
            sim_conn_say(s->conn, l->data, strlen(l->data));
    }
}

static void resume(struct sim_conn *conn, const json_t *d)
{
    const char *token = json_string_value(json_object_get(d, "token"));
    const char *id = json_string_value(json_object_get(d, "session_id"));
    const json_t *seq = json_object_get(d, "seq");
    struct crier_sim *sim = conn->sim;
    if (conn->session) {
        sim_conn_close(conn, 4005, "Already authenticated.");
        return;
    }
    if (!token || !id || !json_is_integer(seq)) {
        sim_conn_close(conn, 4002, "Error while decoding payload.");
        return;
    }
    if (!sim_bot(sim, token)) {
        sim_conn_close(conn, 4004, "Authentication failed.");
        return;
    }
    if (sim_gateway_fault(conn, SIM_ON_RESUME))
        return;
    struct sim_session *s = find_session(sim, token, id);
    if (s && json_integer_value(seq) > s->seq) {
        sim_conn_close(conn, 4007, "Invalid seq.");
        return;
    }
    if (!s || json_integer_value(seq) + 1 < s->first) {
        sim_conn_op(conn, OP_INVALID, "false");
        return;
    }
    if (s->conn) { /* the old connection, which may be a dead one */
        struct sim_conn *old = s->conn;
        old->session = NULL;
        sim_conn_close(old, 4000, "Session resumed elsewhere.");
    }
    crier_timer_stop(sim->loop, &s->expiry);
    s->conn = conn;
    conn->session = s;
    sim->gateway->resumes++;
    replay(s, json_integer_value(seq));
    sim_session_event(s, "RESUMED", "{\"_trace\":[]}", 13);
}

/* --- what a client sends ------------------------------------------------------------------- */

static bool too_fast(struct sim_conn *conn)
{
    int64_t now = crier_loop_now(conn->sim->loop);
    if (!conn->sent || now >= conn->window + 60 * CRIER_S) {
        conn->window = now;
        conn->sent = 0;
    }
    if (++conn->sent <= MAX_SENT)
        return false;
    sim_conn_close(conn, 4008, "You are being rate limited.");
    return true;
}

static void heartbeat(struct sim_conn *conn)
{
    expect_heartbeat(conn);
    if (!sim_gateway_fault(conn, SIM_ON_HEARTBEAT))
        sim_conn_op(conn, OP_ACK, "null");
}

static void obey(struct sim_conn *conn, int64_t op, const json_t *d)
{
    bool known = op == OP_PRESENCE || op == OP_VOICE || op == OP_MEMBERS;
    if (op == OP_HEARTBEAT && (!d || json_is_null(d) || json_is_integer(d)))
        heartbeat(conn);
    else if (op == OP_IDENTIFY && json_is_object(d))
        identify(conn, d);
    else if (op == OP_RESUME && json_is_object(d))
        resume(conn, d);
    else if (known && !conn->session)
        sim_conn_close(conn, 4003, "Not authenticated.");
    else if (op == OP_PRESENCE ? !presence_ok(d) : op <= OP_RESUME && op != OP_VOICE && op != 5)
        sim_conn_close(conn, 4002, "Error while decoding payload.");
    else if (op == OP_PRESENCE)
        conn->session->bot->presences++;
    else if (!known)
        sim_conn_close(conn, 4001, "Unknown opcode.");
}

void sim_gateway_receive(struct sim_conn *conn, const char *text, size_t len)
{
    if (conn->closing || conn->mute || too_fast(conn))
        return;
    json_t *root = len <= MAX_PAYLOAD ? json_loadb(text, len, 0, NULL) : NULL;
    const json_t *op = json_object_get(root, "op");
    if (!json_is_integer(op))
        sim_conn_close(conn, 4002, "Error while decoding payload.");
    else
        obey(conn, json_integer_value(op), json_object_get(root, "d"));
    json_decref(root);
}

/* --- life ---------------------------------------------------------------------------------- */

void sim_gateway_init(struct crier_sim *sim)
{
    struct sim_gateway *g = crier_calloc(1, sizeof *g);
    g->heartbeat = 41250 * CRIER_MS;
    g->keep = 180 * CRIER_S;
    g->shards = g->concurrency = 1;
    g->total = 1000;
    sim->gateway = g;
    g->faults = g_ptr_array_new_with_free_func(free);
    g->scheduled = g_ptr_array_new();
}

void sim_gateway_fini(struct crier_sim *sim)
{
    struct sim_gateway *g = sim->gateway;
    while (g->sessions)
        session_free(g->sessions);
    g_ptr_array_free(g->faults, TRUE);
    free(g);
    sim->gateway = NULL;
}
