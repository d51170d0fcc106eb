/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "sched/condition_text.h"

/* A task that does nothing but run whenever the condition lets it. */
struct dry_run {
    struct crier_history history;
    struct crier_facts facts;
};

static bool own_history(void *arg, const char *task, struct crier_history *out)
{
    struct dry_run *d = arg;
    if (task)
        return false; /* what others have done is not known here */
    *out = d->history;
    return true;
}

static bool own_records(void *arg, const char *task, unsigned actions, uint32_t n, int64_t *time)
{
    struct dry_run *d = arg;
    const struct crier_did *last = &d->history.last[CRIER_RUN];
    if (task || n > 0 || !last->seq ||
        !(actions & (CRIER_DID(CRIER_RUN) | CRIER_DID(CRIER_SUCCESS))))
        return false;
    *time = last->time;
    return true;
}

static void run_now(struct dry_run *d, int64_t due)
{
    uint64_t seq = d->history.last[CRIER_SUCCESS].seq;
    d->history.last[CRIER_RUN] = (struct crier_did){.seq = seq + 1, .time = d->facts.now};
    d->history.last[CRIER_SUCCESS] = (struct crier_did){.seq = seq + 2, .time = d->facts.now};
    d->history.due = due;
}

/* The next instant at which the condition becomes true; CRIER_NEVER. */
static int64_t next_time(const struct crier_cond *c, struct dry_run *d)
{
    struct crier_judgement v;
    crier_cond_judge(c, &d->facts, &v);
    for (int i = 0; v.truth && i < 100000; i++) { /* a run did not use it up */
        if (v.next == CRIER_NEVER)
            return CRIER_NEVER;
        d->facts.now = v.next;
        crier_cond_judge(c, &d->facts, &v);
    }
    return v.truth ? CRIER_NEVER : crier_cond_next(c, &d->facts, CRIER_NEVER - 1);
}

/* What is true at that time, and what had to be assumed for it. */
static void put_reasons(const struct crier_why *why, bool positive, struct crier_buf *known,
                        struct crier_buf *assumed)
{
    bool is_not = strcmp(why->text, "NOT") == 0;
    for (size_t i = 0; i < why->count; i++)
        put_reasons(&why->items[i], is_not ? !positive : positive, known, assumed);
    if (why->count || why->truth != positive)
        return;
    struct crier_buf *b = why->assumed ? assumed : known;
    crier_buf_printf(b, "%s%s%s", b->len ? ", " : "", positive ? "" : "~", why->text);
}

static void local_time(const struct crier_zone *zone, int64_t t, bool iso, char out[64])
{
    struct crier_civil c;
    char human[32];
    crier_civil_at(zone, t, &c);
    int offset = abs(c.offset) / 60;
    char sign = c.offset < 0 ? '-' : '+';
    if (iso) {
        snprintf(out, 64, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", c.year, c.month, c.day,
                 c.hour, c.minute, c.second, sign, offset / 60, offset % 60);
        return;
    }
    crier_time_human(zone, t, human);
    snprintf(out, 64, "%.10s %d %s %c%02d%02d", human, c.year, human + 11, sign, offset / 60,
             offset % 60);
}

static void print_json(const struct crier_zone *zone, int64_t t, const char *known,
                       const char *assumed)
{
    char text[64];
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    crier_json_key(&b, "time");
    crier_json_str(&b, crier_time_rfc3339(t, text));
    crier_json_key(&b, "local");
    local_time(zone, t, true, text);
    crier_json_str(&b, text);
    crier_json_key(&b, "why");
    crier_json_str(&b, known);
    if (*assumed) {
        crier_json_key(&b, "if");
        crier_json_str(&b, assumed);
    }
    crier_json_close(&b, '}');
    puts(b.data);
    crier_buf_fini(&b);
}

static void print_time(const struct crier_cond *c, const struct dry_run *d, int64_t from, bool json)
{
    struct crier_buf known = {0}, assumed = {0};
    char when[64], left[48];
    struct crier_why *why = crier_cond_why(c, &d->facts, NULL);
    int64_t t = d->facts.now, wait = t - from;
    crier_buf_puts(&known, "");
    crier_buf_puts(&assumed, "");
    put_reasons(why, true, &known, &assumed);
    if (json) {
        print_json(d->facts.zone, t, known.data, assumed.data);
    } else {
        wait -= wait % (wait > 3600 * CRIER_S ? 60 * CRIER_S : CRIER_S);
        local_time(d->facts.zone, t, false, when);
        printf("%-31s %-10s %s%s%s\n", when, crier_duration_text(wait, left), known.data,
               assumed.len ? known.len ? ", if " : "if " : "", assumed.data);
    }
    crier_why_free(why);
    crier_buf_fini(&known);
    crier_buf_fini(&assumed);
}

static int print_times(const struct crier_cond *c, const struct crier_zone *zone, int64_t from,
                       long count, bool json)
{
    struct dry_run d = {.facts = {.now = from,
                                  .zone = zone,
                                  .since = from,
                                  .assume = true,
                                  .history = own_history,
                                  .when = own_records}};
    struct crier_judgement v;
    char text[64];
    long printed = 0;
    d.facts.arg = &d;
    struct crier_buf known = {0}, assumed = {0};
    struct crier_why *why = crier_cond_why(c, &d.facts, &v);
    bool now = v.truth;
    put_reasons(why, true, &known, &assumed);
    crier_why_free(why);
    if (now)
        run_now(&d, v.since);
    for (; printed < count; printed++) {
        int64_t t = next_time(c, &d);
        if (t == CRIER_NEVER)
            break;
        d.facts.now = t;
        if (!json && !printed)
            printf("%-31s %-10s %s\n", "NEXT", "LEFT", "WHY");
        print_time(c, &d, from, json);
        crier_cond_judge(c, &d.facts, &v);
        run_now(&d, v.since);
    }
    if (now && !json) {
        local_time(zone, from, false, text);
        printf("It is true at %s%s%s%s.\n", text, assumed.len ? ", if " : "",
               assumed.len ? assumed.data : "",
               printed ? "" : ": no time makes it true, only what tasks do");
    } else if (!printed && !json) {
        puts("No time makes it true.");
    }
    crier_buf_fini(&known);
    crier_buf_fini(&assumed);
    return printed ? CRIER_EXIT_OK : CRIER_EXIT_NO;
}

/* The expression with a caret under the place. */
static int bad_expression(const char *text, int column, const struct crier_err *err, bool json)
{
    if (json) {
        struct crier_buf b = {0};
        crier_json_open(&b, '{');
        crier_json_key(&b, "column");
        crier_json_int(&b, column);
        crier_json_key(&b, "text");
        crier_json_str(&b, err->text);
        crier_json_close(&b, '}');
        puts(b.data);
        crier_buf_fini(&b);
        return CRIER_EXIT_USAGE;
    }
    fprintf(stderr, "crier when: column %d: %s\n", column, err->text);
    if (!strpbrk(text, "\t\r\n") && strlen(text) < 200)
        fprintf(stderr, "  %s\n  %*s\n", text, column, "^");
    return CRIER_EXIT_USAGE;
}

int crier_cmd_when(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"next", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"tz", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    const char *from_text = NULL, *tz = NULL;
    struct crier_err err = {0};
    struct crier_zone *zone = NULL;
    struct crier_cond *cond = NULL;
    char *every = NULL;
    int64_t duration;
    bool json = false;
    long count = 5;
    int opt, column, code;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
        if (opt == 'j') {
            json = true;
        } else if (opt == 'f') {
            from_text = optarg;
        } else if (opt == 't') {
            tz = optarg;
        } else if (opt == 'n') {
            code = crier_usage_count("when", "--next", optarg, &count);
            if (code != 0)
                return code;
        } else {
            return crier_usage_option("when", argv);
        }
    }
    if (optind + 1 != argc)
        return crier_usage("when", optind == argc ? "which condition?"
                                                  : "one condition at a time: put it into quotes");
    int64_t from = crier_clock_wall(crier_clock_real());
    if (crier_zone_open(tz, &zone, &err) != 0) {
        code = crier_usage("when", "%s", err.text);
        goto out;
    }
    if (from_text && crier_datetime_parse(from_text, zone, &from, &err) != 0) {
        code = crier_usage("when", "--from: %s", err.text);
        goto out;
    }
    /* What a message's period may be: "45m". */
    if (crier_duration_parse(argv[optind], &duration, NULL) == 0 && duration > 0)
        every = crier_asprintf("every %s", argv[optind]);
    if (crier_cond_parse(every ? every : argv[optind], &cond, &column, &err) != 0) {
        code = bad_expression(every ? every : argv[optind], column, &err, json);
        goto out;
    }
    code = print_times(cond, zone, from, count, json);
out:
    free(every);
    crier_cond_unref(cond);
    crier_zone_unref(zone);
    return code;
}
