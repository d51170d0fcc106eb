/* SPDX-License-Identifier: MIT
 *
 * Commands that talk to a running host: status, reload.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/control.h"
#include "base/duration.h"
#include "cli/alerts.h"
#include "cli/cli.h"
#include "cli/growth.h"
#include "cli/sinks.h"
#include "cli/table.h"
#include "cli/tasks.h"

struct client_args {
    const char *name;
    double max_growth; /* reload; 0: none */
    int64_t span;
    const char *state, *file;
    bool json, all;
};

static int parse(const char *name, int argc, char **argv, struct client_args *a)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"state", required_argument, NULL, 's'},
                                            {"max-growth", required_argument, NULL, 'g'},
                                            {"for", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    struct crier_err err = {0};
    int opt;
    a->name = name;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'j')
            a->json = true;
        else if (opt == 'a' && strcmp(name, "status") == 0)
            a->all = true;
        else if (opt == 's')
            a->state = optarg;
        else if (opt == 'g' && strcmp(name, "reload") == 0) {
            if (!crier_growth_factor(optarg, &a->max_growth))
                return crier_usage(name, "--max-growth takes a factor such as 3x");
        } else if (opt == 'f' && strcmp(name, "reload") == 0) {
            if (crier_duration_parse(optarg, &a->span, &err) != 0 || a->span <= 0)
                return crier_usage(name, "--for: %s", err.code ? err.text : "expected more than 0");
        }
        else
            return crier_usage_option(name, argv);
    }
    if (argc - optind > 1)
        return crier_usage(name, "too many arguments");
    a->file = argv[optind];
    return 0;
}

/* Ask; *done is the answer's last line. Negative: not reachable, said on stderr. */
static int ask(const struct client_args *a, json_t *request, json_t **done)
{
    struct crier_err err = {0};
    char *folder = crier_client_folder(a->state, a->file);
    int code = crier_control_call(folder, request, NULL, NULL, done, &err);
    json_decref(request);
    free(folder);
    if (code < 0) {
        fprintf(stderr, "crier %s: %s%s\n", a->name, err.text,
                code == CRIER_EDENIED || a->state ? "" : " (--state DIR names another folder)");
        return code == CRIER_EDENIED ? CRIER_EXIT_REFUSED : CRIER_EXIT_UNREACHABLE;
    }
    const char *error = json_string_value(json_object_get(*done, "error"));
    if (error && !a->json)
        fprintf(stderr, "crier %s: %s\n", a->name, error);
    return code;
}

static void print_json(json_t *done)
{
    json_object_del(done, "done");
    json_object_del(done, "code");
    char *text = json_dumps(done, JSON_COMPACT);
    puts(text);
    free(text);
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int64_t num(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *short_duration(double seconds, char out[48])
{
    int64_t us = (int64_t)(seconds * 1e6);
    us -= us % (us > 3600 * CRIER_S ? 60 * CRIER_S : us > 10 * CRIER_S ? CRIER_S : CRIER_MS);
    return crier_duration_text(us, out);
}

static void print_tasks(const json_t *s)
{
    const json_t *counts = json_object_get(s, "tasks"), *list = json_object_get(s, "task_list");
    if (!num(counts, "total"))
        return;
    putchar('\n');
    crier_print_tasks(list);
    if (num(counts, "total") > (int64_t)json_array_size(list))
        printf("... %" PRId64 " in all (--all)\n", num(counts, "total"));
    printf("runs since the start: %" PRId64 ", of which %" PRId64 " failed, %" PRId64
           " were terminated; %" PRId64 " under way\n",
           num(counts, "run"), num(counts, "fail"), num(counts, "terminate"),
           num(counts, "running"));
}

static const char *age_text(const json_t *o, const char *key, char out[48])
{
    const json_t *v = json_object_get(o, key);
    return v ? short_duration(json_real_value(v), out) : "-";
}

static void print_gateways(const json_t *bots)
{
    char latency[48], age[48], shard[64];
    size_t i, j;
    json_t *bot, *o;
    bool head = false;
    json_array_foreach (bots, i, bot) {
        const json_t *g = json_object_get(bot, "gateway");
        const json_t *shards = json_object_get(g, "shards");
        if (g && !head)
            printf("\n%-14s %-11s %8s %10s %8s %8s %9s %s\n", "GATEWAY", "STATE", "LATENCY",
                   "SESSION", "RESUMES", "EVENTS", "EVENTS/S", "LAST LOST");
        head = head || g;
        json_array_foreach (shards, j, o) {
            snprintf(shard, sizeof shard, "%.40s/%" PRId64, str(bot, "name"), num(o, "shard"));
            printf("%-14s %-11s %8s %10s %8" PRId64 " %8" PRId64 " %9.1f %s\n", shard,
                   str(o, "state"), age_text(o, "latency", latency), age_text(o, "session_age", age),
                   num(o, "resumes"), num(o, "events"),
                   json_real_value(json_object_get(o, "events_per_second")), str(o, "why"));
        }
        if (g && !json_array_size(shards))
            printf("%-14s %-11s\n", str(bot, "name"), "connecting");
        if (json_is_true(json_object_get(g, "held")))
            printf("  waits: %" PRId64 " of %" PRId64 " identifies a day are left\n",
                   num(g, "identifies_left"), num(g, "identifies_total"));
        if (num(g, "events_dropped"))
            printf("  %" PRId64 " events dropped\n", num(g, "events_dropped"));
    }
}

static void print_status(const json_t *s)
{
    char text[48];
    size_t i;
    json_t *o;
    printf("crier %s  up %s  config %s (generation %" PRId64 ", %" PRId64 " reload%s)  pid %" PRId64
           "%s\n",
           str(s, "version"), short_duration(json_real_value(json_object_get(s, "up")), text),
           str(s, "config"), num(s, "generation"), num(s, "reloads"),
           num(s, "reloads") == 1 ? "" : "s", num(s, "pid"),
           json_is_true(json_object_get(s, "sim")) ? "  simulator" : "");
    if (*str(s, "last_error"))
        printf("last reload was refused: %s\n", str(s, "last_error"));
    if (num(s, "draining"))
        printf("%" PRId64 " older generation(s) still ending\n", num(s, "draining"));
    int bot = crier_column_width(json_object_get(s, "bots"), "name", 10);
    int account = crier_column_width(json_object_get(s, "bots"), "account", 16);
    printf("\n%-*s %-*s %-11s %9s %8s %6s %s\n", bot, "BOT", account, "ACCOUNT", "STATE", "REQUESTS",
           "PENDING", "429", "INVALID/10MIN");
    json_array_foreach(json_object_get(s, "bots"), i, o)
    {
        crier_print_cell(str(o, "name"), bot);
        crier_print_cell(str(o, "account"), account);
        printf("%-11s %9" PRId64 " %8" PRId64 " %6" PRId64 " %" PRId64 "/10000\n", str(o, "state"),
               num(o, "requests"), num(o, "pending"), num(o, "hits_429"), num(o, "invalid_10min"));
    }
    json_array_foreach(json_object_get(s, "bots"), i, o)
    {
        const json_t *rests = json_object_get(o, "rests"), *q = json_object_get(o, "quarantined");
        if (rests)
            printf("%s rests for %s: %s\n", str(o, "name"),
                   short_duration(json_real_value(rests), text), str(o, "why"));
        if (q)
            printf("%s opens no direct messages for %s: Discord has quarantined it\n",
                   str(o, "name"), short_duration(json_real_value(q), text));
    }
    print_gateways(json_object_get(s, "bots"));
    putchar('\n');
    crier_print_sinks(json_object_get(s, "sinks"));
    if (json_array_size(json_object_get(s, "alerts")))
        putchar('\n');
    crier_print_alerts(json_object_get(s, "alerts"));
    int name = crier_column_width(json_object_get(s, "messages"), "name", 24);
    printf("\n%-*s %-11s %8s %8s %8s %s\n", name, "MESSAGE", "MODE", "SENT", "FAILED", "SKIPPED",
           "NEXT");
    struct crier_zone *zone = NULL;
    if (crier_zone_open(NULL, &zone, NULL) != 0)
        zone = NULL;
    json_array_foreach(json_object_get(s, "messages"), i, o)
    {
        char due[32] = "ended";
        const json_t *t = json_object_get(o, "due");
        if (json_is_true(json_object_get(o, "paused")))
            snprintf(due, sizeof due, "paused");
        else if (t && zone)
            crier_time_human(zone, (int64_t)(json_real_value(t) * 1e6), due);
        crier_print_cell(str(o, "name"), name);
        printf("%-11s %8" PRId64 " %8" PRId64 " %8" PRId64 " %s\n", str(o, "mode"), num(o, "sent"), num(o, "failed"), num(o, "skipped"), due);
        size_t j;
        const json_t *c;
        json_array_foreach(json_object_get(o, "closed"), j, c)
        {
            const json_t *next = json_object_get(c, "again_in");
            printf("  channel %s is %s%s: %s\n", str(c, "id"),
                   next ? "paused for " : "given up",
                   next ? short_duration(json_real_value(next), text) : "", str(c, "reason"));
        }
    }
    if (num(s, "messages_total") > (int64_t)json_array_size(json_object_get(s, "messages")))
        printf("... %" PRId64 " in all (--all)\n", num(s, "messages_total"));
    print_tasks(s);
    crier_zone_unref(zone);
}

int crier_cmd_metrics(int argc, char **argv)
{
    struct client_args a = {0};
    int code = parse("metrics", argc, argv, &a);
    if (code != 0)
        return code;
    json_t *done = NULL;
    code = ask(&a, json_pack("{s:s}", "cmd", "metrics"), &done);
    if (done && a.json)
        print_json(done);
    else if (done && code == 0)
        fputs(str(done, "text"), stdout);
    json_decref(done);
    return code;
}

int crier_cmd_status(int argc, char **argv)
{
    struct client_args a = {0};
    int code = parse("status", argc, argv, &a);
    if (code != 0)
        return code;
    json_t *done = NULL;
    code = ask(&a, json_pack("{s:s, s:b}", "cmd", "status", "all", a.all), &done);
    if (done && a.json)
        print_json(done);
    else if (done && code == 0)
        print_status(done);
    json_decref(done);
    return code;
}

static void print_problems(const json_t *done)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(done, "problems"), i, o)
    {
        if (strcmp(str(o, "severity"), "note") == 0)
            continue;
        int64_t line = num(o, "line"), column = num(o, "column");
        fprintf(stderr, "%s", str(o, "file"));
        if (line)
            fprintf(stderr, ":%" PRId64, line);
        if (column)
            fprintf(stderr, ":%" PRId64, column);
        fprintf(stderr, ": %s%s%s%s", strcmp(str(o, "severity"), "warning") == 0 ? "warning: " : "",
                str(o, "object"), *str(o, "object") ? ": " : "", str(o, "text"));
        if (*str(o, "help"))
            fprintf(stderr, " (%s)", str(o, "help"));
        fputc('\n', stderr);
    }
}

/* --max-growth: the changed script is tried in virtual time first. 0: it may go on. */
static int growth(const struct client_args *a)
{
    struct crier_growth_options o = {.command = "reload",
                                     .file = a->file,
                                     .state = a->state,
                                     .seed = 1,
                                     .span = a->span ? a->span : 24 * 3600 * CRIER_S};
    struct crier_growth g;
    char what[200];
    if (a->max_growth <= 0)
        return 0;
    int code = crier_growth_run(&o, &g);
    double by = code == 0 ? crier_growth_most(&g, what) : 0;
    if (code == 0 && by > a->max_growth) {
        struct crier_buf text = {0};
        crier_growth_text(&g, &text);
        fprintf(stderr, "%sreload refused: %s would get %.3gx as many messages, more than %.3gx\n",
                text.data, what, by, a->max_growth);
        crier_buf_fini(&text);
        code = CRIER_EXIT_NO;
    }
    crier_growth_fini(&g);
    return code;
}

int crier_cmd_reload(int argc, char **argv)
{
    struct client_args a = {0};
    char took[48];
    int code = parse("reload", argc, argv, &a);
    if (code == 0)
        code = growth(&a);
    if (code != 0)
        return code;
    json_t *done = NULL;
    json_t *request = json_pack("{s:s}", "cmd", "reload");
    char *file = a.file ? crier_path_real(a.file) : NULL;
    if (file)
        json_object_set_new(request, "file", json_string(file));
    free(file);
    code = ask(&a, request, &done);
    if (done && a.json) {
        print_json(done);
    } else if (done && code == 0) {
        print_problems(done);
        printf("%sreloaded %s -> %s in %s: %" PRId64 " added, %" PRId64 " changed, %" PRId64
               " removed, %" PRId64 " kept\n",
               str(done, "diff"), str(done, "from"), str(done, "to"),
               short_duration(json_real_value(json_object_get(done, "took")), took),
               num(done, "added"), num(done, "changed"), num(done, "removed"), num(done, "kept"));
    } else if (done) {
        print_problems(done);
        if (*str(done, "running"))
            fprintf(stderr, "reload refused: config %s keeps running\n", str(done, "running"));
    }
    json_decref(done);
    return code;
}
