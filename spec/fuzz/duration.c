/* SPDX-License-Identifier: MIT
 * Durations, sizes, date-times: what is read can be written and read again. */
#include "support.h"

#include "base/duration.h"
#include "record/read.h"
#include "sched/condition_text.h"
#include "sched/period.h"

static void durations(const char *text)
{
    struct crier_err err = {0};
    char out[48];
    int64_t us, again;
    if (crier_duration_parse(text, &us, &err) == 0) {
        MUST(us >= 0);
        MUST(crier_duration_parse(crier_duration_text(us, out), &again, &err) == 0 && again == us);
        MUST(crier_cond_duration(out, &again, &err) == 0 && again == us);
    } else {
        MUST(err.text[0]);
    }
    if (crier_cond_duration(text, &us, &err) == 0) {
        MUST(us >= 0);
        MUST(crier_duration_parse(crier_duration_text(us, out), &again, &err) == 0 && again == us);
    }
}

static void sizes(const char *text)
{
    struct crier_err err = {0};
    char out[32];
    int64_t bytes, again;
    if (crier_size_parse(text, &bytes, &err) == 0) {
        MUST(bytes >= 0);
        snprintf(out, sizeof out, "%lld", (long long)bytes);
        MUST(crier_size_parse(out, &again, &err) == 0 && again == bytes);
    } else {
        MUST(err.text[0]);
    }
}

/* What lies before the year 1 or behind 9999 in some zone is shown as their first or last instant. */
static bool is_edge(const char *stamp)
{
    return strncmp(stamp, "0001-01-02T00:00:00.0", 21) == 0 || strncmp(stamp, "9999-12-31T00:00:00.0", 21) == 0;
}

static void dates(const char *text, size_t len, const struct crier_zone *zone)
{
    struct crier_err err = {0};
    struct crier_removal removal;
    struct crier_start start;
    char stamp[32], twice[32];
    int64_t us, again;
    if (crier_datetime_parse(text, zone, &us, &err) == 0) {
        crier_time_rfc3339(us, stamp);
        MUST(crier_datetime_parse(stamp, zone, &again, &err) == 0);
        MUST(again == us || is_edge(stamp));
        MUST(crier_time_read(stamp, strlen(stamp), &us) && again == us);
    }
    if (crier_time_read(text, len, &us)) {
        crier_time_rfc3339(us, twice);
        MUST(strlen(twice) == len && (memcmp(twice, text, len) == 0 || is_edge(twice)));
    }
    if (crier_removal_parse(text, zone, &removal, &err) == 0)
        MUST(removal.kind != CRIER_REMOVAL_NONE);
    if (crier_start_parse(text, zone, &start, &err) == 0)
        MUST(start.absolute || start.value >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_zone *zone;
    struct crier_err err = {0};
    char *text = text_of(data, size);
    MUST(zone || crier_zone_open("Europe/Ljubljana", &zone, &err) == 0);
    durations(text);
    sizes(text);
    dates(text, strlen(text), zone);
    free(text);
    return 0;
}
