/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"

static int unknown(const char *word)
{
    const char *names[32];
    size_t n = 0;
    for (; crier_commands[n].name && n < CRIER_COUNT(names); n++)
        names[n] = crier_commands[n].name;
    const char *near = crier_nearest(word, names, n);
    if (near)
        fprintf(stderr, "crier: unknown command '%s' (did you mean '%s'?)\n", word, near);
    else
        fprintf(stderr, "crier: unknown command '%s' (crier help lists them)\n", word);
    return CRIER_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        char name[] = "help", *help[] = {name, NULL};
        crier_cmd_help(1, help);
        return CRIER_EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    const struct crier_command *command = crier_command_find(word);
    if (!command)
        return unknown(word);
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        char name[] = "help", *help[] = {name, (char *)command->name, NULL};
        return crier_cmd_help(2, help);
    }
    return command->run(argc - 1, argv + 1);
}
