/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/load.h"
#include "script/declare.h"
#include "sink/sink.h"

const struct crier_command crier_commands[] = {
    {"run", crier_cmd_run, "FILE [--watch] [--sim] [--for T]", "run a bot",
     "  --watch            reload when a file that the script loaded changes\n"
     "  --sim              send to the built-in Discord simulator: no token, no network\n"
     "  --sim-url URL      send to a `crier discord-sim` that runs at this loopback address\n"
     "  --sim-allow HOST   let crier.http reach this host in --sim (may be repeated)\n"
     "  --sim-no-limits    the simulator sets no rate limits\n"
     "  --world FILE       guilds, channels and users of the simulator\n"
     "  --transcript       at the end, draw the simulator's channels\n"
     "  --for T            stop after a while, such as 20s or 5m\n"
     "  --state DIR        state folder (default: .crier beside FILE)\n"
     "  --json             problems as JSON, one object a line\n"
     "SIGTERM or SIGINT stops in order, a second one at once; SIGHUP reloads; SIGUSR1 reopens "
     "files.\n"},
    {"check", crier_cmd_check, "FILE [--json] [--strict]", "find what is wrong in a script",
     "  --json             one problem a line as JSON\n"
     "  --strict           warnings count as errors\n"
     "Nothing is sent and nothing is written. Exit code 78 when there are errors.\n"},
    {"plan", crier_cmd_plan, "FILE [--next N] [--json]", "what will be sent and run, and when",
     "  --next N           how many (default 10)\n"
     "  --state DIR        state folder: due times are those of the stopped or running bot\n"
     "  --json             one a line as JSON\n"
     "-> behind a time: a task at the earliest, when others have done what it waits for.\n"},
    {"when", crier_cmd_when, "[--from T] [--tz ZONE] [--next N] \"CONDITION\"",
     "the next times of a period or condition, and why",
     "  --from T           from this date-time on (default: now)\n"
     "  --tz ZONE          IANA time zone, such as Europe/Ljubljana (default: the machine's)\n"
     "  --next N           how many (default 5)\n"
     "  --json             one time a line as JSON\n"
     "crier when \"daily after 18:00 & after task 'fetch'\"; crier when \"cron 15 3 * * MON-FRI\"\n"
     "The task is taken to run whenever it may; what other tasks do is not known, and is told "
     "behind \"if\". Exit code 1 when no time makes it true.\n"},
    {"simulate", crier_cmd_simulate, "FILE --for T [--from T] [--seed N] [--faults F] [--json]",
     "run a bot in virtual time, against a simulated Discord",
     "  --for T            how long, such as 24h or 365d\n"
     "  --from T           from this date-time on (default: today 00:00), in the script's time zone\n"
     "  --seed N           of all that is drawn by chance (default 1): same seed, same bytes\n"
     "  --faults F         a JSON file of faults, or flaky, limits, outage, sinks, clock, all\n"
     "  --http FILE        a JSON file of answers for crier.http, which is refused else\n"
     "  --world FILE       guilds, channels and users of the simulator\n"
     "  --no-limits        the simulator sets no rate limits\n"
     "  --sinks            the script's real sinks; else records go to none, and queries see the\n"
     "                     last 10,000\n"
     "  --summary          no timeline\n"
     "  --json             one record a line as JSON, the summary last\n"
     "  --svg FILE         a picture of the timeline, by guild and message\n"
     "  --speed X          so many times as fast as real time, such as 60x (default: at once)\n"
     "Nothing is sent, and without --sinks nothing is written. --faults and --http may be repeated;\n"
     "their files: README.md, Virtual time.\n"},
    {"diff", crier_cmd_diff, "FILE --for T [--against OLD] [--max-growth N]",
     "what a changed script would send, beside the running one",
     "Both run in virtual time, from the present state: sends, pings and failures a channel, waits for\n"
     "rate limits, new problems.\n"
     "  --for T            how long, such as 24h\n"
     "  --from T           from this date-time on (default: now)\n"
     "  --against OLD      compare with this file, from an empty state, in place of the running bot\n"
     "  --max-growth N     exit code 1 when a channel that has sends now, or all together, would get\n"
     "                     more than N times (3x) as many\n"
     "  --seed N           of all that is drawn by chance (default 1)\n"
     "  --state DIR        state folder of the running bot (default: .crier beside FILE)\n"
     "  --json             one JSON object; pairs are before and after\n"},
    {"spec", crier_cmd_spec, "[BUSTED OPTIONS] [FILES]", "run a bot's specs",
     "Runs busted (Lua 5.4) with `require \"crier.testing\"`, which starts a script in virtual time: see\n"
     "lua/README.md, Testing. The options are busted's.\n"
     "Without files: what is in spec/ and ends in _spec.lua.\n"},
    {"init", crier_cmd_init, "DIR", "begin a bot: script, spec, editor, systemd unit",
     "Writes bot.lua, spec/bot_spec.lua, .luarc.json and the stubs for editors, .busted, .gitignore, a\n"
     "systemd unit and a README into DIR, which is made if need be. What is there is never overwritten:\n"
     "then nothing is written at all.\n"},
    {"logs", crier_cmd_logs, "[FILE] [-f] [-n N] [MATCH...]", "the records that match",
     "  --follow, -f       and go on with what comes\n"
     "  --lines, -n N      the last N (default 100; all with --since, --after or -n all)\n"
     "  --since T          from then on: 2026-11-21T09:00, 09:00, 1h (ago), today, yesterday\n"
     "  --until T          before then\n"
     "  --level, -p LEVEL  this level and above: debug info warning error critical\n"
     "  --grep, -g REGEX   whose text the regular expression fits\n"
     "  --sink NAME        read this sink (default: the one that takes most kinds)\n"
     "  --after ID         what comes behind this record; also --cursor\n"
     "  --show-cursor      at the end, the id for the next --after\n"
     "  --json             one record a line as JSON\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "MATCH is FIELD=VALUE, or with != > >= < <= ~ (regular expression) in place of =; also\n"
     "'action=in(fail,crash)' and 'name=like(gal%)'. All fields must match; of one field that is\n"
     "given twice with =, one. Times: 'created>=-1d'. Newest last. Without a running bot what its\n"
     "script's sinks have stored is read.\n"},
    {"stats", crier_cmd_stats, "messages|tasks|common|recent [FILE] ...", "what the records add up to",
     "crier stats messages [FILE] [MATCH...]: sends, by message; a send is ok when every channel got "
     "it\n"
     "crier stats tasks [FILE] [MATCH...]: runs, by task\n"
     "crier stats common [FILE]: the most frequent messages that a redis sink has counted\n"
     "crier stats recent [FILE] LOGGER LEVEL: the last lines that it keeps, newest first\n"
     "  --hour WHICH       common: this (default) or last\n"
     "  --logger NAME      common: of this logger only\n"
     "  --level LEVEL      common: of this level only\n"
     "  --by WHAT          messages: by message (default), guild, channel; and by day, month or year:\n"
     "                     --by channel,month. In rows by channel each channel of a send counts alone\n"
     "  --guild G          of this guild or user only: its id or name\n"
     "  --since T          from then on: 2026-11-21T09:00, 09:00, 1h (ago), today, yesterday\n"
     "  --until T          before then\n"
     "  --sink NAME        read this sink (default: the one that takes most kinds)\n"
     "  --sort COLUMN      greatest first; or name (default with --by)\n"
     "  --limit N          so many lines at most\n"
     "  --json             one JSON object a line\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "RATE is what went well of all that came to an end (of sends 1 when there were none), CHANNELS\n"
     "in how many channels of all, RUNTIME the mean, REASON why most of those failed that did.\n"},
    {"sink", crier_cmd_sink, "list|replay|copy ...", "how sinks do; records moved into one",
     "crier sink list [FILE]: the sinks, what they have not written yet, and what sinks that are gone\n"
     "or a stopped bot have left\n"
     "crier sink replay NAME --to SINK: what the sink NAME, which the script has no more, has left\n"
     "crier sink replay NAME --dead [--to SINK]: the records that NAME has rejected, once more\n"
     "crier sink copy FROM TO [MATCH...]: the records of a sink, with their ids\n"
     "  --to SINK          the sink that gets them\n"
     "  --dead             dead letters\n"
     "  --since T          copy: from then on (crier help logs: times and MATCH)\n"
     "  --until T          copy: before then\n"
     "  --json             list: one sink a line as JSON; else one JSON object\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "Records that the target has already are left out, so each of these may be repeated.\n"},
    {"events", crier_cmd_events, "[FILE] [--open|--severe|--debug] [MATCH...] | note|close ID [TEXT]",
     "the log of work that changes something",
     "crier events [FILE] [MATCH...]: one line an event: when, id, state, how long, where, what\n"
     "crier events [FILE] note ID TEXT: add a remark\n"
     "crier events [FILE] close ID [TEXT]: end one that nobody will finish\n"
     "  --open             those that have begun and not ended\n"
     "  --severe           the severe ones\n"
     "  --debug            those for debugging, too\n"
     "  --lines, -n N      the last N (default 100; all with --since or --open)\n"
     "  --since T          from then on: 2026-11-21T09:00, 09:00, 1h (ago), today, yesterday\n"
     "  --until T          before then\n"
     "  --sink NAME        read this sink (default: the one that takes most kinds)\n"
     "  --json             one event a line as JSON\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "ID is the beginning of an event's id, as long as it means one. note and close need the running "
     "bot.\n"},
    {"message", crier_cmd_message, "list|send|preview|pause|resume [FILE] [NAME]",
     "send a message now, look at it, hold it back",
     "crier message list [FILE]: the messages, their periods and when they are due\n"
     "crier message send [FILE] NAME: once, now; when it is due stays as it is\n"
     "crier message preview [FILE] NAME: what a send now would say; nothing is sent\n"
     "crier message pause [FILE] NAME: nothing is sent until it is resumed, restarts included\n"
     "crier message resume [FILE] NAME: goes on; one that has ended begins anew\n"
     "  --json             list: one message a line; else one JSON object\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "NAME is the message's name, or GUILD/NAME with the guild's or user's id or name. Exit code 1 "
     "when not every channel got it, or nothing would be sent.\n"},
    {"task", crier_cmd_task, "list|run|stop|pause|resume|retry [FILE] [NAME] [KEY=VALUE...]",
     "run a task now, stop it, hold it back",
     "crier task list [FILE]: the tasks, what they did last and when they are next\n"
     "crier task run [FILE] NAME [KEY=VALUE...]: once, now, with these parameters over its own; behind\n"
     "  the run that is under way; also when it is disabled or paused\n"
     "crier task retry [FILE] NAME: again, with the parameters of its last run\n"
     "crier task stop [FILE] NAME: terminate its runs\n"
     "crier task pause [FILE] NAME: nothing starts it until it is resumed, restarts included\n"
     "crier task resume [FILE] NAME: it goes on\n"
     "  --wait             run, retry: until it has ended; exit code 1 unless all went well\n"
     "  --json             list: one task a line; else one JSON object\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"},
    {"why", crier_cmd_why, "[FILE] NAME", "what a task or a message waits for",
     "  --json             one answer a line as JSON\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "Each part of its condition, whether it is true now, and why. NAME is a task's, or a message's "
     "as in\ncrier message.\n"},
    {"eval", crier_cmd_eval, "[FILE] 'LUA'", "run a piece of Lua in the running bot",
     "  --json             one object: values, texts, or error and traceback\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "What it prints and returns is shown; - reads it from stdin. It sees the script's globals and "
     "`crier`,\nmay wait as a callback may, and has limits.callback of CPU time. Exit code 1 when "
     "it raises.\n"},
    {"alerts", crier_cmd_alerts, "[FILE] [--state DIR] [--json]", "what fires in a running bot",
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "  --json             one alert a line as JSON\n"
     "Earlier ones are records: crier logs logger=alert.\n"},
    {"status", crier_cmd_status, "[FILE] [--state DIR] [--json]", "how a running bot is doing",
     "  --all              every message, not only the first hundred\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "  --json             one JSON object\n"},
    {"metrics", crier_cmd_metrics, "[FILE] [--state DIR] [--json]",
     "a running bot in numbers, as Prometheus reads them",
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "  --json             one JSON object with the text in it\n"
     "The control socket gives the same: curl --unix-socket .crier/control.sock "
     "http://localhost/metrics\n"
     "For node_exporter's textfile collector: crier metrics bot.lua > crier.prom\n"},
    {"reload", crier_cmd_reload, "[FILE] [--max-growth N] [--state DIR] [--json]",
     "load the script anew into the running bot",
     "Prints what was added (+), changed (~) and removed (-), or why the reload was refused; then "
     "the old script keeps running and the exit code is 78.\n"
     "  --max-growth N     refuse (exit code 1) when in virtual time a channel that has sends now, or all\n"
     "                     together, would get more than N times (3x) as many: crier diff\n"
     "  --for T            in so long a time (default 24h)\n"
     "  --state DIR        state folder (default: .crier beside FILE, else $CRIER_STATE, else "
     ".crier)\n"
     "  --json             one JSON object\n"},
    {"discord-sim", crier_cmd_discord_sim, "[--port N] [--world FILE]",
     "the Discord simulator alone, as an HTTP server on loopback",
     "  --port N           port (default: a free one)\n"
     "  --world FILE       bots, guilds, channels and users\n"
     "  --seed N           ids that are the same in every run\n"
     "  --no-limits        no rate limits\n"
     "  --any-token        accept every bot token (the default without --world)\n"
     "  --json             say the address as JSON\n"
     "Answers HTTP on 127.0.0.1 as Discord's REST API does, until it is stopped (Ctrl-C).\n"},
    {"help", crier_cmd_help, "[COMMAND | sink KIND | NAME] [--json]",
     "this, or the options of something",
     "crier help run; crier help TextMESSAGE; crier help sink json; crier help --json: everything "
     "that a script may say.\n"},
    {"version", crier_cmd_version, "", "the version", ""},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct crier_command *crier_command_find(const char *name)
{
    for (const struct crier_command *c = crier_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

int crier_usage(const char *command, const char *fmt, ...)
{
    const struct crier_command *c = crier_command_find(command);
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "crier %s: ", command);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: crier %s %s   (crier help %s)\n", command, c ? c->synopsis : "",
            command);
    return CRIER_EXIT_USAGE;
}

/* The options that a command's help lists. */
static size_t option_names(const struct crier_command *c, char **names, size_t cap)
{
    size_t n = 0;
    for (const char *at = c ? c->help : ""; n < cap && (at = strstr(at, "  --"));) {
        at += 4;
        names[n++] = crier_strndup(at, strspn(at, "abcdefghijklmnopqrstuvwxyz-"));
    }
    return n;
}

int crier_usage_word(const char *command, const char *word, const char *const *names, size_t count)
{
    struct crier_buf list = {0};
    for (size_t i = 0; i < count; i++) {
        if (word && strcmp(names[i], word) == 0) {
            crier_buf_fini(&list);
            return 0;
        }
        const char *between = i == 0 ? "" : i + 1 < count ? ", " : word ? " and " : " or ";
        crier_buf_printf(&list, "%s%s", between, names[i]);
    }
    const char *near = word ? crier_nearest(word, names, count) : NULL;
    if (!word)
        crier_usage(command, "%s?", list.data);
    else
        crier_usage(command, "'%s' is none of %s%s%s%s", word, list.data,
                    near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    crier_buf_fini(&list);
    return CRIER_EXIT_USAGE;
}

static bool read_number(const char *text, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

int crier_usage_count(const char *command, const char *option, const char *text, long *out)
{
    if (read_number(text, out) && *out >= 1 && *out <= 100000)
        return 0;
    return crier_usage(command, "%s takes a number from 1 to 100000, got '%s'", option, text);
}

int crier_usage_lines(const char *command, const char *option, const char *text, long *out)
{
    if (read_number(text, out))
        return 0;
    return crier_usage(command, "%s takes a number of lines, got '%s'", option, text);
}

int crier_usage_option(const char *command, char **argv)
{
    char *names[32];
    const char *word = argv[optind - 1], *known[CRIER_COUNT(names)];
    size_t n = option_names(crier_command_find(command), names, CRIER_COUNT(names));
    bool exists = false;
    int code;
    if (word[0] != '-' || word[1] != '-') {
        code = crier_usage(command, "unknown option in '%s'", word);
        goto out;
    }
    char *name = crier_strndup(word + 2, strcspn(word + 2, "="));
    for (size_t i = 0; i < n; i++) {
        known[i] = names[i];
        exists = exists || strcmp(names[i], name) == 0;
    }
    const char *near = exists ? NULL : crier_nearest(name, known, n);
    if (exists)
        code = crier_usage(command,
                           strchr(word, '=') ? "option '--%s' takes no value"
                                             : "option '--%s' needs a value",
                           name);
    else if (near)
        code = crier_usage(command, "unknown option '--%s' (did you mean '--%s'?)", name, near);
    else
        code = crier_usage(command, "unknown option '--%s'", name);
    free(name);
out:
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    return code;
}

static bool has_host(const char *folder)
{
    char *socket = crier_path_join(folder, "control.sock"),
         *pointer = crier_path_join(folder, "control.path");
    bool yes = access(socket, F_OK) == 0 || access(pointer, F_OK) == 0;
    free(socket);
    free(pointer);
    return yes;
}

/* A host has run here. */
static bool has_state(const char *folder)
{
    char *db = crier_path_join(folder, "state.db");
    bool yes = access(db, F_OK) == 0;
    free(db);
    return yes;
}

/* The folder of config.state, or the simulator's in it; NULL: the script says nothing of it. */
static char *told_by_script(const char *file)
{
    struct crier_generation *gen;
    char *folder = NULL;
    if (access(file, R_OK) != 0 || crier_load_script(file, NULL, &gen) != 0)
        return NULL;
    if (gen->config.state)
        folder = crier_client_folder(gen->config.state, NULL);
    crier_generation_unref(gen);
    return folder;
}

char *crier_client_folder(const char *state, const char *file)
{
    const char *env = getenv("CRIER_STATE");
    char *folder;
    if (state) {
        folder = crier_strdup(state);
    } else if (file) {
        const char *slash = strrchr(file, '/');
        char *dir = crier_strndup(file, slash ? (size_t)(slash - file) + 1 : 0);
        folder = *dir ? crier_path_join(dir, ".crier") : crier_strdup(".crier");
        free(dir);
    } else {
        folder = crier_strdup(env && *env ? env : ".crier");
    }
    char *sim = crier_path_join(folder, "sim"), *out = NULL;
    bool here = has_host(folder), simulated = !here && has_host(sim);
    if (!here && !simulated && file && !state)
        out = told_by_script(file);
    if (!here && !simulated)
        simulated = !has_state(folder) && has_state(sim);
    if (!out)
        out = crier_strdup(simulated ? sim : folder);
    free(folder);
    free(sim);
    return out;
}

int crier_cmd_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return crier_usage("version", "takes no arguments");
    printf("crier %s\n", CRIER_VERSION);
    return 0;
}

/* --- help -------------------------------------------------------------------------------- */

static void overview(void)
{
    puts("crier runs Discord bots that are Lua scripts: scheduled messages, and a log of "
         "everything.\n");
    for (const struct crier_command *c = crier_commands; c->name; c++)
        printf("  crier %-12s %s\n", c->name, c->summary);
    puts("\nTry it: crier run bot.lua --sim --for 20s --transcript");
    puts("Options of a command: crier help run; of what a script declares: crier help "
         "TextMESSAGE");
    size_t n;
    const struct crier_topic *topics = crier_topics(&n);
    printf("A script declares:");
    for (size_t i = 0; i < n; i++)
        printf(" %s", topics[i].name);
    putchar('\n');
}

static void print_methods(const char *kind)
{
    const struct crier_sink_driver *driver = crier_sink_driver_find(kind);
    const struct crier_sink_method *m = driver ? driver->methods : NULL;
    if (m)
        puts("\nand its own functions, beside those of every sink that can be read:\n");
    for (; m && m->name; m++)
        printf("  %s\n      %s\n", m->usage, m->help);
}

static void print_topic(const struct crier_topic *t)
{
    struct crier_buf b = {0};
    crier_options_help(t->options, t->count, false, &b);
    printf("crier.%s: %s\n\n%s", t->name, t->help, b.data ? b.data : "");
    if (strncmp(t->name, "sink.", 5) == 0) {
        print_methods(t->name + 5);
        puts("\nand as every sink:\n");
        crier_buf_clear(&b);
        crier_options_help(crier_sink_common_options, crier_sink_common_count, false, &b);
        fputs(b.data, stdout);
    }
    crier_buf_fini(&b);
}

static void print_json(void)
{
    size_t n;
    const struct crier_topic *topics = crier_topics(&n);
    for (size_t i = 0; i < n; i++) {
        struct crier_buf b = {0};
        crier_options_help(topics[i].options, topics[i].count, true, &b);
        printf("{\"name\":\"%s\",\"options\":%s}\n", topics[i].name, b.data ? b.data : "[]");
        crier_buf_fini(&b);
    }
}

static int no_such(const char *word)
{
    size_t n = 0, topics_n;
    const struct crier_topic *topics = crier_topics(&topics_n);
    for (const struct crier_command *c = crier_commands; c->name; c++)
        n++;
    const char **names = crier_calloc(n + topics_n, sizeof *names);
    n = 0;
    for (const struct crier_command *c = crier_commands; c->name; c++)
        names[n++] = c->name;
    for (size_t i = 0; i < topics_n; i++)
        names[n++] = topics[i].name;
    const char *near = crier_nearest(word, names, n);
    free(names);
    if (near)
        return crier_usage("help", "nothing is called '%s' (did you mean '%s'?)", word, near);
    return crier_usage("help", "nothing is called '%s'", word);
}

/* "sink.json" is also found as "json", and EMBED as "embed". */
static bool is_named(const char *name, const char *word)
{
    const char *dot = strchr(name, '.');
    return strcasecmp(name, word) == 0 || (dot && strcasecmp(dot + 1, word) == 0);
}

int crier_cmd_help(int argc, char **argv)
{
    if (argc == 1) {
        overview();
        return 0;
    }
    if (strcmp(argv[1], "--json") == 0) {
        print_json();
        return 0;
    }
    /* `task` is a command and something to declare; `crier.task` is the latter only. */
    bool declared = strncmp(argv[1], "crier.", 6) == 0;
    const char *first = argv[1] + (declared ? 6 : 0);
    char *word = argc > 2 ? crier_asprintf("%s.%s", first, argv[2]) : crier_strdup(first);
    const struct crier_command *c = declared ? NULL : crier_command_find(word);
    size_t n;
    const struct crier_topic *topics = crier_topics(&n);
    int code = 0;
    const struct crier_topic *topic = NULL;
    for (size_t i = 0; i < n && !topic; i++)
        topic = is_named(topics[i].name, word) ? &topics[i] : NULL;
    if (c)
        printf("crier %s %s\n%s\n\n%s", c->name, c->synopsis, c->summary, c->help);
    if (c && topic)
        printf("What a script declares by that name: crier help crier.%s\n", topic->name);
    else if (topic)
        print_topic(topic);
    if (!c && !topic)
        code = no_such(word);
    free(word);
    return code;
}
