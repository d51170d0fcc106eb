/* SPDX-License-Identifier: MIT */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#ifdef __linux__
#include <sys/timerfd.h>
#endif

#include "base/buf.h"
#include "base/loop_private.h"

/* The key stands beside the pointer, and the heap has four children a node, so that a comparison
 * touches no timer and the children of a node share a cache line. */
struct entry {
    int64_t key;
    struct crier_timer *timer;
};

struct job {
    void (*fn)(void *arg);
    void *arg;
};

struct jobs {
    struct job *items;
    size_t head, count, cap;
};

struct crier_loop {
    struct crier_clock *clock;
    bool stopped;

    struct entry *heap;
    size_t armed, cap;
    uint64_t seq;
    bool firing;  /* live: timers that are armed now wait for the next turn */
    int64_t turn; /* live: the now of the turn */
    uint64_t wakeups, fired;

    pthread_mutex_t lock; /* guards posted only */
    struct jobs posted;
    struct jobs taken; /* [loop] */

    void (*clock_set)(void *arg, int64_t jump_us);
    void *clock_set_arg;
    int64_t offset; /* wall - mono when last seen */

    struct crier_inline_worker *workers;

    uv_loop_t *uv;
    uv_timer_t uv_timer;
    uv_prepare_t uv_prepare;
    uv_async_t uv_async;
    uv_poll_t uv_clock;
    int clock_fd;   /* -1: not watched */
    int64_t uv_key; /* the key that uv_timer is armed for; CRIER_NEVER: not armed */
    int open_handles;
    struct crier_timer bound;
};

/* --- the heap ------------------------------------------------------------------------------ */

static bool before(const struct entry *a, const struct entry *b)
{
    return a->key != b->key ? a->key < b->key : a->timer->seq < b->timer->seq;
}

static void put(struct crier_loop *loop, size_t i, struct entry e)
{
    loop->heap[i] = e;
    e.timer->index = i + 1;
}

static void sift_up(struct crier_loop *loop, size_t i, struct entry e)
{
    while (i) {
        size_t parent = (i - 1) / 4;
        if (!before(&e, &loop->heap[parent]))
            break;
        put(loop, i, loop->heap[parent]);
        i = parent;
    }
    put(loop, i, e);
}

static void sift_down(struct crier_loop *loop, size_t i, struct entry e)
{
    for (;;) {
        size_t child = i * 4 + 1;
        if (child >= loop->armed)
            break;
        size_t end = child + 4 < loop->armed ? child + 4 : loop->armed;
        size_t least = child;
        for (size_t c = child + 1; c < end; c++) {
            if (before(&loop->heap[c], &loop->heap[least]))
                least = c;
        }
        if (!before(&loop->heap[least], &e))
            break;
        put(loop, i, loop->heap[least]);
        i = least;
    }
    put(loop, i, e);
}

static void settle(struct crier_loop *loop, size_t i, struct entry e)
{
    if (i && before(&e, &loop->heap[(i - 1) / 4]))
        sift_up(loop, i, e);
    else
        sift_down(loop, i, e);
}

void crier_timer_at(struct crier_loop *loop, struct crier_timer *timer, int64_t due_mono_us)
{
    struct entry e = {due_mono_us, timer};
    /* A timer that always asks for the past must not keep the loop from its other work. */
    if (loop->firing && e.key <= loop->turn)
        e.key = loop->turn + 1;
    timer->due = due_mono_us;
    timer->seq = ++loop->seq;
    if (timer->index) {
        settle(loop, timer->index - 1, e);
        return;
    }
    if (loop->armed == loop->cap) {
        loop->cap = loop->cap ? loop->cap * 2 : 64;
        loop->heap = crier_realloc(loop->heap, loop->cap * sizeof *loop->heap);
    }
    sift_up(loop, loop->armed++, e);
}

void crier_timer_in(struct crier_loop *loop, struct crier_timer *timer, int64_t delay_us)
{
    int64_t due;
    if (__builtin_add_overflow(crier_loop_now(loop), delay_us, &due))
        due = delay_us > 0 ? CRIER_NEVER : INT64_MIN;
    crier_timer_at(loop, timer, due);
}

void crier_timer_stop(struct crier_loop *loop, struct crier_timer *timer)
{
    if (!timer->index)
        return;
    size_t i = timer->index - 1;
    timer->index = 0;
    struct entry last = loop->heap[--loop->armed];
    if (last.timer != timer)
        settle(loop, i, last);
}

void crier_timer_move(struct crier_loop *from, struct crier_loop *to, struct crier_timer *timer)
{
    if (!timer->index)
        return;
    int64_t due = timer->due;
    crier_timer_stop(from, timer);
    crier_timer_at(to, timer, due);
}

static int64_t next_timer(const struct crier_loop *loop)
{
    return loop->armed ? loop->heap[0].key : CRIER_NEVER;
}

static void fire_first(struct crier_loop *loop)
{
    struct crier_timer *timer = loop->heap[0].timer;
    crier_timer_stop(loop, timer);
    loop->fired++;
    timer->fire(timer);
}

/* --- posted work --------------------------------------------------------------------------- */

void crier_loop_post(struct crier_loop *loop, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&loop->lock);
    struct jobs *q = &loop->posted;
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 64;
        q->items = crier_realloc(q->items, q->cap * sizeof *q->items);
    }
    q->items[q->count++] = (struct job){fn, arg};
    /* Inside the lock: crier_loop_free takes it once more before it closes the handle. */
    if (loop->uv && q->count == 1)
        uv_async_send(&loop->uv_async);
    pthread_mutex_unlock(&loop->lock);
}

static bool run_taken(struct crier_loop *loop)
{
    struct jobs *q = &loop->taken;
    bool any = q->head < q->count;
    while (q->head < q->count && !loop->stopped) {
        struct job job = q->items[q->head++];
        job.fn(job.arg);
    }
    return any;
}

/* What a stop left behind, then what was posted since; what is posted meanwhile waits for the next
 * call. Also when stopped, all that the libuv handle told of is in `taken` afterwards, where the
 * next run finds it. False when there was nothing. */
static bool run_posted(struct crier_loop *loop)
{
    struct jobs *q = &loop->taken;
    bool any = run_taken(loop);
    if (q->head < q->count)
        return any;
    q->head = q->count = 0;
    pthread_mutex_lock(&loop->lock);
    struct jobs other = loop->posted;
    loop->posted = *q;
    *q = other;
    pthread_mutex_unlock(&loop->lock);
    return run_taken(loop) || any;
}

/* --- the clock being set ------------------------------------------------------------------- */

static int64_t clock_offset(const struct crier_loop *loop)
{
    return crier_clock_wall(loop->clock) - crier_clock_mono(loop->clock);
}

static void look_at_clock(struct crier_loop *loop)
{
    int64_t now = clock_offset(loop);
    int64_t jump = now - loop->offset;
    loop->offset = now;
    if (jump && loop->clock_set)
        loop->clock_set(loop->clock_set_arg, jump);
}

#ifdef __linux__
static void arm_clock_fd(struct crier_loop *loop)
{
    struct itimerspec far = {.it_value.tv_sec = INT32_MAX * 4LL};
    timerfd_settime(loop->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void on_uv_clock(uv_poll_t *handle, int status, int events)
{
    struct crier_loop *loop = handle->data;
    (void)status;
    (void)events;
    uint64_t expirations;
    ssize_t n = read(loop->clock_fd, &expirations, sizeof expirations);
    if (n < 0 && errno != ECANCELED)
        return;
    arm_clock_fd(loop); /* before the look, so that a second setting is not missed */
    look_at_clock(loop);
}

static void watch_clock(struct crier_loop *loop)
{
    if (loop->clock_fd >= 0)
        return;
    loop->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->clock_fd < 0) {
        fprintf(stderr, "crier: cannot notice when the clock is set: %s\n", strerror(errno));
        return;
    }
    arm_clock_fd(loop);
    uv_poll_init(loop->uv, &loop->uv_clock, loop->clock_fd);
    loop->uv_clock.data = loop;
    loop->open_handles++;
    uv_poll_start(&loop->uv_clock, UV_READABLE, on_uv_clock);
}
#else
static void watch_clock(struct crier_loop *loop)
{
    (void)loop;
}
#endif

void crier_loop_on_clock_set(struct crier_loop *loop, void (*fn)(void *arg, int64_t jump_us),
                             void *arg)
{
    loop->clock_set = fn;
    loop->clock_set_arg = arg;
    loop->offset = clock_offset(loop);
    if (fn && loop->uv)
        watch_clock(loop);
}

/* --- live ---------------------------------------------------------------------------------- */

static void fire_due(struct crier_loop *loop)
{
    loop->turn = crier_clock_mono(loop->clock);
    loop->firing = true;
    while (!loop->stopped && next_timer(loop) <= loop->turn)
        fire_first(loop);
    loop->firing = false;
}

static void on_uv_timer(uv_timer_t *handle)
{
    struct crier_loop *loop = handle->data;
    loop->wakeups++;
    loop->uv_key = CRIER_NEVER;
    fire_due(loop);
}

static void on_uv_async(uv_async_t *handle)
{
    struct crier_loop *loop = handle->data;
    loop->wakeups++;
    run_posted(loop);
}

/* Right before libuv waits: one place that arms its timer, whatever happened to the heap. */
static void on_uv_prepare(uv_prepare_t *handle)
{
    struct crier_loop *loop = handle->data;
    int64_t key = next_timer(loop);
    if (key == loop->uv_key)
        return;
    loop->uv_key = key;
    if (key == CRIER_NEVER) {
        uv_timer_stop(&loop->uv_timer);
        return;
    }
    /* libuv counts whole milliseconds of its own cached clock, rounded down: reckon in that clock
     * and round up, and the wake-up is never early. */
    uv_update_time(loop->uv);
    int64_t now = crier_clock_mono(loop->clock);
    int64_t wait = 0;
    if (key > now) {
        uint64_t due = uv_hrtime() / 1000 + (uint64_t)(key - now);
        wait = (int64_t)((due + 999) / 1000 - uv_now(loop->uv));
    }
    uv_timer_start(&loop->uv_timer, on_uv_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void on_bound(struct crier_timer *timer)
{
    crier_loop_stop(CRIER_CONTAINER(timer, struct crier_loop, bound));
}

static void run_live(struct crier_loop *loop, int64_t until_mono_us)
{
    if (until_mono_us != CRIER_NEVER)
        crier_timer_at(loop, &loop->bound, until_mono_us);
    /* Work that an earlier stop left behind. */
    if (loop->taken.head < loop->taken.count)
        uv_async_send(&loop->uv_async);
    while (!loop->stopped)
        uv_run(loop->uv, UV_RUN_DEFAULT);
    crier_timer_stop(loop, &loop->bound);
}

static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "crier: cannot set up the event loop (%s): %s\n", what, uv_strerror(rc));
        abort();
    }
}

static void open_uv(struct crier_loop *loop)
{
    loop->uv = crier_malloc(sizeof *loop->uv);
    must(uv_loop_init(loop->uv), "uv_loop_init");
    must(uv_timer_init(loop->uv, &loop->uv_timer), "uv_timer_init");
    must(uv_prepare_init(loop->uv, &loop->uv_prepare), "uv_prepare_init");
    must(uv_async_init(loop->uv, &loop->uv_async, on_uv_async), "uv_async_init");
    loop->uv_timer.data = loop->uv_prepare.data = loop->uv_async.data = loop;
    loop->open_handles = 3;
    must(uv_prepare_start(&loop->uv_prepare, on_uv_prepare), "uv_prepare_start");
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct crier_loop *loop = handle->data;
    loop->open_handles--;
}

static void close_uv(struct crier_loop *loop)
{
    uv_close((uv_handle_t *)&loop->uv_timer, on_uv_closed);
    uv_close((uv_handle_t *)&loop->uv_prepare, on_uv_closed);
    uv_close((uv_handle_t *)&loop->uv_async, on_uv_closed);
    if (loop->clock_fd >= 0)
        uv_close((uv_handle_t *)&loop->uv_clock, on_uv_closed);
    while (loop->open_handles)
        uv_run(loop->uv, UV_RUN_NOWAIT);
    if (loop->clock_fd >= 0)
        close(loop->clock_fd);
    /* Busy: someone left a handle open. Its memory may point here, so the loop is not freed. */
    if (uv_loop_close(loop->uv) == 0)
        free(loop->uv);
}

/* --- virtual ------------------------------------------------------------------------------- */

void crier_loop_add_worker(struct crier_loop *loop, struct crier_inline_worker *worker)
{
    struct crier_inline_worker **at = &loop->workers;
    while (*at)
        at = &(*at)->next;
    worker->next = NULL;
    *at = worker;
}

void crier_loop_remove_worker(struct crier_loop *loop, struct crier_inline_worker *worker)
{
    struct crier_inline_worker **at = &loop->workers;
    while (*at && *at != worker)
        at = &(*at)->next;
    if (*at)
        *at = worker->next;
}

static bool step_workers(struct crier_loop *loop, int64_t now)
{
    bool any = false;
    for (struct crier_inline_worker *w = loop->workers; w && !loop->stopped; w = w->next) {
        if (!atomic_exchange(&w->woken, false) && w->due > now)
            continue;
        w->due = w->step(w->arg, now);
        any = true;
    }
    return any;
}

static int64_t next_due(const struct crier_loop *loop)
{
    int64_t due = next_timer(loop);
    for (const struct crier_inline_worker *w = loop->workers; w; w = w->next) {
        if (w->due < due)
            due = w->due;
    }
    return due;
}

static void run_virtual(struct crier_loop *loop, int64_t until_mono_us)
{
    while (!loop->stopped) {
        int64_t now = crier_clock_mono(loop->clock);
        look_at_clock(loop);
        if (run_posted(loop) || step_workers(loop, now))
            continue;
        if (next_timer(loop) <= now && now <= until_mono_us) {
            fire_first(loop);
            continue;
        }
        int64_t due = next_due(loop);
        if (due == CRIER_NEVER || due > until_mono_us)
            break;
        crier_clock_advance_to(loop->clock, due);
    }
    if (!loop->stopped && until_mono_us != CRIER_NEVER)
        crier_clock_advance_to(loop->clock, until_mono_us);
}

/* --- both ---------------------------------------------------------------------------------- */

struct crier_loop *crier_loop_new(struct crier_clock *clock)
{
    struct crier_loop *loop = crier_calloc(1, sizeof *loop);
    loop->clock = clock;
    loop->clock_fd = -1;
    loop->uv_key = CRIER_NEVER;
    loop->bound.fire = on_bound;
    loop->offset = clock_offset(loop);
    pthread_mutex_init(&loop->lock, NULL);
    if (!crier_clock_is_virtual(clock))
        open_uv(loop);
    return loop;
}

void crier_loop_free(struct crier_loop *loop)
{
    if (!loop)
        return;
    loop->stopped = false;
    while (run_posted(loop))
        loop->stopped = false;
    if (loop->uv)
        close_uv(loop);
    pthread_mutex_destroy(&loop->lock);
    free(loop->posted.items);
    free(loop->taken.items);
    free(loop->heap);
    free(loop);
}

struct crier_clock *crier_loop_clock(struct crier_loop *loop)
{
    return loop->clock;
}

struct uv_loop_s *crier_loop_uv(struct crier_loop *loop)
{
    return loop->uv;
}

int64_t crier_loop_now(struct crier_loop *loop)
{
    return crier_clock_mono(loop->clock);
}

int64_t crier_loop_wall(struct crier_loop *loop)
{
    return crier_clock_wall(loop->clock);
}

void crier_loop_run(struct crier_loop *loop, int64_t until_mono_us)
{
    loop->stopped = false;
    if (loop->uv)
        run_live(loop, until_mono_us);
    else
        run_virtual(loop, until_mono_us);
}

void crier_loop_stop(struct crier_loop *loop)
{
    loop->stopped = true;
    if (loop->uv)
        uv_stop(loop->uv);
}

void crier_loop_stats(const struct crier_loop *loop, struct crier_loop_stats *out)
{
    out->wakeups = loop->wakeups;
    out->fired = loop->fired;
    out->armed = loop->armed - (loop->bound.index != 0);
}
