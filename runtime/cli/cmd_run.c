/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "cli/cli.h"
#include "host/host.h"

/* A simulator is on this machine: nothing else may get the made-up tokens, and nobody mistakes
 * the real Discord for a test. */
static bool loopback_url(const char *url)
{
    return strncmp(url, "http://127.", 11) == 0 || strncmp(url, "http://localhost", 16) == 0 ||
           strncmp(url, "http://[::1]", 12) == 0;
}

int crier_cmd_run(int argc, char **argv)
{
    enum {
        SIM = 256,
        SIM_URL,
        SIM_ALLOW,
        SIM_NO_LIMITS,
        WORLD,
        TRANSCRIPT,
        FOR,
        STATE,
        JSON,
        WATCH,
        INLINE
    };
    static const struct option options[] = {
        {"watch", no_argument, NULL, WATCH},
        {"sim", no_argument, NULL, SIM},
        {"sim-url", required_argument, NULL, SIM_URL},
        {"sim-allow", required_argument, NULL, SIM_ALLOW},
        {"sim-no-limits", no_argument, NULL, SIM_NO_LIMITS},
        {"sim-inline", no_argument, NULL, INLINE},
        {"world", required_argument, NULL, WORLD},
        {"transcript", no_argument, NULL, TRANSCRIPT},
        {"for", required_argument, NULL, FOR},
        {"state", required_argument, NULL, STATE},
        {"json", no_argument, NULL, JSON},
        {NULL, 0, NULL, 0},
    };
    struct crier_host_config c = {0};
    struct crier_err err = {0};
    const char *allow[33] = {0};
    size_t allowed = 0;
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case WATCH:
            c.watch = true;
            break;
        case SIM:
            c.sim = true;
            break;
        case SIM_URL:
            c.sim_url = optarg;
            break;
        case SIM_ALLOW:
            if (allowed + 1 < CRIER_COUNT(allow))
                allow[allowed++] = optarg;
            break;
        case SIM_NO_LIMITS:
            c.sim_no_limits = true;
            break;
        case INLINE:
            c.sim = c.sim_inline = true;
            break;
        case WORLD:
            c.world = optarg;
            break;
        case TRANSCRIPT:
            c.transcript = true;
            break;
        case FOR:
            if (crier_duration_parse(optarg, &c.run_for, &err) != 0)
                return crier_usage("run", "--for: %s", err.text);
            break;
        case STATE:
            c.state_folder = optarg;
            break;
        case JSON:
            c.json = true;
            break;
        default:
            return crier_usage_option("run", argv);
        }
    }
    if (optind + 1 != argc)
        return crier_usage("run", optind == argc ? "which script?" : "one script at a time");
    if (c.sim && c.sim_url)
        return crier_usage("run",
                           "--sim starts a simulator, --sim-url uses one that runs: take one");
    if (c.sim_url && !loopback_url(c.sim_url))
        return crier_usage("run", "--sim-url must be on this machine (http://127.0.0.1:PORT)");
    if ((c.world || c.transcript || c.sim_no_limits) && !c.sim)
        return crier_usage("run", "--world, --transcript and --sim-no-limits need --sim");
    c.sim_allow = allow;
    c.file = argv[optind];
    return crier_host_run(&c);
}
