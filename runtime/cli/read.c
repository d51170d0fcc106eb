/* SPDX-License-Identifier: MIT */
#include "cli/read.h"

#include <getopt.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/control.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "host/logs.h"
#include "record/match.h"
#include "record/read.h"
#include "sink/spool.h"
#include "state/state.h"

static int say(const struct crier_client *client, const char *text, int code)
{
    fprintf(stderr, "crier %s: %s\n", client->command, text);
    return code;
}

static int say_err(const struct crier_client *client, const struct crier_err *err)
{
    int code = err->code == CRIER_EINVAL      ? CRIER_EXIT_USAGE
               : err->code == CRIER_ECONFIG   ? CRIER_EXIT_CONFIG
               : err->code == CRIER_EDENIED   ? CRIER_EXIT_REFUSED
               : err->code == CRIER_EINTERNAL ? CRIER_EXIT_INTERNAL
                                              : CRIER_EXIT_UNREACHABLE;
    return say(client, err->text, code);
}

int crier_client_options(struct crier_client *client, int argc, char **argv, bool *json, bool *wait)
{
    const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                     {"state", required_argument, NULL, 's'},
                                     {wait ? "wait" : NULL, no_argument, NULL, 'w'},
                                     {NULL, 0, NULL, 0}};
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'j')
            *json = true;
        else if (opt == 's')
            client->state = optarg;
        else if (opt == 'w')
            *wait = true;
        else
            return crier_usage_option(client->command, argv);
    }
    return 0;
}

const char *crier_member(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

void crier_print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    puts(text);
    free(text);
}

int crier_client_words(struct crier_client *client, json_t *match, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        bool there = i == 0 && access(words[i], R_OK) == 0;
        if (there) {
            client->file = words[i];
        } else if (crier_match_like(words[i])) {
            json_array_append_new(match, json_string(words[i]));
        } else {
            fprintf(stderr, "crier %s: '%s' is %s, and no match (FIELD=VALUE)\n", client->command,
                    words[i], access(words[i], F_OK) == 0 ? "not the first word" : "no file");
            return i == 0 ? CRIER_EXIT_NO_FILE : CRIER_EXIT_USAGE;
        }
    }
    return 0;
}

/* --- the running host ---------------------------------------------------------------------- */

/* The answer's end: its own error, or what broke it off. */
static int ended(const struct crier_client *client, int code, const json_t *done,
                 const struct crier_err *err)
{
    const char *error = json_string_value(json_object_get(done, "error"));
    if (code < 0)
        return say(client, err->text,
                   code == CRIER_EDENIED ? CRIER_EXIT_REFUSED : CRIER_EXIT_UNREACHABLE);
    if (error)
        say(client, error, code);
    return code;
}

static int no_host(const struct crier_client *client, const struct crier_err *err)
{
    fprintf(stderr, "crier %s: %s%s\n", client->command, err->text,
            client->state ? "" : " (--state DIR names another folder)");
    return CRIER_EXIT_UNREACHABLE;
}

struct lines {
    void (*on_line)(void *arg, json_t *line);
    void *arg;
    bool any;
};

static void on_line(void *arg, json_t *line)
{
    struct lines *l = arg;
    l->any = true;
    if (l->on_line)
        l->on_line(l->arg, line);
}

int crier_client_ask(const struct crier_client *client, json_t *request,
                     void (*fn)(void *arg, json_t *line), void *arg, json_t **done, bool *absent)
{
    struct lines lines = {fn, arg, false};
    struct crier_err err = {0};
    char *folder = crier_client_folder(client->state, client->file);
    int code = crier_control_call(folder, request, on_line, &lines, done, &err);
    bool none = code == CRIER_ENET && !lines.any;
    free(folder);
    if (absent)
        *absent = none;
    if (none)
        return absent ? CRIER_EXIT_UNREACHABLE : no_host(client, &err);
    return ended(client, code, *done, &err);
}

struct live {
    const struct crier_client *client;
    const struct crier_reader_out *out;
    struct crier_reader reader;
    bool any;
};

static void read_from(struct live *l, const json_t *line)
{
    struct crier_zone *zone = NULL;
    if (crier_zone_open(json_string_value(json_object_get(line, "zone")), &zone, NULL) != 0 &&
        crier_zone_open(NULL, &zone, NULL) != 0)
        return;
    if (l->out->from)
        l->out->from(l->out->arg, json_string_value(json_object_get(line, "from")),
                     json_string_value(json_object_get(line, "kind")), zone);
    crier_zone_unref(zone);
}

static bool read_record(struct live *l, const char *json, size_t len)
{
    struct crier_record *record;
    if (l->out->json) {
        l->out->json(l->out->arg, json, len);
        return true;
    }
    if (crier_reader_read(&l->reader, json, len, &record, NULL) != 0)
        return false;
    l->out->record(l->out->arg, record);
    crier_record_unref(record);
    return true;
}

static bool on_text(void *arg, const char *text, size_t len)
{
    static const char begin[] = "{\"record\":";
    const size_t head = sizeof begin - 1;
    struct live *l = arg;
    l->any = true;
    if (len > head && memcmp(text, begin, head) == 0)
        return read_record(l, text + head, len - head - 1);
    json_t *line = json_loadb(text, len, 0, NULL);
    const json_t *dropped = json_object_get(line, "dropped");
    bool ok = json_is_object(line);
    if (json_object_get(line, "from"))
        read_from(l, line);
    else if (dropped && l->out->dropped)
        l->out->dropped(l->out->arg, json_integer_value(dropped));
    json_decref(line);
    return ok;
}

/* --- without a host ------------------------------------------------------------------------ */

static char *stored_script(const char *folder)
{
    struct crier_state *state;
    char *path = NULL;
    if (crier_state_open(folder, true, &state, NULL) != 0)
        return NULL;
    path = crier_strdup(crier_state_get(state, "host", "script"));
    crier_state_close(state);
    return path;
}

static char *last_script(const struct crier_client *client)
{
    char *folder = crier_client_folder(client->state, client->file);
    char *path = stored_script(folder);
    if (!path)
        fprintf(stderr,
                "crier %s: no running host in '%s', and none has run there: name the script, as in "
                "crier %s bot.lua%s\n",
                client->command, folder, client->words ? client->words : client->command,
                client->state ? "" : " (--state DIR names another folder)");
    free(folder);
    return path;
}

/* The script of a host that does not run: FILE, or the one that ran in this state folder. 0, or
 * the exit code; what is wrong has been said. */
static int load_script(const struct crier_client *client, struct crier_generation **out)
{
    char *path = client->file ? crier_strdup(client->file) : last_script(client);
    bool color;
    if (!path)
        return CRIER_EXIT_UNREACHABLE;
    int code = crier_load_script(path, client->state, out);
    free(path);
    if (code != 0 || !(*out)->diags.errors)
        return code;
    enum crier_diag_format format = crier_diag_format_for(stderr, &color);
    crier_diags_print(&(*out)->diags, stderr, format, color);
    crier_generation_unref(*out);
    return CRIER_EXIT_CONFIG;
}

/* A sink of it, opened to read; close with the driver's close. */
static int open_sink(const struct crier_generation *gen, const struct crier_declared_sink *s,
                     const char *state_folder, void **self, struct crier_err *err)
{
    /* Sinks borrow what they are opened with. */
    static struct crier_sink_env env;
    env = (struct crier_sink_env){.clock = crier_clock_real(),
                                  .zone = gen->zone,
                                  .folder = gen->folder,
                                  .state_folder = state_folder,
                                  .read_only = true};
    /* The generation is this command's alone: nothing compares its options any more. */
    int rc = crier_generation_resolve(gen, (struct crier_options *)&s->options, err);
    if (rc == 0)
        rc = s->driver->open(&env, &s->options, s->name, self, err);
    if (rc != 0) {
        crier_err_prefix(err, "sink '%s': ", s->name);
        err->code = rc;
    }
    return rc;
}

static void give(const struct crier_reader_out *out, struct crier_record *record)
{
    if (out->json) {
        struct crier_str json = crier_record_json(record);
        out->json(out->arg, json.data, json.len);
    } else {
        out->record(out->arg, record);
    }
    crier_record_unref(record);
}

/* A store without its host: what the sink has written, and what is in its spool yet. */
struct stored {
    struct crier_declared_sink *s;
    void *self;
    struct crier_spool *spool; /* NULL: there is none */
};

static void open_spool(struct stored *t, const char *state_folder)
{
    const struct crier_spool_config look = {.look = true};
    char *folder = crier_sink_folder(state_folder, t->s->name);
    if (crier_spool_open(folder, &look, &t->spool, NULL) != 0)
        t->spool = NULL;
    free(folder);
}

static char *id_of(const struct crier_record *record)
{
    char id[CRIER_ULID_LEN + 1];
    crier_record_id(record, id);
    return crier_strdup(id);
}

/* Those that were being written when the host was killed may stand in the store already. */
static void add_spooled(const struct stored *t, const struct crier_query *query,
                        struct crier_record ***hits, size_t *count)
{
    struct crier_spool_entry entry;
    size_t cap = *count;
    GHashTable *there = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    for (size_t i = 0; i < *count; i++)
        g_hash_table_add(there, id_of((*hits)[i]));
    crier_spool_rewind(t->spool);
    while (crier_spool_read(t->spool, &entry)) {
        struct crier_record *record;
        if (crier_record_from_bytes(entry.data, entry.len, &record, NULL) != 0)
            continue; /* damaged, or from a newer version: crier sink list counts it */
        char *id = id_of(record);
        if (!crier_query_wants(query, record) || g_hash_table_contains(there, id)) {
            crier_record_unref(record);
        } else {
            if (*count == cap) {
                cap = cap ? cap * 2 : 64;
                *hits = crier_realloc(*hits, cap * sizeof **hits);
            }
            (*hits)[(*count)++] = record;
        }
        free(id);
    }
    g_hash_table_destroy(there);
}

static int read_page(const struct stored *t, struct crier_logs *logs,
                     const struct crier_reader_out *out, bool *more, struct crier_err *err)
{
    struct crier_query *query;
    struct crier_record **hits = NULL;
    size_t count = 0;
    int rc = crier_logs_page(logs, &query, err);
    if (rc != 0)
        return rc;
    rc = t->s->driver->query(t->self, query, &hits, &count, err);
    if (rc == 0 && t->spool && crier_spool_count(t->spool))
        add_spooled(t, query, &hits, &count);
    if (rc == 0)
        rc = crier_query_finish(query, &hits, &count, err);
    else
        crier_err_prefix(err, "sink '%s': ", t->s->name);
    crier_query_free(query);
    if (rc != 0) {
        err->code = rc;
        return rc;
    }
    *more = crier_logs_took(logs, hits, count);
    for (size_t i = 0; i < count; i++)
        give(out, hits[i]);
    free(hits);
    return 0;
}

/* So that nobody looks for them in the file or the database. */
static void tell_of_spool(const struct crier_client *client, const struct stored *t, bool read)
{
    uint64_t n = t->spool ? crier_spool_count(t->spool) : 0;
    if (n)
        fprintf(stderr,
                "crier %s: %" PRIu64 " record%s of sink '%s' %s in its spool, to be written when the "
                "host runs%s\n",
                client->command, n, n == 1 ? "" : "s", t->s->name, n == 1 ? "is" : "are",
                read ? "; those that match are shown, too" : " (crier sink list)");
}

static int read_stored(const struct crier_client *client, json_t *request,
                       const struct crier_reader_out *out)
{
    struct crier_generation *gen;
    struct stored t = {0};
    struct crier_logs logs;
    struct crier_err err = {0};
    bool more = true;
    int code = load_script(client, &gen);
    if (code != 0)
        return code;
    char *folder = crier_generation_state_folder(gen, client->state, false);
    char *spools = crier_client_folder(client->state, client->file);
    crier_logs_init(&logs, request, gen->zone, crier_clock_wall(crier_clock_real()));
    int rc = crier_logs_choose(gen, json_string_value(json_object_get(request, "sink")), true, &t.s,
                               &err);
    if (rc == 0) {
        open_spool(&t, spools);
        rc = open_sink(gen, t.s, folder, &t.self, &err);
    }
    if (rc == 0 && out->from)
        out->from(out->arg, t.s->name, t.s->driver->kind, gen->zone);
    while (rc == 0 && more)
        rc = read_page(&t, &logs, out, &more, &err);
    if (t.self)
        t.s->driver->close(t.self);
    if (rc != 0)
        code = say_err(client, &err);
    if (code != CRIER_EXIT_USAGE)
        tell_of_spool(client, &t, rc == 0);
    crier_spool_close(t.spool);
    crier_logs_fini(&logs);
    free(spools);
    free(folder);
    crier_generation_unref(gen);
    return code;
}

int crier_client_read(const struct crier_client *client, json_t *request,
                      const struct crier_reader_out *out)
{
    struct live live = {.client = client, .out = out};
    struct crier_err err = {0};
    json_t *done = NULL;
    bool follow = json_is_true(json_object_get(request, "follow"));
    char *folder = crier_client_folder(client->state, client->file);
    int code = crier_control_stream(folder, request, on_text, &live, &done, &err);
    crier_reader_fini(&live.reader);
    if (code == CRIER_ENET && !live.any) {
        code = follow ? no_host(client, &err) : read_stored(client, request, out);
    } else if (follow && (code == CRIER_ENET || json_is_true(json_object_get(done, "ended")))) {
        fprintf(stderr, "crier %s: the host has ended\n", client->command);
        code = 0;
    } else {
        code = ended(client, code, done, &err);
    }
    json_decref(done);
    free(folder);
    return code;
}

static int call_stored(const struct crier_client *client, json_t *request, json_t **result)
{
    const struct crier_sink_method *method;
    struct crier_generation *gen;
    struct crier_declared_sink *s;
    struct crier_err err = {0};
    void *self = NULL;
    int code = load_script(client, &gen);
    if (code != 0)
        return code;
    char *folder = crier_generation_state_folder(gen, client->state, false);
    int rc =
        crier_logs_method(gen, json_string_value(json_object_get(request, "sink")),
                          json_string_value(json_object_get(request, "method")), &s, &method, &err);
    if (rc == 0)
        rc = open_sink(gen, s, folder, &self, &err);
    if (rc == 0) {
        rc = method->run(self, json_object_get(request, "args"), result, &err);
        if (rc != 0) {
            crier_err_prefix(&err, "sink '%s': ", s->name);
            err.code = rc;
        }
    }
    if (self)
        s->driver->close(self);
    if (rc != 0)
        code = say_err(client, &err);
    free(folder);
    crier_generation_unref(gen);
    return code;
}

int crier_client_method(const struct crier_client *client, json_t *request, json_t **result)
{
    json_t *done = NULL;
    bool absent = false;
    json_object_set_new(request, "cmd", json_string("call"));
    int code = crier_client_ask(client, request, NULL, NULL, &done, &absent);
    *result = absent ? NULL : json_incref(json_object_get(done, "result"));
    json_decref(done);
    return absent ? call_stored(client, request, result) : code;
}
