/* SPDX-License-Identifier: MIT
 *
 * crier message: the running bot's messages, one by one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "cli/table.h"
#include "sink/console.h"

struct message_args {
    struct crier_client client;
    bool json;
};

static void put(struct crier_buf *b, const char *text)
{
    crier_console_text((struct crier_str){text, strlen(text)}, b);
}

static const char *due_of(const json_t *o, char out[32])
{
    const json_t *due = json_object_get(o, "due");
    struct crier_zone *zone = NULL;
    snprintf(out, 32, "-");
    if (due && crier_zone_open(NULL, &zone, NULL) == 0)
        crier_time_human(zone, (int64_t)(json_number_value(due) * 1e6), out);
    crier_zone_unref(zone);
    return out;
}

/* --- list ---------------------------------------------------------------------------------- */

static void print_row(const json_t *o, int name_width, int period_width)
{
    char when[32];
    const char *next = json_is_true(json_object_get(o, "paused"))  ? "paused"
                       : json_is_true(json_object_get(o, "ended")) ? "ended"
                                                                   : due_of(o, when);
    crier_print_cell(crier_member(o, "label"), name_width);
    crier_print_cell(crier_member(o, "mode"), 11);
    crier_print_cell(crier_member(o, "period"), period_width);
    printf("%8" PRId64 " %8" PRId64 " %8" PRId64 " %s\n",
           (int64_t)json_integer_value(json_object_get(o, "sent")),
           (int64_t)json_integer_value(json_object_get(o, "failed")),
           (int64_t)json_integer_value(json_object_get(o, "skipped")), next);
}

static void print_list(json_t *messages)
{
    size_t i;
    json_t *o;
    json_array_foreach(messages, i, o)
    {
        char *label =
            crier_asprintf("%s/%s", crier_member(o, "guild"), crier_member(o, "name"));
        json_object_set_new(o, "label", json_string(label));
        free(label);
    }
    int name = crier_column_width(messages, "label", 24);
    int period = crier_column_width(messages, "period", 16);
    printf("%-*s %-11s %-*s %8s %8s %8s %s\n", name, "MESSAGE", "MODE", period, "PERIOD", "SENT",
           "FAILED", "SKIPPED", "NEXT");
    json_array_foreach(messages, i, o)
        print_row(o, name, period);
}

static int list(const struct message_args *a)
{
    json_t *request = json_pack("{s:s, s:b}", "cmd", "status", "all", 1), *done = NULL, *o;
    int code = crier_client_ask(&a->client, request, NULL, NULL, &done, NULL);
    size_t i;
    if (code == 0 && !a->json)
        print_list(json_object_get(done, "messages"));
    json_array_foreach(a->json ? json_object_get(done, "messages") : NULL, i, o)
        crier_print_json(o);
    json_decref(done);
    json_decref(request);
    return code;
}

/* --- answers ------------------------------------------------------------------------------- */

static void print_sent(const json_t *done)
{
    const json_t *record = json_object_get(done, "record");
    struct crier_buf b = {0};
    size_t i;
    json_t *c;
    if (!record) {
        fprintf(stderr, "crier message: message '%s' was not sent: %s\n",
                crier_member(done, "name"), crier_member(done, "skipped"));
        return;
    }
    put(&b, crier_member(record, "text"));
    puts(b.data);
    json_array_foreach(json_object_get(json_object_get(record, "channels"), "failed"), i, c)
    {
        crier_buf_clear(&b);
        put(&b, crier_member(c, "name"));
        crier_buf_puts(&b, ": ");
        put(&b, crier_member(c, "reason"));
        fprintf(stderr, "  #%s\n", b.data);
    }
    crier_buf_fini(&b);
}

/* Text with its line breaks, each line set in. */
static void print_set_in(const char *label, const char *text)
{
    struct crier_buf b = {0};
    do {
        int n = (int)strcspn(text, "\n");
        crier_buf_clear(&b);
        crier_console_text((struct crier_str){text, (size_t)n}, &b);
        printf("  %-8s %s\n", label, b.data ? b.data : "");
        text += n + (text[n] == '\n');
        label = "";
    } while (*text);
    crier_buf_fini(&b);
}

/* What is no text and no file. */
static void print_parts(const json_t *said)
{
    static const char *const parts[][2] = {
        {"embed", "embed"},       {"poll", "poll"},     {"components", "buttons"},
        {"stickers", "stickers"}, {"thread", "thread"}, {"reply_to", "reply to"},
    };
    for (size_t k = 0; k < CRIER_COUNT(parts); k++) {
        const json_t *part = json_object_get(said, parts[k][0]);
        char *text = json_is_string(part) ? crier_strdup(json_string_value(part))
                                          : json_dumps(part, JSON_INDENT(2));
        if (part && text)
            print_set_in(parts[k][1], text);
        free(text);
    }
}

static void print_mentions(const json_t *request)
{
    const json_t *allowed = json_object_get(json_object_get(request, "body"), "allowed_mentions");
    char *text = json_dumps(allowed, JSON_COMPACT);
    bool nobody = !json_array_size(json_object_get(allowed, "parse")) &&
                  !json_object_get(allowed, "roles") && !json_object_get(allowed, "users");
    printf("  %-8s %s\n", "pings", nobody || !text ? "nobody" : text);
    free(text);
}

static void print_requests(const json_t *requests)
{
    size_t i;
    json_t *r;
    json_array_foreach(requests, i, r)
    {
        bool channel = json_object_get(r, "channel") != NULL;
        const char *does = crier_member(r, "does"), *last = crier_member(r, "message");
        struct crier_buf b = {0};
        put(&b, crier_member(r, "name"));
        printf("  %-8s %s%s%s%s (%s)\n", i ? "" : "to", channel ? "#" : "@", b.data,
               strcmp(does, "edit") == 0              ? ": edits message "
               : strcmp(does, "delete and send") == 0 ? ": sends, and deletes message "
                                                      : ": sends",
               last, crier_member(r, channel ? "channel" : "user"));
        crier_buf_fini(&b);
    }
}

static void print_preview(const json_t *shown)
{
    const json_t *guild = json_object_get(shown, "guild"), *said;
    const json_t *requests = json_object_get(shown, "requests");
    size_t i;
    json_t *f;
    if (json_object_get(shown, "error")) {
        fprintf(stderr, "crier message: %s\n", crier_member(shown, "error"));
        if (*crier_member(shown, "traceback"))
            fprintf(stderr, "%s\n", crier_member(shown, "traceback"));
        return;
    }
    printf("message %s (%s, mode %s) in %s %s\n", crier_member(shown, "name"),
           crier_member(shown, "type"), crier_member(shown, "mode"), crier_member(guild, "type"),
           crier_member(guild, "name"));
    if (json_object_get(shown, "skipped"))
        printf("  nothing is sent: %s\n", crier_member(shown, "skipped"));
    if (!requests)
        return;
    print_requests(requests);
    said = json_object_get(shown, "sent_data");
    if (json_object_get(said, "text"))
        print_set_in("text", crier_member(said, "text"));
    print_parts(said);
    json_array_foreach(json_object_get(said, "files"), i, f)
    {
        if (json_object_get(f, "error"))
            printf("  %-8s %s: %s\n", "file", crier_member(f, "name"), crier_member(f, "error"));
        else
            printf("  %-8s %s (%" PRId64 " bytes)\n", "file", crier_member(f, "name"),
                   (int64_t)json_integer_value(json_object_get(f, "size")));
    }
    if (json_array_size(requests))
        print_mentions(json_array_get(requests, 0));
}

static void print_state(const json_t *done, bool pause)
{
    char when[32];
    bool changed = json_is_true(json_object_get(done, "changed"));
    if (pause)
        printf("message %s %s\n", crier_member(done, "name"),
               changed ? "is paused" : "was paused already");
    else
        printf("message %s %s; next: %s\n", crier_member(done, "name"),
               changed ? "goes on" : "was not paused", due_of(done, when));
}

static int act(const struct message_args *a, const char *what, const char *name)
{
    json_t *request = json_pack("{s:s, s:s, s:s}", "cmd", "message", "do", what, "name", name);
    json_t *done = NULL;
    int code = request ? crier_client_ask(&a->client, request, NULL, NULL, &done, NULL)
                       : crier_usage("message", "the name is not UTF-8");
    bool answered = done && !json_object_get(done, "error");
    if (answered && a->json && strcmp(what, "preview") == 0)
        crier_print_json(json_object_get(done, "preview"));
    else if (answered && a->json && json_object_get(done, "record"))
        crier_print_json(json_object_get(done, "record"));
    else if (answered && a->json) {
        json_object_del(done, "done");
        json_object_del(done, "code");
        crier_print_json(done);
    } else if (answered && strcmp(what, "preview") == 0)
        print_preview(json_object_get(done, "preview"));
    else if (answered && strcmp(what, "send") == 0)
        print_sent(done);
    else if (answered)
        print_state(done, strcmp(what, "pause") == 0);
    json_decref(done);
    json_decref(request);
    return code;
}

int crier_cmd_message(int argc, char **argv)
{
    static const char *const names[] = {"list", "send", "preview", "pause", "resume"};
    struct message_args a = {.client.command = "message"};
    if (crier_client_options(&a.client, argc, argv, &a.json, NULL) != 0)
        return CRIER_EXIT_USAGE;
    const char *what = optind < argc ? argv[optind++] : NULL;
    if (crier_usage_word("message", what, names, CRIER_COUNT(names)) != 0)
        return CRIER_EXIT_USAGE;
    int words = argc - optind;
    if (strcmp(what, "list") == 0) {
        if (words > 1)
            return crier_usage("message", "one script at a time");
        a.client.file = words ? argv[optind] : NULL;
        return list(&a);
    }
    if (words < 1 || words > 2)
        return crier_usage(
            "message", words ? "one message at a time" : "%s which message? (crier message list)",
            what);
    a.client.file = words == 2 ? argv[optind] : NULL;
    return act(&a, what, argv[argc - 1]);
}
