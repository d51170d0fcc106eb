/* SPDX-License-Identifier: MIT
 * Calendars and the periods of messages made of them: what stands behind `daily` and its like (the first
 * byte says which). Windows come in order, begin where they are said to, and the text means the same. */
#include "support.h"

#include "base/ulid.h"
#include "sched/calendar.h"
#include "sched/period.h"

static struct crier_calendar *read_text(const char *text, int cycle, struct crier_err *err)
{
    struct crier_words s;
    struct crier_calendar *c = NULL;
    crier_words_begin(&s, text, err);
    int rc = cycle == CRIER_CYCLE_CRON ? crier_calendar_read_cron(&s, &c)
                                       : crier_calendar_read(&s, (enum crier_cycle)cycle, &c);
    MUST((rc == 0) == (c != NULL));
    MUST(c || (err->text[0] && s.column >= 1));
    if (c && !crier_words_end(&s)) {
        crier_calendar_free(c);
        c = NULL;
    }
    return c;
}

/* From hours before the clocks are set forward, or back. */
static void walk(const struct crier_calendar *c, const struct crier_calendar *again,
                 const struct crier_zone *zone, int64_t t)
{
    struct crier_window w, at;
    for (int i = 0; i < 3; i++) {
        int64_t next = crier_calendar_next(c, zone, t);
        MUST(next == crier_calendar_next(again, zone, t));
        if (crier_calendar_last(c, zone, t, &w)) {
            MUST(w.from <= t && w.from < w.to);
            MUST(crier_calendar_next(c, zone, w.from - 1) == w.from);
            MUST(crier_calendar_next(c, zone, w.from) == next);
        }
        if (crier_calendar_contains(c, zone, t, &at))
            MUST(at.from <= t && t < at.to);
        if (next == CRIER_NEVER)
            return;
        MUST(next > t && crier_calendar_contains(c, zone, next, NULL));
        MUST(crier_calendar_last(c, zone, next, &w) && w.from == next);
        t = next;
    }
}

static void read_period(const char *text, struct crier_zone *zone, int64_t now)
{
    struct crier_period period = {0};
    struct crier_err err = {0};
    struct crier_rng rng;
    char shown[128];
    if (crier_period_parse(text, zone, &period, &err) != 0) {
        MUST(err.text[0]);
        return;
    }
    crier_rng_seed(&rng, 1);
    int64_t due = crier_period_first(&period, now), next;
    MUST(due >= now);
    for (int i = 0; i < 5 && due != CRIER_NEVER; i++) {
        next = crier_period_next(&period, &rng, due);
        MUST(next > due);
        due = next;
    }
    crier_period_text(&period, shown);
    free(crier_period_identity(&period));
    crier_period_fini(&period);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t nows[] = {1774742400LL * CRIER_S, 1792882800LL * CRIER_S + 1};
    static struct crier_zone *zone;
    struct crier_err err = {0};
    MUST(zone || crier_zone_open("Europe/Ljubljana", &zone, &err) == 0);
    if (!size)
        return 0;
    int cycle = data[0] % (CRIER_CYCLE_CRON + 1);
    char *text = text_of(data + 1, size - 1);
    struct crier_calendar *c = read_text(text, cycle, &err);
    if (c) {
        struct crier_calendar *again = read_text(crier_calendar_text(c), cycle, &err);
        MUST(again && strcmp(crier_calendar_text(c), crier_calendar_text(again)) == 0);
        for (size_t i = 0; i < CRIER_COUNT(nows); i++)
            walk(c, again, zone, nows[i]);
        crier_calendar_free(again);
    }
    crier_calendar_free(c);
    const char *first = cycle == CRIER_CYCLE_CRON ? "cron" : crier_cycle_adverbs[cycle];
    char *whole = crier_asprintf("%s %s", first, text);
    read_period(data[0] & 128 ? text : whole, zone, nows[0]);
    free(whole);
    free(text);
    return 0;
}
