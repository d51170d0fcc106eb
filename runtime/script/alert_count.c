/* SPDX-License-Identifier: MIT
 *
 * What alerts count: failures in a window, texts that come often, events that stay open. A record
 * costs a look-up; windows are moved on by the records and by the one timer that is armed for when
 * time alone could change the answer.
 */
#include <stdlib.h>
#include <string.h>

#include "record/comparable.h"
#include "record/query.h"
#include "script/alert_private.h"
#include "script/declare.h"

#define COUNTS_MAX 4096  /* different texts in one window */
#define WINDOWS_MAX 1024 /* different values of `by` */

static const char *per_text(int64_t us, char out[48])
{
    return crier_duration_text(us, out);
}

/* --- failures ---------------------------------------------------------------------------- */

static int64_t step_length(const struct watch *w)
{
    return w->decl->within / WINDOW_STEPS;
}

static int64_t step_now(const struct watch *w)
{
    return crier_loop_now(w->alerts->loop) / step_length(w);
}

/* What has left the window by now is taken off. */
static void move_on(struct window *win)
{
    int64_t now = step_now(win->watch), from = win->step + 1;
    if (now - win->step >= WINDOW_STEPS) {
        memset(win->steps, 0, sizeof win->steps);
        win->all = win->failed = 0;
    } else {
        for (int64_t i = from; i <= now; i++) {
            uint32_t *step = win->steps[i % WINDOW_STEPS];
            win->all -= step[0];
            win->failed -= step[1];
            step[0] = step[1] = 0;
        }
    }
    if (now > win->step)
        win->step = now;
}

static char *failure_text(const struct window *win)
{
    char per[48];
    const char *sep = *win->key ? ": " : "";
    return crier_asprintf("%s%s%llu of %llu failed (%.0f %%) within %s", win->key, sep,
                          (unsigned long long)win->failed, (unsigned long long)win->all,
                          win->all ? 100.0 * (double)win->failed / (double)win->all : 0.0,
                          per_text(win->watch->decl->within, per));
}

static bool is_bad(const struct window *win)
{
    const struct crier_alert *a = win->watch->decl;
    return win->all >= a->least && (double)win->failed > a->share * (double)win->all;
}

/* The oldest step with something in it leaves the window at that time; without failures, and with
 * nothing that fires, time alone changes nothing. */
static void arm_window(struct window *win, bool firing)
{
    struct watch *w = win->watch;
    crier_timer_stop(w->alerts->loop, &win->timer);
    if (!win->all || (!win->failed && !firing))
        return;
    for (int64_t i = win->step - WINDOW_STEPS + 1; i <= win->step; i++) {
        if (i >= 0 && win->steps[i % WINDOW_STEPS][0]) {
            crier_timer_at(w->alerts->loop, &win->timer, (i + WINDOW_STEPS) * step_length(w));
            return;
        }
    }
}

static void judge_window(struct window *win, struct crier_record *record)
{
    struct watch *w = win->watch;
    struct instance *in = crier_alert_find(w, win->key);
    bool firing = in && in->firing;
    if (is_bad(win)) {
        if (!firing)
            crier_alert_raise(w, win->key, failure_text(win), CRIER_LEVEL_ERROR, record);
        else if (win->all >= w->decl->least)
            in->hold_until = 0;
        firing = true;
    } else if (firing && (win->all >= w->decl->least ||
                          crier_loop_now(w->alerts->loop) >= in->hold_until)) {
        crier_alert_clear(w, win->key, failure_text(win));
        firing = false;
    }
    arm_window(win, firing);
}

static void on_window(struct crier_timer *timer)
{
    struct window *win = CRIER_CONTAINER(timer, struct window, timer);
    move_on(win);
    judge_window(win, NULL);
}

static void free_window(void *p)
{
    struct window *win = p;
    crier_timer_stop(win->watch->alerts->loop, &win->timer);
    free(win->key);
    free(win);
}

static gboolean is_empty_window(gpointer key, gpointer value, gpointer arg)
{
    struct window *win = value;
    (void)key;
    (void)arg;
    move_on(win);
    return win->all == 0;
}

static struct window *window_of(struct watch *w, const char *key)
{
    struct window *win = g_hash_table_lookup(w->windows, key);
    if (win)
        return win;
    if (g_hash_table_size(w->windows) >= WINDOWS_MAX)
        g_hash_table_foreach_remove(w->windows, is_empty_window, NULL);
    if (g_hash_table_size(w->windows) >= WINDOWS_MAX)
        return NULL;
    win = crier_calloc(1, sizeof *win);
    win->key = crier_strdup(key);
    win->watch = w;
    win->step = step_now(w);
    win->timer.fire = on_window;
    g_hash_table_insert(w->windows, win->key, win);
    return win;
}

/* The value of `by`, as a text of at most 200 bytes. */
static const char *by_text(const struct watch *w, const struct crier_record *record, char out[208])
{
    struct crier_value v;
    char scratch[32];
    out[0] = '\0';
    if (!w->decl->by || !crier_record_get(record, w->decl->by, &v, scratch))
        return out;
    if (v.type == CRIER_STR) {
        size_t n = v.s.len < 200 ? v.s.len : 200;
        while (n < v.s.len && n && ((unsigned char)v.s.data[n] & 0xc0) == 0x80)
            n--;
        snprintf(out, 208, "%.*s", (int)n, v.s.data);
    } else if (v.type == CRIER_INT) {
        snprintf(out, 208, "%lld", (long long)v.i);
    } else if (v.type == CRIER_SNOWFLAKE) {
        snprintf(out, 208, "%llu", (unsigned long long)v.u);
    }
    return out;
}

void crier_watch_failure(struct watch *w, struct crier_record *record)
{
    char key[208];
    int ok = crier_record_ok(record);
    if (ok < 0)
        return;
    struct window *win = window_of(w, by_text(w, record, key));
    if (!win)
        return;
    move_on(win);
    uint32_t *step = win->steps[win->step % WINDOW_STEPS];
    step[0]++;
    win->all++;
    step[1] += ok == 0;
    win->failed += ok == 0;
    judge_window(win, record);
}

/* --- common texts ------------------------------------------------------------------------ */

static bool is_common(struct watch *w, const char *key)
{
    const uint64_t *n = g_hash_table_lookup(w->counts, key);
    return n && *n > w->decl->least;
}

/* Texts that came in this window and no more often than they may. */
static void end_window(struct watch *w)
{
    GHashTableIter it;
    void *key, *value;
    char per[48];
    GPtrArray *over = g_ptr_array_new();
    g_hash_table_iter_init(&it, w->instances);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        const struct instance *in = value;
        if (in->firing && !in->hold_until && !is_common(w, key))
            g_ptr_array_add(over, crier_strdup(key));
    }
    for (guint i = 0; i < over->len; i++) {
        crier_alert_clear(w, over->pdata[i],
                          crier_asprintf("no more than %llu times within %s: %s",
                                         (unsigned long long)w->decl->least,
                                         per_text(w->decl->within, per), (char *)over->pdata[i]));
        free(over->pdata[i]);
    }
    g_ptr_array_free(over, TRUE);
    g_hash_table_remove_all(w->counts);
}

static bool any_fires(const struct watch *w)
{
    GHashTableIter it;
    void *key, *value;
    g_hash_table_iter_init(&it, w->instances);
    while (g_hash_table_iter_next(&it, &key, &value))
        if (((const struct instance *)value)->firing)
            return true;
    return false;
}

/* Windows follow one another; where nothing fires the next one begins with a record. */
static void on_common_end(struct watch *w)
{
    end_window(w);
    w->window_end = 0;
    if (any_fires(w)) {
        w->window_end = crier_loop_now(w->alerts->loop) + w->decl->within;
        crier_timer_at(w->alerts->loop, &w->timer, w->window_end);
    }
}

static gboolean came_once(gpointer key, gpointer value, gpointer arg)
{
    (void)key;
    (void)arg;
    return *(uint64_t *)value == 1;
}

void crier_watch_common(struct watch *w, struct crier_record *record)
{
    struct crier_str text = crier_record_text(record), logger = crier_record_logger(record);
    struct crier_buf *b = &w->alerts->text;
    int64_t now = crier_loop_now(w->alerts->loop);
    if (!text.len)
        return;
    if (w->window_end && now >= w->window_end)
        on_common_end(w);
    if (!w->window_end)
        w->window_end = now + w->decl->within;
    crier_buf_clear(b);
    crier_buf_printf(b, "%.*s %s ", (int)(logger.len < 100 ? logger.len : 100), logger.data,
                     crier_level_name(crier_record_level(record)));
    crier_text_comparable(text.data, text.len, b);
    uint64_t *n = g_hash_table_lookup(w->counts, b->data);
    if (!n) {
        if (g_hash_table_size(w->counts) >= COUNTS_MAX)
            g_hash_table_foreach_remove(w->counts, came_once, NULL);
        if (g_hash_table_size(w->counts) >= COUNTS_MAX)
            return;
        n = crier_calloc(1, sizeof *n);
        g_hash_table_insert(w->counts, crier_strdup(b->data), n);
    }
    if (++*n != w->decl->least + 1)
        return;
    struct instance *in = crier_alert_find(w, b->data);
    if (in && in->firing) {
        in->hold_until = 0;
    } else {
        char per[48], *key = crier_strdup(b->data);
        crier_alert_raise(w, key,
                          crier_asprintf("more than %llu times within %s: %s",
                                         (unsigned long long)w->decl->least,
                                         per_text(w->decl->within, per), key),
                          crier_record_level(record) > CRIER_LEVEL_WARNING
                              ? crier_record_level(record)
                              : CRIER_LEVEL_WARNING,
                          record);
        free(key);
    }
    if (!crier_timer_armed(&w->timer))
        crier_timer_at(w->alerts->loop, &w->timer, w->window_end);
}

/* --- unfinished events ------------------------------------------------------------------- */

static void free_open(void *p)
{
    struct open_event *e = p;
    free(e->descr);
    free(e->where);
    free(e);
}

static void arm_open(struct watch *w)
{
    const struct open_event *first = w->order.head ? w->order.head->data : NULL;
    if (first)
        crier_timer_at(w->alerts->loop, &w->timer, first->due);
    else
        crier_timer_stop(w->alerts->loop, &w->timer);
}

static void forget_open(struct watch *w, struct open_event *e)
{
    g_queue_unlink(&w->order, &e->link);
    g_hash_table_remove(w->open, e->id);
}

/* Of those that begin now the newest is due last; those of a restart come in the order of their
 * ids. What is out of order goes to its place. */
static void add_open(struct watch *w, const char *id, int64_t since, const char *descr,
                     const char *where)
{
    const struct instance *in = crier_alert_find(w, id);
    if ((in && in->firing) || g_hash_table_contains(w->open, id))
        return;
    struct open_event *e = crier_calloc(1, sizeof *e);
    int64_t age = crier_loop_wall(w->alerts->loop) - since;
    snprintf(e->id, sizeof e->id, "%s", id);
    e->since = since;
    e->due = crier_loop_now(w->alerts->loop) + w->decl->within - (age > 0 ? age : 0);
    e->descr = crier_strdup(descr);
    e->where = crier_strdup(where);
    e->link.data = e;
    GList *at = w->order.tail;
    while (at && ((const struct open_event *)at->data)->due > e->due)
        at = at->prev;
    if (at == w->order.tail) {
        g_queue_push_tail_link(&w->order, &e->link);
    } else if (!at) {
        g_queue_push_head_link(&w->order, &e->link);
    } else {
        e->link.prev = at;
        e->link.next = at->next;
        at->next->prev = &e->link;
        at->next = &e->link;
        w->order.length++;
    }
    g_hash_table_insert(w->open, e->id, e);
}

static void on_open_due(struct watch *w)
{
    int64_t now = crier_loop_now(w->alerts->loop);
    struct open_event *e;
    char age[48];
    while ((e = w->order.head ? w->order.head->data : NULL) && e->due <= now) {
        struct instance *in = crier_alert_instance(w, e->id);
        if (in)
            in->since = e->since;
        crier_alert_raise(w, e->id,
                          crier_asprintf("unfinished for more than %s: %s (%s), event %s",
                                         per_text(w->decl->within, age), e->descr, e->where, e->id),
                          CRIER_LEVEL_ERROR, NULL);
        forget_open(w, e);
    }
    arm_open(w);
}

static bool text_field(const struct crier_record *record, const char *name, char *out, size_t cap)
{
    struct crier_value v;
    char scratch[32];
    if (!crier_record_get(record, name, &v, scratch) || v.type != CRIER_STR)
        return false;
    snprintf(out, cap, "%.*s", (int)v.s.len, v.s.data);
    return true;
}

static bool is_true(const struct crier_record *record, const char *name)
{
    struct crier_value v;
    char scratch[32];
    return crier_record_get(record, name, &v, scratch) && v.type == CRIER_TRUE;
}

void crier_watch_event(struct watch *w, struct crier_record *record)
{
    char phase[16], id[32], where[200] = "?";
    if (!text_field(record, "phase", phase, sizeof phase) ||
        !text_field(record, "event_id", id, sizeof id) || strlen(id) != 26)
        return;
    if (strcmp(phase, "start") == 0 && !is_true(record, "is_debug")) {
        struct crier_str text = crier_record_text(record);
        char *descr = crier_strndup(text.data, text.len);
        if (!text_field(record, "ev_where", where, sizeof where))
            text_field(record, "where", where, sizeof where);
        add_open(w, id, crier_record_time(record), descr, where);
        free(descr);
        if (w->order.length == 1)
            arm_open(w);
    } else if (strcmp(phase, "finish") == 0 || strcmp(phase, "close") == 0) {
        struct open_event *e = g_hash_table_lookup(w->open, id);
        if (e) {
            bool first = w->order.head == &e->link;
            forget_open(w, e);
            if (first)
                arm_open(w);
        } else {
            struct crier_str text = crier_record_text(record);
            crier_alert_clear(w, id,
                              crier_asprintf("%s: %.*s, event %s",
                                             *phase == 'f' ? "finished" : "closed", (int)text.len,
                                             text.data, id));
        }
    }
}

struct loading {
    struct watch *w;
    bool restarted;
};

static void load_one(void *arg, const char *key, const char *json)
{
    const struct loading *l = arg;
    unsigned char id[16];
    if (!crier_ulid_parse(key, id))
        return;
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    json_t *event = json_loads(json, 0, NULL);
    const char *descr = json_string_value(json_object_get(event, "descr"));
    const char *where = json_string_value(json_object_get(event, "where"));
    /* One of a host that has ended will not be finished any more. */
    if (json_is_true(json_object_get(event, "debug")))
        ;
    else if (l->restarted && !crier_alert_find(l->w, key))
        crier_alert_raise(l->w, key,
                          crier_asprintf("left unfinished by a host that has ended: %s (%s), event "
                                         "%s",
                                         descr ? descr : "?", where ? where : "?", key),
                          CRIER_LEVEL_ERROR, NULL);
    else if (!l->restarted)
        add_open(l->w, key, ms * CRIER_MS, descr ? descr : "?", where ? where : "?");
    json_decref(event);
}

void crier_watch_load_events(struct watch *w, bool restarted)
{
    struct loading l = {w, restarted};
    crier_state_each(crier_host_state(w->alerts->host), "event", load_one, &l);
    arm_open(w);
}

/* --- all of them ------------------------------------------------------------------------- */

static void on_timer(struct crier_timer *timer)
{
    struct watch *w = CRIER_CONTAINER(timer, struct watch, timer);
    if (w->decl->kind == CRIER_ALERT_UNFINISHED)
        on_open_due(w);
    else
        on_common_end(w);
}

void crier_watch_begin(struct watch *w)
{
    w->timer.fire = on_timer;
    w->windows = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_window);
    w->open = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_open);
    w->counts = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    g_queue_init(&w->order);
    w->window_end = 0;
}

void crier_watch_end(struct watch *w)
{
    crier_timer_stop(w->alerts->loop, &w->timer);
    g_hash_table_destroy(w->windows);
    g_hash_table_destroy(w->open); /* the links of `order` are in them */
    g_hash_table_destroy(w->counts);
}

void crier_watch_reconsider(struct watch *w, struct instance *in)
{
    char per[48];
    char *key = crier_strdup(in->key);
    if (w->decl->kind == CRIER_ALERT_FAILURES) {
        struct window *win = window_of(w, key);
        if (win) {
            move_on(win);
            judge_window(win, NULL);
        } else {
            crier_alert_clear(w, key, crier_strdup("no failures any more"));
        }
    } else if (w->decl->kind == CRIER_ALERT_COMMON && !is_common(w, key)) {
        crier_alert_clear(w, key,
                          crier_asprintf("no more than %llu times within %s: %s",
                                         (unsigned long long)w->decl->least,
                                         per_text(w->decl->within, per), key));
    } else if (w->decl->kind == CRIER_ALERT_COMMON && !crier_timer_armed(&w->timer)) {
        crier_timer_at(w->alerts->loop, &w->timer, w->window_end);
    } else if (w->decl->kind == CRIER_ALERT_SINK) {
        const struct crier_declared_sink *s = crier_sink_named(w->alerts->gen, key);
        struct crier_sink_stats st = {0};
        if (s)
            crier_sink_stats(s->sink, &st);
        if (!st.failing && !st.down)
            crier_alert_clear(w, key, crier_asprintf("sink '%s' works", key));
    }
    free(key);
}
