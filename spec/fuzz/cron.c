/* SPDX-License-Identifier: MIT
 * Cron expressions: the text that is given back means the same, and a minute that is found is one. */
#include "support.h"

#include "base/clock.h"
#include "sched/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), *normal = NULL, *twice = NULL;
    struct crier_cron cron = {0}, again = {0};
    struct crier_err err = {0};
    int column;
    if (crier_cron_parse(text, &cron, &normal, &column, &err) == 0) {
        MUST(crier_cron_parse(normal, &again, &twice, &column, &err) == 0);
        MUST(strcmp(normal, twice) == 0);
        int64_t at = crier_cron_find(&cron, 29000000, true);
        if (at != CRIER_NEVER) {
            MUST(at >= 29000000 && crier_cron_find(&again, at, true) == at);
            MUST(crier_cron_find(&cron, at, false) == at);
        }
    }
    free(normal);
    free(twice);
    free(text);
    return 0;
}
