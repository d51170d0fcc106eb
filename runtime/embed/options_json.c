/* SPDX-License-Identifier: MIT */
#include "embed/options_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"

#define PATH_MAX_BYTES 256

/* --- places ------------------------------------------------------------------------------ */

/* Past a string whose quote stands before at. */
static const char *string_end(const char *at)
{
    while (*at && *at != '"')
        at += *at == '\\' && at[1] ? 2 : 1;
    return *at ? at + 1 : at;
}

/* Past a value; the text is valid JSON. */
static const char *value_end(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            at = string_end(at + 1);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (*at && (depth > 0 || !strchr(",}] \t\r\n", *at)));
    return at;
}

/* The key of a dotted path within the object at `at`: where it stands, or NULL. */
static const char *find_key(const char *at, const char *path)
{
    size_t len = strcspn(path, ".");
    at = strchr(at, '{');
    while (at && *at && *at != '}') {
        at += strcspn(at, "\"}");
        if (*at != '"')
            break;
        const char *key = at, *end = string_end(at + 1);
        at = end + strcspn(end, ":");
        at += *at == ':';
        at += strspn(at, " \t\r\n");
        if ((size_t)(end - key) == len + 2 && memcmp(key + 1, path, len) == 0) {
            const char *inner = path[len] && *at == '{' ? find_key(at, path + len + 1) : NULL;
            return inner ? inner : key;
        }
        at = value_end(at);
    }
    return NULL;
}

static void place(const struct crier_given *g, const char *at, int *line, int *column)
{
    *line = *column = 1;
    for (const char *p = g->text; p < at; p++) {
        if (*p == '\n')
            *line += 1;
        *column = *p == '\n' ? 1 : *column + 1;
    }
}

void crier_given_fault(struct crier_given *g, const char *path, const char *help, const char *fmt,
                       ...)
{
    char text[256];
    va_list ap;
    if (g->faults++)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (help)
        crier_err_set(g->err, CRIER_ECONFIG, "%s: %s (%s)", g->object, text, help);
    else
        crier_err_set(g->err, CRIER_ECONFIG, "%s: %s", g->object, text);
    const char *at = path && g->text ? find_key(g->text, path) : NULL;
    if (g->err && at) {
        int line, column;
        place(g, at, &line, &column);
        crier_err_at(g->err, "%s %d:%d", g->object, line, column);
    } else if (g->err) {
        crier_err_at(g->err, "%s", g->object);
    }
}

int crier_given_open(struct crier_given *g, const char *text)
{
    json_error_t error;
    g->faults = 0;
    g->text = text;
    g->root = text ? json_loads(text, JSON_REJECT_DUPLICATES, &error) : json_object();
    if (!g->root) {
        crier_err_set(g->err, CRIER_ECONFIG, "%s: not JSON: %s", g->object, error.text);
        if (g->err)
            crier_err_at(g->err, "%s %d:%d", g->object, error.line, error.column);
        return CRIER_ECONFIG;
    }
    if (!json_is_object(g->root)) {
        crier_given_fault(g, NULL, NULL, "expected a JSON object in braces");
        json_decref(g->root);
        g->root = NULL;
        return CRIER_ECONFIG;
    }
    return 0;
}

int crier_given_close(struct crier_given *g)
{
    json_decref(g->root);
    g->root = NULL;
    if (g->faults > 1 && g->err) {
        size_t len = strlen(g->err->text);
        snprintf(g->err->text + len, sizeof g->err->text - len, " (and %d more)", g->faults - 1);
    }
    return g->faults ? CRIER_ECONFIG : 0;
}

/* --- values ------------------------------------------------------------------------------ */

static const char *describe(const json_t *v, char out[80])
{
    switch (json_typeof(v)) {
    case JSON_STRING: {
        const char *s = json_string_value(v);
        snprintf(out, 80, "the string \"%.40s%s\"", s, strlen(s) > 40 ? "..." : "");
        break;
    }
    case JSON_INTEGER:
        snprintf(out, 80, "the number %" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        snprintf(out, 80, "the number %.14g", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, 80, "%s", json_is_true(v) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(out, 80, "null");
        break;
    case JSON_ARRAY:
        snprintf(out, 80, "a list");
        break;
    case JSON_OBJECT:
        snprintf(out, 80, "an object");
        break;
    }
    return out;
}

/* One option being read: its table entry under the path that the user wrote. */
struct one {
    struct crier_given *g;
    const struct crier_option *opt;
    const char *path;
};

static bool wrong_type(const struct one *o, const json_t *v, const char *wanted)
{
    char got[80];
    crier_given_fault(o->g, o->path, NULL, "option '%s' must be %s, got %s", o->path, wanted,
                      describe(v, got));
    return false;
}

static const char *bound_text(const struct crier_option *opt, int64_t v, char out[48])
{
    if (opt->type == CRIER_OPT_DURATION)
        return crier_duration_text(v, out);
    if (opt->type == CRIER_OPT_SIZE && v && v % (1 << 20) == 0)
        snprintf(out, 48, "%lldMiB", (long long)v >> 20);
    else if (opt->type == CRIER_OPT_SIZE && v && v % 1024 == 0)
        snprintf(out, 48, "%lldKiB", (long long)v >> 10);
    else
        snprintf(out, 48, "%lld", (long long)v);
    return out;
}

static bool in_bounds(const struct one *o, int64_t v)
{
    const struct crier_option *opt = o->opt;
    if ((!opt->min && !opt->max) || (v >= opt->min && (!opt->max || v <= opt->max)))
        return true;
    char lo[48], hi[48], got[48];
    crier_given_fault(o->g, o->path, NULL, "option '%s' must be at least %s%s%s, got %s", o->path,
                      bound_text(opt, opt->min, lo), opt->max ? " and at most " : "",
                      opt->max ? bound_text(opt, opt->max, hi) : "", bound_text(opt, v, got));
    return false;
}

/* The words that spaces separate, in `words`, which is cut up. */
static size_t split(char *words, const char *names[32])
{
    char *save = NULL;
    size_t n = 0;
    for (char *w = strtok_r(words, " ", &save); w && n < 32; w = strtok_r(NULL, " ", &save))
        names[n++] = w;
    return n;
}

static bool read_enum(const struct one *o, const json_t *v, struct crier_option_value *out)
{
    char wanted[200], help[80];
    const char *s = json_string_value(v), *names[32];
    crier_option_type_text(o->opt, wanted, sizeof wanted);
    if (!s)
        return wrong_type(o, v, wanted);
    char *words = crier_strdup(o->opt->choices);
    size_t n = split(words, names), i = 0;
    while (i < n && strcmp(names[i], s) != 0)
        i++;
    if (i < n) {
        free(out->s);
        out->s = crier_strdup(s);
        out->i = (int64_t)i;
    } else {
        const char *near = crier_nearest(s, names, n);
        snprintf(help, sizeof help, "did you mean \"%s\"?", near ? near : "");
        crier_given_fault(o->g, o->path, near ? help : NULL,
                          "option '%s' must be %s, got \"%.40s\"", o->path, wanted, s);
    }
    free(words);
    return i < n;
}

static bool read_strings(const struct one *o, const json_t *v, struct crier_option_value *out)
{
    size_t n = json_is_string(v) ? 1 : json_array_size(v);
    if (!json_is_string(v) && !json_is_array(v))
        return wrong_type(o, v, "a string or a list of strings");
    crier_option_value_fini(out);
    out->list = crier_calloc(n ? n : 1, sizeof *out->list);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_string(v) ? v : json_array_get(v, i);
        if (!json_is_string(item))
            return wrong_type(o, item, "a list of strings");
        out->list[out->count++] = crier_strdup(json_string_value(item));
    }
    return true;
}

static bool read_snowflake(const struct one *o, const json_t *v, uint64_t *out)
{
    const char *s = json_string_value(v);
    char *end = NULL;
    if (json_is_integer(v) && json_integer_value(v) > 0) {
        *out = (uint64_t)json_integer_value(v);
        return true;
    }
    errno = 0;
    unsigned long long id = s && *s >= '0' && *s <= '9' ? strtoull(s, &end, 10) : 0;
    if (!id || errno || *end || id > INT64_MAX)
        return wrong_type(o, v, "a snowflake such as \"863071397207212052\"");
    *out = id;
    return true;
}

static bool read_snowflakes(const struct one *o, const json_t *v, struct crier_option_value *out)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    crier_option_value_fini(out);
    out->ids = crier_calloc(n ? n : 1, sizeof *out->ids);
    for (; out->count < n; out->count++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, out->count) : v;
        if (!read_snowflake(o, item, &out->ids[out->count]))
            return false;
    }
    return true;
}

/* A duration or a size: a number of the unit, or text. */
static bool read_measure(const struct one *o, const json_t *v, int64_t *out)
{
    struct crier_err err = {0};
    const char *s = json_string_value(v);
    bool size = o->opt->type == CRIER_OPT_SIZE;
    int rc = 0;
    if (size && json_is_integer(v))
        *out = json_integer_value(v);
    else if (size && s)
        rc = crier_size_parse(s, out, &err);
    else if (!size && json_is_number(v))
        rc = crier_duration_from_seconds(json_number_value(v), out, &err);
    else if (!size && s)
        rc = crier_duration_parse(s, out, &err);
    else
        return wrong_type(
            o, v, size ? "a size such as \"64MiB\"" : "a duration such as \"10s\" or \"1m30s\"");
    if (rc != 0)
        crier_given_fault(o->g, o->path, NULL, "option '%s': %s", o->path, err.text);
    return rc == 0 && in_bounds(o, *out);
}

static bool read_text(const struct one *o, const json_t *v, struct crier_option_value *out)
{
    const char *s = json_string_value(v);
    bool path = o->opt->type == CRIER_OPT_PATH;
    if (!s || (path && !*s))
        return wrong_type(o, v, path ? "a path" : "a string");
    free(out->s);
    out->s = path ? crier_path_join(o->g->folder, s) : crier_strdup(s);
    return true;
}

static bool read_value(const struct one *o, const json_t *v, struct crier_option_value *out)
{
    switch (o->opt->type) {
    case CRIER_OPT_STRING:
    case CRIER_OPT_PATH:
    case CRIER_OPT_SECRET:
        return read_text(o, v, out);
    case CRIER_OPT_BOOL:
        if (!json_is_boolean(v))
            return wrong_type(o, v, "true or false");
        out->i = json_is_true(v);
        return true;
    case CRIER_OPT_INT:
        if (!json_is_integer(v))
            return wrong_type(o, v, "an integer");
        out->i = json_integer_value(v);
        return in_bounds(o, out->i);
    case CRIER_OPT_NUMBER:
        if (!json_is_number(v))
            return wrong_type(o, v, "a number");
        out->n = json_number_value(v);
        return true;
    case CRIER_OPT_DURATION:
    case CRIER_OPT_SIZE:
        return read_measure(o, v, &out->i);
    case CRIER_OPT_ENUM:
        return read_enum(o, v, out);
    case CRIER_OPT_STRINGS:
        return read_strings(o, v, out);
    case CRIER_OPT_SNOWFLAKE: {
        uint64_t id = 0;
        bool ok = read_snowflake(o, v, &id);
        out->i = (int64_t)id;
        return ok;
    }
    case CRIER_OPT_SNOWFLAKES:
        return read_snowflakes(o, v, out);
    case CRIER_OPT_FUNCTION:
        crier_given_fault(o->g, o->path, NULL, "option '%s' is for Lua functions", o->path);
        return false;
    case CRIER_OPT_OBJECT:
        if (!json_is_object(v))
            return wrong_type(o, v, "an object");
        out->s = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
        return true;
    }
    return false;
}

/* --- tables ------------------------------------------------------------------------------ */

/* The options at one level have this prefix ("common.") and no further dot. */
static bool at_level(const struct crier_option *opt, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(opt->name, prefix, len) == 0 && !strchr(opt->name + len, '.');
}

static bool has_inner(const struct crier_options *o, const char *prefix)
{
    for (size_t i = 0; i < o->count; i++) {
        if (strncmp(o->table[i].name, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

/* Returns the index of the option that was most likely meant; SIZE_MAX: none. */
static size_t unknown_key(struct crier_given *g, const struct crier_options *o, const char *prefix,
                          const char *key)
{
    const char *names[96] = {NULL}, *near;
    char path[PATH_MAX_BYTES], help[512];
    size_t n = 0, at[96];
    for (size_t i = 0; i < o->count && n < CRIER_COUNT(names); i++) {
        if (!at_level(&o->table[i], prefix))
            continue;
        at[n] = i;
        names[n++] = o->table[i].name + strlen(prefix);
    }
    near = crier_nearest(key, names, n);
    if (near) {
        snprintf(help, sizeof help, "did you mean '%s'?", near);
    } else {
        size_t len = (size_t)snprintf(help, sizeof help, "known: ");
        for (size_t i = 0; i < n && len < sizeof help; i++)
            len += (size_t)snprintf(help + len, sizeof help - len, "%s%s", i ? ", " : "", names[i]);
    }
    snprintf(path, sizeof path, "%s%s", prefix, key);
    crier_given_fault(g, path, help, "unknown option '%.60s'", key);
    for (size_t i = 0; near && i < n; i++) {
        if (names[i] == near)
            return at[i];
    }
    return SIZE_MAX;
}

static void read_level(struct crier_given *g, json_t *object, const char *prefix,
                       struct crier_options *out, bool *meant)
{
    const char *key;
    json_t *v;
    json_object_foreach(object, key, v)
    {
        char path[PATH_MAX_BYTES], inner[PATH_MAX_BYTES + 1];
        size_t i = 0;
        snprintf(path, sizeof path, "%s%s", prefix, key);
        snprintf(inner, sizeof inner, "%s.", path);
        while (i < out->count &&
               !(strcmp(out->table[i].name, path) == 0 && at_level(&out->table[i], prefix)))
            i++;
        if (i == out->count) {
            size_t near = unknown_key(g, out, prefix, key);
            if (near != SIZE_MAX)
                meant[near] = true;
            continue;
        }
        struct one one = {.g = g, .opt = &out->table[i], .path = path};
        struct crier_option_value *value = &out->values[i];
        if ((one.opt->flags & CRIER_OPT_OR_FALSE) && json_is_false(v))
            value->off = value->set = true;
        else if (one.opt->type == CRIER_OPT_OBJECT && has_inner(out, inner) && json_is_object(v))
            read_level(g, v, inner, out, meant), value->set = true;
        else if (one.opt->type == CRIER_OPT_OBJECT && has_inner(out, inner))
            wrong_type(&one, v, "an object");
        else
            value->set = read_value(&one, v, value);
    }
}

void crier_given_options(struct crier_given *g, const struct crier_option *table, size_t count,
                         struct crier_options *out)
{
    bool *meant = crier_calloc(count + 1, sizeof *meant);
    crier_options_init(out, table, count);
    read_level(g, g->root, "", out, meant);
    for (size_t i = 0; i < count; i++) {
        bool there = out->values[i].set || meant[i] || json_object_get(g->root, table[i].name);
        if ((table[i].flags & CRIER_OPT_REQUIRED) && !there && !strchr(table[i].name, '.'))
            crier_given_fault(g, NULL, table[i].help, "option '%s' is missing", table[i].name);
    }
    free(meant);
}

/* --- matches ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum crier_op op;
} operators[] = {
    {"eq", CRIER_OP_EQ},       {"ne", CRIER_OP_NE},         {"gt", CRIER_OP_GT},
    {"ge", CRIER_OP_GE},       {"lt", CRIER_OP_LT},         {"le", CRIER_OP_LE},
    {"range", CRIER_OP_RANGE}, {"one_of", CRIER_OP_ONE_OF}, {"like", CRIER_OP_LIKE},
    {"since", CRIER_OP_GE},    {"regex", CRIER_OP_REGEX},   {"any", CRIER_OP_ANY},
    {"all", CRIER_OP_ALL},     {"no", CRIER_OP_NO},
};

static bool is_group(enum crier_op op)
{
    return op == CRIER_OP_ANY || op == CRIER_OP_ALL || op == CRIER_OP_NO;
}

struct matching {
    struct crier_given *g;
    struct crier_query *q;
    const char *member; /* for places */
};

static void read_match(struct matching *m, const json_t *object);

static bool to_value(const json_t *v, struct crier_value *out)
{
    *out = (struct crier_value){.type = CRIER_NULL};
    switch (json_typeof(v)) {
    case JSON_NULL:
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        out->type = json_is_true(v) ? CRIER_TRUE : CRIER_FALSE;
        return true;
    case JSON_INTEGER:
        out->type = CRIER_INT;
        out->i = json_integer_value(v);
        return true;
    case JSON_REAL:
        out->type = CRIER_NUM;
        out->n = json_real_value(v);
        return true;
    case JSON_STRING:
        out->type = CRIER_STR;
        out->s = (struct crier_str){json_string_value(v), json_string_length(v)};
        return true;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return false;
    }
    return false;
}

/* A kind or level that there is not would match nothing, in silence. */
static bool check_word(struct matching *m, const char *path, enum crier_op op,
                       const struct crier_value *v)
{
    const char *kinds[CRIER_KIND_COUNT];
    static const char *const levels[] = {"debug", "info", "warning", "error", "critical"};
    enum crier_kind kind;
    enum crier_level level;
    bool is_kind = strcmp(path, "kind") == 0;
    if (v->type != CRIER_STR || op == CRIER_OP_LIKE || (!is_kind && strcmp(path, "level") != 0))
        return true;
    if (is_kind ? crier_kind_parse(v->s.data, v->s.len, &kind)
                : crier_level_parse(v->s.data, v->s.len, &level))
        return true;
    for (int i = 0; i < CRIER_KIND_COUNT; i++)
        kinds[i] = crier_kind_name((enum crier_kind)i);
    const char *near = is_kind ? crier_nearest(v->s.data, kinds, CRIER_KIND_COUNT)
                               : crier_nearest(v->s.data, levels, CRIER_COUNT(levels));
    char help[64];
    snprintf(help, sizeof help, "did you mean \"%s\"?", near ? near : "");
    crier_given_fault(m->g, m->member, near ? help : NULL, "there is no %s \"%.40s\"", path,
                      v->s.data);
    return false;
}

static void add(struct matching *m, const char *path, enum crier_op op, const json_t *operand)
{
    size_t n = json_is_array(operand) ? json_array_size(operand) : 1;
    struct crier_value *values = crier_calloc(n + 1, sizeof *values);
    struct crier_err err = {0};
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(operand) ? json_array_get(operand, i) : operand;
        if (!to_value(v, &values[i])) {
            crier_given_fault(m->g, m->member, NULL,
                              "'%s': a value is a string, a number, true, false or null", path);
            goto out;
        }
        if (!check_word(m, path, op, &values[i]))
            goto out;
    }
    if (crier_query_add(m->q, path, op, values, n, &err) != 0)
        crier_given_fault(m->g, m->member, NULL, "'%s': %s", path, err.text);
out:
    free(values);
}

static void add_since(struct matching *m, const char *path, const json_t *v)
{
    struct crier_err err = {0};
    int64_t ago = 0;
    if (!json_is_string(v) || crier_duration_parse(json_string_value(v), &ago, &err) != 0) {
        crier_given_fault(m->g, m->member, NULL, "'%s': since takes a duration such as \"1h\"%s%s",
                          path, err.code ? ": " : "", err.text);
        return;
    }
    struct crier_value from = {.type = CRIER_TIME, .i = m->g->now - ago};
    if (crier_query_add(m->q, path, CRIER_OP_GE, &from, 1, &err) != 0)
        crier_given_fault(m->g, m->member, NULL, "'%s': %s", path, err.text);
}

static size_t find_operator(struct matching *m, const char *path, const char *name)
{
    const char *names[CRIER_COUNT(operators)];
    char help[64];
    for (size_t i = 0; i < CRIER_COUNT(operators); i++) {
        names[i] = operators[i].name;
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    const char *near = crier_nearest(name, names, CRIER_COUNT(names));
    snprintf(help, sizeof help, "did you mean '%s'?", near ? near : "eq");
    crier_given_fault(m->g, m->member, near ? help : NULL, "'%s': unknown operator '%.40s'", path,
                      name);
    return SIZE_MAX;
}

/* {"ge": 5, "lt": 9}: all of them hold. */
static void read_operators(struct matching *m, const char *path, const json_t *object)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)object, name, v)
    {
        size_t i = find_operator(m, path, name);
        if (i == SIZE_MAX)
            continue;
        if (strcmp(name, "since") == 0)
            add_since(m, path, v);
        else if (is_group(operators[i].op))
            crier_given_fault(m->g, m->member, NULL,
                              "'%s': %s takes a list of matches, not a field", path, name);
        else
            add(m, path, operators[i].op, v);
    }
}

static void read_group(struct matching *m, enum crier_op op, const char *name, const json_t *list)
{
    struct crier_err err = {0};
    if (!json_is_array(list) || crier_query_open(m->q, op, &err) != 0) {
        crier_given_fault(m->g, m->member, NULL, "'%s' %s", name,
                          err.code ? err.text : "takes a list of matches");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_object(item)) {
            crier_given_fault(m->g, m->member, NULL, "'%s' takes a list of matches", name);
        } else if (crier_query_open(m->q, CRIER_OP_ALL, &err) == 0) {
            read_match(m, item);
            crier_query_close(m->q);
        } else {
            crier_given_fault(m->g, m->member, NULL, "'%s': %s", name, err.text);
        }
    }
    crier_query_close(m->q);
}

static void read_match(struct matching *m, const json_t *object)
{
    const char *path;
    json_t *v;
    json_object_foreach((json_t *)object, path, v)
    {
        if (strcmp(path, "any") == 0)
            read_group(m, CRIER_OP_ANY, path, v);
        else if (strcmp(path, "all") == 0)
            read_group(m, CRIER_OP_ALL, path, v);
        else if (strcmp(path, "no") == 0)
            read_group(m, CRIER_OP_NO, path, v);
        else if (json_is_object(v))
            read_operators(m, path, v);
        else
            add(m, path, json_is_array(v) ? CRIER_OP_ONE_OF : CRIER_OP_EQ, v);
    }
}

struct crier_query *crier_given_match(struct crier_given *g, const char *member)
{
    const json_t *object = json_object_get(g->root, member);
    struct matching m = {.g = g, .member = member};
    int before = g->faults;
    if (!json_is_object(object))
        return NULL; /* nothing is given, or that has been said */
    m.q = crier_query_new(g->zone);
    read_match(&m, object);
    if (g->faults > before) {
        crier_query_free(m.q);
        m.q = NULL;
    }
    return m.q;
}
