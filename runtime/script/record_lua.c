/* SPDX-License-Identifier: MIT
 *
 * Records as Lua values, Lua values as a record's fields, and Lua tables as queries.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "host/host.h"
#include "script/declare.h"
#include "script/vm_private.h"

/* --- records in Lua ---------------------------------------------------------------------- */

void crier_push_value(lua_State *L, const struct crier_value *v)
{
    char text[32];
    switch (v->type) {
    case CRIER_NULL:
        lua_pushnil(L);
        break;
    case CRIER_FALSE:
    case CRIER_TRUE:
        lua_pushboolean(L, v->type == CRIER_TRUE);
        break;
    case CRIER_INT:
        lua_pushinteger(L, v->i);
        break;
    case CRIER_TIME:
        lua_pushnumber(L, (lua_Number)v->i / 1e6);
        break;
    case CRIER_NUM:
        lua_pushnumber(L, v->n);
        break;
    case CRIER_STR:
        lua_pushlstring(L, v->s.data, v->s.len);
        break;
    case CRIER_SNOWFLAKE:
        snprintf(text, sizeof text, "%llu", (unsigned long long)v->u);
        lua_pushstring(L, text);
        break;
    case CRIER_ARRAY:
    case CRIER_OBJECT: {
        luaL_checkstack(L, 4, "record too deep");
        lua_newtable(L);
        struct crier_iter it = crier_values(v);
        struct crier_value item;
        lua_Integer n = 0;
        while (crier_next(&it, &item)) {
            if (v->type == CRIER_OBJECT)
                lua_pushlstring(L, item.key.data, item.key.len);
            crier_push_value(L, &item);
            if (v->type == CRIER_OBJECT)
                lua_rawset(L, -3);
            else
                lua_rawseti(L, -2, ++n);
        }
        break;
    }
    }
}

/* A record as a value. Those that a transform gets and makes are many, and gone in a moment: they
 * belong to the state until the transform returns (epoch), and need no finalizer. */
struct box {
    struct crier_record *record;
    uint64_t epoch; /* of its transform; 0: it owns a reference */
};

/* Their addresses are where the metatables are in the registry: found without a string. */
static const char record_key, passing_key;

static struct box *push_new(lua_State *L, uint64_t epoch)
{
    struct box *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (struct box){.epoch = epoch};
    return box;
}

/* Pushes a record that is not there yet: fill comes when nothing raises any more. */
static struct box *push_box(lua_State *L)
{
    const struct crier_passing *passing = &crier_vm_of(L)->passing;
    struct box *box = push_new(L, passing->on ? passing->epoch : 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, passing->on ? &passing_key : &record_key);
    lua_setmetatable(L, -2);
    return box;
}

/* Takes the caller's reference. */
static void fill(lua_State *L, struct box *box, struct crier_record *record)
{
    struct crier_passing *passing = &crier_vm_of(L)->passing;
    box->record = record;
    if (!box->epoch)
        return;
    if (passing->count == passing->cap) {
        passing->cap = passing->cap ? passing->cap * 2 : 16;
        passing->records =
            crier_realloc(passing->records, passing->cap * sizeof(struct crier_record *));
    }
    passing->records[passing->count++] = record;
}

void crier_push_record(lua_State *L, struct crier_record *record)
{
    fill(L, push_box(L), crier_record_ref(record));
}

void crier_push_records(lua_State *L, struct crier_record *const *records, size_t count)
{
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, (int)count, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &record_key);
    for (size_t i = 0; i < count; i++) {
        struct box *box = push_new(L, 0);
        lua_pushvalue(L, -2);
        lua_setmetatable(L, -2);
        box->record = crier_record_ref(records[i]);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
    }
    lua_pop(L, 1);
}

void crier_transform_begin(struct crier_vm *vm)
{
    vm->passing.on = true;
    vm->passing.epoch++;
}

void crier_transform_end(struct crier_vm *vm)
{
    struct crier_passing *passing = &vm->passing;
    passing->on = false;
    passing->epoch++;
    for (size_t i = 0; i < passing->count; i++)
        crier_record_unref(passing->records[i]);
    passing->count = 0;
}

static struct box *to_box(lua_State *L, int idx)
{
    const struct crier_vm *vm = crier_vm_of(L);
    struct box *box = lua_touserdata(L, idx);
    if (!box || !lua_getmetatable(L, idx))
        return NULL;
    const void *meta = lua_topointer(L, -1);
    lua_pop(L, 1);
    return meta == vm->passing.meta || meta == vm->record_meta ? box : NULL;
}

static struct crier_record *record_of(lua_State *L, const struct box *box)
{
    return box && (box->epoch == 0 || box->epoch == crier_vm_of(L)->passing.epoch) ? box->record
                                                                                   : NULL;
}

struct crier_record *crier_to_record(lua_State *L, int idx)
{
    return record_of(L, to_box(L, idx));
}

/* A finalizer may meet a record whose own has run already. */
static struct crier_record *check_record(lua_State *L)
{
    const struct box *box = to_box(L, 1);
    struct crier_record *record = record_of(L, box);
    if (!box)
        luaL_checkudata(L, 1, CRIER_MT_RECORD);
    else if (!record && box->epoch)
        luaL_error(L, "this record was there until its transform returned: keep what you need of "
                      "it in variables of your own");
    else if (!record)
        luaL_error(L, "the record has been collected");
    return record;
}

/* Upvalues: the functions with and without. They come first: what somebody else puts into a field
 * must not take them away. */
static int l_record_index(lua_State *L)
{
    struct crier_record *record = check_record(L);
    char scratch[32];
    struct crier_value v;
    size_t len;
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : NULL;
    if (name && len == 4 && memcmp(name, "with", 4) == 0) {
        lua_pushvalue(L, lua_upvalueindex(1));
        return 1;
    }
    if (name && len == 7 && memcmp(name, "without", 7) == 0) {
        lua_pushvalue(L, lua_upvalueindex(2));
        return 1;
    }
    if (!name || !crier_record_get(record, name, &v, scratch)) {
        lua_pushnil(L);
        return 1;
    }
    if (v.type != CRIER_ARRAY && v.type != CRIER_OBJECT) {
        crier_push_value(L, &v);
        return 1;
    }
    /* A table is made once, so that r.guild == r.guild. */
    if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, 1, 1);
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pop(L, 1);
        crier_push_value(L, &v);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    return 1;
}

static int l_record_newindex(lua_State *L)
{
    return luaL_error(L, "a record is read-only");
}

static int l_record_gc(lua_State *L)
{
    struct box *box = lua_touserdata(L, 1); /* scripts don't get at this function */
    crier_record_unref(box->record);
    box->record = NULL;
    return 0;
}

static int l_record_tostring(lua_State *L)
{
    struct crier_str json = crier_record_json(check_record(L));
    lua_pushlstring(L, json.data, json.len);
    return 1;
}

static int l_record_pairs(lua_State *L)
{
    static const char *const common[] = {"id",     "seq",  "time",  "node", "kind", "level",
                                         "logger", "text", "where", "ok",   "sim"};
    struct crier_record *record = check_record(L);
    lua_getglobal(L, "next");
    lua_newtable(L);
    for (size_t i = 0; i < CRIER_COUNT(common); i++) {
        char scratch[32];
        struct crier_value v;
        if (crier_record_get(record, common[i], &v, scratch)) {
            crier_push_value(L, &v);
            lua_setfield(L, -2, common[i]);
        }
    }
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    while (crier_next(&it, &v)) {
        lua_pushlstring(L, v.key.data, v.key.len);
        crier_push_value(L, &v);
        lua_rawset(L, -3);
    }
    lua_pushnil(L);
    return 3;
}

/* --- fields from Lua --------------------------------------------------------------------- */

enum { MAX_DEPTH = 60, MAX_VALUES = 100000 };

/* What is left to be told: tables that are shared are written out at each place, which can take for
 * ever, and no budget stops C. */
struct walk {
    struct crier_builder *b;
    lua_State *L;
    const void *on[MAX_DEPTH]; /* the tables around the present value */
    int depth, left;
};

static void build_table(struct walk *w, int idx);
static void build_value(struct walk *w, int idx, const char *key, size_t klen);

static void build_word(struct walk *w, const char *key, size_t klen, const char *word)
{
    crier_build_str(w->b, key, klen, word, strlen(word));
}

static void build_list(struct walk *w, int idx)
{
    lua_Integer n = (lua_Integer)lua_rawlen(w->L, idx);
    for (lua_Integer i = 1; i <= n && w->left > 0; i++) {
        lua_rawgeti(w->L, idx, i);
        build_value(w, lua_gettop(w->L), NULL, 0);
        lua_pop(w->L, 1);
    }
}

static void build_container(struct walk *w, int idx, const char *key, size_t klen)
{
    const void *table = lua_topointer(w->L, idx);
    for (int i = 0; i < w->depth; i++) {
        if (w->on[i] == table) {
            build_word(w, key, klen, "[cycle]");
            return;
        }
    }
    if (w->depth == MAX_DEPTH || !lua_checkstack(w->L, 8)) {
        build_word(w, key, klen, "[too deep]");
        return;
    }
    bool list = lua_rawlen(w->L, idx) > 0;
    w->on[w->depth++] = table;
    crier_build_open(w->b, key, klen, list ? CRIER_ARRAY : CRIER_OBJECT);
    if (list)
        build_list(w, idx);
    else
        build_table(w, idx);
    crier_build_close(w->b);
    w->depth--;
}

static void build_object(struct walk *w, int idx, const char *key, size_t klen)
{
    struct crier_record *record = crier_to_record(w->L, idx);
    if (record) {
        char id[27];
        crier_record_id(record, id);
        build_word(w, key, klen, id);
    } else if (luaL_testudata(w->L, idx, CRIER_MT_SECRET)) {
        build_word(w, key, klen, "*****");
    } else {
        char text[80];
        build_word(w, key, klen, crier_lua_describe(w->L, idx, text, sizeof text));
    }
}

static void build_value(struct walk *w, int idx, const char *key, size_t klen)
{
    lua_State *L = w->L;
    if (w->left > 0 && --w->left == 0) {
        build_word(w, key, klen, "[too large]");
        return;
    }
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        crier_build_null(w->b, key, klen);
        break;
    case LUA_TBOOLEAN:
        crier_build_bool(w->b, key, klen, lua_toboolean(L, idx));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx))
            crier_build_int(w->b, key, klen, lua_tointegerx(L, idx, NULL));
        else
            crier_build_num(w->b, key, klen, lua_tonumberx(L, idx, NULL));
        break;
    case LUA_TSTRING: {
        size_t len;
        const char *s = lua_tolstring(L, idx, &len);
        crier_build_str(w->b, key, klen, s, len);
        break;
    }
    case LUA_TTABLE:
        build_container(w, idx, key, klen);
        break;
    default:
        build_object(w, idx, key, klen);
    }
}

static const char *odd_key(lua_State *L, char number[40], size_t *klen)
{
    if (lua_isinteger(L, -2))
        *klen = (size_t)snprintf(number, 40, "%lld", (long long)lua_tointeger(L, -2));
    else if (lua_type(L, -2) == LUA_TNUMBER)
        *klen = (size_t)snprintf(number, 40, "%.14g", lua_tonumber(L, -2));
    else
        *klen = (size_t)snprintf(number, 40, "%s", luaL_typename(L, -2));
    return number;
}

/* The key and, on top, the value of one member. */
static void build_pair(struct walk *w)
{
    lua_State *L = w->L;
    int value = lua_gettop(L);
    size_t klen;
    char number[40];
    /* Not of a number: it would become a string under lua_next's eyes. */
    const char *key = lua_type(L, value - 1) == LUA_TSTRING ? lua_tolstring(L, value - 1, &klen)
                                                            : odd_key(L, number, &klen);
    build_value(w, value, key, klen);
    lua_settop(L, value - 1);
}

static void build_ordered(struct walk *w, int idx)
{
    lua_State *L = w->L;
    int keys = lua_gettop(L) + 1;
    luaL_checkstack(L, 8, "too many values");
    crier_push_keys(L, idx);
    for (lua_Integer i = 1; w->left > 0 && lua_rawgeti(L, keys, i) != LUA_TNIL; i++) {
        lua_pushvalue(L, -1);
        lua_rawget(L, idx);
        build_pair(w);
        lua_settop(L, keys);
    }
    lua_settop(L, keys - 1);
}

static void build_table(struct walk *w, int idx)
{
    lua_State *L = w->L;
    int top = lua_gettop(L);
    if (crier_vm_of(L)->config.virtual_time) {
        build_ordered(w, idx);
        return;
    }
    lua_pushnil(L);
    while (w->left > 0 && lua_next(L, idx))
        build_pair(w);
    lua_settop(L, top);
}

void crier_build_lua_fields(struct crier_builder *b, lua_State *L, int idx)
{
    struct walk w = {.b = b, .L = L, .left = MAX_VALUES};
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 8, "too many values");
    w.on[w.depth++] = lua_topointer(L, idx);
    build_table(&w, idx);
}

void crier_build_lua_value(struct crier_builder *b, lua_State *L, int idx, const char *key,
                           size_t klen)
{
    struct walk w = {.b = b, .L = L, .left = MAX_VALUES};
    idx = lua_absindex(L, idx);
    luaL_checkstack(L, 8, "too many values");
    build_value(&w, idx, key, klen);
}

/* --- changed copies ---------------------------------------------------------------------- */

static int refuse(struct crier_err *err, const char *key, const char *why)
{
    return crier_err_set(err, CRIER_EINVAL, "record:with: '%.60s' %s", key, why);
}

/* A common member, whose new value is at idx. */
static int change_common(lua_State *L, int idx, const char *key, enum crier_field field,
                         struct crier_stored *who, struct crier_err *err)
{
    struct crier_str s = {0};
    if (field == CRIER_FIELD_OK) {
        if (lua_type(L, idx) != LUA_TBOOLEAN)
            return refuse(err, key, "must be a boolean");
        who->ok = lua_toboolean(L, idx);
        return 0;
    }
    if (field != CRIER_FIELD_TEXT && field != CRIER_FIELD_LOGGER && field != CRIER_FIELD_LEVEL)
        return refuse(err, key, "of a record cannot be changed");
    if (lua_type(L, idx) != LUA_TSTRING)
        return refuse(err, key, "must be a string");
    s.data = lua_tolstring(L, idx, &s.len);
    if (field == CRIER_FIELD_TEXT)
        who->text = s;
    else if (field == CRIER_FIELD_LOGGER)
        who->logger = s;
    else if (!crier_level_parse(s.data, s.len, &who->level))
        return refuse(err, key, "must be debug, info, warning, error or critical");
    return 0;
}

static int change(struct walk *w, int changes, struct crier_stored *who, struct crier_err *err)
{
    lua_State *L = w->L;
    int top = lua_gettop(L), rc = 0;
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, changes)) {
        size_t len;
        if (lua_type(L, -2) != LUA_TSTRING) {
            rc = crier_err_set(err, CRIER_EINVAL, "record:with takes fields by name, got %s",
                               luaL_typename(L, -2));
            break;
        }
        const char *key = lua_tolstring(L, -2, &len);
        enum crier_field field = crier_field_of(key, len);
        if (field != CRIER_FIELD_OTHER) {
            rc = change_common(L, lua_gettop(L), key, field, who, err);
        } else {
            crier_build_remove(w->b, key, len);
            build_value(w, lua_gettop(L), key, len);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
    return rc;
}

/* To build a copy with; *outer: it is to be given back. */
static struct crier_builder *begin_copy(lua_State *L, bool *outer)
{
    struct crier_vm *vm = crier_vm_of(L);
    *outer = false;
    if (vm->builder)
        return vm->builder;
    struct crier_host *host = crier_generation_of(L)->host;
    *outer = !crier_host_log_begin(host);
    return *outer ? crier_host_builder(host) : crier_host_spare_builder(host);
}

static void end_copy(lua_State *L, bool outer)
{
    if (outer)
        crier_host_log_end(crier_generation_of(L)->host);
}

int crier_record_with(lua_State *L, int idx, struct crier_record *record, struct crier_record **out,
                      struct crier_err *err)
{
    bool outer;
    struct crier_stored who;
    struct walk w = {.L = L, .left = MAX_VALUES};
    idx = lua_absindex(L, idx);
    if (!lua_checkstack(L, 8))
        return crier_err_set(err, CRIER_ELIMIT, "record:with: too many values");
    w.b = begin_copy(L, &outer);
    w.on[w.depth++] = lua_topointer(L, idx);
    crier_build_copy(w.b, record, &who);
    int rc = change(&w, idx, &who, err);
    end_copy(L, outer);
    if (rc == 0)
        *out = crier_build_restore(w.b, &who);
    return rc;
}

static int l_record_with(lua_State *L)
{
    struct crier_record *record = check_record(L);
    struct crier_err err = {0};
    if (lua_type(L, 2) != LUA_TTABLE)
        return luaL_error(L,
                          "record:with expects a table of fields, got %s: r:with { region = "
                          "\"eu\" }",
                          luaL_typename(L, 2));
    struct crier_record *copy;
    struct box *box = push_box(L);
    if (crier_record_with(L, 2, record, &copy, &err) != 0)
        return luaL_error(L, "%s", err.text);
    fill(L, box, copy);
    return 1;
}

static int l_record_without(lua_State *L)
{
    struct crier_record *record = check_record(L);
    bool outer;
    struct crier_stored who;
    int n = lua_gettop(L);
    for (int i = 2; i <= n; i++) {
        size_t len;
        if (lua_type(L, i) != LUA_TSTRING)
            return luaL_error(L,
                              "record:without expects names of fields, got %s: "
                              "r:without(\"password\")",
                              luaL_typename(L, i));
        const char *key = lua_tolstring(L, i, &len);
        if (crier_field_of(key, len) != CRIER_FIELD_OTHER)
            return luaL_error(L, "record:without: '%s' of a record cannot be removed", key);
    }
    struct box *box = push_box(L);
    struct crier_builder *b = begin_copy(L, &outer);
    crier_build_copy(b, record, &who);
    for (int i = 2; i <= n; i++) {
        size_t len;
        const char *key = lua_tolstring(L, i, &len);
        crier_build_remove(b, key, len);
    }
    fill(L, box, crier_build_restore(b, &who));
    end_copy(L, outer);
    return 1;
}

/* Leaves the metatable on the stack. */
static const void *fill_metatable(lua_State *L, const void *key)
{
    static const luaL_Reg meta[] = {
        {"__newindex", l_record_newindex},
        {"__tostring", l_record_tostring},
        {"__pairs", l_record_pairs},
        {NULL, NULL},
    };
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
    lua_pushcfunction(L, l_record_with);
    lua_pushcfunction(L, l_record_without);
    lua_pushcclosure(L, l_record_index, 2);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    luaL_setfuncs(L, meta, 0);
    return lua_topointer(L, -1);
}

void crier_open_record(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    luaL_newmetatable(L, CRIER_MT_RECORD);
    vm->record_meta = fill_metatable(L, &record_key);
    lua_pushcfunction(L, l_record_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lua_createtable(L, 0, 8);
    lua_pushliteral(L, CRIER_MT_RECORD);
    lua_setfield(L, -2, "__name");
    vm->passing.meta = fill_metatable(L, &passing_key);
    lua_pop(L, 1);
}

/* --- queries ----------------------------------------------------------------------------- */

enum { MAX_LIST = 10000 };

/* An operator is a table made by lua/crier/init.lua: { op = "gt", n = 1, value... } with the
 * operator's metatable. */
static bool is_operator(lua_State *L, int idx, char op[16])
{
    if (lua_type(L, idx) != LUA_TTABLE || luaL_getmetafield(L, idx, "__name") == LUA_TNIL)
        return false;
    bool yes = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), CRIER_MT_OP) == 0;
    lua_pop(L, 1);
    if (yes) {
        lua_getfield(L, idx, "op");
        snprintf(op, 16, "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 1);
    }
    return yes;
}

bool crier_is_null(lua_State *L, int idx)
{
    char op[16];
    return is_operator(L, idx, op) && strcmp(op, "null") == 0;
}

static bool read_const(lua_State *L, int idx, struct crier_value *v)
{
    *v = (struct crier_value){0};
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        v->type = CRIER_NULL;
        return true;
    case LUA_TBOOLEAN:
        v->type = lua_toboolean(L, idx) ? CRIER_TRUE : CRIER_FALSE;
        return true;
    case LUA_TNUMBER:
        if (lua_isinteger(L, idx)) {
            v->type = CRIER_INT;
            v->i = lua_tointeger(L, idx);
        } else {
            v->type = CRIER_NUM;
            v->n = lua_tonumber(L, idx);
        }
        return true;
    case LUA_TSTRING:
        v->type = CRIER_STR;
        v->s.data = lua_tolstring(L, idx, &v->s.len);
        return true;
    default:
        v->type = CRIER_NULL;
        return crier_is_null(L, idx);
    }
}

/* A kind or level that there is not would match nothing, in silence. */
static int check_word(const char *path, enum crier_op op, const struct crier_value *v,
                      struct crier_err *err)
{
    static const char *const levels[] = {"debug", "info", "warning", "error", "critical"};
    const char *kinds[CRIER_KIND_COUNT];
    enum crier_kind kind;
    enum crier_level level;
    bool is_kind = strcmp(path, "kind") == 0;
    if (v->type != CRIER_STR || op == CRIER_OP_LIKE || op == CRIER_OP_REGEX ||
        (!is_kind && strcmp(path, "level") != 0))
        return 0;
    if (is_kind ? crier_kind_parse(v->s.data, v->s.len, &kind)
                : crier_level_parse(v->s.data, v->s.len, &level))
        return 0;
    for (int i = 0; i < CRIER_KIND_COUNT; i++)
        kinds[i] = crier_kind_name((enum crier_kind)i);
    const char *near = is_kind ? crier_nearest(v->s.data, kinds, CRIER_KIND_COUNT)
                               : crier_nearest(v->s.data, levels, CRIER_COUNT(levels));
    if (near)
        return crier_err_set(err, CRIER_EINVAL, "there is no %s \"%.40s\" (did you mean \"%s\"?)",
                             path, v->s.data, near);
    return crier_err_set(
        err, CRIER_EINVAL, "there is no %s \"%.40s\" (there are %s)", path, v->s.data,
        is_kind ? "log, message, task, event, system" : "debug, info, warning, error, critical");
}

static int add_conditions(lua_State *L, int idx, const char *prefix, struct crier_query *q,
                          struct crier_err *err, int depth);

static int add_list(lua_State *L, int idx, const char *path, enum crier_op op, lua_Integer first,
                    struct crier_query *q, struct crier_err *err)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
    if (lua_getfield(L, idx, "n") == LUA_TNUMBER)
        n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    size_t count = n >= first ? (size_t)(n - first + 1) : 0;
    if (n > MAX_LIST || !lua_checkstack(L, (int)count + 8))
        return crier_err_set(err, CRIER_ELIMIT, "'%s': a list of more than %d values", path,
                             MAX_LIST);
    struct crier_value *values = crier_calloc(count ? count : 1, sizeof *values);
    int top = lua_gettop(L), rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        lua_rawgeti(L, idx, first + (lua_Integer)i);
        if (!read_const(L, lua_gettop(L), &values[i])) {
            char got[80];
            rc = crier_err_set(err, CRIER_EINVAL, "'%s': cannot compare with %s", path,
                               crier_lua_describe(L, -1, got, sizeof got));
        } else {
            rc = check_word(path, op, &values[i], err);
        }
    }
    if (rc == 0)
        rc = crier_query_add(q, path, op, values, count, err);
    lua_settop(L, top);
    free(values);
    return rc;
}

static int op_code(const char *name)
{
    static const struct {
        const char *name;
        enum crier_op op;
    } ops[] = {
        {"eq", CRIER_OP_EQ},       {"ne", CRIER_OP_NE},         {"gt", CRIER_OP_GT},
        {"ge", CRIER_OP_GE},       {"lt", CRIER_OP_LT},         {"le", CRIER_OP_LE},
        {"range", CRIER_OP_RANGE}, {"one_of", CRIER_OP_ONE_OF}, {"like", CRIER_OP_LIKE},
        {"regex", CRIER_OP_REGEX}, {"any", CRIER_OP_ANY},       {"all", CRIER_OP_ALL},
        {"no", CRIER_OP_NO},
    };
    for (size_t i = 0; i < CRIER_COUNT(ops); i++) {
        if (strcmp(ops[i].name, name) == 0)
            return (int)ops[i].op;
    }
    return -1;
}

static int add_group(lua_State *L, int idx, enum crier_op op, struct crier_query *q,
                     struct crier_err *err, int depth)
{
    int rc = crier_query_open(q, op, err);
    size_t n = lua_rawlen(L, idx);
    for (size_t i = 1; i <= n && rc == 0; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i);
        if (lua_type(L, -1) != LUA_TTABLE) {
            rc =
                crier_err_set(err, CRIER_EINVAL, "crier.any, all and no take tables of conditions");
        } else {
            rc = crier_query_open(q, CRIER_OP_ALL, err);
            if (rc == 0)
                rc = add_conditions(L, lua_gettop(L), "", q, err, depth + 1);
            if (rc == 0)
                crier_query_close(q);
        }
        lua_pop(L, 1);
    }
    if (rc == 0)
        crier_query_close(q);
    return rc;
}

/* crier.since "1d": a condition on the time, counted from now. */
static int add_since(lua_State *L, int idx, const char *path, struct crier_query *q,
                     struct crier_err *err)
{
    int64_t back, now = crier_clock_wall(crier_generation_of(L)->vm->config.clock);
    char got[80];
    int rc = 0;
    lua_rawgeti(L, idx, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
        rc = crier_query_since(q, path, lua_tostring(L, -1), now, err);
    } else if (lua_type(L, -1) == LUA_TNUMBER) {
        rc = crier_duration_from_seconds(lua_tonumber(L, -1), &back, err);
        struct crier_value from = {.type = CRIER_TIME, .i = now - back};
        if (rc == 0)
            rc = crier_query_add(q, path, CRIER_OP_GE, &from, 1, err);
        q->since = true;
    } else {
        rc = crier_err_set(err, CRIER_EINVAL,
                           "'%s': crier.since takes a duration such as \"1d\", got %s", path,
                           crier_lua_describe(L, -1, got, sizeof got));
    }
    lua_pop(L, 1);
    return rc;
}

static int add_one(lua_State *L, int idx, const char *path, struct crier_query *q,
                   struct crier_err *err, int depth)
{
    char op[16];
    struct crier_value v;
    if (read_const(L, idx, &v)) {
        int rc = check_word(path, CRIER_OP_EQ, &v, err);
        return rc == 0 ? crier_query_add(q, path, CRIER_OP_EQ, &v, 1, err) : rc;
    }
    if (lua_type(L, idx) != LUA_TTABLE)
        return crier_err_set(err, CRIER_EINVAL, "'%s': cannot compare with a %s", path,
                             luaL_typename(L, idx));
    if (is_operator(L, idx, op)) {
        int code = op_code(op);
        if (strcmp(op, "since") == 0)
            return add_since(L, idx, path, q, err);
        if (code < 0 || code >= CRIER_OP_ANY)
            return crier_err_set(err, CRIER_EINVAL, "'%s': crier.%s does not compare a field", path,
                                 op);
        return add_list(L, idx, path, (enum crier_op)code, 1, q, err);
    }
    if (lua_rawlen(L, idx) > 0) /* kind = { "task", "event" } */
        return add_list(L, idx, path, CRIER_OP_ONE_OF, 1, q, err);
    char *prefix = crier_asprintf("%s.", path);
    int rc = add_conditions(L, idx, prefix, q, err, depth + 1); /* guild = { id = ... } */
    free(prefix);
    return rc;
}

/* A group among conditions: { kind = "task", crier.any { ... } }. */
static int add_unnamed(lua_State *L, int idx, struct crier_query *q, struct crier_err *err,
                       int depth)
{
    char op[16];
    int code = is_operator(L, idx, op) ? op_code(op) : -1;
    if (code < (int)CRIER_OP_ANY)
        return crier_err_set(err, CRIER_EINVAL, "conditions have names: { kind = \"message\" }");
    return add_group(L, idx, (enum crier_op)code, q, err, depth + 1);
}

static int add_conditions(lua_State *L, int idx, const char *prefix, struct crier_query *q,
                          struct crier_err *err, int depth)
{
    char op[16];
    int rc = 0;
    if (depth > 14)
        return crier_err_set(err, CRIER_ELIMIT, "conditions are nested too deeply");
    if (!lua_checkstack(L, 10))
        return crier_err_set(err, CRIER_ELIMIT, "conditions are nested too deeply");
    if (is_operator(L, idx, op)) {
        int code = op_code(op);
        if (code != CRIER_OP_ANY && code != CRIER_OP_ALL && code != CRIER_OP_NO)
            return crier_err_set(err, CRIER_EINVAL,
                                 "crier.%s stands behind a field: x = crier.%s(...)", op, op);
        return add_group(L, idx, (enum crier_op)code, q, err, depth);
    }
    lua_pushnil(L);
    while (rc == 0 && lua_next(L, idx)) {
        int value = lua_gettop(L);
        if (lua_type(L, -2) != LUA_TSTRING) {
            rc = add_unnamed(L, value, q, err, depth);
        } else {
            char *path = crier_asprintf("%s%s", prefix, lua_tostring(L, -2));
            rc = add_one(L, value, path, q, err, depth);
            free(path);
        }
        lua_settop(L, value - (rc == 0 ? 1 : 2));
    }
    return rc;
}

int crier_query_from_lua(lua_State *L, int idx, const struct crier_zone *zone,
                         struct crier_query **out, struct crier_err *err)
{
    struct crier_query *q = crier_query_new((struct crier_zone *)zone);
    int rc = add_conditions(L, lua_absindex(L, idx), "", q, err, 0);
    if (rc == 0)
        *out = q;
    else
        crier_query_free(q);
    return rc;
}
