/* SPDX-License-Identifier: MIT */
#include "discord/gateway_cache.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discord/gateway_frame.h"

/* A thread's type numbers; their permissions are their channel's. */
enum { THREAD_FIRST = 10, THREAD_LAST = 12, OVERWRITES_MAX = 4096 };

struct overwrite {
    uint64_t id, allow, deny; /* id: a role's or a member's, which are never the same */
};

/* One block: the name stands behind the overwrites. */
struct channel {
    uint64_t id; /* first: it is the hash table's key */
    struct guild *guild;
    struct channel *next, **link; /* of the guild's */
    uint64_t parent, last; /* last: the message */
    uint16_t type, overwrite_count;
    uint32_t size : 24, author : 8; /* author: enum author, of the last message */
    int32_t position;
    struct overwrite overwrites[];
};

enum author { AUTHOR_UNKNOWN, AUTHOR_OTHER, AUTHOR_OWN };

struct role {
    uint64_t id, permissions;
};

struct guild {
    uint64_t id; /* first: it is the hash table's key */
    uint64_t owner;
    char *name;
    struct role *roles;
    uint64_t *mine; /* roles of the bot */
    struct channel *channels;
    int64_t timed_out;
    uint32_t role_count, mine_count, channel_count;
    bool away;
};

struct crier_gateway_cache {
    uint64_t me;
    GHashTable *guilds, *channels; /* sets */
    size_t bytes;
    bool watch;         /* last messages */
    GArray *overwrites; /* of the channel being read */
};

static guint id_hash(gconstpointer key)
{
    uint64_t id = *(const uint64_t *)key * 0x9e3779b97f4a7c15ULL;
    return (guint)(id >> 32);
}

static const char *name_of(const struct channel *c)
{
    return (const char *)(c->overwrites + c->overwrite_count);
}

/* --- removing ------------------------------------------------------------------------------- */

static void channel_drop(struct crier_gateway_cache *cache, struct channel *c)
{
    g_hash_table_remove(cache->channels, &c->id);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->guild->channel_count--;
    cache->bytes -= c->size;
    free(c);
}

static void guild_empty(struct crier_gateway_cache *cache, struct guild *g)
{
    while (g->channels)
        channel_drop(cache, g->channels);
    cache->bytes -= g->role_count * sizeof *g->roles + g->mine_count * sizeof *g->mine;
    free(g->roles);
    free(g->mine);
    g->roles = NULL;
    g->mine = NULL;
    g->role_count = g->mine_count = 0;
}

static void guild_drop(struct crier_gateway_cache *cache, struct guild *g)
{
    guild_empty(cache, g);
    g_hash_table_remove(cache->guilds, &g->id);
    cache->bytes -= sizeof *g + (g->name ? strlen(g->name) + 1 : 0);
    free(g->name);
    free(g);
}

struct crier_gateway_cache *crier_gateway_cache_new(void)
{
    struct crier_gateway_cache *cache = crier_calloc(1, sizeof *cache);
    cache->guilds = g_hash_table_new(id_hash, g_int64_equal);
    cache->channels = g_hash_table_new(id_hash, g_int64_equal);
    cache->overwrites = g_array_new(FALSE, FALSE, sizeof(struct overwrite));
    return cache;
}

static void drop_guilds(struct crier_gateway_cache *cache, unsigned shard, unsigned shards)
{
    GHashTableIter it;
    gpointer key;
    GPtrArray *gone = g_ptr_array_new();
    g_hash_table_iter_init(&it, cache->guilds);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        if ((((struct guild *)key)->id >> 22) % shards == shard)
            g_ptr_array_add(gone, key);
    }
    for (guint i = 0; i < gone->len; i++)
        guild_drop(cache, gone->pdata[i]);
    g_ptr_array_free(gone, TRUE);
}

void crier_gateway_cache_forget(struct crier_gateway_cache *cache, unsigned shard, unsigned shards)
{
    drop_guilds(cache, shard, shards ? shards : 1);
}

void crier_gateway_cache_free(struct crier_gateway_cache *cache)
{
    if (!cache)
        return;
    drop_guilds(cache, 0, 1);
    g_hash_table_destroy(cache->guilds);
    g_hash_table_destroy(cache->channels);
    g_array_free(cache->overwrites, TRUE);
    free(cache);
}

void crier_gateway_cache_me(struct crier_gateway_cache *cache, uint64_t me)
{
    cache->me = me;
}

/* --- reading -------------------------------------------------------------------------------- */

static bool pass(struct crier_scan *scan, enum crier_scan_event event)
{
    return (event != CRIER_SCAN_OBJECT && event != CRIER_SCAN_ARRAY) || crier_scan_skip(scan);
}

/* The id in a member "user" or the like. */
static uint64_t read_inner_id(struct crier_scan *scan)
{
    enum crier_scan_event event;
    uint64_t id = 0;
    while (crier_scan_item(scan, &event)) {
        if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "id"))
            id = crier_str_id(scan->s);
        else if (!pass(scan, event))
            break;
    }
    return id;
}

static void read_overwrites(struct crier_scan *scan, GArray *out)
{
    enum crier_scan_event event;
    while (crier_scan_item(scan, &event)) {
        struct overwrite o = {0};
        if (event != CRIER_SCAN_OBJECT) {
            if (!pass(scan, event))
                return;
            continue;
        }
        while (crier_scan_item(scan, &event)) {
            if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "id"))
                o.id = crier_str_id(scan->s);
            else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "allow"))
                o.allow = crier_str_id(scan->s);
            else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "deny"))
                o.deny = crier_str_id(scan->s);
            else if (!pass(scan, event))
                return;
        }
        /* Most say nothing: they were made and cleared again. */
        if (o.id && (o.allow || o.deny) && out->len < OVERWRITES_MAX)
            g_array_append_val(out, o);
    }
}

/* What has been read of a channel; the name is the scanner's, so it is kept in a buffer. */
struct draft {
    uint64_t id, guild, parent, last;
    int64_t type, position;
    char name[512];
    size_t name_len;
};

/* A name is at most 100 characters; more than fits is cut at a character's end. */
static void take_name(struct draft *d, struct crier_str s)
{
    d->name_len = s.len < sizeof d->name ? s.len : sizeof d->name - 1;
    while (d->name_len < s.len && d->name_len && ((unsigned char)s.data[d->name_len] & 0xc0) == 0x80)
        d->name_len--;
    memcpy(d->name, s.data, d->name_len);
}

static bool read_channel(struct crier_gateway_cache *cache, struct crier_scan *scan, struct draft *d)
{
    enum crier_scan_event event;
    d->id = d->guild = d->parent = d->last = 0;
    d->type = d->position = 0;
    d->name_len = 0;
    g_array_set_size(cache->overwrites, 0);
    while (crier_scan_item(scan, &event)) {
        if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "id"))
            d->id = crier_str_id(scan->s);
        else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "guild_id"))
            d->guild = crier_str_id(scan->s);
        else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "parent_id"))
            d->parent = crier_str_id(scan->s);
        else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "last_message_id"))
            d->last = crier_str_id(scan->s);
        else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "name"))
            take_name(d, scan->s);
        else if (event == CRIER_SCAN_INT && crier_str_is(scan->key, "position"))
            d->position = scan->i;
        else if (event == CRIER_SCAN_INT && crier_str_is(scan->key, "type"))
            d->type = scan->i;
        else if (event == CRIER_SCAN_ARRAY && crier_str_is(scan->key, "permission_overwrites"))
            read_overwrites(scan, cache->overwrites);
        else if (!pass(scan, event))
            return false;
    }
    return event == CRIER_SCAN_CLOSE && d->id;
}

static struct channel *find_channel(const struct crier_gateway_cache *cache, uint64_t id)
{
    return g_hash_table_lookup(cache->channels, &id);
}

static struct guild *find_guild(const struct crier_gateway_cache *cache, uint64_t id)
{
    return g_hash_table_lookup(cache->guilds, &id);
}

static void put_channel(struct crier_gateway_cache *cache, struct guild *g, const struct draft *d)
{
    struct channel *old = find_channel(cache, d->id);
    uint64_t last = d->last;
    enum author author = cache->watch && !last ? AUTHOR_OTHER : AUTHOR_UNKNOWN;
    if (old && old->last >= last) { /* what the event says may be older than what it was sent for */
        last = old->last;
        author = old->author;
    }
    if (old)
        channel_drop(cache, old);
    size_t list = cache->overwrites->len * sizeof(struct overwrite);
    size_t size = sizeof(struct channel) + list + d->name_len + 1;
    struct channel *c = crier_malloc(size);
    *c = (struct channel){.id = d->id,
                          .guild = g,
                          .next = g->channels,
                          .link = &g->channels,
                          .parent = d->parent,
                          .last = last,
                          .author = author,
                          .position = (int32_t)d->position,
                          .type = (uint16_t)d->type,
                          .overwrite_count = (uint16_t)cache->overwrites->len,
                          .size = (uint32_t)size & 0xffffff};
    if (list)
        memcpy(c->overwrites, cache->overwrites->data, list);
    memcpy((char *)(c->overwrites + c->overwrite_count), d->name, d->name_len);
    ((char *)(c->overwrites + c->overwrite_count))[d->name_len] = '\0';
    if (c->next)
        c->next->link = &c->next;
    g->channels = c;
    g->channel_count++;
    cache->bytes += size;
    g_hash_table_add(cache->channels, c);
}

static void read_channels(struct crier_gateway_cache *cache, struct crier_scan *scan,
                          struct guild *g)
{
    enum crier_scan_event event;
    struct draft d;
    while (crier_scan_item(scan, &event)) {
        if (event != CRIER_SCAN_OBJECT ? !pass(scan, event) : !read_channel(cache, scan, &d))
            return;
        if (event == CRIER_SCAN_OBJECT)
            put_channel(cache, g, &d);
    }
}

static bool read_role(struct crier_scan *scan, struct role *role)
{
    enum crier_scan_event event;
    *role = (struct role){0};
    while (crier_scan_item(scan, &event)) {
        if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "id"))
            role->id = crier_str_id(scan->s);
        else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "permissions"))
            role->permissions = crier_str_id(scan->s);
        else if (!pass(scan, event))
            return false;
    }
    return event == CRIER_SCAN_CLOSE && role->id;
}

static void put_role(struct crier_gateway_cache *cache, struct guild *g, const struct role *role)
{
    for (uint32_t i = 0; i < g->role_count; i++) {
        if (g->roles[i].id == role->id) {
            g->roles[i] = *role;
            return;
        }
    }
    /* By doubling: the powers of two are the sizes. */
    if ((g->role_count & (g->role_count - 1)) == 0)
        g->roles =
            crier_realloc(g->roles, (g->role_count ? g->role_count * 2 : 1) * sizeof *g->roles);
    g->roles[g->role_count++] = *role;
    cache->bytes += sizeof *role;
}

static void read_roles(struct crier_gateway_cache *cache, struct crier_scan *scan, struct guild *g)
{
    enum crier_scan_event event;
    struct role role;
    cache->bytes -= g->role_count * sizeof *g->roles;
    free(g->roles);
    g->roles = NULL;
    g->role_count = 0;
    while (crier_scan_item(scan, &event)) {
        if (event != CRIER_SCAN_OBJECT ? !pass(scan, event) : !read_role(scan, &role))
            return;
        if (event == CRIER_SCAN_OBJECT)
            put_role(cache, g, &role);
    }
}

static int64_t read_time(struct crier_str s)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(s.len < 63 ? s.len : 63), s.data);
    GDateTime *time = g_date_time_new_from_iso8601(text, NULL);
    int64_t us = time ? g_date_time_to_unix(time) * 1000000 : 0;
    if (time)
        g_date_time_unref(time);
    return us;
}

/* A member; kept when it is the bot. */
static bool read_member(struct crier_gateway_cache *cache, struct crier_scan *scan, struct guild *g,
                        uint64_t *guild_id)
{
    enum crier_scan_event event;
    uint64_t user = 0, mine[250];
    uint32_t n = 0;
    int64_t until = 0;
    while (crier_scan_item(scan, &event)) {
        if (event == CRIER_SCAN_OBJECT && crier_str_is(scan->key, "user")) {
            user = read_inner_id(scan);
        } else if (event == CRIER_SCAN_STR && crier_str_is(scan->key, "guild_id") && guild_id) {
            *guild_id = crier_str_id(scan->s);
        } else if (event == CRIER_SCAN_STR &&
                   crier_str_is(scan->key, "communication_disabled_until")) {
            until = read_time(scan->s);
        } else if (event == CRIER_SCAN_ARRAY && crier_str_is(scan->key, "roles")) {
            while (crier_scan_item(scan, &event)) {
                if (event == CRIER_SCAN_STR && n < CRIER_COUNT(mine))
                    mine[n++] = crier_str_id(scan->s);
                else if (!pass(scan, event))
                    return false;
            }
        } else if (!pass(scan, event)) {
            return false;
        }
    }
    if (event != CRIER_SCAN_CLOSE)
        return false;
    if (guild_id && !g)
        g = find_guild(cache, *guild_id);
    if (!g || !user || user != cache->me)
        return true;
    cache->bytes += n * sizeof *mine - g->mine_count * sizeof *mine;
    free(g->mine);
    g->mine = n ? crier_malloc(n * sizeof *mine) : NULL;
    if (n)
        memcpy(g->mine, mine, n * sizeof *mine);
    g->mine_count = n;
    g->timed_out = until;
    return true;
}

static void read_members(struct crier_gateway_cache *cache, struct crier_scan *scan,
                         struct guild *g)
{
    enum crier_scan_event event;
    while (crier_scan_item(scan, &event)) {
        if (event != CRIER_SCAN_OBJECT ? !pass(scan, event) : !read_member(cache, scan, g, NULL))
            return;
    }
}

/* The id, wherever it stands: it is looked for first, so that nothing depends on the order. */
static uint64_t top_id(struct crier_str data, const char *key)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    uint64_t id = 0;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while (!id && crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_STR && crier_str_is(scan.key, key))
                id = crier_str_id(scan.s);
            else if (!pass(&scan, event))
                break;
        }
    }
    crier_scan_fini(&scan);
    return id;
}

uint64_t crier_gateway_cache_id(struct crier_str data)
{
    return top_id(data, "id");
}

static bool top_true(struct crier_str data, const char *key)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    bool found = false;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while (!found && crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_TRUE && crier_str_is(scan.key, key))
                found = true;
            else if (!pass(&scan, event))
                break;
        }
    }
    crier_scan_fini(&scan);
    return found;
}

static void set_name(struct crier_gateway_cache *cache, struct guild *g, struct crier_str name)
{
    size_t len = strnlen(name.data, name.len); /* a NUL ends it */
    cache->bytes += len + 1 - (g->name ? strlen(g->name) + 1 : 0);
    free(g->name);
    g->name = crier_strndup(name.data, len);
}

/* GUILD_CREATE, or GUILD_UPDATE, which has no channels and members. */
static void read_guild(struct crier_gateway_cache *cache, struct guild *g, struct crier_str data)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while (crier_scan_item(&scan, &event)) {
            bool array = event == CRIER_SCAN_ARRAY;
            if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "name"))
                set_name(cache, g, scan.s);
            else if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "owner_id"))
                g->owner = crier_str_id(scan.s);
            else if (array && (crier_str_is(scan.key, "channels") ||
                               crier_str_is(scan.key, "threads")))
                read_channels(cache, &scan, g);
            else if (array && crier_str_is(scan.key, "roles"))
                read_roles(cache, &scan, g);
            else if (array && crier_str_is(scan.key, "members"))
                read_members(cache, &scan, g);
            else if (!pass(&scan, event))
                break;
        }
    }
    crier_scan_fini(&scan);
}

static enum crier_gateway_news guild_create(struct crier_gateway_cache *cache,
                                            struct crier_str data, uint64_t id)
{
    struct guild *g = find_guild(cache, id);
    bool back = g != NULL;
    if (top_true(data, "unavailable"))
        return CRIER_NEWS_NONE;
    if (!g) {
        g = crier_calloc(1, sizeof *g);
        g->id = id;
        cache->bytes += sizeof *g;
        g_hash_table_add(cache->guilds, g);
    }
    guild_empty(cache, g);
    g->away = false;
    read_guild(cache, g, data);
    return back ? CRIER_NEWS_GUILD_BACK : CRIER_NEWS_GUILD_NEW;
}

static enum crier_gateway_news guild_delete(struct crier_gateway_cache *cache,
                                            struct crier_str data, uint64_t id)
{
    struct guild *g = find_guild(cache, id);
    if (top_true(data, "unavailable")) {
        if (g)
            g->away = true;
        return CRIER_NEWS_GUILD_AWAY;
    }
    if (g)
        guild_drop(cache, g);
    return CRIER_NEWS_GUILD_GONE;
}

static void channel_event(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct crier_scan scan;
    struct draft d;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT && read_channel(cache, &scan, &d)) {
        struct guild *g = find_guild(cache, d.guild);
        if (g)
            put_channel(cache, g, &d);
    }
    crier_scan_fini(&scan);
}

static void role_event(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    struct role role;
    struct guild *g = find_guild(cache, top_id(data, "guild_id"));
    crier_scan_init(&scan, data.data, data.len);
    if (g && crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while (crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_OBJECT && crier_str_is(scan.key, "role")) {
                if (!read_role(&scan, &role))
                    break;
                put_role(cache, g, &role);
            } else if (!pass(&scan, event)) {
                break;
            }
        }
    }
    crier_scan_fini(&scan);
}

static void role_delete(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct guild *g = find_guild(cache, top_id(data, "guild_id"));
    uint64_t id = top_id(data, "role_id");
    for (uint32_t i = 0; g && i < g->role_count; i++) {
        if (g->roles[i].id == id) {
            struct role last = g->roles[g->role_count - 1];
            g->roles[i] = last;
            /* Of no member and in no overwrite: its bits count for nobody. */
            g->roles[g->role_count - 1] = (struct role){0};
            return;
        }
    }
}

static void member_event(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct crier_scan scan;
    uint64_t guild = 0;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT)
        read_member(cache, &scan, NULL, &guild);
    crier_scan_fini(&scan);
}

static void thread_list(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    struct guild *g = find_guild(cache, top_id(data, "guild_id"));
    crier_scan_init(&scan, data.data, data.len);
    if (g && crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while (crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_ARRAY && crier_str_is(scan.key, "threads"))
                read_channels(cache, &scan, g);
            else if (!pass(&scan, event))
                break;
        }
    }
    crier_scan_fini(&scan);
}

/* --- last messages -------------------------------------------------------------------------- */

static void set_last(struct channel *c, uint64_t message, enum author author)
{
    if (!c || message < c->last)
        return;
    c->last = message;
    c->author = author;
}

static void message_created(struct crier_gateway_cache *cache, struct crier_str data)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    uint64_t id = 0, channel = 0, author = 0;
    crier_scan_init(&scan, data.data, data.len);
    if (crier_scan_next(&scan) == CRIER_SCAN_OBJECT) {
        while ((!id || !channel || !author) && crier_scan_item(&scan, &event)) {
            if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "id"))
                id = crier_str_id(scan.s);
            else if (event == CRIER_SCAN_STR && crier_str_is(scan.key, "channel_id"))
                channel = crier_str_id(scan.s);
            else if (event == CRIER_SCAN_OBJECT && crier_str_is(scan.key, "author"))
                author = read_inner_id(&scan);
            else if (!pass(&scan, event))
                break;
        }
    }
    crier_scan_fini(&scan);
    if (id && channel && author)
        set_last(find_channel(cache, channel), id,
                 author == cache->me ? AUTHOR_OWN : AUTHOR_OTHER);
}

/* One or several: which one is the last now only REST knows. */
static void message_deleted(struct crier_gateway_cache *cache, struct crier_str data, bool bulk)
{
    struct channel *c = find_channel(cache, top_id(data, "channel_id"));
    if (c && (bulk || c->last == top_id(data, "id")))
        c->author = AUTHOR_UNKNOWN;
}

void crier_gateway_cache_watch(struct crier_gateway_cache *cache, bool on)
{
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, cache->channels);
    while (cache->watch && !on && g_hash_table_iter_next(&it, &key, NULL))
        ((struct channel *)key)->author = AUTHOR_UNKNOWN;
    cache->watch = on;
}

void crier_gateway_cache_sent(struct crier_gateway_cache *cache, uint64_t channel, uint64_t message)
{
    if (cache->watch)
        set_last(find_channel(cache, channel), message, AUTHOR_OWN);
}

int crier_gateway_cache_last_own(const struct crier_gateway_cache *cache, uint64_t channel)
{
    const struct channel *c = cache->watch ? find_channel(cache, channel) : NULL;
    return !c || c->author == AUTHOR_UNKNOWN ? -1 : c->author == AUTHOR_OWN;
}

enum crier_gateway_news crier_gateway_cache_apply(struct crier_gateway_cache *cache,
                                                  const char *event, struct crier_str data,
                                                  uint64_t *guild)
{
    enum crier_gateway_news news = CRIER_NEWS_NONE;
    uint64_t id = 0;
    bool of_guild = strncmp(event, "GUILD_", 6) == 0;
    const char *what = of_guild ? event + 6 : "";
    if (strcmp(what, "CREATE") == 0) {
        id = top_id(data, "id");
        news = id ? guild_create(cache, data, id) : CRIER_NEWS_NONE;
    } else if (strcmp(what, "DELETE") == 0) {
        id = top_id(data, "id");
        news = id ? guild_delete(cache, data, id) : CRIER_NEWS_NONE;
    } else if (strcmp(what, "UPDATE") == 0) {
        struct guild *g = find_guild(cache, id = top_id(data, "id"));
        if (g)
            read_guild(cache, g, data);
    } else if (strcmp(what, "ROLE_CREATE") == 0 || strcmp(what, "ROLE_UPDATE") == 0) {
        role_event(cache, data);
    } else if (strcmp(what, "ROLE_DELETE") == 0) {
        role_delete(cache, data);
    } else if (strcmp(what, "MEMBER_UPDATE") == 0) {
        member_event(cache, data);
    } else if (strcmp(event, "CHANNEL_CREATE") == 0 || strcmp(event, "CHANNEL_UPDATE") == 0 ||
               strcmp(event, "THREAD_CREATE") == 0 || strcmp(event, "THREAD_UPDATE") == 0) {
        channel_event(cache, data);
    } else if (strcmp(event, "CHANNEL_DELETE") == 0 || strcmp(event, "THREAD_DELETE") == 0) {
        struct channel *c = find_channel(cache, top_id(data, "id"));
        if (c)
            channel_drop(cache, c);
    } else if (strcmp(event, "THREAD_LIST_SYNC") == 0) {
        thread_list(cache, data);
    } else if (cache->watch && strcmp(event, "MESSAGE_CREATE") == 0) {
        message_created(cache, data);
    } else if (cache->watch && strncmp(event, "MESSAGE_DELETE", 14) == 0) {
        message_deleted(cache, data, event[14] != '\0');
    }
    if (guild)
        *guild = id;
    return news;
}

/* --- asking --------------------------------------------------------------------------------- */

static struct crier_cached_guild show_guild(const struct guild *g)
{
    return (struct crier_cached_guild){.id = g->id,
                                       .name = g->name ? g->name : "",
                                       .owner = g->owner,
                                       .away = g->away,
                                       .channels = g->channel_count,
                                       .timed_out = g->timed_out};
}

static struct crier_cached_channel show_channel(const struct channel *c)
{
    return (struct crier_cached_channel){.id = c->id,
                                         .guild = c->guild->id,
                                         .parent = c->parent,
                                         .name = name_of(c),
                                         .type = c->type,
                                         .position = c->position,
                                         .last_message = c->last};
}

bool crier_gateway_cache_guild(const struct crier_gateway_cache *cache, uint64_t id,
                               struct crier_cached_guild *out)
{
    const struct guild *g = find_guild(cache, id);
    if (g)
        *out = show_guild(g);
    return g != NULL;
}

bool crier_gateway_cache_channel(const struct crier_gateway_cache *cache, uint64_t id,
                                 struct crier_cached_channel *out)
{
    const struct channel *c = find_channel(cache, id);
    if (c)
        *out = show_channel(c);
    return c != NULL;
}

static bool is_mine(const struct guild *g, uint64_t role)
{
    for (uint32_t i = 0; i < g->mine_count; i++) {
        if (g->mine[i] == role)
            return true;
    }
    return false;
}

/* Discord's order: @everyone (its role has the guild's id), the member's roles, the member. */
static uint64_t overwritten(const struct crier_gateway_cache *cache, const struct channel *c,
                            uint64_t bits)
{
    uint64_t allow = 0, deny = 0;
    const struct overwrite *own = NULL;
    for (unsigned i = 0; i < c->overwrite_count; i++) {
        const struct overwrite *o = &c->overwrites[i];
        if (o->id == c->guild->id) {
            bits = (bits & ~o->deny) | o->allow;
        } else if (o->id == cache->me) {
            own = o;
        } else if (is_mine(c->guild, o->id)) {
            allow |= o->allow;
            deny |= o->deny;
        }
    }
    bits = (bits & ~deny) | allow;
    return own ? (bits & ~own->deny) | own->allow : bits;
}

bool crier_gateway_cache_permissions(const struct crier_gateway_cache *cache, uint64_t id,
                                     int64_t now_us, uint64_t *out)
{
    const struct channel *c = find_channel(cache, id);
    if (c && c->type >= THREAD_FIRST && c->type <= THREAD_LAST)
        c = find_channel(cache, c->parent);
    if (!c)
        return false;
    const struct guild *g = c->guild;
    uint64_t bits = 0;
    for (uint32_t i = 0; i < g->role_count; i++) {
        if (g->roles[i].id == g->id || is_mine(g, g->roles[i].id))
            bits |= g->roles[i].permissions;
    }
    if (g->owner == cache->me || (bits & CRIER_PERM_ADMINISTRATOR)) {
        *out = CRIER_PERM_ALL;
        return true;
    }
    bits = overwritten(cache, c, bits);
    if (g->timed_out > now_us)
        bits &= CRIER_PERM_VIEW_CHANNEL | CRIER_PERM_READ_MESSAGE_HISTORY;
    if (!(bits & CRIER_PERM_VIEW_CHANNEL))
        bits = 0;
    *out = bits;
    return true;
}

void crier_gateway_cache_guilds(const struct crier_gateway_cache *cache,
                                bool (*fn)(void *arg, const struct crier_cached_guild *guild),
                                void *arg)
{
    GHashTableIter it;
    gpointer key;
    g_hash_table_iter_init(&it, cache->guilds);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        struct crier_cached_guild shown = show_guild(key);
        if (!fn(arg, &shown))
            return;
    }
}

static bool each_channel(const struct guild *g,
                         bool (*fn)(void *arg, const struct crier_cached_channel *channel),
                         void *arg)
{
    for (const struct channel *c = g->channels; c; c = c->next) {
        struct crier_cached_channel shown = show_channel(c);
        if (!fn(arg, &shown))
            return false;
    }
    return true;
}

void crier_gateway_cache_channels(const struct crier_gateway_cache *cache, uint64_t guild,
                                  bool (*fn)(void *arg, const struct crier_cached_channel *channel),
                                  void *arg)
{
    GHashTableIter it;
    gpointer key;
    if (guild) {
        const struct guild *g = find_guild(cache, guild);
        if (g)
            each_channel(g, fn, arg);
        return;
    }
    g_hash_table_iter_init(&it, cache->guilds);
    while (g_hash_table_iter_next(&it, &key, NULL) && each_channel(key, fn, arg))
        ;
}

void crier_gateway_cache_stats(const struct crier_gateway_cache *cache,
                               struct crier_gateway_cache_stats *out)
{
    out->guilds = g_hash_table_size(cache->guilds);
    out->channels = g_hash_table_size(cache->channels);
    /* A slot of the tables is twelve bytes, at most half of them are free. */
    out->bytes = cache->bytes + (out->guilds + out->channels) * 24;
}
