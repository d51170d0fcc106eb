/* SPDX-License-Identifier: MIT
 *
 * 100,000 tasks every second, their phases spread evenly over it, each an empty Lua function with its
 * two log records to a memory sink, on one core for SECONDS_EACH (60): how late runs begin, and what a run
 * costs in CPU time. Then what a start reads back of them.
 * Prints `name <tab> value <tab> unit`, one figure a line.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"
#include "script/task.h"
#include "state/board.h"

enum { COUNT = 100000 };

static struct crier_host *host;
static int64_t opened, ready;
static double cpu_before;
static struct crier_tasker_stats stats;

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void started(void *arg, struct crier_host *h)
{
    (void)arg;
    host = h;
    ready = crier_clock_mono(crier_clock_real());
    cpu_before = cpu();
}

static void ending(void *arg)
{
    (void)arg;
    crier_tasker_stats(crier_host_tasker(host), &stats);
}

static void reloaded(void *arg, int code, const char *text)
{
    (void)arg;
    (void)code;
    (void)text;
}

static void failed(void *arg, int code, const char *text)
{
    (void)arg;
    fprintf(stderr, "tasks: %d: %s\n", code, text);
}

/* What a host would have left that ran each of them within the last second. */
static void make_board(const char *folder)
{
    struct crier_board *board = NULL;
    struct crier_err err = {0};
    if (crier_board_open(folder, false, &board, &err) != 0) {
        fprintf(stderr, "tasks: %s\n", err.text);
        exit(1);
    }
    /* They begin when the script is loaded and all is set up. */
    int64_t now = crier_clock_wall(crier_clock_real()) + 5 * CRIER_S;
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        struct crier_board_entry e = {.known = now};
        snprintf(name, sizeof name, "t%d", i);
        e.last[0].seq = (uint64_t)i * 2 + 1;
        e.last[0].time = now + (int64_t)i * 1000000 / COUNT;
        e.last[1].seq = e.last[0].seq + 1;
        e.last[1].time = e.last[0].time;
        crier_board_add(board, name, &e, &err);
    }
    crier_board_close(board);
}

static void count_slot(void *arg, uint32_t slot, const char *name,
                       const struct crier_board_entry *e)
{
    (void)slot;
    (void)name;
    *(uint64_t *)arg += e->last[1].seq != 0;
}

/* What the next start reads of them, however many records there are. */
static void restore(const char *folder)
{
    struct crier_board *board = NULL;
    struct crier_err err = {0};
    uint64_t known = 0;
    int64_t began = crier_clock_mono(crier_clock_real());
    if (crier_board_open(folder, false, &board, &err) != 0)
        exit(1);
    crier_board_each(board, count_slot, &known);
    if (known != COUNT)
        fprintf(stderr, "tasks: the board knows %d of %d\n", (int)known, COUNT);
    printf("restore_board\t%.1f\tms\n", (double)(crier_clock_mono(crier_clock_real()) - began) / 1e3);
    crier_board_close(board);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

int main(void)
{
    char folder[] = "/tmp/crier-tasks-XXXXXX", script[64], text[1024];
    const char *given = getenv("SECONDS_EACH");
    int64_t seconds = given ? atoi(given) : 60;
    cpu_set_t one;
    if (!mkdtemp(folder))
        return 1;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    snprintf(script, sizeof script, "%s/bot.lua", folder);
    snprintf(text, sizeof text,
             "local crier = require 'crier'\n"
             "crier.config { state = '%s', limits = { memory = '2GiB', load = '60s' } }\n"
             "crier.sink.memory { max = 10000, kinds = 'task' }\n"
             "local function nothing() end\n"
             "for i = 0, %d do\n"
             "  crier.task { name = 't' .. i, start = 'every 1s', run = nothing }\n"
             "end\n",
             folder, COUNT - 1);
    write_file(script, text);
    make_board(folder);
    struct crier_host_embed embed = {
        .started = started, .ending = ending, .reloaded = reloaded, .failed = failed};
    struct crier_host_config config = {.file = script,
                                       .state_folder = folder,
                                       .run_for = (seconds + 5) * CRIER_S,
                                       .embed = &embed};
    opened = crier_clock_mono(crier_clock_real());
    int code = crier_host_run(&config);
    double used = cpu() - cpu_before;
    uint64_t runs = stats.actions[CRIER_RUN];
    printf("tasks_late_median\t%.3f\tms\n", (double)stats.late_p50 / 1e3);
    printf("tasks_late_p99\t%.3f\tms\n", (double)stats.late_p99 / 1e3);
    printf("tasks_late_max\t%.3f\tms\n", (double)stats.late_max / 1e3);
    printf("tasks_runs\t%.0f\t/s\n", (double)runs / (double)seconds);
    printf("tasks_cpu\t%.2f\tus a run\n", runs ? used * 1e6 / (double)runs : 0);
    printf("tasks_load\t%.0f\tms\n", (double)(ready - opened) / 1e3);
    restore(folder);
    snprintf(text, sizeof text, "rm -rf %s", folder);
    return system(text) == 0 ? code : 1;
}
