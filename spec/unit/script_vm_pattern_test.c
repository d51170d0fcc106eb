/* SPDX-License-Identifier: MIT
 *
 * string.find, match, gmatch and gsub: the same answers as Lua's own, and none that takes for ever.
 */
#include "rounds.h"
#include "script_vm_support.h"

#include <lualib.h>

/* All four functions on one subject and pattern, as one text; errors too. */
static const char SHOW[] =
    "local s, p, r = ...\n"
    "local function show(f, ...)\n"
    "  local t = table.pack(pcall(f, ...))\n"
    "  for i = 1, t.n do t[i] = tostring(t[i]) end\n"
    "  return table.concat(t, ',', 1, t.n)\n"
    "end\n"
    "local function all(s, p, i)\n"
    "  local out = {}\n"
    "  for a, b in string.gmatch(s, p, i) do out[#out + 1] = tostring(a) .. tostring(b) end\n"
    "  return table.concat(out, ';')\n"
    "end\n"
    "local n = 0\n"
    "return table.concat({ show(string.find, s, p), show(string.find, s, p, 3), show(string.match, s, p),"
    "  show(string.match, s, p, -2), show(string.find, s, p, 1, true), show(string.find, s, p, 99),\n"
    "  show(all, s, p), show(all, s, p, 3), show(string.gsub, s, p, r), show(string.gsub, s, p, '<%0>', "
    "2),\n  show(string.gsub, s, p, function(a, b) n = n + 1 return n % 2 == 0 and (b or a) end),\n"
    "  show(string.gsub, s, p, { a = 1, b = 'B', ab = false, [1] = 'one' }) }, '|')\n";

struct pair {
    struct crier_vm *ours;
    lua_State *luas;
};

static const char *show(lua_State *L, const char *s, size_t len, const char *p, size_t n,
                        const char *r)
{
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushlstring(L, s, len);
    lua_pushlstring(L, p, n);
    lua_pushstring(L, r);
    if (lua_pcall(L, 3, 1, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    return lua_tostring(L, -1);
}

static void open_pair(struct pair *pair)
{
    pair->ours = vm_plain();
    pair->luas = luaL_newstate();
    luaL_openlibs(pair->luas);
    assert_int_equal(luaL_loadstring(pair->luas, SHOW), LUA_OK);
    assert_int_equal(luaL_loadstring(pair->ours->L, SHOW), LUA_OK);
}

static void close_pair(struct pair *pair)
{
    lua_close(pair->luas);
    lua_settop(pair->ours->L, 0);
    crier_vm_free(pair->ours);
}

static void same_answers(struct pair *pair, const char *s, size_t len, const char *p, size_t n,
                         const char *r)
{
    const char *want = show(pair->luas, s, len, p, n, r);
    const char *got = show(pair->ours->L, s, len, p, n, r);
    if (strcmp(want, got) != 0)
        fail_msg("'%s' with '%s' to '%s':\n%s\n%s", s, p, r, want, got);
}

static void answers_are_luas(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "", "b", "a.c", "%a+", "(%a+)%s*=%s*(%w+)", "^%s*(.-)%s*$", "()", "()b()", "[%w_]+", "[^,]*",
        "[]]", "[^]]", "[a-]", "[%a-z]", "%b()", "%f[%w]%w+", "%f[%z]", "(.)%1", "(a(b)(c))", "a-b",
        "x*", "x?", "^x", "x$", "$", "^$", "%%", "[%%]", "%d%d?%d-%d*", "(()", "((a)", "a)", "[a", "[",
        "%", "[%", "%b", "%bx", "%f", "%fa", "%1", "(a)%2", "(%1)", "[a-%%]", "a+$", "%S+", "[%D]",
        "(a*(.)%w(%s*))", "[z-a]", "[a-z-9]", "-", "^-", "a**", "%g%c%p%u%l%x"};
    static const char *const subjects[] = {
        "", "abc", "  key = value  ", "a,b,,c", "(a(b)c) (d", "THE (quick) fox", "aabbcc", "xxx", "]-[",
        "100%", "hello world", "aaaaaaaa", "x=1, y=2", "\xC3\xA4\xFF", "a-b-c"};
    static const char *const replacements[] = {"", "x", "%0%0", "%1", "%2", "%%", "%", "%a", "<%1|%0>"};
    struct pair pair;
    open_pair(&pair);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        for (size_t j = 0; j < sizeof subjects / sizeof *subjects; j++)
            for (size_t k = 0; k < sizeof replacements / sizeof *replacements; k++)
                same_answers(&pair, subjects[j], strlen(subjects[j]), patterns[i], strlen(patterns[i]),
                             replacements[k]);
    close_pair(&pair);
}

static uint32_t chance(uint32_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % n;
}

static void answers_are_luas_for_anything(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", "b", ".", "%a", "%s", "%A", "[ab]", "[^a]", "[a-c", "]", "(",
                                         ")", "()", "*", "+", "-", "?", "^", "$", "%", "%1", "%2", "%b()",
                                         "%bab", "%f[a]", "[", "[^", "%f", "%]", "\xC3"};
    static const char letters[] = "aabbc ()]\0-";
    struct pair pair;
    uint32_t seed = 2463534242u;
    open_pair(&pair);
    for (int round = 0; round < ROUNDS(30000); round++) {
        char pattern[64] = "", subject[12];
        for (uint32_t i = chance(&seed, 8); i > 0; i--)
            strcat(pattern, pieces[chance(&seed, sizeof pieces / sizeof *pieces)]);
        size_t len = chance(&seed, sizeof subject - 1);
        for (size_t i = 0; i < len; i++)
            subject[i] = letters[chance(&seed, sizeof letters - 1)];
        subject[len] = '\0';
        same_answers(&pair, subject, len, pattern, strlen(pattern), "<%1>");
    }
    close_pair(&pair);
}

static void patterns_that_take_for_ever_are_stopped(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "local s = ('a'):rep(50000)\nreturn s:find('.-.-.-.-b')",
        "local s = ('a'):rep(50000)\nreturn s:match('.*.*.*b')",
        "local s = ('a'):rep(50000)\nfor w in s:gmatch('(a*a*a*b)') do end",
        "local s = ('a'):rep(50000)\nreturn s:gsub('a+a+a+b', 'x')",
        "local s = ('('):rep(300000)\nreturn s:find('%b()')",
        "local s = ('a'):rep(50000)\nreturn s:find('(.*)(.*)%1%2b')",
        "local s = ('a'):rep(50000)\nwhile true do pcall(string.find, s, '.-.-.-b') end",
    };
    for (int virtual_time = 0; virtual_time < 2; virtual_time++) {
        struct crier_clock *clock = crier_clock_virtual(0);
        struct crier_vm *vm = vm_with((struct crier_vm_config){
            .virtual_time = virtual_time, .clock = virtual_time ? clock : NULL});
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct ended end;
            start(vm, texts[i], BUDGET, &end);
            if (end.rc != CRIER_ELIMIT)
                fail_msg("%s: %d %s%s", texts[i], end.rc, end.message, end.result);
            assert_has(end.message, "bot.lua:2: data function of message 'gallery' used more than 40ms");
        }
        crier_vm_free(vm);
        crier_clock_free(clock);
    }
}

static void callbacks_and_methods_work(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    assert_string_equal(result_of(vm, "return (('x y'):gsub('%w', { x = 1, y = false }))"), "1 y");
    assert_string_equal(result_of(vm, "local t = setmetatable({}, {__index = function(_, k) return k .. k "
                                      "end}) return (('ab'):gsub('%w', t))"), "aabb");
    assert_has(error_of(vm, "('x'):gsub('x', function() return {} end)"),
               "bot.lua:1: invalid replacement value (a table)");
    assert_has(error_of(vm, "('x'):gsub('x', true)"), "string/function/table expected, got boolean");
    assert_has(error_of(vm, "('x'):find(nil)"), "string expected, got nil");
    assert_has(error_of(vm, "('x'):rep(300000):match(('('):rep(40))"), "too many captures");
    assert_has(error_of(vm, "return ('x'):rep(300):match(('x?'):rep(300))"), "pattern too complex");
    assert_string_equal(result_of(vm, "return #(('x'):rep(1e6):gsub('x', 'yy'))"), "2000000");
    assert_string_equal(result_of(vm, "return select(2, ('hello world'):find('o w'))"), "7");
    crier_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_luas),
        cmocka_unit_test(answers_are_luas_for_anything),
        cmocka_unit_test(patterns_that_take_for_ever_are_stopped),
        cmocka_unit_test(callbacks_and_methods_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
