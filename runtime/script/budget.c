/* SPDX-License-Identifier: MIT */
#include "script/budget.h"

#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/duration.h"
#include "script/vm_private.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define TICK_NS 10000000L
#define GRACE 20000        /* instructions for __close functions after the first error */
#define GRACE_TICKS 5      /* and time: a busy machine charges us for what it takes away */
#define COUNT_STEP 1000    /* instructions between two looks in virtual time */
#define SWITCH_STEPS 100   /* what a change of coroutine counts for there */
#define INSTRUCTION_NS 10
#define SLOWNESS 10 /* so many times as long as it is taken for may an instruction really last */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
/* ThreadSanitizer holds signals back until the thread calls into libc, which a Lua loop never
 * does; its builds count instructions. */
#define COUNT_ALWAYS true
/* And it does not know the checked longjmp that a hardened liblua calls: its record of the stack
 * would grow with each error and each yield until it overflows. liblua finds this one first. */
__attribute__((visibility("default"))) _Noreturn void __longjmp_chk(jmp_buf env, int value);
_Noreturn void __longjmp_chk(jmp_buf env, int value)
{
    longjmp(env, value);
}
#else
#define COUNT_ALWAYS false
#endif

/* initial-exec: the signal handler must find it without a lazy allocation. */
static _Thread_local struct crier_budget *volatile top __attribute__((tls_model("initial-exec")));
static _Thread_local bool armed;
static _Thread_local timer_t timer;

static bool counts(const struct crier_vm *vm)
{
    return COUNT_ALWAYS || vm->config.virtual_time;
}

static void hook(lua_State *L, lua_Debug *ar);

/* lua_sethook goes through all frames: with 200,000 of them it takes longer than a tick. */
static void set_hook(struct crier_budget *b, lua_State *L)
{
    int count = b->raised == 1 && b->late < GRACE_TICKS ? GRACE : 1;
    if (lua_gethook(L) != hook || lua_gethookcount(L) != count)
        lua_sethook(L, hook, LUA_MASKCOUNT, count);
}

static int64_t thread_cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * CRIER_S + ts.tv_nsec / 1000;
}

/* Runs in a signal handler: async-signal-safe calls and lua_sethook only. */
static void on_tick(int signo)
{
    (void)signo;
    struct crier_budget *inner = top;
    if (!inner)
        return;
    int saved = errno;
    int64_t now = thread_cpu();
    for (struct crier_budget *b = inner; b; b = b->outer) {
        /* Where instructions count, how fast the machine is must not show; but some who run away do
         * so within C. */
        int64_t limit = counts(b->vm) ? b->limit * SLOWNESS : b->limit;
        if (b->since == 0)
            b->since = now;
        else if (limit > 0 && now - b->since >= limit)
            b->over = 1;
        if (b->vm->interrupted)
            b->over = 1;
    }
    /* Also when it was over before: the hook may have been set on a state that had just been
     * left. */
    if (inner->over && !counts(inner->vm)) {
        inner->late++;
        set_hook(inner, inner->running);
    }
    errno = saved;
}

/* Where the script is: the innermost function that is the user's. */
static void push_place(lua_State *L)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strcmp(ar.source, "=crier") != 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static int raise_over(lua_State *L, struct crier_budget *b)
{
    b->raised++;
    set_hook(b, L);
    if (!b->message) {
        char limit[48];
        luaL_checkstack(L, 4, NULL);
        push_place(L);
        if (b->vm->interrupted)
            lua_pushfstring(L, "%s%s was stopped", lua_tostring(L, -1), b->what);
        else
            lua_pushfstring(L, "%s%s used more than %s of CPU time (%s)", lua_tostring(L, -1),
                            b->what, crier_duration_text(b->limit, limit), b->limit_name);
        b->message = crier_strdup(lua_tostring(L, -1));
        b->traceback = crier_lua_stack(L);
    } else {
        lua_pushstring(L, b->message);
    }
    return lua_error(L);
}

static void charge(struct crier_budget *inner, int64_t steps)
{
    for (struct crier_budget *b = inner; b; b = b->outer) {
        b->counted += steps * INSTRUCTION_NS;
        int64_t us = b->counted / 1000;
        if (b->vm->interrupted)
            b->over = 1;
        if (b->limit > 0 && us >= b->limit) {
            b->over = 1;
            if (us - b->limit >= GRACE_TICKS * TICK_NS / 1000)
                b->late = GRACE_TICKS;
        }
    }
}

static void hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct crier_budget *b = top;
    struct crier_vm *vm = crier_vm_of(L);
    if (b && counts(vm))
        charge(b, lua_gethookcount(L));
    if (b && b->over) {
        /* An error out of C may have met a pcall around that C alone; the first one that the
         * script's own code raises still lets its __close functions run. */
        if (b->polled)
            b->raised = 0;
        b->polled = false;
        if (b->raised == 0 || !lua_isyieldable(L))
            raise_over(L, b);
        /* An error would be caught again, maybe at each of 100,000 nested pcalls. A yield passes
         * them all, and b->killed tells whoever resumed this state. */
        b->raised++;
        set_hook(b, L);
        b->killed = true;
        lua_yield(L, 0);
        return;
    }
    /* A hook left behind by a stretch that is over. */
    if (!counts(vm))
        lua_sethook(L, NULL, 0, 0);
    else if (lua_gethookcount(L) != COUNT_STEP)
        lua_sethook(L, hook, LUA_MASKCOUNT, COUNT_STEP);
}

void crier_budget_attach(struct crier_vm *vm)
{
    if (counts(vm))
        lua_sethook(vm->L, hook, LUA_MASKCOUNT, COUNT_STEP);
}

void crier_budget_enter(struct crier_budget *b, struct crier_vm *vm, lua_State *L, int64_t limit,
                        const char *what, const char *limit_name)
{
    memset(b, 0, sizeof *b);
    b->outer = top;
    b->vm = vm;
    b->running = L;
    b->limit = limit;
    b->what = what;
    b->limit_name = limit_name;
    b->was_capped = vm->capped;
    vm->capped = true;
    atomic_signal_fence(memory_order_seq_cst);
    top = b;
}

void crier_budget_leave(struct crier_budget *b)
{
    top = b->outer;
    atomic_signal_fence(memory_order_seq_cst);
    b->vm->capped = b->was_capped;
    if (b->outer && b->outer->over)
        set_hook(b->outer, b->outer->running);
}

void crier_budget_fini(struct crier_budget *b)
{
    free(b->message);
    free(b->traceback);
    b->message = b->traceback = NULL;
}

void crier_budget_limit(struct crier_vm *vm, int64_t limit)
{
    if (top && top->vm == vm)
        top->limit = limit;
}

struct crier_budget *crier_budget_top(void)
{
    return top;
}

void crier_budget_switch(struct crier_budget *b, lua_State *to)
{
    b->running = to;
    atomic_signal_fence(memory_order_seq_cst);
    /* A coroutine that ends within COUNT_STEP would cost nothing. */
    if (counts(b->vm))
        charge(b, SWITCH_STEPS);
    if (b->over)
        set_hook(b, to);
}

void crier_budget_poll(lua_State *L, int64_t steps)
{
    struct crier_budget *b = top;
    if (!b)
        return;
    if (counts(b->vm))
        charge(b, steps);
    if (b->over) {
        b->polled |= b->raised == 0;
        raise_over(L, b);
    }
}

/* Also at the end of a thread that never asks for it: the timer would outlive it. */
static void disarm(void *arg)
{
    (void)arg;
    if (armed)
        timer_delete(timer);
    armed = false;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;

static void make_key(void)
{
    pthread_key_create(&at_exit, disarm);
}

int crier_budget_thread(bool on, struct crier_err *err)
{
    if (on == armed || COUNT_ALWAYS)
        return 0;
    if (!on) {
        disarm(NULL);
        return 0;
    }
    int signo = SIGRTMIN + 3;
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(signo, &action, NULL) != 0)
        return crier_err_sys(err, CRIER_EINTERNAL, errno, "cannot install the CPU tick's handler");
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signo};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0)
        return crier_err_sys(err, CRIER_EINTERNAL, errno, "cannot create the CPU tick's timer");
    struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
    if (timer_settime(timer, 0, &every, NULL) != 0) {
        int sys = errno;
        timer_delete(timer);
        return crier_err_sys(err, CRIER_EINTERNAL, sys, "cannot arm the CPU tick's timer");
    }
    armed = true;
    /* Workers keep signals for the loop's thread; this one is each thread's own. */
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, signo);
    pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    pthread_once(&once, make_key);
    pthread_setspecific(at_exit, &armed);
    return 0;
}
