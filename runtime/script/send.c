/* SPDX-License-Identifier: MIT */
#include "script/message_private.h"

#include "discord/view.h"
#include "script/pattern.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A send is repeated until the next one is due, but for this long at least and at most. */
#define RETRY_LEAST (30 * CRIER_S)
#define RETRY_MOST (3600 * CRIER_S)

#define PAUSE_MOST (6 * 3600 * CRIER_S)
#define EXPLAIN_AGE (20 * CRIER_S) /* a permission is looked up anew where it is missing */
#define SEEN_AGE (600 * CRIER_S)   /* ... and what channels there are, this often */
enum { PUBLISH_HOURLY = 10 };

static void finish(struct crier_send *s);
static void start_ops(struct crier_send *s);
static void find_channels(struct crier_send *s);
static void op_create(struct op *op);
static void op_begin(struct op *op);

/* --- data -------------------------------------------------------------------------------- */

/* Whoever asked for the send hears how it ended, once. */
static void tell(struct crier_send *s, struct crier_record *record, const char *why)
{
    crier_message_told *told = s->told;
    s->told = NULL;
    if (told)
        told(s->told_arg, record, why);
}

static void drop_send(struct crier_send *s)
{
    struct crier_poster *p = s->poster;
    struct crier_message *m = s->m;
    struct crier_generation *gen = m->gen;
    s->st->send = NULL;
    crier_message_resume(s->st);
    struct crier_send *last = p->sends->pdata[p->sends->len - 1];
    last->index = s->index;
    g_ptr_array_remove_index_fast(p->sends, s->index);
    tell(s, NULL, "stopped before its outcome was known");
    crier_content_unref(s->data.content);
    for (size_t i = 0; i < s->op_count; i++) {
        free(s->ops[i].reason);
        free(s->ops[i].publish_reason);
    }
    free(s->ops);
    free(s->channels);
    free(s->chosen);
    free(s->only_why);
    free(s);
    crier_message_unref(m);
    crier_generation_unref(gen);
    if (p->on_idle)
        p->on_idle(p->idle_arg);
}

static void skip_send(struct crier_send *s, const char *reason)
{
    s->st->intent_due = s->st->intent_at = s->st->begun = 0;
    crier_message_skip(s->poster, s->m, reason, 1);
    crier_msgstate_save(s->poster, s->st, NULL, NULL);
    tell(s, NULL, reason);
    drop_send(s);
}

static void data_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct crier_send *s = arg;
    char what[160];
    s->call = NULL;
    crier_host_touched(s->m->gen);
    if (end->rc == 0 && !s->data.err.code) {
        if (s->data.nil)
            skip_send(s, "the data function returned nil");
        else
            start_ops(s);
        return;
    }
    if (end->rc == 0) {
        struct crier_lua_error error = crier_data_error(&s->data);
        crier_host_callback_error(s->poster->host, crier_data_what(s->m, what), &error);
        tell(s, NULL, error.message);
        crier_lua_error_fini(&error);
    } else if (end->rc != CRIER_ECANCELED) {
        crier_host_callback_error(s->poster->host, crier_data_what(s->m, what), &end->error);
        tell(s, NULL, end->error.message);
    }
    skip_send(s, end->rc == CRIER_ECANCELED ? "stopped" : "the data function failed");
}

static void get_data(struct crier_send *s)
{
    struct crier_message *m = s->m;
    char what[160];
    if (m->content) {
        s->data.content = crier_content_ref(m->content);
        start_ops(s);
        return;
    }
    s->data.channel_count = s->channel_count;
    crier_data_push(&s->data);
    struct crier_call *call = crier_call_start(m->gen->vm, 1, crier_data_what(m, what),
                                               m->gen->config.limits.callback, m, data_done, s);
    if (call)
        s->call = call;
}

/* --- sending ----------------------------------------------------------------------------- */

/* The client that it began with: a reload may give the bot another one meanwhile. */
static struct crier_discord *client_of(struct crier_send *s)
{
    if (!s->client)
        s->client = crier_host_client(s->poster->host, s->m->target->bot->name);
    return s->client;
}

static void names_known(void *arg)
{
    struct crier_send *s = arg;
    s->names_ready = true;
    if (s->ops && !s->left)
        finish(s);
}

static void set_deadline(struct crier_send *s)
{
    struct crier_loop *loop = crier_host_loop(s->poster->host);
    s->started = crier_loop_now(loop);
    int64_t span = s->st->due - crier_loop_wall(loop);
    if (span < RETRY_LEAST)
        span = RETRY_LEAST;
    if (span > RETRY_MOST)
        span = RETRY_MOST;
    s->deadline = s->started + span;
}

void crier_send_begin(struct crier_poster *p, struct crier_message *m, int64_t due, int64_t at,
                      crier_message_told *told, void *arg)
{
    struct crier_send *s = crier_calloc(1, sizeof *s);
    s->poster = p;
    s->m = m;
    s->st = m->state;
    s->due = due;
    s->at = at;
    s->told = told;
    s->told_arg = arg;
    s->resumed = m->state->intent_due != 0;
    set_deadline(s);
    m->state->send = s;
    m->state->begun = told ? 0 : due;
    crier_generation_ref(m->gen);
    crier_message_ref(m);
    s->index = p->sends->len;
    g_ptr_array_add(p->sends, s);
    if (client_of(s) && !crier_host_bot_ready(p->host, m->target->bot->name))
        g_ptr_array_add(p->waiting, s);
    else
        find_channels(s);
}

void crier_poster_drop_waiting(struct crier_poster *p)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++)
        skip_send(waiting->pdata[i], "the host stopped before Discord was reached");
    g_ptr_array_free(waiting, TRUE);
}

void crier_poster_bot_ready(struct crier_poster *p, const char *bot)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++) {
        struct crier_send *s = waiting->pdata[i];
        if (strcmp(s->m->target->bot->name, bot) == 0) {
            set_deadline(s); /* waiting for Discord has not used it up */
            s->client = NULL;
            find_channels(s);
        } else {
            g_ptr_array_add(p->waiting, s);
        }
    }
    g_ptr_array_free(waiting, TRUE);
}

static void count_result(struct crier_send *s, const struct crier_discord_result *r)
{
    s->requests += r->requests;
    s->retries += r->retries;
    s->waited += r->waited;
    s->retry_wait += r->retry_wait;
    if (r->latency > s->latency)
        s->latency = r->latency;
}

/* The global limit goes in turn by guild or user. */
static void op_asked(struct op *op, struct crier_request_id id)
{
    struct crier_send *s = op->send;
    op->request = id;
    crier_discord_whose(client_of(s), id, s->m->target->id);
}

static void op_end(struct op *op, bool ok, const char *reason)
{
    struct crier_send *s = op->send;
    op->done = true;
    if (ok)
        op->at->refusals = 0;
    op->ok = ok;
    op->request.id = 0;
    op->reason = crier_strdup(reason);
    if (ok)
        op->at->sent++;
    if (--s->left == 0 && s->names_ready)
        finish(s);
}

/* --- channels that are closed to us ------------------------------------------------------- */

static int64_t whole_seconds(int64_t us)
{
    return (us + CRIER_S / 2) / CRIER_S * CRIER_S;
}

static void close_channel(struct op *op, int64_t until, const char *why)
{
    struct crier_send *s = op->send;
    struct crier_channel_state *at = op->at;
    int64_t now = crier_loop_now(crier_host_loop(s->poster->host));
    char label[120], id[24], wait[48];
    const char *name = crier_names_get(s->poster->names, op->channel);
    crier_message_label(s->m, label, sizeof label);
    at->paused_until = until;
    free(at->why);
    at->why = crier_strdup(why);
    if (until == CRIER_NEVER)
        crier_host_system(s->poster->host, CRIER_LEVEL_ERROR, "channel.dropped",
                          "message '%s': %s is given up: %s", label,
                          name ? name : crier_id_text(at->id, id), why);
    else
        crier_host_system(s->poster->host, CRIER_LEVEL_WARNING, "channel.paused",
                          "message '%s': %s is paused for %s: %s", label,
                          name ? name : crier_id_text(at->id, id),
                          crier_duration_text(whole_seconds(until - now), wait), why);
}

static uint64_t needed(const struct crier_send *s)
{
    uint64_t bits = CRIER_MAY_VIEW_CHANNEL | CRIER_MAY_SEND_MESSAGES;
    if (s->data.content->embeds)
        bits |= CRIER_MAY_EMBED_LINKS;
    if (s->data.content->file_count)
        bits |= CRIER_MAY_ATTACH_FILES;
    if (s->data.content->reply_to)
        bits |= CRIER_MAY_READ_HISTORY;
    return bits;
}

/* What the bot may do there is known: say which permission is missing, and wait for longer each
 * time. A bot that is timed out waits for the end of that. */
static void explained(void *arg, const struct crier_seen_channels *seen,
                      const struct crier_err *err)
{
    struct op *op = arg;
    struct crier_send *s = op->send;
    struct crier_loop *loop = crier_host_loop(s->poster->host);
    (void)err;
    char missing[200] = "", *why = NULL;
    int64_t wait = op->last.pause * CRIER_S, until;
    for (int i = 1; i < op->at->refusals && wait < PAUSE_MOST; i++)
        wait *= 2;
    until = crier_loop_now(loop) + (wait < PAUSE_MOST ? wait : PAUSE_MOST);
    for (size_t i = 0; seen && i < seen->count; i++)
        if (seen->list[i].id == op->channel)
            crier_permission_names(needed(s) & ~seen->list[i].permissions, missing, sizeof missing);
    if (seen && seen->timeout_until) {
        until = crier_loop_now(loop) + seen->timeout_until - crier_loop_wall(loop) + 60 * CRIER_S;
        why = crier_asprintf("%s; a moderator has timed the bot out", op->last.err.text);
    } else if (*missing) {
        why = crier_asprintf("%s; the bot lacks: %s", op->last.err.text, missing);
    } else {
        why = crier_strdup(op->last.err.text);
    }
    close_channel(op, until, why);
    op_end(op, false, why);
    free(why);
}

static void refused(struct op *op, const struct crier_discord_result *r)
{
    struct crier_send *s = op->send;
    enum { MISSING_ACCESS = 50001, MISSING_PERMISSIONS = 50013 };
    struct crier_view *view = crier_host_view(s->poster->host, s->m->target->bot->name);
    op->at->refusals++;
    op->last = *r;
    op->last.body = NULL;
    op->request.id = 0;
    if (view && s->m->target->type == CRIER_GUILD && !crier_host_stopping(s->poster->host) &&
        (r->code == MISSING_ACCESS || r->code == MISSING_PERMISSIONS))
        view->ops->channels(view, s->m->target->id, EXPLAIN_AGE, explained, op);
    else
        explained(op, NULL, NULL);
}

/* Discord's words for a failure, or ours. */
static void op_fail(struct op *op, const struct crier_discord_result *r)
{
    const char *why = r->err.text[0] ? r->err.text : crier_outcome_name(r->outcome);
    if (r->outcome == CRIER_PAUSE) {
        refused(op, r);
        return;
    }
    if (r->outcome == CRIER_DROP)
        close_channel(op, CRIER_NEVER, why);
    op->canceled = r->outcome == CRIER_CANCELED;
    op_end(op, false, why);
}

static char *dm_key(const struct crier_send *s)
{
    return crier_asprintf("%s/%" PRIu64, s->m->target->bot->name, s->m->target->id);
}

/* A DM channel is remembered for good, but another bot's token, or a simulator that starts anew,
 * does not know it: it is opened again, once a send. */
static bool op_reopens(struct op *op, const struct crier_discord_result *r)
{
    enum { UNKNOWN_CHANNEL = 10003 };
    if (op->send->m->type == CRIER_TEXT_MESSAGE || r->code != UNKNOWN_CHANNEL || op->reopened)
        return false;
    char *key = dm_key(op->send);
    g_hash_table_remove(op->send->poster->dms, key);
    free(key);
    op->reopened = true;
    op->at->message = 0;
    op_begin(op);
    return true;
}

/* --- announcement channels ---------------------------------------------------------------- */

static void not_published(struct op *op, const char *why)
{
    op->published = NOT_PUBLISHED;
    op->publish_reason = crier_strdup(why);
}

/* Whatever became of it, the message is there. */
static void crossposted(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    count_result(op->send, r);
    op->request.id = 0;
    if (r->outcome == CRIER_SENT)
        op->published = PUBLISHED;
    else
        not_published(op, r->err.text);
    op_end(op, true, NULL);
}

static void publish(struct op *op)
{
    struct crier_send *s = op->send;
    int64_t now = crier_loop_now(crier_host_loop(s->poster->host));
    struct published *hour = g_hash_table_lookup(s->poster->published, &op->channel);
    if (!hour) {
        uint64_t *key = crier_malloc(sizeof *key);
        *key = op->channel;
        hour = crier_calloc(1, sizeof *hour);
        g_hash_table_insert(s->poster->published, key, hour);
    }
    if (!hour->count || now - hour->since >= 3600 * CRIER_S)
        *hour = (struct published){.since = now};
    if (hour->count >= PUBLISH_HOURLY) {
        not_published(op, "ten an hour have been published there, more Discord does not take");
        op_end(op, true, NULL);
        return;
    }
    hour->count++;
    char *path = crier_asprintf("/channels/%" PRIu64 "/messages/%" PRIu64 "/crosspost", op->channel,
                                op->at->message);
    op_asked(op,
             crier_discord_call(client_of(s), "POST", path, NULL, s->deadline, crossposted, op));
    free(path);
}

/* Whether it is there is not known: the next send looks for it. */
static void remember_lost(struct op *op)
{
    struct crier_send *s = op->send;
    struct crier_lost *lost = crier_calloc(1, sizeof *lost);
    lost->content = crier_content_ref(s->data.content);
    crier_discord_nonce(s->m->key, op->channel, s->due, lost->nonce);
    lost->at = s->at;
    crier_lost_free(op->at->lost);
    op->at->lost = lost;
}

static void created(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    count_result(op->send, r);
    if (op_reopens(op, r))
        return;
    if (r->outcome != CRIER_SENT) {
        if (r->unsure && op->send->m->mode != CRIER_MODE_SEND)
            remember_lost(op);
        op_fail(op, r);
        return;
    }
    op->note = r->note;
    op->at->message = crier_json_id(json_object_get(r->body, "id"));
    crier_host_sent(op->send->poster->host, op->send->m->target->bot->name, op->channel,
                    op->at->message);
    if (op->send->m->auto_publish && op->at->message)
        publish(op);
    else
        op_end(op, true, NULL);
}

static void create_now(struct op *op)
{
    struct crier_send *s = op->send;
    char nonce[26];
    if (s->resumed && s->data.content->thread) {
        op_end(op, false,
               "whether the post was made before the restart is not known: it is not "
               "made again");
        return;
    }
    crier_discord_nonce(s->m->key, op->channel, s->due, nonce);
    op_asked(op, crier_discord_create(client_of(s), op->channel, s->data.content, s->m->mentions,
                                      nonce, s->at, s->deadline, created, op));
    crier_discord_brief(client_of(s), op->request);
}

/* The intent is in the file (or cannot be: a full disk does not silence the bot). */
static void intent_stored(void *arg, int rc)
{
    struct crier_send *s = arg;
    (void)rc; /* the store counts and tells its failures */
    s->intent_pending = false;
    s->intent_stored = true;
    s->left++; /* an op that ends at once must not end the send under us */
    for (size_t i = 0; i < s->op_count; i++) {
        struct op *op = &s->ops[i];
        if (op->edited || op->done || op->request.id || !op->channel)
            continue;
        op->canceled = s->cancelled;
        if (s->cancelled)
            op_end(op, false, "stopped before it was sent");
        else
            create_now(op);
    }
    if (--s->left == 0 && s->names_ready)
        finish(s);
}

static void op_create(struct op *op)
{
    struct crier_send *s = op->send;
    op->edited = false;
    op->request.id = 0;
    if (s->intent_stored) {
        create_now(op);
        return;
    }
    if (s->intent_pending)
        return;
    s->intent_pending = true;
    s->st->intent_due = s->due;
    s->st->intent_at = s->at;
    crier_msgstate_save(s->poster, s->st, intent_stored, s);
}

static void cleared(void *arg, const struct crier_discord_result *r);

static void edited(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    count_result(op->send, r);
    if (op_reopens(op, r))
        return;
    if (r->outcome == CRIER_REBUILD && r->status == 429 && !op->send->data.content->thread) {
        /* It is there, but must not be edited any more: the new one is not to stand beside it. */
        op_asked(op, crier_discord_delete(client_of(op->send), op->channel, op->at->message,
                                          op->send->deadline, cleared, op));
    } else if (r->outcome == CRIER_REBUILD) {
        op->at->message = 0;
        op_create(op);
    } else if (r->outcome == CRIER_SENT) {
        op_end(op, true, NULL);
    } else {
        op_fail(op, r);
    }
}

static void cleared(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    count_result(op->send, r);
    if (op_reopens(op, r))
        return;
    bool gone = op->send->data.content->thread && r->status == 404;
    if (r->outcome == CRIER_SENT || r->outcome == CRIER_REBUILD || gone) {
        op->at->message = 0;
        op_create(op);
    } else {
        op_fail(op, r); /* sending now would leave two messages */
    }
}

static void op_start(struct op *op);

static void found_lost(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    count_result(op->send, r);
    if (op_reopens(op, r))
        return;
    if (r->outcome == CRIER_RETRY || r->outcome == CRIER_STOP || r->outcome == CRIER_CANCELED) {
        op_fail(op, r); /* sending now might leave two messages */
        return;
    }
    if (r->outcome == CRIER_SENT && r->body)
        op->at->message = crier_json_id(json_object_get(r->body, "id"));
    crier_lost_free(op->at->lost); /* found, or not there, or not ours to see */
    op->at->lost = NULL;
    op->edited = false;
    op->request.id = 0;
    op_start(op);
}

static void op_start(struct op *op)
{
    struct crier_send *s = op->send;
    enum crier_mode mode = s->m->mode;
    const struct crier_lost *lost = op->at->lost;
    if (lost && mode != CRIER_MODE_SEND) {
        op->edited = true;
        op_asked(op, crier_discord_find(client_of(s), op->channel, lost->content, lost->nonce,
                                        lost->at, s->deadline, found_lost, op));
        return;
    }
    bool post = s->data.content->thread != NULL; /* a post's first message has the post's id */
    if (mode == CRIER_MODE_EDIT && op->at->message) {
        op->edited = true;
        op_asked(op, crier_discord_edit(client_of(s), post ? op->at->message : op->channel,
                                        op->at->message, s->data.content, s->m->mentions,
                                        s->deadline, edited, op));
        crier_discord_brief(client_of(s), op->request);
    } else if (mode == CRIER_MODE_CLEAR_SEND && op->at->message && post) {
        char *path = crier_asprintf("/channels/%" PRIu64, op->at->message);
        op->edited = true;
        op_asked(op,
                 crier_discord_call(client_of(s), "DELETE", path, NULL, s->deadline, cleared, op));
        free(path);
    } else if (mode == CRIER_MODE_CLEAR_SEND && op->at->message) {
        op->edited = true;
        op_asked(op, crier_discord_delete(client_of(s), op->channel, op->at->message, s->deadline,
                                          cleared, op));
    } else {
        op_create(op);
    }
}

static void dm_opened(void *arg, const struct crier_discord_result *r)
{
    struct op *op = arg;
    struct crier_send *s = op->send;
    count_result(s, r);
    op->request.id = 0;
    uint64_t channel = crier_json_id(json_object_get(r->body, "id"));
    if (r->outcome != CRIER_SENT || !channel) {
        op_fail(op, r);
        return;
    }
    char *key = dm_key(s), text[32];
    snprintf(text, sizeof text, "\"%" PRIu64 "\"", channel);
    crier_state_put(crier_host_state(s->poster->host), "dm", key, text, NULL, NULL);
    crier_poster_learn_dm(s->poster, key, text);
    free(key);
    op->channel = channel;
    op_start(op);
}

static void op_begin(struct op *op)
{
    struct crier_send *s = op->send;
    if (s->m->type == CRIER_TEXT_MESSAGE) {
        op->channel = op->at->id;
        op_start(op);
        return;
    }
    char *key = dm_key(s);
    const uint64_t *known = g_hash_table_lookup(s->poster->dms, key);
    free(key);
    if (known) {
        op->channel = *known;
        op_start(op);
    } else {
        op->request =
            crier_discord_open_dm(client_of(s), s->m->target->id, s->deadline, dm_opened, op);
    }
}

static void start_ops(struct crier_send *s)
{
    struct crier_message *m = s->m;
    s->ops = crier_calloc(s->channel_count, sizeof *s->ops);
    for (size_t i = 0; i < s->channel_count; i++) {
        struct crier_channel_state *at = crier_msgstate_channel(s->st, s->channels[i]);
        s->ops[s->op_count++] = (struct op){.send = s, .at = at, .before = at->message};
    }
    s->left = s->op_count;
    for (size_t i = 0; i < s->op_count; i++)
        op_begin(&s->ops[i]);
    crier_names_want(s->poster->names, client_of(s), m->target, s->channels,
                     m->type == CRIER_TEXT_MESSAGE ? s->channel_count : 0, names_known, s);
}

/* --- where it goes ------------------------------------------------------------------------ */

static int only_returned(lua_State *L, int status, lua_KContext ctx)
{
    struct crier_send *s = (struct crier_send *)ctx;
    (void)status;
    if (lua_toboolean(L, -2)) {
        s->chosen[s->chosen_count++] = s->channels[s->asked];
    } else {
        free(s->only_why);
        s->only_why =
            crier_strdup(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "only_if said no");
    }
    s->asked++;
    return 0;
}

static int l_only_if(lua_State *L)
{
    struct crier_send *s = lua_touserdata(L, 1);
    char id[24];
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->m->only_if);
    s->data.channel_count = s->channel_count;
    crier_data_push_ctx(L, &s->data);
    lua_pushstring(L, crier_id_text(s->channels[s->asked], id));
    lua_callk(L, 2, 2, (lua_KContext)s, only_returned);
    return only_returned(L, LUA_OK, (lua_KContext)s);
}

static void ask_only_if(struct crier_send *s);

static void only_done(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct crier_send *s = arg;
    char label[120], what[160];
    s->call = NULL;
    crier_host_touched(s->m->gen);
    if (end->rc == 0) {
        ask_only_if(s);
        return;
    }
    snprintf(what, sizeof what, "only_if of message '%s'",
             crier_message_label(s->m, label, sizeof label));
    if (end->rc != CRIER_ECANCELED)
        crier_host_callback_error(s->poster->host, what, &end->error);
    skip_send(s, end->rc == CRIER_ECANCELED ? "stopped" : "only_if failed");
}

/* Channel by channel, each in a call of its own, since it may ask Discord. */
static void ask_only_if(struct crier_send *s)
{
    struct crier_message *m = s->m;
    char label[120], what[160];
    if (m->only_if && !s->chosen)
        s->chosen = crier_calloc(s->channel_count + 1, sizeof *s->chosen);
    if (m->only_if && s->asked == s->channel_count) {
        memcpy(s->channels, s->chosen, s->chosen_count * sizeof *s->channels);
        s->channel_count = s->chosen_count;
    }
    if (!m->only_if || s->asked >= s->channel_count) {
        if (s->channel_count)
            get_data(s);
        else
            skip_send(s, s->only_why ? s->only_why : "there is no channel to send to");
        return;
    }
    snprintf(what, sizeof what, "only_if of message '%s'",
             crier_message_label(m, label, sizeof label));
    lua_State *L = m->gen->vm->L;
    lua_pushcfunction(L, l_only_if);
    lua_pushlightuserdata(L, s);
    struct crier_call *call =
        crier_call_start(m->gen->vm, 1, what, m->gen->config.limits.callback, m, only_done, s);
    if (call)
        s->call = call;
}

/* Of the channels those that take it now. */
static void narrow(struct crier_send *s)
{
    struct crier_message *m = s->m;
    int64_t now = crier_loop_now(crier_host_loop(s->poster->host));
    size_t open = 0, closed = 0;
    char *why = NULL;
    for (size_t i = 0; i < s->channel_count; i++)
        crier_msgstate_ensure(s->st, s->channels[i]);
    for (size_t i = 0; i < s->channel_count; i++) {
        struct crier_channel_state *at = crier_msgstate_channel(s->st, s->channels[i]);
        if (!crier_message_channel_open(m, at))
            continue;
        if (s->told || !crier_message_channel_closed(at, now)) { /* asked for by hand: tried */
            s->channels[open++] = s->channels[i];
            continue;
        }
        if (!closed++)
            why = crier_asprintf("closed by Discord: %s", at->why ? at->why : "");
    }
    bool none = !open && !closed && s->channel_count;
    s->channel_count = open;
    s->data =
        (struct crier_data){.poster = s->poster, .m = m, .due = s->due, .channels = s->channels};
    if (open) {
        ask_only_if(s);
    } else if (closed) {
        skip_send(s, why);
    } else if (none && !m->match) {
        s->st->begun = 0;
        if (!crier_message_is_over(m))
            crier_message_end(s->poster, m);
        drop_send(s);
    } else {
        skip_send(s, none ? "remove_after is reached in every channel that matches"
                          : "no channel matches");
    }
    free(why);
}

bool crier_message_matches(const struct crier_message *m, const struct crier_seen_channel *c)
{
    const uint64_t may = CRIER_MAY_VIEW_CHANNEL | CRIER_MAY_SEND_MESSAGES;
    bool takes = c->type == CRIER_CHANNEL_TEXT || c->type == CRIER_CHANNEL_ANNOUNCEMENT ||
                 c->type == CRIER_CHANNEL_FORUM;
    return takes && (c->permissions & may) == may && crier_pattern_matches(m->match, c->name);
}

static void channels_seen(void *arg, const struct crier_seen_channels *seen,
                          const struct crier_err *err)
{
    struct crier_send *s = arg;
    char why[300];
    if (s->cancelled || !seen) {
        snprintf(why, sizeof why, "the guild's channels are not known: %.250s",
                 err ? err->text : "");
        skip_send(s, s->cancelled ? "stopped" : why);
        return;
    }
    s->channels = crier_calloc(seen->count + 1, sizeof *s->channels);
    for (size_t i = 0; i < seen->count; i++) {
        if (crier_message_matches(s->m, &seen->list[i]))
            s->channels[s->channel_count++] = seen->list[i].id;
    }
    narrow(s);
}

static void find_channels(struct crier_send *s)
{
    struct crier_message *m = s->m;
    struct crier_view *view = crier_host_view(s->poster->host, m->target->bot->name);
    if (m->match && view) {
        view->ops->channels(view, m->target->id, SEEN_AGE, channels_seen, s);
        return;
    }
    bool text = m->type == CRIER_TEXT_MESSAGE;
    s->channel_count = text ? m->channel_count : 1;
    s->channels = crier_calloc(s->channel_count + 1, sizeof *s->channels);
    for (size_t i = 0; i < s->channel_count; i++)
        s->channels[i] = text ? m->channels[i] : m->target->id;
    narrow(s);
}

/* --- the end of a send -------------------------------------------------------------------- */

static void build_sent_data(struct crier_builder *b, const struct crier_content *c)
{
    CRIER_B_OPEN(b, "sent_data", CRIER_OBJECT);
    if (c->text)
        CRIER_B_STR(b, "text", c->text);
    if (c->embeds)
        crier_build_json(b, "embed", 5, c->embeds, strlen(c->embeds));
    if (c->file_count) {
        CRIER_B_OPEN(b, "files", CRIER_ARRAY);
        for (size_t i = 0; i < c->file_count; i++)
            crier_build_str(b, NULL, 0, c->files[i].name, strlen(c->files[i].name));
        crier_build_close(b);
    }
    if (c->poll)
        crier_build_json(b, "poll", 4, c->poll, strlen(c->poll));
    if (c->components)
        crier_build_json(b, "components", 10, c->components, strlen(c->components));
    if (c->sticker_count) {
        CRIER_B_OPEN(b, "stickers", CRIER_ARRAY);
        for (unsigned i = 0; i < c->sticker_count; i++)
            crier_build_snowflake(b, NULL, 0, c->stickers[i]);
        crier_build_close(b);
    }
    if (c->reply_to)
        CRIER_B_SNOWFLAKE(b, "reply_to", c->reply_to);
    if (c->thread)
        CRIER_B_STR(b, "thread", c->thread);
    crier_build_close(b);
}

static void build_channel(struct crier_builder *b, struct crier_send *s, const struct op *op)
{
    char id[24];
    const char *name = crier_names_get(s->poster->names, op->channel);
    crier_build_open(b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(b, "name", name ? name : crier_id_text(op->channel, id));
    CRIER_B_SNOWFLAKE(b, "id", op->channel);
    if (!op->ok)
        CRIER_B_STR(b, "reason", op->reason ? op->reason : "failed");
    if (op->note)
        CRIER_B_STR(b, "note", op->note);
    if (op->published != NOT_ASKED)
        CRIER_B_BOOL(b, "published", op->published == PUBLISHED);
    if (op->publish_reason)
        CRIER_B_STR(b, "publish_reason", op->publish_reason);
    crier_build_close(b);
}

static void build_channels(struct crier_builder *b, struct crier_send *s)
{
    CRIER_B_OPEN(b, "channels", CRIER_OBJECT);
    for (int pass = 1; pass >= 0; pass--) {
        if (pass)
            CRIER_B_OPEN(b, "successful", CRIER_ARRAY);
        else
            CRIER_B_OPEN(b, "failed", CRIER_ARRAY);
        for (size_t i = 0; i < s->op_count; i++) {
            if (s->ops[i].ok == (pass == 1))
                build_channel(b, s, &s->ops[i]);
        }
        crier_build_close(b);
    }
    crier_build_close(b);
}

/* Channels of the message that Discord has closed to us, and that it therefore did not go to. */
static void build_closed(struct crier_builder *b, struct crier_send *s)
{
    int64_t now = crier_loop_now(crier_host_loop(s->poster->host));
    bool any = false;
    for (size_t i = 0; i < s->st->channel_count; i++) {
        const struct crier_channel_state *at = &s->st->channels[i];
        bool tried = !crier_message_channel_closed(at, now);
        for (size_t j = 0; !tried && j < s->op_count; j++)
            tried = s->ops[j].at == at;
        if (tried)
            continue;
        if (!any)
            CRIER_B_OPEN(b, "paused", CRIER_ARRAY);
        any = true;
        crier_build_open(b, NULL, 0, CRIER_OBJECT);
        CRIER_B_SNOWFLAKE(b, "id", at->id);
        CRIER_B_STR(b, "reason", at->why ? at->why : "");
        crier_build_close(b);
    }
    if (any)
        crier_build_close(b);
}

/* "gallery #sp edited", "digest 12 channels sent, 1 failed". */
static void outcome_text(struct crier_send *s, size_t ok, struct crier_buf *out)
{
    static const char *const done[] = {"sent", "edited", "cleared and sent"};
    struct crier_message *m = s->m;
    const char *verb = done[m->mode];
    char name[24];
    if (s->op_count != 1) {
        if (ok == s->op_count)
            crier_buf_printf(out, "%s %zu channels %s", crier_message_display(m), ok, verb);
        else
            crier_buf_printf(out, "%s %zu of %zu channels %s", crier_message_display(m), ok,
                             s->op_count, verb);
        return;
    }
    const struct op *op = &s->ops[0];
    const char *to = m->type == CRIER_TEXT_MESSAGE ? crier_names_get(s->poster->names, op->channel)
                                                   : crier_target_name(s->poster, m->target, name);
    if (!to)
        to = crier_id_text(op->channel, name);
    if (m->mode == CRIER_MODE_EDIT && !op->edited)
        verb = "sent";
    crier_buf_puts(out, crier_message_display(m));
    crier_buf_puts(out, m->type == CRIER_TEXT_MESSAGE ? " #" : " @");
    crier_buf_puts(out, to);
    crier_buf_puts(out, op->ok ? " " : " failed: ");
    crier_buf_puts(out, op->ok ? verb : op->reason);
}

static void finish(struct crier_send *s)
{
    struct crier_poster *p = s->poster;
    struct crier_message *m = s->m;
    struct crier_loop *loop = crier_host_loop(p->host);
    size_t ok = 0, canceled = 0;
    for (size_t i = 0; i < s->op_count; i++) {
        ok += s->ops[i].ok;
        canceled += s->ops[i].canceled;
    }
    if (canceled && s->st->intent_due && crier_host_stopping(p->host)) {
        /* The host stops with the outcome unknown: the next start repeats it, all channels, under
         * the same nonces, and records how it ended. */
        for (size_t i = 0; i < s->op_count; i++) {
            struct op *op = &s->ops[i];
            if (op->ok) {
                op->at->sent--;
                op->at->message = op->before;
            }
        }
        crier_msgstate_save(p, s->st, NULL, NULL);
        drop_send(s);
        return;
    }
    bool all = ok == s->op_count;
    struct crier_builder *b = crier_host_builder(p->host);
    crier_message_head(b, p, m,
                       all  ? CRIER_INFO
                       : ok ? CRIER_LEVEL_WARNING
                            : CRIER_LEVEL_ERROR,
                       crier_loop_wall(loop));
    crier_build_ok(b, all);
    build_sent_data(b, s->data.content);
    if (m->type == CRIER_TEXT_MESSAGE) {
        build_channels(b, s);
    } else {
        CRIER_B_OPEN(b, "success_info", CRIER_OBJECT);
        CRIER_B_BOOL(b, "success", all);
        if (!all)
            CRIER_B_STR(b, "reason", s->ops[0].reason);
        crier_build_close(b);
    }
    CRIER_B_NUM(b, "success_rate", (double)ok / (double)s->op_count);
    CRIER_B_NUM(b, "runtime", (double)(crier_loop_now(loop) - s->started) / 1e6);
    CRIER_B_INT(b, "requests", s->requests);
    if (s->waited >= CRIER_MS) /* less is a turn of the loop, and no limit's doing */
        CRIER_B_NUM(b, "waited", (double)s->waited / 1e6);
    CRIER_B_INT(b, "retries", s->retries);
    if (s->retry_wait)
        CRIER_B_NUM(b, "retry_wait", (double)s->retry_wait / 1e6);
    CRIER_B_NUM(b, "latency", (double)s->latency / 1e6);
    build_closed(b, s);
    struct crier_buf text = {0};
    outcome_text(s, ok, &text);
    struct crier_record *record = crier_message_tail(b, m, text.data);
    crier_buf_fini(&text);

    if (all) {
        s->st->sent++;
        p->stats.sent++;
    } else {
        s->st->failed++;
        p->stats.failed++;
    }
    s->st->requests += (uint64_t)s->requests;
    s->st->retries += (uint64_t)s->retries;
    s->st->waited += s->waited;
    s->st->intent_due = s->st->intent_at = s->st->begun = 0;
    crier_msgstate_save(p, s->st, NULL, NULL);
    tell(s, record, NULL);
    crier_message_publish(p, m, all ? "message.sent" : "message.failed", record);
    if (crier_message_used_up(m) && !s->st->ended && !crier_message_is_over(m))
        crier_message_end(p, m);
    drop_send(s);
}

void crier_poster_cancel(struct crier_poster *p, const struct crier_generation *gen)
{
    GPtrArray *waiting = p->waiting;
    p->waiting = g_ptr_array_new();
    for (guint i = 0; i < waiting->len; i++) {
        struct crier_send *s = waiting->pdata[i];
        if (gen && s->m->gen != gen)
            g_ptr_array_add(p->waiting, s);
        else
            skip_send(s, "stopped");
    }
    g_ptr_array_free(waiting, TRUE);
    /* Cancelling a data function ends its send at once; requests end later, by their callbacks. */
    for (guint i = p->sends->len; i-- > 0;) {
        struct crier_send *s = p->sends->pdata[i];
        if (gen && s->m->gen != gen)
            continue;
        s->cancelled = true;
        for (size_t j = 0; j < s->op_count; j++) {
            if (s->ops[j].request.id)
                crier_discord_cancel(client_of(s), s->ops[j].request);
        }
        if (s->call)
            crier_call_cancel(s->call);
    }
}
