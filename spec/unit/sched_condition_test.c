/* SPDX-License-Identifier: MIT
 *
 * Conditions: their text, their truth, and the promise that nothing changes before `next`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"
#include "rounds.h"
#include "sched/condition.h"
#include "sched/condition_text.h"

#define MINUTE (60 * CRIER_S)
#define HOUR (3600 * CRIER_S)
#define DAY (86400 * CRIER_S)

static struct crier_zone *utc;

static struct crier_cond *parse(const char *text)
{
    struct crier_err err = {0};
    struct crier_cond *c = NULL;
    int column = 0;
    if (crier_cond_parse(text, &c, &column, &err) != 0)
        fail_msg("%s: column %d: %s", text, column, err.text);
    return c;
}

static int64_t at(const char *text)
{
    int64_t t = 0;
    assert_int_equal(crier_datetime_parse(text, utc, &t, NULL), 0);
    return t;
}

/* --- a log of what tasks did -------------------------------------------------------------- */

struct entry {
    char task;
    enum crier_action action;
    int64_t time;
};

struct log {
    struct entry entries[256];
    size_t count;
    int custom; /* what the script's function answers */
    unsigned asked;
};

static bool log_history(void *arg, const char *task, struct crier_history *out)
{
    struct log *log = arg;
    *out = (struct crier_history){0};
    if (!strchr("abx", task[0]) || task[1])
        return false;
    for (size_t i = 0; i < log->count; i++) {
        const struct entry *e = &log->entries[i];
        if (e->task != task[0])
            continue;
        out->last[e->action] = (struct crier_did){.seq = i + 1, .time = e->time};
        if (e->action == CRIER_RUN)
            out->running++;
        else if (out->running)
            out->running--;
        if (e->action == CRIER_FAIL)
            out->fails++;
        else if (e->action != CRIER_RUN)
            out->fails = 0;
    }
    return true;
}

static bool log_when(void *arg, const char *task, unsigned actions, uint32_t n, int64_t *time)
{
    struct log *log = arg;
    for (size_t i = log->count; i-- > 0;) {
        const struct entry *e = &log->entries[i];
        if (e->task == task[0] && (actions & CRIER_DID(e->action)) && n-- == 0) {
            *time = e->time;
            return true;
        }
    }
    return false;
}

static bool log_live(void *arg, const char *task, uint32_t n, int64_t *start)
{
    struct log *log = arg;
    struct crier_history h;
    log_history(log, task, &h);
    if (n >= h.running)
        return false;
    return log_when(log, task, CRIER_DID(CRIER_RUN), h.running - 1 - n, start);
}

static int log_custom(void *arg, int fn, struct crier_err *err)
{
    struct log *log = arg;
    log->asked++;
    if (fn == 13)
        return crier_err_set(err, CRIER_EINVAL, "no luck");
    return log->custom;
}

/* "x run 10:00; x success 10:05; a fail 11:00", all on 2026-11-21. */
static void fill(struct log *log, const char *story)
{
    static char copy[1024];
    char *save = NULL;
    *log = (struct log){0};
    snprintf(copy, sizeof copy, "%s", story);
    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        char task, action[16], time[32], full[48];
        assert_int_equal(sscanf(one, " %c %15s %31s", &task, action, time), 3);
        snprintf(full, sizeof full, strchr(time, '-') ? "%s" : "2026-11-21T%s", time);
        for (int i = 0; i < CRIER_ACTIONS; i++) {
            if (strcmp(crier_action_names[i], action) == 0)
                log->entries[log->count++] = (struct entry){task, (enum crier_action)i, at(full)};
        }
    }
}

static struct crier_facts facts(struct log *log, int64_t now)
{
    return (struct crier_facts){.now = now,
                                .zone = utc,
                                .task = "x",
                                .since = at("2026-11-01"),
                                .arg = log,
                                .history = log_history,
                                .when = log_when,
                                .live = log_live,
                                .custom = log_custom};
}

/* --- text --------------------------------------------------------------------------------- */

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical; /* NULL: as it is */
    } cases[] = {
        {"daily after 18:00 & after task 'fetch'", NULL},
        {"every 10 min | retry 3", "every 10m | retry 3"},
        {"weekly on Mon, Fri at 09:00", "weekly Mon, Fri 09:00"},
        {"cron 15 3 * * *", NULL},
        {"cron @daily", NULL},
        {"crontime */5 9-17 * * MON-FRI", NULL},
        {"~running", NULL},
        {"~ ( running | daily )", "~(running | daily)"},
        {"true", NULL},
        {"always & never", "true & false"},
        {"every 1h 30 minutes", "every 1h30m"},
        {"every 90 sec based on finish jitter 5 s first wait",
         "every 1m30s based on finish jitter 5s first wait"},
        {"every 1d first now based success", "every 1d based on success"},
        {"every 1d based on run", "every 1d"},
        {"time of day between 10:00 and 12:00", NULL},
        {"time of week between Mon and Fri & time of day after 9",
         "time of week between Mon and Fri & time of day after 09:00"},
        {"after 'fetch'", "after task 'fetch'"},
        {"after task \"fetch\" succeeded", "after task 'fetch'"},
        {"after task 'it''s' failed", NULL},
        {"after tasks 'a', 'b' finished", NULL},
        {"after all of tasks 'a', 'b'", "after tasks 'a', 'b'"},
        {"after any of tasks 'a', 'b' failed", NULL},
        {"after any task 'a'", "after task 'a'"},
        {"succeeded", NULL},
        {"has failed today", "failed today"},
        {"task 'a' has succeeded this week", "task 'a' succeeded this week"},
        {"'a' failed at least 2 times in 1d", "task 'a' failed at least 2 times in 1d"},
        {"failed today at least 2 times", "failed at least 2 times today"},
        {"failed today after 10:00 at most once", "?"},
        {"failed today after 10:00 at most 1 time", "failed at most 1 time today after 10:00"},
        {"started exactly 3 times this month on 1st", "started exactly 3 times this month 1st"},
        {"started 3 times", "started exactly 3 times"},
        {"started 2 to 5 times within the last 2 hours", "started 2 to 5 times in 2h"},
        {"inacted never in 1w", NULL},
        {"crashed", NULL},
        {"terminated more than 1 times", "terminated at least 2 times"},
        {"running less than 3", "running at most 2 times"},
        {"task 'a' is running longer than 2 min", "task 'a' running longer than 2m"},
        {"running shorter than 1h longer than 1m", "running longer than 1m shorter than 1h"},
        {"retry", NULL},
        {"retry 3 times delay 10s factor 2 max 5m", "retry 3 delay 10s factor 2 max 5m"},
        {"retry delay 10s factor 1.5", NULL},
        {"daily | hourly & minutely", NULL},
        {"(daily | hourly) & minutely", NULL},
        {"((daily)) | (hourly | minutely)", "daily | hourly | minutely"},
        {"~~daily", NULL},
        {"~(daily & running)", NULL},
        {"daily 09:00 in Europe/Paris | weekly Sat in UTC", NULL},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        const char *want = cases[i].canonical ? cases[i].canonical : cases[i].text;
        struct crier_cond *c = NULL;
        int column;
        if (*want == '?') {
            assert_int_equal(crier_cond_parse(cases[i].text, &c, &column, NULL), CRIER_EINVAL);
            continue;
        }
        c = parse(cases[i].text);
        char *text = crier_cond_text(c);
        assert_string_equal(text, want);
        struct crier_cond *d = parse(text);
        char *again = crier_cond_text(d);
        assert_string_equal(again, want);
        free(text);
        free(again);
        crier_cond_unref(c);
        crier_cond_unref(d);
    }
}

static void faults(void **state)
{
    (void)state;
#define LEAF "expected a period (daily, every 10m, cron ...), after task, running, retry, ~ or ("
    static const struct {
        const char *text;
        int column;
        const char *message;
    } cases[] = {
        {"", 1, LEAF ", but the text ends here"},
        {"dayly after 18:00", 1, LEAF ", got 'dayly' (did you mean 'daily'?)"},
        {"daily &", 8, LEAF ", but the text ends here"},
        {"daily and hourly", 7,
         "expected at, after, before, between, starting, &, | or the end, got 'and'"},
        {"running and hourly", 9, "write & for and, | for or"},
        {"not running", 1, "write ~ for not: ~running"},
        {"(daily | hourly", 16, "expected &, | or ')', but the text ends here"},
        {"daily)", 6, "expected &, | or the end, got ')'"},
        {"every", 6, "expected a duration, such as 10 min or 1h 30m, but the text ends here"},
        {"every 10", 7, "expected a duration, such as 10 min or 1h 30m, got '10'"},
        {"every 0s", 7, "a duration must be longer than 0s here"},
        {"every 10x", 7, "expected a duration, such as 10 min or 1h 30m, got '10x'"},
        {"every 10m based on sucess", 20,
         "expected run, success, fail or finish, got 'sucess' (did you mean 'success'?)"},
        {"after fetch", 7,
         "expected task 'NAME' (after a time of day: daily after 18:00), got 'fetch'"},
        {"after task fetch", 12, "expected a task's name in quotes, such as 'fetch', got 'fetch'"},
        {"after task 'fetch", 12, "expected a task's name in quotes, such as 'fetch', got '''"},
        {"after task 'a' suceeded", 16, "expected &, | or the end, got 'suceeded'"},
        {"task 'a' suceeded", 10,
         "expected succeeded, failed, finished, started, terminated, inacted or running, got "
         "'suceeded' (did you mean 'succeeded'?)"},
        {"failed at lest 2 times", 11,
         "expected a count, such as at least 2 times, got 'lest' (did you mean 'least'?)"},
        {"failed less than 0 times", 8, "nothing happens less than 0 times"},
        {"failed 2 times 3 times", 16, "one count is enough"},
        {"failed in 1d today", 14, "one span of time is enough"},
        {"failed this yeer", 13,
         "expected second, minute, hour, day, week, month or year, got 'yeer' (did you mean "
         "'year'?)"},
        {"running longer then 2m", 16, "expected 'than', got 'then' (did you mean 'than'?)"},
        {"retry 3 factor 0.5", 16, "expected a factor from 1 to 1000, got '0.5'"},
        {"time off day", 6, "expected 'of', got 'off' (did you mean 'of'?)"},
        {"daily afer 18:00 & hourly", 7,
         "expected at, after, before, between, starting, &, | or the end, got 'afer' (did you mean "
         "'after'?)"},
        {"hourly & cron 61 * * * *", 15, "cron: the minute is a number from 0 to 59, got '61'"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        struct crier_err err = {0};
        struct crier_cond *c;
        int column = 0;
        assert_int_equal(crier_cond_parse(cases[i].text, &c, &column, &err), CRIER_EINVAL);
        assert_null(c);
        if (strcmp(err.text, cases[i].message) != 0 || column != cases[i].column)
            fail_msg("%s: %d: %s", cases[i].text, column, err.text);
    }
}

static void deep(void **state)
{
    (void)state;
    struct crier_cond *c;
    struct crier_err err = {0};
    int column;
    for (int n = 1; n < 200000; n *= 3) {
        struct crier_buf b = {0};
        for (int i = 0; i < n; i++)
            crier_buf_puts(&b, n % 2 ? "(" : "~");
        crier_buf_puts(&b, "daily");
        assert_true(crier_cond_parse(b.data, &c, &column, &err) == CRIER_EINVAL || n < 64);
        crier_cond_unref(c);
        crier_buf_fini(&b);
    }
    /* Joined by hand, too. */
    c = parse("daily");
    int depth = 1;
    while (c) {
        c = depth % 2 ? crier_cond_or(c, parse("hourly"), &err)
                      : crier_cond_and(c, parse("hourly"), &err);
        depth++;
    }
    assert_int_equal(depth, 65);
    assert_string_equal(err.text, "a condition is at most 64 levels deep");
    c = parse("daily");
    for (int i = 0; i < ROUNDS(2000); i++) {
        c = crier_cond_and(c, parse("hourly"), &err);
        assert_non_null(c);
    }
    crier_cond_unref(c);
}

/* --- truth -------------------------------------------------------------------------------- */

static void truths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story, *now;
        bool truth;
        const char *next; /* NULL: never */
    } cases[] = {
        {"true", "", "12:00", true, NULL},
        {"false", "", "12:00", false, NULL},
        /* periods: inside, and not yet run in it */
        {"daily after 18:00", "", "17:00", false, "18:00"},
        {"daily after 18:00", "", "18:00", true, "2026-11-22"},
        {"daily after 18:00", "x run 18:00; x success 18:01", "19:00", false, "2026-11-22T18:00"},
        {"daily after 18:00", "x run 18:00", "19:00", false, "2026-11-22T18:00"},
        {"daily after 18:00", "x run 18:00; x fail 18:01", "19:00", false, "2026-11-22T18:00"},
        {"daily after 18:00", "x run 18:00; x inaction 18:01", "19:00", false, "2026-11-22T18:00"},
        {"daily after 18:00", "x run 18:00; x terminate 18:01", "19:00", false, "2026-11-22T18:00"},
        {"daily after 18:00", "x run 18:00; x crash 18:01", "19:00", true, "2026-11-22"},
        {"daily after 18:00", "x run 17:59; x success 18:01", "19:00", true, "2026-11-22"},
        {"daily after 18:00", "a run 18:00; a success 18:01", "19:00", true, "2026-11-22"},
        {"daily", "x run 2026-11-20T12:00; x success 2026-11-20T12:01", "00:00", true,
         "2026-11-22"},
        {"hourly between :00 and :30", "x run 11:05; x success 11:06", "12:00", true, "12:30"},
        {"cron 30 12 * * *", "", "12:30", true, "12:31"},
        {"cron 30 12 * * *", "x run 12:30; x crash 12:30:10", "12:30:20", false,
         "2026-11-22T12:30"},
        {"cron 30 12 * * *", "", "12:31", false, "2026-11-22T12:30"},
        {"daily | retry 2", "x run 10:00; x fail 10:01", "10:01", true, NULL},
        /* spans that ask nothing of the task */
        {"time of day after 18:00", "x run 18:00; x success 18:01", "19:00", true, "2026-11-22"},
        {"crontime 30 12 * * *", "x run 12:30; x success 12:30:01", "12:30:59", true, "12:31"},
        /* every */
        {"every 10m", "", "12:00", true, NULL},
        {"every 10m first wait", "", "2026-11-01T00:05", false, "2026-11-01T00:10"},
        {"every 10m", "x run 11:55; x success 11:56", "12:00", false, "12:05"},
        {"every 10m", "x run 11:50; x success 11:56", "12:00", true, NULL},
        {"every 10m based on finish", "x run 11:50; x success 11:56", "12:00", false, "12:06"},
        {"every 10m based on success", "x run 11:40; x success 11:45; x run 11:55; x fail 11:56",
         "12:00", true, NULL},
        {"every 10m based on fail", "x run 11:40; x success 11:45", "12:00", true, NULL},
        /* after */
        {"after task 'a'", "", "12:00", false, NULL},
        {"after task 'a'", "a run 11:00; a success 11:01", "12:00", true, NULL},
        {"after task 'a'", "a run 11:00; a success 11:01; x run 11:02", "12:00", false, NULL},
        {"after task 'a'", "x run 11:01; a run 11:01; a success 11:01", "12:00", true, NULL},
        {"after task 'a'", "a run 11:01; a success 11:01; x run 11:01", "12:00", false, NULL},
        {"after task 'a'", "a run 11:00; a fail 11:01", "12:00", false, NULL},
        {"after task 'a' failed", "a run 11:00; a fail 11:01", "12:00", true, NULL},
        {"after task 'a' finished", "a run 11:00; a terminate 11:01", "12:00", true, NULL},
        {"after task 'a' finished", "a run 11:00; a inaction 11:01", "12:00", true, NULL},
        {"after task 'a' finished", "a run 11:00; a crash 11:01", "12:00", true, NULL},
        {"after task 'a' finished", "a run 11:00", "12:00", false, NULL},
        {"after tasks 'a', 'b'", "a run 11:00; a success 11:01", "12:00", false, NULL},
        {"after tasks 'a', 'b'", "a run 11:00; a success 11:01; b success 11:02", "12:00", true,
         NULL},
        {"after any of tasks 'a', 'b'", "b success 11:02", "12:00", true, NULL},
        {"after any of tasks 'a', 'b'", "", "12:00", false, NULL},
        {"after task 'nobody'", "", "12:00", false, NULL},
        /* histories */
        {"succeeded", "", "12:00", false, NULL},
        {"succeeded", "x run 10:00; x success 10:01", "12:00", true, NULL},
        {"succeeded today", "x run 10:00; x success 10:01", "12:00", true, "2026-11-22"},
        {"succeeded today", "x success 2026-11-20T10:00", "12:00", false, "2026-11-22"},
        {"succeeded this week", "x success 2026-11-20T10:00", "12:00", true, "2026-11-23"},
        {"succeeded this month", "x success 2026-11-20T10:00", "12:00", true, "2026-12-01"},
        {"succeeded today before 10:00", "x success 09:00; x success 11:00", "12:00", true,
         "2026-11-22"},
        {"succeeded today after 10:00", "x success 09:00", "12:00", false, "2026-11-22"},
        {"succeeded today after 10:00", "x success 09:00", "09:30", false, "10:00"},
        {"succeeded today after 10:00", "x success 2026-11-20T11:00", "09:30", false, "10:00"},
        {"succeeded exactly 1 time today before 10:00", "x success 09:00; x success 11:00", "12:00",
         true, "2026-11-22"},
        {"task 'a' failed at least 2 times in 1h", "a fail 10:00; a fail 10:30", "10:45", true,
         "11:00"},
        {"task 'a' failed at least 2 times in 1h", "a fail 10:00; a fail 10:30", "11:00", false,
         NULL},
        {"task 'a' failed at most 1 time in 1h", "a fail 10:00; a fail 10:30", "10:45", false,
         "11:00"},
        {"task 'a' failed never in 1h", "a fail 10:00; a fail 10:30", "10:45", false, "11:30"},
        {"task 'a' failed never in 1h", "a fail 10:00; a fail 10:30", "11:30", true, NULL},
        {"task 'a' failed exactly 2 times in 1h", "a fail 10:00; a fail 10:20; a fail 10:30",
         "10:45", false, "11:00"},
        {"task 'a' failed 1 to 2 times in 1h", "a fail 10:00; a fail 10:20; a fail 10:30", "11:00",
         true, "11:30"},
        {"finished 2 to 5 times", "x fail 10:00; x crash 10:01; x run 10:02", "12:00", true, NULL},
        {"task 'nobody' failed", "", "12:00", false, NULL},
        {"task 'nobody' failed never", "", "12:00", false, NULL},
        /* running */
        {"running", "", "12:00", false, NULL},
        {"running", "x run 11:00", "12:00", true, NULL},
        {"running", "x run 11:00; x success 11:30", "12:00", false, NULL},
        {"task 'a' running longer than 2m", "a run 11:59", "12:00", false, "12:01"},
        {"task 'a' running longer than 2m", "a run 11:58", "12:00", true, NULL},
        {"task 'a' running shorter than 2m", "a run 11:59", "12:00", true, "12:01"},
        {"task 'a' running shorter than 2m", "a run 11:58", "12:00", false, NULL},
        {"running less than 2", "x run 11:00; x run 11:01", "12:00", false, NULL},
        {"running less than 3", "x run 11:00; x run 11:01", "12:00", true, NULL},
        /* retry */
        {"retry 2", "", "12:00", false, NULL},
        {"retry 2", "x run 11:00; x fail 11:01", "12:00", true, NULL},
        {"retry 2", "x run 11:00; x fail 11:01; x run 11:02", "12:00", false, NULL},
        {"retry 2", "x run 11:00; x fail 11:01; x run 11:02; x fail 11:03", "12:00", true, NULL},
        {"retry 2", "x fail 11:01; x fail 11:02; x fail 11:03", "12:00", false, NULL},
        {"retry 2", "x fail 11:01; x fail 11:02; x success 11:03; x fail 11:04", "12:00", true,
         NULL},
        {"retry 2", "x fail 11:01; x terminate 11:03", "12:00", false, NULL},
        {"retry", "x fail 11:01; x fail 11:02; x fail 11:03", "12:00", true, NULL},
        {"retry 0", "x fail 11:01", "12:00", false, NULL},
        {"retry 3 delay 10m", "x fail 11:55", "12:00", false, "12:05"},
        {"retry 3 delay 10m", "x fail 11:50", "12:00", true, NULL},
        {"retry 3 delay 10m factor 2", "x fail 11:40; x fail 11:55", "12:00", false, "12:15"},
        {"retry 9 delay 10m factor 10 max 1h", "x fail 10:00; x fail 11:00; x fail 11:10", "12:00",
         false, "12:10"},
        {"retry delay 10m factor 1000",
         "x fail 10:00; x fail 10:00; x fail 10:00; x fail 10:00; x fail 10:00; x fail 10:00; "
         "x fail 10:00; x fail 10:00",
         "12:00", false, NULL},
        /* groups: what can be waited for */
        {"daily after 18:00 & after task 'a'", "", "12:00", false, NULL},
        {"daily after 18:00 & after task 'a'", "a success 11:00", "12:00", false, "18:00"},
        {"daily after 18:00 & after task 'a'", "a success 11:00", "18:30", true, "2026-11-22"},
        {"daily after 18:00 & hourly after :30", "", "12:00", false, "18:00"},
        {"daily after 18:00 | hourly after :30", "", "12:00", false, "12:30"},
        {"daily after 18:00 | hourly after :30", "", "18:30", true, "2026-11-22"},
        {"~time of day after 18:00", "", "12:00", true, "18:00"},
        {"~(daily after 18:00 | running)", "", "19:00", false, "2026-11-22"},
        {"every 10m & ~task 'a' running", "a run 11:00", "12:00", false, NULL},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        static struct log log;
        struct crier_judgement v;
        char now[40], next[40] = "", got[32];
        snprintf(now, sizeof now, strchr(cases[i].now, '-') ? "%s" : "2026-11-21T%s", cases[i].now);
        if (cases[i].next)
            snprintf(next, sizeof next, strchr(cases[i].next, '-') ? "%s" : "2026-11-21T%s",
                     cases[i].next);
        fill(&log, cases[i].story);
        struct crier_facts f = facts(&log, at(now));
        struct crier_cond *c = parse(cases[i].text);
        crier_cond_judge(c, &f, &v);
        if (v.truth != cases[i].truth)
            fail_msg("%s, [%s] at %s: %s", cases[i].text, cases[i].story, now,
                     v.truth ? "true" : "false");
        if (v.next != (cases[i].next ? at(next) : CRIER_NEVER))
            fail_msg("%s, [%s] at %s: next %s", cases[i].text, cases[i].story, now,
                     v.next == CRIER_NEVER ? "never" : crier_time_rfc3339(v.next, got));
        assert_true(v.since <= f.now && v.next > f.now);
        struct crier_judgement same;
        struct crier_why *why = crier_cond_why(c, &f, &same);
        assert_true(same.truth == v.truth && same.next == v.next && why->truth == v.truth);
        crier_why_free(why);
        crier_cond_unref(c);
    }
}

/* When a run that is started now was due: what lateness and catching up go by. */
static void due_times(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story, *now, *since;
    } cases[] = {
        {"daily after 18:00", "", "2026-11-21T18:00:07", "2026-11-21T18:00"},
        {"every 10m", "x run 11:00", "2026-11-21T11:12", "2026-11-21T11:10"},
        {"every 10m", "x run 11:00", "2026-11-21T11:47", "2026-11-21T11:40"},
        {"daily after 18:00 & after task 'a'", "a success 18:30", "2026-11-21T19:00",
         "2026-11-21T18:30"},
        {"daily after 18:00 | daily after 17:00", "", "2026-11-21T19:00", "2026-11-21T17:00"},
        {"retry 3 delay 10m", "x fail 11:50", "2026-11-21T12:07", "2026-11-21T12:00"},
        {"~running", "", "2026-11-21T12:07", "2026-11-21T12:07"},
        {"every 10m & ~running", "x run 11:00; x success 11:01", "2026-11-21T11:12",
         "2026-11-21T11:10"},
        {"after tasks 'a', 'b'", "a success 10:00; b success 11:00", "2026-11-21T12:00",
         "2026-11-21T11:00"},
        {"after any of tasks 'a', 'b'", "a success 10:00; b success 11:00", "2026-11-21T12:00",
         "2026-11-21T10:00"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        static struct log log;
        struct crier_judgement v;
        char got[32];
        fill(&log, cases[i].story);
        struct crier_facts f = facts(&log, at(cases[i].now));
        struct crier_cond *c = parse(cases[i].text);
        crier_cond_judge(c, &f, &v);
        assert_true(v.truth);
        if (v.since != at(cases[i].since))
            fail_msg("%s: since %s", cases[i].text, crier_time_rfc3339(v.since, got));
        crier_cond_unref(c);
    }
}

static struct crier_cond *random_cond(struct crier_rng *rng, int depth)
{
    static const char *const leaves[] = {
        "daily after 18:00",
        "hourly after :30",
        "minutely",
        "weekly Mon, Sat 09:00",
        "cron */20 * * * *",
        "time of day between 22:00 and 06:00",
        "every 10m",
        "every 1h based on finish",
        "every 45m jitter 10m",
        "after task 'a'",
        "after any of tasks 'a', 'b' finished",
        "succeeded today",
        "failed in 2h",
        "task 'a' failed at least 2 times in 3h",
        "task 'b' started never in 4h",
        "finished 1 to 3 times in 6h",
        "started at most 2 times this hour",
        "succeeded today before 12:00",
        "started exactly 2 times in 1h",
        "running",
        "task 'a' running longer than 30m",
        "task 'b' running shorter than 40m",
        "retry 2 delay 20m factor 2",
        "retry",
        "true",
        "false",
    };
    int64_t kind = depth ? crier_rng_range(rng, 0, 5) : 5;
    if (kind >= 3)
        return parse(leaves[crier_rng_range(rng, 0, CRIER_COUNT(leaves) - 1)]);
    struct crier_cond *a = random_cond(rng, depth - 1);
    if (kind == 0)
        return crier_cond_not(a, NULL);
    struct crier_cond *b = random_cond(rng, depth - 1);
    return kind == 1 ? crier_cond_and(a, b, NULL) : crier_cond_or(a, b, NULL);
}

/* Whatever the condition and the history: before `next` nothing changes. */
static void nothing_before_next(void **state)
{
    (void)state;
    struct crier_rng rng;
    crier_rng_seed(&rng, 42);
    int changed = 0, promised = 0;
    for (int round = 0; round < ROUNDS(20000); round++) {
        static struct log log;
        log = (struct log){0};
        int64_t t = at("2026-11-20T12:00");
        for (int64_t n = crier_rng_range(&rng, 0, 20); n > 0; n--) {
            t += crier_rng_range(&rng, 0, 100) * MINUTE;
            log.entries[log.count++] =
                (struct entry){"abx"[crier_rng_range(&rng, 0, 2)],
                               (enum crier_action)crier_rng_range(&rng, 0, CRIER_ACTIONS - 1), t};
        }
        struct crier_cond *c = random_cond(&rng, 3);
        struct crier_facts f = facts(&log, t + crier_rng_range(&rng, 0, 300) * MINUTE / 2);
        struct crier_judgement v, w;
        crier_cond_judge(c, &f, &v);
        assert_true(v.next > f.now && v.since <= f.now);
        int64_t until = v.next == CRIER_NEVER ? f.now + 3 * DAY : v.next;
        promised += v.next != CRIER_NEVER;
        struct crier_facts g = f;
        for (int k = 0; k < 12; k++) {
            g.now = k == 0 ? until - 1 : f.now + (int64_t)((double)(until - f.now) * k / 12);
            crier_cond_judge(c, &g, &w);
            if (w.truth != v.truth) {
                char a[32], b[32], *text = crier_cond_text(c);
                fail_msg("%s: %d at %s, %d at %s", text, v.truth, crier_time_rfc3339(f.now, a),
                         w.truth, crier_time_rfc3339(g.now, b));
            }
        }
        if (v.next != CRIER_NEVER) {
            g.now = v.next;
            crier_cond_judge(c, &g, &w);
            changed += w.truth != v.truth;
        }
        /* Text and tree are the same thing. */
        char *text = crier_cond_text(c);
        struct crier_cond *d = parse(text);
        char *again = crier_cond_text(d);
        assert_string_equal(text, again);
        crier_cond_judge(d, &f, &w);
        assert_true(w.truth == v.truth && w.next == v.next && w.since == v.since);
        free(text);
        free(again);
        crier_cond_unref(c);
        crier_cond_unref(d);
    }
    assert_true(promised > ROUNDS(5000));
    assert_true(changed * 2 > promised); /* and mostly something changes then */
}

static void nexts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *from, *next;
    } cases[] = {
        {"daily after 18:00", "2026-11-21T12:00", "2026-11-21T18:00"},
        {"daily after 18:00", "2026-11-21T19:00", "2026-11-21T19:00"},
        {"yearly on 29 Feb & minutely", "2026-11-21T12:00", "2028-02-29T00:00"},
        {"weekly Sun & daily after 18:00 & hourly after :30", "2026-11-21T19:40",
         "2026-11-22T18:30"},
        {"monthly on 1st & monthly on 2nd", "2026-11-21T12:00", NULL},
        {"after task 'a'", "2026-11-21T12:00", NULL},
        {"weekly Mon & ~time of day between 00:00 and 08:00", "2026-11-21T12:00",
         "2026-11-23T08:00"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        static struct log log;
        char got[32];
        fill(&log, "");
        struct crier_facts f = facts(&log, at(cases[i].from));
        struct crier_cond *c = parse(cases[i].text);
        int64_t next = crier_cond_next(c, &f, at("2036-01-01"));
        if (next != (cases[i].next ? at(cases[i].next) : CRIER_NEVER))
            fail_msg("%s: %s", cases[i].text,
                     next == CRIER_NEVER ? "never" : crier_time_rfc3339(next, got));
        crier_cond_unref(c);
    }
}

/* --- functions of the script, what is not known ------------------------------------------- */

static void custom(void **state)
{
    (void)state;
    static struct log log;
    fill(&log, "");
    struct crier_facts f = facts(&log, at("2026-11-21T12:00"));
    struct crier_judgement v;
    struct crier_cond *c = crier_cond_custom(7, "bot.lua:3", 5 * CRIER_S);
    crier_cond_judge(c, &f, &v);
    assert_false(v.truth);
    assert_int_equal(v.next, f.now + 5 * CRIER_S);
    log.custom = 1;
    crier_cond_judge(c, &f, &v);
    assert_true(v.truth);
    char *text = crier_cond_text(c);
    assert_string_equal(text, "condition bot.lua:3");
    free(text);
    crier_cond_unref(c);

    c = crier_cond_custom(13, "bot.lua:4", CRIER_S);
    struct crier_why *why = crier_cond_why(c, &f, &v);
    assert_false(v.truth);
    assert_string_equal(why->reason, "failed: no luck");
    crier_why_free(why);

    /* Nobody can be asked: not true, or where assumed, whatever fits. */
    f.custom = NULL;
    crier_cond_judge(c, &f, &v);
    assert_false(v.truth);
    f.assume = true;
    crier_cond_judge(c, &f, &v);
    assert_true(v.truth);
    c = crier_cond_not(c, NULL);
    crier_cond_judge(c, &f, &v);
    assert_true(v.truth);
    crier_cond_unref(c);
}

static void assumed(void **state)
{
    (void)state;
    static const char *const texts_[] = {"after task 'q'",
                                         "~after task 'q'",
                                         "after tasks 'q', 'r' failed",
                                         "~(after any of tasks 'q', 'r' | task 'q' running)",
                                         "task 'q' failed in 1h",
                                         "task 'q' failed never",
                                         "~~task 'q' running"};
    static struct log log;
    fill(&log, "");
    for (size_t i = 0; i < CRIER_COUNT(texts_); i++) {
        struct crier_facts f = facts(&log, at("2026-11-21T12:00"));
        struct crier_judgement v;
        f.assume = true;
        struct crier_cond *c = parse(texts_[i]);
        crier_cond_judge(c, &f, &v);
        if (!v.truth)
            fail_msg("%s", texts_[i]);
        crier_cond_unref(c);
    }
}

/* --- reasons ------------------------------------------------------------------------------ */

static void put_why(struct crier_buf *b, const struct crier_why *why, int depth)
{
    crier_buf_printf(b, "%*s%s|%s|%s\n", depth * 2, "", why->text, why->truth ? "true" : "false",
                     why->reason);
    for (size_t i = 0; i < why->count; i++)
        put_why(b, &why->items[i], depth + 1);
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story, *why;
    } cases[] = {
        {"daily after 18:00 & after task 'a'",
         "x run 18:00:03; x success 18:01; a run 22:21:20; a success 22:21:23",
         "AND|false|\n"
         "  daily after 18:00|false|ran 18:00:03, success\n"
         "  after task 'a'|true|a success 22:21:23; own start 18:00:03\n"},
        {"daily 09:00 | ~running | every 10m", "x run 22:21:20",
         "OR|false|\n"
         "  daily 09:00|false|begins Sun 22 Nov 09:00:00\n"
         "  NOT|false|\n"
         "    running|true|1 running\n"
         "  every 10m|false|last run 22:21:20\n"},
        {"retry 2 | task 'nobody' failed", "x run 20:00; x fail 20:01; x fail 22:00",
         "OR|true|\n"
         "  retry 2|true|failed 22:00:00, 2 in a row\n"
         "  task 'nobody' failed|false|there is no task 'nobody'\n"},
        {"failed at least 2 times today", "x fail 2026-11-20T01:00; x fail 21:00",
         "failed at least 2 times today|false|1, the newest 21:00:00\n"},
        {"time of day after 18:00", "", "time of day after 18:00|true|until Sun 22 Nov 00:00:00\n"},
        {"weekly Mon", "x run 2025-11-20T01:00", "weekly Mon|false|begins Mon 23 Nov 00:00:00\n"},
        {"every 10m", "x run 2025-11-20T01:00",
         "every 10m|true|last run Thu 20 Nov 2025 01:00:00\n"},
    };
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        static struct log log;
        fill(&log, cases[i].story);
        struct crier_facts f = facts(&log, at("2026-11-21T22:30"));
        struct crier_cond *c = parse(cases[i].text);
        struct crier_why *why = crier_cond_why(c, &f, NULL);
        struct crier_buf b = {0};
        put_why(&b, why, 0);
        assert_string_equal(b.data, cases[i].why);
        crier_buf_fini(&b);
        crier_why_free(why);
        crier_cond_unref(c);
    }
}

/* --- what is needed ----------------------------------------------------------------------- */

static void put_need(void *arg, const char *task, unsigned actions, uint32_t depth, int64_t span)
{
    crier_buf_printf(arg, "%s %x %u %lld; ", task ? task : "-", actions, depth,
                     (long long)(span / CRIER_S));
}

static void needs(void **state)
{
    (void)state;
    struct crier_buf b = {0};
    struct crier_cond *c = parse("daily & after tasks 'a', 'b' & (task 'a' failed at least 2 times "
                                 "in 1h | started at most 3 times today | running) & ~succeeded");
    crier_cond_needs(c, put_need, &b);
    assert_string_equal(b.data, "a 2 1 0; b 2 1 0; a 4 2 3600; - 1 4 86400; - 1 1 0; - 2 1 0; ");
    crier_cond_unref(c);
    crier_buf_fini(&b);
}

/* Whatever the text, it is read or refused with a place; what is read prints and reads again. */
static void noise(void **state)
{
    (void)state;
    static const char *const words[] = {
        "daily",    "every",   "10m",     "&",     "|",     "~",      "(",       ")",      "after",
        "task",     "'a'",     "'b'",     ",",     "18:00", "failed", "at",      "least",  "2",
        "times",    "in",      "1d",      "today", "this",  "week",   "running", "longer", "than",
        "retry",    "delay",   "factor",  "1.5",   "max",   "cron",   "*",       "*",      "time",
        "of",       "day",     "between", "and",   "never", "has",    "is",      "any",    "Mon",
        "first",    "wait",    "jitter",  "based", "on",    "finish", "''",      "'",      "\"",
        "\xc3\xa9", "exactly", "to",      "5"};
    struct crier_rng rng;
    crier_rng_seed(&rng, 3);
    int good = 0;
    static struct log log;
    fill(&log, "x run 10:00; x fail 11:00; a success 11:30");
    struct crier_facts f = facts(&log, at("2026-11-21T12:00"));
    for (int i = 0; i < ROUNDS(200000); i++) {
        struct crier_buf b = {0};
        struct crier_err err = {0};
        struct crier_cond *c;
        int column;
        crier_buf_puts(&b, "");
        for (int64_t n = crier_rng_range(&rng, 1, 8); n > 0; n--)
            crier_buf_printf(&b, "%s ", words[crier_rng_range(&rng, 0, CRIER_COUNT(words) - 1)]);
        if (crier_cond_parse(b.data, &c, &column, &err) != 0) {
            assert_true(*err.text && column > 0 && (size_t)column <= b.len + 1);
        } else {
            good++;
            char *text = crier_cond_text(c);
            struct crier_cond *d = parse(text);
            char *again = crier_cond_text(d);
            assert_string_equal(text, again);
            crier_why_free(crier_cond_why(c, &f, NULL));
            free(text);
            free(again);
            crier_cond_unref(c);
            crier_cond_unref(d);
        }
        crier_buf_fini(&b);
    }
    assert_true(good > ROUNDS(1000));
}

static int open_utc(void **state)
{
    (void)state;
    return crier_zone_open("UTC", &utc, NULL);
}

static int close_utc(void **state)
{
    (void)state;
    crier_zone_unref(utc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),     cmocka_unit_test(faults),
        cmocka_unit_test(deep),      cmocka_unit_test(truths),
        cmocka_unit_test(due_times), cmocka_unit_test(nothing_before_next),
        cmocka_unit_test(nexts),     cmocka_unit_test(custom),
        cmocka_unit_test(assumed),   cmocka_unit_test(reasons),
        cmocka_unit_test(needs),     cmocka_unit_test(noise),
    };
    return cmocka_run_group_tests(tests, open_utc, close_utc);
}
