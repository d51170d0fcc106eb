/* SPDX-License-Identifier: MIT */
#include "base/diag.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"

struct palette {
    const char *place, *fault[3], *end;
};

static const struct palette plain = {"", {"", "", ""}, ""};
static const struct palette colors = {"\033[1m", {"\033[36m", "\033[33m", "\033[31m"}, "\033[0m"};

static const char *const severity_names[] = {"note", "warning", "error"};

/* --- collecting ---------------------------------------------------------------------------- */

static void diag_fini(struct crier_diag *d)
{
    free(d->file);
    free(d->object);
    free(d->text);
    free(d->help);
}

void crier_diags_add(struct crier_diags *d, enum crier_severity severity, const char *file,
                     int line, int column, const char *object, const char *text, const char *help)
{
    struct crier_diag diag = {
        .severity = severity,
        .file = crier_strdup(file),
        .line = line,
        .column = column,
        .object = crier_strdup(object),
        .text = crier_strdup(text),
        .help = crier_strdup(help),
    };
    struct crier_buf key = {0};
    crier_diag_json(&diag, &key);
    if (!d->seen)
        d->seen = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    if (!g_hash_table_add(d->seen, crier_buf_take(&key))) {
        diag_fini(&diag);
        return;
    }
    /* Room doubles at each power of two. */
    if ((d->count & (d->count - 1)) == 0)
        d->items = crier_realloc(d->items, (d->count ? d->count * 2 : 1) * sizeof *d->items);
    d->items[d->count++] = diag;
    d->errors += severity == CRIER_ERROR;
    d->warnings += severity == CRIER_WARNING;
}

static void wipe_free(void *p)
{
    explicit_bzero(p, strlen(p));
    free(p);
}

void crier_diags_hide(struct crier_diags *d, const char *secret)
{
    if (!d->hidden)
        d->hidden = g_ptr_array_new_with_free_func(wipe_free);
    if (*secret)
        g_ptr_array_add(d->hidden, crier_strdup(secret));
}

void crier_diags_fini(struct crier_diags *d)
{
    for (size_t i = 0; i < d->count; i++)
        diag_fini(&d->items[i]);
    free(d->items);
    if (d->seen)
        g_hash_table_destroy(d->seen);
    if (d->hidden)
        g_ptr_array_free(d->hidden, TRUE);
    *d = (struct crier_diags){0};
}

struct numbered {
    struct crier_diag diag;
    size_t i;
};

static int by_place(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int order = strcmp(x->diag.file ? x->diag.file : "", y->diag.file ? y->diag.file : "");
    if (order)
        return order;
    if (x->diag.line != y->diag.line)
        return x->diag.line < y->diag.line ? -1 : 1;
    if (x->diag.column != y->diag.column)
        return x->diag.column < y->diag.column ? -1 : 1;
    return x->i < y->i ? -1 : 1;
}

void crier_diags_sort(struct crier_diags *d)
{
    struct numbered *items = crier_malloc((d->count + 1) * sizeof *items);
    for (size_t i = 0; i < d->count; i++)
        items[i] = (struct numbered){d->items[i], i};
    qsort(items, d->count, sizeof *items, by_place);
    for (size_t i = 0; i < d->count; i++)
        d->items[i] = items[i].diag;
    free(items);
}

/* --- one diagnostic ------------------------------------------------------------------------ */

/* Names come from the user's file: none may break the line or speak to the terminal. */
static void put_clean(struct crier_buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '\n')
            crier_buf_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            crier_buf_printf(out, "\\x%02x", c);
        else
            crier_buf_putc(out, (char)c);
    }
}

static void put_line(const struct crier_diag *diag, const struct palette *pal,
                     struct crier_buf *out)
{
    if (diag->file) {
        crier_buf_puts(out, pal->place);
        put_clean(out, diag->file, strlen(diag->file));
        if (diag->line)
            crier_buf_printf(out, ":%d", diag->line);
        if (diag->line && diag->column)
            crier_buf_printf(out, ":%d", diag->column);
        crier_buf_printf(out, ":%s ", pal->end);
    }
    crier_buf_puts(out, pal->fault[diag->severity]);
    if (diag->severity != CRIER_ERROR)
        crier_buf_printf(out, "%s: ", severity_names[diag->severity]);
    if (diag->object) {
        put_clean(out, diag->object, strlen(diag->object));
        crier_buf_puts(out, ": ");
    }
    put_clean(out, diag->text, strlen(diag->text));
    crier_buf_puts(out, pal->end);
    if (diag->help) {
        crier_buf_puts(out, " (");
        put_clean(out, diag->help, strlen(diag->help));
        crier_buf_putc(out, ')');
    }
}

void crier_diag_text(const struct crier_diag *diag, struct crier_buf *out)
{
    put_line(diag, &plain, out);
}

static void put_text(struct crier_buf *out, const char *key, const char *text)
{
    crier_json_key(out, key);
    if (text)
        crier_json_str(out, text);
    else
        crier_json_null(out);
}

static void put_number(struct crier_buf *out, const char *key, int number)
{
    crier_json_key(out, key);
    if (number)
        crier_json_int(out, number);
    else
        crier_json_null(out);
}

void crier_diag_json(const struct crier_diag *diag, struct crier_buf *out)
{
    crier_json_open(out, '{');
    put_text(out, "severity", severity_names[diag->severity]);
    put_text(out, "file", diag->file);
    put_number(out, "line", diag->line);
    put_number(out, "column", diag->column);
    put_text(out, "object", diag->object);
    put_text(out, "text", diag->text);
    put_text(out, "help", diag->help);
    crier_json_close(out, '}');
}

/* --- printing ------------------------------------------------------------------------------ */

/* Line `number` of a text, without its end; NULL when there is none. */
static const char *find_line(const struct crier_buf *text, int number, size_t *len)
{
    const char *at = text->data;
    const char *end = at + text->len;
    for (int i = 1; at && i < number; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    if (!at || at == end)
        return NULL;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    *len = (size_t)((stop ? stop : end) - at);
    if (*len && at[*len - 1] == '\r')
        (*len)--;
    return at;
}

static void put_source(const struct crier_diag *diag, const struct crier_buf *source,
                       const struct palette *pal, struct crier_buf *out)
{
    enum { LONGEST = 200 }; /* a longer line is no help on a terminal */
    size_t len;
    const char *line = source->data && diag->line ? find_line(source, diag->line, &len) : NULL;
    if (!line || len > LONGEST)
        return;
    /* A tab stays one, so that the caret, which copies the tabs, comes to stand right. */
    crier_buf_printf(out, "\n%4d | ", diag->line);
    for (size_t i = 0; i < len; i++)
        crier_buf_putc(out, line[i] == '\t' || !g_ascii_iscntrl(line[i]) ? line[i] : '?');
    if (!diag->column || (size_t)diag->column > len + 1)
        return;
    int width = snprintf(NULL, 0, "%4d", diag->line);
    crier_buf_printf(out, "\n%*s | ", width, "");
    for (int i = 0; i < diag->column - 1; i++) {
        if (line[i] == '\t')
            crier_buf_putc(out, '\t');
        else if ((line[i] & 0xc0) != 0x80)
            crier_buf_putc(out, ' ');
    }
    crier_buf_printf(out, "%s^%s", pal->fault[diag->severity], pal->end);
}

/* Secrets become as many stars, so that the caret keeps its place. */
static void read_source(const char *file, const GPtrArray *hidden, struct crier_buf *source)
{
    crier_buf_clear(source);
    if (crier_file_read(file, 16 << 20, source, NULL) != 0)
        crier_buf_clear(source);
    for (guint i = 0; source->data && hidden && i < hidden->len; i++) {
        size_t len = strlen(hidden->pdata[i]);
        char *at = source->data;
        while ((at = memmem(at, (size_t)(source->data + source->len - at), hidden->pdata[i], len)))
            memset(at, '*', len);
    }
}

void crier_diags_print(struct crier_diags *d, FILE *to, enum crier_diag_format format, bool color)
{
    struct crier_buf out = {0}, source = {0};
    const struct palette *pal = color && format == CRIER_DIAG_TERMINAL ? &colors : &plain;
    const char *open = NULL; /* the file that source holds */
    crier_diags_sort(d);
    for (size_t i = 0; i < d->count; i++) {
        const struct crier_diag *diag = &d->items[i];
        if (format == CRIER_DIAG_JSON)
            crier_diag_json(diag, &out);
        else
            put_line(diag, pal, &out);
        if (format == CRIER_DIAG_TERMINAL && diag->file) {
            if (!open || strcmp(open, diag->file) != 0)
                read_source(diag->file, d->hidden, &source);
            open = diag->file;
            put_source(diag, &source, pal, &out);
        }
        crier_buf_putc(&out, '\n');
    }
    if (out.len)
        fwrite(out.data, 1, out.len, to);
    crier_buf_fini(&out);
    crier_buf_fini(&source);
}

enum crier_diag_format crier_diag_format_for(FILE *to, bool *color)
{
    bool tty = isatty(fileno(to)) == 1;
    const char *no_color = getenv("NO_COLOR"); /* https://no-color.org: any text but an empty one */
    const char *term = getenv("TERM");
    *color = tty && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
    return tty ? CRIER_DIAG_TERMINAL : CRIER_DIAG_PLAIN;
}
