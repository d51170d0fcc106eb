/* SPDX-License-Identifier: MIT */
#include "cli/lab_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/load.h"

static bool add(const char **list, size_t *count, const char *text)
{
    if (*count == 16)
        return false;
    list[(*count)++] = text;
    return true;
}

int crier_lab_option(struct crier_lab_options *o, int opt, char **argv)
{
    struct crier_err err = {0};
    char *end;
    switch (opt) {
    case CRIER_LAB_FOR:
        if (crier_duration_parse(optarg, &o->span, &err) != 0)
            return crier_usage(o->command, "--for: %s", err.text);
        if (o->span <= 0)
            return crier_usage(o->command, "--for: expected more than 0");
        return 0;
    case CRIER_LAB_FROM:
        o->from = optarg;
        return 0;
    case CRIER_LAB_SEED:
        errno = 0;
        o->seed = strtoull(optarg, &end, 0);
        if (*end || end == optarg || errno || *optarg == '-')
            return crier_usage(o->command, "--seed takes a whole number, got '%s'", optarg);
        return 0;
    case CRIER_LAB_FAULTS:
        if (!add(o->faults, &o->fault_count, optarg))
            return crier_usage(o->command, "too many --faults");
        return 0;
    case CRIER_LAB_HTTP:
        if (!add(o->http, &o->http_count, optarg))
            return crier_usage(o->command, "too many --http");
        return 0;
    case CRIER_LAB_WORLD:
        o->world = optarg;
        return 0;
    case CRIER_LAB_SINKS:
        o->sinks = true;
        return 0;
    case CRIER_LAB_NO_LIMITS:
        o->no_limits = true;
        return 0;
    default:
        return crier_usage_option(o->command, argv);
    }
}

/* The script's zone, and whether it is any good. */
static int look_at_script(const char *file, struct crier_zone **zone)
{
    struct crier_generation *gen;
    bool color;
    int code = crier_load_script(file, NULL, &gen);
    if (code != 0)
        return code;
    if (gen->diags.errors) {
        enum crier_diag_format format = crier_diag_format_for(stderr, &color);
        crier_diags_print(&gen->diags, stderr, format, color);
        code = CRIER_EXIT_CONFIG;
    } else {
        *zone = crier_zone_ref(gen->zone);
    }
    crier_generation_unref(gen);
    return code;
}

/* Today's midnight, so that two runs on one day are the same. */
static int begin(const struct crier_lab_options *o, const struct crier_zone *zone, int64_t *from)
{
    struct crier_err err = {0};
    struct crier_civil c;
    if (o->from) {
        if (crier_datetime_parse(o->from, zone, from, &err) != 0)
            return crier_usage(o->command, "--from: %s", err.text);
        return 0;
    }
    crier_civil_at(zone, crier_clock_wall(crier_clock_real()), &c);
    c.hour = c.minute = c.second = c.micros = 0;
    return crier_civil_to_wall(zone, &c, from, &err) == 0 ? 0 : CRIER_EXIT_INTERNAL;
}

/* file: NULL when the text names it. */
static int complain(const char *command, const char *file, const struct crier_err *err)
{
    fprintf(stderr, "crier %s: %s%s%s\n", command, file ? file : "", file ? ": " : "", err->text);
    return CRIER_EXIT_CONFIG;
}

static bool is_preset(const char *text)
{
    for (size_t i = 0; crier_lab_presets[i]; i++) {
        if (strcmp(crier_lab_presets[i], text) == 0)
            return true;
    }
    return false;
}

static int add_files(struct crier_lab *lab, const struct crier_lab_options *o)
{
    struct crier_err err = {0};
    int code = 0;
    for (size_t i = 0; i < o->fault_count + o->http_count && code == 0; i++) {
        bool fault = i < o->fault_count;
        const char *file = fault ? o->faults[i] : o->http[i - o->fault_count];
        struct crier_buf text = {0};
        if (fault && is_preset(file))
            crier_buf_puts(&text, file);
        else if (crier_file_read(file, 64 << 20, &text, &err) != 0)
            code = complain(o->command, NULL, &err);
        if (code != 0 && fault && err.code == CRIER_ENOTFOUND) {
            fprintf(stderr, "crier %s: --faults takes a file, or one of the presets", o->command);
            for (size_t j = 0; crier_lab_presets[j]; j++)
                fprintf(stderr, " %s", crier_lab_presets[j]);
            fputc('\n', stderr);
        }
        if (code != 0)
            code = CRIER_EXIT_NO_FILE;
        else if ((fault ? crier_lab_faults : crier_lab_fixtures)(lab, text.data ? text.data : "",
                                                                 &err) != 0)
            code = complain(o->command, file, &err);
        crier_buf_fini(&text);
    }
    return code;
}

int crier_lab_options_open(const struct crier_lab_options *o, struct crier_lab_config *config,
                           struct crier_zone **zone, struct crier_lab **out)
{
    struct crier_err err = {0};
    int code = look_at_script(o->file, zone);
    if (code == 0)
        code = begin(o, *zone, &config->from);
    if (code != 0)
        return code;
    config->file = o->file;
    config->sinks = o->sinks;
    config->seed = o->seed;
    config->world = o->world;
    config->no_limits = o->no_limits;
    if (crier_lab_new(config, out, &err) != 0) {
        fprintf(stderr, "crier: %s\n", err.text);
        return CRIER_EXIT_CONFIG;
    }
    code = add_files(*out, o);
    if (code != 0)
        crier_lab_free(*out);
    return code;
}
