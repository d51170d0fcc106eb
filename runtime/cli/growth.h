/* SPDX-License-Identifier: MIT
 *
 * Two scripts side by side in virtual time, from one state: `crier diff`, and what `crier reload
 * --max-growth` asks first.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_GROWTH_H
#define CRIER_CLI_GROWTH_H

#include "cli/tally.h"

struct crier_growth_options {
    const char *command; /**< for messages */
    const char *file;    /**< the new script; NULL: the running one's file */
    const char *against; /**< the old one; NULL: what runs now */
    const char *state;   /**< --state */
    const char *from;    /**< NULL: now */
    int64_t span;
    uint64_t seed;
};

struct crier_growth {
    struct crier_tally before, after;
    struct crier_zone *zone;
    char *file; /**< the new one */
};

/** Run both. 0, or the exit code: what is wrong has been said. */
int crier_growth_run(const struct crier_growth_options *o, struct crier_growth *out);
void crier_growth_fini(struct crier_growth *g);
/** The most that any channel with sends before, or the total, grows by; 1: nothing grows. The name of
 *  what it is, if asked for, is put into `what`. */
double crier_growth_most(const struct crier_growth *g, char what[200]);
void crier_growth_text(const struct crier_growth *g, struct crier_buf *out);
void crier_growth_json(const struct crier_growth *g, struct crier_buf *out);
/** "3x", "1.5": above 0. False: it is none. */
bool crier_growth_factor(const char *text, double *out);

#endif
