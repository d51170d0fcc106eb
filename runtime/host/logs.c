/* SPDX-License-Identifier: MIT */
#include "host/logs.h"

#include <stdlib.h>
#include <string.h>

#include "base/ulid.h"
#include "record/match.h"

#define FIRST_SPAN (60 * 1000)

/* --- which sink ---------------------------------------------------------------------------- */

static unsigned kinds_of(const struct crier_declared_sink *s)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "kinds");
    unsigned kinds = v->set ? 0 : s->driver->kinds;
    for (size_t i = 0; v->set && i < v->count; i++) {
        enum crier_kind kind;
        if (crier_kind_parse(v->list[i], strlen(v->list[i]), &kind))
            kinds |= 1u << kind;
    }
    return kinds;
}

static int level_of(const struct crier_declared_sink *s)
{
    const struct crier_option_value *v = crier_options_get(&s->common, "level");
    enum crier_level level;
    if (v->set && v->s && crier_level_parse(v->s, strlen(v->s), &level))
        return (int)level;
    return s->driver->level ? (int)s->driver->level : CRIER_DEBUG;
}

/* The better, the less. */
static long rank(const struct crier_declared_sink *s)
{
    static const char *const order[] = {"sql", "jsonl", "json", "csv", "memory", "redis"};
    size_t kind = 0;
    while (kind < CRIER_COUNT(order) && strcmp(order[kind], s->driver->kind) != 0)
        kind++;
    return -__builtin_popcount(kinds_of(s)) * 10000L + level_of(s) * 100L + (long)kind;
}

static struct crier_declared_sink *find(const struct crier_generation *gen, const char *name)
{
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static bool is_memory(const struct crier_declared_sink *s)
{
    return strcmp(s->driver->kind, "memory") == 0;
}

static int no_such_sink(const struct crier_generation *gen, const char *name, struct crier_err *err)
{
    const char *names[64];
    size_t n = 0;
    for (; n < gen->sinks->len && n < CRIER_COUNT(names); n++)
        names[n] = ((struct crier_declared_sink *)gen->sinks->pdata[n])->name;
    const char *near = crier_nearest(name, names, n);
    if (near)
        return crier_err_set(err, CRIER_EINVAL, "no sink is called '%s' (did you mean '%s'?)", name,
                             near);
    return crier_err_set(err, CRIER_EINVAL, "no sink is called '%s' (crier sink list names them)",
                         name);
}

int crier_logs_find(const struct crier_generation *gen, const char *name,
                    struct crier_declared_sink **out, struct crier_err *err)
{
    *out = find(gen, name);
    return *out ? 0 : no_such_sink(gen, name, err);
}

static int named(const struct crier_generation *gen, const char *name, bool stored,
                 struct crier_declared_sink **out, struct crier_err *err)
{
    struct crier_declared_sink *s;
    int rc = crier_logs_find(gen, name, &s, err);
    if (rc != 0)
        return rc;
    if (!s->driver->query)
        return crier_err_set(err, CRIER_EINVAL, "sink '%s' (%s) cannot be read%s%s", name,
                             s->driver->kind, s->driver->cannot_read ? ": " : "",
                             s->driver->cannot_read ? s->driver->cannot_read : "");
    if (stored && is_memory(s))
        return crier_err_set(err, CRIER_EINVAL,
                             "sink '%s' keeps its records in memory, and the host is not running",
                             name);
    *out = s;
    return 0;
}

int crier_logs_choose(const struct crier_generation *gen, const char *name, bool stored,
                      struct crier_declared_sink **out, struct crier_err *err)
{
    bool memory = false;
    *out = NULL;
    if (name)
        return named(gen, name, stored, out, err);
    for (guint i = 0; i < gen->sinks->len; i++) {
        struct crier_declared_sink *s = gen->sinks->pdata[i];
        memory = memory || is_memory(s);
        if (s->driver->query && !(stored && is_memory(s)) && (!*out || rank(s) < rank(*out)))
            *out = s;
    }
    if (*out)
        return 0;
    if (memory)
        return crier_err_set(err, CRIER_ECONFIG,
                             "the only sink to read is in memory, and the host is not running: "
                             "declare a crier.sink.jsonl to keep records");
    return crier_err_set(err, CRIER_ECONFIG,
                         "%s declares no sink that can be read: crier.sink.jsonl is one",
                         gen->file);
}

static const struct crier_sink_method *method_of(const struct crier_declared_sink *s,
                                                 const char *name)
{
    for (const struct crier_sink_method *m = s->driver->methods; m && m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

int crier_logs_method(const struct crier_generation *gen, const char *name, const char *method,
                      struct crier_declared_sink **out, const struct crier_sink_method **found,
                      struct crier_err *err)
{
    *found = NULL;
    if (name) {
        int rc = crier_logs_find(gen, name, out, err);
        if (rc != 0)
            return rc;
        *found = method_of(*out, method);
        return *found ? 0
                      : crier_err_set(err, CRIER_EINVAL, "sink '%s' (%s) has no %s logs", name,
                                      (*out)->driver->kind, method);
    }
    for (guint i = 0; i < gen->sinks->len && !*found; i++) {
        *out = gen->sinks->pdata[i];
        *found = method_of(*out, method);
    }
    return *found ? 0
                  : crier_err_set(err, CRIER_ECONFIG,
                                  "%s declares no sink that keeps %s logs: crier.sink.redis is one",
                                  gen->file, method);
}

/* --- a reading ----------------------------------------------------------------------------- */

void crier_logs_init(struct crier_logs *logs, json_t *request, struct crier_zone *zone, int64_t now)
{
    const json_t *lines = json_object_get(request, "lines");
    *logs = (struct crier_logs){.request = json_incref(request),
                                .zone = crier_zone_ref(zone),
                                .now = now,
                                .lines = SIZE_MAX};
    if (json_is_integer(lines) && json_integer_value(lines) >= 0)
        logs->lines = (size_t)json_integer_value(lines);
}

void crier_logs_fini(struct crier_logs *logs)
{
    json_decref(logs->request);
    crier_zone_unref(logs->zone);
}

static const char *text(const struct crier_logs *logs, const char *key)
{
    return json_string_value(json_object_get(logs->request, key));
}

static int add_text(struct crier_query *query, const char *path, enum crier_op op, const char *s,
                    struct crier_err *err)
{
    struct crier_value v = {.type = CRIER_STR, .s = {s, strlen(s)}};
    return crier_query_add(query, path, op, &v, 1, err);
}

static int add_time(const struct crier_logs *logs, struct crier_query *query, const char *key,
                    enum crier_op op, struct crier_err *err)
{
    struct crier_value v = {.type = CRIER_TIME};
    const char *s = text(logs, key);
    if (!s)
        return 0;
    if (crier_match_time(s, logs->zone, logs->now, &v.i, err) != 0)
        return crier_err_prefix(err, "--%s: ", key);
    return crier_query_add(query, "time", op, &v, 1, err);
}

static int add_level(const struct crier_logs *logs, struct crier_query *query,
                     struct crier_err *err)
{
    const char *s = text(logs, "level");
    enum crier_level level;
    if (!s)
        return 0;
    if (!crier_level_parse(s, strlen(s), &level))
        return crier_err_set(err, CRIER_EINVAL,
                             "--level: no level is called '%s' (levels are debug info warning "
                             "error critical)",
                             s);
    return add_text(query, "level", CRIER_OP_GE, s, err);
}

/* By id or by name. */
static int add_guild(const struct crier_logs *logs, struct crier_query *query,
                     struct crier_err *err)
{
    const char *guild = text(logs, "guild");
    if (!guild)
        return 0;
    int rc = crier_query_open(query, CRIER_OP_ANY, err);
    if (rc == 0)
        rc = add_text(query, "guild.id", CRIER_OP_EQ, guild, err);
    if (rc == 0)
        rc = add_text(query, "guild.name", CRIER_OP_EQ, guild, err);
    crier_query_close(query);
    return rc;
}

static int add_words(const struct crier_logs *logs, struct crier_query *query,
                     struct crier_err *err)
{
    const json_t *list = json_object_get(logs->request, "match");
    size_t n = json_array_size(list);
    const char **words = crier_calloc(n + 1, sizeof *words);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        words[i] = json_string_value(json_array_get(list, i));
        if (!words[i])
            rc = crier_err_set(err, CRIER_EINVAL, "\"match\" is no list of texts");
    }
    if (rc == 0)
        rc = crier_match_add(query, words, n, logs->zone, logs->now, err);
    free(words);
    return rc;
}

int crier_logs_match(const struct crier_logs *logs, struct crier_query **out, struct crier_err *err)
{
    struct crier_query *query = crier_query_new(logs->zone);
    const char *grep = text(logs, "grep");
    int rc = add_time(logs, query, "since", CRIER_OP_GE, err);
    if (rc == 0)
        rc = add_time(logs, query, "until", CRIER_OP_LT, err);
    if (rc == 0)
        rc = add_level(logs, query, err);
    if (rc == 0 && grep && (rc = add_text(query, "text", CRIER_OP_REGEX, grep, err)) != 0)
        crier_err_prefix(err, "--grep: ");
    if (rc == 0)
        rc = add_guild(logs, query, err);
    if (rc == 0)
        rc = add_words(logs, query, err);
    *out = rc == 0 ? query : NULL;
    if (rc != 0)
        crier_query_free(query);
    return rc;
}

static int add_after(const struct crier_logs *logs, struct crier_query *query,
                     struct crier_err *err)
{
    const char *after = *logs->last ? logs->last : text(logs, "after");
    unsigned char id[16];
    if (!after)
        return 0;
    if (!crier_ulid_parse(after, id))
        return crier_err_set(err, CRIER_EINVAL,
                             "--after: '%s' is no record's id (26 letters and digits)", after);
    return add_text(query, "id", CRIER_OP_GT, after, err);
}

/* The greatest id of a millisecond. */
static void last_of(uint64_t ms, char out[27])
{
    unsigned char id[16];
    memset(id, 0xff, sizeof id);
    for (int i = 0; i < 6; i++)
        id[i] = (unsigned char)(ms >> (40 - 8 * i));
    crier_ulid_text(id, out);
}

static int64_t ms_of(const unsigned char id[16])
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return ms;
}

/* How far the next page goes at most. */
static void set_upto(struct crier_logs *logs)
{
    unsigned char id[16];
    *logs->upto = '\0';
    if (!logs->span || !crier_ulid_parse(logs->last, id))
        return;
    if (ms_of(id) + logs->span < logs->now / 1000)
        last_of((uint64_t)(ms_of(id) + logs->span), logs->upto);
}

int crier_logs_page(struct crier_logs *logs, struct crier_query **out, struct crier_err *err)
{
    bool last = logs->lines != SIZE_MAX;
    set_upto(logs);
    int rc = crier_logs_match(logs, out, err);
    if (rc != 0)
        return rc;
    rc = add_after(logs, *out, err);
    if (rc == 0 && *logs->upto)
        rc = add_text(*out, "id", CRIER_OP_LE, logs->upto, err);
    if (rc != 0) {
        crier_query_free(*out);
        *out = NULL;
        return rc;
    }
    crier_query_order(*out, "id", last);
    if (logs->phases)
        crier_query_phases(*out);
    (*out)->limit = last ? logs->lines : logs->span ? CRIER_LOGS_PAGE : 1;
    return 0;
}

static void reverse(struct crier_record **records, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct crier_record *other = records[count - 1 - i];
        records[count - 1 - i] = records[i];
        records[i] = other;
    }
}

bool crier_logs_took(struct crier_logs *logs, struct crier_record **records, size_t count)
{
    if (logs->lines != SIZE_MAX) {
        reverse(records, count);
        return false;
    }
    if (count && (count == CRIER_LOGS_PAGE || !logs->span)) {
        /* As many as that took this long. */
        int64_t took = ms_of(crier_record_id_bytes(records[count - 1])) -
                       ms_of(crier_record_id_bytes(records[0]));
        crier_record_id(records[count - 1], logs->last);
        logs->span = count == 1 ? FIRST_SPAN : took ? took : 1;
        return true;
    }
    if (!*logs->upto)
        return false;
    memcpy(logs->last, logs->upto, sizeof logs->last);
    if (count < CRIER_LOGS_PAGE / 4)
        logs->span *= 4;
    return true;
}
