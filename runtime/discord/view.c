/* SPDX-License-Identifier: MIT */
#include "discord/view.h"

#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"

#define ASK_FOR (30 * CRIER_S)
#define PAGE 200
#define MOST 20000 /* guilds; a server that repeats itself ends there */

/* --- permissions --------------------------------------------------------------------------- */

#define ADMINISTRATOR (UINT64_C(1) << 3)

static const struct {
    unsigned bit;
    const char *name;
} names[] = {
    {3, "Administrator"},
    {4, "Manage Channels"},
    {5, "Manage Server"},
    {6, "Add Reactions"},
    {10, "View Channel"},
    {11, "Send Messages"},
    {12, "Send TTS Messages"},
    {13, "Manage Messages"},
    {14, "Embed Links"},
    {15, "Attach Files"},
    {16, "Read Message History"},
    {17, "Mention Everyone"},
    {18, "Use External Emoji"},
    {34, "Manage Threads"},
    {35, "Create Public Threads"},
    {37, "Use External Stickers"},
    {38, "Send Messages in Threads"},
    {49, "Send Polls"},
};

const char *crier_permission_names(uint64_t bits, char *out, size_t cap)
{
    size_t len = 0;
    *out = '\0';
    for (size_t i = 0; i < CRIER_COUNT(names) && len < cap; i++)
        if (bits >> names[i].bit & 1)
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? ", " : "", names[i].name);
    return out;
}

static uint64_t number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v))
        return (uint64_t)json_integer_value(v);
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : 0;
}

static bool has_role(const json_t *member, uint64_t role)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(member, "roles"), i, v)
    {
        if (json_is_string(v) && strtoull(json_string_value(v), NULL, 10) == role)
            return true;
    }
    return false;
}

/* Until when a member is timed out; 0: it is not. */
static int64_t member_timeout(const json_t *member, int64_t now)
{
    int64_t until = 0;
    struct crier_err err = {0};
    const char *text = json_string_value(json_object_get(member, "communication_disabled_until"));
    if (!text || crier_datetime_parse(text, NULL, &until, &err) != 0 || until <= now)
        return 0;
    return until;
}

static uint64_t of_roles(const json_t *guild, const json_t *member)
{
    size_t i;
    json_t *role;
    uint64_t bits = 0, everyone = number(guild, "id");
    json_array_foreach(json_object_get(guild, "roles"), i, role)
    {
        uint64_t id = number(role, "id");
        if (id == everyone || has_role(member, id))
            bits |= number(role, "permissions");
    }
    return bits;
}

static uint64_t overwritten(uint64_t bits, const json_t *channel, const json_t *member,
                            uint64_t everyone, uint64_t self)
{
    enum { EVERYONE, ROLES, MEMBER, STEPS };
    uint64_t allow[STEPS] = {0}, deny[STEPS] = {0};
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(channel, "permission_overwrites"), i, o)
    {
        uint64_t id = number(o, "id");
        int step = number(o, "type") == 1 ? (id == self ? MEMBER : -1)
                   : id == everyone       ? EVERYONE
                   : has_role(member, id) ? ROLES
                                          : -1;
        if (step < 0)
            continue;
        allow[step] |= number(o, "allow");
        deny[step] |= number(o, "deny");
    }
    for (int step = 0; step < STEPS; step++)
        bits = (bits & ~deny[step]) | allow[step];
    return bits;
}

uint64_t crier_permissions(const json_t *guild, const json_t *member, const json_t *channel,
                           uint64_t self, int64_t now)
{
    if (!member || !self || number(guild, "owner_id") == self)
        return UINT64_MAX;
    uint64_t bits = of_roles(guild, member);
    if (bits & ADMINISTRATOR)
        return UINT64_MAX;
    bits = overwritten(bits, channel, member, number(guild, "id"), self);
    if (!(bits & CRIER_MAY_VIEW_CHANNEL))
        return 0;
    if (!(bits & CRIER_MAY_SEND_MESSAGES))
        bits &= ~(uint64_t)(CRIER_MAY_EMBED_LINKS | CRIER_MAY_ATTACH_FILES | 1 << 12 | 1 << 17);
    if (member_timeout(member, now))
        bits &= CRIER_MAY_VIEW_CHANNEL | CRIER_MAY_READ_HISTORY;
    return bits;
}

/* --- by REST ------------------------------------------------------------------------------- */

struct rest {
    struct crier_view base;
    struct crier_discord *d;
    struct crier_loop *loop;
    struct crier_seen_guilds guilds;
    int64_t guilds_at; /* monotonic; CRIER_NEVER: not known */
    bool guilds_asked;
    json_t *pages;
    GArray *waiting;   /* struct waiter */
    GHashTable *known; /* guild -> struct known */
};

struct waiter {
    void (*done)(void);
    void *arg;
};

struct known {
    struct rest *rest;
    uint64_t guild;
    struct crier_seen_channels seen;
    int64_t at;
    int left;             /* requests under way */
    struct crier_err why; /* of the last round; code 0: fine */
    json_t *answers[3];   /* guild, channels, member */
    GArray *waiting;
};

static void fini_guilds(struct crier_seen_guilds *g)
{
    for (size_t i = 0; i < g->count; i++)
        free(g->list[i].name);
    free(g->list);
    *g = (struct crier_seen_guilds){0};
}

static void fini_channels(struct crier_seen_channels *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->list[i].name);
    free(c->list);
    *c = (struct crier_seen_channels){0};
}

static GArray *take_waiting(GArray **list)
{
    GArray *taken = *list;
    *list = g_array_new(FALSE, FALSE, sizeof(struct waiter));
    return taken;
}

static void tell_guilds(struct rest *r, const struct crier_err *why)
{
    bool have = r->guilds_at != CRIER_NEVER;
    GArray *waiting = take_waiting(&r->waiting);
    for (guint i = 0; i < waiting->len; i++) {
        struct waiter *w = &g_array_index(waiting, struct waiter, i);
        ((crier_guilds_done *)w->done)(w->arg, have ? &r->guilds : NULL, have ? NULL : why);
    }
    g_array_free(waiting, TRUE);
}

static void keep_guilds(struct rest *r)
{
    size_t i;
    json_t *o;
    fini_guilds(&r->guilds);
    r->guilds.list = crier_calloc(json_array_size(r->pages) + 1, sizeof *r->guilds.list);
    json_array_foreach(r->pages, i, o)
    {
        const char *name = json_string_value(json_object_get(o, "name"));
        uint64_t id = number(o, "id");
        if (id)
            r->guilds.list[r->guilds.count++] =
                (struct crier_seen_guild){id, crier_strdup(name ? name : "")};
    }
    r->guilds_at = crier_loop_now(r->loop);
}

static void ask_page(struct rest *r);

static void on_page(void *arg, const struct crier_discord_result *result)
{
    struct rest *r = arg;
    size_t n = json_array_size(result->body);
    if (result->outcome == CRIER_SENT && json_is_array(result->body)) {
        json_array_extend(r->pages, result->body);
        if (n == PAGE && json_array_size(r->pages) < MOST) {
            ask_page(r);
            return;
        }
        keep_guilds(r);
    }
    struct crier_err why = result->err;
    if (!why.code)
        crier_err_set(&why, CRIER_ENET, "the answer is no list of guilds");
    r->guilds_asked = false;
    json_decref(r->pages);
    r->pages = NULL;
    tell_guilds(r, &why);
}

static void ask_page(struct rest *r)
{
    char path[80];
    size_t n = json_array_size(r->pages);
    const char *last = json_string_value(json_object_get(json_array_get(r->pages, n - 1), "id"));
    snprintf(path, sizeof path, "/users/@me/guilds?limit=%d%s%s", PAGE, n ? "&after=" : "",
             n && last ? last : "");
    crier_discord_get(r->d, path, crier_loop_now(r->loop) + ASK_FOR, on_page, r);
}

static bool fresh(const struct rest *r, int64_t at, int64_t max_age)
{
    return at != CRIER_NEVER && crier_loop_now(r->loop) - at <= max_age;
}

static void rest_guilds(struct crier_view *view, int64_t max_age, crier_guilds_done *done,
                        void *arg)
{
    struct rest *r = CRIER_CONTAINER(view, struct rest, base);
    if (fresh(r, r->guilds_at, max_age)) {
        done(arg, &r->guilds, NULL);
        return;
    }
    struct waiter w = {(void (*)(void))done, arg};
    g_array_append_val(r->waiting, w);
    if (r->guilds_asked)
        return;
    r->guilds_asked = true;
    r->pages = json_array();
    ask_page(r);
}

static void keep_channels(struct known *k)
{
    size_t i;
    json_t *o;
    struct crier_seen_channels *c = &k->seen;
    int64_t now = crier_loop_wall(k->rest->loop);
    fini_channels(c);
    c->timeout_until = member_timeout(k->answers[2], now);
    c->list = crier_calloc(json_array_size(k->answers[1]) + 1, sizeof *c->list);
    json_array_foreach(k->answers[1], i, o)
    {
        const char *name = json_string_value(json_object_get(o, "name"));
        c->list[c->count++] = (struct crier_seen_channel){
            .id = number(o, "id"),
            .parent = number(o, "parent_id"),
            .last_message = number(o, "last_message_id"),
            .type = (int)json_integer_value(json_object_get(o, "type")),
            .name = crier_strdup(name ? name : ""),
            .permissions = crier_permissions(k->answers[0], k->answers[2], o,
                                             crier_discord_self(k->rest->d), now)};
    }
    k->at = crier_loop_now(k->rest->loop);
}

static void channels_answered(struct known *k)
{
    if (!k->why.code && json_is_array(k->answers[1]))
        keep_channels(k);
    for (int i = 0; i < 3; i++) {
        json_decref(k->answers[i]);
        k->answers[i] = NULL;
    }
    bool have = k->at != CRIER_NEVER;
    if (!have && !k->why.code)
        crier_err_set(&k->why, CRIER_ENET, "the answer is no list of channels");
    GArray *waiting = take_waiting(&k->waiting);
    struct crier_err why = k->why;
    for (guint i = 0; i < waiting->len; i++) {
        struct waiter *w = &g_array_index(waiting, struct waiter, i);
        ((crier_channels_done *)w->done)(w->arg, have ? &k->seen : NULL, have ? NULL : &why);
    }
    g_array_free(waiting, TRUE);
}

static void answered(struct known *k, int which, const struct crier_discord_result *result)
{
    if (result->outcome == CRIER_SENT)
        k->answers[which] = json_incref(result->body);
    else if (which == 1) /* without the others the channels are known all the same */
        k->why = result->err;
    if (--k->left == 0)
        channels_answered(k);
}

static void on_guild(void *arg, const struct crier_discord_result *result)
{
    answered(arg, 0, result);
}

static void on_channels(void *arg, const struct crier_discord_result *result)
{
    answered(arg, 1, result);
}

static void on_member(void *arg, const struct crier_discord_result *result)
{
    answered(arg, 2, result);
}

static void known_free(void *p)
{
    struct known *k = p;
    fini_channels(&k->seen);
    g_array_free(k->waiting, TRUE);
    free(k);
}

static void rest_channels(struct crier_view *view, uint64_t guild, int64_t max_age,
                          crier_channels_done *done, void *arg)
{
    struct rest *r = CRIER_CONTAINER(view, struct rest, base);
    struct known *k = g_hash_table_lookup(r->known, &guild);
    if (!k) {
        k = crier_calloc(1, sizeof *k);
        k->rest = r;
        k->guild = guild;
        k->at = CRIER_NEVER;
        k->waiting = g_array_new(FALSE, FALSE, sizeof(struct waiter));
        g_hash_table_insert(r->known, &k->guild, k);
    }
    if (fresh(r, k->at, max_age)) {
        done(arg, &k->seen, NULL);
        return;
    }
    struct waiter w = {(void (*)(void))done, arg};
    g_array_append_val(k->waiting, w);
    if (k->left)
        return;
    char path[96];
    uint64_t self = crier_discord_self(r->d);
    int64_t by = crier_loop_now(r->loop) + ASK_FOR;
    k->why = (struct crier_err){0};
    k->left = self ? 3 : 2;
    snprintf(path, sizeof path, "/guilds/%" PRIu64, guild);
    crier_discord_get(r->d, path, by, on_guild, k);
    snprintf(path, sizeof path, "/guilds/%" PRIu64 "/channels", guild);
    crier_discord_get(r->d, path, by, on_channels, k);
    snprintf(path, sizeof path, "/guilds/%" PRIu64 "/members/%" PRIu64, guild, self);
    if (self)
        crier_discord_get(r->d, path, by, on_member, k);
}

static void rest_free(struct crier_view *view)
{
    struct rest *r = CRIER_CONTAINER(view, struct rest, base);
    fini_guilds(&r->guilds);
    g_array_free(r->waiting, TRUE);
    g_hash_table_destroy(r->known);
    json_decref(r->pages);
    free(r);
}

struct crier_view *crier_view_rest(struct crier_discord *d, struct crier_loop *loop)
{
    static const struct crier_view_ops ops = {rest_guilds, rest_channels, rest_free};
    struct rest *r = crier_calloc(1, sizeof *r);
    r->base.ops = &ops;
    r->d = d;
    r->loop = loop;
    r->guilds_at = CRIER_NEVER;
    r->waiting = g_array_new(FALSE, FALSE, sizeof(struct waiter));
    r->known = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, known_free);
    return &r->base;
}
