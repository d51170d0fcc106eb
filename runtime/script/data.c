/* SPDX-License-Identifier: MIT
 *
 * What a message says: the call of its data function, and a look at what it would say.
 */
#include <errno.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discord/request.h"
#include "discord/view.h"
#include "script/message_private.h"

static void content_from_results(lua_State *L, struct crier_data *d)
{
    if (lua_isnil(L, -1)) {
        d->nil = true;
        return;
    }
    if (crier_content_from_lua(L, -1, d->m->gen->folder, &d->content, &d->err) != 0)
        d->err.code = CRIER_EINVAL;
}

static int data_returned(lua_State *L, int status, lua_KContext ctx)
{
    (void)status;
    content_from_results(L, (struct crier_data *)ctx);
    return 0;
}

static void new_ctx(lua_State *L, const struct crier_message *m)
{
    char id[24];
    lua_newtable(L);
    lua_pushstring(L, crier_message_display(m));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, m->target->bot ? m->target->bot->name : "bot");
    lua_setfield(L, -2, "bot");
    lua_createtable(L, 0, 3);
    lua_pushstring(L, crier_id_text(m->target->id, id));
    lua_setfield(L, -2, "id");
    lua_pushstring(L, m->target->type == CRIER_GUILD ? "GUILD" : "USER");
    lua_setfield(L, -2, "type");
    lua_setfield(L, -2, "guild");
}

/* ctx, the function's view of what is being sent; made once a message and kept, but for a preview,
 * beside which a send may be under way. */
void crier_data_push_ctx(lua_State *L, const struct crier_data *d)
{
    struct crier_message *m = d->m;
    const struct crier_msgstate *st = m->state;
    char name[24], id[24];
    if (d->preview) {
        new_ctx(L, m);
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "preview");
    } else {
        if (!m->ctx) {
            new_ctx(L, m);
            m->ctx = luaL_ref(L, LUA_REGISTRYINDEX);
        }
        lua_rawgeti(L, LUA_REGISTRYINDEX, m->ctx);
    }
    lua_getfield(L, -1, "guild");
    lua_pushstring(L, crier_target_name(d->poster, m->target, name));
    lua_setfield(L, -2, "name");
    lua_pop(L, 1);
    lua_pushnumber(L, (lua_Number)d->due / 1e6);
    lua_setfield(L, -2, "due");
    lua_pushinteger(L, (lua_Integer)st->sent);
    lua_setfield(L, -2, "sent");
    lua_pushinteger(L, (lua_Integer)st->failed);
    lua_setfield(L, -2, "failed");
    lua_pushinteger(L, (lua_Integer)st->skipped);
    lua_setfield(L, -2, "skipped");
    lua_createtable(L, (int)d->channel_count, 0);
    for (size_t i = 0; i < d->channel_count; i++) {
        lua_pushstring(L, crier_id_text(d->channels[i], id));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "channels");
}

/* Replaces the value on top by a copy, tables in it included; seen: the table of those that have
 * been copied. What lies deeper than anyone would nest by hand is shared. */
static void copy_value(lua_State *L, int seen, int depth)
{
    enum { DEEPEST = 60 };
    if (!lua_istable(L, -1) || depth > DEEPEST)
        return;
    luaL_checkstack(L, 8, "tables too deep");
    lua_pushvalue(L, -1);
    if (lua_rawget(L, seen) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    int from = lua_gettop(L), to = from + 1;
    lua_newtable(L);
    lua_pushvalue(L, from);
    lua_pushvalue(L, to);
    lua_rawset(L, seen);
    if (lua_getmetatable(L, from))
        lua_setmetatable(L, to);
    lua_pushnil(L);
    while (lua_next(L, from)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        copy_value(L, seen, depth + 1);
        lua_rawset(L, to);
    }
    lua_remove(L, from);
}

static int l_copy(lua_State *L)
{
    lua_newtable(L);
    lua_insert(L, 1);
    copy_value(L, 1, 0);
    return 1;
}

int crier_data_copy_args(struct crier_vm *vm, int args)
{
    lua_State *L = vm->L;
    bool capped = vm->capped;
    vm->capped = false; /* an error outside of the call would have nowhere to go */
    lua_pushcfunction(L, l_copy);
    lua_rawgeti(L, LUA_REGISTRYINDEX, args);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        args = luaL_ref(L, LUA_REGISTRYINDEX);
    else
        lua_pop(L, 1);
    vm->capped = capped;
    return args;
}

/* Runs inside the call's coroutine, so that whatever raises here is the call's error. */
static int l_data(lua_State *L)
{
    struct crier_data *d = lua_touserdata(L, 1);
    int args = 1, seen = 0;
    if (d->preview) {
        lua_newtable(L);
        seen = lua_gettop(L);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, d->m->data_fn);
    crier_data_push_ctx(L, d);
    if (d->m->data_args) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, d->m->data_args);
        int list = lua_gettop(L);
        lua_getfield(L, list, "n");
        int n = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        luaL_checkstack(L, n + 4, "too many bound arguments");
        for (int i = 1; i <= n; i++) {
            lua_rawgeti(L, list, i);
            if (seen)
                copy_value(L, seen, 0);
        }
        lua_remove(L, list);
        args += n;
    }
    lua_callk(L, args, 1, (lua_KContext)d, data_returned);
    content_from_results(L, d);
    return 0;
}

void crier_data_push(struct crier_data *d)
{
    lua_State *L = d->m->gen->vm->L;
    lua_pushcfunction(L, l_data);
    lua_pushlightuserdata(L, d);
}

const char *crier_data_what(const struct crier_message *m, char out[160])
{
    char label[120];
    snprintf(out, 160, "data function of message '%s'",
             crier_message_label(m, label, sizeof label));
    return out;
}

struct crier_lua_error crier_data_error(const struct crier_data *d)
{
    char what[160];
    return (struct crier_lua_error){.message =
                                        crier_asprintf("%s:%d: %s returned what cannot be sent: %s",
                                                       d->m->file ? d->m->file : "?", d->m->line,
                                                       crier_data_what(d->m, what), d->err.text)};
}

/* --- preview ------------------------------------------------------------------------------ */

#define PREVIEW_AGE (60 * CRIER_S) /* what is known of the guild's channels may be as old */

struct preview {
    struct crier_data data;
    void (*done)(void *arg, json_t *shown);
    void *arg;
    json_t *shown;
    uint64_t *matching; /* channels of its pattern */
};

static void finish(struct preview *v)
{
    struct crier_generation *gen = v->data.m->gen;
    struct crier_message *m = v->data.m;
    v->done(v->arg, v->shown);
    json_decref(v->shown);
    crier_content_unref(v->data.content);
    free(v->matching);
    free(v);
    crier_message_unref(m);
    crier_generation_unref(gen);
}

/* The request's body, but for its nonce, which is another for each send. */
static json_t *payload(const struct preview *v, bool edit)
{
    struct crier_buf b = {0};
    crier_request_payload(v->data.content, v->data.m->mentions, edit ? NULL : "", &b);
    json_t *body = json_loadb(b.data, b.len, 0, NULL);
    if (!edit) {
        json_object_del(body, "nonce");
        json_object_del(body, "enforce_nonce");
    }
    crier_buf_fini(&b);
    return body;
}

static json_t *files_of(const struct crier_content *content)
{
    json_t *files = json_array();
    for (size_t i = 0; i < content->file_count; i++) {
        const struct crier_file *f = &content->files[i];
        struct stat st;
        json_t *file = json_pack("{s:s}", "name", f->name);
        if (!f->path)
            json_object_set_new(file, "size", json_integer((json_int_t)f->len));
        else if (stat(f->path, &st) == 0 && access(f->path, R_OK) == 0)
            json_object_set_new(file, "size", json_integer(st.st_size));
        else
            json_object_set_new(file, "error",
                                json_sprintf("cannot read '%s': %s", f->path, strerror(errno)));
        if (f->path)
            json_object_set_new(file, "path", json_string(f->path));
        json_array_append_new(files, file);
    }
    return files;
}

/* What happens in one channel; channel: 0 for a DM, whose channel only Discord knows. */
static json_t *request_of(const struct preview *v, uint64_t channel)
{
    const struct crier_message *m = v->data.m;
    uint64_t id = channel ? channel : m->target->id;
    const struct crier_channel_state *at = crier_msgstate_channel(m->state, id);
    char text[24], name[24];
    bool last = at && at->message, edit = m->mode == CRIER_MODE_EDIT && last;
    const char *known = channel ? crier_names_get(v->data.poster->names, id)
                                : crier_target_name(v->data.poster, m->target, name);
    if (at && !crier_message_channel_open(m, at))
        return NULL;
    json_t *one = json_pack("{s:s, s:s, s:s, s:o}", channel ? "channel" : "user",
                            crier_id_text(id, text), "name", known ? known : text, "does",
                            edit                                       ? "edit"
                            : m->mode == CRIER_MODE_CLEAR_SEND && last ? "delete and send"
                                                                       : "send",
                            "body", payload(v, edit));
    if (last && m->mode != CRIER_MODE_SEND)
        json_object_set_new(one, "message", json_string(crier_id_text(at->message, text)));
    return one;
}

/* As in the record of a send, but files have their sizes. */
static json_t *sent_data(const struct crier_content *c)
{
    char id[24];
    json_t *said = json_object();
    if (c->text)
        json_object_set_new(said, "text", json_string(c->text));
    if (c->embeds)
        json_object_set_new(said, "embed", json_loads(c->embeds, 0, NULL));
    if (c->file_count)
        json_object_set_new(said, "files", files_of(c));
    if (c->poll)
        json_object_set_new(said, "poll", json_loads(c->poll, 0, NULL));
    if (c->components)
        json_object_set_new(said, "components", json_loads(c->components, 0, NULL));
    if (c->sticker_count)
        json_object_set_new(said, "stickers", json_array());
    for (unsigned i = 0; i < c->sticker_count; i++)
        json_array_append_new(json_object_get(said, "stickers"),
                              json_string(crier_id_text(c->stickers[i], id)));
    if (c->reply_to)
        json_object_set_new(said, "reply_to", json_string(crier_id_text(c->reply_to, id)));
    if (c->thread)
        json_object_set_new(said, "thread", json_string(c->thread));
    return said;
}

static void show(void *arg)
{
    struct preview *v = arg;
    const struct crier_message *m = v->data.m;
    json_t *requests = json_array();
    char name[24];
    json_object_set_new(json_object_get(v->shown, "guild"), "name",
                        json_string(crier_target_name(v->data.poster, m->target, name)));
    for (size_t i = 0; i < v->data.channel_count; i++)
        json_array_append_new(requests, request_of(v, v->data.channels[i]));
    if (m->type == CRIER_DIRECT_MESSAGE)
        json_array_append_new(requests, request_of(v, 0));
    if (!json_array_size(requests))
        json_object_set_new(v->shown, "skipped",
                            json_string(m->match && !v->data.channel_count
                                            ? "no channel matches"
                                            : "remove_after is reached"));
    json_object_set_new(v->shown, "sent_data", sent_data(v->data.content));
    json_object_set_new(v->shown, "requests", requests);
    finish(v);
}

static void have_content(struct preview *v)
{
    struct crier_poster *p = v->data.poster;
    const struct crier_message *m = v->data.m;
    const char *bot = m->target->bot->name;
    struct crier_discord *client = crier_host_client(p->host, bot);
    if (client && !crier_host_stopping(p->host) && crier_host_bot_ready(p->host, bot) &&
        !crier_host_bot_unreachable(p->host, bot))
        crier_names_want(p->names, client, m->target, v->data.channels, v->data.channel_count, show,
                         v);
    else
        show(v);
}

static void previewed(void *arg, lua_State *L, const struct crier_call_end *end)
{
    (void)L;
    struct preview *v = arg;
    crier_host_touched(v->data.m->gen);
    if (end->rc == 0 && v->data.content) {
        have_content(v);
        return;
    }
    if (end->rc != 0) {
        json_object_set_new(
            v->shown, "error",
            json_string(end->rc == CRIER_ECANCELED ? "stopped" : end->error.message));
        if (end->error.traceback && *end->error.traceback)
            json_object_set_new(v->shown, "traceback", json_string(end->error.traceback));
    } else if (v->data.nil) {
        json_object_set_new(v->shown, "skipped", json_string("the data function returned nil"));
    } else {
        struct crier_lua_error error = crier_data_error(&v->data);
        json_object_set_new(v->shown, "error", json_string(error.message));
        crier_lua_error_fini(&error);
    }
    finish(v);
}

static void get_content(struct preview *v)
{
    struct crier_message *m = v->data.m;
    char what[160];
    if (m->content) {
        v->data.content = crier_content_ref(m->content);
        have_content(v);
        return;
    }
    crier_data_push(&v->data);
    crier_call_start(m->gen->vm, 1, crier_data_what(m, what), m->gen->config.limits.callback, m,
                     previewed, v);
}

static void channels_seen(void *arg, const struct crier_seen_channels *seen,
                          const struct crier_err *why)
{
    struct preview *v = arg;
    if (!seen) {
        json_object_set_new(
            v->shown, "skipped",
            json_sprintf("the guild's channels are not known: %s", why ? why->text : ""));
        finish(v);
        return;
    }
    v->data.channels = v->matching = crier_calloc(seen->count + 1, sizeof *v->matching);
    for (size_t i = 0; i < seen->count; i++)
        if (crier_message_matches(v->data.m, &seen->list[i]))
            v->matching[v->data.channel_count++] = seen->list[i].id;
    get_content(v);
}

void crier_poster_preview(struct crier_poster *p, struct crier_message *m,
                          void (*done)(void *arg, json_t *shown), void *arg)
{
    struct preview *v = crier_calloc(1, sizeof *v);
    char label[120], name[24], id[24];
    v->data = (struct crier_data){.poster = p,
                                    .m = m,
                                    .due = m->state->due,
                                    .preview = true,
                                    .channels = m->channels,
                                    .channel_count = m->channel_count};
    v->done = done;
    v->arg = arg;
    v->shown = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s}}", "name",
                         crier_message_label(m, label, sizeof label), "key", m->key, "type",
                         crier_message_type_name(m->type), "mode", crier_mode_name(m->mode),
                         "guild", "name", crier_target_name(p, m->target, name), "id",
                         crier_id_text(m->target->id, id), "type",
                         m->target->type == CRIER_GUILD ? "GUILD" : "USER");
    crier_generation_ref(m->gen);
    crier_message_ref(m);
    struct crier_view *view = crier_host_view(p->host, m->target->bot->name);
    if (m->match && view)
        view->ops->channels(view, m->target->id, PREVIEW_AGE, channels_seen, v);
    else
        get_content(v);
}
