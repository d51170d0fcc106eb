/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "lab/testing.h"

/* busted's own options are its business: all is handed on. */
int crier_cmd_spec(int argc, char **argv)
{
    char **args = crier_calloc((size_t)argc + 1, sizeof *args);
    char name[] = "crier spec";
    args[0] = name;
    for (int i = 1; i < argc; i++)
        args[i] = argv[i];
    int code = crier_testing_run(argc, args);
    free(args);
    return code;
}
