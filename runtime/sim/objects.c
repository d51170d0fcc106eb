/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdio.h>

static void put_nulls(struct crier_buf *b, const char *const *keys)
{
    for (; *keys; keys++) {
        crier_json_key(b, *keys);
        crier_json_null(b);
    }
}

static void put_ints(struct crier_buf *b, const char *const *keys, int64_t v)
{
    for (; *keys; keys++) {
        crier_json_key(b, *keys);
        crier_json_int(b, v);
    }
}

static void put_empty_lists(struct crier_buf *b, const char *const *keys)
{
    for (; *keys; keys++) {
        crier_json_key(b, *keys);
        crier_json_raw(b, "[]", 2);
    }
}

static void put_bools(struct crier_buf *b, const char *const *keys, bool v)
{
    for (; *keys; keys++) {
        crier_json_key(b, *keys);
        crier_json_bool(b, v);
    }
}

static void put_text(struct crier_buf *b, const char *key, const char *text)
{
    crier_json_key(b, key);
    crier_json_str(b, text);
}

static void put_id(struct crier_buf *b, const char *key, uint64_t id)
{
    crier_json_key(b, key);
    crier_json_snowflake(b, id);
}

/* An administrator's "everything", as Discord writes it. */
#define GUILD_BITS (SIM_ALL_PERMISSIONS | SIM_ADMINISTRATOR)

static void put_bits(struct crier_buf *b, const char *key, uint64_t bits)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)bits);
    put_text(b, key, text);
}

/* --- users --------------------------------------------------------------------------------- */

/* Without the closing brace, since /users/@me has more. */
static void open_user(struct crier_buf *b, const struct sim_user *user)
{
    static const char *const nulls[] = {"avatar", "banner", "accent_color",
                                        "avatar_decoration_data", "collectibles", "primary_guild",
                                        NULL};
    static const char *const zeros[] = {"public_flags", "flags", NULL};
    crier_json_open(b, '{');
    put_id(b, "id", user->id);
    put_text(b, "username", user->name);
    put_text(b, "discriminator", user->bot ? "0001" : "0");
    crier_json_key(b, "global_name");
    if (user->bot)
        crier_json_null(b);
    else
        crier_json_str(b, user->name);
    put_nulls(b, nulls);
    put_ints(b, zeros, 0);
    if (user->bot) {
        crier_json_key(b, "bot");
        crier_json_bool(b, true);
    }
}

char *sim_user_json(const struct sim_user *user)
{
    struct crier_buf b = {0};
    open_user(&b, user);
    crier_json_close(&b, '}');
    return crier_buf_take(&b);
}

void sim_me_get(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    open_user(b, call->bot->user);
    put_bools(b, (const char *const[]){"mfa_enabled", "verified", NULL}, true);
    put_text(b, "locale", "en-US");
    crier_json_key(b, "email");
    crier_json_null(b);
    crier_json_close(b, '}');
}

void sim_user_get(struct sim_call *call)
{
    uint64_t id = 0;
    sim_snowflake(call->segments[1], &id);
    const struct sim_user *user = sim_user(call->sim, id);
    if (!user) {
        sim_error(call, 404, 10013, "Unknown User");
        return;
    }
    crier_buf_puts(sim_ok(call), user->json);
}

/* In pages of at most 200, by id. */
static bool on_page(const struct sim_call *call, const struct sim_guild *guild, unsigned *left)
{
    char text[32];
    uint64_t after = 0;
    if (sim_query(call, "after", text, sizeof text))
        sim_snowflake(text, &after);
    if (guild->left || guild->id <= after || !*left)
        return false;
    --*left;
    return true;
}

static gint by_id(gconstpointer a, gconstpointer b)
{
    const struct sim_guild *x = *(const struct sim_guild *const *)a;
    const struct sim_guild *y = *(const struct sim_guild *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

void sim_me_guilds(struct sim_call *call)
{
    static const char *const nulls[] = {"icon", "banner", NULL};
    char text[32];
    unsigned left = sim_query(call, "limit", text, sizeof text) ? (unsigned)atoi(text) : 200;
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '[');
    GPtrArray *order = g_ptr_array_copy(call->sim->guild_order, NULL, NULL);
    g_ptr_array_sort(order, by_id);
    for (guint i = 0; i < order->len; i++) {
        const struct sim_guild *guild = order->pdata[i];
        if (!on_page(call, guild, &left))
            continue;
        crier_json_open(b, '{');
        put_id(b, "id", guild->id);
        put_text(b, "name", guild->name);
        put_nulls(b, nulls);
        crier_json_key(b, "owner");
        crier_json_bool(b, false);
        put_bits(b, "permissions",
                 sim_may_in_guild(call->sim, guild, call->bot->user) & GUILD_BITS);
        put_empty_lists(b, (const char *const[]){"features", NULL});
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
    g_ptr_array_free(order, TRUE);
}

/* --- channels ------------------------------------------------------------------------------ */

static void put_last_message(struct crier_buf *b, const struct sim_channel *channel)
{
    crier_json_key(b, "last_message_id");
    if (channel->last_message)
        crier_json_snowflake(b, channel->last_message);
    else
        crier_json_null(b);
}

static void put_overwrites(struct crier_buf *b, const struct sim_channel *channel)
{
    crier_json_key(b, "permission_overwrites");
    crier_json_open(b, '[');
    for (guint i = 0; channel->overwrites && i < channel->overwrites->len; i++) {
        const struct sim_overwrite *o = &g_array_index(channel->overwrites, struct sim_overwrite, i);
        crier_json_open(b, '{');
        put_id(b, "id", o->id);
        crier_json_key(b, "type");
        crier_json_int(b, o->member);
        put_bits(b, "allow", o->allow);
        put_bits(b, "deny", o->deny);
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
}

static void thread_rest(struct crier_buf *b, const struct sim_channel *thread)
{
    static const char *const counts[] = {"message_count", "member_count", "total_message_sent",
                                         NULL};
    int64_t made = ((int64_t)(thread->id >> 22) + SIM_EPOCH_MS) * CRIER_MS;
    put_id(b, "guild_id", thread->guild ? thread->guild->id : 0);
    put_id(b, "parent_id", thread->parent);
    put_id(b, "owner_id", thread->guild ? thread->guild->owner : 1);
    put_ints(b, counts, (int64_t)thread->count);
    put_ints(b, (const char *const[]){"rate_limit_per_user", NULL}, 0);
    crier_json_key(b, "thread_metadata");
    crier_json_open(b, '{');
    put_bools(b, (const char *const[]){"archived", NULL}, thread->archived);
    put_bools(b, (const char *const[]){"locked", NULL}, thread->locked);
    put_ints(b, (const char *const[]){"auto_archive_duration", NULL}, 1440);
    crier_json_key(b, "archive_timestamp");
    sim_json_time(b, made);
    crier_json_key(b, "create_timestamp");
    sim_json_time(b, made);
    crier_json_close(b, '}');
    crier_json_close(b, '}');
}

void sim_channel_json(struct crier_buf *b, const struct sim_channel *channel)
{
    enum { REQUIRE_TAG = 1 << 4 };
    crier_json_open(b, '{');
    put_id(b, "id", channel->id);
    crier_json_key(b, "type");
    crier_json_int(b, channel->type);
    crier_json_key(b, "flags");
    crier_json_int(b, channel->require_tag ? REQUIRE_TAG : 0);
    put_last_message(b, channel);
    if (channel->of) {
        crier_json_key(b, "recipients");
        crier_json_open(b, '[');
        crier_json_raw(b, channel->recipient->json, strlen(channel->recipient->json));
        crier_json_close(b, ']');
        crier_json_close(b, '}');
        return;
    }
    put_text(b, "name", channel->name);
    if (channel->type == SIM_THREAD) {
        thread_rest(b, channel);
        return;
    }
    crier_json_key(b, "position");
    crier_json_int(b, channel->position);
    if (channel->parent)
        put_id(b, "parent_id", channel->parent);
    else
        put_nulls(b, (const char *const[]){"parent_id", NULL});
    put_nulls(b, (const char *const[]){"topic", NULL});
    crier_json_key(b, "nsfw");
    crier_json_bool(b, false);
    crier_json_key(b, "rate_limit_per_user");
    crier_json_uint(b, channel->slowmode);
    if (channel->guild) {
        put_id(b, "guild_id", channel->guild->id);
        put_overwrites(b, channel);
    }
    crier_json_close(b, '}');
}

void sim_channel_get(struct sim_call *call)
{
    sim_channel_json(sim_ok(call), call->channel);
}

void sim_me_channels(struct sim_call *call)
{
    uint64_t id = 0;
    if (!sim_form_id(call, call->form, "", "recipient_id", &id) && !call->errors)
        sim_form_error(call, "recipient_id", "BASE_TYPE_REQUIRED", "This field is required");
    if (sim_form_failed(call))
        return;
    struct sim_user *user = sim_user(call->sim, id);
    if (!user || user->bot) {
        sim_error(call, 400, 50033, "Invalid Recipient(s)");
        return;
    }
    sim_channel_json(sim_ok(call), sim_dm(call->sim, call->bot, user));
}

/* --- guilds -------------------------------------------------------------------------------- */

void sim_guild_open(struct crier_buf *b, const struct sim_guild *guild)
{
    static const char *const nulls[] = {
        "icon", "description", "home_header", "splash", "discovery_splash", "banner",
        "application_id", "afk_channel_id", "system_channel_id", "widget_channel_id",
        "max_presences", "vanity_url_code", "rules_channel_id", "safety_alerts_channel_id",
        "public_updates_channel_id", "incidents_data", NULL};
    static const char *const zeros[] = {
        "system_channel_flags", "verification_level", "default_message_notifications", "mfa_level",
        "explicit_content_filter", "premium_tier", "premium_subscription_count", "nsfw_level",
        NULL};
    static const char *const bools[] = {"widget_enabled", "premium_progress_bar_enabled", "nsfw",
                                        NULL};
    static const char *const lists[] = {"features", "emojis", "stickers", NULL};
    crier_json_open(b, '{');
    put_id(b, "id", guild->id);
    put_text(b, "name", guild->name);
    put_id(b, "owner_id", guild->owner);
    put_text(b, "region", "rotterdam");
    put_text(b, "preferred_locale", "en-US");
    put_nulls(b, nulls);
    put_ints(b, zeros, 0);
    put_ints(b, (const char *const[]){"afk_timeout", NULL}, 300);
    put_ints(b, (const char *const[]){"max_members", NULL}, 500000);
    put_ints(b, (const char *const[]){"max_stage_video_channel_users", NULL}, 50);
    put_ints(b, (const char *const[]){"max_video_channel_users", NULL}, 25);
    put_bools(b, bools, false);
    put_empty_lists(b, lists);
    crier_json_key(b, "roles");
    crier_json_open(b, '[');
    for (guint i = 0; i < guild->roles->len; i++)
        sim_role_json(b, guild->roles->pdata[i]);
    crier_json_close(b, ']');
}

void sim_guild_get(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    sim_guild_open(b, call->guild);
    crier_json_close(b, '}');
}

void sim_guild_channels(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '[');
    for (guint i = 0; i < call->guild->channels->len; i++)
        sim_channel_json(b, call->guild->channels->pdata[i]);
    crier_json_close(b, ']');
}

void sim_member_open(struct crier_buf *b, const struct sim_guild *guild,
                     const struct sim_user *user, bool with_user)
{
    static const char *const nulls[] = {"avatar", "banner", "premium_since", NULL};
    static const char *const bools[] = {"pending", "mute", "deaf", NULL};
    const struct sim_member *member = sim_member(guild, user);
    crier_json_open(b, '{');
    if (with_user) {
        crier_json_key(b, "user");
        crier_json_raw(b, user->json, strlen(user->json));
    }
    put_nulls(b, nulls);
    crier_json_key(b, "nick");
    if (member && member->nick)
        crier_json_str(b, member->nick);
    else
        crier_json_null(b);
    /* Discord leaves the time there when it is over. */
    crier_json_key(b, "communication_disabled_until");
    if (member && member->until)
        sim_json_time(b, member->until);
    else
        crier_json_null(b);
    put_bools(b, bools, false);
    put_ints(b, (const char *const[]){"flags", NULL}, 0);
    crier_json_key(b, "roles");
    crier_json_open(b, '[');
    for (guint i = 0; member && member->roles && i < member->roles->len; i++)
        crier_json_snowflake(b, g_array_index(member->roles, uint64_t, i));
    crier_json_close(b, ']');
    crier_json_key(b, "joined_at");
    sim_json_time(b, ((int64_t)(guild->id >> 22) + SIM_EPOCH_MS) * CRIER_MS);
}

/* --- gateway ------------------------------------------------------------------------------- */

/* A loopback address, so that a client under test can never be led out to the real service. */
static void put_gateway_url(struct sim_call *call)
{
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", call->sim->port ? call->sim->port : 1);
    put_text(&call->ans->body, "url", url);
}

void sim_gateway_get(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '{');
    put_gateway_url(call);
    crier_json_close(b, '}');
}

void sim_gateway_bot(struct sim_call *call)
{
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '{');
    put_gateway_url(call);
    put_ints(b, (const char *const[]){"shards", NULL}, call->sim->gateway->shards);
    crier_json_key(b, "session_start_limit");
    crier_json_open(b, '{');
    unsigned remaining = sim_gateway_remaining(call->sim, call->bot);
    int64_t left = call->bot->day_end - crier_loop_now(call->sim->loop);
    put_ints(b, (const char *const[]){"total", NULL}, call->sim->gateway->total);
    put_ints(b, (const char *const[]){"remaining", NULL}, remaining);
    put_ints(b, (const char *const[]){"reset_after", NULL}, left / CRIER_MS);
    put_ints(b, (const char *const[]){"max_concurrency", NULL}, call->sim->gateway->concurrency);
    crier_json_close(b, '}');
    crier_json_close(b, '}');
}
