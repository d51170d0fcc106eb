/* SPDX-License-Identifier: MIT
 *
 * string.find, match, gmatch and gsub, as Lua's manual describes them (6.4.1). Ours exist for one
 * reason: no hook reaches into Lua's own, and a pattern such as ".-.-.-x" on some thousand bytes
 * runs for minutes there. This matcher looks at the budget as it goes.
 */
#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/vm_private.h"

#define MAX_CAPTURES 32
#define MAX_DEPTH 200
#define POLL_EVERY 4096

enum { OPEN = -1, POSITION = -2 }; /* in place of a capture's length */

struct matcher {
    lua_State *L;
    const char *subject, *subject_end, *pattern_end;
    int depth;
    int captures;
    unsigned steps;
    struct {
        const char *at;
        ptrdiff_t len;
    } capture[MAX_CAPTURES];
};

static const char *match_here(struct matcher *m, const char *s, const char *p);

static void count(struct matcher *m, size_t steps)
{
    m->steps += (unsigned)steps;
    if (m->steps >= POLL_EVERY) {
        unsigned done = m->steps;
        m->steps = 0;
        crier_budget_poll(m->L, done);
    }
}

/* --- one character ------------------------------------------------------------------------ */

/* Behind the single-character item (a, ., %a, [set]) that begins at p. */
static const char *item_end(struct matcher *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 == m->pattern_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p++ != '[')
        return p;
    if (p < m->pattern_end && *p == '^')
        p++;
    do { /* a ']' in the first place is a member */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        p += *p == '%' && p + 1 < m->pattern_end ? 2 : 1;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int class)
{
    bool is;
    switch (tolower(class)) {
    case 'a': is = isalpha(c); break;
    case 'c': is = iscntrl(c); break;
    case 'd': is = isdigit(c); break;
    case 'g': is = isgraph(c); break;
    case 'l': is = islower(c); break;
    case 'p': is = ispunct(c); break;
    case 's': is = isspace(c); break;
    case 'u': is = isupper(c); break;
    case 'w': is = isalnum(c); break;
    case 'x': is = isxdigit(c); break;
    case 'z': is = c == 0; break;
    default: return class == c;
    }
    return isupper(class) ? !is : is;
}

/* p at '[', end behind its ']'. */
static bool in_set(int c, const char *p, const char *end)
{
    const char *last = end - 1; /* the ']' */
    bool negated = *++p == '^';
    if (negated)
        p++;
    while (p < last) {
        if (*p == '%') {
            if (in_class(c, (unsigned char)p[1]))
                return !negated;
            p += 2;
        } else if (p + 2 < last && p[1] == '-') {
            if ((unsigned char)*p <= c && c <= (unsigned char)p[2])
                return !negated;
            p += 3;
        } else {
            if ((unsigned char)*p == c)
                return !negated;
            p++;
        }
    }
    return negated;
}

static bool item_matches(const struct matcher *m, const char *s, const char *p, const char *end)
{
    if (s >= m->subject_end)
        return false;
    int c = (unsigned char)*s;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, end);
    default:
        return (unsigned char)*p == c;
    }
}

/* --- repetition, captures, the special items ---------------------------------------------- */

static const char *match_longest(struct matcher *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t n = 0;
    while (item_matches(m, s + n, p, end))
        n++;
    count(m, (size_t)n);
    for (; n >= 0; n--) {
        const char *rest = match_here(m, s + n, end + 1);
        if (rest)
            return rest;
    }
    return NULL;
}

static const char *match_shortest(struct matcher *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *rest = match_here(m, s, end + 1);
        if (rest || !item_matches(m, s, p, end))
            return rest;
    }
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->captures == MAX_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->captures].at = s;
    m->capture[m->captures].len = kind;
    m->captures++;
    const char *rest = match_here(m, s, p);
    if (!rest)
        m->captures--;
    return rest;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
    int i = m->captures - 1;
    while (i >= 0 && m->capture[i].len != OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[i].len = s - m->capture[i].at;
    const char *rest = match_here(m, s, p);
    if (!rest)
        m->capture[i].len = OPEN;
    return rest;
}

/* %bxy with p at x. */
static const char *balanced_end(struct matcher *m, const char *s, const char *p)
{
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != *p)
        return NULL;
    int level = 1;
    const char *from = s;
    while (++s < m->subject_end) {
        if (*s == p[1]) {
            if (--level == 0)
                break;
        } else if (*s == *p) {
            level++;
        }
    }
    count(m, (size_t)(s - from));
    return s < m->subject_end ? s + 1 : NULL;
}

/* %f[set] with p at the set. */
static const char *frontier_end(struct matcher *m, const char *s, const char *p)
{
    if (p >= m->pattern_end || *p != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *end = item_end(m, p);
    int before = s == m->subject ? 0 : (unsigned char)s[-1];
    int here = s < m->subject_end ? (unsigned char)*s : 0;
    return !in_set(before, p, end) && in_set(here, p, end) ? end : NULL;
}

static const char *match_again(struct matcher *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->captures || m->capture[i].len == OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    ptrdiff_t len = m->capture[i].len;
    if (len == POSITION)
        return NULL;
    count(m, (size_t)len / 16);
    if (m->subject_end - s < len || memcmp(m->capture[i].at, s, (size_t)len) != 0)
        return NULL;
    return s + len;
}

/* --- a pattern ---------------------------------------------------------------------------- */

/* The item at p and what follows. True: go on at *s and *p; false: *s is the result. */
static bool match_item(struct matcher *m, const char **s, const char **p)
{
    const char *end = item_end(m, *p);
    bool more = end < m->pattern_end, fits = item_matches(m, *s, *p, end);
    char quantifier = more ? *end : '\0';
    switch (quantifier) {
    case '?': {
        const char *rest = fits ? match_here(m, *s + 1, end + 1) : NULL;
        *p = end + 1;
        if (rest)
            *s = rest;
        return !rest;
    }
    case '+':
        *s = fits ? match_longest(m, *s + 1, *p, end) : NULL;
        return false;
    case '*':
        *s = match_longest(m, *s, *p, end);
        return false;
    case '-':
        *s = match_shortest(m, *s, *p, end);
        return false;
    default:
        *s = fits ? *s + 1 : NULL;
        *p = end;
        return fits;
    }
}

/* As match_item, for what is more than one character: *known false when p is not such an item. */
static bool match_special(struct matcher *m, const char **s, const char **p, bool *known)
{
    const char *at = *p;
    char next = at + 1 < m->pattern_end ? at[1] : '\0';
    *known = true;
    if (*at == '(') {
        bool position = next == ')';
        *s = open_capture(m, *s, at + (position ? 2 : 1), position ? POSITION : OPEN);
        return false;
    }
    if (*at == ')') {
        *s = close_capture(m, *s, at + 1);
        return false;
    }
    if (*at == '$' && at + 1 == m->pattern_end) {
        if (*s != m->subject_end)
            *s = NULL;
        return false;
    }
    if (*at == '%' && next == 'b') {
        *s = balanced_end(m, *s, at + 2);
        *p = at + 4;
        return *s != NULL;
    }
    if (*at == '%' && next == 'f') {
        *p = frontier_end(m, *s, at + 2);
        if (!*p)
            *s = NULL;
        return *p != NULL;
    }
    if (*at == '%' && isdigit((unsigned char)next)) {
        *s = match_again(m, *s, next);
        *p = at + 2;
        return *s != NULL;
    }
    *known = false;
    return true;
}

/* The end of the match of p at s, or NULL. */
static const char *match_here(struct matcher *m, const char *s, const char *p)
{
    if (++m->depth > MAX_DEPTH)
        luaL_error(m->L, "pattern too complex");
    bool go_on = true, known;
    while (go_on && p < m->pattern_end) {
        count(m, 1);
        go_on = match_special(m, &s, &p, &known);
        if (!known)
            go_on = match_item(m, &s, &p);
    }
    m->depth--;
    return s;
}

static const char *match_at(struct matcher *m, const char *s, const char *p)
{
    m->captures = 0;
    m->depth = 0;
    return match_here(m, s, p);
}

/* --- results ------------------------------------------------------------------------------ */

/* Capture i; without captures, 0 is the whole match. */
static void push_capture(struct matcher *m, int i, const char *from, const char *to)
{
    if (i >= m->captures) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, from, (size_t)(to - from));
    } else if (m->capture[i].len == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else if (m->capture[i].len == POSITION) {
        lua_pushinteger(m->L, m->capture[i].at - m->subject + 1);
    } else {
        lua_pushlstring(m->L, m->capture[i].at, (size_t)m->capture[i].len);
    }
}

/* All captures; whole: the whole match when there is none. */
static int push_captures(struct matcher *m, const char *from, const char *to, bool whole)
{
    int n = m->captures == 0 && whole ? 1 : m->captures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, from, to);
    return n;
}

static struct matcher start(lua_State *L, const char *subject, size_t len, const char *pattern_end)
{
    return (struct matcher){.L = L, .subject = subject, .subject_end = subject + len,
                            .pattern_end = pattern_end};
}

/* Argument `arg` as an offset from 0; len + 1 when it is behind the end. */
static size_t start_offset(lua_State *L, int arg, size_t len)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);
    if (init > 0)
        return (lua_Unsigned)init - 1 > len ? len + 1 : (size_t)init - 1;
    if (init == 0 || init < -(lua_Integer)len)
        return 0;
    return len - (size_t)-init;
}

static bool is_plain(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strchr("^$*+?.([%-", pattern[i]) && pattern[i])
            return false;
    return true;
}

static int find_plain(lua_State *L, const char *s, size_t len, size_t from, const char *p, size_t n)
{
    const char *at = n ? memmem(s + from, len - from, p, n) : s + from;
    if (!at) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, at - s + (lua_Integer)n);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len, n;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &n);
    size_t from = start_offset(L, 3, len);
    if (from > len) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(p, n)))
        return find_plain(L, s, len, from, p, n);
    bool anchored = n && *p == '^';
    struct matcher m = start(L, s, len, p + n);
    for (const char *at = s + from; at <= m.subject_end; at++) {
        const char *end = match_at(&m, at, p + anchored);
        if (end && find) {
            lua_pushinteger(L, at - s + 1);
            lua_pushinteger(L, end - s);
            return push_captures(&m, NULL, NULL, false) + 2;
        }
        if (end)
            return push_captures(&m, at, end, true);
        if (anchored)
            break;
    }
    luaL_pushfail(L);
    return 1;
}

static int l_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int l_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: the subject, the pattern, where to go on, and where the last match ended (-1: none),
 * since an empty match there would be found again. */
static int l_next_match(lua_State *L)
{
    size_t len, n;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &n);
    lua_Integer from = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct matcher m = start(L, s, len, p + n);
    for (; from <= (lua_Integer)len; from++) {
        const char *end = match_at(&m, s + from, p);
        if (end && end - s != last) {
            lua_pushinteger(L, end - s);
            lua_pushvalue(L, -1);
            lua_replace(L, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return push_captures(&m, s + from, end, true);
        }
    }
    lua_pushinteger(L, (lua_Integer)len + 1);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int l_gmatch(lua_State *L)
{
    size_t len;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t from = start_offset(L, 3, len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)from);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, l_next_match, 4);
    return 1;
}

/* --- gsub --------------------------------------------------------------------------------- */

/* The replacement text, with %0-%9 for the captures. */
static void add_text(struct matcher *m, luaL_Buffer *b, const char *from, const char *to)
{
    lua_State *L = m->L;
    size_t len;
    const char *text = lua_tolstring(L, 3, &len), *end = text + len, *at;
    for (; (at = memchr(text, '%', (size_t)(end - text))); text = at + 1) {
        luaL_addlstring(b, text, (size_t)(at - text));
        at++;
        if (at < end && *at == '%') {
            luaL_addchar(b, '%');
        } else if (at < end && *at == '0') {
            luaL_addlstring(b, from, (size_t)(to - from));
        } else if (at < end && isdigit((unsigned char)*at)) {
            push_capture(m, *at - '1', from, to);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
    luaL_addlstring(b, text, (size_t)(end - text));
}

/* What takes the place of a match. Whether that is something else than the match itself. */
static bool add_replacement(struct matcher *m, luaL_Buffer *b, const char *from, const char *to)
{
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, from, to, true), 1);
        break;
    case LUA_TTABLE:
        push_capture(m, 0, from, to);
        lua_gettable(L, 3);
        break;
    default:
        add_text(m, b, from, to);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, from, (size_t)(to - from));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int l_gsub(lua_State *L)
{
    size_t len, n;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &n);
    int type = lua_type(L, 3);
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)len + 1), replaced = 0;
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                            type == LUA_TTABLE, 3, "string/function/table");
    bool anchored = n && *p == '^', changed = false;
    struct matcher m = start(L, s, len, p + n);
    const char *last = NULL; /* an empty match where the last one ended does not count */
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (replaced < max) {
        const char *end = match_at(&m, s, p + anchored);
        if (end && end != last) {
            replaced++;
            changed = add_replacement(&m, &b, s, end) || changed;
            s = last = end;
        } else if (s < m.subject_end) {
            luaL_addchar(&b, *s++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        luaL_addlstring(&b, s, (size_t)(m.subject_end - s));
        luaL_pushresult(&b);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, replaced);
    return 2;
}

void crier_open_pattern(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", l_find},     {"match", l_match},
                                         {"gmatch", l_gmatch}, {"gsub", l_gsub},
                                         {NULL, NULL}};
    lua_getglobal(L, "string");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
