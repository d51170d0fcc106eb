/* SPDX-License-Identifier: MIT */
#include "cli/sinks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cli/read.h"

static int64_t num(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *whole_seconds(int64_t us, char out[48])
{
    return crier_duration_text(us < 0 ? 0 : us - us % CRIER_S, out);
}

/* "DOWN 2m10s (why), next try in 50s, fallback files"; of a sink that the script has no more "removed,
 * ending; " stands in front. */
static void print_state(const json_t *o)
{
    int64_t now = crier_clock_wall(crier_clock_real());
    const json_t *since = json_object_get(o, "down_since"), *next = json_object_get(o, "next_try");
    bool gone = json_is_true(json_object_get(o, "gone"));
    char text[48];
    if (gone)
        printf("removed, ending; ");
    if (json_is_true(json_object_get(o, "down")))
        printf("DOWN %s", whole_seconds(now - (int64_t)(json_real_value(since) * 1e6), text));
    else if (json_is_true(json_object_get(o, "failing")))
        printf("FAILING");
    else {
        puts(gone ? "what is not written yet stays in its spool" : "ok");
        return;
    }
    printf(" (%s)", crier_member(o, "error"));
    if (next)
        printf(", next try in %s",
               whole_seconds((int64_t)(json_real_value(next) * 1e6) - now, text));
    if (*crier_member(o, "fallback"))
        printf(", fallback %s", crier_member(o, "fallback"));
    putchar('\n');
}

void crier_print_sinks(const json_t *sinks)
{
    size_t i;
    json_t *o;
    int width = 12;
    json_array_foreach(sinks, i, o) width =
        (int)strlen(crier_member(o, "name")) > width ? (int)strlen(crier_member(o, "name")) : width;
    printf("%-*s %-8s %10s %10s %8s %8s %8s %8s %8s  %s\n", width, "SINK", "KIND", "ACCEPTED",
           "WRITTEN", "QUEUED", "SPOOLED", "REJECTED", "DROPPED", "COPIED", "STATE");
    json_array_foreach(sinks, i, o)
    {
        printf("%-*s %-8s %10" PRId64 " %10" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64
               " %8" PRId64 " %8" PRId64 "  ",
               width, crier_member(o, "name"), crier_member(o, "kind"), num(o, "accepted"),
               num(o, "written"), num(o, "queued"), num(o, "spilled"), num(o, "rejected"),
               num(o, "dropped"), num(o, "copied"));
        print_state(o);
    }
}
