/* SPDX-License-Identifier: MIT */
#include "cli/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

/* Columns that are counted, of messages and of tasks. */
enum { SENT, OK, FAILED, SKIPPED, MESSAGE_COUNTS };
enum { RUNS, SUCCESS, FAIL, CRASH, TERMINATE, INACTION, TASK_COUNTS };

static const char *const message_counts[] = {"sent", "ok", "failed", "skipped"};
static const char *const task_counts[] = {"runs",  "success",   "fail",
                                          "crash", "terminate", "inaction"};

/* Reasons are Discord's words or a script's: of a row that many are told apart. */
enum { REASONS_MOST = 100 };
#define OTHER_REASONS "(others)"

/* What a guild, user or channel is called, and which it is. */
struct named {
    char *name, *id;
};

struct row {
    char *date, *name;
    struct named guild, channel;
    int64_t counts[TASK_COUNTS];
    int64_t got, missed; /* channels, of all sends */
    double runtime;      /* seconds, of `timed` sends or runs */
    int64_t timed;
    GHashTable *reasons; /* text -> int64_t; NULL: none */
};

static const char *const *counts_of(const struct crier_stats *s, size_t *n)
{
    *n = s->subject == CRIER_STATS_MESSAGES ? MESSAGE_COUNTS : TASK_COUNTS;
    return s->subject == CRIER_STATS_MESSAGES ? message_counts : task_counts;
}

size_t crier_stats_columns(enum crier_stats_subject subject, const char **names)
{
    struct crier_stats s = {.subject = subject};
    size_t n;
    const char *const *counts = counts_of(&s, &n);
    memcpy(names, counts, n * sizeof *names);
    names[n++] = "success_rate";
    names[n++] = "runtime";
    names[n++] = "name";
    return n;
}

static void row_free(void *arg)
{
    struct row *row = arg;
    free(row->date);
    free(row->name);
    free(row->guild.name);
    free(row->guild.id);
    free(row->channel.name);
    free(row->channel.id);
    if (row->reasons)
        g_hash_table_destroy(row->reasons);
    free(row);
}

void crier_stats_init(struct crier_stats *s, enum crier_stats_subject subject)
{
    *s = (struct crier_stats){.subject = subject, .limit = -1};
    s->rows = g_hash_table_new_full(g_str_hash, g_str_equal, free, row_free);
}

void crier_stats_fini(struct crier_stats *s)
{
    g_hash_table_destroy(s->rows);
    crier_zone_unref(s->zone);
}

/* --- reading ------------------------------------------------------------------------------- */

/* A place of a record: borrowed texts; the id as digits. */
struct place {
    struct crier_str name;
    char id[24];
};

static bool is(struct crier_str s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.data, text, s.len) == 0;
}

static void read_place(const struct crier_value *object, struct place *out,
                       struct crier_str *reason)
{
    struct crier_iter it = crier_values(object);
    struct crier_value v;
    *out = (struct place){0};
    while (crier_next(&it, &v)) {
        if (is(v.key, "name") && v.type == CRIER_STR)
            out->name = v.s;
        else if (is(v.key, "id") && v.type == CRIER_SNOWFLAKE)
            snprintf(out->id, sizeof out->id, "%" PRIu64, v.u);
        else if (is(v.key, "id") && v.type == CRIER_INT)
            snprintf(out->id, sizeof out->id, "%" PRId64, v.i);
        else if (is(v.key, "id") && v.type == CRIER_STR)
            snprintf(out->id, sizeof out->id, "%.*s", (int)v.s.len, v.s.data);
        else if (reason && is(v.key, "reason") && v.type == CRIER_STR)
            *reason = v.s;
    }
}

/* A record's send, read once. */
struct send {
    struct crier_str name, skipped, reason; /* reason: of a direct message */
    struct place guild;
    struct crier_value channels;
    int64_t occurrences;
    double runtime;
    bool direct, success, timed, has_channels;
};

static void read_success(const struct crier_value *object, struct send *out)
{
    struct crier_iter it = crier_values(object);
    struct crier_value v;
    out->direct = true;
    while (crier_next(&it, &v)) {
        if (is(v.key, "success"))
            out->success = v.type == CRIER_TRUE;
        else if (is(v.key, "reason") && v.type == CRIER_STR)
            out->reason = v.s;
    }
}

static void read_send(const struct crier_record *record, struct send *out)
{
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    *out = (struct send){.occurrences = 1};
    while (crier_next(&it, &v)) {
        if (is(v.key, "name") && v.type == CRIER_STR)
            out->name = v.s;
        else if (is(v.key, "skipped") && v.type == CRIER_STR)
            out->skipped = v.s;
        else if (is(v.key, "guild") && v.type == CRIER_OBJECT)
            read_place(&v, &out->guild, NULL);
        else if (is(v.key, "occurrences") && v.type == CRIER_INT)
            out->occurrences = v.i;
        else if (is(v.key, "success_info") && v.type == CRIER_OBJECT)
            read_success(&v, out);
        else if (is(v.key, "runtime") && (v.type == CRIER_NUM || v.type == CRIER_INT)) {
            out->runtime = v.type == CRIER_NUM ? v.n : (double)v.i;
            out->timed = true;
        } else if (is(v.key, "channels") && v.type == CRIER_OBJECT) {
            out->channels = v;
            out->has_channels = true;
        }
    }
}

/* --- counting ------------------------------------------------------------------------------ */

static void date_of(const struct crier_stats *s, const struct crier_record *record, char out[16])
{
    struct crier_civil c;
    *out = '\0';
    if (!s->span || !s->zone)
        return;
    crier_civil_at(s->zone, crier_record_time(record), &c);
    snprintf(out, 16, "%04u-%02u-%02u", (unsigned)c.year % 10000, (unsigned)c.month % 100,
             (unsigned)c.day % 100);
    out[s->span == CRIER_STATS_YEAR ? 4 : s->span == CRIER_STATS_MONTH ? 7 : 10] = '\0';
}

static void key_of(struct crier_buf *b, const struct place *place)
{
    struct crier_str s = place->name;
    crier_buf_putc(b, '\n');
    if (*place->id)
        crier_buf_puts(b, place->id);
    else
        crier_buf_append(b, s.data, s.len);
}

/* The latest name stays: a guild may be renamed. */
static void keep_place(struct named *to, const struct place *place)
{
    if (!to->id)
        to->id = crier_strdup(place->id);
    if (place->name.len || !to->name) {
        free(to->name);
        to->name = crier_strndup(place->name.data ? place->name.data : "", place->name.len);
    }
}

static struct row *row_of(struct crier_stats *s, const struct crier_record *record,
                          struct crier_str name, const struct place *guild,
                          const struct place *channel)
{
    char date[16];
    struct crier_buf key = {0};
    date_of(s, record, date);
    crier_buf_printf(&key, "%s\n", date);
    crier_buf_append(&key, name.data, name.len);
    key_of(&key, guild);
    key_of(&key, channel);
    struct row *row = g_hash_table_lookup(s->rows, key.data);
    if (!row) {
        row = crier_calloc(1, sizeof *row);
        row->date = crier_strdup(date);
        row->name = crier_strndup(name.data ? name.data : "", name.len);
        g_hash_table_insert(s->rows, crier_buf_take(&key), row);
    }
    keep_place(&row->guild, guild);
    keep_place(&row->channel, channel);
    crier_buf_fini(&key);
    return row;
}

static void add_runtime(struct row *row, double runtime)
{
    row->runtime += runtime;
    row->timed++;
}

static void add_reason(struct row *row, struct crier_str reason)
{
    char *text = crier_strndup(reason.data ? reason.data : "", reason.len);
    if (!row->reasons)
        row->reasons = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
    if (g_hash_table_size(row->reasons) >= REASONS_MOST &&
        !g_hash_table_contains(row->reasons, text)) {
        free(text);
        text = crier_strdup(OTHER_REASONS);
    }
    int64_t *count = g_hash_table_lookup(row->reasons, text);
    if (count) {
        free(text);
    } else {
        count = crier_calloc(1, sizeof *count);
        g_hash_table_insert(row->reasons, text, count);
    }
    ++*count;
}

/* One channel, or the user of a direct message: of the whole send's row, or a row of its own. */
static void add_channel(struct crier_stats *s, const struct crier_record *record,
                        const struct send *send, struct row *row, const struct place *channel,
                        const struct crier_str *failed)
{
    if (!row) {
        struct crier_str none = {0};
        row = row_of(s, record, s->parts & CRIER_STATS_MESSAGE ? send->name : none, &send->guild,
                     channel);
        row->counts[SENT]++;
        row->counts[failed ? FAILED : OK]++;
        if (send->timed)
            add_runtime(row, send->runtime);
    }
    row->got += !failed;
    row->missed += failed != NULL;
    if (failed)
        add_reason(row, *failed);
}

static void add_channels(struct crier_stats *s, const struct crier_record *record,
                         const struct send *send, struct row *row)
{
    struct crier_value list, item;
    if (send->direct) {
        add_channel(s, record, send, row, &send->guild, send->success ? NULL : &send->reason);
        return;
    }
    if (!send->has_channels)
        return;
    struct crier_iter lists = crier_values(&send->channels);
    while (crier_next(&lists, &list)) {
        bool failed = is(list.key, "failed");
        if ((!failed && !is(list.key, "successful")) || list.type != CRIER_ARRAY)
            continue;
        struct crier_iter items = crier_values(&list);
        while (crier_next(&items, &item)) {
            struct place channel;
            struct crier_str reason = {0};
            read_place(&item, &channel, &reason);
            add_channel(s, record, send, row, &channel, failed ? &reason : NULL);
        }
    }
}

static void add_message(struct crier_stats *s, const struct crier_record *record)
{
    struct send send;
    struct crier_str none = {0};
    const struct place nowhere = {0};
    read_send(record, &send);
    if (s->parts & CRIER_STATS_CHANNEL) {
        add_channels(s, record, &send, NULL);
        return;
    }
    struct row *row = row_of(s, record, s->parts & CRIER_STATS_MESSAGE ? send.name : none,
                             &send.guild, &nowhere);
    if (send.skipped.len) {
        row->counts[SKIPPED] += send.occurrences;
        return;
    }
    row->counts[SENT]++;
    row->counts[crier_record_ok(record) == 1 ? OK : FAILED]++;
    if (send.timed)
        add_runtime(row, send.runtime);
    add_channels(s, record, &send, row);
}

static void add_task(struct crier_stats *s, const struct crier_record *record)
{
    struct crier_str name = {0}, action = {0};
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    double runtime = -1;
    while (crier_next(&it, &v)) {
        if (is(v.key, "task_name") && v.type == CRIER_STR)
            name = v.s;
        else if (is(v.key, "action") && v.type == CRIER_STR)
            action = v.s;
        else if (is(v.key, "runtime") && (v.type == CRIER_NUM || v.type == CRIER_INT))
            runtime = v.type == CRIER_NUM ? v.n : (double)v.i;
    }
    const struct place nowhere = {0};
    struct row *row = row_of(s, record, name, &nowhere, &nowhere);
    row->counts[RUNS] += is(action, "run");
    for (size_t i = SUCCESS; i < CRIER_COUNT(task_counts); i++)
        row->counts[i] += is(action, task_counts[i]);
    if (!is(action, "run") && runtime >= 0)
        add_runtime(row, runtime);
}

void crier_stats_add(struct crier_stats *s, const struct crier_record *record)
{
    if (s->subject == CRIER_STATS_MESSAGES)
        add_message(s, record);
    else
        add_task(s, record);
}

/* --- what follows from a row --------------------------------------------------------------- */

/* Five decimals, as the functions in a database; with none at all, what `nothing` says. */
static double rate(int64_t good, int64_t all, double nothing)
{
    return all ? round((double)good / (double)all * 1e5) / 1e5 : nothing;
}

/* Of those that came to an end; -1: no run has. */
static double success_rate(const struct crier_stats *s, const struct row *row)
{
    const int64_t *n = row->counts;
    if (s->subject == CRIER_STATS_MESSAGES)
        return rate(n[OK], n[OK] + n[FAILED], 1);
    return rate(n[SUCCESS], n[SUCCESS] + n[FAIL] + n[CRASH] + n[TERMINATE], -1);
}

static double mean(const struct row *row)
{
    return row->timed ? row->runtime / (double)row->timed : -1;
}

struct reason {
    const char *text;
    int64_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct reason *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->text, y->text);
}

/* The most frequent first; NULL: none. The array is the caller's. */
static struct reason *reasons_of(const struct row *row, size_t *n)
{
    GHashTableIter it;
    void *text, *count;
    *n = 0;
    if (!row->reasons)
        return NULL;
    struct reason *list = crier_calloc(g_hash_table_size(row->reasons), sizeof *list);
    g_hash_table_iter_init(&it, row->reasons);
    while (g_hash_table_iter_next(&it, &text, &count))
        list[(*n)++] = (struct reason){text, *(int64_t *)count};
    qsort(list, *n, sizeof *list, by_count);
    return list;
}

/* --- order --------------------------------------------------------------------------------- */

static double column(const struct crier_stats *s, const struct row *row, const char *name)
{
    size_t n;
    const char *const *names = counts_of(s, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (double)row->counts[i];
    return strcmp(name, "success_rate") == 0 ? success_rate(s, row) : mean(row);
}

static int by_name(const struct row *x, const struct row *y)
{
    const char *const pairs[][2] = {
        {x->date, y->date},         {x->name, y->name},
        {x->guild.name, y->guild.name}, {x->guild.id, y->guild.id},
        {x->channel.name, y->channel.name}, {x->channel.id, y->channel.id},
    };
    int c = 0;
    for (size_t i = 0; c == 0 && i < CRIER_COUNT(pairs); i++)
        c = strcmp(pairs[i][0], pairs[i][1]);
    return c;
}

static int compare(const void *a, const void *b, void *arg)
{
    const struct crier_stats *s = arg;
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    const char *sort = s->sort                              ? s->sort
                       : s->span                            ? "name"
                       : s->subject == CRIER_STATS_MESSAGES ? "sent"
                                                            : "runs";
    if (strcmp(sort, "name") != 0) {
        double p = column(s, x, sort), q = column(s, y, sort);
        if (p != q)
            return p < q ? 1 : -1;
    }
    return by_name(x, y);
}

/* --- printing ------------------------------------------------------------------------------ */

static bool is_shown(const struct crier_stats *s, size_t count)
{
    return !(s->parts & CRIER_STATS_CHANNEL) || count != SKIPPED;
}

static void json_named(struct crier_buf *b, const char *key, const struct named *n)
{
    crier_json_key(b, key);
    crier_json_open(b, '{');
    crier_json_key(b, "name");
    crier_json_str(b, n->name);
    crier_json_key(b, "id");
    crier_json_str(b, n->id);
    crier_json_close(b, '}');
}

static void json_channels(struct crier_buf *b, const struct row *row)
{
    crier_json_key(b, "channels");
    crier_json_open(b, '{');
    crier_json_key(b, "ok");
    crier_json_int(b, row->got);
    crier_json_key(b, "failed");
    crier_json_int(b, row->missed);
    crier_json_key(b, "success_rate");
    crier_json_num(b, rate(row->got, row->got + row->missed, 1));
    crier_json_close(b, '}');
}

static void json_reasons(struct crier_buf *b, const struct row *row)
{
    size_t n;
    struct reason *reasons = reasons_of(row, &n);
    crier_json_key(b, "reasons");
    crier_json_open(b, '[');
    for (size_t i = 0; i < n; i++) {
        crier_json_open(b, '{');
        crier_json_key(b, "reason");
        crier_json_str(b, reasons[i].text);
        crier_json_key(b, "count");
        crier_json_int(b, reasons[i].count);
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
    free(reasons);
}

static void print_json(const struct crier_stats *s, const struct row *row)
{
    size_t n;
    const char *const *names = counts_of(s, &n);
    bool messages = s->subject == CRIER_STATS_MESSAGES;
    double good = success_rate(s, row), runtime = mean(row);
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    if (*row->date) {
        crier_json_key(&b, "date");
        crier_json_str(&b, row->date);
    }
    if (!messages || s->parts & CRIER_STATS_MESSAGE) {
        crier_json_key(&b, messages ? "message" : "task");
        crier_json_str(&b, row->name);
    }
    if (messages)
        json_named(&b, "guild", &row->guild);
    if (s->parts & CRIER_STATS_CHANNEL)
        json_named(&b, "channel", &row->channel);
    for (size_t i = 0; i < n; i++) {
        if (!is_shown(s, i))
            continue;
        crier_json_key(&b, names[i]);
        crier_json_int(&b, row->counts[i]);
    }
    crier_json_key(&b, "success_rate");
    crier_json_num(&b, good < 0 ? NAN : good);
    if (messages && !(s->parts & CRIER_STATS_CHANNEL))
        json_channels(&b, row);
    crier_json_key(&b, "runtime");
    crier_json_num(&b, runtime < 0 ? NAN : runtime);
    if (messages)
        json_reasons(&b, row);
    crier_json_close(&b, '}');
    puts(b.data);
    crier_buf_fini(&b);
}

/* A table for people: which columns, and how wide those of names are. */
struct table {
    const struct crier_stats *s;
    int name, guild, channel; /* widths; 0: there is no such column */
    bool reasons;
};

static const char *shown(const struct named *n)
{
    return n->name && *n->name ? n->name : n->id ? n->id : "";
}

static void widen(int *width, const char *text)
{
    int n = (int)g_utf8_strlen(text, -1);
    if (*width && n > *width)
        *width = n;
}

/* Bytes of UTF-8 that begin no character take no room on a screen. */
static void print_name(const char *text, int width)
{
    int extra = 0;
    if (!width)
        return;
    for (const char *p = text; *p; p++)
        extra += ((unsigned char)*p & 0xc0) == 0x80;
    printf("%-*s  ", width + extra, *text ? text : "-");
}

/* One line, whatever the text holds. */
static void print_text(const char *text)
{
    for (const char *p = text; *p; p++)
        putchar((unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p);
}

static void print_reason(const struct row *row)
{
    size_t n;
    struct reason *reasons = reasons_of(row, &n);
    if (n)
        printf("  %" PRId64 "x ", reasons[0].count);
    if (n)
        print_text(reasons[0].text);
    if (n > 1)
        printf(" (and %zu more)", n - 1);
    free(reasons);
}

static void print_row(const struct table *t, const struct row *row)
{
    size_t n;
    char text[48] = "-", good[16] = "-", channels[48];
    double value = success_rate(t->s, row);
    counts_of(t->s, &n);
    if (t->s->span)
        printf("%-10s  ", row->date);
    print_name(row->name, t->name);
    print_name(shown(&row->guild), t->guild);
    print_name(shown(&row->channel), t->channel);
    for (size_t i = 0; i < n; i++)
        if (is_shown(t->s, i))
            printf("%9" PRId64 " ", row->counts[i]);
    if (value >= 0)
        snprintf(good, sizeof good, "%.5f", value);
    printf("%8s ", good);
    if (t->guild && !t->channel) {
        snprintf(channels, sizeof channels, "%" PRId64 "/%" PRId64, row->got,
                 row->got + row->missed);
        printf("%9s ", channels);
    }
    if (row->timed) {
        int64_t us = (int64_t)(mean(row) * 1e6);
        crier_duration_text(us - us % (us > CRIER_S    ? 10 * CRIER_MS
                                       : us > CRIER_MS ? CRIER_MS
                                                       : 1),
                            text);
    }
    printf("%8s", text);
    if (t->reasons)
        print_reason(row);
    putchar('\n');
}

static void print_head(const struct table *t)
{
    size_t n;
    const char *const *names = counts_of(t->s, &n);
    if (t->s->span)
        printf("%-10s  ", "DATE");
    print_name(t->s->subject == CRIER_STATS_MESSAGES ? "MESSAGE" : "TASK", t->name);
    print_name("GUILD", t->guild);
    print_name("CHANNEL", t->channel);
    for (size_t i = 0; i < n; i++) {
        char *name = g_ascii_strup(names[i], -1);
        if (is_shown(t->s, i))
            printf("%9s ", name);
        g_free(name);
    }
    printf("%8s ", "RATE");
    if (t->guild && !t->channel)
        printf("%9s ", "CHANNELS");
    printf("%8s%s\n", "RUNTIME", t->reasons ? "  REASON" : "");
}

void crier_stats_print(const struct crier_stats *s)
{
    guint all;
    struct row **rows = (struct row **)g_hash_table_get_keys_as_array(s->rows, &all);
    bool messages = s->subject == CRIER_STATS_MESSAGES;
    struct table t = {s, !messages || s->parts & CRIER_STATS_MESSAGE ? 7 : 0, messages ? 7 : 0,
                      s->parts & CRIER_STATS_CHANNEL ? 7 : 0, false};
    for (guint i = 0; i < all; i++)
        rows[i] = g_hash_table_lookup(s->rows, rows[i]);
    if (all)
        g_qsort_with_data(rows, (gint)all, sizeof *rows, compare, (void *)s);
    guint count = s->limit >= 0 && all > (guint)s->limit ? (guint)s->limit : all;
    for (guint i = 0; i < count; i++) {
        widen(&t.name, rows[i]->name);
        widen(&t.guild, shown(&rows[i]->guild));
        widen(&t.channel, shown(&rows[i]->channel));
        t.reasons = t.reasons || rows[i]->reasons;
    }
    if (!s->json)
        print_head(&t);
    for (guint i = 0; i < count; i++) {
        if (s->json)
            print_json(s, rows[i]);
        else
            print_row(&t, rows[i]);
    }
    g_free(rows);
}
