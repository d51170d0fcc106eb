/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/condition_private.h"
#include "sched/condition_text.h"

#define LONG_SINCE INT64_MIN

const char *const crier_action_names[] = {"run",       "success",  "fail",
                                          "terminate", "inaction", "crash"};

/* --- making ------------------------------------------------------------------------------- */

struct crier_cond *crier_cond_new(enum crier_cond_kind kind)
{
    struct crier_cond *c = crier_calloc(1, sizeof *c);
    atomic_init(&c->refs, 1);
    c->kind = kind;
    c->depth = 1;
    return c;
}

void crier_cond_add_task(struct crier_cond *c, char *name)
{
    c->tasks = crier_realloc(c->tasks, (c->task_count + 1) * sizeof *c->tasks);
    c->tasks[c->task_count++] = name;
}

struct crier_cond *crier_cond_ref(struct crier_cond *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void crier_cond_unref(struct crier_cond *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    for (size_t i = 0; i < c->count; i++)
        crier_cond_unref(c->items[i]);
    for (size_t i = 0; i < c->task_count; i++)
        free(c->tasks[i]);
    crier_calendar_free(c->calendar);
    crier_calendar_free(c->unit);
    free(c->items);
    free(c->tasks);
    free(c->name);
    free(c);
}

static void add_item(struct crier_cond *c, struct crier_cond *item)
{
    c->items = crier_realloc(c->items, (c->count + 1) * sizeof *c->items);
    c->items[c->count++] = item;
    if (item->depth >= c->depth)
        c->depth = item->depth + 1;
}

static struct crier_cond *bounded(struct crier_cond *c, struct crier_err *err)
{
    if (c->depth <= CRIER_COND_DEPTH)
        return c;
    crier_cond_unref(c);
    crier_err_set(err, CRIER_ELIMIT, "a condition is at most %d levels deep", CRIER_COND_DEPTH);
    return NULL;
}

/* Items of one of the same kind become the group's own. */
static void absorb(struct crier_cond *group, struct crier_cond *c)
{
    if (c->kind != group->kind) {
        add_item(group, c);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        add_item(group, crier_cond_ref(c->items[i]));
    crier_cond_unref(c);
}

static struct crier_cond *join(enum crier_cond_kind kind, struct crier_cond *a,
                               struct crier_cond *b, struct crier_err *err)
{
    struct crier_cond *group = crier_cond_new(kind);
    absorb(group, a);
    absorb(group, b);
    return bounded(group, err);
}

struct crier_cond *crier_cond_and(struct crier_cond *a, struct crier_cond *b, struct crier_err *err)
{
    return join(CRIER_COND_AND, a, b, err);
}

struct crier_cond *crier_cond_or(struct crier_cond *a, struct crier_cond *b, struct crier_err *err)
{
    return join(CRIER_COND_OR, a, b, err);
}

struct crier_cond *crier_cond_not(struct crier_cond *a, struct crier_err *err)
{
    struct crier_cond *c = crier_cond_new(CRIER_COND_NOT);
    add_item(c, a);
    return bounded(c, err);
}

struct crier_cond *crier_cond_custom(int fn, const char *name, int64_t poll)
{
    struct crier_cond *c = crier_cond_new(CRIER_COND_CUSTOM);
    c->fn = fn;
    c->name = crier_strdup(name);
    c->span = poll;
    return c;
}

/* --- judging ------------------------------------------------------------------------------ */

/* One walk over the tree. */
struct judge {
    const struct crier_facts *facts;
    bool positive; /* under an even number of NOTs */
};

/* What a part has to say. Its reason is only made where somebody reads it. */
struct part {
    struct crier_judgement v;
    struct crier_why *why; /* NULL: nobody */
};

static void reason(struct part *p, const char *fmt, ...) CRIER_PRINTF(2, 3);

static void reason(struct part *p, const char *fmt, ...)
{
    char text[256];
    if (!p->why)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    free(p->why->reason);
    p->why->reason = crier_strdup(text);
}

static void set(struct part *p, bool truth, int64_t since, int64_t next)
{
    p->v = (struct crier_judgement){.truth = truth, .since = since, .next = next};
}

/* "18:00:03" today, else "Sat 21 Nov 18:00:03". */
static const char *clock_text(const struct crier_facts *f, int64_t t, char out[40])
{
    struct crier_civil now, then;
    char full[32];
    crier_civil_at(f->zone, f->now, &now);
    crier_civil_at(f->zone, t, &then);
    crier_time_human(f->zone, t, full);
    bool today = now.year == then.year && now.month == then.month && now.day == then.day;
    if (now.year == then.year)
        snprintf(out, 40, "%s", today ? full + 11 : full);
    else
        snprintf(out, 40, "%.10s %d %s", full, then.year, full + 11);
    return out;
}

/* A task that is not there, or not known. */
static bool unknown(const struct judge *j, struct part *p, const char *what)
{
    set(p, j->facts->assume && j->positive, LONG_SINCE, CRIER_NEVER);
    if (p->why)
        p->why->assumed = j->facts->assume;
    if (j->facts->assume)
        reason(p, "not known here: taken to be %s", p->v.truth ? "true" : "false");
    else
        reason(p, "there is no %s", what);
    return false;
}

/* The history of a task, NULL being the own one, which always is known. */
static bool history_of(const struct judge *j, const char *task, struct crier_history *out,
                       struct part *p)
{
    const struct crier_facts *f = j->facts;
    *out = (struct crier_history){0};
    bool own = !task || (f->task && strcmp(task, f->task) == 0);
    if (f->history && f->history(f->arg, own ? f->task : task, out))
        return true;
    if (own)
        return true;
    char what[120];
    snprintf(what, sizeof what, "task '%.80s'", task);
    return unknown(j, p, what);
}

/* The newest of some actions; seq 0: none. */
static struct crier_did newest(const struct crier_history *h, unsigned actions,
                               enum crier_action *which)
{
    struct crier_did best = {0};
    for (int i = 0; i < CRIER_ACTIONS; i++) {
        if ((actions & CRIER_DID(i)) && h->last[i].seq > best.seq) {
            best = h->last[i];
            *which = (enum crier_action)i;
        }
    }
    return best;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? CRIER_NEVER : sum;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t run_due(const struct crier_history *h)
{
    return h->due ? h->due : h->last[CRIER_RUN].time;
}

/* What has become of the newest run, for people. */
static const char *outcome(const struct crier_history *h)
{
    enum crier_action which = CRIER_RUN;
    struct crier_did end = newest(h, CRIER_DID_FINISH, &which);
    return end.seq > h->last[CRIER_RUN].seq ? crier_action_names[which] : "running";
}

static void outside(const struct judge *j, const struct crier_calendar *cal, struct part *p)
{
    char text[40];
    int64_t next = crier_calendar_next(cal, j->facts->zone, j->facts->now);
    set(p, false, j->facts->now, next);
    if (next == CRIER_NEVER)
        reason(p, "does not come again");
    else if (p->why)
        reason(p, "begins %s", clock_text(j->facts, next, text));
}

static void judge_time_of(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_window w;
    char text[40];
    if (!crier_calendar_contains(c->calendar, f->zone, f->now, &w)) {
        outside(j, c->calendar, p);
        return;
    }
    set(p, true, w.from, w.to);
    if (p->why)
        reason(p, "until %s", clock_text(f, w.to, text));
}

/* True in a window in which the task has not started; a run that crashed does not count, but for
 * cron, which starts nothing twice. */
static void judge_period(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_window w;
    struct crier_history h;
    char text[40];
    if (!crier_calendar_contains(c->calendar, f->zone, f->now, &w)) {
        outside(j, c->calendar, p);
        return;
    }
    history_of(j, NULL, &h, p);
    const struct crier_did *run = &h.last[CRIER_RUN];
    bool crashed =
        h.last[CRIER_CRASH].seq > run->seq && crier_calendar_cycle(c->calendar) != CRIER_CYCLE_CRON;
    int64_t next = crier_calendar_next(c->calendar, f->zone, f->now);
    if (run->seq && run_due(&h) >= w.from && !crashed) {
        set(p, false, f->now, next);
        if (p->why)
            reason(p, "ran %s, %s", clock_text(f, run->time, text), outcome(&h));
        return;
    }
    set(p, true, w.from, least(w.to, next));
    if (p->why)
        reason(p, "until %s", clock_text(f, w.to, text));
}

/* A share of the jitter that is the same whenever it is asked for the same run. */
static int64_t jitter(int64_t most, uint64_t seq)
{
    uint64_t x = seq * 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ULL;
    return most ? (int64_t)((x ^ x >> 32) % ((uint64_t)most + 1)) : 0;
}

static void judge_every(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_history h;
    enum crier_action which = CRIER_RUN;
    char text[40];
    history_of(j, NULL, &h, p);
    struct crier_did last = newest(&h, c->actions, &which);
    int64_t first = f->since ? f->since : f->now;
    int64_t due = last.seq ? plus((which == CRIER_RUN ? run_due(&h) : last.time) + last.set,
                                  c->span + jitter(c->jitter, last.seq))
                  : c->wait ? plus(first, c->span)
                            : least(first, f->now);
    if (f->now < due) {
        set(p, false, f->now, due);
    } else {
        /* A run that comes late keeps the phase and is one, not many. */
        int64_t steps = (f->now - due) / c->span;
        set(p, true, due + steps * c->span, CRIER_NEVER);
    }
    if (!p->why)
        return;
    if (!last.seq)
        reason(p, "no %s yet",
               c->actions == CRIER_DID_FINISH ? "finish"
                                              : crier_action_names[__builtin_ctz(c->actions)]);
    else
        reason(p, "last %s %s", crier_action_names[which], clock_text(f, last.time, text));
}

static const char *verb(unsigned actions)
{
    return actions == CRIER_DID(CRIER_SUCCESS) ? "success"
           : actions == CRIER_DID(CRIER_FAIL)  ? "fail"
                                               : "finish";
}

static void judge_after(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_history own;
    char text[40], mine[40] = "";
    history_of(j, NULL, &own, p);
    struct crier_did run = own.last[CRIER_RUN];
    if (p->why && run.seq)
        snprintf(mine, sizeof mine, "%s", clock_text(f, run.time, text));
    bool truth = !c->any, assumed = false;
    int64_t since = c->any ? CRIER_NEVER : LONG_SINCE;
    struct crier_buf why = {0};
    for (size_t i = 0; i < c->task_count; i++) {
        struct crier_history h;
        enum crier_action which = CRIER_RUN;
        struct part one = {.why = NULL};
        bool known = history_of(j, c->tasks[i], &h, &one), yes;
        struct crier_did did = newest(&h, c->actions, &which);
        yes = known ? did.seq > run.seq : one.v.truth;
        assumed = assumed || (!known && f->assume);
        if (known && yes)
            since = c->any ? least(since, did.time) : since > did.time ? since : did.time;
        truth = c->any ? truth || yes : truth && yes;
        if (!p->why)
            continue;
        crier_buf_puts(&why, i ? ", " : "");
        if (!known)
            crier_buf_printf(&why, f->assume ? "%s not known here" : "there is no task '%s'",
                             c->tasks[i]);
        else if (!did.seq)
            crier_buf_printf(&why, "%s: no %s yet", c->tasks[i], verb(c->actions));
        else
            crier_buf_printf(&why, "%s %s %s", c->tasks[i], crier_action_names[which],
                             clock_text(f, did.time, text));
    }
    set(p, truth, truth ? since : f->now, CRIER_NEVER);
    if (p->why) {
        p->why->assumed = assumed;
        reason(p, *mine && why.len < 200 ? "%s; own start %s" : "%s", why.data ? why.data : "",
               mine);
    }
    crier_buf_fini(&why);
}

/* Where a history is counted: from, until, and the next instant at which that changes. */
static bool counted_span(const struct crier_facts *f, const struct crier_cond *c, int64_t *from,
                         int64_t *to, int64_t *changes)
{
    *from = INT64_MIN;
    *to = *changes = CRIER_NEVER;
    if (c->span)
        *from = f->now - c->span + 1;
    if (!c->calendar)
        return true;
    struct crier_window unit, w;
    const struct crier_zone *zone = crier_calendar_zone(c->calendar);
    zone = zone ? zone : f->zone;
    if (!crier_calendar_contains(c->unit, zone, f->now, &unit))
        return false;
    *changes = least(unit.to, crier_calendar_next(c->calendar, zone, f->now));
    if (!crier_calendar_last(c->calendar, zone, f->now, &w) || w.from < unit.from)
        return false;
    *from = w.from;
    *to = w.to;
    return true;
}

/* How many records there are in a span, up to `enough`; *at gets the time of the last counted. */
static uint32_t count_records(const struct crier_facts *f, const struct crier_cond *c,
                              const char *task, int64_t from, int64_t to, uint32_t enough,
                              int64_t *newest_at, int64_t *at)
{
    uint32_t count = 0;
    int64_t time;
    *newest_at = *at = LONG_SINCE;
    for (uint32_t n = 0; f->when && count < enough; n++) {
        if (!f->when(f->arg, task, c->actions, n, &time) || time < from)
            break;
        if (time >= to)
            continue;
        if (!count++)
            *newest_at = time;
        *at = time;
    }
    return count;
}

static void judge_history(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    const char *task = c->task_count ? c->tasks[0] : NULL;
    struct crier_history h;
    int64_t from, to, changes, at, last;
    if (!history_of(j, task, &h, p))
        return;
    uint32_t enough = c->max == UINT32_MAX ? c->min : c->max + 1, count = 0;
    bool any = counted_span(f, c, &from, &to, &changes);
    last = at = LONG_SINCE;
    if (any)
        count = count_records(f, c, task ? task : f->task, from, to, enough > 0 ? enough : 1, &last,
                              &at);
    bool truth = count >= c->min && count <= c->max;
    if (c->span && count) {
        /* Records grow old: the one that matters is the min-th, or the one too many. */
        if (count > c->max)
            changes = plus(at, c->span);
        else if (truth && c->min > 0) {
            int64_t nth;
            count_records(f, c, task ? task : f->task, from, to, c->min, &last, &nth);
            changes = plus(nth, c->span);
        }
    }
    set(p, truth, truth ? last : f->now, changes);
    if (p->why) {
        char text[40];
        if (!count)
            reason(p, "none");
        else
            reason(p, "%s%u, the newest %s", count >= enough && enough > 1 ? "at least " : "",
                   count, clock_text(f, last, text));
    }
}

static void judge_running(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    const char *task = c->task_count ? c->tasks[0] : NULL;
    struct crier_history h;
    if (!history_of(j, task, &h, p))
        return;
    uint32_t count = h.running;
    int64_t changes = CRIER_NEVER, start;
    if (c->longer || c->shorter) {
        count = 0;
        for (uint32_t n = 0; f->live && f->live(f->arg, task ? task : f->task, n, &start); n++) {
            int64_t age = f->now - start;
            if (c->longer && age < c->longer)
                changes = least(changes, plus(start, c->longer));
            else if (c->shorter && age >= c->shorter)
                continue;
            else {
                count++;
                if (c->shorter)
                    changes = least(changes, plus(start, c->shorter));
            }
        }
    }
    set(p, count >= c->min && count <= c->max, LONG_SINCE, changes);
    reason(p, "%u running", count);
}

static void judge_retry(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_history h;
    enum crier_action which = CRIER_RUN;
    char text[40];
    history_of(j, NULL, &h, p);
    struct crier_did last = newest(&h, CRIER_DID_FINISH | CRIER_DID(CRIER_RUN), &which);
    if (which != CRIER_FAIL || h.fails > c->max || c->max == 0) {
        set(p, false, f->now, CRIER_NEVER);
        if (!last.seq)
            reason(p, "no run yet");
        else if (which != CRIER_FAIL)
            reason(p, "last: %s", which == CRIER_RUN ? "running" : crier_action_names[which]);
        else
            reason(p, "failed %u times in a row", h.fails);
        return;
    }
    double wait = (double)c->delay;
    if (wait > 0 && h.fails > 1)
        wait *= pow(c->factor, (double)(h.fails - 1));
    if (c->most && wait > (double)c->most)
        wait = (double)c->most;
    int64_t due = wait >= 9e18 ? CRIER_NEVER : plus(last.time + last.set, (int64_t)wait);
    bool truth = f->now >= due;
    set(p, truth, truth ? due : f->now, truth ? CRIER_NEVER : due);
    if (p->why)
        reason(p, "failed %s, %u in a row", clock_text(f, last.time, text), h.fails);
}

static void judge_custom(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    const struct crier_facts *f = j->facts;
    struct crier_err err = {0};
    if (!f->custom) {
        unknown(j, p, "way to call it here");
        return;
    }
    int answer = f->custom(f->arg, c->fn, &err);
    set(p, answer > 0, LONG_SINCE, plus(f->now, c->span));
    if (answer < 0)
        reason(p, "failed: %.200s", err.text);
}

static void judge_part(const struct judge *j, const struct crier_cond *c, struct part *p);

/* The part of an item, with a place for its reason where there is one for the group's. */
static struct part item_part(const struct judge *j, const struct crier_cond *c, struct part *p,
                             size_t i)
{
    struct part item = {.why = p->why ? &p->why->items[i] : NULL};
    judge_part(j, c->items[i], &item);
    return item;
}

/* An AND that is false can become true only when all of its false items have changed, one that is
 * true becomes false with the first; an OR is the same with the words exchanged. */
static void judge_group(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    bool is_and = c->kind == CRIER_COND_AND, truth = is_and;
    int64_t first = CRIER_NEVER, last = INT64_MIN, since = LONG_SINCE;
    if (p->why) {
        p->why->items = crier_calloc(c->count, sizeof *p->why->items);
        p->why->count = c->count;
    }
    for (size_t i = 0; i < c->count; i++) {
        struct part item = item_part(j, c, p, i);
        first = least(first, item.v.next);
        if (item.v.truth != is_and) {
            truth = !is_and; /* this one decides */
            last = item.v.next > last ? item.v.next : last;
        }
        if (!item.v.truth || item.v.since == LONG_SINCE)
            continue;
        bool better = is_and ? item.v.since > since : item.v.since < since;
        if (since == LONG_SINCE || better)
            since = item.v.since;
    }
    set(p, truth, truth ? since : j->facts->now, truth == is_and ? first : last);
}

static void judge_not(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    struct judge inner = {.facts = j->facts, .positive = !j->positive};
    if (p->why) {
        p->why->items = crier_calloc(1, sizeof *p->why->items);
        p->why->count = 1;
    }
    struct part item = item_part(&inner, c, p, 0);
    set(p, !item.v.truth, LONG_SINCE, item.v.next);
}

static void judge_part(const struct judge *j, const struct crier_cond *c, struct part *p)
{
    if (p->why) {
        p->why->text = c->kind == CRIER_COND_AND   ? crier_strdup("AND")
                       : c->kind == CRIER_COND_OR  ? crier_strdup("OR")
                       : c->kind == CRIER_COND_NOT ? crier_strdup("NOT")
                                                   : crier_cond_text(c);
        p->why->reason = crier_strdup("");
    }
    switch (c->kind) {
    case CRIER_COND_TRUE:
        set(p, true, LONG_SINCE, CRIER_NEVER);
        break;
    case CRIER_COND_FALSE:
        set(p, false, j->facts->now, CRIER_NEVER);
        break;
    case CRIER_COND_AND:
    case CRIER_COND_OR:
        judge_group(j, c, p);
        break;
    case CRIER_COND_NOT:
        judge_not(j, c, p);
        break;
    case CRIER_COND_PERIOD:
        judge_period(j, c, p);
        break;
    case CRIER_COND_TIME_OF:
        judge_time_of(j, c, p);
        break;
    case CRIER_COND_EVERY:
        judge_every(j, c, p);
        break;
    case CRIER_COND_AFTER:
        judge_after(j, c, p);
        break;
    case CRIER_COND_HISTORY:
        judge_history(j, c, p);
        break;
    case CRIER_COND_RUNNING:
        judge_running(j, c, p);
        break;
    case CRIER_COND_RETRY:
        judge_retry(j, c, p);
        break;
    case CRIER_COND_CUSTOM:
        judge_custom(j, c, p);
        break;
    }
    if (p->why) {
        p->why->truth = p->v.truth;
        p->why->next = p->v.next;
    }
}

static void judge_all(const struct crier_cond *c, const struct crier_facts *facts, struct part *p)
{
    struct judge j = {.facts = facts, .positive = true};
    judge_part(&j, c, p);
    if (p->v.since == LONG_SINCE || p->v.since > facts->now)
        p->v.since = facts->now;
}

void crier_cond_judge(const struct crier_cond *c, const struct crier_facts *facts,
                      struct crier_judgement *out)
{
    struct part p = {.why = NULL};
    judge_all(c, facts, &p);
    *out = p.v;
}

struct crier_why *crier_cond_why(const struct crier_cond *c, const struct crier_facts *facts,
                                 struct crier_judgement *out)
{
    struct part p = {.why = crier_calloc(1, sizeof *p.why)};
    judge_all(c, facts, &p);
    if (out)
        *out = p.v;
    return p.why;
}

static void clear_why(struct crier_why *why)
{
    for (size_t i = 0; i < why->count; i++)
        clear_why(&why->items[i]);
    free(why->items);
    free(why->text);
    free(why->reason);
}

void crier_why_free(struct crier_why *why)
{
    if (!why)
        return;
    clear_why(why);
    free(why);
}

int64_t crier_cond_next(const struct crier_cond *c, const struct crier_facts *facts, int64_t until)
{
    struct crier_facts f = *facts;
    /* A condition such as `minutely & yearly` changes often before it is true; one that never is
     * must end, too. */
    for (int i = 0; i < 100000; i++) {
        struct crier_judgement v;
        crier_cond_judge(c, &f, &v);
        if (v.truth)
            return f.now;
        if (v.next == CRIER_NEVER || v.next > until)
            break;
        f.now = v.next;
    }
    return CRIER_NEVER;
}

/* --- what it asks for --------------------------------------------------------------------- */

void crier_cond_needs(const struct crier_cond *c,
                      void (*need)(void *arg, const char *task, unsigned actions, uint32_t depth,
                                   int64_t span),
                      void *arg)
{
    const char *task = c->task_count ? c->tasks[0] : NULL;
    uint32_t depth = c->max == UINT32_MAX ? c->min : c->max + 1;
    for (size_t i = 0; i < c->count; i++)
        crier_cond_needs(c->items[i], need, arg);
    switch (c->kind) {
    case CRIER_COND_AFTER:
        for (size_t i = 0; i < c->task_count; i++)
            need(arg, c->tasks[i], c->actions, 1, 0);
        break;
    case CRIER_COND_HISTORY: {
        static const int64_t units[] = {1, 60, 3600, 86400, 7 * 86400, 31 * 86400, 366 * 86400};
        int64_t span = c->span;
        if (c->calendar) /* a part of a unit: what came later in it must be stepped over */
            span = units[crier_calendar_cycle(c->calendar)] * CRIER_S;
        need(arg, task, c->actions,
             c->calendar && *crier_calendar_text(c->calendar) ? UINT32_MAX
             : depth                                          ? depth
                                                              : 1,
             span);
        break;
    }
    case CRIER_COND_RUNNING:
        need(arg, task, CRIER_DID(CRIER_RUN), 1, 0);
        break;
    default:
        break;
    }
}

void crier_cond_functions(const struct crier_cond *c, void (*each)(void *arg, int fn), void *arg)
{
    for (size_t i = 0; i < c->count; i++)
        crier_cond_functions(c->items[i], each, arg);
    if (c->kind == CRIER_COND_CUSTOM)
        each(arg, c->fn);
}
