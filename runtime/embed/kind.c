/* SPDX-License-Identifier: MIT
 *
 * Kinds of sinks that the program registers.
 */
#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crier/crier.h"
#include "sink/native.h"
#include "sink/registry.h"

/* A driver is not told which one it is, but its options know their table. */
struct kind {
    struct crier_option options[1];
    struct crier_sink_driver driver;
    const struct crier_sink_plugin *plugin;
    void *arg;
};

static int open_kind(const struct crier_sink_env *env, const struct crier_options *options,
                     const char *name, void **self, struct crier_err *err)
{
    const struct kind *k = CRIER_CONTAINER(options->table, struct kind, options[0]);
    return crier_native_begin(k->plugin, env, crier_options_get(options, "options")->s, name,
                              k->arg, self, err);
}

static bool is_word(const char *s)
{
    if (!isalpha((unsigned char)*s))
        return false;
    while (isalnum((unsigned char)*s) || *s == '_')
        s++;
    return !*s;
}

int crier_register_sink(const struct crier_sink_plugin *plugin, void *arg, struct crier_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int rc = crier_native_check(plugin, "the sink", err);
    if (rc != 0)
        return rc;
    if (!is_word(plugin->kind))
        return crier_err_set(err, CRIER_EINVAL,
                             "kind '%.60s': a name is letters, digits and '_', no digit first",
                             plugin->kind);
    struct kind *k = crier_calloc(1, sizeof *k);
    k->plugin = plugin;
    k->arg = arg;
    k->options[0] = (struct crier_option){
        .name = "options",
        .type = CRIER_OPT_OBJECT,
        .help = "what the sink gets when it is opened: plain data, as JSON",
    };
    k->driver = (struct crier_sink_driver){
        .kind = crier_strdup(plugin->kind),
        .help = crier_strdup(plugin->help ? plugin->help : "a sink of the program"),
        .options = k->options,
        .option_count = 1,
        .kinds = (1u << CRIER_KIND_COUNT) - 1,
        .overflow = "spill",
        .open = open_kind,
        .write = crier_native_write,
        .idle = crier_native_idle,
        .reopen = crier_native_reopen,
        .close = crier_native_close,
        .cannot_read = "what a sink of the program has stored is its own",
    };
    pthread_mutex_lock(&lock);
    rc = crier_sink_driver_add(&k->driver, err);
    pthread_mutex_unlock(&lock);
    if (rc != 0) {
        free((char *)k->driver.kind);
        free((char *)k->driver.help);
        free(k);
    }
    return rc;
}
