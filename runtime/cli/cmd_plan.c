/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "sched/condition_text.h"
#include "script/guilds.h"
#include "script/pattern.h"
#include "script/task.h"
#include "state/board.h"
#include "state/state.h"

#define FORESIGHT (5 * 366 * 86400 * CRIER_S)

/* The next send of a message or run of a task, in a heap by hand: the list is short enough to look
 * through. */
struct next {
    const struct crier_message *m; /* NULL: a task */
    const struct crier_task *t;
    struct crier_history history; /* of the task, if it runs whenever it may */
    int64_t known;
    bool paused, guessed; /* guessed: at the earliest, since others have to do something */
    int64_t due, end;
    int64_t left; /* sends until remove_after's count is reached */
};

/* --- tasks --------------------------------------------------------------------------------- */

static bool own_history(void *arg, const char *task, struct crier_history *out)
{
    const struct next *n = arg;
    if (strcmp(task, n->t->name) != 0)
        return false;
    *out = n->history;
    return true;
}

static bool own_records(void *arg, const char *task, unsigned actions, uint32_t i, int64_t *time)
{
    const struct next *n = arg;
    uint64_t seq = 0;
    if (i > 0 || strcmp(task, n->t->name) != 0)
        return false;
    for (int a = 0; a < CRIER_ACTIONS; a++) {
        if ((actions & CRIER_DID(a)) && n->history.last[a].seq > seq) {
            seq = n->history.last[a].seq;
            *time = n->history.last[a].time;
        }
    }
    return seq != 0;
}

static bool is_guessed(const struct crier_why *why)
{
    bool any = why->assumed;
    for (size_t i = 0; i < why->count && !any; i++)
        any = is_guessed(&why->items[i]);
    return any;
}

/* When it may run next, from then on. */
static void find_run(struct next *n, int64_t from)
{
    struct crier_facts f = {.now = from,
                            .zone = n->t->zone,
                            .task = n->t->name,
                            .since = n->known,
                            .assume = true,
                            .arg = n,
                            .history = own_history,
                            .when = own_records};
    n->due = n->t->start && !n->t->disabled && !n->paused
                 ? crier_cond_next(n->t->start, &f, from + FORESIGHT)
                 : CRIER_NEVER;
    if (n->due == CRIER_NEVER) {
        n->left = 0;
        return;
    }
    f.now = n->due;
    struct crier_why *why = crier_cond_why(n->t->start, &f, NULL);
    n->guessed = is_guessed(why);
    crier_why_free(why);
}

static void after_run(struct next *n)
{
    uint64_t seq = UINT64_MAX / 2 + (uint64_t)n->left * 2;
    int64_t due = n->due;
    n->left++;
    n->history.last[CRIER_RUN] = (struct crier_did){.seq = seq, .time = due};
    n->history.last[CRIER_SUCCESS] = (struct crier_did){.seq = seq + 1, .time = due};
    n->history.due = due;
    find_run(n, due + 1);
    if (n->due <= due + 1)
        n->left = 0; /* whatever others do: that is not to be foreseen */
}

struct boarding {
    struct next *list;
    size_t count;
};

static void on_slot(void *arg, uint32_t slot, const char *name, const struct crier_board_entry *e)
{
    struct boarding *b = arg;
    (void)slot;
    for (size_t i = 0; i < b->count && !e->overflow; i++) {
        struct next *n = &b->list[i];
        if (!n->t || strcmp(n->t->name, name) != 0)
            continue;
        n->known = e->known;
        n->paused = e->paused;
        n->history.due = e->due;
        n->history.fails = e->fails;
        for (int a = 0; a < CRIER_ACTIONS; a++)
            n->history.last[a] = (struct crier_did){
                .seq = e->last[a].seq, .time = e->last[a].time, .set = e->last[a].set};
    }
}

static size_t add_tasks(struct crier_generation *gen, const char *folder, int64_t now,
                        struct next *list)
{
    struct crier_board *board;
    size_t n = 0;
    for (guint i = 0; i < gen->tasks->len; i++) {
        const struct crier_task *t = gen->tasks->pdata[i];
        list[n++] = (struct next){.t = t, .known = now, .left = 1, .end = CRIER_NEVER};
    }
    if (crier_board_open(folder, true, &board, NULL) == 0) {
        crier_board_each(board, on_slot, &(struct boarding){list, n});
        crier_board_close(board);
    }
    for (size_t i = 0; i < n; i++)
        find_run(&list[i], now);
    return n;
}

/* --- messages ------------------------------------------------------------------------------ */

/* What the state store knows of a message: due time and first start. */
static void stored_times(struct crier_state *state, const struct crier_message *m, int64_t now,
                         struct next *n)
{
    const char *text = state ? crier_state_get(state, "message", m->key) : NULL;
    json_t *o = text ? json_loads(text, 0, NULL) : NULL;
    int64_t first = o ? json_integer_value(json_object_get(o, "first")) : now;
    n->due = o ? json_integer_value(json_object_get(o, "due"))
               : crier_period_first(&m->period, m->start.absolute ? m->start.value
                                                                  : now + m->start.value);
    n->end = m->removal.kind == CRIER_REMOVAL_AT      ? m->removal.value
             : m->removal.kind == CRIER_REMOVAL_AFTER ? first + m->removal.value
                                                      : CRIER_NEVER;
    n->left = INT64_MAX;
    if (m->removal.kind == CRIER_REMOVAL_COUNT) {
        int64_t most = 0;
        size_t i;
        json_t *c;
        json_array_foreach(json_object_get(o, "channels"), i, c)
        {
            int64_t sent = json_integer_value(json_object_get(c, "sent"));
            most = sent > most ? sent : most;
        }
        n->left = m->removal.value - most;
    }
    if (json_is_true(json_object_get(o, "ended")) || json_is_true(json_object_get(o, "paused")))
        n->left = 0;
    json_decref(o);
}

/* Of a guild of a pattern with that one's name; where none is known, with the pattern. */
static void message_name(const struct crier_message *m, bool json, char *out, size_t cap)
{
    char label[120];
    crier_message_label(m, label, sizeof label);
    if (m->of && !json)
        snprintf(out, cap, "%.100s/%s", m->target->seen, label);
    else if (m->target->match && !json)
        snprintf(out, cap, "%s, guilds %.150s", label, crier_pattern_text(m->target->match));
    else
        snprintf(out, cap, "%s", label);
}

static void json_guild(struct crier_buf *b, const struct crier_target *t)
{
    if (!t->match && !t->of)
        return;
    crier_json_key(b, "guilds");
    crier_json_str(b, crier_pattern_text(t->match ? t->match : t->of->match));
    if (!t->of)
        return;
    crier_json_key(b, "guild");
    crier_json_str(b, t->seen);
}

static void print_line(const struct next *n, const struct crier_generation *gen, int64_t now,
                       bool json)
{
    char when[40], label[300], period[300], left[48];
    const char *what = n->m ? "message" : "task";
    if (n->m) {
        message_name(n->m, json, label, sizeof label);
        crier_period_text(&n->m->period, period);
    } else {
        char *text = crier_cond_text(n->t->start);
        snprintf(label, sizeof label, "%s", n->t->name);
        snprintf(period, sizeof period, "%s", text);
        free(text);
    }
    if (json) {
        struct crier_buf b = {0};
        crier_json_open(&b, '{');
        crier_json_key(&b, "time");
        crier_json_str(&b, crier_time_rfc3339(n->due, when));
        crier_json_key(&b, "what");
        crier_json_str(&b, what);
        crier_json_key(&b, "name");
        crier_json_str(&b, label);
        if (n->m) {
            crier_json_key(&b, "key");
            crier_json_str(&b, n->m->key);
            json_guild(&b, n->m->target);
        } else {
            crier_json_key(&b, "earliest");
            crier_json_bool(&b, n->guessed);
        }
        crier_json_key(&b, "why");
        crier_json_str(&b, period);
        crier_json_close(&b, '}');
        puts(b.data);
        crier_buf_fini(&b);
        return;
    }
    int64_t wait = n->due > now ? n->due - now : 0;
    wait -= wait % (wait > 3600 * CRIER_S ? 60 * CRIER_S : CRIER_S);
    crier_time_human(gen->zone, n->due, when);
    if (n->guessed)
        strcat(when, " ->");
    printf("%-23s %-10s %-7s %-20s %s%s\n", when, crier_duration_text(wait, left), what, label,
           period,
           n->m && n->m->period.kind == CRIER_PERIOD_RANDOM ? " (drawn anew each time)" : "");
}

/* The guilds of patterns are those that matched when the bot ran last. */
static void recall_guilds(struct crier_generation *gen, struct crier_state *state)
{
    for (guint i = 0; i < gen->targets->len; i++) {
        struct crier_target *t = gen->targets->pdata[i];
        if (t->match)
            t->said = crier_guilds_recall(gen, state, t) > 0;
    }
}

static void print_plan(struct crier_generation *gen, struct crier_state *state, const char *folder,
                       long count, bool json)
{
    int64_t now = crier_clock_wall(crier_clock_real());
    struct crier_rng rng;
    crier_rng_seed(&rng, 1);
    recall_guilds(gen, state);
    struct next *list = crier_calloc(crier_message_count(gen) + gen->tasks->len + 1, sizeof *list);
    size_t n = 0;
    for (guint i = 0; i < crier_message_count(gen); i++) {
        struct next *x = &list[n];
        x->m = crier_message_at(gen, i);
        if (!x->m->key || (x->m->target->match && x->m->target->said))
            continue;
        stored_times(state, x->m, now, x);
        uint64_t skipped;
        if (x->due < now)
            x->due = crier_period_after(&x->m->period, &rng, x->due, now, &skipped);
        n++;
    }
    n += add_tasks(gen, folder, now, list + n);
    if (!json)
        printf("%-23s %-10s %-28s %s\n", "NEXT", "LEFT", "WHAT", "WHY");
    while (count-- > 0) {
        struct next *first = NULL;
        for (size_t i = 0; i < n; i++) {
            if (list[i].left > 0 && list[i].due < list[i].end &&
                (!first || list[i].due < first->due))
                first = &list[i];
        }
        if (!first)
            break;
        print_line(first, gen, now, json);
        if (first->t) {
            after_run(first);
            continue;
        }
        first->due = crier_period_next(&first->m->period, &rng, first->due);
        first->left--;
    }
    free(list);
}

int crier_cmd_plan(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"next", required_argument, NULL, 'n'},
                                            {"state", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    const char *state_folder = NULL;
    bool json = false, color;
    long count = 10;
    int opt, code;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
        if (opt == 'j') {
            json = true;
        } else if (opt == 's') {
            state_folder = optarg;
        } else if (opt == 'n') {
            code = crier_usage_count("plan", "--next", optarg, &count);
            if (code != 0)
                return code;
        } else {
            return crier_usage_option("plan", argv);
        }
    }
    if (optind + 1 != argc)
        return crier_usage("plan", optind == argc ? "which script?" : "one script at a time");
    struct crier_generation *gen;
    code = crier_load_script(argv[optind], state_folder, &gen);
    if (code != 0)
        return code;
    if (gen->diags.errors) {
        enum crier_diag_format format = crier_diag_format_for(stderr, &color);
        crier_diags_print(&gen->diags, stderr, json ? CRIER_DIAG_JSON : format, !json && color);
        code = CRIER_EXIT_CONFIG;
    } else {
        struct crier_state *state = NULL;
        char *folder = crier_generation_state_folder(gen, state_folder, false);
        if (crier_state_open(folder, true, &state, NULL) != 0)
            state = NULL;
        print_plan(gen, state, folder, count, json);
        if (state)
            crier_state_close(state);
        free(folder);
    }
    crier_generation_unref(gen);
    return code;
}
