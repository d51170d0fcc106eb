/* SPDX-License-Identifier: MIT */
#include "sim/gateway.h"

#include <stdio.h>

enum {
    MAX_CONTENT = 2000,
    MAX_EMBEDS = 10,
    MAX_FILES = 10,
    MAX_NONCE = 25,
    MAX_MENTIONS = 100,
    MAX_REACTIONS = 20,
    FLAG_CROSSPOSTED = 1 << 0,
    FLAG_SUPPRESS_EMBEDS = 1 << 2,
    FLAGS_SETTABLE = 1 << 2 | 1 << 12, /* and SUPPRESS_NOTIFICATIONS */
};
static const uint64_t MAX_FILE = 10 << 20, MAX_REQUEST = 25 << 20;

/* --- storage ------------------------------------------------------------------------------- */

static void file_fini(struct sim_file *file)
{
    free(file->name);
    free(file->content_type);
    free(file->description);
}

static void reaction_free(void *p)
{
    struct sim_reaction *reaction = p;
    free(reaction->emoji);
    g_array_free(reaction->users, TRUE);
    free(reaction);
}

void sim_message_free(struct sim_message *m)
{
    for (unsigned i = 0; i < m->file_count; i++)
        file_fini(&m->files[i]);
    free(m->files);
    free(m->content);
    free(m->embeds);
    free(m->nonce);
    free(m->components);
    free(m->poll);
    free(m->stickers);
    free(m->mentions);
    if (m->reactions)
        g_ptr_array_free(m->reactions, TRUE);
    free(m);
}

/* Index of the first message with an id of at least `id`, from head. */
static size_t lower_bound(const struct sim_channel *channel, uint64_t id)
{
    size_t lo = 0, hi = channel->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (channel->window[channel->head + mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct sim_message *sim_message_find(const struct sim_channel *channel, uint64_t id)
{
    size_t i = lower_bound(channel, id);
    if (i == channel->count || channel->window[channel->head + i]->id != id)
        return NULL;
    return channel->window[channel->head + i];
}

static void store(struct crier_sim *sim, struct sim_channel *channel, struct sim_message *m)
{
    if (channel->count == sim->config.keep) {
        sim_message_free(channel->window[channel->head++]);
        channel->count--;
    }
    if (channel->head + channel->count == channel->cap) {
        if (channel->head > channel->cap / 2) {
            memmove(channel->window, channel->window + channel->head,
                    channel->count * sizeof *channel->window);
            channel->head = 0;
        } else {
            channel->cap = channel->cap ? channel->cap * 2 : 4;
            channel->window =
                crier_realloc(channel->window, channel->cap * sizeof *channel->window);
        }
    }
    channel->window[channel->head + channel->count++] = m;
    channel->last_message = m->id;
}

static void drop(struct sim_channel *channel, struct sim_message *m)
{
    size_t i = lower_bound(channel, m->id);
    struct sim_message **at = channel->window + channel->head + i;
    memmove(at, at + 1, (channel->count - i - 1) * sizeof *at);
    channel->count--;
    sim_message_free(m);
}

/* --- nonces -------------------------------------------------------------------------------- */

void sim_nonces_fini(struct crier_sim *sim)
{
    while (sim->nonce_first) {
        struct sim_nonce *next = sim->nonce_first->next;
        free(sim->nonce_first);
        sim->nonce_first = next;
    }
    g_hash_table_destroy(sim->nonces);
}

static void forget_old_nonces(struct crier_sim *sim)
{
    int64_t now = crier_loop_now(sim->loop);
    while (sim->nonce_first && sim->nonce_first->until <= now) {
        struct sim_nonce *n = sim->nonce_first;
        if (g_hash_table_lookup(sim->nonces, &n->key) == n)
            g_hash_table_remove(sim->nonces, &n->key);
        sim->nonce_first = n->next;
        free(n);
    }
    if (!sim->nonce_first)
        sim->nonce_last = NULL;
}

static void remember_nonce(struct crier_sim *sim, uint64_t key, struct sim_channel *channel,
                           const struct sim_message *m)
{
    struct sim_nonce *n = crier_malloc(sizeof *n);
    *n = (struct sim_nonce){.key = key,
                            .message = m->id,
                            .channel = channel,
                            .until = crier_loop_now(sim->loop) + sim->config.nonce_window};
    if (sim->nonce_last)
        sim->nonce_last->next = n;
    else
        sim->nonce_first = n;
    sim->nonce_last = n;
    g_hash_table_replace(sim->nonces, &n->key, n);
}

/* --- Discord's JSON ------------------------------------------------------------------------ */

static void files_json(struct crier_buf *b, const struct sim_channel *channel,
                       const struct sim_message *m)
{
    crier_json_open(b, '[');
    for (unsigned i = 0; i < m->file_count; i++) {
        const struct sim_file *file = &m->files[i];
        crier_json_open(b, '{');
        crier_json_key(b, "id");
        crier_json_snowflake(b, file->id);
        crier_json_key(b, "filename");
        crier_json_str(b, file->name);
        crier_json_key(b, "size");
        crier_json_uint(b, file->size);
        crier_json_key(b, "url");
        sim_file_url(b, channel, file);
        crier_json_key(b, "proxy_url");
        sim_file_url(b, channel, file);
        if (file->content_type) {
            crier_json_key(b, "content_type");
            crier_json_str(b, file->content_type);
        }
        if (file->description) {
            crier_json_key(b, "description");
            crier_json_str(b, file->description);
        }
        crier_json_close(b, '}');
    }
    crier_json_close(b, ']');
}

static void mentions_json(struct crier_sim *sim, struct crier_buf *b, const struct sim_message *m)
{
    crier_json_key(b, "mentions");
    crier_json_open(b, '[');
    for (unsigned i = 0; i < m->user_mentions; i++) {
        const struct sim_user *user = sim_user(sim, m->mentions[i]);
        crier_json_raw(b, user->json, strlen(user->json));
    }
    crier_json_close(b, ']');
    crier_json_key(b, "mention_roles");
    crier_json_open(b, '[');
    for (unsigned i = 0; i < m->role_mentions; i++)
        crier_json_snowflake(b, m->mentions[m->user_mentions + i]);
    crier_json_close(b, ']');
    crier_json_key(b, "mention_everyone");
    crier_json_bool(b, m->mention_everyone);
}

static bool reacted(const struct sim_reaction *reaction, const struct sim_user *user, guint *index)
{
    for (guint i = 0; user && i < reaction->users->len; i++) {
        if (g_array_index(reaction->users, uint64_t, i) == user->id) {
            *index = i;
            return true;
        }
    }
    return false;
}

static void reaction_json(struct crier_buf *b, const struct sim_reaction *reaction,
                          const struct sim_user *viewer)
{
    guint index;
    const char *colon = strchr(reaction->emoji, ':');
    crier_json_open(b, '{');
    crier_json_key(b, "emoji");
    crier_json_open(b, '{');
    crier_json_key(b, "id");
    if (colon)
        crier_json_str(b, colon + 1);
    else
        crier_json_null(b);
    crier_json_key(b, "name");
    crier_json_strn(b, reaction->emoji,
                    colon ? (size_t)(colon - reaction->emoji) : strlen(reaction->emoji));
    crier_json_close(b, '}');
    crier_json_key(b, "count");
    crier_json_uint(b, reaction->users->len);
    crier_json_key(b, "count_details");
    crier_json_open(b, '{');
    crier_json_key(b, "burst");
    crier_json_int(b, 0);
    crier_json_key(b, "normal");
    crier_json_uint(b, reaction->users->len);
    crier_json_close(b, '}');
    crier_json_key(b, "burst_colors");
    crier_json_open(b, '[');
    crier_json_close(b, ']');
    crier_json_key(b, "me_burst");
    crier_json_bool(b, false);
    crier_json_key(b, "me");
    crier_json_bool(b, reacted(reaction, viewer, &index));
    crier_json_close(b, '}');
}

static void reply_json(struct crier_sim *sim, struct crier_buf *b,
                       const struct sim_channel *channel, const struct sim_message *m,
                       unsigned flags)
{
    crier_json_key(b, "message_reference");
    crier_json_open(b, '{');
    crier_json_key(b, "type");
    crier_json_int(b, 0);
    crier_json_key(b, "channel_id");
    crier_json_snowflake(b, channel->id);
    crier_json_key(b, "message_id");
    crier_json_snowflake(b, m->reply_to);
    if (channel->guild) {
        crier_json_key(b, "guild_id");
        crier_json_snowflake(b, channel->guild->id);
    }
    crier_json_close(b, '}');
    if (!(flags & SIM_WITH_REFERENCED))
        return;
    const struct sim_message *to = sim_message_find(channel, m->reply_to);
    crier_json_key(b, "referenced_message");
    if (to)
        sim_message_json(sim, b, channel, to, SIM_BASIC, NULL);
    else
        crier_json_null(b);
}

void sim_message_json(struct crier_sim *sim, struct crier_buf *b, const struct sim_channel *channel,
                      const struct sim_message *m, unsigned flags, const struct sim_user *viewer)
{
    crier_json_open(b, '{');
    crier_json_key(b, "type");
    crier_json_int(b, m->reply_to ? 19 : 0);
    crier_json_key(b, "content");
    crier_json_str(b, m->content);
    mentions_json(sim, b, m);
    crier_json_key(b, "attachments");
    files_json(b, channel, m);
    crier_json_key(b, "embeds");
    if (m->embeds && !(m->flags & FLAG_SUPPRESS_EMBEDS))
        crier_json_raw(b, m->embeds, strlen(m->embeds));
    else
        crier_json_raw(b, "[]", 2);
    crier_json_key(b, "timestamp");
    sim_json_time(b, m->time);
    crier_json_key(b, "edited_timestamp");
    if (m->edited)
        sim_json_time(b, m->edited);
    else
        crier_json_null(b);
    crier_json_key(b, "flags");
    crier_json_uint(b, m->flags);
    crier_json_key(b, "components");
    crier_json_raw(b, m->components ? m->components : "[]",
                   m->components ? strlen(m->components) : 2);
    if (m->poll) {
        crier_json_key(b, "poll");
        crier_json_raw(b, m->poll, strlen(m->poll));
    }
    if (m->stickers) {
        crier_json_key(b, "sticker_items");
        crier_json_raw(b, m->stickers, strlen(m->stickers));
    }
    crier_json_key(b, "id");
    crier_json_snowflake(b, m->id);
    crier_json_key(b, "channel_id");
    crier_json_snowflake(b, channel->id);
    crier_json_key(b, "author");
    crier_json_raw(b, m->author->json, strlen(m->author->json));
    crier_json_key(b, "pinned");
    crier_json_bool(b, false);
    crier_json_key(b, "tts");
    crier_json_bool(b, m->tts);
    if (m->nonce && (flags & SIM_WITH_NONCE)) {
        crier_json_key(b, "nonce");
        crier_json_raw(b, m->nonce, strlen(m->nonce));
    }
    if (m->reactions && m->reactions->len && !(flags & SIM_BASIC)) {
        crier_json_key(b, "reactions");
        crier_json_open(b, '[');
        for (guint i = 0; i < m->reactions->len; i++)
            reaction_json(b, m->reactions->pdata[i], viewer);
        crier_json_close(b, ']');
    }
    if (m->reply_to)
        reply_json(sim, b, channel, m, flags);
    crier_json_close(b, '}');
}

/* --- what a request may carry -------------------------------------------------------------- */

/* A request's fields, checked; all borrowed from the call. A pointer that is NULL was absent. */
struct draft {
    const char *content; /* trimmed of white space, as Discord does */
    size_t content_len;
    json_t *embeds, *attachments;
    const json_t *mentions; /* allowed_mentions */
    json_t *components, *poll, *stickers;
    bool has_content, has_embeds, has_flags, has_components;
    unsigned flags;
    size_t files; /* uploaded with this request */
};

static bool is_file(const struct crier_http_part *part)
{
    return part->filename && strcmp(part->name, "payload_json") != 0;
}

static void trim(const char **text, size_t *len)
{
    while (*len && g_ascii_isspace((*text)[*len - 1]))
        (*len)--;
    while (*len && g_ascii_isspace(**text)) {
        (*text)++;
        (*len)--;
    }
}

static void check_mentions(struct sim_call *call, struct draft *d)
{
    static const char *const kinds[] = {"users", "roles"};
    size_t i;
    const json_t *v;
    const json_t *allowed = json_object_get(call->form, "allowed_mentions");
    if (!allowed || json_is_null(allowed))
        return;
    if (!json_is_object(allowed)) {
        sim_form_error(call, "allowed_mentions", "DICT_TYPE_CONVERT",
                       "Only dictionaries may be used in a DictType");
        return;
    }
    d->mentions = allowed;
    sim_form_bool(call, allowed, "allowed_mentions", "replied_user", false);
    const json_t *parse = sim_form_list(call, allowed, "allowed_mentions", "parse", MAX_MENTIONS);
    for (size_t k = 0; k < CRIER_COUNT(kinds); k++) {
        const json_t *ids =
            sim_form_list(call, allowed, "allowed_mentions", kinds[k], MAX_MENTIONS);
        json_array_foreach (parse, i, v) {
            if (json_array_size(ids) && json_is_string(v) &&
                strcmp(json_string_value(v), kinds[k]) == 0)
                sim_form_error(call, "allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                               "parse:[\"%s\"] and %s: [ids...] are mutually exclusive.", kinds[k],
                               kinds[k]);
        }
    }
    json_array_foreach (parse, i, v) {
        const char *text = json_string_value(v);
        char path[64];
        snprintf(path, sizeof path, "allowed_mentions.parse.%zu", i);
        if (!text || (strcmp(text, "users") && strcmp(text, "roles") && strcmp(text, "everyone")))
            sim_form_error(call, path, "BASE_TYPE_CHOICES",
                           "Value must be one of ('users', 'roles', 'everyone').");
    }
}

static void check_flags(struct sim_call *call, struct draft *d)
{
    const json_t *flags = json_object_get(call->form, "flags");
    if (!flags || json_is_null(flags))
        return;
    if (!json_is_integer(flags)) {
        sim_form_error(call, "flags", "NUMBER_TYPE_COERCE", "Value is not int.");
        return;
    }
    d->has_flags = true;
    d->flags = (unsigned)json_integer_value(flags) & FLAGS_SETTABLE;
}

static void check_attachments(struct sim_call *call, struct draft *d)
{
    size_t i;
    const json_t *v;
    d->attachments = sim_form_list(call, call->form, "", "attachments", 100);
    json_array_foreach (d->attachments, i, v) {
        char base[64];
        uint64_t id;
        snprintf(base, sizeof base, "attachments.%zu", i);
        if (!json_is_object(v)) {
            sim_form_error(call, base, "DICT_TYPE_CONVERT",
                           "Only dictionaries may be used in a DictType");
            continue;
        }
        sim_form_text(call, v, base, "filename", 1024, NULL);
        sim_form_text(call, v, base, "description", 1024, NULL);
        if (!json_object_get(v, "id")) {
            strcat(base, ".id");
            sim_form_error(call, base, "BASE_TYPE_REQUIRED", "This field is required");
        } else {
            sim_form_id(call, v, base, "id", &id);
        }
    }
}

/* The limits on uploads: their number, each one's size, the whole request's. */
static bool check_files(struct sim_call *call, struct draft *d)
{
    uint64_t total = call->req->body_len;
    bool large = false;
    for (size_t i = 0; i < call->req->part_count; i++) {
        const struct crier_http_part *part = &call->req->parts[i];
        total += part->len;
        if (is_file(part)) {
            d->files++;
            large |= part->len > MAX_FILE;
        }
    }
    if (large || total > MAX_REQUEST)
        sim_error(call, 413, 40005, "Request entity too large");
    return !large && total <= MAX_REQUEST;
}

static void wrong(struct sim_call *call, const char *path, const char *text)
{
    sim_form_error(call, path, "BASE_TYPE_BAD", "%s", text);
}

/* Action rows of link buttons; other components are not simulated. */
static void check_components(struct sim_call *call, struct draft *d)
{
    enum { ROWS = 5, BUTTONS = 5, ACTION_ROW = 1, BUTTON = 2, LINK = 5 };
    size_t i, k;
    json_t *row, *button;
    d->has_components = json_object_get(call->form, "components") != NULL;
    d->components = sim_form_list(call, call->form, "", "components", ROWS);
    json_array_foreach (d->components, i, row) {
        char base[80];
        snprintf(base, sizeof base, "components.%zu", i);
        const json_t *list = json_object_get(row, "components");
        if (json_integer_value(json_object_get(row, "type")) != ACTION_ROW ||
            json_array_size(list) < 1 || json_array_size(list) > BUTTONS)
            wrong(call, base, "Must be an action row of 1 to 5 components.");
        json_array_foreach (list, k, button) {
            snprintf(base, sizeof base, "components.%zu.components.%zu", i, k);
            sim_form_text(call, button, base, "label", 80, NULL);
            const char *url = sim_form_text(call, button, base, "url", 512, NULL);
            if (json_integer_value(json_object_get(button, "type")) != BUTTON ||
                json_integer_value(json_object_get(button, "style")) != LINK || !url)
                wrong(call, base, "Only buttons that lead to an url are simulated.");
        }
    }
}

static void check_poll(struct sim_call *call, struct draft *d)
{
    size_t i;
    json_t *answer;
    json_t *poll = json_object_get(call->form, "poll");
    if (!poll || json_is_null(poll))
        return;
    const json_t *answers = json_object_get(poll, "answers");
    json_int_t hours = json_integer_value(json_object_get(poll, "duration"));
    d->poll = poll;
    if (!sim_form_text(call, json_object_get(poll, "question"), "poll.question", "text", 300, NULL))
        wrong(call, "poll.question", "This field is required");
    if (json_array_size(answers) < 1 || json_array_size(answers) > 10)
        wrong(call, "poll.answers", "Must be between 1 and 10 in length.");
    if (json_object_get(poll, "duration") && (hours < 1 || hours > 768))
        wrong(call, "poll.duration", "Must be between 1 and 768.");
    json_array_foreach (answers, i, answer) {
        char base[64];
        snprintf(base, sizeof base, "poll.answers.%zu.poll_media", i);
        if (!sim_form_text(call, json_object_get(answer, "poll_media"), base, "text", 55, NULL))
            wrong(call, base, "This field is required");
    }
}

static void check_stickers(struct sim_call *call, struct draft *d)
{
    size_t i;
    json_t *v;
    uint64_t id;
    d->stickers = sim_form_list(call, call->form, "", "sticker_ids", 3);
    json_array_foreach (d->stickers, i, v) {
        if (!sim_json_read_id(v, &id))
            wrong(call, "sticker_ids", "Value is not snowflake.");
    }
}

/* The fields that create and edit have in common. */
static bool read_draft(struct sim_call *call, struct draft *d)
{
    if (!check_files(call, d))
        return false;
    d->content = sim_form_text(call, call->form, "", "content", MAX_CONTENT, &d->content_len);
    d->has_content = json_object_get(call->form, "content") != NULL;
    if (d->content)
        trim(&d->content, &d->content_len);
    d->has_embeds = json_object_get(call->form, "embeds") != NULL;
    d->embeds = sim_form_list(call, call->form, "", "embeds", MAX_EMBEDS);
    if (json_array_size(d->embeds) <= MAX_EMBEDS)
        sim_embeds_check(call, d->embeds);
    check_mentions(call, d);
    check_flags(call, d);
    check_attachments(call, d);
    check_components(call, d);
    check_poll(call, d);
    check_stickers(call, d);
    return !sim_form_failed(call);
}

/* What the bot may do where the draft goes. */
static bool may_send(struct sim_call *call, const struct draft *d)
{
    const struct sim_channel *channel = call->channel;
    uint64_t needed = SIM_SEND_MESSAGES;
    if (json_array_size(d->embeds))
        needed |= SIM_EMBED_LINKS;
    if (d->files)
        needed |= SIM_ATTACH_FILES;
    if ((call->may & needed) != needed)
        sim_error(call, 403, 50013, "Missing Permissions");
    else if (channel->locked && !(call->may & SIM_MANAGE_THREADS))
        sim_error(call, 403, 160005, "Thread is locked");
    else if (channel->type == SIM_FORUM || channel->type == SIM_CATEGORY)
        sim_error(call, 400, 50008, "Cannot send messages in a non-text channel");
    else if (channel->recipient && channel->recipient->no_dms)
        sim_error(call, 403, 50007, "Cannot send messages to this user");
    else
        return true;
    return false;
}

/* --- mentions ------------------------------------------------------------------------------ */

static bool parses(const json_t *allowed, const char *kind)
{
    size_t i;
    const json_t *v;
    if (!allowed)
        return true;
    json_array_foreach (json_object_get(allowed, "parse"), i, v) {
        if (strcmp(json_string_value(v), kind) == 0)
            return true;
    }
    return false;
}

static bool allows(const json_t *allowed, const char *kind, uint64_t id)
{
    size_t i;
    const json_t *v;
    uint64_t listed;
    if (parses(allowed, kind))
        return true;
    json_array_foreach (json_object_get(allowed, kind), i, v) {
        if (sim_json_read_id(v, &listed) && listed == id)
            return true;
    }
    return false;
}

static void add_unique(GArray *ids, uint64_t id)
{
    for (guint i = 0; i < ids->len; i++) {
        if (g_array_index(ids, uint64_t, i) == id)
            return;
    }
    if (ids->len < MAX_MENTIONS)
        g_array_append_val(ids, id);
}

/* "<@1>", "<@!1>" and "<@&1>" at p, which is behind the '<'. */
static bool read_mention(const char *p, bool *role, uint64_t *id)
{
    char digits[24];
    if (*p++ != '@')
        return false;
    *role = *p == '&';
    p += *p == '&' || *p == '!';
    size_t n = strspn(p, "0123456789");
    if (!n || n >= sizeof digits || p[n] != '>')
        return false;
    memcpy(digits, p, n);
    digits[n] = '\0';
    return sim_snowflake(digits, id);
}

static bool mentions_everyone(const char *content)
{
    return strstr(content, "@everyone") || strstr(content, "@here");
}

/* A role that not everyone may mention tells only those who may mention everyone. */
static bool may_mention(const struct sim_call *call, uint64_t id)
{
    const struct sim_role *role = call->channel->guild ? sim_role(call->channel->guild, id) : NULL;
    return !role || role->mentionable || (call->may & SIM_MENTION_EVERYONE);
}

static void set_mentions(struct sim_call *call, struct sim_message *m, const json_t *allowed)
{
    free(m->mentions);
    m->mentions = NULL;
    m->user_mentions = m->role_mentions = 0;
    m->mention_everyone = false;
    const struct sim_message *replied =
        m->reply_to ? sim_message_find(call->channel, m->reply_to) : NULL;
    if (!replied && !strchr(m->content, '@'))
        return;
    GArray *users = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    GArray *roles = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (replied && (!allowed || json_is_true(json_object_get(allowed, "replied_user"))))
        add_unique(users, replied->author->id);
    for (const char *p = strchr(m->content, '<'); p; p = strchr(p + 1, '<')) {
        uint64_t id;
        bool role;
        if (!read_mention(p + 1, &role, &id))
            continue;
        /* Whoever counts pings wants those of people whom no world file names, too. */
        if (!role && call->sim->on_create && !crier_sim_knows(call->sim, id))
            crier_sim_add_user(call->sim, id, NULL);
        if (role && allows(allowed, "roles", id) && may_mention(call, id))
            add_unique(roles, id);
        else if (!role && sim_user(call->sim, id) && allows(allowed, "users", id))
            add_unique(users, id);
    }
    m->mention_everyone = mentions_everyone(m->content) && parses(allowed, "everyone") &&
                          (call->may & SIM_MENTION_EVERYONE);
    m->user_mentions = users->len;
    m->role_mentions = roles->len;
    g_array_append_vals(users, roles->data, roles->len);
    if (users->len) {
        m->mentions = crier_malloc(users->len * sizeof *m->mentions);
        memcpy(m->mentions, users->data, users->len * sizeof *m->mentions);
    }
    g_array_free(users, TRUE);
    g_array_free(roles, TRUE);
}

/* --- files --------------------------------------------------------------------------------- */

/* The entry of `attachments` that speaks of the part "files[n]". */
static const json_t *attachment_of(const struct draft *d, const char *part_name)
{
    size_t i;
    const json_t *v;
    const char *open = strchr(part_name, '[');
    json_array_foreach (d->attachments, i, v) {
        uint64_t id;
        if (open && sim_json_read_id(json_object_get(v, "id"), &id) &&
            id == strtoull(open + 1, NULL, 10))
            return v;
    }
    return NULL;
}

static void add_file(struct sim_call *call, struct sim_message *m, const struct draft *d,
                     const struct crier_http_part *part)
{
    const json_t *meta = attachment_of(d, part->name);
    const char *name = json_string_value(json_object_get(meta, "filename"));
    const char *description = json_string_value(json_object_get(meta, "description"));
    m->files = crier_realloc(m->files, (m->file_count + 1) * sizeof *m->files);
    m->files[m->file_count++] =
        (struct sim_file){.id = sim_next_id(call->sim),
                          .size = part->len,
                          .name = crier_strdup(name && *name ? name : part->filename),
                          .content_type = crier_strdup(part->content_type),
                          .description = crier_strdup(description)};
}

static void add_files(struct sim_call *call, struct sim_message *m, const struct draft *d)
{
    for (size_t i = 0; i < call->req->part_count; i++) {
        if (is_file(&call->req->parts[i]))
            add_file(call, m, d, &call->req->parts[i]);
    }
}

static bool retained(const struct draft *d, uint64_t file)
{
    size_t i;
    const json_t *v;
    json_array_foreach (d->attachments, i, v) {
        uint64_t id;
        if (sim_json_read_id(json_object_get(v, "id"), &id) && id == file)
            return true;
    }
    return false;
}

static size_t count_retained(const struct sim_message *m, const struct draft *d)
{
    size_t n = 0;
    for (unsigned i = 0; i < m->file_count; i++)
        n += !d->attachments || retained(d, m->files[i].id);
    return n;
}

static void drop_files(struct sim_message *m, const struct draft *d)
{
    unsigned kept = 0;
    for (unsigned i = 0; d->attachments && i < m->file_count; i++) {
        if (retained(d, m->files[i].id))
            m->files[kept++] = m->files[i];
        else
            file_fini(&m->files[i]);
    }
    if (d->attachments)
        m->file_count = kept;
}

/* --- create -------------------------------------------------------------------------------- */

/* The nonce as JSON text (owned) and its key; NULL when there is none. */
static char *read_nonce(struct sim_call *call, uint64_t *key)
{
    char digits[24];
    const json_t *nonce = json_object_get(call->form, "nonce");
    if (!nonce || json_is_null(nonce))
        return NULL;
    const char *text = digits;
    if (json_is_integer(nonce)) {
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(nonce));
    } else if (json_is_string(nonce)) {
        text = json_string_value(nonce);
        sim_form_text(call, call->form, "", "nonce", MAX_NONCE, NULL);
    } else {
        sim_form_error(call, "nonce", "NONCE_TYPE_INVALID", "Nonce must be a string or an int.");
        return NULL;
    }
    *key = sim_hash(call->bot->user->id, text);
    if (json_is_integer(nonce))
        return crier_strdup(digits);
    struct crier_buf b = {0};
    crier_json_str(&b, text);
    return crier_buf_take(&b);
}

/* The message replied to; false when the form is wrong. */
static bool read_reference(struct sim_call *call, uint64_t *reply_to)
{
    const json_t *ref = json_object_get(call->form, "message_reference");
    uint64_t message = 0, channel = call->channel->id;
    if (!ref || json_is_null(ref))
        return true;
    sim_form_id(call, ref, "message_reference", "message_id", &message);
    sim_form_id(call, ref, "message_reference", "channel_id", &channel);
    bool must = sim_form_bool(call, ref, "message_reference", "fail_if_not_exists", true);
    if (call->errors)
        return !sim_form_failed(call);
    if (!(call->may & SIM_READ_MESSAGE_HISTORY)) {
        sim_error(call, 403, 160002, "Cannot reply without permission to read message history");
        return false;
    }
    if (channel == call->channel->id && sim_message_find(call->channel, message))
        *reply_to = message;
    else if (must)
        sim_form_error(call, "message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message");
    return !sim_form_failed(call);
}

static bool is_empty(struct sim_call *call, const struct draft *d, size_t content_len,
                     size_t embeds, size_t files)
{
    if (content_len || embeds || files || d->poll || json_array_size(d->stickers))
        return false;
    sim_error(call, 400, 50006, "Cannot send an empty message");
    return true;
}

/* A create whose nonce was seen in the window answers what that one made. */
static bool answer_repeated(struct sim_call *call, uint64_t key)
{
    forget_old_nonces(call->sim);
    const struct sim_nonce *seen = g_hash_table_lookup(call->sim->nonces, &key);
    if (!seen)
        return false;
    const struct sim_message *m = sim_message_find(seen->channel, seen->message);
    if (m)
        sim_message_json(call->sim, sim_ok(call), seen->channel, m,
                         SIM_WITH_NONCE | SIM_WITH_REFERENCED, call->bot->user);
    else
        sim_error(call, 404, 10008, "Unknown Message");
    return true;
}

/* Rows and buttons are numbered, as Discord answers them. */
static char *components_text(const json_t *components)
{
    size_t i, k;
    json_t *row, *button;
    if (!json_array_size(components))
        return NULL;
    json_t *copy = json_deep_copy(components);
    int number = 1;
    json_array_foreach (copy, i, row) {
        json_object_set_new(row, "id", json_integer(number++));
        json_array_foreach (json_object_get(row, "components"), k, button)
            json_object_set_new(button, "id", json_integer(number++));
    }
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return text;
}

static char *poll_text(struct sim_call *call, const json_t *poll)
{
    size_t i;
    json_t *answer;
    struct crier_buf time = {0};
    if (!poll)
        return NULL;
    json_t *copy = json_deep_copy(poll);
    const json_t *duration = json_object_get(copy, "duration");
    int64_t hours = duration ? json_integer_value(duration) : 24;
    sim_json_time(&time, crier_loop_wall(call->sim->loop) + hours * 3600 * CRIER_S);
    json_object_set_new(copy, "expiry", json_loads(time.data, JSON_DECODE_ANY, NULL));
    crier_buf_fini(&time);
    json_object_del(copy, "duration");
    json_array_foreach (json_object_get(copy, "answers"), i, answer)
        json_object_set_new(answer, "answer_id", json_integer((json_int_t)i + 1));
    if (!json_object_get(copy, "allow_multiselect"))
        json_object_set_new(copy, "allow_multiselect", json_false());
    json_object_set_new(copy, "layout_type", json_integer(1));
    json_object_set_new(copy, "results",
                        json_pack("{s:b, s:[]}", "is_finalized", 0, "answer_counts"));
    char *text = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return text;
}

static char *stickers_text(const json_t *stickers)
{
    size_t i;
    json_t *v;
    struct crier_buf b = {0};
    if (!json_array_size(stickers))
        return NULL;
    crier_json_open(&b, '[');
    json_array_foreach (stickers, i, v) {
        uint64_t id = 0;
        sim_json_read_id(v, &id);
        crier_json_open(&b, '{');
        crier_json_key(&b, "id");
        crier_json_snowflake(&b, id);
        crier_json_key(&b, "name");
        crier_json_str(&b, "sticker");
        crier_json_key(&b, "format_type");
        crier_json_int(&b, 1);
        crier_json_close(&b, '}');
    }
    crier_json_close(&b, ']');
    return crier_buf_take(&b);
}

static struct sim_message *make_message(struct sim_call *call, const struct draft *d)
{
    struct sim_message *m = crier_calloc(1, sizeof *m);
    m->time = crier_loop_wall(call->sim->loop);
    m->author = call->bot->user;
    m->content = crier_strndup(d->content ? d->content : "", d->content_len);
    m->flags = d->flags;
    m->tts = json_is_true(json_object_get(call->form, "tts"));
    add_files(call, m, d);
    m->embeds = sim_embeds_text(d->embeds, call->channel, m->files, m->file_count);
    m->components = components_text(d->components);
    m->poll = poll_text(call, d->poll);
    m->stickers = stickers_text(d->stickers);
    m->id = sim_next_id(call->sim);
    return m;
}

/* --- threads ------------------------------------------------------------------------------- */

static struct sim_channel *make_thread(struct sim_call *call, uint64_t id, const char *name)
{
    crier_sim_add_channel(call->sim, id, 0, name, SIM_THREAD);
    struct sim_channel *thread = sim_channel(call->sim, id);
    thread->guild = call->channel->guild; /* which does not list it among its channels */
    thread->parent = call->channel->id;
    return thread;
}

static void thread_json(struct sim_call *call, const struct sim_channel *thread)
{
    call->ans->status = 201;
    sim_channel_json(&call->ans->body, thread);
}

static const char *thread_name(struct sim_call *call)
{
    size_t len = 0;
    const char *name = sim_form_text(call, call->form, "", "name", 100, &len);
    if (!len)
        sim_form_error(call, "name", "BASE_TYPE_REQUIRED", "This field is required");
    return name;
}

/* A post of a forum; other threads without a message are not simulated. */
void sim_threads_create(struct sim_call *call)
{
    struct draft d = {0};
    const char *name = thread_name(call);
    sim_form_list(call, call->form, "", "applied_tags", 5);
    json_t *message = json_object_get(call->form, "message");
    if (call->channel->type != SIM_FORUM) {
        sim_error(call, 400, 50024, "Cannot execute action on this channel type");
        return;
    }
    if (!json_is_object(message))
        sim_form_error(call, "message", "BASE_TYPE_REQUIRED", "This field is required");
    if (sim_form_failed(call))
        return;
    if (call->channel->require_tag && !json_array_size(json_object_get(call->form, "applied_tags"))) {
        sim_error(call, 400, 40067,
                  "A tag is required to create a forum post in this channel");
        return;
    }
    json_t *form = call->form;
    call->form = message;
    bool ok = read_draft(call, &d);
    if (ok && !(call->may & SIM_SEND_MESSAGES)) {
        sim_error(call, 403, 50013, "Missing Permissions");
        ok = false;
    }
    if (ok && !is_empty(call, &d, d.content_len, json_array_size(d.embeds), d.files)) {
        struct sim_message *m = make_message(call, &d);
        struct sim_channel *thread = make_thread(call, m->id, name);
        set_mentions(call, m, d.mentions);
        store(call->sim, thread, m);
        call->sim->stats.creates++;
        thread_json(call, thread);
    }
    call->form = form;
}

void sim_threads_from_message(struct sim_call *call)
{
    const char *name = thread_name(call);
    if (sim_form_failed(call))
        return;
    if (call->channel->type != SIM_TEXT && call->channel->type != SIM_ANNOUNCEMENT)
        sim_error(call, 400, 50024, "Cannot execute action on this channel type");
    else if (sim_channel(call->sim, call->message->id))
        sim_error(call, 400, 160004, "A thread has already been created for this message");
    else if (!(call->may & SIM_CREATE_PUBLIC_THREADS))
        sim_error(call, 403, 50013, "Missing Permissions");
    else
        thread_json(call, make_thread(call, call->message->id, name));
}

/* Threads only: nothing of ours deletes a channel. */
void sim_threads_delete(struct sim_call *call)
{
    if (call->channel->type != SIM_THREAD) {
        sim_error(call, 403, 50013, "Missing Permissions");
        return;
    }
    sim_channel_json(sim_ok(call), call->channel);
    while (call->channel->count)
        drop(call->channel, call->channel->window[call->channel->head]);
    call->channel->gone = true;
}

void sim_messages_create(struct sim_call *call)
{
    struct draft d = {0};
    uint64_t key = 0, reply_to = 0;
    char *nonce = NULL;
    if (!read_draft(call, &d) || !may_send(call, &d))
        return;
    nonce = read_nonce(call, &key);
    bool enforce = sim_form_bool(call, call->form, "", "enforce_nonce", false);
    sim_form_bool(call, call->form, "", "tts", false);
    if (sim_form_failed(call) || !read_reference(call, &reply_to))
        goto out;
    if (is_empty(call, &d, d.content_len, json_array_size(d.embeds), d.files))
        goto out;
    if (d.files > MAX_FILES) {
        sim_error(call, 400, 30015, "Maximum number of attachments in a message reached (%d)",
                  MAX_FILES);
        goto out;
    }
    if (nonce && enforce && answer_repeated(call, key))
        goto out;

    struct sim_message *m = make_message(call, &d);
    m->reply_to = reply_to;
    m->nonce = nonce;
    nonce = NULL;
    set_mentions(call, m, d.mentions);
    store(call->sim, call->channel, m);
    call->channel->archived = false; /* whoever writes in a thread opens it again */
    if (m->nonce)
        remember_nonce(call->sim, key, call->channel, m);
    call->sim->stats.creates++;
    sim_tell_message(call->sim, "MESSAGE_CREATE", call->channel, m);
    if (call->sim->on_create)
        call->sim->on_create(call->sim->on_create_arg, call->channel->id,
                             m->user_mentions + m->role_mentions + m->mention_everyone);
    sim_message_json(call->sim, sim_ok(call), call->channel, m,
                     SIM_WITH_NONCE | SIM_WITH_REFERENCED, call->bot->user);
out:
    free(nonce);
}

void sim_user_message(struct crier_sim *sim, struct sim_channel *channel, struct sim_user *author,
                      const char *content)
{
    struct sim_message *m = crier_calloc(1, sizeof *m);
    m->time = crier_loop_wall(sim->loop);
    m->author = author;
    m->content = crier_strdup(content);
    m->id = sim_next_id(sim);
    for (const char *p = content; (p = strstr(p, "<@")) != NULL; p++) {
        uint64_t id = strtoull(p + 2 + (p[2] == '!'), NULL, 10);
        if (!sim_user(sim, id) || m->user_mentions == MAX_MENTIONS)
            continue;
        m->mentions = crier_realloc(m->mentions, (m->user_mentions + 1) * sizeof *m->mentions);
        m->mentions[m->user_mentions++] = id;
    }
    store(sim, channel, m);
    sim_tell_message(sim, "MESSAGE_CREATE", channel, m);
}

/* --- edit and delete ----------------------------------------------------------------------- */

static void apply_edit(struct sim_call *call, const struct draft *d)
{
    struct sim_message *m = call->message;
    drop_files(m, d);
    add_files(call, m, d);
    if (d->has_content) {
        free(m->content);
        m->content = crier_strndup(d->content ? d->content : "", d->content_len);
    }
    if (d->has_embeds) {
        free(m->embeds);
        m->embeds = sim_embeds_text(d->embeds, call->channel, m->files, m->file_count);
    }
    if (d->has_components) {
        free(m->components);
        m->components = components_text(d->components);
    }
    if (d->has_flags)
        m->flags = (m->flags & ~(unsigned)FLAG_SUPPRESS_EMBEDS) |
                   (d->flags & FLAG_SUPPRESS_EMBEDS);
    set_mentions(call, m, d->mentions);
    m->edited = crier_loop_wall(call->sim->loop);
    sim_tell_message(call->sim, "MESSAGE_UPDATE", call->channel, m);
}

void sim_messages_edit(struct sim_call *call)
{
    struct draft d = {0};
    struct sim_message *m = call->message;
    if (m->author != call->bot->user) {
        sim_error(call, 403, 50005, "Cannot edit a message authored by another user");
        return;
    }
    if (call->channel->archived) {
        sim_error(call, 400, 50083, "Thread is archived");
        return;
    }
    if (!read_draft(call, &d) || !may_send(call, &d))
        return;
    size_t files = count_retained(m, &d) + d.files;
    size_t embeds = d.has_embeds ? json_array_size(d.embeds) : m->embeds != NULL;
    if (is_empty(call, &d, d.has_content ? d.content_len : strlen(m->content), embeds, files))
        return;
    if (files > MAX_FILES) {
        sim_error(call, 400, 30015, "Maximum number of attachments in a message reached (%d)",
                  MAX_FILES);
        return;
    }
    apply_edit(call, &d);
    call->sim->stats.edits++;
    sim_message_json(call->sim, sim_ok(call), call->channel, m, SIM_WITH_REFERENCED,
                     call->bot->user);
}

void sim_message_delete(struct crier_sim *sim, struct sim_channel *channel, struct sim_message *m)
{
    sim_tell_message(sim, "MESSAGE_DELETE", channel, m);
    drop(channel, m);
}

void sim_messages_delete(struct sim_call *call)
{
    bool own = call->message->author == call->bot->user;
    if (!own && call->channel->of) {
        sim_error(call, 403, 50003, "Cannot execute action on a DM channel");
        return;
    }
    if (!own && !(call->may & SIM_MANAGE_MESSAGES)) {
        sim_error(call, 403, 50013, "Missing Permissions");
        return;
    }
    sim_message_delete(call->sim, call->channel, call->message);
    call->sim->stats.deletes++;
    sim_no_content(call);
}

/* --- read ---------------------------------------------------------------------------------- */

void sim_messages_get(struct sim_call *call)
{
    if (!(call->may & SIM_READ_MESSAGE_HISTORY))
        sim_error(call, 403, 50013, "Missing Permissions");
    else
        sim_message_json(call->sim, sim_ok(call), call->channel, call->message,
                         SIM_WITH_REFERENCED, call->bot->user);
}

/* limit: 1 to 100, 50 unless told. */
static size_t read_limit(struct sim_call *call)
{
    char text[32];
    char *end;
    if (!sim_query(call, "limit", text, sizeof text))
        return 50;
    long v = strtol(text, &end, 10);
    if (!*text || *end)
        sim_form_error(call, "limit", "NUMBER_TYPE_COERCE", "Value \"%s\" is not int.", text);
    else if (v < 1)
        sim_form_error(call, "limit", "NUMBER_TYPE_MIN",
                       "int value should be greater than or equal to 1.");
    else if (v > 100)
        sim_form_error(call, "limit", "NUMBER_TYPE_MAX",
                       "int value should be less than or equal to 100.");
    return (size_t)v;
}

static bool read_anchor(struct sim_call *call, const char *name, uint64_t *id)
{
    char text[32];
    if (!sim_query(call, name, text, sizeof text))
        return false;
    if (sim_snowflake(text, id))
        return true;
    sim_form_error(call, name, "NUMBER_TYPE_COERCE", "Value \"%s\" is not snowflake.", text);
    return false;
}

/* The slice [from, to) that is asked for, counted from the oldest. */
static void find_slice(struct sim_call *call, size_t limit, size_t *from, size_t *to)
{
    const struct sim_channel *channel = call->channel;
    uint64_t id;
    *from = 0;
    *to = channel->count;
    if (read_anchor(call, "around", &id)) {
        size_t at = lower_bound(channel, id);
        size_t half = limit / 2;
        *from = at > half ? at - half : 0;
        *to = *from + limit < channel->count ? *from + limit : channel->count;
    } else if (read_anchor(call, "after", &id)) {
        *from = lower_bound(channel, id + 1);
        *to = *from + limit < channel->count ? *from + limit : channel->count;
    } else if (read_anchor(call, "before", &id)) {
        *to = lower_bound(channel, id);
    }
    if (*to - *from > limit)
        *from = *to - limit;
}

void sim_messages_list(struct sim_call *call)
{
    size_t from = 0, to = 0;
    const struct sim_channel *channel = call->channel;
    size_t limit = read_limit(call);
    if (!call->errors)
        find_slice(call, limit, &from, &to);
    if (sim_form_failed(call))
        return;
    if (!(call->may & SIM_READ_MESSAGE_HISTORY))
        from = to; /* "no messages will be returned", says the documentation */
    struct crier_buf *b = sim_ok(call);
    crier_json_open(b, '[');
    while (to-- > from)
        sim_message_json(call->sim, b, channel, channel->window[channel->head + to],
                         SIM_WITH_REFERENCED, call->bot->user);
    crier_json_close(b, ']');
}

/* --- the rest ------------------------------------------------------------------------------ */

void sim_messages_crosspost(struct sim_call *call)
{
    struct sim_message *m = call->message;
    bool own = m->author == call->bot->user;
    if (call->channel->type != SIM_ANNOUNCEMENT) {
        sim_error(call, 400, 50024, "Cannot execute action on this channel type");
    } else if (!(call->may & (own ? SIM_SEND_MESSAGES : SIM_MANAGE_MESSAGES))) {
        sim_error(call, 403, 50013, "Missing Permissions");
    } else if (m->flags & FLAG_CROSSPOSTED) {
        sim_error(call, 400, 40033, "This message has already been crossposted");
    } else {
        m->flags |= FLAG_CROSSPOSTED;
        sim_message_json(call->sim, sim_ok(call), call->channel, m, SIM_WITH_REFERENCED,
                         call->bot->user);
    }
}

/* A character of its own, or name:id. There is no list of custom emoji: each id is one. */
static bool emoji_ok(const char *emoji)
{
    uint64_t id;
    const char *colon = strchr(emoji, ':');
    if (colon)
        return colon > emoji && sim_snowflake(colon + 1, &id);
    for (const char *p = emoji; *p; p++) {
        if (*p & 0x80)
            return strlen(emoji) <= 64 && g_utf8_validate(emoji, -1, NULL);
    }
    return false;
}

static struct sim_reaction *find_reaction(struct sim_message *m, const char *emoji)
{
    for (guint i = 0; m->reactions && i < m->reactions->len; i++) {
        struct sim_reaction *reaction = m->reactions->pdata[i];
        if (strcmp(reaction->emoji, emoji) == 0)
            return reaction;
    }
    return NULL;
}

void sim_messages_react(struct sim_call *call)
{
    guint index;
    struct sim_message *m = call->message;
    const char *emoji = call->segments[5];
    struct sim_reaction *reaction = find_reaction(m, emoji);
    if (!emoji_ok(emoji)) {
        sim_error(call, 400, 10014, "Unknown Emoji");
        return;
    }
    uint64_t needed = SIM_READ_MESSAGE_HISTORY | (reaction ? 0 : SIM_ADD_REACTIONS);
    if ((call->may & needed) != needed) {
        sim_error(call, 403, 50013, "Missing Permissions");
        return;
    }
    if (!m->reactions)
        m->reactions = g_ptr_array_new_with_free_func(reaction_free);
    if (!reaction && m->reactions->len == MAX_REACTIONS) {
        sim_error(call, 400, 30010, "Maximum number of reactions reached (%d)", MAX_REACTIONS);
        return;
    }
    if (!reaction) {
        reaction = crier_calloc(1, sizeof *reaction);
        reaction->emoji = crier_strdup(emoji);
        reaction->users = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        g_ptr_array_add(m->reactions, reaction);
    }
    if (!reacted(reaction, call->bot->user, &index))
        g_array_append_val(reaction->users, call->bot->user->id);
    sim_no_content(call);
}

void sim_messages_unreact(struct sim_call *call)
{
    guint index;
    struct sim_reaction *reaction = find_reaction(call->message, call->segments[5]);
    if (!emoji_ok(call->segments[5])) {
        sim_error(call, 400, 10014, "Unknown Emoji");
        return;
    }
    if (reaction && reacted(reaction, call->bot->user, &index)) {
        g_array_remove_index(reaction->users, index);
        if (!reaction->users->len)
            g_ptr_array_remove(call->message->reactions, reaction);
    }
    sim_no_content(call);
}

void sim_messages_typing(struct sim_call *call)
{
    if (!(call->may & SIM_SEND_MESSAGES))
        sim_error(call, 403, 50013, "Missing Permissions");
    else
        sim_no_content(call);
}
