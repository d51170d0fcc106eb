/* SPDX-License-Identifier: MIT
 * Cron expressions: the text that is given back means the same, a minute that is found is one, and
 * forward and backward agree. */
#include "support.h"

#include "base/clock.h"
#include "sched/cron.h"

static void walk(const struct crier_cron *cron, int64_t from)
{
    for (int i = 0; i < 4; i++) {
        int64_t at = crier_cron_find(cron, from, true), back;
        if (at == CRIER_NEVER)
            return;
        MUST(at >= from && crier_cron_find(cron, at, true) == at);
        MUST(crier_cron_find(cron, at, false) == at);
        MUST(crier_cron_find(cron, from + (at - from) / 2, true) == at);
        back = crier_cron_find(cron, at - 1, false);
        if (back != CRIER_NEVER)
            MUST(back < from || at == from);
        if (back != CRIER_NEVER)
            MUST(back < at && crier_cron_find(cron, back + 1, true) == at);
        from = at + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), *normal = NULL, *twice = NULL;
    struct crier_cron cron = {0}, again = {0};
    struct crier_err err = {0};
    int column = 0;
    if (crier_cron_parse(text, &cron, &normal, &column, &err) == 0) {
        MUST(crier_cron_parse(normal, &again, &twice, &column, &err) == 0);
        MUST(strcmp(normal, twice) == 0);
        int64_t at = crier_cron_find(&cron, 29000000, true);
        MUST(crier_cron_find(&again, 29000000, true) == at);
        walk(&cron, 29000000);
    } else {
        MUST(err.text[0] && column >= 1 && !normal);
    }
    free(normal);
    free(twice);
    free(text);
    return 0;
}
