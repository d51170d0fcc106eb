/* SPDX-License-Identifier: MIT
 *
 * The redis sink: recent and common logs of 500 different messages through driver->write, and the
 * same records by hiredis, pipelined, with the commands of the seed for each (LPUSH, LTRIM,
 * ZINCRBY). Starts a redis-server of its own on a Unix socket. Prints `name value unit`,
 * tab-separated; the best of some rounds.
 */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/duration.h"
#include "record/build.h"
#include "sink/registry.h"

enum { RECORDS = 20000, WRITTEN = 1000000, MESSAGES = 500, BATCH = 512, LARGE = 4096, ROUNDS = 3 };

static struct crier_record *records[RECORDS];
static struct crier_sink_env env;
static char folder[] = "/tmp/crier-bench-XXXXXX", path[64];

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static pid_t start_server(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(1);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
               "--dir", folder, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        redisContext *c = redisConnectUnix(path);
        bool up = c && !c->err;
        if (c)
            redisFree(c);
        if (up)
            return pid;
        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        usleep(10000);
    }
    return -1;
}

/* 500 different texts of some 50 bytes, as they are when made comparable. */
static void text_of(int i, char out[80])
{
    int k = i * 7919 % MESSAGES;
    snprintf(out, 80, "the %c%c%c roll went round and a picture was shown", 'a' + k % 20,
             'a' + k / 20 % 5, 'a' + k / 100);
}

static void make_records(void)
{
    struct crier_source source;
    struct crier_builder b;
    crier_source_init(&source, "web-1", false, NULL);
    crier_builder_init(&b, &source);
    for (int i = 0; i < RECORDS; i++) {
        char text[80];
        text_of(i, text);
        crier_build_begin(&b, CRIER_KIND_LOG, CRIER_INFO, crier_clock_wall(env.clock));
        crier_build_logger(&b, "bot.rolls", 9);
        crier_build_text(&b, text, strlen(text));
        CRIER_B_INT(&b, "count", i);
        records[i] = crier_build_end(&b);
    }
    crier_builder_fini(&b);
    crier_source_fini(&source);
}

static void bench_sink(const char *name, size_t batch)
{
    double best = 1e9;
    struct crier_options options;
    struct crier_err err = {0};
    void *self;
    crier_options_init(&options, crier_sink_redis.options, crier_sink_redis.option_count);
    struct crier_option_value *url = (void *)crier_options_get(&options, "url");
    free(url->s);
    url->s = crier_asprintf("unix://%s", path);
    if (crier_sink_redis.open(&env, &options, name, &self, &err))
        die(err.text);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(env.clock);
        size_t done;
        for (size_t at = 0; at < WRITTEN; at += batch)
            if (crier_sink_redis.write(self, records + at % (RECORDS - batch), batch, &done, &err))
                die(err.text);
        double took = (double)(crier_clock_mono(env.clock) - start) / 1e6;
        best = took < best ? took : best;
    }
    printf("redis.%s\t%.3g\trecords/s\n", name, WRITTEN / best);
    crier_sink_redis.close(self);
    crier_options_fini(&options);
}

static void bench_hiredis(void)
{
    enum { COUNT = 100000 };
    double best = 1e9;
    redisContext *c = redisConnectUnix(path);
    if (!c || c->err)
        die("hiredis: no connection");
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start = crier_clock_mono(env.clock);
        for (size_t at = 0; at < COUNT; at += BATCH) {
            for (size_t i = at; i < at + BATCH; i++) {
                struct crier_record *r = records[i % RECORDS];
                struct crier_str text = crier_record_text(r);
                char time[32];
                crier_time_rfc3339(crier_record_time(r), time);
                redisAppendCommand(c, "LPUSH recent:peer:info %s %b", time, text.data, text.len);
                redisAppendCommand(c, "LTRIM recent:peer:info 0 99");
                redisAppendCommand(c, "ZINCRBY common:peer:info 1 %b", text.data, text.len);
            }
            for (size_t i = 0; i < 3 * BATCH; i++) {
                void *reply;
                if (redisGetReply(c, &reply) != REDIS_OK)
                    die("hiredis: no answer");
                freeReplyObject(reply);
            }
        }
        double took = (double)(crier_clock_mono(env.clock) - start) / 1e6;
        best = took < best ? took : best;
    }
    printf("redis.hiredis\t%.3g\trecords/s\n", COUNT / best);
    redisFree(c);
}

int main(void)
{
    char command[64];
    env.clock = crier_clock_real();
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/s", folder);
    pid_t pid = start_server();
    if (pid < 0)
        die("redis-server does not start");
    make_records();
    bench_sink("write", BATCH);
    bench_sink("write_4096", LARGE);
    bench_hiredis();
    for (int i = 0; i < RECORDS; i++)
        crier_record_unref(records[i]);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
