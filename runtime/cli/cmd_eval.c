/* SPDX-License-Identifier: MIT
 *
 * crier eval: a piece of Lua in the running bot. What it prints and returns comes back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/control.h"
#include "cli/cli.h"
#include "cli/read.h"

static void on_line(void *arg, json_t *line)
{
    const json_t *out = json_object_get(line, "out");
    FILE *to = arg;
    if (!out)
        return;
    fwrite(json_string_value(out), 1, json_string_length(out), to);
    fputc('\n', to);
    fflush(to);
}

static char *read_all(FILE *from, size_t *len)
{
    struct crier_buf b = {0};
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, from)) > 0 && b.len < CRIER_CONTROL_LINE)
        crier_buf_append(&b, part, n);
    crier_buf_puts(&b, "");
    *len = b.len;
    return crier_buf_take(&b);
}

/* One line an object: what was returned, or what went wrong. */
static void print_json(const json_t *done)
{
    json_t *o = json_object();
    static const char *const keys[] = {"values", "texts", "error", "traceback"};
    for (size_t i = 0; i < CRIER_COUNT(keys); i++) {
        json_t *v = json_object_get(done, keys[i]);
        if (v)
            json_object_set(o, keys[i], v);
    }
    crier_print_json(o);
    json_decref(o);
}

static void print_texts(const json_t *done)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(done, "texts"), i, text)
    {
        fwrite(json_string_value(text), 1, json_string_length(text), stdout);
        putchar('\n');
    }
}

static void print_traceback(const json_t *done)
{
    const char *at = json_string_value(json_object_get(done, "traceback"));
    while (at && *at) {
        int n = (int)strcspn(at, "\n");
        fprintf(stderr, "  %.*s\n", n, at);
        at += n + (at[n] == '\n');
    }
}

int crier_cmd_eval(int argc, char **argv)
{
    struct crier_client client = {.command = "eval"};
    bool json = false;
    if (crier_client_options(&client, argc, argv, &json, NULL) != 0)
        return CRIER_EXIT_USAGE;
    int words = argc - optind;
    if (words < 1 || words > 2)
        return crier_usage("eval",
                           words ? "one piece of Lua at a time: put it into quotes" : "which Lua?");
    client.file = words == 2 ? argv[optind] : NULL;
    const char *word = argv[argc - 1];
    size_t len = strlen(word);
    char *code = strcmp(word, "-") == 0 ? read_all(stdin, &len) : crier_strdup(word);
    json_t *lua = len < CRIER_CONTROL_LINE / 2 ? json_stringn(code, len) : NULL, *done = NULL;
    free(code);
    if (!lua)
        return crier_usage("eval",
                           len < CRIER_CONTROL_LINE / 2
                               ? "the Lua is not UTF-8"
                               : "the Lua is longer than %d bytes: put it into a file, and "
                                 "say dofile(\"...\")",
                           CRIER_CONTROL_LINE / 2);
    json_t *request = json_pack("{s:s, s:o}", "cmd", "eval", "lua", lua);
    int exit_code =
        crier_client_ask(&client, request, on_line, json ? stderr : stdout, &done, NULL);
    if (done && json)
        print_json(done);
    else if (done)
        print_texts(done);
    if (done && !json)
        print_traceback(done);
    json_decref(done);
    json_decref(request);
    return exit_code;
}
