/* SPDX-License-Identifier: MIT */
#include "record/match.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* --- times --------------------------------------------------------------------------------- */

/* The first moment of the day that `wall` is in. */
static int64_t midnight(const struct crier_zone *zone, int64_t wall)
{
    struct crier_civil c;
    int64_t out = wall;
    crier_civil_at(zone, wall, &c);
    c.hour = c.minute = c.second = c.micros = 0;
    return crier_civil_to_wall(zone, &c, &out, NULL) == 0 ? out : wall;
}

static bool time_of_day(const char *text, const struct crier_zone *zone, int64_t now, int64_t *out)
{
    struct crier_civil c;
    char end = '\0';
    crier_civil_at(zone, now, &c);
    c.second = c.micros = 0;
    int n = sscanf(text, "%2d:%2d%c", &c.hour, &c.minute, &end);
    if (n == 3 && end == ':')
        n = sscanf(text, "%2d:%2d:%2d%c", &c.hour, &c.minute, &c.second, &end) == 3 ? 2 : 0;
    return n == 2 && text[0] >= '0' && text[0] <= '9' &&
           crier_civil_to_wall(zone, &c, out, NULL) == 0;
}

/* "1h", "1h ago": how long before now. */
static bool ago(const char *text, int64_t *out)
{
    char word[64];
    size_t n = strlen(text);
    if (n > 4 && strcmp(text + n - 4, " ago") == 0)
        n -= 4;
    if (n == 0 || n >= sizeof word)
        return false;
    memcpy(word, text, n);
    word[n] = '\0';
    return crier_duration_parse(word, out, NULL) == 0;
}

/* The words for a point in time; those that an ordinary text is not taken for. */
static bool named_time(const char *text, const struct crier_zone *zone, int64_t now, int64_t *out)
{
    int64_t span;
    if (strcmp(text, "now") == 0)
        *out = now;
    else if (strcmp(text, "today") == 0)
        *out = midnight(zone, now);
    else if (strcmp(text, "yesterday") == 0)
        *out = midnight(zone, midnight(zone, now) - 12 * 3600 * CRIER_S);
    else if (text[0] == '-' && ago(text + 1, &span))
        *out = now - span;
    else
        return false;
    return true;
}

int crier_match_time(const char *text, const struct crier_zone *zone, int64_t now, int64_t *out_us,
                     struct crier_err *err)
{
    int64_t span;
    if (crier_datetime_like(text))
        return crier_datetime_parse(text, zone, out_us, err);
    if (named_time(text, zone, now, out_us) || time_of_day(text, zone, now, out_us))
        return 0;
    if (ago(text, &span)) {
        *out_us = now - span;
        return 0;
    }
    return crier_err_set(err, CRIER_EINVAL,
                         "expected a time such as \"2026-11-21 09:00\", \"09:00\", \"1h\" (ago), "
                         "\"today\" or \"yesterday\", got \"%s\"",
                         text);
}

/* --- words --------------------------------------------------------------------------------- */

/* One condition: values are what a query takes; their texts are in `words`. */
struct term {
    const char *word;
    char *field;
    enum crier_op op; /* EQ, GT.., LIKE, REGEX; EQ with any number of values */
    bool not ;
    struct crier_value *values;
    size_t count;
    bool done; /* told together with an earlier one of its field */
};

struct parser {
    const struct crier_zone *zone;
    int64_t now;
    struct crier_err *err;
    struct term *term;
    struct crier_buf text; /* the value being read */
};

static const char operators[] = "=!<>~";

static size_t field_len(const char *word)
{
    return strcspn(word, operators);
}

bool crier_match_like(const char *word)
{
    return word[field_len(word)] != '\0';
}

static int bad(struct parser *p, const char *at, const char *fmt, ...) CRIER_PRINTF(3, 4);

static int bad(struct parser *p, const char *at, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return crier_err_set(p->err, CRIER_EINVAL, "match '%.80s%s' at %zu: %s", p->term->word,
                         strlen(p->term->word) > 80 ? "..." : "", (size_t)(at - p->term->word) + 1,
                         text);
}

static void free_term(struct term *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->values[i].type == CRIER_STR)
            free((char *)t->values[i].s.data);
    free(t->values);
    free(t->field);
}

static void add_value(struct term *t, struct crier_value v)
{
    /* By doubling: the powers of two are the sizes. */
    if ((t->count & (t->count - 1)) == 0)
        t->values = crier_realloc(t->values, (t->count ? t->count * 2 : 1) * sizeof *t->values);
    t->values[t->count++] = v;
}

static void add_text(struct term *t, const char *s)
{
    add_value(t, (struct crier_value){.type = CRIER_STR, .s = {crier_strdup(s), strlen(s)}});
}

/* A number as people write them: no hexadecimal, no infinity. */
static bool number(const char *s, struct crier_value *out)
{
    char *end;
    if (!*s || s[strspn(s, "+-.eE0123456789")])
        return false;
    errno = 0;
    *out = (struct crier_value){.type = CRIER_INT, .i = strtoll(s, &end, 10)};
    if (!*end && errno == 0)
        return *s != '+';
    *out = (struct crier_value){.type = CRIER_NUM, .n = strtod(s, &end)};
    return !*end && strpbrk(s, ".eE") && isfinite(out->n);
}

static bool is_common(const char *field, const char *name)
{
    return strcmp(field, name) == 0;
}

static int check_kind(struct parser *p, const char *at, const char *text)
{
    const char *names[CRIER_KIND_COUNT];
    enum crier_kind kind;
    if (crier_kind_parse(text, strlen(text), &kind))
        return 0;
    for (int k = 0; k < CRIER_KIND_COUNT; k++)
        names[k] = crier_kind_name((enum crier_kind)k);
    const char *near = crier_nearest(text, names, CRIER_KIND_COUNT);
    return bad(p, at, "no such kind%s%s%s (kinds are log message task event system invite)",
               near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int check_level(struct parser *p, const char *at, const char *text)
{
    enum crier_level level;
    if (crier_level_parse(text, strlen(text), &level))
        return 0;
    return bad(p, at, "no such level (levels are debug info warning error critical)");
}

/* A value behind = or !=: all that its spelling can mean. */
static int add_equal(struct parser *p, const char *at, bool quoted)
{
    struct term *t = p->term;
    const char *text = p->text.data;
    struct crier_value v;
    if (is_common(t->field, "kind"))
        return check_kind(p, at, text) != 0 ? CRIER_EINVAL : (add_text(t, text), 0);
    if (is_common(t->field, "level"))
        return check_level(p, at, text) != 0 ? CRIER_EINVAL : (add_text(t, text), 0);
    if (!quoted && strcmp(text, "null") == 0)
        add_value(t, (struct crier_value){.type = CRIER_NULL});
    else if (!quoted && strcmp(text, "true") == 0)
        add_value(t, (struct crier_value){.type = CRIER_TRUE});
    else if (!quoted && strcmp(text, "false") == 0)
        add_value(t, (struct crier_value){.type = CRIER_FALSE});
    else if (!quoted && number(text, &v))
        add_value(t, v);
    add_text(t, text);
    return 0;
}

static bool is_time_field(const char *field)
{
    static const char *const names[] = {"time", "created",      "start",
                                        "end",  "when_started", "when_finished"};
    for (size_t i = 0; i < CRIER_COUNT(names); i++)
        if (strcmp(field, names[i]) == 0)
            return true;
    return false;
}

/* A value behind > >= < <=. */
static int add_measure(struct parser *p, const char *at, bool quoted)
{
    struct term *t = p->term;
    const char *text = p->text.data;
    struct crier_value v;
    int64_t us;
    if (is_common(t->field, "level")) {
        if (check_level(p, at, text) != 0)
            return CRIER_EINVAL;
        add_text(t, text);
    } else if (!*text || (!quoted && (strcmp(text, "null") == 0 || strcmp(text, "true") == 0 ||
                                      strcmp(text, "false") == 0))) {
        return bad(p, at, "nothing is greater or less than %s (= and != take it)",
                   *text ? text : "an empty text");
    } else if (quoted) {
        add_text(t, text);
    } else if (number(text, &v)) {
        add_value(t, v);
    } else if (named_time(text, p->zone, p->now, &us)) {
        add_value(t, (struct crier_value){.type = CRIER_TIME, .i = us});
    } else if (crier_duration_parse(text, &us, NULL) == 0) {
        if (is_time_field(t->field))
            return bad(p, at, "'%s' is a point in time: -%s is that long ago", t->field, text);
        add_value(t, (struct crier_value){.type = CRIER_NUM, .n = (double)us / 1e6});
    } else if (is_time_field(t->field)) {
        if (crier_match_time(text, p->zone, p->now, &us, NULL) != 0)
            return bad(p, at,
                       "'%s' is a point in time: expected one such as 2026-11-21T09:00, "
                       "-1h or today",
                       t->field);
        add_value(t, (struct crier_value){.type = CRIER_TIME, .i = us});
    } else {
        add_text(t, text);
    }
    return 0;
}

/* "..." with \" and \\ in it, into p->text; *at then is behind it. */
static int read_quoted(struct parser *p, const char **at)
{
    const char *s = *at + 1;
    crier_buf_clear(&p->text);
    crier_buf_puts(&p->text, "");
    for (; *s != '"'; s++) {
        if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
            s++;
        if (!*s)
            return bad(p, s, "expected the '\"' that ends the text");
        crier_buf_putc(&p->text, *s);
    }
    *at = s + 1;
    return 0;
}

/* Behind "in(". */
static int read_list(struct parser *p, const char *at)
{
    for (;;) {
        at += strspn(at, " ");
        const char *from = at;
        bool quoted = *at == '"';
        if (quoted) {
            if (read_quoted(p, &at) != 0)
                return CRIER_EINVAL;
            at += strspn(at, " ");
        } else {
            at += strcspn(at, ",)");
            size_t n = (size_t)(at - from);
            while (n && from[n - 1] == ' ')
                n--;
            if (!n)
                return bad(p, from, "expected a value for in(...)");
            crier_buf_clear(&p->text);
            crier_buf_append(&p->text, from, n);
        }
        if (*at != ',' && *at != ')')
            return bad(p, at, "expected ',' or ')'");
        if (add_equal(p, from, quoted) != 0)
            return CRIER_EINVAL;
        if (*at++ == ')')
            return *at ? bad(p, at, "expected nothing behind ')'") : 0;
    }
}

static int read_like(struct parser *p, const char *at)
{
    size_t n = strlen(at);
    if (!n || at[n - 1] != ')')
        return bad(p, at + n, "expected the ')' of like(...)");
    p->term->op = CRIER_OP_LIKE;
    crier_buf_clear(&p->text);
    crier_buf_puts(&p->text, "");
    crier_buf_append(&p->text, at, n - 1);
    add_text(p->term, p->text.data);
    return 0;
}

static int read_value(struct parser *p, const char *at)
{
    struct term *t = p->term;
    bool call = strncmp(at, "in(", 3) == 0 || strncmp(at, "like(", 5) == 0;
    bool quoted = *at == '"';
    const char *from = at;
    if (t->op == CRIER_OP_REGEX) {
        if (!*at)
            return bad(p, at, "expected a regular expression");
        add_text(t, at);
        return 0;
    }
    if (call && t->op != CRIER_OP_EQ)
        return bad(p, at, "%s goes with = or !=", *at == 'i' ? "in(...)" : "like(...)");
    if (call)
        return *at == 'i' ? read_list(p, at + 3) : read_like(p, at + 5);
    if (quoted) {
        if (read_quoted(p, &at) != 0)
            return CRIER_EINVAL;
        if (*at)
            return bad(p, at, "expected nothing behind the '\"' that ends the text");
    } else {
        crier_buf_clear(&p->text);
        crier_buf_puts(&p->text, at);
    }
    return t->op == CRIER_OP_EQ ? add_equal(p, from, quoted) : add_measure(p, from, quoted);
}

static int read_operator(struct parser *p, const char **at)
{
    static const struct {
        const char *text;
        enum crier_op op;
        bool not ;
    } known[] = {
        {"!=", CRIER_OP_EQ, true},  {"!~", CRIER_OP_REGEX, true}, {">=", CRIER_OP_GE, false},
        {"<=", CRIER_OP_LE, false}, {"=", CRIER_OP_EQ, false},    {">", CRIER_OP_GT, false},
        {"<", CRIER_OP_LT, false},  {"~", CRIER_OP_REGEX, false},
    };
    if (strncmp(*at, "==", 2) == 0)
        return bad(p, *at, "'==' is written '='");
    if (strncmp(*at, "=~", 2) == 0)
        return bad(p, *at, "'=~' is written '~' (a text that begins with ~ goes in quotes: \"~\")");
    for (size_t i = 0; i < CRIER_COUNT(known); i++) {
        size_t n = strlen(known[i].text);
        if (strncmp(*at, known[i].text, n) == 0) {
            p->term->op = known[i].op;
            p->term->not = known[i].not ;
            *at += n;
            return 0;
        }
    }
    return bad(p, *at, "expected = != > >= < <= ~ or !~");
}

static int read_word(struct parser *p)
{
    const char *at = p->term->word;
    size_t n = field_len(at);
    p->term->field = crier_strndup(at, n);
    if (!n)
        return bad(p, at, "expected the name of a field");
    size_t blank = strcspn(p->term->field, " \t\n");
    if (blank < n && at[n])
        return bad(p, at + blank, "expected no blank in the name of a field");
    at += n;
    if (read_operator(p, &at) != 0)
        return CRIER_EINVAL;
    return read_value(p, at);
}

/* --- the query ----------------------------------------------------------------------------- */

static bool is_choice(const struct term *t)
{
    return !t->not &&(t->op == CRIER_OP_EQ || t->op == CRIER_OP_LIKE || t->op == CRIER_OP_REGEX);
}

static int emit_one(struct parser *p, struct crier_query *query, const struct term *t)
{
    struct crier_err why = {0};
    enum crier_op op = t->op == CRIER_OP_EQ && t->count > 1 ? CRIER_OP_ONE_OF : t->op;
    int rc = 0;
    bool group = t->not ;
    if (t->not &&op == CRIER_OP_EQ) {
        op = CRIER_OP_NE;
        group = false;
    }
    if (group)
        rc = crier_query_open(query, CRIER_OP_NO, &why);
    if (rc == 0)
        rc = crier_query_add(query, t->field, op, t->values, t->count, &why);
    if (group)
        crier_query_close(query);
    p->term = (struct term *)t;
    if (rc != 0) /* a regular expression that is none */
        bad(p, t->word + field_len(t->word), "%s", why.text);
    return rc;
}

/* All conditions of one field of which one is enough. */
static int emit_choice(struct parser *p, struct crier_query *query, struct term *terms,
                       size_t first, size_t count)
{
    struct term *t = &terms[first];
    size_t same = 0;
    int rc = 0;
    for (size_t i = first; i < count; i++)
        same += is_choice(&terms[i]) && strcmp(terms[i].field, t->field) == 0;
    if (same == 1)
        return emit_one(p, query, t);
    rc = crier_query_open(query, CRIER_OP_ANY, p->err);
    for (size_t i = first; rc == 0 && i < count; i++) {
        if (!is_choice(&terms[i]) || strcmp(terms[i].field, t->field) != 0)
            continue;
        terms[i].done = true;
        rc = emit_one(p, query, &terms[i]);
    }
    crier_query_close(query);
    return rc;
}

int crier_match_add(struct crier_query *query, const char *const *words, size_t count,
                    const struct crier_zone *zone, int64_t now, struct crier_err *err)
{
    struct term *terms = crier_calloc(count + 1, sizeof *terms);
    struct parser p = {.zone = zone, .now = now, .err = err};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        p.term = &terms[i];
        p.term->word = words[i];
        rc = read_word(&p);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (terms[i].done)
            continue;
        rc = is_choice(&terms[i]) ? emit_choice(&p, query, terms, i, count)
                                  : emit_one(&p, query, &terms[i]);
    }
    for (size_t i = 0; i < count; i++)
        free_term(&terms[i]);
    free(terms);
    crier_buf_fini(&p.text);
    return rc;
}
