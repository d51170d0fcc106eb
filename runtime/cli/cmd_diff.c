/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/growth.h"

static int compare(const struct crier_growth_options *o, double most, bool json)
{
    struct crier_growth g;
    struct crier_buf out = {0};
    char what[200];
    int code = crier_growth_run(o, &g);
    if (code == 0) {
        if (json)
            crier_growth_json(&g, &out);
        else
            crier_growth_text(&g, &out);
        printf("%s%s", out.data, json ? "\n" : "");
        double by = crier_growth_most(&g, what);
        if (most > 0 && by > most) {
            fprintf(stderr, "crier: %s would get %.3gx as many messages, more than %.3gx\n", what, by,
                    most);
            code = CRIER_EXIT_NO;
        }
    }
    crier_buf_fini(&out);
    crier_growth_fini(&g);
    return code;
}

int crier_cmd_diff(int argc, char **argv)
{
    static const struct option options[] = {{"for", required_argument, NULL, 't'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 'n'},
                                            {"against", required_argument, NULL, 'a'},
                                            {"max-growth", required_argument, NULL, 'm'},
                                            {"state", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    struct crier_growth_options o = {.command = "diff", .seed = 1};
    struct crier_err err = {0};
    double most = 0;
    bool json = false;
    char *end;
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 't':
            if (crier_duration_parse(optarg, &o.span, &err) != 0 || o.span <= 0)
                return crier_usage("diff", "--for: %s",
                                   err.code ? err.text : "expected more than 0");
            break;
        case 'f':
            o.from = optarg;
            break;
        case 'n':
            errno = 0;
            o.seed = strtoull(optarg, &end, 0);
            if (*end || end == optarg || errno || *optarg == '-')
                return crier_usage("diff", "--seed takes a whole number, got '%s'", optarg);
            break;
        case 'a':
            o.against = optarg;
            break;
        case 'm':
            if (!crier_growth_factor(optarg, &most))
                return crier_usage("diff", "--max-growth takes a factor such as 3x");
            break;
        case 's':
            o.state = optarg;
            break;
        case 'j':
            json = true;
            break;
        default:
            return crier_usage_option("diff", argv);
        }
    }
    if (optind + 1 != argc)
        return crier_usage("diff", optind == argc ? "which script?" : "one script at a time");
    if (!o.span)
        return crier_usage("diff", "how long? (--for 24h)");
    o.file = argv[optind];
    return compare(&o, most, json);
}
