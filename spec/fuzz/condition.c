/* SPDX-License-Identifier: MIT
 * Conditions and periods, calendars among them: the shortest text reads as the same condition, and a due
 * time is ahead. */
#include "support.h"

#include "base/ulid.h"
#include "sched/condition_text.h"
#include "sched/period.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size);
    struct crier_cond *cond = NULL, *again = NULL;
    struct crier_err err = {0};
    static struct crier_zone *zone;
    struct crier_period period = {0};
    int column;
    if (crier_cond_parse(text, &cond, &column, &err) == 0) {
        char *out = crier_cond_text(cond);
        MUST(crier_cond_parse(out, &again, &column, &err) == 0);
        char *twice = crier_cond_text(again);
        MUST(strcmp(out, twice) == 0);
        free(out);
        free(twice);
        crier_cond_unref(cond);
        crier_cond_unref(again);
    } else {
        MUST(err.text[0] && column >= 1);
    }
    MUST(zone || crier_zone_open("Europe/Ljubljana", &zone, &err) == 0);
    if (crier_period_parse(text, zone, &period, &err) == 0) {
        struct crier_rng rng;
        const int64_t now = 1774742400LL * CRIER_S; /* hours before summer time begins */
        crier_rng_seed(&rng, 1);
        int64_t due = crier_period_first(&period, now);
        MUST(due >= now);
        for (int i = 0; i < 5 && due != CRIER_NEVER; i++) {
            int64_t next = crier_period_next(&period, &rng, due);
            MUST(next > due);
            due = next;
        }
        crier_period_fini(&period);
    }
    free(text);
    return 0;
}
