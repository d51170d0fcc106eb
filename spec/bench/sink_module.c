/* SPDX-License-Identifier: MIT
 *
 * A custom sink's module in its own Lua state and thread, from the push on the loop to the answer
 * of write: the whole way of a million records. Prints `name value unit`, tab-separated; the best
 * of five rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "records.h"
#include "script/sink_lua.h"

#define COUNT 1000000
#define ROUNDS 5

static void stop_loop(void *arg)
{
    crier_loop_stop(arg);
}

static void measure(const char *name, const char *body)
{
    struct crier_options common, options;
    struct crier_sink *sink;
    struct crier_err err = {0};
    int64_t best = INT64_MAX;
    char *path = crier_asprintf("%s/m.lua", bench_env.folder);
    FILE *f = fopen(path, "w");
    if (!f)
        exit(1);
    fprintf(f, "local n = 0\nreturn { write = function(self, records) %s return true end }\n",
            body);
    fclose(f);
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, crier_lua_sink_options, crier_lua_sink_option_count);
    ((struct crier_option_value *)crier_options_get(&common, "queue"))->i = 1 << 20;
    ((struct crier_option_value *)crier_options_get(&options, "module"))->s = crier_strdup("m");
    if (crier_sink_open(&crier_sink_module, "m", &common, &options, &bench_env, &sink, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    crier_sink_start(sink, loop);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(bench_env.clock);
        for (int i = 0; i < COUNT; i++)
            crier_sink_push(sink, made[i % RECORDS]);
        crier_sink_flush(sink, stop_loop, loop);
        crier_loop_run(loop, CRIER_NEVER);
        int64_t took = crier_clock_mono(bench_env.clock) - start;
        best = took < best ? took : best;
    }
    printf("%s\t%.0f\trecords/s\n", name, COUNT * 1e6 / (double)best);
    crier_sink_unref(sink);
    free(path);
}

int main(void)
{
    char folder[] = "/tmp/crier-bench-XXXXXX", command[64];
    if (!mkdtemp(folder))
        return 1;
    bench_env = (struct crier_sink_env){
        .clock = crier_clock_real(), .folder = folder, .state_folder = folder};
    loop = crier_loop_new(bench_env.clock);
    make_records();
    measure("sink_module_counting", "for _ in ipairs(records) do n = n + 1 end");
    measure("sink_module_reading", "for _, r in ipairs(records) do n = n + #r.text + r.count end");
    for (int i = 0; i < RECORDS; i++)
        crier_record_unref(made[i]);
    crier_loop_free(loop);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
