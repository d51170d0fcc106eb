/* SPDX-License-Identifier: MIT
 *
 * crier sink: how sinks do, and what is to become of records that a sink has left.
 */
#include <dirent.h>
#include <getopt.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/read.h"
#include "cli/sinks.h"
#include "sink/spool.h"

struct sink_args {
    struct crier_client client;
    json_t *request;
    bool json, dead;
};

/* --- what lies in the state folder --------------------------------------------------------- */

struct left {
    char *name;
    uint64_t records, bytes; /* in the spool */
    uint64_t dead;           /* dead letters */
    char trouble[256];
};

static void left_free(void *arg)
{
    struct left *left = arg;
    free(left->name);
    free(left);
}

/* A file's name back to the sink's: the other way of crier_sink_folder. */
static char *decode(const char *file, size_t len)
{
    struct crier_buf b = {0};
    crier_buf_puts(&b, "");
    for (size_t i = 0; i < len; i++) {
        unsigned c = (unsigned char)file[i];
        if (c == '%' && i + 2 < len && sscanf(file + i + 1, "%2x", &c) == 1)
            i += 2;
        crier_buf_putc(&b, (char)c);
    }
    return crier_buf_take(&b);
}

static struct left *left_of(GPtrArray *list, const char *file, size_t len)
{
    char *name = decode(file, len);
    for (guint i = 0; i < list->len; i++) {
        struct left *left = list->pdata[i];
        if (strcmp(left->name, name) == 0) {
            free(name);
            return left;
        }
    }
    struct left *left = crier_calloc(1, sizeof *left);
    left->name = name;
    g_ptr_array_add(list, left);
    return left;
}

static void look_at_spool(struct left *left, const char *path)
{
    const struct crier_spool_config look = {.look = true};
    struct crier_spool *spool = NULL;
    struct crier_spool_stats st;
    struct crier_err err = {0};
    if (crier_spool_open(path, &look, &spool, &err) != 0) {
        snprintf(left->trouble, sizeof left->trouble, "%s", err.text);
        return;
    }
    crier_spool_stats(spool, &st);
    left->records = st.entries;
    left->bytes = st.bytes;
    snprintf(left->trouble, sizeof left->trouble, "%s", st.fault);
    crier_spool_close(spool);
}

static uint64_t count_lines(const char *path)
{
    char chunk[65536];
    uint64_t lines = 0;
    size_t n;
    FILE *file = fopen(path, "re");
    while (file && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        for (size_t i = 0; i < n; i++)
            lines += chunk[i] == '\n';
    if (file)
        fclose(file);
    return lines;
}

static bool ends_with(const char *s, const char *end, size_t *len)
{
    size_t n = strlen(s), m = strlen(end);
    *len = n - m;
    return n > m && strcmp(s + n - m, end) == 0;
}

static int by_name(const void *a, const void *b)
{
    const struct left *x = *(struct left *const *)a, *y = *(struct left *const *)b;
    return strcmp(x->name, y->name);
}

static GPtrArray *find_left(const char *state_folder)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(left_free);
    char *folder = crier_path_join(state_folder, "sinks");
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        char *path = crier_path_join(folder, entry->d_name);
        struct stat st;
        size_t len;
        if (entry->d_name[0] == '.' || stat(path, &st) != 0)
            len = 0;
        else if (S_ISDIR(st.st_mode))
            look_at_spool(left_of(list, entry->d_name, strlen(entry->d_name)), path);
        else if (ends_with(entry->d_name, ".dead.jsonl", &len) ||
                 ends_with(entry->d_name, ".dead.replay.jsonl", &len))
            left_of(list, entry->d_name, len)->dead += count_lines(path);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
    g_ptr_array_sort(list, by_name);
    return list;
}

static json_t *find_sink(const json_t *sinks, const char *name)
{
    size_t i;
    json_t *o;
    json_array_foreach(sinks, i, o)
    {
        const char *s = json_string_value(json_object_get(o, "name"));
        if (s && strcmp(s, name) == 0)
            return o;
    }
    return NULL;
}

/* --- list ---------------------------------------------------------------------------------- */

/* The running host's sinks, each with its dead letters, then what others have left. */
static void list_json(json_t *sinks, GPtrArray *list)
{
    size_t i;
    json_t *o;
    json_array_foreach(sinks, i, o)
        json_object_set_new(o, "state",
                            json_string(json_is_true(json_object_get(o, "gone"))      ? "removed"
                                        : json_is_true(json_object_get(o, "down"))    ? "down"
                                        : json_is_true(json_object_get(o, "failing")) ? "failing"
                                                                                      : "ok"));
    for (guint k = 0; k < list->len; k++) {
        const struct left *left = list->pdata[k];
        o = find_sink(sinks, left->name);
        if (o) {
            json_object_set_new(o, "dead", json_integer((json_int_t)left->dead));
            continue;
        }
        o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", left->name, "state", "left over",
                      "spilled", (json_int_t)left->records, "spool_bytes", (json_int_t)left->bytes,
                      "dead", (json_int_t)left->dead);
        if (*left->trouble)
            json_object_set_new(o, "error", json_string(left->trouble));
        if (left->records || left->dead || *left->trouble)
            json_array_append_new(sinks, o);
        else
            json_decref(o);
    }
    json_array_foreach(sinks, i, o) crier_print_json(o);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* Folders of sinks whose records are all written are nothing to tell of. */
static bool any_left(GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        const struct left *left = list->pdata[i];
        if (left->records || left->dead || *left->trouble)
            return true;
    }
    return false;
}

static void list_text(const json_t *sinks, GPtrArray *list, bool up)
{
    if (up)
        crier_print_sinks(sinks);
    for (guint k = 0; k < list->len; k++) {
        const struct left *left = list->pdata[k];
        bool ours = find_sink(sinks, left->name) != NULL;
        if (left->records && !ours && up)
            printf("left over: %s: %" PRIu64 " record%s (crier sink replay %s --to SINK)\n",
                   left->name, left->records, plural(left->records), left->name);
        else if (left->records && !up)
            printf("%s: %" PRIu64 " record%s to be written when the bot runs with a sink of that "
                   "name\n",
                   left->name, left->records, plural(left->records));
        if (left->dead)
            printf("dead letters: %s: %" PRIu64 " (crier sink replay %s --dead%s)\n", left->name,
                   left->dead, left->name, ours || !up ? "" : " --to SINK");
        if (*left->trouble && !ours)
            printf("%s: %s\n", left->name, left->trouble);
    }
}

static int list(struct sink_args *a)
{
    json_t *done = NULL;
    bool absent = false;
    json_object_set_new(a->request, "cmd", json_string("status"));
    int code = crier_client_ask(&a->client, a->request, NULL, NULL, &done, &absent);
    if (absent || code == 0) {
        char *folder = crier_client_folder(a->client.state, a->client.file);
        GPtrArray *left = find_left(folder);
        json_t *sinks = json_object_get(done, "sinks"), *none = json_array();
        if (absent && !a->json)
            printf("no host runs in '%s'; what its sinks have left there:\n", folder);
        if (a->json)
            list_json(sinks ? sinks : none, left);
        else
            list_text(sinks, left, !absent);
        if (absent && !a->json && !any_left(left))
            puts("nothing");
        code = 0;
        json_decref(none);
        g_ptr_array_free(left, TRUE);
        free(folder);
    }
    json_decref(done);
    return code;
}

/* --- replay and copy ----------------------------------------------------------------------- */

static void on_line(void *arg, json_t *line)
{
    struct sink_args *a = arg;
    const char *waiting = json_string_value(json_object_get(line, "waiting"));
    const json_t *progress = json_object_get(line, "progress");
    if (waiting)
        fprintf(stderr, "crier sink: waiting until the sink works again (%s)\n", waiting);
    else if (progress && !a->json && isatty(2))
        fprintf(stderr, "\r%" PRId64 " records", (int64_t)json_integer_value(progress));
}

static int64_t num(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void print_moved(const json_t *done)
{
    static const struct {
        const char *key, *text;
    } rest[] = {
        {"there", "were there already"},     {"refused", "left out: the sink's kinds or level"},
        {"unreadable", "could not be read"}, {"rejected", "were rejected (crier sink list)"},
        {"dropped", "were dropped"},
    };
    const char *aside = json_string_value(json_object_get(done, "aside"));
    if (isatty(2))
        fprintf(stderr, "\r");
    printf("%" PRId64 " record%s moved into '%s'", num(done, "moved"),
           plural((uint64_t)num(done, "moved")), json_string_value(json_object_get(done, "to")));
    for (size_t i = 0; i < CRIER_COUNT(rest); i++)
        if (num(done, rest[i].key))
            printf(", %" PRId64 " %s", num(done, rest[i].key), rest[i].text);
    putchar('\n');
    if (aside)
        printf("the letters are kept in %s\n", aside);
}

static int move(struct sink_args *a)
{
    json_t *done = NULL;
    json_object_set_new(a->request, "cmd", json_string("sink"));
    int code = crier_client_ask(&a->client, a->request, on_line, a, &done, NULL);
    bool any = json_object_get(done, "to") && (code <= 1 || num(done, "moved"));
    if (any) {
        if (a->json) {
            json_object_del(done, "done");
            json_object_del(done, "code");
            crier_print_json(done);
        } else {
            print_moved(done);
        }
    }
    json_decref(done);
    return code;
}

/* --- arguments ----------------------------------------------------------------------------- */

static void set(struct sink_args *a, const char *key, const char *text)
{
    json_object_set_new(a->request, key, json_string(text));
}

static int parse_options(struct sink_args *a, const char *what, int argc, char **argv)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"dead", no_argument, NULL, 'd'},
                                            {"since", required_argument, NULL, 'a'},
                                            {"until", required_argument, NULL, 'b'},
                                            {"state", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool replay = strcmp(what, "replay") == 0, copy = strcmp(what, "copy") == 0;
        if (opt == 's')
            a->client.state = optarg;
        else if (opt == 'j')
            a->json = true;
        else if (opt == 't' && replay)
            set(a, "to", optarg);
        else if (opt == 'd' && replay)
            json_object_set_new(a->request, "dead", json_true());
        else if (opt == 'a' && copy)
            set(a, "since", optarg);
        else if (opt == 'b' && copy)
            set(a, "until", optarg);
        else if (opt == '?')
            return crier_usage_option("sink", argv);
        else
            return crier_usage("sink", "'%s' does not go with %s", argv[optind - 1], what);
    }
    return 0;
}

static int parse_list(struct sink_args *a, int count, char **words)
{
    if (count > 1)
        return crier_usage("sink", "one script at a time");
    a->client.file = count ? words[0] : NULL;
    return list(a);
}

static int parse_replay(struct sink_args *a, int count, char **words)
{
    bool dead = json_object_get(a->request, "dead") != NULL;
    if (count != 1)
        return crier_usage("sink", count ? "one sink at a time" : "replay what? (crier sink list)");
    if (!dead && !json_object_get(a->request, "to"))
        return crier_usage("sink", "replay %s into which sink? (--to SINK)", words[0]);
    set(a, "do", "replay");
    set(a, "name", words[0]);
    return move(a);
}

static int parse_copy(struct sink_args *a, int count, char **words)
{
    json_t *match = json_array();
    json_object_set_new(a->request, "match", match);
    if (count < 2)
        return crier_usage("sink", "copy from which sink into which?");
    set(a, "do", "copy");
    set(a, "from", words[0]);
    set(a, "to", words[1]);
    for (int i = 2; i < count; i++)
        json_array_append_new(match, json_string(words[i]));
    return move(a);
}

int crier_cmd_sink(int argc, char **argv)
{
    static const char *const names[] = {"list", "replay", "copy"};
    const char *what = argc > 1 ? argv[1] : NULL;
    struct sink_args a = {.client.command = "sink", .request = json_object()};
    int code;
    if (what && *what == '-')
        what = NULL;
    code = crier_usage_word("sink", what, names, CRIER_COUNT(names));
    if (code == 0) {
        code = parse_options(&a, what, argc - 1, argv + 1);
        int count = argc - 1 - optind;
        char **words = argv + 1 + optind;
        if (code == 0)
            code = strcmp(what, "list") == 0     ? parse_list(&a, count, words)
                   : strcmp(what, "replay") == 0 ? parse_replay(&a, count, words)
                                                 : parse_copy(&a, count, words);
    }
    json_decref(a.request);
    return code;
}
