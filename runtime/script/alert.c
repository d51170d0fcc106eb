/* SPDX-License-Identifier: MIT */
#include "script/alert.h"

#include <stdlib.h>
#include <string.h>

#include "record/comparable.h"
#include "record/query.h"
#include "record/read.h"
#include "script/alert_private.h"
#include "script/declare.h"
#include "sink/limit.h"

#define SEVERE_MAX 4096    /* events that have begun */
#define INSTANCES_MAX 4096 /* of one alert */
#define HOLD_SINK (30 * CRIER_S) /* for a sink to say how it does after a start */
#define FAULT_EVERY (60 * CRIER_S)
#define TEXT_UNITS 1500

static bool is_occurrence(const struct watch *w)
{
    return w->decl->kind == CRIER_ALERT_SEVERE || w->decl->kind == CRIER_ALERT_MATCH;
}

static void emit(struct crier_alerts *alerts, struct crier_builder *b)
{
    bool before = alerts->own;
    alerts->own = true;
    crier_host_emit(alerts->host, crier_build_end(b));
    alerts->own = before;
}

void crier_alert_say(struct crier_alerts *alerts, enum crier_level level, const char *what,
                     const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool before = alerts->own;
    alerts->own = true;
    crier_host_system(alerts->host, level, what, "%s", text);
    alerts->own = before;
}

/* --- instances --------------------------------------------------------------------------- */

static void unref_instance(struct instance *in)
{
    if (--in->refs)
        return;
    crier_record_unref(in->record);
    free(in->text);
    free(in->over);
    free(in->key);
    free(in);
}

/* For the table: what still waits in `fresh` is passed over. */
static void drop_instance(void *p)
{
    struct instance *in = p;
    crier_timer_stop(in->watch->alerts->loop, &in->timer);
    in->watch = NULL;
    unref_instance(in);
}

static char *stored_key(const struct instance *in)
{
    return crier_asprintf("%s\n%s", in->watch->name, in->key);
}

/* Monotonic to wall, for what is stored. */
static int64_t as_wall(struct crier_loop *loop, int64_t mono)
{
    return crier_loop_wall(loop) + mono - crier_loop_now(loop);
}

static void save(struct instance *in)
{
    struct watch *w = in->watch;
    char *key = stored_key(in);
    json_t *o = json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:s}", "when", w->identity,
                          "firing", in->firing, "told", in->told, "since", (json_int_t)in->since,
                          "told_at",
                          (json_int_t)(in->told_at == INT64_MIN
                                           ? 0
                                           : as_wall(w->alerts->loop, in->told_at)),
                          "count", (json_int_t)in->count, "total", (json_int_t)in->total, "level",
                          crier_level_name(in->level), "text", in->text ? in->text : "");
    char *json = json_dumps(o, JSON_COMPACT);
    crier_state_put(crier_host_state(w->alerts->host), "alert", key, json, NULL, NULL);
    json_decref(o);
    free(json);
    free(key);
}

static void forget(struct instance *in)
{
    char *key = stored_key(in);
    crier_state_put(crier_host_state(in->watch->alerts->host), "alert", key, NULL, NULL, NULL);
    free(key);
    g_hash_table_remove(in->watch->instances, in->key);
}

struct instance *crier_alert_find(struct watch *w, const char *key)
{
    return g_hash_table_lookup(w->instances, key);
}

static void on_instance(struct crier_timer *timer);

struct instance *crier_alert_instance(struct watch *w, const char *key)
{
    struct instance *in = crier_alert_find(w, key);
    if (in)
        return in;
    /* One for all that there is no room for. */
    if (g_hash_table_size(w->instances) >= INSTANCES_MAX) {
        key = "others";
        if ((in = crier_alert_find(w, key)))
            return in;
    }
    in = crier_calloc(1, sizeof *in);
    in->refs = 1;
    in->watch = w;
    in->key = crier_strdup(key);
    in->told_at = INT64_MIN;
    in->since = crier_loop_wall(w->alerts->loop);
    in->level = CRIER_LEVEL_ERROR;
    in->timer.fire = on_instance;
    g_hash_table_insert(w->instances, in->key, in);
    return in;
}

/* What it says goes out in the loop's next turn: the router may be at work. */
static void refresh(struct instance *in)
{
    struct crier_alerts *alerts = in->watch->alerts;
    if (in->waits)
        return;
    in->waits = true;
    in->refs++;
    g_queue_push_tail(&alerts->fresh, in);
    if (!crier_timer_armed(&alerts->turn))
        crier_timer_in(alerts->loop, &alerts->turn, 0);
}

/* text: consumed; of a record it may be anything. */
static void describe(struct instance *in, char *text, enum crier_level level,
                     struct crier_record *record)
{
    free(in->text);
    in->text = crier_text_cut(text, TEXT_UNITS);
    free(text);
    in->level = level;
    if (record && !in->record)
        in->record = crier_record_ref(record);
}

void crier_alert_raise(struct watch *w, const char *key, char *text, enum crier_level level,
                       struct crier_record *record)
{
    struct instance *in = crier_alert_instance(w, key);
    if (in->firing) {
        free(text);
        return;
    }
    in->firing = true;
    in->count++;
    in->total++;
    if (w->decl->kind != CRIER_ALERT_UNFINISHED)
        in->since = crier_loop_wall(w->alerts->loop);
    crier_record_unref(in->record);
    in->record = NULL;
    describe(in, text, level, record);
    if (in->over) { /* it has not been said that it was over */
        free(in->over);
        in->over = NULL;
        return;
    }
    in->raised = true;
    refresh(in);
}

void crier_alert_clear(struct watch *w, const char *key, char *text)
{
    struct instance *in = crier_alert_find(w, key);
    if (!in || !in->firing) {
        free(text);
        return;
    }
    in->firing = false;
    in->hold_until = 0;
    free(in->over);
    in->over = text;
    refresh(in);
}

/* --- notices ----------------------------------------------------------------------------- */

static void push_time(lua_State *L, const char *name, int64_t wall)
{
    lua_pushnumber(L, (double)wall / 1e6);
    lua_setfield(L, -2, name);
}

static void push_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

void crier_push_notice(lua_State *L, void *arg)
{
    const struct crier_notice *n = arg;
    lua_createtable(L, 0, 10);
    push_text(L, "name", n->alert);
    push_text(L, "state", n->state);
    push_text(L, "text", n->text);
    push_text(L, "level", crier_level_name(n->level));
    push_text(L, "node", n->node);
    push_text(L, "key", n->key);
    push_text(L, "id", n->id);
    push_time(L, "since", n->since);
    push_time(L, "time", n->time);
    lua_pushinteger(L, (lua_Integer)n->count);
    lua_setfield(L, -2, "count");
    if (!n->record)
        return;
    struct crier_reader reader = {0};
    struct crier_record *record = NULL;
    struct crier_err err = {0};
    if (crier_reader_read(&reader, n->record, strlen(n->record), &record, &err) == 0) {
        crier_push_record(L, record);
        lua_setfield(L, -2, "record");
        crier_record_unref(record);
    }
    crier_reader_fini(&reader);
}

static struct crier_notice *new_notice(struct watch *w, const char *state, const char *text)
{
    struct crier_notice *n = crier_notice_new();
    unsigned char id[16];
    n->time = n->since = crier_loop_wall(w->alerts->loop);
    crier_host_new_id(w->alerts->host, n->time, id);
    crier_ulid_text(id, n->id);
    n->alert = crier_strdup(w->name);
    n->key = crier_strdup("");
    n->node = crier_strdup(crier_host_builder(w->alerts->host)->source->node);
    n->state = state;
    n->text = crier_text_cut(text, TEXT_UNITS);
    n->level = CRIER_LEVEL_ERROR;
    return n;
}

static struct crier_notice *notice_of(struct instance *in, const char *state, const char *text)
{
    struct crier_notice *n = new_notice(in->watch, state, text);
    free(n->key);
    n->key = crier_strdup(in->key);
    n->level = strcmp(state, "resolved") == 0 ? CRIER_INFO : in->level;
    n->since = in->since;
    n->count = in->count;
    if (in->record) {
        struct crier_str json = crier_record_json(in->record);
        if (json.len <= CRIER_NOTICE_RECORD_MAX)
            n->record = crier_strndup(json.data, json.len);
    }
    return n;
}

/* The record that says so; told: whether anybody is told. */
static void record_notice(struct crier_alerts *alerts, const struct crier_notice *n, bool told)
{
    struct crier_builder *b = crier_host_builder(alerts->host);
    char *text = crier_asprintf("alert '%s' %s: %s", n->alert, n->state, n->text);
    char what[32];
    snprintf(what, sizeof what, "alert.%s", strcmp(n->state, "left out") == 0 ? "left_out" : n->state);
    crier_build_begin(b, CRIER_KIND_SYSTEM, n->level, n->time);
    crier_build_logger(b, "alert", 5);
    crier_build_text(b, text, strlen(text));
    CRIER_B_STR(b, "what", what);
    CRIER_B_STR(b, "alert", n->alert);
    CRIER_B_STR(b, "state", n->state);
    if (*n->key)
        CRIER_B_STR(b, "key", n->key);
    CRIER_B_INT(b, "count", (int64_t)n->count);
    CRIER_B_TIME(b, "since", n->since);
    CRIER_B_BOOL(b, "told", told);
    emit(alerts, b);
    free(text);
}

/* The hook and the targets. Consumes the notice. */
static void tell(struct watch *w, struct crier_notice *n, bool told)
{
    struct crier_alerts *alerts = w->alerts;
    record_notice(alerts, n, told);
    crier_host_hook_of(alerts->host, "alert", crier_push_notice, n, (void *)&crier_call_of_alert);
    if (told) {
        w->told++;
        crier_alert_send(alerts, w->decl, n);
    }
    crier_notice_unref(n);
}

static bool within_rate(struct watch *w)
{
    struct crier_bucket bucket = {w->tokens, w->tokens_at};
    if (!w->decl->rate)
        return true;
    /* The bucket takes a time of 0 for "new". */
    bool ok = crier_bucket_take(&bucket, w->decl->rate, w->decl->per,
                                crier_loop_now(w->alerts->loop) + 1);
    w->tokens = bucket.tokens;
    w->tokens_at = bucket.at;
    if (ok)
        return true;
    if (w->left_out++ == 0) {
        w->left_since = crier_loop_wall(w->alerts->loop);
        crier_timer_in(w->alerts->loop, &w->rate_timer, w->decl->per);
    }
    return false;
}

static void on_rate(struct crier_timer *timer)
{
    struct watch *w = CRIER_CONTAINER(timer, struct watch, rate_timer);
    char per[48];
    char *text = crier_asprintf("%llu more notice%s than %llu in %s left out",
                                (unsigned long long)w->left_out, w->left_out == 1 ? "" : "s",
                                (unsigned long long)w->decl->rate,
                                crier_duration_text(w->decl->per, per));
    struct crier_notice *n = new_notice(w, "left out", text);
    n->count = w->left_out;
    n->since = w->left_since;
    w->left_out = 0;
    tell(w, n, true);
    free(text);
}

/* --- what becomes of an instance ---------------------------------------------------------- */

static void arm(struct instance *in)
{
    const struct watch *w = in->watch;
    int64_t due = CRIER_NEVER;
    bool quiet = in->told_at != INT64_MIN && w->decl->dedupe;
    if (in->hold_until)
        due = in->hold_until;
    if (quiet && (is_occurrence(w) || !in->firing || !in->told) &&
        in->told_at + w->decl->dedupe < due)
        due = in->told_at + w->decl->dedupe;
    if (due == CRIER_NEVER)
        crier_timer_stop(w->alerts->loop, &in->timer);
    else
        crier_timer_at(w->alerts->loop, &in->timer, due);
}

/* state: "firing" or "again". */
static void tell_firing(struct instance *in, const char *state)
{
    struct watch *w = in->watch;
    int64_t now = crier_loop_now(w->alerts->loop);
    bool quiet = in->told_at != INT64_MIN && w->decl->dedupe && now < in->told_at + w->decl->dedupe;
    bool told = !quiet && within_rate(w);
    in->told = told;
    if (!quiet)
        in->told_at = now;
    struct crier_notice *n = notice_of(in, state, in->text);
    if (!quiet)
        in->count = 0;
    tell(w, n, told);
}

/* It is over. Those that may begin again soon are kept for as long as alike ones are not told. */
static void tell_over(struct instance *in, const char *text)
{
    struct watch *w = in->watch;
    bool told = in->told && w->decl->resolved;
    struct crier_notice *n = notice_of(in, "resolved", text);
    n->count = in->total;
    in->firing = in->told = false;
    in->total = 0;
    tell(w, n, told);
}

static bool is_quiet(const struct instance *in)
{
    const struct watch *w = in->watch;
    return in->told_at != INT64_MIN && w->decl->dedupe &&
           crier_loop_now(w->alerts->loop) < in->told_at + w->decl->dedupe;
}

static void settle(struct instance *in)
{
    if (!in->firing && (is_occurrence(in->watch) || !is_quiet(in))) {
        forget(in);
        return;
    }
    save(in);
    arm(in);
}

static void on_instance(struct crier_timer *timer)
{
    struct instance *in = CRIER_CONTAINER(timer, struct instance, timer);
    struct watch *w = in->watch;
    char per[48], text[100];
    if (is_occurrence(w)) {
        if (is_quiet(in)) {
            arm(in);
            return;
        }
        if (in->count) {
            tell_firing(in, "again");
        } else {
            snprintf(text, sizeof text, "no more of it for %s",
                     crier_duration_text(w->decl->dedupe, per));
            tell_over(in, text);
        }
    } else {
        if (in->hold_until && crier_loop_now(w->alerts->loop) >= in->hold_until) {
            in->refs++;
            crier_watch_reconsider(w, in);
            in->hold_until = 0;
            unref_instance(in);
        }
        if (in->firing && !in->told && !is_quiet(in))
            tell_firing(in, "firing");
    }
    if (!in->waits)
        settle(in);
}

static void tell_fault(struct watch *w)
{
    if (w->fault)
        crier_alert_say(w->alerts, CRIER_LEVEL_ERROR, "alert.error",
                        "the match of alert '%s' failed, the record does not count: %s", w->name,
                        w->fault);
    free(w->fault);
    w->fault = NULL;
}

static void on_turn(struct crier_timer *timer)
{
    struct crier_alerts *alerts = CRIER_CONTAINER(timer, struct crier_alerts, turn);
    GQueue fresh = alerts->fresh;
    struct instance *in;
    for (guint i = 0; i < alerts->watches->len && !alerts->stopped; i++)
        tell_fault(alerts->watches->pdata[i]);
    g_queue_init(&alerts->fresh);
    while ((in = g_queue_pop_head(&fresh))) {
        in->waits = false;
        if (in->watch && !alerts->stopped) {
            bool occurrence = is_occurrence(in->watch);
            if (in->raised) {
                in->raised = false;
                in->watch->fired++;
                tell_firing(in, "firing");
            }
            if (in->over && in->watch) {
                char *text = crier_text_cut(in->over, TEXT_UNITS);
                free(in->over);
                in->over = NULL;
                tell_over(in, text);
                free(text);
            }
            /* Without `dedupe` each occurrence stands for itself. */
            if (occurrence && !in->watch->decl->dedupe)
                in->firing = false;
            settle(in);
        }
        unref_instance(in);
    }
}

/* --- records ----------------------------------------------------------------------------- */

static int matches(struct watch *w, struct crier_record *record)
{
    const struct crier_alert *a = w->decl;
    struct crier_err err = {0};
    int rc = a->match      ? crier_query_try(a->match, record, &err)
             : a->match_fn ? crier_match_fn_try(a->match_fn, record, &err)
                           : 1;
    int64_t now = crier_loop_now(w->alerts->loop);
    if (rc < 0 && (!w->fault_told || now - w->fault_told > FAULT_EVERY)) {
        w->fault_told = now ? now : 1;
        free(w->fault);
        w->fault = crier_strdup(err.text);
        crier_timer_in(w->alerts->loop, &w->alerts->turn, 0);
    }
    return rc;
}

static bool has_flag(const struct crier_record *record, const char *name)
{
    struct crier_value v;
    char scratch[32];
    return crier_record_get(record, name, &v, scratch) && v.type == CRIER_TRUE;
}

static char *occurrence_text(const struct crier_record *record)
{
    struct crier_str text = crier_record_text(record), logger = crier_record_logger(record),
                     where = crier_record_where(record);
    struct crier_value v;
    char scratch[32];
    struct crier_buf b = {0};
    crier_buf_printf(&b, "%.*s: ", (int)logger.len, logger.data);
    crier_buf_append(&b, text.data, text.len < 8000 ? text.len : 8000);
    while (b.len && text.len >= 8000 && ((unsigned char)b.data[b.len - 1] & 0xc0) == 0x80)
        b.len--; /* not half a character; its first byte goes below */
    if (text.len >= 8000 && b.len && (unsigned char)b.data[b.len - 1] >= 0xc0)
        b.len--;
    crier_buf_putc(&b, '\0');
    b.len--;
    if (crier_record_get(record, "descr_fin", &v, scratch) && v.type == CRIER_STR && v.s.len < 2000)
        crier_buf_printf(&b, " -> %.*s", (int)v.s.len, v.s.data);
    if (where.len)
        crier_buf_printf(&b, " (%.*s)", (int)where.len, where.data);
    return crier_buf_take(&b);
}

static void occur(struct watch *w, struct crier_record *record)
{
    struct crier_str text = crier_record_text(record), logger = crier_record_logger(record);
    struct crier_buf *b = &w->alerts->text;
    crier_buf_clear(b);
    crier_buf_append(b, logger.data, logger.len < 100 ? logger.len : 100);
    crier_buf_putc(b, ' ');
    crier_text_comparable(text.data, text.len, b);
    struct instance *in = crier_alert_instance(w, b->data);
    in->count++;
    in->total++;
    if (in->firing && w->decl->dedupe)
        return; /* it is known, and counted */
    if (!in->firing)
        in->since = crier_record_time(record);
    in->firing = true;
    crier_record_unref(in->record);
    in->record = NULL;
    describe(in, occurrence_text(record), crier_record_level(record), record);
    in->raised = true;
    refresh(in);
}

/* The end of an event that was severe from its beginning: that is known. */
static bool is_known(struct watch *w, const struct crier_record *record)
{
    struct crier_str id;
    struct crier_value phase;
    char scratch[32], more[32], text[32];
    if (!crier_event_of(record, &id, scratch) || id.len >= sizeof text ||
        !crier_record_get(record, "phase", &phase, more) || phase.type != CRIER_STR)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)id.len, id.data);
    if (phase.s.len != 5 || memcmp(phase.s.data, "start", 5) != 0)
        return g_hash_table_remove(w->severe, text);
    if (g_hash_table_size(w->severe) >= SEVERE_MAX)
        g_hash_table_remove_all(w->severe);
    g_hash_table_add(w->severe, crier_strdup(text));
    return false;
}

static void see(struct watch *w, struct crier_record *record)
{
    switch (w->decl->kind) {
    case CRIER_ALERT_SEVERE:
        if (has_flag(record, "is_severe") && !has_flag(record, "is_debug") && !is_known(w, record))
            occur(w, record);
        return;
    case CRIER_ALERT_MATCH:
        if (matches(w, record) > 0)
            occur(w, record);
        return;
    case CRIER_ALERT_UNFINISHED:
        if (crier_record_kind(record) == CRIER_KIND_EVENT)
            crier_watch_event(w, record);
        return;
    case CRIER_ALERT_FAILURES:
        if (crier_record_ok(record) >= 0 && matches(w, record) > 0)
            crier_watch_failure(w, record);
        return;
    case CRIER_ALERT_COMMON:
        if (matches(w, record) > 0)
            crier_watch_common(w, record);
        return;
    case CRIER_ALERT_SINK:
        return;
    }
}

void crier_alerts_see(struct crier_alerts *alerts, struct crier_record *record)
{
    if (!alerts->watches->len || alerts->own || alerts->stopped || crier_call_in_alert())
        return;
    for (guint i = 0; i < alerts->watches->len; i++)
        see(alerts->watches->pdata[i], record);
}

void crier_alerts_sink(struct crier_alerts *alerts, const char *name, bool down, const char *text)
{
    for (guint i = 0; i < alerts->watches->len && !alerts->stopped; i++) {
        struct watch *w = alerts->watches->pdata[i];
        char **s = w->decl->sinks;
        if (w->decl->kind != CRIER_ALERT_SINK)
            continue;
        while (*s && strcmp(*s, name) != 0)
            s++;
        if (w->decl->sinks[0] && !*s)
            continue;
        struct instance *in = crier_alert_find(w, name);
        if (!down)
            crier_alert_clear(w, name, crier_asprintf("sink '%s' works again", name));
        else if (in && in->firing)
            in->hold_until = 0;
        else
            crier_alert_raise(w, name,
                              crier_asprintf("sink '%s' is down%s%s", name, text && *text ? ": " : "",
                                             text ? text : ""),
                              CRIER_LEVEL_ERROR, NULL);
    }
}

/* --- generations ------------------------------------------------------------------------- */

static void free_watch(void *p)
{
    struct watch *w = p;
    crier_watch_end(w);
    crier_timer_stop(w->alerts->loop, &w->rate_timer);
    g_hash_table_destroy(w->instances);
    g_hash_table_destroy(w->severe);
    free(w->identity);
    free(w->fault);
    free(w->name);
    free(w);
}

static struct watch *find_watch(const GPtrArray *watches, const char *name)
{
    for (guint i = 0; i < watches->len; i++)
        if (strcmp(((struct watch *)watches->pdata[i])->name, name) == 0)
            return watches->pdata[i];
    return NULL;
}

static struct watch *new_watch(struct crier_alerts *alerts, const struct crier_alert *decl)
{
    struct watch *w = crier_calloc(1, sizeof *w);
    w->alerts = alerts;
    w->decl = decl;
    w->name = crier_strdup(decl->name);
    w->identity = crier_strdup(decl->identity);
    w->instances = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, drop_instance);
    w->severe = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    w->rate_timer.fire = on_rate;
    crier_watch_begin(w);
    return w;
}

/* An alert of a name that is gone, or that is about something else now. */
static void abandon(struct watch *w)
{
    GHashTableIter it;
    void *key, *value;
    g_hash_table_iter_init(&it, w->instances);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        char *stored = stored_key(value);
        crier_state_put(crier_host_state(w->alerts->host), "alert", stored, NULL, NULL, NULL);
        free(stored);
    }
    free_watch(w);
}

struct restoring {
    struct crier_alerts *alerts;
    GPtrArray *stale; /* keys */
};

static void restore(void *arg, const char *key, const char *json)
{
    struct restoring *r = arg;
    struct crier_alerts *alerts = r->alerts;
    const char *end = strchr(key, '\n');
    char *name = crier_strndup(key, end ? (size_t)(end - key) : strlen(key));
    struct watch *w = find_watch(alerts->watches, name);
    json_t *o = json_loads(json, 0, NULL);
    const char *when = json_string_value(json_object_get(o, "when"));
    const char *text = json_string_value(json_object_get(o, "text"));
    const char *level = json_string_value(json_object_get(o, "level"));
    int64_t told_at = json_integer_value(json_object_get(o, "told_at"));
    int64_t now = crier_loop_now(alerts->loop), wall = crier_loop_wall(alerts->loop);
    if (!w || !when || !end || strcmp(when, w->identity) != 0) {
        g_ptr_array_add(r->stale, crier_strdup(key));
        goto out;
    }
    struct instance *in = crier_alert_instance(w, end + 1);
    in->firing = json_is_true(json_object_get(o, "firing"));
    in->told = json_is_true(json_object_get(o, "told"));
    in->since = json_integer_value(json_object_get(o, "since"));
    in->count = (uint64_t)json_integer_value(json_object_get(o, "count"));
    in->total = (uint64_t)json_integer_value(json_object_get(o, "total"));
    in->text = crier_strdup(text ? text : "");
    if (!level || !crier_level_parse(level, strlen(level), &in->level))
        in->level = CRIER_LEVEL_ERROR;
    /* Not in the future, whatever was done to the clock. */
    if (told_at)
        in->told_at = now - (told_at < wall ? wall - told_at : 0);
    if (in->firing && !is_occurrence(w) && w->decl->kind != CRIER_ALERT_UNFINISHED)
        in->hold_until = now + (w->decl->kind == CRIER_ALERT_SINK ? HOLD_SINK : w->decl->within);
    arm(in);
    if (!crier_timer_armed(&in->timer) && !in->firing)
        crier_timer_in(alerts->loop, &in->timer, 0);
out:
    json_decref(o);
    free(name);
}

static void restore_all(struct crier_alerts *alerts)
{
    struct restoring r = {alerts, g_ptr_array_new_with_free_func(free)};
    crier_state_each(crier_host_state(alerts->host), "alert", restore, &r);
    for (guint i = 0; i < r.stale->len; i++)
        crier_state_put(crier_host_state(alerts->host), "alert", r.stale->pdata[i], NULL, NULL,
                        NULL);
    g_ptr_array_free(r.stale, TRUE);
}

/* A new alert on sinks hears of those that are down already. */
static void look_at_sinks(struct watch *w)
{
    for (guint i = 0; i < w->alerts->gen->sinks->len; i++) {
        const struct crier_declared_sink *s = w->alerts->gen->sinks->pdata[i];
        struct crier_sink_stats st;
        crier_sink_stats(s->sink, &st);
        if (st.down)
            crier_alerts_sink(w->alerts, s->name, true, st.last_error);
    }
}

void crier_alerts_adopt(struct crier_alerts *alerts, struct crier_generation *gen, bool restarted)
{
    GPtrArray *before = alerts->watches;
    alerts->gen = gen;
    alerts->watches = g_ptr_array_new();
    for (guint i = 0; i < gen->alerts->len; i++) {
        const struct crier_alert *decl = gen->alerts->pdata[i];
        struct watch *w = find_watch(before, decl->name);
        if (w && strcmp(w->identity, decl->identity) == 0) {
            g_ptr_array_remove_fast(before, w);
            w->decl = decl;
        } else {
            w = new_watch(alerts, decl);
        }
        g_ptr_array_add(alerts->watches, w);
    }
    for (guint i = 0; i < before->len; i++)
        abandon(before->pdata[i]);
    g_ptr_array_free(before, TRUE);
    if (restarted)
        restore_all(alerts);
    for (guint i = 0; i < alerts->watches->len; i++) {
        struct watch *w = alerts->watches->pdata[i];
        if (w->decl->kind == CRIER_ALERT_UNFINISHED)
            crier_watch_load_events(w, restarted);
        if (w->decl->kind == CRIER_ALERT_SINK)
            look_at_sinks(w);
        if (w->left_out && !w->decl->rate) {
            crier_timer_stop(alerts->loop, &w->rate_timer);
            w->left_out = 0;
        }
    }
    crier_outlets_adopt(alerts, restarted);
}

struct crier_alerts *crier_alerts_new(struct crier_host *host)
{
    struct crier_alerts *alerts = crier_calloc(1, sizeof *alerts);
    alerts->host = host;
    alerts->loop = crier_host_loop(host);
    alerts->watches = g_ptr_array_new();
    alerts->flights = g_ptr_array_new();
    alerts->turn.fire = on_turn;
    g_queue_init(&alerts->fresh);
    return alerts;
}

void crier_alerts_stop(struct crier_alerts *alerts)
{
    if (!alerts || alerts->stopped)
        return;
    /* Counts are stored where something is told or ends, and here. */
    for (guint i = 0; i < alerts->watches->len; i++) {
        GHashTableIter it;
        void *key, *value;
        struct watch *w = alerts->watches->pdata[i];
        g_hash_table_iter_init(&it, w->instances);
        while (g_hash_table_iter_next(&it, &key, &value))
            save(value);
    }
    if (alerts->fresh.length) {
        crier_timer_stop(alerts->loop, &alerts->turn);
        on_turn(&alerts->turn);
    }
    alerts->stopped = true;
}

void crier_alerts_free(struct crier_alerts *alerts)
{
    struct instance *in;
    if (!alerts)
        return;
    alerts->stopped = true;
    crier_timer_stop(alerts->loop, &alerts->turn);
    for (guint i = 0; i < alerts->watches->len; i++)
        free_watch(alerts->watches->pdata[i]);
    g_ptr_array_free(alerts->watches, TRUE);
    while ((in = g_queue_pop_head(&alerts->fresh)))
        unref_instance(in);
    crier_outlets_free(alerts);
    g_ptr_array_free(alerts->flights, TRUE);
    crier_buf_fini(&alerts->text);
    free(alerts);
}

/* --- status ------------------------------------------------------------------------------ */

static json_t *instances_json(const struct watch *w)
{
    json_t *list = json_array();
    GHashTableIter it;
    void *key, *value;
    g_hash_table_iter_init(&it, w->instances);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        const struct instance *in = value;
        if (in->firing)
            json_array_append_new(list, json_pack("{s:s, s:f, s:I, s:s, s:b}", "key", in->key,
                                                  "since", (double)in->since / 1e6, "count",
                                                  (json_int_t)in->total, "text",
                                                  in->text ? in->text : "", "told", in->told));
    }
    return list;
}

json_t *crier_alerts_status(struct crier_alerts *alerts)
{
    static const char *const kinds[] = {"severe",   "match",  "unfinished",
                                        "failures", "common", "sink"};
    json_t *list = json_array();
    for (guint i = 0; i < alerts->watches->len; i++) {
        const struct watch *w = alerts->watches->pdata[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "name", w->name, "when",
                            kinds[w->decl->kind], "fired", (json_int_t)w->fired, "told",
                            (json_int_t)w->told, "left_out", (json_int_t)w->left_out, "firing",
                            instances_json(w), "to", crier_outlets_status(alerts, w->decl)));
    }
    return list;
}
