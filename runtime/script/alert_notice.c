/* SPDX-License-Identifier: MIT */
#include "script/alert_notice.h"

#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/duration.h"
#include "record/read.h"

#define DISCORD_UNITS 2000
#define SLACK_UNITS 4000
#define SUBJECT_UNITS 200
#define WORD 45 /* bytes in an encoded word, which then has 72 characters; in the first one less, */
#define FIRST 36 /* for the header's name */
#define WIDTH 57 /* bytes in a line of base64, which then has 76 */

static const char *const states[] = {"firing", "again", "resolved", "left out"};

struct crier_notice *crier_notice_new(void)
{
    struct crier_notice *n = crier_calloc(1, sizeof *n);
    n->refs = 1;
    return n;
}

struct crier_notice *crier_notice_ref(struct crier_notice *n)
{
    n->refs++;
    return n;
}

void crier_notice_unref(struct crier_notice *n)
{
    if (!n || --n->refs)
        return;
    free(n->alert);
    free(n->key);
    free(n->text);
    free(n->node);
    free(n->record);
    free(n);
}

/* --- JSON -------------------------------------------------------------------------------- */

static int64_t wall_of(const json_t *o, const char *key)
{
    int64_t wall = 0;
    const char *s = json_string_value(json_object_get(o, key));
    return s && crier_time_read(s, strlen(s), &wall) ? wall : 0;
}

char *crier_notice_json(const struct crier_notice *n)
{
    char since[32], time[32];
    json_t *record = n->record ? json_loads(n->record, JSON_DECODE_ANY, NULL) : NULL;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s}", "id", n->id,
                          "alert", n->alert, "key", n->key, "state", n->state, "level",
                          crier_level_name(n->level), "text", n->text, "count",
                          (json_int_t)n->count, "since", crier_time_rfc3339(n->since, since),
                          "time", crier_time_rfc3339(n->time, time), "node", n->node);
    if (record)
        json_object_set_new(o, "record", record);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return crier_strdup(s ? s : "");
}

struct crier_notice *crier_notice_from_json(const char *json)
{
    json_t *o = json_loads(json, 0, NULL);
    const char *state = json_string_value(json_object_get(o, "state"));
    const char *id = json_string_value(json_object_get(o, "id"));
    const char *level = json_string_value(json_object_get(o, "level"));
    struct crier_notice *n = NULL;
    if (!state || !id || !level || strlen(id) != sizeof n->id - 1)
        goto out;
    n = crier_notice_new();
    n->state = states[0];
    for (size_t i = 0; i < CRIER_COUNT(states); i++)
        if (strcmp(states[i], state) == 0)
            n->state = states[i];
    memcpy(n->id, id, sizeof n->id);
    if (!crier_level_parse(level, strlen(level), &n->level))
        n->level = CRIER_LEVEL_ERROR;
    n->alert = text_of(o, "alert");
    n->key = text_of(o, "key");
    n->text = text_of(o, "text");
    n->node = text_of(o, "node");
    n->count = (uint64_t)json_integer_value(json_object_get(o, "count"));
    n->since = wall_of(o, "since");
    n->time = wall_of(o, "time");
    const json_t *record = json_object_get(o, "record");
    n->record = record ? json_dumps(record, JSON_COMPACT) : NULL;
out:
    json_decref(o);
    return n;
}

/* --- texts ------------------------------------------------------------------------------- */

/* Bytes of the character at p, and its UTF-16 units. */
static size_t character(const char *p, size_t *units)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *units = n == 4 ? 2 : 1;
    return n;
}

char *crier_text_cut(const char *given, size_t units)
{
    size_t used = 0, kept = 0, at = 0, n;
    char *text = g_utf8_make_valid(given, -1), *cut = NULL;
    while (text[at] && !cut) {
        size_t len = character(text + at, &n);
        if (used + n > units)
            cut = crier_asprintf("%.*s%s", (int)kept, text, units >= 3 ? "..." : "");
        used += n;
        at += len;
        if (used + 3 <= units)
            kept = at;
    }
    if (!cut)
        cut = crier_strdup(text);
    g_free(text);
    return cut;
}

static char *count_text(const struct crier_notice *n)
{
    char since[32];
    crier_time_rfc3339(n->since, since);
    since[19] = '\0'; /* to the second */
    return n->count > 1 ? crier_asprintf(" (%llu times since %sZ)", (unsigned long long)n->count,
                                         since)
                        : crier_strdup("");
}

char *crier_notice_line(const struct crier_notice *n, size_t units)
{
    char *count = count_text(n);
    char *whole = crier_asprintf("[%s] %s %s: %s%s", n->node, n->alert, n->state, n->text, count);
    char *cut = crier_text_cut(whole, units);
    free(whole);
    free(count);
    return cut;
}

static char *dump(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text ? text : crier_strdup("{}");
}

char *crier_notice_discord(const struct crier_notice *n)
{
    char *line = crier_notice_line(n, DISCORD_UNITS);
    char *body = dump(json_pack("{s:s, s:{s:[]}}", "content", line, "allowed_mentions", "parse"));
    free(line);
    return body;
}

/* Slack's own marks begin with <, and <!channel> pings. */
char *crier_notice_slack(const struct crier_notice *n)
{
    char *line = crier_notice_line(n, SLACK_UNITS);
    struct crier_buf b = {0};
    for (const char *p = line; *p; p++) {
        if (*p == '<')
            crier_buf_puts(&b, "&lt;");
        else if (*p == '>')
            crier_buf_puts(&b, "&gt;");
        else if (*p == '&')
            crier_buf_puts(&b, "&amp;");
        else
            crier_buf_putc(&b, *p);
    }
    char *body = dump(json_pack("{s:s}", "text", b.data ? b.data : ""));
    crier_buf_fini(&b);
    free(line);
    return body;
}

/* --- mail -------------------------------------------------------------------------------- */

char *crier_mail_address(const char *text)
{
    const char *open = strrchr(text, '<'), *close = open ? strchr(open, '>') : NULL;
    return close ? crier_strndup(open + 1, (size_t)(close - open - 1)) : crier_strdup(text);
}

bool crier_mail_address_ok(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    const char *open = strrchr(text, '<');
    if (open && (open[strlen(open) - 1] != '>' || !g_utf8_validate(text, -1, NULL)))
        return false;
    char *address = crier_mail_address(text);
    const char *at = strrchr(address, '@');
    bool ok = at && at > address && at[1] && !strpbrk(address, " <>(),;:\"\\");
    for (const char *p = address; *p; p++)
        ok = ok && (unsigned char)*p < 0x80;
    free(address);
    return ok;
}

static bool is_plain(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            return false;
    return !strstr(s, "=?");
}

/* The value of a header: as it is, or as encoded words (RFC 2047), each of whole characters. */
static void put_words(struct crier_buf *out, const char *s)
{
    if (is_plain(s) && strlen(s) <= SUBJECT_UNITS * 4) {
        crier_buf_puts(out, s);
        return;
    }
    for (bool first = true; *s; first = false) {
        size_t len = 0, units;
        while (s[len]) {
            size_t n = character(s + len, &units);
            if (len + n > (first ? FIRST : WORD))
                break;
            len += n;
        }
        char *word = g_base64_encode((const guchar *)s, len);
        crier_buf_printf(out, "%s=?UTF-8?B?%s?=", first ? "" : "\r\n ", word);
        g_free(word);
        s += len;
    }
}

static void put_address(struct crier_buf *out, const char *text)
{
    char *address = crier_mail_address(text);
    const char *open = strrchr(text, '<');
    size_t len = open ? (size_t)(open - text) : 0;
    while (len && text[len - 1] == ' ')
        len--;
    char *name = crier_strndup(text, len);
    if (*name && is_plain(name) && strpbrk(name, "()<>@,;:\\\".[]") && *name != '"') {
        crier_buf_putc(out, '"');
        for (const char *p = name; *p; p++) {
            if (*p == '"' || *p == '\\')
                crier_buf_putc(out, '\\');
            crier_buf_putc(out, *p);
        }
        crier_buf_printf(out, "\" <%s>", address);
    } else if (*name) {
        put_words(out, name);
        crier_buf_printf(out, " <%s>", address);
    } else {
        crier_buf_puts(out, address);
    }
    free(name);
    free(address);
}

/* RFC 5322, in UTC. */
static void put_date(struct crier_buf *out, int64_t wall)
{
    static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t seconds = wall / CRIER_S, day = seconds / 86400;
    struct crier_civil c = {0};
    crier_civil_from_days(day, &c);
    int s = (int)(seconds % 86400);
    crier_buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[(day + 3) % 7],
                     c.day, months[c.month - 1], c.year, s / 3600, s / 60 % 60, s % 60);
}

/* Control characters would end the header. */
static char *one_line(char *s)
{
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return s;
}

static char *fill_in(const struct crier_notice *n, const char *subject)
{
    const struct {
        const char *word, *value;
    } words[] = {{"{name}", n->alert},
                 {"{state}", n->state},
                 {"{text}", n->text},
                 {"{node}", n->node},
                 {"{level}", crier_level_name(n->level)}};
    struct crier_buf b = {0};
    crier_buf_puts(&b, "");
    while (*subject) {
        size_t i = 0;
        while (i < CRIER_COUNT(words) &&
               strncmp(subject, words[i].word, strlen(words[i].word)) != 0)
            i++;
        if (i < CRIER_COUNT(words)) {
            crier_buf_puts(&b, words[i].value);
            subject += strlen(words[i].word);
        } else {
            crier_buf_putc(&b, *subject++);
        }
    }
    char *whole = g_utf8_make_valid(b.data, -1), *cut = crier_text_cut(whole, SUBJECT_UNITS);
    g_free(whole);
    crier_buf_fini(&b);
    return one_line(cut);
}

static void put_body(struct crier_buf *out, const struct crier_notice *n)
{
    struct crier_buf b = {0};
    char since[32], time[32];
    crier_buf_printf(&b, "%s\n\n", n->text);
    crier_buf_printf(&b, "alert:  %s\nstate:  %s\nlevel:  %s\nsince:  %s\ntold:   %s\n", n->alert,
                     n->state, crier_level_name(n->level), crier_time_rfc3339(n->since, since),
                     crier_time_rfc3339(n->time, time));
    if (n->count > 1)
        crier_buf_printf(&b, "count:  %llu\n", (unsigned long long)n->count);
    if (*n->key)
        crier_buf_printf(&b, "key:    %s\n", n->key);
    crier_buf_printf(&b, "node:   %s\n", n->node);
    if (n->record)
        crier_buf_printf(&b, "\n%s\n", n->record);
    for (size_t at = 0; at < b.len; at += WIDTH) {
        size_t len = b.len - at < WIDTH ? b.len - at : WIDTH;
        char *line = g_base64_encode((const guchar *)b.data + at, len);
        crier_buf_printf(out, "%s\r\n", line);
        g_free(line);
    }
    crier_buf_fini(&b);
}

void crier_notice_mail(const struct crier_notice *n, const char *from, char *const *to,
                       size_t to_count, const char *subject, struct crier_buf *out)
{
    put_date(out, n->time);
    crier_buf_puts(out, "From: ");
    put_address(out, from);
    crier_buf_puts(out, "\r\nTo: ");
    for (size_t i = 0; i < to_count; i++) {
        crier_buf_puts(out, i ? ",\r\n " : "");
        put_address(out, to[i]);
    }
    char *line = fill_in(n, subject), *node = g_strdup(n->node);
    crier_buf_puts(out, "\r\nSubject: ");
    put_words(out, line);
    for (char *p = node; *p; p++)
        if (!g_ascii_isalnum(*p) && *p != '-' && *p != '.')
            *p = '-';
    crier_buf_printf(out, "\r\nMessage-ID: <%s@%s>\r\n", n->id, *node ? node : "crier");
    crier_buf_puts(out, "Auto-Submitted: auto-generated\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: base64\r\n\r\n");
    put_body(out, n);
    g_free(node);
    free(line);
}
