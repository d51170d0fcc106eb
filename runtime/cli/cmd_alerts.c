/* SPDX-License-Identifier: MIT
 *
 * crier alerts: what fires in the running bot, and how its targets do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/alerts.h"
#include "cli/cli.h"
#include "cli/read.h"
#include "sink/console.h"

static int64_t num(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void print_text(const char *before, const char *text)
{
    struct crier_buf b = {0};
    crier_console_text((struct crier_str){text, strlen(text)}, &b);
    printf("%s%s\n", before, b.data ? b.data : "");
    crier_buf_fini(&b);
}

static void print_firing(const json_t *in, struct crier_zone *zone)
{
    char since[32] = "?", before[120];
    if (zone)
        crier_time_human(zone, (int64_t)(json_number_value(json_object_get(in, "since")) * 1e6),
                         since);
    char times[40] = "";
    if (num(in, "count") > 1)
        snprintf(times, sizeof times, ", %" PRId64 " times", num(in, "count"));
    snprintf(before, sizeof before, "  since %s%s%s: ", since, times,
             json_is_true(json_object_get(in, "told")) ? "" : ", not told");
    print_text(before, crier_member(in, "text"));
}

static void print_target(const json_t *t)
{
    if (!json_is_true(json_object_get(t, "failing")) && !num(t, "lost"))
        return;
    printf("  %s: %" PRId64 " sent, %" PRId64 " waiting, %" PRId64 " given up",
           crier_member(t, "to"), num(t, "sent"), num(t, "queued"), num(t, "lost"));
    print_text(*crier_member(t, "error") ? ": " : "", crier_member(t, "error"));
}

void crier_print_alerts(const json_t *alerts)
{
    struct crier_zone *zone = NULL;
    size_t i, k;
    json_t *a, *o;
    if (crier_zone_open(NULL, &zone, NULL) != 0)
        zone = NULL;
    if (json_array_size(alerts))
        printf("%-24s %-11s %8s %8s %8s %s\n", "ALERT", "WHEN", "FIRED", "TOLD", "LEFT OUT", "NOW");
    json_array_foreach(alerts, i, a)
    {
        const json_t *firing = json_object_get(a, "firing");
        size_t n = json_array_size(firing);
        printf("%-24s %-11s %8" PRId64 " %8" PRId64 " %8" PRId64 " ", crier_member(a, "name"),
               crier_member(a, "when"), num(a, "fired"), num(a, "told"), num(a, "left_out"));
        if (n > 1)
            printf("firing (%zu)\n", n);
        else
            puts(n ? "firing" : "ok");
        json_array_foreach(firing, k, o)
        {
            print_firing(o, zone);
        }
        json_array_foreach(json_object_get(a, "to"), k, o)
        {
            print_target(o);
        }
    }
    crier_zone_unref(zone);
}

int crier_cmd_alerts(int argc, char **argv)
{
    struct crier_client client = {.command = "alerts"};
    bool json = false;
    if (crier_client_options(&client, argc, argv, &json, NULL) != 0)
        return CRIER_EXIT_USAGE;
    if (argc - optind > 1)
        return crier_usage("alerts", "too many arguments");
    client.file = argv[optind];
    json_t *request = json_pack("{s:s}", "cmd", "status"), *done = NULL, *a;
    int code = crier_client_ask(&client, request, NULL, NULL, &done, NULL);
    const json_t *alerts = json_object_get(done, "alerts");
    size_t i;
    if (code == 0 && !json && !json_array_size(alerts))
        fprintf(stderr, "crier alerts: the script declares none (crier help alert)\n");
    else if (code == 0 && !json)
        crier_print_alerts(alerts);
    json_array_foreach(json ? alerts : NULL, i, a) crier_print_json(a);
    json_decref(done);
    json_decref(request);
    return code;
}
