/* SPDX-License-Identifier: MIT
 *
 * A sink in C behind the interface of drivers: for crier.sink.native, which finds the plugin in a
 * shared object, and for kinds that the embedding program registers.
 *
 * Thread: as sink/sink.h says of drivers.
 */
#ifndef CRIER_SINK_NATIVE_H
#define CRIER_SINK_NATIVE_H

#include "crier/sink.h"
#include "sink/sink.h"

/** Whether this build can take the plugin; `what` for messages. Looks at abi and struct_size before
 *  anything else. CRIER_EVERSION. */
CRIER_CHECK int crier_native_check(const struct crier_sink_plugin *plugin, const char *what,
                                   struct crier_err *err);
/** Open one that was checked. options: JSON, NULL for none; arg: of the program that registered it.
 * *self is for the functions below, which go into a driver as they are. */
CRIER_CHECK int crier_native_begin(const struct crier_sink_plugin *plugin,
                                   const struct crier_sink_env *env, const char *options,
                                   const char *name, void *arg, void **self, struct crier_err *err);
enum crier_verdict crier_native_write(void *self, struct crier_record *const *records, size_t count,
                                      size_t *done, struct crier_err *err);
int64_t crier_native_idle(void *self, int64_t now);
void crier_native_reopen(void *self);
void crier_native_close(void *self);

#endif
