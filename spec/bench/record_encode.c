/* SPDX-License-Identifier: MIT
 *
 * What a record costs: building it (five fields, about 300 bytes of JSON), encoding it, matching
 * it, reading its JSON back. Prints `name value unit`, tab-separated; the best of five rounds.
 */
#include <stdio.h>
#include <string.h>

#include "record/build.h"
#include "record/query.h"
#include "record/scan.h"

#define COUNT 200000
#define ROUNDS 5
#define LIT(s) (s), sizeof(s) - 1

static struct crier_record *build(struct crier_builder *b, int i)
{
    crier_build_begin(b, CRIER_KIND_LOG, CRIER_INFO, 1763764270123456 + i * 37);
    crier_build_logger(b, LIT("bot.gallery"));
    crier_build_text(b, LIT("the roll went round and the third picture is shown"));
    crier_build_where(b, LIT("bot.lua:14"));
    crier_build_str(b, LIT("user"), LIT("somebody with a name"));
    crier_build_int(b, LIT("count"), i);
    crier_build_num(b, LIT("runtime"), 0.125 + i);
    crier_build_snowflake(b, LIT("channel"), 978332728615378984u);
    crier_build_bool(b, LIT("cached"), true);
    return crier_build_end(b);
}

static double report(const char *name, int64_t best, double unit, const char *label)
{
    printf("%s\t%.4g\t%s\n", name, (double)best / unit, label);
    return (double)best;
}

static int64_t since(int64_t start, int64_t best)
{
    int64_t took = crier_clock_mono(crier_clock_real()) - start;
    return took < best ? took : best;
}

int main(void)
{
    struct crier_source source;
    struct crier_builder b;
    int64_t built = INT64_MAX, both = INT64_MAX, matched = INT64_MAX, scanned = INT64_MAX;
    size_t bytes = 0, hits = 0, events = 0;

    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
    struct crier_query *q = crier_query_new(NULL);
    struct crier_value big = {.type = CRIER_INT, .i = 1000};
    struct crier_value kind = {.type = CRIER_STR, .s = {"log", 3}};
    if (crier_query_add(q, "kind", CRIER_OP_EQ, &kind, 1, NULL) ||
        crier_query_add(q, "count", CRIER_OP_GE, &big, 1, NULL))
        return 1;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(crier_clock_real());
        for (int i = 0; i < COUNT; i++)
            crier_record_unref(build(&b, i));
        built = since(start, built);

        start = crier_clock_mono(crier_clock_real());
        for (int i = 0; i < COUNT; i++) {
            struct crier_record *r = build(&b, i);
            bytes += crier_record_json(r).len;
            crier_record_unref(r);
        }
        both = since(start, both);

        struct crier_record *r = build(&b, 5000);
        start = crier_clock_mono(crier_clock_real());
        for (int i = 0; i < COUNT; i++)
            hits += crier_query_match(q, r);
        matched = since(start, matched);

        struct crier_str json = crier_record_json(r);
        start = crier_clock_mono(crier_clock_real());
        for (int i = 0; i < COUNT; i++) {
            struct crier_scan scan;
            crier_scan_init(&scan, json.data, json.len);
            while (crier_scan_next(&scan) > CRIER_SCAN_END)
                events++;
            crier_scan_fini(&scan);
        }
        scanned = since(start, scanned);
        if (round == ROUNDS - 1)
            printf("record_json_size\t%zu\tbytes\n", json.len);
        crier_record_unref(r);
    }
    report("record_build", built, COUNT, "us");
    double us = report("record_build_encode", both, COUNT, "us");
    printf("record_build_encode_rate\t%.4g\trecords/s\n", COUNT / us * 1e6);
    printf("record_encode_throughput\t%.4g\tMB/s\n", (double)bytes / ROUNDS / us);
    report("record_match_two_conditions", matched, COUNT, "us");
    report("record_scan", scanned, COUNT, "us");

    crier_query_free(q);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    return hits == (size_t)COUNT * ROUNDS && events ? 0 : 1;
}
