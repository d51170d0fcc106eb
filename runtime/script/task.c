/* SPDX-License-Identifier: MIT */
#include "script/task_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sched/condition_text.h"

#define AGAIN (1 * CRIER_MS) /* between two starts of a task whose condition stays true */
#define ROUNDS 16            /* of judging in one turn of the loop */
#define TURN (20 * CRIER_MS)   /* of starting in one turn of the loop; others want theirs */
#define SPARES 256
#define QUEUE_MOST 1000
#define RING_MOST 10000
#define MISSED_STEPS 10000

static void wake(struct crier_tasker *p, struct crier_task *t);

/* --- states ------------------------------------------------------------------------------- */

static void free_queued(struct crier_task_queued *q, const char *why)
{
    if (q->told)
        q->told(q->told_arg, CRIER_TERMINATE, NULL, why);
    free(q->params);
    free(q);
}

static void free_state(void *arg)
{
    struct crier_taskstate *st = arg;
    while (st->queue) {
        struct crier_task_queued *q = st->queue;
        st->queue = q->next;
        free_queued(q, "the host has ended");
    }
    while (st->dead) {
        struct crier_task_dead *d = st->dead;
        st->dead = d->next;
        free(d);
    }
    for (size_t i = 0; i < st->ring_count; i++)
        free(st->rings[i].times);
    if (st->dependents)
        g_ptr_array_free(st->dependents, TRUE);
    free(st->rings);
    free(st->result);
    free(st->last_params);
    free(st->name);
    free(st);
}

static struct crier_taskstate *new_state(struct crier_tasker *p, const char *name)
{
    struct crier_taskstate *st = crier_calloc(1, sizeof *st);
    st->name = crier_strdup(name);
    st->slot = CRIER_BOARD_NONE;
    st->tail = &st->live;
    g_hash_table_insert(p->states, st->name, st);
    return st;
}

static void fill_entry(const struct crier_taskstate *st, struct crier_board_entry *e)
{
    *e = (struct crier_board_entry){.due = st->history.due,
                                    .known = st->known,
                                    .fails = st->history.fails,
                                    .paused = st->paused};
    for (int i = 0; i < CRIER_ACTIONS; i++) {
        e->last[i].seq = st->history.last[i].seq;
        e->last[i].time = st->history.last[i].time;
        e->last[i].set = st->history.last[i].set;
    }
    for (const struct crier_run *run = st->live; run && e->live_count < CRIER_BOARD_LIVE;
         run = run->next) {
        if (run->slot != CRIER_BOARD_NONE)
            continue;
        memcpy(e->live[e->live_count].id, run->id, sizeof run->id);
        e->live[e->live_count++].start = run->started;
    }
}

static uint32_t add_slot(struct crier_tasker *p, const char *name,
                         const struct crier_board_entry *e)
{
    struct crier_err err = {0};
    uint32_t slot = crier_board_add(p->board, name, e, &err);
    if (slot == CRIER_BOARD_NONE && !p->board_told) {
        p->board_told = true;
        crier_host_system(p->host, CRIER_LEVEL_ERROR, "task.board",
                          "what tasks do is not kept for the next start: %s", err.text);
    }
    return slot;
}

void crier_taskstate_save(struct crier_tasker *p, struct crier_taskstate *st)
{
    struct crier_board_entry e;
    if (!p->board)
        return;
    fill_entry(st, &e);
    if (st->slot == CRIER_BOARD_NONE)
        st->slot = add_slot(p, st->name, &e);
    else
        crier_board_put(p->board, st->slot, &e);
}

/* More runs live than the task's own slot holds: this one gets a slot. */
static void note_further(struct crier_tasker *p, struct crier_run *run)
{
    unsigned here = 0;
    for (const struct crier_run *r = run->state->live; r; r = r->next)
        here += r->slot == CRIER_BOARD_NONE;
    if (!p->board || here <= CRIER_BOARD_LIVE)
        return;
    struct crier_board_entry e = {.overflow = 1, .live_count = 1};
    memcpy(e.live[0].id, run->id, sizeof run->id);
    e.live[0].start = run->started;
    run->slot = add_slot(p, run->state->name, &e);
}

static void add_dead(struct crier_taskstate *st, uint32_t slot, const struct crier_board_entry *e)
{
    for (unsigned i = 0; i < e->live_count; i++) {
        struct crier_task_dead *d = crier_calloc(1, sizeof *d), **at = &st->dead;
        memcpy(d->id, e->live[i].id, sizeof d->id);
        d->start = e->live[i].start;
        d->slot = e->overflow ? slot : CRIER_BOARD_NONE;
        while (*at && (*at)->start <= d->start)
            at = &(*at)->next;
        d->next = *at;
        *at = d;
    }
}

static void load_slot(void *arg, uint32_t slot, const char *name,
                      const struct crier_board_entry *e)
{
    struct crier_tasker *p = arg;
    struct crier_taskstate *st = g_hash_table_lookup(p->states, name);
    if (!st)
        st = new_state(p, name);
    add_dead(st, slot, e);
    if (e->overflow)
        return;
    st->slot = slot;
    st->known = e->known;
    st->paused = e->paused;
    st->history.due = e->due;
    st->history.fails = e->fails;
    for (int i = 0; i < CRIER_ACTIONS; i++) {
        st->history.last[i] = (struct crier_did){
            .seq = e->last[i].seq, .time = e->last[i].time, .set = e->last[i].set};
        /* The store of the last number may be behind, where a kill came at once. */
        crier_host_seq_from(p->host, e->last[i].seq);
    }
}

static void load_result(void *arg, const char *name, const char *json)
{
    struct crier_tasker *p = arg;
    struct crier_taskstate *st = g_hash_table_lookup(p->states, name);
    if (st)
        st->result = crier_strdup(json);
}

/* --- making ------------------------------------------------------------------------------- */

struct crier_tasker *crier_tasker_new(struct crier_host *host)
{
    struct crier_tasker *p = crier_calloc(1, sizeof *p);
    p->host = host;
    p->loop = crier_host_loop(host);
    p->states = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_state);
    p->runs = g_ptr_array_new();
    p->waking = g_ptr_array_new();
    p->judging = g_ptr_array_new();
    p->ready = g_ptr_array_new();
    return p;
}

void crier_tasker_free(struct crier_tasker *p)
{
    if (!p)
        return;
    crier_board_close(p->board);
    while (p->spare) {
        struct crier_run *run = p->spare;
        p->spare = run->next;
        free(run);
    }
    crier_buf_fini(&p->text);
    g_hash_table_destroy(p->states);
    g_ptr_array_free(p->runs, TRUE);
    g_ptr_array_free(p->waking, TRUE);
    g_ptr_array_free(p->judging, TRUE);
    g_ptr_array_free(p->ready, TRUE);
    free(p);
}

/* In a rehearsal nothing is written, and nothing has died. */
static void load_copy(struct crier_tasker *p, const char *folder)
{
    GHashTableIter it;
    void *value;
    struct crier_board *board;
    if (!folder || crier_board_open(folder, true, &board, NULL) != 0)
        return;
    crier_board_each(board, load_slot, p);
    crier_board_close(board);
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct crier_taskstate *st = value;
        st->slot = CRIER_BOARD_NONE;
        while (st->dead) {
            struct crier_task_dead *d = st->dead;
            st->dead = d->next;
            free(d);
        }
    }
}

int crier_tasker_load(struct crier_tasker *p, const char *state_folder, bool copy,
                      struct crier_err *err)
{
    if (copy) {
        load_copy(p, state_folder);
        crier_state_each(crier_host_state(p->host), "task", load_result, p);
        return 0;
    }
    int rc = crier_board_open(state_folder, false, &p->board, err);
    if (rc != 0)
        return rc;
    crier_board_each(p->board, load_slot, p);
    crier_state_each(crier_host_state(p->host), "task", load_result, p);
    p->missed_from = crier_board_seen(p->board);
    return 0;
}

size_t crier_tasker_pending(const struct crier_tasker *p)
{
    return p->runs->len + p->last + p->shutdown_posted;
}

void crier_tasker_on_idle(struct crier_tasker *p, void (*fn)(void *arg), void *arg)
{
    p->on_idle = fn;
    p->idle_arg = arg;
}

/* --- facts -------------------------------------------------------------------------------- */

/* Whose conditions are judged: names that come back are mostly its own. */
struct judging {
    struct crier_tasker *tasker;
    struct crier_task *task;
};

static struct crier_taskstate *state_of(const struct judging *j, const char *name)
{
    if (name == j->task->name)
        return j->task->state;
    struct crier_taskstate *st = g_hash_table_lookup(j->tasker->states, name);
    return st && st->task ? st : NULL;
}

static bool facts_history(void *arg, const char *name, struct crier_history *out)
{
    const struct crier_taskstate *st = state_of(arg, name);
    if (st)
        *out = st->history;
    return st != NULL;
}

static struct crier_task_ring *ring_of(struct crier_taskstate *st, unsigned actions)
{
    for (size_t i = 0; i < st->ring_count; i++) {
        if (st->rings[i].actions == actions)
            return &st->rings[i];
    }
    return NULL;
}

static bool facts_when(void *arg, const char *name, unsigned actions, uint32_t n, int64_t *time)
{
    struct crier_taskstate *st = state_of(arg, name);
    const struct crier_task_ring *ring = st ? ring_of(st, actions) : NULL;
    if (ring && n < ring->count) {
        *time = ring->times[(ring->first + n) % ring->depth];
        return true;
    }
    if (!st || n > 0)
        return false;
    uint64_t best = 0;
    for (int i = 0; i < CRIER_ACTIONS; i++) {
        const struct crier_did *did = &st->history.last[i];
        if ((actions & CRIER_DID(i)) && did->seq > best) {
            best = did->seq;
            *time = did->time;
        }
    }
    return best != 0;
}

static bool facts_live(void *arg, const char *name, uint32_t n, int64_t *start)
{
    const struct crier_taskstate *st = state_of(arg, name);
    const struct crier_run *run = st ? st->live : NULL;
    while (run && n-- > 0)
        run = run->next;
    if (run)
        *start = run->started + run->set;
    return run != NULL;
}

/* An error of a function is told when it is new, and means false. */
static int facts_custom(void *arg, int fn, struct crier_err *err)
{
    const struct judging *j = arg;
    struct crier_generation *gen = j->task->gen;
    struct crier_lua_error error = {0};
    lua_State *L = gen->vm->L;
    char what[CRIER_BOARD_NAME + 32];
    snprintf(what, sizeof what, "condition of task '%s'", j->task->name);
    lua_rawgeti(L, LUA_REGISTRYINDEX, fn);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, j->task->name);
    lua_setfield(L, -2, "task");
    if (crier_call_now(gen->vm, 1, 1, what, gen->config.limits.callback, &error) == 0) {
        int truth = lua_toboolean(L, -1);
        lua_pop(L, 1);
        j->task->state->condition_failed = false;
        crier_host_touched(gen);
        return truth;
    }
    int rc = crier_err_set(err, error.code, "%s", error.message);
    if (!j->task->state->condition_failed)
        crier_host_callback_error(j->tasker->host, what, &error);
    j->task->state->condition_failed = true;
    crier_lua_error_fini(&error);
    return rc;
}

static void fill_facts(struct judging *j, int64_t now, struct crier_facts *f)
{
    *f = (struct crier_facts){.now = now,
                              .zone = j->task->zone,
                              .task = j->task->name,
                              .since = j->task->state->known,
                              .arg = j,
                              .history = facts_history,
                              .when = facts_when,
                              .live = facts_live,
                              .custom = facts_custom};
}

struct crier_why *crier_task_why(struct crier_tasker *p, struct crier_task *t, bool stop,
                                 struct crier_judgement *out)
{
    struct judging j = {p, t};
    struct crier_facts f;
    struct crier_cond *cond = stop ? t->stop : t->start;
    if (!cond || !t->state)
        return NULL;
    fill_facts(&j, crier_loop_wall(p->loop), &f);
    return crier_cond_why(cond, &f, out);
}

/* --- rings -------------------------------------------------------------------------------- */

static void ring_add(struct crier_task_ring *ring, uint64_t seq, int64_t time)
{
    ring->first = (ring->first + ring->depth - 1) % ring->depth;
    ring->times[ring->first] = time;
    if (ring->count < ring->depth)
        ring->count++;
    if (!ring->oldest)
        ring->oldest = seq;
}

void crier_task_recall(struct crier_taskstate *st, enum crier_action action, uint64_t seq,
                       int64_t time)
{
    for (size_t i = 0; i < st->ring_count; i++) {
        struct crier_task_ring *ring = &st->rings[i];
        if (!(ring->actions & CRIER_DID(action)) || ring->count == ring->depth ||
            (ring->oldest && seq >= ring->oldest))
            continue;
        ring->times[(ring->first + ring->count++) % ring->depth] = time;
        ring->oldest = seq;
    }
}

/* What a generation's conditions need of the past. */
struct needing {
    struct crier_tasker *tasker;
    struct crier_task *task;
    bool ask;     /* there is a ring that has yet to be filled */
    int64_t span; /* the longest; 0: however old */
    bool ever;
};

static void need_ring(struct needing *n, struct crier_taskstate *st, unsigned actions,
                      uint32_t depth, int64_t span)
{
    struct crier_task_ring *ring = ring_of(st, actions);
    depth = depth > RING_MOST ? RING_MOST : depth;
    if (ring && ring->depth >= depth)
        return;
    if (!ring) {
        st->rings = crier_realloc(st->rings, (st->ring_count + 1) * sizeof *st->rings);
        ring = &st->rings[st->ring_count++];
        *ring = (struct crier_task_ring){.actions = actions};
    }
    int64_t *times = crier_calloc(depth, sizeof *times);
    for (uint32_t i = 0; i < ring->count; i++)
        times[i] = ring->times[(ring->first + i) % ring->depth];
    free(ring->times);
    ring->times = times;
    ring->first = 0;
    ring->depth = depth;
    n->ask = true;
    n->ever = n->ever || !span;
    n->span = span > n->span ? span : n->span;
}

static void on_need(void *arg, const char *name, unsigned actions, uint32_t depth, int64_t span)
{
    struct needing *n = arg;
    struct crier_taskstate *st = name ? g_hash_table_lookup(n->tasker->states, name)
                                      : n->task->state;
    if (!st)
        return;
    if (depth > 1)
        need_ring(n, st, actions, depth, span);
    if (st == n->task->state)
        return; /* its own actions wake it anyway */
    if (!st->dependents)
        st->dependents = g_ptr_array_new();
    guint len = st->dependents->len;
    if (!len || st->dependents->pdata[len - 1] != n->task)
        g_ptr_array_add(st->dependents, n->task);
}

/* --- actions ------------------------------------------------------------------------------ */

void crier_tasker_stats(const struct crier_tasker *p, struct crier_tasker_stats *out)
{
    GHashTableIter it;
    void *value;
    *out = p->stats;
    out->running = p->runs->len;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const struct crier_taskstate *st = value;
        out->tasks += st->task != NULL;
        out->paused += st->task && st->paused;
    }
    out->late_max = p->late.max;
    out->late_p50 = crier_lateness_at(&p->late, 500);
    out->late_p99 = crier_lateness_at(&p->late, 990);
}

static void push_record_arg(lua_State *L, void *arg)
{
    crier_push_record(L, arg);
}

/* An action is known from now on: to conditions, to the next host, then to everyone else. */
static void act(struct crier_tasker *p, struct crier_taskstate *st,
                const struct crier_task_said *said)
{
    static const char *const hooks[] = {"task.run",       "task.success",  "task.fail",
                                        "task.terminate", "task.inaction", "task.crash"};
    struct crier_record *record = crier_task_record(p, said);
    struct crier_history *h = &st->history;
    uint64_t seq = crier_record_seq(record);
    h->last[said->action] = (struct crier_did){.seq = seq, .time = said->now};
    if (said->action == CRIER_FAIL)
        h->fails++;
    else if (said->action != CRIER_RUN)
        h->fails = 0;
    for (size_t i = 0; i < st->ring_count; i++) {
        if (st->rings[i].actions & CRIER_DID(said->action))
            ring_add(&st->rings[i], seq, said->now);
    }
    crier_taskstate_save(p, st);
    p->stats.actions[said->action]++;
    crier_host_emit(p->host, crier_record_ref(record));
    if (crier_host_has_hook(p->host, hooks[said->action]))
        crier_host_hook(p->host, hooks[said->action], push_record_arg, record);
    crier_record_unref(record);
    if (st->task)
        wake(p, st->task);
    for (guint i = 0; st->dependents && i < st->dependents->len; i++)
        wake(p, st->dependents->pdata[i]);
}

/* --- runs --------------------------------------------------------------------------------- */

static void free_run(struct crier_run *run)
{
    struct crier_tasker *p = run->tasker;
    struct crier_generation *gen = run->task->gen;
    free(run->params);
    free(run->reason);
    if (p->spares < SPARES) {
        run->next = p->spare;
        p->spare = run;
        p->spares++;
    } else {
        free(run);
    }
    crier_generation_unref(gen);
    if (p->on_idle)
        p->on_idle(p->idle_arg);
}

static void cancel_run(struct crier_run *run, const char *reason)
{
    if (run->cancelled || run->ended)
        return;
    run->cancelled = true;
    run->reason = crier_strdup(reason);
    crier_timer_stop(run->tasker->loop, &run->timeout);
    if (!run->starting) /* else it is when its start returns */
        run->executor->cancel(run);
}

/* The number of those that were not cancelled before. Ending one may end others: hooks are called. */
static size_t cancel_live(struct crier_taskstate *st, const char *reason)
{
    size_t count = 0;
    struct crier_run *run = st->live;
    while (run) {
        if (run->cancelled) {
            run = run->next;
            continue;
        }
        count++;
        cancel_run(run, reason);
        run = st->live;
    }
    return count;
}

static void on_timeout(struct crier_timer *timer)
{
    struct crier_run *run = CRIER_CONTAINER(timer, struct crier_run, timeout);
    char text[48], reason[80];
    snprintf(reason, sizeof reason, "timeout: it took longer than %s",
             crier_duration_text(run->task->timeout, text));
    cancel_run(run, reason);
}

static void begin_run(struct crier_tasker *p, struct crier_task *t, int64_t due,
                      struct crier_task_queued *by_hand)
{
    static const struct crier_executor *const executors[] = {
        [CRIER_TASK_LUA] = &crier_task_loop,
        [CRIER_TASK_COMMAND] = &crier_task_command,
        [CRIER_TASK_WORKER] = &crier_task_worker,
    };
    struct crier_taskstate *st = t->state;
    struct crier_run *run = p->spare;
    int64_t now = crier_loop_wall(p->loop);
    if (run) {
        p->spare = run->next;
        p->spares--;
    } else {
        run = crier_malloc(sizeof *run);
    }
    crier_generation_ref(t->gen);
    *run = (struct crier_run){.tasker = p,
                              .host = p->host,
                              .task = t,
                              .state = st,
                              .executor = executors[t->how],
                              .due = due,
                              .started = now,
                              .began = crier_loop_now(p->loop),
                              .slot = CRIER_BOARD_NONE,
                              .starting = true,
                              .index = p->runs->len,
                              .link = st->tail};
    crier_host_new_id(p->host, now, run->id);
    crier_ulid_text(run->id, run->run_id);
    run->params = crier_strdup(by_hand && by_hand->params ? by_hand->params : t->params);
    if (by_hand) {
        run->told = by_hand->told;
        run->told_arg = by_hand->told_arg;
    }
    if (run->params || st->last_params) {
        free(st->last_params);
        st->last_params = crier_strdup(run->params);
    }
    *st->tail = run;
    st->tail = &run->next;
    st->history.running++;
    st->history.due = due;
    st->last_start = run->began;
    note_further(p, run);
    g_ptr_array_add(p->runs, run);
    crier_lateness_add(&p->late, now - due);
    act(p, st,
        &(struct crier_task_said){.name = st->name,
                                  .task = t,
                                  .action = CRIER_RUN,
                                  .run_id = run->run_id,
                                  .now = now,
                                  .start = now});
    run->executor->start(run);
    run->starting = false;
    if (run->ended) {
        free_run(run);
    } else if (run->cancelled) {
        run->executor->cancel(run);
    } else if (t->timeout) {
        run->timeout.fire = on_timeout;
        crier_timer_in(p->loop, &run->timeout, t->timeout);
    }
}

static void keep_result(struct crier_tasker *p, struct crier_taskstate *st,
                        const struct crier_run_end *end)
{
    if (!end->result && !st->result)
        return;
    free(st->result);
    st->result = crier_strndup(end->result, end->result_len);
    if (crier_host_state(p->host))
        crier_state_put(crier_host_state(p->host), "task", st->name, st->result, NULL, NULL);
}

const char *crier_task_result(struct crier_tasker *p, const char *name)
{
    const struct crier_taskstate *st = g_hash_table_lookup(p->states, name);
    return st ? st->result : NULL;
}

static void unlink_run(struct crier_run *run)
{
    struct crier_tasker *p = run->tasker;
    struct crier_taskstate *st = run->state;
    *run->link = run->next;
    if (run->next)
        run->next->link = run->link;
    else
        st->tail = run->link;
    struct crier_run *last = p->runs->pdata[p->runs->len - 1];
    last->index = run->index;
    g_ptr_array_remove_index_fast(p->runs, run->index);
    if (run->slot != CRIER_BOARD_NONE && p->board)
        crier_board_remove(p->board, run->slot);
    st->history.running--;
}

void crier_run_ended(struct crier_run *run, const struct crier_run_end *end)
{
    struct crier_tasker *p = run->tasker;
    struct crier_taskstate *st = run->state;
    struct crier_task_said said = {.name = st->name,
                                   .task = run->task,
                                   .action = end->action,
                                   .run_id = run->run_id,
                                   .now = crier_loop_wall(p->loop),
                                   .start = run->started,
                                   .runtime = crier_loop_now(p->loop) - run->began,
                                   .exc_text = end->exc_text,
                                   .reason = end->reason,
                                   .output = end->output,
                                   .output_len = end->output_len};
    run->ended = true;
    crier_timer_stop(p->loop, &run->timeout);
    if (run->cancelled && (said.action == CRIER_FAIL || said.action == CRIER_TERMINATE)) {
        said.action = CRIER_TERMINATE;
        said.reason = run->reason;
        said.exc_text = NULL;
    }
    unlink_run(run);
    if (said.action == CRIER_SUCCESS)
        keep_result(p, st, end);
    act(p, st, &said);
    if (run->told)
        run->told(run->told_arg, said.action, run->run_id,
                  said.exc_text ? said.exc_text : said.reason);
    if (!run->starting)
        free_run(run);
}

/* --- judging ------------------------------------------------------------------------------ */

static void arm(struct crier_tasker *p, struct crier_task *t, int64_t next, int64_t now)
{
    if (next == CRIER_NEVER)
        crier_timer_stop(p->loop, &t->timer);
    else
        crier_timer_at(p->loop, &t->timer, crier_loop_now(p->loop) + (next - now));
}

static int64_t judge_stop(struct crier_tasker *p, struct crier_task *t, int64_t now)
{
    struct judging j = {p, t};
    struct crier_facts f;
    struct crier_judgement v;
    fill_facts(&j, now, &f);
    crier_cond_judge(t->stop, &f, &v);
    if (!v.truth)
        return v.next;
    char *text = crier_cond_text(t->stop), *reason = crier_asprintf("stop: %s", text);
    cancel_live(t->state, reason);
    free(reason);
    free(text);
    return v.next;
}

/* Whether it may start now, and what was due when. Arms its timer for when that may change. */
static bool judge(struct crier_tasker *p, struct crier_task *t)
{
    struct crier_taskstate *st = t->state;
    int64_t now = crier_loop_wall(p->loop), next = CRIER_NEVER;
    bool free_ = !st->live || t->multilaunch, may = false;
    if (t->stop && st->live)
        next = judge_stop(p, t, now);
    t->by_hand = false;
    if (st->queue && free_) {
        may = t->by_hand = true;
        t->due = st->queue->due ? st->queue->due : now;
    } else if (t->start && !t->disabled && !st->paused && !p->stopping && free_) {
        struct judging j = {p, t};
        struct crier_facts f;
        struct crier_judgement v;
        fill_facts(&j, now, &f);
        crier_cond_judge(t->start, &f, &v);
        int64_t again = st->last_start ? st->last_start + AGAIN - crier_loop_now(p->loop) : 0;
        may = v.truth && again <= 0;
        t->due = v.since;
        if (v.truth && !may)
            next = now + again < next ? now + again : next;
        else if (!v.truth && v.next < next)
            next = v.next;
    }
    arm(p, t, next, now);
    return may;
}

static int by_priority(const void *a, const void *b)
{
    const struct crier_task *x = *(struct crier_task *const *)a, *y = *(struct crier_task *const *)b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void start_ready(struct crier_tasker *p, struct crier_task *t)
{
    struct crier_taskstate *st = t->state;
    struct crier_task_queued *q = NULL;
    /* One that has been woken since is judged anew. */
    if (!t->adopted || !(t->waking ? judge(p, t) : t->may))
        return;
    t->may = false;
    if (t->by_hand && !st->queue)
        return;
    if (t->by_hand) {
        q = st->queue;
        st->queue = q->next;
        st->queued--;
        p->last -= q->last;
    }
    begin_run(p, t, t->due, q);
    if (q) {
        free(q->params);
        free(q);
    }
}

/* Those of one turn are in order behind those of earlier turns. */
static void judge_woken(struct crier_tasker *p)
{
    GPtrArray *list = p->waking;
    guint begin = p->ready->len;
    p->waking = p->judging;
    p->judging = list;
    for (guint i = 0; i < list->len; i++) {
        struct crier_task *t = list->pdata[i];
        t->waking = false;
        t->may = t->adopted && judge(p, t);
        if (t->may && !t->ready)
            g_ptr_array_add(p->ready, t);
        t->ready = t->ready || t->may;
    }
    g_ptr_array_set_size(list, 0);
    if (p->ready->len > begin + 1)
        qsort(p->ready->pdata + begin, p->ready->len - begin, sizeof *p->ready->pdata,
              by_priority);
}

static void soon(struct crier_tasker *p);

static void drain(struct crier_tasker *p)
{
    int64_t began = crier_loop_now(p->loop);
    bool over = false;
    for (int round = 0; round < ROUNDS && !over && !p->restore; round++) {
        judge_woken(p);
        for (guint n = 0; p->ready_at < p->ready->len && !over; n++) {
            struct crier_task *t = p->ready->pdata[p->ready_at++];
            if (t) {
                t->ready = false;
                start_ready(p, t);
            }
            over = n % 64 == 63 && crier_loop_now(p->loop) - began > TURN;
        }
        if (p->ready_at == p->ready->len) {
            p->ready_at = 0;
            g_ptr_array_set_size(p->ready, 0);
        }
        if (!p->waking->len)
            break;
    }
    if (p->board && !p->restore)
        crier_board_see(p->board, crier_loop_wall(p->loop));
    if (p->waking->len || p->ready->len)
        soon(p);
}

static void on_turn(struct crier_timer *timer)
{
    drain(CRIER_CONTAINER(timer, struct crier_tasker, turn));
}

/* A timer, since those that are due at this instant fire before it: what becomes ready in one turn
 * of the loop is put in order together. */
static void soon(struct crier_tasker *p)
{
    if (p->restore || p->startup || crier_timer_armed(&p->turn))
        return; /* else on_go looks at all of them */
    p->turn.fire = on_turn;
    crier_timer_at(p->loop, &p->turn, crier_loop_now(p->loop));
}

static void wake(struct crier_tasker *p, struct crier_task *t)
{
    if (t->waking || !t->adopted)
        return;
    t->waking = true;
    g_ptr_array_add(p->waking, t);
    soon(p);
}

static void on_timer(struct crier_timer *timer)
{
    struct crier_task *t = CRIER_CONTAINER(timer, struct crier_task, timer);
    wake(crier_host_tasker(t->gen->host), t);
}

/* --- what was missed ---------------------------------------------------------------------- */

/* A task that has run whenever it could since. */
struct missing {
    struct judging j;
    struct crier_history own;
    bool custom;
};

static bool missing_history(void *arg, const char *name, struct crier_history *out)
{
    struct missing *m = arg;
    if (name != m->j.task->name)
        return facts_history(&m->j, name, out);
    *out = m->own;
    return true;
}

static bool missing_when(void *arg, const char *name, unsigned actions, uint32_t n, int64_t *time)
{
    return facts_when(&((struct missing *)arg)->j, name, actions, n, time);
}

static void has_custom(void *arg, int fn)
{
    (void)fn;
    *(bool *)arg = true;
}

static void queue_run(struct crier_taskstate *st, struct crier_task_queued *q)
{
    struct crier_task_queued **at = &st->queue;
    while (*at)
        at = &(*at)->next;
    *at = q;
    st->queued++;
}

/* The times between `from` and now at which its condition began to be true while nobody looked.
 * What is true still starts it anyway. */
static void make_up(struct crier_tasker *p, struct crier_task *t, int64_t from)
{
    struct missing m = {.j = {p, t}, .own = t->state->history};
    int64_t now = crier_loop_wall(p->loop), dues[CRIER_CATCH_MOST];
    size_t count = 0;
    struct crier_facts f;
    struct crier_judgement v;
    if (!t->start || t->disabled || t->state->paused || t->misfire.catch_up == CRIER_CATCH_NONE)
        return;
    crier_cond_functions(t->start, has_custom, &m.custom);
    if (m.custom) /* a function cannot be asked about the past */
        return;
    fill_facts(&m.j, now, &f);
    crier_cond_judge(t->start, &f, &v);
    int64_t until = v.truth ? v.since : now;
    if (v.truth && t->misfire.catch_up == CRIER_CATCH_ONE)
        return;
    f.arg = &m;
    f.history = missing_history;
    f.when = missing_when;
    f.live = NULL;
    f.custom = NULL;
    m.own.running = 0;
    int64_t oldest = now - t->misfire.grace;
    f.now = from > oldest ? from : oldest;
    for (int step = 0; step < MISSED_STEPS; step++) {
        int64_t at = crier_cond_next(t->start, &f, until);
        if (at == CRIER_NEVER || at >= until)
            break;
        f.now = at;
        crier_cond_judge(t->start, &f, &v);
        int64_t due = v.since < at ? v.since : at;
        if (due >= oldest && due >= from)
            dues[count++ % CRIER_CATCH_MOST] = due;
        uint64_t seq = UINT64_MAX / 2 + (uint64_t)step * 2;
        m.own.last[CRIER_RUN] = (struct crier_did){.seq = seq, .time = at};
        m.own.last[CRIER_SUCCESS] = (struct crier_did){.seq = seq + 1, .time = at};
        m.own.due = due;
    }
    size_t kept = count < CRIER_CATCH_MOST ? count : CRIER_CATCH_MOST;
    if (t->misfire.catch_up == CRIER_CATCH_ONE && kept)
        kept = 1;
    for (size_t i = count - kept; i < count; i++) {
        struct crier_task_queued *q = crier_calloc(1, sizeof *q);
        q->due = dues[i % CRIER_CATCH_MOST];
        queue_run(t->state, q);
    }
}

static void make_up_all(struct crier_tasker *p)
{
    int64_t from = p->missed_from;
    p->missed_from = 0;
    for (guint i = 0; from && i < p->current->tasks->len; i++)
        make_up(p, p->current->tasks->pdata[i], from);
}

/* --- generations -------------------------------------------------------------------------- */

static void find_state(struct crier_tasker *p, struct crier_task *t, int64_t now)
{
    struct crier_taskstate *st = g_hash_table_lookup(p->states, t->name);
    if (!st && t->was && (st = g_hash_table_lookup(p->states, t->was))) {
        g_hash_table_steal(p->states, t->was);
        if (p->board && st->slot != CRIER_BOARD_NONE)
            crier_board_remove(p->board, st->slot);
        st->slot = CRIER_BOARD_NONE;
        crier_state_put(crier_host_state(p->host), "task", st->name, NULL, NULL, NULL);
        if (st->result)
            crier_state_put(crier_host_state(p->host), "task", t->name, st->result, NULL, NULL);
        free(st->name);
        st->name = crier_strdup(t->name);
        g_hash_table_replace(p->states, st->name, st);
        crier_taskstate_save(p, st);
    }
    if (!st) {
        st = new_state(p, t->name);
        st->known = now;
        crier_taskstate_save(p, st);
    }
    t->state = st;
    st->task = t;
}

/* A run that died with the host before. Its slot is emptied behind the record, not before it. */
static void tell_crash(struct crier_tasker *p, struct crier_taskstate *st)
{
    int64_t now = crier_loop_wall(p->loop);
    while (st->dead) {
        struct crier_task_dead *d = st->dead;
        char id[27];
        st->dead = d->next;
        crier_ulid_text(d->id, id);
        act(p, st,
            &(struct crier_task_said){
                .name = st->name,
                .task = st->task,
                .action = CRIER_CRASH,
                .run_id = id,
                .now = now,
                .start = d->start,
                .runtime = now > d->start ? now - d->start : 0,
                .reason = st->task ? "the host died while it ran" : "task no longer configured"});
        if (d->slot != CRIER_BOARD_NONE)
            crier_board_remove(p->board, d->slot);
        free(d);
    }
}

static void tell_crashes(struct crier_tasker *p)
{
    GHashTableIter it;
    void *st;
    if (p->board && crier_board_damaged(p->board))
        crier_host_system(p->host, CRIER_LEVEL_WARNING, "task.board",
                          "what %u task%s did before was damaged, and is forgotten",
                          crier_board_damaged(p->board),
                          crier_board_damaged(p->board) == 1 ? "" : "s");
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &st))
        tell_crash(p, st);
}

static void drop_queue(struct crier_tasker *p, struct crier_taskstate *st, const char *why)
{
    while (st->queue) {
        struct crier_task_queued *q = st->queue;
        st->queue = q->next;
        p->last -= q->last;
        free_queued(q, why);
    }
    st->queued = 0;
}

static void drop_orphans(struct crier_tasker *p)
{
    GHashTableIter it;
    void *value;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct crier_taskstate *st = value;
        if (!st->task)
            drop_queue(p, st, "the task is not declared any more");
    }
}

void crier_tasker_adopt(struct crier_tasker *p, struct crier_generation *gen, bool restarted)
{
    int64_t now = crier_loop_wall(p->loop);
    struct needing n = {.tasker = p};
    p->current = gen;
    for (guint i = 0; i < gen->tasks->len; i++) {
        struct crier_task *t = gen->tasks->pdata[i];
        t->timer.fire = on_timer;
        find_state(p, t, now);
        t->adopted = true;
    }
    if (restarted) {
        p->startup = true;
        tell_crashes(p);
    }
    drop_orphans(p);
    for (guint i = 0; i < gen->tasks->len; i++) {
        n.task = gen->tasks->pdata[i];
        if (n.task->start)
            crier_cond_needs(n.task->start, on_need, &n);
        if (n.task->stop)
            crier_cond_needs(n.task->stop, on_need, &n);
    }
    bool fresh = restarted && gen->tasks->len && p->board && crier_board_fresh(p->board);
    if (fresh || n.ask) {
        crier_task_restore_drop(p);
        crier_task_restore(p, fresh, n.ever ? 0 : n.span);
    }
    if (!p->restore)
        crier_tasker_go(p);
}

static void start_startup(struct crier_tasker *p)
{
    GPtrArray *list = g_ptr_array_new();
    for (guint i = 0; i < p->current->tasks->len; i++) {
        struct crier_task *t = p->current->tasks->pdata[i];
        if (t->on_startup && !t->disabled && !t->state->paused)
            g_ptr_array_add(list, t);
    }
    if (list->len)
        qsort(list->pdata, list->len, sizeof *list->pdata, by_priority);
    for (guint i = 0; i < list->len; i++)
        begin_run(p, list->pdata[i], crier_loop_wall(p->loop), NULL);
    g_ptr_array_free(list, TRUE);
}

/* In a turn of its own: the host may be in the midst of a swap. */
static void on_go(struct crier_timer *timer)
{
    struct crier_tasker *p = CRIER_CONTAINER(timer, struct crier_tasker, go);
    if (p->restore || !p->current)
        return;
    if (p->startup && !p->stopping) {
        p->startup = false;
        start_startup(p);
    }
    make_up_all(p);
    for (guint i = 0; i < p->current->tasks->len; i++) {
        struct crier_task *t = p->current->tasks->pdata[i];
        if (t->waking || !t->adopted)
            continue;
        t->waking = true;
        g_ptr_array_add(p->waking, t);
    }
    drain(p);
}

void crier_tasker_go(struct crier_tasker *p)
{
    p->go.fire = on_go;
    crier_timer_at(p->loop, &p->go, crier_loop_now(p->loop));
}

void crier_tasker_retire(struct crier_tasker *p, struct crier_generation *gen)
{
    for (guint i = 0; i < gen->tasks->len; i++) {
        struct crier_task *t = gen->tasks->pdata[i];
        crier_timer_stop(p->loop, &t->timer);
        t->adopted = t->waking = false;
        if (t->state && t->state->task == t)
            t->state->task = NULL;
    }
    for (guint i = p->waking->len; i > 0; i--) {
        if (((struct crier_task *)p->waking->pdata[i - 1])->gen == gen)
            g_ptr_array_remove_index_fast(p->waking, i - 1);
    }
    for (guint i = p->ready_at; i < p->ready->len; i++) {
        struct crier_task *t = p->ready->pdata[i];
        if (t && t->gen == gen)
            p->ready->pdata[i] = NULL;
    }
    GHashTableIter it;
    void *value;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct crier_taskstate *st = value;
        if (st->dependents)
            g_ptr_array_set_size(st->dependents, 0);
    }
    if (p->current == gen) {
        crier_timer_stop(p->loop, &p->turn);
        crier_timer_stop(p->loop, &p->go);
        crier_task_restore_drop(p);
        p->current = NULL;
    }
}

/* --- the end ------------------------------------------------------------------------------ */

static void drop_queues(struct crier_tasker *p)
{
    GHashTableIter it;
    void *st;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &st))
        drop_queue(p, st, "the host stops");
}

/* One that still runs, and may not twice at a time, does so once more behind that. */
static void begin_last(struct crier_tasker *p, struct crier_task *t)
{
    if (!t->state->live || t->multilaunch) {
        begin_run(p, t, crier_loop_wall(p->loop), NULL);
        return;
    }
    struct crier_task_queued *q = crier_calloc(1, sizeof *q);
    q->due = crier_loop_wall(p->loop);
    q->last = true;
    queue_run(t->state, q);
    p->last++;
}

static void shut_down(void *arg)
{
    struct crier_tasker *p = arg;
    if (!p->current) /* the loop has been cut off */
        return;
    GPtrArray *list = g_ptr_array_new();
    drop_queues(p);
    for (guint i = p->runs->len; i > 0; i--) {
        struct crier_run *run = i <= p->runs->len ? p->runs->pdata[i - 1] : NULL;
        if (run && run->task->permanent)
            cancel_run(run, "shutdown");
    }
    for (guint i = 0; i < p->current->tasks->len; i++) {
        struct crier_task *t = p->current->tasks->pdata[i];
        struct judging j = {p, t};
        struct crier_facts f;
        struct crier_judgement v = {.truth = true};
        if (!t->on_shutdown || t->disabled || t->state->paused)
            continue;
        fill_facts(&j, crier_loop_wall(p->loop), &f);
        if (t->start)
            crier_cond_judge(t->start, &f, &v);
        if (v.truth)
            g_ptr_array_add(list, t);
    }
    if (list->len)
        qsort(list->pdata, list->len, sizeof *list->pdata, by_priority);
    for (guint i = 0; i < list->len; i++)
        begin_last(p, list->pdata[i]);
    g_ptr_array_free(list, TRUE);
    p->shutdown_posted = false;
    if (p->on_idle)
        p->on_idle(p->idle_arg);
}

void crier_tasker_stop(struct crier_tasker *p)
{
    if (p->stopping)
        return;
    p->stopping = p->shutdown_posted = true;
    p->startup = false;
    crier_timer_stop(p->loop, &p->go);
    crier_task_restore_drop(p);
    crier_loop_post(p->loop, shut_down, p);
}

void crier_tasker_cancel(struct crier_tasker *p, const struct crier_generation *gen,
                         const char *reason)
{
    if (p->stopping && !gen)
        drop_queues(p);
    for (guint i = p->runs->len; i > 0; i--) {
        struct crier_run *run = i <= p->runs->len ? p->runs->pdata[i - 1] : NULL;
        if (run && (!gen || run->task->gen == gen))
            cancel_run(run, reason);
    }
}

void crier_tasker_kill(struct crier_tasker *p)
{
    drop_queues(p);
    for (guint i = p->runs->len; i > 0; i--) {
        struct crier_run *run = i <= p->runs->len ? p->runs->pdata[i - 1] : NULL;
        if (run && !run->cancelled && !run->executor->kill) {
            cancel_run(run, "shutdown");
        } else if (run && run->executor->kill) {
            if (!run->cancelled)
                run->reason = crier_strdup("shutdown");
            run->cancelled = true;
            run->executor->kill(run);
        }
    }
}

void crier_tasker_clock_set(struct crier_tasker *p, int64_t jump_us)
{
    GHashTableIter it;
    void *value;
    if (jump_us > 0 && !p->missed_from && p->board)
        p->missed_from = crier_board_seen(p->board);
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct crier_taskstate *st = value;
        for (int i = 0; i < CRIER_ACTIONS; i++)
            st->history.last[i].set += st->history.last[i].seq ? jump_us : 0;
        for (struct crier_run *run = st->live; run; run = run->next)
            run->set += jump_us;
        st->known += jump_us;
        crier_taskstate_save(p, st);
    }
    if (p->current && !p->restore)
        crier_tasker_go(p);
}

/* --- by hand ------------------------------------------------------------------------------ */

static int find_task(struct crier_tasker *p, const char *name, struct crier_taskstate **out,
                     struct crier_err *err)
{
    struct crier_taskstate *st = g_hash_table_lookup(p->states, name);
    if (st && st->task) {
        *out = st;
        return 0;
    }
    guint n = p->current ? p->current->tasks->len : 0;
    const char **names = crier_calloc(n + 1, sizeof *names);
    for (guint i = 0; i < n; i++)
        names[i] = ((struct crier_task *)p->current->tasks->pdata[i])->name;
    const char *near = crier_nearest(name, names, n);
    int rc = crier_err_set(err, CRIER_EINVAL, "there is no task '%.80s'%s%.80s%s", name,
                           near ? " (did you mean '" : "", near ? near : "",
                           near ? "'?)" : " (crier task list shows them)");
    free(names);
    return rc;
}

/* The task's params with these over them. */
static char *merge(const char *base, const char *over)
{
    json_t *a = base ? json_loads(base, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *b = over ? json_loads(over, JSON_ALLOW_NUL, NULL) : NULL;
    if (a && b)
        json_object_update(a, b);
    char *text = a || b ? json_dumps(a ? a : b, JSON_COMPACT) : NULL;
    json_decref(a);
    json_decref(b);
    return text;
}

static int run_by_hand(struct crier_tasker *p, struct crier_taskstate *st, char *params,
                       crier_task_told *told, void *arg, struct crier_err *err)
{
    if (p->stopping || st->queued >= QUEUE_MOST) {
        free(params);
        return p->stopping ? crier_err_set(err, CRIER_ECANCELED, "the host stops")
                           : crier_err_set(err, CRIER_ELIMIT,
                                           "%d runs of task '%.80s' wait already", QUEUE_MOST,
                                           st->name);
    }
    struct crier_task_queued *q = crier_calloc(1, sizeof *q);
    q->params = params;
    q->told = told;
    q->told_arg = arg;
    queue_run(st, q);
    wake(p, st->task);
    return 0;
}

int crier_task_run(struct crier_tasker *p, const char *name, const char *params,
                   crier_task_told *told, void *arg, struct crier_err *err)
{
    struct crier_taskstate *st;
    int rc = find_task(p, name, &st, err);
    return rc != 0 ? rc
                   : run_by_hand(p, st, params ? merge(st->task->params, params) : NULL, told, arg,
                                 err);
}

int crier_task_retry(struct crier_tasker *p, const char *name, crier_task_told *told, void *arg,
                     struct crier_err *err)
{
    struct crier_taskstate *st;
    int rc = find_task(p, name, &st, err);
    if (rc != 0)
        return rc;
    if (!st->history.last[CRIER_RUN].seq)
        return crier_err_set(err, CRIER_ENOTFOUND,
                             "task '%.80s' has not run yet: crier task run starts it", name);
    return run_by_hand(p, st, crier_strdup(st->last_params), told, arg, err);
}

int crier_task_stop(struct crier_tasker *p, const char *name, const char *reason, size_t *count,
                    struct crier_err *err)
{
    struct crier_taskstate *st;
    int rc = find_task(p, name, &st, err);
    if (rc != 0)
        return rc;
    *count = st->queued;
    drop_queue(p, st, reason);
    *count += cancel_live(st, reason);
    return 0;
}

bool crier_task_busy(struct crier_tasker *p, const char *name)
{
    const struct crier_taskstate *st = g_hash_table_lookup(p->states, name);
    return st && st->task && st->live && !st->task->multilaunch;
}

int crier_task_pause(struct crier_tasker *p, const char *name, bool pause, bool *changed,
                     struct crier_err *err)
{
    struct crier_taskstate *st;
    int rc = find_task(p, name, &st, err);
    if (rc != 0)
        return rc;
    if (changed)
        *changed = st->paused != pause;
    st->paused = pause;
    crier_taskstate_save(p, st);
    wake(p, st->task);
    return 0;
}

void crier_task_forget(struct crier_tasker *p, void *arg)
{
    GHashTableIter it;
    void *value;
    g_hash_table_iter_init(&it, p->states);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        struct crier_taskstate *st = value;
        for (struct crier_task_queued *q = st->queue; q; q = q->next)
            q->told = q->told_arg == arg ? NULL : q->told;
        for (struct crier_run *run = st->live; run; run = run->next)
            run->told = run->told_arg == arg ? NULL : run->told;
    }
}

/* --- status ------------------------------------------------------------------------------- */

json_t *crier_task_status(struct crier_tasker *p, struct crier_task *t)
{
    struct crier_taskstate *st = t->state;
    const struct crier_history *h = &st->history;
    int newest = -1;
    for (int i = 0; i < CRIER_ACTIONS; i++) {
        if (h->last[i].seq && (newest < 0 || h->last[i].seq > h->last[newest].seq))
            newest = i;
    }
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:i}", "name", t->name, "state",
                          st->live       ? "running"
                          : t->disabled  ? "disabled"
                          : st->paused   ? "paused"
                          : t->start     ? "waiting"
                                         : "by hand",
                          "running", (int)h->running, "queued", (int)st->queued, "fails",
                          (int)h->fails);
    char *start = t->start ? crier_cond_text(t->start) : NULL;
    if (start)
        json_object_set_new(o, "start", json_string(start));
    free(start);
    if (newest >= 0) {
        json_object_set_new(o, "last", json_string(crier_action_names[newest]));
        json_object_set_new(o, "last_time", json_real((double)h->last[newest].time / 1e6));
    }
    if (t->start && !t->disabled && !st->paused && !p->stopping && crier_timer_armed(&t->timer)) {
        struct judging j = {p, t};
        struct crier_facts f;
        fill_facts(&j, crier_loop_wall(p->loop), &f);
        f.custom = NULL;
        int64_t next = crier_cond_next(t->start, &f, f.now + 366 * 86400 * CRIER_S);
        if (next != CRIER_NEVER)
            json_object_set_new(o, "next", json_real((double)next / 1e6));
    }
    return o;
}
