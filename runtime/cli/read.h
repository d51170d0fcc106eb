/* SPDX-License-Identifier: MIT
 *
 * Records for the commands that read logs: from the running host, or, where none runs, out of the
 * sinks of the script that ran last (opened to read, by this process).
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_READ_H
#define CRIER_CLI_READ_H

#include <jansson.h>

#include "base/duration.h"
#include "crier/record.h"
#include "script/generation.h"

/** Whom a command is about. */
struct crier_client {
    const char *command; /**< for messages */
    const char *words;   /**< of an example, where these are more than the command; or NULL */
    const char *state;   /**< --state */
    const char *file;    /**< the script, or NULL */
};

/** Reads the options --state, --json and, where `wait` is not NULL, --wait; what they set is false
 * or NULL before. The words begin at argv[optind] then. 0, or 64 and it has been said. */
int crier_client_options(struct crier_client *client, int argc, char **argv, bool *json,
                         bool *wait);

/** A text of an answer, "" where there is none. */
const char *crier_member(const json_t *o, const char *key);
/** A value as one line of JSON on stdout. */
void crier_print_json(const json_t *value);

/** Gets what was read; any of them may be NULL. */
struct crier_reader_out {
    /** Once, before all else. */
    void (*from)(void *arg, const char *sink, const char *kind, struct crier_zone *zone);
    /** One of these: the record as JSON, or as a record. */
    void (*json)(void *arg, const char *json, size_t len);
    void (*record)(void *arg, struct crier_record *record);
    /** Live records that were left out, because we were too slow. */
    void (*dropped)(void *arg, int64_t count);
    void *arg;
};

/** The request is that of host/logs.h, with "sink" and "follow"; borrowed. Returns the exit code;
 *  what went wrong has been said. */
int crier_client_read(const struct crier_client *client, json_t *request,
                      const struct crier_reader_out *out);

/** Ask the host; *done is the answer's last line, or NULL. *absent (may be NULL): no host runs,
 * which is left to the caller; else that is said, too. Returns the exit code. */
int crier_client_ask(const struct crier_client *client, json_t *request,
                     void (*on_line)(void *arg, json_t *line), void *arg, json_t **done,
                     bool *absent);

/** Call a method of a sink's kind ("common" of redis), in the host or, where none runs, on the sink
 *  opened to read. request: "sink" (may be missing), "method", "args"; borrowed. *result is the
 *  caller's. Returns the exit code; what went wrong has been said. */
int crier_client_method(const struct crier_client *client, json_t *request, json_t **result);

/** The words behind the options: the script, if there is one, and matches, which are added to the
 *  list. 0, or the exit code; what is wrong has been said. */
int crier_client_words(struct crier_client *client, json_t *match, int count, char **words);

#endif
