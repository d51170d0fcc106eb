/* SPDX-License-Identifier: MIT */
#include "base/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/json.h"

/* --- defaults ------------------------------------------------------------------------------ */

static void bug(const char *name, const char *what)
{
    fprintf(stderr, "crier: bug: option '%s': %s\n", name, what);
    abort();
}

/* The next word of a list that spaces separate; NULL at its end. */
static const char *next_word(const char **at, size_t *len)
{
    const char *word = *at + strspn(*at, " ");
    *len = strcspn(word, " ");
    *at = word + *len;
    return *len ? word : NULL;
}

static bool parse_choice(const struct crier_option *opt, struct crier_option_value *v)
{
    const char *at = opt->choices, *word;
    size_t len;
    for (int64_t i = 0; (word = next_word(&at, &len)); i++) {
        if (strlen(opt->def) == len && memcmp(word, opt->def, len) == 0) {
            v->i = i;
            v->s = crier_strdup(opt->def);
            return true;
        }
    }
    return false;
}

static bool parse_default(const struct crier_option *opt, struct crier_option_value *v)
{
    const char *def = opt->def;
    char *end = NULL;
    if ((opt->flags & CRIER_OPT_OR_FALSE) && strcmp(def, "false") == 0) {
        v->off = true;
        return true;
    }
    switch (opt->type) {
    case CRIER_OPT_STRING:
    case CRIER_OPT_PATH:
    case CRIER_OPT_SECRET:
        v->s = crier_strdup(def);
        return true;
    case CRIER_OPT_BOOL:
        v->i = strcmp(def, "true") == 0;
        return v->i || strcmp(def, "false") == 0;
    case CRIER_OPT_INT:
        v->i = strtoll(def, &end, 10);
        return end != def && !*end;
    case CRIER_OPT_NUMBER:
        v->n = strtod(def, &end);
        return end != def && !*end;
    case CRIER_OPT_DURATION:
        return crier_duration_parse(def, &v->i, NULL) == 0;
    case CRIER_OPT_SIZE:
        return crier_size_parse(def, &v->i, NULL) == 0;
    case CRIER_OPT_ENUM:
        return parse_choice(opt, v);
    case CRIER_OPT_STRINGS:
        v->list = crier_malloc(sizeof *v->list);
        v->list[0] = crier_strdup(def);
        v->count = 1;
        return true;
    case CRIER_OPT_SNOWFLAKE:
        v->i = (int64_t)strtoull(def, &end, 10);
        return end != def && !*end;
    case CRIER_OPT_SNOWFLAKES:
        v->ids = crier_malloc(sizeof *v->ids);
        v->ids[0] = strtoull(def, &end, 10);
        v->count = 1;
        return end != def && !*end;
    case CRIER_OPT_FUNCTION:
    case CRIER_OPT_OBJECT:
        return true; /* the text is for readers only */
    }
    return false;
}

void crier_options_init(struct crier_options *o, const struct crier_option *table, size_t count)
{
    o->table = table;
    o->count = count;
    o->values = crier_calloc(count ? count : 1, sizeof *o->values);
    for (size_t i = 0; i < count; i++) {
        if (table[i].def && !parse_default(&table[i], &o->values[i]))
            bug(table[i].name, "the default does not fit its type");
    }
}

void crier_options_fini(struct crier_options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->table[i].type == CRIER_OPT_SECRET && o->values[i].s)
            explicit_bzero(o->values[i].s, strlen(o->values[i].s));
        crier_option_value_fini(&o->values[i]);
    }
    free(o->values);
    *o = (struct crier_options){0};
}

void crier_option_value_fini(struct crier_option_value *v)
{
    free(v->s);
    for (size_t i = 0; v->list && i < v->count; i++)
        free(v->list[i]);
    free(v->list);
    free(v->ids);
    *v = (struct crier_option_value){0};
}

const struct crier_option_value *crier_options_get(const struct crier_options *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->table[i].name, name) == 0)
            return &o->values[i];
    }
    bug(name, "not in the table");
    return NULL;
}

/* --- comparing ----------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(const struct crier_option *opt, const struct crier_option_value *a,
                       const struct crier_option_value *b)
{
    /* Saying what is the default anyway changes nothing. Without a default it does: a 0 that was
     * given is not the 0 of a value that was not. */
    if (!opt->def && a->set != b->set)
        return false;
    if (a->off != b->off || a->i != b->i || a->n != b->n || a->count != b->count ||
        !same_text(a->s, b->s) || !a->list != !b->list || !a->ids != !b->ids)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->list && !same_text(a->list[i], b->list[i]))
            return false;
        if (a->ids && a->ids[i] != b->ids[i])
            return false;
    }
    return true;
}

bool crier_options_equal(const struct crier_options *a, const struct crier_options *b)
{
    if (a->table != b->table || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!same_value(&a->table[i], &a->values[i], &b->values[i]))
            return false;
    }
    return true;
}

/* --- for readers --------------------------------------------------------------------------- */

static void put_bound(const struct crier_option *opt, int64_t v, struct crier_buf *b)
{
    char text[48];
    if (opt->type == CRIER_OPT_DURATION)
        crier_buf_puts(b, crier_duration_text(v, text));
    else
        crier_buf_printf(b, "%lld", (long long)v);
}

static void put_type(const struct crier_option *opt, struct crier_buf *b)
{
    static const char *const names[] = {
        [CRIER_OPT_STRING] = "string",
        [CRIER_OPT_BOOL] = "boolean",
        [CRIER_OPT_INT] = "integer",
        [CRIER_OPT_NUMBER] = "number",
        [CRIER_OPT_DURATION] = "duration",
        [CRIER_OPT_SIZE] = "size",
        [CRIER_OPT_PATH] = "path",
        [CRIER_OPT_ENUM] = "one of",
        [CRIER_OPT_STRINGS] = "string or list of strings",
        [CRIER_OPT_SNOWFLAKE] = "Discord id",
        [CRIER_OPT_SNOWFLAKES] = "Discord id or list of them",
        [CRIER_OPT_SECRET] = "secret",
        [CRIER_OPT_FUNCTION] = "function",
        [CRIER_OPT_OBJECT] = "table",
    };
    if (opt->type_name) {
        crier_buf_puts(b, opt->type_name);
        return;
    }
    crier_buf_puts(b, names[opt->type]);
    if (opt->type == CRIER_OPT_ENUM) {
        const char *at = opt->choices, *word;
        size_t len;
        for (const char *sep = " "; (word = next_word(&at, &len)); sep = ", ")
            crier_buf_printf(b, "%s%.*s", sep, (int)len, word);
    }
    if (opt->min || opt->max) {
        crier_buf_puts(b, " from ");
        put_bound(opt, opt->min, b);
        crier_buf_puts(b, opt->max > opt->min ? " to " : " up");
        if (opt->max > opt->min)
            put_bound(opt, opt->max, b);
    }
    if (opt->flags & CRIER_OPT_OR_FALSE)
        crier_buf_puts(b, " or false");
}

const char *crier_option_type_text(const struct crier_option *opt, char *out, size_t cap)
{
    struct crier_buf b = {0};
    put_type(opt, &b);
    snprintf(out, cap, "%s", b.data);
    crier_buf_fini(&b);
    return out;
}

static void help_json(const struct crier_option *opt, struct crier_buf *out)
{
    struct crier_buf type = {0};
    put_type(opt, &type);
    crier_json_open(out, '{');
    crier_json_key(out, "name");
    crier_json_str(out, opt->name);
    crier_json_key(out, "type");
    crier_json_strn(out, type.data, type.len);
    crier_json_key(out, "required");
    crier_json_bool(out, opt->flags & CRIER_OPT_REQUIRED);
    crier_json_key(out, "default");
    if (opt->def)
        crier_json_str(out, opt->def);
    else
        crier_json_null(out);
    crier_json_key(out, "help");
    crier_json_str(out, opt->help ? opt->help : "");
    crier_json_close(out, '}');
    crier_buf_fini(&type);
}

static void help_line(const struct crier_option *opt, int name_width, int type_width,
                      struct crier_buf *out)
{
    struct crier_buf type = {0};
    put_type(opt, &type);
    crier_buf_printf(out, "  %-*s  %-*s  %s", name_width, opt->name, type_width, type.data,
                     opt->help ? opt->help : "");
    if (opt->flags & CRIER_OPT_REQUIRED)
        crier_buf_puts(out, " (required)");
    else if (opt->def)
        crier_buf_printf(out, " (default %s)", opt->def);
    crier_buf_putc(out, '\n');
    crier_buf_fini(&type);
}

void crier_options_help(const struct crier_option *table, size_t count, bool json,
                        struct crier_buf *out)
{
    enum { WIDEST_TYPE = 32 };
    char type[WIDEST_TYPE + 1];
    int name_width = 0, type_width = 0;
    if (json)
        crier_json_open(out, '[');
    for (size_t i = 0; i < count; i++) {
        int name = (int)strlen(table[i].name);
        int len = (int)strlen(crier_option_type_text(&table[i], type, sizeof type));
        name_width = name > name_width ? name : name_width;
        type_width = len > type_width ? len : type_width;
    }
    for (size_t i = 0; i < count; i++) {
        if (json)
            help_json(&table[i], out);
        else
            help_line(&table[i], name_width, type_width, out);
    }
    if (json)
        crier_json_close(out, ']');
}
