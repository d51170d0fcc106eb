/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "state/state.h"

/* The next send of a message, in a heap by hand: the list is short enough to look through. */
struct next {
    const struct crier_message *m;
    int64_t due, end;
    int64_t left; /* sends until remove_after's count is reached */
};

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

static void print_line(const struct next *n, const struct crier_generation *gen, int64_t now,
                       bool json)
{
    char when[32], label[120], period[128], left[48];
    crier_message_label(n->m, label, sizeof label);
    crier_period_text(&n->m->period, period);
    if (json) {
        struct crier_buf b = {0};
        crier_json_open(&b, '{');
        crier_json_key(&b, "time");
        crier_json_str(&b, crier_time_rfc3339(n->due, when));
        crier_json_key(&b, "what");
        crier_json_str(&b, "message");
        crier_json_key(&b, "name");
        crier_json_str(&b, label);
        crier_json_key(&b, "key");
        crier_json_str(&b, n->m->key);
        crier_json_key(&b, "why");
        crier_json_str(&b, period);
        crier_json_close(&b, '}');
        puts(b.data);
        crier_buf_fini(&b);
        return;
    }
    int64_t wait = n->due > now ? n->due - now : 0;
    wait -= wait % (wait > 3600 * CRIER_S ? 60 * CRIER_S : CRIER_S);
    printf("%-21s %-10s message %-20s %s%s\n", crier_time_human(gen->zone, n->due, when),
           crier_duration_text(wait, left), label, period,
           n->m->period.kind == CRIER_PERIOD_RANDOM ? " (drawn anew each time)" : "");
}

static void print_plan(struct crier_generation *gen, struct crier_state *state, long count,
                       bool json)
{
    int64_t now = crier_clock_wall(crier_clock_real());
    struct crier_rng rng;
    crier_rng_seed(&rng, 1);
    struct next *list = crier_calloc(gen->messages->len + 1, sizeof *list);
    size_t n = 0;
    for (guint i = 0; i < gen->messages->len; i++) {
        struct next *x = &list[n];
        x->m = gen->messages->pdata[i];
        if (!x->m->key)
            continue;
        stored_times(state, x->m, now, x);
        uint64_t skipped;
        if (x->due < now)
            x->due = crier_period_after(&x->m->period, &rng, x->due, now, &skipped);
        n++;
    }
    if (!json)
        printf("%-21s %-10s %-28s %s\n", "NEXT", "LEFT", "WHAT", "WHY");
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
        print_plan(gen, state, count, json);
        if (state)
            crier_state_close(state);
        free(folder);
    }
    crier_generation_unref(gen);
    return code;
}
