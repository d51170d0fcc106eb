/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/calendar_private.h"

enum { MOST = 64 };

enum form { WHOLE, AT, BETWEEN, BEFORE, AFTER, STARTING };

/* What was read: days (of cycles from a week up), and the windows in them or in the cycle. */
struct spec {
    enum crier_cycle cycle;
    struct crier_point on[MOST];
    size_t on_count;
    enum form form;
    struct crier_point points[MOST];
    size_t point_count;
    struct crier_zone *zone;
};

static const char *const weekdays[] = {"mon",      "tue",    "wed",      "thu",     "fri",
                                       "sat",      "sun",    "monday",   "tuesday", "wednesday",
                                       "thursday", "friday", "saturday", "sunday"};
static const char *const months[] = {
    "jan", "feb",  "mar",  "apr",    "may",       "jun",      "jul",      "aug",
    "sep", "oct",  "nov",  "dec",    "january",   "february", "march",    "april",
    "may", "june", "july", "august", "september", "october",  "november", "december"};
static const char *const ordinals[] = {"first", "second", "third", "fourth", "fifth"};
static const char *const forms[] = {"at", "after", "before", "between", "starting", "on", "in"};

/* --- reading times ------------------------------------------------------------------------ */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Two digits behind the ':' that stands here. */
static bool colon_two(struct crier_words *s, int *out)
{
    if (s->at[0] != ':' || !digit(s->at[1]) || !digit(s->at[2]) || digit(s->at[3]))
        return false;
    *out = (s->at[1] - '0') * 10 + (s->at[2] - '0');
    s->at += 3;
    return true;
}

/* ".25" of a second, in microseconds. */
static int64_t fraction(struct crier_words *s)
{
    int64_t us = 0;
    if (s->at[0] != '.' || !digit(s->at[1]))
        return 0;
    s->at++;
    for (int64_t place = CRIER_S / 10; digit(*s->at); place /= 10)
        us += (*s->at++ - '0') * place;
    return us;
}

static int bad_time(struct crier_words *s, const char *at, enum crier_cycle cycle)
{
    s->at = at;
    return crier_words_expected(s,
                                cycle == CRIER_MINUTELY ? "a second of the minute, such as :30"
                                : cycle == CRIER_HOURLY ? "a minute of the hour, such as :15"
                                                        : "a time of day, such as 09:00",
                                NULL, 0);
}

/* "9 pm": a clock's twelve hours. */
static bool half_day(struct crier_words *s, int *hour, bool *unit)
{
    bool am = crier_words_match(s, "am"), pm = !am && crier_words_match(s, "pm");
    if (!am && !pm)
        return true;
    if (*hour < 1 || *hour > 12)
        return false;
    *hour = *hour % 12 + (pm ? 12 : 0);
    *unit = false;
    return true;
}

static int read_day_time(struct crier_words *s, struct crier_point *p)
{
    const char *at = s->at;
    int hour, minute = 0, second = 0;
    int64_t us = 0;
    int n = crier_words_number(s, &hour);
    if (n < 1 || n > 2)
        return bad_time(s, at, CRIER_DAILY);
    p->unit = !colon_two(s, &minute);
    if (!p->unit && colon_two(s, &second))
        us = fraction(s);
    if (*s->at == ':' || !half_day(s, &hour, &p->unit))
        return bad_time(s, at, CRIER_DAILY);
    if (hour > 24 || minute > 59 || second > 59 || (hour == 24 && (p->unit || minute || second)))
        return crier_words_fault(s, at, "a day has no time '%.*s' (00:00 to 23:59)",
                                 (int)(s->at - at < 20 ? s->at - at : 20), at);
    p->timed = true;
    p->time = hour * CRIER_HOUR + minute * CRIER_MINUTE + second * CRIER_S + us;
    return 0;
}

/* ":15", "15" (a unit), "15:30" of an hour; ":30", "30" of a minute. */
static int read_short_time(struct crier_words *s, enum crier_cycle cycle, struct crier_point *p)
{
    int first, second = 0;
    int64_t us = 0;
    crier_words_blanks(s);
    const char *at = s->at;
    bool colon = crier_words_char(s, ':');
    int n = colon && !digit(*s->at) ? 0 : crier_words_number(s, &first);
    bool more = n && cycle == CRIER_HOURLY && colon_two(s, &second);
    if (n && (more || cycle == CRIER_MINUTELY))
        us = fraction(s);
    if (n < 1 || n > 2 || first > 59 || second > 59)
        return bad_time(s, at, cycle);
    p->timed = true;
    p->unit = !colon && !more && !us;
    p->time = cycle == CRIER_MINUTELY ? first * CRIER_S + us
                                      : first * CRIER_MINUTE + second * CRIER_S + us;
    return 0;
}

static int read_time(struct crier_words *s, enum crier_cycle cycle, struct crier_point *p)
{
    crier_words_blanks(s);
    return cycle <= CRIER_HOURLY ? read_short_time(s, cycle, p) : read_day_time(s, p);
}

/* Whether a time of day with its ':' stands here. */
static bool time_ahead(struct crier_words *s)
{
    crier_words_blanks(s);
    return digit(s->at[0]) && (s->at[1] == ':' || (digit(s->at[1]) && s->at[2] == ':'));
}

/* --- reading days ------------------------------------------------------------------------- */

static bool read_weekday(struct crier_words *s, struct crier_point *p)
{
    int i = crier_words_one_of(s, weekdays, CRIER_COUNT(weekdays));
    if (i >= 0)
        p->weekday = (signed char)(i % 7 + 1);
    return i >= 0;
}

static bool read_month(struct crier_words *s, struct crier_point *p)
{
    int i = crier_words_one_of(s, months, CRIER_COUNT(months));
    if (i >= 0)
        p->month = (signed char)(i % 12 + 1);
    return i >= 0;
}

/* "15", "1st", "second": 0 when none stands here. */
static int read_ordinal(struct crier_words *s)
{
    static const char *const endings[] = {"st", "nd", "rd", "th"};
    int n;
    if (time_ahead(s))
        return 0;
    const char *at = s->at;
    if (crier_words_number(s, &n)) {
        const char *behind = s->at;
        crier_words_one_of(s, endings, *behind == ' ' ? 0 : CRIER_COUNT(endings));
        if (n < 1 || n > 99) {
            s->at = at;
            return 0;
        }
        return n;
    }
    return crier_words_one_of(s, ordinals, CRIER_COUNT(ordinals)) + 1;
}

static int bad_day(struct crier_words *s, const char *at, enum crier_cycle cycle)
{
    static const char *const what[] = {
        "a day of the week, such as Mon",
        "a day of the month, such as 15th, last, last Fri or 2nd Mon",
        "a day of the year, such as 24 Dec, Dec, last Fri or 4th Thu of Nov",
    };
    const char *words[CRIER_COUNT(weekdays) + CRIER_COUNT(months) + 1];
    size_t n = 0;
    for (size_t i = 0; i < CRIER_COUNT(weekdays); i++)
        words[n++] = weekdays[i];
    for (size_t i = 0; cycle == CRIER_YEARLY && i < CRIER_COUNT(months); i++)
        words[n++] = months[i];
    if (cycle != CRIER_WEEKLY)
        words[n++] = "last";
    s->at = at;
    return crier_words_expected(s, what[cycle - CRIER_WEEKLY], words, n);
}

/* "15th", "last [day]", "2nd Mon", "2nd last [day]", each of the month that p names or of any. */
static bool read_month_day(struct crier_words *s, struct crier_point *p)
{
    int n = read_ordinal(s);
    bool last = crier_words_match(s, "last");
    if (!n && !last)
        return false;
    if (read_weekday(s, p)) {
        if (n && last)
            return false;
        p->nth = (signed char)(last ? -1 : n);
        return true;
    }
    if (last)
        crier_words_match(s, "day");
    p->day = (signed char)(last ? -(n ? n : 1) : n);
    return n <= 31;
}

/* "Dec", "Dec 24", "24 Dec", "12-24", "last Fri", "4th Thu of Nov", "last day of Feb". */
static bool read_year_day(struct crier_words *s, struct crier_point *p)
{
    int month, day;
    const char *at = s->at;
    if (crier_words_number(s, &month) && *s->at == '-') {
        s->at++;
        if (!crier_words_number(s, &day) || month < 1 || month > 12 || day < 1 || day > 31)
            return false;
        p->month = (signed char)month;
        p->day = (signed char)day;
        return true;
    }
    s->at = at;
    if (read_month(s, p)) {
        day = read_ordinal(s);
        p->day = (signed char)day;
        return day <= 31;
    }
    int n = read_ordinal(s);
    s->at = at;
    if (n > 31) { /* "53rd Mon" */
        read_ordinal(s);
        p->nth = (signed char)n;
        return read_weekday(s, p);
    }
    if (!read_month_day(s, p))
        return false;
    bool of = crier_words_match(s, "of");
    if (read_month(s, p))
        return true;
    if (of && !crier_words_match(s, "year"))
        return false;
    if (p->day == -1) /* the last day of the year */
        p->month = 12;
    return p->nth || p->month;
}

/* Whether a point of a month or year is ever there. */
static bool point_exists(enum crier_cycle cycle, const struct crier_point *p)
{
    if (cycle != CRIER_MONTHLY && cycle != CRIER_YEARLY)
        return true;
    int days = p->month == 2 ? 29 : p->month ? crier_month_days(2001, p->month) : 31;
    if (p->nth)
        return p->nth <= (cycle == CRIER_YEARLY && !p->month ? 53 : 5);
    return p->day <= days && p->day >= -days;
}

static int read_day(struct crier_words *s, enum crier_cycle cycle, struct crier_point *p)
{
    crier_words_blanks(s);
    const char *at = s->at;
    bool ok;
    if (cycle == CRIER_WEEKLY) {
        int n = read_weekday(s, p) ? 0 : read_ordinal(s);
        ok = p->weekday || (n >= 1 && n <= 7);
        if (n)
            p->weekday = (signed char)n;
    } else {
        ok = cycle == CRIER_MONTHLY ? read_month_day(s, p) : read_year_day(s, p);
    }
    if (!ok)
        return bad_day(s, at, cycle);
    if (!point_exists(cycle, p))
        return crier_words_fault(s, at, "there is no '%.*s' in any %s",
                                 (int)(s->at - at < 24 ? s->at - at : 24), at,
                                 cycle == CRIER_YEARLY ? "year" : "month");
    return 0;
}

/* An end of a window of the cycle: a day and perhaps a time of it, or a time. */
static int read_point(struct crier_words *s, enum crier_cycle cycle, struct crier_point *p)
{
    if (cycle < CRIER_WEEKLY)
        return read_time(s, cycle, p);
    int rc = read_day(s, cycle, p);
    if (rc == 0 && (time_ahead(s) || crier_words_match(s, "at"))) {
        const char *at = s->at;
        rc = read_time(s, CRIER_DAILY, p);
        p->unit = false;
        if (rc == 0 && cycle == CRIER_YEARLY && !p->day && !p->nth)
            rc = crier_words_fault(s, at, "a time of day needs a day, such as 24 Dec 18:00");
    }
    return rc;
}

/* --- reading windows ---------------------------------------------------------------------- */

static int too_many(struct crier_words *s)
{
    return crier_words_fault(s, s->at, "more than %d of them (use |)", MOST);
}

/* The times behind "at", or days behind "on". */
static int read_list(struct crier_words *s, enum crier_cycle cycle, bool days,
                     struct crier_point *list, size_t *count)
{
    do {
        if (*count == MOST)
            return too_many(s);
        struct crier_point *p = &list[(*count)++];
        *p = (struct crier_point){0};
        crier_words_blanks(s);
        const char *at = s->at;
        int rc = days ? read_day(s, cycle, p) : read_time(s, cycle, p);
        if (rc == 0 && !days && p->time == CRIER_DAY)
            rc = crier_words_fault(s, at, "a day begins at 00:00; 24:00 is only an end");
        if (rc != 0)
            return rc;
    } while (crier_words_char(s, ','));
    return 0;
}

/* "after X", "before X", "between X and Y", "starting X". false: none of these stands here. */
static bool read_window(struct crier_words *s, struct spec *spec, enum crier_cycle cycle, int *rc)
{
    static const char *const and_word[] = {"and"};
    static const struct {
        const char *word;
        enum form form;
    } words[] = {
        {"after", AFTER}, {"before", BEFORE}, {"between", BETWEEN}, {"starting", STARTING}};
    for (size_t i = 0; i < CRIER_COUNT(words); i++) {
        if (!crier_words_match(s, words[i].word))
            continue;
        spec->form = words[i].form;
        *rc = read_point(s, cycle, &spec->points[spec->point_count++]);
        if (*rc == 0 && spec->form == BETWEEN) {
            if (!crier_words_match(s, "and"))
                *rc = crier_words_expected(s, "'and'", and_word, 1);
            else
                *rc = read_point(s, cycle, &spec->points[spec->point_count++]);
        }
        return true;
    }
    return false;
}

static int read_zone(struct crier_words *s, struct crier_zone **out)
{
    struct crier_err err = {0};
    crier_words_blanks(s);
    const char *at = s->at;
    size_t len = strcspn(at, " \t\r\n&|(),~'\"");
    if (!len)
        return crier_words_expected(s, "a time zone, such as Europe/Ljubljana", NULL, 0);
    char *name = crier_strndup(at, len);
    int rc = crier_zone_open(name, out, &err);
    free(name);
    if (rc != 0)
        return crier_words_fault(s, at, "%s", err.text);
    s->at += len;
    return 0;
}

/* Whether what stands here can begin a list of days or times. */
static bool list_ahead(struct crier_words *s, enum crier_cycle cycle)
{
    crier_words_blanks(s);
    const char *at = s->at;
    struct crier_point p = {0};
    if (digit(*at) || (*at == ':' && cycle < CRIER_DAILY))
        return true;
    bool yes = cycle >= CRIER_WEEKLY && (read_weekday(s, &p) || crier_words_match(s, "last") ||
                                         (cycle == CRIER_YEARLY && read_month(s, &p)) ||
                                         (cycle != CRIER_WEEKLY && read_ordinal(s)));
    s->at = at;
    return yes;
}

/* The windows within the days of "on". */
static int read_within(struct crier_words *s, struct spec *spec)
{
    int rc = 0;
    const char *at = s->at;
    if (crier_words_match(s, "at") || time_ahead(s)) {
        spec->form = AT;
        rc = read_list(s, CRIER_DAILY, false, spec->points, &spec->point_count);
    } else if (read_window(s, spec, CRIER_DAILY, &rc) && spec->form == STARTING) {
        return crier_words_fault(s, at, "'starting' moves the whole cycle: it goes without days");
    }
    for (size_t i = 0; rc == 0 && spec->form != WHOLE && i < spec->on_count; i++) {
        if (spec->cycle == CRIER_YEARLY && !spec->on[i].day && !spec->on[i].nth)
            return crier_words_fault(s, at, "a time of day needs a day, such as 24 Dec 18:00");
    }
    return rc;
}

static int read_spec(struct crier_words *s, struct spec *spec)
{
    int rc = 0;
    if (spec->cycle == CRIER_SECONDLY)
        return 0;
    if (read_window(s, spec, spec->cycle, &rc))
        return rc;
    bool said = crier_words_match(s, "on");
    if (!said && crier_words_match(s, "at")) {
        const char *behind = s->at;
        if (s->loose && (crier_words_match(s, "least") || crier_words_match(s, "most"))) {
            s->at = behind - 2;
            return 0;
        }
        said = true;
    }
    if (!said && !list_ahead(s, spec->cycle))
        return 0;
    if (spec->cycle < CRIER_WEEKLY) {
        spec->form = AT;
        return read_list(s, spec->cycle, false, spec->points, &spec->point_count);
    }
    rc = read_list(s, spec->cycle, true, spec->on, &spec->on_count);
    return rc == 0 ? read_within(s, spec) : rc;
}

/* --- rules -------------------------------------------------------------------------------- */

/* What a bare number as an end adds. */
static int64_t smaller_unit(enum crier_cycle cycle)
{
    return cycle == CRIER_MINUTELY ? CRIER_S : cycle == CRIER_HOURLY ? CRIER_MINUTE : CRIER_HOUR;
}

/* Brings equal windows of a clock's cycle to one form, so that they have one text. */
static void normalize(struct spec *spec, enum crier_cycle cycle)
{
    int64_t length = crier_cycle_length(cycle);
    struct crier_point *a = &spec->points[0], *b = &spec->points[1];
    if (spec->form == BETWEEN && b->unit)
        b->time += smaller_unit(cycle);
    if (spec->form == BETWEEN && b->time == length) {
        spec->form = AFTER;
    } else if (spec->form == BETWEEN && a->time == 0 && b->time > 0) {
        spec->form = BEFORE;
        *a = *b;
    }
    if ((spec->form == AFTER && a->time == 0) ||
        (spec->form == BEFORE && (a->time == 0 || a->time == length)) ||
        (spec->form == STARTING && a->time == 0))
        spec->form = WHOLE;
}

/* The i-th window of a clock's cycle: begin and length. */
static void clock_window(const struct spec *spec, enum crier_cycle cycle, size_t i, int64_t *begin,
                         int64_t *length)
{
    int64_t whole = crier_cycle_length(cycle);
    int64_t a = spec->points[i].time, b = spec->points[1].time;
    *begin = a;
    *length = whole;
    switch (spec->form) {
    case WHOLE:
        *begin = 0;
        break;
    case AT:
        *length = smaller_unit(cycle);
        break;
    case BETWEEN:
        *length = b > a ? b - a : b - a + whole;
        break;
    case BEFORE:
        *begin = 0, *length = a;
        break;
    case AFTER:
        *length = whole - a;
        break;
    case STARTING:
        break;
    }
}

static struct crier_window_rule *add_rule(struct crier_calendar *c)
{
    c->rules = crier_realloc(c->rules, (c->count + 1) * sizeof *c->rules);
    c->rules[c->count] = (struct crier_window_rule){0};
    return &c->rules[c->count++];
}

/* Windows of a clock's cycle, on the day `on` or in every cycle. */
static void clock_rules(struct crier_calendar *c, const struct spec *spec, enum crier_cycle cycle,
                        const struct crier_point *on)
{
    for (size_t i = 0; i < (spec->form == AT ? spec->point_count : 1); i++) {
        int64_t begin;
        struct crier_window_rule *rule = add_rule(c);
        clock_window(spec, cycle, i, &begin, &rule->length);
        if (on)
            rule->from = *on;
        rule->from.time = begin;
    }
}

/* A day without a time as an end: all of it, of a month without a day all of that. */
static struct crier_point inclusive(struct crier_point p)
{
    if (p.timed)
        return p;
    if (p.month && !p.day && !p.nth)
        p.day = -1;
    p.time = CRIER_DAY;
    return p;
}

static void make_rules(struct crier_calendar *c, struct spec *spec)
{
    if (spec->cycle < CRIER_WEEKLY) {
        clock_rules(c, spec, spec->cycle, NULL);
        return;
    }
    for (size_t i = 0; i < spec->on_count; i++) {
        bool month = spec->cycle == CRIER_YEARLY && !spec->on[i].day && !spec->on[i].nth;
        if (!month) {
            clock_rules(c, spec, CRIER_DAILY, &spec->on[i]);
            continue;
        }
        struct crier_window_rule *rule = add_rule(c);
        rule->from = spec->on[i];
        rule->end = CRIER_END_POINT;
        rule->to = inclusive(spec->on[i]);
    }
    if (spec->on_count)
        return;
    struct crier_window_rule *rule = add_rule(c);
    rule->from =
        spec->form == WHOLE || spec->form == BEFORE ? (struct crier_point){0} : spec->points[0];
    rule->end = spec->form == WHOLE || spec->form == AFTER ? CRIER_END_CYCLE : CRIER_END_POINT;
    rule->to = spec->form == BETWEEN ? inclusive(spec->points[1]) : spec->points[0];
}

/* --- text --------------------------------------------------------------------------------- */

static void put_seconds(struct crier_buf *b, int64_t time)
{
    if (time % CRIER_MINUTE == 0)
        return;
    crier_buf_printf(b, ":%02d", (int)(time / CRIER_S % 60));
}

static void put_fraction(struct crier_buf *b, int64_t time)
{
    if (time % CRIER_S == 0)
        return;
    crier_buf_printf(b, ".%06d", (int)(time % CRIER_S));
    while (b->data[b->len - 1] == '0')
        b->data[--b->len] = '\0';
}

static void put_time(struct crier_buf *b, enum crier_cycle cycle, int64_t time)
{
    if (cycle == CRIER_MINUTELY)
        crier_buf_printf(b, ":%02d", (int)(time / CRIER_S));
    else if (cycle == CRIER_HOURLY && time % CRIER_MINUTE)
        crier_buf_printf(b, "%02d", (int)(time / CRIER_MINUTE));
    else if (cycle == CRIER_HOURLY)
        crier_buf_printf(b, ":%02d", (int)(time / CRIER_MINUTE));
    else
        crier_buf_printf(b, "%02d:%02d", (int)(time / CRIER_HOUR), (int)(time / CRIER_MINUTE % 60));
    if (cycle != CRIER_MINUTELY)
        put_seconds(b, time);
    put_fraction(b, time);
}

static const char *ordinal(int n, char out[8])
{
    const char *ending = n % 100 / 10 == 1 ? "th"
                         : n % 10 == 1     ? "st"
                         : n % 10 == 2     ? "nd"
                         : n % 10 == 3     ? "rd"
                                           : "th";
    snprintf(out, 8, "%d%s", n, ending);
    return out;
}

static void put_name(struct crier_buf *b, const char *name)
{
    crier_buf_printf(b, "%c%s", name[0] - 'a' + 'A', name + 1);
}

static void put_day(struct crier_buf *b, enum crier_cycle cycle, const struct crier_point *p)
{
    char n[8];
    if (cycle == CRIER_WEEKLY) {
        put_name(b, weekdays[p->weekday - 1]);
        return;
    }
    if (p->nth) {
        crier_buf_printf(b, "%s ", p->nth < 0 ? "last" : ordinal(p->nth, n));
        put_name(b, weekdays[p->weekday - 1]);
        if (p->month)
            crier_buf_puts(b, " of ");
    } else if (p->day < 0) {
        crier_buf_printf(b, "%s%slast", p->day < -1 ? ordinal(-p->day, n) : "",
                         p->day < -1 ? " " : "");
        if (p->month)
            crier_buf_puts(b, " of ");
    } else if (p->day && p->month) {
        crier_buf_printf(b, "%d ", p->day);
    } else if (p->day) {
        crier_buf_puts(b, ordinal(p->day, n));
    }
    if (p->month)
        put_name(b, months[p->month - 1]);
}

static void put_point(struct crier_buf *b, enum crier_cycle cycle, const struct crier_point *p)
{
    if (cycle < CRIER_WEEKLY) {
        put_time(b, cycle, p->time);
        return;
    }
    put_day(b, cycle, p);
    if (p->timed) {
        crier_buf_putc(b, ' ');
        put_time(b, CRIER_DAILY, p->time);
    }
}

static void put_windows(struct crier_buf *b, const struct spec *spec, enum crier_cycle cycle)
{
    static const char *const words[] = {
        [BETWEEN] = "between ", [BEFORE] = "before ", [AFTER] = "after ", [STARTING] = "starting "};
    if (spec->form == WHOLE)
        return;
    if (b->len)
        crier_buf_putc(b, ' ');
    if (spec->form != AT)
        crier_buf_puts(b, words[spec->form]);
    size_t count = spec->form == AT ? spec->point_count : spec->form == BETWEEN ? 2 : 1;
    for (size_t i = 0; i < count; i++) {
        if (i)
            crier_buf_puts(b, spec->form == AT ? ", " : " and ");
        put_point(b, cycle, &spec->points[i]);
    }
}

static char *spec_text(const struct spec *spec)
{
    struct crier_buf b = {0};
    for (size_t i = 0; i < spec->on_count; i++) {
        crier_buf_puts(&b, i ? ", " : "");
        put_day(&b, spec->cycle, &spec->on[i]);
    }
    put_windows(&b, spec, spec->on_count ? CRIER_DAILY : spec->cycle);
    if (spec->zone)
        crier_buf_printf(&b, "%sin %s", b.len ? " " : "", crier_zone_name(spec->zone));
    return crier_buf_take(&b);
}

/* --- all ---------------------------------------------------------------------------------- */

/* What may follow a period: the end, or what combines conditions. */
static int expect_end(struct crier_words *s, const struct spec *spec)
{
    if (crier_words_end(s) || strchr("&|)", *s->at) || s->loose)
        return 0;
    bool bare = spec->form == WHOLE && !spec->on_count;
    if (spec->zone)
        return crier_words_expected(s, "&, | or the end", NULL, 0);
    if (spec->cycle == CRIER_SECONDLY)
        return crier_words_expected(s, "&, | or the end (a second has no windows)", forms + 6, 1);
    if (bare)
        return crier_words_expected(s, "at, after, before, between, starting, &, | or the end",
                                    forms, CRIER_COUNT(forms));
    if (spec->on_count && spec->form == WHOLE)
        return crier_words_expected(s, "a time of day, between, after, before, &, | or the end",
                                    forms, 4);
    return crier_words_expected(s, "&, | or the end", forms + 6, 1);
}

static struct crier_calendar *new_calendar(enum crier_cycle cycle)
{
    struct crier_calendar *c = crier_calloc(1, sizeof *c);
    c->cycle = cycle;
    return c;
}

int crier_calendar_read(struct crier_words *s, enum crier_cycle cycle, struct crier_calendar **out)
{
    struct spec *spec = crier_calloc(1, sizeof *spec);
    spec->cycle = cycle;
    int rc = read_spec(s, spec);
    if (rc == 0 && crier_words_match(s, "in"))
        rc = read_zone(s, &spec->zone);
    if (rc == 0)
        rc = expect_end(s, spec);
    if (rc != 0) {
        crier_zone_unref(spec->zone);
        goto out;
    }
    if (cycle < CRIER_WEEKLY || spec->on_count)
        normalize(spec, cycle < CRIER_WEEKLY ? cycle : CRIER_DAILY);
    struct crier_calendar *c = new_calendar(cycle);
    make_rules(c, spec);
    c->text = spec_text(spec);
    c->zone = spec->zone;
    *out = c;
out:
    free(spec);
    return rc;
}

int crier_calendar_read_cron(struct crier_words *s, struct crier_calendar **out)
{
    struct crier_cron cron;
    struct crier_zone *zone = NULL;
    char *fields = NULL, *quoted;
    int rc;
    crier_words_blanks(s);
    const char *at = s->at;
    if ((quoted = crier_words_quoted(s))) {
        int column = 0;
        rc = crier_cron_parse(quoted, &cron, &fields, &column, s->err);
        if (rc != 0)
            s->column = (int)(at - s->text) + 1 + column;
        free(quoted);
    } else {
        rc = crier_cron_read(s, &cron, &fields);
    }
    if (rc == 0 && crier_words_match(s, "in"))
        rc = read_zone(s, &zone);
    if (rc == 0 && !crier_words_end(s) && !strchr("&|)", *s->at))
        rc = crier_words_expected(s, "&, |, 'in' or the end (cron has five fields)", NULL, 0);
    if (rc != 0) {
        free(fields);
        crier_zone_unref(zone);
        return rc;
    }
    struct crier_calendar *c = new_calendar(CRIER_CYCLE_CRON);
    c->cron = cron;
    c->zone = zone;
    c->text =
        zone ? crier_asprintf("%s in %s", fields, crier_zone_name(zone)) : crier_strdup(fields);
    free(fields);
    *out = c;
    return 0;
}
