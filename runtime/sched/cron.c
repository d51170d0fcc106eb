/* SPDX-License-Identifier: MIT */
#include "sched/cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/duration.h"

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct field {
    const char *name;
    int lo, hi;
    const char *names; /* three letters each, the first is lo's */
} fields[FIELDS] = {
    {"minute", 0, 59, ""},
    {"hour", 0, 23, ""},
    {"day of the month", 1, 31, ""},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

/* --- reading ------------------------------------------------------------------------------ */

static int bad_field(struct crier_words *s, const struct field *f, const char *at, const char *end)
{
    return crier_words_fault(s, at, "cron: the %s is a number from %d to %d%s%s, got '%.*s'",
                             f->name, f->lo, f->hi, *f->names ? ", or a name such as " : "",
                             f == &fields[MONTH]     ? "jan"
                             : f == &fields[WEEKDAY] ? "mon"
                                                     : "",
                             (int)(end - at < 24 ? end - at : 24), at);
}

/* A number or a name; false when it is neither or out of range. */
static bool read_value(const struct field *f, const char **p, int *out)
{
    if (**p >= '0' && **p <= '9') {
        char *end;
        unsigned long n = strtoul(*p, &end, 10);
        if (end - *p > 2 || n < (unsigned)f->lo || n > (unsigned)f->hi)
            return false;
        *out = (int)n;
        *p = end;
        return true;
    }
    for (int i = 0; f->names[i * 3]; i++) {
        if (strncasecmp(*p, f->names + (size_t)i * 3, 3) == 0) {
            *out = f->lo + i;
            *p += 3;
            return true;
        }
    }
    return false;
}

/* What one item of a list is. */
struct item {
    int lo, hi, step, nth; /* nth: of a weekday; -1: the last */
    bool last_day;
};

static bool read_item(int index, const char **p, struct item *it)
{
    const struct field *f = &fields[index];
    bool weekday = index == WEEKDAY;
    *it = (struct item){.lo = f->lo, .hi = weekday ? 6 : f->hi, .step = 1};
    bool whole = **p == '*' || (**p == '?' && index >= DAY && index != MONTH);
    if (whole) {
        ++*p;
    } else if (index == DAY && (**p == 'L' || **p == 'l')) {
        ++*p;
        it->last_day = true;
        return true;
    } else {
        if (!read_value(f, p, &it->lo))
            return false;
        it->hi = it->lo;
        if (weekday && (**p == 'L' || **p == 'l')) {
            ++*p;
            it->nth = -1;
            return true;
        }
        if (weekday && **p == '#') {
            if ((*p)[1] < '1' || (*p)[1] > '5')
                return false;
            it->nth = (*p)[1] - '0';
            *p += 2;
            return true;
        }
        if (**p == '-') {
            ++*p;
            if (!read_value(f, p, &it->hi))
                return false;
        } else if (**p == '/') {
            it->hi = weekday ? 6 : f->hi; /* 5/15 is 5-59/15 */
        }
    }
    if (**p == '/') {
        char *end;
        if ((*p)[1] < '0' || (*p)[1] > '9')
            return false;
        unsigned long n = strtoul(*p + 1, &end, 10);
        if (n < 1 || n > 1000 || end - *p > 5)
            return false;
        it->step = (int)n;
        *p = end;
    }
    return true;
}

/* The values of lo-hi/step; one that wraps goes on at the field's begin. */
static uint64_t item_bits(int index, const struct item *it)
{
    const struct field *f = &fields[index];
    int size = (index == WEEKDAY ? 7 : f->hi + 1) - f->lo;
    int lo = it->lo, hi = it->hi;
    if (index == WEEKDAY && lo == 7)
        lo = 0, hi -= it->hi == 7 ? 7 : 0;
    int length = hi - lo;
    uint64_t bits = 0;
    if (length < 0)
        length += size;
    for (int n = 0; n <= length; n += it->step)
        bits |= 1ULL << (f->lo + (lo - f->lo + n) % size);
    return bits;
}

static int read_field(struct crier_words *s, int index, const char *at, const char *end,
                      struct crier_cron *out)
{
    uint64_t bits = 0;
    const char *p = at;
    for (;;) {
        struct item it;
        const char *begin = p;
        if (!read_item(index, &p, &it) || (p != end && *p != ','))
            return bad_field(s, &fields[index], begin, end);
        if (it.last_day)
            out->last_day = true;
        else if (it.nth < 0)
            out->last_weekdays |= (uint8_t)(1 << it.lo % 7);
        else if (it.nth > 0)
            out->nth_weekdays[it.nth - 1] |= (uint8_t)(1 << it.lo % 7);
        else
            bits |= item_bits(index, &it);
        if (p == end)
            break;
        p++;
    }
    switch (index) {
    case MINUTE:
        out->minutes = bits;
        break;
    case HOUR:
        out->hours = (uint32_t)bits;
        break;
    case DAY:
        out->days = (uint32_t)bits;
        break;
    case MONTH:
        out->months = (uint32_t)bits;
        break;
    default:
        out->weekdays = (uint8_t)bits;
        break;
    }
    return 0;
}

static const struct {
    const char *name, *fields;
} shorthands[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

static size_t field_length(const char *at)
{
    return strcspn(at, " \t\r\n&|()'\"");
}

static int read_shorthand(struct crier_words *s, struct crier_cron *out, char **text)
{
    const char *names[CRIER_COUNT(shorthands)];
    size_t len = field_length(s->at);
    for (size_t i = 0; i < CRIER_COUNT(shorthands); i++) {
        names[i] = shorthands[i].name;
        if (strlen(names[i]) == len && strncasecmp(s->at, names[i], len) == 0) {
            struct crier_words inner;
            char *expanded;
            crier_words_begin(&inner, shorthands[i].fields, NULL);
            if (crier_cron_read(&inner, out, &expanded) != 0)
                abort();
            free(expanded);
            *text = crier_strdup(names[i]);
            s->at += len;
            return 0;
        }
    }
    char word[16];
    snprintf(word, sizeof word, "%.*s", (int)(len < 15 ? len : 15), s->at);
    if (strcasecmp(word, "@reboot") == 0)
        return crier_words_fault(s, s->at,
                                 "cron: @reboot is no time (a task has on_startup = true)");
    const char *near = crier_nearest(word, names, CRIER_COUNT(names));
    return crier_words_fault(s, s->at,
                             "cron: expected @yearly, @monthly, @weekly, @daily or @hourly, got "
                             "'%s'%s%s%s",
                             word, near ? " (did you mean '" : "", near ? near : "",
                             near ? "'?)" : "");
}

int crier_cron_read(struct crier_words *s, struct crier_cron *out, char **text)
{
    struct crier_buf b = {0};
    int rc = 0;
    bool star[FIELDS];
    *out = (struct crier_cron){0};
    *text = NULL;
    crier_words_blanks(s);
    const char *begin = s->at;
    if (*begin == '@')
        return read_shorthand(s, out, text);
    for (int i = 0; i < FIELDS && rc == 0; i++) {
        crier_words_blanks(s);
        size_t len = field_length(s->at);
        if (!len) {
            rc = crier_words_fault(
                s, s->at,
                "cron: expected five fields (minute hour day month weekday), such "
                "as 15 3 * * *: the %s is missing",
                fields[i].name);
            break;
        }
        star[i] = *s->at == '*' || *s->at == '?';
        rc = read_field(s, i, s->at, s->at + len, out);
        crier_buf_printf(&b, "%s%.*s", i ? " " : "", (int)len, s->at);
        s->at += len;
    }
    if (rc == 0) {
        out->either_day = !star[DAY] && !star[WEEKDAY];
        out->every_hour = out->hours == (1U << 24) - 1;
        if (crier_cron_find(out, 0, true) == CRIER_NEVER)
            rc = crier_words_fault(
                s, begin, "cron: '%s' never happens: none of its months has its day", b.data);
    }
    if (rc == 0)
        *text = crier_buf_take(&b);
    crier_buf_fini(&b);
    return rc;
}

int crier_cron_parse(const char *expression, struct crier_cron *out, char **text, int *column,
                     struct crier_err *err)
{
    struct crier_words s;
    crier_words_begin(&s, expression, err);
    int rc = crier_cron_read(&s, out, text);
    if (rc == 0 && !crier_words_end(&s))
        rc = crier_words_fault(&s, s.at,
                               "cron: expected five fields (minute hour day month weekday),"
                               " such as 15 3 * * *: there are more");
    if (rc != 0) {
        free(*text);
        *text = NULL;
    }
    *column = s.column;
    return rc;
}

/* --- finding ------------------------------------------------------------------------------ */

static bool day_matches(const struct crier_cron *c, const struct crier_civil *d, int weekday)
{
    int length = crier_month_days(d->year, d->month);
    bool day = (c->days >> d->day & 1) || (c->last_day && d->day == length);
    bool week = (c->weekdays >> weekday & 1) ||
                (c->nth_weekdays[(d->day - 1) / 7] >> weekday & 1) ||
                ((c->last_weekdays >> weekday & 1) && d->day > length - 7);
    return c->either_day ? day || week : day && week;
}

/* The lowest set bit from `from` up, or the highest from it down; -1 when there is none. */
static int bit(uint64_t bits, int from, bool forward)
{
    bits = forward ? bits >> from << from : bits & (from < 63 ? (2ULL << from) - 1 : ~0ULL);
    if (!bits)
        return -1;
    return forward ? __builtin_ctzll(bits) : 63 - __builtin_clzll(bits);
}

/* The first or last matching minute of a day from `minute` on; -1 when there is none. */
static int within_day(const struct crier_cron *c, int minute, bool forward)
{
    int hour = minute / 60;
    if (c->hours >> hour & 1) {
        int m = bit(c->minutes, minute % 60, forward);
        if (m >= 0)
            return hour * 60 + m;
    }
    if (hour == (forward ? 23 : 0))
        return -1;
    hour = bit(c->hours, hour + (forward ? 1 : -1), forward);
    return hour < 0 ? -1 : hour * 60 + bit(c->minutes, forward ? 0 : 59, forward);
}

int64_t crier_cron_find(const struct crier_cron *c, int64_t minute, bool forward)
{
    enum { DAY_MINUTES = 1440 };
    int64_t day = minute / DAY_MINUTES - (minute % DAY_MINUTES < 0);
    int rest = (int)(minute - day * DAY_MINUTES), step = forward ? 1 : -1;
    int64_t bound = day + step * 60 * 366LL;
    while (day != bound) {
        struct crier_civil d;
        crier_civil_from_days(day, &d);
        if (!(c->months >> d.month & 1)) {
            int64_t to =
                forward ? day + crier_month_days(d.year, d.month) - d.day + 1 : day - d.day;
            day = forward ? (to < bound ? to : bound) : (to > bound ? to : bound);
            rest = forward ? 0 : DAY_MINUTES - 1;
            continue;
        }
        int weekday = (int)(((day + 4) % 7 + 7) % 7);
        int found = day_matches(c, &d, weekday) ? within_day(c, rest, forward) : -1;
        if (found >= 0)
            return day * DAY_MINUTES + found;
        day += step;
        rest = forward ? 0 : DAY_MINUTES - 1;
    }
    return CRIER_NEVER;
}
