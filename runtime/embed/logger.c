/* SPDX-License-Identifier: MIT */
#include "embed/logger.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- a builder a thread ------------------------------------------------------------------ */

static pthread_key_t builder_key;
static pthread_once_t builder_once = PTHREAD_ONCE_INIT;
static _Thread_local struct crier_builder *my_builder;

static void free_builder(void *builder)
{
    crier_builder_fini(builder);
    free(builder);
}

static void make_key(void)
{
    if (pthread_key_create(&builder_key, free_builder) != 0)
        abort();
}

struct crier_builder *crier_logger_builder(void)
{
    if (!my_builder) {
        pthread_once(&builder_once, make_key);
        my_builder = crier_calloc(1, sizeof *my_builder);
        crier_builder_init(my_builder, NULL);
        pthread_setspecific(builder_key, my_builder);
    }
    return my_builder;
}

/* --- values ------------------------------------------------------------------------------ */

static bool is_container(const struct crier_value *v)
{
    return v->type == CRIER_OBJECT || v->type == CRIER_ARRAY;
}

static bool is_replaced(struct crier_str key, const struct crier_value *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].key.len == key.len && memcmp(fields[i].key.data, key.data, key.len) == 0)
            return true;
    }
    return false;
}

void crier_logger_fields(struct crier_builder *b, const struct crier_logger *logger,
                         const struct crier_value *fields, size_t count)
{
    for (size_t i = 0; i < logger->count; i++) {
        if (!is_replaced(logger->fields[i].key, fields, count))
            crier_build_given(b, &logger->fields[i]);
    }
    for (size_t i = 0; i < count; i++)
        crier_build_given(b, &fields[i]);
}

/* --- loggers ----------------------------------------------------------------------------- */

static struct crier_str copy_str(struct crier_str s)
{
    return (struct crier_str){crier_strndup(s.len ? s.data : "", s.len), s.len};
}

static void free_value(struct crier_value *v)
{
    free((char *)v->key.data);
    if (v->type == CRIER_STR || is_container(v))
        free((char *)v->s.data);
}

static void bind(struct crier_logger *logger, const struct crier_value *value)
{
    struct crier_value *v = &logger->fields[logger->count++];
    *v = *value;
    v->key = copy_str(v->key);
    if (v->type == CRIER_STR || is_container(v))
        v->s = copy_str(v->s);
}

struct crier_logger *crier_logger_make(const struct crier_logger_ops *ops, void *owner,
                                       const char *name)
{
    struct crier_logger *logger = crier_calloc(1, sizeof *logger);
    logger->ops = ops;
    logger->owner = owner;
    logger->name = crier_strdup(name && *name ? name : "app");
    logger->name_len = strlen(logger->name);
    ops->adopt(owner, logger);
    return logger;
}

struct crier_logger *crier_logger_with(const struct crier_logger *parent, const char *name,
                                       const struct crier_value *fields, size_t count)
{
    char *full = name && *name ? crier_asprintf("%s.%s", parent->name, name) : NULL;
    struct crier_logger *logger =
        crier_logger_make(parent->ops, parent->owner, full ? full : parent->name);
    free(full);
    logger->fields = crier_calloc(parent->count + count + 1, sizeof *logger->fields);
    for (size_t i = 0; i < parent->count; i++) {
        if (!is_replaced(parent->fields[i].key, fields, count))
            bind(logger, &parent->fields[i]);
    }
    for (size_t i = 0; i < count; i++)
        bind(logger, &fields[i]);
    return logger;
}

void crier_logger_free(struct crier_logger *logger)
{
    if (!logger)
        return;
    logger->ops->forget(logger->owner, logger);
    for (size_t i = 0; i < logger->count; i++)
        free_value(&logger->fields[i]);
    free(logger->fields);
    free(logger->name);
    free(logger);
}

static bool is_on(const struct crier_logger *logger, enum crier_level level)
{
    return (int)level >= atomic_load_explicit(&logger->level, memory_order_relaxed);
}

bool crier_logger_enabled(const struct crier_logger *logger, enum crier_level level)
{
    return is_on(logger, level);
}

void crier_log(const struct crier_logger *logger, enum crier_level level, const char *where,
               const char *text, const struct crier_value *fields, size_t count)
{
    if (!is_on(logger, level))
        return;
    struct crier_str place = {"", 0};
    if (where) {
        place = (struct crier_str){where, strlen(where)};
        const char *slash = memrchr(where, '/', place.len);
        if (slash) {
            place.len -= (size_t)(slash + 1 - where);
            place.data = slash + 1;
        }
    }
    logger->ops->emit(logger->owner, logger, level, place, text ? text : "", fields, count);
}
