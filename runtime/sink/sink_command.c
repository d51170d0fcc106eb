/* SPDX-License-Identifier: MIT */
#include "sink/sink_private.h"

#include <stdlib.h>

typedef void query_done_fn(void *arg, struct crier_record **hits, size_t count,
                           const struct crier_err *err);
typedef void change_done_fn(void *arg, uint64_t changed, const struct crier_err *err);
typedef void call_done_fn(void *arg, const json_t *result, const struct crier_err *err);

/* Waits on the sink's list until what was pushed before it is done, then travels to the loop. */
struct sink_command {
    struct sink_command *next;
    enum { FLUSH, QUERY, CHANGE, CALL } what;
    uint64_t mark;
    struct crier_query *query; /* QUERY, CHANGE */
    json_t *json;              /* CHANGE: the fields, or NULL; CALL: the arguments */
    const struct crier_sink_method *method;
    union {
        void (*flush)(void *arg);
        query_done_fn *query;
        change_done_fn *change;
        call_done_fn *call;
    } done;
    void *arg;
    struct crier_record **hits;
    size_t count;
    uint64_t changed;
    json_t *result;
    struct crier_err err;
};

static void deliver(void *arg)
{
    struct sink_command *c = arg;
    switch (c->what) {
    case FLUSH:
        c->done.flush(c->arg);
        break;
    case QUERY:
        c->done.query(c->arg, c->hits, c->count, &c->err);
        break;
    case CHANGE:
        c->done.change(c->arg, c->changed, &c->err);
        break;
    case CALL:
        c->done.call(c->arg, c->result, &c->err);
        break;
    }
    crier_query_free(c->query);
    json_decref(c->json);
    json_decref(c->result);
    free(c);
}

static void run_command(struct crier_sink *s, struct sink_command *c)
{
    int rc = CRIER_OK;
    if (c->what == QUERY) {
        rc = s->driver->query(s->self, c->query, &c->hits, &c->count, &c->err);
        if (rc == CRIER_OK)
            rc = crier_query_finish(c->query, &c->hits, &c->count, &c->err);
    } else if (c->what == CHANGE) {
        rc = s->driver->change(s->self, c->query, c->json, &c->changed, &c->err);
    } else if (c->what == CALL) {
        rc = c->method->run(s->self, c->json, &c->result, &c->err);
    }
    if (rc == CRIER_OK) {
        c->err.code = 0; /* what a driver got over: a file that is not there yet */
        return;
    }
    c->hits = NULL;
    c->count = 0;
    c->err.code = rc;
    crier_err_prefix(&c->err, "sink '%s': ", s->name);
}

/* Whether a command is due, and done if it is. The driver is not bothered while it has a batch that
 * it will answer for later. */
static bool try_command(struct crier_sink *s, struct sink_command *c)
{
    if (c->what != FLUSH && s->failing) {
        c->err = s->last;
        crier_err_prefix(&c->err, "sink '%s' is down: ", s->name);
        return true;
    }
    if (!crier_queue_passed(s->queue, c->mark) || (c->what != FLUSH && s->pending))
        return false;
    run_command(s, c);
    return true;
}

void crier_sink_run_commands(struct crier_sink *s)
{
    struct sink_command *todo, *keep = NULL, **end = &keep;
    if (atomic_load(&s->commands_waiting) == 0)
        return;
    pthread_mutex_lock(&s->lock);
    todo = s->commands;
    s->commands = NULL;
    pthread_mutex_unlock(&s->lock);
    while (todo) {
        struct sink_command *c = todo;
        todo = c->next;
        c->next = NULL;
        if (try_command(s, c)) {
            atomic_fetch_sub(&s->commands_waiting, 1);
            crier_sink_on_loop(s, deliver, c);
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

static void cancel(struct crier_sink *s, struct sink_command *c)
{
    if (c->what != FLUSH)
        crier_err_set(&c->err, CRIER_ECANCELED, "sink '%s' has been stopped", s->name);
    crier_sink_on_loop(s, deliver, c);
}

void crier_sink_cancel_commands(struct crier_sink *s)
{
    while (s->commands) {
        struct sink_command *c = s->commands;
        s->commands = c->next;
        atomic_fetch_sub(&s->commands_waiting, 1);
        cancel(s, c);
    }
}

static void add_command(struct crier_sink *s, struct sink_command *c)
{
    struct sink_command **end = &s->commands;
    if (atomic_load(&s->stopped)) {
        cancel(s, c);
        return;
    }
    c->mark = crier_queue_mark(s->queue);
    pthread_mutex_lock(&s->lock);
    while (*end)
        end = &(*end)->next;
    *end = c;
    atomic_fetch_add(&s->commands_waiting, 1);
    pthread_mutex_unlock(&s->lock);
    struct crier_worker *worker = atomic_load(&s->worker);
    if (worker)
        crier_worker_wake(worker);
}

static struct sink_command *make(int what, void *arg)
{
    struct sink_command *c = crier_calloc(1, sizeof *c);
    c->what = what;
    c->arg = arg;
    return c;
}

/* The kind cannot do it. */
static void refuse(struct crier_sink *s, struct sink_command *c, const char *what, const char *why)
{
    crier_err_set(&c->err, CRIER_EINVAL, "sink '%s' (%s) cannot be %s%s%s", s->name,
                  s->driver->kind, what, why ? ": " : "", why ? why : "");
    crier_sink_on_loop(s, deliver, c);
}

void crier_sink_flush(struct crier_sink *s, void (*done)(void *arg), void *arg)
{
    struct sink_command *c = make(FLUSH, arg);
    c->done.flush = done;
    add_command(s, c);
}

void crier_sink_query(struct crier_sink *s, struct crier_query *query, query_done_fn *done,
                      void *arg)
{
    struct sink_command *c = make(QUERY, arg);
    c->query = query;
    c->done.query = done;
    if (s->driver->query)
        add_command(s, c);
    else
        refuse(s, c, "read", s->driver->cannot_read);
}

void crier_sink_change(struct crier_sink *s, struct crier_query *query, json_t *fields,
                       change_done_fn *done, void *arg)
{
    struct sink_command *c = make(CHANGE, arg);
    c->query = query;
    c->json = fields;
    c->done.change = done;
    if (s->driver->change)
        add_command(s, c);
    else
        refuse(s, c, "changed", s->driver->query ? NULL : s->driver->cannot_read);
}

void crier_sink_call(struct crier_sink *s, const struct crier_sink_method *method, json_t *args,
                     call_done_fn *done, void *arg)
{
    struct sink_command *c = make(CALL, arg);
    c->method = method;
    c->json = args;
    c->done.call = done;
    add_command(s, c);
}
