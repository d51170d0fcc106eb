/* SPDX-License-Identifier: MIT
 *
 * The sub-commands of `crier`: one file each. argv[0] is the sub-command's name; the exit code is
 * returned (README.md, Commands): 0 fine, 1 the answer is no, 64 usage, 66 no such file, 69 not
 * reachable, 70 internal, 75 in use, 77 refused, 78 bad configuration.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_CLI_H
#define CRIER_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crier_exit {
    CRIER_EXIT_OK = 0,
    CRIER_EXIT_NO = 1,
    CRIER_EXIT_USAGE = 64,
    CRIER_EXIT_NO_FILE = 66,
    CRIER_EXIT_UNREACHABLE = 69,
    CRIER_EXIT_INTERNAL = 70,
    CRIER_EXIT_IN_USE = 75,
    CRIER_EXIT_REFUSED = 77,
    CRIER_EXIT_CONFIG = 78,
};

struct crier_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *synopsis; /**< "FILE [--watch]" */
    const char *summary;  /**< one line */
    const char *help;     /**< the options, a line each */
};
/** All commands, in the order of `crier help`; ends with a NULL name. */
extern const struct crier_command crier_commands[];
const struct crier_command *crier_command_find(const char *name);

int crier_cmd_run(int argc, char **argv);
int crier_cmd_check(int argc, char **argv);
int crier_cmd_plan(int argc, char **argv);
int crier_cmd_spec(int argc, char **argv);
int crier_cmd_init(int argc, char **argv);
int crier_cmd_diff(int argc, char **argv);
int crier_cmd_simulate(int argc, char **argv);
int crier_cmd_when(int argc, char **argv);
int crier_cmd_logs(int argc, char **argv);
int crier_cmd_events(int argc, char **argv);
int crier_cmd_stats(int argc, char **argv);
int crier_cmd_sink(int argc, char **argv);
int crier_cmd_message(int argc, char **argv);
int crier_cmd_why(int argc, char **argv);
int crier_cmd_eval(int argc, char **argv);
int crier_cmd_task(int argc, char **argv);
int crier_cmd_alerts(int argc, char **argv);
int crier_cmd_status(int argc, char **argv);
int crier_cmd_metrics(int argc, char **argv);
int crier_cmd_reload(int argc, char **argv);
int crier_cmd_discord_sim(int argc, char **argv);
int crier_cmd_help(int argc, char **argv);
int crier_cmd_version(int argc, char **argv);

/** Say how the command is used, on stderr; returns 64. */
int crier_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** For getopt's '?': an option that is unknown or lacks its argument. Returns 64. */
int crier_usage_option(const char *command, char **argv);
/** The word that says which of a command's works is meant. 0, or 64 and it has been said: there is
 *  none (NULL), or it is none of the names. */
int crier_usage_word(const char *command, const char *word, const char *const *names, size_t count);
/** The value of an option that is a count, from 1 to 100000. 0, or 64 and it has been said. */
int crier_usage_count(const char *command, const char *option, const char *text, long *out);
/** The same for a number of lines, from 0 on. */
int crier_usage_lines(const char *command, const char *option, const char *text, long *out);
/** The state folder that a client command talks to: --state, else beside FILE, else $CRIER_STATE,
 *  else ./.crier; where no host is beside FILE, the one that FILE's config.state names. The
 *  simulator's, where only that one has a host, or neither has and only that one had. malloc'ed. */
char *crier_client_folder(const char *state, const char *file);

#endif
