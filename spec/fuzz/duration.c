/* SPDX-License-Identifier: MIT
 * Durations, sizes, date-times: what is read can be written and read again. */
#include "support.h"

#include "base/duration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), out[48];
    struct crier_err err = {0};
    static struct crier_zone *zone;
    int64_t us, again;
    if (crier_duration_parse(text, &us, &err) == 0) {
        MUST(us >= 0);
        MUST(crier_duration_parse(crier_duration_text(us, out), &again, &err) == 0 && again == us);
    }
    if (crier_size_parse(text, &us, &err) == 0)
        MUST(us >= 0);
    if (zone || crier_zone_open("Europe/Ljubljana", &zone, &err) == 0) {
        if (crier_datetime_parse(text, zone, &us, &err) == 0) {
            char stamp[32];
            crier_time_rfc3339(us, stamp);
        }
    }
    free(text);
    return 0;
}
