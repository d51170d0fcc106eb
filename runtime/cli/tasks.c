/* SPDX-License-Identifier: MIT */
#include "cli/tasks.h"

#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "cli/table.h"

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

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void print_task(const json_t *task, int width)
{
    char next[32], at[32], last[48] = "-";
    if (*text_of(task, "last"))
        snprintf(last, sizeof last, "%s %s", text_of(task, "last"), time_of(task, "last_time", at));
    crier_print_cell(text_of(task, "name"), width);
    printf("%-9s %-30s %-21s %s\n", text_of(task, "state"), last, time_of(task, "next", next),
           text_of(task, "start"));
}

void crier_print_tasks(const json_t *tasks)
{
    size_t i;
    const json_t *task;
    int width = crier_column_width(tasks, "name", 24);
    printf("%-*s %-9s %-30s %-21s %s\n", width, "TASK", "STATE", "LAST", "NEXT", "START");
    json_array_foreach((json_t *)tasks, i, task)
        print_task(task, width);
}
