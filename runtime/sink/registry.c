/* SPDX-License-Identifier: MIT */
#include "sink/registry.h"

#include <string.h>

enum { KINDS_MAX = 32 };

const struct crier_sink_driver *crier_sink_drivers[KINDS_MAX + 1] = {
    &crier_sink_console,
    &crier_sink_memory,
    &crier_sink_json,
    &crier_sink_jsonl,
    &crier_sink_csv,
    &crier_sink_redis,
    &crier_sink_native,
    &crier_sink_sql,
    NULL,
};

int crier_sink_driver_add(const struct crier_sink_driver *driver, struct crier_err *err)
{
    size_t n = 0;
    if (crier_sink_driver_find(driver->kind))
        return crier_err_set(err, CRIER_EEXIST, "there is a sink kind '%s' already", driver->kind);
    while (crier_sink_drivers[n])
        n++;
    if (n == KINDS_MAX)
        return crier_err_set(err, CRIER_ELIMIT, "there are %d sink kinds at most", KINDS_MAX);
    crier_sink_drivers[n] = driver;
    return CRIER_OK;
}

const struct crier_sink_driver *crier_sink_driver_find(const char *kind)
{
    for (const struct crier_sink_driver **d = crier_sink_drivers; *d; d++)
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
     .help = "kinds of records that it takes: log message task event system invite"},
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
     .choices = "spill block drop_old drop_new",
     .help = "when the queue is full: spill to disk in order (default; console: drop_old), let the "
             "callback that logs wait, or drop the oldest or the newest record"},
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
    {.name = "durable",
     .type = CRIER_OPT_BOOL,
     .help = "each record is in a file before the logging call returns, so that even a kill loses "
             "nothing; default false (redis and sql: true)"},
    {.name = "sync",
     .type = CRIER_OPT_DURATION,
     .flags = CRIER_OPT_OR_FALSE,
     .def = "1s",
     .min = 10000,
     .max = 86400000000,
     .help = "how often what waits on disk is made safe against a power failure"},
    {.name = "spool",
     .type = CRIER_OPT_SIZE,
     .def = "1GiB",
     .min = 65536,
     .max = INT64_C(1) << 50,
     .help = "what waits on disk at most; beyond that the oldest records are dropped"},
    {.name = "retry",
     .type = CRIER_OPT_OBJECT,
     .type_name = "crier.Retry",
     .help = "when a write fails: retry = { times = 5, delay = \"1m\" }"},
    {.name = "retry.times",
     .type = CRIER_OPT_INT,
     .def = "5",
     .min = 1,
     .max = 1000000,
     .help = "failures in a row after which the sink is down"},
    {.name = "retry.delay",
     .type = CRIER_OPT_DURATION,
     .min = 1000,
     .max = 86400000000,
     .help = "pause between two tries; default: 100 ms, doubling up to 30 s"},
    {.name = "fallback",
     .type = CRIER_OPT_OBJECT,
     .type_name = "crier.Sink|string",
     .help = "the sink, or the name of it, that gets a copy of each record while this one is down"},
};
const size_t crier_sink_common_count = CRIER_COUNT(crier_sink_common_options);
