/* SPDX-License-Identifier: MIT
 *
 * crier stats: what the records of sends and of task runs add up to, and what Redis has counted.
 */
#include <getopt.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "cli/stats.h"

struct stats {
    struct crier_client client;
    json_t *request;
    struct crier_stats sums;
};

static void on_from(void *arg, const char *sink, const char *kind, struct crier_zone *zone)
{
    struct stats *s = arg;
    (void)sink;
    (void)kind;
    s->sums.zone = crier_zone_ref(zone);
}

static void on_record(void *arg, struct crier_record *record)
{
    struct stats *s = arg;
    crier_stats_add(&s->sums, record);
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
    const char *names[CRIER_STATS_COLUMNS];
    size_t at, n = crier_stats_columns(s->sums.subject, names);
    s->sums.sort = text;
    return choice("sort", names, n, text, &at);
}

/* One word of --by. */
static int set_part(struct stats *s, const char *word)
{
    static const char *const parts[] = {"all",     "year",  "month",  "day",
                                        "message", "guild", "channel"};
    bool tasks = s->sums.subject == CRIER_STATS_TASKS;
    size_t at = 0;
    int code = choice("by", parts, tasks ? 4 : CRIER_COUNT(parts), word, &at);
    if (code != 0)
        return code;
    if (at >= 4)
        s->sums.parts |= CRIER_STATS_MESSAGE << (at - 4);
    else if (s->sums.span && at != s->sums.span)
        return crier_usage("stats", "--by takes one of year, month and day");
    else
        s->sums.span = (enum crier_stats_span)at;
    return 0;
}

static int set_by(struct stats *s, const char *text)
{
    char **words = g_strsplit(text, ",", -1);
    int code = *words ? 0 : set_part(s, "");
    for (char **word = words; *word && code == 0; word++)
        code = set_part(s, g_strstrip(*word));
    g_strfreev(words);
    return code;
}

enum { BY = 256, GUILD, SINCE, UNTIL, SINK, SORT, LIMIT, JSON, STATE };

static int set_option(struct stats *s, int opt)
{
    switch (opt) {
    case BY:
        return set_by(s, optarg);
    case GUILD:
        json_object_set_new(s->request, "guild", json_string(optarg));
        return s->sums.subject == CRIER_STATS_TASKS
                   ? crier_usage("stats", "--guild goes with messages")
                   : 0;
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
        return crier_usage_lines("stats", "--limit", optarg, &s->sums.limit);
    case JSON:
        s->sums.json = true;
        return 0;
    default:
        s->client.state = optarg;
        return 0;
    }
}

static int parse(struct stats *s, int argc, char **argv)
{
    static const struct option options[] = {{"by", required_argument, NULL, BY},
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
                          json_string(s->sums.subject == CRIER_STATS_MESSAGES ? "kind=message" : "kind=task"));
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

static int sums(enum crier_stats_subject subject, int argc, char **argv)
{
    struct stats s = {.client.command = "stats",
                      .client.words =
                          subject == CRIER_STATS_TASKS ? "stats tasks" : "stats messages",
                      .request = json_pack("{s:s}", "cmd", "logs")};
    crier_stats_init(&s.sums, subject);
    int code = parse(&s, argc, argv);
    if (!s.sums.parts && subject == CRIER_STATS_MESSAGES)
        s.sums.parts = CRIER_STATS_MESSAGE;
    if (code == 0) {
        struct crier_reader_out out = {.from = on_from, .record = on_record, .arg = &s};
        code = crier_client_read(&s.client, s.request, &out);
        if (code == 0)
            crier_stats_print(&s.sums);
    }
    json_decref(s.request);
    crier_stats_fini(&s.sums);
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
                     .client.words = common ? "stats common" : "stats recent",
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
        return sums(CRIER_STATS_MESSAGES, argc - 1, argv + 1);
    if (what && strcmp(what, "tasks") == 0)
        return sums(CRIER_STATS_TASKS, argc - 1, argv + 1);
    if (what && (strcmp(what, "common") == 0 || strcmp(what, "recent") == 0))
        return kept(*what == 'c', argc - 1, argv + 1);
    if (!what || *what == '-')
        return crier_usage("stats", "of what? messages, tasks, common or recent");
    const char *near = crier_nearest(what, names, CRIER_COUNT(names));
    return crier_usage("stats", "there are none of '%s'%s%s%s", what,
                       near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}
