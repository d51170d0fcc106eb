/* SPDX-License-Identifier: MIT
 *
 * Logging from C through the public interface into a jsonl file: records/s of 1, 2 and 4 threads,
 * from the first call to the last byte in the file; the CPU time that a call costs the thread that
 * logs, and that a record costs all threads; what a call costs that its level turns off. Prints
 * `name value unit`, tab-separated; the best of some rounds.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "crier/crier.h"

enum { RECORDS = 1000000, ROUNDS = 3, OFF = 20000000 };

struct share {
    struct crier_logger *log;
    int first, count;
};

static double now(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int rc, const struct crier_err *err)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void *log_share(void *arg)
{
    const struct share *s = arg;
    for (int i = s->first; i < s->first + s->count; i++)
        CRIER_LOG_INFO(s->log, "the roll went round and the third picture is shown",
                       crier_f_str("user", i % 20 ? "somebody with a name" : "nobody of that name"),
                       crier_f_int("count", i), crier_f_num("share", i / 1000.0),
                       crier_f_bool("late", false), crier_f_str("channel", "978332728615378984"));
    return NULL;
}

static struct crier_pipeline *open_pipeline(const char *folder)
{
    struct crier_err err = {0};
    struct crier_pipeline_config c = {.struct_size = sizeof c, .folder = folder, .node = "web-1"};
    struct crier_pipeline *p = crier_pipeline_new(&c, &err);
    if (!p)
        must(err.code, &err);
    must(crier_pipeline_sink(p, "jsonl", "{\"path\": \"bench.jsonl\", \"queue\": 1048576}", &err),
         &err);
    return p;
}

static double round_of(const char *folder, int threads, double *cpu, double *all, long *bytes)
{
    struct crier_err err = {0};
    struct share shares[4];
    pthread_t ids[4];
    char path[64];
    snprintf(path, sizeof path, "%s/bench.jsonl", folder);
    remove(path);
    struct crier_pipeline *p = open_pipeline(folder);
    struct crier_logger *log = crier_pipeline_logger(p, "bot.rolls");
    double start = now(CLOCK_MONOTONIC), mine = now(CLOCK_THREAD_CPUTIME_ID);
    *all = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < threads; i++) {
        shares[i] = (struct share){log, i * (RECORDS / threads), RECORDS / threads};
        if (i > 0)
            pthread_create(&ids[i], NULL, log_share, &shares[i]);
    }
    log_share(&shares[0]);
    *cpu = now(CLOCK_THREAD_CPUTIME_ID) - mine;
    for (int i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    must(crier_pipeline_flush(p, 60 * CRIER_SECOND, &err), &err);
    double took = now(CLOCK_MONOTONIC) - start;
    *all = now(CLOCK_PROCESS_CPUTIME_ID) - *all;
    crier_logger_free(log);
    crier_pipeline_free(p);
    struct stat st;
    *bytes = stat(path, &st) == 0 ? (long)st.st_size : 0;
    return took;
}

static void bench_off(const char *folder)
{
    struct crier_pipeline *p = open_pipeline(folder);
    struct crier_logger *log = crier_pipeline_logger(p, "bot.rolls");
    double best = 1e9;
    crier_pipeline_level(p, NULL, CRIER_INFO);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now(CLOCK_MONOTONIC);
        for (int i = 0; i < OFF; i++)
            CRIER_LOG_DEBUG(log, "off", crier_f_int("count", i));
        double took = now(CLOCK_MONOTONIC) - start;
        best = took < best ? took : best;
    }
    printf("embed.off\t%.2f\tns\n", best / OFF * 1e9);
    crier_logger_free(log);
    crier_pipeline_free(p);
}

int main(void)
{
    char folder[] = "/tmp/crier-bench-XXXXXX", command[64];
    if (!mkdtemp(folder))
        return 1;
    for (int threads = 1; threads <= 4; threads *= 2) {
        double best = 1e9, call = 1e9, total = 1e9;
        long bytes = 0;
        for (int round = 0; round < ROUNDS; round++) {
            double cpu, all, took = round_of(folder, threads, &cpu, &all, &bytes);
            best = took < best ? took : best;
            call = cpu < call ? cpu : call;
            total = all < total ? all : total;
        }
        printf("embed.threads_%d\t%.3g\trecords/s\n", threads, RECORDS / best);
        if (threads == 1) {
            printf("embed.call\t%.0f\tns\n", call / RECORDS * 1e9);
            printf("embed.cpu\t%.0f\tns\n", total / RECORDS * 1e9);
            printf("embed.line\t%ld\tbytes\n", bytes / RECORDS);
        }
    }
    bench_off(folder);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
