/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "script/declare.h"

const struct crier_option crier_embed_options[] = {
    {"title", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "at most 256 characters"},
    {"description", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "at most 4,096 characters"},
    {"url", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "where the title leads"},
    {"color", CRIER_OPT_INT, 0, NULL, NULL, 0, 0xFFFFFF, NULL, "0xRRGGBB"},
    {"timestamp", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "ISO 8601 date-time"},
    {"author", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "string|table",
     "a name, or { name =, url =, icon = }"},
    {"footer", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "string|table", "a text, or { text =, icon = }"},
    {"image", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "address, or attachment://NAME of a FILE"},
    {"thumbnail", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "address, or attachment://NAME of a FILE"},
    {"fields", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table[]",
     "at most 25 of { name =, value =, inline = }"},
};
const size_t crier_embed_count = CRIER_COUNT(crier_embed_options);

const struct crier_option crier_file_options[] = {
    {"path", CRIER_OPT_PATH, 0, NULL, NULL, 0, 0, NULL, "read at each send"},
    {"data", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "the bytes themselves, instead of a path"},
    {"name", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the name that Discord shows; default: the path's last part"},
};
const size_t crier_file_count = CRIER_COUNT(crier_file_options);

/* --- EMBED ------------------------------------------------------------------------------- */

/* Raises: an embed is a value, made at load time and in data functions alike. */
static int embed_error(lua_State *L, const char *fmt, const char *what)
{
    lua_pushfstring(L, fmt, what);
    return luaL_error(L, "crier.EMBED: %s", lua_tostring(L, -1));
}

static void embed_string(lua_State *L, int idx, const char *key, struct crier_buf *b,
                         const char *json_key)
{
    if (lua_getfield(L, idx, key) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING) {
            char got[80];
            lua_pushfstring(L, "option '%s' must be a string, got %s", key,
                            crier_lua_describe(L, -1, got, sizeof got));
            luaL_error(L, "crier.EMBED: %s", lua_tostring(L, -1));
        }
        size_t len;
        const char *s = lua_tolstring(L, -1, &len);
        crier_json_key(b, json_key);
        crier_json_strn(b, s, len);
    }
    lua_pop(L, 1);
}

static void embed_keys(lua_State *L, int idx)
{
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            embed_error(L, "takes named options only%s", "");
        const char *key = lua_tostring(L, -1);
        const char *names[CRIER_COUNT(crier_embed_options)];
        bool known = false;
        for (size_t i = 0; i < crier_embed_count; i++) {
            names[i] = crier_embed_options[i].name;
            known = known || strcmp(key, names[i]) == 0;
        }
        if (!known) {
            const char *near = crier_nearest(key, names, crier_embed_count);
            if (near)
                luaL_error(L, "crier.EMBED: unknown option '%s' (did you mean '%s'?)", key, near);
            luaL_error(L, "crier.EMBED: unknown option '%s'", key);
        }
    }
}

/* A part that is a text alone, or a table with more to it. */
static void embed_part(lua_State *L, int idx, const char *key, const char *main_key,
                       struct crier_buf *b)
{
    int type = lua_getfield(L, idx, key);
    if (type == LUA_TSTRING) {
        crier_json_key(b, key);
        crier_json_open(b, '{');
        crier_json_key(b, main_key);
        crier_json_str(b, lua_tostring(L, -1));
        crier_json_close(b, '}');
    } else if (type == LUA_TTABLE) {
        int part = lua_gettop(L);
        crier_json_key(b, key);
        crier_json_open(b, '{');
        embed_string(L, part, main_key, b, main_key);
        embed_string(L, part, "url", b, "url");
        embed_string(L, part, "icon", b, "icon_url");
        crier_json_close(b, '}');
    } else if (type != LUA_TNIL) {
        embed_error(L, "option '%s' must be a string or a table", key);
    }
    lua_pop(L, 1);
}

static void embed_fields(lua_State *L, int idx, struct crier_buf *b)
{
    int type = lua_getfield(L, idx, "fields");
    int list = lua_gettop(L);
    if (type == LUA_TTABLE) {
        crier_json_key(b, "fields");
        crier_json_open(b, '[');
        size_t n = lua_rawlen(L, list);
        for (size_t i = 1; i <= n; i++) {
            if (lua_rawgeti(L, list, (lua_Integer)i) != LUA_TTABLE)
                embed_error(L, "option 'fields' must be a list of tables%s", "");
            int field = lua_gettop(L);
            crier_json_open(b, '{');
            embed_string(L, field, "name", b, "name");
            embed_string(L, field, "value", b, "value");
            lua_getfield(L, field, "inline");
            if (lua_toboolean(L, -1)) {
                crier_json_key(b, "inline");
                crier_json_bool(b, true);
            }
            lua_settop(L, list);
            crier_json_close(b, '}');
        }
        crier_json_close(b, ']');
    } else if (type != LUA_TNIL) {
        embed_error(L, "option 'fields' must be a list%s", "");
    }
    lua_settop(L, list - 1);
}

static void embed_link(lua_State *L, int idx, const char *key, struct crier_buf *b)
{
    if (lua_getfield(L, idx, key) == LUA_TSTRING) {
        crier_json_key(b, key);
        crier_json_open(b, '{');
        crier_json_key(b, "url");
        crier_json_str(b, lua_tostring(L, -1));
        crier_json_close(b, '}');
    } else if (!lua_isnil(L, -1)) {
        embed_error(L, "option '%s' must be an address", key);
    }
    lua_pop(L, 1);
}

static int l_buf_gc(lua_State *L)
{
    crier_buf_fini(luaL_checkudata(L, 1, "crier.buf"));
    return 0;
}

/* A buffer that is freed however the binding is left. */
static struct crier_buf *push_buf(lua_State *L)
{
    struct crier_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct crier_buf){0};
    luaL_setmetatable(L, "crier.buf");
    return b;
}

static int l_embed(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "crier.EMBED expects a table: crier.EMBED { title = \"...\" }");
    embed_keys(L, 1);
    struct crier_buf *b = push_buf(L);
    crier_json_open(b, '{');
    embed_string(L, 1, "title", b, "title");
    embed_string(L, 1, "description", b, "description");
    embed_string(L, 1, "url", b, "url");
    if (lua_getfield(L, 1, "color") != LUA_TNIL) {
        lua_Integer color = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
        if (color < 0 || color > 0xFFFFFF)
            return embed_error(L, "option 'color' must be a number from 0 to 0xFFFFFF%s", "");
        crier_json_key(b, "color");
        crier_json_int(b, color);
    }
    lua_pop(L, 1);
    if (lua_getfield(L, 1, "timestamp") == LUA_TSTRING) {
        int64_t wall;
        struct crier_err err = {0};
        struct crier_generation *gen = crier_generation_of(L);
        if (crier_datetime_parse(lua_tostring(L, -1), gen->zone, &wall, &err) != 0)
            return embed_error(L, "option 'timestamp': %s", err.text);
        char text[32];
        crier_json_key(b, "timestamp");
        crier_json_str(b, crier_time_rfc3339(wall, text));
    } else if (!lua_isnil(L, -1)) {
        return embed_error(L, "option 'timestamp' must be a date-time such as \"2026-11-21T09:00Z\"%s", "");
    }
    lua_pop(L, 1);
    embed_part(L, 1, "author", "name", b);
    embed_part(L, 1, "footer", "text", b);
    embed_link(L, 1, "image", b);
    embed_link(L, 1, "thumbnail", b);
    embed_fields(L, 1, b);
    crier_json_close(b, '}');

    /* Judge it as Discord would, alone; the sum over all embeds is judged with the message. */
    struct crier_content *probe = crier_content_new();
    probe->embeds = crier_asprintf("[%s]", b->data);
    struct crier_err err = {0};
    int rc = crier_content_check(probe, &err);
    crier_content_unref(probe);
    if (rc != 0)
        return embed_error(L, "%s", err.text);
    void *mark = lua_newuserdatauv(L, 0, 1);
    (void)mark;
    lua_pushlstring(L, b->data, b->len);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, CRIER_MT_EMBED);
    return 1;
}

/* --- FILE -------------------------------------------------------------------------------- */

/* A FILE is a userdata whose user values are path, data and name. */
static int l_file(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING) {
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, 1);
        lua_setfield(L, -2, "path");
        lua_replace(L, 1);
    }
    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "crier.FILE expects a path or a table: crier.FILE \"cat.png\" or "
                             "crier.FILE { name = \"cat.png\", data = bytes }");
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        if (strcmp(key, "path") != 0 && strcmp(key, "data") != 0 && strcmp(key, "name") != 0)
            return luaL_error(L, "crier.FILE: unknown option '%s' (known: path, data, name)", key);
    }
    lua_newuserdatauv(L, 0, 3);
    static const char *const keys[] = {"path", "data", "name"};
    for (int i = 0; i < 3; i++) {
        int type = lua_getfield(L, 1, keys[i]);
        if (type != LUA_TNIL && type != LUA_TSTRING)
            return luaL_error(L, "crier.FILE: option '%s' must be a string", keys[i]);
        lua_setiuservalue(L, 2, i + 1);
    }
    lua_getfield(L, 1, "path");
    lua_getfield(L, 1, "data");
    if (lua_isnil(L, -1) == lua_isnil(L, -2))
        return luaL_error(L, "crier.FILE needs either 'path' or 'data'");
    lua_getfield(L, 1, "name");
    if (!lua_isnil(L, -2) && lua_isnil(L, -1))
        return luaL_error(L, "crier.FILE: 'data' needs a 'name'");
    lua_settop(L, 2);
    luaL_setmetatable(L, CRIER_MT_FILE);
    return 1;
}

/* --- data_function ----------------------------------------------------------------------- */

/* get { ... }: the function with its arguments bound once, shared by all calls. */
static int l_bind(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 1);
    for (int i = 1; i <= n; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
    lua_newuserdatauv(L, 0, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, 2);
    luaL_setmetatable(L, CRIER_MT_DATA);
    return 1;
}

static int l_data_function(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TFUNCTION) {
        char got[80];
        return luaL_error(L, "crier.data_function expects a function, got %s: "
                             "crier.data_function(function(ctx, ...) return \"text\" end)",
                          crier_lua_describe(L, 1, got, sizeof got));
    }
    lua_settop(L, 1);
    lua_pushcclosure(L, l_bind, 1);
    return 1;
}

/* --- values -> content ------------------------------------------------------------------- */

struct gather {
    struct crier_content *content;
    const char *folder;
    struct crier_buf embeds;
    struct crier_err *err;
};

static int gather_file(lua_State *L, int idx, struct gather *g)
{
    struct crier_content *c = g->content;
    c->files = crier_realloc(c->files, (c->file_count + 1) * sizeof *c->files);
    struct crier_file *f = &c->files[c->file_count++];
    *f = (struct crier_file){0};
    if (lua_getiuservalue(L, idx, 1) == LUA_TSTRING)
        f->path = crier_path_join(g->folder, lua_tostring(L, -1));
    if (lua_getiuservalue(L, idx, 2) == LUA_TSTRING) {
        const char *data = lua_tolstring(L, -1, &f->len);
        f->data = crier_malloc(f->len + 1);
        memcpy(f->data, data, f->len + 1);
    }
    if (lua_getiuservalue(L, idx, 3) == LUA_TSTRING) {
        f->name = crier_strdup(lua_tostring(L, -1));
    } else {
        const char *slash = strrchr(f->path, '/');
        f->name = crier_strdup(slash ? slash + 1 : f->path);
    }
    lua_pop(L, 3);
    return 0;
}

static int gather_one(lua_State *L, int idx, struct gather *g)
{
    char got[80];
    if (lua_type(L, idx) == LUA_TSTRING) {
        if (g->content->text)
            return crier_err_set(g->err, CRIER_EINVAL,
                                 "there is more than one text (join them with \"\\n\")");
        size_t len;
        const char *s = lua_tolstring(L, idx, &len);
        if (memchr(s, '\0', len))
            return crier_err_set(g->err, CRIER_EINVAL, "the text holds a NUL byte");
        g->content->text = crier_strndup(s, len);
        return 0;
    }
    if (luaL_testudata(L, idx, CRIER_MT_EMBED)) {
        lua_getiuservalue(L, idx, 1);
        crier_buf_puts(&g->embeds, g->embeds.len ? "," : "[");
        crier_buf_puts(&g->embeds, lua_tostring(L, -1));
        lua_pop(L, 1);
        return 0;
    }
    if (luaL_testudata(L, idx, CRIER_MT_FILE))
        return gather_file(L, idx, g);
    if (lua_type(L, idx) == LUA_TFUNCTION || luaL_testudata(L, idx, CRIER_MT_DATA))
        return crier_err_set(g->err, CRIER_EINVAL,
                             "a function cannot stand in a list: let it return the list");
    return crier_err_set(g->err, CRIER_EINVAL,
                         "expected a text, EMBED, FILE or a list of them, got %s",
                         crier_lua_describe(L, idx, got, sizeof got));
}

int crier_content_from_lua(lua_State *L, int idx, const char *folder, struct crier_content **out,
                           struct crier_err *err)
{
    idx = lua_absindex(L, idx);
    struct gather g = {.content = crier_content_new(), .folder = folder, .err = err};
    int rc = 0;
    if (lua_type(L, idx) == LUA_TTABLE) {
        size_t n = lua_rawlen(L, idx);
        if (!n)
            rc = crier_err_set(err, CRIER_EINVAL, "the table is empty (return nil to skip a send)");
        for (size_t i = 1; i <= n && rc == 0; i++) {
            lua_rawgeti(L, idx, (lua_Integer)i);
            rc = gather_one(L, lua_gettop(L), &g);
            lua_pop(L, 1);
        }
    } else {
        rc = gather_one(L, idx, &g);
    }
    if (rc == 0 && g.embeds.len) {
        crier_buf_putc(&g.embeds, ']');
        g.content->embeds = crier_buf_take(&g.embeds);
    }
    crier_buf_fini(&g.embeds);
    if (rc == 0)
        rc = crier_content_check(g.content, err);
    if (rc == 0)
        *out = g.content;
    else
        crier_content_unref(g.content);
    return rc;
}

void crier_open_content(lua_State *L)
{
    static const char *const names[] = {CRIER_MT_EMBED, CRIER_MT_FILE, CRIER_MT_DATA};
    for (size_t i = 0; i < CRIER_COUNT(names); i++) {
        luaL_newmetatable(L, names[i]);
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
        lua_pop(L, 1);
    }
    luaL_newmetatable(L, "crier.buf");
    lua_pushcfunction(L, l_buf_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_pushcfunction(L, l_embed);
    lua_setfield(L, -2, "EMBED");
    lua_pushcfunction(L, l_file);
    lua_setfield(L, -2, "FILE");
    lua_pushcfunction(L, l_data_function);
    lua_setfield(L, -2, "data_function");
}
