/* SPDX-License-Identifier: MIT
 *
 * Calls: waits through the script's coroutines, cancelling, errors, reuse of coroutines.
 */
#include "script_vm_support.h"

static void a_call_that_waits_goes_on_with_the_values(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    struct crier_call *call =
        start(vm, "local a = 'x' local b = wait(1, 2) local c = wait() return a .. b .. c", 0, &end);
    assert_non_null(call);
    assert_ptr_equal(call, waiting);
    assert_int_equal(vm->calls, 1);
    assert_int_equal(end.count, 0);
    resume_with(call, "y");
    assert_int_equal(end.count, 0);
    resume_with(call, "z");
    assert_int_equal(end.count, 1);
    assert_string_equal(end.result, "xyz");
    assert_int_equal(vm->calls, 0);
    assert_null(vm->running);
    crier_vm_free(vm);
}

static void several_values_and_arguments_pass(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end = {0};
    push_chunk(vm, "local a, b = ... local n = select('#', wait()) return a + b + n");
    lua_pushinteger(vm->L, 10);
    lua_pushinteger(vm->L, 20);
    struct crier_call *call = crier_call_start(vm, 2, "x", 0, NULL, keep_end, &end);
    lua_State *co = crier_call_stack(call);
    for (int i = 0; i < 5; i++)
        lua_pushnil(co);
    crier_call_resume(call, 5);
    assert_string_equal(end.result, "35");
    assert_int_equal(lua_gettop(vm->L), 0);
    crier_vm_free(vm);
}

static void waits_pass_through_user_coroutines(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    struct crier_call *call = start(vm,
        "local log = {}\n"
        "local function deep(n)\n"
        "  if n == 0 then\n"
        "    local a = wait()\n"
        "    coroutine.yield('mid ' .. a)\n"             /* to the resumer, not to the host */
        "    local ok, b = pcall(function() return wait() end)\n"
        "    error('end ' .. b, 0)\n"
        "  end\n"
        "  local f = coroutine.wrap(deep)\n"
        "  local m = f(n - 1)\n"
        "  log[#log + 1] = m\n"
        "  if n < 3 then coroutine.yield(m) end\n"
        "  local ok, m2 = pcall(f)\n"
        "  log[#log + 1] = tostring(ok) .. ' ' .. m2\n"
        "  if n < 3 then error('up', 0) end\n"
        "end\n"
        "deep(3)\n"
        "return table.concat(log, '|')", 0, &end);
    resume_with(call, "A");
    assert_int_equal(end.count, 0);
    resume_with(call, "B");
    assert_int_equal(end.count, 1);
    assert_int_equal(end.rc, 0);
    assert_string_equal(end.result, "mid A|mid A|mid A|false end B|false up|false up");
    crier_vm_free(vm);
}

static void resume_create_and_generic_for_wait_too(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    struct crier_call *call = start(vm,
        "local out = ''\n"
        "for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i .. wait()) end end) do\n"
        "  out = out .. v\n"
        "end\n"
        "local co = coroutine.create(function(a) local b = wait() return a, b end)\n"
        "local ok, a, b = coroutine.resume(co, 'p')\n"
        "return out .. tostring(ok) .. a .. b .. coroutine.status(co)", 0, &end);
    for (const char *v = "abcd"; *v; v++)
        resume_with(call, (char[]){*v, 0});
    assert_string_equal(end.result, "1a2b3ctruepddead");
    crier_vm_free(vm);
}

static void waits_pass_through_metamethods_closers_and_iterators(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    struct crier_call *call = start(vm,
        "local t = setmetatable({}, {__index = function(_, k) return k .. wait() end,\n"
        "  __close = function() closed = wait() end, __add = function() return wait() end})\n"
        "local s\n"
        "do local c <close> = t s = t.x .. (t + 1) end\n"
        "local ok, e = xpcall(function() error(wait(), 0) end, function(m) return m .. '!' end)\n"
        "return s .. closed .. e", 0, &end);
    for (const char *v = "abcd"; *v; v++)
        resume_with(call, (char[]){*v, 0});
    assert_string_equal(end.result, "xabcd!");
    crier_vm_free(vm);
}

static void a_coroutine_that_waits_is_not_the_scripts_to_resume(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended a, b;
    struct crier_call *call =
        start(vm, "co = coroutine.create(function() return wait() end) main = coroutine.running() "
                  "return select(2, coroutine.resume(co))", 0, &a);
    assert_null(start(vm, "local ok, m = coroutine.resume(co) local ok2, m2 = coroutine.resume(main)"
                          "return m .. '|' .. m2 .. '|' .. coroutine.status(co) .. "
                          "tostring(pcall(coroutine.close, co)) .. "
                          "tostring(pcall(coroutine.close, main))", 0, &b));
    assert_string_equal(b.result, "cannot resume a coroutine that waits for the host|cannot resume a "
                                  "coroutine that waits for the host|normalfalsefalse");
    resume_with(call, "fine");
    assert_string_equal(a.result, "fine");
    assert_string_equal(result_of(vm, "return coroutine.status(co)"), "dead");
    crier_vm_free(vm);
}

static void coroutines_behave_as_luas(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    static const struct { const char *text, *result; } cases[] = {
        {"local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) "
         "local d, e = coroutine.yield(c * 2) return d .. e end)\n"
         "local _, x = coroutine.resume(co, 1, 2) local _, y = coroutine.resume(co, 10) "
         "local _, z = coroutine.resume(co, 'p', 'q')\n"
         "return x .. y .. z .. coroutine.status(co) .. select(2, coroutine.resume(co))",
         "320pqdeadcannot resume dead coroutine"},
        {"return coroutine.status(coroutine.create(print))", "suspended"},
        {"local co co = coroutine.create(function() return coroutine.status(co) end) "
         "return select(2, coroutine.resume(co))", "running"},
        {"local co co = coroutine.create(function() return "
         "coroutine.wrap(function() return coroutine.status(co) end)() end) "
         "return select(2, coroutine.resume(co))", "normal"},
        {"local co = coroutine.create(function() error({1}) end) local ok, e = coroutine.resume(co) "
         "return tostring(ok) .. type(e) .. coroutine.status(co)", "falsetabledead"},
        {"local co co = coroutine.wrap(function() return pcall(co) end) return "
         "select(2, co())", "cannot resume non-suspended coroutine"},
        {"return select(2, pcall(coroutine.wrap(function() error('x') end)))", "bot.lua:1: x"},
        {"return tostring(select(2, coroutine.running())) .. tostring(coroutine.isyieldable()) .. "
         "tostring(coroutine.wrap(function() return coroutine.isyieldable() end)())",
         "truefalsetrue"},
        {"return select(2, pcall(coroutine.yield))",
         "attempt to yield from outside a coroutine (crier.sleep waits)"},
        {"local log = '' local co = coroutine.create(function() local x <close> = "
         "setmetatable({}, {__close = function() log = 'closed' end}) coroutine.yield() end) "
         "coroutine.resume(co) return tostring(coroutine.close(co)) .. log .. coroutine.status(co)",
         "trueclosed" "dead"},
        {"local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = "
         "function() error('c', 0) end}) coroutine.yield() end) coroutine.resume(co) "
         "local ok, e = coroutine.close(co) return tostring(ok) .. e", "falsec"},
        {"return select('#', coroutine.wrap(function(...) return ... end)(1, nil, nil))", "3"},
        {"local n = 0 local function f() n = n + 1 coroutine.wrap(f)() end pcall(f) "
         "return tostring(n > 50)", "true"},
        {"return tostring(xpcall(function(a) return a end, print, 1)) .. select(2, "
         "xpcall(function(a) return a end, print, 'v'))", "truev"},
        {"return select(2, xpcall(error, function(m) return 'h' .. m end, 'x', 0))", "hx"},
        {"return tostring(coroutine == require 'coroutine')", "true"},
        {"return select(2, pcall(setmetatable, setmetatable({}, {__metatable = 1}), {}))",
         "cannot change a protected metatable"},
        {"local n = 0 local mt = {__gc = function(o) n = n + o.v end} for i = 1, 10 do "
         "setmetatable({v = i}, mt) end collectgarbage() collectgarbage() return n", "55"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(result_of(vm, cases[i].text), cases[i].result) != 0)
            fail_msg("%s\n gives %s", cases[i].text, result_of(vm, cases[i].text));
    crier_vm_free(vm);
}

static void a_wait_where_it_cannot_be_says_so(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    static const char *const texts[] = {
        "table.sort({2, 1}, function() wait() end)",
        "('x'):gsub('x', function() wait() end)",
        "table.sort({2, 1}, function() coroutine.wrap(function() wait() end)() end)",
        "package.preload.m = function() wait() end require 'm'",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_has(error_of(vm, texts[i]), "wait cannot wait inside table.sort, string.gsub");
    assert_string_equal(result_of(vm, "local why setmetatable({}, {__gc = function() "
                                      "why = select(2, pcall(wait)) end}) collectgarbage() return why"),
                        "wait cannot wait inside a finalizer (__gc)");
    struct crier_lua_error error;
    push_chunk(vm, "wait()");
    assert_int_equal(crier_call_now(vm, 0, 0, "match function", 0, &error), CRIER_ECONFIG);
    assert_string_equal(error.message, "bot.lua:1: wait is not available here: this function must "
                                       "answer at once");
    crier_lua_error_fini(&error);
    assert_int_equal(crier_vm_run_text(vm, "sugar", "wait()", 6, &error), CRIER_ECONFIG);
    assert_has(error.message, "wait is not available while loading");
    crier_lua_error_fini(&error);
    crier_vm_free(vm);
}

static void errors_have_place_and_traceback(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    struct crier_lua_error error;
    const char *sugar = "function guarded(f) local r = f() return r end";
    assert_int_equal(crier_vm_run_text(vm, "crier", sugar, strlen(sugar), &error), 0);
    crier_lua_error_fini(&error);
    start(vm, "local function get(t)\n  return t.x.y\nend\nlocal v = guarded(function()\n"
              "  return (get({}))\nend)\nreturn v", 0, &end);
    assert_int_equal(end.rc, CRIER_ECONFIG);
    assert_string_equal(end.message, "bot.lua:2: attempt to index a nil value (field 'x')");
    assert_string_equal(end.traceback, "bot.lua:2: in upvalue 'get'\n"
                                       "bot.lua:5: in local 'f'\n"
                                       "bot.lua:4: in the file itself");
    start(vm, "error({})", 0, &end);
    assert_has(end.message, "the error is a table value");
    start(vm, "error(setmetatable({}, {__tostring = function() return 'mine' end}))", 0, &end);
    assert_string_equal(end.message, "mine");
    start(vm, "error()", 0, &end);
    assert_has(end.message, "the error is a nil value");
    start(vm, "local function f() return f() + 1 end f()", 0, &end);
    assert_has(end.message, "stack overflow");
    assert_has(end.traceback, "levels left out");
    /* An error after a wait has its traceback too. */
    struct crier_call *call = start(vm, "wait()\nlocal x = nil + 1", 0, &end);
    crier_call_resume(call, 0);
    assert_has(end.message, "bot.lua:2: attempt to perform arithmetic");
    assert_string_equal(end.traceback, "bot.lua:2: in the file itself");
    crier_vm_free(vm);
}

static void cancelling_ends_a_call(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    static const char *const texts[] = {
        "local c <close> = setmetatable({}, {__close = function() closed = closed + 1 end}) wait()",
        /* pcall does not keep it alive */
        "local c <close> = setmetatable({}, {__close = function() closed = closed + 1 end})\n"
        "for i = 1, 10 do pcall(wait) end",
        /* nor does a loop */
        "local c <close> = setmetatable({}, {__close = function() closed = closed + 1 end})\n"
        "while true do pcall(wait) end",
        /* in a coroutine of the script's */
        "coroutine.wrap(function() local c <close> = setmetatable({}, {__close = function() "
        "closed = closed + 1 end}) wait() end)()",
        /* a closer that waits */
        "local c <close> = setmetatable({}, {__close = function() closed = closed + 1 wait() end})\n"
        "wait()",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        result_of(vm, "closed = 0");
        struct crier_call *call = start(vm, texts[i], BUDGET, &end);
        assert_non_null(call);
        given_up = 0;
        crier_call_cancel(call);
        assert_int_equal(given_up, 1);
        assert_int_equal(end.count, 1);
        assert_int_equal(end.rc, CRIER_ECANCELED);
        assert_int_equal(vm->calls, 0);
        assert_string_equal(result_of(vm, "return closed"), "1");
    }
    assert_has(end.message, "cancelled");
    crier_vm_free(vm);
}

static struct crier_call *to_cancel;

static int l_cancel(lua_State *L)
{
    (void)L;
    crier_call_cancel(to_cancel ? to_cancel : crier_call_of(L));
    return 0;
}

static void a_call_can_be_cancelled_while_it_runs(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end, other;
    lua_register(vm->L, "cancel", l_cancel);
    to_cancel = NULL;
    start(vm, "cancel() reached = true wait() reached = 'too far'", 0, &end);
    assert_int_equal(end.rc, CRIER_ECANCELED);
    assert_string_equal(result_of(vm, "return tostring(reached)"), "true");
    start(vm, "cancel() while true do pcall(wait) end", 0, &end); /* no budget: has one now */
    assert_int_equal(end.rc, CRIER_ECANCELED);
    start(vm, "cancel() return 1", 0, &end);
    assert_int_equal(end.rc, CRIER_ECANCELED);
    assert_has(end.message, "was cancelled");
    /* One call ends another. */
    to_cancel = start(vm, "wait()", 0, &other);
    start(vm, "cancel() return 'done'", 0, &end);
    assert_string_equal(end.result, "done");
    assert_int_equal(other.rc, CRIER_ECANCELED);
    to_cancel = NULL;
    crier_vm_free(vm);
}

static void freeing_the_vm_ends_what_waits(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended ends[5];
    for (int i = 0; i < 5; i++)
        start(vm, "coroutine.wrap(function() pcall(wait) wait() end)()", 0, &ends[i]);
    crier_vm_free(vm);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ends[i].count, 1);
        assert_int_equal(ends[i].rc, CRIER_ECANCELED);
    }
}

/* started(f): a binding that starts a call within a call, as a hook does. */
static struct ended inner_end;

static int l_started(lua_State *L)
{
    struct crier_vm *vm = crier_vm_of(L);
    lua_settop(L, 1);
    lua_xmove(L, vm->L, 1);
    memset(&inner_end, 0, sizeof inner_end);
    crier_call_start(vm, 0, "hook", 0, NULL, keep_end, &inner_end);
    return 0;
}

static void calls_within_calls(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    lua_register(vm->L, "started", l_started);
    struct crier_call *outer = start(
        vm, "started(function() wait() return 'inner' end) local v = wait() return v", 0, &end);
    assert_ptr_equal(waiting, outer);
    assert_int_equal(vm->calls, 2);
    struct crier_call *inner = vm->alive == outer ? outer->next : vm->alive;
    resume_with(outer, "outer");
    assert_string_equal(end.result, "outer");
    crier_call_resume(inner, 0);
    assert_string_equal(inner_end.result, "inner");
    /* Without end: an error, not a crash. */
    start(vm, "depth = 0 function again() depth = depth + 1 started(again) end again()", 0, &end);
    assert_string_equal(result_of(vm, "return tostring(depth > 20)"), "true");
    assert_int_equal(vm->calls, 0);
    crier_vm_free(vm);
}

static void coroutines_are_used_again(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct ended end;
    result_of(vm, "threads = {} function note() threads[(coroutine.running())] = true end");
    for (int i = 0; i < 50; i++) {
        start(vm, i % 3 == 0 ? "note() error 'x'" : i % 3 == 1 ? "note() return 1"
                                                               : "note() local x <close> = nil", 0, &end);
        struct crier_call *call = start(vm, "note() wait()", 0, &end);
        if (i % 2)
            crier_call_resume(call, 0);
        else
            crier_call_cancel(call);
    }
    assert_string_equal(result_of(vm, "local n = 0 for _ in pairs(threads) do n = n + 1 end return n"),
                        "1");
    /* A call over its limit does not leave its hook to the next one. */
    start(vm, "while true do end", BUDGET, &end);
    assert_int_equal(end.rc, CRIER_ELIMIT);
    start(vm, "for i = 1, 100000 do end return 'ok'", BUDGET, &end);
    assert_string_equal(end.result, "ok");
    crier_vm_free(vm);
}

static void ten_thousand_calls_wait_and_give_their_memory_back(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct crier_vm *vm = vm_plain();
    struct ended *ends = calloc(N, sizeof *ends);
    struct crier_call **calls = calloc(N, sizeof *calls);
    result_of(vm, "collectgarbage() return 1");
    size_t before = vm->memory_used;
    push_chunk(vm, "local n = ... local v = wait() return n .. v");
    for (int i = 0; i < N; i++) {
        lua_pushvalue(vm->L, 1);
        lua_pushinteger(vm->L, i);
        calls[i] = crier_call_start(vm, 1, "sleeper", BUDGET, NULL, keep_end, &ends[i]);
        assert_non_null(calls[i]);
    }
    assert_int_equal(vm->calls, N);
    assert_true(vm->memory_used - before < (size_t)N * 2048);
    for (int i = N - 1; i >= 0; i--)
        resume_with(calls[i], "!");
    for (int i = 0; i < N; i++) {
        char want[16];
        snprintf(want, sizeof want, "%d!", i);
        assert_string_equal(ends[i].result, want);
    }
    lua_settop(vm->L, 0);
    lua_gc(vm->L, LUA_GCCOLLECT);
    lua_gc(vm->L, LUA_GCCOLLECT);
    assert_in_range(vm->memory_used, before, before + 400 * 1024); /* 64 coroutines are kept, and the
                                                                      registry does not shrink */
    free(ends);
    free(calls);
    crier_vm_free(vm);
}

static void the_collector_may_be_aggressive(void **state)
{
    (void)state;
    for (int generational = 0; generational < 2; generational++) {
        struct crier_vm *vm = vm_plain();
        if (generational)
            lua_gc(vm->L, LUA_GCGEN, 1, 1);
        else
            lua_gc(vm->L, LUA_GCINC, 1, 1000, 0);
        struct crier_call *calls[50];
        struct ended ends[50];
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 50; i++)
                calls[i] = start(vm, "local t = {} for i = 1, 50 do t[i] = setmetatable({}, {__gc = "
                                     "function() garbage = (garbage or 0) + 1 end}) end\n"
                                     "return coroutine.wrap(function() local ok, v = pcall(wait) "
                                     "collectgarbage('step') return v .. #t end)()", BUDGET * 10,
                                 &ends[i]);
            for (int i = 0; i < 50; i++)
                resume_with(calls[i], "v");
            for (int i = 0; i < 50; i++)
                assert_string_equal(ends[i].result, "v50");
        }
        assert_true(atoi(result_of(vm, "collectgarbage() return garbage")) > 1000);
        crier_vm_free(vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_waits_goes_on_with_the_values),
        cmocka_unit_test(several_values_and_arguments_pass),
        cmocka_unit_test(waits_pass_through_user_coroutines),
        cmocka_unit_test(resume_create_and_generic_for_wait_too),
        cmocka_unit_test(waits_pass_through_metamethods_closers_and_iterators),
        cmocka_unit_test(a_coroutine_that_waits_is_not_the_scripts_to_resume),
        cmocka_unit_test(coroutines_behave_as_luas),
        cmocka_unit_test(a_wait_where_it_cannot_be_says_so),
        cmocka_unit_test(errors_have_place_and_traceback),
        cmocka_unit_test(cancelling_ends_a_call),
        cmocka_unit_test(a_call_can_be_cancelled_while_it_runs),
        cmocka_unit_test(freeing_the_vm_ends_what_waits),
        cmocka_unit_test(calls_within_calls),
        cmocka_unit_test(coroutines_are_used_again),
        cmocka_unit_test(ten_thousand_calls_wait_and_give_their_memory_back),
        cmocka_unit_test(the_collector_may_be_aggressive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
