/* SPDX-License-Identifier: MIT
 *
 * Notices on their way: each target has a queue, of which one is under way at a time. What does not
 * arrive is tried again, later and later, for a day; that a target does not take any is told, but not
 * more often than every ten minutes, and never to itself.
 */
#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "discord/mail.h"
#include "discord/transport.h"
#include "script/alert_private.h"
#include "script/declare.h"

#define QUEUE_MAX 200
#define FIRST_PAUSE (5 * CRIER_S)
#define LONGEST_PAUSE (600 * CRIER_S)
#define GIVE_UP (24 * 3600 * CRIER_S)
#define TELL_EVERY (600 * CRIER_S)
#define DISCORD_WITHIN (60 * CRIER_S)
#define DISCORD_UNITS 2000
#define HTTP_TIMEOUT_BODY (64u << 10)

struct outlet {
    struct crier_alerts *alerts;
    char *key, *label;
    const struct crier_alert_target *target; /* of the present generation; NULL: none */
    GQueue queue;                            /* struct crier_notice, a reference each */
    struct flight *flight;
    struct crier_timer timer; /* for the next try */
    unsigned tries;           /* of the first in the queue */
    int64_t first_at;         /* wall: its first try */
    bool failing;
    int64_t told_at; /* monotonic: of its failing; 0: not yet */
    int64_t full_at; /* monotonic: when it was told that too many wait; 0: not yet */
    uint64_t sent, lost;
    char *last_error;
};

/* How a try ended. */
enum verdict { ARRIVED, AGAIN, NEVER };

struct flight {
    struct outlet *outlet;
    struct crier_generation *gen; /* a reference: whose function it is, or whose bot */
    struct crier_transport *http;
    struct crier_http_call *exchange;
    struct crier_mail_call *mail;
    struct crier_discord *client;
    struct crier_request_id request;
    struct crier_content *content;
    char nonce[26];
    int64_t pause; /* that the other side has asked for */
};

static void go_on(struct outlet *o);

/* --- the store --------------------------------------------------------------------------- */

static void put_stored(struct outlet *o, const struct crier_notice *n, bool there)
{
    char *key = crier_asprintf("%s\n%s", n->id, o->key);
    char *json = there ? crier_notice_json(n) : NULL;
    crier_state_put(crier_host_state(o->alerts->host), "alert.notice", key, json, NULL, NULL);
    free(json);
    free(key);
}

static void drop_first(struct outlet *o)
{
    struct crier_notice *n = g_queue_pop_head(&o->queue);
    put_stored(o, n, false);
    crier_notice_unref(n);
    o->tries = 0;
    o->first_at = 0;
}

/* --- the end of a try -------------------------------------------------------------------- */

static void complain(struct outlet *o, const char *text, bool never)
{
    int64_t now = crier_loop_now(o->alerts->loop);
    free(o->last_error);
    o->last_error = crier_strdup(text);
    o->failing = true;
    if (o->told_at && now - o->told_at < TELL_EVERY)
        return;
    o->told_at = now ? now : 1;
    fprintf(stderr, "crier: alert to %s does not arrive: %s; %s\n", o->label, text,
            never ? "it is given up" : "it is tried again");
    crier_alert_say(o->alerts, CRIER_LEVEL_ERROR, "alert.target",
                    "alert to %s does not arrive: %s; %s", o->label, text,
                    never ? "it is given up" : "it is tried again");
}

static void free_outlet(void *p)
{
    struct outlet *o = p;
    struct crier_notice *n;
    crier_timer_stop(o->alerts->loop, &o->timer);
    while ((n = g_queue_pop_head(&o->queue)))
        crier_notice_unref(n);
    free(o->last_error);
    free(o->label);
    free(o->key);
    free(o);
}

static void free_flight(struct flight *f)
{
    struct crier_alerts *alerts = f->outlet->alerts;
    g_ptr_array_remove_fast(alerts->flights, f);
    f->outlet->flight = NULL;
    crier_content_unref(f->content);
    crier_generation_unref(f->gen);
    free(f);
}

static int64_t pause_after(const struct outlet *o, int64_t wanted)
{
    int64_t pause = FIRST_PAUSE;
    for (unsigned i = 1; i < o->tries && pause < LONGEST_PAUSE; i++)
        pause *= 2;
    pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
    return wanted > pause ? wanted : pause;
}

static void end_flight(struct flight *f, enum verdict verdict, const char *text)
{
    struct outlet *o = f->outlet;
    struct crier_alerts *alerts = o->alerts;
    int64_t pause = f->pause;
    free_flight(f);
    if (alerts->stopped)
        return; /* what has not arrived is in the store */
    if (!o->target) { /* a reload took it away meanwhile */
        while (o->queue.length)
            drop_first(o);
        g_hash_table_remove(alerts->outlets, o->key);
        return;
    }
    const struct crier_notice *n = o->queue.head->data;
    o->tries++;
    if (verdict == AGAIN && crier_loop_wall(alerts->loop) - n->time > GIVE_UP)
        verdict = NEVER;
    if (verdict == ARRIVED) {
        o->sent++;
        drop_first(o);
        if (o->failing)
            crier_alert_say(alerts, CRIER_INFO, "alert.target", "alert to %s arrives again",
                            o->label);
        o->failing = false;
        o->told_at = 0;
        free(o->last_error);
        o->last_error = NULL;
        go_on(o);
    } else {
        complain(o, text, verdict == NEVER);
        if (verdict == NEVER) {
            o->lost++;
            drop_first(o);
        }
        crier_timer_in(alerts->loop, &o->timer,
                       verdict == NEVER ? FIRST_PAUSE : pause_after(o, pause));
    }
    if (crier_host_stopping(alerts->host))
        crier_host_look_idle(alerts->host);
}

/* --- mail -------------------------------------------------------------------------------- */

static const struct crier_option_value *option(const struct flight *f, const char *name)
{
    return crier_options_get(&f->outlet->target->options, name);
}

/* A secret's value, or the text itself; NULL: it is not there. */
static char *secret(const struct flight *f, const char *text, struct crier_err *err)
{
    return crier_is_secret_reference(text) ? crier_secret_resolve(text, f->gen->folder, err)
                                           : crier_strdup(text);
}

static bool may_reach(struct flight *f, const char *host, char *why, size_t cap)
{
    struct crier_vm *vm = f->gen->vm;
    struct crier_alerts *alerts = f->outlet->alerts;
    bool before = alerts->own;
    alerts->own = true;
    bool ok = !vm->allow_host || vm->allow_host(f->gen, host, why, cap);
    alerts->own = before;
    return ok;
}

static void on_mail(void *arg, const struct crier_err *err, const char *refused)
{
    struct flight *f = arg;
    f->mail = NULL;
    if (err->code == 0 && *refused)
        crier_alert_say(f->outlet->alerts, CRIER_LEVEL_WARNING, "alert.target",
                        "alert to %s was refused for some of them: %s", f->outlet->label, refused);
    end_flight(f, err->code == 0                ? ARRIVED
                  : err->code == CRIER_EDENIED ? NEVER
                                                : AGAIN,
               err->text);
}

static void send_mail(struct flight *f, const struct crier_notice *n)
{
    const struct crier_option_value *to = option(f, "mail"), *user = option(f, "user");
    struct crier_mail mail = {.timeout = option(f, "timeout")->i,
                              .starttls = (enum crier_starttls)option(f, "starttls")->i,
                              .to_count = to->count};
    struct crier_buf message = {0};
    struct crier_err err = {0};
    char host[256] = "", why[256] = "";
    mail.server = crier_strdup(option(f, "server")->s);
    mail.from = crier_mail_address(option(f, "from")->s);
    mail.to = crier_calloc(to->count, sizeof *mail.to);
    for (size_t i = 0; i < to->count; i++)
        mail.to[i] = crier_mail_address(to->list[i]);
    mail.ca = crier_strdup(option(f, "ca")->s);
    if (user->set) {
        mail.user = secret(f, user->s, &err);
        mail.password = err.code ? NULL : secret(f, option(f, "password")->s, &err);
    }
    if (err.code == 0 && crier_url_host(mail.server, host, sizeof host) &&
        !may_reach(f, host, why, sizeof why))
        crier_err_set(&err, CRIER_EDENIED, "%s", why);
    if (err.code) {
        crier_mail_fini(&mail);
        end_flight(f, err.code == CRIER_EDENIED ? NEVER : AGAIN, err.text);
        return;
    }
    crier_notice_mail(n, option(f, "from")->s, to->list, to->count, option(f, "subject")->s,
                      &message);
    mail.length = message.len;
    mail.message = crier_buf_take(&message);
    f->mail = crier_mail_send(f->outlet->alerts->mailer, &mail, on_mail, f);
}

/* --- webhooks ---------------------------------------------------------------------------- */

static void on_answer(void *arg, struct crier_http_response *res)
{
    struct flight *f = arg;
    char text[400], after[32];
    f->exchange = NULL;
    if (res->status >= 200 && res->status < 300) {
        end_flight(f, ARRIVED, NULL);
        return;
    }
    if (res->status)
        snprintf(text, sizeof text, "it answers %d", res->status);
    else
        snprintf(text, sizeof text, "%.300s", res->err.text);
    if (res->status && crier_http_header(res, "retry-after", after, sizeof after))
        f->pause = strtoll(after, NULL, 10) > 0 && strtoll(after, NULL, 10) < 86400
                       ? strtoll(after, NULL, 10) * CRIER_S
                       : 0;
    bool again = res->status == 0 || res->status == 408 || res->status == 425 ||
                 res->status == 429 || res->status >= 500;
    end_flight(f, again ? AGAIN : NEVER, text);
}

/* As the option says, else as the address does. */
static char *webhook_body(const struct flight *f, const struct crier_notice *n, const char *url,
                          const char *host)
{
    const struct crier_option_value *format = option(f, "format");
    const char *word = format->set ? format->s : "";
    bool discord = strcmp(word, "discord") == 0 ||
                   (!*word && (strcasecmp(host, "discord.com") == 0 ||
                               strcasecmp(host, "discordapp.com") == 0) &&
                    strstr(url, "/api/webhooks/"));
    bool slack =
        strcmp(word, "slack") == 0 || (!*word && strcasecmp(host, "hooks.slack.com") == 0);
    return discord ? crier_notice_discord(n)
           : slack ? crier_notice_slack(n)
                   : crier_notice_json(n);
}

static void send_webhook(struct flight *f, const struct crier_notice *n)
{
    struct crier_err err = {0};
    char host[256] = "", why[256] = "";
    struct crier_http_request req = {0};
    char *url = secret(f, option(f, "webhook")->s, &err);
    char *const *h = f->outlet->target->headers;
    if (url && !crier_url_host(url, host, sizeof host))
        crier_err_set(&err, CRIER_EINVAL, "its address does not begin with http:// or https://");
    else if (url && !may_reach(f, host, why, sizeof why))
        crier_err_set(&err, CRIER_EDENIED, "%s", why);
    if (err.code)
        goto out;
    crier_http_request_init(&req, "POST", url);
    crier_http_request_header(&req, "Content-Type", "application/json");
    for (size_t i = 0; h[i] && !err.code; i += 2) {
        char *text = secret(f, h[i + 1], &err);
        if (text && strpbrk(text, "\r\n"))
            crier_err_set(&err, CRIER_EINVAL, "its header '%.60s' holds a line break", h[i]);
        else if (text)
            crier_http_request_header(&req, h[i], text);
        if (text)
            explicit_bzero(text, strlen(text));
        free(text);
    }
    if (err.code)
        goto out;
    req.timeout = option(f, "timeout")->i;
    req.max_body = HTTP_TIMEOUT_BODY;
    req.body = webhook_body(f, n, url, host);
    req.body_len = strlen(req.body);
    f->http = f->gen->vm->http;
    f->exchange = f->http->ops->start(f->http, &req, on_answer, f);
out:
    if (url)
        explicit_bzero(url, strlen(url));
    free(url);
    crier_http_request_fini(&req);
    if (err.code)
        end_flight(f, err.code == CRIER_EDENIED ? NEVER : AGAIN, err.text);
}

/* --- Discord ----------------------------------------------------------------------------- */

static enum verdict judge_discord(const struct crier_discord_result *r)
{
    switch (r->outcome) {
    case CRIER_SENT:
        return ARRIVED;
    case CRIER_DROP:
    case CRIER_BAD:
    case CRIER_REBUILD:
        return NEVER;
    default:
        return AGAIN;
    }
}

static void on_sent(void *arg, const struct crier_discord_result *r)
{
    struct flight *f = arg;
    f->client = NULL;
    f->pause = r->outcome == CRIER_PAUSE ? r->pause * CRIER_S : 0;
    end_flight(f, judge_discord(r), r->err.text);
}

static void create(struct flight *f, uint64_t channel)
{
    struct outlet *o = f->outlet;
    f->request = crier_discord_create(f->client, channel, f->content, NULL, f->nonce, o->first_at,
                                      crier_loop_now(o->alerts->loop) + DISCORD_WITHIN, on_sent, f);
}

static void on_dm(void *arg, const struct crier_discord_result *r)
{
    struct flight *f = arg;
    const char *id = json_string_value(json_object_get(r->body, "id"));
    uint64_t channel = id ? strtoull(id, NULL, 10) : 0;
    if (r->outcome == CRIER_SENT && channel && !f->outlet->alerts->stopped)
        create(f, channel);
    else
        on_sent(f, r);
}

static void send_discord(struct flight *f, const struct crier_notice *n)
{
    struct outlet *o = f->outlet;
    const struct crier_alert_target *t = o->target;
    bool dm = t->type == CRIER_TO_DM;
    uint64_t id = (uint64_t)option(f, dm ? "dm" : "channel")->i;
    f->client = crier_host_client(o->alerts->host, t->bot->name);
    if (!f->client) {
        end_flight(f, AGAIN, "its bot is not there");
        return;
    }
    char *key = crier_asprintf("alert %s %s", n->id, o->key);
    crier_discord_nonce(key, id, n->time, f->nonce);
    free(key);
    f->content = crier_content_new();
    f->content->text = crier_notice_line(n, DISCORD_UNITS);
    if (dm)
        f->request = crier_discord_open_dm(f->client, id,
                                           crier_loop_now(o->alerts->loop) + DISCORD_WITHIN, on_dm,
                                           f);
    else
        create(f, id);
}

/* --- functions --------------------------------------------------------------------------- */

static int function_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    (void)ctx;
    return lua_gettop(L);
}

struct function_args {
    int fn;
    const struct crier_notice *notice;
};

static int l_function(lua_State *L)
{
    struct function_args *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, a->fn);
    crier_push_notice(L, (void *)a->notice);
    lua_callk(L, 1, LUA_MULTRET, 0, function_returned);
    return function_returned(L, LUA_OK, 0);
}

/* `nil, message` and `false` are failures; nothing at all is none. */
static void on_function(void *arg, lua_State *L, const struct crier_call_end *end)
{
    struct flight *f = arg;
    int n = end->results;
    char text[400] = "";
    crier_host_touched(f->gen);
    if (end->rc != 0) {
        snprintf(text, sizeof text, "%.380s", end->error.message ? end->error.message : "failed");
        end_flight(f, AGAIN, text);
    } else if ((n >= 2 && !lua_toboolean(L, -n)) || (n == 1 && lua_isboolean(L, -1) &&
                                                     !lua_toboolean(L, -1))) {
        const char *said = n >= 2 && lua_type(L, -n + 1) == LUA_TSTRING ? lua_tostring(L, -n + 1)
                                                                        : "it says so";
        snprintf(text, sizeof text, "%.380s", said);
        end_flight(f, AGAIN, text);
    } else {
        end_flight(f, ARRIVED, NULL);
    }
}

static void send_function(struct flight *f, const struct crier_notice *n)
{
    struct crier_vm *vm = f->gen->vm;
    struct function_args args = {f->outlet->target->fn, n};
    lua_pushcfunction(vm->L, l_function);
    lua_pushlightuserdata(vm->L, &args);
    crier_call_start(vm, 1, f->outlet->label, f->gen->config.limits.callback,
                     (void *)&crier_call_of_alert, on_function, f);
}

/* --- queues ------------------------------------------------------------------------------ */

static void go_on(struct outlet *o)
{
    struct crier_alerts *alerts = o->alerts;
    if (o->flight || !o->target || !o->queue.length || alerts->stopped ||
        crier_timer_armed(&o->timer))
        return;
    /* Nothing is reached from virtual time but what is in it. */
    bool network = o->target->type == CRIER_TO_MAIL || o->target->type == CRIER_TO_WEBHOOK;
    if (network && !crier_loop_uv(alerts->loop)) {
        while (o->queue.length) {
            o->sent++;
            drop_first(o);
        }
        return;
    }
    struct flight *f = crier_calloc(1, sizeof *f);
    struct crier_notice *n = crier_notice_ref(o->queue.head->data);
    f->outlet = o;
    f->gen = crier_generation_ref(alerts->gen);
    g_ptr_array_add(alerts->flights, f);
    o->flight = f;
    if (!o->first_at)
        o->first_at = crier_loop_wall(alerts->loop);
    switch (o->target->type) {
    case CRIER_TO_MAIL:
        send_mail(f, n);
        break;
    case CRIER_TO_WEBHOOK:
        send_webhook(f, n);
        break;
    case CRIER_TO_CHANNEL:
    case CRIER_TO_DM:
        send_discord(f, n);
        break;
    case CRIER_TO_FUNCTION:
        send_function(f, n);
        break;
    }
    crier_notice_unref(n);
}

static void on_retry(struct crier_timer *timer)
{
    go_on(CRIER_CONTAINER(timer, struct outlet, timer));
}

static void tell_full(struct outlet *o)
{
    int64_t now = crier_loop_now(o->alerts->loop);
    if (o->full_at && now - o->full_at < TELL_EVERY)
        return;
    o->full_at = now ? now : 1;
    fprintf(stderr, "crier: more than %d notices wait for %s: the oldest are given up\n", QUEUE_MAX,
            o->label);
    crier_alert_say(o->alerts, CRIER_LEVEL_ERROR, "alert.target",
                    "more than %d notices wait for %s: the oldest are given up", QUEUE_MAX,
                    o->label);
}

static void enqueue(struct outlet *o, struct crier_notice *n, bool stored)
{
    if (o->queue.length >= QUEUE_MAX) { /* the oldest goes that is not under way */
        GList *oldest = o->flight ? o->queue.head->next : o->queue.head;
        struct crier_notice *lost = oldest->data;
        g_queue_delete_link(&o->queue, oldest);
        put_stored(o, lost, false);
        crier_notice_unref(lost);
        o->lost++;
        tell_full(o);
    }
    g_queue_push_tail(&o->queue, crier_notice_ref(n));
    if (!stored)
        put_stored(o, n, true);
}

void crier_alert_send(struct crier_alerts *alerts, const struct crier_alert *decl,
                      struct crier_notice *notice)
{
    for (guint i = 0; i < decl->targets->len; i++) {
        const struct crier_alert_target *t = decl->targets->pdata[i];
        struct outlet *o = g_hash_table_lookup(alerts->outlets, t->key);
        if (!o)
            continue;
        enqueue(o, notice, false);
        go_on(o);
    }
}

/* --- generations ------------------------------------------------------------------------- */

static struct outlet *outlet_of(struct crier_alerts *alerts, const struct crier_alert_target *t)
{
    struct outlet *o = g_hash_table_lookup(alerts->outlets, t->key);
    if (!o) {
        o = crier_calloc(1, sizeof *o);
        o->alerts = alerts;
        o->key = crier_strdup(t->key);
        o->timer.fire = on_retry;
        g_queue_init(&o->queue);
        g_hash_table_insert(alerts->outlets, o->key, o);
    }
    free(o->label);
    o->label = crier_strdup(t->label);
    return o;
}

struct restoring {
    struct crier_alerts *alerts;
    GPtrArray *stale;
};

static void restore(void *arg, const char *key, const char *json)
{
    struct restoring *r = arg;
    const char *end = strchr(key, '\n');
    struct outlet *o = end ? g_hash_table_lookup(r->alerts->outlets, end + 1) : NULL;
    struct crier_notice *n = o ? crier_notice_from_json(json) : NULL;
    if (n)
        enqueue(o, n, true);
    else
        g_ptr_array_add(r->stale, crier_strdup(key));
    crier_notice_unref(n);
}

static void restore_all(struct crier_alerts *alerts)
{
    struct restoring r = {alerts, g_ptr_array_new_with_free_func(free)};
    crier_state_each(crier_host_state(alerts->host), "alert.notice", restore, &r);
    for (guint i = 0; i < r.stale->len; i++)
        crier_state_put(crier_host_state(alerts->host), "alert.notice", r.stale->pdata[i], NULL,
                        NULL, NULL);
    g_ptr_array_free(r.stale, TRUE);
}

void crier_outlets_adopt(struct crier_alerts *alerts, bool restarted)
{
    GHashTableIter it;
    void *key, *value;
    if (!alerts->mailer)
        alerts->mailer = crier_mailer_new(alerts->loop);
    if (!alerts->outlets)
        alerts->outlets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_outlet);
    g_hash_table_iter_init(&it, alerts->outlets);
    while (g_hash_table_iter_next(&it, &key, &value))
        ((struct outlet *)value)->target = NULL;
    for (guint i = 0; i < alerts->gen->alerts->len; i++) {
        const struct crier_alert *a = alerts->gen->alerts->pdata[i];
        for (guint k = 0; k < a->targets->len; k++)
            outlet_of(alerts, a->targets->pdata[k])->target = a->targets->pdata[k];
    }
    if (restarted)
        restore_all(alerts);
    g_hash_table_iter_init(&it, alerts->outlets);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        struct outlet *o = value;
        if (!o->target && !o->flight) {
            while (o->queue.length)
                drop_first(o);
            g_hash_table_iter_remove(&it);
        } else if (o->queue.length) {
            /* The new script may have put right what failed. */
            crier_timer_in(alerts->loop, &o->timer, 0);
        }
    }
}

void crier_outlets_free(struct crier_alerts *alerts)
{
    crier_mailer_free(alerts->mailer);
    while (alerts->flights->len)
        free_flight(alerts->flights->pdata[0]);
    if (alerts->outlets)
        g_hash_table_destroy(alerts->outlets);
}

size_t crier_alerts_pending(const struct crier_alerts *alerts)
{
    GHashTableIter it;
    void *key, *value;
    size_t n = alerts->fresh.length;
    if (!alerts->outlets)
        return n;
    g_hash_table_iter_init(&it, alerts->outlets);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        const struct outlet *o = value;
        n += o->flight ? 1 : o->failing ? 0 : o->queue.length;
    }
    return n;
}

void crier_alerts_cancel(struct crier_alerts *alerts)
{
    GPtrArray *all = g_ptr_array_copy(alerts->flights, NULL, NULL);
    crier_alerts_stop(alerts);
    for (guint i = 0; i < all->len; i++) {
        struct flight *f = all->pdata[i];
        if (f->mail)
            crier_mail_cancel(f->mail);
        else if (f->exchange)
            f->http->ops->cancel(f->http, f->exchange);
        else if (f->client)
            crier_discord_cancel(f->client, f->request);
    }
    g_ptr_array_free(all, TRUE);
}

/* --- status ------------------------------------------------------------------------------ */

json_t *crier_outlets_status(struct crier_alerts *alerts, const struct crier_alert *decl)
{
    json_t *list = json_array();
    for (guint i = 0; i < decl->targets->len; i++) {
        const struct crier_alert_target *t = decl->targets->pdata[i];
        const struct outlet *o = g_hash_table_lookup(alerts->outlets, t->key);
        if (!o)
            continue;
        json_t *item = json_pack("{s:s, s:I, s:I, s:i, s:b}", "to", o->label, "sent",
                                 (json_int_t)o->sent, "lost", (json_int_t)o->lost, "queued",
                                 (int)o->queue.length, "failing", o->failing);
        if (o->last_error)
            json_object_set_new(item, "error", json_string(o->last_error));
        json_array_append_new(list, item);
    }
    return list;
}
