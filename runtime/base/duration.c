/* SPDX-License-Identifier: MIT */
#include "base/duration.h"

#include <glib.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define MINUTE 60LL
#define HOUR 3600LL
#define DAY 86400LL
#define LONGEST (3652425LL * DAY * CRIER_S) /* 10,000 years */
#define TOO_LONG " is too long (at most 10,000 years)"

/* --- durations and sizes ------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t size;
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads "12" or "1.5" or ".5" and goes behind it. False when there is no number; a whole part that
 * is too large becomes INT64_MAX. */
static bool read_number(const char **text, int64_t *whole, double *fraction)
{
    const char *p = *text;
    int digits = 0;
    *whole = 0;
    *fraction = 0;
    for (; digit(*p); p++, digits++) {
        if (__builtin_mul_overflow(*whole, 10, whole) ||
            __builtin_add_overflow(*whole, *p - '0', whole))
            *whole = INT64_MAX;
    }
    if (*p == '.') {
        double place = 0.1;
        for (p++; digit(*p); p++, digits++, place /= 10)
            *fraction += (*p - '0') * place;
    }
    *text = p;
    return digits > 0;
}

static bool scale(int64_t whole, double fraction, int64_t unit, int64_t *out)
{
    return whole != INT64_MAX && !__builtin_mul_overflow(whole, unit, out) &&
           !__builtin_add_overflow(*out, llround(fraction * (double)unit), out);
}

/* The unit that stands at *text, its letters taken whole; NULL when there is none of that name. */
static const struct unit *read_unit(const char **text, const struct unit *units, size_t count)
{
    const char *p = *text;
    while (*p == ' ')
        p++;
    size_t len = 0;
    while (g_ascii_isalpha(p[len]))
        len++;
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, p, len) == 0) {
            *text = p + len;
            return &units[i];
        }
    }
    return NULL;
}

int crier_duration_parse(const char *text, int64_t *out_us, struct crier_err *err)
{
    static const struct unit units[] = {
        {"w", 7 * DAY * CRIER_S}, {"d", DAY * CRIER_S}, {"h", HOUR * CRIER_S},
        {"m", MINUTE * CRIER_S},  {"s", CRIER_S},       {"ms", CRIER_MS},
    };
    const char *p = text;
    const char *why = "units are ms s m h d w";
    int64_t total = 0;
    const struct unit *last = NULL;
    while (*p == ' ')
        p++;
    do {
        int64_t whole, part;
        double fraction;
        if (!read_number(&p, &whole, &fraction))
            goto bad;
        const struct unit *unit = read_unit(&p, units, CRIER_COUNT(units));
        if (!unit)
            goto bad;
        if (last && unit <= last) {
            why = "units go from large to small, each once: w d h m s ms";
            goto bad;
        }
        last = unit;
        if (!scale(whole, fraction, unit->size, &part) || part > LONGEST - total)
            return crier_err_set(err, CRIER_EINVAL, "the duration \"%.40s\"" TOO_LONG, text);
        total += part;
        while (*p == ' ')
            p++;
    } while (*p);
    *out_us = total;
    return 0;
bad:
    return crier_err_set(err, CRIER_EINVAL,
                         "expected a duration such as \"10s\" or \"1m30s\", got \"%.40s\" (%s)",
                         text, why);
}

int crier_duration_from_seconds(double seconds, int64_t *out_us, struct crier_err *err)
{
    if (isnan(seconds) || seconds < 0)
        return crier_err_set(err, CRIER_EINVAL,
                             "expected a duration, a number of seconds from 0 up, got %g", seconds);
    if (seconds > (double)(LONGEST / CRIER_S))
        return crier_err_set(err, CRIER_EINVAL, "a duration of %g seconds" TOO_LONG, seconds);
    *out_us = llround(seconds * (double)CRIER_S);
    return 0;
}

/* "1.5" for 1500 thousandths */
static size_t put_fraction(char *out, size_t cap, uint64_t value, uint64_t scale_, int places)
{
    size_t n = (size_t)snprintf(out, cap, "%llu", (unsigned long long)(value / scale_));
    if (value % scale_) {
        n += (size_t)snprintf(out + n, cap - n, ".%0*llu", places,
                              (unsigned long long)(value % scale_));
        while (out[n - 1] == '0')
            n--;
    }
    return n;
}

const char *crier_duration_text(int64_t us, char out[48])
{
    enum { CAP = 48 };
    static const struct unit units[] = {{"d", DAY}, {"h", HOUR}, {"m", MINUTE}};
    size_t n = 0;
    uint64_t left = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    if (us < 0)
        out[n++] = '-';
    if (left == 0) {
        memcpy(out, "0s", 3);
        return out;
    }
    if (left % (uint64_t)(7 * DAY * CRIER_S) == 0) {
        snprintf(out + n, CAP - n, "%lluw", (unsigned long long)left / (7 * DAY * CRIER_S));
        return out;
    }
    if (left < CRIER_S) {
        n += put_fraction(out + n, CAP - n, left, CRIER_MS, 3);
        memcpy(out + n, "ms", 3);
        return out;
    }
    for (size_t i = 0; i < CRIER_COUNT(units); i++) {
        uint64_t size = (uint64_t)(units[i].size * CRIER_S);
        if (left >= size)
            n += (size_t)snprintf(out + n, CAP - n, "%llu%s", (unsigned long long)(left / size),
                                  units[i].name);
        left %= size;
    }
    if (left) {
        n += put_fraction(out + n, CAP - n, left, CRIER_S, 6);
        out[n++] = 's';
    }
    out[n] = '\0';
    return out;
}

int crier_size_parse(const char *text, int64_t *out_bytes, struct crier_err *err)
{
    static const struct unit units[] = {
        {"", 1},          {"B", 1},         {"KB", 1000},     {"MB", 1000000}, {"GB", 1000000000},
        {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
    };
    const char *p = text;
    int64_t whole;
    double fraction;
    while (*p == ' ')
        p++;
    if (!read_number(&p, &whole, &fraction))
        goto bad;
    const struct unit *unit = read_unit(&p, units, CRIER_COUNT(units));
    if (!unit)
        goto bad;
    while (*p == ' ')
        p++;
    if (*p)
        goto bad;
    if (!scale(whole, fraction, unit->size, out_bytes))
        return crier_err_set(err, CRIER_EINVAL, "the size \"%.40s\" is too large", text);
    return 0;
bad:
    return crier_err_set(err, CRIER_EINVAL,
                         "expected a size such as \"64KiB\" or \"256MiB\", got \"%.40s\" "
                         "(units are B KB MB GB KiB MiB GiB)",
                         text);
}

/* --- zones --------------------------------------------------------------------------------- */

struct crier_zone {
    atomic_int refs;
    unsigned serial; /* never given twice in a process, so that a cache can go by it */
    GTimeZone *tz;
    char *name;
};

/* GLib would open any file: only what can be a zone's name gets that far. */
static bool plausible(const char *name)
{
    if (!g_ascii_isalnum(name[0]) && name[0] != '+' && name[0] != '-')
        return false;
    for (const char *p = name; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("/_+-:,.", *p))
            return false;
        if (p[0] == '.' && p[1] == '.')
            return false;
    }
    return true;
}

int crier_zone_open(const char *name, struct crier_zone **out, struct crier_err *err)
{
    GTimeZone *tz = NULL;
    if (!name || strcmp(name, "local") == 0)
        tz = g_time_zone_new_local();
    else if (strcmp(name, "UTC") == 0)
        tz = g_time_zone_new_utc();
    else if (plausible(name))
        tz = g_time_zone_new_identifier(name);
    if (!tz)
        return crier_err_set(err, CRIER_ENOTFOUND,
                             "unknown time zone \"%.60s\" (expected an IANA name such as "
                             "\"Europe/Ljubljana\", or \"UTC\" or \"local\")",
                             name);
    static atomic_uint serials;
    struct crier_zone *zone = crier_calloc(1, sizeof *zone);
    zone->refs = 1;
    zone->serial = atomic_fetch_add(&serials, 1) + 1;
    zone->tz = tz;
    zone->name = crier_strdup(g_time_zone_get_identifier(tz));
    *out = zone;
    return 0;
}

struct crier_zone *crier_zone_ref(struct crier_zone *zone)
{
    if (zone)
        atomic_fetch_add(&zone->refs, 1);
    return zone;
}

void crier_zone_unref(struct crier_zone *zone)
{
    if (!zone || atomic_fetch_sub(&zone->refs, 1) != 1)
        return;
    g_time_zone_unref(zone->tz);
    free(zone->name);
    free(zone);
}

const char *crier_zone_name(const struct crier_zone *zone)
{
    return zone->name;
}

/* The last instant towards `bound` that is in the same interval as utc. */
static int64_t reach(GTimeZone *tz, int interval, int64_t utc, int64_t bound)
{
    int64_t inside = utc, outside = utc, sign = bound < utc ? -1 : 1;
    for (int64_t leap = 30 * DAY; outside != bound; leap *= 2) {
        outside = (bound - inside) * sign > leap ? inside + sign * leap : bound;
        if (g_time_zone_find_interval(tz, G_TIME_TYPE_UNIVERSAL, outside) != interval)
            break;
        inside = outside;
    }
    while ((outside - inside) * sign > 1) {
        int64_t middle = inside + (outside - inside) / 2;
        if (g_time_zone_find_interval(tz, G_TIME_TYPE_UNIVERSAL, middle) == interval)
            inside = middle;
        else
            outside = middle;
    }
    return inside;
}

/* GLib looks through a zone's intervals one by one, so answers are kept, each thread its own: some 48
 * days of a zone have a slot, with room for what is before and behind a change of its clocks. */
void crier_zone_span(const struct crier_zone *zone, int64_t utc, struct crier_zone_span *out)
{
    enum { SLOTS = 128, SLOT_BITS = 22 };
    struct kept {
        unsigned serial, turn; /* turn: of the slot's first one, which is to go next */
        struct crier_zone_span span;
    };
    static _Thread_local struct kept slots[SLOTS][2];
    const int64_t first = -62135596800, last = 253402300799; /* years 1 to 9999 */
    utc = utc < first ? first : utc > last ? last : utc;
    struct kept *slot = slots[((size_t)((utc - first) >> SLOT_BITS) + zone->serial * 97U) % SLOTS];
    for (int i = 0; i < 2; i++) {
        if (slot[i].serial == zone->serial && utc >= slot[i].span.from && utc < slot[i].span.to) {
            *out = slot[i].span;
            return;
        }
    }
    int interval = g_time_zone_find_interval(zone->tz, G_TIME_TYPE_UNIVERSAL, utc);
    out->offset = g_time_zone_get_offset(zone->tz, interval);
    out->from = reach(zone->tz, interval, utc, first);
    out->to = reach(zone->tz, interval, utc, last) + 1;
    struct kept *old = &slot[slot[0].turn++ % 2];
    old->serial = zone->serial;
    old->span = *out;
}

static int offset_at(const struct crier_zone *zone, int64_t utc)
{
    struct crier_zone_span span;
    crier_zone_span(zone, utc, &span);
    return span.offset;
}

/* --- civil time ---------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The calendar algorithms are those of https://howardhinnant.github.io/date_algorithms.html */
int64_t crier_days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void crier_civil_from_days(int64_t days, struct crier_civil *out)
{
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    out->year = (int)(yoe + era * 400 + (out->month <= 2));
}

/* UTC when zone is NULL. */
static void civil(const struct crier_zone *zone, int64_t wall_us, struct crier_civil *out)
{
    int64_t seconds = floor_div(wall_us, CRIER_S);
    out->micros = (int)(wall_us - seconds * CRIER_S);
    out->offset = zone ? offset_at(zone, seconds) : 0;
    seconds += out->offset;
    int64_t days = floor_div(seconds, DAY);
    int rest = (int)(seconds - days * DAY);
    out->hour = rest / 3600;
    out->minute = rest / 60 % 60;
    out->second = rest % 60;
    out->weekday = (int)((days % 7 + 7 + 3) % 7) + 1; /* 1 January 1970 was a Thursday */
    crier_civil_from_days(days, out);
}

void crier_civil_at(const struct crier_zone *zone, int64_t wall_us, struct crier_civil *out)
{
    civil(zone, wall_us, out);
}

int crier_month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static int check_civil(const struct crier_civil *c, struct crier_err *err)
{
    const struct {
        const char *name;
        int value, lo, hi;
    } fields[] = {
        {"year", c->year, 1, 9999},
        {"month", c->month, 1, 12},
        {"day", c->day, 1, c->month >= 1 && c->month <= 12 ? crier_month_days(c->year, c->month) : 31},
        {"hour", c->hour, 0, 23},
        {"minute", c->minute, 0, 59},
        {"second", c->second, 0, 59},
        {"microsecond", c->micros, 0, 999999},
    };
    for (size_t i = 0; i < CRIER_COUNT(fields); i++) {
        if (fields[i].value < fields[i].lo || fields[i].value > fields[i].hi)
            return crier_err_set(err, CRIER_EINVAL, "%s %d is out of range (%d to %d)",
                                 fields[i].name, fields[i].value, fields[i].lo, fields[i].hi);
    }
    return 0;
}

static int64_t local_seconds(const struct crier_civil *c)
{
    return crier_days_from_civil(c->year, c->month, c->day) * DAY + c->hour * HOUR + c->minute * MINUTE +
           c->second;
}

/* Asks the zone only what is never ambiguous, the offset at an instant. (GLib can resolve local
 * times too, but takes a fold's first pass only where that one is marked as daylight saving, which
 * Dublin's or a change of standard time is not.) */
int64_t crier_zone_resolve(const struct crier_zone *zone, int64_t local)
{
    int earlier = offset_at(zone, local - DAY);
    int later = offset_at(zone, local + DAY);
    int64_t first = local - (earlier > later ? earlier : later);
    int64_t last = local - (earlier > later ? later : earlier);
    if (first + offset_at(zone, first) == local)
        return first;
    if (last + offset_at(zone, last) == local)
        return last;
    /* A gap: the clocks go forward somewhere between the two. */
    while (last - first > 1) {
        int64_t middle = first + (last - first) / 2;
        if (offset_at(zone, middle) == earlier)
            first = middle;
        else
            last = middle;
    }
    return last;
}

int crier_civil_to_wall(const struct crier_zone *zone, const struct crier_civil *c, int64_t *out_us,
                        struct crier_err *err)
{
    int rc = check_civil(c, err);
    if (rc)
        return rc;
    int64_t local = local_seconds(c);
    int64_t utc = crier_zone_resolve(zone, local);
    bool gap = utc + offset_at(zone, utc) != local;
    *out_us = utc * CRIER_S + (gap ? 0 : c->micros);
    return 0;
}

/* --- texts --------------------------------------------------------------------------------- */

static bool read_digits(const char **p, int count, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++) {
        if (!digit((*p)[i]))
            return false;
        *out = *out * 10 + ((*p)[i] - '0');
    }
    *p += count;
    return true;
}

static bool read_char(const char **p, const char *any)
{
    if (!**p || !strchr(any, **p))
        return false;
    (*p)++;
    return true;
}

static bool read_time(const char **p, struct crier_civil *c)
{
    if (!read_digits(p, 2, &c->hour) || !read_char(p, ":") || !read_digits(p, 2, &c->minute))
        return false;
    if (!read_char(p, ":"))
        return true;
    if (!read_digits(p, 2, &c->second))
        return false;
    if (!read_char(p, ".,"))
        return true;
    if (!digit(**p))
        return false;
    for (int place = 100000; digit(**p); place /= 10)
        c->micros += (*(*p)++ - '0') * place;
    return true;
}

/* "Z", "+02:00", "-0530", "+01"; *has tells whether there is one. */
static bool read_offset(const char **p, int *offset, bool *has)
{
    int hours, minutes = 0;
    *has = true;
    *offset = 0;
    if (read_char(p, "Zz"))
        return true;
    int sign = **p == '-' ? -1 : 1;
    if (!read_char(p, "+-")) {
        *has = false;
        return true;
    }
    if (!read_digits(p, 2, &hours))
        return false;
    if ((read_char(p, ":") || digit(**p)) && !read_digits(p, 2, &minutes))
        return false;
    *offset = sign * (int)(hours * HOUR + minutes * MINUTE);
    return hours <= 23 && minutes <= 59;
}

int crier_datetime_parse(const char *text, const struct crier_zone *zone, int64_t *out_wall_us,
                         struct crier_err *err)
{
    struct crier_civil c = {0};
    const char *p = text;
    int offset = 0;
    bool has_offset = false;
    bool ok = read_digits(&p, 4, &c.year) && read_char(&p, "-") && read_digits(&p, 2, &c.month) &&
              read_char(&p, "-") && read_digits(&p, 2, &c.day);
    if (ok && read_char(&p, "Tt "))
        ok = read_time(&p, &c);
    ok = ok && read_offset(&p, &offset, &has_offset) && !*p;
    if (!ok)
        return crier_err_set(err, CRIER_EINVAL,
                             "expected a date such as \"2026-11-21\" or \"2026-11-21T09:00\", "
                             "got \"%.40s\"",
                             text);
    int rc = has_offset ? check_civil(&c, err) : crier_civil_to_wall(zone, &c, out_wall_us, err);
    if (rc) {
        crier_err_prefix(err, "bad date \"%.40s\": ", text);
        return rc;
    }
    if (has_offset)
        *out_wall_us = (local_seconds(&c) - offset) * CRIER_S + c.micros;
    return 0;
}

bool crier_datetime_like(const char *text)
{
    return digit(text[0]) && digit(text[1]) && digit(text[2]) && digit(text[3]) && text[4] == '-';
}

/* Years of other than four digits are no use to a reader: CRIER_NEVER shows as the last instant. */
static int64_t in_four_digits(int64_t wall_us)
{
    const int64_t first = -62135510400 * CRIER_S; /* a day inside years 1 to 9999, for the offset */
    const int64_t last = 253402214400 * CRIER_S;
    return wall_us < first ? first : wall_us > last ? last : wall_us;
}

static void civil_text(const struct crier_zone *zone, int64_t wall_us, struct crier_civil *out)
{
    civil(zone, in_four_digits(wall_us), out);
}

static char *put(char *out, int digits, int value, char behind)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    out[digits] = behind;
    return out + digits + (behind != '\0');
}

/* Records come many in a second: the text up to it is kept from one to the next. */
const char *crier_time_rfc3339(int64_t wall_us, char out[32])
{
    static _Thread_local char kept[20];
    static _Thread_local int64_t second = INT64_MIN;
    wall_us = in_four_digits(wall_us);
    int64_t at = wall_us / CRIER_S - (wall_us % CRIER_S < 0);
    struct crier_civil c = {.micros = (int)(wall_us - at * CRIER_S)};
    if (at != second) {
        civil(NULL, wall_us, &c);
        char *p = put(out, 4, c.year, '-');
        p = put(p, 2, c.month, '-');
        p = put(p, 2, c.day, 'T');
        p = put(p, 2, c.hour, ':');
        p = put(p, 2, c.minute, ':');
        put(p, 2, c.second, '.');
        memcpy(kept, out, sizeof kept);
        second = at;
    }
    memcpy(out, kept, sizeof kept);
    *put(out + sizeof kept, 6, c.micros, 'Z') = '\0';
    return out;
}

const char *crier_time_dayfile(const struct crier_zone *zone, int64_t wall_us, char out[32])
{
    struct crier_civil c;
    civil_text(zone, wall_us, &c);
    char *p = put(out, 2, c.day, '.');
    p = put(p, 2, c.month, '.');
    p = put(p, 4, c.year, ' ');
    p = put(p, 2, c.hour, ':');
    p = put(p, 2, c.minute, ':');
    put(p, 2, c.second, '\0');
    return out;
}

const char *crier_time_human(const struct crier_zone *zone, int64_t wall_us, char out[32])
{
    static const char days[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct crier_civil c;
    civil_text(zone, wall_us, &c);
    memcpy(out, days + (c.weekday - 1) * 3, 3);
    out[3] = ' ';
    char *p = put(out + 4, 2, c.day, ' ');
    memcpy(p, months + (c.month - 1) * 3, 3);
    p[3] = ' ';
    p = put(p + 4, 2, c.hour, ':');
    p = put(p, 2, c.minute, ':');
    put(p, 2, c.second, '\0');
    return out;
}
