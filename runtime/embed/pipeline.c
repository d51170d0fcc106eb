/* SPDX-License-Identifier: MIT */
#include "embed/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/duration.h"
#include "state/state.h"

#define SEQ_RESERVE 1000000
#define STOP_WITHIN (10 * CRIER_S)

struct level_of {
    char *name; /* "": all */
    size_t len;
    int level;
};

const char *crier_version(void)
{
    return CRIER_VERSION;
}

/* --- the loop's thread ------------------------------------------------------------------- */

static void *run_loop(void *arg)
{
    struct crier_pipeline *p = arg;
    crier_loop_run(p->loop, CRIER_NEVER);
    return NULL;
}

/* The signals of the program are none of our threads' business; those of the sinks inherit this. */
static int start_thread(struct crier_pipeline *p, struct crier_err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&p->thread, NULL, run_loop, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return crier_err_sys(err, CRIER_ELIMIT, rc, "cannot start a thread");
    p->running = true;
    return 0;
}

struct job {
    void (*fn)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
};

static void run_job(void *arg)
{
    struct job *job = arg;
    job->fn(job->arg);
    pthread_mutex_lock(&job->lock);
    job->is_done = true;
    pthread_cond_signal(&job->done);
    pthread_mutex_unlock(&job->lock);
}

void crier_pipeline_call(struct crier_pipeline *p, void (*fn)(void *arg), void *arg)
{
    struct job job = {fn, arg, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    crier_loop_post(p->loop, run_job, &job);
    pthread_mutex_lock(&job.lock);
    while (!job.is_done)
        pthread_cond_wait(&job.done, &job.lock);
    pthread_mutex_unlock(&job.lock);
    pthread_mutex_destroy(&job.lock);
    pthread_cond_destroy(&job.done);
}

/* --- numbers ----------------------------------------------------------------------------- */

static void write_seq(struct crier_pipeline *p, uint64_t seq)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%020" PRIu64 "\n", seq);
    /* What cannot be written leaves the old number: ids still tell the records apart. */
    if (pwrite(p->seq_fd, text, (size_t)n, 0) == n)
        p->seq_reserved = seq;
}

/* Numbers go on after a restart: a range is reserved ahead, so that a crash only leaves a gap. */
static int open_seq(struct crier_pipeline *p, struct crier_err *err)
{
    char text[32] = "", *path = crier_path_join(p->state_folder, "records.seq");
    p->seq_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = 0;
    if (p->seq_fd < 0 || pread(p->seq_fd, text, sizeof text - 1, 0) < 0)
        rc = crier_err_sys(err, CRIER_EIO, errno, "cannot read '%s'", path);
    free(path);
    p->source.seq = strtoull(text, NULL, 10);
    if (rc == 0)
        write_seq(p, p->source.seq + SEQ_RESERVE);
    return rc;
}

/* --- levels ------------------------------------------------------------------------------ */

static void set_level(struct crier_pipeline *p, struct crier_logger *logger)
{
    size_t best = 0;
    int level = CRIER_DEBUG;
    for (guint i = 0; i < p->levels->len; i++) {
        const struct level_of *l = p->levels->pdata[i];
        bool fits = l->len <= logger->name_len && memcmp(l->name, logger->name, l->len) == 0 &&
                    (l->len == 0 || !logger->name[l->len] || logger->name[l->len] == '.');
        if (fits && l->len >= best) {
            best = l->len;
            level = l->level;
        }
    }
    atomic_store_explicit(&logger->level, level, memory_order_relaxed);
}

static void free_level(void *arg)
{
    struct level_of *l = arg;
    free(l->name);
    free(l);
}

void crier_pipeline_level(struct crier_pipeline *p, const char *logger, enum crier_level level)
{
    const char *name = logger && strcmp(logger, "*") != 0 ? logger : "";
    struct level_of *l = NULL;
    pthread_mutex_lock(&p->lock);
    for (guint i = 0; i < p->levels->len && !l; i++) {
        struct level_of *have = p->levels->pdata[i];
        if (strcmp(have->name, name) == 0)
            l = have;
    }
    if (!l) {
        l = crier_calloc(1, sizeof *l);
        l->name = crier_strdup(name);
        l->len = strlen(name);
        g_ptr_array_add(p->levels, l);
    }
    l->level = level;
    for (struct crier_logger *at = p->loggers; at; at = at->next)
        set_level(p, at);
    pthread_mutex_unlock(&p->lock);
}

/* --- records ----------------------------------------------------------------------------- */

/* Number, route, and let go of a record. */
static void pass_on(struct crier_pipeline *p, struct crier_record *record)
{
    pthread_mutex_lock(&p->lock);
    if (!p->stopped) {
        crier_source_stamp(&p->source, record);
        if (p->source.seq >= p->seq_reserved && p->seq_fd >= 0)
            write_seq(p, p->source.seq + SEQ_RESERVE);
        crier_router_send(p->router, record);
    }
    pthread_mutex_unlock(&p->lock);
    crier_record_unref(record);
}

void crier_pipeline_system(struct crier_pipeline *p, enum crier_level level, const char *what,
                           const char *text)
{
    struct crier_builder *b = &p->builder;
    crier_build_begin(b, CRIER_KIND_SYSTEM, level, crier_clock_wall(p->clock));
    crier_build_logger(b, "system", 6);
    crier_build_text(b, text, strlen(text));
    CRIER_B_STR(b, "what", what);
    pass_on(p, crier_build_end_bare(b));
}

/* --- what the router tells --------------------------------------------------------------- */

struct note {
    struct crier_pipeline *p;
    char text[300];
};

static void emit_note(void *arg)
{
    struct note *note = arg;
    crier_pipeline_system(note->p, CRIER_LEVEL_WARNING, "route.rate", note->text);
    free(note);
}

/* With the lock held, which a record of it needs. There are no functions that could fail: it is of
 * a rate. */
static void on_note(void *arg, const struct crier_router_note *n)
{
    struct note *note = crier_calloc(1, sizeof *note);
    char per[48];
    note->p = arg;
    snprintf(note->text, sizeof note->text,
             "a route left out %" PRIu64 " record%s above %" PRIu64 " in %s", n->left_out,
             n->left_out == 1 ? "" : "s", n->rate, crier_duration_text(n->per, per));
    crier_loop_post(note->p->loop, emit_note, note);
}

static void arm_tell(void *arg)
{
    struct crier_pipeline *p = arg;
    pthread_mutex_lock(&p->lock);
    int64_t within = p->tell_in;
    pthread_mutex_unlock(&p->lock);
    crier_timer_in(p->loop, &p->tell, within);
}

/* With the lock held, on any thread. */
static void on_due(void *arg, int64_t within)
{
    struct crier_pipeline *p = arg;
    p->tell_in = within;
    crier_loop_post(p->loop, arm_tell, p);
}

static void on_tell(struct crier_timer *timer)
{
    struct crier_pipeline *p = CRIER_CONTAINER(timer, struct crier_pipeline, tell);
    pthread_mutex_lock(&p->lock);
    int64_t next = crier_router_tell(p->router, crier_clock_wall(p->clock), false);
    pthread_mutex_unlock(&p->lock);
    if (next != CRIER_NEVER)
        crier_timer_in(p->loop, timer, next);
}

/* At the end: what there is to tell is told, and has been routed when this returns. */
static void tell_all(void *arg)
{
    struct crier_pipeline *p = arg;
    pthread_mutex_lock(&p->lock);
    crier_router_tell(p->router, 0, true);
    pthread_mutex_unlock(&p->lock);
}

static void nothing(void *arg)
{
    (void)arg;
}

/* --- loggers ----------------------------------------------------------------------------- */

static void unref(struct crier_pipeline *p);

static void emit(void *owner, const struct crier_logger *logger, enum crier_level level,
                 struct crier_str where, const char *text, const struct crier_value *fields,
                 size_t count)
{
    struct crier_pipeline *p = owner;
    struct crier_builder *b = crier_logger_builder();
    b->source = &p->face;
    crier_build_begin(b, CRIER_KIND_LOG, level, crier_clock_wall(p->clock));
    crier_build_logger(b, logger->name, logger->name_len);
    crier_build_text(b, text, strlen(text));
    crier_build_where(b, where.data, where.len);
    crier_logger_fields(b, logger, fields, count);
    pass_on(p, crier_build_end_bare(b));
}

static void adopt(void *owner, struct crier_logger *logger)
{
    struct crier_pipeline *p = owner;
    atomic_fetch_add(&p->refs, 1);
    pthread_mutex_lock(&p->lock);
    set_level(p, logger);
    logger->next = p->loggers;
    logger->link = &p->loggers;
    if (logger->next)
        logger->next->link = &logger->next;
    p->loggers = logger;
    pthread_mutex_unlock(&p->lock);
}

static void forget(void *owner, struct crier_logger *logger)
{
    struct crier_pipeline *p = owner;
    pthread_mutex_lock(&p->lock);
    *logger->link = logger->next;
    if (logger->next)
        logger->next->link = logger->link;
    pthread_mutex_unlock(&p->lock);
    unref(p);
}

static const struct crier_logger_ops logger_ops = {emit, adopt, forget};

struct crier_logger *crier_pipeline_logger(struct crier_pipeline *p, const char *name)
{
    return crier_logger_make(&logger_ops, p, name);
}

/* --- life cycle -------------------------------------------------------------------------- */

static void unref(struct crier_pipeline *p)
{
    if (atomic_fetch_sub(&p->refs, 1) > 1)
        return;
    crier_source_fini(&p->face);
    g_ptr_array_free(p->levels, TRUE);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->adding);
    free(p);
}

/* What is left when the thread has ended, or was never started. */
static void close_all(struct crier_pipeline *p)
{
    crier_timer_stop(p->loop, &p->tell);
    crier_router_free(p->router);
    p->router = NULL;
    g_ptr_array_free(p->sinks, TRUE);
    crier_loop_free(p->loop);
    crier_builder_fini(&p->builder);
    if (p->seq_fd >= 0) {
        write_seq(p, p->source.seq);
        close(p->seq_fd);
    }
    crier_source_fini(&p->source);
    crier_state_unlock(p->lock_fd);
    crier_zone_unref(p->zone);
    free(p->folder);
    free(p->state_folder);
}

static char *absolute(const char *folder)
{
    char *here = getcwd(NULL, 0);
    char *path = folder ? crier_path_join(here ? here : "/", folder) : crier_strdup(here);
    free(here);
    return path;
}

/* The fields that the program knows of; the rest is zero. */
static void read_config(struct crier_pipeline_config *c, const struct crier_pipeline_config *given)
{
    *c = (struct crier_pipeline_config){0};
    if (given)
        memcpy(c, given, given->struct_size < sizeof *c ? given->struct_size : sizeof *c);
}

static int open_all(struct crier_pipeline *p, const struct crier_pipeline_config *c,
                    struct crier_err *err)
{
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    crier_source_init(&p->source, c->node ? c->node : host, false, NULL);
    crier_source_init(&p->face, p->source.node, false, NULL);
    crier_builder_init(&p->builder, &p->face);
    int rc = crier_zone_open(c->timezone, &p->zone, err);
    if (rc == 0 && c->state_folder) {
        p->state_folder = absolute(c->state_folder);
        rc = crier_state_lock(p->state_folder, &p->lock_fd, err);
    }
    if (rc == 0 && c->state_folder)
        rc = open_seq(p, err);
    p->folder = absolute(c->folder);
    p->env = (struct crier_sink_env){
        .clock = p->clock, .zone = p->zone, .folder = p->folder, .state_folder = p->state_folder};
    return rc ? rc : start_thread(p, err);
}

static void unref_sink(void *sink)
{
    crier_sink_unref(sink);
}

struct crier_pipeline *crier_pipeline_new(const struct crier_pipeline_config *config,
                                          struct crier_err *err)
{
    struct crier_pipeline *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    struct crier_pipeline_config c;
    if (!p)
        abort();
    memset(p, 0, sizeof *p);
    read_config(&c, config);
    atomic_init(&p->refs, 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->adding, NULL);
    p->clock = crier_clock_real();
    p->lock_fd = p->seq_fd = -1;
    p->sinks = g_ptr_array_new_with_free_func(unref_sink);
    p->levels = g_ptr_array_new_with_free_func(free_level);
    p->router = crier_router_new();
    p->loop = crier_loop_new(p->clock);
    p->tell.fire = on_tell;
    crier_router_on_note(p->router, on_note, p);
    crier_router_on_due(p->router, on_due, p);
    if (open_all(p, &c, err) == 0)
        return p;
    p->stopped = true;
    close_all(p);
    unref(p);
    return NULL;
}

struct stop {
    struct crier_pipeline *p;
    int64_t within;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    guint left;
};

static uint64_t all_dropped(const struct crier_pipeline *p)
{
    uint64_t n = 0;
    for (guint i = 0; i < p->sinks->len; i++) {
        struct crier_sink_stats st;
        crier_sink_stats(p->sinks->pdata[i], &st);
        n += st.dropped;
    }
    return n;
}

static void sink_ended(void *arg)
{
    struct stop *stop = arg;
    pthread_mutex_lock(&stop->lock);
    if (--stop->left == 0)
        pthread_cond_signal(&stop->ended);
    pthread_mutex_unlock(&stop->lock);
}

static void end_sinks(void *arg)
{
    struct stop *stop = arg;
    for (guint i = 0; i < stop->p->sinks->len; i++)
        crier_sink_end(stop->p->sinks->pdata[i], stop->within, sink_ended, stop);
}

/* All at once. What neither is written nor ends in a spool is dropped by its sink. Returns how many
 * records that were. */
static uint64_t stop_sinks(struct crier_pipeline *p, int64_t within)
{
    struct stop stop = {.p = p,
                        .within = within,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .ended = PTHREAD_COND_INITIALIZER,
                        .left = p->sinks->len};
    uint64_t before = all_dropped(p);
    crier_pipeline_call(p, end_sinks, &stop);
    pthread_mutex_lock(&stop.lock);
    while (stop.left)
        pthread_cond_wait(&stop.ended, &stop.lock);
    pthread_mutex_unlock(&stop.lock);
    pthread_mutex_destroy(&stop.lock);
    pthread_cond_destroy(&stop.ended);
    return all_dropped(p) - before;
}

int crier_pipeline_stop(struct crier_pipeline *p, int64_t within, struct crier_err *err)
{
    uint64_t lost = 0;
    pthread_mutex_lock(&p->adding);
    crier_pipeline_call(p, tell_all, p);
    crier_pipeline_call(p, nothing, NULL);
    pthread_mutex_lock(&p->lock);
    bool again = p->stopped;
    p->stopped = true;
    pthread_mutex_unlock(&p->lock);
    if (!again)
        lost = stop_sinks(p, within);
    pthread_mutex_unlock(&p->adding);
    if (!lost)
        return 0;
    return crier_err_set(err, CRIER_ETIMEOUT,
                         "%" PRIu64 " record%s could be neither written in time nor kept: give the "
                         "pipeline a state folder, or more time",
                         lost, lost == 1 ? "" : "s");
}

static void end_loop(void *arg)
{
    crier_loop_stop(arg);
}

void crier_pipeline_free(struct crier_pipeline *p)
{
    if (!p)
        return;
    struct crier_err err = {0};
    if (crier_pipeline_stop(p, STOP_WITHIN, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
    crier_loop_post(p->loop, end_loop, p->loop);
    pthread_join(p->thread, NULL);
    close_all(p);
    unref(p);
}
