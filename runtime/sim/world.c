/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdio.h>

#include "base/duration.h"

static void user_free(void *p)
{
    struct sim_user *user = p;
    free(user->name);
    free(user->json);
    free(user);
}

static void bot_free(void *p)
{
    struct sim_bot *bot = p;
    free(bot->token);
    free(bot);
}

static void invite_free(void *p)
{
    struct sim_invite *invite = p;
    free(invite->code);
    free(invite);
}

static void guild_free(void *p)
{
    struct sim_guild *guild = p;
    g_ptr_array_free(guild->channels, TRUE);
    g_ptr_array_free(guild->invites, TRUE);
    sim_roles_fini(guild);
    free(guild->name);
    free(guild);
}

static void channel_free(void *p)
{
    struct sim_channel *channel = p;
    for (size_t i = 0; i < channel->count; i++)
        sim_message_free(channel->window[channel->head + i]);
    if (channel->overwrites)
        g_array_free(channel->overwrites, TRUE);
    free(channel->window);
    free(channel->name);
    free(channel);
}

void sim_world_init(struct crier_sim *sim)
{
    sim->bots = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, bot_free);
    sim->users = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, user_free);
    sim->guilds = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, guild_free);
    sim->channels = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, channel_free);
    sim->nonces = g_hash_table_new(g_int64_hash, g_int64_equal);
    sim->guild_order = g_ptr_array_new();
    sim->channel_order = g_ptr_array_new();
}

void sim_world_fini(struct crier_sim *sim)
{
    g_ptr_array_free(sim->channel_order, TRUE);
    g_ptr_array_free(sim->guild_order, TRUE);
    g_hash_table_destroy(sim->channels);
    g_hash_table_destroy(sim->guilds);
    g_hash_table_destroy(sim->bots);
    g_hash_table_destroy(sim->users);
}

struct sim_user *sim_user(struct crier_sim *sim, uint64_t id)
{
    return g_hash_table_lookup(sim->users, &id);
}

struct sim_channel *sim_channel(struct crier_sim *sim, uint64_t id)
{
    struct sim_channel *channel = g_hash_table_lookup(sim->channels, &id);
    return channel && !channel->gone ? channel : NULL;
}

struct sim_guild *sim_guild(struct crier_sim *sim, uint64_t id)
{
    return g_hash_table_lookup(sim->guilds, &id);
}

static void set_name(char **at, const char *name, const char *kind, uint64_t id)
{
    if (!name && *at)
        return;
    free(*at);
    *at = name ? crier_strdup(name) : crier_asprintf("%s %llu", kind, (unsigned long long)id);
}

static struct sim_user *add_user(struct crier_sim *sim, uint64_t id, const char *name, bool bot)
{
    struct sim_user *user = sim_user(sim, id);
    if (!user) {
        user = crier_calloc(1, sizeof *user);
        user->id = id;
        user->bot = bot;
        g_hash_table_insert(sim->users, &user->id, user);
    }
    set_name(&user->name, name, "user", id);
    free(user->json);
    user->json = sim_user_json(user);
    return user;
}

void crier_sim_add_user(struct crier_sim *sim, uint64_t id, const char *name)
{
    add_user(sim, id, name, false);
}

void crier_sim_user_dms(struct crier_sim *sim, uint64_t id, bool accept)
{
    add_user(sim, id, NULL, false)->no_dms = !accept;
}

static struct sim_bot *add_bot(struct crier_sim *sim, const char *token, const char *name,
                               uint64_t id)
{
    struct sim_bot *bot = g_hash_table_lookup(sim->bots, token);
    if (!bot) {
        bot = crier_calloc(1, sizeof *bot);
        bot->sim = sim;
        bot->token = crier_strdup(token);
        g_hash_table_insert(sim->bots, bot->token, bot);
        /* An id of the years that Discord's ids are of, the same for a token in each run. */
        if (!id)
            id = sim_hash(sim->config.seed, token) % (1ULL << 59) + (1ULL << 59);
    } else if (!id) {
        id = bot->user->id;
    }
    bot->user = add_user(sim, id, name, true);
    return bot;
}

void crier_sim_add_bot(struct crier_sim *sim, const char *token, const char *name)
{
    add_bot(sim, token, name, 0);
}

struct sim_bot *sim_bot(struct crier_sim *sim, const char *token)
{
    struct sim_bot *bot = g_hash_table_lookup(sim->bots, token);
    if (!bot && sim->any_token)
        bot = add_bot(sim, token, "crier", 0);
    return bot && !bot->token_reset ? bot : NULL;
}

void crier_sim_add_guild(struct crier_sim *sim, uint64_t id, const char *name)
{
    struct sim_guild *guild = sim_guild(sim, id);
    if (!guild) {
        guild = crier_calloc(1, sizeof *guild);
        guild->id = id;
        guild->channels = g_ptr_array_new();
        guild->invites = g_ptr_array_new_with_free_func(invite_free);
        guild->owner = id + 1;
        sim_roles_init(guild);
        g_hash_table_insert(sim->guilds, &guild->id, guild);
        g_ptr_array_add(sim->guild_order, guild);
    }
    set_name(&guild->name, name, "guild", id);
}

static struct sim_channel *add_channel(struct crier_sim *sim, uint64_t id, int type)
{
    struct sim_channel *channel = crier_calloc(1, sizeof *channel);
    channel->id = id;
    channel->type = type;
    g_hash_table_insert(sim->channels, &channel->id, channel);
    g_ptr_array_add(sim->channel_order, channel);
    return channel;
}

void crier_sim_add_channel(struct crier_sim *sim, uint64_t id, uint64_t guild, const char *name,
                           int type)
{
    struct sim_channel *channel = g_hash_table_lookup(sim->channels, &id);
    if (!channel)
        channel = add_channel(sim, id, type);
    if (channel->gone) {
        channel->gone = false;
        channel->guild = NULL;
    }
    channel->type = type;
    set_name(&channel->name, name, "channel", id);
    if (guild && !sim_guild(sim, guild))
        crier_sim_add_guild(sim, guild, NULL);
    struct sim_guild *now = guild ? sim_guild(sim, guild) : NULL;
    if (channel->guild == now)
        return;
    if (channel->guild)
        g_ptr_array_remove(channel->guild->channels, channel);
    channel->guild = now;
    if (now) {
        channel->position = (int)now->channels->len;
        g_ptr_array_add(now->channels, channel);
    }
}

struct sim_channel *sim_dm(struct crier_sim *sim, struct sim_bot *bot, struct sim_user *user)
{
    for (guint i = 0; i < sim->channel_order->len; i++) {
        struct sim_channel *channel = sim->channel_order->pdata[i];
        if (channel->of == bot->user && channel->recipient == user)
            return channel;
    }
    struct sim_channel *channel = add_channel(sim, sim_next_id(sim), SIM_DM);
    channel->of = bot->user;
    channel->recipient = user;
    channel->name = crier_strdup(user->name);
    return channel;
}

int crier_sim_deny(struct crier_sim *sim, uint64_t id, const char *permission, bool deny,
                   struct crier_err *err)
{
    struct sim_channel *channel = sim_channel(sim, id);
    uint64_t bit = sim_permission(permission);
    if (!channel)
        return crier_err_set(err, CRIER_ENOTFOUND, "there is no channel %llu",
                             (unsigned long long)id);
    if (!bit)
        return crier_err_set(err, CRIER_EINVAL, "unknown permission '%s'", permission);
    /* The role @everyone has the guild's id. */
    struct sim_overwrite *o =
        sim_overwrite(channel, channel->guild ? channel->guild->id : 0, false, true);
    o->deny = deny ? o->deny | bit : o->deny & ~bit;
    return 0;
}

/* --- the world file ------------------------------------------------------------------------ */

struct reader {
    struct crier_sim *sim;
    struct crier_err *err;
};

/* An object with these keys only; `place` is "guilds[0]". */
static int check_keys(struct reader *r, const json_t *obj, const char *place,
                      const char *const *keys, size_t n)
{
    const char *key;
    json_t *value;
    if (!json_is_object(obj))
        return crier_err_set(r->err, CRIER_EINVAL, "%s: expected an object", place);
    json_object_foreach ((json_t *)obj, key, value) {
        size_t i = 0;
        while (i < n && strcmp(keys[i], key) != 0)
            i++;
        if (i < n)
            continue;
        const char *near = crier_nearest(key, keys, n);
        return crier_err_set(r->err, CRIER_EINVAL, "%s: unknown key '%s'%s%s%s", place, key,
                             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
    return 0;
}

static int get_text(struct reader *r, const json_t *obj, const char *place, const char *key,
                    const char **out)
{
    const json_t *v = json_object_get(obj, key);
    *out = json_string_value(v);
    if (v && !*out)
        return crier_err_set(r->err, CRIER_EINVAL, "%s.%s: expected a text", place, key);
    return 0;
}

static int get_id(struct reader *r, const json_t *obj, const char *place, const char *key,
                  bool required, uint64_t *out)
{
    const json_t *v = json_object_get(obj, key);
    if (!v && !required)
        return 0;
    if (sim_json_read_id(v, out) && *out)
        return 0;
    return crier_err_set(r->err, CRIER_EINVAL,
                         "%s.%s: expected a snowflake such as \"863071397207212052\"", place, key);
}

static int get_list(struct reader *r, const json_t *obj, const char *place, const char *key,
                    json_t **out)
{
    *out = json_object_get(obj, key);
    if (*out && !json_is_array(*out))
        return crier_err_set(r->err, CRIER_EINVAL, "%s%s%s: expected a list", place,
                             *place ? "." : "", key);
    return 0;
}

static int get_count(struct reader *r, const json_t *obj, const char *place, const char *key,
                     unsigned min, unsigned *out)
{
    const json_t *v = json_object_get(obj, key);
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < (json_int_t)min ||
        json_integer_value(v) > INT32_MAX)
        return crier_err_set(r->err, CRIER_EINVAL, "%s.%s: expected a whole number of %u or more",
                             place, key, min);
    *out = (unsigned)json_integer_value(v);
    return 0;
}

static int get_duration(struct reader *r, const json_t *obj, const char *place, const char *key,
                        int64_t *out)
{
    const json_t *v = json_object_get(obj, key);
    int rc = 0;
    if (!v)
        return 0;
    rc = json_is_string(v) ? crier_duration_parse(json_string_value(v), out, r->err)
                           : crier_err_set(r->err, CRIER_EINVAL, "expected such as \"41s\"");
    return rc ? crier_err_prefix(r->err, "%s.%s: ", place, key) : 0;
}

static int load_bot(struct reader *r, const json_t *obj, const char *place)
{
    static const char *const keys[] = {"token", "name", "user"};
    const char *token, *name;
    uint64_t user = 0;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_text(r, obj, place, "token", &token);
    if (!rc)
        rc = get_text(r, obj, place, "name", &name);
    if (!rc)
        rc = get_id(r, obj, place, "user", false, &user);
    if (!rc && (!token || !*token))
        rc = crier_err_set(r->err, CRIER_EINVAL, "%s.token: missing", place);
    if (!rc)
        add_bot(r->sim, token, name, user);
    return rc;
}

static int load_deny(struct reader *r, const json_t *obj, const char *place, uint64_t id)
{
    size_t i;
    const json_t *v;
    json_t *deny;
    int rc = get_list(r, obj, place, "deny", &deny);
    if (rc)
        return rc;
    json_array_foreach (deny, i, v) {
        const char *name = json_string_value(v);
        rc = crier_sim_deny(r->sim, id, name ? name : "", true, r->err);
        if (rc)
            return crier_err_prefix(r->err, "%s.deny[%zu]: ", place, i);
    }
    return 0;
}

static int get_bits(struct reader *r, const json_t *obj, const char *place, const char *key,
                    uint64_t *out)
{
    const char *wrong;
    const json_t *v = json_object_get(obj, key);
    if (!v || sim_permissions_read(v, out, &wrong))
        return 0;
    return wrong ? crier_err_set(r->err, CRIER_EINVAL, "%s.%s: unknown permission '%.40s'", place,
                                 key, wrong)
                 : crier_err_set(r->err, CRIER_EINVAL,
                                 "%s.%s: expected a list such as [\"SEND_MESSAGES\"]", place, key);
}

static int get_bool(struct reader *r, const json_t *obj, const char *place, const char *key,
                    bool *out)
{
    const json_t *v = json_object_get(obj, key);
    if (v && !json_is_boolean(v))
        return crier_err_set(r->err, CRIER_EINVAL, "%s.%s: expected true or false", place, key);
    *out = v ? json_is_true(v) : *out;
    return 0;
}

/* Of a role of the guild, or else of a member. */
static int load_overwrites(struct reader *r, const json_t *obj, const char *place,
                           struct sim_channel *channel)
{
    static const char *const keys[] = {"id", "allow", "deny"};
    json_t *list;
    const json_t *v;
    size_t i;
    int rc = get_list(r, obj, place, "overwrites", &list);
    json_array_foreach (list, i, v) {
        char at[160];
        uint64_t id = 0, allow = 0, deny = 0;
        snprintf(at, sizeof at, "%s.overwrites[%zu]", place, i);
        rc = check_keys(r, v, at, keys, CRIER_COUNT(keys));
        if (!rc)
            rc = get_id(r, v, at, "id", true, &id);
        if (!rc)
            rc = get_bits(r, v, at, "allow", &allow);
        if (!rc)
            rc = get_bits(r, v, at, "deny", &deny);
        if (rc)
            return rc;
        struct sim_overwrite *o = sim_overwrite(channel, id, !sim_role(channel->guild, id), true);
        o->allow = allow;
        o->deny |= deny; /* beside those of the key "deny" */
    }
    return rc;
}

static int load_channel(struct reader *r, const json_t *obj, const char *place, uint64_t guild)
{
    static const char *const keys[] = {"id",         "name",   "type",     "deny",
                                       "overwrites", "parent", "slowmode", "require_tag"};
    static const int types[] = {SIM_TEXT, SIM_VOICE, SIM_CATEGORY, SIM_ANNOUNCEMENT, SIM_FORUM};
    const char *name;
    uint64_t id = 0;
    int type = SIM_TEXT;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_id(r, obj, place, "id", true, &id);
    if (!rc)
        rc = get_text(r, obj, place, "name", &name);
    const json_t *v = json_object_get(obj, "type");
    if (!rc && v) {
        size_t i = 0;
        while (i < CRIER_COUNT(types) &&
               !(json_is_integer(v) && json_integer_value(v) == types[i]))
            i++;
        if (i == CRIER_COUNT(types))
            rc = crier_err_set(r->err, CRIER_EINVAL,
                               "%s.type: expected 0 (text), 2 (voice), 4 (category), "
                               "5 (announcement) or 15 (forum)",
                               place);
        else
            type = types[i];
    }
    if (rc)
        return rc;
    crier_sim_add_channel(r->sim, id, guild, name, type);
    struct sim_channel *channel = sim_channel(r->sim, id);
    rc = load_deny(r, obj, place, id);
    if (!rc)
        rc = load_overwrites(r, obj, place, channel);
    if (!rc)
        rc = get_id(r, obj, place, "parent", false, &channel->parent);
    if (!rc)
        rc = get_count(r, obj, place, "slowmode", 0, &channel->slowmode);
    return rc ? rc : get_bool(r, obj, place, "require_tag", &channel->require_tag);
}

static int load_role(struct reader *r, const json_t *obj, const char *place,
                     struct sim_guild *guild)
{
    static const char *const keys[] = {"id", "name", "permissions", "position", "mentionable"};
    const char *name;
    uint64_t id = 0;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_id(r, obj, place, "id", true, &id);
    if (!rc)
        rc = get_text(r, obj, place, "name", &name);
    if (rc)
        return rc;
    struct sim_role *role = sim_role_add(guild, id, name);
    unsigned position = (unsigned)role->position;
    rc = get_bits(r, obj, place, "permissions", &role->permissions);
    if (!rc)
        rc = get_count(r, obj, place, "position", id != guild->id, &position);
    role->position = id == guild->id ? 0 : (int)position;
    return rc ? rc : get_bool(r, obj, place, "mentionable", &role->mentionable);
}

/* Without a user, it is each bot that is not named itself. */
static int load_member(struct reader *r, const json_t *obj, const char *place,
                       struct sim_guild *guild)
{
    static const char *const keys[] = {"user", "roles", "timeout", "nick"};
    const char *nick;
    uint64_t id = 0;
    int64_t timeout = 0;
    size_t i;
    const json_t *v;
    json_t *roles = NULL;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_id(r, obj, place, "user", false, &id);
    if (!rc)
        rc = get_list(r, obj, place, "roles", &roles);
    if (!rc)
        rc = get_duration(r, obj, place, "timeout", &timeout);
    if (!rc)
        rc = get_text(r, obj, place, "nick", &nick);
    if (rc)
        return rc;
    if (id && !sim_user(r->sim, id))
        add_user(r->sim, id, NULL, false);
    struct sim_member *member = id ? sim_member_add(guild, sim_user(r->sim, id)) : &guild->bots;
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    json_array_foreach (roles, i, v) {
        uint64_t role = 0;
        if (!sim_json_read_id(v, &role) || !sim_role(guild, role))
            rc = crier_err_set(r->err, CRIER_EINVAL,
                               "%s.roles[%zu]: expected the id of a role of the guild", place, i);
        g_array_append_val(ids, role);
    }
    sim_member_set_roles(member, (const uint64_t *)(const void *)ids->data, ids->len);
    g_array_free(ids, TRUE);
    if (timeout)
        member->until = crier_loop_wall(r->sim->loop) + timeout;
    free(member->nick);
    member->nick = crier_strdup(nick);
    return rc;
}

static int load_of_guild(struct reader *r, const json_t *obj, const char *place, const char *key,
                         struct sim_guild *guild,
                         int (*load)(struct reader *r, const json_t *obj, const char *place,
                                     struct sim_guild *guild))
{
    size_t i;
    const json_t *v;
    json_t *list;
    int rc = get_list(r, obj, place, key, &list);
    json_array_foreach (list, i, v) {
        char at[96];
        snprintf(at, sizeof at, "%s.%s[%zu]", place, key, i);
        if (!rc)
            rc = load(r, v, at, guild);
    }
    return rc;
}

static int load_invites(struct reader *r, const json_t *obj, const char *place,
                        struct sim_guild *guild);

static int load_guild(struct reader *r, const json_t *obj, const char *place)
{
    static const char *const keys[] = {"id",    "name",    "owner",   "roles",
                                       "members", "channels", "invites"};
    const char *name;
    uint64_t id = 0;
    size_t i;
    const json_t *v;
    json_t *channels = NULL;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_id(r, obj, place, "id", true, &id);
    if (!rc)
        rc = get_text(r, obj, place, "name", &name);
    if (!rc)
        rc = get_list(r, obj, place, "channels", &channels);
    if (rc)
        return rc;
    crier_sim_add_guild(r->sim, id, name);
    struct sim_guild *guild = sim_guild(r->sim, id);
    rc = get_id(r, obj, place, "owner", false, &guild->owner);
    if (!rc)
        rc = load_of_guild(r, obj, place, "roles", guild, load_role);
    if (!rc)
        rc = load_of_guild(r, obj, place, "members", guild, load_member);
    if (rc)
        return rc;
    json_array_foreach (channels, i, v) {
        char at[96];
        snprintf(at, sizeof at, "%s.channels[%zu]", place, i);
        rc = load_channel(r, v, at, id);
        if (rc)
            return rc;
    }
    return load_invites(r, obj, place, guild);
}

static int load_invites(struct reader *r, const json_t *obj, const char *place,
                        struct sim_guild *guild)
{
    static const char *const keys[] = {"code", "uses", "max_uses", "channel"};
    json_t *list;
    const json_t *v;
    size_t i;
    int rc = get_list(r, obj, place, "invites", &list);
    if (rc)
        return rc;
    json_array_foreach (list, i, v) {
        char at[96];
        const char *code;
        uint64_t channel = 0;
        unsigned uses = 0, max_uses = 0;
        snprintf(at, sizeof at, "%s.invites[%zu]", place, i);
        rc = check_keys(r, v, at, keys, CRIER_COUNT(keys));
        if (!rc)
            rc = get_text(r, v, at, "code", &code);
        if (!rc && !code)
            rc = crier_err_set(r->err, CRIER_EINVAL, "%s.code: missing", at);
        if (!rc)
            rc = get_count(r, v, at, "uses", 0, &uses);
        if (!rc)
            rc = get_count(r, v, at, "max_uses", 0, &max_uses);
        if (!rc)
            rc = get_id(r, v, at, "channel", false, &channel);
        if (rc)
            return rc;
        sim_invite_add(guild, code, channel, uses, max_uses);
    }
    return 0;
}

static int load_gateway(struct reader *r, const json_t *obj)
{
    static const char *const keys[] = {"shards",    "max_concurrency", "total",     "used",
                                       "heartbeat", "keep",            "disallowed"};
    struct sim_gateway *g = r->sim->gateway;
    if (!obj)
        return 0;
    int rc = check_keys(r, obj, "gateway", keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_count(r, obj, "gateway", "shards", 1, &g->shards);
    if (!rc)
        rc = get_count(r, obj, "gateway", "max_concurrency", 1, &g->concurrency);
    if (!rc)
        rc = get_count(r, obj, "gateway", "total", 1, &g->total);
    if (!rc)
        rc = get_count(r, obj, "gateway", "used", 0, &g->used);
    if (!rc)
        rc = get_count(r, obj, "gateway", "disallowed", 0, &g->disallowed);
    if (!rc)
        rc = get_duration(r, obj, "gateway", "heartbeat", &g->heartbeat);
    return rc ? rc : get_duration(r, obj, "gateway", "keep", &g->keep);
}

static int load_event(struct reader *r, const json_t *obj, const char *place)
{
    int rc = sim_event_schedule(r->sim, obj, r->err);
    return rc ? crier_err_prefix(r->err, "%s: ", place) : 0;
}

static int load_user(struct reader *r, const json_t *obj, const char *place)
{
    static const char *const keys[] = {"id", "name", "dms"};
    const char *name;
    uint64_t id = 0;
    int rc = check_keys(r, obj, place, keys, CRIER_COUNT(keys));
    if (!rc)
        rc = get_id(r, obj, place, "id", true, &id);
    if (!rc)
        rc = get_text(r, obj, place, "name", &name);
    const json_t *dms = json_object_get(obj, "dms");
    if (!rc && dms && !json_is_boolean(dms))
        rc = crier_err_set(r->err, CRIER_EINVAL, "%s.dms: expected true or false", place);
    if (rc)
        return rc;
    add_user(r->sim, id, name, false)->no_dms = json_is_false(dms);
    return 0;
}

static int load_list(struct reader *r, const json_t *root, const char *key,
                     int (*load)(struct reader *r, const json_t *obj, const char *place))
{
    size_t i;
    const json_t *v;
    json_t *list;
    int rc = get_list(r, root, "", key, &list);
    if (rc)
        return rc;
    json_array_foreach (list, i, v) {
        char place[64];
        snprintf(place, sizeof place, "%s[%zu]", key, i);
        rc = load(r, v, place);
        if (rc)
            return rc;
    }
    return 0;
}

int crier_sim_load_world(struct crier_sim *sim, const char *path, struct crier_err *err)
{
    static const char *const keys[] = {"bots", "guilds", "users", "gateway", "events"};
    struct crier_buf text = {0};
    struct reader r = {sim, err};
    json_error_t fault;
    json_t *root = NULL;
    int rc = crier_file_read(path, 64 << 20, &text, err);
    if (rc)
        goto out;
    root = json_loadb(text.len ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
    if (!root) {
        rc = crier_err_set(err, CRIER_EINVAL, "not valid JSON: %s", fault.text);
        crier_err_at(err, "%s:%d:%d", path, fault.line, fault.column);
        goto out;
    }
    rc = check_keys(&r, root, "the world", keys, CRIER_COUNT(keys));
    if (!rc)
        rc = load_list(&r, root, "bots", load_bot);
    if (!rc)
        rc = load_list(&r, root, "guilds", load_guild);
    if (!rc)
        rc = load_list(&r, root, "users", load_user);
    if (!rc)
        rc = load_gateway(&r, json_object_get(root, "gateway"));
    if (!rc)
        rc = load_list(&r, root, "events", load_event);
    if (rc)
        crier_err_at(err, "%s", path);
out:
    json_decref(root);
    crier_buf_fini(&text);
    return rc;
}

bool crier_sim_knows(const struct crier_sim *sim, uint64_t id)
{
    return g_hash_table_contains(sim->guilds, &id) || g_hash_table_contains(sim->channels, &id) ||
           g_hash_table_contains(sim->users, &id);
}
