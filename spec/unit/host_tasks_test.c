/* SPDX-License-Identifier: MIT
 *
 * Tasks in virtual time: when they run and what is recorded, over clocks that are set, deaths of the
 * host, restarts and reloads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/host.h"
#include "script/task.h"

/* 2026-09-21 14:13:20 UTC */
#define BASE (1790000000LL * CRIER_S)
#define HEAD                                                                                       \
    "local crier = require 'crier'\n"                                                              \
    "crier.config { timezone = 'UTC', node = 'n' }\n"                                              \
    "crier.sink.jsonl { name = 'log', path = 'log.jsonl' }\n"                                      \
    "local function nothing() end\n"

struct world {
    char folder[40];
    char *file;
    struct crier_clock *clock;
    struct crier_host_config config;
    struct crier_host *host;
    struct crier_buf said;
};

static void put(struct world *w, const char *script)
{
    FILE *f = fopen(w->file, "w");
    assert_non_null(f);
    fputs(HEAD, f);
    fputs(script, f);
    fclose(f);
}

static void up(struct world *w)
{
    int code = 0;
    w->host = crier_host_open(&w->config, &code);
    assert_int_equal(code, 0);
    assert_non_null(w->host);
}

static void setup(struct world *w, const char *script)
{
    *w = (struct world){.folder = "/tmp/crier-tasks-XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    w->file = crier_path_join(w->folder, "bot.lua");
    w->clock = crier_clock_virtual(BASE);
    w->config = (struct crier_host_config){
        .file = w->file, .sim = true, .sim_inline = true, .clock = w->clock};
    put(w, script);
    up(w);
}

static void turn(struct world *w, int64_t us)
{
    struct crier_loop *loop = crier_host_loop(w->host);
    crier_loop_run(loop, crier_loop_now(loop) + us);
}

static void down(struct world *w)
{
    crier_host_stop(w->host, 0);
    crier_loop_run(crier_host_loop(w->host), CRIER_NEVER);
    assert_int_equal(crier_host_close(w->host), 0);
    w->host = NULL;
}

static void finish(struct world *w)
{
    char command[80];
    if (w->host)
        down(w);
    crier_clock_free(w->clock);
    free(w->file);
    crier_buf_fini(&w->said);
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    assert_int_equal(system(command), 0);
}

static void forget(struct world *w, const char *name)
{
    char *path = crier_path_join(w->folder, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

/* What the log has of tasks: "a run 10" is an action and seconds since BASE, one a line. */
static const char *said(struct world *w)
{
    char *path = crier_path_join(w->folder, "log.jsonl");
    struct crier_buf text = {0};
    struct crier_err err = {0};
    crier_buf_clear(&w->said);
    crier_buf_puts(&w->said, "");
    if (crier_file_read(path, 64 << 20, &text, &err) == 0) {
        for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
            json_t *o = json_loads(line, 0, NULL);
            const char *task = json_string_value(json_object_get(o, "task_name"));
            int64_t at = 0;
            if (task && json_object_get(o, "action")) {
                assert_int_equal(
                    crier_datetime_parse(json_string_value(json_object_get(o, "time")), NULL, &at,
                                         &err),
                    0);
                crier_buf_printf(&w->said, "%s %s %g\n", task,
                                 json_string_value(json_object_get(o, "action")),
                                 (double)(at - BASE) / 1e6);
            }
            json_decref(o);
        }
    }
    crier_buf_fini(&text);
    free(path);
    return w->said.data;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

static unsigned in_log(struct world *w, const char *what)
{
    char *path = crier_path_join(w->folder, "log.jsonl");
    struct crier_buf text = {0};
    struct crier_err err = {0};
    assert_int_equal(crier_file_read(path, 64 << 20, &text, &err), 0);
    unsigned n = count(text.data, what);
    crier_buf_fini(&text);
    free(path);
    return n;
}

static void by_hand(struct world *w, const char *name)
{
    struct crier_err err = {0};
    assert_int_equal(crier_task_run(crier_host_tasker(w->host), name, NULL, NULL, NULL, &err), 0);
}

/* --- when ---------------------------------------------------------------------------------- */

static void phases_and_dependents(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'every 10s', run = function() crier.sleep '1s' end }\n"
              "crier.task { name = 'b', start = \"after task 'a'\", run = nothing }\n");
    turn(&w, 25 * CRIER_S);
    assert_string_equal(said(&w), "a run 0\na success 1\nb run 1\nb success 1\n"
                                  "a run 10\na success 11\nb run 11\nb success 11\n"
                                  "a run 20\na success 21\nb run 21\nb success 21\n");
    finish(&w);
}

static void order_of_priority(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'low', priority = -1, start = 'minutely :30', run = nothing }\n"
              "crier.task { name = 'one', start = 'minutely :30', run = nothing }\n"
              "crier.task { name = 'two', start = 'minutely :30', run = nothing }\n"
              "crier.task { name = 'high', priority = 5, start = 'minutely :30', run = nothing }\n"
              /* what an earlier one of the same turn does counts */
              "crier.task { name = 'not', priority = -9, start = \"minutely :30 & ~task 'high' "
              "started in 10s\", run = nothing }\n");
    turn(&w, 20 * CRIER_S);
    assert_string_equal(said(&w), "high run 10\nhigh success 10\none run 10\none success 10\n"
                                  "two run 10\ntwo success 10\nlow run 10\nlow success 10\n");
    finish(&w);
}

/* Runs inside one tick of the clock are told apart by their ids, and their order by numbers. */
static void one_tick(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'a', run = nothing }\n"
              "crier.task { name = 'b', start = \"after task 'a'\", run = nothing }\n");
    for (int i = 0; i < 3; i++)
        by_hand(&w, "a");
    turn(&w, 0);
    assert_string_equal(said(&w), "a run 0\na success 0\na run 0\na success 0\nb run 0\nb success 0\n"
                                  "a run 0\na success 0\nb run 0\nb success 0\n");
    finish(&w);
}

static void retries(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'every 1h | retry 2 delay 10s factor 3',\n"
              "  run = function() error 'no' end }\n"
              "crier.task { name = 'b', start = 'every 1h', run = function() return crier.inaction "
              "'why' end }\n");
    turn(&w, 1800 * CRIER_S);
    assert_string_equal(said(&w), "a run 0\na fail 0\nb run 0\nb inaction 0\n"
                                  "a run 10\na fail 10\na run 40\na fail 40\n");
    assert_int_equal(in_log(&w, "\"reason\":\"why\""), 1);
    assert_int_equal(in_log(&w, "bot.lua:6: no"), 3);
    finish(&w);
}

static void ends(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'slow', timeout = '5s', start = 'every 1h', run = function() "
              "crier.sleep '1h' end }\n"
              "crier.task { name = 'stopped', stop = crier.running():longer_than '7s',\n"
              "  start = 'every 1h', run = function() pcall(crier.sleep, '1h') end }\n"
              "crier.task { name = 'deaf', timeout = '9s', start = 'every 1h',\n"
              "  run = function() while true do pcall(crier.sleep, '1h') end end }\n");
    turn(&w, 60 * CRIER_S);
    assert_string_equal(said(&w),
                        "slow run 0\nstopped run 0\ndeaf run 0\n"
                        "slow terminate 5\nstopped terminate 7\ndeaf terminate 9\n");
    assert_int_equal(in_log(&w, "timeout: it took longer than 5s"), 2); /* text and reason */
    finish(&w);
}

static void start_and_stop_of_the_host(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'tick', start = 'every 10s', run = nothing }\n"
              "crier.task { name = 'first', on_startup = true, run = nothing }\n"
              "crier.task { name = 'last', on_shutdown = true, run = function() crier.sleep '1s' end }\n"
              "crier.task { name = 'watch', permanent = true, on_startup = true, priority = 1,\n"
              "  run = function() crier.sleep '10d' end }\n"
              "crier.task { name = 'slow', start = 'every 10s', run = function() crier.sleep '7s' end "
              "}\n");
    turn(&w, 5 * CRIER_S);
    down(&w);
    assert_string_equal(said(&w), "watch run 0\nfirst run 0\nfirst success 0\n"
                                  "tick run 0\ntick success 0\nslow run 0\n"
                                  "watch terminate 5\nlast run 5\nlast success 6\nslow success 7\n");
    finish(&w);
}

/* An idle host is woken by nothing. */
static void idle(void **state)
{
    struct world w;
    struct crier_loop_stats before, after;
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'daily after 20:00', run = nothing }\n"
              "crier.task { name = 'b', start = \"after task 'a' & daily\", run = nothing }\n"
              "crier.task { name = 'c', run = nothing }\n"
              "crier.task { name = 'd', start = \"task 'c' failed today at least 3 times\", "
              "run = nothing }\n");
    turn(&w, 60 * CRIER_S);
    crier_loop_stats(crier_host_loop(w.host), &before);
    turn(&w, 4 * 3600 * CRIER_S);
    crier_loop_stats(crier_host_loop(w.host), &after);
    assert_int_equal(after.fired - before.fired, 0);
    turn(&w, 2 * 3600 * CRIER_S);
    assert_int_equal(count(said(&w), "a success"), 1);
    assert_int_equal(count(said(&w), "b success"), 1);
    finish(&w);
}

/* --- clocks -------------------------------------------------------------------------------- */

static void clock_back_and_forth(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'h', start = 'hourly at :15', run = nothing }\n"
              "crier.task { name = 'e', start = 'every 10m', run = nothing }\n");
    turn(&w, 300 * CRIER_S); /* 14:18:20; h ran at 14:15 */
    assert_string_equal(said(&w), "e run 0\ne success 0\nh run 100\nh success 100\n");
    crier_clock_set_wall(w.clock, crier_clock_wall(w.clock) - 3600 * CRIER_S);
    turn(&w, 1200 * CRIER_S); /* 13:38:20: 13:15 has passed already in this hour */
    assert_int_equal(count(said(&w), "h run"), 1);
    assert_int_equal(count(said(&w), "e run"), 3); /* ten minutes of elapsed time each */
    turn(&w, 2400 * CRIER_S); /* 14:18:20 again: its window comes a second time, and is used */
    assert_int_equal(count(said(&w), "h run"), 1);
    assert_int_equal(count(said(&w), "e run"), 7);
    crier_clock_set_wall(w.clock, crier_clock_wall(w.clock) + 3600 * CRIER_S);
    turn(&w, 600 * CRIER_S); /* 15:28:20: 15:15 was jumped over; three minutes are within grace */
    assert_int_equal(count(said(&w), "h run"), 2);
    assert_int_equal(count(said(&w), "e run"), 8);
    finish(&w);
}

/* --- restarts ------------------------------------------------------------------------------ */

/* The host of a child dies as by kill -9. */
static void die(struct world *w, int64_t after)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int code;
        w->host = crier_host_open(&w->config, &code);
        if (w->host)
            turn(w, after);
        _exit(w->host ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void crashes_once(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'every 1d', run = function() crier.sleep '1h' end }\n"
              "crier.task { name = 'many', multilaunch = true, start = 'every 1s',\n"
              "  run = function() crier.sleep '1h' end }\n"
              "crier.task { name = 'gone', start = 'every 1d', run = function() crier.sleep '1h' end "
              "}\n");
    down(&w);
    forget(&w, "log.jsonl");
    forget(&w, ".crier/sim/tasks.board");
    die(&w, 20 * CRIER_S + 500 * CRIER_MS); /* 21 runs of `many` live: more than a slot holds */
    put(&w, "crier.task { name = 'a', start = 'every 1d', run = nothing }\n"
            "crier.task { name = 'many', run = nothing }\n");
    for (int i = 0; i < 3; i++) {
        up(&w);
        turn(&w, CRIER_S);
        down(&w);
    }
    assert_int_equal(count(said(&w), "a crash"), 1);
    assert_int_equal(count(said(&w), "many crash"), 21);
    assert_int_equal(count(said(&w), "gone crash"), 1);
    assert_int_equal(in_log(&w, "\"reason\":\"task no longer configured\""), 1);
    /* `every` goes on from its last start, the crash is no reason to begin again. */
    assert_int_equal(count(said(&w), "a run"), 1);
    finish(&w);
}

static void restart_keeps(void **state)
{
    struct world w;
    struct crier_err err = {0};
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'every 1h', run = function() return { n = 7 } end }\n"
              "crier.task { name = 'p', start = 'every 1h', run = nothing }\n");
    turn(&w, CRIER_S);
    assert_int_equal(crier_task_pause(crier_host_tasker(w.host), "p", true, NULL, &err), 0);
    down(&w);
    put(&w, "crier.task { name = 'a', start = 'every 1h', run = nothing }\n"
            "crier.task { name = 'q', was = 'p', start = 'every 1h', run = nothing }\n"
            "crier.on('start', function() crier.tasks.r:run() end)\n"
            "crier.task { name = 'r', run = function(ctx)\n"
            "  crier.log.info('got ' .. ctx.result('a').n) end }\n");
    up(&w);
    turn(&w, 3000 * CRIER_S);
    assert_string_equal(said(&w), "a run 0\na success 0\np run 0\np success 0\n"
                                  "r run 1\nr success 1\n");
    assert_int_equal(in_log(&w, "\"text\":\"got 7\""), 1);
    turn(&w, 1000 * CRIER_S);
    assert_int_equal(count(said(&w), "a run 3600"), 1);
    assert_int_equal(count(said(&w), "q run"), 0); /* still paused */
    assert_int_equal(crier_task_pause(crier_host_tasker(w.host), "q", false, NULL, &err), 0);
    turn(&w, 0);
    assert_int_equal(count(said(&w), "q run"), 1);
    finish(&w);
}

static void reload_keeps(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'a', start = 'every 1h', run = nothing }\n"
              "crier.task { name = 'long', start = 'every 10s', run = function() crier.sleep '25s' "
              "end }\n");
    turn(&w, 5 * CRIER_S);
    put(&w, "crier.task { name = 'a', start = 'every 2h', run = nothing }\n"
            "crier.task { name = 'long', start = 'every 10s', run = nothing }\n");
    crier_host_reload(w.host);
    turn(&w, 7190 * CRIER_S);
    const char *log = said(&w);
    assert_int_equal(count(log, "a run"), 1);
    /* The run of the old script counts: the new one's first is behind its end. */
    assert_int_equal(strncmp(log, "a run 0\na success 0\nlong run 0\nlong success 25\nlong run 25\n",
                             59),
                     0);
    turn(&w, 10 * CRIER_S);
    assert_int_equal(count(said(&w), "a run 7200"), 1);
    finish(&w);
}

static unsigned missed(const char *options, int64_t down_for)
{
    struct world w;
    char *script = g_strdup_printf("crier.task { name = 'a', %s, run = nothing }\n", options);
    setup(&w, script);
    turn(&w, CRIER_S);
    down(&w);
    unsigned before = count(said(&w), "a run");
    crier_clock_advance_to(w.clock, crier_clock_mono(w.clock) + down_for);
    up(&w);
    turn(&w, 200 * CRIER_MS);
    unsigned after = count(said(&w), "a run");
    finish(&w);
    g_free(script);
    return after - before;
}

/* BASE is 14:13:20, so that a start two hours later is in no minute's first second. */
static void misfires(void **state)
{
    (void)state;
    const char *cron = "start = 'minutely :50'";
    assert_int_equal(missed(cron, 7200 * CRIER_S), 1);
    assert_int_equal(missed("start = 'minutely :50', catch_up = 'none'", 7200 * CRIER_S), 0);
    assert_int_equal(missed("start = 'minutely :50', catch_up = 'one', grace = '10s'",
                            7200 * CRIER_S), 0);
    assert_int_equal(missed("start = 'minutely :50', catch_up = 'all', grace = '1h'",
                            7200 * CRIER_S), 60);
    /* never a flood */
    assert_int_equal(missed("start = 'minutely :50', catch_up = 'all', grace = '30d'",
                            20 * 86400 * CRIER_S), 100);
    assert_int_equal(missed("start = 'every 1s'", 86400 * CRIER_S), 1);
    assert_int_equal(missed("start = 'every 1s', catch_up = 'all', grace = '1m'", 86400 * CRIER_S),
                     61);
    assert_int_equal(missed("start = 'daily', catch_up = 'all', grace = '30d'", 60 * CRIER_S), 0);
}

/* What conditions count is asked of a sink; where the board is lost, all is. */
static void restored_from_a_sink(void **state)
{
    struct world w;
    (void)state;
    setup(&w, "crier.task { name = 'f', run = function() error 'no' end }\n"
              "crier.task { name = 'e', start = 'every 1h', run = nothing }\n"
              "crier.task { name = 'n', start = 'every 1h', run = nothing }\n");
    for (int i = 0; i < 3; i++) {
        by_hand(&w, "f");
        turn(&w, CRIER_S);
    }
    down(&w);
    put(&w, "crier.task { name = 'f', run = nothing }\n"
            "crier.task { name = 'e', start = 'every 1h', run = nothing }\n"
            "crier.task { name = 'three', start = \"task 'f' failed today at least 3 times\", "
            "run = function() crier.sleep '1h' end }\n"
            "crier.task { name = 'four', start = \"task 'f' failed today at least 4 times\", "
            "run = nothing }\n");
    for (int lost = 0; lost < 2; lost++) {
        up(&w);
        turn(&w, 2 * CRIER_S);
        assert_int_equal(count(said(&w), "three run"), lost + 1u);
        assert_int_equal(count(said(&w), "four run"), 0);
        assert_int_equal(count(said(&w), "\ne run"), 1);
        down(&w);
        forget(&w, ".crier/sim/tasks.board");
    }
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_and_dependents),
        cmocka_unit_test(order_of_priority),
        cmocka_unit_test(one_tick),
        cmocka_unit_test(retries),
        cmocka_unit_test(ends),
        cmocka_unit_test(start_and_stop_of_the_host),
        cmocka_unit_test(idle),
        cmocka_unit_test(clock_back_and_forth),
        cmocka_unit_test(crashes_once),
        cmocka_unit_test(restart_keeps),
        cmocka_unit_test(reload_keeps),
        cmocka_unit_test(misfires),
        cmocka_unit_test(restored_from_a_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
