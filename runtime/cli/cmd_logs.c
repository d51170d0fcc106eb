/* SPDX-License-Identifier: MIT
 *
 * crier logs: the records of a sink that match, as lines for people or as JSON.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "sink/console.h"

#define LINES 100

struct logs {
    struct crier_client client;
    json_t *request;
    bool json, show_cursor, follow, color;
    /* what came */
    struct crier_zone *zone;
    char sink[80];
    struct crier_buf line;
    char cursor[27];
    uint64_t count;
};

static void on_from(void *arg, const char *sink, const char *kind, struct crier_zone *zone)
{
    struct logs *l = arg;
    (void)kind;
    snprintf(l->sink, sizeof l->sink, "%s", sink);
    l->zone = crier_zone_ref(zone);
}

static bool is_today(const struct crier_civil *c, const struct crier_zone *zone)
{
    struct crier_civil now;
    crier_civil_at(zone, crier_clock_wall(crier_clock_real()), &now);
    return c->day == now.day && c->month == now.month && c->year == now.year;
}

static void on_record(void *arg, struct crier_record *record)
{
    struct logs *l = arg;
    struct crier_civil c;
    crier_buf_clear(&l->line);
    if (l->zone) {
        crier_civil_at(l->zone, crier_record_time(record), &c);
        if (!is_today(&c, l->zone))
            crier_buf_printf(&l->line, "%04d-%02d-%02d ", c.year, c.month, c.day);
    }
    crier_console_line(record, l->zone, l->color, &l->line);
    fwrite(l->line.data, 1, l->line.len, stdout);
    crier_record_id(record, l->cursor);
    l->count++;
}

/* Hosts write the id first: {"id":"... */
static void on_json(void *arg, const char *json, size_t len)
{
    static const char begin[] = "{\"id\":\"";
    const size_t head = sizeof begin - 1;
    struct logs *l = arg;
    fwrite(json, 1, len, stdout);
    putchar('\n');
    if (len > head + 26 && memcmp(json, begin, head) == 0) {
        memcpy(l->cursor, json + head, 26);
        l->cursor[26] = '\0';
    }
    l->count++;
}

static void on_dropped(void *arg, int64_t count)
{
    struct logs *l = arg;
    fprintf(stderr, "crier %s: %lld records left out: they came faster than they were read\n",
            l->client.command, (long long)count);
}

static void set(json_t *request, const char *key, const char *text)
{
    json_object_set_new(request, key, json_string(text));
}

static int set_lines(struct logs *l, const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (strcmp(text, "all") == 0) {
        json_object_set_new(l->request, "all", json_true());
        return 0;
    }
    if (*text < '0' || *text > '9' || *end || n > 100000000)
        return crier_usage("logs", "-n takes a number of lines, or all, got '%s'", text);
    json_object_set_new(l->request, "lines", json_integer(n));
    return 0;
}

/* 0, or the exit code. */
static int parse(struct logs *l, int argc, char **argv)
{
    enum { SINCE = 256, UNTIL, SINK, JSON, STATE, AFTER, SHOW };
    static const struct option options[] = {{"follow", no_argument, NULL, 'f'},
                                            {"lines", required_argument, NULL, 'n'},
                                            {"since", required_argument, NULL, SINCE},
                                            {"until", required_argument, NULL, UNTIL},
                                            {"level", required_argument, NULL, 'p'},
                                            {"grep", required_argument, NULL, 'g'},
                                            {"sink", required_argument, NULL, SINK},
                                            {"json", no_argument, NULL, JSON},
                                            {"state", required_argument, NULL, STATE},
                                            {"after", required_argument, NULL, AFTER},
                                            {"cursor", required_argument, NULL, AFTER},
                                            {"show-cursor", no_argument, NULL, SHOW},
                                            {NULL, 0, NULL, 0}};
    json_t *match = json_array();
    int opt, code;
    json_object_set_new(l->request, "match", match);
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "fn:p:g:", options, NULL)) != -1) {
        switch (opt) {
        case 'f':
            l->follow = true;
            json_object_set_new(l->request, "follow", json_true());
            break;
        case 'n':
            if ((code = set_lines(l, optarg)) != 0)
                return code;
            break;
        case 'p':
            set(l->request, "level", optarg);
            break;
        case 'g':
            set(l->request, "grep", optarg);
            break;
        case SINCE:
            set(l->request, "since", optarg);
            break;
        case UNTIL:
            set(l->request, "until", optarg);
            break;
        case SINK:
            set(l->request, "sink", optarg);
            break;
        case AFTER:
            set(l->request, "after", optarg);
            break;
        case JSON:
            l->json = true;
            break;
        case STATE:
            l->client.state = optarg;
            break;
        case SHOW:
            l->show_cursor = true;
            break;
        default:
            return crier_usage_option("logs", argv);
        }
    }
    return crier_client_words(&l->client, match, argc - optind, argv + optind);
}

static void end(struct logs *l)
{
    if (l->show_cursor && *l->cursor)
        printf(l->json ? "{\"cursor\":\"%s\"}\n" : "-- cursor: %s\n", l->cursor);
    if (fflush(stdout) != 0)
        return;
    if (!l->count && !l->json && *l->sink && isatty(2))
        fprintf(stderr, "nothing in sink '%s' matches\n", l->sink);
}

int crier_cmd_logs(int argc, char **argv)
{
    struct logs l = {.client.command = "logs", .request = json_pack("{s:s}", "cmd", "logs")};
    int code = parse(&l, argc, argv);
    if (code == 0) {
        const char *no_color = getenv("NO_COLOR");
        bool all = json_object_get(l.request, "all") || json_object_get(l.request, "since") ||
                   json_object_get(l.request, "after");
        if (!json_object_get(l.request, "lines") && !all)
            json_object_set_new(l.request, "lines", json_integer(LINES));
        l.color = isatty(1) && !(no_color && *no_color);
        if (l.follow)
            setvbuf(stdout, NULL, _IOLBF, 0);
        struct crier_reader_out out = {.from = on_from,
                                       .json = l.json ? on_json : NULL,
                                       .record = on_record,
                                       .dropped = on_dropped,
                                       .arg = &l};
        code = crier_client_read(&l.client, l.request, &out);
        end(&l);
    }
    json_decref(l.request);
    crier_zone_unref(l.zone);
    crier_buf_fini(&l.line);
    return code;
}
