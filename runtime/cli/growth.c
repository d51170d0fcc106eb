/* SPDX-License-Identifier: MIT */
#include "cli/growth.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/control.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "cli/read.h"

/* What runs now: its files as they were loaded. */
struct running {
    GHashTable *files; /* path -> text; NULL: nothing runs */
    char *file, *state;
};

static void running_fini(struct running *r)
{
    if (r->files)
        g_hash_table_destroy(r->files);
    free(r->file);
    free(r->state);
}

static int ask_running(const struct crier_growth_options *o, struct running *r)
{
    struct crier_client client = {.command = o->command, .state = o->state, .file = o->file};
    json_t *request = json_pack("{s:s}", "cmd", "source"), *done = NULL, *text;
    const char *path;
    bool absent = false;
    int code = crier_client_ask(&client, request, NULL, NULL, &done, &absent);
    json_decref(request);
    if (absent) {
        fprintf(stderr,
                "crier: no bot runs here that %s could be compared with; --against FILE compares two "
                "files\n",
                o->file ? o->file : "a script");
        code = CRIER_EXIT_UNREACHABLE;
    }
    if (code == 0) {
        r->files = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
        json_object_foreach (json_object_get(done, "files"), path, text) {
            gsize len;
            guchar *bytes = g_base64_decode(json_string_value(text), &len);
            g_hash_table_insert(r->files, crier_strdup(path), crier_strndup((char *)bytes, len));
            g_free(bytes);
        }
        r->file = crier_strdup(json_string_value(json_object_get(done, "file")));
        r->state = crier_strdup(json_string_value(json_object_get(done, "state")));
    }
    json_decref(done);
    return code;
}

static void on_record(void *arg, const struct crier_record *record)
{
    crier_tally_record(arg, record);
}

static int run_one(const struct crier_growth_options *o, const char *file, GHashTable *overlay,
                   const char *state, int64_t from, struct crier_tally *tally)
{
    struct crier_err err = {0};
    struct crier_lab_config config = {.file = file,
                                      .state_from = state,
                                      .seed = o->seed,
                                      .from = from,
                                      .overlay = overlay,
                                      .on_record = on_record,
                                      .on_create = crier_tally_create,
                                      .arg = tally};
    struct crier_lab *lab;
    crier_tally_init(tally, from, o->span, false);
    if (crier_lab_new(&config, &lab, &err) != 0) {
        fprintf(stderr, "crier: %s\n", err.text);
        return CRIER_EXIT_INTERNAL;
    }
    int code = crier_lab_start(lab);
    if (code == 0)
        crier_lab_advance(lab, o->span);
    crier_lab_free(lab);
    return code;
}

static int begin(const struct crier_growth_options *o, struct crier_growth *g, int64_t *from)
{
    struct crier_err err = {0};
    struct crier_generation *gen;
    bool color;
    int code = crier_load_script(g->file, NULL, &gen);
    if (code != 0)
        return code;
    g->zone = crier_zone_ref(gen->zone);
    if (gen->diags.errors) {
        crier_diags_print(&gen->diags, stderr, crier_diag_format_for(stderr, &color), color);
        code = CRIER_EXIT_CONFIG;
    }
    crier_generation_unref(gen);
    *from = crier_clock_wall(crier_clock_real());
    if (code == 0 && o->from && crier_datetime_parse(o->from, g->zone, from, &err) != 0)
        code = crier_usage(o->command, "--from: %s", err.text);
    return code;
}

int crier_growth_run(const struct crier_growth_options *o, struct crier_growth *g)
{
    struct running r = {0};
    int64_t from = 0;
    *g = (struct crier_growth){0};
    crier_tally_init(&g->before, 0, 1, false);
    crier_tally_init(&g->after, 0, 1, false);
    int code = o->against ? 0 : ask_running(o, &r);
    if (code == 0) {
        g->file = crier_strdup(o->file ? o->file : r.file);
        code = begin(o, g, &from);
    }
    if (code == 0) {
        crier_tally_fini(&g->before);
        code = run_one(o, o->against ? o->against : r.file, r.files, r.state, from, &g->before);
    }
    if (code == 0) {
        crier_tally_fini(&g->after);
        code = run_one(o, g->file, NULL, r.state, from, &g->after);
    }
    running_fini(&r);
    return code;
}

void crier_growth_fini(struct crier_growth *g)
{
    crier_tally_fini(&g->before);
    crier_tally_fini(&g->after);
    crier_zone_unref(g->zone);
    free(g->file);
}

/* --- comparing ------------------------------------------------------------------------------ */

static struct crier_tally_channel *find(const struct crier_tally *t, uint64_t id)
{
    static struct crier_tally_channel none;
    struct crier_tally_channel *c = g_hash_table_lookup(t->channels, &id);
    return c ? c : &none;
}

static uint64_t sends_of(const struct crier_tally_channel *c)
{
    return c->sent + c->failed;
}

double crier_growth_most(const struct crier_growth *g, char what[200])
{
    double most = 1;
    uint64_t before = g->before.to_channels, after = g->after.to_channels;
    snprintf(what, 200, "nothing");
    if (before && (double)after / (double)before > most) {
        most = (double)after / (double)before;
        snprintf(what, 200, "all channels together");
    }
    GPtrArray *list = crier_tally_channels(&g->before);
    for (guint i = 0; i < list->len; i++) {
        const struct crier_tally_channel *was = list->pdata[i];
        double by = sends_of(was) ? (double)sends_of(find(&g->after, was->id)) /
                                        (double)sends_of(was)
                                  : 0;
        if (by > most) {
            most = by;
            snprintf(what, 200, "%s (%s)", was->name ? was->name : "?",
                     was->guild ? was->guild : "?");
        }
    }
    g_ptr_array_free(list, TRUE);
    return most;
}

bool crier_growth_factor(const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    if (*end == 'x')
        end++;
    return end != text && !*end && isfinite(*out) && *out > 0;
}

/* Every channel of either, once, in order. */
static GPtrArray *all_channels(const struct crier_growth *g)
{
    GPtrArray *list = crier_tally_channels(&g->before), *after = crier_tally_channels(&g->after);
    for (guint i = 0; i < after->len; i++) {
        const struct crier_tally_channel *c = after->pdata[i];
        if (!g_hash_table_contains(g->before.channels, &c->id))
            g_ptr_array_add(list, (void *)c);
    }
    g_ptr_array_free(after, TRUE);
    return list;
}

static void text_new(struct crier_buf *out, const char *sign, const char *noun, GHashTable *from,
                     GHashTable *to)
{
    GList *keys = g_list_sort(g_hash_table_get_keys(to), (GCompareFunc)strcmp);
    for (GList *k = keys; k; k = k->next) {
        if (!g_hash_table_contains(from, k->data))
            crier_buf_printf(out, "%s %s: %s (%" PRIu64 " times)\n", sign, noun, (char *)k->data,
                             *(uint64_t *)g_hash_table_lookup(to, k->data));
    }
    g_list_free(keys);
}

void crier_growth_text(const struct crier_growth *g, struct crier_buf *out)
{
    char span[48], a[48], b[48], when[32];
    GPtrArray *list = all_channels(g);
    unsigned same = 0;
    crier_buf_printf(out, "%s from %s: %" PRIu64 " -> %" PRIu64 " messages sent\n",
                     crier_duration_text(g->after.span, span),
                     crier_time_human(g->zone, g->after.from, when), g->before.to_channels,
                     g->after.to_channels);
    for (guint i = 0; i < list->len; i++) {
        const struct crier_tally_channel *c = list->pdata[i];
        const struct crier_tally_channel *was = find(&g->before, c->id), *is = find(&g->after, c->id);
        if (sends_of(was) == sends_of(is) && was->pings == is->pings && was->failed == is->failed) {
            same++;
            continue;
        }
        crier_buf_printf(out, "%s %-28s %" PRIu64 " -> %" PRIu64,
                         !sends_of(was)   ? "+"
                         : !sends_of(is) ? "-"
                                         : "~",
                         c->name ? c->name : "?", sends_of(was), sends_of(is));
        if (was->pings != is->pings)
            crier_buf_printf(out, ", pings %" PRIu64 " -> %" PRIu64, was->pings, is->pings);
        if (was->failed != is->failed)
            crier_buf_printf(out, ", failed %" PRIu64 " -> %" PRIu64, was->failed, is->failed);
        crier_buf_printf(out, "  (%s)\n", c->guild ? c->guild : "");
    }
    g_ptr_array_free(list, TRUE);
    if (same)
        crier_buf_printf(out, "  %u channel%s as before\n", same, same == 1 ? "" : "s");
    if (g->before.waited / CRIER_S != g->after.waited / CRIER_S)
        crier_buf_printf(out, "~ waits for rate limits: %s -> %s\n",
                         crier_duration_text(g->before.waited / CRIER_S * CRIER_S, a),
                         crier_duration_text(g->after.waited / CRIER_S * CRIER_S, b));
    text_new(out, "+", "problem", g->before.problems, g->after.problems);
    text_new(out, "-", "problem", g->after.problems, g->before.problems);
    text_new(out, "+", "failure", g->before.failures, g->after.failures);
    text_new(out, "+", "alert", g->before.alerts, g->after.alerts);
    text_new(out, "-", "alert", g->after.alerts, g->before.alerts);
}

static void json_pair(struct crier_buf *out, const char *key, double before, double after)
{
    crier_json_key(out, key);
    crier_json_open(out, '[');
    crier_json_num(out, before);
    crier_json_num(out, after);
    crier_json_close(out, ']');
}

static void json_new(struct crier_buf *out, const char *key, GHashTable *from, GHashTable *to)
{
    GList *keys = g_list_sort(g_hash_table_get_keys(to), (GCompareFunc)strcmp);
    crier_json_key(out, key);
    crier_json_open(out, '[');
    for (GList *k = keys; k; k = k->next) {
        if (!g_hash_table_contains(from, k->data))
            crier_json_str(out, k->data);
    }
    crier_json_close(out, ']');
    g_list_free(keys);
}

void crier_growth_json(const struct crier_growth *g, struct crier_buf *out)
{
    char id[24], what[200], when[32];
    GPtrArray *list = all_channels(g);
    crier_json_open(out, '{');
    crier_json_key(out, "from");
    crier_json_str(out, crier_time_rfc3339(g->after.from, when));
    crier_json_key(out, "for");
    crier_json_num(out, (double)g->after.span / 1e6);
    json_pair(out, "sent", (double)g->before.to_channels, (double)g->after.to_channels);
    json_pair(out, "waited", (double)g->before.waited / 1e6, (double)g->after.waited / 1e6);
    crier_json_key(out, "growth");
    crier_json_num(out, crier_growth_most(g, what));
    crier_json_key(out, "channels");
    crier_json_open(out, '[');
    for (guint i = 0; i < list->len; i++) {
        const struct crier_tally_channel *c = list->pdata[i];
        const struct crier_tally_channel *was = find(&g->before, c->id), *is = find(&g->after, c->id);
        snprintf(id, sizeof id, "%" PRIu64, c->id);
        crier_json_open(out, '{');
        crier_json_key(out, "id");
        crier_json_str(out, id);
        crier_json_key(out, "name");
        crier_json_str(out, c->name ? c->name : "");
        crier_json_key(out, "guild");
        crier_json_str(out, c->guild ? c->guild : "");
        json_pair(out, "sends", (double)sends_of(was), (double)sends_of(is));
        json_pair(out, "failed", (double)was->failed, (double)is->failed);
        json_pair(out, "pings", (double)was->pings, (double)is->pings);
        crier_json_close(out, '}');
    }
    crier_json_close(out, ']');
    g_ptr_array_free(list, TRUE);
    json_new(out, "new_problems", g->before.problems, g->after.problems);
    json_new(out, "new_failures", g->before.failures, g->after.failures);
    json_new(out, "new_alerts", g->before.alerts, g->after.alerts);
    crier_json_close(out, '}');
}
