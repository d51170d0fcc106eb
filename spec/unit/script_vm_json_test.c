/* SPDX-License-Identifier: MIT */
#include "script_vm_support.h"

#include "script/luajson.h"

static char *encode(struct crier_vm *vm, const char *expression, struct crier_err *err)
{
    char text[1024];
    struct crier_buf b = {0};
    crier_buf_puts(&b, "[");
    snprintf(text, sizeof text, "return %s", expression);
    if (luaL_dostring(vm->L, text) != LUA_OK)
        fail_msg("%s", lua_tostring(vm->L, -1));
    int rc = crier_lua_to_json(vm->L, -1, &b, err);
    assert_int_equal(lua_gettop(vm->L), 1);
    lua_settop(vm->L, 0);
    if (rc != 0) {
        assert_int_equal(rc, CRIER_EINVAL);
        assert_string_equal(b.data, "["); /* as it was */
        crier_buf_fini(&b);
        return NULL;
    }
    char *json = crier_strdup(b.data + 1);
    crier_buf_fini(&b);
    return json;
}

static void values_are_written(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"nil", "null"},
        {"true", "true"},
        {"-12", "-12"},
        {"math.mininteger", "-9223372036854775808"},
        {"2.0", "2.0"},
        {"0.1", "0.1"},
        {"'a\"\\n\\0'", "\"a\\\"\\n\\u0000\""},
        {"{}", "{}"},
        {"{1, 'x', {true}}", "[1,\"x\",[true]]"},
        {"{b = 1, a = {c = 2, ['a b'] = 3}, B = 0, ab = 4}",
         "{\"B\":0,\"a\":{\"a b\":3,\"c\":2},\"ab\":4,\"b\":1}"},
        {"setmetatable({x = 1}, {__index = function() error 'asked' end, __pairs = error})",
         "{\"x\":1}"},
        {"(function() local t = {1} return {t, t} end)()", "[[1],[1]]"}, /* shared, no cycle */
    };
    struct crier_vm *vm = vm_plain();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct crier_err err = {0};
        char *json = encode(vm, cases[i][0], &err);
        if (!json || strcmp(json, cases[i][1]) != 0)
            fail_msg("%s gives %s %s", cases[i][0], json ? json : "an error:", err.text);
        free(json);
    }
    crier_vm_free(vm);
}

static void what_json_cannot_hold_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"print", "a function cannot be written as JSON"},
        {"{roles = {1, {x = print}}}", "roles[2].x: a function cannot be written as JSON"},
        {"{a = {io.stdout}}", "a[1]: a userdata cannot be written as JSON"},
        {"{a = 0/0}", "a: JSON has no NaN"},
        {"{1/0}", "[1]: JSON has no infinity"},
        {"{1, 2, x = 3}", "a table for JSON has either the keys 1..n without holes, or strings as keys"},
        {"{a = {[1] = 1, [3] = 3}}", "a: a table for JSON has either"},
        {"{[0] = 1}", "a table for JSON has either"},
        {"{[true] = 1}", "a table for JSON has either"},
        {"{[1.5] = 1}", "a table for JSON has either"},
        {"(function() local t = {} t.x = {y = t} return t end)()", "x.y: the table contains itself"},
        {"(function() local t = {} for i = 1, 200 do t = {t} end return t end)()",
         "nested too deeply for JSON"},
    };
    struct crier_vm *vm = vm_plain();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct crier_err err = {0};
        assert_null(encode(vm, cases[i][0], &err));
        assert_has(err.text, cases[i][1]);
    }
    crier_vm_free(vm);
}

static void texts_are_read_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[1,2.0,-3.5e+300,\"x\\u0000y\",true,false,[],{\"a\":[{}]}]",
        "{\"a\":{\"b\":{\"c\":[1,[2,[3]]]}},\"d\":9007199254740993,\"\":\"empty key\"}",
        "\"text\"", "7", "false",
    };
    static const char *const same[] = {
        "[1,2.0,-3.5e+300,\"x\\u0000y\",true,false,{},{\"a\":[{}]}]",
        "{\"\":\"empty key\",\"a\":{\"b\":{\"c\":[1,[2,[3]]]}},\"d\":9007199254740993}",
        "\"text\"", "7", "false",
    };
    struct crier_vm *vm = vm_plain();
    struct crier_err err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct crier_buf b = {0};
        assert_int_equal(crier_lua_from_json(vm->L, texts[i], strlen(texts[i]), &err), 0);
        assert_int_equal(lua_gettop(vm->L), 1);
        assert_int_equal(crier_lua_to_json(vm->L, 1, &b, &err), 0);
        assert_string_equal(b.data, same[i]);
        crier_buf_fini(&b);
        lua_settop(vm->L, 0);
    }
    /* null: not there, and the elements keep their places */
    static const char nulls[] = "{\"a\":null,\"b\":[null,2,null]}";
    assert_int_equal(crier_lua_from_json(vm->L, nulls, sizeof nulls - 1, &err), 0);
    lua_setglobal(vm->L, "v");
    assert_string_equal(result_of(vm, "return tostring(v.a) .. tostring(v.b[1]) .. v.b[2]"), "nilnil2");
    crier_vm_free(vm);
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[1,", "{\"a\" 1}", "[1]]", "nul", "{\"a\":1,}", "\"x"};
    struct crier_vm *vm = vm_plain();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct crier_err err = {0};
        assert_int_equal(crier_lua_from_json(vm->L, texts[i], strlen(texts[i]), &err), CRIER_EINVAL);
        assert_has(err.text, "invalid JSON at byte");
        assert_int_equal(lua_gettop(vm->L), 0);
    }
    char deep[2000];
    memset(deep, '[', sizeof deep);
    struct crier_err err = {0};
    assert_int_equal(crier_lua_from_json(vm->L, deep, sizeof deep, &err), CRIER_EINVAL);
    crier_vm_free(vm);
}

/* from_json within a call whose state may hold little more. */
static int l_read_big(lua_State *L)
{
    struct crier_buf b = {0};
    struct crier_err err = {0};
    crier_buf_puts(&b, "[0");
    for (int i = 0; i < 200000; i++)
        crier_buf_puts(&b, ",\"abc\"");
    crier_buf_puts(&b, "]");
    int rc = crier_lua_from_json(L, b.data, b.len, &err);
    crier_buf_fini(&b);
    lua_pushfstring(L, "%d %s", rc, err.text);
    return 1;
}

static void a_large_text_hits_the_memory_limit(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_with((struct crier_vm_config){.memory = 1 << 20});
    lua_register(vm->L, "read_big", l_read_big);
    assert_string_equal(result_of(vm, "return read_big()"), "-12 not enough memory for the JSON text");
    crier_vm_free(vm);
}

static void many_members_cost_linear_time(void **state)
{
    (void)state;
    struct crier_vm *vm = vm_plain();
    struct crier_buf b = {0};
    struct crier_err err = {0};
    assert_int_equal(luaL_dostring(vm->L, "local t = {} for i = 1, 100000 do t['k' .. i] = i end "
                                          "return t"), LUA_OK);
    assert_int_equal(crier_lua_to_json(vm->L, 1, &b, &err), 0);
    assert_true(b.len > 1000000);
    assert_int_equal(lua_gettop(vm->L), 1);
    crier_buf_fini(&b);
    crier_vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written),
        cmocka_unit_test(what_json_cannot_hold_is_named),
        cmocka_unit_test(texts_are_read_back),
        cmocka_unit_test(what_is_no_json_is_refused),
        cmocka_unit_test(a_large_text_hits_the_memory_limit),
        cmocka_unit_test(many_members_cost_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
