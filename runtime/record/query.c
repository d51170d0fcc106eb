/* SPDX-License-Identifier: MIT */
#include "record/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/clock.h"
#include "record/tape.h"

#define REGEX_HEAP_KIB 4096
#define REGEX_TRIES 16 /* texts on which a pattern may be given up before it is not tried again */

/* A compiled pattern. The room for what a search finds is taken out while one runs, so that many
 * threads can match one query at once. */
struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    _Atomic(pcre2_match_data *) room;
};

static void free_regex(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    pcre2_match_context_free(regex->limits);
    pcre2_match_data_free(atomic_load(&regex->room));
    free(regex);
}

/* --- building ------------------------------------------------------------------------------ */

struct crier_query *crier_query_new(struct crier_zone *zone)
{
    struct crier_query *query = crier_calloc(1, sizeof *query);
    query->limit = SIZE_MAX;
    query->zone = zone ? crier_zone_ref(zone) : NULL;
    return query;
}

void crier_query_free(struct crier_query *query)
{
    if (!query)
        return;
    for (size_t i = 0; i < query->count; i++) {
        struct crier_cond *cond = &query->conds[i];
        for (size_t k = 0; k < cond->count; k++)
            if (cond->values[k].value.type == CRIER_STR)
                free((char *)cond->values[k].value.s.data);
        free(cond->values);
        free(cond->path);
        free_regex(cond->regex);
    }
    free(query->conds);
    free(query->order);
    crier_zone_unref(query->zone);
    free(query);
}

static bool parse_digits(struct crier_str s, uint64_t *out)
{
    uint64_t n = 0;
    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.data[i] - '0'), &n))
            return false;
    }
    *out = n;
    return true;
}

/* Without a zone, only what names its own offset is a point in time. */
static bool parse_time(struct crier_str s, const struct crier_zone *zone, int64_t *out)
{
    char text[48];
    if (s.len < 10 || s.len >= sizeof text || memchr(s.data, '\0', s.len))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    if (!crier_datetime_like(text))
        return false;
    bool offset = s.len > 10 && strpbrk(text + 10, "Zz+-");
    return (zone || offset) && crier_datetime_parse(text, zone, out, NULL) == 0;
}

static int level_of(const struct crier_value *v)
{
    enum crier_level level;
    if (v->type == CRIER_STR && crier_level_parse(v->s.data, v->s.len, &level))
        return (int)level;
    if (v->type == CRIER_NUM && v->n >= 1 && v->n <= 100 && v->n == rint(v->n))
        return (int)v->n;
    return v->type == CRIER_INT && v->i >= 1 && v->i <= 100 ? (int)v->i : 0;
}

static void copy_const(const struct crier_query *query, struct crier_const *c,
                       const struct crier_value *v)
{
    *c = (struct crier_const){.value = *v, .level = level_of(v)};
    c->value.key = (struct crier_str){"", 0};
    if (v->type != CRIER_STR)
        return;
    c->value.s.data = crier_strndup(v->s.data ? v->s.data : "", v->s.len);
    c->is_time = parse_time(v->s, query->zone, &c->time);
    c->is_digits = parse_digits(v->s, &c->digits);
}

static struct crier_cond *append(struct crier_query *query, enum crier_op op)
{
    size_t at = query->count++;
    if ((at & (at - 1)) == 0)
        query->conds = crier_realloc(query->conds, (at ? at * 2 : 1) * sizeof *query->conds);
    query->conds[at] = (struct crier_cond){.op = op, .end = query->count};
    return &query->conds[at];
}

static int check(const char *path, enum crier_op op, const struct crier_value *values, size_t count,
                 struct crier_err *err)
{
    size_t want = op == CRIER_OP_RANGE ? 2 : op == CRIER_OP_ONE_OF ? count : 1;
    if (!path || !*path)
        return crier_err_set(err, CRIER_EINVAL, "query: a condition needs the name of a field");
    if ((unsigned)op >= CRIER_OP_ANY)
        return crier_err_set(err, CRIER_EINVAL, "query: '%s': not an operator on a field", path);
    if (count != want)
        return crier_err_set(err, CRIER_EINVAL, "query: '%s': expected %zu value%s, got %zu", path,
                             want, want == 1 ? "" : "s", count);
    for (size_t i = 0; i < count; i++)
        if (values[i].type == CRIER_ARRAY || values[i].type == CRIER_OBJECT)
            return crier_err_set(err, CRIER_EINVAL,
                                 "query: '%s': cannot compare with an object or array; name the "
                                 "member (\"guild.id\")",
                                 path);
    if (op == CRIER_OP_LIKE && values[0].type != CRIER_STR)
        return crier_err_set(err, CRIER_EINVAL,
                             "query: '%s': like needs a text such as \"%%word%%\"", path);
    if (op == CRIER_OP_REGEX && values[0].type != CRIER_STR)
        return crier_err_set(err, CRIER_EINVAL,
                             "query: '%s': regex needs a pattern such as \"^word[0-9]+\"", path);
    return 0;
}

/* A phase is not judged by itself, so a condition that no event meets has to be told beforehand. */
static bool shuts_out_events(const struct crier_query *query, const struct crier_cond *cond);

static int compile(const char *path, struct crier_str pattern, void **out, struct crier_err *err)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!compiled) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return crier_err_set(err, CRIER_EINVAL, "query: '%s': bad regex at byte %zu: %s", path,
                             at + 1, (const char *)why);
    }
    struct regex *regex = crier_calloc(1, sizeof *regex);
    regex->code = compiled;
    regex->limits = pcre2_match_context_create(NULL);
    if (!regex->limits)
        abort();
    pcre2_set_match_limit(regex->limits, CRIER_REGEX_STEPS);
    pcre2_set_heap_limit(regex->limits, REGEX_HEAP_KIB);
    *out = regex;
    return 0;
}

int crier_query_add(struct crier_query *query, const char *path, enum crier_op op,
                    const struct crier_value *values, size_t count, struct crier_err *err)
{
    void *regex = NULL;
    int rc = check(path, op, values, count, err);
    if (rc == 0 && op == CRIER_OP_REGEX)
        rc = compile(path, values[0].s, &regex, err);
    if (rc)
        return rc;
    struct crier_cond *cond = append(query, op);
    cond->regex = regex;
    cond->path = crier_strdup(path);
    cond->field = (int)crier_field_of(path, strlen(path));
    cond->values = crier_calloc(count ? count : 1, sizeof *cond->values);
    cond->count = count;
    for (size_t i = 0; i < count; i++)
        copy_const(query, &cond->values[i], &values[i]);
    for (unsigned i = 0; i < query->depth; i++)
        query->conds[query->open[i]].end = query->count;
    if (query->depth == 0)
        query->no_events |= shuts_out_events(query, cond);
    return 0;
}

int crier_query_since(struct crier_query *query, const char *path, const char *duration,
                      int64_t now, struct crier_err *err)
{
    int64_t back;
    int rc = crier_duration_parse(duration, &back, err);
    if (rc)
        return crier_err_prefix(err, "query: '%s': since: ", path ? path : ""), rc;
    struct crier_value v = {.type = CRIER_TIME, .i = now - back};
    query->since = true;
    return crier_query_add(query, path, CRIER_OP_GE, &v, 1, err);
}

int crier_query_open(struct crier_query *query, enum crier_op group, struct crier_err *err)
{
    if (query->depth == CRIER_COUNT(query->open))
        return crier_err_set(err, CRIER_ELIMIT, "query: groups nested deeper than %zu",
                             CRIER_COUNT(query->open));
    append(query, group);
    query->open[query->depth++] = query->count - 1;
    for (unsigned i = 0; i < query->depth; i++)
        query->conds[query->open[i]].end = query->count;
    return 0;
}

void crier_query_close(struct crier_query *query)
{
    if (query->depth)
        query->depth--;
}

void crier_query_order(struct crier_query *query, const char *path, bool desc)
{
    free(query->order);
    query->order = crier_strdup(path);
    query->desc = desc;
}

void crier_query_phases(struct crier_query *query)
{
    query->no_events = true;
}

/* --- comparing ----------------------------------------------------------------------------- */

enum { LESS = -1, EQUAL = 0, GREATER = 1, UNLIKE = 2 };

static int order_u64(uint64_t a, uint64_t b)
{
    return a < b ? LESS : a > b ? GREATER : EQUAL;
}

static int order_i64(int64_t a, int64_t b)
{
    return a < b ? LESS : a > b ? GREATER : EQUAL;
}

static int order_num(double a, double b)
{
    return a < b ? LESS : a > b ? GREATER : a == b ? EQUAL : UNLIKE;
}

static int reverse(int order)
{
    return order == UNLIKE ? UNLIKE : -order;
}

static int order_str(struct crier_str a, struct crier_str b)
{
    int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return c < 0 ? LESS : c > 0 ? GREATER : order_u64(a.len, b.len);
}

/* Without turning i into a double, which would round beyond 2^53. */
static int order_i64_num(int64_t i, double n)
{
    if (n >= 0x1p63)
        return LESS;
    if (n < -0x1p63)
        return GREATER;
    int64_t whole = (int64_t)n;
    return i != whole ? order_i64(i, whole) : order_num(0, n - (double)whole);
}

static int order_u64_num(uint64_t u, double n)
{
    if (u <= INT64_MAX)
        return order_i64_num((int64_t)u, n);
    if (n < 0x1p63)
        return GREATER;
    return n >= 0x1p64 ? LESS : order_u64(u, (uint64_t)n);
}

static int order_time_i64(int64_t us, int64_t seconds)
{
    int64_t whole = us / CRIER_S, rest = us % CRIER_S;
    return whole != seconds ? order_i64(whole, seconds) : order_i64(rest, 0);
}

static bool is_number(enum crier_type type)
{
    return type == CRIER_INT || type == CRIER_NUM || type == CRIER_TIME || type == CRIER_SNOWFLAKE;
}

/* Two numbers of different types, a's coming first in enum crier_type. */
static int order_mixed(const struct crier_value *a, const struct crier_value *b)
{
    if (a->type == CRIER_INT && b->type == CRIER_NUM)
        return order_i64_num(a->i, b->n);
    if (a->type == CRIER_INT && b->type == CRIER_SNOWFLAKE)
        return a->i < 0 ? LESS : order_u64((uint64_t)a->i, b->u);
    if (a->type == CRIER_INT)
        return reverse(order_time_i64(b->i, a->i));
    if (a->type == CRIER_NUM && b->type == CRIER_SNOWFLAKE)
        return reverse(order_u64_num(b->u, a->n));
    if (a->type == CRIER_NUM) /* Lua's seconds: the nearest microsecond is what was meant */
        return reverse(order_i64_num(b->i, rint(a->n * 1e6)));
    return a->u > INT64_MAX ? GREATER : reverse(order_time_i64(b->i, a->i));
}

static int order_numbers(const struct crier_value *a, const struct crier_value *b)
{
    if (a->type > b->type)
        return reverse(order_numbers(b, a));
    if (a->type != b->type)
        return order_mixed(a, b);
    switch (a->type) {
    case CRIER_NUM:
        return order_num(a->n, b->n);
    case CRIER_SNOWFLAKE:
        return order_u64(a->u, b->u);
    default:
        return order_i64(a->i, b->i);
    }
}

static int order_const(const struct crier_value *v, const struct crier_const *c)
{
    enum crier_type want = c->value.type;
    uint64_t digits;
    int64_t time;
    if (want == CRIER_NUM && isnan(c->value.n))
        return UNLIKE;
    if (v->type == CRIER_STR && want == CRIER_STR)
        return order_str(v->s, c->value.s);
    if (is_number(v->type) && is_number(want))
        return order_numbers(v, &c->value);
    if (v->type == CRIER_TIME && c->is_time)
        return order_i64(v->i, c->time);
    if (v->type == CRIER_SNOWFLAKE && c->is_digits)
        return order_u64(v->u, c->digits);
    if (v->type == CRIER_STR && want == CRIER_SNOWFLAKE && parse_digits(v->s, &digits))
        return order_u64(digits, c->value.u);
    if (v->type == CRIER_STR && want == CRIER_TIME && parse_time(v->s, NULL, &time))
        return order_i64(time, c->value.i);
    if (v->type == CRIER_NULL && want == CRIER_NULL)
        return EQUAL;
    if ((v->type == CRIER_TRUE || v->type == CRIER_FALSE) &&
        (want == CRIER_TRUE || want == CRIER_FALSE))
        return order_i64(v->type, want);
    return UNLIKE;
}

/* --- like ---------------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool like(struct crier_str s, struct crier_str pattern)
{
    const char *at = s.data, *end = s.data + s.len;
    const char *p = pattern.data, *pend = pattern.data + pattern.len;
    const char *star = NULL, *from = NULL; /* behind the last %, and the text it was tried at */
    for (;;) {
        if (p < pend && *p == '%') {
            star = ++p;
            from = at;
            continue;
        }
        if (p == pend && at == end)
            return true;
        if (p < pend && at < end) {
            if (*p == '_') {
                p++;
                do
                    at++;
                while (at < end && ((unsigned char)*at & 0xc0) == 0x80);
                continue;
            }
            const char *literal = *p == '\\' && p + 1 < pend ? p + 1 : p;
            if (lower(*literal) == lower(*at)) {
                p = literal + 1;
                at++;
                continue;
            }
        }
        if (!star || from == end)
            return false;
        p = star;
        do
            from++;
        while (from < end && ((unsigned char)*from & 0xc0) == 0x80);
        at = from;
    }
}

static bool search(const struct crier_query *query, struct regex *regex, struct crier_str s)
{
    struct crier_query *q = (struct crier_query *)query;
    if (atomic_load_explicit(&q->given_up, memory_order_relaxed) >= REGEX_TRIES)
        return false;
    pcre2_match_data *found = atomic_exchange(&regex->room, NULL);
    if (!found && !(found = pcre2_match_data_create(1, NULL)))
        abort();
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)s.data, s.len, 0, PCRE2_NO_UTF_CHECK, found,
                         regex->limits);
    pcre2_match_data_free(atomic_exchange(&regex->room, found));
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        atomic_fetch_add(&q->given_up, 1);
    return rc >= 0;
}

/* LIKE and REGEX. */
static bool match_text(const struct crier_query *query, const struct crier_cond *cond,
                       const struct crier_value *v)
{
    char text[24], *end = text + sizeof text, *p = end;
    struct crier_str s = v->s;
    if (v->type == CRIER_SNOWFLAKE) {
        uint64_t u = v->u;
        do
            *--p = (char)('0' + u % 10);
        while (u /= 10);
        s = (struct crier_str){p, (size_t)(end - p)};
    } else if (v->type != CRIER_STR) {
        return false;
    }
    return cond->op == CRIER_OP_LIKE ? like(s, cond->values[0].value.s) : search(query, cond->regex, s);
}

/* --- matching ------------------------------------------------------------------------------ */

/* level: the record's, where the condition is on it, else 0. */
static bool match_value(const struct crier_query *query, const struct crier_cond *cond,
                        const struct crier_value *v, int level)
{
    if (cond->op == CRIER_OP_LIKE || cond->op == CRIER_OP_REGEX)
        return match_text(query, cond, v);

    bool low = true, high = true;
    for (size_t i = 0; i < cond->count; i++) {
        const struct crier_const *c = &cond->values[i];
        int order = !level ? order_const(v, c) : c->level ? order_i64(level, c->level) : UNLIKE;
        switch (cond->op) {
        case CRIER_OP_EQ:
            return order == EQUAL;
        case CRIER_OP_NE:
            return order != EQUAL;
        case CRIER_OP_GT:
            return order == GREATER;
        case CRIER_OP_GE:
            return v->type != CRIER_NULL && (order == GREATER || order == EQUAL);
        case CRIER_OP_LT:
            return order == LESS;
        case CRIER_OP_LE:
            return v->type != CRIER_NULL && (order == LESS || order == EQUAL);
        case CRIER_OP_ONE_OF:
            if (order == EQUAL)
                return true;
            break;
        default:
            if (c->value.type != CRIER_NULL && i == 0)
                low = order == GREATER || order == EQUAL;
            else if (c->value.type != CRIER_NULL)
                high = order == LESS || order == EQUAL;
        }
    }
    return cond->op == CRIER_OP_RANGE && v->type != CRIER_NULL && low && high;
}

static bool match_cond(const struct crier_query *query, const struct crier_cond *cond,
                       const struct crier_record *record)
{
    struct crier_value v;
    char scratch[32];
    enum crier_field field = (enum crier_field)cond->field;
    if (!crier_record_field(record, field, cond->path, strlen(cond->path), &v, scratch))
        v.type = CRIER_NULL;
    return match_value(query, cond, &v,
                       field == CRIER_FIELD_LEVEL ? (int)crier_record_level(record) : 0);
}

static bool shuts_out_events(const struct crier_query *query, const struct crier_cond *cond)
{
    const char *kind = crier_kind_name(CRIER_KIND_EVENT);
    const struct crier_value v = {.type = CRIER_STR, .s = {kind, strlen(kind)}};
    return cond->field == CRIER_FIELD_KIND && !match_value(query, cond, &v, 0);
}

static bool match_span(const struct crier_query *query, size_t at, size_t end, enum crier_op join,
                       const struct crier_record *record)
{
    while (at < end) {
        const struct crier_cond *cond = &query->conds[at];
        bool yes = cond->op < CRIER_OP_ANY
                       ? match_cond(query, cond, record)
                       : match_span(query, at + 1, cond->end, cond->op, record);
        if (yes != (join == CRIER_OP_ALL))
            return join == CRIER_OP_ANY;
        at = cond->end;
    }
    return join != CRIER_OP_ANY;
}

bool crier_query_match(const struct crier_query *query, const struct crier_record *record)
{
    return match_span(query, 0, query->count, CRIER_OP_ALL, record);
}

bool crier_query_has_events(const struct crier_query *query)
{
    return !query->no_events;
}

bool crier_query_wants(const struct crier_query *query, const struct crier_record *record)
{
    char scratch[32];
    struct crier_str id;
    if (!query->no_events && crier_record_kind(record) == CRIER_KIND_EVENT &&
        crier_event_of(record, &id, scratch))
        return true;
    return crier_query_match(query, record);
}

int crier_query_fault(const struct crier_query *query, struct crier_err *err)
{
    struct crier_query *q = (struct crier_query *)query;
    if (atomic_load(&q->given_up) == 0)
        return 0;
    for (size_t i = 0; i < query->count; i++)
        if (query->conds[i].op == CRIER_OP_REGEX)
            return crier_err_set(err, CRIER_ELIMIT,
                                 "query: '%s': the regex took too long on a text and was given up; "
                                 "avoid repeats within repeats, such as (a+)+",
                                 query->conds[i].path);
    return CRIER_ELIMIT;
}

int crier_query_try(const struct crier_query *query, const struct crier_record *record,
                    struct crier_err *err)
{
    struct crier_query *q = (struct crier_query *)query;
    unsigned before = atomic_load_explicit(&q->given_up, memory_order_relaxed);
    bool yes = crier_query_match(query, record);
    if (atomic_load_explicit(&q->given_up, memory_order_relaxed) == before && before < REGEX_TRIES)
        return yes;
    return crier_query_fault(query, err);
}

/* --- sorting ------------------------------------------------------------------------------- */

struct sort_key {
    struct crier_value v;
    char scratch[32];
    struct crier_record *record;
};

static int rank(enum crier_type type)
{
    switch (type) {
    case CRIER_NULL:
        return 0;
    case CRIER_FALSE:
    case CRIER_TRUE:
        return 1;
    case CRIER_STR:
        return 3;
    case CRIER_ARRAY:
    case CRIER_OBJECT:
        return 4;
    default:
        return 2;
    }
}

static int order_keys(const struct crier_value *a, const struct crier_value *b)
{
    int ra = rank(a->type), rb = rank(b->type);
    if (ra != rb)
        return ra < rb ? LESS : GREATER;
    switch (ra) {
    case 1:
        return order_i64(a->type, b->type);
    case 2:
        return order_numbers(a, b);
    case 3:
        return order_str(a->s, b->s);
    default:
        return EQUAL;
    }
}

/* Merges from[low..mid) and from[mid..high) into to. The result of comparing is only looked at,
 * never relied on to be transitive: a TIME beside a NUM is equal to the nearest microsecond. */
static void merge(const struct sort_key **from, const struct sort_key **to, size_t low, size_t mid,
                  size_t high, bool desc)
{
    size_t i = low, k = mid;
    for (size_t at = low; at < high; at++) {
        bool right = i == mid;
        if (!right && k < high) {
            int order = order_keys(&from[i]->v, &from[k]->v);
            right = order == (desc ? LESS : GREATER);
        }
        to[at] = right ? from[k++] : from[i++];
    }
}

void crier_records_sort(struct crier_record **records, size_t count, const char *path, bool desc)
{
    if (count < 2)
        return;
    size_t len = strlen(path);
    enum crier_field field = crier_field_of(path, len);
    struct sort_key *keys = crier_malloc(count * sizeof *keys);
    const struct sort_key **from = crier_malloc(2 * count * sizeof *from);
    const struct sort_key **both = from, **to = from + count;
    for (size_t i = 0; i < count; i++) {
        struct sort_key *key = &keys[i];
        key->record = records[i];
        if (!crier_record_field(records[i], field, path, len, &key->v, key->scratch))
            key->v.type = CRIER_NULL;
        if (field == CRIER_FIELD_LEVEL)
            key->v = (struct crier_value){.type = CRIER_INT, .i = crier_record_level(records[i])};
        from[i] = key;
    }
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t mid = low + width < count ? low + width : count;
            size_t high = mid + width < count ? mid + width : count;
            merge(from, to, low, mid, high, desc);
        }
        const struct sort_key **swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < count; i++)
        records[i] = from[i]->record;
    free(both);
    free(keys);
}

size_t crier_query_run(const struct crier_query *query, struct crier_record *const *records,
                       size_t count, struct crier_record **out)
{
    size_t found = 0;
    size_t skip = query->order ? 0 : query->offset;
    size_t most = query->order ? SIZE_MAX : query->limit;
    for (size_t i = 0; i < count && found < most; i++) {
        if (!crier_query_match(query, records[i]))
            continue;
        if (skip)
            skip--;
        else
            out[found++] = records[i];
    }
    if (!query->order)
        return found;
    crier_records_sort(out, found, query->order, query->desc);
    size_t offset = query->offset < found ? query->offset : found;
    found -= offset;
    if (found > query->limit)
        found = query->limit;
    memmove(out, out + offset, found * sizeof *out);
    return found;
}

static int order_pointers(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;
    return (x > y) - (x < y);
}

/* Phases of events are not judged yet, so they stay; of all others the first `keep` in the query's
 * order do. */
static void trim(const struct crier_query *query, struct crier_buf *hits, size_t keep)
{
    struct crier_record **all = (struct crier_record **)(void *)hits->data;
    size_t n = hits->len / sizeof *all, count = 0, left = 0;
    struct crier_record **best = crier_malloc((n + 1) * sizeof *best);
    char scratch[32];
    struct crier_str id;
    bool events = crier_query_has_events(query);
    for (size_t i = 0; i < n; i++)
        if (!(events && crier_record_kind(all[i]) == CRIER_KIND_EVENT &&
              crier_event_of(all[i], &id, scratch)))
            best[count++] = all[i];
    if (count > keep) {
        crier_records_sort(best, count, query->order, query->desc);
        struct crier_record **gone = best + keep;
        size_t gone_count = count - keep;
        qsort(gone, gone_count, sizeof *gone, order_pointers);
        for (size_t i = 0; i < n; i++) {
            if (bsearch(&all[i], gone, gone_count, sizeof *gone, order_pointers))
                crier_record_unref(all[i]);
            else
                all[left++] = all[i];
        }
        hits->len = left * sizeof *all;
    }
    free(best);
}

void crier_query_trim(const struct crier_query *query, struct crier_buf *hits)
{
    size_t n = hits->len / sizeof(struct crier_record *);
    if (!query->order || query->limit > 100000000 || query->offset > 100000000)
        return;
    size_t keep = query->limit + query->offset, step = keep + 1024;
    if (n >= 2 * step && n % step == 0)
        trim(query, hits, keep);
}

int crier_query_finish(const struct crier_query *query, struct crier_record ***records,
                       size_t *count, struct crier_err *err)
{
    size_t n = *count, kept = 0;
    if (!query->no_events)
        n = crier_records_fold(*records, n);
    struct crier_record **out = crier_malloc((n + 1) * sizeof *out);
    kept = crier_query_run(query, *records, n, out);
    int rc = crier_query_fault(query, err);
    if (rc != 0)
        kept = 0;
    for (size_t i = 0; i < kept; i++)
        crier_record_ref(out[i]);
    for (size_t i = 0; i < n; i++)
        crier_record_unref((*records)[i]);
    free(*records);
    *records = out;
    *count = kept;
    if (kept == 0) {
        free(out);
        *records = NULL;
    }
    return rc;
}
