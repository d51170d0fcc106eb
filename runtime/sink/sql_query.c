/* SPDX-License-Identifier: MIT
 *
 * A query as WHERE. What the database finds is decoded and matched again by those who know every
 * rule (record/query.h), so a condition here may be wider than what was asked, and never narrower;
 * what cannot be said in SQL is left out.
 *
 * Each part of the text is one of:
 */
#include "sink/sql.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum part {
    ALWAYS,  /* no text: true of every record of this place */
    NEVER,   /* no text: true of none */
    EXACT,   /* true or false (never NULL), and just when the condition is */
    WIDER,   /* true whenever the condition is */
    UNKNOWN, /* no text: cannot be said */
};

enum { WAYS_MAX = 8, LIST_MAX = 200, PATTERN_MAX = 1000 };

struct maker {
    struct crier_sql_where *where;
    const struct crier_sql_dialect *d;
    const struct crier_query *query;
    enum crier_sql_place place;
    bool columns_only;
};

/* ---- pieces ---- */

static void put(struct maker *m, const char *text)
{
    crier_buf_puts(&m->where->text, text);
}

/* A mark, and the value that is bound there. */
static void put_cell(struct maker *m, struct crier_sql_cell cell)
{
    struct crier_sql_where *w = m->where;
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 16;
        w->cells = crier_realloc(w->cells, w->cap * sizeof *w->cells);
    }
    w->cells[w->count++] = cell;
    put(m, m->d->marks[cell.type]);
}

static void put_str(struct maker *m, enum crier_sql_type type, struct crier_str s)
{
    put_cell(m, CRIER_SQL_CELL_STR(type, crier_sql_plain(m->where->chunk, s)));
}

static void put_text(struct maker *m, enum crier_sql_type type, const char *s)
{
    put_str(m, type, (struct crier_str){g_string_chunk_insert(m->where->chunk, s), strlen(s)});
}

static const char *op_text(enum crier_op op, bool strict)
{
    switch (op) {
    case CRIER_OP_GT:
        return strict ? " > " : " >= ";
    case CRIER_OP_GE:
        return " >= ";
    case CRIER_OP_LT:
        return strict ? " < " : " <= ";
    case CRIER_OP_LE:
        return " <= ";
    default:
        return " = ";
    }
}

static bool is_order(enum crier_op op)
{
    return op == CRIER_OP_GT || op == CRIER_OP_GE || op == CRIER_OP_LT || op == CRIER_OP_LE;
}

static bool holds_nul(struct crier_str s)
{
    return s.len && memchr(s.data, '\0', s.len);
}

/* ---- columns ---- */

struct column {
    const char *path, *name;
    enum crier_sql_type type;
    bool nullable;
};

static const struct column message_columns[] = {
    {"id", "l.record_id", CRIER_SQL_ID, false},
    {"time", "l.timestamp", CRIER_SQL_TIME, false},
    {"node", "l.node", CRIER_SQL_NAME, false},
};
static const struct column task_columns[] = {
    {"id", "l.record_id", CRIER_SQL_ID, false},
    {"time", "l.created", CRIER_SQL_TIME, false},
    {"node", "l.node", CRIER_SQL_NAME, false},
    {"task_name", "l.task_name", CRIER_SQL_NAME, false},
    {"action", "l.action", CRIER_SQL_NAME, false},
    {"run_id", "l.run_id", CRIER_SQL_NAME, true},
    {"start", "l.start", CRIER_SQL_TIME, true},
    {"exc_text", "l.exc_text", CRIER_SQL_TEXT, true},
    {"reason", "l.reason", CRIER_SQL_TEXT, true},
};
static const struct column other_columns[] = {
    {"id", "l.record_id", CRIER_SQL_ID, false},    {"time", "l.time", CRIER_SQL_TIME, false},
    {"node", "l.node", CRIER_SQL_NAME, false},     {"kind", "l.kind", CRIER_SQL_NAME, false},
    {"logger", "l.logger", CRIER_SQL_TEXT, false}, {"text", "l.text", CRIER_SQL_TEXT, false},
};

static const struct column *find_column(enum crier_sql_place place, const char *path)
{
    static const struct {
        const struct column *list;
        size_t count;
    } all[CRIER_SQL_PLACES] = {{message_columns, CRIER_COUNT(message_columns)},
                               {task_columns, CRIER_COUNT(task_columns)},
                               {other_columns, CRIER_COUNT(other_columns)}};
    for (size_t i = 0; i < all[place].count; i++)
        if (strcmp(all[place].list[i].path, path) == 0)
            return &all[place].list[i];
    return NULL;
}

static bool is_null_open(const struct crier_cond *cond, size_t i)
{
    return cond->op == CRIER_OP_RANGE && cond->values[i].value.type == CRIER_NULL;
}

/* EQ and NE null. */
static enum part null_part(struct maker *m, const struct column *c, bool equal)
{
    if (!c->nullable)
        return equal ? NEVER : ALWAYS;
    put(m, c->name);
    put(m, equal ? " IS NULL" : " IS NOT NULL");
    return EXACT;
}

static void begin_column(struct maker *m, const struct column *c)
{
    put(m, "(");
    if (!c->nullable)
        return;
    put(m, c->name);
    put(m, " IS NOT NULL AND ");
}

static void put_column(struct maker *m, const struct column *c, bool ordered)
{
    put(m, c->name);
    if (ordered && m->d->engine == CRIER_SQL_POSTGRESQL)
        put(m, " COLLATE \"C\"");
}

/* A constant as a point in time, where it can be one. */
static bool time_of(const struct crier_const *c, int64_t *out)
{
    const int64_t least = -INT64_C(62135596800), most = INT64_C(253402300799);
    int64_t seconds;
    switch (c->value.type) {
    case CRIER_TIME:
        *out = c->value.i;
        break;
    case CRIER_STR:
        if (!c->is_time)
            return false;
        *out = c->time;
        break;
    case CRIER_INT:
        if (c->value.i < least || c->value.i > most)
            return false;
        *out = c->value.i * CRIER_S;
        break;
    case CRIER_NUM:
        if (!(c->value.n >= (double)least && c->value.n <= (double)most))
            return false;
        *out = (int64_t)rint(c->value.n * 1e6);
        break;
    default:
        return false;
    }
    seconds = *out / CRIER_S;
    return seconds > least && seconds < most;
}

static void put_time(struct maker *m, int64_t us)
{
    char text[32];
    put_text(m, CRIER_SQL_TIME, crier_sql_time(us, text));
}

static enum part time_column(struct maker *m, const struct column *c, const struct crier_cond *cond)
{
    int64_t at[2] = {0, 0};
    if (cond->count < 1 || cond->count > 2 || cond->op > CRIER_OP_RANGE)
        return UNKNOWN;
    for (size_t i = 0; i < cond->count; i++)
        if (!is_null_open(cond, i) && !time_of(&cond->values[i], &at[i]))
            return UNKNOWN;
    if (cond->op == CRIER_OP_NE)
        return UNKNOWN;
    begin_column(m, c);
    if (cond->op != CRIER_OP_RANGE) {
        put_column(m, c, false);
        put(m, op_text(cond->op, true));
        put_time(m, at[0]);
    } else {
        const char *and = "";
        for (size_t i = 0; i < 2; i++) {
            if (is_null_open(cond, i))
                continue;
            put(m, and);
            put(m, c->name);
            put(m, i ? " <= " : " >= ");
            put_time(m, at[i]);
            and = " AND ";
        }
        if (!*and)
            put(m, "1 = 1");
    }
    put(m, ")");
    return EXACT;
}

static bool good_pattern(const struct maker *m, struct crier_str p)
{
    size_t slashes = 0;
    while (slashes < p.len && p.data[p.len - 1 - slashes] == '\\')
        slashes++;
    return p.len <= PATTERN_MAX && slashes % 2 == 0 && !holds_nul(p) &&
           !(m->d->engine == CRIER_SQL_SQLSERVER && memchr(p.data, '[', p.len));
}

/* LIKE in any case of letters, written around the text that `column` puts. */
static void put_like(struct maker *m, const char *expr, struct crier_str pattern)
{
    switch (m->d->engine) {
    case CRIER_SQL_POSTGRESQL:
        put(m, "lower((");
        put(m, expr);
        put(m, ") COLLATE \"C\") LIKE lower(");
        put_str(m, CRIER_SQL_TEXT, pattern);
        put(m, " COLLATE \"C\")");
        return;
    case CRIER_SQL_MARIADB:
        put(m, "CONVERT(");
        put(m, expr);
        put(m, " USING utf8mb4) COLLATE utf8mb4_general_ci LIKE ");
        put_str(m, CRIER_SQL_TEXT, pattern);
        return;
    case CRIER_SQL_SQLSERVER:
        put(m, expr);
        put(m, " COLLATE Latin1_General_CI_AS LIKE ");
        break;
    default:
        put(m, expr);
        put(m, " LIKE ");
    }
    put_str(m, CRIER_SQL_TEXT, pattern);
    put(m, " ESCAPE '\\'");
}

static enum part text_list(struct maker *m, const struct column *c, const struct crier_cond *cond)
{
    if (!cond->count)
        return NEVER;
    if (cond->count > LIST_MAX)
        return UNKNOWN;
    for (size_t i = 0; i < cond->count; i++)
        if (cond->values[i].value.type != CRIER_STR)
            return UNKNOWN;
    begin_column(m, c);
    put(m, c->name);
    put(m, " IN (");
    for (size_t i = 0; i < cond->count; i++) {
        put(m, i ? ", " : "");
        put_str(m, c->type, cond->values[i].value.s);
    }
    put(m, "))");
    return m->d->exact_text ? EXACT : WIDER;
}

static enum part text_order(struct maker *m, const struct column *c, const struct crier_cond *cond)
{
    const char *and = "";
    if (m->d->engine == CRIER_SQL_SQLSERVER)
        return UNKNOWN;
    for (size_t i = 0; i < cond->count; i++)
        if (!is_null_open(cond, i) &&
            (cond->values[i].value.type != CRIER_STR || holds_nul(cond->values[i].value.s)))
            return UNKNOWN;
    put(m, "(");
    for (size_t i = 0; i < cond->count; i++) {
        if (is_null_open(cond, i))
            continue;
        put(m, and);
        put_column(m, c, true);
        put(m, cond->op == CRIER_OP_RANGE ? (i ? " <= " : " >= ") : op_text(cond->op, false));
        put_str(m, c->type, cond->values[i].value.s);
        and = " AND ";
    }
    put(m, *and? ")" : "1 = 1)");
    return WIDER;
}

static enum part text_column(struct maker *m, const struct column *c, const struct crier_cond *cond)
{
    if (cond->op == CRIER_OP_ONE_OF || cond->op == CRIER_OP_EQ) {
        if (cond->op == CRIER_OP_EQ && cond->values[0].value.type == CRIER_NULL)
            return null_part(m, c, true);
        return text_list(m, c, cond);
    }
    if (cond->op == CRIER_OP_NE) {
        if (cond->values[0].value.type == CRIER_NULL)
            return null_part(m, c, false);
        if (cond->values[0].value.type != CRIER_STR || !m->d->exact_text ||
            holds_nul(cond->values[0].value.s))
            return UNKNOWN;
        put(m, "(");
        put(m, c->name);
        put(m, " IS NULL OR ");
        put(m, c->name);
        put(m, " <> ");
        put_str(m, c->type, cond->values[0].value.s);
        put(m, ")");
        return EXACT;
    }
    if (cond->op == CRIER_OP_LIKE) {
        if (!good_pattern(m, cond->values[0].value.s))
            return UNKNOWN;
        put_like(m, c->name, cond->values[0].value.s);
        return WIDER;
    }
    return is_order(cond->op) || cond->op == CRIER_OP_RANGE ? text_order(m, c, cond) : UNKNOWN;
}

/* ---- the level, the kind, the guild ---- */

static bool level_fits(const struct crier_cond *cond, int level)
{
    bool low = true, high = true;
    for (size_t i = 0; i < cond->count; i++) {
        int want = cond->values[i].level;
        switch (cond->op) {
        case CRIER_OP_EQ:
            return want == level;
        case CRIER_OP_NE:
            return want != level;
        case CRIER_OP_GT:
            return want && level > want;
        case CRIER_OP_GE:
            return want && level >= want;
        case CRIER_OP_LT:
            return want && level < want;
        case CRIER_OP_LE:
            return want && level <= want;
        case CRIER_OP_ONE_OF:
            if (want == level)
                return true;
            break;
        default:
            if (cond->values[i].value.type == CRIER_NULL)
                break;
            if (i == 0)
                low = want && level >= want;
            else
                high = want && level <= want;
        }
    }
    return cond->op == CRIER_OP_RANGE && low && high;
}

static void put_json(struct maker *m, const char *path);

static enum part level_part(struct maker *m, const struct crier_cond *cond)
{
    static const enum crier_level levels[] = {CRIER_DEBUG, CRIER_INFO, CRIER_LEVEL_WARNING,
                                              CRIER_LEVEL_ERROR, CRIER_CRITICAL};
    unsigned fits = 0;
    if (cond->op > CRIER_OP_ONE_OF)
        return UNKNOWN;
    for (unsigned i = 0; i < CRIER_COUNT(levels); i++)
        fits |= (unsigned)level_fits(cond, (int)levels[i]) << i;
    if (!fits)
        return NEVER;
    if (fits == (1u << CRIER_COUNT(levels)) - 1)
        return ALWAYS;
    if (m->place == CRIER_SQL_MESSAGE && m->columns_only)
        return UNKNOWN;
    if (m->place == CRIER_SQL_MESSAGE)
        put_json(m, m->d->engine == CRIER_SQL_POSTGRESQL ? "{level}" : "$.level");
    else
        put(m, "l.level");
    const char *before = " IN (";
    for (unsigned i = 0; i < CRIER_COUNT(levels); i++) {
        if (!(fits >> i & 1))
            continue;
        put(m, before);
        put(m, "'");
        put(m, crier_level_name(levels[i]));
        put(m, "'");
        before = ", ";
    }
    put(m, ")");
    return m->place == CRIER_SQL_MESSAGE ? WIDER : EXACT;
}

/* The kind where the table says it. */
static enum part kind_part(const struct maker *m, const struct crier_cond *cond)
{
    const char *kind = m->place == CRIER_SQL_MESSAGE ? "message" : "task";
    bool any = false;
    if (cond->op != CRIER_OP_EQ && cond->op != CRIER_OP_NE && cond->op != CRIER_OP_ONE_OF)
        return UNKNOWN;
    for (size_t i = 0; i < cond->count; i++) {
        const struct crier_value *v = &cond->values[i].value;
        any = any || (v->type == CRIER_STR && v->s.len == strlen(kind) &&
                      memcmp(v->s.data, kind, v->s.len) == 0);
    }
    return any == (cond->op != CRIER_OP_NE) ? ALWAYS : NEVER;
}

static bool snowflake_of(const struct crier_const *c, int64_t *out)
{
    uint64_t u;
    if (c->value.type == CRIER_SNOWFLAKE)
        u = c->value.u;
    else if (c->value.type == CRIER_STR && c->is_digits)
        u = c->digits;
    else if (c->value.type == CRIER_INT && c->value.i >= 0)
        u = (uint64_t)c->value.i;
    else
        return false;
    *out = (int64_t)u;
    return u <= INT64_MAX;
}

static enum part guild_part(struct maker *m, const struct crier_cond *cond)
{
    int64_t id;
    if ((cond->op != CRIER_OP_EQ && cond->op != CRIER_OP_ONE_OF) || !cond->count ||
        cond->count > LIST_MAX)
        return UNKNOWN;
    for (size_t i = 0; i < cond->count; i++)
        if (!snowflake_of(&cond->values[i], &id))
            return UNKNOWN;
    put(m, "l.guild_id IN (SELECT g.id FROM GuildUSER g WHERE g.snowflake_id IN (");
    for (size_t i = 0; i < cond->count; i++) {
        snowflake_of(&cond->values[i], &id);
        put(m, i ? ", " : "");
        put_cell(m, CRIER_SQL_CELL_INT(CRIER_SQL_BIG, id));
    }
    put(m, "))");
    return EXACT;
}

/* ---- members of the JSON ---- */

/* The ways that a dotted name can be read: a key may hold dots, a number may be an item or a key.
 */
struct ways {
    char *texts[WAYS_MAX];
    size_t count;
    bool too_many;
};

static bool plain_key(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < ' ' || strchr("\"\\{}", s[i]))
            return false;
    return len > 0;
}

static void find_ways(const struct maker *m, struct ways *w, const char *path,
                      const struct crier_buf *before)
{
    bool array = m->d->engine == CRIER_SQL_POSTGRESQL;
    if (!*path) {
        if (w->count == WAYS_MAX)
            w->too_many = true;
        else
            w->texts[w->count++] =
                array ? crier_asprintf("{%s}", before->data) : crier_asprintf("$%s", before->data);
        return;
    }
    size_t len = strcspn(path, ".");
    for (size_t end = len;; end += 1 + strcspn(path + end + 1, ".")) {
        struct crier_buf b = {0};
        crier_buf_append(&b, before->data ? before->data : "", before->len);
        crier_buf_printf(&b, array ? "%s\"%.*s\"" : "%s.\"%.*s\"", array && b.len ? "," : "",
                         (int)end, path);
        if (!plain_key(path, end))
            w->too_many = true;
        else
            find_ways(m, w, path + end + (path[end] == '.'), &b);
        crier_buf_fini(&b);
        if (!path[end] || w->too_many)
            break;
    }
    long item = strspn(path, "0123456789") == len && len < 9 ? atol(path) : 0;
    if (item > 0 && before->len && !w->too_many) {
        struct crier_buf b = {0};
        crier_buf_printf(&b, array ? "%s,%ld" : "%s[%ld]", before->data, item - 1);
        find_ways(m, w, path + len + (path[len] == '.'), &b);
        crier_buf_fini(&b);
    }
}

/* The scalar at a path, as text or as what the engine makes of it. */
static void put_json(struct maker *m, const char *path)
{
    switch (m->d->engine) {
    case CRIER_SQL_SQLITE:
        put(m, "json_extract(l.record, ");
        put_text(m, CRIER_SQL_TEXT, path);
        put(m, ")");
        break;
    case CRIER_SQL_POSTGRESQL:
        put(m, "(CAST(l.record AS json) #>> CAST(");
        put_text(m, CRIER_SQL_TEXT, path);
        put(m, " AS text[]))");
        break;
    default:
        put(m, "JSON_VALUE(l.record, ");
        put_text(m, CRIER_SQL_TEXT, path);
        put(m, ")");
    }
}

/* The same as a number, NULL where it is none. */
static void put_json_number(struct maker *m, const char *path)
{
    switch (m->d->engine) {
    case CRIER_SQL_SQLITE:
        put_json(m, path);
        break;
    case CRIER_SQL_POSTGRESQL:
        put(m, "(CASE WHEN json_typeof(CAST(l.record AS json) #> CAST(");
        put_text(m, CRIER_SQL_TEXT, path);
        put(m, " AS text[])) = 'number' THEN CAST(");
        put_json(m, path);
        put(m, " AS double precision) END)");
        break;
    case CRIER_SQL_MARIADB:
        put(m, "(");
        put_json(m, path);
        put(m, " + 0e0)");
        break;
    default:
        put(m, "TRY_CAST(");
        put_json(m, path);
        put(m, " AS FLOAT)");
    }
}

static void put_number(struct maker *m, const struct crier_const *c)
{
    double n = c->value.type == CRIER_INT         ? (double)c->value.i
               : c->value.type == CRIER_SNOWFLAKE ? (double)c->value.u
                                                  : c->value.n;
    if (c->value.type == CRIER_INT && m->d->engine == CRIER_SQL_SQLITE)
        put_cell(m, CRIER_SQL_CELL_INT(CRIER_SQL_BIG, c->value.i));
    else
        put_cell(m, (struct crier_sql_cell){.type = CRIER_SQL_REAL, .n = n});
}

/* " = text" of a member. */
static void or_text(struct maker *m, const char *path, const char *text)
{
    put(m, " OR ");
    put_json(m, path);
    put(m, " = ");
    put_text(m, CRIER_SQL_TEXT, text);
}

/* Equal to one constant, one way; false: cannot be said. */
static bool member_equal(struct maker *m, const char *path, const struct crier_const *c)
{
    char text[40];
    int64_t time;
    switch (c->value.type) {
    case CRIER_NULL:
        put_json(m, path);
        put(m, " IS NULL");
        return true;
    case CRIER_FALSE:
    case CRIER_TRUE:
        put_json(m, path);
        if (m->d->engine == CRIER_SQL_SQLITE)
            put(m, c->value.type == CRIER_TRUE ? " = 1" : " = 0");
        else
            put(m, c->value.type == CRIER_TRUE ? " IN ('true', '1')" : " IN ('false', '0')");
        return true;
    case CRIER_STR:
        if (holds_nul(c->value.s) ||
            (m->d->engine == CRIER_SQL_SQLSERVER && c->value.s.len > PATTERN_MAX))
            return false;
        put_json(m, path);
        put(m, " = ");
        put_str(m, CRIER_SQL_TEXT, c->value.s);
        if (c->is_digits) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)c->digits);
            or_text(m, path, text);
        }
        if (c->is_time) {
            char rfc[32];
            or_text(m, path, crier_time_rfc3339(c->time, rfc));
        }
        return true;
    case CRIER_INT:
    case CRIER_NUM:
    case CRIER_SNOWFLAKE:
        if (c->value.type == CRIER_NUM && isnan(c->value.n))
            return false;
        put_json_number(m, path);
        put(m, " = ");
        put_number(m, c);
        if (c->value.type == CRIER_NUM)
            snprintf(text, sizeof text, "%.0f", c->value.n);
        else
            snprintf(text, sizeof text, "%llu", (unsigned long long)c->value.u);
        or_text(m, path, text);
        if (time_of(c, &time)) {
            char rfc[32];
            or_text(m, path, crier_time_rfc3339(time, rfc));
        }
        return true;
    default:
        return false;
    }
}

/* On one side of a constant, one way. */
static bool member_order(struct maker *m, const char *path, const char *op, bool less,
                         const struct crier_const *c)
{
    if (c->value.type == CRIER_STR) {
        char rfc[32];
        if (c->is_digits || holds_nul(c->value.s) || m->d->engine == CRIER_SQL_SQLSERVER)
            return false;
        for (int i = 0; i < 1 + c->is_time; i++) {
            put(m, i ? " OR " : "");
            put_json(m, path);
            if (m->d->engine == CRIER_SQL_POSTGRESQL)
                put(m, " COLLATE \"C\"");
            put(m, op);
            if (i)
                put_text(m, CRIER_SQL_TEXT, crier_time_rfc3339(c->time, rfc));
            else
                put_str(m, CRIER_SQL_TEXT, c->value.s);
        }
        return true;
    }
    if ((c->value.type != CRIER_INT && c->value.type != CRIER_NUM) ||
        (c->value.type == CRIER_NUM && isnan(c->value.n)))
        return false;
    put_json_number(m, path);
    put(m, op);
    put_number(m, c);
    /* Snowflakes and times are texts. */
    if (m->d->engine == CRIER_SQL_SQLITE && less) {
        put(m, " OR typeof(");
        put_json(m, path);
        put(m, ") = 'text'");
    } else if (m->d->engine == CRIER_SQL_POSTGRESQL) {
        put(m, " OR json_typeof(CAST(l.record AS json) #> CAST(");
        put_text(m, CRIER_SQL_TEXT, path);
        put(m, " AS text[])) = 'string'");
    } else if (m->d->engine != CRIER_SQL_SQLITE) {
        put(m, " OR ");
        put_json(m, path);
        put(m, " LIKE '____-__-__T%'");
    }
    return true;
}

static bool member_one_way(struct maker *m, const char *path, const struct crier_cond *cond)
{
    const char *join = "";
    bool less = cond->op == CRIER_OP_LT || cond->op == CRIER_OP_LE;
    switch (cond->op) {
    case CRIER_OP_EQ:
    case CRIER_OP_ONE_OF:
        for (size_t i = 0; i < cond->count; i++) {
            put(m, join);
            if (!member_equal(m, path, &cond->values[i]))
                return false;
            join = " OR ";
        }
        return cond->count > 0;
    case CRIER_OP_GT:
    case CRIER_OP_GE:
    case CRIER_OP_LT:
    case CRIER_OP_LE:
        return member_order(m, path, op_text(cond->op, false), less, &cond->values[0]);
    case CRIER_OP_RANGE:
        for (size_t i = 0; i < 2; i++) {
            if (is_null_open(cond, i))
                continue;
            put(m, *join ? " AND (" : "(");
            if (!member_order(m, path, i ? " <= " : " >= ", i == 1, &cond->values[i]))
                return false;
            put(m, ")");
            join = " AND ";
        }
        return *join != '\0';
    case CRIER_OP_LIKE: {
        if (!good_pattern(m, cond->values[0].value.s) || m->d->engine != CRIER_SQL_SQLITE)
            return false;
        put_json(m, path);
        put_like(m, "", cond->values[0].value.s);
        return true;
    }
    default:
        return false;
    }
}

static enum part member_part(struct maker *m, const struct crier_cond *cond)
{
    const char *path = cond->path;
    struct ways ways = {0};
    struct crier_buf none = {0};
    enum part part = WIDER;
    /* `sim` is there without being written; what was sent stands in another table. */
    if (m->columns_only || strcmp(path, "sim") == 0 || cond->count > LIST_MAX / WAYS_MAX ||
        strlen(path) > 200 || (m->place == CRIER_SQL_MESSAGE && strncmp(path, "sent_data", 9) == 0))
        return UNKNOWN;
    crier_buf_puts(&none, "");
    find_ways(m, &ways, path, &none);
    if (ways.too_many || !ways.count)
        part = UNKNOWN;
    put(m, "(");
    for (size_t i = 0; i < ways.count && part == WIDER; i++) {
        put(m, i ? " OR (" : "(");
        if (!member_one_way(m, ways.texts[i], cond))
            part = UNKNOWN;
        put(m, ")");
    }
    put(m, ")");
    for (size_t i = 0; i < ways.count; i++)
        free(ways.texts[i]);
    crier_buf_fini(&none);
    return part;
}

/* ---- conditions ---- */

static enum part leaf(struct maker *m, const struct crier_cond *cond)
{
    const struct column *c = find_column(m->place, cond->path);
    if (strcmp(cond->path, "level") == 0)
        return level_part(m, cond);
    if (strcmp(cond->path, "kind") == 0 && !c)
        return kind_part(m, cond);
    if (strcmp(cond->path, "guild.id") == 0 && m->place == CRIER_SQL_MESSAGE)
        return guild_part(m, cond);
    if (c && c->type == CRIER_SQL_TIME)
        return time_column(m, c, cond);
    if (c && (c->type != CRIER_SQL_ID || cond->op != CRIER_OP_LIKE))
        return text_column(m, c, cond);
    return c ? UNKNOWN : member_part(m, cond);
}

static enum part span(struct maker *m, size_t at, size_t end, enum crier_op join);

/* Text and cells of a part that says nothing are taken back. */
static enum part one(struct maker *m, const struct crier_cond *cond, size_t at)
{
    struct crier_sql_where *w = m->where;
    size_t len = w->text.len, cells = w->count;
    enum part part = cond->op < CRIER_OP_ANY ? leaf(m, cond) : span(m, at + 1, cond->end, cond->op);
    if (part != EXACT && part != WIDER) {
        w->text.len = len;
        w->count = cells;
    }
    return part;
}

static enum part span(struct maker *m, size_t at, size_t end, enum crier_op join)
{
    struct crier_sql_where *w = m->where;
    bool all = join == CRIER_OP_ALL, exact = true, some = false;
    put(m, join == CRIER_OP_NO ? "NOT (" : "(");
    while (at < end) {
        const struct crier_cond *cond = &m->query->conds[at];
        size_t len = w->text.len;
        if (some)
            put(m, all ? " AND " : " OR ");
        enum part part = one(m, cond, at);
        if (part == (all ? NEVER : ALWAYS))
            return join == CRIER_OP_ANY ? ALWAYS : NEVER;
        if (part == UNKNOWN && !all)
            return UNKNOWN;
        if (part == EXACT || part == WIDER)
            some = true;
        else
            w->text.len = len;
        exact = exact && part != WIDER && part != UNKNOWN;
        at = cond->end;
    }
    put(m, ")");
    if (join == CRIER_OP_NO && !exact)
        return UNKNOWN;
    if (!some)
        return !exact ? UNKNOWN : join == CRIER_OP_ANY ? NEVER : ALWAYS;
    return exact ? EXACT : WIDER;
}

void crier_sql_where_make(struct crier_sql_where *where, const struct crier_sql_dialect *d,
                          enum crier_sql_place place, const struct crier_query *query,
                          bool columns_only)
{
    struct maker m = {where, d, query, place, columns_only};
    *where = (struct crier_sql_where){.chunk = g_string_chunk_new(1024)};
    crier_buf_puts(&where->text, "");
    enum part part = span(&m, 0, query->count, CRIER_OP_ALL);
    bool events = place == CRIER_SQL_OTHER && crier_query_has_events(query);
    where->exact = part == EXACT || part == ALWAYS;
    where->none = part == NEVER && !events;
    if (part == NEVER && events) {
        crier_buf_clear(&where->text);
        where->count = 0;
        put(&m, "l.kind = 'event'");
    } else if (part != EXACT && part != WIDER) {
        crier_buf_clear(&where->text);
        where->count = 0;
    } else if (events) {
        put(&m, " OR l.kind = 'event'"); /* all phases of what may match */
    }
    if (where->text.data)
        where->text.data[where->text.len] = '\0';
}

void crier_sql_where_fini(struct crier_sql_where *where)
{
    crier_buf_fini(&where->text);
    free(where->cells);
    if (where->chunk)
        g_string_chunk_free(where->chunk);
    *where = (struct crier_sql_where){0};
}
