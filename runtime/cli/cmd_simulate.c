/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/lab_options.h"
#include "cli/load.h"
#include "cli/tally.h"

struct run {
    struct crier_lab_options lab;
    double speed; /* 0: as fast as it goes */
    bool json, quiet, all;
    const char *svg;
    struct crier_zone *zone;
    struct crier_tally tally;
    struct crier_buf line;
};

/* The first line of what was sent, so long that a line of a terminal holds it. */
static void append_preview(struct crier_buf *b, const struct crier_record *record)
{
    enum { MOST = 40 };
    struct crier_value v;
    char scratch[32];
    if (!crier_record_get(record, "sent_data.text", &v, scratch) || v.type != CRIER_STR)
        return;
    size_t n = 0, chars = 0;
    while (n < v.s.len && v.s.data[n] != '\n' &&
           (chars < MOST || ((unsigned char)v.s.data[n] & 0xc0) == 0x80)) {
        chars += ((unsigned char)v.s.data[n] & 0xc0) != 0x80;
        n++;
    }
    crier_buf_puts(b, "  ");
    for (size_t i = 0; i < n; i++)
        crier_buf_putc(b, (unsigned char)v.s.data[i] < 0x20 ? ' ' : v.s.data[i]);
    if (n < v.s.len)
        crier_buf_puts(b, "...");
}

static void print_line(struct run *run, const struct crier_record *record)
{
    struct crier_buf *b = &run->line;
    struct crier_str text = crier_record_text(record);
    struct crier_value guild;
    char when[32], scratch[32];
    crier_buf_clear(b);
    if (run->json) {
        struct crier_str json = crier_record_json((struct crier_record *)record);
        crier_buf_append(b, json.data, json.len);
    } else {
        crier_buf_printf(b, "%s %-7s %-8s ",
                         crier_time_human(run->zone, crier_record_time(record), when),
                         crier_kind_name(crier_record_kind(record)),
                         crier_level_name(crier_record_level(record)));
        crier_buf_append(b, text.data, text.len);
        if (crier_record_kind(record) == CRIER_KIND_MESSAGE) {
            append_preview(b, record);
            if (crier_record_get(record, "guild.name", &guild, scratch) && guild.type == CRIER_STR)
                crier_buf_printf(b, "  (%.*s)", (int)guild.s.len, guild.s.data);
        }
    }
    crier_buf_putc(b, '\n');
    fwrite(b->data, 1, b->len, stdout);
}

static void on_record(void *arg, const struct crier_record *record)
{
    struct run *run = arg;
    crier_tally_record(&run->tally, record);
    if (!run->quiet)
        print_line(run, record);
}

static void on_create(void *arg, uint64_t channel, unsigned pings)
{
    struct run *run = arg;
    crier_tally_create(&run->tally, channel, pings);
}

/* At a pace that people can follow: as much virtual time as speed makes of the real. */
static void advance(struct run *run, struct crier_lab *lab)
{
    if (run->speed <= 0) {
        crier_lab_advance(lab, run->lab.span);
        return;
    }
    const double tick = 0.05; /* seconds */
    int64_t left = run->lab.span, step = (int64_t)(run->speed * tick * 1e6);
    struct timespec pause = {.tv_nsec = (long)(tick * 1e9)};
    step = step > 0 ? step : 1;
    while (left > 0 && crier_lab_advance(lab, step < left ? step : left)) {
        left -= step;
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
}

static int write_svg(struct run *run)
{
    struct crier_buf svg = {0};
    crier_tally_svg(&run->tally, run->zone, &svg);
    FILE *f = fopen(run->svg, "w");
    bool ok = f && fwrite(svg.data, 1, svg.len, f) == svg.len;
    if (f)
        ok = fclose(f) == 0 && ok;
    crier_buf_fini(&svg);
    if (!ok)
        fprintf(stderr, "crier: cannot write '%s': %s\n", run->svg, strerror(errno));
    return ok ? 0 : CRIER_EXIT_INTERNAL;
}

static int simulate(struct run *run)
{
    struct crier_lab_config config = {.on_record = on_record, .on_create = on_create, .arg = run};
    struct crier_lab *lab;
    int code = crier_lab_options_open(&run->lab, &config, &run->zone, &lab);
    if (code != 0)
        return code;
    crier_tally_init(&run->tally, config.from, run->lab.span, run->svg != NULL);
    code = crier_lab_start(lab);
    if (code == 0) {
        struct crier_buf summary = {0};
        advance(run, lab);
        /* What was under way ends, and is part of the story. The generation is looked at before. */
        struct crier_host *host = crier_lab_host(lab);
        struct crier_generation *gen = host ? crier_host_current(host) : NULL;
        if (run->json)
            crier_tally_json(&run->tally, gen, crier_lab_sim(lab), &summary);
        else
            crier_tally_text(&run->tally, gen, crier_lab_sim(lab), &summary);
        run->quiet = true;
        crier_lab_stop(lab, true);
        if (!run->json)
            putchar('\n');
        fwrite(summary.data, 1, summary.len, stdout);
        if (run->json)
            putchar('\n');
        crier_buf_fini(&summary);
        if (run->svg)
            code = write_svg(run);
    }
    crier_lab_free(lab);
    crier_tally_fini(&run->tally);
    if (fflush(stdout) != 0 && code == 0)
        code = CRIER_EXIT_INTERNAL;
    return code;
}

int crier_cmd_simulate(int argc, char **argv)
{
    enum { JSON = CRIER_LAB_OPTION_LAST, SUMMARY, SPEED, SVG };
    static const struct option options[] = {
        CRIER_LAB_OPTIONS,
        {"json", no_argument, NULL, JSON},
        {"summary", no_argument, NULL, SUMMARY},
        {"speed", required_argument, NULL, SPEED},
        {"svg", required_argument, NULL, SVG},
        {NULL, 0, NULL, 0},
    };
    struct run run = {.lab = {.command = "simulate", .seed = 1}};
    char *end;
    int opt, code;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case JSON:
            run.json = true;
            break;
        case SUMMARY:
            run.quiet = true;
            break;
        case SPEED:
            run.speed = strtod(optarg, &end);
            if (*end == 'x')
                end++;
            if (end == optarg || *end || !isfinite(run.speed) || run.speed <= 0)
                return crier_usage("simulate", "--speed takes a number above 0, such as 60x");
            break;
        case SVG:
            run.svg = optarg;
            break;
        default:
            code = crier_lab_option(&run.lab, opt, argv);
            if (code != 0)
                return code;
        }
    }
    if (optind + 1 != argc)
        return crier_usage("simulate", optind == argc ? "which script?" : "one script at a time");
    if (!run.lab.span)
        return crier_usage("simulate", "how long? (--for 24h)");
    run.lab.file = argv[optind];
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    code = simulate(&run);
    crier_zone_unref(run.zone);
    crier_buf_fini(&run.line);
    return code;
}
