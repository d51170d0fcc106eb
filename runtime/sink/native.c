/* SPDX-License-Identifier: MIT
 *
 * The native sink: a shared object (crier/sink.h), or a plugin that the embedding program has.
 *
 * A shared object is never unloaded, since nobody knows what it has left running. The loader knows
 * objects by their path, and would give the old one for a file that has changed: then a copy of the
 * file is loaded, by way of a file that is only in memory.
 */
#include "crier/sink.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "sink/native.h"
#include "sink/registry.h"

/* The members up to `close` are those of the first version. */
#define LEAST_SIZE (offsetof(struct crier_sink_plugin, close) + sizeof(void (*)(void *)))

struct native {
    const struct crier_sink_plugin *plugin;
    void *self;
    char *path;
    const char *files[2];
};

/* An object that has been loaded, for as long as the process lives. */
struct loaded {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    void *handle;
};

static bool same_file(const struct loaded *l, const struct stat *st)
{
    return l->device == st->st_dev && l->inode == st->st_ino && l->size == st->st_size &&
           l->changed.tv_sec == st->st_mtim.tv_sec && l->changed.tv_nsec == st->st_mtim.tv_nsec;
}

static void *load_copy(const char *path, struct crier_err *err)
{
    struct crier_buf bytes = {0};
    char name[64];
    void *handle = NULL;
    const char *base = strrchr(path, '/');
    int fd = memfd_create(base ? base + 1 : path, MFD_CLOEXEC);
    if (fd < 0) {
        crier_err_sys(err, CRIER_EIO, errno, "cannot make a copy of %s", path);
        return NULL;
    }
    if (crier_file_read(path, SIZE_MAX, &bytes, err) != 0)
        goto out;
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.data + at, bytes.len - at);
        if (n < 0) {
            crier_err_sys(err, CRIER_EIO, errno, "cannot make a copy of %s", path);
            goto out;
        }
        at += (size_t)n;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        crier_err_set(err, CRIER_ECONFIG, "%s cannot be loaded: %s", path, dlerror());
out:
    /* The descriptor stays open: another one of its number would have the name of this object. */
    if (!handle)
        close(fd);
    crier_buf_fini(&bytes);
    return handle;
}

static void *load(const char *path, struct crier_err *err)
{
    static GMutex lock;
    static GHashTable *objects; /* path -> struct loaded */
    struct stat st;
    void *handle = NULL;
    if (stat(path, &st) != 0) {
        crier_err_sys(err, CRIER_ENOTFOUND, errno, "cannot read %s", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        crier_err_set(err, CRIER_ECONFIG, "%s is not a file", path);
        return NULL;
    }
    g_mutex_lock(&lock);
    if (!objects)
        objects = g_hash_table_new(g_str_hash, g_str_equal);
    struct loaded *known = g_hash_table_lookup(objects, path);
    if (known && same_file(known, &st)) {
        handle = known->handle;
        goto out;
    }
    if (known) {
        handle = load_copy(path, err);
    } else {
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!handle)
            crier_err_set(err, CRIER_ECONFIG, "%s cannot be loaded: %s", path, dlerror());
    }
    if (!handle)
        goto out;
    if (!known) {
        known = crier_calloc(1, sizeof *known);
        g_hash_table_insert(objects, crier_strdup(path), known);
    }
    *known = (struct loaded){st.st_dev, st.st_ino, st.st_size, st.st_mtim, handle};
out:
    g_mutex_unlock(&lock);
    return handle;
}

int crier_native_check(const struct crier_sink_plugin *plugin, const char *what,
                       struct crier_err *err)
{
    if (plugin->abi != CRIER_SINK_ABI)
        return crier_err_set(err, CRIER_EVERSION,
                             "%s has ABI %u, this crier takes %d: rebuild it against "
                             "include/crier/sink.h",
                             what, plugin->abi, CRIER_SINK_ABI);
    if (plugin->struct_size < LEAST_SIZE)
        return crier_err_set(
            err, CRIER_EVERSION,
            "%s has a crier_sink_plugin of %u bytes, this crier takes %zu or more: "
            "rebuild it against include/crier/sink.h",
            what, plugin->struct_size, LEAST_SIZE);
    if (!plugin->kind || !plugin->open || !plugin->write || !plugin->close)
        return crier_err_set(err, CRIER_EVERSION,
                             "%s lacks one of kind, open, write and close in its crier_sink_plugin",
                             what);
    return CRIER_OK;
}

int crier_native_begin(const struct crier_sink_plugin *plugin, const struct crier_sink_env *env,
                       const char *options, const char *name, void *arg, void **out,
                       struct crier_err *err)
{
    struct crier_sink_open in = {.abi = CRIER_SINK_ABI,
                                 .struct_size = sizeof in,
                                 .name = name,
                                 .options = options ? options : "{}",
                                 .folder = env->folder,
                                 .state_folder = env->state_folder,
                                 .sim = env->sim,
                                 .arg = arg};
    struct crier_err own = {0};
    struct native *n = crier_calloc(1, sizeof *n);
    n->plugin = plugin;
    int rc = plugin->open(&in, &n->self, &own);
    own.text[sizeof own.text - 1] = '\0';
    if (rc == 0) {
        *out = n;
        return CRIER_OK;
    }
    free(n);
    return crier_err_set(err, rc < 0 && rc > -100 ? rc : CRIER_ECONFIG, "%s",
                         own.text[0] ? own.text : "it gave no reason");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int native_open(const struct crier_sink_env *env, const struct crier_options *options,
                       const char *name, void **out, struct crier_err *err)
{
    const char *path = crier_options_get(options, "path")->s;
    void *handle = load(path, err);
    if (!handle)
        return err && err->code ? err->code : CRIER_ECONFIG;
    const struct crier_sink_plugin *plugin = dlsym(handle, "crier_sink_plugin");
    if (!plugin)
        return crier_err_set(err, CRIER_ECONFIG,
                             "%s is no sink: it has no crier_sink_plugin (include/crier/sink.h)",
                             base_name(path));
    int rc = crier_native_check(plugin, base_name(path), err);
    if (rc == CRIER_OK)
        rc = crier_native_begin(plugin, env, crier_options_get(options, "options")->s, name, NULL,
                                out, err);
    if (rc == CRIER_OK) {
        struct native *n = *out;
        n->path = crier_strdup(path);
        n->files[0] = n->path;
    }
    return rc;
}

enum crier_verdict crier_native_write(void *self, struct crier_record *const *records, size_t count,
                                      size_t *done, struct crier_err *err)
{
    struct native *n = self;
    char id[27];
    crier_record_id(records[0], id);
    *done = 0;
    int verdict = n->plugin->write(n->self, records, count, id, done, err);
    err->text[sizeof err->text - 1] = '\0';
    if (*done > count)
        *done = count;
    if (verdict != CRIER_SINK_WRITTEN && !err->text[0])
        crier_err_set(err, CRIER_EIO, "%s gave no reason", n->plugin->kind);
    switch (verdict) {
    case CRIER_SINK_WRITTEN:
        *err = (struct crier_err){0};
        return CRIER_WRITTEN;
    case CRIER_SINK_RETRY:
        break;
    case CRIER_SINK_REJECTED:
        return CRIER_REJECTED;
    case CRIER_SINK_DROPPED:
        return CRIER_DROPPED;
    case CRIER_SINK_DOWN:
        return CRIER_UNAVAILABLE;
    default:
        crier_err_set(err, CRIER_EINVAL, "write of %s answered %d, which means nothing",
                      n->plugin->kind, verdict);
    }
    return CRIER_RETRY_LATER;
}

int64_t crier_native_idle(void *self, int64_t now)
{
    struct native *n = self;
    int64_t again = n->plugin->idle ? n->plugin->idle(n->self) : -1;
    return again < 0 || again > CRIER_NEVER - now ? CRIER_NEVER : now + again;
}

void crier_native_reopen(void *self)
{
    struct native *n = self;
    if (n->plugin->reopen)
        n->plugin->reopen(n->self);
}

void crier_native_close(void *self)
{
    struct native *n = self;
    n->plugin->close(n->self);
    free(n->path);
    free(n);
}

static const char *const *native_files(void *self)
{
    return ((struct native *)self)->files;
}

static const struct crier_option native_options[] = {
    {.name = "path",
     .type = CRIER_OPT_PATH,
     .flags = CRIER_OPT_REQUIRED,
     .help = "path = \"./sink.so\": a shared object built against include/crier/sink.h"},
    {.name = "options",
     .type = CRIER_OPT_OBJECT,
     .help = "what the sink gets when it is opened: plain data, as JSON"},
};

const struct crier_sink_driver crier_sink_native = {
    .kind = "native",
    .help = "a sink in C, from a shared object",
    .options = native_options,
    .option_count = CRIER_COUNT(native_options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "spill",
    .open = native_open,
    .write = crier_native_write,
    .idle = crier_native_idle,
    .reopen = crier_native_reopen,
    .close = crier_native_close,
    .files = native_files,
    .cannot_read = "what a native sink has stored is its own",
};
