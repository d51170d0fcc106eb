/* SPDX-License-Identifier: MIT
 *
 * Durations, sizes, dates and times of day as users write them.
 *
 * Source of the rules: lua/README.md, Values: "500ms" "10s" "1m30s" "2h" "1d" "2w", or a number of
 * seconds; a bare "10" or an unknown unit is an error that names the units.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_BASE_DURATION_H
#define CRIER_BASE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/** "1m30s", "1.5h", "500ms", "2 h" -> microseconds >= 0. Units ms s m h d w, largest first, each
 *  at most once. CRIER_EINVAL with a text such as
 *  "expected a duration such as \"10s\" or \"1m30s\", got \"10\" (units are ms s m h d w)". */
CRIER_CHECK int crier_duration_parse(const char *text, int64_t *out_us, struct crier_err *err);
/** Seconds as a number -> microseconds; NaN, negative and above 10,000 years are CRIER_EINVAL. */
CRIER_CHECK int crier_duration_from_seconds(double seconds, int64_t *out_us,
                                            struct crier_err *err);
/** The shortest exact text: 90 s -> "1m30s", 0 -> "0s". Returns out. */
const char *crier_duration_text(int64_t us, char out[48]);
/** "256MiB", "64KB", "10 MiB", "1.5GiB", "1024" (bytes) -> bytes. Units B KB MB GB KiB MiB GiB. */
CRIER_CHECK int crier_size_parse(const char *text, int64_t *out_bytes, struct crier_err *err);

/** A time zone; refcounted, immutable. */
struct crier_zone;
/** IANA name, "UTC", or NULL/"local" for the machine's. CRIER_ENOTFOUND when unknown. */
CRIER_CHECK int crier_zone_open(const char *name, struct crier_zone **out, struct crier_err *err);
struct crier_zone *crier_zone_ref(struct crier_zone *zone);
void crier_zone_unref(struct crier_zone *zone); /**< NULL is allowed */
const char *crier_zone_name(const struct crier_zone *zone);

/** A stretch of time in which a zone's clocks keep one offset. Neighbours may have the same one. */
struct crier_zone_span {
    int64_t from, to; /**< UTC seconds; to is behind it. Bounded by the years 1 and 9999 */
    int offset;       /**< seconds east of UTC */
};
/** The one that an instant (UTC seconds) is in. */
void crier_zone_span(const struct crier_zone *zone, int64_t utc, struct crier_zone_span *out);
/** Local seconds (counted as if the zone were UTC) -> UTC seconds. A local time that does not exist
 *  gives the first valid instant after it; one that comes twice gives the first. */
int64_t crier_zone_resolve(const struct crier_zone *zone, int64_t local);

/** Broken-down civil time. */
struct crier_civil {
    int year, month, day;             /**< month and day from 1 */
    int hour, minute, second, micros;
    int weekday;                      /**< Monday 1 .. Sunday 7; filled by crier_civil_at */
    int offset;                       /**< seconds east of UTC; filled by crier_civil_at */
};
/** The day's number, 0 being 1 January 1970; and back (year, month and day are filled). */
int64_t crier_days_from_civil(int64_t year, int month, int day);
void crier_civil_from_days(int64_t days, struct crier_civil *out);
int crier_month_days(int64_t year, int month); /**< 28 to 31 */
/** Wall time -> civil time in a zone. */
void crier_civil_at(const struct crier_zone *zone, int64_t wall_us, struct crier_civil *out);
/** Civil time in a zone -> wall time. A local time that does not exist gives the first valid
 *  instant after it; one that comes twice gives the first. Fields are taken as they are (no
 *  normalising); CRIER_EINVAL when out of range (31 February). */
CRIER_CHECK int crier_civil_to_wall(const struct crier_zone *zone, const struct crier_civil *civil,
                                    int64_t *out_us, struct crier_err *err);

/** ISO 8601: "2026-11-21", "2026-11-21T09:00", "2026-11-21 09:00:30.5", each with "Z" or "+02:00"
 *  or, without, in the zone. CRIER_EINVAL with an example in the text. */
CRIER_CHECK int crier_datetime_parse(const char *text, const struct crier_zone *zone,
                                     int64_t *out_wall_us, struct crier_err *err);
/** Whether a text looks like a date rather than a duration (starts with four digits and '-'). */
bool crier_datetime_like(const char *text);

/** "2026-11-21T22:31:10.123456Z" (RFC 3339, UTC, microseconds). out holds 28 bytes at least. */
const char *crier_time_rfc3339(int64_t wall_us, char out[32]);
/** "23.05.2022 18:28:15", local time of the zone: the day files' timestamp. */
const char *crier_time_dayfile(const struct crier_zone *zone, int64_t wall_us, char out[32]);
/** "Sat 21 Nov 22:31:10", for people. */
const char *crier_time_human(const struct crier_zone *zone, int64_t wall_us, char out[32]);

#endif
