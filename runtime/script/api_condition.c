/* SPDX-License-Identifier: MIT
 *
 * Periods and conditions: crier.every, crier.daily, crier.cron, crier.after, ... and & | ~ between
 * them.
 *
 * Each call makes the text of what it means and has the one parser read it, so that the object form
 * and the text form cannot come to mean different things.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "sched/condition_text.h"
#include "script/declare.h"

struct box {
    struct crier_cond *cond;
    char *text; /* while it is being handed to Lua, so that it is freed whatever happens */
};

static struct box *new_box(lua_State *L)
{
    struct box *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct box){0};
    luaL_setmetatable(L, CRIER_MT_CONDITION);
    return b;
}

struct crier_cond *crier_to_cond(lua_State *L, int idx)
{
    struct box *b = luaL_testudata(L, idx, CRIER_MT_CONDITION);
    return b ? b->cond : NULL;
}

static int l_gc(lua_State *L)
{
    struct box *b = luaL_checkudata(L, 1, CRIER_MT_CONDITION);
    crier_cond_unref(b->cond);
    free(b->text);
    *b = (struct box){0};
    return 0;
}

/* Push the text of the condition at idx. */
static const char *push_text(lua_State *L, int idx)
{
    struct box *b = luaL_checkudata(L, idx, CRIER_MT_CONDITION);
    b->text = crier_cond_text(b->cond);
    const char *text = lua_pushstring(L, b->text);
    free(b->text);
    b->text = NULL;
    return text;
}

static int l_tostring(lua_State *L)
{
    push_text(L, 1);
    return 1;
}

/* The text on top of the stack -> the condition that it means. */
static int read_top(lua_State *L, const char *function)
{
    struct crier_err err = {0};
    int column;
    const char *text = lua_tostring(L, -1);
    struct box *b = new_box(L);
    if (crier_cond_parse(text, &b->cond, &column, &err) != 0)
        return luaL_error(L, "%s: %s", function, err.text);
    return 1;
}

/* --- arguments as text -------------------------------------------------------------------- */

/* What is at idx, as a word of the text: nothing in it may end the leaf that is being made. */
static const char *push_word(lua_State *L, int idx, const char *function)
{
    if (lua_isinteger(L, idx)) {
        return lua_pushfstring(L, "%I", (LUAI_UACINT)lua_tointeger(L, idx));
    }
    if (lua_type(L, idx) != LUA_TSTRING)
        luaL_error(L, "%s expects texts or whole numbers, got %s", function, luaL_typename(L, idx));
    const char *word = lua_tostring(L, idx);
    const char *odd = strpbrk(word, "&|~()'\",");
    if (odd || lua_rawlen(L, idx) != strlen(word))
        luaL_error(L, "%s: '%s' is not one value (%s)", function, word,
                   odd ? "conditions are combined outside: a & b" : "it holds a zero byte");
    lua_pushvalue(L, idx);
    return word;
}

/* A duration at idx: a text, or a number of seconds. */
static void push_duration(lua_State *L, int idx, const char *function)
{
    struct crier_err err = {0};
    int64_t us = 0;
    char text[48];
    int rc;
    if (lua_type(L, idx) == LUA_TNUMBER)
        rc = crier_duration_from_seconds(lua_tonumber(L, idx), &us, &err);
    else if (lua_type(L, idx) == LUA_TSTRING)
        rc = crier_cond_duration(lua_tostring(L, idx), &us, &err);
    else
        rc = crier_err_set(&err, CRIER_EINVAL, "expected a duration such as \"10m\", got %s",
                           luaL_typename(L, idx));
    if (rc != 0)
        luaL_error(L, "%s: %s", function, err.text);
    lua_pushstring(L, crier_duration_text(us, text));
}

/* A task's name at idx, in quotes. */
static void push_name(lua_State *L, int idx, const char *function)
{
    luaL_Buffer b;
    if (lua_type(L, idx) != LUA_TSTRING || !*lua_tostring(L, idx))
        luaL_error(L, "%s expects the names of tasks, got %s: %s \"fetch\"", function,
                   luaL_typename(L, idx), function);
    const char *name = lua_tostring(L, idx);
    luaL_buffinit(L, &b);
    luaL_addchar(&b, '\'');
    for (; *name; name++) {
        luaL_addchar(&b, *name);
        if (*name == '\'')
            luaL_addchar(&b, *name);
    }
    luaL_addchar(&b, '\'');
    luaL_pushresult(&b);
}

/* Adds ", " and what is on top of the stack to the text below it. */
static void append(lua_State *L, const char *between)
{
    lua_pushstring(L, between);
    lua_insert(L, -2);
    lua_concat(L, 3);
}

/* The value or list at idx as "a, b", behind the text on top of the stack. */
static void append_list(lua_State *L, int idx, const char *before, const char *function)
{
    if (!lua_istable(L, idx)) {
        push_word(L, idx, function);
        append(L, before);
        return;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, idx, i);
        push_word(L, lua_gettop(L), function);
        lua_remove(L, -2);
        append(L, i == 1 ? before : ", ");
    }
}

/* --- methods ------------------------------------------------------------------------------ */

/* What stands behind the text of a condition; % is an argument. */
static const struct method {
    const char *name, *text;
    enum { WORDS, LIST, SPAN, COUNT } arguments;
} methods[] = {
    {"after", " after %", WORDS},
    {"before", " before %", WORDS},
    {"between", " between % and %", WORDS},
    {"starting", " starting %", WORDS},
    {"at", " at ", LIST},
    {"on", " on ", LIST},
    {"tz", " in %", WORDS},
    {"today", " today", WORDS},
    {"this_second", " this second", WORDS},
    {"this_minute", " this minute", WORDS},
    {"this_hour", " this hour", WORDS},
    {"this_day", " this day", WORDS},
    {"this_week", " this week", WORDS},
    {"this_month", " this month", WORDS},
    {"this_year", " this year", WORDS},
    {"within", " in %", SPAN},
    {"longer_than", " longer than %", SPAN},
    {"shorter_than", " shorter than %", SPAN},
    {"at_least", " at least % times", COUNT},
    {"at_most", " at most % times", COUNT},
    {"exactly", " exactly % times", COUNT},
    {"more_than", " more than % times", COUNT},
    {"less_than", " less than % times", COUNT},
    {"none", " never", WORDS},
};

static int l_method(lua_State *L)
{
    const struct method *m = lua_touserdata(L, lua_upvalueindex(1));
    char function[64];
    if (!luaL_testudata(L, 1, CRIER_MT_CONDITION))
        return luaL_error(L, "call it with a colon: crier.daily:%s(...)", m->name);
    int count = lua_gettop(L) - 1, wanted = m->arguments == LIST ? count : 0;
    for (const char *p = m->text; *p; p++)
        wanted += *p == '%';
    if (m->arguments == LIST && count == 0)
        wanted = 1;
    push_text(L, 1);
    snprintf(function, sizeof function, "%.40s:%s", lua_tostring(L, -1), m->name);
    if (count != wanted)
        return luaL_error(L, "%s takes %d value%s, got %d", function, wanted,
                          wanted == 1 ? "" : "s", count);
    if (m->arguments == LIST) {
        for (int i = 2; i <= count + 1; i++)
            append_list(L, i, i == 2 ? m->text : ", ", function);
        return read_top(L, function);
    }
    int argument = 2;
    const char *from = m->text, *percent;
    for (; (percent = strchr(from, '%')); from = percent + 1) {
        lua_pushlstring(L, from, (size_t)(percent - from));
        lua_concat(L, 2);
        if (m->arguments == SPAN)
            push_duration(L, argument++, function);
        else if (m->arguments == COUNT && !lua_isinteger(L, argument))
            return luaL_error(L, "%s takes a whole number, got %s", function,
                              luaL_typename(L, argument));
        else
            push_word(L, argument++, function);
        lua_concat(L, 2);
    }
    lua_pushstring(L, from);
    lua_concat(L, 2);
    return read_top(L, function);
}

/* crier.weekly { "Mon", "Fri", at = "09:00", tz = "Europe/Paris" } */
static int l_call(lua_State *L)
{
    static const char *const keys[] = {"on", "after", "before", "between", "starting", "at", "tz"};
    static const char *const befores[] = {" on ",       " after ", " before ", " between ",
                                          " starting ", " at ",    " in "};
    char function[64];
    snprintf(function, sizeof function, "%.40s", push_text(L, 1));
    if (!lua_istable(L, 2))
        return luaL_error(
            L, "%s { ... } takes a table, such as { \"Mon\", \"Fri\", at = \"09:00\" }", function);
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        bool known = lua_isinteger(L, -2);
        if (lua_type(L, -2) == LUA_TSTRING) {
            const char *key = lua_tostring(L, -2), *near;
            for (size_t i = 0; i < CRIER_COUNT(keys); i++)
                known = known || strcmp(keys[i], key) == 0;
            near = crier_nearest(key, keys, CRIER_COUNT(keys));
            if (!known)
                return luaL_error(L, "%s: unknown option '%s' (%s%s)", function, key,
                                  near ? "did you mean "
                                       : "known: on, after, before, between, "
                                         "starting, at, tz",
                                  near ? near : "");
        }
        if (!known)
            return luaL_error(L, "%s: unknown option", function);
        lua_pop(L, 1);
    }
    if (lua_rawlen(L, 2))
        append_list(L, 2, strchr(function, ' ') ? ", " : " on ", function);
    for (size_t i = 0; i < CRIER_COUNT(keys); i++) {
        lua_pushstring(L, keys[i]);
        if (lua_rawget(L, 2) == LUA_TNIL) {
            lua_pop(L, 1);
            continue;
        }
        int value = lua_gettop(L);
        lua_pushvalue(L, value - 1);
        if (i == 3) { /* between */
            if (!lua_istable(L, value) || lua_rawlen(L, value) != 2)
                return luaL_error(L,
                                  "%s: between takes two values: between = { \"10:00\", "
                                  "\"12:00\" }",
                                  function);
            for (int k = 1; k <= 2; k++) {
                lua_rawgeti(L, value, k);
                push_word(L, lua_gettop(L), function);
                lua_remove(L, -2);
                append(L, k == 1 ? befores[i] : " and ");
            }
        } else {
            append_list(L, value, befores[i], function);
        }
        lua_replace(L, value - 1);
        lua_settop(L, value - 1);
    }
    return read_top(L, function);
}

/* --- operators ---------------------------------------------------------------------------- */

/* A condition, or the text of one, at idx: a new reference in a box that is pushed. */
static struct box *push_operand(lua_State *L, int idx)
{
    struct crier_err err = {0};
    struct crier_cond *cond = crier_to_cond(L, idx);
    struct box *b = new_box(L);
    int column;
    if (cond) {
        b->cond = crier_cond_ref(cond);
    } else if (lua_type(L, idx) == LUA_TSTRING) {
        if (crier_cond_parse(lua_tostring(L, idx), &b->cond, &column, &err) != 0)
            luaL_error(L, "\"%s\", column %d: %s", lua_tostring(L, idx), column, err.text);
    } else {
        luaL_error(L, "& | ~ combine conditions, got %s", luaL_typename(L, idx));
    }
    return b;
}

static int l_join(lua_State *L)
{
    struct crier_err err = {0};
    bool is_and = lua_toboolean(L, lua_upvalueindex(1));
    struct box *a = push_operand(L, 1), *b = push_operand(L, 2), *out = new_box(L);
    struct crier_cond *x = a->cond, *y = b->cond;
    a->cond = b->cond = NULL;
    out->cond = is_and ? crier_cond_and(x, y, &err) : crier_cond_or(x, y, &err);
    return out->cond ? 1 : luaL_error(L, "%s", err.text);
}

static int l_not(lua_State *L)
{
    struct crier_err err = {0};
    struct box *a = push_operand(L, 1), *out = new_box(L);
    struct crier_cond *x = a->cond;
    a->cond = NULL;
    out->cond = crier_cond_not(x, &err);
    return out->cond ? 1 : luaL_error(L, "%s", err.text);
}

static int l_equal(lua_State *L)
{
    struct crier_cond *a = crier_to_cond(L, 1), *b = crier_to_cond(L, 2);
    bool same = a && b && (a == b || strcmp(push_text(L, 1), push_text(L, 2)) == 0);
    lua_pushboolean(L, same);
    return 1;
}

/* --- functions ---------------------------------------------------------------------------- */

/* The text on top gets " WORD VALUE" for a key of the table at idx, if it is there. */
static void option(lua_State *L, int idx, const char *key, const char *before, bool duration,
                   const char *function)
{
    lua_pushstring(L, key);
    if (lua_rawget(L, idx) == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    int value = lua_gettop(L);
    if (duration)
        push_duration(L, value, function);
    else if (lua_type(L, value) == LUA_TNUMBER)
        lua_pushstring(L, luaL_tolstring(L, value, NULL)), lua_remove(L, -2);
    else
        push_word(L, value, function);
    lua_remove(L, value);
    append(L, before);
}

/* The table of options at idx may be left out; keys beyond these are errors. */
static bool options_at(lua_State *L, int idx, const char *const *keys, size_t n,
                       const char *function)
{
    if (lua_isnoneornil(L, idx))
        return false;
    if (!lua_istable(L, idx))
        luaL_error(L, "%s: options are a table, got %s", function, luaL_typename(L, idx));
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        bool known = lua_isinteger(L, -2) && lua_tointeger(L, -2) == 1;
        for (size_t i = 0; key && i < n; i++)
            known = known || strcmp(keys[i], key) == 0;
        const char *near = key ? crier_nearest(key, keys, n) : NULL;
        if (!known)
            luaL_error(L, "%s: unknown option '%s'%s%s%s", function, key ? key : "?",
                       near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
        lua_pop(L, 1);
    }
    return true;
}

static int l_every(lua_State *L)
{
    static const char *const keys[] = {"based", "jitter", "first"};
    lua_settop(L, 2);
    bool options = options_at(L, 2, keys, 3, "crier.every");
    lua_pushliteral(L, "every ");
    push_duration(L, 1, "crier.every");
    lua_concat(L, 2);
    if (options) {
        option(L, 2, "based", " based on ", false, "crier.every");
        option(L, 2, "jitter", " jitter ", true, "crier.every");
        option(L, 2, "first", " first ", false, "crier.every");
    }
    return read_top(L, "crier.every");
}

/* crier.cron "15 3 * * *", crier.cron("@daily", { tz = ... }), crier.cron { hour = "9-17", ... } */
static int l_cron(lua_State *L)
{
    static const char *const keys[] = {"minute", "hour", "day", "month", "weekday", "tz"};
    const char *word = lua_tostring(L, lua_upvalueindex(1));
    char function[24];
    lua_settop(L, 2);
    snprintf(function, sizeof function, "crier.%s", word);
    int table = lua_istable(L, 1) ? 1 : 2;
    bool options = options_at(L, table, table == 1 ? keys : keys + 5, table == 1 ? 6 : 1, function);
    lua_pushstring(L, word);
    if (table == 1) {
        for (int i = 0; i < 5; i++) {
            lua_pushstring(L, keys[i]);
            bool given = lua_rawget(L, 1) != LUA_TNIL;
            if (given && lua_type(L, -1) == LUA_TSTRING && strpbrk(lua_tostring(L, -1), " &|()'\""))
                return luaL_error(L, "%s: '%s' is not one field", function, lua_tostring(L, -1));
            if (!given || !lua_tostring(L, -1)) {
                lua_pop(L, 1);
                lua_pushliteral(L, "*");
            }
            append(L, " ");
        }
    } else {
        if (lua_type(L, 1) != LUA_TSTRING)
            return luaL_error(L, "%s expects an expression: %s \"15 3 * * *\"", function, function);
        push_name(L, 1, function);
        append(L, " ");
    }
    if (options)
        option(L, table, "tz", " in ", false, function);
    return read_top(L, function);
}

/* "after tasks 'a', 'b' failed": upvalues: all, any or nothing; the verb. */
static int l_after(lua_State *L)
{
    const char *which = lua_tostring(L, lua_upvalueindex(1));
    const char *verb = lua_tostring(L, lua_upvalueindex(2));
    const char *function = lua_tostring(L, lua_upvalueindex(3));
    int count = lua_gettop(L), list = 0;
    if (count == 1 && lua_istable(L, 1)) {
        list = 1;
        count = (int)lua_rawlen(L, 1);
    }
    if (count < 1)
        return luaL_error(L, "%s expects the names of tasks: %s \"fetch\"", function, function);
    luaL_checkstack(L, 8, NULL);
    lua_pushfstring(L, "after %stasks ", *which ? lua_pushfstring(L, "%s of ", which) : "");
    for (int i = 1; i <= count; i++) {
        if (list)
            lua_rawgeti(L, 1, i);
        else
            lua_pushvalue(L, i);
        push_name(L, lua_gettop(L), function);
        lua_remove(L, -2);
        append(L, i == 1 ? "" : ", ");
    }
    lua_pushstring(L, verb);
    append(L, " ");
    return read_top(L, function);
}

/* The subject "task 'a' ", or nothing. */
static void push_subject(lua_State *L, const char *function)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushliteral(L, "");
        return;
    }
    lua_pushliteral(L, "task ");
    push_name(L, 1, function);
    lua_pushliteral(L, " ");
    lua_concat(L, 3);
}

static int count_at(lua_State *L, int idx, const char *key, const char *function)
{
    int n = -1;
    lua_pushstring(L, key);
    if (lua_rawget(L, idx) != LUA_TNIL) {
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0 || lua_tointeger(L, -1) > 1000000000)
            luaL_error(L, "%s: '%s' is a count from 0 up", function, key);
        n = (int)lua_tointeger(L, -1);
    }
    lua_pop(L, 1);
    return n;
}

/* crier.succeeded(task, "1d", { min = 2 }) */
static int l_history(lua_State *L)
{
    static const char *const keys[] = {"min", "max", "within"};
    const char *verb = lua_tostring(L, lua_upvalueindex(1));
    char function[40];
    lua_settop(L, 3);
    snprintf(function, sizeof function, "crier.%s", verb);
    int table = lua_istable(L, 2) ? 2 : 3;
    bool options = options_at(L, table, keys, 3, function);
    push_subject(L, function);
    lua_pushstring(L, verb);
    lua_concat(L, 2);
    if (options) {
        int min = count_at(L, table, "min", function), max = count_at(L, table, "max", function);
        if (min >= 0 && max >= 0)
            lua_pushfstring(L, "%s %d to %d times", lua_tostring(L, -1), min, max);
        else if (min >= 0)
            lua_pushfstring(L, "%s at least %d times", lua_tostring(L, -1), min);
        else if (max >= 0)
            lua_pushfstring(L, "%s at most %d times", lua_tostring(L, -1), max);
        option(L, table, "within", " in ", true, function);
    }
    if (table == 3 && !lua_isnoneornil(L, 2)) {
        push_duration(L, 2, function);
        append(L, " in ");
    }
    return read_top(L, function);
}

static int l_running(lua_State *L)
{
    lua_settop(L, 1);
    push_subject(L, "crier.running");
    lua_pushliteral(L, "running");
    lua_concat(L, 2);
    return read_top(L, "crier.running");
}

/* crier.retry(3), crier.retry { 3, delay = "10s", factor = 2, max = "5m" }, crier.retry() */
static int l_retry(lua_State *L)
{
    static const char *const keys[] = {"delay", "factor", "max"};
    lua_settop(L, 2);
    int table = lua_istable(L, 1) ? 1 : 2;
    bool options = options_at(L, table, keys, 3, "crier.retry");
    if (table == 1)
        lua_rawgeti(L, 1, 1);
    else
        lua_pushvalue(L, 1);
    bool counted = !lua_isnoneornil(L, 1) && !lua_isnil(L, -1);
    if (counted && (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0))
        return luaL_error(L, "crier.retry expects how many times: crier.retry(3), got %s",
                          luaL_tolstring(L, -1, NULL));
    if (counted)
        lua_pushfstring(L, "retry %I", (LUAI_UACINT)lua_tointeger(L, -1));
    else
        lua_pushliteral(L, "retry");
    if (options) {
        option(L, table, "delay", " delay ", true, "crier.retry");
        option(L, table, "factor", " factor ", false, "crier.retry");
        option(L, table, "max", " max ", true, "crier.retry");
    }
    return read_top(L, "crier.retry");
}

/* crier.condition(function(ctx) ... end, { every = "5s" }), crier.condition "daily after 18:00" */
static int l_condition(lua_State *L)
{
    static const char *const keys[] = {"every"};
    int64_t poll = CRIER_S;
    const char *file;
    int line;
    char name[300];
    lua_settop(L, 2);
    if (lua_type(L, 1) == LUA_TSTRING || crier_to_cond(L, 1)) {
        push_operand(L, 1);
        return 1;
    }
    if (lua_type(L, 1) != LUA_TFUNCTION)
        return luaL_error(L, "crier.condition expects a function or a text: "
                             "crier.condition(function(ctx) return true end)");
    if (!crier_generation_of(L)->vm->loading)
        return luaL_error(L, "crier.condition declares: it is only available while the script "
                             "loads");
    if (options_at(L, 2, keys, 1, "crier.condition")) {
        lua_getfield(L, 2, "every");
        if (!lua_isnil(L, -1)) {
            push_duration(L, lua_gettop(L), "crier.condition");
            if (crier_duration_parse(lua_tostring(L, -1), &poll, NULL) != 0 || poll < 10 * CRIER_MS)
                return luaL_error(L, "crier.condition: 'every' must be at least 10ms");
        }
    }
    crier_lua_place(L, &file, &line);
    snprintf(name, sizeof name, "at %.250s:%d", file ? file : "?", line);
    struct box *b = new_box(L);
    lua_pushvalue(L, 1);
    b->cond = crier_cond_custom(luaL_ref(L, LUA_REGISTRYINDEX), name, poll);
    return 1;
}

/* --- opening ------------------------------------------------------------------------------ */

/* A method, or what to say of a name that is none. */
static int l_index(lua_State *L)
{
    const char *names[CRIER_COUNT(methods)];
    if (lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
            return 1;
    }
    const char *name = luaL_tolstring(L, 2, NULL);
    for (size_t i = 0; i < CRIER_COUNT(methods); i++)
        names[i] = methods[i].name;
    const char *near = crier_nearest(name, names, CRIER_COUNT(names));
    return luaL_error(L, "a condition has no method '%s'%s%s%s", name,
                      near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static void metatable(lua_State *L)
{
    static const luaL_Reg functions[] = {{"__gc", l_gc},    {"__tostring", l_tostring},
                                         {"__bnot", l_not}, {"__call", l_call},
                                         {"__eq", l_equal}, {NULL, NULL}};
    luaL_newmetatable(L, CRIER_MT_CONDITION);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    for (int is_and = 0; is_and < 2; is_and++) {
        lua_pushboolean(L, is_and);
        lua_pushcclosure(L, l_join, 1);
        lua_setfield(L, -2, is_and ? "__band" : "__bor");
    }
    lua_createtable(L, 0, CRIER_COUNT(methods));
    for (size_t i = 0; i < CRIER_COUNT(methods); i++) {
        lua_pushlightuserdata(L, (void *)&methods[i]);
        lua_pushcclosure(L, l_method, 1);
        lua_setfield(L, -2, methods[i].name);
    }
    lua_pushcclosure(L, l_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

/* A condition of this text as a field of the table on top of the stack. */
static void set_constant(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    read_top(L, "crier");
    lua_remove(L, -2);
    lua_setfield(L, -2, name);
}

static void open_after(lua_State *L)
{
    static const char *const verbs[][2] = {
        {"success", "succeeded"}, {"fail", "failed"}, {"finish", "finished"}};
    static const char *const which[][2] = {{"", ""}, {"all_", "all"}, {"any_", "any"}};
    lua_createtable(L, 0, 9);
    for (size_t i = 0; i < CRIER_COUNT(verbs); i++) {
        for (size_t k = 0; k < CRIER_COUNT(which); k++) {
            lua_pushstring(L, which[k][1]);
            lua_pushstring(L, verbs[i][1]);
            lua_pushfstring(L, "crier.after.%s%s", which[k][0], verbs[i][0]);
            lua_pushcclosure(L, l_after, 3);
            lua_pushfstring(L, "%s%s", which[k][0], verbs[i][0]);
            lua_insert(L, -2);
            lua_rawset(L, -3);
        }
    }
    lua_setfield(L, -2, "after");
}

void crier_open_condition(lua_State *L)
{
    static const luaL_Reg functions[] = {{"every", l_every},
                                         {"running", l_running},
                                         {"retry", l_retry},
                                         {"condition", l_condition},
                                         {NULL, NULL}};
    static const char *const histories[] = {"succeeded", "failed",     "finished", "started",
                                            "inacted",   "terminated", "crashed"};
    static const char *const crons[] = {"cron", "crontime"};
    metatable(L);
    luaL_setfuncs(L, functions, 0);
    for (size_t i = 0; i < CRIER_COUNT(histories); i++) {
        lua_pushstring(L, histories[i]);
        lua_pushcclosure(L, l_history, 1);
        lua_setfield(L, -2, histories[i]);
    }
    for (size_t i = 0; i < CRIER_COUNT(crons); i++) {
        lua_pushstring(L, crons[i]);
        lua_pushcclosure(L, l_cron, 1);
        lua_setfield(L, -2, crons[i]);
    }
    for (size_t i = 0; crier_cycle_adverbs[i]; i++) {
        char name[32], text[32];
        set_constant(L, crier_cycle_adverbs[i], crier_cycle_adverbs[i]);
        snprintf(name, sizeof name, "time_of_%s", crier_cycle_nouns[i]);
        snprintf(text, sizeof text, "time of %s", crier_cycle_nouns[i]);
        set_constant(L, name, text);
    }
    set_constant(L, "always", "true");
    set_constant(L, "never", "false");
    open_after(L);
}
