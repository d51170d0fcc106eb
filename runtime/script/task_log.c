/* SPDX-License-Identifier: MIT
 *
 * The task log: a record of each action, and reading them back when the board does not know.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/logs.h"
#include "script/task_private.h"

#define RESTORE_MOST 50000
#define RESTORE_WAIT (10 * CRIER_S)

/* --- writing ------------------------------------------------------------------------------ */

static enum crier_level level_of(enum crier_action action)
{
    return action == CRIER_FAIL || action == CRIER_CRASH ? CRIER_LEVEL_ERROR : CRIER_INFO;
}

/* "Task 'x' status: 'fail' (exit code 2)" into b, which printf would take longer for. */
static void put_text(struct crier_buf *b, const struct crier_task_said *said, const char *action)
{
    crier_buf_append(b, "Task '", 6);
    crier_buf_puts(b, said->name);
    crier_buf_append(b, "' status: '", 11);
    crier_buf_puts(b, action);
    crier_buf_putc(b, '\'');
    if (!said->reason)
        return;
    crier_buf_append(b, " (", 2);
    crier_buf_puts(b, said->reason);
    crier_buf_putc(b, ')');
}

struct crier_record *crier_task_record(struct crier_tasker *p, const struct crier_task_said *said)
{
    struct crier_builder *b = crier_host_builder(p->host);
    const char *action = crier_action_names[said->action];
    crier_build_begin(b, CRIER_KIND_TASK, level_of(said->action), said->now);
    crier_build_logger(b, "task", 4);
    crier_buf_clear(&p->text);
    put_text(&p->text, said, action);
    crier_build_text(b, p->text.data, p->text.len);
    if (said->task && said->task->where)
        crier_build_where(b, said->task->where, strlen(said->task->where));
    if (said->action != CRIER_RUN)
        crier_build_ok(b, said->action == CRIER_SUCCESS || said->action == CRIER_INACTION);
    CRIER_B_STR(b, "task_name", said->name);
    CRIER_B_STR(b, "action", action);
    CRIER_B_STR(b, "run_id", said->run_id);
    CRIER_B_TIME(b, "created", said->now);
    CRIER_B_TIME(b, "start", said->start);
    if (said->action != CRIER_RUN) {
        CRIER_B_TIME(b, "end", said->now);
        CRIER_B_NUM(b, "runtime", (double)said->runtime / 1e6);
    }
    if (said->exc_text)
        CRIER_B_STR(b, "exc_text", said->exc_text);
    if (said->reason)
        CRIER_B_STR(b, "reason", said->reason);
    if (said->output_len)
        crier_build_str(b, "output", 6, said->output, said->output_len);
    return crier_build_end(b);
}

/* --- reading back ------------------------------------------------------------------------- */

/* What an action's record says. */
struct said_once {
    struct crier_taskstate *st;
    enum crier_action action;
    uint64_t seq;
    int64_t time, start;
};

struct restore {
    struct crier_tasker *tasker; /* NULL: nobody waits any more */
    struct crier_timer patience;
    char *sink;
    bool fresh; /* histories are filled, too, not only the rings */
};

static bool read_said(struct crier_tasker *p, const struct crier_record *r, struct said_once *out)
{
    struct crier_value v;
    char scratch[32], name[CRIER_BOARD_NAME + 1];
    if (!crier_record_get(r, "task_name", &v, scratch) || v.type != CRIER_STR ||
        v.s.len >= sizeof name)
        return false;
    memcpy(name, v.s.data, v.s.len);
    name[v.s.len] = '\0';
    out->st = g_hash_table_lookup(p->states, name);
    if (!out->st || !crier_record_get(r, "action", &v, scratch) || v.type != CRIER_STR)
        return false;
    int action = 0;
    while (action < CRIER_ACTIONS && (strlen(crier_action_names[action]) != v.s.len ||
                                      memcmp(crier_action_names[action], v.s.data, v.s.len) != 0))
        action++;
    out->action = (enum crier_action)action;
    out->seq = crier_record_seq(r);
    out->time = crier_record_time(r);
    out->start = crier_record_get(r, "start", &v, scratch) && v.type == CRIER_TIME ? v.i : out->time;
    return action < CRIER_ACTIONS;
}

/* By number; stores of other makers' columns have none, and are in the order of time. */
static int older_first(const void *a, const void *b)
{
    const struct said_once *x = a, *y = b;
    if (x->seq && y->seq)
        return x->seq < y->seq ? -1 : x->seq > y->seq;
    return x->time < y->time ? -1 : x->time > y->time;
}

static void fill(struct crier_tasker *p, bool fresh, struct said_once *list, size_t n)
{
    uint64_t last = 0;
    qsort(list, n, sizeof *list, older_first);
    for (size_t i = 0; i < n; i++) {
        last = list[i].seq > last ? list[i].seq : last + 1;
        list[i].seq = last;
    }
    for (size_t i = n; i > 0; i--) /* the newest first: rings grow at their old end */
        crier_task_recall(list[i - 1].st, list[i - 1].action, list[i - 1].seq, list[i - 1].time);
    if (!fresh)
        return;
    crier_host_seq_from(p->host, last);
    for (size_t i = 0; i < n; i++) {
        struct said_once *s = &list[i];
        struct crier_history *h = &s->st->history;
        if (s->seq <= h->last[s->action].seq)
            continue;
        h->last[s->action] = (struct crier_did){.seq = s->seq, .time = s->time};
        if (s->action == CRIER_FAIL)
            h->fails++;
        else if (s->action != CRIER_RUN)
            h->fails = 0;
        if (s->time < s->st->known)
            s->st->known = s->time;
    }
    GHashTableIter it;
    void *st;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &st))
        crier_taskstate_save(p, st);
}

static void finish(struct restore *r)
{
    struct crier_tasker *p = r->tasker;
    if (!p)
        return;
    crier_timer_stop(p->loop, &r->patience);
    r->tasker = NULL;
    p->restore = NULL;
    crier_tasker_go(p);
}

static void on_answer(void *arg, struct crier_record **hits, size_t count,
                      const struct crier_err *err)
{
    struct restore *r = arg;
    struct crier_tasker *p = r->tasker;
    if (p && err && err->code)
        crier_host_system(p->host, CRIER_LEVEL_WARNING, "task.restore",
                          "what tasks did before could not be read from sink '%s': %s", r->sink,
                          err->text);
    if (p && count) {
        struct said_once *list = crier_calloc(count, sizeof *list);
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
            n += read_said(p, hits[i], &list[n]);
        fill(p, r->fresh, list, n);
        free(list);
    }
    for (size_t i = 0; i < count; i++)
        crier_record_unref(hits[i]);
    free(hits);
    finish(r);
    free(r->sink);
    free(r);
}

static void on_patience(struct crier_timer *timer)
{
    struct restore *r = CRIER_CONTAINER(timer, struct restore, patience);
    crier_host_system(r->tasker->host, CRIER_LEVEL_WARNING, "task.restore",
                      "sink '%s' has not told within 10s what tasks did before; they go on without",
                      r->sink);
    finish(r);
}

static struct crier_query *make_query(struct crier_tasker *p, int64_t from, struct crier_err *err)
{
    struct crier_query *q = crier_query_new(p->current->zone);
    const char *node = crier_host_node(p->host);
    struct crier_value v = {.type = CRIER_STR, .s = {"task", 4}};
    if (crier_query_add(q, "kind", CRIER_OP_EQ, &v, 1, err) != 0)
        goto fail;
    v.s = (struct crier_str){node, strlen(node)};
    if (crier_query_add(q, "node", CRIER_OP_EQ, &v, 1, err) != 0)
        goto fail;
    v = (struct crier_value){.type = CRIER_TIME, .i = from};
    if (from && crier_query_add(q, "time", CRIER_OP_GE, &v, 1, err) != 0)
        goto fail;
    crier_query_order(q, "id", true);
    q->limit = RESTORE_MOST;
    return q;
fail:
    crier_query_free(q);
    return NULL;
}

void crier_task_restore(struct crier_tasker *p, bool fresh, int64_t span)
{
    struct crier_declared_sink *sink;
    struct crier_err err = {0};
    int64_t from = fresh || !span ? 0 : crier_loop_wall(p->loop) - span;
    if (crier_logs_choose(p->current, NULL, true, &sink, &err) != 0)
        return; /* nothing is stored anywhere */
    struct crier_query *q = make_query(p, from, &err);
    if (!q) {
        crier_host_system(p->host, CRIER_LEVEL_WARNING, "task.restore",
                          "what tasks did before cannot be asked for: %s", err.text);
        return;
    }
    struct restore *r = crier_calloc(1, sizeof *r);
    r->tasker = p;
    r->fresh = fresh;
    r->sink = crier_strdup(sink->name);
    r->patience.fire = on_patience;
    p->restore = r;
    crier_timer_in(p->loop, &r->patience, RESTORE_WAIT);
    crier_sink_query(sink->sink, q, on_answer, r);
}

void crier_task_restore_drop(struct crier_tasker *p)
{
    struct restore *r = p->restore;
    if (!r)
        return;
    crier_timer_stop(p->loop, &r->patience);
    r->tasker = NULL;
    p->restore = NULL;
}
