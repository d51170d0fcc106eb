/* SPDX-License-Identifier: MIT */
#include "sink/console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "record/value_json.h"
#include "sink/registry.h"

/* How long a write waits for a reader that is slow, before it becomes the framework's business. */
#define WAIT_MS 250
#define TEXT_MAX 120 /* bytes of what a message said */

/* ---- the line ---- */

/* One character of at least one byte; bytes that are no UTF-8 (records hold none) stay single. */
static unsigned decode(const char *s, size_t len, size_t *bytes)
{
    const unsigned char *p = (const unsigned char *)s;
    *bytes = 1;
    if (p[0] >= 0xc2 && p[0] < 0xe0 && len >= 2) {
        *bytes = 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] >= 0xe0 && p[0] < 0xf0 && len >= 3) {
        *bytes = 3;
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    if (p[0] >= 0xf0 && len >= 4) {
        *bytes = 4;
        return 0x10000; /* none of those up there is harmful */
    }
    return p[0];
}

/* Control characters, line separators and what turns the direction of writing. */
static bool harmful(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x061c || c == 0x200e || c == 0x200f;
}

static void put_escape(struct crier_buf *out, unsigned c)
{
    if (c == '\n')
        crier_buf_puts(out, "\\n");
    else if (c == '\t')
        crier_buf_puts(out, "\\t");
    else if (c == '\r')
        crier_buf_puts(out, "\\r");
    else
        crier_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
}

static void put_text(struct crier_buf *out, const char *s, size_t len)
{
    size_t from = 0;
    for (size_t i = 0; i < len;) {
        size_t bytes = 1;
        unsigned c = (unsigned char)s[i];
        if (c >= 0x20 && c < 0x7f) {
            i++;
            continue;
        }
        c = decode(s + i, len - i, &bytes);
        if (harmful(c)) {
            crier_buf_append(out, s + from, i - from);
            put_escape(out, c);
            from = i + bytes;
        }
        i += bytes;
    }
    crier_buf_append(out, s + from, len - from);
}

/* At most max bytes, cut between two characters. */
void crier_console_text(struct crier_str text, struct crier_buf *out)
{
    put_text(out, text.data, text.len);
}

static void put_short(struct crier_buf *out, struct crier_str s, size_t max)
{
    size_t n = s.len;
    if (n > max)
        for (n = max; n > 0 && ((unsigned char)s.data[n] & 0xc0) == 0x80;)
            n--;
    put_text(out, s.data, n);
    if (n < s.len)
        crier_buf_puts(out, "...");
}

static bool needs_quotes(struct crier_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= ' ' || s.data[i] == '"' || s.data[i] == '=')
            return true;
    return s.len == 0;
}

static void put_string(struct crier_buf *out, struct crier_str s)
{
    size_t from = 0;
    if (!needs_quotes(s)) {
        put_text(out, s.data, s.len);
        return;
    }
    crier_buf_putc(out, '"');
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] == '"' || s.data[i] == '\\') {
            put_text(out, s.data + from, i - from);
            crier_buf_putc(out, '\\');
            from = i;
        }
    put_text(out, s.data + from, s.len - from);
    crier_buf_putc(out, '"');
}

static void put_value(struct crier_buf *out, const struct crier_value *v)
{
    struct crier_buf json = {0};
    if (v->type == CRIER_STR) {
        put_string(out, v->s);
        return;
    }
    crier_value_json(&json, v);
    if (v->type == CRIER_SNOWFLAKE || v->type == CRIER_TIME)
        crier_buf_append(out, json.data + 1, json.len - 2);
    else
        put_text(out, json.data, json.len);
    crier_buf_fini(&json);
}

static void put_fields(const struct crier_record *record, bool color, struct crier_buf *out)
{
    struct crier_iter it = crier_record_fields(record);
    struct crier_value v;
    while (crier_next(&it, &v)) {
        crier_buf_puts(out, color ? "  \x1b[2m" : "  ");
        put_text(out, v.key.data, v.key.len);
        crier_buf_puts(out, color ? "=\x1b[0m" : "=");
        put_value(out, &v);
    }
}

/* A field's text behind two blanks, when the record has it and its own text does not. */
static void put_field(const struct crier_record *record, const char *path, struct crier_buf *out)
{
    struct crier_value v;
    char scratch[32];
    if (!crier_record_get(record, path, &v, scratch) || v.type != CRIER_STR || v.s.len == 0)
        return;
    struct crier_str text = crier_record_text(record);
    if (memmem(text.data, text.len, v.s.data, v.s.len))
        return; /* the text says it already */
    crier_buf_puts(out, "  ");
    put_short(out, v.s, TEXT_MAX);
}

static void put_details(const struct crier_record *record, bool color, struct crier_buf *out)
{
    switch (crier_record_kind(record)) {
    case CRIER_KIND_LOG:
    case CRIER_KIND_SYSTEM:
        put_fields(record, color, out);
        break;
    case CRIER_KIND_MESSAGE:
        put_field(record, "sent_data.text", out);
        put_field(record, "skipped", out);
        put_field(record, "channels.failed.1.reason", out);
        put_field(record, "success_info.reason", out);
        break;
    case CRIER_KIND_TASK:
        put_field(record, "reason", out);
        put_field(record, "exc_text", out);
        break;
    case CRIER_KIND_EVENT:
        put_field(record, "descr_fin", out);
        break;
    case CRIER_KIND_INVITE:
    case CRIER_KIND_COUNT:
        break;
    }
}

static const char *level_color(enum crier_level level)
{
    return level >= CRIER_CRITICAL        ? "\x1b[1;31m"
           : level >= CRIER_LEVEL_ERROR   ? "\x1b[31m"
           : level >= CRIER_LEVEL_WARNING ? "\x1b[33m"
           : level >= CRIER_INFO          ? "\x1b[32m"
                                          : "\x1b[2m";
}

/* The zone's answer is kept for a second: of a thousand records in it one asks. */
struct time_text {
    int64_t second;
    char text[9];
};

static const char *time_of_day(struct time_text *cache, const struct crier_zone *zone, int64_t wall)
{
    int64_t second = wall / CRIER_S - (wall % CRIER_S < 0);
    if (cache->text[0] && cache->second == second)
        return cache->text;
    if (zone) {
        struct crier_civil c;
        crier_civil_at(zone, wall, &c);
        snprintf(cache->text, sizeof cache->text, "%02u:%02u:%02u", (unsigned)c.hour % 100,
                 (unsigned)c.minute % 100, (unsigned)c.second % 100);
    } else {
        char text[32];
        memcpy(cache->text, crier_time_rfc3339(wall, text) + 11, 8);
        cache->text[8] = 0;
    }
    cache->second = second;
    return cache->text;
}

static void put_line(const struct crier_record *record, const struct crier_zone *zone,
                     struct time_text *cache, bool color, struct crier_buf *out)
{
    enum crier_level level = crier_record_level(record);
    struct crier_str logger = crier_record_logger(record);
    struct crier_str text = crier_record_text(record);
    struct crier_str where = crier_record_where(record);
    crier_buf_puts(out, time_of_day(cache, zone, crier_record_time(record)));
    crier_buf_putc(out, ' ');
    if (color)
        crier_buf_puts(out, level_color(level));
    crier_buf_printf(out, "%-8s", crier_level_name(level));
    crier_buf_puts(out, color ? "\x1b[0m " : " ");
    if (logger.len) {
        put_text(out, logger.data, logger.len);
        crier_buf_puts(out, "  ");
    }
    put_text(out, text.data, text.len);
    put_details(record, color, out);
    if (where.len && level >= CRIER_LEVEL_WARNING) {
        crier_buf_puts(out, color ? "  \x1b[2m(" : "  (");
        put_text(out, where.data, where.len);
        crier_buf_puts(out, color ? ")\x1b[0m" : ")");
    }
    crier_buf_putc(out, '\n');
}

void crier_console_line(const struct crier_record *record, const struct crier_zone *zone,
                        bool color, struct crier_buf *out)
{
    struct time_text cache = {0};
    put_line(record, zone, &cache, color, out);
}

/* ---- the sink ---- */

struct console {
    int fd; /* our own */
    bool socket, nonblocking;
    bool json, color;
    int wait_ms;
    const struct crier_zone *zone;
    struct time_text time;
    struct crier_buf out;
    size_t partial; /* bytes of the next record that are out already */
};

static const struct crier_option options[] = {
    {.name = "format",
     .type = CRIER_OPT_ENUM,
     .def = "auto",
     .choices = "auto text json",
     .help = "auto: text on a terminal, else one JSON object a line"},
    {.name = "color",
     .type = CRIER_OPT_BOOL,
     .help = "default: on a terminal, unless NO_COLOR is set"},
    {.name = "stream",
     .type = CRIER_OPT_ENUM,
     .def = "stdout",
     .choices = "stdout stderr",
     .help = "where to"},
};

/* A pipe or terminal is opened once more: O_NONBLOCK on the inherited description would be seen by
 * every process that shares it. */
static void open_stream(struct console *c, int fd)
{
    struct stat st = {0};
    char path[32];
    c->fd = -1;
    if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        c->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    c->nonblocking = c->fd >= 0 || S_ISREG(st.st_mode);
    c->socket = S_ISSOCK(st.st_mode);
    if (c->fd < 0)
        c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* A reader that has gone is EPIPE here, not the end of the process. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static int console_open(const struct crier_sink_env *env, const struct crier_options *opts,
                        const char *name, void **self, struct crier_err *err)
{
    struct console *c = crier_calloc(1, sizeof *c);
    const struct crier_option_value *color = crier_options_get(opts, "color");
    const char *format = crier_options_get(opts, "format")->s;
    int fd =
        strcmp(crier_options_get(opts, "stream")->s, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO;
    const char *no_color = getenv("NO_COLOR");
    bool terminal = isatty(fd);
    (void)name;
    (void)err;
    c->zone = env->zone;
    c->wait_ms = crier_clock_is_virtual(env->clock) ? 0 : WAIT_MS;
    c->json = strcmp(format, "json") == 0 || (strcmp(format, "auto") == 0 && !terminal);
    c->color = color->set ? color->i != 0 : terminal && !(no_color && no_color[0]);
    ignore_sigpipe();
    open_stream(c, fd);
    *self = c;
    return CRIER_OK;
}

static ssize_t write_some(const struct console *c, const char *data, size_t len)
{
    /* A poll promises room for PIPE_BUF bytes, no more. */
    if (!c->nonblocking && len > PIPE_BUF)
        len = PIPE_BUF;
    return c->socket ? send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                     : write(c->fd, data, len);
}

/* Bytes written before the stream blocked for wait_ms or failed; *sys is EAGAIN or the fault, 0
 * when all went out. */
static size_t write_all(const struct console *c, const char *data, size_t len, int *sys)
{
    size_t at = 0;
    bool ready = c->nonblocking || c->socket;
    *sys = 0;
    while (at < len) {
        ssize_t n = -1;
        errno = EAGAIN;
        if (ready)
            n = write_some(c, data + at, len - at);
        if (n >= 0) {
            at += (size_t)n;
            ready = c->nonblocking || c->socket;
            continue;
        }
        if (errno == EINTR)
            continue;
        *sys = errno;
        if (errno != EAGAIN)
            break;
        struct pollfd poll_fd = {.fd = c->fd, .events = POLLOUT};
        int rc = poll(&poll_fd, 1, c->wait_ms);
        if (rc == 0 || (rc < 0 && errno != EINTR))
            break;
        *sys = 0;
        ready = true;
    }
    return at;
}

static void format(struct console *c, struct crier_record *record)
{
    if (c->json) {
        struct crier_str json = crier_record_json(record);
        crier_buf_append(&c->out, json.data, json.len);
        crier_buf_putc(&c->out, '\n');
    } else {
        put_line(record, c->zone, &c->time, c->color, &c->out);
    }
}

/* How many records lie within the bytes that went out. No line holds a newline of its own. */
static size_t count_lines(struct console *c, size_t sent)
{
    size_t lines = 0, start = 0;
    for (size_t i = 0; i < sent; i++)
        if (c->out.data[i] == '\n') {
            lines++;
            start = i + 1;
        }
    c->partial = sent - start;
    return lines;
}

static enum crier_verdict console_write(void *self, struct crier_record *const *records,
                                        size_t count, size_t *done, struct crier_err *err)
{
    struct console *c = self;
    int sys;
    crier_buf_clear(&c->out);
    for (size_t i = 0; i < count; i++)
        format(c, records[i]);
    size_t skip = c->partial < c->out.len ? c->partial : 0;
    size_t sent = skip + write_all(c, c->out.data + skip, c->out.len - skip, &sys);
    *done = count_lines(c, sent);
    if (sys == 0)
        return CRIER_WRITTEN;
    if (sys == EAGAIN) {
        crier_err_set(err, CRIER_ETIMEOUT, "nobody reads the output");
        return CRIER_RETRY_LATER;
    }
    c->partial = 0;
    crier_err_sys(err, CRIER_EIO, sys, "cannot write the output");
    return CRIER_DROPPED;
}

static void console_close(void *self)
{
    struct console *c = self;
    if (c->fd >= 0)
        close(c->fd);
    crier_buf_fini(&c->out);
    free(c);
}

const struct crier_sink_driver crier_sink_console = {
    .kind = "console",
    .help = "lines for people on a terminal, one JSON object a line in a pipe",
    .options = options,
    .option_count = CRIER_COUNT(options),
    .kinds = (1u << CRIER_KIND_COUNT) - 1,
    .overflow = "drop_old",
    .open = console_open,
    .write = console_write,
    .close = console_close,
    .retry_max = 200 * CRIER_MS,
};
