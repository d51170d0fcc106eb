/* SPDX-License-Identifier: MIT
 *
 * A sink in C: each record as a line of a file, cut at a width.
 *
 *     crier.sink.native { name = "wall", path = "./wall.so", options = { file = "wall.txt", width =
 * 60 } }
 *
 * The file's last write is forced to disk before a batch counts as written, so nothing that crier
 * believes to be there is lost; a batch that comes twice (a kill in between) is there twice.
 */
#include <crier/sink.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wall {
    int fd, width;
    char path[4096];
};

/* Options are JSON; a plugin of some size uses a library to read it. These two are enough here. */
static const char *find(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(json, quoted);
    return at ? at + strlen(quoted) : NULL;
}

static int wall_file(struct wall *w)
{
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return w->fd < 0 ? -1 : 0;
}

static int wall_open(const struct crier_sink_open *in, void **self, struct crier_err *err)
{
    const char *file = find(in->options, "file"), *width = find(in->options, "width");
    char name[256] = "wall.txt";
    if (file && sscanf(file, "\"%255[^\"]\"", name) != 1)
        return crier_err_set(err, CRIER_ECONFIG, "option 'file' must be a text");
    struct wall *w = calloc(1, sizeof *w);
    if (!w)
        return crier_err_set(err, CRIER_ELIMIT, "out of memory");
    w->width = width ? atoi(width) : 72;
    if (w->width < 10 || w->width > 1000) {
        free(w);
        return crier_err_set(err, CRIER_ECONFIG, "option 'width' must be 10 to 1000");
    }
    snprintf(w->path, sizeof w->path, "%s/%s", in->folder, name);
    if (wall_file(w) != 0) {
        int code = crier_err_sys(err, CRIER_EIO, errno, "cannot open %s", w->path);
        free(w);
        return code;
    }
    *self = w;
    return 0;
}

static int wall_write(void *self, struct crier_record *const *records, size_t count,
                      const char *batch_id, size_t *done, struct crier_err *err)
{
    struct wall *w = self;
    char line[1100];
    (void)batch_id;
    for (size_t i = 0; i < count; i++) {
        struct crier_str text = crier_record_text(records[i]);
        int n = snprintf(line, sizeof line, "%-8s %.*s",
                         crier_level_name(crier_record_level(records[i])),
                         (int)(text.len < 1000 ? text.len : 1000), text.data);
        if (n > w->width)
            n = w->width;
        line[n++] = '\n';
        if (write(w->fd, line, (size_t)n) != n) {
            *done = i;
            crier_err_sys(err, CRIER_EIO, errno, "cannot write %s", w->path);
            return CRIER_SINK_RETRY;
        }
    }
    return fdatasync(w->fd) == 0 || errno == EINVAL
               ? CRIER_SINK_WRITTEN
               : (crier_err_sys(err, CRIER_EIO, errno, "cannot write %s", w->path),
                  CRIER_SINK_RETRY);
}

/* SIGUSR1: the file was moved away. */
static void wall_reopen(void *self)
{
    struct wall *w = self;
    close(w->fd);
    wall_file(w); /* when this fails, the next write says so */
}

static void wall_close(void *self)
{
    struct wall *w = self;
    close(w->fd);
    free(w);
}

CRIER_SINK_PLUGIN = {
    .abi = CRIER_SINK_ABI,
    .struct_size = sizeof crier_sink_plugin,
    .kind = "wall",
    .help = "a line for each record, cut at a width",
    .open = wall_open,
    .write = wall_write,
    .reopen = wall_reopen,
    .close = wall_close,
};
