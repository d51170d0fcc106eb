/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/load.h"

static void count(guint n, const char *noun, const char *end)
{
    printf("%u %s%s%s", n, noun, n == 1 ? "" : "s", end);
}

static void summary(const struct crier_generation *gen)
{
    guint guilds = 0, patterns = 0;
    for (guint i = 0; i < gen->targets->len; i++) {
        const struct crier_target *t = gen->targets->pdata[i];
        guilds += t->type == CRIER_GUILD && !t->match;
        patterns += t->match != NULL;
    }
    printf("%s: ", gen->file);
    count(gen->bots->len, "bot", ", ");
    count(guilds, "guild", ", ");
    if (patterns)
        printf("%u pattern%s of guilds, ", patterns, patterns == 1 ? "" : "s");
    count(gen->targets->len - guilds - patterns, "user", ", ");
    count(gen->messages->len, "message", ", ");
    if (gen->tasks->len)
        count(gen->tasks->len, "task", ", ");
    count(gen->sinks->len, "sink", ", ");
    count(gen->rules->len, "route", gen->alerts->len ? ", " : "\n");
    if (gen->alerts->len)
        count(gen->alerts->len, "alert", "\n");
    count((guint)gen->diags.errors, "error", ", ");
    count((guint)gen->diags.warnings, "warning", "\n");
}

int crier_cmd_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"strict", no_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    bool json = false, strict = false, color = false;
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'j')
            json = true;
        else if (opt == 's')
            strict = true;
        else
            return crier_usage_option("check", argv);
    }
    if (optind + 1 != argc)
        return crier_usage("check", optind == argc ? "which script?" : "one script at a time");
    struct crier_generation *gen;
    int code = crier_load_script(argv[optind], NULL, &gen);
    if (code != 0)
        return code;
    enum crier_diag_format format = json ? CRIER_DIAG_JSON : crier_diag_format_for(stdout, &color);
    crier_diags_print(&gen->diags, stdout, format, color);
    if (!json)
        summary(gen);
    if (gen->diags.errors || (strict && gen->diags.warnings))
        code = CRIER_EXIT_CONFIG;
    crier_generation_unref(gen);
    return code;
}
