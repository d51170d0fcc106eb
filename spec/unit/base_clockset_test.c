/* SPDX-License-Identifier: MIT
 *
 * The live watch for a clock that is set. Setting the machine's clock is not for a test, so the
 * system calls that tell of it are the test's own here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"

static int clock_fd = -1;
static int armed;
static long set_by; /* seconds that the wall clock was moved by */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (id == CLOCK_REALTIME)
        ts->tv_sec += set_by;
    return rc;
}

int timerfd_create(clockid_t id, int flags)
{
    assert_int_equal(id, CLOCK_REALTIME);
    assert_int_equal(flags, TFD_NONBLOCK | TFD_CLOEXEC);
    return clock_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
    (void)old;
    assert_int_equal(fd, clock_fd);
    assert_int_equal(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    assert_true(when->it_value.tv_sec > 4102444800L); /* in this century it never expires */
    armed++;
    return 0;
}

ssize_t read(int fd, void *to, size_t size)
{
    ssize_t n = syscall(SYS_read, fd, to, size);
    if (fd != clock_fd || n < 0)
        return n;
    errno = ECANCELED;
    return -1;
}

static void set_clock(long seconds)
{
    uint64_t one = 1;
    set_by += seconds;
    assert_int_equal(write(clock_fd, &one, sizeof one), sizeof one);
}

static int64_t jumps[4];
static int count;

static void on_set(void *arg, int64_t jump_us)
{
    assert_in_range(count, 0, 3);
    jumps[count++] = jump_us;
    if (count == 1)
        set_clock(-7200); /* again, at once */
    else
        crier_loop_stop(arg);
}

static void each_setting_is_told(void **state)
{
    (void)state;
    struct crier_loop *loop = crier_loop_new(crier_clock_real());
    crier_loop_on_clock_set(loop, on_set, loop);
    assert_int_equal(armed, 1);
    set_clock(3600);
    crier_loop_run(loop, crier_loop_now(loop) + 60 * CRIER_S);
    assert_int_equal(count, 2);
    assert_int_equal(armed, 3); /* anew after each */
    const int64_t minute = 60 * CRIER_S;
    assert_true(jumps[0] > 3600 * CRIER_S - minute && jumps[0] < 3600 * CRIER_S + minute);
    assert_true(jumps[1] > -7200 * CRIER_S - minute && jumps[1] < -7200 * CRIER_S + minute);
    crier_loop_on_clock_set(loop, on_set, loop); /* watched once */
    assert_int_equal(armed, 3);
    crier_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_setting_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
