/* SPDX-License-Identifier: MIT */
#include "script/alert.h"
#include "script/message_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *known_name(void *host, const char *bot, uint64_t id)
{
    return crier_host_known_name(host, bot, id);
}

struct crier_poster *crier_poster_new(struct crier_host *host)
{
    struct crier_poster *p = crier_calloc(1, sizeof *p);
    p->host = host;
    p->names = crier_names_new(crier_host_loop(host));
    p->guilds = crier_guilds_new(p);
    crier_names_source(p->names, known_name, host);
    p->states = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, crier_msgstate_unref);
    p->dms = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    p->published = g_hash_table_new_full(g_int64_hash, g_int64_equal, free, free);
    p->waiting = g_ptr_array_new();
    p->sends = g_ptr_array_new();
    return p;
}

void crier_poster_free(struct crier_poster *p)
{
    if (!p)
        return;
    crier_guilds_free(p->guilds);
    crier_names_free(p->names);
    g_hash_table_destroy(p->states);
    g_hash_table_destroy(p->dms);
    g_hash_table_destroy(p->published);
    g_ptr_array_free(p->waiting, TRUE);
    g_ptr_array_free(p->sends, TRUE);
    free(p);
}

size_t crier_poster_pending(const struct crier_poster *p)
{
    return p->sends->len;
}

void crier_poster_on_idle(struct crier_poster *p, void (*fn)(void *arg), void *arg)
{
    p->on_idle = fn;
    p->idle_arg = arg;
}

void crier_poster_stats(const struct crier_poster *p, struct crier_poster_stats *out)
{
    *out = p->stats;
    out->late_max = p->late.max;
    out->late_p50 = crier_lateness_at(&p->late, 500);
    out->late_p99 = crier_lateness_at(&p->late, 990);
}

void crier_poster_stop_names(struct crier_poster *p)
{
    crier_names_stop(p->names);
}

/* --- what the user sees ------------------------------------------------------------------- */

const char *crier_message_display(const struct crier_message *m)
{
    if (m->name)
        return m->name;
    const char *slash = strchr(m->key, '/');
    return slash ? slash + 1 : m->key;
}

const char *crier_id_text(uint64_t id, char out[24])
{
    return crier_uint_text(id, out);
}

const char *crier_target_name(struct crier_poster *p, const struct crier_target *t, char out[24])
{
    const char *name = t->name ? t->name : crier_names_get(p->names, t->id);
    name = name ? name : t->seen;
    return name ? name : crier_id_text(t->id, out);
}

void crier_message_head(struct crier_builder *b, struct crier_poster *p, struct crier_message *m,
                        enum crier_level level, int64_t wall)
{
    char name[24];
    crier_build_begin(b, CRIER_KIND_MESSAGE, level, wall);
    CRIER_B_STR(b, "name", crier_message_display(m));
    CRIER_B_STR(b, "type", crier_message_type_name(m->type));
    CRIER_B_STR(b, "mode", crier_mode_name(m->mode));
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    const char *guild = crier_target_name(p, m->target, name);
    CRIER_B_STR(b, "name", guild);
    CRIER_B_SNOWFLAKE(b, "id", m->target->id);
    CRIER_B_STR(b, "type", m->target->type == CRIER_GUILD ? "GUILD" : "USER");
    crier_build_close(b);
}

struct crier_record *crier_message_tail(struct crier_builder *b, struct crier_message *m,
                                        const char *text)
{
    if (!m->logger) {
        m->logger = crier_asprintf("message.%s", crier_message_display(m));
        m->where = crier_asprintf("%s:%d", m->file ? m->file : "?", m->line);
    }
    crier_build_logger(b, m->logger, strlen(m->logger));
    crier_build_where(b, m->where, strlen(m->where));
    crier_build_text(b, text, strlen(text));
    return crier_build_end(b);
}

static void push_record_arg(lua_State *L, void *arg)
{
    crier_push_record(L, arg);
}

/* The record goes to hooks always, to sinks where the GUILD or USER logs. */
void crier_message_publish(struct crier_poster *p, struct crier_message *m, const char *event,
                           struct crier_record *record)
{
    if (m->target->logs) {
        crier_host_emit(p->host, crier_record_ref(record));
    } else {
        crier_host_observe(p->host, record);
        crier_alerts_see(crier_host_alerts(p->host), record);
    }
    crier_host_hook(p->host, event, push_record_arg, record);
    crier_record_unref(record);
}

/* A skip that waits for the names of its record. */
struct skip {
    struct crier_poster *poster;
    struct crier_message *m;
    char *reason;
    uint64_t count;
    int64_t wall;
};

static void publish_skip(void *arg)
{
    struct skip *k = arg;
    struct crier_message *m = k->m;
    struct crier_builder *b = crier_host_builder(k->poster->host);
    crier_message_head(b, k->poster, m, CRIER_DEBUG, k->wall);
    CRIER_B_STR(b, "skipped", k->reason);
    if (k->count > 1)
        CRIER_B_INT(b, "occurrences", (int64_t)k->count);
    char *text = crier_asprintf("%s skipped: %s", crier_message_display(m), k->reason);
    struct crier_record *record = crier_message_tail(b, m, text);
    free(text);
    crier_message_publish(k->poster, m, "message.skipped", record);
    struct crier_generation *gen = m->gen;
    crier_message_unref(m);
    crier_generation_unref(gen);
    free(k->reason);
    free(k);
}

void crier_message_skip(struct crier_poster *p, struct crier_message *m, const char *reason,
                        uint64_t count)
{
    struct crier_discord *client = crier_host_client(p->host, m->target->bot->name);
    struct skip *k = crier_calloc(1, sizeof *k);
    p->stats.skipped += count;
    m->state->skipped += count;
    *k = (struct skip){.poster = p,
                       .m = m,
                       .reason = crier_strdup(reason),
                       .count = count,
                       .wall = crier_loop_wall(crier_host_loop(p->host))};
    crier_generation_ref(m->gen);
    crier_message_ref(m);
    if (client && !crier_host_stopping(p->host) &&
        !crier_host_bot_unreachable(p->host, m->target->bot->name))
        crier_names_want(p->names, client, m->target, NULL, 0, publish_skip, k);
    else
        publish_skip(k);
}

/* --- due --------------------------------------------------------------------------------- */

static void arm(struct crier_message *m)
{
    struct crier_loop *loop = crier_host_loop(m->gen->host);
    if (m->state->due == CRIER_NEVER || m->state->paused) { /* NEVER: the calendar has ended */
        crier_timer_stop(loop, &m->timer);
        return;
    }
    int64_t delay = m->state->due - crier_loop_wall(loop);
    crier_timer_at(loop, &m->timer, crier_loop_now(loop) + delay);
}

static int64_t end_time(const struct crier_message *m)
{
    switch (m->removal.kind) {
    case CRIER_REMOVAL_AT:
        return m->removal.value;
    case CRIER_REMOVAL_AFTER:
        return m->state->first + m->removal.value;
    default:
        return CRIER_NEVER;
    }
}

/* Channels that still take a send: all, or those whose count is not used up. */
bool crier_message_channel_open(const struct crier_message *m, const struct crier_channel_state *at)
{
    return m->removal.kind != CRIER_REMOVAL_COUNT || at->sent < m->removal.value;
}

bool crier_message_channel_closed(const struct crier_channel_state *at, int64_t now)
{
    return at->paused_until > now;
}

json_t *crier_message_closed(const struct crier_message *m, int64_t now)
{
    json_t *list = NULL;
    for (size_t i = 0; i < m->state->channel_count; i++) {
        const struct crier_channel_state *at = &m->state->channels[i];
        char id[24];
        if (!crier_message_channel_closed(at, now))
            continue;
        json_t *o = json_pack("{s:s, s:s}", "id", crier_id_text(at->id, id), "reason",
                              at->why ? at->why : "");
        if (at->paused_until != CRIER_NEVER)
            json_object_set_new(o, "again_in", json_real((double)(at->paused_until - now) / 1e6));
        list = list ? list : json_array();
        json_array_append_new(list, o);
    }
    return list;
}

/* Channels that are paused or given up are tried again at the next time that it is due; whether there
 * were any. */
static bool reopen(struct crier_message *m)
{
    bool any = false;
    for (size_t i = 0; i < m->state->channel_count; i++) {
        struct crier_channel_state *at = &m->state->channels[i];
        any = any || at->paused_until;
        at->paused_until = 0;
        at->refusals = 0;
    }
    return any;
}

bool crier_message_used_up(const struct crier_message *m)
{
    if (m->removal.kind != CRIER_REMOVAL_COUNT || m->match)
        return false;
    size_t n = m->type == CRIER_TEXT_MESSAGE ? m->channel_count : 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = m->type == CRIER_TEXT_MESSAGE ? m->channels[i] : m->target->id;
        const struct crier_channel_state *at = crier_msgstate_channel(m->state, id);
        if (!at || crier_message_channel_open(m, at))
            return false;
    }
    return true;
}

void crier_message_end(struct crier_poster *p, struct crier_message *m)
{
    char label[120];
    m->state->ended = true;
    crier_timer_stop(crier_host_loop(p->host), &m->timer);
    crier_msgstate_save(p, m->state, NULL, NULL);
    crier_host_system(p->host, CRIER_INFO, "message.removed",
                      "message '%s' has ended: remove_after is reached",
                      crier_message_label(m, label, sizeof label));
}

static void on_due(struct crier_timer *timer)
{
    struct crier_message *m = CRIER_CONTAINER(timer, struct crier_message, timer);
    struct crier_poster *p = crier_host_poster(m->gen->host);
    struct crier_msgstate *st = m->state;
    if (crier_host_stopping(p->host) || st->ended || st->paused)
        return;
    int64_t now = crier_loop_wall(crier_host_loop(p->host));
    if (now < st->due) { /* timers are exact to the microsecond of one clock, not of two */
        arm(m);
        return;
    }
    if (now >= end_time(m)) {
        crier_message_end(p, m);
        return;
    }
    if (st->send && m->misfire.catch_up != CRIER_CATCH_NONE) {
        st->held = true;
        return;
    }
    uint64_t skipped;
    int64_t next, due = crier_period_take(&m->period, &m->misfire, crier_host_rng(p->host), st->due,
                                          now, &next, &skipped);
    st->last = due != CRIER_NEVER ? due : now;
    st->due = next;
    arm(m);
    if (skipped)
        crier_message_skip(p, m,
                           m->misfire.catch_up != CRIER_CATCH_ALL && due != CRIER_NEVER
                               ? "late: the next one was due already"
                               : "missed: too long ago to catch up",
                           skipped);
    if (due == CRIER_NEVER) {
        crier_msgstate_save(p, st, NULL, NULL);
        return;
    }
    if (st->send) {
        crier_message_skip(p, m,
                           crier_host_bot_ready(p->host, m->target->bot->name)
                               ? "the send before is still under way"
                               : "Discord has not been reached yet",
                           1);
        crier_msgstate_save(p, st, NULL, NULL);
        return;
    }
    crier_lateness_add(&p->late, now - due);
    crier_send_begin(p, m, due, now, NULL, NULL);
}

void crier_message_resume(struct crier_msgstate *st)
{
    bool held = st->held;
    st->held = false;
    if (held && st->message && !st->ended)
        arm(st->message);
}

/* --- commands ---------------------------------------------------------------------------- */

/* "GUILD/NAME" with any of the names that the GUILD or USER has. */
static bool is_called(struct crier_poster *p, const struct crier_message *m, const char *word)
{
    char label[120], id[24];
    crier_message_label(m, label, sizeof label);
    if (strcmp(word, label) == 0 || strcmp(word, m->key) == 0)
        return true;
    const char *const of[] = {crier_id_text(m->target->id, id), m->target->name,
                              crier_names_get(p->names, m->target->id), m->target->seen};
    for (size_t i = 0; i < CRIER_COUNT(of); i++) {
        size_t n = of[i] ? strlen(of[i]) : 0;
        if (n && strncmp(word, of[i], n) == 0 && word[n] == '/' &&
            (strcmp(word + n + 1, label) == 0 ||
             strcmp(word + n + 1, crier_message_display(m)) == 0))
            return true;
    }
    return false;
}

static int none_called(const struct crier_generation *gen, const char *word, struct crier_err *err)
{
    const char **names = crier_calloc(crier_message_count(gen) + 1, sizeof *names);
    size_t n = 0;
    for (guint i = 0; i < crier_message_count(gen); i++) {
        const struct crier_message *m = crier_message_at(gen, i);
        if (m->name && crier_message_is_live(m))
            names[n++] = m->name;
    }
    const char *slash = strchr(word, '/');
    const char *near = crier_nearest(slash ? slash + 1 : word, names, n);
    int rc =
        near ? crier_err_set(err, CRIER_EINVAL, "no message '%s' (did you mean '%s'?)", word, near)
             : crier_err_set(err, CRIER_EINVAL, "no message '%s' (crier message list shows them)",
                             word);
    free(names);
    return rc;
}

int crier_message_find(struct crier_poster *p, struct crier_generation *gen, const char *word,
                       struct crier_message **out, struct crier_err *err)
{
    struct crier_message *found = NULL;
    char name[24], other[24];
    for (guint i = 0; i < crier_message_count(gen); i++) {
        struct crier_message *m = crier_message_at(gen, i);
        if (!crier_message_is_live(m) || !is_called(p, m, word))
            continue;
        if (found)
            return crier_err_set(
                err, CRIER_EINVAL, "more than one message is called '%s': say %s/%s or %s/%s", word,
                crier_target_name(p, found->target, name), crier_message_display(found),
                crier_target_name(p, m->target, other), crier_message_display(m));
        found = m;
    }
    *out = found;
    return found ? CRIER_OK : none_called(gen, word, err);
}

bool crier_poster_pause(struct crier_poster *p, struct crier_message *m)
{
    struct crier_msgstate *st = m->state;
    if (st->paused)
        return false;
    st->paused = true;
    st->held = false;
    arm(m);
    crier_msgstate_save(p, st, NULL, NULL);
    return true;
}

/* What remove_after counts begins anew. */
static int revive(struct crier_message *m, int64_t now, struct crier_err *err)
{
    struct crier_msgstate *st = m->state;
    if (m->removal.kind == CRIER_REMOVAL_AT && now >= m->removal.value)
        return crier_err_set(err, CRIER_EINVAL,
                             "remove_after is a date that has passed: give it another one");
    if (m->removal.kind == CRIER_REMOVAL_AFTER)
        st->first = now;
    for (size_t i = 0; m->removal.kind == CRIER_REMOVAL_COUNT && i < st->channel_count; i++)
        st->channels[i].sent = 0;
    st->ended = false;
    return CRIER_OK;
}

bool crier_poster_resume(struct crier_poster *p, struct crier_message *m, struct crier_err *err)
{
    struct crier_msgstate *st = m->state;
    int64_t now = crier_loop_wall(crier_host_loop(p->host));
    bool paused = st->paused;
    uint64_t skipped = 0;
    if (reopen(m) && !paused && !st->ended)
        return true;
    if ((!paused && !st->ended) || (st->ended && revive(m, now, err) != 0))
        return false;
    st->paused = false;
    if (st->due <= now && !st->last)
        st->last = st->due;
    if (st->due <= now)
        st->due = crier_period_after(&m->period, crier_host_rng(p->host), st->due, now, &skipped);
    if (skipped && paused)
        crier_message_skip(p, m, "it was paused", skipped);
    arm(m);
    crier_msgstate_save(p, st, NULL, NULL);
    return true;
}

int crier_poster_send(struct crier_poster *p, struct crier_message *m, crier_message_told *told,
                      void *arg, struct crier_err *err)
{
    const char *bot = m->target->bot->name;
    int64_t now = crier_loop_wall(crier_host_loop(p->host));
    if (m->state->send)
        return crier_err_set(err, CRIER_EBUSY, "it is being sent at this moment");
    if (!crier_host_bot_ready(p->host, bot))
        return crier_err_set(err, CRIER_ENET, "bot '%s' has not reached Discord yet", bot);
    if (m->state->ended || crier_message_used_up(m))
        return crier_err_set(err, CRIER_EEXIST,
                             "it has ended, remove_after is reached: crier message resume begins "
                             "anew");
    crier_send_begin(p, m, now, now, told, arg);
    return CRIER_OK;
}

/* --- generations ------------------------------------------------------------------------- */

static const char *removal_text(const struct crier_removal *r, char out[32])
{
    if (r->kind == CRIER_REMOVAL_NONE)
        return NULL;
    snprintf(out, 32, "%d:%" PRId64, (int)r->kind, r->value);
    return out;
}

static void set_text(char **to, char *text)
{
    free(*to);
    *to = text;
}

/* Whether the text is another than the one that is kept; it is kept then. */
static bool differs(char **kept, const char *text)
{
    if (g_strcmp0(*kept, text) == 0)
        return false;
    set_text(kept, crier_strdup(text));
    return true;
}

static struct crier_msgstate *find_state(struct crier_poster *p, struct crier_message *m)
{
    struct crier_msgstate *st = g_hash_table_lookup(p->states, m->key);
    if (st || !m->was)
        return st;
    const char *slash = strchr(m->key, '/');
    char *old = crier_asprintf("%.*s/%s", (int)(slash - m->key), m->key, m->was);
    st = g_hash_table_lookup(p->states, old);
    if (st) {
        g_hash_table_steal(p->states, old);
        crier_state_put(crier_host_state(p->host), "message", old, NULL, NULL, NULL);
        set_text(&st->key, crier_strdup(m->key));
        g_hash_table_replace(p->states, st->key, st);
        crier_msgstate_save(p, st, NULL, NULL);
    }
    free(old);
    return st;
}

static int64_t start_due(const struct crier_message *m, int64_t first)
{
    return crier_period_first(&m->period,
                              m->start.absolute ? m->start.value : first + m->start.value);
}

static void begin_state(struct crier_poster *p, struct crier_message *m, int64_t now)
{
    struct crier_msgstate *st = crier_msgstate_new(crier_strdup(m->key));
    uint64_t skipped;
    st->first = now;
    st->due = start_due(m, now);
    if (st->due < now)
        st->due = crier_period_after(&m->period, crier_host_rng(p->host), st->due, now, &skipped);
    g_hash_table_insert(p->states, st->key, st);
    m->state = st;
}

/* Carry on with a state that is there: what changed in the script, what time has passed. */
static void resume_state(struct crier_poster *p, struct crier_message *m, bool new_period,
                         bool new_removal, bool restarted, int64_t now)
{
    struct crier_msgstate *st = m->state;
    struct crier_rng *rng = crier_host_rng(p->host);
    uint64_t skipped = 0;
    if (new_removal)
        st->ended = false;
    if (new_period && st->last) {
        st->due = crier_period_next(&m->period, rng, st->last);
        if (st->due <= now)
            st->due = crier_period_after(&m->period, rng, st->due, now, &skipped);
    } else if (!st->last && st->due > now) {
        /* Never sent: the script's present start counts. */
        st->due = start_due(m, st->first);
        if (st->due < now)
            st->due = crier_period_first(&m->period, now);
    } else if (restarted && !st->paused && st->due <= now &&
               m->misfire.catch_up == CRIER_CATCH_NONE) {
        if (!st->last) /* it has begun: later starts keep its times */
            st->last = st->due;
        st->due = crier_period_after(&m->period, rng, st->due, now, &skipped);
        if (skipped && !st->ended)
            crier_message_skip(p, m, "the host was down", skipped);
    }
    if (!st->ended && crier_message_used_up(m))
        st->ended = true;
}

/* Finds or begins the message's state; one that has changed is stored. */
static void adopt_message(struct crier_poster *p, struct crier_message *m, bool restarted,
                          int64_t now)
{
    char removal[32];
    struct crier_msgstate *st = m->state = find_state(p, m);
    bool begun = !st;
    if (begun) {
        begin_state(p, m, now);
        st = m->state;
    }
    int64_t due = st->due;
    bool ended = st->ended;
    char *period = crier_period_identity(&m->period);
    bool new_period = differs(&st->period, period);
    free(period);
    st->refs++;
    st->message = m;
    st->loaded = false;
    st->held = false; /* if it still waits, its timer says so again */
    bool new_removal = differs(&st->removal, removal_text(&m->removal, removal));
    if (!begun)
        resume_state(p, m, new_period, new_removal, restarted, now);
    if (begun || new_period || new_removal || due != st->due || ended != st->ended)
        crier_msgstate_save(p, st, NULL, NULL);
}

static void take_on(struct crier_poster *p, struct crier_message *m, bool restarted)
{
    m->timer.fire = on_due;
    adopt_message(p, m, restarted, crier_loop_wall(crier_host_loop(p->host)));
    if (restarted && m->state->begun && !m->state->intent_due) {
        m->state->begun = 0;
        crier_message_skip(p, m, "the host was down", 1);
        crier_msgstate_save(p, m->state, NULL, NULL);
    }
    if (!m->state->ended)
        arm(m);
}

static void take_up_intent(struct crier_poster *p, struct crier_message *m)
{
    const struct crier_msgstate *st = m->state;
    if (crier_message_is_live(m) && st->intent_due && !st->ended && !st->send)
        crier_send_begin(p, m, st->intent_due, st->intent_at, NULL, NULL);
}

void crier_poster_adopt(struct crier_poster *p, struct crier_generation *gen, bool restarted)
{
    for (guint i = 0; i < gen->messages->len; i++) {
        struct crier_message *m = gen->messages->pdata[i];
        if (m->target && m->key && !m->target->match)
            take_on(p, m, restarted);
    }
    crier_guilds_adopt(p->guilds, gen);
    /* When all are there: a data function may add others. */
    for (guint i = 0; restarted && i < crier_message_count(gen); i++)
        take_up_intent(p, crier_message_at(gen, i));
}

/* Intents of the process before, of messages that are there only now. Not in the callback that adds
 * them, since a data function is called. */
static void take_up_intents(void *arg)
{
    struct crier_poster *p = arg;
    struct crier_generation *gen = crier_host_current(p->host);
    p->intents_posted = false;
    for (guint i = 0; i < gen->late_messages->len && !crier_host_stopping(p->host); i++)
        take_up_intent(p, gen->late_messages->pdata[i]);
}

void crier_poster_begin(struct crier_poster *p, struct crier_message *m)
{
    const struct crier_msgstate *st = find_state(p, m);
    bool loaded = st && st->loaded;
    take_on(p, m, loaded);
    if (!loaded || !m->state->intent_due || p->intents_posted)
        return;
    p->intents_posted = true;
    crier_loop_post(crier_host_loop(p->host), take_up_intents, p);
}

void crier_poster_end(struct crier_poster *p, struct crier_message *m, bool forget)
{
    struct crier_msgstate *st = m->state;
    crier_timer_stop(crier_host_loop(p->host), &m->timer);
    m->gone = true;
    if (!st || st->forgotten)
        return;
    if (st->message == m)
        st->message = NULL;
    if (!forget || st->message)
        return;
    if (crier_host_state(p->host))
        crier_state_put(crier_host_state(p->host), "message", st->key, NULL, NULL, NULL);
    st->forgotten = true;
    g_hash_table_remove(p->states, st->key);
}

bool crier_poster_has_patterns(const struct crier_poster *p)
{
    return crier_guilds_any(p->guilds);
}

void crier_poster_guild(struct crier_poster *p, const char *bot, uint64_t id, const char *name)
{
    crier_guilds_event(p->guilds, bot, id, name);
}

struct crier_message *crier_poster_live(const struct crier_poster *p, const char *key)
{
    const struct crier_msgstate *st = g_hash_table_lookup(p->states, key);
    return st ? st->message : NULL;
}

void crier_poster_retire(struct crier_poster *p, struct crier_generation *gen)
{
    struct crier_loop *loop = crier_host_loop(p->host);
    for (guint i = 0; i < crier_message_count(gen); i++) {
        struct crier_message *m = crier_message_at(gen, i);
        crier_timer_stop(loop, &m->timer);
        if (m->state && m->state->message == m)
            m->state->message = NULL;
    }
}

/* The wall shows an earlier time, perhaps by years: what was due in between comes again, but not
 * what has been sent within the last day of that. */
static void set_back(struct crier_message *m, int64_t now)
{
    const int64_t day = 86400 * CRIER_S;
    int64_t last = m->state->last, from = last > now && last - now <= day ? last : now;
    int64_t next = crier_period_next(&m->period, NULL, from);
    if (m->state->last && next < m->state->due)
        m->state->due = next;
}

void crier_poster_clock_set(struct crier_poster *p, struct crier_generation *gen, int64_t jump_us)
{
    (void)p;
    for (guint i = 0; i < crier_message_count(gen); i++) {
        struct crier_message *m = crier_message_at(gen, i);
        if (!crier_message_is_live(m) || m->state->ended)
            continue;
        /* A duration does not care what the wall says; a calendar and a start at a date-time do. */
        if (m->period.kind == CRIER_PERIOD_CALENDAR)
            set_back(m, crier_loop_wall(crier_host_loop(p->host)));
        else if (!(m->start.absolute && !m->state->last))
            m->state->due += jump_us;
        arm(m);
    }
}
