/* SPDX-License-Identifier: MIT
 *
 * The csv sink: RFC 4180 with a header; sink/linefile.h has the files.
 *
 * A column is a field by its dotted name. The last of the default columns, `record`, takes as one
 * JSON object the fields that no other column shows whole, so that nothing is lost. What a cell
 * says:
 *
 *     (nothing)   the record has no such field, or it is null
 *     ""          an empty text
 *     12  -0.5  true       a number, a boolean: never quoted
 *     "12"  "true"         a text that looks like one, and every snowflake: always quoted
 *     [1,2]  {"a":1}       an array or object, as JSON
 *     '=1+1                a text that begins with = + - @ [ { ' or a tab or line break gets a ' in
 *                          front: a spreadsheet would run some of these as formulas. Reading takes
 *                          one ' off.
 *
 * Column names follow the same rules as texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/json.h"
#include "base/ulid.h"
#include "record/read.h"
#include "record/value_json.h"
#include "sink/linefile.h"
#include "sink/linefile_query.h"
#include "sink/registry.h"
#include "sink/task_model.h"

#define REST "record"

enum { MAX_DEPTH = 64 };

static const struct crier_option options[] = {
    {.name = "path",
     .type = CRIER_OPT_PATH,
     .def = "crier.csv",
     .help = "the file; closed ones are named crier.000001.2026-11-21.csv beside it"},
    {.name = "fields",
     .type = CRIER_OPT_STRINGS,
     .help = "columns, by dotted names such as \"guild.name\"; `record` is all that the others "
             "leave out. Without `id` in front a restart may repeat rows"},
    {.name = "model",
     .type = CRIER_OPT_ENUM,
     .choices = CRIER_TASK_MODELS,
     .help = "columns of a task log, by the names of the record's fields: minimal (task, action, "
             "time), log (and those of a log line), run (and start, end, runtime, run_id)"},
    CRIER_LINEFILE_OPTIONS,
};

static const char *const default_columns[] = {
    "id",        "seq",    "time",   "node",      "kind",       "level",        "logger",
    "text",      "where",  "ok",     "sim",       "guild.type", "guild.name",   "guild.id",
    "type",      "name",   "mode",   "sent_data", "channels",   "success_info", "success_rate",
    "task_name", "action", "run_id", REST};
/* In front of a model's own: by what a row is known, and what reads it back as a task's. */
static const char *const model_columns[] = {"id", "kind"};

/* Columns by name: the parts of dotted names make a tree, so that a row can be read back. */
struct node {
    char *key;
    size_t len;
    int column; /* -1: only what is below */
    struct node *child, *next;
};

/** The columns of one header. */
struct columns {
    char **names;
    size_t count;
    int rest; /* the column `record`; -1 */
    struct node *tree;
};

struct csv {
    struct crier_linefile *file;
    struct crier_line_format format;
    struct columns columns; /* as they are written */
    struct crier_buf header, row, json;
    /* reading */
    struct columns read; /* of the file at hand */
    struct crier_reader reader;
    struct crier_line_filter filter;
    struct crier_buf cells; /* struct cell */
    struct crier_buf text;  /* what the cells say */
};

struct cell {
    size_t at, len; /* in `text` */
    bool quoted;
};

/* ---- columns ---- */

static void free_tree(struct node *n)
{
    while (n) {
        struct node *next = n->next;
        free_tree(n->child);
        free(n->key);
        free(n);
        n = next;
    }
}

static void free_columns(struct columns *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->names[i]);
    free(c->names);
    free_tree(c->tree);
    *c = (struct columns){.rest = -1};
}

/* Deeper than any record, which only another hand can have written: one name, dots and all. */
static bool too_deep(const char *name)
{
    unsigned dots = 0;
    while (*name && dots < MAX_DEPTH)
        dots += *name++ == '.';
    return dots == MAX_DEPTH;
}

static void add_node(struct node **at, const char *name, int column)
{
    size_t len = too_deep(name) ? strlen(name) : strcspn(name, ".");
    bool last = !name[len];
    while (*at && ((*at)->len != len || memcmp((*at)->key, name, len) != 0))
        at = &(*at)->next;
    if (!*at) {
        *at = crier_calloc(1, sizeof **at);
        **at = (struct node){.key = crier_strndup(name, len), .len = len, .column = -1};
    }
    if (last)
        (*at)->column = column;
    else
        add_node(&(*at)->child, name + len + 1, column);
}

static void add_column(struct columns *c, const char *name)
{
    c->names = crier_realloc(c->names, (c->count + 1) * sizeof *c->names);
    c->names[c->count] = crier_strdup(name);
    if (strcmp(name, REST) == 0)
        c->rest = (int)c->count;
    else
        add_node(&c->tree, name, (int)c->count);
    c->count++;
}

static const struct node *find_node(const struct node *n, struct crier_str key)
{
    while (n && (n->len != key.len || memcmp(n->key, key.data, key.len) != 0))
        n = n->next;
    return n;
}

/* Whether the columns show a value whole. */
static bool shown(const struct node *level, const struct crier_value *v)
{
    const struct node *n = find_node(level, v->key);
    if (!n)
        return false;
    if (n->column >= 0)
        return true;
    struct crier_iter it = crier_values(v);
    struct crier_value inner;
    bool any = false;
    while (v->type == CRIER_OBJECT && crier_next(&it, &inner)) {
        any = true;
        if (!shown(n->child, &inner))
            return false;
    }
    return any;
}

/* ---- writing ---- */

/* Texts that a spreadsheet or our reader would take for something else. */
static bool needs_mark(struct crier_str s)
{
    return s.len && strchr("=+-@[{'\t\r\n", s.data[0]) && s.data[0];
}

/* Whether a cell without quotes would be read as a number or boolean, or as nothing. */
static bool looks_like_value(struct crier_str s)
{
    size_t i = 0;
    while (i < s.len && ((s.data[i] >= '0' && s.data[i] <= '9') || strchr("+-.eE", s.data[i])) &&
           s.data[i])
        i++;
    return i == s.len || (s.len == 4 && memcmp(s.data, "true", 4) == 0) ||
           (s.len == 5 && memcmp(s.data, "false", 5) == 0);
}

static bool special(char c)
{
    return c == '"' || c == ',' || c == '\r' || c == '\n';
}

static void put_quoted(struct crier_buf *b, bool mark, const char *s, size_t len)
{
    char *to = crier_buf_reserve(b, 2 * len + 3), *start = to;
    *to++ = '"';
    if (mark)
        *to++ = '\'';
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"')
            *to++ = '"';
        *to++ = s[i];
    }
    *to++ = '"';
    b->len += (size_t)(to - start);
}

static void put_text(struct crier_buf *b, struct crier_str s)
{
    bool mark = needs_mark(s), quote = looks_like_value(s);
    for (size_t i = 0; i < s.len && !quote; i++)
        quote = special(s.data[i]);
    /* Blanks at the ends: some readers cut them off where they stand without quotes. */
    quote = quote || s.data[0] == ' ' || s.data[s.len - 1] == ' ';
    if (quote) {
        put_quoted(b, mark, s.data, s.len);
        return;
    }
    if (mark)
        crier_buf_putc(b, '\'');
    crier_buf_append(b, s.data, s.len);
}

static void put_cell(struct csv *self, const struct crier_value *v)
{
    struct crier_buf *b = &self->row;
    char text[32];
    switch (v->type) {
    case CRIER_NULL:
        break;
    case CRIER_FALSE:
    case CRIER_TRUE:
        crier_buf_puts(b, v->type == CRIER_TRUE ? "true" : "false");
        break;
    case CRIER_STR:
        put_text(b, v->s);
        break;
    case CRIER_TIME:
        crier_buf_puts(b, crier_time_rfc3339(v->i, text));
        break;
    case CRIER_SNOWFLAKE:
        crier_buf_printf(b, "\"%llu\"", (unsigned long long)v->u);
        break;
    default:
        crier_buf_clear(&self->json);
        crier_value_json(&self->json, v);
        if (v->type == CRIER_INT || v->type == CRIER_NUM)
            crier_buf_append(b, self->json.data, self->json.len);
        else
            put_quoted(b, false, self->json.data, self->json.len);
    }
}

static void put_rest(struct csv *self, const struct columns *columns,
                     const struct crier_record *record)
{
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    bool any = false;
    crier_buf_clear(&self->json);
    crier_json_open(&self->json, '{');
    while (crier_next(&it, &v)) {
        if (shown(columns->tree, &v))
            continue;
        any = true;
        crier_json_keyn(&self->json, v.key.data, v.key.len);
        crier_value_json(&self->json, &v);
    }
    crier_json_close(&self->json, '}');
    if (any)
        put_quoted(&self->row, false, self->json.data, self->json.len);
}

static struct crier_str make_row(struct csv *self, const struct columns *columns,
                                 const struct crier_record *record)
{
    struct crier_value v;
    char scratch[32];
    crier_buf_clear(&self->row);
    for (size_t i = 0; i < columns->count; i++) {
        if (i)
            crier_buf_putc(&self->row, ',');
        if ((int)i == columns->rest)
            put_rest(self, columns, record);
        else if (crier_record_get(record, columns->names[i], &v, scratch))
            put_cell(self, &v);
    }
    /* A row of one empty cell would be an empty line. */
    if (!self->row.len)
        crier_buf_putc(&self->row, ' ');
    return (struct crier_str){self->row.data, self->row.len};
}

static struct crier_str record_row(void *arg, struct crier_record *record)
{
    struct csv *self = arg;
    return make_row(self, &self->columns, record);
}

/* ---- reading ---- */

/* The cells of a row; false: it is none. What stands in a cell is copied without its quotes. */
static bool split(struct csv *self, struct crier_str row)
{
    const char *at = row.data, *end = row.data + row.len;
    crier_buf_clear(&self->cells);
    crier_buf_clear(&self->text);
    crier_buf_reserve(&self->text, row.len + 1);
    char *to = self->text.data;
    for (;;) {
        struct cell cell = {.at = (size_t)(to - self->text.data)};
        cell.quoted = at < end && *at == '"';
        if (cell.quoted) {
            for (at++;; at++) {
                const char *quote = memchr(at, '"', (size_t)(end - at));
                if (!quote)
                    return false;
                memcpy(to, at, (size_t)(quote - at));
                to += quote - at;
                at = quote + 1;
                if (at == end || *at != '"')
                    break;
                *to++ = '"';
            }
            if (at < end && *at != ',')
                return false;
        } else {
            while (at < end && *at != ',') {
                if (*at == '"')
                    return false;
                *to++ = *at++;
            }
        }
        cell.len = (size_t)(to - self->text.data) - cell.at;
        crier_buf_append(&self->cells, &cell, sizeof cell);
        if (at == end)
            return true;
        at++;
    }
}

static size_t cell_count(const struct csv *self)
{
    return self->cells.len / sizeof(struct cell);
}

static struct crier_str cell_text(const struct csv *self, size_t i, bool *quoted)
{
    struct cell cell;
    memcpy(&cell, self->cells.data + i * sizeof cell, sizeof cell);
    *quoted = cell.quoted;
    return (struct crier_str){self->text.data + cell.at, cell.len};
}

static bool is_missing(const struct csv *self, size_t i)
{
    bool quoted;
    struct crier_str s = cell_text(self, i, &quoted);
    return !quoted && (s.len == 0 || (s.len == 1 && s.data[0] == ' '));
}

static struct crier_str unmark(struct crier_str s)
{
    return s.len && s.data[0] == '\'' ? (struct crier_str){s.data + 1, s.len - 1} : s;
}

static bool read_text(struct csv *self, struct crier_str key, struct crier_str s, bool top)
{
    if (top)
        return crier_reader_string(&self->reader, key, s);
    crier_reader_text(&self->reader, key, s);
    return true;
}

static bool read_value(struct csv *self, struct crier_str key, size_t i, bool top)
{
    bool quoted;
    struct crier_str s = cell_text(self, i, &quoted);
    struct crier_scan scan;
    bool container = s.len && (s.data[0] == '[' || s.data[0] == '{');
    if (!container && (quoted || !looks_like_value(s)))
        return read_text(self, key, unmark(s), top);
    crier_scan_init(&scan, s.data, s.len);
    enum crier_scan_event event = crier_scan_next(&scan);
    bool good = event > CRIER_SCAN_END && (container || scan.at == s.data + s.len);
    if (good) {
        scan.key = key;
        good = top ? crier_reader_member(&self->reader, &scan, event)
                   : crier_reader_value(&self->reader, key, &scan, event);
        good = good && crier_scan_next(&scan) == CRIER_SCAN_END;
    } else if (!container) { /* by another hand, such as 007 */
        good = read_text(self, key, s, top);
    }
    crier_scan_fini(&scan);
    return good;
}

static bool any_below(const struct csv *self, const struct node *n)
{
    for (; n; n = n->next)
        if ((n->column >= 0 && !is_missing(self, (size_t)n->column)) || any_below(self, n->child))
            return true;
    return false;
}

/* Whether the rest of the record brings this field itself. */
static bool in_rest(struct crier_str rest, const struct node *n)
{
    struct crier_buf key = {0};
    crier_json_quote(&key, n->key, n->len);
    bool there = memmem(rest.data, rest.len, key.data, key.len) != NULL;
    crier_buf_fini(&key);
    if (!there)
        return false;
    struct crier_scan scan;
    unsigned depth = 0;
    enum crier_scan_event event;
    crier_scan_init(&scan, rest.data, rest.len);
    there = false;
    while (!there && (event = crier_scan_next(&scan)) > CRIER_SCAN_END) {
        there = depth == 1 && scan.key.len == n->len && memcmp(scan.key.data, n->key, n->len) == 0;
        depth += event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
        depth -= event == CRIER_SCAN_CLOSE;
    }
    crier_scan_fini(&scan);
    return there;
}

static bool read_below(struct csv *self, const struct node *n)
{
    bool good = true;
    for (; n && good; n = n->next) {
        struct crier_str key = {n->key, n->len};
        if (n->column >= 0) {
            if (!is_missing(self, (size_t)n->column))
                good = read_value(self, key, (size_t)n->column, false);
        } else if (any_below(self, n->child)) {
            crier_build_open(&self->reader.b, key.data, key.len, CRIER_OBJECT);
            good = read_below(self, n->child);
            crier_build_close(&self->reader.b);
        }
    }
    return good;
}

/* The fields that no column shows whole. */
static bool read_rest(struct csv *self, struct crier_str rest)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    crier_scan_init(&scan, rest.data, rest.len);
    bool good = crier_scan_next(&scan) == CRIER_SCAN_OBJECT;
    while (good && (event = crier_scan_next(&scan)) != CRIER_SCAN_CLOSE)
        good = event > CRIER_SCAN_END && crier_reader_value(&self->reader, scan.key, &scan, event);
    good = good && crier_scan_next(&scan) == CRIER_SCAN_END;
    crier_scan_fini(&scan);
    return good;
}

/* Common members first, since the kind decides what texts are. */
static bool read_members(struct csv *self, struct crier_str rest)
{
    bool good = true;
    for (const struct node *n = self->read.tree; n && good; n = n->next) {
        struct crier_str key = {n->key, n->len};
        if (n->column >= 0) {
            if (!is_missing(self, (size_t)n->column))
                good = read_value(self, key, (size_t)n->column, true);
        } else if (any_below(self, n->child) && !(rest.len && in_rest(rest, n))) {
            crier_build_open(&self->reader.b, key.data, key.len, CRIER_OBJECT);
            good = read_below(self, n->child);
            crier_build_close(&self->reader.b);
        }
    }
    return good && (!rest.len || read_rest(self, rest));
}

/* A record of chosen columns may lack what every record has; such a one has nothing of its own to
 * be told by, but can be read. */
static struct crier_record *read_row(void *arg, struct crier_str row)
{
    struct csv *self = arg;
    struct crier_str rest = {"", 0};
    bool quoted;
    if (!split(self, row) || cell_count(self) != self->read.count)
        return NULL;
    if (self->read.rest >= 0)
        rest = cell_text(self, (size_t)self->read.rest, &quoted);
    crier_reader_begin(&self->reader);
    if (read_members(self, rest))
        return crier_build_restore(&self->reader.b, &self->reader.who);
    crier_build_cancel(&self->reader.b);
    return NULL;
}

static bool begin_file(void *arg, struct crier_lines *lines)
{
    struct csv *self = arg;
    struct crier_str line;
    bool quoted;
    free_columns(&self->read);
    if (crier_lines_next(lines, &line, NULL) != 1 || !lines->ended || !split(self, line))
        return false;
    for (size_t i = 0; i < cell_count(self); i++) {
        struct crier_str s = unmark(cell_text(self, i, &quoted));
        char *name = crier_strndup(s.data, s.len);
        add_column(&self->read, name);
        free(name);
    }
    for (size_t i = 0; i < self->filter.member_count; i++) {
        const char *path = self->filter.members[i].cond->path;
        const struct node *n = find_node(self->read.tree, (struct crier_str){path, strlen(path)});
        self->filter.members[i].column = n ? n->column : -1;
    }
    return true;
}

/* The n-th cell, where it stands, with its quotes; false: there is none, or the row is odd. */
static bool find_cell(struct crier_str row, size_t n, struct crier_str *out)
{
    const char *at = row.data, *end = row.data + row.len;
    for (;; n--) {
        const char *from = at, *stop;
        while (at < end && *at == '"') {
            stop = memchr(at + 1, '"', (size_t)(end - at - 1));
            if (!stop)
                return false;
            at = stop + 1;
        }
        stop = memchr(at, ',', (size_t)(end - at));
        at = stop ? stop : end;
        if (n == 0) {
            *out = (struct crier_str){from, (size_t)(at - from)};
            return true;
        }
        if (!stop)
            return false;
        at++;
    }
}

/* By the cells of columns that a condition measures. A row of several lines may be several rows, the
 * first of which is broken: that is for others to judge. */
static bool may_hit_cells(struct csv *self, struct crier_str row)
{
    struct crier_str cell;
    bool plain = !memchr(row.data, '\n', row.len);
    for (size_t i = 0; i < self->filter.member_count && plain; i++) {
        int column = self->filter.members[i].column;
        if (column >= 0 && find_cell(row, (size_t)column, &cell) &&
            !(cell.len && cell.data[0] == '"') && !crier_line_filter_value(&self->filter, i, cell))
            return false;
    }
    return true;
}

static bool may_hit(void *arg, struct crier_str row)
{
    struct csv *self = arg;
    if (crier_line_filter_event(&self->filter, row) )
        return true;
    return crier_line_filter_texts(&self->filter, row) &&
           crier_line_filter_members(&self->filter, row) && may_hit_cells(self, row);
}

static int csv_query(void *arg, const struct crier_query *query, struct crier_record ***hits,
                     size_t *count, struct crier_err *err)
{
    struct csv *self = arg;
    const struct crier_line_reader reader = {
        .quoted = true, .begin = begin_file, .may_hit = may_hit, .record = read_row, .arg = self};
    crier_line_filter_init(&self->filter, query, "\"\"");
    return crier_lines_query(crier_linefile_list(self->file), &reader, query, hits, count, err);
}

/* Whether the file at hand has a place for a field: a column of it, around it or in it, or `record`. */
static bool has_place(const struct csv *self, const char *path)
{
    const struct node *level = self->read.tree;
    if (self->read.rest >= 0)
        return true;
    for (;;) {
        size_t len = strcspn(path, ".");
        const struct node *n = find_node(level, (struct crier_str){path, len});
        if (!n || n->column >= 0 || !path[len])
            return n != NULL;
        level = n->child;
        path += len + 1;
    }
}

static int changed_row(void *arg, const struct crier_change *change, struct crier_record *record,
                       struct crier_str *out, struct crier_err *err)
{
    struct csv *self = arg;
    for (size_t i = 0; i < change->field_count; i++)
        if (!has_place(self, change->fields[i].path.data))
            return crier_err_set(err, CRIER_EINVAL, "update: there is no column '%s'",
                                 change->fields[i].path.data);
    *out = make_row(self, &self->read, record);
    return 0;
}

static int csv_change(void *arg, const struct crier_query *query, const json_t *fields,
                      uint64_t *changed, struct crier_err *err)
{
    struct csv *self = arg;
    const struct crier_line_reader reader = {.quoted = true,
                                             .begin = begin_file,
                                             .may_hit = may_hit,
                                             .record = read_row,
                                             .arg = self,
                                             .line = changed_row};
    crier_line_filter_init(&self->filter, query, "\"\"");
    return crier_linefile_change(self->file, &reader, query, fields, changed, err);
}

/* ---- the driver ---- */

static bool row_time(const struct crier_line_format *format, struct crier_str row, int64_t *out)
{
    struct csv *self = CRIER_CONTAINER(format, struct csv, format);
    bool quoted;
    const struct node *n = find_node(self->columns.tree, (struct crier_str){"time", 4});
    if (!n || n->column < 0 || !split(self, row) || cell_count(self) != self->columns.count)
        return false;
    struct crier_str s = cell_text(self, (size_t)n->column, &quoted);
    return crier_time_read(s.data, s.len, out);
}

static bool is_row(const struct crier_line_format *format, struct crier_str row)
{
    struct csv *self = CRIER_CONTAINER(format, struct csv, format);
    return split(self, row) && cell_count(self) == self->columns.count;
}

static void add_columns(struct columns *c, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_column(c, names[i]);
}

static int choose_columns(struct csv *self, const struct crier_options *opts, struct crier_err *err)
{
    const struct crier_option_value *fields = crier_options_get(opts, "fields");
    const struct crier_option_value *model = crier_options_get(opts, "model");
    struct columns *c = &self->columns;
    if (fields->set && model->set)
        return crier_err_set(err, CRIER_ECONFIG, "fields and model both choose columns; give one");
    if (fields->set && fields->count == 0)
        return crier_err_set(err, CRIER_ECONFIG, "fields: a table needs a column");
    for (size_t i = 0; i < fields->count; i++) {
        if (!fields->list[i][0])
            return crier_err_set(err, CRIER_ECONFIG, "fields: a column needs a name");
        for (size_t k = 0; k < i; k++)
            if (strcmp(fields->list[i], fields->list[k]) == 0)
                return crier_err_set(err, CRIER_ECONFIG, "fields: '%s' stands there twice",
                                     fields->list[i]);
        add_column(c, fields->list[i]);
    }
    if (fields->set)
        return 0;
    if (!model->set) {
        add_columns(c, default_columns, CRIER_COUNT(default_columns));
        return 0;
    }
    add_columns(c, model_columns, CRIER_COUNT(model_columns));
    for (size_t i = 0; i < crier_task_model(model->s); i++)
        if (crier_task_columns[i].field)
            add_column(c, crier_task_columns[i].field);
    return 0;
}

static void make_format(struct csv *self)
{
    crier_buf_clear(&self->row);
    for (size_t i = 0; i < self->columns.count; i++) {
        if (i)
            crier_buf_putc(&self->row, ',');
        put_text(&self->row,
                 (struct crier_str){self->columns.names[i], strlen(self->columns.names[i])});
    }
    crier_buf_append(&self->header, self->row.data, self->row.len);
    crier_buf_puts(&self->header, "\r\n");
    self->format = (struct crier_line_format){
        .quoted = true,
        .end = "\r\n",
        .id_lead = strcmp(self->columns.names[0], "id") == 0 ? "" : NULL,
        .header = {self->header.data, self->header.len},
        .time = row_time,
        .row = is_row,
    };
}

static void csv_close(void *arg)
{
    struct csv *self = arg;
    crier_linefile_free(self->file);
    free_columns(&self->columns);
    free_columns(&self->read);
    crier_reader_fini(&self->reader);
    crier_buf_fini(&self->header);
    crier_buf_fini(&self->row);
    crier_buf_fini(&self->json);
    crier_buf_fini(&self->cells);
    crier_buf_fini(&self->text);
    free(self);
}

static int csv_open(const struct crier_sink_env *env, const struct crier_options *opts,
                    const char *name, void **out, struct crier_err *err)
{
    struct csv *self = crier_calloc(1, sizeof *self);
    (void)name;
    self->columns.rest = self->read.rest = -1;
    int rc = choose_columns(self, opts, err);
    if (rc == 0) {
        make_format(self);
        rc = crier_linefile_new(opts, env, &self->format, &self->file, err);
    }
    if (rc != 0) {
        csv_close(self);
        return rc;
    }
    *out = self;
    return 0;
}

static enum crier_verdict csv_write(void *arg, struct crier_record *const *records, size_t count,
                                    size_t *done, struct crier_err *err)
{
    struct csv *self = arg;
    return crier_linefile_write(self->file, record_row, self, records, count, done, err);
}

static int64_t csv_idle(void *arg, int64_t now)
{
    return crier_linefile_idle(((struct csv *)arg)->file, now);
}

static void csv_reopen(void *arg)
{
    crier_linefile_reopen(((struct csv *)arg)->file);
}

const struct crier_sink_driver crier_sink_csv = {
    .kind = "csv",
    .help = "a table with a header for spreadsheets, in files that are closed by size and time",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = csv_open,
    .write = csv_write,
    .idle = csv_idle,
    .reopen = csv_reopen,
    .close = csv_close,
    .query = csv_query,
    .change = csv_change,
};
