/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <limits.h>
#include <stdio.h>

#include "base/duration.h"

enum { MAX_ROLES = 250, MAX_NICK = 32, MAX_NAME = 100 };
#define MAX_TIMEOUT (28 * 86400 * CRIER_S)

/* By bit; NULL: Discord has none there. */
static const char *const names[] = {
    "CREATE_INSTANT_INVITE",
    "KICK_MEMBERS",
    "BAN_MEMBERS",
    "ADMINISTRATOR",
    "MANAGE_CHANNELS",
    "MANAGE_GUILD",
    "ADD_REACTIONS",
    "VIEW_AUDIT_LOG",
    "PRIORITY_SPEAKER",
    "STREAM",
    "VIEW_CHANNEL",
    "SEND_MESSAGES",
    "SEND_TTS_MESSAGES",
    "MANAGE_MESSAGES",
    "EMBED_LINKS",
    "ATTACH_FILES",
    "READ_MESSAGE_HISTORY",
    "MENTION_EVERYONE",
    "USE_EXTERNAL_EMOJIS",
    "VIEW_GUILD_INSIGHTS",
    "CONNECT",
    "SPEAK",
    "MUTE_MEMBERS",
    "DEAFEN_MEMBERS",
    "MOVE_MEMBERS",
    "USE_VAD",
    "CHANGE_NICKNAME",
    "MANAGE_NICKNAMES",
    "MANAGE_ROLES",
    "MANAGE_WEBHOOKS",
    "MANAGE_GUILD_EXPRESSIONS",
    "USE_APPLICATION_COMMANDS",
    "REQUEST_TO_SPEAK",
    "MANAGE_EVENTS",
    "MANAGE_THREADS",
    "CREATE_PUBLIC_THREADS",
    "CREATE_PRIVATE_THREADS",
    "USE_EXTERNAL_STICKERS",
    "SEND_MESSAGES_IN_THREADS",
    "USE_EMBEDDED_ACTIVITIES",
    "MODERATE_MEMBERS",
    "VIEW_CREATOR_MONETIZATION_ANALYTICS",
    "USE_SOUNDBOARD",
    "CREATE_GUILD_EXPRESSIONS",
    "CREATE_EVENTS",
    "USE_EXTERNAL_SOUNDS",
    "SEND_VOICE_MESSAGES",
    NULL,
    NULL,
    "SEND_POLLS",
    "USE_EXTERNAL_APPS",
    "PIN_MESSAGES",
    "BYPASS_SLOWMODE",
};

uint64_t sim_permission(const char *name)
{
    for (size_t i = 0; i < CRIER_COUNT(names); i++) {
        if (names[i] && strcmp(names[i], name) == 0)
            return UINT64_C(1) << i;
    }
    return 0;
}

bool sim_permissions_read(const json_t *v, uint64_t *out, const char **wrong)
{
    size_t i;
    const json_t *item;
    *wrong = NULL;
    *out = 0;
    if (!json_is_array(v))
        return sim_json_read_id(v, out);
    json_array_foreach (v, i, item) {
        uint64_t bit = json_is_string(item) ? sim_permission(json_string_value(item)) : 0;
        if (!bit) {
            *wrong = json_is_string(item) ? json_string_value(item) : "";
            return false;
        }
        *out |= bit;
    }
    return true;
}

/* --- roles and members ---------------------------------------------------------------------- */

static void role_free(void *p)
{
    struct sim_role *role = p;
    free(role->name);
    free(role);
}

static void member_fini(struct sim_member *member)
{
    if (member->roles)
        g_array_free(member->roles, TRUE);
    free(member->nick);
}

static void member_free(void *p)
{
    member_fini(p);
    free(p);
}

struct sim_role *sim_role(const struct sim_guild *guild, uint64_t id)
{
    for (guint i = 0; i < guild->roles->len; i++) {
        struct sim_role *role = guild->roles->pdata[i];
        if (role->id == id)
            return role;
    }
    return NULL;
}

static const struct sim_role *everyone(const struct sim_guild *guild)
{
    return guild->roles->pdata[0];
}

struct sim_role *sim_role_add(struct sim_guild *guild, uint64_t id, const char *name)
{
    struct sim_role *role = sim_role(guild, id);
    if (!role) {
        role = crier_calloc(1, sizeof *role);
        role->id = id;
        role->position = guild->roles->len > 0;
        role->permissions = guild->roles->len ? everyone(guild)->permissions : SIM_ALL_PERMISSIONS;
        g_ptr_array_add(guild->roles, role);
    }
    if (name || !role->name) {
        free(role->name);
        role->name = crier_strdup(name ? name : "new role");
    }
    return role;
}

void sim_roles_init(struct sim_guild *guild)
{
    guild->roles = g_ptr_array_new_with_free_func(role_free);
    sim_role_add(guild, guild->id, "@everyone");
}

void sim_roles_fini(struct sim_guild *guild)
{
    g_ptr_array_free(guild->roles, TRUE);
    if (guild->members)
        g_hash_table_destroy(guild->members);
    member_fini(&guild->bots);
}

static void drop_role(struct sim_member *member, uint64_t id)
{
    for (guint i = 0; member->roles && i < member->roles->len; i++) {
        if (g_array_index(member->roles, uint64_t, i) == id) {
            g_array_remove_index(member->roles, i);
            return;
        }
    }
}

void sim_role_remove(struct sim_guild *guild, struct sim_role *role)
{
    GHashTableIter it;
    gpointer member;
    drop_role(&guild->bots, role->id);
    if (guild->members) {
        g_hash_table_iter_init(&it, guild->members);
        while (g_hash_table_iter_next(&it, NULL, &member))
            drop_role(member, role->id);
    }
    g_ptr_array_remove(guild->roles, role);
}

const struct sim_member *sim_member(const struct sim_guild *guild, const struct sim_user *user)
{
    const struct sim_member *member =
        guild->members ? g_hash_table_lookup(guild->members, &user->id) : NULL;
    return member ? member : user->bot ? &guild->bots : NULL;
}

struct sim_member *sim_member_add(struct sim_guild *guild, const struct sim_user *user)
{
    if (!guild->members)
        guild->members = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, member_free);
    struct sim_member *member = g_hash_table_lookup(guild->members, &user->id);
    if (member)
        return member;
    member = crier_calloc(1, sizeof *member);
    member->user = user->id;
    if (user->bot) {
        const struct sim_member *like = &guild->bots;
        member->until = like->until;
        member->nick = crier_strdup(like->nick);
        if (like->roles)
            sim_member_set_roles(member, (const uint64_t *)(const void *)like->roles->data,
                                 like->roles->len);
    }
    g_hash_table_insert(guild->members, &member->user, member);
    return member;
}

void sim_member_remove(struct sim_guild *guild, const struct sim_user *user)
{
    if (guild->members)
        g_hash_table_remove(guild->members, &user->id);
}

void sim_member_set_roles(struct sim_member *member, const uint64_t *ids, size_t count)
{
    if (!member->roles)
        member->roles = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_array_set_size(member->roles, 0);
    if (count)
        g_array_append_vals(member->roles, ids, (guint)count);
}

unsigned sim_people(struct crier_sim *sim, const struct sim_guild *guild)
{
    GHashTableIter it;
    gpointer key;
    unsigned n = 0;
    if (!guild->members)
        return 0;
    g_hash_table_iter_init(&it, guild->members);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const struct sim_user *user = sim_user(sim, *(const uint64_t *)key);
        n += user && !user->bot;
    }
    return n;
}

static bool has_role(const struct sim_member *member, uint64_t id)
{
    for (guint i = 0; member->roles && i < member->roles->len; i++) {
        if (g_array_index(member->roles, uint64_t, i) == id)
            return true;
    }
    return false;
}

bool sim_timed_out(struct crier_sim *sim, const struct sim_guild *guild,
                   const struct sim_user *user)
{
    const struct sim_member *member = sim_member(guild, user);
    return member && member->until > crier_loop_wall(sim->loop) &&
           !(sim_may_in_guild(sim, guild, user) & SIM_ADMINISTRATOR);
}

/* --- what a member may do ------------------------------------------------------------------- */

struct sim_overwrite *sim_overwrite(struct sim_channel *channel, uint64_t id, bool member,
                                    bool make)
{
    for (guint i = 0; channel->overwrites && i < channel->overwrites->len; i++) {
        struct sim_overwrite *o = &g_array_index(channel->overwrites, struct sim_overwrite, i);
        if (o->id == id)
            return o;
    }
    if (!make)
        return NULL;
    struct sim_overwrite o = {.id = id, .member = member};
    if (!channel->overwrites)
        channel->overwrites = g_array_new(FALSE, FALSE, sizeof o);
    g_array_append_val(channel->overwrites, o);
    return &g_array_index(channel->overwrites, struct sim_overwrite, channel->overwrites->len - 1);
}

void sim_overwrite_remove(struct sim_channel *channel, uint64_t id)
{
    for (guint i = 0; channel->overwrites && i < channel->overwrites->len; i++) {
        if (g_array_index(channel->overwrites, struct sim_overwrite, i).id == id) {
            g_array_remove_index(channel->overwrites, i);
            return;
        }
    }
}

uint64_t sim_may_in_guild(struct crier_sim *sim, const struct sim_guild *guild,
                          const struct sim_user *user)
{
    const struct sim_member *member = sim_member(guild, user);
    uint64_t bits = everyone(guild)->permissions;
    (void)sim;
    for (guint i = 1; member && member->roles && i < guild->roles->len; i++) {
        const struct sim_role *role = guild->roles->pdata[i];
        if (has_role(member, role->id))
            bits |= role->permissions;
    }
    return guild->owner == user->id || (bits & SIM_ADMINISTRATOR) ? UINT64_MAX : bits;
}

/* In Discord's order: @everyone, the member's roles together, the member. */
static uint64_t overwritten(const struct sim_channel *channel, const struct sim_member *member,
                            const struct sim_user *user, uint64_t bits)
{
    enum { EVERYONE, ROLES, MEMBER, STEPS };
    uint64_t allow[STEPS] = {0}, deny[STEPS] = {0}, all = channel->guild ? channel->guild->id : 0;
    for (guint i = 0; channel->overwrites && i < channel->overwrites->len; i++) {
        const struct sim_overwrite *o = &g_array_index(channel->overwrites, struct sim_overwrite, i);
        int step = o->member ? (o->id == user->id ? MEMBER : STEPS)
                   : o->id == all                    ? EVERYONE
                   : member && has_role(member, o->id) ? ROLES
                                                       : STEPS;
        if (step == STEPS)
            continue;
        allow[step] |= o->allow;
        deny[step] |= o->deny;
    }
    for (int step = 0; step < STEPS; step++)
        bits = (bits & ~deny[step]) | allow[step];
    return bits;
}

uint64_t sim_may(struct crier_sim *sim, const struct sim_channel *channel,
                 const struct sim_user *user)
{
    const struct sim_guild *guild = channel->guild;
    const struct sim_channel *thread = channel->type == SIM_THREAD ? channel : NULL;
    if (channel->of)
        return UINT64_MAX;
    if (thread && sim_channel(sim, thread->parent))
        channel = sim_channel(sim, thread->parent);
    const struct sim_member *member = guild ? sim_member(guild, user) : NULL;
    uint64_t bits = guild ? sim_may_in_guild(sim, guild, user) : SIM_ALL_PERMISSIONS;
    if (bits == UINT64_MAX)
        return bits;
    bits = overwritten(channel, member, user, bits);
    if (!(bits & SIM_VIEW_CHANNEL))
        return 0;
    if (member && member->until > crier_loop_wall(sim->loop))
        bits &= SIM_VIEW_CHANNEL | SIM_READ_MESSAGE_HISTORY;
    if (thread)
        bits = (bits & ~SIM_SEND_MESSAGES) |
               (bits & SIM_SEND_MESSAGES_IN_THREADS ? SIM_SEND_MESSAGES : 0);
    if (!(bits & SIM_SEND_MESSAGES))
        bits &= ~(SIM_MENTION_EVERYONE | SIM_SEND_TTS_MESSAGES | SIM_ATTACH_FILES |
                  SIM_EMBED_LINKS);
    return bits;
}

/* Of two roles of one position, the older one is above. */
static bool above(const struct sim_role *a, const struct sim_role *b)
{
    return a->position != b->position ? a->position > b->position : a->id < b->id;
}

static const struct sim_role *highest(const struct sim_guild *guild, const struct sim_user *user)
{
    const struct sim_member *member = sim_member(guild, user);
    const struct sim_role *top = everyone(guild);
    for (guint i = 1; member && i < guild->roles->len; i++) {
        const struct sim_role *role = guild->roles->pdata[i];
        if (has_role(member, role->id) && above(role, top))
            top = role;
    }
    return top;
}

static bool needs(struct sim_call *call, uint64_t bits)
{
    bool may = (sim_may_in_guild(call->sim, call->guild, call->bot->user) & bits) == bits &&
               !sim_timed_out(call->sim, call->guild, call->bot->user);
    if (!may)
        sim_error(call, 403, 50013, "Missing Permissions");
    return may;
}

static bool below_bot(struct sim_call *call, const struct sim_role *role)
{
    const struct sim_user *me = call->bot->user;
    bool may = call->guild->owner == me->id || above(highest(call->guild, me), role);
    if (!may)
        sim_error(call, 403, 50013, "Missing Permissions");
    return may;
}

/* --- roles by REST -------------------------------------------------------------------------- */

static void put_text(struct crier_buf *b, const char *key, const char *text)
{
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void put_raw(struct crier_buf *b, const char *key, const char *json)
{
    crier_json_key(b, key);
    crier_json_raw(b, json, strlen(json));
}

void sim_role_json(struct crier_buf *b, const struct sim_role *role)
{
    char bits[24];
    snprintf(bits, sizeof bits, "%llu", (unsigned long long)role->permissions);
    crier_json_open(b, '{');
    crier_json_key(b, "id");
    crier_json_snowflake(b, role->id);
    put_text(b, "name", role->name);
    put_text(b, "permissions", bits);
    crier_json_key(b, "position");
    crier_json_int(b, role->position);
    crier_json_key(b, "color");
    crier_json_int(b, role->color);
    put_raw(b, "flags", "0");
    put_raw(b, "icon", "null");
    put_raw(b, "unicode_emoji", "null");
    crier_json_key(b, "hoist");
    crier_json_bool(b, role->hoist);
    put_raw(b, "managed", "false");
    crier_json_key(b, "mentionable");
    crier_json_bool(b, role->mentionable);
    crier_json_key(b, "colors");
    crier_json_open(b, '{');
    crier_json_key(b, "primary_color");
    crier_json_int(b, role->color);
    put_raw(b, "secondary_color", "null");
    put_raw(b, "tertiary_color", "null");
    crier_json_close(b, '}');
    crier_json_close(b, '}');
}

void sim_roles_list(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '[');
    for (guint i = 0; i < call->guild->roles->len; i++)
        sim_role_json(b, call->guild->roles->pdata[i]);
    crier_json_close(b, ']');
}

void sim_roles_get(struct sim_call *call)
{
    sim_role_json(sim_ok(call), call->role);
}

/* A bit set as Discord takes it: a number, or its text. False: absent, or a form error. */
static bool form_bits(struct sim_call *call, const char *key, uint64_t *out)
{
    const json_t *v = json_object_get(call->form, key);
    if (!v || json_is_null(v))
        return false;
    if (sim_json_read_id(v, out))
        return true;
    sim_form_error(call, key, "NUMBER_TYPE_COERCE", "Value is not int.");
    return false;
}

/* Nobody can give what he has not. */
static bool can_give(struct sim_call *call, uint64_t bits)
{
    return needs(call, SIM_MANAGE_ROLES | bits);
}

static bool edit_role(struct sim_call *call, struct sim_role *role, bool make)
{
    uint64_t bits = role ? role->permissions : 0, before = bits;
    size_t len = 0;
    const char *name = sim_form_text(call, call->form, "", "name", MAX_NAME, &len);
    const json_t *color = json_object_get(call->form, "color");
    if (make)
        before = bits = everyone(call->guild)->permissions;
    form_bits(call, "permissions", &bits);
    bool hoist = sim_form_bool(call, call->form, "", "hoist", role && role->hoist);
    bool mentionable = sim_form_bool(call, call->form, "", "mentionable",
                                     role && role->mentionable);
    if (color && !json_is_null(color) &&
        (!json_is_integer(color) || json_integer_value(color) < 0 ||
         json_integer_value(color) > 0xffffff))
        sim_form_error(call, "color", "NUMBER_TYPE_MAX",
                       "int value should be between 0 and 16777215.");
    if (sim_form_failed(call) || !can_give(call, bits & ~before))
        return false;
    if (make)
        role = sim_role_add(call->guild, sim_next_id(call->sim), len ? name : NULL);
    else if (len && role->id != call->guild->id)
        sim_role_add(call->guild, role->id, name);
    role->permissions = bits;
    role->hoist = hoist;
    role->mentionable = mentionable;
    if (json_is_integer(color))
        role->color = (int)json_integer_value(color);
    call->role = role;
    return true;
}

void sim_roles_create(struct sim_call *call)
{
    if (!needs(call, SIM_MANAGE_ROLES))
        return;
    if (call->guild->roles->len >= MAX_ROLES) {
        sim_error(call, 400, 30005, "Maximum number of server roles reached (%d)", MAX_ROLES);
        return;
    }
    if (!edit_role(call, NULL, true))
        return;
    sim_tell_role(call->sim, "GUILD_ROLE_CREATE", call->guild, call->role);
    sim_role_json(sim_ok(call), call->role);
}

void sim_roles_edit(struct sim_call *call)
{
    bool of_all = call->role->id == call->guild->id;
    if (!needs(call, SIM_MANAGE_ROLES) || (!of_all && !below_bot(call, call->role)) ||
        !edit_role(call, call->role, false))
        return;
    sim_tell_role(call->sim, "GUILD_ROLE_UPDATE", call->guild, call->role);
    sim_role_json(sim_ok(call), call->role);
}

void sim_roles_delete(struct sim_call *call)
{
    if (!needs(call, SIM_MANAGE_ROLES))
        return;
    if (call->role->id == call->guild->id) {
        sim_error(call, 400, 50028, "Invalid Role");
        return;
    }
    if (!below_bot(call, call->role))
        return;
    sim_tell_role(call->sim, "GUILD_ROLE_DELETE", call->guild, call->role);
    sim_role_remove(call->guild, call->role);
    sim_no_content(call);
}

/* --- members by REST ------------------------------------------------------------------------ */

static struct sim_user *find_member(struct sim_call *call)
{
    uint64_t id = 0;
    if (strcmp(call->segments[3], "@me") == 0)
        return call->bot->user;
    sim_snowflake(call->segments[3], &id);
    struct sim_user *user = sim_user(call->sim, id);
    if (!user)
        sim_error(call, 404, 10013, "Unknown User");
    else if (!sim_member(call->guild, user))
        sim_error(call, 404, 10007, "Unknown Member");
    else
        return user;
    return NULL;
}

static void answer_member(struct sim_call *call, const struct sim_user *user)
{
    struct crier_buf *b = sim_ok(call);
    sim_member_open(b, call->guild, user, true);
    crier_json_close(b, '}');
}

void sim_members_get(struct sim_call *call)
{
    const struct sim_user *user = find_member(call);
    if (user)
        answer_member(call, user);
}

/* Who is above the bot, the owner and administrators cannot be timed out; the bot itself neither. */
static bool can_moderate(struct sim_call *call, const struct sim_user *user)
{
    if (!needs(call, SIM_MODERATE_MEMBERS) ||
        !below_bot(call, highest(call->guild, user)))
        return false;
    if (user != call->bot->user && call->guild->owner != user->id &&
        !(sim_may_in_guild(call->sim, call->guild, user) & SIM_ADMINISTRATOR))
        return true;
    sim_error(call, 403, 50013, "Missing Permissions");
    return false;
}

/* 0: absent or null, then *set tells which. */
static int64_t form_until(struct sim_call *call, bool *set)
{
    static const char key[] = "communication_disabled_until";
    const json_t *v = json_object_get(call->form, key);
    struct crier_err err = {0};
    int64_t until = 0, now = crier_loop_wall(call->sim->loop);
    *set = v != NULL;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) || crier_datetime_parse(json_string_value(v), NULL, &until, &err) != 0)
        sim_form_error(call, key, "DATE_TIME_TYPE_PARSE", "Could not parse the value. Should be "
                                                          "ISO8601.");
    else if (until > now + MAX_TIMEOUT)
        sim_form_error(call, key, "GUILD_MEMBER_COMMUNICATION_DISABLED_TOO_LONG",
                       "Timeouts cannot be longer than 28 days.");
    return until > now ? until : 0;
}

/* The roles that a form wants a member to have; NULL: it says nothing of them, or is wrong. */
static GArray *form_roles(struct sim_call *call)
{
    size_t i;
    const json_t *v;
    const json_t *list = sim_form_list(call, call->form, "", "roles", MAX_ROLES);
    if (!list)
        return NULL;
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    json_array_foreach (list, i, v) {
        uint64_t id = 0;
        char place[32];
        snprintf(place, sizeof place, "roles.%zu", i);
        if (!sim_json_read_id(v, &id) || !sim_role(call->guild, id))
            sim_form_error(call, place, "GUILD_ROLE_UNKNOWN", "Unknown role.");
        else
            g_array_append_val(ids, id);
    }
    return ids;
}

/* Each role that comes or goes must be below the bot's highest. */
static bool can_assign(struct sim_call *call, const struct sim_member *member, const GArray *wanted)
{
    if (!needs(call, SIM_MANAGE_ROLES))
        return false;
    for (guint i = 0; i < call->guild->roles->len; i++) {
        const struct sim_role *role = call->guild->roles->pdata[i];
        bool will = false;
        for (guint k = 0; k < wanted->len; k++)
            will |= g_array_index(wanted, uint64_t, k) == role->id;
        if (will != has_role(member, role->id) && !below_bot(call, role))
            return false;
    }
    return true;
}

void sim_members_edit(struct sim_call *call)
{
    const struct sim_user *user = find_member(call);
    bool time_out = false;
    if (!user)
        return;
    const json_t *nick_value = json_object_get(call->form, "nick");
    const char *nick = sim_form_text(call, call->form, "", "nick", MAX_NICK, NULL);
    int64_t until = form_until(call, &time_out);
    GArray *roles = form_roles(call);
    if (sim_form_failed(call) || (time_out && !can_moderate(call, user)) ||
        (roles && !can_assign(call, sim_member(call->guild, user), roles)) ||
        (nick_value && (!needs(call, SIM_MANAGE_NICKNAMES) ||
                        (user != call->bot->user && !below_bot(call, highest(call->guild, user))))))
        goto out;
    struct sim_member *member = sim_member_add(call->guild, user);
    if (time_out)
        member->until = until;
    if (roles)
        sim_member_set_roles(member, (const uint64_t *)(const void *)roles->data, roles->len);
    if (nick_value) {
        free(member->nick);
        member->nick = nick && *nick ? crier_strdup(nick) : NULL;
    }
    sim_tell_member(call->sim, call->guild, user);
    answer_member(call, user);
out:
    if (roles)
        g_array_free(roles, TRUE);
}

static void assign(struct sim_call *call, bool add)
{
    const struct sim_user *user = find_member(call);
    if (!user || !needs(call, SIM_MANAGE_ROLES) || !below_bot(call, call->role))
        return;
    struct sim_member *member = sim_member_add(call->guild, user);
    if (!member->roles)
        sim_member_set_roles(member, NULL, 0);
    drop_role(member, call->role->id);
    if (add)
        g_array_append_val(member->roles, call->role->id);
    sim_tell_member(call->sim, call->guild, user);
    sim_no_content(call);
}

void sim_members_role_add(struct sim_call *call)
{
    assign(call, true);
}

void sim_members_role_remove(struct sim_call *call)
{
    assign(call, false);
}

/* --- overwrites by REST --------------------------------------------------------------------- */

static bool can_overwrite(struct sim_call *call, uint64_t bits)
{
    if (!call->channel->guild) {
        sim_error(call, 403, 50003, "Cannot execute action on a DM channel");
        return false;
    }
    uint64_t needed = SIM_MANAGE_ROLES | bits;
    bool may = (call->may & needed) == needed;
    if (!may)
        sim_error(call, 403, 50013, "Missing Permissions");
    return may;
}

void sim_overwrites_put(struct sim_call *call)
{
    uint64_t id = 0, allow = 0, deny = 0;
    const json_t *type = json_object_get(call->form, "type");
    sim_snowflake(call->segments[3], &id);
    form_bits(call, "allow", &allow);
    form_bits(call, "deny", &deny);
    if (type && !json_is_null(type) &&
        (!json_is_integer(type) || json_integer_value(type) < 0 || json_integer_value(type) > 1))
        sim_form_error(call, "type", "BASE_TYPE_CHOICES", "Value must be one of (0, 1).");
    if (sim_form_failed(call) || !can_overwrite(call, allow | deny))
        return;
    struct sim_overwrite *o =
        sim_overwrite(call->channel, id, json_integer_value(type) == 1, true);
    o->allow = allow;
    o->deny = deny;
    sim_tell_channel(call->sim, "CHANNEL_UPDATE", call->channel);
    sim_no_content(call);
}

void sim_overwrites_delete(struct sim_call *call)
{
    uint64_t id = 0;
    sim_snowflake(call->segments[3], &id);
    const struct sim_overwrite *o = sim_overwrite(call->channel, id, false, false);
    if (!can_overwrite(call, o ? o->allow | o->deny : 0))
        return;
    if (!o) {
        sim_error(call, 404, 10009, "Unknown Overwrite");
        return;
    }
    sim_overwrite_remove(call->channel, id);
    sim_tell_channel(call->sim, "CHANNEL_UPDATE", call->channel);
    sim_no_content(call);
}
