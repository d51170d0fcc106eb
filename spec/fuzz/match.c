/* SPDX-License-Identifier: MIT
 * Filters as words of a command, asked of a record. */
#include "support.h"

#include "base/duration.h"
#include "record/build.h"
#include "record/match.h"

static struct crier_record *a_record(void)
{
    static struct crier_source source;
    static struct crier_builder b;
    static struct crier_record *record;
    uint64_t seed = 1;
    if (record)
        return record;
    crier_source_init(&source, "node", false, &seed);
    crier_builder_init(&b, &source);
    crier_build_begin(&b, CRIER_KIND_TASK, CRIER_LEVEL_ERROR, 1653323295LL * CRIER_S);
    crier_build_text(&b, "Task 'x' status: 'fail'", 23);
    crier_build_ok(&b, false);
    CRIER_B_STR(&b, "task_name", "x");
    CRIER_B_NUM(&b, "runtime", 1.5);
    CRIER_B_OPEN(&b, "guild", CRIER_OBJECT);
    CRIER_B_SNOWFLAKE(&b, "id", 863071397207212052ULL);
    crier_build_close(&b);
    return record = crier_build_end(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), *save = NULL;
    const char *words[16];
    size_t n = 0;
    struct crier_err err = {0};
    static struct crier_zone *zone;
    int64_t us;
    MUST(zone || crier_zone_open("UTC", &zone, &err) == 0);
    if (crier_match_time(text, zone, 1653323295LL * CRIER_S, &us, &err) != 0)
        MUST(err.text[0]);
    for (char *w = strtok_r(text, " ", &save); w && n < 16; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    struct crier_query *query = crier_query_new(zone);
    if (crier_match_add(query, words, n, zone, 1653323295LL * CRIER_S, &err) == 0)
        crier_query_wants(query, a_record());
    else
        MUST(err.text[0]);
    crier_query_free(query);
    free(text);
    return 0;
}
