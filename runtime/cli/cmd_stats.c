/* SPDX-License-Identifier: MIT
 *
 * crier stats: what the records of sends and of task runs add up to, and what Redis has counted.
 */
#include <getopt.h>
#include <glib.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/read.h"

enum subject { MESSAGES, TASKS };
enum by { BY_ALL, BY_YEAR, BY_MONTH, BY_DAY };
enum per { PER_NAME, PER_GUILD, PER_CHANNEL };

/* Columns that are counted, of messages and of tasks. */
enum { SENT, OK, FAILED, SKIPPED, MESSAGE_COUNTS };
enum { RUNS, SUCCESS, FAIL, CRASH, TERMINATE, INACTION, TASK_COUNTS };
#define MAX_COUNTS TASK_COUNTS

static const char *const message_counts[] = {"sent", "ok", "failed", "skipped"};
static const char *const task_counts[] = {"runs",  "success",   "fail",
                                          "crash", "terminate", "inaction"};

struct row {
    char *date, *name, *where, *id; /* id: of the guild or channel that `where` names */
    int64_t counts[MAX_COUNTS];
    double runtime; /* seconds, of `timed` sends or runs */
    int64_t timed;
};

struct stats {
    struct crier_client client;
    json_t *request;
    enum subject subject;
    enum by by;
    enum per per;
    const char *sort;
    long limit;
    bool json;
    /* what came */
    struct crier_zone *zone;
    GHashTable *rows; /* "date\nname\nid" -> struct row */
};

static const char *const *counts_of(const struct stats *s, size_t *n)
{
    *n = s->subject == MESSAGES ? MESSAGE_COUNTS : TASK_COUNTS;
    return s->subject == MESSAGES ? message_counts : task_counts;
}

static void row_free(void *arg)
{
    struct row *row = arg;
    free(row->date);
    free(row->name);
    free(row->where);
    free(row->id);
    free(row);
}

static void on_from(void *arg, const char *sink, const char *kind, struct crier_zone *zone)
{
    struct stats *s = arg;
    (void)sink;
    (void)kind;
    s->zone = crier_zone_ref(zone);
}

/* A field as text; the empty text when there is none. */
static void field(const struct crier_record *record, const char *path, char *out, size_t cap)
{
    struct crier_value v;
    char scratch[32];
    *out = '\0';
    if (!crier_record_get(record, path, &v, scratch))
        return;
    if (v.type == CRIER_STR)
        snprintf(out, cap, "%.*s", (int)v.s.len, v.s.data);
    else if (v.type == CRIER_SNOWFLAKE)
        snprintf(out, cap, "%" PRIu64, v.u);
}

static bool runtime_of(const struct crier_record *record, double *out)
{
    struct crier_value v;
    char scratch[32];
    if (!crier_record_get(record, "runtime", &v, scratch) ||
        (v.type != CRIER_NUM && v.type != CRIER_INT))
        return false;
    *out = v.type == CRIER_NUM ? v.n : (double)v.i;
    return true;
}

static struct row *row_of(struct stats *s, const struct crier_record *record, const char *name,
                          const char *where, const char *id)
{
    char date[16] = "";
    struct crier_civil c;
    if (s->by != BY_ALL) {
        crier_civil_at(s->zone, crier_record_time(record), &c);
        snprintf(date, sizeof date, "%04u-%02u-%02u", (unsigned)c.year % 10000,
                 (unsigned)c.month % 100, (unsigned)c.day % 100);
        date[s->by == BY_YEAR ? 4 : s->by == BY_MONTH ? 7 : 10] = '\0';
    }
    char *key = crier_asprintf("%s\n%s\n%s", date, name, *id ? id : where);
    struct row *row = g_hash_table_lookup(s->rows, key);
    if (!row) {
        row = crier_calloc(1, sizeof *row);
        row->date = crier_strdup(date);
        row->name = crier_strdup(name);
        row->id = crier_strdup(id);
        g_hash_table_insert(s->rows, key, row);
    } else {
        free(key);
    }
    if (*where || !row->where) { /* the latest name: a guild may be renamed */
        free(row->where);
        row->where = crier_strdup(where);
    }
    return row;
}

static void add_runtime(struct row *row, const struct crier_record *record)
{
    double runtime;
    if (runtime_of(record, &runtime)) {
        row->runtime += runtime;
        row->timed++;
    }
}

static void add_channels(struct stats *s, const struct crier_record *record, const char *list,
                         int column)
{
    struct crier_value v, channel, member;
    char scratch[32], id[32], name[128];
    if (!crier_record_get(record, list, &v, scratch))
        return;
    struct crier_iter it = crier_values(&v);
    while (crier_next(&it, &channel)) {
        struct crier_iter members = crier_values(&channel);
        *id = *name = '\0';
        while (crier_next(&members, &member)) {
            if (member.type == CRIER_SNOWFLAKE)
                snprintf(id, sizeof id, "%" PRIu64, member.u);
            else if (member.type == CRIER_STR && member.key.len == 2)
                snprintf(id, sizeof id, "%.*s", (int)member.s.len, member.s.data);
            else if (member.type == CRIER_STR && member.key.len == 4)
                snprintf(name, sizeof name, "%.*s", (int)member.s.len, member.s.data);
        }
        struct row *row = row_of(s, record, "", name, id);
        row->counts[SENT]++;
        row->counts[column]++;
        add_runtime(row, record);
    }
}

/* A send is ok when every channel got it. */
static void add_message(struct stats *s, const struct crier_record *record)
{
    char name[128], guild[128], id[32], skipped[8];
    if (s->per == PER_CHANNEL) {
        add_channels(s, record, "channels.successful", OK);
        add_channels(s, record, "channels.failed", FAILED);
        return;
    }
    field(record, "name", name, sizeof name);
    field(record, "guild.name", guild, sizeof guild);
    field(record, "guild.id", id, sizeof id);
    field(record, "skipped", skipped, sizeof skipped);
    struct row *row = row_of(s, record, s->per == PER_GUILD ? "" : name, guild, id);
    if (*skipped) {
        row->counts[SKIPPED]++;
        return;
    }
    row->counts[SENT]++;
    row->counts[crier_record_ok(record) == 1 ? OK : FAILED]++;
    add_runtime(row, record);
}

static void add_task(struct stats *s, const struct crier_record *record)
{
    static const char *const actions[] = {"run",   "success",   "fail",
                                          "crash", "terminate", "inaction"};
    char name[128], action[16];
    field(record, "task_name", name, sizeof name);
    field(record, "action", action, sizeof action);
    struct row *row = row_of(s, record, name, "", "");
    for (size_t i = 0; i < CRIER_COUNT(actions); i++)
        row->counts[i] += strcmp(action, actions[i]) == 0;
    if (strcmp(action, "run") != 0)
        add_runtime(row, record);
}

static void on_record(void *arg, struct crier_record *record)
{
    struct stats *s = arg;
    if (s->subject == MESSAGES)
        add_message(s, record);
    else
        add_task(s, record);
}

/* --- printing ------------------------------------------------------------------------------ */

/* Of those that came to an end; -1: there are none. */
static double success_rate(const struct stats *s, const struct row *row)
{
    const int64_t *n = row->counts;
    int64_t good = s->subject == MESSAGES ? n[OK] : n[SUCCESS];
    int64_t all =
        s->subject == MESSAGES ? n[OK] + n[FAILED] : n[SUCCESS] + n[FAIL] + n[CRASH] + n[TERMINATE];
    return all ? round((double)good / (double)all * 1e5) / 1e5 : -1;
}

static double mean(const struct row *row)
{
    return row->timed ? row->runtime / (double)row->timed : -1;
}

static double column(const struct stats *s, const struct row *row, const char *name)
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
    int c = strcmp(x->date, y->date);
    if (c == 0)
        c = strcmp(x->name, y->name);
    if (c == 0)
        c = strcmp(x->where, y->where);
    return c ? c : strcmp(x->id, y->id);
}

static int compare(const void *a, const void *b, void *arg)
{
    const struct stats *s = arg;
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    const char *sort = s->sort                  ? s->sort
                       : s->by                  ? "name"
                       : s->subject == MESSAGES ? "sent"
                                                : "runs";
    if (strcmp(sort, "name") != 0) {
        double p = column(s, x, sort), q = column(s, y, sort);
        if (p != q)
            return p < q ? 1 : -1;
    }
    return by_name(x, y);
}

static void print_json(const struct stats *s, const struct row *row)
{
    size_t n;
    const char *const *names = counts_of(s, &n);
    const char *where = s->per == PER_CHANNEL ? "channel" : "guild";
    double rate = success_rate(s, row), runtime = mean(row);
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    if (*row->date) {
        crier_json_key(&b, "date");
        crier_json_str(&b, row->date);
    }
    if (s->per == PER_NAME) {
        crier_json_key(&b, s->subject == MESSAGES ? "message" : "task");
        crier_json_str(&b, row->name);
    }
    if (s->subject == MESSAGES) {
        crier_json_key(&b, where);
        crier_json_open(&b, '{');
        crier_json_key(&b, "name");
        crier_json_str(&b, row->where);
        crier_json_key(&b, "id");
        crier_json_str(&b, row->id);
        crier_json_close(&b, '}');
    }
    for (size_t i = 0; i < n; i++) {
        if (s->per == PER_CHANNEL && i == SKIPPED)
            continue;
        crier_json_key(&b, names[i]);
        crier_json_int(&b, row->counts[i]);
    }
    crier_json_key(&b, "success_rate");
    crier_json_num(&b, rate < 0 ? NAN : rate);
    crier_json_key(&b, "runtime");
    crier_json_num(&b, runtime < 0 ? NAN : runtime);
    crier_json_close(&b, '}');
    puts(b.data);
    crier_buf_fini(&b);
}

/* Bytes of UTF-8 that begin no character take no room on a screen. */
static int padded(const char *text, int width)
{
    int extra = 0;
    for (const char *p = text; *p; p++)
        extra += ((unsigned char)*p & 0xc0) == 0x80;
    return width + extra;
}

static void print_name(const char *text, int width)
{
    printf("%-*s  ", padded(text, width), *text ? text : "-");
}

static void print_row(const struct stats *s, const struct row *row, const int widths[2])
{
    size_t n;
    char text[48] = "-", rate[16] = "-";
    counts_of(s, &n);
    if (s->by)
        printf("%-10s  ", row->date);
    if (s->per == PER_NAME)
        print_name(row->name, widths[0]);
    if (s->subject == MESSAGES)
        print_name(*row->where ? row->where : row->id, widths[1]);
    for (size_t i = 0; i < n; i++) {
        if (s->per != PER_CHANNEL || i != SKIPPED)
            printf("%9" PRId64 " ", row->counts[i]);
    }
    if (success_rate(s, row) >= 0)
        snprintf(rate, sizeof rate, "%.5f", success_rate(s, row));
    if (row->timed) {
        int64_t us = (int64_t)(mean(row) * 1e6);
        crier_duration_text(us - us % (us > CRIER_S    ? 10 * CRIER_MS
                                       : us > CRIER_MS ? CRIER_MS
                                                       : 1),
                            text);
    }
    printf("%8s %8s\n", rate, text);
}

static void print_head(const struct stats *s, const int widths[2])
{
    size_t n;
    const char *const *names = counts_of(s, &n);
    if (s->by)
        printf("%-10s  ", "DATE");
    if (s->per == PER_NAME)
        printf("%-*s  ", widths[0], s->subject == MESSAGES ? "MESSAGE" : "TASK");
    if (s->subject == MESSAGES)
        printf("%-*s  ", widths[1], s->per == PER_CHANNEL ? "CHANNEL" : "GUILD");
    for (size_t i = 0; i < n; i++) {
        char *name = g_ascii_strup(names[i], -1);
        if (s->per != PER_CHANNEL || i != SKIPPED)
            printf("%9s ", name);
        g_free(name);
    }
    printf("%8s %8s\n", "RATE", "RUNTIME");
}

static void print(const struct stats *s)
{
    guint count;
    struct row **rows = (struct row **)g_hash_table_get_keys_as_array(s->rows, &count);
    int widths[2] = {7, 7};
    for (guint i = 0; i < count; i++) {
        struct row *row = g_hash_table_lookup(s->rows, rows[i]);
        int name = (int)g_utf8_strlen(row->name, -1);
        int where = (int)g_utf8_strlen(*row->where ? row->where : row->id, -1);
        widths[0] = name > widths[0] ? name : widths[0];
        widths[1] = where > widths[1] ? where : widths[1];
        rows[i] = row;
    }
    if (count)
        g_qsort_with_data(rows, (gint)count, sizeof *rows, compare, (void *)s);
    if (!s->json)
        print_head(s, widths);
    for (guint i = 0; i < count && (s->limit < 0 || i < (guint)s->limit); i++) {
        if (s->json)
            print_json(s, rows[i]);
        else
            print_row(s, rows[i], widths);
    }
    g_free(rows);
}

/* --- arguments ----------------------------------------------------------------------------- */

static int choice(const char *option, const char *const *names, size_t n, const char *text,
                  size_t *out)
{
    struct crier_buf b = {0};
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = i;
            crier_buf_fini(&b);
            return 0;
        }
        crier_buf_printf(&b, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", names[i]);
    }
    crier_usage("stats", "--%s takes %s, got '%s'", option, b.data, text);
    crier_buf_fini(&b);
    return CRIER_EXIT_USAGE;
}

static int set_sort(struct stats *s, const char *text)
{
    const char *names[MAX_COUNTS + 3];
    size_t n, at;
    const char *const *counts = counts_of(s, &n);
    memcpy(names, counts, n * sizeof *names);
    names[n++] = "success_rate";
    names[n++] = "runtime";
    names[n++] = "name";
    s->sort = text;
    return choice("sort", names, n, text, &at);
}

enum { BY = 256, PER, GUILD, SINCE, UNTIL, SINK, SORT, LIMIT, JSON, STATE };

static int set_option(struct stats *s, int opt)
{
    static const char *const bys[] = {"all", "year", "month", "day"};
    static const char *const pers[] = {"message", "guild", "channel"};
    size_t at = 0;
    int code = 0;
    switch (opt) {
    case BY:
        code = choice("by", bys, CRIER_COUNT(bys), optarg, &at);
        s->by = (enum by)at;
        return code;
    case PER:
        if (s->subject == TASKS)
            return crier_usage("stats", "--per goes with messages");
        code = choice("per", pers, CRIER_COUNT(pers), optarg, &at);
        s->per = (enum per)at;
        return code;
    case GUILD:
        json_object_set_new(s->request, "guild", json_string(optarg));
        return s->subject == TASKS ? crier_usage("stats", "--guild goes with messages") : 0;
    case SINCE:
        json_object_set_new(s->request, "since", json_string(optarg));
        return 0;
    case UNTIL:
        json_object_set_new(s->request, "until", json_string(optarg));
        return 0;
    case SINK:
        json_object_set_new(s->request, "sink", json_string(optarg));
        return 0;
    case SORT:
        return set_sort(s, optarg);
    case LIMIT:
        return crier_usage_lines("stats", "--limit", optarg, &s->limit);
    case JSON:
        s->json = true;
        return 0;
    default:
        s->client.state = optarg;
        return 0;
    }
}

static int parse(struct stats *s, int argc, char **argv)
{
    static const struct option options[] = {{"by", required_argument, NULL, BY},
                                            {"per", required_argument, NULL, PER},
                                            {"guild", required_argument, NULL, GUILD},
                                            {"since", required_argument, NULL, SINCE},
                                            {"until", required_argument, NULL, UNTIL},
                                            {"sink", required_argument, NULL, SINK},
                                            {"sort", required_argument, NULL, SORT},
                                            {"limit", required_argument, NULL, LIMIT},
                                            {"json", no_argument, NULL, JSON},
                                            {"state", required_argument, NULL, STATE},
                                            {NULL, 0, NULL, 0}};
    json_t *match = json_array();
    int opt, code;
    json_object_set_new(s->request, "match", match);
    json_array_append_new(match,
                          json_string(s->subject == MESSAGES ? "kind=message" : "kind=task"));
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == '?')
            return crier_usage_option("stats", argv);
        if ((code = set_option(s, opt)) != 0)
            return code;
    }
    return crier_client_words(&s->client, match, argc - optind, argv + optind);
}

static int sums(enum subject subject, int argc, char **argv)
{
    struct stats s = {.client.command = "stats",
                      .subject = subject,
                      .limit = -1,
                      .request = json_pack("{s:s}", "cmd", "logs"),
                      .rows = g_hash_table_new_full(g_str_hash, g_str_equal, free, row_free)};
    int code = parse(&s, argc, argv);
    if (code == 0) {
        struct crier_reader_out out = {.from = on_from, .record = on_record, .arg = &s};
        code = crier_client_read(&s.client, s.request, &out);
        if (code == 0)
            print(&s);
    }
    json_decref(s.request);
    crier_zone_unref(s.zone);
    g_hash_table_destroy(s.rows);
    return code;
}

/* --- what a sink has counted itself -------------------------------------------------------- */

struct kept {
    struct crier_client client;
    json_t *request, *table; /* table: the options of `common` */
    bool json;
    long limit;
};

static int set_kept(struct kept *k, int opt, bool common)
{
    int code;
    switch (opt) {
    case SINK:
        json_object_set_new(k->request, "sink", json_string(optarg));
        return 0;
    case LIMIT:
        code = crier_usage_lines("stats", "--limit", optarg, &k->limit);
        if (code != 0)
            return code;
        json_object_set_new(k->table, "limit", json_integer(k->limit));
        return 0;
    case JSON:
        k->json = true;
        return 0;
    case STATE:
        k->client.state = optarg;
        return 0;
    }
    if (!common)
        return crier_usage("stats", "--hour, --logger and --level go with common");
    const char *key = opt == 'h' ? "hour" : opt == 'l' ? "logger" : "level";
    static const char *const hours[] = {"this", "last"};
    size_t at;
    if (opt == 'h' && choice(key, hours, 2, optarg, &at) != 0)
        return CRIER_EXIT_USAGE;
    enum crier_level level;
    if (opt == 'v' && !crier_level_parse(optarg, strlen(optarg), &level))
        return crier_usage(
            "stats", "--level takes debug, info, warning, error or critical, got '%s'", optarg);
    json_object_set_new(k->table, key, json_string(optarg));
    return 0;
}

/* common [FILE]; recent [FILE] LOGGER LEVEL */
static int set_words(struct kept *k, bool common, int count, char **words)
{
    json_t *args = json_array();
    enum crier_level level;
    json_object_set_new(k->request, "args", args);
    if (count == (common ? 1 : 3)) {
        k->client.file = words[0];
        count--;
        words++;
    }
    if (common) {
        json_array_append(args, k->table);
        return count ? crier_usage("stats", "common takes one script at most") : 0;
    }
    if (count != 2)
        return crier_usage("stats", "recent takes a logger and a level, such as bot error");
    if (!crier_level_parse(words[1], strlen(words[1]), &level))
        return crier_usage("stats",
                           "no level is called '%s' (levels are debug info warning error critical)",
                           words[1]);
    json_array_append_new(args, json_string(words[0]));
    json_array_append_new(args, json_string(words[1]));
    if (k->limit >= 0)
        json_array_append_new(args, json_integer(k->limit));
    return 0;
}

static int parse_kept(struct kept *k, bool common, int argc, char **argv)
{
    static const struct option options[] = {
        {"hour", required_argument, NULL, 'h'},    {"logger", required_argument, NULL, 'l'},
        {"level", required_argument, NULL, 'v'},   {"sink", required_argument, NULL, SINK},
        {"limit", required_argument, NULL, LIMIT}, {"json", no_argument, NULL, JSON},
        {"state", required_argument, NULL, STATE}, {NULL, 0, NULL, 0}};
    int opt, code;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == '?')
            return crier_usage_option("stats", argv);
        if ((code = set_kept(k, opt, common)) != 0)
            return code;
    }
    return set_words(k, common, argc - optind, argv + optind);
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* One line, whatever the text holds. */
static void print_text(const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('\n');
}

static void print_kept(const struct kept *k, bool common, const json_t *result)
{
    struct crier_zone *zone = NULL;
    size_t i;
    json_t *o;
    if (crier_zone_open(NULL, &zone, NULL) != 0)
        zone = NULL;
    if (common && !k->json)
        printf("%8s  %-16s  %-8s  %s\n", "COUNT", "LOGGER", "LEVEL", "TEXT");
    json_array_foreach(result, i, o)
    {
        const json_t *time = json_object_get(o, "time");
        char text[32] = "";
        if (k->json) {
            char *line = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(16));
            puts(line);
            free(line);
            continue;
        }
        if (common)
            printf("%8" PRId64 "  %-16s  %-8s  ",
                   (int64_t)json_integer_value(json_object_get(o, "count")), str(o, "logger"),
                   str(o, "level"));
        else if (time && zone)
            printf("%s  ", crier_time_human(zone, (int64_t)(json_number_value(time) * 1e6), text));
        print_text(str(o, "text"));
    }
    crier_zone_unref(zone);
}

static int kept(bool common, int argc, char **argv)
{
    struct kept k = {.client.command = "stats",
                     .limit = -1,
                     .table = json_object(),
                     .request = json_pack("{s:s}", "method", common ? "common" : "recent")};
    json_t *result = NULL;
    int code = parse_kept(&k, common, argc, argv);
    if (code == 0)
        code = crier_client_method(&k.client, k.request, &result);
    if (code == 0)
        print_kept(&k, common, result);
    json_decref(result);
    json_decref(k.table);
    json_decref(k.request);
    return code;
}

int crier_cmd_stats(int argc, char **argv)
{
    static const char *const names[] = {"messages", "tasks", "common", "recent"};
    const char *what = argc > 1 ? argv[1] : NULL;
    if (what && strcmp(what, "messages") == 0)
        return sums(MESSAGES, argc - 1, argv + 1);
    if (what && strcmp(what, "tasks") == 0)
        return sums(TASKS, argc - 1, argv + 1);
    if (what && (strcmp(what, "common") == 0 || strcmp(what, "recent") == 0))
        return kept(*what == 'c', argc - 1, argv + 1);
    if (!what || *what == '-')
        return crier_usage("stats", "of what? messages, tasks, common or recent");
    const char *near = crier_nearest(what, names, CRIER_COUNT(names));
    return crier_usage("stats", "there are none of '%s'%s%s%s", what,
                       near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}
