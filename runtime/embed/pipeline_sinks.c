/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "embed/pipeline.h"

/* --- sinks ------------------------------------------------------------------------------- */

static void on_event(void *arg, struct crier_sink *sink, const char *what, const char *text)
{
    char name[32];
    (void)sink;
    snprintf(name, sizeof name, "sink.%s", what);
    crier_pipeline_system(arg, strcmp(what, "ok") == 0 ? CRIER_INFO : CRIER_LEVEL_WARNING, name,
                          text);
}

static int no_such(const char *noun, const char *name, const char *const *names, size_t n, int code,
                   struct crier_err *err)
{
    const char *near = crier_nearest(name, names, n);
    if (near)
        return crier_err_set(err, code, "there is no %s '%.60s' (did you mean '%s'?)", noun, name,
                             near);
    struct crier_buf known = {0};
    for (size_t i = 0; i < n; i++)
        crier_buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
    crier_err_set(err, code, "there is no %s '%.60s' (%s%s)", noun, name,
                  n ? "there are: " : "there is none", known.data ? known.data : "");
    crier_buf_fini(&known);
    return code;
}

/* The sink of this name, with a reference for the caller; NULL after an error that names the
 * nearest. */
static struct crier_sink *find(struct crier_pipeline *p, const char *name, struct crier_err *err)
{
    struct crier_sink *found = NULL;
    pthread_mutex_lock(&p->lock);
    const char **names = crier_calloc(p->sinks->len + 1, sizeof *names);
    for (guint i = 0; i < p->sinks->len; i++) {
        struct crier_sink *sink = p->sinks->pdata[i];
        names[i] = crier_sink_name(sink);
        if (strcmp(names[i], name) == 0)
            found = crier_sink_ref(sink);
    }
    if (!found)
        no_such("sink", name, names, p->sinks->len, CRIER_ENOTFOUND, err);
    pthread_mutex_unlock(&p->lock);
    free(names);
    return found;
}

static const struct crier_sink_driver *find_kind(const char *kind, struct crier_err *err)
{
    const struct crier_sink_driver *driver = crier_sink_driver_find(kind);
    const char *names[64];
    size_t n = 0;
    if (driver)
        return driver;
    for (; crier_sink_drivers[n] && n < CRIER_COUNT(names); n++)
        names[n] = crier_sink_drivers[n]->kind;
    no_such("kind of sink", kind, names, n, CRIER_ECONFIG, err);
    return NULL;
}

/* One table of the kind's options and those that all have, as a script sees them, too. */
struct joined {
    struct crier_option *table;
    size_t own, count;
};

static struct joined join(const struct crier_sink_driver *driver)
{
    struct joined j = {.own = driver->option_count};
    j.count = j.own + crier_sink_common_count;
    j.table = crier_calloc(j.count + 1, sizeof *j.table);
    for (size_t i = 0; i < j.own; i++)
        j.table[i] = driver->options[i];
    for (size_t i = 0; i < crier_sink_common_count; i++) {
        j.table[j.own + i] = crier_sink_common_options[i];
        /* A sink in Lua, the name of one here. */
        if (strcmp(j.table[j.own + i].name, "fallback") == 0)
            j.table[j.own + i].type = CRIER_OPT_STRING;
    }
    return j;
}

/* The values from `from` on, as options of the table that they were joined from. */
static void part(struct crier_options *o, size_t from, const struct crier_option *table,
                 size_t count, struct crier_options *out)
{
    crier_options_init(out, table, count);
    for (size_t i = 0; i < count; i++) {
        struct crier_option_value old = out->values[i];
        out->values[i] = o->values[from + i];
        o->values[from + i] = old;
    }
}

/* A default path is as relative to the folder as a given one. */
static void resolve_paths(const char *folder, struct crier_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->table[i].type != CRIER_OPT_PATH || !o->values[i].s || o->values[i].s[0] == '/')
            continue;
        char *path = crier_path_join(folder, o->values[i].s);
        free(o->values[i].s);
        o->values[i].s = path;
    }
}

static const struct crier_option_value *value_of(const struct crier_options *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->table[i].name, name) == 0)
            return &o->values[i];
    }
    return NULL;
}

struct adding {
    struct crier_pipeline *p;
    struct crier_sink *sink, *fallback;
};

static void start_sink(void *arg)
{
    struct adding *a = arg;
    crier_sink_on_event(a->sink, on_event, a->p);
    if (a->fallback)
        crier_sink_set_fallback(a->sink, a->fallback);
    crier_sink_start(a->sink, a->p->loop);
    pthread_mutex_lock(&a->p->lock);
    g_ptr_array_add(a->p->sinks, a->sink);
    crier_router_add_sink(a->p->router, a->sink);
    pthread_mutex_unlock(&a->p->lock);
}

static int check_name(struct crier_pipeline *p, const char *name, struct crier_err *err)
{
    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
        strlen(name))
        return crier_err_set(err, CRIER_ECONFIG,
                             "sink '%.60s': use letters, digits, '_' and '-' in its name", name);
    struct crier_sink *other = find(p, name, NULL);
    if (!other)
        return 0;
    crier_sink_unref(other);
    return crier_err_set(err, CRIER_EEXIST,
                         "there is a sink '%s' already: give each a name of its own", name);
}

static int add_sink(struct crier_pipeline *p, const struct crier_sink_driver *driver,
                    struct crier_options *all, size_t own, struct crier_err *err)
{
    const struct crier_option_value *v = value_of(all, "name");
    const struct crier_option_value *other = value_of(all, "fallback");
    char *name = crier_strdup(v && v->s ? v->s : driver->kind);
    struct adding a = {.p = p};
    int rc = check_name(p, name, err);
    if (rc == 0 && other && other->s) {
        a.fallback = find(p, other->s, err);
        rc = a.fallback ? 0 : crier_err_prefix(err, "sink '%s': option 'fallback': ", name);
    }
    if (rc == 0) {
        struct crier_options common, options;
        part(all, 0, driver->options, own, &options);
        part(all, own, crier_sink_common_options, crier_sink_common_count, &common);
        resolve_paths(p->folder, &options);
        rc = crier_sink_open(driver, name, &common, &options, &p->env, &a.sink, err);
    }
    if (rc == 0)
        crier_pipeline_call(p, start_sink, &a);
    if (a.fallback)
        crier_sink_unref(a.fallback);
    free(name);
    return rc;
}

/* "sink 'log'" for what is said of the options, before they are read. */
static void object_name(const char *kind, const char *options, char out[96])
{
    json_t *o = options ? json_loads(options, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(o, "name"));
    snprintf(out, 96, "sink '%.80s'", name ? name : kind);
    json_decref(o);
}

static int stopped(struct crier_pipeline *p, struct crier_err *err)
{
    pthread_mutex_lock(&p->lock);
    bool yes = p->stopped;
    pthread_mutex_unlock(&p->lock);
    return yes ? crier_err_set(err, CRIER_ECANCELED, "the pipeline has been stopped") : 0;
}

int crier_pipeline_sink(struct crier_pipeline *p, const char *kind, const char *options,
                        struct crier_err *err)
{
    const struct crier_sink_driver *driver = find_kind(kind, err);
    char object[96];
    if (!driver)
        return CRIER_ECONFIG;
    object_name(kind, options, object);
    struct crier_given g = {.object = object, .folder = p->folder, .err = err};
    if (crier_given_open(&g, options) != 0)
        return CRIER_ECONFIG;
    struct joined j = join(driver);
    struct crier_options all;
    crier_given_options(&g, j.table, j.count, &all);
    int rc = crier_given_close(&g);
    pthread_mutex_lock(&p->adding);
    if (rc == 0)
        rc = stopped(p, err);
    if (rc == 0)
        rc = add_sink(p, driver, &all, j.own, err);
    pthread_mutex_unlock(&p->adding);
    crier_options_fini(&all);
    free(j.table);
    return rc;
}

/* --- rules ------------------------------------------------------------------------------- */

static void add_target(struct crier_pipeline *p, struct crier_given *g, const char *name,
                       struct crier_rule *rule)
{
    struct crier_err err = {0};
    struct crier_sink *sink = find(p, name, &err);
    if (!sink) {
        crier_given_fault(g, "to", NULL, "option 'to': %s", err.text);
        return;
    }
    rule->to = crier_realloc(rule->to, (rule->to_count + 1) * sizeof *rule->to);
    rule->to[rule->to_count++] = sink;
}

static const struct crier_option rule_options[] = {
    {.name = "match", .type = CRIER_OPT_OBJECT},
    {.name = "unless", .type = CRIER_OPT_OBJECT},
    {.name = "otherwise", .type = CRIER_OPT_BOOL},
    {.name = "to",
     .type = CRIER_OPT_STRINGS,
     .flags = CRIER_OPT_REQUIRED,
     .help = "the name of a sink, or a list of names"},
    {.name = "copy", .type = CRIER_OPT_BOOL},
    {.name = "now", .type = CRIER_OPT_BOOL},
    {.name = "dedupe", .type = CRIER_OPT_DURATION, .min = 1},
    {.name = "sample", .type = CRIER_OPT_NUMBER},
    {.name = "rate", .type = CRIER_OPT_STRING},
};

static void read_limits(struct crier_given *g, const struct crier_options *o,
                        struct crier_rule *rule)
{
    const struct crier_option_value *sample = crier_options_get(o, "sample");
    const struct crier_option_value *rate = crier_options_get(o, "rate");
    rule->sample = sample->n;
    if (sample->set && !(sample->n > 0 && sample->n <= 1))
        crier_given_fault(g, "sample", "0.1 sends every tenth",
                          "option 'sample' must be above 0 and at most 1, got %.14g", sample->n);
    if (rate->set && !crier_rule_parse_rate(rate->s, rule))
        crier_given_fault(g, "rate", "\"100/1m\": at most 100 a minute",
                          "option 'rate' must be a number of records and a time, got \"%.40s\"",
                          rate->s);
}

static void read_rule(struct crier_pipeline *p, struct crier_given *g, struct crier_rule *rule)
{
    struct crier_options o;
    crier_given_options(g, rule_options, CRIER_COUNT(rule_options), &o);
    const struct crier_option_value *to = crier_options_get(&o, "to");
    rule->query = crier_given_match(g, "match");
    rule->unless = crier_given_match(g, "unless");
    for (size_t i = 0; i < to->count; i++)
        add_target(p, g, to->list[i], rule);
    rule->otherwise = crier_options_get(&o, "otherwise")->i;
    rule->copy = crier_options_get(&o, "copy")->i;
    rule->now = crier_options_get(&o, "now")->i;
    rule->dedupe = crier_options_get(&o, "dedupe")->i;
    read_limits(g, &o, rule);
    if (rule->otherwise && rule->query)
        crier_given_fault(g, "otherwise", "take one", "'match' and 'otherwise' exclude each other");
    crier_options_fini(&o);
}

static void free_rule(struct crier_rule *rule)
{
    for (size_t i = 0; i < rule->to_count; i++)
        crier_sink_unref(rule->to[i]);
    crier_query_free(rule->query);
    crier_query_free(rule->unless);
    free(rule->to);
    free(rule->where);
}

int crier_pipeline_route(struct crier_pipeline *p, const char *text, struct crier_err *err)
{
    struct crier_given g = {.object = "route",
                            .folder = p->folder,
                            .zone = p->zone,
                            .now = crier_clock_wall(p->clock),
                            .err = err};
    struct crier_rule rule = {0};
    if (crier_given_open(&g, text) != 0)
        return CRIER_ECONFIG;
    pthread_mutex_lock(&p->adding);
    int rc = stopped(p, err);
    if (rc == 0)
        read_rule(p, &g, &rule);
    int faults = crier_given_close(&g);
    rc = rc ? rc : faults;
    if (rc == 0) {
        rule.where = crier_strdup("crier_pipeline_route");
        pthread_mutex_lock(&p->lock);
        crier_router_add_rule(p->router, &rule);
        pthread_mutex_unlock(&p->lock);
    } else {
        free_rule(&rule);
    }
    pthread_mutex_unlock(&p->adding);
    return rc;
}

/* --- waiting for the loop ---------------------------------------------------------------- */

/* Freed by whoever is last: the thread that waits, or the last answer. */
struct wait {
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct crier_pipeline *p;
    struct crier_sink *sink; /* of a query */
    struct crier_query *query;
    struct crier_record **hits;
    size_t count, pending, refs;
    struct flush {
        struct wait *wait;
        struct crier_sink *sink;
        bool done;
    } * flushes;
    size_t flush_count;
    struct crier_err err;
};

static struct wait *new_wait(struct crier_pipeline *p)
{
    struct wait *w = crier_calloc(1, sizeof *w);
    pthread_condattr_t attr;
    w->p = p;
    w->refs = 1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->done, &attr);
    pthread_condattr_destroy(&attr);
    return w;
}

/* With the lock held; lets go of it. */
static void drop_wait(struct wait *w)
{
    bool last = --w->refs == 0;
    pthread_mutex_unlock(&w->lock);
    if (!last)
        return;
    for (size_t i = 0; i < w->flush_count; i++)
        crier_sink_unref(w->flushes[i].sink);
    for (size_t i = 0; i < w->count; i++)
        crier_record_unref(w->hits[i]);
    if (w->sink)
        crier_sink_unref(w->sink);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->done);
    free(w->flushes);
    free(w->hits);
    free(w);
}

static void answered(struct wait *w)
{
    w->pending--;
    pthread_cond_signal(&w->done);
    drop_wait(w);
}

/* --- flushing ---------------------------------------------------------------------------- */

static void flushed(void *arg)
{
    struct flush *flush = arg;
    pthread_mutex_lock(&flush->wait->lock);
    flush->done = true;
    answered(flush->wait);
}

static void start_flush(void *arg)
{
    struct wait *w = arg;
    for (size_t i = 0; i < w->flush_count; i++)
        crier_sink_flush(w->flushes[i].sink, flushed, &w->flushes[i]);
}

static struct wait *prepare_flush(struct crier_pipeline *p)
{
    struct wait *w = new_wait(p);
    pthread_mutex_lock(&p->lock);
    w->flush_count = p->sinks->len;
    w->flushes = crier_calloc(w->flush_count + 1, sizeof *w->flushes);
    for (guint i = 0; i < p->sinks->len; i++)
        w->flushes[i] = (struct flush){.wait = w, .sink = crier_sink_ref(p->sinks->pdata[i])};
    pthread_mutex_unlock(&p->lock);
    w->pending = w->flush_count;
    w->refs += w->flush_count;
    return w;
}

int crier_pipeline_flush(struct crier_pipeline *p, int64_t within, struct crier_err *err)
{
    int64_t end = crier_clock_mono(p->clock) + within;
    struct timespec ts = {.tv_sec = end / CRIER_S, .tv_nsec = end % CRIER_S * 1000};
    struct wait *w = prepare_flush(p);
    int rc = 0;
    crier_pipeline_call(p, start_flush, w);
    pthread_mutex_lock(&w->lock);
    while (w->pending && rc == 0)
        rc = pthread_cond_timedwait(&w->done, &w->lock, &ts);
    rc = 0;
    for (size_t i = 0; i < w->flush_count && rc == 0; i++) {
        struct crier_sink_stats st;
        if (w->flushes[i].done)
            continue;
        crier_sink_stats(w->flushes[i].sink, &st);
        rc = crier_err_set(err, CRIER_ETIMEOUT,
                           "sink '%s' still has %" PRIu64 " record%s to write%s%s",
                           crier_sink_name(w->flushes[i].sink), st.queued + st.spilled,
                           st.queued + st.spilled == 1 ? "" : "s", st.failing ? ": " : "",
                           st.failing ? st.last_error : "");
    }
    drop_wait(w);
    return rc;
}

/* --- asking ------------------------------------------------------------------------------ */

static void queried(void *arg, struct crier_record **hits, size_t count,
                    const struct crier_err *err)
{
    struct wait *w = arg;
    pthread_mutex_lock(&w->lock);
    w->hits = hits;
    w->count = count;
    if (err)
        w->err = *err;
    answered(w);
}

static void start_query(void *arg)
{
    struct wait *w = arg;
    crier_sink_query(w->sink, w->query, queried, w);
}

static const struct crier_option query_options[] = {
    {.name = "match", .type = CRIER_OPT_OBJECT},
    {.name = "order", .type = CRIER_OPT_STRING},
    {.name = "desc", .type = CRIER_OPT_BOOL},
    {.name = "offset", .type = CRIER_OPT_INT, .min = 0, .max = INT64_MAX},
    {.name = "limit", .type = CRIER_OPT_INT, .min = 0, .max = INT64_MAX},
};

static int read_query(struct crier_pipeline *p, const char *text, struct crier_query **out,
                      struct crier_err *err)
{
    struct crier_given g = {
        .object = "query", .zone = p->zone, .now = crier_clock_wall(p->clock), .err = err};
    struct crier_options o;
    if (crier_given_open(&g, text) != 0)
        return CRIER_ECONFIG;
    crier_given_options(&g, query_options, CRIER_COUNT(query_options), &o);
    *out = json_object_get(g.root, "match") ? crier_given_match(&g, "match")
                                            : crier_query_new(p->zone);
    const struct crier_option_value *order = crier_options_get(&o, "order");
    const struct crier_option_value *limit = crier_options_get(&o, "limit");
    if (*out && order->s)
        crier_query_order(*out, order->s, crier_options_get(&o, "desc")->i);
    if (*out)
        (*out)->offset = (size_t)crier_options_get(&o, "offset")->i;
    if (*out && limit->set)
        (*out)->limit = (size_t)limit->i;
    crier_options_fini(&o);
    int rc = crier_given_close(&g);
    if (rc != 0)
        crier_query_free(*out);
    return rc;
}

static long ask(struct wait *w, bool (*fn)(void *arg, struct crier_record *record), void *arg,
                struct crier_err *err)
{
    w->pending = 1;
    w->refs++;
    crier_pipeline_call(w->p, start_query, w);
    pthread_mutex_lock(&w->lock);
    while (w->pending)
        pthread_cond_wait(&w->done, &w->lock);
    long told = 0;
    if (w->err.code && err)
        *err = w->err;
    if (w->err.code)
        told = w->err.code;
    for (size_t i = 0; i < w->count; i++) {
        told++;
        if (fn && !fn(arg, w->hits[i]))
            break;
    }
    drop_wait(w);
    return told;
}

long crier_pipeline_query(struct crier_pipeline *p, const char *sink, const char *query,
                          bool (*fn)(void *arg, struct crier_record *record), void *arg,
                          struct crier_err *err)
{
    struct crier_query *q = NULL;
    struct crier_sink *s = find(p, sink, err);
    if (!s)
        return CRIER_ENOTFOUND;
    int rc = read_query(p, query, &q, err);
    if (rc != 0) {
        crier_sink_unref(s);
        return rc;
    }
    struct wait *w = new_wait(p);
    w->sink = s;
    w->query = q;
    return ask(w, fn, arg, err);
}

/* --- the rest ---------------------------------------------------------------------------- */

static void reopen(void *arg)
{
    struct crier_pipeline *p = arg;
    for (guint i = 0; i < p->sinks->len; i++)
        crier_sink_reopen(p->sinks->pdata[i]);
}

void crier_pipeline_reopen(struct crier_pipeline *p)
{
    crier_pipeline_call(p, reopen, p);
}

int crier_pipeline_counts(struct crier_pipeline *p, const char *sink,
                          struct crier_sink_counts *counts, struct crier_err *err)
{
    struct crier_sink_stats st;
    struct crier_sink *s = find(p, sink, err);
    if (!s)
        return CRIER_ENOTFOUND;
    crier_sink_stats(s, &st);
    crier_sink_unref(s);
    struct crier_sink_counts all = {
        .struct_size = counts->struct_size,
        .accepted = st.accepted,
        .written = st.written,
        .queued = st.queued,
        .spilled = st.spilled,
        .rejected = st.rejected,
        .dropped = st.dropped,
        .retries = st.retries,
        .copied = st.copied,
        .failing = st.failing,
    };
    snprintf(all.last_error, sizeof all.last_error, "%s", st.last_error);
    memcpy(counts, &all, counts->struct_size < sizeof all ? counts->struct_size : sizeof all);
    return 0;
}
