/* SPDX-License-Identifier: MIT */
#include "script/guilds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "discord/view.h"
#include "script/message_private.h"
#include "script/pattern.h"

#define LOOK_EVERY (600 * CRIER_S)
#define LOOK_AGAIN (60 * CRIER_S) /* when Discord has not answered */

struct member {
    uint64_t id;
    char *name;
    int64_t since; /* monotonic */
};

struct crier_guilds {
    struct crier_poster *poster;
    GPtrArray *patterns; /* of the current generation; borrowed */
    GHashTable *known;   /* "BOT/PATTERN" -> members: id -> struct member */
    struct crier_timer timer;
};

/* One bot's guilds are asked for. */
struct look {
    struct crier_guilds *guilds;
    char *bot;
    int64_t began;
};

static void member_free(void *p)
{
    struct member *m = p;
    free(m->name);
    free(m);
}

static GHashTable *members_new(void)
{
    return g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, member_free);
}

static struct member *member_put(GHashTable *members, uint64_t id, const char *name, int64_t since)
{
    struct member *m = crier_calloc(1, sizeof *m);
    *m = (struct member){.id = id, .name = crier_strdup(name), .since = since};
    g_hash_table_replace(members, &m->id, m);
    return m;
}

static char *key_of(const struct crier_target *t)
{
    return crier_asprintf("%s/%s", t->bot->name, crier_pattern_text(t->match));
}

static GHashTable *members_of(struct crier_guilds *g, const struct crier_target *t)
{
    char *key = key_of(t);
    GHashTable *members = g_hash_table_lookup(g->known, key);
    if (members)
        free(key);
    else
        g_hash_table_insert(g->known, key, members = members_new());
    return members;
}

/* --- the store ------------------------------------------------------------------------------ */

static void read_members(GHashTable *members, const char *text)
{
    json_t *o = json_loads(text, 0, NULL), *v;
    const char *id;
    json_object_foreach(o, id, v)
    {
        uint64_t n = strtoull(id, NULL, 10);
        if (n && json_is_string(v))
            member_put(members, n, json_string_value(v), 0);
    }
    json_decref(o);
}

static void save(struct crier_guilds *g, const struct crier_target *t)
{
    struct crier_buf b = {0};
    char *key = key_of(t);
    GHashTableIter it;
    gpointer value;
    char id[24];
    crier_json_open(&b, '{');
    g_hash_table_iter_init(&it, members_of(g, t));
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const struct member *m = value;
        crier_json_key(&b, crier_id_text(m->id, id));
        crier_json_str(&b, m->name);
    }
    crier_json_close(&b, '}');
    if (crier_host_state(g->poster->host))
        crier_state_put(crier_host_state(g->poster->host), "guilds", key, b.data, NULL, NULL);
    crier_buf_fini(&b);
    free(key);
}

static void load(void *arg, const char *key, const char *text)
{
    struct crier_guilds *g = arg;
    GHashTable *members = members_new();
    read_members(members, text);
    g_hash_table_replace(g->known, crier_strdup(key), members);
}

void crier_guilds_load(struct crier_guilds *g)
{
    crier_state_each(crier_host_state(g->poster->host), "guilds", load, g);
}

/* --- guilds come and go --------------------------------------------------------------------- */

static struct crier_target *find_instance(const struct crier_target *pattern, uint64_t id,
                                          const struct crier_generation *gen)
{
    for (guint i = 0; i < gen->late_targets->len; i++) {
        struct crier_target *t = gen->late_targets->pdata[i];
        if (t->of == pattern && t->id == id)
            return t;
    }
    return NULL;
}

/* Somebody else has a message of this name in that guild: the GUILD with its snowflake, or a pattern
 * that was there before. */
static bool is_taken(struct crier_guilds *g, struct crier_message *m)
{
    struct crier_message *other = crier_poster_live(g->poster, m->key);
    char label[120], id[24];
    if (!other || other->gen != m->gen)
        return false;
    crier_message_label(m, label, sizeof label);
    crier_host_system(g->poster->host, CRIER_INFO, "guild.taken",
                      "message '%s' (%s:%d) is left out in %s: there is one of this name already, "
                      "at %s:%d",
                      label, m->file ? m->file : "?", m->line,
                      crier_target_name(g->poster, m->target, id), other->file ? other->file : "?",
                      other->line);
    return true;
}

static void add_message(struct crier_guilds *g, struct crier_message *of, struct crier_target *t)
{
    struct crier_message *m = crier_message_instance(of, t);
    if (is_taken(g, m)) {
        crier_message_unref(m);
        return;
    }
    crier_message_join(m);
    crier_poster_begin(g->poster, m);
}

static void come_in(struct crier_guilds *g, struct crier_generation *gen,
                    struct crier_target *pattern, const struct member *member)
{
    struct crier_target *t = crier_target_instance(pattern, member->id, member->name);
    crier_target_ref(t); /* a hook of what is skipped may remove it, or the pattern */
    crier_target_ref(pattern);
    crier_names_learn(g->poster->names, member->id, member->name);
    g_ptr_array_add(gen->late_targets, t);
    for (guint i = 0; i < pattern->messages->len && !t->gone; i++)
        add_message(g, pattern->messages->pdata[i], t);
    if (pattern->invite_track)
        crier_host_targets_changed(g->poster->host);
    crier_target_unref(pattern);
    crier_target_unref(t);
}

static void end_message(struct crier_guilds *g, struct crier_message *m)
{
    crier_poster_end(g->poster, m, false);
    crier_message_leave(m);
}

static void go_out(struct crier_guilds *g, struct crier_generation *gen, struct crier_target *t)
{
    while (t->messages->len)
        end_message(g, t->messages->pdata[t->messages->len - 1]);
    t->gone = true;
    if (t->invite_track)
        crier_host_targets_changed(g->poster->host);
    g_ptr_array_remove(gen->late_targets, t);
}

static void tell(struct crier_guilds *g, const struct crier_target *pattern, const char *what,
                 const char *verb, const struct member *m)
{
    guint n = pattern->messages->len;
    crier_host_system(g->poster->host, CRIER_INFO, what,
                      "guild '%s' (%" PRIu64 ") %s crier.guilds %s (%s): %u message%s %s", m->name,
                      m->id, verb, crier_pattern_text(pattern->match), pattern->where, n,
                      n == 1 ? "" : "s",
                      strcmp(what, "guild.in") == 0 ? (n == 1 ? "begins" : "begin")
                      : n == 1                      ? "ends"
                                                    : "end");
}

/* The name has become known, or another one; whether anything is to be stored. */
static bool settle(struct crier_guilds *g, struct crier_generation *gen,
                   struct crier_target *pattern, uint64_t id, const char *name)
{
    GHashTable *members = members_of(g, pattern);
    struct member *m = g_hash_table_lookup(members, &id);
    bool fits = name && crier_pattern_matches(pattern->match, name);
    int64_t now = crier_loop_now(crier_host_loop(g->poster->host));
    if (!m && !fits)
        return false;
    if (!m) {
        m = member_put(members, id, name, now);
        tell(g, pattern, "guild.in", "matches", m);
        come_in(g, gen, pattern, m);
    } else if (!fits) {
        struct crier_target *t = find_instance(pattern, id, gen);
        tell(g, pattern, "guild.out", name ? "has a new name, which does not match" : "is left:", m);
        if (t)
            go_out(g, gen, t);
        g_hash_table_remove(members, &id);
    } else if (strcmp(m->name, name) != 0) {
        struct crier_target *t = find_instance(pattern, id, gen);
        free(m->name);
        m->name = crier_strdup(name);
        crier_names_learn(g->poster->names, id, name);
        if (t) {
            free(t->seen);
            t->seen = crier_strdup(name);
        }
    } else {
        return false;
    }
    return true;
}

static bool is_of(const struct crier_target *t, const char *bot)
{
    return strcmp(t->bot->name, bot) == 0;
}

bool crier_guilds_any(const struct crier_guilds *g)
{
    return g->patterns->len > 0;
}

void crier_guilds_event(struct crier_guilds *g, const char *bot, uint64_t id, const char *name)
{
    struct crier_generation *gen = crier_host_current(g->poster->host);
    for (guint i = 0; i < g->patterns->len; i++) {
        struct crier_target *t = g->patterns->pdata[i];
        if (is_of(t, bot) && settle(g, gen, t, id, name))
            save(g, t);
    }
}

/* --- looking -------------------------------------------------------------------------------- */

static void look_at(struct crier_guilds *g, struct crier_generation *gen, struct crier_target *t,
                    const struct crier_seen_guilds *seen, int64_t began)
{
    GHashTable *members = members_of(g, t), *here = g_hash_table_new(g_int64_hash, g_int64_equal);
    bool changed = false;
    for (size_t i = 0; i < seen->count; i++) {
        g_hash_table_add(here, &seen->list[i].id);
        changed = settle(g, gen, t, seen->list[i].id, seen->list[i].name) || changed;
    }
    GList *list = g_hash_table_get_values(members);
    for (GList *l = list; l; l = l->next) {
        const struct member *m = l->data;
        /* What has come in since may not be in the answer yet. */
        if (!g_hash_table_contains(here, &m->id) && m->since <= began)
            changed = settle(g, gen, t, m->id, NULL) || changed;
    }
    g_list_free(list);
    g_hash_table_destroy(here);
    if (changed)
        save(g, t);
    if (!g_hash_table_size(members) && !t->said)
        crier_host_system(g->poster->host, CRIER_INFO, "guild.none",
                          "no guild matches crier.guilds %s (%s); bot '%s' is in %zu",
                          crier_pattern_text(t->match), t->where, t->bot->name, seen->count);
    t->said = true;
}

static void look_soon(struct crier_guilds *g, int64_t after)
{
    struct crier_loop *loop = crier_host_loop(g->poster->host);
    int64_t at = crier_loop_now(loop) + after;
    if (!crier_timer_armed(&g->timer) || g->timer.due > at)
        crier_timer_at(loop, &g->timer, at);
}

static void on_seen(void *arg, const struct crier_seen_guilds *seen, const struct crier_err *why)
{
    struct look *look = arg;
    struct crier_guilds *g = look->guilds;
    struct crier_generation *gen = crier_host_current(g->poster->host);
    bool over = crier_host_stopping(g->poster->host) || (why && why->code == CRIER_ECANCELED);
    for (guint i = 0; seen && !over && i < g->patterns->len; i++) {
        struct crier_target *t = g->patterns->pdata[i];
        if (is_of(t, look->bot))
            look_at(g, gen, t, seen, look->began);
    }
    if (!over)
        look_soon(g, seen ? LOOK_EVERY : LOOK_AGAIN);
    free(look->bot);
    free(look);
}

static void on_look(struct crier_timer *timer)
{
    struct crier_guilds *g = CRIER_CONTAINER(timer, struct crier_guilds, timer);
    struct crier_host *host = g->poster->host;
    struct crier_generation *gen = crier_host_current(host);
    for (guint i = 0; i < gen->bots->len && !crier_host_stopping(host); i++) {
        const struct crier_bot *bot = gen->bots->pdata[i];
        struct crier_view *view = crier_host_view(host, bot->name);
        bool any = false;
        for (guint j = 0; j < g->patterns->len; j++)
            any = any || is_of(g->patterns->pdata[j], bot->name);
        if (!any || !view)
            continue;
        struct look *look = crier_calloc(1, sizeof *look);
        *look = (struct look){g, crier_strdup(bot->name), crier_loop_now(crier_host_loop(host))};
        view->ops->guilds(view, LOOK_EVERY / 2, on_seen, look);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

void crier_guilds_begin(struct crier_guilds *g, struct crier_target *pattern)
{
    struct crier_generation *gen = crier_host_current(g->poster->host);
    GList *list = g_hash_table_get_values(members_of(g, pattern));
    g_ptr_array_add(g->patterns, pattern);
    crier_target_ref(pattern);
    for (GList *l = list; l && !pattern->gone; l = l->next)
        come_in(g, gen, pattern, l->data);
    crier_target_unref(pattern);
    g_list_free(list);
    look_soon(g, 0);
}

void crier_guilds_adopt(struct crier_guilds *g, struct crier_generation *gen)
{
    g_ptr_array_set_size(g->patterns, 0);
    for (guint i = 0; i < gen->targets->len; i++) {
        struct crier_target *t = gen->targets->pdata[i];
        if (t->match && t->bot)
            crier_guilds_begin(g, t);
    }
}

void crier_guilds_begin_message(struct crier_guilds *g, struct crier_message *declared)
{
    struct crier_generation *gen = declared->gen;
    for (guint i = 0; i < gen->late_targets->len; i++) {
        struct crier_target *t = gen->late_targets->pdata[i];
        if (t->of == declared->target)
            add_message(g, declared, t);
    }
}

void crier_guilds_end_messages(struct crier_guilds *g, const struct crier_message *declared)
{
    GPtrArray *all = declared->gen->late_messages;
    for (guint i = all->len; i-- > 0;) {
        struct crier_message *m = all->pdata[i];
        if (m->of == declared)
            end_message(g, m);
    }
}

void crier_guilds_end(struct crier_guilds *g, struct crier_target *pattern)
{
    struct crier_generation *gen = crier_host_current(g->poster->host);
    g_ptr_array_remove(g->patterns, pattern);
    for (guint i = gen->late_targets->len; i-- > 0;) {
        struct crier_target *t = gen->late_targets->pdata[i];
        if (t->of == pattern)
            go_out(g, gen, t);
    }
}

struct crier_guilds *crier_guilds_new(struct crier_poster *poster)
{
    struct crier_guilds *g = crier_calloc(1, sizeof *g);
    g->poster = poster;
    g->patterns = g_ptr_array_new();
    g->known = g_hash_table_new_full(g_str_hash, g_str_equal, free,
                                     (GDestroyNotify)g_hash_table_destroy);
    g->timer.fire = on_look;
    return g;
}

void crier_guilds_free(struct crier_guilds *g)
{
    g_ptr_array_free(g->patterns, TRUE);
    g_hash_table_destroy(g->known);
    free(g);
}

size_t crier_guilds_recall(struct crier_generation *gen, struct crier_state *state,
                           struct crier_target *pattern)
{
    char *key = pattern->bot ? key_of(pattern) : NULL;
    const char *text = state && key ? crier_state_get(state, "guilds", key) : NULL;
    GHashTable *members = members_new();
    if (text)
        read_members(members, text);
    GList *list = g_hash_table_get_values(members);
    for (GList *l = list; l; l = l->next) {
        const struct member *m = l->data;
        struct crier_target *t = crier_target_instance(pattern, m->id, m->name);
        g_ptr_array_add(gen->late_targets, t);
        for (guint i = 0; i < pattern->messages->len; i++) {
            struct crier_message *one = crier_message_instance(pattern->messages->pdata[i], t);
            crier_message_join(one);
        }
    }
    size_t n = g_hash_table_size(members);
    g_list_free(list);
    g_hash_table_destroy(members);
    free(key);
    return n;
}
