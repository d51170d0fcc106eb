/* SPDX-License-Identifier: MIT
 *
 * The whole host in a program: struct crier around crier_host_run.
 */
#include "host/host.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed/logger.h"
#include "script/app.h"

#define EARLY_MAX 1000

/* A caller of crier_reload. */
struct waiter {
    struct waiter *next;
    bool asked; /* the loop has seen it */
    bool skip;  /* the reload that was under way then began before it asked */
    bool done;
    int code;
    char text[256];
};

struct crier {
    atomic_uint refs; /* the handle, each logger, and what is posted */
    char *file, *state_folder, *world;
    struct crier_host_config config;
    struct crier_host_embed embed;
    struct crier_app app;

    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    struct crier_host *host; /* NULL unless it may be posted to; written on the loop */
    bool stop, ended;
    GPtrArray *early; /* records that wait for the start */
    unsigned early_dropped;
    struct waiter *waiters;
    struct crier_err last;
};

static atomic_flag one_runs = ATOMIC_FLAG_INIT;

static void unref(struct crier *c)
{
    if (atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    for (size_t i = 0; i < c->app.count; i++) {
        free(c->app.functions[i]->name);
        free(c->app.functions[i]);
    }
    free(c->app.functions);
    for (guint i = 0; i < c->early->len; i++)
        crier_record_unref(c->early->pdata[i]);
    g_ptr_array_free(c->early, TRUE);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->file);
    free(c->state_folder);
    free(c->world);
    free(c);
}

/* --- on the loop ------------------------------------------------------------------------- */

/* What a logger built has no number yet; the host's own source gives it one. */
static void emit_record(struct crier *c, struct crier_record *r)
{
    struct crier_builder *b = crier_host_builder(c->host);
    struct crier_str logger = crier_record_logger(r), text = crier_record_text(r);
    struct crier_str where = crier_record_where(r);
    struct crier_iter it = crier_record_fields(r);
    struct crier_value v;
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)logger.len, logger.data);
    if (crier_record_level(r) < crier_host_log_level(c->host, name))
        return;
    crier_build_begin(b, crier_record_kind(r), crier_record_level(r), crier_record_time(r));
    crier_build_logger(b, logger.data, logger.len);
    crier_build_text(b, text.data, text.len);
    crier_build_where(b, where.data, where.len);
    while (crier_next(&it, &v))
        crier_build_value(b, v.key.data, v.key.len, &v);
    crier_host_emit(c->host, crier_build_end(b));
}

struct handed {
    struct crier *c;
    struct crier_record *record;
};

static void emit_handed(void *arg)
{
    struct handed *h = arg;
    if (h->c->host)
        emit_record(h->c, h->record);
    crier_record_unref(h->record);
    unref(h->c);
    free(h);
}

static void started(void *arg, struct crier_host *host)
{
    struct crier *c = arg;
    pthread_mutex_lock(&c->lock);
    c->host = host;
    GPtrArray *early = c->early;
    unsigned dropped = c->early_dropped;
    bool stop = c->stop;
    c->early = g_ptr_array_new();
    c->early_dropped = 0;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    for (guint i = 0; i < early->len; i++) {
        emit_record(c, early->pdata[i]);
        crier_record_unref(early->pdata[i]);
    }
    g_ptr_array_free(early, TRUE);
    if (dropped)
        crier_host_system(host, CRIER_LEVEL_WARNING, "dropped",
                          "%u records that were logged before the start were dropped", dropped);
    if (stop)
        crier_host_stop(host, 0);
}

static void ending(void *arg)
{
    struct crier *c = arg;
    pthread_mutex_lock(&c->lock);
    c->host = NULL;
    c->ended = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void keep_error(struct crier *c, int code, const char *text)
{
    pthread_mutex_lock(&c->lock);
    crier_err_set(&c->last, code, "%s", text);
    pthread_mutex_unlock(&c->lock);
}

static void reloaded(void *arg, int code, const char *text)
{
    struct crier *c = arg;
    if (code != 0)
        keep_error(c, code, text);
    pthread_mutex_lock(&c->lock);
    for (struct waiter *w = c->waiters; w; w = w->next) {
        if (!w->asked || w->skip) {
            w->skip = false;
            continue;
        }
        w->done = true;
        w->code = code;
        snprintf(w->text, sizeof w->text, "%s", text);
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void failed(void *arg, int exit_code, const char *text)
{
    static const struct {
        int exit, code;
    } codes[] = {
        {66, CRIER_ENOTFOUND}, {75, CRIER_EBUSY}, {77, CRIER_EDENIED}, {78, CRIER_ECONFIG}};
    int code = CRIER_EINTERNAL;
    for (size_t i = 0; i < CRIER_COUNT(codes); i++) {
        if (codes[i].exit == exit_code)
            code = codes[i].code;
    }
    keep_error(arg, code, text);
}

static void stop_host(void *arg)
{
    struct crier *c = arg;
    if (c->host)
        crier_host_stop(c->host, 0);
    unref(c);
}

/* One loading serves all who have asked by now. */
static void reload_host(void *arg)
{
    struct crier *c = arg;
    bool wanted = false;
    if (c->host) {
        pthread_mutex_lock(&c->lock);
        for (struct waiter *w = c->waiters; w; w = w->next) {
            if (w->asked)
                continue;
            w->asked = wanted = true;
            w->skip = crier_host_reloading(c->host);
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (wanted)
        crier_host_reload(c->host);
    unref(c);
}

/* --- from any thread --------------------------------------------------------------------- */

/* With the lock held, so that the host does not end meanwhile. */
static void post(struct crier *c, void (*fn)(void *arg), void *arg)
{
    atomic_fetch_add(&c->refs, 1);
    crier_loop_post(crier_host_loop(c->host), fn, arg);
}

void crier_stop(struct crier *c)
{
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    if (c->host)
        post(c, stop_host, c);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

int crier_reload(struct crier *c, struct crier_err *err)
{
    struct waiter w = {0};
    pthread_mutex_lock(&c->lock);
    while (!c->host && !c->ended && !c->stop)
        pthread_cond_wait(&c->changed, &c->lock);
    if (!c->host) {
        pthread_mutex_unlock(&c->lock);
        return crier_err_set(err, CRIER_ECANCELED, "cannot reload: the host has ended");
    }
    w.next = c->waiters;
    c->waiters = &w;
    post(c, reload_host, c);
    while (!w.done && c->host)
        pthread_cond_wait(&c->changed, &c->lock);
    struct waiter **at = &c->waiters;
    while (*at != &w)
        at = &(*at)->next;
    *at = w.next;
    pthread_mutex_unlock(&c->lock);
    if (!w.done)
        return crier_err_set(err, CRIER_ECANCELED, "cannot reload: the host is stopping");
    return w.code ? crier_err_set(err, w.code, "%s", w.text) : 0;
}

void crier_last_error(struct crier *c, struct crier_err *err)
{
    pthread_mutex_lock(&c->lock);
    *err = c->last;
    pthread_mutex_unlock(&c->lock);
}

/* --- loggers ----------------------------------------------------------------------------- */

static void hand_over(struct crier *c, struct crier_record *record)
{
    pthread_mutex_lock(&c->lock);
    if (c->host) {
        struct handed *h = crier_malloc(sizeof *h);
        *h = (struct handed){c, record};
        post(c, emit_handed, h);
        record = NULL;
    } else if (!c->ended && c->early->len < EARLY_MAX) {
        g_ptr_array_add(c->early, record);
        record = NULL;
    } else if (!c->ended) {
        c->early_dropped++;
    }
    pthread_mutex_unlock(&c->lock);
    crier_record_unref(record);
}

static void emit(void *owner, const struct crier_logger *logger, enum crier_level level,
                 struct crier_str where, const char *text, const struct crier_value *fields,
                 size_t count)
{
    struct crier_builder *b = crier_logger_builder();
    struct crier_stored who = {
        .time = crier_clock_wall(crier_clock_real()),
        .kind = CRIER_KIND_LOG,
        .level = level,
        .ok = -1,
        .text = {text, strlen(text)},
        .logger = {logger->name, logger->name_len},
        .where = where,
        .node = {"", 0},
    };
    crier_build_restore_begin(b);
    crier_logger_fields(b, logger, fields, count);
    hand_over(owner, crier_build_restore(b, &who));
}

static void adopt(void *owner, struct crier_logger *logger)
{
    struct crier *c = owner;
    atomic_fetch_add(&c->refs, 1);
    atomic_store(&logger->level, CRIER_DEBUG);
}

static void forget(void *owner, struct crier_logger *logger)
{
    (void)logger;
    unref(owner);
}

static const struct crier_logger_ops logger_ops = {emit, adopt, forget};

struct crier_logger *crier_host_logger(struct crier *c, const char *name)
{
    return crier_logger_make(&logger_ops, c, name);
}

/* --- registering ------------------------------------------------------------------------- */

int crier_register_function(struct crier *c, const char *name, crier_function *fn, void *arg,
                            struct crier_err *err)
{
    static const char *const letters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t len = strlen(name);
    if (!len || strspn(name, letters) != len || (name[0] >= '0' && name[0] <= '9'))
        return crier_err_set(err, CRIER_EINVAL,
                             "function '%.60s': a name is letters, digits and '_', no digit first",
                             name);
    for (size_t i = 0; i < c->app.count; i++) {
        if (strcmp(c->app.functions[i]->name, name) == 0)
            return crier_err_set(err, CRIER_EEXIST, "there is a function '%s' already", name);
    }
    struct crier_app_function *f = crier_calloc(1, sizeof *f);
    *f = (struct crier_app_function){crier_strdup(name), fn, arg};
    c->app.functions =
        crier_realloc(c->app.functions, (c->app.count + 1) * sizeof *c->app.functions);
    c->app.functions[c->app.count++] = f;
    return 0;
}

void crier_reply_add(struct crier_reply *reply, struct crier_value value)
{
    value.key = (struct crier_str){"", 0};
    crier_build_given(&reply->b, &value);
}

/* --- life cycle -------------------------------------------------------------------------- */

struct crier *crier_new(const struct crier_app_config *config, struct crier_err *err)
{
    struct crier_app_config g = {0};
    if (config)
        memcpy(&g, config, config->struct_size < sizeof g ? config->struct_size : sizeof g);
    if (!g.file) {
        crier_err_set(err, CRIER_EINVAL, "no script: set `file` of struct crier_app_config");
        return NULL;
    }
    struct crier *c = crier_calloc(1, sizeof *c);
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->early = g_ptr_array_new();
    c->file = crier_strdup(g.file);
    c->state_folder = crier_strdup(g.state_folder);
    c->world = crier_strdup(g.world);
    c->embed = (struct crier_host_embed){.arg = c,
                                         .signals = g.signals,
                                         .app = &c->app,
                                         .started = started,
                                         .ending = ending,
                                         .reloaded = reloaded,
                                         .failed = failed};
    c->config = (struct crier_host_config){.file = c->file,
                                           .state_folder = c->state_folder,
                                           .world = c->world,
                                           .run_for = g.run_for,
                                           .sim = g.sim,
                                           .watch = g.watch,
                                           .embed = &c->embed};
    return c;
}

/* The host changes what these do. */
static const int touched[] = {SIGPIPE, SIGXFSZ, SIGTERM, SIGINT, SIGHUP, SIGUSR1};

int crier_run(struct crier *c)
{
    struct sigaction before[CRIER_COUNT(touched)];
    if (atomic_flag_test_and_set(&one_runs)) {
        failed(c, 75, "another host runs in this process");
        return 75;
    }
    for (size_t i = 0; i < CRIER_COUNT(touched); i++)
        sigaction(touched[i], NULL, &before[i]);
    pthread_mutex_lock(&c->lock);
    c->last = (struct crier_err){0};
    c->ended = false;
    pthread_mutex_unlock(&c->lock);
    int code = crier_host_run(&c->config);
    for (size_t i = 0; i < CRIER_COUNT(touched); i++)
        sigaction(touched[i], &before[i], NULL);
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    c->stop = false;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    atomic_flag_clear(&one_runs);
    return code;
}

void crier_free(struct crier *c)
{
    if (c)
        unref(c);
}
