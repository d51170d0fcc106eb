/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdio.h>

#include "base/duration.h"

/* --- who is told ---------------------------------------------------------------------------- */

bool sim_session_has_guild(const struct sim_session *s, const struct sim_guild *guild)
{
    return (guild->id >> 22) % s->shards == s->shard;
}

static void tell_guild(struct crier_sim *sim, const char *name, const struct sim_guild *guild,
                       uint32_t intent, const struct crier_buf *d)
{
    for (struct sim_session *s = sim->gateway->sessions; s; s = s->next) {
        if ((s->intents & intent) && sim_session_has_guild(s, guild))
            sim_session_event(s, name, d->data, d->len);
    }
}

static void put(struct crier_buf *b, const char *key, const char *text)
{
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void put_id(struct crier_buf *b, const char *key, uint64_t id)
{
    crier_json_key(b, key);
    crier_json_snowflake(b, id);
}

static void put_raw(struct crier_buf *b, const char *key, const char *json)
{
    crier_json_key(b, key);
    crier_json_raw(b, json, strlen(json));
}

/* --- guilds --------------------------------------------------------------------------------- */

void sim_guild_create_json(struct crier_sim *sim, struct crier_buf *b,
                           const struct sim_guild *guild, const struct sim_user *me)
{
    sim_guild_open(b, guild);
    crier_json_key(b, "joined_at");
    sim_json_time(b, ((int64_t)(guild->id >> 22) + SIM_EPOCH_MS) * CRIER_MS);
    put_raw(b, "large", "false");
    put_raw(b, "unavailable", "false");
    crier_json_key(b, "member_count");
    crier_json_uint(b, 1 + sim_people(sim, guild));
    crier_json_key(b, "channels");
    crier_json_open(b, '[');
    for (guint i = 0; i < guild->channels->len; i++)
        sim_channel_json(b, guild->channels->pdata[i]);
    crier_json_close(b, ']');
    crier_json_key(b, "members");
    crier_json_open(b, '[');
    sim_member_open(b, guild, me, true);
    crier_json_close(b, '}');
    crier_json_close(b, ']');
    static const char *const lists[] = {"threads", "presences", "voice_states", "stage_instances",
                                        "guild_scheduled_events", "soundboard_sounds"};
    for (size_t i = 0; i < CRIER_COUNT(lists); i++)
        put_raw(b, lists[i], "[]");
    crier_json_close(b, '}');
}

void sim_session_ready(struct sim_session *s)
{
    struct crier_sim *sim = s->bot->sim;
    struct crier_buf b = {0};
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", sim->port ? sim->port : 1);
    crier_json_open(&b, '{');
    crier_json_key(&b, "v");
    crier_json_int(&b, 10);
    put_raw(&b, "user", s->bot->user->json);
    crier_json_key(&b, "guilds");
    crier_json_open(&b, '[');
    for (guint i = 0; (s->intents & SIM_GUILDS) && i < sim->guild_order->len; i++) {
        const struct sim_guild *guild = sim->guild_order->pdata[i];
        if (guild->left || !sim_session_has_guild(s, guild))
            continue;
        crier_json_open(&b, '{');
        put_id(&b, "id", guild->id);
        put_raw(&b, "unavailable", "true");
        crier_json_close(&b, '}');
    }
    crier_json_close(&b, ']');
    put(&b, "session_id", s->id);
    put(&b, "resume_gateway_url", url);
    crier_json_key(&b, "shard");
    crier_json_open(&b, '[');
    crier_json_uint(&b, s->shard);
    crier_json_uint(&b, s->shards);
    crier_json_close(&b, ']');
    crier_json_key(&b, "application");
    crier_json_open(&b, '{');
    put_id(&b, "id", s->bot->user->id);
    put_raw(&b, "flags", "0");
    crier_json_close(&b, '}');
    crier_json_close(&b, '}');
    sim_session_event(s, "READY", b.data, b.len);
    for (guint i = 0; (s->intents & SIM_GUILDS) && i < sim->guild_order->len; i++) {
        const struct sim_guild *guild = sim->guild_order->pdata[i];
        if (guild->left || !sim_session_has_guild(s, guild))
            continue;
        crier_buf_clear(&b);
        sim_guild_create_json(sim, &b, guild, s->bot->user);
        sim_session_event(s, "GUILD_CREATE", b.data, b.len);
    }
    crier_buf_fini(&b);
}

void sim_tell_channel(struct crier_sim *sim, const char *name, const struct sim_channel *channel)
{
    struct crier_buf b = {0};
    if (!channel->guild)
        return;
    sim_channel_json(&b, channel);
    tell_guild(sim, name, channel->guild, SIM_GUILDS, &b);
    crier_buf_fini(&b);
}

/* --- roles and members ---------------------------------------------------------------------- */

void sim_tell_role(struct crier_sim *sim, const char *name, const struct sim_guild *guild,
                   const struct sim_role *role)
{
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    put_id(&b, "guild_id", guild->id);
    if (strcmp(name, "GUILD_ROLE_DELETE") == 0) {
        put_id(&b, "role_id", role->id);
    } else {
        crier_json_key(&b, "role");
        sim_role_json(&b, role);
    }
    crier_json_close(&b, '}');
    tell_guild(sim, name, guild, SIM_GUILDS, &b);
    crier_buf_fini(&b);
}

void sim_tell_member(struct crier_sim *sim, const struct sim_guild *guild,
                     const struct sim_user *user)
{
    struct crier_buf b = {0};
    sim_member_open(&b, guild, user, true);
    put_id(&b, "guild_id", guild->id);
    crier_json_close(&b, '}');
    for (struct sim_session *s = sim->gateway->sessions; s; s = s->next) {
        if (((s->intents & SIM_GUILD_MEMBERS) || s->bot->user == user) &&
            sim_session_has_guild(s, guild))
            sim_session_event(s, "GUILD_MEMBER_UPDATE", b.data, b.len);
    }
    crier_buf_fini(&b);
}

/* --- messages ------------------------------------------------------------------------------- */

static bool mentions(const struct sim_message *m, const struct sim_user *user)
{
    for (unsigned i = 0; i < m->user_mentions; i++) {
        if (m->mentions[i] == user->id)
            return true;
    }
    return false;
}

static void message_event(struct crier_sim *sim, struct crier_buf *b,
                          const struct sim_channel *channel, const struct sim_message *m,
                          const struct sim_user *viewer, bool content)
{
    struct sim_message shown = *m;
    if (!content) {
        shown.content = (char[]){""};
        shown.embeds = NULL;
        shown.file_count = 0;
        sim_message_json(sim, b, channel, &shown, SIM_WITH_REFERENCED, viewer);
    } else {
        sim_message_json(sim, b, channel, m, SIM_WITH_REFERENCED | SIM_WITH_NONCE, viewer);
    }
    b->data[--b->len] = '\0'; /* the closing brace */
    crier_json_key(b, "channel_type");
    crier_json_int(b, channel->type);
    if (channel->guild) {
        put_id(b, "guild_id", channel->guild->id);
        crier_json_key(b, "member");
        sim_member_open(b, channel->guild, m->author, false);
        crier_json_close(b, '}');
    }
    crier_json_close(b, '}');
}

static void deleted_event(struct crier_buf *b, const struct sim_channel *channel,
                          const struct sim_message *m)
{
    crier_json_open(b, '{');
    put_id(b, "id", m->id);
    put_id(b, "channel_id", channel->id);
    if (channel->guild)
        put_id(b, "guild_id", channel->guild->id);
    crier_json_close(b, '}');
}

void sim_tell_message(struct crier_sim *sim, const char *name, const struct sim_channel *channel,
                      const struct sim_message *m)
{
    struct crier_buf b = {0};
    bool deleted = strcmp(name, "MESSAGE_DELETE") == 0;
    uint32_t intent = channel->guild ? SIM_GUILD_MESSAGES : SIM_DIRECT_MESSAGES;
    for (struct sim_session *s = sim->gateway->sessions; s; s = s->next) {
        const struct sim_user *me = s->bot->user;
        if (!(s->intents & intent) ||
            (channel->guild ? !sim_session_has_guild(s, channel->guild) || channel->guild->left ||
                                  !(sim_may(sim, channel, me) & SIM_VIEW_CHANNEL)
                            : channel->of != me || s->shard != 0))
            continue;
        bool content = (s->intents & SIM_MESSAGE_CONTENT) || !channel->guild || m->author == me ||
                       mentions(m, me);
        crier_buf_clear(&b);
        if (deleted)
            deleted_event(&b, channel, m);
        else
            message_event(sim, &b, channel, m, me, content);
        sim_session_event(s, name, b.data, b.len);
    }
    crier_buf_fini(&b);
}

/* --- events that are asked for -------------------------------------------------------------- */

struct event {
    struct crier_sim *sim;
    const json_t *obj;
    struct crier_err *err;
};

static int bad(struct event *e, const char *key, const char *expected)
{
    return crier_err_set(e->err, CRIER_EINVAL, "event.%s: expected %s", key, expected);
}

static int get_id(struct event *e, const char *key, uint64_t *out)
{
    if (sim_json_read_id(json_object_get(e->obj, key), out) && *out)
        return 0;
    return bad(e, key, "a snowflake such as \"863071397207212052\"");
}

static const char *text_of(struct event *e, const char *key)
{
    return json_string_value(json_object_get(e->obj, key));
}

static int get_guild(struct event *e, struct sim_guild **out)
{
    uint64_t id = 0;
    int rc = get_id(e, "guild", &id);
    if (rc)
        return rc;
    *out = sim_guild(e->sim, id);
    return *out ? 0 : crier_err_set(e->err, CRIER_ENOTFOUND, "event.guild: there is no guild %llu",
                                    (unsigned long long)id);
}

static int get_channel(struct event *e, const char *key, struct sim_channel **out)
{
    uint64_t id = 0;
    int rc = get_id(e, key, &id);
    if (rc)
        return rc;
    *out = sim_channel(e->sim, id);
    return *out ? 0
                : crier_err_set(e->err, CRIER_ENOTFOUND, "event.%s: there is no channel %llu", key,
                                (unsigned long long)id);
}

/* A user, made when there is none of this id. */
static int get_user(struct event *e, struct sim_user **out)
{
    uint64_t id = 0;
    int rc = get_id(e, "user", &id);
    if (rc)
        return rc;
    if (!sim_user(e->sim, id) || text_of(e, "name"))
        crier_sim_add_user(e->sim, id, text_of(e, "name"));
    *out = sim_user(e->sim, id);
    return 0;
}

static int guild_join(struct event *e)
{
    uint64_t id = 0;
    int rc = get_id(e, "guild", &id);
    if (rc)
        return rc;
    crier_sim_add_guild(e->sim, id, text_of(e, "name"));
    struct sim_guild *guild = sim_guild(e->sim, id);
    guild->left = false;
    struct crier_buf b = {0};
    for (struct sim_session *s = e->sim->gateway->sessions; s; s = s->next) {
        if (!(s->intents & SIM_GUILDS) || !sim_session_has_guild(s, guild))
            continue;
        crier_buf_clear(&b);
        sim_guild_create_json(e->sim, &b, guild, s->bot->user);
        sim_session_event(s, "GUILD_CREATE", b.data, b.len);
    }
    crier_buf_fini(&b);
    return 0;
}

static int guild_leave(struct event *e)
{
    struct sim_guild *guild;
    struct crier_buf b = {0};
    int rc = get_guild(e, &guild);
    if (rc)
        return rc;
    bool outage = json_is_true(json_object_get(e->obj, "unavailable"));
    crier_json_open(&b, '{');
    put_id(&b, "id", guild->id);
    if (outage)
        put_raw(&b, "unavailable", "true");
    crier_json_close(&b, '}');
    tell_guild(e->sim, "GUILD_DELETE", guild, SIM_GUILDS, &b);
    crier_buf_fini(&b);
    guild->left = !outage;
    return 0;
}

static int guild_update(struct event *e)
{
    struct sim_guild *guild;
    struct crier_buf b = {0};
    int rc = get_guild(e, &guild);
    if (rc)
        return rc;
    crier_sim_add_guild(e->sim, guild->id, text_of(e, "name"));
    sim_guild_open(&b, guild);
    crier_json_close(&b, '}');
    tell_guild(e->sim, "GUILD_UPDATE", guild, SIM_GUILDS, &b);
    crier_buf_fini(&b);
    return 0;
}

static int channel_create(struct event *e)
{
    struct sim_guild *guild;
    uint64_t id = 0;
    int rc = get_guild(e, &guild);
    if (!rc)
        rc = get_id(e, "channel", &id);
    if (rc)
        return rc;
    crier_sim_add_channel(e->sim, id, guild->id, text_of(e, "name"),
                          (int)json_integer_value(json_object_get(e->obj, "type")));
    sim_tell_channel(e->sim, "CHANNEL_CREATE", sim_channel(e->sim, id));
    return 0;
}

static int get_bits(struct event *e, const char *key, uint64_t *out)
{
    const char *wrong;
    const json_t *v = json_object_get(e->obj, key);
    return !v || sim_permissions_read(v, out, &wrong)
               ? 0
               : bad(e, key, "a list of permissions such as [\"SEND_MESSAGES\"]");
}

/* A new name, and the overwrite of @everyone, of a role or of a member. */
static int channel_update(struct event *e)
{
    struct sim_channel *channel;
    int rc = get_channel(e, "channel", &channel);
    if (rc)
        return rc;
    if (text_of(e, "name")) {
        free(channel->name);
        channel->name = crier_strdup(text_of(e, "name"));
    }
    if (json_object_get(e->obj, "deny") || json_object_get(e->obj, "allow")) {
        uint64_t id = channel->guild ? channel->guild->id : 0, allow = 0, deny = 0;
        if (json_object_get(e->obj, "role"))
            rc = get_id(e, "role", &id);
        else if (json_object_get(e->obj, "user"))
            rc = get_id(e, "user", &id);
        if (!rc)
            rc = get_bits(e, "allow", &allow);
        if (!rc)
            rc = get_bits(e, "deny", &deny);
        if (rc)
            return rc;
        struct sim_overwrite *o =
            sim_overwrite(channel, id, json_object_get(e->obj, "user") != NULL, true);
        o->allow = allow;
        o->deny = deny;
    }
    if (json_object_get(e->obj, "archived"))
        channel->archived = json_is_true(json_object_get(e->obj, "archived"));
    if (json_object_get(e->obj, "locked"))
        channel->locked = json_is_true(json_object_get(e->obj, "locked"));
    sim_tell_channel(e->sim, channel->type == SIM_THREAD ? "THREAD_UPDATE" : "CHANNEL_UPDATE",
                     channel);
    return 0;
}

static int channel_delete(struct event *e)
{
    struct sim_channel *channel;
    int rc = get_channel(e, "channel", &channel);
    if (rc)
        return rc;
    if (!channel->guild)
        return bad(e, "channel", "a guild's channel");
    sim_tell_channel(e->sim, "CHANNEL_DELETE", channel);
    g_ptr_array_remove(channel->guild->channels, channel);
    channel->gone = true; /* what refers to it, nonces, lives on */
    return 0;
}

static struct sim_invite *find_invite(const struct sim_guild *guild, const char *code)
{
    for (guint i = 0; code && i < guild->invites->len; i++) {
        struct sim_invite *invite = guild->invites->pdata[i];
        if (strcmp(invite->code, code) == 0)
            return invite;
    }
    return NULL;
}

static void invite_gone(struct crier_sim *sim, struct sim_guild *guild, struct sim_invite *invite)
{
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    put_id(&b, "channel_id", invite->channel);
    put_id(&b, "guild_id", guild->id);
    put(&b, "code", invite->code);
    crier_json_close(&b, '}');
    tell_guild(sim, "INVITE_DELETE", guild, SIM_GUILD_INVITES, &b);
    crier_buf_fini(&b);
    g_ptr_array_remove(guild->invites, invite);
}

static int member_join(struct event *e)
{
    struct sim_guild *guild;
    struct sim_user *user;
    struct crier_buf b = {0};
    int rc = get_guild(e, &guild);
    if (!rc)
        rc = get_user(e, &user);
    if (rc)
        return rc;
    const char *code = text_of(e, "invite");
    struct sim_invite *invite = find_invite(guild, code);
    if (code && !invite)
        return crier_err_set(e->err, CRIER_ENOTFOUND, "event.invite: there is no invite '%.40s'",
                             code);
    sim_member_add(guild, user);
    if (invite)
        invite->uses++;
    bool used_up = invite && invite->max_uses && invite->uses >= invite->max_uses;
    sim_member_open(&b, guild, user, true);
    put_id(&b, "guild_id", guild->id);
    crier_json_close(&b, '}');
    tell_guild(e->sim, "GUILD_MEMBER_ADD", guild, SIM_GUILD_MEMBERS, &b);
    crier_buf_fini(&b);
    if (used_up)
        invite_gone(e->sim, guild, invite);
    return 0;
}

static int member_leave(struct event *e)
{
    struct sim_guild *guild;
    struct sim_user *user;
    struct crier_buf b = {0};
    int rc = get_guild(e, &guild);
    if (!rc)
        rc = get_user(e, &user);
    if (rc)
        return rc;
    sim_member_remove(guild, user);
    crier_json_open(&b, '{');
    put_id(&b, "guild_id", guild->id);
    put_raw(&b, "user", user->json);
    crier_json_close(&b, '}');
    tell_guild(e->sim, "GUILD_MEMBER_REMOVE", guild, SIM_GUILD_MEMBERS, &b);
    crier_buf_fini(&b);
    return 0;
}

/* Roles and a timeout; without a user, of every bot. */
static int member_update(struct event *e)
{
    struct sim_guild *guild;
    struct sim_user *user = NULL;
    const json_t *v, *roles = json_object_get(e->obj, "roles");
    const json_t *timeout = json_object_get(e->obj, "timeout");
    int64_t until = 0;
    size_t i;
    int rc = get_guild(e, &guild);
    if (!rc && json_object_get(e->obj, "user"))
        rc = get_user(e, &user);
    if (rc)
        return rc;
    if (user && !sim_member(guild, user))
        return crier_err_set(e->err, CRIER_ENOTFOUND, "event.user: not a member of the guild");
    if (timeout && !json_is_null(timeout)) {
        if (!json_is_string(timeout) ||
            crier_duration_parse(json_string_value(timeout), &until, e->err) != 0)
            return bad(e, "timeout", "a duration such as \"10m\", or null");
        until += crier_loop_wall(e->sim->loop);
    }
    if (roles && !json_is_array(roles))
        return bad(e, "roles", "a list of the guild's roles");
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    json_array_foreach (roles, i, v) {
        uint64_t id = 0;
        if (!sim_json_read_id(v, &id) || !sim_role(guild, id))
            rc = bad(e, "roles", "a list of the guild's roles");
        g_array_append_val(ids, id);
    }
    struct sim_member *member = user ? sim_member_add(guild, user) : &guild->bots;
    if (!rc && roles)
        sim_member_set_roles(member, (const uint64_t *)(const void *)ids->data, ids->len);
    if (!rc && timeout)
        member->until = until;
    g_array_free(ids, TRUE);
    if (rc)
        return rc;
    GHashTableIter it;
    gpointer bot;
    g_hash_table_iter_init(&it, e->sim->bots);
    while (!user && g_hash_table_iter_next(&it, NULL, &bot)) {
        if (sim_member(guild, ((struct sim_bot *)bot)->user) == &guild->bots)
            sim_tell_member(e->sim, guild, ((struct sim_bot *)bot)->user);
    }
    if (user)
        sim_tell_member(e->sim, guild, user);
    return 0;
}

/* Made when it is new. */
static int role_update(struct event *e)
{
    struct sim_guild *guild;
    uint64_t id = 0, bits = 0;
    int rc = get_guild(e, &guild);
    if (!rc)
        rc = get_id(e, "role", &id);
    if (!rc)
        rc = get_bits(e, "permissions", &bits);
    if (rc)
        return rc;
    bool is_new = !sim_role(guild, id);
    struct sim_role *role = sim_role_add(guild, id, text_of(e, "name"));
    if (json_object_get(e->obj, "permissions"))
        role->permissions = bits;
    if (json_is_integer(json_object_get(e->obj, "position")) && id != guild->id)
        role->position = (int)json_integer_value(json_object_get(e->obj, "position"));
    sim_tell_role(e->sim, is_new ? "GUILD_ROLE_CREATE" : "GUILD_ROLE_UPDATE", guild, role);
    return 0;
}

static int role_delete(struct event *e)
{
    struct sim_guild *guild;
    uint64_t id = 0;
    int rc = get_guild(e, &guild);
    if (!rc)
        rc = get_id(e, "role", &id);
    if (rc)
        return rc;
    struct sim_role *role = sim_role(guild, id);
    if (!role || id == guild->id)
        return bad(e, "role", "a role of the guild other than @everyone");
    sim_tell_role(e->sim, "GUILD_ROLE_DELETE", guild, role);
    sim_role_remove(guild, role);
    return 0;
}

static void put_invite(struct crier_buf *b, const struct sim_invite *invite)
{
    crier_json_key(b, "uses");
    crier_json_uint(b, invite->uses);
    crier_json_key(b, "max_uses");
    crier_json_uint(b, invite->max_uses);
    put_raw(b, "max_age", "0");
    put_raw(b, "temporary", "false");
}

struct sim_invite *sim_invite_add(struct sim_guild *guild, const char *code, uint64_t channel,
                                  unsigned uses, unsigned max_uses)
{
    struct sim_invite *invite = find_invite(guild, code);
    if (!invite) {
        invite = crier_calloc(1, sizeof *invite);
        invite->code = crier_strdup(code);
        g_ptr_array_add(guild->invites, invite);
    }
    const struct sim_channel *first = guild->channels->len ? guild->channels->pdata[0] : NULL;
    invite->channel = channel ? channel : first ? first->id : guild->id;
    invite->uses = uses;
    invite->max_uses = max_uses;
    return invite;
}

static int invite_create(struct event *e)
{
    struct sim_guild *guild;
    uint64_t channel = 0;
    int rc = get_guild(e, &guild);
    if (!rc && json_object_get(e->obj, "channel"))
        rc = get_id(e, "channel", &channel);
    if (rc)
        return rc;
    if (!text_of(e, "invite"))
        return bad(e, "invite", "its code");
    const struct sim_invite *invite =
        sim_invite_add(guild, text_of(e, "invite"), channel,
                       (unsigned)json_integer_value(json_object_get(e->obj, "uses")),
                       (unsigned)json_integer_value(json_object_get(e->obj, "max_uses")));
    struct crier_buf b = {0};
    crier_json_open(&b, '{');
    put_id(&b, "channel_id", invite->channel);
    put_id(&b, "guild_id", guild->id);
    put(&b, "code", invite->code);
    crier_json_key(&b, "created_at");
    sim_json_time(&b, crier_loop_wall(e->sim->loop));
    put_raw(&b, "type", "0");
    put_invite(&b, invite);
    crier_json_close(&b, '}');
    tell_guild(e->sim, "INVITE_CREATE", guild, SIM_GUILD_INVITES, &b);
    crier_buf_fini(&b);
    return 0;
}

static int invite_delete(struct event *e)
{
    struct sim_guild *guild;
    int rc = get_guild(e, &guild);
    if (rc)
        return rc;
    struct sim_invite *invite = find_invite(guild, text_of(e, "invite"));
    if (!invite)
        return bad(e, "invite", "the code of an invite that exists");
    invite_gone(e->sim, guild, invite);
    return 0;
}

void sim_guild_invites(struct sim_call *call)
{
    const struct sim_guild *guild = call->guild;
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '[');
    for (guint i = 0; i < guild->invites->len; i++) {
        const struct sim_invite *invite = guild->invites->pdata[i];
        const struct sim_channel *channel = sim_channel(call->sim, invite->channel);
        crier_json_open(b, '{');
        put_raw(b, "type", "0");
        put(b, "code", invite->code);
        put_id(b, "guild_id", guild->id);
        crier_json_key(b, "guild");
        crier_json_open(b, '{');
        put_id(b, "id", guild->id);
        put(b, "name", guild->name);
        static const char *const nulls[] = {"splash", "banner", "description", "icon",
                                            "vanity_url_code"};
        for (size_t j = 0; j < CRIER_COUNT(nulls); j++)
            put_raw(b, nulls[j], "null");
        put_raw(b, "features", "[]");
        put_raw(b, "verification_level", "0");
        put_raw(b, "nsfw_level", "0");
        put_raw(b, "nsfw", "false");
        put_raw(b, "premium_subscription_count", "0");
        put_raw(b, "premium_tier", "0");
        crier_json_close(b, '}');
        crier_json_key(b, "channel");
        crier_json_open(b, '{');
        put_id(b, "id", invite->channel);
        crier_json_key(b, "type");
        crier_json_int(b, channel ? channel->type : 0);
        put(b, "name", channel ? channel->name : "channel");
        crier_json_close(b, '}');
        put_raw(b, "expires_at", "null");
        put_invite(b, invite);
        crier_json_key(b, "created_at");
        sim_json_time(b, ((int64_t)(guild->id >> 22) + SIM_EPOCH_MS) * CRIER_MS);
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
}

/* What a person writes: in a channel, or (dm) to a bot. */
static int message(struct event *e)
{
    struct sim_channel *channel = NULL;
    struct sim_user *user;
    const char *content = text_of(e, "content");
    int rc = get_user(e, &user);
    if (!rc && !content)
        rc = bad(e, "content", "a text");
    if (!rc && json_object_get(e->obj, "dm")) {
        const char *token = text_of(e, "dm");
        struct sim_bot *bot = token ? sim_bot(e->sim, token) : NULL;
        if (!bot)
            return bad(e, "dm", "a bot's token");
        channel = sim_dm(e->sim, bot, user);
    } else if (!rc) {
        rc = get_channel(e, "channel", &channel);
    }
    if (rc)
        return rc;
    if (json_is_true(json_object_get(e->obj, "bot")))
        user->bot = true;
    if (channel->guild && sim_timed_out(e->sim, channel->guild, user))
        return crier_err_set(e->err, CRIER_EINVAL, "event.user: a moderator has timed %.60s out",
                             user->name);
    sim_user_message(e->sim, channel, user, content);
    return 0;
}

/* Somebody deletes a message, the newest (if there is one) unless told. */
static int message_delete(struct event *e)
{
    struct sim_channel *channel = NULL;
    uint64_t id = 0;
    int rc = get_channel(e, "channel", &channel);
    if (!rc && json_object_get(e->obj, "message"))
        rc = get_id(e, "message", &id);
    if (rc)
        return rc;
    struct sim_message *m = id               ? sim_message_find(channel, id)
                            : channel->count ? channel->window[channel->head + channel->count - 1]
                                             : NULL;
    if (id && !m)
        return crier_err_set(e->err, CRIER_ENOTFOUND, "event.message: there is no message %llu",
                             (unsigned long long)id);
    if (m)
        sim_message_delete(e->sim, channel, m);
    return 0;
}

/* Any event, as it is: what the simulator does not bring about by itself. */
static int raw(struct event *e)
{
    const json_t *intent = json_object_get(e->obj, "intents");
    uint32_t wanted = intent ? (uint32_t)json_integer_value(intent) : UINT32_MAX;
    if (!text_of(e, "t") || !json_object_get(e->obj, "d"))
        return bad(e, "t", "an event's name, and d, its data");
    char *d = json_dumps(json_object_get(e->obj, "d"), JSON_COMPACT | JSON_ENCODE_ANY);
    for (struct sim_session *s = e->sim->gateway->sessions; s; s = s->next) {
        if (s->intents & wanted)
            sim_session_event(s, text_of(e, "t"), d, strlen(d));
    }
    free(d);
    return 0;
}

static const struct {
    const char *name;
    int (*apply)(struct event *e);
} verbs[] = {
    {"guild_join", guild_join},         {"guild_leave", guild_leave},
    {"guild_update", guild_update},     {"channel_create", channel_create},
    {"channel_update", channel_update}, {"channel_delete", channel_delete},
    {"member_join", member_join},       {"member_leave", member_leave},
    {"member_update", member_update},   {"role_update", role_update},
    {"role_delete", role_delete},
    {"invite_create", invite_create},   {"invite_delete", invite_delete},
    {"message", message},               {"message_delete", message_delete},
    {"raw", raw},
};

static int check_event(const json_t *obj, int (**apply)(struct event *e), struct crier_err *err)
{
    static const char *const keys[] = {"do",       "after", "guild",   "channel", "user",
                                       "name",     "type",  "deny",    "invite",  "uses",
                                       "max_uses", "bot",   "content", "dm",      "unavailable",
                                       "t",        "d",     "intents", "role",    "roles",
                                       "allow",    "timeout", "permissions", "position",
                                       "archived", "locked", "message"};
    const char *key, *names[CRIER_COUNT(verbs)];
    json_t *value;
    const char *what = json_string_value(json_object_get(obj, "do"));
    if (!json_is_object(obj))
        return crier_err_set(err, CRIER_EINVAL, "event: expected an object");
    json_object_foreach ((json_t *)obj, key, value) {
        size_t i = 0;
        while (i < CRIER_COUNT(keys) && strcmp(keys[i], key) != 0)
            i++;
        const char *near = crier_nearest(key, keys, CRIER_COUNT(keys));
        if (i == CRIER_COUNT(keys))
            return crier_err_set(err, CRIER_EINVAL, "event: unknown key '%s'%s%s%s", key,
                                 near ? " (did you mean '" : "", near ? near : "",
                                 near ? "'?)" : "");
    }
    for (size_t i = 0; i < CRIER_COUNT(verbs); i++) {
        names[i] = verbs[i].name;
        if (what && strcmp(what, verbs[i].name) == 0) {
            *apply = verbs[i].apply;
            return 0;
        }
    }
    const char *near = what ? crier_nearest(what, names, CRIER_COUNT(names)) : NULL;
    return crier_err_set(err, CRIER_EINVAL,
                         "event.do: expected guild_join, guild_leave, guild_update, "
                         "channel_create, channel_update, channel_delete, member_join, "
                         "member_leave, member_update, role_update, role_delete, invite_create, invite_delete, message, message_delete or raw%s%s%s",
                         near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

int sim_event_apply(struct crier_sim *sim, const json_t *obj, struct crier_err *err)
{
    struct event e = {sim, obj, err};
    int (*apply)(struct event *e) = NULL;
    int rc = check_event(obj, &apply, err);
    return rc ? rc : apply(&e);
}

int crier_sim_event(struct crier_sim *sim, const char *json, struct crier_err *err)
{
    json_error_t fault;
    json_t *obj = json_loads(json, JSON_REJECT_DUPLICATES, &fault);
    int rc = obj ? json_object_get(obj, "after") ? sim_event_schedule(sim, obj, err)
                                                 : sim_event_apply(sim, obj, err)
                 : crier_err_set(err, CRIER_EINVAL,
                                 "event: not valid JSON: %s (line %d, column %d)", fault.text,
                                 fault.line, fault.column);
    json_decref(obj);
    return rc;
}

/* --- later ---------------------------------------------------------------------------------- */

struct scheduled {
    struct crier_timer timer;
    struct crier_sim *sim;
    json_t *event;
};

static void on_time(struct crier_timer *timer)
{
    struct scheduled *s = CRIER_CONTAINER(timer, struct scheduled, timer);
    struct crier_err err = {0};
    if (sim_event_apply(s->sim, s->event, &err) != 0)
        fprintf(stderr, "discord-sim: %s\n", err.text);
}

int sim_event_schedule(struct crier_sim *sim, const json_t *obj, struct crier_err *err)
{
    int (*apply)(struct event *e) = NULL;
    int64_t after = 0;
    const json_t *v = json_object_get(obj, "after");
    int rc = check_event(obj, &apply, err);
    if (rc)
        return rc;
    if (json_is_number(v))
        rc = crier_duration_from_seconds(json_number_value(v), &after, err);
    else if (json_is_string(v))
        rc = crier_duration_parse(json_string_value(v), &after, err);
    else
        rc = crier_err_set(err, CRIER_EINVAL, "expected a duration such as \"2s\"");
    if (rc)
        return crier_err_prefix(err, "event.after: ");
    struct scheduled *s = crier_calloc(1, sizeof *s);
    s->sim = sim;
    s->event = json_deep_copy(obj);
    s->timer.fire = on_time;
    g_ptr_array_add(sim->gateway->scheduled, s);
    crier_timer_in(sim->loop, &s->timer, after);
    return 0;
}

void sim_events_move(struct crier_sim *sim, struct crier_loop *from)
{
    GPtrArray *list = sim->gateway->scheduled;
    for (guint i = 0; i < list->len; i++)
        crier_timer_move(from, sim->loop, &((struct scheduled *)list->pdata[i])->timer);
}

void sim_events_fini(struct crier_sim *sim)
{
    GPtrArray *list = sim->gateway->scheduled;
    for (guint i = 0; i < list->len; i++) {
        struct scheduled *s = list->pdata[i];
        crier_timer_stop(sim->loop, &s->timer);
        json_decref(s->event);
        free(s);
    }
    g_ptr_array_free(list, TRUE);
}
