/* SPDX-License-Identifier: MIT
 *
 * Time is injected: no module asks the system for the time by itself.
 *
 * All times are microseconds in int64_t: wall time is UTC since the epoch, monotonic time counts
 * from an arbitrary origin and never steps. The virtual clock's two times advance together, and
 * only when its owner says so.
 *
 * Thread: [any] for reading. Only the loop thread moves a virtual clock.
 */
#ifndef CRIER_BASE_CLOCK_H
#define CRIER_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CRIER_US 1LL
#define CRIER_MS 1000LL
#define CRIER_S 1000000LL
#define CRIER_NEVER INT64_MAX

struct crier_clock; /* opaque */

/** The machine's clock; one object for the process, never freed. */
struct crier_clock *crier_clock_real(void);
/** A clock that stands at wall_us until it is moved. Monotonic time starts at 0. */
struct crier_clock *crier_clock_virtual(int64_t wall_us);
void crier_clock_free(struct crier_clock *clock); /**< no-op for the real clock */

bool crier_clock_is_virtual(const struct crier_clock *clock);
int64_t crier_clock_wall(const struct crier_clock *clock);
int64_t crier_clock_mono(const struct crier_clock *clock);

/** Virtual only: go on to this monotonic time (never backwards). */
void crier_clock_advance_to(struct crier_clock *clock, int64_t mono_us);
/** Virtual only: set the wall time, as an operator or NTP would. */
void crier_clock_set_wall(struct crier_clock *clock, int64_t wall_us);

#endif
