/* SPDX-License-Identifier: MIT */
#include "sim/model.h"

#include <stdio.h>

#include "base/duration.h"

enum { WIDTH = 80, INDENT = 4, BOX = 66 /* inner width of an embed's box */ };

struct pen {
    struct crier_buf *out;
    struct crier_zone *zone;
    bool color;
};

/* --- text ---------------------------------------------------------------------------------- */

static void style(struct pen *pen, const char *code)
{
    if (pen->color)
        crier_buf_printf(pen->out, "\033[%sm", code);
}

static void repeat(struct pen *pen, const char *text, int times)
{
    while (times-- > 0)
        crier_buf_puts(pen->out, text);
}

static int char_width(gunichar c)
{
    if (g_unichar_iszerowidth(c))
        return 0;
    /* Emoji that terminals draw wide although the table of East Asian widths leaves them out. */
    return g_unichar_iswide(c) || (c >= 0x1f300 && c <= 0x1faff) ? 2 : 1;
}

/* The character at p and how long it is; bytes that are no UTF-8 and control characters become
 * U+FFFD, so that no message can steer a terminal. */
static size_t next_char(const char *p, size_t left, gunichar *c)
{
    *c = g_utf8_get_char_validated(p, (gssize)left);
    if (*c == (gunichar)-1 || *c == (gunichar)-2) {
        *c = 0xfffd;
        return 1;
    }
    size_t n = (size_t)(g_utf8_next_char(p) - p);
    if (g_unichar_iscntrl(*c))
        *c = 0xfffd;
    return n;
}

static int text_width(const char *text, size_t len)
{
    int width = 0;
    for (size_t i = 0; i < len;) {
        gunichar c;
        i += next_char(text + i, len - i, &c);
        width += char_width(c);
    }
    return width;
}

static void put(struct pen *pen, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        gunichar c;
        char utf8[6];
        i += next_char(text + i, len - i, &c);
        crier_buf_append(pen->out, utf8, (size_t)g_unichar_to_utf8(c, utf8));
    }
}

/* How much of a line fits into width: up to a space if there is one, else to the last character.
 * *skip: what separates it from the next piece. */
static size_t fit(const char *text, size_t len, int width, size_t *skip)
{
    size_t space = 0, i = 0;
    int used = 0;
    *skip = 0;
    while (i < len) {
        gunichar c;
        size_t n = next_char(text + i, len - i, &c);
        if (text[i] == ' ')
            space = i;
        used += char_width(c);
        if (used > width)
            break;
        i += n;
    }
    if (i == len || (!space && text[i] != ' '))
        return i ? i : 1;
    size_t cut = text[i] == ' ' ? i : space;
    *skip = 1;
    return cut;
}

/* Calls line() for each line of the wrapped text. */
static void wrap(struct pen *pen, const char *text, int width,
                 void (*line)(struct pen *pen, const char *text, size_t len, void *arg), void *arg)
{
    do {
        size_t len = strcspn(text, "\n");
        size_t left = len;
        const char *p = text;
        do {
            size_t skip = 0;
            size_t n = left ? fit(p, left, width, &skip) : 0;
            line(pen, p, n, arg);
            p += n + skip;
            left -= n + skip;
        } while (left);
        text += len + (text[len] == '\n');
    } while (*text);
}

static void plain_line(struct pen *pen, const char *text, size_t len, void *arg)
{
    (void)arg;
    if (len)
        repeat(pen, " ", INDENT);
    put(pen, text, len);
    crier_buf_putc(pen->out, '\n');
}

/* --- embeds -------------------------------------------------------------------------------- */

struct box {
    char color[24]; /* of the frame */
    const char *style; /* of the text */
};

static void box_edge(struct pen *pen, const struct box *box, const char *left, const char *right)
{
    repeat(pen, " ", INDENT);
    style(pen, box->color);
    crier_buf_puts(pen->out, left);
    repeat(pen, "─", BOX + 2);
    crier_buf_puts(pen->out, right);
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
}

static void box_line(struct pen *pen, const char *text, size_t len, void *arg)
{
    const struct box *box = arg;
    repeat(pen, " ", INDENT);
    style(pen, box->color);
    crier_buf_puts(pen->out, "│ ");
    style(pen, "0");
    if (box->style)
        style(pen, box->style);
    put(pen, text, len);
    if (box->style)
        style(pen, "0");
    repeat(pen, " ", BOX - text_width(text, len));
    style(pen, box->color);
    crier_buf_puts(pen->out, " │");
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
}

static void box_text(struct pen *pen, struct box *box, const char *code, const char *text)
{
    box->style = code;
    if (text && *text)
        wrap(pen, text, BOX, box_line, box);
}

static const char *member(const json_t *obj, const char *a, const char *b)
{
    const json_t *v = json_object_get(obj, a);
    return json_string_value(b ? json_object_get(v, b) : v);
}

static void box_link(struct pen *pen, struct box *box, const char *what, const char *url)
{
    if (!url)
        return;
    char *text = crier_asprintf("%s %s", what, url);
    box_text(pen, box, "2", text);
    free(text);
}

static void embed(struct pen *pen, const json_t *e)
{
    struct box box = {.color = "90"};
    size_t i;
    const json_t *field;
    const json_t *color = json_object_get(e, "color");
    if (color) {
        long long rgb = json_integer_value(color);
        snprintf(box.color, sizeof box.color, "38;2;%d;%d;%d", (int)(rgb >> 16 & 255),
                 (int)(rgb >> 8 & 255), (int)(rgb & 255));
    }
    box_edge(pen, &box, "╭", "╮");
    box_text(pen, &box, "2", member(e, "author", "name"));
    box_text(pen, &box, "1", member(e, "title", NULL));
    box_text(pen, &box, NULL, member(e, "description", NULL));
    json_array_foreach (json_object_get(e, "fields"), i, field) {
        box_text(pen, &box, "1", member(field, "name", NULL));
        box_text(pen, &box, NULL, member(field, "value", NULL));
    }
    box_link(pen, &box, "thumbnail", member(e, "thumbnail", "url"));
    box_link(pen, &box, "image", member(e, "image", "url"));
    box_text(pen, &box, "2", member(e, "footer", "text"));
    box_edge(pen, &box, "╰", "╯");
}

/* --- messages ------------------------------------------------------------------------------ */

static void size_text(uint64_t size, char *out, size_t cap)
{
    static const char *const units[] = {"KiB", "MiB", "GiB"};
    double v = (double)size;
    size_t u = 0;
    if (size < 1024) {
        snprintf(out, cap, "%llu B", (unsigned long long)size);
        return;
    }
    for (v /= 1024; v >= 1024 && u + 1 < CRIER_COUNT(units); u++)
        v /= 1024;
    snprintf(out, cap, "%.1f %s", v, units[u]);
}

static void file(struct pen *pen, const struct sim_file *f)
{
    char size[32];
    size_text(f->size, size, sizeof size);
    repeat(pen, " ", INDENT);
    style(pen, "36");
    crier_buf_puts(pen->out, "[file] ");
    put(pen, f->name, strlen(f->name));
    style(pen, "0");
    style(pen, "2");
    crier_buf_printf(pen->out, "  %s", size);
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
}

static void reactions(struct pen *pen, const struct sim_message *m)
{
    if (!m->reactions || !m->reactions->len)
        return;
    repeat(pen, " ", INDENT);
    for (guint i = 0; i < m->reactions->len; i++) {
        const struct sim_reaction *r = m->reactions->pdata[i];
        crier_buf_puts(pen->out, i ? "  " : "");
        put(pen, r->emoji, strcspn(r->emoji, ":"));
        crier_buf_printf(pen->out, " %u", r->users->len);
    }
    crier_buf_putc(pen->out, '\n');
}

static void head(struct pen *pen, const struct sim_channel *channel, const struct sim_message *m)
{
    char when[32];
    crier_buf_puts(pen->out, "  ");
    style(pen, "1;34");
    put(pen, m->author->name, strlen(m->author->name));
    style(pen, "0");
    style(pen, "2");
    crier_buf_printf(pen->out, "  %s", crier_time_human(pen->zone, m->time, when));
    if (m->edited)
        crier_buf_puts(pen->out, "  (edited)");
    if (m->flags & 1)
        crier_buf_puts(pen->out, "  (published)");
    const struct sim_message *to = m->reply_to ? sim_message_find(channel, m->reply_to) : NULL;
    if (to) {
        crier_buf_puts(pen->out, "  > ");
        put(pen, to->author->name, strlen(to->author->name));
    }
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
}

static void message(struct pen *pen, const struct sim_channel *channel, const struct sim_message *m)
{
    size_t i;
    const json_t *e;
    head(pen, channel, m);
    if (*m->content)
        wrap(pen, m->content, WIDTH - INDENT, plain_line, NULL);
    json_t *embeds = m->embeds ? json_loads(m->embeds, 0, NULL) : NULL;
    json_array_foreach (embeds, i, e)
        embed(pen, e);
    json_decref(embeds);
    for (unsigned f = 0; f < m->file_count; f++)
        file(pen, &m->files[f]);
    reactions(pen, m);
}

/* --- channels ------------------------------------------------------------------------------ */

/* "━━ Name ━━━━━━━━━" over the whole width; a name that is too long is cut. */
static void banner(struct pen *pen, const char *name)
{
    size_t skip, len = strlen(name);
    if (text_width(name, len) > WIDTH - 8)
        len = fit(name, len, WIDTH - 8, &skip);
    style(pen, "1");
    crier_buf_puts(pen->out, "━━ ");
    put(pen, name, len);
    crier_buf_putc(pen->out, ' ');
    repeat(pen, "━", WIDTH - 4 - text_width(name, len));
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
}

static void channel_part(struct pen *pen, const struct sim_channel *channel, unsigned last)
{
    size_t from = last && channel->count > last ? channel->count - last : 0;
    crier_buf_putc(pen->out, '\n');
    style(pen, "1;33");
    crier_buf_puts(pen->out, channel->of ? " @ " : " # ");
    put(pen, channel->name, strlen(channel->name));
    style(pen, "0");
    style(pen, "2");
    if (!channel->count)
        crier_buf_puts(pen->out, "  no messages");
    else if (from)
        crier_buf_printf(pen->out, "  the last %zu of %zu messages", channel->count - from,
                         channel->count);
    style(pen, "0");
    crier_buf_putc(pen->out, '\n');
    for (size_t i = from; i < channel->count; i++) {
        if (i > from)
            crier_buf_putc(pen->out, '\n');
        message(pen, channel, channel->window[channel->head + i]);
    }
}

void crier_sim_transcript(struct crier_sim *sim, unsigned last, bool color, struct crier_buf *out)
{
    struct pen pen = {.out = out, .color = color};
    bool titled = false;
    if (crier_zone_open(NULL, &pen.zone, NULL) != 0)
        pen.zone = NULL;
    for (guint i = 0; i < sim->guild_order->len; i++) {
        const struct sim_guild *guild = sim->guild_order->pdata[i];
        if (i)
            crier_buf_putc(out, '\n');
        banner(&pen, guild->name);
        for (guint c = 0; c < guild->channels->len; c++)
            channel_part(&pen, guild->channels->pdata[c], last);
    }
    for (guint i = 0; i < sim->channel_order->len; i++) {
        const struct sim_channel *channel = sim->channel_order->pdata[i];
        if (channel->guild)
            continue;
        if (!titled) {
            crier_buf_puts(out, sim->guild_order->len ? "\n" : "");
            banner(&pen, "Direct messages");
        }
        titled = true;
        channel_part(&pen, channel, last);
    }
    crier_zone_unref(pen.zone);
}

/* --- dump ---------------------------------------------------------------------------------- */

static json_t *channel_dump(struct crier_sim *sim, const struct sim_channel *channel)
{
    char id[24];
    struct crier_buf b = {0};
    json_t *messages = json_array();
    for (size_t i = 0; i < channel->count; i++) {
        crier_buf_clear(&b);
        sim_message_json(sim, &b, channel, channel->window[channel->head + i], SIM_WITH_NONCE,
                         NULL);
        json_array_append_new(messages, json_loadb(b.data, b.len, JSON_ALLOW_NUL, NULL));
    }
    crier_buf_fini(&b);
    snprintf(id, sizeof id, "%llu", (unsigned long long)channel->id);
    json_t *obj = json_object();
    json_object_set_new(obj, "id", json_string(id));
    json_object_set_new(obj, "name", json_string(channel->name));
    json_object_set_new(obj, "type", json_integer(channel->type));
    json_object_set_new(obj, "guild",
                        channel->guild ? json_string(channel->guild->name) : json_null());
    json_object_set_new(obj, "messages", messages);
    return obj;
}

json_t *crier_sim_dump(struct crier_sim *sim)
{
    json_t *list = json_array();
    for (guint i = 0; i < sim->channel_order->len; i++)
        json_array_append_new(list, channel_dump(sim, sim->channel_order->pdata[i]));
    return json_pack("{s:o}", "channels", list);
}
