/* SPDX-License-Identifier: MIT */
#include "sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/ulid.h"
#include "base/worker.h"
#include "sink/queue.h"

#define RETRY_FIRST (100 * CRIER_MS)
#define RETRY_MAX (30 * CRIER_S)
#define TELL_EVERY CRIER_S
#define NAME_MAX_BYTES 64

typedef void query_done_fn(void *arg, struct crier_record **hits, size_t count,
                           const struct crier_err *err);

/* A flush or a query: waits on the sink's list, then travels to the loop. */
struct command {
    struct command *next;
    uint64_t mark;
    struct crier_query *query; /* NULL: a flush */
    void (*flush_done)(void *arg);
    query_done_fn *query_done;
    void *arg;
    struct crier_record **hits;
    size_t count;
    struct crier_err err;
};

struct event {
    struct crier_sink *sink; /* a reference */
    const char *what;
    char text[512];
};

struct crier_sink {
    atomic_int refs;
    const struct crier_sink_driver *driver;
    const struct crier_sink_env *env;
    char *name;
    struct crier_options common, options;
    unsigned kinds;
    bool kinds_given;
    enum crier_level level;
    char *dead_path; /* NULL: no state folder */
    struct crier_queue *queue;
    void *self;

    /* loop */
    struct crier_loop *loop;
    struct crier_worker *worker;
    bool stopped;
    void (*on_event)(void *arg, struct crier_sink *sink, const char *what, const char *text);
    void *event_arg;

    atomic_bool reopen, stop, draining, retry_now;
    atomic_uint commands_waiting;
    pthread_mutex_t lock; /* guards the members up to the next comment */
    struct command *commands;
    uint64_t retries;
    bool failing;
    struct crier_err last;

    /* worker, or loop when there is none */
    unsigned attempts;
    int64_t retry_at, drops_told, rejects_told;
    uint64_t rejects;
    char reject_text[256];
    struct crier_rng rng;
};

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
                "unknown kind '%s' (%s%s%skinds are log message task event system)", v->list[i],
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
    return policy && strcmp(policy, "drop_new") == 0 ? CRIER_DROP_NEW : CRIER_SPILL;
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
    struct crier_queue_config config = {
        .size = (size_t)crier_options_get(&s->common, "queue")->i,
        .batch = batch->set || !s->driver->batch ? (size_t)batch->i : s->driver->batch,
        .flush = crier_options_get(&s->common, "flush")->i,
        .overflow = read_overflow(s),
        .folder = folder,
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
    crier_queue_free(s->queue);
    if (s->self)
        s->driver->close(s->self);
    crier_options_fini(&s->common);
    crier_options_fini(&s->options);
    pthread_mutex_destroy(&s->lock);
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
    seed_jitter(s);

    if (!name[0] || strlen(name) > NAME_MAX_BYTES)
        rc = crier_err_set(err, CRIER_ECONFIG, "a name has 1 to %d bytes", NAME_MAX_BYTES);
    if (rc == CRIER_OK)
        rc = read_kinds(s, err);
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

static void run_on_loop(struct crier_sink *s, void (*fn)(void *arg), void *arg)
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

static void tell(struct crier_sink *s, const char *what, const char *fmt, ...) CRIER_PRINTF(3, 4);

static void tell(struct crier_sink *s, const char *what, const char *fmt, ...)
{
    struct event *event = crier_calloc(1, sizeof *event);
    va_list args;
    event->sink = crier_sink_ref(s);
    event->what = what;
    int n = snprintf(event->text, sizeof event->text, "sink '%s': ", s->name);
    va_start(args, fmt);
    vsnprintf(event->text + n, sizeof event->text - (size_t)n, fmt, args);
    va_end(args);
    run_on_loop(s, deliver_event, event);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* Losses, at most once a second of each sort. Returns when there may be more to tell. */
static int64_t tell_losses(struct crier_sink *s, int64_t now, bool all)
{
    int64_t due = CRIER_NEVER;
    uint64_t dropped;
    char text[256];
    if (all || now >= s->drops_told + TELL_EVERY) {
        if (crier_queue_trouble(s->queue, &dropped, text)) {
            s->drops_told = now;
            if (dropped)
                tell(s, "dropped", "%" PRIu64 " record%s dropped: %s", dropped, plural(dropped),
                     text);
            else
                tell(s, "damaged", "%s", text);
        }
    } else {
        due = s->drops_told + TELL_EVERY;
    }
    if (s->rejects && (all || now >= s->rejects_told + TELL_EVERY)) {
        s->rejects_told = now;
        tell(s, "rejected", "%" PRIu64 " record%s rejected: %s (kept in %s)", s->rejects,
             plural(s->rejects), s->reject_text, s->dead_path ? s->dead_path : "no file");
        s->rejects = 0;
    } else if (s->rejects && s->rejects_told + TELL_EVERY < due) {
        due = s->rejects_told + TELL_EVERY;
    }
    return due;
}

static void deliver_command(void *arg)
{
    struct command *c = arg;
    if (c->query_done)
        c->query_done(c->arg, c->hits, c->count, &c->err);
    else
        c->flush_done(c->arg);
    crier_query_free(c->query);
    free(c);
}

/* ---- commands ---- */

/* What the driver gave, in the query's own order and within its limit. */
static void finish_query(const struct crier_query *query, struct crier_record ***hits,
                         size_t *count)
{
    size_t n = *count;
    if (n == 0)
        return;
    struct crier_record **out = crier_malloc(n * sizeof *out);
    *count = crier_query_run(query, *hits, n, out);
    for (size_t i = 0; i < *count; i++)
        crier_record_ref(out[i]);
    for (size_t i = 0; i < n; i++)
        crier_record_unref((*hits)[i]);
    free(*hits);
    *hits = out;
}

static void run_query(struct crier_sink *s, struct command *c)
{
    int rc = s->driver->query(s->self, c->query, &c->hits, &c->count, &c->err);
    if (rc == CRIER_OK) {
        finish_query(c->query, &c->hits, &c->count);
        return;
    }
    c->hits = NULL;
    c->count = 0;
    c->err.code = rc;
    crier_err_prefix(&c->err, "sink '%s': ", s->name);
}

/* Whether a command is due, and done if it is. */
static bool try_command(struct crier_sink *s, struct command *c)
{
    if (c->query && s->failing) {
        c->err = s->last;
        crier_err_prefix(&c->err, "sink '%s' is down: ", s->name);
    } else if (!crier_queue_passed(s->queue, c->mark)) {
        return false;
    } else if (c->query) {
        run_query(s, c);
    }
    return true;
}

static void run_commands(struct crier_sink *s)
{
    struct command *todo, *keep = NULL, **end = &keep;
    if (atomic_load(&s->commands_waiting) == 0)
        return;
    pthread_mutex_lock(&s->lock);
    todo = s->commands;
    s->commands = NULL;
    pthread_mutex_unlock(&s->lock);
    while (todo) {
        struct command *c = todo;
        todo = c->next;
        c->next = NULL;
        if (try_command(s, c)) {
            atomic_fetch_sub(&s->commands_waiting, 1);
            run_on_loop(s, deliver_command, c);
        } else {
            *end = c;
            end = &c->next;
        }
    }
    if (!keep)
        return;
    pthread_mutex_lock(&s->lock);
    *end = s->commands;
    s->commands = keep;
    pthread_mutex_unlock(&s->lock);
}

static void cancel_command(struct crier_sink *s, struct command *c)
{
    if (c->query)
        crier_err_set(&c->err, CRIER_ECANCELED, "sink '%s' has been stopped", s->name);
    run_on_loop(s, deliver_command, c);
}

static void add_command(struct crier_sink *s, struct command *c)
{
    struct command **end = &s->commands;
    if (s->stopped) {
        cancel_command(s, c);
        return;
    }
    c->mark = crier_queue_mark(s->queue);
    pthread_mutex_lock(&s->lock);
    while (*end)
        end = &(*end)->next;
    *end = c;
    atomic_fetch_add(&s->commands_waiting, 1);
    pthread_mutex_unlock(&s->lock);
    if (s->worker)
        crier_worker_wake(s->worker);
}

void crier_sink_flush(struct crier_sink *s, void (*done)(void *arg), void *arg)
{
    struct command *c = crier_calloc(1, sizeof *c);
    c->flush_done = done;
    c->arg = arg;
    add_command(s, c);
}

void crier_sink_query(struct crier_sink *s, struct crier_query *query, query_done_fn *done,
                      void *arg)
{
    struct command *c = crier_calloc(1, sizeof *c);
    c->query = query;
    c->query_done = done;
    c->arg = arg;
    if (s->driver->query) {
        add_command(s, c);
        return;
    }
    crier_err_set(&c->err, CRIER_EINVAL, "sink '%s' (%s) cannot be read", s->name, s->driver->kind);
    run_on_loop(s, deliver_command, c);
}

/* ---- writing ---- */

static void dead_letter_line(const struct crier_sink *s, struct crier_record *record,
                             const struct crier_err *reason, struct crier_buf *b)
{
    char time[32];
    struct crier_str json = crier_record_json(record);
    crier_json_open(b, '{');
    crier_json_key(b, "time");
    crier_json_str(b, crier_time_rfc3339(crier_clock_wall(s->env->clock), time));
    crier_json_key(b, "sink");
    crier_json_str(b, s->name);
    crier_json_key(b, "code");
    crier_json_str(b, crier_code_name(reason->code));
    crier_json_key(b, "reason");
    crier_json_str(b, reason->text);
    crier_json_key(b, "record");
    crier_json_raw(b, json.data, json.len);
    crier_json_close(b, '}');
    crier_buf_putc(b, '\n');
}

static int append_line(const char *path, const struct crier_buf *line, struct crier_err *err)
{
    int rc = CRIER_OK;
    char last = '\n';
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    /* A line that a full disk or a kill has cut short must not spoil this one. */
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1)
        end = -1;
    ssize_t n = end < 0 ? -1 : write(fd, line->data, line->len);
    if (n != (ssize_t)line->len)
        rc = crier_err_sys(err, CRIER_EIO, n < 0 ? errno : ENOSPC, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void reject(struct crier_sink *s, struct crier_record *record,
                   const struct crier_err *reason)
{
    struct crier_buf line = {0};
    struct crier_err err = {0};
    snprintf(s->reject_text, sizeof s->reject_text, "%s", reason->text);
    s->rejects++;
    if (!s->dead_path)
        return;
    char *folder = crier_asprintf("%s/sinks", s->env->state_folder);
    dead_letter_line(s, record, reason, &line);
    if (crier_mkdirs(folder, true, &err) != CRIER_OK ||
        append_line(s->dead_path, &line, &err) != CRIER_OK)
        snprintf(s->reject_text, sizeof s->reject_text, "%.120s; lost, since %.110s", reason->text,
                 err.text);
    crier_buf_fini(&line);
    free(folder);
}

/* Half of the pause is fixed and half is chance, so that many hosts do not knock in step. */
static int64_t next_pause(struct crier_sink *s)
{
    int64_t max = s->driver->retry_max ? s->driver->retry_max : RETRY_MAX;
    int64_t pause = s->attempts < 20 ? RETRY_FIRST << s->attempts : max;
    if (pause > max)
        pause = max;
    s->attempts++;
    return crier_rng_range(&s->rng, pause / 2, pause);
}

static void set_failing(struct crier_sink *s, bool failing, const struct crier_err *err)
{
    bool was = s->failing;
    pthread_mutex_lock(&s->lock);
    s->failing = failing;
    if (err)
        s->last = *err;
    if (failing)
        s->retries++;
    pthread_mutex_unlock(&s->lock);
    if (failing && !was)
        tell(s, "failing", "%s; it is tried again", err->text);
    else if (was && !failing)
        tell(s, "ok", "works again");
}

static void write_batch(struct crier_sink *s, struct crier_record *const *records, size_t count)
{
    struct crier_err err = {0};
    size_t done = 0;
    enum crier_verdict verdict = s->driver->write(s->self, records, count, &done, &err);
    if (verdict == CRIER_WRITTEN || done > count)
        done = count;
    if (done > 0) {
        crier_queue_settle(s->queue, done, CRIER_SETTLE_WRITTEN, NULL);
        s->attempts = 0;
    }
    if (verdict == CRIER_RETRY_LATER && done < count) {
        s->retry_at = crier_clock_mono(s->env->clock) + next_pause(s);
        set_failing(s, true, &err);
        return;
    }
    if (verdict == CRIER_REJECTED && done < count) {
        reject(s, records[done], &err);
        crier_queue_settle(s->queue, 1, CRIER_SETTLE_REJECTED, NULL);
    } else if (verdict == CRIER_DROPPED && done < count) {
        crier_queue_settle(s->queue, count - done, CRIER_SETTLE_DROPPED, err.text);
    }
    s->attempts = 0;
    if (s->failing || err.code)
        set_failing(s, false, err.code ? &err : NULL);
}

static int64_t step(void *arg, int64_t now)
{
    struct crier_sink *s = arg;
    struct crier_record *const *records;
    int64_t due = CRIER_NEVER, other = CRIER_NEVER;

    if (atomic_exchange(&s->reopen, false) && s->driver->reopen)
        s->driver->reopen(s->self);
    if (atomic_exchange(&s->retry_now, false))
        s->retry_at = 0;
    while (!atomic_load(&s->stop)) {
        if (now < s->retry_at) {
            due = s->retry_at;
            break;
        }
        bool hurry = atomic_load(&s->draining) || atomic_load(&s->commands_waiting) > 0;
        size_t n = crier_queue_take(s->queue, now, hurry, &records, &due);
        if (n == 0) {
            if (s->driver->idle)
                other = s->driver->idle(s->self, now);
            break;
        }
        write_batch(s, records, n);
        run_commands(s);
        now = crier_clock_mono(s->env->clock);
    }
    run_commands(s);
    due = other < due ? other : due;
    other = tell_losses(s, now, false);
    return other < due ? other : due;
}

/* ---- running ---- */

void crier_sink_start(struct crier_sink *s, struct crier_loop *loop)
{
    if (s->worker || s->stopped)
        return;
    s->loop = loop;
    s->drops_told = s->rejects_told = crier_loop_now(loop) - TELL_EVERY;
    crier_queue_begin(s->queue);
    s->worker = crier_worker_start(loop, s->name, step, s);
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
    if (s->worker)
        crier_worker_wake(s->worker);
    else if (s->stopped)
        tell_losses(s, crier_clock_mono(s->env->clock), false);
}

void crier_sink_reopen(struct crier_sink *s)
{
    atomic_store(&s->reopen, true);
    if (s->worker)
        crier_worker_wake(s->worker);
}

void crier_sink_stop(struct crier_sink *s, int64_t within)
{
    if (s->stopped)
        return;
    s->stopped = true;
    if (s->worker) {
        atomic_store(&s->retry_now, true);
        atomic_store(&s->draining, true);
        if (within > 0 && crier_clock_is_virtual(s->env->clock)) {
            step(s, crier_loop_now(s->loop));
        } else if (within > 0) {
            crier_worker_wake(s->worker);
            crier_queue_wait(s->queue, within);
        }
        atomic_store(&s->stop, true);
        crier_worker_stop(s->worker);
        s->worker = NULL;
    }
    run_commands(s);
    crier_queue_save(s->queue);
    while (s->commands) {
        struct command *c = s->commands;
        s->commands = c->next;
        cancel_command(s, c);
    }
    tell_losses(s, crier_clock_mono(s->env->clock), true);
    s->driver->close(s->self);
    s->self = NULL;
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

bool crier_sink_same_options(const struct crier_sink *s, const struct crier_options *common,
                             const struct crier_options *options)
{
    return crier_options_equal(&s->common, common) && crier_options_equal(&s->options, options);
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
                                     .spilled = q.spilled};
    pthread_mutex_lock(&s->lock);
    out->retries = s->retries;
    out->failing = s->failing;
    memcpy(out->last_error, s->last.text, sizeof out->last_error);
    pthread_mutex_unlock(&s->lock);
}
