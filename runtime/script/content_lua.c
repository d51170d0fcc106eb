/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "script/declare.h"
#include "script/parts.h"

const struct crier_option crier_embed_options[] = {
    {"title", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "at most 256 characters"},
    {"description", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "at most 4,096 characters"},
    {"url", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "where the title leads"},
    {"color", CRIER_OPT_INT, 0, NULL, NULL, 0, 0xFFFFFF, NULL, "0xRRGGBB"},
    {"timestamp", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL, "ISO 8601 date-time"},
    {"author", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "string|table",
     "a name, or { name =, url =, icon = }"},
    {"footer", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "string|table",
     "a text, or { text =, icon = }"},
    {"image", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "address, or attachment://NAME of a FILE"},
    {"thumbnail", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "address, or attachment://NAME of a FILE"},
    {"fields", CRIER_OPT_OBJECT, 0, NULL, NULL, 0, 0, "table[]",
     "at most 25 of { name =, value =, inline = }"},
};
const size_t crier_embed_count = CRIER_COUNT(crier_embed_options);

const struct crier_option crier_file_options[] = {
    {"path", CRIER_OPT_PATH, 0, NULL, NULL, 0, 0, NULL, "read at each send"},
    {"data", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the bytes themselves, instead of a path"},
    {"name", CRIER_OPT_STRING, 0, NULL, NULL, 0, 0, NULL,
     "the name that Discord shows; default: the path's last part"},
    {"cache", CRIER_OPT_BOOL, 0, "false", NULL, 0, 0, NULL,
     "read the path once, now, and not at each send"},
};
const size_t crier_file_count = CRIER_COUNT(crier_file_options);

/* EMBED and FILE are values, made while the script loads and in data functions alike. */
struct making {
    lua_State *L;
    const char *callee; /* "EMBED" */
    bool bad;
};

/* While loading a problem is noted and reading goes on, so that all are found in one pass; in a
 * data function it raises. key: its place in the call's table, NULL: the call. */
static void fault(struct making *mk, const char *key, const char *help, const char *fmt, ...)
    CRIER_PRINTF(4, 5);

static void fault(struct making *mk, const char *key, const char *help, const char *fmt, ...)
{
    lua_State *L = mk->L;
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mk->bad = true;
    if (crier_vm_of(L)->loading) {
        const char *file;
        int line;
        crier_lua_place(L, &file, &line);
        crier_place_problem(crier_generation_of(L), CRIER_ERROR, file, line, mk->callee, key,
                            mk->callee, text, help);
        return;
    }
    if (help)
        luaL_error(L, "crier.%s: %s (%s)", mk->callee, text, help);
    luaL_error(L, "crier.%s: %s", mk->callee, text);
}

/* Every key of the table at idx must be one of `known`; place: where the table is ("author."). */
static void only_keys(struct making *mk, int idx, const char *place, const char *const *known,
                      size_t count)
{
    lua_State *L = mk->L;
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TSTRING) {
            fault(mk, NULL, NULL, "takes named options only%s%.40s", *place ? " in " : "", place);
            continue;
        }
        const char *key = lua_tostring(L, -1);
        bool found = false;
        for (size_t i = 0; i < count && !found; i++)
            found = strcmp(key, known[i]) == 0;
        if (found)
            continue;
        const char *near = crier_nearest(key, known, count);
        char help[200], at[120];
        size_t len = 0;
        if (near)
            snprintf(help, sizeof help, "did you mean '%s'?", near);
        for (size_t i = 0; !near && i < count && len < sizeof help; i++)
            len += (size_t)snprintf(help + len, sizeof help - len, "%s%s",
                                    i ? ", " : "known: ", known[i]);
        snprintf(at, sizeof at, "%.50s%.60s", place, key);
        fault(mk, at, help, "unknown option '%.60s'", at);
    }
}

/* --- EMBED ------------------------------------------------------------------------------- */

/* A string of the table at idx into b; false when it is absent (or wrong, which has been said). */
static bool embed_string(struct making *mk, int idx, const char *place, const char *key,
                         struct crier_buf *b, const char *json_key)
{
    lua_State *L = mk->L;
    bool there = false;
    if (lua_getfield(L, idx, key) == LUA_TSTRING) {
        size_t len;
        const char *s = lua_tolstring(L, -1, &len);
        crier_json_key(b, json_key);
        crier_json_strn(b, s, len);
        there = true;
    } else if (!lua_isnil(L, -1)) {
        char got[80], at[80];
        snprintf(at, sizeof at, "%.50s%s", place, key);
        fault(mk, at, NULL, "option '%s' must be a string, got %s", at,
              crier_lua_describe(L, -1, got, sizeof got));
    }
    lua_pop(L, 1);
    return there;
}

/* A part that is a text alone, or a table with more to it. */
static void embed_part(struct making *mk, const char *key, const char *const *known, size_t count,
                       struct crier_buf *b)
{
    lua_State *L = mk->L;
    int type = lua_getfield(L, 1, key);
    int part = lua_gettop(L);
    char place[32], got[80];
    snprintf(place, sizeof place, "%s.", key);
    if (type == LUA_TSTRING || type == LUA_TTABLE) {
        crier_json_key(b, key);
        crier_json_open(b, '{');
    }
    if (type == LUA_TSTRING) {
        crier_json_key(b, known[0]);
        crier_json_str(b, lua_tostring(L, -1));
    } else if (type == LUA_TTABLE) {
        only_keys(mk, part, place, known, count);
        bool bad = mk->bad;
        if (!embed_string(mk, part, place, known[0], b, known[0]) && mk->bad == bad)
            fault(mk, key, NULL, "option '%s%s' is missing", place, known[0]);
        embed_string(mk, part, place, "icon", b, "icon_url");
        if (count > 2)
            embed_string(mk, part, place, "url", b, "url");
    } else if (type != LUA_TNIL) {
        fault(mk, key, NULL, "option '%s' must be a string or a table, got %s", key,
              crier_lua_describe(L, -1, got, sizeof got));
    }
    if (type == LUA_TSTRING || type == LUA_TTABLE)
        crier_json_close(b, '}');
    lua_settop(L, part - 1);
}

static void embed_field(struct making *mk, size_t i, struct crier_buf *b)
{
    static const char *const known[] = {"name", "value", "inline"};
    lua_State *L = mk->L;
    int field = lua_gettop(L);
    char place[32], got[80];
    snprintf(place, sizeof place, "fields[%zu]", i);
    if (lua_type(L, field) != LUA_TTABLE) {
        fault(mk, place, "{ name = \"...\", value = \"...\" }",
              "option '%s' must be a table, got %s", place,
              crier_lua_describe(L, field, got, sizeof got));
        return;
    }
    strcat(place, ".");
    only_keys(mk, field, place, known, CRIER_COUNT(known));
    crier_json_open(b, '{');
    for (int k = 0; k < 2; k++) {
        bool bad = mk->bad;
        if (!embed_string(mk, field, place, known[k], b, known[k]) && mk->bad == bad)
            fault(mk, place, NULL, "option '%s%s' is missing", place, known[k]);
    }
    lua_getfield(L, field, "inline");
    if (lua_toboolean(L, -1)) {
        crier_json_key(b, "inline");
        crier_json_bool(b, true);
    }
    lua_pop(L, 1);
    crier_json_close(b, '}');
}

static void embed_fields(struct making *mk, struct crier_buf *b)
{
    lua_State *L = mk->L;
    int type = lua_getfield(L, 1, "fields");
    int list = lua_gettop(L);
    if (type == LUA_TTABLE) {
        crier_json_key(b, "fields");
        crier_json_open(b, '[');
        size_t n = lua_rawlen(L, list);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, list, (lua_Integer)i);
            embed_field(mk, i, b);
            lua_settop(L, list);
        }
        crier_json_close(b, ']');
    } else if (type != LUA_TNIL) {
        fault(mk, "fields", "fields = { { name = \"...\", value = \"...\" } }",
              "option 'fields' must be a list of tables");
    }
    lua_settop(L, list - 1);
}

static void embed_link(struct making *mk, const char *key, struct crier_buf *b)
{
    lua_State *L = mk->L;
    if (lua_getfield(L, 1, key) == LUA_TSTRING) {
        crier_json_key(b, key);
        crier_json_open(b, '{');
        crier_json_key(b, "url");
        crier_json_str(b, lua_tostring(L, -1));
        crier_json_close(b, '}');
    } else if (!lua_isnil(L, -1)) {
        fault(mk, key, NULL, "option '%s' must be an address", key);
    }
    lua_pop(L, 1);
}

static void embed_color(struct making *mk, struct crier_buf *b)
{
    lua_State *L = mk->L;
    char got[80];
    if (lua_getfield(L, 1, "color") != LUA_TNIL) {
        lua_Integer color = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
        if (color < 0 || color > 0xFFFFFF) {
            fault(mk, "color", NULL, "option 'color' must be a number from 0 to 0xFFFFFF, got %s",
                  crier_lua_describe(L, -1, got, sizeof got));
        } else {
            crier_json_key(b, "color");
            crier_json_int(b, color);
        }
    }
    lua_pop(L, 1);
}

static void embed_timestamp(struct making *mk, struct crier_buf *b)
{
    lua_State *L = mk->L;
    struct crier_err err = {0};
    int64_t wall;
    if (lua_getfield(L, 1, "timestamp") == LUA_TSTRING) {
        if (crier_datetime_parse(lua_tostring(L, -1), crier_generation_of(L)->zone, &wall, &err)) {
            fault(mk, "timestamp", NULL, "option 'timestamp': %s", err.text);
        } else {
            char text[32];
            crier_json_key(b, "timestamp");
            crier_json_str(b, crier_time_rfc3339(wall, text));
        }
    } else if (!lua_isnil(L, -1)) {
        fault(mk, "timestamp", NULL,
              "option 'timestamp' must be a date-time such as \"2026-11-21T09:00Z\"");
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

/* As Discord would judge it, alone; the sum over all embeds is judged with the message. */
static void embed_judge(struct making *mk, const struct crier_buf *b)
{
    if (mk->bad)
        return;
    if (b->len == 2) {
        fault(mk, NULL, "title = \"...\"", "is empty");
        return;
    }
    struct crier_content *probe = crier_content_new();
    probe->embeds = crier_asprintf("[%s]", b->data);
    struct crier_err err = {0};
    int rc = crier_content_check(probe, &err);
    crier_content_unref(probe);
    if (rc != 0)
        fault(mk, NULL, NULL, "%s", err.text + (strncmp(err.text, "embeds[1]", 9) == 0 ? 10 : 0));
}

static int l_embed(lua_State *L)
{
    static const char *const author[] = {"name", "icon", "url"}, *const footer[] = {"text", "icon"};
    struct making mk = {.L = L, .callee = "EMBED"};
    const char *names[CRIER_COUNT(crier_embed_options)];
    if (lua_type(L, 1) != LUA_TTABLE)
        return luaL_error(L, "crier.EMBED expects a table: crier.EMBED { title = \"...\" }");
    for (size_t i = 0; i < crier_embed_count; i++)
        names[i] = crier_embed_options[i].name;
    only_keys(&mk, 1, "", names, crier_embed_count);
    struct crier_buf *b = push_buf(L);
    crier_json_open(b, '{');
    embed_string(&mk, 1, "", "title", b, "title");
    embed_string(&mk, 1, "", "description", b, "description");
    embed_string(&mk, 1, "", "url", b, "url");
    embed_color(&mk, b);
    embed_timestamp(&mk, b);
    embed_part(&mk, "author", author, CRIER_COUNT(author), b);
    embed_part(&mk, "footer", footer, CRIER_COUNT(footer), b);
    embed_link(&mk, "image", b);
    embed_link(&mk, "thumbnail", b);
    embed_fields(&mk, b);
    crier_json_close(b, '}');
    embed_judge(&mk, b);
    lua_newuserdatauv(L, 0, 1);
    if (mk.bad)
        lua_pushliteral(L, "{}"); /* its problems have been told; the message has none for it */
    else
        lua_pushlstring(L, b->data, b->len);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, CRIER_MT_EMBED);
    return 1;
}

/* --- FILE -------------------------------------------------------------------------------- */

/* The bytes of a path, in the place of it, into the FILE at 2; its name is kept. */
static void read_now(struct making *mk, bool named)
{
    enum { MOST = 25 << 20 };
    lua_State *L = mk->L;
    struct crier_err err = {0};
    struct crier_buf *b = push_buf(L);
    lua_getfield(L, 1, "path");
    char *path = crier_path_join(crier_generation_of(L)->folder, lua_tostring(L, -1));
    int rc = crier_file_read(path, MOST, b, &err);
    free(path);
    if (rc != 0) {
        fault(mk, "path", NULL, "option 'path': %s", err.text);
        return;
    }
    if (!named) {
        const char *slash = strrchr(lua_tostring(L, -1), '/');
        lua_pushstring(L, slash ? slash + 1 : lua_tostring(L, -1));
        lua_setiuservalue(L, 2, 3);
    }
    lua_pushlstring(L, b->data ? b->data : "", b->len);
    lua_setiuservalue(L, 2, 2);
    lua_pushnil(L);
    lua_setiuservalue(L, 2, 1);
}

/* A FILE is a userdata whose user values are path, data and name. */
static int l_file(lua_State *L)
{
    static const char *const keys[] = {"path", "data", "name", "cache"};
    struct making mk = {.L = L, .callee = "FILE"};
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
    only_keys(&mk, 1, "", keys, CRIER_COUNT(keys));
    lua_newuserdatauv(L, 0, 3);
    bool has[3];
    for (int i = 0; i < 3; i++) {
        char got[80];
        int type = lua_getfield(L, 1, keys[i]);
        if (type != LUA_TNIL && type != LUA_TSTRING)
            fault(&mk, keys[i], NULL, "option '%s' must be a string, got %s", keys[i],
                  crier_lua_describe(L, -1, got, sizeof got));
        has[i] = type != LUA_TNIL;
        lua_setiuservalue(L, 2, i + 1);
    }
    if (!mk.bad && has[0] == has[1])
        fault(&mk, NULL, NULL,
              has[0] ? "takes 'path' or 'data', not both" : "needs 'path' or 'data'");
    if (!mk.bad && has[1] && !has[2])
        fault(&mk, NULL, "name = \"cat.png\"", "'data' needs a 'name'");
    lua_getfield(L, 1, "cache");
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        fault(&mk, "cache", NULL, "option 'cache' must be true or false");
    if (!mk.bad && has[0] && lua_toboolean(L, -1))
        read_now(&mk, has[2]);
    lua_settop(L, 2);
    for (int i = 0; mk.bad && i < 3; i++) { /* no path: nobody shall look for it */
        if (i == 0)
            lua_pushnil(L);
        else
            lua_pushliteral(L, "?");
        lua_setiuservalue(L, 2, i + 1);
    }
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

bool crier_is_data_maker(lua_State *L, int idx)
{
    return lua_tocfunction(L, idx) == l_bind;
}

static int l_data_function(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TFUNCTION) {
        char got[80];
        return luaL_error(L,
                          "crier.data_function expects a function, got %s: "
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
    int part = crier_part_gather(L, idx, g->content, g->err);
    if (part <= 0)
        return part;
    if (lua_type(L, idx) == LUA_TFUNCTION || luaL_testudata(L, idx, CRIER_MT_DATA))
        return crier_err_set(g->err, CRIER_EINVAL,
                             "a function cannot stand in a list: let it return the list");
    return crier_err_set(g->err, CRIER_EINVAL,
                         "expected a text, EMBED, FILE or a list of them, got %s",
                         crier_lua_describe(L, idx, got, sizeof got));
}

/* A list without gaps: what stands behind one, or under a name, would be lost in silence. */
static int check_list(lua_State *L, int idx, struct crier_err *err)
{
    size_t n = lua_rawlen(L, idx), items = 0;
    int rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, idx)) {
        lua_pop(L, 1);
        items++;
        if (lua_type(L, -1) == LUA_TSTRING)
            rc = crier_err_set(err, CRIER_EINVAL,
                               "expected a list of texts, EMBEDs and FILEs, got a table with the "
                               "key '%.40s' (an embed is crier.EMBED {...})",
                               lua_tostring(L, -1));
        else if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1)
            rc = crier_err_set(err, CRIER_EINVAL, "expected a list of texts, EMBEDs and FILEs");
        else if ((size_t)lua_tointeger(L, -1) > n)
            n = (size_t)lua_tointeger(L, -1);
    }
    if (rc == 0 && !items)
        rc = crier_err_set(err, CRIER_EINVAL, "the table is empty (return nil to skip a send)");
    if (rc == 0 && items != n)
        rc = crier_err_set(err, CRIER_EINVAL,
                           "the list has holes: %zu items, the last one is "
                           "number %zu (leave no nil between them)",
                           items, n);
    return rc;
}

int crier_content_from_lua(lua_State *L, int idx, const char *folder, struct crier_content **out,
                           struct crier_err *err)
{
    idx = lua_absindex(L, idx);
    struct gather g = {.content = crier_content_new(), .folder = folder, .err = err};
    int rc = 0;
    if (lua_type(L, idx) == LUA_TTABLE) {
        rc = check_list(L, idx, err);
        size_t n = lua_rawlen(L, idx);
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
    crier_open_parts(L);
    lua_pushcfunction(L, l_embed);
    lua_setfield(L, -2, "EMBED");
    lua_pushcfunction(L, l_file);
    lua_setfield(L, -2, "FILE");
    lua_pushcfunction(L, l_data_function);
    lua_setfield(L, -2, "data_function");
}
