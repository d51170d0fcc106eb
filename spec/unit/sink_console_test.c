/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "record/build.h"
#include "sink/console.h"
#include "sink/registry.h"

static struct crier_clock *vclock;
static struct crier_loop *loop;
static struct crier_zone *zone;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder b;
static struct crier_sink *sink;
static int saved_stdout = -1;

static int setup(void **state)
{
    uint64_t seed = 1;
    (void)state;
    unsetenv("NO_COLOR");
    vclock = crier_clock_virtual(1700000000 * CRIER_S); /* 2023-11-14 22:13:20 UTC */
    loop = crier_loop_new(vclock);
    assert_int_equal(crier_zone_open("Europe/Ljubljana", &zone, NULL), 0);
    env = (struct crier_sink_env){.clock = vclock, .zone = zone};
    crier_source_init(&source, "n", false, &seed);
    crier_builder_init(&b, &source);
    sink = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crier_sink_unref(sink);
    crier_zone_unref(zone);
    crier_loop_free(loop);
    crier_clock_free(vclock);
    crier_builder_fini(&b);
    crier_source_fini(&source);
    return 0;
}

static void begin(enum crier_kind kind, enum crier_level level, const char *logger,
                  const char *text)
{
    crier_build_begin(&b, kind, level, crier_clock_wall(vclock));
    crier_build_logger(&b, logger, strlen(logger));
    crier_build_text(&b, text, strlen(text));
}

static void expect_line(const char *want)
{
    struct crier_buf out = {0};
    struct crier_record *record = crier_build_end(&b);
    crier_console_line(record, zone, false, &out);
    assert_string_equal(out.data, want);
    crier_buf_fini(&out);
    crier_record_unref(record);
}

static void lines(void **state)
{
    (void)state;
    begin(CRIER_KIND_MESSAGE, CRIER_INFO, "message.gallery", "gallery #sp edited");
    CRIER_B_STR(&b, "name", "gallery");
    CRIER_B_OPEN(&b, "sent_data", CRIER_OBJECT);
    CRIER_B_STR(&b, "text", "two.gif");
    crier_build_close(&b);
    expect_line("23:13:20 info     message.gallery  gallery #sp edited  two.gif\n");

    begin(CRIER_KIND_MESSAGE, CRIER_LEVEL_ERROR, "message.x", "x #a failed");
    crier_build_where(&b, "bot.lua:14", 10);
    CRIER_B_OPEN(&b, "channels", CRIER_OBJECT);
    CRIER_B_OPEN(&b, "failed", CRIER_ARRAY);
    crier_build_open(&b, NULL, 0, CRIER_OBJECT);
    CRIER_B_STR(&b, "reason", "Missing Permissions");
    crier_build_close(&b);
    crier_build_close(&b);
    crier_build_close(&b);
    expect_line("23:13:20 error    message.x  x #a failed  Missing Permissions  (bot.lua:14)\n");

    begin(CRIER_KIND_LOG, CRIER_CRITICAL, "bot", "hello");
    CRIER_B_STR(&b, "user", "Ana");
    CRIER_B_STR(&b, "note", "two \"words\"");
    CRIER_B_STR(&b, "none", "");
    CRIER_B_INT(&b, "n", -3);
    CRIER_B_NUM(&b, "f", 0.5);
    CRIER_B_BOOL(&b, "yes", true);
    CRIER_B_SNOWFLAKE(&b, "guild", 863071397207212052u);
    CRIER_B_TIME(&b, "at", 1700000000 * CRIER_S);
    CRIER_B_OPEN(&b, "list", CRIER_ARRAY);
    crier_build_int(&b, NULL, 0, 1);
    crier_build_str(&b, NULL, 0, "a b", 3);
    crier_build_close(&b);
    expect_line(
        "23:13:20 critical bot  hello  user=Ana  note=\"two \\\"words\\\"\"  none=\"\"  n=-3  "
        "f=0.5  yes=true  guild=863071397207212052  at=2023-11-14T22:13:20.000000Z  "
        "list=[1,\"a b\"]\n");

    begin(CRIER_KIND_TASK, CRIER_LEVEL_ERROR, "task", "Task 'x' status: 'fail'");
    CRIER_B_STR(&b, "exc_text", "bot.lua:3: boom\nstack traceback:");
    expect_line("23:13:20 error    task  Task 'x' status: 'fail'  bot.lua:3: boom\\nstack "
                "traceback:\n");
}

/* No record can write a second line or talk to the terminal. */
static void nothing_is_forged(void **state)
{
    (void)state;
    begin(CRIER_KIND_LOG, CRIER_INFO, "a\x1b[2J",
          "x\n23:13:20 info fake\r\t\x1b]0;title\x07\x7f \xc2\x9b"
          "31m \xe2\x80\xae"
          "evil\xe2\x80\xa8 \xe2\x81\xa6 \xc5\xa1\xf0\x9f\x98\x80");
    CRIER_B_STR(&b, "k\ney", "v\x1b[31m");
    crier_build_open(&b, "o", 1, CRIER_OBJECT);
    crier_build_str(&b, "\x1b", 1, "\xc2\x9b", 2);
    crier_build_close(&b);
    expect_line(
        "23:13:20 info     a\\x1b[2J  x\\n23:13:20 info fake\\r\\t\\x1b]0;title\\x07\\x7f "
        "\\x9b31m \\u202eevil\\u2028 \\u2066 \xc5\xa1\xf0\x9f\x98\x80  k\\ney=\"v\\x1b[31m\"  "
        "o={\"\\u001b\":\"\\x9b\"}\n");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct crier_buf text = {0}, want = {0};
    for (int i = 0; i < 100; i++)
        crier_buf_puts(&text, "\xc5\xa1");
    crier_buf_puts(&want, "23:13:20 info     m  t  ");
    crier_buf_append(&want, text.data, 120);
    crier_buf_puts(&want, "...\n");
    begin(CRIER_KIND_MESSAGE, CRIER_INFO, "m", "t");
    CRIER_B_OPEN(&b, "sent_data", CRIER_OBJECT);
    CRIER_B_STR(&b, "text", text.data);
    crier_build_close(&b);
    expect_line(want.data);
    crier_buf_fini(&text);
    crier_buf_fini(&want);
}

/* ---- the sink, with something else as stdout ---- */

static void set(struct crier_options *o, const char *name, const char *s, int64_t i)
{
    struct crier_option_value *v = (struct crier_option_value *)crier_options_get(o, name);
    v->set = true;
    v->i = i;
    if (s) {
        free(v->s);
        v->s = crier_strdup(s);
    }
}

static void open_on(int fd, const char *format, int color, int64_t queue)
{
    struct crier_options common, options;
    crier_options_init(&common, crier_sink_common_options, crier_sink_common_count);
    crier_options_init(&options, crier_sink_console.options, crier_sink_console.option_count);
    if (format)
        set(&options, "format", format, 0);
    if (color >= 0)
        set(&options, "color", NULL, color);
    if (queue)
        set(&common, "queue", NULL, queue);
    fflush(stdout);
    saved_stdout = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    int rc = crier_sink_open(&crier_sink_console, "console", &common, &options, &env, &sink, NULL);
    if (rc == 0)
        crier_sink_start(sink, loop);
}

static void give_back(void)
{
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
}

static void push(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        begin(CRIER_KIND_LOG, CRIER_INFO, "t", "some text");
        CRIER_B_INT(&b, "i", (int64_t)source.seq + 1);
        struct crier_record *record = crier_build_end(&b);
        crier_sink_push(sink, record);
        crier_record_unref(record);
    }
}

static void run_for(int64_t us)
{
    crier_loop_run(loop, crier_loop_now(loop) + us);
}

/* What is in the pipe now. */
static void drain(int fd, struct crier_buf *out)
{
    ssize_t n;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = read(fd, crier_buf_reserve(out, 65536), 65536)) > 0)
        out->len += (size_t)n;
    crier_buf_puts(out, "");
}

/* Lines "... i=N" with N counting up from `first`; returns their number. */
static size_t check_lines(const struct crier_buf *out, unsigned long long first)
{
    size_t n = 0;
    for (char *line = out->data; *line; n++) {
        char *end = strchr(line, '\n');
        char want[64];
        assert_non_null(end);
        snprintf(want, sizeof want, "info     t  some text  i=%llu\n", first + n);
        assert_memory_equal(line + 9, want, strlen(want));
        line = end + 1;
    }
    return n;
}

static void a_pipe_gets_json(void **state)
{
    (void)state;
    int fds[2];
    struct crier_buf out = {0};
    assert_int_equal(pipe(fds), 0);
    open_on(fds[1], NULL, -1, 0);
    push(3);
    run_for(0);
    give_back();
    drain(fds[0], &out);
    char *line = out.data;
    for (int i = 0; i < 3; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_memory_equal(line, "{\"id\":\"", 7);
        assert_int_equal(end[-1], '}');
        line = end + 1;
    }
    assert_int_equal(*line, 0);
    crier_buf_fini(&out);
    close(fds[0]);
    close(fds[1]);
}

static void terminal(const char *no_color, int color, struct crier_buf *out)
{
    int master, slave;
    if (no_color)
        setenv("NO_COLOR", no_color, 1);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    crier_buf_clear(out);
    open_on(slave, NULL, color, 0);
    push(1);
    run_for(0);
    crier_sink_unref(sink);
    sink = NULL;
    give_back();
    drain(master, out);
    close(master);
    close(slave);
}

static void a_terminal_gets_text(void **state)
{
    (void)state;
    struct crier_buf out = {0};
    terminal(NULL, -1, &out);
    assert_string_equal(out.data,
                        "23:13:20 \x1b[32minfo    \x1b[0m t  some text  \x1b[2mi=\x1b[0m1\r\n");
    terminal("1", -1, &out);
    assert_string_equal(out.data, "23:13:20 info     t  some text  i=2\r\n");
    terminal("1", 1, &out);
    assert_non_null(strstr(out.data, "\x1b[32m"));
    terminal("", 0, &out);
    assert_null(strstr(out.data, "\x1b"));
    crier_buf_fini(&out);
}

/* Nobody reads: nothing is lost but by the policy, no line is torn, and it goes on afterwards. */
static void blocked(int fds[2])
{
    struct crier_buf out = {0};
    struct crier_sink_stats s;
    open_on(fds[1], "text", 0, 1 << 20);
    push(30000);
    run_for(CRIER_S);
    give_back();
    crier_sink_stats(sink, &s);
    assert_true(s.failing);
    assert_int_equal(s.dropped, 0);
    assert_true(s.queued > 0 && s.written > 0);
    assert_int_equal(s.accepted, s.written + s.queued);
    for (int i = 0; i < 10000 && s.queued > 0; i++) {
        drain(fds[0], &out);
        run_for(300 * CRIER_MS);
        crier_sink_stats(sink, &s);
    }
    drain(fds[0], &out);
    assert_int_equal(s.written, 30000);
    assert_false(s.failing);
    assert_int_equal(check_lines(&out, 1), 30000);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    crier_buf_fini(&out);
    close(fds[0]);
    close(fds[1]);
}

static void blocked_pipe(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    blocked(fds);
}

static void blocked_socket(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    blocked(fds);
}

/* A reader that is only slow is waited for, and the sink does not count as failing. */
static void slow_reader(void **state)
{
    (void)state;
    int fds[2];
    struct crier_sink_stats s;
    struct crier_clock *vclock_kept = vclock;
    struct crier_loop *live = crier_loop_new(crier_clock_real()), *loop_kept = loop;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        size_t total = 0;
        char bytes[16384];
        ssize_t n;
        close(fds[1]);
        while ((n = read(fds[0], bytes, sizeof bytes)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                total += bytes[i] == '\n';
            usleep(1000);
        }
        _exit(total == 10000 ? 0 : 1);
    }
    close(fds[0]);
    env.clock = vclock = crier_clock_real();
    loop = live;
    open_on(fds[1], "text", 0, 1 << 20);
    close(fds[1]);
    push(10000);
    give_back();
    crier_sink_stop(sink, 30 * CRIER_S);
    crier_sink_stats(sink, &s);
    assert_int_equal(s.written, 10000);
    assert_int_equal(s.retries, 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    crier_sink_unref(sink);
    sink = NULL;
    crier_loop_free(live);
    loop = loop_kept;
    vclock = vclock_kept;
}

static void closed_pipe(void **state)
{
    (void)state;
    int fds[2];
    struct crier_sink_stats s;
    assert_int_equal(pipe(fds), 0);
    signal(SIGPIPE, SIG_DFL);
    open_on(fds[1], NULL, -1, 0);
    push(5);
    run_for(0);
    close(fds[0]);
    push(7);
    run_for(0);
    give_back();
    crier_sink_stats(sink, &s);
    assert_int_equal(s.written, 5);
    assert_int_equal(s.dropped, 7);
    assert_int_equal(s.queued, 0);
    assert_string_equal(s.last_error, "cannot write the output: Broken pipe");
    close(fds[1]);
}

/* A file is written where its offset stands, through the description that we were given. */
static void a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/crier-console-XXXXXX";
    struct crier_buf out = {0};
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "before\n", 7), 7);
    open_on(fd, "text", 0, 0);
    push(2000);
    run_for(0);
    give_back();
    assert_int_equal(crier_file_read(path, 1 << 20, &out, NULL), 0);
    assert_memory_equal(out.data, "before\n", 7);
    memmove(out.data, out.data + 7, out.len - 6);
    out.len -= 7;
    assert_int_equal(check_lines(&out, 1), 2000);
    crier_buf_fini(&out);
    unlink(path);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(lines),
        TEST(nothing_is_forged),
        TEST(long_texts_are_cut),
        TEST(a_pipe_gets_json),
        TEST(a_terminal_gets_text),
        TEST(blocked_pipe),
        TEST(blocked_socket),
        TEST(slow_reader),
        TEST(closed_pipe),
        TEST(a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
