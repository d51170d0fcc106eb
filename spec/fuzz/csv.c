/* SPDX-License-Identifier: MIT
 * A csv log that anyone may have edited: it is opened, read back, and taken up. */
#include "support.h"

#include "base/duration.h"
#include "record/query.h"
#include "sink/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_zone *zone;
    static struct crier_sink_env env;
    struct crier_err err = {0};
    struct crier_options options;
    struct crier_record **hits = NULL;
    size_t count = 0;
    void *self = NULL;
    if (!zone) {
        MUST(crier_zone_open("UTC", &zone, &err) == 0);
        env = (struct crier_sink_env){.clock = crier_clock_virtual(1774742400LL * CRIER_S),
                                      .zone = zone,
                                      .folder = scratch(),
                                      .state_folder = scratch()};
    }
    char *path = crier_path_join(scratch(), "log.csv");
    put_file(path, data, size);
    crier_options_init(&options, crier_sink_csv.options, crier_sink_csv.option_count);
    struct crier_option_value *v = (void *)crier_options_get(&options, "path");
    free(v->s);
    v->s = crier_strdup("log.csv");
    v->set = true;
    if (crier_sink_csv.open(&env, &options, "log", &self, &err) == 0) {
        struct crier_query *query = crier_query_new(zone);
        if (crier_sink_csv.query(self, query, &hits, &count, &err) == 0) {
            for (size_t i = 0; i < count; i++) {
                crier_record_json(hits[i]);
                crier_record_unref(hits[i]);
            }
            free(hits);
        }
        crier_query_free(query);
        crier_sink_csv.close(self);
    }
    crier_options_fini(&options);
    free(path);
    empty_folder(scratch());
    return 0;
}
