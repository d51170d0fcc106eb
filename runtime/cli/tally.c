/* SPDX-License-Identifier: MIT */
#include "cli/tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "script/message.h"

#define MINUTE (60 * CRIER_S)

static void channel_free(void *p)
{
    struct crier_tally_channel *c = p;
    free(c->name);
    free(c->guild);
    free(c);
}

static void row_free(void *p)
{
    struct crier_tally_row *r = p;
    for (size_t i = 0; i < CRIER_COUNT(r->columns); i++)
        free(r->columns[i]);
    free(r->guild);
    free(r->name);
    free(r);
}

void crier_tally_init(struct crier_tally *t, int64_t from, int64_t span, bool picture)
{
    *t = (struct crier_tally){.from = from, .span = span ? span : 1, .picture = picture};
    t->minute = INT64_MIN;
    t->channels = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, channel_free);
    t->rows = g_hash_table_new_full(g_str_hash, g_str_equal, free, row_free);
    t->failures = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    t->skips = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    t->problems = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    t->alerts = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
}

void crier_tally_fini(struct crier_tally *t)
{
    g_hash_table_destroy(t->channels);
    g_hash_table_destroy(t->rows);
    g_hash_table_destroy(t->failures);
    g_hash_table_destroy(t->skips);
    g_hash_table_destroy(t->problems);
    g_hash_table_destroy(t->alerts);
    crier_buf_fini(&t->key);
}

/* --- counting ------------------------------------------------------------------------------- */

static void count_text(GHashTable *texts, struct crier_str text, uint64_t n)
{
    char key[300];
    snprintf(key, sizeof key, "%.*s", (int)(text.len < 299 ? text.len : 299), text.data);
    uint64_t *count = g_hash_table_lookup(texts, key);
    if (!count) {
        count = crier_calloc(1, sizeof *count);
        g_hash_table_insert(texts, crier_strdup(key), count);
    }
    *count += n;
}

static void count_minute(struct crier_tally *t, int64_t time)
{
    int64_t minute = time / MINUTE;
    if (minute != t->minute) {
        t->minute = minute;
        t->in_minute = 0;
    }
    if (++t->in_minute > t->in_busiest) {
        t->in_busiest = t->in_minute;
        t->busiest = minute;
    }
}

static struct crier_tally_channel *channel(struct crier_tally *t, uint64_t id)
{
    struct crier_tally_channel *c = g_hash_table_lookup(t->channels, &id);
    if (!c) {
        c = crier_calloc(1, sizeof *c);
        c->id = id;
        g_hash_table_insert(t->channels, &c->id, c);
    }
    return c;
}

static void set_text(char **to, const char *prefix, struct crier_str s)
{
    size_t n = strlen(prefix);
    if (*to && strncmp(*to, prefix, n) == 0 && strlen(*to + n) == s.len &&
        memcmp(*to + n, s.data, s.len) == 0)
        return;
    free(*to);
    *to = crier_asprintf("%s%.*s", prefix, (int)s.len, s.data);
}

static struct crier_tally_row *row(struct crier_tally *t, struct crier_str guild,
                                   struct crier_str name)
{
    struct crier_buf *key = &t->key;
    crier_buf_clear(key);
    crier_buf_append(key, guild.data, guild.len);
    crier_buf_putc(key, '/');
    crier_buf_append(key, name.data, name.len);
    struct crier_tally_row *r = g_hash_table_lookup(t->rows, key->data);
    if (r)
        return r;
    r = crier_calloc(1, sizeof *r);
    r->guild = crier_strndup(guild.data, guild.len);
    r->name = crier_strndup(name.data, name.len);
    for (size_t i = 0; t->picture && i < CRIER_COUNT(r->columns); i++)
        r->columns[i] = crier_calloc(CRIER_TALLY_COLUMNS, sizeof *r->columns[i]);
    g_hash_table_insert(t->rows, crier_strdup(key->data), r);
    return r;
}

static void mark(const struct crier_tally *t, struct crier_tally_row *r, int what, int64_t time)
{
    if (!t->picture)
        return;
    int64_t at = (int64_t)((double)(time - t->from) / (double)t->span * CRIER_TALLY_COLUMNS);
    at = at < 0 ? 0 : at >= CRIER_TALLY_COLUMNS ? CRIER_TALLY_COLUMNS - 1 : at;
    if (r->columns[what][at] < UINT16_MAX)
        r->columns[what][at]++;
}

/* A record's message, read once. */
struct seen {
    struct crier_str name, guild, skipped, reason;
    struct crier_value channels;
    uint64_t guild_id;
    int64_t waited, occurrences;
    bool dm, success, has_channels;
};

static void read_guild(const struct crier_value *v, struct seen *s)
{
    struct crier_iter it = crier_values(v);
    struct crier_value m;
    while (crier_next(&it, &m)) {
        if (m.key.len == 4 && memcmp(m.key.data, "name", 4) == 0)
            s->guild = m.s;
        else if (m.key.len == 2)
            s->guild_id = m.u;
    }
}

static void read_success(const struct crier_value *v, struct seen *s)
{
    struct crier_iter it = crier_values(v);
    struct crier_value m;
    s->dm = true;
    while (crier_next(&it, &m)) {
        if (m.type == CRIER_STR)
            s->reason = m.s;
        else
            s->success = m.type == CRIER_TRUE;
    }
}

static bool is(struct crier_str s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.data, text, s.len) == 0;
}

static void read_message(const struct crier_record *record, struct seen *s)
{
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    *s = (struct seen){.occurrences = 1};
    while (crier_next(&it, &v)) {
        if (is(v.key, "name"))
            s->name = v.s;
        else if (is(v.key, "guild"))
            read_guild(&v, s);
        else if (is(v.key, "skipped"))
            s->skipped = v.s;
        else if (is(v.key, "occurrences"))
            s->occurrences = v.i;
        else if (is(v.key, "waited"))
            s->waited = (int64_t)(v.type == CRIER_NUM ? v.n * 1e6 : (double)v.i * 1e6);
        else if (is(v.key, "success_info"))
            read_success(&v, s);
        else if (is(v.key, "channels")) {
            s->channels = v;
            s->has_channels = true;
        }
    }
}

static void count_channels(struct crier_tally *t, const struct seen *s, int64_t time)
{
    struct crier_iter lists = crier_values(&s->channels), items, members;
    struct crier_value list, item, m;
    while (crier_next(&lists, &list)) {
        bool ok = is(list.key, "successful");
        items = crier_values(&list);
        while (crier_next(&items, &item)) {
            struct crier_str name = {0}, reason = {0};
            uint64_t id = 0;
            members = crier_values(&item);
            while (crier_next(&members, &m)) {
                if (is(m.key, "name"))
                    name = m.s;
                else if (is(m.key, "id"))
                    id = m.u;
                else
                    reason = m.s;
            }
            struct crier_tally_channel *c = channel(t, id);
            set_text(&c->name, "#", name);
            set_text(&c->guild, "", s->guild);
            c->sent += ok;
            c->failed += !ok;
            c->waited += s->waited;
            t->to_channels += ok;
            if (ok)
                count_minute(t, time);
            else
                count_text(t->failures, reason, 1);
        }
    }
}

static void count_dm(struct crier_tally *t, const struct seen *s, int64_t time)
{
    struct crier_tally_channel *c = channel(t, s->guild_id);
    set_text(&c->name, "@", s->guild);
    set_text(&c->guild, "", s->guild);
    c->sent += s->success;
    c->failed += !s->success;
    c->waited += s->waited;
    t->to_channels += s->success;
    if (s->success)
        count_minute(t, time);
    else
        count_text(t->failures, s->reason, 1);
}

static void count_message(struct crier_tally *t, const struct crier_record *record)
{
    struct seen s;
    int64_t time = crier_record_time(record);
    read_message(record, &s);
    struct crier_tally_row *r = row(t, s.guild, s.name);
    if (s.skipped.len) {
        t->skipped += (uint64_t)s.occurrences;
        r->skipped += (uint64_t)s.occurrences;
        count_text(t->skips, s.skipped, (uint64_t)s.occurrences);
        mark(t, r, 2, time);
        return;
    }
    bool ok = crier_record_ok(record) == 1;
    t->sends++;
    t->ok += ok;
    t->failed += !ok;
    r->sent += ok;
    r->failed += !ok;
    mark(t, r, !ok, time);
    if (s.waited) {
        t->waits++;
        t->waited += s.waited;
    }
    if (s.has_channels)
        count_channels(t, &s, time);
    else if (s.dm)
        count_dm(t, &s, time);
}

static void count_alert(struct crier_tally *t, const struct crier_record *record)
{
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    struct crier_str name = {0};
    bool fires = false;
    while (crier_next(&it, &v)) {
        if (is(v.key, "alert"))
            name = v.s;
        else if (is(v.key, "state"))
            fires = is(v.s, "firing");
    }
    if (name.len && fires)
        count_text(t->alerts, name, 1);
    else if (!name.len && crier_record_level(record) >= CRIER_LEVEL_WARNING)
        count_text(t->problems, crier_record_text(record), 1);
}

void crier_tally_record(struct crier_tally *t, const struct crier_record *record)
{
    t->records++;
    switch (crier_record_kind(record)) {
    case CRIER_KIND_MESSAGE:
        count_message(t, record);
        break;
    case CRIER_KIND_SYSTEM:
        if (is(crier_record_logger(record), "alert"))
            count_alert(t, record);
        else if (crier_record_level(record) >= CRIER_LEVEL_WARNING)
            count_text(t->problems, crier_record_text(record), 1);
        break;
    case CRIER_KIND_TASK:
        t->tasks++;
        break;
    case CRIER_KIND_EVENT:
        t->events++;
        break;
    default:
        t->logs++;
    }
}

void crier_tally_create(void *arg, uint64_t id, unsigned pings)
{
    if (pings)
        channel(arg, id)->pings += pings;
}

/* --- telling -------------------------------------------------------------------------------- */

static gint by_place(gconstpointer a, gconstpointer b)
{
    const struct crier_tally_channel *x = *(void *const *)a, *y = *(void *const *)b;
    int c = g_strcmp0(x->guild, y->guild);
    if (c == 0)
        c = g_strcmp0(x->name, y->name);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

GPtrArray *crier_tally_channels(const struct crier_tally *t)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, t->channels);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_ptr_array_add(list, value);
    g_ptr_array_sort(list, by_place);
    return list;
}

struct counted {
    const char *text;
    uint64_t n;
};

static gint by_count(gconstpointer a, gconstpointer b)
{
    const struct counted *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->text, y->text);
}

static GArray *counted(GHashTable *texts)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(struct counted));
    GHashTableIter it;
    gpointer key, value;
    g_hash_table_iter_init(&it, texts);
    while (g_hash_table_iter_next(&it, &key, &value)) {
        struct counted c = {key, *(uint64_t *)value};
        g_array_append_val(list, c);
    }
    g_array_sort(list, by_count);
    return list;
}

static void often(const char *what, uint64_t n, char *out, size_t cap)
{
    if (n == 1)
        snprintf(out, cap, "%s once", what);
    else
        snprintf(out, cap, "%s %" PRIu64 " times", what, n);
}

/* Why a message was never sent; "" when it was. */
static void why_never(const struct crier_message *m, const struct crier_zone *zone, int64_t end,
                      char *out, size_t cap)
{
    const struct crier_msgstate *st = m->state;
    char when[32];
    *out = '\0';
    if (!crier_message_is_live(m) || st->sent)
        return;
    if (st->failed)
        often("failed", st->failed, out, cap);
    else if (st->skipped)
        often("skipped", st->skipped, out, cap);
    else if (st->ended)
        snprintf(out, cap, "remove_after was reached before");
    else if (st->due == CRIER_NEVER)
        snprintf(out, cap, "its calendar has come to its end");
    else if (st->due >= end)
        snprintf(out, cap, "first due %s, after the end", crier_time_human(zone, st->due, when));
    else
        snprintf(out, cap, "due %s, and not done at the end",
                 crier_time_human(zone, st->due, when));
}

static void text_counts(struct crier_buf *out, const char *title, GHashTable *texts)
{
    enum { SHOWN = 10 };
    GArray *list = counted(texts);
    for (guint i = 0; i < list->len && i < SHOWN; i++) {
        const struct counted *c = &g_array_index(list, struct counted, i);
        crier_buf_printf(out, "%-15s %" PRIu64 " x %s\n", i ? "" : title, c->n, c->text);
    }
    if (list->len > SHOWN)
        crier_buf_printf(out, "%-15s and %u more\n", "", list->len - SHOWN);
    g_array_free(list, TRUE);
}

static void text_channels(const struct crier_tally *t, struct crier_buf *out)
{
    enum { SHOWN = 100 };
    GPtrArray *list = crier_tally_channels(t);
    if (list->len)
        crier_buf_printf(out, "%-28s %-24s %8s %7s %6s %s\n", "CHANNEL", "GUILD", "SENT", "FAILED",
                         "PINGS", "WAITED");
    for (guint i = 0; i < list->len && i < SHOWN; i++) {
        const struct crier_tally_channel *c = list->pdata[i];
        char waited[48];
        crier_buf_printf(out, "%-28s %-24s %8" PRIu64 " %7" PRIu64 " %6" PRIu64 " %s\n",
                         c->name ? c->name : "?", c->guild ? c->guild : "", c->sent, c->failed,
                         c->pings,
                         c->waited ? crier_duration_text(c->waited - c->waited % CRIER_MS, waited)
                                   : "-");
    }
    if (list->len > SHOWN)
        crier_buf_printf(out, "... and %u more channels\n", list->len - SHOWN);
    g_ptr_array_free(list, TRUE);
}

static void text_never(const struct crier_tally *t, const struct crier_generation *gen,
                       struct crier_buf *out)
{
    enum { SHOWN = 50 };
    char why[200], label[120];
    unsigned n = 0;
    for (guint i = 0; gen && i < crier_message_count(gen); i++) {
        const struct crier_message *m = crier_message_at(gen, i);
        why_never(m, gen->zone, t->from + t->span, why, sizeof why);
        if (*why && ++n <= SHOWN)
            crier_buf_printf(out, "%-15s message '%s': %s\n", n == 1 ? "never fired" : "",
                             crier_message_label(m, label, sizeof label), why);
    }
    for (guint i = 0; gen && i < gen->sinks->len; i++) {
        const struct crier_declared_sink *s = gen->sinks->pdata[i];
        struct crier_sink_stats st;
        crier_sink_stats(s->sink, &st);
        if (!st.accepted && ++n <= SHOWN)
            crier_buf_printf(out, "%-15s sink '%s': no record came to it\n",
                             n == 1 ? "never fired" : "", s->name);
    }
    if (n > SHOWN)
        crier_buf_printf(out, "%-15s and %u more\n", "", n - SHOWN);
}

void crier_tally_text(const struct crier_tally *t, const struct crier_generation *gen,
                      struct crier_sim *sim, struct crier_buf *out)
{
    char text[48], when[32];
    struct crier_sim_stats st = {0};
    if (sim)
        crier_sim_stats(sim, &st);
    crier_buf_printf(out, "%s: %" PRIu64 " send%s, %" PRIu64 " failed, %" PRIu64 " skipped; %" PRIu64
                          " records, %" PRIu64 " requests\n",
                     crier_duration_text(t->span, text), t->sends, t->sends == 1 ? "" : "s",
                     t->failed, t->skipped, t->records, st.requests);
    text_channels(t, out);
    if (t->in_busiest)
        crier_buf_printf(out, "%-15s %.*s, %" PRIu64 " sent\n", "busiest minute", 16,
                         crier_time_human(gen ? gen->zone : NULL, t->busiest * MINUTE, when),
                         t->in_busiest);
    crier_buf_printf(out, "%-15s %" PRIu64 " send%s waited, %s in all; %" PRIu64 " answers 429\n",
                     "rate limits", t->waits, t->waits == 1 ? "" : "s",
                     crier_duration_text(t->waited - t->waited % CRIER_MS, text), st.answers_429);
    text_counts(out, "failures", t->failures);
    text_counts(out, "skipped", t->skips);
    text_counts(out, "problems", t->problems);
    text_counts(out, "alerts", t->alerts);
    text_never(t, gen, out);
}

static void json_counts(struct crier_buf *out, const char *key, GHashTable *texts)
{
    GArray *list = counted(texts);
    crier_json_key(out, key);
    crier_json_open(out, '[');
    for (guint i = 0; i < list->len; i++) {
        const struct counted *c = &g_array_index(list, struct counted, i);
        crier_json_open(out, '{');
        crier_json_key(out, "text");
        crier_json_str(out, c->text);
        crier_json_key(out, "count");
        crier_json_uint(out, c->n);
        crier_json_close(out, '}');
    }
    crier_json_close(out, ']');
    g_array_free(list, TRUE);
}

static void json_count(struct crier_buf *out, const char *key, uint64_t n)
{
    crier_json_key(out, key);
    crier_json_uint(out, n);
}

static void json_channels(const struct crier_tally *t, struct crier_buf *out)
{
    GPtrArray *list = crier_tally_channels(t);
    crier_json_key(out, "channels");
    crier_json_open(out, '[');
    for (guint i = 0; i < list->len; i++) {
        const struct crier_tally_channel *c = list->pdata[i];
        char id[24];
        snprintf(id, sizeof id, "%" PRIu64, c->id);
        crier_json_open(out, '{');
        crier_json_key(out, "id");
        crier_json_str(out, id);
        crier_json_key(out, "name");
        crier_json_str(out, c->name ? c->name : "");
        crier_json_key(out, "guild");
        crier_json_str(out, c->guild ? c->guild : "");
        json_count(out, "sent", c->sent);
        json_count(out, "failed", c->failed);
        json_count(out, "pings", c->pings);
        crier_json_key(out, "waited");
        crier_json_num(out, (double)c->waited / 1e6);
        crier_json_close(out, '}');
    }
    crier_json_close(out, ']');
    g_ptr_array_free(list, TRUE);
}

static void json_never(const struct crier_tally *t, const struct crier_generation *gen,
                       struct crier_buf *out)
{
    char why[200], label[120];
    crier_json_key(out, "never");
    crier_json_open(out, '[');
    for (guint i = 0; gen && i < crier_message_count(gen); i++) {
        const struct crier_message *m = crier_message_at(gen, i);
        why_never(m, gen->zone, t->from + t->span, why, sizeof why);
        if (!*why)
            continue;
        crier_json_open(out, '{');
        crier_json_key(out, "what");
        crier_json_str(out, "message");
        crier_json_key(out, "name");
        crier_json_str(out, crier_message_label(m, label, sizeof label));
        crier_json_key(out, "why");
        crier_json_str(out, why);
        crier_json_close(out, '}');
    }
    crier_json_close(out, ']');
}

void crier_tally_json(const struct crier_tally *t, const struct crier_generation *gen,
                      struct crier_sim *sim, struct crier_buf *out)
{
    char when[32];
    struct crier_sim_stats st = {0};
    if (sim)
        crier_sim_stats(sim, &st);
    crier_json_open(out, '{');
    crier_json_key(out, "summary");
    crier_json_open(out, '{');
    crier_json_key(out, "from");
    crier_json_str(out, crier_time_rfc3339(t->from, when));
    crier_json_key(out, "for");
    crier_json_num(out, (double)t->span / 1e6);
    json_count(out, "sends", t->sends);
    json_count(out, "failed", t->failed);
    json_count(out, "skipped", t->skipped);
    json_count(out, "records", t->records);
    json_count(out, "requests", st.requests);
    if (t->in_busiest) {
        crier_json_key(out, "busiest_minute");
        crier_json_open(out, '{');
        crier_json_key(out, "time");
        crier_json_str(out, crier_time_rfc3339(t->busiest * MINUTE, when));
        json_count(out, "sent", t->in_busiest);
        crier_json_close(out, '}');
    }
    crier_json_key(out, "rate_limits");
    crier_json_open(out, '{');
    json_count(out, "sends", t->waits);
    crier_json_key(out, "waited");
    crier_json_num(out, (double)t->waited / 1e6);
    json_count(out, "answers_429", st.answers_429);
    crier_json_close(out, '}');
    json_counts(out, "failures", t->failures);
    json_counts(out, "skips", t->skips);
    json_counts(out, "problems", t->problems);
    json_counts(out, "alerts", t->alerts);
    json_channels(t, out);
    json_never(t, gen, out);
    crier_json_close(out, '}');
    crier_json_close(out, '}');
}

/* --- the picture ----------------------------------------------------------------------------- */

enum { LEFT = 220, ROW = 18, TOP = 40, ROWS = 200 };

static gint by_sends(gconstpointer a, gconstpointer b)
{
    const struct crier_tally_row *x = *(void *const *)a, *y = *(void *const *)b;
    uint64_t n = x->sent + x->failed + x->skipped, m = y->sent + y->failed + y->skipped;
    if (n != m)
        return (n < m) - (n > m);
    int c = strcmp(x->guild, y->guild);
    return c ? c : strcmp(x->name, y->name);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const struct crier_tally_row *x = *(void *const *)a, *y = *(void *const *)b;
    int c = strcmp(x->guild, y->guild);
    return c ? c : strcmp(x->name, y->name);
}

static void xml(struct crier_buf *out, const char *text, size_t most)
{
    size_t n = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        n += (c & 0xc0) != 0x80;
        if (n > most) {
            crier_buf_puts(out, "...");
            return;
        }
        if (c == '<')
            crier_buf_puts(out, "&lt;");
        else if (c == '&')
            crier_buf_puts(out, "&amp;");
        else if (c == '"')
            crier_buf_puts(out, "&quot;");
        else
            crier_buf_putc(out, c < 0x20 ? ' ' : (char)c);
    }
}

static void svg_row(const struct crier_tally_row *r, int y, struct crier_buf *out)
{
    static const char *const colors[] = {"#2e7d32", "#c62828", "#f9a825"};
    crier_buf_printf(out, "<text x=\"12\" y=\"%d\">", y + 13);
    xml(out, r->name, 28);
    crier_buf_printf(out, "<title>%" PRIu64 " sent, %" PRIu64 " failed, %" PRIu64
                          " skipped</title></text>\n",
                     r->sent, r->failed, r->skipped);
    for (int what = 0; what < 3; what++) {
        bool any = false;
        for (int x = 0; x < CRIER_TALLY_COLUMNS; x++) {
            if (!r->columns[what][x])
                continue;
            if (!any)
                crier_buf_printf(out, "<path stroke=\"%s\" d=\"", colors[what]);
            any = true;
            crier_buf_printf(out, "M%d.5 %dv%d", LEFT + x, y + 3, ROW - 6);
        }
        if (any)
            crier_buf_puts(out, "\"/>\n");
    }
}

static void svg_axis(const struct crier_tally *t, const struct crier_zone *zone, int bottom,
                     struct crier_buf *out)
{
    enum { TICKS = 4 };
    char when[32];
    for (int i = 0; i <= TICKS; i++) {
        int x = LEFT + CRIER_TALLY_COLUMNS * i / TICKS;
        crier_buf_printf(out,
                         "<path stroke=\"#ccc\" d=\"M%d.5 %dV%d\"/><text x=\"%d\" y=\"%d\" "
                         "text-anchor=\"%s\" fill=\"#666\">%s</text>\n",
                         x, TOP - 12, bottom, x, TOP - 18,
                         i == 0       ? "start"
                         : i == TICKS ? "end"
                                      : "middle",
                         crier_time_human(zone, t->from + t->span / TICKS * i, when));
    }
}

void crier_tally_svg(const struct crier_tally *t, const struct crier_zone *zone,
                     struct crier_buf *out)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter it;
    gpointer value;
    g_hash_table_iter_init(&it, t->rows);
    while (g_hash_table_iter_next(&it, NULL, &value))
        g_ptr_array_add(list, value);
    g_ptr_array_sort(list, by_sends);
    guint all = list->len;
    if (list->len > ROWS)
        g_ptr_array_set_size(list, ROWS);
    g_ptr_array_sort(list, by_name);
    struct crier_buf rows = {0};
    const char *guild = NULL;
    int y = TOP;
    for (guint i = 0; i < list->len; i++) {
        const struct crier_tally_row *r = list->pdata[i];
        if (!guild || strcmp(guild, r->guild) != 0) {
            guild = r->guild;
            crier_buf_printf(&rows, "<text x=\"4\" y=\"%d\" font-weight=\"bold\">", y + 13);
            xml(&rows, guild, 32);
            crier_buf_puts(&rows, "</text>\n");
            y += ROW;
        }
        svg_row(r, y, &rows);
        y += ROW;
    }
    if (all > list->len) {
        crier_buf_printf(&rows, "<text x=\"4\" y=\"%d\" fill=\"#666\">and %u more messages</text>\n",
                         y + 13, all - list->len);
        y += ROW;
    }
    crier_buf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                     "font-family=\"sans-serif\" font-size=\"11\">\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                     LEFT + CRIER_TALLY_COLUMNS + 12, y + 28);
    svg_axis(t, zone, y, out);
    crier_buf_append(out, rows.len ? rows.data : "", rows.len);
    crier_buf_printf(out,
                     "<text x=\"%d\" y=\"%d\"><tspan fill=\"#2e7d32\">sent</tspan> <tspan "
                     "fill=\"#c62828\">failed</tspan> <tspan fill=\"#f9a825\">skipped</tspan></text>"
                     "\n</svg>\n",
                     LEFT, y + 18);
    crier_buf_fini(&rows);
    g_ptr_array_free(list, TRUE);
}
