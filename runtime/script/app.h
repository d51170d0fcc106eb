/* SPDX-License-Identifier: MIT
 *
 * The functions that a program has registered for its scripts (crier/crier.h): crier.app.NAME.
 *
 * Thread: constant while a host runs.
 */
#ifndef CRIER_SCRIPT_APP_H
#define CRIER_SCRIPT_APP_H

#include "crier/crier.h"
#include "record/build.h"

struct crier_app_function {
    char *name;
    crier_function *fn;
    void *arg;
};

/** What a function has returned so far. */
struct crier_reply {
    struct crier_builder b;
};

struct crier_app {
    struct crier_app_function **functions;
    size_t count;
};

#endif
