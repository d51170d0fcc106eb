/* SPDX-License-Identifier: MIT
 * Conditions: the shortest text reads as the same condition; judged, it says since when and until when. */
#include "support.h"

#include "sched/condition_text.h"

#define NOW (1774742400LL * CRIER_S) /* hours before summer time begins */

static bool history(void *arg, const char *task, struct crier_history *out)
{
    (void)arg;
    *out = (struct crier_history){.due = NOW - (3600 * CRIER_S), .fails = 2, .running = 1};
    out->last[CRIER_RUN] = (struct crier_did){.seq = 9, .time = NOW - 60 * CRIER_S};
    out->last[CRIER_FAIL] = (struct crier_did){.seq = 8, .time = NOW - (3600 * CRIER_S), .set = -CRIER_S};
    out->last[CRIER_SUCCESS] = (struct crier_did){.seq = 3, .time = NOW - 2 * (86400 * CRIER_S)};
    return !task || strlen(task) < 8;
}

static bool when(void *arg, const char *task, unsigned actions, uint32_t n, int64_t *time)
{
    (void)arg;
    (void)task;
    (void)actions;
    *time = NOW - (int64_t)n * 7 * 60 * CRIER_S;
    return n < 40;
}

static bool live(void *arg, const char *task, uint32_t n, int64_t *start)
{
    (void)arg;
    (void)task;
    *start = NOW - 100 * CRIER_S + n;
    return n < 1;
}

/* The same question has the same answer, whichever text was read. */
static void judge(const struct crier_cond *cond, const struct crier_cond *again,
                  const struct crier_zone *zone)
{
    struct crier_facts facts = {.now = NOW,
                                .zone = zone,
                                .task = "me",
                                .since = NOW - 3 * (86400 * CRIER_S),
                                .history = history,
                                .when = when,
                                .live = live};
    struct crier_judgement a, b;
    for (int i = 0; i < 4 && facts.now != CRIER_NEVER; i++) {
        crier_cond_judge(cond, &facts, &a);
        crier_cond_judge(again, &facts, &b);
        MUST(a.truth == b.truth && a.since == b.since && a.next == b.next);
        MUST(a.next > facts.now && (!a.truth || a.since <= facts.now));
        crier_why_free(crier_cond_why(cond, &facts, &b));
        MUST(a.truth == b.truth && a.next == b.next);
        facts.now = a.next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_zone *zone;
    char *text = text_of(data, size);
    struct crier_cond *cond = NULL, *again = NULL;
    struct crier_err err = {0};
    int64_t us;
    int column = 0;
    MUST(zone || crier_zone_open("Europe/Ljubljana", &zone, &err) == 0);
    if (crier_cond_parse(text, &cond, &column, &err) == 0) {
        char *out = crier_cond_text(cond);
        MUST(crier_cond_parse(out, &again, &column, &err) == 0);
        char *twice = crier_cond_text(again);
        MUST(strcmp(out, twice) == 0);
        judge(cond, again, zone);
        free(out);
        free(twice);
        crier_cond_unref(cond);
        crier_cond_unref(again);
    } else {
        MUST(err.text[0] && column >= 1 && column <= (int)strlen(text) + 1);
    }
    if (crier_cond_duration(text, &us, &err) == 0)
        MUST(us >= 0);
    free(text);
    return 0;
}
