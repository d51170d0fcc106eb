/* SPDX-License-Identifier: MIT
 *
 * For tests of delivery: sinks of a driver that does as it is told and remembers, on a virtual or a
 * real clock, in a folder of their own.
 */
#ifndef SINK_FAKE_SUPPORT_H
#define SINK_FAKE_SUPPORT_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "record/build.h"
#include "sink/registry.h"

/* One a name; outlives the sinks of that name. Written by one worker at a time, read by the test
 * when that is at rest. */
struct fake {
    char name[16];
    uint64_t *seq; /* of what was written */
    size_t count, cap;
    atomic_size_t first_batch; /* size of the first batch since the last opening */
    int64_t tries[64];         /* when writes came */
    size_t try_count;
    _Atomic(enum crier_verdict) verdict; /* of the next writes; RETRY_LATER etc. store nothing */
    atomic_bool hang;                    /* write does not return before it is let go */
    atomic_int writing;                  /* writes under way: never two */
    atomic_int opened, closed, interrupted;
    struct crier_sink *sink; /* attached */
    struct crier_rng rng;    /* for the test's own `write` */
};

static struct fake fakes[4];
static char folder[64];
static struct crier_clock *the_clock;
static struct crier_loop *loop;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder builder;

static struct fake *fake_named(const char *name)
{
    for (size_t i = 0; i < CRIER_COUNT(fakes); i++) {
        if (!fakes[i].name[0])
            snprintf(fakes[i].name, sizeof fakes[i].name, "%s", name);
        if (strcmp(fakes[i].name, name) == 0)
            return &fakes[i];
    }
    abort();
}

static int fake_open(const struct crier_sink_env *e, const struct crier_options *options,
                     const char *name, void **self, struct crier_err *err)
{
    struct fake *f = fake_named(name);
    (void)e, (void)options, (void)err;
    f->first_batch = 0;
    atomic_fetch_add(&f->opened, 1);
    *self = f;
    return CRIER_OK;
}

static void fake_note(struct fake *f, const struct crier_record *record)
{
    if (f->count == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 1024;
        f->seq = crier_realloc(f->seq, f->cap * sizeof *f->seq);
    }
    f->seq[f->count++] = crier_record_seq(record);
}

static enum crier_verdict fake_write(void *self, struct crier_record *const *records, size_t count,
                                     size_t *done, struct crier_err *err)
{
    struct fake *f = self;
    if (atomic_fetch_add(&f->writing, 1) != 0)
        abort();
    if (f->first_batch == 0)
        f->first_batch = count;
    if (f->try_count < CRIER_COUNT(f->tries))
        f->tries[f->try_count++] = crier_clock_mono(the_clock);
    while (atomic_load(&f->hang))
        usleep(100);
    enum crier_verdict verdict = atomic_load(&f->verdict);
    if (verdict == CRIER_WRITTEN)
        for (size_t i = 0; i < count; i++)
            fake_note(f, records[i]);
    else if (verdict != CRIER_PENDING)
        crier_err_set(err, CRIER_ENET, "no connection");
    *done = 0;
    atomic_fetch_sub(&f->writing, 1);
    return verdict;
}

static int fake_query(void *self, const struct crier_query *query, struct crier_record ***hits,
                      size_t *count, struct crier_err *err)
{
    (void)self, (void)query, (void)err;
    *hits = NULL;
    *count = 0;
    return CRIER_OK;
}

static int fake_change(void *self, const struct crier_query *query, const json_t *fields,
                       uint64_t *changed, struct crier_err *err)
{
    (void)query, (void)err;
    *changed = ((struct fake *)self)->count + (fields ? 1000 : 0);
    return CRIER_OK;
}

static int fake_method(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    (void)self;
    if (json_array_size(args) == 0)
        return crier_err_set(err, CRIER_EINVAL, "an argument is missing");
    *result = json_pack("{s:O}", "got", json_array_get(args, 0));
    return CRIER_OK;
}

static void fake_close(void *self)
{
    struct fake *f = self;
    if (atomic_load(&f->writing) != 0)
        abort();
    atomic_fetch_add(&f->closed, 1);
}

static void fake_attach(void *self, struct crier_sink *sink, struct crier_loop *l)
{
    (void)l;
    ((struct fake *)self)->sink = sink;
}

static void fake_interrupt(void *self)
{
    atomic_fetch_add(&((struct fake *)self)->interrupted, 1);
}

static const struct crier_sink_method fake_methods[] = {
    {"echo", "fake:echo(1)", "gives it back", fake_method, false},
    {NULL, NULL, NULL, NULL, false},
};

static const struct crier_sink_driver fake_driver = {
    .kind = "fake",
    .kinds = 1u << CRIER_KIND_LOG,
    .overflow = "spill",
    .open = fake_open,
    .write = fake_write,
    .close = fake_close,
    .query = fake_query,
    .change = fake_change,
    .methods = fake_methods,
    .attach = fake_attach,
    .interrupt = fake_interrupt,
};

/* The same on the loop thread. */
static struct crier_sink_driver fake_on_loop;

/* ---- events ---- */

static struct {
    char what[64][16], text[64][512];
    size_t count;
} events;

static void on_event(void *arg, struct crier_sink *s, const char *what, const char *text)
{
    (void)arg, (void)s;
    if (events.count == 64)
        return;
    snprintf(events.what[events.count], 16, "%s", what);
    snprintf(events.text[events.count++], 512, "%s", text);
}

static inline size_t told(const char *what)
{
    size_t n = 0;
    for (size_t i = 0; i < events.count; i++)
        n += strcmp(events.what[i], what) == 0;
    return n;
}

static inline const char *text_of(const char *what)
{
    for (size_t i = events.count; i-- > 0;)
        if (strcmp(events.what[i], what) == 0)
            return events.text[i];
    return "";
}

/* ---- a host around it ---- */

static void begin(struct crier_clock *clock)
{
    uint64_t seed = 1;
    strcpy(folder, "/tmp/crier-deliver-XXXXXX");
    assert_non_null(mkdtemp(folder));
    memset(fakes, 0, sizeof fakes);
    memset(&events, 0, sizeof events);
    fake_on_loop = fake_driver;
    fake_on_loop.on_loop = true;
    the_clock = clock;
    loop = crier_loop_new(clock);
    env = (struct crier_sink_env){.clock = clock, .folder = folder, .state_folder = folder};
    crier_source_init(&source, "n", false, &seed);
    crier_builder_init(&builder, &source);
}

static inline int setup(void **state)
{
    (void)state;
    begin(crier_clock_virtual(1700000000 * CRIER_S));
    return 0;
}

static inline int setup_live(void **state)
{
    (void)state;
    begin(crier_clock_real());
    return 0;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    crier_loop_free(loop);
    crier_clock_free(the_clock);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    for (size_t i = 0; i < CRIER_COUNT(fakes); i++)
        free(fakes[i].seq);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

struct how {
    int64_t queue, batch, flush, times, delay, spool;
    const char *overflow;
    bool durable;
    const struct crier_sink_driver *driver;
};

static struct crier_option_value *value(struct crier_options *o, const char *name)
{
    return (struct crier_option_value *)crier_options_get(o, name);
}

static int try_open(const char *name, struct how how, struct crier_sink **out,
                    struct crier_err *err)
{
    struct crier_options common, options;
    const struct crier_sink_driver *driver = how.driver ? how.driver : &fake_driver;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, driver->options, driver->option_count);
    if (how.queue)
        value(&common, "queue")->i = how.queue;
    value(&common, "batch")->set = how.batch > 0;
    if (how.batch)
        value(&common, "batch")->i = how.batch;
    if (how.times)
        value(&common, "retry.times")->i = how.times;
    if (how.spool)
        value(&common, "spool")->i = how.spool;
    value(&common, "retry.delay")->i = how.delay;
    value(&common, "flush")->i = how.flush;
    value(&common, "durable")->set = true;
    value(&common, "durable")->i = how.durable;
    if (how.overflow) {
        value(&common, "overflow")->set = true;
        value(&common, "overflow")->s = crier_strdup(how.overflow);
    }
    return crier_sink_open(driver, name, &common, &options, &env, out, err);
}

static struct crier_sink *open_sink(const char *name, struct how how)
{
    struct crier_sink *sink = NULL;
    struct crier_err err = {0};
    int rc = try_open(name, how, &sink, &err);
    if (rc)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    crier_sink_on_event(sink, on_event, NULL);
    return sink;
}

static struct crier_sink *start_sink(const char *name, struct how how)
{
    struct crier_sink *sink = open_sink(name, how);
    crier_sink_start(sink, loop);
    return sink;
}

static inline struct crier_record *make_record(void)
{
    char text[200];
    crier_build_begin(&builder, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(the_clock));
    snprintf(text, sizeof text, "record %llu, and some text behind it",
             (unsigned long long)source.seq + 1);
    crier_build_text(&builder, text, strlen(text));
    crier_build_logger(&builder, "t", 1);
    return crier_build_end(&builder);
}

static inline void push(struct crier_sink *sink, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct crier_record *record = make_record();
        crier_sink_push(sink, record);
        crier_record_unref(record);
    }
}

static struct crier_sink_stats stats_of(struct crier_sink *sink)
{
    struct crier_sink_stats s;
    crier_sink_stats(sink, &s);
    return s;
}

static void check_books(struct crier_sink *sink)
{
    struct crier_sink_stats s = stats_of(sink);
    assert_int_equal(s.accepted, s.written + s.queued + s.spilled + s.rejected + s.dropped);
}

/* What was written is from .. from + count - 1, each once and in order. */
static inline void check_written(const char *name, uint64_t from, size_t count)
{
    struct fake *f = fake_named(name);
    assert_int_equal(f->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(f->seq[i], from + i);
}

static inline void run_for(int64_t us)
{
    crier_loop_run(loop, crier_loop_now(loop) + us);
}

/* Stop and forget. */
static void stop_sink(struct crier_sink *sink)
{
    crier_sink_stop(sink, 0);
    check_books(sink);
    crier_sink_unref(sink);
    run_for(0);
}

#endif
