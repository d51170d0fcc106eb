/* SPDX-License-Identifier: MIT */
#include "sink/registry.h"

#include <string.h>

const struct crier_sink_driver *const crier_sink_drivers[] = {
    &crier_sink_console,
    &crier_sink_memory,
    &crier_sink_json,
    &crier_sink_jsonl,
    &crier_sink_csv,
    &crier_sink_redis,
    NULL,
};

const struct crier_sink_driver *crier_sink_driver_find(const char *kind)
{
    for (const struct crier_sink_driver *const *d = crier_sink_drivers; *d; d++)
        if (strcmp((*d)->kind, kind) == 0)
            return *d;
    return NULL;
}

const struct crier_option crier_sink_common_options[] = {
    {.name = "name",
     .type = CRIER_OPT_STRING,
     .help = "what the sink is called, in rules and in the state folder; default: its kind"},
    {.name = "kinds",
     .type = CRIER_OPT_STRINGS,
     .help = "kinds of records that it takes: log message task event system"},
    {.name = "level",
     .type = CRIER_OPT_ENUM,
     .choices = "debug info warning error critical",
     .help = "takes records from this level up; default debug (json: info)"},
    {.name = "queue",
     .type = CRIER_OPT_INT,
     .def = "8192",
     .min = 1,
     .max = 16777216,
     .help = "records that wait in memory at most"},
    {.name = "overflow",
     .type = CRIER_OPT_ENUM,
     .choices = "spill drop_old drop_new",
     .help = "when the queue is full: spill to disk in order (default; console: drop_old), or drop "
             "the oldest or the newest record"},
    {.name = "batch",
     .type = CRIER_OPT_INT,
     .def = "512",
     .min = 1,
     .max = 65536,
     .help = "records written at once at most (redis: 4096)"},
    {.name = "flush",
     .type = CRIER_OPT_DURATION,
     .def = "0s",
     .min = 0,
     .max = 86400000000,
     .help = "longest time that a record waits for its batch to fill"},
};
const size_t crier_sink_common_count = CRIER_COUNT(crier_sink_common_options);
