/* SPDX-License-Identifier: MIT */
#include "script/vm.h"

#include <glib.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "script/budget.h"
#include "script/vm_private.h"

#define CLOSE_BUDGET (250 * CRIER_MS)

/* Lua makes and drops small tables and strings by the million, in bursts of hundreds, of which
 * malloc's own cache holds seven. So some of what is freed is kept, by size. */
enum { CELL = 16, CELL_KEEPS = 64 * 1024 /* bytes of each size */ };

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define KEEP_CELLS false
#else
#define KEEP_CELLS true
#endif

struct cell {
    struct cell *next;
};

/* 0: too large for a cell. */
static size_t class_of(size_t size)
{
    size_t n = (size + CELL - 1) / CELL;
    return KEEP_CELLS && n < CRIER_CELLS ? n : 0;
}

static void *new_block(struct crier_vm *vm, size_t size)
{
    size_t n = class_of(size);
    struct cell *cell = vm->cells[n];
    if (n == 0)
        return malloc(size);
    if (!cell)
        return malloc(n * CELL);
    vm->cells[n] = cell->next;
    vm->cells_kept[n] -= (unsigned)(n * CELL);
    return cell;
}

static void free_block(struct crier_vm *vm, void *block, size_t size)
{
    size_t n = class_of(size);
    if (n == 0 || vm->cells_kept[n] >= CELL_KEEPS) {
        free(block);
        return;
    }
    struct cell *cell = block;
    cell->next = vm->cells[n];
    vm->cells[n] = cell;
    vm->cells_kept[n] += (unsigned)(n * CELL);
}

static void *resize_block(struct crier_vm *vm, void *block, size_t old, size_t size)
{
    size_t from = class_of(old), to = class_of(size);
    if (from == 0 && to == 0)
        return realloc(block, size);
    if (from == to)
        return block;
    void *moved = new_block(vm, size);
    if (!moved)
        return NULL;
    memcpy(moved, block, old < size ? old : size);
    free_block(vm, block, old);
    return moved;
}

/* In virtual time each block has a number in front, counting up: the order in which things were
 * made (stdlib_order.c). */
enum { STAMP = 16 };

uint64_t crier_vm_stamp(const void *block)
{
    uint64_t stamp;
    memcpy(&stamp, (const char *)block - STAMP, sizeof stamp);
    return stamp;
}

static void *stamped(struct crier_vm *vm, void *ptr, size_t old, size_t size)
{
    char *block = ptr ? (char *)ptr - STAMP : NULL;
    block = block ? resize_block(vm, block, old + STAMP, size + STAMP) : new_block(vm, size + STAMP);
    if (!block)
        return NULL;
    if (!ptr) {
        uint64_t stamp = ++vm->stamps;
        memcpy(block, &stamp, sizeof stamp);
    }
    return block + STAMP;
}

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize)
{
    struct crier_vm *vm = ud;
    size_t old = ptr ? osize : 0;
    if (nsize == 0) {
        if (ptr && vm->config.virtual_time)
            free_block(vm, (char *)ptr - STAMP, old + STAMP);
        else if (ptr)
            free_block(vm, ptr, old);
        vm->memory_used -= old;
        return NULL;
    }
    size_t used = vm->memory_used - old + nsize;
    if (nsize > old && vm->capped && vm->config.memory > 0 && used > (size_t)vm->config.memory)
        return NULL;
    void *p = vm->config.virtual_time ? stamped(vm, ptr, old, nsize)
              : ptr                   ? resize_block(vm, ptr, old, nsize)
                                      : new_block(vm, nsize);
    if (p) {
        vm->memory_used = used;
        if (used > vm->memory_peak)
            vm->memory_peak = used;
    }
    return p;
}

static void free_cells(struct crier_vm *vm)
{
    for (size_t n = 1; n < CRIER_CELLS; n++) {
        struct cell *cell = vm->cells[n];
        while (cell) {
            struct cell *next = cell->next;
            free(cell);
            cell = next;
        }
    }
}

static char **copy_list(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    char **copy = crier_calloc(n + 1, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = crier_strdup(list[i]);
    return copy;
}

struct crier_vm *crier_vm_new(const struct crier_vm_config *config)
{
    struct crier_vm *vm = crier_calloc(1, sizeof *vm);
    vm->config = *config;
    vm->config.chunkname = crier_strdup(config->chunkname ? config->chunkname : "script");
    vm->config.folder = crier_strdup(config->folder ? config->folder : ".");
    vm->config.lua_path = (const char *const *)copy_list(config->lua_path);
    if (!vm->config.clock)
        vm->config.clock = crier_clock_real();
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        fputs("crier: out of memory\n", stderr);
        abort();
    }
    *(uintptr_t *)lua_getextraspace(vm->L) = (uintptr_t)vm;
    crier_stdlib_open(vm);
    crier_budget_attach(vm);
    return vm;
}

void crier_vm_free(struct crier_vm *vm)
{
    if (!vm)
        return;
    while (vm->alive)
        crier_call_cancel(vm->alive);
    crier_call_pool_free(vm);
    struct crier_budget b;
    crier_budget_enter(&b, vm, vm->L, CLOSE_BUDGET, "closing the state", "at the end");
    vm->capped = false;
    lua_close(vm->L);
    free_cells(vm);
    free(vm->passing.records);
    crier_budget_leave(&b);
    crier_budget_fini(&b);
    for (size_t i = 0; i < vm->file_count; i++)
        free(vm->files[i]), free(vm->texts[i]);
    free(vm->files);
    free(vm->texts);
    for (size_t i = 0; vm->config.lua_path[i]; i++)
        free((char *)vm->config.lua_path[i]);
    free((void *)vm->config.lua_path);
    free((char *)vm->config.chunkname);
    free((char *)vm->config.folder);
    free(vm->traceback);
    free(vm);
}

void crier_vm_add_path(struct crier_vm *vm, const char *folder)
{
    size_t n = 0;
    while (vm->config.lua_path[n])
        n++;
    const char **list = crier_realloc((void *)vm->config.lua_path, (n + 2) * sizeof *list);
    list[n] = crier_strdup(folder);
    list[n + 1] = NULL;
    vm->config.lua_path = list;
}

struct crier_vm *crier_vm_of(lua_State *L)
{
    return (struct crier_vm *)(*(uintptr_t *)lua_getextraspace(L) & ~(uintptr_t)CRIER_CO_FLAGS);
}

void crier_vm_add_file(struct crier_vm *vm, const char *path)
{
    char *real = realpath(path, NULL);
    char *name = real ? real : crier_strdup(path);
    for (size_t i = 0; i < vm->file_count; i++)
        if (strcmp(vm->files[i], name) == 0) {
            free(name);
            return;
        }
    vm->files = crier_realloc(vm->files, (vm->file_count + 1) * sizeof *vm->files);
    vm->texts = crier_realloc(vm->texts, (vm->file_count + 1) * sizeof *vm->texts);
    vm->texts[vm->file_count] = NULL;
    vm->files[vm->file_count++] = name;
}

/* The name that messages show: relative to the script's folder where that is possible. */
static const char *shown_name(const struct crier_vm *vm, const char *path)
{
    size_t n = strlen(vm->config.folder);
    if (strncmp(path, vm->config.folder, n) == 0 && path[n] == '/')
        return path + n + 1;
    return path;
}

static const char *overlaid(const struct crier_vm *vm, const char *path)
{
    char *real = vm->config.overlay ? realpath(path, NULL) : NULL;
    const char *text = real ? g_hash_table_lookup(vm->config.overlay, real) : NULL;
    free(real);
    return text;
}

/* For a look at what runs, after the file has changed. */
static void keep_text(struct crier_vm *vm, const char *path, const struct crier_buf *text)
{
    char *real = realpath(path, NULL);
    for (size_t i = 0; i < vm->file_count; i++) {
        if (strcmp(vm->files[i], real ? real : path) == 0 && !vm->texts[i])
            vm->texts[i] = crier_strndup(text->data ? text->data : "", text->len);
    }
    free(real);
}

int crier_vm_load_file(struct crier_vm *vm, lua_State *L, const char *path, const char *name)
{
    struct crier_buf text = {0};
    struct crier_err err = {0};
    char chunkname[PATH_MAX + 2];
    int status = LUA_ERRERR;

    crier_vm_add_file(vm, path);
    const char *laid = overlaid(vm, path);
    if (laid) {
        crier_buf_puts(&text, laid);
    } else if (crier_file_read(path, SIZE_MAX, &text, &err) != 0) {
        lua_pushfstring(L, "%s: %s", name ? name : shown_name(vm, path), err.text);
        goto out;
    }
    keep_text(vm, path, &text);
    snprintf(chunkname, sizeof chunkname, "@%s", name ? name : shown_name(vm, path));
    const char *data = text.data ? text.data : "";
    size_t len = text.len;
    if (len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0)
        data += 3, len -= 3;
    if (len > 0 && data[0] == LUA_SIGNATURE[0]) {
        lua_pushfstring(L, "%s: bytecode is not loaded: give the Lua source text", chunkname + 1);
        goto out;
    }
    if (len > 0 && data[0] == '#') { /* "#!": the line stays, so that the numbers are right */
        const char *end = memchr(data, '\n', len);
        size_t skip = end ? (size_t)(end - data) : len;
        data += skip, len -= skip;
    }
    status = luaL_loadbufferx(L, data, len, chunkname, "t");
out:
    crier_buf_fini(&text);
    return status;
}

/* The chunk is on top of vm->L, or, when status is not LUA_OK, its error. */
static int run_chunk(struct crier_vm *vm, int status, int64_t cpu_us, const char *what,
                     struct crier_lua_error *error)
{
    *error = (struct crier_lua_error){0};
    if (status != LUA_OK) {
        crier_lua_error_fill(vm, vm->L, status, what, error);
        lua_pop(vm->L, 1);
        return error->code;
    }
    bool outer = vm->loading;
    vm->loading = true;
    int rc = crier_vm_run(vm, NULL, 0, 0, cpu_us, what, "limits.load", error);
    vm->loading = outer;
    return rc;
}

int crier_vm_run_file(struct crier_vm *vm, const char *path, int64_t cpu_us,
                      struct crier_lua_error *error)
{
    char what[160];
    snprintf(what, sizeof what, "loading %s", vm->config.chunkname);
    int status = crier_vm_load_file(vm, vm->L, path, vm->config.chunkname);
    return run_chunk(vm, status, cpu_us, what, error);
}

int crier_vm_run_text(struct crier_vm *vm, const char *name, const char *text, size_t len,
                      struct crier_lua_error *error)
{
    char chunkname[128];
    snprintf(chunkname, sizeof chunkname, "=%s", name);
    int status = luaL_loadbufferx(vm->L, text, len, chunkname, "t");
    return run_chunk(vm, status, 0, name, error);
}
