/* SPDX-License-Identifier: MIT */
#include "script/names.h"

#include <stdlib.h>
#include <string.h>

enum { FRESH_S = 3600, FAILED_S = 60, FETCH_S = 10 };

/* What is known of one thing that is fetched by one request: a guild, a guild's channels, a
 * channel, a user. */
struct entry {
    char *path;    /* "/guilds/1/channels": the key */
    int64_t stale; /* monotonic time from which it is fetched again */
    bool fetching;
    GPtrArray *waiters; /* struct want */
    struct crier_names *names;
};

struct crier_names {
    struct crier_loop *loop;
    GHashTable *names;   /* id (uint64 boxed) -> char * */
    GHashTable *entries; /* path -> struct entry */
    struct crier_buf path;
    bool stopped;
    const char *(*known)(void *arg, const char *bot, uint64_t id);
    void *known_arg;
};

/* One crier_names_want: done when its count of fetches is zero. */
struct want {
    struct crier_names *names;
    struct crier_discord *client;
    uint64_t *channels;
    size_t count;
    unsigned left;
    bool channels_asked;
    void (*done)(void *arg);
    void *arg;
};

static void free_entry(void *p)
{
    struct entry *e = p;
    free(e->path);
    g_ptr_array_free(e->waiters, TRUE);
    free(e);
}

struct crier_names *crier_names_new(struct crier_loop *loop)
{
    struct crier_names *names = crier_calloc(1, sizeof *names);
    names->loop = loop;
    names->names = g_hash_table_new_full(g_int64_hash, g_int64_equal, free, free);
    names->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_entry);
    return names;
}

void crier_names_free(struct crier_names *names)
{
    if (!names)
        return;
    g_hash_table_destroy(names->names);
    g_hash_table_destroy(names->entries);
    crier_buf_fini(&names->path);
    free(names);
}

void crier_names_stop(struct crier_names *names)
{
    names->stopped = true;
}

const char *crier_names_get(const struct crier_names *names, uint64_t id)
{
    return g_hash_table_lookup(names->names, &id);
}

void crier_names_learn(struct crier_names *names, uint64_t id, const char *name)
{
    const char *old = crier_names_get(names, id);
    if (old && strcmp(old, name) == 0)
        return;
    uint64_t *key = crier_malloc(sizeof *key);
    *key = id;
    g_hash_table_replace(names->names, key, crier_strdup(name));
}

static void learn(struct crier_names *names, const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    const char *name = json_string_value(json_object_get(object, "name"));
    if (!name)
        name = json_string_value(json_object_get(object, "username"));
    if (id && name)
        crier_names_learn(names, strtoull(id, NULL, 10), name);
}

void crier_names_source(struct crier_names *names,
                        const char *(*known)(void *arg, const char *bot, uint64_t id), void *arg)
{
    names->known = known;
    names->known_arg = arg;
}

/* A guild and its channels as the source has them: those of today, without a request. */
static bool ask_source(struct crier_names *names, const struct crier_target *target,
                       const uint64_t *channels, size_t count)
{
    const char *name = names->known && target->bot
                           ? names->known(names->known_arg, target->bot->name, target->id)
                           : NULL;
    if (!name)
        return false;
    crier_names_learn(names, target->id, name);
    for (size_t i = 0; i < count; i++) {
        name = names->known(names->known_arg, target->bot->name, channels[i]);
        if (name)
            crier_names_learn(names, channels[i], name);
    }
    return true;
}

static void step(struct want *w);

static void fetched(void *arg, const struct crier_discord_result *result)
{
    struct entry *e = arg;
    struct crier_names *names = e->names;
    e->fetching = false;
    bool ok = result->outcome == CRIER_SENT && result->body;
    e->stale = crier_loop_now(names->loop) + (ok ? FRESH_S : FAILED_S) * CRIER_S;
    if (ok && json_is_array(result->body)) {
        size_t i;
        json_t *item;
        json_array_foreach(result->body, i, item) learn(names, item);
    } else if (ok) {
        learn(names, result->body);
    }
    GPtrArray *waiters = e->waiters;
    e->waiters = g_ptr_array_new();
    for (guint i = 0; i < waiters->len; i++) {
        struct want *w = waiters->pdata[i];
        w->left--;
        step(w);
    }
    g_ptr_array_free(waiters, TRUE);
}

static void fetch(struct want *w, const char *collection, uint64_t id, const char *rest)
{
    struct crier_names *names = w->names;
    if (names->stopped)
        return;
    struct crier_buf *path = &names->path;
    crier_buf_clear(path);
    crier_buf_puts(path, collection);
    crier_buf_uint(path, id);
    crier_buf_puts(path, rest);
    struct entry *e = g_hash_table_lookup(names->entries, path->data);
    if (!e) {
        e = crier_calloc(1, sizeof *e);
        e->path = crier_strdup(path->data);
        e->names = names;
        e->waiters = g_ptr_array_new();
        g_hash_table_insert(names->entries, e->path, e);
    }
    int64_t now = crier_loop_now(names->loop);
    if (!e->fetching && now < e->stale)
        return;
    w->left++;
    g_ptr_array_add(e->waiters, w);
    if (e->fetching)
        return;
    e->fetching = true;
    crier_discord_brief(w->client, crier_discord_get(w->client, e->path, now + FETCH_S * CRIER_S,
                                                     fetched, e));
}

static void step(struct want *w)
{
    if (w->left)
        return;
    if (!w->channels_asked) {
        /* Threads and the like are not in the guild's list. */
        w->channels_asked = true;
        w->left++;
        for (size_t i = 0; i < w->count; i++) {
            if (!crier_names_get(w->names, w->channels[i]))
                fetch(w, "/channels/", w->channels[i], "");
        }
        w->left--;
        if (w->left)
            return;
    }
    w->done(w->arg);
    free(w->channels);
    free(w);
}

void crier_names_want(struct crier_names *names, struct crier_discord *client,
                      const struct crier_target *target, const uint64_t *channels, size_t count,
                      void (*done)(void *arg), void *arg)
{
    struct want *w = crier_calloc(1, sizeof *w);
    *w = (struct want){.names = names, .client = client, .done = done, .arg = arg, .count = count};
    w->channels = crier_calloc(count ? count : 1, sizeof *w->channels);
    if (count)
        memcpy(w->channels, channels, count * sizeof *channels);
    w->left++; /* keeps it alive while fetches are being started */
    if (target->type == CRIER_GUILD && ask_source(names, target, channels, count)) {
        ; /* what is left, step asks for one by one */
    } else if (target->type == CRIER_GUILD) {
        fetch(w, "/guilds/", target->id, "");
        fetch(w, "/guilds/", target->id, "/channels");
    } else {
        fetch(w, "/users/", target->id, "");
        w->channels_asked = true;
    }
    w->left--;
    step(w);
}
