/* SPDX-License-Identifier: MIT */
#include <glib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "sink/registry.h"

static int dry_open(const struct crier_sink_env *env, const struct crier_options *options,
                    const char *name, void **self, struct crier_err *err)
{
    struct crier_options own;
    (void)options;
    crier_options_init(&own, crier_sink_memory.options, crier_sink_memory.option_count);
    int rc = crier_sink_memory.open(env, &own, name, self, err);
    crier_options_fini(&own);
    return rc;
}

static int dry_method(void *self, const json_t *args, json_t **result, struct crier_err *err)
{
    (void)self;
    (void)args;
    (void)result;
    return crier_err_set(err, CRIER_EDENIED, "not available in a dry run: nothing is stored");
}

static const struct crier_sink_method *dry_methods(const struct crier_sink_method *methods)
{
    size_t n = 0;
    while (methods && methods[n].name)
        n++;
    if (!n)
        return NULL;
    struct crier_sink_method *list = crier_calloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i] = methods[i];
        list[i].run = dry_method;
    }
    return list;
}

static struct crier_sink_driver *make(const struct crier_sink_driver *driver)
{
    struct crier_sink_driver *dry = crier_malloc(sizeof *dry);
    *dry = crier_sink_memory;
    dry->kind = driver->kind;
    dry->help = driver->help;
    dry->options = driver->options;
    dry->option_count = driver->option_count;
    dry->kinds = driver->kinds;
    dry->level = driver->level;
    dry->batch = driver->batch;
    dry->retry_max = driver->retry_max;
    dry->overflow = driver->overflow;
    dry->open = dry_open;
    dry->cannot_read = driver->cannot_read;
    dry->query = driver->query ? crier_sink_memory.query : NULL;
    dry->change = driver->change ? crier_sink_memory.change : NULL;
    dry->methods = dry_methods(driver->methods);
    return dry;
}

const struct crier_sink_driver *crier_sink_dry(const struct crier_sink_driver *driver)
{
    static GMutex lock;
    static GHashTable *made, *ours;
    if (driver == &crier_sink_memory)
        return driver;
    g_mutex_lock(&lock);
    if (!made) {
        made = g_hash_table_new(NULL, NULL);
        ours = g_hash_table_new(NULL, NULL);
    }
    struct crier_sink_driver *dry = g_hash_table_lookup(made, driver);
    if (!dry && g_hash_table_contains(ours, driver))
        dry = (void *)driver;
    if (!dry) {
        dry = make(driver);
        g_hash_table_insert(made, (void *)driver, dry);
        g_hash_table_add(ours, dry);
    }
    g_mutex_unlock(&lock);
    return dry;
}
