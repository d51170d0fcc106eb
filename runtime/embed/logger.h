/* SPDX-License-Identifier: MIT
 *
 * Loggers of the public interface: what a pipeline's and a host's have in common.
 *
 * A logger holds a reference to its owner, so that it may outlive the handle that the program
 * freed. Records are built on the thread that logs, with a builder of that thread.
 */
#ifndef CRIER_EMBED_LOGGER_H
#define CRIER_EMBED_LOGGER_H

#include <stdatomic.h>

#include "crier/crier.h"
#include "record/build.h"

/** What an owner does for its loggers. Constant. */
struct crier_logger_ops {
    /** [any] Log. where and text are not NULL. */
    void (*emit)(void *owner, const struct crier_logger *logger, enum crier_level level,
                 struct crier_str where, const char *text, const struct crier_value *fields,
                 size_t count);
    /** [any] A logger of the owner begins (its level is to be set) and ends; with the references
     *  that this means. */
    void (*adopt)(void *owner, struct crier_logger *logger);
    void (*forget)(void *owner, struct crier_logger *logger);
};

struct crier_logger {
    const struct crier_logger_ops *ops;
    void *owner;
    atomic_int level; /**< records from this one up; set by the owner */
    char *name;
    size_t name_len;
    struct crier_value *fields; /**< bound; what they point to is owned */
    size_t count;
    struct crier_logger *next, **link; /**< the owner's list */
};

/** [any] name NULL: "app". */
struct crier_logger *crier_logger_make(const struct crier_logger_ops *ops, void *owner,
                                       const char *name);
/** [any] This thread's builder, free for use until the caller returns. */
struct crier_builder *crier_logger_builder(void);
/** [any] A value as the program hands it in: objects and arrays are JSON text or out of a record.
 */
void crier_build_given(struct crier_builder *b, const struct crier_value *value);
/** [any] The logger's fields and the call's. */
void crier_logger_fields(struct crier_builder *b, const struct crier_logger *logger,
                         const struct crier_value *fields, size_t count);

#endif
