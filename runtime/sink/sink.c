/* SPDX-License-Identifier: MIT */
#include "sink/sink_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_EVERY CRIER_S
#define NAME_MAX_BYTES 64

/* ---- opening ---- */

/* A name that is a file's name, whatever the script called the sink. */
static char *file_name(const char *name)
{
    struct crier_buf b = {0};
    for (const char *p = name; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= 'a' && *p <= 'z') || *p == '_' || *p == '-' || (*p == '.' && p != name);
        if (plain)
            crier_buf_putc(&b, *p);
        else
            crier_buf_printf(&b, "%%%02x", (unsigned char)*p);
    }
    return crier_buf_take(&b);
}

char *crier_sink_folder(const char *state_folder, const char *name)
{
    char *file = file_name(name), *folder = crier_asprintf("%s/sinks/%s", state_folder, file);
    free(file);
    return folder;
}

static int read_kinds(struct crier_sink *s, struct crier_err *err)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "kinds");
    s->kinds = s->driver->kinds;
    s->kinds_given = v->set;
    if (!v->set)
        return CRIER_OK;
    s->kinds = 0;
    for (size_t i = 0; i < v->count; i++) {
        enum crier_kind kind;
        if (!crier_kind_parse(v->list[i], strlen(v->list[i]), &kind)) {
            const char *names[CRIER_KIND_COUNT];
            for (int k = 0; k < CRIER_KIND_COUNT; k++)
                names[k] = crier_kind_name((enum crier_kind)k);
            const char *near = crier_nearest(v->list[i], names, CRIER_KIND_COUNT);
            return crier_err_set(
                err, CRIER_ECONFIG,
                "unknown kind '%s' (%s%s%skinds are log message task event system invite)", v->list[i],
                near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
        }
        s->kinds |= 1u << kind;
    }
    return CRIER_OK;
}

static enum crier_overflow read_overflow(const struct crier_sink *s)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "overflow");
    const char *policy = v->set ? v->s : s->driver->overflow;
    if (policy && strcmp(policy, "drop_old") == 0)
        return CRIER_DROP_OLD;
    if (policy && strcmp(policy, "drop_new") == 0)
        return CRIER_DROP_NEW;
    return policy && strcmp(policy, "block") == 0 ? CRIER_BLOCK : CRIER_SPILL;
}

static bool read_durable(const struct crier_sink *s)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "durable");
    return v->set ? v->i : s->driver->durable && read_overflow(s) <= CRIER_BLOCK;
}

static int check_durable(const struct crier_sink *s, struct crier_err *err)
{
    if (!read_durable(s) || read_overflow(s) <= CRIER_BLOCK)
        return CRIER_OK;
    return crier_err_set(err, CRIER_ECONFIG,
                         "a durable sink drops nothing: overflow = \"spill\" or \"block\", or "
                         "durable = false");
}

static int open_queue(struct crier_sink *s, struct crier_err *err)
{
    char *folder = NULL;
    if (s->env->state_folder) {
        char *file = file_name(s->name);
        folder = crier_asprintf("%s/sinks/%s", s->env->state_folder, file);
        s->dead_path = crier_asprintf("%s/sinks/%s.dead.jsonl", s->env->state_folder, file);
        free(file);
    }
    const struct crier_option_value *batch = crier_options_get(&s->common, "batch");
    const struct crier_option_value *sync = crier_options_get(&s->common, "sync");
    struct crier_queue_config config = {
        .size = (size_t)crier_options_get(&s->common, "queue")->i,
        .batch = batch->set || !s->driver->batch ? (size_t)batch->i : s->driver->batch,
        .flush = crier_options_get(&s->common, "flush")->i,
        .overflow = read_overflow(s),
        .folder = folder,
        .durable = read_durable(s),
        .sync = sync->off ? 0 : sync->i,
        .spool_bytes = (uint64_t)crier_options_get(&s->common, "spool")->i,
        .clock = s->env->clock,
    };
    int rc = crier_queue_open(&config, &s->queue, err);
    free(folder);
    return rc;
}

static void seed_jitter(struct crier_sink *s)
{
    if (crier_clock_is_virtual(s->env->clock)) {
        uint64_t seed = 0;
        for (const char *p = s->name; *p; p++)
            seed = seed * 31 + (unsigned char)*p;
        crier_rng_seed(&s->rng, seed);
    } else {
        crier_rng_seed_system(&s->rng);
    }
}

static void destroy(struct crier_sink *s)
{
    crier_worker_free(atomic_load(&s->worker));
    crier_queue_free(s->queue);
    if (s->self)
        s->driver->close(s->self);
    crier_sink_unref(s->fallback);
    crier_options_fini(&s->common);
    crier_options_fini(&s->options);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->self_lock);
    pthread_mutex_destroy(&s->tell_lock);
    pthread_mutex_destroy(&s->fallback_lock);
    free(s->dead_path);
    free(s->name);
    free(s);
}

int crier_sink_open(const struct crier_sink_driver *driver, const char *name,
                    struct crier_options *common, struct crier_options *options,
                    const struct crier_sink_env *env, struct crier_sink **out,
                    struct crier_err *err)
{
    struct crier_sink *s = crier_calloc(1, sizeof *s);
    int rc = CRIER_OK;

    atomic_init(&s->refs, 1);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->self_lock, NULL);
    pthread_mutex_init(&s->tell_lock, NULL);
    pthread_mutex_init(&s->fallback_lock, NULL);
    s->driver = driver;
    s->env = env;
    s->name = crier_strdup(name);
    s->common = *common;
    s->options = *options;
    *common = *options = (struct crier_options){0};
    const struct crier_option_value *level = crier_options_get(&s->common, "level");
    s->level = driver->level ? driver->level : CRIER_DEBUG;
    if (level->set && level->s)
        crier_level_parse(level->s, strlen(level->s), &s->level);
    s->retry_times = (unsigned)crier_options_get(&s->common, "retry.times")->i;
    s->retry_delay = crier_options_get(&s->common, "retry.delay")->i;
    seed_jitter(s);

    if (!name[0] || strlen(name) > NAME_MAX_BYTES)
        rc = crier_err_set(err, CRIER_ECONFIG, "a name has 1 to %d bytes", NAME_MAX_BYTES);
    if (rc == CRIER_OK)
        rc = read_kinds(s, err);
    if (rc == CRIER_OK)
        rc = check_durable(s, err);
    if (rc == CRIER_OK)
        rc = open_queue(s, err);
    if (rc == CRIER_OK)
        rc = driver->open(env, &s->options, s->name, &s->self, err);
    if (rc != CRIER_OK) {
        crier_err_prefix(err, "sink '%s': ", name);
        s->self = NULL;
        destroy(s);
        return rc;
    }
    *out = s;
    return CRIER_OK;
}

struct crier_sink *crier_sink_ref(struct crier_sink *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void crier_sink_unref(struct crier_sink *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    atomic_store(&s->refs, 1); /* for events on the way; there are none after the stop */
    crier_sink_stop(s, 0);
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        destroy(s);
}

/* ---- what goes to the loop ---- */

struct event {
    struct crier_sink *sink; /* a reference */
    const char *what;
    char text[512];
};

void crier_sink_on_loop(struct crier_sink *s, void (*fn)(void *arg), void *arg)
{
    if (s->loop)
        crier_loop_post(s->loop, fn, arg);
    else
        fn(arg);
}

static void deliver_event(void *arg)
{
    struct event *event = arg;
    struct crier_sink *s = event->sink;
    if (s->on_event)
        s->on_event(s->event_arg, s, event->what, event->text);
    free(event);
    crier_sink_unref(s);
}

void crier_sink_tell(struct crier_sink *s, const char *what, const char *fmt, ...)
{
    struct event *event = crier_calloc(1, sizeof *event);
    va_list args;
    event->sink = crier_sink_ref(s);
    event->what = what;
    int n = snprintf(event->text, sizeof event->text, "sink '%s': ", s->name);
    va_start(args, fmt);
    vsnprintf(event->text + n, sizeof event->text - (size_t)n, fmt, args);
    va_end(args);
    crier_sink_on_loop(s, deliver_event, event);
}

/* ---- running ---- */

void crier_sink_start(struct crier_sink *s, struct crier_loop *loop)
{
    if (atomic_load(&s->worker) || atomic_load(&s->stopped) || s->awaiting)
        return;
    s->loop = loop;
    s->drops_told = s->rejects_told = crier_loop_now(loop) - TELL_EVERY;
    crier_queue_begin(s->queue, loop);
    if (s->driver->attach)
        s->driver->attach(s->self, s, loop);
    atomic_store(&s->worker, s->driver->on_loop
                                 ? crier_worker_start_on_loop(loop, s->name, crier_sink_step, s)
                                 : crier_worker_start(loop, s->name, crier_sink_step, s));
}

static void wake(struct crier_sink *s)
{
    struct crier_worker *worker = atomic_load_explicit(&s->worker, memory_order_acquire);
    if (worker)
        crier_worker_wake(worker);
}

/* With fallback_lock. A fallback that ends waits for the last copies. */
static void set_leaning(struct crier_sink *s, bool lean)
{
    lean = lean && s->fallback;
    if (lean == s->leaning)
        return;
    s->leaning = lean;
    if (lean)
        atomic_fetch_add(&s->fallback->borrowers, 1);
    else if (atomic_fetch_sub(&s->fallback->borrowers, 1) == 1)
        wake(s->fallback);
}

void crier_sink_lean(struct crier_sink *s, bool lean)
{
    pthread_mutex_lock(&s->fallback_lock);
    set_leaning(s, lean);
    pthread_mutex_unlock(&s->fallback_lock);
}

void crier_sink_set_fallback(struct crier_sink *s, struct crier_sink *fallback)
{
    for (const struct crier_sink *f = fallback; f; f = f->fallback)
        if (f == s)
            fallback = NULL; /* a ring would copy for ever */
    pthread_mutex_lock(&s->fallback_lock);
    struct crier_sink *old = s->fallback;
    bool leaning = s->leaning;
    if (old != fallback) {
        set_leaning(s, false);
        s->fallback = fallback ? crier_sink_ref(fallback) : NULL;
        set_leaning(s, leaning);
    } else {
        old = NULL;
    }
    pthread_mutex_unlock(&s->fallback_lock);
    crier_sink_unref(old);
}

bool crier_sink_takes(const struct crier_sink *s, const struct crier_record *record)
{
    return (s->kinds >> crier_record_kind(record) & 1) && crier_record_level(record) >= s->level;
}

bool crier_sink_takes_routed(const struct crier_sink *s, const struct crier_record *record)
{
    return s->kinds_given ? crier_sink_takes(s, record) : crier_record_level(record) >= s->level;
}

void crier_sink_push(struct crier_sink *s, struct crier_record *record)
{
    if (!crier_queue_push(s->queue, record))
        return;
    if (atomic_load(&s->stopped))
        crier_sink_tell_losses(s, crier_clock_mono(s->env->clock), false);
    else
        wake(s);
}

void crier_sink_hurry(struct crier_sink *s)
{
    atomic_store(&s->hurry_mark, crier_queue_mark(s->queue));
    atomic_store(&s->hurried, true);
    wake(s);
}

void crier_sink_reopen(struct crier_sink *s)
{
    atomic_store(&s->reopen, true);
    wake(s);
}

/* ---- room ---- */

bool crier_sink_is_full(struct crier_sink *s)
{
    return !atomic_load(&s->stopped) && crier_queue_is_full(s->queue);
}

static void add_waiter(struct sink_waiter **list, void (*fn)(void *arg), void *arg)
{
    struct sink_waiter *waiter = crier_calloc(1, sizeof *waiter);
    waiter->fn = fn;
    waiter->arg = arg;
    while (*list)
        list = &(*list)->next;
    *list = waiter;
}

/* Who waits again from within the call waits for the next time. */
static void call_waiters(struct sink_waiter **list)
{
    struct sink_waiter *waiter = *list;
    *list = NULL;
    while (waiter) {
        struct sink_waiter *next = waiter->next;
        waiter->fn(waiter->arg);
        free(waiter);
        waiter = next;
    }
}

void crier_sink_room(void *sink)
{
    struct crier_sink *s = sink;
    call_waiters(&s->room_waiters);
    crier_sink_unref(s);
}

void crier_sink_on_room(struct crier_sink *s, void (*fn)(void *arg), void *arg)
{
    add_waiter(&s->room_waiters, fn, arg);
    /* The worker may have made room just now, and then says nothing any more. */
    atomic_store(&s->room_wanted, true);
    if ((atomic_load(&s->stopped) || crier_queue_has_room(s->queue)) &&
        atomic_exchange(&s->room_wanted, false))
        crier_sink_on_loop(s, crier_sink_room, crier_sink_ref(s));
}

void crier_sink_forget_room(struct crier_sink *s, void *arg)
{
    struct sink_waiter **at = &s->room_waiters;
    while (*at) {
        struct sink_waiter *waiter = *at;
        if (waiter->arg != arg) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        free(waiter);
    }
}

/* ---- the end ---- */

void crier_sink_close(struct crier_sink *s)
{
    crier_sink_run_commands(s);
    if (!atomic_load(&s->passed_on))
        crier_queue_save(s->queue);
    crier_sink_lean(s, false);
    pthread_mutex_lock(&s->self_lock);
    s->closed = true;
    pthread_mutex_unlock(&s->self_lock);
    s->driver->close(s->self);
    s->self = NULL;
}

static void unref_posted(void *arg)
{
    crier_sink_unref(arg);
}

/* The worker does not run any more, and all is closed. */
static void finish(struct crier_sink *s)
{
    atomic_store(&s->stopped, true);
    if (s->loop)
        crier_timer_stop(s->loop, &s->end_timer);
    crier_sink_cancel_commands(s);
    crier_sink_tell_losses(s, crier_clock_mono(s->env->clock), true);
    crier_sink_set_fallback(s, NULL);
    call_waiters(&s->room_waiters);
    call_waiters(&s->enders);
    if (s->end_ref)
        crier_sink_on_loop(s, unref_posted, s);
    s->end_ref = false;
}

static void ask_to_drain(struct crier_sink *s)
{
    atomic_store(&s->retry_now, true);
    atomic_store(&s->draining, true);
}

static void interrupt(struct crier_sink *s)
{
    pthread_mutex_lock(&s->self_lock);
    if (s->driver->interrupt && !s->closed)
        s->driver->interrupt(s->self);
    pthread_mutex_unlock(&s->self_lock);
}

static void drain(struct crier_sink *s, int64_t within)
{
    if (s->driver->on_loop || crier_clock_is_virtual(s->env->clock)) {
        do
            crier_sink_step(s, crier_loop_now(s->loop));
        while (s->driver->on_loop && !s->pending && !s->failing && !crier_queue_is_empty(s->queue));
    } else {
        wake(s);
        crier_queue_wait(s->queue, within);
    }
}

void crier_sink_stop(struct crier_sink *s, int64_t within)
{
    struct crier_worker *worker = atomic_load(&s->worker);
    if (atomic_load(&s->stopped))
        return;
    if (s->predecessor)
        crier_sink_stop(s->predecessor, 0);
    if (worker) {
        ask_to_drain(s);
        if (within > 0 && !atomic_load(&s->passed_on))
            drain(s, within);
        atomic_store(&s->stop, true);
        interrupt(s);
        crier_worker_halt(worker);
    }
    if (!s->closed) /* else the worker has done it */
        crier_sink_close(s);
    finish(s);
}

void crier_sink_closed(void *sink)
{
    struct crier_sink *s = sink;
    if (!atomic_load(&s->stopped)) {
        crier_worker_halt(atomic_load(&s->worker));
        finish(s);
    }
    crier_sink_unref(s);
}

static void halt(struct crier_sink *s)
{
    crier_timer_stop(s->loop, &s->end_timer);
    atomic_store(&s->closing, true);
    atomic_store(&s->stop, true);
    interrupt(s);
    wake(s);
}

void crier_sink_drained(void *sink)
{
    struct crier_sink *s = sink;
    if (s->ending && !atomic_load(&s->stopped))
        halt(s);
    crier_sink_unref(s);
}

static void on_end_over(struct crier_timer *timer)
{
    halt(CRIER_CONTAINER(timer, struct crier_sink, end_timer));
}

static void call_enders(void *arg)
{
    struct crier_sink *s = arg;
    call_waiters(&s->enders);
    crier_sink_unref(s);
}

void crier_sink_end(struct crier_sink *s, int64_t within, void (*done)(void *arg), void *arg)
{
    if (done)
        add_waiter(&s->enders, done, arg);
    s->ending = true;
    if (s->awaiting)
        return; /* the predecessor's end goes on with it */
    if (!atomic_load(&s->worker) && !atomic_load(&s->stopped))
        crier_sink_stop(s, 0);
    if (atomic_load(&s->stopped)) {
        crier_sink_on_loop(s, call_enders, crier_sink_ref(s));
        return;
    }
    if (!s->end_ref)
        crier_sink_ref(s); /* whoever lets go of it meanwhile must not wait for the end */
    s->end_ref = true;
    ask_to_drain(s);
    s->end_timer.fire = on_end_over;
    if (within > 0) {
        crier_timer_in(s->loop, &s->end_timer, within);
        wake(s);
    } else {
        halt(s);
    }
}

void crier_sink_abandon(struct crier_sink *s)
{
    if (atomic_load(&s->stopped))
        return;
    crier_sink_ref(s); /* never to be freed: the driver may come back */
    atomic_store(&s->stop, true);
    if (!atomic_load(&s->passed_on))
        crier_queue_save(s->queue);
}

/* ---- a successor ---- */

static void on_predecessor_ended(void *arg)
{
    struct crier_sink *s = arg, *old = s->predecessor;
    s->predecessor = NULL;
    s->awaiting = false;
    if (s->ending) {
        if (!atomic_load(&s->stopped))
            crier_sink_stop(s, 0);
    } else if (!atomic_load(&s->stopped)) {
        crier_sink_start(s, s->loop);
    }
    crier_sink_unref(old);
    crier_sink_unref(s);
}

void crier_sink_succeed(struct crier_sink *s, struct crier_sink *old, int64_t within,
                        struct crier_loop *loop)
{
    atomic_store(&old->passed_on, true);
    s->queue = crier_queue_inherit(s->queue, old->queue);
    s->predecessor = crier_sink_ref(old);
    s->awaiting = true;
    s->loop = loop;
    crier_sink_end(old, within, on_predecessor_ended, crier_sink_ref(s));
}

void crier_sink_on_event(struct crier_sink *s,
                         void (*fn)(void *arg, struct crier_sink *sink, const char *what,
                                    const char *text),
                         void *arg)
{
    s->on_event = fn;
    s->event_arg = arg;
}

/* ---- looking ---- */

const char *crier_sink_name(const struct crier_sink *s)
{
    return s->name;
}

const struct crier_sink_driver *crier_sink_driver_of(const struct crier_sink *s)
{
    return s->driver;
}

void *crier_sink_self(const struct crier_sink *s)
{
    return s->self;
}

void crier_sink_stats(struct crier_sink *s, struct crier_sink_stats *out)
{
    struct crier_queue_stats q;
    crier_queue_stats(s->queue, &q);
    *out = (struct crier_sink_stats){.accepted = q.accepted,
                                     .written = q.written,
                                     .rejected = q.rejected,
                                     .dropped = q.dropped,
                                     .queued = q.queued,
                                     .spilled = q.spilled,
                                     .copied = q.copied,
                                     .spool_bytes = q.spool_bytes};
    pthread_mutex_lock(&s->lock);
    out->retries = s->retries;
    out->failing = s->failing;
    out->down = s->down;
    out->down_since = s->down_since;
    out->next_try = s->next_try;
    memcpy(out->last_error, s->last.text, sizeof out->last_error);
    pthread_mutex_unlock(&s->lock);
}
