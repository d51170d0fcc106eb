/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/duration.h"

static const struct sim_route routes[] = {
    {"POST", "channels/:c/messages", sim_messages_create, 5, 5 * CRIER_S, "create", SIM_BODY},
    {"PATCH", "channels/:c/messages/:m", sim_messages_edit, 5, 5 * CRIER_S, "edit", SIM_BODY},
    {"DELETE", "channels/:c/messages/:m", sim_messages_delete, 5, CRIER_S, "delete", 0},
    {"GET", "channels/:c/messages/:m", sim_messages_get, 20, CRIER_S, "message", 0},
    {"GET", "channels/:c/messages", sim_messages_list, 20, CRIER_S, "list", 0},
    {"POST", "channels/:c/messages/:m/crosspost", sim_messages_crosspost, 10, 3600 * CRIER_S,
     "crosspost", 0},
    {"PUT", "channels/:c/messages/:m/reactions/:e/@me", sim_messages_react, 10, CRIER_S, "react",
     0},
    {"DELETE", "channels/:c/messages/:m/reactions/:e/@me", sim_messages_unreact, 10, CRIER_S,
     "react", 0},
    {"POST", "channels/:c/typing", sim_messages_typing, 10, 5 * CRIER_S, "typing", 0},
    {"POST", "channels/:c/threads", sim_threads_create, 5, 5 * CRIER_S, "thread", SIM_BODY},
    {"POST", "channels/:c/messages/:m/threads", sim_threads_from_message, 5, 5 * CRIER_S, "thread",
     SIM_BODY},
    {"DELETE", "channels/:c", sim_threads_delete, 5, CRIER_S, "drop", 0},
    {"GET", "channels/:c", sim_channel_get, 50, CRIER_S, "channel", 0},
    {"GET", "guilds/:g", sim_guild_get, 50, CRIER_S, "guild", 0},
    {"GET", "guilds/:g/channels", sim_guild_channels, 50, CRIER_S, "channels", 0},
    {"GET", "guilds/:g/members/:u", sim_members_get, 50, CRIER_S, "member", 0},
    {"PATCH", "guilds/:g/members/:u", sim_members_edit, 10, 10 * CRIER_S, "moderate", SIM_BODY},
    {"PUT", "guilds/:g/members/:u/roles/:r", sim_members_role_add, 10, 10 * CRIER_S, "assign", 0},
    {"DELETE", "guilds/:g/members/:u/roles/:r", sim_members_role_remove, 10, 10 * CRIER_S, "assign",
     0},
    {"GET", "guilds/:g/roles", sim_roles_list, 50, CRIER_S, "roles", 0},
    {"POST", "guilds/:g/roles", sim_roles_create, 10, 10 * CRIER_S, "role", SIM_BODY},
    {"GET", "guilds/:g/roles/:r", sim_roles_get, 50, CRIER_S, "roles", 0},
    {"PATCH", "guilds/:g/roles/:r", sim_roles_edit, 10, 10 * CRIER_S, "role", SIM_BODY},
    {"DELETE", "guilds/:g/roles/:r", sim_roles_delete, 10, 10 * CRIER_S, "role", 0},
    {"PUT", "channels/:c/permissions/:o", sim_overwrites_put, 10, 10 * CRIER_S, "overwrite",
     SIM_BODY},
    {"DELETE", "channels/:c/permissions/:o", sim_overwrites_delete, 10, 10 * CRIER_S, "overwrite",
     0},
    {"GET", "users/@me", sim_me_get, 50, CRIER_S, "me", 0},
    {"GET", "users/@me/guilds", sim_me_guilds, 50, CRIER_S, "guilds", 0},
    {"POST", "users/@me/channels", sim_me_channels, 50, CRIER_S, "dms", SIM_BODY},
    {"GET", "users/:u", sim_user_get, 50, CRIER_S, "user", 0},
    {"GET", "guilds/:g/invites", sim_guild_invites, 50, CRIER_S, "invites", 0},
    {"GET", "gateway", sim_gateway_get, 0, 0, NULL, SIM_NO_AUTH},
    {"GET", "gateway/bot", sim_gateway_bot, 50, CRIER_S, "gateway", 0},
};

struct crier_sim *crier_sim_new(struct crier_loop *loop, const struct crier_sim_config *config)
{
    struct crier_sim *sim = crier_calloc(1, sizeof *sim);
    sim->loop = loop;
    sim->config = *config;
    if (!sim->config.nonce_window)
        sim->config.nonce_window = 180 * CRIER_S;
    if (!sim->config.keep)
        sim->config.keep = 1000;
    sim_world_init(sim);
    sim_limits_init(sim);
    sim_faults_init(sim);
    sim_gateway_init(sim);
    return sim;
}

void crier_sim_on_create(struct crier_sim *sim,
                         void (*fn)(void *arg, uint64_t channel, unsigned pings), void *arg)
{
    sim->on_create = fn;
    sim->on_create_arg = arg;
}

void crier_sim_move(struct crier_sim *sim, struct crier_loop *loop)
{
    struct crier_loop *from = sim->loop;
    sim->loop = loop;
    for (struct sim_session *s = sim->gateway->sessions; s; s = s->next)
        crier_timer_move(from, loop, &s->expiry);
    sim_events_move(sim, from);
}

void crier_sim_free(struct crier_sim *sim)
{
    if (!sim)
        return;
    sim_events_fini(sim);
    sim_gateway_fini(sim);
    sim_world_fini(sim);
    sim_nonces_fini(sim);
    g_hash_table_destroy(sim->buckets);
    g_ptr_array_free(sim->faults, TRUE);
    free(sim);
}

void crier_sim_any_token(struct crier_sim *sim, bool accept)
{
    sim->any_token = accept;
}

void crier_sim_stats(const struct crier_sim *sim, struct crier_sim_stats *out)
{
    *out = sim->stats;
    out->identifies = sim->gateway->identifies;
    out->resumes = sim->gateway->resumes;
    out->gateway_events = sim->gateway->events;
    for (const struct sim_conn *c = sim->gateway->conns; c; c = c->next)
        out->connections++;
    for (const struct sim_session *s = sim->gateway->sessions; s; s = s->next)
        out->sessions++;
}

void crier_sim_answer_fini(struct crier_sim_answer *answer)
{
    crier_buf_fini(&answer->headers);
    crier_buf_fini(&answer->body);
}

uint64_t sim_hash(uint64_t seed, const char *text)
{
    uint64_t h = seed + 0x9e3779b97f4a7c15ULL;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

/* Milliseconds since the epoch in the upper 42 bits, the seed where Discord has its worker and
 * process, then a counter; a clock that goes back does not make two of one id. */
uint64_t sim_next_id(struct crier_sim *sim)
{
    int64_t ms = crier_loop_wall(sim->loop) / CRIER_MS - SIM_EPOCH_MS;
    uint64_t id = (uint64_t)(ms > 0 ? ms : 0) << 22 | (sim->config.seed & 0x3ff) << 12;
    sim->last_id = id > sim->last_id ? id : sim->last_id + 1;
    return sim->last_id;
}

bool sim_snowflake(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 20; n++) {
        uint64_t digit = (uint64_t)(text[n] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (!n || text[n] || (n > 1 && text[0] == '0'))
        return false;
    *out = v;
    return true;
}

void sim_json_time(struct crier_buf *b, int64_t wall_us)
{
    char text[48];
    crier_time_rfc3339(wall_us, text);
    char *z = strchr(text, 'Z');
    if (z)
        memcpy(z, "+00:00", 7);
    crier_json_str(b, text);
}

void sim_header(struct sim_call *call, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    crier_buf_puts(&call->ans->headers, line);
    crier_buf_putc(&call->ans->headers, '\n');
}

void sim_error(struct sim_call *call, int status, int code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct crier_buf *b = &call->ans->body;
    crier_buf_clear(b);
    call->ans->status = status;
    crier_json_open(b, '{');
    crier_json_key(b, "message");
    crier_json_str(b, text);
    crier_json_key(b, "code");
    crier_json_int(b, code);
    crier_json_close(b, '}');
}

struct crier_buf *sim_ok(struct sim_call *call)
{
    call->ans->status = 200;
    return &call->ans->body;
}

void sim_no_content(struct sim_call *call)
{
    call->ans->status = 204;
}

bool sim_query(const struct sim_call *call, const char *name, char *out, size_t cap)
{
    size_t len = strlen(name);
    for (const char *p = call->query; p && *p; p = strchr(p, '&')) {
        p += *p == '&';
        if (strncmp(p, name, len) != 0 || p[len] != '=')
            continue;
        size_t n = strcspn(p + len + 1, "&");
        snprintf(out, cap, "%.*s", (int)n, p + len + 1);
        return true;
    }
    return false;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                                              : -1;
}

/* Takes the prefix off, decodes, cuts at slashes. False when it cannot be one of ours. */
static bool split_path(struct sim_call *call, const char *path)
{
    static const char prefix[] = "/api/v10";
    size_t plen = sizeof prefix - 1;
    if (strncmp(path, prefix, plen) == 0 && (path[plen] == '/' || !path[plen]))
        path += plen;
    const char *query = strchr(path, '?');
    call->query = query ? query + 1 : NULL;
    size_t len = query ? (size_t)(query - path) : strlen(path);
    char *to = call->path;
    const char *end = path + len;
    if (len + 1 > sizeof call->path || *path != '/')
        return false;
    for (const char *p = path; p < end; p++) {
        if (*p == '/') {
            *to++ = '\0';
            if (call->segment_count == SIM_MAX_SEGMENTS)
                return false;
            call->segments[call->segment_count++] = to;
        } else if (*p == '%' && end - p > 2 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            *to++ = (char)(hex(p[1]) << 4 | hex(p[2]));
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
    return true;
}

static bool route_matches(const struct sim_route *route, const struct sim_call *call)
{
    const char *p = route->pattern;
    for (size_t i = 0; i < call->segment_count; i++) {
        size_t n = strcspn(p, "/");
        if (!n)
            return false;
        if (*p != ':' &&
            (strlen(call->segments[i]) != n || strncmp(call->segments[i], p, n) != 0))
            return false;
        p += n + (p[n] == '/');
    }
    return !*p && call->segment_count > 0;
}

static bool find_route(struct sim_call *call)
{
    bool path_known = false;
    bool head = strcmp(call->req->method, "HEAD") == 0;
    const char *method = head ? "GET" : call->req->method;
    for (size_t i = 0; i < CRIER_COUNT(routes); i++) {
        if (!route_matches(&routes[i], call))
            continue;
        path_known = true;
        if (strcmp(routes[i].method, method) == 0) {
            call->route = &routes[i];
            return true;
        }
    }
    if (path_known)
        sim_error(call, 405, 0, "405: Method Not Allowed");
    else
        sim_error(call, 404, 0, "404: Not Found");
    return false;
}

/* DiscordBot (url, version) and whatever follows. */
static bool user_agent_ok(const char *ua)
{
    static const char start[] = "DiscordBot (";
    if (!ua || strncmp(ua, start, sizeof start - 1) != 0)
        return false;
    const char *url = ua + sizeof start - 1;
    const char *comma = strstr(url, ", ");
    const char *end = comma ? strchr(comma, ')') : NULL;
    return end && comma > url && end > comma + 2;
}

static bool authorize(struct sim_call *call)
{
    const char *auth = call->req->authorization;
    if (call->route->flags & SIM_NO_AUTH)
        return true;
    if (auth && strncmp(auth, "Bot ", 4) == 0 && auth[4])
        call->bot = sim_bot(call->sim, auth + 4);
    if (!call->bot)
        sim_error(call, 401, 0, "401: Unauthorized");
    return call->bot != NULL;
}

static const char *parameter_name(char kind)
{
    switch (kind) {
    case 'c':
        return "channel_id";
    case 'm':
        return "message_id";
    case 'g':
        return "guild_id";
    case 'r':
        return "role_id";
    case 'o':
        return "overwrite_id";
    default:
        return "user_id";
    }
}

static bool find_object(struct sim_call *call, char kind, uint64_t id)
{
    if (kind == 'c') {
        call->channel = sim_channel(call->sim, id);
        if (!call->channel ||
            (call->channel->of && call->channel->of != call->bot->user)) {
            sim_error(call, 404, 10003, "Unknown Channel");
            return false;
        }
        call->may = sim_may(call->sim, call->channel, call->bot->user);
        if (!(call->may & SIM_VIEW_CHANNEL) ||
            (call->channel->guild && call->channel->guild->left)) {
            sim_error(call, 403, 50001, "Missing Access");
            return false;
        }
    } else if (kind == 'm') {
        call->message = sim_message_find(call->channel, id);
        if (!call->message) {
            sim_error(call, 404, 10008, "Unknown Message");
            return false;
        }
    } else if (kind == 'g') {
        call->guild = sim_guild(call->sim, id);
        if (!call->guild || call->guild->left) {
            sim_error(call, 404, 10004, "Unknown Guild");
            return false;
        }
    } else if (kind == 'r') {
        call->role = sim_role(call->guild, id);
        if (!call->role) {
            sim_error(call, 404, 10011, "Unknown Role");
            return false;
        }
    }
    return true;
}

/* The path's ids: first whether they are ids at all, then the rate limit of the first one's
 * bucket, then what they name. */
static bool resolve(struct sim_call *call)
{
    uint64_t ids[SIM_MAX_SEGMENTS] = {0};
    char kinds[SIM_MAX_SEGMENTS] = {0};
    uint64_t major = 0;
    const char *p = call->route->pattern;
    for (size_t i = 0; i < call->segment_count; i++) {
        if (*p == ':' && p[1] != 'e') {
            kinds[i] = p[1];
            if (!sim_snowflake(call->segments[i], &ids[i]))
                sim_form_error(call, parameter_name(p[1]), "NUMBER_TYPE_COERCE",
                               "Value \"%s\" is not snowflake.", call->segments[i]);
            if (!major && (p[1] == 'c' || p[1] == 'g'))
                major = ids[i];
        }
        p += strcspn(p, "/");
        p += *p == '/';
    }
    if (!sim_limit_bucket(call, major) || sim_form_failed(call))
        return false;
    for (size_t i = 0; i < call->segment_count; i++) {
        if (kinds[i] && !find_object(call, kinds[i], ids[i]))
            return false;
    }
    return true;
}

static void execute(struct sim_call *call, bool path_ok)
{
    if (!user_agent_ok(call->req->user_agent)) {
        sim_error(call, 403, 40333, "internal network error");
        return;
    }
    if (!path_ok) {
        sim_error(call, 404, 0, "404: Not Found");
        return;
    }
    if (!find_route(call) || !authorize(call))
        return;
    if (call->bot && !sim_limit_global(call))
        return;
    if (!resolve(call))
        return;
    if ((call->route->flags & SIM_BODY) && !sim_form_read(call))
        return;
    call->route->handle(call);
}

static void count(struct crier_sim *sim, const struct crier_sim_answer *answer)
{
    if (answer->status == 429)
        sim->stats.answers_429++;
    else if (answer->status >= 500)
        sim->stats.answers_5xx++;
    else if (answer->status >= 400)
        sim->stats.answers_4xx++;
}

/* The path as faults match it: below the prefix, without the query. */
static void fault_path(const char *path, char *out, size_t cap)
{
    if (strncmp(path, "/api/v10/", 9) == 0)
        path += 8;
    snprintf(out, cap, "%.*s", (int)strcspn(path, "?"), path);
}

void crier_sim_handle(struct crier_sim *sim, const struct crier_sim_request *req,
                      struct crier_sim_answer *answer)
{
    struct sim_call call;
    call.sim = sim;
    call.req = req;
    call.ans = answer;
    call.route = NULL;
    call.bot = NULL;
    call.segment_count = 0;
    call.query = NULL;
    call.channel = NULL;
    call.message = NULL;
    call.guild = NULL;
    call.role = NULL;
    call.may = 0;
    call.form = call.errors = NULL;
    crier_buf_reserve(&answer->headers, 300); /* so long are most of them */
    crier_buf_reserve(&answer->body, 900);
    answer->status = 0;
    answer->close = CRIER_SIM_ANSWER;
    answer->delay_us = 0;
    crier_buf_clear(&answer->headers);
    crier_buf_clear(&answer->body);
    sim->stats.requests++;

    const struct sim_fault *fault = NULL;
    if (sim->faults->len) {
        char path[sizeof call.path];
        fault_path(req->path, path, sizeof path);
        fault = sim_fault_take(sim, req->method, path);
    }
    if (!fault || sim_fault_executes(fault)) {
        bool path_ok = split_path(&call, req->path);
        execute(&call, path_ok);
        if (answer->body.len)
            crier_buf_puts(&answer->headers, "content-type: application/json\n");
        crier_buf_puts(&answer->headers, "via: 1.1 google\n");
    }
    if (fault)
        sim_fault_apply(&call, fault);
    json_decref(call.form);
    json_decref(call.errors);
    count(sim, answer);
}
