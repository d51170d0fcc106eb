/* SPDX-License-Identifier: MIT */
#include "cli/tasks.h"

#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "sink/console.h"

static const char *time_of(const json_t *o, const char *key, char out[32])
{
    const json_t *time = json_object_get(o, key);
    struct crier_zone *zone = NULL;
    snprintf(out, 32, "-");
    if (time && crier_zone_open(NULL, &zone, NULL) == 0)
        crier_time_human(zone, (int64_t)(json_number_value(time) * 1e6), out);
    crier_zone_unref(zone);
    return out;
}

void crier_print_task_head(void)
{
    printf("%-24s %-9s %-30s %-21s %s\n", "TASK", "STATE", "LAST", "NEXT", "START");
}

void crier_print_task(const json_t *task)
{
    char next[32], at[32], last[48] = "-";
    const char *action = json_string_value(json_object_get(task, "last"));
    const char *start = json_string_value(json_object_get(task, "start"));
    const char *name = json_string_value(json_object_get(task, "name"));
    const char *state = json_string_value(json_object_get(task, "state"));
    struct crier_buf b = {0};
    crier_console_text((struct crier_str){name ? name : "", name ? strlen(name) : 0}, &b);
    if (action)
        snprintf(last, sizeof last, "%s %s", action, time_of(task, "last_time", at));
    printf("%-24s %-9s %-30s %-21s %s\n", b.data ? b.data : "", state ? state : "", last,
           time_of(task, "next", next), start ? start : "");
    crier_buf_fini(&b);
}
