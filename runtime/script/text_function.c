/* SPDX-License-Identifier: MIT */
#include "script/text_function.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/vm_private.h"

#define BUDGET (100 * CRIER_MS)
#define MEMORY (64 << 20)

/* ---- taken along: the code in hexadecimal ---- */

static int add_code(lua_State *L, const void *code, size_t len, void *arg)
{
    const unsigned char *p = code;
    (void)L;
    for (size_t i = 0; i < len; i++)
        crier_buf_printf(arg, "%02x", p[i]);
    return 0;
}

int crier_text_function_read(lua_State *L, int idx, struct crier_option_value *v,
                             struct crier_err *err)
{
    struct crier_buf code = {0};
    const char *name;
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TFUNCTION || lua_iscfunction(L, idx))
        return crier_err_set(err, CRIER_EINVAL, "must be a function written in Lua: "
                                                "function(text) return text end");
    for (int i = 1; (name = lua_getupvalue(L, idx, i)); i++) {
        lua_pop(L, 1);
        if (strcmp(name, "_ENV") != 0)
            return crier_err_set(err, CRIER_EINVAL,
                                 "uses '%.60s' from outside of it; it runs in a Lua state of its "
                                 "own, so all that it needs has to stand in it",
                                 name);
    }
    lua_pushvalue(L, idx);
    int rc = lua_dump(L, add_code, &code, 1);
    lua_pop(L, 1);
    if (rc != 0 || !code.len) {
        crier_buf_fini(&code);
        return crier_err_set(err, CRIER_EINVAL, "cannot be taken along");
    }
    v->s = crier_buf_take(&code);
    return CRIER_OK;
}

/* ---- at its place ---- */

struct function {
    struct crier_vm *vm;
    int ref;
};

/* What a call is about: pushing texts may run out of memory, so all of it is done in Lua's hands. */
struct job {
    struct function *function;
    struct crier_str code, text;
    struct crier_buf *out;
};

static int l_load(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, job->code.data, job->code.len, "=normalize", "b") != LUA_OK)
        return lua_error(L);
    if (lua_getupvalue(L, -1, 1)) {
        lua_pop(L, 1);
        lua_pushglobaltable(L);
        lua_setupvalue(L, -2, 1);
    }
    job->function->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int l_run(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    size_t len;
    lua_rawgeti(L, LUA_REGISTRYINDEX, job->function->ref);
    lua_pushlstring(L, job->text.data, job->text.len);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
        return luaL_error(L, "it returned a %s, not a text", luaL_typename(L, -1));
    const char *text = lua_tolstring(L, -1, &len);
    crier_buf_append(job->out, text, len);
    return 0;
}

static int call(struct function *f, lua_CFunction run, struct job *job, struct crier_err *err)
{
    struct crier_lua_error error = {0};
    job->function = f;
    lua_pushcfunction(f->vm->L, run);
    lua_pushlightuserdata(f->vm->L, job);
    int rc = crier_vm_run(f->vm, NULL, 1, 0, BUDGET, "normalize", "100ms for one text", &error);
    if (rc != 0)
        crier_err_set(err, rc, "normalize: %s", error.message);
    crier_lua_error_fini(&error);
    return rc;
}

static void function_close(void *self)
{
    struct function *f = self;
    crier_vm_free(f->vm);
    free(f);
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static int function_open(const struct crier_sink_env *env, const char *code, void **out,
                         struct crier_err *err)
{
    struct function *f = crier_calloc(1, sizeof *f);
    struct crier_buf bytes = {0};
    struct crier_vm_config config = {
        .chunkname = "normalize",
        .folder = env->folder,
        .memory = MEMORY,
        .virtual_time = true, /* counts instructions: no timer of the thread's own */
        .clock = env->clock,
        .seed = 1,
    };
    for (; code[0] && code[1]; code += 2)
        crier_buf_putc(&bytes, (char)(nibble(code[0]) << 4 | nibble(code[1])));
    f->vm = crier_vm_new(&config);
    struct job job = {.code = {bytes.data, bytes.len}};
    int rc = call(f, l_load, &job, err);
    crier_buf_fini(&bytes);
    if (rc != 0)
        function_close(f);
    else
        *out = f;
    return rc;
}

static int function_run(void *self, struct crier_str text, struct crier_buf *out,
                        struct crier_err *err)
{
    struct job job = {.text = text, .out = out};
    return call(self, l_run, &job, err);
}

const struct crier_text_functions crier_lua_text_functions = {
    .open = function_open,
    .run = function_run,
    .close = function_close,
};
