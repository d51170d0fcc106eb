/* SPDX-License-Identifier: MIT
 *
 * The redis sink against a redis-server of its own, on a Unix socket in a temporary folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/build.h"
#include "record/comparable.h"
#include "sink/redis.h"
#include "sink/registry.h"

static char folder[64], path[80];
static pid_t server;
static redisContext *control;
static struct crier_sink_env env;
static struct crier_source source;
static struct crier_builder builder;
static struct crier_options options;
static void *self;
static struct crier_record *records[8192];
static size_t made;

/* ---- the server ---- */

static void launch(const char *const *more)
{
    const char *argv[24] = {"redis-server", "--port", "0",      "--unixsocket", path,
                            "--dir",        folder,   "--save", ""};
    size_t n = 9;
    for (size_t i = 0; more && more[i]; i++)
        argv[n++] = more[i];
    server = fork();
    if (server == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(1);
        execvp(argv[0], (char *const *)(void *)argv);
        _exit(127);
    }
    for (int i = 0; i < 6000; i++) {
        control = redisConnectUnix(path);
        redisReply *reply = control->err ? NULL : redisCommand(control, "PING");
        bool up = reply && (reply->type == REDIS_REPLY_STATUS || !strncmp(reply->str, "NOAUTH", 6));
        if (reply)
            freeReplyObject(reply);
        if (up)
            return;
        redisFree(control);
        control = NULL;
        usleep(10000);
    }
    fail_msg("redis-server does not start");
}

static void end(int sig)
{
    kill(server, sig);
    waitpid(server, NULL, 0);
    server = 0;
    redisFree(control);
    control = NULL;
}

/* The reply as one line: lists in brackets, errors with '-'. */
static void put_reply(const redisReply *reply, struct crier_buf *b)
{
    switch (reply->type) {
    case REDIS_REPLY_ARRAY:
        crier_buf_putc(b, '[');
        for (size_t i = 0; i < reply->elements; i++) {
            if (i)
                crier_buf_puts(b, ", ");
            put_reply(reply->element[i], b);
        }
        crier_buf_putc(b, ']');
        break;
    case REDIS_REPLY_INTEGER:
        crier_buf_printf(b, "%lld", reply->integer);
        break;
    case REDIS_REPLY_NIL:
        crier_buf_puts(b, "nil");
        break;
    case REDIS_REPLY_ERROR:
        crier_buf_putc(b, '-'); /* fall through */
    default:
        crier_buf_append(b, reply->str, reply->len);
    }
}

static struct crier_buf said;

static const char *ask(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(control, format, args);
    va_end(args);
    assert_non_null(reply);
    crier_buf_clear(&said);
    put_reply(reply, &said);
    crier_buf_putc(&said, '\0');
    said.len--;
    freeReplyObject(reply);
    return said.data;
}

/* ---- the sink ---- */

static struct crier_option_value *opt(const char *name)
{
    return (struct crier_option_value *)crier_options_get(&options, name);
}

static void set_text(const char *name, const char *text)
{
    free(opt(name)->s);
    opt(name)->s = crier_strdup(text);
}

static int try_open(struct crier_err *err)
{
    return crier_sink_redis.open(&env, &options, "r", &self, err);
}

static void open_sink(void)
{
    struct crier_err err = {0};
    if (try_open(&err) != CRIER_OK)
        fail_msg("%s", err.text);
}

static void close_sink(void)
{
    if (self)
        crier_sink_redis.close(self);
    self = NULL;
}

static struct crier_record *make_in(const char *logger, enum crier_level level, const char *text,
                                    size_t len)
{
    crier_build_begin(&builder, CRIER_KIND_LOG, level,
                      1700000000 * CRIER_S + (int64_t)made * CRIER_S);
    crier_build_logger(&builder, logger, strlen(logger));
    crier_build_text(&builder, text, len);
    CRIER_B_INT(&builder, "n", (int64_t)made);
    return records[made++] = crier_build_end(&builder);
}

static struct crier_record *make(const char *logger, enum crier_level level, const char *text)
{
    return make_in(logger, level, text, strlen(text));
}

static enum crier_verdict write_some(size_t from, size_t to, size_t *done, struct crier_err *err)
{
    *err = (struct crier_err){0};
    return crier_sink_redis.write(self, records + from, to - from, done, err);
}

static void write_all(size_t from, size_t to)
{
    struct crier_err err;
    size_t done;
    if (write_some(from, to, &done, &err) != CRIER_WRITTEN)
        fail_msg("%s", err.text);
    assert_int_equal(done, to - from);
}

static void retry_later(size_t from, size_t to, const char *why)
{
    struct crier_err err;
    size_t done;
    assert_int_equal(write_some(from, to, &done, &err), CRIER_RETRY_LATER);
    assert_int_equal(done, 0);
    if (!strstr(err.text, why))
        fail_msg("'%s' is not in: %s", why, err.text);
    assert_null(strstr(err.text, "s3cret"));
}

static int setup(void **state)
{
    uint64_t seed = 1;
    char url[128];
    (void)state;
    strcpy(folder, "/tmp/crier-redis-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    env = (struct crier_sink_env){.clock = crier_clock_real()};
    crier_source_init(&source, "web-1", false, &seed);
    crier_builder_init(&builder, &source);
    crier_options_init(&options, crier_sink_redis.options, crier_sink_redis.option_count);
    snprintf(url, sizeof url, "unix://%s", path);
    set_text("url", url);
    made = 0;
    launch(NULL);
    return 0;
}

static int teardown(void **state)
{
    char command[96];
    (void)state;
    close_sink();
    if (server)
        end(SIGKILL);
    for (size_t i = 0; i < made; i++)
        crier_record_unref(records[i]);
    crier_options_fini(&options);
    crier_builder_fini(&builder);
    crier_source_fini(&source);
    crier_buf_fini(&said);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* ---- what is stored ---- */

static void stores_what_the_seed_does(void **state)
{
    char hour[64], now[64];
    (void)state;
    open_sink();
    make("bot", CRIER_INFO, "sent 3 messages");
    make("bot", CRIER_LEVEL_ERROR, "no answer from \"gateway\"");
    make("bot", CRIER_INFO, "sent 14 messages");
    make("bot", CRIER_LEVEL_WARNING, "slow");
    make("task", CRIER_INFO, "done");
    make("bot", CRIER_DEBUG, "x");
    make("bot", CRIER_CRITICAL, "y");
    make("", CRIER_INFO, "z");
    write_all(0, made);
    assert_string_equal(ask("EVAL %s 0", "local k = redis.call('KEYS', '*') table.sort(k) "
                                         "return table.concat(k, ' ')"),
                        "common:bot:critical common:bot:critical:start common:bot:debug "
                        "common:bot:debug:start common:bot:error common:bot:error:start "
                        "common:bot:info common:bot:info:start common:bot:warning "
                        "common:bot:warning:start common:log:info common:log:info:start "
                        "common:task:info common:task:info:start "
                        "crier:bot:critical:seq crier:bot:debug:seq crier:bot:error:seq "
                        "crier:bot:info:seq crier:bot:warning:seq crier:log:info:seq "
                        "crier:task:info:seq "
                        "recent:bot:critical recent:bot:debug recent:bot:error recent:bot:info "
                        "recent:bot:warning recent:log:info recent:task:info");
    assert_string_equal(ask("LRANGE recent:bot:info 0 -1"),
                        "[2023-11-14T22:13:22.000000Z sent 14 messages, "
                        "2023-11-14T22:13:20.000000Z sent 3 messages]");
    assert_string_equal(ask("LRANGE recent:bot:error 0 -1"),
                        "[2023-11-14T22:13:21.000000Z no answer from \"gateway\"]");
    assert_string_equal(ask("ZRANGE common:bot:info 0 -1 WITHSCORES"), "[sent <n> messages, 2]");
    assert_string_equal(ask("ZRANGE common:bot:error 0 -1 WITHSCORES"),
                        "[no answer from <text>, 1]");
    snprintf(hour, sizeof hour, "%s", ask("GET common:bot:info:start"));
    time_t t = time(NULL);
    strftime(now, sizeof now, "%Y-%m-%dT%H:00:00", gmtime(&t));
    assert_string_equal(hour, now);
    long long expires = strtoll(ask("EXPIRETIME common:bot:info"), NULL, 10);
    assert_true(expires % 3600 == 0 && expires > t + 3600 && expires <= t + 7200);
    assert_true(strtoll(ask("TTL recent:bot:info"), NULL, 10) > 29 * 86400);
}

static void keeps_the_newest(void **state)
{
    (void)state;
    opt("recent")->i = 3;
    open_sink();
    for (int i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof text, "%c", 'a' + i);
        make("bot", CRIER_INFO, text);
    }
    write_all(0, 2);
    write_all(2, 9);
    write_all(9, 10);
    assert_string_equal(ask("LRANGE recent:bot:info 0 -1"),
                        "[2023-11-14T22:13:29.000000Z j, 2023-11-14T22:13:28.000000Z i, "
                        "2023-11-14T22:13:27.000000Z h]");
    assert_string_equal(ask("ZCARD common:bot:info"), "10");
}

static void long_lists(void **state)
{
    (void)state;
    opt("recent")->i = 5000;
    opt("common")->off = true;
    open_sink();
    for (int i = 0; i < 6000; i++)
        make("bot", CRIER_INFO, "x");
    write_all(0, made);
    assert_string_equal(ask("LLEN recent:bot:info"), "5000");
    assert_string_equal(ask("LINDEX recent:bot:info 4999"), "2023-11-14T22:30:00.000000Z x");
    assert_string_equal(ask("EXISTS common:bot:info common:bot:info:start"), "0");
}

static void bounds_messages(void **state)
{
    (void)state;
    opt("common.max")->i = 5;
    open_sink();
    for (int i = 0; i < 400; i++) {
        char text[16];
        snprintf(text, sizeof text, "%c%c", 'a' + i % 20, i % 3 ? 'z' : 'a' + i % 7);
        make("bot", CRIER_INFO, i % 4 ? text : "often");
    }
    for (size_t i = 0; i < 400; i += 50)
        write_all(i, i + 50);
    assert_string_equal(ask("ZCARD common:bot:info"), "5");
    assert_string_equal(ask("ZSCORE common:bot:info often"), "100");
    assert_string_equal(ask("EVAL %s 1 common:bot:info",
                            "local n, z = 0, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') "
                            "for i = 2, #z, 2 do n = n + z[i] end return n"),
                        "400");
    assert_string_not_equal(ask("ZSCORE common:bot:info (other)"), "nil");
}

static void hour_text(time_t t, char out[32])
{
    strftime(out, 32, "%Y-%m-%dT%H:00:00", gmtime(&t));
}

static void rotates_by_the_servers_hour(void **state)
{
    char last[32], older[32];
    (void)state;
    hour_text(time(NULL) - 3600, last);
    hour_text(time(NULL) - 7200, older);
    open_sink();
    for (int i = 0; i < 8; i++)
        make("bot", CRIER_INFO, "x");
    /* The hour before: kept once. */
    write_all(0, 2);
    ask("SET common:bot:info:start %s", last);
    write_all(2, 3);
    assert_string_equal(ask("ZRANGE common:bot:info 0 -1 WITHSCORES"), "[x, 1]");
    assert_string_equal(ask("ZRANGE common:bot:info:last 0 -1 WITHSCORES"), "[x, 2]");
    assert_string_equal(ask("GET common:bot:info:pstart"), last);
    /* Written again in the same hour: it stays. */
    write_all(3, 4);
    assert_string_equal(ask("ZRANGE common:bot:info:last 0 -1 WITHSCORES"), "[x, 2]");
    /* Older than an hour: dropped, beside counts of this hour ... */
    ask("SET common:bot:info:pstart %s", older);
    write_all(4, 5);
    assert_string_equal(ask("EXISTS common:bot:info:last common:bot:info:pstart"), "0");
    assert_string_equal(ask("ZSCORE common:bot:info x"), "3");
    /* ... and where the counts themselves are that old. */
    ask("ZADD common:bot:info:last 9 y");
    ask("SET common:bot:info:start %s", older);
    write_all(5, 6);
    assert_string_equal(ask("EXISTS common:bot:info:last common:bot:info:pstart"), "0");
    assert_string_equal(ask("ZRANGE common:bot:info 0 -1 WITHSCORES"), "[x, 1]");
    /* The counts are gone (evicted), the hour's start is not. */
    ask("DEL common:bot:info");
    ask("SET common:bot:info:start %s", last);
    write_all(6, 7);
    assert_string_equal(ask("ZRANGE common:bot:info 0 -1 WITHSCORES"), "[x, 1]");
    /* Counts without a start, as the seed left them. */
    ask("DEL common:bot:info:start");
    write_all(7, 8);
    hour_text(time(NULL), last);
    assert_string_equal(ask("GET common:bot:info:start"), last);
    assert_string_equal(ask("ZRANGE common:bot:info 0 -1 WITHSCORES"), "[x, 2]");
}

static void readers(void **state)
{
    char last[32];
    struct crier_redis_entry *entries;
    size_t n;
    struct crier_str bot = {"bot", 3};
    (void)state;
    open_sink();
    make("bot", CRIER_INFO, "a 1");
    make("bot", CRIER_INFO, "b");
    make("bot", CRIER_INFO, "a 2");
    write_all(0, 3);
    assert_int_equal(crier_redis_recent(self, bot, CRIER_INFO, 2, &entries, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(entries[0].text, "2023-11-14T22:13:22.000000Z a 2");
    crier_redis_entries_free(entries, n);
    assert_int_equal(crier_redis_common(self, bot, CRIER_INFO, false, 10, &entries, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(entries[0].text, "a <n>");
    assert_int_equal(entries[0].count, 2);
    crier_redis_entries_free(entries, n);
    assert_int_equal(crier_redis_common(self, bot, CRIER_INFO, true, 10, &entries, &n, NULL), 0);
    assert_int_equal(n, 0);
    crier_redis_entries_free(entries, n);
    /* An hour that ended without a further record is the last one all the same. */
    hour_text(time(NULL) - 3600, last);
    ask("SET common:bot:info:start %s", last);
    assert_int_equal(crier_redis_common(self, bot, CRIER_INFO, true, 1, &entries, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(entries[0].count, 2);
    crier_redis_entries_free(entries, n);
    assert_int_equal(crier_redis_common(self, bot, CRIER_INFO, false, 10, &entries, &n, NULL), 0);
    assert_int_equal(n, 0);
    crier_redis_entries_free(entries, n);
}

static void hostile_names_and_texts(void **state)
{
    (void)state;
    size_t big = 1 << 20;
    char *large = crier_malloc(big);
    memset(large, 'q', big);
    opt("recent")->i = 2;
    open_sink();
    make("a b\r\n$3\r\nx{}:y", CRIER_INFO, "line 1\nline 2\r\n*1\r\n");
    make_in("nul", CRIER_INFO, "a\0b", 3);
    make_in("big", CRIER_INFO, large, big);
    make("empty", CRIER_INFO, "");
    for (int i = 0; i < 20; i++)
        make_in("big", CRIER_INFO, large, big);
    write_all(0, made);
    assert_string_equal(ask("LINDEX %s 0", "recent:a b\r\n$3\r\nx{}:y:info"),
                        "2023-11-14T22:13:20.000000Z line 1\nline 2\r\n*1\r\n");
    assert_string_equal(ask("STRLEN x"), "0");
    ask("LINDEX recent:nul:info 0");
    assert_int_equal(said.len, 28 + 3);
    assert_memory_equal(said.data + 28, "a\0b", 3);
    ask("LINDEX recent:big:info 0");
    assert_int_equal(said.len, 28 + big);
    ask("ZRANGE common:big:info 0 -1");
    assert_int_equal(said.len, 2 + CRIER_COMPARABLE_MAX);
    assert_string_equal(ask("ZRANGE common:empty:info 0 -1 WITHSCORES"), "[, 1]");
    assert_string_equal(ask("LLEN recent:big:info"), "2");
    free(large);
}

static void cluster(void **state)
{
    /* Nodes talk to each other on a port that is 10000 unless it is told, for all on the machine. */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    char port[8];
    snprintf(port, sizeof port, "%u", ntohs(at.sin_port));
    const char *const more[] = {"--cluster-enabled", "yes",       "--cluster-port", port,
                                "--bind",            "127.0.0.1", NULL};
    (void)state;
    end(SIGKILL);
    launch(more);
    open_sink();
    make("bot", CRIER_INFO, "x");
    retry_later(0, 1, "cluster");
    ask("CLUSTER ADDSLOTSRANGE 0 16383");
    for (int i = 0; i < 6000 && !strstr(ask("CLUSTER INFO"), "cluster_state:ok"); i++)
        usleep(10000);
    retry_later(0, 1, "cluster = true");
    close_sink();
    opt("cluster")->i = 1;
    set_text("stream", "log");
    open_sink();
    make("}{", CRIER_INFO, "y");
    write_all(0, 2);
    assert_string_equal(ask("LLEN recent:{bot:info}"), "1");
    assert_string_equal(ask("ZCARD common:{bot:info}"), "1");
    assert_string_equal(ask("LLEN recent:{%%7D%%7B:info}"), "1");
    assert_string_equal(ask("XLEN log"), "2");
}

static void streams(void **state)
{
    (void)state;
    set_text("stream", "log");
    open_sink();
    make("bot", CRIER_INFO, "x");
    make("task", CRIER_INFO, "y");
    write_all(0, 2);
    ask("XRANGE log - +");
    assert_non_null(strstr(said.data, "[record, {\"id\":"));
    assert_true(strstr(said.data, "\"text\":\"x\"") < strstr(said.data, "\"text\":\"y\""));
    close_sink();
    opt("stream_max")->i = 100;
    open_sink();
    for (int i = 0; i < 2000; i++)
        make("bot", CRIER_INFO, "z");
    write_all(0, made);
    long n = strtol(ask("XLEN log"), NULL, 10);
    assert_true(n >= 100 && n < 400);
}

/* ---- exactly once ---- */

static void skips_what_an_earlier_run_wrote(void **state)
{
    (void)state;
    set_text("stream", "log");
    open_sink();
    for (int i = 0; i < 10; i++)
        make("bot", i % 3 ? CRIER_INFO : CRIER_LEVEL_ERROR, "x");
    write_all(0, 6);
    close_sink();
    open_sink();
    write_all(0, 3);
    write_all(3, 10);
    assert_string_equal(ask("LLEN recent:bot:info"), "6");
    assert_string_equal(ask("ZSCORE common:bot:info x"), "6");
    assert_string_equal(ask("ZSCORE common:bot:error x"), "4");
    assert_string_equal(ask("XLEN log"), "10");
}

/* A state folder that was deleted begins at seq 1 again; its records are new all the same. */
static void another_numbering_is_new(void **state)
{
    (void)state;
    open_sink();
    for (int i = 0; i < 5; i++)
        make("bot", CRIER_INFO, "x");
    write_all(0, 5);
    close_sink();
    source.seq = 0;
    made = 100;
    for (int i = 0; i < 5; i++)
        records[i + 5] = make("bot", CRIER_INFO, "x");
    open_sink();
    write_all(100, 105);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "10");
    for (int i = 0; i < 5; i++)
        records[i + 5] = NULL;
    memmove(records + 5, records + 100, 5 * sizeof *records);
    made = 10;
}

static void lost_answer(void **state)
{
    (void)state;
    opt("timeout")->i = CRIER_S;
    open_sink();
    for (int i = 0; i < 8; i++)
        make("bot", i % 2 ? CRIER_INFO : CRIER_LEVEL_ERROR, i % 4 ? "x" : "y");
    write_all(0, 2);
    kill(server, SIGSTOP);
    assert_int_equal(waitpid(server, NULL, WUNTRACED), server);
    retry_later(2, 6, "no answer within");
    kill(server, SIGCONT);
    for (int i = 0; i < 6000 && strcmp(ask("LLEN recent:bot:info"), "3") != 0; i++)
        usleep(10000);
    /* It was done. */
    assert_string_equal(ask("LLEN recent:bot:info"), "3");
    write_all(2, 5);
    write_all(5, 8);
    assert_string_equal(ask("LRANGE recent:bot:info 0 -1"),
                        "[2023-11-14T22:13:27.000000Z x, 2023-11-14T22:13:25.000000Z x, "
                        "2023-11-14T22:13:23.000000Z x, 2023-11-14T22:13:21.000000Z x]");
    assert_string_equal(ask("ZRANGE common:bot:error 0 -1 WITHSCORES"), "[x, 2, y, 2]");
}

static void scripts_are_flushed(void **state)
{
    (void)state;
    open_sink();
    for (int i = 0; i < 4; i++)
        make(i % 2 ? "a" : "b", CRIER_INFO, "x");
    write_all(0, 2);
    ask("SCRIPT FLUSH");
    write_all(2, 4);
    assert_string_equal(ask("ZSCORE common:a:info x"), "2");
    assert_string_equal(ask("ZSCORE common:b:info x"), "2");
}

/* ---- faults of the server ---- */

static void killed_without_persistence(void **state)
{
    (void)state;
    open_sink();
    for (int i = 0; i < 6; i++)
        make("bot", CRIER_INFO, "x");
    write_all(0, 2);
    end(SIGKILL);
    retry_later(2, 5, "connecting");
    launch(NULL);
    /* What it had acknowledged is gone with its memory; what was owed comes, once and in order. */
    write_all(2, 5);
    write_all(5, 6);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "4");
    assert_string_equal(ask("LINDEX recent:bot:info -1"), "2023-11-14T22:13:22.000000Z x");
    assert_string_equal(ask("LINDEX recent:bot:info 0"), "2023-11-14T22:13:25.000000Z x");
}

static void killed_at_random_with_a_log_of_its_own(void **state)
{
    const char *const more[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    size_t at = 0, done;
    struct crier_err err;
    (void)state;
    end(SIGKILL);
    launch(more);
    open_sink();
    for (int i = 0; i < 8000; i++)
        make(i % 3 ? "a" : "b", i % 2 ? CRIER_INFO : CRIER_LEVEL_ERROR, "x");
    for (int kills = 0; at < made;) {
        pid_t killer = 0;
        if (kills < 8) {
            kills++;
            if ((killer = fork()) == 0) {
                usleep((useconds_t)(kills * 1700));
                kill(server, SIGKILL);
                _exit(0);
            }
        }
        while (at < made) {
            size_t n = made - at < 37 ? made - at : 37;
            enum crier_verdict verdict = write_some(at, at + n, &done, &err);
            at += done;
            if (verdict != CRIER_WRITTEN || (killer && at >= (size_t)kills * 900))
                break;
        }
        if (!killer)
            continue;
        waitpid(killer, NULL, 0);
        end(SIGKILL);
        launch(more);
    }
    assert_string_equal(ask("EVAL %s 0",
                            "local n = 0 for _, k in ipairs {'a:info', 'a:error', 'b:info', "
                            "'b:error'} do n = n + redis.call('ZSCORE', 'common:' .. k, 'x') end "
                            "return n"),
                        "8000");
}

static void stopped_and_started_again(void **state)
{
    (void)state;
    open_sink();
    for (int i = 0; i < 4; i++)
        make("bot", CRIER_INFO, "x");
    write_all(0, 2);
    ask("SAVE");
    end(SIGTERM);
    retry_later(2, 4, "connecting");
    launch(NULL);
    write_all(2, 4);
    assert_string_equal(ask("LRANGE recent:bot:info 0 -1"),
                        "[2023-11-14T22:13:23.000000Z x, 2023-11-14T22:13:22.000000Z x, "
                        "2023-11-14T22:13:21.000000Z x, 2023-11-14T22:13:20.000000Z x]");
    assert_string_equal(ask("ZSCORE common:bot:info x"), "4");
}

/* The server closes connections that it takes for idle: the next write makes another one. */
static void connection_closed_meanwhile(void **state)
{
    (void)state;
    open_sink();
    make("bot", CRIER_INFO, "x");
    make("bot", CRIER_INFO, "x");
    write_all(0, 1);
    ask("CLIENT KILL TYPE normal SKIPME yes");
    write_all(1, 2);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "2");
}

static void read_only_replica(void **state)
{
    (void)state;
    open_sink();
    make("bot", CRIER_INFO, "x");
    ask("REPLICAOF 127.0.0.1 1");
    retry_later(0, 1, "read-only replica");
    ask("REPLICAOF NO ONE");
    write_all(0, 1);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "1");
}

static void out_of_memory(void **state)
{
    (void)state;
    open_sink();
    make("bot", CRIER_INFO, "x");
    make("task", CRIER_INFO, "x");
    ask("CONFIG SET maxmemory 1");
    retry_later(0, 2, "out of memory");
    assert_string_equal(ask("DBSIZE"), "0");
    ask("CONFIG SET maxmemory 0");
    write_all(0, 2);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "1");
}

static void passwords(void **state)
{
    char url[160];
    (void)state;
    ask("CONFIG SET requirepass s3cret/@");
    make("bot", CRIER_INFO, "x");
    open_sink();
    retry_later(0, 1, "asks for a password");
    close_sink();
    snprintf(url, sizeof url, "unix://:s3cretx@%s?db=2", path);
    set_text("url", url);
    open_sink();
    retry_later(0, 1, "refuses the user or the password");
    close_sink();
    snprintf(url, sizeof url, "unix://:s3cret%%2F%%40@%s?db=2", path);
    set_text("url", url);
    open_sink();
    write_all(0, 1);
    close_sink();
    ask("AUTH s3cret/@");
    ask("ACL SETUSER crier on >s3cret2 ~* +@all -@admin");
    snprintf(url, sizeof url, "unix://crier:s3cret2@%s?db=2", path);
    set_text("url", url);
    open_sink();
    make("bot", CRIER_INFO, "x");
    write_all(1, 2);
    close_sink();
    ask("ACL SETUSER crier -@scripting");
    open_sink();
    retry_later(1, 2, "permission");
    close_sink();
    snprintf(url, sizeof url, "unix://:s3cret%%2F%%40@%s?db=77", path);
    set_text("url", url);
    open_sink();
    retry_later(1, 2, "DB index is out of range");
    ask("SELECT 2");
    assert_string_equal(ask("ZSCORE common:bot:info x"), "2");
}

static void keys_of_another_type(void **state)
{
    struct crier_err err;
    size_t done;
    (void)state;
    open_sink();
    make("ok", CRIER_INFO, "a");
    make("bad", CRIER_INFO, "b");
    make("ok", CRIER_INFO, "c");
    make("bad", CRIER_INFO, "d");
    make("ok", CRIER_INFO, "e");
    ask("SET common:bad:info text");
    assert_int_equal(write_some(0, 5, &done, &err), CRIER_REJECTED);
    assert_int_equal(done, 1);
    assert_non_null(strstr(err.text, "the key 'common:bad:info' holds a string"));
    assert_int_equal(write_some(2, 5, &done, &err), CRIER_REJECTED);
    assert_int_equal(done, 1);
    write_all(4, 5);
    assert_string_equal(ask("LLEN recent:ok:info"), "3");
    assert_string_equal(ask("EXISTS recent:bad:info"), "0");
    ask("DEL common:bad:info");
    usleep(1100000); /* so long it is believed */
    write_all(1, 2);
    assert_string_equal(ask("LLEN recent:bad:info"), "1");
}

static void faults_in_words(void **state)
{
    static const struct {
        const char *reply, *words;
    } cases[] = {
        {"LOADING Redis is loading the dataset in memory", "still loading"},
        {"MOVED 3999 127.0.0.1:6381", "belongs to another one"},
        {"ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command "
         "not allowed",
         "out of memory"},
        {"ERR unknown command `AUTH`, with args beginning with: `s3cret`",
         "unknown command `AUTH`"},
        {"SOMETHING else", "SOMETHING else"},
    };
    struct crier_redis_conn conn = {.url.shown = (char *)"h:1"};
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(cases); i++) {
        char text[200];
        struct crier_err err = {0};
        snprintf(text, sizeof text, "%s", cases[i].reply);
        redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text)};
        assert_int_equal(crier_redis_fault_of(&conn, &reply, &err), CRIER_REDIS_LATER);
        assert_non_null(strstr(err.text, cases[i].words));
        assert_non_null(strstr(err.text, "redis h:1: "));
        assert_null(strstr(err.text, "s3cret"));
    }
}

/* ---- the address ---- */

static void urls(void **state)
{
    static const struct {
        const char *url, *shown, *user, *password;
        int db;
        bool local;
    } good[] = {
        {"redis://127.0.0.1:6379", "127.0.0.1:6379", NULL, NULL, 0, true},
        {"redis://redis.example", "redis.example:6379", NULL, NULL, 0, false},
        {"redis://127.0.0.1.example:1/3", "127.0.0.1.example:1", NULL, NULL, 3, false},
        {"redis://u:p%40%2F%3a@[::1]:7000/15", "[::1]:7000", "u", "p@/:", 15, true},
        {"redis://:pa@ss/w@localhost/", "localhost:6379", NULL, "pa@ss/w", 0, true},
        {"rediss://h:6380", "h:6380", NULL, NULL, 0, false},
        {"unix:///run/r%20s.sock?db=4", "unix:/run/r s.sock", NULL, NULL, 4, true},
        {"unix://u:p@/run/r@1", "unix:/run/r@1", "u", "p", 0, true},
    };
    static const char *const bad[] = {
        "127.0.0.1:6379",
        "redis://",
        "redis://:s3cret@",
        "redis://h:0",
        "redis://h:99999",
        "redis://h:s3cret",
        "redis://h/s3cret",
        "redis://u@h",
        "redis://u:s3cret%4@h",
        "redis://[::1",
        "redis://u:s3cret%00@h",
        "unix://run/s",
        "unix:///",
        "unix:///s?x=1",
        "redis://u:s3cret?@h",
        "http://h",
        "unix:///s?db=s3cret",
        "redis://u:s3#t@h",
    };
    (void)state;
    for (size_t i = 0; i < CRIER_COUNT(good); i++) {
        struct crier_redis_url url;
        struct crier_err err = {0};
        if (crier_redis_url_parse(good[i].url, &url, &err) != CRIER_OK)
            fail_msg("%s: %s", good[i].url, err.text);
        assert_string_equal(url.shown, good[i].shown);
        assert_string_equal(url.user ? url.user : "", good[i].user ? good[i].user : "");
        assert_string_equal(url.password ? url.password : "",
                            good[i].password ? good[i].password : "");
        assert_int_equal(url.db, good[i].db);
        assert_int_equal(url.path || crier_sink_is_local(url.host), good[i].local);
        crier_redis_url_fini(&url);
    }
    for (size_t i = 0; i < CRIER_COUNT(bad); i++) {
        struct crier_redis_url url;
        struct crier_err err = {0};
        if (crier_redis_url_parse(bad[i], &url, &err) != CRIER_ECONFIG)
            fail_msg("%s was taken", bad[i]);
        assert_null(strstr(err.text, "s3"));
        assert_non_null(strstr(err.text, "option 'url'"));
    }
}

static void opening(void **state)
{
    struct crier_err err = {0};
    (void)state;
    set_text("url", "rediss://u:s3cret@h");
    if (!crier_redis_has_tls()) {
        assert_int_equal(try_open(&err), CRIER_ECONFIG);
        assert_non_null(strstr(err.text, "TLS"));
        assert_null(strstr(err.text, "s3cret"));
    }
    set_text("url", "redis://u:s3cret@192.0.2.1");
    env.sim = true;
    open_sink();
    make("bot", CRIER_INFO, "x");
    retry_later(0, 1, "redis 192.0.2.1:6379: refused in --sim");
}

/* The certificate is for 127.0.0.1, and signed by nobody that the system knows. */
static void tls(void **state)
{
    char key[96], cert[96], port[8], command[512];
    (void)state;
    if (!crier_redis_has_tls() || system("command -v openssl >/dev/null") != 0)
        skip();
    snprintf(key, sizeof key, "%s/key", folder);
    snprintf(cert, sizeof cert, "%s/cert", folder);
    snprintf(port, sizeof port, "%d", 20000 + getpid() % 10000);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext "
             "subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             key, cert);
    assert_int_equal(system(command), 0);
    const char *const more[] = {"--tls-port",
                                port,
                                "--tls-cert-file",
                                cert,
                                "--tls-key-file",
                                key,
                                "--tls-auth-clients",
                                "no",
                                "--tls-ca-cert-file",
                                cert,
                                NULL};
    end(SIGKILL);
    launch(more);
    make("bot", CRIER_INFO, "x");
    make("bot", CRIER_INFO, "x");
    snprintf(command, sizeof command, "rediss://127.0.0.1:%s", port);
    set_text("url", command);
    open_sink();
    retry_later(0, 1, "TLS: self");
    close_sink();
    setenv("SSL_CERT_FILE", cert, 1);
    open_sink();
    write_all(0, 1);
    ask("CLIENT KILL TYPE normal SKIPME yes");
    write_all(1, 2);
    assert_string_equal(ask("ZSCORE common:bot:info x"), "2");
    close_sink();
    snprintf(command, sizeof command, "rediss://localhost:%s", port);
    set_text("url", command);
    open_sink();
    retry_later(1, 2, "TLS: hostname mismatch");
    unsetenv("SSL_CERT_FILE");
}

static size_t query(struct crier_query *q, struct crier_record ***hits)
{
    size_t n;
    struct crier_err err = {0};
    if (crier_sink_redis.query(self, q, hits, &n, &err) != CRIER_OK)
        fail_msg("%s", err.text);
    crier_query_free(q);
    return n;
}

static void free_hits(struct crier_record **hits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        crier_record_unref(hits[i]);
    free(hits);
}

static void queries(void **state)
{
    struct crier_record **hits;
    struct crier_value v = {.type = CRIER_INT, .i = 3};
    size_t n;
    (void)state;
    set_text("format", "json");
    opt("format")->i = 2;
    open_sink();
    for (int i = 0; i < 6; i++)
        make(i % 2 ? "a" : "b:c", i % 3 ? CRIER_INFO : CRIER_LEVEL_ERROR, "x");
    write_all(0, 6);
    ask("SET recent:other text");
    struct crier_query *q = crier_query_new(NULL);
    assert_int_equal(crier_query_add(q, "n", CRIER_OP_GE, &v, 1, NULL), 0);
    n = query(q, &hits);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        struct crier_str want = crier_record_json(records[i + 3]), got = crier_record_json(hits[i]);
        assert_int_equal(want.len, got.len);
        assert_memory_equal(want.data, got.data, got.len);
    }
    free_hits(hits, n);
}

static void plain_lines_as_records(void **state)
{
    (void)state;
    for (int format = 0; format < 2; format++) {
        struct crier_record **hits;
        set_text("format", format ? "asctime" : "text");
        opt("format")->i = format;
        open_sink();
        make(format ? "asc" : "b:c", CRIER_LEVEL_ERROR, "some text");
        write_all(made - 1, made);
        if (format)
            assert_string_equal(ask("LINDEX recent:asc:error 0"),
                                "Tue Nov 14 22:13:21 2023 some text");
        size_t n = query(crier_query_new(NULL), &hits);
        assert_int_equal(n, (size_t)format + 1);
        struct crier_record *r = hits[format];
        assert_int_equal(crier_record_time(r), crier_record_time(records[format]));
        assert_int_equal(crier_record_level(r), CRIER_LEVEL_ERROR);
        assert_int_equal(crier_record_kind(r), CRIER_KIND_LOG);
        assert_memory_equal(crier_record_logger(r).data, format ? "asc" : "b:c", 3);
        assert_memory_equal(crier_record_text(r).data, "some text", 9);
        free_hits(hits, n);
        close_sink();
    }
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(stores_what_the_seed_does),
        T(keeps_the_newest),
        T(long_lists),
        T(bounds_messages),
        T(rotates_by_the_servers_hour),
        T(readers),
        T(hostile_names_and_texts),
        T(cluster),
        T(streams),
        T(skips_what_an_earlier_run_wrote),
        T(another_numbering_is_new),
        T(lost_answer),
        T(scripts_are_flushed),
        T(killed_without_persistence),
        T(killed_at_random_with_a_log_of_its_own),
        T(stopped_and_started_again),
        T(connection_closed_meanwhile),
        T(read_only_replica),
        T(out_of_memory),
        T(passwords),
        T(keys_of_another_type),
        cmocka_unit_test(faults_in_words),
        cmocka_unit_test(urls),
        T(opening),
        T(tls),
        T(queries),
        T(plain_lines_as_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
