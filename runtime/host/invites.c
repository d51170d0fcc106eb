/* SPDX-License-Identifier: MIT
 *
 * Which invite a new member has used. Discord does not tell: the counts of a guild's invites are
 * compared with what they were before. Where several people have joined by several invites between
 * two comparisons, nobody can tell who used which, and the record says so (`candidates`).
 */
#include "host/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { ASK_FOR_S = 30, MAX_PENDING = 1000 };

struct invite {
    char *code, *inviter;
    uint64_t inviter_id, channel;
    unsigned uses, max_uses;
};

/* Somebody who has joined and of whom there is no record yet. */
struct joined {
    uint64_t user;
    char *name;
    bool bot;
};

struct watched {
    struct invites *invites;
    uint64_t guild;
    GHashTable *codes; /* code -> struct invite */
    GPtrArray *pending; /* struct joined */
    GHashTable *stored; /* code -> uses, of the last run; NULL: none, or compared already */
    struct fetch *fetch; /* under way; NULL: none */
    unsigned asked_for;  /* of pending: those that had joined when it was asked */
    bool known;          /* codes are what Discord said */
    bool denied;         /* said already */
};

/* A request outlives what asked for it. */
struct fetch {
    struct watched *watched; /* NULL: gone */
    struct crier_request_id id;
};

struct invites {
    struct host_bot *bot;
    GPtrArray *guilds; /* struct watched */
};

static void invite_free(void *p)
{
    struct invite *invite = p;
    free(invite->code);
    free(invite->inviter);
    free(invite);
}

static void joined_free(void *p)
{
    struct joined *j = p;
    free(j->name);
    free(j);
}

static void watched_free(void *p)
{
    struct watched *w = p;
    if (w->fetch)
        w->fetch->watched = NULL;
    g_hash_table_destroy(w->codes);
    g_ptr_array_free(w->pending, TRUE);
    if (w->stored)
        g_hash_table_destroy(w->stored);
    free(w);
}

struct invites *crier_invites_new(struct host_bot *bot)
{
    struct invites *invites = crier_calloc(1, sizeof *invites);
    invites->bot = bot;
    invites->guilds = g_ptr_array_new_with_free_func(watched_free);
    return invites;
}

void crier_invites_free(struct invites *invites)
{
    g_ptr_array_free(invites->guilds, TRUE);
    free(invites);
}

static struct watched *find(const struct invites *invites, uint64_t guild)
{
    for (guint i = 0; i < invites->guilds->len; i++) {
        struct watched *w = invites->guilds->pdata[i];
        if (w->guild == guild)
            return w;
    }
    return NULL;
}

/* --- what is kept over restarts -------------------------------------------------------------- */

static const char *key_of(const struct watched *w, char out[80])
{
    snprintf(out, 80, "%.40s/%llu", w->invites->bot->name, (unsigned long long)w->guild);
    return out;
}

static void load(struct watched *w)
{
    char key[80];
    const char *name;
    json_t *value;
    const char *text = crier_state_get(w->invites->bot->host->state, "invites", key_of(w, key));
    json_t *o = text ? json_loads(text, 0, NULL) : NULL;
    if (!o)
        return;
    w->stored = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
    json_object_foreach (o, name, value)
        g_hash_table_insert(w->stored, crier_strdup(name),
                            GUINT_TO_POINTER((guint)json_integer_value(value)));
    json_decref(o);
}

static void save(const struct watched *w)
{
    struct crier_buf b = {0};
    char key[80];
    GHashTableIter it;
    gpointer p;
    struct crier_host *host = w->invites->bot->host;
    crier_json_open(&b, '{');
    g_hash_table_iter_init(&it, w->codes);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        const struct invite *invite = p;
        crier_json_key(&b, invite->code);
        crier_json_uint(&b, invite->uses);
    }
    crier_json_close(&b, '}');
    if (host->state)
        crier_state_put(host->state, "invites", key_of(w, key), b.data, NULL, NULL);
    crier_buf_fini(&b);
}

/* --- records --------------------------------------------------------------------------------- */

static void guild_field(struct crier_builder *b, const struct watched *w, char *name, size_t cap)
{
    struct crier_cached_guild g;
    const struct crier_gateway_cache *cache =
        crier_host_cache(w->invites->bot->host, w->invites->bot->name);
    snprintf(name, cap, "%llu", (unsigned long long)w->guild);
    if (cache && crier_gateway_cache_guild(cache, w->guild, &g))
        snprintf(name, cap, "%s", g.name);
    CRIER_B_OPEN(b, "guild", CRIER_OBJECT);
    CRIER_B_STR(b, "name", name);
    CRIER_B_SNOWFLAKE(b, "id", w->guild);
    crier_build_close(b);
}

static void invite_field(struct crier_builder *b, const struct invite *invite)
{
    CRIER_B_OPEN(b, "invite", CRIER_OBJECT);
    CRIER_B_STR(b, "code", invite->code);
    CRIER_B_INT(b, "uses", invite->uses);
    if (invite->channel)
        CRIER_B_SNOWFLAKE(b, "channel", invite->channel);
    if (invite->inviter) {
        CRIER_B_OPEN(b, "inviter", CRIER_OBJECT);
        CRIER_B_STR(b, "name", invite->inviter);
        CRIER_B_SNOWFLAKE(b, "id", invite->inviter_id);
        crier_build_close(b);
    }
    crier_build_close(b);
}

static void tell_hook(const struct watched *w, const struct joined *j, const char *code)
{
    char guild[24], user[24];
    snprintf(guild, sizeof guild, "%llu", (unsigned long long)w->guild);
    snprintf(user, sizeof user, "%llu", (unsigned long long)j->user);
    const char *texts[] = {"bot",  w->invites->bot->name, "guild", guild, "user", user,
                           "name", j->name, code ? "invite" : NULL, code, NULL};
    crier_event_tell(w->invites->bot->host, "invite.used", texts);
}

/* One member: by this invite; or by one of several; or by none that is known (a vanity address). */
static void record(const struct watched *w, const struct joined *j, const struct invite *invite,
                   const GPtrArray *several)
{
    struct crier_host *host = w->invites->bot->host;
    struct crier_builder *b = &host->builder;
    char guild[128], text[400];
    crier_build_begin(b, CRIER_KIND_INVITE, CRIER_INFO, crier_clock_wall(host->clock));
    crier_build_logger(b, "invite", 6);
    crier_build_ok(b, invite != NULL);
    guild_field(b, w, guild, sizeof guild);
    CRIER_B_OPEN(b, "member", CRIER_OBJECT);
    CRIER_B_STR(b, "name", j->name);
    CRIER_B_SNOWFLAKE(b, "id", j->user);
    crier_build_close(b);
    if (invite) {
        invite_field(b, invite);
        snprintf(text, sizeof text, "%s joined %s by invite %s", j->name, guild, invite->code);
    } else if (several && several->len) {
        CRIER_B_OPEN(b, "candidates", CRIER_ARRAY);
        for (guint i = 0; i < several->len; i++) {
            const struct invite *one = several->pdata[i];
            crier_build_str(b, NULL, 0, one->code, strlen(one->code));
        }
        crier_build_close(b);
        snprintf(text, sizeof text, "%s joined %s by one of %u invites", j->name, guild,
                 several->len);
    } else {
        snprintf(text, sizeof text, "%s joined %s by no invite that is known", j->name, guild);
    }
    if (j->bot)
        CRIER_B_BOOL(b, "is_bot", true);
    crier_build_text(b, text, strlen(text));
    crier_host_emit(host, crier_build_end(b));
    tell_hook(w, j, invite ? invite->code : NULL);
}

/* Members who came while nobody was looking. */
static void record_missed(const struct watched *w, const struct invite *invite, unsigned count)
{
    struct crier_host *host = w->invites->bot->host;
    struct crier_builder *b = &host->builder;
    char guild[128], text[300];
    crier_build_begin(b, CRIER_KIND_INVITE, CRIER_INFO, crier_clock_wall(host->clock));
    crier_build_logger(b, "invite", 6);
    guild_field(b, w, guild, sizeof guild);
    invite_field(b, invite);
    CRIER_B_INT(b, "members", count);
    snprintf(text, sizeof text, "%u member%s joined %s by invite %s while the bot was away", count,
             count == 1 ? "" : "s", guild, invite->code);
    crier_build_text(b, text, strlen(text));
    crier_host_emit(host, crier_build_end(b));
}

/* --- comparing ------------------------------------------------------------------------------- */

static struct invite *read_invite(const json_t *o)
{
    const char *code = json_string_value(json_object_get(o, "code"));
    const json_t *inviter = json_object_get(o, "inviter");
    const char *channel = json_string_value(json_object_get(o, "channel_id"));
    if (!channel)
        channel = json_string_value(json_object_get(json_object_get(o, "channel"), "id"));
    if (!code)
        return NULL;
    struct invite *invite = crier_calloc(1, sizeof *invite);
    invite->code = crier_strdup(code);
    invite->uses = (unsigned)json_integer_value(json_object_get(o, "uses"));
    invite->max_uses = (unsigned)json_integer_value(json_object_get(o, "max_uses"));
    invite->channel = channel ? strtoull(channel, NULL, 10) : 0;
    invite->inviter = crier_strdup(json_string_value(json_object_get(inviter, "username")));
    const char *id = json_string_value(json_object_get(inviter, "id"));
    invite->inviter_id = id ? strtoull(id, NULL, 10) : 0;
    return invite;
}

static GHashTable *read_list(const json_t *body)
{
    size_t i;
    const json_t *o;
    GHashTable *codes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, invite_free);
    json_array_foreach (body, i, o) {
        struct invite *invite = read_invite(o);
        if (invite)
            g_hash_table_replace(codes, invite->code, invite);
    }
    return codes;
}

/* Those whose count went up, and those with a limit that were one use from it and are gone. */
static void find_used(const struct watched *w, GHashTable *now, GPtrArray *used, unsigned *total)
{
    GHashTableIter it;
    gpointer p;
    g_hash_table_iter_init(&it, now);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        struct invite *invite = p;
        const struct invite *old = g_hash_table_lookup(w->codes, invite->code);
        unsigned before = old ? old->uses : 0;
        if (invite->uses <= before)
            continue;
        g_ptr_array_add(used, invite);
        *total += invite->uses - before;
    }
    g_hash_table_iter_init(&it, w->codes);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        struct invite *old = p;
        if (g_hash_table_contains(now, old->code) || !old->max_uses ||
            old->uses + 1 != old->max_uses)
            continue;
        old->uses++;
        g_ptr_array_add(used, old);
        (*total)++;
    }
}

static void compare(struct watched *w, GHashTable *now)
{
    GPtrArray *used = g_ptr_array_new();
    unsigned total = 0, n = w->asked_for;
    if (n > w->pending->len)
        n = w->pending->len;
    find_used(w, now, used, &total);
    for (guint i = 0; i < n; i++)
        record(w, w->pending->pdata[i], used->len == 1 ? used->pdata[0] : NULL, used);
    g_ptr_array_free(used, TRUE);
    if (n)
        g_ptr_array_remove_range(w->pending, 0, n);
}

static void compare_stored(struct watched *w, GHashTable *now)
{
    GHashTableIter it;
    gpointer p;
    g_hash_table_iter_init(&it, now);
    while (g_hash_table_iter_next(&it, NULL, &p)) {
        const struct invite *invite = p;
        gpointer was;
        if (g_hash_table_lookup_extended(w->stored, invite->code, NULL, &was) &&
            invite->uses > GPOINTER_TO_UINT(was))
            record_missed(w, invite, invite->uses - GPOINTER_TO_UINT(was));
    }
    g_hash_table_destroy(w->stored);
    w->stored = NULL;
}

static void ask(struct watched *w);

static void on_invites(void *arg, const struct crier_discord_result *r)
{
    struct fetch *fetch = arg;
    struct watched *w = fetch->watched;
    free(fetch);
    if (!w)
        return;
    w->fetch = NULL;
    if (r->outcome != CRIER_SENT || !json_is_array(r->body)) {
        struct crier_host *host = w->invites->bot->host;
        if (r->outcome != CRIER_CANCELED && !w->denied)
            crier_host_system(host, CRIER_LEVEL_WARNING, "invite",
                              "bot '%s': the invites of guild %llu cannot be read: %s%s",
                              w->invites->bot->name, (unsigned long long)w->guild, r->err.text,
                              r->status == 403 ? "; it needs the permission Manage Server" : "");
        w->denied = true;
        for (guint i = 0; r->outcome != CRIER_CANCELED && i < w->pending->len; i++)
            record(w, w->pending->pdata[i], NULL, NULL);
        g_ptr_array_set_size(w->pending, 0);
        return;
    }
    GHashTable *now = read_list(r->body);
    w->denied = false;
    if (w->known)
        compare(w, now);
    else if (w->stored)
        compare_stored(w, now);
    w->known = true;
    g_hash_table_destroy(w->codes);
    w->codes = now;
    save(w);
    if (w->pending->len)
        ask(w);
}

static void ask(struct watched *w)
{
    char path[64];
    struct host_bot *bot = w->invites->bot;
    if (w->fetch)
        return;
    struct fetch *fetch = w->fetch = crier_calloc(1, sizeof *fetch);
    fetch->watched = w;
    w->asked_for = w->pending->len;
    snprintf(path, sizeof path, "/guilds/%llu/invites", (unsigned long long)w->guild);
    fetch->id =
        crier_discord_get(bot->client, path,
                          crier_loop_now(bot->host->loop) + ASK_FOR_S * CRIER_S, on_invites, fetch);
}

/* --- what happens ---------------------------------------------------------------------------- */

void crier_invites_adopt(struct invites *invites, const struct crier_generation *gen)
{
    GPtrArray *old = invites->guilds;
    invites->guilds = g_ptr_array_new_with_free_func(watched_free);
    for (guint i = 0; i < crier_target_count(gen); i++) {
        const struct crier_target *t = crier_target_at(gen, i);
        struct watched *w = NULL;
        if (!t->invite_track || !t->id || t->gone || !t->bot || strcmp(t->bot->name, invites->bot->name) != 0 ||
            find(invites, t->id))
            continue;
        for (guint j = 0; j < old->len && !w; j++) {
            if (((struct watched *)old->pdata[j])->guild == t->id)
                w = g_ptr_array_steal_index(old, j);
        }
        if (!w) {
            w = crier_calloc(1, sizeof *w);
            w->invites = invites;
            w->guild = t->id;
            w->codes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, invite_free);
            w->pending = g_ptr_array_new_with_free_func(joined_free);
            load(w);
            ask(w);
        }
        g_ptr_array_add(invites->guilds, w);
    }
    g_ptr_array_free(old, TRUE);
}

void crier_invites_ready(struct invites *invites)
{
    for (guint i = 0; i < invites->guilds->len; i++) {
        struct watched *w = invites->guilds->pdata[i];
        if (!w->known)
            ask(w);
    }
}

static void member_add(struct watched *w, const json_t *o)
{
    const json_t *user = json_object_get(o, "user");
    const char *id = json_string_value(json_object_get(user, "id"));
    const char *name = json_string_value(json_object_get(user, "username"));
    if (!id || w->pending->len >= MAX_PENDING)
        return;
    struct joined *j = crier_calloc(1, sizeof *j);
    j->user = strtoull(id, NULL, 10);
    j->name = crier_strdup(name ? name : id);
    j->bot = json_is_true(json_object_get(user, "bot"));
    g_ptr_array_add(w->pending, j);
    ask(w);
}

void crier_invites_event(struct invites *invites, const char *name, struct crier_str data)
{
    bool add = strcmp(name, "GUILD_MEMBER_ADD") == 0, made = strcmp(name, "INVITE_CREATE") == 0;
    if (!invites->guilds->len || (!add && !made))
        return;
    json_t *o = json_loadb(data.data, data.len, 0, NULL);
    const char *id = json_string_value(json_object_get(o, "guild_id"));
    struct watched *w = id ? find(invites, strtoull(id, NULL, 10)) : NULL;
    if (w && add)
        member_add(w, o);
    struct invite *invite = w && made ? read_invite(o) : NULL;
    if (invite)
        g_hash_table_replace(w->codes, invite->code, invite);
    json_decref(o);
}
