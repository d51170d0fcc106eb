/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "script/pattern.h"

#include <glib.h>
#include <lauxlib.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "script/vm.h"

enum { DEPTH = 20, MATCH_LIMIT = 100000 };

enum op { ALL, ANY, NO, CONTAINS, REGEX };

static const char *const words[] = {"all", "any", "no", "contains", "regex"};

struct crier_pattern {
    int refs;
    enum op op;
    char *text;         /* of contains and regex; at the top the whole as text */
    const char *what;   /* "channels" or "guilds"; static, at the top only */
    pcre2_code **codes; /* regex: one; contains: one a word */
    size_t code_count;
    GPtrArray *parts; /* all, any, no */
};

struct crier_pattern *crier_pattern_ref(struct crier_pattern *p)
{
    g_atomic_int_inc(&p->refs);
    return p;
}

void crier_pattern_unref(struct crier_pattern *p)
{
    if (!p || !g_atomic_int_dec_and_test(&p->refs))
        return;
    for (size_t i = 0; i < p->code_count; i++)
        pcre2_code_free(p->codes[i]);
    free(p->codes);
    if (p->parts)
        g_ptr_array_free(p->parts, TRUE);
    free(p->text);
    free(p);
}

static void unref(void *p)
{
    crier_pattern_unref(p);
}

const char *crier_pattern_text(const struct crier_pattern *p)
{
    return p->text;
}

/* --- matching ------------------------------------------------------------------------------ */

static bool found(pcre2_code *code, const char *name)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    int rc = pcre2_match(code, (PCRE2_SPTR)name, PCRE2_ZERO_TERMINATED, 0, 0, data, limits);
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return rc >= 0;
}

bool crier_pattern_matches(const struct crier_pattern *p, const char *name)
{
    bool all = true, any = false;
    for (size_t i = 0; i < p->code_count; i++)
        all = all && found(p->codes[i], name);
    for (guint i = 0; p->parts && i < p->parts->len; i++) {
        bool one = crier_pattern_matches(p->parts->pdata[i], name);
        all = all && one;
        any = any || one;
    }
    return p->op == ANY ? any : p->op == NO ? !any : all;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Returns NULL, or what is wrong. */
static char *add_code(struct crier_pattern *p, const char *text, size_t len)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)text, len,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_MULTILINE, &code, &at, NULL);
    if (!re) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return crier_asprintf("bad regex at byte %zu: %s", (size_t)at + 1, (char *)why);
    }
    p->codes = crier_realloc(p->codes, (p->code_count + 1) * sizeof *p->codes);
    p->codes[p->code_count++] = re;
    return NULL;
}

static bool is_word(gunichar c)
{
    return g_unichar_isalnum(c) || g_unichar_ismark(c) || c == '_';
}

static char *add_words(struct crier_pattern *p, const char *text)
{
    char *why = NULL;
    for (const char *s = text; *s && !why;) {
        while (*s && !is_word(g_utf8_get_char(s)))
            s = g_utf8_next_char(s);
        const char *end = s;
        while (*end && is_word(g_utf8_get_char(end)))
            end = g_utf8_next_char(end);
        if (end == s)
            break;
        char *re = crier_asprintf("(?<!\\w)\\Q%.*s\\E(?!\\w)", (int)(end - s), s);
        why = add_code(p, re, strlen(re));
        free(re);
        s = end;
    }
    if (!why && !p->code_count)
        why = crier_strdup("crier.contains takes a text with a word in it");
    return why;
}

static char *read_op(lua_State *L, int idx, enum op *op)
{
    lua_pushliteral(L, "op");
    const char *name = lua_rawget(L, idx) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (size_t i = 0; i < CRIER_COUNT(words); i++) {
        if (strcmp(name, words[i]) == 0) {
            *op = (enum op)i;
            lua_pop(L, 1);
            return NULL;
        }
    }
    lua_pop(L, 1);
    return crier_strdup("takes crier.contains, crier.regex, crier.all, crier.any and crier.no");
}

static char *read_parts(lua_State *L, int idx, struct crier_pattern *p, int depth);

static char *read_one(lua_State *L, int idx, struct crier_pattern **out, int depth)
{
    struct crier_pattern *p = crier_calloc(1, sizeof *p);
    char *why = NULL;
    p->refs = 1;
    if (!lua_istable(L, idx) || depth > DEPTH)
        why = crier_strdup(depth > DEPTH
                               ? "is too deep"
                               : "takes crier.contains, crier.regex, crier.all, crier.any and "
                                 "crier.no");
    else
        why = read_op(L, idx, &p->op);
    if (!why && p->op <= NO) {
        why = read_parts(L, idx, p, depth);
    } else if (!why) {
        lua_rawgeti(L, idx, 1);
        size_t len = 0;
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        if (!text || !g_utf8_validate(text, (gssize)len, NULL))
            why = crier_asprintf("crier.%s takes a text", words[p->op]);
        else
            why = p->op == REGEX ? add_code(p, text, len) : add_words(p, text);
        p->text = text ? crier_asprintf("%s %s", words[p->op], text) : NULL;
        lua_pop(L, 1);
    }
    if (why) {
        crier_pattern_unref(p);
        return why;
    }
    *out = p;
    return NULL;
}

static char *read_parts(lua_State *L, int idx, struct crier_pattern *p, int depth)
{
    struct crier_buf text = {0};
    char *why = NULL;
    size_t n = lua_rawlen(L, idx);
    p->parts = g_ptr_array_new_with_free_func(unref);
    crier_buf_printf(&text, "%s{", words[p->op]);
    for (size_t i = 1; i <= n && !why; i++) {
        struct crier_pattern *part = NULL;
        lua_rawgeti(L, idx, (lua_Integer)i);
        why = read_one(L, lua_gettop(L), &part, depth + 1);
        lua_pop(L, 1);
        if (why)
            break;
        g_ptr_array_add(p->parts, part);
        crier_buf_printf(&text, "%s%s", i > 1 ? ", " : "", part->text);
    }
    crier_buf_puts(&text, "}");
    p->text = crier_buf_take(&text);
    return why;
}

static int l_pattern(lua_State *L)
{
    const char *what = lua_tostring(L, lua_upvalueindex(1));
    luaL_checkstack(L, 100, "pattern");
    if (!lua_istable(L, 1) || !lua_rawlen(L, 1))
        return luaL_error(L,
                          "crier.%s expects a list of patterns: crier.%s { crier.contains "
                          "\"news\" }",
                          what, what);
    struct crier_pattern **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, CRIER_MT_PATTERN);
    struct crier_pattern *p = crier_calloc(1, sizeof *p);
    p->refs = 1;
    p->op = ALL;
    p->what = strcmp(what, "guilds") == 0 ? "guilds" : "channels";
    *box = p;
    char *why = read_parts(L, 1, p, 0);
    if (why) {
        lua_pushfstring(L, "crier.%s: %s", what, why);
        free(why);
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
        return lua_error(L);
    }
    return 1;
}

static int l_gc(lua_State *L)
{
    struct crier_pattern **box = luaL_checkudata(L, 1, CRIER_MT_PATTERN);
    crier_pattern_unref(*box);
    *box = NULL;
    return 0;
}

struct crier_pattern *crier_to_pattern(lua_State *L, int idx, const char *what)
{
    struct crier_pattern **box = luaL_testudata(L, idx, CRIER_MT_PATTERN);
    return box && *box && strcmp((*box)->what, what) == 0 ? *box : NULL;
}

void crier_open_match(lua_State *L)
{
    luaL_newmetatable(L, CRIER_MT_PATTERN);
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    for (int i = 0; i < 2; i++) {
        lua_pushstring(L, i ? "guilds" : "channels");
        lua_pushcclosure(L, l_pattern, 1);
        lua_setfield(L, -2, i ? "guilds" : "channels");
    }
}
