/* SPDX-License-Identifier: MIT */
#include "base/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/loop_private.h"

struct crier_worker {
    struct crier_loop *loop;
    struct crier_clock *clock;     /* outlives the loop */
    struct crier_inline_worker in; /* not in virtual time, only step, arg and woken are used */
    enum { THREAD, VIRTUAL, ON_LOOP } how;
    bool halted;        /* [loop] */
    bool freed;         /* [loop] as soon as no posted work needs it any more */
    atomic_uint posted; /* work on the loop that knows this worker */

    struct crier_timer timer; /* ON_LOOP */

    char name[16]; /* THREAD, as all that follows */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    atomic_bool asleep; /* in, or on the way into, the wait */
    bool stop;          /* guarded by lock */
};

static void dispose(struct crier_worker *w)
{
    if (w->how == THREAD) {
        pthread_cond_destroy(&w->cond);
        pthread_mutex_destroy(&w->lock);
    }
    free(w);
}

static void post(struct crier_worker *w, void (*fn)(void *arg))
{
    atomic_fetch_add(&w->posted, 1);
    crier_loop_post(w->loop, fn, w);
}

/* Whether posted work that has arrived may still look at the worker. */
static bool arrived(struct crier_worker *w)
{
    if (atomic_fetch_sub(&w->posted, 1) > 1 || !w->freed)
        return !w->freed;
    dispose(w);
    return false;
}

/* Who was woken is likely to be woken again: for this long it looks for itself, and the wakers are
 * spared a system call each. */
#define NAP (500)

/* With the lock. */
static void nap(struct crier_worker *w, int64_t due)
{
    int64_t end = crier_clock_mono(w->clock) + NAP;
    if (due < end)
        return;
    struct timespec ts = {.tv_sec = end / CRIER_S, .tv_nsec = end % CRIER_S * 1000};
    while (!w->stop && end > crier_clock_mono(w->clock))
        pthread_cond_timedwait(&w->cond, &w->lock, &ts);
}

/* Returns true when the worker shall stop. asleep is stored before woken is read, and a waker
 * stores woken before it reads asleep: one of the two sees the other. */
static bool wait_until(struct crier_worker *w, int64_t due, bool was_woken)
{
    struct timespec ts = {.tv_sec = due / CRIER_S, .tv_nsec = due % CRIER_S * 1000};
    pthread_mutex_lock(&w->lock);
    if (was_woken)
        nap(w, due);
    atomic_store(&w->asleep, true);
    while (!w->stop && !atomic_load(&w->in.woken) && due > crier_clock_mono(w->clock)) {
        if (due == CRIER_NEVER)
            pthread_cond_wait(&w->cond, &w->lock);
        else
            pthread_cond_timedwait(&w->cond, &w->lock, &ts);
    }
    atomic_store(&w->asleep, false);
    bool stop = w->stop;
    pthread_mutex_unlock(&w->lock);
    return stop;
}

static void *run(void *arg)
{
    struct crier_worker *w = arg;
    int64_t due;
    bool woken;
    pthread_setname_np(pthread_self(), w->name);
    do {
        woken = atomic_exchange(&w->in.woken, false);
        due = w->in.step(w->in.arg, crier_clock_mono(w->clock));
    } while (!wait_until(w, due, woken));
    return NULL;
}

/* Signals are the loop thread's; faults stay where they happen. */
static void start_thread(struct crier_worker *w)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->lock, NULL);
    sigset_t all, old;
    sigfillset(&all);
    for (size_t i = 0; i < CRIER_COUNT(faults); i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        fprintf(stderr, "crier: cannot start the thread '%s': %s\n", w->name, strerror(rc));
        abort();
    }
}

static struct crier_worker *make(struct crier_loop *loop, const char *name,
                                 int64_t (*step)(void *arg, int64_t now), void *arg)
{
    struct crier_worker *w = crier_calloc(1, sizeof *w);
    w->loop = loop;
    w->clock = crier_loop_clock(loop);
    w->in.step = step;
    w->in.arg = arg;
    snprintf(w->name, sizeof w->name, "%s", name);
    if (!crier_clock_is_virtual(w->clock))
        return w;
    w->how = VIRTUAL;
    w->in.due = crier_loop_now(loop);
    crier_loop_add_worker(loop, &w->in);
    return w;
}

struct crier_worker *crier_worker_start(struct crier_loop *loop, const char *name,
                                        int64_t (*step)(void *arg, int64_t now), void *arg)
{
    struct crier_worker *w = make(loop, name, step, arg);
    if (w->how == THREAD)
        start_thread(w);
    return w;
}

/* ---- live on the loop ---- */

static void drive(struct crier_worker *w)
{
    atomic_store(&w->in.woken, false);
    int64_t due = w->in.step(w->in.arg, crier_clock_mono(w->clock));
    if (w->halted || due == CRIER_NEVER)
        crier_timer_stop(w->loop, &w->timer);
    else
        crier_timer_at(w->loop, &w->timer, due);
}

static void on_timer(struct crier_timer *timer)
{
    drive(CRIER_CONTAINER(timer, struct crier_worker, timer));
}

static void on_wake(void *arg)
{
    struct crier_worker *w = arg;
    if (arrived(w) && !w->halted)
        drive(w);
}

struct crier_worker *crier_worker_start_on_loop(struct crier_loop *loop, const char *name,
                                                int64_t (*step)(void *arg, int64_t now), void *arg)
{
    struct crier_worker *w = make(loop, name, step, arg);
    if (w->how == VIRTUAL)
        return w;
    w->how = ON_LOOP;
    w->timer.fire = on_timer;
    crier_worker_wake(w);
    return w;
}

/* ---- all ---- */

void crier_worker_wake(struct crier_worker *w)
{
    if (atomic_exchange(&w->in.woken, true))
        return;
    if (w->how == ON_LOOP)
        post(w, on_wake);
    if (w->how != THREAD || !atomic_load(&w->asleep))
        return;
    pthread_mutex_lock(&w->lock);
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

void crier_worker_halt(struct crier_worker *w)
{
    if (w->halted)
        return;
    w->halted = true;
    if (w->how == VIRTUAL) {
        crier_loop_remove_worker(w->loop, &w->in);
    } else if (w->how == ON_LOOP) {
        crier_timer_stop(w->loop, &w->timer);
    } else {
        pthread_mutex_lock(&w->lock);
        w->stop = true;
        pthread_cond_signal(&w->cond);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
}

void crier_worker_free(struct crier_worker *w)
{
    if (!w)
        return;
    w->freed = true;
    if (atomic_load(&w->posted) == 0)
        dispose(w);
}

void crier_worker_stop(struct crier_worker *w)
{
    crier_worker_halt(w);
    crier_worker_free(w);
}
