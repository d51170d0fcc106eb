/* SPDX-License-Identifier: MIT
 *
 * crier task: the running bot's tasks, one by one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/read.h"
#include "cli/tasks.h"
#include "sink/console.h"

struct task_args {
    struct crier_client client;
    bool json, wait;
};

static void on_listed(void *arg, json_t *line)
{
    json_array_append(arg, json_object_get(line, "task"));
}

static int list(struct task_args *a)
{
    json_t *request = json_pack("{s:s, s:s}", "cmd", "task", "do", "list"), *done = NULL, *task;
    json_t *tasks = json_array();
    size_t i;
    int code = crier_client_ask(&a->client, request, on_listed, tasks, &done, NULL);
    if (code == 0 && !a->json)
        crier_print_tasks(tasks);
    json_array_foreach(a->json ? tasks : NULL, i, task)
        crier_print_json(task);
    json_decref(tasks);
    json_decref(done);
    json_decref(request);
    return code;
}

/* "n=5" as a number, "x=true" as a boolean, all else as a text. NULL: it is no such word. */
static json_t *read_params(char **words, int n)
{
    json_t *params = json_object();
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(words[i], '=');
        char *key = crier_strndup(words[i], equals ? (size_t)(equals - words[i]) : 0);
        json_t *value = equals ? json_loads(equals + 1, JSON_DECODE_ANY, NULL) : NULL;
        if (equals && !value)
            value = json_string(equals + 1);
        bool good = *key && value && json_object_set(params, key, value) == 0;
        json_decref(value);
        free(key);
        if (!good) {
            json_decref(params);
            return NULL;
        }
    }
    return params;
}

/* Text of several lines, escaped as on the console. */
static void print_text(FILE *to, const char *text)
{
    struct crier_buf b = {0};
    do {
        size_t n = strcspn(text, "\n");
        crier_buf_clear(&b);
        crier_console_text((struct crier_str){text, n}, &b);
        fprintf(to, "  %s\n", b.data ? b.data : "");
        text += n + (text[n] == '\n');
    } while (*text);
    crier_buf_fini(&b);
}

static void print_done(const struct task_args *a, const char *what, const json_t *done)
{
    const char *name = crier_member(done, "name"), *text = crier_member(done, "text");
    int64_t stopped = json_integer_value(json_object_get(done, "stopped"));
    bool changed = json_is_true(json_object_get(done, "changed"));
    if (a->wait && strcmp(crier_member(done, "action"), "none") == 0) {
        fprintf(stderr, "crier task: task %s was not run: %s\n", name, text);
    } else if (a->wait) {
        printf("task %s: %s (run %s)\n", name, crier_member(done, "action"),
               crier_member(done, "run_id"));
        if (*text)
            print_text(stdout, text);
    } else if (strcmp(what, "stop") == 0 && !stopped) {
        fprintf(stderr, "crier task: task %s does not run\n", name);
    } else if (strcmp(what, "stop") == 0) {
        printf("task %s: %" PRId64 " run%s stopped\n", name, stopped, stopped == 1 ? "" : "s");
    } else if (strcmp(what, "pause") == 0) {
        printf("task %s %s\n", name, changed ? "is paused" : "was paused already");
    } else if (strcmp(what, "resume") == 0) {
        printf("task %s %s\n", name, changed ? "goes on" : "was not paused");
    } else {
        printf("task %s %s\n", name,
               json_is_true(json_object_get(done, "waits"))
                   ? "runs when the run that is under way has ended"
                   : "was started");
    }
}

static int act(const struct task_args *a, const char *what, const char *name, json_t *params)
{
    json_t *request = json_pack("{s:s, s:s, s:s, s:b}", "cmd", "task", "do", what, "name", name,
                                "wait", a->wait);
    json_t *done = NULL;
    if (request && json_object_size(params))
        json_object_set(request, "params", params);
    int code = request ? crier_client_ask(&a->client, request, NULL, NULL, &done, NULL)
                       : crier_usage("task", "the name is not UTF-8");
    if (done && !json_object_get(done, "error")) {
        if (a->json) {
            json_object_del(done, "done");
            json_object_del(done, "code");
            crier_print_json(done);
        } else {
            print_done(a, what, done);
        }
    }
    json_decref(done);
    json_decref(request);
    return code;
}

int crier_cmd_task(int argc, char **argv)
{
    static const char *const names[] = {"list", "run", "stop", "pause", "resume", "retry"};
    struct task_args a = {.client.command = "task"};
    if (crier_client_options(&a.client, argc, argv, &a.json, &a.wait) != 0)
        return CRIER_EXIT_USAGE;
    const char *what = optind < argc ? argv[optind++] : NULL;
    if (crier_usage_word("task", what, names, CRIER_COUNT(names)) != 0)
        return CRIER_EXIT_USAGE;
    bool run = strcmp(what, "run") == 0;
    if (a.wait && !run && strcmp(what, "retry") != 0)
        return crier_usage("task", "--wait is for run and retry");
    int words = 0;
    while (optind + words < argc && !(run && words > 0 && strchr(argv[optind + words], '=')))
        words++;
    if (strcmp(what, "list") == 0) {
        if (words > 1)
            return crier_usage("task", "one script at a time");
        a.client.file = words ? argv[optind] : NULL;
        return list(&a);
    }
    if (words < 1 || words > 2)
        return crier_usage("task", words ? "one task at a time" : "%s which task? (crier task list)",
                           what);
    json_t *params = read_params(argv + optind + words, argc - optind - words);
    if (!params)
        return crier_usage("task", "parameters are words such as region=eu or n=5");
    a.client.file = words == 2 ? argv[optind] : NULL;
    int code = act(&a, what, argv[optind + words - 1], params);
    json_decref(params);
    return code;
}
