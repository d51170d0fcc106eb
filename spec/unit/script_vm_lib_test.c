/* SPDX-License-Identifier: MIT
 *
 * What a script finds in its state, and what it does not; memory; threads.
 */
#include "script_vm_support.h"

#include <pthread.h>
#include <sys/stat.h>

static void what_takes_the_host_down_is_absent(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    static const char *const absent[] = {
        "os.exit", "os.setlocale", "debug.sethook", "debug.gethook", "debug.getregistry",
        "debug.setmetatable", "debug.setuservalue", "debug.upvaluejoin", "debug.setupvalue",
        "debug.setlocal", "debug.debug", "package.loadlib"};
    static const char *const present[] = {
        "os.time", "os.getenv", "io.open", "io.popen", "os.execute", "debug.traceback",
        "debug.getinfo", "table.concat", "string.find", "utf8.char", "math.floor", "coroutine.wrap",
        "require", "load", "dofile", "print"};
    char text[100];
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        snprintf(text, sizeof text, "return tostring(%s)", absent[i]);
        if (strcmp(result_of(vm, text), "nil") != 0)
            fail_msg("%s is there", absent[i]);
    }
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        snprintf(text, sizeof text, "return type(%s)", present[i]);
        if (strcmp(result_of(vm, text), "function") != 0)
            fail_msg("%s is not there", present[i]);
    }
    crier_vm_free(vm);
}

static void chunks_are_text_only(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    assert_string_equal(result_of(vm, "return select(2, load(string.dump(function() end)))"),
                        "bytecode is not loaded: give the Lua source text");
    assert_has(result_of(vm, "local d = string.dump(function() end) local n = 0 "
                             "return select(2, load(function() n = n + 1 return d:sub(n, n) end))"),
               "attempt to load a binary chunk");
    assert_string_equal(result_of(vm, "return tostring(load(string.dump(function() end), 'x', 'b'))"),
                        "nil");
    assert_string_equal(result_of(vm, "return load('return x + ...', 'n', 't', {x = 4})(3)"), "7");
    assert_string_equal(result_of(vm, "x = 5 return load('return x')()"), "5");
    assert_has(result_of(vm, "return select(2, load('return +', '=n'))"), "n:1: unexpected symbol");
    crier_vm_free(vm);
}

/* --- files -------------------------------------------------------------------------------- */

static char folder[64];

static void put(const char *name, const char *text, size_t len)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, len, f);
    fclose(f);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static struct crier_vm *vm_in_folder(bool native)
{
    strcpy(folder, "/tmp/crier_vm_XXXXXX");
    assert_non_null(mkdtemp(folder));
    char path[160], other[160];
    static const char *lua_path[2];
    snprintf(path, sizeof path, "%s/pkg", folder);
    mkdir(path, 0755);
    snprintf(other, sizeof other, "%s/other", folder);
    mkdir(other, 0755);
    lua_path[0] = other;
    return vm_with((struct crier_vm_config){.folder = folder, .lua_path = lua_path,
                                            .native_modules = native});
}

static void remove_folder(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void require_looks_in_the_scripts_folders(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_in_folder(false);
    put_text("a.lua", "loads = (loads or 0) + 1 return { name = ..., path = select(2, ...) }");
    put_text("pkg/init.lua", "return 'init'");
    put_text("pkg/sub.lua", "error 'in sub'");
    put_text("other/b.lua", "return 'other'");
    put_text("bad.lua", "return +");
    put("code.lua", "\x1bLua", 4);
    assert_string_equal(result_of(vm, "local a = require 'a' assert(a == require 'a') return a.name .. "
                                      "loads"), "a1");
    assert_has(result_of(vm, "return require('a').path"), "/a.lua");
    assert_string_equal(result_of(vm, "return require 'pkg'"), "init");
    assert_string_equal(result_of(vm, "return require 'b'"), "other");
    assert_has(error_of(vm, "require 'pkg.sub'"), "pkg/sub.lua:1: in sub");
    assert_has(error_of(vm, "require 'bad'"), "bad.lua:1: unexpected symbol near");
    assert_has(error_of(vm, "require 'code'"), "code.lua: bytecode is not loaded");
    const char *missing = error_of(vm, "require 'none.such'");
    assert_has(missing, "no field package.preload['none.such']");
    assert_has(missing, "/none/such.lua'");
    assert_has(missing, "/none/such/init.lua'");
    assert_has(missing, "/other/none/such.lua'");
    assert_has(missing, "C modules are off");
    /* All that was loaded, or tried and found, is remembered. */
    static const char *const files[] = {"/a.lua", "/pkg/init.lua", "/other/b.lua", "/pkg/sub.lua",
                                        "/bad.lua", "/code.lua"};
    assert_int_equal(vm->file_count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(vm->files[i][0], '/');
        assert_has(vm->files[i], files[i]);
    }
    /* The script itself may allow C modules later. */
    vm->config.native_modules = true;
    assert_null(strstr(error_of(vm, "require 'none.such'"), "C modules are off"));
    crier_vm_free(vm);
    remove_folder();
}

static void dofile_and_loadfile_take_the_scripts_folder(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_in_folder(false);
    put_text("d.lua", "local a = wait() return a, x");
    put_text("e.lua", "#!/usr/bin/env crier\nerror('here')");
    put_text("bom.lua", "\xEF\xBB\xBFreturn 'bom'");
    put("code.lua", "\x1bLua", 4);
    struct ended end;
    struct crier_call *call = start(vm, "x = 'g' local a, b = dofile 'd.lua' return a .. b", 0, &end);
    resume_with(call, "v");
    assert_string_equal(end.result, "vg");
    assert_string_equal(result_of(vm, "return select(2, pcall(loadfile('e.lua')))"), "e.lua:2: here");
    assert_string_equal(result_of(vm, "return dofile 'bom.lua'"), "bom");
    assert_string_equal(result_of(vm, "return type(loadfile('e.lua', 't', {}))"), "function");
    assert_string_equal(result_of(vm, "return select(2, pcall(loadfile('e.lua', 't', {})))"),
                        "e.lua:2: attempt to call a nil value (global 'error')");
    assert_has(result_of(vm, "return select(2, loadfile 'code.lua')"), "bytecode is not loaded");
    assert_has(result_of(vm, "return select(2, loadfile 'nosuch.lua')"), "nosuch.lua");
    assert_has(error_of(vm, "dofile 'nosuch.lua'"), "nosuch.lua");
    crier_vm_free(vm);
    remove_folder();
}

static void a_file_that_fails_says_where(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_in_folder(false);
    char path[160];
    struct crier_lua_error error;
    snprintf(path, sizeof path, "%s/main.lua", folder);
    put_text("main.lua", "x = 1\ny = = 2\n");
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), CRIER_ECONFIG);
    assert_has(error.message, "bot.lua:2: unexpected symbol near '='");
    crier_lua_error_fini(&error);
    put_text("main.lua", "local function f()\n  error('no')\nend\nf()");
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), CRIER_ECONFIG);
    assert_string_equal(error.message, "bot.lua:2: no");
    assert_has(error.traceback, "bot.lua:2: in ");
    assert_has(error.traceback, "bot.lua:4: in the file itself");
    crier_lua_error_fini(&error);
    put_text("main.lua", "coroutine.yield()");
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), CRIER_ECONFIG);
    assert_has(error.message, "outside a coroutine");
    crier_lua_error_fini(&error);
    put_text("main.lua", "x = 7");
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), 0);
    assert_string_equal(result_of(vm, "return x"), "7");
    assert_int_equal(vm->file_count, 1);
    snprintf(path, sizeof path, "%s/none.lua", folder);
    assert_int_equal(crier_vm_run_file(vm, path, BUDGET, &error), CRIER_ECONFIG);
    assert_has(error.message, "bot.lua: ");
    crier_lua_error_fini(&error);
    assert_int_equal(lua_gettop(vm->L), 0);
    crier_vm_free(vm);
    remove_folder();
}

/* --- memory ------------------------------------------------------------------------------- */

static void memory_is_capped(void **state)
{
    (void)state;
    static const char *const hogs[] = {
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
        "return string.rep('x', 1 << 30)",
        "local s = 'x' while true do s = s .. s end",
        "local function f(a, b, c, d, e) return 1 + f(a, b, c, d, e) end f()",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        "coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end)()",
        "return table.concat({string.rep('x', 3 << 20), string.rep('y', 3 << 20)})",
        "return ('x'):rep(1000000):gsub('x', ('y'):rep(100))",
    };
    struct crier_vm *vm = vm_with((struct crier_vm_config){.memory = 8 << 20});
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++) {
        struct ended end;
        start(vm, hogs[i], 20 * CRIER_S, &end);
        if (end.rc != CRIER_ELIMIT && !strstr(end.message, "stack overflow"))
            fail_msg("%s: %d %s", hogs[i], end.rc, end.message);
        if (end.rc == CRIER_ELIMIT)
            assert_has(end.message, "data function of message 'gallery': not enough memory: the "
                                    "script may hold 8388608 bytes (limits.memory)");
        assert_string_equal(result_of(vm, "return 'alive'"), "alive");
        lua_gc(vm->L, LUA_GCCOLLECT);
        assert_true(vm->memory_used < 1 << 20);
    }
    assert_true(vm->memory_peak <= (8 << 20) + 65536); /* with what was pushed between calls */
    /* A script may catch it. */
    assert_string_equal(result_of(vm, "return select(2, pcall(string.rep, 'x', 1 << 30))"),
                        "not enough memory");
    crier_vm_free(vm);
}

static void the_host_is_not_refused_between_calls(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_with((struct crier_vm_config){.memory = 1 << 20});
    struct ended end;
    struct crier_call *call = start(vm, "local s = wait() return #s", BUDGET, &end);
    char *big = malloc(2 << 20);
    memset(big, 'x', 2 << 20);
    lua_pushlstring(crier_call_stack(call), big, 2 << 20); /* no panic */
    free(big);
    crier_call_resume(call, 1);
    assert_string_equal(end.result, "2097152");
    crier_vm_free(vm);
}

/* --- virtual time ------------------------------------------------------------------------- */

static void time_and_chance_come_from_the_host(void **state)
{
    (void)state;
    char results[2][256];
    for (int i = 0; i < 2; i++) {
        struct crier_clock *clock = crier_clock_virtual(1000000000LL * CRIER_S);
        struct crier_vm *vm = vm_with(
            (struct crier_vm_config){.virtual_time = true, .clock = clock, .seed = 42});
        assert_string_equal(result_of(vm, "return os.time()"), "1000000000");
        assert_string_equal(result_of(vm, "return os.date('!%Y-%m-%d %H:%M:%S')"),
                            "2001-09-09 01:46:40");
        assert_string_equal(result_of(vm, "return os.date('!*t').year"), "2001");
        assert_string_equal(result_of(vm, "return os.date('!%H', 3600)"), "01");
        assert_string_equal(result_of(vm, "return os.time { year = 2020, month = 1, day = 2, hour = 3 } "
                                          "- os.time { year = 2020, month = 1, day = 1, hour = 3 }"),
                            "86400");
        crier_clock_advance_to(clock, 2500 * CRIER_MS);
        assert_string_equal(result_of(vm, "return os.clock()"), "2.5");
        assert_string_equal(result_of(vm, "return os.time()"), "1000000002");
        assert_has(error_of(vm, "os.execute 'true'"), "os.execute is not available in virtual time");
        assert_has(error_of(vm, "io.popen 'true'"), "io.popen is not available in virtual time");
        strcpy(results[i], result_of(vm, "local a = math.random(1 << 40) math.randomseed() "
                                         "return a .. ' ' .. math.random(1 << 40)"));
        crier_vm_free(vm);
        crier_clock_free(clock);
    }
    assert_string_equal(results[0], results[1]);
}

/* --- threads ------------------------------------------------------------------------------ */

struct built {
    struct crier_vm *vm;
    int wrong; /* cmocka's assertions are for the main thread */
};

static void *build(void *arg)
{
    struct built *built = arg;
    struct crier_err err;
    for (int i = 0; i < 20; i++) {
        struct crier_vm *vm = vm_plain();
        struct ended end;
        start(vm, i % 2 ? "local t = {} while true do t = {t} t = t[1] end"
                        : "n = 0 for i = 1, 1e5 do n = n + #tostring(i) end", i % 2 ? BUDGET / 2 : 0, &end);
        built->wrong += end.rc != (i % 2 ? CRIER_ELIMIT : 0);
        if (i < 19)
            crier_vm_free(vm);
        else
            built->vm = vm;
    }
    built->wrong += crier_budget_thread(false, &err) != 0;
    return NULL;
}

/* A builder thread loads while the loop's thread runs another state; then the new one moves. */
static void two_threads_run_two_states(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct built built = {0};
    pthread_t thread;
    struct ended end;
    assert_int_equal(pthread_create(&thread, NULL, build, &built), 0);
    for (int i = 0; i < 20; i++) {
        start(vm, "while true do local t = {} end", BUDGET / 2, &end);
        assert_int_equal(end.rc, CRIER_ELIMIT);
        start(vm, "for i = 1, 1e5 do local s = 'x' .. i end return 'ok'", 0, &end);
        assert_string_equal(end.result, "ok");
    }
    pthread_join(thread, NULL);
    assert_int_equal(built.wrong, 0);
    start(built.vm, "while true do end", BUDGET, &end);
    assert_int_equal(end.rc, CRIER_ELIMIT);
    crier_vm_free(built.vm);
    crier_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_the_host_down_is_absent),
        cmocka_unit_test(chunks_are_text_only),
        cmocka_unit_test(require_looks_in_the_scripts_folders),
        cmocka_unit_test(dofile_and_loadfile_take_the_scripts_folder),
        cmocka_unit_test(a_file_that_fails_says_where),
        cmocka_unit_test(memory_is_capped),
        cmocka_unit_test(the_host_is_not_refused_between_calls),
        cmocka_unit_test(time_and_chance_come_from_the_host),
        cmocka_unit_test(two_threads_run_two_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
