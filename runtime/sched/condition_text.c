/* SPDX-License-Identifier: MIT */
#include "sched/condition_text.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/condition_private.h"

enum { LONGEST = 8192 };

static const struct {
    const char *word;
    unsigned actions;
} verbs[] = {
    {"succeeded", CRIER_DID(CRIER_SUCCESS)},
    {"failed", CRIER_DID(CRIER_FAIL)},
    {"finished", CRIER_DID_FINISH},
    {"started", CRIER_DID(CRIER_RUN)},
    {"terminated", CRIER_DID(CRIER_TERMINATE)},
    {"inacted", CRIER_DID(CRIER_INACTION)},
    {"crashed", CRIER_DID(CRIER_CRASH)},
};

/* What a leaf may begin with, for "did you mean". */
static const char *const beginnings[] = {
    "every",    "secondly", "minutely", "hourly",   "daily",      "weekly",    "monthly",
    "yearly",   "time",     "cron",     "after",    "task",       "succeeded", "failed",
    "finished", "started",  "inacted",  "crontime", "terminated", "crashed",   "running",
    "retry",    "true",     "false",    "always",   "never",      "has",       "is",
};

/* --- reading ------------------------------------------------------------------------------ */

static struct crier_cond *read_or(struct crier_words *s);

/* A leaf that is not one after all. */
static struct crier_cond *refuse(struct crier_cond *c)
{
    crier_cond_unref(c);
    return NULL;
}

static int read_span(struct crier_words *s, int64_t *out)
{
    crier_words_blanks(s);
    const char *at = s->at;
    if (!crier_words_duration(s, out))
        return crier_words_expected(s, "a duration, such as 10 min or 1h 30m", NULL, 0);
    if (*out <= 0)
        return crier_words_fault(s, at, "a duration must be longer than 0s here");
    return 0;
}

static struct crier_cond *read_every(struct crier_words *s)
{
    static const char *const based[] = {"run", "success", "fail", "finish"};
    static const unsigned actions[] = {CRIER_DID(CRIER_RUN), CRIER_DID(CRIER_SUCCESS),
                                       CRIER_DID(CRIER_FAIL), CRIER_DID_FINISH};
    static const char *const firsts[] = {"now", "wait"};
    struct crier_cond *c = crier_cond_new(CRIER_COND_EVERY);
    c->actions = actions[0];
    int i, rc = read_span(s, &c->span);
    while (rc == 0) {
        if (crier_words_match(s, "based")) {
            crier_words_match(s, "on");
            if ((i = crier_words_one_of(s, based, 4)) < 0)
                rc = crier_words_expected(s, "run, success, fail or finish", based, 4);
            else
                c->actions = actions[i];
        } else if (crier_words_match(s, "jitter")) {
            rc = read_span(s, &c->jitter);
        } else if (crier_words_match(s, "first")) {
            if ((i = crier_words_one_of(s, firsts, 2)) < 0)
                rc = crier_words_expected(s, "now or wait", firsts, 2);
            else
                c->wait = i == 1;
        } else {
            return c;
        }
    }
    return refuse(c);
}

static struct crier_cond *read_period(struct crier_words *s, enum crier_cond_kind kind, int cycle)
{
    struct crier_cond *c = crier_cond_new(kind);
    int rc = cycle == CRIER_CYCLE_CRON
                 ? crier_calendar_read_cron(s, &c->calendar)
                 : crier_calendar_read(s, (enum crier_cycle)cycle, &c->calendar);
    return rc == 0 ? c : refuse(c);
}

static int read_unit(struct crier_words *s)
{
    int unit = crier_words_one_of(s, crier_cycle_nouns, 7);
    if (unit < 0)
        crier_words_expected(s, "second, minute, hour, day, week, month or year", crier_cycle_nouns,
                             7);
    return unit;
}

static int read_names(struct crier_words *s, struct crier_cond *c)
{
    do {
        char *name = crier_words_quoted(s);
        if (!name)
            return crier_words_expected(s, "a task's name in quotes, such as 'fetch'", NULL, 0);
        crier_cond_add_task(c, name);
    } while (crier_words_char(s, ','));
    return 0;
}

static struct crier_cond *read_after(struct crier_words *s)
{
    static const char *const words[] = {"task", "tasks", "any", "all"};
    struct crier_cond *c = crier_cond_new(CRIER_COND_AFTER);
    c->any = crier_words_match(s, "any");
    if (c->any || crier_words_match(s, "all"))
        crier_words_match(s, "of");
    bool said = crier_words_one_of(s, words, 2) >= 0;
    crier_words_blanks(s);
    if (!said && !c->any && *s->at != '\'' && *s->at != '"') {
        crier_words_expected(s, "task 'NAME' (after a time of day: daily after 18:00)", words, 4);
        return refuse(c);
    }
    int rc = read_names(s, c);
    if (rc != 0)
        return refuse(c);
    c->actions = verbs[0].actions;
    for (size_t i = 0; i < 3; i++) {
        if (crier_words_match(s, verbs[i].word))
            c->actions = verbs[i].actions;
    }
    c->any = c->any && c->task_count > 1;
    return c;
}

/* "at least 2 times", "2 to 5 times", "never". 1: read; 0: none stands here. */
static int read_count(struct crier_words *s, struct crier_cond *c)
{
    int n, m;
    crier_words_blanks(s);
    const char *at = s->at;
    enum { LEAST, MOST, EXACT, MORE, LESS, RANGE } kind;
    if (crier_words_match(s, "never")) {
        c->min = c->max = 0;
        return 1;
    }
    if (crier_words_match(s, "at"))
        kind = crier_words_match(s, "least") ? LEAST : crier_words_match(s, "most") ? MOST : RANGE;
    else if (crier_words_match(s, "exactly"))
        kind = EXACT;
    else if (crier_words_match(s, "more"))
        kind = crier_words_match(s, "than") ? MORE : RANGE;
    else if (crier_words_match(s, "less"))
        kind = crier_words_match(s, "than") ? LESS : RANGE;
    else if (*at >= '0' && *at <= '9')
        kind = EXACT;
    else
        return 0;
    if (kind == RANGE || !crier_words_number(s, &n)) {
        static const char *const words[] = {"least", "most", "than"};
        crier_words_expected(s, "a count, such as at least 2 times", words, 3);
        return CRIER_EINVAL;
    }
    if (kind == EXACT && crier_words_match(s, "to")) {
        if (!crier_words_number(s, &m) || m < n)
            return crier_words_expected(s, "a larger number", NULL, 0);
        c->min = (uint32_t)n;
        c->max = (uint32_t)m;
    } else if (kind == LESS && n == 0) {
        return crier_words_fault(s, at, "nothing happens less than 0 times");
    } else {
        c->min = kind == LEAST || kind == EXACT ? (uint32_t)n : kind == MORE ? (uint32_t)n + 1 : 0;
        c->max = kind == MOST || kind == EXACT ? (uint32_t)n
                 : kind == LESS                ? (uint32_t)n - 1
                                               : UINT32_MAX;
    }
    if (!crier_words_match(s, "times"))
        crier_words_match(s, "time");
    return 1;
}

/* "in 1d", "today after 10:00", "this week". 1: read; 0: none stands here. */
static int read_since(struct crier_words *s, struct crier_cond *c)
{
    int unit;
    if (crier_words_match(s, "in") || crier_words_match(s, "within")) {
        if (crier_words_match(s, "the"))
            crier_words_match(s, "last");
        int rc = read_span(s, &c->span);
        return rc == 0 ? 1 : rc;
    }
    if (crier_words_match(s, "today"))
        unit = CRIER_DAILY;
    else if (!crier_words_match(s, "this"))
        return 0;
    else if ((unit = read_unit(s)) < 0)
        return CRIER_EINVAL;
    crier_calendar_free(c->calendar); /* one too many is told by the caller */
    crier_calendar_free(c->unit);
    c->calendar = c->unit = NULL;
    s->loose = true;
    int rc = crier_calendar_read(s, (enum crier_cycle)unit, &c->calendar);
    s->loose = false;
    if (rc == 0)
        c->unit = crier_calendar_whole((enum crier_cycle)unit);
    return rc == 0 ? 1 : rc;
}

static struct crier_cond *read_history(struct crier_words *s, unsigned actions, char *task)
{
    struct crier_cond *c = crier_cond_new(CRIER_COND_HISTORY);
    c->actions = actions;
    c->min = 1;
    c->max = UINT32_MAX;
    if (task)
        crier_cond_add_task(c, task);
    bool counted = false, spanned = false;
    for (;;) {
        const char *at = s->at;
        int rc = read_count(s, c);
        if (rc == 0) {
            rc = read_since(s, c);
            if (rc > 0 && spanned)
                rc = crier_words_fault(s, at + strspn(at, " "), "one span of time is enough");
            spanned = true;
        } else if (rc > 0) {
            if (counted)
                rc = crier_words_fault(s, at + strspn(at, " "), "one count is enough");
            counted = true;
        }
        if (rc == 0)
            return c;
        if (rc < 0)
            return refuse(c);
    }
}

static struct crier_cond *read_running(struct crier_words *s, char *task)
{
    static const char *const words[] = {"than"};
    struct crier_cond *c = crier_cond_new(CRIER_COND_RUNNING);
    c->min = 1;
    c->max = UINT32_MAX;
    if (task)
        crier_cond_add_task(c, task);
    for (;;) {
        bool longer = crier_words_match(s, "longer");
        int rc;
        if (longer || crier_words_match(s, "shorter")) {
            rc = crier_words_match(s, "than") ? read_span(s, longer ? &c->longer : &c->shorter)
                                              : crier_words_expected(s, "'than'", words, 1);
            rc = rc == 0 ? 1 : rc;
        } else {
            rc = read_count(s, c);
        }
        if (rc == 0)
            return c;
        if (rc < 0)
            return refuse(c);
    }
}

static int read_factor(struct crier_words *s, double *out)
{
    char *end;
    crier_words_blanks(s);
    double v = g_ascii_strtod(s->at, &end);
    if (end == s->at || !(v >= 1 && v <= 1000))
        return crier_words_expected(s, "a factor from 1 to 1000", NULL, 0);
    s->at = end;
    *out = v;
    return 0;
}

static struct crier_cond *read_retry(struct crier_words *s)
{
    struct crier_cond *c = crier_cond_new(CRIER_COND_RETRY);
    int n, rc = 0;
    c->max = UINT32_MAX;
    c->factor = 1;
    if (crier_words_number(s, &n)) {
        c->max = (uint32_t)n;
        if (!crier_words_match(s, "times"))
            crier_words_match(s, "time");
    }
    while (rc == 0) {
        if (crier_words_match(s, "delay"))
            rc = read_span(s, &c->delay);
        else if (crier_words_match(s, "factor"))
            rc = read_factor(s, &c->factor);
        else if (crier_words_match(s, "max"))
            rc = read_span(s, &c->most);
        else
            return c;
    }
    return refuse(c);
}

/* "task 'x' has failed ...", "failed ...", "is running". */
static struct crier_cond *read_subject(struct crier_words *s)
{
    static const char *const words[] = {"succeeded", "failed",     "finished", "started",
                                        "inacted",   "terminated", "crashed",  "running"};
    char *task = NULL;
    bool named = crier_words_match(s, "task");
    crier_words_blanks(s);
    if (named || *s->at == '\'' || *s->at == '"') {
        task = crier_words_quoted(s);
        if (!task) {
            crier_words_expected(s, "a task's name in quotes, such as 'fetch'", NULL, 0);
            return NULL;
        }
    }
    bool has = crier_words_match(s, "has"), is = !has && crier_words_match(s, "is");
    for (size_t i = 0; !is && i < CRIER_COUNT(verbs); i++) {
        if (crier_words_match(s, verbs[i].word))
            return read_history(s, verbs[i].actions, task);
    }
    if (!has && crier_words_match(s, "running"))
        return read_running(s, task);
    if (task || has || is)
        crier_words_expected(s,
                             is ? "running"
                                : "succeeded, failed, finished, started, terminated, "
                                  "inacted or running",
                             words, CRIER_COUNT(words));
    else
        crier_words_expected(s,
                             "a period (daily, every 10m, cron ...), after task, running, retry, "
                             "~ or (",
                             beginnings, CRIER_COUNT(beginnings));
    free(task);
    return NULL;
}

static struct crier_cond *read_leaf(struct crier_words *s)
{
    int unit;
    if (crier_words_match(s, "true") || crier_words_match(s, "always"))
        return crier_cond_new(CRIER_COND_TRUE);
    if (crier_words_match(s, "false") || crier_words_match(s, "never"))
        return crier_cond_new(CRIER_COND_FALSE);
    if (crier_words_match(s, "every"))
        return read_every(s);
    if ((unit = crier_words_one_of(s, crier_cycle_adverbs, 7)) >= 0)
        return read_period(s, CRIER_COND_PERIOD, unit);
    if (crier_words_match(s, "time")) {
        static const char *const of[] = {"of"};
        if (!crier_words_match(s, "of")) {
            crier_words_expected(s, "'of'", of, 1);
            return NULL;
        }
        return (unit = read_unit(s)) < 0 ? NULL : read_period(s, CRIER_COND_TIME_OF, unit);
    }
    if (crier_words_match(s, "cron"))
        return read_period(s, CRIER_COND_PERIOD, CRIER_CYCLE_CRON);
    if (crier_words_match(s, "crontime"))
        return read_period(s, CRIER_COND_TIME_OF, CRIER_CYCLE_CRON);
    if (crier_words_match(s, "after"))
        return read_after(s);
    if (crier_words_match(s, "retry"))
        return read_retry(s);
    return read_subject(s);
}

static bool too_deep(struct crier_words *s)
{
    if (++s->depth <= CRIER_COND_DEPTH)
        return false;
    crier_words_fault(s, s->at, "more than %d brackets and ~ deep", CRIER_COND_DEPTH);
    return true;
}

/* Joining can only fail by its depth. */
static struct crier_cond *joined(struct crier_words *s, const char *at, struct crier_cond *c)
{
    if (!c)
        crier_words_fault(s, at, "a condition is at most %d levels deep", CRIER_COND_DEPTH);
    return c;
}

static struct crier_cond *read_not(struct crier_words *s)
{
    struct crier_cond *c = NULL;
    crier_words_blanks(s);
    const char *at = s->at;
    if (crier_words_char(s, '~')) {
        if (too_deep(s))
            return NULL;
        c = read_not(s);
        if (c)
            c = joined(s, at, crier_cond_not(c, NULL));
        s->depth--;
    } else if (crier_words_char(s, '(')) {
        if (too_deep(s))
            return NULL;
        c = read_or(s);
        if (c && !crier_words_char(s, ')')) {
            crier_words_expected(s, "&, | or ')'", NULL, 0);
            crier_cond_unref(c);
            c = NULL;
        }
        s->depth--;
    } else if (crier_words_match(s, "not")) {
        crier_words_fault(s, at, "write ~ for not: ~running");
    } else {
        c = read_leaf(s);
    }
    return c;
}

static struct crier_cond *read_and(struct crier_words *s)
{
    struct crier_cond *c = read_not(s);
    const char *at = s->at;
    while (c && crier_words_char(s, '&')) {
        struct crier_cond *d = read_not(s);
        if (!d)
            crier_cond_unref(c);
        c = d ? joined(s, at, crier_cond_and(c, d, NULL)) : NULL;
    }
    return c;
}

static struct crier_cond *read_or(struct crier_words *s)
{
    struct crier_cond *c = read_and(s);
    const char *at = s->at;
    while (c && crier_words_char(s, '|')) {
        struct crier_cond *d = read_and(s);
        if (!d)
            crier_cond_unref(c);
        c = d ? joined(s, at, crier_cond_or(c, d, NULL)) : NULL;
    }
    return c;
}

int crier_cond_parse(const char *text, struct crier_cond **out, int *column, struct crier_err *err)
{
    struct crier_words s;
    crier_words_begin(&s, text, err);
    *out = NULL;
    *column = 0;
    if (strlen(text) > LONGEST) {
        *column = 1;
        return crier_err_set(err, CRIER_EINVAL, "a condition's text has at most %d bytes", LONGEST);
    }
    struct crier_cond *c = read_or(&s);
    if (c && !crier_words_end(&s)) {
        const char *at = s.at;
        if (crier_words_match(&s, "and") || crier_words_match(&s, "or"))
            crier_words_fault(&s, at, "write & for and, | for or");
        else
            crier_words_expected(&s, "&, | or the end", NULL, 0);
        crier_cond_unref(c);
        c = NULL;
    }
    *column = s.column;
    *out = c;
    return c ? 0 : CRIER_EINVAL;
}

int crier_cond_duration(const char *text, int64_t *out_us, struct crier_err *err)
{
    struct crier_words s;
    crier_words_begin(&s, text, err);
    if (crier_words_duration(&s, out_us) && crier_words_end(&s))
        return 0;
    return crier_duration_parse(text, out_us, err); /* says what is wrong */
}

/* --- printing ----------------------------------------------------------------------------- */

static void put_duration(struct crier_buf *b, const char *before, int64_t us)
{
    char text[48];
    crier_buf_printf(b, "%s%s", before, crier_duration_text(us, text));
}

static void put_every(struct crier_buf *b, const struct crier_cond *c)
{
    put_duration(b, "every ", c->span);
    if (c->actions == CRIER_DID_FINISH)
        crier_buf_puts(b, " based on finish");
    else if (c->actions != CRIER_DID(CRIER_RUN))
        crier_buf_printf(b, " based on %s", crier_action_names[__builtin_ctz(c->actions)]);
    if (c->jitter)
        put_duration(b, " jitter ", c->jitter);
    if (c->wait)
        crier_buf_puts(b, " first wait");
}

static void put_calendar(struct crier_buf *b, const char *word, const struct crier_calendar *cal)
{
    const char *text = crier_calendar_text(cal);
    crier_buf_printf(b, "%s%s%s", word, *text ? " " : "", text);
}

static const char *verb(unsigned actions)
{
    for (size_t i = 0; i < CRIER_COUNT(verbs); i++) {
        if (verbs[i].actions == actions)
            return verbs[i].word;
    }
    return "did";
}

static void put_names(struct crier_buf *b, const struct crier_cond *c)
{
    for (size_t i = 0; i < c->task_count; i++) {
        crier_buf_puts(b, i ? ", " : "");
        crier_put_quoted(b, c->tasks[i]);
    }
}

static void put_after(struct crier_buf *b, const struct crier_cond *c)
{
    crier_buf_puts(b, c->any               ? "after any of tasks "
                      : c->task_count == 1 ? "after task "
                                           : "after tasks ");
    put_names(b, c);
    if (c->actions != CRIER_DID(CRIER_SUCCESS))
        crier_buf_printf(b, " %s", verb(c->actions));
}

static void put_count(struct crier_buf *b, const struct crier_cond *c)
{
    const char *times = c->max == UINT32_MAX ? c->min == 1 ? "" : "s" : c->max == 1 ? "" : "s";
    if (c->min == 1 && c->max == UINT32_MAX)
        return;
    if (c->max == 0)
        crier_buf_puts(b, " never");
    else if (c->max == UINT32_MAX)
        crier_buf_printf(b, " at least %u time%s", c->min, times);
    else if (c->min == c->max)
        crier_buf_printf(b, " exactly %u time%s", c->max, times);
    else if (c->min == 0)
        crier_buf_printf(b, " at most %u time%s", c->max, times);
    else
        crier_buf_printf(b, " %u to %u times", c->min, c->max);
}

static void put_subject(struct crier_buf *b, const struct crier_cond *c)
{
    if (!c->task_count)
        return;
    crier_buf_puts(b, "task ");
    put_names(b, c);
    crier_buf_putc(b, ' ');
}

static void put_history(struct crier_buf *b, const struct crier_cond *c)
{
    put_subject(b, c);
    crier_buf_puts(b, verb(c->actions));
    put_count(b, c);
    if (c->span)
        put_duration(b, " in ", c->span);
    if (!c->calendar)
        return;
    enum crier_cycle cycle = crier_calendar_cycle(c->calendar);
    if (cycle == CRIER_DAILY) {
        put_calendar(b, " today", c->calendar);
        return;
    }
    crier_buf_puts(b, " this ");
    put_calendar(b, crier_cycle_nouns[cycle], c->calendar);
}

static void put_running(struct crier_buf *b, const struct crier_cond *c)
{
    put_subject(b, c);
    crier_buf_puts(b, "running");
    put_count(b, c);
    if (c->longer)
        put_duration(b, " longer than ", c->longer);
    if (c->shorter)
        put_duration(b, " shorter than ", c->shorter);
}

static void put_retry(struct crier_buf *b, const struct crier_cond *c)
{
    char factor[G_ASCII_DTOSTR_BUF_SIZE];
    crier_buf_puts(b, "retry");
    if (c->max != UINT32_MAX)
        crier_buf_printf(b, " %u", c->max);
    if (c->delay)
        put_duration(b, " delay ", c->delay);
    if (c->factor > 1)
        crier_buf_printf(b, " factor %s",
                         g_ascii_formatd(factor, sizeof factor, "%.15g", c->factor));
    if (c->most)
        put_duration(b, " max ", c->most);
}

static void put(struct crier_buf *b, const struct crier_cond *c);

static void put_group(struct crier_buf *b, const struct crier_cond *c)
{
    const char *sign = c->kind == CRIER_COND_AND ? " & " : " | ";
    for (size_t i = 0; i < c->count; i++) {
        bool wrap = c->kind == CRIER_COND_AND && c->items[i]->kind == CRIER_COND_OR;
        crier_buf_printf(b, "%s%s", i ? sign : "", wrap ? "(" : "");
        put(b, c->items[i]);
        crier_buf_puts(b, wrap ? ")" : "");
    }
}

static void put(struct crier_buf *b, const struct crier_cond *c)
{
    switch (c->kind) {
    case CRIER_COND_TRUE:
        crier_buf_puts(b, "true");
        break;
    case CRIER_COND_FALSE:
        crier_buf_puts(b, "false");
        break;
    case CRIER_COND_AND:
    case CRIER_COND_OR:
        put_group(b, c);
        break;
    case CRIER_COND_NOT: {
        bool wrap = c->items[0]->count > 1;
        crier_buf_puts(b, wrap ? "~(" : "~");
        put(b, c->items[0]);
        crier_buf_puts(b, wrap ? ")" : "");
        break;
    }
    case CRIER_COND_PERIOD:
    case CRIER_COND_TIME_OF: {
        enum crier_cycle cycle = crier_calendar_cycle(c->calendar);
        bool of = c->kind == CRIER_COND_TIME_OF;
        if (cycle == CRIER_CYCLE_CRON) {
            put_calendar(b, of ? "crontime" : "cron", c->calendar);
            break;
        }
        crier_buf_puts(b, of ? "time of " : "");
        put_calendar(b, of ? crier_cycle_nouns[cycle] : crier_cycle_adverbs[cycle], c->calendar);
        break;
    }
    case CRIER_COND_EVERY:
        put_every(b, c);
        break;
    case CRIER_COND_AFTER:
        put_after(b, c);
        break;
    case CRIER_COND_HISTORY:
        put_history(b, c);
        break;
    case CRIER_COND_RUNNING:
        put_running(b, c);
        break;
    case CRIER_COND_RETRY:
        put_retry(b, c);
        break;
    case CRIER_COND_CUSTOM:
        crier_buf_printf(b, "condition %s", c->name);
        break;
    }
}

char *crier_cond_text(const struct crier_cond *c)
{
    struct crier_buf b = {0};
    put(&b, c);
    return crier_buf_take(&b);
}
