/* SPDX-License-Identifier: MIT */
#include <dirent.h>
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
#include "record/build.h"
#include "sink/registry.h"

/* ---- a driver that does as it is told, and remembers ---- */

struct seen {
    uint64_t *seq;
    size_t count, cap;
};

struct fake {
    struct seen written, rejected, dropped;
    size_t largest;
    int (*verdict)(struct fake *fake, struct crier_record *const *records, size_t count,
                   size_t *done);
    unsigned failures; /* writes that ask for a retry before one succeeds */
    int64_t tries[64]; /* when writes came */
    size_t try_count;
    useconds_t nap;
    atomic_bool held; /* write does not return before it is let go */
    struct crier_rng rng;
    struct crier_clock *clock;
    size_t opened, closed, reopened, idled;
};

static struct fake fake;

static void note(struct seen *seen, const struct crier_record *record)
{
    if (seen->count == seen->cap) {
        seen->cap = seen->cap ? seen->cap * 2 : 1024;
        seen->seq = crier_realloc(seen->seq, seen->cap * sizeof *seen->seq);
    }
    seen->seq[seen->count++] = crier_record_seq(record);
}

static int fake_open(const struct crier_sink_env *env, const struct crier_options *options,
                     const char *name, void **self, struct crier_err *err)
{
    (void)options;
    if (strcmp(name, "refused") == 0)
        return crier_err_set(err, CRIER_EIO, "no room");
    fake.clock = env->clock;
    fake.opened++;
    *self = &fake;
    return 0;
}

static enum crier_verdict fake_write(void *self, struct crier_record *const *records, size_t count,
                                     size_t *done, struct crier_err *err)
{
    struct fake *f = self;
    int verdict = CRIER_WRITTEN;
    if (f->try_count < CRIER_COUNT(f->tries))
        f->tries[f->try_count++] = crier_clock_mono(f->clock);
    while (atomic_load(&f->held))
        usleep(100);
    if (f->nap)
        usleep(f->nap);
    if (count > f->largest)
        f->largest = count;
    *done = count;
    if (f->failures > 0) {
        f->failures--;
        *done = 0;
        crier_err_set(err, CRIER_ENET, "no connection");
        return CRIER_RETRY_LATER;
    }
    if (f->verdict) {
        verdict = f->verdict(f, records, count, done);
        if (verdict != CRIER_WRITTEN)
            crier_err_set(err, CRIER_EINVAL, "as the test wants");
    }
    for (size_t i = 0; i < *done; i++)
        note(&f->written, records[i]);
    if (verdict == CRIER_REJECTED)
        note(&f->rejected, records[*done]);
    for (size_t i = *done; verdict == CRIER_DROPPED && i < count; i++)
        note(&f->dropped, records[i]);
    return (enum crier_verdict)verdict;
}

static int64_t fake_idle(void *self, int64_t now)
{
    (void)now;
    ((struct fake *)self)->idled++;
    return CRIER_NEVER;
}

static void fake_reopen(void *self)
{
    ((struct fake *)self)->reopened++;
}

static void fake_close(void *self)
{
    ((struct fake *)self)->closed++;
}

static const struct crier_sink_driver driver = {
    .kind = "fake",
    .kinds = 1u << CRIER_KIND_LOG,
    .overflow = "spill",
    .open = fake_open,
    .write = fake_write,
    .idle = fake_idle,
    .reopen = fake_reopen,
    .close = fake_close,
};

/* ---- a host around it ---- */

static char folder[64];
static struct crier_clock *vclock;
static struct crier_loop *loop;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder builder;
static struct crier_sink *sink;

static struct {
    char what[64][16], text[64][512];
    size_t count;
} events;

static void on_event(void *arg, struct crier_sink *s, const char *what, const char *text)
{
    (void)arg;
    (void)s;
    if (events.count < 64) {
        snprintf(events.what[events.count], 16, "%s", what);
        snprintf(events.text[events.count], 512, "%s", text);
        events.count++;
    }
}

static size_t told(const char *what)
{
    size_t n = 0;
    for (size_t i = 0; i < events.count; i++)
        n += strcmp(events.what[i], what) == 0;
    return n;
}

static void begin(struct crier_clock *clock)
{
    strcpy(folder, "/tmp/crier-sink-XXXXXX");
    assert_non_null(mkdtemp(folder));
    uint64_t seed = 1;
    memset(&fake, 0, sizeof fake);
    memset(&events, 0, sizeof events);
    crier_rng_seed(&fake.rng, 42);
    vclock = clock;
    loop = crier_loop_new(clock);
    env = (struct crier_sink_env){.clock = clock, .folder = folder, .state_folder = folder};
    crier_source_init(&source, "n", false, &seed);
    crier_builder_init(&builder, &source);
    sink = NULL;
}

static int setup(void **state)
{
    (void)state;
    begin(crier_clock_virtual(1700000000 * CRIER_S));
    return 0;
}

static int setup_live(void **state)
{
    (void)state;
    begin(crier_clock_real());
    return 0;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    atomic_store(&fake.held, false);
    crier_sink_unref(sink);
    crier_loop_free(loop);
    crier_clock_free(vclock);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    free(fake.written.seq);
    free(fake.rejected.seq);
    free(fake.dropped.seq);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct crier_option_value *value(struct crier_options *o, const char *name)
{
    return (struct crier_option_value *)crier_options_get(o, name);
}

struct how {
    int64_t queue, batch, flush;
    const char *overflow, *name;
};

static int try_open(struct how how, const char *kind, struct crier_err *err)
{
    struct crier_options common, options;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, NULL, 0);
    if (how.queue)
        value(&common, "queue")->i = how.queue;
    if (how.batch)
        value(&common, "batch")->i = how.batch;
    value(&common, "flush")->i = how.flush;
    if (how.overflow) {
        value(&common, "overflow")->set = true;
        value(&common, "overflow")->s = crier_strdup(how.overflow);
    }
    if (kind) {
        struct crier_option_value *v = value(&common, "kinds");
        v->set = true;
        v->count = 1;
        v->list = crier_calloc(1, sizeof *v->list);
        v->list[0] = crier_strdup(kind);
    }
    return crier_sink_open(&driver, how.name ? how.name : "fake", &common, &options, &env, &sink,
                           err);
}

static void open_sink(struct how how)
{
    struct crier_err err = {0};
    int rc = try_open(how, NULL, &err);
    if (rc)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    crier_sink_on_event(sink, on_event, NULL);
}

static void start(struct how how)
{
    open_sink(how);
    crier_sink_start(sink, loop);
}

static struct crier_record *make(enum crier_kind kind, enum crier_level level)
{
    char text[32];
    crier_build_begin(&builder, kind, level, crier_clock_wall(vclock));
    snprintf(text, sizeof text, "record %llu", (unsigned long long)source.seq + 1);
    crier_build_text(&builder, text, strlen(text));
    crier_build_logger(&builder, "t", 1);
    return crier_build_end(&builder);
}

static void push(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct crier_record *record = make(CRIER_KIND_LOG, CRIER_INFO);
        crier_sink_push(sink, record);
        crier_record_unref(record);
    }
}

static struct crier_sink_stats stats(void)
{
    struct crier_sink_stats s;
    crier_sink_stats(sink, &s);
    return s;
}

static void check_books(void)
{
    struct crier_sink_stats s = stats();
    assert_int_equal(s.accepted, s.written + s.queued + s.spilled + s.rejected + s.dropped);
}

static void check_order(const struct seen *seen, uint64_t from, size_t count)
{
    assert_int_equal(seen->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seen->seq[i], from + i);
}

static void run_for(int64_t us)
{
    crier_loop_run(loop, crier_loop_now(loop) + us);
}

static bool exists(const char *name)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &st) == 0;
}

/* ---- virtual time ---- */

static void writes_in_order(void **state)
{
    (void)state;
    start((struct how){.batch = 10});
    push(95);
    assert_int_equal(stats().queued, 95);
    run_for(0);
    check_order(&fake.written, 1, 95);
    assert_int_equal(fake.largest, 10);
    assert_int_equal(stats().written, 95);
    assert_true(fake.idled > 0);
    check_books();
    assert_false(exists("sinks"));
}

static void waits_for_a_batch(void **state)
{
    (void)state;
    start((struct how){.batch = 10, .flush = 2 * CRIER_S});
    run_for(CRIER_S);
    push(3);
    run_for(1999 * CRIER_MS);
    assert_int_equal(fake.written.count, 0);
    push(1);
    run_for(CRIER_MS);
    check_order(&fake.written, 1, 4);
    push(10);
    run_for(0);
    check_order(&fake.written, 1, 14);
    push(9);
    run_for(CRIER_S);
    assert_int_equal(fake.written.count, 14);
    push(1);
    run_for(0);
    assert_int_equal(fake.written.count, 24);
}

static void flushed(void *arg)
{
    *(size_t *)arg = fake.written.count + fake.rejected.count + 1;
}

static void flush_does_not_wait(void **state)
{
    (void)state;
    size_t at = 0;
    start((struct how){.batch = 10, .flush = CRIER_S * 60});
    push(3);
    crier_sink_flush(sink, flushed, &at);
    assert_int_equal(at, 0);
    run_for(0);
    assert_int_equal(at, 4);
    fake.failures = 2;
    push(1);
    crier_sink_flush(sink, flushed, &at);
    run_for(10 * CRIER_MS);
    assert_int_equal(at, 4);
    run_for(CRIER_S);
    assert_int_equal(at, 5);
}

static void backs_off(void **state)
{
    (void)state;
    int64_t pause = 100 * CRIER_MS;
    size_t different = 0;
    fake.failures = 14;
    start((struct how){.batch = 4});
    push(10);
    run_for(600 * CRIER_S);
    for (size_t i = 1; i <= 14; i++) {
        int64_t gap = fake.tries[i] - fake.tries[i - 1];
        assert_true(gap >= pause / 2 && gap <= pause);
        different += gap != pause / 2 && gap != pause;
        pause = pause * 2 > 30 * CRIER_S ? 30 * CRIER_S : pause * 2;
    }
    assert_true(different > 8);
    check_order(&fake.written, 1, 10);
    assert_int_equal(stats().retries, 14);
    assert_false(stats().failing);
    assert_string_equal(stats().last_error, "no connection");
    assert_int_equal(told("failing"), 1);
    assert_int_equal(told("ok"), 1);
    assert_non_null(strstr(events.text[0], "sink 'fake': no connection"));
}

/* A push does not cut a pause short. */
static void pushes_do_not_hurry_a_retry(void **state)
{
    (void)state;
    fake.failures = 1;
    start((struct how){.batch = 4});
    push(1);
    for (int i = 0; i < 40; i++) {
        run_for(CRIER_MS);
        push(1);
    }
    assert_int_equal(fake.try_count, 1);
    run_for(CRIER_S);
    check_order(&fake.written, 1, 41);
}

static int reject_threes(struct fake *f, struct crier_record *const *records, size_t count,
                         size_t *done)
{
    (void)f;
    for (size_t i = 0; i < count; i++)
        if (crier_record_seq(records[i]) % 3 == 0) {
            *done = i;
            return CRIER_REJECTED;
        }
    return CRIER_WRITTEN;
}

static void dead_letters(void **state)
{
    (void)state;
    struct crier_buf text = {0};
    char path[128];
    size_t lines = 0;
    fake.verdict = reject_threes;
    start((struct how){.name = "a/b.c"});
    push(30);
    run_for(0);
    assert_int_equal(fake.written.count, 20);
    assert_int_equal(stats().rejected, 10);
    check_books();
    assert_int_equal(told("rejected"), 1);
    push(3);
    run_for(CRIER_S);
    assert_int_equal(told("rejected"), 2);
    snprintf(path, sizeof path, "%s/sinks/a%%2fb.c.dead.jsonl", folder);
    assert_int_equal(crier_file_read(path, 1 << 20, &text, NULL), 0);
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    assert_int_equal(lines, 11);
    assert_non_null(strstr(text.data, "\"reason\":\"as the test wants\""));
    assert_non_null(strstr(text.data, "\"record\":{"));
    assert_non_null(strstr(text.data, "record 33"));
    /* A line that was cut short spoils only itself. */
    assert_int_equal(truncate(path, (off_t)text.len - 5), 0);
    push(3);
    run_for(0);
    crier_buf_clear(&text);
    assert_int_equal(crier_file_read(path, 1 << 20, &text, NULL), 0);
    assert_non_null(strstr(text.data, "\n{\"time\":\"2023-11-14T22:13:21"));
    assert_non_null(strstr(text.data, "record 36"));
    crier_buf_fini(&text);
}

static int drop_all(struct fake *f, struct crier_record *const *records, size_t count, size_t *done)
{
    (void)f;
    (void)records;
    *done = count / 2;
    return CRIER_DROPPED;
}

static void driver_drops(void **state)
{
    (void)state;
    fake.verdict = drop_all;
    start((struct how){.batch = 10});
    push(20);
    run_for(0);
    assert_int_equal(stats().written, 10);
    assert_int_equal(stats().dropped, 10);
    check_books();
    /* Told at once, then at most once a second, and in the end all of them. */
    run_for(5 * CRIER_S);
    assert_int_equal(told("dropped"), 1);
    assert_non_null(strstr(events.text[0], "10 records dropped: as the test wants"));
    for (int i = 0; i < 20; i++) {
        push(2);
        run_for(100 * CRIER_MS);
    }
    run_for(2 * CRIER_S);
    assert_in_range(told("dropped"), 3, 4);
}

static void keeps_the_newest(void **state)
{
    (void)state;
    open_sink((struct how){.queue = 8, .batch = 3, .overflow = "drop_old"});
    push(20);
    assert_int_equal(stats().dropped, 12);
    check_books();
    crier_sink_start(sink, loop);
    run_for(0);
    check_order(&fake.written, 13, 8);
    assert_non_null(strstr(events.text[0], "12 records dropped: the queue is full"));
}

static void keeps_the_oldest(void **state)
{
    (void)state;
    open_sink((struct how){.queue = 8, .batch = 3, .overflow = "drop_new"});
    push(20);
    assert_int_equal(stats().dropped, 12);
    crier_sink_start(sink, loop);
    run_for(0);
    check_order(&fake.written, 1, 8);
}

/* Ring, then spool, then ring again: in order all the way. */
static void spills_in_order(void **state)
{
    (void)state;
    start((struct how){.queue = 100, .batch = 30});
    for (int round = 0; round < 3; round++) {
        push(1000);
        assert_int_equal(stats().queued, 100);
        assert_int_equal(stats().spilled, 900);
        check_books();
        run_for(0);
        assert_int_equal(stats().spilled, 0);
        push(50);
        assert_int_equal(stats().queued, 50);
        run_for(0);
    }
    check_order(&fake.written, 1, 3150);
    check_books();
}

static void stop_saves_and_start_replays(void **state)
{
    (void)state;
    for (int spilled = 0; spilled < 2; spilled++) {
        uint64_t first = source.seq + 1;
        size_t n = spilled ? 400 : 60;
        fake.written.count = 0;
        fake.failures = 1000;
        start((struct how){.queue = 100, .batch = 30});
        push(n);
        run_for(CRIER_S);
        assert_true(stats().failing);
        crier_sink_stop(sink, CRIER_S);
        check_books();
        assert_int_equal(stats().spilled, n);
        assert_int_equal(stats().queued, 0);
        assert_int_equal(fake.closed, fake.opened);
        /* Too late for this sink: the next one writes it. */
        push(1);
        n++;
        assert_int_equal(stats().dropped, 0);
        assert_int_equal(stats().spilled, n);
        run_for(CRIER_S);
        check_books();
        crier_sink_unref(sink);

        fake.failures = 0;
        open_sink((struct how){.queue = 100, .batch = 30});
        assert_int_equal(stats().accepted, n);
        assert_int_equal(stats().spilled, n);
        push(20);
        check_books();
        crier_sink_start(sink, loop);
        run_for(0);
        check_order(&fake.written, first, n + 20);
        check_books();
        crier_sink_unref(sink);
        sink = NULL;
    }
}

/* Batches are written by halves, and nothing more from stall_at on. */
static size_t stall_at;

static int half(struct fake *f, struct crier_record *const *records, size_t count, size_t *done)
{
    size_t left = stall_at - f->written.count;
    (void)records;
    *done = (count + 1) / 2 < left ? (count + 1) / 2 : left;
    return CRIER_RETRY_LATER;
}

/* Stopped in the middle of a batch, from the ring or from the spool: nothing is lost and nothing
 * comes twice. */
static void stop_in_the_middle_of_a_batch(void **state)
{
    (void)state;
    for (stall_at = 0; stall_at < 300; stall_at += 13) {
        uint64_t first = source.seq + 1;
        fake.written.count = 0;
        fake.verdict = half;
        start((struct how){.queue = 100, .batch = 30});
        push(300);
        run_for(20 * CRIER_S);
        assert_int_equal(fake.written.count, stall_at);
        crier_sink_unref(sink);
        run_for(0);
        fake.verdict = NULL;
        start((struct how){.queue = 100, .batch = 30});
        push(5);
        run_for(0);
        check_order(&fake.written, first, 305);
        crier_sink_unref(sink);
        sink = NULL;
        run_for(0);
    }
}

static void drop_policies_do_not_save(void **state)
{
    (void)state;
    fake.failures = 1000;
    start((struct how){.overflow = "drop_old"});
    push(10);
    run_for(CRIER_S);
    crier_sink_stop(sink, CRIER_S);
    assert_int_equal(stats().dropped, 10);
    check_books();
    run_for(0);
    assert_int_equal(told("dropped"), 1);
    assert_false(exists("sinks/fake"));
}

/* The successor of a sink that is still there opens, and gets what it left when it goes. */
static void successor(void **state)
{
    (void)state;
    struct crier_sink *old;
    fake.failures = 1000;
    start((struct how){.queue = 10, .batch = 5});
    push(50);
    old = sink;
    start((struct how){.queue = 1000, .batch = 5});
    push(10);
    run_for(3 * CRIER_S);
    crier_sink_unref(old);
    push(10);
    fake.failures = 0;
    run_for(60 * CRIER_S);
    push(5);
    run_for(60 * CRIER_S);
    assert_int_equal(fake.written.count, 75);
    /* A batch of five was under way; behind it come the predecessor's, then the rest. */
    for (size_t i = 0; i < 75; i++)
        assert_int_equal(fake.written.seq[i], i < 5 ? 51 + i : i < 55 ? i - 4 : i + 1);
    check_books();
    assert_int_equal(stats().accepted, 75);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct crier_err err = {0};
    assert_int_equal(try_open((struct how){0}, "mesage", &err), CRIER_ECONFIG);
    assert_string_equal(err.text, "sink 'fake': unknown kind 'mesage' (did you mean 'message'? "
                                  "kinds are log message task event system invite)");
    assert_int_equal(try_open((struct how){.name = ""}, NULL, &err), CRIER_ECONFIG);
    assert_int_equal(try_open((struct how){.name = "refused"}, NULL, &err), CRIER_EIO);
    assert_string_equal(err.text, "sink 'refused': no room");
    assert_int_equal(fake.opened, 0);
    sink = NULL;
}

static void takes(void **state)
{
    (void)state;
    struct crier_record *log = make(CRIER_KIND_LOG, CRIER_DEBUG);
    struct crier_record *task = make(CRIER_KIND_TASK, CRIER_DEBUG);
    open_sink((struct how){0});
    assert_true(crier_sink_takes(sink, log));
    assert_false(crier_sink_takes(sink, task));
    assert_true(crier_sink_takes_routed(sink, task));
    crier_sink_unref(sink);
    assert_int_equal(try_open((struct how){0}, "task", NULL), 0);
    assert_false(crier_sink_takes(sink, log));
    assert_false(crier_sink_takes_routed(sink, log));
    assert_true(crier_sink_takes_routed(sink, task));
    crier_record_unref(log);
    crier_record_unref(task);
}

static void reopens(void **state)
{
    (void)state;
    start((struct how){0});
    crier_sink_reopen(sink);
    run_for(0);
    assert_int_equal(fake.reopened, 1);
}

static void newer_spool_is_kept(void **state)
{
    (void)state;
    struct crier_err err = {0};
    char path[160];
    fake.failures = 1000;
    start((struct how){0});
    push(10);
    crier_sink_unref(sink);
    sink = NULL;
    run_for(0);
    snprintf(path, sizeof path, "%s/sinks/fake/10000000.spool", folder);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 7, SEEK_SET);
    fputc(9, f);
    fclose(f);
    assert_int_equal(try_open((struct how){0}, NULL, &err), CRIER_EVERSION);
    assert_non_null(strstr(err.text, "sink 'fake': "));
    assert_non_null(strstr(err.text, "version 9"));
    assert_true(exists("sinks/fake/10000000.spool"));
    sink = NULL;
}

/* Random pushes, verdicts and times against a model: what went in comes out once, in order. */
static int random_verdict(struct fake *f, struct crier_record *const *records, size_t count,
                          size_t *done)
{
    int dice = (int)crier_rng_range(&f->rng, 0, 9);
    (void)records;
    if (dice < 5)
        return CRIER_WRITTEN;
    *done = (size_t)crier_rng_range(&f->rng, 0, (int64_t)count - 1);
    return dice < 8 ? CRIER_RETRY_LATER : dice < 9 ? CRIER_REJECTED : CRIER_DROPPED;
}

static void random_run(const char *overflow)
{
    struct how how = {.queue = 50, .batch = 16, .overflow = overflow};
    bool restarts = strcmp(overflow, "spill") == 0;
    uint64_t pushed = 0, first = source.seq + 1, rejected = 0, dropped = 0;
    fake.verdict = random_verdict;
    fake.written.count = fake.rejected.count = fake.dropped.count = 0;
    start(how);
    for (int round = 0; round < 1500; round++) {
        size_t n = (size_t)crier_rng_range(&fake.rng, 0, 40);
        for (size_t i = 0; i < n; i++) {
            push(1);
            check_books();
        }
        pushed += n;
        run_for(crier_rng_range(&fake.rng, 0, 400 * CRIER_MS));
        check_books();
        if (restarts && round % 100 == 99) {
            crier_sink_stop(sink, crier_rng_range(&fake.rng, 0, 1));
            check_books();
            rejected += stats().rejected;
            dropped += stats().dropped;
            crier_sink_unref(sink);
            run_for(0);
            start(how);
        }
    }
    fake.verdict = NULL;
    run_for(100 * CRIER_S);
    struct crier_sink_stats s = stats();
    rejected += s.rejected;
    dropped += s.dropped;
    assert_int_equal(s.queued + s.spilled, 0);
    assert_int_equal(rejected, fake.rejected.count);
    assert_int_equal(pushed, fake.written.count + rejected + dropped);
    if (restarts)
        assert_int_equal(dropped, fake.dropped.count);
    /* Each in its place in one of the three, each list in order. */
    size_t w = 0, r = 0, d = 0;
    for (uint64_t seq = first; seq < first + pushed; seq++) {
        if (w < fake.written.count && fake.written.seq[w] == seq)
            w++;
        else if (r < fake.rejected.count && fake.rejected.seq[r] == seq)
            r++;
        else if (d < fake.dropped.count && fake.dropped.seq[d] == seq)
            d++;
        else
            assert_false(restarts);
    }
    assert_int_equal(w, fake.written.count);
    assert_int_equal(r, fake.rejected.count);
    assert_int_equal(d, fake.dropped.count);
    crier_sink_unref(sink);
    sink = NULL;
    run_for(0);
}

static void against_a_model(void **state)
{
    (void)state;
    random_run("spill");
    random_run("drop_old");
    random_run("drop_new");
}

/* ---- live ---- */

static void stop_loop(void *arg)
{
    crier_loop_stop(arg);
}

static void live_slow_sink(void **state)
{
    (void)state;
    size_t done = 0;
    fake.nap = 100;
    start((struct how){.queue = 1024, .batch = 256});
    for (size_t i = 0; i < 200000; i++) {
        if (i % 20000 == 0)
            atomic_store(&fake.held, true);
        push(1);
        if (i % 64 == 0)
            check_books();
        if (i % 20000 == 9999) {
            assert_true(stats().spilled > 8000);
            atomic_store(&fake.held, false);
        }
        /* Let it catch up every other time, so that ring and spool take turns. */
        if (i % 40000 == 39999)
            while (stats().spilled > 0)
                usleep(1000);
    }
    crier_sink_flush(sink, flushed, &done);
    crier_sink_flush(sink, stop_loop, loop);
    crier_loop_run(loop, crier_loop_now(loop) + 120 * CRIER_S);
    assert_int_equal(done, 200001);
    check_order(&fake.written, 1, 200000);
    check_books();
}

static void live_stop_has_a_deadline(void **state)
{
    (void)state;
    fake.nap = 50000; /* ten seconds for all of them */
    start((struct how){.queue = 100, .batch = 10});
    push(2000);
    while (stats().written == 0)
        usleep(1000);
    crier_sink_stop(sink, 50 * CRIER_MS);
    check_books();
    struct crier_sink_stats s = stats();
    assert_true(s.written > 0 && s.spilled > 0 && s.queued == 0);
    crier_sink_unref(sink);
    fake.nap = 0;
    start((struct how){.queue = 100, .batch = 10});
    push(100);
    crier_sink_stop(sink, 60 * CRIER_S);
    check_order(&fake.written, 1, 2100);
    check_books();
}

static void live_accounting(void **state)
{
    (void)state;
    struct fake *f = &fake;
    f->verdict = reject_threes;
    start((struct how){.queue = 64, .batch = 16});
    for (int i = 0; i < 20000; i++) {
        push(1);
        check_books();
    }
    crier_sink_stop(sink, 60 * CRIER_S);
    struct crier_sink_stats s = stats();
    assert_int_equal(s.accepted, 20000);
    assert_int_equal(s.rejected, 6666);
    assert_int_equal(s.written, 13334);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LIVE(name) cmocka_unit_test_setup_teardown(name, setup_live, teardown)
        TEST(writes_in_order),
        TEST(waits_for_a_batch),
        TEST(flush_does_not_wait),
        TEST(backs_off),
        TEST(pushes_do_not_hurry_a_retry),
        TEST(dead_letters),
        TEST(driver_drops),
        TEST(keeps_the_newest),
        TEST(keeps_the_oldest),
        TEST(spills_in_order),
        TEST(stop_saves_and_start_replays),
        TEST(stop_in_the_middle_of_a_batch),
        TEST(drop_policies_do_not_save),
        TEST(successor),
        TEST(options_are_checked),
        TEST(takes),
        TEST(reopens),
        TEST(newer_spool_is_kept),
        TEST(against_a_model),
        LIVE(live_slow_sink),
        LIVE(live_stop_has_a_deadline),
        LIVE(live_accounting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
