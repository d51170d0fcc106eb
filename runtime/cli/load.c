/* SPDX-License-Identifier: MIT */
#include "cli/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "state/state.h"

struct look {
    struct crier_state *state;
    bool tried;
};

static char *stored(void *arg, const char *folder, const char *key)
{
    struct look *look = arg;
    if (!look->tried && crier_state_open(folder, true, &look->state, NULL) != 0)
        look->state = NULL;
    look->tried = true;
    return look->state ? crier_strdup(crier_state_get(look->state, "state", key)) : NULL;
}

int crier_load_script(const char *file, const char *state_folder, struct crier_generation **out)
{
    if (access(file, R_OK) != 0) {
        fprintf(stderr, "crier: cannot read '%s': %s\n", file, strerror(errno));
        return CRIER_EXIT_NO_FILE;
    }
    struct crier_err err = {0};
    if (crier_budget_thread(true, &err) != 0) {
        fprintf(stderr, "crier: %s\n", err.text);
        return CRIER_EXIT_INTERNAL;
    }
    struct look look = {0};
    struct crier_build build = {.file = file,
                                .state_folder = state_folder,
                                .clock = crier_clock_real(),
                                .state_get = stored,
                                .arg = &look};
    *out = crier_generation_build(&build);
    if (crier_budget_thread(false, &err) != 0)
        fprintf(stderr, "crier: %s\n", err.text);
    if (look.state)
        crier_state_close(look.state);
    return 0;
}
