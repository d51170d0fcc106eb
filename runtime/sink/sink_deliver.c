/* SPDX-License-Identifier: MIT */
#include "sink/sink_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/duration.h"
#include "base/json.h"

#define RETRY_FIRST (100 * CRIER_MS)
#define RETRY_MAX (30 * CRIER_S)
#define TROUBLE_EVERY (60 * CRIER_S)
#define TELL_EVERY CRIER_S

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* ---- losses ---- */

static int64_t tell_drops(struct crier_sink *s, int64_t now, bool all)
{
    uint64_t dropped;
    char text[256];
    bool news;
    pthread_mutex_lock(&s->tell_lock);
    int64_t due = s->drops_told + TELL_EVERY;
    if (!all && now < due) {
        pthread_mutex_unlock(&s->tell_lock);
        return due;
    }
    news = crier_queue_trouble(s->queue, &dropped, text);
    if (news)
        s->drops_told = now;
    pthread_mutex_unlock(&s->tell_lock);
    if (crier_queue_is_overfull(s->queue))
        crier_sink_tell(s, "full", "%s: the oldest records are dropped", text);
    if (news && dropped)
        crier_sink_tell(s, "dropped", "%" PRIu64 " record%s dropped: %s", dropped, plural(dropped),
                        text);
    else if (news)
        crier_sink_tell(s, "damaged", "%s", text);
    return CRIER_NEVER;
}

static int64_t tell_rejects(struct crier_sink *s, int64_t now, bool all)
{
    char text[256];
    pthread_mutex_lock(&s->tell_lock);
    uint64_t rejects = s->rejects;
    int64_t due = s->rejects_told + TELL_EVERY;
    if (rejects == 0 || (!all && now < due)) {
        pthread_mutex_unlock(&s->tell_lock);
        return rejects ? due : CRIER_NEVER;
    }
    s->rejects = 0;
    s->rejects_told = now;
    memcpy(text, s->reject_text, sizeof text);
    pthread_mutex_unlock(&s->tell_lock);
    /* A folder for temporary files would make two runs differ. */
    const char *place = !s->dead_path                        ? "no file"
                        : crier_clock_is_virtual(s->env->clock) ? strrchr(s->dead_path, '/') + 1
                                                             : s->dead_path;
    crier_sink_tell(s, "rejected", "%" PRIu64 " record%s rejected: %s (kept in %s)", rejects,
                    plural(rejects), text, place);
    return CRIER_NEVER;
}

int64_t crier_sink_tell_losses(struct crier_sink *s, int64_t now, bool all)
{
    int64_t drops = tell_drops(s, now, all), rejects = tell_rejects(s, now, all);
    return drops < rejects ? drops : rejects;
}

/* ---- dead letters ---- */

static void dead_letter_line(const struct crier_sink *s, struct crier_record *record,
                             const struct crier_err *reason, struct crier_buf *b)
{
    char time[32];
    struct crier_str json = crier_record_json(record);
    crier_json_open(b, '{');
    crier_json_key(b, "time");
    crier_json_str(b, crier_time_rfc3339(crier_clock_wall(s->env->clock), time));
    crier_json_key(b, "sink");
    crier_json_str(b, s->name);
    crier_json_key(b, "code");
    crier_json_str(b, crier_code_name(reason->code));
    crier_json_key(b, "reason");
    crier_json_str(b, reason->text);
    crier_json_key(b, "record");
    crier_json_raw(b, json.data, json.len);
    crier_json_close(b, '}');
    crier_buf_putc(b, '\n');
}

static int append_line(const char *path, const struct crier_buf *line, struct crier_err *err)
{
    int rc = CRIER_OK;
    char last = '\n';
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    /* A line that a full disk or a kill has cut short must not spoil this one. */
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && write(fd, "\n", 1) != 1)
        end = -1;
    ssize_t n = end < 0 ? -1 : write(fd, line->data, line->len);
    if (n != (ssize_t)line->len)
        rc = crier_err_sys(err, CRIER_EIO, n < 0 ? errno : ENOSPC, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void reject(struct crier_sink *s, struct crier_record *record,
                   const struct crier_err *reason)
{
    struct crier_buf line = {0};
    struct crier_err err = {0};
    char text[256];
    snprintf(text, sizeof text, "%s", reason->text);
    if (s->dead_path) {
        char *folder = crier_asprintf("%s/sinks", s->env->state_folder);
        dead_letter_line(s, record, reason, &line);
        if (crier_mkdirs(folder, true, &err) != CRIER_OK ||
            append_line(s->dead_path, &line, &err) != CRIER_OK)
            snprintf(text, sizeof text, "%.120s; lost, since %.110s", reason->text, err.text);
        crier_buf_fini(&line);
        free(folder);
    }
    pthread_mutex_lock(&s->tell_lock);
    s->rejects++;
    memcpy(s->reject_text, text, sizeof text);
    pthread_mutex_unlock(&s->tell_lock);
}

/* ---- failing, down, working ---- */

/* A part of the pause is chance, so that many hosts do not knock in step. */
static int64_t next_pause(struct crier_sink *s)
{
    if (s->retry_delay)
        return crier_rng_range(&s->rng, s->retry_delay - s->retry_delay / 10,
                               s->retry_delay + s->retry_delay / 10);
    int64_t max = s->driver->retry_max ? s->driver->retry_max : RETRY_MAX;
    int64_t pause = s->attempts < 20 ? RETRY_FIRST << s->attempts : max;
    if (pause > max)
        pause = max;
    return crier_rng_range(&s->rng, pause / 2, pause);
}

static void tell_down(struct crier_sink *s, const struct crier_err *err, int64_t pause)
{
    struct crier_sink_stats stats;
    char text[48], takes_over[128] = "";
    crier_sink_stats(s, &stats);
    pthread_mutex_lock(&s->fallback_lock);
    if (s->fallback)
        snprintf(takes_over, sizeof takes_over, ", '%s' gets copies", s->fallback->name);
    pthread_mutex_unlock(&s->fallback_lock);
    crier_sink_tell(s, "down", "%s; the next try is in %s, %" PRIu64 " record%s wait%s%s",
                    err->text, crier_duration_text((pause + 999) / 1000 * 1000, text),
                    stats.queued + stats.spilled, plural(stats.queued + stats.spilled),
                    stats.queued + stats.spilled == 1 ? "s" : "", takes_over);
}

static void failed(struct crier_sink *s, const struct crier_err *err, bool unavailable)
{
    bool first = !s->failing, was_down = s->down;
    int64_t pause = next_pause(s), wall = crier_clock_wall(s->env->clock);
    s->attempts++;
    s->retry_at = crier_clock_mono(s->env->clock) + pause;
    bool down = was_down || unavailable || s->attempts >= s->retry_times;
    if (down)
        crier_queue_down(s->queue, true);
    crier_sink_lean(s, down);
    pthread_mutex_lock(&s->lock);
    s->failing = true;
    s->down = down;
    s->last = *err;
    s->retries++;
    s->next_try = wall + pause;
    if (down && !was_down)
        s->down_since = wall;
    pthread_mutex_unlock(&s->lock);
    if (down && !was_down)
        tell_down(s, err, pause);
    else if (first)
        crier_sink_tell(s, "failing", "%s; it is tried again", err->text);
}

static void works(struct crier_sink *s, const struct crier_err *err)
{
    bool was = s->failing, was_down = s->down;
    int64_t since = s->down_since;
    char text[48];
    if (was_down) {
        crier_queue_down(s->queue, false);
        crier_sink_lean(s, false);
    }
    pthread_mutex_lock(&s->lock);
    s->failing = s->down = false;
    s->down_since = s->next_try = 0;
    if (err->code)
        s->last = *err;
    pthread_mutex_unlock(&s->lock);
    if (was_down)
        crier_sink_tell(s, "ok", "works again, after %s",
                        crier_duration_text(
                            (crier_clock_wall(s->env->clock) - since) / CRIER_MS * CRIER_MS, text));
    else if (was)
        crier_sink_tell(s, "ok", "works again");
}

/* ---- writing ---- */

/* What the driver says of the first `count` records in flight. */
/* What a driver has got over, such as a function of the script that fails. */
static void trouble(struct crier_sink *s, const struct crier_err *err)
{
    int64_t now = crier_clock_mono(s->env->clock);
    if (s->trouble_told && now < s->trouble_told + TROUBLE_EVERY)
        return;
    s->trouble_told = now ? now : 1;
    crier_sink_tell(s, "troubled", "%s", err->text);
}

static void settle(struct crier_sink *s, size_t count, const struct sink_answer *answer)
{
    size_t done = answer->done;
    const struct crier_err *err = &answer->err;
    enum crier_verdict verdict = answer->verdict;
    if (verdict == CRIER_WRITTEN || done > count)
        done = count;
    if (done > 0) {
        crier_queue_settle(s->queue, done, CRIER_SETTLE_WRITTEN, NULL);
        s->attempts = 0;
    }
    if ((verdict == CRIER_RETRY_LATER || verdict == CRIER_UNAVAILABLE) && done < count) {
        failed(s, err, verdict == CRIER_UNAVAILABLE);
        return;
    }
    if (verdict == CRIER_REJECTED && done < count) {
        reject(s, crier_queue_first(s->queue), err);
        crier_queue_settle(s->queue, 1, CRIER_SETTLE_REJECTED, NULL);
    } else if (verdict == CRIER_DROPPED && done < count) {
        crier_queue_settle(s->queue, count - done, CRIER_SETTLE_DROPPED, err->text);
    }
    s->attempts = 0;
    if (s->failing || err->code)
        works(s, err);
    if (verdict == CRIER_WRITTEN && err->code)
        trouble(s, err);
}

static void write_batch(struct crier_sink *s, struct crier_record *const *records, size_t count)
{
    struct sink_answer answer = {0};
    s->offered = count;
    pthread_mutex_lock(&s->lock);
    s->pending = true;
    s->answered = false;
    pthread_mutex_unlock(&s->lock);
    const struct crier_sink_env *env = s->env;
    if (!env->fault || !env->fault(env->fault_arg, s->name, count, &answer.verdict, &answer.done,
                                   &answer.err))
        answer.verdict = s->driver->write(s->self, records, count, &answer.done, &answer.err);
    if (answer.verdict == CRIER_PENDING)
        return;
    pthread_mutex_lock(&s->lock);
    s->pending = false;
    pthread_mutex_unlock(&s->lock);
    settle(s, count, &answer);
}

/* A batch that was left PENDING: whether it has been answered for by now. */
static bool take_answer(struct crier_sink *s)
{
    struct sink_answer answer;
    pthread_mutex_lock(&s->lock);
    bool answered = s->answered;
    if (answered) {
        answer = s->answer;
        s->pending = s->answered = false;
    }
    pthread_mutex_unlock(&s->lock);
    if (answered)
        settle(s, s->offered, &answer);
    return answered;
}

void crier_sink_answer(struct crier_sink *s, enum crier_verdict verdict, size_t done,
                       const struct crier_err *err)
{
    pthread_mutex_lock(&s->lock);
    if (s->pending && !s->answered && verdict != CRIER_PENDING) {
        s->answered = true;
        s->answer.verdict = verdict;
        s->answer.done = done;
        s->answer.err = err ? *err : (struct crier_err){0};
    }
    pthread_mutex_unlock(&s->lock);
    struct crier_worker *worker = atomic_load(&s->worker);
    if (worker)
        crier_worker_wake(worker);
}

/* ---- the step ---- */

static bool in_a_hurry(struct crier_sink *s)
{
    if (atomic_load(&s->draining) || atomic_load(&s->commands_waiting) > 0)
        return true;
    if (!atomic_load(&s->hurried))
        return false;
    if (!crier_queue_passed(s->queue, atomic_load(&s->hurry_mark)))
        return true;
    atomic_store(&s->hurried, false);
    return false;
}

#define COPIES 32

/* While the sink is down, its fallback gets a copy of each record once. Returns whether there may
 * be more to copy. */
static bool copy_some(struct crier_sink *s)
{
    struct crier_record *records[COPIES];
    if (!s->down)
        return false;
    pthread_mutex_lock(&s->fallback_lock);
    size_t n = s->fallback ? crier_queue_copy(s->queue, records, COPIES) : 0;
    for (size_t i = 0; i < n; i++) {
        crier_sink_push(s->fallback, records[i]);
        crier_record_unref(records[i]);
    }
    pthread_mutex_unlock(&s->fallback_lock);
    return n > 0;
}

/* Whether an orderly end need not wait any longer. */
static bool is_drained(struct crier_sink *s)
{
    if (s->pending)
        return false;
    if (atomic_load(&s->passed_on))
        return true;
    return atomic_load(&s->borrowers) == 0 && (s->down || crier_queue_is_empty(s->queue));
}

/* Who waits for something hears of it. */
static void report(struct crier_sink *s)
{
    if (atomic_load(&s->room_wanted) && crier_queue_has_room(s->queue) &&
        atomic_exchange(&s->room_wanted, false))
        crier_sink_on_loop(s, crier_sink_room, crier_sink_ref(s));
    if (atomic_load(&s->draining) && !atomic_load(&s->drained_told) && is_drained(s)) {
        atomic_store(&s->drained_told, true);
        crier_sink_on_loop(s, crier_sink_drained, crier_sink_ref(s));
    }
}

/* Write what there is. Returns when to go on. */
static int64_t deliver(struct crier_sink *s, int64_t now)
{
    struct crier_record *const *records;
    int64_t due = CRIER_NEVER, other = CRIER_NEVER;
    while (!atomic_load(&s->stop)) {
        if (s->pending) {
            if (!take_answer(s))
                break;
        } else if (atomic_load(&s->passed_on)) {
            break; /* the successor goes on */
        } else if (now < s->retry_at) {
            return s->retry_at;
        } else {
            size_t n = crier_queue_take(s->queue, now, in_a_hurry(s), &records, &due);
            if (n == 0) {
                if (s->driver->idle)
                    other = s->driver->idle(s->self, now);
                break;
            }
            write_batch(s, records, n);
        }
        crier_sink_run_commands(s);
        now = crier_clock_mono(s->env->clock);
        if (s->driver->on_loop)
            return s->pending ? CRIER_NEVER : now; /* the loop has other things to do, too */
    }
    return other < due ? other : due;
}

int64_t crier_sink_step(void *arg, int64_t now)
{
    struct crier_sink *s = arg;
    if (s->closed)
        return CRIER_NEVER;
    if (atomic_exchange(&s->reopen, false) && s->driver->reopen)
        s->driver->reopen(s->self);
    if (atomic_exchange(&s->retry_now, false))
        s->retry_at = 0;
    int64_t due = deliver(s, now);
    crier_sink_run_commands(s);
    bool more = copy_some(s);
    while (more && !s->driver->on_loop && !atomic_load(&s->stop))
        more = copy_some(s);
    if (atomic_load(&s->closing)) {
        crier_sink_close(s);
        crier_sink_on_loop(s, crier_sink_closed, crier_sink_ref(s));
        return CRIER_NEVER;
    }
    if (more)
        return now;
    report(s);
    int64_t other = crier_sink_tell_losses(s, now, false);
    return other < due ? other : due;
}
