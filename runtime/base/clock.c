/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"

struct crier_clock {
    bool virtual_;
    _Atomic int64_t mono;
    _Atomic int64_t offset; /* wall - mono */
};

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * CRIER_S + ts.tv_nsec / 1000;
}

struct crier_clock *crier_clock_real(void)
{
    static struct crier_clock real;
    return &real;
}

struct crier_clock *crier_clock_virtual(int64_t wall_us)
{
    struct crier_clock *clock = crier_calloc(1, sizeof *clock);
    clock->virtual_ = true;
    clock->offset = wall_us;
    return clock;
}

void crier_clock_free(struct crier_clock *clock)
{
    if (clock && clock->virtual_)
        free(clock);
}

bool crier_clock_is_virtual(const struct crier_clock *clock)
{
    return clock->virtual_;
}

int64_t crier_clock_wall(const struct crier_clock *clock)
{
    return clock->virtual_ ? clock->mono + clock->offset : read_clock(CLOCK_REALTIME);
}

int64_t crier_clock_mono(const struct crier_clock *clock)
{
    return clock->virtual_ ? clock->mono : read_clock(CLOCK_MONOTONIC);
}

void crier_clock_advance_to(struct crier_clock *clock, int64_t mono_us)
{
    if (clock->virtual_ && mono_us > clock->mono)
        clock->mono = mono_us;
}

void crier_clock_set_wall(struct crier_clock *clock, int64_t wall_us)
{
    if (clock->virtual_)
        clock->offset = wall_us - clock->mono;
}
