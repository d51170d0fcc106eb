/* SPDX-License-Identifier: MIT
 *
 * crier events: the log of work that changes something, one line an event; adding a note to one,
 * and ending one that nobody finished.
 */
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "sink/console.h"

#define LINES 100

struct events {
    struct crier_client client;
    json_t *request;
    bool json, open, color;
    struct crier_zone *zone;
    struct crier_buf line;
    uint64_t count;
};

static void on_from(void *arg, const char *sink, const char *kind, struct crier_zone *zone)
{
    struct events *e = arg;
    (void)sink;
    (void)kind;
    e->zone = crier_zone_ref(zone);
}

static bool get(const struct crier_record *record, const char *name, struct crier_value *v)
{
    char scratch[32];
    return crier_record_get(record, name, v, scratch) && v->type != CRIER_NULL;
}

static bool is_set(const struct crier_record *record, const char *name)
{
    struct crier_value v;
    return get(record, name, &v) && v.type == CRIER_TRUE;
}

static bool time_of(const struct crier_record *record, const char *name, int64_t *out)
{
    struct crier_value v;
    struct crier_err err;
    if (!get(record, name, &v))
        return false;
    if (v.type == CRIER_TIME) {
        *out = v.i;
        return true;
    }
    if (v.type != CRIER_STR || v.s.len > 60)
        return false;
    char text[64];
    memcpy(text, v.s.data, v.s.len);
    text[v.s.len] = '\0';
    return crier_datetime_parse(text, NULL, out, &err) == 0;
}

static void put_text(struct events *e, const struct crier_record *record, const char *name,
                     const char *before)
{
    struct crier_value v;
    if (!get(record, name, &v) || v.type != CRIER_STR || !v.s.len)
        return;
    crier_buf_puts(&e->line, before);
    crier_console_text(v.s, &e->line);
}

static void put_state(struct events *e, const struct crier_record *record)
{
    int64_t from, to;
    char took[48];
    bool finished = time_of(record, "when_finished", &to);
    const char *state = !finished ? "OPEN" : is_set(record, "is_error") ? "error" : "ok";
    const char *color = !e->color                                  ? NULL
                        : !finished || is_set(record, "is_severe") ? "31;1"
                        : is_set(record, "is_error")               ? "31"
                                                                   : "32";
    if (color)
        crier_buf_printf(&e->line, "\x1b[%sm%-5s\x1b[0m", color, state);
    else
        crier_buf_printf(&e->line, "%-5s", state);
    if (finished && time_of(record, "when_started", &from) && to >= from)
        crier_buf_printf(&e->line, " %8s", crier_duration_text(to - from, took));
    else
        crier_buf_puts(&e->line, "         ");
}

/* 2026-11-21 09:00:00  01KB3M5Z8Q0V...  ok    1.2s  report.build  build the report -> 3 failed */
static void on_record(void *arg, struct crier_record *record)
{
    struct events *e = arg;
    struct crier_civil c;
    struct crier_value v;
    struct crier_str text = crier_record_text(record);
    crier_buf_clear(&e->line);
    crier_civil_at(e->zone, crier_record_time(record), &c);
    crier_buf_printf(&e->line, "%04d-%02d-%02d %02d:%02d:%02d  ", c.year, c.month, c.day, c.hour,
                     c.minute, c.second);
    bool has_id = get(record, "event_id", &v) && v.type == CRIER_STR;
    crier_console_text(has_id ? v.s : (struct crier_str){"-", 1}, &e->line);
    crier_buf_puts(&e->line, "  ");
    put_state(e, record);
    put_text(e, record, "ev_where", "  ");
    crier_buf_puts(&e->line, "  ");
    crier_console_text(text, &e->line);
    put_text(e, record, "descr_fin", " -> ");
    if (is_set(record, "is_severe"))
        crier_buf_puts(&e->line, "  [severe]");
    put_text(e, record, "notes", "  # ");
    crier_buf_putc(&e->line, '\n');
    fwrite(e->line.data, 1, e->line.len, stdout);
    e->count++;
}

static void on_json(void *arg, const char *json, size_t len)
{
    struct events *e = arg;
    fwrite(json, 1, len, stdout);
    putchar('\n');
    e->count++;
}

static void set(json_t *request, const char *key, const char *text)
{
    json_object_set_new(request, key, json_string(text));
}

static void match(struct events *e, const char *word)
{
    json_array_append_new(json_object_get(e->request, "match"), json_string(word));
}

/* --- note and close ------------------------------------------------------------------------ */

static const char *user_name(void)
{
    const struct passwd *pw = getpwuid(getuid());
    return pw ? pw->pw_name : "?";
}

static void tell(struct events *e, const char *what, const json_t *done)
{
    const char *descr = json_string_value(json_object_get(done, "descr"));
    crier_buf_printf(&e->line, "%s %s: ", what, json_string_value(json_object_get(done, "id")));
    crier_console_text((struct crier_str){descr ? descr : "", descr ? strlen(descr) : 0}, &e->line);
    puts(e->line.data);
}

static int amend(struct events *e, const char *action, int count, char **words)
{
    json_t *done = NULL;
    struct crier_buf text = {0};
    bool closes = strcmp(action, "close") == 0;
    if (count == 0 || (!closes && count < 2))
        return crier_usage("events", closes ? "close takes an event's id"
                                            : "note takes an event's id and a text");
    for (int i = 1; i < count; i++)
        crier_buf_printf(&text, "%s%s", i > 1 ? " " : "", words[i]);
    set(e->request, "cmd", "event");
    set(e->request, "action", action);
    set(e->request, "who", user_name());
    char *id = crier_strdup(words[0]);
    for (char *p = id; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    set(e->request, "id", id);
    free(id);
    if (text.len)
        set(e->request, "text", text.data);
    int code = crier_client_ask(&e->client, e->request, NULL, NULL, &done, NULL);
    if (code == 0 && e->json)
        printf("{\"id\":\"%s\"}\n", json_string_value(json_object_get(done, "id")));
    else if (code == 0)
        tell(e, closes ? "closed" : "noted", done);
    json_decref(done);
    crier_buf_fini(&text);
    return code;
}

/* --- the list ------------------------------------------------------------------------------ */

static int list(struct events *e, bool severe, bool debug, int count, char **words)
{
    match(e, "kind=event");
    if (e->open)
        match(e, "when_finished=null");
    if (severe)
        match(e, "is_severe=true");
    if (!debug)
        match(e, "is_debug!=true");
    int code = crier_client_words(&e->client, json_object_get(e->request, "match"), count, words);
    if (code != 0)
        return code;
    if (!json_object_get(e->request, "lines") && !json_object_get(e->request, "since") && !e->open)
        json_object_set_new(e->request, "lines", json_integer(LINES));
    struct crier_reader_out out = {
        .from = on_from, .json = e->json ? on_json : NULL, .record = on_record, .arg = e};
    code = crier_client_read(&e->client, e->request, &out);
    if (code == 0 && !e->count && !e->json && isatty(2))
        fprintf(stderr, e->open ? "no event is open\n" : "no event matches\n");
    return code;
}

int crier_cmd_events(int argc, char **argv)
{
    enum { OPEN = 256, SEVERE, DEBUG, SINCE, UNTIL, SINK, JSON, STATE };
    static const struct option options[] = {
        {"open", no_argument, NULL, OPEN},         {"severe", no_argument, NULL, SEVERE},
        {"debug", no_argument, NULL, DEBUG},       {"since", required_argument, NULL, SINCE},
        {"until", required_argument, NULL, UNTIL}, {"sink", required_argument, NULL, SINK},
        {"json", no_argument, NULL, JSON},         {"state", required_argument, NULL, STATE},
        {"lines", required_argument, NULL, 'n'},   {NULL, 0, NULL, 0}};
    struct events e = {.client.command = "events",
                       .request = json_pack("{s:s, s:[]}", "cmd", "logs", "match")};
    const char *no_color = getenv("NO_COLOR");
    bool severe = false, debug = false;
    int opt, code = 0;
    long lines;
    e.color = isatty(1) && !(no_color && *no_color);
    opterr = 0;
    optind = 1;
    while (code == 0 && (opt = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
        switch (opt) {
        case 'n':
            code = crier_usage_lines("events", "-n", optarg, &lines);
            json_object_set_new(e.request, "lines", json_integer(lines));
            break;
        case OPEN:
            e.open = true;
            break;
        case SEVERE:
            severe = true;
            break;
        case DEBUG:
            debug = true;
            break;
        case SINCE:
            set(e.request, "since", optarg);
            break;
        case UNTIL:
            set(e.request, "until", optarg);
            break;
        case SINK:
            set(e.request, "sink", optarg);
            break;
        case JSON:
            e.json = true;
            break;
        case STATE:
            e.client.state = optarg;
            break;
        default:
            code = crier_usage_option("events", argv);
        }
    }
    /* crier events [FILE] note|close ID ...: the script may stand in front, as everywhere. */
    int at = optind;
    if (at + 1 < argc && access(argv[at], R_OK) == 0 &&
        (strcmp(argv[at + 1], "note") == 0 || strcmp(argv[at + 1], "close") == 0))
        e.client.file = argv[at++];
    if (code == 0 && at < argc && (strcmp(argv[at], "note") == 0 || strcmp(argv[at], "close") == 0))
        code = amend(&e, argv[at], argc - at - 1, argv + at + 1);
    else if (code == 0)
        code = list(&e, severe, debug, argc - optind, argv + optind);
    json_decref(e.request);
    crier_zone_unref(e.zone);
    crier_buf_fini(&e.line);
    return code;
}
