/* SPDX-License-Identifier: MIT */
#include "script/parts.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/json.h"

#define MT_PART "crier.part"
#define SNOWFLAKE_TYPE "string|integer"

enum kind { POLL, BUTTON, STICKER, REPLY, THREAD };

static const char *const kinds[] = {"POLL", "BUTTON", "STICKER", "REPLY", "THREAD"};

enum { BUTTONS_A_ROW = 5, ROWS = 5 };

const struct crier_option crier_poll_options[] = {
    {"question", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "at most 300 characters"},
    {"answers", CRIER_OPT_STRINGS, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "1 to 10 texts of at most 55 characters"},
    {"hours", CRIER_OPT_INT, 0, "24", NULL, 1, 768, NULL, "how long it is open"},
    {"multi", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "more than one answer may be chosen"},
};
const size_t crier_poll_count = CRIER_COUNT(crier_poll_options);

const struct crier_option crier_button_options[] = {
    {"label", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "at most 80 characters"},
    {"url", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL, "where it leads"},
};
const size_t crier_button_count = CRIER_COUNT(crier_button_options);

const struct crier_option crier_reply_options[] = {
    {"message", CRIER_OPT_SNOWFLAKE, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, SNOWFLAKE_TYPE,
     "the message of the same channel that it replies to"},
    {"ping", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL, "whether its author is pinged"},
};
const size_t crier_reply_count = CRIER_COUNT(crier_reply_options);

const struct crier_option crier_thread_options[] = {
    {"name", CRIER_OPT_STRING, CRIER_OPT_REQUIRED, NULL, NULL, 0, 0, NULL,
     "the post's title, at most 100 characters"},
    {"tags", CRIER_OPT_SNOWFLAKES, 0, NULL, NULL, 0, 0, "(" SNOWFLAKE_TYPE ")[]",
     "at most 5 of the forum's tags"},
    {"archive", CRIER_OPT_ENUM, 0, NULL, "1h 1d 3d 1w", 0, 0, NULL,
     "archived after so long without a message; default: the forum's"},
};
const size_t crier_thread_count = CRIER_COUNT(crier_thread_options);

/* --- reading ------------------------------------------------------------------------------- */

/* Every key of the table at 1 is one of the options, and those that are required are there. */
static void check_keys(lua_State *L, enum kind kind, const struct crier_option *options,
                       size_t count)
{
    const char *names[8];
    for (size_t i = 0; i < count; i++)
        names[i] = options[i].name;
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "crier.%s takes named options only", kinds[kind]);
        const char *key = lua_tostring(L, -1);
        size_t i = 0;
        while (i < count && strcmp(names[i], key) != 0)
            i++;
        const char *near = i < count ? NULL : crier_nearest(key, names, count);
        if (i == count)
            luaL_error(L, "crier.%s: unknown option '%s'%s%s%s", kinds[kind], key,
                       near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
    for (size_t i = 0; i < count; i++) {
        if ((options[i].flags & CRIER_OPT_REQUIRED) && lua_getfield(L, 1, names[i]) == LUA_TNIL)
            luaL_error(L, "crier.%s: option '%s' is missing (%s)", kinds[kind], names[i],
                       options[i].help);
    }
    lua_settop(L, 1);
}

static size_t units(const char *s)
{
    size_t n = 0;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        n += (c & 0xc0) != 0x80;
        n += c >= 0xf0;
    }
    return n;
}

/* A text at the top of the stack. */
static const char *text(lua_State *L, enum kind kind, const char *key, size_t max)
{
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (!s || !*s)
        luaL_error(L, "crier.%s: option '%s' must be a text", kinds[kind], key);
    if (units(s) > max)
        luaL_error(L, "crier.%s: option '%s' has %d characters, Discord allows %d (shorten it)",
                   kinds[kind], key, (int)units(s), (int)max);
    return s;
}

static const char *snowflake(lua_State *L, enum kind kind, const char *key)
{
    const char *s =
        lua_type(L, -1) == LUA_TSTRING || lua_isinteger(L, -1) ? lua_tostring(L, -1) : "";
    if (!*s || s[strspn(s, "0123456789")] || strlen(s) > 19)
        luaL_error(L, "crier.%s: %s%s%s must be a snowflake such as \"863071397207212052\"",
                   kinds[kind], key ? "option '" : "it", key ? key : "", key ? "'" : "");
    return s;
}

static struct crier_buf *new_buf(lua_State *L)
{
    struct crier_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct crier_buf){0};
    luaL_setmetatable(L, "crier.buf");
    return b;
}

static int push_part(lua_State *L, enum kind kind, const struct crier_buf *b)
{
    enum kind *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = kind;
    lua_pushlstring(L, b->data, b->len);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, MT_PART);
    return 1;
}

static void put(struct crier_buf *b, const char *key, const char *value)
{
    crier_json_key(b, key);
    crier_json_str(b, value);
}

static int l_poll(lua_State *L)
{
    if (!lua_istable(L, 1))
        return luaL_error(L, "crier.POLL expects a table: crier.POLL { question = \"...\", answers "
                             "= { \"yes\", \"no\" } }");
    lua_settop(L, 1);
    check_keys(L, POLL, crier_poll_options, crier_poll_count);
    struct crier_buf *b = new_buf(L);
    crier_json_open(b, '{');
    crier_json_key(b, "question");
    crier_json_open(b, '{');
    lua_getfield(L, 1, "question");
    put(b, "text", text(L, POLL, "question", 300));
    crier_json_close(b, '}');
    if (lua_getfield(L, 1, "answers") != LUA_TTABLE || lua_rawlen(L, -1) < 1 ||
        lua_rawlen(L, -1) > 10)
        return luaL_error(L, "crier.POLL: option 'answers' must be a list of 1 to 10 texts");
    crier_json_key(b, "answers");
    crier_json_open(b, '[');
    for (size_t i = 1; i <= lua_rawlen(L, -1); i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        crier_json_open(b, '{');
        crier_json_key(b, "poll_media");
        crier_json_open(b, '{');
        put(b, "text", text(L, POLL, "answers", 55));
        crier_json_close(b, '}');
        crier_json_close(b, '}');
        lua_pop(L, 1);
    }
    crier_json_close(b, ']');
    int type = lua_getfield(L, 1, "hours");
    lua_Integer hours = type == LUA_TNIL ? 24 : lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    if (hours < 1 || hours > 768)
        return luaL_error(L, "crier.POLL: option 'hours' must be a whole number from 1 to 768");
    crier_json_key(b, "duration");
    crier_json_int(b, hours);
    lua_getfield(L, 1, "multi");
    crier_json_key(b, "allow_multiselect");
    crier_json_bool(b, lua_toboolean(L, -1));
    crier_json_key(b, "layout_type");
    crier_json_int(b, 1);
    crier_json_close(b, '}');
    return push_part(L, POLL, b);
}

static int l_button(lua_State *L)
{
    enum { LINK = 5 };
    if (!lua_istable(L, 1))
        return luaL_error(L, "crier.BUTTON expects a table: crier.BUTTON { label = \"...\", url = "
                             "\"https://...\" }");
    lua_settop(L, 1);
    check_keys(L, BUTTON, crier_button_options, crier_button_count);
    struct crier_buf *b = new_buf(L);
    crier_json_open(b, '{');
    crier_json_key(b, "type");
    crier_json_int(b, 2);
    crier_json_key(b, "style");
    crier_json_int(b, LINK);
    lua_getfield(L, 1, "label");
    put(b, "label", text(L, BUTTON, "label", 80));
    lua_getfield(L, 1, "url");
    const char *url = text(L, BUTTON, "url", 512);
    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0 &&
        strncmp(url, "discord://", 10) != 0)
        return luaL_error(L, "crier.BUTTON: option 'url' must begin with https://, http:// or "
                             "discord://");
    put(b, "url", url);
    crier_json_close(b, '}');
    return push_part(L, BUTTON, b);
}

static int l_sticker(lua_State *L)
{
    lua_settop(L, 1);
    struct crier_buf *b = new_buf(L);
    lua_pushvalue(L, 1);
    crier_json_str(b, snowflake(L, STICKER, NULL));
    return push_part(L, STICKER, b);
}

static int l_reply(lua_State *L)
{
    bool table = lua_istable(L, 1), ping = false;
    lua_settop(L, 1);
    if (table) {
        check_keys(L, REPLY, crier_reply_options, crier_reply_count);
        lua_getfield(L, 1, "ping");
        ping = lua_toboolean(L, -1);
        lua_getfield(L, 1, "message");
    }
    const char *id = snowflake(L, REPLY, table ? "message" : NULL);
    struct crier_buf *b = new_buf(L);
    crier_json_open(b, '{');
    put(b, "message", id);
    crier_json_key(b, "ping");
    crier_json_bool(b, ping);
    crier_json_close(b, '}');
    return push_part(L, REPLY, b);
}

static int l_thread(lua_State *L)
{
    if (!lua_istable(L, 1))
        return luaL_error(L, "crier.THREAD expects a table: crier.THREAD { name = \"...\" }");
    lua_settop(L, 1);
    check_keys(L, THREAD, crier_thread_options, crier_thread_count);
    struct crier_buf *b = new_buf(L);
    crier_json_open(b, '{');
    lua_getfield(L, 1, "name");
    put(b, "name", text(L, THREAD, "name", 100));
    int type = lua_getfield(L, 1, "tags");
    if (type != LUA_TNIL && (type != LUA_TTABLE || lua_rawlen(L, -1) > 5))
        return luaL_error(L, "crier.THREAD: option 'tags' must be a list of at most 5 snowflakes");
    crier_json_key(b, "tags");
    crier_json_open(b, '[');
    for (size_t i = 1; type == LUA_TTABLE && i <= lua_rawlen(L, -1); i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        crier_json_str(b, snowflake(L, THREAD, "tags"));
        lua_pop(L, 1);
    }
    crier_json_close(b, ']');
    static const struct {
        const char *word;
        int minutes;
    } spans[] = {{"1h", 60}, {"1d", 1440}, {"3d", 4320}, {"1w", 10080}};
    int minutes = 0;
    if (lua_getfield(L, 1, "archive") != LUA_TNIL) {
        const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        for (size_t i = 0; i < CRIER_COUNT(spans); i++)
            if (strcmp(word, spans[i].word) == 0)
                minutes = spans[i].minutes;
        if (!minutes)
            return luaL_error(L, "crier.THREAD: option 'archive' must be \"1h\", \"1d\", \"3d\" or "
                                 "\"1w\"");
    }
    crier_json_key(b, "archive");
    crier_json_int(b, minutes);
    crier_json_close(b, '}');
    return push_part(L, THREAD, b);
}

/* --- into a message ------------------------------------------------------------------------ */

static uint64_t id_of(const json_t *v)
{
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 10) : 0;
}

static int add_button(struct crier_content *c, const json_t *button, struct crier_err *err)
{
    json_t *rows = c->components ? json_loads(c->components, 0, NULL) : json_array();
    json_t *last = json_object_get(json_array_get(rows, json_array_size(rows) - 1), "components");
    int rc = 0;
    if (!last || json_array_size(last) == BUTTONS_A_ROW) {
        if (json_array_size(rows) == ROWS)
            rc = crier_err_set(err, CRIER_EINVAL, "more than %d BUTTONs, Discord allows no more",
                               ROWS * BUTTONS_A_ROW);
        json_t *row = json_pack("{s:i, s:[]}", "type", 1, "components");
        last = json_object_get(row, "components");
        json_array_append_new(rows, row);
    }
    json_array_append(last, (json_t *)button);
    free(c->components);
    c->components = json_dumps(rows, JSON_COMPACT);
    json_decref(rows);
    return rc;
}

static int add(struct crier_content *c, enum kind kind, const json_t *o, struct crier_err *err)
{
    size_t i;
    json_t *v;
    bool twice = (kind == POLL && c->poll) || (kind == REPLY && c->reply_to) ||
                 (kind == THREAD && c->thread);
    if (twice)
        return crier_err_set(err, CRIER_EINVAL, "there is more than one %s", kinds[kind]);
    switch (kind) {
    case POLL:
        c->poll = json_dumps(o, JSON_COMPACT);
        return 0;
    case BUTTON:
        return add_button(c, o, err);
    case STICKER:
        if (c->sticker_count == CRIER_COUNT(c->stickers))
            return crier_err_set(err, CRIER_EINVAL, "more than 3 STICKERs, Discord allows no more");
        c->stickers[c->sticker_count++] = id_of(o);
        return 0;
    case REPLY:
        c->reply_to = id_of(json_object_get(o, "message"));
        c->reply_ping = json_is_true(json_object_get(o, "ping"));
        return 0;
    case THREAD:
        c->thread = crier_strdup(json_string_value(json_object_get(o, "name")));
        c->archive = (int)json_integer_value(json_object_get(o, "archive"));
        json_array_foreach(json_object_get(o, "tags"), i, v) c->tags[c->tag_count++] = id_of(v);
        return 0;
    }
    return 0;
}

int crier_part_gather(lua_State *L, int idx, struct crier_content *content, struct crier_err *err)
{
    const enum kind *box = luaL_testudata(L, idx, MT_PART);
    if (!box)
        return 1;
    size_t len;
    lua_getiuservalue(L, idx, 1);
    const char *json = lua_tolstring(L, -1, &len);
    json_t *o = json_loadb(json, len, JSON_DECODE_ANY, NULL);
    lua_pop(L, 1);
    int rc = o ? add(content, *box, o, err)
               : crier_err_set(err, CRIER_EINVAL, "a %s whose text is not UTF-8", kinds[*box]);
    json_decref(o);
    return rc;
}

void crier_open_parts(lua_State *L)
{
    static const luaL_Reg functions[] = {{"POLL", l_poll},       {"BUTTON", l_button},
                                         {"STICKER", l_sticker}, {"REPLY", l_reply},
                                         {"THREAD", l_thread},   {NULL, NULL}};
    luaL_newmetatable(L, MT_PART);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
