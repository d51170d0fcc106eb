/* SPDX-License-Identifier: MIT
 *
 * A runaway is stopped wherever it runs, and named.
 */
#include "script_vm_support.h"

static const char NAMED[] =
    "data function of message 'gallery' used more than 40ms of CPU time (limits.callback)";

/* Each runs for ever without the budget. `line` is where the first error is raised, 0: wherever. */
static const struct {
    const char *what, *text;
    int line;
} runaways[] = {
    {"a plain loop", "local x\nwhile true do\nend", 2},
    {"a loop with work", "local t = {}\nwhile true do t[1] = {1}; t = {t[1]} end", 2},
    {"a call chain", "local function f(n) if n == 0 then return 0 end\nreturn f(n - 1) + 0 end\n"
                     "while true do f(100) end", 0},
    {"pcall in a loop", "while true do pcall(function() while true do end end) end", 1},
    {"pcall of an error in a loop", "while true do pcall(error, 'x') end", 1},
#ifndef __SANITIZE_THREAD__ /* moves a stack of megabytes 40,000 times: minutes under its realloc */
    {"nested pcalls", "local function f() while true do pcall(f) end end\nf()", 0},
#endif
    {"xpcall whose handler loops",
     "while true do xpcall(function() while true do end end, function() while true do end end) end",
     0},
    {"a swallowed error", "pcall(function() while true do end end)\nreturn 'fine'", 1},
    {"coroutine.wrap", "local f = coroutine.wrap(function()\nwhile true do end\nend)\nf()", 2},
    {"coroutine.resume in a loop",
     "while true do local co = coroutine.create(function()\nwhile true do end end)\n"
     "coroutine.resume(co) end", 2},
    {"coroutines that yield in a loop",
     "local f = coroutine.wrap(function() while true do coroutine.yield(1) end end)\n"
     "while true do f() end", 0},
    {"coroutines in coroutines",
     "local function deep(n) if n == 0 then while true do end end\n"
     "local co = coroutine.create(deep)\nwhile true do coroutine.resume(co, n - 1) end end\n"
     "deep(5)", 0},
    {"a resume after the limit",
     "local co = coroutine.create(function() while true do pcall(coroutine.yield) end end)\n"
     "coroutine.resume(co)\n"
     "pcall(function() while true do end end)\n"
     "while true do coroutine.resume(co) end", 0},
    {"a gsub callback", "return (string.rep('x', 10)):gsub('x', function()\nwhile true do end end)",
     2},
    {"a gsub callback with pcall",
     "return (string.rep('x', 1000)):gsub('x', function() pcall(function() while true do end end) "
     "end)", 1},
    {"a sort comparator", "local t = {3, 1, 2}\ntable.sort(t, function()\nwhile true do end end)",
     3},
    {"a metamethod", "local t = setmetatable({}, {__index = function()\nwhile true do end end})\n"
                     "return t.x", 2},
    {"__lt within sort", "local m = {__lt = function() while true do end end}\n"
                         "table.sort { setmetatable({}, m), setmetatable({}, m) }", 1},
    {"__close", "local x <close> = setmetatable({}, {__close = function()\nwhile true do end end})",
     2},
    {"__close after an error",
     "local x <close> = setmetatable({}, {__close = function() while true do end end})\nerror 'x'",
     1},
    {"__close while the limit is being enforced",
     "local m = {__close = function() while true do end end}\n"
     "local x <close> = setmetatable({}, m)\nlocal y <close> = setmetatable({}, m)\n"
     "while true do end", 0},
    {"__close of a coroutine that is closed",
     "local co = coroutine.create(function()\n"
     "local x <close> = setmetatable({}, {__close = function() while true do end end})\n"
     "coroutine.yield() end)\ncoroutine.resume(co)\ncoroutine.close(co)", 2},
    {"__close of a wrapped coroutine over its limit",
     "coroutine.wrap(function()\n"
     "local x <close> = setmetatable({}, {__close = function() while true do end end})\n"
     "while true do end end)()", 3},
    {"__gc", "setmetatable({}, {__gc = function()\nwhile true do end end})\ncollectgarbage()", 2},
    {"__gc again and again",
     "local m m = {__gc = function(o) setmetatable({}, m) while true do end end}\n"
     "setmetatable({}, m)\nwhile true do collectgarbage() end", 0},
    {"tostring", "local t = setmetatable({}, {__tostring = function()\nwhile true do end end})\n"
                 "return tostring(t)", 2},
    {"a load reader", "load(function() while true do end end)", 1},
    {"a generic for", "for _ in function() return 1 end do end", 1},
    {"require", "package.preload.x = function() while true do end end\nrequire 'x'", 1},
};

/* As start, but as a function that must answer at once: on the main state, which cannot yield. */
static void start_now(struct crier_vm *vm, const char *text, struct ended *end)
{
    struct crier_lua_error error;
    memset(end, 0, sizeof *end);
    push_chunk(vm, text);
    end->rc = crier_call_now(vm, 0, 0, "data function of message 'gallery'", BUDGET, &error);
    if (end->rc)
        snprintf(end->message, sizeof end->message, "%s", error.message);
    crier_lua_error_fini(&error);
}

static void check_runaways(struct crier_vm_config config, bool now)
{
    struct crier_vm *vm = vm_with(config);
    for (size_t i = 0; i < sizeof runaways / sizeof *runaways; i++) {
        struct ended end;
        if (now)
            start_now(vm, runaways[i].text, &end);
        else if (start(vm, runaways[i].text, BUDGET, &end))
            fail_msg("%s: waits", runaways[i].what);
        if (end.rc != CRIER_ELIMIT)
            fail_msg("%s: ended with %d, %s%s", runaways[i].what, end.rc, end.message, end.result);
        if (!strstr(end.message, NAMED))
            fail_msg("%s: %s", runaways[i].what, end.message);
        char place[32];
        snprintf(place, sizeof place, "bot.lua:%d: data", runaways[i].line);
        if (runaways[i].line && strncmp(end.message, place, strlen(place)) != 0)
            fail_msg("%s: expected %s, got %s", runaways[i].what, place, end.message);
        assert_int_equal(lua_gettop(vm->L), 0);
        /* The state works as before, also in coroutines that had the hook. */
        assert_string_equal(result_of(vm, "local n = 0 for i = 1, 100000 do n = n + 1 end\n"
                                          "local f = coroutine.wrap(function() for i = 1, 50000 do "
                                          "n = n + 1 end return n end) return f()"),
                            "150000");
    }
    crier_vm_free(vm);
}

static void runaways_are_stopped_everywhere(void **state)
{
    (void)state;
    check_runaways((struct crier_vm_config){0}, false);
}

static void runaways_that_cannot_yield_are_stopped(void **state)
{
    (void)state;
    check_runaways((struct crier_vm_config){0}, true);
}

static void runaways_are_stopped_in_virtual_time(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    check_runaways((struct crier_vm_config){.virtual_time = true, .clock = clock}, false);
    check_runaways((struct crier_vm_config){.virtual_time = true, .clock = clock}, true);
    crier_clock_free(clock);
}

static void virtual_time_stops_at_the_same_instruction(void **state)
{
    (void)state;
    struct crier_clock *clock = crier_clock_virtual(0);
    char seen[3][256];
    for (int i = 0; i < 3; i++) {
        struct crier_vm *vm =
            vm_with((struct crier_vm_config){.virtual_time = true, .clock = clock});
        struct ended end;
        start(vm, "n = 0 while true do n = n + 1 end", BUDGET, &end);
        snprintf(seen[i], sizeof seen[i], "%s", result_of(vm, "return n"));
        crier_vm_free(vm);
    }
    assert_string_equal(seen[0], seen[1]);
    assert_string_equal(seen[1], seen[2]);
    assert_true(atoi(seen[0]) > 100000);
    crier_clock_free(clock);
}

static void a_call_within_its_budget_is_left_alone(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    for (int i = 0; i < 200; i++) { /* more CPU time than one budget, in many calls */
        assert_null(start(vm, "for i = 1, 20000 do end return 'ok'", BUDGET, &end));
        assert_int_equal(end.rc, 0);
    }
    /* The budget counts between two waits. */
    struct crier_call *call = start(
        vm, "for i = 1, 8 do for j = 1, 1500000 do end wait() end return 'ok'", 100 * CRIER_MS, &end);
    for (int i = 0; i < 8 && !end.count; i++)
        resume_with(call, "");
    assert_int_equal(end.rc, 0);
    crier_vm_free(vm);
}

static void small_closers_still_run(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    start(vm,
          "closed = 0\n"
          "local m = {__close = function() for i = 1, 100 do closed = closed + 0.01 end end}\n"
          "local a <close> = setmetatable({}, m)\n"
          "local f = coroutine.wrap(function() local b <close> = setmetatable({}, m)\n"
          "while true do end end)\nf()", BUDGET, &end);
    assert_int_equal(end.rc, CRIER_ELIMIT);
    assert_has(end.message, "bot.lua:5: ");
    assert_string_equal(result_of(vm, "return math.floor(closed + 0.5)"), "2");
    crier_vm_free(vm);
}

static void the_limit_holds_while_loading(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    char path[] = "/tmp/crier_vm_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] = "x = 1\nwhile true do pcall(function() while true do end end) end\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    struct crier_lua_error error;
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), CRIER_ELIMIT);
    assert_string_equal(error.message, "bot.lua:2: loading bot.lua used more than 40ms of CPU time "
                                       "(limits.load)");
    crier_lua_error_fini(&error);
    assert_false(vm->loading);
    assert_int_equal(lua_gettop(vm->L), 0);
    unlink(path);
    crier_vm_free(vm);
}

/* --- nested calls ------------------------------------------------------------------------- */

/* now(f, budget_ms): as a binding that asks a function of the script for a value. */
static int l_now(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    struct crier_lua_error error;
    int64_t budget = lua_tointeger(L, 2) * CRIER_MS;
    lua_pushvalue(L, 1);
    lua_xmove(L, vm->L, 1);
    if (crier_call_now(vm, 0, 1, "match function", budget, &error) != 0) {
        lua_pushnil(L);
        lua_pushstring(L, error.message);
        crier_lua_error_fini(&error);
        return 2;
    }
    lua_xmove(vm->L, L, 1);
    return 1;
}

static void nested_calls_have_budgets_of_their_own(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    lua_register(vm->L, "now", l_now);
    struct ended end;
    /* The inner one is stopped; the outer one goes on. */
    start(vm, "local v, e = now(function() while true do end end, 40)\nreturn e", 1000 * CRIER_MS,
          &end);
    assert_int_equal(end.rc, 0);
    assert_string_equal(end.result, "bot.lua:1: match function used more than 40ms of CPU time "
                                    "(limits.callback)");
    /* What the inner ones use counts for the outer one, which is stopped after them. */
    start(vm, "while true do pcall(now, function() for i = 1, 1000 do end return 1 end, 0) end",
          BUDGET, &end);
    assert_int_equal(end.rc, CRIER_ELIMIT);
    assert_has(end.message, NAMED);
    /* An outer call over its limit while an inner one without a limit runs. */
    start(vm, "now(function() for i = 1, 3e7 do end end, 0)\nwhile true do end", BUDGET, &end);
    assert_int_equal(end.rc, CRIER_ELIMIT);
    assert_has(end.message, NAMED);
    crier_vm_free(vm);
}

static void closing_the_state_is_bounded(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    result_of(vm, "for i = 1, 3 do _G[i] = setmetatable({}, {__gc = function() while true do end "
                  "end}) end");
    crier_vm_free(vm); /* comes back */
}

static int stalls;
static char stall_what[64];

static void note_stall(struct crier_vm *vm, const char *what, int64_t us)
{
    (void)vm;
    assert_true(us >= CRIER_S);
    stalls++;
    snprintf(stall_what, sizeof stall_what, "%s", what);
}

static int l_block(lua_State *L)
{
    usleep((useconds_t)lua_tointeger(L, 1));
    return 0;
}

static void a_stall_is_told(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    vm->on_stall = note_stall;
    lua_register(vm->L, "block", l_block);
    stalls = 0;
    result_of(vm, "block(1000)");
    assert_int_equal(stalls, 0);
    result_of(vm, "block(1010000)");
    assert_int_equal(stalls, 1);
    assert_string_equal(stall_what, "data function of message 'gallery'");
    crier_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runaways_are_stopped_everywhere),
        cmocka_unit_test(runaways_that_cannot_yield_are_stopped),
        cmocka_unit_test(runaways_are_stopped_in_virtual_time),
        cmocka_unit_test(virtual_time_stops_at_the_same_instruction),
        cmocka_unit_test(a_call_within_its_budget_is_left_alone),
        cmocka_unit_test(small_closers_still_run),
        cmocka_unit_test(the_limit_holds_while_loading),
        cmocka_unit_test(nested_calls_have_budgets_of_their_own),
        cmocka_unit_test(closing_the_state_is_bounded),
        cmocka_unit_test(a_stall_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
