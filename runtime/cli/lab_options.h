/* SPDX-License-Identifier: MIT
 *
 * The options that the commands in virtual time have in common (simulate, diff, reload).
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_LAB_OPTIONS_H
#define CRIER_CLI_LAB_OPTIONS_H

#include <getopt.h>

#include "base/duration.h"
#include "lab/lab.h"

struct crier_lab_options {
    const char *command; /**< for messages */
    const char *file, *from, *world;
    const char *faults[16], *http[16]; /**< files, or presets' names */
    size_t fault_count, http_count;
    int64_t span; /**< 0: not given */
    uint64_t seed;
    bool sinks, no_limits;
};

enum {
    CRIER_LAB_FOR = 512,
    CRIER_LAB_FROM,
    CRIER_LAB_SEED,
    CRIER_LAB_FAULTS,
    CRIER_LAB_HTTP,
    CRIER_LAB_WORLD,
    CRIER_LAB_SINKS,
    CRIER_LAB_NO_LIMITS,
    CRIER_LAB_OPTION_LAST
};
#define CRIER_LAB_OPTIONS                                                                          \
    {"for", required_argument, NULL, CRIER_LAB_FOR},                                               \
        {"from", required_argument, NULL, CRIER_LAB_FROM},                                         \
        {"seed", required_argument, NULL, CRIER_LAB_SEED},                                         \
        {"faults", required_argument, NULL, CRIER_LAB_FAULTS},                                     \
        {"http", required_argument, NULL, CRIER_LAB_HTTP},                                         \
        {"world", required_argument, NULL, CRIER_LAB_WORLD},                                       \
        {"sinks", no_argument, NULL, CRIER_LAB_SINKS},                                             \
        {"no-limits", no_argument, NULL, CRIER_LAB_NO_LIMITS}

/** One of these, or '?'. 0, or 64: what is wrong has been said. */
int crier_lab_option(struct crier_lab_options *o, int opt, char **argv);
/** Judge the script, make the lab and put faults and fixtures in; config: what is to be seen of it, and
 *  gets the rest. *zone: the script's, the caller's to unref. 0, or the exit code; what is wrong
 *  has been said. */
int crier_lab_options_open(const struct crier_lab_options *o, struct crier_lab_config *config,
                           struct crier_zone **zone, struct crier_lab **out);

#endif
