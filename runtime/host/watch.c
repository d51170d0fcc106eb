/* SPDX-License-Identifier: MIT */
#include "host/watch.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/buf.h"

#define SETTLE (200 * CRIER_MS)

struct file {
    char *path;
    struct stat st; /* st_ino 0: it was not there */
};

struct folder {
    uv_fs_event_t event;
    struct crier_watch *watch;
    char *path;
};

struct crier_watch {
    struct crier_loop *loop;
    struct crier_timer settle;
    void (*changed)(void *arg);
    void *arg;
    struct file *files;
    size_t count;
    GPtrArray *folders;
};

static void look(const char *path, struct stat *st)
{
    if (stat(path, st) != 0)
        memset(st, 0, sizeof *st);
}

static bool differs(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

static void on_settled(struct crier_timer *timer)
{
    struct crier_watch *w = CRIER_CONTAINER(timer, struct crier_watch, settle);
    bool any = false;
    for (size_t i = 0; i < w->count; i++) {
        struct stat now;
        look(w->files[i].path, &now);
        /* A file that is gone is an editor between two steps: wait for it to come back. */
        if (now.st_ino && differs(&now, &w->files[i].st)) {
            w->files[i].st = now;
            any = true;
        }
    }
    if (any)
        w->changed(w->arg);
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct folder *f = CRIER_CONTAINER(event, struct folder, event);
    (void)name;
    (void)events;
    (void)status;
    crier_timer_in(f->watch->loop, &f->watch->settle, SETTLE);
}

static void on_closed(uv_handle_t *handle)
{
    struct folder *f = CRIER_CONTAINER(handle, struct folder, event);
    free(f->path);
    free(f);
}

static void close_folder(void *p)
{
    struct folder *f = p;
    uv_close((uv_handle_t *)&f->event, on_closed);
}

struct crier_watch *crier_watch_new(struct crier_loop *loop, void (*changed)(void *arg), void *arg)
{
    struct crier_watch *w = crier_calloc(1, sizeof *w);
    w->loop = loop;
    w->changed = changed;
    w->arg = arg;
    w->settle.fire = on_settled;
    w->folders = g_ptr_array_new_with_free_func(close_folder);
    return w;
}

static void free_files(struct file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(files[i].path);
    free(files);
}

static void add_folder(struct crier_watch *w, const char *file)
{
    const char *slash = strrchr(file, '/');
    char *path =
        slash && slash != file ? crier_strndup(file, (size_t)(slash - file)) : crier_strdup("/");
    for (guint i = 0; i < w->folders->len; i++) {
        if (strcmp(((struct folder *)w->folders->pdata[i])->path, path) == 0) {
            free(path);
            return;
        }
    }
    struct folder *f = crier_calloc(1, sizeof *f);
    f->watch = w;
    f->path = path;
    uv_fs_event_init(crier_loop_uv(w->loop), &f->event);
    g_ptr_array_add(w->folders, f);
    uv_fs_event_start(&f->event, on_event, path, 0);
}

void crier_watch_mark(struct crier_watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        look(w->files[i].path, &w->files[i].st);
}

void crier_watch_files(struct crier_watch *w, char *const *files, size_t count)
{
    struct file *old = w->files;
    size_t old_count = w->count;
    bool changed = false;
    g_ptr_array_set_size(w->folders, 0);
    w->files = crier_calloc(count ? count : 1, sizeof *w->files);
    w->count = count;
    for (size_t i = 0; i < count; i++) {
        struct file *f = &w->files[i];
        f->path = crier_strdup(files[i]);
        add_folder(w, files[i]);
        look(files[i], &f->st);
        for (size_t j = 0; j < old_count; j++) {
            if (strcmp(old[j].path, f->path) == 0) {
                changed |= differs(&f->st, &old[j].st);
                f->st = old[j].st;
                break;
            }
        }
    }
    free_files(old, old_count);
    if (changed)
        crier_timer_in(w->loop, &w->settle, SETTLE);
}

void crier_watch_free(struct crier_watch *w)
{
    if (!w)
        return;
    crier_timer_stop(w->loop, &w->settle);
    free_files(w->files, w->count);
    g_ptr_array_free(w->folders, TRUE);
    free(w);
}
