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
    struct crier_inline_worker in; /* live, only step, arg and woken are used */
    bool threaded;
    char name[16];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    atomic_bool asleep; /* in, or on the way into, the wait */
    bool stop;          /* guarded by lock */
};

/* Returns true when the worker shall stop. asleep is stored before woken is read, and a waker
 * stores woken before it reads asleep: one of the two sees the other. */
static bool wait_until(struct crier_worker *w, int64_t due)
{
    struct timespec ts = {.tv_sec = due / CRIER_S, .tv_nsec = due % CRIER_S * 1000};
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->asleep, true);
    while (!w->stop && !atomic_load(&w->in.woken) &&
           due > crier_clock_mono(crier_loop_clock(w->loop))) {
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
    const struct crier_clock *clock = crier_loop_clock(w->loop);
    int64_t due;
    pthread_setname_np(pthread_self(), w->name);
    do {
        atomic_store(&w->in.woken, false);
        due = w->in.step(w->in.arg, crier_clock_mono(clock));
    } while (!wait_until(w, due));
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

struct crier_worker *crier_worker_start(struct crier_loop *loop, const char *name,
                                        int64_t (*step)(void *arg, int64_t now), void *arg)
{
    struct crier_worker *w = crier_calloc(1, sizeof *w);
    w->loop = loop;
    w->in.step = step;
    w->in.arg = arg;
    w->threaded = !crier_clock_is_virtual(crier_loop_clock(loop));
    snprintf(w->name, sizeof w->name, "%s", name);
    if (w->threaded) {
        start_thread(w);
    } else {
        w->in.due = crier_loop_now(loop);
        crier_loop_add_worker(loop, &w->in);
    }
    return w;
}

void crier_worker_wake(struct crier_worker *worker)
{
    if (atomic_exchange(&worker->in.woken, true) || !atomic_load(&worker->asleep))
        return;
    pthread_mutex_lock(&worker->lock);
    pthread_cond_signal(&worker->cond);
    pthread_mutex_unlock(&worker->lock);
}

void crier_worker_stop(struct crier_worker *worker)
{
    if (worker->threaded) {
        pthread_mutex_lock(&worker->lock);
        worker->stop = true;
        pthread_cond_signal(&worker->cond);
        pthread_mutex_unlock(&worker->lock);
        pthread_join(worker->thread, NULL);
        pthread_cond_destroy(&worker->cond);
        pthread_mutex_destroy(&worker->lock);
    } else {
        crier_loop_remove_worker(worker->loop, &worker->in);
    }
    free(worker);
}
