/* SPDX-License-Identifier: MIT
 *
 * crier why: what a task or a message waits for, part by part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "sink/console.h"

enum { WIDE = 48 };

/* Characters, not bytes, so that columns stand below each other. */
static int width(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

static void print_tree(const json_t *o, int depth)
{
    struct crier_buf b = {0};
    size_t i;
    json_t *item;
    for (int n = 0; n < depth; n++)
        crier_buf_puts(&b, "  ");
    crier_console_text((struct crier_str){crier_member(o, "text"), strlen(crier_member(o, "text"))},
                       &b);
    int pad = WIDE - width(b.data);
    crier_buf_printf(&b, "%*s %-6s", pad > 0 ? pad : 0, "",
                     json_is_true(json_object_get(o, "truth")) ? "true" : "false");
    if (*crier_member(o, "reason")) {
        crier_buf_puts(&b, " ");
        crier_console_text(
            (struct crier_str){crier_member(o, "reason"), strlen(crier_member(o, "reason"))}, &b);
    }
    while (b.len && b.data[b.len - 1] == ' ')
        b.data[--b.len] = '\0';
    puts(b.data);
    crier_buf_fini(&b);
    json_array_foreach(json_object_get(o, "items"), i, item) print_tree(item, depth + 1);
}

static const char *time_of(const json_t *o, const char *key, const struct crier_zone *zone,
                           char out[32])
{
    return crier_time_human(zone, (int64_t)(json_number_value(json_object_get(o, key)) * 1e6 + 0.5),
                            out);
}

static void print_answer(const json_t *o, const struct crier_zone *zone)
{
    char when[32], left[48];
    size_t i;
    json_t *run;
    printf("%s %s: %s (%s)\n", crier_member(o, "kind"), crier_member(o, "name"),
           crier_member(o, "verdict"), time_of(o, "time", zone, when));
    json_array_foreach(json_object_get(o, "runs"), i, run) printf(
        "  runs since %s (%s)\n", time_of(run, "start", zone, when), crier_member(run, "run_id"));
    if (json_object_get(o, "start"))
        print_tree(json_object_get(o, "start"), 1);
    if (json_object_get(o, "stop")) {
        puts("  its runs are terminated when:");
        print_tree(json_object_get(o, "stop"), 2);
    }
    if (json_object_get(o, "last_time"))
        printf("  last: %s %s\n", crier_member(o, "last"), time_of(o, "last_time", zone, when));
    const json_t *next = json_object_get(o, "next");
    if (next) {
        double wait = json_number_value(next) - json_number_value(json_object_get(o, "time"));
        int64_t us = wait > 0 ? (int64_t)(wait * 1e6) : 0;
        us -= us % (us > 3600 * CRIER_S ? 60 * CRIER_S : CRIER_S);
        printf("  next: %s (in %s)\n", time_of(o, "next", zone, when),
               crier_duration_text(us, left));
    }
}

int crier_cmd_why(int argc, char **argv)
{
    struct crier_client client = {.command = "why"};
    struct crier_zone *zone = NULL;
    bool json = false;
    size_t i;
    json_t *answer, *done = NULL;
    if (crier_client_options(&client, argc, argv, &json, NULL) != 0)
        return CRIER_EXIT_USAGE;
    int words = argc - optind;
    if (words < 1 || words > 2)
        return crier_usage("why",
                           words ? "one task or message at a time" : "which task or message?");
    client.file = words == 2 ? argv[optind] : NULL;
    json_t *request = json_pack("{s:s, s:s}", "cmd", "why", "name", argv[argc - 1]);
    if (!request)
        return crier_usage("why", "the name is not UTF-8");
    int code = crier_client_ask(&client, request, NULL, NULL, &done, NULL);
    if (code == 0 && crier_zone_open(crier_member(done, "zone"), &zone, NULL) != 0 &&
        crier_zone_open(NULL, &zone, NULL) != 0)
        zone = NULL;
    json_array_foreach(json_object_get(done, "answers"), i, answer)
    {
        if (json)
            crier_print_json(answer);
        else if (zone)
            print_answer(answer, zone);
    }
    crier_zone_unref(zone);
    json_decref(done);
    json_decref(request);
    return code;
}
